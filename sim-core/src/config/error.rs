//! Errors of the user's files: where, what is wrong, what would be right.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

/// A text that was read, with the name that messages show.
#[derive(Debug, PartialEq, Eq)]
pub struct Source {
    /// Path or name, as shown.
    pub name: String,
    /// The whole text.
    pub text: String,
}

/// A stretch of a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The text it lies in.
    pub source: Arc<Source>,
    /// Bytes of the text.
    pub span: Range<usize>,
}

impl Place {
    /// The whole of a source, where nothing better is known.
    pub fn start_of(source: &Arc<Source>) -> Place {
        Place { source: source.clone(), span: 0..0 }
    }

    /// Line and column of its start, from 1.
    pub fn line_column(&self) -> (usize, usize) {
        let start = self.span.start.min(self.source.text.len());
        let before = &self.source.text.as_bytes()[..start];
        let line = before.iter().filter(|b| **b == b'\n').count() + 1;
        let line_start = before.iter().rposition(|b| *b == b'\n').map_or(0, |i| i + 1);
        (line, String::from_utf8_lossy(&before[line_start..]).chars().count() + 1)
    }
}

/// What is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// The text is not TOML.
    #[error("not valid TOML: {message}")]
    Syntax {
        /// What the parser said.
        message: String,
    },
    /// A key that nobody reads.
    #[error("unknown key `{key}`")]
    UnknownKey {
        /// The key as written.
        key: String,
    },
    /// A key that is needed.
    #[error("missing key `{key}`")]
    MissingKey {
        /// The key.
        key: String,
    },
    /// A value of the wrong type or out of its range.
    #[error("{message}")]
    BadValue {
        /// What is wrong with it.
        message: String,
    },
    /// A file that cannot be read.
    #[error("cannot read `{name}`: {reason}")]
    Unreadable {
        /// The file.
        name: String,
        /// Why.
        reason: String,
    },
    /// A file that inherits from itself.
    #[error("`{name}` inherits from itself")]
    InheritsItself {
        /// The file.
        name: String,
    },
    /// A name that refers to nothing.
    #[error("there is no {what} `{name}`")]
    Unknown {
        /// What kind of thing: `"clock"`, `"part"`, `"port"`, `"kind of component"`.
        what: &'static str,
        /// The name as written.
        name: String,
    },
    /// The two ends of a link do not fit.
    #[error("{message}")]
    Link {
        /// How.
        message: String,
    },
    /// A component refused its specification.
    #[error("{message}")]
    Refused {
        /// What it said.
        message: String,
    },
}

/// One error in a file or an override.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// Where.
    pub place: Place,
    /// The key, dotted from the top of the file.
    pub key: String,
    /// What is wrong.
    pub problem: Problem,
    /// What would be right.
    pub help: Option<String>,
}

impl ConfigError {
    /// An error at a place.
    pub fn new(place: &Place, key: impl Into<String>, problem: Problem) -> ConfigError {
        ConfigError { place: place.clone(), key: key.into(), problem, help: None }
    }

    /// Adds what would be right.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> ConfigError {
        self.help = Some(help.into());
        self
    }

    /// Adds what would be right, if known.
    #[must_use]
    pub fn maybe_help(mut self, help: Option<String>) -> ConfigError {
        self.help = self.help.or(help);
        self
    }

    /// Name of the file, as shown.
    pub fn file(&self) -> &str {
        &self.place.source.name
    }

    /// Line, from 1.
    pub fn line(&self) -> usize {
        self.place.line_column().0
    }

    /// Column in characters, from 1.
    pub fn column(&self) -> usize {
        self.place.line_column().1
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (line, column) = self.place.line_column();
        write!(f, "{}:{line}:{column}: ", self.file())?;
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        write!(f, "{}", self.problem)?;
        match &self.help {
            Some(help) => write!(f, " ({help})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for ConfigError {}
