//! Conversions between number formats: I2F, I2FP, F2I, F2F, F2FP, FRND.

use super::frame::{Frame, Slot, Source};
use super::half;
use super::ieee::{NAN, Rounding, flush, narrow};
use super::lower::{Lowered, Lowering, Refusal};
use super::op::Op;

#[derive(Clone, Copy, Debug)]
pub struct ConvertOp {
    to: Slot,
    from: Source,
    kind: Kind,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    IntegerToFloat {
        from: Integer,
        rounding: Rounding,
    },
    IntegerToDouble {
        from: Integer,
    },
    FloatToInteger {
        to: Integer,
        rounding: Rounding,
        double: bool,
        flush: bool,
        nan_to_zero: bool,
    },
    FloatToDouble {
        flush: bool,
    },
    DoubleToFloat {
        rounding: Rounding,
        flush: bool,
    },
    FloatToHalf,
    HalfToFloat {
        shift: u8,
    },
    /// Two singles into one register, the first into the upper half.
    FloatsToHalves {
        lower: Source,
        relu: bool,
        bfloat: bool,
    },
    RoundToWhole {
        rounding: Rounding,
        flush: bool,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Integer {
    signed: bool,
    bits: u32,
}

const INTEGERS: [(&str, Integer); 8] = [
    ("U8", Integer { signed: false, bits: 8 }),
    ("S8", Integer { signed: true, bits: 8 }),
    ("U16", Integer { signed: false, bits: 16 }),
    ("S16", Integer { signed: true, bits: 16 }),
    ("U32", Integer { signed: false, bits: 32 }),
    ("S32", Integer { signed: true, bits: 32 }),
    ("U64", Integer { signed: false, bits: 64 }),
    ("S64", Integer { signed: true, bits: 64 }),
];

pub fn lower(cx: &mut Lowering<'_>, mnemonic: &str) -> Lowered<Option<Op>> {
    let op = match mnemonic {
        "I2F" | "I2FP" => integer_to_float(cx, mnemonic == "I2FP")?,
        "F2I" => float_to_integer(cx)?,
        "F2F" => float_to_float(cx)?,
        "F2FP" => {
            let bfloat = cx.need_one_of("type", &[("F16", false), ("BF16", true)])?;
            let _ = cx.take("F32");
            cx.need_one_of("form", &[("PACK_AB", ()), ("PACKED_AB", ())])?;
            let relu = cx.take("RELU");
            let (to, from, lower) = (cx.target()?, cx.float_source()?, cx.float_source()?);
            ConvertOp { to, from, kind: Kind::FloatsToHalves { lower, relu, bfloat } }
        }
        "FRND" => {
            let (flush, rounding) = (cx.take("FTZ"), whole_rounding(cx));
            ConvertOp { to: cx.target()?, from: cx.float_source()?, kind: Kind::RoundToWhole { rounding, flush } }
        }
        _ => return Ok(None),
    };
    Ok(Some(Op::Convert(op)))
}

fn whole_rounding(cx: &mut Lowering<'_>) -> Rounding {
    let modes = [("TRUNC", Rounding::Zero), ("FLOOR", Rounding::Down), ("CEIL", Rounding::Up)];
    cx.take_one_of(&modes).unwrap_or(Rounding::Nearest)
}

fn integer_to_float(cx: &mut Lowering<'_>, plain: bool) -> Lowered<ConvertOp> {
    let double = cx.take("F64");
    let _ = cx.take("F32");
    let from = cx.take_one_of(&INTEGERS).unwrap_or(Integer { signed: true, bits: 32 });
    let rounding = super::float::rounding(cx);
    if from.bits < 32 || plain && (from.bits != 32 || double) {
        return Err(Refusal::new(format!("a conversion from {} bits is not supported", from.bits), ""));
    }
    let to = cx.target()?;
    let source = if from.bits == 64 { cx.wide_source()? } else { cx.source()? };
    if !source.is_plain() {
        return Err(Refusal::new("a sign at the operand of I2F is not supported", ""));
    }
    let kind = match (double, from.bits, rounding) {
        (false, ..) => Kind::IntegerToFloat { from, rounding },
        (true, 32, _) | (true, _, Rounding::Nearest) => Kind::IntegerToDouble { from },
        _ => return Err(Refusal::new("a directed rounding to double precision is not supported", "")),
    };
    Ok(ConvertOp { to, from: source, kind })
}

fn float_to_integer(cx: &mut Lowering<'_>) -> Lowered<ConvertOp> {
    let (flush, double) = (cx.take("FTZ"), cx.take("F64"));
    let to_type = cx.take_one_of(&INTEGERS).unwrap_or(Integer { signed: true, bits: 32 });
    let rounding = whole_rounding(cx);
    let nan_to_zero = cx.take("NTZ");
    let to = cx.target()?;
    let from = if double { cx.double_source()? } else { cx.float_source()? };
    Ok(ConvertOp { to, from, kind: Kind::FloatToInteger { to: to_type, rounding, double, flush, nan_to_zero } })
}

fn float_to_float(cx: &mut Lowering<'_>) -> Lowered<ConvertOp> {
    let flush = cx.take("FTZ");
    let rounding = super::float::rounding(cx);
    let modifiers: Vec<&str> = cx.instruction.modifiers.iter().map(String::as_str).collect();
    let types: Vec<&str> = modifiers.into_iter().filter(|name| name.starts_with('F') && *name != "FTZ").collect();
    for name in &types {
        cx.take(name);
    }
    let to = cx.target()?;
    let (kind, from) = match types[..] {
        ["F64", "F32"] => (Kind::FloatToDouble { flush }, cx.float_source()?),
        ["F32", "F64"] => (Kind::DoubleToFloat { rounding, flush }, cx.double_source()?),
        ["F16", "F32"] if rounding == Rounding::Nearest => (Kind::FloatToHalf, cx.float_source()?),
        ["F32", "F16"] => (Kind::HalfToFloat { shift: 0 }, cx.float_source()?),
        _ => return Err(Refusal::new("this pair of formats is not supported", "F32.F64, F64.F32, F16.F32, F32.F16")),
    };
    Ok(ConvertOp { to, from, kind })
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

fn to_integer(value: f64, to: Integer, rounding: Rounding, nan_to_zero: bool) -> u64 {
    let keep = |value: u64| if to.bits == 64 { value } else { value & ((1 << to.bits) - 1) };
    if value.is_nan() {
        return if nan_to_zero { 0 } else { 1 << (to.bits - 1) };
    }
    let value = whole(value, rounding) as i128;
    let (low, high) = match to.signed {
        true => (-(1i128 << (to.bits - 1)), (1i128 << (to.bits - 1)) - 1),
        false => (0, (1i128 << to.bits) - 1),
    };
    // 8- and 16-bit results fill the register: extended by their sign.
    let clamped = value.clamp(low, high);
    if to.bits < 32 { clamped as u32 as u64 } else { keep(clamped as u64) }
}

/// An integer of up to 64 bits as a single: through a double that is rounded to odd.
fn integer_to_single(value: i128, rounding: Rounding) -> u32 {
    let nearest = value as f64;
    let error = value - nearest as i128;
    let bits = nearest.to_bits();
    let odd = if error == 0 || bits & 1 == 1 {
        nearest
    } else {
        f64::from_bits(if (error > 0) == (value > 0) { bits + 1 } else { bits - 1 })
    };
    narrow(odd, rounding)
}

fn integer(from: Integer, bits: u64) -> i128 {
    match (from.signed, from.bits) {
        (true, 32) => i128::from(bits as u32 as i32),
        (false, 32) => i128::from(bits as u32),
        (true, _) => i128::from(bits as i64),
        (false, _) => i128::from(bits),
    }
}

fn signed_float(source: Source, bits: u32) -> u32 {
    let (and, xor) = source.float_masks();
    bits & and ^ xor
}

fn signed_double(source: Source, bits: u64) -> f64 {
    let value = f64::from_bits(bits);
    let value = if source.absolute { value.abs() } else { value };
    if source.negate { -value } else { value }
}

fn double_bits(value: f64) -> u64 {
    if value.is_nan() { 0x7fff_ffff_ffff_ffff } else { value.to_bits() }
}

pub fn execute(op: &ConvertOp, frame: &mut Frame, mask: u32) {
    let ConvertOp { to, from, kind } = *op;
    let flushed = |flushes: bool, bits: u32| if flushes { flush(bits) } else { bits };
    let single = |flushes: bool, lane: usize| {
        f64::from(f32::from_bits(flushed(flushes, signed_float(from, frame.word(from.slot)[lane]))))
    };
    let wide: [u64; 32] = std::array::from_fn(|lane| match kind {
        Kind::IntegerToFloat { from: kind, rounding } => {
            let bits = if kind.bits == 64 { frame.wide(from.slot, lane) } else { frame.word(from.slot)[lane].into() };
            integer_to_single(integer(kind, bits), rounding).into()
        }
        Kind::IntegerToDouble { from: kind } => {
            let bits = if kind.bits == 64 { frame.wide(from.slot, lane) } else { frame.word(from.slot)[lane].into() };
            (integer(kind, bits) as f64).to_bits()
        }
        Kind::FloatToInteger { to, rounding, double, flush, nan_to_zero } => {
            let value = if double { signed_double(from, frame.wide(from.slot, lane)) } else { single(flush, lane) };
            to_integer(value, to, rounding, nan_to_zero)
        }
        Kind::FloatToDouble { flush } => double_bits(single(flush, lane)),
        Kind::DoubleToFloat { rounding, flush } => {
            flushed(flush, narrow(signed_double(from, frame.wide(from.slot, lane)), rounding)).into()
        }
        Kind::FloatToHalf => half::narrow(single(false, lane)).into(),
        Kind::HalfToFloat { shift } => {
            let value = half::widen((frame.word(from.slot)[lane] >> shift) as u16) as f32;
            if value.is_nan() { NAN.into() } else { signed_float(from, value.to_bits()).into() }
        }
        Kind::FloatsToHalves { lower, relu, bfloat } => {
            let low = f64::from(f32::from_bits(signed_float(lower, frame.word(lower.slot)[lane])));
            let clamp = |bits: u16| if relu && bits >> 15 == 1 { 0 } else { bits };
            let narrow = |value: f64| if bfloat { half::narrow_bfloat(value as f32) } else { half::narrow(value) };
            let [high, low] = [single(false, lane), low].map(|value| u64::from(clamp(narrow(value))));
            high << 16 | low
        }
        Kind::RoundToWhole { rounding, flush } => {
            narrow(whole(single(flush, lane), rounding), Rounding::Nearest).into()
        }
    });
    let is_wide = match kind {
        Kind::IntegerToDouble { .. } | Kind::FloatToDouble { .. } => true,
        Kind::FloatToInteger { to, .. } => to.bits == 64,
        _ => false,
    };
    if is_wide {
        frame.write_wide(to, mask, &wide);
    } else {
        frame.write(to, mask, &wide.map(|value| value as u32));
    }
}
