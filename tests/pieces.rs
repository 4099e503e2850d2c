//! A run in pieces: saved, gone on with, stopped early, interrupted.

mod common;

use common::{Seen, orrery};
use serde_json::Value;
use std::path::Path;
use tempfile::TempDir;

/// A small GPU, so that a kernel takes some thousand cycles of few SMs.
const GPU: [&str; 4] = ["rtx-3070", "reduction", "--set", "part.sm.count=4"];
const MEMORY: [&str; 2] = ["hbm3", "rand_rw21 requests=20000"];

fn run(folder: &Path, arguments: &[&str]) -> Seen {
    orrery(folder, &[&["run", "--out", "none"], arguments].concat())
}

/// The document without `wall`, byte for byte.
fn document(folder: &Path, arguments: &[&str]) -> String {
    let seen = run(folder, &[arguments, &["--json"]].concat());
    assert_eq!(seen.code, 0, "{}", seen.err);
    let mut document = seen.json();
    document.as_object_mut().unwrap().remove("wall").unwrap();
    document.to_string()
}

fn cycles(document: &str) -> u64 {
    serde_json::from_str::<Value>(document).unwrap()["simulated"]["cycles"].as_u64().unwrap()
}

#[test]
fn a_run_in_pieces_gives_the_same_result() {
    let folder = TempDir::new().unwrap();
    for kernel in ["saxpy", "histogram", "softmax"] {
        let gpu = ["rtx-3070", kernel, "--set", "part.sm.count=4"];
        let whole = document(folder.path(), &gpu);
        for (percent, from, to) in [(1, "1", "3"), (37, "2", "1"), (80, "3", "8")] {
            let until = (cycles(&whole) * percent / 100).to_string();
            let save = ["--until", &until, "--save", "half.orrery", "--shards", from];
            let seen = run(folder.path(), &[&gpu[..], &save].concat());
            assert_eq!(seen.code, 0, "{}", seen.err);
            assert!(
                seen.out.contains("saved half.orrery, to go on with: orrery run --resume half.orrery"),
                "{}",
                seen.out
            );
            let resumed = document(folder.path(), &["--resume", "half.orrery", "--shards", to]);
            assert_eq!(resumed, whole, "{kernel} saved at {until} by {from} shards, gone on with by {to}");
        }
    }
}

/// The snapshot knows that values are computed at issue, so that going on need not say it; it is another run without.
#[test]
fn a_coupled_run_in_pieces_gives_the_same_result() {
    let folder = TempDir::new().unwrap();
    let gpu = ["rtx-3070", "grid-barrier"];
    let whole = document(folder.path(), &[&gpu[..], &["--coupled"]].concat());
    let until = (cycles(&whole) / 2).to_string();
    let save = ["--coupled", "--until", &until, "--save", "half"];
    assert_eq!(run(folder.path(), &[&gpu[..], &save].concat()).code, 0);
    assert_eq!(document(folder.path(), &["--resume", "half"]), whole);

    let save = ["--until", "1000", "--save", "ahead"];
    assert_eq!(run(folder.path(), &[&["rtx-3070", "saxpy"][..], &save].concat()).code, 0);
    let seen = run(folder.path(), &["--resume", "ahead", "--coupled"]);
    assert_eq!(seen.code, 2, "{}", seen.err);
}

#[test]
fn a_memory_in_three_pieces_gives_the_same_result() {
    let folder = TempDir::new().unwrap();
    let whole = document(folder.path(), &MEMORY);
    let first = run(folder.path(), &[&MEMORY[..], &["--until", "5000", "--save", "a"]].concat());
    assert_eq!(first.code, 0, "{}", first.err);
    let second = run(folder.path(), &["--resume", "a", "--until", "40001", "--save", "b"]);
    assert_eq!(second.code, 0, "{}", second.err);
    assert_eq!(document(folder.path(), &["--resume", "b"]), whole);
    // What is named may be named again.
    assert_eq!(document(folder.path(), &[&MEMORY[..], &["--resume", "b"]].concat()), whole);
}

#[test]
fn a_run_that_stops_early_says_so_and_fails() {
    let folder = TempDir::new().unwrap();
    for arguments in [&GPU[..], &MEMORY] {
        let arguments = [&["run", "--until", "3000", "--out", "here"], arguments].concat();
        let seen = orrery(folder.path(), &arguments);
        assert_eq!(seen.code, 1, "{}", seen.err);
        assert!(seen.err.contains("the run is partial: stopped at cycle 3,000 by --until"), "{}", seen.err);
        let text = std::fs::read_to_string(folder.path().join("here/report.txt")).unwrap();
        assert!(text.contains("PARTIAL: stopped at cycle 3,000 by --until"), "{text}");
        let result: Value =
            serde_json::from_slice(&std::fs::read(folder.path().join("here/result.json")).unwrap()).unwrap();
        assert_eq!(result["partial"], serde_json::json!({"because": "until", "cycle": 3000}));
        assert_eq!(result["simulated"]["cycles"], 3000);
    }
}

#[test]
fn a_run_that_ends_before_is_whole_and_saves_nothing() {
    let folder = TempDir::new().unwrap();
    let seen = run(folder.path(), &[&GPU[..], &["--until", "999999999", "--save", "never"]].concat());
    assert_eq!(seen.code, 0, "{}", seen.err);
    assert!(seen.err.contains("there is nothing to go on with, and never was not written"), "{}", seen.err);
    assert!(!seen.out.contains("PARTIAL") && !folder.path().join("never").exists());
}

/// Every snapshot that is not this run's, or not whole: exit code 2, a message, no panic.
#[test]
fn a_snapshot_that_does_not_fit_is_refused() {
    let folder = TempDir::new().unwrap();
    let at = |name: &str| folder.path().join(name);
    assert_eq!(run(folder.path(), &[&GPU[..], &["--until", "3000", "--save", "good"]].concat()).code, 0);
    let good = std::fs::read(at("good")).unwrap();
    let refused = |arguments: &[&str], expected: &str| {
        let seen = run(folder.path(), &[&["--resume"], arguments].concat());
        assert_eq!(seen.code, 2, "{arguments:?}: {}", seen.err);
        assert!(seen.err.contains(expected), "{arguments:?}: {}", seen.err);
    };
    refused(&["gone"], "gone: cannot be read");
    std::fs::write(at("text"), "not a snapshot").unwrap();
    refused(&["text"], "text: this is no snapshot of a run");
    refused(&["good", "--until", "3000"], "was saved at cycle 3,000, --until 3000 is not later");
    refused(&["good", "rtx-3070", "reduction"], "the snapshot is of another machine");
    refused(&["good", "--set", "part.sm.count=5"], "the snapshot is of another machine");
    let gpu = ["rtx-3070", "histogram", "--set", "part.sm.count=4"];
    refused(&[&["good"], &gpu[..]].concat(), "the snapshot is of another workload");
    refused(&[&["good"], &MEMORY[..]].concat(), "the snapshot is of another");
    refused(&["good", "hbm3", "seq_read", "--commands"], "--commands cannot be combined");
    // Damaged at places of all kinds: magic, format, length, checksum, body; cut; made longer.
    for place in [0, 7, 8, 12, 19, 20, 51, 52, 53, good.len() / 2, good.len() - 1] {
        let mut bytes = good.clone();
        bytes[place] ^= 0x20;
        std::fs::write(at("bad"), &bytes).unwrap();
        refused(&["bad"], "bad: ");
        std::fs::write(at("cut"), &good[..place]).unwrap();
        refused(&["cut"], "cut: ");
    }
    std::fs::write(at("long"), [&good[..], b"more"].concat()).unwrap();
    refused(&["long"], "it was not copied as a whole");
    // A file of another version whose bytes are all right.
    let mut snapshot = sim_core::Snapshot::from_bytes(&good).unwrap();
    snapshot.header.program = "orrery 0.0.0".to_string();
    std::fs::write(at("old"), snapshot.to_bytes()).unwrap();
    refused(&["old"], "the snapshot was written by orrery 0.0.0");
    let mut snapshot = sim_core::Snapshot::from_bytes(&good).unwrap();
    snapshot.state.truncate(snapshot.state.len() / 2);
    std::fs::write(at("half"), snapshot.to_bytes()).unwrap();
    refused(&["half"], "half: ");
}

/// Starts a run that takes minutes and interrupts it. The child may be slow to start: then it is tried again.
#[cfg(unix)]
fn interrupted(folder: &Path, arguments: &[&str]) -> Seen {
    use std::process::{Command, Stdio};
    for patience_ms in [500, 2_000, 8_000] {
        let mut child = Command::new(env!("CARGO_BIN_EXE_orrery"));
        child.current_dir(folder).arg("run").args(arguments).env("NO_COLOR", "1");
        let child = child.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        std::thread::sleep(std::time::Duration::from_millis(patience_ms));
        assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
        let output = child.wait_with_output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        if let Some(code) = output.status.code() {
            return Seen { code, out: text(output.stdout), err: text(output.stderr) };
        }
    }
    panic!("the run did not start within seconds");
}

#[cfg(unix)]
#[test]
fn ctrl_c_reports_what_there_is_and_saves_it() {
    let folder = TempDir::new().unwrap();
    let long = [
        &["hbm3", "rand_rw21 requests=90000000 outstanding=1"][..],
        &["h100-pcie-ideal", "sgemm", "--threads", "1", "--set", "part.memory.bandwidth_gb_per_s=1"],
    ];
    for (arguments, name) in long.into_iter().zip(["memory", "gpu"]) {
        let seen = interrupted(folder.path(), &[arguments, &["--out", name, "--save", "state"]].concat());
        assert_eq!(seen.code, 1, "{}\n{}", seen.out, seen.err);
        assert!(
            seen.err.contains("the run is partial: stopped at cycle") && seen.err.contains("by Ctrl-C"),
            "{}",
            seen.err
        );
        let result: Value =
            serde_json::from_slice(&std::fs::read(folder.path().join(name).join("result.json")).unwrap()).unwrap();
        assert_eq!(result["partial"]["because"], "interrupted");
        let cycle = result["partial"]["cycle"].as_u64().unwrap();
        assert_eq!(result["simulated"]["cycles"], cycle);
        // It goes on from there.
        let until = (cycle + 1000).to_string();
        let seen = run(folder.path(), &["--resume", "state", "--until", &until, "--json"]);
        assert_eq!((seen.code, seen.json()["simulated"]["cycles"].as_u64()), (1, Some(cycle + 1000)), "{}", seen.err);
        let beside: Vec<String> =
            std::fs::read_dir(folder.path()).unwrap().map(|f| f.unwrap().file_name().into_string().unwrap()).collect();
        assert!(beside.iter().all(|name| !name.starts_with('.')), "nothing half-written: {beside:?}");
    }
}
