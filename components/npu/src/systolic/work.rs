//! Operators as what an array and a vector unit do.

use serde::{Deserialize, Serialize};
use workloads::tensor::{Graph, Operator, OperatorKind};

/// `batch` products of an m × k by a k × n matrix, with the operands' true sizes in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Product {
    pub batch: u64,
    /// Rows of activations: output pixels of a convolution.
    pub m: u64,
    /// Columns: filters.
    pub n: u64,
    /// Reduction: taps times channels.
    pub k: u64,
}

impl Product {
    /// Multiply-accumulates.
    pub fn macs(self) -> u64 {
        self.batch * self.m * self.n * self.k
    }
}

/// The matrix products of an operator; none for what runs on no array. A grouped convolution is a batch of its groups.
pub fn products(operator: &Operator) -> Vec<Product> {
    match &operator.kind {
        OperatorKind::Convolution(c) => vec![Product {
            batch: c.groups,
            m: c.batch * c.out_height * c.out_width,
            n: c.out_channels / c.groups.max(1),
            k: c.in_channels / c.groups.max(1) * c.kernel_height * c.kernel_width,
        }],
        OperatorKind::MatMul(p) => vec![Product { batch: p.batch, m: p.m, n: p.n, k: p.k }],
        OperatorKind::Attention(a) => {
            let batch = a.batch * a.heads;
            vec![
                Product { batch, m: a.queries, n: a.keys, k: a.query_width },
                Product { batch, m: a.queries, n: a.value_width, k: a.keys },
            ]
        }
        _ => Vec::new(),
    }
}

/// Name of the kind, for tables.
pub fn kind_name(kind: &OperatorKind) -> &'static str {
    match kind {
        OperatorKind::Convolution(c) if c.is_depthwise() => "depthwise",
        OperatorKind::Convolution(_) => "convolution",
        OperatorKind::MatMul(_) => "matmul",
        OperatorKind::Pool(_) => "pool",
        OperatorKind::Eltwise(_) => "eltwise",
        OperatorKind::Reduction(_) => "reduction",
        OperatorKind::Vector(_) => "vector",
        OperatorKind::Attention(_) => "attention",
        OperatorKind::Unknown { .. } => "unknown",
        OperatorKind::View => "view",
    }
}

/// Bytes of all inputs and of all outputs of an operator.
pub fn operand_bytes(graph: &Graph, operator: &Operator) -> (u64, u64) {
    let sum = |ids: &[workloads::tensor::TensorId]| ids.iter().map(|&id| graph.tensor(id).bytes()).sum();
    (sum(&operator.inputs), sum(&operator.outputs))
}
