//! Kind `hbm-ramulator2`: a request stream through the HBM channel under one of the suite's policies, against a golden run.
//!
//! `machine` is a preset of `configs/memory/`, `workload` a stream with its parameters, `policy=NAME` in `overrides` one of
//! the `[policy.NAME]` tables of `suite.toml`.

use hbm::golden::{GoldenPolicy, run_case};

use super::memory_preset::preset;
use crate::runner::{CaseRunner, Measured, Request, RunError};
use crate::suite::Value;

/// Runs the HBM channel's answer to Ramulator 2.
pub struct HbmGolden;

impl CaseRunner for HbmGolden {
    fn kind(&self) -> &'static str {
        "hbm-ramulator2"
    }

    fn description(&self) -> &'static str {
        "request streams through an HBM channel, tick by tick against Ramulator 2"
    }

    fn run(&self, request: &Request<'_>) -> Result<Measured, RunError> {
        let preset = preset(request.machine)?;
        let golden = policy(request)?;
        if golden.machine != request.machine {
            let message = format!("the policy was taken on `{}`, the case names `{}`", golden.machine, request.machine);
            return Err(RunError(message));
        }
        let workload =
            request.workload.parse().map_err(|error: hbm::workload::WorkloadError| RunError(error.to_string()))?;
        let run = run_case(&preset, &golden, &workload).map_err(RunError)?;
        let mut measured: Measured =
            run.metrics.into_iter().map(|(name, value)| (name.to_string(), read(value))).collect();
        // A run lists what is not zero.
        for case in &request.cases {
            measured.entry(case.metric.clone()).or_insert(Value::Number(0.0));
        }
        Ok(measured)
    }
}

/// A metric is a decimal number or a hash of sixteen hexadecimal digits.
fn read(value: String) -> Value {
    match value.parse() {
        Ok(number) if value.len() < 16 => Value::Number(number),
        _ => Value::Text(value),
    }
}

fn policy(request: &Request<'_>) -> Result<GoldenPolicy, RunError> {
    let [(key, name)] = request.overrides else {
        return Err(RunError("the overrides of a case are `policy=NAME`".to_string()));
    };
    if key != "policy" {
        return Err(RunError(format!("unknown override `{key}`: there is `policy`")));
    }
    let policies = request.suite.parameters.get("policy").and_then(toml::Value::as_table);
    let table = policies.and_then(|table| table.get(name)).cloned();
    let table = table.ok_or_else(|| RunError(format!("suite.toml has no [policy.{name}]")))?;
    table.try_into().map_err(|error: toml::de::Error| RunError(format!("[policy.{name}]: {}", error.message())))
}

#[cfg(test)]
mod tests {
    use crate::suite::Suite;

    /// The suite with its shortest streams only.
    fn short() -> Suite {
        let mut suite = Suite::open("hbm-ramulator2").unwrap();
        suite
            .cases
            .retain(|case| case.workload.contains("requests=10000 ") || case.workload.ends_with("requests=10000"));
        assert!(!suite.cases.is_empty());
        suite
    }

    #[test]
    fn short_golden_runs_are_exact() {
        let outcome = crate::runners::all().validate(short(), &|_, _| {}).unwrap();
        assert!(outcome.passed(), "{}", crate::report::table(&outcome, false));
    }

    /// The comparison sees a policy that is not the one of the golden run: a read queue of two.
    #[test]
    fn another_policy_makes_cases_differ() {
        let mut suite = short();
        let policies = suite.parameters["policy"].as_table_mut().unwrap();
        for (_, policy) in policies.iter_mut() {
            policy.as_table_mut().unwrap().insert("read_queue".into(), toml::Value::Integer(2));
        }
        let outcome = crate::runners::all().validate(suite, &|_, _| {}).unwrap();
        assert!(
            !outcome.passed() && outcome.summary.failed == 0,
            "{}",
            crate::report::statistics_line(&outcome.summary)
        );
    }
}
