//! What a run on a memory gave, in the form that every run has.

use hbm::memory_file::MemoryFile;
use hbm::report::{ChannelReport, LatencySummary, ReadTicks};
use serde_json::{Map, Value, json};

use crate::known::Known;
use crate::memory::Source;
use crate::report::{significant, thousands};
use crate::result::{Breakdown, Highlight, Partial, RunResult, Simulated, Wall};

/// Name of the breakdown, which the report shows in words.
pub const READ_LATENCY: &str = "read_latency";
const TICKS: &str = "ticks of all reads";
const CAUSES: [&str; 5] = ["activate", "read", "write", "refresh", "background"];

/// The result of a run.
pub fn result_of(
    machine: &str,
    workload: &str,
    memory: &MemoryFile,
    source: &Source,
    report: &ChannelReport,
    partial: Option<Partial>,
    wall: Wall,
) -> RunResult {
    let seed = match source {
        Source::Stream(workload) => workload.stream.seed,
        Source::Trace(_) => 0,
    };
    RunResult {
        machine: machine.to_string(),
        machine_description: memory.description.clone(),
        workload: workload.to_string(),
        workload_description: describe(source),
        config_hash: config_hash(memory, source),
        seed,
        simulated: Simulated {
            cycles: report.cycles.ceil() as u64,
            time_ns: report.time_ns,
            clock_ghz: memory.preset.clock_mhz / 1e3,
        },
        partial,
        wall,
        measured: None,
        expected_error: Known::of_kind("hbm-hardware", machine, &[]).expected_error,
        breakdown: breakdown(&report.read_ticks),
        roofline: None,
        highlights: highlights(memory, report),
        tables: String::new(),
        stats: stats(memory, report),
        machine_toml: memory.to_toml(),
    }
}

fn describe(source: &Source) -> String {
    match source {
        Source::Stream(workload) => {
            let kind = workload.stream.kind;
            let about = hbm::generator::streams().find(|(name, _)| name.parse() == Ok(kind)).map(|(_, about)| about);
            let limit = workload.driver.max_outstanding.map_or(String::new(), |n| format!(", {n} outstanding at most"));
            format!(
                "{} requests{limit}: {}",
                thousands(workload.stream.requests),
                about.unwrap_or("reads a stride apart")
            )
        }
        Source::Trace(requests) => format!("a trace of {} accesses", thousands(requests.len() as u64)),
    }
}

/// The resolved memory and the requests, wherever their files lie (D11).
pub fn config_hash(memory: &MemoryFile, source: &Source) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(memory.to_toml().as_bytes());
    match source {
        Source::Stream(workload) => {
            hasher.update(format!("{workload:?}").as_bytes());
        }
        Source::Trace(requests) => {
            for r in requests {
                hasher.update(&r.address.to_le_bytes());
                hasher.update(&r.due.to_le_bytes());
                hasher.update(&[r.op as u8]);
            }
        }
    }
    hasher.finalize().to_hex().to_string()
}

fn breakdown(ticks: &ReadTicks) -> Breakdown {
    let parts = [
        ("queue", ticks.queue),
        ("bank", ticks.bank),
        ("bus", ticks.bus),
        ("refresh", ticks.refresh),
        ("data", ticks.data),
    ];
    let leaves: Vec<_> = parts.into_iter().map(|(name, ticks)| Breakdown::leaf(name, ticks, TICKS)).collect();
    let whole = Breakdown::of(READ_LATENCY, TICKS, leaves);
    debug_assert_eq!(whole.total, ticks.total, "every tick of a read is accounted for");
    whole
}

fn highlights(memory: &MemoryFile, r: &ChannelReport) -> Vec<Highlight> {
    let preset = &memory.preset;
    let mut lines = Vec::new();
    let mut add = |name: &str, value: String| lines.push(Highlight { name: name.to_string(), value });
    let peak = preset.peak_channel_gb_per_s();
    let of_peak = format!("{:.1} % of peak", r.percent_of_peak);
    add("bandwidth", format!("{} GB/s of {} of one channel, {of_peak}", significant(r.gb_per_s), significant(peak)));
    let channels = preset.total_channels();
    if channels > 1 {
        let all = significant(r.gb_per_s * f64::from(channels));
        add(
            "all channels",
            format!("{all} GB/s of {} if all {channels} are loaded alike", significant(preset.peak_gb_per_s())),
        );
    }
    for (name, latency) in [("reads", r.reads), ("writes", r.writes)] {
        if let Some(latency) = latency {
            add(name, latency_text(&latency));
        }
    }
    let answered = match r.forwarded_reads + r.merged_writes {
        0 => String::new(),
        _ => format!(
            "; {} reads answered by the write queue, {} writes merged in it",
            r.forwarded_reads, r.merged_writes
        ),
    };
    let [hits, misses, conflicts] = [r.row_hits, r.row_misses, r.row_conflicts].map(thousands);
    add("rows", format!("{hits} hits, {misses} misses, {conflicts} conflicts{answered}"));
    let commands: Vec<String> =
        r.commands.iter().map(|(name, count)| format!("{name} {}", thousands(*count))).collect();
    add("commands", commands.join(", "));
    add("refresh", format!("{:.1} % of the banks' time", r.refresh_percent));
    if let Some(energy) = &r.energy {
        let total: f64 = energy.by_cause_pj.iter().sum();
        let share = |(name, pj): (&str, &f64)| format!("{name} {:.0} %", 100.0 * pj / total.max(f64::MIN_POSITIVE));
        let shares: Vec<String> = CAUSES.into_iter().zip(&energy.by_cause_pj).map(share).collect();
        let value = format!("{} pJ/bit: {}", significant(energy.total_pj_per_bit), shares.join(", "));
        add("energy", value);
        add("energy table", energy.table.clone());
    }
    lines
}

fn latency_text(l: &LatencySummary) -> String {
    let of = |cycles: f64, ns: f64| format!("{} cycles ({} ns)", significant(cycles), significant(ns));
    format!(
        "{}: mean {}, p50 {}, p99 {}, max {}",
        thousands(l.requests),
        of(l.mean_cycles, l.mean_ns),
        of(l.p50_cycles, l.p50_ns),
        of(l.p99_cycles, l.p99_ns),
        of(l.max_cycles, l.max_ns),
    )
}

fn stats(memory: &MemoryFile, r: &ChannelReport) -> Value {
    let quantity = |value: f64, unit: &str| json!({"value": value, "unit": unit});
    let count = |value: u64, unit: &str| json!({"value": value, "unit": unit});
    let latency = |l: &Option<LatencySummary>| match l {
        None => json!({"requests": count(0, "requests")}),
        Some(l) => json!({
            "requests": count(l.requests, "requests"),
            "mean": quantity(l.mean_cycles, "cycles"),
            "p50": quantity(l.p50_cycles, "cycles"),
            "p99": quantity(l.p99_cycles, "cycles"),
            "max": quantity(l.max_cycles, "cycles"),
            "mean_ns": quantity(l.mean_ns, "ns"),
            "p50_ns": quantity(l.p50_ns, "ns"),
            "p99_ns": quantity(l.p99_ns, "ns"),
            "max_ns": quantity(l.max_ns, "ns"),
        }),
    };
    let commands: Map<String, Value> =
        r.commands.iter().map(|(name, n)| (name.to_string(), count(*n, "commands"))).collect();
    let org = &memory.preset.organisation;
    let banks: Map<String, Value> = (0u32..)
        .zip(&r.banks)
        .map(|(index, bank)| {
            let p = org.unflatten(index);
            let name = format!("pc{}_sid{}_bg{}_ba{}", p.pseudo_channel, p.stack_id, p.bank_group, p.bank);
            let value = json!({
                "activates": count(bank.activates, "commands"),
                "accesses": count(bank.accesses, "commands"),
                "refreshes": count(bank.refreshes, "commands"),
            });
            (name, value)
        })
        .collect();
    let b = &r.read_breakdown;
    let mut stats = json!({
        "bandwidth": {
            "achieved": quantity(r.gb_per_s, "GB/s"),
            "peak": quantity(memory.preset.peak_channel_gb_per_s(), "GB/s"),
            "share_of_peak": quantity(r.percent_of_peak, "%"),
            "channels": count(u64::from(memory.preset.total_channels()), "channels"),
        },
        "reads": latency(&r.reads),
        "writes": latency(&r.writes),
        "mean_read": {
            "queue": quantity(b.queue_ns, "ns"),
            "bank": quantity(b.bank_ns, "ns"),
            "bus": quantity(b.bus_ns, "ns"),
            "refresh": quantity(b.refresh_ns, "ns"),
            "data": quantity(b.data_ns, "ns"),
        },
        "rows": {
            "hits": count(r.row_hits, "requests"),
            "misses": count(r.row_misses, "requests"),
            "conflicts": count(r.row_conflicts, "requests"),
            "forwarded_reads": count(r.forwarded_reads, "requests"),
            "merged_writes": count(r.merged_writes, "requests"),
        },
        "commands": commands,
        "refresh": {"share_of_bank_time": quantity(r.refresh_percent, "%")},
        "banks": banks,
    });
    if let (Some(energy), Value::Object(stats)) = (&r.energy, &mut stats) {
        let causes = CAUSES.into_iter().zip(&energy.by_cause_pj);
        let mut node: Map<String, Value> = causes.map(|(name, pj)| (name.to_string(), quantity(*pj, "pJ"))).collect();
        node.insert("per_bit".to_string(), quantity(energy.total_pj_per_bit, "pJ/bit"));
        node.insert("table".to_string(), json!(energy.table));
        stats.insert("energy".to_string(), Value::Object(node));
    }
    stats
}
