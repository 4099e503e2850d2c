//! The MAC array.
//!
//! Two forms: *theoretical*, as published (intel/npu-nn-cost-model 8a2ae92, theoretical cost provider), and *fitted*:
//! mechanistic laws whose constants were fitted to cycle counts (suite `npu-dpu`).

use serde::Deserialize;
use sim_core::BuildError;
use workloads::tensor::{DpuOperation, Element, MpeMode, Variant};

use super::UnknownCost;
use crate::tiled::spec::{DpuSpec, TiledSpec};

/// Constants of the fitted laws.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FittedLaws {
    pub depthwise_fixed_cycles: f64,
    /// Operand bytes read a cycle.
    pub depthwise_bytes_per_cycle: f64,
    pub conv_fixed_cycles: f64,
    /// Cycles for one in which all multipliers work.
    pub conv_factor: f64,
    pub conv_output_bytes_per_cycle: f64,
    /// Output bytes a cycle.
    pub eltwise_bytes_per_cycle: f64,
    /// Operand bytes a cycle, taps of the window counted.
    pub pool_bytes_per_cycle: f64,
}

impl FittedLaws {
    /// # Errors
    /// The first constant that is none.
    pub fn check(&self) -> Result<(), BuildError> {
        let values = [
            ("depthwise_fixed_cycles", self.depthwise_fixed_cycles, true),
            ("depthwise_bytes_per_cycle", self.depthwise_bytes_per_cycle, false),
            ("conv_fixed_cycles", self.conv_fixed_cycles, true),
            ("conv_factor", self.conv_factor, false),
            ("conv_output_bytes_per_cycle", self.conv_output_bytes_per_cycle, false),
            ("eltwise_bytes_per_cycle", self.eltwise_bytes_per_cycle, false),
            ("pool_bytes_per_cycle", self.pool_bytes_per_cycle, false),
        ];
        for (key, value, may_be_zero) in values {
            if !(value.is_finite() && (value > 0.0 || may_be_zero && value == 0.0)) {
                return Err(
                    BuildError::key(format!("dpu.fitted.{key}"), format!("is {value}")).help("a number above 0")
                );
            }
        }
        Ok(())
    }
}

/// Cycles until the last of the workloads is done, each given to the array that is free first.
pub fn makespan(cycles: &[u64], arrays: u32) -> u64 {
    let mut free = vec![0; arrays as usize];
    for cycles in cycles {
        let first = free.iter_mut().min_by_key(|free| **free).expect("a tile has an array");
        *first += cycles;
    }
    free.into_iter().max().unwrap_or(0)
}

/// Output points that the array works on at once (width times height) and channels of it: the grid of an execution mode.
fn grid(mode: MpeMode) -> (u64, u64, u64) {
    match mode {
        MpeMode::M16x16 => (4, 4, 64),
        MpeMode::M8x16 => (4, 2, 128),
        MpeMode::M4x16 => (2, 2, 256),
    }
}

/// Whether arithmetic is on 16 bits.
pub fn is_wide(element: Element) -> bool {
    element.bits() > 8
}

/// The published theoretical form, in DPU cycles.
pub fn theoretical_cycles(variant: &Variant, spec: &TiledSpec) -> u64 {
    let dpu = &spec.dpu;
    let [width, height, channels] = variant.output;
    let wide = if is_wide(variant.element) { dpu.f16_factor as f64 } else { 1.0 };
    let taps = inner_taps(variant) as f64;
    let points = (width * height * channels) as f64;
    let compute = match variant.op {
        DpuOperation::Conv => taps * (channels * variant.input[2].max(16)) as f64 / dpu.macs_per_cycle as f64,
        DpuOperation::Eltwise => points * if variant.out_tiles > 1 { 2.0 } else { 1.0 } / dpu.ppe_lanes as f64,
        _ => taps * channels as f64 / (dpu.macs_per_cycle as f64 / 8.0),
    } * wide;
    let (grid_w, grid_h, grid_k) = grid(variant.mode);
    let reads = match variant.op {
        DpuOperation::Eltwise => variant.input_bytes(),
        _ => {
            variant.input_bytes() * channels.div_ceil(grid_k)
                + variant.weight_bytes() * height.div_ceil(grid_h) * width.div_ceil(grid_w)
        }
    };
    let per_cycle = (dpu.cmx_word_bytes * dpu.cmx_read_ports) as f64;
    let memory = reads as f64 / per_cycle * spec.dpu_mhz / spec.cmx_mhz;
    compute.max(memory).ceil() as u64
}

/// Taps of the window over all output points of one channel that do not fall on padding.
fn inner_taps(variant: &Variant) -> u64 {
    let [top, _, left, _] = variant.padding;
    let along = |output: u64, input: u64, kernel: u64, stride: u64, before: u64| -> u64 {
        (0..output)
            .map(|at| {
                let first = at * stride;
                let (from, to) = (first.max(before), (first + kernel).min(before + input));
                to.saturating_sub(from)
            })
            .sum()
    };
    along(variant.output[0], variant.input[0], variant.kernel[0], variant.stride[0], left)
        * along(variant.output[1], variant.input[1], variant.kernel[1], variant.stride[1], top)
}

/// The fitted laws, in DPU cycles.
///
/// # Errors
/// There is no law for the operation.
pub fn fitted_cycles(variant: &Variant, dpu: &DpuSpec) -> Result<u64, UnknownCost> {
    let laws = &dpu.fitted;
    let [width, height, channels] = variant.output;
    let bytes = variant.element.bytes_of(1) as f64;
    let points = (width.next_multiple_of(4) * height.next_multiple_of(4)) as f64;
    let taps = (variant.kernel[0] * variant.kernel[1]) as f64;
    let cycles = match variant.op {
        DpuOperation::Depthwise | DpuOperation::AveragePool => {
            laws.depthwise_fixed_cycles
                + points * (channels as f64 * bytes).max(32.0) * taps / laws.depthwise_bytes_per_cycle
        }
        DpuOperation::Conv => {
            let wide = if is_wide(variant.element) { dpu.f16_factor as f64 } else { 1.0 };
            let filters = channels.next_multiple_of(16) as f64;
            let macs = points * filters * variant.input[2].max(16) as f64 * taps / dpu.macs_per_cycle as f64 * wide;
            let output = points * filters * bytes / laws.conv_output_bytes_per_cycle;
            laws.conv_fixed_cycles + laws.conv_factor * macs.max(output)
        }
        DpuOperation::MaxPool => {
            laws.depthwise_fixed_cycles
                + points * (channels as f64 * bytes).max(32.0) * taps / laws.pool_bytes_per_cycle
        }
        DpuOperation::Eltwise => {
            laws.depthwise_fixed_cycles + points * channels as f64 * bytes / laws.eltwise_bytes_per_cycle
        }
    };
    Ok(cycles.ceil() as u64)
}
