//! `orrery check`: whether files are right, without running them.

use std::path::Path;

use serde_json::{Value, json};
use validation::suite::Suite;
use workloads::sass::{Kernel, Listing, catalog as sass};

use crate::catalog;
use crate::cli::{CheckArgs, Common};
use crate::failure::Failure;
use crate::memory;
use crate::output::{print, print_json};
use crate::sweep::Plan;

/// Checks what is named, or all that ships. Everything is checked before the errors are reported.
pub fn run(args: &CheckArgs, common: &Common) -> Result<(), Failure> {
    let subjects =
        if args.files.is_empty() { shipped() } else { args.files.iter().map(|file| subject(file)).collect() };
    let mut complaints = Vec::new();
    let mut entries = Vec::new();
    for subject in subjects {
        let found = match check(&subject) {
            Ok(()) => Vec::new(),
            Err(Failure::Input(found)) => found,
            Err(other) => return Err(other),
        };
        if !common.json && !common.quiet {
            let verdict = if found.is_empty() { "ok" } else { "WRONG" };
            print(&format!("  {verdict:<6}{:<9} {}\n", subject.kind.name(), subject.word));
        }
        let messages: Vec<String> = found.iter().map(ToString::to_string).collect();
        entries.push(json!({"kind": subject.kind.name(), "name": subject.word, "errors": messages}));
        complaints.extend(found);
    }
    if common.json {
        print_json(&Value::Array(entries));
    }
    if complaints.is_empty() { Ok(()) } else { Err(Failure::Input(complaints)) }
}

#[derive(Clone, Copy)]
enum Kind {
    Machine,
    Memory,
    Workload,
    Kernel,
    Listing,
    Suite,
    Sweep,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Machine => "machine",
            Self::Memory => "memory",
            Self::Workload => "workload",
            Self::Kernel => "kernel",
            Self::Listing => "listing",
            Self::Suite => "suite",
            Self::Sweep => "sweep",
        }
    }
}

struct Subject {
    kind: Kind,
    word: String,
}

fn shipped() -> Vec<Subject> {
    let of = |kind: Kind, words: Vec<String>| words.into_iter().map(move |word| Subject { kind, word });
    let kernels = sass::kernel_names().into_iter().map(|(kernel, arch)| format!("{kernel}.{arch}")).collect();
    of(Kind::Machine, catalog::machines().into_iter().map(|machine| machine.name).collect())
        .chain(of(Kind::Memory, memory::memories().into_iter().map(|(name, _)| name.to_string()).collect()))
        .chain(of(Kind::Workload, sass::launch_names()))
        .chain(of(Kind::Kernel, kernels))
        .chain(of(Kind::Suite, Suite::shipped_names()))
        .chain(of(Kind::Sweep, catalog::sweeps()))
        .collect()
}

/// What a word is: something shipped of that name, else by what the file is and holds.
fn subject(word: &str) -> Subject {
    let path = Path::new(word);
    let is_shipped = |names: Vec<String>| names.iter().any(|name| name == word);
    let kind = if is_shipped(catalog::machines().into_iter().map(|machine| machine.name).collect()) {
        Kind::Machine
    } else if memory::is_memory(word) {
        Kind::Memory
    } else if is_shipped(sass::launch_names()) {
        Kind::Workload
    } else if path.is_dir() || is_shipped(Suite::shipped_names()) {
        Kind::Suite
    } else if is_shipped(catalog::sweeps()) {
        Kind::Sweep
    } else if word.ends_with(".sass") || word.ends_with(".sass.zst") {
        Kind::Listing
    } else {
        kind_of_file(path)
    };
    Subject { kind, word: word.to_string() }
}

/// By the top-level keys: a launch has a grid, a kernel's metadata has registers, a sweep has workloads, anything else
/// should be a machine.
fn kind_of_file(path: &Path) -> Kind {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let keys: Vec<&str> = (text.lines())
        .take_while(|line| !line.trim_start().starts_with('['))
        .filter_map(|line| Some(line.split_once('=')?.0.trim()))
        .collect();
    if keys.contains(&"registers") {
        Kind::Kernel
    } else if keys.contains(&"workloads") {
        Kind::Sweep
    } else if keys.contains(&"grid") || keys.contains(&"kernel") {
        Kind::Workload
    } else {
        Kind::Machine
    }
}

fn check(subject: &Subject) -> Result<(), Failure> {
    let word = subject.word.as_str();
    match subject.kind {
        Kind::Machine => catalog::check_machine(word),
        Kind::Memory => memory::memory(word, &[]).map(drop),
        Kind::Workload => check_workload(word),
        Kind::Kernel => match word.rsplit_once('.') {
            Some((kernel, arch)) if arch != "toml" => Ok(sass::kernel(kernel, arch).map(drop)?),
            _ => Ok(Kernel::read(Path::new(word)).map(drop)?),
        },
        Kind::Listing => Ok(Listing::read(Path::new(word)).map(drop)?),
        Kind::Suite => Ok(Suite::open(word).map(drop)?),
        Kind::Sweep => Plan::read(word).map(drop),
    }
}

/// A launch must fit its kernel on every architecture that the kernel is there for.
fn check_workload(word: &str) -> Result<(), Failure> {
    let launch = catalog::launch(word)?;
    for arch in sass::archs_of(&launch.kernel) {
        launch.fit(&catalog::kernel(&launch, &arch)?)?;
    }
    Ok(())
}
