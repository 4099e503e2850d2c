//! One file a kind of suite.

mod gpu_launch;
mod gpu_microbench;
mod hbm_golden;
mod hbm_hardware;
mod memory_preset;
mod npu_dpu;
mod npu_eyeriss;
mod npu_fusemax;
mod npu_machines;
mod npu_operators;
mod npu_schedule;
mod npu_systolic;
mod sm_examples;

pub use gpu_launch::{GpuLaunch, measured_launches};
pub use gpu_microbench::GpuMicrobench;
pub use hbm_golden::HbmGolden;
pub use hbm_hardware::HbmHardware;
pub use npu_dpu::NpuDpu;
pub use npu_eyeriss::NpuEyeriss;
pub use npu_fusemax::NpuFuseMax;
pub use npu_schedule::NpuSchedule;
pub use npu_systolic::NpuSystolic;
pub use sm_examples::SmExamples;

use crate::runner::Runners;

/// The runners of all kinds of suites that ship.
pub fn all() -> Runners {
    Runners::default()
        .with(GpuLaunch)
        .with(GpuMicrobench)
        .with(HbmGolden)
        .with(HbmHardware)
        .with(NpuDpu)
        .with(NpuEyeriss)
        .with(NpuFuseMax)
        .with(NpuSchedule)
        .with(NpuSystolic)
        .with(SmExamples::default())
}
