//! A tile-based NPU as a component of a machine: `kind = "npu.tiled"`.
//!
//! Its clock is the resolution of events: one picosecond a cycle, whatever the clocks of its engines are. It sleeps from one
//! event to the next. Where memory channels are linked to it, transfers go through them as requests of their own.

use std::sync::Arc;

use protocol::{ChannelInterleave, MemOp, MemRequest, MemResponse};
use sim_core::stats::Breakdown;
use sim_core::{Activity, BuildError, Component, Cx, Cycle, In, Out, Site, StatsNode};
use workloads::InputError;
use workloads::tensor::TaskList;

use super::program::Program;
use super::result::Schedule;
use super::scheduler::{Scheduler, Use};
use super::spec::TiledSpec;
use super::stream::MemoryAccess;
use crate::power::Meter;

/// Events are counted in picoseconds.
pub const EVENT_CLOCK_HZ: u64 = 1_000_000_000_000;

/// What the component is handed when the machine is built: a list made ready for its specification.
pub struct TiledWorkload {
    program: Arc<Program>,
    meter: Meter,
}

impl TiledWorkload {
    /// # Errors
    /// The list cannot run on the machine: see [`Program::new`].
    pub fn new(list: &TaskList, spec: &TiledSpec) -> Result<TiledWorkload, InputError> {
        let program = Arc::new(Program::new(list, spec)?);
        let meter = Meter::new(list, &program, spec);
        Ok(TiledWorkload { program, meter })
    }
}

/// The engine of a request stands above these bits of its id.
const ID_BITS: u32 = 40;

/// The component `npu.tiled`.
pub struct TiledNpu {
    scheduler: Scheduler,
    /// Links to memory channels: one request and one answer port each.
    requests: Vec<Out<MemRequest>>,
    answers: Vec<In<MemResponse>>,
    interleave: ChannelInterleave,
    /// A request whose channel had no room.
    held: Option<MemoryAccess>,
    asked: u64,
    ended: bool,
}

sim_core::saved!(TiledNpu {
    state: held, asked, ended;
    parts: scheduler;
    rebuilt: requests, answers, interleave;
});

/// Answers that wait at one port, more than a transfer asks for at a time.
const PORT_CAPACITY: u16 = 1024;

impl Component for TiledNpu {
    const KIND: &'static str = "npu.tiled";
    const DESCRIPTION: &'static str =
        "NPU of tiles with MAC array, DSPs and scratchpad, driven by task lists with barriers";
    const CHEAP_IDLE_TICK: bool = false;
    type Spec = TiledSpec;

    fn build(spec: TiledSpec, site: &mut Site<'_>) -> Result<Self, BuildError> {
        spec.check()?;
        if site.clock_hz() != EVENT_CLOCK_HZ {
            let problem = format!("runs at {} MHz", site.clock_mhz());
            return Err(
                BuildError::key("clock", problem).help("a clock of 1000000 MHz: events are counted in picoseconds")
            );
        }
        let Some(workload) = site.resource::<TiledWorkload>() else {
            return Err(BuildError::part("has no task list").help("an NPU runs a task list or a network"));
        };
        site.foreground(1);
        let scheduler = Scheduler::new(workload.program.clone(), &spec, workload.meter.clone());
        let (channels, granule_bytes) =
            spec.memory.channels.map_or((0, 1), |channels| (channels.count, channels.interleave_granule_bytes));
        Ok(TiledNpu {
            scheduler,
            requests: site.outputs("ddr_req", channels as usize),
            answers: site.inputs("ddr_resp", channels as usize, PORT_CAPACITY),
            interleave: ChannelInterleave::new(channels.max(1), granule_bytes, false),
            held: None,
            asked: 0,
            ended: false,
        })
    }

    fn tick(&mut self, cx: &mut Cx<'_>) -> Activity {
        let now = cx.now().0;
        // A tick before the next event changes nothing.
        if now == 0 || self.scheduler.next_event().is_some_and(|due| due <= now) {
            self.scheduler.advance(now);
        }
        for port in 0..self.answers.len() {
            while let Some(answer) = cx.take(self.answers[port]) {
                self.scheduler.answered((answer.id >> ID_BITS) as u32, now);
            }
        }
        let blocked = self.ask(cx);
        if self.scheduler.is_done() && !self.ended {
            self.ended = true;
            cx.end_work(1);
        }
        let mut activity = if self.answers.is_empty() { Activity::DONE } else { Activity::input() };
        if blocked {
            activity = activity.or_credit();
        } else if let Some(due) = self.scheduler.request_due() {
            activity = activity.or_until(Cycle(due));
        }
        self.scheduler.next_event().map_or(activity, |due| activity.or_until(Cycle(due)))
    }

    fn report(&self, at: Cycle, out: &mut StatsNode) {
        let schedule = self.schedule();
        out.counter("tasks", schedule.tasks.len() as u64, "tasks");
        out.counter("makespan", schedule.makespan_ps, "ps");
        let uses = self.scheduler.uses(at.0);
        for (engine, uses) in schedule.engines.iter().zip(uses) {
            let leaves = Use::ALL.iter().map(|of| Breakdown::leaf(of.name(), uses[*of as usize], "ps"));
            out.breakdown(Breakdown::of(engine.name.clone(), "ps", leaves.collect()));
        }
    }

    fn waiting(&self) -> Option<String> {
        if self.ended { None } else { self.scheduler.waiting() }
    }
}

impl TiledNpu {
    /// Sends the requests that are due. `true` if one found no room.
    fn ask(&mut self, cx: &mut Cx<'_>) -> bool {
        loop {
            let Some(access) = self.held.take().or_else(|| self.scheduler.next_request(cx.now().0)) else {
                return false;
            };
            let (channel, _) = self.interleave.split(access.address);
            let port = self.requests[channel as usize];
            if !cx.can_send(port) {
                self.held = Some(access);
                return true;
            }
            let MemoryAccess { engine, address, bytes, write } = access;
            let op = if write { MemOp::Write } else { MemOp::Read };
            let id = u64::from(engine) << ID_BITS | (self.asked & ((1 << ID_BITS) - 1));
            self.asked += 1;
            cx.send(port, MemRequest { id, source: 0, address, bytes, sectors: 15, op });
        }
    }

    /// The schedule so far; of the whole run when it has ended.
    pub fn schedule(&self) -> Schedule {
        Schedule::of(&self.scheduler)
    }
}
