//! The opcode table behind [`super::uses`]: class, destinations and operand widths of every opcode that is known.

use super::control::NO_COUNTER;
use super::instruction::Instruction;
use super::uses::{OpClass, TensorShape};

/// How an opcode uses its operands.
#[derive(Clone, Debug)]
pub(super) struct Shape {
    pub class: OpClass,
    /// Registers that the destination spans; 0 if no register is written.
    pub written_registers: u8,
    /// Leading predicates that are written (before or behind the destination register).
    pub predicate_destinations: u8,
    /// Registers that a register operand of each slot spans.
    pub source_registers: [u8; 3],
    /// Slot of the first source.
    pub first_slot: usize,
    /// Two immediates in a row are one operand.
    pub packed_immediates: bool,
    pub reads_all_predicates: bool,
    /// An address without vector base takes a pair of uniform registers.
    pub wide_address: bool,
    pub access_bytes: u8,
    pub tensor: Option<TensorShape>,
}

impl Shape {
    fn new(class: OpClass, written_registers: u8) -> Self {
        Self {
            class,
            written_registers,
            predicate_destinations: 0,
            source_registers: [1; 3],
            first_slot: 0,
            packed_immediates: false,
            reads_all_predicates: false,
            wide_address: false,
            access_bytes: 4,
            tensor: None,
        }
    }

    fn predicates(self, predicate_destinations: u8) -> Self {
        Self { predicate_destinations, ..self }
    }

    fn sources(self, source_registers: [u8; 3]) -> Self {
        Self { source_registers, ..self }
    }
}

/// Sums of two read their second source where a fused multiply-add has its addend: their reuse flags say so (ptxas 13.0,
/// sm_75 to sm_120), also where the register stands in the field of slot 1.
pub(super) fn adds_in_slot_2(mnemonic: &str) -> bool {
    ["FADD", "DADD", "HADD2", "DSETP"].contains(&mnemonic)
}

/// Bytes a lane that the modifiers of a memory instruction name; 4 without any.
fn access_bytes(instruction: &Instruction) -> u8 {
    for modifier in &instruction.modifiers {
        match modifier.as_str() {
            "U8" | "S8" => return 1,
            "U16" | "S16" => return 2,
            "64" => return 8,
            "128" => return 16,
            _ => {}
        }
    }
    4
}

fn registers_of(bytes: u8) -> u8 {
    bytes.div_ceil(4)
}

fn memory(instruction: &Instruction, class: OpClass, loads: bool, data_slot: usize) -> Shape {
    let bytes = access_bytes(instruction);
    let mut shape = Shape::new(class, if loads { registers_of(bytes) } else { 0 });
    if data_slot < 3 {
        shape.source_registers[data_slot] = registers_of(bytes);
    }
    shape.access_bytes = bytes;
    shape.wide_address = instruction.has_modifier("E");
    shape
}

fn atomic(instruction: &Instruction, class: OpClass, returns: bool) -> Shape {
    let mut shape = memory(instruction, class, returns, 1);
    // Compare-and-swap has a second datum.
    shape.source_registers[2] = registers_of(shape.access_bytes);
    shape.predicate_destinations = u8::from(returns);
    // sm_120 gives the outcome of CAST as a predicate only.
    if instruction.has_modifier("CAST") {
        shape.predicate_destinations = 1;
        if matches!(instruction.operands.get(1), Some(super::Operand::Memory(_)))
            && matches!(instruction.operands.first(), Some(super::Operand::Predicate(_)))
        {
            shape.written_registers = 0;
        }
    }
    shape
}

/// Conversions between 64-bit and other types.
fn conversion(instruction: &Instruction) -> Shape {
    let is_wide = |modifier: &str| matches!(modifier, "F64" | "S64" | "U64");
    let (mut to, mut from) = (1, 1);
    let types = ["F64", "F32", "F16", "S64", "U64", "S32", "U32", "S16", "U16", "S8", "U8", "BF16"];
    let named: Vec<&str> =
        instruction.modifiers.iter().map(String::as_str).filter(|modifier| types.contains(modifier)).collect();
    match (instruction.mnemonic.as_str(), named.as_slice()) {
        // F2F.F64.F32: destination type first.
        (_, [destination, source]) => {
            to = if is_wide(destination) { 2 } else { 1 };
            from = if is_wide(source) { 2 } else { 1 };
        }
        ("I2F", [one]) => match *one {
            "F64" => to = 2,
            "S64" | "U64" => from = 2,
            _ => {}
        },
        ("F2I", [one]) => match *one {
            "F64" => from = 2,
            "S64" | "U64" => to = 2,
            _ => {}
        },
        ("FRND", [one]) if is_wide(one) => (to, from) = (2, 2),
        _ => {}
    }
    Shape::new(OpClass::Xu, to).sources([from; 3])
}

/// Registers of A, B and C/D of a warp-level matrix multiply: 32 lanes share m×k, k×8 and m×8 elements.
fn tensor(instruction: &Instruction) -> Result<Shape, String> {
    const SHAPES: [(&str, u32, u32); 12] = [
        ("16816", 16, 16),
        ("1688", 16, 8),
        ("1684", 16, 4),
        ("16832", 16, 32),
        ("16864", 16, 64),
        ("8816", 8, 16),
        ("8832", 8, 32),
        ("884", 8, 4),
        ("8x8x4", 8, 4),
        ("16x8x4", 16, 4),
        ("16x8x8", 16, 8),
        ("16x8x16", 16, 16),
    ];
    let named = |modifiers: &[&'static str]| modifiers.iter().copied().find(|own| instruction.has_modifier(own));
    let shape = SHAPES.iter().find(|(name, ..)| instruction.has_modifier(name));
    let (name, rows, k) = *shape.ok_or_else(|| "a matrix shape such as 16816 should follow the mnemonic".to_owned())?;
    // Of the factors as the mnemonic has them, A's first.
    let types = ["TF32", "BF16", "S8", "U8", "S4", "U4", "E4M3", "E5M2"];
    let element = instruction.modifiers.iter().find(|modifier| types.contains(&modifier.as_str()));
    let bits = match element.map(String::as_str) {
        _ if instruction.mnemonic == "DMMA" => 64,
        Some("TF32") => 32,
        Some("S8" | "U8" | "E4M3" | "E5M2") => 8,
        Some("S4" | "U4") => 4,
        _ => 16,
    };
    let sum_bits = match instruction.mnemonic.as_str() {
        "DMMA" => 64,
        "HMMA" | "QMMA" if named(&["F32"]).is_none() => 16,
        _ => 32,
    };
    let [a, b, c] = [rows * k * bits, 8 * k * bits, 8 * rows * sum_bits].map(|bits| (bits / 1024) as u8);
    if a == 0 || b == 0 {
        return Err(format!("{}.{name} with elements of {bits} bits is not known", instruction.mnemonic));
    }
    Ok(Shape {
        tensor: Some(TensorShape {
            mnemonic: instruction.mnemonic.clone(),
            shape: name.to_owned(),
            multiply_adds: 8 * rows * k,
            element: element.cloned(),
            accumulator: named(&["F32", "F16"]).map(str::to_owned),
        }),
        ..Shape::new(OpClass::Tensor, c).sources([a, b, c])
    })
}

/// Class and operand use of an instruction.
///
/// # Errors
/// A sentence that names the opcode if it is not known.
pub(super) fn shape_of(instruction: &Instruction) -> Result<Shape, String> {
    use OpClass::*;
    let has = |modifier: &str| instruction.has_modifier(modifier);
    let wide_product = has("WIDE");
    let shape = match instruction.mnemonic.as_str() {
        "NOP" | "BSSY" | "BSYNC" | "BREAK" | "WARPSYNC" | "YIELD" | "PMTRIG" | "NANOSLEEP" | "PREEXIT" | "ACQBULK"
        | "ENDCOLLECTIVE" => Shape::new(Nop, 0),
        "WARPGROUP" if has("DEPBAR") => Shape::new(WarpgroupBarrier, 0),
        "WARPGROUP" => Shape::new(Nop, 0),
        "BRA" | "JMP" | "KILL" | "BPT" => Shape::new(Branch, 0),
        "CALL" | "RET" | "BRX" | "JMX" => Shape::new(Branch, 0).sources([2, 1, 1]),
        "EXIT" => Shape::new(Exit, 0),
        "MOV" if has("64") => Shape { first_slot: 1, ..Shape::new(Alu, 2).sources([2; 3]) },
        "MOV" => Shape { first_slot: 1, ..Shape::new(Alu, 1) },
        "IADD3" => Shape::new(Alu, 1).predicates(2),
        "IADD" if has("64") => Shape::new(AluWide, 2).sources([2; 3]),
        "SEL" if has("64") => Shape::new(AluCompare, 2).sources([2; 3]),
        "SEL" | "FSEL" | "FMNMX" | "FMNMX3" | "IMNMX" => Shape::new(AluCompare, 1),
        // By halves: whether the first operand was taken. sm_100 prints both predicates always.
        "VIMNMX" => Shape::new(AluCompare, 1).predicates(2),
        "LOP3" | "LEA" => Shape::new(Alu, 1).predicates(1),
        "IADD" | "LOP" | "SHF" | "SHL" | "SHR" | "PRMT" | "SGXT" | "BMSK" | "VIADDMNMX" | "VIMNMX3" | "IABS"
        | "F2FP" | "I2FP" | "I2I" | "I2IP" | "F2IP" | "VABSDIFF" | "VABSDIFF4" | "FSET" | "FSWZADD" | "UMOV2R" => {
            Shape::new(Alu, 1)
        }
        // Of sm_61, in traces: a sum with a shifted operand, one with a long immediate, and products of 16 bits, of which it makes
        // larger ones.
        "ISCADD" | "IADD32I" => Shape::new(Alu, 1),
        "XMAD" => Shape::new(Imad, 1),
        "LEPC" => Shape::new(Alu, 2),
        "P2R" => Shape { reads_all_predicates: true, ..Shape::new(Alu, 1) },
        "R2P" => Shape::new(Alu, 1),
        "CS2R" => Shape::new(Alu, if has("32") { 1 } else { 2 }),
        "ISETP" if has("U64") || has("S64") => Shape::new(AluCompare, 0).predicates(2).sources([2; 3]),
        "ISETP" | "FSETP" => Shape::new(AluCompare, 0).predicates(2),
        "PLOP3" | "PSETP" => Shape::new(Alu, 0).predicates(2),
        "HSET2" => Shape { packed_immediates: true, ..Shape::new(Half, 1) },
        "HSETP2" => Shape { packed_immediates: true, ..Shape::new(Half, 0).predicates(2) },
        "FADD" | "FMUL" | "FFMA" => Shape::new(Fp32, 1),
        "IMAD" if wide_product => Shape::new(ImadWide, 2).predicates(1).sources([1, 1, 2]),
        "IMAD" if has("HI") => Shape::new(ImadWide, 1).predicates(1).sources([1, 1, 2]),
        // sm_90 adds in the multiply pipe: 4 cycles from and to IMAD, 5 from and to the ALU in its listings.
        "VIADD" => Shape::new(Imad, 1),
        "IMAD" | "IDP" | "IDP4A" => Shape::new(Imad, 1).predicates(1),
        "HFMA2" if has("MMA") => Shape { packed_immediates: true, ..Shape::new(HalfMma, 1) },
        "HADD2" | "HMUL2" | "HFMA2" => Shape { packed_immediates: true, ..Shape::new(Half, 1) },
        "HMNMX2" | "VHMNMX" => Shape { packed_immediates: true, ..Shape::new(HalfMinMax, 1) },
        "MUFU" | "POPC" | "BREV" | "FLO" => Shape::new(Xu, 1),
        "F2I" | "I2F" | "F2F" | "FRND" => conversion(instruction),
        "FCHK" => Shape::new(Xu, 0).predicates(1),
        "DADD" | "DMUL" | "DFMA" | "DMNMX" => Shape::new(Fp64, 2).sources([2; 3]),
        "DSETP" => Shape::new(Fp64, 0).predicates(2).sources([2; 3]),
        "HMMA" | "QMMA" | "IMMA" | "DMMA" => tensor(instruction)?,
        "HGMMA" | "QGMMA" | "IGMMA" => Shape::new(WarpgroupTensor, 1).sources([4, 1, 1]),
        "SYNCS" if has("PHASECHK") => Shape { access_bytes: 8, ..Shape::new(Mbarrier, 0).predicates(1) },
        "SYNCS" if has("CCTL") => Shape { access_bytes: 8, ..Shape::new(Mbarrier, 0) },
        "SYNCS" => {
            let value = if has("EXCH") { 2 } else { 1 };
            Shape { access_bytes: 8, ..Shape::new(Mbarrier, 2).sources([1, value, 1]) }
        }
        "UTMALDG" | "UTMASTG" | "UBLKCP" | "UTMAPF" | "UTMACCTL" => {
            Shape { wide_address: true, ..Shape::new(BulkCopy, 0) }
        }
        "UTMACMDFLUSH" => Shape::new(BulkFlush, 0),
        "ELECT" => Shape::new(Vote, 1).predicates(1),
        "USETMAXREG" => Shape::new(SpecialRegister, 0).predicates(1),
        "UIMAD" if wide_product => Shape::new(Uniform, 2).predicates(1).sources([1, 1, 2]),
        "UIADD3" if has("64") => Shape::new(Uniform, 2).predicates(2).sources([2; 3]),
        "USEL" if has("64") => Shape::new(Uniform, 2).sources([2; 3]),
        "UIADD3" | "UVIMNMX" => Shape::new(Uniform, 1).predicates(2),
        "UFADD" | "UFMUL" | "UFFMA" | "UFMNMX" | "UFSEL" | "UI2F" | "UI2FP" => Shape::new(Uniform, 1),
        "ULOP3" | "ULEA" | "UIMAD" => Shape::new(Uniform, 1).predicates(1),
        "USHF" | "USEL" | "UPOPC" | "UFLO" | "UBREV" | "UPRMT" | "UBMSK" | "USGXT" | "UIABS" => Shape::new(Uniform, 1),
        "UISETP" | "UFSETP" | "UPLOP3" | "UPSETP" => Shape::new(Uniform, 0).predicates(2),
        "UP2UR" => Shape::new(Uniform, 1),
        "UMOV" => Shape::new(UniformLoad, if has("64") { 2 } else { 1 }),
        "ULDC" => {
            let bytes = access_bytes(instruction);
            Shape { access_bytes: bytes, ..Shape::new(UniformLoad, registers_of(bytes)) }
        }
        "VOTE" | "VOTEU" => vote(instruction),
        // Protected by a counter up to sm_86, of fixed latency later.
        "R2UR" if instruction.control.write_counter != NO_COUNTER => Shape::new(SpecialRegister, 1).predicates(1),
        // CREDUX holds no counter, unlike REDUX; its result is kept 13 from its reader, like that of R2UR.
        "R2UR" | "CREDUX" => Shape::new(ToUniform, 1).predicates(u8::from(instruction.mnemonic == "R2UR")),
        // From sm_100 on, without a counter.
        "CS2UR" => Shape::new(Uniform, if has("32") { 1 } else { 2 }),
        // Between the control unit and registers, protected by counters like special registers.
        "BMOV" => {
            let to_register = matches!(instruction.operands.first(), Some(super::Operand::Register(_)));
            Shape::new(SpecialRegister, u8::from(to_register))
        }
        "B2R" => Shape::new(SpecialRegister, 1).predicates(1),
        "QSPC" => Shape { wide_address: true, ..Shape::new(SpecialRegister, 1).predicates(1) },
        "S2R" | "S2UR" => Shape::new(SpecialRegister, if has("64") { 2 } else { 1 }),
        "REDUX" => Shape::new(WarpReduce, 1),
        "MATCH" => Shape::new(WarpReduce, 1).predicates(1),
        "SHFL" => Shape::new(Shuffle, 1).predicates(1),
        "LDC" | "LDCU" => memory(instruction, LoadConstant, true, 3),
        "LDG" | "LD" => memory(instruction, LoadGlobal, true, 3).predicates(1),
        "STG" | "ST" => memory(instruction, StoreGlobal, false, 1),
        "LDS" => memory(instruction, LoadShared, true, 3),
        "STS" => memory(instruction, StoreShared, false, 1),
        "LDL" => memory(instruction, LoadLocal, true, 3),
        "STL" => memory(instruction, StoreLocal, false, 1),
        "ATOMG" | "ATOM" => atomic(instruction, AtomicGlobal, true),
        "RED" | "REDG" => atomic(instruction, ReductionGlobal, false),
        "ATOMS" => atomic(instruction, AtomicShared, true),
        "LDSM" => Shape { access_bytes: 4 * matrices(instruction), ..Shape::new(LoadMatrix, matrices(instruction)) },
        "STSM" => Shape {
            access_bytes: 4 * matrices(instruction),
            ..Shape::new(StoreMatrix, 0).sources([1, matrices(instruction), 1])
        },
        // Between lanes, with a counter and at the pace of memory instructions: as a shuffle.
        "MOVM" => Shape::new(Shuffle, 1),
        "LDGSTS" => memory(instruction, CopyGlobalToShared, false, 3),
        "LDGDEPBAR" => Shape::new(CopyBarrier, 0),
        "BAR" => Shape::new(Barrier, 0),
        "CCTL" => Shape { wide_address: has("E"), ..Shape::new(MemoryBarrier, 0) },
        "MEMBAR" | "ERRBAR" | "CGAERRBAR" | "CCTLL" | "FENCE" => Shape::new(MemoryBarrier, 0),
        "DEPBAR" => Shape::new(CounterBarrier, 0),
        other => return Err(format!("opcode {other} is not known")),
    };
    Ok(shape)
}

/// `VOTE.ANY R0, PT, P1` writes a register and a predicate; `VOTE.ALL P0, P1` only the predicate.
fn vote(instruction: &Instruction) -> Shape {
    let register = matches!(instruction.operands.first(), Some(super::Operand::Register(_)));
    Shape::new(OpClass::Vote, u8::from(register)).predicates(1)
}

/// 8×8 matrices of LDSM and STSM: one register each.
fn matrices(instruction: &Instruction) -> u8 {
    if instruction.has_modifier("4") {
        4
    } else if instruction.has_modifier("2") {
        2
    } else {
        1
    }
}
