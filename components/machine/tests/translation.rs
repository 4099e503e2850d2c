//! Address translation of a whole GPU: nothing within reach, exactly the latencies of a miss beyond it.

mod common;

use common::machine_file;
use machine::gpu::{GpuError, GpuResult, GpuShape, GpuSimulation};
use sim_core::config::Document;
use sim_core::{Cycle, MachineFile, Plan, StopReason};
use workloads::sass::exec::Values;
use workloads::sass::{Launch, catalog};

/// The way to the shared buffer and back, and its latencies, in the tests.
const LINKS: u64 = 20 + 20;
const HIT: u64 = 50;
const WALK: u64 = 400;

const ROUND_TRIPS: u64 = 255;

fn simulation(launch: &Launch, sets: &[String], plan: Plan, values: Values) -> Result<GpuSimulation, GpuError> {
    let mut all = vec![
        "part.sm.translation.page_kib=4".to_owned(),
        format!("part.translation.hit_latency_cycles={HIT}"),
        format!("part.translation.walk_latency_cycles={WALK}"),
    ];
    all.extend_from_slice(sets);
    let file = machine_file("h100-pcie", &all.iter().map(String::as_str).collect::<Vec<_>>());
    let kernel = catalog::kernel(&launch.kernel, &GpuShape::of(&file).unwrap().sm.arch).unwrap();
    GpuSimulation::with_values(&file, &kernel, launch, plan, values)
}

fn reach(own: u32, shared: u32) -> Vec<String> {
    vec![format!("part.sm.translation.entries={own}"), format!("part.translation.entries={shared}")]
}

/// Cycles of 256 steps from line to line by the SM's clock: from DRAM, from L2 and from L1. The clock is read when the last load has gone
/// out and before it is back, so that 255 round trips are in it.
fn chase(sets: &[String]) -> ([u64; 3], GpuResult) {
    let change = |launch: Launch, (key, value): &(&str, &str)| launch.with(key, value).unwrap();
    let changes = [("caches", "flushed"), ("arg.rounds", "2"), ("arg.chain", "135168")];
    let launch = changes.iter().fold(catalog::launch("pointer-chain").unwrap(), change);
    let simulation = simulation(&launch, sets, Plan::serial(), Values::AtIssue).unwrap();
    let store = simulation.store();
    let result = simulation.run(&mut |_| {}).unwrap();
    let clocks = store.with_grid(|grid| grid.memory().buffer("cycles").unwrap().data.clone()).unwrap();
    let clock = |at: usize| i32::from_le_bytes(clocks[4 * at..4 * at + 4].try_into().unwrap());
    ([0, 1, 3].map(|at| clock(at) as u64), result)
}

/// 256 lines, each on a page of its own.
#[test]
fn a_chase_pays_nothing_within_reach_and_a_miss_beyond_it() {
    let (known, _) = chase(&reach(0, 64));
    let [_, l2, l1] = known;
    // All pages fit here: each is walked for once, in the first round.
    let (within, result) = chase(&reach(512, 512));
    assert_eq!(within[1..], [l2, l1]);
    let walks = result.stats.value("translation.walks").unwrap();
    assert!((256..310).contains(&walks), "{walks} walks for 256 lines, a short chain, code and constants");
    // Pages go round in a smaller buffer of the SM, so that none is there when it is wanted again; the shared one has all.
    let (beyond, result) = chase(&reach(64, 512));
    assert_eq!(beyond[1..], [l2 + ROUND_TRIPS * (LINKS + HIT), l1]);
    assert_eq!(result.stats.value("translation.walks"), Some(walks));
    // The shared one does not have them either.
    let (beyond, _) = chase(&reach(64, 64));
    assert_eq!(beyond[1..], [l2 + ROUND_TRIPS * (LINKS + HIT + WALK), l1]);
}

/// 32 lanes go to 32 pages at once: with one walker, one walk after the other.
#[test]
fn walks_wait_for_walkers() {
    let cycles = |walkers: u32| {
        let sets = [reach(64, 1024), vec![format!("part.translation.walkers={walkers}")]].concat();
        let transpose = catalog::launch("transpose").unwrap();
        let simulation = simulation(&transpose, &sets, Plan::serial(), Values::Ahead).unwrap();
        let result = simulation.run(&mut |_| {}).unwrap();
        (result.cycles, result.stats.value("translation.walks").unwrap())
    };
    let ((many, walks), (one, same)) = (cycles(64), cycles(1));
    assert_eq!(walks, same);
    assert!(one >= walks * (HIT + WALK), "{one} cycles for {walks} walks");
    assert!(many * 4 < one, "{many} and {one}");
}

fn shown(result: &GpuResult) -> String {
    format!("{} {} {:?} {}", result.cycles, result.digest, result.check, format_args!("{:?}", result.stats.children()))
}

#[test]
fn shards_change_nothing() {
    for kernel in ["transpose", "reduction"] {
        let run = |shards| {
            let sets = reach(4, 16);
            let launch = catalog::launch(kernel).unwrap();
            let simulation = simulation(&launch, &sets, Plan { shards, ..Plan::serial() }, Values::Ahead).unwrap();
            shown(&simulation.run(&mut |_| {}).unwrap())
        };
        let one = run(1);
        assert!(one.contains("waiting_cycles"));
        for shards in [2, 4] {
            assert_eq!(run(shards), one, "{kernel}, {shards} shards");
        }
    }
}

/// What both buffers hold and who waits for a page is saved.
#[test]
fn a_run_goes_on_where_it_was_saved() {
    let transpose = catalog::launch("transpose").unwrap();
    let fresh = || simulation(&transpose, &reach(4, 16), Plan::serial(), Values::Ahead).unwrap();
    let whole = fresh().run(&mut |_| {}).unwrap();
    for part in 1..8 {
        let mut first = fresh();
        let outcome = first.advance(Some(Cycle(whole.cycles * part / 8)), &mut |_| {}).unwrap();
        assert_eq!(outcome.reason, StopReason::TimeLimit);
        let state = first.machine_mut().save();
        let mut second = fresh();
        second.machine_mut().load(&state).unwrap();
        assert_eq!(shown(&second.run(&mut |_| {}).unwrap()), shown(&whole), "saved at {part}/8");
    }
}

#[test]
fn wrong_keys_and_values_are_errors() {
    let saxpy = catalog::launch("saxpy").unwrap();
    for (set, says) in [
        ("part.sm.translation.page_kib=3", "translation.page_kib = 3 should be a power of two"),
        ("part.sm.translation.misses=0", "translation.misses = 0 should be from 1 to 64"),
        ("part.translation.walkers=0", "should be at least 1"),
        ("part.translation.entries=17", "17 entries in sets of 16"),
    ] {
        let error = simulation(&saxpy, &[set.to_owned()], Plan::serial(), Values::Ahead).err();
        let error = error.unwrap_or_else(|| panic!("{set} is taken")).to_string();
        assert!(error.contains(says), "{set}: {error}");
    }
    let path = format!("{}/../../configs/gpu/h100-pcie.toml", env!("CARGO_MANIFEST_DIR"));
    for set in ["part.sm.translation.entrys=4", "part.translation.page=4"] {
        assert!(MachineFile::load(&path, &mut Document::from_disk, &[set.to_owned()]).is_err(), "{set}");
    }
}
