//! Errors about files that a user wrote or made: where, what is wrong, what would be right.

use sim_core::config::nearest;
use std::fmt;

/// What is wrong with a listing, a kernel's metadata, a launch, or how they fit together.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct SassError {
    /// Path as given, or the name of what is embedded.
    pub file: String,
    /// Counted from 1; 0 when the error is about the whole file.
    pub line: u32,
    /// What is wrong.
    pub message: String,
    /// What would be right; empty when the message says it all.
    pub help: String,
}

impl SassError {
    pub fn new(file: &str, line: u32, message: impl Into<String>, help: impl Into<String>) -> Self {
        Self { file: file.to_owned(), line, message: message.into(), help: help.into() }
    }
}

impl fmt::Display for SassError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(out, "{}: {}", self.file, self.message)?,
            line => write!(out, "{}:{line}: {}", self.file, self.message)?,
        }
        if self.help.is_empty() { Ok(()) } else { write!(out, "\n  help: {}", self.help) }
    }
}

/// Line (from 1) of a byte offset.
pub(crate) fn line_of(text: &str, offset: usize) -> u32 {
    let before = &text.as_bytes()[..offset.min(text.len())];
    1 + before.iter().filter(|&&byte| byte == b'\n').count() as u32
}

/// Reads a TOML file into its type; an unknown key is answered with the nearest one.
pub(crate) fn read_toml<T: serde::de::DeserializeOwned>(file: &str, text: &str) -> Result<T, SassError> {
    toml::from_str(text).map_err(|error| {
        let line = error.span().map_or(0, |span| line_of(text, span.start));
        let message = error.message().trim().replace('\n', "; ");
        // serde says: unknown field `x`, expected one of `a`, `b` — the quoted words are the name and the candidates.
        let quoted: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
        let help = match quoted.split_first() {
            Some((unknown, known)) if message.starts_with("unknown ") => {
                nearest(unknown, known.iter().copied()).map(|meant| format!("did you mean `{meant}`?"))
            }
            _ => None,
        };
        SassError { file: file.to_owned(), line, message, help: help.unwrap_or_default() }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_of_an_offset() {
        assert_eq!(line_of("a\nb\nc", 0), 1);
        assert_eq!(line_of("a\nb\nc", 4), 3);
        assert_eq!(line_of("a", 99), 1);
    }
}
