//! The timeline of a memory channel for Perfetto: a track a bank, with its open rows and the accesses in them.
//!
//! ```text
//!  channel ── pseudo channel 0 ─┬─ refreshes and power states (moments), GB/s of reads and writes
//!                               ├─ bank 0.0   an open row ▸ RD, WR … in it
//!                               └─ …
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use hbm::checker::TracedCommand;
use hbm::command::{Command, Reach};
use hbm::organisation::DramAddress;
use hbm::preset::Preset;

use super::View;
use super::meter::Meter;
use super::perfetto::{Timeline, TrackId};

/// Slices and samples of a file.
const MOST_EVENTS: usize = 600_000;

/// A bank: pseudo channel, stack id, bank group, bank.
type Place = (u32, u32, u32, u32);

fn of(place: &DramAddress) -> Place {
    (place.pseudo_channel, place.stack_id, place.bank_group, place.bank)
}

struct Bank {
    track: TrackId,
    /// Row and the tick in which it was opened.
    row: Option<(u32, u64)>,
    /// The last access.
    access: Option<(Command, u64)>,
}

struct PseudoChannel {
    track: TrackId,
    read: Meter,
    written: Meter,
}

struct Channel<'a> {
    timeline: Timeline,
    preset: &'a Preset,
    banks: BTreeMap<Place, Bank>,
    pseudo_channels: BTreeMap<u32, PseudoChannel>,
}

/// The commands of a channel in the ticks of `window`.
pub fn memory_timeline(name: &str, window: &Range<u64>, preset: &Preset, commands: &[TracedCommand]) -> View {
    let title = format!("{name} (1 ns shown is 1 tick of {:.4} ns)", preset.tick_ps() / 1e3);
    let mut channel = Channel::new(Timeline::new(&title, window.clone()), preset, commands);
    let last = commands.last().map_or(0, |command| command.tick + 1);
    let mut end = last.min(window.end);
    let mut note = None;
    for command in commands.iter().take_while(|command| command.tick < window.end) {
        if channel.timeline.events() >= MOST_EVENTS {
            end = command.tick;
            channel.timeline.cut(end);
            note = Some(super::cut("--timeline", end, window));
            break;
        }
        channel.command(command);
    }
    channel.finish(end);
    if channel.timeline.events() == 0 {
        let Range { start, end } = window;
        note = Some(format!("no command in the ticks of --timeline={start}..{end}; the last is in tick {last}"));
    }
    View { file: "timeline.perfetto-trace", bytes: channel.timeline.encode(), note }
}

impl<'a> Channel<'a> {
    /// Declares the tracks of all banks that a command names, in their order.
    fn new(mut timeline: Timeline, preset: &'a Preset, commands: &[TracedCommand]) -> Self {
        let mut pseudo_channels = BTreeMap::new();
        let named: BTreeSet<u32> = commands.iter().map(|command| command.place.pseudo_channel).collect();
        for number in named {
            let track = timeline.track(&[&format!("pseudo channel {number}")]);
            let bytes_per_ns = 1e3 / preset.tick_ps();
            let mut meter = |name| Meter::rate(&mut timeline, track, name, "GB/s", bytes_per_ns);
            let (read, written) = (meter("read"), meter("written"));
            pseudo_channels.insert(number, PseudoChannel { track, read, written });
        }
        let of_banks = commands.iter().filter(|command| command.command.reach() == Reach::Bank);
        let places: BTreeSet<Place> = of_banks.map(|command| of(&command.place)).collect();
        let mut banks = BTreeMap::new();
        for place in places {
            let (number, stack_id, group, bank) = place;
            let stack = if preset.organisation.stack_ids > 1 { format!("{stack_id}.") } else { String::new() };
            let path = [format!("pseudo channel {number}"), format!("bank {stack}{group}.{bank}")];
            let track = timeline.track(&path.each_ref().map(String::as_str));
            banks.insert(place, Bank { track, row: None, access: None });
        }
        Self { timeline, preset, banks, pseudo_channels }
    }

    fn command(&mut self, traced: &TracedCommand) {
        let TracedCommand { tick, command, place } = *traced;
        let number = place.pseudo_channel;
        let Some(pseudo_channel) = self.pseudo_channels.get_mut(&number) else { return };
        let bytes = f64::from(self.preset.organisation.access_bytes);
        match command {
            Command::Rd | Command::RdA => pseudo_channel.read.add(&mut self.timeline, tick, bytes),
            Command::Wr | Command::WrA | Command::Upd => pseudo_channel.written.add(&mut self.timeline, tick, bytes),
            _ => {}
        }
        if command.reach() == Reach::PseudoChannel {
            let closes = command == Command::PreAb;
            let banks = self.banks.iter_mut().filter(|(of, _)| closes && of.0 == number && of.1 == place.stack_id);
            banks.for_each(|(_, bank)| bank.close(&mut self.timeline, tick));
            self.timeline.slice(pseudo_channel.track, &command.to_string(), tick, tick);
            return;
        }
        let burst = self.preset.burst_ticks();
        let Some(bank) = self.banks.get_mut(&of(&place)) else { return };
        bank.draw_access(&mut self.timeline, burst, tick);
        match command {
            Command::Act => bank.row = Some((place.row, tick)),
            Command::PrePb => bank.close(&mut self.timeline, tick),
            Command::Rd | Command::Wr | Command::Upd => bank.access = Some((command, tick)),
            Command::RdA | Command::WrA => {
                // The row closes by itself behind the access.
                bank.access = Some((command, tick));
                bank.draw_access(&mut self.timeline, burst, tick + burst);
                bank.close(&mut self.timeline, tick + burst);
            }
            _ => self.timeline.slice(bank.track, &command.to_string(), tick, tick),
        }
    }

    fn finish(&mut self, end: u64) {
        let burst = self.preset.burst_ticks();
        for bank in self.banks.values_mut() {
            bank.draw_access(&mut self.timeline, burst, end);
            bank.close(&mut self.timeline, end);
        }
        for pseudo_channel in self.pseudo_channels.values_mut() {
            pseudo_channel.read.finish(&mut self.timeline, end);
            pseudo_channel.written.finish(&mut self.timeline, end);
        }
    }
}

impl Bank {
    /// The last access took its burst, or less if the bank did something else before.
    fn draw_access(&mut self, timeline: &mut Timeline, burst: u64, until: u64) {
        if let Some((command, tick)) = self.access.take().filter(|(_, tick)| *tick < until) {
            timeline.slice(self.track, &command.to_string(), tick, (tick + burst).min(until));
        }
    }

    fn close(&mut self, timeline: &mut Timeline, tick: u64) {
        if let Some((row, opened)) = self.row.take().filter(|(_, opened)| *opened < tick) {
            timeline.slice(self.track, &format!("row {row}"), opened, tick);
        }
    }
}
