//! The queues of one pseudo channel and what it serves next: reads or writes, and who has waited too long.
//!
//! ```text
//!   requests ─▶ [reads] [writes] ─▶ direction (watermarks, idle drain) · overdue request ─▶ slots of the channel
//! ```
//!
//! Models: a write drain that always ends, and always comes; an age limit that puts the oldest request before all others.
//! Leaves out: shares between sources.
//! Numbers: `policy`.
//! Start reading at [`PseudoChannel::decide`]; the canonical tests are `tests/native.rs`.

use super::policy::Policy;
use super::power::Power;
use super::refresh::Refresh;
use crate::bank::{Banks, NEVER, Tick};
use crate::command::Command;
use crate::queue::RequestQueue;
use crate::request::Op;

/// A request beyond the age limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) struct Overdue {
    pub op: Op,
    pub key: u64,
    pub bank: u32,
    pub row: u32,
}

/// One pseudo channel.
#[derive(Debug, Clone)]
pub(super) struct PseudoChannel {
    pub index: u32,
    pub ranks: std::ops::Range<usize>,
    pub reads: RequestQueue,
    pub writes: RequestQueue,
    pub write_mode: bool,
    pub overdue: Option<Overdue>,
    pub refresh: Refresh,
    pub power: Power,
    /// Something changed that may choose another bank to refresh.
    pub look_at_refresh: bool,
    last_read: Tick,
    next_decision: Tick,
    write_high: usize,
    write_low: usize,
}

sim_core::saved!(PseudoChannel {
    state: write_mode, overdue, power, look_at_refresh, last_read, next_decision;
    parts: reads, writes, refresh;
    rebuilt: index, ranks, write_high, write_low;
});

impl PseudoChannel {
    pub fn new(index: u32, policy: &Policy, banks: &Banks, refi_ticks: Tick) -> Self {
        let org = banks.organisation();
        let queue = |entries| RequestQueue::new(entries, org.ranks(), org.banks_per_rank());
        PseudoChannel {
            index,
            ranks: banks.ranks_of(index),
            reads: queue(policy.read_queue),
            writes: queue(policy.write_queue),
            write_mode: false,
            overdue: None,
            refresh: Refresh::new(policy, org, refi_ticks, index),
            power: Power::new(),
            look_at_refresh: false,
            last_read: 0,
            next_decision: NEVER,
            write_high: policy.write_high,
            write_low: policy.write_low,
        }
    }

    /// The queue served now and its column command.
    #[inline]
    pub fn queue(&self) -> (&RequestQueue, Command) {
        if self.write_mode { (&self.writes, Command::Wr) } else { (&self.reads, Command::Rd) }
    }

    #[inline]
    pub fn queue_of(&mut self, op: Op) -> &mut RequestQueue {
        match op {
            Op::Read => &mut self.reads,
            Op::Write | Op::Update => &mut self.writes,
        }
    }

    /// Whether nothing waits.
    #[inline]
    pub fn is_idle(&self) -> bool {
        self.reads.is_empty() && self.writes.is_empty()
    }

    /// Banks of a rank that any queued request wants, and those wanted for their open row.
    #[inline]
    pub fn wanted(&self, rank: usize) -> (u32, u32) {
        let hits = self.reads.hit_banks(rank) | self.writes.hit_banks(rank);
        (self.reads.wanted_banks(rank) | self.writes.wanted_banks(rank), hits)
    }

    /// Banks of a rank that no request may use: those held for a forced refresh.
    #[inline]
    pub fn held(&self, rank: usize, banks: &Banks) -> u32 {
        match self.refresh.target {
            Some(t) if t.forced && t.command == Command::RefAb => u32::MAX,
            Some(t) if t.forced && banks.rank_of(t.bank) == rank => banks.bit_of(t.bank),
            _ => 0,
        }
    }

    /// A request entered its queue. Direction changes only when a queue fills up or was empty. Returns whether there is
    /// something to decide.
    #[inline]
    pub fn entered(&mut self, op: Op, clk: Tick) -> bool {
        let decisive = match op {
            Op::Read => self.reads.len() == 1,
            Op::Write | Op::Update => {
                self.writes.len() == 1 || self.writes.len() >= self.write_high && !self.write_mode
            }
        };
        if decisive {
            self.next_decision = clk;
        }
        decisive
    }

    /// A request left its queue. Direction changes only when a queue is empty, or at the low watermark if reads wait.
    /// Returns whether there is something to decide.
    #[inline]
    pub fn left(&mut self, op: Op, key: u64, clk: Tick) -> bool {
        let (reads, writes) = (self.reads.len(), self.writes.len());
        let decisive = match op {
            Op::Read => reads == 0,
            Op::Write | Op::Update => writes == 0 || writes <= self.write_low && reads > 0,
        };
        let decisive = decisive || self.overdue.is_some_and(|o| o.key == key);
        if decisive {
            self.next_decision = clk;
        }
        if reads == 0 {
            self.last_read = self.last_read.max(clk);
        }
        if reads + writes == 0 {
            self.power.idle_since = clk;
        }
        decisive
    }

    /// Something changed that may choose another bank to refresh. It matters where a refresh is owed.
    #[inline]
    pub fn refresh_changed(&mut self, policy: &Policy) {
        self.look_at_refresh |= self.refresh.debt > 0 || policy.refresh_management_activates > 0;
    }

    /// The next tick at which time alone may change what is served.
    #[inline]
    pub fn next_decision(&self) -> Tick {
        self.next_decision
    }

    /// Decides direction and overdue request at `clk`. Returns whether anything changed.
    pub fn decide(&mut self, policy: &Policy, clk: Tick) -> bool {
        if clk < self.next_decision {
            return false;
        }
        let before = (self.write_mode, self.overdue);
        // Keys are numbered over both queues: the smaller one came earlier.
        let first = match (self.reads.oldest(), self.writes.oldest()) {
            (Some(r), Some(w)) if r < w => Some((Op::Read, r)),
            (Some(r), None) => Some((Op::Read, r)),
            (_, Some(w)) => Some((Op::Write, w)),
            (None, None) => None,
        };
        self.overdue = None;
        self.next_decision = NEVER;
        if let Some((op, key)) = first {
            let request = *self.queue_of(op).get(key);
            let limit = request.arrive + policy.age_limit_ticks;
            if limit <= clk {
                self.overdue = Some(Overdue { op, key, bank: request.bank, row: request.row });
            } else {
                self.next_decision = limit;
            }
        }
        self.write_mode = match self.overdue {
            Some(overdue) => overdue.op != Op::Read,
            None => self.direction(policy, clk),
        };
        (self.write_mode, self.overdue) != before
    }

    fn direction(&mut self, policy: &Policy, clk: Tick) -> bool {
        let (reads, writes) = (self.reads.len(), self.writes.len());
        if self.write_mode {
            return writes > policy.write_low || writes > 0 && reads == 0;
        }
        if writes >= policy.write_high {
            return true;
        }
        if reads > 0 || writes == 0 {
            return false;
        }
        let idle = self.last_read + policy.write_idle_ticks;
        if idle > clk {
            self.next_decision = self.next_decision.min(idle);
        }
        idle <= clk
    }
}
