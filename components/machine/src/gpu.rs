//! A GPU that executes one kernel launch, or those of a program: one after the other, and several streams side by side.

use gpu::command_processor::CommandProcessorSpec;
use gpu::sm::dependences::derive;
use gpu::sm::spec::SmSpec;
use gpu::sm::{CtaResources, KernelTiming};
use gpu::{CommandProcessor, LaunchFailure, LaunchStore, LaunchedGrid, SmComponent, SmParameters};
use sim_core::config::{ConfigError, Problem};
use sim_core::{
    ClockDomain, Component, Cycle, DomainId, Femtos, Machine, MachineFile, Plan, Progress, Resources, RunError,
    RunOutcome, StatsNode, StopAt, StopReason,
};
use std::ops::Range;
use std::sync::Arc;
use workloads::accel_sim::kernel::COPY_COUNTER;
use workloads::accel_sim::{TracedKernel, runs_code_of};
use workloads::sass::check::{Comparison, check};
use workloads::sass::exec::{Counters, ExecError, GlobalMemory, Grid, Values};
use workloads::sass::launch::Caches;
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

/// A kernel of a traced program.
pub struct TracedLaunch {
    pub kernel: Arc<TracedKernel>,
    /// Addresses that the host copies to the device before it, in this order.
    pub copies: Vec<Range<u64>>,
}

fn untimed(file: &str, error: &dyn std::fmt::Display) -> SassError {
    SassError::new(file, 0, error.to_string(), "this instruction has no timing on this architecture")
}

/// Streams that run side by side meet in the L2, which takes over what the host has written before a launch when the overhead of the
/// launch is past: no shard may run ahead of another by as much, which the longest link bounds (`protocol::HostWrites`).
fn overhead_covers_links(file: &MachineFile) -> Result<(), GpuError> {
    let Some(part) = file.parts.iter().find(|part| part.kind == CommandProcessor::KIND) else { return Ok(()) };
    let overhead = part.read::<CommandProcessorSpec>()?.launch_overhead_cycles;
    let slowest = file.clocks.iter().map(|clock| clock.hertz).min().unwrap_or(1).max(1) as f64;
    let longest = file.links.iter().map(|link| link.latency_cycles.max(link.credit_latency_cycles)).max().unwrap_or(0);
    let least = (f64::from(longest + 1) * file.clocks[part.clock].hertz as f64 / slowest).ceil();
    if f64::from(overhead) < least {
        let message =
            format!("launch_overhead_cycles = {overhead} is too short for streams side by side on several shards");
        let help = format!("at least {least}, as many as the longest link takes, or --shards 1");
        return Err(SassError::new(&file.name, 0, message, help).into());
    }
    Ok(())
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
    /// Several, which are not compared with anything.
    Launches,
    Traces(Vec<Arc<TracedKernel>>),
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
        Self::of_launches(file, &[(kernel, launch)], plan, values)
    }

    /// The launches of a program on the same machine: those of a stream run one after the other, several streams side by side;
    /// buffers of one name are one buffer. The host copies the buffers to the device before the first launch that names them.
    ///
    /// # Errors
    /// As [`GpuSimulation::new`]; there is no launch; a buffer changes its size; several streams with values at issue.
    pub fn of_launches(
        file: &MachineFile,
        launches: &[(&Kernel, &Launch)],
        plan: Plan,
        values: Values,
    ) -> Result<Self, GpuError> {
        let shape = GpuShape::of(file)?;
        let plan = if values == Values::AtIssue { Plan { shards: 1, stretches: false, ..plan } } else { plan };
        let streams = launches.windows(2).any(|pair| pair[0].1.stream != pair[1].1.stream);
        if let (Values::AtIssue, true, Some((_, launch))) = (values, streams, launches.first()) {
            let message = "values are computed at issue for one stream only";
            let help = "run the streams without --coupled, or one of them with it";
            return Err(SassError::new(&launch.file, 0, message, help).into());
        }
        let mut memory = GlobalMemory::default();
        let mut grids = Vec::new();
        for (number, (kernel, launch)) in launches.iter().enumerate() {
            if number > 0 && launch.caches == Caches::Flushed {
                let message = "a program empties no caches between its launches";
                return Err(SassError::new(&launch.file, 0, message, "caches = \"flushed\" only in the first").into());
            }
            let known = memory.buffers().len();
            let grid = Grid::beside(kernel, launch, values, &mut memory)?;
            let uploaded = memory.buffers()[known..].iter().filter(|buffer| {
                let mut arguments = launch.arguments.iter();
                arguments.all(|argument| argument.memory_name() != buffer.name || argument.uploaded)
            });
            let copies = uploaded.map(|buffer| buffer.address..buffer.address + buffer.data.len() as u64);
            let flushed = launch.caches == Caches::Flushed;
            let copies = if flushed { Vec::new() } else { copies.collect() };
            let timing = KernelTiming::new(&kernel.name, &kernel.instructions, &shape.sm);
            let timing = timing.map_err(|error| untimed(&kernel.file, &error))?;
            let resources = CtaResources {
                threads: launch.threads_per_block(),
                registers_per_thread: kernel.metadata.registers,
                shared_bytes: launch.shared_bytes(kernel),
            };
            grids.push((grid, timing, resources, copies, flushed, launch.stream));
        }
        if let Some((first, ..)) = grids.first_mut() {
            first.give_memory(memory);
        }
        let launched = grids.into_iter().map(|(grid, timing, resources, copies, flushed, stream)| {
            LaunchedGrid::new(grid, timing, resources).after_copies(copies).flushed(flushed).in_stream(stream)
        });
        let workload = match launches {
            [(_, launch)] => Workload::Launch(Box::new((*launch).clone())),
            _ => Workload::Launches,
        };
        Self::build(file, launched.collect(), workload, shape, plan)
    }

    /// A traced kernel, played to the machine. Its control fields are derived for the machine's architecture.
    ///
    /// # Errors
    /// The machine file is wrong, the trace is of another architecture, or it has an instruction without timing.
    pub fn of_trace(file: &MachineFile, kernel: &Arc<TracedKernel>, plan: Plan) -> Result<Self, GpuError> {
        Self::of_traces(file, vec![TracedLaunch { kernel: kernel.clone(), copies: Vec::new() }], plan)
    }

    /// The traced kernels of a program, with what was copied to the device between them: those of a stream one after the other,
    /// several streams side by side.
    ///
    /// # Errors
    /// As [`GpuSimulation::of_trace`]; there is no kernel.
    pub fn of_traces(file: &MachineFile, launches: Vec<TracedLaunch>, plan: Plan) -> Result<Self, GpuError> {
        let shape = GpuShape::of(file)?;
        let (mut grids, mut streams) = (Vec::new(), Vec::new());
        for TracedLaunch { kernel, copies } in &launches {
            if !runs_code_of(&shape.sm.arch, &kernel.header.arch) {
                let message =
                    format!("the trace is of {}, but the machine is of {}", kernel.header.arch, shape.sm.arch);
                let help = "a trace runs on machines of its major revision that are not older";
                return Err(SassError::new(&kernel.file, 0, message, help).into());
            }
            let derived = derive(&kernel.instructions, &kernel.successors, COPY_COUNTER, &shape.sm)
                .map_err(|error| untimed(&kernel.file, &error))?;
            let timing = KernelTiming::new(&kernel.header.kernel, &derived.instructions, &shape.sm)
                .map_err(|error| untimed(&kernel.file, &error))?;
            let resources = CtaResources {
                threads: kernel.header.threads_per_block(),
                registers_per_thread: kernel.header.registers_per_thread,
                shared_bytes: kernel.header.shared_bytes,
            };
            let known = streams.iter().position(|&stream| stream == kernel.header.stream);
            let stream = known.unwrap_or_else(|| {
                streams.push(kernel.header.stream);
                streams.len() - 1
            });
            let grid = LaunchedGrid::of_trace(kernel.clone(), timing, resources);
            grids.push(grid.after_copies(copies.clone()).in_stream(stream as u32));
        }
        let kernels = launches.into_iter().map(|launch| launch.kernel).collect();
        Self::build(file, grids, Workload::Traces(kernels), shape, plan)
    }

    fn build(
        file: &MachineFile,
        grids: Vec<LaunchedGrid>,
        workload: Workload,
        shape: GpuShape,
        plan: Plan,
    ) -> Result<Self, GpuError> {
        if grids.is_empty() {
            return Err(SassError::new("program", 0, "has no launch", "give at least one").into());
        }
        if plan.shards != 1 && grids.iter().any(|grid| grid.stream() != grids[0].stream()) {
            overhead_covers_links(file)?;
        }
        let store = LaunchStore::new(grids).ok_or_else(|| {
            let help = format!("all launches together may have {} blocks", u32::MAX);
            SassError::new("program", 0, "has more thread blocks than can be numbered", help)
        })?;
        let store = Arc::new(store);
        let bag = Resources::new().with(store.clone()).with(store.host_writes().clone());
        let bag = bag.with(Arc::new(SmParameters(shape.sm.clone())));
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
            Workload::Launch(_) | Workload::Launches => self.store.counters(),
            Workload::Traces(kernels) => {
                let mut all = Counters::default();
                for TracedKernel { totals, .. } in kernels.iter().map(Arc::as_ref) {
                    all.include(&Counters {
                        warp_instructions: totals.warp_instructions,
                        thread_instructions: totals.thread_instructions,
                        by_opcode: totals.by_opcode.clone(),
                        flops_f32: totals.flops_f32,
                        ..Counters::default()
                    });
                }
                all
            }
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
