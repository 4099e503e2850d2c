//! What an instruction reads and writes, and which kind of unit executes it: all that a timing model must know of it.
//!
//! ```text
//!  IMAD.WIDE R2, R0.reuse, R3, c[0x0][0x160]      class ImadWide, writes R2..R3
//!               slot 0     slot 1  slot 2         slot 0 = R0 (kept), slot 1 = R3, constant bank 0 offset 0x160
//! ```
//!
//! An *operand slot* is the place among the source operands, predicates left out; the reuse flags of the control field
//! count the same way (`tests/uses.rs` checks this over every shipped listing). A single source that the encoding puts
//! into the second operand field (`MOV`) is slot 1; the second source of a sum of two (`FADD`) is slot 2.
//!
//! Sources: operand order and widths from the CUDA binary utilities' listings; which results are protected by dependence
//! counters from the control fields in those listings.

use super::instruction::{Instruction, MemoryOperand, Operand, PT, RZ, RegisterFile, URZ};
use super::opcodes::{Shape, adds_in_slot_2, shape_of};

/// Operand slots with a register-file-cache entry.
pub const SLOTS: usize = 3;

/// Consecutive vector registers; none when `count` is 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    pub first: u8,
    pub count: u8,
}

impl Span {
    /// `count` registers from `number` on; RZ is no register.
    pub fn of(number: u8, count: u8) -> Self {
        if number == RZ { Self::default() } else { Self { first: number, count } }
    }

    pub fn is_empty(self) -> bool {
        self.count == 0
    }

    /// The registers, in order; those past R254 do not exist and are left out.
    pub fn registers(self) -> impl Iterator<Item = u8> {
        let last = u16::from(self.first) + u16::from(self.count);
        (u16::from(self.first)..last.min(u16::from(RZ))).map(|number| number as u8)
    }
}

/// The kind of unit that executes an instruction, as far as timing can tell kinds apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub enum OpClass {
    /// Occupies an issue slot and nothing else: NOP, convergence barriers, YIELD.
    Nop,
    /// BRA, CALL, RET, BRX, JMP.
    Branch,
    Exit,
    /// Integer, logic, shift, move; CS2R.
    Alu,
    /// Compare, select, minimum: on sm_120 apart from the other ALU operations.
    AluCompare,
    /// Additions of pairs (IADD.64).
    AluWide,
    /// FADD, FMUL, FFMA.
    Fp32,
    /// IMAD with a 32-bit result, IDP, VIADD.
    Imad,
    /// IMAD.WIDE, IMAD.HI.
    ImadWide,
    /// HADD2, HMUL2, HFMA2.
    Half,
    HalfMinMax,
    /// HFMA2.MMA: half arithmetic in a pipe of its own.
    HalfMma,
    /// Transcendentals, conversions, bit counts: result protected by a counter.
    Xu,
    Fp64,
    /// Warp-level matrix multiply (HMMA, IMMA, DMMA).
    Tensor,
    /// Uniform datapath.
    Uniform,
    /// ULDC, UMOV: a constant into a uniform register.
    UniformLoad,
    /// VOTE, VOTEU: predicates of all lanes into a register.
    Vote,
    /// S2R, S2UR: result protected by a counter.
    SpecialRegister,
    /// REDUX, MATCH: across lanes, result protected by a counter.
    WarpReduce,
    /// R2UR.
    ToUniform,
    Shuffle,
    /// LDC, LDCU.
    LoadConstant,
    LoadGlobal,
    StoreGlobal,
    /// ATOMG, ATOM: with a result.
    AtomicGlobal,
    /// RED, REDG: without.
    ReductionGlobal,
    LoadShared,
    StoreShared,
    /// LDSM: 8×8 matrices from shared memory; `access_bytes` is 4 for each.
    LoadMatrix,
    /// STSM.
    StoreMatrix,
    AtomicShared,
    /// LDGSTS.
    CopyGlobalToShared,
    /// LDGDEPBAR: counts earlier LDGSTS.
    CopyBarrier,
    LoadLocal,
    StoreLocal,
    /// BAR: barrier of the block.
    Barrier,
    /// MEMBAR, ERRBAR, CGAERRBAR, CCTL.
    MemoryBarrier,
    /// DEPBAR: waits for dependence counters.
    CounterBarrier,
    /// SYNCS: barriers in shared memory that count arrivals and bytes.
    Mbarrier,
    /// UTMALDG, UTMASTG, UBLKCP: bulk copies, and UTMAPF, UTMACCTL, which prefetch for them.
    BulkCopy,
    /// UTMACMDFLUSH: counts earlier bulk stores.
    BulkFlush,
    /// HGMMA, QGMMA, IGMMA: matrix multiply of a warpgroup. Its result is waited for by WARPGROUP.DEPBAR, so it writes no registers here.
    WarpgroupTensor,
    /// WARPGROUP.DEPBAR.
    WarpgroupBarrier,
}

impl OpClass {
    /// Goes through the local memory queue.
    pub fn is_memory(self) -> bool {
        use OpClass::*;
        matches!(
            self,
            Shuffle
                | LoadConstant
                | LoadGlobal
                | StoreGlobal
                | AtomicGlobal
                | ReductionGlobal
                | LoadShared
                | StoreShared
                | LoadMatrix
                | StoreMatrix
                | AtomicShared
                | CopyGlobalToShared
                | LoadLocal
                | StoreLocal
                | Mbarrier
                | BulkCopy
        )
    }
}

/// A word of constant space as a source operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConstantUse {
    pub bank: u8,
    pub offset_bytes: i32,
    /// The offset is added to a register.
    pub indexed: bool,
}

/// Shape of a matrix multiply, for its latency: `16816` of `HMMA.16816.F32`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorShape {
    pub mnemonic: String,
    pub shape: String,
    /// Of the warp: m × 8 × k.
    pub multiply_adds: u32,
    /// Element type of A, where the mnemonic names one (`TF32`, `BF16`, `S8` …).
    pub element: Option<String>,
    /// Type of C and D, where the mnemonic names one (`F32`, `F16`).
    pub accumulator: Option<String>,
}

/// What an instruction reads and writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uses {
    pub class: OpClass,
    /// Vector registers read, by operand slot.
    pub slots: [Span; SLOTS],
    /// Vector registers written.
    pub written: Span,
    /// Bit i: predicate Pi is read as the guard.
    pub guard: u8,
    /// Bit i: predicate Pi is read as an operand.
    pub predicates_read: u8,
    pub predicates_written: u8,
    /// Bit i: uniform register URi.
    pub uniform_read: u64,
    pub uniform_written: u64,
    /// Uniform registers read as a memory descriptor.
    pub descriptor_read: u64,
    pub uniform_guard: u8,
    pub uniform_predicates_read: u8,
    pub uniform_predicates_written: u8,
    pub constant: Option<ConstantUse>,
    /// Bytes a lane of a memory access; 4 where the instruction has none.
    pub access_bytes: u8,
    /// The address does not depend on a vector register.
    pub uniform_address: bool,
    pub tensor: Option<TensorShape>,
}

/// An instruction whose registers are not known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, address {pc:#06x}: `{text}`: {problem}")]
pub struct UsesError {
    pub line: u32,
    pub pc: u32,
    pub text: String,
    pub problem: String,
}

impl Uses {
    /// Reads the uses off an instruction.
    ///
    /// # Errors
    /// [`UsesError`] for an opcode or operand that is not known; it names line, address and what was not understood.
    pub fn of(instruction: &Instruction) -> Result<Self, UsesError> {
        let error = |problem: String| UsesError {
            line: instruction.line,
            pc: instruction.pc,
            text: instruction.text.clone(),
            problem,
        };
        let shape = shape_of(instruction).map_err(error)?;
        Reader::new(shape, &instruction.mnemonic).read(instruction).map_err(error)
    }
}

/// Walks over the operands: destinations first, then sources by slot.
struct Reader {
    shape: Shape,
    uses: Uses,
    slot: usize,
    adds_in_slot_2: bool,
}

impl Reader {
    fn new(shape: Shape, mnemonic: &str) -> Self {
        let uses = Uses {
            class: shape.class,
            slots: [Span::default(); SLOTS],
            written: Span::default(),
            guard: 0,
            predicates_read: 0,
            predicates_written: 0,
            uniform_read: 0,
            uniform_written: 0,
            descriptor_read: 0,
            uniform_guard: 0,
            uniform_predicates_read: 0,
            uniform_predicates_written: 0,
            constant: None,
            access_bytes: shape.access_bytes,
            uniform_address: false,
            tensor: shape.tensor.clone(),
        };
        Self { slot: shape.first_slot, adds_in_slot_2: adds_in_slot_2(mnemonic), shape, uses }
    }

    fn read(mut self, instruction: &Instruction) -> Result<Uses, String> {
        if let Some(guard) = instruction.guard
            && guard.number != PT
        {
            if guard.uniform {
                self.uses.uniform_guard = 1 << guard.number
            } else {
                self.uses.guard = 1 << guard.number
            }
        }
        let destinations = self.destinations(&instruction.operands)?;
        let mut immediate_pair = false;
        for operand in &instruction.operands[destinations..] {
            let immediate = matches!(operand, Operand::Integer(_) | Operand::Float(_));
            // HFMA2 prints the two halves of an immediate as two operands of one slot.
            if immediate && immediate_pair && self.shape.packed_immediates {
                immediate_pair = false;
                continue;
            }
            immediate_pair = immediate && !immediate_pair;
            self.source(operand)?;
        }
        // The accumulators are waited for by other means than registers.
        if self.shape.class == OpClass::WarpgroupTensor {
            self.uses.written = Span::default();
        }
        if self.shape.reads_all_predicates {
            // P2R R0, PR, RZ, 0x8: those of the mask.
            self.uses.predicates_read = match instruction.operands.last() {
                Some(Operand::Integer(mask @ 1..=0x7f)) => *mask as u8,
                _ => 0x7f,
            };
        }
        Ok(self.uses)
    }

    /// Records the destinations; how many operands they are.
    fn destinations(&mut self, operands: &[Operand]) -> Result<usize, String> {
        let mut at = 0;
        let mut predicates = self.shape.predicate_destinations;
        while let Some(Operand::Predicate(_)) = operands.get(at).filter(|_| predicates > 0) {
            self.write_predicate(&operands[at]);
            predicates -= 1;
            at += 1;
        }
        if self.shape.written_registers == 0 {
            return Ok(at);
        }
        match operands.get(at) {
            Some(Operand::Register(register)) => match register.file {
                RegisterFile::Vector => self.uses.written = Span::of(register.number, self.shape.written_registers),
                RegisterFile::Uniform => {
                    self.uses.uniform_written = uniform_mask(register.number, self.shape.written_registers)
                }
            },
            // R2P PR, R0: all predicates.
            Some(Operand::Name(name)) if name == "PR" => self.uses.predicates_written = 0x7f,
            _ => return Err("a destination register should stand first".to_owned()),
        }
        at += 1;
        while let Some(Operand::Predicate(_)) = operands.get(at).filter(|_| predicates > 0) {
            self.write_predicate(&operands[at]);
            predicates -= 1;
            at += 1;
        }
        Ok(at)
    }

    fn write_predicate(&mut self, operand: &Operand) {
        if let Operand::Predicate(predicate) = operand
            && predicate.number != PT
        {
            let mask = 1 << predicate.number;
            if predicate.uniform {
                self.uses.uniform_predicates_written |= mask;
            } else {
                self.uses.predicates_written |= mask;
            }
        }
    }

    fn source(&mut self, operand: &Operand) -> Result<(), String> {
        let slot = self.slot;
        match operand {
            Operand::Predicate(predicate) => {
                if predicate.number != PT {
                    let mask = 1 << predicate.number;
                    if predicate.uniform {
                        self.uses.uniform_predicates_read |= mask;
                    } else {
                        self.uses.predicates_read |= mask;
                    }
                }
                return Ok(());
            }
            Operand::Register(register) => {
                let wide = if register.has_suffix("64") { 2 } else { 1 };
                let count = self.shape.source_registers.get(slot).copied().unwrap_or(1).max(wide);
                match register.file {
                    // The fourth source of a sparse multiply: its metadata, read like the accumulators.
                    RegisterFile::Vector if slot == SLOTS && self.shape.class == OpClass::WarpgroupTensor => {}
                    RegisterFile::Vector => self.take_slot(Span::of(register.number, count))?,
                    RegisterFile::Uniform => self.uses.uniform_read |= uniform_mask(register.number, count),
                }
            }
            Operand::Memory(memory) => self.address(memory)?,
            // Two descriptors unless a register holds A.
            Operand::MatrixDescriptor(first) => {
                self.uses.descriptor_read |= uniform_mask(first.number, if slot == 0 { 4 } else { 2 });
            }
            Operand::Constant(constant) => {
                match constant.index {
                    Some((RegisterFile::Vector, number)) => self.take_slot(Span::of(number, 1))?,
                    Some((RegisterFile::Uniform, number)) => self.uses.uniform_read |= uniform_mask(number, 1),
                    None => {}
                }
                let indexed = constant.index.is_some();
                self.uses.uniform_address |= !matches!(constant.index, Some((RegisterFile::Vector, _)));
                self.uses.constant = Some(ConstantUse { bank: constant.bank, offset_bytes: constant.offset, indexed });
            }
            Operand::Name(name) if name == "PR" => self.uses.predicates_read = 0x7f,
            Operand::Integer(_)
            | Operand::Float(_)
            | Operand::ConvergenceBarrier(_)
            | Operand::Counter(_)
            | Operand::CounterSet(_)
            | Operand::Name(_) => {}
        }
        self.slot += if self.slot == 0 && self.adds_in_slot_2 { 2 } else { 1 };
        Ok(())
    }

    fn take_slot(&mut self, span: Span) -> Result<(), String> {
        if span.is_empty() {
            return Ok(());
        }
        let slots = self.uses.slots.get_mut(self.slot);
        *slots.ok_or_else(|| format!("register R{} in a fourth operand slot is not known", span.first))? = span;
        Ok(())
    }

    fn address(&mut self, memory: &MemoryOperand) -> Result<(), String> {
        if let Some(descriptor) = memory.descriptor {
            self.uses.descriptor_read |= uniform_mask(descriptor, 2);
        }
        if let Some(uniform) = &memory.uniform {
            let count = if memory.base.is_none() && self.shape.wide_address { 2 } else { 1 };
            self.uses.uniform_read |= uniform_mask(uniform.number, count);
        }
        match memory.base.as_ref().filter(|base| !base.is_zero()) {
            Some(base) => {
                // A 64-bit address without descriptor (always on sm_75) is printed as the first register of its pair.
                // The first address of LDGSTS is in shared memory.
                let in_shared = self.shape.class == OpClass::CopyGlobalToShared && self.slot == 0;
                let wide = base.has_suffix("64") || self.shape.wide_address && base.suffixes.is_empty() && !in_shared;
                let count = if wide && base.file == RegisterFile::Vector { 2 } else { 1 };
                self.take_slot(Span::of(base.number, count))?;
            }
            None => self.uses.uniform_address = true,
        }
        Ok(())
    }
}

/// Bits of `count` uniform registers from `first` on; URZ is none.
fn uniform_mask(first: u8, count: u8) -> u64 {
    let bits = (1u64 << count) - 1;
    if first >= URZ { 0 } else { (bits << first) & !(1 << URZ) }
}
