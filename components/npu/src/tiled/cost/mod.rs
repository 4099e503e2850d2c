//! What a task costs alone on its engine.
//!
//! * [`dpu`]: the MAC array, in the published theoretical form and by fitted laws.
//! * [`dma`]: transfers, in the legacy and the newer form.
//! * [`shave`]: kernels of the vector DSPs, linear and piecewise.
//!
//! A cost is a *latency* in which nothing is moved and a *body* that moves bytes and can be slowed down.

pub mod dma;
pub mod dpu;
pub mod shave;

use super::spec::{ClockName, TiledSpec};
use workloads::tensor::{Task, Work};

/// A stretch of time: cycles of a clock, or time that no clock changes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Stretch {
    /// At nominal frequency.
    pub picoseconds: u64,
    /// Whose frequency it scales with; none for what no clock of the NPU paces.
    pub clock: Option<ClockName>,
}

impl Stretch {
    pub const NOTHING: Stretch = Stretch { picoseconds: 0, clock: None };

    /// Of cycles at `mhz`.
    pub fn cycles(cycles: f64, mhz: f64, clock: Option<ClockName>) -> Stretch {
        Stretch { picoseconds: (cycles * 1e6 / mhz).round() as u64, clock }
    }

    /// Of nanoseconds.
    pub fn nanoseconds(ns: f64) -> Stretch {
        Stretch { picoseconds: (ns * 1e3).round() as u64, clock: None }
    }
}

/// What a task costs alone.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cost {
    pub latency: Stretch,
    pub body: Stretch,
    /// Bytes of scratchpads and memory that the body moves.
    pub bytes: u64,
}

/// There is no cost function for what a task does.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct UnknownCost {
    pub message: String,
    pub help: String,
}

/// The cost of a task on a machine.
///
/// # Errors
/// No cost function knows the task, it states no cost, and the machine does not say what to take it for.
pub fn cost(task: &Task, spec: &TiledSpec) -> Result<Cost, UnknownCost> {
    let (mhz, clock) = match task.work {
        Work::Dpu { .. } => (spec.dpu_mhz, Some(ClockName::Dpu)),
        Work::Dma { .. } | Work::Shave { .. } | Work::M2i => (spec.cmx_mhz, Some(ClockName::Cmx)),
        Work::Cpu => (spec.cpu_mhz, None),
    };
    let stated = |cycles: u64, bytes| Cost {
        latency: Stretch::NOTHING,
        body: Stretch::cycles(cycles as f64, mhz, clock),
        bytes,
    };
    if let Some(cycles) = task.cycles {
        return Ok(stated(cycles, moved_bytes(&task.work)));
    }
    let computed = match &task.work {
        Work::Dpu { variants, .. } => {
            let cycles: Vec<u64> = variants.iter().map(|variant| dpu::cycles(variant, spec)).collect();
            Ok(stated(dpu::makespan(&cycles, spec.dpus_per_tile), moved_bytes(&task.work)))
        }
        Work::Dma { source, destination, bytes, decompress, permute_element_bytes, .. } => {
            let transfer = dma::Transfer {
                source: *source,
                destination: *destination,
                bytes: *bytes,
                decompress: *decompress,
                permute_element_bytes: *permute_element_bytes,
            };
            Ok(dma::cost(&transfer, spec))
        }
        Work::Shave { kernel, element, elements, .. } => shave::cost(kernel, *element, *elements, spec)
            .map(|body| Cost { body, ..stated(0, moved_bytes(&task.work)) }),
        Work::M2i | Work::Cpu => Err(UnknownCost {
            message: format!("there is no cost function for `{}`", task.work.engine()),
            help: "state the cost with `cycles`".to_owned(),
        }),
    };
    match computed {
        Err(_) if spec.accept_unknown_costs => Ok(stated(spec.unknown_cost_cycles, moved_bytes(&task.work))),
        computed => computed,
    }
}

/// Bytes that a task moves in scratchpads and memory.
fn moved_bytes(work: &Work) -> u64 {
    match work {
        Work::Dpu { variants, .. } => {
            variants.iter().map(|v| v.input_bytes() + v.weight_bytes() + v.output_bytes()).sum()
        }
        Work::Dma { bytes, .. } => *bytes,
        Work::Shave { element, elements, .. } => 2 * element.bytes_of(*elements),
        Work::M2i | Work::Cpu => 0,
    }
}
