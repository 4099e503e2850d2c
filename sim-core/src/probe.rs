//! Probes: typed facts that components state and writers (timelines, pipeline views, csv) listen to.
//!
//! Facts are collected per shard and handed to the listener in the order of (time, component), those of one component
//! at one time in the order of statement: the same for every number of shards and threads.

use crate::time::{Cycle, Femtos};
use std::any::{Any, TypeId};
use std::ops::Range;

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

/// What a listener wants to hear of: some components, in some cycles of their own clocks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    /// Numbers of the components ([`ComponentId`]).
    pub components: Range<u32>,
    /// Cycles in which facts are stated.
    pub cycles: Range<u64>,
}

impl Scope {
    /// Everything.
    pub const ALL: Scope = Scope { components: 0..u32::MAX, cycles: 0..u64::MAX };

    fn contains(&self, component: u32, cycle: u64) -> bool {
        self.components.contains(&component) && self.cycles.contains(&cycle)
    }
}

/// Facts of one shard that were not handed on yet.
#[derive(Default)]
pub(crate) struct Probes {
    buffers: Vec<Buffer>,
    stated: usize,
}

/// Facts of one type, and who wants which of them.
struct Buffer {
    fact: TypeId,
    scopes: Vec<Scope>,
    facts: Box<dyn AnyBuffer>,
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

    /// Whether a fact of a component in a cycle is wanted by anybody.
    #[cold]
    #[inline(never)]
    pub fn hears<F: Fact>(&self, component: u32, cycle: u64) -> bool {
        let wanted = |buffer: &Buffer| buffer.scopes.iter().any(|scope| scope.contains(component, cycle));
        self.buffers.iter().any(|buffer| buffer.fact == TypeId::of::<F>() && wanted(buffer))
    }

    fn open<F: Fact>(&mut self, scope: &Scope) {
        let fact = TypeId::of::<F>();
        match self.buffers.iter_mut().find(|buffer| buffer.fact == fact) {
            Some(buffer) => buffer.scopes.push(scope.clone()),
            None => {
                let facts = Box::new(Vec::<Stated<F>>::new());
                self.buffers.push(Buffer { fact, scopes: vec![scope.clone()], facts });
            }
        }
    }

    fn buffer<F: Fact>(&mut self) -> Option<&mut Vec<Stated<F>>> {
        let buffer = self.buffers.iter_mut().find(|buffer| buffer.fact == TypeId::of::<F>())?;
        let facts: &mut dyn Any = &mut *buffer.facts;
        facts.downcast_mut()
    }

    #[cold]
    #[inline(never)]
    pub fn record<F: Fact>(&mut self, time: Femtos, cycle: u64, component: u32, fact: F) {
        if !self.hears::<F>(component, cycle) {
            return;
        }
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
    listen: Vec<(Scope, Listen<F>)>,
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
            for (scope, listen) in &mut self.listen {
                if scope.contains(stated.component.0, stated.cycle.0) {
                    listen(&stated);
                }
            }
        }
    }
}

impl Listeners {
    /// Adds a listener and opens the shards' buffers for its facts.
    pub fn add<'p, F: Fact>(&mut self, scope: Scope, listen: Listen<F>, shards: impl Iterator<Item = &'p mut Probes>) {
        shards.for_each(|probes| probes.open::<F>(&scope));
        for listener in &mut self.by_fact {
            let listener: &mut dyn Any = &mut **listener;
            if let Some(same) = listener.downcast_mut::<Listener<F>>() {
                same.listen.push((scope, listen));
                return;
            }
        }
        self.by_fact.push(Box::new(Listener { listen: vec![(scope, listen)], merged: Vec::new() }));
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
