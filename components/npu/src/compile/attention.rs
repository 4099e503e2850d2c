//! Attention, and products of two activations in batches: pieces that one tile works on alone.
//!
//! ```text
//!  DMA    Q K V ──┐            Q K V ──┐
//!  DPU            └▶ Q·Kᵀ ─┐     └▶ Q·Kᵀ ─┐ P·V ─▶ out        scores stay in the tile
//!  DSP                     └▶ softmax ────┼──▶ softmax
//! ```
//! Heads that share keys and values are worked on together, as more rows of queries. Where not all keys fit, the scores are
//! made in blocks of keys and the results of the blocks summed.

use workloads::tensor::{Attention, Element, MatMul, Operator, Place, Work};

use super::emit::Group;
use super::home::{Layout, Resident};
use super::mac::{eltwise_variant, product_variant, transfer};
use super::{CompileError, Compiler};

/// What a step costs beside its bytes, in bytes of a DMA port.
const STEP_BYTES: u64 = 32_000;

/// Rows of queries against keys, on one tile.
#[derive(Debug, Clone, Copy)]
struct Shape {
    units: u64,
    rows: u64,
    keys: u64,
    query_width: u64,
    value_width: u64,
    bits: u64,
    /// A second product follows, with a softmax between.
    has_values: bool,
}

impl Shape {
    fn bytes(&self, elements: u64) -> u64 {
        (elements * self.bits).div_ceil(8)
    }

    /// Twice operands, scores and results of a step.
    fn buffer(&self, rows: u64, keys: u64) -> u64 {
        let values = if self.has_values { keys * self.value_width + rows * self.value_width } else { 0 };
        2 * self.bytes(rows * self.query_width + keys * self.query_width + rows * keys + values)
    }

    /// Rows and keys of a step: those that fetch least.
    fn cut(&self, free: u64) -> Option<(u64, u64)> {
        let sizes =
            |whole: u64| (1..=64).chain([96, 128, 256, 512, 1024, 4096, 16_384]).map(move |n| whole.div_ceil(n));
        let fits = |&(rows, keys): &(u64, u64)| self.buffer(rows, keys) <= free;
        let fetched = |&(rows, keys): &(u64, u64)| {
            let (row_steps, key_steps) = (self.rows.div_ceil(rows), self.keys.div_ceil(keys));
            let times = if key_steps == 1 { 1 } else { row_steps };
            times * self.bytes(self.keys * (self.query_width + self.value_width)) + row_steps * key_steps * STEP_BYTES
        };
        sizes(self.rows)
            .flat_map(|rows| sizes(self.keys).map(move |keys| (rows, keys)))
            .filter(fits)
            .min_by_key(fetched)
    }
}

impl Compiler<'_> {
    pub(super) fn attention(&mut self, operator: &Operator, attention: &Attention) -> Result<(), CompileError> {
        let shape = Shape {
            units: attention.batch * attention.key_heads,
            rows: attention.heads / attention.key_heads.max(1) * attention.queries,
            keys: attention.keys,
            query_width: attention.query_width,
            value_width: attention.value_width,
            bits: 16,
            has_values: true,
        };
        self.pieces(operator, shape)
    }

    /// A batch of products, each on one tile.
    pub(super) fn products(&mut self, operator: &Operator, product: &MatMul) -> Result<(), CompileError> {
        let bits = self.graph.tensor(operator.inputs[0]).element.bits().min(16);
        let shape = Shape {
            units: product.batch,
            rows: product.m,
            keys: product.n,
            query_width: product.k,
            value_width: 0,
            bits,
            has_values: false,
        };
        self.pieces(operator, shape)
    }

    fn pieces(&mut self, operator: &Operator, shape: Shape) -> Result<(), CompileError> {
        let mut parts: Vec<u32> = operator.inputs.iter().flat_map(|id| self.homes.parts(*id)).collect();
        parts.sort_unstable();
        parts.dedup();
        let output = self.homes.parts(operator.outputs[0])[0];
        let out_bytes = self.homes.home(output).bytes;
        let may_stay = !self.homes.home(output).goes_to_ddr && self.homes.is_read_later(output);
        let (stays, (rows, keys)) = loop {
            let free = self.homes.free();
            // Half of a tile is left for operands, so that long keys are not cut finely for a result that could go.
            let left = free.checked_sub(out_bytes).filter(|&left| may_stay && left >= self.spec.cmx_bytes() / 2);
            if let Some(cut) = left.and_then(|left| shape.cut(left)) {
                break (true, cut);
            }
            if let Some(cut) = shape.cut(free) {
                break (false, cut);
            }
            let Some(part) = self.homes.evictable(&parts) else {
                return Err(CompileError::new("does not fit: one row and one key are too much", "narrower heads"));
            };
            self.spill(part);
        };
        let bytes: u64 = parts.iter().map(|&part| self.homes.home(part).bytes).sum();
        let resident: u64 =
            parts.iter().map(|&part| self.homes.home(part)).filter(|h| h.resident.is_some()).map(|h| h.bytes).sum();
        let streamed = 1.0 - resident as f64 / bytes.max(1) as f64;
        let here: Vec<Group> =
            parts.iter().filter_map(|&part| Some(self.homes.home(part).resident.as_ref()?.ready.clone())).collect();
        let in_ddr: Vec<Group> = parts
            .iter()
            .map(|&part| self.homes.home(part))
            .filter(|home| home.resident.is_none())
            .filter_map(|home| home.in_ddr.clone())
            .collect();
        // Blocks of rows of all units, in as many runs as there are tiles.
        let blocks = shape.rows.div_ceil(rows);
        let items: Vec<(u64, u64)> =
            (0..shape.units).flat_map(|unit| (0..blocks).map(move |block| (unit, block))).collect();
        let each = items.len().div_ceil(self.spec.tiles as usize);
        let runs: Vec<&[(u64, u64)]> = items.chunks(each).collect();
        let key_steps = shape.keys.div_ceil(keys);
        let out_tiles = if stays { self.spec.tiles } else { 1 };
        let mut pending: Option<Pending> = None;
        let mut held: Vec<Option<(u64, u64)>> = vec![None; runs.len()];
        let mut state =
            Pieces { shape, here, in_ddr, out_tiles, stays, last: vec![None; runs.len()], stored: Group::default() };
        for turn in 0..each {
            for key_step in 0..key_steps {
                let mut step = Pending::default();
                let mut loads = Vec::new();
                for (tile, run) in runs.iter().enumerate() {
                    let Some(&(unit, block)) = run.get(turn) else { continue };
                    let rows = (shape.rows - block * rows).min(rows);
                    let keys = (shape.keys - key_step * keys).min(keys);
                    let fetches_keys = held[tile] != Some((unit, key_step));
                    held[tile] = Some((unit, key_step));
                    let fetched = if key_step == 0 { rows * shape.query_width } else { 0 }
                        + if fetches_keys { keys * (shape.query_width + shape.value_width) } else { 0 };
                    loads.push((tile as u32, (shape.bytes(fetched) as f64 * streamed).ceil() as u64));
                    step.work.push((tile as u32, rows, keys));
                }
                step.adds = key_step > 0;
                step.is_last = key_step + 1 == key_steps;
                let loaded = self.fetch(&loads, &state);
                self.scores(&mut step, &loaded, &state);
                if let Some(before) = pending.replace(step) {
                    self.results(&before, &mut state);
                }
            }
        }
        if let Some(before) = pending {
            self.results(&before, &mut state);
        }
        let ready = Group::of(state.last.into_iter().flatten().collect());
        let home = self.homes.home_mut(output);
        match stays {
            true => home.resident = Some(Resident { layout: Layout::Whole, bytes_per_tile: out_bytes, ready }),
            false => home.in_ddr = Some(state.stored),
        }
        Ok(())
    }

    fn fetch(&mut self, loads: &[(u32, u64)], state: &Pieces) -> Group {
        // The last step's results are still to come when this one's operands do: its buffers are those of the step before.
        let mut after: Vec<&Group> = vec![&self.computed[1]];
        after.extend(&state.in_ddr);
        let port = self.activation_port();
        let tasks = loads
            .iter()
            .filter(|(_, bytes)| *bytes > 0)
            .map(|&(tile, bytes)| self.emit.add(transfer(port, Place::Ddr, Place::Cmx(tile), bytes), &after));
        Group::of(tasks.collect())
    }

    fn scores(&mut self, step: &mut Pending, loaded: &Group, state: &Pieces) {
        let shape = &state.shape;
        let mut after = vec![loaded, &self.stored[0]];
        after.extend(&state.here);
        for &(tile, rows, keys) in &step.work {
            let out_tiles = if shape.has_values { 1 } else { state.out_tiles };
            let variants = vec![product_variant(rows, keys, shape.query_width, shape.bits, out_tiles)];
            let product = Group::of(vec![self.emit.add(Work::Dpu { tile, variants }, &after)]);
            if !shape.has_values {
                step.scored.push(product);
                continue;
            }
            let dsps = u64::from(self.spec.shaves_per_tile);
            let mut tasks = Vec::new();
            for dsp in 0..dsps {
                let elements = (rows * keys / dsps + u64::from(dsp < rows * keys % dsps)).max(1);
                let work = Work::Shave { tile, kernel: "softmax".into(), element: Element::F16, elements };
                tasks.push(self.emit.add(work, &[&product]));
            }
            step.scored.push(Group::of(tasks));
        }
    }

    /// Scores times values, and the result's way out.
    fn results(&mut self, step: &Pending, state: &mut Pieces) {
        let shape = state.shape;
        let mut done = Vec::new();
        let mut finished: Vec<(u32, u64, Group)> = Vec::new();
        for (&(tile, rows, keys), scored) in step.work.iter().zip(&step.scored) {
            let mut result = scored.clone();
            if shape.has_values {
                let mut variants = vec![product_variant(rows, shape.value_width, keys, shape.bits, state.out_tiles)];
                if step.adds {
                    variants.push(eltwise_variant(rows * shape.value_width, shape.bits, 1));
                }
                let task = self.emit.add(Work::Dpu { tile, variants }, &[scored]);
                state.last[tile as usize] = Some(task);
                result = Group::of(vec![task]);
            } else if let Some(&task) = scored.tasks().first() {
                state.last[tile as usize] = Some(task);
            }
            done.extend(result.tasks());
            let width = if shape.has_values { shape.value_width } else { keys };
            finished.push((tile, shape.bytes(rows * width), result));
        }
        self.step_done(done);
        if state.stays || (shape.has_values && !step.is_last) {
            return;
        }
        let port = self.activation_port();
        let tasks = finished.iter().map(|(tile, bytes, result)| {
            self.emit.add(transfer(port, Place::Cmx(*tile), Place::Ddr, *bytes), &[result])
        });
        let tasks = tasks.collect();
        state.stored = self.step_stored(tasks);
    }
}

/// What stays the same over the steps, and what the last one left.
struct Pieces {
    shape: Shape,
    here: Vec<Group>,
    in_ddr: Vec<Group>,
    out_tiles: u32,
    stays: bool,
    last: Vec<Option<u32>>,
    stored: Group,
}

/// A step whose second product is still to be given out.
#[derive(Default)]
struct Pending {
    /// Tile, rows, keys.
    work: Vec<(u32, u64, u64)>,
    scored: Vec<Group>,
    adds: bool,
    is_last: bool,
}
