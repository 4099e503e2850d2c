//! What is wrong with a model.

/// What is wrong with a model, where, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct OnnxError {
    /// The file; empty where there is none.
    pub file: String,
    pub message: String,
    pub help: String,
}

impl OnnxError {
    pub(super) fn new(message: impl Into<String>, help: impl Into<String>) -> Self {
        Self { file: String::new(), message: message.into(), help: help.into() }
    }

    pub(super) fn of(self, file: &str) -> Self {
        Self { file: file.to_string(), ..self }
    }

    /// Says in which node.
    pub(super) fn in_node(self, name: &str, operator: &str) -> Self {
        Self { message: format!("node `{name}` ({operator}): {}", self.message), ..self }
    }
}
