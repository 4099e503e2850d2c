//! Networks and task lists on tiles of MAC array, DSPs and scratchpad.

use std::ops::Range;

use machine::npu_tiled::{NpuTiledError, NpuTiledSimulation, tiled_spec};
use npu::compile::{Compiled, compile, in_machine_formats};
use npu::systolic::work::kind_name;
use npu::tiled::{EngineKind, Schedule, TiledSpec, Unions, Use};
use serde_json::{Map, Value, json};
use sim_core::{MachineFile, Plan};
use workloads::tensor::{Element, Graph, Place, TaskList, Work};

use super::layers::{Layer, shares};
use super::{Content, Outcome, TIME, Workload};
use crate::failure::{Complaint, Failure};
use crate::report::{significant, thousands};
use crate::result::{Breakdown, Highlight, Roofline, Simulated};
use crate::views::npu_timeline::{Row, npu_timeline};

impl From<NpuTiledError> for Failure {
    fn from(error: NpuTiledError) -> Self {
        match error {
            NpuTiledError::Config(errors) => errors.into(),
            NpuTiledError::Workload(error) => error.into(),
            NpuTiledError::Run(error) => Failure::Run(Complaint::new(error.to_string())),
        }
    }
}

/// A list and which layer each of its tasks belongs to.
struct Tasks<'a> {
    list: &'a TaskList,
    /// Names and kinds of the layers.
    layers: Vec<Layer>,
    layer_of: Vec<u32>,
    /// Multiply-accumulates a cycle of all arrays, in the widest format that is used.
    macs_per_cycle: f64,
}

/// Runs to the end.
pub fn simulate(
    file: &MachineFile,
    workload: &Workload,
    plan: Plan,
    timeline: Option<Range<u64>>,
) -> Result<Outcome, Failure> {
    let spec = tiled_spec(file)?.ok_or_else(|| Complaint::new(format!("{} is no NPU", file.name)))?;
    let compiled;
    let tasks = match &workload.content {
        Content::Network(graph) => {
            let graph = in_machine_formats(graph.clone());
            compiled = compile(&graph, &spec).map_err(|error| {
                Complaint::new(format!("{} on {}: {error}", workload.name, file.name)).help(error.help)
            })?;
            of_network(&graph, &compiled, &spec)
        }
        Content::Tasks(list) => of_list(list, &spec),
    };
    let run = NpuTiledSimulation::new(file, tasks.list, plan)?.run(&mut |_| {})?;
    let schedule = &run.schedule;
    let layers = layers(&tasks, schedule, &spec);
    let cycles = cycles(schedule.makespan_ps, &spec);
    let clock_ghz = spec.dpu_mhz / 1e3;
    let simulated = Simulated { cycles, time_ns: schedule.makespan_ps as f64 / 1e3, clock_ghz };
    let view = timeline.map(|window| {
        let rows = schedule.engines.iter().map(|engine| engine.name.clone()).collect();
        let slices = schedule.tasks.iter().zip(tasks.list.tasks()).map(|(times, task)| Row {
            engine: times.engine as usize,
            name: task.layer.clone().unwrap_or_else(|| format!("task {}", task.id)),
            start_ps: times.start_ps,
            end_ps: times.end_ps,
        });
        npu_timeline(&format!("{} on {}", workload.name, file.name), &window, rows, slices)
    });
    Ok(Outcome {
        simulated,
        breakdown: breakdown(&schedule.unions, schedule.makespan_ps),
        roofline: roofline(&layers, &tasks, &spec, simulated.time_ns),
        highlights: highlights(&tasks, &layers, schedule),
        stats: stats(schedule),
        layers,
        view,
        ticks_per_shard: run.outcome.shards.iter().map(|shard| shard.ticks).collect(),
    })
}

/// Of the arrays' nominal clock, rounded up.
fn cycles(ps: u64, spec: &TiledSpec) -> u64 {
    (ps as f64 * spec.dpu_mhz / 1e6 - 1e-6).ceil() as u64
}

fn macs_per_cycle(list: &TaskList, spec: &TiledSpec) -> f64 {
    let is_wide = list.tasks().iter().any(|task| match &task.work {
        Work::Dpu { variants, .. } => variants.iter().any(|variant| variant.element.bits() > Element::I8.bits()),
        _ => false,
    });
    let arrays = u64::from(spec.tiles * spec.dpus_per_tile) * spec.dpu.macs_per_cycle;
    arrays as f64 / if is_wide { spec.dpu.f16_factor as f64 } else { 1.0 }
}

fn of_network<'a>(graph: &Graph, compiled: &'a Compiled, spec: &TiledSpec) -> Tasks<'a> {
    let layer = |operator: &workloads::tensor::Operator| Layer {
        name: operator.name.clone(),
        kind: kind_name(&operator.kind).to_string(),
        macs: operator.macs(),
        ..Layer::default()
    };
    Tasks {
        list: &compiled.list,
        layers: graph.operators.iter().map(layer).collect(),
        layer_of: compiled.operators.clone(),
        macs_per_cycle: macs_per_cycle(&compiled.list, spec),
    }
}

/// Layers by the names that the tasks carry; tasks without one are a layer of their own.
fn of_list<'a>(list: &'a TaskList, spec: &TiledSpec) -> Tasks<'a> {
    let mut layers: Vec<Layer> = Vec::new();
    let mut layer_of = Vec::new();
    for task in list.tasks() {
        let name = task.layer.as_deref().unwrap_or("(no layer)");
        let at = layers.iter().position(|layer| layer.name == name).unwrap_or_else(|| {
            layers.push(Layer { name: name.to_string(), kind: "tasks".into(), ..Layer::default() });
            layers.len() - 1
        });
        if let Work::Dpu { variants, .. } = &task.work {
            layers[at].macs += variants.iter().map(|variant| variant.macs()).sum::<u64>();
        }
        layer_of.push(at as u32);
    }
    Tasks { list, layers, layer_of, macs_per_cycle: macs_per_cycle(list, spec) }
}

fn layers(tasks: &Tasks, schedule: &Schedule, spec: &TiledSpec) -> Vec<Layer> {
    let mut layers = tasks.layers.clone();
    let mut ends = vec![0; layers.len()];
    let mut busy = vec![[0_u64; EngineKind::ALL.len()]; layers.len()];
    for ((task, times), (index, &layer)) in
        tasks.list.tasks().iter().zip(&schedule.tasks).zip(tasks.layer_of.iter().enumerate())
    {
        let at = layer as usize;
        ends[at] = ends[at].max(times.end_ps);
        let kind = schedule.engines[times.engine as usize].kind;
        busy[at][kind as usize] += times.end_ps - times.start_ps;
        let row = &mut layers[at];
        match &task.work {
            Work::Dma { source, destination, bytes, .. } => {
                row.ddr_read_bytes += if *source == Place::Ddr { *bytes } else { 0 };
                row.ddr_write_bytes += if *destination == Place::Ddr { *bytes } else { 0 };
                row.scratchpad_bytes += bytes * (source.tiles().len() + destination.tiles().len()) as u64;
            }
            Work::Dpu { variants, .. } => {
                let bytes = |v: &workloads::tensor::Variant| {
                    v.input_bytes() + v.weight_bytes() + v.output_bytes() * u64::from(v.out_tiles)
                };
                row.scratchpad_bytes += variants.iter().map(bytes).sum::<u64>();
            }
            Work::Shave { element, elements, .. } => row.scratchpad_bytes += 2 * element.bytes_of(*elements),
            Work::M2i | Work::Cpu => {}
        }
        if let Some(energy) = &schedule.energy {
            row.energy_pj = Some(row.energy_pj.unwrap_or(0.0) + energy.tasks_pj[index]);
        }
    }
    // Ends in cycles, so that the shares sum to the cycles of the run.
    let shares = shares(ends.iter().map(|&end| cycles(end, spec)));
    let mut before = 0;
    for (index, row) in layers.iter_mut().enumerate() {
        row.cycles = shares[index];
        row.utilisation = row.macs as f64 / (row.cycles.max(1) as f64 * tasks.macs_per_cycle);
        let window = ends[index].saturating_sub(before);
        before = before.max(ends[index]);
        row.bound = bound(&busy[index], window, spec).to_string();
        if row.cycles == 0 {
            row.utilisation = 0.0;
        }
    }
    layers
}

/// The kind of engine that worked most, as the share of its engines' time; latency if none did for half of it.
fn bound(busy: &[u64; EngineKind::ALL.len()], window_ps: u64, spec: &TiledSpec) -> &'static str {
    let engines = |kind: EngineKind| match kind {
        EngineKind::Dma => spec.dma_ports,
        EngineKind::Dpu => spec.tiles,
        EngineKind::Shave => spec.tiles * spec.shaves_per_tile,
        EngineKind::M2i | EngineKind::Cpu => 1,
    };
    let used = |kind: EngineKind| busy[kind as usize] as f64 / f64::from(engines(kind).max(1));
    let most = EngineKind::ALL.into_iter().max_by(|a, b| used(*a).total_cmp(&used(*b))).expect("there are kinds");
    match most {
        _ if busy.iter().all(|&ps| ps == 0) => "nothing",
        kind if used(kind) < 0.5 * window_ps as f64 => "latency",
        EngineKind::Dma => "dma",
        EngineKind::Dpu => "arrays",
        EngineKind::Shave => "dsps",
        EngineKind::M2i => "m2i",
        EngineKind::Cpu => "cpu",
    }
}

/// The makespan by what worked, arrays first.
fn breakdown(unions: &Unions, makespan_ps: u64) -> Breakdown {
    let mut parts = vec![
        ("arrays and DMA", unions.dma_and_dpu_ps),
        ("arrays without DMA", unions.dpu_ps - unions.dma_and_dpu_ps),
        ("DSPs without arrays", unions.sw_without_dpu_ps),
        ("DMA alone", unions.dma_alone_ps),
        ("nothing", unions.idle_ps),
    ];
    let rest = makespan_ps - parts.iter().map(|(_, ps)| ps).sum::<u64>();
    parts.push(("control and image engines", rest));
    Breakdown::from_named(TIME, "ps", parts)
}

fn roofline(layers: &[Layer], tasks: &Tasks, spec: &TiledSpec, time_ns: f64) -> Option<Roofline> {
    let macs: u64 = layers.iter().map(|layer| layer.macs).sum();
    if macs == 0 {
        return None;
    }
    let ghz = spec.dpu_mhz / 1e3;
    let per_array = tasks.macs_per_cycle / f64::from(spec.tiles * spec.dpus_per_tile);
    Some(Roofline {
        flops: 2 * macs,
        bytes: layers.iter().map(|layer| layer.ddr_read_bytes + layer.ddr_write_bytes).sum(),
        level: "DDR".to_string(),
        peak_tflop_per_s: 2.0 * tasks.macs_per_cycle * ghz / 1e3,
        peak_gb_per_s: spec.memory.ddr_mb_per_s / 1e3,
        peak_formula: format!(
            "{} arrays × {} MAC × 2 × {} GHz",
            spec.tiles * spec.dpus_per_tile,
            significant(per_array),
            significant(ghz)
        ),
        time_ns,
    })
}

fn highlights(tasks: &Tasks, layers: &[Layer], schedule: &Schedule) -> Vec<Highlight> {
    let mut lines = Vec::new();
    let mut add = |name: &str, value: String| lines.push(Highlight { name: name.to_string(), value });
    let whole = schedule.makespan_ps.max(1) as f64;
    let percent = |ps: u64| format!("{:.2} %", 100.0 * ps as f64 / whole);
    let u = &schedule.unions;
    add("tasks", thousands(tasks.list.tasks().len() as u64));
    let macs: u64 = layers.iter().map(|layer| layer.macs).sum();
    if macs > 0 {
        let cycles: u64 = layers.iter().map(|layer| layer.cycles).sum();
        let used = 100.0 * macs as f64 / (cycles.max(1) as f64 * tasks.macs_per_cycle);
        add("arrays", format!("{} GMAC, {used:.1} % of what they could do", significant(macs as f64 / 1e9)));
    }
    let busy = [("DMA", u.dma_ps), ("DPU", u.dpu_ps), ("SW", u.sw_ps)];
    add("engines at work", busy.map(|(name, ps)| format!("{name} {}", percent(ps))).join(", "));
    let pairs = [("DMA-DPU", u.dma_and_dpu_ps), ("DMA-SW", u.dma_and_sw_ps), ("DPU-SW", u.dpu_and_sw_ps)];
    add("at the same time", pairs.map(|(name, ps)| format!("{name} {}", percent(ps))).join(", "));
    let alone =
        [("SW without DPU", u.sw_without_dpu_ps), ("DMA without anything", u.dma_alone_ps), ("idle", u.idle_ps)];
    add("one at a time", alone.map(|(name, ps)| format!("{name} {}", percent(ps))).join(", "));
    let sums = [("DMA ports", u.dma_sum_ps), ("DPUs", u.dpu_sum_ps), ("SHAVEs", u.sw_sum_ps)];
    add("sums over engines", sums.map(|(name, ps)| format!("{name} {}", percent(ps))).join(", "));
    let (read, written) = layers.iter().fold((0, 0), |(r, w), l| (r + l.ddr_read_bytes, w + l.ddr_write_bytes));
    let rate = (read + written) as f64 / (schedule.makespan_ps.max(1) as f64 / 1e3);
    let mib = |bytes: u64| significant(bytes as f64 / f64::from(1 << 20));
    add("DDR", format!("{} MiB read, {} MiB written, {} GB/s", mib(read), mib(written), significant(rate)));
    if let Some(energy) = &schedule.energy {
        let total = energy.total_pj();
        let sum = |of: fn(&npu::power::ComponentEnergy) -> f64| energy.components.iter().map(of).sum::<f64>();
        let share = |pj: f64| format!("{:.1} %", 100.0 * pj / total.max(f64::MIN_POSITIVE));
        let (dynamic, leakage, wake) = (sum(|c| c.dynamic_pj), sum(|c| c.leakage_pj), sum(|c| c.wake_pj));
        // Picojoules over picoseconds are watts.
        let watts = total / whole;
        add(
            "energy",
            format!(
                "{} mJ, {} W on average: work {}, leakage {}, wake-ups {}",
                significant(total / 1e9),
                significant(watts),
                share(dynamic),
                share(leakage),
                share(wake)
            ),
        );
    }
    lines
}

fn stats(schedule: &Schedule) -> Value {
    let ps = |value: u64| json!({"value": value, "unit": "ps"});
    let u = &schedule.unions;
    let engines: Map<String, Value> = schedule
        .engines
        .iter()
        .map(|engine| {
            let uses: Map<String, Value> =
                Use::ALL.iter().map(|of| (of.name().to_string(), ps(engine.uses_ps[*of as usize]))).collect();
            (engine.name.clone(), Value::Object(uses))
        })
        .collect();
    let mut stats = json!({
        "unions": {
            "dma": ps(u.dma_ps), "dpu": ps(u.dpu_ps), "sw": ps(u.sw_ps),
            "dma_and_dpu": ps(u.dma_and_dpu_ps), "dma_and_sw": ps(u.dma_and_sw_ps), "dpu_and_sw": ps(u.dpu_and_sw_ps),
            "sw_without_dpu": ps(u.sw_without_dpu_ps), "dma_alone": ps(u.dma_alone_ps), "idle": ps(u.idle_ps),
        },
        "sums": {"dma": ps(u.dma_sum_ps), "dpu": ps(u.dpu_sum_ps), "sw": ps(u.sw_sum_ps)},
        "engines": engines,
    });
    if let (Some(energy), Value::Object(stats)) = (&schedule.energy, &mut stats) {
        let pj = |value: f64| json!({"value": value, "unit": "pJ"});
        let components: Map<String, Value> = energy
            .components
            .iter()
            .map(|c| {
                let parts = json!({"dynamic": pj(c.dynamic_pj), "leakage": pj(c.leakage_pj), "wake": pj(c.wake_pj)});
                (c.name.clone(), parts)
            })
            .collect();
        let mut node = json!({"total": pj(energy.total_pj()), "components": components});
        if let (Some(trace), Value::Object(node)) = (&energy.trace, &mut node) {
            let milliwatts: Vec<f64> = (0..trace.energy_pj.len()).map(|window| trace.milliwatts(window)).collect();
            node.insert("trace".into(), json!({"window_ps": trace.window_ps, "milliwatts": milliwatts}));
        }
        stats.insert("energy".into(), node);
    }
    stats
}
