//! The graph that front ends make and NPUs take.

use serde::{Deserialize, Serialize};

/// The type of one element of a tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Element {
    F64,
    F32,
    F16,
    Bf16,
    I64,
    I32,
    I16,
    U16,
    I8,
    U8,
    I4,
    U4,
    Bool,
}

impl Element {
    /// Bits of one element in memory.
    pub fn bits(self) -> u64 {
        match self {
            Element::F64 | Element::I64 => 64,
            Element::F32 | Element::I32 => 32,
            Element::F16 | Element::Bf16 | Element::I16 | Element::U16 => 16,
            Element::I8 | Element::U8 | Element::Bool => 8,
            Element::I4 | Element::U4 => 4,
        }
    }

    /// Bytes of so many elements in memory, the last partial byte counted whole.
    pub fn bytes_of(self, elements: u64) -> u64 {
        (elements * self.bits()).div_ceil(8)
    }
}

/// What a tensor is to the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Comes from outside with every inference.
    Input,
    /// Constant: weights, biases, tables.
    Weight,
    /// Made by one operator, read by others. A cache of keys and values that an inference only reads is an [`Role::Input`].
    Activation,
    /// Leaves the network.
    Output,
}

/// An index into [`Graph::tensors`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TensorId(pub u32);

/// One tensor; the outermost dimension comes first, images are N, C, H, W.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Tensor {
    pub name: String,
    pub shape: Vec<u64>,
    pub element: Element,
    pub role: Role,
}

impl Tensor {
    /// The product of the dimensions; 1 for a scalar.
    pub fn elements(&self) -> u64 {
        self.shape.iter().product()
    }

    /// Bytes in memory, the last partial byte counted whole.
    pub fn bytes(&self) -> u64 {
        self.element.bytes_of(self.elements())
    }
}

/// A two-dimensional convolution of `batch` images.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Convolution {
    pub batch: u64,
    pub in_channels: u64,
    pub in_height: u64,
    pub in_width: u64,
    pub out_channels: u64,
    pub out_height: u64,
    pub out_width: u64,
    pub kernel_height: u64,
    pub kernel_width: u64,
    pub stride_height: u64,
    pub stride_width: u64,
    pub dilation_height: u64,
    pub dilation_width: u64,
    pub pad_top: u64,
    pub pad_left: u64,
    pub pad_bottom: u64,
    pub pad_right: u64,
    /// `in_channels` for a depthwise convolution, 1 for a plain one.
    pub groups: u64,
}

impl Convolution {
    /// Multiply-accumulates, taps on the padding included.
    pub fn macs(&self) -> u64 {
        self.batch
            * self.out_channels
            * self.out_height
            * self.out_width
            * (self.in_channels / self.groups)
            * self.kernel_height
            * self.kernel_width
    }

    /// Every input channel has filters of its own and meets no other.
    pub fn is_depthwise(&self) -> bool {
        self.groups > 1 && self.groups == self.in_channels
    }
}

/// `batch` independent products of an `m × k` by a `k × n` matrix.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MatMul {
    pub batch: u64,
    pub m: u64,
    pub n: u64,
    pub k: u64,
}

impl MatMul {
    /// Multiply-accumulates.
    pub fn macs(&self) -> u64 {
        self.batch * self.m * self.n * self.k
    }
}

/// What a pooling window yields.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PoolKind {
    Max,
    Average,
}

/// A pooling; `window` has the geometry, with as many groups as channels.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pool {
    pub kind: PoolKind,
    pub window: Convolution,
}

/// One output element from one element of each input.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Eltwise {
    /// Lower-case name: `add`, `mul`, `relu`, `gelu`, `clip`, …
    pub function: String,
    /// Elements of the output.
    pub elements: u64,
}

/// `rows` independent reductions over `width` elements each that yield a tensor of the same shape or one value a row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reduction {
    /// Lower-case name: `softmax`, `layernorm`, `rmsnorm`, `lrn`, `reduce_mean`, …
    pub function: String,
    pub rows: u64,
    pub width: u64,
}

/// Anything else that a vector unit can do: moves, gathers, resizes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vector {
    /// Lower-case name: `transpose`, `concat`, `gather`, …
    pub function: String,
    /// Elements read plus elements written.
    pub elements_moved: u64,
}

impl Vector {
    /// Whether whole runs change their place, which a DMA engine does by itself; a transposition or a resize takes
    /// elements one by one.
    pub fn is_transfer(&self) -> bool {
        let transfers = ["copy", "load", "concat", "slice", "split", "gather", "expand", "tile", "pad", "store_cache"];
        transfers.contains(&self.function.as_str())
    }
}

/// Softmax(QKᵀ)·V of `batch · heads` independent heads, kept whole for machines that fuse it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attention {
    pub batch: u64,
    pub heads: u64,
    /// Heads of keys and values; fewer than `heads` under grouped queries.
    pub key_heads: u64,
    pub queries: u64,
    pub keys: u64,
    /// Width of one head's query and key.
    pub query_width: u64,
    /// Width of one head's value.
    pub value_width: u64,
}

/// What an operator computes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OperatorKind {
    Convolution(Convolution),
    MatMul(MatMul),
    Pool(Pool),
    Eltwise(Eltwise),
    Reduction(Reduction),
    Vector(Vector),
    Attention(Attention),
    /// The front end does not know it: it is costed as movement of its inputs and outputs, and listed.
    Unknown {
        operator: String,
    },
    /// Changes names or shapes only: no byte moves.
    View,
}

/// One operator.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Operator {
    pub name: String,
    pub kind: OperatorKind,
    pub inputs: Vec<TensorId>,
    pub outputs: Vec<TensorId>,
    /// Element-wise functions applied to the result before it is stored, in order.
    pub fused: Vec<String>,
}

impl Operator {
    /// Multiply-accumulates; 0 for what runs on no MAC array.
    pub fn macs(&self) -> u64 {
        match &self.kind {
            OperatorKind::Convolution(convolution) => convolution.macs(),
            OperatorKind::MatMul(product) => product.macs(),
            OperatorKind::Attention(attention) => {
                attention.batch
                    * attention.heads
                    * attention.queries
                    * attention.keys
                    * (attention.query_width + attention.value_width)
            }
            _ => 0,
        }
    }
}

/// A network. Operators stand in an order in which they can run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Graph {
    pub name: String,
    pub tensors: Vec<Tensor>,
    pub operators: Vec<Operator>,
}

impl Graph {
    /// The tensor of an id.
    ///
    /// # Panics
    /// When the id belongs to another graph.
    pub fn tensor(&self, id: TensorId) -> &Tensor {
        &self.tensors[id.0 as usize]
    }

    /// Multiply-accumulates of all operators.
    pub fn macs(&self) -> u64 {
        self.operators.iter().map(Operator::macs).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_count_a_last_partial_byte_whole() {
        let tensor = |shape: Vec<u64>, element| Tensor { name: "t".into(), shape, element, role: Role::Input };
        assert_eq!(tensor(vec![3, 3], Element::I4).bytes(), 5);
        assert_eq!(tensor(vec![2, 3], Element::F16).bytes(), 12);
        assert_eq!(tensor(vec![], Element::F32).bytes(), 4);
    }

    #[test]
    fn macs_of_the_first_layer_of_alexnet() {
        // Krizhevsky et al. 2012 with the 227-pixel input of SCALE-Sim's topology: 96 filters of 11 × 11 × 3, stride 4.
        let convolution = Convolution {
            batch: 1,
            in_channels: 3,
            in_height: 227,
            in_width: 227,
            out_channels: 96,
            out_height: 55,
            out_width: 55,
            kernel_height: 11,
            kernel_width: 11,
            stride_height: 4,
            stride_width: 4,
            dilation_height: 1,
            dilation_width: 1,
            pad_top: 0,
            pad_left: 0,
            pad_bottom: 0,
            pad_right: 0,
            groups: 1,
        };
        assert_eq!(convolution.macs(), 3025 * 96 * 363);
        assert!(!convolution.is_depthwise());
    }
}
