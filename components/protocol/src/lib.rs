//! The messages that component families exchange. Fixed size, `Copy`, no references.
#![forbid(unsafe_code)]

pub mod launch;
pub mod memory;

pub use launch::{CtaDone, CtaLaunch};
pub use memory::{MemOp, MemRequest, MemResponse, STATIONS};
