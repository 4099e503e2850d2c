//! The outside of an SM.

use super::fact::SmFact;
use protocol::MemRequest;

/// A CTA as its sender names it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct CtaHandle(pub u32);

/// What an SM needs of the world: where requests go and who hears of finished CTAs. Requests may be refused; everything
/// else always succeeds.
pub trait SmEnv {
    /// Whether a memory request can be sent in this cycle.
    fn can_send(&mut self) -> bool;
    /// Sends a memory request. Called only after [`SmEnv::can_send`] said yes.
    fn send(&mut self, request: MemRequest);
    /// A CTA has finished and its resources are free.
    fn cta_done(&mut self, cta: CtaHandle);

    /// The time of this cycle, for the clock that counts nanoseconds.
    fn time_ns(&mut self) -> u64 {
        0
    }

    /// An instruction that executes at issue failed: [`Functional::failure`](crate::Functional::failure).
    fn execution_failed(&mut self) {}

    /// Whether [`SmEnv::state`] wants to be called now. One predictable branch where facts are stated.
    fn listening(&self) -> bool {
        false
    }
    /// Hears a fact.
    fn state(&mut self, _fact: SmFact) {}
}
