//! Reading a file with all that it inherits from.

use super::de::NodeDeserializer;
use super::error::{ConfigError, Place, Problem, Source};
use super::inherit::{apply_sets, overlay};
use super::tree::{Node, Value, parse, to_toml};
use serde::de::DeserializeOwned;
use std::sync::Arc;

/// Finds the text of a file: `(name as written, name of the file that names it)` to `(name to show, text)`. The second
/// name is `None` for the file asked for first. Embedded files and files of the user go through the same door.
pub type Resolve<'r> = dyn FnMut(&str, Option<&str>) -> Result<(String, String), String> + 'r;

/// A file with everything that it inherits laid together, overrides applied and origins taken out.
#[derive(Clone, Debug)]
pub struct Document {
    root: Node,
    source: Arc<Source>,
}

impl Document {
    /// Reads `name` and its bases through `resolve`, then applies `sets` (`key=value`). All errors are reported.
    pub fn load(name: &str, resolve: &mut Resolve<'_>, sets: &[String]) -> Result<Document, Vec<ConfigError>> {
        let nowhere = Arc::new(Source { name: name.to_string(), text: String::new() });
        let (mut root, source) = read_chain(name, &Place::start_of(&nowhere), None, resolve, &mut Vec::new())?;
        root.strip_origins();
        let mut errors = Vec::new();
        apply_sets(&mut root, sets, &mut errors);
        if errors.is_empty() { Ok(Document { root, source }) } else { Err(errors) }
    }

    /// Reads a text that inherits nothing.
    pub fn parse(name: &str, text: &str) -> Result<Document, Vec<ConfigError>> {
        let mut once = |asked: &str, from: Option<&str>| match from {
            None => Ok((name.to_string(), text.to_string())),
            Some(_) => Err(format!("`{asked}` cannot be found from a text without a place")),
        };
        Document::load(name, &mut once, &[])
    }

    /// A resolver for files on disk: names are relative to the file that names them.
    pub fn from_disk(asked: &str, from: Option<&str>) -> Result<(String, String), String> {
        let path = match from.and_then(|f| std::path::Path::new(f).parent()) {
            Some(folder) => folder.join(asked),
            None => asked.into(),
        };
        let text = std::fs::read_to_string(&path).map_err(|e| e.to_string())?;
        Ok((path.display().to_string(), text))
    }

    /// The tree.
    pub fn root(&self) -> &Node {
        &self.root
    }

    /// Sets a value at the top if there is none.
    pub(crate) fn put(&mut self, key: &str, value: Value) {
        let place = Place::start_of(&self.source);
        if let Some(table) = self.root.table_mut() {
            let node = Node::new(value, place.clone());
            table.entry(key.to_string()).or_insert(super::tree::Entry { key: place, node });
        }
    }

    /// The same without some keys at the top.
    #[must_use]
    pub fn without(&self, keys: &[&str]) -> Document {
        let mut rest = self.clone();
        if let Some(table) = rest.root.table_mut() {
            table.retain(|key, _| !keys.contains(&key.as_str()));
        }
        rest
    }

    /// The file asked for.
    pub fn source(&self) -> &Arc<Source> {
        &self.source
    }

    /// Reads the whole document as `T`. Unknown keys are all collected if `T` denies unknown fields.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, Vec<ConfigError>> {
        read_node(&self.root, "")
    }

    /// Reads the value at a dotted path as `T`.
    pub fn read_at<T: DeserializeOwned>(&self, path: &str) -> Result<T, Vec<ConfigError>> {
        match self.root.at(path) {
            Some(node) => read_node(node, path),
            None => {
                let problem = Problem::MissingKey { key: path.to_string() };
                Err(vec![ConfigError::new(&Place::start_of(&self.source), path, problem)])
            }
        }
    }

    /// The resolved values as one TOML text, keys in order, nothing inherited.
    pub fn to_toml(&self) -> String {
        to_toml(&self.root)
    }

    /// Hash of the resolved values: the same for the same values, however they were put together.
    pub fn hash(&self) -> blake3::Hash {
        blake3::hash(self.to_toml().as_bytes())
    }
}

/// Reads a node as `T`. After an unknown key the rest is still read, so that all of them are reported.
pub fn read_node<T: DeserializeOwned>(node: &Node, path: &str) -> Result<T, Vec<ConfigError>> {
    let mut node = std::borrow::Cow::Borrowed(node);
    let mut errors: Vec<ConfigError> = Vec::new();
    loop {
        match T::deserialize(NodeDeserializer::new(&node, path)) {
            Ok(value) if errors.is_empty() => return Ok(value),
            Ok(_) => return Err(errors),
            Err(e) => {
                let unknown = e.unknown_key().map(str::to_owned);
                let soft = unknown.as_ref().and_then(|k| node.at(k)).is_some_and(|n| n.soft);
                if !soft {
                    errors.push(e.into_config_error(node.place.clone(), path));
                }
                let Some(key) = unknown else { return Err(errors) };
                if !remove(node.to_mut(), &key) {
                    return Err(errors);
                }
            }
        }
    }
}

/// Removes the value at a dotted path.
fn remove(node: &mut Node, path: &str) -> bool {
    match path.split_once('.') {
        None => node.table_mut().is_some_and(|t| t.remove(path).is_some()),
        Some((first, rest)) => {
            node.table_mut().and_then(|t| t.get_mut(first)).is_some_and(|e| remove(&mut e.node, rest))
        }
    }
}

type Chain = (Node, Arc<Source>);

fn read_chain(
    asked: &str,
    asked_at: &Place,
    from: Option<&str>,
    resolve: &mut Resolve<'_>,
    seen: &mut Vec<String>,
) -> Result<Chain, Vec<ConfigError>> {
    let key = if from.is_some() { "base" } else { "" };
    let (name, text) = resolve(asked, from).map_err(|reason| {
        let problem = Problem::Unreadable { name: asked.to_string(), reason };
        vec![ConfigError::new(asked_at, key, problem)]
    })?;
    if seen.contains(&name) {
        return Err(vec![ConfigError::new(asked_at, key, Problem::InheritsItself { name })]);
    }
    seen.push(name.clone());
    let source = Arc::new(Source { name: name.clone(), text });
    let mut node = parse(&source)?;
    let base = node.table_mut().expect("a file is a table").remove("base");
    let Some(base) = base else { return Ok((node, source)) };
    let Value::String(base_name) = &base.node.value else {
        let message = format!("`base` is {}, not a file name", base.node.type_name());
        return Err(vec![ConfigError::new(&base.node.place, "base", Problem::BadValue { message })]);
    };
    let (mut inherited, _) = read_chain(base_name, &base.node.place, Some(&name), resolve, seen)?;
    overlay(&mut inherited, node, "");
    Ok((inherited, source))
}
