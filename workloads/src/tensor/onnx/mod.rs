//! ONNX models as [`Graph`]s.
//!
//! ```text
//!  bytes ── schema ── reader: initialisers, inputs, nodes in order ──┬── operators/ (shape, kind, constants of each)
//!                                                                    └── Graph ── quantised ── fused ── Model
//! ```
//!
//! What a node leaves out is what the operator's definition says; shapes follow from those of the inputs, constants that
//! shapes are computed from are folded, and what is computed from constants alone is a constant. Values of weights are
//! never read: an external file of them has to be there, and to be long enough. An operator that is not known becomes
//! [`OperatorKind::Unknown`](super::OperatorKind::Unknown) with a warning. Operators are those of the default domain of
//! opset 6 to [`NEWEST_OPSET`], and the fused and quantised ones that runtimes add (`com.microsoft`).
//!
//! Left out: control flow (`If`, `Loop`, `Scan`), functions local to a model, sequences, strings, 8-bit floating point.

mod attributes;
mod error;
mod fold;
mod operators;
mod quantised;
mod reader;
#[allow(clippy::all, clippy::pedantic, missing_docs)]
pub mod schema;

use std::collections::BTreeMap;
use std::path::Path;

use prost::Message;

use super::{Graph, fuse};
use crate::InputError;
use error::OnnxError;
use schema::ModelProto;

/// The oldest and newest opset of the default domain that is understood: ONNX 1.1 to 1.23.
pub const OLDEST_OPSET: i64 = 6;
/// See [`OLDEST_OPSET`].
pub const NEWEST_OPSET: i64 = 28;
/// A larger file would have its weights inside; models of that size keep them in external files.
const MOST_BYTES: u64 = 4 << 30;

/// What a model leaves open.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Sizes of dimensions that the model gives a name only.
    pub dimensions: BTreeMap<String, u64>,
}

/// A model that was read.
#[derive(Debug, Clone, PartialEq)]
pub struct Model {
    pub graph: Graph,
    /// What the graph does not say as the model does, a sentence each: operators that are not known, shapes assumed.
    pub warnings: Vec<String>,
}

/// Whether a name says that a file is an ONNX model.
pub fn is_onnx(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "onnx")
}

/// Reads a model with its external data beside it.
///
/// # Errors
/// The file cannot be read, is none, or is none that can be simulated; the message says what to do.
pub fn read(path: &Path, options: &Options) -> Result<Model, InputError> {
    let file = path.display().to_string();
    let wrong = |message: String, help: &str| InputError::new(&file, 0, message, help);
    let size = std::fs::metadata(path).map_err(|e| wrong(format!("cannot be read: {e}"), "the path of a model"))?.len();
    if size > MOST_BYTES {
        return Err(wrong(format!("{size} bytes are too many"), "save the model with external data"));
    }
    let bytes = std::fs::read(path).map_err(|e| wrong(format!("cannot be read: {e}"), "the path of a model"))?;
    let name = path.file_stem().map_or_else(|| file.clone(), |stem| stem.to_string_lossy().into_owned());
    parsed(&name, &bytes, path.parent(), options)
        .map_err(|OnnxError { message, help }| InputError::new(&file, 0, message, help))
}

/// Reads a model from bytes, without looking for external data.
///
/// # Errors
/// As [`read`]; `name` stands for the file.
pub fn parse(name: &str, bytes: &[u8], options: &Options) -> Result<Model, InputError> {
    let wrong = |OnnxError { message, help }| InputError::new(name, 0, message, help);
    parsed(name, bytes, None, options).map_err(wrong)
}

fn parsed(name: &str, bytes: &[u8], folder: Option<&Path>, options: &Options) -> Result<Model, OnnxError> {
    let model = ModelProto::decode(bytes).map_err(|error| {
        let help = "the file is truncated or is no ONNX model: get it again";
        OnnxError::new(format!("is not an ONNX model: {error}"), help)
    })?;
    let read = reader::graph(name, &model, folder, options)?;
    let graph = fuse::fused(quantised::quantised(read.graph));
    Ok(Model { graph, warnings: read.warnings })
}
