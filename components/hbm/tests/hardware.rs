//! Measured memories: the suite `hbm-hardware`.

mod common;

use common::{preset, root};
use hbm::checker::{Checker, TracedCommand};
use hbm::constraint::{ConstraintTable, Edition};
use hbm::controller::IssuedCommand;
use hbm::hardware::{LineLoad, RowState, idle_latency_ns, loaded_latency_ns, stream_share_of_peak};
use hbm::native::Policy;

struct Row {
    case: String,
    machine: String,
    workload: String,
    metric: String,
    value: f64,
    stated_peak_gb_per_s: f64,
}

fn rows(metric: &str) -> Vec<Row> {
    let path = root("validation/suites/hbm-hardware/cases.csv");
    let rows = csv::Reader::from_path(path).unwrap().into_records().map(|row| {
        let row = row.unwrap();
        Row {
            case: row[0].into(),
            machine: row[1].into(),
            workload: row[2].into(),
            metric: row[4].into(),
            value: row[5].parse().unwrap(),
            stated_peak_gb_per_s: row[3].strip_prefix("peak_gb_per_s=").map_or(0.0, |p| p.parse().unwrap()),
        }
    });
    rows.filter(|r| r.metric == metric).collect()
}

#[test]
fn stream_rows_are_within_three_points() {
    let rows = rows("share_of_peak");
    assert_eq!(rows.len(), 6);
    let mut worst: f64 = 0.0;
    for row in rows {
        let preset = preset(&row.machine);
        let observer: Vec<IssuedCommand> = Vec::new();
        let workload = row.workload.parse().unwrap();
        let (share, trace) = stream_share_of_peak(&preset, &Policy::default(), &workload, observer).unwrap();
        // The measured share is of the peak on the data sheet, which is rounded.
        let share = share * preset.peak_gb_per_s() / row.stated_peak_gb_per_s;
        let error = 100.0 * share - row.value;
        println!(
            "{:16} measured {:6.2} % simulated {:6.2} % error {error:+5.2} points",
            row.case,
            row.value,
            100.0 * share
        );
        worst = worst.max(error.abs());
        let table = ConstraintTable::build(preset.generation, &preset.timing, Edition::Full);
        let mut checker = Checker::new(preset.generation, preset.organisation, &table, true);
        let mut violations = Vec::new();
        for c in &trace {
            let mut place = preset.organisation.unflatten(c.bank);
            place.row = c.row;
            checker.check(&TracedCommand { tick: c.tick, command: c.command, place }, &mut violations);
        }
        assert_eq!(violations, []);
    }
    assert!(worst <= 3.0, "{worst} points");
}

/// Shuhai: after a constant of 90 ns for the fabric and the port.
#[test]
fn idle_latencies_are_within_three_ns() {
    const FABRIC_NS: f64 = 90.0;
    for row in rows("idle_latency") {
        let state = match row.workload.as_str() {
            "idle hit" => RowState::Hit,
            "idle closed" => RowState::Closed,
            _ => RowState::Conflict,
        };
        let ours = idle_latency_ns(&preset(&row.machine), state).unwrap() + FABRIC_NS;
        println!("{:16} measured {:6.1} ns simulated {ours:6.1} ns", row.case, row.value);
        assert!((ours - row.value).abs() <= 3.0, "{}: {ours} ns, measured {} ns", row.case, row.value);
    }
}

/// A64FX under load: two constants are fitted, the path outside the channel and the lines that arrive
/// together. Each of the four memory domains (one stack) has 12 cores.
#[test]
fn the_latency_curve_is_within_ten_percent() {
    let rows = rows("loaded_latency");
    assert_eq!(rows.len(), 11);
    let mut best = (f64::INFINITY, 0, 0.0);
    for lines_together in [1, 2, 3, 4, 6, 8] {
        let simulated: Vec<f64> = rows
            .iter()
            .map(|row| {
                let load = row.workload.split_once("load=").unwrap().1.parse().unwrap();
                let load = LineLoad { gb_per_s: load, line_bytes: 256, lines_together, streams: 12, lines: 6000 };
                loaded_latency_ns(&preset(&row.machine), &Policy::default(), &load).unwrap()
            })
            .collect();
        // The path that makes the largest relative error smallest, by bisection between the extremes.
        let worst_of = |path: f64| {
            let errors = rows.iter().zip(&simulated).map(|(r, s)| (s + path - r.value) / r.value);
            errors.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), e| (low.min(e), high.max(e)))
        };
        let (mut low, mut high) = (0.0, 200.0);
        for _ in 0..50 {
            let path = (low + high) / 2.0;
            let (least, most) = worst_of(path);
            if least + most > 0.0 { high = path } else { low = path }
        }
        let path = low;
        let errors = rows.iter().zip(&simulated).map(|(r, s)| 100.0 * (s + path - r.value) / r.value);
        let worst = errors.clone().map(f64::abs).fold(0.0, f64::max);
        println!(
            "{lines_together} lines together, path {path:5.1} ns: worst {worst:5.2} %: {:.1?}",
            errors.collect::<Vec<_>>()
        );
        if worst < best.0 {
            best = (worst, lines_together, path);
        }
    }
    assert!(best.0 <= 10.0, "{best:?}");
}
