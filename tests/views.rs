//! Timelines and pipelines: read back, and held against the run's own counters.

mod common;

use std::collections::BTreeMap;
use std::path::Path;

use common::kanata::Instruction;
use common::perfetto::Track;
use common::{Seen, kanata, orrery, perfetto};
use serde_json::Value;
use tempfile::TempDir;

/// Two SMs run it in some ten thousand cycles.
const RUN: [&str; 6] = ["run", "h100-pcie", "vectoradd", "--json", "--set", "part.sm.count=2"];
const BOTH_SMS: [&str; 2] = ["--focus", "sm=0..2"];

fn run(folder: &Path, arguments: &[&str]) -> Seen {
    let arguments = [&RUN[..], &["--out", "views"], arguments].concat();
    let seen = orrery(folder, &arguments);
    assert_eq!(seen.code, 0, "{}", seen.err);
    seen
}

fn pipeline(folder: &Path) -> Vec<Instruction> {
    kanata::read(&std::fs::read_to_string(folder.join("views/pipeline.kanata")).unwrap())
}

fn timeline(folder: &Path) -> BTreeMap<String, Track> {
    perfetto::read(&std::fs::read(folder.join("views/timeline.perfetto-trace")).unwrap())
}

/// Sub-core-cycles of a document by reason, `wait.global` and so on.
fn breakdown(document: &Value) -> BTreeMap<String, u64> {
    fn walk(node: &Value, path: &str, out: &mut BTreeMap<String, u64>) {
        let Some(parts) = node.get("parts").and_then(Value::as_object) else {
            let cycles = node.as_u64().or_else(|| node["total"].as_u64()).unwrap();
            if cycles > 0 {
                out.insert(path.to_string(), cycles);
            }
            return;
        };
        for (name, part) in parts {
            walk(part, &if path.is_empty() { name.clone() } else { format!("{path}.{name}") }, out);
        }
    }
    let mut reasons = BTreeMap::new();
    walk(&document["breakdown"], "", &mut reasons);
    reasons
}

fn counter(document: &Value, name: &str) -> u64 {
    document["stats"]["sm"][name]["value"].as_u64().unwrap_or_else(|| panic!("{name} in {}", document["stats"]["sm"]))
}

/// What the cycles of all sub-cores are charged to.
fn charged(tracks: &BTreeMap<String, Track>) -> BTreeMap<String, u64> {
    let mut cycles = BTreeMap::new();
    for (path, track) in tracks {
        if path.split('/').count() == 2 && path.contains("/sub-core ") {
            for (depth, name, from, to) in &track.slices {
                assert_eq!(*depth, 0, "{path}");
                *cycles.entry(name.clone()).or_insert(0) += to - from;
            }
        }
    }
    cycles
}

fn add(into: &mut BTreeMap<String, u64>, more: BTreeMap<String, u64>) {
    for (name, cycles) in more {
        *into.entry(name).or_insert(0) += cycles;
    }
}

#[test]
fn a_timeline_of_the_whole_run_sums_to_its_counters() {
    let folder = TempDir::new().unwrap();
    let document = run(folder.path(), &["--timeline=0..10000000", BOTH_SMS[0], BOTH_SMS[1]]).json();
    let cycles = document["simulated"]["cycles"].as_u64().unwrap();
    let tracks = timeline(folder.path());
    assert_eq!(charged(&tracks), breakdown(&document));
    // A rate times the cycles of its samples.
    let sum = |name: &str| -> f64 {
        let tracks = tracks.iter().filter(|(path, _)| path.ends_with(name));
        let of = |track: &Track| {
            let ends = track.samples.iter().skip(1).map(|next| next.0).chain([cycles]);
            track.samples.iter().zip(ends).map(|(sample, end)| sample.1 * (end - sample.0) as f64).sum::<f64>()
        };
        tracks.map(|(_, track)| of(track)).sum()
    };
    let close = |got: f64, want: u64| assert!((got - want as f64).abs() <= 1e-6 * want as f64, "{got} for {want}");
    close(sum("/issued a cycle"), counter(&document, "instructions_issued"));
    let ghz = document["simulated"]["clock_ghz"].as_f64().unwrap();
    close(sum("/read from memory") / ghz, counter(&document, "bytes_read"));
    close(sum("/written to memory") / ghz, counter(&document, "bytes_written"));
    close(sum("noc/read") / ghz, document["stats"]["noc"]["responses"]["bytes"]["value"].as_u64().unwrap());
    for name in ["SM 1/outstanding requests", "SM 0/L1 sector hits", "noc/requests in flight"] {
        assert!(!tracks[name].samples.is_empty(), "{name}");
    }
    // Every instruction that issued was the head of its warp: innermost its waits, outermost the block.
    let heads = |depth: usize| {
        let warps = tracks.iter().filter(|(path, _)| path.contains("/warp slot "));
        warps.flat_map(|(_, track)| &track.slices).filter(|slice| slice.0 == depth).count() as u64
    };
    assert_eq!(heads(1), counter(&document, "instructions_issued"));
    assert!(heads(0) > 0 && heads(2) > 0 && heads(3) == 0);
}

#[test]
fn a_pipeline_of_the_whole_run_has_every_instruction_once() {
    let folder = TempDir::new().unwrap();
    let document = run(folder.path(), &["--pipeline=0..10000000", BOTH_SMS[0], BOTH_SMS[1]]).json();
    let rows = pipeline(folder.path());
    assert_eq!(rows.len() as u64, counter(&document, "instructions_issued"));
    let mut arrows = 0;
    for row in &rows {
        assert!(!row.flushed && row.label.contains(": ") && row.details.contains("warp slot"), "{row:?}");
        let (fetched, issued) = (row.stage("F").unwrap().0, row.stage("Is").unwrap().0);
        assert!(fetched < issued && row.stage("C").is_some(), "{row:?}");
        let mut stages: Vec<_> = row.segments.iter().filter(|segment| segment.0 == 0).collect();
        stages.sort_by_key(|segment| segment.2);
        assert!(stages.windows(2).all(|pair| pair[0].3 == pair[1].2), "stages follow each other: {row:?}");
        // It waits before it issues, without a gap once it is the head.
        let mut waits: Vec<_> = row.segments.iter().filter(|segment| segment.0 == 1).collect();
        waits.sort_by_key(|segment| segment.2);
        assert!(waits.windows(2).all(|pair| pair[0].3 == pair[1].2), "{row:?}");
        assert!(waits.last().is_none_or(|last| last.3 == issued), "{row:?}");
        for (at, by) in &row.woken_by {
            let by = &rows[*by as usize];
            assert!(by.thread == row.thread && by.number < row.number && *at <= issued, "{row:?} by {by:?}");
            arrows += 1;
        }
    }
    // In program order within each warp: a later instruction issues later.
    let mut last: BTreeMap<u64, (u64, u64)> = BTreeMap::new();
    let mut in_order: Vec<&Instruction> = rows.iter().collect();
    in_order.sort_by_key(|row| row.stage("Is").unwrap().0);
    for row in in_order {
        let before = last.insert(row.thread, (row.number, row.stage("Is").unwrap().0));
        assert!(before.is_none_or(|before| before.0 < row.number || row.number == 0), "{row:?} after {before:?}");
    }
    assert!(arrows > 100, "{arrows} arrows");
}

/// One warp a sub-core: what its head waits for is what its sub-core is charged with.
#[test]
fn the_stall_lanes_of_lone_warps_sum_to_the_breakdown() {
    let folder = TempDir::new().unwrap();
    let launch = common::changed("workloads/launches/saxpy.toml", "grid = [128, 1, 1]", "grid = [1, 1, 1]");
    let launch = launch.replace("block = [256, 1, 1]", "block = [128, 1, 1]").replace("100003", "1003");
    std::fs::write(folder.path().join("lone.toml"), launch).unwrap();
    let document = orrery(
        folder.path(),
        &[
            "run",
            "rtx-a6000",
            "lone.toml",
            "--json",
            "--set",
            "part.sm.count=1",
            "--pipeline=0..10000000",
            "-o",
            "views",
        ],
    )
    .json();
    let mut lanes: BTreeMap<String, u64> = BTreeMap::new();
    for row in pipeline(folder.path()) {
        for (_, reason, from, to) in row.segments.into_iter().filter(|segment| segment.0 == 1) {
            *lanes.entry(reason).or_insert(0) += to - from;
        }
        *lanes.entry("issued".to_string()).or_insert(0) += 1;
    }
    let mut expected = breakdown(&document);
    expected.retain(|reason, _| !reason.starts_with("idle."));
    assert_eq!(lanes, expected);
}

#[test]
fn windows_side_by_side_make_up_the_whole() {
    let folder = TempDir::new().unwrap();
    let (mut cycles, mut issued) = (BTreeMap::new(), 0);
    let mut document = Value::Null;
    for window in ["0..2500", "2500..3001", "3001..10000000"] {
        let (from, to) = window.split_once("..").unwrap();
        let (from, to): (u64, u64) = (from.parse().unwrap(), to.parse().unwrap());
        let views = [format!("--timeline={window}"), format!("--pipeline={window}")];
        document = run(folder.path(), &[&views[0], &views[1], BOTH_SMS[0], BOTH_SMS[1]]).json();
        let tracks = timeline(folder.path());
        for (path, track) in &tracks {
            assert!(track.slices.iter().all(|slice| slice.2 >= from && slice.3 <= to), "{path} in {window}");
            assert!(track.samples.iter().all(|sample| (from..to).contains(&sample.0)), "{path} in {window}");
        }
        add(&mut cycles, charged(&tracks));
        let rows = pipeline(folder.path());
        assert!(rows.iter().all(|row| row.begun >= from && row.ended <= to), "{window}");
        assert!(rows.iter().all(|row| !row.flushed || row.ended == to), "what is cut is cut at the end");
        issued += rows.iter().filter(|row| row.stage("Is").is_some()).count() as u64;
    }
    assert_eq!(cycles, breakdown(&document));
    assert_eq!(issued, counter(&document, "instructions_issued"));
}

#[test]
fn a_focus_leaves_the_other_warps_out() {
    let folder = TempDir::new().unwrap();
    let arguments = ["--pipeline", "--timeline", "--focus", "sm=1,warp=4..6"];
    run(folder.path(), &arguments);
    let rows = pipeline(folder.path());
    let threads: std::collections::BTreeSet<u64> = rows.iter().map(|row| row.thread).collect();
    assert_eq!(threads.into_iter().collect::<Vec<_>>(), [64 + 4, 64 + 5]);
    let tracks = timeline(folder.path());
    let warps: Vec<&str> = tracks.keys().filter_map(|path| path.split("/warp slot ").nth(1)).collect();
    assert_eq!(warps, ["4", "5"]);
    assert!(tracks.keys().all(|path| !path.starts_with("SM 0")));
}

/// Watching changes nothing, and what is seen does not depend on how the machine is split.
#[test]
fn views_are_the_same_for_every_split_and_change_nothing() {
    let folder = TempDir::new().unwrap();
    let views = ["--timeline", "--pipeline", BOTH_SMS[0], BOTH_SMS[1]];
    let mut watched = run(folder.path(), &views).json();
    let files = || {
        ["timeline.perfetto-trace", "pipeline.kanata"]
            .map(|f| std::fs::read(folder.path().join("views").join(f)).unwrap())
    };
    let one = files();
    run(folder.path(), &[&views[..], &["--shards", "3", "--threads", "2"]].concat());
    assert!(one == files(), "three shards draw something else");
    let mut alone = run(folder.path(), &[]).json();
    for document in [&mut watched, &mut alone] {
        document.as_object_mut().unwrap().remove("wall");
    }
    assert_eq!(watched, alone);
}

#[test]
fn an_empty_window_is_said() {
    let folder = TempDir::new().unwrap();
    let seen = run(folder.path(), &["--timeline=0..10", "--pipeline=900000..900010"]);
    let lines: Vec<&str> = seen.err.lines().collect();
    assert_eq!(lines.len(), 1, "{lines:?}: sub-cores without a warp are something to draw");
    assert!(lines[0].starts_with("note: pipeline.kanata: nothing happened in the cycles of --pipeline=900000..900010"));
    assert!(pipeline(folder.path()).is_empty());
}

#[test]
fn a_full_file_is_cut_and_said() {
    let folder = TempDir::new().unwrap();
    let arguments = ["run", "h100-pcie", "sgemm", "--quiet", "--pipeline=0..100000"];
    let run = |out: &str, shards: &str| {
        let views = ["--timeline=0..100000", "--focus", "sm=0..16", "--out", out, "--shards", shards];
        let seen = orrery(folder.path(), &[&arguments[..], &views].concat());
        assert_eq!(seen.code, 0, "{}", seen.err);
        seen
    };
    let seen = run("views", "1");
    assert_eq!(run("split", "3").err, seen.err);
    for (file, option) in [("pipeline.kanata", "--pipeline"), ("timeline.perfetto-trace", "--timeline")] {
        let at = seen.err.lines().find_map(|line| {
            line.strip_prefix(&format!("note: {file}: {option} is full at cycle "))?
                .split(';')
                .next()?
                .parse::<u64>()
                .ok()
        });
        let at = at.unwrap_or_else(|| panic!("{}", seen.err));
        let [one, three] = ["views", "split"].map(|out| std::fs::read(folder.path().join(out).join(file)).unwrap());
        assert!(one == three, "{file}: three shards draw something else");
        assert!(one.len() < 40_000_000, "{file} has {} bytes", one.len());
        let end = match option {
            "--pipeline" => pipeline(folder.path()).iter().map(|row| row.ended).max(),
            _ => timeline(folder.path()).values().flat_map(|track| &track.slices).map(|slice| slice.3).max(),
        };
        assert_eq!(end, Some(at), "{file}");
    }
}

/// Rows and accesses of a DRAM channel against the commands that the same run lists.
#[test]
fn a_memory_has_a_timeline_of_its_commands() {
    let folder = TempDir::new().unwrap();
    let arguments = ["run", "hbm3", "rand_rw21 requests=2000", "--quiet", "--out", "views"];
    let seen = orrery(folder.path(), &[&arguments[..], &["--timeline=0..10000000", "--commands"]].concat());
    assert_eq!(seen.code, 0, "{}", seen.err);
    let tracks = timeline(folder.path());
    let listed = std::fs::read_to_string(folder.path().join("views/commands.csv")).unwrap();
    let of = |command: &str| listed.lines().filter(|line| line.split(',').nth(1) == Some(command)).count();
    let slices = |wanted: &dyn Fn(&str) -> bool| {
        tracks.values().flat_map(|track| &track.slices).filter(|slice| wanted(&slice.1)).count()
    };
    for command in ["RD", "RDA", "WR", "WRA", "REFpb"] {
        assert!(of(command) > 0, "{command}");
        assert_eq!(slices(&|name| name == command), of(command), "{command}");
    }
    assert_eq!(slices(&|name| name.starts_with("row ")), of("ACT"));
    for (path, track) in tracks.iter().filter(|(path, _)| path.contains("/bank ")) {
        let in_place = |(depth, name, ..): &(usize, String, u64, u64)| match name.as_str() {
            "RD" | "RDA" | "WR" | "WRA" => *depth == 1,
            _ => *depth == 0,
        };
        assert!(track.slices.iter().all(in_place), "{path}");
    }
}

/// The window is one of the SMs' clock; what a memory does at another clock stands where it happened.
#[test]
fn a_memory_of_another_clock_stands_at_the_cycles_of_the_sms() {
    let folder = TempDir::new().unwrap();
    let machine = "base = \"h100-pcie-ideal\"\nname = \"slow\"\n\n[clock.slow]\nmhz = 100\norigin = \"assumed: a test\"\n\n\
                   [part.memory]\nclock = \"slow\"\n";
    std::fs::write(folder.path().join("slow.toml"), machine).unwrap();
    let arguments = ["run", "slow.toml", "vectoradd", "--json", "--set", "part.sm.count=2", "--out", "views"];
    let seen = orrery(folder.path(), &[&arguments[..], &["--timeline=0..10000000"]].concat());
    assert_eq!(seen.code, 0, "{}", seen.err);
    let document = seen.json();
    let cycles = document["simulated"]["cycles"].as_u64().unwrap();
    let tracks = timeline(folder.path());
    let last = |name: &str| tracks[name].samples.last().unwrap().0;
    assert!(last("memory/requests in flight") > cycles * 9 / 10 && last("memory/requests in flight") < cycles);
    assert!(last("SM 0/outstanding requests") > cycles * 9 / 10);
}
