//! The command processor: takes a grid apart into CTAs and gives them to SMs that have room.
//!
//! ```text
//!   launch overhead ─▶ [next CTA] ─▶ [functional execution] ─▶ launch[sm] ─▶ …  done[sm] ─▶ [room again]
//!   last CTA done   ─▶ [drain] ─▶ launch[all] ─▶ … stores answered … done[all] ─▶ end of the grid
//! ```
//!
//! Models: the end of a grid when its last store is answered, launch overhead, one CTA every `cta_interval_cycles`, residency by occupancy, breadth-first placement: each
//! CTA goes to the SM with the most room; among equals the GPCs take turns.
//! Leaves out: GPCs of different sizes, TPCs, several kernels at once, priorities.
//! Numbers: from the machine file; the H100 values are fits over a sweep of empty kernels.
//! Start reading at `tick`; the canonical tests are in `components/machine/tests/gpu.rs`.

use crate::launch_store::{self, LaunchStore};
use crate::sm::spec::SmSpec;
use protocol::{SmCommand, SmReply};
use serde::Deserialize;
use sim_core::{Activity, BuildError, Component, Cx, Cycle, In, Out, Site, StatsNode, saved};
use std::sync::Arc;

/// Messages from one SM that may wait; at least the CTAs that can finish within a round trip.
const DONE_CAPACITY: u16 = 64;

/// Parameters.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CommandProcessorSpec {
    /// From the start of the launch to its first CTA.
    pub launch_overhead_cycles: u32,
    /// Between two CTAs.
    pub cta_interval_cycles: u32,
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
    spec: CommandProcessorSpec,
    store: Arc<LaunchStore>,
    launch: Vec<Out<SmCommand>>,
    done: Vec<In<SmReply>>,
    /// CTAs that each SM still has room for.
    room: Vec<u32>,
    order: Vec<usize>,
    next_cta: u32,
    unfinished: u32,
    /// SMs that have not drained, once the last CTA is done.
    undrained: Option<usize>,
    /// Earliest cycle of the next dispatch.
    dispatch_from: u64,
    last_dispatch: u64,
    is_over: bool,
}

// It hands the launch out and keeps its state for all.
saved!(CommandProcessor {
    state: next_cta, unfinished, undrained, dispatch_from, last_dispatch, is_over;
    sized: room;
    by launch_store::shared: store;
    rebuilt: spec, launch, done, order;
});

impl Component for CommandProcessor {
    const KIND: &'static str = "gpu.command_processor";
    const DESCRIPTION: &'static str = "takes a grid apart into CTAs and gives them to SMs that have room";
    const CHEAP_IDLE_TICK: bool = false;
    type Spec = CommandProcessorSpec;

    fn build(spec: CommandProcessorSpec, site: &mut Site<'_>) -> Result<Self, BuildError> {
        if spec.cta_interval_cycles == 0 {
            return Err(BuildError::key("cta_interval_cycles", "should be at least 1"));
        }
        if spec.gpcs == 0 {
            return Err(BuildError::key("gpcs", "should be at least 1"));
        }
        let missing = || BuildError::part("a command processor needs a kernel launch as its workload");
        let store = site.resource::<LaunchStore>().ok_or_else(missing)?;
        let sm = site.resource::<SmParameters>().ok_or_else(missing)?;
        let sms = site.linked_width("launch");
        let room = sm.0.occupancy(store.resources());
        if room.ctas == 0 {
            let problem = format!("one CTA of this kernel does not fit on an SM: too little of {:?}", room.limit);
            return Err(BuildError::part(problem));
        }
        site.foreground(1);
        Ok(Self {
            launch: site.outputs("launch", sms),
            done: site.inputs("done", sms, DONE_CAPACITY),
            room: vec![room.ctas; sms],
            order: placement_order(sms, spec.gpcs as usize),
            next_cta: 0,
            unfinished: store.ctas(),
            undrained: None,
            dispatch_from: u64::from(spec.launch_overhead_cycles),
            last_dispatch: 0,
            is_over: false,
            store,
            spec,
        })
    }

    fn tick(&mut self, cx: &mut Cx<'_>) -> Activity {
        self.collect(cx);
        let outlook = self.dispatch(cx);
        let may_start = self.next_cta < self.store.ctas() && self.room.iter().any(|&room| room > 0);
        self.store.set_nothing_starts(!may_start);
        if self.unfinished == 0 && !self.is_over {
            self.finish(cx);
        }
        outlook
    }

    fn report(&self, _at: Cycle, out: &mut StatsNode) {
        out.counter("ctas", u64::from(self.next_cta), "CTAs");
        out.counter("last_dispatch", self.last_dispatch, "cycle");
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
        for (sm, &port) in self.done.iter().enumerate() {
            while let Some(reply) = cx.take(port) {
                match reply {
                    SmReply::Done { .. } => {
                        self.room[sm] += 1;
                        self.unfinished -= 1;
                        self.store.has_left();
                    }
                    SmReply::Failed => failed = true,
                    SmReply::Drained => self.undrained = self.undrained.map(|sms| sms - 1),
                }
            }
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

    /// All CTAs are done: asks the SMs to drain, and ends the run when they have.
    fn finish(&mut self, cx: &mut Cx<'_>) {
        match self.undrained {
            None if !self.is_over => {
                self.launch.iter().for_each(|&port| cx.send(port, SmCommand::Drain));
                self.undrained = Some(self.launch.len());
            }
            Some(0) => {
                self.undrained = None;
                self.is_over = true;
                cx.end_work(1);
            }
            _ => {}
        }
    }

    fn dispatch(&mut self, cx: &mut Cx<'_>) -> Activity {
        let now = cx.now().0;
        if self.next_cta == self.store.ctas() {
            return Activity::input();
        }
        if now < self.dispatch_from {
            return Activity::input().or_until(Cycle(self.dispatch_from));
        }
        let most = self.room.iter().copied().max().unwrap_or(0);
        let Some(sm) = self.order.iter().copied().find(|&sm| self.room[sm] == most && most > 0) else {
            return Activity::input();
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
        self.dispatch_from = now + u64::from(self.spec.cta_interval_cycles);
        Activity::input().or_until(Cycle(self.dispatch_from))
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
