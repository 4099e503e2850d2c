//! Conversions between number formats: I2F, I2FP, F2I, F2F, F2FP, FRND, I2I, I2IP.
//!
//! ```text
//!  register ─▶ part (.H1, .B2) ─▶ exact value: i128 or f64 ─▶ one rounding, or saturation ─▶ register
//! ```
//!
//! Sources: PTX ISA, "Data Movement and Conversion Instructions": `cvt` (roundings, NaN, `.sat`, `.relu`, `.satfinite`) and
//! `cvt.pack`. Results of less than a register fill it: integers extended by their sign, numbers of 8 and 16 bits by zero.

use super::frame::{Frame, Slot, Source};
use super::ieee::{NAN, Rounding, flush, narrow};
use super::lower::{Lowered, Lowering, Refusal};
use super::narrow::{BFLOAT16, BINARY16, E4M3, E5M2, Format};
use super::op::Op;

#[derive(Clone, Copy, Debug)]
pub struct ConvertOp {
    to: Slot,
    from: Source,
    /// Bits below the part of the register that is converted.
    shift: u8,
    kind: Kind,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    IntegerToFloat {
        from: Integer,
        to: Float,
        rounding: Rounding,
    },
    FloatToInteger {
        from: Float,
        to: Integer,
        rounding: Rounding,
        flush: bool,
        nan_to_zero: bool,
    },
    FloatToFloat {
        from: Float,
        to: Float,
        rounding: Rounding,
        flush: bool,
    },
    RoundToWhole {
        format: Float,
        rounding: Rounding,
        flush: bool,
    },
    /// Clamped to the range of `to` if it saturates, otherwise cut to its bits.
    IntegerToInteger {
        from: Integer,
        to: Integer,
        saturate: bool,
    },
    /// Two numbers into one of twice the bits, the first into the upper half.
    Pack {
        lower: Source,
        pack: Pack,
        /// What becomes the upper half of the register.
        above: Option<Slot>,
    },
    /// The two numbers of half a register, each into 16 bits.
    Unpack {
        format: Format,
        to: Format,
        relu: bool,
    },
    /// Two saturated integers into one of twice the bits, the first into the upper half; what `above` holds goes behind.
    PackIntegers {
        lower: Source,
        to: Integer,
        above: Slot,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Integer {
    signed: bool,
    bits: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Float {
    Narrow(Format),
    Single,
    Double,
}

/// How numbers of 8 or 16 bits are made.
#[derive(Clone, Copy, Debug)]
struct Pack {
    /// The two numbers are the halves of one register.
    from_halves: bool,
    format: Format,
    rounding: Rounding,
    /// Negative numbers become zero.
    relu: bool,
    /// No infinity: the largest number instead.
    finite: bool,
}

const WORD: Integer = Integer { signed: true, bits: 32 };

const INTEGERS: [(&str, Integer); 8] = [
    ("U8", Integer { signed: false, bits: 8 }),
    ("S8", Integer { signed: true, bits: 8 }),
    ("U16", Integer { signed: false, bits: 16 }),
    ("S16", Integer { signed: true, bits: 16 }),
    ("U32", Integer { signed: false, bits: 32 }),
    ("S32", WORD),
    ("U64", Integer { signed: false, bits: 64 }),
    ("S64", Integer { signed: true, bits: 64 }),
];

const FLOATS: [(&str, Float); 4] = [
    ("F16", Float::Narrow(BINARY16)),
    ("BF16", Float::Narrow(BFLOAT16)),
    ("F32", Float::Single),
    ("F64", Float::Double),
];

pub fn lower(cx: &mut Lowering<'_>, mnemonic: &str) -> Lowered<Option<Op>> {
    let op = match mnemonic {
        "I2F" | "I2FP" => {
            let to = cx.take_one_of(&FLOATS).unwrap_or(Float::Single);
            let from = cx.take_one_of(&INTEGERS).unwrap_or(WORD);
            let rounding = super::float::rounding(cx);
            let target = cx.target()?;
            let (source, shift) = integer_source(cx, from)?;
            ConvertOp { to: target, from: source, shift, kind: Kind::IntegerToFloat { from, to, rounding } }
        }
        "F2I" => {
            let (flush, from) = (cx.take("FTZ"), cx.take_one_of(&FLOATS).unwrap_or(Float::Single));
            let to = cx.take_one_of(&INTEGERS).unwrap_or(WORD);
            let (rounding, nan_to_zero) = (whole_rounding(cx), cx.take("NTZ"));
            let target = cx.target()?;
            let (source, shift) = float_source(cx, from)?;
            let kind = Kind::FloatToInteger { from, to, rounding, flush, nan_to_zero };
            ConvertOp { to: target, from: source, shift, kind }
        }
        "F2F" => {
            let (flush, rounding) = (cx.take("FTZ"), super::float::rounding(cx));
            // The destination's type stands first.
            let names = cx.instruction.modifiers.iter();
            let mut types = names.filter_map(|name| FLOATS.iter().find(|(known, _)| known == name));
            let (Some(&(to_name, to)), Some(&(from_name, from))) = (types.next(), types.next()) else {
                return Err(Refusal::new("two formats are expected", "of F16, BF16, F32, F64"));
            };
            let _ = (cx.take(to_name), cx.take(from_name));
            let target = cx.target()?;
            let (source, shift) = float_source(cx, from)?;
            ConvertOp { to: target, from: source, shift, kind: Kind::FloatToFloat { from, to, rounding, flush } }
        }
        "FRND" => {
            let (flush, rounding) = (cx.take("FTZ"), whole_rounding(cx));
            let format = cx.take_one_of(&FLOATS).unwrap_or(Float::Single);
            let to = cx.target()?;
            let (from, shift) = float_source(cx, format)?;
            ConvertOp { to, from, shift, kind: Kind::RoundToWhole { format, rounding, flush } }
        }
        "F2FP" => pack(cx)?,
        "I2I" => {
            let saturate = cx.take("SAT");
            let names = cx.instruction.modifiers.iter();
            let mut types = names.filter_map(|name| INTEGERS.iter().find(|(known, _)| known == name));
            let (Some(&(to_name, to)), Some(&(from_name, from))) = (types.next(), types.next()) else {
                return Err(Refusal::new("two integer types are expected", "as in I2I.S8.S32"));
            };
            let _ = (cx.take(to_name), cx.take(from_name));
            if to.bits == 64 || from.bits == 64 {
                return Err(Refusal::new("64 bits are not supported in I2I", ""));
            }
            let target = cx.target()?;
            let (source, shift) = integer_source(cx, from)?;
            ConvertOp { to: target, from: source, shift, kind: Kind::IntegerToInteger { from, to, saturate } }
        }
        "I2IP" => {
            let _ = cx.take("S32");
            let to = cx.need_one_of("type", &INTEGERS[..4])?;
            cx.need_one_of("form", &[("SAT", ())])?;
            let target = cx.target()?;
            let (from, lower) = (Source::plain(cx.plain_source()?), Source::plain(cx.plain_source()?));
            let kind = Kind::PackIntegers { lower, to, above: cx.plain_source()? };
            ConvertOp { to: target, from, shift: 0, kind }
        }
        _ => return Ok(None),
    };
    Ok(Some(Op::Convert(op)))
}

fn whole_rounding(cx: &mut Lowering<'_>) -> Rounding {
    let modes = [("TRUNC", Rounding::Zero), ("FLOOR", Rounding::Down), ("CEIL", Rounding::Up)];
    cx.take_one_of(&modes).unwrap_or(Rounding::Nearest)
}

fn integer_source(cx: &mut Lowering<'_>, kind: Integer) -> Lowered<(Source, u8)> {
    let (source, shift) = if kind.bits == 64 { (cx.wide_source()?, 0) } else { cx.part_source()? };
    if source.is_plain() {
        Ok((source, shift))
    } else {
        Err(Refusal::new("a sign at an integer operand is not supported", ""))
    }
}

fn float_source(cx: &mut Lowering<'_>, kind: Float) -> Lowered<(Source, u8)> {
    match kind {
        Float::Double => Ok((cx.double_source()?, 0)),
        Float::Single => Ok((cx.float_source()?, 0)),
        Float::Narrow(_) => cx.part_source(),
    }
}

fn pack(cx: &mut Lowering<'_>) -> Lowered<ConvertOp> {
    let (finite, relu, rounding) = (cx.take("SATFINITE"), cx.take("RELU"), super::float::rounding(cx));
    let bytes = cx.take_one_of(&[("E4M3", E4M3), ("E5M2", E5M2)]);
    if cx.take("UNPACK_B") {
        let format = bytes.ok_or_else(|| Refusal::new("only E4M3 and E5M2 can be unpacked", ""))?;
        let to = cx.need_one_of("type", &[("F16", BINARY16), ("BF16", BFLOAT16)])?;
        let target = cx.target()?;
        let (from, shift) = cx.part_source()?;
        return Ok(ConvertOp { to: target, from, shift, kind: Kind::Unpack { format, to, relu } });
    }
    let from_halves = cx.take("UNPACK_B_MERGE_C");
    let merge = from_halves || cx.take("PACK_AB_MERGE_C");
    if !merge {
        cx.need_one_of("form", &[("PACK_AB", ()), ("PACKED_AB", ())])?;
    }
    // The sources' type; singles are what it means without one.
    let _ = if from_halves { cx.take("F16") } else { cx.take("F32") };
    let words = cx.take_one_of(&[("F16", BINARY16), ("BF16", BFLOAT16)]);
    let format = bytes.or(words).unwrap_or(BINARY16);
    let to = cx.target()?;
    let (from, shift) = if from_halves { cx.part_source()? } else { (cx.float_source()?, 0) };
    let lower = if from_halves { from } else { cx.float_source()? };
    let above = if merge { Some(cx.plain_source()?) } else { None };
    if finite && rounding != Rounding::Nearest {
        return Err(Refusal::new("SATFINITE is only supported with rounding to nearest", ""));
    }
    let pack = Pack { from_halves, format, rounding, relu, finite };
    Ok(ConvertOp { to, from, shift, kind: Kind::Pack { lower, pack, above } })
}

/// A double (or anything that was widened to one exactly) as a whole number.
pub fn whole(value: f64, rounding: Rounding) -> f64 {
    match rounding {
        Rounding::Nearest => value.round_ties_even(),
        Rounding::Zero => value.trunc(),
        Rounding::Down => value.floor(),
        Rounding::Up => value.ceil(),
    }
}

impl Integer {
    fn range(self) -> (i128, i128) {
        match self.signed {
            true => (-(1i128 << (self.bits - 1)), (1i128 << (self.bits - 1)) - 1),
            false => (0, (1i128 << self.bits) - 1),
        }
    }

    fn read(self, bits: u64) -> i128 {
        match (self.signed, self.bits) {
            (true, 8) => i128::from(bits as i8),
            (true, 16) => i128::from(bits as i16),
            (true, 32) => i128::from(bits as i32),
            (true, _) => i128::from(bits as i64),
            (false, count) => i128::from(bits) & ((1 << count) - 1),
        }
    }

    /// 8- and 16-bit results fill the register: extended by their sign.
    fn write(self, value: i128) -> u64 {
        if self.bits == 64 { value as u64 } else { u64::from(value as u32) }
    }

    fn clamp(self, value: i128) -> i128 {
        let (low, high) = self.range();
        value.clamp(low, high)
    }
}

fn to_integer(value: f64, to: Integer, rounding: Rounding, nan_to_zero: bool) -> u64 {
    if value.is_nan() {
        return if nan_to_zero { 0 } else { 1 << (to.bits - 1) };
    }
    to.write(to.clamp(whole(value, rounding) as i128))
}

/// An integer of up to 64 bits as a double that is rounded to odd, and its error's sign.
fn to_double(value: i128, rounding: Rounding) -> f64 {
    let nearest = value as f64;
    let error = value - nearest as i128;
    let (away, towards) = match rounding {
        Rounding::Nearest => (false, false),
        Rounding::Zero => (false, (error > 0) != (value > 0)),
        Rounding::Down => (error < 0 && value < 0, error < 0 && value > 0),
        Rounding::Up => (error > 0 && value > 0, error > 0 && value < 0),
    };
    let bits = nearest.to_bits();
    match (error == 0, away, towards) {
        (false, true, _) => f64::from_bits(bits + 1),
        (false, _, true) => f64::from_bits(bits - 1),
        _ => nearest,
    }
}

/// As [`to_double`], rounded to odd: rounding the result once more is as good as rounding the integer.
fn to_odd_double(value: i128) -> f64 {
    let truncated = to_double(value, Rounding::Zero);
    if truncated as i128 == value { truncated } else { f64::from_bits(truncated.to_bits() | 1) }
}

fn signed_float(source: Source, value: f64) -> f64 {
    let value = if source.absolute { value.abs() } else { value };
    if source.negate { -value } else { value }
}

impl Float {
    /// The lane's number, exactly, with its marks.
    fn read(self, frame: &Frame, source: Source, shift: u8, lane: usize, flushes: bool) -> f64 {
        let value = match self {
            Self::Double => f64::from_bits(frame.wide(source.slot, lane)),
            Self::Single => {
                let bits = frame.word(source.slot)[lane];
                f32::from_bits(if flushes { flush(bits) } else { bits }).into()
            }
            Self::Narrow(format) => format.widen((frame.word(source.slot)[lane] >> shift) as u16),
        };
        signed_float(source, value)
    }

    fn write(self, value: f64, rounding: Rounding, flushes: bool) -> u64 {
        match self {
            Self::Double if value.is_nan() => 0x7fff_ffff_ffff_ffff,
            Self::Double => value.to_bits(),
            Self::Single if value.is_nan() => NAN.into(),
            Self::Single => {
                let bits = narrow(value, rounding);
                u64::from(if flushes { flush(bits) } else { bits })
            }
            Self::Narrow(format) => format.narrow(value, rounding).into(),
        }
    }
}

impl Pack {
    fn number(self, value: f64) -> u32 {
        let bits =
            if self.finite { self.format.narrow_to_finite(value) } else { self.format.narrow(value, self.rounding) };
        if self.relu && bits & self.format.sign() != 0 { 0 } else { bits.into() }
    }
}

pub fn execute(op: &ConvertOp, frame: &mut Frame, mask: u32) {
    let ConvertOp { to, from, shift, kind } = *op;
    let part = |lane: usize| u64::from(frame.word(from.slot)[lane] >> shift);
    let single = |source: Source, lane: usize| Float::Single.read(frame, source, 0, lane, false);
    let wide: [u64; 32] = std::array::from_fn(|lane| match kind {
        Kind::IntegerToFloat { from: kind, to, rounding } => {
            let value = kind.read(if kind.bits == 64 { frame.wide(from.slot, lane) } else { part(lane) });
            match to {
                Float::Double => to_double(value, rounding).to_bits(),
                _ => to.write(to_odd_double(value), rounding, false),
            }
        }
        Kind::FloatToInteger { from: kind, to, rounding, flush, nan_to_zero } => {
            to_integer(kind.read(frame, from, shift, lane, flush), to, rounding, nan_to_zero)
        }
        Kind::FloatToFloat { from: kind, to, rounding, flush } => {
            to.write(kind.read(frame, from, shift, lane, flush), rounding, flush)
        }
        Kind::RoundToWhole { format, rounding, flush } => {
            let value = format.read(frame, from, shift, lane, flush);
            format.write(whole(value, rounding), Rounding::Nearest, false)
        }
        Kind::IntegerToInteger { from: kind, to, saturate } => {
            let value = kind.read(part(lane));
            to.write(if saturate { to.clamp(value) } else { to.read(value as u64) })
        }
        Kind::Pack { lower, pack, above } => {
            let [high, low] = if pack.from_halves {
                let half = |at: u64| BINARY16.widen((part(lane) >> at) as u16);
                [half(16), half(0)]
            } else {
                [single(from, lane), single(lower, lane)]
            };
            let packed = pack.number(high) << pack.format.bits() | pack.number(low);
            u64::from(packed | above.map_or(0, |slot| frame.word(slot)[lane] << (2 * pack.format.bits() % 32)))
        }
        Kind::Unpack { format, to, relu } => {
            let unpacked = |at: u64| {
                let bits = to.narrow(format.widen((part(lane) >> at & 0xff) as u16), Rounding::Nearest);
                u64::from(if relu && bits & to.sign() != 0 { 0 } else { bits })
            };
            unpacked(8) << 16 | unpacked(0)
        }
        Kind::PackIntegers { lower, to, above } => {
            let field = |slot: Slot| to.clamp(WORD.read(frame.word(slot)[lane].into())) as u32 & ((1 << to.bits) - 1);
            let packed = field(from.slot) << to.bits | field(lower.slot);
            let behind = if to.bits == 8 { frame.word(above)[lane] << 16 } else { 0 };
            (packed | behind).into()
        }
    });
    let is_wide = match kind {
        Kind::IntegerToFloat { to, .. } | Kind::FloatToFloat { to, .. } => to == Float::Double,
        Kind::RoundToWhole { format, .. } => format == Float::Double,
        Kind::FloatToInteger { to, .. } => to.bits == 64,
        _ => false,
    };
    if is_wide {
        frame.write_wide(to, mask, &wide);
    } else {
        frame.write(to, mask, &wide.map(|value| value as u32));
    }
}
