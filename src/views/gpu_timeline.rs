//! The timeline of a GPU run for Perfetto.
//!
//! ```text
//!  machine ─┬─ SM 0 ─┬─ issued, L1 hits, outstanding requests, bytes to and from memory
//!           │        ├─ sub-core 0      what its cycles are charged to, without a gap
//!           │        │   └─ warp slot 0   the block ▸ the instruction at the head ▸ what it waits for
//!           │        └─ …
//!           └─ memory   requests in flight and waiting, bytes accepted
//! ```

use std::collections::BTreeMap;
use std::ops::Range;

use gpu::sm::{Dynamic, Origin, Reason, SmFact};
use protocol::MemoryLoad;
use workloads::sass::Instruction;

use super::focus::Focus;
use super::meter::{Meter, stretch_start};
use super::perfetto::{Timeline, TrackId};

/// Slices and samples of SMs in a file.
const MOST_EVENTS: usize = 600_000;
const SUBCORES: u16 = 4;
/// What a head waits for that could issue while another warp does.
pub const NOT_SELECTED: &str = "not selected";

/// Listens to SMs and memories.
#[derive(Debug)]
pub struct GpuTimeline {
    timeline: Timeline,
    focus: Focus,
    /// Text of each instruction of the kernel.
    texts: Vec<String>,
    sms: BTreeMap<u32, Sm>,
    memories: BTreeMap<String, Memory>,
    /// Slices and samples of SMs. Those of memories do not count: between SMs and memories the order of facts depends on
    /// how the machine is split, and the cut must not.
    events: usize,
    /// The timeline was full in the stretch of samples that begins in this cycle.
    cut_at: Option<u64>,
}

#[derive(Debug)]
struct Sm {
    subcores: Vec<SubCore>,
    warps: BTreeMap<u16, Warp>,
    outstanding: u64,
    issued: Meter,
    l1_hits: Meter,
    requests: Meter,
    read: Meter,
    written: Meter,
}

/// What the cycles of a sub-core are charged to, and since when.
#[derive(Debug)]
struct SubCore {
    track: TrackId,
    charged: Reason,
    since: u64,
}

/// A warp in its slot.
#[derive(Debug)]
struct Warp {
    track: TrackId,
    origin: Origin,
    since: u64,
    head: Option<Head>,
    /// End of the cycle in which it issued last.
    last_issued: u64,
}

/// The instruction that a warp issues next.
#[derive(Debug)]
struct Head {
    instruction: Dynamic,
    index: u32,
    since: u64,
    why: Option<Reason>,
    why_since: u64,
}

#[derive(Debug)]
struct Memory {
    in_flight: Meter,
    waiting: Meter,
    read: Meter,
    written: Meter,
    last: MemoryLoad,
}

impl GpuTimeline {
    /// Draws the cycles of `window` of the SMs `sms` and of the memories at these paths.
    pub fn new(
        title: &str,
        window: Range<u64>,
        focus: &Focus,
        sms: Range<u32>,
        memories: impl Iterator<Item = String>,
        (code, clock_ghz): (&[Instruction], f64),
    ) -> Self {
        let mut timeline = Timeline::new(title, window);
        let texts = code.iter().map(|instruction| instruction.text.clone()).collect();
        let sms = sms.map(|sm| (sm, Sm::new(&mut timeline, sm, clock_ghz))).collect();
        let memories = memories.map(|path| (path.clone(), Memory::new(&mut timeline, &path, clock_ghz))).collect();
        Self { timeline, focus: focus.clone(), texts, sms, memories, events: 0, cut_at: None }
    }

    /// A fact of an SM.
    pub fn sm(&mut self, number: u32, now: u64, fact: &SmFact) {
        if self.events >= MOST_EVENTS && self.cut_at.is_none() {
            self.cut_at = Some(stretch_start(self.timeline.window().start, now));
        }
        if now >= self.end() {
            return;
        }
        let before = self.timeline.events();
        let Some(sm) = self.sms.get_mut(&number) else { return };
        let timeline = &mut self.timeline;
        match *fact {
            SmFact::Charged { subcore, reason } => {
                let core = &mut sm.subcores[usize::from(subcore)];
                core.draw(timeline, now);
                (core.charged, core.since) = (reason, now);
            }
            SmFact::Issued(issued) => {
                sm.issued.add(timeline, now, 1.0);
                if self.focus.shows_warp(issued.instruction.warp) {
                    let warp = sm.warp(timeline, number, now, issued.instruction, issued.origin);
                    // Who issues at once has not waited.
                    warp.head.get_or_insert(Head::new(now, issued.instruction, issued.origin, None));
                    warp.draw_head(timeline, &self.texts, now, now + 1);
                    warp.last_issued = now + 1;
                }
            }
            SmFact::Waits { instruction, origin, why } if self.focus.shows_warp(instruction.warp) => {
                let warp = sm.warp(timeline, number, now, instruction, origin);
                warp.waits(timeline, now, instruction, origin, why);
            }
            SmFact::L1Lookup { hits, misses } => {
                sm.l1_hits.add_of(timeline, now, hits.into(), (hits + misses).into());
            }
            SmFact::Sent { read_bytes, written_bytes } => {
                sm.outstanding += 1;
                sm.requests.set(timeline, now, sm.outstanding as f64);
                sm.read.add(timeline, now, read_bytes.into());
                sm.written.add(timeline, now, written_bytes.into());
            }
            SmFact::Answered => {
                sm.outstanding = sm.outstanding.saturating_sub(1);
                sm.requests.set(timeline, now, sm.outstanding as f64);
            }
            _ => {}
        }
        self.events += self.timeline.events() - before;
    }

    /// A fact of a memory.
    pub fn memory(&mut self, path: &str, now: u64, load: &MemoryLoad) {
        if now >= self.end() {
            return;
        }
        let timeline = &mut self.timeline;
        let Some(memory) = self.memories.get_mut(path) else { return };
        memory.in_flight.set(timeline, now, load.in_flight.into());
        memory.waiting.set(timeline, now, load.waiting.into());
        let last = std::mem::replace(&mut memory.last, *load);
        memory.read.add(timeline, now, (load.read_bytes - last.read_bytes) as f64);
        memory.written.add(timeline, now, (load.written_bytes - last.written_bytes) as f64);
    }

    /// End of the window, or where the timeline was full.
    fn end(&self) -> u64 {
        self.timeline.window().end.min(self.cut_at.unwrap_or(u64::MAX))
    }

    /// The finished timeline of a run that ended in cycle `end`, and where it had to be cut.
    pub fn finish(mut self, end: u64) -> (Timeline, Option<u64>) {
        let timeline = &mut self.timeline;
        if let Some(at) = self.cut_at {
            timeline.cut(at);
        }
        let end = end.min(timeline.window().end);
        for sm in self.sms.values_mut() {
            sm.subcores.iter_mut().for_each(|core| core.draw(timeline, end));
            for warp in sm.warps.values_mut() {
                warp.finish(timeline, &self.texts, end);
            }
            for meter in [&mut sm.issued, &mut sm.l1_hits, &mut sm.requests, &mut sm.read, &mut sm.written] {
                meter.finish(timeline, end);
            }
        }
        for memory in self.memories.values_mut() {
            for meter in [&mut memory.in_flight, &mut memory.waiting, &mut memory.read, &mut memory.written] {
                meter.finish(timeline, end);
            }
        }
        (self.timeline, self.cut_at)
    }
}

impl Sm {
    fn new(timeline: &mut Timeline, number: u32, clock_ghz: f64) -> Self {
        let name = format!("SM {number}");
        let top = timeline.track(&[&name]);
        Self {
            issued: Meter::rate(timeline, top, "issued a cycle", "instructions", 1.0),
            l1_hits: Meter::share(timeline, top, "L1 sector hits"),
            requests: Meter::level(timeline, top, "outstanding requests", "requests"),
            read: Meter::rate(timeline, top, "read from memory", "GB/s", clock_ghz),
            written: Meter::rate(timeline, top, "written to memory", "GB/s", clock_ghz),
            outstanding: 0,
            warps: BTreeMap::new(),
            subcores: (0..SUBCORES)
                .map(|core| SubCore {
                    track: timeline.track(&[&name, &format!("sub-core {core}")]),
                    charged: Reason::NoWarp,
                    since: 0,
                })
                .collect(),
        }
    }

    /// The warp of an instruction, with its track, in its present block.
    fn warp(
        &mut self,
        timeline: &mut Timeline,
        number: u32,
        now: u64,
        instruction: Dynamic,
        origin: Origin,
    ) -> &mut Warp {
        let slot = instruction.warp;
        let warp = self.warps.entry(slot).or_insert_with(|| {
            let path = [format!("SM {number}"), format!("sub-core {}", slot % SUBCORES), format!("warp slot {slot}")];
            let track = timeline.track(&path.each_ref().map(String::as_str));
            Warp { track, origin, since: now, head: None, last_issued: now }
        });
        if (warp.origin.cta, warp.origin.warp_in_cta) != (origin.cta, origin.warp_in_cta) {
            warp.draw_block(timeline, warp.last_issued);
            (warp.origin, warp.since) = (origin, now);
        }
        warp
    }
}

impl SubCore {
    fn draw(&self, timeline: &mut Timeline, end: u64) {
        if end > self.since {
            timeline.slice(self.track, self.charged.name(), self.since, end);
        }
    }
}

impl Warp {
    fn waits(&mut self, timeline: &mut Timeline, now: u64, instruction: Dynamic, origin: Origin, why: Option<Reason>) {
        if let Some(head) = self.head.as_mut().filter(|head| head.instruction == instruction) {
            head.draw_wait(timeline, self.track, now);
            (head.why, head.why_since) = (why, now);
        } else {
            self.head = Some(Head::new(now, instruction, origin, why));
        }
    }

    /// The head has waited until `waited` and is the head until `end`.
    fn draw_head(&mut self, timeline: &mut Timeline, texts: &[String], waited: u64, end: u64) {
        let Some(head) = self.head.take() else { return };
        head.draw_wait(timeline, self.track, waited);
        let text = texts.get(head.index as usize).map_or("?", String::as_str);
        timeline.slice(self.track, text, head.since, end);
    }

    fn draw_block(&self, timeline: &mut Timeline, end: u64) {
        if end > self.since {
            let name = format!("block {} warp {}", self.origin.cta.0, self.origin.warp_in_cta);
            timeline.slice(self.track, &name, self.since, end);
        }
    }

    fn finish(&mut self, timeline: &mut Timeline, texts: &[String], end: u64) {
        let over = if self.head.is_some() { end } else { self.last_issued };
        self.draw_head(timeline, texts, end, end);
        self.draw_block(timeline, over);
    }
}

impl Head {
    fn new(now: u64, instruction: Dynamic, origin: Origin, why: Option<Reason>) -> Self {
        Self { instruction, index: origin.index, since: now, why, why_since: now }
    }

    fn draw_wait(&self, timeline: &mut Timeline, track: TrackId, end: u64) {
        if end > self.why_since {
            timeline.slice(track, self.why.map_or(NOT_SELECTED, Reason::name), self.why_since, end);
        }
    }
}

impl Memory {
    fn new(timeline: &mut Timeline, path: &str, clock_ghz: f64) -> Self {
        let top = timeline.track(&[path]);
        Self {
            in_flight: Meter::level(timeline, top, "requests in flight", "requests"),
            waiting: Meter::level(timeline, top, "requests waiting", "requests"),
            read: Meter::rate(timeline, top, "read", "GB/s", clock_ghz),
            written: Meter::rate(timeline, top, "written", "GB/s", clock_ghz),
            last: MemoryLoad { in_flight: 0, waiting: 0, read_bytes: 0, written_bytes: 0 },
        }
    }
}
