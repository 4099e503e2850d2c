//! A GPU that is saved and goes on in another machine gives the result of one that was not: whatever the kernel, the
//! cycle and the shards.

use machine::gpu::{GpuResult, GpuShape, GpuSimulation};
use proptest::prelude::*;
use sim_core::config::Document;
use sim_core::{Cycle, MachineFile, Plan, StopReason};
use workloads::sass::catalog;
use workloads::sass::exec::Values;

/// Kernels that differ in what is under way: streaming, barriers and shuffles, atomics on shared and global memory,
/// constants and transcendental functions, local memory.
const KERNELS: [&str; 6] = ["saxpy", "reduction", "histogram", "transpose", "softmax", "stencil2d"];

/// Blocks that wait for each other at a counter and for a message, clocks; barriers, atomics and shuffles as they come.
const AT_ISSUE: [&str; 5] = ["grid-barrier", "producer-consumer", "dependent-chain", "histogram", "softmax"];

/// The core of the chip, the same behind a scoreboard, and the older one.
const CORES: [(&str, &[&str]); 3] = [
    ("rtx-3070", &[]),
    ("rtx-3070", &["part.sm.issue.dependences={kind=\"scoreboard\", consumers=3}"]),
    ("rtx-a6000-accel-sim", &[]),
];

fn simulation(kernel: &str, shards: usize) -> GpuSimulation {
    with_core(CORES[0], kernel, shards)
}

fn with_core(core: (&str, &[&str]), kernel: &str, shards: usize) -> GpuSimulation {
    with_values(core, kernel, shards, Values::Ahead)
}

fn with_values((machine, sets): (&str, &[&str]), kernel: &str, shards: usize, values: Values) -> GpuSimulation {
    let path = format!("{}/../../configs/gpu/{machine}.toml", env!("CARGO_MANIFEST_DIR"));
    let sets: Vec<String> = ["part.sm.count=5"].iter().chain(sets).map(ToString::to_string).collect();
    let file = MachineFile::load(&path, &mut Document::from_disk, &sets).unwrap();
    let launch = catalog::launch(kernel).unwrap();
    let kernel = catalog::kernel(&launch.kernel, &GpuShape::of(&file).unwrap().sm.arch).unwrap();
    GpuSimulation::with_values(&file, &kernel, &launch, Plan { shards, ..Plan::serial() }, values).unwrap()
}

/// All of a result that may not depend on the plan or on having been saved.
fn shown(result: &GpuResult) -> String {
    let GpuResult { cycles, time, stats, executed, check, digest, .. } = result;
    format!("{cycles} {time} {executed:?} {check:?} {digest} {:?}", stats.children())
}

/// Saves at a cycle, goes on in another machine to the end.
fn in_two_pieces(kernel: &str, at: Cycle, mut first: GpuSimulation, mut second: GpuSimulation) -> String {
    let outcome = first.advance(Some(at), &mut |_| {}).unwrap();
    assert_eq!(outcome.reason, StopReason::TimeLimit, "{kernel} ends before {at}");
    let state = first.machine_mut().save();
    second.machine_mut().load(&state).unwrap();
    assert_eq!(second.machine_mut().digest(), first.machine_mut().digest(), "{kernel}: what was loaded");
    shown(&second.run(&mut |_| {}).unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 20, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_gpu_goes_on_where_it_was_saved(
        core in prop::sample::select(&CORES[..]), kernel in prop::sample::select(&KERNELS[..]), share in 0.0_f64..1.0, from in 1usize..4, to in 1usize..9,
    ) {
        let whole = with_core(core, kernel, 1).run(&mut |_| {}).unwrap();
        let at = Cycle(((whole.cycles - 1) as f64 * share) as u64);
        let pieces = in_two_pieces(kernel, at, with_core(core, kernel, from), with_core(core, kernel, to));
        prop_assert_eq!(pieces, shown(&whole), "{:?}, {} saved at {}", core, kernel, at);
    }

    #[test]
    fn a_gpu_whose_values_are_computed_at_issue_goes_on_where_it_was_saved(
        core in prop::sample::select(&CORES[..]), kernel in prop::sample::select(&AT_ISSUE[..]), share in 0.0_f64..1.0,
    ) {
        let simulation = || with_values(core, kernel, 1, Values::AtIssue);
        let whole = simulation().run(&mut |_| {}).unwrap();
        let at = Cycle(((whole.cycles - 1) as f64 * share) as u64);
        prop_assert_eq!(in_two_pieces(kernel, at, simulation(), simulation()), shown(&whole), "{:?}, {} saved at {}", core, kernel, at);
    }
}

/// Mbarriers, tensor copies and multiplies of warpgroups are under way at any time of this kernel.
#[test]
fn asynchronous_work_goes_on_where_it_was_saved() {
    for values in [Values::Ahead, Values::AtIssue] {
        let simulation = || with_values(("h100-pcie", &[]), "gemm-wgmma", 1, values);
        let whole = simulation().run(&mut |_| {}).unwrap();
        for percent in [15, 40, 65, 90] {
            let at = Cycle(whole.cycles * percent / 100);
            let pieces = in_two_pieces("gemm-wgmma", at, simulation(), simulation());
            assert_eq!(pieces, shown(&whole), "{values:?}, saved at {at}");
        }
    }
}

/// What was counted up to the cycle of saving is there after loading, and the state is the same for one shard and three.
#[test]
fn the_state_of_a_gpu_does_not_depend_on_the_shards() {
    let state = |shards| {
        let mut gpu = simulation("reduction", shards);
        gpu.advance(Some(Cycle(4000)), &mut |_| {}).unwrap();
        gpu.machine_mut().save()
    };
    let serial = state(1);
    assert!(serial == state(3));
    let mut again = simulation("reduction", 2);
    again.machine_mut().load(&serial).unwrap();
    assert!(serial == again.machine_mut().save());
}

#[test]
fn a_state_of_another_kernel_is_refused() {
    let mut gpu = simulation("reduction", 1);
    gpu.advance(Some(Cycle(3000)), &mut |_| {}).unwrap();
    let state = gpu.machine_mut().save();
    assert!(simulation("histogram", 1).machine_mut().load(&state).is_err());
}
