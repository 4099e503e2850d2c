//! Parameters of a core.

use serde::Deserialize;

use super::dma::DmaSpec;
use crate::systolic::mapper::Mapper;

/// How operators become tiles.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Lowering {
    /// Ours: all bytes, all operators.
    Native,
    /// That of ONNXim, traps included, to compare with it.
    Onnxim,
}

/// A core, as a machine file describes it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CoreSpec {
    /// Multipliers that a reduction runs along, which hold weights.
    pub rows: u32,
    pub columns: u32,
    /// Arrays of that size that work beside each other on the blocks of a tile.
    pub arrays: u32,
    /// Both halves together.
    pub scratchpad_kib: u64,
    pub accumulator_kib: u64,
    /// Bytes of a partial sum in the accumulators.
    pub sum_bytes: u64,
    /// Bytes of every operand; those of the network if not given.
    #[serde(default)]
    pub element_bytes: Option<u64>,
    pub mapper: Mapper,
    pub lowering: Lowering,
    /// A tile begins to compute when all its operands are there, rather than block by block.
    pub whole_tiles: bool,
    /// Operations between the start of one and the start of the next, if the array need not change its weights.
    pub least_vectors: u32,
    /// Instructions in the array at once.
    pub array_entries: u32,
    /// Vectors of so many bits go through the vector unit at once.
    pub vector_bits: u64,
    /// From its operands to its first result.
    pub vector_latency_cycles: u32,
    pub elementwise_cycles: u32,
    pub tree_cycles: u32,
    pub exponential_cycles: u32,
    /// Pieces of a vector operator for each core: the next loads while one computes.
    pub vector_pieces: u32,
    /// Of the DMA engine to the network.
    pub dma_bytes_per_cycle: f64,
    /// Smallest access of memory.
    pub request_bytes: u32,
    /// Longest request; what lies together in memory goes together up to its next multiple.
    pub burst_bytes: u32,
    /// Requests that may be under way.
    pub outstanding_requests: u32,
}

const LARGEST_EDGE: u64 = 1 << 14;

impl CoreSpec {
    /// The first thing that is wrong with it: the key, and what would be right.
    ///
    /// # Errors
    /// As above.
    pub fn check(&self) -> Result<(), (&'static str, String)> {
        for (key, value, most) in [
            ("rows", u64::from(self.rows), LARGEST_EDGE),
            ("columns", u64::from(self.columns), LARGEST_EDGE),
            ("arrays", u64::from(self.arrays), 1 << 10),
            ("scratchpad_kib", self.scratchpad_kib, 1 << 32),
            ("accumulator_kib", self.accumulator_kib, 1 << 32),
            ("sum_bytes", self.sum_bytes, 16),
            ("element_bytes", self.element_bytes.unwrap_or(1), 16),
            ("array_entries", u64::from(self.array_entries), 1 << 20),
            ("vector_bits", self.vector_bits / 8, 1 << 32),
            ("vector_pieces", u64::from(self.vector_pieces), 1 << 20),
        ] {
            if !(1..=most).contains(&value) {
                return Err((key, format!("{value} is out of range: from 1 to {most}")));
            }
        }
        self.dma().check()?;
        if self.mapper == Mapper::Gemmini && self.rows != self.columns {
            return Err(("mapper", "Gemmini's rule is for square arrays; `search` is for all".into()));
        }
        Ok(())
    }

    /// Of the DMA engine.
    pub fn dma(&self) -> DmaSpec {
        DmaSpec {
            bytes_per_cycle: self.dma_bytes_per_cycle,
            request_bytes: self.request_bytes,
            burst_bytes: self.burst_bytes,
            outstanding_requests: self.outstanding_requests,
        }
    }
}
