//! Floating-point opcodes against plain Rust: full, predicated, divergent and partial warps.
//!
//! References for single precision: the host's IEEE operations and its correctly rounded fused multiply-add; for directed
//! rounding, exact integers of 128 bits. For half precision: exact sums in integers.

mod common;

use common::{check, check_predicate, check_wide, inputs};
use proptest::prelude::*;

const NAN: u32 = 0x7fff_ffff;

fn f(bits: u32) -> f32 {
    f32::from_bits(bits)
}

fn bits(value: f32) -> u32 {
    if value.is_nan() { NAN } else { value.to_bits() }
}

fn flush(bits: u32) -> u32 {
    if f(bits).is_subnormal() { bits & 0x8000_0000 } else { bits }
}

fn saturate(value: f32) -> u32 {
    if value > 0.0 { value.min(1.0).to_bits() } else { 0 }
}

/// Moderate magnitude, so that products and sums fit exactly into 128-bit integers.
fn moderate(bits: u32) -> u32 {
    bits & 0x807f_ffff | (117 + (bits >> 23) % 20) << 23
}

/// A moderate number as an integer times 2^-40.
fn scaled(value: f32) -> i128 {
    let exponent = (value.to_bits() >> 23 & 0xff) as i32 - 150;
    let mantissa = i128::from(value.to_bits() & 0x7f_ffff | 0x80_0000);
    let magnitude = mantissa << (exponent + 40);
    if value < 0.0 { -magnitude } else { magnitude }
}

/// An integer times 2^-80, rounded down to a multiple of its 24-bit unit: the greatest single not above.
fn round_down(value: i128) -> f32 {
    if value == 0 {
        return -0.0;
    }
    let length = 128 - value.unsigned_abs().leading_zeros();
    let drop = length.saturating_sub(24);
    // An arithmetic shift rounds towards minus infinity.
    ((value >> drop) as f64 * 2f64.powi(drop as i32 - 80)) as f32
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn sums_and_products(x in inputs()) {
        check(&x, &["FADD R20, R10, R12"], |a, b, _| bits(f(a) + f(b)));
        check(&x, &["FADD R20, -R10, |R12|"], |a, b, _| bits(-f(a) + f(b).abs()));
        check(&x, &["FADD R20, -|R10|, 1.5"], |a, _, _| bits(1.5 - f(a).abs()));
        check(&x, &["FMUL R20, R10, R12"], |a, b, _| bits(f(a) * f(b)));
        check(&x, &["FMUL R20, -R10, 0.3333333432674407959"], |a, _, _| bits(-f(a) * 0.333_333_34));
        check(&x, &["FADD.FTZ R20, R10, R12"], |a, b, _| flush(bits(f(flush(a)) + f(flush(b)))));
        check(&x, &["FMUL.FTZ R20, R10, R12"], |a, b, _| flush(bits(f(flush(a)) * f(flush(b)))));
        check(&x, &["FADD.SAT R20, R10, R12"], |a, b, _| saturate(f(a) + f(b)));
    }

    #[test]
    fn fused(x in inputs()) {
        check(&x, &["FFMA R20, R10, R12, R14"], |a, b, c| bits(f(a).mul_add(f(b), f(c))));
        check(&x, &["FFMA R20, -R10, R12, R14"], |a, b, c| bits((-f(a)).mul_add(f(b), f(c))));
        check(&x, &["FFMA R20, R10, R12, -R14"], |a, b, c| bits(f(a).mul_add(f(b), -f(c))));
        check(&x, &["FFMA R20, R10, 1.84467440737095516160e+19, RZ"], |a, _, _| {
            bits(f(a).mul_add(18_446_744_073_709_551_616.0, 0.0))
        });
        check(&x, &["FFMA.FTZ R20, R10, R12, R14"], |a, b, c| {
            flush(bits(f(flush(a)).mul_add(f(flush(b)), f(flush(c)))))
        });
        check(&x, &["FFMA.SAT R20, R10, R12, 0.5"], |a, b, _| saturate(f(a).mul_add(f(b), 0.5)));
    }

    /// Products close to minus the addend, and ties: where rounding twice goes wrong.
    #[test]
    fn fused_where_it_is_hard(x in inputs(), low in 0u32..1 << 12) {
        let mut x = x;
        for abc in &mut x.abc {
            let (a, b) = (abc[0] as u32 & 0x007f_ffff | 0x3f80_0000, abc[1] as u32 & 0x007f_ff00 | 0x3f80_0000 | low & 0xff);
            let c = -(f(a) * f(b)) * [1.0, 0.5, 2f32.powi(-24), 2f32.powi(24), -2f32.powi(-24), -1.0][low as usize % 6];
            *abc = [a.into(), b.into(), c.to_bits().into()];
        }
        check(&x, &["FFMA R20, R10, R12, R14"], |a, b, c| bits(f(a).mul_add(f(b), f(c))));
        // Next to the middle of two singles, by less than a double can tell: rounding twice gives the wrong one.
        for (index, abc) in x.abc.iter_mut().enumerate() {
            let offset = 1 + (low + index as u32) % 64;
            // (1 + i·2^-23) · (1 − i·2^-23) = 1 − i²·2^-46, times half a unit of c.
            let b = (1.0 - offset as f32 * 2f32.powi(-23)) * 2f32.powi(-24);
            let b = if abc[1] & 1 == 1 { -b } else { b };
            let c = abc[2] as u32 & 0x807f_ffff | 0x3f80_0000;
            *abc = [u64::from(0x3f80_0000 + offset), b.to_bits().into(), c.into()];
        }
        check(&x, &["FFMA R20, R10, R12, R14"], |a, b, c| bits(f(a).mul_add(f(b), f(c))));
        check(&x, &["FFMA R20, R10, -R12, -R14"], |a, b, c| bits(f(a).mul_add(-f(b), -f(c))));
        // Subnormal results.
        for abc in &mut x.abc {
            abc[1] = u64::from(moderate(abc[1] as u32));
        }
        for abc in &mut x.abc {
            abc[0] = u64::from(abc[0] as u32 - (100 << 23));
            abc[1] = u64::from(abc[1] as u32 - (40 << 23));
            abc[2] = u64::from(abc[2] as u32 & 0x807f_ffff);
        }
        check(&x, &["FFMA R20, R10, R12, R14"], |a, b, c| bits(f(a).mul_add(f(b), f(c))));
    }

    #[test]
    fn directed_rounding(x in inputs()) {
        let mut x = x;
        for abc in &mut x.abc {
            *abc = abc.map(|value| moderate(value as u32).into());
        }
        let exact = |a: u32, b: u32, c: u32| scaled(f(a)) * scaled(f(b)) + (scaled(f(c)) << 40);
        let down = |value: i128| round_down(value);
        let up = |value: i128| -round_down(-value);
        let zero = |value: i128| if value < 0 { up(value) } else if value == 0 { 0.0 } else { down(value) };
        check(&x, &["FFMA.RM R20, R10, R12, R14"], |a, b, c| bits(down(exact(a, b, c))));
        check(&x, &["FFMA.RP R20, R10, R12, R14"], |a, b, c| bits(up(exact(a, b, c))));
        check(&x, &["FFMA.RZ R20, R10, R12, R14"], |a, b, c| bits(zero(exact(a, b, c))));
        check(&x, &["FMUL.RM R20, R10, R12"], |a, b, _| bits(down(scaled(f(a)) * scaled(f(b)))));
        check(&x, &["FMUL.RZ R20, R10, R12"], |a, b, _| bits(zero(scaled(f(a)) * scaled(f(b)))));
        let sum = |a: u32, b: u32| (scaled(f(a)) + scaled(f(b))) << 40;
        check(&x, &["FADD.RM R20, R10, R12"], |a, b, _| bits(down(sum(a, b))));
        check(&x, &["FADD.RP R20, R10, R12"], |a, b, _| bits(up(sum(a, b))));
        check(&x, &["FADD.RZ R20, R10, R12"], |a, b, _| bits(zero(sum(a, b))));
    }

    #[test]
    fn minima(x in inputs()) {
        let order = |bits: u32| if bits >> 31 == 1 { -i64::from(bits & 0x7fff_ffff) - 1 } else { i64::from(bits) };
        let pick = |a: u32, b: u32, smaller: bool| match (f(a).is_nan(), f(b).is_nan()) {
            (true, true) => NAN,
            (true, false) => b,
            (false, true) => a,
            _ if (order(a) <= order(b)) == smaller => a,
            _ => b,
        };
        check(&x, &["FMNMX R20, R10, R12, PT"], |a, b, _| pick(a, b, true));
        check(&x, &["FMNMX R20, R10, R12, !PT"], |a, b, _| pick(a, b, false));
        check(&x, &["FMNMX R20, |R10|, -R12, !PT"], |a, b, _| pick(a & 0x7fff_ffff, b ^ 0x8000_0000, false));
    }

    #[test]
    fn comparisons(x in inputs()) {
        macro_rules! relations {
            ($($name:literal $op:tt)*) => {$(
                check_predicate(&x, &[concat!("FSETP.", $name, ".AND P1, PT, R10, R12, PT")],
                    |a, b, _| f(a as u32) $op f(b as u32));
                check_predicate(&x, &[concat!("FSETP.", $name, "U.AND P1, PT, R10, R12, PT")],
                    |a, b, _| f(a as u32) $op f(b as u32) || f(a as u32).is_nan() || f(b as u32).is_nan());
                check_predicate(&x, &[concat!("FSETP.", $name, ".FTZ.AND P1, PT, R10, R12, PT")],
                    |a, b, _| f(flush(a as u32)) $op f(flush(b as u32)));
                check_predicate(&x, &[concat!("DSETP.", $name, ".AND P1, PT, R10, R12, PT")],
                    |a, b, _| f64::from_bits(a) $op f64::from_bits(b));
            )*};
        }
        relations! { "LT" < "LE" <= "GT" > "GE" >= "EQ" == }
        check_predicate(&x, &["FSETP.NEU.AND P1, PT, R10, R12, PT"], |a, b, _| f(a as u32) != f(b as u32));
        check_predicate(&x, &["FSETP.NE.AND P1, PT, R10, R12, PT"], |a, b, _| {
            let (a, b) = (f(a as u32), f(b as u32));
            a != b && !a.is_nan() && !b.is_nan()
        });
        check_predicate(&x, &["FSETP.GTU.FTZ.AND P1, PT, |R10|, +INF , PT"], |a, _, _| f(a as u32).is_nan());
        check_predicate(&x, &["FSETP.NAN.AND P1, PT, R10, R12, PT"], |a, b, _| f(a as u32).is_nan() || f(b as u32).is_nan());
    }

    #[test]
    fn double_precision(x in inputs()) {
        let d = f64::from_bits;
        let out = |value: f64| if value.is_nan() { 0x7fff_ffff_ffff_ffff } else { value.to_bits() };
        check_wide(&x, &["DADD R20, R10, -R12"], |a, b, _| out(d(a) - d(b)));
        check_wide(&x, &["DMUL R20, R10, R12"], |a, b, _| out(d(a) * d(b)));
        check_wide(&x, &["DFMA R20, R10, R12, R14"], |a, b, c| out(d(a).mul_add(d(b), d(c))));
        check_wide(&x, &["DFMA R20, R10, -R12, 2"], |a, b, _| out(d(a).mul_add(-d(b), 2.0)));
    }

    #[test]
    fn conversions(x in inputs()) {
        check(&x, &["I2F R20, R10"], |a, _, _| bits(a as i32 as f32));
        check(&x, &["I2FP.F32.S32 R20, R10"], |a, _, _| bits(a as i32 as f32));
        check(&x, &["I2F.U32 R20, R10"], |a, _, _| bits(a as f32));
        // Rounded up: the smallest single not below.
        check(&x, &["I2F.U32.RP R20, R10"], |a, _, _| {
            let nearest = a as f32;
            bits(if f64::from(nearest) < f64::from(a) { nearest.next_up() } else { nearest })
        });
        let as32 = |value: u32| common::PRESET & !0xffff_ffff | u64::from(value);
        check_wide(&x, &["I2F.S64 R20, R10"], |a, _, _| as32(bits(a as i64 as f32)));
        check_wide(&x, &["I2F.U64 R20, R10"], |a, _, _| as32(bits(a as f32)));
        check_wide(&x, &["I2F.F64 R20, R10"], |a, _, _| f64::from(a as i32).to_bits());
        check_wide(&x, &["I2F.F64.U32 R20, R10"], |a, _, _| f64::from(a as u32).to_bits());
        check(&x, &["F2I.TRUNC.NTZ R20, R10"], |a, _, _| f(a) as i32 as u32);
        check(&x, &["F2I.FTZ.U32.TRUNC.NTZ R20, R10"], |a, _, _| f(a) as u32);
        check(&x, &["F2I.FLOOR.NTZ R20, R10"], |a, _, _| f(a).floor() as i32 as u32);
        check(&x, &["F2I.CEIL.NTZ R20, R10"], |a, _, _| f(a).ceil() as i32 as u32);
        check(&x, &["F2I.NTZ R20, R10"], |a, _, _| f(a).round_ties_even() as i32 as u32);
        check_wide(&x, &["F2I.S64.TRUNC.NTZ R20, R10"], |a, _, _| f(a as u32) as i64 as u64);
        check_wide(&x, &["F2I.F64.TRUNC.NTZ R20, R10"], |a, _, _| as32(f64::from_bits(a) as i32 as u32));
        check(&x, &["FRND R20, R10"], |a, _, _| bits(f(a).round_ties_even()));
        check(&x, &["FRND.FLOOR R20, R10"], |a, _, _| bits(f(a).floor()));
        check_wide(&x, &["F2F.F32.F64 R20, R10"], |a, _, _| as32(bits(f64::from_bits(a) as f32)));
        check_wide(&x, &["F2F.F64.F32 R20, R10"], |a, _, _| match f(a as u32) {
            value if value.is_nan() => 0x7fff_ffff_ffff_ffff,
            value => f64::from(value).to_bits(),
        });
    }

    /// Half precision, checked by exact integers: a finite half is an integer times 2^-24.
    #[test]
    fn packed_half_precision(x in inputs()) {
        let mut x = x;
        for abc in &mut x.abc {
            // Finite only: exponents 0 to 29.
            *abc = abc.map(|value| {
                let finite = |half: u64| if half >> 10 & 0x1f >= 30 { half & !0x7c00 } else { half };
                finite(value & 0xffff) | finite(value >> 16 & 0xffff) << 16
            });
        }
        let integer = |half: u32| -> i128 {
            let (exponent, fraction) = (half >> 10 & 0x1f, i128::from(half & 0x3ff));
            let magnitude = if exponent == 0 { fraction } else { (fraction + 1024) << (exponent - 1) };
            if half >> 15 & 1 == 1 { -magnitude } else { magnitude }
        };
        // `value` times 2^-48 to the nearest half; `negative_zero`: the sign of an exact zero.
        let nearest = |value: i128, negative_zero: bool| -> u32 {
            let sign = if value < 0 || value == 0 && negative_zero { 0x8000 } else { 0 };
            let magnitude = value.unsigned_abs();
            let length = 128 - magnitude.leading_zeros();
            let drop = length.saturating_sub(11).max(24);
            let (kept, rest) = (magnitude >> drop, magnitude & ((1 << drop) - 1));
            let half = 1u128 << (drop - 1);
            let kept = kept + u128::from(rest > half || rest == half && kept & 1 == 1);
            // Units of 2^(drop-48): exponent field drop - 24 (0 with a carry into 1 for subnormals).
            let bits = ((u128::from(drop - 24) << 10) + kept) as u32;
            sign | bits.min(0x7c00)
        };
        let halves = |word: u32| [word & 0xffff, word >> 16];
        let packed = |f: &dyn Fn(usize) -> u32| f(0) | f(1) << 16;
        let product_sign = |a: u32, b: u32| (a ^ b) >> 15 & 1 == 1;
        let fused = |a: u32, b: u32, c: u32| {
            nearest(integer(a) * integer(b) + (integer(c) << 24), product_sign(a, b) && c >> 15 == 1)
        };
        check(&x, &["HFMA2.MMA R20, R10, R12, R14"], |a, b, c| {
            packed(&|half| fused(halves(a)[half], halves(b)[half], halves(c)[half]))
        });
        check(&x, &["HFMA2 R20, R10.H0_H0, R12.H1_H1, -R14"], |a, b, c| {
            packed(&|half| fused(halves(a)[0], halves(b)[1], halves(c)[half] ^ 0x8000))
        });
        check(&x, &["HADD2 R20, R10, R12"], |a, b, _| {
            packed(&|half| {
                let [a, b] = [halves(a)[half], halves(b)[half]];
                nearest((integer(a) + integer(b)) << 24, a >> 15 & b >> 15 == 1)
            })
        });
        check(&x, &["HMUL2 R20, R10, R12"], |a, b, _| {
            packed(&|half| {
                let [a, b] = [halves(a)[half], halves(b)[half]];
                nearest(integer(a) * integer(b), product_sign(a, b))
            })
        });
        check(&x, &["HFMA2.MMA R20, -RZ, RZ, 1.875, 2.384185791015625e-07"], |_, _, _| 0x3f80_0004);
    }

    /// The division that the compiler writes: where FCHK does not ask for more care, the short sequence is correctly rounded.
    #[test]
    fn short_division_is_right_where_fchk_allows_it(x in inputs()) {
        let body = [
            "FCHK P1, R10, R12",
            "MUFU.RCP R24, R12",
            "FFMA R25, -R12, R24, 1",
            "FFMA R24, R24, R25, R24",
            "FFMA R25, R10, R24, RZ",
            "FFMA R26, -R12, R25, R10",
            "FFMA R25, R24, R26, R25",
            "MOV R26, 0x1",
            "SEL R20, R26, R25, P1",
        ];
        let lines = common::program(&body, common::Mode::All);
        let got = common::outputs(&lines, &x).unwrap();
        let mut short = 0;
        for (thread, [a, b, _]) in x.abc.iter().enumerate() {
            let (a, b) = (f(*a as u32), f(*b as u32));
            let got = got[thread] as u32;
            if got != 1 {
                short += 1;
                prop_assert_eq!(got, bits(a / b), "{} / {}", a, b);
            }
            let plain = |value: f32| (1e-6..1e6).contains(&value.abs());
            prop_assert!(got != 1 || !plain(a) || !plain(b), "{} / {} should take the short way", a, b);
        }
        prop_assert!(short > 0);
    }
}
