//! What the host does to device memory between the launches of a program, as far as caches notice: copies to the device,
//! code that is uploaded, constants that the front end writes for a launch.
//!
//! A copy takes no simulated time: it is over when the launch behind it begins. What it leaves in a cache is the cache's to say.
//! The launches are counted by the command processor; a cache catches up when the next request comes to it, which cannot be
//! before the launch has begun, so that the result does not depend on who is simulated first.

use std::ops::Range;
use std::sync::atomic::{AtomicU32, Ordering};

/// Bytes that the host writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostWrite {
    /// Number of the launch, from 0, before which it is done.
    pub before_launch: u32,
    pub addresses: Range<u64>,
}

/// The writes of a program, and how many of its launches have begun.
#[derive(Debug, Default)]
pub struct HostWrites {
    writes: Vec<HostWrite>,
    begun: AtomicU32,
}

impl HostWrites {
    /// Writes in the order in which the host does them: by launch, and within one as they are listed.
    pub fn new(mut writes: Vec<HostWrite>) -> Self {
        writes.sort_by_key(|write| write.before_launch);
        Self { writes, begun: AtomicU32::new(0) }
    }

    /// `launches` have begun, among them the one that runs.
    pub fn set_begun(&self, launches: u32) {
        self.begun.store(launches, Ordering::Relaxed);
    }

    /// Launches that have begun.
    #[inline]
    pub fn begun(&self) -> u32 {
        self.begun.load(Ordering::Relaxed)
    }

    /// Writes before launches `seen..begun`.
    pub fn since(&self, seen: u32, begun: u32) -> impl Iterator<Item = &HostWrite> {
        self.writes.iter().filter(move |write| (seen..begun).contains(&write.before_launch))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_are_seen_once_and_in_order() {
        let write = |before_launch, start: u64| HostWrite { before_launch, addresses: start..start + 32 };
        let writes = HostWrites::new(vec![write(1, 0), write(0, 64), write(1, 32)]);
        let starts = |seen, begun| writes.since(seen, begun).map(|write| write.addresses.start).collect::<Vec<_>>();
        assert_eq!(starts(0, 1), [64]);
        assert_eq!(starts(1, 2), [0, 32]);
        assert_eq!(starts(0, 2), [64, 0, 32]);
        assert!(starts(2, 2).is_empty());
    }
}
