//! A launch: which kernel, on how many threads, with which arguments, and how its result is checked.
//! Keys are described in `workloads/launches/README.md`.
//!
//! [`file`] reads it, `change` changes it, `fit` compares it with a kernel; `argument` and `element` are what is passed.

mod argument;
mod change;
mod element;
mod file;
mod fit;

pub use argument::{Argument, Init, Value};
pub use element::ElementType;

use serde::Deserialize;

use super::kernel::Kernel;

/// What a launch finds in the caches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Caches {
    /// What host and earlier launches left: the buffers that were copied to the device, code, constants. As a program
    /// finds them that runs by itself, also under Nsight Systems.
    #[default]
    Left,
    /// Nothing, as Nsight Compute has it, which empties caches before each pass.
    Flushed,
}

/// Comparison with a reference after the run.
#[derive(Clone, Debug, PartialEq)]
pub struct Check {
    pub reference: String,
    /// Names of the buffers to compare.
    pub outputs: Vec<String>,
    /// An element passes if |got − want| ≤ `tolerance_abs` + `tolerance_rel` × |want|.
    pub tolerance_abs: f64,
    pub tolerance_rel: f64,
    pub line: u32,
}

/// A launch as its file says it; [`Launch::fit`] compares it with a kernel.
#[derive(Clone, Debug, PartialEq)]
pub struct Launch {
    pub file: String,
    pub description: String,
    pub kernel: String,
    pub grid: [u32; 3],
    pub block: [u32; 3],
    pub dynamic_shared_bytes: u32,
    pub caches: Caches,
    /// Launches of a program in the same stream run one after the other, those in several side by side.
    pub stream: u32,
    pub arguments: Vec<Argument>,
    pub check: Option<Check>,
    /// Lines of `grid`, `block`, `dynamic_shared_bytes`, for messages.
    lines: [u32; 3],
}

/// All buffers of a launch together may not be larger (the machine that simulates must hold them).
const MAX_BUFFER_BYTES: u64 = 16 << 30;

impl Launch {
    /// A launch made by a program instead of a file.
    pub fn new(kernel: &str, grid: [u32; 3], block: [u32; 3], arguments: Vec<Argument>) -> Self {
        Self {
            file: "launch".into(),
            description: String::new(),
            kernel: kernel.to_owned(),
            grid,
            block,
            dynamic_shared_bytes: 0,
            caches: Caches::default(),
            stream: 0,
            arguments,
            check: None,
            lines: [0; 3],
        }
    }

    /// The same launch in a stream of its program.
    #[must_use]
    pub fn in_stream(self, stream: u32) -> Self {
        Self { stream, ..self }
    }

    pub fn threads_per_block(&self) -> u32 {
        self.block.iter().fold(1u32, |product, &side| product.saturating_mul(side))
    }

    pub fn warps_per_block(&self) -> u32 {
        self.threads_per_block().div_ceil(32)
    }

    /// Blocks of the grid.
    pub fn blocks(&self) -> u64 {
        self.grid.iter().fold(1, |product, &side| product.saturating_mul(u64::from(side)))
    }

    /// Shared memory of a block, static and dynamic. What the system keeps for itself is not in it: the hardware adds it to
    /// each block.
    pub fn shared_bytes(&self, kernel: &Kernel) -> u32 {
        kernel.metadata.static_shared_bytes.saturating_add(self.dynamic_shared_bytes)
    }

    /// Addresses of a block's shared memory, with what the system keeps below the kernel's own.
    pub fn shared_window_bytes(&self, kernel: &Kernel) -> u32 {
        self.shared_bytes(kernel).saturating_add(kernel.metadata.shared_base_bytes)
    }
}
