//! Streams side by side: how long they take, who goes first, what they compute, and that no plan changes any of it.

mod common;

use common::machine_file;
use machine::gpu::{GpuError, GpuResult, GpuShape, GpuSimulation};
use proptest::prelude::*;
use sim_core::Plan;
use workloads::sass::exec::Values;
use workloads::sass::{Launch, catalog, program};

/// The launches that a line names, as the command line reads it.
fn launches(text: &str) -> Vec<Launch> {
    let steps = program::parse(text).unwrap().into_iter().map(|step| {
        let launch = catalog::launch(&step.launch).unwrap().in_stream(step.stream);
        step.changes.iter().fold(launch, |launch, (key, value)| launch.with(key, value).unwrap())
    });
    steps.collect()
}

fn simulation(
    machine: &str,
    sets: &[&str],
    text: &str,
    shards: usize,
    values: Values,
) -> Result<GpuSimulation, GpuError> {
    let file = machine_file(machine, sets);
    let arch = GpuShape::of(&file).unwrap().sm.arch;
    let launches = launches(text);
    let kernels: Vec<_> = launches.iter().map(|launch| catalog::kernel(&launch.kernel, &arch).unwrap()).collect();
    let program: Vec<_> = kernels.iter().zip(&launches).collect();
    GpuSimulation::of_launches(&file, &program, Plan { shards, ..Plan::serial() }, values)
}

fn run(machine: &str, sets: &[&str], text: &str) -> GpuResult {
    simulation(machine, sets, text, 1, Values::Ahead).unwrap().run(&mut |_| {}).unwrap()
}

/// Begin and end of a launch, from 1.
fn times(result: &GpuResult, launch: usize) -> (u64, u64) {
    let of = |key: &str| result.stats.value(&format!("cp.launch.{launch}.{key}")).unwrap();
    (of("begin"), of("end"))
}

const OTHER: &str = "memory.in=other,memory.out=result";

/// 57 blocks on 114 SMs, twice. In one stream the times add up. In two, the CTAs of the second are given out when those of the
/// first are, a CTA each 1.178 cycles, and find the other half of the SMs: together they take as long as one and those 68 cycles,
/// where the memory, of fixed latency, is not what limits either.
#[test]
fn two_halves_of_the_machine_take_the_time_of_the_longer() {
    let half = "softmax(grid=57)";
    let alone = run("h100-pcie-ideal", &[], half).cycles;
    let in_turn = run("h100-pcie-ideal", &[], &format!("{half} + softmax(grid=57,{OTHER})"));
    assert_eq!(times(&in_turn, 1), (0, alone));
    assert_eq!(times(&in_turn, 2), (alone, in_turn.cycles));
    // What the second finds in the instruction caches is all that it saves.
    assert!((alone * 9 / 5..=2 * alone).contains(&in_turn.cycles), "{} of {alone}", in_turn.cycles);
    let side_by_side = run("h100-pcie-ideal", &[], &format!("{half} | softmax(grid=57,{OTHER})"));
    assert_eq!(times(&side_by_side, 1), (0, alone));
    assert_eq!(times(&side_by_side, 2), (0, side_by_side.cycles));
    let given_out = (57.0f64 * 1.178).ceil() as u64;
    assert!((alone..=alone + given_out).contains(&side_by_side.cycles), "{} of {alone}", side_by_side.cycles);
}

/// One place: the grid that begins first gives out all its CTAs before the other gets one, even if that would fit.
#[test]
fn the_oldest_grid_goes_first() {
    let one_place = ["part.sm.count=1", "part.sm.limits.ctas=1"];
    let run = |text: &str| run("h100-pcie-ideal", &one_place, text);
    let alone = run("softmax").cycles;
    let large_first = run(&format!("softmax | softmax(grid=1,{OTHER})"));
    assert_eq!(times(&large_first, 1), (0, alone));
    assert!(times(&large_first, 2).1 > alone);
    let small_first = run(&format!("softmax(grid=1,{OTHER}) | softmax"));
    assert!(times(&small_first, 1).1 < alone / 10 && times(&small_first, 2).1 > alone);
    // The second of the first stream begins after the second stream, and waits for it.
    let behind = run(&format!("softmax(grid=1,{OTHER}) + softmax(grid=1,{OTHER}) | softmax"));
    assert!(times(&behind, 2).0 == times(&behind, 1).1 && times(&behind, 2).1 > times(&behind, 3).1);
}

/// As many grids reside as the machine allows; others wait for one to end.
#[test]
fn grids_wait_for_a_slot() {
    let three = format!("softmax(grid=4) | softmax(grid=4,{OTHER}) | saxpy");
    let result = run("h100-pcie-ideal", &["part.cp.resident_grids=2"], &three);
    let first_end = times(&result, 1).1.min(times(&result, 2).1);
    assert_eq!((times(&result, 1).0, times(&result, 2).0, times(&result, 3).0), (0, 0, first_end));
    let result = run("h100-pcie-ideal", &[], &three);
    assert_eq!(times(&result, 3).0, 0);
}

/// L1 data cache and shared memory are divided for who comes to an empty SM. A kernel that wants more shared memory than was set
/// aside does not join: it waits until the SM is empty.
#[test]
fn a_carve_out_is_changed_on_an_empty_sm_only() {
    let run = |text: &str| run("h100-pcie-ideal", &["part.sm.count=1"], text);
    // A CTA of the first takes 2 KiB, of which the system has 1, and eight reside: 16 KiB are set aside. One of the second takes 20.
    let (small, large) = ("saxpy(grid=1,arg.n=20000)", "sgemm-async(grid=1)");
    let (small_alone, large_alone) = (run(small).cycles, run(large).cycles);
    let in_turn = run(&format!("{small} | {large}"));
    assert_eq!(times(&in_turn, 1), (0, small_alone));
    assert!(in_turn.stats.value("cp.last_dispatch").unwrap() >= small_alone, "{:?}", times(&in_turn, 2));
    let together = run(&format!("{large} | {small}"));
    assert!(together.cycles < small_alone + large_alone - 10_000, "{}", together.cycles);
    assert!(times(&together, 2).1 < times(&together, 1).1);
}

/// Kernels that differ in registers, warps, shared memory and what they do to memory; with their own buffers. The SM refuses a
/// CTA without room by a panic, so that a run to the end is a run within the limits.
const CROWD: &str = "histogram | softmax + saxpy | transpose(memory.in=ti,memory.out=to) | spill(memory.in=si,memory.out=so) | sgemm(grid=4x4)";

#[test]
fn a_crowd_stays_within_the_limits_and_every_cta_runs_once() {
    for machine in ["h100-pcie", "rtx-3070"] {
        let result = run(machine, &["part.sm.count=3"], CROWD);
        let ctas: u64 = launches(CROWD).iter().map(Launch::blocks).sum();
        assert_eq!(result.stats.value("cp.ctas"), Some(ctas), "{machine}");
        assert_eq!(result.stats.value("sm.ctas_done"), Some(ctas), "{machine}");
        assert_eq!(result.stats.value("sm.instructions_issued"), Some(result.executed.warp_instructions), "{machine}");
        let breakdown = result.stats.breakdown_at("sm.subcore_cycles").unwrap();
        assert_eq!(breakdown.total, 4 * 3 * result.cycles, "{machine}");
    }
}

/// What a program computes does not depend on whether its launches run in turn or side by side, as long as they do not race.
#[test]
fn streams_compute_what_their_launches_compute() {
    let memory = |text: &str| {
        let mut simulation = simulation("rtx-3070", &["part.sm.count=3"], text, 1, Values::Ahead).unwrap();
        simulation.advance(None, &mut |_| {}).unwrap();
        simulation.store().with_grid(|grid| grid.memory().buffers().to_vec()).unwrap()
    };
    let in_turn = memory(&CROWD.replace('|', "+"));
    assert!(in_turn.len() >= 10);
    assert_eq!(memory(CROWD), in_turn);
}

#[test]
fn values_at_issue_are_of_one_stream() {
    let refused = simulation("rtx-3070", &[], "saxpy | histogram", 1, Values::AtIssue).err().unwrap();
    assert!(refused.to_string().contains("one stream"), "{refused}");
    // Two shards do not run ahead of each other by more than a link; the overhead has to be longer.
    let short = ["part.cp.launch_overhead_cycles=20"];
    let refused = simulation("h100-pcie", &short, "saxpy | histogram", 2, Values::Ahead).err().unwrap();
    assert!(refused.to_string().contains("launch_overhead_cycles = 20 is too short"), "{refused}");
    assert!(simulation("h100-pcie", &short, "saxpy | histogram", 1, Values::Ahead).is_ok());
}

/// All of a result that may not depend on the plan.
fn shown(text: &str, shards: usize) -> String {
    let simulation = simulation("h100-pcie", &["part.sm.count=6"], text, shards, Values::Ahead).unwrap();
    let GpuResult { cycles, time, stats, executed, digest, .. } = simulation.run(&mut |_| {}).unwrap();
    format!("{cycles} {time} {executed:?} {digest} {:?}", stats.children())
}

/// With L2 and DRAM, and with buffers that the host copies while another stream runs.
#[test]
fn shards_do_not_change_the_result() {
    let text = "softmax(grid=20) + saxpy + transpose(memory.in=ti,memory.out=to) | histogram(grid=40) + vectoradd";
    let reference = shown(text, 1);
    for shards in [2, 3] {
        assert_eq!(shown(text, shards), reference, "{shards} shards");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 6, ..ProptestConfig::default() })]

    /// Any division of a few launches among streams: every CTA once, no launch before its stream's last, the same for two shards.
    #[test]
    fn any_division_into_streams_runs_to_its_end(streams in prop::collection::vec(0u32..4, 5)) {
        let kernels = ["softmax(grid=9)", "saxpy(grid=30)", "histogram(grid=7)", "transpose(memory.in=ti,memory.out=to)", "vectoradd"];
        let mut lines = vec![Vec::new(); 4];
        streams.iter().zip(kernels).for_each(|(&stream, kernel)| lines[stream as usize].push(kernel));
        let lines: Vec<String> = lines.iter().filter(|line| !line.is_empty()).map(|line| line.join(" + ")).collect();
        let text = lines.join(" | ");
        let result = run("h100-pcie", &["part.sm.count=6"], &text);
        let launches = launches(&text);
        prop_assert_eq!(result.stats.value("sm.ctas_done"), Some(launches.iter().map(Launch::blocks).sum()));
        for (before, own) in (1..launches.len()).map(|at| (at, at + 1)) {
            if launches[before - 1].stream == launches[own - 1].stream {
                prop_assert_eq!(times(&result, own).0, times(&result, before).1);
            } else {
                prop_assert_eq!(times(&result, own).0, 0);
            }
        }
        prop_assert_eq!(shown(&text, 2), shown(&text, 1));
    }
}
