//! Caches, and what stands in for them.
//!
//! * [`l2`]: a slice of a second-level cache.
//! * [`tlb`]: the translation buffer of a whole GPU, with its page walks.
//! * [`fixed`]: a memory that answers after a fixed time at a bounded rate.
#![forbid(unsafe_code)]

pub mod fixed;
pub mod l2;
pub mod tlb;
