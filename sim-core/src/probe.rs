//! Probes: typed facts that components state and writers (timelines, pipeline views, csv) listen to.
//!
//! Facts are collected per shard and handed to the listener in the order of (time, component), those of one component
//! at one time in the order of statement: the same for every number of shards and threads.

use crate::time::{Cycle, Femtos};
use std::any::{Any, TypeId};

/// A fact: small, `Copy`, of the component family's own type.
pub trait Fact: Copy + Send + Sync + 'static {}

/// Number of a component within its machine: parts in the order of their names, then the index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ComponentId(pub u32);

/// A fact with its place and time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stated<F> {
    /// When.
    pub time: Femtos,
    /// When, in the clock of the component.
    pub cycle: Cycle,
    /// Who; [`crate::Machine::path`] has its name.
    pub component: ComponentId,
    /// What.
    pub fact: F,
}

/// Facts of one shard that were not handed on yet.
#[derive(Default)]
pub(crate) struct Probes {
    buffers: Vec<(TypeId, Box<dyn AnyBuffer>)>,
    stated: usize,
}

trait AnyBuffer: Any + Send + Sync {}
impl<F: Fact> AnyBuffer for Vec<Stated<F>> {}

impl Probes {
    #[inline]
    pub fn is_listening(&self) -> bool {
        !self.buffers.is_empty()
    }

    /// Facts waiting to be handed on.
    pub fn stated(&self) -> usize {
        self.stated
    }

    fn open<F: Fact>(&mut self) {
        let id = TypeId::of::<F>();
        if self.buffers.iter().all(|(t, _)| *t != id) {
            self.buffers.push((id, Box::new(Vec::<Stated<F>>::new())));
        }
    }

    fn buffer<F: Fact>(&mut self) -> Option<&mut Vec<Stated<F>>> {
        let (_, buffer) = self.buffers.iter_mut().find(|(t, _)| *t == TypeId::of::<F>())?;
        let buffer: &mut dyn Any = &mut **buffer;
        buffer.downcast_mut()
    }

    #[cold]
    #[inline(never)]
    pub fn record<F: Fact>(&mut self, time: Femtos, cycle: u64, component: u32, fact: F) {
        if let Some(buffer) = self.buffer::<F>() {
            buffer.push(Stated { time, cycle: Cycle(cycle), component: ComponentId(component), fact });
            self.stated += 1;
        }
    }
}

/// Everybody who listens to a machine.
#[derive(Default)]
pub(crate) struct Listeners {
    by_fact: Vec<Box<dyn AnyListener>>,
}

trait AnyListener: Any + Send + Sync {
    fn collect(&mut self, probes: &mut Probes);
    fn hand_on(&mut self);
}

type Listen<F> = Box<dyn FnMut(&Stated<F>) + Send + Sync>;

struct Listener<F> {
    listen: Vec<Listen<F>>,
    merged: Vec<Stated<F>>,
}

impl<F: Fact> AnyListener for Listener<F> {
    fn collect(&mut self, probes: &mut Probes) {
        if let Some(buffer) = probes.buffer::<F>() {
            self.merged.append(buffer);
        }
    }

    fn hand_on(&mut self) {
        // Stable, and one component's facts come from one buffer: their order stays.
        self.merged.sort_by_key(|s| (s.time, s.component));
        for stated in self.merged.drain(..) {
            self.listen.iter_mut().for_each(|listen| listen(&stated));
        }
    }
}

impl Listeners {
    /// Adds a listener and opens the shards' buffers for its facts.
    pub fn add<'p, F: Fact>(&mut self, listen: Listen<F>, shards: impl Iterator<Item = &'p mut Probes>) {
        shards.for_each(Probes::open::<F>);
        for listener in &mut self.by_fact {
            let listener: &mut dyn Any = &mut **listener;
            if let Some(same) = listener.downcast_mut::<Listener<F>>() {
                same.listen.push(listen);
                return;
            }
        }
        self.by_fact.push(Box::new(Listener { listen: vec![listen], merged: Vec::new() }));
    }

    /// Hands on everything stated so far; nothing earlier may be stated afterwards.
    pub fn hand_on<'p>(&mut self, shards: impl Iterator<Item = &'p mut Probes>) {
        for probes in shards {
            if probes.stated > 0 {
                self.by_fact.iter_mut().for_each(|l| l.collect(probes));
                probes.stated = 0;
            }
        }
        self.by_fact.iter_mut().for_each(|l| l.hand_on());
    }
}
