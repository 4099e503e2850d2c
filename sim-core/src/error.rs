//! Errors of building and running a machine. Errors of the user's files are [`crate::config::ConfigError`].

use crate::deadlock::DeadlockReport;

/// Why a component could not be built from its specification. It is shown at the key it names.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{problem}")]
pub struct BuildError {
    /// The key of the specification at fault; dotted for nested tables, empty for the part as a whole.
    pub key: String,
    /// What is wrong.
    pub problem: String,
    /// What would be right.
    pub help: Option<String>,
}

impl BuildError {
    /// An error of one key: `BuildError::key("banks", "3 is not a power of two")`.
    pub fn key(key: impl Into<String>, problem: impl Into<String>) -> BuildError {
        BuildError { key: key.into(), problem: problem.into(), help: None }
    }

    /// An error of the part as a whole.
    pub fn part(problem: impl Into<String>) -> BuildError {
        BuildError::key("", problem)
    }

    /// Adds what would be right.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> BuildError {
        self.help = Some(help.into());
        self
    }
}

/// Why a run did not reach its end.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Foreground work is left and nothing is due that could end it (D8).
    #[error("{0}")]
    Deadlock(Box<DeadlockReport>),
    /// A clock was named that the machine does not have.
    #[error("there is no clock `{name}`; the machine has {known}")]
    UnknownClock {
        /// The name asked for.
        name: String,
        /// The names there are.
        known: String,
    },
    /// The threads could not be started.
    #[error("cannot start {threads} threads: {source}")]
    Threads {
        /// Number asked for.
        threads: usize,
        /// What the pool said.
        source: rayon::ThreadPoolBuildError,
    },
}
