//! Machines and launches of the tests.
#![allow(dead_code)]

use sim_core::MachineFile;
use sim_core::config::Document;

/// A shipped GPU with overrides.
pub fn machine_file(name: &str, sets: &[&str]) -> MachineFile {
    let path = format!("{}/../../configs/gpu/{name}.toml", env!("CARGO_MANIFEST_DIR"));
    let sets: Vec<String> = sets.iter().map(|set| (*set).to_owned()).collect();
    MachineFile::load(&path, &mut Document::from_disk, &sets).unwrap_or_else(|errors| panic!("{errors:?}"))
}
