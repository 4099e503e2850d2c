//! The timeline of a GPU run: a track a warp, a slice an instruction from its issue to the next one of the warp, and the
//! issue rate of each SM.

use std::collections::BTreeMap;
use std::ops::Range;

use gpu::sm::{CtaHandle, Issued};
use sim_core::Machine;
use sim_core::probe::ComponentId;
use workloads::sass::Kernel;

use crate::timeline::{Timeline, TrackId};

/// SMs that are drawn: the others do the same on other blocks, and a trace of all is too large to look at.
const SHOWN_SMS: usize = 4;
const PART: &str = "sm";
/// Cycles that a sample of the issue rate is taken over.
const RATE_CYCLES: u64 = 64;

/// Listens to issued instructions.
pub struct IssueTimeline {
    timeline: Timeline,
    /// Text of each instruction of the kernel.
    names: Vec<String>,
    /// The instruction that each warp slot of an SM issued last.
    last: BTreeMap<(usize, u16), Last>,
    rates: BTreeMap<usize, Rate>,
}

/// Instructions that an SM issued in the current stretch of [`RATE_CYCLES`].
struct Rate {
    track: TrackId,
    stretch: u64,
    issued: u64,
}

struct Last {
    track: TrackId,
    cta: CtaHandle,
    index: u32,
    cycle: u64,
}

impl IssueTimeline {
    /// Draws the cycles of `window`.
    pub fn new(title: &str, window: Range<u64>, kernel: &Kernel) -> Self {
        let names = kernel.instructions.iter().map(|instruction| instruction.text.clone()).collect();
        Self { timeline: Timeline::new(title, window), names, last: BTreeMap::new(), rates: BTreeMap::new() }
    }

    /// The SMs that are drawn, by component.
    pub fn shown_sms(machine: &Machine) -> BTreeMap<ComponentId, usize> {
        let mut first = 0;
        let mut shown = BTreeMap::new();
        for (part, _, count) in machine.parts() {
            if part == PART {
                shown.extend((0..count.min(SHOWN_SMS)).map(|sm| (ComponentId((first + sm) as u32), sm)));
            }
            first += count;
        }
        shown
    }

    /// An instruction issued on an SM, if it is one that is drawn.
    pub fn issued(&mut self, sm: Option<usize>, fact: &Issued) {
        let Some(sm) = sm.filter(|_| fact.cycle < self.timeline.window().end) else { return };
        self.count(sm, fact.cycle);
        let slot = (sm, fact.warp);
        let track = match self.last.remove(&slot) {
            Some(last) => {
                // A slot that another block took stood empty in between.
                let end = if last.cta == fact.cta { fact.cycle } else { last.cycle + 1 };
                let track = last.track;
                self.draw(&last, end);
                track
            }
            None => {
                let names =
                    [format!("SM {sm}"), format!("sub-core {}", fact.subcore), format!("warp slot {}", fact.warp)];
                self.timeline.track(&names.each_ref().map(String::as_str))
            }
        };
        self.last.insert(slot, Last { track, cta: fact.cta, index: fact.index, cycle: fact.cycle });
    }

    fn count(&mut self, sm: usize, cycle: u64) {
        let stretch = cycle / RATE_CYCLES;
        if !self.rates.contains_key(&sm) {
            let parent = self.timeline.track(&[&format!("SM {sm}")]);
            let track = self.timeline.counter(Some(parent), "issued a cycle", "instructions");
            self.rates.insert(sm, Rate { track, stretch, issued: 0 });
        }
        let rate = self.rates.get_mut(&sm).expect("just there");
        if stretch != rate.stretch {
            let (track, value) = (rate.track, rate.issued as f64 / RATE_CYCLES as f64);
            self.timeline.sample(track, rate.stretch * RATE_CYCLES, value);
            if stretch > rate.stretch + 1 {
                self.timeline.sample(track, (rate.stretch + 1) * RATE_CYCLES, 0.0);
            }
            (rate.stretch, rate.issued) = (stretch, 0);
        }
        rate.issued += 1;
    }

    fn draw(&mut self, last: &Last, end: u64) {
        let name = self.names.get(last.index as usize).map_or("?", String::as_str);
        self.timeline.slice(last.track, name, last.cycle, end);
    }

    /// The finished timeline.
    pub fn finish(&mut self) -> Timeline {
        for last in std::mem::take(&mut self.last).into_values() {
            self.draw(&last, last.cycle + 1);
        }
        std::mem::replace(&mut self.timeline, Timeline::new("", 0..0))
    }
}
