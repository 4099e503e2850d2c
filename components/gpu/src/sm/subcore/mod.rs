//! One of the four sub-cores: warps, front end, issue, Control, Allocate, fixed-latency pipes.
//!
//! ```text
//!  fetch ─▶ decode ─▶ instruction buffers ─▶ issue ─▶ Control ─┬▶ Allocate ─▶ read window ─▶ pipe ─▶ result queue
//!    │ L0 I-cache, stream buffer               │ constants     ├▶ local memory queue (SM level: `super::memory`)
//!                                                              └▶ variable-latency units
//! ```
//!
//! Models: one cycle as sm.md section 4 orders it, the last stage first, so that a latch freed in a cycle is filled in the
//! same cycle only where the paper's listings ask for it (Control into Allocate, issue into Control).
//! Choices: a scoreboard in the place of control bits (`interlock`), operand collectors in the place of Control and Allocate
//! (`collectors`).
//! Leaves out: wrong-path fetches behind a taken branch (they would take fetch slots and may start prefetches).
//! Numbers: `configs/gpu/base/*-sm.toml`. Start reading at [`SubCore::evaluate`].

mod allocate;
mod collectors;
mod copies;
mod fetch;
mod interlock;
mod issue;
mod live;
mod read_ports;
mod statements;
mod warps;

use super::Shared;
use super::env::SmEnv;
use super::fact::{SmFact, Stage};
use super::ports::Ports;
use super::reason::Reason;
use super::rfc::RegisterFileCache;
use super::scoreboard::Scoreboard;
use super::spec::{PIPES, SmSpec};
use super::timing::{OpTiming, Route, VARIABLE_UNITS};
use super::wheel::NEVER;
use collectors::Collectors;
use fetch::FrontEnd;
use read_ports::ReadPorts;
use sim_core::Cycle;
use sim_core::reasons::ReasonClock;
pub(crate) use statements::slot;
pub(crate) use warps::{Mask, Warps};

/// An instruction in the Control or Allocate latch.
#[derive(Clone, Copy, Debug, serde::Serialize, serde::Deserialize)]
struct Latched {
    op: OpTiming,
    position: u32,
    index: u32,
    warp: u8,
    /// The warp's last instruction: its slot is not free before this has left.
    last: bool,
}

/// A pipe's input latch.
#[derive(Clone, Copy, Debug, Default, serde::Serialize, serde::Deserialize)]
struct PipeState {
    /// Instructions between issue and the exit from Allocate.
    on_the_way: u8,
    interval: u8,
    /// Cycle in which the last one left Allocate.
    exit: u64,
    /// Cycles for which the latch was held, all together.
    busy: u64,
}

/// Queue in front of a variable-latency unit: when the instructions in it enter the unit.
#[derive(Clone, Copy, Debug)]
struct UnitQueue {
    entries: usize,
    /// Ring of the last `entries` entry times.
    enters: [u64; 8],
    next: usize,
    free: u64,
    /// Cycles for which it took nothing else, all together.
    busy: u64,
}

pub(crate) struct SubCore {
    index: u8,
    pub warps: Warps,
    front: FrontEnd,
    control: Option<Latched>,
    allocate: Option<Latched>,
    /// `None`: Control and Allocate.
    collectors: Option<Box<Collectors>>,
    read_ports: ReadPorts,
    pub write_ports: Ports,
    rfc: RegisterFileCache,
    pipes: [PipeState; PIPES],
    units: [UnitQueue; VARIABLE_UNITS],
    /// Credits of the local memory queue.
    pub credits: u8,
    /// Nothing issues before this cycle: a miss in the constant cache.
    hold_until: u64,
    /// Earliest time at which a warp that failed only for its unit may succeed.
    unit_free: u64,
    constants: super::constant::FixedConstants,
    /// `None`: control bits.
    scoreboard: Option<Box<Scoreboard>>,
    pub breakdown: ReasonClock<Reason>,
    /// Cycle of the next evaluation.
    pub wake: u64,
    pub issued: u64,
    said: statements::Said,
}

sim_core::saved!(UnitQueue { state: enters, next, free, busy; rebuilt: entries });
// Who watches from where a run goes on is told anew what the heads wait for.
sim_core::saved!(SubCore {
    state: control, allocate, collectors, read_ports, write_ports, pipes, credits, hold_until, unit_free, scoreboard, wake, issued;
    parts: warps, front, rfc, units, constants, breakdown;
    rebuilt: index, said;
});

impl SubCore {
    pub fn new(index: u8, spec: &SmSpec, start: u64) -> Self {
        let queue = |entries: u8| UnitQueue {
            entries: usize::from(entries.clamp(1, 8)),
            enters: [0; 8],
            next: 0,
            free: 0,
            busy: 0,
        };
        let variable = &spec.variable_latency;
        let fp64_entries = match spec.fp64 {
            super::spec::Fp64::Fixed { .. } => 1,
            super::spec::Fp64::Own { queue_entries, .. } | super::spec::Fp64::Shared { queue_entries, .. } => {
                queue_entries
            }
        };
        Self {
            index,
            warps: Warps::new(spec.front_end.instruction_buffer_entries),
            front: FrontEnd::new(&spec.front_end),
            control: None,
            allocate: None,
            collectors: spec.collectors.as_ref().map(|spec| Box::new(Collectors::new(spec))),
            read_ports: ReadPorts::new(spec.register_file.read_ports_per_bank),
            write_ports: Ports::new(),
            rfc: RegisterFileCache::new(spec.register_file.reuse_cache),
            pipes: [PipeState::default(); PIPES],
            units: [
                queue(variable.xu.queue_entries),
                queue(variable.special_register.queue_entries),
                queue(variable.warp_reduce.queue_entries),
                queue(fp64_entries),
                queue(1),
                queue(spec.warpgroup_tensor.map_or(1, |unit| unit.queue_entries)),
            ],
            credits: spec.memory.queue_credits,
            hold_until: 0,
            unit_free: NEVER,
            constants: super::constant::FixedConstants::new(&spec.constant_cache),
            scoreboard: Scoreboard::new(&spec.issue.dependences),
            breakdown: ReasonClock::starting_at(Cycle(start), Reason::NoWarp),
            wake: NEVER,
            issued: 0,
            said: statements::Said::default(),
        }
    }

    /// Asks the host's caches for what every cycle looks at.
    #[inline]
    pub fn prefetch(&self) {
        self.front.prefetch();
        self.breakdown.prefetch();
    }

    /// One cycle. `wake` says afterwards when the next one is due.
    pub fn evaluate<E: SmEnv>(&mut self, now: u64, shared: &mut Shared, env: &mut E) {
        self.warps.arrive(now);
        if self.leave_allocate(now, shared, env)
            && let Some(Latched { warp, last, .. }) = &self.allocate
        {
            let (warp, last) = (*warp, *last);
            self.allocate = None;
            self.left(warp, last, shared);
        }
        if self.collectors.is_some() {
            self.collect(now, shared, env);
        }
        if let Some(Latched { op, warp, position, last, .. }) = &self.control {
            let (route, warp, position, last) = (op.route, *warp, *position, *last);
            let to = if route != Route::Fixed {
                self.control = None;
                self.left(warp, last, shared);
                (route == Route::Memory).then_some(Stage::MemoryQueue)
            } else {
                self.allocate.is_none().then_some(Stage::Allocate)
            };
            if to == Some(Stage::Allocate) {
                self.allocate = self.control.take();
            }
            if let Some(stage) = to.filter(|_| env.listening()) {
                let instruction = self.dynamic(warp, position);
                env.state(SmFact::Stage { instruction, stage, cycle: now + 1 });
            }
        }
        let waits = env.listening().then(|| self.waits(now));
        self.unit_free = NEVER;
        let reason = if self.control.is_some() { Reason::BackPressure } else { self.issue(now, shared, env) };
        let fetched = self.fetch(now, shared, env);
        if let Some(waits) = waits {
            self.state_waits(now, reason, waits, shared, env);
        }
        self.breakdown.set(reason, Cycle(now));

        let collecting = self.collectors.as_ref().is_some_and(|collectors| !collectors.is_empty());
        let latched = self.control.is_some() || self.allocate.is_some() || collecting;
        let busy = fetched || reason == Reason::Issued || latched;
        self.wake = if busy {
            now + 1
        } else {
            let hold = if self.hold_until > now { self.hold_until } else { NEVER };
            self.warps.next_change(now).min(self.unit_free).min(hold)
        };
    }

    /// An instruction has left Control and Allocate, perhaps the `last` of its warp.
    #[inline]
    fn left(&mut self, warp: u8, last: bool, shared: &mut Shared) {
        let warp = usize::from(warp);
        if last && self.warps.settle(warp) {
            shared.finished.push(self.warps.cta[warp]);
        }
    }

    /// Cycles for which each pipe ([`super::spec::Pipe`]), then each variable-latency unit was taken.
    pub fn busy_cycles(&self) -> impl Iterator<Item = u64> + '_ {
        self.pipes.iter().map(|pipe| pipe.busy).chain(self.units.iter().map(|unit| unit.busy))
    }

    /// Something outside happened to this sub-core in cycle `now`, before its evaluation.
    pub fn wake_at(&mut self, now: u64) {
        self.wake = self.wake.min(now);
    }

    /// A line has come into the fixed-latency constant cache.
    pub fn constant_filled(&mut self, now: u64, key: u64) {
        let waiting = self.constants.filled(key);
        self.warps.constant_wait &= !waiting;
        self.wake_at(now);
    }

    /// Puts a constant line into the fixed-latency constant cache: a warm start.
    pub fn warm_constant(&mut self, key: u64) {
        self.constants.warm(key);
    }

    /// Cycles by which memory instruction `op`, which reads its operands now, is delayed: it yields to all reservations.
    #[inline]
    pub fn operand_delay(&self, now: u64, op: &OpTiming) -> u64 {
        self.read_ports.delay(now, op.reads)
    }

    /// A warp starts in slot `warp`.
    pub fn forget_registers(&mut self, warp: u8) {
        self.rfc.forget(warp);
        if let Some(board) = &mut self.scoreboard {
            board.reset(usize::from(warp));
        }
    }
}
