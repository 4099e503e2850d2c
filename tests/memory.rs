//! The memories from the command line: what a run reports, traces in three forms, the protocol checker, and what a user
//! reads when a preset, a stream or a trace is wrong.

mod common;

use common::{Seen, changed, orrery, project};
use serde_json::Value;
use tempfile::TempDir;

fn with_files(files: &[(&str, &str)], arguments: &[&str]) -> Seen {
    let folder = TempDir::new().unwrap();
    for (name, contents) in files {
        std::fs::write(folder.path().join(name), contents).unwrap();
    }
    orrery(folder.path(), arguments)
}

fn document(arguments: &[&str]) -> Value {
    let seen = with_files(&[], &[&["run", "--json", "--out", "none"], arguments].concat());
    assert_eq!(seen.code, 0, "{}", seen.err);
    seen.json()
}

fn number(document: &Value, path: &str) -> f64 {
    let node = path.split('.').fold(&document["stats"], |node, key| &node[key]);
    node["value"].as_f64().unwrap_or_else(|| panic!("no {path}"))
}

#[test]
fn the_report_adds_up() {
    let document = document(&["hbm3", "rand_rw21 requests=20000 outstanding=64"]);
    let (reads, writes) = (number(&document, "reads.requests"), number(&document, "writes.requests"));
    assert_eq!(reads + writes, 20_000.0);
    let rows: f64 = ["hits", "misses", "conflicts", "forwarded_reads", "merged_writes"]
        .map(|name| number(&document, &format!("rows.{name}")))
        .iter()
        .sum();
    assert_eq!(rows, 20_000.0);
    // 32 bytes a request that reached the banks, over the simulated time.
    let time = document["simulated"]["time_ns"].as_f64().unwrap();
    let moved: f64 =
        ["hits", "misses", "conflicts"].map(|name| number(&document, &format!("rows.{name}"))).iter().sum();
    assert!((number(&document, "bandwidth.achieved") - moved * 32.0 / time).abs() < 1e-9);
    // HBM3 6.4 Gb/s: 819.2 GB/s over 16 channels.
    assert!((number(&document, "bandwidth.peak") - 51.2).abs() < 1e-9);
    // The breakdown is of every tick of every read: half a clock each.
    let parts = document["breakdown"]["parts"].as_object().unwrap();
    let ticks: u64 = parts.values().map(|part| part.as_u64().unwrap()).sum();
    assert_eq!(Some(ticks), document["breakdown"]["total"].as_u64());
    let mean = number(&document, "reads.mean");
    assert!((ticks as f64 / 2.0 / reads - mean).abs() < 1e-6 * mean, "{ticks} {reads} {mean}");
    let stations =
        ["queue", "bank", "bus", "refresh", "data"].map(|part| number(&document, &format!("mean_read.{part}")));
    assert!((stations.iter().sum::<f64>() - number(&document, "reads.mean_ns")).abs() < 1e-6);
    let banks = document["stats"]["banks"].as_object().unwrap();
    let accesses: u64 = banks.values().map(|bank| bank["accesses"]["value"].as_u64().unwrap()).sum();
    let columns: f64 =
        ["RD", "RDA", "WR", "WRA"].map(|name| number(&document, &format!("commands.{name}"))).iter().sum();
    assert_eq!(accesses as f64, columns);
}

/// Streams made of coordinates mean places, whatever the address map and its hash.
#[test]
fn a_row_conflict_stream_conflicts_under_a_hashed_map() {
    let document = document(&["hbm3", "row_conflict requests=2000"]);
    assert_eq!(number(&document, "rows.hits"), 0.0);
    let used = document["stats"]["banks"].as_object().unwrap().values();
    assert_eq!(used.filter(|bank| bank["accesses"]["value"] != 0).count(), 1, "one bank");
}

#[test]
fn three_forms_of_a_trace_are_one() {
    let folder = TempDir::new().unwrap();
    let files = [
        ("ours.csv", "at,op,address,bytes\n0,R,0x40,64\n0,W,0x2000,32\n"),
        ("ramulator.trace", "LD 0x40\nLD 0x60\nST 0x2000\n"),
        ("dramsim3.trc", "0x40 READ 0\n0x60 READ 0\n0x2000 WRITE 0\n"),
    ];
    let mut seen = Vec::new();
    for (name, text) in files {
        std::fs::write(folder.path().join(name), text).unwrap();
        let run = orrery(folder.path(), &["run", "hbm2-2000", name, "--json", "--out", "none"]);
        assert_eq!(run.code, 0, "{}", run.err);
        let document = run.json();
        seen.push((document["config_hash"].clone(), document["simulated"].clone(), document["stats"].clone()));
    }
    assert!(seen.iter().all(|one| *one == seen[0]), "{seen:#?}");
}

#[test]
fn a_run_leaves_its_files_and_its_commands_are_legal() {
    let folder = TempDir::new().unwrap();
    let seen = orrery(
        folder.path(),
        &["run", "stacks/v100", "line128_rw21 requests=4000", "--plots", "--commands", "--out", "o"],
    );
    assert_eq!(seen.code, 0, "{}", seen.err);
    let out = folder.path().join("o");
    let mut names: Vec<_> =
        std::fs::read_dir(&out).unwrap().map(|f| f.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    let expected = [
        "bank_heatmap.png",
        "bank_heatmap.svg",
        "commands.csv",
        "latency_bandwidth.csv",
        "latency_bandwidth.png",
        "latency_bandwidth.svg",
        "machine.toml",
        "report.txt",
        "result.json",
        "stats.csv",
    ];
    assert_eq!(names, expected);
    let report = std::fs::read_to_string(out.join("report.txt")).unwrap();
    assert!(seen.out.starts_with(&report), "the screen begins with the report");
    assert_eq!(orrery(folder.path(), &["trace", "check", "o/commands.csv"]).code, 0);

    // The resolved memory alone repeats the run.
    let again = ["run", "o/machine.toml", "line128_rw21 requests=4000", "--json", "--out", "none"];
    let again = orrery(folder.path(), &again).json();
    let written: Value = serde_json::from_slice(&std::fs::read(out.join("result.json")).unwrap()).unwrap();
    for key in ["config_hash", "simulated", "breakdown", "stats"] {
        assert_eq!(again[key], written[key], "{key}");
    }
}

#[test]
fn the_curve_rises_with_the_load() {
    let folder = TempDir::new().unwrap();
    let seen = orrery(folder.path(), &["run", "hbm3", "rand_read requests=5000", "--plots", "--out", "o"]);
    assert_eq!(seen.code, 0, "{}", seen.err);
    let text = std::fs::read_to_string(folder.path().join("o/latency_bandwidth.csv")).unwrap();
    let points: Vec<Vec<f64>> =
        text.lines().skip(1).map(|line| line.split(',').map(|n| n.parse().unwrap()).collect()).collect();
    // 2 % of 51.2 GB/s is offered at the first point, and served.
    assert!((points[0][0] / 1.024 - 1.0).abs() < 0.02, "{text}");
    assert!(points.last().unwrap()[1] > 3.0 * points[0][1], "{text}");
}

#[test]
fn a_screen() {
    let seen =
        with_files(&[], &["run", "hbm2-2000", "line128 requests=3000 outstanding=32", "--quiet", "--out", "none"]);
    assert_eq!(seen.code, 0, "{}", seen.err);
    insta::assert_snapshot!(seen.out);
}

#[test]
fn a_file_inherits_from_a_shipped_memory() {
    let mine = "base = \"hbm3.toml\"\nname = \"mine\"\n[timing]\nn_cl = 24\n[policy]\nread_queue = 16\n";
    let seen = with_files(&[("mine.toml", mine)], &["check", "mine.toml"]);
    assert_eq!((seen.code, seen.out.as_str()), (0, "  ok    memory    mine.toml\n"), "{}", seen.err);
}

fn trace(name: &str) -> String {
    project().join("validation/suites/hbm-protocol").join(name).display().to_string()
}

/// The traces of other simulators: legal ones pass, the known-bad one of DRAMsim3 has its 12 violations.
#[test]
fn the_checker_judges_the_traces_of_other_simulators() {
    let check = |name: &str, memory: &str| {
        let file = trace(&format!("{name}.cmd.csv.zst"));
        let arguments = ["trace", "check", &file, "--memory", memory, "--rules", "ramulator2", "--json"];
        let seen = with_files(&[], &arguments);
        (seen.code, seen.json()["violations"].as_u64().unwrap())
    };
    let dramsim3 = trace("dramsim3-hbm2.toml");
    assert_eq!(check("ramulator2-hbm2.line128_rw21", "hbm2"), (0, 0));
    assert_eq!(check("ramulator2-hbm3.line128_rw21", "hbm3"), (0, 0));
    assert_eq!(check("ramulator2-hbm3-perbank.line128_rw21", "hbm3"), (0, 0));
    assert_eq!(check("dramsim3-hbm2.copy", &dramsim3), (0, 0));
    assert_eq!(check("dramsim3-hbm2-refpb.rand_read", &dramsim3), (1, 12));
}

#[test]
fn violations_are_listed() {
    let text = "# memory: hbm2-2000\nclk,cmd,pc,sid,bg,ba,row,col\n1,ACT,0,0,0,0,5,-1\n9,RD,0,0,0,0,5,0\n9,RD,0,0,0,0,6,0\n30,ACT,0,0,0,0,7,-1\n";
    let seen = with_files(&[("t.csv", text)], &["trace", "check", "t.csv", "--show", "3"]);
    assert_eq!(seen.code, 1);
    insta::assert_snapshot!(seen.out);
}

#[track_caller]
fn is_input_error(seen: &Seen) {
    assert_eq!(seen.code, 2, "{}{}", seen.out, seen.err);
    assert_eq!(seen.out, "", "nothing on standard output");
    assert!(!seen.err.contains("panicked"), "{}", seen.err);
}

macro_rules! message {
    ($name:ident, $seen:expr) => {
        #[test]
        fn $name() {
            let seen = $seen;
            is_input_error(&seen);
            insta::assert_snapshot!(seen.message());
        }
    };
}

/// `hbm3.toml` with one change, checked.
fn spoilt(from: &str, to: &str) -> Seen {
    let text = changed("configs/memory/hbm3.toml", from, to);
    with_files(&[("mine.toml", &text)], &["check", "mine.toml", "--quiet"])
}

fn on_hbm3(arguments: &[&str]) -> Seen {
    with_files(&[], &[&["run", "hbm3", "--out", "none"], arguments].concat())
}

fn requests(text: &str) -> Seen {
    with_files(&[("t.trace", text)], &["run", "hbm3", "t.trace", "--out", "none"])
}

fn commands(text: &str) -> Seen {
    with_files(&[("t.csv", text)], &["trace", "check", "t.csv", "--memory", "hbm3"])
}

message!(preset_ras_above_rc, spoilt("n_ras = 45", "n_ras = 145"));
message!(preset_not_a_power_of_two, spoilt("rows = 16384", "rows = 12345"));
message!(preset_clock_of_zero, spoilt("clock_mhz = 1600", "clock_mhz = 0"));
message!(preset_zero_queue, spoilt("[ramulator2]", "[policy]\nread_queue = 0\n[ramulator2]"));
message!(preset_unknown_key, spoilt("n_faw", "n_fav"));
message!(preset_of_the_wrong_type, spoilt("n_faw = 24", "n_faw = \"24\""));
message!(preset_that_is_no_toml, spoilt("[timing]", "[timing"));
message!(set_zero_queue, on_hbm3(&["seq", "--set", "policy.write_queue=0"]));
message!(set_ras_above_rc, on_hbm3(&["seq", "--set", "timing.n_ras=145"]));
message!(set_unknown_policy, on_hbm3(&["seq", "--set", "policy.raed_queue=3"]));
message!(unknown_stream, on_hbm3(&["sgemm"]));
message!(stream_parameter, on_hbm3(&["rand_read request=3"]));
message!(stream_outside_the_channel, on_hbm3(&["rand_read footprint=99999999999999"]));
message!(pipeline_of_a_memory, on_hbm3(&["seq", "--pipeline"]));
message!(requests_misaligned, requests("LD 0x40\nLD 0x61\n"));
message!(requests_out_of_range, requests("LD 0x40\nST 0xfffffffff0000000\n"));
message!(requests_truncated, requests("at,op,address,bytes\n0,R,0x40,64\n10,W,0x"));
message!(requests_backwards, requests("0x40 READ 10\n0x80 READ 9\n"));
message!(requests_due_in_centuries, requests("0x40 READ 18446744073709551615\n"));
message!(requests_empty, requests("# nothing\n"));
message!(requests_of_something_else, requests("\u{7f}ELF\u{2}\u{1}\n"));
message!(commands_truncated, commands("1,ACT,0,0,0,0,5,-1\n40,RD,0,0,0"));
message!(commands_unknown, commands("1,ACTIVATE,0,0,0,0,5,-1\n"));
message!(commands_that_are_requests, commands("LD 0x40\n"));
message!(commands_without_a_memory, with_files(&[("t.csv", "1,ACT,0,0,0,0,5,-1\n")], &["trace", "check", "t.csv"]));
message!(
    commands_of_an_unknown_memory,
    with_files(&[("t.csv", "1,ACT,0,0,0,0,5,-1\n")], &["trace", "check", "t.csv", "--memory", "hbm33"])
);
message!(commands_not_there, with_files(&[], &["trace", "check", "gone.csv", "--memory", "hbm3"]));

#[test]
fn bytes_that_are_no_text_or_no_archive_are_refused() {
    let folder = TempDir::new().unwrap();
    for (name, contents) in [("a.trace", &b"\xff\xfe\x00"[..]), ("b.csv.zst", b"no archive")] {
        std::fs::write(folder.path().join(name), contents).unwrap();
        for arguments in [&["run", "hbm3", name, "--out", "none"][..], &["trace", "check", name, "--memory", "hbm3"]] {
            let seen = orrery(folder.path(), arguments);
            is_input_error(&seen);
            assert!(seen.err.contains(name), "{}", seen.err);
        }
    }
}

#[test]
fn a_stream_on_a_gpu_says_where_it_runs() {
    let seen = with_files(&[], &["run", "h100-pcie", "seq_read", "--out", "none"]);
    is_input_error(&seen);
    assert!(seen.err.contains("stacks/h100-pcie"), "{}", seen.err);
}
