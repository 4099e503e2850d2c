//! A test bench: one SM alone, a program with control bits in text form, and when each instruction issued.
//!
//! It is what `orrery validate sm-examples` and the tests of this crate run. Memory behind the SM answers after a fixed
//! time.

mod metrics;
mod program;
mod suite;
mod walk;

pub use metrics::Metrics;
pub use program::{Program, ProgramError, synthetic_stream};
pub use suite::{CachesSpec, ProgramFile, ProgramSpec};
pub use walk::random_walk;

use super::env::{CtaHandle, SmEnv};
use super::fact::SmFact;
use super::occupancy::CtaResources;
use super::rfc::RegisterRead;
use super::stats::SmCounters;
use super::{Cta, Hazard, KernelTiming, NEVER, OpSource, Sm, SmSpec};
use protocol::{MemRequest, MemResponse};
use std::collections::VecDeque;
use std::sync::Arc;
use workloads::stream::CtaStream;

/// What is in the caches when the program starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caches {
    /// Every access hits, instructions and constants included.
    Hit,
    /// As [`Caches::Hit`], but the fixed-latency constant cache starts empty; its next level holds everything.
    ColdConstants,
    /// All caches start empty.
    Cold,
}

/// The bench's settings.
#[derive(Clone, Debug)]
pub struct Bench {
    pub spec: SmSpec,
    pub caches: Caches,
    /// Warp slots that run the program, ascending; slot s lives in sub-core s mod 4.
    pub warps: Vec<u16>,
    /// From a memory request to its answer.
    pub memory_cycles: u64,
    /// The run is given up after this many cycles.
    pub most_cycles: u64,
    pub check_hazards: bool,
    /// Step in every cycle instead of skipping those in which nothing can happen. Changes nothing but the time it takes.
    pub every_cycle: bool,
    /// Keep all that the SM states ([`Outcome::facts`]).
    pub keep_facts: bool,
}

/// One issued instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Issue {
    pub cycle: u64,
    /// Index of the instruction in the program.
    pub index: u32,
}

/// What a run showed. Warps are in the order of [`Bench::warps`].
#[derive(Clone, Debug)]
pub struct Outcome {
    pub issues: Vec<Vec<Issue>>,
    pub hazards: Vec<Hazard>,
    /// Register reads that Allocate granted: warp, instruction, read.
    pub reads: Vec<(usize, u32, RegisterRead)>,
    pub counters: SmCounters,
    /// What the SM stated, with the cycle; empty without [`Bench::keep_facts`].
    pub facts: Vec<(u64, SmFact)>,
    /// False if the run was given up.
    pub finished: bool,
    /// Producers and consumers without a cycle to spare ([`Sm::tight_pairs`]).
    pub tight_pairs: Vec<(u32, u32)>,
    /// Warp slots, as in [`Bench::warps`].
    pub slots: Vec<u16>,
}

/// The outside: fixed-latency memory, and a record of what happened.
struct Outside<'a> {
    warps: &'a [u16],
    now: u64,
    latency: u64,
    answers: VecDeque<(u64, MemResponse)>,
    issues: Vec<Vec<Issue>>,
    reads: Vec<(usize, u32, RegisterRead)>,
    facts: Option<Vec<(u64, SmFact)>>,
    done: bool,
}

impl Outside<'_> {
    fn place(&self, slot: u16) -> Option<usize> {
        self.warps.binary_search(&slot).ok()
    }
}

impl SmEnv for Outside<'_> {
    fn can_send(&mut self) -> bool {
        true
    }

    fn send(&mut self, request: MemRequest) {
        let answer = MemResponse::to(&request);
        self.answers.push_back((self.now + self.latency, answer));
    }

    fn cta_done(&mut self, _cta: CtaHandle) {
        self.done = true;
    }

    fn listening(&self) -> bool {
        true
    }

    fn state(&mut self, fact: SmFact) {
        if let Some(facts) = &mut self.facts {
            facts.push((self.now, fact));
        }
        match fact {
            SmFact::Issued(issued) => {
                if let Some(place) = self.place(issued.instruction.warp) {
                    self.issues[place].push(Issue { cycle: issued.cycle, index: issued.origin.index });
                }
            }
            SmFact::RegisterRead { warp, index, read } => {
                if let Some(place) = self.place(warp) {
                    self.reads.push((place, index, read));
                }
            }
            _ => {}
        }
    }
}

impl Bench {
    /// One warp in sub-core 0, every access hits.
    pub fn new(spec: SmSpec) -> Self {
        Self {
            spec,
            caches: Caches::Hit,
            warps: vec![0],
            memory_cycles: 200,
            most_cycles: 1_000_000,
            check_hazards: true,
            every_cycle: false,
            keep_facts: false,
        }
    }

    /// Runs a straight-line program, every warp the same. All lanes are active, addresses are the bench's own.
    ///
    /// # Errors
    /// [`ProgramError`] names the instruction that cannot be timed.
    pub fn run(&self, program: &Program) -> Result<Outcome, ProgramError> {
        let kernel = Arc::new(KernelTiming::new("program", &program.instructions, &self.spec)?);
        let order: Vec<u32> = (0..program.instructions.len() as u32).collect();
        Ok(self.run_stream(kernel, synthetic_stream(&program.instructions, &order, &self.warps)))
    }

    /// Runs one CTA. `stream` has a list of instructions for each warp slot up to the last one used; empty lists stay idle.
    pub fn run_stream(&self, kernel: Arc<KernelTiming>, stream: CtaStream) -> Outcome {
        let mut spec = self.spec.clone();
        spec.front_end.perfect |= self.caches != Caches::Cold;
        spec.constant_cache.perfect |= self.caches == Caches::Hit;
        let mut sm = Sm::new(&spec, 0);
        if self.check_hazards {
            sm.check_hazards();
        }
        // All instruction buffers are full when the first instruction issues.
        let first = if self.caches == Caches::Cold { 0 } else { 60 };
        let threads = stream.warps.len() as u32 * 32;
        let resources = CtaResources { threads, registers_per_thread: 16, shared_bytes: 1024 };
        if self.caches == Caches::ColdConstants {
            sm.warm_l1_constants(&kernel);
        }
        sm.carve_for(&resources);
        let source = OpSource::Recorded(stream);
        sm.launch(0, first, Cta { handle: CtaHandle(0), slot: 0, kernel, source, resources });
        if self.caches != Caches::Cold {
            sm.warm_data(program::DATA..program::DATA + 512);
        }
        let mut outside = Outside {
            warps: &self.warps,
            now: 0,
            latency: self.memory_cycles,
            answers: VecDeque::new(),
            issues: vec![Vec::new(); self.warps.len()],
            reads: Vec::new(),
            facts: self.keep_facts.then(Vec::new),
            done: false,
        };
        let mut now = 0;
        while now < self.most_cycles {
            outside.now = now;
            while outside.answers.front().is_some_and(|answer| answer.0 <= now) {
                if let Some((_, answer)) = outside.answers.pop_front() {
                    sm.respond(now, &answer, &mut outside);
                }
            }
            let next = sm.step(now, &mut outside).cycle;
            let answer = outside.answers.front().map_or(NEVER, |answer| answer.0);
            if outside.done && sm.is_idle() || next.min(answer) == NEVER {
                break;
            }
            now = if self.every_cycle { now + 1 } else { next.min(answer).max(now + 1) };
        }
        Outcome {
            hazards: sm.hazards().to_vec(),
            tight_pairs: sm.tight_pairs(),
            counters: sm.counters(now + 1),
            issues: outside.issues,
            reads: outside.reads,
            facts: outside.facts.unwrap_or_default(),
            finished: outside.done,
            slots: self.warps.clone(),
        }
    }
}
