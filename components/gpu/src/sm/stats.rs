//! What an SM counted.

use super::reason::{REASONS, Reason};
use super::{SUBCORES, Sm};

/// Counters of one SM over its run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SmCounters {
    pub cycles: u64,
    /// Warp instructions.
    pub instructions_issued: u64,
    pub ctas_done: u64,
    /// Memory instructions that the shared structures accepted.
    pub memory_instructions: u64,
    /// Passes over the shared-memory banks.
    pub shared_passes: u64,
    pub l1_sector_hits: u64,
    pub l1_sector_misses: u64,
    pub l1i_hits: u64,
    pub l1i_misses: u64,
    pub memory_requests: u64,
    pub bytes_read: u64,
    pub bytes_written: u64,
    /// Sub-core-cycles by [`Reason`]; they sum to 4 × `cycles`.
    pub subcore_cycles: [u64; REASONS],
}

impl Sm {
    /// Counters up to, not including, cycle `end`.
    pub fn counters(&self, end: u64) -> SmCounters {
        let mut subcore_cycles = [0; REASONS];
        for core in &self.subcores {
            for (sum, cycles) in subcore_cycles.iter_mut().zip(core.breakdown.until(end)) {
                *sum += cycles;
            }
        }
        let memory = &self.shared.memory;
        SmCounters {
            cycles: end - self.start,
            instructions_issued: self.subcores.iter().map(|core| core.issued).sum(),
            ctas_done: self.ctas_done,
            memory_instructions: memory.accepted,
            shared_passes: memory.shared_passes,
            l1_sector_hits: memory.l1.sector_hits,
            l1_sector_misses: memory.l1.sector_misses,
            l1i_hits: self.shared.l1i.hits,
            l1i_misses: self.shared.l1i.misses,
            memory_requests: memory.l1.requests_sent,
            bytes_read: memory.l1.bytes_read,
            bytes_written: memory.l1.bytes_written,
            subcore_cycles,
        }
    }

    /// Why each sub-core did not issue in the last evaluated cycle.
    pub fn current_reasons(&self) -> [Reason; SUBCORES] {
        std::array::from_fn(|index| self.subcores[index].breakdown.current())
    }
}
