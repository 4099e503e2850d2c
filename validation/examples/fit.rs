//! Fits keys of a suite's machine to its rows of split `fit`: tries all combinations of the values given and prints mean and
//! median error of both splits for each, the best for `fit` last.
//!
//! `cargo run --release -p validation --example fit -- npu-tpu-v4 part.core.dma_bytes_per_cycle=300,320 part.dispatcher.launch_cycles=100,120`
//! `family=gemm` takes the cases whose names begin so.

use rayon::prelude::*;
use validation::runners;
use validation::suite::{Split, Suite, Value};

/// |error| in percent of each case of a split.
fn errors(suite: &Suite, values: &[Value], split: Split) -> Vec<f64> {
    let rows = suite.cases.iter().zip(values).filter(|(case, _)| case.split == split);
    rows.filter_map(|(case, ours)| Some(100.0 * (ours.number()? / case.value.number()? - 1.0).abs())).collect()
}

fn values(suite: &Suite) -> Vec<Value> {
    let all = runners::all();
    let runner = all.get(&suite.kind).expect("a shipped kind");
    let run = |case: &validation::suite::Case| {
        let request = validation::runner::Request {
            suite,
            machine: &case.machine,
            workload: &case.workload,
            overrides: &case.overrides,
            cases: vec![case],
        };
        let measured = runner.run(&request).unwrap_or_else(|error| panic!("{}: {error}", case.case));
        measured[&case.metric].clone()
    };
    suite.cases.par_iter().map(run).collect()
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let mut suite = Suite::open(&arguments.next().expect("a suite")).expect("a suite that is read");
    let mut trials: Vec<Vec<(String, String)>> = vec![Vec::new()];
    for argument in arguments {
        let (key, list) = argument.split_once('=').expect("KEY=VALUE,…");
        if key == "family" {
            suite.cases.retain(|case| case.case.split('.').next() == Some(list));
            continue;
        }
        let with = |value: &str| (key.to_owned(), value.to_owned());
        trials = trials
            .iter()
            .flat_map(|trial| list.split(',').map(move |value| [trial.clone(), vec![with(value)]].concat()))
            .collect();
    }
    let mut outcomes = Vec::new();
    for trial in &trials {
        let mut changed = suite.clone();
        for case in &mut changed.cases {
            // What a row says itself stays.
            let own = case.overrides.clone();
            let new = trial.iter().filter(|(key, _)| own.iter().all(|(have, _)| have != key));
            case.overrides.extend(new.cloned());
        }
        let values = values(&changed);
        let of = |split| {
            let errors = errors(&changed, &values, split);
            let mean = validation::statistics::mean(&errors).unwrap_or(f64::NAN);
            (mean, validation::statistics::quantile(&errors, 0.5).unwrap_or(f64::NAN))
        };
        outcomes.push((of(Split::Fit), of(Split::Test), trial));
    }
    outcomes.sort_by(|a, b| b.0.0.total_cmp(&a.0.0));
    for ((fit, fit_median), (test, test_median), trial) in outcomes {
        let trial: Vec<String> = trial.iter().map(|(key, value)| format!("{key}={value}")).collect();
        println!(
            "fit {fit:6.2} % (median {fit_median:6.2}), test {test:6.2} % (median {test_median:6.2}): {}",
            trial.join(" ")
        );
    }
}
