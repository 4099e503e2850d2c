//! Every number of a shipped machine has an origin (I-6): a key `origin` beside it, or a comment on its line
//! or above it in its paragraph.

mod common;

use std::path::{Path, PathBuf};

use common::project;

fn toml_files(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            toml_files(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "toml") {
            into.push(path);
        }
    }
}

/// Numbers below `table` that have no origin: neither `origin = "…"` beside them or above, nor `origin.<key>`.
fn unsourced(table: &toml::Table, path: &str, covered: bool, found: &mut Vec<String>) {
    let origin = table.get("origin");
    let covered = covered || origin.is_some_and(toml::Value::is_str);
    for (key, value) in table.iter().filter(|(key, _)| *key != "origin") {
        let own = origin.and_then(|origin| origin.get(key)).is_some();
        unsourced_value(value, &format!("{path}.{key}"), covered || own, found);
    }
}

fn unsourced_value(value: &toml::Value, path: &str, covered: bool, found: &mut Vec<String>) {
    match value {
        toml::Value::Integer(_) | toml::Value::Float(_) if !covered => found.push(path.to_string()),
        toml::Value::Array(values) => values.iter().for_each(|value| unsourced_value(value, path, covered, found)),
        toml::Value::Table(table) => unsourced(table, path, covered, found),
        _ => {}
    }
}

/// The text without values that have their source as a comment: behind them, or above them in their paragraph.
fn without_commented(text: &str) -> String {
    let mut kept = String::new();
    let mut below_comment = false;
    let mut series = ("", false);
    for line in text.lines() {
        below_comment = (below_comment || line.starts_with('#')) && !line.trim().is_empty();
        // A comment on the first table of an array speaks of all of them.
        if line.starts_with("[[") {
            below_comment |= series == (line, true);
            series = (line, below_comment);
        }
        let commented = below_comment || line.split_once('=').is_some_and(|(_, value)| value.contains('#'));
        if line.starts_with('[') || !commented {
            kept.push_str(line);
            kept.push('\n');
        }
    }
    kept
}

#[test]
fn every_number_has_an_origin() {
    let mut files = Vec::new();
    toml_files(&project().join("configs"), &mut files);
    assert!(!files.is_empty());
    let mut found = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        let shown = file.strip_prefix(project()).unwrap().display().to_string();
        unsourced(&without_commented(&text).parse().unwrap(), &shown, false, &mut found);
    }
    assert!(found.is_empty(), "numbers without an origin:\n{}", found.join("\n"));
}

#[test]
fn a_number_without_an_origin_is_found() {
    let text = "a = 1\ne = 5 # datasheet\n[p]\nb = 2\nc = [3]\n[p.origin]\nb = \"datasheet\"\n[q]\nd = 4\norigin = \"assumed\"\n\n# measured: here\n[r]\nf = 6\n";
    let mut found = Vec::new();
    unsourced(&without_commented(text).parse().unwrap(), "x", false, &mut found);
    assert_eq!(found, ["x.a", "x.p.c"]);
}
