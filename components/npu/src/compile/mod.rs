//! Networks as task lists for a tile-based NPU: what a compiler does between a graph and the command queue.
//!
//! ```text
//!  Graph ─▶ home:  which tensors stay in the scratchpads, which go to DDR
//!        ─▶ plan:  how an operator is cut over tiles and time
//!        ─▶ steps: transfers in, work, transfers out ─▶ emit: queues, and barriers where an order is not implied
//! ```
//! Convolutions, matrix products, poolings and sums of two tensors go to the MAC arrays, attention to both, everything else
//! to the DSPs; an operator that is not known is moved through them. Weights come on DMA port 0, activations go and come on
//! port 1; where activations stay in the scratchpads or are few, weights use both. Floating point is computed with 16 bits; narrower
//! weights are expanded by the DMA engine.
//!
//! What it does not do: overlap an operator with the next but for its first transfers; fuse operators vertically; sparsity.
//! Parts of a concatenation are written to their places and cost nothing more. A convolution of groups has the arithmetic
//! of its groups, without the filling up of small ones. Rows that two tiles need are written to both.

mod attention;
mod emit;
mod home;
mod kernels;
mod mac;
mod plan;
mod stream;

use rustc_hash::FxHashMap;
use workloads::tensor::{Element, Graph, Operator, OperatorKind, Role, TaskList, TensorId};

use crate::tiled::TiledSpec;
use emit::{Emitter, Group};
use home::Homes;
use plan::{Mac, Plan, Split};

/// A network that a machine cannot be given.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct CompileError {
    pub message: String,
    pub help: String,
}

impl CompileError {
    fn new(message: impl Into<String>, help: impl Into<String>) -> Self {
        Self { message: message.into(), help: help.into() }
    }
}

/// A task list with what it was made from.
#[derive(Debug)]
pub struct Compiled {
    pub list: TaskList,
    /// Operator of each task, as index into the graph's operators. Operators without a task move and compute nothing.
    pub operators: Vec<u32>,
}

/// The graph in the number formats that the machine computes with: floating point of 16 bits.
#[must_use]
pub fn in_machine_formats(mut graph: Graph) -> Graph {
    for tensor in &mut graph.tensors {
        if matches!(tensor.element, Element::F32 | Element::F64 | Element::Bf16) {
            tensor.element = Element::F16;
        }
    }
    graph
}

/// Makes the tasks of one inference.
///
/// # Errors
/// An operator does not fit into the scratchpads however it is cut, or the list is refused.
pub fn compile(graph: &Graph, spec: &TiledSpec) -> Result<Compiled, CompileError> {
    let mut compiler = Compiler {
        graph,
        spec,
        emit: Emitter::new(spec.tiles, spec.dma_ports, spec.physical_barriers),
        homes: Homes::new(graph, spec),
        computed: [Group::default(), Group::default()],
        stored: [Group::default(), Group::default()],
        plans: FxHashMap::default(),
    };
    for (index, operator) in graph.operators.iter().enumerate() {
        compiler.emit.begin(index, &operator.name);
        compiler.homes.begin(index);
        compiler.operator(operator).map_err(|error| CompileError {
            message: format!("operator `{}`: {}", operator.name, error.message),
            ..error
        })?;
    }
    let (tasks, operators) = compiler.emit.finish();
    let list = TaskList::new(&graph.name, tasks)
        .map_err(|error| CompileError::new(error.to_string(), "a fault of the compiler in orrery"))?;
    Ok(Compiled { list, operators })
}

struct Compiler<'a> {
    graph: &'a Graph,
    spec: &'a TiledSpec,
    emit: Emitter,
    homes: Homes,
    /// Work of the last step and of the one before; buffers are used again in turn.
    computed: [Group; 2],
    /// Transfers out of the last two steps that had some.
    stored: [Group; 2],
    /// Cuts by what they depend on: the work, free bytes, where the operands lie.
    plans: FxHashMap<(Mac, Split, u64, u64, bool), Option<Plan>>,
}

impl Compiler<'_> {
    fn operator(&mut self, operator: &Operator) -> Result<(), CompileError> {
        match &operator.kind {
            OperatorKind::View => Ok(()),
            // Parts are written to their places.
            OperatorKind::Vector(vector) if vector.function == "concat" => Ok(()),
            OperatorKind::Convolution(_) | OperatorKind::MatMul(_) | OperatorKind::Pool(_) => self.mac(operator),
            OperatorKind::Attention(attention) => self.attention(operator, attention),
            _ => self.stream(operator),
        }
    }

    /// The work of a step was given out.
    fn step_done(&mut self, tasks: Vec<u32>) -> Group {
        let group = Group::of(tasks);
        self.computed.swap(0, 1);
        self.computed[1] = group.clone();
        group
    }

    /// Transfers out of a step were given out.
    fn step_stored(&mut self, tasks: Vec<u32>) -> Group {
        let group = Group::of(tasks);
        self.stored.swap(0, 1);
        self.stored[1] = group.clone();
        group
    }

    /// Activations that an operator reads, and its constants.
    fn operands(&self, operator: &Operator) -> (Vec<TensorId>, Vec<TensorId>) {
        operator.inputs.iter().partition(|id| self.graph.tensor(**id).role != Role::Weight)
    }

    /// The DMA port of activations.
    fn activation_port(&self) -> u32 {
        1.min(self.spec.dma_ports - 1)
    }
}
