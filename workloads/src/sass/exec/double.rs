//! Double precision: DADD, DMUL, DFMA, DSETP. Rounding to nearest only.

use super::compare::{Boolean, FloatRelation, combine};
use super::frame::{Frame, PredicateSource, Slot, Source, lanes_where};
use super::lower::{Lowered, Lowering, Refusal};
use super::op::Op;

/// The NaN that GPUs produce in double precision.
const NAN: u64 = 0x7fff_ffff_ffff_ffff;

#[derive(Clone, Copy, Debug)]
pub enum DoubleOp {
    Add { to: Slot, from: [Source; 2] },
    Multiply { to: Slot, from: [Source; 2] },
    Fused { to: Slot, from: [Source; 3] },
    Compare { to: [u8; 2], from: [Source; 2], relation: FloatRelation, boolean: Boolean, with: PredicateSource },
}

pub fn lower(cx: &mut Lowering<'_>, mnemonic: &str) -> Lowered<Option<Op>> {
    let op = match mnemonic {
        "DADD" => DoubleOp::Add { to: cx.target()?, from: [source(cx)?, source(cx)?] },
        "DMUL" => DoubleOp::Multiply { to: cx.target()?, from: [source(cx)?, source(cx)?] },
        "DFMA" => DoubleOp::Fused { to: cx.target()?, from: [source(cx)?, source(cx)?, source(cx)?] },
        "DSETP" => {
            let (relation, boolean) = (FloatRelation::of(cx)?, Boolean::of(cx)?);
            let to = [cx.predicate_target()?, cx.predicate_target()?];
            DoubleOp::Compare { to, from: [source(cx)?, source(cx)?], relation, boolean, with: cx.predicate()? }
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

pub fn execute(op: &DoubleOp, frame: &mut Frame, mask: u32) {
    match *op {
        DoubleOp::Add { to, from: [a, b] } => {
            write(frame, to, mask, |lane, frame| value(frame, a, lane) + value(frame, b, lane));
        }
        DoubleOp::Multiply { to, from: [a, b] } => {
            write(frame, to, mask, |lane, frame| value(frame, a, lane) * value(frame, b, lane));
        }
        // The standard library's fused multiply-add is correctly rounded on every platform.
        DoubleOp::Fused { to, from: [a, b, c] } => write(frame, to, mask, |lane, frame| {
            value(frame, a, lane).mul_add(value(frame, b, lane), value(frame, c, lane))
        }),
        DoubleOp::Compare { to, from, relation, boolean, with } => {
            let found = lanes_where(|lane| {
                let [a, b] = from.map(|source| value(frame, source, lane));
                relation.holds(a < b, a == b, a > b)
            });
            combine(frame, mask, to, found, boolean, with);
        }
    }
}
