//! The inner product of a matrix unit: d = c + Σ a·b over a block of products, with the unit's own rounding.
//!
//! ```text
//!  a·b  exact, not normalised ┐  shifted to the largest exponent among        exact     normalised,
//!  c                          ┘  products and c, bits behind the last are cut ──▶ sum ──▶ cut to single (or rounded to half)
//! ```
//!
//! Longer products are a chain of blocks, each with the result of the last as its c. Terms per block and bits kept behind
//! the single's fraction differ by architecture.
//! Sources: Fasi, Higham, Mikaitis, Pranesh, "Numerical behavior of NVIDIA tensor cores", PeerJ Computer Science 7:e330
//! (2021); Khattak, Mikaitis, "Accurate Models of NVIDIA Tensor Cores", arXiv 2512.07004, whose models (github
//! north-numerical-computing/MATLAB-tensor-core) agree bit by bit with A100, L40S, H100, H200, B200 and RTX PRO 6000. The
//! measured results that they publish are the test (`tests/mma_hardware.rs`). Not known: sm_75, taken as V100.

use super::super::ieee::{NAN, Rounding};
use super::super::narrow::BINARY16;

/// A floating-point number format of the factors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Format {
    pub exponent_bits: u32,
    pub fraction_bits: u32,
    /// The largest exponent holds numbers, too; only all ones is NaN (E4M3).
    finite: bool,
}

impl Format {
    pub const HALF: Self = Self { exponent_bits: 5, fraction_bits: 10, finite: false };
    pub const BFLOAT16: Self = Self { exponent_bits: 8, fraction_bits: 7, finite: false };
    /// The upper 19 bits of a register; the lower 13 are not looked at.
    pub const TF32: Self = Self { exponent_bits: 8, fraction_bits: 10, finite: false };
    pub const E4M3: Self = Self { exponent_bits: 4, fraction_bits: 3, finite: true };
    pub const E5M2: Self = Self { exponent_bits: 5, fraction_bits: 2, finite: false };
    const SINGLE: Self = Self { exponent_bits: 8, fraction_bits: 23, finite: false };

    fn bits(self) -> u32 {
        1 + self.exponent_bits + self.fraction_bits
    }
}

/// A number in pieces: `significand` × 2^(`exponent` − fraction bits of its format).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Number {
    significand: i32,
    exponent: i32,
    /// Infinity (with the sign of `significand`) or, if that is 0, NaN.
    special: bool,
}

impl Number {
    pub fn of(format: Format, bits: u32) -> Self {
        let bias = (1 << (format.exponent_bits - 1)) - 1;
        let fraction = (bits & ((1 << format.fraction_bits) - 1)) as i32;
        let largest = (1 << format.exponent_bits) - 1;
        let biased = (bits >> format.fraction_bits) as i32 & largest;
        let sign = if bits >> (format.bits() - 1) & 1 == 1 { -1 } else { 1 };
        let all_ones = fraction == (1 << format.fraction_bits) - 1;
        if biased == largest && (!format.finite || all_ones) {
            let infinite = fraction == 0 && !format.finite;
            return Self { significand: if infinite { sign } else { 0 }, exponent: 0, special: true };
        }
        let implicit = if biased == 0 { 0 } else { 1 << format.fraction_bits };
        Self { significand: sign * (implicit + fraction), exponent: biased.max(1) - bias, special: false }
    }
}

impl Number {
    /// With the other sign.
    pub fn negated(self) -> Self {
        Self { significand: -self.significand, ..self }
    }
}

/// How a unit adds up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Adder {
    /// Products that are added up at once.
    pub block: usize,
    /// Bits behind the binary point that a term keeps, seen from the largest exponent: 23 and the extra ones.
    pub kept_bits: u32,
    /// Bits of the fraction that a single-precision result keeps.
    pub result_bits: u32,
    /// Terms are never aligned to a smaller exponent than this.
    pub least_exponent: i32,
}

/// Which numbers c and d are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accumulator {
    Single,
    Half,
}

impl Adder {
    /// The adder for factors of a format on an architecture (`sm_80`).
    pub fn of(arch: &str, format: Format, accumulator: Accumulator) -> Self {
        let number: u32 = arch.trim_start_matches("sm_").trim_end_matches(['a', 'f']).parse().unwrap_or(0);
        let bytes = format.bits().div_ceil(8) as usize;
        // Bytes of factors of one side that a block takes (TF32 counts as four), and the extra bits.
        let (block_bytes, extra_bits) = match number {
            ..80 => (8, 0),
            80..90 => (16, 1),
            _ => (32, 2),
        };
        let block = block_bytes / if bytes == 3 { 4 } else { bytes };
        let narrow = bytes == 1 && number < 100;
        let least_exponent = match accumulator {
            Accumulator::Single if number < 80 => -1024,
            Accumulator::Single => -131 - extra_bits,
            Accumulator::Half => -19 - extra_bits,
        };
        Self {
            block,
            kept_bits: if narrow { 13 } else { 23 + extra_bits as u32 },
            result_bits: if narrow { 13 } else { 23 },
            least_exponent,
        }
    }

    /// c + Σ a·b as bits of the accumulator's format, block by block.
    pub fn dot(self, formats: [Format; 2], accumulator: Accumulator, a: &[Number], b: &[Number], c: u32) -> u32 {
        let blocks = a.chunks(self.block).zip(b.chunks(self.block));
        let fraction_bits = formats[0].fraction_bits + formats[1].fraction_bits;
        blocks.fold(c, |c, (a, b)| self.block_sum(fraction_bits, accumulator, a, b, c))
    }

    fn block_sum(self, fraction_bits: u32, accumulator: Accumulator, a: &[Number], b: &[Number], c: u32) -> u32 {
        let addend_format = match accumulator {
            Accumulator::Single => Format::SINGLE,
            Accumulator::Half => Format::HALF,
        };
        let addend = Number::of(addend_format, c);
        if addend.special || a.iter().chain(b).any(|number| number.special) {
            return special_sum(accumulator, a, b, addend);
        }
        // The largest exponent of a term that is not zero.
        let mut exponent = self.least_exponent;
        if addend.significand != 0 {
            exponent = exponent.max(addend.exponent);
        }
        for (a, b) in a.iter().zip(b) {
            if a.significand != 0 && b.significand != 0 {
                exponent = exponent.max(a.exponent + b.exponent);
            }
        }
        let mut sum = self.aligned(addend.significand.into(), addend_format.fraction_bits, exponent - addend.exponent);
        for (a, b) in a.iter().zip(b) {
            let product = i64::from(a.significand) * i64::from(b.significand);
            sum += self.aligned(product, fraction_bits, exponent - a.exponent - b.exponent);
        }
        match accumulator {
            Accumulator::Single => self.single(sum, exponent),
            // At most 31 bits and exponents in the middle: exact in double precision.
            Accumulator::Half => {
                BINARY16.narrow(sum as f64 * 2f64.powi(exponent - self.kept_bits as i32), Rounding::Nearest).into()
            }
        }
    }

    /// A term with `fraction_bits` behind its binary point, moved right by `distance` and cut towards zero.
    #[inline(always)]
    fn aligned(self, significand: i64, fraction_bits: u32, distance: i32) -> i64 {
        if significand == 0 {
            return 0;
        }
        let shift = self.kept_bits as i32 - fraction_bits as i32 - distance;
        let magnitude = significand.unsigned_abs();
        let moved = if shift >= 0 { magnitude << shift } else { magnitude.checked_shr(-shift as u32).unwrap_or(0) };
        if significand < 0 { -(moved as i64) } else { moved as i64 }
    }

    /// `sum` × 2^(`exponent` − kept bits) as a single, cut towards zero; what is too large becomes infinite.
    fn single(self, sum: i64, exponent: i32) -> u32 {
        if sum == 0 {
            return 0;
        }
        let sign = u32::from(sum < 0) << 31;
        let magnitude = sum.unsigned_abs();
        let place = exponent - self.kept_bits as i32;
        let leading = place + 63 - magnitude.leading_zeros() as i32;
        if leading > 127 {
            return sign | 0x7f80_0000;
        }
        // Weight of the last bit that stays; below −126 numbers are subnormal.
        let last = leading.max(-126) - self.result_bits as i32;
        let kept = if place >= last {
            magnitude << (place - last)
        } else {
            magnitude.checked_shr((last - place) as u32).unwrap_or(0)
        };
        let significand = (kept as u32) << (23 - self.result_bits);
        // The leading bit of a normal number adds one to the exponent field.
        sign | ((((leading.max(-126) + 126) as u32) << 23) + significand)
    }
}

/// A sum with an infinity or a NaN in it.
#[cold]
fn special_sum(accumulator: Accumulator, a: &[Number], b: &[Number], addend: Number) -> u32 {
    let value = |number: Number| match (number.special, number.significand) {
        (true, 0) => f64::NAN,
        (true, sign) => f64::from(sign) * f64::INFINITY,
        // Only zero and the sign matter beside an infinity.
        (false, significand) => f64::from(significand),
    };
    let sum = a.iter().zip(b).fold(value(addend), |sum, (&a, &b)| sum + value(a) * value(b));
    match accumulator {
        Accumulator::Single if sum.is_nan() => NAN,
        Accumulator::Single => (sum as f32).to_bits(),
        Accumulator::Half => BINARY16.narrow(sum, Rounding::Nearest).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dot(arch: &str, a: &[f32], b: &[f32], c: f32) -> f32 {
        let number = |value: &f32| Number::of(Format::TF32, value.to_bits() >> 13);
        let (a, b): (Vec<_>, Vec<_>) = (a.iter().map(number).collect(), b.iter().map(number).collect());
        let adder = Adder::of(arch, Format::TF32, Accumulator::Single);
        f32::from_bits(adder.dot([Format::TF32; 2], Accumulator::Single, &a, &b, c.to_bits()))
    }

    /// Of arXiv 2512.07004 and PeerJ 7:e330: bits behind the last one kept are cut, towards zero, term by term.
    #[test]
    fn small_terms_are_cut_one_by_one() {
        let tiny = 2f32.powi(-12);
        // 1 + 4 × 2^-24: a single rounding would give 1 + 2^-22.
        assert_eq!(dot("sm_75", &[tiny; 2], &[tiny; 2], 1.0), 1.0);
        // One extra bit keeps each 2^-24; the two of the block make 2^-23.
        assert_eq!(dot("sm_80", &[tiny; 2], &[tiny; 2], 1.0), 1.0 + 2f32.powi(-23));
        assert_eq!(dot("sm_80", &[tiny; 2], &[tiny / 2.0; 2], 1.0), 1.0);
        assert_eq!(dot("sm_90", &[tiny; 4], &[tiny / 2.0; 4], 1.0), 1.0 + 2f32.powi(-23));
        // Cut, not rounded, and for negative numbers towards zero.
        assert_eq!(dot("sm_90", &[tiny; 3], &[tiny / 2.0; 3], 1.0), 1.0);
        assert_eq!(dot("sm_90", &[-tiny; 3], &[tiny / 2.0; 3], -1.0), -1.0);
    }

    #[test]
    fn zeros_infinities_and_subnormals() {
        let infinity = f32::INFINITY;
        assert_eq!(dot("sm_80", &[0.0], &[5.0], 0.0), 0.0);
        assert_eq!(dot("sm_80", &[infinity], &[5.0], 1.0), infinity);
        assert!(dot("sm_80", &[infinity], &[0.0], 1.0).is_nan());
        assert!(dot("sm_80", &[infinity], &[1.0], -infinity).is_nan());
        assert_eq!(dot("sm_80", &[2f32.powi(100)], &[2f32.powi(100)], 1.0), infinity);
        let subnormal = 2f32.powi(-140);
        assert_eq!(dot("sm_80", &[2f32.powi(-70)], &[2f32.powi(-70)], 0.0), subnormal);
        assert_eq!(dot("sm_80", &[0.0], &[0.0], subnormal), subnormal);
    }
}
