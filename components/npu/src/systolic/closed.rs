//! One matrix product on an array, by formula: the closed forms of SCALE-Sim.
//!
//! ```text
//!   fold = the part of the operands that the array holds at once;  cycles = folds × cycles of a fold − 1
//!
//!           rows hold   columns hold   streamed   cycles of a fold
//!     OS    m           n              k          k + R + C − 2
//!     WS    k           n              m          m + 2R + C − 2
//!     IS    k           m              n          n + 2R + C − 2
//! ```
//!
//! Models: cycles without a limit of bandwidth as SCALE-Sim v2 and v3 count them (the index of the last cycle), accesses to
//! the three buffers, and a limit of bandwidth with prefetch in the order of consumption.
//! Leaves out: SCALE-Sim's prefetcher, which walks operands in its own order and reads them again and again.
//! Source: SCALE-Sim (arXiv 1811.02883, v3 arXiv 2504.15377), checked against runs of both in the suite `npu-scalesim`.

use serde::{Deserialize, Serialize};

use super::report::SramCounts;
use super::work::Product;

/// What stays in the array.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Dataflow {
    /// Output stationary.
    Os,
    /// Weight stationary.
    Ws,
    /// Input stationary.
    Is,
}

/// Rows and columns of an array.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Edges {
    pub rows: u64,
    pub columns: u64,
}

/// A product laid over an array.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Folds {
    dataflow: Dataflow,
    array: Edges,
    product: Product,
    /// What rows hold, what columns hold, what streams through: lengths.
    held_rows: u64,
    held_columns: u64,
    streamed: u64,
}

impl Folds {
    /// `product` (one of its batch) on `array`.
    pub fn new(dataflow: Dataflow, array: Edges, product: Product) -> Self {
        let Product { m, n, k, .. } = product;
        let (held_rows, held_columns, streamed) = match dataflow {
            Dataflow::Os => (m, n, k),
            Dataflow::Ws => (k, n, m),
            Dataflow::Is => (k, m, n),
        };
        Self { dataflow, array, product, held_rows, held_columns, streamed }
    }

    /// Times that the rows are filled.
    pub fn row_folds(&self) -> u64 {
        self.held_rows.div_ceil(self.array.rows)
    }

    /// Times that the columns are filled.
    pub fn column_folds(&self) -> u64 {
        self.held_columns.div_ceil(self.array.columns)
    }

    /// From the first operand in to the last result out.
    pub fn cycles_per_fold(&self) -> u64 {
        let Edges { rows, columns } = self.array;
        match self.dataflow {
            Dataflow::Os => self.streamed + rows + columns - 2,
            Dataflow::Ws | Dataflow::Is => self.streamed + 2 * rows + columns - 2,
        }
    }

    /// Number of the last cycle, counted from 0: what SCALE-Sim calls compute cycles.
    pub fn compute_cycles(&self) -> u64 {
        self.row_folds() * self.column_folds() * self.cycles_per_fold() - 1
    }

    /// Elements between array and buffers. Where the product's own edge is held in the other buffer, each fold along the
    /// other direction reads it again.
    pub fn sram(&self) -> SramCounts {
        let Product { m, n, k, .. } = self.product;
        let Edges { rows, columns } = self.array;
        let (ifmap_reads, filter_reads, ofmap_writes) = match self.dataflow {
            Dataflow::Os => (m * k * n.div_ceil(columns), k * n * m.div_ceil(rows), m * n),
            Dataflow::Ws => (m * k * n.div_ceil(columns), k * n, m * n * k.div_ceil(rows)),
            Dataflow::Is => (m * k, k * n * m.div_ceil(columns), m * n * k.div_ceil(rows)),
        };
        SramCounts { ifmap_reads, filter_reads, ofmap_writes }
    }

    /// Share of the array that holds something, over all folds.
    pub fn mapping_efficiency(&self) -> f64 {
        let held = self.held_rows as f64 * self.held_columns as f64;
        held / (self.row_folds() * self.column_folds() * self.array.rows * self.array.columns) as f64
    }

    /// Multiply-accumulates ÷ (cycles × multipliers).
    pub fn utilisation(&self) -> f64 {
        let one = Product { batch: 1, ..self.product };
        one.macs() as f64 / (self.compute_cycles() * self.array.rows * self.array.columns) as f64
    }

    /// Elements from and to memory with buffers of `buffers`, half of each for what is being prefetched: what fits into
    /// its half is read once, what does not is read as often as the array reads it.
    pub fn traffic(&self, buffers: Buffers) -> SramCounts {
        let Product { m, n, k, .. } = self.product;
        let sram = self.sram();
        let once = |whole: u64, again: u64, capacity: u64| if whole <= capacity / 2 { whole } else { again };
        SramCounts {
            ifmap_reads: once(m * k, sram.ifmap_reads, buffers.ifmap_elements),
            filter_reads: once(k * n, sram.filter_reads, buffers.filter_elements),
            ofmap_writes: sram.ofmap_writes,
        }
    }

    /// Cycles when each of the three ports moves `elements_per_cycle`: folds in the order of their execution, what the next
    /// one needs is fetched while this one computes, results leave while the next one computes.
    pub fn limited_cycles(&self, buffers: Buffers, elements_per_cycle: f64) -> u64 {
        let (rows, columns) = (self.row_folds(), self.column_folds());
        let folds = rows * columns;
        let traffic = self.traffic(buffers);
        let compute = self.cycles_per_fold() as f64;
        // A fold's share of each port. What is read once comes with the folds that first touch it, which are the first of the
        // inner loop; spread evenly, the slowest port still decides.
        let slowest = [traffic.ifmap_reads, traffic.filter_reads, traffic.ofmap_writes].into_iter().max().unwrap_or(0);
        let transfer = slowest as f64 / folds as f64 / elements_per_cycle;
        let reads = traffic.ifmap_reads.max(traffic.filter_reads) as f64 / folds as f64 / elements_per_cycle;
        let drain = traffic.ofmap_writes as f64 / folds as f64 / elements_per_cycle;
        // Results stream out while they are made: of the last fold only what the port is behind is left.
        let tail = (drain - self.streamed as f64).max(0.0);
        (reads + (folds - 1) as f64 * compute.max(transfer) + compute + tail).ceil() as u64 - 1
    }
}

/// Capacity of the three buffers in elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Buffers {
    pub ifmap_elements: u64,
    pub filter_elements: u64,
    pub ofmap_elements: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cycles(dataflow: Dataflow, edge: u64, [m, n, k]: [u64; 3]) -> u64 {
        let product = Product { batch: 1, m, n, k };
        Folds::new(dataflow, Edges { rows: edge, columns: edge }, product).compute_cycles()
    }

    /// Runs of SCALE-Sim 2.0.2: the layers of AlexNet, and the GEMMs of a ViT-S block.
    #[test]
    fn cycles_are_those_of_the_peer() {
        let alexnet = [[3025, 96, 363], [529, 256, 2400], [121, 384, 2304], [121, 384, 3456], [121, 256, 3456]];
        let ours: Vec<u64> = alexnet.into_iter().map(|layer| cycles(Dataflow::Ws, 32, layer)).collect();
        assert_eq!(ours, [112_283, 373_799, 185_759, 278_639, 185_759]);
        assert_eq!(cycles(Dataflow::Ws, 32, [25, 384, 1728]), 77_111);
        assert_eq!(cycles(Dataflow::Ws, 128, [128, 128, 128]), 509);
        assert_eq!(cycles(Dataflow::Ws, 128, [32, 32, 32]), 413);
        let vit = [[196, 192, 384], [196, 1176, 64], [196, 64, 1176], [196, 1536, 384], [196, 384, 1536]];
        for (dataflow, want) in [
            (Dataflow::Ws, [3467, 5779, 5779, 20_807, 20_807]),
            (Dataflow::Os, [2551, 6359, 2859, 15_311, 10_739]),
            (Dataflow::Is, [3443, 3115, 8919, 11_507, 18_383]),
        ] {
            assert_eq!(vit.map(|layer| cycles(dataflow, 128, layer)), want, "{dataflow:?}");
        }
    }

    /// ViT-S, fourth product, 10 words a cycle: SCALE-Sim takes 460,997 cycles because it reads the filter eight times; its
    /// lower bound is 58,983 cycles of DRAM time.
    #[test]
    fn prefetch_in_the_order_of_consumption_is_bound_by_compute_or_traffic() {
        let product = Product { batch: 1, m: 196, n: 1536, k: 384 };
        let folds = Folds::new(Dataflow::Ws, Edges { rows: 128, columns: 128 }, product);
        let buffers = Buffers { ifmap_elements: 256 << 10, filter_elements: 256 << 10, ofmap_elements: 256 << 10 };
        assert_eq!(folds.traffic(buffers).filter_reads, 589_824);
        let limited = folds.limited_cycles(buffers, 10.0);
        // The partial sums leave after each row fold: 3 × 196 × 1536 words bind.
        assert!((90_316..100_000).contains(&limited), "{limited}");
        assert_eq!(folds.limited_cycles(buffers, 1e9), folds.compute_cycles() + 1, "the first operand takes a cycle");
    }
}
