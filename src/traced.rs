//! Running what was traced on a GPU: one kernel, or the launches of a program, those of a stream one after the other.

use std::collections::BTreeSet;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use machine::gpu::{GpuShape, GpuSimulation, TracedLaunch};
use serde_json::Value;
use sim_core::{MachineFile, Plan, Progress as Reached};
use workloads::accel_sim::{Command, KernelList, TraceReader, TracedKernel, is_list_name, is_trace_name, runs_code_of};
use workloads::sass::exec::Values;

use crate::catalog;
use crate::failure::{Complaint, Failure};
use crate::known::Known;
use crate::pieces::partial;
use crate::report::thousands;
use crate::result::{Highlight, RunResult, Simulated, Wall, peak_rss_bytes};
use crate::simulate::{Finished, Request, blocks, breakdown, config_hash, failure, highlights, roofline};
use crate::views::Drawing;

/// Whether a workload is a kernel trace or a list of launches on disk.
pub fn is_traced(word: &str) -> bool {
    (is_trace_name(word) || is_list_name(word)) && Path::new(word).is_file()
}

/// A kernel trace, and what the host copies to the device before it.
pub struct Traced {
    pub path: PathBuf,
    pub copies: Vec<Range<u64>>,
}

/// The kernel traces that a word names, in order.
pub fn traces(word: &str) -> Result<Vec<Traced>, Failure> {
    if !is_list_name(word) {
        return Ok(vec![Traced { path: word.into(), copies: Vec::new() }]);
    }
    let list = KernelList::read(Path::new(word))?;
    let (mut traces, mut copies) = (Vec::new(), Vec::new());
    for command in list.commands {
        match command {
            Command::CopyToDevice { address, bytes } => copies.push(address..address.saturating_add(bytes)),
            Command::Kernel(path) => traces.push(Traced { path, copies: std::mem::take(&mut copies) }),
        }
    }
    Ok(traces)
}

/// Runs a request whose workload is traced; `progress` is told the cycle now and then.
pub fn simulate(request: &Request, progress: &mut dyn FnMut(u64)) -> Result<Finished, Failure> {
    let file = catalog::machine(&request.machine, &request.sets)?;
    let shape = GpuShape::of(&file)?;
    let traces = traces(&request.workload)?;
    refuse(request, traces.len())?;
    let content = content(&traces, &file, &shape)?;
    let mut launches = Vec::new();
    for Traced { path, copies } in &traces {
        launches.push(TracedLaunch { kernel: Arc::new(TracedKernel::read(path)?), copies: copies.clone() });
    }
    let streams: BTreeSet<u64> = launches.iter().map(|launch| launch.kernel.header.stream).collect();
    let Some(kernel) = launches.first().map(|launch| launch.kernel.clone()) else {
        return Err(Complaint::new("no kernel is named").into());
    };
    let plan = Plan { threads: request.threads, shards: request.shards, ..Plan::default() };
    let mut simulation = GpuSimulation::of_traces(&file, launches, plan).map_err(failure)?;
    let title = format!("{} on {} (1 ns shown is 1 core cycle)", request.workload, file.name);
    let code = &kernel.instructions;
    let drawing = Drawing::start(&request.views, &title, code, shape.clock_hz, simulation.machine_mut())?;
    simulation.machine_mut().stop_on(request.pieces.stop.clone());
    let hertz = shape.clock_hz as f64;
    let start = Instant::now();
    let mut shown = |reached: Reached| progress((reached.time.as_seconds() * hertz) as u64);
    let outcome = simulation.advance(None, &mut shown).map_err(failure)?;
    let seconds = start.elapsed().as_secs_f64();
    let run = simulation.result(outcome).map_err(failure)?;
    let stopped = partial(run.outcome.reason, run.cycles);
    let views = drawing.finish(run.cycles);
    let cycles_of = |number: usize| run.stats.value(&format!("cp.launch.{number}.cycles"));
    let cycles_of: Vec<(&PathBuf, u64)> =
        (1..).zip(&traces).filter_map(|(n, t)| Some((&t.path, cycles_of(n)?))).collect();
    let wall = Wall {
        seconds,
        cycles_per_second: run.cycles as f64 / seconds,
        peak_rss_bytes: peak_rss_bytes(),
        threads: plan.thread_count(),
        ticks_per_shard: run.outcome.shards.iter().map(|shard| shard.ticks).collect(),
    };
    let header = &kernel.header;
    let grid = match traces.len() {
        1 => blocks(kernel.totals.blocks, header.threads_per_block(), &run),
        _ => kernels(traces.len(), &cycles_of),
    };
    let copied: u64 = traces.iter().flat_map(|trace| &trace.copies).map(|bytes| bytes.end - bytes.start).sum();
    let description = match traces.len() {
        1 => format!("Accel-Sim trace of {}", header.kernel),
        launches => {
            let streams = match streams.len() {
                1 => String::new(),
                streams => format!(" in {streams} streams"),
            };
            format!(
                "Accel-Sim traces of {launches} launches{streams}; {} bytes copied to the device",
                thousands(copied)
            )
        }
    };
    let result = RunResult {
        machine: file.name.clone(),
        machine_description: catalog::text_of(&file, "description").to_string(),
        workload: request.workload.clone(),
        workload_description: description,
        config_hash: config_hash(&file, &content),
        seed: file.seed,
        simulated: Simulated { cycles: run.cycles, time_ns: run.time.as_ns(), clock_ghz: hertz / 1e9 },
        partial: stopped,
        wall,
        measured: None,
        expected_error: Known::of_kind("gpu-launch", &file.name, &request.sets).expected_error,
        breakdown: breakdown(&run.stats),
        roofline: if stopped.is_none() { roofline(&file, &run) } else { None },
        highlights: highlights(grid, &run, Values::Ahead),
        tables: String::new(),
        stats: serde_json::to_value(&run.stats).unwrap_or(Value::Null),
        machine_toml: file.to_toml(),
    };
    Ok(Finished { result, views, wrong: None })
}

/// The hash that the result of a request will bear, without running it.
///
/// # Errors
/// The request names something that does not exist, or a trace that does not fit.
pub fn hash_of_request(request: &Request) -> Result<String, Failure> {
    let file = catalog::machine(&request.machine, &request.sets)?;
    let shape = GpuShape::of(&file)?;
    Ok(config_hash(&file, &content(&traces(&request.workload)?, &file, &shape)?))
}

/// The content of a workload: its traces, which have to fit the machine, and the copies before them.
fn content(traces: &[Traced], file: &MachineFile, shape: &GpuShape) -> Result<Vec<String>, Failure> {
    let mut content = Vec::new();
    for Traced { path, copies } in traces {
        fits(path, file, shape)?;
        content.push(hash_of(path)?);
        if !copies.is_empty() {
            content.push(format!("{copies:?}"));
        }
    }
    Ok(content)
}

/// What a trace cannot do.
fn refuse(request: &Request, kernels: usize) -> Result<(), Failure> {
    if request.values == Values::AtIssue {
        let help = "leave --coupled out: addresses are those of the traced run";
        return Err(Complaint::new("a trace has no values to compute at issue").help(help).into());
    }
    if !request.pieces.is_whole() {
        let help = "leave --until, --save and --resume out, or run one kernel of a list at a time";
        return Err(Complaint::new("a trace runs in one piece").help(help).into());
    }
    if kernels > 1 && (request.views.timeline.is_some() || request.views.pipeline.is_some()) {
        let help = "give one of its kernel traces instead of the list";
        return Err(Complaint::new("--timeline and --pipeline are of one kernel").help(help).into());
    }
    Ok(())
}

/// A trace is of one architecture; a GPU runs the machine code of its own and of earlier minor revisions (CUDA C++
/// Programming Guide, binary compatibility).
fn fits(path: &Path, file: &MachineFile, shape: &GpuShape) -> Result<(), Failure> {
    let arch = TraceReader::open(path)?.header().arch.clone();
    if runs_code_of(&shape.sm.arch, &arch) {
        return Ok(());
    }
    let is_fit = |name: &String| {
        let shape = catalog::machine(name, &[]).ok().and_then(|file| GpuShape::of(&file).ok());
        shape.is_some_and(|shape| runs_code_of(&shape.sm.arch, &arch))
    };
    let fit: Vec<String> = catalog::machines().into_iter().map(|machine| machine.name).filter(is_fit).collect();
    let help = match fit.len() {
        0 => format!("no machine that ships with orrery runs {arch}"),
        _ => format!("machines that run {arch}: {}", fit.join(", ")),
    };
    let message = format!("{} is a trace of {arch}, but {} is of {}", path.display(), file.name, shape.sm.arch);
    Err(Complaint::new(message).help(help).into())
}

/// Of the file's bytes.
fn hash_of(path: &Path) -> Result<String, Failure> {
    let wrong = |error: std::io::Error| Complaint::new(format!("{} cannot be read: {error}", path.display()));
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(std::fs::File::open(path).map_err(wrong)?).map_err(wrong)?;
    Ok(hasher.finalize().to_hex().to_string())
}

fn kernels(count: usize, cycles_of: &[(&PathBuf, u64)]) -> Highlight {
    let longest = cycles_of.iter().max_by_key(|(_, cycles)| *cycles);
    let longest = longest.map_or(String::new(), |(path, cycles)| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        format!(", the longest is {name} with {} cycles", thousands(*cycles))
    });
    Highlight { name: "kernels".to_string(), value: format!("{count}{longest}") }
}
