//! Deserialising a [`Node`] with serde so that an error knows the place of the value at fault.

use super::error::{ConfigError, Place, Problem};
use super::suggest::did_you_mean;
use super::tree::{Entry, Node, Value};
use serde::de::{self, DeserializeSeed, IntoDeserializer, Visitor};
use std::collections::btree_map;
use std::fmt;

/// An error on its way up; the innermost value that it passes gives it its place.
#[derive(Debug)]
pub struct NodeError(Box<Fault>);

#[derive(Debug)]
struct Fault {
    problem: Problem,
    help: Option<String>,
    place: Option<Place>,
    key: String,
    /// Path, from the node that was read, of a key that nobody knows.
    unknown_key: Option<String>,
}

impl NodeError {
    fn new(problem: Problem, help: Option<String>) -> NodeError {
        NodeError(Box::new(Fault { problem, help, place: None, key: String::new(), unknown_key: None }))
    }

    fn bad(message: String) -> NodeError {
        NodeError::new(Problem::BadValue { message }, None)
    }

    fn at(mut self, place: &Place, key: &str) -> NodeError {
        if self.0.place.is_none() {
            self.0.place = Some(place.clone());
            self.0.key = key.to_string();
        }
        self
    }

    pub(crate) fn unknown_key(&self) -> Option<&str> {
        self.0.unknown_key.as_deref()
    }

    pub(crate) fn into_config_error(self, otherwise: Place, path: &str) -> ConfigError {
        let Fault { problem, help, place, key, .. } = *self.0;
        let key = if key.is_empty() { path.to_string() } else { key };
        ConfigError { place: place.unwrap_or(otherwise), key, problem, help }
    }
}

impl fmt::Display for NodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.problem.fmt(f)
    }
}

impl std::error::Error for NodeError {}

impl de::Error for NodeError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        NodeError::bad(message.to_string())
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        let help = did_you_mean(field, expected.iter().copied());
        let mut error = NodeError::new(Problem::UnknownKey { key: field.to_string() }, help);
        error.0.unknown_key = Some(field.to_string());
        error
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        let help = did_you_mean(variant, expected.iter().copied());
        NodeError::new(Problem::BadValue { message: format!("`{variant}` is none of the choices") }, help)
    }

    fn missing_field(field: &'static str) -> Self {
        NodeError::new(Problem::MissingKey { key: field.to_string() }, None)
    }
}

/// Reads a node; `path` is its dotted key in messages.
pub struct NodeDeserializer<'n> {
    node: &'n Node,
    path: String,
}

impl<'n> NodeDeserializer<'n> {
    /// For a node at a dotted path.
    pub fn new(node: &'n Node, path: &str) -> Self {
        NodeDeserializer { node, path: path.to_string() }
    }

    fn visit<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, NodeError> {
        let place = &self.node.place;
        let result = match &self.node.value {
            Value::String(s) => visitor.visit_str(s),
            Value::Integer(i) => visitor.visit_i64(*i),
            Value::Float(x) => visitor.visit_f64(*x),
            Value::Bool(b) => visitor.visit_bool(*b),
            Value::Array(a) => {
                let path = self.path.clone();
                let mut seq = de::value::SeqDeserializer::new(
                    a.iter().enumerate().map(|(i, node)| NodeDeserializer::new(node, &format!("{path}[{i}]"))),
                );
                visitor.visit_seq(&mut seq).and_then(|v| seq.end().map(|()| v))
            }
            Value::Table(t) => {
                visitor.visit_map(TableAccess { entries: t.iter(), value: None, path: self.path.clone() })
            }
        };
        result.map_err(|e: NodeError| e.at(place, &self.path))
    }
}

impl<'n> IntoDeserializer<'_, NodeError> for NodeDeserializer<'n> {
    type Deserializer = NodeDeserializer<'n>;
    fn into_deserializer(self) -> Self {
        self
    }
}

impl<'de> de::Deserializer<'de> for NodeDeserializer<'_> {
    type Error = NodeError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, NodeError> {
        self.visit(visitor)
    }

    // A whole number is a number: `mhz = 1755` where a float is read.
    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, NodeError> {
        match self.node.value {
            Value::Integer(i) => visitor.visit_f64(i as f64).map_err(|e: NodeError| e.at(&self.node.place, &self.path)),
            _ => self.visit(visitor),
        }
    }

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, NodeError> {
        self.deserialize_f64(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, NodeError> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, NodeError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, NodeError> {
        let place = self.node.place.clone();
        let path = self.path.clone();
        let result = match &self.node.value {
            Value::String(s) => visitor.visit_enum(s.as_str().into_deserializer()),
            Value::Table(t) if t.len() == 1 => {
                let access = TableAccess { entries: t.iter(), value: None, path: self.path };
                visitor.visit_enum(de::value::MapAccessDeserializer::new(access))
            }
            Value::Table(_) => Err(NodeError::bad("a choice is one key with its parameters".into())),
            _ => Err(NodeError::bad(format!("expected one of the choices, found {}", self.node.type_name()))),
        };
        result.map_err(|e: NodeError| e.at(&place, &path))
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map struct identifier ignored_any
    }
}

struct TableAccess<'n> {
    entries: btree_map::Iter<'n, String, Entry>,
    value: Option<(&'n Node, &'n str)>,
    path: String,
}

impl TableAccess<'_> {
    fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_string() } else { format!("{}.{key}", self.path) }
    }
}

impl<'de> de::MapAccess<'de> for TableAccess<'_> {
    type Error = NodeError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, NodeError> {
        let Some((key, entry)) = self.entries.next() else { return Ok(None) };
        self.value = Some((&entry.node, key));
        let deserializer: de::value::StrDeserializer<'_, NodeError> = key.as_str().into_deserializer();
        seed.deserialize(deserializer).map(Some).map_err(|e| e.at(&entry.key, &self.path_of(key)))
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, NodeError> {
        let (node, key) = self.value.take().expect("a key comes before its value");
        seed.deserialize(NodeDeserializer { node, path: self.path_of(key) }).map_err(|mut e| {
            // An unknown key below is named from here on.
            e.0.unknown_key = e.0.unknown_key.map(|k| format!("{key}.{k}"));
            e
        })
    }
}
