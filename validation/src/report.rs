//! What people read of an [`Outcome`]: the table on the terminal and the page under `validation/report/`.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::io;
use std::path::{Path, PathBuf};

use crate::committed::{self, SuiteResult};
use crate::files::write_atomically;
use crate::outcome::{Outcome, Row, Summary};
use crate::plot;
use crate::statistics::{Pair, absolute_errors_percent, bias_percent, mape_percent, mean, quantile};
use crate::suite::{Statistic, Value};

/// Rows of the terminal table before it is cut, unless all are asked for; rows outside are always shown.
const SHOWN_ROWS: usize = 40;
/// Rows of the page's table before cases are summed up by metric; rows outside are always listed.
const LISTED_ROWS: usize = 500;

/// The table on the terminal: a row a case, then one line of statistics and the verdict.
///
/// With more than forty cases the rows that are fine are counted instead, unless `all`.
pub fn table(outcome: &Outcome, all: bool) -> String {
    let suite = &outcome.suite;
    let mut text = format!("{} · {}\n", suite.name, suite.title);
    let _ = writeln!(text, "reference: {}\n", suite.source);
    let short = !all && outcome.scored().count() > SHOWN_ROWS;
    let (shown, hidden): (Vec<&Row>, Vec<&Row>) =
        outcome.rows.iter().partition(|row| !short || row.within == Some(false) || row.ours.is_err());
    if !shown.is_empty() {
        text.push_str(&aligned(
            &["case", "metric", "reference", "ours", "error", "within"],
            &shown.iter().map(|row| cells(row)).collect::<Vec<_>>(),
        ));
    }
    for row in shown.iter().filter(|row| row.ours.is_err()) {
        let _ = writeln!(text, "  {}: {}", row.case.case, row.ours.as_ref().expect_err("filtered"));
    }
    if !hidden.is_empty() {
        let _ = writeln!(text, "  … and {} cases that are fine (all of them in --json)", hidden.len());
    }
    let _ = writeln!(text, "\n{}\n{}", statistics_line(&outcome.summary), verdict_line(outcome));
    text
}

/// `cases 64, exact 64, MAPE 0.0 %, …` of what exists.
pub fn statistics_line(summary: &Summary) -> String {
    let mut parts = vec![format!("{} cases", summary.cases), format!("{} exact", summary.exact)];
    if summary.failed > 0 {
        parts.push(format!("{} without a result", summary.failed));
    }
    let percents = [
        ("MAPE", summary.mape_percent),
        ("bias", summary.bias_percent),
        ("worst", summary.worst_percent),
        ("median", summary.median_percent),
        ("P90", summary.p90_percent),
    ];
    parts.extend(percents.iter().filter_map(|(name, value)| Some(format!("{name} {:.2} %", (*value)?))));
    let correlations = [("Pearson", summary.pearson), ("Kendall τ", summary.kendall)];
    parts.extend(correlations.iter().filter_map(|(name, value)| Some(format!("{name} {:.4}", (*value)?))));
    parts.join(", ")
}

/// `inside the bound: mape 3.2 ≤ 5` or the contrary.
pub fn verdict_line(outcome: &Outcome) -> String {
    let bound = &outcome.suite.bound;
    let value = outcome.bounded_value();
    let inside = value.is_some_and(|value| bound.holds(value));
    let sign = match (bound.statistic, inside) {
        (Statistic::ExactShare, true) => "≥",
        (Statistic::ExactShare, false) => "<",
        (_, true) => "≤",
        (_, false) => ">",
    };
    let shown = value.map_or_else(|| "unknown".to_string(), number);
    let comparison = match bound.statistic {
        Statistic::Exact => format!("{shown} of {} cases differ {sign} {}", outcome.summary.cases, number(bound.limit)),
        other => format!("{} {shown} {sign} {}", other.name(), number(bound.limit)),
    };
    match (outcome.passed(), inside) {
        (true, _) => format!("inside the bound: {comparison}"),
        (false, true) => format!("failed: {} of the cases have no result ({comparison})", outcome.summary.failed),
        (false, false) => format!("OUTSIDE the bound: {comparison}"),
    }
}

fn cells(row: &Row) -> Vec<String> {
    let case = &row.case;
    let unit = if case.unit.is_empty() { String::new() } else { format!(" {}", case.unit) };
    let reference = match case.uncertainty {
        Some(plus_minus) if plus_minus > 0.0 => format!("{} ± {}{unit}", shown(&case.value), number(plus_minus)),
        _ => format!("{}{unit}", shown(&case.value)),
    };
    let ours = row.ours.as_ref().map_or_else(|_| "–".to_string(), shown);
    let error = match (row.error_percent(), row.pair()) {
        (Some(0.0), _) => "0".to_string(),
        (Some(percent), _) => format!("{percent:+.2} %"),
        (None, Some(pair)) if pair.difference() == 0.0 => "0".to_string(),
        (None, Some(pair)) => format!("{}{unit}", number(pair.difference())),
        (None, None) if row.within == Some(true) => "0".to_string(),
        (None, None) => "–".to_string(),
    };
    let within = match row.within {
        Some(true) => "yes",
        Some(false) => "NO",
        None if !row.is_scored() => "not scored",
        None => "",
    };
    vec![case.case.clone(), case.metric.clone(), reference, ours, error, within.to_string()]
}

fn shown(value: &Value) -> String {
    match value {
        Value::Number(value) => number(*value),
        Value::Text(text) => text.clone(),
    }
}

/// Columns as wide as their widest cell; numbers (the third to the fifth column) to the right.
fn aligned(header: &[&str], rows: &[Vec<String>]) -> String {
    let header: Vec<String> = header.iter().map(ToString::to_string).collect();
    let width = |column: usize| rows.iter().chain([&header]).map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..header.len()).map(width).collect();
    let mut text = String::new();
    for row in [&header].into_iter().chain(rows) {
        let mut line = String::from(" ");
        for (column, cell) in row.iter().enumerate() {
            let pad = " ".repeat(widths[column] - cell.chars().count());
            let (left, right) = if (2..5).contains(&column) { (pad.as_str(), "") } else { ("", pad.as_str()) };
            let _ = write!(line, " {left}{cell}{right} ");
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// Up to five significant digits, without trailing zeros; integers in full.
pub fn number(value: f64) -> String {
    if value == value.trunc() && value.abs() < 1e15 {
        return format!("{value:.0}");
    }
    let magnitude = value.abs().log10().floor();
    if !(-4.0..15.0).contains(&magnitude) {
        return format!("{value:.3e}");
    }
    let decimals = (4.0 - magnitude).clamp(0.0, 9.0) as usize;
    let text = format!("{value:.decimals$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_string() } else { text }
}

/// Writes `<folder>/<suite>.md` and, where there is something to draw, the correlation scatter beside it (`.svg`, `.png`).
/// Returns the paths, the page first.
///
/// # Errors
/// A file cannot be written, or the figure cannot be drawn.
pub fn write_page(outcome: &Outcome, folder: &Path) -> io::Result<Vec<PathBuf>> {
    let name = &outcome.suite.name;
    let page = folder.join(format!("{name}.md"));
    let mut written = vec![page.clone()];
    let scatter = Scattered::of(outcome);
    if let Some(scattered) = &scatter {
        let figure = plot::Scatter {
            title: &outcome.suite.name,
            x_label: &scattered.axis_label("reference"),
            y_label: &scattered.axis_label("orrery"),
            points: &scattered.points,
        };
        for extension in ["svg", "png"] {
            let path = folder.join(format!("{name}.{extension}"));
            figure.write(&path).map_err(io::Error::other)?;
            written.push(path);
        }
    }
    if let Some(result) = SuiteResult::of(outcome) {
        let path = folder.join(committed::FOLDER).join(format!("{name}.toml"));
        write_atomically(&path, result.to_toml().as_bytes())?;
        written.push(path);
    }
    write_atomically(&page, markdown(outcome, scatter.as_ref()).as_bytes())?;
    Ok(written)
}

/// The cases of a scatter: those of the unit that most cases have, with both values above zero.
struct Scattered<'a> {
    unit: &'a str,
    cases: usize,
    /// (reference, ours), each pair once.
    points: Vec<(f64, f64)>,
}

impl<'a> Scattered<'a> {
    /// None for fewer than two different points.
    fn of(outcome: &'a Outcome) -> Option<Self> {
        let mut by_unit: BTreeMap<&str, Vec<(f64, f64)>> = BTreeMap::new();
        for row in outcome.scored() {
            let Some(pair) = row.pair().filter(|pair| pair.reference > 0.0 && pair.ours > 0.0) else { continue };
            by_unit.entry(&row.case.unit).or_default().push((pair.reference, pair.ours));
        }
        let (unit, mut points) = by_unit.into_iter().max_by_key(|(_, points)| points.len())?;
        let cases = points.len();
        points.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
        points.dedup();
        (points.len() > 1).then_some(Self { unit, cases, points })
    }

    fn axis_label(&self, side: &str) -> String {
        if self.unit.is_empty() { side.to_string() } else { format!("{side} ({})", self.unit) }
    }
}

fn markdown(outcome: &Outcome, scatter: Option<&Scattered<'_>>) -> String {
    let suite = &outcome.suite;
    let mut text = format!("# {}\n\n{}.\n\n", suite.title, suite.description.trim_end_matches('.'));
    let _ =
        writeln!(text, "Reference: {}. Written by `orrery validate {} --update-report`.\n", suite.source, suite.name);
    let _ = writeln!(text, "**{}**\n\n{}.\n", verdict_line(outcome), statistics_line(&outcome.summary));
    if let Some(scattered) = scatter {
        let unit = if scattered.unit.is_empty() { "without a unit" } else { scattered.unit };
        let _ = writeln!(text, "![our values over the references]({}.svg)\n", suite.name);
        let _ = writeln!(text, "The figure has the {} cases in {unit}; lines at ±10 %.\n", scattered.cases);
    }
    if matches!(outcome.suite.bound.statistic, Statistic::Mape | Statistic::TestMedianPercent) {
        text.push_str(&by_family(outcome));
    }
    let long = outcome.rows.len() > LISTED_ROWS;
    if long {
        text.push_str(&by_metric(outcome));
    }
    let listed: Vec<&Row> = outcome.rows.iter().filter(|row| !long || row.within != Some(true)).collect();
    if long {
        let heading = if listed.is_empty() { "No case differs." } else { "Cases that are not within their bound:" };
        let _ = writeln!(text, "\n{heading} Every case with its source is in `validation/suites/{}/`.\n", suite.name);
    }
    if !listed.is_empty() {
        text.push_str("| case | machine | workload | metric | reference | ours | error | within | source |\n");
        text.push_str("|---|---|---|---|--:|--:|--:|---|---|\n");
    }
    for row in &listed {
        let case = &row.case;
        let cells = cells(row);
        let fields = [
            &cells[0],
            &case.machine,
            &case.workload,
            &cells[1],
            &cells[2],
            &cells[3],
            &cells[4],
            &cells[5],
            &case.source,
        ];
        let fields: Vec<String> = fields.iter().map(|field| field.replace('|', "\\|").replace('\n', " ")).collect();
        let _ = writeln!(text, "| {} |", fields.join(" | "));
    }
    let failures: Vec<String> = outcome
        .rows
        .iter()
        .filter_map(|row| Some(format!("- {}: {}", row.case.case, row.ours.as_ref().err()?)))
        .collect();
    if !failures.is_empty() {
        let _ = writeln!(text, "\nWithout a result:\n\n{}", failures.join("\n"));
    }
    text
}

/// A row a family (what stands before the first point of a case's name), machine and split, and the mean over the families,
/// each as heavy as any other. Nothing for a single row.
fn by_family(outcome: &Outcome) -> String {
    let mut families: BTreeMap<(&str, &str, &str), Vec<Pair>> = BTreeMap::new();
    for row in outcome.scored() {
        let family = row.case.case.split('.').next().unwrap_or_default();
        let pairs = families.entry((family, &row.case.machine, row.case.split.name())).or_default();
        pairs.extend(row.pair());
    }
    let means: Vec<f64> = families.values().filter_map(|pairs| mape_percent(pairs)).collect();
    let Some(mean) = mean(&means).filter(|_| means.len() > 1) else { return String::new() };
    let mut text = String::from(
        "| family | machine | split | cases | MAPE | median | bias | worst |\n|---|---|---|--:|--:|--:|--:|--:|\n",
    );
    for ((family, machine, split), pairs) in &families {
        let worst = absolute_errors_percent(pairs).into_iter().fold(0.0, f64::max);
        let (mape, bias) = (mape_percent(pairs).unwrap_or(0.0), bias_percent(pairs).unwrap_or(0.0));
        let median = quantile(&absolute_errors_percent(pairs), 0.5).unwrap_or(0.0);
        let cases = pairs.len();
        let _ = writeln!(
            text,
            "| {family} | {machine} | {split} | {cases} | {mape:.2} % | {median:.2} % | {bias:+.2} % | {worst:.2} % |"
        );
    }
    let _ = writeln!(text, "\nMean of the MAPEs of these rows: {mean:.2} %.\n");
    text
}

/// A row a metric: how many cases, how many exact, the largest error.
fn by_metric(outcome: &Outcome) -> String {
    let mut metrics: BTreeMap<&str, Vec<&Row>> = BTreeMap::new();
    for row in outcome.scored() {
        metrics.entry(&row.case.metric).or_default().push(row);
    }
    let mut text = String::from("| metric | cases | within | worst |\n|---|--:|--:|--:|\n");
    for (metric, rows) in metrics {
        let within = rows.iter().filter(|row| row.within == Some(true)).count();
        let worst = rows.iter().filter_map(|row| row.error_percent()).map(f64::abs).max_by(f64::total_cmp);
        let worst = worst.map_or_else(|| "–".to_string(), |percent| format!("{percent:.2} %"));
        let _ = writeln!(text, "| {metric} | {} | {within} | {worst} |", rows.len());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runner::tests::{case, suite};

    fn outcome() -> Outcome {
        let mut cases = vec![
            case(2, "x", "latency", 10.0),
            case(3, "x", "bandwidth", 1234.5),
            case(4, "x", "conflicts", 0.0),
            case(5, "x", "rate", 0.25),
            case(6, "x", "interval", 16.0),
        ];
        cases[1].uncertainty = Some(12.0);
        cases[1].unit = "GB/s".into();
        let values = vec![
            Ok(10.0.into()),
            Ok(1240.0.into()),
            Ok(2.0.into()),
            Err("the run did not end".into()),
            Ok(15.0.into()),
        ];
        Outcome::new(suite(Statistic::ExactShare, 1.0, cases), values)
    }

    #[test]
    fn the_table_is_aligned_and_ends_with_the_verdict() {
        insta::assert_snapshot!(table(&outcome(), false));
    }

    #[test]
    fn the_page_has_every_case() {
        insta::assert_snapshot!(markdown(&outcome(), Scattered::of(&outcome()).as_ref()));
    }

    #[test]
    fn a_long_table_shows_what_is_wrong_and_counts_the_rest() {
        let cases = (0..60).map(|i| case(2 + i, "x", "latency", 10.0)).collect();
        let values = (0..60).map(|i| Ok(if i == 33 { 11.0 } else { 10.0 }.into())).collect();
        let outcome = Outcome::new(suite(Statistic::ExactShare, 1.0, cases), values);
        let short = table(&outcome, false);
        assert!(short.contains("c35") && !short.contains("c36"), "{short}");
        assert!(short.contains("… and 59 cases that are fine"), "{short}");
        assert!(table(&outcome, true).contains("c36"));
    }

    #[test]
    fn a_long_page_sums_up_by_metric_and_lists_what_differs() {
        let cases = (0..600).map(|i| case(2 + i, "x", if i % 2 == 0 { "latency" } else { "hops" }, 10.0)).collect();
        let values = (0..600).map(|i| Ok(if i == 33 { 11.0 } else { 10.0 }.into())).collect();
        let page = markdown(&Outcome::new(suite(Statistic::ExactShare, 1.0, cases), values), None);
        assert!(page.contains("| hops | 300 | 299 | 10.00 % |\n| latency | 300 | 300 | 0.00 % |"), "{page}");
        assert!(page.contains("| c35 |") && !page.contains("| c36 |"), "{page}");
    }

    #[test]
    fn numbers_keep_what_matters() {
        let shown: Vec<String> =
            [0.0, 3.0, -2.5, 1234.5, 0.333_333, 12_345.678, 1e-7, 3.2e18, 123_456_789.0].map(number).into();
        assert_eq!(shown, ["0", "3", "-2.5", "1234.5", "0.33333", "12346", "1.000e-7", "3.200e18", "123456789"]);
    }

    #[test]
    fn the_page_is_written_with_its_figure() {
        let folder = tempfile::tempdir().unwrap();
        let written = write_page(&outcome(), folder.path()).unwrap();
        let names: Vec<_> = written.iter().map(|path| path.file_name().unwrap().to_str().unwrap()).collect();
        assert_eq!(names, ["small.md", "small.svg", "small.png", "small.toml"]);
        // The figures are in a folder of their own, `results`.
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 4, "no temporary file is left");
    }
}
