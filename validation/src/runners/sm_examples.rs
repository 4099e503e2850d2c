//! Kind `sm-examples`: a test program on one SM alone, against measured or published issue cycles.
//!
//! `machine` is a parameter set of `configs/gpu/base/`, `workload` is `program:ID` with the ID of a program in the suite's
//! `programs.toml`, and a metric is one of those that [`gpu::sm::bench::Metrics::get`] knows.

use std::collections::BTreeMap;

use gpu::sm::SmSpec;
use gpu::sm::bench::{Metrics, ProgramFile, ProgramSpec};
use include_dir::{Dir, include_dir};
use sim_core::config::Document;

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
        if !program.parameters.iter().any(|set| set == request.machine) {
            let sets = program.parameters.join("`, `");
            let message = format!("the program is for `{sets}`, the case names `{}`", request.machine);
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

/// The `[part.sm]` table of a parameter set and of those that it inherits from, less what every part has.
fn parameter_set(name: &str) -> Result<SmSpec, RunError> {
    let wrong = |why: String| RunError(format!("parameter set `{name}`: {why}"));
    let mut resolve = |asked: &str, _: Option<&str>| {
        let file = PARAMETER_SETS.get_file(asked).and_then(|file| file.contents_utf8());
        let text = file.ok_or_else(|| "configs/gpu/base has no such file".to_string())?;
        Ok((asked.to_string(), text.to_string()))
    };
    let document = Document::load(&format!("{name}-sm.toml"), &mut resolve, &[]);
    let spec = document.and_then(|document| SmSpec::of_parameter_set(&document));
    spec.map_err(|errors| wrong(errors.iter().map(|error| error.to_string()).collect::<Vec<_>>().join("; ")))
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
