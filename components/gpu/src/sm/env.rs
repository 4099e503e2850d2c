//! The outside of an SM.

use super::rfc::RegisterRead;
use protocol::MemRequest;

/// A CTA as its sender names it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct CtaHandle(pub u32);

/// An instruction has issued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Issued {
    pub cycle: u64,
    pub subcore: u8,
    /// Warp slot of the SM; it lives in sub-core slot mod 4.
    pub warp: u16,
    pub cta: CtaHandle,
    pub warp_in_cta: u16,
    /// Index of the instruction in its kernel.
    pub index: u32,
}

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

    /// Whether [`SmEnv::issued`] and [`SmEnv::register_read`] want to be called. One predictable branch an instruction.
    fn listening(&self) -> bool {
        false
    }
    fn issued(&mut self, _fact: Issued) {}
    /// A register read of the instruction that was issued at `index` left Allocate.
    fn register_read(&mut self, _warp: u16, _index: u32, _read: RegisterRead) {}
}
