//! Hopper's asynchronous units beyond the published rows of the suite: barriers in shared memory, bulk copies, multiplies of
//! warpgroups.

mod common;

use gpu::sm::bench::{Bench, Metrics, Outcome, Program, synthetic_stream};
use gpu::sm::{KernelTiming, Reason};
use std::sync::Arc;
use workloads::stream::{CtaStream, MbarrierUse};

fn program(lines: &[&str]) -> Program {
    Program::new(lines).unwrap()
}

fn issue(program: &Program, outcome: &Outcome, line: usize) -> u64 {
    Metrics { program, outcome }.get(&format!("issue_{line}")).unwrap() as u64
}

fn bench() -> Bench {
    Bench::new(common::parameters("gh100"))
}

const MULTIPLY: &str = "B------:R-:W-:-:S01  HGMMA.64x256x16.F32 R24, gdesc[UR4], R24";
const LAST: &str = "B------:R-:W-:-:S03  HGMMA.64x256x16.F32 R24, gdesc[UR4], R24, gsb0";

/// Cycles from the first of `count` multiplies to the instruction behind the wait for all of them.
fn multiplies(count: usize) -> u64 {
    let mut lines = vec![MULTIPLY; count - 1];
    lines.push(LAST);
    lines.push("B------:R-:W-:-:S02  WARPGROUP.DEPBAR.LE gsb0, 0x0");
    lines.push("B------:R-:W-:-:S01  NOP");
    lines.push("B------:R-:W-:-:S05  EXIT");
    let text = program(&lines);
    issue(&text, &bench().run(&text).unwrap(), count + 1)
}

#[test]
fn a_warpgroup_waits_for_its_multiplies() {
    // Enters the tensor core two cycles after issue, as other units do.
    assert_eq!(multiplies(1), 2 + 128);
    assert_eq!(multiplies(8) - multiplies(1), 7 * 128);
}

#[test]
fn one_group_may_be_left_on_its_way() {
    let text = program(&[
        LAST,
        LAST,
        "B------:R-:W-:-:S02  WARPGROUP.DEPBAR.LE gsb0, 0x1",
        "B------:R-:W-:-:S01  NOP",
        "B------:R-:W-:-:S02  WARPGROUP.DEPBAR.LE gsb0, 0x0",
        "B------:R-:W-:-:S01  NOP",
        "B------:R-:W-:-:S05  EXIT",
    ]);
    let outcome = bench().run(&text).unwrap();
    assert_eq!((issue(&text, &outcome, 3), issue(&text, &outcome, 5)), (2 + 128, 2 + 256));
    assert!(outcome.counters.subcore_cycles[Reason::WarpgroupBarrier as usize] > 200);
}

#[test]
fn two_warps_of_a_sub_core_share_its_tensor_core() {
    let lines = [LAST, "B------:R-:W-:-:S02  WARPGROUP.DEPBAR.LE gsb0, 0x0", "B------:R-:W-:-:S05  EXIT"];
    let cycles = |warps: Vec<u16>| Bench { warps, ..bench() }.run(&program(&lines)).unwrap().counters.cycles;
    let one = cycles(vec![0]);
    // One after the other in one sub-core, at once in two.
    assert_eq!(cycles(vec![0, 4]) - one, 128);
    assert!(cycles(vec![0, 1]) - one < 4);
}

const EXCHANGE: &str = "B------:R-:W1:-:S02  SYNCS.EXCH.64 URZ, [UR4], UR6";
const CHECK: &str = "B------:R-:W0:-:S02  SYNCS.PHASECHK.TRANS64.TRYWAIT P0, [UR4], R2";

#[test]
fn a_phase_that_is_over_is_answered_like_a_load() {
    let text = program(&[
        EXCHANGE,
        "B-1----:R-:W1:-:S02  SYNCS.ARRIVE.TRANS64.A1T0 R4, [UR4], RZ",
        "B-1----:R-:W0:-:S02  SYNCS.PHASECHK.TRANS64.TRYWAIT P0, [UR4], R2",
        "B0-----:R-:W-:-:S01  NOP",
        "B------:R-:W-:-:S05  EXIT",
    ]);
    let outcome = bench().run(&text).unwrap();
    // Table 2: a shared-memory load from a uniform address.
    assert_eq!(issue(&text, &outcome, 3) - issue(&text, &outcome, 2), 23);
}

/// A program of two warps: the lines before `split` and those behind it.
fn two_warps(lines: &[&str], split: usize) -> (Program, Outcome) {
    let text = program(lines);
    let order: Vec<u32> = (0..lines.len() as u32).collect();
    let mut stream = synthetic_stream(&text.instructions, &order, &[0, 1]);
    stream.warps[0].truncate(split);
    stream.warps[1].drain(..split);
    let outcome = run(&text, stream, vec![0, 1]);
    (text, outcome)
}

fn run(text: &Program, stream: CtaStream, warps: Vec<u16>) -> Outcome {
    let spec = common::parameters("gh100");
    let timing = Arc::new(KernelTiming::new("program", &text.instructions, &spec).unwrap());
    Bench { warps, ..bench() }.run_stream(timing, stream)
}

#[test]
fn a_warp_waits_for_the_arrival_of_another() {
    let wait = "B------:R-:W-:Y:S15  NOP";
    let arrive = "B------:R-:W-:-:S02  SYNCS.ARRIVE.TRANS64.A1T0 RZ, [UR4], RZ";
    let exit = "B------:R-:W-:-:S05  EXIT";
    let (_, outcome) =
        two_warps(&[EXCHANGE, wait, wait, wait, wait, arrive, exit, wait, CHECK, "B0-----:R-:W-:-:S01  NOP", exit], 7);
    let at = |warp: usize, line: u32| outcome.issues[warp].iter().find(|issue| issue.index == line).unwrap().cycle;
    // The arrival is accepted 6 cycles after issue; the answer takes what is left of a load's 23.
    assert_eq!(at(1, 9) - at(0, 5), 23);
    assert!(at(1, 8) + 23 < at(1, 9));
    assert!(outcome.finished);
}

/// Cycles from a copy of one line, whose tensor map is cached, to the instruction behind the wait for its bytes.
fn copy_latency(memory_cycles: u64) -> u64 {
    let expect = "B-1----:R-:W-:-:S02  SYNCS.ARRIVE.TRANS64 RZ, [UR4], R0";
    let load = "B------:R2:W-:-:S12  UTMALDG.2D [UR8], [UR10]";
    let wait = "B0-----:R-:W-:-:S01  NOP";
    let text = program(&[EXCHANGE, expect, load, CHECK, wait, expect, load, CHECK, wait, "B------:R-:W-:-:S05  EXIT"]);
    let outcome = Bench { memory_cycles, ..bench() }.run(&text).unwrap();
    assert!(outcome.finished);
    // The tensor map is fetched first, once.
    let [first, second] = [2, 6].map(|load| issue(&text, &outcome, load + 2) - issue(&text, &outcome, load));
    assert_eq!(first - second, memory_cycles);
    second
}

#[test]
fn a_tensor_copy_takes_about_170_cycles_more_than_a_load() {
    // arXiv 2402.13499. The load of one word that misses: Table 2's 32 and memory, see `sm.rs`.
    for memory_cycles in [200, 500] {
        assert_eq!(copy_latency(memory_cycles) - (32 + memory_cycles + 1), 170);
    }
}

#[test]
fn the_engine_walks_a_line_a_cycle_and_copies_in_order() {
    let lines = [
        EXCHANGE,
        "B-1----:R-:W-:-:S02  SYNCS.ARRIVE.TRANS64 RZ, [UR4], R0",
        "B------:R2:W-:-:S12  UTMALDG.2D [UR8], [UR10]",
        CHECK,
        "B0-----:R-:W-:-:S01  NOP",
        "B------:R-:W-:-:S05  EXIT",
    ];
    let text = program(&lines);
    let order: Vec<u32> = (0..lines.len() as u32).collect();
    let cycles = |rows: u32, inside: u32| {
        let mut stream = synthetic_stream(&text.instructions, &order, &[0]);
        let line = stream.lines[stream.bulk[0].first_line as usize];
        stream.bulk[0].first_line = stream.lines.len() as u32;
        stream.lines.extend(std::iter::repeat_n(line, inside as usize));
        (stream.bulk[0].line_count, stream.bulk[0].line_cycles, stream.bulk[0].bytes) = (inside, rows, 128 * rows);
        for (_, what) in &mut stream.mbarriers {
            if let MbarrierUse::Arrive { bytes, .. } = what {
                *bytes = 128 * i64::from(rows);
            }
        }
        let outcome = run(&text, stream, vec![0]);
        assert_eq!(outcome.counters.memory_requests, u64::from(inside) + 1);
        issue(&text, &outcome, 4)
    };
    assert_eq!(cycles(64, 64) - cycles(1, 1), 63);
    // Rows outside the tensor are walked, but no memory is asked.
    assert_eq!(cycles(256, 1) - cycles(1, 1), 255 - 200);
}

#[test]
fn a_flush_falls_when_the_sources_of_earlier_stores_have_been_read() {
    let text = program(&[
        "B------:R1:W-:-:S02  UTMASTG.2D [UR8], [UR10]",
        "B------:R0:W-:-:S04  UTMACMDFLUSH",
        "B------:R-:W-:Y:S04  DEPBAR.LE SB0, 0x0",
        "B------:R-:W-:-:S01  NOP",
        "B------:R-:W-:-:S05  EXIT",
    ]);
    let at = |memory_cycles: u64| {
        let outcome = Bench { memory_cycles, ..bench() }.run(&text).unwrap();
        assert!(outcome.finished);
        issue(&text, &outcome, 3)
    };
    // Memory is waited for once, for the tensor map; not for the store.
    assert_eq!(at(500) - at(200), 300);
}
