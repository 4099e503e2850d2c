//! The fabric of one shard: lanes, credits, wake-ups and clocks, everything a tick may touch beside its component.

use crate::clock::ClockDomain;
use crate::lane::{Lane, LaneSlot, Payload};
use crate::prefetch::prefetch;
use crate::probe::Probes;
use crate::time::{Cycle, Femtos};
use crate::wake::Wake;

/// The sending end of a link, with the credits in hand: half a cache line.
///
/// Credits on their way back are (due cycle, count) batches. The newest is `tail`; only if an older one is not due yet
/// either, it goes into a ring of `stamps`. The sender adds them up when it next looks, and only a sender that sleeps
/// for lack of one is woken (D4).
#[repr(align(32))]
pub(crate) struct OutPort {
    /// Newest batch on its way, as `due << 16 | count`; 0 if there is none.
    tail: u64,
    pub fifo: u32,
    pub latency_cycles: u32,
    pub credits: u16,
    pub capacity: u16,
    head: u16,
    pending: u16,
    pub shard: u16,
    pub domain: u8,
    pub same_clock: bool,
    pub local: bool,
    pub linked: bool,
    /// The owner sleeps until a credit comes back.
    blocked: bool,
}

/// What of an output is looked at seldom.
#[derive(Clone, Copy)]
pub(crate) struct OutRest {
    pub owner: u32,
    /// Start of its ring.
    stamps: u32,
    pub lane: u16,
}

impl OutPort {
    /// The ring of stamps is the next power of two of the capacity.
    #[inline]
    fn mask(&self) -> u16 {
        u16::MAX.checked_shr(self.capacity.saturating_sub(1).leading_zeros()).unwrap_or(0)
    }
}

const COUNT_BITS: u32 = 16;

/// A credit on its way to another shard.
#[derive(Clone, Copy)]
pub(crate) struct CreditCrossing {
    pub out: u32,
    pub due: u64,
}

pub(crate) struct Fabric {
    pub shard: u16,
    pub lanes: Vec<LaneSlot>,
    pub outs: Vec<OutPort>,
    pub outs_rest: Vec<OutRest>,
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
    pub work: Work,
    pub probes: Probes,
    pub ticks: u64,
}

impl Fabric {
    pub fn new(shard: usize, shards: usize, clocks: Vec<ClockDomain>) -> Fabric {
        Fabric {
            shard: shard as u16,
            lanes: Vec::new(),
            outs: Vec::new(),
            stamps: Vec::new(),
            outs_rest: Vec::new(),
            outs_of: Vec::new(),
            fifos_of: Vec::new(),
            wake: Wake::new(clocks.len()),
            after: vec![(Femtos::NEVER, Cycle(0)); clocks.len()],
            clocks,
            time: Femtos(0),
            credit_outbox: (0..shards).map(|_| Vec::new()).collect(),
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

    /// Adds the sending end of a link that is not connected yet.
    pub fn add_out(&mut self, owner: u32, lane: u16) -> u32 {
        self.outs_rest.push(OutRest { owner, stamps: 0, lane });
        self.outs.push(OutPort {
            tail: 0,
            fifo: 0,
            latency_cycles: 1,
            credits: 0,
            capacity: 0,
            head: 0,
            pending: 0,
            shard: 0,
            domain: 0,
            same_clock: true,
            local: true,
            linked: false,
            blocked: false,
        });
        (self.outs.len() - 1) as u32
    }

    /// Gives an output its credits and its ring for returning ones.
    pub fn open_out(&mut self, out: u32, capacity: u16) {
        let o = &mut self.outs[out as usize];
        o.credits = capacity;
        o.capacity = capacity;
        o.linked = true;
        self.outs_rest[out as usize].stamps = self.stamps.len() as u32;
        self.stamps.resize(self.stamps.len() + usize::from(capacity).next_power_of_two(), 0);
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
        let first = self.outs_of[id as usize].start as usize;
        if let Some(ports) = self.outs.get(first..first + 4) {
            prefetch(&ports[0]);
            prefetch(&ports[2]);
        }
    }

    /// Credits in hand at `now`.
    #[inline]
    pub fn room(&mut self, out: u32, now: u64) -> u16 {
        let o = &mut self.outs[out as usize];
        if o.tail != 0 {
            if o.pending > 0 {
                self.collect(out, now);
            }
            let o = &mut self.outs[out as usize];
            if o.pending == 0 && o.tail >> COUNT_BITS <= now {
                o.credits += o.tail as u16;
                o.tail = 0;
            }
            return o.credits;
        }
        o.credits
    }

    /// Takes what is due out of the ring of an output.
    #[inline(never)]
    fn collect(&mut self, out: u32, now: u64) {
        let o = &mut self.outs[out as usize];
        let ring = self.outs_rest[out as usize].stamps as usize;
        while o.pending > 0 {
            let batch = self.stamps[ring + usize::from(o.head)];
            if batch >> COUNT_BITS > now {
                break;
            }
            o.credits += batch as u16;
            o.head = (o.head + 1) & o.mask();
            o.pending -= 1;
        }
    }

    /// Puts a returning credit on its way and sets an alarm for a sender that sleeps for it. `reached` is a cycle of
    /// the sender's clock that it has reached for certain: what was due then may be added up without being seen.
    #[inline]
    pub fn return_credit(&mut self, out: u32, due: u64, reached: u64) {
        if self.outs[out as usize].pending > 0 && reached > 0 {
            self.collect(out, reached);
        }
        let o = &mut self.outs[out as usize];
        if o.tail != 0 {
            debug_assert!(o.tail >> COUNT_BITS <= due, "credits overtake each other");
            if o.tail >> COUNT_BITS == due {
                o.tail += 1;
                return;
            }
            if o.pending == 0 && o.tail >> COUNT_BITS <= reached {
                o.credits += o.tail as u16;
            } else {
                let ring = self.outs_rest[out as usize].stamps as usize;
                self.stamps[ring + usize::from(o.head.wrapping_add(o.pending) & o.mask())] = o.tail;
                o.pending += 1;
            }
        }
        o.tail = due << COUNT_BITS | 1;
        if o.blocked {
            self.wake.credit_due(self.outs_rest[out as usize].owner, due);
        }
    }

    /// The owner of these outputs falls asleep until a credit comes back.
    #[inline(never)]
    pub fn wait_for_credit(&mut self, id: u32, now: u64) {
        let mut earliest = u64::MAX;
        for out in self.outs_of[id as usize].clone() {
            self.room(out, now);
            let o = &mut self.outs[out as usize];
            o.blocked = o.credits < o.capacity;
            if let (Some(due), _) = self.pending_credits(out) {
                earliest = earliest.min(due);
            }
        }
        if earliest != u64::MAX {
            self.wake.credit_due(id, earliest);
        }
    }

    /// Earliest credit on its way to an output, and how many are.
    pub fn pending_credits(&self, out: u32) -> (Option<u64>, u32) {
        let o = &self.outs[out as usize];
        let ring = self.outs_rest[out as usize].stamps as usize;
        let batch = |i: u16| self.stamps[ring + usize::from(o.head.wrapping_add(i) & o.mask())];
        let first = if o.pending > 0 { batch(0) } else { o.tail };
        let count = (0..o.pending).map(|i| u32::from(batch(i) as u16)).sum::<u32>() + u32::from(o.tail as u16);
        ((first != 0).then_some(first >> COUNT_BITS), count)
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
