//! Atomics: ATOM, ATOMG, RED, REDG on global memory, ATOMS on shared memory.
//!
//! Lanes act in ascending order, CTAs in dispatch order, so that results are deterministic (also those of floating-point
//! additions, whose order hardware leaves open).

use super::coalesce::Pattern;
use super::fault::{Cause, Fault};
use super::frame::{Frame, Slot, lanes_of};
use super::ieee::{self, Mode, Rounding};
use super::lower::{Lowered, Lowering, Refusal};
use super::memory::{Address, Memories, Width, check_alignment, hints, outside_shared};
use super::op::Op;
use crate::stream::{AccessKind, Space};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Add,
    Min,
    Max,
    And,
    Or,
    Xor,
    /// Counts up to the operand, then wraps to 0.
    Increment,
    /// Counts down from the operand, wrapping to it at 0 and above it.
    Decrement,
    Exchange,
    /// Operand 0 is compared, operand 1 is written.
    CompareAndSwap,
    /// Adds 1 for each lane, whatever the operand (`POPC.INC`).
    Count,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Unsigned,
    Signed,
    Float { flush: bool },
    Double,
}

#[derive(Clone, Copy, Debug)]
pub struct AtomicOp {
    action: Action,
    format: Format,
    bytes: u8,
    shared: bool,
    /// Old value; `None` for reductions.
    to: Option<Slot>,
    address: Address,
    operands: [Slot; 2],
}

pub fn lower(cx: &mut Lowering<'_>, mnemonic: &str) -> Lowered<Option<Op>> {
    let (shared, returns) = match mnemonic {
        "ATOM" | "ATOMG" => (false, true),
        "RED" | "REDG" => (false, false),
        "ATOMS" => (true, true),
        _ => return Ok(None),
    };
    if !shared && !cx.take("E") {
        return Err(Refusal::new("a 32-bit address space is not supported", "expected the modifier .E"));
    }
    hints(cx);
    let actions = [
        ("ADD", Action::Add),
        ("MIN", Action::Min),
        ("MAX", Action::Max),
        ("AND", Action::And),
        ("OR", Action::Or),
        ("XOR", Action::Xor),
        ("DEC", Action::Decrement),
        ("EXCH", Action::Exchange),
        ("CAS", Action::CompareAndSwap),
        ("POPC", Action::Count),
        ("INC", Action::Increment),
    ];
    let action = cx.need_one_of("operation", &actions)?;
    if action == Action::Count && !cx.take("INC") {
        return Err(Refusal::new("only POPC.INC is supported", ""));
    }
    let (format, bytes) = format(cx)?;
    let integer = matches!(format, Format::Unsigned | Format::Signed);
    if !integer && !matches!(action, Action::Add) {
        return Err(Refusal::new("this operation is not supported in floating point", ""));
    }
    let predicate = if returns && !shared { cx.optional_predicate_target()? } else { None };
    if predicate.is_some_and(|slot| slot != super::frame::DISCARD_PREDICATE) {
        return Err(Refusal::new("a predicate result of an atomic is not supported", ""));
    }
    let to = if returns { Some(cx.target()?) } else { None };
    let address = if shared { Address::window(cx)? } else { Address::global(cx)? };
    let zero = cx.zero();
    let operands = match action {
        Action::Count => [zero; 2],
        Action::CompareAndSwap => [cx.plain_source()?, cx.plain_source()?],
        _ => [cx.plain_source()?, zero],
    };
    Ok(Some(Op::Atomic(AtomicOp { action, format, bytes, shared, to, address, operands })))
}

fn format(cx: &mut Lowering<'_>) -> Lowered<(Format, u8)> {
    let flush = cx.take("FTZ");
    let formats = [
        ("F32", (Format::Float { flush }, 4)),
        ("F64", (Format::Double, 8)),
        ("S32", (Format::Signed, 4)),
        ("U32", (Format::Unsigned, 4)),
        ("S64", (Format::Signed, 8)),
        ("U64", (Format::Unsigned, 8)),
        ("64", (Format::Unsigned, 8)),
        ("32", (Format::Unsigned, 4)),
    ];
    let (format, bytes) = cx.take_one_of(&formats).unwrap_or((Format::Unsigned, 4));
    let float = matches!(format, Format::Float { .. } | Format::Double);
    if float && super::float::rounding(cx) != Rounding::Nearest {
        return Err(Refusal::new("a directed rounding is not supported in atomics", ""));
    }
    Ok((format, bytes))
}

impl AtomicOp {
    /// The value that replaces `old`.
    fn apply(&self, old: u64, [a, b]: [u64; 2]) -> u64 {
        let less = match (self.format, self.bytes) {
            (Format::Signed, 4) => (a as i32) < old as i32,
            (Format::Signed, _) => (a as i64) < old as i64,
            _ => a < old,
        };
        match self.action {
            Action::Add => match self.format {
                Format::Float { flush } => {
                    let mode = Mode { flush, ..Mode::IEEE };
                    ieee::sum(old as u32, a as u32, mode).into()
                }
                Format::Double => {
                    let sum = f64::from_bits(old) + f64::from_bits(a);
                    if sum.is_nan() { 0x7fff_ffff_ffff_ffff } else { sum.to_bits() }
                }
                _ => old.wrapping_add(a),
            },
            Action::Min => {
                if less {
                    a
                } else {
                    old
                }
            }
            Action::Max => {
                if less {
                    old
                } else {
                    a
                }
            }
            Action::And => old & a,
            Action::Or => old | a,
            Action::Xor => old ^ a,
            Action::Increment => {
                if old >= a {
                    0
                } else {
                    old + 1
                }
            }
            Action::Decrement => {
                if old == 0 || old > a {
                    a
                } else {
                    old - 1
                }
            }
            Action::Exchange => a,
            Action::CompareAndSwap => {
                if old == a {
                    b
                } else {
                    old
                }
            }
            Action::Count => old.wrapping_add(1),
        }
    }

    /// Updates the bytes, returns what they held. Counts a change in `changes`.
    fn update(&self, bytes: &mut [u8], frame: &Frame, lane: usize, changes: &mut u64) -> u64 {
        let operand = |slot: Slot| if self.bytes == 8 { frame.wide(slot, lane) } else { frame.word(slot)[lane].into() };
        let old = bytes.iter().rev().fold(0, |value, &byte| value << 8 | u64::from(byte));
        let new = self.apply(old, self.operands.map(operand));
        bytes.copy_from_slice(&new.to_le_bytes()[..bytes.len()]);
        *changes += u64::from(new != old);
        old
    }
}

/// Executes; returns the index of the recorded access.
pub fn execute<const RECORD: bool>(
    op: &AtomicOp,
    frame: &mut Frame,
    mask: u32,
    position: u32,
    memories: &mut Memories<'_, RECORD>,
) -> Result<u32, Fault> {
    let kind = if op.to.is_some() { AccessKind::Atomic } else { AccessKind::Reduction };
    let width = Width { bytes: op.bytes, signed: false };
    let mut old = [0; 32];
    let record = if op.shared {
        let addresses = op.address.narrow(frame);
        for lane in lanes_of(mask) {
            check_alignment("shared", addresses[lane].into(), lane, width)?;
            let Some(bytes) = memories.shared.at_mut(addresses[lane], op.bytes.into()) else {
                return Err(outside_shared(addresses[lane], lane, width, memories.shared));
            };
            old[lane] = op.update(bytes, frame, lane, memories.changes);
        }
        {
            let pattern = Pattern::of_narrow(op.bytes.into(), mask, &addresses);
            memories.recorder.banks(position, kind, op.bytes.into(), mask, &addresses, pattern)
        }
    } else {
        let addresses = op.address.wide(frame);
        for lane in lanes_of(mask) {
            let address = addresses[lane];
            check_alignment("global", address, lane, width)?;
            let index = memories.global.index_of(address);
            let inside = memories.global.get_mut(index).and_then(|buffer| buffer.at_mut(address, op.bytes.into()));
            let Some(bytes) = inside else {
                let neighbourhood = memories.global.neighbourhood(address);
                let bytes = op.bytes.into();
                return Err(Box::new(Cause::OutOfBounds {
                    space: "global",
                    lane: lane as u32,
                    address,
                    bytes,
                    neighbourhood,
                }));
            };
            old[lane] = op.update(bytes, frame, lane, memories.changes);
        }
        {
            let pattern = Pattern::of_wide(op.bytes.into(), mask, &addresses);
            memories.recorder.lines(Space::Global, kind, op.bytes.into(), mask, &addresses, pattern)
        }
    };
    if let Some(to) = op.to {
        if op.bytes == 8 {
            frame.write_wide(to, mask, &old);
        } else {
            frame.write(to, mask, &old.map(|value| value as u32));
        }
    }
    Ok(record)
}
