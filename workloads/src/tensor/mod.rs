//! Neural networks as tensors and operators, whatever they were read from.
//!
//! * [`Graph`]: what every front end makes and every NPU takes. Shapes are known, defaults are applied, the order is
//!   one in which the operators can run.
//! * [`onnx`]: models in files. [`fuse`]: tails joined to what they follow.

pub mod fuse;
mod graph;
pub mod onnx;

pub use graph::{
    Attention, Convolution, Element, Eltwise, Graph, MatMul, Operator, OperatorKind, Pool, PoolKind, Reduction, Role,
    Tensor, TensorId, Vector,
};
