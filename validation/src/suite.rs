//! A suite: reference values with their sources, and the bound that our error must stay inside.
//!
//! The two files of a suite and their columns are described in `validation/suites/README.md`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use include_dir::{Dir, include_dir};
use serde::Deserialize;

static SHIPPED: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/suites");

/// Columns of `cases.csv`, all of them required, in any order.
pub const COLUMNS: [&str; 11] = [
    "case",
    "machine",
    "workload",
    "overrides",
    "metric",
    "value",
    "unit",
    "uncertainty",
    "comparable",
    "source",
    "split",
];

/// References that belong together.
#[derive(Clone, Debug, PartialEq)]
pub struct Suite {
    /// The folder's name.
    pub name: String,
    pub title: String,
    pub description: String,
    /// Which runner carries its cases out.
    pub kind: String,
    pub source: String,
    pub bound: Bound,
    pub cases: Vec<Case>,
    /// Tables of `suite.toml`, which are the runner's to understand.
    pub parameters: toml::Table,
    /// Other files of the folder that a runner may read: (path relative to the folder, contents).
    pub attachments: Vec<(String, Vec<u8>)>,
}

/// What a suite's error must stay inside.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bound {
    pub statistic: Statistic,
    pub limit: f64,
}

/// The statistic that a bound applies to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Statistic {
    /// Number of cases whose result is not the reference, ± its uncertainty. At most the limit.
    Exact,
    /// Share (0 to 1) of cases whose result is the reference, ± its uncertainty. At least the limit.
    ExactShare,
    /// Largest |difference|, in the unit of the cases. At most the limit.
    MaxAbs,
    /// Largest |error| in percent. At most the limit.
    MaxErrorPercent,
    /// Mean absolute percentage error. At most the limit.
    Mape,
    /// Median of the |error| in percent over the cases of split `test`. At most the limit.
    TestMedianPercent,
}

impl Statistic {
    /// As written in `suite.toml`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::ExactShare => "exact_share",
            Self::MaxAbs => "max_abs",
            Self::MaxErrorPercent => "max_error_percent",
            Self::Mape => "mape",
            Self::TestMedianPercent => "test_median_percent",
        }
    }
}

impl Bound {
    /// Whether a value of the statistic is inside.
    pub fn holds(&self, value: f64) -> bool {
        match self.statistic {
            Statistic::ExactShare => value >= self.limit,
            Statistic::Exact
            | Statistic::MaxAbs
            | Statistic::MaxErrorPercent
            | Statistic::Mape
            | Statistic::TestMedianPercent => value <= self.limit,
        }
    }
}

/// One reference value.
#[derive(Clone, Debug, PartialEq)]
pub struct Case {
    pub case: String,
    pub machine: String,
    pub workload: String,
    /// Key and value, as `--set` takes them.
    pub overrides: Vec<(String, String)>,
    pub metric: String,
    pub value: Value,
    pub unit: String,
    /// ± in [`unit`](Self::unit); none: not known.
    pub uncertainty: Option<f64>,
    pub comparable: Comparable,
    pub source: String,
    pub split: Split,
    /// In `cases.csv`, from 1.
    pub line: u64,
}

/// What a reference or a run says.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Number(f64),
    /// Something that is equal or not, such as a hash.
    Text(String),
}

impl Value {
    /// The number, if it is one.
    pub fn number(&self) -> Option<f64> {
        match self {
            Self::Number(number) => Some(*number),
            Self::Text(_) => None,
        }
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Self {
        Self::Number(number)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_string())
    }
}

/// Units whose values are text.
const TEXT_UNITS: [&str; 2] = ["hash", "text"];

/// How alike the measured thing and the simulated thing are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparable {
    /// The same machine code ran.
    SameCode,
    /// The same algorithm, compiled by something else.
    SameAlgorithm,
    /// A figure or table printed the number.
    PublishedFigure,
    /// Another simulator's output.
    PeerGolden,
}

impl Comparable {
    const ALL: [(&'static str, Self); 4] = [
        ("same-code", Self::SameCode),
        ("same-algorithm", Self::SameAlgorithm),
        ("published-figure", Self::PublishedFigure),
        ("peer-golden", Self::PeerGolden),
    ];

    /// As written in `cases.csv`.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, value)| *value == self).expect("every value is listed").0
    }
}

/// What a case may be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Split {
    /// Parameters may be fitted to it.
    Fit,
    /// Held out.
    Test,
    /// Shown beside the others, and in no statistic.
    Shown,
}

impl Split {
    const ALL: [(&'static str, Self); 3] = [("fit", Self::Fit), ("test", Self::Test), ("shown", Self::Shown)];

    /// As written in `cases.csv`.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, value)| *value == self).expect("every value is listed").0
    }
}

/// Why a suite could not be read.
#[derive(Debug, thiserror::Error)]
pub enum SuiteError {
    #[error("unknown suite `{name}`: there are {}", known.join(", "))]
    Unknown { name: String, known: Vec<String> },
    #[error("{file}: cannot be read: {error}")]
    Unreadable { file: String, error: std::io::Error },
    #[error("{file}:{line}:{column}: {message}")]
    Toml { file: String, line: usize, column: usize, message: String },
    #[error("{file}:{line}: {message}")]
    Row { file: String, line: u64, message: String },
    #[error("{file}:{line}: column `{column}`: {message}")]
    Field { file: String, line: u64, column: &'static str, message: String },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SuiteFile {
    title: String,
    description: String,
    kind: Option<String>,
    source: String,
    statistic: Statistic,
    bound: f64,
}

impl Suite {
    /// Names of the suites that ship with the binary, sorted.
    pub fn shipped_names() -> Vec<String> {
        let mut names: Vec<String> = SHIPPED
            .dirs()
            .filter(|dir| dir.get_file(dir.path().join("suite.toml")).is_some())
            .filter_map(|dir| Some(dir.path().file_name()?.to_str()?.to_string()))
            .collect();
        names.sort();
        names
    }

    /// A shipped suite by name, or the suite in a folder when there is a folder of that path.
    ///
    /// # Errors
    /// There is neither, or one of its files is wrong.
    pub fn open(name_or_folder: &str) -> Result<Self, SuiteError> {
        if let Some(dir) = SHIPPED.get_dir(name_or_folder) {
            let mut files = Vec::new();
            collect_embedded(dir, dir.path(), &mut files);
            return Self::from_files(name_or_folder, &format!("validation/suites/{name_or_folder}"), files);
        }
        let folder = Path::new(name_or_folder);
        if folder.is_dir() {
            return Self::from_folder(folder);
        }
        Err(SuiteError::Unknown { name: name_or_folder.to_string(), known: Self::shipped_names() })
    }

    /// The suite in a folder of the file system.
    ///
    /// # Errors
    /// A file is missing or wrong.
    pub fn from_folder(folder: &Path) -> Result<Self, SuiteError> {
        let mut files = Vec::new();
        collect_folder(folder, folder, &mut files)?;
        let canonical = folder.canonicalize().unwrap_or_else(|_| folder.to_path_buf());
        let name =
            canonical.file_name().map_or_else(|| "suite".to_string(), |name| name.to_string_lossy().into_owned());
        Self::from_files(&name, &folder.display().to_string(), files)
    }

    /// Puts a suite together from the files of its folder; `shown` is the folder's path in messages.
    fn from_files(name: &str, shown: &str, mut files: Vec<(String, Vec<u8>)>) -> Result<Self, SuiteError> {
        let mut text_of = |wanted: &str| {
            let file = format!("{shown}/{wanted}");
            let missing = |kind, why: &str| SuiteError::Unreadable {
                file: file.clone(),
                error: std::io::Error::new(kind, why.to_string()),
            };
            let at = files
                .iter()
                .position(|(path, _)| path == wanted)
                .ok_or_else(|| missing(std::io::ErrorKind::NotFound, "a suite needs this file"))?;
            let text = String::from_utf8(files.remove(at).1)
                .map_err(|_| missing(std::io::ErrorKind::InvalidData, "it is not UTF-8 text"))?;
            Ok::<_, SuiteError>((file, text))
        };
        let (file, text) = text_of("suite.toml")?;
        let (head, parameters) = parse_head(&file, &text)?;
        let (file, text) = text_of("cases.csv")?;
        let cases = parse_cases(&file, &text)?;
        Ok(Self {
            name: name.to_string(),
            title: head.title,
            description: head.description,
            kind: head.kind.unwrap_or_else(|| name.to_string()),
            source: head.source,
            bound: Bound { statistic: head.statistic, limit: head.bound },
            cases,
            parameters,
            attachments: files,
        })
    }

    /// Contents of another file of the suite's folder.
    pub fn attachment(&self, path: &str) -> Option<&[u8]> {
        self.attachments.iter().find(|(name, _)| name == path).map(|(_, bytes)| bytes.as_slice())
    }
}

fn collect_embedded(dir: &Dir<'_>, root: &Path, into: &mut Vec<(String, Vec<u8>)>) {
    for file in dir.files() {
        into.push((relative(file.path(), root), file.contents().to_vec()));
    }
    for inner in dir.dirs() {
        collect_embedded(inner, root, into);
    }
}

fn collect_folder(folder: &Path, root: &Path, into: &mut Vec<(String, Vec<u8>)>) -> Result<(), SuiteError> {
    let unreadable = |path: &Path, error| SuiteError::Unreadable { file: path.display().to_string(), error };
    let mut paths: Vec<PathBuf> = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(|error| unreadable(folder, error))? {
        paths.push(entry.map_err(|error| unreadable(folder, error))?.path());
    }
    paths.sort();
    for path in paths {
        if path.is_dir() {
            collect_folder(&path, root, into)?;
        } else {
            let bytes = std::fs::read(&path).map_err(|error| unreadable(&path, error))?;
            into.push((relative(&path, root), bytes));
        }
    }
    Ok(())
}

fn relative(path: &Path, root: &Path) -> String {
    path.strip_prefix(root).unwrap_or(path).to_string_lossy().replace('\\', "/")
}

/// The keys above the first table are ours and must be known; the tables are the runner's.
fn parse_head(file: &str, text: &str) -> Result<(SuiteFile, toml::Table), SuiteError> {
    let at = |offset: usize, message: String| {
        let before = &text[..offset.min(text.len())];
        let line = before.matches('\n').count() + 1;
        let column = before.chars().rev().take_while(|&c| c != '\n').count() + 1;
        SuiteError::Toml { file: file.to_string(), line, column, message }
    };
    let wrong = |e: toml::de::Error| at(e.span().map_or(0, |span| span.start), e.message().to_string());
    let tables = text.find("\n[").map_or(text.len(), |newline| newline + 1);
    let head: SuiteFile = toml::from_str(&text[..tables]).map_err(wrong)?;
    let mut parameters: toml::Table = toml::from_str(text).map_err(wrong)?;
    parameters.retain(|_, value| value.is_table());
    let most = if head.statistic == Statistic::ExactShare { 1.0 } else { f64::MAX };
    if !(0.0..=most).contains(&head.bound) {
        let message = match head.statistic {
            Statistic::ExactShare => format!("`bound` of `exact_share` is a share from 0 to 1, not {}", head.bound),
            _ => format!("`bound` must not be negative, it is {}", head.bound),
        };
        return Err(at(text.find("bound").unwrap_or(0), message));
    }
    Ok((head, parameters))
}

fn parse_cases(file: &str, text: &str) -> Result<Vec<Case>, SuiteError> {
    let row_error = |line, message| SuiteError::Row { file: file.to_string(), line, message };
    let csv_error = |error: csv::Error| {
        let line = error.position().map_or(1, csv::Position::line);
        let message = match error.kind() {
            csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
                format!("the row has {len} fields, the header {expected_len}: is a field with a comma not in quotes?")
            }
            _ => error.to_string(),
        };
        row_error(line, message)
    };
    let mut reader = csv::ReaderBuilder::new().comment(Some(b'#')).trim(csv::Trim::All).from_reader(text.as_bytes());
    let header = reader.headers().map_err(csv_error)?.clone();
    let header_line = header.position().map_or(1, csv::Position::line);
    if let Some(unknown) = header.iter().find(|name| !COLUMNS.contains(name)) {
        let message = format!("unknown column `{unknown}`: the columns are {}", COLUMNS.join(", "));
        return Err(row_error(header_line, message));
    }
    let mut places = [0usize; COLUMNS.len()];
    for (place, name) in places.iter_mut().zip(COLUMNS) {
        *place = header
            .iter()
            .position(|have| have == name)
            .ok_or_else(|| row_error(header_line, format!("there is no column `{name}`")))?;
    }
    let mut cases = Vec::new();
    let mut seen = BTreeSet::new();
    for record in reader.records() {
        let record = record.map_err(csv_error)?;
        let row =
            Row { file, line: record.position().map_or(0, csv::Position::line), record: &record, places: &places };
        let case = row.case()?;
        if !seen.insert((case.case.clone(), case.metric.clone())) {
            let message = format!("case `{}` with metric `{}` stands in the file twice", case.case, case.metric);
            return Err(row_error(case.line, message));
        }
        cases.push(case);
    }
    if cases.is_empty() {
        return Err(row_error(header_line, "there is no case".to_string()));
    }
    Ok(cases)
}

/// One record of `cases.csv` with what an error message needs.
struct Row<'a> {
    file: &'a str,
    line: u64,
    record: &'a csv::StringRecord,
    places: &'a [usize; COLUMNS.len()],
}

impl Row<'_> {
    fn case(&self) -> Result<Case, SuiteError> {
        let uncertainty = match self.text("uncertainty") {
            "" => None,
            _ => Some(self.uncertainty()?),
        };
        if uncertainty.is_some_and(|u| u < 0.0) {
            return Err(self.wrong("uncertainty", "must not be negative".to_string()));
        }
        Ok(Case {
            case: self.required("case")?.to_string(),
            machine: self.text("machine").to_string(),
            workload: self.required("workload")?.to_string(),
            overrides: self.overrides()?,
            metric: self.required("metric")?.to_string(),
            value: match TEXT_UNITS.contains(&self.text("unit")) {
                true => Value::Text(self.required("value")?.to_string()),
                false => Value::Number(self.number("value")?),
            },
            unit: self.text("unit").to_string(),
            uncertainty,
            comparable: self.choice("comparable", &Comparable::ALL)?,
            source: self.required("source")?.to_string(),
            split: self.choice("split", &Split::ALL)?,
            line: self.line,
        })
    }

    fn text(&self, column: &'static str) -> &str {
        let index = COLUMNS.iter().position(|&name| name == column).expect("a column of the table");
        self.record.get(self.places[index]).unwrap_or("")
    }

    fn required(&self, column: &'static str) -> Result<&str, SuiteError> {
        match self.text(column) {
            "" => Err(self.wrong(column, "must not be empty".to_string())),
            text => Ok(text),
        }
    }

    fn number(&self, column: &'static str) -> Result<f64, SuiteError> {
        let text = self.text(column);
        match text.parse::<f64>() {
            Ok(number) if number.is_finite() => Ok(number),
            _ => Err(self.wrong(column, format!("`{text}` is not a finite number"))),
        }
    }

    /// A number in the unit of the value, or a share of the value such as `10 %`.
    fn uncertainty(&self) -> Result<f64, SuiteError> {
        let text = self.text("uncertainty");
        let Some(percent) = text.strip_suffix('%') else { return self.number("uncertainty") };
        let percent: f64 = (percent.trim().parse())
            .map_err(|_| self.wrong("uncertainty", format!("`{text}` is not a percentage such as 10 %")))?;
        Ok(percent / 100.0 * self.number("value")?.abs())
    }

    fn choice<T: Copy>(&self, column: &'static str, known: &[(&'static str, T)]) -> Result<T, SuiteError> {
        let text = self.text(column);
        known.iter().find(|(name, _)| *name == text).map(|(_, value)| *value).ok_or_else(|| {
            let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
            self.wrong(column, format!("`{text}` is not one of {}", names.join(", ")))
        })
    }

    fn overrides(&self) -> Result<Vec<(String, String)>, SuiteError> {
        let parts = self.text("overrides").split(';').map(str::trim).filter(|part| !part.is_empty());
        parts
            .map(|part| match part.split_once('=') {
                Some((key, value)) if !key.trim().is_empty() => Ok((key.trim().to_string(), value.trim().to_string())),
                _ => Err(self.wrong("overrides", format!("`{part}` is not of the form key=value"))),
            })
            .collect()
    }

    fn wrong(&self, column: &'static str, message: String) -> SuiteError {
        SuiteError::Field { file: self.file.to_string(), line: self.line, column, message }
    }
}

#[cfg(test)]
#[path = "suite_tests.rs"]
mod tests;
