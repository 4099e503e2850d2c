//! The memory presets of `configs/memory/`, embedded.

use std::path::Path;

use hbm::preset::Preset;
use include_dir::{Dir, include_dir};
use sim_core::config::nearest;

use crate::runner::RunError;

static PRESETS: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../configs/memory");

/// A preset by name, `hbm2-2000` or `stacks/v100`.
pub(super) fn preset(name: &str) -> Result<Preset, RunError> {
    let read = |path: &str| {
        let missing = || std::io::Error::new(std::io::ErrorKind::NotFound, "no such file is shipped");
        let text = PRESETS.get_file(path).and_then(|file| file.contents_utf8());
        text.map(str::to_string).ok_or_else(missing)
    };
    let file = format!("{name}.toml");
    if PRESETS.get_file(&file).is_none() {
        let known = PRESETS.files().filter_map(|file| Path::new(file.path()).file_stem()?.to_str());
        let help = nearest(name, known).map(|meant| format!("; did you mean `{meant}`?")).unwrap_or_default();
        return Err(RunError(format!("there is no memory preset `{name}`{help}")));
    }
    Preset::load(&file, &read).map_err(|error| RunError(error.to_string()))
}
