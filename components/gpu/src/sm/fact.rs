//! What an SM says about itself to those who watch it: where its instructions are, what its warps wait for, what the
//! cycles of its sub-cores are charged to, what goes to memory.
//!
//! Nobody pays for it who does not watch: every statement stands behind [`SmEnv::listening`](super::SmEnv::listening).

use super::env::CtaHandle;
use super::reason::Reason;
use super::rfc::RegisterRead;

/// A warp instruction on its way: the warp slot of the SM, and its number in the stream of the slot's present warp.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Dynamic {
    /// Warp slot of the SM; it lives in sub-core slot mod 4.
    pub warp: u16,
    pub position: u32,
}

/// Which instruction of which block that is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    pub cta: CtaHandle,
    pub warp_in_cta: u16,
    /// Index of the instruction in its kernel.
    pub index: u32,
}

/// Where an instruction is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    /// The L0 instruction cache is read.
    Fetch,
    Decode,
    /// Waits in the instruction buffer of its warp.
    Buffer,
    Issue,
    Control,
    /// Waits for register read ports.
    Allocate,
    /// The read window.
    OperandRead,
    Execute,
    /// The result waits for a write port.
    ResultQueue,
    /// Waits for a variable-latency unit.
    UnitQueue,
    /// Waits in the local memory queue of its sub-core.
    MemoryQueue,
    AddressUnit,
    /// Shared memory and what goes its way: shuffles.
    SharedMemory,
    /// The constant cache behind LDC, with a miss there.
    ConstantCache,
    /// The L1 data cache.
    L1,
    /// Waits for memory behind the L1.
    Memory,
    /// From the arrival of the last sector to the register file.
    Return,
    WriteBack,
    /// Is over; in no stage from here on.
    Done,
}

/// Something that has happened in an SM. The time of the statement is the time of the event, where no other is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SmFact {
    /// An instruction is fetched; it will be decoded and then stand in the instruction buffer from `buffered` on.
    Fetched { instruction: Dynamic, origin: Origin, buffered: u64 },
    /// An instruction has issued. Control has it in the next cycle.
    Issued(Issued),
    /// An instruction is in a stage from `cycle` on, which may lie ahead, until its next one.
    Stage { instruction: Dynamic, stage: Stage, cycle: u64 },
    /// From now on the head of a warp, which does not issue, waits for this; `None`: for its turn, another warp issues.
    /// While Control is full, or issue holds after a constant miss, that is what all heads of the sub-core wait for.
    Waits { instruction: Dynamic, origin: Origin, why: Option<Reason> },
    /// A dependence counter that `by` held was the last thing that kept a warp's head back.
    Released { instruction: Dynamic, by: u32 },
    /// The cycles of a sub-core are charged to `reason` from now on ([`Reason::NoWarp`] before the first).
    Charged { subcore: u8, reason: Reason },
    /// A register read left Allocate.
    RegisterRead { warp: u16, index: u32, read: RegisterRead },
    /// Sectors that an access found and missed in the L1.
    L1Lookup { hits: u32, misses: u32 },
    /// A request has left for memory.
    Sent { read_bytes: u32, written_bytes: u32 },
    /// Memory has answered a request.
    Answered,
}

/// An instruction has issued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Issued {
    pub cycle: u64,
    pub subcore: u8,
    pub instruction: Dynamic,
    pub origin: Origin,
}
