//! `cargo xtask ci`: all that a change has to pass, on any machine with the Rust toolchain and a C compiler.
//!
//! Continuous integration runs this and nothing else.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail};

/// One check: what it is called, and the command.
struct Step {
    name: &'static str,
    arguments: &'static [&'static str],
    environment: &'static [(&'static str, &'static str)],
}

const STEPS: &[Step] = &[
    Step { name: "format", arguments: &["fmt", "--all", "--check"], environment: &[] },
    Step {
        name: "lints",
        arguments: &["clippy", "--locked", "--workspace", "--all-targets", "--", "-D", "warnings"],
        environment: &[],
    },
    // A snapshot that is new or differs is a failure, not a file to be accepted later.
    Step { name: "tests", arguments: &["test", "--locked", "--workspace"], environment: &[("INSTA_UPDATE", "no")] },
    Step {
        name: "documentation",
        arguments: &["doc", "--locked", "--workspace", "--no-deps"],
        environment: &[("RUSTDOCFLAGS", "-D warnings")],
    },
    Step {
        name: "shipped files",
        arguments: &["run", "--locked", "--release", "--quiet", "--", "check"],
        environment: &[],
    },
    // The first command of the README. It writes under out/, as it does for a newcomer.
    Step { name: "first command", arguments: &["run", "--locked", "--release"], environment: &[] },
];

/// Runs the steps in order and stops at the first that fails. With names, runs those steps alone.
pub fn run(names: impl Iterator<Item = String>) -> Result<()> {
    let names: Vec<String> = names.collect();
    if let Some(unknown) = names.iter().find(|name| !STEPS.iter().any(|step| step.name == name.as_str())) {
        let known: Vec<&str> = STEPS.iter().map(|step| step.name).collect();
        bail!("unknown step `{unknown}`: the steps are {}", known.join(", "));
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("xtask lies in the root of the project")?;
    let start = Instant::now();
    for step in STEPS.iter().filter(|step| names.is_empty() || names.iter().any(|name| name == step.name)) {
        step.run(root)?;
    }
    println!("ci: all passed in {:.0} s", start.elapsed().as_secs_f64());
    Ok(())
}

impl Step {
    fn run(&self, root: &Path) -> Result<()> {
        let shown = format!("cargo {}", self.arguments.join(" "));
        println!("ci: {} ({shown})", self.name);
        let start = Instant::now();
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let status = Command::new(cargo)
            .args(self.arguments)
            .envs(self.environment.iter().copied())
            .current_dir(root)
            .status()
            .with_context(|| format!("cannot start `{shown}`"))?;
        let seconds = start.elapsed().as_secs_f64();
        if !status.success() {
            bail!("{} failed after {seconds:.0} s; run it alone with: cargo xtask ci '{}'", self.name, self.name);
        }
        println!("ci: {} passed in {seconds:.0} s", self.name);
        Ok(())
    }
}
