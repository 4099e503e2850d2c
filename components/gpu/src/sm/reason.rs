//! Why a sub-core did not issue: the leaves of the cycle breakdown.

/// What became of one cycle of one sub-core. When several warps wait for different things, the cycle is charged to the
/// one nearest to issue: the order of the variants from [`Reason::BackPressure`] on is that order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
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
    /// All that is missing is the stall count or the yield of the instruction before.
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
    /// … a shuffle.
    WaitShuffle,
    /// … S2R, REDUX, MATCH.
    WaitSpecial,
    /// … an instruction that has not read its source registers yet.
    WaitSources,
    /// The instruction buffers are empty.
    InstructionFetch,
    /// DEPBAR.
    CounterBarrier,
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
pub const REASONS: usize = 21;

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
        Reason::WaitShuffle,
        Reason::WaitSpecial,
        Reason::WaitSources,
        Reason::InstructionFetch,
        Reason::CounterBarrier,
        Reason::Barrier,
        Reason::MemoryBarrier,
        Reason::Draining,
        Reason::NoWarp,
    ];

    /// Name in results, with the group in front: `wait.global`.
    pub fn name(self) -> &'static str {
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
            Reason::WaitShuffle => "wait.shuffle",
            Reason::WaitSpecial => "wait.special",
            Reason::WaitSources => "wait.sources",
            Reason::InstructionFetch => "stall.instruction_fetch",
            Reason::CounterBarrier => "barrier.counter",
            Reason::Barrier => "barrier.block",
            Reason::MemoryBarrier => "barrier.memory",
            Reason::Draining => "idle.draining",
            Reason::NoWarp => "idle.no_warp",
        }
    }
}

/// Sub-core-cycles by reason, charged an interval at a time (D10): a cycle that nobody looked at has the reason of the
/// last one that was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Breakdown {
    cycles: [u64; REASONS],
    since: u64,
    reason: Reason,
}

impl Breakdown {
    /// Everything from cycle `start` on has no warp until something else is said.
    pub fn starting_at(start: u64) -> Self {
        Self { cycles: [0; REASONS], since: start, reason: Reason::NoWarp }
    }

    /// From cycle `now` on the reason is `reason`.
    #[inline]
    pub fn note(&mut self, now: u64, reason: Reason) {
        if reason != self.reason {
            self.cycles[self.reason as usize] += now - self.since;
            self.since = now;
            self.reason = reason;
        }
    }

    /// The reason that holds since it was last noted.
    pub fn current(&self) -> Reason {
        self.reason
    }

    /// Cycles by reason up to, not including, cycle `end`.
    pub fn until(&self, end: u64) -> [u64; REASONS] {
        let mut cycles = self.cycles;
        cycles[self.reason as usize] += end.saturating_sub(self.since);
        cycles
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_sum_to_the_whole() {
        let mut breakdown = Breakdown::starting_at(10);
        for (now, reason) in
            [(12, Reason::Issued), (13, Reason::Issued), (15, Reason::WaitGlobal), (40, Reason::Issued)]
        {
            breakdown.note(now, reason);
        }
        let cycles = breakdown.until(100);
        assert_eq!(cycles.iter().sum::<u64>(), 90);
        assert_eq!(cycles[Reason::NoWarp as usize], 2);
        assert_eq!(cycles[Reason::Issued as usize], 3 + 60);
        assert_eq!(cycles[Reason::WaitGlobal as usize], 25);
    }

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
