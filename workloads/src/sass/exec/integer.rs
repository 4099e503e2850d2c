//! Integer arithmetic: IADD3, IMAD, LEA, ISETP, IMNMX and their relatives.

use super::compare::{Boolean, Relation, combine};
use super::frame::{DISCARD_PREDICATE, FULL, Frame, PredicateSource, Slot, Source, lanes_where};
use super::lower::{Lowered, Lowering, Refusal};
use super::op::Op;
use crate::sass::{Instruction, Operand};
use multiversion::multiversion;

#[derive(Clone, Copy, Debug)]
pub enum IntegerOp {
    /// a + b + c.
    Add3 {
        to: Slot,
        from: [Slot; 3],
    },
    /// a + b + c with signs, carries out (at least 1, at least 2) and carries in.
    Add3Full {
        to: Slot,
        from: [Source; 3],
        carry_out: [u8; 2],
        carry_in: [PredicateSource; 2],
    },
    /// a + b + c over 64 bits, with signs.
    AddWide {
        to: Slot,
        from: [Source; 3],
    },
    /// Low half of a·b + c.
    MultiplyAdd {
        to: Slot,
        from: [Slot; 3],
    },
    /// Low half of ±a·b ± c; the product's sign is on `from[0]`.
    MultiplyAddSigned {
        to: Slot,
        from: [Slot; 3],
        negate: [bool; 2],
    },
    /// a·b + c over 64 bits, c a pair; carry out and in.
    MultiplyWide {
        to: Slot,
        from: [Slot; 3],
        negate: [bool; 2],
        signed: bool,
        carry_out: u8,
        carry_in: PredicateSource,
    },
    /// Upper half of a·b + c over 64 bits, c a pair; carry out.
    MultiplyHigh {
        to: Slot,
        from: [Slot; 3],
        negate: [bool; 2],
        signed: bool,
        carry_out: u8,
    },
    /// Low half of a·b + c, c maybe complemented, and a carry: the upper half of a longer sum.
    MultiplyAddCarry {
        to: Slot,
        from: [Slot; 3],
        negate: bool,
        invert: bool,
        carry_in: PredicateSource,
    },
    /// (a << shift) + b.
    ShiftAddPlain {
        to: Slot,
        from: [Slot; 2],
        shift: u8,
    },
    /// (a << shift) + b, with signs and carry out.
    ShiftAdd {
        to: Slot,
        from: [Source; 2],
        shift: u8,
        carry_out: u8,
    },
    /// Upper word of ({high, a} << shift), plus b and a carry.
    ShiftAddHigh {
        to: Slot,
        a: Slot,
        b: Source,
        high: High,
        shift: u8,
        carry_out: u8,
        carry_in: PredicateSource,
    },
    /// relation(a, b) into one predicate, its complement into another, each combined with a third.
    Compare {
        to: [u8; 2],
        from: [Slot; 2],
        relation: Relation,
        signed: bool,
        boolean: Boolean,
        with: PredicateSource,
    },
    /// As `Compare` on the upper words; `low` is the result for the lower words.
    CompareExtended {
        to: [u8; 2],
        from: [Slot; 2],
        relation: Relation,
        signed: bool,
        boolean: Boolean,
        with: PredicateSource,
        low: PredicateSource,
    },
    /// As `Compare` on register pairs.
    CompareWide {
        to: [u8; 2],
        from: [Slot; 2],
        relation: Relation,
        signed: bool,
        boolean: Boolean,
        with: PredicateSource,
    },
    /// Minimum where the predicate holds, maximum elsewhere.
    MinMax {
        to: Slot,
        from: [Slot; 2],
        signed: bool,
        minimum: PredicateSource,
    },
    Absolute {
        to: Slot,
        from: Slot,
    },
    /// Two words.
    Pair {
        to: Slot,
        from: [Slot; 2],
    },
}

/// Upper word of what LEA.HI shifts.
#[derive(Clone, Copy, Debug)]
pub enum High {
    Word(Slot),
    /// The sign of the lower word (`.SX32`).
    Sign,
}

pub fn lower(cx: &mut Lowering<'_>, mnemonic: &str) -> Lowered<Option<Op>> {
    let op = match mnemonic {
        "IADD3" => add3(cx)?,
        "IADD" if cx.take("64") => {
            let (to, from) = (cx.target()?, [cx.wide_source()?, cx.wide_source()?, Source::plain(cx.zero())]);
            no_absolute(&from)?;
            IntegerOp::AddWide { to, from }
        }
        "VIADD" | "IADD" if !cx.instruction.has_modifier("16x2") => {
            let (to, a, b) = (cx.target()?, cx.source()?, cx.source()?);
            sum(to, [a, b, Source::plain(cx.zero())])?
        }
        "IMAD" => multiply(cx)?,
        "LEA" => shift_add(cx)?,
        "ISETP" => compare(cx)?,
        "IMNMX" | "VIMNMX" if is_plain_minimum(cx.instruction) => {
            let signed = cx.take("S32") || !cx.take("U32");
            let to = cx.target()?;
            let from = [cx.plain_source()?, cx.plain_source()?];
            IntegerOp::MinMax { to, from, signed, minimum: cx.predicate()? }
        }
        "IABS" => IntegerOp::Absolute { to: cx.target()?, from: cx.plain_source()? },
        _ => return Ok(None),
    };
    Ok(Some(Op::Integer(op)))
}

/// Of two whole registers without signs, one result: by far the most frequent form. The others are in `simd`.
fn is_plain_minimum(instruction: &Instruction) -> bool {
    let signs = instruction.operands.iter().any(|operand| match operand {
        Operand::Register(register) => register.negate,
        Operand::Constant(constant) => constant.negate,
        _ => false,
    });
    !signs && instruction.operands.len() == 4 && instruction.modifiers.iter().all(|modifier| modifier.ends_with("32"))
}

fn no_absolute(sources: &[Source]) -> Lowered<()> {
    if sources.iter().any(|source| source.absolute) {
        return Err(Refusal::new("an absolute value is not supported in integer arithmetic", ""));
    }
    Ok(())
}

fn sum(to: Slot, from: [Source; 3]) -> Lowered<IntegerOp> {
    no_absolute(&from)?;
    if from.iter().all(|source| source.is_plain()) {
        return Ok(IntegerOp::Add3 { to, from: from.map(|source| source.slot) });
    }
    let none = PredicateSource { negate: true, ..PredicateSource::TRUE };
    Ok(IntegerOp::Add3Full { to, from, carry_out: [DISCARD_PREDICATE; 2], carry_in: [none; 2] })
}

fn add3(cx: &mut Lowering<'_>) -> Lowered<IntegerOp> {
    if cx.take("64") {
        return add3_wide(cx);
    }
    let extended = cx.take("X");
    let to = cx.target()?;
    let mut carry_out = [DISCARD_PREDICATE; 2];
    let mut carries = 0;
    while carries < 2
        && let Some(carry) = cx.optional_predicate_target()?
    {
        carry_out[carries] = carry;
        carries += 1;
    }
    let from = [cx.source()?, cx.source()?, cx.source()?];
    no_absolute(&from)?;
    let none = PredicateSource { negate: true, ..PredicateSource::TRUE };
    let mut carry_in = [none; 2];
    if extended {
        carry_in[0] = cx.predicate()?;
        carry_in[1] = cx.optional_predicate()?.unwrap_or(none);
    }
    if carries == 0 && !extended {
        return sum(to, from);
    }
    Ok(IntegerOp::Add3Full { to, from, carry_out, carry_in })
}

fn add3_wide(cx: &mut Lowering<'_>) -> Lowered<IntegerOp> {
    let to = cx.target()?;
    while let Some(carry) = cx.optional_predicate_target()? {
        if carry != DISCARD_PREDICATE {
            return Err(Refusal::new("a carry out of a 64-bit IADD3 is not supported", ""));
        }
    }
    let from = [cx.wide_source()?, cx.wide_source()?, cx.wide_source()?];
    no_absolute(&from)?;
    Ok(IntegerOp::AddWide { to, from })
}

fn multiply(cx: &mut Lowering<'_>) -> Lowered<IntegerOp> {
    // MOV, SHL, IADD only say how the disassembler reads special factors; the arithmetic is the same.
    let _ = cx.take("MOV") || cx.take("SHL") || cx.take("IADD");
    let (wide, high) = (cx.take("WIDE"), cx.take("HI"));
    let signed = !cx.take("U32");
    let extended = !high && cx.take("X");
    let to = cx.target()?;
    let carries = wide || high;
    let carry_out =
        if carries { cx.optional_predicate_target()?.unwrap_or(DISCARD_PREDICATE) } else { DISCARD_PREDICATE };
    let (a, b) = (cx.source()?, cx.source()?);
    let c = if wide || high { cx.wide_source()? } else { cx.source()? };
    no_absolute(&[a, b, c])?;
    if a.invert || b.invert || c.invert && (wide || !extended) {
        return Err(Refusal::new("a complement is not supported in IMAD", ""));
    }
    let none = PredicateSource { negate: true, ..PredicateSource::TRUE };
    let carry_in = if extended { cx.predicate()? } else { none };
    let from = [a.slot, b.slot, c.slot];
    let negate = [a.negate != b.negate, c.negate];
    Ok(if wide {
        IntegerOp::MultiplyWide { to, from, negate, signed, carry_out, carry_in }
    } else if high {
        IntegerOp::MultiplyHigh { to, from, negate, signed, carry_out }
    } else if extended {
        if c.negate {
            return Err(Refusal::new("a sign at the addend of IMAD.X is not supported", "a complement is"));
        }
        IntegerOp::MultiplyAddCarry { to, from, negate: negate[0], invert: c.invert, carry_in }
    } else if negate == [false, false] {
        IntegerOp::MultiplyAdd { to, from }
    } else {
        IntegerOp::MultiplyAddSigned { to, from, negate }
    })
}

fn shift_add(cx: &mut Lowering<'_>) -> Lowered<IntegerOp> {
    let (high, extended, sign) = (cx.take("HI"), cx.take("X"), cx.take("SX32"));
    let to = cx.target()?;
    let carry_out = cx.optional_predicate_target()?.unwrap_or(DISCARD_PREDICATE);
    let (a, b) = (cx.source()?, cx.source()?);
    no_absolute(&[a, b])?;
    let upper = if high && !sign { Some(cx.plain_source()?) } else { None };
    let shift = cx.number()?;
    let shift = u8::try_from(shift).ok().filter(|shift| *shift < 32);
    let shift = shift.ok_or_else(|| Refusal::new("the shift of LEA is not within 0 to 31", ""))?;
    let none = PredicateSource { negate: true, ..PredicateSource::TRUE };
    let carry_in = if extended { cx.predicate()? } else { none };
    if !high {
        if extended || sign {
            return Err(Refusal::new("LEA.X and LEA.SX32 are only supported with .HI", ""));
        }
        if a.is_plain() && b.is_plain() && carry_out == DISCARD_PREDICATE {
            return Ok(IntegerOp::ShiftAddPlain { to, from: [a.slot, b.slot], shift });
        }
        return Ok(IntegerOp::ShiftAdd { to, from: [a, b], shift, carry_out });
    }
    if !a.is_plain() {
        return Err(Refusal::new("a sign at the shifted operand of LEA.HI is not supported", ""));
    }
    let high = upper.map_or(High::Sign, High::Word);
    Ok(IntegerOp::ShiftAddHigh { to, a: a.slot, b, high, shift, carry_out, carry_in })
}

fn compare(cx: &mut Lowering<'_>) -> Lowered<IntegerOp> {
    let relation = Relation::integer(cx)?;
    let wide = cx.take_one_of(&[("U64", false), ("S64", true)]);
    let signed = wide.unwrap_or(!cx.take("U32"));
    let boolean = Boolean::of(cx)?;
    let extended = cx.take("EX");
    let to = [cx.predicate_target()?, cx.predicate_target()?];
    if wide.is_some() {
        let sources = [cx.wide_source()?, cx.wide_source()?];
        if !sources.iter().all(|source| source.is_plain()) {
            return Err(Refusal::new("a sign is not supported in a 64-bit comparison", ""));
        }
        let (from, with) = (sources.map(|source| source.slot), cx.predicate()?);
        return Ok(IntegerOp::CompareWide { to, from, relation, signed, boolean, with });
    }
    let from = [cx.plain_source()?, cx.plain_source()?];
    let with = cx.predicate()?;
    Ok(if extended {
        IntegerOp::CompareExtended { to, from, relation, signed, boolean, with, low: cx.predicate()? }
    } else {
        IntegerOp::Compare { to, from, relation, signed, boolean, with }
    })
}

/// Masks that make a + b + c of three signed sources a plain sum, and the constant that goes with them.
#[inline(always)]
fn signs<const N: usize>(from: [Source; N]) -> ([u32; N], u32) {
    let masks = from.map(|source| if source.negate || source.invert { FULL } else { 0 });
    (masks, from.iter().filter(|source| source.negate).count() as u32)
}

/// The low word of a product and a sum, signs applied.
#[inline(always)]
fn sign(value: u64, negate: bool) -> u64 {
    if negate { value.wrapping_neg() } else { value }
}

#[inline(always)]
fn product(a: u32, b: u32, signed: bool) -> u64 {
    if signed { (i64::from(a as i32) * i64::from(b as i32)) as u64 } else { u64::from(a) * u64::from(b) }
}

#[inline(always)]
pub fn execute(op: &IntegerOp, frame: &mut Frame, mask: u32) {
    match *op {
        IntegerOp::Add3 { to, from } => frame.map3(mask, to, from, |a, b, c| a.wrapping_add(b).wrapping_add(c)),
        IntegerOp::ShiftAddPlain { to, from, shift } => {
            frame.map2(mask, to, from, |a, b| (a << (shift & 31)).wrapping_add(b));
        }
        IntegerOp::MultiplyAdd { to, from } => {
            frame.map3(mask, to, from, |a, b, c| a.wrapping_mul(b).wrapping_add(c));
        }
        IntegerOp::MultiplyAddSigned { to, from, negate: [product, addend] } => {
            frame.map3(mask, to, from, |a, b, c| {
                let product = if product { a.wrapping_mul(b).wrapping_neg() } else { a.wrapping_mul(b) };
                if addend { product.wrapping_sub(c) } else { product.wrapping_add(c) }
            });
        }
        IntegerOp::MultiplyWide { to, from, negate, signed, carry_out, carry_in } => {
            multiply_wide(frame, mask, to, from, negate, signed, carry_out, carry_in);
        }
        IntegerOp::Compare { to, from, relation, signed, boolean, with } => {
            let found = compare_words(frame, from, relation, signed);
            combine(frame, mask, to, found, boolean, with);
        }
        IntegerOp::MinMax { to, from, signed, minimum } => {
            let minimum = frame.predicate(minimum);
            let (a, b) = (*frame.word(from[0]), *frame.word(from[1]));
            let mut out = [0; 32];
            for lane in 0..32 {
                out[lane] = min_max(a[lane], b[lane], signed, minimum >> lane & 1 == 1);
            }
            frame.write(to, mask, &out);
        }
        _ => execute_rare(op, frame, mask),
    }
}

#[inline(always)]
fn min_max(a: u32, b: u32, signed: bool, minimum: bool) -> u32 {
    let less = if signed { (a as i32) < (b as i32) } else { a < b };
    if less == minimum { a } else { b }
}

#[inline(always)]
fn compare_words(frame: &Frame, from: [Slot; 2], relation: Relation, signed: bool) -> u32 {
    match relation {
        Relation::Less if signed => frame.test2(from, |a, b| (a as i32) < b as i32),
        Relation::LessOrEqual if signed => frame.test2(from, |a, b| a as i32 <= b as i32),
        Relation::Less => frame.test2(from, |a, b| a < b),
        Relation::LessOrEqual => frame.test2(from, |a, b| a <= b),
        Relation::Equal => frame.test2(from, |a, b| a == b),
        Relation::NotEqual => !compare_words(frame, from, Relation::Equal, signed),
        Relation::GreaterOrEqual => !compare_words(frame, from, Relation::Less, signed),
        Relation::Greater => !compare_words(frame, from, Relation::LessOrEqual, signed),
        Relation::Never => 0,
        Relation::Always => FULL,
    }
}

#[allow(clippy::too_many_arguments)]
#[inline(always)]
fn multiply_wide(
    frame: &mut Frame,
    mask: u32,
    to: Slot,
    from: [Slot; 3],
    negate: [bool; 2],
    signed: bool,
    carry_out: u8,
    carry_in: PredicateSource,
) {
    let carry_in = frame.predicate(carry_in);
    let (a, b) = (*frame.word(from[0]), *frame.word(from[1]));
    let mut out = [0u64; 32];
    if carry_out == DISCARD_PREDICATE && carry_in == 0 {
        for lane in 0..32 {
            let product = sign(product(a[lane], b[lane], signed), negate[0]);
            out[lane] = product.wrapping_add(sign(frame.wide(from[2], lane), negate[1]));
        }
        frame.write_wide(to, mask, &out);
        return;
    }
    let mut carries = 0;
    for lane in 0..32 {
        let product = sign(product(a[lane], b[lane], signed), negate[0]);
        let addend = sign(frame.wide(from[2], lane), negate[1]);
        let (sum, carry) = product.overflowing_add(addend);
        let (sum, second) = sum.overflowing_add(u64::from(carry_in >> lane & 1));
        carries |= u32::from(carry || second) << lane;
        out[lane] = sum;
    }
    frame.write_wide(to, mask, &out);
    frame.write_predicate(carry_out, mask, carries);
}

#[multiversion(targets("x86_64+avx2+bmi1+bmi2+fma+lzcnt+popcnt"))]
fn execute_rare(op: &IntegerOp, frame: &mut Frame, mask: u32) {
    let mut out = [0u32; 32];
    match *op {
        IntegerOp::Add3Full { to, from, carry_out, carry_in } => {
            let (masks, plus) = signs(from);
            let carry_in = carry_in.map(|source| frame.predicate(source));
            let [a, b, c] = from.map(|source| frame.word(source.slot));
            let mut upper = [0; 32];
            for lane in 0..32 {
                let carries = (carry_in[0] >> lane & 1) + (carry_in[1] >> lane & 1);
                let (sum, first) = (a[lane] ^ masks[0]).overflowing_add(b[lane] ^ masks[1]);
                let (sum, second) = sum.overflowing_add(c[lane] ^ masks[2]);
                let (sum, third) = sum.overflowing_add(carries + plus);
                out[lane] = sum;
                upper[lane] = u32::from(first) + u32::from(second) + u32::from(third);
            }
            frame.write(to, mask, &out);
            for (predicate, least) in carry_out.into_iter().zip(1..) {
                if predicate != DISCARD_PREDICATE {
                    frame.write_predicate(predicate, mask, lanes_where(|lane| upper[lane] >= least));
                }
            }
        }
        IntegerOp::AddWide { to, from } => {
            let (masks, plus) = signs(from);
            let mut sums = [0u64; 32];
            for lane in 0..32 {
                sums[lane] = from.iter().zip(masks).fold(plus.into(), |sum: u64, (source, mask)| {
                    let mask = u64::from(mask);
                    sum.wrapping_add(frame.wide(source.slot, lane) ^ (mask << 32 | mask))
                });
            }
            frame.write_wide(to, mask, &sums);
        }
        IntegerOp::MultiplyHigh { to, from, negate, signed, carry_out } => {
            let (a, b) = (frame.word(from[0]), frame.word(from[1]));
            let mut carries = 0;
            for lane in 0..32 {
                let product = sign(product(a[lane], b[lane], signed), negate[0]);
                let (sum, carry) = product.overflowing_add(sign(frame.wide(from[2], lane), negate[1]));
                out[lane] = (sum >> 32) as u32;
                carries |= u32::from(carry) << lane;
            }
            frame.write(to, mask, &out);
            frame.write_predicate(carry_out, mask, carries);
        }
        IntegerOp::MultiplyAddCarry { to, from, negate, invert, carry_in } => {
            let carry_in = frame.predicate(carry_in);
            let [a, b, c] = from.map(|slot| frame.word(slot));
            for lane in 0..32 {
                let product = sign(a[lane].wrapping_mul(b[lane]).into(), negate) as u32;
                let addend = if invert { !c[lane] } else { c[lane] };
                out[lane] = product.wrapping_add(addend).wrapping_add(carry_in >> lane & 1);
            }
            frame.write(to, mask, &out);
        }
        IntegerOp::ShiftAdd { to, from, shift, carry_out } => {
            let [a, b] = from.map(|source| frame.word(source.slot));
            let ([_, mask_b], plus) = signs([Source::plain(0), from[1]]);
            let mut carries = 0;
            for lane in 0..32 {
                let shifted = signed_word(a[lane], from[0]) << shift;
                let sum = u64::from(shifted) + u64::from(b[lane] ^ mask_b) + u64::from(plus);
                out[lane] = sum as u32;
                carries |= ((sum >> 32 != 0) as u32) << lane;
            }
            frame.write(to, mask, &out);
            frame.write_predicate(carry_out, mask, carries);
        }
        IntegerOp::ShiftAddHigh { to, a, b, high, shift, carry_out, carry_in } => {
            let carry_in = frame.predicate(carry_in);
            let ([mask_b], plus) = signs([b]);
            let mut carries = 0;
            for lane in 0..32 {
                let low = frame.word(a)[lane];
                let upper = match high {
                    High::Word(slot) => frame.word(slot)[lane],
                    High::Sign => ((low as i32) >> 31) as u32,
                };
                let shifted = ((u64::from(upper) << 32 | u64::from(low)) << shift) >> 32;
                let b = u64::from(frame.word(b.slot)[lane] ^ mask_b);
                let sum = shifted + b + u64::from(plus) + u64::from(carry_in >> lane & 1);
                out[lane] = sum as u32;
                carries |= ((sum >> 32 != 0) as u32) << lane;
            }
            frame.write(to, mask, &out);
            frame.write_predicate(carry_out, mask, carries);
        }
        IntegerOp::CompareWide { to, from, relation, signed, boolean, with } => {
            let flip = if signed { 1 << 63 } else { 0 };
            let found = lanes_where(|lane| {
                let [a, b] = from.map(|slot| frame.wide(slot, lane) ^ flip);
                match relation {
                    Relation::Never => false,
                    Relation::Less => a < b,
                    Relation::Equal => a == b,
                    Relation::LessOrEqual => a <= b,
                    Relation::Greater => a > b,
                    Relation::NotEqual => a != b,
                    Relation::GreaterOrEqual => a >= b,
                    Relation::Always => true,
                }
            });
            combine(frame, mask, to, found, boolean, with);
        }
        IntegerOp::CompareExtended { to, from, relation, signed, boolean, with, low } => {
            let equal = compare_words(frame, from, Relation::Equal, signed);
            let strict = match relation {
                Relation::LessOrEqual => Relation::Less,
                Relation::GreaterOrEqual => Relation::Greater,
                other => other,
            };
            let upper = compare_words(frame, from, strict, signed);
            let low = frame.predicate(low);
            let found = match relation {
                Relation::Equal => equal & low,
                _ => upper | equal & low,
            };
            combine(frame, mask, to, found, boolean, with);
        }
        IntegerOp::Absolute { to, from } => frame.map1(mask, to, from, |a| (a as i32).unsigned_abs()),
        IntegerOp::Pair { to, from } => {
            for (at, from) in (0..).zip(from) {
                let value = *frame.word(from);
                frame.write(to + at, mask, &value);
            }
        }
        _ => unreachable!("executed by the caller"),
    }
}

#[inline(always)]
fn signed_word(value: u32, source: Source) -> u32 {
    if source.negate {
        value.wrapping_neg()
    } else if source.invert {
        !value
    } else {
        value
    }
}
