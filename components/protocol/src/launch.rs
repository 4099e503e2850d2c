//! Launch and completion of cooperative thread arrays (CTAs).

use sim_core::Payload;

/// A CTA on its way to an SM. What it executes is stored under its number in the launch store of the GPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CtaLaunch {
    /// Linear index in the grid.
    pub cta: u32,
}

impl Payload for CtaLaunch {
    const NAME: &'static str = "CTA launch";
}

/// A CTA that has left its SM, whose resources are free again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CtaDone {
    /// Linear index in the grid.
    pub cta: u32,
}

impl Payload for CtaDone {
    const NAME: &'static str = "CTA completion";
}
