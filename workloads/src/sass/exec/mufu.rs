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
//! The argument of SIN and COS counts revolutions: the compiler multiplies by 1/2π before.

use super::frame::{Frame, Slot, Source};
use super::ieee::{NAN, canonical, flush};
use super::lower::{Lowered, Lowering};
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
}

#[derive(Clone, Copy, Debug)]
pub struct MufuOp {
    to: Slot,
    from: Source,
    function: Function,
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
    ];
    let function = cx.need_one_of("function", &functions)?;
    Ok(Some(Op::Mufu(MufuOp { to: cx.target()?, from: cx.float_source()?, function })))
}

pub fn execute(op: &MufuOp, frame: &mut Frame, mask: u32) {
    let (and, xor) = op.from.float_masks();
    frame.map1(mask, op.to, op.from.slot, |bits| evaluate(op.function, bits & and ^ xor));
}

/// The function of one operand, as bits of single precision.
pub fn evaluate(function: Function, bits: u32) -> u32 {
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
    };
    flush(canonical(result as f32))
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
