//! A deadlock is a result: who waits for whom, and the oldest request at each.

use crate::machine::Machine;
use crate::time::Femtos;
use std::collections::BTreeMap;
use std::fmt;

/// One component that waits for another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wait {
    /// The port at which it waits, e.g. `"sm[3].mem"`.
    pub port: String,
    /// The port at the other end.
    pub other: String,
    /// What it waits for.
    pub lacks: Lack,
    /// The oldest request there, if the component names one.
    pub oldest: Option<String>,
}

/// What a waiting component lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lack {
    /// Room at the receiver of an output.
    Room,
    /// A message from the sender of an input.
    Message,
}

/// Foreground work is left and nothing is due that could end it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadlockReport {
    /// Time of the last foreground event.
    pub time: Femtos,
    /// Work left, by component that holds it.
    pub outstanding: Vec<(String, u32)>,
    /// A cycle of waits: each waits for the next, the last for the first. Empty if there is none.
    pub cycle: Vec<Wait>,
    /// Components with a request that waits, in order; at most [`DeadlockReport::SHOWN`].
    pub waiting: Vec<(String, String)>,
}

struct Edge {
    to: u32,
    port: u32,
    other: u32,
    lacks: Lack,
}

impl DeadlockReport {
    /// Waiting components that are listed.
    pub const SHOWN: usize = 20;

    pub(crate) fn of(machine: &Machine) -> DeadlockReport {
        let (mut outstanding, mut waiting) = (BTreeMap::new(), BTreeMap::new());
        for shard in &machine.shards {
            for arena in &shard.arenas {
                let (base, first, count) = arena.range();
                let number = machine.topology.first(arena.part()) + first as u32;
                for local in 0..count {
                    let component = number + local as u32;
                    let held = shard.fabric.work.held(base + local as u32);
                    if held > 0 {
                        outstanding.insert(component, held);
                    }
                    if let Some(oldest) = arena.waiting(local) {
                        waiting.insert(component, oldest);
                    }
                }
            }
        }
        let room = edges(machine, false, &waiting);
        let cycle = find_cycle(&room).or_else(|| find_cycle(&edges(machine, true, &waiting))).unwrap_or_default();
        let topology = &machine.topology;
        DeadlockReport {
            time: machine.state.now,
            outstanding: outstanding.into_iter().map(|(c, n)| (topology.path(c), n)).collect(),
            cycle: cycle
                .into_iter()
                .map(|(component, port, other, lacks)| Wait {
                    port: topology.port_path(port),
                    other: topology.port_path(other),
                    lacks,
                    oldest: waiting.get(&component).cloned(),
                })
                .collect(),
            waiting: (waiting.iter().take(Self::SHOWN)).map(|(c, what)| (topology.path(*c), what.clone())).collect(),
        }
    }
}

/// Who waits for whom: senders without room for their receivers, and if asked for, components with a request that
/// waits for the senders of their empty inputs.
fn edges(machine: &Machine, for_messages: bool, waiting: &BTreeMap<u32, String>) -> BTreeMap<u32, Vec<Edge>> {
    let mut edges: BTreeMap<u32, Vec<Edge>> = BTreeMap::new();
    for &(out, input) in &machine.topology.links {
        let (o, i) = (machine.topology.ports[out as usize], machine.topology.ports[input as usize]);
        let sender = &machine.shards[usize::from(o.shard)].fabric;
        let full = sender.credits_at_home(o.handle) == 0;
        if full {
            let edge = Edge { to: i.component, port: out, other: input, lacks: Lack::Room };
            edges.entry(o.component).or_default().push(edge);
        }
        if for_messages && waiting.contains_key(&i.component) {
            let receiver = &machine.shards[usize::from(i.shard)].fabric;
            if receiver.lanes[usize::from(i.lane)].lane.waiting(i.handle) == 0 {
                let edge = Edge { to: o.component, port: input, other: out, lacks: Lack::Message };
                edges.entry(i.component).or_default().push(edge);
            }
        }
    }
    edges
}

type Step = (u32, u32, u32, Lack);

/// The first cycle found from the lowest component on, depth first without recursion.
fn find_cycle(edges: &BTreeMap<u32, Vec<Edge>>) -> Option<Vec<Step>> {
    let mut finished = std::collections::BTreeSet::new();
    for &start in edges.keys() {
        // The path from the start: component and the edge of it that is being followed.
        let mut path: Vec<(u32, usize)> = vec![(start, 0)];
        while let Some(&(at, tried)) = path.last() {
            let next = edges.get(&at).and_then(|e| e.get(tried)).filter(|_| !finished.contains(&at));
            let Some(edge) = next else {
                finished.insert(at);
                path.pop();
                if let Some(last) = path.last_mut() {
                    last.1 += 1;
                }
                continue;
            };
            if let Some(begin) = path.iter().position(|(c, _)| *c == edge.to) {
                let step = |&(c, n): &(u32, usize)| {
                    let e = &edges[&c][n];
                    (c, e.port, e.other, e.lacks)
                };
                return Some(path[begin..].iter().map(step).collect());
            }
            path.push((edge.to, 0));
        }
    }
    None
}

impl fmt::Display for DeadlockReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let total: u64 = self.outstanding.iter().map(|(_, n)| u64::from(*n)).sum();
        writeln!(f, "deadlock at {}: {total} units of work are left and nothing is due", self.time)?;
        for (path, n) in self.outstanding.iter().take(Self::SHOWN) {
            writeln!(f, "  {path} holds {n}")?;
        }
        if !self.cycle.is_empty() {
            writeln!(f, "each of these waits for the next, the last for the first:")?;
        }
        for wait in &self.cycle {
            let lack = match wait.lacks {
                Lack::Room => "has no room at",
                Lack::Message => "has no message from",
            };
            write!(f, "  {} {lack} {}", wait.port, wait.other)?;
            match &wait.oldest {
                Some(oldest) => writeln!(f, "; oldest: {oldest}")?,
                None => writeln!(f)?,
            }
        }
        if !self.waiting.is_empty() {
            writeln!(f, "waiting:")?;
        }
        for (path, what) in &self.waiting {
            writeln!(f, "  {path}: {what}")?;
        }
        Ok(())
    }
}
