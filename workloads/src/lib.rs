//! What a machine can be asked to do.
//!
//! Each workload turns into a stream of operations that a component consumes; nothing here knows a component.
//!
//! * [`sass`]: machine code of NVIDIA GPUs as the compiler emitted it, read from listings, executed without a GPU.
//! * [`accel_sim`]: traces of kernels that ran on a GPU.
//! * [`stream`]: what an executed kernel hands to a timing model.
//! * [`tensor`]: neural networks as tensors and operators.
#![forbid(unsafe_code)]

pub mod accel_sim;
pub mod sass;
pub mod stream;
pub mod tensor;

/// What is wrong with a file that a user gave, whatever it describes: file, line, what is wrong, what would be right.
pub use sass::SassError as InputError;
