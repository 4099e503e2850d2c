//! Neural networks as tensors and operators, whatever they were read from.
//!
//! * [`Graph`]: what every front end makes and every NPU takes. Shapes are known, defaults are applied, the order is
//!   one in which the operators can run.
//! * [`onnx`]: models in files. [`topology`]: lists of layers in files. [`transformer`]: published models from their
//!   dimensions. [`fuse`]: tails joined to what they follow.
//! * [`TaskList`]: what the engines of a tile-based NPU do, as a compiler emits it.

pub mod fuse;
mod graph;
pub mod onnx;
mod task_list;
mod tasks;
pub mod topology;
pub mod transformer;

pub use graph::{
    Attention, Convolution, Element, Eltwise, Graph, MatMul, Operator, OperatorKind, Pool, PoolKind, Reduction, Role,
    Tensor, TensorId, Vector,
};
pub use task_list::TaskList;
pub use tasks::{CmxRange, DpuOperation, Extent, MpeMode, Place, Task, Variant, Work};
