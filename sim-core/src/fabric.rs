//! The fabric of one shard: lanes, credits, wake-ups and clocks, everything a tick may touch beside its component.

use crate::clock::ClockDomain;
use crate::lane::{Lane, LaneSlot, Payload};
use crate::ledger::{Ledger, Ring};
use crate::prefetch::prefetch;
use crate::probe::Probes;
use crate::stretch::Ahead;
use crate::time::{Cycle, Femtos};
use crate::wake::{SHARED_INPUT, Wake};
use std::ops::{Index, IndexMut};

/// The sending end of a link, with the credits in hand: a quarter of a cache line. Those that are back but were not
/// needed yet lie in the [`Ledger`] of the link.
#[derive(Clone, Copy)]
#[repr(align(16))]
pub(crate) struct OutPort {
    pub fifo: u32,
    pub latency_cycles: u32,
    pub credits: u16,
    /// Credits in all; 0 if it is not linked.
    pub capacity: u16,
    pub shard: u16,
    pub domain: u8,
    /// Same shard and same clock.
    pub direct: bool,
}

/// All outputs of a shard, four to a cache line.
#[derive(Default)]
pub(crate) struct Outs {
    lines: Vec<OutLine>,
    len: u32,
}

#[repr(align(64))]
struct OutLine([OutPort; 4]);

impl Outs {
    const UNLINKED: OutPort =
        OutPort { fifo: 0, latency_cycles: 1, credits: 0, capacity: 0, shard: 0, domain: 0, direct: true };

    pub fn len(&self) -> u32 {
        self.len
    }

    /// Adds an output that is not linked.
    fn add(&mut self) -> u32 {
        if self.len & 3 == 0 {
            self.lines.push(OutLine([Self::UNLINKED; 4]));
        }
        self.len += 1;
        self.len - 1
    }

    /// Asks for the line of an output, if there is one, and for the next.
    #[inline]
    fn prefetch(&self, out: u32) {
        prefetch(self.lines.as_ptr().wrapping_add((out >> 2) as usize));
        if out & 3 != 0 {
            prefetch(self.lines.as_ptr().wrapping_add((out >> 2) as usize + 1));
        }
    }
}

impl Index<u32> for Outs {
    type Output = OutPort;
    #[inline]
    fn index(&self, out: u32) -> &OutPort {
        &self.lines[(out >> 2) as usize].0[(out & 3) as usize]
    }
}

impl IndexMut<u32> for Outs {
    #[inline]
    fn index_mut(&mut self, out: u32) -> &mut OutPort {
        &mut self.lines[(out >> 2) as usize].0[(out & 3) as usize]
    }
}

/// What of an output is looked at seldom.
#[derive(Clone, Copy)]
pub(crate) struct OutRest {
    pub owner: u32,
    /// Its ledger in `Fabric::ledgers`, if the receiver is in another shard.
    ledger: u32,
    pub lane: u16,
    pub same_clock: bool,
}

/// A credit on its way to another shard.
#[derive(Clone, Copy)]
pub(crate) struct CreditCrossing {
    pub out: u32,
    pub due: u64,
}

pub(crate) struct Fabric {
    pub shard: u16,
    pub lanes: Vec<LaneSlot>,
    pub outs: Outs,
    pub outs_rest: Vec<OutRest>,
    /// Of links to other shards; the ledgers of other links lie in their FIFOs.
    ledgers: Vec<(Ledger, Ring)>,
    stamps: Vec<u64>,
    /// Outputs of each component, by flat number.
    pub outs_of: Vec<std::ops::Range<u32>>,
    /// Inputs of each component as (lane, FIFO), by flat number.
    pub fifos_of: Vec<Vec<(u16, u32)>>,
    pub wake: Wake,
    pub clocks: Vec<ClockDomain>,
    /// Time of the edge being worked on.
    pub time: Femtos,
    /// First edge of each domain strictly after `time`, once asked for.
    after: Vec<(Femtos, Cycle)>,
    pub credit_outbox: Vec<Vec<CreditCrossing>>,
    pub ahead: Ahead,
    pub work: Work,
    pub probes: Probes,
    pub ticks: u64,
}

impl Fabric {
    pub fn new(shard: usize, shards: usize, clocks: Vec<ClockDomain>) -> Fabric {
        Fabric {
            shard: shard as u16,
            lanes: Vec::new(),
            outs: Outs::default(),
            ledgers: Vec::new(),
            stamps: Vec::new(),
            outs_rest: Vec::new(),
            outs_of: Vec::new(),
            fifos_of: Vec::new(),
            wake: Wake::new(clocks.len()),
            after: vec![(Femtos::NEVER, Cycle(0)); clocks.len()],
            clocks,
            time: Femtos(0),
            credit_outbox: (0..shards).map(|_| Vec::new()).collect(),
            ahead: Ahead::default(),
            work: Work::default(),
            probes: Probes::default(),
            ticks: 0,
        }
    }

    /// Makes room for `count` neighbouring components; the flat number of the first.
    pub fn add_components(&mut self, count: usize, domain: u8) -> u32 {
        let base = self.wake.reserve(count, domain);
        let end = self.wake.domain.len();
        self.outs_of.resize(end, 0..0);
        self.fifos_of.resize(end, Vec::new());
        self.work.reserve(end);
        base
    }

    /// Adds a FIFO for an input; its number within the lane, and its bit among the inputs of its owner.
    pub fn add_fifo<P: Payload>(&mut self, owner: u32, lane: u16, capacity: u16) -> (u32, u8) {
        let inputs = &mut self.fifos_of[owner as usize];
        let input = inputs.len().min(usize::from(SHARED_INPUT)) as u8;
        let fifo = self.lanes[usize::from(lane)].typed_mut::<P>().add_fifo(owner, input, capacity);
        inputs.push((lane, fifo));
        if input == SHARED_INPUT {
            self.wake.minds[owner as usize].inputs |= 1 << SHARED_INPUT;
        }
        (fifo, input)
    }

    /// Adds the sending end of a link that is not connected yet.
    pub fn add_out(&mut self, owner: u32, lane: u16) -> u32 {
        self.outs_rest.push(OutRest { owner, ledger: 0, lane, same_clock: true });
        self.outs.add()
    }

    /// Connects an output; its credits are the capacity of the port given.
    pub fn open_out(&mut self, out: u32, port: OutPort, same_clock: bool) {
        self.outs[out] = port;
        self.outs_rest[out as usize].same_clock = same_clock;
        if port.shard != self.shard {
            let ring = Ring::after(self.stamps.len(), port.capacity);
            self.outs_rest[out as usize].ledger = self.ledgers.len() as u32;
            self.ledgers.push((Ledger::default(), ring));
            self.stamps.resize(self.stamps.len() + ring.places(), 0);
        }
    }

    #[inline]
    pub fn lane<P: Payload>(&self, lane: u16) -> &Lane<P> {
        self.lanes[lane as usize].typed()
    }

    #[inline]
    pub fn lane_mut<P: Payload>(&mut self, lane: u16) -> &mut Lane<P> {
        self.lanes[lane as usize].typed_mut()
    }

    /// Cycle of `domain` in which something is seen that leaves now over `latency` cycles (D9).
    #[inline]
    pub fn arrival(&mut self, domain: u8, latency: u32) -> u64 {
        let d = domain as usize;
        if self.after[d].0 != self.time {
            self.after[d] = (self.time, self.clocks[d].first_edge_after(self.time));
        }
        self.after[d].1.0 + u64::from(latency) - 1
    }

    /// Asks for the outputs of a component that will be ticked next.
    #[inline]
    pub fn prefetch_outs(&self, id: u32) {
        self.outs.prefetch(self.outs_of[id as usize].start);
    }

    /// Credits in hand at `now`, for an output of lane `P`.
    #[inline]
    pub fn room<P: Payload>(&mut self, lane: u16, out: u32, now: u64) -> u16 {
        let o = &mut self.outs[out];
        if o.credits < o.capacity {
            if o.shard == self.shard {
                o.credits += self.lanes[lane as usize].typed_mut::<P>().collect(o.fifo, now);
            } else {
                self.collect(out, now);
            }
        }
        self.outs[out].credits
    }

    /// Takes the credits in hand that are back at `now`; when the next one will be.
    pub fn collect(&mut self, out: u32, now: u64) -> Option<u64> {
        let (o, rest) = (&mut self.outs[out], self.outs_rest[out as usize]);
        if o.credits == o.capacity {
            return None;
        }
        let (back, next) = if o.shard == self.shard {
            self.lanes[usize::from(rest.lane)].lane.collect_credits(o.fifo, now)
        } else {
            let (ledger, ring) = &mut self.ledgers[rest.ledger as usize];
            (ledger.collect(&self.stamps, *ring, now), ledger.next_due(&self.stamps, *ring))
        };
        o.credits += back;
        next
    }

    /// Puts a credit that comes from another shard on the rest of its way, and sets an alarm for a sender that sleeps
    /// for it.
    pub fn return_credit(&mut self, out: u32, due: u64) {
        let rest = self.outs_rest[out as usize];
        let (ledger, ring) = &mut self.ledgers[rest.ledger as usize];
        ledger.give_back(&mut self.stamps, *ring, due, 0);
        if ledger.blocked {
            self.wake.credit_due(rest.owner, due);
        }
    }

    /// A credit for a sender of this shard that sleeps for one is due at `due`.
    #[cold]
    #[inline(never)]
    pub fn wake_sender(&mut self, out: u32, due: u64) {
        self.wake.credit_due(self.outs_rest[out as usize].owner, due);
    }

    /// The owner of these outputs falls asleep until a credit comes back.
    #[inline(never)]
    pub fn wait_for_credit(&mut self, id: u32, now: u64) {
        let mut earliest = u64::MAX;
        for out in self.outs_of[id as usize].clone() {
            let o = self.outs[out];
            if o.capacity == 0 {
                continue;
            }
            let next = self.collect(out, now);
            earliest = earliest.min(next.unwrap_or(u64::MAX));
            let blocked = self.outs[out].credits < o.capacity;
            let rest = self.outs_rest[out as usize];
            if o.shard == self.shard {
                self.lanes[usize::from(rest.lane)].lane.set_blocked(o.fifo, blocked);
            } else {
                self.ledgers[rest.ledger as usize].0.blocked = blocked;
            }
        }
        if earliest != u64::MAX {
            self.wake.credit_due(id, earliest);
        }
    }

    /// The credits of an output that are not back at `now`, as (due cycle, count).
    pub fn credit_batches(&mut self, out: u32, now: u64) -> Vec<(u64, u16)> {
        self.collect(out, now);
        let (o, rest) = (self.outs[out], self.outs_rest[out as usize]);
        if o.shard == self.shard {
            self.lanes[usize::from(rest.lane)].lane.credit_batches(o.fifo)
        } else {
            let (ledger, ring) = &self.ledgers[rest.ledger as usize];
            ledger.batches(&self.stamps, *ring)
        }
    }

    /// Takes on the credits of an output: so many in hand, the others on their way back. `waits`: its owner sleeps until
    /// one is back; then the alarm is among its own.
    pub fn restore_credits(&mut self, out: u32, in_hand: u16, batches: &[(u64, u16)], waits: bool) {
        self.outs[out].credits = in_hand;
        let (o, rest) = (self.outs[out], self.outs_rest[out as usize]);
        let each = batches.iter().flat_map(|&(due, count)| std::iter::repeat_n(due, usize::from(count)));
        let blocked = waits && in_hand < self.outs[out].capacity;
        if o.shard == self.shard {
            let lane = &mut self.lanes[usize::from(rest.lane)].lane;
            each.for_each(|due| lane.restore_credit(o.fifo, due));
            lane.set_blocked(o.fifo, blocked);
        } else {
            let (ledger, ring) = &mut self.ledgers[rest.ledger as usize];
            each.for_each(|due| ledger.give_back(&mut self.stamps, *ring, due, 0));
            ledger.blocked = blocked;
        }
    }

    /// Credits of an output in hand and on their way back.
    pub fn credits_at_home(&self, out: u32) -> u32 {
        let (o, rest) = (&self.outs[out], self.outs_rest[out as usize]);
        let away = if o.capacity == 0 {
            0
        } else if o.shard == self.shard {
            self.lanes[usize::from(rest.lane)].lane.credits_away(o.fifo)
        } else {
            let (ledger, ring) = &self.ledgers[rest.ledger as usize];
            ledger.credits(&self.stamps, *ring)
        };
        u32::from(o.credits) + away
    }
}

/// Foreground work of a shard (D7): who holds how much, and when the sum last fell.
#[derive(Default)]
pub(crate) struct Work {
    held: Vec<u32>,
    pub holders: Vec<u32>,
    place: Vec<u32>,
    pub outstanding: u64,
    pub begun: u64,
    /// Time of the last `end_work`.
    pub ended_at: Femtos,
}

impl Work {
    pub fn reserve(&mut self, components: usize) {
        self.held.resize(components, 0);
        self.place.resize(components, 0);
    }

    pub fn held(&self, id: u32) -> u32 {
        self.held[id as usize]
    }

    pub fn begin(&mut self, id: u32, n: u32) {
        if n == 0 {
            return;
        }
        let held = &mut self.held[id as usize];
        if *held == 0 {
            self.place[id as usize] = self.holders.len() as u32;
            self.holders.push(id);
        }
        *held += n;
        self.outstanding += u64::from(n);
        self.begun += u64::from(n);
    }

    /// Nobody holds any, and the last ended at a time.
    pub fn start_at(&mut self, ended_at: Femtos) {
        self.held.fill(0);
        self.holders.clear();
        (self.outstanding, self.begun, self.ended_at) = (0, 0, ended_at);
    }

    /// False if the component does not hold that much.
    #[must_use]
    pub fn end(&mut self, id: u32, n: u32, at: Femtos) -> bool {
        if n == 0 {
            return true;
        }
        let Some(left) = self.held[id as usize].checked_sub(n) else { return false };
        self.held[id as usize] = left;
        if left == 0 {
            let place = self.place[id as usize];
            self.holders.swap_remove(place as usize);
            if let Some(&moved) = self.holders.get(place as usize) {
                self.place[moved as usize] = place;
            }
        }
        self.outstanding -= u64::from(n);
        self.ended_at = at;
        true
    }
}
