//! What is wrong with a model.

/// What is wrong with a model, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OnnxError {
    pub message: String,
    pub help: String,
}

impl OnnxError {
    pub fn new(message: impl Into<String>, help: impl Into<String>) -> Self {
        Self { message: message.into(), help: help.into() }
    }

    /// Says in which node.
    pub fn in_node(self, name: &str, operator: &str) -> Self {
        Self { message: format!("node `{name}` ({operator}): {}", self.message), ..self }
    }
}
