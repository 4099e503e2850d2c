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
/// requests to memory, the values. One SM has many blocks at a time, eight have few. Not so the compare-and-swap loops of
/// `wide-atomics`: how often they repeat depends on what other blocks do in between, so on time.
#[test]
fn ordinary_kernels_take_the_same_cycles_in_both_modes() {
    let ordinary = catalog::launch_names().into_iter().filter(|name| !catalog::AT_ISSUE.contains(&name.as_str()));
    let ordinary: Vec<String> = ordinary.filter(|name| name != "wide-atomics").collect();
    let some = ["histogram", "sgemm", "softmax", "stencil2d"].map(str::to_owned).to_vec();
    for (machine, sms, workloads) in [("h100-pcie", 8, &ordinary), ("a100-40", 1, &some), ("rtx-a6000", 8, &some)] {
        let file = machine_file(machine, &[&format!("part.sm.count={sms}")]);
        for workload in workloads {
            let launch = catalog::launch(workload).unwrap();
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
    for machine in ["rtx-2080-ti", "a100-40", "rtx-a6000", "rtx-4090", "h100-pcie", "rtx-5090"] {
        let file = machine_file(machine, &[]);
        for workload in catalog::AT_ISSUE {
            let result = run(&file, &catalog::launch(workload).unwrap(), Values::AtIssue);
            assert!(
                result.check.as_ref().is_some_and(|check| check.passed()),
                "{machine} {workload}: {:?}",
                result.check
            );
            let breakdown = result.stats.breakdown_at("sm.subcore_cycles").unwrap();
            assert_eq!(
                breakdown.total,
                4 * GpuShape::of(&file).unwrap().sms as u64 * result.cycles,
                "{machine} {workload}"
            );
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
    for workload in ["bank-conflicts", "dependent-chain", "instruction-chain", "mufu-rate", "pointer-chase"] {
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
    store.with_grid(|grid| grid.memory().buffer("cycles").unwrap().data.chunks(4).map(word).collect()).unwrap()
}

struct Published {
    workload: &'static str,
    /// Element of `cycles`, and the steps it is over.
    element: usize,
    steps: f64,
    /// Cycles a step on an H100, an A100 and an RTX A6000.
    cycles: [f64; 3],
    tolerance_percent: [f64; 3],
}

/// Cycles that forming a 64-bit address adds to a step of `pointer-chase`, over a chase that loads pointers: LEA to LEA.HI.X
/// (carry, 4) to the load (5), by the distances in arXiv 2503.20481 and the stalls of the listing.
const ADDRESS: f64 = 9.0;

/// What the kernels read off the clock, against what was published.
///
/// All tolerances cover the clock reads themselves: up to 14 cycles over all steps.
const PUBLISHED: [Published; 6] = [
    // Dependent FFMA: 4 on GA102 (arXiv 2503.20481 section 5.3) and on A100 (mad.rn.f32, arXiv 2208.11174 table 2); for H100
    // the distance that ptxas 12.9 keeps.
    Published { workload: "dependent-chain", element: 0, steps: 256.0, cycles: [4.0; 3], tolerance_percent: [1.5; 3] },
    // Dependent IADD3: 4 on A100 (add.u32, arXiv 2208.11174 table 2); for the others the distance that ptxas 12.9 keeps.
    Published { workload: "dependent-chain", element: 1, steps: 256.0, cycles: [4.0; 3], tolerance_percent: [1.5; 3] },
    // Shared memory. H100 30 (MT4G samples), H800 29.0 (arXiv 2402.13499), with the address formed apart as the sm_90 listing
    // does. The other listings scale the index in the load: A100 23 (arXiv 2208.11174 table 4), GA102 24 (arXiv
    // 2503.20481 table 2); the model has 24 for both.
    Published {
        workload: "pointer-chase",
        element: 0,
        steps: 128.0,
        cycles: [30.0, 23.0, 24.0],
        tolerance_percent: [2.0, 6.0, 2.0],
    },
    // L1 hit. H800 40.7 and A100 37.9 (arXiv 2402.13499); A40, the same chip as the A6000, 33.1 by a chain of pointers
    // (RRZE gpu-benches), so without the address. The A100's has 3 cycles less than a hit of the model with this address:
    // other code may form it with one IMAD.WIDE, 4 cycles shorter; a chain of pointers takes 33.1 there, too (RRZE).
    Published {
        workload: "pointer-chase",
        element: 1,
        steps: 128.0,
        cycles: [40.7, 37.9, 33.1 + ADDRESS],
        tolerance_percent: [2.0, 9.0, 3.5],
    },
    // L2. For the A100 not what the machine's latency was taken from: A100 PCIe 202.9 by a chain of pointers
    // (NVIDIA-Hopper-Benchmark logs). For the H800's 264.3 (same logs) and the A40's 250.4 (RRZE) it is: these rows say that
    // nothing is lost or counted twice on the way.
    Published {
        workload: "pointer-chase",
        element: 2,
        steps: 128.0,
        cycles: [264.3 + ADDRESS, 202.9 + ADDRESS, 250.4 + ADDRESS],
        tolerance_percent: [2.0; 3],
    },
    // MUFU: a warp every 8 cycles and sub-core: 16 lanes a cycle and SM (H100: profiler peak rate 0.5 a cycle and SM).
    Published { workload: "mufu-rate", element: 0, steps: 256.0, cycles: [8.0; 3], tolerance_percent: [1.0; 3] },
];

#[test]
fn clocks_show_what_was_published() {
    let mut wrong = String::new();
    for case in &PUBLISHED {
        for (index, machine) in MACHINES.iter().enumerate() {
            let got = clocks(machine, case.workload, &[])[case.element] / case.steps;
            let error = 100.0 * (got / case.cycles[index] - 1.0);
            println!(
                "{machine} {} [{}]: {got:.2}, published {} ({error:+.1} %)",
                case.workload, case.element, case.cycles[index]
            );
            if error.abs() > case.tolerance_percent[index] {
                wrong += &format!(
                    "{machine} {} [{}]: {got:.2}, published {}\n",
                    case.workload, case.element, case.cycles[index]
                );
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

/// L2 of an H100 SXM: 291 cycles through an index (markdewing/AI_kernels, latency table). Its machine is calibrated to another
/// figure, a chain of pointers on a GH200, so this one is a check.
#[test]
fn the_l2_of_an_h100_sxm_is_as_far_as_another_measured() {
    let got = clocks("h100-sxm", "pointer-chase", &[])[2] / 128.0;
    println!("h100-sxm pointer-chase [2]: {got:.2}, published 291 ({:+.1} %)", 100.0 * (got / 291.0 - 1.0));
    assert!((got / 291.0 - 1.0).abs() < 0.02, "{got}");
}

/// A pass over the banks takes a cycle, and one sub-core sends a load every 4 cycles (arXiv 2503.20481 table 1), so that up
/// to 4 passes are free. The clock is read when the last loads have issued, with up to 5 of them still queued.
#[test]
fn bank_conflicts_cost_a_cycle_a_pass() {
    for machine in MACHINES {
        let cycles = clocks(machine, "bank-conflicts", &[]);
        for (log, cycles) in cycles.iter().enumerate() {
            let each = f64::from(4.max(1 << log));
            let (least, most) = (each * 122.0, each * 128.0 + 30.0);
            assert!((least..=most).contains(cycles), "{machine}, {} passes: {cycles} of {least} to {most}", 1 << log);
        }
    }
}
