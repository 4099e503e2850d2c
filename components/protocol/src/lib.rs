//! The messages that component families exchange (each family may have private ones besides).
//!
//! Messages are small, fixed in size and `Copy`; a link carries one kind, checked when the machine is built.
//!
//! * [`memory`]: a request for part of a line and its response, between any requester and any memory.
//! * [`interleave`]: how addresses are spread over memory channels and cache slices, so that both sides agree.
//! * [`bandwidth`]: a rate in bytes a cycle.
//! * [`host`]: what the host writes into device memory before the launches of a program.
//! * [`translation`]: pages whose addresses are known, and asking for others.
//! * [`launch`]: cooperative thread arrays on their way to multiprocessors, their completion, the end of a grid.
#![forbid(unsafe_code)]

pub mod bandwidth;
pub mod host;
pub mod interleave;
pub mod launch;
pub mod memory;
pub mod translation;

pub use bandwidth::Bandwidth;
pub use host::{HostWrite, HostWrites};
pub use interleave::ChannelInterleave;
pub use launch::{SmCommand, SmReply};
pub use memory::{MemOp, MemRequest, MemResponse, MemoryLoad};
pub use translation::{TranslationBuffer, TranslationRequest, TranslationResponse};
