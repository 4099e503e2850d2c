//! Single precision: FADD, FMUL, FFMA, FMNMX, FSETP, FSET, FCHK.

use super::compare::{Boolean, FloatRelation, combine};
use super::frame::{FULL, Frame, Lanes, PredicateSource, Slot, Source, lanes_where};
use super::ieee::{self, Mode, NAN, Rounding};
use super::lower::{Lowered, Lowering, Refusal};
use super::op::Op;

#[derive(Clone, Copy, Debug)]
pub enum FloatOp {
    /// Rounded to nearest, subnormals kept, no signs: the common case.
    Fused {
        to: Slot,
        from: [Slot; 3],
    },
    FusedFull {
        to: Slot,
        from: [Source; 3],
        mode: Mode,
    },
    Add {
        to: Slot,
        from: [Source; 2],
    },
    AddFull {
        to: Slot,
        from: [Source; 2],
        mode: Mode,
    },
    Multiply {
        to: Slot,
        from: [Source; 2],
    },
    MultiplyFull {
        to: Slot,
        from: [Source; 2],
        mode: Mode,
    },
    /// Minimum where the predicate holds, maximum elsewhere; the number where one is NaN.
    MinMax {
        to: Slot,
        from: [Source; 2],
        minimum: PredicateSource,
        flush: bool,
        nan: bool,
        /// The result gets the product of the operands\' own signs.
        xor_sign: bool,
    },
    /// As [`FloatOp::MinMax`] of three.
    MinMax3 {
        to: Slot,
        from: [Source; 3],
        minimum: PredicateSource,
        flush: bool,
        nan: bool,
    },
    Compare {
        to: [u8; 2],
        from: [Source; 2],
        relation: FloatRelation,
        boolean: Boolean,
        with: PredicateSource,
        flush: bool,
    },
    /// As `Compare`, into a register: 1.0 or all ones where it holds, 0 elsewhere.
    Set {
        to: Slot,
        from: [Source; 2],
        relation: FloatRelation,
        boolean: Boolean,
        with: PredicateSource,
        flush: bool,
        one: u32,
    },
    /// Whether a / b needs more care than the short sequence of instructions takes.
    DivisionCheck {
        to: u8,
        from: [Source; 2],
    },
}

pub fn lower(cx: &mut Lowering<'_>, mnemonic: &str) -> Lowered<Option<Op>> {
    let op = match mnemonic {
        "FFMA" | "FFMA32I" => {
            let mode = mode(cx);
            let to = cx.target()?;
            let from = [cx.float_source()?, cx.float_source()?, cx.float_source()?];
            no_complement(&from)?;
            if mode == Mode::IEEE && from.iter().all(|source| source.is_plain()) {
                FloatOp::Fused { to, from: from.map(|source| source.slot) }
            } else {
                FloatOp::FusedFull { to, from, mode }
            }
        }
        "FADD" | "FADD32I" | "FMUL" | "FMUL32I" => {
            let mode = mode(cx);
            let to = cx.target()?;
            let from = [cx.float_source()?, cx.float_source()?];
            no_complement(&from)?;
            match (mnemonic.starts_with("FADD"), mode == Mode::IEEE) {
                (true, true) => FloatOp::Add { to, from },
                (true, false) => FloatOp::AddFull { to, from, mode },
                (false, true) => FloatOp::Multiply { to, from },
                (false, false) => FloatOp::MultiplyFull { to, from, mode },
            }
        }
        "FMNMX" => {
            let (flush, nan, xor_sign) = (cx.take("FTZ"), cx.take("NAN"), cx.take("XORSIGN"));
            let to = cx.target()?;
            let from = [cx.float_source()?, cx.float_source()?];
            no_complement(&from)?;
            FloatOp::MinMax { to, from, minimum: cx.predicate()?, flush, nan, xor_sign }
        }
        "FMNMX3" => {
            let (flush, nan) = (cx.take("FTZ"), cx.take("NAN"));
            let to = cx.target()?;
            let from = [cx.float_source()?, cx.float_source()?, cx.float_source()?];
            no_complement(&from)?;
            FloatOp::MinMax3 { to, from, minimum: cx.predicate()?, flush, nan }
        }
        "FSETP" => {
            let relation = FloatRelation::of(cx)?;
            let (flush, boolean) = (cx.take("FTZ"), Boolean::of(cx)?);
            let to = [cx.predicate_target()?, cx.predicate_target()?];
            let from = [cx.float_source()?, cx.float_source()?];
            no_complement(&from)?;
            FloatOp::Compare { to, from, relation, boolean, with: cx.predicate()?, flush }
        }
        "FSET" => {
            let one = if cx.take("BF") { 1f32.to_bits() } else { FULL };
            let relation = FloatRelation::of(cx)?;
            let (flush, boolean) = (cx.take("FTZ"), Boolean::of(cx)?);
            let to = cx.target()?;
            let from = [cx.float_source()?, cx.float_source()?];
            no_complement(&from)?;
            FloatOp::Set { to, from, relation, boolean, with: cx.predicate()?, flush, one }
        }
        "FCHK" => {
            let _ = cx.take("DIVIDE");
            let to = cx.predicate_target()?;
            FloatOp::DivisionCheck { to, from: [cx.float_source()?, cx.float_source()?] }
        }
        _ => return Ok(None),
    };
    Ok(Some(Op::Float(op)))
}

pub(super) fn mode(cx: &mut Lowering<'_>) -> Mode {
    let flush = cx.take("FTZ");
    Mode { rounding: rounding(cx), flush, saturate: cx.take("SAT") }
}

pub(super) fn rounding(cx: &mut Lowering<'_>) -> Rounding {
    let modes = [("RN", Rounding::Nearest), ("RZ", Rounding::Zero), ("RM", Rounding::Down), ("RP", Rounding::Up)];
    cx.take_one_of(&modes).unwrap_or(Rounding::Nearest)
}

fn no_complement(sources: &[Source]) -> Lowered<()> {
    if sources.iter().any(|source| source.invert) {
        return Err(Refusal::new("a complement makes no sense in floating point", ""));
    }
    Ok(())
}

/// The operand with its signs applied.
#[inline(always)]
fn marked(frame: &Frame, source: Source) -> Lanes {
    let (and, xor) = source.float_masks();
    let mut words = *frame.word(source.slot);
    if !source.is_plain() {
        for word in &mut words {
            *word = *word & and ^ xor;
        }
    }
    words
}

/// `FMA`: the processor has fused multiply-add.
#[inline(always)]
pub fn execute<const FMA: bool>(op: &FloatOp, frame: &mut Frame, mask: u32) {
    match *op {
        FloatOp::Fused { to, from } => {
            let fused = |frame: &Frame| fused::<FMA>(frame.word(from[0]), frame.word(from[1]), frame.word(from[2]));
            frame.write_computed(to, mask, fused);
        }
        FloatOp::FusedFull { to, from, mode } => {
            let (a, b, c) = (marked(frame, from[0]), marked(frame, from[1]), marked(frame, from[2]));
            let out = if mode == Mode::IEEE { fused::<FMA>(&a, &b, &c) } else { fused_slowly(&a, &b, &c, mode) };
            frame.write(to, mask, &out);
        }
        FloatOp::Add { to, from } => {
            let (a, b) = (marked(frame, from[0]), marked(frame, from[1]));
            let mut out = [0; 32];
            for lane in 0..32 {
                out[lane] = ieee::canonical(f32::from_bits(a[lane]) + f32::from_bits(b[lane]));
            }
            frame.write(to, mask, &out);
        }
        FloatOp::Multiply { to, from } => {
            let (a, b) = (marked(frame, from[0]), marked(frame, from[1]));
            let mut out = [0; 32];
            for lane in 0..32 {
                out[lane] = ieee::canonical(f32::from_bits(a[lane]) * f32::from_bits(b[lane]));
            }
            frame.write(to, mask, &out);
        }
        FloatOp::AddFull { to, from, mode } => {
            let (a, b) = (marked(frame, from[0]), marked(frame, from[1]));
            let out = std::array::from_fn(|lane| ieee::sum(a[lane], b[lane], mode));
            frame.write(to, mask, &out);
        }
        FloatOp::MultiplyFull { to, from, mode } => {
            let (a, b) = (marked(frame, from[0]), marked(frame, from[1]));
            let out = std::array::from_fn(|lane| ieee::product(a[lane], b[lane], mode));
            frame.write(to, mask, &out);
        }
        FloatOp::MinMax { to, from, minimum, flush, nan, xor_sign } => {
            let minimum = frame.predicate(minimum);
            let (a, b) = (operand(frame, from[0], flush), operand(frame, from[1], flush));
            let mut out = [0; 32];
            for lane in 0..32 {
                out[lane] = min_max(a[lane], b[lane], minimum >> lane & 1 == 1, nan);
            }
            if xor_sign {
                let [a, b] = from.map(|source| frame.word(source.slot));
                for lane in 0..32 {
                    if out[lane] != NAN {
                        out[lane] = out[lane] & 0x7fff_ffff | (a[lane] ^ b[lane]) & 0x8000_0000;
                    }
                }
            }
            frame.write(to, mask, &out);
        }
        FloatOp::MinMax3 { to, from, minimum, flush, nan } => {
            let minimum = frame.predicate(minimum);
            let [a, b, c] = from.map(|source| operand(frame, source, flush));
            let out = std::array::from_fn(|lane| {
                let smaller = minimum >> lane & 1 == 1;
                min_max(min_max(a[lane], b[lane], smaller, nan), c[lane], smaller, nan)
            });
            frame.write(to, mask, &out);
        }
        FloatOp::Compare { to, from, relation, boolean, with, flush } => {
            let found = compare(frame, from, relation, flush);
            combine(frame, mask, to, found, boolean, with);
        }
        FloatOp::Set { to, from, relation, boolean, with, flush, one } => {
            let found = boolean.apply(compare(frame, from, relation, flush), frame.predicate(with));
            let out = std::array::from_fn(|lane| if found >> lane & 1 == 1 { one } else { 0 });
            frame.write(to, mask, &out);
        }
        FloatOp::DivisionCheck { to, from } => {
            let (a, b) = (marked(frame, from[0]), marked(frame, from[1]));
            frame.write_predicate(to, mask, lanes_where(|lane| division_needs_care(a[lane], b[lane])));
        }
    }
}

/// As [`marked`], subnormals to zero where that is asked for.
#[inline(always)]
fn operand(frame: &Frame, source: Source, flush: bool) -> Lanes {
    let mut words = marked(frame, source);
    if flush {
        for word in &mut words {
            *word = ieee::flush(*word);
        }
    }
    words
}

/// Fused multiply-add of all lanes, rounded to nearest. Without hardware for it:
///
/// The double sum of the exact product and the addend, rounded to single, is the fused result except where the double lies
/// exactly between two singles (its own rounding may have put it there), or where the single is subnormal and has fewer
/// bits. Such lanes and NaNs are rare; one of them sends all lanes through the careful way.
#[inline(always)]
fn fused<const FMA: bool>(a: &Lanes, b: &Lanes, c: &Lanes) -> Lanes {
    let mut out = [0; 32];
    if FMA {
        for lane in 0..32 {
            let [x, y, z] = [a[lane], b[lane], c[lane]].map(f32::from_bits);
            out[lane] = ieee::canonical(x.mul_add(y, z));
        }
        return out;
    }
    let mut careful = 0u32;
    for lane in 0..32 {
        let [x, y, z] = [a[lane], b[lane], c[lane]].map(|bits| f64::from(f32::from_bits(bits)));
        let exact = x * y + z;
        let rounded = exact as f32;
        out[lane] = rounded.to_bits();
        let between = exact.to_bits() as u32 & 0x1fff_ffff == 0x1000_0000;
        // Not above the smallest normal number: subnormal, zero or NaN.
        let small = (rounded.abs() <= f32::MIN_POSITIVE) | rounded.is_nan();
        let not_zero = exact != 0.0;
        careful |= u32::from(between | small & not_zero);
    }
    if careful == 0 { out } else { fused_slowly(a, b, c, Mode::IEEE) }
}

#[cold]
#[inline(never)]
fn fused_slowly(a: &Lanes, b: &Lanes, c: &Lanes, mode: Mode) -> Lanes {
    std::array::from_fn(|lane| ieee::fused(a[lane], b[lane], c[lane], mode))
}

/// Orders all numbers including the two zeros by an integer comparison.
#[inline(always)]
fn key(bits: u32) -> i32 {
    (bits ^ ((bits as i32 >> 31) as u32 >> 1)) as i32
}

#[inline(always)]
fn min_max(a: u32, b: u32, minimum: bool, nan: bool) -> u32 {
    let (a_nan, b_nan) = (a & 0x7fff_ffff > 0x7f80_0000, b & 0x7fff_ffff > 0x7f80_0000);
    if a_nan & b_nan | (a_nan | b_nan) & nan {
        return NAN;
    }
    let a_first = (key(a) < key(b)) == minimum;
    if b_nan || a_first && !a_nan { a } else { b }
}

#[inline(always)]
fn compare(frame: &Frame, from: [Source; 2], relation: FloatRelation, flush: bool) -> u32 {
    let (a, b) = (operand(frame, from[0], flush), operand(frame, from[1], flush));
    lanes_where(|lane| {
        let (a, b) = (f32::from_bits(a[lane]), f32::from_bits(b[lane]));
        relation.holds(a < b, a == b, a > b)
    })
}

/// FCHK is not documented. It must hold whenever the compiler's short division
///
/// ```text
/// r = rcp(b);  e = 1 − b·r;  r' = r + r·e;  q = a·r';  d = a − b·q;  q' = q + r'·d
/// ```
///
/// could go wrong: an operand is zero, subnormal, infinite or NaN; 1/b is subnormal; the quotient overflows or is subnormal;
/// the remainder d (24 binary places below a) is subnormal. Exponents two away from these limits count as well.
fn division_needs_care(a: u32, b: u32) -> bool {
    let (a, b) = ((a >> 23 & 0xff) as i32, (b >> 23 & 0xff) as i32);
    let special = a == 0 || a == 255 || b == 0 || b == 255;
    special || b >= 252 || a <= 26 || a - b >= 126 || a - b <= -124
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Often a zero, an infinity, a subnormal, a NaN with any payload, or a number with few bits, whose sums are often ties.
    fn number() -> impl Strategy<Value = u32> {
        let special =
            prop_oneof![Just(0u32), Just(1 << 31), Just(0x7f80_0000), Just(0xff80_0000), Just(1), Just(0x007f_ffff)];
        let nan = (1u32..1 << 23, 0u32..2).prop_map(|(payload, sign)| sign << 31 | 0x7f80_0000 | payload);
        let short =
            (0u32..4, 100u32..154, 0u32..2).prop_map(|(high, exponent, sign)| sign << 31 | exponent << 23 | high << 21);
        prop_oneof![4 => any::<u32>(), 2 => short, 1 => special, 1 => nan]
    }

    proptest! {
        /// A run gives the same values whatever the processor has.
        #[test]
        fn fused_multiply_add_of_the_processor_and_of_software_agree(words in prop::collection::vec(number(), 96)) {
            let [a, b, c] = [0, 1, 2].map(|of| words.as_chunks::<32>().0[of]);
            prop_assert_eq!(fused::<true>(&a, &b, &c), fused::<false>(&a, &b, &c));
        }
    }
}
