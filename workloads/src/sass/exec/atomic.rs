//! Atomics: ATOM, ATOMG, RED, REDG on global memory, ATOMS on shared memory.
//!
//! Lanes act in ascending order, CTAs in dispatch order, so that results are deterministic (also those of floating-point
//! additions, whose order hardware leaves open).

use super::coalesce::Pattern;
use super::fault::Fault;
use super::frame::{DISCARD_PREDICATE, Frame, Slot, lanes_of};
use super::ieee::{self, Mode, Rounding};
use super::lower::{Lowered, Lowering, Refusal};
use super::memory::{Address, Memories, Width, check_alignment, hints, outside_global, outside_shared};
use super::narrow;
use super::op::Op;
use super::windows;
use crate::sass::Operand;
use crate::stream::{AccessKind, NO_ACCESS, Space};

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
    /// The same, but the result tells whether it was written (`CAST.SPIN`).
    TrySwap,
    /// Adds 1 for each lane, whatever the operand (`POPC.INC`).
    Count,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Unsigned,
    Signed,
    Float {
        flush: bool,
    },
    Double,
    /// Two numbers of 16 bits.
    Halves(narrow::Format),
}

/// Where an atomic acts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Global,
    Shared,
    /// The address tells. What is `native` the hardware does on shared memory, too; other operations there, and all in local
    /// memory, are left to the code behind, which asks the predicate.
    Generic {
        native: bool,
    },
}

#[derive(Clone, Copy, Debug)]
pub struct AtomicOp {
    action: Action,
    format: Format,
    bytes: u8,
    place: Place,
    /// Old value; `None` for reductions.
    to: Option<Slot>,
    /// Lanes whose operation was carried out.
    done: u8,
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
        ("CAST", Action::TrySwap),
        ("POPC", Action::Count),
        ("INC", Action::Increment),
    ];
    let action = cx.need_one_of("operation", &actions)?;
    if action == Action::Count && !cx.take("INC") {
        return Err(Refusal::new("only POPC.INC is supported", ""));
    }
    if action == Action::TrySwap {
        cx.need_one_of("form", &[("SPIN", ())])?;
    }
    let (format, bytes) = format(cx)?;
    let integer = matches!(format, Format::Unsigned | Format::Signed);
    if !integer && !matches!(action, Action::Add) {
        return Err(Refusal::new("this operation is not supported in floating point", ""));
    }
    let done = if returns { cx.optional_predicate_target()? } else { None };
    let done = done.unwrap_or(DISCARD_PREDICATE);
    // sm_120 gives the outcome of CAST as a predicate.
    let outcome = action == Action::TrySwap && matches!(cx.peek(), Some(Operand::Memory(_)));
    if mnemonic == "ATOMG" && done != DISCARD_PREDICATE {
        return Err(Refusal::new("a predicate result of ATOMG is not supported", ""));
    }
    let to = match returns {
        true if outcome => Some(cx.discard()),
        true => Some(cx.target()?),
        false => None,
    };
    let address = if shared { Address::window(cx)? } else { Address::global(cx)? };
    let zero = cx.zero();
    let operands = match action {
        Action::Count => [zero; 2],
        Action::CompareAndSwap | Action::TrySwap => [cx.plain_source()?, cx.plain_source()?],
        _ => [cx.plain_source()?, zero],
    };
    // ATOMS has integers of 32 bits, and exchanges of 64.
    let exchange = matches!(action, Action::Exchange | Action::CompareAndSwap | Action::TrySwap);
    let place = match mnemonic {
        "ATOMS" => Place::Shared,
        "ATOM" => Place::Generic { native: integer && (bytes == 4 || exchange) },
        _ => Place::Global,
    };
    Ok(Some(Op::Atomic(AtomicOp { action, format, bytes, place, to, done, address, operands })))
}

fn format(cx: &mut Lowering<'_>) -> Lowered<(Format, u8)> {
    let flush = cx.take("FTZ");
    let formats = [
        ("F32", (Format::Float { flush }, 4)),
        ("F64", (Format::Double, 8)),
        ("F16x2", (Format::Halves(narrow::BINARY16), 4)),
        ("BF16x2", (Format::Halves(narrow::BFLOAT16), 4)),
        ("S32", (Format::Signed, 4)),
        ("U32", (Format::Unsigned, 4)),
        ("S64", (Format::Signed, 8)),
        ("U64", (Format::Unsigned, 8)),
        ("64", (Format::Unsigned, 8)),
        ("32", (Format::Unsigned, 4)),
    ];
    let (format, bytes) = cx.take_one_of(&formats).unwrap_or((Format::Unsigned, 4));
    let float = matches!(format, Format::Float { .. } | Format::Double | Format::Halves(_));
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
                Format::Halves(format) => {
                    let sum = |shift: u32| {
                        let [old, a] = [old, a].map(|word| format.widen((word >> shift) as u16));
                        u64::from(format.narrow(ieee::add_to_odd(old, a), Rounding::Nearest)) << shift
                    };
                    sum(16) | sum(0)
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
            Action::CompareAndSwap | Action::TrySwap => {
                if old == a {
                    b
                } else {
                    old
                }
            }
            Action::Count => old.wrapping_add(1),
        }
    }

    /// Updates the bytes; returns what they held, or whether they changed hands. Counts a change in `changes`.
    fn update(&self, bytes: &mut [u8], frame: &Frame, lane: usize, changes: &mut u64) -> u64 {
        let operand = |slot: Slot| if self.bytes == 8 { frame.wide(slot, lane) } else { frame.word(slot)[lane].into() };
        let old = bytes.iter().rev().fold(0, |value, &byte| value << 8 | u64::from(byte));
        let operands = self.operands.map(operand);
        let new = self.apply(old, operands);
        bytes.copy_from_slice(&new.to_le_bytes()[..bytes.len()]);
        *changes += u64::from(new != old);
        if self.action == Action::TrySwap { u64::from(old == operands[0]) } else { old }
    }

    fn width(&self) -> Width {
        Width { bytes: self.bytes, signed: false }
    }

    fn kind(&self) -> AccessKind {
        if self.to.is_some() { AccessKind::Atomic } else { AccessKind::Reduction }
    }

    fn on_shared<const RECORD: bool>(
        &self,
        frame: &Frame,
        mask: u32,
        addresses: &[u32; 32],
        position: u32,
        memories: &mut Memories<'_, RECORD>,
        old: &mut [u64; 32],
    ) -> Result<u32, Fault> {
        for lane in lanes_of(mask) {
            check_alignment("shared", addresses[lane].into(), lane, self.width())?;
            let Some(bytes) = memories.shared.at_mut(addresses[lane], self.bytes.into()) else {
                return Err(outside_shared(addresses[lane], lane, self.width(), memories.shared));
            };
            old[lane] = self.update(bytes, frame, lane, memories.changes);
        }
        Ok(memories.recorder.banks(position, self.kind(), self.bytes.into(), mask, addresses))
    }

    fn on_global<const RECORD: bool>(
        &self,
        frame: &Frame,
        mask: u32,
        addresses: &[u64; 32],
        position: u32,
        memories: &mut Memories<'_, RECORD>,
        old: &mut [u64; 32],
    ) -> Result<u32, Fault> {
        for lane in lanes_of(mask) {
            let address = addresses[lane];
            check_alignment("global", address, lane, self.width())?;
            let index = memories.global.index_of(address);
            let inside = memories.global.get_mut(index).and_then(|buffer| buffer.at_mut(address, self.bytes.into()));
            let Some(bytes) = inside else { return Err(outside_global(address, lane, self.width(), memories.global)) };
            old[lane] = self.update(bytes, frame, lane, memories.changes);
        }
        let pattern = Pattern::of_wide(self.bytes.into(), mask, addresses);
        Ok(memories.recorder.lines(position, (Space::Global, self.kind()), self.bytes.into(), mask, addresses, pattern))
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
    let mut old = [0; 32];
    let (record, done) = match op.place {
        Place::Shared => (op.on_shared(frame, mask, &op.address.narrow(frame), position, memories, &mut old)?, mask),
        Place::Global => (op.on_global(frame, mask, &op.address.wide(frame), position, memories, &mut old)?, mask),
        Place::Generic { native } => {
            let addresses = op.address.wide(frame);
            let [shared, global] =
                [Space::Shared, Space::Global].map(|space| windows::lanes_in(space, mask, &addresses));
            // Without a predicate nothing stands behind to do it.
            let shared = if native || op.done == DISCARD_PREDICATE { shared } else { 0 };
            let mut record = NO_ACCESS;
            if shared != 0 {
                let offsets = windows::offsets(&addresses);
                record = op.on_shared(frame, shared, &offsets, position, memories, &mut old)?;
            }
            if global != 0 {
                record = op.on_global(frame, global, &addresses, position, memories, &mut old)?;
            }
            (record, shared | global)
        }
    };
    let done_or_swapped = match op.action {
        Action::TrySwap => lanes_of(done).filter(|&lane| old[lane] != 0).fold(0, |lanes, lane| lanes | 1 << lane),
        _ => done,
    };
    frame.write_predicate(op.done, mask, done_or_swapped);
    if let Some(to) = op.to {
        if op.bytes == 8 {
            frame.write_wide(to, done, &old);
        } else {
            frame.write(to, done, &old.map(|value| value as u32));
        }
    }
    Ok(record)
}
