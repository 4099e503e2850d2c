//! Blocks of a kernel (CTAs) on their way to SMs and back.
//!
//! What a CTA executes does not travel: it waits in a store that sender and receiver share, under a slot number.

/// A CTA for one SM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CtaLaunch {
    /// Slot of the store.
    pub slot: u32,
    /// Linear number of the CTA in its grid.
    pub cta: u32,
}

/// A CTA has finished on an SM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CtaDone {
    pub slot: u32,
    pub cta: u32,
    /// Number of the SM in its machine.
    pub sm: u32,
}
