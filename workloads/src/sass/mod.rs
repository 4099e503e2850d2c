//! SASS: the machine code of NVIDIA GPUs.
//!
//! ```text
//!  listing text ─▶ instruction (syntax) ─┬─▶ uses      (registers read and written, by operand slot)
//!  encoding     ─▶ control field         └─▶ executor  (values), timing model (cycles)
//! ```
//!
//! The syntactic layer keeps every mnemonic, modifier and operand as the disassembler printed it, so that a layer above
//! can refuse what it does not understand by name and line.

pub mod control;
pub mod instruction;
mod opcodes;
pub mod parse;
pub mod uses;

pub use control::Control;
pub use instruction::{
    ConstantOperand, Guard, Instruction, MemoryOperand, Operand, PT, PredicateOperand, RZ, RegisterFile,
    RegisterOperand, URZ,
};
pub use parse::{ParseError, parse_instruction, parse_with_control};
pub use uses::{ConstantUse, OpClass, Span, Uses, UsesError};
