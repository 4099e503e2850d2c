//! Kind `sm-examples`: a test program on one SM alone, against measured or published issue cycles.
//!
//! `machine` is a parameter set of `configs/gpu/base/`, `workload` is `program:ID` with the ID of a program in the suite's
//! `programs.toml`, and a metric is one of those that [`gpu::sm::bench::Metrics::get`] knows.

use std::collections::BTreeMap;

use gpu::sm::SmSpec;
use gpu::sm::bench::{Metrics, ProgramFile, ProgramSpec};
use include_dir::{Dir, include_dir};

use crate::runner::{CaseRunner, Measured, Request, RunError};
use crate::suite::{Suite, Value};

static PARAMETER_SETS: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../configs/gpu/base");
const PROGRAMS: &str = "programs.toml";

/// Runs test programs on the SM.
#[derive(Default)]
pub struct SmExamples {
    /// Applied to every parameter set; tests break a rule with it.
    change: Option<fn(&mut SmSpec)>,
}

impl CaseRunner for SmExamples {
    fn kind(&self) -> &'static str {
        "sm-examples"
    }

    fn description(&self) -> &'static str {
        "programs with control bits on one SM, against measured and published issue cycles"
    }

    fn run(&self, request: &Request<'_>) -> Result<Measured, RunError> {
        let mut spec = parameter_set(request.machine)?;
        if let Some(change) = self.change {
            change(&mut spec);
        }
        let program = program(request)?;
        if program.parameters != request.machine {
            let message = format!("the program is for `{}`, the case names `{}`", program.parameters, request.machine);
            return Err(RunError(message));
        }
        if let Some((key, _)) = request.overrides.first() {
            return Err(RunError(format!("unknown override `{key}`: a test program has none")));
        }
        let (text, outcome) = program.run(&spec).map_err(|error| RunError(error.to_string()))?;
        let metrics = Metrics { program: &text, outcome: &outcome };
        let value = |metric: &str| Some((metric.to_string(), Value::Number(metrics.get(metric)?)));
        Ok(request.cases.iter().filter_map(|case| value(&case.metric)).collect::<BTreeMap<_, _>>())
    }
}

/// The `[part.sm]` table of a parameter set, less what every part has.
fn parameter_set(name: &str) -> Result<SmSpec, RunError> {
    let wrong = |why: String| RunError(format!("parameter set `{name}`: {why}"));
    let file = PARAMETER_SETS.get_file(format!("{name}-sm.toml")).and_then(|file| file.contents_utf8());
    let text = file.ok_or_else(|| wrong("configs/gpu/base has no such file".to_string()))?;
    let mut table: toml::Table = toml::from_str(text).map_err(|error| wrong(error.to_string()))?;
    let part = table.get_mut("part").and_then(|part| part.get_mut("sm")).and_then(toml::Value::as_table_mut);
    let mut part = std::mem::take(part.ok_or_else(|| wrong("there is no [part.sm]".to_string()))?);
    for key in ["kind", "clock", "count"] {
        part.remove(key);
    }
    remove_origins(&mut part);
    part.try_into().map_err(|error: toml::de::Error| wrong(error.message().to_string()))
}

/// Where a value comes from is not a parameter.
fn remove_origins(table: &mut toml::Table) {
    table.remove("origin");
    table.iter_mut().filter_map(|(_, value)| value.as_table_mut()).for_each(remove_origins);
}

fn program(request: &Request<'_>) -> Result<ProgramSpec, RunError> {
    let id = request.workload.strip_prefix("program:");
    let id = id.ok_or_else(|| RunError(format!("`{}` is not of the form program:ID", request.workload)))?;
    let found = programs(request.suite)?.program.into_iter().find(|program| program.id == id);
    found.ok_or_else(|| RunError(format!("{PROGRAMS} has no program `{id}`")))
}

fn programs(suite: &Suite) -> Result<ProgramFile, RunError> {
    let bytes = suite.attachment(PROGRAMS).ok_or_else(|| RunError(format!("the suite has no {PROGRAMS}")))?;
    let text = std::str::from_utf8(bytes).map_err(|_| RunError(format!("{PROGRAMS} is not text")))?;
    toml::from_str(text).map_err(|error| RunError(format!("{PROGRAMS}: {error}")))
}

#[cfg(test)]
mod tests {
    use gpu::sm::spec::Reservation;

    use super::*;
    use crate::runner::Runners;

    fn validate(runner: SmExamples) -> crate::outcome::Outcome {
        let suite = Suite::open("sm-examples").unwrap();
        Runners::default().with(runner).validate(suite, &|_, _| {}).unwrap()
    }

    #[test]
    fn every_published_case_holds() {
        let outcome = validate(SmExamples::default());
        assert!(outcome.passed(), "{}", crate::report::table(&outcome, false));
    }

    #[test]
    fn a_broken_rule_fails_the_suite() {
        let early = |spec: &mut SmSpec| spec.register_file.reservation = Reservation::Early;
        let outcome = validate(SmExamples { change: Some(early) });
        assert!(!outcome.passed() && outcome.summary.failed == 0, "{}", crate::report::table(&outcome, false));
    }
}
