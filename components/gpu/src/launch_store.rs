//! What travels between the command processor and the SMs beside the messages: kernels and what CTAs execute.
//!
//! A message names a CTA; what the CTA executes waits here. Values are computed when the command processor dispatches a
//! CTA, in dispatch order (functional-ahead), so that atomics do not depend on timing, threads or shards; locks are then
//! taken once a CTA, never in a tick of work. With values at issue the CTA takes the grid along and executes as it issues.

use crate::functional::{Functional, lock};
use crate::sm::timing::KernelTiming;
use crate::sm::{Cta, CtaHandle, CtaResources, LiveOps, OpSource};
use rustc_hash::FxHashMap;
use std::sync::{Arc, Mutex};
use workloads::accel_sim::Replay;
use workloads::sass::SassError;
use workloads::sass::exec::{ExecError, Grid, Values};
use workloads::stream::CtaStream;

/// One launched grid: what its CTAs execute, and the CTAs on their way to SMs.
pub struct LaunchStore {
    kernel: Arc<KernelTiming>,
    resources: CtaResources,
    ctas: u32,
    origin: Origin,
    on_the_way: Mutex<FxHashMap<u32, OpSource>>,
}

/// Where the operations of a CTA come from.
enum Origin {
    /// They are executed.
    Grid { functional: Functional, values: Values },
    /// They were executed on a GPU; what went wrong in reading them.
    Trace { replay: Box<Mutex<Replay>>, failure: Mutex<Option<SassError>> },
}

/// Why a CTA could not be given its operations.
#[derive(Clone, Debug)]
pub enum LaunchFailure {
    /// A warp did something impossible.
    Execution(Box<ExecError>),
    /// The trace cannot be read.
    Trace(SassError),
}

impl LaunchStore {
    /// A grid that no CTA has run of yet.
    pub fn new(grid: Grid, kernel: KernelTiming, resources: CtaResources) -> Self {
        Self {
            kernel: Arc::new(kernel),
            resources,
            ctas: u32::try_from(grid.cta_count()).unwrap_or(u32::MAX),
            origin: Origin::Grid { values: grid.values(), functional: Functional::new(grid) },
            on_the_way: Mutex::default(),
        }
    }

    /// A traced grid: as many CTAs as the trace has.
    pub fn of_trace(replay: Replay, kernel: KernelTiming, resources: CtaResources) -> Self {
        Self {
            kernel: Arc::new(kernel),
            resources,
            ctas: u32::try_from(replay.kernel().totals.blocks).unwrap_or(u32::MAX),
            origin: Origin::Trace { replay: Box::new(Mutex::new(replay)), failure: Mutex::default() },
            on_the_way: Mutex::default(),
        }
    }

    /// What all SMs know of the kernel.
    pub fn kernel(&self) -> &Arc<KernelTiming> {
        &self.kernel
    }

    /// CTAs of the grid.
    pub fn ctas(&self) -> u32 {
        self.ctas
    }

    /// What one CTA takes of an SM.
    pub fn resources(&self) -> &CtaResources {
        &self.resources
    }

    /// Executes CTA number `cta`, or starts it if it executes at issue, or reads its trace, and keeps it for the SM.
    /// `false` if that failed: see [`LaunchStore::failure`].
    pub fn execute(&self, cta: u32) -> bool {
        let source = match &self.origin {
            Origin::Grid { functional, values: Values::Ahead } => {
                let mut stream = CtaStream::default();
                if let Err(failure) = functional.grid().run_cta(cta, &mut stream) {
                    functional.fail(failure);
                    return false;
                }
                OpSource::Recorded(stream)
            }
            Origin::Grid { functional, values: Values::AtIssue } => {
                let live = functional.grid().start_cta(cta);
                OpSource::Live(Box::new(LiveOps::new(live, functional.clone())))
            }
            Origin::Trace { replay, failure } => {
                let mut stream = CtaStream::default();
                if let Err(error) = lock(replay).run_block(cta, &mut stream) {
                    lock(failure).get_or_insert(error);
                    return false;
                }
                OpSource::Recorded(stream)
            }
        };
        lock(&self.on_the_way).insert(cta, source);
        true
    }

    /// The CTA for the SM that was told its number.
    ///
    /// # Panics
    /// If the CTA was not executed or was taken already.
    pub fn take(&self, cta: u32) -> Cta {
        let source = lock(&self.on_the_way).remove(&cta);
        let source = source.unwrap_or_else(|| panic!("CTA {cta} is launched without having been executed"));
        Cta { handle: CtaHandle(cta), kernel: self.kernel.clone(), source, resources: self.resources }
    }

    /// The functional state, if values are computed at issue.
    fn at_issue(&self) -> Option<&Functional> {
        match &self.origin {
            Origin::Grid { functional, values: Values::AtIssue } => Some(functional),
            _ => None,
        }
    }

    /// A CTA has left its SM.
    pub fn has_left(&self) {
        if let Some(functional) = self.at_issue() {
            functional.grid().left();
        }
    }

    /// Whether the dispatcher can start no further CTA before one has left.
    pub fn set_nothing_starts(&self, nothing_starts: bool) {
        if let Some(functional) = self.at_issue() {
            functional.grid().set_nothing_starts(nothing_starts);
        }
    }

    /// What went wrong in functional execution or in reading the trace, if anything did.
    pub fn failure(&self) -> Option<LaunchFailure> {
        match &self.origin {
            Origin::Grid { functional, .. } => functional.failure().map(Box::new).map(LaunchFailure::Execution),
            Origin::Trace { failure, .. } => lock(failure).clone().map(LaunchFailure::Trace),
        }
    }

    /// Looks at the functional state: memory, counters. A trace has none.
    pub fn with_grid<T>(&self, look: impl FnOnce(&Grid) -> T) -> Option<T> {
        match &self.origin {
            Origin::Grid { functional, .. } => Some(look(&functional.grid())),
            Origin::Trace { .. } => None,
        }
    }
}

/// The state of a launch in a snapshot. All components of a machine share one store; the command processor saves it.
pub(crate) mod shared {
    use super::*;
    use crate::sm::source::saved;
    use sim_core::{LoadError, Reader, Saved, Writer};

    pub fn save(store: &LaunchStore, out: &mut Writer) {
        let LaunchStore { kernel: _, resources: _, ctas: _, origin, on_the_way } = store;
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
        if let Origin::Grid { functional, .. } = &store.origin {
            functional.grid().load(from)?;
        }
        let ctas: Vec<u32> = from.get()?;
        let mut on_the_way = lock(&store.on_the_way);
        on_the_way.clear();
        for cta in ctas {
            let mut source = OpSource::Recorded(CtaStream::default());
            saved::load(&mut source, from)?;
            on_the_way.insert(cta, source);
        }
        Ok(())
    }
}
