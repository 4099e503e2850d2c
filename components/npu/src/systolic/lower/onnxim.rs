//! Convolutions as ONNXim lays them out, to compare with it.
//!
//! The tiling is Gemmini's greedy rule. What differs from [`super::product`], each a row of `validation/DEVIATIONS.md`:
//! * the reduction is tiled over channels, one tap of the filter at a time: three channels fill three rows of the array;
//! * a block of weights is read as one row of it, since its address does not depend on the filter;
//! * of an input with a stride, every stride-th row and column is read;
//! * padding does not change what a tile reads of the next one's rows, and offsets ignore the stride.
//!
//! Source: PSAL-POSTECH/ONNXim a1e8629.

use workloads::tensor::Convolution;

use crate::systolic::core::spec::CoreSpec;
use crate::systolic::program::{Place, Region, Step, TileHead};
use crate::systolic::report::SramCounts;

/// Where the operands lie.
#[derive(Clone, Copy, Debug)]
pub struct Places {
    pub input: u64,
    pub weights: u64,
    pub output: u64,
}

/// Sizes of a tile: rows and columns of output pixels, filters, rows and columns of taps, channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Tile {
    out_rows: u64,
    out_columns: u64,
    filters: u64,
    tap_rows: u64,
    tap_columns: u64,
    channels: u64,
}

impl Tile {
    const PLACES: usize = 6;

    /// In the order in which the rule tries them.
    fn size(&mut self, place: usize) -> &mut u64 {
        match place {
            0 => &mut self.out_rows,
            1 => &mut self.out_columns,
            2 => &mut self.filters,
            3 => &mut self.tap_rows,
            4 => &mut self.tap_columns,
            _ => &mut self.channels,
        }
    }

    fn with(mut self, place: usize, by: u64) -> Self {
        *self.size(place) += by;
        self
    }
}

const OUT_ROWS: usize = 0;
const OUT_COLUMNS: usize = 1;
const FILTERS: usize = 2;
const CHANNELS: usize = 5;

/// A convolution cut into tiles.
#[derive(Clone, Debug)]
pub struct ConvolutionPlan {
    convolution: Convolution,
    places: Places,
    tile: Tile,
    edge: u64,
    bytes: u64,
    request_bytes: u64,
}

/// Which tile: image, output row and column block, filter block, tap blocks, channel block.
struct Index {
    image: u64,
    column: u64,
    row: u64,
    filter: u64,
    tap_row: u64,
    tap_column: u64,
    channel: u64,
}

impl ConvolutionPlan {
    pub(super) fn new(core: &CoreSpec, convolution: &Convolution, places: Places, bytes: u64) -> Self {
        let rule = Rule { core, convolution, bytes }.tile();
        // The rule keeps columns whole where it can; the peer then takes its columns for rows.
        let tile = Tile { out_rows: rule.out_columns, out_columns: rule.out_rows, ..rule };
        Self {
            convolution: convolution.clone(),
            places,
            tile,
            edge: u64::from(core.columns),
            bytes,
            request_bytes: u64::from(core.request_bytes),
        }
    }

    /// Tiles in each direction: columns, rows, filters, tap rows, tap columns, channels; the order of the loops.
    fn counts(&self) -> [u64; 6] {
        let (c, t) = (&self.convolution, &self.tile);
        [
            c.out_width.div_ceil(t.out_columns),
            c.out_height.div_ceil(t.out_rows),
            c.out_channels.div_ceil(t.filters),
            c.kernel_height.div_ceil(t.tap_rows),
            c.kernel_width.div_ceil(t.tap_columns),
            c.in_channels.div_ceil(t.channels),
        ]
    }

    pub(super) fn tiles(&self, cores: u32) -> Vec<TileHead> {
        let [columns, rows, filters, tap_rows, tap_columns, channels] = self.counts();
        let blocks = self.convolution.batch * columns * rows * filters;
        let steps = tap_rows * tap_columns * channels;
        let head = |block: u64, step: u64| TileHead { core: (block % u64::from(cores)) as u32, accumulates: step > 0 };
        (0..blocks).flat_map(|block| (0..steps).map(move |step| head(block, step))).collect()
    }

    fn index(&self, mut tile: u64) -> Index {
        let [columns, rows, filters, tap_rows, tap_columns, channels] = self.counts();
        let mut next = |count: u64| {
            let at = tile % count;
            tile /= count;
            at
        };
        let (channel, tap_column, tap_row) = (next(channels), next(tap_columns), next(tap_rows));
        let (filter, row, column) = (next(filters), next(rows), next(columns));
        Index { image: tile, column, row, filter, tap_row, tap_column, channel }
    }

    pub(super) fn steps(&self, tile: u64) -> Vec<Step> {
        let index = self.index(tile);
        let (c, t) = (&self.convolution, &self.tile);
        let left = |at: u64, size: u64, whole: u64| size.min(whole.saturating_sub(at * size));
        let filters = blocks(left(index.filter, t.filters, c.out_channels), self.edge);
        let channels = blocks(left(index.channel, t.channels, c.in_channels), self.edge);
        let rows = blocks(left(index.row, t.out_rows, c.out_height), self.edge);
        let columns = blocks(left(index.column, t.out_columns, c.out_width), self.edge);
        let taps = t.tap_rows * t.tap_columns;

        let mut steps = vec![Step::Load { region: self.input(&index), to: Place::Scratchpad(0) }];
        let mut entry = 0;
        for &filter in &filters {
            for tap in 0..taps {
                for &channel in &channels {
                    entry += 1;
                    let region = self.weights(&index, filter.0, tap, channel);
                    steps.push(Step::Load { region, to: Place::Scratchpad(entry) });
                }
            }
        }
        let pixels: Vec<u64> = rows.iter().flat_map(|row| columns.iter().map(move |column| row.1 * column.1)).collect();
        let result = |filter: usize, pixel: usize| (filter * pixels.len() + pixel) as u32;
        let mut weights = 0;
        for (nth, &filter) in filters.iter().enumerate() {
            for _ in 0..taps {
                for &channel in &channels {
                    weights += 1;
                    for (pixel, &vectors) in pixels.iter().enumerate() {
                        steps.push(Step::Multiply {
                            activations: 0,
                            weights,
                            to: result(nth, pixel),
                            vectors: vectors as u32,
                            rows: channel.1 as u32,
                            columns: filter.1 as u32,
                            preload: pixel == 0,
                        });
                    }
                }
            }
        }
        let [_, _, _, tap_rows, tap_columns, channel_tiles] = self.counts();
        let is_last =
            index.tap_row + 1 == tap_rows && index.tap_column + 1 == tap_columns && index.channel + 1 == channel_tiles;
        if is_last {
            let mut pixel = 0;
            for &row in &rows {
                for &column in &columns {
                    for (nth, &filter) in filters.iter().enumerate() {
                        let region = self.output(&index, row, column, filter);
                        steps.push(Step::Store { region, from: Place::Accumulator(result(nth, pixel)) });
                    }
                    pixel += 1;
                }
            }
        }
        steps
    }

    fn input(&self, index: &Index) -> Region {
        let (c, t) = (&self.convolution, &self.tile);
        let (row_start, rows) = seen(
            [index.row * t.out_rows, t.out_rows],
            [c.stride_height, c.dilation_height, c.kernel_height],
            c.in_height,
        );
        let (column_start, columns) = seen(
            [index.column * t.out_columns, t.out_columns],
            [c.stride_width, c.dilation_width, c.kernel_width],
            c.in_width,
        );
        let pixel = c.in_channels * self.bytes;
        let first = index.channel * t.channels;
        let channels = t.channels.min(c.in_channels - first);
        let at = ((index.image * c.in_height + row_start) * c.in_width + column_start) * pixel + first * self.bytes;
        let region = Region {
            base: self.places.input + at,
            run_bytes: channels * self.bytes,
            rows: columns,
            row_stride: c.stride_width * pixel,
            planes: rows,
            plane_stride: c.stride_height * c.in_width * pixel,
        };
        region.joined(self.request_bytes)
    }

    /// One row of the block: the channels of one filter.
    fn weights(&self, index: &Index, filter: u64, tap: u64, channel: (u64, u64)) -> Region {
        let (c, t) = (&self.convolution, &self.tile);
        let padded = c.in_channels.next_multiple_of(self.edge);
        let filter = (index.filter * t.filters + filter) / self.edge;
        let tap_row = index.tap_row * t.tap_rows + tap / t.tap_columns;
        let tap_column = index.tap_column * t.tap_columns + tap % t.tap_columns;
        let tap = (filter * c.kernel_height + tap_row) * c.kernel_width + tap_column;
        let at = tap * padded + index.channel * t.channels + channel.0;
        Region::run(self.places.weights + at * self.bytes, channel.1 * self.bytes)
    }

    fn output(&self, index: &Index, row: (u64, u64), column: (u64, u64), filter: (u64, u64)) -> Region {
        let (c, t) = (&self.convolution, &self.tile);
        let pixel = c.out_channels * self.bytes;
        let (first_row, first_column) = (index.row * t.out_rows + row.0, index.column * t.out_columns + column.0);
        let at = ((index.image * c.out_height + first_row) * c.out_width + first_column) * pixel
            + (index.filter * t.filters + filter.0) * self.bytes;
        let region = Region {
            base: self.places.output + at,
            run_bytes: filter.1 * self.bytes,
            rows: column.1,
            row_stride: pixel,
            planes: row.1,
            plane_stride: c.out_width * pixel,
        };
        region.joined(self.request_bytes)
    }

    pub(super) fn sram(&self) -> SramCounts {
        let c = &self.convolution;
        let pixels = c.batch * c.out_height * c.out_width;
        let taps = c.kernel_height * c.kernel_width;
        let channel_blocks = c.in_channels.div_ceil(self.edge);
        SramCounts {
            ifmap_reads: pixels * taps * c.in_channels * c.out_channels.div_ceil(self.edge),
            filter_reads: taps * c.in_channels * c.out_channels,
            ofmap_writes: pixels * c.out_channels * taps * channel_blocks,
        }
    }
}

/// Start and length of blocks of at most `edge`.
fn blocks(size: u64, edge: u64) -> Vec<(u64, u64)> {
    (0..size).step_by(edge as usize).map(|at| (at, edge.min(size - at))).collect()
}

/// First and number of the rows (or columns) of the input that a tile reads: from half a filter before its first output,
/// which counts in output rows, every stride-th up to the last one.
fn seen([first, outputs]: [u64; 2], [stride, dilation, taps]: [u64; 3], size: u64) -> (u64, u64) {
    let reach = (outputs - 1) * stride + dilation * (taps - 1) + 1;
    let before = (dilation * (taps - 1) / 2) as i64;
    let rows = (0..reach).step_by(stride as usize).map(|row| first as i64 - before + row as i64);
    let inside: Vec<i64> = rows.filter(|&row| row >= 0 && row < size as i64).collect();
    (inside.first().map_or(0, |&row| row as u64), inside.len().max(1) as u64)
}

/// Gemmini's greedy rule for convolutions.
struct Rule<'a> {
    core: &'a CoreSpec,
    convolution: &'a Convolution,
    bytes: u64,
}

impl Rule<'_> {
    fn dim(&self) -> u64 {
        u64::from(self.core.rows)
    }

    /// Rows of scratchpad and of accumulators that a tile takes.
    fn rows(&self, t: Tile) -> (u64, u64) {
        let c = self.convolution;
        let downsample = c.stride_height == 2 && c.kernel_height == 1 && c.pad_left == 0;
        let shift = u64::from(downsample);
        let in_rows = t.out_rows * c.stride_height + t.tap_rows - 1;
        let in_columns = t.out_columns * c.stride_height + t.tap_columns - 1;
        let inputs = t.channels.div_ceil(self.dim()) * (in_rows >> shift) * (in_columns >> shift);
        let filters = t.filters.div_ceil(self.dim());
        let weights = filters * t.tap_columns * t.tap_rows * t.channels;
        (inputs + weights, filters * t.out_rows * t.out_columns)
    }

    fn fits(&self, t: Tile) -> bool {
        let (spad, sums) = self.rows(t);
        let dim = self.dim();
        spad <= self.core.scratchpad_kib * 1024 / (dim * self.bytes * 2)
            && sums <= self.core.accumulator_kib * 1024 / (dim * 4 * 2)
    }

    fn whole(&self) -> Tile {
        let c = self.convolution;
        Tile {
            out_rows: c.out_width,
            out_columns: c.out_width,
            filters: c.out_channels,
            tap_rows: c.kernel_height,
            tap_columns: c.kernel_height,
            channels: c.in_channels,
        }
    }

    fn tile(&self) -> Tile {
        let (dim, most) = (self.dim(), self.whole());
        let mut tile = most;
        while !self.fits(tile) {
            // The longest side is cut, but not the columns of pixels while they fill the array and rows are left.
            let mut largest = (0, 0);
            for place in 0..Tile::PLACES {
                let size = *tile.size(place);
                let kept = place == OUT_COLUMNS && size <= dim && *tile.size(OUT_ROWS) > 1;
                if !kept && size > largest.1 {
                    largest = (place, size);
                }
            }
            let (place, size) = largest;
            let cut = match place {
                FILTERS | CHANNELS if size % dim != 0 => size / dim * dim,
                FILTERS | CHANNELS => size - dim,
                _ => size - 1,
            };
            if cut == 0 && size <= 1 {
                break;
            }
            *tile.size(place) = cut.max(1);
        }
        while *tile.size(OUT_COLUMNS) < most.out_columns && self.fits(tile.with(OUT_COLUMNS, 1)) {
            tile = tile.with(OUT_COLUMNS, 1);
        }
        let mut grew = true;
        while grew {
            grew = false;
            for place in 0..Tile::PLACES {
                let larger = tile.with(place, 1);
                let (mut size, mut limit) = (larger, most);
                if size.size(place) <= limit.size(place) && self.fits(larger) && self.leaves_room(tile) {
                    tile = larger;
                    grew = true;
                }
            }
        }
        tile
    }

    /// Weights and padded pixels, half again, still fit into half of the scratchpad.
    fn leaves_room(&self, t: Tile) -> bool {
        let padding = 2 * self.convolution.pad_left;
        let weights = t.filters * t.tap_rows * t.tap_columns * t.channels;
        let inputs = (t.out_rows + padding) * (t.out_columns + padding) * t.channels;
        (weights + inputs) * self.bytes * 3 / 2 <= self.core.scratchpad_kib * 1024 / 2
    }
}
