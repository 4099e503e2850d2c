//! A machine: built from its file, run, and read out.

use crate::arena::{Density, Registry};
use crate::clock::{ClockDomain, DomainId};
use crate::config::{ConfigError, MachineFile, Problem};
use crate::error::RunError;
use crate::fabric::OutPort;
use crate::lane::{Writer, WriterKind};
use crate::probe::{ComponentId, Fact, Listeners, Scope, Stated};
use crate::run::RunState;
use crate::shard::Shard;
use crate::site::{Resources, Yard};
use crate::stats::StatsNode;
use crate::stretch;
use crate::time::{Cycle, Femtos};
use crate::topology::{PartNames, Topology};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// How to run a machine. Results do not depend on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Threads; 0 means one a core, 1 runs the shards one after the other.
    pub threads: usize,
    /// Shards; 0 means one a thread.
    pub shards: usize,
    /// How arenas choose what to tick.
    pub density: Density,
    /// Whether large components may work through several cycles in one go. Not where components share more than links.
    pub stretches: bool,
}

impl Default for Plan {
    fn default() -> Plan {
        Plan { threads: 1, shards: 1, density: Density::Auto, stretches: true }
    }
}

impl Plan {
    /// One shard on one thread.
    pub fn serial() -> Plan {
        Plan::default()
    }

    /// The number of threads meant.
    pub fn thread_count(&self) -> usize {
        match self.threads {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            n => n,
        }
    }

    fn shard_count(&self) -> usize {
        if self.shards == 0 { self.thread_count() } else { self.shards }
    }
}

/// Latencies of the links that cross between shards and end in one domain: messages or credits.
#[derive(Clone, Copy)]
pub(crate) struct Lookahead {
    pub domain: usize,
    pub latency_cycles: u32,
}

/// A machine, ready to run.
pub struct Machine {
    pub(crate) name: String,
    pub(crate) shards: Vec<Shard>,
    pub(crate) topology: Topology,
    pub(crate) lookahead: Vec<Lookahead>,
    pub(crate) clock_names: Vec<String>,
    pub(crate) plan: Plan,
    pub(crate) listeners: Listeners,
    pub(crate) pool: Option<rayon::ThreadPool>,
    pub(crate) state: RunState,
    pub(crate) stop_flag: Option<Arc<AtomicBool>>,
    seed: u64,
    warnings: Vec<String>,
}

/// Which nodes a report has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    /// One node a part, summed over its components.
    Parts,
    /// A node a component below its part.
    Components,
}

impl Machine {
    /// Builds the machine that `file` describes. All errors are reported, each at its place in the file.
    pub fn build(
        file: &MachineFile,
        kinds: &Registry,
        resources: Resources,
        plan: Plan,
    ) -> Result<Machine, Vec<ConfigError>> {
        let clocks: Vec<ClockDomain> =
            (file.clocks.iter().enumerate()).map(|(i, c)| ClockDomain::new(DomainId(i as u8), c.hertz)).collect();
        let most = file.parts.iter().map(|p| p.components()).max().unwrap_or(1);
        let shards = plan.shard_count().clamp(1, most.min(usize::from(u16::MAX)));
        let mut topology = Topology::default();
        let mut first = 0;
        for part in &file.parts {
            topology.parts.push(PartNames {
                name: part.name.clone(),
                kind: part.kind.clone(),
                dimensions: part.count.clone(),
                components: part.components(),
                domain: part.clock,
                first,
                ports: Vec::new(),
            });
            first += part.components() as u32;
        }
        let shards = (0..shards).map(|s| Shard::new(s, shards, clocks.clone())).collect();
        let mut yard = Yard::new(shards, topology, resources, file.seed, file.links.clone());
        let mut errors = Vec::new();
        if file.clocks.len() > usize::from(u8::MAX) {
            let message = "more than 255 clocks".to_string();
            let root = &file.document().root().place;
            return Err(vec![ConfigError::new(root, "clock", Problem::BadValue { message })]);
        }
        for (i, part) in file.parts.iter().enumerate() {
            match kinds.find(part) {
                Ok(kind) => kind.build_part(part, i, &mut yard).unwrap_or_else(|e| errors.extend(e)),
                Err(e) => errors.push(e),
            }
        }
        // Links of parts that were not built would only repeat the same errors.
        if !errors.is_empty() {
            return Err(errors);
        }
        let (lookahead, warnings) = connect(file, &mut yard, &mut errors);
        check_unconnected(file, &mut yard, &mut errors);
        if !errors.is_empty() {
            return Err(errors);
        }
        let Yard { mut shards, topology, .. } = yard;
        shards.iter_mut().flat_map(|s| &mut s.arenas).for_each(|a| a.set_density(plan.density));
        if plan.stretches {
            stretch::prepare(&mut shards);
        }
        shards.iter_mut().for_each(Shard::sort_arenas);
        Ok(Machine {
            name: file.name.clone(),
            clock_names: file.clocks.iter().map(|c| c.name.clone()).collect(),
            seed: file.seed,
            state: RunState::default(),
            listeners: Listeners::default(),
            pool: None,
            stop_flag: None,
            shards,
            topology,
            lookahead,
            warnings,
            plan,
        })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Seed of everything random in it.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// Shards it was divided into.
    pub fn shard_count(&self) -> usize {
        self.shards.len()
    }

    /// Things in the machine file that are allowed but look like mistakes.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Path of a component, e.g. `"sm[3]"`.
    pub fn path(&self, component: ComponentId) -> String {
        self.topology.path(component.0)
    }

    /// Names of the parts with their kinds and numbers of components.
    pub fn parts(&self) -> impl Iterator<Item = (&str, &str, usize)> {
        self.topology.parts.iter().map(|p| (p.name.as_str(), p.kind.as_str(), p.components))
    }

    /// One component, if the part exists and its components are `C`s.
    pub fn component<C: 'static>(&self, part: &str, index: usize) -> Option<&C> {
        let part = self.topology.parts.iter().position(|p| p.name == part)?;
        let (arena, local) = self.shards.iter().flat_map(|s| &s.arenas).find_map(|a| {
            let (_, first, count) = a.range();
            (a.part() == part && (first..first + count).contains(&index)).then(|| (a, index - first))
        })?;
        arena.component(local).downcast_ref()
    }

    /// Listens to all facts of one type, from now on. See [`crate::probe`] for their order.
    pub fn listen<F: Fact>(&mut self, listen: impl FnMut(&Stated<F>) + Send + Sync + 'static) {
        self.listen_in(Scope::ALL, listen);
    }

    /// Listens to the facts of one type that fall into a scope; those outside it are not even put together.
    pub fn listen_in<F: Fact>(&mut self, scope: Scope, listen: impl FnMut(&Stated<F>) + Send + Sync + 'static) {
        self.listeners.add(scope, Box::new(listen), self.shards.iter_mut().map(|s| &mut s.fabric.probes));
    }

    /// The present time: of the stop, after a run.
    pub fn time(&self) -> Femtos {
        self.state.now
    }

    /// The present cycle of a clock: its last edge at or before [`Machine::time`].
    pub fn cycle_of(&self, clock: &str) -> Option<Cycle> {
        let domain = self.clock_names.iter().position(|n| n == clock)?;
        Some(self.cycle(domain))
    }

    pub(crate) fn cycle(&self, domain: usize) -> Cycle {
        self.shards[0].fabric.clocks[domain].last_edge_at_or_before(self.state.now)
    }

    /// All clocks with their names, present cycles and frequencies in hertz.
    pub fn clocks(&self) -> impl Iterator<Item = (&str, Cycle, u64)> {
        (self.clock_names.iter().enumerate())
            .map(|(d, name)| (name.as_str(), self.cycle(d), self.shards[0].fabric.clocks[d].hertz()))
    }

    /// Changes the frequency of a clock between two runs: the new one holds from the first edge after the present
    /// time on.
    pub fn set_frequency(&mut self, clock: &str, hertz: u64) -> Result<(), RunError> {
        let Some(domain) = self.clock_names.iter().position(|n| n == clock) else {
            let known = self.clock_names.join(", ");
            return Err(RunError::UnknownClock { name: clock.to_string(), known });
        };
        let from = if self.state.started { self.state.now + Femtos(1) } else { Femtos(0) };
        for shard in &mut self.shards {
            shard.fabric.clocks[domain].set_frequency(from, hertz.max(1));
        }
        Ok(())
    }

    /// Statistics up to the present time, as a tree: machine, parts, and components if asked for.
    pub fn report(&self, detail: Detail) -> StatsNode {
        let mut root = StatsNode::new(&self.name);
        for (p, part) in self.topology.parts.iter().enumerate() {
            let at = self.cycle(part.domain);
            let mut sum = StatsNode::new(&part.name);
            let mut each = Vec::new();
            for arena in self.shards.iter().flat_map(|s| &s.arenas).filter(|a| a.part() == p) {
                let (_, first, count) = arena.range();
                for local in 0..count {
                    let path = crate::topology::path(&part.name, &part.dimensions, first + local);
                    let mut node = StatsNode::new(path);
                    arena.report(local, at, &mut node);
                    sum.add(&node);
                    if detail == Detail::Components && part.components > 1 {
                        each.push(node);
                    }
                }
            }
            each.into_iter().for_each(|node| sum.push_child(node));
            root.push_child(sum);
        }
        root
    }

    /// Hash of all that a run has done so far: reports of all components, messages delivered and left in FIFOs,
    /// credits, work and time. The same for every plan.
    pub fn digest(&mut self) -> blake3::Hash {
        let mut hasher = blake3::Hasher::new();
        let mut put = |n: u64| {
            hasher.update(&n.to_le_bytes());
        };
        put(self.state.now.0);
        put(self.shards.iter().map(|s| s.fabric.work.outstanding).sum());
        for lane in 0..self.topology.protocols.len() {
            put(self.shards.iter().map(|s| s.fabric.lanes[lane].lane.delivered()).sum());
        }
        let cycles: Vec<Cycle> = (0..self.clock_names.len()).map(|d| self.cycle(d)).collect();
        for port in &self.topology.ports {
            let fabric = &mut self.shards[usize::from(port.shard)].fabric;
            match port.direction {
                crate::topology::Direction::In => {
                    put(u64::from(fabric.lanes[usize::from(port.lane)].lane.waiting(port.handle)));
                }
                crate::topology::Direction::Out => {
                    let owner = fabric.outs_rest[port.handle as usize].owner;
                    let now = cycles[usize::from(fabric.wake.domain[owner as usize])];
                    fabric.collect(port.handle, now.0);
                    put(u64::from(fabric.outs[port.handle].credits));
                }
            }
        }
        let report = self.report(Detail::Components);
        hasher.update(format!("{:?}", report.children()).as_bytes());
        hasher.finalize()
    }
}

/// Joins the ports as the file says; the lookahead of each domain and warnings.
fn connect(file: &MachineFile, yard: &mut Yard, errors: &mut Vec<ConfigError>) -> (Vec<Lookahead>, Vec<String>) {
    let mut least = vec![u32::MAX; file.clocks.len()];
    let mut warnings = Vec::new();
    for link in &file.links {
        let pairs = yard.topology.pair(link, errors);
        for &(from, to) in &pairs {
            let (f, t) = (yard.topology.ports[from as usize], yard.topology.ports[to as usize]);
            let domain_of = |c: u32| yard.topology.parts[yard.topology.part_of(c)].domain;
            let (sender, receiver) = (domain_of(f.component), domain_of(t.component));
            let same_clock = sender == receiver;
            if f.shard != t.shard {
                least[receiver] = least[receiver].min(link.latency_cycles);
                least[sender] = least[sender].min(link.credit_latency_cycles);
            }
            let fabric = &mut yard.shards[usize::from(f.shard)].fabric;
            let port = OutPort {
                fifo: t.handle,
                latency_cycles: link.latency_cycles,
                credits: t.capacity,
                capacity: t.capacity,
                shard: t.shard,
                domain: receiver as u8,
                direct: same_clock && f.shard == t.shard,
            };
            fabric.open_out(f.handle, port, same_clock);
            let writer = Writer {
                out: f.handle,
                latency_cycles: link.credit_latency_cycles,
                shard: f.shard,
                domain: sender as u8,
                kind: WriterKind::of_link(f.shard == t.shard, same_clock),
            };
            yard.shards[usize::from(t.shard)].fabric.lanes[usize::from(t.lane)].lane.set_writer(t.handle, writer);
        }
        if let Some(&(_, to)) = pairs.first() {
            let capacity = u32::from(yard.topology.ports[to as usize].capacity);
            let round_trip = link.latency_cycles.saturating_add(link.credit_latency_cycles);
            if capacity < round_trip {
                warnings.push(format!(
                    "{} to {}: {capacity} slots for a round trip of {round_trip} cycles: at most {:.2} messages a cycle",
                    link.from,
                    link.to,
                    f64::from(capacity) / f64::from(round_trip)
                ));
            }
        }
    }
    let lookahead = (least.into_iter().enumerate())
        .filter(|(_, l)| *l != u32::MAX)
        .map(|(domain, latency_cycles)| Lookahead { domain, latency_cycles })
        .collect();
    (lookahead, warnings)
}

/// Every port is linked or left open on purpose.
fn check_unconnected(file: &MachineFile, yard: &mut Yard, errors: &mut Vec<ConfigError>) {
    let topology = &mut yard.topology;
    for (text, place) in &file.unconnected {
        match topology.select(text, "unconnected", place) {
            Err(e) => errors.push(*e),
            Ok(ports) => {
                for port in ports {
                    if topology.ports[port as usize].linked {
                        let message = format!("`{}` is linked, but listed as unconnected", topology.port_path(port));
                        errors.push(ConfigError::new(place, "unconnected", Problem::Link { message }));
                    }
                    topology.ports[port as usize].linked = true;
                }
            }
        }
    }
    if !errors.is_empty() {
        return;
    }
    for (p, spec) in file.parts.iter().enumerate() {
        for (_, ports) in &topology.parts[p].ports {
            let open: Vec<u32> = ports.iter().copied().filter(|&i| !topology.ports[i as usize].linked).collect();
            if let Some(&first) = open.first() {
                let name = topology.port_path(first);
                let more = if open.len() > 1 { format!(" and {} more", open.len() - 1) } else { String::new() };
                let message = format!("`{name}`{more} is not linked");
                let help = format!("add a [[link]] or list it: unconnected = [\"{name}\"]");
                let error = ConfigError::new(&spec.place, format!("part.{}", spec.name), Problem::Link { message });
                errors.push(error.help(help));
            }
        }
    }
}
