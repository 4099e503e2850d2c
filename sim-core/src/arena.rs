//! Arenas: all components of one part in one shard, ticked by one dynamic call a cycle with a typed loop inside.
//!
//! An arena is ticked *sparse* (only what is due) or *dense* (everybody), whichever its own measured activity favours:
//! walking through all components is cheaper than picking only when nearly all are due. An idle tick changes nothing, so
//! that the choice cannot be seen in a result.

use crate::component::{Component, Cx};
use crate::config::{ConfigError, PartSpec, Place, Problem, did_you_mean, read_node};
use crate::fabric::Fabric;
use crate::prefetch::prefetch;
use crate::site::{Site, Yard};
use crate::snapshot::{LoadError, Reader, Writer};
use crate::stats::StatsNode;
use crate::time::Cycle;
use crate::wake::Wake;
use crate::{activity, topology};
use std::any::Any;
use std::collections::BTreeMap;

/// How arenas choose what to tick. Results do not depend on it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Density {
    /// By measured activity.
    #[default]
    Auto,
    /// Only what is due.
    Sparse,
    /// Everybody, at every edge at which anything is due.
    Dense,
}

/// Measured on mesh_64 (benches/runs): dense is 0.7 of sparse at 0.01 injection and equal at 0.06, where nearly all
/// routers are active. Picking costs this kernel little: two levels of bits and a test of one bit an input.
const DENSE_ABOVE_PERCENT: u64 = 92;
const SPARSE_BELOW_PERCENT: u64 = 85;
/// Components between asking the cache for one and ticking it.
const AHEAD: usize = 4;
/// Cycles between two looks at the activity.
const LOOK_EVERY: u32 = 64;

/// The only dynamic seam of the kernel.
pub(crate) trait Arena: Send {
    /// Ticks what is due.
    fn tick(&mut self, fabric: &mut Fabric, now: u64);
    /// The words of the wake set that belong to this arena.
    fn words(&self) -> (usize, usize);
    fn domain(&self) -> usize;
    /// Whether its components would rather work through several cycles in one go, and whether they do.
    fn wants_to_stretch(&self) -> bool;
    fn stretches(&self) -> bool;
    /// From now on they do, and [`Arena::tick`] is not for them.
    fn stretch(&mut self, wake: &mut Wake);
    /// Works through the cycles of [`Fabric::ahead`], one component after the other; all cycles before `reached` were worked
    /// through. Cycle of the next tick, and the last cycle with one.
    fn catch_up(&mut self, fabric: &mut Fabric, reached: u64) -> (u64, u64);
    fn part(&self) -> usize;
    /// Flat number of the first component, its index in the part, and how many there are.
    fn range(&self) -> (u32, usize, usize);
    fn report(&self, local: usize, at: Cycle, out: &mut StatsNode);
    fn waiting(&self, local: usize) -> Option<String>;
    fn component(&self, local: usize) -> &dyn Any;
    fn set_density(&mut self, density: Density);
    fn save(&self, local: usize, out: &mut Writer);
    fn load(&mut self, local: usize, from: &mut Reader<'_>) -> Result<(), LoadError>;
}

struct TypedArena<C> {
    components: Vec<C>,
    base: u32,
    first_index: usize,
    /// Number within the machine of the first component.
    first_number: u32,
    part: usize,
    domain: usize,
    density: Density,
    dense: bool,
    stretches: bool,
    looked: u32,
    active: u64,
    /// Scratch: what is due at this edge, with room behind it.
    due: Vec<u32>,
}

impl<C: Component> TypedArena<C> {
    /// Whether it is due again in the next cycle.
    #[inline]
    fn tick_one(&mut self, fabric: &mut Fabric, now: u64, local: usize) -> bool {
        self.tick_on(fabric, now, local).0
    }

    /// Whether it is due again in the next cycle, and the cycle that it has reached.
    #[inline]
    fn tick_on(&mut self, fabric: &mut Fabric, now: u64, local: usize) -> (bool, u64) {
        let id = self.base + local as u32;
        let inputs = fabric.wake.minds[id as usize].inputs;
        let mut cx = Cx { fabric: &mut *fabric, now, id, component: self.first_number + local as u32, inputs };
        let said = self.components[local].tick(&mut cx);
        let (inputs, now) = (cx.inputs, cx.now);
        let due = fabric.wake.settle(id, now, said, inputs);
        if said.waits & activity::CREDIT != 0 && !due {
            fabric.wait_for_credit(id, now);
        }
        (due, now)
    }

    /// Ticks mark nobody but themselves, so that all that is due can be listed beforehand: then the cache is asked in
    /// time, and no branch depends on how many of a word's components are due.
    fn tick_sparse(&mut self, fabric: &mut Fabric, now: u64) -> u64 {
        let (from, end) = self.words();
        let mut due = std::mem::take(&mut self.due);
        let count = fabric.wake.take_all(from, end, &mut due);
        // What lies behind the last one is left over and harmless: a hint that is not needed.
        for i in 0..count {
            let ahead = due[i + AHEAD];
            prefetch(self.components.as_ptr().wrapping_add((ahead - self.base) as usize));
            fabric.prefetch_outs(ahead);
            let id = due[i];
            let again = self.tick_one(fabric, now, (id - self.base) as usize);
            fabric.wake.mark_again(id, again);
        }
        self.due = due;
        fabric.ticks += count as u64;
        count as u64
    }

    fn tick_dense(&mut self, fabric: &mut Fabric, now: u64) -> u64 {
        let (from, end) = self.words();
        let mut active = 0;
        for w in from..end {
            active += u64::from(fabric.wake.take_at(w).count_ones());
            let first = w * 64 - self.base as usize;
            let mut again = 0;
            for local in first..(first + 64).min(self.components.len()) {
                again |= u64::from(self.tick_one(fabric, now, local)) << (local - first);
            }
            fabric.wake.mark_word(w, again);
        }
        fabric.ticks += self.components.len() as u64;
        active
    }

    #[cold]
    fn look(&mut self) {
        let capacity = self.components.len() as u64 * u64::from(self.looked);
        let percent = self.active * 100 / capacity.max(1);
        self.dense = if self.dense { percent >= SPARSE_BELOW_PERCENT } else { percent >= DENSE_ABOVE_PERCENT };
        (self.looked, self.active) = (0, 0);
    }
}

impl<C: Component> Arena for TypedArena<C> {
    fn tick(&mut self, fabric: &mut Fabric, now: u64) {
        let (from, end) = self.words();
        if !fabric.wake.any(from, end) {
            return;
        }
        let active = if self.dense { self.tick_dense(fabric, now) } else { self.tick_sparse(fabric, now) };
        if self.density == Density::Auto && C::CHEAP_IDLE_TICK {
            self.active += active;
            self.looked += 1;
            if self.looked == LOOK_EVERY {
                self.look();
            }
        }
    }

    fn words(&self) -> (usize, usize) {
        let from = self.base as usize / 64;
        (from, from + self.components.len().div_ceil(64))
    }

    fn domain(&self) -> usize {
        self.domain
    }

    fn wants_to_stretch(&self) -> bool {
        C::STRETCHES
    }

    fn stretches(&self) -> bool {
        self.stretches
    }

    fn stretch(&mut self, wake: &mut Wake) {
        self.stretches = true;
        for mind in &mut wake.minds[self.base as usize..][..self.components.len()] {
            mind.stretches = true;
        }
    }

    fn catch_up(&mut self, fabric: &mut Fabric, reached: u64) -> (u64, u64) {
        let (mut earliest, mut last) = (u64::MAX, 0);
        let end = fabric.ahead.end();
        for local in 0..self.components.len() {
            let id = self.base + local as u32;
            let mut next = fabric.next_of_stretch(id, reached);
            let neighbour = self.components.as_ptr().wrapping_add(local + 1) as usize;
            fabric.ahead.neighbour = neighbour..neighbour + size_of::<C>();
            if next < end {
                let inputs = fabric.wake.minds[id as usize].inputs;
                let component = self.first_number + local as u32;
                self.components[local].prefetch(&Cx { fabric: &mut *fabric, now: next, id, component, inputs });
            }
            while next < end {
                fabric.time = fabric.ahead.time(next);
                fabric.ahead.free = fabric.deliver_to_stretch(id, next).min(end);
                fabric.wake.unmark(id);
                fabric.ahead.prefetch_some();
                let (again, now) = self.tick_on(fabric, next, local);
                fabric.wake.mark_again(id, again);
                fabric.ticks += 1;
                last = last.max(now);
                next = fabric.next_of_stretch(id, now + 1);
            }
            earliest = earliest.min(next);
        }
        fabric.ahead.free = 0;
        (earliest, last)
    }

    fn part(&self) -> usize {
        self.part
    }

    fn range(&self) -> (u32, usize, usize) {
        (self.base, self.first_index, self.components.len())
    }

    fn report(&self, local: usize, at: Cycle, out: &mut StatsNode) {
        self.components[local].report(at, out);
    }

    fn waiting(&self, local: usize) -> Option<String> {
        self.components[local].waiting()
    }

    fn component(&self, local: usize) -> &dyn Any {
        &self.components[local]
    }

    fn set_density(&mut self, density: Density) {
        self.density = density;
        self.dense = density == Density::Dense;
    }

    fn save(&self, local: usize, out: &mut Writer) {
        self.components[local].save(out);
    }

    fn load(&mut self, local: usize, from: &mut Reader<'_>) -> Result<(), LoadError> {
        self.components[local].load(from)
    }
}

/// The kinds of components that machine files may name.
#[derive(Default)]
pub struct Registry {
    kinds: BTreeMap<&'static str, Box<dyn Kind>>,
}

impl Registry {
    /// No kinds yet.
    pub fn new() -> Registry {
        Registry::default()
    }

    /// Registers a kind under its name.
    ///
    /// # Panics
    /// If another kind has the same name.
    pub fn add<C: Component>(&mut self) -> &mut Registry {
        let before = self.kinds.insert(C::KIND, Box::new(KindOf::<C>(std::marker::PhantomData)));
        assert!(before.is_none(), "two kinds of component are called `{}`", C::KIND);
        self
    }

    /// Names of all kinds, in order.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.kinds.keys().copied()
    }

    /// Names of all kinds with a line about each, in the order of names.
    pub fn descriptions(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        self.kinds.iter().map(|(name, kind)| (*name, kind.description()))
    }

    pub(crate) fn find(&self, part: &PartSpec) -> Result<&dyn Kind, ConfigError> {
        self.kinds.get(part.kind.as_str()).map(|k| &**k).ok_or_else(|| {
            let problem = Problem::Unknown { what: "kind of component", name: part.kind.clone() };
            ConfigError::new(&part.kind_place, format!("part.{}.kind", part.name), problem)
                .maybe_help(did_you_mean(&part.kind, self.names()))
        })
    }
}

/// Makes the arenas of one part.
pub(crate) trait Kind: Send + Sync {
    fn description(&self) -> &'static str;
    fn build_part(&self, spec: &PartSpec, part: usize, yard: &mut Yard) -> Result<(), Vec<ConfigError>>;
}

struct KindOf<C>(std::marker::PhantomData<fn() -> C>);

impl<C: Component> Kind for KindOf<C> {
    fn description(&self) -> &'static str {
        C::DESCRIPTION
    }

    fn build_part(&self, spec: &PartSpec, part: usize, yard: &mut Yard) -> Result<(), Vec<ConfigError>> {
        let key = format!("part.{}", spec.name);
        let (count, shards) = (spec.components(), yard.shards.len());
        // What cannot be divided is dealt out, so that not all of it lies on one shard.
        let alone_before = yard.topology.parts[..part].iter().filter(|p| p.components == 1).count();
        let bounds: Vec<usize> = match count {
            1 => (0..=shards).map(|s| usize::from(s > alone_before % shards)).collect(),
            few if few < shards => (0..=shards).map(|s| if s == 0 { 0 } else { few }).collect(),
            _ => (0..=shards).map(|s| s * count / shards).collect(),
        };
        for shard in 0..shards {
            let (from, to) = (bounds[shard], bounds[shard + 1]);
            if from == to {
                continue;
            }
            let base = yard.shards[shard].fabric.add_components(to - from, spec.clock as u8);
            let mut components = Vec::with_capacity(to - from);
            for index in from..to {
                let parameters: C::Spec = read_node(&spec.parameters, &key)?;
                let flat = base + (index - from) as u32;
                let path = topology::path(&spec.name, &spec.count, index);
                let outs = yard.shards[shard].fabric.outs.len();
                let mut site = Site { yard, part, index, shard, flat, path };
                let component = C::build(parameters, &mut site).map_err(|e| vec![refused(spec, &key, index, e)])?;
                let fabric = &mut yard.shards[shard].fabric;
                fabric.outs_of[flat as usize] = outs..fabric.outs.len();
                components.push(component);
            }
            yard.shards[shard].arenas.push(Box::new(TypedArena {
                components,
                base,
                first_index: from,
                first_number: yard.topology.first(part) + from as u32,
                part,
                domain: spec.clock,
                density: Density::Auto,
                dense: false,
                stretches: false,
                looked: 0,
                active: 0,
                due: vec![base; (to - from).next_multiple_of(64) + 2 * AHEAD],
            }));
        }
        Ok(())
    }
}

fn refused(spec: &PartSpec, key: &str, index: usize, e: crate::BuildError) -> ConfigError {
    let mut place = spec.place.clone();
    let mut path = key.to_string();
    if !e.key.is_empty() {
        path = format!("{key}.{}", e.key);
        let node = spec.parameters.at(&e.key);
        place = node.map_or(place, |n| Place { source: n.place.source.clone(), span: n.place.span.clone() });
    }
    let component = topology::path(&spec.name, &spec.count, index);
    let message = if index == 0 { e.problem } else { format!("{} (for {component})", e.problem) };
    ConfigError::new(&place, path, Problem::Refused { message }).maybe_help(e.help)
}
