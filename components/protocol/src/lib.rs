//! The messages that component families exchange (each family may have private ones besides).
//!
//! Messages are small, fixed in size and `Copy`; a link carries one kind, checked when the machine is built.
//!
//! * [`memory`]: a request for part of a line and its response, between any requester and any memory.
//! * [`launch`]: cooperative thread arrays on their way to multiprocessors, their completion, the end of a grid.
#![forbid(unsafe_code)]

pub mod launch;
pub mod memory;

pub use launch::{SmCommand, SmReply};
pub use memory::{MemOp, MemRequest, MemResponse, Station, Stations};
