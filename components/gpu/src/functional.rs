//! The functional state of a launched grid, and what went wrong in it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use workloads::sass::exec::{ExecError, Grid};

/// A panic elsewhere leaves plain data behind, which stays readable.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Shared by the dispatcher and, when values are computed at issue, the SMs. Those then run on one shard, so that a lock
/// never waits and the order of accesses is that of the ticks.
#[derive(Clone, Debug)]
pub struct Functional {
    grid: Arc<Mutex<Grid>>,
    failure: Arc<Mutex<Option<ExecError>>>,
}

impl Functional {
    /// A grid that nothing has executed of yet.
    pub fn new(grid: Grid) -> Self {
        Self { grid: Arc::new(Mutex::new(grid)), failure: Arc::default() }
    }

    /// The grid, for as long as the guard lives.
    pub fn grid(&self) -> MutexGuard<'_, Grid> {
        lock(&self.grid)
    }

    /// Keeps the first failure.
    pub fn fail(&self, failure: ExecError) {
        lock(&self.failure).get_or_insert(failure);
    }

    /// What went wrong, if anything did.
    pub fn failure(&self) -> Option<ExecError> {
        lock(&self.failure).clone()
    }
}
