//! A scoreboard in the place of control bits: hardware knows which registers have a result or a reader on its way.
//!
//! ```text
//!             R0 … R254   UR0 … UR62   P0 … P6   UP0 … UP6
//!  write bit  1  …  0      0  …         0  …      0  …      a result is on its way: nobody reads or writes the register
//!  readers    0  …  2      1  …         0  …      0  …      instructions behind queues that have not read it: nobody writes
//! ```
//!
//! Models: the alternative of arXiv 2503.20481 section 7.5. An instruction issues when none of its registers has its write bit
//! set, none that it writes has readers, and, if it will read late itself, none that it reads has as many readers as can be
//! counted. Results of fixed latency are known ahead: the bit falls when the result is first forwarded, and a reader that the
//! forwarding does not reach waits for the distance of the table; or both so many cycles later. Stall counts, yield and wait masks are not looked at.
//! Leaves out: what no register stands for. Groups of copies keep their counters, and those who wait for them their masks;
//! DEPBAR, barriers and multiplies of warpgroups work as they do with control bits.
//! Numbers: `[part.sm.issue.dependences]`. The canonical tests are `tests/scoreboard.rs`.

use super::hazard::{HazardRegister, HazardUse};
use super::spec::{Core, Dependences, MAX_WARPS, SmSpec};
use super::timing::{Effect, NO_UNIT, OpTiming, Route, WaitKind};
use workloads::sass::OpClass;
use workloads::sass::control::NO_COUNTER;

/// Stands where a counter's number does: the scoreboard holds the result. As a bit of the wait mask: the scoreboard is asked.
pub(crate) const BOARD: u8 = 6;
/// Stands where a counter's number does: the scoreboard counts the instruction among the readers of its sources.
pub(crate) const BOARD_SOURCES: u8 = 8;

/// Vector, uniform, predicate and uniform predicate registers of a warp.
const REGISTERS: usize = 256 + 64 + 8 + 8;

/// Takes the compiler's control fields out of a kernel and gives its registers to the scoreboard.
pub(crate) fn track(ops: &mut [OpTiming], uses: &[HazardUse], spec: &SmSpec) {
    // What these two count is in no register.
    let groups = ops.iter().fold(0u8, |groups, op| match op.effect {
        Effect::CopyBarrier => groups | 1 << op.write_counter,
        Effect::BulkFlush => groups | 1 << op.read_counter,
        _ => groups,
    });
    let counts_readers = matches!(spec.issue.dependences, Dependences::Scoreboard { write_after_read: true, .. });
    for (op, uses) in ops.iter_mut().zip(uses) {
        op.wait_mask = op.wait_mask & groups | 1 << BOARD;
        op.stall = match op.effect {
            // It blocks late; hardware has to keep the warp until then.
            Effect::CounterBarrier { .. } => spec.issue.depbar_cycles,
            Effect::WarpgroupBarrier { .. } => spec.warpgroup_tensor.map_or(1, |unit| unit.depbar_cycles),
            // Its counter has to be seen by the next.
            Effect::CopyBarrier | Effect::BulkFlush => spec.issue.counter_increment_cycles + 1,
            _ => 1,
        };
        if matches!(op.effect, Effect::CopyBarrier | Effect::BulkFlush) {
            continue;
        }
        let behind_queue = op.route != Route::Fixed && op.class != OpClass::WarpgroupTensor;
        // Behind collectors no latency is fixed.
        let pending = behind_queue || op.route == Route::Fixed && op.unit != NO_UNIT && spec.core == Core::AccelSim;
        if pending && !behind_queue {
            op.wait_kind = WaitKind::Fixed;
        }
        op.write_counter = if pending && uses.writes().next().is_some() { BOARD } else { NO_COUNTER };
        let counted = behind_queue && counts_readers && uses.reads().next().is_some();
        op.read_counter = if counted { BOARD_SOURCES } else { NO_COUNTER };
    }
}

/// A register as the scoreboard sees it.
#[derive(Clone, Copy, Debug, Default, serde::Serialize, serde::Deserialize)]
struct Register {
    /// Who wrote it last; meaningless before anybody has.
    producer: u32,
    issued: u64,
    state: Written,
    readers: u16,
}

/// The last result of a register.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
enum Written {
    #[default]
    Done,
    /// Of fixed latency: the distance tells when it can be read.
    Fixed,
    /// On its way for as long as it takes.
    Pending,
}

/// What keeps an instruction from issuing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hold {
    /// Results of fixed latency are there from this cycle on.
    pub until: u64,
    /// Something of unknown latency is in the way.
    pub pending: Option<WaitKind>,
}

/// The scoreboard of one sub-core.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub(crate) struct Scoreboard {
    /// By warp slot.
    registers: Vec<Register>,
    /// Readers of a register that can be counted.
    consumers: u16,
    /// Whether readers are counted.
    counts_readers: bool,
    clear_delay_cycles: u8,
}

fn place(warp: usize, register: HazardRegister) -> usize {
    warp * REGISTERS
        + match register {
            HazardRegister::Vector(number) => usize::from(number),
            HazardRegister::Uniform(number) => 256 + usize::from(number),
            HazardRegister::Predicate(number) => 320 + usize::from(number),
            HazardRegister::UniformPredicate(number) => 328 + usize::from(number),
        }
}

impl Scoreboard {
    /// `None`: control bits.
    pub fn new(spec: &Dependences) -> Option<Box<Self>> {
        let Dependences::Scoreboard { consumers, write_after_read, clear_delay_cycles } = *spec else { return None };
        Some(Box::new(Self {
            registers: vec![Register::default(); MAX_WARPS * REGISTERS],
            consumers: consumers.unwrap_or(u16::MAX),
            counts_readers: write_after_read,
            clear_delay_cycles,
        }))
    }

    /// A warp starts in a slot.
    pub fn reset(&mut self, warp: usize) {
        self.registers[warp * REGISTERS..(warp + 1) * REGISTERS].fill(Register::default());
    }

    /// Instruction `index` of a warp issues.
    pub fn issue(&mut self, now: u64, warp: usize, index: u32, op: &OpTiming, uses: &HazardUse) {
        let state = if op.write_counter == BOARD { Written::Pending } else { Written::Fixed };
        for register in uses.writes() {
            let register = &mut self.registers[place(warp, register)];
            *register = Register { producer: index, issued: now, state, readers: register.readers };
        }
        if self.counts_readers && op.read_counter == BOARD_SOURCES {
            uses.reads().for_each(|read| self.registers[place(warp, read.register)].readers += 1);
        }
    }

    /// The result of an instruction behind a queue is in its registers.
    pub fn written(&mut self, warp: usize, uses: &HazardUse) {
        for register in uses.writes() {
            self.registers[place(warp, register)].state = Written::Done;
        }
    }

    /// An instruction behind a queue has read its sources.
    pub fn read(&mut self, warp: usize, uses: &HazardUse) {
        if self.counts_readers {
            uses.reads().for_each(|read| self.registers[place(warp, read.register)].readers -= 1);
        }
    }

    /// What keeps instruction `index` of a warp.
    pub fn hold(&self, warp: usize, index: u32, ops: &[OpTiming], uses: &[HazardUse]) -> Hold {
        let own = &uses[index as usize];
        let reads_late = self.counts_readers && ops[index as usize].read_counter == BOARD_SOURCES;
        let mut hold = Hold { until: 0, pending: None };
        let mut waits_for = |register: &Register, distance: &dyn Fn(&HazardUse) -> u8| match register.state {
            Written::Done => {}
            Written::Fixed => {
                let distance = u64::from(distance(&uses[register.producer as usize]));
                hold.until = hold.until.max(register.issued + distance + u64::from(self.clear_delay_cycles));
            }
            Written::Pending => hold.pending = Some(ops[register.producer as usize].wait_kind),
        };
        let mut is_read = false;
        for read in own.reads() {
            let register = &self.registers[place(warp, read.register)];
            waits_for(register, &|producer| producer.distance(own, read).unwrap_or(0));
            is_read |= reads_late && register.readers >= self.consumers;
        }
        for written in own.writes() {
            let register = &self.registers[place(warp, written)];
            waits_for(register, &|producer| producer.forwarded_after(written));
            is_read |= register.readers > 0;
        }
        if is_read && hold.pending.is_none() {
            hold.pending = Some(WaitKind::Sources);
        }
        hold
    }
}
