//! No preset and no trace, however wrong, makes the crate panic or hang: it is refused with a message, or it runs.

mod common;

use common::{preset, root};
use hbm::checker::Checker;
use hbm::constraint::{ConstraintTable, Edition};
use hbm::generator::RequestStream;
use hbm::mapper::FieldOrder;
use hbm::native::Policy;
use hbm::preset::Preset;
use hbm::report::run;
use hbm::trace::{RequestLimits, read_commands, read_requests};
use hbm::workload::Workload;
use proptest::prelude::*;

fn values() -> impl Strategy<Value = u64> {
    prop_oneof![
        0u64..10,
        prop::sample::select(vec![
            16u64,
            31,
            32,
            33,
            64,
            1000,
            65_536,
            1_000_000,
            1_000_001,
            1 << 31,
            u64::from(u32::MAX)
        ]),
        any::<u64>(),
    ]
}

fn words() -> impl Strategy<Value = String> {
    let known =
        "LD ST R W READ WRITE ACT RD WR PREpb PREab REFab REFpb RFMpb SRE PDX UPD 0 1 -1 7 63 64 0x40 0x 1e3 é #";
    let known: Vec<String> = known.split(' ').map(str::to_string).collect();
    prop_oneof![4 => prop::sample::select(known), 1 => any::<u64>().prop_map(|n| n.to_string()), 1 => ".{0,4}"]
}

/// Lines that are nearly of one of the forms.
fn traces() -> impl Strategy<Value = String> {
    let line = (prop::collection::vec(words(), 1..9), prop::bool::ANY)
        .prop_map(|(words, commas)| words.join(if commas { "," } else { " " }));
    prop::collection::vec(line, 0..8).prop_map(|lines| lines.join("\n"))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_changed_preset_is_refused_or_runs(
        changes in prop::collection::vec((0usize..60, values()), 1..4),
        stream in prop::sample::select(vec!["rand_rw21", "row_conflict", "triad", "hot_rows", "wr_then_rd", "stride0"]),
    ) {
        let text = std::fs::read_to_string(root("configs/memory/stacks/h100-sxm.toml")).unwrap();
        let mut lines: Vec<String> = text.lines().map(str::to_string).collect();
        let numbers: Vec<usize> = (0..lines.len())
            .filter(|i| lines[*i].split_once('=').is_some_and(|(_, v)| v.trim().starts_with(|c: char| c.is_ascii_digit())))
            .collect();
        for (which, value) in changes {
            let line = &mut lines[numbers[which % numbers.len()]];
            *line = format!("{} = {value}", line.split('=').next().unwrap());
        }
        let text = lines.join("\n");
        match Preset::load("m.toml", &|_| Ok(text.clone())) {
            Err(error) => prop_assert!(error.problems.iter().all(|p| p.file == "m.toml" && !p.message.is_empty())),
            Ok(preset) => {
                let policy = Policy::default();
                let workload: Workload = format!("{stream} requests=200").parse().unwrap();
                let org = &preset.organisation;
                let order = FieldOrder::named(policy.map, org);
                let mut requests = RequestStream::new(workload.stream, order, org.access_bytes).through_hash();
                match run(&preset, &policy, &mut requests, &workload.driver, None) {
                    Ok(report) => prop_assert!(!report.deadlock && report.percent_of_peak <= 100.0 + 1e-9),
                    Err(error) => prop_assert!(!error.problems.is_empty()),
                }
            }
        }
    }

    #[test]
    fn any_text_is_a_trace_or_refused_with_its_line(text in traces()) {
        let preset = preset("hbm3");
        let org = preset.organisation;
        let limits = RequestLimits { access_bytes: 32, capacity_bytes: 1 << 20 };
        let lines = text.lines().count().max(1);
        match read_requests("t", &text, &limits) {
            Ok(requests) => prop_assert!(requests.iter().all(|r| r.address < 1 << 20 && r.address % 32 == 0)),
            Err(error) => prop_assert!((1..=lines).contains(&error.line), "{}", error),
        }
        match read_commands("t", &text) {
            Ok(commands) => {
                let table = ConstraintTable::build(preset.generation, &preset.timing, Edition::Full);
                let found = Checker::new(preset.generation, org, &table, true).check_all(&commands);
                prop_assert!(found.iter().all(|v| v.index < commands.len() && !v.to_string().is_empty()));
            }
            Err(error) => prop_assert!((1..=lines).contains(&error.line), "{}", error),
        }
    }
}
