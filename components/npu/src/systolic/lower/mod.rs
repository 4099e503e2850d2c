//! From operators to layers of tiles.
//!
//! * [`product`]: matrix products, and convolutions as products over the pixels and taps they really read.
//! * [`vector`]: what the vector unit does alone.
//! * [`onnxim`]: convolutions as ONNXim lays them out, traps included, to compare with it.
//!
//! Every operand has a place in memory; rows of a matrix are one after the other, images are height, width, channels.

pub mod onnxim;
pub mod product;
pub mod vector;

use std::collections::BTreeMap;

use workloads::tensor::{Graph, Operator, OperatorKind, TensorId};

use super::core::spec::{CoreSpec, Lowering};
use super::mapper::{NoTiling, Target};
use super::program::{Layer, Program, Step, TileHead};
use super::work::Product;

/// How the tiles of a layer are made.
#[derive(Clone, Debug)]
pub enum Plan {
    Product(product::ProductPlan),
    OnnximConvolution(onnxim::ConvolutionPlan),
    Vector(vector::VectorPlan),
    /// Nothing happens: a change of names or shapes, or what ONNXim gives away.
    Nothing,
}

impl Plan {
    /// The steps of a tile.
    pub fn steps(&self, tile: usize) -> Vec<Step> {
        match self {
            Plan::Product(plan) => plan.steps(tile as u64),
            Plan::OnnximConvolution(plan) => plan.steps(tile as u64),
            Plan::Vector(plan) => plan.steps(tile as u64),
            Plan::Nothing => Vec::new(),
        }
    }

    fn tiles(&self, cores: u32) -> Vec<TileHead> {
        match self {
            Plan::Product(plan) => plan.tiles(cores),
            Plan::OnnximConvolution(plan) => plan.tiles(cores),
            Plan::Vector(plan) => plan.tiles(cores),
            Plan::Nothing => Vec::new(),
        }
    }

    /// Elements between array and scratchpad.
    pub fn sram(&self) -> super::report::SramCounts {
        match self {
            Plan::Product(plan) => plan.sram(),
            Plan::OnnximConvolution(plan) => plan.sram(),
            Plan::Vector(_) | Plan::Nothing => super::report::SramCounts::default(),
        }
    }
}

/// An operator that does not fit the machine.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("operator `{operator}`: {problem}")]
pub struct LowerError {
    pub operator: String,
    pub problem: NoTiling,
}

/// Where the tensors of a network lie. Each begins on a page of its own, so that no two share a granule of a channel.
pub struct Addresses {
    of: BTreeMap<TensorId, u64>,
    next: u64,
}

const PAGE_BYTES: u64 = 4096;

impl Addresses {
    /// The tensors of a network from `first` on.
    pub fn new(graph: &Graph, first: u64) -> Self {
        let mut addresses = Self { of: BTreeMap::new(), next: first };
        for (index, tensor) in graph.tensors.iter().enumerate() {
            let at = addresses.take(tensor.bytes());
            addresses.of.insert(TensorId(index as u32), at);
        }
        addresses
    }

    /// Room that no tensor has: for results that stay inside an operator, and for operands that the network does not list.
    pub fn take(&mut self, bytes: u64) -> u64 {
        let at = self.next;
        self.next += bytes.max(1).next_multiple_of(PAGE_BYTES);
        at
    }

    /// First byte behind all.
    pub fn end(&self) -> u64 {
        self.next
    }

    /// The place of the `nth` of some tensors, or new room.
    pub fn operand(&mut self, ids: &[TensorId], nth: usize, bytes: u64) -> u64 {
        match ids.get(nth).and_then(|id| self.of.get(id)) {
            Some(&at) => at,
            None => self.take(bytes),
        }
    }
}

/// What lowering needs to know of the machine.
#[derive(Clone, Debug)]
pub struct Machine {
    pub core: CoreSpec,
    pub cores: u32,
    pub memory_bytes_per_cycle: f64,
    pub memory_latency_cycles: f64,
}

impl Machine {
    fn target(&self, cores: u32) -> Target {
        let core = &self.core;
        Target {
            cores: u64::from(cores),
            rows: u64::from(core.rows),
            columns: u64::from(core.columns),
            scratchpad_bytes: core.scratchpad_kib * 1024,
            accumulator_bytes: core.accumulator_kib * 1024,
            sum_bytes: core.sum_bytes,
            memory_bytes_per_cycle: self.memory_bytes_per_cycle,
            memory_latency_cycles: self.memory_latency_cycles,
        }
    }
}

/// How networks share the cores.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sharing {
    /// One network after the other.
    InTurn,
    /// Layers of all networks at once on all cores; tiles queue up at each core.
    TimeMultiplex,
    /// Each network has cores of its own.
    SpatialSplit,
}

/// Lays all networks out.
///
/// # Errors
/// An operator has no tiling that fits.
pub fn program(machine: &Machine, sharing: Sharing, graphs: &[Graph]) -> Result<Program, LowerError> {
    let mut program = Program::default();
    let mut first_address = 0;
    let networks = graphs.len() as u32;
    for (model, graph) in graphs.iter().enumerate() {
        let (first_core, cores) = match sharing {
            Sharing::SpatialSplit if networks <= machine.cores => {
                let first = model as u32 * machine.cores / networks;
                (first, (model as u32 + 1) * machine.cores / networks - first)
            }
            _ => (0, machine.cores),
        };
        let mut addresses = Addresses::new(graph, first_address);
        let mut stream = Vec::new();
        for (index, operator) in graph.operators.iter().enumerate() {
            let plans = plans(machine, cores, graph, operator, &mut addresses)
                .map_err(|problem| LowerError { operator: operator.name.clone(), problem })?;
            for (plan, note) in plans {
                let tiles = plan.tiles(cores);
                stream.push(program.layers.len() as u32);
                let rotation = stream.len() as u32;
                let operator = index;
                program.layers.push(Layer { model, operator, plan, tiles, first_core, cores, rotation, note });
            }
        }
        first_address = addresses.end();
        match (sharing, program.streams.first_mut()) {
            (Sharing::InTurn, Some(only)) => only.extend(stream),
            _ => program.streams.push(stream),
        }
    }
    Ok(program)
}

type Noted = (Plan, Option<String>);

fn plans(
    machine: &Machine,
    cores: u32,
    graph: &Graph,
    operator: &Operator,
    addresses: &mut Addresses,
) -> Result<Vec<Noted>, NoTiling> {
    let core = &machine.core;
    let bits = match core.element_bytes {
        Some(bytes) => bytes * 8,
        None => operator.inputs.first().map_or(8, |&id| graph.tensor(id).element.bits()),
    };
    let lower = product::Lower { machine, target: machine.target(cores), bits, addresses };
    let plain = |plan| Ok(vec![(plan, None)]);
    match (&operator.kind, core.lowering) {
        (OperatorKind::View, _) => plain(Plan::Nothing),
        (OperatorKind::Convolution(_) | OperatorKind::MatMul(_) | OperatorKind::Attention(_), _)
            if operator.macs() == 0 =>
        {
            Ok(vec![(Plan::Nothing, Some("an operand has no elements".into()))])
        }
        (OperatorKind::Convolution(c), Lowering::Onnxim) if c.groups == 1 => {
            lower.target.check(bits)?;
            let weights = c.out_channels * c.in_channels * c.kernel_height * c.kernel_width;
            let bytes = bits / 8;
            let places = onnxim::Places {
                input: addresses.operand(
                    &operator.inputs,
                    0,
                    c.batch * c.in_channels * c.in_height * c.in_width * bytes,
                ),
                weights: addresses.operand(&operator.inputs, 1, weights * bytes),
                output: addresses.operand(
                    &operator.outputs,
                    0,
                    c.batch * c.out_channels * c.out_height * c.out_width * bytes,
                ),
            };
            plain(Plan::OnnximConvolution(onnxim::ConvolutionPlan::new(core, c, places, bytes)))
        }
        (OperatorKind::Convolution(c), Lowering::Native) if c.is_depthwise() => {
            let note = "each channel by itself: on the vector unit, a multiply-accumulate a tap".to_owned();
            let plan = vector::VectorPlan::new(core, graph, operator, addresses, cores);
            Ok(vec![(Plan::Vector(plan), Some(note))])
        }
        (OperatorKind::Convolution(c), _) => plain(Plan::Product(lower.convolution(operator, c)?)),
        (OperatorKind::MatMul(p), _) => {
            let product = Product { batch: p.batch, m: p.m, n: p.n, k: p.k };
            plain(Plan::Product(lower.matrix(operator, product)?))
        }
        (OperatorKind::Attention(a), _) => {
            let batch = a.batch * a.heads;
            let scores = Product { batch, m: a.queries, n: a.keys, k: a.query_width };
            let values = Product { batch, m: a.queries, n: a.value_width, k: a.keys };
            let shared = a.heads / a.key_heads.max(1);
            let (first, second, at) = lower.attention(operator, scores, values, shared.max(1))?;
            let softmax = vector::VectorPlan::softmax(core, batch * a.queries, a.keys, bits, at, cores);
            Ok(vec![(Plan::Product(first), None), (Plan::Vector(softmax), None), (Plan::Product(second), None)])
        }
        (_, Lowering::Onnxim) => {
            Ok(vec![(Plan::Nothing, Some("takes no time in ONNXim, which does not know it".into()))])
        }
        _ => {
            let note = match &operator.kind {
                OperatorKind::Unknown { operator } => Some(format!("`{operator}` is not known: costed as movement")),
                _ => None,
            };
            let last = vector::VectorPlan::new(core, graph, operator, addresses, cores);
            let mut kernels: Vec<Noted> =
                last.kernels_before(core).into_iter().map(|kernel| (Plan::Vector(kernel), None)).collect();
            kernels.push((Plan::Vector(last), note));
            Ok(kernels)
        }
    }
}
