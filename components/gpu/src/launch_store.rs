//! What travels between the command processor and the SMs beside the messages: kernels and the streams of CTAs.
//!
//! A message names a CTA; what the CTA executes waits here. Values are computed when the command processor dispatches a
//! CTA, in dispatch order (functional-ahead), so that atomics do not depend on timing, threads or shards. Locks are
//! taken once a CTA, never in a tick of work.

use crate::sm::timing::KernelTiming;
use crate::sm::{Cta, CtaHandle, CtaResources};
use rustc_hash::FxHashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use workloads::sass::exec::{ExecError, Grid};
use workloads::stream::CtaStream;

/// One launched grid: its functional state, and the streams on their way to SMs.
pub struct LaunchStore {
    kernel: Arc<KernelTiming>,
    resources: CtaResources,
    ctas: u32,
    grid: Mutex<Grid>,
    on_the_way: Mutex<FxHashMap<u32, CtaStream>>,
    failure: Mutex<Option<ExecError>>,
}

/// A panic elsewhere leaves plain data behind, which stays readable.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl LaunchStore {
    /// A grid that no CTA has run of yet.
    pub fn new(grid: Grid, kernel: KernelTiming, resources: CtaResources) -> Self {
        Self {
            kernel: Arc::new(kernel),
            resources,
            ctas: u32::try_from(grid.cta_count()).unwrap_or(u32::MAX),
            grid: Mutex::new(grid),
            on_the_way: Mutex::default(),
            failure: Mutex::default(),
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

    /// Executes CTA number `cta` and keeps its stream for the SM. `false` if execution failed: see
    /// [`LaunchStore::failure`].
    pub fn execute(&self, cta: u32) -> bool {
        let mut stream = CtaStream::default();
        match lock(&self.grid).run_cta(cta, &mut stream) {
            Ok(()) => {
                lock(&self.on_the_way).insert(cta, stream);
                true
            }
            Err(failure) => {
                lock(&self.failure).get_or_insert(failure);
                false
            }
        }
    }

    /// The CTA for the SM that was told its number.
    ///
    /// # Panics
    /// If the CTA was not executed or was taken already.
    pub fn take(&self, cta: u32) -> Cta {
        let stream = lock(&self.on_the_way).remove(&cta);
        let stream = stream.unwrap_or_else(|| panic!("CTA {cta} is launched without having been executed"));
        Cta { handle: CtaHandle(cta), kernel: self.kernel.clone(), stream, resources: self.resources }
    }

    /// What went wrong in functional execution, if anything did.
    pub fn failure(&self) -> Option<ExecError> {
        lock(&self.failure).clone()
    }

    /// Looks at the functional state: memory, counters.
    pub fn with_grid<T>(&self, look: impl FnOnce(&Grid) -> T) -> T {
        look(&lock(&self.grid))
    }
}

/// The state of a launch in a snapshot. All components of a machine share one store; the command processor saves it.
pub(crate) mod shared {
    use super::*;
    use sim_core::{LoadError, Reader, Saved, Writer};

    pub fn save(store: &LaunchStore, out: &mut Writer) {
        let LaunchStore { kernel: _, resources: _, ctas: _, grid, on_the_way, failure: _ } = store;
        lock(grid).save(out);
        let on_the_way = lock(on_the_way);
        let mut in_order: Vec<(&u32, &CtaStream)> = on_the_way.iter().collect();
        in_order.sort_by_key(|(cta, _)| **cta);
        out.put(&in_order);
    }

    pub fn load(store: &LaunchStore, from: &mut Reader<'_>) -> Result<(), LoadError> {
        lock(&store.grid).load(from)?;
        let on_the_way: Vec<(u32, CtaStream)> = from.get()?;
        *lock(&store.on_the_way) = on_the_way.into_iter().collect();
        Ok(())
    }
}
