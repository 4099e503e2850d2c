//! Requests to a channel and their completions.
//!
//! Models: one access (burst) a request; larger requests are split by the wrapper.
//! Leaves out: data values.

use crate::bank::Tick;

/// What a request does to memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Op {
    /// Read one access.
    Read,
    /// Write one access.
    Write,
    /// Combine one access with what is stored (op-and-store); answered like a write.
    Update,
}

/// One request, as a source gives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request {
    /// Name given by the source, echoed in the completion.
    pub id: u64,
    /// Byte address inside the channel.
    pub address: u64,
    /// Read or write.
    pub op: Op,
}

/// What became of a request offered to a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// It waits in a queue, or will be answered from the write queue.
    Accepted,
    /// A write to an address that already waits in the write queue: merged with it and complete.
    Merged,
    /// Its queue is full; offer it again when there is space.
    Refused,
}

/// A request that is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Completion {
    /// The request's name.
    pub id: u64,
    /// Read or write.
    pub op: Op,
    /// Tick at which it was accepted.
    pub arrive: Tick,
    /// Tick at which it was done: last data of a read, WR command of a write.
    pub done: Tick,
}

/// Why a controller should stop running before the limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// Run to the limit.
    Limit,
    /// Stop after a tick at which the queue for `Op` has room.
    Space(Op),
    /// Stop after a tick at which something completed.
    Completion,
}
