//! What cores execute: layers, cut into tiles, each a list of steps.
//!
//! ```text
//!   Program ─▶ Layer ─▶ Tile: load … load, multiply … multiply, vector …, store … store
//! ```
//!
//! A tile works in one half of the scratchpad and one half of the accumulators. Tiles of one output block follow each other
//! and add into the same half. Steps of a tile are made when it starts, so that a program of millions of steps takes no room.

use serde::{Deserialize, Serialize};

use super::lower::Plan;

/// Where a step reads or writes on a core: an entry of the tile's half. Entries are what becomes valid as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Place {
    Scratchpad(u32),
    Accumulator(u32),
}

/// A block of memory: `planes` of `rows` runs of `run_bytes` each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Region {
    pub base: u64,
    pub run_bytes: u64,
    pub rows: u64,
    pub row_stride: u64,
    pub planes: u64,
    pub plane_stride: u64,
}

impl Region {
    /// One run.
    pub fn run(base: u64, bytes: u64) -> Self {
        Self { base, run_bytes: bytes, rows: 1, row_stride: bytes, planes: 1, plane_stride: bytes }
    }

    /// Rows of a matrix.
    pub fn block(base: u64, run_bytes: u64, rows: u64, row_stride: u64) -> Self {
        Self { base, run_bytes, rows, row_stride, planes: 1, plane_stride: 0 }.joined(1)
    }

    /// The same bytes with runs joined that lie in one another's requests of `request_bytes`.
    #[must_use]
    pub fn joined(mut self, request_bytes: u64) -> Self {
        if self.rows > 1 && self.row_stride <= self.run_bytes.max(request_bytes) {
            self.run_bytes += (self.rows - 1) * self.row_stride;
            (self.rows, self.row_stride) = (1, self.run_bytes);
        }
        if self.rows == 1 && self.planes > 1 {
            (self.rows, self.row_stride) = (self.planes, self.plane_stride);
            (self.planes, self.plane_stride) = (1, 0);
            if self.row_stride <= self.run_bytes {
                self.run_bytes += (self.rows - 1) * self.row_stride;
                (self.rows, self.row_stride) = (1, self.run_bytes);
            }
        }
        self
    }

    /// Runs in all.
    pub fn runs(&self) -> u64 {
        self.rows * self.planes
    }

    /// Start of the `n`th run.
    pub fn start(&self, n: u64) -> u64 {
        self.base + n / self.rows * self.plane_stride + n % self.rows * self.row_stride
    }

    /// Bytes that requests of `request_bytes` move.
    pub fn requested_bytes(&self, request_bytes: u64) -> u64 {
        // Runs of one stride start at few different offsets; all are counted.
        let mut bytes = 0;
        for n in 0..self.runs() {
            let start = self.start(n);
            bytes += (start + self.run_bytes).next_multiple_of(request_bytes) - start / request_bytes * request_bytes;
        }
        bytes
    }
}

/// What the vector unit does to each vector of elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum VectorOp {
    /// So many element-wise operations.
    Elementwise(u32),
    /// Mean and variance by two trees, then two additions and three multiplications, a row at a time.
    LayerNorm { rows: u32 },
    /// Maximum and sum by two trees, then addition, exponent, multiplication, a row at a time.
    Softmax { rows: u32 },
    /// One tree a row.
    Reduce { rows: u32 },
}

/// A step of a tile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Step {
    Load {
        region: Region,
        to: Place,
    },
    /// `vectors` activation vectors through a block of weights, of which `rows × columns` multipliers are in use.
    Multiply {
        activations: u32,
        weights: u32,
        /// Entry of the accumulators.
        to: u32,
        vectors: u32,
        rows: u32,
        columns: u32,
        /// The weights come into the array before; otherwise they are there.
        preload: bool,
    },
    /// Over `bytes` of an entry (of one row for what goes by rows).
    Vector {
        op: VectorOp,
        bytes: u64,
        on: Place,
        with: Option<u32>,
    },
    Store {
        region: Region,
        from: Place,
    },
}

/// What the dispatcher and a core know of a tile before it starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TileHead {
    /// Among the cores of the layer, before rotation.
    pub core: u32,
    /// It adds to what the tile before left in the accumulators.
    pub accumulates: bool,
}

/// An operator, or one of the stages of an operator, laid out for the cores.
#[derive(Clone, Debug)]
pub struct Layer {
    pub model: usize,
    /// Index in the graph.
    pub operator: usize,
    pub plan: Plan,
    pub tiles: Vec<TileHead>,
    /// The cores that take part, as a range; tiles are dealt out to them.
    pub first_core: u32,
    pub cores: u32,
    /// Added to a tile's core, so that small layers do not all go to the first one.
    pub rotation: u32,
    pub note: Option<String>,
}

impl Layer {
    /// The core of a tile.
    pub fn core_of(&self, tile: usize) -> u32 {
        self.first_core + (self.tiles[tile].core + self.rotation) % self.cores
    }

    /// The tiles of one core, in order.
    pub fn tiles_of(&self, core: u32) -> impl Iterator<Item = usize> + '_ {
        (0..self.tiles.len()).filter(move |&tile| self.core_of(tile) == core)
    }
}

/// Everything that a machine is to run.
#[derive(Clone, Debug, Default)]
pub struct Program {
    pub layers: Vec<Layer>,
    /// Layers that follow each other, by index. Streams run beside each other.
    pub streams: Vec<Vec<u32>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_that_touch_are_one_run() {
        let whole = Region::block(64, 256, 4, 256);
        assert_eq!((whole.run_bytes, whole.runs()), (1024, 1));
        let apart = Region::block(64, 200, 4, 256);
        assert_eq!((apart.runs(), apart.start(3)), (4, 64 + 3 * 256));
        // 200 bytes at multiples of 32 are 7 requests of 32.
        assert_eq!(apart.requested_bytes(32), 4 * 224);
    }

    /// Eight bytes of a row of 64: one request of 32 each, the fourfold of what is needed.
    #[test]
    fn a_narrow_strip_costs_a_request_a_row() {
        let strip = Region::block(0, 8, 64, 64);
        assert_eq!(strip.requested_bytes(32), 64 * 32);
    }

    #[test]
    fn pixels_closer_than_a_request_are_joined() {
        let region = Region { base: 0, run_bytes: 6, rows: 115, row_stride: 12, planes: 3, plane_stride: 2048 };
        let joined = region.joined(32);
        assert_eq!((joined.rows, joined.run_bytes, joined.row_stride), (3, 114 * 12 + 6, 2048));
    }
}
