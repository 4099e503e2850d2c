//! A scoreboard in the place of control bits, and register banks with more ports: what the rules of arXiv 2503.20481 sections
//! 5.3 and 7.5 give with its tables, by hand; and that no instruction comes too early whatever the code says.

mod common;

use gpu::sm::bench::{Bench, Caches, Metrics, Outcome, Program, ProgramFile};
use gpu::sm::spec::{Dependences, ReuseCache};
use gpu::sm::{KernelTiming, Reason, SmSpec};
use std::sync::Arc;
use workloads::sass::exec::Grid;
use workloads::sass::{Control, catalog};
use workloads::stream::CtaStream;

fn scoreboard(consumers: Option<u16>) -> SmSpec {
    let mut spec = common::parameters("ga102");
    spec.issue.dependences = Dependences::Scoreboard { consumers, write_after_read: true, clear_delay_cycles: 0 };
    spec
}

/// Cycles from the issue of the first of these lines, which say nothing of dependences, to each of them.
fn issues(spec: SmSpec, lines: &[&str]) -> Vec<u64> {
    let mut text: Vec<String> = lines.iter().map(|line| format!("B------:R-:W-:-:S01  {line}")).collect();
    text.push("B------:R-:W-:-:S01  EXIT".to_owned());
    let program = Program::new(&text).unwrap();
    let outcome = Bench::new(spec).run(&program).unwrap();
    assert_eq!(outcome.hazards, [], "{lines:?}");
    let issue = |line: usize| Metrics { program: &program, outcome: &outcome }.get(&format!("issue_{line}")).unwrap();
    (0..lines.len()).map(|line| (issue(line) - issue(0)) as u64).collect()
}

#[test]
fn a_result_of_fixed_latency_is_waited_for_as_the_table_says() {
    let distance = |producer: &str, consumer: &str| issues(scoreboard(None), &[producer, consumer])[1];
    // Within a pipe 4, across 5; a guard 13.
    assert_eq!(distance("FADD R1, R2, R3", "FFMA R5, R1, R1, R1"), 4);
    assert_eq!(distance("IADD3 R1, R2, R3, R4", "FFMA R5, R1, R1, R1"), 5);
    assert_eq!(distance("FADD R1, R2, R3", "LDG.E R4, [R1]"), 5);
    assert_eq!(distance("ISETP.GT.AND P0, PT, R2, R3, PT", "@P0 IADD3 R5, R6, R7, R8"), 13);
    // Overwritten: from when the first reader could have had it.
    assert_eq!(distance("IADD3 R1, R2, R3, R4", "FFMA R1, R5, R6, R7"), 4);
    // Sources of fixed-latency instructions are read before any later result is written.
    assert_eq!(distance("FADD R1, R2, R3", "FFMA R2, R5, R6, R7"), 1);
}

#[test]
fn a_bit_that_falls_later_delays_every_reader_of_a_fixed_latency() {
    let mut spec = scoreboard(None);
    spec.issue.dependences = Dependences::Scoreboard { consumers: None, write_after_read: true, clear_delay_cycles: 2 };
    assert_eq!(issues(spec.clone(), &["FADD R1, R2, R3", "FFMA R5, R1, R1, R1", "FADD R6, R5, R5"]), [0, 6, 12]);
    assert_eq!(issues(spec, &["LDG.E R4, [R2.64]", "FADD R8, R4, R6"])[1], 32, "others fall when the result is there");
}

#[test]
fn a_load_holds_its_result_and_its_sources_as_long_as_table_2_says() {
    let distance = |second: &str| issues(scoreboard(None), &["LDG.E R4, [R2.64]", second])[1];
    assert_eq!(distance("FADD R8, R4, R6"), 32, "read after write");
    assert_eq!(distance("MOV R4, R6"), 32, "write after write");
    for register in ["R2", "R3"] {
        assert_eq!(distance(&format!("MOV {register}, R6")), 11, "write after read of the address");
    }
    assert_eq!(distance("FADD R8, R2, R3"), 1, "reading beside a reader");
    let mut spec = scoreboard(None);
    spec.issue.dependences =
        Dependences::Scoreboard { consumers: None, write_after_read: false, clear_delay_cycles: 0 };
    let lines = ["LDG.E R4, [R2.64]", "MOV R2, R6"];
    assert_eq!(issues(spec, &lines)[1], 1, "readers are not counted");
}

#[test]
fn a_register_has_as_many_readers_as_can_be_counted() {
    let loads = ["LDG.E R4, [R2.64]", "LDG.E R5, [R2.64]", "LDG.E R6, [R2.64]", "LDG.E R7, [R2.64]"];
    // Sources are read 11 after issue; the sub-core is accepted from every fourth cycle, so the next ones at 15.
    assert_eq!(issues(scoreboard(None), &loads), [0, 1, 2, 3]);
    assert_eq!(issues(scoreboard(Some(63)), &loads), [0, 1, 2, 3]);
    assert_eq!(issues(scoreboard(Some(3)), &loads), [0, 1, 2, 11]);
    assert_eq!(issues(scoreboard(Some(1)), &loads), [0, 11, 22, 33]);
    // Others may read beside them: only who reads late is counted.
    let mixed = ["LDG.E R4, [R2.64]", "FADD R8, R2, R3", "FADD R9, R2, R3"];
    assert_eq!(issues(scoreboard(Some(1)), &mixed), [0, 1, 2]);
}

#[test]
fn control_bits_are_not_looked_at() {
    let program = Program::new(&[
        "B------:R-:W0:Y:S15  LDG.E R4, [R2.64]",
        "B0-----:R-:W-:Y:S00  FADD R8, R5, R6",
        "B0-----:R-:W-:-:S01  NOP",
        "B------:R-:W-:-:S01  EXIT",
    ])
    .unwrap();
    let outcome = Bench::new(scoreboard(None)).run(&program).unwrap();
    let cycles: Vec<u64> = outcome.issues[0].iter().map(|issue| issue.cycle).collect();
    assert_eq!([cycles[1] - cycles[0], cycles[2] - cycles[0]], [1, 2]);
}

#[test]
fn groups_of_copies_keep_their_counters() {
    // As with control bits: the copy is over 39 cycles after issue (Table 2).
    let lines = ["LDGSTS.E [R12], [R4.64]", "LDGDEPBAR", "DEPBAR.LE SB0, 0x0", "NOP"];
    let mut text: Vec<String> = lines.iter().map(|line| format!("B------:R-:W-:-:S01  {line}")).collect();
    text[1] = "B------:R-:W0:-:S01  LDGDEPBAR".to_owned();
    text.push("B------:R-:W-:-:S01  EXIT".to_owned());
    let program = Program::new(&text).unwrap();
    let outcome = Bench::new(scoreboard(None)).run(&program).unwrap();
    let issue = |line: usize| outcome.issues[0][line].cycle;
    assert_eq!(issue(3) - issue(0), 39);
}

#[test]
fn code_without_any_control_bits_reads_nothing_too_early() {
    let programs: ProgramFile = toml::from_str(&common::suite("programs.toml")).unwrap();
    let mut ran = 0;
    for program in &programs.program {
        for set in &program.parameters {
            let mut spec = common::parameters(set);
            spec.issue.dependences =
                Dependences::Scoreboard { consumers: Some(63), write_after_read: true, clear_delay_cycles: 0 };
            let (_, outcome) = program.run(&spec).unwrap();
            assert!(outcome.finished, "{} on {set}", program.id);
            assert_eq!(outcome.hazards, [], "{} on {set}", program.id);
            ran += 1;
        }
    }
    assert!(ran > 100);
}

/// First CTA of a shipped kernel on a cold SM, its control fields taken out but for the groups of copies.
fn shipped(name: &str, every_cycle: bool, consumers: u16) -> Outcome {
    let mut spec = common::parameters("gh100");
    spec.issue.dependences =
        Dependences::Scoreboard { consumers: Some(consumers), write_after_read: true, clear_delay_cycles: 0 };
    let launch = catalog::launch(name).unwrap();
    let mut kernel = catalog::kernel(&launch.kernel, "sm_90").unwrap();
    let mut stream = CtaStream::default();
    Grid::new(&kernel, &launch).unwrap().run_cta(0, &mut stream).unwrap();
    for instruction in &mut kernel.instructions {
        if !matches!(instruction.mnemonic.as_str(), "LDGDEPBAR" | "UTMACMDFLUSH") {
            let reuse = instruction.control.reuse;
            instruction.control = Control { reuse, ..Control::default() };
        }
    }
    let timing = Arc::new(KernelTiming::new(name, &kernel.instructions, &spec).unwrap());
    let warps = (0..stream.warps.len() as u16).collect();
    let caches = Caches::Cold;
    Bench { caches, warps, every_cycle, check_hazards: !every_cycle, ..Bench::new(spec) }.run_stream(timing, stream)
}

#[test]
fn shipped_kernels_run_without_their_control_bits() {
    for name in catalog::launch_names().into_iter().filter(|name| !catalog::AT_ISSUE.contains(&name.as_str())) {
        let (skipping, stepping) = (shipped(&name, false, 63), shipped(&name, true, 63));
        assert!(skipping.finished, "{name}");
        assert_eq!(skipping.issues, stepping.issues, "{name}");
        assert_eq!(skipping.counters, stepping.counters, "{name}");
        let counters = &skipping.counters;
        assert_eq!(counters.subcore_cycles.iter().sum::<u64>(), 4 * counters.cycles, "{name}");
        assert_eq!(counters.subcore_cycles[Reason::Issued as usize], counters.instructions_issued, "{name}");
        // Multiplies of warpgroups are waited for by their own barrier, which the check does not know.
        assert_eq!(skipping.hazards, [], "{name}");
        assert!(shipped(&name, false, 1).finished, "{name}");
    }
}

/// Cycles an instruction of an 8 × 8 outer product in registers, as a product of matrices has it in its inner loop: 64 sums
/// in both banks, one factor in each bank, the first kept for eight instructions.
fn outer_product(cache: ReuseCache) -> f64 {
    let mut spec = common::parameters("ga102");
    spec.register_file.reuse_cache = cache;
    let line = |at: usize| {
        let (i, j) = (at / 8, at % 8);
        let reuse = if j < 7 { ".reuse" } else { "" };
        format!("FFMA R{0}, R{1}{reuse}, R{2}, R{0}", 64 + at, 2 + 2 * i, 21 + 2 * j)
    };
    let lines: Vec<String> = (0..256).map(|at| line(at % 64)).collect();
    let cycles = issues(spec, &lines.iter().map(String::as_str).collect::<Vec<_>>());
    (cycles[192] - cycles[64]) as f64 / 128.0
}

#[test]
fn a_product_in_registers_needs_the_register_file_cache() {
    // With it, of eight instructions: the second factor eight times and four sums go through the port of bank 1, the first
    // factor once and four sums through that of bank 0: twelve cycles. Without it every instruction has two reads of one bank
    // and one of the other, which overlap those of the next. arXiv 2503.20481, Table 6: 1.28 (CUDA 11.4) and 1.45 (12.8) for CUTLASS.
    let (with, without) = (outer_product(ReuseCache::ReuseFlags), outer_product(ReuseCache::None));
    assert_eq!(without, 2.0);
    assert_eq!(with, 12.0 / 8.0);
}

/// Cycles between two of many instructions like this one.
fn interval(ports: u8, line: &str) -> f64 {
    let mut spec = common::parameters("ga102");
    spec.register_file.reuse_cache = ReuseCache::None;
    spec.register_file.read_ports_per_bank = ports;
    let lines = vec![line; 201];
    let cycles = issues(spec, &lines);
    (cycles[200] - cycles[100]) as f64 / 100.0
}

#[test]
fn more_read_ports_take_the_published_conflicts_away() {
    // One port: arXiv 2503.20481 section 5.3. More: reads of a bank divided by its ports.
    for (line, by_ports) in [
        ("FMUL R1, R2, R4", [2.0, 1.0, 1.0]),
        ("FMUL R1, R2, R5", [1.0, 1.0, 1.0]),
        ("FFMA R1, R2, R4, R6", [3.0, 2.0, 1.0]),
        ("FFMA R1, R2, R4, R7", [2.0, 1.0, 1.0]),
    ] {
        let found = [1, 2, 3].map(|ports| interval(ports, line));
        assert_eq!(found, by_ports, "{line}");
    }
}
