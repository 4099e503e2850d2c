//! From the words of the command line to a result: resolve, build, run, sum up.

use std::collections::BTreeSet;
use std::time::Instant;

use machine::gpu::{GpuError, GpuResult, GpuShape, GpuSimulation};
use serde_json::Value;
use sim_core::{Cycle, MachineFile, Plan, Progress as Reached, RunError, StatsNode};
use workloads::sass::exec::{Cause, ExecError, Values};
use workloads::sass::{Kernel, Launch};

use crate::catalog;
use crate::failure::{Complaint, Failure};
use crate::known::Known;
use crate::pieces::{Asked, Pieces, inputs, partial};
use crate::report::{significant, thousands};
use crate::result::{Breakdown, Highlight, Partial, Roofline, RunResult, Simulated, Wall, peak_rss_bytes};
use crate::views::{Drawing, View, Wanted};

/// What is to be simulated, and how.
pub struct Request {
    pub machine: String,
    pub workload: String,
    /// `key=value`, applied to the machine.
    pub sets: Vec<String>,
    pub threads: usize,
    pub shards: usize,
    /// When values are computed.
    pub values: Values,
    /// What is to be drawn on the way.
    pub views: Wanted,
    /// Where it begins and stops.
    pub pieces: Pieces,
}

impl Request {
    /// A whole run on one thread and one shard, without files: one of several side by side.
    pub fn alone(machine: &str, workload: &str, sets: Vec<String>) -> Self {
        Self {
            machine: machine.to_string(),
            workload: workload.to_string(),
            sets,
            threads: 1,
            shards: 1,
            values: Values::Ahead,
            views: Wanted::default(),
            pieces: Pieces::default(),
        }
    }
}

/// The hash that the result of a request will bear, without running it.
///
/// # Errors
/// The request names something that does not exist.
pub fn hash_of_request(request: &Request) -> Result<String, Failure> {
    let file = catalog::machine(&request.machine, &request.sets)?;
    let launch = catalog::launch(&request.workload)?;
    let shape = GpuShape::of(&file)?;
    let kernel = catalog::kernel(&launch, &shape.sm.arch)?;
    Ok(config_hash(&file, &content(&kernel, &launch, request.values)))
}

/// A finished run with what was recorded on the way.
pub struct Finished {
    pub result: RunResult,
    pub views: Vec<View>,
    /// The comparison with the workload's reference failed: what is wrong.
    pub wrong: Option<String>,
}

/// Runs a request; `progress` is told the cycle now and then.
pub fn simulate(request: &Request, progress: &mut dyn FnMut(u64)) -> Result<Finished, Failure> {
    let file = catalog::machine(&request.machine, &request.sets)?;
    let launches = catalog::launches(&request.workload)?;
    if launches.len() > 1 {
        refuse_parts(request)?;
    }
    let shape = GpuShape::of(&file)?;
    let kernels = launches.iter().map(|launch| catalog::kernel(launch, &shape.sm.arch));
    let kernels = kernels.collect::<Result<Vec<_>, _>>()?;
    let program: Vec<(&Kernel, &Launch)> = kernels.iter().zip(&launches).collect();
    let plan = Plan { threads: request.threads, shards: request.shards, ..Plan::default() };
    let mut simulation = GpuSimulation::of_launches(&file, &program, plan, request.values).map_err(failure)?;
    let title = format!("{} on {} (1 ns shown is 1 core cycle)", request.workload, file.name);
    let drawing =
        Drawing::start(&request.views, &title, &kernels[0].instructions, shape.clock_hz, simulation.machine_mut())?;
    let content = program.iter().flat_map(|(kernel, launch)| content(kernel, launch, request.values));
    let mut content: Vec<String> = content.collect();
    if streams(&launches) > 1 {
        content.push(format!("streams {:?}", launches.iter().map(|launch| launch.stream).collect::<Vec<_>>()));
    }
    let inputs = inputs(file.seed, &file.to_toml(), &content.concat());
    let mut from_cycle = 0;
    if let Some((state, cycle)) = request.pieces.state(&inputs)? {
        simulation.machine_mut().load(state).map_err(|error| request.pieces.misfit(&error))?;
        from_cycle = cycle;
    }
    simulation.machine_mut().stop_on(request.pieces.stop.clone());
    let start = Instant::now();
    let hertz = shape.clock_hz as f64;
    let mut shown = |reached: Reached| progress((reached.time.as_seconds() * hertz) as u64);
    let outcome = simulation.advance(request.pieces.until.map(Cycle), &mut shown).map_err(failure)?;
    let is_partial = partial(outcome.reason, 0).is_some();
    let state = (is_partial && request.pieces.is_saved()).then(|| simulation.machine_mut().save());
    let run = simulation.result(outcome).map_err(failure)?;
    let partial = partial(run.outcome.reason, run.cycles);
    if let Some(state) = state {
        let asked = Asked {
            machine: Some(request.machine.clone()),
            workload: Some(request.workload.clone()),
            sets: request.sets.clone(),
            coupled: request.values == Values::AtIssue,
        };
        request.pieces.save(&asked, &inputs, run.cycles, state)?;
    }
    let seconds = start.elapsed().as_secs_f64();
    let wrong = run.check.as_ref().filter(|check| !check.passed()).map(|check| match &check.first_failure {
        Some(first) => format!(
            "{} of {} elements differ from the reference `{}`; the first is {}[{}]: {} instead of {}",
            check.failures, check.elements, check.reference, first.buffer, first.element, first.got, first.want
        ),
        None => {
            format!("{} of {} elements differ from the reference `{}`", check.failures, check.elements, check.reference)
        }
    });
    let wall = Wall {
        seconds,
        cycles_per_second: (run.cycles - from_cycle) as f64 / seconds,
        peak_rss_bytes: peak_rss_bytes(),
        threads: plan.thread_count(),
        ticks_per_shard: run.outcome.shards.iter().map(|shard| shard.ticks).collect(),
    };
    let views = drawing.finish(run.cycles);
    let result = summary(request, &file, &launches, &content, run, partial, wall);
    Ok(Finished { result, views, wrong })
}

fn summary(
    request: &Request,
    file: &MachineFile,
    launches: &[Launch],
    content: &[String],
    run: GpuResult,
    partial: Option<Partial>,
    wall: Wall,
) -> RunResult {
    let clock_ghz = run.shape.clock_hz as f64 / 1e9;
    let known = Known::of_launches(request, file, launches, partial.is_none().then_some(run.cycles));
    RunResult {
        machine: file.name.clone(),
        machine_description: catalog::text_of(file, "description").to_string(),
        workload: request.workload.clone(),
        workload_description: match launches {
            [launch] => launch.description.clone(),
            _ if streams(launches) > 1 => {
                format!("program of {} launches in {} streams", launches.len(), streams(launches))
            }
            _ => format!("program of {} launches", launches.len()),
        },
        config_hash: config_hash(file, content),
        seed: file.seed,
        simulated: Simulated { cycles: run.cycles, time_ns: run.time.as_ns(), clock_ghz },
        partial,
        wall,
        measured: known.measured,
        expected_error: known.expected_error,
        breakdown: breakdown(&run.stats),
        // Operations are counted when a CTA is dispatched: of a part of a run they are too many.
        roofline: if partial.is_none() { roofline(file, &run) } else { None },
        highlights: highlights(grid(launches, &run), &run, request.values),
        tables: String::new(),
        stats: serde_json::to_value(&run.stats).unwrap_or(Value::Null),
        machine_toml: file.to_toml(),
    }
}

/// Streams of a program.
fn streams(launches: &[Launch]) -> usize {
    launches.iter().map(|launch| launch.stream).collect::<BTreeSet<_>>().len()
}

/// The sub-core-cycles of all SMs.
pub fn breakdown(stats: &StatsNode) -> Breakdown {
    let empty = || Breakdown::of("subcore_cycles", "sub-core-cycles", Vec::new());
    stats.breakdown_at("sm.subcore_cycles").cloned().unwrap_or_else(empty)
}

/// Single precision over the traffic between the SMs and the cache or memory behind them.
pub fn roofline(file: &MachineFile, run: &GpuResult) -> Option<Roofline> {
    let peak_gb_per_s = l2_peak_gb_per_s(file, run)?;
    let bytes = run.stats.value("sm.bytes_read")? + run.stats.value("sm.bytes_written")?;
    let (sms, ghz) = (run.shape.sms, run.shape.clock_hz as f64 / 1e9);
    let lanes = run.shape.peak_f32_flop_per_s() / 2.0 / sms as f64 / run.shape.clock_hz as f64;
    Some(Roofline {
        flops: run.executed.flops_f32,
        bytes,
        level: "L2".to_string(),
        peak_tflop_per_s: run.shape.peak_f32_flop_per_s() / 1e12,
        peak_gb_per_s,
        peak_formula: format!("{sms} SMs × {} FP32 lanes × 2 × {} GHz", significant(lanes), significant(ghz)),
        time_ns: run.time.as_ns(),
    })
}

/// What the crossbar lets through to the SMs at most; without one, the rate of the memory that stands for L2.
fn l2_peak_gb_per_s(file: &MachineFile, run: &GpuResult) -> Option<f64> {
    let number = |path: &str| match file.document().root().at(path)?.value {
        sim_core::config::Value::Float(value) => Some(value),
        sim_core::config::Value::Integer(value) => Some(value as f64),
        _ => None,
    };
    let Some(gpc_bytes) = number("part.noc.gpc_response_bytes_per_cycle") else {
        return number("part.memory.bandwidth_gb_per_s");
    };
    let gpcs = gpc_bytes * number("part.noc.gpcs")?;
    let sms = number("part.noc.sm_response_bytes_per_cycle")? * run.shape.sms as f64;
    let slices = number("part.noc.slice_bytes_per_cycle")? * number("part.l2.count")?;
    Some(gpcs.min(sms).min(slices) * run.shape.clock_hz as f64 / 1e9)
}

/// A program of several launches has no views and is not run in parts.
fn refuse_parts(request: &Request) -> Result<(), Failure> {
    if request.pieces.is_whole() && request.views.timeline.is_none() && request.views.pipeline.is_none() {
        return Ok(());
    }
    let help = "leave --until, --save, --resume, --timeline and --pipeline out, or run one of its launches";
    Err(Complaint::new("a program of several launches runs in one piece and is not drawn").help(help).into())
}

fn grid(launches: &[Launch], run: &GpuResult) -> Highlight {
    match launches {
        [launch] => blocks(launch.blocks(), launch.threads_per_block(), run),
        _ => {
            let sum = launches.iter().map(Launch::blocks).sum();
            let value = format!("{} of {} launches on {} SMs", thousands(sum), launches.len(), run.shape.sms);
            Highlight { name: "blocks".to_string(), value }
        }
    }
}

/// The grid on the machine.
pub fn blocks(blocks: u64, threads: u32, run: &GpuResult) -> Highlight {
    let value = format!("{} of {threads} threads on {} SMs", thousands(blocks), run.shape.sms);
    Highlight { name: "blocks".to_string(), value }
}

/// What the first screen shows of a run, behind its grid.
pub fn highlights(grid: Highlight, run: &GpuResult, values: Values) -> Vec<Highlight> {
    let mut highlights = vec![grid];
    let mut add = |name: &str, value: String| highlights.push(Highlight { name: name.to_string(), value });
    let sms = run.shape.sms as f64;
    let instructions = run.stats.value("sm.instructions_issued").unwrap_or(run.executed.warp_instructions);
    add("warp instructions", thousands(instructions));
    if values == Values::AtIssue {
        add("values", "computed at issue".to_string());
    }
    let ipc = instructions as f64 / run.cycles.max(1) as f64;
    add("IPC", format!("{} in all, {} an SM of at most 4", significant(ipc), significant(ipc / sms)));
    let busiest = busiest(&run.stats, 4.0 * sms * run.cycles.max(1) as f64);
    if !busiest.is_empty() {
        add("busiest units", busiest);
    }
    let sectors = |name: &str| run.stats.value(&format!("sm.l1_{name}")).unwrap_or(0);
    let (hits, misses) = (sectors("sector_hits"), sectors("sector_misses"));
    if hits + misses > 0 {
        let rate = 100.0 * hits as f64 / (hits + misses) as f64;
        add("L1 hit rate", format!("{rate:.1} % of {} sectors", thousands(hits + misses)));
    }
    let l2 = |name: &str| run.stats.value(&format!("l2.{name}")).unwrap_or(0);
    if l2("read_sectors") > 0 {
        let share = |name: &str| 100.0 * l2(name) as f64 / l2("read_sectors") as f64;
        let (hits, merged) = (share("read_hit_sectors"), share("read_merged_sectors"));
        let sectors = thousands(l2("read_sectors"));
        add("L2 hit rate", format!("{hits:.1} % of {sectors} sectors, {merged:.1} % on their way already"));
        let (read, written) = (l2("memory_read_bytes"), l2("memory_written_bytes"));
        add("DRAM", format!("{} bytes read, {} written", thousands(read), thousands(written)));
    }
    if let Some(check) = &run.check {
        let verdict = if check.passed() { "right" } else { "WRONG" };
        let error = match check.max_abs_error {
            0.0 => "exact".to_string(),
            error => format!("largest error {error:.1e}"),
        };
        add(
            "result",
            format!("{verdict}: {} elements against `{}`, {error}", thousands(check.elements), check.reference),
        );
    }
    highlights
}

/// The units of the sub-cores that were taken most, with their shares of all sub-core-cycles.
fn busiest(stats: &StatsNode, subcore_cycles: f64) -> String {
    let units = stats.find("sm.busy").map_or(&[][..], StatsNode::values);
    let share = |name: &str| stats.value(&format!("sm.busy.{name}")).unwrap_or(0) as f64 / subcore_cycles;
    let mut shares: Vec<(f64, &str)> = units.iter().map(|(name, _)| (share(name), name.as_str())).collect();
    shares.retain(|(share, _)| *share >= 0.0005);
    shares.sort_by(|a, b| b.0.total_cmp(&a.0));
    let shown = shares.iter().take(4).map(|(share, name)| format!("{} {:.1} %", name.replace('_', " "), 100.0 * share));
    shown.collect::<Vec<_>>().join(", ")
}

/// Over the resolved machine (the seed is part of it) and the workload's content, wherever its files lie (D11).
pub fn config_hash(file: &MachineFile, workload: &[String]) -> String {
    let mut hasher = blake3::Hasher::new();
    let mut add = |text: &str| {
        hasher.update(&(text.len() as u64).to_le_bytes());
        hasher.update(text.as_bytes());
    };
    add(&file.to_toml());
    workload.iter().for_each(|text| add(text));
    hasher.finalize().to_hex().to_string()
}

/// The content of a workload, with the way in which its values come about.
fn content(kernel: &Kernel, launch: &Launch, values: Values) -> Vec<String> {
    let mut content = vec![format!("{:?}", (&launch.kernel, launch.grid, launch.block, launch.dynamic_shared_bytes))];
    let arguments = launch.arguments.iter();
    content.extend(arguments.map(|argument| format!("{:?}", (&argument.name, argument.element, &argument.value))));
    content.push(format!("{:?}", (&kernel.name, &kernel.arch, &kernel.metadata)));
    let code = kernel.instructions.iter();
    content.extend(code.map(|code| format!("{:?}", (&code.text, code.control, code.encoding))));
    if values == Values::AtIssue {
        content.push("values at issue".to_owned());
    }
    content
}

/// What the user reads when a simulation cannot be built or run.
pub fn failure(error: GpuError) -> Failure {
    match error {
        GpuError::Config(errors) => errors.into(),
        GpuError::Workload(error) => error.into(),
        GpuError::Execution(error) => execution(&error),
        GpuError::Run(error @ RunError::Deadlock(_)) => Failure::Run(Complaint::new(error.to_string())),
        GpuError::Run(error) => Complaint::new(error.to_string()).into(),
    }
}

/// A warp did what the hardware would refuse: the workload's fault, shown at its instruction. A launch that never ends is
/// none of the input's syntax: the run ends without a result.
fn execution(error: &ExecError) -> Failure {
    let place = format!("block {:?}, warp {}", error.cta, error.warp);
    let message = format!("`{}` at {:#06x} of `{}`, {place}: {}", error.text, error.pc, error.kernel, error.cause);
    let complaint = Complaint::new(message).at_line(&error.file, error.line);
    if matches!(*error.cause, Cause::Stuck(_)) { Failure::Run(complaint) } else { complaint.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(sets: &[&str], workload: &str) -> String {
        let sets: Vec<String> = sets.iter().map(|set| set.to_string()).collect();
        let file = catalog::machine("h100-pcie", &sets).unwrap();
        let launch = catalog::launch(workload).unwrap();
        config_hash(&file, &content(&catalog::kernel(&launch, "sm_90").unwrap(), &launch, Values::Ahead))
    }

    #[test]
    fn the_hash_is_of_the_contents() {
        let reference = hash(&[], "vectoradd");
        assert_eq!(reference, hash(&[], "vectoradd"));
        assert_eq!(reference, hash(&["part.sm.count=114"], "vectoradd"), "an override to the same value");
        assert_ne!(reference, hash(&["part.sm.count=4"], "vectoradd"));
        assert_ne!(reference, hash(&[], "saxpy"));

        // The same launch under another path is the same workload.
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mine.toml");
        std::fs::copy(concat!(env!("CARGO_MANIFEST_DIR"), "/workloads/launches/vectoradd.toml"), &path).unwrap();
        assert_eq!(reference, hash(&[], path.to_str().unwrap()));
    }
}
