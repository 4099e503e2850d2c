//! A GPU that executes one kernel launch.

use gpu::sm::dependences::derive;
use gpu::sm::spec::SmSpec;
use gpu::sm::{CtaResources, KernelTiming};
use gpu::{LaunchFailure, LaunchStore, SmComponent, SmParameters};
use sim_core::config::{ConfigError, Problem};
use sim_core::{
    ClockDomain, Component, Cycle, DomainId, Femtos, Machine, MachineFile, Plan, Progress, Resources, RunError,
    RunOutcome, StatsNode, StopAt, StopReason,
};
use std::sync::Arc;
use workloads::accel_sim::kernel::COPY_COUNTER;
use workloads::accel_sim::{Replay, TracedKernel};
use workloads::sass::check::{Comparison, check};
use workloads::sass::exec::{Counters, ExecError, Grid, Values};
use workloads::sass::{Kernel, Launch, SassError};

/// Why a launch could not be simulated.
#[derive(Debug, thiserror::Error)]
pub enum GpuError {
    /// The machine file is wrong, or is no GPU.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Config(Vec<ConfigError>),
    /// The kernel or its launch is wrong.
    #[error(transparent)]
    Workload(#[from] SassError),
    /// A warp did something impossible.
    #[error(transparent)]
    Execution(Box<ExecError>),
    /// The simulation did not end.
    #[error(transparent)]
    Run(#[from] RunError),
}

impl From<Vec<ConfigError>> for GpuError {
    fn from(errors: Vec<ConfigError>) -> Self {
        Self::Config(errors)
    }
}

/// The SMs of a machine: how many, at which clock, with which parameters.
#[derive(Clone, Debug)]
pub struct GpuShape {
    pub sms: usize,
    pub clock_hz: u64,
    pub sm: SmSpec,
}

impl GpuShape {
    /// Reads the part of kind `gpu.sm` out of a machine file.
    ///
    /// # Errors
    /// There is no such part, or its parameters are wrong.
    pub fn of(file: &MachineFile) -> Result<Self, Vec<ConfigError>> {
        let Some(part) = file.parts.iter().find(|part| part.kind == SmComponent::KIND) else {
            let place = sim_core::config::Place::start_of(file.document().source());
            let problem = Problem::Unknown { what: "part of kind", name: SmComponent::KIND.to_owned() };
            let help = "a kernel launch runs on a machine with SMs; see `orrery list machines`";
            return Err(vec![ConfigError::new(&place, "part", problem).help(help)]);
        };
        let sm = part.read::<SmSpec>()?;
        Ok(Self { sms: part.components(), clock_hz: file.clocks[part.clock].hertz, sm })
    }

    /// Peak single-precision rate in flop/s: lanes follow from the initiation interval of the FP32 pipe, and a fused
    /// multiply-add counts as two.
    pub fn peak_f32_flop_per_s(&self) -> f64 {
        let lanes = 4.0 * 32.0 / f64::from(self.sm.execution.fp32.initiation_interval_cycles);
        2.0 * lanes * self.sms as f64 * self.clock_hz as f64
    }
}

/// A launch on a machine, ready to run.
pub struct GpuSimulation {
    machine: Machine,
    store: Arc<LaunchStore>,
    workload: Workload,
    shape: GpuShape,
}

/// What runs: for the comparison with a reference and for what is counted ahead of the run.
enum Workload {
    Launch(Box<Launch>),
    Trace(Arc<TracedKernel>),
}

/// What a run gave.
#[derive(Debug)]
pub struct GpuResult {
    /// Of the SMs' clock, from the start of the launch to the end of the last CTA.
    pub cycles: u64,
    pub time: Femtos,
    pub shape: GpuShape,
    /// Parts summed over their components.
    pub stats: StatsNode,
    /// What was executed.
    pub executed: Counters,
    /// Comparison with the reference that the launch names.
    pub check: Option<Comparison>,
    pub outcome: RunOutcome,
    /// Hash of all that was simulated.
    pub digest: String,
}

impl GpuSimulation {
    /// Lowers the kernel, fills the buffers and builds the machine.
    ///
    /// # Errors
    /// Anything wrong with machine, kernel or launch, at its place.
    pub fn new(file: &MachineFile, kernel: &Kernel, launch: &Launch, plan: Plan) -> Result<Self, GpuError> {
        Self::with_values(file, kernel, launch, plan, Values::Ahead)
    }

    /// As [`GpuSimulation::new`], with values computed ahead of time or at issue. At issue, the machine is one shard
    /// whatever `plan` says: all SMs work on one memory in the order of their ticks.
    ///
    /// # Errors
    /// As [`GpuSimulation::new`].
    pub fn with_values(
        file: &MachineFile,
        kernel: &Kernel,
        launch: &Launch,
        plan: Plan,
        values: Values,
    ) -> Result<Self, GpuError> {
        let shape = GpuShape::of(file)?;
        let grid = Grid::with_values(kernel, launch, values)?;
        let plan = if values == Values::AtIssue { Plan { shards: 1, ..plan } } else { plan };
        let timing = KernelTiming::new(&kernel.name, &kernel.instructions, &shape.sm).map_err(|error| {
            SassError::new(&kernel.file, 0, error.to_string(), "this instruction has no timing on this architecture")
        })?;
        let resources = CtaResources {
            threads: launch.threads_per_block(),
            registers_per_thread: kernel.metadata.registers,
            shared_bytes: launch.shared_bytes(kernel),
        };
        let store = LaunchStore::new(grid, timing, resources);
        Self::build(file, store, Workload::Launch(Box::new(launch.clone())), shape, plan)
    }

    /// A traced kernel, played to the machine. Its control fields are derived for the machine's architecture.
    ///
    /// # Errors
    /// The machine file is wrong, the trace is of another architecture, or it has an instruction without timing.
    pub fn of_trace(file: &MachineFile, kernel: &Arc<TracedKernel>, plan: Plan) -> Result<Self, GpuError> {
        let shape = GpuShape::of(file)?;
        let wrong = |message: String, help: &str| SassError::new(&kernel.file, 0, message, help);
        if kernel.header.arch != shape.sm.arch {
            let message = format!("the trace is of {}, but the machine is of {}", kernel.header.arch, shape.sm.arch);
            return Err(wrong(message, "a trace runs on a machine of its own architecture").into());
        }
        let untimed = "this instruction has no timing on this architecture";
        let derived = derive(&kernel.instructions, &kernel.successors, COPY_COUNTER, &shape.sm)
            .map_err(|error| wrong(error.to_string(), untimed))?;
        let timing = KernelTiming::new(&kernel.header.kernel, &derived.instructions, &shape.sm)
            .map_err(|error| wrong(error.to_string(), untimed))?;
        let resources = CtaResources {
            threads: kernel.header.threads_per_block(),
            registers_per_thread: kernel.header.registers_per_thread,
            shared_bytes: kernel.header.shared_bytes,
        };
        let store = LaunchStore::of_trace(Replay::new(kernel.clone())?, timing, resources);
        Self::build(file, store, Workload::Trace(kernel.clone()), shape, plan)
    }

    fn build(
        file: &MachineFile,
        store: LaunchStore,
        workload: Workload,
        shape: GpuShape,
        plan: Plan,
    ) -> Result<Self, GpuError> {
        let store = Arc::new(store);
        let bag = Resources::new().with(store.clone()).with(Arc::new(SmParameters(shape.sm.clone())));
        let machine = Machine::build(file, &crate::kinds(), bag, plan)?;
        Ok(Self { machine, store, workload, shape })
    }

    /// The machine, for listening to its facts, saving and loading it.
    pub fn machine_mut(&mut self) -> &mut Machine {
        &mut self.machine
    }

    /// The functional state, for looking at memory after the run.
    pub fn store(&self) -> Arc<LaunchStore> {
        self.store.clone()
    }

    /// Runs the launch to its end.
    ///
    /// # Errors
    /// Execution failed at an instruction, or the machine deadlocked.
    pub fn run(mut self, progress: &mut dyn FnMut(Progress)) -> Result<GpuResult, GpuError> {
        let outcome = self.advance(None, progress)?;
        self.result(outcome)
    }

    /// Runs the launch to its end, but not beyond a cycle of the SMs' clock if one is given. May be called again.
    ///
    /// # Errors
    /// As [`GpuSimulation::run`].
    pub fn advance(
        &mut self,
        until: Option<Cycle>,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<RunOutcome, GpuError> {
        let clock = ClockDomain::new(DomainId(0), self.shape.clock_hz);
        let stop = until.map_or(StopAt::WorkDone, |cycle| StopAt::WorkDoneBy(clock.edge(cycle)));
        let outcome = self.machine.run(stop, progress);
        // A failed execution ends the run early; it explains whatever else went wrong.
        if let Some(failure) = self.store.failure() {
            return Err(match failure {
                LaunchFailure::Execution(failure) => GpuError::Execution(failure),
                LaunchFailure::Trace(failure) => GpuError::Workload(failure),
            });
        }
        Ok(outcome?)
    }

    /// What the run gave up to where it was stopped. Results are compared with their reference only at the end.
    ///
    /// # Errors
    /// The launch names a reference that cannot be computed.
    pub fn result(mut self, outcome: RunOutcome) -> Result<GpuResult, GpuError> {
        // An edge is rounded down to femtoseconds, so its number is rounded up.
        let cycles = u64::try_from(
            (u128::from(outcome.time.0) * u128::from(self.shape.clock_hz)).div_ceil(1_000_000_000_000_000),
        );
        let check = match (&self.workload, outcome.reason) {
            (Workload::Launch(launch), StopReason::WorkDone) => {
                self.store.with_grid(|grid| check(launch, grid.memory())).transpose()?.flatten()
            }
            _ => None,
        };
        let executed = match &self.workload {
            Workload::Launch(_) => self.store.with_grid(Grid::counters).unwrap_or_default(),
            Workload::Trace(kernel) => Counters {
                warp_instructions: kernel.totals.warp_instructions,
                thread_instructions: kernel.totals.thread_instructions,
                by_opcode: kernel.totals.by_opcode.clone(),
                flops_f32: kernel.totals.flops_f32,
                ..Counters::default()
            },
        };
        Ok(GpuResult {
            cycles: cycles.unwrap_or(u64::MAX),
            time: outcome.time,
            stats: self.machine.report(sim_core::Detail::Parts),
            executed,
            digest: self.machine.digest().to_hex().to_string(),
            shape: self.shape,
            check,
            outcome,
        })
    }
}
