//! `orrery sweep`: many runs side by side, kept one by one.

use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;

use serde_json::json;

use crate::batch;
use crate::cli::{Common, SweepArgs, SweepCommand};
use crate::failure::{Complaint, Failure};
use crate::output::{Progress, print, print_json};
use crate::pieces::stopped_by_ctrl_c;
use crate::report::{significant, thousands};
use crate::sweep::{Plan, Point, Record, Store, document, speedups, table};

/// Runs of a plan that are shown before it says how many more there are.
const SHOWN: usize = 40;

/// Carries a subcommand out.
pub fn run(command: &SweepCommand, common: &Common) -> Result<(), Failure> {
    let (SweepCommand::Plan(args) | SweepCommand::Run(args) | SweepCommand::Status(args) | SweepCommand::Collect(args)) =
        command;
    let SweepArgs { file } = args;
    let plan = Plan::read(file)?;
    let store = Store::choose(common.out.as_deref(), &plan.name);
    match command {
        SweepCommand::Plan(_) => show(&plan, &store, common),
        SweepCommand::Status(_) => status(&plan, &store, common),
        SweepCommand::Collect(_) => collect(&plan, &store, common),
        SweepCommand::Run(_) => {
            let stopped = make(&plan, &store, common)?;
            collect(&plan, &store, common)?;
            if stopped == 0 {
                return Ok(());
            }
            let message = format!("{stopped} of {} runs are missing", plan.points.len());
            Err(Failure::Run(Complaint::new(message).help(format!("orrery sweep run {file} goes on"))))
        }
    }
}

fn records(plan: &Plan, store: &Store) -> Vec<Option<Record>> {
    plan.points.iter().map(|point| store.find(point)).collect()
}

/// Runs what is missing; how many runs were stopped before their end.
fn make(plan: &Plan, store: &Store, common: &Common) -> Result<usize, Failure> {
    let mut missing: Vec<&Point> = plan.points.iter().filter(|point| store.find(point).is_none()).collect();
    // Two names for one machine are one run.
    missing.sort_by(|a, b| a.config_hash.cmp(&b.config_hash));
    missing.dedup_by(|a, b| a.config_hash == b.config_hash);
    // In the order of the file again, so that what is asked for first is there first.
    missing.sort_by_key(|point| plan.points.iter().position(|other| other.config_hash == point.config_hash));
    let stop = stopped_by_ctrl_c();
    let progress = Progress::of_suite(common.quiet, &plan.name);
    let done = AtomicUsize::new(0);
    let outcomes = batch::side_by_side(common.threads, &missing, |point| {
        if stop.load(Relaxed) {
            return Ok(false);
        }
        let mut request = point.request();
        request.pieces.stop = stop.clone();
        let record = match batch::run(&request, &mut |_| {}) {
            Ok(finished) if finished.result.partial.is_some() => return Ok(false),
            Ok(finished) => match finished.wrong {
                None => Record::of(point, &finished.result),
                Some(wrong) => Record::failed(point, wrong),
            },
            Err(failure) => Record::failed(point, failure.in_words()),
        };
        store.keep(point, &record)?;
        progress.set(done.fetch_add(1, Relaxed) as u64 + 1, missing.len() as u64);
        Ok(true)
    });
    progress.finish();
    let outcomes = outcomes?.into_iter().collect::<Result<Vec<bool>, Failure>>()?;
    Ok(outcomes.iter().filter(|done| !**done).count())
}

fn collect(plan: &Plan, store: &Store, common: &Common) -> Result<(), Failure> {
    let records = records(plan, store);
    let document = document(plan, &records);
    let written = [
        store.write_file("results.csv", &table(plan, &records))?,
        store.write_file("results.json", &format!("{document:#}\n"))?,
    ];
    let failed: Vec<(&Point, &String)> = plan
        .points
        .iter()
        .zip(&records)
        .filter_map(|(point, record)| Some((point, record.as_ref()?.failed.as_ref()?)))
        .collect();
    if common.json {
        print_json(&document);
    } else {
        let there = records.iter().flatten().count();
        let mut text = format!("{}: {there} of {} runs\n\n", plan.name, plan.points.len());
        let rows = speedups(plan, &records);
        let width = rows.iter().map(|row| row.variant.chars().count()).max().unwrap_or(0).max("variant".len());
        text.push_str(&format!("  {:<width$}  speed-up  published  workloads\n", "variant"));
        for row in rows.iter().filter(|row| !row.each.is_empty()) {
            let published = row.published.map_or(String::new(), |value| format!("{value:.3}"));
            let runs = row.each.len();
            text.push_str(&format!("  {:<width$}  {:>8.3}  {published:>9}  {runs:>9}\n", row.variant, row.mean));
        }
        written.iter().for_each(|path| text.push_str(&format!("\nwrote {}", path.display())));
        print(&(text + "\n"));
    }
    for (point, why) in &failed {
        eprintln!("failed: {} as {}: {why}", point.workload, point.variant);
    }
    if failed.is_empty() { Ok(()) } else { Err(Failure::Check) }
}

fn show(plan: &Plan, store: &Store, common: &Common) -> Result<(), Failure> {
    let runs = plan.points.iter().map(|point| (point, store.find(point).is_some()));
    if common.json {
        let runs: Vec<_> = runs
            .map(|(point, done)| {
                json!({
                    "machine": point.machine, "workload": point.workload, "variant": point.variant, "set": point.sets,
                    "config_hash": point.config_hash, "done": done,
                })
            })
            .collect();
        print_json(&json!({"sweep": plan.name, "description": plan.description, "runs": runs}));
        return Ok(());
    }
    let mut text = format!("{}: {}\n\n", plan.name, plan.description);
    for (point, done) in runs.take(SHOWN) {
        let mark = if done { "done" } else { "" };
        let sets = point.sets.join(" ");
        text.push_str(&format!("  {mark:<5}{} on {} as {}  {sets}\n", point.workload, point.machine, point.variant));
    }
    if plan.points.len() > SHOWN {
        text.push_str(&format!("  … and {} more\n", plan.points.len() - SHOWN));
    }
    print(&text);
    Ok(())
}

fn status(plan: &Plan, store: &Store, common: &Common) -> Result<(), Failure> {
    let records = records(plan, store);
    let there: Vec<&Record> = records.iter().flatten().collect();
    let failed = there.iter().filter(|record| record.failed.is_some()).count();
    let seconds: f64 = there.iter().map(|record| record.wall_seconds).sum();
    let (done, planned) = (there.len(), plan.points.len());
    if common.json {
        print_json(&json!({
            "sweep": plan.name, "planned": planned, "done": done, "failed": failed, "run_seconds": seconds,
            "folder": store.folder().display().to_string(),
        }));
    } else {
        let (done, planned, failed) = (thousands(done as u64), thousands(planned as u64), thousands(failed as u64));
        print(&format!(
            "{}: {done} of {planned} runs in {}, {failed} failed, {} s of simulation\n",
            plan.name,
            store.folder().display(),
            significant(seconds),
        ));
    }
    Ok(())
}
