//! Execution at issue: a CTA that advances one warp instruction at a time, when a timing model says so.
//!
//! ```text
//!  timing model                     LiveCta
//!   fetch ── what comes next? ────▶ next: index, or waits at a barrier, or over
//!         ── run ahead ───────────▶ step: registers and branches only
//!   issue ── it is cycle 812 ─────▶ step: memory, clocks, barriers
//!         ◀─ access, who may go on
//! ```
//!
//! An instruction *depends on time* if its effect or result can differ with the moment at which it executes: it reads a
//! clock, touches global or shared memory, or joins a barrier. Those take effect when they issue: a load sees memory as all
//! instructions issued before left it, a store and an atomic are visible to all that issue later, on any SM. (On hardware a
//! load reads when it reaches L1, L2 or shared memory, and a store becomes visible there; between issue and then other
//! accesses can come first. A kernel whose result depends on that order has a race, unless fences and atomics order it; with
//! them, the order here is one of those allowed.) All other instructions give the same values whenever they execute, so
//! they may run ahead up to the next one that depends on time; a front end thereby knows most branches when it fetches them.
//!
//! Everything here is plain data. Start reading at [`LiveCta::step`]; the canonical tests are `tests/live.rs`.

use super::super::instruction::Instruction;
use super::super::uses::Uses;
use super::control::{self, ControlOp, Flow};
use super::divergence::{Divergence, Path};
use super::fault::{Cause, ExecError, Fault};
use super::frame::{PredicateSource, UNIFORM_PREDICATES};
use super::memory::Memories;
use super::op::Op;
use super::special::Clocks;
use super::spin::Recurrence;
use super::{CtaState, DEFAULT_LIVE_WATCHDOG, Grid, describe_deadlock, release_barriers};
use crate::stream::{Access, AccessKind, BulkCopy, CtaStream, DynamicOp, Line, NO_ACCESS};

/// Instructions of a warp between two looks at whether it goes round in circles.
const LOOK_EVERY: u64 = 1024;

/// What a warp does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Upcoming {
    /// The instruction at `index`. `timed`: it depends on time, so it executes at issue.
    Op { index: u32, timed: bool },
    /// It waits at a barrier; `index` is where it goes on unless its paths wait at several.
    Waits { index: u32 },
    /// All lanes have exited.
    Over,
}

/// What one step did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stepped {
    pub op: DynamicOp,
    /// The warp now waits at a barrier (it may be among `released` at once).
    pub waits: bool,
    /// Bit w: warp w of the CTA may go on behind a barrier.
    pub released: u32,
}

/// One CTA on its way.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct LiveCta {
    index: u32,
    state: CtaState,
    waiting: Vec<bool>,
    recurrences: Vec<Recurrence>,
    /// Executed instructions of each warp from which its state is looked at again.
    look_at: Vec<u64>,
    /// Changes of memory for which each warp was counted as circling.
    counted_at: Vec<Option<u64>>,
    unfinished: u32,
    accesses: Vec<(Access, Vec<Line>)>,
    free: Vec<u32>,
    /// What accesses of mbarriers and bulk copies refer to. Nobody tells when a copy is over: it is kept as long as the CTA.
    asynchronous: CtaStream,
}

impl Grid {
    /// Starts CTA number `index`, which then advances by [`LiveCta::step`].
    pub fn start_cta(&mut self, index: u32) -> LiveCta {
        let mut state = self.scratch.clone();
        self.begin_cta(index, &mut state);
        let warps = state.warps.len();
        self.live.running += warps as u64;
        self.live.idle_instructions = 0;
        LiveCta {
            index,
            state,
            waiting: vec![false; warps],
            recurrences: vec![Recurrence::default(); warps],
            look_at: vec![LOOK_EVERY; warps],
            counted_at: vec![None; warps],
            unfinished: warps as u32,
            accesses: Vec::new(),
            free: Vec::new(),
            asynchronous: CtaStream::default(),
        }
    }

    /// Whether CTAs are left that start only when a resident one ends. Together with what the CTAs do this tells a wait
    /// that may end from one that cannot.
    pub fn set_nothing_starts(&mut self, nothing_starts: bool) {
        self.live.no_start = nothing_starts;
    }

    /// The dispatcher has heard that a CTA has left.
    pub fn left(&mut self) {
        self.live.leaving -= 1;
    }

    /// What follows an instruction of which no values are known: the next one, or `None` behind a jump or exit without
    /// condition and at the end of the code.
    fn follower(&self, index: u32) -> Option<u32> {
        let micro = self.program.code.get(index as usize)?;
        let always = micro.guard == PredicateSource::TRUE;
        let leaves = match &micro.op {
            Op::Control(ControlOp::Branch { also, .. }) => *also == PredicateSource::TRUE,
            Op::Control(ControlOp::Indirect { .. } | ControlOp::Exit) => true,
            _ => false,
        };
        let next = index + 1;
        ((next as usize) < self.program.code.len() && !(always && leaves)).then_some(next)
    }
}

/// Bit i: the instruction writes predicate i of a frame. All, where that is not known.
pub(super) fn predicates_written(instruction: &Instruction) -> u32 {
    Uses::of(instruction).map_or(u32::MAX, |uses| {
        u32::from(uses.predicates_written) | u32::from(uses.uniform_predicates_written) << UNIFORM_PREDICATES
    })
}

/// Who goes on when all paths wait, if they do so at one barrier.
fn behind_barrier(paths: &mut Divergence) -> Option<Path> {
    let mut waiting = paths.parked.iter().filter(|parked| parked.waits);
    let barrier = waiting.next()?.barrier;
    if waiting.any(|parked| parked.barrier != barrier) {
        return None;
    }
    paths.unpark(barrier, None);
    paths.next()
}

fn depends_on_time(op: &Op) -> bool {
    match op {
        Op::Nothing
        | Op::Integer(_)
        | Op::Logic(_)
        | Op::Float(_)
        | Op::Half(_)
        | Op::Double(_)
        | Op::Mufu(_)
        | Op::Convert(_)
        | Op::CrossLane(_) => false,
        Op::Special(op) => op.reads_clock(),
        Op::Control(op) => matches!(op, ControlOp::Barrier { .. } | ControlOp::Trap),
        Op::Memory(op) => op.is_shared_with_others(),
        // Safe for all that is not listed.
        _ => true,
    }
}

impl LiveCta {
    pub fn warps(&self) -> usize {
        self.state.warps.len()
    }

    /// What a warp does next.
    pub fn next(&self, grid: &Grid, warp: usize) -> Upcoming {
        let divergence = &self.state.warps[warp].divergence;
        if let Some(path) = divergence.peek() {
            let timed = grid.program.code.get(path.at as usize).is_none_or(|micro| {
                // While some lanes wait at a barrier, where the others go decides whether the warp waits.
                let decides = !divergence.parked.is_empty() && matches!(micro.op, Op::Control(_));
                decides || depends_on_time(&micro.op)
            });
            return Upcoming::Op { index: path.at, timed };
        }
        match divergence.parked.iter().filter(|parked| parked.waits).map(|parked| parked.path.at).min() {
            Some(index) => Upcoming::Waits { index },
            None => Upcoming::Over,
        }
    }

    /// Says what will execute behind the next instruction, which depends on time, up to `count` instructions: exact until
    /// a branch asks for a predicate that one of them writes, straight on behind that.
    pub fn foresee(&self, grid: &Grid, warp: usize, count: usize, mut say: impl FnMut(u32)) {
        let own = &self.state.warps[warp];
        let mut written = 0;
        let mut paths: Option<Divergence> = None;
        let mut is_known = true;
        let first = own.divergence.peek().or_else(|| behind_barrier(paths.insert(own.divergence.clone())));
        let Some(mut path) = first else { return };
        for _ in 0..count {
            let Some(micro) = grid.program.code.get(path.at as usize) else { return };
            if let Op::Control(op) = &micro.op
                && is_known
            {
                let (also, register) = op.reads();
                let asked = 1u32 << micro.guard.slot | 1 << also.slot;
                is_known = asked & written == 0 && register.is_none_or(|slot| slot >= grid.program.first_constant);
            }
            path = match &micro.op {
                Op::Control(ControlOp::ReadConvergence { .. }) => {
                    // It may free a barrier register: from here on straight ahead.
                    is_known = false;
                    let Some(at) = grid.follower(path.at) else { return };
                    Path { at, ..path }
                }
                Op::Control(op) if is_known => {
                    let paths = paths.get_or_insert_with(|| {
                        let mut paths = own.divergence.clone();
                        paths.next();
                        paths
                    });
                    let lanes = path.lanes & own.frame.predicate(micro.guard);
                    let length = grid.program.code.len() as u32;
                    let flow = control::go_on(op, &own.frame, paths, path.at, path.lanes, lanes, length);
                    let next = match flow {
                        Ok(Flow::Next) => Some(Path { at: path.at + 1, ..path }),
                        Ok(Flow::Go(next) | Flow::Pause(next)) => Some(next),
                        Ok(Flow::Back(next)) => {
                            paths.step_back(next);
                            paths.next()
                        }
                        Ok(Flow::Stop) => match paths.next() {
                            Some(next) => Some(next),
                            None => behind_barrier(paths),
                        },
                        Err(_) => None,
                    };
                    let Some(next) = next else { return };
                    next
                }
                _ => {
                    written |= grid.predicates_written[path.at as usize];
                    let Some(at) = grid.follower(path.at) else { return };
                    Path { at, ..path }
                }
            };
            say(path.at);
        }
    }

    /// Executes the next instruction of a warp. `clocks` are what it sees if it reads one.
    ///
    /// # Errors
    /// The instruction faults, or nothing that runs can end the wait of those that wait.
    pub fn step(&mut self, grid: &mut Grid, warp: usize, clocks: Clocks) -> Result<Stepped, ExecError> {
        self.try_step(grid, warp, clocks).map_err(|(warp, fault)| {
            let at = self.state.warps[warp].at;
            grid.error(warp, at, fault, self.index)
        })
    }

    fn try_step(&mut self, grid: &mut Grid, warp: usize, clocks: Clocks) -> Result<Stepped, (usize, Fault)> {
        let before = grid.changes;
        let mut executed = std::mem::take(&mut grid.stepped);
        executed.clear();
        grid.recorder.accesses.clear();
        grid.recorder.lines.clear();
        grid.recorder.mbarriers.clear();
        grid.recorder.bulk.clear();
        let CtaState { shared, warps } = &mut self.state;
        let own = &mut warps[warp];
        let micro = own.divergence.peek().and_then(|path| grid.program.code.get(path.at as usize));
        let control = matches!(micro.map(|micro| &micro.op), Some(Op::Control(_)));
        if micro.is_some_and(|micro| matches!(&micro.op, Op::Special(op) if op.reads_clock())) {
            own.place.clock = clocks;
        }
        let Grid { program, banks, global, tallies, recorder, changes, .. } = &mut *grid;
        let mut memories = Memories { global, shared, banks, recorder, changes };
        let stepped = own.step(program, tallies, &mut memories, &mut executed);
        let mut op = executed.pop().unwrap_or(DynamicOp { index: own.at, lanes: 0, access: NO_ACCESS });
        grid.stepped = executed;
        stepped.map_err(|fault| (warp, fault))?;
        if op.access != NO_ACCESS {
            op.access = self.keep_access(grid);
        }
        let own = &mut self.state.warps[warp];
        own.leaving = own.divergence.live == 0;
        let mut outcome = Stepped { op, waits: false, released: 0 };
        if control && !own.divergence.parked.is_empty() {
            outcome.waits = own.divergence.is_alone();
            self.waiting[warp] = outcome.waits;
            grid.live.running -= u64::from(outcome.waits);
            outcome.released = self.release(grid)?;
        }
        self.look_for_progress(grid, warp, op.index, before)?;
        Ok(outcome)
    }

    /// The last instruction of a warp has issued. Returns the warps that may go on behind a barrier for it.
    ///
    /// # Errors
    /// The others wait for warps that never come.
    pub fn retire(&mut self, grid: &mut Grid, warp: usize) -> Result<u32, ExecError> {
        self.state.warps[warp].leaving = false;
        self.unfinished -= 1;
        grid.live.running -= 1;
        grid.live.leaving += u64::from(self.unfinished == 0);
        grid.live.idle_instructions = 0;
        // An exit is progress: what was circling has to be seen anew.
        grid.changes += 1;
        self.release(grid).map_err(|(warp, fault)| {
            let at = self.state.warps[warp].at;
            grid.error(warp, at, fault, self.index)
        })
    }

    fn release(&mut self, grid: &mut Grid) -> Result<u32, (usize, Fault)> {
        let before = mask_of(&self.waiting);
        release_barriers(&mut self.state.warps, &mut self.waiting);
        let released = before & !mask_of(&self.waiting);
        grid.live.running += u64::from(released.count_ones());
        let gone = |warp: usize| self.state.warps[warp].divergence.live == 0 && !self.state.warps[warp].leaving;
        match self.waiting.iter().position(|waits| *waits) {
            Some(stuck) if (0..self.waiting.len()).all(|warp| self.waiting[warp] || gone(warp)) => {
                Err((stuck, Box::new(Cause::BarrierDeadlock(describe_deadlock(&self.state.warps)))))
            }
            _ => Ok(released),
        }
    }

    fn look_for_progress(&mut self, grid: &mut Grid, warp: usize, at: u32, before: u64) -> Result<(), (usize, Fault)> {
        let changes = grid.changes;
        grid.live.idle_instructions = if changes == before { grid.live.idle_instructions + 1 } else { 0 };
        let limit = grid.watchdog.unwrap_or(DEFAULT_LIVE_WATCHDOG);
        if grid.live.idle_instructions > limit {
            let text = format!(
                "{limit} warp instructions were executed in which memory did not change and no warp started or ended. If \
                 the kernel is only long, raise the limit"
            );
            return Err((warp, Box::new(Cause::Stuck(text))));
        }
        let own = &self.state.warps[warp];
        let jumps_back = own.divergence.peek().is_some_and(|path| path.at <= at);
        if own.executed < self.look_at[warp] || !jumps_back {
            return Ok(());
        }
        self.look_at[warp] = own.executed + LOOK_EVERY;
        self.recurrences[warp].look(own.state_hash(), changes);
        if self.recurrences[warp].circles(changes) && self.counted_at[warp] != Some(changes) {
            self.counted_at[warp] = Some(changes);
            grid.live.found(changes);
        }
        if grid.live.is_stuck(changes) {
            let text = format!(
                "the warps that run ({}) come back to the same registers again and again, and none of them changes memory; no \
                 other block can start before one of these ends. A block that waits for another needs both resident at a time",
                grid.live.running
            );
            return Err((warp, Box::new(Cause::Stuck(text))));
        }
        Ok(())
    }

    /// Sets the recorded access aside; returns its number.
    fn keep_access(&mut self, grid: &Grid) -> u32 {
        let recorder = &grid.recorder;
        let mut access = recorder.accesses[0];
        let kept = &mut self.asynchronous;
        match access.kind {
            AccessKind::Mbarrier => {
                access.first_line = kept.mbarriers.len() as u32;
                kept.mbarriers.extend_from_slice(&recorder.mbarriers);
            }
            AccessKind::Bulk => {
                access.first_line = kept.bulk.len() as u32;
                let first_line = kept.lines.len() as u32;
                kept.bulk.extend(recorder.bulk.iter().map(|copy| BulkCopy { first_line, ..*copy }));
                kept.lines.extend_from_slice(&recorder.lines);
            }
            _ => {}
        }
        let slot = self.free.pop().unwrap_or_else(|| {
            self.accesses.push((access, Vec::new()));
            self.accesses.len() as u32 - 1
        });
        let (kept, lines) = &mut self.accesses[slot as usize];
        *kept = access;
        lines.clear();
        if access.kind != AccessKind::Bulk {
            lines.extend_from_slice(&recorder.lines);
        }
        slot
    }

    /// An access that was recorded and is still needed, and its lines.
    pub fn access(&self, number: u32) -> (&Access, &[Line]) {
        let (access, lines) = &self.accesses[number as usize];
        (access, lines)
    }

    /// What accesses of mbarriers and bulk copies refer to.
    pub fn asynchronous(&self) -> &CtaStream {
        &self.asynchronous
    }

    /// An access is no longer needed: its number may be given to another.
    pub fn forget_access(&mut self, number: u32) {
        self.free.push(number);
    }
}

fn mask_of(waiting: &[bool]) -> u32 {
    waiting.iter().enumerate().fold(0, |mask, (warp, waits)| mask | u32::from(*waits) << warp)
}
