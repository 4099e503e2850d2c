//! What a component says at the end of a tick: when it has to be ticked again.

use crate::time::Cycle;

/// When a component wants its next tick. Kinds of waiting combine (D4): `Activity::input().or_until(c)` is ticked on
/// the first new input or at cycle `c`, whichever is earlier.
///
/// The contract that makes sleeping safe: a tick in which nothing that was waited for has happened must change
/// nothing and send nothing. The kernel is free to make such ticks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct Activity {
    pub(crate) until: u64,
    pub(crate) waits: u8,
}

pub(crate) const INPUT: u8 = 1;
pub(crate) const CREDIT: u8 = 2;
pub(crate) const BUSY: u8 = 4;
pub(crate) const BACKGROUND: u8 = 8;
/// Set by the kernel while a wake-up time is registered.
pub(crate) const TIMED: u8 = 16;

impl Activity {
    /// Tick again at the next edge.
    pub const BUSY: Activity = Activity { until: u64::MAX, waits: BUSY };
    /// Never tick again on its own account.
    pub const DONE: Activity = Activity { until: u64::MAX, waits: 0 };

    /// Sleep until a message arrives at any input. What already waits in a FIFO does not count as an arrival.
    pub const fn input() -> Activity {
        Activity { until: u64::MAX, waits: INPUT }
    }

    /// Sleep until a credit comes back to any output that lacks one.
    pub const fn credit() -> Activity {
        Activity { until: u64::MAX, waits: CREDIT }
    }

    /// Sleep until cycle `at` of the component's own clock; a cycle that is not in the future means the next one.
    pub const fn until(at: Cycle) -> Activity {
        Activity { until: at.0, waits: 0 }
    }

    /// Also wake when a message arrives.
    pub const fn or_input(self) -> Activity {
        Activity { waits: self.waits | INPUT, ..self }
    }

    /// Also wake when a credit comes back.
    pub const fn or_credit(self) -> Activity {
        Activity { waits: self.waits | CREDIT, ..self }
    }

    /// Also wake at cycle `at`, or at the time already given, whichever is earlier.
    pub const fn or_until(self, at: Cycle) -> Activity {
        Activity { until: if at.0 < self.until { at.0 } else { self.until }, ..self }
    }

    /// Marks the wake-up *time* as background (D7, D8): refresh and other self-sustaining activity that no foreground
    /// work waits for. Background wake-ups alone neither keep a run alive nor hide a deadlock. Arrivals and credits
    /// stay foreground.
    pub const fn background(self) -> Activity {
        Activity { waits: self.waits | BACKGROUND, ..self }
    }

    /// `BUSY` if work was done, otherwise wait for input: the commonest end of a tick.
    pub const fn busy_if(moved: bool) -> Activity {
        if moved { Activity::BUSY } else { Activity::input() }
    }
}
