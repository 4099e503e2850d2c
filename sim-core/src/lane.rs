//! Lanes: one per protocol. Messages in flight wait in a wheel; what has arrived waits in flat FIFO banks.
//!
//! A FIFO has exactly one writer, so the order in which a cycle's messages are delivered cannot be seen.

use crate::ledger::{Ledger, Ring};
use crate::prefetch::prefetch;
use crate::snapshot::{self, LoadError, Reader};
use crate::wake::{SHARED_INPUT, Wake};
use crate::wheel::Wheel;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::any::{Any, TypeId};
use std::collections::VecDeque;
use std::ops::Range;

/// Messages of a cycle between asking the cache for a FIFO and delivering into it.
const AHEAD: usize = 24;

/// A protocol's message: small, `Copy`, plain data without references. A lane is registered for it when a port first names it.
pub trait Payload: Copy + Serialize + DeserializeOwned + Send + Sync + 'static {
    /// Name of the protocol in messages to the user, e.g. `"memory request"`.
    const NAME: &'static str;
}

/// One FIFO. Its oldest message lies right here, with the credits on their way back, so that looking at an input and
/// taking from it touches one cache line and nothing else; the other messages wait in a ring within the slots of the
/// lane, and older credits at the same places of its stamps.
#[repr(align(64))]
struct Fifo<P> {
    oldest: Option<P>,
    ledger: Ledger,
    writer: Writer,
    owner: u32,
    ring: Ring,
    /// First of the ring, and messages in all, the oldest included.
    head: u16,
    len: u16,
    /// Which input of its owner it is, at most [`SHARED_INPUT`].
    input: u8,
    #[cfg(debug_assertions)]
    capacity: u16,
}

/// Where the credits of a FIFO go.
#[derive(Clone, Copy)]
pub(crate) struct Writer {
    pub out: u32,
    pub latency_cycles: u32,
    pub shard: u16,
    pub domain: u8,
    pub kind: WriterKind,
}

/// Where the sender of a link is, seen from the FIFO. One byte: with it a FIFO of small messages is one cache line.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum WriterKind {
    /// Nobody sends.
    Unlinked,
    /// Same shard and same clock.
    Direct,
    /// The same, but the sender may be some cycles behind.
    Behind,
    /// Same clock, another shard.
    OtherShard,
    OtherClock,
}

impl WriterKind {
    pub fn of_link(same_shard: bool, same_clock: bool) -> WriterKind {
        match (same_shard, same_clock) {
            (_, false) => WriterKind::OtherClock,
            (false, true) => WriterKind::OtherShard,
            (true, true) => WriterKind::Direct,
        }
    }
}

impl<P: Payload> Fifo<P> {
    /// A message has arrived in this FIFO, number `fifo` of the lane.
    #[inline(always)]
    fn put(&mut self, slots: &mut [Option<P>], occupied: &mut [u64], fifo: u32, message: P, wake: &mut Wake) {
        #[cfg(debug_assertions)]
        assert!(self.len < self.capacity, "a message without a credit");
        if self.len == 0 {
            self.oldest = Some(message);
            occupied[(fifo >> 6) as usize] |= 1 << (fifo & 63);
        } else {
            slots[self.ring.at(self.head, self.len - 1)] = Some(message);
        }
        self.len += 1;
        wake.arrived(self.owner, self.input);
    }
}

// A FIFO whose messages are small fits into one line.
#[cfg(not(debug_assertions))]
const _: () = assert!(size_of::<Fifo<[u32; 3]>>() == 64 && size_of::<Fifo<u64>>() == 64);

/// What became of the credit of a message taken.
pub(crate) enum CreditWay {
    /// It is on its way.
    Home,
    /// It is on its way to a sender that sleeps for it.
    Awaited { out: u32, due: u64 },
    /// It belongs to another shard or another clock and was not returned yet.
    Elsewhere,
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
    fifos: Vec<Fifo<P>>,
    /// One bit a FIFO that holds anything.
    occupied: Vec<u64>,
    slots: Vec<Option<P>>,
    stamps: Vec<u64>,
    in_flight: Vec<Wheel<(u32, P)>>,
    /// By FIFO, messages in flight to components that work through several cycles in one go: those look for themselves.
    /// `None`: the owner does not.
    waiting: Vec<Option<VecDeque<(u64, P)>>>,
    /// When the first of what was sent to such components since anybody asked arrives.
    news: u64,
    /// A cycle that all of them have reached.
    reached_behind: u64,
    outbox: Vec<Vec<Crossing<P>>>,
    pub delivered: u64,
}

impl<P: Payload> Lane<P> {
    pub fn new(domains: usize, shards: usize) -> Lane<P> {
        Lane {
            fifos: Vec::new(),
            occupied: Vec::new(),
            slots: Vec::new(),
            stamps: Vec::new(),
            in_flight: (0..domains).map(|_| Wheel::new()).collect(),
            waiting: Vec::new(),
            news: u64::MAX,
            reached_behind: 0,
            outbox: (0..shards).map(|_| Vec::new()).collect(),
            delivered: 0,
        }
    }

    pub fn add_fifo(&mut self, owner: u32, input: u8, capacity: u16) -> u32 {
        let ring = Ring::after(self.slots.len(), capacity);
        self.slots.resize(self.slots.len() + ring.places(), None);
        self.stamps.resize(self.slots.len(), 0);
        self.fifos.push(Fifo {
            oldest: None,
            ledger: Ledger::default(),
            writer: Writer { out: 0, latency_cycles: 1, shard: 0, domain: 0, kind: WriterKind::Unlinked },
            owner,
            ring,
            head: 0,
            len: 0,
            input,
            #[cfg(debug_assertions)]
            capacity,
        });
        self.occupied.resize(self.fifos.len().div_ceil(64), 0);
        (self.fifos.len() - 1) as u32
    }

    #[inline]
    pub fn len(&self, fifo: u32) -> u16 {
        self.fifos[fifo as usize].len
    }

    #[inline]
    pub fn peek(&self, fifo: u32) -> Option<&P> {
        self.fifos[fifo as usize].oldest.as_ref()
    }

    /// Whether a FIFO is empty.
    #[inline]
    pub fn is_empty(&self, fifo: u32) -> bool {
        self.occupied[(fifo >> 6) as usize] >> (fifo & 63) & 1 == 0
    }

    /// Messages in flight to a FIFO whose owner works through several cycles in one go.
    pub fn upcoming(&self, fifo: u32) -> impl Iterator<Item = &P> {
        let waiting = self.waiting.get(fifo as usize).and_then(Option::as_ref);
        waiting.into_iter().flatten().map(|(_, message)| message)
    }

    /// The first FIFO of a range that holds anything.
    #[inline]
    pub fn next_full(&self, fifos: Range<u32>) -> Option<u32> {
        let mut from = fifos.start;
        while from < fifos.end {
            let bits = self.occupied[(from >> 6) as usize] >> (from & 63);
            if bits != 0 {
                return Some(from + bits.trailing_zeros()).filter(|fifo| *fifo < fifos.end);
            }
            from = (from | 63) + 1;
        }
        None
    }

    pub fn peek_nth(&self, fifo: u32, nth: u16) -> Option<&P> {
        let f = &self.fifos[fifo as usize];
        match nth {
            0 => f.oldest.as_ref(),
            nth if nth >= f.len => None,
            nth => self.slots[f.ring.at(f.head, nth - 1)].as_ref(),
        }
    }

    /// Takes the oldest message at cycle `now` of the receiver's clock; `inputs` are the full ones of the receiver.
    #[inline]
    pub fn take(&mut self, fifo: u32, now: u64, inputs: &mut u32) -> Option<(P, CreditWay)> {
        let f = &mut self.fifos[fifo as usize];
        let message = f.oldest.take()?;
        f.len -= 1;
        if f.len == 0 {
            self.occupied[(fifo >> 6) as usize] &= !(1 << (fifo & 63));
            *inputs &= !(1 << (f.input & 31)) | 1 << SHARED_INPUT;
        } else {
            f.oldest = self.slots[f.ring.at(f.head, 0)];
            // An empty ring starts over, so that a lightly used one keeps to its first slots and they to the cache.
            f.head = if f.len == 1 { 0 } else { f.head.wrapping_add(1) & f.ring.mask };
        }
        if matches!(f.writer.kind, WriterKind::OtherShard | WriterKind::OtherClock) {
            return Some((message, CreditWay::Elsewhere));
        }
        let due = now + u64::from(f.writer.latency_cycles);
        let reached = if f.writer.kind == WriterKind::Behind { self.reached_behind } else { now };
        f.ledger.give_back(&mut self.stamps, f.ring, due, reached);
        let way = if f.ledger.blocked { CreditWay::Awaited { out: f.writer.out, due } } else { CreditWay::Home };
        Some((message, way))
    }

    /// Returns a credit to another clock. True if the sender sleeps for it.
    pub fn return_credit(&mut self, fifo: u32, due: u64) -> bool {
        let f = &mut self.fifos[fifo as usize];
        f.ledger.give_back(&mut self.stamps, f.ring, due, 0);
        f.ledger.blocked
    }

    /// Credits that are back at `now`, for the sender to take.
    #[inline]
    pub fn collect(&mut self, fifo: u32, now: u64) -> u16 {
        let f = &mut self.fifos[fifo as usize];
        f.ledger.collect(&self.stamps, f.ring, now)
    }

    #[inline]
    pub fn send(&mut self, domain: u8, due: u64, fifo: u32, message: P) {
        if domain == STRETCHED {
            if let Some(Some(waiting)) = self.waiting.get_mut(fifo as usize) {
                waiting.push_back((due, message));
            }
            self.news = self.news.min(due);
        } else {
            self.in_flight[domain as usize].push(due, (fifo, message));
        }
    }

    pub fn send_across(&mut self, shard: u16, domain: u8, due: u64, fifo: u32, message: P) {
        self.outbox[shard as usize].push(Crossing { due, fifo, domain, message });
    }
}

/// In the place of a domain: the receiver works through several cycles in one go, and what is in flight to it waits by
/// FIFO. A machine has fewer clocks.
pub(crate) const STRETCHED: u8 = u8::MAX;

/// What a shard does with a lane without knowing its protocol.
pub(crate) trait AnyLane: Send + Sync + Any {
    /// From now on, what is sent to a FIFO comes over the domain [`STRETCHED`].
    fn stretch(&mut self, fifo: u32);
    /// When the first message in flight to such a FIFO arrives.
    fn next_waiting(&self, fifo: u32) -> Option<u64>;
    /// Moves what has arrived by `cycle` into such a FIFO; when the next message arrives.
    fn deliver_waiting(&mut self, fifo: u32, cycle: u64, wake: &mut Wake) -> Option<u64>;
    /// Components that work through several cycles in one go have reached a cycle.
    fn set_reached_behind(&mut self, cycle: u64);
    /// When the first of what was sent to such FIFOs since the last call arrives; [`u64::MAX`]: nothing was.
    fn take_news(&mut self) -> u64;
    fn owner(&self, fifo: u32) -> u32;
    /// Moves what is due into its FIFOs and makes the owners due; number of messages.
    fn deliver(&mut self, domain: u8, cycle: u64, wake: &mut Wake) -> usize;
    fn next_due(&mut self, domain: u8) -> Option<u64>;
    /// Cycle up to `limit` at which the first message in flight for a FIFO arrives.
    fn next_arrival(&self, domain: u8, fifo: u32, limit: u64) -> Option<u64>;
    fn set_writer(&mut self, fifo: u32, writer: Writer);
    fn writer(&self, fifo: u32) -> Writer;
    /// Credits that are back at `now`, for the sender to take, and when the next one is due.
    fn collect_credits(&mut self, fifo: u32, now: u64) -> (u16, Option<u64>);
    /// Notes whether the sender sleeps for a credit.
    fn set_blocked(&mut self, fifo: u32, blocked: bool);
    /// Credits that the sender has not taken back, due or not.
    fn credits_away(&self, fifo: u32) -> u32;
    fn waiting(&self, fifo: u32) -> u16;
    fn delivered(&self) -> u64;
    /// Hands what is bound for shard `to` to the same lane there.
    fn cross(&mut self, to: usize, there: &mut dyn AnyLane);
    fn has_crossings(&self, to: usize) -> bool;
    /// The messages that wait at each FIFO and those in flight to it with the cycles they are due at, in order; empty
    /// where there are none.
    fn save(&self) -> Vec<Vec<u8>>;
    /// Takes on the messages of one FIFO with a capacity, to be delivered by the clock `domain`; how many there are.
    fn load(
        &mut self,
        fifo: u32,
        capacity: u16,
        domain: u8,
        from: &mut Reader<'_>,
        wake: &mut Wake,
    ) -> Result<u16, LoadError>;
    /// The credits of a FIFO that its sender has not taken back, as (due cycle, count); those due at the last look are
    /// left out.
    fn credit_batches(&self, fifo: u32) -> Vec<(u64, u16)>;
    /// Puts a credit of a FIFO on its way back again.
    fn restore_credit(&mut self, fifo: u32, due: u64);
    /// Starts at `cycle` of a domain with nothing in flight, and with so many messages delivered in all domains.
    fn start_at(&mut self, domain: usize, cycle: u64);
    fn set_delivered(&mut self, delivered: u64);
}

impl<P: Payload> AnyLane for Lane<P> {
    fn stretch(&mut self, fifo: u32) {
        let places = self.waiting.len().max(fifo as usize + 1);
        self.waiting.resize_with(places, || None);
        self.waiting[fifo as usize] = Some(VecDeque::new());
    }

    #[inline]
    fn next_waiting(&self, fifo: u32) -> Option<u64> {
        self.waiting.get(fifo as usize)?.as_ref()?.front().map(|first| first.0)
    }

    fn deliver_waiting(&mut self, fifo: u32, cycle: u64, wake: &mut Wake) -> Option<u64> {
        let waiting = self.waiting.get_mut(fifo as usize)?.as_mut()?;
        while let Some(&(due, message)) = waiting.front() {
            if due > cycle {
                return Some(due);
            }
            waiting.pop_front();
            self.fifos[fifo as usize].put(&mut self.slots, &mut self.occupied, fifo, message, wake);
            self.delivered += 1;
        }
        None
    }

    fn set_reached_behind(&mut self, cycle: u64) {
        self.reached_behind = cycle;
    }

    fn take_news(&mut self) -> u64 {
        std::mem::replace(&mut self.news, u64::MAX)
    }

    fn owner(&self, fifo: u32) -> u32 {
        self.fifos[fifo as usize].owner
    }

    fn deliver(&mut self, domain: u8, cycle: u64, wake: &mut Wake) -> usize {
        let Lane { fifos, occupied, slots, in_flight, delivered, .. } = self;
        let count = in_flight[domain as usize].drain_batch(cycle, |batch| {
            for (i, &(fifo, message)) in batch.iter().enumerate() {
                if let Some(&(ahead, _)) = batch.get(i + AHEAD) {
                    prefetch(fifos.as_ptr().wrapping_add(ahead as usize));
                }
                fifos[fifo as usize].put(slots, occupied, fifo, message, wake);
            }
        });
        *delivered += count as u64;
        count
    }

    fn next_due(&mut self, domain: u8) -> Option<u64> {
        self.in_flight[domain as usize].next_due()
    }

    fn next_arrival(&self, domain: u8, fifo: u32, limit: u64) -> Option<u64> {
        let waiting = self.next_waiting(fifo).filter(|due| *due <= limit);
        waiting.or_else(|| self.in_flight[domain as usize].earliest_where(limit, |(f, _)| *f == fifo))
    }

    fn set_writer(&mut self, fifo: u32, writer: Writer) {
        self.fifos[fifo as usize].writer = writer;
    }

    fn writer(&self, fifo: u32) -> Writer {
        self.fifos[fifo as usize].writer
    }

    fn collect_credits(&mut self, fifo: u32, now: u64) -> (u16, Option<u64>) {
        let back = self.collect(fifo, now);
        let f = &self.fifos[fifo as usize];
        (back, f.ledger.next_due(&self.stamps, f.ring))
    }

    fn set_blocked(&mut self, fifo: u32, blocked: bool) {
        self.fifos[fifo as usize].ledger.blocked = blocked;
    }

    fn credits_away(&self, fifo: u32) -> u32 {
        let f = &self.fifos[fifo as usize];
        f.ledger.credits(&self.stamps, f.ring)
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

    fn save(&self) -> Vec<Vec<u8>> {
        debug_assert!(self.outbox.iter().all(Vec::is_empty), "saved in the middle of a window");
        let mut flying: Vec<Vec<(u64, P)>> = self.fifos.iter().map(|_| Vec::new()).collect();
        for wheel in &self.in_flight {
            for (due, &(fifo, message)) in wheel.in_order() {
                flying[fifo as usize].push((due, message));
            }
        }
        for (waiting, flying) in self.waiting.iter().zip(&mut flying) {
            flying.extend(waiting.iter().flatten());
        }
        let encode = |(fifo, flying): (usize, Vec<(u64, P)>)| {
            let waiting: Vec<P> =
                (0..self.fifos[fifo].len).filter_map(|n| self.peek_nth(fifo as u32, n).copied()).collect();
            if waiting.is_empty() && flying.is_empty() {
                return Vec::new();
            }
            let mut out = snapshot::Writer::new();
            out.put(&(waiting, flying));
            out.into_bytes()
        };
        flying.into_iter().enumerate().map(encode).collect()
    }

    fn load(
        &mut self,
        fifo: u32,
        capacity: u16,
        domain: u8,
        from: &mut Reader<'_>,
        wake: &mut Wake,
    ) -> Result<u16, LoadError> {
        let (waiting, flying): (Vec<P>, Vec<(u64, P)>) = from.get()?;
        let wheel = &mut self.in_flight[usize::from(domain)];
        if waiting.len() + flying.len() > usize::from(capacity) || flying.iter().any(|(due, _)| *due <= wheel.now()) {
            return Err(LoadError::invalid("messages that cannot be on this link"));
        }
        let f = &mut self.fifos[fifo as usize];
        f.len = waiting.len() as u16;
        for (nth, message) in (0..).zip(waiting.iter().copied()) {
            match nth {
                0 => f.oldest = Some(message),
                nth => self.slots[f.ring.at(0, nth - 1)] = Some(message),
            }
        }
        if f.len > 0 {
            wake.fill_input(f.owner, f.input);
            self.occupied[(fifo >> 6) as usize] |= 1 << (fifo & 63);
        }
        match self.waiting.get_mut(fifo as usize) {
            Some(Some(waiting)) => waiting.extend(&flying),
            _ => flying.iter().for_each(|&(due, message)| wheel.push(due, (fifo, message))),
        }
        Ok((waiting.len() + flying.len()) as u16)
    }

    fn credit_batches(&self, fifo: u32) -> Vec<(u64, u16)> {
        let f = &self.fifos[fifo as usize];
        f.ledger.batches(&self.stamps, f.ring)
    }

    fn restore_credit(&mut self, fifo: u32, due: u64) {
        self.return_credit(fifo, due);
    }

    fn start_at(&mut self, domain: usize, cycle: u64) {
        self.in_flight[domain] = Wheel::starting_at(cycle);
        self.waiting.iter_mut().flatten().for_each(VecDeque::clear);
        (self.news, self.reached_behind) = (u64::MAX, 0);
    }

    fn set_delivered(&mut self, delivered: u64) {
        self.delivered = delivered;
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
        if self.type_id != TypeId::of::<P>() {
            wrong_machine(P::NAME);
        }
        let lane: *const dyn AnyLane = &*self.lane;
        // SAFETY: `type_id` was set beside a `Lane<P>` of this very type in `LaneSlot::new`, and neither changes
        // afterwards. `Any::downcast_ref` asks the lane itself by a virtual call, at every peek, take and send.
        unsafe { &*lane.cast::<Lane<P>>() }
    }

    #[inline]
    pub fn typed_mut<P: Payload>(&mut self) -> &mut Lane<P> {
        if self.type_id != TypeId::of::<P>() {
            wrong_machine(P::NAME);
        }
        let lane: *mut dyn AnyLane = &mut *self.lane;
        // SAFETY: as in `typed`; the borrow of the lane is as unique as that of the slot.
        unsafe { &mut *lane.cast::<Lane<P>>() }
    }
}

#[cold]
#[inline(never)]
fn wrong_machine(protocol: &str) -> ! {
    panic!("a port for {protocol} was used in a machine that did not make it")
}
