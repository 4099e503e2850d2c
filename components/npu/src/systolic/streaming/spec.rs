//! Parameters of a core whose weights stream.

use serde::Deserialize;

use crate::systolic::core::dma::DmaSpec;

/// A core, as a machine file describes it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StreamingSpec {
    /// Multipliers of 8 × 8 bits that a reduction runs along, which hold weights.
    pub rows: u32,
    pub columns: u32,
    /// Partial sums of all columns; one half is computed into while the other is activated.
    pub accumulator_kib: u64,
    /// Bytes of a partial sum.
    pub sum_bytes: u64,
    /// Activations of a layer and its results.
    pub unified_buffer_kib: u64,
    /// Blocks of weights on their way from memory or in front of the array.
    pub weight_fifo_tiles: u32,
    /// From the unified buffer into the activation unit and back: each way.
    pub activation_bytes_per_cycle: u64,
    /// To and from the host.
    pub host_gb_per_s: f64,
    /// From the weight memory.
    pub dma_bytes_per_cycle: f64,
    /// Smallest access of memory.
    pub request_bytes: u32,
    /// Longest request.
    pub burst_bytes: u32,
    /// Requests that may be under way.
    pub outstanding_requests: u32,
}

const LARGEST_EDGE: u64 = 1 << 14;

impl StreamingSpec {
    /// The first thing that is wrong with it: the key, and what would be right.
    ///
    /// # Errors
    /// As above.
    pub fn check(&self) -> Result<(), (&'static str, String)> {
        for (key, value, most) in [
            ("rows", u64::from(self.rows), LARGEST_EDGE),
            ("columns", u64::from(self.columns), LARGEST_EDGE),
            ("accumulator_kib", self.accumulator_kib, 1 << 32),
            ("sum_bytes", self.sum_bytes, 16),
            ("unified_buffer_kib", self.unified_buffer_kib, 1 << 32),
            ("weight_fifo_tiles", u64::from(self.weight_fifo_tiles), 1 << 16),
            ("activation_bytes_per_cycle", self.activation_bytes_per_cycle, 1 << 32),
        ] {
            if !(1..=most).contains(&value) {
                return Err((key, format!("{value} is out of range: from 1 to {most}")));
            }
        }
        if self.accumulator_entries() < 2 {
            let least = 2 * u64::from(self.columns) * self.sum_bytes;
            return Err(("accumulator_kib", format!("two rows of sums are {least} bytes: at least as many")));
        }
        if !(1e-3..1e6).contains(&self.host_gb_per_s) {
            return Err(("host_gb_per_s", "should be a number above 0".into()));
        }
        self.dma().check()
    }

    /// Of the engine that fetches weights.
    pub fn dma(&self) -> DmaSpec {
        DmaSpec {
            bytes_per_cycle: self.dma_bytes_per_cycle,
            request_bytes: self.request_bytes,
            burst_bytes: self.burst_bytes,
            outstanding_requests: self.outstanding_requests,
        }
    }

    /// Rows of partial sums, each as wide as the array.
    pub fn accumulator_entries(&self) -> u64 {
        self.accumulator_kib * 1024 / (u64::from(self.columns) * self.sum_bytes)
    }
}
