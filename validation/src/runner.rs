//! Carrying the cases of a suite out.
//!
//! Cases with the same machine, workload and overrides are one *run* that gives several metrics. Runs go to all threads;
//! the order of the results is that of the file.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use rayon::prelude::*;

use crate::outcome::Outcome;
use crate::suite::{Case, Suite, Value};

/// Values that one run gave, by metric, in the unit that the metric's cases state.
pub type Measured = BTreeMap<String, Value>;

/// One run of a suite.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    pub suite: &'a Suite,
    pub machine: &'a str,
    pub workload: &'a str,
    pub overrides: &'a [(String, String)],
    /// The cases that this run answers; never empty.
    pub cases: Vec<&'a Case>,
}

/// Why a run gave no values. The message is shown beside each of its cases and says what would be right.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0}")]
pub struct RunError(pub String);

/// Knows how to carry out the cases of one kind of suite.
pub trait CaseRunner: Sync {
    /// The `kind` of the suites it serves.
    fn kind(&self) -> &'static str;

    /// One line for `orrery list suites`.
    fn description(&self) -> &'static str;

    /// Runs once and returns every metric that came out of it. Must be a function of the request alone.
    ///
    /// # Errors
    /// What is wrong with the request, or how the run failed.
    fn run(&self, request: &Request<'_>) -> Result<Measured, RunError>;
}

/// A suite of a kind that nobody carries out.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[error("suite `{suite}` is of kind `{kind}`, which nothing here can run: there are {}", known.join(", "))]
pub struct UnknownKind {
    pub suite: String,
    pub kind: String,
    pub known: Vec<String>,
}

/// The runners by kind.
#[derive(Default)]
pub struct Runners {
    runners: Vec<Box<dyn CaseRunner>>,
}

impl Runners {
    /// Adds a runner; a later one of the same kind replaces an earlier one.
    #[must_use]
    pub fn with(mut self, runner: impl CaseRunner + 'static) -> Self {
        self.runners.retain(|have| have.kind() != runner.kind());
        self.runners.push(Box::new(runner));
        self
    }

    /// The runner of a kind.
    pub fn get(&self, kind: &str) -> Option<&dyn CaseRunner> {
        self.runners.iter().find(|runner| runner.kind() == kind).map(AsRef::as_ref)
    }

    /// All kinds, sorted.
    pub fn kinds(&self) -> Vec<&'static str> {
        let mut kinds: Vec<_> = self.runners.iter().map(|runner| runner.kind()).collect();
        kinds.sort_unstable();
        kinds
    }

    /// Runs all cases of a suite on the current rayon pool and compares. `progress(done, total)` counts runs; it is called
    /// from several threads.
    ///
    /// # Errors
    /// No runner serves the suite's kind.
    pub fn validate(&self, suite: Suite, progress: &(dyn Fn(usize, usize) + Sync)) -> Result<Outcome, UnknownKind> {
        let runner = self.get(&suite.kind).ok_or_else(|| UnknownKind {
            suite: suite.name.clone(),
            kind: suite.kind.clone(),
            known: self.kinds().into_iter().map(String::from).collect(),
        })?;
        let requests = requests(&suite);
        let done = AtomicUsize::new(0);
        let answers: Vec<Result<Measured, RunError>> = requests
            .par_iter()
            .map(|request| {
                let answer = runner.run(request);
                progress(done.fetch_add(1, Ordering::Relaxed) + 1, requests.len());
                answer
            })
            .collect();
        let mut ours: BTreeMap<u64, Result<Value, String>> = BTreeMap::new();
        for (request, answer) in requests.iter().zip(&answers) {
            for case in &request.cases {
                ours.insert(case.line, value_of(case, answer));
            }
        }
        let values = suite.cases.iter().map(|case| ours.remove(&case.line).expect("each case is in a run")).collect();
        Ok(Outcome::new(suite, values))
    }
}

fn value_of(case: &Case, answer: &Result<Measured, RunError>) -> Result<Value, String> {
    let measured = answer.as_ref().map_err(ToString::to_string)?;
    match measured.get(&case.metric) {
        Some(Value::Number(number)) if !number.is_finite() => Err(format!("the run gave {number}")),
        Some(value) => Ok(value.clone()),
        None => {
            let known: Vec<&str> = measured.keys().map(String::as_str).collect();
            Err(format!("the run has no metric `{}`; it has {}", case.metric, known.join(", ")))
        }
    }
}

/// Cases that one run answers, in the order of the first case of each.
fn requests(suite: &Suite) -> Vec<Request<'_>> {
    let mut requests: Vec<Request<'_>> = Vec::new();
    let mut places = BTreeMap::new();
    for case in &suite.cases {
        let place = *places.entry((&case.machine, &case.workload, &case.overrides)).or_insert(requests.len());
        if place == requests.len() {
            requests.push(Request {
                suite,
                machine: &case.machine,
                workload: &case.workload,
                overrides: &case.overrides,
                cases: Vec::new(),
            });
        }
        requests[place].cases.push(case);
    }
    requests
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::suite::{Bound, Comparable, Split, Statistic};

    pub(crate) fn case(line: u64, workload: &str, metric: &str, value: f64) -> Case {
        Case {
            case: format!("c{line}"),
            machine: "m".into(),
            workload: workload.into(),
            overrides: Vec::new(),
            metric: metric.into(),
            value: value.into(),
            unit: "cycles".into(),
            uncertainty: None,
            comparable: Comparable::PublishedFigure,
            source: "a table".into(),
            split: Split::Test,
            line,
        }
    }

    pub(crate) fn suite(statistic: Statistic, limit: f64, cases: Vec<Case>) -> Suite {
        Suite {
            name: "small".into(),
            title: "A small suite".into(),
            description: "Four numbers".into(),
            kind: "length".into(),
            source: "a table".into(),
            bound: Bound { statistic, limit },
            cases,
            parameters: Default::default(),
            attachments: Vec::new(),
        }
    }

    /// Metrics of a text: its length and its number of `a`.
    pub(crate) struct Length(pub Mutex<Vec<String>>);

    impl CaseRunner for Length {
        fn kind(&self) -> &'static str {
            "length"
        }

        fn description(&self) -> &'static str {
            "measures texts"
        }

        fn run(&self, request: &Request<'_>) -> Result<Measured, RunError> {
            self.0.lock().unwrap().push(request.workload.to_string());
            if request.workload == "broken" {
                return Err(RunError("it broke".into()));
            }
            let count = request.workload.matches('a').count();
            Ok([("length".into(), (request.workload.len() as f64).into()), ("a".into(), (count as f64).into())].into())
        }
    }

    #[test]
    fn cases_of_one_run_share_it_and_come_back_in_file_order() {
        let cases = vec![
            case(2, "banana", "length", 6.0),
            case(3, "kiwi", "length", 5.0),
            case(4, "banana", "a", 3.0),
            case(5, "broken", "a", 3.0),
            case(6, "kiwi", "b", 3.0),
        ];
        let calls = std::sync::Arc::new(Length(Mutex::new(Vec::new())));
        struct Shared(std::sync::Arc<Length>);
        impl CaseRunner for Shared {
            fn kind(&self) -> &'static str {
                self.0.kind()
            }
            fn description(&self) -> &'static str {
                self.0.description()
            }
            fn run(&self, request: &Request<'_>) -> Result<Measured, RunError> {
                self.0.run(request)
            }
        }
        let seen = Mutex::new(Vec::new());
        let outcome = Runners::default()
            .with(Shared(calls.clone()))
            .validate(suite(Statistic::Mape, 5.0, cases), &|done, total| seen.lock().unwrap().push((done, total)))
            .unwrap();
        let mut called = calls.0.lock().unwrap().clone();
        called.sort();
        assert_eq!(called, ["banana", "broken", "kiwi"], "one call a run");
        assert_eq!(seen.lock().unwrap().iter().map(|s| s.1).max(), Some(3));
        let ours: Vec<_> = outcome.rows.iter().map(|row| row.ours.clone()).collect();
        assert_eq!(ours[..4], [Ok(6.0.into()), Ok(4.0.into()), Ok(3.0.into()), Err("it broke".to_string())]);
        assert_eq!(ours[4], Err("the run has no metric `b`; it has a, length".to_string()));
    }

    #[test]
    fn an_unknown_kind_names_those_there_are() {
        let runners = Runners::default().with(Length(Mutex::new(Vec::new())));
        let mut suite = suite(Statistic::Mape, 5.0, vec![case(2, "kiwi", "length", 4.0)]);
        suite.kind = "weight".into();
        let error = runners.validate(suite, &|_, _| {}).unwrap_err();
        assert_eq!(
            error.to_string(),
            "suite `small` is of kind `weight`, which nothing here can run: there are length"
        );
    }
}
