//! Reading a configuration file with a base, and remembering where every key stands.
//!
//! ```text
//!   file ─▶ base of the base … ─▶ merged table ─▶ typed spec
//!             └ each key: (file, line) of its last writer
//! ```
//!
//! Models: `base = "other.toml"` (relative to the file), tables merged key by key, the later writer wins.
//! Leaves out: lists of tables are replaced, not merged.
//! Canonical tests: `preset`.

use std::collections::BTreeMap;

use toml::de::{DeTable, DeValue};

use crate::error::{ConfigError, Problem};

/// A merged file and the place of each of its keys.
#[derive(Debug, Clone)]
pub struct ConfigFile {
    /// The file that was asked for.
    pub name: String,
    /// The merged contents, without `base`.
    pub table: toml::Table,
    places: BTreeMap<String, (String, usize)>,
}

impl ConfigFile {
    /// Reads `name` and its bases. `read` returns the text of a file by its path.
    pub fn load(name: &str, read: &dyn Fn(&str) -> std::io::Result<String>) -> Result<Self, ConfigError> {
        let mut file = ConfigFile { name: name.to_string(), table: toml::Table::new(), places: BTreeMap::new() };
        file.merge(name, read, 0)?;
        Ok(file)
    }

    /// Overrides one key: `timing.n_ras=40`. The value is TOML; a bare word is a string.
    pub fn set(&mut self, assignment: &str) -> Result<(), ConfigError> {
        let place = format!("--set {assignment}");
        let Some((key, value)) = assignment.split_once('=').map(|(k, v)| (k.trim(), v.trim())) else {
            return Err(ConfigError::one(&place, 0, "", "has no value", "KEY=VALUE, such as timing.n_ras=40"));
        };
        let parsed = toml::from_str::<toml::Table>(&format!("v = {value}")).ok().and_then(|mut t| t.remove("v"));
        let value = parsed.unwrap_or_else(|| toml::Value::String(value.to_string()));
        let mut table = &mut self.table;
        let mut words = key.split('.').peekable();
        while let Some(word) = words.next() {
            if word.is_empty() {
                break;
            }
            if words.peek().is_none() {
                table.insert(word.to_string(), value);
                self.places.insert(key.to_string(), (place, 0));
                return Ok(());
            }
            let below = table.entry(word).or_insert_with(|| toml::Value::Table(toml::Table::new()));
            let Some(inner) = below.as_table_mut() else {
                return Err(ConfigError::one(&place, 0, key, format!("`{word}` is no table"), "a key of a table"));
            };
            table = inner;
        }
        Err(ConfigError::one(&place, 0, key, "is no key", "KEY=VALUE, such as timing.n_ras=40"))
    }

    fn merge(
        &mut self,
        name: &str,
        read: &dyn Fn(&str) -> std::io::Result<String>,
        depth: usize,
    ) -> Result<(), ConfigError> {
        if depth > 8 {
            return Err(ConfigError::one(
                name,
                0,
                "base",
                "more than 8 files deep",
                "does a file name itself as its base?",
            ));
        }
        let text = read(name)
            .map_err(|e| ConfigError::one(name, 0, "", format!("cannot be read: {e}"), "a readable TOML file"))?;
        let syntax = |e: toml::de::Error| {
            let line = e.span().map_or(0, |s| line_of(&text, s.start));
            ConfigError::one(name, line, "", e.message().to_string(), "valid TOML")
        };
        let spans = DeTable::parse(&text).map_err(syntax)?;
        let mut table: toml::Table = toml::from_str(&text).map_err(syntax)?;
        if let Some(base) = table.remove("base") {
            let Some(base) = base.as_str() else {
                return Err(ConfigError::one(name, 1, "base", "is not a string", "the path of another TOML file"));
            };
            self.merge(&relative(name, base), read, depth + 1)?;
        }
        note_places(spans.get_ref(), "", &mut |key, start| {
            self.places.insert(key, (name.to_string(), line_of(&text, start)));
        });
        merge_tables(&mut self.table, table);
        Ok(())
    }

    /// The typed contents. Unknown keys, missing keys and wrong types are errors that name the line.
    pub fn parse<T: serde::de::DeserializeOwned>(&self) -> Result<T, ConfigError> {
        self.parse_value(toml::Value::Table(self.table.clone()), "")
    }

    /// The typed contents of one table of it, which is called `prefix`.
    pub fn parse_value<T: serde::de::DeserializeOwned>(
        &self,
        value: toml::Value,
        prefix: &str,
    ) -> Result<T, ConfigError> {
        value.try_into().map_err(|e: toml::de::Error| {
            let message = e.message().lines().next().unwrap_or("").to_string();
            // "in `timing.n_faw`" below the message names the value; an unknown or missing key is in the message.
            let shown = e.to_string();
            let path = shown.lines().rev().find_map(|line| line.strip_prefix("in `")?.strip_suffix('`'));
            let of_value =
                path.map(|path| if prefix.is_empty() { path.to_string() } else { format!("{prefix}.{path}") });
            if let Some(key) = of_value.filter(|key| message.starts_with("invalid") && self.places.contains_key(key)) {
                return self.error(&key, message, "see the shipped presets for the keys and their types");
            }
            let word = message.split('`').nth(1).unwrap_or("");
            let is_meant = |key: &&String| key.starts_with(prefix) && key.rsplit('.').next() == Some(word);
            let key = self.places.keys().find(is_meant).cloned().unwrap_or(prefix.to_string());
            self.error(&key, message, "see the shipped presets for the keys and their types")
        })
    }

    /// An error about one key.
    pub fn error(&self, key: &str, message: impl Into<String>, help: impl Into<String>) -> ConfigError {
        ConfigError { problems: vec![self.problem(key, message, help)] }
    }

    /// A problem about one key, at the place of the key or of the table that should hold it.
    pub fn problem(&self, key: &str, message: impl Into<String>, help: impl Into<String>) -> Problem {
        let mut at = key;
        let (file, line) = loop {
            if let Some(place) = self.places.get(at) {
                break place.clone();
            }
            match at.rfind('.') {
                Some(dot) => at = &at[..dot],
                None => break (self.name.clone(), 0),
            }
        };
        Problem { file, line, key: key.to_string(), message: message.into(), help: help.into() }
    }
}

fn note_places(table: &DeTable<'_>, prefix: &str, note: &mut dyn FnMut(String, usize)) {
    for (key, value) in table {
        let path = if prefix.is_empty() { key.get_ref().to_string() } else { format!("{prefix}.{}", key.get_ref()) };
        if let DeValue::Table(inner) = value.get_ref() {
            note_places(inner, &path, note);
        }
        note(path, key.span().start);
    }
}

fn merge_tables(into: &mut toml::Table, from: toml::Table) {
    for (key, value) in from {
        match (into.get_mut(&key), value) {
            (Some(toml::Value::Table(old)), toml::Value::Table(new)) => merge_tables(old, new),
            (_, value) => {
                into.insert(key, value);
            }
        }
    }
}

fn relative(file: &str, other: &str) -> String {
    let mut parts: Vec<&str> = file.split('/').collect();
    parts.pop();
    for part in other.split('/') {
        match part {
            "." => {}
            ".." if parts.last().is_some_and(|p| *p != "..") => {
                parts.pop();
            }
            _ => parts.push(part),
        }
    }
    parts.join("/")
}

fn line_of(text: &str, offset: usize) -> usize {
    text.as_bytes()[..offset.min(text.len())].iter().filter(|b| **b == b'\n').count() + 1
}
