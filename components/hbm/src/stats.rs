//! Counters of one channel.
//!
//! Models: exact integers, summed over channels, never averaged.
//! Leaves out: derived rates, which `report` computes.

/// Counters every controller keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
pub struct Counters {
    /// Requests whose first command was a column command: the row was open.
    pub row_hits: u64,
    /// Requests whose first command was ACT: the bank was closed.
    pub row_misses: u64,
    /// Requests whose first command was PRE: another row was open.
    pub row_conflicts: u64,
    /// Reads answered from the write queue.
    pub forwarded_reads: u64,
    /// Writes merged with one that waited.
    pub merged_writes: u64,
}
