//! The constraint tables, expanded to ticks, against those that Ramulator 2 checks.

mod common;

use std::collections::BTreeSet;

use common::{preset, root};
use hbm::command::Command;
use hbm::constraint::{ConstraintTable, Edition, Level, Scope};

/// Rules of a pair of commands as lines of text.
fn ours(name: &str) -> BTreeSet<String> {
    let preset = preset(name);
    let mut timing = preset.timing;
    timing.n_rrefd = preset.ramulator2.n_rrefd.unwrap_or(timing.n_rrefd);
    let table = ConstraintTable::build(preset.generation, &timing, Edition::Ramulator2);
    let level = |l: Level| match l {
        Level::PseudoChannel if preset.organisation.pseudo_channels == 1 => "Channel".to_string(),
        Level::StackId => "Sid".to_string(),
        l => format!("{l:?}"),
    };
    let line = |r: &hbm::constraint::PairRule| {
        let window = if r.window > 1 { format!(" window={}", r.window) } else { String::new() };
        let sibling = if r.scope == Scope::Siblings { " sibling" } else { "" };
        format!("{}: {} -> {} >= {}{window}{sibling}", level(r.level), r.before, r.after, r.ticks)
    };
    table.pairs.iter().map(line).collect()
}

/// The golden lines, one a pair of commands.
fn golden(rules: &toml::Value) -> BTreeSet<String> {
    let mut lines = BTreeSet::new();
    for rule in rules.as_array().unwrap() {
        let (level, rest) = rule.as_str().unwrap().split_once(": ").unwrap();
        let (before, rest) = rest.split_once(" -> ").unwrap();
        let (after, rest) = rest.split_once(" >= ").unwrap();
        for b in before.split('/') {
            for a in after.split('/') {
                lines.insert(format!("{level}: {b} -> {a} >= {rest}"));
            }
        }
    }
    lines
}

#[test]
fn expanded_tables_are_those_of_ramulator2() {
    let text = std::fs::read_to_string(root("validation/suites/hbm-ramulator2/effective.toml")).unwrap();
    let table: toml::Table = text.parse().unwrap();
    let presets = table["preset"].as_table().unwrap();
    assert_eq!(presets.len(), 7);
    for (name, golden_preset) in presets {
        let (ours, golden) = (ours(name), golden(&golden_preset["rules"]));
        let missing: Vec<_> = golden.difference(&ours).collect();
        let extra: Vec<_> = ours.difference(&golden).collect();
        assert!(missing.is_empty() && extra.is_empty(), "{name}: missing {missing:#?}, extra {extra:#?}");
        let preset = preset(name);
        let latency = preset.timing.n_read_data() * preset.generation.ticks_per_ck();
        assert_eq!(i64::from(latency), golden_preset["read_latency_ticks"].as_integer().unwrap(), "{name}");
    }
}

/// What Ramulator 2 leaves out (its issue 272, open at c5b1c3a) the full edition must have.
#[test]
fn the_full_edition_adds_the_missing_edges() {
    for (name, level, before, after, scope) in [
        ("hbm2-2000", Level::PseudoChannel, Command::RefPb, Command::RefPb, Scope::Same),
        ("hbm2-2000", Level::BankGroup, Command::Act, Command::RefPb, Scope::Same),
        ("hbm2-2000", Level::BankGroup, Command::RefPb, Command::Act, Scope::Same),
        ("hbm3", Level::BankGroup, Command::Act, Command::RfmPb, Scope::Same),
        ("hbm3", Level::Bank, Command::RdA, Command::RefPb, Scope::Same),
        ("hbm3", Level::Bank, Command::WrA, Command::RfmPb, Scope::Same),
        ("hbm3", Level::PseudoChannel, Command::RefAb, Command::RefPb, Scope::Same),
        ("hbm3", Level::PseudoChannel, Command::RfmPb, Command::RfmPb, Scope::Same),
        ("hbm3", Level::PseudoChannel, Command::RefPb, Command::RefAb, Scope::Same),
        ("hbm3", Level::PseudoChannel, Command::RefAb, Command::RefAb, Scope::Same),
        ("hbm3", Level::Bank, Command::RefPb, Command::RefPb, Scope::Same),
        ("hbm3", Level::StackId, Command::Wr, Command::Wr, Scope::Siblings),
    ] {
        let preset = preset(name);
        let has = |edition| {
            let table = ConstraintTable::build(preset.generation, &preset.timing, edition);
            table.pairs.iter().any(|r| (r.level, r.before, r.after, r.scope) == (level, before, after, scope))
        };
        assert!(has(Edition::Full) && !has(Edition::Ramulator2), "{name} {level:?} {before} -> {after}");
    }
}
