//! Interval accounting of reasons (D10): where the cycles of a unit went.
//!
//! An interval is charged when the reason changes and at the stop, so that a sleeping component is accounted for
//! without being ticked, and the parts always sum to the whole.

use crate::prefetch::prefetch;
use crate::time::Cycle;
use std::marker::PhantomData;

/// A closed list of reasons, usually a field-less enum.
pub trait Reason: Copy + 'static {
    /// All reasons with their names, in the order of reports.
    const NAMES: &'static [&'static str];
    /// Place within [`Reason::NAMES`].
    fn index(self) -> usize;
}

/// Charges every cycle from 0 to the stop to exactly one reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReasonClock<R> {
    charged: Vec<u64>,
    reason: usize,
    since: Cycle,
    reasons: PhantomData<fn() -> R>,
}

crate::saved!(ReasonClock<R> { state: reason, since; sized: charged; rebuilt: reasons });

impl<R: Reason> ReasonClock<R> {
    /// Starts at cycle 0 with `reason`.
    pub fn new(reason: R) -> ReasonClock<R> {
        ReasonClock::starting_at(Cycle(0), reason)
    }

    /// Starts at a cycle with `reason`; cycles before it are charged to nothing.
    pub fn starting_at(since: Cycle, reason: R) -> ReasonClock<R> {
        ReasonClock { charged: vec![0; R::NAMES.len()], reason: reason.index(), since, reasons: PhantomData }
    }

    /// Asks the host's caches for the counts.
    #[inline]
    pub fn prefetch(&self) {
        const COUNTS_A_LINE: usize = 64 / size_of::<u64>();
        self.charged.iter().step_by(COUNTS_A_LINE).for_each(|count| prefetch(count));
    }

    /// Place of the present reason within [`Reason::NAMES`].
    pub fn current(&self) -> usize {
        self.reason
    }

    /// From cycle `now` on the reason is `reason`; the interval before is charged to the former one. Within one cycle
    /// the last call wins.
    #[inline]
    pub fn set(&mut self, reason: R, now: Cycle) {
        let next = reason.index();
        if next != self.reason {
            debug_assert!(now >= self.since, "time ran backwards");
            self.charged[self.reason] += now.0 - self.since.0;
            self.since = now;
            self.reason = next;
        }
    }

    /// Cycles a reason up to cycle `at`, in the order of [`Reason::NAMES`]; they sum to `at`.
    pub fn totals(&self, at: Cycle) -> Vec<u64> {
        let mut totals = self.charged.clone();
        totals[self.reason] += at.since(self.since);
        totals
    }

    /// The same with names.
    pub fn named_totals(&self, at: Cycle) -> impl Iterator<Item = (&'static str, u64)> {
        R::NAMES.iter().copied().zip(self.totals(at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Clone, Copy)]
    enum Why {
        Issue,
        Memory,
        Idle,
    }

    impl Reason for Why {
        const NAMES: &'static [&'static str] = &["issue", "memory", "idle"];
        fn index(self) -> usize {
            self as usize
        }
    }

    #[test]
    fn an_interval_is_charged_when_the_reason_changes_and_at_the_stop() {
        let mut clock = ReasonClock::new(Why::Idle);
        clock.set(Why::Issue, Cycle(10));
        clock.set(Why::Issue, Cycle(11));
        clock.set(Why::Memory, Cycle(12));
        assert_eq!(clock.totals(Cycle(100)), [2, 88, 10]);
        assert_eq!(clock.named_totals(Cycle(12)).collect::<Vec<_>>(), [("issue", 2), ("memory", 0), ("idle", 10)]);
    }

    proptest! {
        #[test]
        fn the_reasons_sum_to_the_cycles(changes in prop::collection::vec((0_u64..50, 0_usize..3), 0..100), rest in 0_u64..100) {
            let mut clock = ReasonClock::new(Why::Idle);
            let mut now = 0;
            for (gap, why) in changes {
                now += gap;
                clock.set([Why::Issue, Why::Memory, Why::Idle][why], Cycle(now));
            }
            prop_assert_eq!(clock.totals(Cycle(now + rest)).iter().sum::<u64>(), now + rest);
        }
    }
}
