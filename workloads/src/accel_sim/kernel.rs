//! A traced kernel: its static instructions, found by reading the trace once.
//!
//! A trace lists the vector registers of an instruction and nothing else of its operands. What timing needs beside them is
//! put in where the opcode or the masks tell it, and left out otherwise:
//!
//! * A destination that stands behind a predicate is listed as the first source (`SHFL PT, R5, R2, …`): it is moved back.
//! * Comparisons write P0, and what reads predicates reads P0: guards, seen as a mask smaller than its neighbours', branches
//!   that are not the end, `SEL`, `VOTE` …. IADD3 and LEA write P1, their carry, which `.X` reads. So a reader depends on
//!   the latest writer, which is never too short a distance.
//! * Uniform registers and constants stay unknown. DEPBAR waits for all earlier copies to shared memory.

use std::collections::BTreeMap;
use std::path::Path;

use rustc_hash::{FxHashMap, FxHashSet};

use super::header::Header;
use super::line::{Form, TraceOp};
use super::reader::{Block, TraceReader};
use crate::sass::{
    ConstantOperand, Control, Instruction, MemoryOperand, Operand, PT, PredicateOperand, RegisterFile, RegisterOperand,
    SassError, URZ,
};

/// Bytes from one instruction to the next, since Volta, and in what timing sees.
const INSTRUCTION_BYTES: u32 = 16;

/// Bytes from one instruction to the next where they were traced. Before Volta every fourth place holds the control fields
/// of the three behind it.
fn traced_bytes(arch: &str) -> u32 {
    let sm = arch.strip_prefix("sm_").and_then(|number| number.parse().ok()).unwrap_or(0u32);
    if sm < 70 { 8 } else { INSTRUCTION_BYTES }
}
/// Functions do not get larger than this; a kernel holds a place for every instruction up to the highest.
const MAX_PC: u32 = 1 << 24;
/// The counter that LDGDEPBAR raises and DEPBAR waits for, as in the compiler's output.
pub const COPY_COUNTER: u8 = 0;

/// What a trace holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    pub blocks: u64,
    /// Warps that executed anything.
    pub warps: u64,
    pub warp_instructions: u64,
    /// Instructions times the lanes that executed them.
    pub thread_instructions: u64,
    /// Single precision: FADD and FMUL count 1 a lane, FFMA 2.
    pub flops_f32: u64,
    /// Warp instructions by base mnemonic.
    pub by_opcode: BTreeMap<String, u64>,
}

/// A kernel as its trace shows it.
#[derive(Clone, Debug)]
pub struct TracedKernel {
    pub file: String,
    pub header: Header,
    /// By index: byte offset ÷ bytes of an instruction. Places that the trace does not show hold a NOP. Instructions of a called function that
    /// lie at the same offset as others stand behind all of the first function, and so on.
    pub instructions: Vec<Instruction>,
    /// Index pairs that were executed one after the other by a warp.
    pub successors: Vec<(u32, u32)>,
    pub totals: Totals,
    /// Addresses that local accesses lie between; empty without any.
    pub local: std::ops::Range<u64>,
    index_of: FxHashMap<(u32, u32), u32>,
}

/// One instruction at one place.
#[derive(Debug)]
struct Static {
    pc: u32,
    form: u32,
    /// How many others at its place were seen before.
    layer: u32,
    immediate: i64,
    line: u32,
    guarded: bool,
    /// Was not the last instruction of a warp.
    continues: bool,
}

/// The first pass.
#[derive(Debug, Default)]
struct Statics {
    all: Vec<Static>,
    by_place: FxHashMap<(u32, u32), u32>,
    layers: FxHashMap<u32, u32>,
    successors: FxHashSet<(u32, u32)>,
    lanes: Vec<(u64, u64)>,
    totals: Totals,
    local: Option<std::ops::Range<u64>>,
}

impl TracedKernel {
    /// Reads a trace from beginning to end.
    ///
    /// # Errors
    /// As [`TraceReader`], or an instruction that cannot stand where it does.
    pub fn read(path: &Path) -> Result<Self, SassError> {
        Self::of(TraceReader::open(path)?)
    }

    /// As [`TracedKernel::read`], from an open trace.
    ///
    /// # Errors
    /// As [`TracedKernel::read`].
    pub fn of(mut reader: TraceReader) -> Result<Self, SassError> {
        let mut statics = Statics::default();
        let mut block = Block::default();
        while reader.next_block(&mut block)? {
            statics.block(&reader, &block)?;
        }
        let blocks = statics.totals.blocks;
        if blocks > reader.header().blocks() {
            let message = format!("{blocks} thread blocks, but the grid has {}", reader.header().blocks());
            return Err(SassError::new(reader.file(), 0, message, "every block of the grid stands once in a trace"));
        }
        Ok(statics.finish(&reader))
    }

    /// Instructions that were executed at least once.
    pub fn static_count(&self) -> usize {
        self.index_of.len()
    }

    /// Index of a dynamic instruction of the same trace.
    pub(super) fn index(&self, op: &TraceOp) -> Option<u32> {
        self.index_of.get(&(op.pc, op.form)).copied()
    }
}

impl Statics {
    fn block(&mut self, reader: &TraceReader, block: &Block) -> Result<(), SassError> {
        self.totals.blocks += 1;
        let Some(_) = block.warps.iter().find(|warp| !warp.is_empty()) else {
            let [x, y, z] = block.position;
            let message = format!("no warp of thread block {x},{y},{z} executes anything");
            return Err(SassError::new(reader.file(), 0, message, "a warp executes at least EXIT"));
        };
        let step = traced_bytes(&reader.header().arch);
        for warp in block.warps.iter().filter(|warp| !warp.is_empty()) {
            self.totals.warps += 1;
            let mut before: Option<(u32, &TraceOp)> = None;
            for (at, op) in warp.iter().enumerate() {
                if op.pc % step != 0 || op.pc > MAX_PC {
                    let message = format!("pc {:x} is not possible: instructions are {step} bytes long", op.pc);
                    let help = format!("a multiple of {step:#x} up to {MAX_PC:#x}");
                    return Err(SassError::new(reader.file(), op.line, message, help));
                }
                let number = self.number(op);
                let form = reader.forms().get(op.form);
                if let Some((previous, before)) = before {
                    self.successors.insert((previous, number));
                    let jumps = is_control(&reader.forms().get(before.form).opcode);
                    self.all[number as usize].guarded |= !jumps && is_strict_subset(op.mask, before.mask);
                }
                if let Some(next) = warp.get(at + 1) {
                    let own = &mut self.all[number as usize];
                    own.continues = true;
                    own.guarded |=
                        next.pc == op.pc + step && !is_control(&form.opcode) && is_strict_subset(op.mask, next.mask);
                }
                self.totals.warp_instructions += 1;
                let (warps, lanes) = &mut self.lanes[number as usize];
                *warps += 1;
                *lanes += u64::from(op.mask.count_ones());
                if matches!(base(&form.opcode), "LDL" | "STL") {
                    for &address in block.addresses_of(op) {
                        let range = self.local.get_or_insert(address..address);
                        *range = range.start.min(address)..range.end.max(address);
                    }
                }
                before = Some((number, op));
            }
        }
        Ok(())
    }

    fn number(&mut self, op: &TraceOp) -> u32 {
        if let Some(&known) = self.by_place.get(&(op.pc, op.form)) {
            return known;
        }
        let layer = self.layers.entry(op.pc).or_default();
        let number = self.all.len() as u32;
        self.all.push(Static {
            pc: op.pc,
            form: op.form,
            layer: *layer,
            immediate: op.immediate,
            line: op.line,
            guarded: false,
            continues: false,
        });
        self.lanes.push((0, 0));
        *layer += 1;
        self.by_place.insert((op.pc, op.form), number);
        number
    }

    fn finish(mut self, reader: &TraceReader) -> TracedKernel {
        let step = traced_bytes(&reader.header().arch);
        let places = self.all.iter().map(|own| own.pc / step + 1).max().unwrap_or(1);
        let layers = self.layers.values().copied().max().unwrap_or(1);
        let index = |own: &Static| own.layer * places + own.pc / step;
        let mut instructions: Vec<Instruction> = (0..places * layers).map(nop).collect();
        for (own, (warps, lanes)) in self.all.iter().zip(&self.lanes) {
            let at = index(own);
            let form = reader.forms().get(own.form);
            let mut instruction = instruction(form, own);
            instruction.pc = at * INSTRUCTION_BYTES;
            *self.totals.by_opcode.entry(instruction.mnemonic.clone()).or_default() += warps;
            self.totals.thread_instructions += lanes;
            self.totals.flops_f32 += match instruction.mnemonic.as_str() {
                "FADD" | "FMUL" => *lanes,
                "FFMA" => 2 * lanes,
                _ => 0,
            };
            instructions[at as usize] = instruction;
        }
        let place_of = |number: u32| index(&self.all[number as usize]);
        let mut successors: Vec<(u32, u32)> =
            self.successors.iter().map(|&(from, to)| (place_of(from), place_of(to))).collect();
        successors.sort_unstable();
        TracedKernel {
            file: reader.file().to_owned(),
            header: reader.header().clone(),
            instructions,
            successors,
            totals: self.totals.clone(),
            local: self.local.clone().map_or(0..0, |range| range.start..range.end + 16),
            index_of: self.by_place.iter().map(|(&place, &number)| (place, place_of(number))).collect(),
        }
    }
}

fn is_strict_subset(mask: u32, of: u32) -> bool {
    mask & !of == 0 && mask != of
}

fn base(opcode: &str) -> &str {
    opcode.split('.').next().unwrap_or(opcode)
}

/// What changes the active lanes.
fn is_control(opcode: &str) -> bool {
    matches!(
        base(opcode),
        "BRA" | "BRX" | "JMP" | "JMX" | "CALL" | "RET" | "EXIT" | "BSYNC" | "BSSY" | "WARPSYNC" | "BREAK" | "YIELD"
    )
}

fn nop(at: u32) -> Instruction {
    Instruction {
        pc: at * INSTRUCTION_BYTES,
        line: 0,
        guard: None,
        mnemonic: "NOP".to_owned(),
        modifiers: Vec::new(),
        operands: Vec::new(),
        control: Control::default(),
        encoding: None,
        text: "NOP".to_owned(),
    }
}

fn register(file: RegisterFile, number: u8) -> RegisterOperand {
    RegisterOperand { file, number, negate: false, absolute: false, invert: false, reuse: false, suffixes: Vec::new() }
}

fn vector(number: u8) -> Operand {
    Operand::Register(register(RegisterFile::Vector, number))
}

fn predicate(number: u8) -> Operand {
    Operand::Predicate(PredicateOperand { uniform: false, number, negate: false })
}

fn address(base: Option<u8>) -> Operand {
    let base = base.map(|number| register(RegisterFile::Vector, number));
    let uniform = base.is_none().then(|| register(RegisterFile::Uniform, URZ));
    Operand::Memory(MemoryOperand { descriptor: None, base, uniform, offset: 0 })
}

/// Comparisons' result, and the carry of sums.
const COMPARED: u8 = 0;
const CARRY: u8 = 1;

/// The instruction that a line stands for, as far as timing is concerned.
fn instruction(form: &Form, own: &Static) -> Instruction {
    let mut parts = form.opcode.split('.');
    let mnemonic = parts.next().unwrap_or_default().to_owned();
    let modifiers: Vec<String> = parts.map(str::to_owned).collect();
    let has = |modifier: &str| modifiers.iter().any(|own| own == modifier);
    let uniform =
        mnemonic.starts_with('U') || matches!(mnemonic.as_str(), "S2UR" | "R2UR" | "REDUX" | "CREDUX" | "LDCU");
    let mut destinations = form.destinations.clone();
    let mut sources = form.sources.as_slice();
    let behind_predicate =
        matches!(mnemonic.as_str(), "SHFL" | "LOP3" | "ATOM" | "ATOMG" | "ATOMS" | "MATCH") && destinations.is_empty();
    if let (true, [first, rest @ ..]) = (behind_predicate, sources) {
        destinations.push(*first);
        sources = rest;
    }
    let mut operands = Vec::new();
    let compares = matches!(
        mnemonic.as_str(),
        "ISETP" | "FSETP" | "DSETP" | "HSETP2" | "PLOP3" | "PSETP" | "FCHK" | "VOTE" | "MATCH"
    ) || mnemonic == "LOP3" && behind_predicate;
    match destinations.first() {
        // The destination of an atomic may follow a predicate that says nothing about timing.
        Some(&first) => operands.push(vector(first)),
        None if uniform => operands.push(Operand::Register(register(RegisterFile::Uniform, URZ))),
        None if mnemonic == "R2P" => operands.push(Operand::Name("PR".to_owned())),
        None => {}
    }
    if compares {
        operands.push(predicate(COMPARED));
    } else if matches!(mnemonic.as_str(), "IADD3" | "LEA") && !has("X") {
        operands.push(predicate(CARRY));
    }
    match mnemonic.as_str() {
        "LDG" | "LD" | "LDS" | "LDL" | "LDSM" => operands.push(address(sources.first().copied())),
        "LDC" => operands.push(Operand::Constant(ConstantOperand {
            bank: 0,
            index: sources.first().map(|&number| (RegisterFile::Vector, number)),
            offset: 0,
            negate: false,
            absolute: false,
            invert: false,
            suffixes: Vec::new(),
        })),
        "STG" | "ST" | "STS" | "STL" | "STSM" | "RED" | "REDG" if sources.len() == 1 => {
            operands.extend([address(None), vector(sources[0])]);
        }
        "STG" | "ST" | "STS" | "STL" | "STSM" | "RED" | "REDG" | "ATOM" | "ATOMG" | "ATOMS" => {
            operands.push(address(sources.first().copied()));
            operands.extend(sources.iter().skip(1).map(|&number| vector(number)));
        }
        "LDGSTS" => operands.extend(sources.iter().map(|&number| address(Some(number)))),
        "BAR" => operands.push(Operand::Integer(own.immediate.clamp(0, 15))),
        "DEPBAR" => operands.extend([Operand::Counter(COPY_COUNTER), Operand::Integer(0)]),
        // Branches that call or return read registers that the trace lists; others none.
        _ => operands.extend(sources.iter().map(|&number| vector(number))),
    }
    if matches!(mnemonic.as_str(), "SEL" | "FSEL" | "VOTE" | "PLOP3" | "PSETP") || mnemonic == "ISETP" && has("EX") {
        // Behind the two that a comparison writes.
        if compares && mnemonic != "VOTE" {
            operands.insert(1, predicate(PT));
        }
        operands.push(predicate(COMPARED));
    } else if has("X") && !uniform {
        operands.push(predicate(CARRY));
    } else if compares && mnemonic.ends_with("SETP") {
        operands.insert(1, predicate(PT));
    }
    // A branch that the trace does not show to be always taken is taken to depend on a comparison.
    let guarded = match mnemonic.as_str() {
        "BRA" => true,
        "EXIT" => own.continues,
        _ => own.guarded,
    };
    let listed: Vec<String> =
        form.destinations.iter().chain(&form.sources).map(|number| format!("R{number}")).collect();
    Instruction {
        pc: own.pc,
        line: own.line,
        guard: guarded.then_some(PredicateOperand { uniform: false, number: COMPARED, negate: false }),
        mnemonic,
        modifiers,
        operands,
        control: Control::default(),
        encoding: None,
        text: format!("{} {}", form.opcode, listed.join(", ")).trim_end().to_owned(),
    }
}
