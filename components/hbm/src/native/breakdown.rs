//! Where the latency of a read went, in parts that sum to it.
//!
//!   accepted ── refresh ── queue ── bank (PRE, ACT, tRCD) ── bus ── RD ── data ── done
//!
//! Models: five stations; a tick belongs to one of them.
//! Leaves out: the path outside the channel.
//! Canonical tests: `tests/native.rs`.

use crate::bank::{NEVER, Tick};

/// Ticks spent in each station, summed over reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
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

impl Breakdown {
    pub(super) fn add(&mut self, t: &ReadTimes) {
        let wait = t.column - t.arrive;
        let (from, until) = t.refresh;
        let refresh = until.min(t.column).saturating_sub(from.max(t.arrive)).min(wait);
        let started = if t.started == NEVER { t.column } else { t.started };
        let bank_ready = t.bank_ready.clamp(t.arrive, t.column);
        let bank = bank_ready.saturating_sub(started).min(wait - refresh);
        let ready = bank_ready.max(started.min(t.column)).max(t.arrive);
        // A pure hit waits for the bus or behind older requests from the moment its bank was ready.
        let bus_from = if t.started == NEVER { bank_ready } else { ready };
        let bus = (t.column - bus_from).min(wait - refresh - bank);
        self.reads += 1;
        self.refresh_ticks += refresh;
        self.bank_ticks += bank;
        self.bus_ticks += bus;
        self.queue_ticks += wait - refresh - bank - bus;
        self.data_ticks += t.done - t.column;
    }

    pub(super) fn add_forwarded(&mut self, latency: Tick) {
        self.reads += 1;
        self.data_ticks += latency;
    }

    /// Sum of all parts: the total latency of all reads.
    pub fn total_ticks(&self) -> u64 {
        self.queue_ticks + self.bank_ticks + self.bus_ticks + self.refresh_ticks + self.data_ticks
    }
}
