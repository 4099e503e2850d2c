//! Values at issue: ordinary kernels take the same cycles as with values ahead of time; kernels that wait for other blocks
//! end, or are found never to end; clocks show the cycles that were published.

mod common;

use common::machine_file;
use machine::gpu::{GpuError, GpuResult, GpuShape, GpuSimulation};
use sim_core::{MachineFile, Plan};
use std::time::{Duration, Instant};
use workloads::sass::exec::{Cause, Values};
use workloads::sass::{Launch, catalog};

const MACHINES: [&str; 3] = ["h100-pcie", "a100-40", "rtx-a6000"];

fn try_run(file: &MachineFile, launch: &Launch, values: Values, plan: Plan) -> Result<GpuResult, GpuError> {
    let kernel = catalog::kernel(&launch.kernel, &GpuShape::of(file).unwrap().sm.arch).unwrap();
    GpuSimulation::with_values(file, &kernel, launch, plan, values)?.run(&mut |_| {})
}

fn run(file: &MachineFile, launch: &Launch, values: Values) -> GpuResult {
    try_run(file, launch, values, Plan::serial()).unwrap_or_else(|error| panic!("{}: {error}", launch.kernel))
}

fn cause(error: GpuError) -> Cause {
    match error {
        GpuError::Execution(error) => *error.cause,
        other => panic!("{other}"),
    }
}

/// What runs on the SMs is the same, cycle by cycle, in either mode: what each cycle of each sub-core went to, the
/// requests to memory, the values. One SM has many blocks at a time, eight have few.
#[test]
fn ordinary_kernels_take_the_same_cycles_in_both_modes() {
    for (machine, sms) in [("h100-pcie", 8), ("a100-40", 1), ("rtx-a6000", 8)] {
        let file = machine_file(machine, &[&format!("part.sm.count={sms}")]);
        for workload in catalog::launch_names().into_iter().filter(|name| !catalog::AT_ISSUE.contains(&name.as_str())) {
            let launch = catalog::launch(&workload).unwrap();
            let ahead = run(&file, &launch, Values::Ahead);
            let live = run(&file, &launch, Values::AtIssue);
            assert_eq!(ahead.cycles, live.cycles, "{machine} {workload}");
            assert_eq!(ahead.executed, live.executed, "{machine} {workload}");
            assert_eq!(ahead.stats, live.stats, "{machine} {workload}");
            assert!(live.check.is_none_or(|check| check.passed()), "{machine} {workload}");
        }
    }
}

#[test]
fn kernels_that_need_it_compute_what_they_should() {
    for machine in MACHINES {
        let file = machine_file(machine, &[]);
        for workload in catalog::AT_ISSUE {
            let result = run(&file, &catalog::launch(workload).unwrap(), Values::AtIssue);
            assert!(result.check.as_ref().is_some_and(|check| check.passed()), "{machine} {workload}: {:?}", result.check);
            let breakdown = result.stats.breakdown_at("sm.subcore_cycles").unwrap();
            assert_eq!(breakdown.total, 4 * GpuShape::of(&file).unwrap().sms as u64 * result.cycles, "{machine} {workload}");
        }
    }
}

/// All SMs work on one memory, so there is one shard, and asking for more changes nothing.
#[test]
fn shards_and_threads_change_nothing() {
    let file = machine_file("rtx-3070", &["part.sm.count=12"]);
    for workload in ["producer-consumer", "grid-barrier"] {
        let launch = catalog::launch(workload).unwrap();
        let alone = run(&file, &launch, Values::AtIssue);
        let many = try_run(&file, &launch, Values::AtIssue, Plan { threads: 2, shards: 4, ..Plan::default() }).unwrap();
        assert_eq!((alone.cycles, &alone.digest, &alone.stats), (many.cycles, &many.digest, &many.stats), "{workload}");
        assert_eq!(many.outcome.shards.len(), 1);
    }
}

#[test]
fn a_wait_for_another_block_is_found_out_soon_without_values_at_issue() {
    let file = machine_file("h100-pcie", &[]);
    for workload in ["producer-consumer", "grid-barrier"] {
        let start = Instant::now();
        let error = try_run(&file, &catalog::launch(workload).unwrap(), Values::Ahead, Plan::serial()).unwrap_err();
        assert!(start.elapsed() < Duration::from_secs(5), "{workload} took {:?}", start.elapsed());
        assert!(error.to_string().contains("--coupled"), "{error}");
        assert!(cause(error).asks_for_values_at_issue(), "{workload}");
    }
}

#[test]
fn a_clock_that_is_computed_with_is_refused_without_values_at_issue() {
    for workload in ["bank-conflicts", "dependent-chain", "mufu-rate", "pointer-chase"] {
        for machine in MACHINES {
            let file = machine_file(machine, &[]);
            let error = try_run(&file, &catalog::launch(workload).unwrap(), Values::Ahead, Plan::serial()).unwrap_err();
            assert!(matches!(error, GpuError::Workload(_)), "{error}");
            assert!(error.to_string().contains("--coupled"), "{error}");
        }
    }
}

/// The waiting block holds the only place, so the one it waits for never starts.
#[test]
fn a_wait_that_cannot_end_is_reported() {
    let file = machine_file("h100-pcie", &["part.sm.count=1", "part.sm.limits.ctas=1"]);
    for workload in ["producer-consumer", "grid-barrier"] {
        let start = Instant::now();
        let error = try_run(&file, &catalog::launch(workload).unwrap(), Values::AtIssue, Plan::serial()).unwrap_err();
        assert!(start.elapsed() < Duration::from_secs(5), "{workload} took {:?}", start.elapsed());
        assert!(matches!(cause(error), Cause::Stuck(_)), "{workload}");
    }
    // With a second place the same launch ends: waiting blocks leave one after the other once the message is there.
    let file = machine_file("h100-pcie", &["part.sm.count=1", "part.sm.limits.ctas=9"]);
    run(&file, &catalog::launch("producer-consumer").unwrap(), Values::AtIssue);
}

/// What a kernel wrote into its buffer `cycles`.
fn clocks(machine: &str, workload: &str, sets: &[&str]) -> Vec<f64> {
    let file = machine_file(machine, sets);
    let launch = catalog::launch(workload).unwrap();
    let kernel = catalog::kernel(&launch.kernel, &GpuShape::of(&file).unwrap().sm.arch).unwrap();
    let simulation = GpuSimulation::with_values(&file, &kernel, &launch, Plan::serial(), Values::AtIssue).unwrap();
    let store = simulation.store();
    simulation.run(&mut |_| {}).unwrap_or_else(|error| panic!("{machine} {workload}: {error}"));
    let word = |bytes: &[u8]| f64::from(i32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]));
    store.with_grid(|grid| grid.memory().buffer("cycles").unwrap().data.chunks(4).map(word).collect())
}

#[test]
fn explore() {
    for machine in MACHINES {
        for workload in ["dependent-chain", "pointer-chase", "bank-conflicts", "mufu-rate"] {
            println!("{machine} {workload} {:?}", clocks(machine, workload, &[]));
        }
    }
}
