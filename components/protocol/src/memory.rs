//! Memory requests and responses.

use serde::{Deserialize, Serialize};
use sim_core::{Fact, Payload};

/// What a request does to memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum MemOp {
    Read,
    Write,
    /// Read, modify, write at the memory side; the response carries the old value's time.
    Atomic,
    /// Op-and-store at the memory side without a result: reductions, near-memory accumulation.
    Update,
    /// Read that nobody waits for.
    Prefetch,
    /// A command for a processing-in-memory bank, by number.
    Pim(u8),
}

impl MemOp {
    /// Whether the data travels with the request rather than with the response.
    pub fn carries_data(self) -> bool {
        matches!(self, Self::Write | Self::Atomic | Self::Update)
    }
}

/// A request for part of one line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemRequest {
    /// Chosen by the requester; the response echoes it.
    pub id: u64,
    /// Which requester of its part: the index that responses are routed by.
    pub source: u32,
    /// Byte address.
    pub address: u64,
    /// Bytes moved.
    pub bytes: u32,
    /// Bit i: sector i of the line is meant.
    pub sectors: u8,
    pub op: MemOp,
}

impl Payload for MemRequest {
    const NAME: &'static str = "memory request";
}

/// The answer to a [`MemRequest`]: small, since hundreds are under way at a time and each is copied at every stop. Writes and updates are answered too: the answer says that they are visible.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemResponse {
    pub id: u64,
    pub source: u32,
    /// As in the request.
    pub sectors: u8,
    pub op: MemOp,
}

impl Payload for MemResponse {
    const NAME: &'static str = "memory response";
}

impl MemResponse {
    /// The answer to `request`.
    pub fn to(request: &MemRequest) -> Self {
        Self { id: request.id, source: request.source, sectors: request.sectors, op: request.op }
    }
}

/// How loaded a memory is, or the network in front of one, after a cycle in which it did something: a fact for listeners.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryLoad {
    /// Accepted requests that are not answered yet.
    pub in_flight: u32,
    /// Requests that wait, not yet where their answer is looked up.
    pub waiting: u32,
    /// Accepted since the start.
    pub read_bytes: u64,
    pub written_bytes: u64,
}

impl Fact for MemoryLoad {}
