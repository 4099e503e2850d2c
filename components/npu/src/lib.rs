//! Neural processing units, in several kinds on one kernel.
//!
//! * [`tiled`]: tiles of a MAC array, vector DSPs and scratchpad, driven by task lists with barriers (Intel's NPU).
//! * [`compile`]: networks as task lists for the tiles.
//! * [`eyeriss`]: a convolution on a row-stationary array, by its processing passes.
//! * [`fusemax`]: attention fused on a spatial array.
//! * [`nvdla`]: NVIDIA's open accelerator: a convolution core and its post-processor.
//! * [`systolic`]: cores of a systolic array and a vector unit over a scratchpad (TPU, Gemmini, ONNXim, SCALE-Sim).
//! * [`power`]: energy on the same events as time.
#![forbid(unsafe_code)]

pub mod compile;
pub mod eyeriss;
pub mod fusemax;
pub mod nvdla;
pub mod power;
pub mod systolic;
pub mod tiled;
