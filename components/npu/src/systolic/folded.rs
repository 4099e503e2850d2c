//! An array whose layers are events of the length that the closed form gives: `kind = "npu.folded_array"`.
//!
//! ```text
//!   graphs ─▶ products ─▶ [closed form] ─▶ one event a layer ─▶ report
//! ```
//!
//! Models: what SCALE-Sim models, the array and its three double-buffered operand ports, in nanoseconds a layer.
//! Leaves out: what SCALE-Sim leaves out: vector units, several arrays, banks of memory. Operators without a matrix product
//! take no time here, and each says so in its note. The machine of events is [`core`](super).
//! Numbers: from the machine file.
//! Start reading at [`FoldedArray::build`]; canonical tests: the suite `npu-scalesim`.

use serde::Deserialize;
use sim_core::{Activity, BuildError, Component, Cx, Cycle, Site, StatsNode};
use workloads::tensor::{Graph, OperatorKind};

use super::closed::{Buffers, Dataflow, Edges, Folds};
use super::report::{Bound, LayerResult, SramCounts};
use super::sequence::LayerSequence;
use super::work::{kind_name, products};

/// The networks that a machine runs, which its builder hands to the components.
#[derive(Clone, Debug, Default)]
pub struct Networks(pub Vec<Graph>);

/// Parameters.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FoldedArraySpec {
    pub rows: u32,
    pub columns: u32,
    pub dataflow: Dataflow,
    /// Elements a cycle that each operand port moves; not given: no limit.
    #[serde(default)]
    pub elements_per_cycle: Option<f64>,
    /// Buffers, half of each for what is being prefetched.
    pub ifmap_kib: u64,
    pub filter_kib: u64,
    pub ofmap_kib: u64,
    pub element_bytes: u64,
}

/// The component.
pub struct FoldedArray {
    layers: LayerSequence,
}

sim_core::saved!(FoldedArray { parts: layers });

impl Component for FoldedArray {
    const KIND: &'static str = "npu.folded_array";
    const DESCRIPTION: &'static str = "systolic array by the closed forms of SCALE-Sim: a layer is one event";
    type Spec = FoldedArraySpec;

    fn build(spec: FoldedArraySpec, site: &mut Site<'_>) -> Result<Self, BuildError> {
        spec.check()?;
        let networks = site
            .resource::<Networks>()
            .ok_or_else(|| BuildError::part("a systolic array needs a network as its workload"))?;
        let layers = spec.layers(&networks);
        site.foreground(1);
        Ok(Self { layers: LayerSequence::new(layers) })
    }

    fn tick(&mut self, cx: &mut Cx<'_>) -> Activity {
        self.layers.tick(cx)
    }

    fn report(&self, _at: Cycle, out: &mut StatsNode) {
        let done = self.layers.done();
        let mut sram = SramCounts::default();
        done.iter().for_each(|layer| sram += layer.sram);
        out.counter("layers", done.len() as u64, "layers");
        out.counter("macs", done.iter().map(|layer| layer.macs).sum(), "multiply-accumulates");
        out.counter("ifmap_reads", sram.ifmap_reads, "elements");
        out.counter("filter_reads", sram.filter_reads, "elements");
        out.counter("ofmap_writes", sram.ofmap_writes, "elements");
    }
}

impl FoldedArray {
    /// All layers, in order.
    pub fn layers(&self) -> &[LayerResult] {
        self.layers.all()
    }
}

/// Sizes above these are typing errors, and would overflow products of three of them.
const LARGEST_EDGE: u32 = 1 << 20;
const LARGEST_BUFFER_KIB: u64 = 1 << 32;

impl FoldedArraySpec {
    fn check(&self) -> Result<(), BuildError> {
        for (key, edge) in [("rows", self.rows), ("columns", self.columns)] {
            if !(1..=LARGEST_EDGE).contains(&edge) {
                return Err(BuildError::key(key, format!("an array edge of {edge}")).help("from 1 to 1048576"));
            }
        }
        for (key, kib) in
            [("ifmap_kib", self.ifmap_kib), ("filter_kib", self.filter_kib), ("ofmap_kib", self.ofmap_kib)]
        {
            if !(1..=LARGEST_BUFFER_KIB).contains(&kib) {
                return Err(BuildError::key(key, format!("a buffer of {kib} KiB")).help("at least 1"));
            }
        }
        if !(1..=16).contains(&self.element_bytes) {
            return Err(BuildError::key("element_bytes", "should be from 1 to 16"));
        }
        if self.elements_per_cycle.is_some_and(|rate| !(1e-6..=1e12).contains(&rate)) {
            return Err(BuildError::key("elements_per_cycle", "should be above 0").help("leave it out for no limit"));
        }
        Ok(())
    }

    fn layers(&self, networks: &Networks) -> Vec<LayerResult> {
        let mut start_cycle = 0;
        let mut layers = Vec::new();
        for (model, graph) in networks.0.iter().enumerate() {
            for (index, operator) in graph.operators.iter().enumerate() {
                let mut layer = LayerResult {
                    model,
                    operator: index,
                    name: operator.name.clone(),
                    kind: kind_name(&operator.kind).to_owned(),
                    macs: operator.macs(),
                    start_cycle,
                    end_cycle: start_cycle,
                    cycles: 0,
                    bound: Bound::Nothing,
                    utilisation: 0.0,
                    array_busy_cycles: 0,
                    vector_busy_cycles: 0,
                    sram: SramCounts::default(),
                    dram_read_bytes: 0,
                    dram_write_bytes: 0,
                    tiles: 0,
                    note: None,
                };
                self.time(&mut layer, &products(operator));
                if layer.cycles == 0 && operator.kind != OperatorKind::View {
                    layer.note = Some("no matrix product: this machine has no unit for it and takes no time".into());
                }
                start_cycle = layer.end_cycle;
                layers.push(layer);
            }
        }
        layers
    }

    fn time(&self, layer: &mut LayerResult, products: &[super::work::Product]) {
        let array = Edges { rows: u64::from(self.rows), columns: u64::from(self.columns) };
        let elements = |kib: u64| kib * 1024 / self.element_bytes;
        let buffers = Buffers {
            ifmap_elements: elements(self.ifmap_kib),
            filter_elements: elements(self.filter_kib),
            ofmap_elements: elements(self.ofmap_kib),
        };
        let mut compute = 0;
        for &product in products.iter().filter(|product| product.macs() > 0) {
            let folds = Folds::new(self.dataflow, array, product);
            let one = match self.elements_per_cycle {
                Some(rate) => folds.limited_cycles(buffers, rate),
                None => folds.compute_cycles(),
            };
            let (sram, traffic) = (folds.sram(), folds.traffic(buffers));
            layer.cycles += product.batch * one;
            compute += product.batch * folds.compute_cycles();
            layer.tiles += product.batch * folds.row_folds() * folds.column_folds();
            layer.sram += SramCounts {
                ifmap_reads: product.batch * sram.ifmap_reads,
                filter_reads: product.batch * sram.filter_reads,
                ofmap_writes: product.batch * sram.ofmap_writes,
            };
            layer.dram_read_bytes += product.batch * (traffic.ifmap_reads + traffic.filter_reads) * self.element_bytes;
            layer.dram_write_bytes += product.batch * traffic.ofmap_writes * self.element_bytes;
        }
        layer.end_cycle = layer.start_cycle + layer.cycles;
        layer.array_busy_cycles = compute;
        if layer.cycles > 0 {
            layer.utilisation = layer.macs as f64 / (layer.cycles * array.rows * array.columns) as f64;
            layer.bound = if 2 * compute >= layer.cycles { Bound::Array } else { Bound::Memory };
        }
    }
}
