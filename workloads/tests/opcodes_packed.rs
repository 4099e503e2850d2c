//! Opcodes on 16-bit and 8-bit parts of registers, conversions between formats, and double precision with directed
//! rounding. References: `rustc_apfloat` (LLVM's arbitrary-precision floating point) and plain integers.

mod common;

use common::{PRESET, check, check_predicate, check_wide, inputs};
use proptest::prelude::*;
use rustc_apfloat::ieee::{BFloat, Double, Float8E4M3FN, Float8E5M2, Half, Single};
use rustc_apfloat::{Float, FloatConvert, Round, Status, StatusAnd};

const NEAREST: Round = Round::NearestTiesToEven;

/// The bits of a result, every NaN as the one that GPUs produce: all ones below the sign.
fn bits<F: Float>(value: F) -> u32 {
    if value.is_nan() { (1 << (F::BITS - 1)) - 1 } else { value.to_bits() as u32 }
}

fn number<F: Float>(bits: u32) -> F {
    F::from_bits(u128::from(bits) & ((1 << F::BITS) - 1))
}

/// A function of the lower and of the upper halves, packed.
fn halves<const N: usize>(words: [u32; N], f: impl Fn([u32; N]) -> u32) -> u32 {
    let half = |shift: u32| f(words.map(|word| word >> shift & 0xffff)) & 0xffff;
    half(16) << 16 | half(0)
}

fn convert<F: FloatConvert<T>, T: Float>(value: F, round: Round) -> T {
    let StatusAnd { value, status: _ }: StatusAnd<T> = value.convert_r(round, &mut false);
    value
}

/// The arithmetic of one 16-bit format, under the opcodes that `suffix` gives it.
fn arithmetic<F: Float + FloatConvert<Single>>(x: &common::Inputs, suffix: &str) {
    let op = |text: &str| text.replacen('_', suffix, 1);
    let n = number::<F>;
    let binary = |f: fn(F, F) -> F| move |a: u32, b: u32, _: u32| halves([a, b], |[a, b]| bits(f(n(a), n(b))));
    check(x, &[&op("HADD2_ R20, R10, R12")], binary(|a, b| a.add_r(b, NEAREST).value));
    check(x, &[&op("HADD2_ R20, R10, -R12")], binary(|a, b| a.sub_r(b, NEAREST).value));
    check(x, &[&op("HMUL2_ R20, R10, R12")], binary(|a, b| a.mul_r(b, NEAREST).value));
    check(x, &[&op("HADD2_ R20, |R10|, -|R12|")], binary(|a, b| a.abs().sub_r(b.abs(), NEAREST).value));
    let fused = |a: F, b: F, c: F| a.mul_add_r(b, c, NEAREST).value;
    check(x, &[&op("HFMA2_ R20, R10, R12, R14")], |a, b, c| {
        halves([a, b, c], |[a, b, c]| bits(fused(n(a), n(b), n(c))))
    });
    check(x, &[&op("HFMA2.MMA_ R20, R10.H0_H0, -R12.H1_H1, R14")], |a, b, c| {
        halves([a << 16 | a & 0xffff, b & !0xffff | b >> 16, c], |[a, b, c]| bits(fused(n(a), -n(b), n(c))))
    });
    check(x, &[&op("HFMA2_.RELU R20, R10, R12, R14")], |a, b, c| {
        halves([a, b, c], |[a, b, c]| match fused(n(a), n(b), n(c)) {
            value if value.is_negative() && !value.is_nan() => 0,
            value => bits(value),
        })
    });
    let one = F::from_u128(1).value;
    check(x, &[&op("HADD2_.SAT R20, R10, R12")], |a, b, _| {
        halves([a, b], |[a, b]| match n(a).add_r(n(b), NEAREST).value {
            value if value.is_nan() || value.is_negative() => 0,
            value if value > one => bits(one),
            value => bits(value),
        })
    });
    check(x, &[&op("HADD2_ R20, R10, 1.5, -2")], |a, _, _| {
        let addend = |upper: bool| {
            let half = F::from_u128(1).value.div_r(F::from_u128(2).value, NEAREST).value;
            if upper { one.add_r(half, NEAREST).value } else { -F::from_u128(2).value }
        };
        let sum = |bits: u32, upper| n(bits).add_r(addend(upper), NEAREST).value;
        bits(sum(a >> 16, true)) << 16 | bits(sum(a & 0xffff, false))
    });
    // PTX ISA, min: the number if one is NaN, NaN if both are, −0 below +0.
    let order = |value: u32| if value >> 15 == 1 { -1 - i32::from(value as u16 & 0x7fff) } else { value as i32 };
    let least = |a: u32, b: u32| match (n(a).is_nan(), n(b).is_nan()) {
        (true, true) => 0x7fff,
        (true, false) => b,
        (false, true) => a,
        _ if order(a) < order(b) => a,
        _ => b,
    };
    let most = |a: u32, b: u32| if n(a).is_nan() || n(b).is_nan() { least(a, b) } else { least(a, b) ^ a ^ b };
    check(x, &[&op("HMNMX2_ R20, R10, R12, PT")], |a, b, _| halves([a, b], |[a, b]| least(a, b)));
    check(x, &[&op("HMNMX2_ R20, R10, R12, !PT")], |a, b, _| halves([a, b], |[a, b]| most(a, b)));
    check(x, &[&op("HMNMX2_.NAN R20, R10, R12, PT")], |a, b, _| {
        halves([a, b], |[a, b]| if n(a).is_nan() || n(b).is_nan() { 0x7fff } else { least(a, b) })
    });
    check(x, &[&op("HMNMX2_.XORSIGN R20, |R10|, |R12|, PT")], |a, b, _| {
        halves([a, b], |[a, b]| match least(a & 0x7fff, b & 0x7fff) {
            0x7fff => 0x7fff,
            magnitude => magnitude | (a ^ b) & 0x8000,
        })
    });
    check(x, &[&op("HSET2_.GT.AND R20, R10, R12, PT")], |a, b, _| {
        halves([a, b], |[a, b]| 0xffff * u32::from(n(a) > n(b)))
    });
    check(x, &[&op("HSET2_.BF.LEU.AND R20, R10, R12, PT")], |a, b, _| {
        halves([a, b], |[a, b]| if n(a) > n(b) { 0 } else { bits(one) })
    });
    let lower = |x: u64| n(x as u32 & 0xffff);
    let upper = |x: u64| n(x as u32 >> 16);
    check_predicate(x, &[&op("HSETP2_.LT.AND P1, P2, R10, R12, PT")], |a, b, _| lower(a) < lower(b));
    check_predicate(x, &[&op("HSETP2_.LT.AND P2, P1, R10, R12, PT")], |a, b, _| upper(a) < upper(b));
    check_predicate(x, &[&op("HSETP2_.NEU.AND P1, PT, |R10|.H1_H1, R12.H0_H0, PT")], |a, b, _| {
        upper(a).abs() != lower(b)
    });
    if suffix.is_empty() {
        check(x, &["HADD2.F32 R20, -RZ, R10.H1_H1"], |a, _, _| bits::<Single>(convert(n(a >> 16), NEAREST)));
        check(x, &["HADD2.F32 R20, R10.H0_H0, -R12.H1_H1"], |a, b, _| {
            let [a, b]: [Single; 2] = [convert(n(a), NEAREST), convert(n(b >> 16), NEAREST)];
            bits(a.sub_r(b, NEAREST).value)
        });
    }
}

fn saturated(value: i32, low: i32, high: i32) -> u32 {
    value.clamp(low, high) as u32
}

/// The relu of PTX: negative to zero, NaN stays.
fn relu(bits: u32, sign: u32) -> u32 {
    if bits & sign != 0 { 0 } else { bits }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn binary16(x in inputs()) {
        arithmetic::<Half>(&x, "");
        let flush = |bits: u32| if bits & 0x7c00 == 0 { bits & 0x8000 } else { bits };
        check(&x, &["HFMA2.FTZ R20, R10, R12, R14"], |a, b, c| {
            halves([a, b, c], |words| {
                let [a, b, c] = words.map(|half| number::<Half>(flush(half)));
                flush(bits(a.mul_add_r(b, c, NEAREST).value))
            })
        });
    }

    #[test]
    fn bfloat16(x in inputs()) {
        arithmetic::<BFloat>(&x, ".BF16_V2");
    }

    #[test]
    fn packing(x in inputs()) {
        let to_half = |word: u32, round| bits::<Half>(convert(number::<Single>(word), round));
        let to_bfloat = |word: u32, round| bits::<BFloat>(convert(number::<Single>(word), round));
        for opcode in ["F2FP.PACK_AB", "F2FP.F16.F32.PACK_AB"] {
            check(&x, &[&format!("{opcode} R20, R10, R12")], |a, b, _| to_half(a, NEAREST) << 16 | to_half(b, NEAREST));
        }
        check(&x, &["F2FP.PACK_AB.RZ R20, RZ, R12"], |_, b, _| to_half(b, Round::TowardZero));
        for opcode in ["F2FP.BF16.PACK_AB", "F2FP.BF16.F32.PACK_AB"] {
            check(&x, &[&format!("{opcode} R20, R10, -R12")], |a, b, _| {
                to_bfloat(a, NEAREST) << 16 | to_bfloat(b ^ 1 << 31, NEAREST) & if number::<Single>(b).is_nan() { 0x7fff } else { 0xffff }
            });
        }
        check(&x, &["F2FP.BF16.PACK_AB.RZ R20, R10, R12"], |a, b, _| {
            to_bfloat(a, Round::TowardZero) << 16 | to_bfloat(b, Round::TowardZero)
        });
        check(&x, &["F2FP.RELU.F16.F32.PACK_AB R20, R10, R12"], |a, b, _| {
            relu(to_half(a, NEAREST), 0x8000) << 16 | relu(to_half(b, NEAREST), 0x8000)
        });
        check(&x, &["F2FP.RELU.BF16.PACK_AB R20, R10, R12"], |a, b, _| {
            relu(to_bfloat(a, NEAREST), 0x8000) << 16 | relu(to_bfloat(b, NEAREST), 0x8000)
        });
    }

    #[test]
    fn eight_bits(x in inputs()) {
        // .satfinite: too large and infinite become the largest number of the sign.
        fn eight<F: Float>(single: u32, largest: u32, nan: u32) -> u32 where Single: FloatConvert<F> {
            let value = number::<Single>(single);
            if value.is_nan() {
                return nan;
            }
            let StatusAnd { value: narrowed, status }: StatusAnd<F> = value.convert_r(NEAREST, &mut false);
            let beyond = status.contains(Status::OVERFLOW) || value.is_infinite() || narrowed.is_nan();
            if beyond { single >> 31 << 7 | largest } else { narrowed.to_bits() as u32 }
        }
        let e4m3 = |word: u32| eight::<Float8E4M3FN>(word, 0x7e, 0x7f);
        let e5m2 = |word: u32| eight::<Float8E5M2>(word, 0x7b, 0x7f);
        check(&x, &["F2FP.SATFINITE.E4M3.F32.PACK_AB_MERGE_C R20, R10, R12, R14"], |a, b, c| c << 16 | e4m3(a) << 8 | e4m3(b));
        check(&x, &["F2FP.SATFINITE.RELU.E5M2.F32.PACK_AB_MERGE_C R20, R10, R12, RZ"], |a, b, _| {
            relu(e5m2(a), 0x80) << 8 | relu(e5m2(b), 0x80)
        });
        check(&x, &["F2FP.SATFINITE.E4M3.F16.UNPACK_B_MERGE_C R20, R10, RZ"], |a, _, _| {
            let single = |half: u32| bits::<Single>(convert(number::<Half>(half), NEAREST));
            e4m3(single(a >> 16)) << 8 | e4m3(single(a))
        });
        fn half_of<F: Float + FloatConvert<Half>>(byte: u32) -> u32 { bits::<Half>(convert(number::<F>(byte), NEAREST)) }
        check(&x, &["F2FP.F16.E4M3.UNPACK_B R20, R10"], |a, _, _| {
            half_of::<Float8E4M3FN>(a >> 8) << 16 | half_of::<Float8E4M3FN>(a)
        });
        check(&x, &["F2FP.RELU.F16.E5M2.UNPACK_B R20, R10"], |a, _, _| {
            relu(half_of::<Float8E5M2>(a >> 8), 0x8000) << 16 | relu(half_of::<Float8E5M2>(a), 0x8000)
        });
    }

    #[test]
    fn conversions(x in inputs()) {
        let as32 = |value: u32| PRESET & !0xffff_ffff | u64::from(value);
        let double = |word: u64| Double::from_bits(word.into());
        for (name, round) in [("", NEAREST), (".RZ", Round::TowardZero), (".RM", Round::TowardNegative), (".RP", Round::TowardPositive)] {
            check_wide(&x, &[&format!("F2F.F16.F64{name} R20, R10")], |a, _, _| as32(bits::<Half>(convert(double(a), round))));
            check_wide(&x, &[&format!("F2F.BF16.F64{name} R20, R10")], |a, _, _| as32(bits::<BFloat>(convert(double(a), round))));
            check_wide(&x, &[&format!("F2F.F32.F64{name} R20, R10")], |a, _, _| as32(bits::<Single>(convert(double(a), round))));
            check(&x, &[&format!("F2F.F16.F32{name} R20, R10")], |a, _, _| bits::<Half>(convert(number::<Single>(a), round)));
            check_wide(&x, &[&format!("I2F.F16.S64{name} R20, R10")], |a, _, _| {
                as32(bits(Half::from_i128_r(i128::from(a as i64), round).value))
            });
            check_wide(&x, &[&format!("I2F.F64.U64{name} R20, R10")], |a, _, _| Double::from_u128_r(a.into(), round).value.to_bits() as u64);
            check_wide(&x, &[&format!("I2F.U64{name} R20, R10")], |a, _, _| as32(bits(Single::from_u128_r(a.into(), round).value)));
        }
        check(&x, &["F2F.F32.F16 R20, R10.H1"], |a, _, _| bits::<Single>(convert(number::<Half>(a >> 16), NEAREST)));
        check(&x, &["F2F.BF16.F32 R20, -R10"], |a, _, _| bits::<BFloat>(convert(-number::<Single>(a), NEAREST)));
        check(&x, &["I2F.BF16 R20, R10"], |a, _, _| bits(BFloat::from_i128_r(i128::from(a as i32), NEAREST).value));
        check(&x, &["I2F.S16 R20, R10.H1"], |a, _, _| f32::from((a >> 16) as i16).to_bits());
        check(&x, &["I2F.U8 R20, R10.B2"], |a, _, _| f32::from((a >> 16) as u8).to_bits());
        check_wide(&x, &["I2F.F64.U16 R20, R10"], |a, _, _| f64::from(a as u16).to_bits());
        // Integers from 16-bit numbers: NaN is zero, beyond the range the limit.
        let half = |word: u32| {
            let single = f32::from_bits(bits::<Single>(convert(number::<Half>(word), NEAREST)));
            f64::from(single)
        };
        check(&x, &["F2I.F16.NTZ R20, R10"], |a, _, _| half(a).round_ties_even() as i32 as u32);
        check(&x, &["F2I.S16.F16.TRUNC.NTZ R20, R10"], |a, _, _| i32::from(half(a) as i16) as u32);
        check(&x, &["F2I.U32.BF16.CEIL.NTZ R20, R10.H1"], |a, _, _| f32::from_bits(a & !0xffff).ceil() as u32);
        check_wide(&x, &["F2I.S64.F16.FLOOR R20, R10.H1"], |a, _, _| {
            let value = half(a as u32 >> 16);
            if value.is_nan() { 1 << 63 } else { value.floor() as i64 as u64 }
        });
        check(&x, &["FRND.F16.FLOOR R20, R10.H1"], |a, _, _| {
            bits(number::<Half>(a >> 16).round_to_integral(Round::TowardNegative).value)
        });
        check(&x, &["FRND.BF16.TRUNC R20, R10"], |a, _, _| {
            bits(number::<BFloat>(a).round_to_integral(Round::TowardZero).value)
        });
        check_wide(&x, &["FRND.F64.CEIL R20, R10"], |a, _, _| match f64::from_bits(a).ceil() {
            value if value.is_nan() => 0x7fff_ffff_ffff_ffff,
            value => value.to_bits(),
        });
        check(&x, &["I2I.S8.S32.SAT R20, R10"], |a, _, _| saturated(a as i32, -128, 127));
        check(&x, &["I2I.U16.S32.SAT R20, R10"], |a, _, _| saturated(a as i32, 0, 65535));
        check(&x, &["I2IP.S16.S32.SAT R20, R10, R12, RZ"], |a, b, _| {
            let part = |word: u32| saturated(word as i32, -32768, 32767) & 0xffff;
            part(a) << 16 | part(b)
        });
        check(&x, &["I2IP.U8.S32.SAT R20, R10, R12, R14"], |a, b, c| {
            let part = |word: u32| saturated(word as i32, 0, 255);
            c << 16 | part(a) << 8 | part(b)
        });
    }

    #[test]
    fn minima_and_maxima(x in inputs()) {
        check(&x, &["VIMNMX R20, R10, R12, PT"], |a, b, _| (a as i32).min(b as i32) as u32);
        check(&x, &["IMNMX.U32 R20, R10, R12, !PT"], |a, b, _| a.max(b));
        check(&x, &["VIMNMX.RELU R20, R10, R12, !PT"], |a, b, _| (a as i32).max(b as i32).max(0) as u32);
        check(&x, &["VIMNMX3 R20, R10, R12, R14, !PT"], |a, b, c| (a as i32).max(b as i32).max(c as i32) as u32);
        check(&x, &["VIMNMX3.U32 R20, R10, R12, R14, PT"], |a, b, c| a.min(b).min(c));
        check(&x, &["VIADDMNMX R20, R10, -R12, R14, !PT"], |a, b, c| (a.wrapping_sub(b) as i32).max(c as i32) as u32);
        check(&x, &["VIADDMNMX.U32 R20, R10, R12, R14, PT"], |a, b, c| a.wrapping_add(b).min(c));
        check(&x, &["VIADDMNMX.RELU R20, R10, R12, R14, PT"], |a, b, c| (a.wrapping_add(b) as i32).min(c as i32).max(0) as u32);
        let signed = |half: u32| i32::from(half as u16 as i16);
        check(&x, &["VIMNMX.S16x2.RELU R20, R10, R12, PT"], |a, b, _| halves([a, b], |[a, b]| signed(a).min(signed(b)).max(0) as u32));
        check(&x, &["VIMNMX3.S16x2 R20, R10, R12, R14, !PT"], |a, b, c| {
            halves([a, b, c], |words| words.map(signed).into_iter().max().unwrap() as u32)
        });
        check(&x, &["VIMNMX3.U16x2 R20, R10, R12, R14, PT"], |a, b, c| halves([a, b, c], |words| words.into_iter().min().unwrap()));
        let wrapped = |a: u32, b: u32| a.wrapping_add(b) & 0xffff;
        check(&x, &["VIADDMNMX.S16x2 R20, R10, R12, R14, !PT"], |a, b, c| {
            halves([a, b, c], |[a, b, c]| signed(wrapped(a, b)).max(signed(c)) as u32)
        });
        check(&x, &["VIADDMNMX.U16x2 R20, R10, R12, R14, PT"], |a, b, c| halves([a, b, c], |[a, b, c]| wrapped(a, b).min(c)));
        check(&x, &["VIADD.16x2 R20, R10, R12"], |a, b, _| halves([a, b], |[a, b]| wrapped(a, b)));
        check(&x, &["VIADD.16x2 R20, R10, -R12"], |a, b, _| halves([a, b], |[a, b]| a.wrapping_sub(b)));
        // CUDA Math API, __vibmax_s16x2: whether the first operand is not below the second, by halves.
        check_predicate(&x, &["VIMNMX.S16x2 R24, P1, P2, R10, R12, !PT"], |a, b, _| signed(a as u32) >= signed(b as u32));
        check_predicate(&x, &["VIMNMX.U16x2 R24, P2, P1, R10, R12, PT"], |a, b, _| a as u32 >> 16 <= b as u32 >> 16);
    }

    #[test]
    fn differences_and_dot_products(x in inputs()) {
        check(&x, &["VABSDIFF R20, R10, R12, R14"], |a, b, c| (a as i32).abs_diff(b as i32).wrapping_add(c));
        check(&x, &["VABSDIFF.U32 R20, R10, R12, R14"], |a, b, c| a.abs_diff(b).wrapping_add(c));
        let bytes = |word: u32| word.to_le_bytes();
        check(&x, &["VABSDIFF4.U8 R20, R10, R12, RZ"], |a, b, _| {
            u32::from_le_bytes(std::array::from_fn(|at| bytes(a)[at].abs_diff(bytes(b)[at])))
        });
        check(&x, &["VABSDIFF4.U8.ACC R20, R10, R12, R14"], |a, b, c| {
            (0..4).fold(c, |sum, at| sum.wrapping_add(bytes(a)[at].abs_diff(bytes(b)[at]).into()))
        });
        let dot = |a: &[i32], b: &[i32], c: u32| a.iter().zip(b).fold(c, |sum, (a, b)| sum.wrapping_add((a * b) as u32));
        let signed = |word: u32| bytes(word).map(|byte| i32::from(byte as i8));
        let unsigned = |word: u32| bytes(word).map(i32::from);
        check(&x, &["IDP.4A.S8.S8 R20, R10, R12, R14"], |a, b, c| dot(&signed(a), &signed(b), c));
        check(&x, &["IDP.4A.U8.S8 R20, R10, R12, R14"], |a, b, c| dot(&unsigned(a), &signed(b), c));
        let words = |word: u32| [i32::from(word as i16), i32::from((word >> 16) as i16)];
        check(&x, &["IDP.2A.LO.S16.S8 R20, R10, R12, R14"], |a, b, c| dot(&words(a), &signed(b)[..2], c));
        check(&x, &["IDP.2A.HI.S16.U8 R20, R10, R12, R14"], |a, b, c| dot(&words(a), &unsigned(b)[2..], c));
    }

    #[test]
    fn long_integers(x in inputs()) {
        let carry = |x: u64| x & 1 == 1;
        let set = ["LOP3.LUT R24, R12, 0x1, RZ, 0xc0, !PT", "ISETP.NE.AND P1, PT, R24, RZ, PT"];
        let with = |line: &'static str| [set[0], set[1], line];
        check_wide(&x, &with("IMAD.X R20, R10, R12, R14, P1"), |a, b, c| {
            let sum = (a as u32).wrapping_mul(b as u32).wrapping_add(c as u32).wrapping_add(carry(b).into());
            PRESET & !0xffff_ffff | u64::from(sum)
        });
        check_wide(&x, &with("IMAD.X R20, RZ, RZ, ~R14, P1"), |_, b, c| {
            PRESET & !0xffff_ffff | u64::from((!(c as u32)).wrapping_add(carry(b).into()))
        });
        let upper = |a: u64, b: u64, c: u64| {
            let product = u64::from(a as u32) * u64::from(b as u32);
            product.overflowing_add(c)
        };
        check_wide(&x, &["IMAD.HI.U32 R20, P1, R10, R12, R14"], |a, b, c| PRESET & !0xffff_ffff | upper(a, b, c).0 >> 32);
        check_predicate(&x, &["IMAD.HI.U32 R24, P1, R10, R12, R14"], |a, b, c| upper(a, b, c).1);
        check_predicate(&x, &["PLOP3.LUT P1, PT, R10.SIGN, R12.SIGN, R14.SIGN, 0x2, 0x0"], |a, b, c| {
            // Entry 1 of the table: only the last one is negative.
            [a, b, c].map(|word| word as u32 >> 31) == [0, 0, 1]
        });
    }

    #[test]
    fn directed_double_precision(x in inputs()) {
        let d = |word: u64| Double::from_bits(word.into());
        let out = |value: Double| if value.is_nan() { 0x7fff_ffff_ffff_ffff } else { value.to_bits() as u64 };
        for (name, round) in [("RZ", Round::TowardZero), ("RM", Round::TowardNegative), ("RP", Round::TowardPositive)] {
            check_wide(&x, &[&format!("DADD.{name} R20, R10, -R12")], |a, b, _| out(d(a).sub_r(d(b), round).value));
            check_wide(&x, &[&format!("DMUL.{name} R20, R10, R12")], |a, b, _| out(d(a).mul_r(d(b), round).value));
            check_wide(&x, &[&format!("DFMA.{name} R20, R10, R12, R14")], |a, b, c| out(d(a).mul_add_r(d(b), d(c), round).value));
        }
        // As the compiler writes fmin: P1 chooses, P2 asks for a quiet NaN.
        let minimum = [
            "DSETP.MIN.AND P1, P2, R10, R12, PT", "FSEL R25, R11, R13, P1", "SEL R20, R10, R12, P1",
            "@P2 LOP3.LUT R25, R13, 0x80000, RZ, 0xfc, !PT", "MOV R21, R25",
        ];
        let lines = common::program(&minimum, common::Mode::All);
        let got = common::outputs(&lines, &x).unwrap();
        for ([a, b, _], got) in x.abc.iter().zip(got) {
            let [a, b, got] = [*a, *b, got].map(f64::from_bits);
            prop_assert_eq!(got.is_nan(), a.is_nan() && b.is_nan());
            if !got.is_nan() {
                prop_assert_eq!(got, a.min(b));
                prop_assert_eq!(got.is_sign_negative(), if a == b { a.is_sign_negative() || b.is_sign_negative() } else { a.min(b).is_sign_negative() });
            }
        }
    }

    /// 20 bits of a reciprocal: the operand's lower word is not seen (one unit of the upper), and the result is rounded (half).
    #[test]
    fn seeds_of_double_division_and_roots(x in inputs()) {
        let mut x = x;
        for abc in &mut x.abc {
            // Exponents from 2^-512 to 2^511.
            abc[0] = abc[0] & 0x800f_ffff_ffff_ffff | (511 + (abc[0] >> 52 & 0x3ff)) << 52;
        }
        for (opcode, root) in [("MUFU.RCP64H", false), ("MUFU.RSQ64H", true)] {
            let line = format!("{opcode} R21, |R11|");
            let got = common::outputs(&common::program(&["MOV R20, RZ", &line], common::Mode::All), &x).unwrap();
            for ([a, ..], got) in x.abc.iter().zip(got) {
                let a = f64::from_bits(*a).abs();
                let want = if root { 1.0 / a.sqrt() } else { 1.0 / a };
                let error = (f64::from_bits(got) - want).abs() / want;
                prop_assert!(error <= 1.5 * 2f64.powi(-20), "{opcode} of {a:e}: {error:e}");
            }
        }
        let special = |line: &str, upper: u32| {
            let body = [format!("MOV R24, {upper:#x}"), line.to_owned()];
            let body: Vec<&str> = body.iter().map(String::as_str).collect();
            common::outputs(&common::program(&body, common::Mode::All), &x).unwrap()[0] as u32
        };
        // PTX ISA, rcp.approx.ftz.f64 and rsqrt.approx.ftz.f64, tables of special values.
        for (input, reciprocal, root) in [
            (0xfff0_0000, 0x8000_0000, 0x7fff_ffff), // −infinity
            (0x8000_0000, 0xfff0_0000, 0xfff0_0000), // −0
            (0x8000_0001, 0xfff0_0000, 0xfff0_0000), // subnormal
            (0x0000_0000, 0x7ff0_0000, 0x7ff0_0000),
            (0x000f_ffff, 0x7ff0_0000, 0x7ff0_0000),
            (0x7ff0_0000, 0x0000_0000, 0x0000_0000),
            (0x7ff8_0000, 0x7fff_ffff, 0x7fff_ffff), // NaN
        ] {
            prop_assert_eq!(special("MUFU.RCP64H R20, R24", input), reciprocal, "1 / {:#x}", input);
            prop_assert_eq!(special("MUFU.RSQ64H R20, R24", input), root, "1 / √{:#x}", input);
        }
        // 16 bits: 2^x within the documented 2^-9.9, tanh within 2^-10.987.
        let half = |word: u32| f32::from_bits(bits::<Single>(convert(number::<Half>(word), NEAREST)));
        for (opcode, bound) in [("MUFU.EX2.F16 R20, R10.H1", 2f32.powf(-9.9)), ("MUFU.TANH.F16 R20, R10.H1", 2f32.powf(-10.987))] {
            let got = common::outputs(&common::program(&[opcode], common::Mode::All), &x).unwrap();
            for ([a, ..], got) in x.abc.iter().zip(got) {
                let (a, got) = (half(*a as u32 >> 16), half(got as u32));
                let want = if opcode.contains("EX2") { a.exp2() } else { a.tanh() };
                // Half a unit of a subnormal result, and beyond 65504 infinity.
                let close = (got - want).abs() <= bound * want.abs() + 2f32.powi(-25);
                prop_assert!(close || a.is_nan() && got.is_nan() || want > 65504.0 && got.is_infinite(), "{opcode} {a}: {got} {want}");
            }
        }
    }
}
