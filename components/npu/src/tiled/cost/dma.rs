//! Transfers of the DMA engine.
//!
//! Source: intel/npu-nn-cost-model 8a2ae92, DMA cost providers. The *legacy* form counts DPU cycles: the slower latency of
//! the two ends, then the slower rate. The *newer* form counts CMX cycles: whole bytes a cycle, DDR's latency in time.

use super::{Cost, Stretch};
use crate::tiled::spec::{ClockName, DmaForm, TiledSpec};
use workloads::tensor::Place;

/// DDR's rate in a cost; none where channels say how fast it is.
fn ddr_mb_per_s(spec: &TiledSpec) -> f64 {
    if spec.memory.channels.is_some() { f64::INFINITY } else { spec.memory.ddr_mb_per_s }
}

/// What is transferred.
#[derive(Debug, Clone, Copy)]
pub struct Transfer {
    pub source: Place,
    pub destination: Place,
    pub bytes: u64,
    pub decompress: bool,
    pub permute_element_bytes: Option<u32>,
}

impl Transfer {
    fn uses_ddr(&self) -> bool {
        self.source == Place::Ddr || self.destination == Place::Ddr
    }
}

/// Cost of a transfer alone.
pub fn cost(transfer: &Transfer, spec: &TiledSpec) -> Cost {
    let (latency, body) = match spec.dma.form {
        DmaForm::Legacy => legacy(transfer, spec),
        DmaForm::Newer => newer(transfer, spec),
    };
    Cost { latency, body, bytes: transfer.bytes }
}

/// Cycles of latency and of transfer at the DPU clock, in the legacy form.
pub fn legacy_cycles(transfer: &Transfer, spec: &TiledSpec) -> (u64, u64) {
    let latency = if transfer.uses_ddr() {
        spec.dma.ddr_latency_ns * spec.dpu_mhz / 1e3
    } else {
        spec.dma.cmx_latency_cycles as f64 * spec.dpu_mhz / spec.cmx_mhz
    };
    let bytes = transfer.bytes as f64;
    // Decompressing, twice as many bytes are written as are read.
    let width = spec.dma.bytes_per_cycle as f64 * if transfer.decompress { 2.0 } else { 1.0 };
    let cmx_rate = match transfer.permute_element_bytes {
        // One element a cycle.
        Some(element) => spec.dpu_mhz / spec.cmx_mhz / f64::from(element),
        // Both ends are the same memory.
        None if !transfer.uses_ddr() => 2.0 * spec.dpu_mhz / spec.cmx_mhz / width,
        None => spec.dpu_mhz / spec.cmx_mhz / width,
    };
    let ddr_rate = if transfer.uses_ddr() { spec.dpu_mhz / ddr_mb_per_s(spec) } else { 0.0 };
    (whole(latency), whole(bytes * ddr_rate.max(cmx_rate)))
}

/// Bytes a CMX cycle and cycles of transfer, in the newer form.
pub fn newer_cycles(transfer: &Transfer, spec: &TiledSpec) -> (u64, u64) {
    let ddr = (ddr_mb_per_s(spec) / spec.cmx_mhz).floor().max(1.0) as u64;
    let mut width = spec.dma.bytes_per_cycle;
    if transfer.uses_ddr() {
        width = width.min(ddr);
    }
    if let Some(element) = transfer.permute_element_bytes {
        width = width.min(u64::from(element));
    }
    (width, transfer.bytes.div_ceil(width))
}

fn legacy(transfer: &Transfer, spec: &TiledSpec) -> (Stretch, Stretch) {
    let (latency, body) = legacy_cycles(transfer, spec);
    let ddr_bound = transfer.uses_ddr()
        && transfer.permute_element_bytes.is_none()
        && ddr_mb_per_s(spec) < spec.dma.bytes_per_cycle as f64 * spec.cmx_mhz;
    let latency_clock = if transfer.uses_ddr() { None } else { Some(ClockName::Cmx) };
    let body_clock = if ddr_bound { None } else { Some(ClockName::Cmx) };
    let post = spec.dma.post_cycles as f64 * spec.dpu_mhz / spec.cmx_mhz;
    (
        Stretch::cycles(latency as f64, spec.dpu_mhz, latency_clock),
        Stretch::cycles(body as f64 + post, spec.dpu_mhz, body_clock),
    )
}

fn newer(transfer: &Transfer, spec: &TiledSpec) -> (Stretch, Stretch) {
    let (width, cycles) = newer_cycles(transfer, spec);
    let latency = if transfer.uses_ddr() {
        Stretch::nanoseconds(spec.dma.ddr_latency_ns)
    } else {
        Stretch::cycles(spec.dma.cmx_latency_cycles as f64, spec.cmx_mhz, Some(ClockName::Cmx))
    };
    // Where the port is the bound, a faster clock moves more; where DDR is, it does not.
    let clock = if transfer.uses_ddr() && width < spec.dma.bytes_per_cycle { None } else { Some(ClockName::Cmx) };
    (latency, Stretch::cycles((cycles + spec.dma.post_cycles) as f64, spec.cmx_mhz, clock))
}

/// Rounded up, a rounding error of the last place forgiven.
fn whole(cycles: f64) -> u64 {
    (cycles - 1e-6).ceil().max(0.0) as u64
}
