//! From syntax to micro-ops: once a kernel, with every operand resolved to a slot of the [`Frame`](super::frame::Frame).
//!
//! Whatever is not understood is refused by name, line and address: an opcode, a modifier, an operand form, a word of
//! constant bank 0 that no launch fills. Nothing is skipped in silence. Each family of opcodes (`integer`, `float` …) has
//! its own lowering beside its execution; here are the tools they share.

use super::super::error::SassError;
use super::super::instruction::{Instruction, Operand, PT, PredicateOperand, RZ, RegisterFile, RegisterOperand, URZ};
use super::super::kernel::Kernel;
use super::frame::{DISCARD_PREDICATE, PredicateSource, Slot, Source, TRUE, UNIFORM_PREDICATES};
use super::op::{MicroOp, Op};
use super::{
    atomic, bulk, control, convert, copy, crosslane, double, float, half, integer, logic, mbarrier, memory, mma, mufu,
    simd, special,
};

/// A word that is the same for all lanes of all warps of a launch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConstantWord {
    Immediate(u32),
    Bank { bank: u8, offset: u32 },
}

/// A kernel in executable form.
#[derive(Clone, Debug)]
pub struct Program {
    pub code: Vec<MicroOp>,
    /// Contents of the constant slots, from [`Program::first_constant`] on.
    pub constants: Vec<ConstantWord>,
    pub first_constant: Slot,
    /// Words a warp's frame has.
    pub frame_words: usize,
}

/// Lowers all instructions.
///
/// # Errors
/// The first instruction that is not understood.
pub fn lower(kernel: &Kernel) -> Result<Program, SassError> {
    let layout = Layout::of(&kernel.instructions);
    let mut constants = Vec::new();
    let mut code = Vec::with_capacity(kernel.instructions.len());
    for instruction in &kernel.instructions {
        let mut lowering = Lowering::new(kernel, &layout, &mut constants, instruction);
        let micro = lowering.instruction().map_err(|refusal| refusal.at(kernel, instruction))?;
        code.push(micro);
    }
    let frame_words = usize::from(layout.first_constant) + constants.len() + usize::from(layout.reach);
    Ok(Program { code, constants, first_constant: layout.first_constant, frame_words })
}

/// Why an instruction is not executed.
pub struct Refusal {
    what: String,
    help: String,
}

impl Refusal {
    pub fn new(what: impl Into<String>, help: impl Into<String>) -> Self {
        Self { what: what.into(), help: help.into() }
    }

    fn at(self, kernel: &Kernel, instruction: &Instruction) -> SassError {
        let message = format!("`{}` at {:#06x}: {}", instruction.text.trim(), instruction.pc, self.what);
        let help = if self.help.is_empty() {
            "the functional executor covers what the shipped kernels use (workloads/kernels/sass/OPCODES.md) and some more"
                .to_owned()
        } else {
            self.help
        };
        SassError::new(&kernel.file, instruction.line, message, help)
    }
}

pub type Lowered<T> = Result<T, Refusal>;

/// Lowers the opcodes of one family; `None` for those of others.
type Family = for<'b, 'c, 'd> fn(&'b mut Lowering<'c>, &'d str) -> Lowered<Option<Op>>;

/// Where the parts of a frame begin.
struct Layout {
    /// Words that an operand may span from the one it names on.
    reach: Slot,
    zero: Slot,
    discard: Slot,
    first_uniform: Slot,
    first_constant: Slot,
}

impl Layout {
    fn of(instructions: &[Instruction]) -> Self {
        let (mut vector, mut uniform) = (0, 0);
        let mut see = |file: RegisterFile, number: u8| match file {
            RegisterFile::Vector if number != RZ => vector = vector.max(u16::from(number) + 1),
            RegisterFile::Uniform if number != URZ => uniform = uniform.max(u16::from(number) + 1),
            _ => {}
        };
        for operand in instructions.iter().flat_map(|instruction| &instruction.operands) {
            match operand {
                Operand::Register(register) => see(register.file, register.number),
                Operand::MatrixDescriptor(first) => see(first.file, first.number),
                Operand::Memory(memory) => {
                    for register in [&memory.base, &memory.uniform].into_iter().flatten() {
                        see(register.file, register.number);
                    }
                }
                Operand::Constant(constant) => {
                    if let Some((file, number)) = constant.index {
                        see(file, number);
                    }
                }
                _ => {}
            }
        }
        // Registers that an operand stands for beyond the one it names: the accumulators of a warpgroup, doubles of a matrix,
        // the coordinates of a tensor copy; anything else four.
        let has = |mnemonic: &str| instructions.iter().any(|instruction| instruction.mnemonic.starts_with(mnemonic));
        let reach = match () {
            () if has("HGMMA") => 128,
            () if has("DMMA") || has("UTMA") => 16,
            () => 4,
        };
        let (zero, discard) = (vector + reach, vector + 2 * reach);
        let first_uniform = discard + reach;
        Self { reach, zero, discard, first_uniform, first_constant: first_uniform + uniform + reach }
    }
}

/// The lowering of one instruction: hands out its modifiers and operands one by one and refuses what is left over.
pub struct Lowering<'a> {
    pub kernel: &'a Kernel,
    pub instruction: &'a Instruction,
    layout: &'a Layout,
    constants: &'a mut Vec<ConstantWord>,
    modifiers: Vec<&'a str>,
    next: usize,
}

impl<'a> Lowering<'a> {
    fn new(
        kernel: &'a Kernel,
        layout: &'a Layout,
        constants: &'a mut Vec<ConstantWord>,
        instruction: &'a Instruction,
    ) -> Self {
        let modifiers = instruction.modifiers.iter().map(String::as_str).collect();
        Self { kernel, instruction, layout, constants, modifiers, next: 0 }
    }

    fn instruction(&mut self) -> Lowered<MicroOp> {
        let guard = match self.instruction.guard {
            None => PredicateSource::TRUE,
            Some(guard) => predicate_source(guard),
        };
        let (uniform, op) = self.op()?;
        if let Some(left) = self.modifiers.first() {
            return Err(Refusal::new(
                format!("modifier `.{left}` of {} is not supported", self.instruction.mnemonic),
                "",
            ));
        }
        if self.remaining() != 0 {
            let (given, used) = (self.instruction.operands.len(), self.next);
            return Err(Refusal::new(format!("it has {given} operands, of which {used} are understood"), ""));
        }
        Ok(MicroOp { guard, force: if uniform { u32::MAX } else { 0 }, op })
    }

    /// The operation, and whether it is of the uniform data path (executes whatever the active mask).
    fn op(&mut self) -> Lowered<(bool, Op)> {
        let mnemonic = self.instruction.mnemonic.as_str();
        let families: [Family; 19] = [
            integer::lower,
            logic::lower,
            float::lower,
            half::lower,
            simd::lower,
            double::lower,
            mufu::lower,
            convert::lower,
            memory::lower,
            atomic::lower,
            copy::lower,
            bulk::lower,
            mbarrier::lower,
            crosslane::lower,
            mma::lower,
            mma::lower_matrix,
            mma::lower_warpgroup,
            special::lower,
            control::lower,
        ];
        for family in families {
            if let Some(op) = family(self, mnemonic)? {
                return Ok((false, op));
            }
        }
        // Uniform opcodes mean what their vector namesakes mean, on UR and UP operands.
        if let Some(vector) = uniform_namesake(mnemonic) {
            let families: [Family; 4] = [integer::lower, logic::lower, float::lower, convert::lower];
            for family in families {
                if let Some(op) = family(self, vector)? {
                    return Ok((true, op));
                }
            }
        }
        Err(Refusal::new(format!("opcode {mnemonic} is not supported"), ""))
    }

    // Modifiers.

    /// Takes a modifier if it is there.
    pub fn take(&mut self, modifier: &str) -> bool {
        let found = self.modifiers.iter().position(|own| *own == modifier);
        if let Some(at) = found {
            self.modifiers.remove(at);
        }
        found.is_some()
    }

    /// Takes the first of the choices that is there.
    pub fn take_one_of<T: Copy>(&mut self, choices: &[(&str, T)]) -> Option<T> {
        choices.iter().find(|(name, _)| self.take(name)).map(|(_, choice)| *choice)
    }

    /// As [`Lowering::take_one_of`], and one must be there.
    pub fn need_one_of<T: Copy>(&mut self, what: &str, choices: &[(&str, T)]) -> Lowered<T> {
        self.take_one_of(choices).ok_or_else(|| {
            let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
            Refusal::new(
                format!("no {what} that is supported is among the modifiers"),
                format!("one of {}", names.join(", ")),
            )
        })
    }

    // Operands.

    pub fn peek(&self) -> Option<&'a Operand> {
        self.instruction.operands.get(self.next)
    }

    pub fn remaining(&self) -> usize {
        self.instruction.operands.len() - self.next
    }

    pub fn next(&mut self) -> Lowered<&'a Operand> {
        let operand = self.peek().ok_or_else(|| Refusal::new(format!("operand {} is missing", self.next), ""))?;
        self.next += 1;
        Ok(operand)
    }

    /// Gives the last operand back.
    pub fn step_back(&mut self) {
        self.next -= 1;
    }

    fn unexpected<T>(&self, wanted: &str) -> Lowered<T> {
        Err(Refusal::new(format!("operand {} is not {wanted}", self.next - 1), ""))
    }

    /// A destination register.
    pub fn target(&mut self) -> Lowered<Slot> {
        match self.next()? {
            Operand::Register(register) if register.suffixes.is_empty() => Ok(self.target_slot(register)),
            _ => self.unexpected("a destination register"),
        }
    }

    fn target_slot(&self, register: &RegisterOperand) -> Slot {
        if register.is_zero() { self.layout.discard } else { self.register(register.file, register.number) }
    }

    fn register(&self, file: RegisterFile, number: u8) -> Slot {
        match file {
            RegisterFile::Vector if number == RZ => self.layout.zero,
            RegisterFile::Uniform if number == URZ => self.layout.zero,
            RegisterFile::Vector => Slot::from(number),
            RegisterFile::Uniform => self.layout.first_uniform + Slot::from(number),
        }
    }

    pub fn zero(&self) -> Slot {
        self.layout.zero
    }

    pub fn discard(&self) -> Slot {
        self.layout.discard
    }

    /// Slot of a register that an address or an index names.
    pub fn register_slot(&self, register: &RegisterOperand) -> Slot {
        self.register(register.file, register.number)
    }

    pub fn index_slot(&self, (file, number): (RegisterFile, u8)) -> Slot {
        self.register(file, number)
    }

    /// A predicate destination.
    pub fn predicate_target(&mut self) -> Lowered<u8> {
        match self.next()? {
            Operand::Predicate(PredicateOperand { number: PT, negate: false, .. }) => Ok(DISCARD_PREDICATE),
            Operand::Predicate(PredicateOperand { uniform, number, negate: false }) => {
                Ok(predicate_slot(*uniform, *number))
            }
            _ => self.unexpected("a destination predicate"),
        }
    }

    /// A predicate destination, if the next operand is one.
    pub fn optional_predicate_target(&mut self) -> Lowered<Option<u8>> {
        match self.peek() {
            Some(Operand::Predicate(_)) => self.predicate_target().map(Some),
            _ => Ok(None),
        }
    }

    pub fn predicate(&mut self) -> Lowered<PredicateSource> {
        match self.next()? {
            Operand::Predicate(predicate) => Ok(predicate_source(*predicate)),
            _ => self.unexpected("a predicate"),
        }
    }

    pub fn optional_predicate(&mut self) -> Lowered<Option<PredicateSource>> {
        match self.peek() {
            Some(Operand::Predicate(_)) => self.predicate().map(Some),
            _ => Ok(None),
        }
    }

    /// A constant of one word.
    pub fn immediate(&mut self, value: u32) -> Slot {
        self.pool(&[ConstantWord::Immediate(value)])
    }

    /// The value of an immediate's slot.
    pub fn immediate_value(&self, source: Source) -> Option<u32> {
        let index = usize::from(source.slot.checked_sub(self.layout.first_constant)?);
        match self.constants.get(index)? {
            ConstantWord::Immediate(value) if source.is_plain() => Some(*value),
            _ => None,
        }
    }

    /// Slots of neighbouring constants.
    fn pool(&mut self, words: &[ConstantWord]) -> Slot {
        let found = self.constants.windows(words.len()).position(|window| window == words);
        let at = found.unwrap_or_else(|| {
            self.constants.extend_from_slice(words);
            self.constants.len() - words.len()
        });
        self.layout.first_constant + at as Slot
    }

    /// A 32-bit source. Decimal immediates are refused: see [`Lowering::float_source`].
    pub fn source(&mut self) -> Lowered<Source> {
        let operand = self.next()?;
        self.source_from(operand, 1)
    }

    /// A 64-bit source: a register pair, two words of a constant bank, or a sign-extended immediate.
    pub fn wide_source(&mut self) -> Lowered<Source> {
        let operand = self.next()?;
        self.source_from(operand, 2)
    }

    fn source_from(&mut self, operand: &Operand, words: u32) -> Lowered<Source> {
        match operand {
            Operand::Register(register) => {
                if let Some(suffix) = register.suffixes.iter().find(|suffix| *suffix != "64" || words != 2) {
                    return Err(Refusal::new(format!("register suffix `.{suffix}` is not supported"), ""));
                }
                let RegisterOperand { negate, absolute, invert, .. } = *register;
                Ok(Source { slot: self.register(register.file, register.number), negate, absolute, invert })
            }
            Operand::Constant(constant) => {
                if let Some(suffix) = constant.suffixes.first() {
                    return Err(Refusal::new(format!("constant suffix `.{suffix}` is not supported"), ""));
                }
                if constant.index.is_some() {
                    return Err(Refusal::new("an indexed constant is only supported in LDC", ""));
                }
                let slot = self.bank_words(constant.bank, i64::from(constant.offset), words)?;
                Ok(Source { slot, negate: constant.negate, absolute: constant.absolute, invert: constant.invert })
            }
            Operand::Integer(value) => {
                let fits = i64::from(*value as u32) == *value || i64::from(*value as i32) == *value;
                if words == 1 && !fits {
                    return Err(Refusal::new(format!("immediate {value:#x} has more than 32 bits"), ""));
                }
                let low = ConstantWord::Immediate(*value as u32);
                let high = ConstantWord::Immediate((*value >> 32) as u32);
                let slot = if words == 1 { self.pool(&[low]) } else { self.pool(&[low, high]) };
                Ok(Source::plain(slot))
            }
            _ => self.unexpected("a register, a constant or an integer"),
        }
    }

    /// Slot of neighbouring words of a constant bank.
    pub fn bank_words(&mut self, bank: u8, offset: i64, words: u32) -> Lowered<Slot> {
        let offset = u32::try_from(offset).ok().filter(|offset| offset.is_multiple_of(4));
        let offset =
            offset.ok_or_else(|| Refusal::new("the constant's offset is negative or not a multiple of 4", ""))?;
        for word in 0..words {
            super::banks::check_word(self.kernel, bank, offset + 4 * word)?;
        }
        let words: Vec<_> = (0..words).map(|word| ConstantWord::Bank { bank, offset: offset + 4 * word }).collect();
        Ok(self.pool(&words))
    }

    /// A source without marks.
    pub fn plain_source(&mut self) -> Lowered<Slot> {
        let source = self.source()?;
        if source.is_plain() { Ok(source.slot) } else { self.unexpected("without sign or complement") }
    }

    /// A 32-bit floating-point source; decimal immediates are rounded to single precision.
    pub fn float_source(&mut self) -> Lowered<Source> {
        if let Some(Operand::Float(value)) = self.peek() {
            self.next += 1;
            let bits = if value.is_nan() { 0x7fff_ffff } else { (*value as f32).to_bits() };
            return Ok(Source::plain(self.immediate(bits)));
        }
        self.source()
    }

    /// A 32-bit source of which a byte or a half may be selected (`R3.H1`, `R3.B2`), and the bits below that part.
    pub fn part_source(&mut self) -> Lowered<(Source, u8)> {
        let Some(Operand::Register(register)) = self.peek() else { return Ok((self.float_source()?, 0)) };
        let shift = match register.suffixes.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            [] | ["H0" | "B0" | "H0_H0"] => 0,
            ["B1"] => 8,
            ["H1" | "B2" | "H1_H1"] => 16,
            ["B3"] => 24,
            _ => {
                let suffix = register.suffixes.join(".");
                return Err(Refusal::new(format!("register suffix `.{suffix}` is not supported"), ""));
            }
        };
        self.next += 1;
        let RegisterOperand { negate, absolute, invert, .. } = *register;
        Ok((Source { slot: self.register(register.file, register.number), negate, absolute, invert }, shift))
    }

    /// A 64-bit floating-point source; an immediate gives the upper word.
    pub fn double_source(&mut self) -> Lowered<Source> {
        if let Some(Operand::Float(value)) = self.peek() {
            self.next += 1;
            let high = ConstantWord::Immediate((value.to_bits() >> 32) as u32);
            return Ok(Source::plain(self.pool(&[ConstantWord::Immediate(0), high])));
        }
        self.wide_source()
    }

    /// An integer immediate.
    pub fn number(&mut self) -> Lowered<i64> {
        match self.next()? {
            Operand::Integer(value) => Ok(*value),
            _ => self.unexpected("an integer"),
        }
    }

    /// A branch target as an index into the code.
    pub fn branch_target(&mut self) -> Lowered<u32> {
        let target = self.number()?;
        let index = u32::try_from(target / 16).ok().filter(|&index| (index as usize) < self.kernel.instructions.len());
        match index {
            Some(index) if target % 16 == 0 => Ok(index),
            _ => Err(Refusal::new(format!("no instruction is at {target:#x}"), "the listing is cut off or was edited")),
        }
    }
}

fn predicate_slot(uniform: bool, number: u8) -> u8 {
    number + if uniform { UNIFORM_PREDICATES } else { 0 }
}

fn predicate_source(predicate: PredicateOperand) -> PredicateSource {
    if predicate.number == PT {
        return PredicateSource { slot: TRUE, negate: predicate.negate };
    }
    PredicateSource { slot: predicate_slot(predicate.uniform, predicate.number), negate: predicate.negate }
}

/// The vector opcode that a uniform one corresponds to.
fn uniform_namesake(mnemonic: &str) -> Option<&'static str> {
    const NAMESAKES: [(&str, &str); 24] = [
        ("UMOV", "MOV"),
        ("UIADD3", "IADD3"),
        ("UIMAD", "IMAD"),
        ("ULEA", "LEA"),
        ("ULOP3", "LOP3"),
        ("UPLOP3", "PLOP3"),
        ("USHF", "SHF"),
        ("UISETP", "ISETP"),
        ("UVIMNMX", "VIMNMX"),
        ("UFADD", "FADD"),
        ("UFMUL", "FMUL"),
        ("UFFMA", "FFMA"),
        ("UFMNMX", "FMNMX"),
        ("UFSEL", "FSEL"),
        ("UFSETP", "FSETP"),
        ("UI2F", "I2F"),
        ("UI2FP", "I2FP"),
        ("USEL", "SEL"),
        ("UPOPC", "POPC"),
        ("UFLO", "FLO"),
        ("UBREV", "BREV"),
        ("UPRMT", "PRMT"),
        ("UIABS", "IABS"),
        ("UP2R", "P2R"),
    ];
    NAMESAKES.iter().find(|(uniform, _)| *uniform == mnemonic).map(|(_, vector)| *vector)
}
