//! The event calendar: when every task of a program starts and ends.
//!
//! ```text
//!   queue head ─▶ engine free? ─▶ barriers released and programmed? ─▶ [wake] ─▶ [latency] ─▶ [body] ─▶ update barriers
//!                                                                                    ▲
//!                                         shares of DDR, DMA port, scratchpad, clock ┘ re-queue the end
//! ```
//! Models: FIFO queues; several engines behind one queue; barriers that count their producers; a bounded pool of physical
//! barriers; bodies that share bandwidth (processor sharing: what is left is brought up to date whenever the set of sharers
//! or a clock changes, and the end is queued again under a new generation number); gated engines that take time to wake.
//! Leaves out: the time that barriers and dispatch take, which the cost functions hold; single bursts, of which shares are
//! the limit.
//! Start reading at [`Scheduler::advance`]; the canonical tests are in `tests/tiled.rs` and in the suite `npu-schedule`.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::order::{Blocked, Pool};
use super::program::Program;
use super::share::{Flow, max_min};
use super::spec::{ChannelsSpec, ClockName, Sharing, TiledSpec};
use super::stream::{MemoryAccess, Stream};
use crate::power::{EnergyReport, Meter, Supply};

/// What an engine does with its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Use {
    Busy,
    /// The head of its queue waits for a barrier.
    Barrier,
    /// The head of its queue waits for a physical barrier.
    BarrierPool,
    /// Its task moves slower than it would alone.
    Bandwidth,
    /// It was gated and wakes.
    WakeUp,
    /// Its queue is empty.
    Idle,
}

impl Use {
    pub const ALL: [Use; 6] = [Use::Busy, Use::Barrier, Use::BarrierPool, Use::Bandwidth, Use::WakeUp, Use::Idle];

    pub fn name(self) -> &'static str {
        match self {
            Use::Busy => "busy",
            Use::Barrier => "stalled: barrier",
            Use::BarrierPool => "stalled: physical barrier",
            Use::Bandwidth => "stalled: bandwidth",
            Use::WakeUp => "stalled: wake-up",
            Use::Idle => "idle",
        }
    }
}

/// When a task ran, in picoseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskTimes {
    pub engine: u32,
    pub start_ps: u64,
    pub end_ps: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Phase {
    Wake,
    Latency,
    Body,
    /// All is done but for answers of memory.
    Memory,
}

/// A task on an engine.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Active {
    task: u32,
    phase: Phase,
    wake_ps: u64,
    /// Of the phase, at nominal clock and alone.
    left_ps: u64,
    /// Of its bandwidth alone.
    share: f64,
    /// Of the nominal rate: share times the ratio of its clock.
    speed: f64,
    generation: u32,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Engine {
    active: Option<Active>,
    /// What its task asks of memory channels.
    stream: Option<Stream>,
    /// Charged up to here.
    since: u64,
    /// Without a task since; where it is gated, from some time after that on.
    idle_since: u64,
    idle: Use,
    totals: [u64; Use::ALL.len()],
    generation: u32,
}

/// A phase ends: (time, order of queueing, engine, generation).
type Event = Reverse<(u64, u64, u32, u32)>;

/// All that has happened.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct State {
    now: u64,
    pool: Pool,
    next: Vec<u32>,
    engines: Vec<Engine>,
    events: BinaryHeap<Event>,
    queued: u64,
    times: Vec<TaskTimes>,
    left: u32,
    makespan: u64,
    /// Of each clock, over its nominal frequency.
    ratios: [f64; 2],
    changes_done: u32,
}

/// A program on its engines.
pub struct Scheduler {
    program: Arc<Program>,
    sharing: bool,
    channels: Option<ChannelsSpec>,
    changes: Vec<Change>,
    state: State,
    meter: Meter,
    /// Something joined or left the sharers since shares were last worked out.
    sharers_changed: bool,
    shares: Vec<f64>,
}

// Between two calls `sharers_changed` is false and `shares` is of no use.
sim_core::saved!(Scheduler {
    state: state;
    parts: meter;
    rebuilt: program, sharing, channels, changes, sharers_changed, shares;
});

#[derive(Debug, Clone, Copy)]
struct Change {
    at_ps: u64,
    clock: ClockName,
    ratio: f64,
    volts: f64,
}

impl Scheduler {
    pub fn new(program: Arc<Program>, spec: &TiledSpec, meter: Meter) -> Scheduler {
        let mut changes: Vec<Change> = spec
            .dvfs
            .iter()
            .map(|change| Change {
                at_ps: (change.at_us * 1e6).round() as u64,
                clock: change.clock,
                ratio: change.mhz / spec.mhz(change.clock),
                volts: change.volts,
            })
            .collect();
        changes.sort_by_key(|change| change.at_ps);
        let engine = Engine {
            active: None,
            stream: None,
            since: 0,
            idle_since: 0,
            idle: Use::Idle,
            totals: [0; Use::ALL.len()],
            generation: 0,
        };
        let state = State {
            now: 0,
            pool: Pool::new(&program),
            next: vec![0; program.queues.len()],
            engines: vec![engine; program.engines()],
            events: BinaryHeap::new(),
            queued: 0,
            times: vec![TaskTimes::default(); program.tasks.len()],
            left: program.tasks.len() as u32,
            makespan: 0,
            ratios: [1.0; 2],
            changes_done: 0,
        };
        let sharing = spec.memory.sharing != Sharing::None;
        Scheduler {
            program,
            sharing,
            channels: spec.memory.channels,
            changes,
            state,
            meter,
            sharers_changed: false,
            shares: Vec::new(),
        }
    }

    /// Does all that is due up to `now`, which never goes back. The first call starts what can start.
    pub fn advance(&mut self, now: u64) {
        self.state.now = now;
        let mut first = true;
        while self.take_due(now) || first {
            first = false;
            self.dispatch();
            if self.sharers_changed {
                self.sharers_changed = false;
                self.share_out();
            }
        }
    }

    /// When [`Scheduler::advance`] is due next; none when all tasks have ended.
    pub fn next_event(&self) -> Option<u64> {
        if self.state.left == 0 {
            return None;
        }
        let change = self.changes.get(self.state.changes_done as usize).map(|change| change.at_ps);
        let end = self.state.events.peek().map(|Reverse((time, ..))| *time);
        change.into_iter().chain(end).min()
    }

    /// The next request for a memory channel that is due now.
    pub fn next_request(&mut self, now: u64) -> Option<MemoryAccess> {
        let channels = self.channels?;
        let due = |engine: &Engine| engine.stream.as_ref().and_then(|stream| stream.due(&channels));
        let engines = self.state.engines.iter().enumerate();
        let (number, _) = engines
            .filter_map(|(n, e)| Some((n, due(e)?)))
            .filter(|(_, at)| *at <= now)
            .min_by_key(|(n, at)| (*at, *n))?;
        let stream = self.state.engines[number].stream.as_mut().expect("it is due");
        Some(stream.issue(number as u32, &channels, now))
    }

    /// When the next request is due, if answers do not come first.
    pub fn request_due(&self) -> Option<u64> {
        let channels = self.channels?;
        self.state.engines.iter().filter_map(|engine| engine.stream.as_ref()?.due(&channels)).min()
    }

    /// Memory has answered a request of an engine.
    pub fn answered(&mut self, number: u32, now: u64) {
        self.state.now = now;
        let engine = &mut self.state.engines[number as usize];
        let Some(stream) = &mut engine.stream else { return };
        if !stream.answered() {
            return;
        }
        engine.stream = None;
        if engine.active.as_ref().is_some_and(|active| active.phase == Phase::Memory) {
            self.end_phase(number);
            self.advance(now);
        }
    }

    pub fn is_done(&self) -> bool {
        self.state.left == 0
    }

    pub fn program(&self) -> &Arc<Program> {
        &self.program
    }

    /// When each task ran, in the order of the list.
    pub fn times(&self) -> &[TaskTimes] {
        &self.state.times
    }

    /// The latest end of a task so far.
    pub fn makespan(&self) -> u64 {
        self.state.makespan
    }

    /// What each engine did up to `at`, in picoseconds, in the order of [`Use::ALL`]; they sum to `at`.
    pub fn uses(&self, at: u64) -> Vec<[u64; Use::ALL.len()]> {
        let uses = |engine: &Engine| {
            let mut engine = engine.clone();
            engine.charge(at.max(engine.since));
            engine.totals
        };
        self.state.engines.iter().map(uses).collect()
    }

    /// Energy up to `at`; none if the machine has no power model.
    pub fn energy(&self, at: u64) -> Option<EnergyReport> {
        let mut meter = self.meter.clone();
        for (number, engine) in (0..).zip(&self.state.engines) {
            match &engine.active {
                Some(active) => measure(&self.program, &mut meter, number, active, engine.since, at),
                None => meter.idle(number, engine.idle_since, at),
            }
        }
        meter.finish(at);
        meter.report()
    }

    /// What the oldest waiting task waits for.
    pub fn waiting(&self) -> Option<String> {
        let heads = self.program.queues.iter().zip(&self.state.next);
        let (queue, task) =
            heads.filter_map(|(queue, next)| Some((queue, *queue.tasks.get(*next as usize)?))).next()?;
        let why = match self.state.pool.blocked(&self.program, task) {
            Some(Blocked::Barrier(number)) => format!("barrier {}", self.program.barriers[number as usize].id),
            Some(Blocked::Unprogrammed(number)) => {
                format!("a physical barrier for barrier {}", self.program.barriers[number as usize].id)
            }
            None => "its engine".to_owned(),
        };
        Some(format!("task {task} (by place in the list) on {} waits for {why}", queue.name))
    }

    /// Ends phases and changes clocks that are due. `true` if there were any.
    fn take_due(&mut self, now: u64) -> bool {
        let mut any = false;
        while let Some(change) = self.changes.get(self.state.changes_done as usize).filter(|change| change.at_ps <= now)
        {
            self.state.changes_done += 1;
            self.change_clock(*change);
            any = true;
        }
        while let Some(Reverse((time, _, number, generation))) = self.state.events.peek().copied() {
            if time > now {
                break;
            }
            self.state.events.pop();
            let current = self.state.engines[number as usize].active.as_ref().map(|active| active.generation);
            if current == Some(generation) {
                self.end_phase(number);
                any = true;
            }
        }
        any
    }

    fn end_phase(&mut self, number: u32) {
        self.settle(number);
        let now = self.state.now;
        let engine = &mut self.state.engines[number as usize];
        let active = engine.active.as_mut().expect("its phase ended");
        let task = active.task;
        let planned = &self.program.tasks[task as usize];
        match active.phase {
            Phase::Wake => return self.begin(number, Phase::Latency),
            Phase::Latency => return self.begin(number, Phase::Body),
            Phase::Body => {
                self.sharers_changed |= self.sharing && planned.cap > 0.0;
                if engine.stream.is_some() {
                    // Memory is slower than the rest of the way: the task ends with its last answer.
                    active.phase = Phase::Memory;
                    return;
                }
            }
            Phase::Memory => {}
        }
        engine.active = None;
        engine.idle_since = now;
        engine.idle = Use::Idle;
        self.state.times[task as usize].end_ps = now;
        self.state.makespan = self.state.makespan.max(now);
        self.state.left -= 1;
        self.state.pool.end(&self.program, task);
        self.meter.end(task, now);
    }

    /// Starts whatever can start.
    fn dispatch(&mut self) {
        let mut moved = true;
        while moved {
            moved = false;
            for queue in 0..self.program.queues.len() {
                while self.start_head(queue) {
                    moved = true;
                }
            }
        }
    }

    /// Starts the head of a queue if it can; else says of its free engines why they do nothing.
    fn start_head(&mut self, queue: usize) -> bool {
        let program = self.program.clone();
        let of = &program.queues[queue];
        let range = of.first_engine..of.first_engine + of.engines;
        let free = |number: &u32| self.state.engines[*number as usize].active.is_none();
        // The engine that is free for longest, the first of equals.
        let engine = range.clone().filter(free).min_by_key(|number| self.state.engines[*number as usize].idle_since);
        let Some(engine) = engine else { return false };
        let head = of.tasks.get(self.state.next[queue] as usize);
        let blocked = head.map(|task| self.state.pool.blocked(&program, *task));
        let why = match blocked {
            Some(None) => {
                self.state.next[queue] += 1;
                self.start(engine, *head.expect("it is not blocked"));
                return true;
            }
            Some(Some(Blocked::Barrier(_))) => Use::Barrier,
            Some(Some(Blocked::Unprogrammed(_))) => Use::BarrierPool,
            None => Use::Idle,
        };
        let now = self.state.now;
        for engine in &mut self.state.engines[range.start as usize..range.end as usize] {
            if engine.active.is_none() && engine.idle != why {
                engine.charge(now);
                engine.idle = why;
            }
        }
        false
    }

    fn start(&mut self, number: u32, task: u32) {
        let now = self.state.now;
        self.state.pool.start(&self.program, task);
        self.state.times[task as usize] = TaskTimes { engine: number, start_ps: now, end_ps: now };
        let idle_since = self.state.engines[number as usize].idle_since;
        self.meter.idle(number, idle_since, now);
        let wake_ps = self.meter.start(task, number, idle_since, now);
        let engine = &mut self.state.engines[number as usize];
        engine.charge(now);
        engine.active =
            Some(Active { task, phase: Phase::Wake, wake_ps, left_ps: 0, share: 1.0, speed: 1.0, generation: 0 });
        self.begin(number, if wake_ps > 0 { Phase::Wake } else { Phase::Latency });
    }

    /// Begins a phase of a task; a latency of nothing is passed over.
    fn begin(&mut self, number: u32, phase: Phase) {
        let active = self.state.engines[number as usize].active.as_mut().expect("it has a task");
        let planned = &self.program.tasks[active.task as usize];
        let phase = match phase {
            Phase::Latency if planned.latency.picoseconds == 0 => Phase::Body,
            phase => phase,
        };
        let (left_ps, clock) = match phase {
            Phase::Wake => (active.wake_ps, None),
            Phase::Latency => (planned.latency.picoseconds, planned.latency.clock),
            Phase::Body => (planned.body.picoseconds, planned.body.clock),
            Phase::Memory => unreachable!("it begins when a body ends"),
        };
        if let (Phase::Body, Some(channels), Some(ddr)) = (phase, &self.channels, &planned.ddr) {
            let stream = Stream::new(ddr, channels, planned.body.picoseconds, self.state.now);
            self.state.engines[number as usize].stream = Some(stream);
        }
        let active = self.state.engines[number as usize].active.as_mut().expect("it has a task");
        active.phase = phase;
        active.left_ps = left_ps;
        active.share = 1.0;
        active.speed = ratio(&self.state.ratios, clock);
        self.sharers_changed |= self.sharing && phase == Phase::Body && planned.cap > 0.0;
        self.queue_end(number);
    }

    /// Queues the end of the present phase; whatever was queued for the engine before is of no account.
    fn queue_end(&mut self, number: u32) {
        let engine = &mut self.state.engines[number as usize];
        engine.generation += 1;
        let active = engine.active.as_mut().expect("it has a task");
        active.generation = engine.generation;
        let ps =
            if active.speed == 1.0 { active.left_ps } else { (active.left_ps as f64 / active.speed).ceil() as u64 };
        self.state.queued += 1;
        let event = (self.state.now.saturating_add(ps), self.state.queued, number, active.generation);
        self.state.events.push(Reverse(event));
    }

    /// Brings what is left of an engine's phase up to date.
    fn settle(&mut self, number: u32) {
        let now = self.state.now;
        let engine = &self.state.engines[number as usize];
        if let Some(active) = &engine.active {
            measure(&self.program, &mut self.meter, number, active, engine.since, now);
        }
        let engine = &mut self.state.engines[number as usize];
        let elapsed = now - engine.since;
        engine.charge(now);
        if let Some(active) = &mut engine.active {
            active.left_ps -= active.progress(elapsed);
        }
    }

    /// Works out shares again and queues the ends of those whose share has changed.
    fn share_out(&mut self) {
        let program = self.program.clone();
        let mut flows = Vec::new();
        let mut numbers = Vec::new();
        for (number, engine) in (0..).zip(&self.state.engines) {
            let Some(active) = &engine.active else { continue };
            let planned = &program.tasks[active.task as usize];
            if active.phase == Phase::Body && planned.cap > 0.0 {
                let cap = planned.cap * ratio(&self.state.ratios, planned.body.clock);
                flows.push(Flow { cap, resources: &planned.resources });
                numbers.push(number);
            }
        }
        let mut shares = std::mem::take(&mut self.shares);
        // DDR keeps its pace; ports and scratchpads go with the clock of the CMX.
        let mut bandwidths = program.bandwidths.clone();
        bandwidths[1..].iter_mut().for_each(|bandwidth| *bandwidth *= self.state.ratios[ClockName::Cmx as usize]);
        max_min(&flows, &bandwidths, &mut shares);
        for (number, share) in numbers.into_iter().zip(&shares) {
            let active = self.state.engines[number as usize].active.as_ref().expect("it has a flow");
            if active.share != *share {
                let clock = program.tasks[active.task as usize].body.clock;
                self.settle(number);
                let speed = share * ratio(&self.state.ratios, clock);
                let active = self.state.engines[number as usize].active.as_mut().expect("it has a flow");
                active.share = *share;
                active.speed = speed;
                self.queue_end(number);
            }
        }
        self.shares = shares;
    }

    /// All phases that the clock paces go on at its new speed.
    fn change_clock(&mut self, change: Change) {
        let program = self.program.clone();
        for number in 0..self.state.engines.len() as u32 {
            let Some(active) = self.state.engines[number as usize].active.as_ref() else { continue };
            let planned = &program.tasks[active.task as usize];
            let clock = match active.phase {
                Phase::Wake | Phase::Memory => None,
                Phase::Latency => planned.latency.clock,
                Phase::Body => planned.body.clock,
            };
            // Energy up to now is at the old voltage, whether or not the clock paces the phase.
            self.settle(number);
            if clock == Some(change.clock) {
                let active = self.state.engines[number as usize].active.as_mut().expect("it has a task");
                active.speed = active.share * change.ratio;
                self.queue_end(number);
            }
        }
        self.state.ratios[change.clock as usize] = change.ratio;
        self.sharers_changed = self.sharing;
        let now = self.state.now;
        for (number, engine) in (0..).zip(&self.state.engines) {
            if engine.active.is_none() {
                self.meter.idle(number, engine.idle_since, now);
            }
        }
        self.meter.change_supply(Supply { clock: change.clock, ratio: change.ratio, volts: change.volts }, now);
    }
}

/// Energy of an engine's phase between two times.
fn measure(program: &Program, meter: &mut Meter, number: u32, active: &Active, from: u64, to: u64) {
    let planned = &program.tasks[active.task as usize];
    let share_of_body = match active.phase {
        Phase::Body if planned.body.picoseconds == 0 => 1.0,
        Phase::Body => active.progress(to - from) as f64 / planned.body.picoseconds as f64,
        Phase::Wake | Phase::Latency | Phase::Memory => 0.0,
    };
    meter.active(number, active.task, share_of_body, from, to);
}

fn ratio(ratios: &[f64; 2], clock: Option<ClockName>) -> f64 {
    clock.map_or(1.0, |clock| ratios[clock as usize])
}

impl Active {
    /// What is done of the phase in a time, at nominal clock and alone.
    fn progress(&self, elapsed: u64) -> u64 {
        let done = if self.speed == 1.0 { elapsed } else { (elapsed as f64 * self.speed).round() as u64 };
        done.min(self.left_ps)
    }
}

impl Engine {
    /// Charges the time since the last charge to what the engine did.
    fn charge(&mut self, now: u64) {
        let elapsed = now - self.since;
        self.since = now;
        match &self.active {
            None => self.totals[self.idle as usize] += elapsed,
            Some(active) => match active.phase {
                Phase::Wake => self.totals[Use::WakeUp as usize] += elapsed,
                Phase::Latency => self.totals[Use::Busy as usize] += elapsed,
                Phase::Memory => self.totals[Use::Bandwidth as usize] += elapsed,
                Phase::Body => {
                    let busy =
                        if active.share == 1.0 { elapsed } else { (elapsed as f64 * active.share).round() as u64 };
                    self.totals[Use::Busy as usize] += busy.min(elapsed);
                    self.totals[Use::Bandwidth as usize] += elapsed - busy.min(elapsed);
                }
            },
        }
    }
}
