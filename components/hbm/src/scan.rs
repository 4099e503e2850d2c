//! One scheduling decision: the oldest request whose command may issue now, over banks given as bit masks.
//!
//! ```text
//!   candidate banks of a rank ─▶ rank gate ─▶ bank ready times ─▶ smallest key, or when to look again
//! ```
//!
//! Models: first-ready first-come first-served as one pass, shared by all controllers.
//! Leaves out: which banks are candidates.
//! Canonical tests: the golden suite `hbm-ramulator2`.

use crate::bank::{Banks, NEVER, PerBank, Tick};
use crate::command::Command;
use crate::queue::NO_KEY;

/// The best candidate so far, and the next tick at which another one could be ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pick {
    /// Key of the chosen request, or [`NO_KEY`].
    pub key: u64,
    /// Its command.
    pub command: Command,
    /// Its bank.
    pub bank: u32,
    /// Earliest tick at which a candidate that is not ready may become so.
    pub next: Tick,
}

impl Pick {
    /// Nothing chosen.
    #[inline]
    pub fn none() -> Self {
        Pick { key: NO_KEY, command: Command::Act, bank: 0, next: NEVER }
    }

    /// Whether something was chosen.
    #[inline]
    pub fn found(&self) -> bool {
        self.key != NO_KEY
    }

    /// Considers `command` for each bank of `candidates` (bits of one rank). `keys` are the requests that the banks of the
    /// rank would serve. Returns `clk` if one of them is ready, else the tick before which none will be.
    #[inline]
    pub fn consider(
        &mut self,
        banks: &Banks,
        command: Command,
        rank: usize,
        candidates: u32,
        clk: Tick,
        keys: &PerBank<u64>,
    ) -> Tick {
        self.consider_if(banks, command, rank, candidates, clk, keys, |_| true)
    }

    /// The same for banks that `allows`; one that it forbids is no candidate, now or later.
    #[inline(always)]
    #[allow(clippy::too_many_arguments)]
    pub fn consider_if(
        &mut self,
        banks: &Banks,
        command: Command,
        rank: usize,
        mut candidates: u32,
        clk: Tick,
        keys: &PerBank<u64>,
        allows: impl Fn(u32) -> bool,
    ) -> Tick {
        if candidates == 0 {
            return NEVER;
        }
        let gate = banks.on_edge(command, banks.rank_ready(command, rank).max(clk));
        if gate > clk {
            self.next = self.next.min(gate);
            return gate;
        }
        let first = banks.first_of(rank);
        let lines = banks.ready_lines(command, rank);
        let (mut best, mut at, mut next, mut found) = (self.key, usize::MAX, NEVER, false);
        while candidates != 0 {
            let i = candidates.trailing_zeros() as usize;
            candidates &= candidates - 1;
            let (ready, key) = (lines.of(i), keys[i & (keys.len() - 1)]);
            if ready > clk {
                next = next.min(ready);
            } else if allows(first + i as u32) {
                found = true;
                if key < best {
                    (best, at) = (key, i);
                }
            }
        }
        let next = banks.on_edge(command, next);
        self.next = self.next.min(next);
        if at != usize::MAX {
            (self.key, self.command, self.bank) = (best, command, first + at as u32);
        }
        if found { clk } else { next }
    }
}
