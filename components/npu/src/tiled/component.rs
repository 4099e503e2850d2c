//! A tile-based NPU as a component of a machine: `kind = "npu.tiled"`.
//!
//! Its clock is the resolution of events: one picosecond a cycle, whatever the clocks of its engines are. It sleeps from one
//! event to the next.

use std::sync::Arc;

use sim_core::stats::Breakdown;
use sim_core::{Activity, BuildError, Component, Cx, Cycle, Site, StatsNode};
use workloads::InputError;
use workloads::tensor::TaskList;

use super::program::Program;
use super::result::Schedule;
use super::scheduler::{Scheduler, Use};
use super::spec::TiledSpec;
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

/// The component `npu.tiled`.
pub struct TiledNpu {
    scheduler: Scheduler,
    ended: bool,
}

sim_core::saved!(TiledNpu { state: ended; parts: scheduler });

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
        Ok(TiledNpu { scheduler, ended: false })
    }

    fn tick(&mut self, cx: &mut Cx<'_>) -> Activity {
        let now = cx.now().0;
        // A tick before the next event changes nothing.
        if now == 0 || self.scheduler.next_event().is_some_and(|due| due <= now) {
            self.scheduler.advance(now);
        }
        if self.scheduler.is_done() && !self.ended {
            self.ended = true;
            cx.end_work(1);
        }
        self.scheduler.next_event().map_or(Activity::DONE, |due| Activity::until(Cycle(due)))
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
    /// The schedule so far; of the whole run when it has ended.
    pub fn schedule(&self) -> Schedule {
        Schedule::of(&self.scheduler)
    }
}
