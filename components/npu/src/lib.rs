//! Neural processing units, in two kinds on one kernel.
//!
//! * [`tiled`]: tiles of a MAC array, vector DSPs and scratchpad, driven by task lists with barriers (Intel's NPU).
//! * [`fusemax`]: attention fused on a spatial array.
//! * [`systolic`]: cores of a systolic array and a vector unit over a scratchpad (TPU, Gemmini, ONNXim, SCALE-Sim).
#![forbid(unsafe_code)]

pub mod fusemax;
pub mod systolic;
pub mod tiled;
