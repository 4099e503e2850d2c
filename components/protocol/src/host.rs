//! What the host does to device memory before the launches of a program, as far as caches notice: copies to the device,
//! code that is uploaded, constants that the front end writes for a launch.
//!
//! A copy takes no simulated time: it is over when the first CTA of the launch behind it may start. What it leaves in a cache is
//! the cache's to say. The command processor says when a launch has begun and when its CTAs may start; a cache takes the
//! writes over when that time has come. The overhead of a launch lies between the two, which is longer than one shard runs
//! ahead of another, so that the result does not depend on who is simulated first.

use sim_core::Femtos;
use std::ops::Range;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};

/// Bytes that the host writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostWrite {
    /// Number of the launch, from 0, before which it is done.
    pub before_launch: u32,
    pub addresses: Range<u64>,
}

/// A launch that has begun.
#[derive(Debug, Default)]
struct Begun {
    launch: AtomicU32,
    femtos: AtomicU64,
}

/// The writes of a program, and which of its launches have begun.
#[derive(Debug, Default)]
pub struct HostWrites {
    writes: Vec<HostWrite>,
    /// In the order in which they have begun.
    order: Vec<Begun>,
    begun: AtomicUsize,
}

impl HostWrites {
    /// Writes before `launches` launches. Those before one launch are done as they are listed.
    pub fn new(writes: Vec<HostWrite>, launches: usize) -> Self {
        let order = (0..launches).map(|_| Begun::default()).collect();
        Self { writes, order, begun: AtomicUsize::new(0) }
    }

    /// `launch` has begun; its CTAs start at `from` or later, not before those of launches that have begun earlier.
    pub fn begin(&self, launch: u32, from: Femtos) {
        let number = self.begun.load(Ordering::Relaxed);
        if let Some(place) = self.order.get(number) {
            place.launch.store(launch, Ordering::Relaxed);
            place.femtos.store(from.0, Ordering::Relaxed);
            self.begun.store(number + 1, Ordering::Release);
        }
    }

    /// The launch whose writes come next for somebody who has taken over those of `seen` launches, if its time has come.
    #[inline]
    pub fn next(&self, seen: usize, now: Femtos) -> Option<u32> {
        if seen >= self.begun.load(Ordering::Acquire) {
            return None;
        }
        let place = &self.order[seen];
        (place.femtos.load(Ordering::Relaxed) <= now.0).then(|| place.launch.load(Ordering::Relaxed))
    }

    /// Writes before a launch.
    pub fn before(&self, launch: u32) -> impl Iterator<Item = &HostWrite> {
        self.writes.iter().filter(move |write| write.before_launch == launch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_come_when_their_launch_may_start_and_in_the_order_of_launches() {
        let write = |before_launch, start: u64| HostWrite { before_launch, addresses: start..start + 32 };
        let writes = HostWrites::new(vec![write(1, 0), write(0, 64), write(1, 32)], 2);
        let starts = |launch| writes.before(launch).map(|write| write.addresses.start).collect::<Vec<_>>();
        assert_eq!((starts(0), starts(1), starts(2)), (vec![64], vec![0, 32], vec![]));
        assert_eq!(writes.next(0, Femtos::NEVER), None, "none has begun");
        writes.begin(1, Femtos(500));
        writes.begin(0, Femtos(700));
        assert_eq!(writes.next(0, Femtos(499)), None);
        assert_eq!(writes.next(0, Femtos(500)), Some(1));
        assert_eq!(writes.next(1, Femtos(500)), None);
        assert_eq!(writes.next(1, Femtos(700)), Some(0));
        assert_eq!(writes.next(2, Femtos::NEVER), None);
    }
}
