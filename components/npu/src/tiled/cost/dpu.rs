//! The MAC array.
//!
//! Two forms: *theoretical*, as published (intel/npu-nn-cost-model 8a2ae92, theoretical cost provider), and *fitted*:
//! mechanistic laws whose constants were fitted to cycle counts (suite `npu-dpu`).

use serde::Deserialize;
use sim_core::BuildError;
use workloads::tensor::{DpuOperation, Element, MpeMode, Variant};

use crate::tiled::spec::{DpuCost, DpuSpec, TiledSpec};

/// Constants of the fitted laws, operation by operation.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FittedLaws {
    pub conv: ConvLaw,
    pub depthwise: DepthwiseLaw,
    pub pool: PoolLaw,
    pub eltwise: EltwiseLaw,
}

/// Bound by multipliers, by reads of operands that are not used often enough, or by writes of the output.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConvLaw {
    pub fixed_cycles: f64,
    /// Cycles for one in which all multipliers work.
    pub factor: f64,
    /// Share that is saved of a row of taps that falls on padding for a whole group of four output rows.
    pub padding_saved: f64,
    /// Cycles of reads for a cycle of multiplying: of an activation that serves one group of 16 channels, and of a weight that
    /// serves one group of 16 points.
    pub activation_reads: f64,
    pub weight_reads: f64,
    /// Words of the scratchpad written a cycle, to one tile and to several.
    pub output_words_per_cycle: f64,
    pub broadcast_words_per_cycle: f64,
}

/// Bound by reads: every tap of every point is read.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DepthwiseLaw {
    pub fixed_cycles: f64,
    pub bytes_per_cycle: f64,
    /// What points of fewer than 32 bytes cost of one of 32 bytes.
    pub narrow_factor: f64,
    /// With a stride of 2 in width, where neighbours share less of what is read.
    pub stride_factor: f64,
    /// Windows 3 wide at stride 1 over at most 32 channels, which are read once for all their taps; 1 where the hardware does
    /// not know how to.
    pub small_kernel_factor: f64,
}

/// Bound by reads, as depthwise.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PoolLaw {
    pub fixed_cycles: f64,
    /// In mode 16x16, and in the others.
    pub bytes_per_cycle: f64,
    pub other_bytes_per_cycle: f64,
}

/// Bound by post-processing.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EltwiseLaw {
    pub fixed_cycles: f64,
    /// Of output.
    pub bytes_per_cycle: f64,
}

impl FittedLaws {
    /// # Errors
    /// The first constant that is none.
    pub fn check(&self) -> Result<(), BuildError> {
        let FittedLaws { conv, depthwise, pool, eltwise } = self;
        let values = [
            ("conv.fixed_cycles", conv.fixed_cycles, true),
            ("conv.factor", conv.factor, false),
            ("conv.padding_saved", conv.padding_saved, true),
            ("conv.activation_reads", conv.activation_reads, true),
            ("conv.weight_reads", conv.weight_reads, true),
            ("conv.output_words_per_cycle", conv.output_words_per_cycle, false),
            ("conv.broadcast_words_per_cycle", conv.broadcast_words_per_cycle, false),
            ("depthwise.fixed_cycles", depthwise.fixed_cycles, true),
            ("depthwise.bytes_per_cycle", depthwise.bytes_per_cycle, false),
            ("depthwise.narrow_factor", depthwise.narrow_factor, false),
            ("depthwise.stride_factor", depthwise.stride_factor, false),
            ("depthwise.small_kernel_factor", depthwise.small_kernel_factor, false),
            ("pool.fixed_cycles", pool.fixed_cycles, true),
            ("pool.bytes_per_cycle", pool.bytes_per_cycle, false),
            ("pool.other_bytes_per_cycle", pool.other_bytes_per_cycle, false),
            ("eltwise.fixed_cycles", eltwise.fixed_cycles, true),
            ("eltwise.bytes_per_cycle", eltwise.bytes_per_cycle, false),
        ];
        for (key, value, may_be_zero) in values {
            if !(value.is_finite() && (value > 0.0 || may_be_zero && value == 0.0)) {
                let key = format!("dpu.fitted.{key}");
                return Err(BuildError::key(key, format!("is {value}")).help("a number above 0"));
            }
        }
        match conv.padding_saved <= 1.0 {
            true => Ok(()),
            false => Err(BuildError::key("dpu.fitted.conv.padding_saved", "is more than 1").help("a share")),
        }
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

/// Width, height and channels of the output block that the array works on at once: the grid of an execution mode.
fn grid(mode: MpeMode) -> (u64, u64, u64) {
    match mode {
        MpeMode::M16x16 => (16, 16, 64),
        MpeMode::M8x16 => (16, 8, 128),
        MpeMode::M4x16 => (8, 8, 256),
    }
}

/// Whether arithmetic is on 16 bits.
pub fn is_wide(element: Element) -> bool {
    element.bits() > 8
}

/// Cycles of a workload by the form that the machine names.
pub fn cycles(variant: &Variant, spec: &TiledSpec) -> u64 {
    match spec.dpu.cost {
        DpuCost::Theoretical => theoretical_cycles(variant, spec),
        DpuCost::Fitted => fitted_cycles(variant, &spec.dpu),
    }
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
    // Every tap of every point is read, again for each block of channels; weights again for each block of points.
    let window = variant.kernel[0] * variant.kernel[1];
    let taps_read = |channels: u64| variant.element.bytes_of(width * height * channels * window);
    let reads = match variant.op {
        DpuOperation::Eltwise => variant.input_bytes(),
        DpuOperation::Conv => {
            let weights = variant.element.bytes_of(channels * variant.input[2] * window);
            taps_read(variant.input[2]) * channels.div_ceil(grid_k)
                + weights * height.div_ceil(grid_h) * width.div_ceil(grid_w)
        }
        _ => taps_read(channels),
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
pub fn fitted_cycles(variant: &Variant, dpu: &DpuSpec) -> u64 {
    let laws = &dpu.fitted;
    let cycles = match variant.op {
        DpuOperation::Conv => conv_cycles(variant, &laws.conv, dpu),
        DpuOperation::Depthwise | DpuOperation::AveragePool => depthwise_cycles(variant, &laws.depthwise),
        DpuOperation::MaxPool => pool_cycles(variant, &laws.pool),
        DpuOperation::Eltwise => eltwise_cycles(variant, &laws.eltwise),
    };
    cycles.ceil() as u64
}

/// Output points, in groups of 4 by 4.
fn grouped_points(variant: &Variant) -> f64 {
    (variant.output[0].next_multiple_of(4) * variant.output[1].next_multiple_of(4)) as f64
}

/// Cycles of a convolution; see [`ConvLaw`].
pub fn conv_cycles(variant: &Variant, law: &ConvLaw, dpu: &DpuSpec) -> f64 {
    let wide = if is_wide(variant.element) { dpu.f16_factor as f64 } else { 1.0 };
    let points = grouped_points(variant);
    let groups = variant.output[2].div_ceil(16);
    let taps = (variant.kernel[0] * variant.kernel[1]) as f64;
    let macs = points * (16 * groups * variant.input[2].max(16)) as f64 * taps;
    let saved = 1.0 - law.padding_saved * padded_share(variant);
    // Groups of 16 points, those above each other, and groups of 16 channels that the array holds at once. That the groups
    // of 8x16 and 4x16 lie side by side is what cycle counts say; the vendor's table of grids has two above each other.
    let (point_groups, high, channel_groups) = match variant.mode {
        MpeMode::M16x16 => (16, 4, 4),
        MpeMode::M8x16 => (8, 1, 8),
        MpeMode::M4x16 => (4, 1, 16),
    };
    let points_at_once = point_groups / high * variant.output[1].div_ceil(4).min(high);
    let channels_at_once = groups.min(channel_groups);
    let reads = law.activation_reads / channels_at_once as f64 + law.weight_reads / points_at_once as f64;
    let multiply = law.factor * macs / dpu.macs_per_cycle as f64 * wide * saved * reads.max(1.0);
    let words = points * variant.element.bytes_of(variant.output[2]).div_ceil(dpu.cmx_word_bytes) as f64;
    let rate = if variant.out_tiles > 1 { law.broadcast_words_per_cycle } else { law.output_words_per_cycle };
    law.fixed_cycles + multiply.max(words / rate)
}

/// Share of (group of four output rows, row of the window) in which all taps fall on padding.
fn padded_share(variant: &Variant) -> f64 {
    let (height, kernel, stride) = (variant.output[1], variant.kernel[1], variant.stride[1]);
    let (top, input) = (variant.padding[0], variant.input[1]);
    // Only windows that begin above the input or end below it can miss it; all rows of a group have to.
    let misses = |row: u64, tap: u64| {
        let at = row * stride + tap;
        at < top || at >= top + input
    };
    let groups = height.div_ceil(4);
    let of_group = |group: u64| {
        let rows = 4 * group..height.min(4 * group + 4);
        (0..kernel).filter(|tap| rows.clone().all(|row| misses(row, *tap))).count() as u64
    };
    // Groups in the middle miss nothing: those that begin on the input and end on it.
    let padded: u64 = (0..groups)
        .filter(|group| {
            let last = height.min(4 * group + 4) - 1;
            4 * group * stride < top || last * stride + kernel > top + input
        })
        .map(of_group)
        .sum();
    padded as f64 / (groups * kernel) as f64
}

/// Cycles of a depthwise convolution; see [`DepthwiseLaw`].
pub fn depthwise_cycles(variant: &Variant, law: &DepthwiseLaw) -> f64 {
    let bytes = variant.element.bytes_of(variant.output[2]);
    let bytes = if bytes < 32 { 32.0 * law.narrow_factor } else { bytes as f64 };
    let taps = (variant.kernel[0] * variant.kernel[1]) as f64;
    let mut reads = grouped_points(variant) * bytes * taps / law.bytes_per_cycle;
    if variant.stride[0] > 1 {
        reads *= law.stride_factor;
    }
    if variant.kernel[0] == 3 && variant.stride[0] == 1 && variant.output[2] <= 32 {
        reads *= law.small_kernel_factor;
    }
    law.fixed_cycles + reads
}

/// Cycles of a max pooling; see [`PoolLaw`].
pub fn pool_cycles(variant: &Variant, law: &PoolLaw) -> f64 {
    let rate = if variant.mode == MpeMode::M16x16 { law.bytes_per_cycle } else { law.other_bytes_per_cycle };
    let bytes = variant.element.bytes_of(variant.output[2]).max(32) as f64;
    let taps = (variant.kernel[0] * variant.kernel[1]) as f64;
    law.fixed_cycles + grouped_points(variant) * bytes * taps / rate
}

/// Cycles of an element-wise operation; see [`EltwiseLaw`].
pub fn eltwise_cycles(variant: &Variant, law: &EltwiseLaw) -> f64 {
    law.fixed_cycles
        + grouped_points(variant) * variant.element.bytes_of(variant.output[2]) as f64 / law.bytes_per_cycle
}
