//! Stretches: several cycles of a large component in one go.
//!
//! ```text
//!  others     c   c+1  c+2  …  c+W−1 │          all that is sent at c or later is seen at c+W or later
//!  component 0                       │ c … c+W−1
//!  component 1                       │            c … c+W−1
//! ```
//!
//! A component with much state ([`Component::STRETCHES`]) that is ticked once a cycle, between hundreds of its like, finds
//! none of its state in the host's caches. Nothing that crosses a link is seen before the link's latency is over, so that
//! such components may stay behind the others of their shard by the least latency W of their links, and then catch up, one
//! after the other. It is what shards do among themselves, within one; results do not depend on it.
//!
//! The others go first, so that work ends, limits and snapshots lie where they lie without it: whenever a shard stops,
//! everybody has caught up.
//!
//! [`Component::STRETCHES`]: crate::Component::STRETCHES

use crate::fabric::Fabric;
use crate::lane::{STRETCHED, WriterKind};
use crate::prefetch::prefetch;
use crate::shard::{Horizon, Next, Shard};
use crate::time::{Cycle, Femtos};
use std::ops::Range;

/// Below this, staying behind is not worth its bookkeeping.
const LEAST_CYCLES: u32 = 4;

const NEVER: u64 = u64::MAX;
const LINE_BYTES: usize = 64;
/// About as many misses as a core of the host has under way at a time; ten times as many are a large component.
const LINES_AT_ONCE: usize = 24;

/// Components of a shard that work through several cycles in one go.
#[derive(Default)]
pub(crate) struct Stretch {
    /// Cycles that they may be behind; 0: there are none.
    pub cycles: u64,
    /// Their clock.
    pub domain: usize,
    /// First cycle that was not worked through.
    reached: u64,
    /// Cycle of their next tick ([`NEVER`]: nobody's) but for what was sent to them meanwhile; `None`: not known.
    next: Option<u64>,
    /// A cycle, its time, and the time that others may go up to while it is the next.
    free: (u64, Femtos, Femtos),
    /// Scratch: those to whom something was sent.
    heard: Vec<u32>,
}

/// The cycles that those behind work through now.
#[derive(Default)]
pub(crate) struct Ahead {
    first: u64,
    times: Vec<Femtos>,
    /// Cycle before which nothing reaches the component at work; 0: nobody is at work.
    pub free: u64,
    /// Addresses of the component that comes next, of which the host's caches have not been asked yet.
    pub neighbour: Range<usize>,
}

impl Ahead {
    /// First cycle behind them.
    pub fn end(&self) -> u64 {
        self.first + self.times.len() as u64
    }

    /// Asks the host's caches for a part of the component that comes next: all at once would keep the one at work waiting.
    #[inline]
    pub fn prefetch_some(&mut self) {
        if self.neighbour.start < self.neighbour.end {
            // Behind its end is what comes next, or nothing: no harm in asking.
            let first = self.neighbour.start as *const u8;
            (0..LINES_AT_ONCE).for_each(|line| prefetch(first.wrapping_add(line * LINE_BYTES)));
            self.neighbour.start += LINES_AT_ONCE * LINE_BYTES;
        }
    }

    /// Time of one of them.
    #[inline]
    pub fn time(&self, cycle: u64) -> Femtos {
        self.times[(cycle - self.first) as usize]
    }
}

/// Whose turn it is in a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// Those who do not stay behind work on the edges at this time.
    Others(Femtos),
    /// Those behind work through the cycles before this one.
    Behind { end: u64 },
    /// Nothing is left to do within the horizon.
    Over,
}

/// Lets the components that want to stay behind do so, where their links allow it.
pub(crate) fn prepare(shards: &mut [Shard]) {
    let wants = |shard: &Shard, id: u32| {
        shard.arenas.iter().filter(|a| a.wants_to_stretch()).any(|a| {
            let (base, _, count) = a.range();
            (base..base + count as u32).contains(&id)
        })
    };
    let (mut cycles, mut links, mut domain) = (u32::MAX, Vec::new(), None);
    for (s, shard) in shards.iter().enumerate() {
        for (id, outs) in shard.fabric.outs_of.iter().enumerate() {
            for out in outs.clone().filter(|out| shard.fabric.outs[*out].capacity > 0) {
                let port = shard.fabric.outs[out];
                let lane = shard.fabric.outs_rest[out as usize].lane;
                let there = &shards[usize::from(port.shard)];
                let receivers = &there.fabric.lanes[usize::from(lane)].lane;
                let (sends, receives) = (wants(shard, id as u32), wants(there, receivers.owner(port.fifo)));
                if !sends && !receives {
                    continue;
                }
                let writer = receivers.writer(port.fifo);
                if writer.kind == WriterKind::OtherClock || *domain.get_or_insert(port.domain) != port.domain {
                    return;
                }
                cycles = cycles.min(port.latency_cycles).min(writer.latency_cycles);
                links.push((s, out, lane, sends, receives));
            }
        }
    }
    let Some(domain) = domain.filter(|_| cycles >= LEAST_CYCLES) else { return };
    for (s, out, lane, sends, receives) in links {
        let port = &mut shards[s].fabric.outs[out];
        let (there, fifo) = (usize::from(port.shard), port.fifo);
        if receives {
            port.domain = STRETCHED;
        }
        let receivers = &mut shards[there].fabric.lanes[usize::from(lane)].lane;
        if receives {
            receivers.stretch(fifo);
        }
        let writer = receivers.writer(fifo);
        if sends && writer.kind == WriterKind::Direct {
            receivers.set_writer(fifo, crate::lane::Writer { kind: WriterKind::Behind, ..writer });
        }
    }
    for shard in shards {
        let Shard { arenas, fabric, stretch, .. } = shard;
        for arena in arenas.iter_mut().filter(|a| a.wants_to_stretch()) {
            stretch.cycles = cycles.into();
            arena.stretch(&mut fabric.wake);
        }
        stretch.domain = domain.into();
        stretch.start_at(0);
    }
}

impl Stretch {
    /// Nothing before `cycle` is left to do; when the first of them is due is not known.
    pub fn start_at(&mut self, cycle: u64) {
        (self.reached, self.next, self.free) = (cycle, None, (NEVER, Femtos(0), Femtos(0)));
    }

    /// A clock may have another frequency than in the last run.
    pub fn forget_times(&mut self) {
        self.free.0 = NEVER;
    }
}

impl Fabric {
    /// When a component that stretches has to be ticked next, if its last cycle was the one before `from`.
    #[inline]
    pub fn next_of_stretch(&self, id: u32, from: u64) -> u64 {
        let own = self.wake.next_by_itself(id, from);
        if own <= from {
            return own;
        }
        let arrivals = self.fifos_of[id as usize].iter();
        arrivals.filter_map(|&(lane, fifo)| self.lanes[usize::from(lane)].lane.next_waiting(fifo)).fold(own, u64::min)
    }

    /// What has come by `cycle` is put into the inputs of a component that stretches. When more will come.
    #[inline]
    pub fn deliver_to_stretch(&mut self, id: u32, cycle: u64) -> u64 {
        let mut next = NEVER;
        for &(lane, fifo) in &self.fifos_of[id as usize] {
            let lane = &mut self.lanes[usize::from(lane)].lane;
            next = next.min(lane.deliver_waiting(fifo, cycle, &mut self.wake).unwrap_or(NEVER));
        }
        next
    }
}

impl Shard {
    /// Cycle in which the first of those who stay behind has to be ticked next.
    pub fn next_stretch(&mut self) -> Option<u64> {
        let Shard { arenas, fabric, stretch, .. } = self;
        if stretch.cycles == 0 {
            return None;
        }
        let reached = stretch.reached;
        let next = match stretch.next {
            Some(mut next) => {
                for slot in &mut fabric.lanes {
                    slot.lane.take_news(&mut stretch.heard);
                }
                stretch.heard.append(&mut fabric.wake.heard);
                for id in stretch.heard.drain(..) {
                    next = next.min(fabric.next_of_stretch(id, reached));
                }
                next
            }
            None => {
                let ids = arenas.iter().filter(|a| a.stretches()).flat_map(|a| {
                    let (base, _, count) = a.range();
                    base..base + count as u32
                });
                ids.map(|id| fabric.next_of_stretch(id, reached)).min().unwrap_or(NEVER)
            }
        };
        stretch.next = Some(next);
        (next != NEVER).then_some(next)
    }

    /// Whose turn it is. Others go first as long as nothing that those behind will do can reach them. Where they have
    /// nothing but background left, they wait: whether it still matters depends on what those behind do until then.
    pub fn turn(&mut self, others: Next, horizon: Horizon) -> Turn {
        let theirs = others.foreground.into_iter().chain(others.background).min();
        let Some(next) = self.next_stretch() else {
            let background = horizon.background.max(self.last_foreground.unwrap_or_default());
            let within = |t: &Femtos| *t < horizon.end && (others.foreground.is_some() || *t <= background);
            return theirs.filter(within).map_or(Turn::Over, Turn::Others);
        };
        let Shard { fabric, stretch, .. } = self;
        let clock = &fabric.clocks[stretch.domain];
        if stretch.free.0 != next {
            stretch.free = (next, clock.edge(Cycle(next)), clock.edge(Cycle(next + stretch.cycles)));
        }
        let (_, first, free) = stretch.free;
        if let Some(theirs) = theirs.filter(|t| *t < free.min(horizon.end))
            && (others.foreground.is_some() || theirs < first)
        {
            return Turn::Others(theirs);
        }
        if first >= horizon.end {
            return Turn::Over;
        }
        let mut end = next + stretch.cycles;
        if horizon.end < free {
            end = clock.first_edge_at_or_after(horizon.end).0;
        }
        if let Some(theirs) = theirs.filter(|t| *t < free) {
            end = end.min(clock.first_edge_after(theirs).0);
        }
        Turn::Behind { end }
    }

    /// Those who are behind work through all edges up to the present time.
    pub fn catch_up_to_now(&mut self) {
        if self.stretch.cycles > 0 {
            self.catch_up(self.fabric.clocks[self.stretch.domain].first_edge_after(self.fabric.time).0);
        }
    }

    /// Those who are behind work through all cycles before `end`.
    pub fn catch_up(&mut self, end: u64) {
        let Some(first) = self.next_stretch().filter(|next| *next < end) else {
            self.stretch.reached = self.stretch.reached.max(end);
            return;
        };
        let Shard { arenas, fabric, stretch, .. } = self;
        let clock = &fabric.clocks[stretch.domain];
        fabric.ahead.first = first;
        fabric.ahead.times.clear();
        fabric.ahead.times.extend((first..end).map(|cycle| clock.edge(Cycle(cycle))));
        let (before, mut next, mut last) = (fabric.time, NEVER, first);
        for arena in arenas.iter_mut().filter(|a| a.stretches()) {
            let (next_of_these, last_of_these) = arena.catch_up(fabric, stretch.reached);
            (next, last) = (next.min(next_of_these), last.max(last_of_these));
        }
        (stretch.reached, stretch.next) = (end, Some(next));
        fabric.lanes.iter_mut().for_each(|slot| slot.lane.set_reached_behind(end));
        let last = fabric.ahead.time(last);
        fabric.time = before.max(last);
        self.last_foreground = self.last_foreground.max(Some(last));
        self.edges += 1;
    }
}
