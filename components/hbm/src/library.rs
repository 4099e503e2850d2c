//! The shipped presets by name, inside the program, so that it works from any directory.
//!
//! Models: `configs/memory/*.toml` and `configs/memory/stacks/*.toml`, under their file names without `.toml`.
//! Leaves out: files of users, which `Preset::load_path` reads.
//! Canonical tests: `tests/presets.rs`.

use crate::error::ConfigError;
use crate::preset::Preset;

macro_rules! shipped {
    ($($name:literal),* $(,)?) => {
        /// Name and text of each shipped preset.
        pub const SHIPPED: &[(&str, &str)] =
            &[$(($name, include_str!(concat!("../../../configs/memory/", $name, ".toml")))),*];
    };
}

shipped![
    "ddr4-onnxim",
    "gddr6-14000",
    "gddr6-16000",
    "hbm1",
    "hbm2-1600",
    "hbm2-2000",
    "hbm2-2400",
    "hbm2e",
    "hbm2e-3600",
    "hbm3",
    "hbm3-4gb",
    "hbm3e",
    "hbm3e-8000",
    "hbm3e-9600",
    "hbm4",
    "stacks/a100-40",
    "stacks/a100-80",
    "stacks/a64fx",
    "stacks/gh200",
    "stacks/h100-pcie",
    "stacks/h100-sxm",
    "stacks/h200",
    "stacks/mi300x",
    "stacks/rtx-2080-ti",
    "stacks/rtx-3070",
    "stacks/rtx-4090",
    "stacks/rtx-a6000",
    "stacks/u280",
    "stacks/v100",
];

/// The shipped preset of a name; products may leave out `stacks/`.
pub fn preset(name: &str) -> Result<Preset, ConfigError> {
    let is_wanted = |shipped: &str| shipped == name || shipped.strip_prefix("stacks/") == Some(name);
    if !SHIPPED.iter().any(|(n, _)| is_wanted(n)) {
        let names: Vec<&str> = SHIPPED.iter().map(|(n, _)| *n).collect();
        return Err(ConfigError::one(name, 0, "preset", "is not shipped", format!("one of {}", names.join(", "))));
    }
    let (file, _) = SHIPPED.iter().find(|(n, _)| is_wanted(n)).expect("found above");
    Preset::load(&format!("{file}.toml"), &|path| {
        let shipped = SHIPPED.iter().find(|(n, _)| path.strip_suffix(".toml") == Some(n));
        shipped.map(|(_, text)| (*text).to_string()).ok_or_else(|| std::io::Error::other("not shipped"))
    })
}
