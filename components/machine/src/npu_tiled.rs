//! A tile-based NPU that executes one task list.

use std::sync::Arc;

use npu::tiled::{Schedule, TiledNpu, TiledSpec, TiledWorkload};
use sim_core::config::{ConfigError, Place, Problem};
use sim_core::{Component, Machine, MachineFile, Plan, Progress, Resources, RunError, RunOutcome, StatsNode, StopAt};
use workloads::InputError;
use workloads::tensor::TaskList;

/// Why a task list could not be simulated.
#[derive(Debug, thiserror::Error)]
pub enum NpuTiledError {
    /// The machine file is wrong, or is no such NPU.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Config(Vec<ConfigError>),
    /// The task list is wrong, or cannot run on this machine.
    #[error(transparent)]
    Workload(#[from] InputError),
    /// The simulation did not end.
    #[error(transparent)]
    Run(#[from] RunError),
}

impl From<Vec<ConfigError>> for NpuTiledError {
    fn from(errors: Vec<ConfigError>) -> Self {
        Self::Config(errors)
    }
}

/// Parameters of a machine's part of kind `npu.tiled`; none if it has no such part. A compiler asks it for tiles,
/// scratchpads and costs.
///
/// # Errors
/// The part's parameters are wrong.
pub fn tiled_spec(file: &MachineFile) -> Result<Option<TiledSpec>, Vec<ConfigError>> {
    let Some(part) = file.parts.iter().find(|part| part.kind == TiledNpu::KIND) else { return Ok(None) };
    let spec = part.read::<TiledSpec>()?;
    spec.check().map_err(|error| {
        let key = format!("part.{}.{}", part.name, error.key);
        let place = file
            .document()
            .root()
            .at(&key)
            .map_or_else(|| Place::start_of(file.document().source()), |node| node.place.clone());
        vec![ConfigError::new(&place, key, Problem::Refused { message: error.problem }).maybe_help(error.help)]
    })?;
    Ok(Some(spec))
}

/// What a run gave.
#[derive(Debug)]
pub struct NpuTiledResult {
    pub schedule: Schedule,
    /// Parts summed over their components.
    pub stats: StatsNode,
    pub outcome: RunOutcome,
    /// Hash of all that was simulated.
    pub digest: String,
}

/// A task list on a machine, ready to run.
pub struct NpuTiledSimulation {
    machine: Machine,
    part: String,
}

impl NpuTiledSimulation {
    /// Checks and costs the list and builds the machine.
    ///
    /// # Errors
    /// Anything wrong with machine or list, at its place.
    pub fn new(file: &MachineFile, list: &TaskList, plan: Plan) -> Result<Self, NpuTiledError> {
        let Some(spec) = tiled_spec(file)? else {
            let place = Place::start_of(file.document().source());
            let problem = Problem::Unknown { what: "part of kind", name: TiledNpu::KIND.to_owned() };
            let help = "a task list runs on a tile-based NPU; see `orrery list machines`";
            return Err(vec![ConfigError::new(&place, "part", problem).help(help)].into());
        };
        let part = file.parts.iter().find(|part| part.kind == TiledNpu::KIND).expect("its parameters were read");
        let workload = Arc::new(TiledWorkload::new(list, &spec)?);
        let machine = Machine::build(file, &crate::kinds(), Resources::new().with(workload), plan)?;
        Ok(Self { machine, part: part.name.clone() })
    }

    /// The machine, for listening to its facts, saving and loading it.
    pub fn machine_mut(&mut self) -> &mut Machine {
        &mut self.machine
    }

    /// Runs the list to its end.
    ///
    /// # Errors
    /// The machine deadlocked.
    pub fn run(mut self, progress: &mut dyn FnMut(Progress)) -> Result<NpuTiledResult, NpuTiledError> {
        let outcome = self.machine.run(StopAt::WorkDone, progress)?;
        let npu = self.machine.component::<TiledNpu>(&self.part, 0).expect("the machine was built with it");
        Ok(NpuTiledResult {
            schedule: npu.schedule(),
            stats: self.machine.report(sim_core::Detail::Parts),
            outcome,
            digest: self.machine.digest().to_hex().to_string(),
        })
    }
}
