//! Golden runs: one case of the suite `hbm-ramulator2`, run and turned into the metrics that the suite records.
//!
//! ```text
//!   (preset, policy, map, workload) ─▶ drive ─▶ metric name, value as text
//! ```
//!
//! Models: the metrics of `validation/suites/hbm-ramulator2/cases.csv`; one that a case does not list is 0.
//! Leaves out: reading the suite, which is `validation`'s.
//! Numbers: none.

use serde::Deserialize;

use crate::command::ALL;
use crate::compat::ramulator2::{PolicySpec, Ramulator2};
use crate::controller::Controller;
use crate::driver::{Outcome, drive};
use crate::generator::RequestStream;
use crate::mapper::FieldOrder;
use crate::preset::Preset;
use crate::workload::Workload;

/// A `[policy.NAME]` table of the suite.
#[derive(Debug, Clone, Deserialize)]
pub struct GoldenPolicy {
    /// Preset the runs were taken with.
    pub machine: String,
    /// Map with which the generator composes addresses.
    pub map: String,
    /// The controller's policy.
    #[serde(flatten)]
    pub policy: PolicySpec,
}

/// What a golden run gave.
#[derive(Debug, Clone, PartialEq)]
pub struct GoldenRun {
    /// (metric, value), in the notation of the suite; only those that are not zero.
    pub metrics: Vec<(&'static str, String)>,
}

/// Runs a case. The error says which part does not fit.
pub fn run_case(preset: &Preset, golden: &GoldenPolicy, workload: &Workload) -> Result<GoldenRun, String> {
    let policy = golden.policy.policy().map_err(|(key, message, help)| format!("{key}: {message} ({help})"))?;
    let org = &preset.organisation;
    let order = FieldOrder::parse(&golden.map, org).ok_or_else(|| format!("`{}` is no map of it", golden.map))?;
    let mut controller = Ramulator2::new(preset, &policy, ());
    let mut stream = RequestStream::new(workload.stream, order, org.access_bytes);
    let outcome = drive(&mut controller, &mut stream, &workload.driver);
    Ok(GoldenRun { metrics: metrics(&controller, &outcome) })
}

fn metrics(controller: &dyn Controller, out: &Outcome) -> Vec<(&'static str, String)> {
    let counters = controller.counters();
    let mut list = Vec::new();
    let mut count = |name, n: u64| {
        if n != 0 {
            list.push((name, n.to_string()));
        }
    };
    count("cycles", out.cycles);
    count("last_accept", out.last_accept);
    count("last_done", out.last_done);
    count("row_hits", counters.row_hits);
    count("row_misses", counters.row_misses);
    count("row_conflicts", counters.row_conflicts);
    count("forwarded_reads", counters.forwarded_reads);
    count("merged_writes", counters.merged_writes);
    for command in ALL {
        count(command.name(), controller.banks().counts[command.index()]);
    }
    let reads = out.read_latencies.iter().copied();
    let writes = out.write_latencies.iter().copied();
    count("read_latency_min", reads.clone().min().map_or(0, u64::from));
    count("read_latency_max", reads.clone().max().map_or(0, u64::from));
    count("write_latency_max", writes.clone().max().map_or(0, u64::from));
    list.extend(average(&out.read_latencies).map(|a| ("read_latency_avg", a)));
    list.extend(average(&out.write_latencies).map(|a| ("write_latency_avg", a)));
    list.push(("completion_hash", format!("{:016x}", out.completion_hash)));
    list
}

/// Mean to three decimals without trailing zeros, `None` if there is nothing.
fn average(latencies: &[u32]) -> Option<String> {
    let sum: u64 = latencies.iter().map(|l| u64::from(*l)).sum();
    (sum > 0).then(|| {
        let text = format!("{:.3}", sum as f64 / latencies.len() as f64);
        text.trim_end_matches('0').trim_end_matches('.').to_string()
    })
}
