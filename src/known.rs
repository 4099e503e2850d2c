//! What is known of a run from measurements: the measured value of the same thing, and the error that runs of its kind showed.

use sim_core::MachineFile;
use validation::committed;
use validation::runners::measured_launches;
use workloads::sass::Launch;

use crate::result::{ExpectedError, Measured};
use crate::simulate::Request;

/// Both may be unknown.
#[derive(Default)]
pub struct Known {
    pub measured: Option<Measured>,
    pub expected_error: Option<ExpectedError>,
}

impl Known {
    /// What the suites of a kind showed on a machine. Nothing is known of a machine that was changed.
    pub fn of_kind(kind: &str, machine: &str, sets: &[String]) -> Self {
        let known = if sets.is_empty() { committed::expected(kind, machine) } else { None };
        let expected_error =
            known.map(|(suite, error)| ExpectedError { mape_percent: error.mape_percent, cases: error.cases, suite });
        Self { measured: None, expected_error }
    }

    /// A program, whose `cycles` are known if it ran to its end.
    pub fn of_launches(request: &Request, file: &MachineFile, launches: &[Launch], cycles: Option<u64>) -> Self {
        let known = Self::of_kind("gpu-launch", &file.name, &request.sets);
        let Some(cycles) = cycles.filter(|_| request.sets.is_empty()) else { return known };
        let case = measured_launches(&file.name, launches);
        let measured = case.and_then(|case| {
            let value = case.value.number()?;
            let error_percent = 100.0 * (cycles as f64 / value - 1.0);
            Some(Measured { value, unit: case.unit, source: case.source, error_percent })
        });
        Self { measured, ..known }
    }
}
