//! The state of a machine: everything that the next edge depends on, named by the machine file's order.
//!
//! Components are named by their number, links by their place in the machine file; which shard, lane, FIFO or slot they
//! have is the plan's. Of a link are kept the messages that wait, those in flight and the credits that are not back;
//! the credits in hand are what is left of its capacity. Lists within shards and wheels are kept in an order that every
//! plan has: that of the due cycles, and for one link that of sending.

use super::codec::{LoadError, Reader, Writer};
use crate::clock::ClockDomain;
use crate::machine::Machine;
use crate::time::{Cycle, Femtos};
use crate::wake::WakeState;
use serde::{Deserialize, Serialize};

/// What is neither a component's nor a link's.
#[derive(Serialize, Deserialize)]
struct Core {
    parts: Vec<(String, usize)>,
    protocols: Vec<(String, u64)>,
    links: usize,
    clocks: Vec<(u64, Cycle, Femtos)>,
    now: Femtos,
    started: bool,
    worked: bool,
    work_ended_at: Femtos,
    last_foreground: Option<Femtos>,
}

/// What the kernel knows of a component.
#[derive(Clone, Copy, Serialize, Deserialize)]
struct Standing {
    wake: WakeState,
    work: u32,
}

impl Machine {
    /// The state at the present time: before the first run, or where a run has stopped.
    pub fn save(&mut self) -> Vec<u8> {
        let mut out = Writer::new();
        let fabrics = || self.shards.iter().map(|s| &s.fabric);
        let delivered = |lane: usize| fabrics().map(|f| f.lanes[lane].lane.delivered()).sum();
        let topology = &self.topology;
        out.put(&Core {
            parts: topology.parts.iter().map(|p| (p.name.clone(), p.components)).collect(),
            protocols: (topology.protocols.iter().enumerate()).map(|(l, p)| (p.to_string(), delivered(l))).collect(),
            links: topology.links.len(),
            clocks: self.shards[0].fabric.clocks.iter().map(ClockDomain::state).collect(),
            now: self.state.now,
            started: self.state.started,
            worked: self.state.worked || fabrics().any(|f| f.work.begun > 0),
            work_ended_at: fabrics().map(|f| f.work.ended_at).max().unwrap_or_default(),
            last_foreground: self.shards.iter().filter_map(|s| s.last_foreground).max(),
        });
        self.save_components(&mut out);
        self.save_links(&mut out);
        out.into_bytes()
    }

    fn save_components(&self, out: &mut Writer) {
        for part in 0..self.topology.parts.len() {
            for shard in &self.shards {
                for arena in shard.arenas.iter().filter(|a| a.part() == part) {
                    let (base, _, count) = arena.range();
                    for local in 0..count {
                        let id = base + local as u32;
                        let (wake, work) = (shard.fabric.wake.state_of(id), shard.fabric.work.held(id));
                        out.put(&Standing { wake, work });
                        let mut state = Writer::new();
                        arena.save(local, &mut state);
                        out.put_bytes(&state.into_bytes());
                    }
                }
            }
        }
    }

    fn save_links(&mut self, out: &mut Writer) {
        let messages: Vec<Vec<Vec<Vec<u8>>>> =
            self.shards.iter().map(|s| s.fabric.lanes.iter().map(|slot| slot.lane.save()).collect()).collect();
        let now: Vec<u64> = (0..self.clock_names.len()).map(|d| self.cycle(d).0).collect();
        for &(from, to) in &self.topology.links {
            let (f, t) = (self.topology.ports[from as usize], self.topology.ports[to as usize]);
            let sender = &mut self.shards[usize::from(f.shard)].fabric;
            let owner = sender.outs_rest[f.handle as usize].owner;
            let domain = usize::from(sender.wake.domain[owner as usize]);
            out.put(&sender.credit_batches(f.handle, now[domain]));
            out.put_bytes(&messages[usize::from(t.shard)][usize::from(t.lane)][t.handle as usize]);
        }
    }

    /// Goes on where another machine was saved that was built from the same file, workload and seed, on any number of
    /// shards and threads. Frequencies changed at run time come along; listeners do not.
    ///
    /// # Errors
    /// The state is not of this machine. It is of no use then.
    pub fn load(&mut self, state: &[u8]) -> Result<(), LoadError> {
        if self.state.started {
            return Err(LoadError::NotFresh);
        }
        let mut from = Reader::new(state);
        let core: Core = from.get()?;
        self.load_core(&core)?;
        let standings = self.load_components(&mut from)?;
        self.load_links(&mut from, &standings)?;
        from.finish()
    }

    fn load_core(&mut self, core: &Core) -> Result<(), LoadError> {
        let topology = &self.topology;
        let count = |what, found: usize, expected: usize| match found == expected {
            true => Ok(()),
            false => Err(LoadError::Count { what, found, expected }),
        };
        count("parts", core.parts.len(), topology.parts.len())?;
        count("links", core.links, topology.links.len())?;
        count("clocks", core.clocks.len(), self.clock_names.len())?;
        count("protocols", core.protocols.len(), topology.protocols.len())?;
        for ((name, components), part) in core.parts.iter().zip(&topology.parts) {
            if *name != part.name {
                return Err(LoadError::invalid(format!("has a part `{name}` in place of `{}`", part.name)));
            }
            count("components of a part", *components, part.components).map_err(|e| e.at(name))?;
        }
        let clocks = self.shards[0].fabric.clocks.iter().zip(&core.clocks);
        let clocks: Option<Vec<_>> = clocks.map(|(c, state)| ClockDomain::restored(c.id, *state)).collect();
        let clocks = clocks.ok_or_else(|| LoadError::invalid("a clock without a frequency"))?;
        let cycles: Vec<u64> = clocks.iter().map(|c| c.last_edge_at_or_before(core.now).0).collect();
        self.state.now = core.now;
        self.state.started = core.started;
        self.state.worked = core.worked;
        for (s, shard) in self.shards.iter_mut().enumerate() {
            shard.fabric.clocks = clocks.clone();
            shard.fabric.work.start_at(core.work_ended_at);
            shard.start_at(core.now, core.started.then_some(cycles.as_slice()), core.last_foreground);
            for (slot, (_, delivered)) in shard.fabric.lanes.iter_mut().zip(&core.protocols) {
                slot.lane.set_delivered(if s == 0 { *delivered } else { 0 });
            }
        }
        Ok(())
    }

    /// The states of all components; what was known of each, by number.
    fn load_components(&mut self, from: &mut Reader<'_>) -> Result<Vec<Standing>, LoadError> {
        let mut standings = Vec::new();
        for part in 0..self.topology.parts.len() {
            for shard in &mut self.shards {
                for arena in shard.arenas.iter_mut().filter(|a| a.part() == part) {
                    let (base, _, count) = arena.range();
                    for local in 0..count {
                        let path = |number: usize| self.topology.path(number as u32);
                        let number = standings.len();
                        let standing: Standing = from.get().map_err(|e| e.at(&path(number)))?;
                        let mut state = Reader::new(from.get_bytes()?);
                        let loaded = arena.load(local, &mut state).and_then(|()| state.finish());
                        loaded.map_err(|e| e.at(&path(number)))?;
                        let id = base + local as u32;
                        shard.fabric.work.begin(id, standing.work);
                        if !shard.fabric.wake.restore(id, standing.wake) {
                            return Err(LoadError::invalid("an alarm lies in the past").at(&path(number)));
                        }
                        standings.push(standing);
                    }
                }
            }
        }
        Ok(standings)
    }

    fn load_links(&mut self, from: &mut Reader<'_>, standings: &[Standing]) -> Result<(), LoadError> {
        for &(out, input) in &self.topology.links {
            let (f, t) = (self.topology.ports[out as usize], self.topology.ports[input as usize]);
            let place = |e: LoadError| e.at(&self.topology.port_path(input));
            let batches: Vec<(u64, u16)> = from.get().map_err(place)?;
            let bytes = from.get_bytes().map_err(place)?;
            let mut on_link = 0;
            if !bytes.is_empty() {
                let domain = self.topology.parts[self.topology.part_of(t.component)].domain as u8;
                let fabric = &mut self.shards[usize::from(t.shard)].fabric;
                let lane = &mut fabric.lanes[usize::from(t.lane)].lane;
                let mut messages = Reader::new(bytes);
                on_link = lane.load(t.handle, t.capacity, domain, &mut messages, &mut fabric.wake).map_err(place)?;
                messages.finish().map_err(place)?;
            }
            let away: u64 = batches.iter().map(|(_, count)| u64::from(*count)).sum();
            let in_hand = u64::from(t.capacity).checked_sub(away + u64::from(on_link));
            let rising = batches.is_sorted_by(|a, b| a.0 < b.0) && batches.iter().all(|b| b.0 < 1 << 48);
            let Some(in_hand) = in_hand.filter(|_| rising) else {
                return Err(place(LoadError::invalid("credits that cannot be on this link")));
            };
            let waits = standings[f.component as usize].wake.waits_for_credit();
            self.shards[usize::from(f.shard)].fabric.restore_credits(f.handle, in_hand as u16, &batches, waits);
        }
        Ok(())
    }
}
