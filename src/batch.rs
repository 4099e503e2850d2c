//! Several simulations side by side, each on one thread and one shard: what sweeps and `--what-if` are made of.

use rayon::prelude::*;

use crate::failure::{Complaint, Failure};
use crate::simulate::{Finished, Request, simulate};
use crate::traced;

/// Applies `work` to every item on `threads` threads (0: all cores). Results are in the order of the items.
///
/// # Errors
/// The host gives no threads.
pub fn side_by_side<I: Sync, O: Send>(
    threads: usize,
    items: &[I],
    work: impl Fn(&I) -> O + Send + Sync,
) -> Result<Vec<O>, Failure> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
    let pool = pool.map_err(|error| Complaint::new(format!("cannot start {threads} threads: {error}")))?;
    // One item at a time a thread: they differ in length.
    Ok(pool.install(|| items.par_iter().with_max_len(1).map(work).collect()))
}

/// Runs a request, whatever its workload is.
///
/// # Errors
/// See [`simulate`].
pub fn run(request: &Request, progress: &mut dyn FnMut(u64)) -> Result<Finished, Failure> {
    match traced::is_traced(&request.workload) {
        true => traced::simulate(request, progress),
        false => simulate(request, progress),
    }
}
