//! Single-precision arithmetic as IEEE 754 says, in all four rounding modes, independent of the host's library.
//!
//! A product of two singles is exact in double precision. A sum of doubles is made *round to odd*: if it was inexact, the
//! neighbour with an odd last bit is taken. Rounding that once more to single precision, in any mode, gives what one
//! rounding of the exact value would give, because double precision has more than 2·24 + 2 bits (Boldo and Melquiond,
//! "Emulation of FMA and correctly rounded sums: proved algorithms using rounding to odd", IEEE ToC 2008).

/// The NaN that NVIDIA GPUs produce (PTX ISA, "Floating Point Instructions": a canonical NaN of 0x7fffffff).
pub const NAN: u32 = 0x7fff_ffff;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rounding {
    /// To nearest, ties to even (RN).
    Nearest,
    /// Towards zero (RZ).
    Zero,
    /// Towards minus infinity (RM).
    Down,
    /// Towards plus infinity (RP).
    Up,
}

/// How a single-precision instruction treats its operands and result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mode {
    pub rounding: Rounding,
    /// Subnormal operands and results become zero of the same sign.
    pub flush: bool,
    /// The result is clamped to [0, 1]; NaN becomes 0.
    pub saturate: bool,
}

impl Mode {
    pub const IEEE: Self = Self { rounding: Rounding::Nearest, flush: false, saturate: false };

    #[inline(always)]
    pub fn operand(self, bits: u32) -> u32 {
        if self.flush { flush(bits) } else { bits }
    }

    #[inline(always)]
    pub fn result(self, bits: u32) -> u32 {
        let bits = if self.flush { flush(bits) } else { bits };
        if !self.saturate {
            return bits;
        }
        let value = f32::from_bits(bits);
        // NaN and negative numbers (minus zero too) become plus zero.
        if value > 0.0 { value.min(1.0).to_bits() } else { 0 }
    }
}

/// Subnormal to zero of the same sign.
#[inline(always)]
pub fn flush(bits: u32) -> u32 {
    if bits & 0x7f80_0000 == 0 { bits & 0x8000_0000 } else { bits }
}

#[inline(always)]
pub fn canonical(value: f32) -> u32 {
    if value.is_nan() { NAN } else { value.to_bits() }
}

/// a + b of doubles, rounded to odd. Operands that came from singles or products of singles neither overflow nor underflow.
#[inline(always)]
pub fn add_to_odd(a: f64, b: f64) -> f64 {
    let sum = a + b;
    if !sum.is_finite() {
        return sum;
    }
    // Knuth's two-sum: the exact error of the addition.
    let b_part = sum - a;
    let a_part = sum - b_part;
    let error = (a - a_part) + (b - b_part);
    let bits = sum.to_bits();
    if error == 0.0 || bits & 1 == 1 {
        return sum;
    }
    let outwards = (error > 0.0) == (sum > 0.0);
    f64::from_bits(if outwards { bits + 1 } else { bits - 1 })
}

/// One rounding of a double to a single.
#[inline(always)]
pub fn narrow(value: f64, rounding: Rounding) -> u32 {
    let nearest = value as f32;
    if value.is_nan() {
        return NAN;
    }
    let error = value - f64::from(nearest);
    let bits = nearest.to_bits();
    let (towards_zero, away) = match rounding {
        Rounding::Nearest => return bits,
        Rounding::Zero => (true, false),
        Rounding::Down => (value > 0.0, value < 0.0),
        Rounding::Up => (value < 0.0, value > 0.0),
    };
    // An overflow to infinity of a finite value: the largest finite number lies towards zero.
    if nearest.is_infinite() {
        return if value.is_infinite() || !towards_zero { bits } else { bits - 1 };
    }
    if error == 0.0 {
        return bits;
    }
    // `nearest` lies beyond the value, or before it, seen from zero.
    let beyond = if nearest == 0.0 { false } else { (error < 0.0) == (nearest > 0.0) };
    match (towards_zero && beyond, away && !beyond) {
        (true, _) => bits - 1,
        (_, true) => ((bits & 0x7fff_ffff) + 1) | (u32::from(value < 0.0) << 31),
        _ => bits,
    }
}

/// a·b + c with one rounding.
#[inline(always)]
pub fn fused(a: u32, b: u32, c: u32, mode: Mode) -> u32 {
    let [a, b, c] = [a, b, c].map(|bits| f64::from(f32::from_bits(mode.operand(bits))));
    let product = a * b;
    mode.result(exact_zero(product, c, mode.rounding).unwrap_or_else(|| narrow(add_to_odd(product, c), mode.rounding)))
}

#[inline(always)]
pub fn sum(a: u32, b: u32, mode: Mode) -> u32 {
    let [a, b] = [a, b].map(|bits| f64::from(f32::from_bits(mode.operand(bits))));
    mode.result(exact_zero(a, b, mode.rounding).unwrap_or_else(|| narrow(add_to_odd(a, b), mode.rounding)))
}

#[inline(always)]
pub fn product(a: u32, b: u32, mode: Mode) -> u32 {
    let [a, b] = [a, b].map(|bits| f64::from(f32::from_bits(mode.operand(bits))));
    mode.result(narrow(a * b, mode.rounding))
}

/// The sign of an exact zero: of opposite addends it is plus, but minus when rounding down (IEEE 754, 6.3).
#[inline(always)]
fn exact_zero(a: f64, b: f64, rounding: Rounding) -> Option<u32> {
    let cancels = a + b == 0.0 && a.is_sign_negative() != b.is_sign_negative() && a == -b;
    if cancels { Some(u32::from(rounding == Rounding::Down) << 31) } else { None }
}
