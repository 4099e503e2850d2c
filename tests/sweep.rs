//! `orrery sweep`, `plot` and `run --what-if` as a whole: what is run, what is kept, what a second run does.

mod common;

use common::orrery;
use serde_json::Value;
use std::path::Path;
use tempfile::TempDir;

/// Two workloads, two variants, a grid of two: eight runs of about a second.
const SWEEP: &str = r#"
name = "small"
machines = ["rtx-a6000"]
workloads = ["vectoradd", "stencil2d"]

[[variant]]
name = "as-is"

[[variant]]
name = "perfect-icache"
set = ["part.sm.front_end.perfect=true"]
published_speedup = 1.1

[grid]
"part.sm.count" = ["7", "14"]
"#;

fn sweep(folder: &Path, more: &[&str]) -> common::Seen {
    std::fs::write(folder.join("small.toml"), SWEEP).unwrap();
    orrery(folder, &[&["sweep"], more].concat())
}

fn file(folder: &Path, name: &str) -> String {
    std::fs::read_to_string(folder.join("out/small").join(name)).unwrap()
}

#[test]
fn a_sweep_that_was_interrupted_goes_on_and_loses_nothing() {
    let folder = TempDir::new().unwrap();
    let at = folder.path();
    let seen = sweep(at, &["run", "small.toml", "--threads", "2"]);
    assert_eq!(seen.code, 0, "{}", seen.err);
    let (csv, json) = (file(at, "results.csv"), file(at, "results.json"));
    assert_eq!(csv.lines().count(), 1 + 8);
    assert!(csv.starts_with("machine,workload,variant,part.sm.count,cycles,"), "{csv}");

    // As if it had been killed with five runs done, one of them half written by something else.
    let runs = at.join("out/small/runs");
    let mut files: Vec<_> = std::fs::read_dir(&runs).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert_eq!(files.len(), 8);
    files[..3].iter().for_each(|path| std::fs::remove_file(path).unwrap());
    std::fs::write(&files[3], "{\"program\"").unwrap();
    let kept = std::fs::metadata(&files[7]).unwrap().modified().unwrap();
    ["results.csv", "results.json"]
        .iter()
        .for_each(|name| std::fs::remove_file(at.join("out/small").join(name)).unwrap());
    let status = sweep(at, &["status", "small.toml", "--json"]).json();
    assert_eq!((status["planned"].as_u64(), status["done"].as_u64()), (Some(8), Some(4)));
    // On another number of threads: the same bytes.
    assert_eq!(sweep(at, &["run", "small.toml", "--threads", "1"]).code, 0);
    assert_eq!((file(at, "results.csv"), file(at, "results.json")), (csv, json));
    assert_eq!(std::fs::metadata(&files[7]).unwrap().modified().unwrap(), kept, "what is there is not run again");
}

#[test]
fn speed_ups_are_ratios_of_the_cycles_and_can_be_drawn() {
    let folder = TempDir::new().unwrap();
    let at = folder.path();
    let results = sweep(at, &["run", "small.toml", "--json"]).json();
    let runs = results["runs"].as_array().unwrap();
    let cycles = |workload: &str, variant: &str, count: &str| {
        let is = |run: &&Value| {
            run["workload"] == workload && run["variant"] == variant && run["at"]["part.sm.count"] == count
        };
        runs.iter().find(is).unwrap()["cycles"].as_f64().unwrap()
    };
    let speedup = &results["speedup"][1];
    let each = &speedup["each"]["stencil2d part.sm.count=14"];
    let expected = cycles("stencil2d", "as-is", "14") / cycles("stencil2d", "perfect-icache", "14");
    assert_eq!(each.as_f64(), Some(expected));
    assert!(speedup["geometric_mean"].as_f64().unwrap() > 1.0);
    let seen = orrery(at, &["plot", "speedup", "out/small/results.json"]);
    assert_eq!(seen.code, 0, "{}", seen.err);
    let svg = file(at, "speedup.svg");
    assert_eq!(svg.matches("<circle").count(), 8, "a dot a run");
    assert!(at.join("out/small/speedup.png").exists());
}

#[test]
fn a_wrong_sweep_is_refused_before_anything_runs() {
    let folder = TempDir::new().unwrap();
    let at = folder.path();
    std::fs::write(at.join("wrong.toml"), SWEEP.replace("front_end.perfect", "front_end.prefect")).unwrap();
    let seen = orrery(at, &["sweep", "run", "wrong.toml"]);
    assert_eq!(seen.code, 2);
    assert!(seen.err.contains("front_end.perfect"), "{}", seen.err);
    assert!(!at.join("out").exists());
    let seen = orrery(at, &["sweep", "run", "core-ablation"]);
    assert_eq!(seen.code, 2);
    assert!(seen.err.contains("core-ablations"), "{}", seen.err);
    let seen = orrery(at, &["plot", "speedup", "wrong.toml"]);
    assert_eq!(seen.code, 2, "{}", seen.err);
}

#[test]
fn shipped_sweeps_can_be_planned() {
    let folder = TempDir::new().unwrap();
    let plan = orrery(folder.path(), &["sweep", "plan", "core-ablations", "--json"]).json();
    let runs = plan["runs"].as_array().unwrap();
    assert!(runs.len() > 300 && runs.iter().all(|run| run["done"] == false));
}

#[test]
fn what_if_runs_again_with_one_part_ideal() {
    let folder = TempDir::new().unwrap();
    let run_on = |machine: &str, more: &[&str]| {
        let seen = orrery(folder.path(), &[&["run", machine, "vectoradd", "--out", "none", "--json"], more].concat());
        assert_eq!(seen.code, 0, "{}", seen.err);
        seen.json()
    };
    // Its memory has no refresh, so that the launch overhead is a shift in time.
    let run = |more: &[&str]| run_on("rtx-5090", more);
    let document = run(&["--what-if", "--threads", "2"]);
    let savings = document["what_if"].as_array().unwrap();
    let of = |part: &str| savings.iter().find(|saving| saving["part"] == part).unwrap()["cycles"].as_u64().unwrap();
    assert_eq!(savings.len(), 10, "{savings:?}");
    assert_eq!(of("launch"), document["simulated"]["cycles"].as_u64().unwrap() - 1800, "the launch overhead");
    let again = run(&["--set", "part.sm.l1_data.perfect=true"]);
    assert_eq!(of("l1"), again["simulated"]["cycles"].as_u64().unwrap());
    assert_eq!(run(&["--what-if=l2=ideal"])["what_if"].as_array().unwrap().len(), 1);
    assert_eq!(run(&[])["what_if"], Value::Null);
    for machine in ["rtx-a6000", "h100-pcie"] {
        let document = run_on(machine, &["--what-if=dram"]);
        let ideal = document["what_if"][0]["cycles"].as_u64();
        assert!(
            ideal < document["simulated"]["cycles"].as_u64(),
            "{machine}: channels of DRAM give way to an ideal memory"
        );
    }
    let seen = orrery(folder.path(), &["run", "rtx-a6000", "vectoradd", "--what-if=l3"]);
    assert_eq!(seen.code, 2);
    assert!(seen.err.contains("instruction-cache"), "{}", seen.err);
}
