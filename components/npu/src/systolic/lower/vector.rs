//! What the vector unit does alone: operands in, one pass, results out, spread over the cores.

use workloads::tensor::{Graph, Operator, OperatorKind};

use super::Addresses;
use crate::systolic::core::spec::CoreSpec;
use crate::systolic::program::{Place, Region, Step, TileHead, VectorOp};
use crate::systolic::work::operand_bytes;

/// An operator cut into pieces of like size.
#[derive(Clone, Debug)]
pub struct VectorPlan {
    /// Start and bytes of each input.
    inputs: Vec<(u64, u64)>,
    output: (u64, u64),
    pieces: u64,
    /// Rows of a reduction and bytes of each; for all else one "row" is what a piece is counted in.
    rows: u64,
    kind: Kind,
    /// Element-wise operations on each vector, those fused behind included.
    operations: u32,
    /// Each further input is one operation more; weights and biases are not.
    merges: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Elementwise,
    LayerNorm,
    Softmax,
    Reduce,
    /// The DMA engine moves it; the vector unit has nothing to do.
    Transfer,
    /// A kernel whose operands and results stay on the chip and whose work is counted elsewhere: what is left of it is the
    /// time from its launch to its end.
    OnChip,
}

/// Element-wise operations that a function is made of, on a unit with addition, multiplication, exponential, division.
fn operations_of(function: &str) -> u32 {
    match function {
        "sigmoid" | "swish" | "silu" | "tanh" | "erf" => 3,
        "gelu" | "softplus" => 4,
        _ => 1,
    }
}

/// Fewest bytes of a piece: below, the latency of memory is all that is left.
const SMALLEST_PIECE_BYTES: u64 = 8 << 10;

impl VectorPlan {
    /// An operator without a matrix product.
    pub(super) fn new(
        core: &CoreSpec,
        graph: &Graph,
        operator: &Operator,
        addresses: &mut Addresses,
        cores: u32,
    ) -> Self {
        let (_, written) = operand_bytes(graph, operator);
        let inputs: Vec<(u64, u64)> = (0..operator.inputs.len())
            .map(|nth| {
                let bytes = graph.tensor(operator.inputs[nth]).bytes();
                (addresses.operand(&operator.inputs, nth, bytes), bytes)
            })
            .collect();
        let output = (addresses.operand(&operator.outputs, 0, written), written);
        let (kind, rows, operations) = match &operator.kind {
            OperatorKind::Reduction(r) => match r.function.as_str() {
                "softmax" | "logsoftmax" => (Kind::Softmax, r.rows, 1),
                "layernorm" | "rmsnorm" | "instancenorm" | "groupnorm" => (Kind::LayerNorm, r.rows, 1),
                "lrn" => (Kind::Elementwise, 1, 5),
                _ => (Kind::Reduce, r.rows, 1),
            },
            OperatorKind::Pool(p) => {
                (Kind::Elementwise, 1, (p.window.kernel_height * p.window.kernel_width).min(1 << 16) as u32)
            }
            OperatorKind::Convolution(c) => {
                (Kind::Elementwise, 1, (c.kernel_height * c.kernel_width).min(1 << 16) as u32)
            }
            OperatorKind::Eltwise(e) => (Kind::Elementwise, 1, operations_of(&e.function)),
            OperatorKind::Vector(v) if v.is_transfer() => (Kind::Transfer, 1, 0),
            _ => (Kind::Elementwise, 1, 1),
        };
        let fused: u32 = operator.fused.iter().map(|function| operations_of(function)).sum();
        let merges = matches!(operator.kind, OperatorKind::Eltwise(_));
        Self { merges, ..Self::cut(core, inputs, output, (kind, rows, operations + fused), cores) }
    }

    /// Softmax in place over rows of scores.
    pub(super) fn softmax(core: &CoreSpec, rows: u64, width: u64, bits: u64, at: u64, cores: u32) -> Self {
        let bytes = rows * width * bits / 8;
        Self::cut(core, vec![(at, bytes)], (at, bytes), (Kind::Softmax, rows, 1), cores)
    }

    /// The kernels of an operator before the last, which does the work: as many as are on the chip only.
    pub(super) fn kernels_before(&self, core: &CoreSpec) -> Vec<Self> {
        let before = match self.kind {
            Kind::LayerNorm => core.normalisation_kernels.saturating_sub(1),
            _ => 0,
        };
        let place = self.output.0;
        let kernel = Self {
            inputs: Vec::new(),
            output: (place, 0),
            pieces: 1,
            kind: Kind::OnChip,
            merges: false,
            ..self.clone()
        };
        vec![kernel; before as usize]
    }

    fn cut(
        core: &CoreSpec,
        inputs: Vec<(u64, u64)>,
        output: (u64, u64),
        (kind, rows, operations): (Kind, u64, u32),
        cores: u32,
    ) -> Self {
        let all: u64 = inputs.iter().map(|(_, bytes)| bytes).sum::<u64>() + output.1;
        // Operands and results of a piece lie in one half of the scratchpad; in half of it where pieces are to overlap well.
        let room = core.scratchpad_kib * 1024 / (2 * u64::from(core.vector_pieces.min(2)));
        let by_room = all.div_ceil(room.max(1));
        let by_cores = (all / SMALLEST_PIECE_BYTES).clamp(1, u64::from(cores) * u64::from(core.vector_pieces));
        let by_rows = matches!(kind, Kind::LayerNorm | Kind::Softmax | Kind::Reduce);
        let most = if by_rows { rows.max(1) } else { output.1.max(1) };
        let pieces = by_room.max(by_cores).min(most).max(1);
        Self { inputs, output, pieces, rows: rows.max(1), kind, operations, merges: false }
    }

    pub(super) fn tiles(&self, cores: u32) -> Vec<TileHead> {
        let head = |piece: u64| TileHead { core: (piece % u64::from(cores)) as u32, accumulates: false };
        (0..self.pieces).map(head).collect()
    }

    pub(super) fn steps(&self, piece: u64) -> Vec<Step> {
        let share = |bytes: u64| (bytes * piece / self.pieces, bytes * (piece + 1) / self.pieces);
        let mut steps = Vec::new();
        for &(base, bytes) in &self.inputs {
            let (from, to) = share(bytes);
            if to > from {
                let entry = 1 + steps.len() as u32;
                steps.push(Step::Load { region: Region::run(base + from, to - from), to: Place::Scratchpad(entry) });
            }
        }
        let loaded = steps.len() as u32;
        let (from, to) = share(self.output.1);
        let rows = ((self.rows * (piece + 1) / self.pieces) - self.rows * piece / self.pieces).max(1);
        let read: u64 =
            self.inputs.iter().map(|&(_, bytes)| share(bytes)).map(|(from, to)| to - from).max().unwrap_or(0);
        let busiest = read.max(to - from);
        let operations = match self.merges {
            true => self.operations * loaded.saturating_sub(1).max(1),
            false => self.operations,
        };
        let (op, bytes) = match self.kind {
            Kind::Elementwise => (VectorOp::Elementwise(operations), busiest),
            Kind::LayerNorm => (VectorOp::LayerNorm { rows: rows as u32 }, busiest / rows),
            Kind::Softmax => (VectorOp::Softmax { rows: rows as u32 }, busiest / rows),
            Kind::Reduce => (VectorOp::Reduce { rows: rows as u32 }, busiest / rows),
            Kind::Transfer => (VectorOp::Elementwise(operations), if operations > 0 { busiest } else { 0 }),
            Kind::OnChip => (VectorOp::Elementwise(0), 1),
        };
        // One step waits for each operand; the last one of them does the work.
        for entry in 1..=loaded.max(1) {
            let with = (entry <= loaded).then_some(entry);
            let is_last = entry == loaded.max(1);
            let (op, bytes) = if is_last { (op, bytes) } else { (VectorOp::Elementwise(0), 0) };
            steps.push(Step::Vector { op, bytes, on: Place::Scratchpad(0), with });
        }
        if to > from {
            let region = Region::run(self.output.0 + from, to - from);
            steps.push(Step::Store { region, from: Place::Scratchpad(0) });
        }
        steps
    }
}
