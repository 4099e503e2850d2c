//! Power states of a pseudo channel and the time spent in each.
//!
//! ```text
//!   awake ─▶ power-down ─▶ awake        idle long: awake ─▶ self refresh ─▶ awake
//! ```
//!
//! Models: entry after idle times, wake-up by a request or a forced refresh; background time by state for energy.
//! Leaves out: fast and slow exit, deep power-down.
//! Numbers: tCKE, tXP, tXS of the preset.
//! Canonical tests: `tests/native.rs`.

use crate::bank::Tick;
use crate::command::Command;

/// Background states, by what the device draws while nothing happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[repr(u8)]
pub enum Background {
    /// Awake, a row open.
    ActiveStandby,
    /// Awake, all rows closed.
    PrechargedStandby,
    /// Power-down.
    PowerDown,
    /// Self refresh.
    SelfRefresh,
}

/// Ticks a pseudo channel spent in each background state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) struct Power {
    /// PDE or SRE if asleep.
    pub asleep: Option<Command>,
    /// Nothing was queued since this tick.
    pub idle_since: Tick,
    state: Background,
    since: Tick,
    ticks: [u64; 4],
}

impl Power {
    pub fn new() -> Self {
        Power { asleep: None, idle_since: 0, state: Background::PrechargedStandby, since: 0, ticks: [0; 4] }
    }

    /// A command was issued; `any_open` is whether a row is open after it.
    pub fn issued(&mut self, command: Command, any_open: bool, tick: Tick) {
        match command {
            Command::PdEnter | Command::SrEnter => self.asleep = Some(command),
            Command::PdExit | Command::SrExit => self.asleep = None,
            _ => {}
        }
        let state = match (self.asleep, any_open) {
            (Some(Command::PdEnter), _) => Background::PowerDown,
            (Some(_), _) => Background::SelfRefresh,
            (None, true) => Background::ActiveStandby,
            (None, false) => Background::PrechargedStandby,
        };
        if state != self.state {
            self.ticks[self.state as usize] += tick - self.since;
            (self.state, self.since) = (state, tick);
        }
    }

    /// Ticks in each state up to `now`, in the order of [`Background`].
    pub fn ticks(&self, now: Tick) -> [u64; 4] {
        let mut ticks = self.ticks;
        ticks[self.state as usize] += now - self.since;
        ticks
    }
}
