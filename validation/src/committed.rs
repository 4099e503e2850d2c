//! The errors that the suites showed when their report was last written: what a user may expect of a run like theirs.
//!
//! `orrery validate SUITE --update-report` writes `results/SUITE.toml` beside the page; those of the repository are in the binary.

use std::collections::BTreeMap;

use include_dir::{Dir, include_dir};
use serde::{Deserialize, Serialize};

use crate::outcome::Outcome;
use crate::statistics::mape_percent;

static RESULTS: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/report/results");

/// Folder of the results beside the pages.
pub const FOLDER: &str = "results";

/// Mean absolute percentage error over some cases.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Error {
    pub cases: usize,
    pub mape_percent: f64,
}

/// What one suite showed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SuiteResult {
    pub suite: String,
    pub kind: String,
    /// By machine, as the cases name it.
    pub machine: BTreeMap<String, Error>,
}

impl SuiteResult {
    /// Of a suite that was run; none where errors are not relative.
    pub fn of(outcome: &Outcome) -> Option<Self> {
        let mut errors: BTreeMap<String, Vec<_>> = BTreeMap::new();
        for row in outcome.scored() {
            errors.entry(row.case.machine.clone()).or_default().extend(row.pair());
        }
        let machine = errors.into_iter().filter_map(|(machine, pairs)| {
            let mape_percent = (mape_percent(&pairs)? * 100.0).round() / 100.0;
            Some((machine, Error { cases: pairs.len(), mape_percent }))
        });
        let machine: BTreeMap<_, _> = machine.collect();
        let (suite, kind) = (outcome.suite.name.clone(), outcome.suite.kind.clone());
        (!machine.is_empty()).then_some(Self { suite, kind, machine })
    }

    /// The file's text.
    pub fn to_toml(&self) -> String {
        let head = format!("# Written by `orrery validate {} --update-report`.\n", self.suite);
        head + &toml::to_string(self).unwrap_or_default()
    }
}

/// The suite of a kind that has cases on a machine, and its error there: of several the largest.
pub fn expected(kind: &str, machine: &str) -> Option<(String, Error)> {
    let results = RESULTS.files().filter_map(|file| toml::from_str::<SuiteResult>(file.contents_utf8()?).ok());
    let fitting = results.filter(|result| result.kind == kind);
    let errors = fitting.filter_map(|result| Some((result.suite, *result.machine.get(machine)?)));
    errors.max_by(|a, b| a.1.mape_percent.total_cmp(&b.1.mape_percent))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::suite::{Case, Split, Suite};

    #[test]
    fn the_results_are_those_of_shipped_suites() {
        let files: Vec<_> = RESULTS.files().collect();
        assert!(!files.is_empty());
        for file in files {
            let result: SuiteResult = toml::from_str(file.contents_utf8().unwrap()).unwrap();
            let suite = Suite::open(&result.suite).unwrap();
            assert_eq!(result.kind, suite.kind);
            for (machine, error) in &result.machine {
                // Only numbers have an error in percent.
                let counts = |case: &&Case| {
                    case.machine == *machine && case.split != Split::Shown && case.value.number().is_some()
                };
                let cases = suite.cases.iter().filter(counts).count();
                assert_eq!(error.cases, cases, "{} on {machine}: write the report again", result.suite);
            }
        }
        assert!(expected("gpu-launch", "h100-pcie").is_some());
        assert_eq!(expected("gpu-launch", "abacus"), None);
    }
}
