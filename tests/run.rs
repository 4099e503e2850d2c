//! `orrery run` as a whole: the document, the report, the files.

mod common;

use common::{orrery, project};
use serde_json::Value;
use tempfile::TempDir;

/// Total of a breakdown's part: a number, or a node with parts that sum to it.
fn total(node: &Value) -> u64 {
    match node {
        Value::Number(number) => number.as_u64().unwrap(),
        node => {
            let sum = node["parts"].as_object().unwrap().values().map(total).sum();
            assert_eq!(node["total"].as_u64(), Some(sum), "the parts sum to the whole: {node}");
            sum
        }
    }
}

#[test]
fn the_breakdown_sums_to_the_sub_core_cycles() {
    let folder = TempDir::new().unwrap();
    let seen = orrery(folder.path(), &["run", "rtx-a6000", "saxpy", "--json", "--out", "none"]);
    assert_eq!(seen.code, 0, "{}", seen.err);
    let document = seen.json();
    let cycles = document["simulated"]["cycles"].as_u64().unwrap();
    assert!(cycles > 0);
    assert_eq!(total(&document["breakdown"]), 4 * 84 * cycles, "4 sub-cores × 84 SMs × cycles");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "--out none writes nothing");
}

#[test]
fn the_time_is_the_cycles_at_the_clock() {
    let folder = TempDir::new().unwrap();
    let document = orrery(folder.path(), &["run", "rtx-a6000", "vectoradd", "--json", "--out", "none"]).json();
    let simulated = &document["simulated"];
    let (cycles, time) = (simulated["cycles"].as_f64().unwrap(), simulated["time_ns"].as_f64().unwrap());
    assert_eq!(simulated["clock_ghz"], 1.8);
    assert!((time - cycles / 1.8).abs() <= 1.0 / 1.8, "{time} ns for {cycles} cycles at 1.8 GHz");
}

/// A multiply-add a element, three streams of 4 bytes: the counts of the roofline follow from the launch alone.
#[test]
fn the_roofline_counts_the_operations_of_saxpy() {
    let folder = TempDir::new().unwrap();
    let launch = std::fs::read_to_string(project().join("workloads/launches/saxpy.toml")).unwrap();
    let launch: toml::Table = launch.parse().unwrap();
    let arguments = launch["arg"].as_array().unwrap();
    let elements =
        arguments.iter().find(|arg| arg["name"].as_str() == Some("n")).unwrap()["value"].as_integer().unwrap();
    let document = orrery(folder.path(), &["run", "h100-pcie", "saxpy", "--json", "--out", "none"]).json();
    assert_eq!(document["stats"]["roofline"]["flops"]["value"].as_i64(), Some(2 * elements));
    assert_eq!(document["stats"]["roofline"]["bound_by"], "memory");
}

#[test]
fn a_run_leaves_its_files_and_says_where() {
    let folder = TempDir::new().unwrap();
    let seen = orrery(folder.path(), &["run", "h100-pcie", "vectoradd", "--timeline=0..2000", "--plots"]);
    assert_eq!(seen.code, 0, "{}", seen.err);
    assert_eq!(seen.out.lines().last(), Some("wrote out/h100-pcie-vectoradd"));
    let out = folder.path().join("out/h100-pcie-vectoradd");
    let mut names: Vec<_> =
        std::fs::read_dir(&out).unwrap().map(|f| f.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    let expected = [
        "machine.toml",
        "report.txt",
        "result.json",
        "roofline.png",
        "roofline.svg",
        "stats.csv",
        "timeline.perfetto-trace",
    ];
    assert_eq!(names, expected);
    let report = std::fs::read_to_string(out.join("report.txt")).unwrap();
    assert!(seen.out.starts_with(&report), "the screen begins with the report");
    let written: Value = serde_json::from_slice(&std::fs::read(out.join("result.json")).unwrap()).unwrap();

    // The resolved machine alone repeats the run.
    let again = out.join("machine.toml");
    let again = orrery(folder.path(), &["run", again.to_str().unwrap(), "vectoradd", "--json", "--out", "none"]).json();
    for key in ["config_hash", "simulated", "breakdown", "stats"] {
        assert_eq!(again[key], written[key], "{key}");
    }
}

#[test]
fn an_override_changes_the_machine_and_its_hash() {
    let folder = TempDir::new().unwrap();
    let run = |sets: &[&str]| {
        let arguments = [&["run", "h100-pcie", "vectoradd", "--json", "--out", "none"], sets].concat();
        orrery(folder.path(), &arguments).json()
    };
    let (whole, few) = (run(&[]), run(&["--set", "part.sm.count=4"]));
    assert_ne!(whole["config_hash"], few["config_hash"]);
    assert!(few["simulated"]["cycles"].as_u64() > whole["simulated"]["cycles"].as_u64(), "4 SMs take longer than 114");
    assert_eq!(total(&few["breakdown"]), 4 * 4 * few["simulated"]["cycles"].as_u64().unwrap());
}
