//! Every number of a shipped machine has an origin (I-6).

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

/// Numbers of a memory preset without a comment behind them: there each has its source as a comment.
fn uncommented(text: &str, path: &str, found: &mut Vec<String>) {
    for (number, line) in (1..).zip(text.lines()) {
        let value = line.split_once('=').map_or("", |(_, value)| value.trim_start());
        let is_number = value.starts_with(|c: char| c.is_ascii_digit() || c == '-' || c == '[');
        if is_number && !line.trim_start().starts_with('#') && !value.contains('#') {
            found.push(format!("{path}:{number}"));
        }
    }
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
        if shown.starts_with("configs/memory") {
            uncommented(&text, &shown, &mut found);
        } else {
            unsourced(&text.parse().unwrap(), &shown, false, &mut found);
        }
    }
    assert!(found.is_empty(), "numbers without an origin:\n{}", found.join("\n"));
}

#[test]
fn a_number_without_an_origin_is_found() {
    let table = "a = 1\n[p]\nb = 2\nc = [3]\n[p.origin]\nb = \"datasheet\"\n[q]\nd = 4\norigin = \"assumed\"\n"
        .parse()
        .unwrap();
    let mut found = Vec::new();
    unsourced(&table, "x", false, &mut found);
    assert_eq!(found, ["x.a", "x.p.c"]);
}
