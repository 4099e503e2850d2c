//! Counter tracks: what happens between two samples becomes one number.

use std::ops::Range;

use super::perfetto::{Timeline, TrackId};

/// Cycles that a sample stands for.
const STRETCH_CYCLES: u64 = 64;

/// Start of the stretch of a cycle, in a window that starts at `start`.
pub fn stretch_start(start: u64, now: u64) -> u64 {
    now - now.saturating_sub(start) % STRETCH_CYCLES
}

/// What a sample is of.
#[derive(Clone, Copy, Debug)]
enum Kind {
    /// What was added in the stretch, times this, a cycle.
    Rate(f64),
    /// The last value.
    Level,
    /// What was added over what was added of all, in percent; no sample without any.
    Share,
}

/// One counter track.
#[derive(Debug)]
pub struct Meter {
    track: TrackId,
    kind: Kind,
    /// Start of the present stretch.
    since: u64,
    window: Range<u64>,
    value: f64,
    of: f64,
    drawn: Option<f64>,
}

impl Meter {
    fn new(timeline: &mut Timeline, parent: TrackId, name: &str, unit: &str, kind: Kind) -> Self {
        let window = timeline.window();
        let track = timeline.counter(Some(parent), name, unit);
        Self { track, kind, since: window.start, window, value: 0.0, of: 0.0, drawn: None }
    }

    /// What is added, times `scale`, a cycle.
    pub fn rate(timeline: &mut Timeline, parent: TrackId, name: &str, unit: &str, scale: f64) -> Self {
        Self::new(timeline, parent, name, unit, Kind::Rate(scale))
    }

    /// A value that stays until the next.
    pub fn level(timeline: &mut Timeline, parent: TrackId, name: &str, unit: &str) -> Self {
        Self::new(timeline, parent, name, unit, Kind::Level)
    }

    /// A part of a whole.
    pub fn share(timeline: &mut Timeline, parent: TrackId, name: &str) -> Self {
        Self::new(timeline, parent, name, "%", Kind::Share)
    }

    /// Adds to a rate.
    pub fn add(&mut self, timeline: &mut Timeline, now: u64, amount: f64) {
        self.add_of(timeline, now, amount, 0.0);
    }

    /// Adds to a share: `part` of `whole`.
    pub fn add_of(&mut self, timeline: &mut Timeline, now: u64, part: f64, whole: f64) {
        if now >= self.window.start {
            self.advance(timeline, now);
            self.value += part;
            self.of += whole;
        }
    }

    /// Sets a level.
    pub fn set(&mut self, timeline: &mut Timeline, now: u64, value: f64) {
        self.advance(timeline, now);
        self.value = value;
    }

    /// Draws the stretches that are over in cycle `now`.
    fn advance(&mut self, timeline: &mut Timeline, now: u64) {
        while now >= self.since + STRETCH_CYCLES {
            self.draw(timeline, STRETCH_CYCLES);
            let whole = (now - self.since) / STRETCH_CYCLES;
            // Nothing happens in the others: after an empty one they look the same.
            let skipped = if self.is_empty() { whole } else { 1 };
            self.since += skipped * STRETCH_CYCLES;
            self.restart();
        }
    }

    fn is_empty(&self) -> bool {
        match self.kind {
            Kind::Rate(_) => self.value == 0.0,
            Kind::Share => self.of == 0.0,
            Kind::Level => true,
        }
    }

    fn restart(&mut self) {
        if !matches!(self.kind, Kind::Level) {
            (self.value, self.of) = (0.0, 0.0);
        }
    }

    fn draw(&mut self, timeline: &mut Timeline, cycles: u64) {
        let value = match self.kind {
            Kind::Rate(scale) => self.value * scale / cycles as f64,
            Kind::Level => self.value,
            Kind::Share if self.of == 0.0 => return,
            Kind::Share => 100.0 * self.value / self.of,
        };
        if self.drawn != Some(value) {
            timeline.sample(self.track, self.since, value);
            self.drawn = Some(value);
        }
    }

    /// Draws the last stretch, which ends early.
    pub fn finish(&mut self, timeline: &mut Timeline, end: u64) {
        self.advance(timeline, end);
        if end > self.since {
            self.draw(timeline, end - self.since);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(timeline: &Timeline) -> Vec<(u64, f64)> {
        timeline.samples()
    }

    fn start() -> (Timeline, TrackId) {
        let mut timeline = Timeline::new("t", 10..1000);
        let top = timeline.track(&[]);
        (timeline, top)
    }

    #[test]
    fn a_rate_is_what_was_added_over_the_cycles() {
        let (mut timeline, top) = start();
        let mut meter = Meter::rate(&mut timeline, top, "r", "a", 2.0);
        meter.add(&mut timeline, 3, 1000.0);
        meter.add(&mut timeline, 10, 32.0);
        meter.add(&mut timeline, 73, 32.0);
        meter.add(&mut timeline, 10 + 64 * 4, 16.0);
        meter.finish(&mut timeline, 10 + 64 * 4 + 16);
        assert_eq!(samples(&timeline), [(10, 2.0), (74, 0.0), (266, 2.0)]);
    }

    #[test]
    fn a_level_stays_and_starts_with_what_was_before_the_window() {
        let (mut timeline, top) = start();
        let mut meter = Meter::level(&mut timeline, top, "l", "a");
        meter.set(&mut timeline, 3, 7.0);
        meter.set(&mut timeline, 300, 8.0);
        meter.set(&mut timeline, 301, 9.0);
        meter.finish(&mut timeline, 500);
        assert_eq!(samples(&timeline), [(10, 7.0), (266, 9.0)]);
    }

    #[test]
    fn a_share_needs_a_whole() {
        let (mut timeline, top) = start();
        let mut meter = Meter::share(&mut timeline, top, "s");
        meter.add_of(&mut timeline, 20, 1.0, 4.0);
        meter.add_of(&mut timeline, 300, 1.0, 1.0);
        meter.finish(&mut timeline, 500);
        assert_eq!(samples(&timeline), [(10, 25.0), (266, 100.0)]);
    }
}
