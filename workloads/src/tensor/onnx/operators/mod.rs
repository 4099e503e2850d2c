//! Operators: what a node makes, its shape, and what of it is known before the model runs. A file a family.

mod elementwise;
mod moves;
mod products;
mod reductions;
mod windows;

use super::attributes::{Node, Value};
use super::error::OnnxError;
use crate::tensor::{OperatorKind, Vector};

/// What a node makes.
pub struct Made {
    pub kind: OperatorKind,
    pub outputs: Vec<Value>,
    /// Inputs that hold data, where not all do: shapes and axes are no data.
    pub reads: Option<Vec<usize>>,
}

/// Why a node makes nothing.
pub enum Refusal {
    /// The operator is not known.
    Unknown,
    /// It is, and the node is wrong or asks for what cannot be.
    Wrong(OnnxError),
}

impl From<OnnxError> for Refusal {
    fn from(error: OnnxError) -> Self {
        Self::Wrong(error)
    }
}

type Outcome = Result<Made, Refusal>;

impl Made {
    fn one(kind: OperatorKind, output: Value) -> Outcome {
        Ok(Self { kind, outputs: vec![output], reads: None })
    }

    /// Moves data without computing: what it reads and what it writes, in elements.
    fn moved(function: &str, elements_moved: u64, output: Value, reads: &[usize]) -> Outcome {
        let kind = OperatorKind::Vector(Vector { function: function.to_string(), elements_moved });
        Ok(Self { kind, outputs: vec![output], reads: Some(reads.to_vec()) })
    }
}

/// What a node of the default domain or of the known extensions makes.
pub fn made(node: &Node) -> Result<Made, Refusal> {
    match node.operator() {
        "Conv" | "FusedConv" | "ConvInteger" | "QLinearConv" => windows::convolution(node),
        "ConvTranspose" => windows::transposed_convolution(node),
        "MaxPool" | "AveragePool" | "LpPool" | "QLinearAveragePool" => windows::pool(node),
        "GlobalMaxPool" | "GlobalAveragePool" | "GlobalLpPool" | "QLinearGlobalAveragePool" => {
            windows::global_pool(node)
        }
        "MatMul" | "MatMulInteger" | "QLinearMatMul" | "FusedMatMul" | "MatMulIntegerToFloat" => products::matmul(node),
        "Gemm" | "QGemm" => products::gemm(node),
        "MatMulNBits" => products::matmul_of_few_bits(node),
        "Einsum" => products::einsum(node),
        "LSTM" | "GRU" | "RNN" => products::recurrent(node),
        "Attention" if node.proto.domain().is_empty() => products::attention(node),
        "MultiHeadAttention" | "GroupQueryAttention" => products::attention(node),
        "Softmax" | "LogSoftmax" | "Hardmax" => reductions::softmax(node),
        "LayerNormalization"
        | "RMSNormalization"
        | "SimplifiedLayerNormalization"
        | "SkipLayerNormalization"
        | "SkipSimplifiedLayerNormalization"
        | "InstanceNormalization"
        | "GroupNormalization"
        | "LpNormalization"
        | "MeanVarianceNormalization"
        | "LRN" => reductions::normalization(node),
        "ReduceSum" | "ReduceMean" | "ReduceMax" | "ReduceMin" | "ReduceProd" | "ReduceL1" | "ReduceL2"
        | "ReduceLogSum" | "ReduceLogSumExp" | "ReduceSumSquare" => reductions::reduce(node),
        "ArgMax" | "ArgMin" => reductions::argument(node),
        "TopK" => reductions::top_k(node),
        "CumSum" => reductions::cumulative_sum(node),
        operator => match elementwise::function(operator) {
            Some(function) => elementwise::made(node, function),
            None => moves::made(node),
        },
    }
}
