//! Double precision: DADD, DMUL, DFMA, DSETP.
//!
//! To nearest, the host's arithmetic is IEEE 754's. The directed roundings, which the compiler uses at the end of divisions
//! and roots, are computed by `rustc_apfloat`.
//!
//! `DSETP.MIN P, Q` is not documented; what it must mean follows from what the compiler writes for `fmin` (PTX ISA, `min.f64`:
//! the other operand if one is NaN, −0 below +0): P where the first operand is the result, Q where both are NaN.

use rustc_apfloat::ieee::Double;
use rustc_apfloat::{Float, Round};

use super::compare::{Boolean, FloatRelation, combine};
use super::frame::{Frame, PredicateSource, Slot, Source, lanes_where};
use super::ieee::Rounding;
use super::lower::{Lowered, Lowering, Refusal};
use super::op::Op;

/// The NaN that GPUs produce in double precision.
const NAN: u64 = 0x7fff_ffff_ffff_ffff;

#[derive(Clone, Copy, Debug)]
pub enum DoubleOp {
    Add {
        to: Slot,
        from: [Source; 2],
        rounding: Rounding,
    },
    Multiply {
        to: Slot,
        from: [Source; 2],
        rounding: Rounding,
    },
    Fused {
        to: Slot,
        from: [Source; 3],
        rounding: Rounding,
    },
    Compare {
        to: [u8; 2],
        from: [Source; 2],
        relation: FloatRelation,
        boolean: Boolean,
        with: PredicateSource,
    },
    /// Which operand is the minimum or maximum.
    Choose {
        to: [u8; 2],
        from: [Source; 2],
        minimum: bool,
        boolean: Boolean,
        with: PredicateSource,
    },
}

pub fn lower(cx: &mut Lowering<'_>, mnemonic: &str) -> Lowered<Option<Op>> {
    let op = match mnemonic {
        "DADD" => {
            let rounding = super::float::rounding(cx);
            DoubleOp::Add { to: cx.target()?, from: [source(cx)?, source(cx)?], rounding }
        }
        "DMUL" => {
            let rounding = super::float::rounding(cx);
            DoubleOp::Multiply { to: cx.target()?, from: [source(cx)?, source(cx)?], rounding }
        }
        "DFMA" => {
            let rounding = super::float::rounding(cx);
            DoubleOp::Fused { to: cx.target()?, from: [source(cx)?, source(cx)?, source(cx)?], rounding }
        }
        "DSETP" => {
            let choice = cx.take_one_of(&[("MIN", true), ("MAX", false)]);
            let relation = if choice.is_none() { Some(FloatRelation::of(cx)?) } else { None };
            let boolean = Boolean::of(cx)?;
            let to = [cx.predicate_target()?, cx.predicate_target()?];
            let from = [source(cx)?, source(cx)?];
            let with = cx.predicate()?;
            match relation {
                Some(relation) => DoubleOp::Compare { to, from, relation, boolean, with },
                None => DoubleOp::Choose { to, from, minimum: choice == Some(true), boolean, with },
            }
        }
        _ => return Ok(None),
    };
    Ok(Some(Op::Double(op)))
}

fn source(cx: &mut Lowering<'_>) -> Lowered<Source> {
    let source = cx.double_source()?;
    if source.invert { Err(Refusal::new("a complement makes no sense in floating point", "")) } else { Ok(source) }
}

fn value(frame: &Frame, source: Source, lane: usize) -> f64 {
    let value = f64::from_bits(frame.wide(source.slot, lane));
    let value = if source.absolute { value.abs() } else { value };
    if source.negate { -value } else { value }
}

pub fn canonical(value: f64) -> u64 {
    if value.is_nan() { NAN } else { value.to_bits() }
}

fn write(frame: &mut Frame, to: Slot, mask: u32, value: impl Fn(usize, &Frame) -> f64) {
    let bits = std::array::from_fn(|lane| canonical(value(lane, frame)));
    frame.write_wide(to, mask, &bits);
}

/// An operation on doubles in a rounding mode other than to nearest.
fn directed<const N: usize>(operands: [f64; N], rounding: Rounding, f: impl Fn([Double; N], Round) -> Double) -> f64 {
    let round = match rounding {
        Rounding::Nearest => Round::NearestTiesToEven,
        Rounding::Zero => Round::TowardZero,
        Rounding::Down => Round::TowardNegative,
        Rounding::Up => Round::TowardPositive,
    };
    f64::from_bits(f(operands.map(|value| Double::from_bits(value.to_bits().into())), round).to_bits() as u64)
}

/// Whether the first is the minimum (maximum) of the two.
fn is_first(a: f64, b: f64, minimum: bool) -> bool {
    match (a.is_nan(), b.is_nan()) {
        (true, _) => false,
        (false, true) => true,
        // The total order tells the zeros apart.
        _ => {
            if minimum {
                a.total_cmp(&b).is_le()
            } else {
                a.total_cmp(&b).is_ge()
            }
        }
    }
}

pub fn execute(op: &DoubleOp, frame: &mut Frame, mask: u32) {
    match *op {
        DoubleOp::Add { to, from: [a, b], rounding: Rounding::Nearest } => {
            write(frame, to, mask, |lane, frame| value(frame, a, lane) + value(frame, b, lane));
        }
        DoubleOp::Multiply { to, from: [a, b], rounding: Rounding::Nearest } => {
            write(frame, to, mask, |lane, frame| value(frame, a, lane) * value(frame, b, lane));
        }
        // The standard library's fused multiply-add is correctly rounded on every platform.
        DoubleOp::Fused { to, from: [a, b, c], rounding: Rounding::Nearest } => {
            write(frame, to, mask, |lane, frame| {
                value(frame, a, lane).mul_add(value(frame, b, lane), value(frame, c, lane))
            })
        }
        DoubleOp::Add { to, from, rounding } => write(frame, to, mask, |lane, frame| {
            directed(from.map(|source| value(frame, source, lane)), rounding, |[a, b], round| a.add_r(b, round).value)
        }),
        DoubleOp::Multiply { to, from, rounding } => write(frame, to, mask, |lane, frame| {
            directed(from.map(|source| value(frame, source, lane)), rounding, |[a, b], round| a.mul_r(b, round).value)
        }),
        DoubleOp::Fused { to, from, rounding } => write(frame, to, mask, |lane, frame| {
            let operands = from.map(|source| value(frame, source, lane));
            directed(operands, rounding, |[a, b, c], round| a.mul_add_r(b, c, round).value)
        }),
        DoubleOp::Compare { to, from, relation, boolean, with } => {
            let found = lanes_where(|lane| {
                let [a, b] = from.map(|source| value(frame, source, lane));
                relation.holds(a < b, a == b, a > b)
            });
            combine(frame, mask, to, found, boolean, with);
        }
        DoubleOp::Choose { to, from, minimum, boolean, with } => {
            let operands = |lane: usize| from.map(|source| value(frame, source, lane));
            let first = lanes_where(|lane| {
                let [a, b] = operands(lane);
                is_first(a, b, minimum)
            });
            let neither = lanes_where(|lane| operands(lane).iter().all(|value| value.is_nan()));
            let with = frame.predicate(with);
            frame.write_predicate(to[0], mask, boolean.apply(first, with));
            frame.write_predicate(to[1], mask, boolean.apply(neither, with));
        }
    }
}
