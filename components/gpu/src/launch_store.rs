//! What travels between the command processor and the SMs beside the messages: kernels and what CTAs execute.
//!
//! A message names a CTA; what the CTA executes waits here. Values are computed when the command processor dispatches a
//! CTA, in dispatch order (functional-ahead), so that atomics do not depend on timing, threads or shards; locks are then
//! taken once a CTA, never in a tick of work. With values at issue the CTA takes the grid along and executes as it issues.
//!
//! The launches of one stream run one after the other: the next begins when the last store of the one before is answered, and finds
//! the memory and the caches that it left, and what the host has written meanwhile. Launches of several streams run side by
//! side on one memory: a CTA sees what those dispatched before it left, whichever launch they are of. That is one of the results
//! that CUDA allows; programs whose streams race for a buffer have others too.

use crate::functional::{Functional, lock};
use crate::sm::timing::KernelTiming;
use crate::sm::{Cta, CtaHandle, CtaResources, LiveOps, OpSource};
use protocol::{HostWrite, HostWrites};
use rustc_hash::FxHashMap;
use sim_core::{Femtos, Reader};
use std::ops::Range;
use std::sync::{Arc, Mutex};
use workloads::accel_sim::{Replay, TracedKernel};
use workloads::sass::SassError;
use workloads::sass::exec::{Counters, ExecError, Grid, Values};
use workloads::stream::{CtaStream, LINE_BYTES};

/// Code of one kernel begins at a multiple of this.
const CODE_ALIGNMENT: u64 = 4096;
/// Constant banks of two launches are this far apart.
const CONSTANT_STRIDE: u64 = 1 << 20;

/// One launched grid: what its CTAs execute, and the CTAs on their way to SMs.
pub struct LaunchedGrid {
    kernel: Arc<KernelTiming>,
    resources: CtaResources,
    ctas: u32,
    stream: u32,
    origin: Origin,
    on_the_way: Mutex<FxHashMap<u32, OpSource>>,
    /// What the host copies to the device before, in order.
    copies: Vec<Range<u64>>,
    /// Before the launch the caches were emptied: neither code nor constants are there.
    flushed: bool,
}

/// Where the operations of a CTA come from.
enum Origin {
    /// They are executed.
    Grid { functional: Functional, values: Values },
    /// They were executed on a GPU; the trace is opened when the first CTA is wanted. What went wrong in reading it.
    Trace { kernel: Arc<TracedKernel>, replay: Mutex<Option<Box<Replay>>>, failure: Mutex<Option<SassError>> },
}

/// Why a CTA could not be given its operations.
#[derive(Clone, Debug)]
pub enum LaunchFailure {
    /// A warp did something impossible.
    Execution(Box<ExecError>),
    /// The trace cannot be read.
    Trace(SassError),
}

impl LaunchedGrid {
    /// A grid that no CTA has run of yet.
    pub fn new(grid: Grid, kernel: KernelTiming, resources: CtaResources) -> Self {
        let ctas = u32::try_from(grid.cta_count()).unwrap_or(u32::MAX);
        let origin = Origin::Grid { values: grid.values(), functional: Functional::new(grid) };
        Self::of(origin, ctas, kernel, resources)
    }

    /// A traced grid: as many CTAs as the trace has.
    pub fn of_trace(traced: Arc<TracedKernel>, kernel: KernelTiming, resources: CtaResources) -> Self {
        let ctas = u32::try_from(traced.totals.blocks).unwrap_or(u32::MAX);
        let origin = Origin::Trace { kernel: traced, replay: Mutex::default(), failure: Mutex::default() };
        Self::of(origin, ctas, kernel, resources)
    }

    fn of(origin: Origin, ctas: u32, kernel: KernelTiming, resources: CtaResources) -> Self {
        let (kernel, on_the_way) = (Arc::new(kernel), Mutex::default());
        Self { kernel, resources, ctas, stream: 0, origin, on_the_way, copies: Vec::new(), flushed: false }
    }

    /// The host copies these bytes to the device before the launch, in this order.
    #[must_use]
    pub fn after_copies(mut self, copies: Vec<Range<u64>>) -> Self {
        self.copies = copies;
        self
    }

    /// All caches are emptied before the launch, as Nsight Compute does.
    #[must_use]
    pub fn flushed(mut self, flushed: bool) -> Self {
        self.flushed = flushed;
        self
    }

    /// Launches of one stream run one after the other.
    #[must_use]
    pub fn in_stream(mut self, stream: u32) -> Self {
        self.stream = stream;
        self
    }

    /// CTAs of the grid.
    pub fn ctas(&self) -> u32 {
        self.ctas
    }

    /// Its stream.
    pub fn stream(&self) -> u32 {
        self.stream
    }

    /// What one CTA takes of an SM.
    pub fn resources(&self) -> &CtaResources {
        &self.resources
    }

    /// The functional state, if values are computed at issue.
    fn at_issue(&self) -> Option<&Functional> {
        match &self.origin {
            Origin::Grid { functional, values: Values::AtIssue } => Some(functional),
            _ => None,
        }
    }

    fn failure(&self) -> Option<LaunchFailure> {
        match &self.origin {
            Origin::Grid { functional, .. } => functional.failure().map(Box::new).map(LaunchFailure::Execution),
            Origin::Trace { failure, .. } => lock(failure).clone().map(LaunchFailure::Trace),
        }
    }
}

/// The launches of a program, in order. CTAs are numbered through the program.
pub struct LaunchStore {
    grids: Vec<LaunchedGrid>,
    /// Number of each launch's first CTA; behind the last one, how many there are.
    first_cta: Vec<u32>,
    /// The launch whose grid has the memory of the program.
    holder: Mutex<usize>,
    host: Arc<HostWrites>,
}

impl LaunchStore {
    /// At least one launch. Kernels of the same name have the same code. `None`: more CTAs than can be numbered.
    pub fn new(mut grids: Vec<LaunchedGrid>) -> Option<Self> {
        let mut first_cta = vec![0u32];
        for grid in &grids {
            first_cta.push(first_cta.last()?.checked_add(grid.ctas)?);
        }
        let mut places: FxHashMap<String, u64> = FxHashMap::default();
        let mut free = grids.first().map_or(0, |grid| grid.kernel.code_address);
        let mut writes = Vec::new();
        for (number, grid) in (0u32..).zip(&mut grids) {
            let mut write = |addresses: Range<u64>| writes.push(HostWrite { before_launch: number, addresses });
            grid.copies.iter().cloned().for_each(&mut write);
            // What the front end of an SM asks for comes in whole lines.
            let mut write = |bytes: Range<u64>| write(bytes.start..bytes.end.next_multiple_of(LINE_BYTES));
            let kernel = Arc::make_mut(&mut grid.kernel);
            let code_bytes = 16 * kernel.ops.len() as u64;
            let known = places.get(&kernel.name).copied();
            kernel.code_address = known.unwrap_or(free);
            kernel.constant_address += u64::from(number) * CONSTANT_STRIDE;
            // Code is uploaded when it is first wanted, constants are written for each launch.
            let code = kernel.code_address..kernel.code_address + code_bytes;
            if known.is_none() {
                places.insert(kernel.name.clone(), code.start);
                free = code.end.next_multiple_of(CODE_ALIGNMENT);
            }
            if grid.flushed {
                continue;
            }
            if known.is_none() {
                write(code);
            }
            for bytes in kernel.constants() {
                write(bytes);
            }
        }
        let host = Arc::new(HostWrites::new(writes, grids.len()));
        Some(Self { grids, first_cta, holder: Mutex::new(0), host })
    }

    /// What the host writes between the launches.
    pub fn host_writes(&self) -> &Arc<HostWrites> {
        &self.host
    }

    /// All launches.
    pub fn launches(&self) -> &[LaunchedGrid] {
        &self.grids
    }

    /// The launch of a CTA.
    pub fn launch_of(&self, cta: u32) -> usize {
        self.first_cta.partition_point(|&first| first <= cta) - 1
    }

    /// A launch begins; its CTAs start at `from` or later.
    pub fn begin(&self, launch: usize, from: Femtos) {
        self.host.begin(launch as u32, from);
        self.lend_memory(launch);
    }

    /// A launch is over. What reads its trace is closed.
    pub fn end(&self, launch: usize) {
        if let Origin::Trace { replay, .. } = &self.grids[launch].origin {
            *lock(replay) = None;
        }
    }

    /// The memory of the program goes to the grid of a launch, from wherever it is.
    fn lend_memory(&self, launch: usize) {
        let mut holder = lock(&self.holder);
        if let (true, Origin::Grid { functional: last, .. }, Origin::Grid { functional: next, .. }) =
            (*holder != launch, &self.grids[*holder].origin, &self.grids[launch].origin)
        {
            let memory = last.grid().take_memory();
            next.grid().give_memory(memory);
            *holder = launch;
        }
    }

    /// Lends what the states of the only launch's CTAs refer to: programs of several are not saved.
    pub(crate) fn lend(&self, to: &mut Reader<'_>) {
        let grid = &self.grids[0];
        to.lend(grid.kernel.clone());
        if let Some(functional) = grid.at_issue() {
            to.lend(Arc::new(functional.clone()));
        }
    }

    /// Executes CTA number `cta` of a launch that runs in a grid slot, or starts it if it executes at issue, or reads its
    /// trace, and keeps it for the SM. Its number in the program; `None` if that failed: see [`LaunchStore::failure`].
    pub fn execute(&self, launch: usize, cta: u32, slot: u8) -> Option<u32> {
        let grid = &self.grids[launch];
        self.lend_memory(launch);
        let source = match &grid.origin {
            Origin::Grid { functional, values: Values::Ahead } => {
                let mut stream = CtaStream::default();
                let mut grid = functional.grid();
                grid.set_slot(slot);
                if let Err(failure) = grid.run_cta(cta, &mut stream) {
                    functional.fail(failure);
                    return None;
                }
                OpSource::Recorded(stream)
            }
            Origin::Grid { functional, values: Values::AtIssue } => {
                let live = functional.grid().start_cta(cta);
                OpSource::Live(Box::new(LiveOps::new(live, functional.clone())))
            }
            Origin::Trace { kernel, replay, failure } => {
                let mut stream = CtaStream::default();
                let mut replay = lock(replay);
                let read = match &mut *replay {
                    Some(replay) => replay.run_block(cta, &mut stream),
                    None => Replay::new(kernel.clone())
                        .and_then(|opened| replay.insert(Box::new(opened.in_slot(slot))).run_block(cta, &mut stream)),
                };
                if let Err(error) = read {
                    lock(failure).get_or_insert(error);
                    return None;
                }
                OpSource::Recorded(stream)
            }
        };
        lock(&grid.on_the_way).insert(cta, source);
        Some(self.first_cta[launch] + cta)
    }

    /// The CTA for the SM that was told its number in the program, and its grid slot.
    ///
    /// # Panics
    /// If the CTA was not executed or was taken already.
    pub fn take(&self, cta: u32, slot: u8) -> Cta {
        let launch = self.launch_of(cta);
        let grid = &self.grids[launch];
        let source = lock(&grid.on_the_way).remove(&(cta - self.first_cta[launch]));
        let source = source.unwrap_or_else(|| panic!("CTA {cta} is launched without having been executed"));
        Cta { handle: CtaHandle(cta), slot, kernel: grid.kernel.clone(), source, resources: grid.resources }
    }

    /// A CTA of a launch has left its SM.
    pub fn has_left(&self, launch: usize) {
        if let Some(functional) = self.grids[launch].at_issue() {
            functional.grid().left();
        }
    }

    /// Whether the dispatcher can start no further CTA of a launch before one has left.
    pub fn set_nothing_starts(&self, launch: usize, nothing_starts: bool) {
        if let Some(functional) = self.grids[launch].at_issue() {
            functional.grid().set_nothing_starts(nothing_starts);
        }
    }

    /// What went wrong in functional execution or in reading a trace, if anything did.
    pub fn failure(&self) -> Option<LaunchFailure> {
        self.grids.iter().find_map(LaunchedGrid::failure)
    }

    /// Looks at the functional state of the launch that has the memory: the latest that executed anything. A trace has none.
    pub fn with_grid<T>(&self, look: impl FnOnce(&Grid) -> T) -> Option<T> {
        match &self.grids[*lock(&self.holder)].origin {
            Origin::Grid { functional, .. } => Some(look(&functional.grid())),
            Origin::Trace { .. } => None,
        }
    }

    /// Of all launches that are executed and not traced.
    pub fn counters(&self) -> Counters {
        let mut all = Counters::default();
        for grid in &self.grids {
            if let Origin::Grid { functional, .. } = &grid.origin {
                all.include(&functional.grid().counters());
            }
        }
        all
    }
}

/// The state of a launch in a snapshot. All components of a machine share one store; the command processor saves it. Only
/// programs of one launch are saved.
pub(crate) mod shared {
    use super::*;
    use crate::sm::source::saved;
    use sim_core::{LoadError, Saved, Writer};

    pub fn save(store: &LaunchStore, out: &mut Writer) {
        let LaunchStore { grids, first_cta: _, holder: _, host: _ } = store;
        let LaunchedGrid { kernel: _, resources: _, ctas: _, stream: _, origin, on_the_way, copies: _, flushed: _ } =
            &grids[0];
        // A trace is found again by the number of the block that is wanted.
        if let Origin::Grid { functional, .. } = origin {
            functional.grid().save(out);
        }
        let on_the_way = lock(on_the_way);
        let mut in_order: Vec<(&u32, &OpSource)> = on_the_way.iter().collect();
        in_order.sort_by_key(|(cta, _)| **cta);
        out.put(&in_order.iter().map(|(cta, _)| **cta).collect::<Vec<u32>>());
        in_order.iter().for_each(|(_, source)| saved::save(source, out));
    }

    pub fn load(store: &LaunchStore, from: &mut Reader<'_>) -> Result<(), LoadError> {
        let grid = &store.grids[0];
        if let Origin::Grid { functional, .. } = &grid.origin {
            functional.grid().load(from)?;
        }
        store.lend(from);
        let ctas: Vec<u32> = from.get()?;
        let mut on_the_way = lock(&grid.on_the_way);
        on_the_way.clear();
        for cta in ctas {
            let mut source = OpSource::Recorded(CtaStream::default());
            saved::load(&mut source, from)?;
            on_the_way.insert(cta, source);
        }
        Ok(())
    }
}
