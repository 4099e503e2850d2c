//! Operand collectors: the operand stage of the older model, in the place of Control, Allocate and the read window.
//!
//! ```text
//!  issue ─▶ [a latch a unit] ─▶ collector ─┐ bank 0: one read a step   ─▶ unit, when it takes one
//!                           └─▶ collector ─┤ bank 1: one read a step
//!                                          └ a collector takes one operand a step; writes go before reads
//! ```
//!
//! Models: GPGPU-Sim 4's generic collectors with isolated sub-cores. A step hands complete instructions on, lets each bank serve one
//! collector and moves instructions from the latches into free collectors; a cycle has several steps. Who is served first
//! moves on with every step. How long reading takes depends on what else is read; results of fixed latency are therefore
//! waited for until they are written.
//! Leaves out: the allocator of GPGPU-Sim, a wavefront over banks and collectors, where here each bank chooses for itself.
//! Source: gpgpu-sim_distribution `shader.cc` (opndcoll_rfu_t), `SM86_RTX3070/gpgpusim.config`. Tests: `tests/accel_sim.rs`.

use super::super::env::SmEnv;
use super::super::fact::{SmFact, Stage};
use super::super::ports::BANKS;
use super::super::scoreboard::BOARD;
use super::super::spec::{Collectors as Spec, PIPES};
use super::super::timing::{NO_UNIT, OpTiming, Route, VARIABLE_UNITS};
use super::super::{Queued, Shared};
use super::allocate::write_result;
use super::{Latched, SubCore};

/// A latch for each pipe and variable-latency unit, and one for memory.
const LATCHES: usize = PIPES + VARIABLE_UNITS + 1;

/// An instruction on its way to its operands, or reading them.
#[derive(Clone, Copy, Debug, serde::Serialize, serde::Deserialize)]
struct Collecting {
    latched: Latched,
    issued: u64,
    /// Of a memory instruction: what goes to the queue.
    queued: Option<Queued>,
    /// Operands that are not read, by bank.
    missing: [u8; BANKS],
}

#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub(super) struct Collectors {
    latches: Vec<Option<Collecting>>,
    units: Vec<Option<Collecting>>,
    steps_per_cycle: u8,
    /// Collector that is looked at first.
    first: usize,
}

fn latch_of(op: &OpTiming) -> usize {
    match op.route {
        Route::Fixed => usize::from(op.unit),
        Route::Variable => PIPES + usize::from(op.unit),
        Route::Memory => PIPES + VARIABLE_UNITS,
    }
}

impl Collectors {
    pub fn new(spec: &Spec) -> Self {
        Self {
            latches: vec![None; LATCHES],
            units: vec![None; usize::from(spec.units)],
            steps_per_cycle: spec.steps_per_cycle,
            first: 0,
        }
    }

    /// Whether the latch before the collectors is free.
    pub fn accepts(&self, op: &OpTiming) -> bool {
        op.route == Route::Fixed && op.unit == NO_UNIT || self.latches[latch_of(op)].is_none()
    }

    pub fn is_empty(&self) -> bool {
        self.latches.iter().chain(&self.units).all(Option::is_none)
    }

    /// Every bank serves the first collector that waits for it, and every collector takes one operand.
    fn read(&mut self, written: [bool; BANKS]) {
        let count = self.units.len();
        let mut served = 0u32;
        for bank in (0..BANKS).filter(|bank| !written[*bank]) {
            for nth in 0..count {
                let place = (self.first + nth) % count;
                let Some(unit) = &mut self.units[place] else { continue };
                if unit.missing[bank] > 0 && served >> place & 1 == 0 {
                    unit.missing[bank] -= 1;
                    served |= 1 << place;
                    break;
                }
            }
        }
        self.first = (self.first + 1) % count;
    }

    /// Instructions in latches take free collectors.
    fn allocate(&mut self) {
        for latch in self.latches.iter_mut().filter(|latch| latch.is_some()) {
            let Some(free) = self.units.iter_mut().find(|unit| unit.is_none()) else { return };
            *free = latch.take();
        }
    }
}

impl SubCore {
    /// An instruction has issued.
    pub(super) fn latch(&mut self, now: u64, latched: Latched, queued: Option<Queued>, shared: &mut Shared) {
        let op = &latched.op;
        match &mut self.collectors {
            Some(collectors) if op.route != Route::Fixed || op.unit != NO_UNIT => {
                let missing = op.reads;
                collectors.latches[latch_of(op)] = Some(Collecting { latched, issued: now, queued, missing });
            }
            // It has no unit to go to.
            _ => self.left(latched.warp, latched.last, shared),
        }
    }

    /// The collectors' part of a cycle, before issue.
    pub(super) fn collect<E: SmEnv>(&mut self, now: u64, shared: &mut Shared, env: &mut E) {
        let Some(mut collectors) = self.collectors.take() else { return };
        for step in 0..collectors.steps_per_cycle {
            for place in 0..collectors.units.len() {
                if let Some(unit) = collectors.units[place]
                    && unit.missing == [0; BANKS]
                    && self.hand_on(now, &unit, shared, env)
                {
                    collectors.units[place] = None;
                }
            }
            // A write keeps its bank for one step.
            let written: [bool; BANKS] =
                std::array::from_fn(|bank| step == 0 && self.write_ports.taken(now, bank) & 1 == 1);
            collectors.read(written);
            collectors.allocate();
        }
        self.collectors = Some(collectors);
    }

    /// A complete instruction goes to its unit, if that takes one now.
    fn hand_on<E: SmEnv>(&mut self, now: u64, unit: &Collecting, shared: &mut Shared, env: &mut E) -> bool {
        let Collecting { latched, issued, queued, .. } = *unit;
        let op = &latched.op;
        let warp = usize::from(latched.warp);
        match op.route {
            Route::Fixed => {
                let pipe = &self.pipes[usize::from(op.unit)];
                if now < pipe.exit + u64::from(pipe.interval) {
                    return false;
                }
                let written = match op.written_banks {
                    0 => now + u64::from(op.write_delay),
                    _ => match write_result(self.write_ports.from(now), op, shared.spec.result_queue_entries) {
                        Some(delay) => now + u64::from(delay),
                        None => return false,
                    },
                };
                let pipe = &mut self.pipes[usize::from(op.unit)];
                (pipe.exit, pipe.interval) = (now, op.initiation_interval);
                pipe.busy += u64::from(op.initiation_interval);
                if op.write_counter == BOARD {
                    self.warps.outstanding[warp] += 1;
                    self.fall(written + 1, &latched, BOARD, shared);
                }
                if env.listening() {
                    let instruction = self.dynamic(latched.warp, latched.position);
                    let over = written.max(now + u64::from(op.initiation_interval)) + 1;
                    for (stage, cycle) in
                        [(Stage::OperandRead, issued + 1), (Stage::Execute, now + 1), (Stage::Done, over)]
                    {
                        env.state(SmFact::Stage { instruction, stage, cycle });
                    }
                }
            }
            Route::Variable => {
                if now + 1 < self.units[usize::from(op.unit)].free {
                    return false;
                }
                self.enter_unit(now + 1, issued, &latched, shared, env);
            }
            Route::Memory => {
                let Some(queued) = queued else { return true };
                let from = now + shared.spec.issue_to_accept_cycles;
                if env.listening() {
                    let instruction = self.dynamic(latched.warp, latched.position);
                    env.state(SmFact::Stage { instruction, stage: Stage::MemoryQueue, cycle: now + 1 });
                }
                shared.memory.push(self.index, Queued { from, ..queued });
            }
        }
        self.left(latched.warp, latched.last, shared);
        true
    }
}
