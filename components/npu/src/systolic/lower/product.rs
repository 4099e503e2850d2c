//! Matrix products and convolutions.
//!
//! ```text
//!   for each output block (m, n):            one core, one half of the accumulators
//!     for each step of the reduction:        a tile
//!       load weights and activations ─▶ multiply block by block ─▶ (last step) element-wise tail, store
//! ```

use workloads::tensor::{Convolution, Operator};

use super::{Addresses, Machine};
use crate::systolic::mapper::search::Goal;
use crate::systolic::mapper::{Mapper, NoTiling, Target, Tiling, gemmini, search};
use crate::systolic::program::{Place, Region, Step, TileHead, VectorOp};
use crate::systolic::report::SramCounts;
use crate::systolic::work::Product;

/// Where activations come from.
#[derive(Clone, Debug)]
enum Activations {
    /// An m × k matrix for each of the batch.
    Matrix { base: u64 },
    /// An image: rows of the product are output pixels, its reduction is channels times taps.
    Image { base: u64, convolution: Box<Convolution> },
}

/// A product cut into tiles.
#[derive(Clone, Debug)]
pub struct ProductPlan {
    product: Product,
    tiling: Tiling,
    rows: u64,
    columns: u64,
    bits: u64,
    activations: Activations,
    /// An n × k matrix for each of the batch; `weights_shared` of them follow each other with the same weights.
    weights: u64,
    weights_shared: u64,
    output: u64,
    /// Element-wise operations on results before they are stored.
    tail: u32,
    sum_bytes: u64,
    request_bytes: u64,
    /// All weights are one entry, and so are all activations.
    whole: bool,
}

/// Lowers one operator.
pub(super) struct Lower<'a> {
    pub machine: &'a Machine,
    pub target: Target,
    pub bits: u64,
    pub addresses: &'a mut Addresses,
}

impl Lower<'_> {
    fn tiling(&self, product: Product) -> Result<Tiling, NoTiling> {
        self.target.check(self.bits)?;
        match self.machine.core.mapper {
            Mapper::Search => search::tile(&self.target, product, self.bits, Goal::Time),
            Mapper::Largest => search::tile(&self.target, product, self.bits, Goal::Bytes),
            Mapper::Gemmini => Ok(gemmini::tile(&self.target, product, self.bits.div_ceil(8))),
        }
    }

    fn bytes(&self, elements: u64) -> u64 {
        elements * self.bits / 8
    }

    fn plan(&self, product: Product, places: [u64; 2], activations: Activations) -> Result<ProductPlan, NoTiling> {
        Ok(ProductPlan {
            product,
            tiling: self.tiling(product)?,
            rows: self.target.rows,
            columns: self.target.columns,
            bits: self.bits,
            activations,
            weights: places[0],
            weights_shared: 1,
            output: places[1],
            tail: 0,
            sum_bytes: self.target.sum_bytes,
            request_bytes: u64::from(self.machine.core.request_bytes),
            whole: self.machine.core.whole_tiles,
        })
    }

    /// A product of matrices.
    pub fn matrix(self, operator: &Operator, product: Product) -> Result<ProductPlan, NoTiling> {
        let Product { batch, m, n, k } = product;
        let sizes = [batch * m * k, batch * n * k, batch * m * n].map(|elements| self.bytes(elements));
        let base = self.addresses.operand(&operator.inputs, 0, sizes[0]);
        let weights = self.addresses.operand(&operator.inputs, 1, sizes[1]);
        let output = self.addresses.operand(&operator.outputs, 0, sizes[2]);
        let tail = operator.fused.len() as u32;
        Ok(ProductPlan { tail, ..self.plan(product, [weights, output], Activations::Matrix { base })? })
    }

    /// A convolution: each group is one of the batch.
    pub fn convolution(self, operator: &Operator, c: &Convolution) -> Result<ProductPlan, NoTiling> {
        let groups = c.groups.max(1);
        let product = Product {
            batch: groups,
            m: c.batch * c.out_height * c.out_width,
            n: c.out_channels / groups,
            k: c.in_channels / groups * c.kernel_height * c.kernel_width,
        };
        let input = self.bytes(c.batch * c.in_channels * c.in_height * c.in_width);
        let base = self.addresses.operand(&operator.inputs, 0, input);
        let weights = self.addresses.operand(&operator.inputs, 1, self.bytes(groups * product.n * product.k));
        let output = self.addresses.operand(&operator.outputs, 0, self.bytes(groups * product.m * product.n));
        let tail = operator.fused.len() as u32;
        let image = Activations::Image { base, convolution: Box::new(c.clone()) };
        Ok(ProductPlan { tail, ..self.plan(product, [weights, output], image)? })
    }

    /// Scores and values of an attention whose scores go through memory; also where they lie.
    pub fn attention(
        self,
        operator: &Operator,
        scores: Product,
        values: Product,
        shared: u64,
    ) -> Result<(ProductPlan, ProductPlan, u64), NoTiling> {
        let bytes = |p: Product, a: u64, b: u64| p.batch * a * b * self.bits / 8;
        let between = self.addresses.take(bytes(scores, scores.m, scores.n));
        let queries = self.addresses.operand(&operator.inputs, 0, bytes(scores, scores.m, scores.k));
        let keys = self.addresses.operand(&operator.inputs, 1, bytes(scores, scores.n, scores.k) / shared);
        let third = self.addresses.operand(&operator.inputs, 2, bytes(values, values.n, values.k) / shared);
        let output = self.addresses.operand(&operator.outputs, 0, bytes(values, values.m, values.n));
        let first = self.plan(scores, [keys, between], Activations::Matrix { base: queries })?;
        let second = self.plan(values, [third, output], Activations::Matrix { base: between })?;
        let shared = |plan| ProductPlan { weights_shared: shared, ..plan };
        Ok((shared(first), shared(second), between))
    }
}

/// One tile's ranges.
struct Ranges {
    batch: u64,
    m: (u64, u64),
    n: (u64, u64),
    k: (u64, u64),
    is_last: bool,
}

impl ProductPlan {
    /// Output blocks follow each other over the cores; the steps of a reduction stay on one.
    pub(super) fn tiles(&self, cores: u32) -> Vec<TileHead> {
        let (a, b, steps) = self.tiling.counts(self.product);
        let blocks = self.product.batch * a * b;
        let head = |block: u64, step: u64| TileHead { core: (block % u64::from(cores)) as u32, accumulates: step > 0 };
        (0..blocks).flat_map(|block| (0..steps).map(move |step| head(block, step))).collect()
    }

    fn ranges(&self, tile: u64) -> Ranges {
        let (a, b, steps) = self.tiling.counts(self.product);
        let (block, step) = (tile / steps, tile % steps);
        let (batch, block) = (block / (a * b), block % (a * b));
        let range = |index: u64, size: u64, whole: u64| (index * size, ((index + 1) * size).min(whole));
        Ranges {
            batch,
            m: range(block / b, self.tiling.m, self.product.m),
            n: range(block % b, self.tiling.n, self.product.n),
            k: range(step, self.tiling.k, self.product.k),
            is_last: step + 1 == steps,
        }
    }

    fn bytes(&self, elements: u64) -> u64 {
        elements * self.bits / 8
    }

    pub(super) fn steps(&self, tile: u64) -> Vec<Step> {
        let r = self.ranges(tile);
        let blocks = |(from, to): (u64, u64), edge: u64| {
            (from..to).step_by(edge as usize).map(move |at| (at, (at + edge).min(to))).collect::<Vec<_>>()
        };
        let (ms, ns) = (blocks(r.m, self.rows), blocks(r.n, self.columns));
        let mut steps = Vec::new();
        // Entries: weights of each column block, then activations of each row block.
        let weight = |column: usize| if self.whole { 0 } else { column as u32 };
        let activation = |row: usize| if self.whole { 1 } else { (ns.len() + row) as u32 };
        let whole_image = matches!(self.activations, Activations::Image { .. });
        for (column, &n) in ns.iter().enumerate() {
            steps.push(Step::Load { region: self.weights(&r, n), to: Place::Scratchpad(weight(column)) });
            if column == 0 && whole_image {
                steps.push(Step::Load { region: self.activations(&r, r.m), to: Place::Scratchpad(activation(0)) });
            } else if column == 0 {
                for (row, &m) in ms.iter().enumerate() {
                    let region = self.activations(&r, m);
                    steps.push(Step::Load { region, to: Place::Scratchpad(activation(row)) });
                }
            }
        }
        for (column, &n) in ns.iter().enumerate() {
            for (row, &m) in ms.iter().enumerate() {
                for k in blocks(r.k, self.rows) {
                    steps.push(Step::Multiply {
                        activations: activation(if whole_image { 0 } else { row }),
                        weights: weight(column),
                        to: (column * ms.len() + row) as u32,
                        vectors: (m.1 - m.0) as u32,
                        rows: (k.1 - k.0) as u32,
                        columns: (n.1 - n.0) as u32,
                        preload: true,
                    });
                }
            }
        }
        if r.is_last {
            for (column, &n) in ns.iter().enumerate() {
                for (row, &m) in ms.iter().enumerate() {
                    let from = Place::Accumulator((column * ms.len() + row) as u32);
                    if self.tail > 0 {
                        let bytes = (m.1 - m.0) * (n.1 - n.0) * self.sum_bytes;
                        steps.push(Step::Vector { op: VectorOp::Elementwise(self.tail), bytes, on: from, with: None });
                    }
                    steps.push(Step::Store { region: self.output(&r, m, n), from });
                }
            }
        }
        steps
    }

    fn weights(&self, r: &Ranges, n: (u64, u64)) -> Region {
        let Product { n: all_n, k: all_k, .. } = self.product;
        let base = self.weights + self.bytes(r.batch / self.weights_shared * all_n * all_k + n.0 * all_k + r.k.0);
        Region::block(base, self.bytes(r.k.1 - r.k.0), n.1 - n.0, self.bytes(all_k)).joined(self.request_bytes)
    }

    fn activations(&self, r: &Ranges, m: (u64, u64)) -> Region {
        match &self.activations {
            Activations::Matrix { base } => {
                let Product { m: all_m, k: all_k, .. } = self.product;
                let base = base + self.bytes(r.batch * all_m * all_k + m.0 * all_k + r.k.0);
                Region::block(base, self.bytes(r.k.1 - r.k.0), m.1 - m.0, self.bytes(all_k)).joined(self.request_bytes)
            }
            Activations::Image { base, convolution: c } => self.pixels(*base, c, r, m),
        }
    }

    /// The rows of the image that the output pixels see, of the channels that the reduction step needs.
    fn pixels(&self, base: u64, c: &Convolution, r: &Ranges, m: (u64, u64)) -> Region {
        let groups = c.groups.max(1);
        let (taps, channels) = (c.kernel_height * c.kernel_width, c.in_channels / groups);
        let image = c.out_height * c.out_width;
        // Rows of all images in a column; a range over several images takes what lies between, too.
        let input_row = |pixel: u64, tap: u64| {
            let row =
                (pixel % image / c.out_width * c.stride_height + tap * c.dilation_height).saturating_sub(c.pad_top);
            pixel / image * c.in_height + row.min(c.in_height - 1)
        };
        let (first, last) = (input_row(m.0, 0), input_row(m.1 - 1, c.kernel_height - 1));
        let (c0, c1) = (r.k.0 / taps, r.k.1.div_ceil(taps).min(channels));
        let pixel_bytes = self.bytes(c.in_channels);
        let pixels = (last + 1 - first) * c.in_width;
        let base = base + first * c.in_width * pixel_bytes + self.bytes(r.batch * channels + c0);
        Region::block(base, self.bytes(c1 - c0).max(1), pixels, pixel_bytes).joined(self.request_bytes)
    }

    fn output(&self, r: &Ranges, m: (u64, u64), n: (u64, u64)) -> Region {
        let Product { m: all_m, n: all_n, batch, .. } = self.product;
        // Groups of a convolution lie beside each other in a pixel; products of a batch one after the other.
        let (row, at) = match self.activations {
            Activations::Image { .. } => (batch * all_n, m.0 * batch * all_n + r.batch * all_n + n.0),
            Activations::Matrix { .. } => (all_n, r.batch * all_m * all_n + m.0 * all_n + n.0),
        };
        Region::block(self.output + self.bytes(at), self.bytes(n.1 - n.0), m.1 - m.0, self.bytes(row))
            .joined(self.request_bytes)
    }

    /// A block of weights is read once for each block of rows.
    pub(super) fn sram(&self) -> SramCounts {
        let Product { batch, m, n, k } = self.product;
        SramCounts {
            ifmap_reads: batch * m * k * n.div_ceil(self.columns),
            filter_reads: batch * n * k * m.div_ceil(self.rows),
            ofmap_writes: batch * m * n * k.div_ceil(self.rows),
        }
    }
}
