//! What two shards can bring for a whole GPU: the bound (CPU time of all shards over that of the slower one, window by window),
//! the same against the CPU time of one shard alone, and wall times, on the shipped sgemm and on one that fills the SMs. The
//! last is asserted for a full machine.
//!
//! `cargo test --release -p machine --test speed -- --ignored --nocapture` prints the table.

mod common;

use common::machine_file;
use machine::gpu::{GpuResult, GpuShape, GpuSimulation};
use sim_core::Plan;
use std::time::Instant;
use workloads::sass::{Launch, catalog};

fn run(launch: &Launch, shards: usize) -> (GpuResult, f64) {
    let file = machine_file("h100-pcie", &[]);
    let kernel = catalog::kernel(&launch.kernel, &GpuShape::of(&file).unwrap().sm.arch).unwrap();
    let simulation = GpuSimulation::new(&file, &kernel, launch, Plan { shards, threads: shards, ..Plan::serial() });
    let begun = Instant::now();
    let result = simulation.unwrap().run(&mut |_| {}).unwrap();
    (result, begun.elapsed().as_secs_f64())
}

/// All of a result that may not depend on the plan.
fn shown(result: &GpuResult) -> String {
    let GpuResult { cycles, time, stats, executed, check, digest, .. } = result;
    format!("{cycles} {time} {executed:?} {check:?} {digest} {:?}", stats.children())
}

/// 64 blocks, as shipped: about one for two SMs; and 912 of the same shape, eight for an SM.
#[test]
#[ignore = "measures speed; run in release on a quiet machine"]
fn two_shards_share_a_gpu() {
    let shipped = catalog::launch("sgemm").unwrap();
    let change = |launch: Launch, (key, value): &(&str, &str)| launch.with(key, value).unwrap();
    // 1536 columns and 2432 rows in tiles of 64 are 24 x 38 = 912 blocks; 64 products deep.
    let full = [
        ("grid", "24x38"),
        ("arg.m", "2432"),
        ("arg.n", "1536"),
        ("arg.k", "128"),
        ("arg.a", "311296"),
        ("arg.b", "196608"),
        ("arg.c", "3735552"),
    ];
    let full = full.iter().fold(shipped.clone(), change);
    println!("case,shards,cycles,wall_s,cpu_s,critical_cpu_s,bound,bound_to_one_shard,windows,cpu_s_of_each_shard");
    let mut bounds = Vec::new();
    for (name, launch) in [("sgemm", &shipped), ("sgemm of 912 blocks", &full)] {
        let (one, wall) = run(launch, 1);
        let cpu_ns = |result: &GpuResult| result.outcome.shards.iter().map(|shard| shard.cpu_ns).collect::<Vec<_>>();
        let alone: u64 = cpu_ns(&one).iter().sum();
        println!("{name},1,{},{wall:.2},{:.2},{:.2},1.00,1.00,,", one.cycles, alone as f64 / 1e9, alone as f64 / 1e9);
        for shards in [2, 4] {
            let (result, wall) = run(launch, shards);
            assert_eq!(shown(&result), shown(&one), "{name}, {shards} shards");
            let (each, critical) = (cpu_ns(&result), result.outcome.critical_cpu_ns);
            let (bound, to_one) = (result.outcome.speedup_bound(), alone as f64 / critical as f64);
            let seconds = |ns: u64| ns as f64 / 1e9;
            println!(
                "{name},{shards},{},{wall:.2},{:.2},{:.2},{bound:.2},{to_one:.2},{},{:?}",
                result.cycles,
                seconds(each.iter().sum()),
                seconds(critical),
                result.outcome.windows,
                each.iter().map(|ns| (seconds(*ns) * 100.0).round() / 100.0).collect::<Vec<_>>()
            );
            if shards == 2 {
                bounds.push((name, to_one));
            }
        }
    }
    // The shipped one leaves half of the machine idle: nothing to share.
    let (name, full) = bounds[1];
    assert!(full >= 1.7, "{name}: {full}");
}
