//! The commands that the README shows do what it says.

mod common;

use common::{orrery, project};
use tempfile::TempDir;

/// Lines of the README's `console` blocks that call orrery, as arguments.
fn commands() -> Vec<Vec<String>> {
    let readme = std::fs::read_to_string(project().join("README.md")).unwrap();
    let mut commands = Vec::new();
    for block in readme.split("```console\n").skip(1) {
        let block = block.split("```").next().unwrap();
        for line in block.lines().filter_map(|line| line.strip_prefix("$ ")) {
            let words: Vec<String> = line.split('#').next().unwrap().split_whitespace().map(str::to_string).collect();
            match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
                ["orrery", ..] => commands.push(words[1..].to_vec()),
                ["cargo", "run", "--release"] => commands.push(Vec::new()),
                _ => {}
            }
        }
    }
    commands
}

#[test]
fn every_command_of_the_readme_succeeds() {
    let commands = commands();
    assert!(commands.len() >= 4, "the README shows commands");
    let folder = TempDir::new().unwrap();
    for command in commands {
        let arguments: Vec<&str> = command.iter().map(String::as_str).collect();
        let seen = orrery(folder.path(), &arguments);
        assert_eq!(seen.code, 0, "orrery {}: {}", arguments.join(" "), seen.err);
    }
}

/// The README shows what the first command prints, so that a reader knows what to expect.
#[test]
fn the_first_output_is_the_one_shown() {
    let readme = std::fs::read_to_string(project().join("README.md")).unwrap();
    let folder = TempDir::new().unwrap();
    assert_eq!(orrery(folder.path(), &["--quiet"]).code, 0);
    let report = std::fs::read_to_string(folder.path().join("out/h100-pcie-sgemm/report.txt")).unwrap();
    assert!(readme.contains(report.trim_end()), "the README should show:\n{report}");
}
