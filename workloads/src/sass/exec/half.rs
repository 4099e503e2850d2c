//! Packed arithmetic on two 16-bit numbers a register: HADD2, HMUL2, HFMA2 (and HFMA2.MMA, the same operation on another
//! unit), HMNMX2, VHMNMX (of three), HSET2, HSETP2. Numbers are binary16, or bfloat16 with `.BF16_V2`.
//!
//! Sums and fused products are formed in double precision, rounded to odd and then once to 16 bits: that equals one
//! rounding of the exact value (see [`super::ieee`]; a product of two such numbers has at most 22 bits). `HADD2.F32` adds
//! two of them into a single, the compiler's way to convert one.
//!
//! Sources: PTX ISA, "Half Precision Floating Point Instructions" (`add`, `mul`, `fma`, `min`, `max` with `.relu`, `.NaN`,
//! `.xorsign.abs`) and "Half Precision Comparison Instructions" (`set`, `setp`; `setp.p|q`: p is of the lower halves).

use super::compare::{Boolean, FloatRelation};
use super::frame::{Frame, PredicateSource, Slot, Source, lanes_where};
use super::ieee::{self, Rounding, add_to_odd};
use super::lower::{Lowered, Lowering, Refusal};
use super::narrow::{BFLOAT16, BINARY16, Format};
use super::op::Op;
use crate::sass::Operand;

/// A packed source: which half of the register each half of the operation reads.
#[derive(Clone, Copy, Debug)]
pub struct HalfSource {
    source: Source,
    /// Shift (0 or 16) that brings the half in place, for the lower and the upper result.
    shifts: [u8; 2],
}

#[derive(Clone, Copy, Debug)]
pub enum HalfOp {
    Add {
        to: Slot,
        from: [HalfSource; 2],
        mode: HalfMode,
    },
    Multiply {
        to: Slot,
        from: [HalfSource; 2],
        mode: HalfMode,
    },
    Fused {
        to: Slot,
        from: [HalfSource; 3],
        mode: HalfMode,
    },
    /// The lower halves into a single.
    AddToSingle {
        to: Slot,
        from: [HalfSource; 2],
        mode: HalfMode,
    },
    /// Minimum where the predicate holds, maximum elsewhere.
    MinMax {
        to: Slot,
        from: [HalfSource; 2],
        minimum: PredicateSource,
        mode: HalfMode,
        /// A NaN operand gives NaN; otherwise the other operand.
        nan: bool,
        /// A third operand (VHMNMX).
        third: Option<HalfSource>,
        /// The result gets the product of the operands' signs.
        xor_sign: bool,
    },
    /// The relation of each half, as 1.0 or as a mask.
    Set {
        to: Slot,
        from: [HalfSource; 2],
        test: Test,
        mode: HalfMode,
        number: bool,
    },
    /// The relations of the lower and of the upper halves into two predicates.
    Compare {
        to: [u8; 2],
        from: [HalfSource; 2],
        test: Test,
        mode: HalfMode,
    },
}

/// A relation, and how it is combined with a predicate.
#[derive(Clone, Copy, Debug)]
pub struct Test {
    relation: FloatRelation,
    boolean: Boolean,
    with: PredicateSource,
}

#[derive(Clone, Copy, Debug)]
pub struct HalfMode {
    format: Format,
    flush: bool,
    saturate: bool,
    relu: bool,
}

pub fn lower(cx: &mut Lowering<'_>, mnemonic: &str) -> Lowered<Option<Op>> {
    if !matches!(mnemonic, "HADD2" | "HMUL2" | "HFMA2" | "HMNMX2" | "VHMNMX" | "HSET2" | "HSETP2") {
        return Ok(None);
    }
    let _ = mnemonic == "HFMA2" && cx.take("MMA");
    let single = mnemonic == "HADD2" && cx.take("F32");
    let format = if cx.take("BF16_V2") { BFLOAT16 } else { BINARY16 };
    let mode = HalfMode { format, flush: cx.take("FTZ"), saturate: cx.take("SAT"), relu: cx.take("RELU") };
    let op = match mnemonic {
        "HADD2" if single => {
            let to = cx.target()?;
            HalfOp::AddToSingle { to, from: [source(cx, format)?, source(cx, format)?], mode }
        }
        "HADD2" => HalfOp::Add { to: cx.target()?, from: [source(cx, format)?, source(cx, format)?], mode },
        "HMUL2" => HalfOp::Multiply { to: cx.target()?, from: [source(cx, format)?, source(cx, format)?], mode },
        "HMNMX2" | "VHMNMX" => {
            let (nan, xor_sign) = (cx.take("NAN"), cx.take("XORSIGN"));
            let to = cx.target()?;
            let from = [source(cx, format)?, source(cx, format)?];
            let third = if mnemonic == "VHMNMX" { Some(source(cx, format)?) } else { None };
            HalfOp::MinMax { to, from, minimum: cx.predicate()?, mode, nan, third, xor_sign }
        }
        "HSET2" => {
            let number = cx.take("BF");
            let (relation, boolean) = (FloatRelation::of(cx)?, Boolean::of(cx)?);
            let to = cx.target()?;
            let from = [source(cx, format)?, source(cx, format)?];
            HalfOp::Set { to, from, test: Test { relation, boolean, with: cx.predicate()? }, mode, number }
        }
        "HSETP2" => {
            let (relation, boolean) = (FloatRelation::of(cx)?, Boolean::of(cx)?);
            let to = [cx.predicate_target()?, cx.predicate_target()?];
            let from = [source(cx, format)?, source(cx, format)?];
            HalfOp::Compare { to, from, test: Test { relation, boolean, with: cx.predicate()? }, mode }
        }
        _ => return fused(cx, mode).map(Some),
    };
    Ok(Some(Op::Half(op)))
}

fn fused(cx: &mut Lowering<'_>, mode: HalfMode) -> Lowered<Op> {
    let to = cx.target()?;
    let from = [source(cx, mode.format)?, source(cx, mode.format)?, source(cx, mode.format)?];
    // −0·0 + c is c: the compiler's way to load a constant through an idle unit.
    let [a, b, c] = from.map(|source| source.source);
    let factors_are_zero = a.slot == cx.zero() && b.slot == cx.zero() && a.negate != b.negate;
    if let (true, Some(value), true) = (factors_are_zero, cx.immediate_value(c), from[2].shifts == BOTH)
        && !mode.flush
        && !mode.saturate
        && !mode.relu
        && [value, value >> 16].iter().all(|half| !mode.format.is_nan(*half as u16))
    {
        return Ok(Op::Logic(super::logic::LogicOp::Move { to, from: c.slot }));
    }
    Ok(Op::Half(HalfOp::Fused { to, from, mode }))
}

const BOTH: [u8; 2] = [0, 16];

fn source(cx: &mut Lowering<'_>, format: Format) -> Lowered<HalfSource> {
    match cx.peek() {
        // Two decimal immediates, upper half first.
        Some(Operand::Float(upper)) => {
            cx.next()?;
            let Operand::Float(lower) = cx.next()? else {
                return Err(Refusal::new("the second half of a packed immediate is missing", ""));
            };
            let [upper, lower] = [*upper, *lower].map(|value| u32::from(format.narrow(value, Rounding::Nearest)));
            Ok(HalfSource { source: Source::plain(cx.immediate(upper << 16 | lower)), shifts: BOTH })
        }
        Some(Operand::Register(register)) => {
            cx.next()?;
            let shifts = selected_halves(&register.suffixes)?;
            if register.invert {
                return Err(Refusal::new("a complement makes no sense in floating point", ""));
            }
            let slot = cx.register_slot(register);
            let source = Source { slot, negate: register.negate, absolute: register.absolute, invert: false };
            Ok(HalfSource { source, shifts })
        }
        Some(Operand::Constant(constant)) if constant.index.is_none() && !constant.invert => {
            cx.next()?;
            let shifts = selected_halves(&constant.suffixes)?;
            let slot = cx.bank_words(constant.bank, constant.offset.into(), 1)?;
            let source = Source { slot, negate: constant.negate, absolute: constant.absolute, invert: false };
            Ok(HalfSource { source, shifts })
        }
        _ => Ok(HalfSource { source: cx.source()?, shifts: BOTH }),
    }
}

fn selected_halves(suffixes: &[String]) -> Lowered<[u8; 2]> {
    match suffixes.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] | ["H1_H0"] => Ok(BOTH),
        ["H0_H0"] => Ok([0, 0]),
        ["H1_H1"] => Ok([16, 16]),
        ["H0_H1"] => Ok([16, 0]),
        _ => Err(Refusal::new(format!("operand suffix `.{}` is not supported", suffixes.join(".")), "")),
    }
}

impl HalfMode {
    /// Subnormals to zero of the same sign, if asked for.
    fn flushed(self, bits: u16) -> u16 {
        if self.flush && self.format.is_subnormal(bits) { bits & self.format.sign() } else { bits }
    }

    fn result(self, value: f64) -> u32 {
        let bits = self.flushed(self.format.narrow(value, Rounding::Nearest));
        let negative = bits & self.format.sign() != 0;
        if self.saturate {
            return u32::from(if negative || self.format.is_nan(bits) { 0 } else { bits.min(self.format.one()) });
        }
        if self.relu && negative { 0 } else { bits.into() }
    }

    /// The half of an operand with its marks, as bits.
    fn operand(self, frame: &Frame, from: HalfSource, half: usize, lane: usize) -> u16 {
        let bits = self.flushed((frame.word(from.source.slot)[lane] >> from.shifts[half]) as u16);
        let bits = if from.source.absolute { bits & !self.format.sign() } else { bits };
        if from.source.negate { bits ^ self.format.sign() } else { bits }
    }

    fn minimum_or_maximum(self, [a, b]: [u16; 2], minimum: bool, nan: bool) -> u16 {
        // As integers that are ordered like the numbers, −0 before +0.
        let order = |bits: u16| {
            let magnitude = i32::from(bits & !self.format.sign());
            if bits & self.format.sign() != 0 { -1 - magnitude } else { magnitude }
        };
        match [a, b].map(|bits| self.format.is_nan(bits)) {
            [true, true] => self.format.nan,
            [true, false] | [false, true] if nan => self.format.nan,
            [true, false] => b,
            [false, true] => a,
            _ if (order(a) < order(b)) == minimum => a,
            _ => b,
        }
    }
}

/// The result of `f` on each half, packed.
fn write_halves(frame: &mut Frame, to: Slot, mask: u32, f: impl Fn(&Frame, usize, usize) -> u32) {
    let out = std::array::from_fn(|lane| (f(frame, 1, lane) << 16) | f(frame, 0, lane));
    frame.write(to, mask, &out);
}

pub fn execute(op: &HalfOp, frame: &mut Frame, mask: u32) {
    let value = |frame: &Frame, mode: HalfMode, from: HalfSource, half: usize, lane: usize| {
        mode.format.widen(mode.operand(frame, from, half, lane))
    };
    match *op {
        HalfOp::Add { to, from: [a, b], mode } => write_halves(frame, to, mask, |frame, half, lane| {
            let read = |from| value(frame, mode, from, half, lane);
            mode.result(add_to_odd(read(a), read(b)))
        }),
        HalfOp::Multiply { to, from: [a, b], mode } => write_halves(frame, to, mask, |frame, half, lane| {
            let read = |from| value(frame, mode, from, half, lane);
            mode.result(read(a) * read(b))
        }),
        HalfOp::Fused { to, from: [a, b, c], mode } => write_halves(frame, to, mask, |frame, half, lane| {
            let read = |from| value(frame, mode, from, half, lane);
            mode.result(add_to_odd(read(a) * read(b), read(c)))
        }),
        HalfOp::AddToSingle { to, from: [a, b], mode } => {
            let read = |from, lane| value(frame, mode, from, 0, lane);
            let out =
                std::array::from_fn(|lane| ieee::narrow(add_to_odd(read(a, lane), read(b, lane)), Rounding::Nearest));
            frame.write(to, mask, &out);
        }
        HalfOp::MinMax { to, from, minimum, mode, nan, third, xor_sign } => {
            let minimum = frame.predicate(minimum);
            write_halves(frame, to, mask, |frame, half, lane| {
                let operands = from.map(|from| mode.operand(frame, from, half, lane));
                let minimum = minimum >> lane & 1 == 1;
                let bits = mode.minimum_or_maximum(operands, minimum, nan);
                let bits = third.map_or(bits, |third| {
                    mode.minimum_or_maximum([bits, mode.operand(frame, third, half, lane)], minimum, nan)
                });
                if !xor_sign || mode.format.is_nan(bits) {
                    return bits.into();
                }
                // The operands' own signs, before the absolute values that go with this form.
                let signs = from.map(|from| frame.word(from.source.slot)[lane] >> from.shifts[half]);
                let sign = (signs[0] ^ signs[1]) as u16 & mode.format.sign();
                (bits & !mode.format.sign() | sign).into()
            });
        }
        HalfOp::Set { to, from, test, mode, number } => {
            let one = u32::from(if number { mode.format.one() } else { u16::MAX });
            let found = [0, 1].map(|half| test.lanes(frame, from, mode, half));
            write_halves(frame, to, mask, |_, half, lane| (found[half] >> lane & 1) * one);
        }
        HalfOp::Compare { to, from, test, mode } => {
            for half in [0, 1] {
                let found = test.lanes(frame, from, mode, half);
                frame.write_predicate(to[half], mask, found);
            }
        }
    }
}

impl Test {
    /// Lanes where the relation holds between the halves, combined with the predicate.
    fn lanes(self, frame: &Frame, from: [HalfSource; 2], mode: HalfMode, half: usize) -> u32 {
        let found = lanes_where(|lane| {
            let [a, b] = from.map(|from| mode.format.widen(mode.operand(frame, from, half, lane)));
            self.relation.holds(a < b, a == b, a > b)
        });
        self.boolean.apply(found, frame.predicate(self.with))
    }
}
