//! Cores of a systolic array and a vector unit over a scratchpad.
//!
//! ```text
//!   Graph ─▶ lower (mapper) ─▶ Program: layers, tiles, steps ─▶ Dispatcher ─▶ Core ─▶ crossbar ─▶ memory channels
//!     └────▶ closed forms of SCALE-Sim ─▶ FoldedArray (a layer is one event)
//! ```
//!
//! * [`work`]: operators as matrix products, which all of this shares.
//! * [`mapper`]: how a product is cut into tiles.
//! * [`lower`]: from operators to tiles and their steps.
//! * [`program`]: tiles and steps.
//! * [`dispatcher`], [`core`]: the components of the machine of events.
//! * [`closed`], [`folded`]: the closed forms, and the component that takes a layer as one event of that length.
//! * [`sequence`]: layers that are one event each.
//! * [`streaming`]: the core whose activations stay and whose weights stream past them (TPU v1).
//! * [`report`]: what a run says of each layer.

pub mod closed;
pub mod core;
pub mod dispatcher;
pub mod folded;
pub mod lower;
pub mod mapper;
pub mod program;
pub mod report;
pub mod sequence;
pub mod streaming;
pub mod work;
