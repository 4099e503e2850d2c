//! What a user reads when the input is wrong: exit code 2, where it is, what it is, what would be right.

mod common;

use common::{Seen, changed, orrery, project};
use tempfile::TempDir;

/// Calls `orrery` in a folder with these files.
fn with_files(files: &[(&str, String)], arguments: &[&str]) -> Seen {
    let folder = TempDir::new().unwrap();
    for (name, contents) in files {
        std::fs::write(folder.path().join(name), contents).unwrap();
    }
    orrery(folder.path(), arguments)
}

fn shipped(file: &str) -> String {
    std::fs::read_to_string(project().join(file)).unwrap()
}

/// A kernel of the user's own beside its launch, with one change to the listing.
fn with_kernel(from: &str, to: &str) -> Seen {
    let files = [
        ("vectoradd.sm_90.sass", changed("workloads/kernels/sass/vectoradd.sm_90.sass", from, to)),
        ("vectoradd.sm_90.toml", shipped("workloads/kernels/sass/vectoradd.sm_90.toml")),
        ("mine.toml", shipped("workloads/launches/vectoradd.toml")),
    ];
    with_files(&files, &["run", "h100-pcie", "mine.toml", "--out", "none"])
}

#[track_caller]
fn is_input_error(seen: &Seen) {
    assert_eq!(seen.code, 2, "{}", seen.err);
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

fn run(arguments: &[&str]) -> Seen {
    with_files(&[], &[&["run", "--out", "none"], arguments].concat())
}

message!(unknown_machine, run(&["h100-pci"]));
message!(unknown_workload, run(&["h100-pcie", "sgem"]));
message!(unknown_key_by_set, run(&["h100-pcie", "sgemm", "--set", "part.sm.cuont=66"]));
message!(wrong_type_by_set, run(&["h100-pcie", "sgemm", "--set", "part.sm.count=many"]));
message!(set_without_value, run(&["h100-pcie", "sgemm", "--set", "part.sm.count"]));
message!(unknown_suite, with_files(&[], &["validate", "sm-example"]));
message!(unknown_trace, with_files(&[], &["trace", "info", "sgemm_tile"]));
message!(timeline_window, run(&["--timeline=9..3"]));
message!(pipeline_window, run(&["--pipeline=all"]));
message!(focus_of_something_else, run(&["--pipeline", "--focus", "core=1"]));
message!(focus_without_a_view, run(&["h100-pcie", "saxpy", "--focus", "sm=1"]));
message!(focus_on_an_sm_that_is_not_there, run(&["h100-pcie", "saxpy", "--timeline", "--focus", "sm=0..115"]));

message!(a_stream_without_a_launch, run(&["h100-pcie", "saxpy | "]));
message!(streams_in_parentheses, run(&["h100-pcie", "saxpy + (histogram | softmax)"]));
message!(streams_with_values_at_issue, run(&["h100-pcie", "saxpy | histogram", "--coupled"]));

#[test]
fn help_of_run() {
    let seen = run(&["--help"]);
    assert_eq!((seen.code, seen.err.as_str()), (0, ""));
    let lines: Vec<&str> = seen.out.lines().map(str::trim_end).collect();
    insta::assert_snapshot!(lines.join("\n"));
}

message!(
    unknown_key_in_a_machine_file,
    with_files(
        &[("mine.toml", "base = \"h100-pcie-ideal\"\nname = \"mine\"\n\n[part.memory]\nlatency_cycle = 3\n".into())],
        &["run", "mine.toml", "sgemm", "--out", "none"]
    )
);
message!(
    two_wrong_values_in_a_machine_file,
    with_files(
        &[("mine.toml", "base = \"h100-pcie\"\n\n[part.sm]\ncount = -1\n\n[part.memory]\ncount = \"many\"\n".into())],
        &["check", "mine.toml", "--quiet"]
    )
);
message!(
    missing_argument,
    with_files(
        &[("mine.toml", {
            let text = shipped("workloads/launches/vectoradd.toml");
            let (last, check) = (text.rfind("[[arg]]").unwrap(), text.find("[check]").unwrap());
            format!("{}{}", &text[..last], &text[check..])
        })],
        &["run", "h100-pcie", "mine.toml", "--out", "none"]
    )
);
message!(
    impossible_launch,
    with_files(
        &[("mine.toml", {
            let text = shipped("workloads/launches/vectoradd.toml");
            let line = text.lines().find(|line| line.starts_with("block")).unwrap();
            text.replace(line, "block = [2048, 1, 1]")
        })],
        &["run", "h100-pcie", "mine.toml", "--out", "none"]
    )
);
message!(malformed_listing, with_kernel("FADD R9, R4, R3", "FADD R9, R4, ?3"));
message!(unknown_opcode, with_kernel("FADD", "FROB"));
message!(
    unknown_key_in_a_launch,
    with_files(
        &[("mine.toml", changed("workloads/launches/vectoradd.toml", "kernel =", "kernle ="))],
        &["check", "mine.toml", "--quiet"]
    )
);
message!(
    a_file_that_is_no_toml,
    with_files(&[("mine.toml", "name = \"x\n".into())], &["run", "mine.toml", "--out", "none"])
);

#[test]
fn an_unknown_command_or_option_is_wrong_input() {
    for arguments in [&["rnu"][..], &["run", "--sett", "a=1"], &["run", "--threads", "many"], &["list", "machine"]] {
        let seen = with_files(&[], arguments);
        is_input_error(&seen);
        assert!(seen.err.contains("--help"), "{}", seen.err);
    }
}

#[test]
fn a_folder_that_cannot_be_written_is_wrong_input() {
    let seen = with_files(&[("taken", "a file".into())], &["run", "h100-pcie", "vectoradd", "--out", "taken/x"]);
    assert_eq!(seen.code, 2, "{}", seen.err);
    assert!(seen.err.contains("taken") && seen.err.contains("--out none"), "{}", seen.err);
}
