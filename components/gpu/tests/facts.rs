//! What an SM states of itself agrees with what it counts, and with the published pipeline.

mod common;

use gpu::sm::bench::{Bench, Caches, Outcome, Program};
use gpu::sm::{Dynamic, KernelTiming, REASONS, Reason, SmCounters, SmFact, Stage};
use std::collections::BTreeMap;
use std::sync::Arc;
use workloads::sass::catalog;
use workloads::sass::exec::Grid;
use workloads::stream::CtaStream;

const SUBCORES: usize = 4;

/// Shipped launches that can be recorded for GH100.
fn recorded() -> impl Iterator<Item = String> {
    let names = catalog::launch_names().into_iter().filter(|name| !catalog::AT_ISSUE.contains(&name.as_str()));
    names.filter(|name| catalog::runs_on(&catalog::launch(name).unwrap().kernel, "sm_90"))
}

/// First CTA of a shipped kernel on a cold SM.
fn shipped(name: &str) -> Outcome {
    let spec = common::parameters("gh100");
    let launch = catalog::launch(name).unwrap();
    let kernel = catalog::kernel(&launch.kernel, "sm_90").unwrap();
    let timing = Arc::new(KernelTiming::new(name, &kernel.instructions, &spec).unwrap());
    let mut stream = CtaStream::default();
    Grid::new(&kernel, &launch).unwrap().run_cta(0, &mut stream).unwrap();
    let warps = (0..stream.warps.len() as u16).collect();
    let bench = Bench { caches: Caches::Cold, warps, keep_facts: true, check_hazards: false, ..Bench::new(spec) };
    bench.run_stream(timing, stream)
}

/// The stages of each instruction in the order in which they were stated.
fn stages(outcome: &Outcome) -> BTreeMap<Dynamic, Vec<(Stage, u64)>> {
    let mut stages: BTreeMap<Dynamic, Vec<(Stage, u64)>> = BTreeMap::new();
    for (now, fact) in &outcome.facts {
        match *fact {
            SmFact::Fetched { instruction, buffered, .. } => {
                stages.entry(instruction).or_default().extend([(Stage::Fetch, *now), (Stage::Buffer, buffered)]);
            }
            SmFact::Issued(issued) => {
                let at = stages.entry(issued.instruction).or_default();
                at.extend([(Stage::Issue, issued.cycle), (Stage::Control, issued.cycle + 1)]);
            }
            SmFact::Stage { instruction, stage, cycle } => {
                let at = stages.entry(instruction).or_default();
                // A write that waits for its port is stated again every cycle.
                if at.last().map(|last| last.0) != Some(stage) {
                    at.push((stage, cycle));
                }
            }
            _ => {}
        }
    }
    stages
}

#[test]
fn every_instruction_goes_through_its_stages_once_and_is_done() {
    for name in recorded() {
        let outcome = shipped(&name);
        let stages = stages(&outcome);
        assert_eq!(stages.len() as u64, outcome.counters.instructions_issued, "{name}");
        for (instruction, stages) in stages {
            let text = format!("{name} {instruction:?} {stages:?}");
            assert!(stages.is_sorted_by(|a, b| a.1 <= b.1), "{text}");
            for stage in [Stage::Fetch, Stage::Issue, Stage::Done] {
                assert_eq!(stages.iter().filter(|at| at.0 == stage).count(), 1, "{stage:?}: {text}");
            }
            assert_eq!(stages.first().map(|at| at.0), Some(Stage::Fetch), "{text}");
            assert_eq!(stages.last().map(|at| at.0), Some(Stage::Done), "{text}");
        }
    }
}

/// Sub-core-cycles by reason, from what was stated.
fn charged(outcome: &Outcome) -> [u64; REASONS] {
    let mut cycles = [0; REASONS];
    let mut now = [(0, Reason::NoWarp); SUBCORES];
    let end = outcome.counters.cycles;
    for (at, fact) in &outcome.facts {
        if let SmFact::Charged { subcore, reason } = *fact {
            let (since, before) = std::mem::replace(&mut now[usize::from(subcore)], (*at, reason));
            cycles[before as usize] += at - since;
        }
    }
    for (since, reason) in now {
        cycles[reason as usize] += end - since;
    }
    cycles
}

#[test]
fn statements_sum_to_the_counters() {
    for name in recorded() {
        let outcome = shipped(&name);
        let counters = &outcome.counters;
        assert_eq!(charged(&outcome), counters.subcore_cycles, "{name}");
        let mut stated = SmCounters {
            cycles: counters.cycles,
            ctas_done: counters.ctas_done,
            memory_instructions: counters.memory_instructions,
            shared_passes: counters.shared_passes,
            l1i_hits: counters.l1i_hits,
            l1i_misses: counters.l1i_misses,
            busy_cycles: counters.busy_cycles,
            subcore_cycles: counters.subcore_cycles,
            ..SmCounters::default()
        };
        let mut answered = 0;
        for (_, fact) in &outcome.facts {
            match *fact {
                SmFact::Issued(_) => stated.instructions_issued += 1,
                SmFact::L1Lookup { hits, misses } => {
                    stated.l1_sector_hits += u64::from(hits);
                    stated.l1_sector_misses += u64::from(misses);
                }
                SmFact::Sent { read_bytes, written_bytes } => {
                    stated.memory_requests += 1;
                    stated.bytes_read += u64::from(read_bytes);
                    stated.bytes_written += u64::from(written_bytes);
                }
                SmFact::Answered => answered += 1,
                _ => {}
            }
        }
        assert_eq!(&stated, counters, "{name}");
        assert!(answered <= counters.memory_requests, "{name}");
    }
}

/// A cycle without issue is charged to what one of the heads waits for; without a head, to the absence of one.
#[test]
fn a_sub_core_waits_for_what_one_of_its_heads_waits_for() {
    for name in recorded() {
        let outcome = shipped(&name);
        let mut heads: BTreeMap<u16, Option<Reason>> = BTreeMap::new();
        let mut charged = [Reason::NoWarp; SUBCORES];
        let mut facts = outcome.facts.iter().peekable();
        while let Some((now, fact)) = facts.next() {
            match *fact {
                SmFact::Issued(issued) => {
                    heads.remove(&issued.instruction.warp);
                }
                SmFact::Waits { instruction, why, .. } => {
                    heads.insert(instruction.warp, why);
                }
                SmFact::Charged { subcore, reason } => charged[usize::from(subcore)] = reason,
                _ => {}
            }
            if facts.peek().is_some_and(|(next, _)| next == now) {
                continue;
            }
            for (subcore, reason) in charged.into_iter().enumerate() {
                let of = || heads.iter().filter(|(warp, _)| usize::from(**warp) % SUBCORES == subcore);
                let text = format!("{name}: sub-core {subcore} at cycle {now}: {reason:?}, {heads:?}");
                match reason {
                    Reason::Issued => {}
                    Reason::NoWarp | Reason::Draining => assert_eq!(of().count(), 0, "{text}"),
                    reason => {
                        assert!(of().any(|(_, why)| *why == Some(reason)), "{text}");
                        assert!(of().all(|(_, why)| why.is_some()), "nobody is ready: {text}");
                    }
                }
            }
        }
    }
}

fn stages_of(lines: &[&str], line: u32) -> Vec<(Stage, u64)> {
    let program = Program::new(lines).unwrap();
    let outcome = Bench { keep_facts: true, ..Bench::new(common::parameters("ga102")) }.run(&program).unwrap();
    let stages = stages(&outcome).remove(&Dynamic { warp: 0, position: line }).unwrap();
    let issue = stages.iter().find(|at| at.0 == Stage::Issue).unwrap().1;
    stages.into_iter().filter(|at| at.1 >= issue).map(|(stage, cycle)| (stage, cycle - issue)).collect()
}

/// arXiv 2503.20481, Figure 2 and section 5: issue, Control, Allocate, three cycles of reads, four of an FFMA.
#[test]
fn a_fixed_latency_instruction_without_conflicts() {
    let stages = stages_of(&["B------:R-:W-:-:S04  FFMA R4, R2, R3, R5", "B------:R-:W-:-:S05  EXIT"], 0);
    let expected = [
        (Stage::Issue, 0),
        (Stage::Control, 1),
        (Stage::Allocate, 2),
        (Stage::OperandRead, 3),
        (Stage::Execute, 6),
        (Stage::ResultQueue, 10),
        (Stage::WriteBack, 10),
        (Stage::Done, 11),
    ];
    assert_eq!(stages, expected);
}

/// Table 2 of the same paper: a global load of 32 bits that hits releases its result 32 cycles after issue.
#[test]
fn a_load_that_hits() {
    let stages = stages_of(&["B------:R-:W0:-:S02  LDG.E R4, [R2.64]", "B0-----:R-:W-:-:S05  EXIT"], 0);
    let expected = [
        (Stage::Issue, 0),
        (Stage::Control, 1),
        (Stage::MemoryQueue, 2),
        (Stage::AddressUnit, 6),
        (Stage::L1, 10),
        (Stage::WriteBack, 31),
        (Stage::Done, 32),
    ];
    assert_eq!(stages, expected);
}

#[test]
fn the_producer_that_releases_a_head_is_named() {
    let program = Program::new(&[
        "B------:R-:W0:-:S02  LDG.E R4, [R2.64]",
        "B------:R-:W1:-:S02  LDS R5, [R3]",
        "B01----:R-:W-:-:S04  FADD R6, R4, R5",
        "B------:R-:W-:-:S05  EXIT",
    ])
    .unwrap();
    let outcome = Bench { keep_facts: true, ..Bench::new(common::parameters("ga102")) }.run(&program).unwrap();
    let released: Vec<_> = outcome.facts.iter().filter(|(_, fact)| matches!(fact, SmFact::Released { .. })).collect();
    // The LDS comes back after 23 cycles, the LDG after 32.
    let head = Dynamic { warp: 0, position: 2 };
    let issue = outcome.issues[0][2].cycle;
    assert_eq!(released, [&(issue, SmFact::Released { instruction: head, by: 0 })]);
}
