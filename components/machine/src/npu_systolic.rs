//! A systolic NPU that runs networks: the event machine of cores and memory channels, or the closed forms of SCALE-Sim.

use std::sync::Arc;

use cache::fixed::{FixedMemory, FixedMemorySpec};
use hbm::component::{Channel, ChannelSpec};
use npu::fusemax::FuseMaxSpec;
use npu::fusemax::program::FusedAttention;
use npu::nvdla::Nvdla;
use npu::systolic::core::Core;
use npu::systolic::core::spec::CoreSpec;
use npu::systolic::dispatcher::{Dispatcher, DispatcherSpec};
use npu::systolic::folded::{FoldedArray, Networks};
use npu::systolic::lower;
use npu::systolic::program::Program;
use npu::systolic::report::{Bound, LayerResult};
use npu::systolic::streaming::{ARRAY_STATES, StreamingCore};
use sim_core::config::{ConfigError, PartSpec, Place, Problem};
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
    Streaming { part: String },
    Nvdla { part: String },
    Events(Box<Events>),
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
    /// What the array did, of a machine with streaming weights.
    pub array: Option<ArrayCycles>,
    /// Parts summed over their components.
    pub stats: StatsNode,
    /// Hash of all that was simulated.
    pub digest: String,
}

/// Cycles of an array whose weights stream.
#[derive(Clone, Debug)]
pub struct ArrayCycles {
    /// In each state of [`ARRAY_STATES`]; they sum to the makespan.
    pub states: [u64; ARRAY_STATES.len()],
    /// Of those active, what an array without unused multipliers would need.
    pub useful: f64,
}

/// Cores with a dispatcher and memory.
struct Events {
    cores_part: String,
    dispatcher_part: String,
    machine: lower::Machine,
    program: Arc<Program>,
    networks: Arc<Networks>,
}

impl SystolicSimulation {
    /// Whether a machine file describes a systolic NPU.
    pub fn fits(file: &MachineFile) -> bool {
        let kinds = [FoldedArray::KIND, FusedAttention::KIND, StreamingCore::KIND, Nvdla::KIND, Core::KIND];
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
        if let Some(part) = file.parts.iter().find(|part| part.kind == StreamingCore::KIND) {
            let machine = Machine::build(file, &crate::kinds(), Resources::new().with(networks), plan)?;
            let form = Form::Streaming { part: part.name.clone() };
            return Ok(Self { machine, form, clock_hz: file.clocks[part.clock].hertz });
        }
        if let Some(part) = file.parts.iter().find(|part| part.kind == Nvdla::KIND) {
            let machine = Machine::build(file, &crate::kinds(), Resources::new().with(networks), plan)?;
            let form = Form::Nvdla { part: part.name.clone() };
            return Ok(Self { machine, form, clock_hz: file.clocks[part.clock].hertz });
        }
        if let Some(part) = file.parts.iter().find(|part| part.kind == Core::KIND) {
            let events = Events::new(file, part, networks)?;
            let bag = Resources::new().with(events.program.clone());
            let machine = Machine::build(file, &crate::kinds(), bag, plan)?;
            let clock_hz = file.clocks[part.clock].hertz;
            return Ok(Self { machine, form: Form::Events(Box::new(events)), clock_hz });
        }
        let place = Place::start_of(file.document().source());
        let problem = Problem::Unknown { what: "part of kind", name: Core::KIND.to_owned() };
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
        // An edge is rounded down to femtoseconds, so its number is rounded up.
        let cycles = (u128::from(outcome.time.0) * u128::from(self.clock_hz)).div_ceil(1_000_000_000_000_000);
        let cycles = u64::try_from(cycles).unwrap_or(u64::MAX);
        let layers = match &self.form {
            Form::Events(events) => events.layers(&self.machine, cycles),
            Form::Folded { part } => {
                self.machine.component::<FoldedArray>(part, 0).map(|array| array.layers().to_vec()).unwrap_or_default()
            }
            Form::Fused { part, multipliers } => {
                let fused = self.machine.component::<FusedAttention>(part, 0);
                fused.map(|fused| fused.layers(*multipliers)).unwrap_or_default()
            }
            Form::Nvdla { part } => {
                self.machine.component::<Nvdla>(part, 0).map(|nvdla| nvdla.layers().to_vec()).unwrap_or_default()
            }
            Form::Streaming { part } => {
                let core = self.machine.component::<StreamingCore>(part, 0);
                core.map(|core| core.layers(cycles)).unwrap_or_default()
            }
        };
        let array = match &self.form {
            Form::Streaming { part } => self.machine.component::<StreamingCore>(part, 0),
            Form::Events(_) | Form::Folded { .. } | Form::Fused { .. } | Form::Nvdla { .. } => None,
        };
        let array = array.map(|core| ArrayCycles { states: core.array_cycles(cycles), useful: core.useful_cycles() });
        Ok(SystolicResult {
            array,
            cycles,
            clock_hz: self.clock_hz,
            time: outcome.time,
            layers,
            stats: self.machine.report(Detail::Parts),
            digest: self.machine.digest().to_hex().to_string(),
        })
    }
}

impl Events {
    fn new(file: &MachineFile, part: &PartSpec, networks: Arc<Networks>) -> Result<Self, Vec<ConfigError>> {
        let core = part.read::<CoreSpec>()?;
        let bad = |place: &Place, key: String, message: String| {
            vec![ConfigError::new(place, key, Problem::BadValue { message })]
        };
        let Some(dispatcher) = file.parts.iter().find(|part| part.kind == Dispatcher::KIND) else {
            let problem = Problem::Unknown { what: "part of kind", name: Dispatcher::KIND.to_owned() };
            return Err(vec![ConfigError::new(&part.place, "part", problem).help("systolic cores need one")]);
        };
        let spec = dispatcher.read::<DispatcherSpec>()?;
        core.check().map_err(|(key, message)| bad(&part.place, format!("part.{}.{key}", part.name), message))?;
        let memory_bytes_per_cycle = memory_gb_per_s(file)? * 1e9 / file.clocks[part.clock].hertz as f64;
        let machine = lower::Machine {
            core,
            cores: part.components() as u32,
            memory_bytes_per_cycle,
            memory_latency_cycles: MEMORY_LATENCY_CYCLES,
        };
        let program = lower::program(&machine, spec.sharing, &networks.0)
            .map_err(|error| bad(&part.place, format!("part.{}", part.name), error.to_string()))?;
        let (cores_part, dispatcher_part) = (part.name.clone(), dispatcher.name.clone());
        Ok(Self { cores_part, dispatcher_part, machine, program: Arc::new(program), networks })
    }

    /// One result an operator: the stages of one are put together.
    fn layers(&self, machine: &Machine, makespan: u64) -> Vec<LayerResult> {
        let Some(dispatcher) = machine.component::<Dispatcher>(&self.dispatcher_part, 0) else { return Vec::new() };
        let cores: Vec<&Core> =
            (0..self.machine.cores as usize).filter_map(|core| machine.component(&self.cores_part, core)).collect();
        let mut results: Vec<LayerResult> = Vec::new();
        for (index, (layer, span)) in self.program.layers.iter().zip(dispatcher.spans()).enumerate() {
            let operator = &self.networks.0[layer.model].operators[layer.operator];
            let again = results.last().is_some_and(|last| (last.model, last.operator) == (layer.model, layer.operator));
            if !again {
                results.push(LayerResult::begun(layer.model, layer.operator, operator, span.start));
            }
            let result = results.last_mut().expect("one was pushed");
            result.end_cycle = span.end;
            result.sram += layer.plan.sram();
            result.note = result.note.take().or_else(|| layer.note.clone());
            for counts in cores.iter().map(|core| core.counts()[index]) {
                result.array_busy_cycles += counts.array_busy_cycles;
                result.vector_busy_cycles += counts.vector_busy_cycles;
                result.dram_read_bytes += counts.read_bytes;
                result.dram_write_bytes += counts.written_bytes;
                result.tiles += counts.tiles;
            }
        }
        self.share_time(&mut results, makespan);
        results.iter_mut().for_each(|result| self.judge(result));
        results
    }

    /// One network's layers divide the makespan among them: each has the time up to the start of the next, the last one
    /// until all its stores are answered. Networks that run beside each other overlap.
    fn share_time(&self, results: &mut [LayerResult], makespan: u64) {
        let in_turn = self.program.streams.len() == 1;
        // What has no tiles takes no time.
        let mut busy = results.iter_mut().filter(|result| result.tiles > 0).peekable();
        let mut start = 0;
        while let Some(result) = busy.next() {
            let next = busy.peek().map_or(makespan, |next| next.start_cycle);
            result.cycles = if in_turn { next - start } else { result.end_cycle - result.start_cycle };
            start = next;
        }
    }

    fn judge(&self, result: &mut LayerResult) {
        if result.cycles == 0 {
            return;
        }
        let (cores, core) = (u64::from(self.machine.cores), &self.machine.core);
        let arrays = cores * u64::from(core.arrays);
        let multipliers = arrays * u64::from(core.rows) * u64::from(core.columns);
        result.utilisation = result.macs as f64 / (result.cycles * multipliers) as f64;
        let share = |busy: u64, units: u64| busy as f64 / (result.cycles * units) as f64;
        let bytes = (result.dram_read_bytes + result.dram_write_bytes) as f64;
        let memory = bytes / (result.cycles as f64 * self.machine.memory_bytes_per_cycle);
        let busy = [share(result.array_busy_cycles, arrays), share(result.vector_busy_cycles, cores), memory];
        result.bound = if result.tiles == 0 { Bound::Nothing } else { Bound::of(busy) };
    }
}

/// What the mapper takes a round trip to memory to cost; it chooses among tilings and bounds nothing.
const MEMORY_LATENCY_CYCLES: f64 = 100.0;

/// Peak of all memory parts together.
fn memory_gb_per_s(file: &MachineFile) -> Result<f64, Vec<ConfigError>> {
    let mut sum = 0.0;
    for part in &file.parts {
        if part.kind == Channel::KIND {
            let spec = part.read::<ChannelSpec>()?;
            let preset = hbm::library::preset(&spec.preset).map_err(|error| {
                let problem = Problem::BadValue { message: error.to_string() };
                vec![ConfigError::new(&part.place, format!("part.{}.preset", part.name), problem)]
            })?;
            sum += preset.peak_channel_gb_per_s() * part.components() as f64;
        } else if part.kind == FixedMemory::KIND {
            sum += part.read::<FixedMemorySpec>()?.bandwidth_gb_per_s * part.components() as f64;
        }
    }
    Ok(sum)
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
