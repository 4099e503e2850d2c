//! Networks on systolic arrays.

use std::ops::Range;

use machine::npu_systolic::{SystolicError, SystolicResult, SystolicSimulation};
use npu::compile::in_machine_formats;
use npu::systolic::report::LayerResult;
use serde_json::Value;
use sim_core::{MachineFile, Plan};

use super::layers::Layer;
use super::{Content, Outcome, Workload};
use crate::failure::{Complaint, Failure};
use crate::report::significant;
use crate::result::{Breakdown, Highlight, Simulated};
use crate::views::npu_timeline::{Row, npu_timeline};

impl From<SystolicError> for Failure {
    fn from(error: SystolicError) -> Self {
        match error {
            SystolicError::Config(errors) => errors.into(),
            SystolicError::Run(error) => Failure::Run(Complaint::new(error.to_string())),
        }
    }
}

/// Runs to the end.
pub fn simulate(
    file: &MachineFile,
    workload: &Workload,
    plan: Plan,
    timeline: Option<Range<u64>>,
) -> Result<Outcome, Failure> {
    let Content::Network(graph) = &workload.content else {
        let help = "a task list names tiles, scratchpads and barriers: npu-2.7, npu-4";
        return Err(Complaint::new(format!("a task list does not run on {}", file.name)).help(help).into());
    };
    let graph = in_machine_formats(graph.clone());
    let run = SystolicSimulation::new(file, &[graph], plan)?.run(&mut |_| {})?;
    let clock_ghz = run.clock_hz as f64 / 1e9;
    let layers: Vec<Layer> = run.layers.iter().map(layer).collect();
    let view = timeline.map(|window| view(&run, workload, file, &window));
    let simulated = Simulated { cycles: run.cycles, time_ns: run.time.as_ns(), clock_ghz };
    Ok(Outcome {
        simulated,
        breakdown: breakdown(&run.layers),
        roofline: None,
        highlights: highlights(&layers, run.time.as_ns()),
        stats: serde_json::to_value(&run.stats).unwrap_or(Value::Null),
        layers,
        view,
        ticks_per_shard: Vec::new(),
    })
}

fn layer(result: &LayerResult) -> Layer {
    let sram = result.sram.ifmap_reads + result.sram.filter_reads + result.sram.ofmap_writes;
    Layer {
        name: result.name.clone(),
        kind: result.kind.clone(),
        macs: result.macs,
        cycles: result.cycles,
        bound: result.bound.name().to_string(),
        utilisation: result.utilisation,
        ddr_read_bytes: result.dram_read_bytes,
        ddr_write_bytes: result.dram_write_bytes,
        // Elements; a closed form knows no bytes.
        scratchpad_bytes: sram,
        energy_pj: None,
        note: result.note.clone(),
    }
}

/// The cycles of the run by what bound the layers.
fn breakdown(layers: &[LayerResult]) -> Breakdown {
    let mut kinds: Vec<(&str, u64)> = Vec::new();
    for layer in layers {
        let name = layer.bound.name();
        match kinds.iter_mut().find(|(kind, _)| *kind == name) {
            Some((_, cycles)) => *cycles += layer.cycles,
            None => kinds.push((name, layer.cycles)),
        }
    }
    kinds.sort_unstable();
    Breakdown::from_named("layers bound by", "cycles of layers bound by", kinds)
}

fn highlights(layers: &[Layer], time_ns: f64) -> Vec<Highlight> {
    let mut lines = Vec::new();
    let mut add = |name: &str, value: String| lines.push(Highlight { name: name.to_string(), value });
    let sum = |of: fn(&Layer) -> u64| layers.iter().map(of).sum::<u64>();
    let cycles = sum(|layer| layer.cycles).max(1) as f64;
    let used: f64 = layers.iter().map(|layer| layer.utilisation * layer.cycles as f64 / cycles).sum();
    let macs = sum(|layer| layer.macs);
    add("arrays", format!("{} GMAC, {:.1} % of what they could do", significant(macs as f64 / 1e9), 100.0 * used));
    let (read, written) = (sum(|layer| layer.ddr_read_bytes), sum(|layer| layer.ddr_write_bytes));
    if read + written > 0 {
        let mib = |bytes: u64| significant(bytes as f64 / f64::from(1 << 20));
        let rate = significant((read + written) as f64 / time_ns);
        add("memory", format!("{} MiB read, {} MiB written, {rate} GB/s", mib(read), mib(written)));
    }
    lines
}

/// A row for the layers; the event machine's engines are not told apart.
fn view(run: &SystolicResult, workload: &Workload, file: &MachineFile, window: &Range<u64>) -> crate::views::View {
    let ps = |cycle: u64| (u128::from(cycle) * 1_000_000_000_000 / u128::from(run.clock_hz.max(1))) as u64;
    let mut rows: Vec<String> = Vec::new();
    let mut free: Vec<u64> = Vec::new();
    let mut slices = Vec::new();
    for layer in run.layers.iter().filter(|layer| layer.end_cycle > layer.start_cycle) {
        // Layers overlap where one drains while the next begins.
        let engine = free.iter().position(|&until| until <= layer.start_cycle).unwrap_or_else(|| {
            rows.push(format!("layers {}", rows.len()));
            free.push(0);
            free.len() - 1
        });
        free[engine] = layer.end_cycle;
        let (start_ps, end_ps) = (ps(layer.start_cycle), ps(layer.end_cycle));
        slices.push(Row { engine, name: layer.name.clone(), start_ps, end_ps });
    }
    npu_timeline(&format!("{} on {}", workload.name, file.name), window, rows, slices.into_iter())
}
