//! The core of the older model: operand collectors, scoreboard, fetch of empty buffers. Expected cycles follow by hand from
//! the order of GPGPU-Sim's steps and the latencies of its configuration (see `configs/gpu/rtx-a6000-accel-sim.toml`).

mod common;

use gpu::sm::bench::{Bench, Caches, Outcome, Program};
use gpu::sm::spec::{Policy, SUBCORES};
use gpu::sm::{KernelTiming, Reason, SmSpec};
use sim_core::config::Document;
use std::sync::Arc;
use workloads::sass::catalog;
use workloads::sass::exec::Grid;
use workloads::stream::CtaStream;

fn accel_sim() -> SmSpec {
    let path = common::root().join("configs/gpu/rtx-a6000-accel-sim.toml");
    let document = Document::load(path.to_str().unwrap(), &mut Document::from_disk, &[]).unwrap();
    let spec = SmSpec::of_parameter_set(&document).unwrap();
    assert_eq!(spec.validate(), Vec::<String>::new());
    spec
}

fn run(spec: SmSpec, warps: Vec<u16>, lines: &[&str]) -> Outcome {
    let mut text: Vec<String> = lines.iter().map(|line| format!("B------:R-:W-:-:S01  {line}")).collect();
    text.push("B------:R-:W-:-:S01  EXIT".to_owned());
    let program = Program::new(&text).unwrap();
    let outcome = Bench { warps, ..Bench::new(spec) }.run(&program).unwrap();
    assert_eq!(outcome.hazards, [], "{lines:?}");
    assert!(outcome.finished);
    outcome
}

/// Cycles from the issue of the first line to each of them, one warp.
fn issues(lines: &[&str]) -> Vec<u64> {
    let outcome = run(accel_sim(), vec![0], lines);
    outcome.issues[0].iter().map(|issue| issue.cycle - outcome.issues[0][0].cycle).collect()
}

#[test]
fn a_dependent_waits_for_collection_execution_and_write_back() {
    // A step after issue the instruction has a collector; an operand a step, two steps a cycle; then it goes to the unit.
    // Operands 0, 1, 2, 3: at the unit 1, 2, 2, 3 cycles after issue. Latency 4 and a register on each side: 6 more, and
    // the reader issues in the cycle after the write.
    let distance = |producer: &str| issues(&[producer, "FADD R9, R1, R8"])[1];
    assert_eq!(distance("MOV R1, 0x1"), 1 + 6);
    assert_eq!(distance("MOV R1, R2"), 2 + 6);
    assert_eq!(distance("FADD R1, R2, R3"), 2 + 6);
    assert_eq!(distance("FFMA R1, R2, R3, R4"), 3 + 6);
    assert_eq!(distance("MUFU.RCP R1, R2"), 2 + 20 + 2, "SFU: 20 cycles");
    // What is overwritten is waited for, what is read is not.
    assert_eq!(issues(&["FADD R1, R2, R3", "MOV R1, R5"])[1], 8);
    assert_eq!(issues(&["FADD R1, R2, R3", "MOV R2, R5"])[1], 1);
}

#[test]
fn loads_take_the_latency_of_l1_and_shared_memory() {
    // The address in two registers is complete 2 cycles after issue, accepted a cycle later.
    assert_eq!(issues(&["LDG.E R1, [R2.64]", "FADD R9, R1, R8"])[1], 2 + 1 + 39 + 1);
    assert_eq!(issues(&["LDS R1, [R2]", "FADD R9, R1, R8"])[1], 2 + 1 + 29 + 1);
}

#[test]
fn a_lone_warp_issues_two_instructions_in_three_cycles() {
    // Fetched together when the buffer is empty: fetch, decode, then one issue each.
    let cycles = issues(&["NOP"; 12]);
    let pairs: Vec<u64> = cycles.iter().step_by(2).copied().collect();
    assert!(pairs[1..].windows(2).all(|pair| pair[1] - pair[0] == 3), "{cycles:?}");
}

#[test]
fn warps_take_turns_or_the_oldest_goes_on() {
    // Four warps of sub-core 0.
    let order = |policy: Policy| {
        let mut spec = accel_sim();
        spec.issue.policy = policy;
        let outcome = run(spec, vec![0, 4, 8, 12], &["NOP"; 4]);
        let mut all: Vec<(u64, usize)> = Vec::new();
        for (warp, issues) in outcome.issues.iter().enumerate() {
            all.extend(issues.iter().map(|issue| (issue.cycle, warp)));
        }
        all.sort_unstable();
        all.into_iter().map(|(_, warp)| warp).collect::<Vec<_>>()
    };
    assert_eq!(order(Policy::LooseRoundRobin)[..8], [0, 1, 2, 3, 0, 1, 2, 3]);
    // By the time the second has issued what it had, the first has been fetched for again.
    assert_eq!(order(Policy::GreedyThenOldest)[..8], [0, 0, 1, 1, 0, 0, 1, 1]);
}

#[test]
fn operands_of_one_bank_hold_the_collectors_longer() {
    let interval = |lines: [&str; 2]| {
        let many: Vec<&str> = lines.into_iter().cycle().take(200).collect();
        // Eight warps of a sub-core, so that fetch is no bound.
        let warps: Vec<u16> = (0..8).map(|warp| warp * SUBCORES as u16).collect();
        let outcome = run(accel_sim(), warps, &many);
        let last = outcome.issues.iter().map(|issues| issues.last().unwrap().cycle).max().unwrap();
        let first = outcome.issues.iter().map(|issues| issues[0].cycle).min().unwrap();
        (last - first) as f64 / (8.0 * 201.0)
    };
    // Two pipes that each take an instruction in two cycles. Six operands of one bank, two a cycle: three cycles a pair.
    // Spread over both banks they could be read in one and a half; two cycles are the pipes'.
    let conflicts = interval(["FFMA R1, R2, R4, R6", "IADD3 R11, R8, R10, R12"]);
    let none = interval(["FFMA R1, R2, R5, R6", "IADD3 R11, R9, R10, R13"]);
    assert!((conflicts - 1.5).abs() < 0.02, "{conflicts}");
    assert!((1.0..1.4).contains(&none), "{none}");
}

/// First CTA of a shipped kernel on a cold SM.
fn shipped(name: &str, every_cycle: bool) -> Option<Outcome> {
    let spec = accel_sim();
    let launch = catalog::launch(name).unwrap();
    let kernel = catalog::kernel(&launch.kernel, "sm_86").ok()?;
    let timing = Arc::new(KernelTiming::new(name, &kernel.instructions, &spec).unwrap());
    let mut stream = CtaStream::default();
    Grid::new(&kernel, &launch).unwrap().run_cta(0, &mut stream).unwrap();
    let warps = (0..stream.warps.len() as u16).collect();
    let caches = Caches::Cold;
    Some(Bench { caches, warps, every_cycle, ..Bench::new(spec) }.run_stream(timing, stream))
}

#[test]
fn shipped_kernels_run_read_nothing_too_early_and_every_cycle_has_a_reason() {
    let mut ran = 0;
    for name in catalog::launch_names().into_iter().filter(|name| !catalog::AT_ISSUE.contains(&name.as_str())) {
        let (Some(skipping), Some(stepping)) = (shipped(&name, false), shipped(&name, true)) else { continue };
        assert!(skipping.finished, "{name}");
        assert_eq!(skipping.hazards, [], "{name}");
        assert_eq!(skipping.issues, stepping.issues, "{name}");
        assert_eq!(skipping.counters, stepping.counters, "{name}");
        let counters = &skipping.counters;
        assert_eq!(counters.subcore_cycles.iter().sum::<u64>(), 4 * counters.cycles, "{name}");
        assert_eq!(counters.subcore_cycles[Reason::Issued as usize], counters.instructions_issued, "{name}");
        ran += 1;
    }
    assert!(ran >= 20);
}
