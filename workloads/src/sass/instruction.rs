//! One machine instruction as the disassembler prints it: guard, mnemonic, modifiers, operands, control field.

use super::Control;

/// The register that reads as zero.
pub const RZ: u8 = 255;
/// The uniform register that reads as zero.
pub const URZ: u8 = 63;
/// The predicate (of either file) that reads as true.
pub const PT: u8 = 7;

/// Which file a register operand names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RegisterFile {
    /// `R`: 32 lanes of 32 bits, one per thread. 255 is [`RZ`].
    Vector,
    /// `UR`: one 32-bit value a warp. 63 is [`URZ`].
    Uniform,
}

/// A register as an operand: `-|R4|.H1_H1.reuse`, `~R2`, `R2.64`, `UR4`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RegisterOperand {
    pub file: RegisterFile,
    pub number: u8,
    pub negate: bool,
    pub absolute: bool,
    /// Bitwise complement (`~`).
    pub invert: bool,
    /// The register-file cache keeps this register after the read.
    pub reuse: bool,
    /// What stands behind the register name and is not `reuse`, in order: `64`, `H0_H0`, `X4`, `U32`, `COL` ….
    pub suffixes: Vec<String>,
}

impl RegisterOperand {
    /// Reads as zero.
    pub fn is_zero(&self) -> bool {
        match self.file {
            RegisterFile::Vector => self.number == RZ,
            RegisterFile::Uniform => self.number == URZ,
        }
    }

    pub fn has_suffix(&self, suffix: &str) -> bool {
        self.suffixes.iter().any(|own| own == suffix)
    }
}

/// A predicate as an operand: `!P0`, `PT`, `UP1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PredicateOperand {
    /// Of the uniform file (`UP`): one bit a warp. Otherwise one bit a lane.
    pub uniform: bool,
    pub number: u8,
    pub negate: bool,
}

/// A word in constant space: `-c[0x0][0x160]`, `c[0x3][R2+0x10]`, `c[0x0][UR4]`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ConstantOperand {
    pub bank: u8,
    /// Index register, when the offset is not immediate.
    pub index: Option<(RegisterFile, u8)>,
    /// Byte offset.
    pub offset: i32,
    pub negate: bool,
    pub absolute: bool,
    pub invert: bool,
    /// As at a register: `H0_H0` ….
    pub suffixes: Vec<String>,
}

/// An address: `[R2.64+0x10]`, `desc[UR4][R2.64+UR8+0x10]`, `[R3.X4]`, `[UR4]`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct MemoryOperand {
    /// First (even) uniform register of the descriptor, if one is named.
    pub descriptor: Option<u8>,
    /// Vector base register; its suffixes (`64`, `X4`, `U32` …) say how it enters the sum.
    pub base: Option<RegisterOperand>,
    /// Uniform register added to the base (or standing alone).
    pub uniform: Option<RegisterOperand>,
    /// Byte offset.
    pub offset: i64,
}

/// One operand.
#[derive(Clone, Debug, PartialEq)]
pub enum Operand {
    Register(RegisterOperand),
    Predicate(PredicateOperand),
    /// A number printed in hexadecimal: an integer, a branch target (byte offset in the function), a table.
    Integer(i64),
    /// A number printed in decimal: the immediate of a floating-point instruction.
    Float(f64),
    Constant(ConstantOperand),
    Memory(MemoryOperand),
    /// `gdesc[UR4].tnspB`: matrix descriptors in consecutive uniform registers from this one on.
    MatrixDescriptor(RegisterOperand),
    /// Convergence barrier `B0`…`B15`.
    ConvergenceBarrier(u8),
    /// Dependence counter `SB0`…`SB5`.
    Counter(u8),
    /// `{1,3}`: a set of dependence counters, one bit each.
    CounterSet(u8),
    /// Anything else that is a name: `SR_TID.X`, `gsb0`, `PR`.
    Name(String),
}

/// `@P0`, `@!UP1`. `None` in [`Instruction::guard`] means always.
pub type Guard = PredicateOperand;

/// One machine instruction.
#[derive(Clone, Debug, PartialEq)]
pub struct Instruction {
    /// Byte offset in its function.
    pub pc: u32,
    /// Line in the file it was read from, counted from 1; 0 when it came from no file.
    pub line: u32,
    pub guard: Option<Guard>,
    /// Base mnemonic: `IMAD` of `IMAD.WIDE.U32`.
    pub mnemonic: String,
    /// What follows the base mnemonic, in order: `WIDE`, `U32`.
    pub modifiers: Vec<String>,
    /// Destinations first, as printed.
    pub operands: Vec<Operand>,
    pub control: Control,
    /// Low and high 64-bit words; `None` for test programs without encodings.
    pub encoding: Option<(u64, u64)>,
    /// The text between address and semicolon, for messages and views.
    pub text: String,
}

impl Instruction {
    pub fn has_modifier(&self, modifier: &str) -> bool {
        self.modifiers.iter().any(|own| own == modifier)
    }

    /// Mnemonic with all its modifiers, as printed.
    pub fn full_mnemonic(&self) -> String {
        let mut full = self.mnemonic.clone();
        for modifier in &self.modifiers {
            full.push('.');
            full.push_str(modifier);
        }
        full
    }
}
