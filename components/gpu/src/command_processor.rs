//! The command processor: takes a grid apart into CTAs and gives them to SMs that have room.
//!
//! ```text
//!   launch overhead ─▶ [next CTA] ─▶ [functional execution] ─▶ launch[sm] ─▶ …  done[sm] ─▶ [room again]
//!   last CTA done   ─▶ [drain] ─▶ launch[all] ─▶ … stores answered … done[all] ─▶ end of the grid ─▶ next launch, or the end
//! ```
//!
//! Models: the end of a grid when its last store is answered, launch overhead, one CTA every `cta_interval_cycles`, residency by occupancy, the time
//! until the place of a CTA that is done is given to another, breadth-first placement: each CTA goes to the SM with the most
//! room; among equals the GPCs take turns.
//! Launches of a stream follow each other without a gap, each with its own overhead.
//! Leaves out: GPCs of different sizes, TPCs, several kernels at once, priorities.
//! Numbers: from the machine file; the H100 values are fits over a sweep of empty kernels.
//! Start reading at `tick`; the canonical tests are in `components/machine/tests/gpu.rs`.

use crate::launch_store::{self, LaunchStore};
use crate::sm::CtaResources;
use crate::sm::spec::SmSpec;
use protocol::{SmCommand, SmReply};
use serde::Deserialize;
use sim_core::{Activity, BuildError, Component, Cx, Cycle, In, Out, Site, StatsNode, saved};
use std::collections::VecDeque;
use std::sync::Arc;

/// Messages from one SM that may wait; at least the CTAs that can finish within a round trip.
const DONE_CAPACITY: u16 = 64;

/// Parameters.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CommandProcessorSpec {
    /// From the start of the launch to its first CTA.
    pub launch_overhead_cycles: u32,
    /// Between two CTAs, on average; counted in thousandths of a cycle.
    pub cta_interval_cycles: f64,
    /// From the end of a CTA until its place is free for another.
    pub cta_turnaround_cycles: u32,
    /// The same, for each warp of the CTA.
    pub warp_turnaround_cycles: f64,
    /// Graphics processing clusters, which the SMs are divided among in runs of (nearly) equal length.
    pub gpcs: u32,
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

/// The component `gpu.command_processor`. Needs a [`LaunchStore`] and [`SmParameters`] among the resources.
pub struct CommandProcessor {
    store: Arc<LaunchStore>,
    launch: Vec<Out<SmCommand>>,
    done: Vec<In<SmReply>>,
    /// CTAs that each SM still has room for.
    room: Vec<u32>,
    /// CTAs of each launch that an SM holds, and how long a place of it takes to be free again.
    launches: Vec<Residency>,
    /// Cycle in which each launch so far has ended.
    ends: Vec<u64>,
    /// Places that will be free: from which cycle on, on which SM. All take equally long, so they come in order.
    returning: VecDeque<(u64, u32)>,
    overhead_cycles: u64,
    order: Vec<usize>,
    next_cta: u32,
    unfinished: u32,
    /// SMs that have not drained, once the last CTA is done.
    undrained: Option<usize>,
    /// Earliest time of the next dispatch, in thousandths of a cycle.
    dispatch_from_millicycles: u64,
    interval_millicycles: u64,
    last_dispatch: u64,
    is_over: bool,
}

/// How one launch fills an SM.
#[derive(Clone, Copy)]
struct Residency {
    ctas: u32,
    turnaround_cycles: u64,
}

/// Rounded; parameters are checked before.
fn millicycles(cycles: f64) -> u64 {
    (cycles * 1000.0).round() as u64
}

// It hands the launch out and keeps its state for all.
saved!(CommandProcessor {
    state: next_cta, unfinished, undrained, returning, dispatch_from_millicycles, last_dispatch, is_over, ends;
    sized: room;
    by launch_store::shared: store;
    rebuilt: launch, done, order, launches, overhead_cycles, interval_millicycles;
});

impl Component for CommandProcessor {
    const KIND: &'static str = "gpu.command_processor";
    const DESCRIPTION: &'static str = "takes a grid apart into CTAs and gives them to SMs that have room";
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
        let missing = || BuildError::part("a command processor needs a kernel launch as its workload");
        let store = site.resource::<LaunchStore>().ok_or_else(missing)?;
        let sm = site.resource::<SmParameters>().ok_or_else(missing)?;
        let sms = site.linked_width("launch");
        let residency = |resources: &CtaResources| {
            let room = sm.0.occupancy(resources);
            if room.ctas == 0 {
                let problem = format!("one CTA of this kernel does not fit on an SM: too little of {:?}", room.limit);
                return Err(BuildError::part(problem));
            }
            let of_warps = f64::from(resources.warps()) * spec.warp_turnaround_cycles;
            let turnaround_cycles = u64::from(spec.cta_turnaround_cycles) + of_warps.round() as u64;
            Ok(Residency { ctas: room.ctas, turnaround_cycles })
        };
        let launches = store.launches().iter().map(|grid| residency(grid.resources()));
        let launches = launches.collect::<Result<Vec<_>, _>>()?;
        let overhead_cycles = u64::from(spec.launch_overhead_cycles);
        site.foreground(1);
        Ok(Self {
            launch: site.outputs("launch", sms),
            done: site.inputs("done", sms, DONE_CAPACITY),
            room: vec![launches[0].ctas; sms],
            launches,
            ends: Vec::new(),
            order: placement_order(sms, spec.gpcs as usize),
            next_cta: 0,
            unfinished: store.ctas(),
            undrained: None,
            returning: VecDeque::new(),
            dispatch_from_millicycles: 1000 * overhead_cycles,
            overhead_cycles,
            interval_millicycles: millicycles(spec.cta_interval_cycles),
            last_dispatch: 0,
            is_over: false,
            store,
        })
    }

    fn tick(&mut self, cx: &mut Cx<'_>) -> Activity {
        self.collect(cx);
        if self.unfinished == 0 && !self.is_over {
            self.finish(cx);
        }
        let outlook = self.dispatch(cx);
        let room = !self.returning.is_empty() || self.room.iter().any(|&room| room > 0);
        let may_start = room && self.next_cta < self.store.ctas();
        self.store.set_nothing_starts(!may_start);
        outlook
    }

    fn report(&self, _at: Cycle, out: &mut StatsNode) {
        let before = &self.store.launches()[..self.store.current()];
        let before: u64 = before.iter().map(|grid| u64::from(grid.ctas())).sum();
        out.counter("ctas", before + u64::from(self.next_cta), "CTAs");
        out.counter("last_dispatch", self.last_dispatch, "cycle");
        if self.launches.len() > 1 {
            let each = out.child("launch");
            let starts = std::iter::once(0).chain(self.ends.iter().copied());
            for ((number, start), end) in (1..).zip(starts).zip(&self.ends) {
                each.child(&format!("{number}")).counter("cycles", end - start, "cycles");
            }
        }
    }

    fn waiting(&self) -> Option<String> {
        (self.unfinished > 0).then(|| {
            let waiting = self.store.ctas() - self.next_cta;
            format!("{} of {} CTAs unfinished, {waiting} not dispatched", self.unfinished, self.store.ctas())
        })
    }
}

impl CommandProcessor {
    fn collect(&mut self, cx: &mut Cx<'_>) {
        let mut failed = false;
        let free_from = cx.now().0 + self.launches[self.store.current()].turnaround_cycles;
        for (sm, &port) in self.done.iter().enumerate() {
            while let Some(reply) = cx.take(port) {
                match reply {
                    SmReply::Done { .. } => {
                        self.returning.push_back((free_from, sm as u32));
                        self.unfinished -= 1;
                        self.store.has_left();
                    }
                    SmReply::Failed => failed = true,
                    SmReply::Drained => self.undrained = self.undrained.map(|sms| sms - 1),
                }
            }
        }
        while let Some(&(_, sm)) = self.returning.front().filter(|(from, _)| *from <= cx.now().0) {
            self.room[sm as usize] += 1;
            self.returning.pop_front();
        }
        if failed {
            self.give_up(cx);
        }
    }

    /// Execution failed; how, is in the store. The run ends here.
    fn give_up(&mut self, cx: &mut Cx<'_>) {
        self.next_cta = self.store.ctas();
        if !std::mem::replace(&mut self.is_over, true) {
            cx.end_work(1);
        }
    }

    /// All CTAs are done: asks the SMs to drain, and when they have, begins the next launch or ends the run.
    fn finish(&mut self, cx: &mut Cx<'_>) {
        match self.undrained {
            None if !self.is_over => {
                self.launch.iter().for_each(|&port| cx.send(port, SmCommand::Drain));
                self.undrained = Some(self.launch.len());
            }
            Some(0) => {
                self.undrained = None;
                self.ends.push(cx.now().0);
                if self.store.begin_next() {
                    self.begin(cx.now().0);
                } else {
                    self.is_over = true;
                    cx.end_work(1);
                }
            }
            _ => {}
        }
    }

    /// The launch that the store now has begins, with all SMs empty.
    fn begin(&mut self, now: u64) {
        self.next_cta = 0;
        self.unfinished = self.store.ctas();
        self.returning.clear();
        self.room.fill(self.launches[self.store.current()].ctas);
        self.dispatch_from_millicycles = 1000 * (now + self.overhead_cycles);
    }

    fn dispatch(&mut self, cx: &mut Cx<'_>) -> Activity {
        let now = cx.now().0;
        if self.next_cta == self.store.ctas() {
            return Activity::input();
        }
        let from = self.dispatch_from_millicycles.div_ceil(1000);
        if now < from {
            return Activity::input().or_until(Cycle(from));
        }
        let most = self.room.iter().copied().max().unwrap_or(0);
        let Some(sm) = self.order.iter().copied().find(|&sm| self.room[sm] == most && most > 0) else {
            let soonest = self.returning.front();
            return soonest.map_or(Activity::input(), |&(from, _)| Activity::input().or_until(Cycle(from)));
        };
        // An SM's input has a slot for every CTA that it has room for, and one for the drain.
        if !self.store.execute(self.next_cta) {
            self.give_up(cx);
            return Activity::input();
        }
        cx.send(self.launch[sm], SmCommand::Launch { cta: self.next_cta });
        self.room[sm] -= 1;
        self.next_cta += 1;
        self.last_dispatch = now;
        // What the rounding up to a cycle cost is made up for; the time without room is not.
        let due = self.dispatch_from_millicycles.max((1000 * now).saturating_sub(999));
        self.dispatch_from_millicycles = due + self.interval_millicycles;
        Activity::input().or_until(Cycle(self.dispatch_from_millicycles.div_ceil(1000)))
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
