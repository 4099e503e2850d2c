//! Networks on a chip.
//!
//! * [`crossbar`]: every SM to every cache slice, and back.
//! * [`network`]: one direction of it.
#![forbid(unsafe_code)]

pub mod crossbar;
pub mod network;
