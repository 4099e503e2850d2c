//! The SM as a component: ports around [`Sm`].
//!
//! ```text
//!   launch ─▶ ┌────┐ ─▶ mem_req
//!   done   ◀─ │ Sm │ ◀─ mem_resp
//!             └────┘
//! ```

use crate::command_processor::MAX_GRIDS;
use crate::launch_store::LaunchStore;
use crate::sm::spec::SmSpec;
use crate::sm::{CtaHandle, NEVER, Sm, SmEnv, SmFact};
use protocol::{MemRequest, MemResponse, SmCommand, SmReply};
use sim_core::{
    Activity, BuildError, Component, Cx, Cycle, Fact, In, LoadError, Out, Reader, Saved, Site, StatsNode, Writer,
};
use std::sync::Arc;

/// CTAs on their way to one SM, which has room for no more than 64, and a drain of each grid slot.
const LAUNCH_CAPACITY: u16 = 64 + MAX_GRIDS;
/// Answers that wait; an SM takes all of them every cycle, so this covers a round trip of the link.
const RESPONSE_CAPACITY: u16 = 256;

/// The component `gpu.sm`. Needs a [`LaunchStore`] among the resources.
pub struct SmComponent {
    sm: Sm,
    index: u32,
    store: Arc<LaunchStore>,
    launch: In<SmCommand>,
    done: Out<SmReply>,
    request: Out<MemRequest>,
    response: In<MemResponse>,
    /// Requests that memory has not answered.
    unanswered: u64,
    /// Grid slots of which it was asked to say when all stores are answered. What was fetched ahead is nobody's business
    /// when a grid ends, nor is local memory that was written back.
    draining: Vec<u8>,
    /// Has said that execution failed.
    failed: bool,
}

/// The SM, lent the tables of the kernel that its warps execute.
impl Saved for SmComponent {
    fn save(&self, out: &mut Writer) {
        let Self { sm, index: _, store: _, launch: _, done: _, request: _, response: _, unanswered, draining, failed } =
            self;
        out.put(&(unanswered, draining, failed));
        sm.save(out);
    }

    fn load(&mut self, from: &mut Reader<'_>) -> Result<(), LoadError> {
        (self.unanswered, self.draining, self.failed) = from.get()?;
        self.store.lend(from);
        self.sm.load(from)
    }
}

impl Fact for SmFact {}

/// The ports in one tick.
struct Ports<'t, 'c> {
    cx: &'t mut Cx<'c>,
    index: u32,
    done: Out<SmReply>,
    request: Out<MemRequest>,
    unanswered: &'t mut u64,
    failed: &'t mut bool,
}

impl SmEnv for Ports<'_, '_> {
    fn can_send(&mut self) -> bool {
        self.cx.room(self.request) > 0
    }

    fn send(&mut self, request: MemRequest) {
        *self.unanswered += 1;
        let issued = self.cx.time();
        self.cx.send(self.request, MemRequest { source: self.index, issued, ..request });
    }

    fn cta_done(&mut self, CtaHandle(cta): CtaHandle) {
        self.cx.send(self.done, SmReply::Done { cta });
    }

    fn time_ns(&mut self) -> u64 {
        self.cx.time().0 / 1_000_000
    }

    fn execution_failed(&mut self) {
        if !std::mem::replace(self.failed, true) {
            self.cx.send(self.done, SmReply::Failed);
        }
    }

    fn listening(&self) -> bool {
        self.cx.is_heard::<SmFact>()
    }

    fn state(&mut self, fact: SmFact) {
        self.cx.emit(fact);
    }
}

impl Component for SmComponent {
    const KIND: &'static str = "gpu.sm";
    const DESCRIPTION: &'static str =
        "streaming multiprocessor: four sub-cores, register-file caches, L1, shared memory";
    const CHEAP_IDLE_TICK: bool = false;
    type Spec = SmSpec;

    fn build(spec: SmSpec, site: &mut Site<'_>) -> Result<Self, BuildError> {
        if let Some(first) = spec.validate().into_iter().next() {
            return Err(BuildError::part(first));
        }
        let missing = || BuildError::part("an SM needs a kernel launch as its workload");
        Ok(Self {
            sm: Sm::new(&spec, 0),
            index: site.index() as u32,
            store: site.resource::<LaunchStore>().ok_or_else(missing)?,
            launch: site.input("launch", LAUNCH_CAPACITY),
            done: site.output("done"),
            request: site.output("mem_req"),
            response: site.input("mem_resp", RESPONSE_CAPACITY),
            unanswered: 0,
            draining: Vec::new(),
            failed: false,
        })
    }

    fn tick(&mut self, cx: &mut Cx<'_>) -> Activity {
        let now = cx.now().0;
        while let Some(command) = cx.take(self.launch) {
            match command {
                SmCommand::Launch { cta, slot, carves } => {
                    let cta = self.store.take(cta, slot);
                    if carves {
                        self.sm.carve_for(&cta.resources);
                    }
                    self.sm.launch(now, now, cta);
                }
                SmCommand::Drain { slot } => self.draining.push(slot),
            }
        }
        let Self { sm, index, done, request, unanswered, failed, .. } = self;
        let (index, done, request) = (*index, *done, *request);
        let mut ports = Ports { cx, index, done, request, unanswered, failed };
        while let Some(response) = ports.cx.take(self.response) {
            *ports.unanswered -= 1;
            sm.respond(now, &response, &mut ports);
        }
        let next = sm.step(now, &mut ports);
        self.draining.retain(|&slot| {
            let drained = self.sm.has_drained(slot);
            if drained {
                cx.send(self.done, SmReply::Drained { slot });
            }
            !drained
        });
        let activity =
            if next.cycle == NEVER { Activity::input() } else { Activity::input().or_until(Cycle(next.cycle)) };
        if next.wants_to_send { activity.or_credit() } else { activity }
    }

    fn report(&self, at: Cycle, out: &mut StatsNode) {
        self.sm.report(at.0, out);
    }

    fn waiting(&self) -> Option<String> {
        (self.unanswered > 0).then(|| format!("{} memory requests unanswered", self.unanswered))
    }
}
