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
//! Leaves out: time. A kernel that spins on another CTA is found out, one that computes with a clock is refused: those
//! need [`live`], which executes each instruction when a timing model issues it.
//! Numbers: IEEE 754 for floating point; PTX ISA for conversions, shuffles and NaN; see `mufu` for transcendental functions.
//! Start reading at [`Grid::run_cta`], then `warp.rs`; the canonical tests are `tests/opcodes_*.rs` and `tests/shipped.rs`.

// Loops over the 32 lanes index several arrays at once; written this way they become vector instructions.
#![allow(clippy::needless_range_loop)]

mod atomic;
mod banks;
mod bulk;
mod clock;
pub(crate) mod coalesce;
mod compare;
mod control;
mod convert;
mod copy;
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
pub mod live;
mod logic;
mod lower;
mod mbarrier;
mod memory;
mod mma;
mod mufu;
pub(super) mod narrow;
mod op;
mod simd;
mod special;
mod spin;
mod storage;
mod warp;
mod windows;

pub use counters::Counters;
pub use fault::{Cause, ExecError};
pub use special::Clocks;
pub use storage::{Buffer, GlobalMemory};

use super::error::SassError;
use super::kernel::Kernel;
use super::launch::{Argument, Init, Launch, Value};
use super::tensor_map::TensorMap;
use crate::stream::{CtaStream, DynamicOp, local_window};
use banks::ConstantBanks;
use coalesce::Recorder;
use divergence::{BarrierReduction, Divergence};
use fault::Fault;
use frame::{FULL, Frame};
use lower::Program;
use memory::Memories;
use special::Place;
use spin::{Circling, Recurrence};
use storage::{LocalMemory, SharedMemory};
use warp::{Stop, Tally, Warp};

/// Warp instructions after which a CTA that has not ended is given up: a second or two of computing, some hundred megabytes
/// of stream. A tile of a large matrix product takes about a million.
pub const DEFAULT_WATCHDOG: u64 = 20_000_000;
/// The same for all CTAs that execute live: warp instructions in which memory does not change and no warp starts or ends.
/// Minutes of simulation; a wait that changes no register either is found out much earlier.
pub const DEFAULT_LIVE_WATCHDOG: u64 = 100_000_000;

/// When the instructions of a grid take effect.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Values {
    /// A whole CTA when it is dispatched.
    #[default]
    Ahead,
    /// Each instruction when a timing model issues it: see [`live`].
    AtIssue,
}

/// A kernel on its way through a grid: memory, and the scratch of the CTA that runs.
#[derive(Debug)]
pub struct Grid {
    kernel: Kernel,
    grid: [u32; 3],
    block: [u32; 3],
    program: Program,
    banks: ConstantBanks,
    global: GlobalMemory,
    scratch: CtaState,
    tallies: Vec<Tally>,
    /// Counts what changed global or shared memory.
    changes: u64,
    watchdog: Option<u64>,
    /// Grid slot that the grid runs in.
    slot: u8,
    values: Values,
    live: Circling,
    recorder: Recorder<true>,
    /// Of each instruction: bit i = it writes predicate i of a frame. Only for execution at issue.
    predicates_written: Vec<u32>,
    /// Buffer for what a step executes.
    stepped: Vec<DynamicOp>,
    /// Of the last CTA: the next will hardly need more.
    lengths: Lengths,
}

/// How long the lists of a stream were.
#[derive(Clone, Debug, Default)]
struct Lengths {
    warps: Vec<usize>,
    accesses: usize,
    lines: usize,
}

/// What one CTA has of its own.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
struct CtaState {
    shared: SharedMemory,
    warps: Vec<Warp>,
}

// What all CTAs share. Ahead of time it is saved between two of them, when their own state is scratch that `begin_cta`
// clears; at issue each [`live::LiveCta`] is saved where it runs.
sim_core::saved!(Grid {
    state: changes, live;
    sized: tallies;
    parts: global;
    rebuilt: kernel, grid, block, program, banks, scratch, watchdog, slot, values, recorder, predicates_written, stepped,
        lengths;
});

impl Grid {
    /// Lowers the kernel, sets the buffers aside and fills them.
    ///
    /// # Errors
    /// The launch does not fit the kernel ([`Launch::fit`]), or an instruction is not understood: opcode, modifier or
    /// operand, with line and address.
    pub fn new(kernel: &Kernel, launch: &Launch) -> Result<Self, SassError> {
        Self::with_values(kernel, launch, Values::Ahead)
    }

    /// As [`Grid::new`], for a kernel whose values are computed ahead of time or at issue.
    ///
    /// # Errors
    /// As [`Grid::new`]; ahead of time also a kernel that computes with a clock.
    pub fn with_values(kernel: &Kernel, launch: &Launch, values: Values) -> Result<Self, SassError> {
        let mut memory = GlobalMemory::default();
        let mut grid = Self::beside(kernel, launch, values, &mut memory)?;
        grid.global = memory;
        Ok(grid)
    }

    /// A launch of a program whose launches share their memory: buffers of one name are one buffer. The memory is handed
    /// to the grid when it begins ([`Grid::give_memory`]).
    ///
    /// # Errors
    /// As [`Grid::with_values`], or a buffer has another size than an earlier launch gave it.
    pub fn beside(
        kernel: &Kernel,
        launch: &Launch,
        values: Values,
        global: &mut GlobalMemory,
    ) -> Result<Self, SassError> {
        launch.fit(kernel)?;
        let program = lower::lower(kernel)?;
        if values == Values::Ahead {
            clock::refuse_dependence(kernel)?;
        }
        let mut shared = |argument: &Argument, bytes: Vec<u8>| {
            let (name, size) = (argument.memory_name(), bytes.len());
            match global.buffer(name) {
                None => Ok(match &argument.value {
                    Value::Buffer { init: Init::Pointers { .. }, .. } => global.allocate_pointers(name, bytes),
                    _ => global.allocate(name, bytes),
                }),
                Some(buffer) if buffer.data.len() == size => Ok(buffer.address),
                Some(buffer) => {
                    let message = format!("buffer `{name}` has {size} bytes here and {} before", buffer.data.len());
                    Err(SassError::new(&launch.file, argument.line, message, "buffers of one name are one buffer"))
                }
            }
        };
        let arguments = launch.arguments.iter().map(|argument| match &argument.value {
            Value::Scalar(bytes) => Ok(bytes.clone()),
            Value::TensorMap { map, init } => {
                let address = shared(argument, init.bytes(argument.element, map.elements()))?;
                Ok(TensorMap { address, ..*map }.encode().to_vec())
            }
            Value::Buffer { count, init } => {
                Ok(shared(argument, init.bytes(argument.element, *count))?.to_le_bytes().to_vec())
            }
        });
        let arguments: Vec<Vec<u8>> = arguments.collect::<Result<_, SassError>>()?;
        let mut banks = ConstantBanks::new(kernel, launch, &arguments);
        for variable in &kernel.metadata.globals {
            let address = global.allocate(&variable.name, variable.contents.clone());
            variable.addresses.iter().for_each(|place| banks.set_address(*place, address));
        }
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
                leaving: false,
            })
            .collect();
        let shared = SharedMemory {
            base: kernel.metadata.shared_base_bytes,
            data: vec![0; launch.shared_window_bytes(kernel) as usize],
            mbarriers: std::collections::BTreeMap::new(),
        };
        let tallies = vec![Tally::default(); program.code.len()];
        let mut recorder = Recorder::default();
        if values == Values::AtIssue {
            recorder.begin(program.code.len(), Vec::new(), Vec::new());
        }
        Ok(Self {
            kernel: kernel.clone(),
            grid: launch.grid,
            block: launch.block,
            program,
            banks,
            global: GlobalMemory::default(),
            scratch: CtaState { shared, warps },
            tallies,
            changes: 0,
            watchdog: None,
            slot: 0,
            values,
            live: Circling::default(),
            recorder,
            predicates_written: match values {
                Values::Ahead => Vec::new(),
                Values::AtIssue => kernel.instructions.iter().map(live::predicates_written).collect(),
            },
            stepped: Vec::new(),
            lengths: Lengths::default(),
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

    /// The launch is over: its memory is the next one's.
    pub fn take_memory(&mut self) -> GlobalMemory {
        std::mem::take(&mut self.global)
    }

    /// The launch begins with this memory.
    pub fn give_memory(&mut self, memory: GlobalMemory) {
        self.global = memory;
    }

    /// Grids that run at the same time do so in different grid slots, which keeps their local memories apart.
    pub fn set_slot(&mut self, slot: u8) {
        self.slot = slot;
    }

    /// What was executed so far.
    pub fn counters(&self) -> Counters {
        Counters::of(&self.kernel.instructions, &self.tallies)
    }

    /// When the instructions take effect.
    pub fn values(&self) -> Values {
        self.values
    }

    /// Limit of warp instructions that one CTA may execute ([`DEFAULT_WATCHDOG`]); at issue, of those that all CTAs may
    /// execute without progress ([`DEFAULT_LIVE_WATCHDOG`]).
    pub fn set_watchdog(&mut self, warp_instructions: u64) {
        self.watchdog = Some(warp_instructions);
    }

    /// Executes one CTA and records what its warps did. `stream` is cleared; its buffers are kept for reuse.
    /// Call for 0, 1, 2 … : the CTAs see the memory that those before them left.
    ///
    /// # Errors
    /// [`ExecError`] with instruction, block and warp. Memory then holds what was stored so far.
    pub fn run_cta(&mut self, index: u32, stream: &mut CtaStream) -> Result<(), ExecError> {
        self.run::<true>(index, stream, None).map(|_| ())
    }

    /// As [`Grid::run_cta`]; gives the addresses of every access by lane. Lanes that do not take part hold anything.
    ///
    /// # Errors
    /// As [`Grid::run_cta`].
    pub fn run_cta_with_addresses(&mut self, index: u32, stream: &mut CtaStream) -> Result<Vec<[u64; 32]>, ExecError> {
        self.run::<true>(index, stream, Some(Vec::new())).map(Option::unwrap_or_default)
    }

    /// As [`Grid::run_cta`] for values only.
    ///
    /// # Errors
    /// As [`Grid::run_cta`].
    pub fn run_cta_without_stream(&mut self, index: u32) -> Result<(), ExecError> {
        self.run::<false>(index, &mut CtaStream::default(), None).map(|_| ())
    }

    fn run<const RECORD: bool>(
        &mut self,
        index: u32,
        stream: &mut CtaStream,
        kept: Option<Vec<[u64; 32]>>,
    ) -> Result<Option<Vec<[u64; 32]>>, ExecError> {
        let mut state = std::mem::replace(&mut self.scratch, CtaState::nothing());
        self.begin_cta(index, &mut state);
        stream.warps.resize_with(state.warps.len(), Vec::new);
        stream.warps.iter_mut().for_each(Vec::clear);
        stream.accesses.clear();
        stream.lines.clear();
        stream.mbarriers.clear();
        stream.bulk.clear();
        let mut recorder = Recorder::<RECORD>::default();
        recorder.kept = kept;
        if RECORD {
            self.lengths.reserve(stream);
            recorder.shapes = std::mem::take(&mut self.recorder.shapes);
        }
        let (accesses, lines) = (std::mem::take(&mut stream.accesses), std::mem::take(&mut stream.lines));
        (recorder.mbarriers, recorder.bulk) = (std::mem::take(&mut stream.mbarriers), std::mem::take(&mut stream.bulk));
        recorder.begin(self.program.code.len(), accesses, lines);
        let outcome = self.run_warps(&mut state, &mut recorder, &mut stream.warps);
        stream.accesses = recorder.accesses;
        stream.lines = recorder.lines;
        (stream.mbarriers, stream.bulk) = (recorder.mbarriers, recorder.bulk);
        if RECORD {
            self.lengths = Lengths::of(stream);
            self.recorder.shapes = recorder.shapes;
        }
        let outcome = outcome.map_err(|(warp, fault)| self.error(warp, state.warps[warp].at, fault, index));
        self.scratch = state;
        outcome.map(|()| recorder.kept)
    }

    fn begin_cta(&self, index: u32, state: &mut CtaState) {
        let threads: u32 = self.block.iter().product();
        let cta = self.cta_position(index);
        let constants = usize::from(self.program.first_constant);
        state.shared.data.fill(0);
        state.shared.mbarriers.clear();
        for (number, warp) in (0u32..).zip(&mut state.warps) {
            let lanes = (threads - 32 * number).min(32);
            warp.frame.words[..constants].fill([0; 32]);
            warp.frame.predicates[..7].fill(0);
            warp.frame.predicates[8..15].fill(0);
            warp.divergence.reset(FULL >> (32 - lanes));
            warp.local.words.fill([0; 32]);
            warp.place = Place { first_thread: 32 * number, block: self.block, cta, ..Place::default() };
            warp.executed = 0;
            warp.at = 0;
            warp.leaving = false;
        }
        let stack = 32 * u64::from(banks::stack_bytes(&self.kernel));
        for (number, warp) in (0u64..).zip(&mut state.warps) {
            warp.local_base =
                local_window(self.slot) + (u64::from(index) * u64::from(threads.div_ceil(32)) + number) * stack;
        }
    }

    /// Runs the warps by number, each until it waits, until all have ended.
    fn run_warps<const RECORD: bool>(
        &mut self,
        state: &mut CtaState,
        recorder: &mut Recorder<RECORD>,
        streams: &mut [Vec<DynamicOp>],
    ) -> Result<(), (usize, Fault)> {
        let watchdog = self.watchdog.unwrap_or(DEFAULT_WATCHDOG);
        let Self { program, banks, global, tallies, changes, .. } = self;
        let CtaState { shared, warps } = state;
        let mut memories = Memories { global, shared, banks, recorder, changes };
        let mut waiting = vec![false; warps.len()];
        let mut recurrences = vec![Recurrence::default(); warps.len()];
        loop {
            let executed_before: u64 = warps.iter().map(|warp| warp.executed).sum();
            let mut sliced = vec![false; warps.len()];
            for (number, warp) in warps.iter_mut().enumerate() {
                if waiting[number] {
                    continue;
                }
                let stop = warp.run(program, tallies, &mut memories, &mut streams[number]);
                let stop = stop.map_err(|fault| (number, fault))?;
                waiting[number] = matches!(stop, Stop::Finished | Stop::Barrier);
                sliced[number] = stop == Stop::Slice;
            }
            let executed: u64 = warps.iter().map(|warp| warp.executed).sum();
            let running = || waiting.iter().position(|waits| !waits);
            if executed > watchdog {
                return Err((running().unwrap_or(0), Box::new(Cause::Watchdog { executed })));
            }
            // Who has used up its slice runs on. If none of those gets anywhere now, nobody ever will.
            let mut goes_on = sliced.contains(&true);
            let mut circling = goes_on;
            for (number, (warp, recurrence)) in warps.iter().zip(&mut recurrences).enumerate() {
                if sliced[number] {
                    recurrence.look(warp.state_hash(), *memories.changes);
                    circling &= recurrence.circles(*memories.changes);
                }
            }
            if let Some(spinning) = sliced.iter().position(|sliced| *sliced).filter(|_| circling) {
                return Err((spinning, Box::new(Cause::Spin)));
            }
            // A warp that waits for a phase may find it over when another one has run.
            goes_on |= release_barriers(warps, &mut waiting);
            goes_on |= executed > executed_before && waiting.contains(&false);
            if !goes_on {
                return match warps.iter().position(|warp| warp.divergence.live != 0) {
                    None => Ok(()),
                    Some(stuck) => Err((stuck, Box::new(Cause::BarrierDeadlock(describe_deadlock(warps))))),
                };
            }
        }
    }

    fn error(&self, warp: usize, at: u32, cause: Fault, index: u32) -> ExecError {
        let at = at as usize;
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

impl Lengths {
    fn of(stream: &CtaStream) -> Self {
        let warps = stream.warps.iter().map(Vec::len).collect();
        Self { warps, accesses: stream.accesses.len(), lines: stream.lines.len() }
    }

    /// Lists that grow are copied, and take up to twice their length.
    fn reserve(&self, stream: &mut CtaStream) {
        for (list, &length) in stream.warps.iter_mut().zip(&self.warps) {
            list.reserve_exact(length);
        }
        stream.accesses.reserve_exact(self.accesses);
        stream.lines.reserve_exact(self.lines);
    }
}

impl CtaState {
    /// Holds the place of a state that is elsewhere.
    fn nothing() -> Self {
        Self { shared: SharedMemory::default(), warps: Vec::new() }
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
        let is_whole = |warp: &Warp| warp.divergence.live & !parked(warp).0 == 0;
        // All threads of the block that have not exited, or as many warps as were asked for.
        let complete = match wanted {
            0 => warps.iter().all(|warp| is_whole(warp) && !warp.leaving),
            threads => warps.iter().all(|warp| parked(warp).0 == 0 || is_whole(warp)) && 32 * arrived >= threads,
        };
        if complete {
            released = true;
            let result = reduce(warps, barrier);
            for (warp, waiting) in warps.iter_mut().zip(waiting.iter_mut()) {
                if parked(warp).0 != 0 {
                    warp.divergence.unpark(barrier, result);
                    *waiting = false;
                }
            }
        }
    }
    released
}

/// What a complete barrier computes from the predicates that came to it; nothing if none was asked for.
fn reduce(warps: &[Warp], barrier: u8) -> Option<(u32, bool)> {
    let parked = || warps.iter().flat_map(|warp| &warp.divergence.parked).filter(|parked| parked.barrier == barrier);
    let (reduction, _) = parked().find_map(|parked| parked.reduction)?;
    let votes = parked().filter_map(|parked| parked.reduction).map(|(_, votes)| votes.count_ones()).sum();
    let threads: u32 = parked().map(|parked| parked.path.lanes.count_ones()).sum();
    let holds = match reduction {
        BarrierReduction::Count | BarrierReduction::Any => votes > 0,
        BarrierReduction::All => votes == threads,
    };
    Some((if reduction == BarrierReduction::Count { votes } else { holds.into() }, holds))
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
    for (number, warp) in warps.iter().enumerate() {
        for divergence::Path { at, lanes } in &warp.divergence.polling {
            text +=
                &format!(" warp {number} waits for the phase of an mbarrier ({:#06x}) with lanes {lanes:#x};", 16 * at);
        }
    }
    text.pop();
    text
}
