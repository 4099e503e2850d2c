//! A kernel as an SM of one parameter set sees it: a compact record for each static instruction, made once.

use super::hazard::{Hazard, HazardUse};
use super::scoreboard;
use super::spec::{Core, Dependences, Fp64, LoadLatency, Pipe, SmSpec, StoreLatency, Tensor, Unit};
use workloads::sass::control::{Control, NO_COUNTER};
use workloads::sass::{Instruction, OpClass, Operand, Uses, UsesError};

/// What Control does with an instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Route {
    /// Through Allocate, and on into a pipe if it has one.
    Fixed,
    /// Into the local memory queue.
    Memory,
    /// Into the queue of a variable-latency unit.
    Variable,
}

/// What a counter protects, for the breakdown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum WaitKind {
    Global,
    Shared,
    Local,
    Constant,
    Xu,
    Fp64,
    Tensor,
    Shuffle,
    Special,
    Mbarrier,
    Sources,
    /// Behind collectors: a result that modern cores know the latency of.
    Fixed,
}

/// What issue does besides handing the instruction on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Effect {
    None,
    /// Barrier of the block: number, threads that must arrive (0 = all), whether the warp waits.
    Barrier {
        number: u8,
        threads: u16,
        waits: bool,
    },
    MemoryBarrier,
    /// Ordering that nothing is waited for.
    Fence,
    /// LDGDEPBAR: closes a group of asynchronous copies.
    CopyBarrier,
    /// UTMACMDFLUSH: closes a group of bulk stores.
    BulkFlush,
    /// HGMMA with gsb0: the last of a group.
    WarpgroupGroup,
    /// WARPGROUP.DEPBAR: until at most `limit` groups are not over.
    WarpgroupBarrier {
        limit: u8,
    },
    /// DEPBAR: until the counter is at most `limit` and the counters of `zero` are 0.
    CounterBarrier {
        counter: u8,
        limit: u8,
        zero: u8,
    },
}

/// What a load does with the L1D.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum L1Use {
    Cached,
    /// Must see other SMs' stores: looks nothing up; what arrives is kept.
    Refetched,
    /// Looks nothing up and leaves nothing behind (LDGSTS.BYPASS).
    Bypassed,
}

/// No pipe or variable unit.
pub(crate) const NO_UNIT: u8 = u8::MAX;
/// Numbers of the variable-latency units.
pub(crate) const XU: u8 = 0;
pub(crate) const SPECIAL_REGISTER: u8 = 1;
pub(crate) const WARP_REDUCE: u8 = 2;
pub(crate) const FP64: u8 = 3;
/// Matrix multiplies whose results are protected by counters.
pub(crate) const TENSOR: u8 = 4;
pub(crate) const WARPGROUP_TENSOR: u8 = 5;
pub(crate) const VARIABLE_UNITS: usize = 6;

/// One static instruction. All that issue, Control and Allocate look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct OpTiming {
    pub class: OpClass,
    pub route: Route,
    /// Pipe (fixed) or variable unit.
    pub unit: u8,
    pub initiation_interval: u8,
    /// Issue distance to the warp's next instruction (stall count and yield).
    pub stall: u8,
    pub write_counter: u8,
    pub read_counter: u8,
    pub wait_mask: u8,
    pub reuse: u8,
    /// Vector registers of each operand slot; count 0 = none.
    pub slot_first: [u8; 3],
    pub slot_count: [u8; 3],
    /// Distinct registers of each bank, without the register-file cache.
    pub reads: [u8; 2],
    /// Bit b: writes a register of bank b.
    pub written_banks: u8,
    /// From leaving Allocate to the write of the result.
    pub write_delay: u8,
    pub window: u8,
    /// Release of sources and result, from issue (memory and variable latency).
    pub war: u8,
    pub raw: u8,
    pub wait_kind: WaitKind,
    pub effect: Effect,
    /// A constant operand read at issue: line of the fixed-latency constant cache.
    pub constant_line: u32,
    /// Constant operand of LDC: bank × 64 KiB + offset.
    pub constant_address: u32,
    pub l1: L1Use,
}

impl OpTiming {
    /// Fills arrays before a warp has come.
    pub(crate) const NOTHING: Self = Self {
        class: OpClass::Nop,
        route: Route::Fixed,
        unit: NO_UNIT,
        initiation_interval: 1,
        stall: 1,
        write_counter: NO_COUNTER,
        read_counter: NO_COUNTER,
        wait_mask: 0,
        reuse: 0,
        slot_first: [0; 3],
        slot_count: [0; 3],
        reads: [0; 2],
        written_banks: 0,
        write_delay: 0,
        window: 3,
        war: 0,
        raw: 0,
        wait_kind: WaitKind::Special,
        effect: Effect::None,
        constant_line: NO_CONSTANT,
        constant_address: 0,
        l1: L1Use::Cached,
    };

    /// Writes memory beyond the SM and returns nothing.
    #[inline]
    pub(crate) fn is_global_write(&self) -> bool {
        matches!(self.class, OpClass::StoreGlobal | OpClass::ReductionGlobal | OpClass::StoreLocal)
    }
}

/// [`OpTiming::constant_line`] of an instruction without such an operand.
pub const NO_CONSTANT: u32 = u32::MAX;

/// A kernel ready to run on SMs of one parameter set.
#[derive(Clone, Debug)]
pub struct KernelTiming {
    pub name: String,
    pub ops: Vec<OpTiming>,
    /// Byte address of the first instruction.
    pub code_address: u64,
    /// Byte address of constant bank 0; bank b follows at b × 64 KiB.
    pub constant_address: u64,
    pub(crate) hazards: Vec<HazardUse>,
    /// Text of each instruction, for messages.
    pub texts: Vec<String>,
}

/// Where kernels lie when nobody says otherwise.
pub const DEFAULT_CODE_ADDRESS: u64 = 0x7f00_0000_0000;
/// Where constant banks lie when nobody says otherwise.
pub const DEFAULT_CONSTANT_ADDRESS: u64 = 0x7e00_0000_0000;

/// An instruction that cannot be timed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TimingError {
    #[error(transparent)]
    Uses(#[from] UsesError),
    #[error("line {line}, address {pc:#06x}: `{text}`: {problem}")]
    Instruction { line: u32, pc: u32, text: String, problem: String },
}

impl KernelTiming {
    /// Times every instruction of a kernel. `instructions[i]` stands at byte offset 16 × i.
    ///
    /// # Errors
    /// [`TimingError`] names the first instruction that the model or the chip does not know.
    pub fn new(name: &str, instructions: &[Instruction], spec: &SmSpec) -> Result<Self, TimingError> {
        let mut ops = Vec::with_capacity(instructions.len());
        let mut hazards = Vec::with_capacity(instructions.len());
        for instruction in instructions {
            let uses = Uses::of(instruction)?;
            let problem = |problem: String| TimingError::Instruction {
                line: instruction.line,
                pc: instruction.pc,
                text: instruction.text.clone(),
                problem,
            };
            ops.push(op_timing(instruction, &uses, spec).map_err(problem)?);
            hazards.push(HazardUse::new(instruction, &uses, spec).map_err(problem)?);
        }
        if spec.issue.dependences != Dependences::ControlBits {
            scoreboard::track(&mut ops, &hazards, spec);
        }
        if spec.core == Core::AccelSim {
            // Counted from where the operands are there: no read window follows.
            ops.iter_mut().filter(|op| op.route == Route::Fixed).for_each(|op| {
                op.write_delay = op.write_delay.saturating_sub(op.window);
            });
        }
        Ok(Self {
            name: name.to_owned(),
            ops,
            code_address: DEFAULT_CODE_ADDRESS,
            constant_address: DEFAULT_CONSTANT_ADDRESS,
            hazards,
            texts: instructions.iter().map(|instruction| instruction.text.clone()).collect(),
        })
    }
}

impl KernelTiming {
    /// Addresses of the constants that the instructions name: of each bank from its beginning to the last one. What LDC
    /// finds by a register is not known here.
    pub fn constants(&self) -> Vec<std::ops::Range<u64>> {
        let mut ends = std::collections::BTreeMap::<u64, u64>::new();
        for op in &self.ops {
            let fixed = (op.constant_line != NO_CONSTANT).then_some(op.constant_address);
            let loaded = (op.class == OpClass::LoadConstant).then_some(op.constant_address);
            for address in fixed.into_iter().chain(loaded) {
                let end = ends.entry(u64::from(address >> 16)).or_default();
                *end = (*end).max(u64::from(address & 0xffff) + 16);
            }
        }
        let bank = |(bank, bytes)| {
            let start = self.constant_address + (bank << 16);
            start..start + bytes
        };
        ends.into_iter().map(bank).collect()
    }

    /// A sentence about a hazard, with both instructions.
    pub fn describe(&self, hazard: &Hazard) -> String {
        let text = |index: u32| self.texts.get(index as usize).map_or("?", String::as_str);
        let earliest = match hazard.earliest {
            Some(earliest) => format!("{} cycles are needed", earliest - hazard.produced),
            None => "the result is not waited for".to_owned(),
        };
        format!(
            "`{}` at {:#06x} reads {} {} cycles after `{}` at {:#06x}; {earliest}",
            text(hazard.consumer),
            hazard.consumer * 16,
            hazard.register,
            hazard.issued - hazard.produced,
            text(hazard.producer),
            hazard.producer * 16,
        )
    }
}

/// The issue distance that stall count and yield ask for.
fn effective_stall(control: Control, spec: &SmSpec) -> u8 {
    match (control.stall, control.yield_next) {
        (0, true) => spec.issue.stall_zero_yield_cycles,
        (0 | 1, false) => 1,
        (1, true) => 2,
        (12.., false) => spec.issue.collapsed_stall_cycles,
        (stall, _) => stall,
    }
}

fn op_timing(instruction: &Instruction, uses: &Uses, spec: &SmSpec) -> Result<OpTiming, String> {
    let control = instruction.control;
    let mut op = OpTiming {
        class: uses.class,
        stall: effective_stall(control, spec),
        write_counter: control.write_counter,
        read_counter: control.read_counter,
        wait_mask: control.wait_mask,
        reuse: reuse_flags(instruction, uses),
        slot_first: uses.slots.map(|span| span.first),
        slot_count: uses.slots.map(|span| span.count),
        reads: reads_by_bank(uses),
        written_banks: uses.written.registers().fold(0, |banks, register| banks | 1 << (register % 2)),
        window: spec.register_file.read_window_cycles,
        effect: effect(instruction, uses.class)?,
        l1: l1_use(instruction),
        ..OpTiming::NOTHING
    };
    if let Some(constant) = uses.constant {
        op.constant_address = u32::from(constant.bank) << 16 | constant.offset_bytes as u32 & 0xffff;
    }
    if uses.slots.iter().any(|span| span.count >= 4) {
        op.window = spec.register_file.wide_read_window_cycles;
    }
    place(&mut op, uses, spec)?;
    if uses.class == OpClass::WarpgroupTensor {
        let lacks = || format!("{} has no multiplies of warpgroups", spec.arch);
        let unit = spec.warpgroup_tensor.as_ref().ok_or_else(lacks)?;
        let busy = warpgroup_busy_cycles(instruction, unit)?;
        // In order and one at a time: a multiply takes as long as it keeps the unit.
        variable(&mut op, WARPGROUP_TENSOR, WaitKind::Special, busy, busy, busy);
    }
    if uses.class == OpClass::BulkCopy && spec.bulk_copy.is_none() {
        return Err(format!("{} has no bulk copies", spec.arch));
    }
    // The compiler never counts above the six; 7 is none.
    for counter in [op.write_counter, op.read_counter] {
        if counter == 6 {
            return Err("dependence counter 6 does not exist".to_owned());
        }
    }
    // The warp goes on when the barrier is over; its operands are free by then.
    if uses.class == OpClass::Barrier {
        (op.write_counter, op.read_counter) = (NO_COUNTER, NO_COUNTER);
    }
    if op.route == Route::Fixed {
        // What counts without being a unit's result.
        let counted =
            matches!(op.effect, Effect::CopyBarrier | Effect::BulkFlush | Effect::MemoryBarrier | Effect::Fence);
        if !counted && (op.write_counter != NO_COUNTER || op.read_counter != NO_COUNTER) {
            return Err("a fixed-latency instruction cannot hold a dependence counter in this model".to_owned());
        }
        if uses.constant.is_some_and(|constant| !constant.indexed) {
            op.constant_line = op.constant_address / spec.constant_cache.fixed_latency.line_bytes;
        }
    }
    Ok(op)
}

/// Where an instruction goes, whatever its control field says: route, pipe or unit, initiation interval.
pub(crate) fn place_of(instruction: &Instruction, uses: &Uses, spec: &SmSpec) -> Result<(Route, u8, u8), String> {
    // LDGDEPBAR and UTMACMDFLUSH cannot do without a counter.
    let control = match uses.class {
        OpClass::CopyBarrier => Control { write_counter: 0, ..Control::default() },
        OpClass::BulkFlush => Control { read_counter: 0, ..Control::default() },
        _ => Control::default(),
    };
    let bare = Instruction { control, ..instruction.clone() };
    op_timing(&bare, uses, spec).map(|op| (op.route, op.unit, op.initiation_interval))
}

/// What others than the SM's own threads have to agree on is fetched again past its L1. `LDG.STRONG.SM`, which
/// `ld.global.ca` becomes in order, is not: the published L1 latencies were measured with it (arXiv 2402.13499).
fn l1_use(instruction: &Instruction) -> L1Use {
    let within_sm = ["SM", "CTA"].iter().any(|scope| instruction.has_modifier(scope));
    if instruction.has_modifier("BYPASS") {
        L1Use::Bypassed
    } else if instruction.has_modifier("VOLATILE") || instruction.has_modifier("STRONG") && !within_sm {
        L1Use::Refetched
    } else {
        L1Use::Cached
    }
}

/// Reuse flags at the slots that hold a vector register: from the encoding, or from the text.
fn reuse_flags(instruction: &Instruction, uses: &Uses) -> u8 {
    if instruction.encoding.is_some() {
        return instruction.control.reuse & 0b111;
    }
    let mut kept = instruction.operands.iter().filter_map(|operand| match operand {
        Operand::Register(register) if register.reuse => Some(register.number),
        _ => None,
    });
    let mut next = kept.next();
    let mut flags = 0;
    for (slot, span) in uses.slots.iter().enumerate() {
        if !span.is_empty() && next == Some(span.first) {
            flags |= 1 << slot;
            next = kept.next();
        }
    }
    flags
}

fn reads_by_bank(uses: &Uses) -> [u8; 2] {
    let mut seen = [0u64; 4];
    let mut reads = [0; 2];
    for register in uses.slots.iter().flat_map(|span| span.registers()) {
        let (word, bit) = (usize::from(register / 64), 1 << (register % 64));
        if seen[word] & bit == 0 {
            seen[word] |= bit;
            reads[usize::from(register % 2)] += 1;
        }
    }
    reads
}

fn place(op: &mut OpTiming, uses: &Uses, spec: &SmSpec) -> Result<(), String> {
    use OpClass::*;
    let execution = &spec.execution;
    let own = |row: &super::spec::Consumers| {
        [row.to_alu_compare(), row.fma, row.imad_wide, row.half, row.half_min_max].into_iter().fold(row.alu, u8::min)
    };
    let latency = &spec.fixed_latency;
    match uses.class {
        Nop | Exit | Barrier | MemoryBarrier | CounterBarrier | CopyBarrier | BulkFlush | WarpgroupBarrier
        | WarpgroupTensor => {}
        Branch => fixed(op, execution.branch, 0),
        Alu | Vote => fixed(op, execution.alu, own(&latency.alu)),
        AluWide => fixed(op, execution.alu, own(latency.from_alu_wide())),
        AluCompare => fixed(op, execution.alu, own(latency.from_alu_compare())),
        Fp32 => fixed(op, execution.fp32, own(&latency.fma)),
        Imad => fixed(op, execution.imad, own(&latency.fma)),
        ImadWide => fixed(op, execution.imad, own(&latency.imad_wide)),
        Half => fixed(op, execution.half, own(&latency.half)),
        HalfMinMax => fixed(op, execution.half, own(&latency.half_min_max)),
        HalfMma => match (execution.half_mma, &latency.half_mma) {
            (Some(unit), Some(row)) => fixed(op, unit, own(row)),
            _ => return Err(format!("{} has no pipe for HFMA2.MMA", spec.arch)),
        },
        Uniform | UniformLoad | ToUniform => {
            fixed(op, execution.uniform, spec.distance.uniform_to_uniform_cycles);
        }
        Tensor => tensor(op, uses, spec)?,
        Fp64 => match spec.fp64 {
            self::Fp64::Fixed { initiation_interval_cycles, to_fp64_cycles, .. } => {
                fixed(op, Unit { pipe: Pipe::Fp64, initiation_interval_cycles }, to_fp64_cycles);
            }
            self::Fp64::Own { initiation_interval_cycles, war_cycles, raw_cycles, .. }
            | self::Fp64::Shared { initiation_interval_cycles, war_cycles, raw_cycles, .. } => {
                variable(op, FP64, WaitKind::Fp64, initiation_interval_cycles, war_cycles, raw_cycles);
            }
        },
        Xu => {
            let unit = spec.variable_latency.xu;
            variable(op, XU, WaitKind::Xu, unit.initiation_interval_cycles, unit.war_cycles, unit.raw_cycles);
        }
        SpecialRegister => {
            let unit = spec.variable_latency.special_register;
            let interval = unit.initiation_interval_cycles;
            variable(op, SPECIAL_REGISTER, WaitKind::Special, interval, unit.war_cycles, unit.raw_cycles);
        }
        WarpReduce => {
            let unit = spec.variable_latency.warp_reduce;
            let interval = unit.initiation_interval_cycles;
            variable(op, WARP_REDUCE, WaitKind::Special, interval, unit.war_cycles, unit.raw_cycles);
        }
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
        | OpClass::BulkCopy => memory(op, uses, spec),
    }
    Ok(())
}

fn fixed(op: &mut OpTiming, unit: Unit, latency: u8) {
    op.unit = unit.pipe as u8;
    op.initiation_interval = unit.initiation_interval_cycles;
    // Operands are read in the window behind Allocate, execution starts in the cycle after it.
    op.write_delay = op.window + 1 + latency;
}

fn variable(op: &mut OpTiming, unit: u8, kind: WaitKind, interval: u8, war: u8, raw: u8) {
    op.route = Route::Variable;
    op.unit = unit;
    op.initiation_interval = interval;
    op.wait_kind = kind;
    (op.war, op.raw) = (war, raw);
}

fn memory(op: &mut OpTiming, uses: &Uses, spec: &SmSpec) {
    use OpClass::*;
    let size = match uses.access_bytes {
        0..=4 => 0,
        5..=8 => 1,
        _ => 2,
    };
    let load = |row: &LoadLatency| match uses.uniform_address {
        true => (row.uniform_war_cycles[size], row.uniform_raw_cycles[size]),
        false => (row.regular_war_cycles[size], row.regular_raw_cycles[size]),
    };
    let store = |row: &StoreLatency| match uses.uniform_address {
        true => row.uniform_war_cycles[size],
        false => row.regular_war_cycles[size],
    };
    let m = &spec.memory;
    op.route = Route::Memory;
    ((op.war, op.raw), op.wait_kind) = match uses.class {
        Shuffle => (load(&m.shuffle), WaitKind::Shuffle),
        LoadConstant => (load(&m.load_constant), WaitKind::Constant),
        LoadShared => (load(&m.load_shared), WaitKind::Shared),
        StoreShared => ((store(&m.store_shared), 0), WaitKind::Shared),
        LoadMatrix => (load(&m.load_matrix), WaitKind::Shared),
        StoreMatrix => ((store(&m.store_matrix), 0), WaitKind::Shared),
        // Atomics were not measured by anyone: sources free as those of a store, result as that of a load.
        OpClass::Mbarrier => ((store(&m.store_shared), load(&m.load_shared).1), WaitKind::Mbarrier),
        // Nothing is returned; sources free as those of a store.
        OpClass::BulkCopy => ((store(&m.store_global), 0), WaitKind::Global),
        AtomicShared => ((store(&m.store_shared), load(&m.load_shared).1), WaitKind::Shared),
        CopyGlobalToShared => (load(&m.copy_global_to_shared), WaitKind::Global),
        LoadLocal => (load(&m.load_global), WaitKind::Local),
        StoreLocal => ((store(&m.store_global), 0), WaitKind::Local),
        StoreGlobal | ReductionGlobal => ((store(&m.store_global), 0), WaitKind::Global),
        AtomicGlobal => ((store(&m.store_global), load(&m.load_global).1), WaitKind::Global),
        _ => (load(&m.load_global), WaitKind::Global),
    };
}

/// A matrix multiply: a pipe of fixed latency, or a unit behind counters.
fn tensor(op: &mut OpTiming, uses: &Uses, spec: &SmSpec) -> Result<(), String> {
    let row = tensor_row(uses, spec)?;
    let shape = uses.tensor.as_ref();
    let single = shape.is_some_and(|shape| shape.accumulator.as_deref() == Some("F32"));
    let factor = if single { spec.execution.tensor_single_sum_factor } else { 1 };
    let interval = row.initiation_interval_cycles * factor;
    let Some(war) = row.war_cycles else {
        fixed(op, Unit { pipe: Pipe::Tensor, initiation_interval_cycles: interval }, row.to_other_cycles);
        return Ok(());
    };
    // Doubles go where the SM has its one double-precision pipe.
    let shared = matches!(spec.fp64, Fp64::Shared { .. }) && row.mnemonic == "DMMA";
    let unit = if shared { FP64 } else { TENSOR };
    variable(op, unit, WaitKind::Tensor, interval, war, row.to_other_cycles);
    Ok(())
}

/// The row of the parameter set for a matrix multiply: one for its element type, else one for any.
pub(crate) fn tensor_row<'a>(uses: &Uses, spec: &'a SmSpec) -> Result<&'a Tensor, String> {
    let shape = uses.tensor.as_ref().ok_or_else(|| "a matrix shape is missing".to_owned())?;
    let fits = |row: &&Tensor| row.mnemonic == shape.mnemonic && row.shape == shape.shape;
    // Signed or not makes no difference.
    let element = shape.element.as_ref().map(|element| element.replace('U', "S"));
    let exact = spec.tensor.iter().filter(fits).find(|row| row.element.is_some() && row.element == element);
    let row = exact.or_else(|| spec.tensor.iter().filter(fits).find(|row| row.element.is_none()));
    row.ok_or_else(|| format!("the parameters of {} have no {}.{}", spec.arch, shape.mnemonic, shape.shape))
}

fn effect(instruction: &Instruction, class: OpClass) -> Result<Effect, String> {
    match class {
        OpClass::MemoryBarrier if instruction.mnemonic == "FENCE" => Ok(Effect::Fence),
        OpClass::MemoryBarrier => Ok(Effect::MemoryBarrier),
        OpClass::BulkFlush if instruction.control.read_counter == NO_COUNTER => {
            Err("UTMACMDFLUSH should name a read counter".to_owned())
        }
        OpClass::BulkFlush => Ok(Effect::BulkFlush),
        OpClass::WarpgroupTensor if names_group(instruction) => Ok(Effect::WarpgroupGroup),
        OpClass::WarpgroupBarrier => match instruction.operands.as_slice() {
            [Operand::Name(group), Operand::Integer(limit)] if group == "gsb0" && (0..64).contains(limit) => {
                Ok(Effect::WarpgroupBarrier { limit: *limit as u8 })
            }
            _ => Err("WARPGROUP.DEPBAR should read WARPGROUP.DEPBAR.LE gsb0, 0x1".to_owned()),
        },
        OpClass::Barrier => barrier(instruction),
        OpClass::CounterBarrier => counter_barrier(instruction),
        OpClass::CopyBarrier if instruction.control.write_counter == NO_COUNTER => {
            Err("LDGDEPBAR should name a write counter".to_owned())
        }
        OpClass::CopyBarrier => Ok(Effect::CopyBarrier),
        _ => Ok(Effect::None),
    }
}

fn names_group(instruction: &Instruction) -> bool {
    instruction.operands.iter().any(|operand| matches!(operand, Operand::Name(name) if name == "gsb0"))
}

/// Cycles for which a multiply of a warpgroup keeps the tensor cores: N/2, or longer if its factors come from shared memory
/// more slowly. Published points: arXiv 2402.13499 (bf16, fp8, s8 and sparse, N = 256), arXiv 2512.02189 (N = 128, 64).
fn warpgroup_busy_cycles(instruction: &Instruction, unit: &super::spec::WarpgroupTensor) -> Result<u8, String> {
    let form = || "the shape should read 64xNxK, as in HGMMA.64x128x16.F32".to_owned();
    let shape = instruction.modifiers.iter().find_map(|modifier| modifier.strip_prefix("64x")).ok_or_else(form)?;
    let (n, k) = shape.split_once('x').ok_or_else(form)?;
    let (n, k): (u32, u32) = (n.parse().map_err(|_| form())?, k.parse().map_err(|_| form())?);
    let element_bytes = match instruction.mnemonic.as_str() {
        "HGMMA" if instruction.has_modifier("TF32") => 4,
        "HGMMA" => 2,
        _ => 1,
    };
    if n == 0 || n > 256 || !n.is_multiple_of(8) || k == 0 || k > 64 {
        return Err(form());
    }
    // A stands in registers unless a descriptor comes first; sparse, half of it is stored.
    let a_in_memory = matches!(instruction.operands.get(1), Some(Operand::MatrixDescriptor(_)));
    let a_k = if instruction.has_modifier("SP") { k / 2 } else { k };
    let a_bytes = if a_in_memory { 64 * a_k * element_bytes } else { 0 };
    let bytes = a_bytes + n * k * element_bytes;
    let cycles = (n / u32::from(unit.columns_per_cycle)).max(bytes.div_ceil(unit.shared_bytes_per_cycle));
    u8::try_from(cycles).map_err(|_| format!("a multiply of {cycles} cycles is not supported"))
}

fn barrier(instruction: &Instruction) -> Result<Effect, String> {
    let waits = if instruction.has_modifier("SYNC") || instruction.has_modifier("RED") {
        true
    } else if instruction.has_modifier("ARV") {
        false
    } else {
        return Err("only BAR.SYNC, BAR.RED and BAR.ARV are modelled".to_owned());
    };
    let mut numbers = [0u16; 2];
    let operands = instruction.operands.iter().filter(|operand| !matches!(operand, Operand::Predicate(_)));
    for (place, operand) in operands.take(2).enumerate() {
        let Operand::Integer(value) = operand else {
            return Err("barrier number and thread count should be immediate".to_owned());
        };
        let value = u16::try_from(*value).ok().filter(|&value| place == 1 || value < 16);
        numbers[place] = value.ok_or_else(|| "barrier number should be 0 to 15".to_owned())?;
    }
    Ok(Effect::Barrier { number: numbers[0] as u8, threads: numbers[1], waits })
}

fn counter_barrier(instruction: &Instruction) -> Result<Effect, String> {
    let form = || "DEPBAR should read DEPBAR.LE SB0, 0x1 or DEPBAR.LE SB0, 0x1, {2,3} or DEPBAR {2,3}".to_owned();
    match instruction.operands.as_slice() {
        [Operand::Counter(counter), Operand::Integer(limit), rest @ ..] => {
            let zero = match rest {
                [] => 0,
                [Operand::CounterSet(set)] => *set,
                _ => return Err(form()),
            };
            let limit = u8::try_from(*limit).map_err(|_| form())?;
            Ok(Effect::CounterBarrier { counter: *counter, limit, zero })
        }
        [Operand::CounterSet(set)] => Ok(Effect::CounterBarrier { counter: 0, limit: u8::MAX, zero: *set }),
        _ => Err(form()),
    }
}
