//! Inheritance and overrides: a file names its `base`, says how it differs, and `--set` has the last word.

use super::error::{ConfigError, Place, Problem, Source};
use super::suggest::did_you_mean;
use super::tree::{Entry, Node, Value, parse};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Lays `child` over `base`, key by key. Arrays are replaced as a whole, except links: a link replaces the inherited
/// link of the same `from` and is otherwise added.
pub(crate) fn overlay(base: &mut Node, child: Node, path: &str) {
    let Node { value, place, soft } = child;
    let Value::Table(child) = value else {
        *base = Node { value, place, soft };
        return;
    };
    if base.table().is_none() {
        *base = Node { value: Value::Table(child), place, soft };
        return;
    }
    if let Some(name) = path.strip_prefix("part.").filter(|_| exchanges_kind(base, &child)) {
        if name.contains('.') {
            // A table inside a part: nothing of another kind's is meant.
            *base = Node { value: Value::Table(child), place, soft };
            return;
        }
        // A part keeps those inherited parameters that the new kind knows and loses the others.
        soften(base);
    }
    base.place = place;
    let table = base.table_mut().expect("just seen");
    for (key, entry) in child {
        let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        match table.get_mut(&key) {
            None => {
                table.insert(key, entry);
            }
            Some(mine) if path == "link" => {
                mine.key = entry.key;
                overlay_links(&mut mine.node, entry.node);
            }
            Some(mine) => {
                mine.key = entry.key;
                overlay(&mut mine.node, entry.node, &path);
            }
        }
    }
}

/// Whether the child names another kind than the base.
fn exchanges_kind(base: &Node, child: &BTreeMap<String, Entry>) -> bool {
    let new = child.get("kind").and_then(|e| e.node.as_str());
    new.is_some() && new != base.get("kind").and_then(Node::as_str)
}

pub(crate) fn soften(part: &mut Node) {
    for (key, entry) in part.table_mut().into_iter().flatten() {
        entry.node.soft = !matches!(key.as_str(), "kind" | "clock" | "count");
    }
}

fn overlay_links(base: &mut Node, child: Node) {
    let (Value::Array(links), Value::Array(more)) = (&mut base.value, child.value) else { return };
    for link in more {
        let from = link.get("from").and_then(Node::as_str).map(str::to_owned);
        let same = |l: &&mut Node| from.is_some() && l.get("from").and_then(Node::as_str) == from.as_deref();
        match links.iter_mut().find(same) {
            Some(mine) => *mine = link,
            None => links.push(link),
        }
    }
}

/// Applies overrides like `part.sm.count=66`. The key must exist; only a part whose `kind` is exchanged by another
/// override may get new keys.
pub(crate) fn apply_sets(root: &mut Node, sets: &[String], errors: &mut Vec<ConfigError>) {
    let exchanged: Vec<&str> =
        sets.iter().filter_map(|s| s.split_once('=')?.0.trim().strip_prefix("part.")?.strip_suffix(".kind")).collect();
    for name in &exchanged {
        let parts = root.table_mut().and_then(|t| t.get_mut("part")).and_then(|e| e.node.table_mut());
        if let Some(part) = parts.and_then(|parts| parts.get_mut(*name)) {
            soften(&mut part.node);
        }
    }
    for set in sets {
        if let Err(e) = apply_set(root, set, &exchanged) {
            errors.push(*e);
        }
    }
}

fn apply_set(root: &mut Node, set: &str, exchanged: &[&str]) -> Result<(), Box<ConfigError>> {
    let source = Arc::new(Source { name: "--set".into(), text: set.to_string() });
    let whole = Place { source: source.clone(), span: 0..set.len() };
    let Some((path, value)) = set.split_once('=') else {
        let problem = Problem::BadValue { message: format!("`{set}` has no value") };
        return Err(Box::new(ConfigError::new(&whole, set, problem).help("write key=value, as in part.sm.count=66")));
    };
    let path = path.trim();
    let place = Place { source, span: set.len() - value.len()..set.len() };
    let new = override_value(value.trim(), &place);
    let mut node = root;
    let steps: Vec<&str> = path.split('.').collect();
    for (i, step) in steps.iter().enumerate() {
        let so_far = steps[..i].join(".");
        let is_last = i + 1 == steps.len();
        let Some(table) = node.table_mut() else {
            let problem = Problem::UnknownKey { key: path.to_string() };
            let help = format!("`{so_far}` is no table");
            return Err(Box::new(ConfigError::new(&whole, path, problem).help(help)));
        };
        let may_be_new = is_last && i == 2 && steps[0] == "part" && exchanged.contains(&steps[1]);
        if !table.contains_key(*step) && !may_be_new {
            let prefix = if so_far.is_empty() { String::new() } else { format!("{so_far}.") };
            let rest = if is_last { String::new() } else { format!(".{}", steps[i + 1..].join(".")) };
            let known: Vec<String> = table.keys().filter(|k| *k != "origin").cloned().collect();
            let near = super::suggest::nearest(step, known.iter().map(String::as_str));
            let help = match near {
                Some(near) => Some(format!("did you mean `{prefix}{near}{rest}`?")),
                None => did_you_mean(step, known.iter().map(String::as_str)),
            };
            let problem = Problem::UnknownKey { key: path.to_string() };
            return Err(Box::new(ConfigError::new(&whole, path, problem).maybe_help(help)));
        }
        if is_last {
            let entry = Entry { key: whole.clone(), node: new };
            table.insert((*step).to_string(), entry);
            return Ok(());
        }
        node = &mut table.get_mut(*step).expect("just seen").node;
    }
    Ok(())
}

/// A value as in TOML; what is not TOML is taken as text, so that `--set part.l2.kind=ideal` needs no quotes.
fn override_value(text: &str, place: &Place) -> Node {
    let source = Arc::new(Source { name: "--set".into(), text: format!("value = {text}\n") });
    let parsed = parse(&source).ok().and_then(|n| n.get("value").cloned()).filter(|_| !text.contains('\n'));
    let mut node = parsed.unwrap_or_else(|| Node::new(Value::String(text.to_string()), place.clone()));
    fn put(node: &mut Node, place: &Place) {
        node.place = place.clone();
        match &mut node.value {
            Value::Array(a) => a.iter_mut().for_each(|n| put(n, place)),
            Value::Table(t) => t.values_mut().for_each(|e| {
                e.key = place.clone();
                put(&mut e.node, place);
            }),
            _ => {}
        }
    }
    put(&mut node, place);
    node
}
