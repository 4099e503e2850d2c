//! `orrery trace info` on shipped and broken listings.

mod common;

use common::{orrery, project};
use serde_json::Value;
use tempfile::TempDir;

fn listing(name: &str) -> String {
    project().join("workloads/kernels/sass").join(name).display().to_string()
}

#[test]
fn a_listing_with_its_metadata() {
    let folder = TempDir::new().unwrap();
    let seen = orrery(folder.path(), &["trace", "info", &listing("vectoradd.sm_90.sass")]);
    assert_eq!(seen.code, 0, "{}", seen.err);
    insta::assert_snapshot!(seen.out);
}

#[test]
fn counts_agree_with_each_other() {
    let folder = TempDir::new().unwrap();
    let document = orrery(folder.path(), &["trace", "info", "sgemm_tiled", "--json"]).json();
    let functions = document.as_array().unwrap();
    let archs: Vec<&str> = functions.iter().map(|function| function["arch"].as_str().unwrap()).collect();
    assert_eq!(archs, workloads::sass::catalog::archs_of("sgemm_tiled"));
    let sum = |map: &Value| map.as_object().unwrap().values().map(|count| count.as_u64().unwrap()).sum::<u64>();
    for function in functions {
        let instructions = function["instructions"].as_u64().unwrap();
        assert_eq!(sum(&function["opcodes"]), instructions);
        assert_eq!(sum(&function["stall_cycles"]), instructions);
        // What `grep -c` says of the listing: each multiply-add of the inner loops is there.
        let text =
            std::fs::read_to_string(listing(&format!("sgemm_tiled.{}.sass", function["arch"].as_str().unwrap())));
        let ffma = text.unwrap().lines().filter(|line| line.contains(" FFMA ")).count() as u64;
        assert_eq!(function["opcodes"]["FFMA"].as_u64(), Some(ffma));
    }
}

#[test]
fn a_listing_without_metadata_says_so() {
    let folder = TempDir::new().unwrap();
    std::fs::copy(listing("saxpy.sm_80.sass"), folder.path().join("mine.sass")).unwrap();
    let seen = orrery(folder.path(), &["trace", "info", "mine.sass"]);
    assert_eq!(seen.code, 0, "{}", seen.err);
    assert!(seen.out.contains("saxpy (sm_80)") && seen.out.contains("there is no metadata"), "{}", seen.out);
}

#[test]
fn what_is_no_listing_is_refused() {
    let folder = TempDir::new().unwrap();
    for (name, contents) in
        [("a.sass", &b"hello\n"[..]), ("b.sass", b"\xff\xfe"), ("c.sass", b""), ("d.sass.zst", b"no")]
    {
        std::fs::write(folder.path().join(name), contents).unwrap();
        let seen = orrery(folder.path(), &["trace", "info", name]);
        assert_eq!(seen.code, 2, "{name}: {}{}", seen.out, seen.err);
        assert!(seen.err.contains(name) && !seen.err.contains("panicked"), "{}", seen.err);
    }
}
