//! Running the binary as a user does, in a folder of its own.

#![allow(dead_code, reason = "each test file uses some of it")]

pub mod kanata;
pub mod perfetto;

use std::path::Path;

use assert_cmd::Command;

/// What a user sees of one call.
pub struct Seen {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Seen {
    /// Exit code and standard error, for snapshots. Line ends are trimmed.
    pub fn message(&self) -> String {
        let lines: Vec<&str> = self.err.lines().map(str::trim_end).collect();
        format!("exit code {}\n{}", self.code, lines.join("\n"))
    }

    /// Standard output as JSON.
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error} in {:?}\n{}", self.out, self.err))
    }
}

/// Calls `orrery` in `folder`.
pub fn orrery(folder: &Path, arguments: &[&str]) -> Seen {
    let mut command = Command::new(env!("CARGO_BIN_EXE_orrery"));
    command.current_dir(folder).args(arguments).env("NO_COLOR", "1");
    let output = command.output().expect("the binary starts");
    Seen {
        code: output.status.code().expect("no signal"),
        out: String::from_utf8(output.stdout).expect("text"),
        err: String::from_utf8(output.stderr).expect("text"),
    }
}

/// The folder of the project.
pub fn project() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A shipped file's text with one change, which must apply.
#[track_caller]
pub fn changed(file: &str, from: &str, to: &str) -> String {
    let text = std::fs::read_to_string(project().join(file)).expect("a shipped file");
    assert!(text.contains(from), "{file} has no {from:?}");
    text.replacen(from, to, 1)
}
