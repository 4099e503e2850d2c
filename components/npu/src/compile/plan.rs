//! How an operator on the MAC arrays is cut: which tile does what, and how much of it at a time.
//!
//! ```text
//!  rows        tiles share the output's rows, weights go to all of them       large images, many tokens
//!  channels    tiles share the filters, activations go to all of them         large weights, few pixels
//! ```
//! A step's operands and result lie in the scratchpad twice, so that the next step's are there when this one ends. Of all
//! cuts the one is taken that is estimated fastest: arrays, weights on one DMA port and activations on the other work side
//! by side, and every step has a fixed cost.

use workloads::tensor::{DpuOperation, Element, MpeMode, Variant};

use crate::tiled::TiledSpec;
use crate::tiled::cost::dpu::cycles;

/// What the arrays compute, as a convolution: a matrix product has a window of one, rows of [`POINTS`] pixels.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Mac {
    /// Output rows and their width.
    pub rows: u64,
    pub width: u64,
    /// Output channels.
    pub filters: u64,
    /// Channels that one filter reads, of the groups that the input's channels fall into.
    pub depth: u64,
    pub groups: u64,
    pub operation: DpuOperation,
    /// Every channel has its own filter: depthwise convolution and pooling.
    pub by_channel: bool,
    pub kernel: [u64; 2],
    pub stride: [u64; 2],
    /// Rows that the window spans with its gaps.
    pub window_rows: u64,
    pub in_width: u64,
    pub in_rows: u64,
    /// Bits of an element, and of one of the result.
    pub bits: u64,
    pub out_bits: u64,
    pub weight_bits: u64,
    /// Constants of a filter beside its weights: scale, bias, pointers.
    pub bytes_per_filter: u64,
}

/// Pixels of a row that the rows of a matrix are laid out in.
pub const POINTS: u64 = 16;
/// Channels come in groups of these.
const GROUP: u64 = 16;
/// Bytes of the table that says where a filter's weights lie.
pub const TABLE_BYTES: u64 = 16;
/// What a step costs beside its work: latency of transfers, start of the arrays.
const STEP_NS: f64 = 400.0;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Split {
    Rows,
    Channels,
}

/// Where operands and result lie.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Where {
    /// Share of the input that comes from DDR, 0 to 1.
    pub streamed_in: f64,
    pub streams_out: bool,
}

/// A cut.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Plan {
    pub split: Split,
    /// Tiles that take part.
    pub tiles: u32,
    /// Rows, filters and depth of a step on one tile.
    pub rows: u64,
    pub filters: u64,
    pub depth: u64,
    /// Filters in the outer loop: each is fetched once.
    pub filters_outside: bool,
    /// Bytes of a step in one tile's scratchpad.
    pub buffer: u64,
    /// Estimated.
    pub ns: f64,
}

impl Mac {
    /// A matrix product of `rows · width` by `filters` over `depth`, no weights counted.
    pub fn product(rows: u64, width: u64, filters: u64, depth: u64, bits: u64) -> Self {
        Self {
            rows,
            width,
            filters,
            depth,
            groups: 1,
            operation: DpuOperation::Conv,
            by_channel: false,
            kernel: [1, 1],
            stride: [1, 1],
            window_rows: 1,
            in_width: width,
            in_rows: rows,
            bits,
            out_bits: bits,
            weight_bits: 0,
            bytes_per_filter: 0,
        }
    }

    pub fn bytes(&self, elements: u64) -> u64 {
        (elements * self.bits).div_ceil(8)
    }

    /// Bytes that `rows` output rows read of `channels` channels.
    pub fn input_bytes(&self, rows: u64, channels: u64) -> u64 {
        let read = ((rows - 1) * self.stride[1] + self.window_rows).min(self.in_rows);
        self.bytes(read * self.in_width * channels)
    }

    pub fn output_bytes(&self, rows: u64, filters: u64) -> u64 {
        (rows * self.width * filters * self.out_bits).div_ceil(8)
    }

    /// Bytes of weights in a scratchpad: in the arrays' own format.
    pub fn weight_bytes(&self, filters: u64, depth: u64) -> u64 {
        self.weights(filters, depth, self.weight_bits.max(self.bits))
    }

    /// Bytes of weights in DDR; narrower ones are expanded on their way.
    pub fn stored_weight_bytes(&self, filters: u64, depth: u64) -> u64 {
        self.weights(filters, depth, self.weight_bits)
    }

    /// Whether weights are narrower than what the arrays compute with.
    pub fn expands_weights(&self) -> bool {
        self.weight_bits < self.bits
    }

    fn weights(&self, filters: u64, depth: u64, bits: u64) -> u64 {
        if self.weight_bits == 0 {
            return 0;
        }
        let depth = if self.by_channel { 1 } else { depth };
        (filters * depth * self.kernel[0] * self.kernel[1] * bits).div_ceil(8) + filters * self.bytes_per_filter
    }

    /// Channels of the input that a step fetches: of all groups.
    pub fn channels(&self, filters: u64, depth: u64) -> u64 {
        if self.by_channel { filters } else { depth * self.groups }
    }

    /// Time of one step on the arrays.
    fn compute_ns(&self, rows: u64, filters: u64, depth: u64, spec: &TiledSpec) -> f64 {
        let variant = self.variant(rows, filters, if self.by_channel { filters } else { depth }, 1);
        cycles(&variant, spec) as f64 * 1e3 / spec.dpu_mhz
    }

    /// A block of the output. Its input is what the window covers; the taps on padding are counted.
    pub fn variant(&self, rows: u64, filters: u64, channels: u64, out_tiles: u32) -> Variant {
        let covered = |outputs: u64, axis: usize| (outputs - 1) * self.stride[axis] + self.kernel[axis];
        Variant {
            op: self.operation,
            element: if self.bits > 8 { Element::F16 } else { Element::U8 },
            input: [covered(self.width, 0), covered(rows, 1), channels],
            output: [self.width, rows, filters],
            kernel: self.kernel,
            stride: self.stride,
            padding: [0; 4],
            mode: MpeMode::M16x16,
            weight_sparsity: 0.0,
            activation_sparsity: 0.0,
            out_tiles,
        }
    }

    /// The fastest cut that fits into `free` bytes of each tile, by estimate; none if no cut does.
    pub fn plan(&self, split: Split, at: Where, free: u64, spec: &TiledSpec) -> Option<Plan> {
        let all = u64::from(spec.tiles);
        let (rows, filters, tiles) = match split {
            Split::Rows => {
                let each = self.rows.div_ceil(all);
                (each, self.filters, self.rows.div_ceil(each))
            }
            Split::Channels => {
                let each = self.filters.div_ceil(all).next_multiple_of(GROUP).min(self.filters);
                (self.rows, each, self.filters.div_ceil(each))
            }
        };
        let depths = if self.by_channel { vec![self.depth] } else { channel_parts(self.depth) };
        let mut best: Option<Plan> = None;
        for &depth in &depths {
            for &step_filters in &channel_parts(filters) {
                for step_rows in row_parts(rows) {
                    for filters_outside in [false, true] {
                        let cut = Plan {
                            split,
                            tiles: tiles as u32,
                            rows: step_rows,
                            filters: step_filters,
                            depth,
                            filters_outside,
                            buffer: self.buffer(at, step_rows, step_filters, depth),
                            ns: 0.0,
                        };
                        if 2 * cut.buffer > free {
                            continue;
                        }
                        let ns = self.estimate(&cut, at, rows, filters, spec);
                        if best.is_none_or(|best| ns < best.ns) {
                            best = Some(Plan { ns, ..cut });
                        }
                    }
                }
            }
        }
        best
    }

    /// Bytes that a step holds: what comes from DDR, what goes there, and sums of a part of the depth.
    fn buffer(&self, at: Where, rows: u64, filters: u64, depth: u64) -> u64 {
        let input = (self.input_bytes(rows, self.channels(filters, depth)) as f64 * at.streamed_in).ceil() as u64;
        let output = self.output_bytes(rows, filters);
        let sums = if depth < self.depth { output } else { 0 };
        input + self.weight_bytes(filters, depth) + sums + if at.streams_out { output } else { 0 }
    }

    fn estimate(&self, cut: &Plan, at: Where, rows: u64, filters: u64, spec: &TiledSpec) -> f64 {
        let (row_steps, filter_steps) = (rows.div_ceil(cut.rows), filters.div_ceil(cut.filters));
        let depth_steps = self.depth.div_ceil(cut.depth);
        let steps = row_steps * filter_steps * depth_steps;
        let (input_times, weight_times) = fetches(cut, row_steps, filter_steps, depth_steps, self.by_channel);
        let tiles = u64::from(cut.tiles);
        // What all tiles read is transferred once for all.
        let (input_copies, weight_copies) = match (cut.split, self.by_channel) {
            (Split::Rows, _) => (tiles, 1),
            (Split::Channels, true) => (tiles, tiles),
            (Split::Channels, false) => (1, tiles),
        };
        let channels = self.channels(cut.filters, cut.depth);
        let input = self.input_bytes(cut.rows, channels) as f64 * (input_times * input_copies) as f64 * at.streamed_in;
        let weights = (self.stored_weight_bytes(cut.filters, cut.depth) * weight_times * weight_copies) as f64;
        let output = if at.streams_out { self.output_bytes(rows, filters) * tiles } else { 0 } as f64;
        let port = spec.dma.bytes_per_cycle as f64 * spec.cmx_mhz / 1e3;
        let ddr = spec.memory.ddr_mb_per_s / 1e3;
        let compute = self.compute_ns(cut.rows, cut.filters, cut.depth, spec) * steps as f64;
        let transfers = (input.max(output) / port).max(weights / port).max((input + weights + output) / ddr);
        compute.max(transfers) + steps as f64 * STEP_NS
    }
}

/// How often a step's input and a step's weights are fetched by one tile.
fn fetches(cut: &Plan, row_steps: u64, filter_steps: u64, depth_steps: u64, by_channel: bool) -> (u64, u64) {
    let all = row_steps * filter_steps * depth_steps;
    if by_channel {
        // A step's channels are read for its own filters only.
        return (all, if cut.filters_outside { filter_steps } else { all });
    }
    match (depth_steps, cut.filters_outside) {
        (1, true) => (if row_steps == 1 { 1 } else { all }, filter_steps),
        (1, false) => (row_steps, if filter_steps == 1 { 1 } else { all }),
        _ => (all, all),
    }
}

/// How many parts something is cut into.
fn counts() -> impl Iterator<Item = u64> {
    (1..=8).chain([10, 12, 14, 16, 20, 24, 28, 32, 40, 48, 56, 64, 80, 96, 128, 192, 256, 512, 1024, 2048, 4096])
}

/// Rows of a part, largest first.
fn row_parts(rows: u64) -> Vec<u64> {
    let mut sizes: Vec<u64> = counts().map(|count| rows.div_ceil(count)).collect();
    sizes.dedup();
    sizes
}

/// Channels of a part, largest first: all, or whole groups.
fn channel_parts(channels: u64) -> Vec<u64> {
    let mut sizes: Vec<u64> =
        counts().map(|count| channels.div_ceil(count).next_multiple_of(GROUP).min(channels)).collect();
    sizes.dedup();
    sizes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_whole_groups_or_all() {
        assert_eq!(channel_parts(40), [40, 32, 16]);
        assert_eq!(channel_parts(10), [10]);
        assert_eq!(row_parts(5), [5, 3, 2, 1]);
    }

    #[test]
    fn what_stays_is_fetched_once() {
        let cut = |filters_outside| Plan {
            split: Split::Rows,
            tiles: 1,
            rows: 1,
            filters: 16,
            depth: 16,
            filters_outside,
            buffer: 0,
            ns: 0.0,
        };
        // 4 steps of rows, 3 of filters: (fetches of inputs, of weights).
        assert_eq!(fetches(&cut(true), 4, 3, 1, false), (12, 3));
        assert_eq!(fetches(&cut(false), 4, 3, 1, false), (4, 12));
        assert_eq!(fetches(&cut(false), 4, 1, 1, false), (4, 1));
        assert_eq!(fetches(&cut(true), 1, 3, 1, false), (1, 3));
        assert_eq!(fetches(&cut(true), 4, 3, 2, false), (24, 24));
    }
}
