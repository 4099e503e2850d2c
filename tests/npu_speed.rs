//! CPU time and memory of whole runs of the binary against those of SCALE-Sim.
//!
//! `cargo test --release --test npu_speed -- --ignored --nocapture` prints the table. The peer's figures stand with their origin in
//! `tests/npu_speed/scalesim.csv`.

mod common;

use std::collections::BTreeMap;

use common::orrery;
use tempfile::TempDir;

/// Runs of each row: the system counts CPU time of children in hundredths of a second.
const RUNS: u32 = 20;
/// What an NPU may be better by at least, and take at most.
const LEAST_RATIO: f64 = 100.0;
const MOST_MIB: f64 = 200.0;

/// CPU seconds of the children that have ended so far: fields 16 and 17 of the process's line.
fn children_seconds() -> f64 {
    let line = std::fs::read_to_string("/proc/self/stat").expect("Linux");
    let after_name = line.rsplit_once(')').expect("a name in parentheses").1;
    let field = |number: usize| after_name.split_whitespace().nth(number - 3).unwrap().parse::<f64>().unwrap();
    (field(16) + field(17)) / 100.0
}

/// The lines of a table without its comments and heading, by field.
fn rows(text: &'static str) -> Vec<Vec<&'static str>> {
    let lines = text.lines().filter(|line| !line.starts_with('#')).skip(1);
    lines.map(|line| line.split(',').collect()).collect()
}

#[test]
#[ignore = "measures speed; run in release"]
fn topologies_against_scale_sim() {
    let folder = TempDir::new().unwrap();
    let mut topologies: BTreeMap<&str, String> = BTreeMap::new();
    for row in rows(include_str!("npu_speed/topologies.csv")) {
        let text = topologies.entry(row[0]).or_insert_with(|| "layer,M,N,K\n".to_owned());
        *text += &(row[1..].join(",") + "\n");
    }
    for (name, text) in &topologies {
        std::fs::write(folder.path().join(format!("{name}.csv")), text).unwrap();
    }
    println!("topology,machine,scale-sim,cycles,cpu_s,scale_sim_cpu_s,ratio,peak_mib,scale_sim_peak_mib");
    for row in rows(include_str!("npu_speed/scalesim.csv")) {
        let [topology, machine, version, cycles, cpu_s, peak_mib] = row[..] else { panic!("{row:?}") };
        let file = format!("{topology}.csv");
        let begun = children_seconds();
        let run = || orrery(folder.path(), &["run", machine, &file, "--json", "--out", "none"]);
        (1..RUNS).for_each(|_| assert_eq!(run().code, 0));
        let last = run();
        assert_eq!(last.code, 0, "{}", last.err);
        let own = (children_seconds() - begun) / f64::from(RUNS);
        let document = last.json();
        assert_eq!(document["simulated"]["cycles"].to_string(), cycles, "{machine} {topology}");
        let ratio = cpu_s.parse::<f64>().unwrap() / own;
        let peak = document["wall"]["peak_rss_bytes"].as_f64().unwrap() / f64::from(1 << 20);
        println!("{topology},{machine},{version},{cycles},{own:.4},{cpu_s},{ratio:.0},{peak:.1},{peak_mib}");
        assert!(ratio >= LEAST_RATIO && peak < MOST_MIB, "{machine} {topology}: {ratio} {peak}");
    }
}
