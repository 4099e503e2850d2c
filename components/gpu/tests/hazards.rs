//! The hazard check over every shipped listing: it finds nothing, and it finds any tight stall that is shortened by one.

mod common;

use common::{SETS, coin};
use gpu::sm::bench::{Bench, Outcome, random_walk, synthetic_stream};
use gpu::sm::{KernelTiming, SmSpec};
use std::sync::Arc;
use workloads::sass::exec::Grid;
use workloads::sass::{Instruction, catalog};
use workloads::stream::CtaStream;

fn kernels(mut with: impl FnMut(&str, &SmSpec, &workloads::sass::Kernel, &workloads::sass::Launch)) {
    for (arch, set) in SETS {
        let spec = common::parameters(set);
        assert_eq!(spec.arch, arch);
        for name in catalog::launch_names() {
            // Recorded streams only: those need values at issue.
            if catalog::AT_ISSUE.contains(&name.as_str()) {
                continue;
            }
            let launch = catalog::launch(&name).unwrap();
            if !catalog::runs_on(&launch.kernel, arch) {
                continue;
            }
            let kernel = catalog::kernel(&launch.kernel, arch).unwrap();
            with(&format!("{name} on {arch}"), &spec, &kernel, &launch);
        }
    }
}

fn timing(spec: &SmSpec, instructions: &[Instruction]) -> Arc<KernelTiming> {
    Arc::new(KernelTiming::new("kernel", instructions, spec).unwrap_or_else(|error| panic!("{error}")))
}

fn complaints(outcome: &Outcome, timing: &KernelTiming) -> Vec<String> {
    let mut all: Vec<String> = outcome.hazards.iter().map(|hazard| timing.describe(hazard)).collect();
    all.sort();
    all.dedup();
    all
}

#[test]
fn no_shipped_kernel_has_a_hazard_when_it_runs() {
    let mut ran = 0;
    let mut found: Vec<String> = Vec::new();
    kernels(|name, spec, kernel, launch| {
        let timing = timing(spec, &kernel.instructions);
        let mut grid = Grid::new(kernel, launch).unwrap();
        for cta in [0, grid.cta_count() as u32 - 1] {
            let mut stream = CtaStream::default();
            grid.run_cta(cta, &mut stream).unwrap();
            let slots = (0..stream.warps.len() as u16).collect();
            let bench = Bench { warps: slots, ..Bench::new(spec.clone()) };
            let outcome = bench.run_stream(timing.clone(), stream);
            assert!(outcome.finished, "{name}: {:?}", outcome.counters);
            found.extend(complaints(&outcome, &timing).into_iter().map(|text| format!("{name}: {text}")));
            ran += 1;
        }
    });
    assert!(found.is_empty(), "{}", found.join("\n"));
    assert!(ran >= 140, "{ran}");
}

fn walk(spec: &SmSpec, instructions: &[Instruction], path: &[u32]) -> (Outcome, Arc<KernelTiming>) {
    let timing = timing(spec, instructions);
    let stream = synthetic_stream(instructions, path, &[0]);
    (Bench::new(spec.clone()).run_stream(timing.clone(), stream), timing)
}

/// Issue distance from the last `producer` before each `consumer`, the smallest.
fn distance(outcome: &Outcome, producer: u32, consumer: u32) -> Option<u64> {
    let mut last = None;
    let mut smallest: Option<u64> = None;
    for issue in &outcome.issues[0] {
        if issue.index == consumer
            && let Some(last) = last
        {
            let distance = issue.cycle - last;
            smallest = Some(smallest.map_or(distance, |smallest| smallest.min(distance)));
        }
        if issue.index == producer {
            last = Some(issue.cycle);
        }
    }
    smallest
}

#[test]
fn a_tight_stall_that_is_one_shorter_is_found() {
    let (mut shortened, mut held_up) = (0, 0);
    kernels(|name, spec, kernel, _| {
        for seed in 1..=3 {
            let path = random_walk(&kernel.instructions, 300, coin(seed));
            let (baseline, timing) = walk(spec, &kernel.instructions, &path);
            assert_eq!(complaints(&baseline, &timing), Vec::<String>::new(), "{name}, walk {seed}");
            for &(producer, consumer) in &baseline.tight_pairs {
                // Straight-line code between the two, whose stalls make up the distance.
                let between = producer..consumer;
                let Some(at) = between.rev().find(|&at| kernel.instructions[at as usize].control.stall >= 2) else {
                    continue;
                };
                let mut changed = kernel.instructions.clone();
                changed[at as usize].control.stall -= 1;
                let (outcome, timing) = walk(spec, &changed, &path);
                let before = distance(&baseline, producer, consumer);
                if distance(&outcome, producer, consumer) >= before {
                    // Something else keeps them apart: an initiation interval, a counter.
                    held_up += 1;
                    continue;
                }
                shortened += 1;
                let fired =
                    outcome.hazards.iter().any(|hazard| (hazard.producer, hazard.consumer) == (producer, consumer));
                let texts = |at: u32| &timing.texts[at as usize];
                assert!(fired, "{name}: `{}` then `{}` went unnoticed", texts(producer), texts(consumer));
            }
        }
    });
    assert!(shortened > 1000, "{shortened} stalls were shortened, {held_up} held up by something else");
}

#[test]
fn an_opcode_that_the_chip_lacks_is_refused_by_name() {
    let program = gpu::sm::bench::Program::new(&["B------:R-:W-:-:S01  HFMA2.MMA R0, -RZ, RZ, 0, 0"]).unwrap();
    let error = Bench::new(common::parameters("ga102")).run(&program).unwrap_err().to_string();
    assert!(error.contains("sm_86 has no pipe for HFMA2.MMA") && error.contains("line 1"), "{error}");
}
