//! The results of a sweep: one table, and how fast each variant is beside the baseline.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::plan::{Plan, Point};
use super::store::Record;
use crate::output::quoted;

/// Of one variant over all that it was run on.
#[derive(Clone, Debug, PartialEq)]
pub struct Speedup {
    pub variant: String,
    pub group: String,
    /// Cycles of the baseline ÷ cycles of the variant, geometric mean.
    pub mean: f64,
    /// Of each workload, in the order of the sweep.
    pub each: Vec<(String, f64)>,
    pub published: Option<f64>,
    pub published_in: Option<String>,
}

/// A row a run, columns first what was asked for, then what it gave. A function of the inputs alone.
pub fn table(plan: &Plan, records: &[Option<Record>]) -> String {
    let of_all = records.iter().flatten().flat_map(|record| record.subcore_cycles.keys());
    let reasons: BTreeSet<&String> = of_all.collect();
    let mut out = String::from("machine,workload,variant");
    plan.axes.iter().for_each(|axis| out.push_str(&format!(",{}", quoted(axis))));
    out.push_str(",cycles,time_ns,instructions,ipc");
    reasons.iter().for_each(|reason| out.push_str(&format!(",{}", quoted(&format!("{reason} (sub-core-cycles)")))));
    out.push_str(",config_hash\n");
    for (point, record) in done(plan, records) {
        let mut row = vec![quoted(&point.machine), quoted(&point.workload), quoted(&point.variant)];
        row.extend(point.at.iter().map(|(_, value)| quoted(value)));
        let ipc = record.instructions as f64 / record.cycles.max(1) as f64;
        row.extend([
            record.cycles.to_string(),
            record.time_ns.to_string(),
            record.instructions.to_string(),
            format!("{ipc:.6}"),
        ]);
        row.extend(reasons.iter().map(|reason| record.subcore_cycles.get(*reason).copied().unwrap_or(0).to_string()));
        row.push(record.config_hash.clone());
        out.push_str(&(row.join(",") + "\n"));
    }
    out
}

/// Points that have a result.
fn done<'p>(plan: &'p Plan, records: &'p [Option<Record>]) -> impl Iterator<Item = (&'p Point, &'p Record)> {
    let pairs = plan.points.iter().zip(records);
    pairs.filter_map(|(point, record)| Some((point, record.as_ref().filter(|record| record.failed.is_none())?)))
}

/// How fast each variant is. Runs that are missing, or have no baseline, do not count.
pub fn speedups(plan: &Plan, records: &[Option<Record>]) -> Vec<Speedup> {
    let of = |variant: &str| -> Vec<(&Point, u64)> {
        let own = done(plan, records).filter(|(point, _)| point.variant == variant);
        own.map(|(point, record)| (point, record.cycles)).collect()
    };
    let base = of(&plan.baseline);
    let several = plan.points.iter().any(|point| !point.at.is_empty());
    plan.variants
        .iter()
        .map(|variant| {
            let each: Vec<(String, f64)> = of(&variant.name)
                .into_iter()
                .filter_map(|(point, cycles)| {
                    let same = |other: &Point| other.workload == point.workload && other.at == point.at;
                    let (_, reference) = base.iter().find(|(other, _)| same(other))?;
                    let at: Vec<String> = point.at.iter().map(|(key, value)| format!("{key}={value}")).collect();
                    let name =
                        if several { format!("{} {}", point.workload, at.join(" ")) } else { point.workload.clone() };
                    Some((name, *reference as f64 / cycles.max(1) as f64))
                })
                .collect();
            let logs: f64 = each.iter().map(|(_, speedup)| speedup.ln()).sum();
            Speedup {
                variant: variant.name.clone(),
                group: variant.group.clone(),
                mean: if each.is_empty() { f64::NAN } else { (logs / each.len() as f64).exp() },
                each,
                published: variant.published_speedup,
                published_in: variant.published_in.clone(),
            }
        })
        .collect()
}

/// All of it as one document, which `orrery plot speedup` reads.
pub fn document(plan: &Plan, records: &[Option<Record>]) -> Value {
    let runs: Vec<Value> = done(plan, records)
        .map(|(point, record)| {
            json!({
                "machine": point.machine, "workload": point.workload, "variant": point.variant,
                "at": point.at.iter().cloned().collect::<std::collections::BTreeMap<_, _>>(),
                "set": point.sets, "cycles": record.cycles, "time_ns": record.time_ns,
                "instructions": record.instructions, "subcore_cycles": record.subcore_cycles, "config_hash": record.config_hash,
            })
        })
        .collect();
    let failed: Vec<Value> = plan
        .points
        .iter()
        .zip(records)
        .filter_map(|(point, record)| {
            let why = record.as_ref()?.failed.as_ref()?;
            Some(json!({"workload": point.workload, "variant": point.variant, "set": point.sets, "why": why}))
        })
        .collect();
    let speedup: Vec<Value> = speedups(plan, records)
        .into_iter()
        .filter(|speedup| !speedup.each.is_empty())
        .map(|speedup| {
            let each: serde_json::Map<String, Value> =
                speedup.each.into_iter().map(|(workload, value)| (workload, json!(value))).collect();
            json!({
                "variant": speedup.variant, "group": speedup.group, "geometric_mean": speedup.mean,
                "each": each,
                "published": speedup.published, "published_in": speedup.published_in,
            })
        })
        .collect();
    json!({
        "sweep": plan.name, "description": plan.description, "baseline": plan.baseline,
        "planned": plan.points.len(), "speedup": speedup, "failed": failed, "runs": runs,
    })
}
