//! SASS: the machine code of NVIDIA GPUs.
//!
//! ```text
//!  listing text ─▶ instruction (syntax) ─┬─▶ uses      (registers read and written, by operand slot)
//!  encoding     ─▶ control field         │
//!  metadata     ─▶ kernel ───────────────┴─▶ executor  (values) ─▶ stream ─▶ timing model (cycles)
//!  launch file  ─▶ launch ─────────────────▶    │
//!                                               └─▶ check (against plain Rust)
//! ```
//!
//! The syntactic layer keeps every mnemonic, modifier and operand as the disassembler printed it, so that a layer above
//! can refuse what it does not understand by name and line.

pub mod arch;
pub mod catalog;
pub mod check;
pub mod control;
pub mod error;
pub mod exec;
pub mod instruction;
pub mod kernel;
pub mod launch;
pub mod listing;
mod opcodes;
pub mod parse;
pub mod program;
pub mod tensor_map;
pub mod uses;

pub use control::Control;
pub use error::SassError;
pub use instruction::{
    ConstantOperand, Guard, Instruction, MemoryOperand, Operand, PT, PredicateOperand, RZ, RegisterFile,
    RegisterOperand, URZ,
};
pub use kernel::Kernel;
pub use launch::Launch;
pub use listing::Listing;
pub use parse::{ParseError, parse_instruction, parse_with_control};
pub use uses::{ConstantUse, OpClass, Span, Uses, UsesError};
