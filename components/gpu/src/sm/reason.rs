//! Why a sub-core did not issue: the leaves of the cycle breakdown.

use sim_core::reasons;

/// What became of one cycle of one sub-core. When several warps wait for different things, the cycle is charged to the
/// one nearest to issue: the order of the variants from [`Reason::BackPressure`] on is that order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[repr(u8)]
pub enum Reason {
    /// An instruction issued.
    Issued,
    /// Control holds an instruction that Allocate cannot take: register read ports or the result queue are busy.
    BackPressure,
    /// A warp is ready but its unit's input latch or queue is taken (initiation interval).
    UnitBusy,
    /// A warp is ready but the local memory queue has no credit.
    MemoryQueue,
    /// A constant operand is not in the fixed-latency constant cache.
    ConstantMiss,
    /// All that is missing is the stall count or the yield of the instruction before; without control bits, a result of fixed
    /// latency.
    StallCount,
    /// Waits for a dependence counter that a load from global memory holds.
    WaitGlobal,
    /// … a shared-memory access.
    WaitShared,
    /// … a local-memory access.
    WaitLocal,
    /// … LDC.
    WaitConstant,
    /// … XU: transcendentals, conversions.
    WaitXu,
    /// … double precision.
    WaitFp64,
    /// … a matrix multiply: DMMA, and all on sm_75.
    WaitTensor,
    /// … a shuffle.
    WaitShuffle,
    /// … S2R, REDUX, MATCH.
    WaitSpecial,
    /// … a barrier in shared memory that counts arrivals and bytes.
    WaitMbarrier,
    /// … an instruction that has not read its source registers yet.
    WaitSources,
    /// The instruction buffers are empty.
    InstructionFetch,
    /// DEPBAR.
    CounterBarrier,
    /// WARPGROUP.DEPBAR: multiplies of the warpgroup are not over.
    WarpgroupBarrier,
    /// BAR: other warps of the block have not arrived.
    Barrier,
    /// MEMBAR: own stores are on the way.
    MemoryBarrier,
    /// All warps have exited, but their last results are on the way.
    Draining,
    /// No warp.
    NoWarp,
}

/// Number of reasons.
pub const REASONS: usize = 24;

impl Reason {
    pub const ALL: [Reason; REASONS] = [
        Reason::Issued,
        Reason::BackPressure,
        Reason::UnitBusy,
        Reason::MemoryQueue,
        Reason::ConstantMiss,
        Reason::StallCount,
        Reason::WaitGlobal,
        Reason::WaitShared,
        Reason::WaitLocal,
        Reason::WaitConstant,
        Reason::WaitXu,
        Reason::WaitFp64,
        Reason::WaitTensor,
        Reason::WaitShuffle,
        Reason::WaitSpecial,
        Reason::WaitMbarrier,
        Reason::WaitSources,
        Reason::InstructionFetch,
        Reason::CounterBarrier,
        Reason::WarpgroupBarrier,
        Reason::Barrier,
        Reason::MemoryBarrier,
        Reason::Draining,
        Reason::NoWarp,
    ];

    /// Name in results, with the group in front: `wait.global`.
    pub const fn name(self) -> &'static str {
        match self {
            Reason::Issued => "issued",
            Reason::BackPressure => "stall.register_ports",
            Reason::UnitBusy => "stall.unit_busy",
            Reason::MemoryQueue => "stall.memory_queue",
            Reason::ConstantMiss => "stall.constant_miss",
            Reason::StallCount => "stall.stall_count",
            Reason::WaitGlobal => "wait.global",
            Reason::WaitShared => "wait.shared",
            Reason::WaitLocal => "wait.local",
            Reason::WaitConstant => "wait.constant",
            Reason::WaitXu => "wait.xu",
            Reason::WaitFp64 => "wait.fp64",
            Reason::WaitTensor => "wait.tensor",
            Reason::WaitShuffle => "wait.shuffle",
            Reason::WaitSpecial => "wait.special",
            Reason::WaitMbarrier => "wait.mbarrier",
            Reason::WaitSources => "wait.sources",
            Reason::InstructionFetch => "stall.instruction_fetch",
            Reason::CounterBarrier => "barrier.counter",
            Reason::WarpgroupBarrier => "barrier.warpgroup",
            Reason::Barrier => "barrier.block",
            Reason::MemoryBarrier => "barrier.memory",
            Reason::Draining => "idle.draining",
            Reason::NoWarp => "idle.no_warp",
        }
    }
}

impl reasons::Reason for Reason {
    const NAMES: &'static [&'static str] = &{
        let mut names = [""; REASONS];
        let mut number = 0;
        while number < REASONS {
            names[number] = Reason::ALL[number].name();
            number += 1;
        }
        names
    };

    fn index(self) -> usize {
        self as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_stands_at_its_number_and_has_a_name_of_its_own() {
        let mut names = Vec::new();
        for (number, reason) in Reason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, number);
            names.push(reason.name());
        }
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), REASONS);
    }
}
