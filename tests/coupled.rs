//! `orrery run --coupled`, and the messages that send a user there.

mod common;

use common::{Seen, orrery};
use tempfile::TempDir;

fn run(arguments: &[&str]) -> Seen {
    let folder = TempDir::new().unwrap();
    orrery(folder.path(), &[&["run", "--out", "none"], arguments].concat())
}

#[test]
fn a_kernel_that_waits_for_another_block_is_sent_to_coupled_and_runs_there() {
    let seen = run(&["h100-pcie", "producer-consumer"]);
    assert_eq!((seen.code, seen.out.as_str()), (2, ""), "{}", seen.err);
    insta::assert_snapshot!("waits_for_another_block", seen.message());
    let seen = run(&["h100-pcie", "producer-consumer", "--coupled"]);
    assert_eq!(seen.code, 0, "{}", seen.err);
    assert!(seen.out.contains("computed at issue") && seen.out.contains("right"), "{}", seen.out);
}

#[test]
fn a_kernel_that_computes_with_a_clock_is_sent_to_coupled_and_runs_there() {
    let seen = run(&["rtx-a6000", "dependent-chain"]);
    assert_eq!((seen.code, seen.out.as_str()), (2, ""), "{}", seen.err);
    insta::assert_snapshot!("computes_with_a_clock", seen.message());
    assert_eq!(run(&["rtx-a6000", "dependent-chain", "--coupled"]).code, 0);
}

#[test]
fn a_wait_that_cannot_end_is_a_run_without_a_result() {
    let one_place = ["--set", "part.sm.count=1", "--set", "part.sm.limits.ctas=1"];
    let seen = run(&[&["h100-pcie", "producer-consumer", "--coupled"], &one_place[..]].concat());
    assert_eq!((seen.code, seen.out.as_str()), (1, ""), "{}", seen.err);
    insta::assert_snapshot!("cannot_end", seen.message());
}

#[test]
fn results_do_not_depend_on_shards_and_a_note_says_that_there_is_one() {
    let result = |shards: &str| {
        let seen = run(&["rtx-3070", "grid-barrier", "--coupled", "--json", "--shards", shards]);
        assert_eq!(seen.code, 0, "{}", seen.err);
        let mut document = seen.json();
        document.as_object_mut().unwrap().remove("wall");
        (document, seen.err)
    };
    let ((one, quiet), (four, note)) = (result("1"), result("4"));
    assert_eq!(one, four);
    assert_eq!(quiet, "");
    assert!(note.contains("runs on one shard"), "{note}");
}

#[test]
fn a_memory_has_no_values() {
    let seen = run(&["hbm3", "rand_rw21", "--coupled"]);
    assert_eq!(seen.code, 2);
    assert!(seen.err.contains("--coupled is for kernels on a GPU"), "{}", seen.err);
}
