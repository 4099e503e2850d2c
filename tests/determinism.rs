//! Results are a function of machine, workload and seed: not of threads and shards (I-3).

mod common;

use common::orrery;
use serde_json::Value;
use tempfile::TempDir;

/// The document without `wall`, and how many shards worked.
fn run(workload: &str, threads: &str, shards: &str) -> (String, usize) {
    run_on(&["h100-pcie"], workload, threads, shards)
}

fn run_on(machine: &[&str], workload: &str, threads: &str, shards: &str) -> (String, usize) {
    let folder = TempDir::new().unwrap();
    let arguments = ["--json", "--threads", threads, "--shards", shards, "--out", "none"];
    let seen = orrery(folder.path(), &[&["run"], &machine[..1], &[workload], &machine[1..], &arguments].concat());
    assert_eq!(seen.code, 0, "{}", seen.err);
    let mut document = seen.json();
    let wall = document.as_object_mut().unwrap().remove("wall").unwrap();
    let ticks = wall["ticks_per_shard"].as_array().unwrap();
    let busy = ticks.iter().filter(|ticks| ticks.as_u64() > Some(0)).count();
    (document.to_string(), busy)
}

#[test]
fn threads_and_shards_do_not_change_the_result() {
    let (reference, _) = run("saxpy", "1", "1");
    for threads in ["1", "2", "0"] {
        for shards in ["1", "2", "8"] {
            let (document, busy) = run("saxpy", threads, shards);
            assert_eq!(document, reference, "--threads {threads} --shards {shards}");
            assert_eq!(busy.to_string(), shards, "all shards worked: --threads {threads} --shards {shards}");
        }
    }
}

#[test]
fn the_shown_run_does_not_depend_on_the_plan() {
    let (reference, _) = run("sgemm", "1", "1");
    assert_eq!(run("sgemm", "2", "8").0, reference);
}

#[test]
fn other_cores_are_as_deterministic() {
    let scoreboard = "part.sm.issue.dependences={kind=\"scoreboard\", consumers=1}";
    for machine in [&["rtx-a6000-accel-sim"][..], &["rtx-a6000", "--set", scoreboard]] {
        let (reference, _) = run_on(machine, "reduction", "1", "1");
        for (threads, shards) in [("2", "2"), ("0", "8")] {
            assert_eq!(run_on(machine, "reduction", threads, shards).0, reference, "{machine:?}, --shards {shards}");
        }
    }
}

#[test]
fn the_hash_is_of_the_inputs() {
    let hash = |document: &str| serde_json::from_str::<Value>(document).unwrap()["config_hash"].to_string();
    let (a, b) = (run("saxpy", "1", "1").0, run("vectoradd", "1", "1").0);
    assert_ne!(hash(&a), hash(&b), "another workload, another hash");
    assert_eq!(hash(&a), hash(&run("saxpy", "2", "2").0));
}
