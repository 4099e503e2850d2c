//! How a matrix product is cut into tiles.
//!
//! A mapper answers with the sizes of a tile. The sizes obey the halves of scratchpad and accumulators, one half for the
//! tile that computes and one for the tile that loads.
//!
//! * [`gemmini`]: the rule of Gemmini's library as ONNXim uses it, one tile for any product.
//! * [`search`]: the tiling of least estimated cost among all that fit.

pub mod gemmini;
pub mod search;

use serde::{Deserialize, Serialize};

use super::work::Product;

/// Which mapper.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mapper {
    Gemmini,
    /// Least estimated time.
    Search,
    /// Fewest bytes from memory, then fewest tiles: as a compiler does that fills its memory and overlaps nothing else.
    Largest,
}

/// What a mapper knows of the machine.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    pub cores: u64,
    pub rows: u64,
    pub columns: u64,
    pub scratchpad_bytes: u64,
    pub accumulator_bytes: u64,
    /// Bytes of one partial sum.
    pub sum_bytes: u64,
    /// Bytes a cycle from memory, all cores together.
    pub memory_bytes_per_cycle: f64,
    /// From a request to its answer, unloaded; what a tile waits before it can begin.
    pub memory_latency_cycles: f64,
}

/// Sizes of a tile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tiling {
    pub m: u64,
    pub n: u64,
    pub k: u64,
}

impl Tiling {
    /// Output blocks and reduction steps of each.
    pub fn counts(&self, product: Product) -> (u64, u64, u64) {
        (product.m.div_ceil(self.m), product.n.div_ceil(self.n), product.k.div_ceil(self.k))
    }
}

/// Why there is no tiling.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoTiling {
    #[error("{which} of {have_bytes} bytes holds no tile: a block of the array takes {need_bytes} bytes in each half")]
    TooSmall { which: &'static str, have_bytes: u64, need_bytes: u64 },
}

impl Target {
    /// Whether the smallest tile, one block of the array, fits.
    ///
    /// # Errors
    /// It does not.
    pub fn check(&self, operand_bits: u64) -> Result<(), NoTiling> {
        let operands = (self.rows * self.rows + self.rows * self.columns) * operand_bits / 8;
        let sums = self.rows * self.columns * self.sum_bytes;
        for (which, have_bytes, need_bytes) in
            [("a scratchpad", self.scratchpad_bytes, operands), ("accumulators", self.accumulator_bytes, sums)]
        {
            if have_bytes / 2 < need_bytes {
                return Err(NoTiling::TooSmall { which, have_bytes, need_bytes });
            }
        }
        Ok(())
    }
}
