//! What a core with streaming weights executes: stages that follow each other.
//!
//! ```text
//!   Graph ─▶ stages: [host in] ─▶ multiplications, block of results by block ─▶ activation ─▶ [host out]
//! ```
//!
//! The order of a product's multiplications: blocks of vectors, in each the columns of results, in each the reduction. A block
//! of weights is a tile of the whole array, padded, and comes from memory each time that it is used.

use workloads::tensor::{Graph, Operator, OperatorKind, Role, TensorId};

use super::spec::StreamingSpec;
use crate::systolic::report::SramCounts;
use crate::systolic::work::{Product, operand_bytes, products};

/// An operator, or a part of one.
#[derive(Clone, Debug)]
pub struct Stage {
    pub model: usize,
    /// Index in the graph.
    pub operator: usize,
    /// What the host sends before the stage begins and takes after its end.
    pub host_in_bytes: u64,
    pub host_out_bytes: u64,
    pub work: Work,
    pub note: Option<String>,
}

/// What a stage does.
#[derive(Clone, Copy, Debug)]
pub enum Work {
    Multiply(Streamed),
    /// In the activation unit alone, so many bytes in or out, whichever is more.
    Activate {
        bytes: u64,
    },
    Nothing,
}

/// A product cut to the array.
#[derive(Clone, Copy, Debug)]
pub struct Streamed {
    product: Product,
    rows: u64,
    columns: u64,
    /// Vectors of a block, which have a half of the accumulators.
    block: u64,
    /// Cycles of a vector: 1 for 8 × 8 bits, 2 for 8 × 16, 4 for 16 × 16.
    pub passes: u64,
    pub tile_bytes: u64,
    /// Where the weights lie; `shared` of the batch follow each other with the same ones.
    weights: u64,
    shared: u64,
    result_bytes: u64,
}

/// One multiplication: vectors through a block of weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pass {
    pub vectors: u64,
    /// Begins and ends the sums of its block of results.
    pub is_first: bool,
    pub is_last: bool,
    /// Bytes of one activated vector of the block.
    pub result_bytes: u64,
}

impl Streamed {
    fn counts(&self) -> (u64, u64, u64) {
        let Product { m, n, k, .. } = self.product;
        (m.div_ceil(self.block), n.div_ceil(self.columns), k.div_ceil(self.rows))
    }

    /// Multiplications, and as many tiles of weights.
    pub fn multiplications(&self) -> u64 {
        let (m, n, k) = self.counts();
        self.product.batch * m * n * k
    }

    /// The `index`th multiplication.
    pub fn pass(&self, index: u64) -> Pass {
        let (blocks, across, along) = self.counts();
        let (row, column, step) = (index / along / across % blocks, index / along % across, index % along);
        let left = |at: u64, size: u64, whole: u64| size.min(whole - at * size);
        Pass {
            vectors: left(row, self.block, self.product.m),
            is_first: step == 0,
            is_last: step + 1 == along,
            result_bytes: left(column, self.columns, self.product.n) * self.result_bytes,
        }
    }

    /// Where the weights of the `index`th multiplication lie.
    pub fn tile_address(&self, index: u64) -> u64 {
        let (blocks, across, along) = self.counts();
        let one = across * along;
        let weights = index / (one * blocks) / self.shared;
        self.weights + (weights * one + index % one) * self.tile_bytes
    }

    /// Elements between array and buffers.
    pub fn sram(&self) -> SramCounts {
        let Product { batch, m, n, k } = self.product;
        let (_, across, along) = self.counts();
        SramCounts {
            ifmap_reads: batch * m * k * across,
            filter_reads: self.multiplications() * self.rows * self.columns,
            ofmap_writes: batch * m * n * along,
        }
    }
}

/// Stages of all networks, one network after the other.
///
/// # Errors
/// Activations of an operator do not fit the unified buffer.
pub fn stages(spec: &StreamingSpec, graphs: &[Graph]) -> Result<Vec<Stage>, String> {
    let mut stages = Vec::new();
    let mut weights = 0;
    for (model, graph) in graphs.iter().enumerate() {
        for (index, operator) in graph.operators.iter().enumerate() {
            let first = stages.len();
            let mut lower = Lower { spec, graph, operator, weights: &mut weights };
            lower.check_buffer()?;
            for (work, note) in lower.works() {
                stages.push(Stage { model, operator: index, host_in_bytes: 0, host_out_bytes: 0, work, note });
            }
            let host = |ids: &[TensorId], role: Role| -> u64 {
                let tensors = ids.iter().map(|&id| graph.tensor(id)).filter(|tensor| tensor.role == role);
                tensors.map(|tensor| tensor.bytes()).sum()
            };
            stages[first].host_in_bytes = host(&operator.inputs, Role::Input);
            if let Some(last) = stages.last_mut() {
                last.host_out_bytes = host(&operator.outputs, Role::Output);
            }
        }
    }
    Ok(stages)
}

struct Lower<'a> {
    spec: &'a StreamingSpec,
    graph: &'a Graph,
    operator: &'a Operator,
    /// First byte that no weights have.
    weights: &'a mut u64,
}

type Noted = (Work, Option<String>);

impl Lower<'_> {
    fn check_buffer(&self) -> Result<(), String> {
        if self.operator.kind == OperatorKind::View {
            return Ok(());
        }
        let ids = self.operator.inputs.iter().chain(&self.operator.outputs);
        let tensors = ids.map(|&id| self.graph.tensor(id)).filter(|tensor| tensor.role != Role::Weight);
        let need: u64 = tensors.map(|tensor| tensor.bytes()).sum();
        let have = self.spec.unified_buffer_kib * 1024;
        if need > have {
            let name = &self.operator.name;
            return Err(format!(
                "operator `{name}` has {need} bytes of activations and results, the unified buffer {have}: \
                 a smaller batch, or a larger buffer"
            ));
        }
        Ok(())
    }

    fn works(&mut self) -> Vec<Noted> {
        let operator = self.operator;
        let mut products = products(operator).into_iter();
        let (read, written) = operand_bytes(self.graph, operator);
        let activate = |bytes| Work::Activate { bytes };
        match &operator.kind {
            OperatorKind::View => vec![(Work::Nothing, None)],
            OperatorKind::Convolution(_) | OperatorKind::MatMul(_) => {
                let product = products.next().expect("it is a product");
                let packed = self.packed(product);
                let packs = packed != product;
                let note = packs.then(|| "groups lie beside each other in the array, zeros between them".to_owned());
                vec![(self.streamed(packed, 1), note)]
            }
            OperatorKind::Attention(a) => {
                let shared = (a.heads / a.key_heads.max(1)).max(1);
                let note = "keys and values are taken for weights, which come from the weight memory".to_owned();
                let (scores, values) = (products.next().expect("scores"), products.next().expect("values"));
                let between = scores.batch * scores.m * scores.n * self.bits(&operator.inputs, 0) / 8;
                vec![
                    (self.streamed(scores, shared), Some(note)),
                    // Maximum, exponent and sum, division: the scores pass three times.
                    (activate(3 * between), None),
                    (self.streamed(values, shared), None),
                ]
            }
            OperatorKind::Unknown { operator } => {
                vec![(activate(read.max(written)), Some(format!("`{operator}` is not known: costed as movement")))]
            }
            // Of a table that is looked up in, only what is found moves: half of it in, half of it out.
            OperatorKind::Vector(v) => {
                vec![(activate(v.elements_moved.div_ceil(2) * self.bits(&operator.outputs, 0).div_ceil(8)), None)]
            }
            _ => vec![(activate(read.max(written)), None)],
        }
    }

    /// Groups of a convolution that fit the array together become one product.
    fn packed(&self, product: Product) -> Product {
        let Product { batch, m, n, k } = product;
        let fit = |edge: u32, size: u64| u64::from(edge) / size.max(1);
        let together = fit(self.spec.rows, k).min(fit(self.spec.columns, n)).min(batch);
        if together < 2 {
            return product;
        }
        Product { batch: batch.div_ceil(together), m, n: n * together, k: k * together }
    }

    fn bits(&self, ids: &[TensorId], nth: usize) -> u64 {
        ids.get(nth).map_or(8, |&id| self.graph.tensor(id).element.bits())
    }

    fn streamed(&mut self, product: Product, shared: u64) -> Work {
        let Product { batch, m, n, k } = product;
        if product.macs() == 0 {
            return Work::Nothing;
        }
        let (rows, columns) = (u64::from(self.spec.rows), u64::from(self.spec.columns));
        let operator = self.operator;
        let activation_bytes = self.bits(&operator.inputs, 0).div_ceil(8);
        let weight_bytes = self.bits(&operator.inputs, 1).div_ceil(8);
        // Blocks alike, so that the weights of each are used as long as those of another.
        let half = self.spec.accumulator_entries() / 2;
        let block = m.div_ceil(m.div_ceil(half));
        let tile_bytes = rows * columns * weight_bytes;
        let streamed = Streamed {
            product,
            rows,
            columns,
            block,
            passes: activation_bytes * weight_bytes,
            tile_bytes,
            weights: *self.weights,
            shared,
            result_bytes: self.bits(&operator.outputs, 0).div_ceil(8),
        };
        *self.weights += batch.div_ceil(shared) * n.div_ceil(columns) * k.div_ceil(rows) * tile_bytes;
        Work::Multiply(streamed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn streamed(m: u64, n: u64, k: u64, block: u64) -> Streamed {
        let product = Product { batch: 2, m, n, k };
        Streamed {
            product,
            rows: 256,
            columns: 256,
            block,
            passes: 1,
            tile_bytes: 65536,
            weights: 1 << 20,
            shared: 2,
            result_bytes: 1,
        }
    }

    #[test]
    fn the_reduction_is_the_inner_loop() {
        let product = streamed(300, 300, 600, 200);
        // Two of the batch, 2 blocks of vectors, 2 columns, 3 steps.
        assert_eq!(product.multiplications(), 24);
        let passes: Vec<Pass> = (0..6).map(|index| product.pass(index)).collect();
        assert!(passes.iter().all(|pass| pass.vectors == 200));
        assert_eq!(
            passes.iter().map(|pass| pass.is_first).collect::<Vec<_>>(),
            [true, false, false, true, false, false]
        );
        assert_eq!((passes[2].is_last, passes[2].result_bytes, passes[5].result_bytes), (true, 256, 44));
        assert_eq!(product.pass(6).vectors, 100, "the second block");
    }

    #[test]
    fn blocks_of_vectors_and_a_shared_batch_read_the_same_weights() {
        let product = streamed(300, 300, 600, 200);
        assert_eq!(product.tile_address(0), 1 << 20);
        assert_eq!(product.tile_address(5), (1 << 20) + 5 * 65536);
        assert_eq!(product.tile_address(6), product.tile_address(0));
        assert_eq!(product.tile_address(12), product.tile_address(0));
    }
}
