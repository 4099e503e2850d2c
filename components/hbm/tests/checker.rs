//! The protocol checker against command traces of other simulators.

mod common;

use std::collections::BTreeSet;

use common::root;
use hbm::checker::{Breach, Checker, TracedCommand, Violation};
use hbm::command::Command;
use hbm::constraint::{ConstraintTable, Edition, Level};
use hbm::preset::Preset;
use hbm::trace::read_commands;

fn trace(name: &str) -> Vec<TracedCommand> {
    let packed = std::fs::read(root(&format!("validation/suites/hbm-protocol/{name}.cmd.csv.zst"))).unwrap();
    let text = String::from_utf8(zstd::decode_all(&packed[..]).unwrap()).unwrap();
    read_commands(name, &text).unwrap()
}

fn check(preset: &str, edition: Edition, commands: &[TracedCommand]) -> Vec<Violation> {
    let preset = Preset::load_path(&root(preset)).unwrap();
    let mut timing = preset.timing;
    if edition == Edition::Ramulator2 {
        timing.n_rrefd = preset.ramulator2.n_rrefd.unwrap_or(timing.n_rrefd);
    }
    let table = ConstraintTable::build(preset.generation, &timing, edition);
    Checker::new(preset.generation, preset.organisation, &table, edition == Edition::Full).check_all(commands)
}

#[test]
fn accepts_the_traces_of_ramulator2() {
    for (preset, name) in [
        ("configs/memory/hbm2-2000.toml", "ramulator2-hbm2.line128_rw21"),
        ("configs/memory/hbm3.toml", "ramulator2-hbm3.line128_rw21"),
        ("configs/memory/hbm3.toml", "ramulator2-hbm3-perbank.line128_rw21"),
    ] {
        let commands = trace(name);
        assert!(commands.len() > 14_000);
        assert_eq!(check(preset, Edition::Ramulator2, &commands), [], "{name}");
    }
}

#[test]
fn accepts_a_trace_of_dramsim3_by_its_own_rules() {
    let violations =
        check("validation/suites/hbm-protocol/dramsim3-hbm2.toml", Edition::Ramulator2, &trace("dramsim3-hbm2.copy"));
    assert_eq!(violations, []);
}

/// DRAMsim3 gives a bank refreshed by REFpb no time at all (its issue 24): 12 activates come too soon.
#[test]
fn rejects_the_known_bad_trace_of_dramsim3() {
    let commands = trace("dramsim3-hbm2-refpb.rand_read");
    let violations = check("validation/suites/hbm-protocol/dramsim3-hbm2.toml", Edition::Ramulator2, &commands);
    assert_eq!(violations.len(), 12);
    for v in &violations {
        assert!(
            matches!(v.breach, Breach::TooSoon { rule, .. }
            if (rule.before, rule.after, rule.level) == (Command::RefPb, Command::Act, Level::Bank)),
            "{v}"
        );
    }
}

/// Two channels of DRAMsim3 stand for two pseudo channels but do not share the command buses. The pairwise rule of the row
/// bus alone (ACT takes two clocks) flags 7 % of the commands; one command a bus and clock flags more.
#[test]
fn flags_pseudo_channels_that_do_not_share_their_buses() {
    let commands = trace("dramsim3-hbm2-two-channels.line128_rw21");
    let violations = check("configs/memory/hbm2-2000.toml", Edition::Ramulator2, &commands);
    let share = |wanted: fn(&Violation) -> bool| {
        let flagged: BTreeSet<usize> = violations.iter().filter(|v| wanted(v)).map(|v| v.index).collect();
        flagged.len() as f64 / commands.len() as f64
    };
    let pairwise = share(|v| matches!(v.breach, Breach::TooSoon { rule, .. } if rule.level == Level::Channel));
    assert!((0.065..0.08).contains(&pairwise), "{pairwise}");
    let buses = share(|v| v.breach == Breach::WrongEdge || matches!(v.breach, Breach::BusBusy { .. }));
    assert!((0.15..0.25).contains(&buses), "{buses}");
}

/// A legal saturated trace with one activate dropped is no longer legal; with one command a tick earlier, mostly not.
#[test]
fn notices_mutations() {
    let commands = trace("ramulator2-hbm2.line128_rw21");
    let commands = &commands[..2000];
    let legal = |trace: &[TracedCommand]| check("configs/memory/hbm2-2000.toml", Edition::Ramulator2, trace).is_empty();
    let (mut noticed, mut mutants) = (0, 0);
    for i in (100..1500).step_by(20) {
        let act = (i..1600).find(|j| commands[*j].command == Command::Act).unwrap();
        let mut without = commands.to_vec();
        without.remove(act);
        assert!(!legal(&without), "command {act} removed");
        let mut early = commands.to_vec();
        early[i].tick -= 1;
        early.sort_by_key(|c| c.tick);
        noticed += usize::from(!legal(&early));
        mutants += 1;
    }
    assert!(noticed * 2 > mutants, "{noticed} of {mutants}");
}
