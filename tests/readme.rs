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

/// The words of a line: numbers and bars move with the model, what is reported does not.
fn words(line: &str) -> String {
    let words = line.split_whitespace().filter(|word| word.chars().any(char::is_alphabetic));
    words.map(|word| word.replace(|c: char| !c.is_alphabetic(), "")).collect::<Vec<_>>().join(" ")
}

/// The README shows what the first command prints, so that a reader knows what to expect.
#[test]
fn the_first_output_is_the_one_shown() {
    let readme = std::fs::read_to_string(project().join("README.md")).unwrap();
    let shown: Vec<String> = readme.lines().map(words).collect();
    let folder = TempDir::new().unwrap();
    assert_eq!(orrery(folder.path(), &["--quiet"]).code, 0);
    let report = std::fs::read_to_string(folder.path().join("out/h100-pcie-sgemm/report.txt")).unwrap();
    for line in report.lines() {
        assert!(shown.contains(&words(line)), "the README does not show `{line}` of:\n{report}");
    }
}

#[test]
fn words_leave_numbers_out() {
    assert_eq!(words("  register_ports  2.4 %  578,922 ███"), "registerports");
    assert_eq!(words("  cycles   53,444 at 1.755 GHz"), "cycles at GHz");
}
