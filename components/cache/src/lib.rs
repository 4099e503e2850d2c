//! Caches, and what stands in for them.
//!
//! * [`fixed`]: a memory that answers after a fixed time at a bounded rate.
#![forbid(unsafe_code)]

pub mod fixed;
