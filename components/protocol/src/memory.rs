//! Memory requests and their answers.

/// What a request does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MemOp {
    Read,
    Write,
    /// Read-modify-write that returns the old value.
    Atomic,
    /// Read-modify-write in memory without a result.
    Update,
    Prefetch,
    /// A command for processing in memory; its meaning is between sender and memory.
    PimCommand,
}

/// A request to memory. Its answer echoes `id` and `source`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemRequest {
    /// Chosen by the sender; unique among its outstanding requests.
    pub id: u64,
    /// Number of the sender in the machine.
    pub source: u32,
    /// Bytes that move.
    pub bytes: u32,
    /// Byte address of the line.
    pub address: u64,
    /// Bit i: 32-byte sector i of the line.
    pub sectors: u8,
    pub op: MemOp,
    /// Cycle of the sender's clock in which it was sent.
    pub issued: u64,
}

/// Stations of the latency breakdown in [`MemResponse::station_cycles`].
pub const STATIONS: usize = 4;

/// The answer to a request, once per request (for writes: the write is visible).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemResponse {
    pub id: u64,
    pub source: u32,
    pub address: u64,
    pub op: MemOp,
    pub sectors: u8,
    /// When the request was sent, in the sender's clock.
    pub issued: u64,
    /// Time spent on the way in, in the cache, in memory, on the way back; in cycles of the requester's clock.
    pub station_cycles: [u32; STATIONS],
}
