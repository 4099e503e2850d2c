//! The tree of a file: values with the place they were written at.

use super::error::{ConfigError, Place, Problem, Source};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use toml::de::{DeTable, DeValue};

/// A value and where it stands.
#[derive(Clone, Debug)]
pub struct Node {
    /// The value.
    pub value: Value,
    /// Where it was written.
    pub place: Place,
    /// Inherited by a part whose kind was exchanged: dropped without complaint if the new kind does not know it.
    pub(crate) soft: bool,
}

/// A TOML value.
#[derive(Clone, Debug)]
pub enum Value {
    /// Text.
    String(String),
    /// A whole number.
    Integer(i64),
    /// A number.
    Float(f64),
    /// True or false.
    Bool(bool),
    /// A list.
    Array(Vec<Node>),
    /// Keys and values, in the order of the keys.
    Table(BTreeMap<String, Entry>),
}

/// A value of a table with the place of its key.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Where the key was written.
    pub key: Place,
    /// The value.
    pub node: Node,
}

impl Node {
    /// A value without anything special.
    pub fn new(value: Value, place: Place) -> Node {
        Node { value, place, soft: false }
    }

    /// The keys and values, if it is a table.
    pub fn table(&self) -> Option<&BTreeMap<String, Entry>> {
        match &self.value {
            Value::Table(t) => Some(t),
            _ => None,
        }
    }

    pub(crate) fn table_mut(&mut self) -> Option<&mut BTreeMap<String, Entry>> {
        match &mut self.value {
            Value::Table(t) => Some(t),
            _ => None,
        }
    }

    /// The value of a key, if it is a table that has it.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.table()?.get(key).map(|e| &e.node)
    }

    /// The value at a dotted path.
    pub fn at(&self, path: &str) -> Option<&Node> {
        path.split('.').filter(|s| !s.is_empty()).try_fold(self, |n, key| n.get(key))
    }

    /// The text, if it is text.
    pub fn as_str(&self) -> Option<&str> {
        match &self.value {
            Value::String(s) => Some(s),
            _ => None,
        }
    }

    /// The type as users call it.
    pub fn type_name(&self) -> &'static str {
        match self.value {
            Value::String(_) => "a string",
            Value::Integer(_) => "an integer",
            Value::Float(_) => "a float",
            Value::Bool(_) => "a boolean",
            Value::Array(_) => "an array",
            Value::Table(_) => "a table",
        }
    }

    /// Removes every key `origin` at every level: where a value comes from is not a parameter.
    pub(crate) fn strip_origins(&mut self) {
        match &mut self.value {
            Value::Table(t) => {
                t.remove("origin");
                t.values_mut().for_each(|e| e.node.strip_origins());
            }
            Value::Array(a) => a.iter_mut().for_each(Node::strip_origins),
            _ => {}
        }
    }
}

/// Reads one TOML text; all syntax errors are reported.
pub(crate) fn parse(source: &Arc<Source>) -> Result<Node, Vec<ConfigError>> {
    let (table, errors) = DeTable::parse_recoverable(&source.text);
    if !errors.is_empty() {
        let place = |e: &toml::de::Error| Place { source: source.clone(), span: e.span().unwrap_or(0..0) };
        let error = |e: &toml::de::Error| {
            ConfigError::new(&place(e), "", Problem::Syntax { message: e.message().trim().replace('\n', ", ") })
        };
        return Err(errors.iter().map(error).collect());
    }
    let mut errors = Vec::new();
    let span = table.span();
    let node = from_table(table.into_inner(), Place { source: source.clone(), span }, "", &mut errors);
    if errors.is_empty() { Ok(node) } else { Err(errors) }
}

fn from_table(table: DeTable<'_>, place: Place, path: &str, errors: &mut Vec<ConfigError>) -> Node {
    let mut entries = BTreeMap::new();
    for (key, value) in table {
        let key_place = Place { source: place.source.clone(), span: key.span() };
        let path = if path.is_empty() { key.get_ref().to_string() } else { format!("{path}.{}", key.get_ref()) };
        let node = from_value(value, &place.source, &path, errors);
        entries.insert(key.into_inner().into_owned(), Entry { key: key_place, node });
    }
    Node::new(Value::Table(entries), place)
}

fn from_value(
    value: toml::Spanned<DeValue<'_>>,
    source: &Arc<Source>,
    path: &str,
    errors: &mut Vec<ConfigError>,
) -> Node {
    let place = Place { source: source.clone(), span: value.span() };
    let bad = |message: String| ConfigError::new(&place, path, Problem::BadValue { message });
    let value = match value.into_inner() {
        DeValue::String(s) => Value::String(s.into_owned()),
        DeValue::Boolean(b) => Value::Bool(b),
        DeValue::Integer(i) => match i64::from_str_radix(i.as_str(), i.radix()) {
            Ok(i) => Value::Integer(i),
            Err(_) => {
                errors.push(bad(format!("`{i}` does not fit in 64 bits")));
                Value::Integer(0)
            }
        },
        DeValue::Float(x) => match x.as_str().parse() {
            Ok(x) => Value::Float(x),
            Err(_) => {
                errors.push(bad(format!("`{x}` is no number")));
                Value::Float(0.0)
            }
        },
        DeValue::Datetime(_) => {
            errors.push(bad("dates are not used here".into()).help("write it as a string"));
            Value::Bool(false)
        }
        DeValue::Array(a) => Value::Array(a.into_iter().map(|v| from_value(v, source, path, errors)).collect()),
        DeValue::Table(t) => return from_table(t, place, path, errors),
    };
    Node::new(value, place)
}

/// Writes a tree as TOML: plain values first, then tables, keys in order. Reading it again gives the same values.
pub(crate) fn to_toml(node: &Node) -> String {
    let mut out = String::new();
    write_table(node, &mut Vec::new(), &mut out);
    out
}

fn is_table_array(node: &Node) -> bool {
    matches!(&node.value, Value::Array(a) if !a.is_empty() && a.iter().all(|n| n.table().is_some()))
}

fn write_table(node: &Node, path: &mut Vec<String>, out: &mut String) {
    let Some(table) = node.table() else { return };
    let nested = |n: &Node| n.table().is_some() || is_table_array(n);
    for (key, e) in table.iter().filter(|(_, e)| !nested(&e.node)) {
        let _ = writeln!(out, "{} = {}", quoted_key(key), inline(&e.node));
    }
    for (key, e) in table.iter().filter(|(_, e)| nested(&e.node)) {
        path.push(quoted_key(key));
        let tables: Vec<(&Node, &str, &str)> = match &e.node.value {
            Value::Array(a) => a.iter().map(|n| (n, "[[", "]]")).collect(),
            _ => vec![(&e.node, "[", "]")],
        };
        for (table, open, close) in tables {
            let only_tables = table.table().is_some_and(|t| !t.is_empty() && t.values().all(|e| nested(&e.node)));
            if !(only_tables && open == "[") {
                let _ = writeln!(out, "{}{open}{}{close}", if out.is_empty() { "" } else { "\n" }, path.join("."));
            }
            write_table(table, path, out);
        }
        path.pop();
    }
}

fn quoted_key(key: &str) -> String {
    let bare = !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    if bare { key.to_string() } else { toml::Value::from(key).to_string() }
}

fn inline(node: &Node) -> String {
    match &node.value {
        Value::String(s) => toml::Value::from(s.as_str()).to_string(),
        Value::Integer(i) => i.to_string(),
        Value::Float(x) => toml::Value::from(*x).to_string(),
        Value::Bool(b) => b.to_string(),
        Value::Array(a) => format!("[{}]", a.iter().map(inline).collect::<Vec<_>>().join(", ")),
        Value::Table(t) => {
            let entries: Vec<_> = t.iter().map(|(k, e)| format!("{} = {}", quoted_key(k), inline(&e.node))).collect();
            format!("{{ {} }}", entries.join(", "))
        }
    }
}
