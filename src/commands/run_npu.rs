//! `orrery run` on an NPU: report, leave the files.

use sim_core::Plan;

use crate::catalog;
use crate::cli::{Common, RunArgs};
use crate::failure::{Complaint, Failure};
use crate::npu::{self, Workload};
use crate::output::{Folder, Progress, print, print_json};
use crate::pieces::{Asked, Pieces};
use crate::report;
use crate::result::RunResult;

/// What runs on an NPU when nothing is named.
const NETWORK: &str = "vit-b-16";
/// The window of `--timeline` without one: of an NPU, the whole run.
const DEFAULT_WINDOW: std::ops::Range<u64> = 0..20_000;

/// Runs a network or a task list on an NPU.
pub fn run(word: &str, asked: &Asked, pieces: &Pieces, args: &RunArgs, common: &Common) -> Result<(), Failure> {
    refuse(args, pieces)?;
    let file = catalog::machine(word, &asked.sets)?;
    let network = asked.workload.as_deref().unwrap_or(NETWORK);
    let wanted = npu::Asked { dimensions: args.dimensions.iter().cloned().collect(), strict: args.strict };
    let workload = Workload::read(network, &wanted)?;
    for warning in workload.warnings.iter().filter(|_| !common.quiet) {
        eprintln!("warning: {warning}");
    }
    let plan = Plan { threads: common.threads, shards: common.shards, ..Plan::default() };
    let window = args.timeline.clone().map(|window| if window == DEFAULT_WINDOW { 0..u64::MAX } else { window });
    let (mut result, view) = npu::run(&file, &workload, plan, window)?;
    if args.sensitivity {
        let progress = Progress::of_suite(common.quiet, "parameters");
        let base = result.simulated.time_ns;
        let mut shown = |done, total| progress.set(done, total);
        let table = npu::sensitivity(word, &asked.sets, &file, &workload, &plan, base, &mut shown);
        progress.finish();
        result.tables.push('\n');
        result.tables.push_str(&table?);
    }
    let folder = Folder::choose(common.out.as_deref(), &result.machine, &result.workload);
    folder.write(&result)?;
    if args.plots {
        folder.write_plots(&result)?;
    }
    folder.write_views(view.as_slice())?;
    if common.json {
        print_json(&result.to_json());
        return Ok(());
    }
    print(&report::text(&result));
    if !common.quiet {
        print(&hints(word, network, &result));
    }
    if let Folder::At(path) = &folder {
        print(&format!("wrote {}\n", path.display()));
    }
    Ok(())
}

/// What is for other machines.
fn refuse(args: &RunArgs, pieces: &Pieces) -> Result<(), Failure> {
    let of_others = [
        ("--pipeline", args.pipeline.is_some(), "--timeline draws the engines"),
        ("--focus", args.focus.is_some(), "--timeline draws all engines"),
        ("--coupled", args.coupled, "leave it out"),
        ("--what-if", args.what_if.is_some(), "--sensitivity shows which parameter moves the time"),
        ("--commands", args.commands, "orrery run hbm3 rand_rw21 --commands"),
        ("--until, --save and --resume", !pieces.is_whole(), "a network runs in one piece"),
    ];
    match of_others.into_iter().find(|(_, given, _)| *given) {
        Some((option, _, help)) => Err(Complaint::new(format!("{option}: not for an NPU")).help(help).into()),
        None => Ok(()),
    }
}

/// What it cost, and what to try next.
fn hints(machine: &str, network: &str, result: &RunResult) -> String {
    let other = if machine == "npu-4" { "npu-2.7" } else { "npu-4" };
    let next = [
        (format!("orrery run {other} {network}"), "the same on another NPU"),
        (format!("orrery run {machine} {network} --timeline"), "every engine over time, for ui.perfetto.dev"),
        (format!("orrery run {machine} {network} --sensitivity"), "which parameter moves the time"),
        ("orrery run npu-4 llama-3-8b:decode,tokens=1024".to_string(), "a large model's next token"),
        ("orrery list".to_string(), "all machines and workloads"),
    ];
    let width = next.iter().map(|(command, _)| command.chars().count()).max().unwrap_or(0);
    let mut out = format!("\nsimulated in {} s\n\nnext:\n", report::significant(result.wall.seconds));
    for (command, what) in next {
        out.push_str(&format!("  {command:<width$}  {what}\n"));
    }
    out + "\n"
}
