//! Our values beside the references, and whether the suite is inside its bound.

use serde_json::{Value as Json, json};

use crate::statistics::{Pair, absolute_errors_percent, bias_percent, kendall_tau_b, mape_percent, pearson, quantile};
use crate::suite::{Case, Split, Statistic, Suite, Value};

/// How far two floating-point renderings of one number may be apart and still be "exact": references are decimal text.
const RELATIVE_ROUNDING: f64 = 1e-9;

/// A suite that was run.
#[derive(Clone, Debug)]
pub struct Outcome {
    pub suite: Suite,
    /// One a case, in the order of the file.
    pub rows: Vec<Row>,
    pub summary: Summary,
}

/// One case with our value.
#[derive(Clone, Debug)]
pub struct Row {
    pub case: Case,
    /// Our value, or why there is none.
    pub ours: Result<Value, String>,
    /// Whether the value is where the case and the bound want it; none where neither says so.
    pub within: Option<bool>,
}

/// Statistics of a suite. What does not exist for the data at hand (no relative error, no variation) is none.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Summary {
    pub cases: usize,
    /// Cases without a value, those that are only shown among them.
    pub failed: usize,
    /// Cases equal to the reference ± its uncertainty.
    pub exact: usize,
    pub max_abs: Option<f64>,
    pub mape_percent: Option<f64>,
    pub bias_percent: Option<f64>,
    pub worst_percent: Option<f64>,
    pub median_percent: Option<f64>,
    pub p90_percent: Option<f64>,
    pub pearson: Option<f64>,
    pub kendall: Option<f64>,
}

impl Row {
    /// Reference and ours; none without a value or where they are text.
    pub fn pair(&self) -> Option<Pair> {
        Some(Pair { reference: self.case.value.number()?, ours: self.ours.as_ref().ok()?.number()? })
    }

    /// Whether it counts in the statistics.
    pub fn is_scored(&self) -> bool {
        self.case.split != Split::Shown
    }

    /// Signed, percent of the reference.
    pub fn error_percent(&self) -> Option<f64> {
        self.pair()?.error_percent()
    }

    fn is_exact(&self) -> bool {
        match self.pair() {
            Some(pair) => {
                let tolerance = self.case.uncertainty.unwrap_or(0.0) + RELATIVE_ROUNDING * pair.reference.abs();
                pair.difference().abs() <= tolerance
            }
            None => self.ours.as_ref() == Ok(&self.case.value),
        }
    }
}

impl Outcome {
    /// Compares `values` (one a case, in order) with the references of `suite`.
    ///
    /// # Panics
    /// If there are not as many values as cases.
    pub fn new(suite: Suite, values: Vec<Result<Value, String>>) -> Self {
        assert_eq!(suite.cases.len(), values.len(), "a value or an error a case");
        let mut rows: Vec<Row> =
            suite.cases.iter().zip(values).map(|(case, ours)| Row { case: case.clone(), ours, within: None }).collect();
        for row in &mut rows {
            row.within = within(row, &suite);
        }
        let summary = Summary::of(&rows);
        Self { suite, rows, summary }
    }

    /// The rows that count in the statistics.
    pub fn scored(&self) -> impl Iterator<Item = &Row> {
        self.rows.iter().filter(|row| row.is_scored())
    }

    /// The value of the statistic that the suite's bound applies to.
    pub fn bounded_value(&self) -> Option<f64> {
        let summary = &self.summary;
        match self.suite.bound.statistic {
            Statistic::Exact => Some((summary.cases - summary.exact) as f64),
            Statistic::ExactShare => Some(summary.exact as f64 / summary.cases.max(1) as f64),
            Statistic::MaxAbs => summary.max_abs,
            Statistic::MaxErrorPercent => summary.worst_percent,
            Statistic::Mape => summary.mape_percent,
            Statistic::TestMedianPercent => {
                let test = self.rows.iter().filter(|row| row.case.split == Split::Test);
                let pairs: Vec<Pair> = test.filter_map(Row::pair).collect();
                quantile(&absolute_errors_percent(&pairs), 0.5)
            }
        }
    }

    /// Inside the bound, with a value for every case.
    pub fn passed(&self) -> bool {
        self.summary.failed == 0 && self.bounded_value().is_some_and(|value| self.suite.bound.holds(value))
    }

    /// The document of `orrery validate --json`, one suite.
    pub fn to_json(&self) -> Json {
        let s = &self.summary;
        let suite = &self.suite;
        let rows: Vec<Json> = self.rows.iter().map(Row::to_json).collect();
        json!({
            "suite": suite.name,
            "title": suite.title,
            "source": suite.source,
            "passed": self.passed(),
            "bound": {
                "statistic": suite.bound.statistic.name(),
                "limit": suite.bound.limit,
                "value": self.bounded_value(),
            },
            "statistics": {
                "cases": s.cases,
                "failed": s.failed,
                "exact": s.exact,
                "max_abs": s.max_abs,
                "mape_percent": s.mape_percent,
                "bias_percent": s.bias_percent,
                "worst_percent": s.worst_percent,
                "median_percent": s.median_percent,
                "p90_percent": s.p90_percent,
                "pearson": s.pearson,
                "kendall_tau_b": s.kendall,
            },
            "cases": rows,
        })
    }
}

impl Row {
    fn to_json(&self) -> Json {
        let case = &self.case;
        let overrides: serde_json::Map<String, Json> =
            case.overrides.iter().map(|(key, value)| (key.clone(), Json::String(value.clone()))).collect();
        json!({
            "case": case.case,
            "machine": case.machine,
            "workload": case.workload,
            "overrides": overrides,
            "metric": case.metric,
            "unit": case.unit,
            "reference": to_json(&case.value),
            "uncertainty": case.uncertainty,
            "ours": self.ours.as_ref().ok().map(to_json),
            "failure": self.ours.as_ref().err(),
            "error_percent": self.error_percent(),
            "within": self.within,
            "comparable": case.comparable.name(),
            "source": case.source,
            "split": case.split.name(),
        })
    }
}

fn to_json(value: &Value) -> Json {
    match value {
        Value::Number(number) => json!(number),
        Value::Text(text) => json!(text),
    }
}

/// A row has a verdict of its own when the bound speaks of each row, or when the reference has an uncertainty.
fn within(row: &Row, suite: &Suite) -> Option<bool> {
    if !row.is_scored() {
        return None;
    }
    let Some(pair) = row.pair() else { return Some(row.is_exact()) };
    match suite.bound.statistic {
        Statistic::Exact | Statistic::ExactShare => Some(row.is_exact()),
        Statistic::MaxAbs => Some(pair.difference().abs() <= suite.bound.limit),
        Statistic::MaxErrorPercent => pair.error_percent().map(|error| error.abs() <= suite.bound.limit),
        Statistic::Mape | Statistic::TestMedianPercent => row.case.uncertainty.map(|_| row.is_exact()),
    }
}

impl Summary {
    fn of(rows: &[Row]) -> Self {
        let scored: Vec<&Row> = rows.iter().filter(|row| row.is_scored()).collect();
        let pairs: Vec<Pair> = scored.iter().filter_map(|row| row.pair()).collect();
        let errors = absolute_errors_percent(&pairs);
        Self {
            cases: scored.len(),
            failed: rows.iter().filter(|row| row.ours.is_err()).count(),
            exact: scored.iter().filter(|row| row.is_exact()).count(),
            max_abs: pairs.iter().map(|pair| pair.difference().abs()).max_by(f64::total_cmp),
            mape_percent: mape_percent(&pairs),
            bias_percent: bias_percent(&pairs),
            worst_percent: errors.iter().copied().max_by(f64::total_cmp),
            median_percent: quantile(&errors, 0.5),
            p90_percent: quantile(&errors, 0.9),
            pearson: pearson(&pairs),
            kendall: kendall_tau_b(&pairs),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runner::tests::{case, suite};

    fn outcome(statistic: Statistic, limit: f64, values: [Result<f64, String>; 3]) -> Outcome {
        let mut cases = vec![case(2, "x", "a", 10.0), case(3, "x", "b", 20.0), case(4, "x", "c", 0.0)];
        cases[1].uncertainty = Some(2.0);
        let values = values.map(|value| value.map(Value::from));
        Outcome::new(suite(statistic, limit, cases), values.into())
    }

    #[test]
    fn each_statistic_has_its_side_of_the_bound() {
        let values = || [Ok(11.0), Ok(22.0), Ok(0.0)];
        for (statistic, value) in [
            (Statistic::Exact, 1.0),
            (Statistic::ExactShare, 2.0 / 3.0),
            (Statistic::MaxAbs, 2.0),
            (Statistic::MaxErrorPercent, 10.0),
            (Statistic::Mape, 10.0),
        ] {
            let at = outcome(statistic, value, values());
            assert_eq!(at.bounded_value(), Some(value), "{statistic:?}");
            assert!(at.passed(), "{statistic:?} on its bound");
            let nudge = if statistic == Statistic::ExactShare { 1e-6 } else { -1e-6 };
            assert!(!outcome(statistic, value + nudge, values()).passed(), "{statistic:?} beyond its bound");
        }
    }

    #[test]
    fn a_row_within_its_uncertainty_is_exact() {
        let outcome = outcome(Statistic::ExactShare, 1.0, [Ok(10.0), Ok(21.9), Ok(0.1)]);
        assert_eq!(
            outcome.rows.iter().map(|row| row.within).collect::<Vec<_>>(),
            [Some(true), Some(true), Some(false)]
        );
        assert_eq!(outcome.summary.exact, 2);
    }

    #[test]
    fn what_is_only_shown_is_in_no_statistic() {
        let mut cases = vec![case(2, "x", "a", 10.0), case(3, "x", "b", 20.0)];
        cases[1].split = Split::Shown;
        let outcome = Outcome::new(suite(Statistic::Mape, 10.0, cases), vec![Ok(11.0.into()), Ok(90.0.into())]);
        assert_eq!((outcome.summary.cases, outcome.bounded_value(), outcome.rows[1].within), (1, Some(10.0), None));
        assert!(outcome.passed());
    }

    #[test]
    fn text_is_equal_or_not() {
        let mut cases = vec![case(2, "x", "hash", 0.0), case(3, "x", "hash2", 0.0), case(4, "x", "cycles", 5.0)];
        cases[0].value = "00ff".into();
        cases[1].value = "00fe".into();
        let values = vec![Ok("00ff".into()), Ok("00ff".into()), Ok(5.0.into())];
        let outcome = Outcome::new(suite(Statistic::Exact, 1.0, cases), values);
        assert_eq!(
            outcome.rows.iter().map(|row| row.within).collect::<Vec<_>>(),
            [Some(true), Some(false), Some(true)]
        );
        assert_eq!((outcome.summary.failed, outcome.summary.exact), (0, 2));
        assert!(outcome.passed(), "one case may differ");
    }

    #[test]
    fn a_case_without_a_value_fails_the_suite() {
        let outcome = outcome(Statistic::Mape, 100.0, [Ok(10.0), Err("no".into()), Ok(0.0)]);
        assert_eq!((outcome.summary.failed, outcome.bounded_value()), (1, Some(0.0)));
        assert!(!outcome.passed());
    }
}
