//! Convolutions, matrix products and poolings on the MAC arrays.

use workloads::tensor::{
    Convolution, DpuOperation, Graph, Operator, OperatorKind, Place, Pool, PoolKind, Role, TensorId, Variant, Work,
};

use super::emit::Group;
use super::home::{Layout, Resident};
use super::plan::{Mac, POINTS, Plan, Split, TABLE_BYTES, Where};
use super::{CompileError, Compiler};
use crate::tiled::TiledSpec;

/// Activations are few beside weights of so many times their bytes.
const FEW: u64 = 16;
/// Elements of a DPU have at most 16 bits.
const WIDEST: u64 = 16;

/// Whether an operator will have its filters shared out to the tiles, so that each needs all activations.
pub fn wants_whole(operator: &Operator, spec: &TiledSpec) -> bool {
    let (rows, weights, input) = match &operator.kind {
        OperatorKind::Convolution(c) => {
            let weights = c.out_channels * c.in_channels / c.groups.max(1) * c.kernel_height * c.kernel_width;
            (c.batch * c.out_height, weights, c.batch * c.in_channels * c.in_height * c.in_width)
        }
        OperatorKind::MatMul(p) if p.batch == 1 => (p.m.div_ceil(POINTS), p.n * p.k, p.m * p.k),
        OperatorKind::Pool(pool) => (pool.window.batch * pool.window.out_height, 0, 1),
        _ => return false,
    };
    rows < u64::from(spec.tiles) || weights > 2 * input
}

/// What is computed.
fn work_of(graph: &Graph, operator: &Operator) -> Mac {
    let bits = |id: &TensorId| graph.tensor(*id).element.bits().min(WIDEST);
    let constants = || operator.inputs.iter().map(|id| graph.tensor(*id)).filter(|tensor| tensor.role == Role::Weight);
    let weights = constants().max_by_key(|tensor| tensor.elements());
    // A product of two activations: the second one stands for the weights.
    let second = operator.inputs.get(1).filter(|_| weights.is_none()).map(bits);
    let window = |c: &Convolution, by_channel: bool, operation: DpuOperation| Mac {
        operation,
        rows: c.batch * c.out_height,
        width: c.out_width,
        filters: c.out_channels,
        depth: if by_channel { 1 } else { c.in_channels / c.groups.max(1) },
        groups: if by_channel { 1 } else { c.groups.max(1) },
        by_channel,
        kernel: [c.kernel_width, c.kernel_height],
        stride: [c.stride_width, c.stride_height],
        window_rows: (c.kernel_height - 1) * c.dilation_height + 1,
        in_width: c.in_width,
        in_rows: c.batch * c.in_height,
        bits: bits(&operator.inputs[0]),
        out_bits: bits(&operator.outputs[0]),
        weight_bits: 0,
        bytes_per_filter: 0,
    };
    let mut mac = match &operator.kind {
        OperatorKind::Convolution(c) if c.is_depthwise() => window(c, true, DpuOperation::Depthwise),
        OperatorKind::Convolution(c) => window(c, false, DpuOperation::Conv),
        OperatorKind::Pool(Pool { kind, window: w }) => {
            let operation = if *kind == PoolKind::Max { DpuOperation::MaxPool } else { DpuOperation::AveragePool };
            return window(w, true, operation);
        }
        OperatorKind::MatMul(p) => {
            let width = p.m.min(POINTS);
            let rows = p.m.div_ceil(width);
            let product = Mac::product(rows, width, p.n, p.k, bits(&operator.inputs[0]));
            Mac { out_bits: bits(&operator.outputs[0]), ..product }
        }
        _ => unreachable!("only these come here"),
    };
    let largest = weights.map_or(0, |tensor| tensor.bytes());
    let others = constants().map(|tensor| tensor.bytes()).sum::<u64>() - largest;
    mac.weight_bits = weights.map_or(second.unwrap_or(mac.bits), |tensor| tensor.element.bits());
    mac.bytes_per_filter = TABLE_BYTES + others.div_ceil(mac.filters.max(1));
    mac
}

/// A cut with where its result goes.
struct Choice {
    plan: Plan,
    resident: Option<(Layout, u64)>,
    at: Where,
    ns: f64,
}

impl Compiler<'_> {
    pub(super) fn mac(&mut self, operator: &Operator) -> Result<(), CompileError> {
        if let OperatorKind::MatMul(product) = &operator.kind
            && product.batch > 1
        {
            return self.products(operator, product);
        }
        let mac = work_of(self.graph, operator);
        let (activations, _) = self.operands(operator);
        // A second activation takes the way of weights, from DDR.
        for &second in activations.iter().skip(1) {
            for part in self.homes.parts(second) {
                self.spill(part);
            }
        }
        let image: Vec<u32> = activations.first().map(|id| self.homes.parts(*id)).unwrap_or_default();
        let output = self.homes.parts(operator.outputs[0])[0];
        let choice = loop {
            if let Some(choice) = self.choose(&mac, &image, output) {
                break choice;
            }
            let Some(part) = self.homes.evictable(&image) else {
                let least = mac.input_bytes(1, 16.min(mac.depth)) + mac.weight_bytes(16, 16.min(mac.depth));
                let message = format!("does not fit: the smallest step has {least} bytes, twice, in a tile");
                return Err(CompileError::new(message, "a machine with more CMX, or smaller images"));
            };
            self.spill(part);
        };
        self.steps(&mac, &image, &activations[1.min(activations.len())..], output, &choice);
        Ok(())
    }

    fn choose(&mut self, mac: &Mac, image: &[u32], output: u32) -> Option<Choice> {
        let port = self.spec.dma.bytes_per_cycle as f64 * self.spec.cmx_mhz / 1e3;
        let bytes: u64 = image.iter().map(|&part| self.homes.home(part).bytes).sum();
        let resident: u64 =
            image.iter().map(|&part| self.homes.home(part)).filter(|h| h.resident.is_some()).map(|h| h.bytes).sum();
        let streamed_in = if image.is_empty() { 1.0 } else { 1.0 - resident as f64 / bytes.max(1) as f64 };
        let home = self.homes.home(output).clone();
        let read_later = self.homes.is_read_later(output);
        let mut best: Option<Choice> = None;
        for split in [Split::Rows, Split::Channels] {
            // All tiles need what each has a part of.
            let growth: u64 = match split {
                Split::Rows => 0,
                Split::Channels => self.sliced(image).map(|(_, bytes, here)| bytes - here).sum(),
            };
            for stays in [true, false] {
                if stays && (home.goes_to_ddr || !read_later) {
                    continue;
                }
                let tiles = u64::from(self.spec.tiles).min(mac.rows);
                let layout = match split {
                    Split::Rows if !home.wanted_whole => (Layout::Sliced, home.bytes.div_ceil(tiles)),
                    _ => (Layout::Whole, home.bytes),
                };
                let taken = growth + if stays { layout.1 } else { 0 };
                let Some(free) = self.homes.free().checked_sub(taken) else { continue };
                let at = Where { streamed_in, streams_out: !stays };
                let key = (mac.clone(), split, free, streamed_in.to_bits(), stays);
                let spec = self.spec;
                let Some(plan) = *self.plans.entry(key).or_insert_with(|| mac.plan(split, at, free, spec)) else {
                    continue;
                };
                let gathered = growth as f64 / port;
                let again = if !stays && read_later { home.bytes as f64 / port } else { 0.0 };
                let ns = plan.ns + gathered + again;
                if best.as_ref().is_none_or(|best| ns < best.ns) {
                    best = Some(Choice { plan, resident: stays.then_some(layout), at, ns });
                }
            }
        }
        best
    }

    /// Parts of which every tile has a piece: number, bytes of all, bytes in a tile.
    fn sliced<'s>(&'s self, parts: &'s [u32]) -> impl Iterator<Item = (u32, u64, u64)> + 's {
        parts.iter().filter_map(|&part| {
            let home = self.homes.home(part);
            let resident = home.resident.as_ref().filter(|resident| resident.layout == Layout::Sliced)?;
            Some((part, home.bytes.max(resident.bytes_per_tile), resident.bytes_per_tile))
        })
    }

    /// Every tile gets what the others have.
    fn gather(&mut self, parts: &[u32]) {
        let sliced: Vec<(u32, u64, u64)> = self.sliced(parts).collect();
        for (part, bytes, slice) in sliced {
            let resident = self.homes.home(part).resident.clone().expect("it is sliced");
            let all = self.all_tiles(self.spec.tiles);
            let owners = bytes.div_ceil(slice).min(u64::from(self.spec.tiles)) as u32;
            let tasks = (0..owners).filter(|_| self.spec.tiles > 1).map(|tile| {
                let work = transfer(tile % self.spec.dma_ports, Place::Cmx(tile), all, slice);
                self.emit.add(work, &[&resident.ready, &self.computed[0]])
            });
            let mut ready = Group::of(tasks.collect());
            ready.join(&resident.ready);
            self.homes.home_mut(part).resident = Some(Resident { layout: Layout::Whole, bytes_per_tile: bytes, ready });
        }
    }

    /// A tensor goes to DDR and leaves the scratchpads.
    pub(super) fn spill(&mut self, part: u32) {
        let home = self.homes.home(part).clone();
        let Some(resident) = home.resident else { return };
        self.homes.home_mut(part).resident = None;
        if home.in_ddr.is_some() {
            return;
        }
        let tiles = self.spec.tiles;
        let each = match resident.layout {
            Layout::Sliced => resident.bytes_per_tile,
            Layout::Whole => home.bytes.div_ceil(u64::from(tiles)),
        };
        let (port, mut left, mut tasks) = (self.activation_port(), home.bytes, Vec::new());
        for tile in 0..tiles {
            let bytes = each.min(left);
            if bytes > 0 {
                tasks.push(self.emit.add(transfer(port, Place::Cmx(tile), Place::Ddr, bytes), &[&resident.ready]));
            }
            left -= bytes;
        }
        let stored = Group::of(tasks);
        // What is fetched into its place next has to wait.
        self.computed.iter_mut().for_each(|group| group.join(&stored));
        self.homes.home_mut(part).in_ddr = Some(stored);
    }

    /// A place in all of the first tiles.
    pub(super) fn all_tiles(&self, tiles: u32) -> Place {
        if tiles > 1 { Place::CmxBroadcast { first: 0, last: tiles - 1 } } else { Place::Cmx(0) }
    }

    fn steps(&mut self, mac: &Mac, image: &[u32], seconds: &[TensorId], output: u32, choice: &Choice) {
        let Choice { plan, resident, at, .. } = choice;
        if plan.split == Split::Channels {
            self.gather(image);
        }
        let here: Vec<Group> =
            image.iter().filter_map(|&part| Some(self.homes.home(part).resident.as_ref()?.ready.clone())).collect();
        let in_ddr = |parts: &[u32]| -> Vec<Group> {
            let homes = parts.iter().map(|&part| self.homes.home(part));
            homes.filter(|home| home.resident.is_none()).filter_map(|home| home.in_ddr.clone()).collect()
        };
        let (image_in_ddr, weights_in_ddr) =
            (in_ddr(image), in_ddr(&seconds.iter().flat_map(|id| self.homes.parts(*id)).collect::<Vec<_>>()));
        let tiles = plan.tiles;
        let share = |whole: u64, tile: u32, split: bool, each: u64| match split {
            true => whole.saturating_sub(u64::from(tile) * each).min(each),
            false => whole,
        };
        let rows_each =
            if plan.split == Split::Rows { mac.rows.div_ceil(u64::from(self.spec.tiles)) } else { mac.rows };
        let filters_each = match plan.split {
            Split::Rows => mac.filters,
            Split::Channels => {
                mac.filters.div_ceil(u64::from(self.spec.tiles)).next_multiple_of(POINTS).min(mac.filters)
            }
        };
        let rows_of = |tile: u32, step: u64| {
            let own = share(mac.rows, tile, plan.split == Split::Rows, rows_each);
            own.saturating_sub(step * plan.rows).min(plan.rows)
        };
        let filters_of = |tile: u32, step: u64| {
            let own = share(mac.filters, tile, plan.split == Split::Channels, filters_each);
            own.saturating_sub(step * plan.filters).min(plan.filters)
        };
        let out_tiles = match resident {
            Some((Layout::Whole, _)) => self.spec.tiles,
            _ => 1,
        };
        // Few activations leave their port to the weights of every other step.
        let moved = self.streamed_bytes(image) + if at.streams_out { self.homes.home(output).bytes } else { 0 };
        let shares_ports = moved < mac.stored_weight_bytes(mac.filters, mac.depth) / FEW;
        let activation_port = self.activation_port();
        let (row_steps, filter_steps) = (rows_each.div_ceil(plan.rows), filters_each.div_ceil(plan.filters));
        let depth_steps = mac.depth.div_ceil(plan.depth);
        let (outer, inner) = if plan.filters_outside { (filter_steps, row_steps) } else { (row_steps, filter_steps) };
        let (mut last_input, mut last_weights) = (None, None);
        let (mut input_loaded, mut weights_loaded) = (Group::default(), Group::default());
        let mut last_work: Vec<Option<u32>> = vec![None; tiles as usize];
        let mut stored = Group::default();
        for (a, b, d) in (0..outer).flat_map(|a| (0..inner).flat_map(move |b| (0..depth_steps).map(move |d| (a, b, d))))
        {
            let (row, filter) = if plan.filters_outside { (b, a) } else { (a, b) };
            let depth = (mac.depth - d * plan.depth).min(plan.depth);
            let channels = |tile: u32| if mac.by_channel { filters_of(tile, filter) } else { depth };
            let input_is = if mac.by_channel { (row, filter, 0) } else { (row, 0, d) };
            if at.streamed_in > 0.0 && last_input != Some(input_is) {
                let bytes = |tile: u32| {
                    let rows = rows_of(tile, row);
                    if rows == 0 {
                        0
                    } else {
                        (mac.input_bytes(rows, mac.channels(filters_of(tile, filter), depth)) as f64 * at.streamed_in)
                            .ceil() as u64
                    }
                };
                let mut after: Vec<&Group> = vec![&self.computed[0]];
                after.extend(&image_in_ddr);
                let together = plan.split == Split::Channels && !mac.by_channel;
                let tasks: Vec<u32> = match together {
                    true => vec![
                        self.emit.add(transfer(activation_port, Place::Ddr, self.all_tiles(tiles), bytes(0)), &after),
                    ],
                    false => (0..tiles)
                        .filter(|&tile| bytes(tile) > 0)
                        .map(|tile| {
                            self.emit.add(transfer(activation_port, Place::Ddr, Place::Cmx(tile), bytes(tile)), &after)
                        })
                        .collect(),
                };
                input_loaded = Group::of(tasks);
                last_input = Some(input_is);
            }
            if mac.weight_bits > 0 && last_weights != Some((filter, d)) {
                let bytes = |tile: u32| match filters_of(tile, filter) {
                    0 => 0,
                    filters => mac.stored_weight_bytes(filters, depth),
                };
                let mut after: Vec<&Group> = vec![&self.computed[0]];
                after.extend(&weights_in_ddr);
                let port = |tile: u32| if shares_ports { (tile + filter as u32) % self.spec.dma_ports } else { 0 };
                let weights = |port: u32, destination: Place, bytes: u64| Work::Dma {
                    port,
                    source: Place::Ddr,
                    destination,
                    bytes,
                    decompress: mac.expands_weights(),
                    permute_element_bytes: None,
                };
                let tasks: Vec<u32> = match plan.split {
                    Split::Rows => {
                        vec![self.emit.add(weights(port(0), self.all_tiles(tiles), bytes(0)), &after)]
                    }
                    Split::Channels => (0..tiles)
                        .filter(|&tile| bytes(tile) > 0)
                        .map(|tile| self.emit.add(weights(port(tile), Place::Cmx(tile), bytes(tile)), &after))
                        .collect(),
                };
                weights_loaded = Group::of(tasks);
                last_weights = Some((filter, d));
            }
            let mut after = vec![&input_loaded, &weights_loaded];
            after.extend(&here);
            if at.streams_out {
                after.push(&self.stored[0]);
            }
            let mut tasks = Vec::new();
            for tile in 0..tiles {
                let (rows, filters) = (rows_of(tile, row), filters_of(tile, filter));
                if rows == 0 || filters == 0 {
                    continue;
                }
                let mut variants = vec![mac.variant(rows, filters, channels(tile), out_tiles)];
                if d > 0 {
                    variants.push(sum(mac, rows, filters));
                }
                let task = self.emit.add(Work::Dpu { tile, variants }, &after);
                last_work[tile as usize] = Some(task);
                tasks.push(task);
            }
            let computed = self.step_done(tasks);
            if at.streams_out && d + 1 == depth_steps {
                let mut tasks = Vec::new();
                for tile in 0..tiles {
                    let bytes = mac.output_bytes(rows_of(tile, row), filters_of(tile, filter));
                    if bytes > 0 {
                        let work = transfer(activation_port, Place::Cmx(tile), Place::Ddr, bytes);
                        tasks.push(self.emit.add(work, &[&computed]));
                    }
                }
                stored = self.step_stored(tasks);
            }
        }
        let ready = Group::of(last_work.into_iter().flatten().collect());
        let home = self.homes.home_mut(output);
        match *resident {
            Some((layout, bytes_per_tile)) => home.resident = Some(Resident { layout, bytes_per_tile, ready }),
            None => home.in_ddr = Some(stored),
        }
    }
}

pub(super) fn transfer(port: u32, source: Place, destination: Place, bytes: u64) -> Work {
    Work::Dma { port, source, destination, bytes, decompress: false, permute_element_bytes: None }
}

/// The sum of a part of the depth with those before.
fn sum(mac: &Mac, rows: u64, filters: u64) -> Variant {
    let extent = [mac.width, rows, filters];
    let block = mac.variant(rows, filters, filters, 1);
    Variant { op: DpuOperation::Eltwise, kernel: [1, 1], stride: [1, 1], input: extent, ..block }
}

/// A product of rows by columns, as one block.
pub(super) fn product_variant(rows: u64, filters: u64, depth: u64, bits: u64, out_tiles: u32) -> Variant {
    let width = rows.min(POINTS);
    let rows = rows.div_ceil(width);
    Mac::product(rows, width, filters, depth, bits).variant(rows, filters, depth, out_tiles)
}

/// `elements` of two inputs, or of a sum that is added to.
pub(super) fn eltwise_variant(elements: u64, bits: u64, out_tiles: u32) -> Variant {
    let channels = elements.min(64);
    let points = elements.div_ceil(channels);
    let width = points.min(POINTS);
    let extent = [width, points.div_ceil(width), channels];
    let product = product_variant(1, 1, 1, bits, out_tiles);
    Variant { op: DpuOperation::Eltwise, input: extent, output: extent, ..product }
}
