//! What every channel controller offers, whatever its policy.
//!
//! ```text
//!   enqueue at `now` ─▶ run to a tick or an event ─▶ completions with time stamps
//! ```
//!
//! Models: the interface between a channel and whoever owns time: a driver, or a component of the kernel.
//! Leaves out: policy.

use crate::bank::{Banks, Tick};
use crate::command::Command;
use crate::request::{Admission, Completion, Request, Until};
use crate::stats::Counters;

/// A channel controller. Time is the channel's tick; a request offered at `now` can cause its first command at `now + 1`.
pub trait Controller {
    /// The last tick executed.
    fn now(&self) -> Tick;

    /// Offers a request at `now`.
    fn enqueue(&mut self, request: Request) -> Admission;

    /// The first tick after `now` at which the channel may act without a new request. Acting may turn out to be nothing.
    fn next_event(&self) -> Tick;

    /// Executes ticks up to `limit`, skipping those at which nothing happens, or until the event asked for; appends what
    /// completed to `done`, in order. Returns `now`.
    fn run(&mut self, limit: Tick, until: Until, done: &mut Vec<Completion>) -> Tick;

    /// The device, for command counts and open rows.
    fn banks(&self) -> &Banks;

    /// Counters so far.
    fn counters(&self) -> Counters;
}

/// One issued command, as a trace records it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IssuedCommand {
    /// Tick of its first cycle.
    pub tick: Tick,
    /// Command.
    pub command: Command,
    /// Flat bank, any bank of the pseudo channel for commands that address all of it.
    pub bank: u32,
    /// Row the command concerns.
    pub row: u32,
    /// Column of a read or write.
    pub column: u32,
}

/// Somebody who wants to see every issued command. The unit type sees nothing at no cost.
pub trait CommandObserver {
    /// Called once a command, in order of ticks.
    fn issued(&mut self, command: &IssuedCommand);
}

impl CommandObserver for () {
    #[inline]
    fn issued(&mut self, _: &IssuedCommand) {}
}

impl CommandObserver for Vec<IssuedCommand> {
    fn issued(&mut self, command: &IssuedCommand) {
        self.push(*command);
    }
}
