//! Programs for the bench, and streams without functional execution.

use super::super::TimingError;
use workloads::sass::{Instruction, OpClass, ParseError, Uses, parse_with_control};
use workloads::stream::{Access, AccessKind, CtaStream, DynamicOp, LINE_BYTES, Line, MbarrierUse, NO_ACCESS, Space};

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
        LoadGlobal => (Space::Global, AccessKind::Load),
        CopyGlobalToShared => (Space::Global, AccessKind::Copy),
        StoreGlobal => (Space::Global, AccessKind::Store),
        AtomicGlobal => (Space::Global, AccessKind::Atomic),
        ReductionGlobal => (Space::Global, AccessKind::Reduction),
        LoadLocal => (Space::Local, AccessKind::Load),
        StoreLocal => (Space::Local, AccessKind::Store),
        LoadShared | LoadMatrix => (Space::Shared, AccessKind::Load),
        StoreShared | StoreMatrix => (Space::Shared, AccessKind::Store),
        AtomicShared => (Space::Shared, AccessKind::Atomic),
        Mbarrier => return add_mbarrier(stream, instruction),
        BulkCopy => return add_bulk_copy(stream, instruction),
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

/// One barrier at address 0: it counts one arrival a phase and, unless the mnemonic says A1T0, one line of bytes; the n-th
/// PHASECHK waits for the n-th phase.
fn add_mbarrier(stream: &mut CtaStream, instruction: &Instruction) -> u32 {
    let waits = |(_, what): &&(u32, MbarrierUse)| matches!(what, MbarrierUse::Wait { .. });
    let earlier = stream.mbarriers.iter().filter(waits).count() as u32;
    let what = match instruction.modifiers.first().map(String::as_str) {
        Some("EXCH") => MbarrierUse::Init { arrivals: 1 },
        Some("ARRIVE") if instruction.has_modifier("A1T0") => MbarrierUse::Arrive { arrivals: 1, bytes: 0 },
        Some("ARRIVE") => MbarrierUse::Arrive { arrivals: 1, bytes: LINE_BYTES as i64 },
        Some("PHASECHK") => MbarrierUse::Wait { phase: earlier + 1 },
        _ => return NO_ACCESS,
    };
    stream.mbarriers.push((0, what));
    stream.accesses.push(Access {
        space: Space::Shared,
        kind: AccessKind::Mbarrier,
        width_bytes: 8,
        one_address: true,
        passes: 1,
        bytes: 8,
        first_line: stream.mbarriers.len() as u32 - 1,
        line_count: 1,
    });
    stream.accesses.len() as u32 - 1
}

/// A box of one line.
fn add_bulk_copy(stream: &mut CtaStream, instruction: &Instruction) -> u32 {
    let is_load = instruction.mnemonic == "UTMALDG";
    if !is_load && instruction.mnemonic != "UTMASTG" {
        return NO_ACCESS;
    }
    stream.lines.push(Line { address: DATA + 4 * LINE_BYTES, sectors: 0xf });
    stream.bulk.push(workloads::stream::BulkCopy {
        is_load,
        map_address: Some(DATA + 5 * LINE_BYTES),
        mbarrier: is_load.then_some(0),
        bytes: LINE_BYTES as u32,
        first_line: stream.lines.len() as u32 - 1,
        line_count: 1,
        line_cycles: 1,
    });
    stream.accesses.push(Access {
        space: Space::Global,
        kind: AccessKind::Bulk,
        width_bytes: 0,
        one_address: true,
        passes: 1,
        bytes: 0,
        first_line: stream.bulk.len() as u32 - 1,
        line_count: 0,
    });
    stream.accesses.len() as u32 - 1
}
