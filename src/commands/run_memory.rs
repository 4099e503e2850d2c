//! `orrery run` on a memory: report, leave the files.

use validation::files::write_atomically;
use validation::plot::{Curve, HeatMap};

use crate::cli::{Common, RunArgs};
use crate::failure::{Complaint, Failure};
use crate::memory::{MemoryRun, STREAM, simulate};
use crate::output::{Folder, print, print_json};
use crate::pieces::{Asked, Pieces};
use crate::report;
use crate::views::memory_timeline;

/// Runs a stream or a trace on a memory.
pub fn run(asked: Asked, pieces: Pieces, args: &RunArgs, common: &Common) -> Result<(), Failure> {
    for (option, given) in [("--pipeline", args.pipeline.is_some()), ("--focus", args.focus.is_some())] {
        if given {
            let help = "--timeline draws the commands of the channel, --commands lists them";
            return Err(Complaint::new(format!("{option} is for kernels on a GPU")).help(help).into());
        }
    }
    if args.coupled {
        let help = "without it: orrery run hbm3 rand_rw21";
        return Err(Complaint::new("--coupled is for kernels on a GPU").help(help).into());
    }
    if args.commands && (args.save.is_some() || args.resume.is_some()) {
        let help = "a trace of commands can only be checked from the first one on: run it in one piece";
        return Err(Complaint::new("--commands cannot be combined with --save or --resume").help(help).into());
    }
    let asked = Asked { workload: Some(asked.workload.unwrap_or_else(|| STREAM.to_string())), ..asked };
    let run = simulate(&asked, &pieces, args.commands || args.timeline.is_some())?;
    let machine = asked.machine.as_deref().unwrap_or_default();
    let result = &run.result;
    let folder = Folder::choose(common.out.as_deref(), &result.machine, &result.workload);
    folder.write(result)?;
    if args.plots {
        write_plots(&run, &folder)?;
    }
    if let (Some(window), Some(commands)) = (&args.timeline, &run.commands) {
        let name = format!("{} on {machine}", result.workload);
        folder.write_views(&[memory_timeline(&name, window, &run.memory.preset, commands)])?;
    }
    let listed = run.commands.as_ref().filter(|_| args.commands);
    if let (Some(commands), Some(path)) = (listed, folder.file("commands.csv")) {
        let text = hbm::trace::write_commands(machine, commands);
        write_atomically(&path, text.as_bytes()).map_err(|error| Failure::cannot_write(&path, &error))?;
    }
    if common.json {
        print_json(&result.to_json());
        return pieces.verdict(result.partial);
    }
    print(&report::text(result));
    if !common.quiet {
        print(&hints(machine, &run));
    }
    if let Some(line) = pieces.saved_line(result.partial) {
        print(&line);
    }
    if let Folder::At(path) = &folder {
        print(&format!("wrote {}\n", path.display()));
    }
    pieces.verdict(result.partial)
}

/// The heat map of the banks and, for a stream, the curve with its numbers.
fn write_plots(run: &MemoryRun, folder: &Folder) -> Result<(), Failure> {
    let Folder::At(_) = folder else { return Ok(()) };
    let title = format!("{} on {}", run.result.workload, run.result.machine);
    let org = &run.memory.preset.organisation;
    let columns = (org.bank_groups * org.banks_per_group) as usize;
    let cells: Vec<Vec<f64>> =
        run.report.banks.chunks(columns).map(|rank| rank.iter().map(|bank| bank.accesses as f64).collect()).collect();
    let rows = (0..org.ranks()).map(|rank| format!("pc {} sid {}", rank / org.stack_ids, rank % org.stack_ids));
    let rows: Vec<String> = rows.collect();
    let labels =
        (0..columns as u32).map(|bank| format!("{}.{}", bank / org.banks_per_group, bank % org.banks_per_group));
    let labels: Vec<String> = labels.collect();
    let map = HeatMap {
        title: &title,
        x_label: "bank group.bank",
        value_label: "column commands",
        columns: &labels,
        rows: &rows,
        cells: &cells,
    };
    let both = |stem: &str| ["svg", "png"].map(|format| folder.file(&format!("{stem}.{format}"))).into_iter().flatten();
    for path in both("bank_heatmap") {
        map.write(&path).map_err(|error| Complaint::new(error.to_string()))?;
    }
    let Some(points) = run.latency_over_bandwidth()? else { return Ok(()) };
    if let Some(path) = folder.file("latency_bandwidth.csv") {
        let rows: String = points.iter().map(|(gb_per_s, ns)| format!("{gb_per_s},{ns}\n")).collect();
        let text = format!("gb_per_s,mean_latency_ns\n{rows}");
        write_atomically(&path, text.as_bytes()).map_err(|error| Failure::cannot_write(&path, &error))?;
    }
    let curve = Curve {
        title: &title,
        x_label: "bandwidth of one channel (GB/s)",
        y_label: "mean latency (ns)",
        points: &points,
        limit: run.memory.preset.peak_channel_gb_per_s(),
    };
    for path in both("latency_bandwidth") {
        curve.write(&path).map_err(|error| Complaint::new(error.to_string()))?;
    }
    Ok(())
}

/// What it cost, and what to try next.
fn hints(machine: &str, run: &MemoryRun) -> String {
    let reads_and_writes = [run.report.reads, run.report.writes];
    let requests: u64 = reads_and_writes.iter().flatten().map(|latency| latency.requests).sum();
    let seconds = run.result.wall.seconds.max(1e-9);
    let next = [
        (format!("orrery run {machine} \"rand_rw21 requests=50000 outstanding=16\""), "random reads and writes"),
        (format!("orrery run {machine} seq_read --set policy.refresh=all_bank"), "another refresh"),
        (format!("orrery run {machine} rand_read --timeline"), "rows and accesses of every bank, for ui.perfetto.dev"),
        (format!("orrery run {machine} rand_read --plots"), "latency over bandwidth, a heat map of the banks"),
        ("orrery validate hbm-hardware".to_string(), "how far to trust these numbers"),
    ];
    let width = next.iter().map(|(command, _)| command.chars().count()).max().unwrap_or(0);
    let mut out = format!(
        "\nsimulated in {} s: {} thousand requests/s\n\nnext:\n",
        report::significant(seconds),
        report::significant(requests as f64 / seconds / 1e3),
    );
    for (command, what) in next {
        out.push_str(&format!("  {command:<width$}  {what}\n"));
    }
    out + "\n"
}
