//! Refresh with a debt: what is due, which bank is best refreshed now, and when it must be.
//!
//!   clock ─▶ debt ─▶ target (an unwanted bank; when the debt is full, any) ─▶ [row slot]: PRE, REF
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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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

impl Refresh {
    pub fn new(policy: &Policy, org: &Organisation, refi_ticks: Tick, pseudo_channel: u32) -> Self {
        let intervals_per_refi = match policy.refresh {
            RefreshPolicy::PerBank => org.banks_per_pseudo_channel(),
            _ => 1,
        };
        Refresh {
            policy: policy.refresh,
            max_debt: policy.refresh_debt,
            debt: 0,
            elapsed: 0,
            epoch: 0,
            refi_ticks: refi_ticks as f64 * policy.refresh_interval_scale,
            intervals_per_refi,
            done: vec![0; org.stack_ids as usize],
            target: None,
            activates: vec![0; org.banks_per_pseudo_channel() as usize],
            management_at: policy.refresh_management_activates,
            first_bank: pseudo_channel * org.banks_per_pseudo_channel(),
        }
    }

    /// When the next refresh becomes due.
    pub fn next_due(&self) -> Tick {
        if self.policy == RefreshPolicy::None {
            return NEVER;
        }
        let intervals = (self.elapsed + 1) as f64 * self.refi_ticks / f64::from(self.intervals_per_refi);
        self.epoch + intervals as Tick
    }

    /// Whether the debt must be paid before anything else.
    pub fn is_urgent(&self) -> bool {
        self.debt >= self.max_debt
    }

    /// Notes that time has come to `clk`. Returns whether the debt grew.
    pub fn accrue(&mut self, clk: Tick) -> bool {
        let before = self.elapsed;
        while self.next_due() <= clk {
            self.elapsed += 1;
            self.debt += 1;
        }
        self.elapsed != before
    }

    /// Self refresh ended at `clk`: the device has refreshed itself.
    pub fn restart(&mut self, clk: Tick) {
        (self.epoch, self.elapsed, self.debt) = (clk, 0, 0);
        self.done.fill(0);
    }

    /// Notes an activate; a bank over its count becomes the target.
    pub fn activated(&mut self, bank: u32) {
        if self.management_at == 0 {
            return;
        }
        let count = &mut self.activates[(bank - self.first_bank) as usize];
        *count += 1;
        let forced = self.target.is_some_and(|t| t.forced);
        if *count >= self.management_at && !forced {
            self.target = Some(Target { command: Command::RfmPb, bank, forced: true });
        }
    }

    /// Chooses a target. `wanted` and `wanted_hits` are the banks of each rank with queued requests, and with requests
    /// for the open row.
    pub fn choose(&mut self, banks: &Banks, wanted: impl Fn(usize) -> (u32, u32), idle: bool) {
        let urgent = self.is_urgent();
        if let Some(target) = &mut self.target {
            // Once the debt is full, nobody may push the target aside any more.
            target.forced |= urgent;
            if target.forced {
                return;
            }
            let per_rank = banks.organisation().banks_per_rank();
            let still = match target.command {
                Command::RefAb => idle,
                _ => wanted(banks.rank_of(target.bank)).0 >> (target.bank % per_rank) & 1 == 0,
            };
            if still {
                return;
            }
            self.target = None;
        }
        if let Some(bank) = self.overdue_management() {
            self.target = Some(Target { command: Command::RfmPb, bank, forced: true });
            return;
        }
        if self.debt == 0 {
            return;
        }
        self.target = match self.policy {
            RefreshPolicy::None => None,
            RefreshPolicy::AllBank => (idle || urgent).then_some(Target {
                command: Command::RefAb,
                bank: self.first_bank,
                forced: urgent,
            }),
            RefreshPolicy::PerBank => self.choose_bank(banks, wanted, urgent),
        };
    }

    fn overdue_management(&self) -> Option<u32> {
        if self.management_at == 0 {
            return None;
        }
        let at = self.activates.iter().position(|n| *n >= self.management_at)?;
        Some(self.first_bank + at as u32)
    }

    /// The first bank of the round that is, in this order of preference: unwanted and closed; unwanted; and when the debt
    /// is full, wanted but without hits; any.
    fn choose_bank(&self, banks: &Banks, wanted: impl Fn(usize) -> (u32, u32), urgent: bool) -> Option<Target> {
        let org = banks.organisation();
        let all = u32::MAX >> (32 - org.banks_per_rank());
        let first_rank = banks.rank_of(self.first_bank);
        let levels = if urgent { 4 } else { 2 };
        for level in 0..levels {
            for (i, done) in self.done.iter().enumerate() {
                let rank = first_rank + i;
                let (wanted, hits) = wanted(rank);
                let left = all & !done;
                let candidates = match level {
                    0 => left & !wanted & !banks.open_banks(rank),
                    1 => left & !wanted,
                    2 => left & !hits,
                    _ => left,
                };
                if candidates != 0 {
                    let bank = rank as u32 * org.banks_per_rank() + candidates.trailing_zeros();
                    return Some(Target { command: Command::RefPb, bank, forced: urgent });
                }
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
