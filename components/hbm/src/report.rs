//! A channel run alone under a stream or a trace, and everything worth saying about it.
//!
//! ```text
//!   preset · policy · requests ─▶ native controller ─▶ [`ChannelReport`]
//! ```
//!
//! Models: bandwidth and share of peak, latencies of reads and writes apart, row statistics, command counts, refresh, energy,
//! a breakdown of read latency that sums to it, activity by bank.
//! Leaves out: several channels, which a machine file describes.
//! Numbers: none.
//! Start reading at [`run`]; the canonical tests are `tests/report.rs`.

use std::sync::atomic::AtomicBool;

use serde::{Deserialize, Serialize};

use crate::bank::{NEVER, Tick};
use crate::command::{ALL, Bus, Command};
use crate::controller::{CommandObserver, Controller, IssuedCommand};
use crate::driver::{DriverSpec, Run, drive_until};
use crate::energy::{Currents, EnergyCounters};
use crate::error::ConfigError;
use crate::generator::Generated;
use crate::native::{Native, Policy};
use crate::preset::Preset;

/// Latency of one kind of request.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct LatencySummary {
    /// Requests.
    pub requests: u64,
    /// Mean, in command clocks.
    pub mean_cycles: f64,
    /// Median, in command clocks.
    pub p50_cycles: f64,
    /// 99th percentile, in command clocks.
    pub p99_cycles: f64,
    /// Largest, in command clocks.
    pub max_cycles: f64,
    /// Mean, in ns.
    pub mean_ns: f64,
    /// Median, in ns.
    pub p50_ns: f64,
    /// 99th percentile, in ns.
    pub p99_ns: f64,
    /// Largest, in ns.
    pub max_ns: f64,
}

/// Mean ns of a read in each station; they sum to the mean latency of a read.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct ReadBreakdown {
    /// Other requests going before.
    pub queue_ns: f64,
    /// PRE, ACT, row to column.
    pub bank_ns: f64,
    /// Column bus, data bus, turnaround.
    pub bus_ns: f64,
    /// Refresh of the bank.
    pub refresh_ns: f64,
    /// Column access and transfer.
    pub data_ns: f64,
}

/// Ticks of all reads in each station; exact integers that sum to [`ReadTicks::total`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct ReadTicks {
    /// See [`ReadBreakdown`], and so on.
    pub queue: u64,
    /// PRE, ACT, row to column.
    pub bank: u64,
    /// Column bus, data bus, turnaround.
    pub bus: u64,
    /// Refresh of the bank.
    pub refresh: u64,
    /// Column access and transfer.
    pub data: u64,
    /// Latency of all reads.
    pub total: u64,
}

/// Commands of one bank.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct BankActivity {
    /// ACT.
    pub activates: u64,
    /// RD, WR, with and without auto-precharge, and UPD.
    pub accesses: u64,
    /// REFpb and RFMpb.
    pub refreshes: u64,
}

/// Energy of a run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EnergyReport {
    /// The table it was computed with.
    pub table: String,
    /// Everything, in pJ per bit moved.
    pub total_pj_per_bit: f64,
    /// By cause, in pJ: activate, read, write, refresh, background.
    pub by_cause_pj: [f64; 5],
}

/// What a channel did.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ChannelReport {
    /// Preset.
    pub preset: String,
    /// Command clocks simulated.
    pub cycles: f64,
    /// Simulated time.
    pub time_ns: f64,
    /// Bytes over the data bus in time (1e9 bytes a second); requests that end in the write queue move none.
    pub gb_per_s: f64,
    /// Of the channel's peak.
    pub percent_of_peak: f64,
    /// Reads; `None` if there were none.
    pub reads: Option<LatencySummary>,
    /// Writes and updates, acceptance to column command.
    pub writes: Option<LatencySummary>,
    /// The row was open.
    pub row_hits: u64,
    /// The bank was closed.
    pub row_misses: u64,
    /// Another row was open.
    pub row_conflicts: u64,
    /// Reads answered by the write queue.
    pub forwarded_reads: u64,
    /// Writes merged in the write queue.
    pub merged_writes: u64,
    /// Count of each command that was issued.
    pub commands: Vec<(&'static str, u64)>,
    /// Bank-time under refresh, of all bank-time.
    pub refresh_percent: f64,
    /// Where a read's time went.
    pub read_breakdown: ReadBreakdown,
    /// The same, summed over all reads.
    pub read_ticks: ReadTicks,
    /// By flat bank: pseudo channel, stack ID, group, bank.
    pub banks: Vec<BankActivity>,
    /// Energy, if a table was given.
    pub energy: Option<EnergyReport>,
    /// The controller was stuck with work left. Never true for a correct controller.
    pub deadlock: bool,
}

/// Runs requests through one channel and reports. `currents` adds energy.
pub fn run(
    preset: &Preset,
    policy: &Policy,
    requests: &mut dyn Iterator<Item = Generated>,
    driver: &DriverSpec,
    currents: Option<&Currents>,
) -> Result<ChannelReport, ConfigError> {
    run_observed(preset, policy, requests, driver, currents, ()).map(|(report, ())| report)
}

/// The same, with somebody who sees every command.
pub fn run_observed<O: CommandObserver>(
    preset: &Preset,
    policy: &Policy,
    requests: &mut dyn Iterator<Item = Generated>,
    driver: &DriverSpec,
    currents: Option<&Currents>,
    observer: O,
) -> Result<(ChannelReport, O), ConfigError> {
    let mut run = ChannelRun::new(preset, policy, observer)?;
    run.advance(requests, driver, NEVER, &AtomicBool::new(false));
    Ok((run.report(preset, currents), run.channel.observer.observer))
}

/// A channel under way, which can be stopped, saved and gone on with.
#[derive(Debug, Clone)]
pub struct ChannelRun<O = ()> {
    channel: Native<ByBank<O>>,
    run: Run,
}

sim_core::saved!(ChannelRun<O> { parts: channel, run });

impl<O: CommandObserver> ChannelRun<O> {
    /// A channel that no request has come to.
    pub fn new(preset: &Preset, policy: &Policy, observer: O) -> Result<Self, ConfigError> {
        let banks = vec![BankActivity::default(); preset.organisation.banks() as usize];
        let channel = Native::new(preset, policy, ByBank { banks, observer })?;
        Ok(ChannelRun { channel, run: Run::default() })
    }

    /// Goes on to tick `end`, to the end of the requests, or until `stop` is set; whether the requests came to an end.
    /// `requests` are all, those of before too.
    pub fn advance(
        &mut self,
        requests: &mut dyn Iterator<Item = Generated>,
        driver: &DriverSpec,
        end: Tick,
        stop: &AtomicBool,
    ) -> bool {
        drive_until(&mut self.run, &mut self.channel, requests, driver, end, stop)
    }

    /// The present tick.
    pub fn now(&self) -> Tick {
        self.channel.now()
    }

    /// The observer.
    pub fn into_observer(self) -> O {
        self.channel.observer.observer
    }

    /// What the channel did so far.
    pub fn report(&self, preset: &Preset, currents: Option<&Currents>) -> ChannelReport {
        report(preset, &self.channel, &self.run, currents)
    }
}

fn report<O: CommandObserver>(
    preset: &Preset,
    channel: &Native<ByBank<O>>,
    run: &Run,
    currents: Option<&Currents>,
) -> ChannelReport {
    let out = &run.outcome;
    let org = &preset.organisation;
    let tick_ns = preset.tick_ps() / 1e3;
    let clocks = |ticks: f64| ticks / f64::from(preset.generation.ticks_per_ck());
    let summary = |latencies: &[u32]| summary(latencies, tick_ns, f64::from(preset.generation.ticks_per_ck()));
    let counts = channel.banks().counts;
    let accesses: u64 = ALL.iter().filter(|c| c.bus() == Bus::Column).map(|c| counts[c.index()]).sum();
    let bytes = accesses * u64::from(org.access_bytes);
    let time_ns = out.cycles as f64 * tick_ns;
    let gb_per_s = if out.cycles == 0 { 0.0 } else { bytes as f64 / time_ns };
    let counters = channel.counters();
    let b = channel.breakdown();
    let mean_ns = |ticks: u64| ticks as f64 * tick_ns / b.reads.max(1) as f64;
    ChannelReport {
        preset: preset.name.clone(),
        cycles: clocks(out.cycles as f64),
        time_ns,
        gb_per_s,
        percent_of_peak: 100.0 * gb_per_s / preset.peak_channel_gb_per_s(),
        reads: summary(&out.read_latencies),
        writes: summary(&out.write_latencies),
        row_hits: counters.row_hits,
        row_misses: counters.row_misses,
        row_conflicts: counters.row_conflicts,
        forwarded_reads: counters.forwarded_reads,
        merged_writes: counters.merged_writes,
        commands: ALL.iter().map(|c| (c.name(), counts[c.index()])).filter(|(_, n)| *n > 0).collect(),
        refresh_percent: refresh_percent(preset, &counts, out.cycles),
        read_breakdown: ReadBreakdown {
            queue_ns: mean_ns(b.queue_ticks),
            bank_ns: mean_ns(b.bank_ticks),
            bus_ns: mean_ns(b.bus_ticks),
            refresh_ns: mean_ns(b.refresh_ticks),
            data_ns: mean_ns(b.data_ticks),
        },
        read_ticks: ReadTicks {
            queue: b.queue_ticks,
            bank: b.bank_ticks,
            bus: b.bus_ticks,
            refresh: b.refresh_ticks,
            data: b.data_ticks,
            total: out.read_latencies.iter().map(|l| u64::from(*l)).sum::<u64>() + channel.read_ticks_under_way(),
        },
        energy: currents.map(|c| energy(preset, c, channel, bytes)),
        deadlock: out.deadlock,
        banks: channel.observer.banks.clone(),
    }
}

/// Counts commands by bank, and passes them on.
#[derive(Debug, Clone)]
struct ByBank<O> {
    banks: Vec<BankActivity>,
    observer: O,
}

// Who watches besides watches from where the run goes on.
sim_core::saved!(ByBank<O> { sized: banks; rebuilt: observer });

impl<O: CommandObserver> CommandObserver for ByBank<O> {
    fn issued(&mut self, c: &IssuedCommand) {
        self.observer.issued(c);
        let bank = &mut self.banks[c.bank as usize];
        match c.command {
            Command::Act => bank.activates += 1,
            Command::RefPb | Command::RfmPb => bank.refreshes += 1,
            command if command.bus() == Bus::Column => bank.accesses += 1,
            _ => {}
        }
    }
}

fn summary(latencies: &[u32], tick_ns: f64, ticks_per_clock: f64) -> Option<LatencySummary> {
    let mut sorted = latencies.to_vec();
    sorted.sort_unstable();
    let last = sorted.len().checked_sub(1)?;
    // Nearest rank: the smallest value with at least q of all at or below it.
    let quantile = |q: f64| f64::from(sorted[((q * sorted.len() as f64).ceil() as usize).clamp(1, last + 1) - 1]);
    let mean = sorted.iter().map(|l| f64::from(*l)).sum::<f64>() / sorted.len() as f64;
    let (p50, p99, max) = (quantile(0.5), quantile(0.99), f64::from(sorted[last]));
    Some(LatencySummary {
        requests: sorted.len() as u64,
        mean_cycles: mean / ticks_per_clock,
        p50_cycles: p50 / ticks_per_clock,
        p99_cycles: p99 / ticks_per_clock,
        max_cycles: max / ticks_per_clock,
        mean_ns: mean * tick_ns,
        p50_ns: p50 * tick_ns,
        p99_ns: p99 * tick_ns,
        max_ns: max * tick_ns,
    })
}

fn refresh_percent(preset: &Preset, counts: &[u64], ticks: u64) -> f64 {
    let (t, org) = (&preset.timing, &preset.organisation);
    let n = |c: Command| counts[c.index()] as f64;
    let per_pc = f64::from(org.banks_per_pseudo_channel());
    let clocks = n(Command::RefAb) * per_pc * f64::from(t.n_rfc)
        + n(Command::RfmAb) * per_pc * f64::from(t.n_rfm_ab)
        + n(Command::RefPb) * f64::from(t.n_rfc_pb)
        + n(Command::RfmPb) * f64::from(t.n_rfm_pb);
    let all = ticks as f64 * f64::from(org.banks()) / f64::from(preset.generation.ticks_per_ck());
    if all == 0.0 { 0.0 } else { 100.0 * clocks / all }
}

fn energy<O: CommandObserver>(preset: &Preset, currents: &Currents, channel: &Native<O>, bytes: u64) -> EnergyReport {
    let mut background_ticks = [0; 4];
    for ticks in channel.background_ticks() {
        background_ticks.iter_mut().zip(ticks).for_each(|(sum, t)| *sum += t);
    }
    let table = currents.table(preset);
    let counters = EnergyCounters { commands: channel.banks().counts, background_ticks, bytes };
    let energy = table.energy(&counters, preset.tick_ps());
    EnergyReport {
        total_pj_per_bit: energy.pj_per_bit(bytes),
        by_cause_pj: [energy.activate_pj, energy.read_pj, energy.write_pj, energy.refresh_pj, energy.background_pj],
        table: table.name,
    }
}
