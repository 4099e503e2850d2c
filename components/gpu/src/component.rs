//! The SM as a component: ports around [`Sm`].
//!
//! ```text
//!   launch ─▶ ┌────┐ ─▶ [translation] ─▶ mem_req      tlb_req  ◀─ [translation]
//!   done   ◀─ │ Sm │ ◀─────────────────── mem_resp     tlb_resp ─▶
//!             └────┘
//! ```
//!
//! Translation and its ports are there where the machine file has `[part.sm.translation]`.

use crate::command_processor::MAX_GRIDS;
use crate::launch_store::LaunchStore;
use crate::micro_tlb::{MOST_MISSES, MicroTlb};
use crate::sm::spec::SmSpec;
use crate::sm::{CtaHandle, NEVER, Sm, SmEnv, SmFact};
use protocol::{MemRequest, MemResponse, SmCommand, SmReply, TranslationRequest, TranslationResponse};
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
    translation: Option<Translation>,
    /// Requests that memory has not answered.
    unanswered: u64,
    /// Grid slots of which it was asked to say when all stores are answered. What was fetched ahead is nobody's business
    /// when a grid ends, nor is local memory that was written back.
    draining: Vec<u8>,
    /// Has said that execution failed.
    failed: bool,
}

/// Translation with its ports.
struct Translation {
    tlb: MicroTlb,
    request: Out<TranslationRequest>,
    response: In<TranslationResponse>,
}

/// The SM, lent the tables of the kernel that its warps execute.
impl Saved for SmComponent {
    fn save(&self, out: &mut Writer) {
        let Self {
            sm,
            index: _,
            store: _,
            launch: _,
            done: _,
            request: _,
            response: _,
            translation,
            unanswered,
            draining,
            failed,
        } = self;
        out.put(&(unanswered, draining, failed));
        if let Some(Translation { tlb, request: _, response: _ }) = translation {
            tlb.save(out);
        }
        sm.save(out);
    }

    fn load(&mut self, from: &mut Reader<'_>) -> Result<(), LoadError> {
        (self.unanswered, self.draining, self.failed) = from.get()?;
        if let Some(translation) = &mut self.translation {
            translation.tlb.load(from)?;
        }
        self.store.lend(from);
        self.sm.load(from)
    }
}

impl Fact for SmFact {}

/// The ports in one tick.
///
/// `HEARD`: somebody listens. Nearly always nobody does, and then the code that states facts is not even there.
struct Ports<'t, 'c, const HEARD: bool> {
    cx: &'t mut Cx<'c>,
    index: u32,
    done: Out<SmReply>,
    request: Out<MemRequest>,
    translation: Option<&'t mut Translation>,
    /// A request whose page has come went out in this cycle.
    has_sent: bool,
    unanswered: &'t mut u64,
    failed: &'t mut bool,
}

impl<const HEARD: bool> Ports<'_, '_, HEARD> {
    fn send_translated(&mut self, request: MemRequest) {
        self.cx.send(self.request, MemRequest { source: self.index, ..request });
    }

    /// Takes in what pages have come, and sends one request that waited for its page.
    fn translate(&mut self, now: u64) {
        let Some(translation) = &mut self.translation else { return };
        while let Some(TranslationResponse { page }) = self.cx.take(translation.response) {
            translation.tlb.known(page, now);
        }
        let ready = if self.cx.room(self.request) > 0 { translation.tlb.take_ready() } else { None };
        if let Some(request) = ready {
            self.send_translated(request);
            self.has_sent = true;
        }
    }

    /// Asks for the pages that requests wait for.
    fn ask_for_pages(&mut self) {
        let Some(Translation { tlb, request, .. }) = self.translation.as_deref_mut() else { return };
        while self.cx.room(*request) > 0 {
            let Some(page) = tlb.ask() else { return };
            self.cx.send(*request, TranslationRequest { page });
        }
    }
}

impl<const HEARD: bool> SmEnv for Ports<'_, '_, HEARD> {
    fn can_send(&mut self) -> bool {
        self.cx.room(self.request) > 0
            && !self.has_sent
            && self.translation.as_ref().is_none_or(|translation| translation.tlb.has_room())
    }

    fn send(&mut self, request: MemRequest) {
        *self.unanswered += 1;
        let known = match &mut self.translation {
            Some(translation) => translation.tlb.look_up(request, self.cx.now().0),
            None => Some(request),
        };
        if let Some(request) = known {
            self.send_translated(request);
        }
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
        HEARD
    }

    fn state(&mut self, fact: SmFact) {
        self.cx.emit(fact);
    }
}

/// When an SM has to be looked at again, unless something arrives.
struct Due {
    /// [`NEVER`]: only the outside can move it.
    cycle: u64,
    /// It also waits for room at an output.
    credit: bool,
}

impl SmComponent {
    /// `ARRIVES`: something may have come. Otherwise all inputs are as the cycle before left them, empty.
    fn cycle<const HEARD: bool, const ARRIVES: bool>(&mut self, cx: &mut Cx<'_>) -> Due {
        let now = cx.now().0;
        while ARRIVES && let Some(command) = cx.take(self.launch) {
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
        let Self { sm, index, done, request, translation, unanswered, failed, .. } = self;
        let (index, done, request) = (*index, *done, *request);
        let translation = translation.as_mut();
        let mut ports: Ports<'_, '_, HEARD> =
            Ports { cx, index, done, request, translation, has_sent: false, unanswered, failed };
        while ARRIVES && let Some(response) = ports.cx.take(self.response) {
            *ports.unanswered -= 1;
            sm.respond(now, &response, &mut ports);
        }
        ports.translate(now);
        let next = sm.step(now, &mut ports);
        ports.ask_for_pages();
        let has_sent = ports.has_sent;
        if ARRIVES && !self.draining.is_empty() {
            self.draining.retain(|&slot| {
                let drained = self.sm.has_drained(slot);
                if drained {
                    cx.send(self.done, SmReply::Drained { slot });
                }
                !drained
            });
        }
        let due = Due { cycle: next.cycle, credit: next.wants_to_send };
        match &self.translation {
            Some(Translation { tlb, .. }) if tlb.has_ready() || has_sent && next.wants_to_send => {
                Due { cycle: due.cycle.min(now + 1), credit: true }
            }
            Some(Translation { tlb, .. }) if tlb.wants_to_ask() => Due { credit: true, ..due },
            _ => due,
        }
    }
}

impl Component for SmComponent {
    const KIND: &'static str = "gpu.sm";
    const DESCRIPTION: &'static str =
        "streaming multiprocessor: four sub-cores, register-file caches, L1, shared memory";
    const CHEAP_IDLE_TICK: bool = false;
    const STRETCHES: bool = true;
    type Spec = SmSpec;

    fn build(spec: SmSpec, site: &mut Site<'_>) -> Result<Self, BuildError> {
        if let Some(first) = spec.validate().into_iter().next() {
            return Err(BuildError::part(first));
        }
        let missing = || BuildError::part("an SM needs a kernel launch as its workload");
        let translation = spec.translation.as_ref().and_then(|of| {
            let (request, response) = (site.output("tlb_req"), site.input("tlb_resp", MOST_MISSES));
            Some(Translation { tlb: MicroTlb::new(of)?, request, response })
        });
        Ok(Self {
            sm: Sm::new(&spec, 0),
            index: site.index() as u32,
            store: site.resource::<LaunchStore>().ok_or_else(missing)?,
            launch: site.input("launch", LAUNCH_CAPACITY),
            done: site.output("done"),
            request: site.output("mem_req"),
            response: site.input("mem_resp", RESPONSE_CAPACITY),
            translation,
            unanswered: 0,
            draining: Vec::new(),
            failed: false,
        })
    }

    fn tick(&mut self, cx: &mut Cx<'_>) -> Activity {
        let mut due =
            if cx.is_heard::<SmFact>() { self.cycle::<true, true>(cx) } else { self.cycle::<false, true>(cx) };
        self.sm.prefetch_fills(cx.upcoming(self.response));
        // Nobody listens where it goes on.
        while !due.credit && due.cycle != NEVER && cx.go_on(Cycle(due.cycle)) {
            due = self.cycle::<false, false>(cx);
        }
        let Due { cycle, credit } = due;
        let activity = if cycle == NEVER { Activity::input() } else { Activity::input().or_until(Cycle(cycle)) };
        if credit { activity.or_credit() } else { activity }
    }

    fn prefetch(&self, cx: &Cx<'_>) {
        self.sm.prefetch(cx.upcoming(self.response));
    }

    fn report(&self, at: Cycle, out: &mut StatsNode) {
        self.sm.report(at.0, out);
        if let Some(translation) = &self.translation {
            translation.tlb.report(out.child("translation"));
        }
    }

    fn waiting(&self) -> Option<String> {
        (self.unanswered > 0).then(|| format!("{} memory requests unanswered", self.unanswered))
    }
}
