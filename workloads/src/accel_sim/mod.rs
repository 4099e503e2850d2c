//! Accel-Sim traces: what an NVBit tool recorded of a kernel that ran on a GPU.
//!
//! ```text
//!  kernelslist.g ─▶ list ─▶ kernel-N.traceg[.xz|.zst] ─▶ packed ─▶ reader ─▶ blocks of warp instructions
//!                                                                     │
//!                              ┌── first pass: kernel (static instructions, their order) ──▶ timing of a kernel
//!                              └── second pass: replay (one block at a time) ─▶ CtaStream ─▶ timing model
//! ```
//!
//! Models: the text form of versions 3 to 5 (`.traceg`), plain or packed, and the list of a program's launches. A trace is
//! read twice, a block at a time, so memory holds one block however long the trace is.
//! Leaves out: the ungrouped form (`.trace`), values of registers (a `STORE_DATA` tail is skipped), control bits, which
//! these traces do not carry.
//! Format: <https://github.com/accel-sim/accel-sim-framework>, `util/tracer_nvbit`.
//! Start reading at [`reader::TraceReader`]; the canonical tests are `tests/accel_sim.rs`.

pub mod header;
pub mod kernel;
pub mod line;
pub mod list;
pub mod packed;
pub mod reader;
pub mod replay;
pub mod write;

pub use header::{Header, runs_code_of};
pub use kernel::TracedKernel;
pub use list::{Command, KernelList};
pub use reader::{Block, TraceReader};
pub use replay::Replay;
pub use write::{WriteError, write};

/// Whether a file name is one of a kernel trace: `.traceg`, plain or packed.
pub fn is_trace_name(name: &str) -> bool {
    let plain = name.strip_suffix(".xz").or_else(|| name.strip_suffix(".zst")).unwrap_or(name);
    plain.ends_with(".traceg")
}

/// Whether a file name is one of a list of launches: `kernelslist.g`.
pub fn is_list_name(name: &str) -> bool {
    let base = name.rsplit(['/', '\\']).next().unwrap_or(name);
    base.starts_with("kernelslist") && base.contains(".g")
}
