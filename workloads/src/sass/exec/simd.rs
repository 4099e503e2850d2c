//! Integers in parts of a register: minima and maxima of two or three, also of a sum (VIMNMX, VIMNMX3, VIADDMNMX), sums of
//! halves (VIADD.16x2), absolute differences (VABSDIFF, VABSDIFF4) and dot products (IDP).
//!
//! ```text
//!  VIADDMNMX.S16x2.RELU d, a, b, c, !PT      each half: max(a + b, c), then max(…, 0)
//!  VIMNMX.U16x2 d, p, q, a, b, PT            each half: min(a, b); p, q: a ≤ b in the lower, upper half
//! ```
//!
//! Sums wrap round. Sources: CUDA Math API, "Integer Intrinsics" and "SIMD Intrinsics" (`__vimax3_s16x2`,
//! `__viaddmin_u32`, `__vibmax_s16x2` … are one instruction each from sm_90 on); PTX ISA, "Integer Arithmetic Instructions" (`sad`,
//! `dp4a`, `dp2a`) and "Video Instructions" (`vabsdiff4`).

use super::frame::{DISCARD_PREDICATE, FULL, Frame, PredicateSource, Slot, Source};
use super::lower::{Lowered, Lowering, Refusal};
use super::op::Op;

#[derive(Clone, Copy, Debug)]
pub enum SimdOp {
    /// Minimum where the predicate holds, maximum elsewhere. Predicates: the first operand was taken, for each half.
    MinMax {
        to: Slot,
        first: [u8; 2],
        from: [Source; 3],
        shape: Shape,
        parts: Parts,
        relu: bool,
        minimum: PredicateSource,
    },
    /// a + b by halves.
    AddHalves { to: Slot, from: [Source; 2] },
    /// |a − b| + c.
    Difference { to: Slot, from: [Slot; 3], signed: bool },
    /// Of each byte; with `sum`, all of them and c in one number.
    ByteDifferences { to: Slot, from: [Slot; 3], signed: bool, sum: bool },
    /// Products of parts of a and bytes of b, and c, in one number.
    Dot {
        to: Slot,
        from: [Slot; 3],
        signed: [bool; 2],
        /// Two halves of a and the lower or upper two bytes of b instead of four bytes each.
        halves: bool,
        upper: bool,
    },
}

/// What is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// a and b.
    Two,
    /// a, b and c.
    Three,
    /// a + b and c.
    Sum,
}

/// The parts of a register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parts {
    bits: u32,
    signed: bool,
}

pub fn lower(cx: &mut Lowering<'_>, mnemonic: &str) -> Lowered<Option<Op>> {
    let op = match mnemonic {
        "IMNMX" | "VIMNMX" => min_max(cx, Shape::Two)?,
        "VIMNMX3" => min_max(cx, Shape::Three)?,
        "VIADDMNMX" => min_max(cx, Shape::Sum)?,
        "VIADD" if cx.take("16x2") => {
            SimdOp::AddHalves { to: cx.target()?, from: [signed_source(cx)?, signed_source(cx)?] }
        }
        "VABSDIFF" => {
            let signed = !cx.take("U32");
            let to = cx.target()?;
            SimdOp::Difference { to, from: plain_sources(cx)?, signed }
        }
        "VABSDIFF4" => {
            let signed = !cx.take("U8");
            let (_, sum) = (cx.take("S8"), cx.take("ACC"));
            let to = cx.target()?;
            let from = plain_sources(cx)?;
            if !sum && from[2] != cx.zero() {
                return Err(Refusal::new("a third operand of VABSDIFF4 is only supported with .ACC", ""));
            }
            SimdOp::ByteDifferences { to, from, signed, sum }
        }
        "IDP" => dot(cx)?,
        _ => return Ok(None),
    };
    Ok(Some(Op::Simd(op)))
}

fn plain_sources(cx: &mut Lowering<'_>) -> Lowered<[Slot; 3]> {
    Ok([cx.plain_source()?, cx.plain_source()?, cx.plain_source()?])
}

/// A source that may have a sign.
fn signed_source(cx: &mut Lowering<'_>) -> Lowered<Source> {
    let source = cx.source()?;
    if source.absolute || source.invert {
        return Err(Refusal::new("only a sign is supported at this operand", ""));
    }
    Ok(source)
}

fn min_max(cx: &mut Lowering<'_>, shape: Shape) -> Lowered<SimdOp> {
    let choices = [
        ("S32", Parts { bits: 32, signed: true }),
        ("U32", Parts { bits: 32, signed: false }),
        ("S16x2", Parts { bits: 16, signed: true }),
        ("U16x2", Parts { bits: 16, signed: false }),
    ];
    let parts = cx.take_one_of(&choices).unwrap_or(Parts { bits: 32, signed: true });
    let relu = cx.take("RELU");
    let to = cx.target()?;
    let mut first = [DISCARD_PREDICATE; 2];
    for predicate in &mut first {
        *predicate = cx.optional_predicate_target()?.unwrap_or(DISCARD_PREDICATE);
    }
    let (a, b) = (signed_source(cx)?, signed_source(cx)?);
    let c = if shape == Shape::Two { Source::plain(cx.zero()) } else { signed_source(cx)? };
    let minimum = cx.predicate()?;
    Ok(SimdOp::MinMax { to, first, from: [a, b, c], shape, parts, relu, minimum })
}

fn dot(cx: &mut Lowering<'_>) -> Lowered<SimdOp> {
    let halves = cx.need_one_of("form", &[("4A", false), ("2A", true)])?;
    let upper = halves && cx.need_one_of("half", &[("LO", false), ("HI", true)])?;
    // Types of a, then of b.
    let names: Vec<&str> = cx.instruction.modifiers.iter().map(String::as_str).collect();
    let types: Vec<&str> = names.into_iter().filter(|name| ["S8", "U8", "S16", "U16"].contains(name)).collect();
    let [a, b] = types[..] else { return Err(Refusal::new("two types are expected", "as in IDP.4A.S8.U8")) };
    if halves != a.ends_with("16") || !b.ends_with('8') {
        return Err(Refusal::new("these types are not supported in a dot product", "bytes, or halves and bytes"));
    }
    let _ = (cx.take(a), cx.take(b));
    let to = cx.target()?;
    Ok(SimdOp::Dot { to, from: plain_sources(cx)?, signed: [a, b].map(|name| name.starts_with('S')), halves, upper })
}

impl Parts {
    /// Part `index` of a register, or minus that, as it is compared.
    fn value(self, word: u32, index: u32, negate: bool) -> i64 {
        let part = word >> (self.bits * index);
        let part = if negate { part.wrapping_neg() } else { part };
        self.of(part.into())
    }

    /// The low bits of a number.
    fn of(self, value: i64) -> i64 {
        let unused = 64 - self.bits;
        if self.signed { value << unused >> unused } else { ((value as u64) << unused >> unused) as i64 }
    }

    fn mask(self) -> u32 {
        FULL >> (32 - self.bits)
    }
}

/// Byte `index`, extended by zero or sign.
fn byte(word: u32, index: u32, signed: bool) -> i64 {
    let byte = (word >> (8 * index)) as u8;
    if signed { i64::from(byte as i8) } else { byte.into() }
}

fn half(word: u32, index: u32, signed: bool) -> i64 {
    let half = (word >> (16 * index)) as u16;
    if signed { i64::from(half as i16) } else { half.into() }
}

pub fn execute(op: &SimdOp, frame: &mut Frame, mask: u32) {
    match *op {
        SimdOp::MinMax { to, first, from, shape, parts, relu, minimum } => {
            let minimum = frame.predicate(minimum);
            let words = from.map(|source| *frame.word(source.slot));
            let (mut out, mut taken) = ([0u32; 32], [0u32; 2]);
            for lane in 0..32 {
                for part in 0..32 / parts.bits {
                    let [a, b, c] = [0, 1, 2].map(|at| parts.value(words[at][lane], part, from[at].negate));
                    let pick = |a: i64, b: i64| if minimum >> lane & 1 == 1 { a.min(b) } else { a.max(b) };
                    let found = match shape {
                        Shape::Two => pick(a, b),
                        Shape::Three => pick(pick(a, b), c),
                        Shape::Sum => pick(parts.of(a + b), c),
                    };
                    taken[part as usize] |= u32::from(found == a) << lane;
                    let found = if relu { found.max(0) } else { found };
                    out[lane] |= (found as u32 & parts.mask()) << (parts.bits * part);
                }
            }
            frame.write(to, mask, &out);
            for (predicate, lanes) in first.into_iter().zip(taken) {
                frame.write_predicate(predicate, mask, lanes);
            }
        }
        SimdOp::AddHalves { to, from } => {
            let parts = Parts { bits: 16, signed: false };
            let [a, b] = from.map(|source| *frame.word(source.slot));
            let out = std::array::from_fn(|lane| {
                let sum =
                    |part| parts.value(a[lane], part, from[0].negate) + parts.value(b[lane], part, from[1].negate);
                (sum(1) as u32) << 16 | sum(0) as u32 & 0xffff
            });
            frame.write(to, mask, &out);
        }
        SimdOp::Difference { to, from, signed } => frame.map3(mask, to, from, |a, b, c| {
            let difference = if signed { (a as i32).abs_diff(b as i32) } else { a.abs_diff(b) };
            difference.wrapping_add(c)
        }),
        SimdOp::ByteDifferences { to, from, signed, sum } => frame.map3(mask, to, from, |a, b, c| {
            let difference = |at: u32| byte(a, at, signed).abs_diff(byte(b, at, signed)) as u32;
            match sum {
                true => (0..4).fold(c, |sum, at| sum.wrapping_add(difference(at))),
                false => (0..4).fold(0, |word, at| word | difference(at) << (8 * at)),
            }
        }),
        SimdOp::Dot { to, from, signed, halves, upper } => frame.map3(mask, to, from, |a, b, c| {
            let products: i64 = match halves {
                false => (0..4).map(|at| byte(a, at, signed[0]) * byte(b, at, signed[1])).sum(),
                true => {
                    let first = if upper { 2 } else { 0 };
                    (0..2).map(|at| half(a, at, signed[0]) * byte(b, first + at, signed[1])).sum()
                }
            };
            c.wrapping_add(products as u32)
        }),
    }
}
