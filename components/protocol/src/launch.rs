//! Between a command processor and an SM: cooperative thread arrays (CTAs), and the end of a grid.

use serde::{Deserialize, Serialize};
use sim_core::Payload;

/// What an SM is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SmCommand {
    /// Run a CTA, named by its linear index in the grid. What it executes waits in the launch store of the GPU.
    Launch { cta: u32 },
    /// Say when memory has answered everything: the grid is over.
    Drain,
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
    /// Nothing of this SM is on its way any more.
    Drained,
}

impl Payload for SmReply {
    const NAME: &'static str = "SM reply";
}
