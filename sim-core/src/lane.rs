//! Lanes: one per protocol. Messages in flight wait in a wheel; what has arrived waits in flat FIFO banks.
//!
//! A FIFO has exactly one writer, so the order in which a cycle's messages are delivered cannot be seen.

use crate::wake::Wake;
use crate::wheel::Wheel;
use std::any::{Any, TypeId};

/// A protocol's message: small, `Copy`, no references. A lane is registered for it when a port first names it.
pub trait Payload: Copy + Send + Sync + 'static {
    /// Name of the protocol in messages to the user, e.g. `"memory request"`.
    const NAME: &'static str;
}

/// One FIFO's ring within the slots of its lane. 16 bytes: four of them share a cache line.
#[derive(Clone, Copy)]
pub(crate) struct Fifo {
    base: u32,
    pub owner: u32,
    head: u16,
    len: u16,
    mask: u16,
    /// What the component declared; the ring is the next power of two.
    pub capacity: u16,
}

/// Where the credits of a FIFO go.
#[derive(Clone, Copy)]
pub(crate) struct Writer {
    pub out: u32,
    pub latency_cycles: u32,
    pub shard: u16,
    pub domain: u8,
    pub same_clock: bool,
    pub linked: bool,
}

/// A message on its way to a FIFO of another shard.
#[derive(Clone, Copy)]
struct Crossing<P> {
    due: u64,
    fifo: u32,
    domain: u8,
    message: P,
}

pub(crate) struct Lane<P> {
    pub fifos: Vec<Fifo>,
    pub writers: Vec<Writer>,
    slots: Vec<Option<P>>,
    in_flight: Vec<Wheel<(u32, P)>>,
    outbox: Vec<Vec<Crossing<P>>>,
    pub delivered: u64,
}

impl<P: Payload> Lane<P> {
    pub fn new(domains: usize, shards: usize) -> Lane<P> {
        Lane {
            fifos: Vec::new(),
            writers: Vec::new(),
            slots: Vec::new(),
            in_flight: (0..domains).map(|_| Wheel::new()).collect(),
            outbox: (0..shards).map(|_| Vec::new()).collect(),
            delivered: 0,
        }
    }

    pub fn add_fifo(&mut self, owner: u32, capacity: u16) -> u32 {
        let ring = usize::from(capacity).next_power_of_two();
        let base = self.slots.len();
        self.slots.resize(base + ring, None);
        let mask = (ring - 1) as u16;
        self.fifos.push(Fifo { base: base as u32, owner, head: 0, len: 0, mask, capacity });
        self.writers.push(Writer { out: 0, latency_cycles: 1, shard: 0, domain: 0, same_clock: true, linked: false });
        (self.fifos.len() - 1) as u32
    }

    #[inline]
    pub fn len(&self, fifo: u32) -> u16 {
        self.fifos[fifo as usize].len
    }

    #[inline]
    pub fn peek(&self, fifo: u32, nth: u16) -> Option<&P> {
        let f = &self.fifos[fifo as usize];
        if nth >= f.len {
            return None;
        }
        self.slots[f.base as usize + usize::from(f.head.wrapping_add(nth) & f.mask)].as_ref()
    }

    #[inline]
    pub fn take(&mut self, fifo: u32) -> Option<P> {
        let f = &mut self.fifos[fifo as usize];
        if f.len == 0 {
            return None;
        }
        let slot = f.base as usize + usize::from(f.head);
        f.head = (f.head + 1) & f.mask;
        f.len -= 1;
        self.slots[slot]
    }

    #[inline]
    pub fn send(&mut self, domain: u8, due: u64, fifo: u32, message: P) {
        self.in_flight[domain as usize].push(due, (fifo, message));
    }

    pub fn send_across(&mut self, shard: u16, domain: u8, due: u64, fifo: u32, message: P) {
        self.outbox[shard as usize].push(Crossing { due, fifo, domain, message });
    }
}

/// What a shard does with a lane without knowing its protocol.
pub(crate) trait AnyLane: Send + Sync + Any {
    /// Moves what is due into its FIFOs and makes the owners due; number of messages.
    fn deliver(&mut self, domain: u8, cycle: u64, wake: &mut Wake) -> usize;
    fn next_due(&mut self, domain: u8) -> Option<u64>;
    fn set_writer(&mut self, fifo: u32, writer: Writer);
    fn writer(&self, fifo: u32) -> Writer;
    fn waiting(&self, fifo: u32) -> u16;
    fn delivered(&self) -> u64;
    /// Hands what is bound for shard `to` to the same lane there.
    fn cross(&mut self, to: usize, there: &mut dyn AnyLane);
    fn has_crossings(&self, to: usize) -> bool;
}

impl<P: Payload> AnyLane for Lane<P> {
    fn deliver(&mut self, domain: u8, cycle: u64, wake: &mut Wake) -> usize {
        let Lane { fifos, slots, in_flight, delivered, .. } = self;
        let count = in_flight[domain as usize].drain(cycle, |(fifo, message)| {
            let f = &mut fifos[fifo as usize];
            debug_assert!(f.len < f.capacity, "a message without a credit");
            slots[f.base as usize + usize::from(f.head.wrapping_add(f.len) & f.mask)] = Some(message);
            f.len += 1;
            wake.mark_if(f.owner, crate::activity::INPUT);
        });
        *delivered += count as u64;
        count
    }

    fn next_due(&mut self, domain: u8) -> Option<u64> {
        self.in_flight[domain as usize].next_due()
    }

    fn set_writer(&mut self, fifo: u32, writer: Writer) {
        self.writers[fifo as usize] = writer;
    }

    fn writer(&self, fifo: u32) -> Writer {
        self.writers[fifo as usize]
    }

    fn waiting(&self, fifo: u32) -> u16 {
        self.fifos[fifo as usize].len
    }

    fn delivered(&self) -> u64 {
        self.delivered
    }

    fn cross(&mut self, to: usize, there: &mut dyn AnyLane) {
        let there: &mut dyn Any = there;
        let there = there.downcast_mut::<Lane<P>>().expect("lanes have the same order in every shard");
        for c in self.outbox[to].drain(..) {
            there.send(c.domain, c.due, c.fifo, c.message);
        }
    }

    fn has_crossings(&self, to: usize) -> bool {
        !self.outbox[to].is_empty()
    }
}

/// A lane with the type of its messages beside it.
pub(crate) struct LaneSlot {
    type_id: TypeId,
    pub lane: Box<dyn AnyLane>,
}

impl LaneSlot {
    pub fn new<P: Payload>(domains: usize, shards: usize) -> LaneSlot {
        LaneSlot { type_id: TypeId::of::<P>(), lane: Box::new(Lane::<P>::new(domains, shards)) }
    }

    #[inline]
    pub fn typed<P: Payload>(&self) -> &Lane<P> {
        let lane: &dyn Any = &*self.lane;
        debug_assert_eq!(self.type_id, TypeId::of::<P>());
        lane.downcast_ref().expect("a port of another machine")
    }

    #[inline]
    pub fn typed_mut<P: Payload>(&mut self) -> &mut Lane<P> {
        let lane: &mut dyn Any = &mut *self.lane;
        debug_assert_eq!(self.type_id, TypeId::of::<P>());
        lane.downcast_mut().expect("a port of another machine")
    }
}
