//! A memory as a user names it: a preset and the policy of its controller, with overrides.
//!
//! ```text
//!   shipped name or file ─▶ merged with its bases ─▶ overrides ─▶ [`MemoryFile`]: preset · policy
//! ```
//!
//! Models: a preset file that may have a table `[policy]`; `base = "hbm3.toml"` names a file or a shipped preset.
//! Leaves out: machines of several parts, which `sim_core::MachineFile` reads.
//! Canonical tests: below, and `tests/memory.rs` of the program.

use std::io;

use crate::config_file::ConfigFile;
use crate::error::ConfigError;
use crate::library::SHIPPED;
use crate::native::Policy;
use crate::preset::Preset;

/// A memory and its controller.
#[derive(Debug, Clone, PartialEq)]
pub struct MemoryFile {
    /// Preset.
    pub preset: Preset,
    /// Controller policy.
    pub policy: Policy,
    /// First comment line of the file that was asked for.
    pub description: String,
}

impl MemoryFile {
    /// Reads a shipped preset by name, or a file by path, with overrides `KEY=VALUE`.
    pub fn load(word: &str, sets: &[String]) -> Result<Self, ConfigError> {
        let name = shipped(word).map_or(word.to_string(), |(name, _)| format!("{name}.toml"));
        let mut file = ConfigFile::load(&name, &read)?;
        for assignment in sets {
            file.set(assignment)?;
        }
        let policy = match file.table.remove("policy") {
            None => Policy::default(),
            Some(table) => file.parse_value(table, "policy")?,
        };
        let preset = Preset::from_file(&file)?;
        let problems = policy.check(&preset, &name);
        if !problems.is_empty() {
            let placed = |p: crate::error::Problem| file.problem(&format!("policy.{}", p.key), p.message, p.help);
            return Err(ConfigError { problems: problems.into_iter().map(placed).collect() });
        }
        Ok(MemoryFile { preset, policy, description: description(&read(&name).unwrap_or_default()) })
    }

    /// The resolved memory, from which a run can be repeated.
    pub fn to_toml(&self) -> String {
        let mut table = toml::Table::try_from(&self.preset).unwrap_or_default();
        if let Ok(policy) = toml::Table::try_from(self.policy) {
            table.insert("policy".to_string(), toml::Value::Table(policy));
        }
        let text = toml::to_string(&table).unwrap_or_default();
        if self.description.is_empty() { text } else { format!("# {}\n\n{text}", self.description) }
    }
}

/// Whether a file that can be read describes a memory rather than a machine of parts.
pub fn is_memory_file(path: &str) -> bool {
    match ConfigFile::load(path, &read) {
        Ok(file) => file.table.contains_key("generation"),
        // What cannot be parsed is told apart by its words, so that the error comes from the right reader.
        Err(_) => read(path).is_ok_and(|text| text.lines().any(|line| line.trim_start().starts_with("generation"))),
    }
}

/// Name and text of a shipped preset; products may leave out `stacks/`, and `hbm2` is the one at its nominal 2 Gb/s.
pub fn shipped(word: &str) -> Option<(&'static str, &'static str)> {
    let word = if word == "hbm2" { "hbm2-2000" } else { word };
    SHIPPED.iter().copied().find(|(name, _)| *name == word || name.strip_prefix("stacks/") == Some(word))
}

/// A file on disk or, by its last words, a shipped one. Products need their `stacks/` here: without it they are the names of
/// GPUs, and a file with `base = "h100-pcie"` is one of those.
fn read(path: &str) -> io::Result<String> {
    let error = match std::fs::read_to_string(path) {
        Ok(text) => return Ok(text),
        Err(error) => error,
    };
    let stem = path.strip_suffix(".toml").unwrap_or(path);
    let is_meant =
        |name: &str| stem.strip_suffix(name).is_some_and(|before| before.is_empty() || before.ends_with('/'));
    match SHIPPED.iter().find(|(name, _)| is_meant(name)) {
        Some((_, text)) if error.kind() == io::ErrorKind::NotFound => Ok((*text).to_string()),
        _ => Err(error),
    }
}

/// The first comment line of a preset, without a sentence that goes on below it.
pub fn description(text: &str) -> String {
    let Some(comment) = text.lines().next().and_then(|line| line.strip_prefix('#')) else { return String::new() };
    let comment = comment.trim();
    let whole = if comment.ends_with('.') { Some(comment.len()) } else { comment.rfind(". ").map(|end| end + 1) };
    whole.map_or(comment, |end| &comment[..end]).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::native::RefreshPolicy;

    fn load(word: &str, sets: &[&str]) -> Result<MemoryFile, String> {
        let sets: Vec<String> = sets.iter().map(ToString::to_string).collect();
        MemoryFile::load(word, &sets).map_err(|error| error.to_string())
    }

    #[test]
    fn overrides_reach_preset_and_policy() {
        let plain = load("hbm3", &[]).unwrap();
        assert_eq!((plain.policy, plain.preset.timing.n_cl), (Policy::default(), 20));
        assert!(plain.description.starts_with("HBM3, 8-high"));
        let set = load("hbm3", &["timing.n_cl=24", "policy.refresh=all_bank", "policy.read_queue=32"]).unwrap();
        assert_eq!((set.preset.timing.n_cl, set.policy.read_queue), (24, 32));
        assert_eq!(set.policy.refresh, RefreshPolicy::AllBank);
    }

    #[test]
    fn wrong_overrides_are_named() {
        let error = |set: &str| load("hbm3", &[set]).unwrap_err();
        assert!(
            error("timing.n_ras=145").starts_with("--set timing.n_ras=145: `timing.n_ras`: n_ras = 145 is more than")
        );
        assert!(
            error("policy.read_queue=0").starts_with("--set policy.read_queue=0: `policy.read_queue`: a queue of 0")
        );
        assert!(error("policy.raed_queue=1").contains("unknown field `raed_queue`"));
        assert!(error("timing.n_fav=1").contains("unknown field `n_fav`"));
        assert!(error("clock_mhz").contains("has no value"));
        assert!(error("clock_mhz.x=1").contains("no table"));
        assert!(error(".=1").contains("is no key"));
    }

    #[test]
    fn the_resolved_file_is_the_same_memory() {
        for (name, _) in SHIPPED {
            let memory = load(name, &[]).unwrap();
            let path = std::env::temp_dir().join(format!("orrery-{}-{}.toml", std::process::id(), memory.preset.name));
            std::fs::write(&path, memory.to_toml()).unwrap();
            let again = load(path.to_str().unwrap(), &[]);
            std::fs::remove_file(&path).unwrap();
            assert_eq!(again.unwrap(), memory, "{name}");
        }
    }
}
