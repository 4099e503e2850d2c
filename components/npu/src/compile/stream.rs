//! What goes through the tiles element by element: sums on the MAC arrays, kernels on the DSPs, and plain moves.

use workloads::tensor::{Operator, OperatorKind, Place, Role, TensorId, Work};

use super::emit::Group;
use super::home::{Layout, Resident};
use super::kernels::passes;
use super::mac::{eltwise_variant, transfer};
use super::{CompileError, Compiler};

/// Who works on the elements.
enum Worker {
    /// The post-processing of the MAC arrays: sums and products of two tensors.
    Array,
    /// The DSPs, in passes by these kernels.
    Dsp(Vec<&'static str>),
    /// Nobody: the DMA engine moves them.
    Nobody,
}

/// Functions of two tensors that the MAC arrays' post-processing has.
const ON_ARRAYS: [&str; 3] = ["add", "sub", "mul"];

impl Compiler<'_> {
    fn worker(&self, operator: &Operator) -> Worker {
        let (activations, _) = self.operands(operator);
        let elements = |id: &TensorId| self.graph.tensor(*id).elements();
        match &operator.kind {
            OperatorKind::Vector(vector) if vector.is_transfer() => Worker::Nobody,
            OperatorKind::Eltwise(eltwise)
                if ON_ARRAYS.contains(&eltwise.function.as_str())
                    && activations.len() == 2
                    && activations.iter().all(|id| elements(id) == eltwise.elements) =>
            {
                Worker::Array
            }
            kind => Worker::Dsp(passes(kind, self.spec.shave.tables)),
        }
    }

    /// Elements that the operator works on: of its result, or of what it reduces.
    fn elements(&self, operator: &Operator) -> u64 {
        let sum = |ids: &[TensorId]| ids.iter().map(|id| self.graph.tensor(*id).elements()).sum::<u64>();
        match &operator.kind {
            OperatorKind::Eltwise(eltwise) => eltwise.elements,
            OperatorKind::Reduction(reduction) => reduction.rows * reduction.width,
            OperatorKind::Vector(vector) => vector.elements_moved / 2,
            _ => (sum(&operator.inputs) + sum(&operator.outputs)) / 2,
        }
        .max(1)
    }

    pub(super) fn stream(&mut self, operator: &Operator) -> Result<(), CompileError> {
        let worker = self.worker(operator);
        let elements = self.elements(operator);
        let (activations, _) = self.operands(operator);
        let mut parts: Vec<u32> = activations.iter().flat_map(|id| self.homes.parts(*id)).collect();
        parts.sort_unstable();
        parts.dedup();
        let outputs: Vec<u32> = operator.outputs.iter().map(|id| self.homes.parts(*id)[0]).collect();
        let out_bytes: u64 = outputs.iter().map(|&part| self.homes.home(part).bytes).sum();
        let constant_bytes = self.constant_bytes(operator, out_bytes);
        let tiles = u64::from(self.spec.tiles);
        // A tile's share of the result stays if there is room for it, and for the operands of a step.
        let may_stay = |homes: &super::Homes| {
            outputs.iter().all(|&part| !homes.home(part).goes_to_ddr && homes.is_read_later(part))
        };
        let wanted_whole = outputs.iter().any(|&part| self.homes.home(part).wanted_whole);
        let layout = if matches!(worker, Worker::Array) && wanted_whole { Layout::Whole } else { Layout::Sliced };
        let stays_bytes = if layout == Layout::Whole { out_bytes } else { out_bytes.div_ceil(tiles) };
        let (stays, free) = loop {
            let free = self.homes.free();
            let streamed = self.streamed_bytes(&parts) + constant_bytes;
            // A sixteenth of a tile is enough for steps that are worth their fixed cost.
            let least = (2 * streamed.div_ceil(tiles)).min(self.spec.cmx_bytes() / 16);
            if may_stay(&self.homes) && free >= stays_bytes + least {
                break (true, free - stays_bytes);
            }
            if free >= self.spec.cmx_bytes() / 16 {
                break (false, free);
            }
            let Some(part) = self.homes.evictable(&parts) else { break (false, free) };
            self.spill(part);
        };
        let streamed = self.streamed_bytes(&parts) + constant_bytes;
        let leaving = if stays { 0 } else { out_bytes };
        let steps = (2 * (streamed + leaving)).div_ceil(tiles * free.max(1)).max(1);
        let here: Vec<Group> =
            parts.iter().filter_map(|&part| Some(self.homes.home(part).resident.as_ref()?.ready.clone())).collect();
        let in_ddr: Vec<Group> = parts
            .iter()
            .map(|&part| self.homes.home(part))
            .filter(|home| home.resident.is_none())
            .filter_map(|home| home.in_ddr.clone())
            .collect();
        let bits =
            operator.inputs.iter().chain(&operator.outputs).map(|id| self.graph.tensor(*id).element.bits()).min();
        let bits = bits.unwrap_or(16);
        let element =
            operator.outputs.first().map_or(workloads::tensor::Element::F16, |id| self.graph.tensor(*id).element);
        let port = self.activation_port();
        let out_tiles = if stays && layout == Layout::Whole { self.spec.tiles } else { 1 };
        let part_of = |whole: u64, step: u64, tile: u64| piece(whole, steps * tiles, step * tiles + tile);
        let (mut ready, mut stored) = (Group::default(), Group::default());
        for step in 0..steps {
            let mut loads = Vec::new();
            let mut after: Vec<&Group> = vec![&self.computed[0]];
            after.extend(&in_ddr);
            for tile in 0..tiles {
                let bytes = part_of(streamed, step, tile);
                if bytes > 0 {
                    loads.push(self.emit.add(transfer(port, Place::Ddr, Place::Cmx(tile as u32), bytes), &after));
                }
            }
            let loaded = Group::of(loads);
            let mut after = vec![&loaded];
            after.extend(&here);
            if !stays {
                after.push(&self.stored[0]);
            }
            let worked = match &worker {
                Worker::Nobody => loaded.clone(),
                Worker::Array => {
                    let mut tasks = Vec::new();
                    for tile in 0..tiles {
                        let count = part_of(elements, step, tile);
                        if count > 0 {
                            let variants = vec![eltwise_variant(count, bits, out_tiles)];
                            tasks.push(self.emit.add(Work::Dpu { tile: tile as u32, variants }, &after));
                        }
                    }
                    Group::of(tasks)
                }
                Worker::Dsp(passes) => {
                    // Tasks of two DSPs behind one queue overtake each other: steps follow by barriers.
                    let mut before = self.computed[1].clone();
                    for kernel in passes {
                        let mut tasks = Vec::new();
                        for tile in 0..tiles {
                            let count = part_of(elements, step, tile);
                            for dsp in 0..u64::from(self.spec.shaves_per_tile) {
                                let elements = piece(count, u64::from(self.spec.shaves_per_tile), dsp);
                                if elements > 0 {
                                    let work = Work::Shave {
                                        tile: tile as u32,
                                        kernel: kernel.to_string(),
                                        element,
                                        elements,
                                    };
                                    let waits: Vec<&Group> = after.iter().copied().chain([&before]).collect();
                                    tasks.push(self.emit.add(work, &waits));
                                }
                            }
                        }
                        before = Group::of(tasks);
                    }
                    before
                }
            };
            let mut done = worked.clone();
            if !stays {
                let mut tasks = Vec::new();
                for tile in 0..tiles {
                    let bytes = part_of(out_bytes, step, tile);
                    if bytes > 0 {
                        let mut after = vec![&worked];
                        after.extend(&here);
                        tasks.push(self.emit.add(transfer(port, Place::Cmx(tile as u32), Place::Ddr, bytes), &after));
                    }
                }
                stored = self.step_stored(tasks);
                if matches!(worker, Worker::Nobody) {
                    // What was moved in is there until it was moved out.
                    done = stored.clone();
                }
            }
            if !done.is_empty() {
                self.computed.swap(0, 1);
                self.computed[1] = done.clone();
            }
            ready = done;
        }
        if matches!(worker, Worker::Nobody) {
            here.iter().for_each(|group| ready.join(group));
        }
        for &part in &outputs {
            let home = self.homes.home_mut(part);
            let bytes_per_tile = if layout == Layout::Whole { home.bytes } else { home.bytes.div_ceil(tiles) };
            match stays {
                true => home.resident = Some(Resident { layout, bytes_per_tile, ready: ready.clone() }),
                false => home.in_ddr = Some(stored.clone()),
            }
        }
        Ok(())
    }

    /// Bytes of parts that come from DDR.
    pub(super) fn streamed_bytes(&self, parts: &[u32]) -> u64 {
        parts
            .iter()
            .map(|&part| self.homes.home(part))
            .filter(|home| home.resident.is_none())
            .map(|home| home.bytes)
            .sum()
    }

    /// Of constants all, of a table that is looked up in as much as is found there.
    fn constant_bytes(&self, operator: &Operator, out_bytes: u64) -> u64 {
        let constants = operator.inputs.iter().map(|id| self.graph.tensor(*id)).filter(|t| t.role == Role::Weight);
        let bytes: u64 = constants.map(|tensor| tensor.bytes()).sum();
        match &operator.kind {
            OperatorKind::Vector(vector) if vector.function == "gather" => bytes.min(out_bytes),
            _ => bytes,
        }
    }
}

/// The piece `index` of `whole` in `count` pieces that differ by one at most.
fn piece(whole: u64, count: u64, index: u64) -> u64 {
    whole / count + u64::from(index < whole % count)
}

#[cfg(test)]
mod tests {
    use super::piece;

    #[test]
    fn pieces_sum_to_the_whole() {
        assert_eq!((0..5).map(|index| piece(13, 5, index)).collect::<Vec<_>>(), [3, 3, 3, 2, 2]);
    }
}
