//! A shard: some of the components with the fabric between them. It works through its edges up to the end of a window
//! without looking at any other shard.

use crate::arena::Arena;
use crate::clock::ClockDomain;
use crate::fabric::Fabric;
use crate::stretch::{Stretch, Turn};
use crate::time::{Cycle, Femtos};

pub(crate) struct Shard {
    pub arenas: Vec<Box<dyn Arena>>,
    pub fabric: Fabric,
    pub stretch: Stretch,
    /// First cycle of each domain that was not worked through yet.
    next_cycle: Vec<u64>,
    /// Of each domain, the arenas that are ticked cycle by cycle.
    ticked: Vec<Vec<usize>>,
    /// Their words of the wake set.
    words: Vec<Vec<(usize, usize)>>,
    /// Next cycle of each domain with any cause and its time, as they were found last.
    found: Vec<Option<(u64, Femtos)>>,
    pub edges: u64,
    pub cpu_ns: u64,
    /// Time of the last edge at which something foreground happened.
    pub last_foreground: Option<Femtos>,
}

/// How far a shard may go without looking at others.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Horizon {
    /// Works through edges strictly before this.
    pub end: Femtos,
    /// Edges with background causes alone: only up to here, unless something foreground is due later on this shard.
    pub background: Femtos,
    /// Stops after the edge at which the last foreground work ended. For a single shard.
    pub stop_when_work_ends: bool,
    /// Stops after this many edges, so that progress can be shown.
    pub edges: u64,
}

/// The next edges of a shard.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Next {
    pub foreground: Option<Femtos>,
    pub background: Option<Femtos>,
}

impl Shard {
    pub fn new(number: usize, shards: usize, clocks: Vec<ClockDomain>) -> Shard {
        Shard {
            arenas: Vec::new(),
            stretch: Stretch::default(),
            next_cycle: vec![0; clocks.len()],
            ticked: vec![Vec::new(); clocks.len()],
            words: vec![Vec::new(); clocks.len()],
            found: vec![None; clocks.len()],
            fabric: Fabric::new(number, shards, clocks),
            edges: 0,
            cpu_ns: 0,
            last_foreground: None,
        }
    }

    /// Goes on after `time`, up to which all is worked through: the last cycles of the domains are `cycles`, if they have
    /// begun. Nothing is in flight and nobody due.
    pub fn start_at(&mut self, time: Femtos, cycles: Option<&[u64]>, last_foreground: Option<Femtos>) {
        self.fabric.time = time;
        self.last_foreground = last_foreground;
        let begun = vec![0; self.next_cycle.len()];
        let last = cycles.unwrap_or(&begun);
        self.fabric.wake.start_at(last);
        for (domain, &cycle) in last.iter().enumerate() {
            self.next_cycle[domain] = if cycles.is_some() { cycle + 1 } else { 0 };
            self.fabric.lanes.iter_mut().for_each(|slot| slot.lane.start_at(domain, cycle));
        }
        self.stretch.start_at(self.next_cycle[self.stretch.domain]);
    }

    /// All arenas are there, and it is known who stays behind.
    pub fn sort_arenas(&mut self) {
        for (number, arena) in self.arenas.iter().enumerate().filter(|(_, arena)| !arena.stretches()) {
            self.ticked[arena.domain()].push(number);
            self.words[arena.domain()].push(arena.words());
        }
    }

    /// Whether anybody of a domain is due at its next edge.
    fn anybody_due(&self, domain: usize) -> bool {
        self.words[domain].iter().any(|&(from, end)| self.fabric.wake.any(from, end))
    }

    /// Without those who stay behind: next cycle of a domain with a foreground cause, and with a background cause.
    fn next_of(&mut self, domain: usize) -> (Option<u64>, Option<u64>) {
        if self.anybody_due(domain) {
            return (Some(self.next_cycle[domain]), None);
        }
        let mut foreground = self.fabric.wake.next_alarm(domain);
        for slot in &mut self.fabric.lanes {
            foreground = foreground.into_iter().chain(slot.lane.next_due(domain as u8)).min();
        }
        (foreground, self.fabric.wake.next_background_alarm(domain))
    }

    /// The next edges at which anything happens.
    pub fn next(&mut self) -> Next {
        let mut next = self.next_of_others();
        if let Some(cycle) = self.next_stretch() {
            let time = self.fabric.clocks[self.stretch.domain].edge(Cycle(cycle));
            next.foreground = next.foreground.into_iter().chain(Some(time)).min();
        }
        next
    }

    fn next_of_others(&mut self) -> Next {
        let mut next = Next { foreground: None, background: None };
        for domain in 0..self.next_cycle.len() {
            let (foreground, background) = self.next_of(domain);
            let mut edge = |c: Option<u64>| c.map(|c| (c, self.fabric.clocks[domain].edge_in_sequence(Cycle(c))));
            let (foreground, background) = (edge(foreground), edge(background));
            self.found[domain] = foreground.into_iter().chain(background).min();
            next.foreground = next.foreground.into_iter().chain(foreground.map(|f| f.1)).min();
            next.background = next.background.into_iter().chain(background.map(|b| b.1)).min();
        }
        next
    }

    /// Works through all edges within the horizon.
    pub fn run(&mut self, horizon: Horizon) {
        let begun = thread_cpu_ns();
        self.stretch.forget_times();
        let last = self.edges + horizon.edges;
        if self.next_cycle.len() == 1 && self.stretch.cycles == 0 {
            self.run_one_clock(horizon, last)
        } else {
            self.run_clocks(horizon, last)
        }
        self.cpu_ns += thread_cpu_ns() - begun;
    }

    fn run_one_clock(&mut self, horizon: Horizon, last: u64) {
        while self.edges < last {
            let (foreground, background) = self.next_of(0);
            let Some(cycle) = foreground.into_iter().chain(background).min() else { return };
            let time = self.fabric.clocks[0].edge_in_sequence(Cycle(cycle));
            if time >= horizon.end || (foreground.is_none() && time > horizon.background) {
                return;
            }
            let had_work = self.fabric.work.outstanding > 0;
            self.fabric.time = time;
            if self.step(0, cycle) {
                self.last_foreground = Some(time);
            }
            if horizon.stop_when_work_ends && self.work_is_over(had_work) {
                return;
            }
        }
    }

    fn run_clocks(&mut self, horizon: Horizon, last: u64) {
        let domains = self.next_cycle.len();
        while self.edges < last {
            let others = self.next_of_others();
            let time = match self.turn(others, horizon) {
                Turn::Others(time) => time,
                Turn::Behind { end } => {
                    self.catch_up(end);
                    continue;
                }
                Turn::Over => break,
            };
            let had_work = self.fabric.work.outstanding > 0;
            self.fabric.time = time;
            // What is sent at this time arrives later, in every domain: what was found still holds.
            for domain in 0..domains {
                let Some((cycle, _)) = self.found[domain].filter(|found| found.1 == time) else { continue };
                if self.step(domain, cycle) {
                    self.last_foreground = self.last_foreground.max(Some(time));
                }
            }
            if horizon.stop_when_work_ends && self.work_is_over(had_work) {
                break;
            }
        }
        self.catch_up_to_now();
    }

    /// Whether the last foreground work has ended at the edges just worked through, before which there was some or not.
    fn work_is_over(&self, had_work: bool) -> bool {
        self.fabric.work.outstanding == 0 && (had_work || self.ended_now())
    }

    /// Whether work ended at the edge just worked through: it may have begun there too.
    fn ended_now(&self) -> bool {
        self.fabric.work.begun > 0 && self.fabric.work.ended_at == self.fabric.time
    }

    /// One edge of one domain: ring alarms, deliver what is due, tick what is due. True if a cause was foreground.
    fn step(&mut self, domain: usize, cycle: u64) -> bool {
        self.edges += 1;
        let mut foreground = cycle == self.next_cycle[domain] && self.anybody_due(domain);
        self.next_cycle[domain] = cycle + 1;
        foreground |= self.fabric.wake.ring(domain, cycle);
        for slot in &mut self.fabric.lanes {
            foreground |= slot.lane.deliver(domain as u8, cycle, &mut self.fabric.wake) > 0;
        }
        for &arena in &self.ticked[domain] {
            self.arenas[arena].tick(&mut self.fabric, cycle);
        }
        foreground
    }
}

/// CPU time of the calling thread in nanoseconds: what a shard cost, whatever else the host did meanwhile.
#[cfg(unix)]
pub fn thread_cpu_ns() -> u64 {
    let mut t = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `t` is a valid, writable timespec, and the call keeps no pointer to it. The standard library has no
    // clock of a thread's CPU time.
    let ok = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut t) } == 0;
    if ok { t.tv_sec as u64 * 1_000_000_000 + t.tv_nsec as u64 } else { 0 }
}

/// Wall time where the system has no clock of a thread's CPU time.
#[cfg(not(unix))]
pub fn thread_cpu_ns() -> u64 {
    use std::sync::OnceLock;
    static START: OnceLock<std::time::Instant> = OnceLock::new();
    START.get_or_init(std::time::Instant::now).elapsed().as_nanos() as u64
}
