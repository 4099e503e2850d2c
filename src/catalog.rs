//! Finding what the words MACHINE and WORKLOAD mean: something shipped, or a file.

use std::path::Path;

use include_dir::{Dir, include_dir};
use machine::gpu::{GpuShape, GpuSimulation};
use machine::npu_systolic::SystolicSimulation;
use sim_core::config::{Document, did_you_mean};
use sim_core::{MachineFile, Plan};
use workloads::sass::{Kernel, Launch, SassError, catalog, program};
use workloads::tensor::transformer::Inference;
use workloads::tensor::{Graph, OperatorKind, topology};

use crate::failure::{Complaint, Failure};

static CONFIGS: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/configs");
/// How embedded files are shown in messages.
const SHOWN: &str = "configs/";
const SMALLEST_LAUNCH: &str = "vectoradd";
const SMALLEST_PRODUCT: &str = "product,8,8,8";
const SMALLEST_ATTENTION: &str = "gpt-2:tokens=256,layers=1";

/// A machine that ships with orrery.
pub struct ShippedMachine {
    pub name: String,
    /// Path below `configs/`.
    path: String,
}

/// The shipped machines, by folder and name: files with parts. A file in a folder `base` is no machine of its own.
pub fn machines() -> Vec<ShippedMachine> {
    let mut machines = Vec::new();
    for family in CONFIGS.dirs() {
        for file in family.files().filter(|file| file.path().extension().is_some_and(|e| e == "toml")) {
            let path = file.path().to_string_lossy().replace('\\', "/");
            let is_machine = |document: Document| document.root().get("part").is_some();
            // A file with an error is listed: the error is shown where it is used.
            if !Document::load(&path, &mut embedded, &[]).map_or(true, is_machine) {
                continue;
            }
            let name = file.path().file_stem().unwrap_or_default().to_string_lossy().into_owned();
            machines.push(ShippedMachine { name, path });
        }
    }
    machines.sort_by(|a, b| a.path.cmp(&b.path));
    machines
}

/// Reads a shipped machine by name or a machine file by path, with overrides.
pub fn machine(word: &str, sets: &[String]) -> Result<MachineFile, Failure> {
    let shipped = machines();
    if let Some(machine) = shipped.iter().find(|machine| machine.name == word) {
        return Ok(MachineFile::load(&machine.path, &mut embedded, sets)?);
    }
    if Path::new(word).is_file() {
        return Ok(MachineFile::load(word, &mut from_disk, sets)?);
    }
    let memories = hbm::library::SHIPPED.iter().map(|(name, _)| *name);
    let help = did_you_mean(word, shipped.iter().map(|machine| machine.name.as_str()).chain(memories));
    let complaint = Complaint::new(format!("there is no machine `{word}`: it is neither shipped nor a file"));
    Err(complaint.help(help.unwrap_or_default()).into())
}

/// Reads a shipped sweep by name or a sweep file by path.
pub fn sweep(word: &str) -> Result<Document, Failure> {
    let shipped: Vec<String> = sweeps();
    if shipped.iter().any(|name| name == word) {
        return Ok(Document::load(&format!("sweeps/{word}.toml"), &mut embedded, &[])?);
    }
    if Path::new(word).is_file() {
        return Ok(Document::load(word, &mut Document::from_disk, &[])?);
    }
    let help = did_you_mean(word, shipped.iter().map(String::as_str)).unwrap_or_default();
    let complaint = Complaint::new(format!("there is no sweep `{word}`: it is neither shipped nor a file"));
    Err(complaint.help(help).into())
}

/// Names of the shipped sweeps.
pub fn sweeps() -> Vec<String> {
    let files = CONFIGS.get_dir("sweeps").into_iter().flat_map(|folder| folder.files());
    let mut names: Vec<String> =
        files.filter_map(|file| Some(file.path().file_stem()?.to_string_lossy().into_owned())).collect();
    names.sort();
    names
}

/// Whether a machine can be built: every kind is known and takes its parameters, every link fits.
///
/// The parts of a GPU are built around a launch, so it is the smallest shipped one that is tried.
pub fn check_machine(word: &str) -> Result<(), Failure> {
    let file = machine(word, &[])?;
    if machine::npu_tiled::tiled_spec(&file)?.is_some() {
        return Ok(());
    }
    if SystolicSimulation::fits(&file) {
        let built = |graph: Graph| SystolicSimulation::new(&file, &[graph], Plan::serial()).map(drop);
        let product = topology::parse("product.csv", SMALLEST_PRODUCT)?;
        let attention = Inference::parse(SMALLEST_ATTENTION).map(|inference| {
            let mut graph = inference.graph();
            graph.operators.retain(|operator| matches!(operator.kind, OperatorKind::Attention(_)));
            graph
        });
        // A machine of attention alone runs no other product.
        return match built(product) {
            Err(_) if attention.is_ok_and(|attention| built(attention).is_ok()) => Ok(()),
            result => Ok(result?),
        };
    }
    let shape = GpuShape::of(&file)?;
    // No kernel ships for a GPU that only replays traces: its parts are built when a trace runs.
    if !catalog::runs_on(SMALLEST_LAUNCH, &shape.sm.arch) {
        return Ok(());
    }
    let launch = launch(SMALLEST_LAUNCH)?;
    let kernel = kernel(&launch, &shape.sm.arch)?;
    GpuSimulation::new(&file, &kernel, &launch, Plan::serial()).map_err(crate::simulate::failure)?;
    Ok(())
}

/// Finds a file on disk or, as the base of another, a shipped machine by name.
fn from_disk(asked: &str, from: Option<&str>) -> Result<(String, String), String> {
    if from.is_some_and(|from| from.starts_with(SHOWN)) {
        return embedded(asked, from);
    }
    let shipped = || machines().into_iter().find(|machine| machine.name == asked);
    match (Document::from_disk(asked, from), from) {
        (Err(_), Some(_)) if shipped().is_some() => embedded(&shipped().expect("just seen").path, None),
        (found, _) => found,
    }
}

/// Finds an embedded file; names are relative to the file that names them.
fn embedded(asked: &str, from: Option<&str>) -> Result<(String, String), String> {
    let path = match from.and_then(|from| Path::new(from.strip_prefix(SHOWN)?).parent()) {
        Some(folder) => folder.join(asked),
        None => asked.into(),
    };
    let file = CONFIGS.get_file(&path).ok_or("no such file is shipped")?;
    let text = file.contents_utf8().ok_or("it is not text")?;
    Ok((format!("{SHOWN}{}", path.display()), text.to_string()))
}

/// The text of an embedded file below `configs/`.
pub fn config_text(path: &str) -> Option<&'static str> {
    CONFIGS.get_file(path)?.contents_utf8()
}

/// Reads a shipped launch by name or a launch file by path.
pub fn launch(word: &str) -> Result<Launch, Failure> {
    let names = catalog::launch_names();
    if names.iter().any(|name| name == word) || Path::new(word).is_file() {
        return Ok(catalog::launch(word)?);
    }
    let help = match crate::memory::is_stream(word) {
        true => Some("a stream runs on a memory, such as hbm3 or stacks/h100-pcie".to_string()),
        false => did_you_mean(word, names.iter().map(String::as_str)),
    };
    let complaint = Complaint::new(format!("there is no workload `{word}`: it is neither shipped nor a file"));
    Err(complaint.help(help.unwrap_or_default()).into())
}

/// The launches of a workload: those of a program ([`program`]), or the one that the word names.
pub fn launches(word: &str) -> Result<Vec<Launch>, Failure> {
    if !program::is_program(word) || Path::new(word).is_file() {
        return Ok(vec![launch(word)?]);
    }
    let mut launches = Vec::new();
    for step in program::parse(word)? {
        let mut launch = launch(&step.launch)?.in_stream(step.stream);
        for (key, value) in &step.changes {
            launch = launch.with(key, value)?;
        }
        launches.push(launch);
    }
    Ok(launches)
}

/// The kernel that a launch names, compiled for an architecture: `<kernel>.<arch>.toml` beside the launch file, or a
/// shipped one. Code for `sm_90a` does for `sm_90` too.
pub fn kernel(launch: &Launch, arch: &str) -> Result<Kernel, SassError> {
    let beside = |arch: &str| Path::new(&launch.file).with_file_name(format!("{}.{arch}.toml", launch.kernel));
    match [beside(arch), beside(&format!("{arch}a"))].iter().find(|file| file.is_file()) {
        Some(file) => Kernel::read(file),
        None => catalog::kernel(&launch.kernel, arch),
    }
}

/// The text of a top-level key of a machine file, or nothing.
pub fn text_of<'m>(machine: &'m MachineFile, key: &str) -> &'m str {
    machine.document().root().get(key).and_then(|node| node.as_str()).unwrap_or("")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shipped_machine_is_read_and_described() {
        let machines = machines();
        assert!(machines.iter().any(|machine| machine.name == "h100-pcie"));
        for ShippedMachine { name, .. } in machines {
            let file = machine(&name, &[]).unwrap_or_else(|failure| panic!("{name}: {failure:?}"));
            assert_eq!(file.name, name, "the file is called as the machine");
            assert!(!text_of(&file, "description").is_empty(), "{name} has a description");
        }
    }

    #[test]
    fn a_file_may_inherit_from_a_shipped_machine() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mine.toml");
        std::fs::write(&path, "base = \"h100-pcie\"\nname = \"mine\"\n[part.sm]\ncount = 3\n").unwrap();
        let file = machine(path.to_str().unwrap(), &[]).unwrap_or_else(|failure| panic!("{failure:?}"));
        assert_eq!(file.name, "mine");
        assert_eq!(GpuShape::of(&file).unwrap().sms, 3);
    }

    #[test]
    fn every_shipped_workload_is_read_and_described() {
        for name in catalog::launch_names() {
            assert!(!launch(&name).unwrap().description.is_empty(), "{name} has a description");
        }
    }
}
