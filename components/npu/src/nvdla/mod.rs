//! NVDLA (NVIDIA's open accelerator): `kind = "npu.nvdla"`.
//!
//! ```text
//!   bus ─▶ convolution buffer ─▶ multipliers ─▶ accumulators ─▶ post-processor ─▶ bus
//!   bus ───────────────────────────────────────────────────────▶ post-processor, pooling ─▶ bus
//! ```
//!
//! Models: the convolution core by stripes and groups of kernels (`convolution`), the post-processor as a pipeline with a fill and a
//! rate, operators one after the other as its driver starts them. Bytes are those on the bus.
//! Leaves out: Winograd, compressed weights, batches, the second memory port, layers that overlap, requests of the bus one by one.
//! Numbers: from the machine file. Sources: nvdla.org, Hardware Architectural Specification and Unit Description; nvdla/hw, `spec/defs`.
//! Start reading at [`convolution::convolution`]; canonical tests: there, and the suite `npu-rtl`.

pub mod convolution;
pub mod spec;

use sim_core::{Activity, BuildError, Component, Cx, Cycle, Site, StatsNode};
use workloads::tensor::{Convolution, Eltwise, Graph, Operator, OperatorKind, Role, Tensor, TensorId};

use self::convolution::{Cost, convolution};
use self::spec::NvdlaSpec;
use crate::systolic::folded::Networks;
use crate::systolic::report::{Bound, LayerResult, SramCounts};
use crate::systolic::sequence::LayerSequence;
use crate::systolic::work::{Product, kind_name, products};

/// The component.
pub struct Nvdla {
    layers: LayerSequence,
}

sim_core::saved!(Nvdla { parts: layers });

impl Component for Nvdla {
    const KIND: &'static str = "npu.nvdla";
    const DESCRIPTION: &'static str = "NVDLA: convolution core by stripes, and its post-processor";
    type Spec = NvdlaSpec;

    fn build(spec: NvdlaSpec, site: &mut Site<'_>) -> Result<Self, BuildError> {
        spec.check().map_err(|(key, problem)| BuildError::key(key, problem))?;
        if site.index() > 0 {
            return Err(BuildError::key("count", "a network is not shared among several").help("count = 1"));
        }
        let networks =
            site.resource::<Networks>().ok_or_else(|| BuildError::part("NVDLA needs a network as its workload"))?;
        let layers = layers(&spec, &networks.0).map_err(BuildError::part)?;
        site.foreground(1);
        Ok(Self { layers: LayerSequence::new(layers) })
    }

    fn tick(&mut self, cx: &mut Cx<'_>) -> Activity {
        self.layers.tick(cx)
    }

    fn report(&self, _at: Cycle, out: &mut StatsNode) {
        let sum = |of: fn(&LayerResult) -> u64| self.layers.done().iter().map(of).sum::<u64>();
        out.counter("layers", self.layers.done().len() as u64, "layers");
        out.counter("macs", sum(|layer| layer.macs), "multiply-accumulates");
        out.counter("core_busy", sum(|layer| layer.array_busy_cycles), "cycles");
        out.counter("post_busy", sum(|layer| layer.vector_busy_cycles), "cycles");
        out.counter("read_bytes", sum(|layer| layer.dram_read_bytes), "bytes");
        out.counter("written_bytes", sum(|layer| layer.dram_write_bytes), "bytes");
    }
}

impl Nvdla {
    /// All layers, in order.
    pub fn layers(&self) -> &[LayerResult] {
        self.layers.all()
    }
}

fn layers(spec: &NvdlaSpec, graphs: &[Graph]) -> Result<Vec<LayerResult>, String> {
    let mut layers = Vec::new();
    let mut start_cycle = 0;
    for (model, graph) in graphs.iter().enumerate() {
        for (index, operator) in graph.operators.iter().enumerate() {
            let (cost, note) =
                cost(spec, graph, operator).map_err(|problem| format!("operator `{}`: {problem}", operator.name))?;
            let cycles = cost.cycles;
            let share = |busy: f64| busy / cycles.max(1) as f64;
            let bus = (cost.read_bytes as f64 * spec.cycles_per_read_beat).max(cost.written_bytes as f64);
            let busy = [cost.core_busy as f64, cost.post_busy as f64, bus / spec.bus_bytes as f64];
            let multipliers = spec.atomic_channels * spec.atomic_kernels;
            layers.push(LayerResult {
                model,
                operator: index,
                name: operator.name.clone(),
                kind: kind_name(&operator.kind).to_owned(),
                macs: operator.macs(),
                start_cycle,
                end_cycle: start_cycle + cycles,
                cycles,
                bound: if cycles > 0 { Bound::of(busy.map(share)) } else { Bound::Nothing },
                utilisation: operator.macs() as f64 / (cycles.max(1) * multipliers) as f64,
                array_busy_cycles: cost.core_busy,
                vector_busy_cycles: cost.post_busy,
                sram: SramCounts::default(),
                dram_read_bytes: cost.read_bytes,
                dram_write_bytes: cost.written_bytes,
                tiles: cost.strips,
                note,
            });
            start_cycle += cycles;
        }
    }
    Ok(layers)
}

type Noted = (Cost, Option<String>);

fn cost(spec: &NvdlaSpec, graph: &Graph, operator: &Operator) -> Result<Noted, String> {
    let bits = operator.inputs.iter().map(|&id| graph.tensor(id).element.bits()).max().unwrap_or(8);
    let wide = (bits > 8).then(|| format!("operands of {bits} bits are taken as 8, which is what it computes with"));
    let (cost, note) = match &operator.kind {
        OperatorKind::View => return Ok((Cost::default(), None)),
        OperatorKind::Convolution(c) if operator.macs() > 0 => (convolution(spec, c)?, None),
        OperatorKind::MatMul(_) | OperatorKind::Attention(_) if operator.macs() > 0 => {
            let mut cost = Cost::default();
            for product in products(operator) {
                cost += convolution(spec, &pointwise(product))?;
            }
            let is_attention = matches!(operator.kind, OperatorKind::Attention(_));
            let note = is_attention.then(|| "two products; what is between them takes no time here".to_owned());
            (cost, note)
        }
        OperatorKind::Pool(_) => {
            let note = "pooling at its specified rate, which no RTL was compared with".to_owned();
            (passed(spec, graph, operator, spec.pool_elements_per_cycle), Some(note))
        }
        OperatorKind::Eltwise(e) => match (needs_table(graph, operator, e), spec.table_elements_per_cycle) {
            (false, _) => (passed(spec, graph, operator, spec.elements_per_cycle), None),
            (true, Some(rate)) => (passed(spec, graph, operator, rate), None),
            (true, None) => {
                let note = "this configuration has no unit for it: costed as movement".to_owned();
                (passed(spec, graph, operator, spec.elements_per_cycle), Some(note))
            }
        },
        // Of a table that is looked up in, only what is found moves: half of it in, half of it out.
        OperatorKind::Vector(v) => {
            let each = v.elements_moved.div_ceil(2);
            (
                moved(spec, [each, each], each, spec.elements_per_cycle),
                Some("no unit for it: costed as movement".to_owned()),
            )
        }
        _ => {
            let note = "no unit for it: costed as movement".to_owned();
            (passed(spec, graph, operator, spec.elements_per_cycle), Some(note))
        }
    };
    Ok((cost, note.or(wide)))
}

/// A product of matrices as a convolution of 1 × 1: the rows are pixels.
fn pointwise(product: Product) -> Convolution {
    let Product { batch, m, n, k } = product;
    Convolution {
        batch,
        in_channels: k,
        // A pixel a line, so that it can be cut.
        in_height: m,
        in_width: 1,
        out_channels: n,
        out_height: m,
        out_width: 1,
        kernel_height: 1,
        kernel_width: 1,
        stride_height: 1,
        stride_width: 1,
        dilation_height: 1,
        dilation_width: 1,
        pad_top: 0,
        pad_left: 0,
        pad_bottom: 0,
        pad_right: 0,
        groups: 1,
    }
}

/// Whether a function is one of unit Y: a second tensor, or what is looked up in a table.
fn needs_table(graph: &Graph, operator: &Operator, eltwise: &Eltwise) -> bool {
    const X: [&str; 8] = ["add", "sub", "mul", "relu", "prelu", "clip", "min", "max"];
    let tensors = operator.inputs.iter().filter(|&&id| graph.tensor(id).role != Role::Weight).count();
    tensors > 1 || !X.contains(&eltwise.function.as_str()) && eltwise.function != "copy"
}

/// From memory to memory through the post-processor or the pooling unit.
fn passed(spec: &NvdlaSpec, graph: &Graph, operator: &Operator, rate: u64) -> Cost {
    let padded = |id: &TensorId| padded_elements(graph.tensor(*id), spec.memory_atom_bytes);
    let inputs: Vec<u64> = operator.inputs.iter().map(padded).collect();
    let written: u64 = operator.outputs.iter().map(padded).sum();
    // Two operands come beside each other.
    let elements = inputs.iter().copied().max().unwrap_or(0).max(written);
    moved(spec, [inputs.iter().sum(), written], elements, rate)
}

/// Bytes in and out, and the elements of the longest of the streams.
fn moved(spec: &NvdlaSpec, [read_bytes, written_bytes]: [u64; 2], elements: u64, rate: u64) -> Cost {
    let busy = elements.div_ceil(rate);
    Cost { cycles: spec.fill_cycles + busy, read_bytes, written_bytes, core_busy: 0, post_busy: busy, strips: 1 }
}

/// Elements with the channels of each pixel padded to whole atoms; channels are the second of four dimensions, else the last.
fn padded_elements(tensor: &Tensor, atom: u64) -> u64 {
    let channels = match tensor.shape[..] {
        [_, channels, _, _] => channels,
        [.., last] => last,
        [] => 1,
    };
    tensor.elements().checked_div(channels).map_or(0, |pixels| pixels * channels.next_multiple_of(atom))
}
