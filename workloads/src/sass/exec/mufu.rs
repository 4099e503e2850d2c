//! MUFU: reciprocal, square roots, powers and logarithms of two, sine and cosine.
//!
//! The hardware interpolates in tables whose contents are not public; what is documented is the error (CUDA C++
//! Programming Guide, "Intrinsic Functions", and PTX ISA: `rcp.approx` 1 ulp, `rsqrt.approx` 2⁻²²·⁹ relative, `ex2.approx` 2 ulp,
//! `lg2.approx` 2⁻²² absolute near 1, `sin.approx` and `cos.approx` 2⁻²⁰·⁵ absolute in [−π, π]). Here each function is computed in double
//! precision from additions, multiplications, divisions and square roots only, then rounded once: inside those bounds
//! and the same on every platform.
//!
//! Subnormal operands and results are flushed. That follows from what the compiler puts round the instruction when
//! subnormals must be kept: it scales operands below 2⁻¹²⁶ before, and results after.
//! RCP64H and RSQ64H take and give the upper words of doubles: 20 bits of a reciprocal from which software iterates (PTX
//! ISA, `rcp.approx.ftz.f64`, `rsqrt.approx.ftz.f64`). TANH and EX2 also exist for 16-bit numbers (`tanh.approx.f16`, error 2⁻¹⁰·⁹⁸⁷).
//! The argument of SIN and COS counts revolutions: the compiler multiplies by 1/2π before.

use super::frame::{Frame, Slot, Source};
use super::ieee::{NAN, Rounding, canonical, flush};
use super::lower::{Lowered, Lowering};
use super::narrow::{BFLOAT16, BINARY16, Format};
use super::op::Op;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Function {
    Reciprocal,
    ReciprocalRoot,
    Root,
    PowerOfTwo,
    LogarithmOfTwo,
    Sine,
    Cosine,
    HyperbolicTangent,
    /// Of a double, upper words only.
    WideReciprocal,
    WideReciprocalRoot,
}

#[derive(Clone, Copy, Debug)]
pub struct MufuOp {
    to: Slot,
    from: Source,
    function: Function,
    /// A 16-bit number in the register, above `shift` bits.
    narrow: Option<(Format, u8)>,
}

pub fn lower(cx: &mut Lowering<'_>, mnemonic: &str) -> Lowered<Option<Op>> {
    if mnemonic != "MUFU" {
        return Ok(None);
    }
    let functions = [
        ("RCP", Function::Reciprocal),
        ("RSQ", Function::ReciprocalRoot),
        ("SQRT", Function::Root),
        ("EX2", Function::PowerOfTwo),
        ("LG2", Function::LogarithmOfTwo),
        ("SIN", Function::Sine),
        ("COS", Function::Cosine),
        ("TANH", Function::HyperbolicTangent),
        ("RCP64H", Function::WideReciprocal),
        ("RSQ64H", Function::WideReciprocalRoot),
    ];
    let function = cx.need_one_of("function", &functions)?;
    let format = match function {
        Function::PowerOfTwo | Function::HyperbolicTangent => cx.take_one_of(&[("F16", BINARY16), ("BF16", BFLOAT16)]),
        _ => None,
    };
    let to = cx.target()?;
    let (from, shift) = if format.is_some() { cx.part_source()? } else { (cx.float_source()?, 0) };
    Ok(Some(Op::Mufu(MufuOp { to, from, function, narrow: format.map(|format| (format, shift)) })))
}

pub fn execute(op: &MufuOp, frame: &mut Frame, mask: u32) {
    let (and, xor) = op.from.float_masks();
    if let Some((format, shift)) = op.narrow {
        let sign = format.sign();
        let (and, xor) = (if and == u32::MAX { u16::MAX } else { !sign }, if xor == 0 { 0 } else { sign });
        frame.map1(mask, op.to, op.from.slot, |bits| {
            let single = format.widen((bits >> shift) as u16 & and ^ xor) as f32;
            let result = f32::from_bits(evaluate(op.function, single.to_bits()));
            format.narrow(result.into(), Rounding::Nearest).into()
        });
        return;
    }
    frame.map1(mask, op.to, op.from.slot, |bits| evaluate(op.function, bits & and ^ xor));
}

/// The function of one operand, as bits of single precision.
pub fn evaluate(function: Function, bits: u32) -> u32 {
    match function {
        Function::WideReciprocal => return upper_word(bits, |value| 1.0 / value),
        Function::WideReciprocalRoot => return upper_word(bits, |value| 1.0 / value.sqrt()),
        _ => {}
    }
    let value = f64::from(f32::from_bits(flush(bits)));
    if value.is_nan() {
        return NAN;
    }
    let result = match function {
        Function::Reciprocal => 1.0 / value,
        Function::ReciprocalRoot => 1.0 / value.sqrt(),
        Function::Root => value.sqrt(),
        Function::PowerOfTwo => power_of_two(value),
        Function::LogarithmOfTwo => logarithm_of_two(value),
        Function::Sine => sine_of_quarters(value, 0),
        Function::Cosine => sine_of_quarters(value, 1),
        Function::HyperbolicTangent => hyperbolic_tangent(value),
        Function::WideReciprocal | Function::WideReciprocalRoot => unreachable!("answered above"),
    };
    flush(canonical(result as f32))
}

/// A function of the double with that upper word and zeros below, to the nearest upper word; subnormals count as zero.
fn upper_word(bits: u32, function: impl Fn(f64) -> f64) -> u32 {
    let flushed = |upper: u32| if upper & 0x7ff0_0000 == 0 { upper & 0x8000_0000 } else { upper };
    let result = function(f64::from_bits(u64::from(flushed(bits)) << 32));
    if result.is_nan() {
        return NAN;
    }
    // Half a unit carries into the exponent by itself; infinity has nothing below to carry.
    flushed((result.to_bits().wrapping_add(1 << 31) >> 32) as u32)
}

/// The integer nearest to a double below 2⁵¹.
fn nearest(value: f64) -> f64 {
    const MAGIC: f64 = 6_755_399_441_055_744.0; // 1.5 · 2^52
    (value + MAGIC) - MAGIC
}

/// Taylor series of e^x, |x| ≤ ln 2 / 2: the first term left out is below 10⁻¹⁵.
fn exponential(x: f64) -> f64 {
    (1..=13).rev().fold(1.0, |sum, n| 1.0 + sum * x / f64::from(n))
}

fn scale(exponent: i64) -> f64 {
    f64::from_bits(((1023 + exponent) as u64) << 52)
}

fn power_of_two(x: f64) -> f64 {
    // Beyond these single precision overflows or vanishes; the clamp keeps the exponent of a double in range.
    let x = x.clamp(-200.0, 200.0);
    let whole = nearest(x);
    exponential((x - whole) * std::f64::consts::LN_2) * scale(whole as i64)
}

fn logarithm_of_two(x: f64) -> f64 {
    if x < 0.0 {
        return f64::NAN;
    }
    if x == 0.0 || x.is_infinite() {
        return if x == 0.0 { f64::NEG_INFINITY } else { x };
    }
    let bits = x.to_bits();
    let exponent = (bits >> 52) as i64 - 1023;
    let mantissa = f64::from_bits(bits & 0x000f_ffff_ffff_ffff | 1023 << 52);
    let (mantissa, exponent) =
        if mantissa > std::f64::consts::SQRT_2 { (mantissa / 2.0, exponent + 1) } else { (mantissa, exponent) };
    // ln m = 2 artanh s with |s| ≤ 0.172: the first term left out is below 10⁻¹⁵.
    let s = (mantissa - 1.0) / (mantissa + 1.0);
    let series = (0..10).rev().fold(0.0, |sum, n| sum * s * s + 1.0 / f64::from(2 * n + 1));
    exponent as f64 + 2.0 * s * series * std::f64::consts::LOG2_E
}

/// sin(2π (x + quarters/4)).
fn sine_of_quarters(x: f64, quarters: i64) -> f64 {
    if x.is_infinite() {
        return f64::NAN;
    }
    // Singles from 2^24 on are whole revolutions.
    let x = if x.abs() >= 16_777_216.0 { 0.0 * x } else { x };
    let turn = nearest(4.0 * x);
    let t = (x - turn / 4.0) * std::f64::consts::TAU;
    let squared = t * t;
    // Taylor series, |t| ≤ π/4: the first terms left out are below 10⁻¹⁵.
    let sine = || t * (1..=8).rev().fold(1.0, |sum, n| 1.0 - sum * squared / f64::from(2 * n * (2 * n + 1)));
    let cosine = || (1..=8).rev().fold(1.0, |sum, n| 1.0 - sum * squared / f64::from(2 * n * (2 * n - 1)));
    match (turn as i64 + quarters).rem_euclid(4) {
        0 => sine(),
        1 => cosine(),
        2 => -sine(),
        _ => -cosine(),
    }
}

fn hyperbolic_tangent(x: f64) -> f64 {
    if x.abs() < 1e-4 {
        return x - x * x * x / 3.0;
    }
    let squared = power_of_two(2.0 * x.clamp(-20.0, 20.0) * std::f64::consts::LOG2_E);
    (squared - 1.0) / (squared + 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Some 300,000 singles from `from` to `to`, evenly spaced in their bits.
    fn sample(from: f32, to: f32) -> impl Iterator<Item = f32> {
        let (from, to) = (from.to_bits(), to.to_bits());
        let step = ((to - from) / 300_000).max(1);
        (from..=to).step_by(step as usize).map(f32::from_bits)
    }

    fn of(function: Function, x: f32) -> f64 {
        f64::from(f32::from_bits(evaluate(function, x.to_bits())))
    }

    /// Distance in units in the last place of the reference's single.
    fn ulps(got: f64, want: f64) -> f64 {
        let unit = f64::from((want as f32).abs().next_up()) - f64::from((want as f32).abs());
        (got - want).abs() / unit
    }

    // The reference is the standard library's double precision, good to about one part in 2^52. Bounds: CUDA C++ Programming
    // Guide, intrinsic functions, and PTX ISA (`*.approx`), as quoted on top.

    #[test]
    fn reciprocal_within_1_ulp() {
        for x in sample(f32::MIN_POSITIVE, 8e37) {
            assert!(ulps(of(Function::Reciprocal, x), 1.0 / f64::from(x)) <= 1.0, "{x}");
            assert!(ulps(of(Function::Reciprocal, -x), -1.0 / f64::from(x)) <= 1.0, "{x}");
        }
    }

    #[test]
    fn roots_within_documented_relative_error() {
        for x in sample(f32::MIN_POSITIVE, f32::MAX) {
            let want = 1.0 / f64::from(x).sqrt();
            assert!((of(Function::ReciprocalRoot, x) / want - 1.0).abs() <= (-22.9f64).exp2(), "{x}");
            let want = f64::from(x).sqrt();
            assert!((of(Function::Root, x) / want - 1.0).abs() <= (-23.0f64).exp2(), "{x}");
        }
    }

    #[test]
    fn power_of_two_within_2_ulp() {
        for x in sample(1e-6, 126.0).chain(sample(0.49, 0.51)) {
            assert!(ulps(of(Function::PowerOfTwo, x), f64::from(x).exp2()) <= 2.0, "{x}");
            assert!(ulps(of(Function::PowerOfTwo, -x), (-f64::from(x)).exp2()) <= 2.0, "{x}");
        }
    }

    #[test]
    fn logarithm_within_documented_absolute_error() {
        for x in sample(0.5, 2.0) {
            assert!((of(Function::LogarithmOfTwo, x) - f64::from(x).log2()).abs() <= (-22.0f64).exp2(), "{x}");
        }
        for x in sample(f32::MIN_POSITIVE, 0.5).chain(sample(2.0, f32::MAX)) {
            assert!(ulps(of(Function::LogarithmOfTwo, x), f64::from(x).log2()) <= 2.0, "{x}");
        }
    }

    #[test]
    fn sine_and_cosine_within_documented_absolute_error() {
        for x in sample(1e-6, 0.5) {
            for x in [x, -x] {
                let angle = std::f64::consts::TAU * f64::from(x);
                assert!((of(Function::Sine, x) - angle.sin()).abs() <= (-20.5f64).exp2(), "{x}");
                assert!((of(Function::Cosine, x) - angle.cos()).abs() <= (-20.5f64).exp2(), "{x}");
            }
        }
        for x in sample(0.5, 1e4) {
            let angle = std::f64::consts::TAU * f64::from(x - x.floor());
            assert!((of(Function::Sine, x) - angle.sin()).abs() <= (-20.5f64).exp2(), "{x}");
        }
    }

    #[test]
    fn hyperbolic_tangent_within_documented_relative_error() {
        for x in sample(1e-5, 10.0) {
            assert!((of(Function::HyperbolicTangent, x) / f64::from(x).tanh() - 1.0).abs() <= (-11.0f64).exp2(), "{x}");
        }
    }

    #[test]
    fn edges() {
        let edge = |function, x: f32| f32::from_bits(evaluate(function, x.to_bits()));
        assert_eq!(edge(Function::Reciprocal, 0.0), f32::INFINITY);
        assert_eq!(edge(Function::Reciprocal, -0.0), f32::NEG_INFINITY);
        assert_eq!(edge(Function::Reciprocal, f32::INFINITY), 0.0);
        assert_eq!(edge(Function::Reciprocal, 1e-40), f32::INFINITY, "subnormal operands are flushed");
        assert_eq!(edge(Function::Reciprocal, 3e38), 0.0, "subnormal results are flushed");
        assert_eq!(edge(Function::PowerOfTwo, f32::NEG_INFINITY), 0.0);
        assert_eq!(edge(Function::PowerOfTwo, 128.0), f32::INFINITY);
        assert_eq!(edge(Function::LogarithmOfTwo, 0.0), f32::NEG_INFINITY);
        assert_eq!(evaluate(Function::LogarithmOfTwo, (-1.0f32).to_bits()), NAN);
        assert_eq!(evaluate(Function::ReciprocalRoot, 0xffc0_0000), NAN);
        assert_eq!(evaluate(Function::Sine, f32::INFINITY.to_bits()), NAN);
        assert_eq!(edge(Function::Cosine, 0.0), 1.0);
        assert_eq!(edge(Function::Sine, 0.25), 1.0);
    }
}
