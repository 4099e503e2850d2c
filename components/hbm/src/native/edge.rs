//! The rule of falling clock edges for half-clock precharges.
//!
//! Models: JESD238: on the falling edge that directly follows a row command (of an activate: three ticks after its start),
//! a precharge must address another pseudo channel, or be to one bank while the earlier command was to another single bank.
//! Leaves out: nothing.
//! Canonical tests: `tests/native.rs`, through the checker, which has its own form of this rule.

use crate::bank::Tick;
use crate::command::{Command, Generation, Reach};

/// The last row command of the channel.
#[derive(Debug, Clone, Copy, serde::Serialize, serde::Deserialize)]
pub(super) struct LastRowCommand {
    command: Command,
    pseudo_channel: u32,
    bank: u32,
    tick: Tick,
}

impl LastRowCommand {
    pub fn new(command: Command, pseudo_channel: u32, bank: u32, tick: Tick) -> Self {
        LastRowCommand { command, pseudo_channel, bank, tick }
    }

    /// Whether a row command may start at `tick` after this one.
    pub fn allows(&self, generation: Generation, command: Command, pseudo_channel: u32, bank: u32, tick: Tick) -> bool {
        if generation.ticks_per_ck() == 1 || tick % 2 == 1 || self.tick.is_multiple_of(2) {
            return true;
        }
        let follows = tick == self.tick + Tick::from(generation.command_ticks(self.command));
        if !follows || pseudo_channel != self.pseudo_channel {
            return true;
        }
        command.reach() == Reach::Bank && self.command.reach() == Reach::Bank && bank != self.bank
    }
}
