//! Every golden line of Ramulator 2 must be equal in every metric: 240 lines, 20 million requests.

mod common;

use std::collections::BTreeMap;
use std::time::Instant;

use common::{Case, Suite, preset, suite};
use hbm::golden::run_case;

/// Metrics that differ: (name, ours, golden).
fn differences(suite: &Suite, case: &Case) -> Vec<(String, String, String)> {
    let golden = &suite.policies[&case.policy];
    assert_eq!(golden.machine, case.machine);
    let run = run_case(&preset(&case.machine), golden, &case.workload).unwrap();
    let ours: BTreeMap<String, String> = run.metrics.into_iter().map(|(k, v)| (k.to_string(), v)).collect();
    let zero = "0".to_string();
    let names: std::collections::BTreeSet<&String> = ours.keys().chain(case.metrics.keys()).collect();
    let value = |of: &BTreeMap<String, String>, name: &String| of.get(name).unwrap_or(&zero).clone();
    names
        .into_iter()
        .map(|n| (n.clone(), value(&ours, n), plain(value(&case.metrics, n))))
        .filter(|(_, a, b)| a != b)
        .collect()
}

fn check(suite: &Suite) {
    let (mut exact, mut off) = (0, Vec::new());
    for case in &suite.cases {
        let start = Instant::now();
        let differences = differences(suite, case);
        let rate = case.workload.stream.requests as f64 / start.elapsed().as_secs_f64();
        println!("{:60} {:9.0} requests/s {:6.1}x", case.name, rate, rate / suite.peer_speed[&case.name]);
        if differences.is_empty() {
            exact += 1;
        } else {
            println!("    {differences:?}");
            off.push(case.name.clone());
        }
    }
    println!("{exact} exact, {} not", off.len());
    assert!(off.is_empty(), "{} of {} lines differ: {off:?}", off.len(), off.len() + exact);
}

/// Decimals without trailing zeros.
fn plain(value: String) -> String {
    if value.contains('.') { value.trim_end_matches('0').trim_end_matches('.').to_string() } else { value }
}

#[test]
fn all_golden_lines_are_exact() {
    check(&suite());
}

/// Not only the sums: every command of the recorded traces comes at the same tick, to the same place.
#[test]
fn command_traces_are_those_of_ramulator2() {
    use hbm::command::Reach;
    use hbm::compat::ramulator2::Ramulator2;
    use hbm::controller::{Controller, IssuedCommand};
    let suite = suite();
    for (policy, file) in [
        ("hbm2", "ramulator2-hbm2.line128_rw21"),
        ("hbm3", "ramulator2-hbm3.line128_rw21"),
        ("hbm3-perbank", "ramulator2-hbm3-perbank.line128_rw21"),
    ] {
        let packed =
            std::fs::read(common::root(&format!("validation/suites/hbm-protocol/{file}.cmd.csv.zst"))).unwrap();
        let text = String::from_utf8(zstd::decode_all(&packed[..]).unwrap()).unwrap();
        let golden = hbm::trace::read_commands(file, &text).unwrap();
        let (policy, workload) =
            (&suite.policies[policy], "line128_rw21 requests=20000".parse::<hbm::workload::Workload>());
        let (preset, workload) = (preset(&policy.machine), workload.unwrap());
        let order = hbm::mapper::FieldOrder::parse(&policy.map, &preset.organisation).unwrap();
        let mut stream = hbm::generator::RequestStream::new(workload.stream, order, 32);
        let trace: Vec<IssuedCommand> = Vec::new();
        let mut controller = Ramulator2::new(&preset, &policy.policy.policy().unwrap(), trace);
        hbm::driver::drive(&mut controller, &mut stream, &workload.driver);
        assert!(controller.observer.len() > golden.len());
        // The recording stops with its run; the last few commands of it saw no more requests behind them.
        let compared = golden.len() - 400;
        for (ours, theirs) in controller.observer.iter().zip(&golden).take(compared) {
            let place = controller.banks().organisation().unflatten(ours.bank);
            assert_eq!((ours.tick, ours.command), (theirs.tick, theirs.command), "{file}");
            assert_eq!(place.pseudo_channel, theirs.place.pseudo_channel, "{file} {ours:?}");
            if ours.command.reach() == Reach::Bank {
                let theirs = (theirs.place.stack_id, theirs.place.bank_group, theirs.place.bank);
                assert_eq!((place.stack_id, place.bank_group, place.bank), theirs, "{file} {ours:?}");
            }
        }
    }
}
