//! Floating-point formats narrower than single precision, and one rounding of a double to any of them.
//!
//! ```text
//!             sign  exponent  fraction  infinity  NaN
//!  binary16     1       5        10        yes    0x7fff
//!  bfloat16     1       8         7        yes    0x7fff
//!  E5M2         1       5         2        yes    0x7f
//!  E4M3         1       4         3        no     0x7f       largest 448
//! ```
//!
//! Sources: PTX ISA, "Fundamental Types" and "Alternate Floating-Point Data Formats"; the NaN of each is the canonical one
//! that the section names (`cvt`: "the canonical NaN").

pub use super::ieee::Rounding;

/// A format with a sign bit, an exponent and a fraction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Format {
    exponent_bits: u32,
    fraction_bits: u32,
    /// The largest exponent holds infinities and NaNs; otherwise only its last fraction is a NaN.
    infinities: bool,
    pub nan: u16,
}

pub const BINARY16: Format = Format { exponent_bits: 5, fraction_bits: 10, infinities: true, nan: 0x7fff };
pub const BFLOAT16: Format = Format { exponent_bits: 8, fraction_bits: 7, infinities: true, nan: 0x7fff };
pub const E5M2: Format = Format { exponent_bits: 5, fraction_bits: 2, infinities: true, nan: 0x7f };
pub const E4M3: Format = Format { exponent_bits: 4, fraction_bits: 3, infinities: false, nan: 0x7f };

fn power_of_two(exponent: i32) -> f64 {
    f64::from_bits(((1023 + exponent) as u64) << 52)
}

impl Format {
    /// Bits of the number's pattern, sign included.
    pub fn bits(self) -> u32 {
        1 + self.exponent_bits + self.fraction_bits
    }

    pub fn sign(self) -> u16 {
        1 << (self.bits() - 1)
    }

    /// 1 in this format.
    pub fn one(self) -> u16 {
        (self.bias() as u16) << self.fraction_bits
    }

    fn bias(self) -> i32 {
        (1 << (self.exponent_bits - 1)) - 1
    }

    /// The pattern of infinity, or the one behind the largest number where there is none.
    fn infinity(self) -> u16 {
        if self.infinities { ((1 << self.exponent_bits) - 1) << self.fraction_bits } else { self.nan }
    }

    pub fn is_nan(self, bits: u16) -> bool {
        let magnitude = bits & (self.sign() - 1);
        if self.infinities { magnitude > self.infinity() } else { magnitude == self.nan }
    }

    pub fn is_subnormal(self, bits: u16) -> bool {
        bits & self.infinity() & !((1 << self.fraction_bits) - 1) == 0
    }

    /// As a double, exactly.
    pub fn widen(self, bits: u16) -> f64 {
        let magnitude = bits & (self.sign() - 1);
        let sign = if bits & self.sign() != 0 { -1.0 } else { 1.0 };
        if self.is_nan(bits) {
            return f64::NAN;
        }
        if self.infinities && magnitude == self.infinity() {
            return sign * f64::INFINITY;
        }
        let one = 1u16 << self.fraction_bits;
        let (exponent, fraction) = (i32::from(magnitude / one), magnitude % one);
        let units = if exponent == 0 { fraction } else { one + fraction };
        sign * f64::from(units) * power_of_two(exponent.max(1) - self.bias() - self.fraction_bits as i32)
    }

    /// A double, rounded once. What is too large becomes infinity, or the largest number if the rounding leads to it.
    #[inline]
    pub fn narrow(self, value: f64, rounding: Rounding) -> u16 {
        if value.is_nan() {
            return self.nan;
        }
        let sign = if value.is_sign_negative() { self.sign() } else { 0 };
        let magnitude = value.abs();
        if magnitude.is_infinite() {
            return sign | self.infinity();
        }
        // Scale so that one unit in the last place is 1.
        let exponent = ((magnitude.to_bits() >> 52) as i32 - 1023).max(1 - self.bias());
        // In two steps, because the factor itself may lie beyond a double's range.
        let shift = self.fraction_bits as i32 - exponent;
        let units = magnitude * power_of_two(shift / 2) * power_of_two(shift - shift / 2);
        let outwards = match rounding {
            Rounding::Nearest => units.round_ties_even(),
            Rounding::Zero => units.trunc(),
            Rounding::Down if sign == 0 => units.trunc(),
            Rounding::Up if sign != 0 => units.trunc(),
            Rounding::Down | Rounding::Up => units.ceil(),
        };
        if exponent > 2 * self.bias() {
            return sign | self.beyond(rounding, sign != 0);
        }
        // A normal number has 2^fraction_bits units or more; twice as many carry into the exponent by themselves.
        let biased = (exponent + self.bias() - 1) as u32;
        let bits = (biased << self.fraction_bits) + outwards as u32;
        if bits >= u32::from(self.infinity()) {
            return sign | self.beyond(rounding, sign != 0);
        }
        sign | bits as u16
    }

    /// What a finite value beyond the largest number becomes.
    fn beyond(self, rounding: Rounding, negative: bool) -> u16 {
        let towards_zero = match rounding {
            Rounding::Nearest => false,
            Rounding::Zero => true,
            Rounding::Down => !negative,
            Rounding::Up => negative,
        };
        if towards_zero { self.infinity() - 1 } else { self.infinity() }
    }

    /// As [`Format::narrow`] to nearest, but what is too large or infinite becomes the largest number (`.satfinite`).
    pub fn narrow_to_finite(self, value: f64) -> u16 {
        let bits = self.narrow(value, Rounding::Nearest);
        let (sign, magnitude) = (bits & self.sign(), bits & (self.sign() - 1));
        if value.is_nan() { self.nan } else { sign | magnitude.min(self.infinity() - 1) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use half::{bf16, f16};
    use proptest::prelude::*;

    #[test]
    fn landmarks() {
        // PTX ISA, "Alternate Floating-Point Data Formats"; OCP 8-bit Floating Point Specification, table 1.
        assert_eq!(E4M3.widen(0x7e), 448.0);
        assert_eq!(E4M3.widen(0x01), 2f64.powi(-9));
        assert_eq!(E5M2.widen(0x7b), 57344.0);
        assert_eq!(E5M2.widen(0x01), 2f64.powi(-16));
        assert!(E4M3.is_nan(0xff) && !E4M3.is_nan(0x7e) && E5M2.is_nan(0x7d) && !E5M2.is_nan(0x7c));
        assert_eq!(E4M3.narrow_to_finite(1e9), 0x7e);
        assert_eq!(E4M3.narrow_to_finite(-464.1), 0xfe);
        assert_eq!(E5M2.narrow_to_finite(f64::NEG_INFINITY), 0xfb);
        assert_eq!((BINARY16.one(), BFLOAT16.one()), (0x3c00, 0x3f80));
        assert_eq!(BINARY16.narrow(65520.0, Rounding::Nearest), 0x7c00);
        assert_eq!(BINARY16.narrow(65520.0, Rounding::Down), 0x7bff);
        assert_eq!(BINARY16.narrow(-65505.0, Rounding::Down), 0xfc00);
        assert_eq!(BINARY16.narrow(1e-300, Rounding::Up), 1);
        assert_eq!(BFLOAT16.narrow(1e300, Rounding::Zero), 0x7f7f);
    }

    #[test]
    fn every_pattern_comes_back() {
        for format in [BINARY16, BFLOAT16, E5M2, E4M3] {
            for bits in 0..1u32 << format.bits() {
                let bits = bits as u16;
                for rounding in [Rounding::Nearest, Rounding::Zero, Rounding::Down, Rounding::Up] {
                    let back = format.narrow(format.widen(bits), rounding);
                    assert_eq!(back, if format.is_nan(bits) { format.nan } else { bits }, "{format:?} {rounding:?}");
                }
            }
        }
    }

    fn any_double() -> impl Strategy<Value = f64> {
        prop_oneof![any::<f64>(), any::<f32>().prop_map(f64::from), (-70000.0..70000.0), (-1e-4..1e-4f64)]
    }

    proptest! {
        #[test]
        fn nearest_is_what_the_crate_half_computes(value: f32) {
            if value.is_nan() { return Ok(()); }
            let narrow = |format: Format| format.narrow(value.into(), Rounding::Nearest);
            prop_assert_eq!(narrow(BINARY16), f16::from_f32(value).to_bits());
            prop_assert_eq!(narrow(BFLOAT16), bf16::from_f32(value).to_bits());
        }

        /// The results of directed roundings are neighbours, the value lies between them, and to nearest is the nearer one.
        #[test]
        fn roundings_enclose_the_value(value in any_double()) {
            if !value.is_finite() { return Ok(()); }
            for format in [BINARY16, BFLOAT16, E5M2] {
                let [down, up, zero, nearest] = [Rounding::Down, Rounding::Up, Rounding::Zero, Rounding::Nearest]
                    .map(|mode| format.narrow(value, mode));
                let number = |bits: u16| format.widen(bits);
                prop_assert!(number(down) <= value && value <= number(up));
                prop_assert_eq!(zero, if value.is_sign_positive() { down } else { up });
                let magnitude = |bits: u16| bits & (format.sign() - 1);
                prop_assert!(magnitude(down).abs_diff(magnitude(up)) <= 1);
                prop_assert_eq!(down == up, number(down) == value);
                if number(down).is_finite() && number(up).is_finite() && down != up {
                    // Both differences are exact: the neighbours differ by one unit.
                    let want = match (value - number(down)).partial_cmp(&(number(up) - value)) {
                        Some(std::cmp::Ordering::Less) => down,
                        Some(std::cmp::Ordering::Greater) => up,
                        _ => if down & 1 == 0 { down } else { up },
                    };
                    prop_assert_eq!(nearest, want, "{:e}", value);
                }
            }
        }
    }
}
