//! The machines of `configs/npu/`, embedded.

use include_dir::{Dir, include_dir};
use machine::npu_systolic::named_scalesim;
use sim_core::MachineFile;

use crate::runner::RunError;

static MACHINES: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../configs/npu");

/// A machine by name, with `key=value` changes. `scalesim-…` names one of any size.
pub(super) fn machine(name: &str, overrides: &[(String, String)]) -> Result<MachineFile, RunError> {
    load(name, None, overrides)
}

/// A machine of a suite's own, given as text, which may inherit from those of `configs/npu/`.
pub(super) fn own_machine(name: &str, text: &str, overrides: &[(String, String)]) -> Result<MachineFile, RunError> {
    load(name, Some(text), overrides)
}

fn load(name: &str, own: Option<&str>, overrides: &[(String, String)]) -> Result<MachineFile, RunError> {
    let mut embedded = |asked: &str, from: Option<&str>| {
        if let (Some(text), None) = (own, from) {
            return Ok((asked.to_owned(), text.to_owned()));
        }
        let file = MACHINES.get_file(asked).and_then(|file| file.contents_utf8());
        // What a base names is relative to it.
        let file = file.or_else(|| MACHINES.get_file(format!("base/{asked}"))?.contents_utf8());
        let named = || asked.strip_suffix(".toml").and_then(named_scalesim);
        let text = file.map(str::to_owned).or_else(named).ok_or("configs/npu has no such file")?;
        Ok((asked.to_owned(), text))
    };
    let sets: Vec<String> = overrides.iter().map(|(key, value)| format!("{key}={value}")).collect();
    MachineFile::load(&format!("{name}.toml"), &mut embedded, &sets).map_err(|errors| {
        let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
        RunError(format!("machine `{name}`: {}", errors.join("; ")))
    })
}
