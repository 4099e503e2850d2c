//! A systolic NPU that runs networks: the event machine of cores and memory channels, or the closed forms of SCALE-Sim.

use std::sync::Arc;

use npu::fusemax::FuseMaxSpec;
use npu::fusemax::program::FusedAttention;
use npu::systolic::folded::{FoldedArray, Networks};
use npu::systolic::report::LayerResult;
use sim_core::config::{ConfigError, Place, Problem};
use sim_core::{
    Component, Detail, Femtos, Machine, MachineFile, Plan, Progress, Resources, RunError, StatsNode, StopAt,
};
use workloads::tensor::Graph;

/// Why networks could not be simulated.
#[derive(Debug, thiserror::Error)]
pub enum SystolicError {
    /// The machine file is wrong, or is no systolic NPU, or the network does not fit it.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Config(Vec<ConfigError>),
    /// The simulation did not end.
    #[error(transparent)]
    Run(#[from] RunError),
}

impl From<Vec<ConfigError>> for SystolicError {
    fn from(errors: Vec<ConfigError>) -> Self {
        Self::Config(errors)
    }
}

/// Networks on a machine, ready to run.
pub struct SystolicSimulation {
    machine: Machine,
    form: Form,
    clock_hz: u64,
}

/// The part that knows the layers.
enum Form {
    Folded { part: String },
    Fused { part: String, multipliers: u64 },
}

/// What a run gave.
#[derive(Debug)]
pub struct SystolicResult {
    /// Makespan, of the cores' clock.
    pub cycles: u64,
    pub clock_hz: u64,
    pub time: Femtos,
    /// In the order of the networks and of their operators. With one network their cycles sum to `cycles`; networks that
    /// share the machine overlap, and `cycles` is the makespan of all.
    pub layers: Vec<LayerResult>,
    /// Parts summed over their components.
    pub stats: StatsNode,
    /// Hash of all that was simulated.
    pub digest: String,
}

impl SystolicSimulation {
    /// Whether a machine file describes a systolic NPU.
    pub fn fits(file: &MachineFile) -> bool {
        let kinds = [FoldedArray::KIND, FusedAttention::KIND];
        file.parts.iter().any(|part| kinds.contains(&part.kind.as_str()))
    }

    /// Maps the networks to the machine and builds it. Several networks share the machine.
    ///
    /// # Errors
    /// The machine file is wrong or describes no systolic NPU, or an operator does not fit.
    pub fn new(file: &MachineFile, networks: &[Graph], plan: Plan) -> Result<Self, SystolicError> {
        let networks = Arc::new(Networks(networks.to_vec()));
        if let Some(part) = file.parts.iter().find(|part| part.kind == FoldedArray::KIND) {
            let machine = Machine::build(file, &crate::kinds(), Resources::new().with(networks), plan)?;
            let form = Form::Folded { part: part.name.clone() };
            return Ok(Self { machine, form, clock_hz: file.clocks[part.clock].hertz });
        }
        if let Some(part) = file.parts.iter().find(|part| part.kind == FusedAttention::KIND) {
            let multipliers = part.read::<FuseMaxSpec>()?.edge.pow(2);
            let machine = Machine::build(file, &crate::kinds(), Resources::new().with(networks), plan)?;
            let form = Form::Fused { part: part.name.clone(), multipliers };
            return Ok(Self { machine, form, clock_hz: file.clocks[part.clock].hertz });
        }
        let place = Place::start_of(file.document().source());
        let problem = Problem::Unknown { what: "part of kind", name: FoldedArray::KIND.to_owned() };
        let help = "a network runs on a machine with a systolic array; see `orrery list machines`";
        Err(vec![ConfigError::new(&place, "part", problem).help(help)].into())
    }

    /// The machine, for listening to its facts.
    pub fn machine_mut(&mut self) -> &mut Machine {
        &mut self.machine
    }

    /// Runs to the end of the last layer.
    ///
    /// # Errors
    /// The machine deadlocked.
    pub fn run(mut self, progress: &mut dyn FnMut(Progress)) -> Result<SystolicResult, SystolicError> {
        let outcome = self.machine.run(StopAt::WorkDone, progress)?;
        let layers = match &self.form {
            Form::Folded { part } => {
                self.machine.component::<FoldedArray>(part, 0).map(|array| array.layers().to_vec()).unwrap_or_default()
            }
            Form::Fused { part, multipliers } => {
                let fused = self.machine.component::<FusedAttention>(part, 0);
                fused.map(|fused| fused.layers(*multipliers)).unwrap_or_default()
            }
        };
        // An edge is rounded down to femtoseconds, so its number is rounded up.
        let cycles = (u128::from(outcome.time.0) * u128::from(self.clock_hz)).div_ceil(1_000_000_000_000_000);
        Ok(SystolicResult {
            cycles: u64::try_from(cycles).unwrap_or(u64::MAX),
            clock_hz: self.clock_hz,
            time: outcome.time,
            layers,
            stats: self.machine.report(Detail::Parts),
            digest: self.machine.digest().to_hex().to_string(),
        })
    }
}

/// The machine file that a name of the form `scalesim-<rows>x<columns>-<os|ws|is>` stands for, as a text that inherits
/// `base/scalesim.toml`; none if the name has another form.
pub fn named_scalesim(name: &str) -> Option<String> {
    let (size, dataflow) = name.strip_prefix("scalesim-")?.split_once('-')?;
    let (rows, columns) = size.split_once('x')?;
    let (rows, columns): (u32, u32) = (rows.parse().ok()?, columns.parse().ok()?);
    ["os", "ws", "is"].contains(&dataflow).then(|| {
        format!(
            "base = \"base/scalesim.toml\"\nname = \"{name}\"\n[part.array]\nrows = {rows}\ncolumns = {columns}\n\
             dataflow = \"{dataflow}\"\n"
        )
    })
}
