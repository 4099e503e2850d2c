//! A GPU that executes one kernel launch.

use gpu::sm::spec::SmSpec;
use gpu::sm::{CtaResources, KernelTiming};
use gpu::{LaunchStore, SmComponent, SmParameters};
use sim_core::config::{ConfigError, Problem};
use sim_core::{
    ClockDomain, Component, Cycle, DomainId, Femtos, Machine, MachineFile, Plan, Progress, Resources, RunError,
    RunOutcome, StatsNode, StopAt, StopReason,
};
use std::sync::Arc;
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
    launch: Launch,
    shape: GpuShape,
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
        let store = Arc::new(LaunchStore::new(grid, timing, resources));
        let bag = Resources::new().with(store.clone()).with(Arc::new(SmParameters(shape.sm.clone())));
        let machine = Machine::build(file, &crate::kinds(), bag, plan)?;
        Ok(Self { machine, store, launch: launch.clone(), shape })
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
            return Err(GpuError::Execution(Box::new(failure)));
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
        let check = match outcome.reason {
            StopReason::WorkDone => self.store.with_grid(|grid| check(&self.launch, grid.memory()))?,
            _ => None,
        };
        Ok(GpuResult {
            cycles: cycles.unwrap_or(u64::MAX),
            time: outcome.time,
            stats: self.machine.report(sim_core::Detail::Parts),
            executed: self.store.with_grid(Grid::counters),
            digest: self.machine.digest().to_hex().to_string(),
            shape: self.shape,
            check,
            outcome,
        })
    }
}
