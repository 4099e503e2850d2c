//! Puts machines together: knows every kind of component, and what each kind of workload needs beside the machine.
//!
//! * [`kinds`]: all kinds that a machine file may name.
//! * [`gpu`]: a GPU that executes a kernel launch.
//! * [`npu_tiled`]: a tile-based NPU that executes a task list.
//! * [`npu_systolic`]: a systolic NPU that runs networks.
#![forbid(unsafe_code)]

pub mod gpu;
pub mod npu_systolic;
pub mod npu_tiled;

use sim_core::Registry;

/// Every kind of component.
pub fn kinds() -> Registry {
    let mut kinds = Registry::new();
    kinds
        .add::<::gpu::CommandProcessor>()
        .add::<::gpu::SmComponent>()
        .add::<cache::fixed::FixedMemory>()
        .add::<cache::l2::Slice>()
        .add::<cache::tlb::SharedTlb>()
        .add::<noc::crossbar::Crossbar>()
        .add::<hbm::component::Channel>()
        .add::<npu::tiled::TiledNpu>()
        .add::<npu::fusemax::program::FusedAttention>()
        .add::<npu::nvdla::Nvdla>()
        .add::<npu::systolic::core::Core>()
        .add::<npu::systolic::streaming::StreamingCore>()
        .add::<npu::systolic::dispatcher::Dispatcher>()
        .add::<npu::systolic::folded::FoldedArray>();
    kinds
}
