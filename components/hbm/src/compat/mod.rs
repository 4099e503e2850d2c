//! Controllers that give the answers of other simulators, to compare with them exactly.
//!
//! Models: `ramulator2`.
//! Leaves out: a DRAMsim3 mode.

pub mod ramulator2;
