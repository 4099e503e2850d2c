//! Cores of a systolic array and a vector unit over a scratchpad.
//!
//! ```text
//!   Graph ─▶ lower ─▶ Program (layers, tiles, instructions) ─▶ Dispatcher ─▶ Core ─▶ crossbar ─▶ memory channels
//!     └────▶ closed forms of SCALE-Sim ─▶ FoldedArray (a layer is one event)
//! ```
//!
//! * [`work`]: operators as matrix products and vector work, which all of this shares.
//! * [`closed`]: the cycles and accesses of one matrix product on an array, by formula.
//! * [`folded`]: the component that takes a layer as one event of that length.
//! * [`report`]: what a run says of each layer.

pub mod closed;
pub mod folded;
pub mod report;
pub mod work;
