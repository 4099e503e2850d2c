//! The memory systems of the shipped machines against published microbenchmarks, without the SMs: what is measured on a
//! chip is compared less its own L1 hit, which is what the SM adds to an L1 miss.

mod sources;

use sources::{Ran, Traffic, file, run, sms};
use protocol::MemOp;
use sim_core::Plan;

const LINE: u64 = 128;

/// A published figure as a whole, and ours.
#[track_caller]
fn assert_close(what: &str, ours: f64, published: f64, tolerance: f64) {
    let error = ours / published - 1.0;
    println!("{what}: {ours:.1} against {published:.1}, {:+.1} %", 100.0 * error);
    assert!(error.abs() <= tolerance, "{what}: {ours:.1}, published {published:.1}");
}

fn read(address: u64) -> (MemOp, u64, u8) {
    (MemOp::Read, address, 0b0001)
}

/// Lines far apart in random order: no open rows, no neighbours.
fn scattered(lines: u64, seed: u64) -> Vec<u64> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state >> 33
    };
    (0..lines).map(|_| next() % (1 << 25) * LINE).collect()
}

/// Round trips of one SM that chases through lines `rounds` times.
fn chase(machine: &str, lines: &[u64], rounds: usize) -> (Vec<u64>, Ran) {
    let chain = (0..rounds).flat_map(|_| lines.iter().map(|&line| read(line))).collect();
    let ran = run(&file(machine, &[]), Traffic { outstanding: 1, of_sm: vec![chain] }, Plan::serial());
    (ran.source(0).cycles.clone(), ran)
}

fn mean(cycles: &[u64]) -> f64 {
    cycles.iter().sum::<u64>() as f64 / cycles.len() as f64
}

/// L1 hit, L2 hit and DRAM as measured on the chip.
struct Chase {
    machine: &'static str,
    l1: f64,
    l2: f64,
    dram: f64,
}

const CHASES: [Chase; 5] = [
    // NVIDIA-Hopper-Benchmark logs (data of Luo et al., arXiv 2501.12084), H800 PCIe: 16 KB, 1 MB, 64 MB.
    Chase { machine: "h100-pcie", l1: 32.0, l2: 264.3, dram: 645.5 },
    // RRZE gpu-benches, GH200 at 1980 MHz.
    Chase { machine: "h100-sxm", l1: 32.1, l2: 280.8, dram: 689.2 },
    Chase { machine: "h200", l1: 32.1, l2: 280.8, dram: 689.2 },
    // RRZE gpu-benches, A100 80GB at 1410 MHz.
    Chase { machine: "a100-40", l1: 33.1, l2: 205.7, dram: 552.4 },
    Chase { machine: "a100-80", l1: 33.1, l2: 205.7, dram: 552.4 },
];

/// The second round of a chase hits L2, wherever the lines are at home; the first comes from DRAM.
#[test]
fn pointer_chases_take_what_was_measured() {
    for Chase { machine, l1, l2, dram } in CHASES {
        let lines = scattered(400, 1);
        let (cycles, ran) = chase(machine, &lines, 2);
        let (first, second) = cycles.split_at(lines.len());
        assert_close(&format!("{machine} L2"), l1 + mean(second), l2, 0.01);
        assert_close(&format!("{machine} DRAM"), l1 + mean(first), dram, 0.05);
        // Half of the lines are at home in the other partition, whose slice had to be asked once for each.
        let far = ran.value("l2.sectors.read_miss_other_partition") as f64 / lines.len() as f64;
        assert!((0.4..0.6).contains(&far), "{machine}: {far}");
    }
}

#[test]
fn reads_of_a_warm_l2_are_as_fast_as_measured() {
    // RRZE gpu-benches, read_l2_4MB.
    for (machine, gb_per_s) in [("h100-pcie", 7121.5), ("h200", 10619.2), ("a100-80", 5466.9)] {
        let file = file(machine, &[]);
        let sms = sms(&file) as u64;
        // Every SM reads 4 MB of its own share of a buffer of 4 MB, twice: the second time all is there.
        let lines = (4 << 20) / LINE;
        let once = |sm: u64| (0..lines / 16).map(move |i| (MemOp::Read, (sm * 331 + i) % lines * LINE, 0xf));
        let warm = (0..sms).map(|sm| once(sm * 9).collect()).collect();
        let short = run(&file, Traffic { outstanding: 384, of_sm: warm }, Plan::serial());
        let twice = (0..sms).map(|sm| once(sm * 9).chain(once(sm * 9)).collect()).collect();
        let long = run(&file, Traffic { outstanding: 384, of_sm: twice }, Plan::serial());
        let cycles = long.last_answer() - short.last_answer();
        let ours = (sms * lines / 16 * LINE) as f64 * long.core_hz as f64 / cycles as f64 / 1e9;
        assert_close(&format!("{machine} L2 read GB/s"), ours, gb_per_s, 0.08);
    }
}
