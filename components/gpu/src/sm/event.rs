//! What happens inside an SM at a later cycle.

use super::timing::WaitKind;

/// A client of the L1 instruction/constant cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) enum CachePort {
    /// L0 instruction cache of a sub-core.
    Instruction,
    /// Fixed-latency constant cache of a sub-core.
    FixedConstant,
    /// The SM's cache behind LDC.
    VariableConstant,
}

/// `key` of the cache events is the line in units of the asking cache. As small as can be: an SM has dozens on their way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) enum Event {
    Increment {
        subcore: u8,
        warp: u8,
        counter: u8,
        kind: WaitKind,
    },
    /// `position` in its stream, `index` in its kernel: the instruction that held the counter.
    Decrement {
        subcore: u8,
        warp: u8,
        counter: u8,
        position: u32,
        index: u32,
    },
    /// A load takes the write ports of its banks; its counter falls in the next cycle.
    LoadWrite {
        subcore: u8,
        warp: u8,
        counter: u8,
        banks: u8,
        position: u32,
        index: u32,
    },
    /// An asynchronous copy's bytes are in shared memory.
    CopyDone {
        subcore: u8,
        warp: u8,
        counter: u8,
        group: u32,
        position: u32,
    },
    /// Bytes of a bulk copy are all there.
    BulkDone {
        place: u32,
    },
    /// The sources of a bulk store have been read.
    BulkRead {
        subcore: u8,
        warp: u8,
        group: u32,
    },
    /// The last multiply of a group of a warpgroup's is over.
    WarpgroupDone {
        subcore: u8,
        warp: u8,
    },
    /// WARPGROUP.DEPBAR takes effect.
    WarpgroupBarrier {
        subcore: u8,
        warp: u8,
        limit: u8,
    },
    Credit {
        subcore: u8,
    },
    CounterBarrier {
        subcore: u8,
        warp: u8,
        counter: u8,
        limit: u8,
        zero: u8,
    },
    BarrierRelease {
        warps: [u16; 4],
    },
    L1Lookup {
        subcore: u8,
        port: CachePort,
        key: u64,
    },
    CacheReply {
        subcore: u8,
        port: CachePort,
        key: u64,
    },
}

const _: () = assert!(size_of::<Event>() == 16);
