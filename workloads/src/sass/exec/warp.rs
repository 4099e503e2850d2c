//! One warp: its registers, its paths, and the loop that executes micro-ops.

use super::control::{self, Flow};
use super::divergence::{Divergence, Path};
use super::fault::{Cause, Fault};
use super::frame::{FULL, Frame};
use super::lower::Program;
use super::mbarrier::{self, Outcome};
use super::memory::{self, Memories};
use super::op::Op;
use super::special::{self, Place};
use super::storage::LocalMemory;
use super::{atomic, bulk, convert, copy, crosslane, double, float, half, integer, logic, mma, mufu, simd};
use crate::stream::{DynamicOp, NO_ACCESS};
use multiversion::multiversion;
use multiversion::target::match_target;
use rustc_hash::FxHasher;
use std::hash::{Hash, Hasher};

/// Instructions after which a warp that only spins gives way to the others of its block.
const SLICE: u64 = 1 << 16;

/// How often an instruction was executed, and by how many lanes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Tally {
    pub warps: u64,
    pub lanes: u64,
}

/// One warp of a CTA.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct Warp {
    pub frame: Frame,
    pub divergence: Divergence,
    pub local: LocalMemory,
    /// Where its local memory lies for the coalescer.
    pub local_base: u64,
    pub place: Place,
    /// Instructions it executed in this CTA.
    pub executed: u64,
    /// Where it stopped, for messages.
    pub at: u32,
    /// All lanes have exited, but by the timing model's clock the last EXIT has not issued: barriers still count it.
    pub leaving: bool,
}

/// Why [`Warp::run`] returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// All lanes exited.
    Finished,
    /// Every path waits, at least one of them at a barrier of the block.
    Barrier,
    /// Every path waits, at least one of them for the phase of a barrier in shared memory.
    Phase,
    /// It lets the others run: after a while, or where it depends on them.
    Slice,
}

impl Warp {
    /// Runs until it can go no further. `stream` gets what was executed.
    pub fn run<const RECORD: bool>(
        &mut self,
        program: &Program,
        tallies: &mut [Tally],
        memories: &mut Memories<'_, RECORD>,
        stream: &mut Vec<DynamicOp>,
    ) -> Result<Stop, Fault> {
        let until = self.executed + SLICE;
        self.divergence.poll();
        while let Some(path) = self.divergence.next() {
            if let Some(stop) = run_path::<RECORD, false>(self, path, until, program, tallies, memories, stream)? {
                return Ok(stop);
            }
        }
        if !self.divergence.polling.is_empty() {
            return Ok(Stop::Phase);
        }
        match (self.divergence.live, self.divergence.parked.is_empty()) {
            (0, _) => Ok(Stop::Finished),
            (_, false) => Ok(Stop::Barrier),
            (lanes, true) => Err(Box::new(Cause::ConvergenceDeadlock { lanes })),
        }
    }

    /// Executes one instruction of the path that is next. `stream` gets it.
    pub fn step(
        &mut self,
        program: &Program,
        tallies: &mut [Tally],
        memories: &mut Memories<'_, true>,
        stream: &mut Vec<DynamicOp>,
    ) -> Result<(), Fault> {
        let until = self.executed + 1;
        if let Some(path) = self.divergence.next() {
            run_path::<true, true>(self, path, until, program, tallies, memories, stream)?;
        }
        if self.divergence.is_alone() && self.divergence.live != 0 && self.divergence.parked.is_empty() {
            return Err(Box::new(Cause::ConvergenceDeadlock { lanes: self.divergence.live }));
        }
        Ok(())
    }

    /// Registers, paths and local memory as one number: equal states have equal numbers.
    pub fn state_hash(&self) -> u64 {
        let mut hasher = FxHasher::default();
        (&self.frame.words, &self.frame.predicates, &self.divergence, &self.local.words).hash(&mut hasher);
        self.place.clock.hash(&mut hasher);
        hasher.finish()
    }

    /// [`run_path`], with `FMA` for a processor that has fused multiply-add.
    #[inline(always)]
    fn follow<const RECORD: bool, const STEP: bool, const FMA: bool>(
        &mut self,
        Path { at: mut position, lanes: mut active }: Path,
        until: u64,
        program: &Program,
        tallies: &mut [Tally],
        memories: &mut Memories<'_, RECORD>,
        stream: &mut Vec<DynamicOp>,
    ) -> Result<Option<Stop>, Fault> {
        let frame = &mut self.frame;
        loop {
            self.at = position;
            let Some(micro) = program.code.get(position as usize) else {
                return Err(Box::new(Cause::RanOffTheEnd));
            };
            let guard = frame.predicate(micro.guard);
            let lanes = active & guard;
            let mask = (active | micro.force) & guard;
            self.executed += 1;
            let tally = &mut tallies[position as usize];
            tally.warps += 1;
            tally.lanes += if lanes == FULL { 32 } else { u64::from(lanes.count_ones()) };
            let mut access = NO_ACCESS;
            match &micro.op {
                Op::Float(op) => float::execute::<FMA>(op, frame, mask),
                Op::Integer(op) => integer::execute(op, frame, mask),
                Op::Memory(op) => {
                    access = memory::execute(op, frame, &mut self.local, self.local_base, mask, position, memories)?;
                }
                Op::Logic(op) => logic::execute(op, frame, mask),
                Op::Control(op) => {
                    if RECORD {
                        stream.push(DynamicOp { index: position, lanes, access });
                    }
                    let code_len = program.code.len() as u32;
                    match control::execute(op, frame, &mut self.divergence, position, active, lanes, code_len)? {
                        Flow::Next if STEP => {
                            self.divergence.suspend(Path { at: position + 1, lanes: active });
                            return Ok(Some(Stop::Slice));
                        }
                        Flow::Next => position += 1,
                        Flow::Go(path) => {
                            // Regions and computed jumps can lead backwards, too.
                            if self.executed >= until {
                                self.divergence.suspend(path);
                                return Ok(Some(Stop::Slice));
                            }
                            (position, active) = (path.at, path.lanes);
                        }
                        Flow::Back(path) => {
                            if self.executed >= until || !self.divergence.is_alone() {
                                self.divergence.step_back(path);
                                return Ok((self.executed >= until).then_some(Stop::Slice));
                            }
                            (position, active) = (path.at, path.lanes);
                        }
                        Flow::Pause(path) => {
                            self.divergence.suspend(path);
                            return Ok(Some(Stop::Slice));
                        }
                        Flow::Stop => return Ok(None),
                    }
                    continue;
                }
                Op::Nothing => {}
                Op::Half(op) => half::execute(op, frame, mask),
                Op::Simd(op) => simd::execute(op, frame, mask),
                Op::Double(op) => double::execute(op, frame, mask),
                Op::Mufu(op) => mufu::execute(op, frame, mask),
                Op::Convert(op) => convert::execute(op, frame, mask),
                Op::Atomic(op) => access = atomic::execute(op, frame, mask, position, memories)?,
                Op::Copy(op) => access = copy::execute(op, frame, mask, position, memories)?,
                Op::Bulk(op) => access = bulk::execute(op, frame, lanes, memories)?,
                Op::Mbarrier(op) => match mbarrier::execute::<RECORD, STEP>(op, frame, lanes, memories)? {
                    Outcome::Done(recorded) => access = recorded,
                    Outcome::Wait => {
                        // As if it had not been tried.
                        self.executed -= 1;
                        let tally = &mut tallies[position as usize];
                        tally.warps -= 1;
                        tally.lanes -= u64::from(lanes.count_ones());
                        self.divergence.polling.push(Path { at: position, lanes: active });
                        return Ok(None);
                    }
                },
                Op::Warpgroup(op) => {
                    let number = self.place.first_thread / 32 % 4;
                    mma::execute_warpgroup(op, frame, lanes, number as usize, memories.shared)?;
                }
                Op::CrossLane(op) => {
                    if lanes != 0 {
                        crosslane::execute(op, frame, lanes);
                    }
                }
                Op::Mma(op) => mma::execute(op, frame, mask),
                Op::Matrix(op) => access = mma::execute_matrix(op, frame, mask, memories)?,
                Op::Special(op) => {
                    if lanes != 0 {
                        special::execute(op, frame, lanes, &self.place);
                    }
                }
            }
            if RECORD {
                stream.push(DynamicOp { index: position, lanes, access });
            }
            position += 1;
            if STEP {
                self.divergence.suspend(Path { at: position, lanes: active });
                return Ok(Some(Stop::Slice));
            }
        }
    }
}

/// Runs one path until it stops, following it through branches; with `STEP` until it has executed one instruction.
///
/// Compiled twice: once more for the processors of the last ten years, whose vectors hold a warp in four registers (x86-64-v3).
/// The values are the same.
#[multiversion(targets("x86_64+avx2+bmi1+bmi2+fma+lzcnt+popcnt"))]
fn run_path<const RECORD: bool, const STEP: bool>(
    warp: &mut Warp,
    path: Path,
    until: u64,
    program: &Program,
    tallies: &mut [Tally],
    memories: &mut Memories<'_, RECORD>,
    stream: &mut Vec<DynamicOp>,
) -> Result<Option<Stop>, Fault> {
    match_target! {
        "x86_64+fma" => warp.follow::<RECORD, STEP, true>(path, until, program, tallies, memories, stream),
        "aarch64" => warp.follow::<RECORD, STEP, true>(path, until, program, tallies, memories, stream),
        _ => warp.follow::<RECORD, STEP, false>(path, until, program, tallies, memories, stream),
    }
}
