//! What a run says of each layer.

use serde::{Deserialize, Serialize};
use workloads::tensor::Operator;

use super::work::kind_name;

/// What held a layer up for most of its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Bound {
    /// The systolic array.
    Array,
    /// The vector unit.
    Vector,
    /// Bytes from and to memory.
    Memory,
    /// None of them is busy for half of the time: latency, fill and drain, too few tiles for the cores.
    Latency,
    /// It takes no time: nothing is computed or moved.
    Nothing,
}

impl Bound {
    /// What is busy for the largest share of a layer's time, of array, vector unit and memory in this order; latency if none is
    /// for half of it.
    pub fn of(shares: [f64; 3]) -> Self {
        let named = shares.into_iter().zip([Bound::Array, Bound::Vector, Bound::Memory]);
        match named.max_by(|a, b| a.0.total_cmp(&b.0)) {
            Some((share, bound)) if share >= 0.5 => bound,
            _ => Bound::Latency,
        }
    }

    /// As shown in tables.
    pub fn name(self) -> &'static str {
        match self {
            Bound::Array => "array",
            Bound::Vector => "vector",
            Bound::Memory => "memory",
            Bound::Latency => "latency",
            Bound::Nothing => "nothing",
        }
    }
}

/// Elements that pass between the array and its buffers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SramCounts {
    /// Activations read.
    pub ifmap_reads: u64,
    /// Weights read.
    pub filter_reads: u64,
    /// Results and partial sums written.
    pub ofmap_writes: u64,
}

impl std::ops::AddAssign for SramCounts {
    fn add_assign(&mut self, other: Self) {
        self.ifmap_reads += other.ifmap_reads;
        self.filter_reads += other.filter_reads;
        self.ofmap_writes += other.ofmap_writes;
    }
}

/// One operator of one model, as it ran. Cycles are of the cores' clock.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LayerResult {
    /// Which of the models that share the machine.
    pub model: usize,
    /// Index in the operators of its graph.
    pub operator: usize,
    pub name: String,
    /// `convolution`, `matmul`, `eltwise`, ….
    pub kind: String,
    /// Multiply-accumulates.
    pub macs: u64,
    /// First cycle in which a core may work on it.
    pub start_cycle: u64,
    /// Its last store was handed to memory and its last result is there.
    pub end_cycle: u64,
    /// Its share of the makespan: of one model, these sum to the cycles of the run.
    pub cycles: u64,
    pub bound: Bound,
    /// Multiply-accumulates ÷ (cycles × multipliers of all arrays), 0 to 1.
    pub utilisation: f64,
    /// Core-cycles in which an array works, over all cores.
    pub array_busy_cycles: u64,
    /// Core-cycles in which a vector unit works, over all cores.
    pub vector_busy_cycles: u64,
    pub sram: SramCounts,
    pub dram_read_bytes: u64,
    pub dram_write_bytes: u64,
    /// Pieces that the mapper cut it into.
    pub tiles: u64,
    /// What the reader should know: not understood, not modelled, costed as movement.
    pub note: Option<String>,
}

impl LayerResult {
    /// Operator number `index` of a model begins in a cycle: nothing is counted yet.
    pub fn begun(model: usize, index: usize, operator: &Operator, start_cycle: u64) -> Self {
        Self {
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
        }
    }
}
