//! Refresh as Ramulator 2.1 schedules it.
//!
//! ```text
//!   clock ─▶ manager ─▶ maintenance queue of the controller
//! ```
//!
//! Models: `AllBank` (every pseudo channel at once, each nREFI), `PerBank` (one bank each nREFIpb, in flat order) and
//! `HBM34PerBankRefresh` (the same bank of both pseudo channels, rounds held apart by nRFCpb).
//! Leaves out: postponing and choice of banks, which Ramulator 2 does not have (see `native::refresh`).
//! Canonical tests: the golden suite `hbm-ramulator2`.

use std::collections::VecDeque;

use super::Maintenance;
use crate::bank::{NEVER, Tick};
use crate::command::Command;
use crate::organisation::Organisation;

/// The refresh managers of Ramulator 2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefreshKind {
    /// `NoRefresh`.
    None,
    /// `AllBank`.
    AllBank,
    /// `PerBank` of HBM1 and HBM2.
    PerBank,
    /// `HBM34PerBankRefresh`.
    Hbm34PerBank,
}

/// State of a refresh manager.
#[derive(Debug, Clone)]
pub(super) struct Refresh {
    kind: RefreshKind,
    interval: Tick,
    next: Tick,
    bank: u32,
    pairs: PairedRounds,
}

/// What `HBM34PerBankRefresh` remembers: entries not yet handed over, marks and hold-off of every rank.
#[derive(Debug, Clone, Default)]
struct PairedRounds {
    stack_id: u32,
    waiting: VecDeque<u32>,
    marked: Vec<u32>,
    allowed: Vec<Tick>,
    hold_off: Tick,
}

impl Refresh {
    /// `interval` is nREFI or nREFIpb in ticks, `hold_off` is nRFCpb in ticks.
    pub fn new(kind: RefreshKind, org: &Organisation, interval: Tick, hold_off: Tick) -> Self {
        let ranks = org.ranks() as usize;
        let pairs = PairedRounds { hold_off, marked: vec![0; ranks], allowed: vec![0; ranks], ..Default::default() };
        let next = if kind == RefreshKind::None { NEVER } else { interval };
        Refresh { kind, interval, next, bank: 0, pairs }
    }

    /// The next tick at which [`Refresh::tick`] does something.
    pub fn next_event(&self, org: &Organisation, now: Tick) -> Tick {
        if self.kind != RefreshKind::Hbm34PerBank {
            return self.next;
        }
        if !self.pairs.waiting.is_empty() {
            return now + 1;
        }
        self.pairs.round_allowed(org).max(self.next)
    }

    /// Acts at tick `clk`: appends what is due to the maintenance queue.
    pub fn tick(&mut self, org: &Organisation, clk: Tick, queue: &mut VecDeque<Maintenance>) {
        match self.kind {
            RefreshKind::None => {}
            RefreshKind::AllBank if clk >= self.next => {
                for pc in 0..org.pseudo_channels {
                    let bank = pc * org.banks_per_pseudo_channel();
                    queue.push_back(Maintenance { command: Command::RefAb, bank });
                }
                self.next += self.interval;
            }
            RefreshKind::PerBank if clk >= self.next => {
                queue.push_back(Maintenance { command: Command::RefPb, bank: self.bank });
                self.bank = (self.bank + 1) % org.banks();
                self.next += self.interval;
            }
            RefreshKind::Hbm34PerBank => self.tick_paired(org, clk, queue),
            _ => {}
        }
    }

    fn tick_paired(&mut self, org: &Organisation, clk: Tick, queue: &mut VecDeque<Maintenance>) {
        if self.pairs.waiting.is_empty() {
            if clk < self.next || self.pairs.round_allowed(org) > clk {
                return;
            }
            // Held off, the reference moves its due time along with the clock.
            self.next = self.next.max(self.pairs.round_allowed(org)) + self.interval;
            for pc in 0..org.pseudo_channels {
                let rank = org.flat_rank(pc, self.pairs.stack_id);
                self.pairs.waiting.push_back(rank * org.banks_per_rank() + self.bank);
            }
            self.bank += 1;
            if self.bank == org.banks_per_rank() {
                self.bank = 0;
                self.pairs.stack_id = (self.pairs.stack_id + 1) % org.stack_ids;
            }
        }
        self.pairs.hand_over(org, clk, queue);
    }
}

impl PairedRounds {
    /// When the current stack ID may begin its next refresh in every pseudo channel.
    fn round_allowed(&self, org: &Organisation) -> Tick {
        (0..org.pseudo_channels).map(|pc| self.allowed[org.flat_rank(pc, self.stack_id) as usize]).max().unwrap_or(0)
    }

    fn hand_over(&mut self, org: &Organisation, clk: Tick, queue: &mut VecDeque<Maintenance>) {
        let Some(bank) = self.waiting.pop_front() else { return };
        queue.push_back(Maintenance { command: Command::RefPb, bank });
        let (rank, bit) = ((bank / org.banks_per_rank()) as usize, bank % org.banks_per_rank());
        self.marked[rank] |= 1 << bit;
        if self.marked[rank].count_ones() == org.banks_per_rank() {
            self.marked[rank] = 0;
            self.allowed[rank] = clk + self.hold_off;
        }
    }
}
