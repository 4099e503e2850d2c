//! Between a command processor and an SM: cooperative thread arrays (CTAs), and the end of a grid.

use serde::{Deserialize, Serialize};
use sim_core::Payload;

/// What an SM is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SmCommand {
    /// Run a CTA, named by its linear index in the program. What it executes waits in the launch store of the GPU.
    Launch {
        cta: u32,
        /// Grid slot of its grid.
        slot: u8,
        /// Nothing resides: L1 data cache and shared memory are divided anew, for this grid.
        carves: bool,
    },
    /// Say when memory has answered all stores of the grid in this slot: its last CTA is done.
    Drain { slot: u8 },
}

impl Payload for SmCommand {
    const NAME: &'static str = "SM command";
}

/// What an SM answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SmReply {
    /// A CTA has left, its resources are free again.
    Done { cta: u32 },
    /// An instruction cannot be executed: the grid ends here. What is wrong is in the launch store of the GPU.
    Failed,
    /// No store of the grid in this slot is on its way from this SM any more.
    Drained { slot: u8 },
}

impl Payload for SmReply {
    const NAME: &'static str = "SM reply";
}
