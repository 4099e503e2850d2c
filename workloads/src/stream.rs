//! What functional execution hands to a timing model: each warp's dynamic instructions, without values.
//!
//! A cooperative thread array (CTA) runs functionally when it is dispatched; the timing model then consumes the stream.
//! Addresses are already reduced to what hardware behind the coalescer can tell apart: 128-byte lines with their 32-byte
//! sectors, or passes over the shared-memory banks.

/// Bytes of a cache line as the coalescer sees it.
pub const LINE_BYTES: u64 = 128;
/// Bytes of a sector of a line.
pub const SECTOR_BYTES: u64 = 32;
/// [`DynamicOp::access`] of an instruction that touches no memory.
pub const NO_ACCESS: u32 = u32::MAX;

/// Where local memory lies for the coalescer: away from all buffers, and for each grid that runs at the same time elsewhere, by
/// the number of its grid slot.
pub fn local_window(slot: u8) -> u64 {
    0x1_0000_0000 + (u64::from(slot) << 39)
}

/// One warp instruction as executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct DynamicOp {
    /// Index into the kernel's instructions (byte offset ÷ 16).
    pub index: u32,
    /// Lanes that executed it: active and with a true guard. Zero when the guard was false everywhere.
    pub lanes: u32,
    /// Index into [`CtaStream::accesses`], or [`NO_ACCESS`]. Executions of an instruction that access the same share one.
    pub access: u32,
}

/// The address space that an access turned out to be in (generic addresses are resolved).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum Space {
    Global,
    Shared,
    Local,
    Constant,
}

/// What an access does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum AccessKind {
    Load,
    Store,
    /// Atomic that returns the old value.
    Atomic,
    /// Atomic without a result (`RED`).
    Reduction,
    /// From global to shared memory (`LDGSTS`): lines of the source, passes and bytes of the destination.
    Copy,
    /// On barriers in shared memory: `first_line` and `line_count` give the range of [`CtaStream::mbarriers`].
    Mbarrier,
    /// `first_line` gives the index into [`CtaStream::bulk`].
    Bulk,
}

/// What an instruction does to one barrier in shared memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum MbarrierUse {
    /// From now on a phase is over after so many arrivals.
    Init { arrivals: u32 },
    /// Arrivals, and bytes that are expected (below zero: that have come).
    Arrive { arrivals: u32, bytes: i64 },
    /// Goes on when so many phases are over.
    Wait { phase: u32 },
}

/// A copy between global and shared memory that no warp carries out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct BulkCopy {
    /// To shared memory.
    pub is_load: bool,
    /// Address of the tensor map that describes it.
    pub map_address: Option<u64>,
    /// Barrier in shared memory that counts its bytes.
    pub mbarrier: Option<u32>,
    pub bytes: u32,
    /// The range of [`CtaStream::lines`] that it reads or writes in global memory.
    pub first_line: u32,
    pub line_count: u32,
    /// Lines of 128 bytes that it is walked in, those outside the tensor included.
    pub line_cycles: u32,
}

/// The memory behaviour of one dynamic warp instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Access {
    pub space: Space,
    pub kind: AccessKind,
    /// Bytes a lane.
    pub width_bytes: u8,
    /// All lanes have the same address.
    pub one_address: bool,
    /// Passes over the 32 four-byte banks that the lanes need (1 = no conflict; lanes that read the same word share it), of
    /// shared memory and of the L1D alike. Atomics on shared memory: lanes on the same word take a pass each. Copies: those
    /// of the write. Otherwise 1.
    pub passes: u8,
    /// Bytes that all lanes together move.
    pub bytes: u16,
    /// Global, local and constant memory: the range of [`CtaStream::lines`] it touches, in order of first lane.
    pub first_line: u32,
    pub line_count: u16,
}

/// Part of a 128-byte line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Line {
    /// Byte address, multiple of [`LINE_BYTES`].
    pub address: u64,
    /// Bit i: sector i of the four is touched.
    pub sectors: u8,
}

/// Everything that one CTA executes.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct CtaStream {
    /// Per warp, in program order as executed.
    pub warps: Vec<Vec<DynamicOp>>,
    pub accesses: Vec<Access>,
    pub lines: Vec<Line>,
    pub mbarriers: Vec<(u32, MbarrierUse)>,
    pub bulk: Vec<BulkCopy>,
}

impl CtaStream {
    pub fn lines_of(&self, access: &Access) -> &[Line] {
        if matches!(access.kind, AccessKind::Mbarrier | AccessKind::Bulk) {
            return &[];
        }
        let first = access.first_line as usize;
        &self.lines[first..first + usize::from(access.line_count)]
    }
}
