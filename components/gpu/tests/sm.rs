//! One SM beyond the published windows: cycle accounting, skipping of idle cycles, caches, barriers, occupancy.

mod common;

use gpu::sm::bench::{Bench, Caches, Metrics, Outcome, Program};
use gpu::sm::{CtaResources, KernelTiming, OccupancyLimit, Reason};
use std::sync::Arc;
use workloads::sass::catalog;
use workloads::sass::exec::Grid;
use workloads::stream::CtaStream;

fn program(lines: &[&str]) -> Program {
    Program::new(lines).unwrap()
}

fn issue(program: &Program, outcome: &Outcome, line: usize) -> u64 {
    Metrics { program, outcome }.get(&format!("issue_{line}")).unwrap() as u64
}

/// First CTA of a shipped kernel on a cold SM.
fn shipped(name: &str, every_cycle: bool) -> Outcome {
    let spec = common::parameters("gh100");
    let launch = catalog::launch(name).unwrap();
    let kernel = catalog::kernel(&launch.kernel, "sm_90").unwrap();
    let timing = Arc::new(KernelTiming::new(name, &kernel.instructions, &spec).unwrap());
    let mut stream = CtaStream::default();
    Grid::new(&kernel, &launch).unwrap().run_cta(0, &mut stream).unwrap();
    let warps = (0..stream.warps.len() as u16).collect();
    let caches = Caches::Cold;
    Bench { caches, warps, every_cycle, check_hazards: false, ..Bench::new(spec) }.run_stream(timing, stream)
}

#[test]
fn skipping_idle_cycles_changes_nothing_and_every_cycle_has_a_reason() {
    for name in catalog::launch_names().into_iter().filter(|name| !catalog::AT_ISSUE.contains(&name.as_str())) {
        let (skipping, stepping) = (shipped(&name, false), shipped(&name, true));
        assert!(skipping.finished, "{name}");
        assert_eq!(skipping.counters, stepping.counters, "{name}");
        assert_eq!(skipping.issues, stepping.issues, "{name}");
        let counters = &skipping.counters;
        assert_eq!(counters.subcore_cycles.iter().sum::<u64>(), 4 * counters.cycles, "{name}");
        assert_eq!(counters.subcore_cycles[Reason::Issued as usize], counters.instructions_issued, "{name}");
        let issues: usize = skipping.issues.iter().map(Vec::len).sum();
        assert_eq!(issues as u64, counters.instructions_issued, "{name}");
        let tree = counters.breakdown();
        assert_eq!((tree.total, tree.mismatch()), (4 * counters.cycles, None), "{name}");
    }
}

#[test]
fn units_are_taken_for_their_initiation_intervals() {
    // Of GA102: FP32 1, ALU and IMAD 2, XU 8; an address unit takes 4 (arXiv 2503.20481 Table 1).
    let text = program(&[
        "B------:R-:W-:-:S01  FFMA R1, R2, R5, R6",
        "B------:R-:W-:-:S01  FFMA R3, R2, R5, R6",
        "B------:R-:W-:-:S01  IADD3 R7, R2, R5, R6",
        "B------:R-:W-:-:S01  IMAD R8, R2, R5, R6",
        "B------:R-:W0:-:S01  MUFU.RCP R9, R2",
        "B------:R-:W1:-:S04  LDS R10, [R12]",
        "B------:R-:W1:-:S04  LDS R11, [R12]",
        "B------:R-:W-:-:S05  EXIT",
    ]);
    let warps = vec![0, 1, 4];
    let outcome = Bench { warps, ..Bench::new(common::parameters("ga102")) }.run(&text).unwrap();
    let busy = |name: &str| outcome.counters.busy_cycles[gpu::sm::UNITS.iter().position(|unit| *unit == name).unwrap()];
    let of_warp = [("fma", 2), ("alu", 2), ("integer_multiply", 2), ("xu", 8), ("address", 8), ("tensor", 0)];
    for (unit, cycles) in of_warp {
        assert_eq!(busy(unit), 3 * cycles, "{unit}");
    }
}

#[test]
fn a_load_that_misses_waits_for_memory_and_the_same_tail() {
    let text =
        program(&["B------:R-:W0:-:S02  LDG.E R4, [R2.64]", "B0-----:R-:W-:-:S01  NOP", "B------:R-:W-:-:S05  EXIT"]);
    let bench =
        |cycles: u64| Bench { caches: Caches::Cold, memory_cycles: cycles, ..Bench::new(common::parameters("ga102")) };
    let distance = |cycles: u64| issue(&text, &bench(cycles).run(&text).unwrap(), 1);
    // Accepted 6 after issue, request 13 later, answer seen one cycle after it came, 13 more to the release: the hit's 32.
    assert_eq!(distance(200), 32 + 200 + 1);
    assert_eq!(distance(500) - distance(200), 300);
}

#[test]
fn two_loads_of_one_line_send_one_request() {
    let text = program(&[
        "B------:R-:W0:-:S01  LDG.E R4, [R2.64]",
        "B------:R-:W1:-:S02  LDG.E R5, [R2.64]",
        "B01----:R-:W-:-:S02  LDG.E R6, [R2.64]",
        "B------:R-:W-:-:S05  EXIT",
    ]);
    let outcome = Bench { caches: Caches::Cold, ..Bench::new(common::parameters("ga102")) }.run(&text).unwrap();
    let counters = outcome.counters;
    // One line of data and the lines of the code, with the eight that the stream buffer asks for.
    assert_eq!(counters.memory_requests, 1 + 1 + 8);
    assert_eq!((counters.l1_sector_misses, counters.l1_sector_hits), (8, 4));
    assert_eq!(counters.bytes_read, 128 * 10);
}

#[test]
fn a_group_of_copies_is_complete_when_its_last_copy_is() {
    // Table 2: an LDGSTS is over 39 cycles after issue. The second group issues 25 cycles after the first.
    let lines = |left: u8| {
        program(&[
            "B------:R-:W-:-:S01  LDGSTS.E [R12], [R4.64]",
            "B------:R-:W0:-:S12  LDGDEPBAR",
            "B------:R-:W-:Y:S12  NOP",
            "B------:R-:W-:-:S01  LDGSTS.E [R14], [R4.64]",
            "B------:R-:W0:-:S01  LDGDEPBAR",
            &format!("B------:R-:W-:Y:S04  DEPBAR.LE SB0, {left:#x}"),
            "B------:R-:W-:-:S01  NOP",
            "B------:R-:W-:-:S05  EXIT",
        ])
    };
    let spec = common::parameters("ga102");
    for (left, after) in [(0, 3), (1, 0)] {
        let text = lines(left);
        let outcome = Bench::new(spec.clone()).run(&text).unwrap();
        let waited = issue(&text, &outcome, 6) - issue(&text, &outcome, after);
        assert_eq!(waited, 39, "at most {left} groups left");
    }
}

#[test]
fn a_copy_that_misses_waits_for_memory() {
    let text = program(&[
        "B------:R-:W0:-:S02  LDGSTS.E.BYPASS.128 [R12], [R4.64]",
        "B0-----:R-:W0:-:S02  LDG.E R4, [R2.64]",
        "B0-----:R-:W-:-:S01  NOP",
        "B------:R-:W-:-:S05  EXIT",
    ]);
    let run = |cycles: u64| {
        let bench = Bench { caches: Caches::Cold, memory_cycles: cycles, ..Bench::new(common::parameters("ga102")) };
        let outcome = bench.run(&text).unwrap();
        // What goes past the L1 is not found there afterwards.
        assert_eq!(outcome.counters.l1_sector_hits, 0);
        issue(&text, &outcome, 1)
    };
    // Three more lines behind the first, a request a cycle.
    assert_eq!(run(200), 39 + 200 + 1 + 3);
    assert_eq!(run(500) - run(200), 300);
}

#[test]
fn a_memory_barrier_waits_for_own_stores() {
    let text = program(&[
        "B------:R-:W-:-:S04  STG.E [R2.64], R4",
        "B------:R-:W-:-:S01  MEMBAR.SC.GPU",
        "B------:R-:W-:-:S01  NOP",
        "B------:R-:W-:-:S05  EXIT",
    ]);
    let at = |cycles: u64| {
        let outcome = Bench { memory_cycles: cycles, ..Bench::new(common::parameters("ga102")) }.run(&text).unwrap();
        issue(&text, &outcome, 2)
    };
    assert_eq!(at(700) - at(200), 500);
}

#[test]
fn a_block_barrier_holds_every_warp_until_the_last_arrives() {
    let text = program(&[
        "B------:R-:W0:-:S02  LDG.E R4, [R2.64]",
        "B0-----:R-:W-:-:S01  NOP",
        "B------:R-:W-:-:S05  BAR.SYNC 0x0",
        "B------:R-:W-:-:S01  NOP",
        "B------:R-:W-:-:S05  EXIT",
    ]);
    let warps: Vec<u16> = (0..8).collect();
    let outcome = Bench { warps, ..Bench::new(common::parameters("ga102")) }.run(&text).unwrap();
    let at = |line: usize| outcome.issues.iter().map(move |issues| issues[line].cycle);
    let last_arrival = at(2).max().unwrap();
    assert!(at(2).min().unwrap() < last_arrival);
    assert!(at(3).all(|cycle| cycle >= last_arrival + 5), "{:?}", outcome.issues);
}

#[test]
fn the_stream_buffer_hides_most_of_a_cold_start() {
    let mut lines = vec!["B------:R-:W-:-:S01  NOP"; 512];
    lines.push("B------:R-:W-:-:S05  EXIT");
    let text = program(&lines);
    let cycles = |stream_buffer_lines: u8| {
        let mut spec = common::parameters("ga102");
        spec.front_end.stream_buffer_lines = stream_buffer_lines;
        let outcome = Bench { caches: Caches::Cold, ..Bench::new(spec) }.run(&text).unwrap();
        outcome.counters.cycles
    };
    let (none, eight) = (cycles(0), cycles(8));
    // Without it every line of eight instructions waits for the L1 and memory alone.
    assert!(none > 64 * (39 + 200 + 39), "{none}");
    assert!(eight * 5 < none, "{eight} against {none}");
}

#[test]
fn occupancy_by_each_resource() {
    let spec = common::parameters("gh100");
    let cta =
        |threads, registers_per_thread, shared_bytes| CtaResources { threads, registers_per_thread, shared_bytes };
    // CUDA occupancy calculator, compute capability 9.0.
    for (cta, ctas, limit) in [
        (cta(256, 32, 0), 8, OccupancyLimit::Warps),
        (cta(256, 64, 8448), 4, OccupancyLimit::Registers),
        (cta(32, 16, 0), 32, OccupancyLimit::Ctas),
        (cta(128, 24, 100 * 1024), 2, OccupancyLimit::SharedMemory),
        (cta(1024, 128, 0), 0, OccupancyLimit::Registers),
    ] {
        let found = spec.occupancy(&cta);
        assert_eq!((found.ctas, found.limit), (ctas, limit), "{cta:?}");
    }
}
