//! Test programs as they stand in a suite's `programs.toml`.

use super::{Bench, Caches, Outcome, Program, ProgramError};
use crate::sm::SmSpec;
use serde::{Deserialize, Deserializer};

/// A file of test programs.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProgramFile {
    pub program: Vec<ProgramSpec>,
}

/// One test program and how it runs.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProgramSpec {
    pub id: String,
    /// Names of the SM parameter sets that it runs with (`ga100`): one, or a list.
    #[serde(deserialize_with = "one_or_many")]
    pub parameters: Vec<String>,
    /// Where program and expectations come from.
    pub source: String,
    #[serde(default)]
    pub note: Option<String>,
    /// How often the lines run.
    #[serde(default = "once")]
    pub repeat: u32,
    /// Warp slots, ascending.
    #[serde(default = "first_slot")]
    pub warps: Vec<u16>,
    #[serde(default)]
    pub caches: CachesSpec,
    pub lines: Vec<String>,
}

/// [`Caches`] in a file.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CachesSpec {
    #[default]
    Hit,
    ColdConstants,
    Cold,
}

fn one_or_many<'de, D: Deserializer<'de>>(value: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum OneOrMany {
        One(String),
        Many(Vec<String>),
    }
    Ok(match OneOrMany::deserialize(value)? {
        OneOrMany::One(one) => vec![one],
        OneOrMany::Many(many) => many,
    })
}

fn once() -> u32 {
    1
}

fn first_slot() -> Vec<u16> {
    vec![0]
}

impl ProgramSpec {
    /// Runs the program on one SM of a parameter set, which the caller has found by one of [`ProgramSpec::parameters`].
    ///
    /// # Errors
    /// [`ProgramError`] names the line that is not understood or cannot be timed.
    pub fn run(&self, spec: &SmSpec) -> Result<(Program, Outcome), ProgramError> {
        let lines: Vec<&str> = (0..self.repeat).flat_map(|_| self.lines.iter().map(String::as_str)).collect();
        let program = Program::new(&lines)?;
        let caches = match self.caches {
            CachesSpec::Hit => Caches::Hit,
            CachesSpec::ColdConstants => Caches::ColdConstants,
            CachesSpec::Cold => Caches::Cold,
        };
        let bench = Bench { caches, warps: self.warps.clone(), ..Bench::new(spec.clone()) };
        let outcome = bench.run(&program)?;
        Ok((program, outcome))
    }
}
