//! Running a machine: conservative windows, the end of a run, progress.
//!
//! A window ends before anything that one shard does in it can be seen by another: at the earliest arrival of a message
//! or credit sent at its first edge. It also ends at the first edge at which the last foreground work *could* end, so
//! that no shard ever runs past the stop (D7): nothing has to be undone, and counters are those of the stop edge. The
//! bound is the latest, over components that hold work, of the earliest edge at which that component can be ticked.

use crate::deadlock::DeadlockReport;
use crate::error::RunError;
use crate::lane::WriterKind;
use crate::machine::Machine;
use crate::shard::{Horizon, Shard, thread_cpu_ns};
use crate::time::{Cycle, Femtos};
use rayon::prelude::*;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;

/// When a run is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopAt {
    /// When the last foreground work has ended; if there never is any, when nothing is due.
    WorkDone,
    /// The same, but not later than a time.
    WorkDoneBy(Femtos),
    /// When nothing foreground is due. Work that is left then is a deadlock.
    Quiescent,
    /// At a time, whatever goes on, background activity included.
    Time(Femtos),
}

/// Why a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopReason {
    /// All foreground work has ended.
    WorkDone,
    /// Nothing foreground was due.
    Quiescent,
    /// The time limit came first.
    TimeLimit,
    /// Somebody asked for it: see [`Machine::stop_on`].
    Interrupted,
}

/// What a shard did, for `wall`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ShardLoad {
    /// Component ticks.
    pub ticks: u64,
    /// Edges worked through.
    pub edges: u64,
    /// CPU time in nanoseconds.
    pub cpu_ns: u64,
}

/// How a run went. `reason` and `time` are results; the rest depends on the plan and the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunOutcome {
    /// Why it ended.
    pub reason: StopReason,
    /// When it ended: counters are those of this time.
    pub time: Femtos,
    /// Windows of shards.
    pub windows: u64,
    /// Each shard's load.
    pub shards: Vec<ShardLoad>,
    /// Sum over windows of the CPU time of the slowest shard: the time that enough cores would need, without waiting.
    pub critical_cpu_ns: u64,
}

impl RunOutcome {
    /// Bound on the speed-up by shards: CPU time of all over that of the slowest one, window by window.
    pub fn speedup_bound(&self) -> f64 {
        let all: u64 = self.shards.iter().map(|s| s.cpu_ns).sum();
        all as f64 / self.critical_cpu_ns.max(1) as f64
    }
}

/// Where a run stands.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// Simulated time.
    pub time: Femtos,
    /// Component ticks so far.
    pub ticks: u64,
    /// Foreground work outstanding.
    pub outstanding: u64,
}

#[derive(Default)]
pub(crate) struct RunState {
    pub now: Femtos,
    pub started: bool,
    /// Whether any foreground work has been seen.
    pub worked: bool,
    /// The holder of work that bounded the last window: (shard, flat number).
    guard: Option<(usize, u32)>,
    windows: u64,
    critical_cpu_ns: u64,
    /// CPU time of a recent window in nanoseconds, smoothed: decides whether threads pay.
    window_ns: f64,
}

/// Edges between two calls of `progress` in a single shard.
const EDGES_PER_CALL: u64 = 1 << 14;
/// Facts waiting in a single shard's probes after which it hands them on.
const WINDOWS_PER_CALL: u64 = 256;
/// A window shorter than this is not worth waking a second thread for.
const PARALLEL_ABOVE_NS: f64 = 30_000.0;

impl Machine {
    /// Runs stop at the end of a window once `flag` is set, at a time up to which everything was worked through: the
    /// machine can be read out, saved and run on. Which time that is depends on when the flag was seen.
    pub fn stop_on(&mut self, flag: Arc<AtomicBool>) {
        self.stop_flag = Some(flag);
    }

    /// Runs until `stop`. May be called again to go on.
    pub fn run(&mut self, stop: StopAt, progress: &mut dyn FnMut(Progress)) -> Result<RunOutcome, RunError> {
        self.state.started = true;
        let threads = self.plan.thread_count().min(self.shards.len());
        if threads > 1 && self.pool.is_none() {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
            self.pool = Some(pool.map_err(|source| RunError::Threads { threads, source })?);
        }
        let reason = self.run_windows(stop, progress)?;
        let shards = self.shards.iter().map(ShardLoad::of).collect();
        let RunState { now, windows, critical_cpu_ns, .. } = self.state;
        Ok(RunOutcome { reason, time: now, windows, shards, critical_cpu_ns })
    }

    fn run_windows(&mut self, stop: StopAt, progress: &mut dyn FnMut(Progress)) -> Result<StopReason, RunError> {
        let (until_work_done, mut limit) = match stop {
            StopAt::WorkDone => (true, None),
            StopAt::WorkDoneBy(t) => (true, Some(t)),
            StopAt::Quiescent => (false, None),
            StopAt::Time(t) => (false, Some(t)),
        };
        let fixed_end = matches!(stop, StopAt::Time(_));
        let mut at_limit = StopReason::TimeLimit;
        loop {
            if self.stop_flag.as_ref().is_some_and(|flag| flag.load(Relaxed)) && at_limit != StopReason::Interrupted {
                // A limit in the past: what shards that are behind have to do up to there is done, then it is the end.
                limit = self.shards.iter().map(|s| s.fabric.time).max();
                at_limit = StopReason::Interrupted;
            }
            let outstanding: u64 = self.shards.iter().map(|s| s.fabric.work.outstanding).sum();
            self.state.worked |= self.shards.iter().any(|s| s.fabric.work.begun > 0);
            let next: Vec<_> = self.shards.iter_mut().map(Shard::next).collect();
            let done_until = self.shards.iter().filter_map(|s| s.last_foreground).max();
            // Background activity goes on as long as something foreground happens at the same time or later.
            let background = if fixed_end {
                Femtos::NEVER
            } else {
                next.iter().filter_map(|n| n.foreground).chain(done_until).max().unwrap_or_default()
            };
            let first = (next.iter())
                .flat_map(|n| n.foreground.into_iter().chain(n.background.filter(|b| *b <= background)))
                .min();
            let mut end = limit.map_or(Femtos::NEVER, |t| t + Femtos(1));
            if until_work_done && self.state.worked && outstanding == 0 {
                let ended = self.shards.iter().map(|s| s.fabric.work.ended_at).max().unwrap_or_default();
                if first.is_none_or(|t| t > ended) {
                    return Ok(self.stop(ended, StopReason::WorkDone));
                }
                end = end.min(ended + Femtos(1));
            }
            let Some(first) = first else {
                if fixed_end {
                    return Ok(self.stop(limit.unwrap_or_default(), at_limit));
                }
                let time = done_until.unwrap_or_default();
                self.stop(time, StopReason::Quiescent);
                if outstanding > 0 {
                    return Err(RunError::Deadlock(Box::new(DeadlockReport::of(self))));
                }
                return Ok(StopReason::Quiescent);
            };
            if let Some(limit) = limit.filter(|t| first > *t) {
                return Ok(self.stop(limit, at_limit));
            }
            let alone = self.shards.len() == 1;
            if !alone {
                end = end.min(self.window_end(first));
                if until_work_done && !(outstanding == 0 && self.state.worked) {
                    end = end.min(self.guard(first, end) + Femtos(1));
                }
            }
            let stop_when_work_ends = alone && until_work_done;
            self.run_window(Horizon { end, background, stop_when_work_ends, edges: EDGES_PER_CALL });
            if alone || self.state.windows.is_multiple_of(WINDOWS_PER_CALL) {
                let ticks = self.shards.iter().map(|s| s.fabric.ticks).sum();
                progress(Progress { time: first, ticks, outstanding });
            }
        }
    }

    fn stop(&mut self, at: Femtos, reason: StopReason) -> StopReason {
        self.state.now = at;
        reason
    }

    /// First time at which something sent at or after `first` can arrive in another shard.
    fn window_end(&self, first: Femtos) -> Femtos {
        let arrival = |l: &crate::machine::Lookahead| {
            let clock = &self.shards[0].fabric.clocks[l.domain];
            clock.edge(Cycle(clock.first_edge_after(first).0 + u64::from(l.latency_cycles) - 1))
        };
        self.lookahead.iter().map(arrival).min().unwrap_or(Femtos::NEVER)
    }

    /// A time before which the last foreground work cannot end, when nothing happens before `first`; at least `first`.
    fn guard(&mut self, first: Femtos, end: Femtos) -> Femtos {
        /// Holders looked at: any of them gives a bound that is safe, more of them may give a later one.
        const LOOKS: usize = 16;
        let mut best = first;
        let old = self.state.guard.filter(|&(s, id)| self.shards[s].fabric.work.held(id) > 0);
        let holders = (self.shards.iter().enumerate())
            .flat_map(|(s, shard)| shard.fabric.work.holders.iter().take(LOOKS).map(move |id| (s, *id)));
        for (s, id) in old.into_iter().chain(holders) {
            let bound = self.earliest_tick(s, id, first, end);
            if bound > best || self.state.guard.is_none() {
                best = best.max(bound);
                self.state.guard = Some((s, id));
            }
            if best >= end {
                break;
            }
        }
        best
    }

    /// A time before which a component cannot be ticked with effect, when nothing happens before `first`; what comes
    /// after `end` is not looked at.
    fn earliest_tick(&self, shard: usize, id: u32, first: Femtos, end: Femtos) -> Femtos {
        let fabric = &self.shards[shard].fabric;
        if fabric.wake.is_marked(id) {
            return first;
        }
        let clock = &fabric.clocks[usize::from(fabric.wake.domain[id as usize])];
        let mut bound = fabric.wake.alarm_of(id).map_or(Femtos::NEVER, |c| clock.edge(Cycle(c)));
        let arrival = |latency: u32| clock.edge(Cycle(clock.first_edge_after(first).0 + u64::from(latency) - 1));
        if fabric.wake.waits_for(id, crate::activity::CREDIT) {
            for out in fabric.outs_of[id as usize].clone() {
                let o = &fabric.outs[out];
                if o.capacity > 0 {
                    let receiver = &self.shards[usize::from(o.shard)].fabric.lanes
                        [usize::from(fabric.outs_rest[out as usize].lane)]
                    .lane;
                    bound = bound.min(arrival(receiver.writer(o.fifo).latency_cycles));
                }
            }
        }
        if fabric.wake.waits_for_input(id) {
            for &(lane, fifo) in &fabric.fifos_of[id as usize] {
                let lane = &fabric.lanes[usize::from(lane)].lane;
                let writer = lane.writer(fifo);
                if writer.kind == WriterKind::Unlinked {
                    continue;
                }
                let sender = &self.shards[usize::from(writer.shard)].fabric;
                let o = &sender.outs[writer.out];
                let at_home = sender.credits_at_home(writer.out) + u32::from(lane.waiting(fifo));
                if at_home < u32::from(o.capacity) {
                    let domain = fabric.wake.domain[id as usize];
                    let limit = clock.first_edge_after(end.min(bound)).0;
                    let due = lane.next_arrival(domain, fifo, limit);
                    bound = bound.min(due.map_or(Femtos::NEVER, |c| clock.edge(Cycle(c))));
                }
                bound = bound.min(arrival(o.latency_cycles));
            }
        }
        bound.max(first)
    }

    fn run_window(&mut self, horizon: Horizon) {
        let before: Vec<u64> = self.shards.iter().map(|s| s.cpu_ns).collect();
        let parallel = self.state.window_ns > PARALLEL_ABOVE_NS;
        match &self.pool {
            Some(pool) if parallel => {
                let shards = &mut self.shards;
                pool.install(|| shards.par_iter_mut().with_max_len(1).for_each(|s| s.run(horizon)));
            }
            _ => self.shards.iter_mut().for_each(|s| s.run(horizon)),
        }
        let spent = self.shards.iter().zip(before).map(|(s, b)| s.cpu_ns - b);
        let (sum, slowest) = spent.fold((0, 0), |(sum, most), ns| (sum + ns, ns.max(most)));
        self.state.critical_cpu_ns += slowest;
        self.state.window_ns += (sum as f64 - self.state.window_ns) / 16.0;
        self.state.windows += 1;
        if self.shards.len() > 1 {
            exchange(&mut self.shards);
        }
        if self.shards.iter().any(|s| s.fabric.probes.stated() > 0) {
            self.listeners.hand_on(self.shards.iter_mut().map(|s| &mut s.fabric.probes));
        }
    }
}

impl ShardLoad {
    fn of(shard: &Shard) -> ShardLoad {
        ShardLoad { ticks: shard.fabric.ticks, edges: shard.edges, cpu_ns: shard.cpu_ns }
    }
}

/// Hands over what the shards have sent each other in a window.
fn exchange(shards: &mut [Shard]) {
    let begun = thread_cpu_ns();
    for from in 0..shards.len() {
        for to in 0..shards.len() {
            if from == to {
                continue;
            }
            let (a, b) = two(shards, from, to);
            for (mine, theirs) in a.fabric.lanes.iter_mut().zip(&mut b.fabric.lanes) {
                if mine.lane.has_crossings(to) {
                    mine.lane.cross(to, &mut *theirs.lane);
                }
            }
            for credit in a.fabric.credit_outbox[to].drain(..) {
                b.fabric.return_credit(credit.out, credit.due);
            }
        }
    }
    shards[0].cpu_ns += thread_cpu_ns() - begun;
}

fn two(shards: &mut [Shard], i: usize, j: usize) -> (&mut Shard, &mut Shard) {
    if i < j {
        let (a, b) = shards.split_at_mut(j);
        (&mut a[i], &mut b[0])
    } else {
        let (a, b) = shards.split_at_mut(i);
        (&mut b[0], &mut a[j])
    }
}
