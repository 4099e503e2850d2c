//! `orrery run`: simulate, report, leave the files.

use crate::batch;
use crate::cli::{Common, RunArgs};
use crate::commands::{run_memory, run_npu};
use crate::failure::{Complaint, Failure};
use crate::memory;
use crate::npu;
use crate::output::{Folder, Progress, print, print_json};
use crate::pieces::Pieces;
use crate::report;
use crate::result::RunResult;
use crate::simulate::Request;
use crate::views::Wanted;
use crate::what_if;
use workloads::sass::exec::Values;

/// What is run when nothing is named.
const MACHINE: &str = "h100-pcie";
const WORKLOAD: &str = "sgemm";

/// Runs a workload on a machine.
pub fn run(args: &RunArgs, common: &Common) -> Result<(), Failure> {
    let pieces = Pieces::of(args)?;
    let asked = pieces.asked(args)?;
    if asked.machine.as_deref().is_some_and(memory::is_memory) {
        return run_memory::run(asked, pieces, args, common);
    }
    if let Some(machine) = asked.machine.as_deref().filter(|word| npu::is_npu(word)) {
        return run_npu::run(machine, &asked, &pieces, args, common);
    }
    if args.sensitivity || args.strict || !args.dimensions.is_empty() {
        let message = "--sensitivity, --strict and --dim are for networks on an NPU";
        return Err(Complaint::new(message).help("orrery run npu-4 resnet50.onnx --strict").into());
    }
    if asked.coupled && common.shards > 1 && !common.quiet {
        eprintln!("note: --coupled runs on one shard whatever --shards says; results do not depend on it");
    }
    if args.commands {
        return Err(Complaint::new("--commands is for memories").help("orrery run hbm3 rand_rw21 --commands").into());
    }
    if args.focus.is_some() && args.timeline.is_none() && args.pipeline.is_none() {
        let help = "orrery run h100-pcie softmax --pipeline --focus sm=0,warp=0..8";
        return Err(Complaint::new("--focus is for --timeline and --pipeline").help(help).into());
    }
    if args.what_if.is_some() && !pieces.is_whole() {
        let help = "leave --until, --save and --resume out";
        return Err(Complaint::new("--what-if compares whole runs").help(help).into());
    }
    let request = Request {
        machine: asked.machine.unwrap_or_else(|| MACHINE.to_string()),
        workload: asked.workload.unwrap_or_else(|| WORKLOAD.to_string()),
        sets: asked.sets,
        threads: common.threads,
        shards: common.shards,
        values: if asked.coupled { Values::AtIssue } else { Values::Ahead },
        views: Wanted {
            timeline: args.timeline.clone(),
            pipeline: args.pipeline.clone(),
            focus: args.focus.clone().unwrap_or_default(),
        },
        pieces,
    };
    let progress = Progress::of_run(common.quiet);
    let finished = batch::run(&request, &mut |cycle| progress.cycle(cycle));
    progress.finish();
    let finished = finished?;
    let result = &finished.result;
    let savings = match &args.what_if {
        Some(wanted) if result.partial.is_none() => what_if::savings(wanted, &request, common.threads)?,
        _ => Vec::new(),
    };
    let folder = Folder::choose(common.out.as_deref(), &result.machine, &result.workload);
    folder.write(result)?;
    if args.plots {
        folder.write_plots(result)?;
    }
    folder.write_views(&finished.views)?;
    if common.json {
        let mut document = result.to_json();
        if args.what_if.is_some() {
            document["what_if"] = what_if::to_json(result, &savings);
        }
        print_json(&document);
    } else {
        let mut shown = report::text(result);
        if args.what_if.is_some() {
            shown += &format!("\n{}", what_if::text(result, &savings));
        }
        if !common.quiet {
            shown += &hints(&request, result);
        }
        print(&shown);
        if let Some(line) = request.pieces.saved_line(result.partial) {
            print(&line);
        }
        if let Folder::At(path) = &folder {
            print(&format!("wrote {}\n", path.display()));
        }
    }
    match finished.wrong {
        None => request.pieces.verdict(result.partial),
        Some(wrong) => Err(Failure::Run(Complaint::new(wrong).help(
            "the simulated kernel computed something else than its reference: a wrong reference or launch, or a fault of orrery",
        ))),
    }
}

/// What it cost, and what to try next.
fn hints(request: &Request, result: &RunResult) -> String {
    let wall = &result.wall;
    let machine = &request.machine;
    let coupled = if request.values == Values::AtIssue { " --coupled" } else { "" };
    let workload = format!("{}{coupled}", request.workload);
    let other = if machine == "rtx-a6000" { "h100-sxm" } else { "rtx-a6000" };
    let next = [
        (format!("orrery run {other} {workload}"), "the same on another GPU"),
        (format!("orrery run {machine} {workload} --set part.sm.count=66"), "change anything"),
        (format!("orrery run {machine} {workload} --timeline"), "every warp over time, for ui.perfetto.dev"),
        (format!("orrery run {machine} {workload} --pipeline"), "every instruction's stages, for Konata"),
        ("orrery list".to_string(), "all machines and workloads"),
        ("orrery validate sm-examples".to_string(), "how far to trust these numbers"),
    ];
    let width = next.iter().map(|(command, _)| command.chars().count()).max().unwrap_or(0);
    let shards = match wall.ticks_per_shard.len() {
        1 => "one shard".to_string(),
        shards => format!("{shards} shards"),
    };
    let mut out = format!(
        "\nsimulated in {} s: {} kilo-cycles/s on {shards}\n\nnext:\n",
        report::significant(wall.seconds),
        report::significant(wall.cycles_per_second / 1e3),
    );
    for (command, what) in next {
        out.push_str(&format!("  {command:<width$}  {what}\n"));
    }
    out + "\n"
}
