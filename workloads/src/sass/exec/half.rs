//! Packed half precision: HADD2, HMUL2, HFMA2 (and HFMA2.MMA, the same operation on another unit).
//!
//! Each register holds two binary16 numbers. Sums and fused products are formed in double precision: a sum of a product of
//! halves (22 bits) and a half either fits into 53 bits exactly, or its parts are so far apart that the smaller cannot
//! bring the larger near the middle of two halves, so that rounding twice equals rounding once.

use super::frame::{Frame, Slot, Source};
use super::lower::{Lowered, Lowering, Refusal};
use super::op::Op;
use crate::sass::{Operand, RegisterFile};

/// A packed source: which half of the register each half of the operation reads.
#[derive(Clone, Copy, Debug)]
pub struct HalfSource {
    source: Source,
    /// Shift (0 or 16) that brings the half in place, for the lower and the upper result.
    shifts: [u8; 2],
}

#[derive(Clone, Copy, Debug)]
pub enum HalfOp {
    Add { to: Slot, from: [HalfSource; 2], mode: HalfMode },
    Multiply { to: Slot, from: [HalfSource; 2], mode: HalfMode },
    Fused { to: Slot, from: [HalfSource; 3], mode: HalfMode },
}

#[derive(Clone, Copy, Debug)]
pub struct HalfMode {
    flush: bool,
    saturate: bool,
    relu: bool,
}

pub fn lower(cx: &mut Lowering<'_>, mnemonic: &str) -> Lowered<Option<Op>> {
    if !matches!(mnemonic, "HADD2" | "HMUL2" | "HFMA2") {
        return Ok(None);
    }
    let _ = mnemonic == "HFMA2" && cx.take("MMA");
    let mode = HalfMode { flush: cx.take("FTZ"), saturate: cx.take("SAT"), relu: cx.take("RELU") };
    let to = cx.target()?;
    let op = match mnemonic {
        "HADD2" => HalfOp::Add { to, from: [source(cx)?, source(cx)?], mode },
        "HMUL2" => HalfOp::Multiply { to, from: [source(cx)?, source(cx)?], mode },
        _ => {
            let from = [source(cx)?, source(cx)?, source(cx)?];
            // −0·0 + c is c: the compiler's way to load a constant through an idle unit.
            let [a, b, c] = from.map(|source| source.source);
            let factors_are_zero = a.slot == cx.zero() && b.slot == cx.zero() && a.negate != b.negate;
            if let (true, Some(value), true) = (factors_are_zero, cx.immediate_value(c), from[2].shifts == BOTH)
                && !mode.flush
                && !mode.saturate
                && !mode.relu
                && [value & 0x7fff, value >> 16 & 0x7fff].iter().all(|half| *half <= 0x7c00)
            {
                return Ok(Some(Op::Logic(super::logic::LogicOp::Move { to, from: c.slot })));
            }
            HalfOp::Fused { to, from, mode }
        }
    };
    Ok(Some(Op::Half(op)))
}

const BOTH: [u8; 2] = [0, 16];

fn source(cx: &mut Lowering<'_>) -> Lowered<HalfSource> {
    match cx.peek() {
        // Two decimal immediates, upper half first.
        Some(Operand::Float(upper)) => {
            cx.next()?;
            let Operand::Float(lower) = cx.next()? else {
                return Err(Refusal::new("the second half of a packed immediate is missing", ""));
            };
            let bits = u32::from(narrow(*upper)) << 16 | u32::from(narrow(*lower));
            Ok(HalfSource { source: Source::plain(cx.immediate(bits)), shifts: BOTH })
        }
        Some(Operand::Register(register)) => {
            cx.next()?;
            let shifts = match register.suffixes.iter().map(String::as_str).collect::<Vec<_>>()[..] {
                [] | ["H1_H0"] => BOTH,
                ["H0_H0"] => [0, 0],
                ["H1_H1"] => [16, 16],
                ["H0_H1"] => [16, 0],
                _ => {
                    return Err(Refusal::new(
                        format!("register suffix `.{}` is not supported", register.suffixes.join(".")),
                        "",
                    ));
                }
            };
            if register.file == RegisterFile::Uniform || register.invert {
                return Err(Refusal::new("this operand form is not supported in half precision", ""));
            }
            let slot = cx.register_slot(register);
            let source = Source { slot, negate: register.negate, absolute: register.absolute, invert: false };
            Ok(HalfSource { source, shifts })
        }
        _ => Ok(HalfSource { source: cx.source()?, shifts: BOTH }),
    }
}

/// The NaN that GPUs produce in half precision.
const NAN: u16 = 0x7fff;

/// A half as a double, exactly.
pub fn widen(bits: u16) -> f64 {
    let sign = if bits >> 15 == 1 { -1.0 } else { 1.0 };
    let (exponent, fraction) = (i32::from(bits >> 10 & 0x1f), f64::from(bits & 0x3ff));
    let magnitude = match exponent {
        0 => fraction * power_of_two(-24),
        31 if fraction == 0.0 => f64::INFINITY,
        31 => f64::NAN,
        _ => (1024.0 + fraction) * power_of_two(exponent - 25),
    };
    sign * magnitude
}

fn power_of_two(exponent: i32) -> f64 {
    f64::from_bits(((1023 + exponent) as u64) << 52)
}

/// A double as a half, to nearest, ties to even.
pub fn narrow(value: f64) -> u16 {
    if value.is_nan() {
        return NAN;
    }
    let sign = u16::from(value.is_sign_negative()) << 15;
    let magnitude = value.abs();
    if magnitude >= 65520.0 {
        return sign | 0x7c00;
    }
    // Scale so that one unit in the last place of the half is 1, round to an integer by adding and subtracting 2^52.
    let exponent = ((magnitude.to_bits() >> 52) as i32 - 1023).max(-14);
    let unit = power_of_two(exponent - 10);
    let magic = 4_503_599_627_370_496.0;
    let units = (magnitude / unit + magic) - magic;
    // 1024 to 2048 units of a normal number; 2048 carries into the exponent by itself.
    let units = units as u16;
    let biased = (exponent + 14) as u16;
    sign | ((biased << 10) + units)
}

/// A single as a bfloat16, to nearest, ties to even.
pub fn narrow_bfloat(value: f32) -> u16 {
    if value.is_nan() {
        return NAN;
    }
    let bits = value.to_bits();
    // Half of the last bit that stays, less one unless that bit is odd. A carry out of the fraction is right as it is.
    ((bits + 0x7fff + (bits >> 16 & 1)) >> 16) as u16
}

impl HalfMode {
    fn operand(self, bits: u16) -> u16 {
        if self.flush && bits & 0x7c00 == 0 { bits & 0x8000 } else { bits }
    }

    fn result(self, value: f64) -> u32 {
        let bits = self.operand(narrow(value));
        let negative_or_nan = bits & 0x7fff > 0x7c00 || bits >> 15 == 1;
        if self.saturate {
            return u32::from(if negative_or_nan { 0 } else { bits.min(0x3c00) });
        }
        if self.relu && bits >> 15 == 1 { 0 } else { u32::from(bits) }
    }
}

fn value(frame: &Frame, from: HalfSource, half: usize, lane: usize, mode: HalfMode) -> f64 {
    let bits = mode.operand((frame.word(from.source.slot)[lane] >> from.shifts[half]) as u16);
    let value = widen(bits);
    let value = if from.source.absolute { value.abs() } else { value };
    if from.source.negate { -value } else { value }
}

pub fn execute(op: &HalfOp, frame: &mut Frame, mask: u32) {
    let (to, mode) = match *op {
        HalfOp::Add { to, mode, .. } | HalfOp::Multiply { to, mode, .. } | HalfOp::Fused { to, mode, .. } => (to, mode),
    };
    let result = |half: usize, lane: usize| {
        let read = |from: HalfSource| value(frame, from, half, lane, mode);
        mode.result(match *op {
            HalfOp::Add { from: [a, b], .. } => read(a) + read(b),
            HalfOp::Multiply { from: [a, b], .. } => read(a) * read(b),
            HalfOp::Fused { from: [a, b, c], .. } => read(a) * read(b) + read(c),
        })
    };
    let out = std::array::from_fn(|lane| (result(1, lane) << 16) | result(0, lane));
    frame.write(to, mask, &out);
}
