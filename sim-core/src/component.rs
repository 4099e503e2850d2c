//! What a component is, and all that its tick may do to the world.

use crate::activity::Activity;
use crate::error::BuildError;
use crate::fabric::Fabric;
use crate::lane::{AnyLane, CreditWay, Payload, WriterKind};
use crate::probe::Fact;
use crate::site::Site;
use crate::snapshot::Saved;
use crate::stats::StatsNode;
use crate::time::{Cycle, Femtos};
use crate::wake::SHARED_INPUT;
use serde::de::DeserializeOwned;
use std::marker::PhantomData;
use std::ops::Range;

/// A part of a machine. It sees ports, never another component.
///
/// Its state can be saved ([`Saved`]): name all fields once with [`saved!`](crate::saved).
pub trait Component: Saved + Sized + Send + 'static {
    /// The name used in machine files, e.g. `"gpu.sm"`.
    const KIND: &'static str;
    /// One line about it, for lists of what there is.
    const DESCRIPTION: &'static str = "";
    /// Whether ticking an idle component costs next to nothing. If so, an arena most of whose components are busy is
    /// ticked as a whole. Say `false` for a large component.
    const CHEAP_IDLE_TICK: bool = true;
    /// Whether the component has so much state that it pays to work through several of its cycles in one go, as many as
    /// its links' latencies allow: the host's caches are then filled once for all of them. It holds no foreground work
    /// and sets no background alarm, and components of one shard are not ticked in the order of time: they may share
    /// nothing but links.
    const STRETCHES: bool = false;
    /// Plain data from the machine file, with `deny_unknown_fields`.
    type Spec: DeserializeOwned;

    /// Declares ports and sets up the state. Called once for each component of a part.
    fn build(spec: Self::Spec, site: &mut Site<'_>) -> Result<Self, BuildError>;

    /// One clock edge. See [`Activity`] for the contract of sleeping.
    fn tick(&mut self, cx: &mut Cx<'_>) -> Activity;

    /// Asks the host's caches ([`prefetch`](crate::prefetch)) for what lies outside the component itself and the coming ticks
    /// will look at. Called before a stretch ([`Component::STRETCHES`]).
    fn prefetch(&self, _cx: &Cx<'_>) {}

    /// Counters, histograms and breakdowns up to cycle `at` of the component's clock, where the run stopped.
    fn report(&self, at: Cycle, out: &mut StatsNode);

    /// The oldest request that waits here, for the deadlock report; `None` if nothing waits.
    fn waiting(&self) -> Option<String> {
        None
    }
}

/// The receiving end of a link: a FIFO. A handle, valid in the component that declared it.
pub struct In<P> {
    pub(crate) fifo: u32,
    pub(crate) lane: u16,
    /// Which input of the component it is.
    pub(crate) input: u8,
    pub(crate) protocol: PhantomData<fn() -> P>,
}

/// The sending end of a link. A handle, valid in the component that declared it.
pub struct Out<P> {
    pub(crate) out: u32,
    pub(crate) lane: u16,
    pub(crate) protocol: PhantomData<fn() -> P>,
}

impl<P> Clone for In<P> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<P> Copy for In<P> {}
impl<P> Clone for Out<P> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<P> Copy for Out<P> {}
impl<P> std::fmt::Debug for In<P> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "In({}.{})", self.lane, self.fifo)
    }
}
impl<P> std::fmt::Debug for Out<P> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Out({}.{})", self.lane, self.out)
    }
}

/// A tick's view of the world.
pub struct Cx<'a> {
    pub(crate) fabric: &'a mut Fabric,
    pub(crate) now: u64,
    /// Flat number within the shard.
    pub(crate) id: u32,
    /// Number within the machine.
    pub(crate) component: u32,
    /// One bit an input that holds anything, see [`Mind`](crate::wake::Mind).
    pub(crate) inputs: u32,
}

impl Cx<'_> {
    /// The present cycle of the component's own clock.
    #[inline]
    pub fn now(&self) -> Cycle {
        Cycle(self.now)
    }

    /// Goes on to a later cycle within the same tick, if the component [stretches](Component::STRETCHES) and nothing can
    /// reach it before that cycle, and in it: as if it had been ticked then and found its inputs as it left them. Not while
    /// anybody listens. `false`: it is the kernel's turn.
    #[inline]
    pub fn go_on(&mut self, to: Cycle) -> bool {
        let goes = to.0 < self.fabric.ahead.free && !self.fabric.probes.is_listening();
        if goes {
            self.now = to.0;
            self.fabric.time = self.fabric.ahead.time(to.0);
            self.fabric.ticks += 1;
            self.fabric.ahead.prefetch_some();
        }
        goes
    }

    /// The time of the present edge.
    #[inline]
    pub fn time(&self) -> Femtos {
        self.fabric.time
    }

    /// The oldest message of an input.
    #[inline]
    pub fn peek<P: Payload>(&self, from: In<P>) -> Option<&P> {
        if self.is_empty(from) {
            return None;
        }
        self.fabric.lane::<P>(from.lane).peek(from.fifo)
    }

    /// The `nth` oldest message of an input; 0 is the oldest.
    #[inline]
    pub fn peek_nth<P: Payload>(&self, from: In<P>, nth: u16) -> Option<&P> {
        self.fabric.lane::<P>(from.lane).peek_nth(from.fifo, nth)
    }

    /// Removes the oldest message of an input; its credit goes back to the sender.
    #[inline]
    pub fn take<P: Payload>(&mut self, from: In<P>) -> Option<P> {
        // An empty input costs a look at one bit; the rest is kept out of the caller's loop.
        if self.is_empty(from) { None } else { self.take_oldest(from) }
    }

    #[inline]
    fn take_oldest<P: Payload>(&mut self, from: In<P>) -> Option<P> {
        let (message, way) = self.fabric.lane_mut::<P>(from.lane).take(from.fifo, self.now, &mut self.inputs)?;
        match way {
            CreditWay::Home => {}
            CreditWay::Awaited { out, due } => self.fabric.wake_sender(out, due),
            CreditWay::Elsewhere => self.return_credit_elsewhere(from),
        }
        Some(message)
    }

    /// Returns a credit to another shard or another clock.
    #[inline(never)]
    fn return_credit_elsewhere<P: Payload>(&mut self, from: In<P>) {
        let w = self.fabric.lane::<P>(from.lane).writer(from.fifo);
        let due = if w.kind != WriterKind::OtherClock {
            self.now + u64::from(w.latency_cycles)
        } else {
            self.fabric.arrival(w.domain, w.latency_cycles)
        };
        if w.shard != self.fabric.shard {
            self.fabric.credit_outbox[w.shard as usize].push(crate::fabric::CreditCrossing { out: w.out, due });
        } else if self.fabric.lane_mut::<P>(from.lane).return_credit(from.fifo, due) {
            self.fabric.wake_sender(w.out, due);
        }
    }

    /// Messages on their way to an input of a component that [stretches](Component::STRETCHES), in order. Only for
    /// [`prefetch`](crate::prefetch): how many are known beforehand depends on the plan.
    #[inline]
    pub fn upcoming<P: Payload>(&self, to: In<P>) -> impl Iterator<Item = &P> {
        self.fabric.lane::<P>(to.lane).upcoming(to.fifo)
    }

    /// Messages waiting at an input.
    #[inline]
    pub fn len<P: Payload>(&self, from: In<P>) -> u16 {
        self.fabric.lane::<P>(from.lane).len(from.fifo)
    }

    /// Whether nothing waits at an input.
    #[inline]
    pub fn is_empty<P: Payload>(&self, from: In<P>) -> bool {
        if self.inputs >> (from.input & 31) & 1 == 0 {
            return true;
        }
        from.input == SHARED_INPUT && self.fabric.lane::<P>(from.lane).is_empty(from.fifo)
    }

    /// The first input of a range that holds anything, of an array of inputs [declared together](Site::inputs).
    #[inline]
    pub fn next_full<P: Payload>(&self, inputs: &[In<P>], range: Range<usize>) -> Option<usize> {
        let first = inputs.first()?;
        debug_assert!((first.fifo..).zip(inputs).all(|(fifo, input)| fifo == input.fifo), "not declared together");
        let fifos = first.fifo + range.start as u32..first.fifo + range.end as u32;
        let full = self.fabric.lane::<P>(first.lane).next_full(fifos)?;
        Some((full - first.fifo) as usize)
    }

    /// Messages that may be sent now: the credits in hand. Zero for an output that is not connected.
    #[inline]
    pub fn room<P: Payload>(&mut self, to: Out<P>) -> u16 {
        self.fabric.room::<P>(to.lane, to.out, self.now)
    }

    /// Whether a message may be sent now. Cheaper than asking [`Cx::room`] how many: credits that are back are counted
    /// only when none is left in hand.
    #[inline]
    pub fn can_send<P: Payload>(&mut self, to: Out<P>) -> bool {
        self.fabric.outs[to.out].credits > 0 || self.room(to) > 0
    }

    /// Whether a link is connected to this output.
    #[inline]
    pub fn is_linked<P: Payload>(&self, to: Out<P>) -> bool {
        self.fabric.outs[to.out].capacity > 0
    }

    /// Sends a message.
    ///
    /// # Panics
    /// If there is no [`Cx::room`]: the component must look first.
    #[inline]
    pub fn send<P: Payload>(&mut self, to: Out<P>, message: P) {
        let o = &mut self.fabric.outs[to.out];
        if o.credits == 0 || !o.direct {
            return self.send_otherwise(to, message);
        }
        o.credits -= 1;
        let (domain, due, fifo) = (o.domain, self.now + u64::from(o.latency_cycles), o.fifo);
        self.fabric.lane_mut::<P>(to.lane).send(domain, due, fifo, message);
    }

    /// Sends with a credit that has to be collected first, or to another clock or shard.
    #[inline(never)]
    fn send_otherwise<P: Payload>(&mut self, to: Out<P>, message: P) {
        if self.fabric.outs[to.out].credits == 0 && self.fabric.room::<P>(to.lane, to.out, self.now) == 0 {
            no_room(self.component, self.now, P::NAME);
        }
        let o = &mut self.fabric.outs[to.out];
        o.credits -= 1;
        let o = *o;
        let due = if self.fabric.outs_rest[to.out as usize].same_clock {
            self.now + u64::from(o.latency_cycles)
        } else {
            self.fabric.arrival(o.domain, o.latency_cycles)
        };
        if o.shard == self.fabric.shard {
            self.fabric.lane_mut::<P>(to.lane).send(o.domain, due, o.fifo, message);
        } else {
            self.fabric.lane_mut::<P>(to.lane).send_across(o.shard, o.domain, due, o.fifo, message);
        }
    }

    /// States a fact to whoever listens. Without a listener this is one predictable branch.
    #[inline]
    pub fn emit<F: Fact>(&mut self, fact: F) {
        if self.fabric.probes.is_listening() {
            self.fabric.probes.record(self.fabric.time, self.now, self.component, fact);
        }
    }

    /// Whether anybody wants this component's facts of a type now: for facts that are costly to put together. Without
    /// any listener this is one predictable branch.
    #[inline]
    pub fn is_heard<F: Fact>(&self) -> bool {
        self.fabric.probes.is_listening() && self.fabric.probes.hears::<F>(self.component, self.now)
    }

    /// Takes on foreground work: the run does not end before this component has ended as much (D7).
    pub fn begin_work(&mut self, n: u32) {
        self.fabric.work.begin(self.id, n);
    }

    /// Ends foreground work that this component took on.
    ///
    /// # Panics
    /// If the component does not hold that much: work is ended by whoever began it.
    pub fn end_work(&mut self, n: u32) {
        let held = self.fabric.work.held(self.id);
        assert!(
            self.fabric.work.end(self.id, n, self.fabric.time),
            "component {} ended {n} units of work at cycle {}, but holds {held}",
            self.component,
            self.now
        );
    }

    /// Foreground work that this component holds.
    pub fn work_held(&self) -> u32 {
        self.fabric.work.held(self.id)
    }
}

#[cold]
#[inline(never)]
fn no_room(component: u32, now: u64, protocol: &str) -> ! {
    panic!("component {component} sent a {protocol} at cycle {now} without room: look at `room` first")
}
