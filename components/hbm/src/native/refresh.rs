//! Refresh with a debt: what is due, which bank is best refreshed now, and when it must be.
//!
//! ```text
//!   clock ─▶ debt ─▶ target (an unwanted bank; when the debt is full, any) ─▶ [row slot]: PRE, REF
//! ```
//!
//! Models: per-bank refresh in rounds (every bank of a pseudo channel once, in any order), all-bank refresh, both
//! postponed up to a debt; refresh management by a rolling activation count.
//! Leaves out: refreshes in advance (negative debt), temperature sensors (the factor is constant).
//! Numbers: nREFI of the preset; debt of 8 as AMD PG313.
//! Canonical tests: `tests/native.rs`.

use super::policy::{Policy, RefreshPolicy};
use crate::bank::{Banks, CLOSED, NEVER, Tick};
use crate::command::Command;
use crate::organisation::Organisation;

/// What is to be refreshed next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) struct Target {
    /// REFab, REFpb or RFMpb.
    pub command: Command,
    /// The bank, or the first bank of the pseudo channel.
    pub bank: u32,
    /// No request may use the target until it is refreshed.
    pub forced: bool,
}

/// Refresh of one pseudo channel.
#[derive(Debug, Clone)]
pub(super) struct Refresh {
    policy: RefreshPolicy,
    max_debt: u32,
    /// Refreshes owed.
    pub debt: u32,
    /// Intervals elapsed, and the length of `intervals_per_refi` of them.
    elapsed: u64,
    epoch: Tick,
    refi_ticks: f64,
    next_due: Tick,
    intervals_per_refi: u32,
    /// Banks of each rank refreshed in this round.
    done: Vec<u32>,
    /// The present target.
    pub target: Option<Target>,
    /// Activates of each bank since its last refresh, for refresh management; and the count that calls for it.
    activates: Vec<u32>,
    management_at: u32,
    first_bank: u32,
}

sim_core::saved!(Refresh {
    state: debt, elapsed, epoch, next_due, target;
    sized: done, activates;
    rebuilt: policy, max_debt, refi_ticks, intervals_per_refi, management_at, first_bank;
});

impl Refresh {
    pub fn new(policy: &Policy, org: &Organisation, refi_ticks: Tick, pseudo_channel: u32) -> Self {
        let intervals_per_refi = match policy.refresh {
            RefreshPolicy::PerBank => org.banks_per_pseudo_channel(),
            _ => 1,
        };
        let mut refresh = Refresh {
            policy: policy.refresh,
            max_debt: policy.refresh_debt,
            debt: 0,
            elapsed: 0,
            epoch: 0,
            refi_ticks: refi_ticks as f64 * policy.refresh_interval_scale,
            next_due: NEVER,
            intervals_per_refi,
            done: vec![0; org.stack_ids as usize],
            target: None,
            activates: vec![0; org.banks_per_pseudo_channel() as usize],
            management_at: policy.refresh_management_activates,
            first_bank: pseudo_channel * org.banks_per_pseudo_channel(),
        };
        refresh.schedule();
        refresh
    }

    /// When the next refresh becomes due.
    #[inline]
    pub fn next_due(&self) -> Tick {
        self.next_due
    }

    /// Intervals are counted from the epoch, so that their rounding does not add up.
    fn schedule(&mut self) {
        let intervals = (self.elapsed + 1) as f64 * self.refi_ticks / f64::from(self.intervals_per_refi);
        self.next_due = match self.policy {
            RefreshPolicy::None => NEVER,
            _ => self.epoch + intervals as Tick,
        };
    }

    /// Whether the debt must be paid before anything else.
    pub fn is_urgent(&self) -> bool {
        self.debt >= self.max_debt
    }

    /// Notes that time has come to `clk`. Returns whether the debt grew.
    pub fn accrue(&mut self, clk: Tick) -> bool {
        let grows = self.next_due <= clk;
        while self.next_due <= clk {
            self.elapsed += 1;
            self.debt += 1;
            self.schedule();
        }
        grows
    }

    /// Self refresh ended at `clk`: the device has refreshed itself.
    pub fn restart(&mut self, clk: Tick) {
        (self.epoch, self.elapsed, self.debt, self.target) = (clk, 0, 0, None);
        self.done.fill(0);
        self.schedule();
    }

    /// Notes an activate, for refresh management.
    pub fn activated(&mut self, bank: u32) {
        if self.management_at == 0 {
            return;
        }
        self.activates[(bank - self.first_bank) as usize] += 1;
    }

    /// Chooses a target. `wanted` and `wanted_hits` are the banks of each rank with queued requests, and with requests
    /// for the open row.
    pub fn choose(&mut self, banks: &Banks, wanted: impl Fn(usize) -> (u32, u32), last_use: &[Tick], idle: bool) {
        let urgent = self.is_urgent();
        if self.target.is_none_or(|t| !t.forced)
            && let Some(bank) = self.management_due(banks)
        {
            self.target = Some(Target { command: Command::RfmPb, bank, forced: true });
            return;
        }
        if let Some(target) = &mut self.target {
            // Once the debt is full, nobody may push the target aside any more.
            target.forced |= urgent;
            if target.forced {
                return;
            }
            let still = match target.command {
                Command::RefAb => idle,
                _ => wanted(banks.rank_of(target.bank)).0 & banks.bit_of(target.bank) == 0,
            };
            if still {
                return;
            }
            self.target = None;
        }
        if self.debt == 0 {
            return;
        }
        self.target = match self.policy {
            RefreshPolicy::None => None,
            RefreshPolicy::AllBank => {
                (idle || urgent).then_some(Target { command: Command::RefAb, bank: self.first_bank, forced: urgent })
            }
            RefreshPolicy::PerBank => self.choose_bank(banks, wanted, last_use, urgent),
        };
    }

    /// A closed bank whose activates call for refresh management. An open one is let alone until its row is done with.
    fn management_due(&self, banks: &Banks) -> Option<u32> {
        if self.management_at == 0 {
            return None;
        }
        let due = |(at, n): (usize, &u32)| {
            let bank = self.first_bank + at as u32;
            (*n >= self.management_at && banks.open_row(bank) == CLOSED).then_some(bank)
        };
        self.activates.iter().enumerate().find_map(due)
    }

    /// A bank of the round that no request wants. When the debt is full, in this order: one that is also closed, since it
    /// is refreshed soonest; unwanted; wanted but without hits; any. Among equals the one used last: a stream comes back to it latest.
    fn choose_bank(
        &self,
        banks: &Banks,
        wanted: impl Fn(usize) -> (u32, u32),
        last_use: &[Tick],
        urgent: bool,
    ) -> Option<Target> {
        let per_rank = banks.organisation().banks_per_rank();
        let all = u32::MAX >> (32 - per_rank);
        let first_rank = banks.rank_of(self.first_bank);
        for level in if urgent { 0..4 } else { 1..2 } {
            let mut best: Option<(Tick, u32)> = None;
            for (i, done) in self.done.iter().enumerate() {
                let (wanted, hits) = wanted(first_rank + i);
                let closed = !banks.open_banks(first_rank + i);
                let mut candidates = all & !done & [!wanted & closed, !wanted, !hits, all][level];
                while candidates != 0 {
                    let bank = (first_rank + i) as u32 * per_rank + candidates.trailing_zeros();
                    candidates &= candidates - 1;
                    let used = last_use[bank as usize];
                    if best.is_none_or(|(b, _)| used > b) {
                        best = Some((used, bank));
                    }
                }
            }
            if let Some((_, bank)) = best {
                return Some(Target { command: Command::RefPb, bank, forced: urgent });
            }
        }
        None
    }

    /// The command that brings a target on: a precharge first if it is open.
    pub fn command(&self, target: &Target, banks: &Banks, pseudo_channel: u32) -> Command {
        match target.command {
            Command::RefAb if banks.any_open(pseudo_channel) => Command::PreAb,
            Command::RefPb | Command::RfmPb if banks.open_row(target.bank) != CLOSED => Command::PrePb,
            c => c,
        }
    }

    /// The target's refresh was issued.
    pub fn refreshed(&mut self, target: &Target, org: &Organisation) {
        self.target = None;
        match target.command {
            Command::RefAb => {
                self.debt -= 1;
                let relief = self.management_at;
                self.activates.iter_mut().for_each(|n| *n = n.saturating_sub(relief));
            }
            command => {
                let at = (target.bank - self.first_bank) as usize;
                self.activates[at] = self.activates[at].saturating_sub(self.management_at);
                if command == Command::RefPb {
                    self.debt -= 1;
                    self.mark(target.bank, org);
                }
            }
        }
    }

    fn mark(&mut self, bank: u32, org: &Organisation) {
        let at = bank - self.first_bank;
        self.done[(at / org.banks_per_rank()) as usize] |= 1 << (at % org.banks_per_rank());
        let all = u32::MAX >> (32 - org.banks_per_rank());
        if self.done.iter().all(|d| *d == all) {
            self.done.fill(0);
        }
    }
}
