//! Tiles of a MAC array, vector DSPs and scratchpad, driven by task lists with barriers.
//!
//! ```text
//!   DDR ─┬─ DMA port 0 ─┬─▶ CMX of tile 0 ◀─▶ DPU 0, SHAVE 0.0, 0.1     barriers: tasks wait for and update them,
//!        └─ DMA port 1 ─┴─▶ CMX of tile 1 ◀─▶ DPU 1, SHAVE 1.0, 1.1     a bounded number used again and again
//! ```
//! Modelled after what is public of Intel's NPU: the compiler's schedule simulator and the cost model VPUNN
//! (openvinotoolkit/npu_compiler 150e2025, intel/npu-nn-cost-model 8a2ae92, both Apache-2.0).
//!
//! * [`TiledSpec`]: the machine. [`cost`]: what a task costs alone.
//! * [`Program`]: a task list made ready for the machine; everything that cannot run is refused there.
//! * [`Scheduler`]: the event calendar; [`TiledNpu`] puts it into a machine as one component.
//! * [`Schedule`]: what came out. [`software`]: pipelines of inferences above it.

mod component;
pub mod cost;
mod order;
mod program;
mod result;
mod scheduler;
mod share;
pub mod software;
mod spec;
mod stream;

pub use component::{EVENT_CLOCK_HZ, TiledNpu, TiledWorkload};
pub use program::{Barrier, EngineKind, Planned, Program, Queue};
pub use result::{EngineUse, Schedule, Unions};
pub use scheduler::{Scheduler, TaskTimes, Use};
pub use spec::{
    ChannelsSpec, ClockChange, ClockName, DmaForm, DmaSpec, DpuCost, DpuSpec, MemorySpec, Sharing, ShaveForm,
    ShaveSpec, ShaveTables, TiledSpec,
};
