//! Functional execution of a kernel, a CTA at a time, without a GPU.
//!
//! ```text
//!  instructions ─▶ lower ─▶ micro-ops ┐
//!  launch ─▶ constant banks, buffers ─┴▶ Grid::run_cta ─▶ warps, each until it waits ─▶ CtaStream, memory
//!                                              ▲                    │
//!                                              └──── barriers ◀─────┘
//! ```
//!
//! Models: values of every opcode it accepts, divergence, barriers, all memories, in an order that depends on nothing but
//! the program and its data: CTAs in dispatch order (x fastest), within one the warps by number from barrier to barrier.
//! Leaves out: time. A kernel that spins on another CTA is stopped by a limit on executed instructions; one that
//! computes with a clock is refused.
//! Numbers: IEEE 754 for floating point; PTX ISA for conversions, shuffles and NaN; see `mufu` for transcendental functions.
//! Start reading at [`Grid::run_cta`], then `warp.rs`; the canonical tests are `tests/opcodes_*.rs` and `tests/shipped.rs`.

// Loops over the 32 lanes index several arrays at once; written this way they become vector instructions.
#![allow(clippy::needless_range_loop)]

mod atomic;
mod banks;
mod clock;
pub(crate) mod coalesce;
mod compare;
mod control;
mod convert;
mod counters;
mod crosslane;
mod divergence;
mod double;
mod fault;
mod float;
mod frame;
mod half;
mod ieee;
mod integer;
mod logic;
mod lower;
mod memory;
mod mufu;
mod op;
mod special;
mod storage;
mod warp;

pub use counters::Counters;
pub use fault::{Cause, ExecError};
pub use storage::{Buffer, GlobalMemory};

use super::error::SassError;
use super::kernel::Kernel;
use super::launch::{Launch, Value};
use crate::stream::CtaStream;
use banks::ConstantBanks;
use coalesce::Recorder;
use divergence::Divergence;
use fault::Fault;
use frame::{FULL, Frame};
use lower::Program;
use memory::Memories;
use special::Place;
use storage::{LocalMemory, SharedMemory};
use warp::{Stop, Tally, Warp};

/// Warp instructions after which a CTA that has not ended is given up: some seconds of computing, some hundred megabytes
/// of stream. A tile of a large matrix product takes about a million.
pub const DEFAULT_WATCHDOG: u64 = 20_000_000;

/// Where local memory lies for the coalescer: away from all buffers.
const LOCAL_WINDOW: u64 = 0x1_0000_0000;

/// A kernel on its way through a grid: memory, and the scratch of the CTA that runs.
#[derive(Debug)]
pub struct Grid {
    kernel: Kernel,
    grid: [u32; 3],
    block: [u32; 3],
    program: Program,
    banks: ConstantBanks,
    global: GlobalMemory,
    shared: SharedMemory,
    warps: Vec<Warp>,
    tallies: Vec<Tally>,
    watchdog: u64,
}

impl Grid {
    /// Lowers the kernel, sets the buffers aside and fills them.
    ///
    /// # Errors
    /// The launch does not fit the kernel ([`Launch::fit`]), or an instruction is not understood: opcode, modifier or
    /// operand, with line and address.
    pub fn new(kernel: &Kernel, launch: &Launch) -> Result<Self, SassError> {
        launch.fit(kernel)?;
        let program = lower::lower(kernel)?;
        let mut global = GlobalMemory::default();
        let arguments: Vec<Vec<u8>> = launch
            .arguments
            .iter()
            .map(|argument| match &argument.value {
                Value::Scalar(bytes) => bytes.clone(),
                Value::Buffer { count, init } => {
                    global.allocate(&argument.name, init.bytes(argument.element, *count)).to_le_bytes().to_vec()
                }
            })
            .collect();
        let banks = ConstantBanks::new(kernel, launch, &arguments);
        let mut frame = Frame::new(program.frame_words);
        for (index, word) in program.constants.iter().enumerate() {
            frame.words[usize::from(program.first_constant) + index] = [banks.word(*word); 32];
        }
        let local = LocalMemory { words: vec![[0; 32]; banks::stack_bytes(kernel) as usize / 4] };
        let warps = (0..launch.warps_per_block())
            .map(|_| Warp {
                frame: frame.clone(),
                divergence: Divergence::default(),
                local: local.clone(),
                local_base: 0,
                place: Place { block: launch.block, ..Place::default() },
                executed: 0,
                at: 0,
            })
            .collect();
        let shared = SharedMemory {
            base: kernel.metadata.shared_base_bytes,
            data: vec![0; launch.shared_bytes(kernel) as usize],
        };
        let tallies = vec![Tally::default(); program.code.len()];
        Ok(Self {
            kernel: kernel.clone(),
            grid: launch.grid,
            block: launch.block,
            program,
            banks,
            global,
            shared,
            warps,
            tallies,
            watchdog: DEFAULT_WATCHDOG,
        })
    }

    pub fn kernel(&self) -> &Kernel {
        &self.kernel
    }

    /// CTAs of the grid.
    pub fn cta_count(&self) -> u64 {
        self.grid.iter().map(|&side| u64::from(side)).product()
    }

    /// Block index in x, y, z of the CTA dispatched as number `index`: x runs fastest.
    pub fn cta_position(&self, index: u32) -> [u32; 3] {
        let [x, y, _] = self.grid;
        [index % x, index / x % y, index / x / y]
    }

    /// Global memory as it is now.
    pub fn memory(&self) -> &GlobalMemory {
        &self.global
    }

    /// What was executed so far.
    pub fn counters(&self) -> Counters {
        Counters::of(&self.kernel.instructions, &self.tallies)
    }

    /// Limit of warp instructions that one CTA may execute.
    pub fn set_watchdog(&mut self, warp_instructions: u64) {
        self.watchdog = warp_instructions;
    }

    /// Executes one CTA and records what its warps did. `stream` is cleared; its buffers are kept for reuse.
    /// Call for 0, 1, 2 … : the CTAs see the memory that those before them left.
    ///
    /// # Errors
    /// [`ExecError`] with instruction, block and warp. Memory then holds what was stored so far.
    pub fn run_cta(&mut self, index: u32, stream: &mut CtaStream) -> Result<(), ExecError> {
        self.run::<true>(index, stream)
    }

    /// As [`Grid::run_cta`] for values only.
    ///
    /// # Errors
    /// As [`Grid::run_cta`].
    pub fn run_cta_without_stream(&mut self, index: u32) -> Result<(), ExecError> {
        self.run::<false>(index, &mut CtaStream::default())
    }

    fn run<const RECORD: bool>(&mut self, index: u32, stream: &mut CtaStream) -> Result<(), ExecError> {
        self.begin_cta(index);
        stream.warps.resize_with(self.warps.len(), Vec::new);
        stream.warps.iter_mut().for_each(Vec::clear);
        stream.accesses.clear();
        stream.lines.clear();
        let mut recorder = Recorder::<RECORD>::default();
        let (accesses, lines) = (std::mem::take(&mut stream.accesses), std::mem::take(&mut stream.lines));
        recorder.begin(self.program.code.len(), accesses, lines);
        let outcome = self.run_warps(&mut recorder, &mut stream.warps);
        stream.accesses = recorder.accesses;
        stream.lines = recorder.lines;
        outcome.map_err(|(warp, fault)| self.error(warp, fault, index))
    }

    fn begin_cta(&mut self, index: u32) {
        let threads: u32 = self.block.iter().product();
        let cta = self.cta_position(index);
        let constants = usize::from(self.program.first_constant);
        self.shared.data.fill(0);
        for (number, warp) in (0u32..).zip(&mut self.warps) {
            let lanes = (threads - 32 * number).min(32);
            warp.frame.words[..constants].fill([0; 32]);
            warp.frame.predicates[..7].fill(0);
            warp.frame.predicates[8..15].fill(0);
            warp.divergence.reset(FULL >> (32 - lanes));
            warp.local.words.fill([0; 32]);
            warp.place = Place { first_thread: 32 * number, block: self.block, cta };
            warp.executed = 0;
            warp.at = 0;
        }
        let stack = 32 * u64::from(banks::stack_bytes(&self.kernel));
        for (number, warp) in (0u64..).zip(&mut self.warps) {
            warp.local_base = LOCAL_WINDOW + (u64::from(index) * u64::from(threads.div_ceil(32)) + number) * stack;
        }
    }

    /// Runs the warps by number, each until it waits, until all have ended.
    fn run_warps<const RECORD: bool>(
        &mut self,
        recorder: &mut Recorder<RECORD>,
        streams: &mut [Vec<crate::stream::DynamicOp>],
    ) -> Result<(), (usize, Fault)> {
        let Self { program, banks, global, shared, warps, tallies, watchdog, .. } = self;
        let mut memories = Memories { global, shared, banks, recorder };
        let mut waiting = vec![false; warps.len()];
        loop {
            let mut all_wait = true;
            for (number, warp) in warps.iter_mut().enumerate() {
                if waiting[number] {
                    continue;
                }
                let stop = warp.run(program, tallies, &mut memories, &mut streams[number]);
                waiting[number] = stop.map_err(|fault| (number, fault))? != Stop::Slice;
                all_wait &= waiting[number];
            }
            let executed: u64 = warps.iter().map(|warp| warp.executed).sum();
            if executed > *watchdog {
                let spinning = waiting.iter().position(|waits| !waits).unwrap_or(0);
                return Err((spinning, Box::new(Cause::Watchdog { executed })));
            }
            let released = release_barriers(warps, &mut waiting);
            if all_wait && !released {
                return match warps.iter().position(|warp| warp.divergence.live != 0) {
                    None => Ok(()),
                    Some(stuck) => Err((stuck, Box::new(Cause::BarrierDeadlock(describe_deadlock(warps))))),
                };
            }
        }
    }

    fn error(&self, warp: usize, cause: Fault, index: u32) -> ExecError {
        let at = self.warps[warp].at as usize;
        let instruction = self.kernel.instructions.get(at).or(self.kernel.instructions.last());
        ExecError {
            kernel: self.kernel.name.clone(),
            file: self.kernel.file.clone(),
            line: instruction.map_or(0, |instruction| instruction.line),
            pc: 16 * at as u32,
            text: instruction.map_or_else(String::new, |instruction| instruction.text.trim().to_owned()),
            cta: self.cta_position(index),
            warp: warp as u32,
            cause,
        }
    }
}

/// Lets the warps of complete barriers go on; whether there was one.
fn release_barriers(warps: &mut [Warp], waiting: &mut [bool]) -> bool {
    let mut released = false;
    for barrier in 0..16 {
        let parked = |warp: &Warp| -> (u32, u32) {
            let mine = warp.divergence.parked.iter().filter(|parked| parked.barrier == barrier);
            mine.fold((0, 0), |(lanes, threads), parked| (lanes | parked.path.lanes, threads.max(parked.threads)))
        };
        let arrived = warps.iter().filter(|warp| parked(warp).0 != 0).count() as u32;
        if arrived == 0 {
            continue;
        }
        let wanted = warps.iter().map(|warp| parked(warp).1).max().unwrap_or(0);
        // All threads of the block that have not exited, or as many warps as were asked for.
        let complete = match wanted {
            0 => warps.iter().all(|warp| parked(warp).0 == warp.divergence.live),
            threads => {
                let whole =
                    warps.iter().all(|warp| matches!(parked(warp).0, 0) || parked(warp).0 == warp.divergence.live);
                whole && 32 * arrived >= threads
            }
        };
        if complete {
            released = true;
            for (warp, waiting) in warps.iter_mut().zip(waiting.iter_mut()) {
                if parked(warp).0 != 0 {
                    warp.divergence.unpark(barrier);
                    *waiting = false;
                }
            }
        }
    }
    released
}

fn describe_deadlock(warps: &[Warp]) -> String {
    let mut text = "the block is deadlocked at its barriers:".to_owned();
    for (number, warp) in warps.iter().enumerate().filter(|(_, warp)| warp.divergence.live != 0) {
        let live = warp.divergence.live;
        for parked in &warp.divergence.parked {
            let (at, lanes) = (16 * (parked.path.at - 1), parked.path.lanes);
            text += &format!(
                " warp {number} waits at barrier {} ({at:#06x}) with lanes {lanes:#x} of {live:#x};",
                parked.barrier
            );
        }
    }
    text.pop();
    text
}
