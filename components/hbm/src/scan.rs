//! One scheduling decision: the oldest request whose command may issue now, over banks given as bit masks.
//!
//! ```text
//!   candidate banks of a rank ─▶ rank gate ─▶ bank ready times ─▶ smallest key, or when to look again
//! ```
//!
//! Models: first-ready first-come first-served as one pass, shared by all controllers.
//! Leaves out: which banks are candidates.
//! Canonical tests: the golden suite `hbm-ramulator2`.

use crate::bank::{Banks, NEVER, Tick};
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
    pub fn none() -> Self {
        Pick { key: NO_KEY, command: Command::Act, bank: 0, next: NEVER }
    }

    /// Whether something was chosen.
    #[inline]
    pub fn found(&self) -> bool {
        self.key != NO_KEY
    }

    /// Considers `command` for each bank of `candidates` (bits of one rank). `key` gives the request a bank would serve,
    /// [`NO_KEY`] if its policy forbids it.
    #[inline]
    pub fn consider(
        &mut self,
        banks: &Banks,
        command: Command,
        rank: usize,
        mut candidates: u32,
        clk: Tick,
        key: impl Fn(u32) -> u64,
    ) {
        if candidates == 0 {
            return;
        }
        let gate = banks.on_edge(command, banks.rank_ready(command, rank).max(clk));
        if gate > clk {
            self.next = self.next.min(gate);
            return;
        }
        let first = rank as u32 * banks.organisation().banks_per_rank();
        while candidates != 0 {
            let bank = first + candidates.trailing_zeros();
            candidates &= candidates - 1;
            let ready = banks.bank_ready(command, bank);
            if ready > clk {
                self.next = self.next.min(ready);
            } else {
                let key = key(bank);
                if key < self.key {
                    (self.key, self.command, self.bank) = (key, command, bank);
                }
            }
        }
    }
}
