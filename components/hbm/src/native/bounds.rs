//! Ticks before which a rank has nothing to issue, so that a slot looks only at ranks in which something may be ready.
//!
//! ```text
//!   look at a rank ─▶ bound ─▶ [next look] ◀─ lowered: request, opened or closed row, wake-up, other direction, end of a hold
//! ```
//!
//! Models: one lower bound a rank and kind of command. Ready times only rise, so that a bound stays true until an event
//! makes a new candidate.
//! Leaves out: what is issued, which no bound changes (`dense` looks without them).
//! Canonical tests: `dense`.

use crate::bank::{Banks, NEVER, Tick};
use crate::command::Command;

/// What a rank may have to issue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// RD or WR of the direction served.
    Column,
    /// ACT of the direction served.
    Act,
    /// PRE of the direction served.
    Precharge,
    /// ACT or PRE of the other direction.
    Ahead,
}

/// The bounds of all ranks of a channel.
#[derive(Debug, Clone)]
pub(super) struct Bounds {
    ticks: Vec<[Tick; 4]>,
}

sim_core::saved!(Bounds { sized: ticks });

impl Bounds {
    /// Nothing is known.
    pub fn new(ranks: u32) -> Self {
        Bounds { ticks: vec![[0; 4]; ranks as usize] }
    }

    /// A new candidate may be ready at `tick`.
    #[inline]
    pub fn lower(&mut self, kind: Kind, rank: usize, tick: Tick) {
        let bound = &mut self.ticks[rank][kind as usize];
        *bound = (*bound).min(tick);
    }

    /// A row command of either direction may be ready at `tick`.
    #[inline]
    pub fn lower_row(&mut self, command: Command, rank: usize, tick: Tick) {
        self.lower(if command == Command::Act { Kind::Act } else { Kind::Precharge }, rank, tick);
        self.lower(Kind::Ahead, rank, tick);
    }

    /// Nothing is known of these ranks any more.
    pub fn forget(&mut self, ranks: std::ops::Range<usize>) {
        self.ticks[ranks].fill([0; 4]);
    }

    /// The bounds of a kind, each with its rank.
    #[inline]
    pub fn of_ranks(&mut self, kind: Kind) -> impl Iterator<Item = (usize, &mut Tick)> {
        self.ticks.iter_mut().map(move |bounds| &mut bounds[kind as usize]).enumerate()
    }

    /// Those of ACT and PRE of the direction served.
    #[inline]
    pub fn rows(&mut self) -> impl Iterator<Item = (usize, [&mut Tick; 2])> {
        self.ticks.iter_mut().map(|[_, act, precharge, _]| [act, precharge]).enumerate()
    }

    /// The first tick at which a rank may issue a column command. Those of `ranks` wait for `command`, which no rank issues
    /// before its data bus is free.
    #[inline]
    pub fn next_column(&mut self, banks: &Banks, command: Command, ranks: &std::ops::Range<usize>) -> Tick {
        let mut next = NEVER;
        for (rank, bound) in self.of_ranks(Kind::Column) {
            if ranks.contains(&rank) {
                *bound = banks.on_edge(command, (*bound).max(banks.rank_ready(command, rank)));
            }
            next = next.min(*bound);
        }
        next
    }

    /// The first tick at which a rank may issue ACT or PRE.
    #[inline]
    pub fn next_row(&mut self, banks: &Banks, rank: usize) -> Tick {
        let act_gate = banks.on_edge(Command::Act, banks.rank_ready(Command::Act, rank));
        let precharge_gate = banks.rank_ready(Command::PrePb, rank);
        let [_, act, precharge, ahead] = &mut self.ticks[rank];
        *act = (*act).max(act_gate);
        *precharge = (*precharge).max(precharge_gate);
        *ahead = (*ahead).max(act_gate.min(precharge_gate));
        (*act).min(*precharge).min(*ahead)
    }
}
