//! The command processor: takes grids apart into CTAs and gives them to SMs that have room.
//!
//! ```text
//!   streams ─▶ grid slot ─▶ launch overhead ─▶ [first in, first out] ─▶ next CTA ─▶ launch[sm] ─▶ …  done[sm] ─▶ [room again]
//!   last CTA done ─▶ [drain] ─▶ launch[all] ─▶ … stores answered … done[all] ─▶ end of the grid ─▶ next of its stream
//! ```
//!
//! Models: the end of a grid when its last store is answered, launch overhead, one CTA every `cta_interval_cycles`, residency by
//! occupancy (`residency`), the time until the place of a CTA that is done is given to another, breadth-first placement: each
//! CTA goes to the SM with the most room; among equals the GPCs take turns.
//! Launches of a stream follow each other without a gap, each with its own overhead; those of several streams run side by side
//! (`streams`). CTAs of the grid that began first go first, and those of the next one only when all of it have been given out: the
//! rules that Amert et al. found (GPU Scheduling on the NVIDIA TX2: Hidden Details Revealed, RTSS 2017).
//! Leaves out: GPCs of different sizes, TPCs, priorities of streams, preemption; overheads of several launches do not wait for each
//! other.
//! Numbers: from the machine file; the H100 values are fits over a sweep of empty kernels.
//! Start reading at `tick`; the canonical tests are in `components/machine/tests/gpu.rs` and `streams.rs` beside it.

mod residency;
mod streams;

use crate::launch_store::{self, LaunchStore};
use crate::sm::spec::SmSpec;
use protocol::{SmCommand, SmReply};
use residency::{Demand, Residents, Room};
use serde::{Deserialize, Serialize};
use sim_core::{
    Activity, BuildError, ClockDomain, Component, Cx, Cycle, DomainId, Femtos, In, Out, Site, StatsNode, saved,
};
use std::collections::VecDeque;
use std::sync::Arc;
use streams::Streams;

/// Grids that may reside on a GPU at the same time, each in a slot.
pub const MAX_GRIDS: u16 = 128;
/// Messages from one SM that may wait: at least the CTAs that can finish within a round trip, and a drain of each slot.
const DONE_CAPACITY: u16 = 64 + MAX_GRIDS;

/// Parameters.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CommandProcessorSpec {
    /// From the start of a launch to its first CTA.
    pub launch_overhead_cycles: u32,
    /// Between two CTAs, on average; counted in thousandths of a cycle.
    pub cta_interval_cycles: f64,
    /// From the end of a CTA until its place is free for another.
    pub cta_turnaround_cycles: u32,
    /// The same, for each warp of the CTA.
    pub warp_turnaround_cycles: f64,
    /// Graphics processing clusters, which the SMs are divided among in runs of (nearly) equal length.
    pub gpcs: u32,
    /// Grids that may reside at the same time, of as many streams.
    pub resident_grids: u16,
}

/// The SMs in the order of placement: the first of each GPC, then the second of each ….
fn placement_order(sms: usize, gpcs: usize) -> Vec<usize> {
    let first_of = |gpc: usize| gpc * sms / gpcs;
    let longest = (0..gpcs).map(|gpc| first_of(gpc + 1) - first_of(gpc)).max().unwrap_or(0);
    let place = |nth: usize, gpc: usize| Some(first_of(gpc) + nth).filter(|&sm| sm < first_of(gpc + 1));
    (0..longest).flat_map(|nth| (0..gpcs).filter_map(move |gpc| place(nth, gpc))).collect()
}

/// The parameters of the SMs, which the builder of the machine hands to the command processor.
pub struct SmParameters(pub SmSpec);

/// What does not change of a launch.
#[derive(Clone, Copy)]
struct Kind {
    ctas: u32,
    /// From the end of a CTA until its place is free.
    turnaround_cycles: u64,
}

/// What has happened to a launch.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Progress {
    /// CTAs that have been given out.
    dispatched: u32,
    done: u32,
    /// SMs that have not drained, once the last CTA is done.
    undrained: Option<u32>,
    /// Cycles in which it began and ended.
    begin: u64,
    end: Option<u64>,
}

/// The component `gpu.command_processor`. Needs a [`LaunchStore`] and [`SmParameters`] among the resources.
pub struct CommandProcessor {
    store: Arc<LaunchStore>,
    launch: Vec<Out<SmCommand>>,
    done: Vec<In<SmReply>>,
    clock: ClockDomain,
    overhead_cycles: u64,
    order: Vec<usize>,
    interval_millicycles: u64,
    limits: Room,
    kinds: Vec<Kind>,
    demands: Vec<Demand>,

    streams: Streams,
    progress: Vec<Progress>,
    /// Launches that have begun and not given out all CTAs, by number and grid slot, in the order in which they began.
    dispatching: VecDeque<(u32, u8)>,
    residents: Vec<Residents>,
    /// CTAs of the first of `dispatching` that each SM still has room for.
    room: Vec<u32>,
    /// Places that will be free: from which cycle on, on which SM, of which launch.
    returning: VecDeque<(u64, u32, u32)>,
    /// Earliest time of the next dispatch, in thousandths of a cycle.
    dispatch_from_millicycles: u64,
    last_dispatch: u64,
    has_begun: bool,
    is_over: bool,
}

/// Rounded; parameters are checked before.
fn millicycles(cycles: f64) -> u64 {
    (cycles * 1000.0).round() as u64
}

// It hands the launches out and keeps their state for all.
saved!(CommandProcessor {
    state: progress, dispatching, residents, returning, dispatch_from_millicycles, last_dispatch, has_begun, is_over;
    parts: streams;
    sized: room;
    by launch_store::shared: store;
    rebuilt: launch, done, clock, order, kinds, demands, limits, overhead_cycles, interval_millicycles;
});

impl Component for CommandProcessor {
    const KIND: &'static str = "gpu.command_processor";
    const DESCRIPTION: &'static str = "takes grids apart into CTAs and gives them to SMs that have room";
    const CHEAP_IDLE_TICK: bool = false;
    type Spec = CommandProcessorSpec;

    fn build(spec: CommandProcessorSpec, site: &mut Site<'_>) -> Result<Self, BuildError> {
        if !(1.0..=1e9).contains(&spec.cta_interval_cycles) {
            return Err(BuildError::key("cta_interval_cycles", "should be from 1 to a billion"));
        }
        if !(0.0..=1e9).contains(&spec.warp_turnaround_cycles) {
            return Err(BuildError::key("warp_turnaround_cycles", "should be from 0 to a billion"));
        }
        if spec.gpcs == 0 {
            return Err(BuildError::key("gpcs", "should be at least 1"));
        }
        if !(1..=MAX_GRIDS).contains(&spec.resident_grids) {
            return Err(BuildError::key("resident_grids", "should be from 1 to 128"));
        }
        let missing = || BuildError::part("a command processor needs a kernel launch as its workload");
        let store = site.resource::<LaunchStore>().ok_or_else(missing)?;
        let sm = site.resource::<SmParameters>().ok_or_else(missing)?;
        let sms = site.linked_width("launch");
        let resources = || store.launches().iter().map(|grid| grid.resources());
        let demands: Vec<Demand> = resources().map(|cta| Demand::new(cta, &sm.0)).collect();
        if let Some(demand) = demands.iter().find(|demand| demand.alone.ctas == 0) {
            let limit = demand.alone.limit;
            let problem = format!("one CTA of this kernel does not fit on an SM: too little of {limit:?}");
            return Err(BuildError::part(problem));
        }
        let kinds = store.launches().iter().map(|grid| {
            let of_warps = f64::from(grid.resources().warps()) * spec.warp_turnaround_cycles;
            let turnaround_cycles = u64::from(spec.cta_turnaround_cycles) + of_warps.round() as u64;
            Kind { ctas: grid.ctas(), turnaround_cycles }
        });
        let kinds: Vec<Kind> = kinds.collect();
        let names = store.launches().iter().map(|grid| grid.stream());
        let overhead_cycles = u64::from(spec.launch_overhead_cycles);
        site.foreground(1);
        Ok(Self {
            launch: site.outputs("launch", sms),
            done: site.inputs("done", sms, DONE_CAPACITY),
            clock: ClockDomain::new(DomainId(0), site.clock_hz()),
            streams: Streams::new(names, spec.resident_grids.into()),
            progress: vec![Progress::default(); kinds.len()],
            dispatching: VecDeque::new(),
            residents: vec![Residents::default(); sms],
            room: vec![0; sms],
            kinds,
            demands,
            limits: Room::of(&sm.0),
            order: placement_order(sms, spec.gpcs as usize),
            returning: VecDeque::new(),
            dispatch_from_millicycles: 0,
            overhead_cycles,
            interval_millicycles: millicycles(spec.cta_interval_cycles),
            last_dispatch: 0,
            has_begun: false,
            is_over: false,
            store,
        })
    }

    fn tick(&mut self, cx: &mut Cx<'_>) -> Activity {
        if !std::mem::replace(&mut self.has_begun, true) {
            self.begin_launches(0);
        }
        self.collect(cx);
        if !self.is_over {
            self.finish(cx);
        }
        let outlook = self.dispatch(cx);
        self.say_what_may_start();
        outlook
    }

    fn report(&self, _at: Cycle, out: &mut StatsNode) {
        let dispatched = self.progress.iter().map(|progress| u64::from(progress.dispatched)).sum();
        out.counter("ctas", dispatched, "CTAs");
        out.counter("last_dispatch", self.last_dispatch, "cycle");
        if self.kinds.len() > 1 {
            let each = out.child("launch");
            for (number, progress) in (1..).zip(&self.progress) {
                if let Some(end) = progress.end {
                    let launch = each.child(&format!("{number}"));
                    launch.counter("begin", progress.begin, "cycle");
                    launch.counter("end", end, "cycle");
                    launch.counter("cycles", end - progress.begin, "cycles");
                }
            }
        }
    }

    fn waiting(&self) -> Option<String> {
        let running = || self.streams.running().map(|(_, launch)| launch as usize);
        let ctas: u32 = running().map(|launch| self.kinds[launch].ctas).sum();
        let done: u32 = running().map(|launch| self.progress[launch].done).sum();
        let dispatched: u32 = running().map(|launch| self.progress[launch].dispatched).sum();
        (done < ctas)
            .then(|| format!("{} of {ctas} CTAs unfinished, {} not dispatched", ctas - done, ctas - dispatched))
    }
}

impl CommandProcessor {
    /// Launches at the heads of their streams begin, as far as grid slots are free.
    fn begin_launches(&mut self, now: u64) {
        while let Some((launch, slot)) = self.streams.begin() {
            self.progress[launch as usize].begin = now;
            let from = now + self.overhead_cycles;
            // The first launches find what the host has written from the beginning.
            let from = if now == 0 { Femtos(0) } else { self.clock.edge(Cycle(from)) };
            self.store.begin(launch as usize, from);
            if self.kinds[launch as usize].ctas == 0 {
                continue;
            }
            self.dispatching.push_back((launch, slot));
            if self.dispatching.len() == 1 {
                self.turn_to_next_grid();
            }
        }
    }

    /// The grid that is now the first gives out its CTAs.
    fn turn_to_next_grid(&mut self) {
        let Some(&(launch, _)) = self.dispatching.front() else { return };
        let ready = 1000 * (self.progress[launch as usize].begin + self.overhead_cycles);
        self.dispatch_from_millicycles = self.dispatch_from_millicycles.max(ready);
        for (room, residents) in self.room.iter_mut().zip(&self.residents) {
            *room = residents.room(launch, &self.demands, &self.limits);
        }
    }

    fn look_for_room(&mut self, sm: usize) {
        if let Some(&(launch, _)) = self.dispatching.front() {
            self.room[sm] = self.residents[sm].room(launch, &self.demands, &self.limits);
        }
    }

    fn collect(&mut self, cx: &mut Cx<'_>) {
        let now = cx.now().0;
        let mut failed = false;
        for (sm, &port) in self.done.iter().enumerate() {
            while let Some(reply) = cx.take(port) {
                match reply {
                    SmReply::Done { cta } => {
                        let launch = self.store.launch_of(cta);
                        let free_from = now + self.kinds[launch].turnaround_cycles;
                        let behind = self.returning.partition_point(|&(from, ..)| from <= free_from);
                        self.returning.insert(behind, (free_from, sm as u32, launch as u32));
                        self.progress[launch].done += 1;
                        self.store.has_left(launch);
                    }
                    SmReply::Failed => failed = true,
                    SmReply::Drained { slot } => {
                        if let Some(launch) = self.streams.launch_in(slot) {
                            let undrained = &mut self.progress[launch as usize].undrained;
                            *undrained = undrained.map(|sms| sms - 1);
                        }
                    }
                }
            }
        }
        while let Some(&(_, sm, launch)) = self.returning.front().filter(|(from, ..)| *from <= now) {
            self.returning.pop_front();
            self.residents[sm as usize].leave(launch);
            self.look_for_room(sm as usize);
        }
        if failed {
            self.give_up(cx);
        }
    }

    /// Execution failed; how, is in the store. The run ends here.
    fn give_up(&mut self, cx: &mut Cx<'_>) {
        self.dispatching.clear();
        if !std::mem::replace(&mut self.is_over, true) {
            cx.end_work(1);
        }
    }

    /// Grids all of whose CTAs are done: asks the SMs to drain, and when they have, begins what waits for them or ends the run.
    fn finish(&mut self, cx: &mut Cx<'_>) {
        let all_done = |(_, launch): &(u8, u32)| {
            let launch = *launch as usize;
            self.progress[launch].done == self.kinds[launch].ctas
        };
        let done: Vec<(u8, u32)> = self.streams.running().filter(all_done).collect();
        for (slot, launch) in done {
            let progress = &mut self.progress[launch as usize];
            match progress.undrained {
                None => {
                    self.launch.iter().for_each(|&port| cx.send(port, SmCommand::Drain { slot }));
                    progress.undrained = Some(self.launch.len() as u32);
                }
                Some(0) => {
                    progress.end = Some(cx.now().0);
                    self.store.end(launch as usize);
                    self.streams.end(slot);
                }
                Some(_) => {}
            }
        }
        self.begin_launches(cx.now().0);
        if self.streams.is_empty() {
            self.is_over = true;
            cx.end_work(1);
        }
    }

    fn dispatch(&mut self, cx: &mut Cx<'_>) -> Activity {
        let now = cx.now().0;
        let Some(&(launch, slot)) = self.dispatching.front() else { return Activity::input() };
        let from = self.dispatch_from_millicycles.div_ceil(1000);
        if now < from {
            return Activity::input().or_until(Cycle(from));
        }
        let most = self.room.iter().copied().max().unwrap_or(0);
        let Some(sm) = self.order.iter().copied().find(|&sm| self.room[sm] == most && most > 0) else {
            let soonest = self.returning.front();
            return soonest.map_or(Activity::input(), |&(from, ..)| Activity::input().or_until(Cycle(from)));
        };
        // An SM's input has a slot for every CTA that it has room for, and one for the drain of each slot.
        let number = self.progress[launch as usize].dispatched;
        let Some(cta) = self.store.execute(launch as usize, number, slot) else {
            self.give_up(cx);
            return Activity::input();
        };
        let carves = self.residents[sm].enter(launch);
        cx.send(self.launch[sm], SmCommand::Launch { cta, slot, carves });
        self.progress[launch as usize].dispatched += 1;
        self.last_dispatch = now;
        // What the rounding up to a cycle cost is made up for; the time without room is not.
        let due = self.dispatch_from_millicycles.max((1000 * now).saturating_sub(999));
        self.dispatch_from_millicycles = due + self.interval_millicycles;
        if number + 1 < self.kinds[launch as usize].ctas {
            self.look_for_room(sm);
        } else {
            self.dispatching.pop_front();
            self.turn_to_next_grid();
        }
        Activity::input().or_until(Cycle(self.dispatch_from_millicycles.div_ceil(1000)))
    }

    /// Tells grids that execute at issue whether a further CTA may start before one has left.
    fn say_what_may_start(&self) {
        let room = !self.returning.is_empty() || self.room.iter().any(|&room| room > 0);
        for (_, launch) in self.streams.running() {
            let undispatched = self.progress[launch as usize].dispatched < self.kinds[launch as usize].ctas;
            self.store.set_nothing_starts(launch as usize, !(room && undispatched));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::placement_order;

    #[test]
    fn the_gpcs_take_turns() {
        assert_eq!(placement_order(7, 3), vec![0, 2, 4, 1, 3, 5, 6]);
        assert_eq!(placement_order(4, 1), vec![0, 1, 2, 3]);
        assert_eq!(placement_order(2, 8), vec![0, 1]);
    }

    #[test]
    fn every_sm_has_one_place() {
        for (sms, gpcs) in [(114, 8), (132, 8), (46, 6), (84, 7), (1, 1), (3, 2)] {
            let mut order = placement_order(sms, gpcs);
            order.sort_unstable();
            assert_eq!(order, (0..sms).collect::<Vec<_>>());
        }
    }
}
