//! Programs for the bench, and streams without functional execution.

use super::super::TimingError;
use workloads::sass::{Instruction, OpClass, ParseError, Uses, parse_with_control};
use workloads::stream::{Access, AccessKind, CtaStream, DynamicOp, LINE_BYTES, Line, NO_ACCESS, Space};

/// Where the bench's data lies.
pub(super) const DATA: u64 = 0x1000_0000;

/// A straight-line test program.
#[derive(Clone, Debug)]
pub struct Program {
    pub instructions: Vec<Instruction>,
}

/// What is wrong with a test program.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProgramError {
    #[error("line {line}: {error}")]
    Syntax { line: usize, error: ParseError },
    #[error(transparent)]
    Timing(#[from] TimingError),
}

impl Program {
    /// Reads lines such as `B--2---:R0:W-:Y:S04  LDG R2, [R4.64]`.
    ///
    /// # Errors
    /// [`ProgramError::Syntax`] with the number of the line, counted from 1.
    pub fn new<L: AsRef<str>>(lines: &[L]) -> Result<Self, ProgramError> {
        let mut instructions = Vec::with_capacity(lines.len());
        for (number, line) in lines.iter().enumerate() {
            let read = parse_with_control(line.as_ref());
            let mut instruction = read.map_err(|error| ProgramError::Syntax { line: number + 1, error })?;
            instruction.pc = number as u32 * 16;
            instruction.line = number as u32 + 1;
            instructions.push(instruction);
        }
        Ok(Self { instructions })
    }
}

/// A stream in which every warp of `slots` executes the instructions of `order` with all lanes. Accesses have no bank
/// conflicts and are fully coalesced.
pub fn synthetic_stream(instructions: &[Instruction], order: &[u32], slots: &[u16]) -> CtaStream {
    let mut stream = CtaStream::default();
    let access_of: Vec<u32> = instructions.iter().map(|instruction| add_access(&mut stream, instruction)).collect();
    let ops: Vec<DynamicOp> =
        order.iter().map(|&index| DynamicOp { index, lanes: u32::MAX, access: access_of[index as usize] }).collect();
    let warps = slots.last().map_or(0, |last| usize::from(*last) + 1);
    stream.warps = vec![Vec::new(); warps];
    for &slot in slots {
        stream.warps[usize::from(slot)] = ops.clone();
    }
    stream
}

fn add_access(stream: &mut CtaStream, instruction: &Instruction) -> u32 {
    use OpClass::*;
    let Ok(uses) = Uses::of(instruction) else { return NO_ACCESS };
    let (space, kind) = match uses.class {
        LoadGlobal | CopyGlobalToShared => (Space::Global, AccessKind::Load),
        StoreGlobal => (Space::Global, AccessKind::Store),
        AtomicGlobal => (Space::Global, AccessKind::Atomic),
        ReductionGlobal => (Space::Global, AccessKind::Reduction),
        LoadLocal => (Space::Local, AccessKind::Load),
        StoreLocal => (Space::Local, AccessKind::Store),
        LoadShared | LoadMatrix => (Space::Shared, AccessKind::Load),
        StoreShared | StoreMatrix => (Space::Shared, AccessKind::Store),
        AtomicShared => (Space::Shared, AccessKind::Atomic),
        _ => return NO_ACCESS,
    };
    let width = u16::from(uses.access_bytes);
    let bytes = if uses.uniform_address { width } else { width * 32 };
    let passes = bytes.div_ceil(LINE_BYTES as u16).max(1);
    let first_line = stream.lines.len() as u32;
    let line_count = if space == Space::Shared { 0 } else { passes };
    for number in 0..u64::from(line_count) {
        stream.lines.push(Line { address: DATA + number * LINE_BYTES, sectors: 0xf });
    }
    stream.accesses.push(Access {
        space,
        kind,
        width_bytes: uses.access_bytes,
        one_address: uses.uniform_address,
        passes: passes as u8,
        bytes,
        first_line,
        line_count,
    });
    stream.accesses.len() as u32 - 1
}
