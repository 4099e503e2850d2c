//! Where the latency of a read went, in parts that sum to it.
//!
//! ```text
//!   accepted ── refresh ── queue ── bank (PRE, ACT, tRCD) ── bus ── RD ── data ── done
//! ```
//!
//! Models: five stations; a tick belongs to one of them.
//! Leaves out: the path outside the channel.
//! Canonical tests: `tests/native.rs`.

use crate::bank::{NEVER, Tick};

/// Ticks spent in each station, summed over reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
pub struct Breakdown {
    /// Reads counted.
    pub reads: u64,
    /// Waiting for the first command, other requests going before.
    pub queue_ticks: u64,
    /// From the first command to the bank's readiness for the column command.
    pub bank_ticks: u64,
    /// The bank is ready; column bus, data bus or turnaround are not.
    pub bus_ticks: u64,
    /// The bank is being refreshed.
    pub refresh_ticks: u64,
    /// Column command to last data (or the answer from the write queue).
    pub data_ticks: u64,
}

/// Where the ticks of one read went; they sum to its latency.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Parts {
    /// Waiting for the first command, other requests going before.
    pub queue_ticks: u32,
    /// From the first command to the bank's readiness for the column command.
    pub bank_ticks: u32,
    /// The bank is ready; column bus, data bus or turnaround are not.
    pub bus_ticks: u32,
    /// The bank is being refreshed.
    pub refresh_ticks: u32,
    /// Column command to last data (or the answer from the write queue).
    pub data_ticks: u32,
}

/// The times of one read.
#[derive(Debug, Clone, Copy)]
pub(super) struct ReadTimes {
    pub arrive: Tick,
    /// First command issued for it; [`NEVER`] if the column command is the first.
    pub started: Tick,
    /// The bank was ready for the column command.
    pub bank_ready: Tick,
    pub column: Tick,
    pub done: Tick,
    /// Last refresh of the bank: from, until.
    pub refresh: (Tick, Tick),
}

impl ReadTimes {
    /// The parts of this read's latency.
    pub fn parts(&self) -> Parts {
        let wait = self.column - self.arrive;
        let (from, until) = self.refresh;
        let refresh = until.min(self.column).saturating_sub(from.max(self.arrive)).min(wait);
        let bank_ready = self.bank_ready.clamp(self.arrive, self.column);
        // A pure hit waits for the bus, or behind older requests, from the moment its bank was ready.
        let (bank, bus_from) = match self.started {
            NEVER => (0, bank_ready),
            started => (bank_ready.saturating_sub(started), bank_ready.max(started.min(self.column))),
        };
        let bank = bank.min(wait - refresh);
        let bus = (self.column - bus_from).min(wait - refresh - bank);
        Parts {
            queue_ticks: (wait - refresh - bank - bus) as u32,
            bank_ticks: bank as u32,
            bus_ticks: bus as u32,
            refresh_ticks: refresh as u32,
            data_ticks: (self.done - self.column) as u32,
        }
    }
}

impl Breakdown {
    pub(super) fn add(&mut self, parts: &Parts) {
        self.reads += 1;
        self.queue_ticks += u64::from(parts.queue_ticks);
        self.bank_ticks += u64::from(parts.bank_ticks);
        self.bus_ticks += u64::from(parts.bus_ticks);
        self.refresh_ticks += u64::from(parts.refresh_ticks);
        self.data_ticks += u64::from(parts.data_ticks);
    }

    /// Sum of all parts: the total latency of all reads.
    pub fn total_ticks(&self) -> u64 {
        self.queue_ticks + self.bank_ticks + self.bus_ticks + self.refresh_ticks + self.data_ticks
    }
}
