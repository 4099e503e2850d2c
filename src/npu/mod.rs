//! `orrery run` on an NPU: what is run, how, and what it gave.
//!
//! * [`network`]: the word WORKLOAD as a network or a task list. [`tiled`], [`systolic`]: the two kinds of machines.
//! * [`layers`]: the table of layers that both fill. [`mod@sensitivity`]: which parameter moves the result.

mod layers;
mod network;
mod sensitivity;
mod systolic;
mod tiled;

use std::time::Instant;

use machine::npu_systolic::SystolicSimulation;
use machine::npu_tiled::tiled_spec;
use sim_core::{MachineFile, Plan};

use crate::catalog;
use crate::failure::Failure;
use crate::result::{Breakdown, Highlight, Roofline, RunResult, Simulated, Wall, peak_rss_bytes};
use crate::views::View;

pub use layers::Layer;
pub use network::{Asked, Content, Workload};
pub use sensitivity::sensitivity;

/// Name of the breakdown, which the report shows in words.
pub const TIME: &str = "time";

/// Whether a word means an NPU: a shipped machine or a file with such a part. A file that cannot be read is none.
pub fn is_npu(word: &str) -> bool {
    catalog::machine(word, &[]).is_ok_and(|file| is_npu_file(&file))
}

/// Whether a machine file describes an NPU.
pub fn is_npu_file(file: &MachineFile) -> bool {
    SystolicSimulation::fits(file) || !matches!(tiled_spec(file), Ok(None))
}

/// One line about each shipped network.
pub fn workloads() -> Vec<(String, String)> {
    let model = |model: workloads::tensor::transformer::Dimensions| {
        let millions = model.parameters() / 1_000_000;
        let about = format!(
            "on an NPU: {millions} million weights in {} layers of width {}; {}",
            model.layers, model.width, model.source
        );
        (model.name.to_string(), about)
    };
    workloads::tensor::transformer::MODELS.into_iter().map(model).collect()
}

/// What a run gave, whichever kind of machine it was.
pub struct Outcome {
    pub simulated: Simulated,
    pub breakdown: Breakdown,
    pub roofline: Option<Roofline>,
    pub highlights: Vec<Highlight>,
    pub layers: Vec<Layer>,
    pub stats: serde_json::Value,
    pub view: Option<View>,
    ticks_per_shard: Vec<u64>,
}

/// Runs a network on an NPU; `timeline` is the window to draw, in nanoseconds.
pub fn simulate(
    file: &MachineFile,
    workload: &Workload,
    plan: Plan,
    timeline: Option<std::ops::Range<u64>>,
) -> Result<Outcome, Failure> {
    match SystolicSimulation::fits(file) {
        true => {
            // Links of one cycle make windows of one cycle: by itself, sharding costs more than it saves.
            let shards = plan.shards.max(1);
            systolic::simulate(file, workload, Plan { shards, ..plan }, timeline)
        }
        false => tiled::simulate(file, workload, plan, timeline),
    }
}

/// A run with what the user sees of it.
pub fn run(
    file: &MachineFile,
    workload: &Workload,
    plan: Plan,
    timeline: Option<std::ops::Range<u64>>,
) -> Result<(RunResult, Option<View>), Failure> {
    let start = Instant::now();
    let threads = plan.thread_count();
    let outcome = simulate(file, workload, plan, timeline)?;
    let seconds = start.elapsed().as_secs_f64();
    let mut stats = match outcome.stats {
        serde_json::Value::Object(map) => map,
        _ => serde_json::Map::new(),
    };
    stats.insert("layers".into(), layers::to_json(&outcome.layers));
    let result = RunResult {
        machine: file.name.clone(),
        machine_description: catalog::text_of(file, "description").to_string(),
        workload: workload.name.clone(),
        workload_description: workload.description.clone(),
        config_hash: workload.config_hash(file),
        seed: file.seed,
        simulated: outcome.simulated,
        partial: None,
        wall: Wall {
            seconds,
            cycles_per_second: outcome.simulated.cycles as f64 / seconds.max(1e-9),
            peak_rss_bytes: peak_rss_bytes(),
            threads,
            ticks_per_shard: outcome.ticks_per_shard,
        },
        measured: None,
        expected_error: None,
        breakdown: outcome.breakdown,
        roofline: outcome.roofline,
        highlights: outcome.highlights,
        tables: layers::table(&outcome.layers, &outcome.simulated),
        stats: serde_json::Value::Object(stats),
        machine_toml: file.to_toml(),
    };
    Ok((result, outcome.view))
}
