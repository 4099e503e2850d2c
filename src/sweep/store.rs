//! The runs of a sweep on disk: a file a run, written whole when the run has ended.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use validation::files::write_atomically;

use super::plan::Point;
use crate::failure::Failure;
use crate::pieces::PROGRAM;
use crate::result::{Breakdown, RunResult};

/// What is kept of a run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Record {
    /// Which program ran it: results of another are not taken for its own.
    pub program: String,
    pub config_hash: String,
    pub machine: String,
    pub workload: String,
    pub sets: Vec<String>,
    pub cycles: u64,
    pub time_ns: f64,
    pub instructions: u64,
    /// By `group.reason` of the breakdown.
    pub subcore_cycles: BTreeMap<String, u64>,
    /// Why there is no result.
    pub failed: Option<String>,
    /// On the host that ran it.
    pub wall_seconds: f64,
}

impl Record {
    /// Of a run that came to its end.
    pub fn of(point: &Point, result: &RunResult) -> Self {
        let instructions = result.stats.pointer("/sm/instructions_issued/value").and_then(Value::as_u64);
        Self {
            cycles: result.simulated.cycles,
            time_ns: result.simulated.time_ns,
            instructions: instructions.unwrap_or(0),
            subcore_cycles: leaves(&result.breakdown),
            wall_seconds: result.wall.seconds,
            failed: None,
            ..Self::failed(point, String::new())
        }
    }

    /// Of one that did not.
    pub fn failed(point: &Point, why: String) -> Self {
        Self {
            program: PROGRAM.to_string(),
            config_hash: point.config_hash.clone(),
            machine: point.machine.clone(),
            workload: point.workload.clone(),
            sets: point.sets.clone(),
            cycles: 0,
            time_ns: 0.0,
            instructions: 0,
            subcore_cycles: BTreeMap::new(),
            failed: Some(why),
            wall_seconds: 0.0,
        }
    }
}

/// The parts that have no parts, with the names of those they are in.
fn leaves(part: &Breakdown) -> BTreeMap<String, u64> {
    let mut found = BTreeMap::new();
    for part in &part.parts {
        if part.parts.is_empty() {
            found.insert(part.name.clone(), part.total);
        }
        let below = leaves(part).into_iter().map(|(name, total)| (format!("{}.{name}", part.name), total));
        found.extend(below);
    }
    found
}

/// The folder of a sweep.
#[derive(Clone, Debug)]
pub struct Store {
    folder: PathBuf,
}

impl Store {
    /// What was given, or `out/<sweep>`.
    pub fn choose(given: Option<&Path>, sweep: &str) -> Self {
        Self { folder: given.map_or_else(|| Path::new("out").join(sweep), Path::to_path_buf) }
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    fn path(&self, point: &Point) -> PathBuf {
        self.folder.join("runs").join(format!("{}.json", &point.config_hash[..16]))
    }

    /// The run of a point, if this program has made it.
    pub fn find(&self, point: &Point) -> Option<Record> {
        let text = std::fs::read(self.path(point)).ok()?;
        let record: Record = serde_json::from_slice(&text).ok()?;
        (record.config_hash == point.config_hash && record.program == PROGRAM).then_some(record)
    }

    /// Keeps a run.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn keep(&self, point: &Point, record: &Record) -> Result<(), Failure> {
        let text = serde_json::to_string_pretty(record).unwrap_or_default() + "\n";
        self.write(&self.path(point), &text)
    }

    /// Writes a file of the sweep as a whole; its path.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write_file(&self, name: &str, text: &str) -> Result<PathBuf, Failure> {
        let path = self.folder.join(name);
        self.write(&path, text)?;
        Ok(path)
    }

    fn write(&self, path: &Path, text: &str) -> Result<(), Failure> {
        write_atomically(path, text.as_bytes()).map_err(|error| Failure::cannot_write(path, &error))
    }
}
