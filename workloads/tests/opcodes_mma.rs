//! Matrix multiplies and matrix moves against plain Rust, with the fragment formulas of the PTX ISA.
//!
//! Numbers are small whole ones, so that every sum is exact in whatever order: this is about which element lies where.
//! How sums are rounded is in `mma_hardware.rs`.

// A lane's number indexes what goes in and what comes out.
#![allow(clippy::needless_range_loop)]

#[path = "common/matrix.rs"]
mod matrix;

use matrix::{Fragments, Layout, Registers, get, put, run};
use proptest::prelude::*;

/// How a format writes a whole number of a few bits.
#[derive(Clone, Copy, Debug)]
struct Element {
    bits: usize,
    low: i64,
    high: i64,
    encode: fn(i64) -> u64,
}

/// Bits of a whole number below 2^(fraction + 1) with exponent and fraction bits as given.
fn float_bits(value: i64, exponent_bits: u32, fraction_bits: u32) -> u64 {
    let sign = u64::from(value < 0) << (exponent_bits + fraction_bits);
    let magnitude = value.unsigned_abs();
    if magnitude == 0 {
        return sign;
    }
    let exponent = magnitude.ilog2();
    let fraction = (magnitude << fraction_bits >> exponent) - (1 << fraction_bits);
    let bias = (1u64 << (exponent_bits - 1)) - 1;
    sign | (u64::from(exponent) + bias) << fraction_bits | fraction
}

const HALF: Element = Element { bits: 16, low: -32, high: 32, encode: |value| float_bits(value, 5, 10) };
const BFLOAT16: Element = Element { bits: 16, low: -32, high: 32, encode: |value| float_bits(value, 8, 7) };
// The lower 13 bits of a register do not count: all ones here.
const TF32: Element = Element { bits: 32, low: -32, high: 32, encode: |value| float_bits(value, 8, 10) << 13 | 0x1fff };
const E4M3: Element = Element { bits: 8, low: -8, high: 8, encode: |value| float_bits(value, 4, 3) };
const E5M2: Element = Element { bits: 8, low: -4, high: 4, encode: |value| float_bits(value, 5, 2) };
const DOUBLE: Element = Element { bits: 64, low: -99, high: 99, encode: |value| (value as f64).to_bits() };
const S8: Element = Element { bits: 8, low: -128, high: 127, encode: |value| value as u8 as u64 };
const U8: Element = Element { bits: 8, low: 0, high: 255, encode: |value| value as u64 };
const S4: Element = Element { bits: 4, low: -8, high: 7, encode: |value| value as u64 & 0xf };
const U4: Element = Element { bits: 4, low: 0, high: 15, encode: |value| value as u64 };
const SINGLE: Element = Element { bits: 32, low: -999, high: 999, encode: |value| u64::from((value as f32).to_bits()) };
const HALF_SUM: Element = HALF;
const WORD: Element = Element { bits: 32, low: -99999, high: 99999, encode: |value| u64::from(value as u32) };

/// Every form with its shape (rows, k) and the formats of A, B, C.
const FORMS: [(&str, usize, usize, [Element; 3]); 26] = [
    ("HMMA.1688.F32", 16, 8, [HALF, HALF, SINGLE]),
    ("HMMA.1688.F16", 16, 8, [Element { low: -3, high: 3, ..HALF }, HALF, HALF_SUM]),
    ("HMMA.16816.F32", 16, 16, [HALF, HALF, SINGLE]),
    ("HMMA.16816.F16", 16, 16, [Element { low: -3, high: 3, ..HALF }, HALF, HALF_SUM]),
    ("HMMA.1688.F32.BF16", 16, 8, [BFLOAT16, BFLOAT16, SINGLE]),
    ("HMMA.16816.F32.BF16", 16, 16, [BFLOAT16, BFLOAT16, SINGLE]),
    ("HMMA.1684.F32.TF32", 16, 4, [TF32, TF32, SINGLE]),
    ("HMMA.1688.F32.TF32", 16, 8, [TF32, TF32, SINGLE]),
    ("QMMA.16832.F32.E4M3.E4M3", 16, 32, [E4M3, E4M3, SINGLE]),
    ("QMMA.16832.F32.E5M2.E4M3", 16, 32, [E5M2, E4M3, SINGLE]),
    ("QMMA.16832.F16.E4M3.E5M2", 16, 32, [E4M3, E5M2, HALF_SUM]),
    ("IMMA.8816.S8.S8", 8, 16, [S8, S8, WORD]),
    ("IMMA.8816.U8.S8", 8, 16, [U8, S8, WORD]),
    ("IMMA.8832.S4.S4", 8, 32, [S4, S4, WORD]),
    ("IMMA.16816.S8.S8", 16, 16, [S8, S8, WORD]),
    ("IMMA.16816.S8.U8", 16, 16, [S8, U8, WORD]),
    ("IMMA.16832.U8.U8", 16, 32, [U8, U8, WORD]),
    ("IMMA.16832.U8.S8.SAT", 16, 32, [U8, S8, WORD]),
    ("IMMA.16832.S4.U4", 16, 32, [S4, U4, WORD]),
    ("IMMA.16864.S4.S4", 16, 64, [S4, S4, WORD]),
    ("IMMA.16864.U4.S4", 16, 64, [U4, S4, WORD]),
    ("DMMA.884", 8, 4, [DOUBLE, DOUBLE, DOUBLE]),
    ("DMMA.8x8x4", 8, 4, [DOUBLE, DOUBLE, DOUBLE]),
    ("DMMA.16x8x4", 16, 4, [DOUBLE, DOUBLE, DOUBLE]),
    ("DMMA.16x8x8", 16, 8, [DOUBLE, DOUBLE, DOUBLE]),
    ("DMMA.16x8x16", 16, 16, [DOUBLE, DOUBLE, DOUBLE]),
];

/// Numbers of a matrix, from a few random bits.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self, element: Element) -> i64 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        element.low + ((self.0 >> 33) % (element.high - element.low + 1) as u64) as i64
    }

    fn matrix(&mut self, rows: usize, columns: usize, element: Element) -> Vec<Vec<i64>> {
        (0..rows).map(|_| (0..columns).map(|_| self.next(element)).collect()).collect()
    }
}

fn layout(rows: usize, k: usize, element: Element) -> Layout {
    // One double takes two registers; its formulas are those of one element a register.
    Layout { rows, k, per_register: (32 / element.bits).max(1) }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    #[test]
    fn products_of_whole_numbers_are_exact(seed in any::<u64>(), zero_c in any::<bool>()) {
        for (name, rows, k, [a_element, b_element, c_element]) in FORMS {
            let mut numbers = Numbers(seed);
            // Sums of halves stay whole below 2048.
            let halves = c_element.bits == 16;
            let b_element = if halves { Element { low: -3, high: 3, ..b_element } } else { b_element };
            let (a, b) = (numbers.matrix(rows, k, a_element), numbers.matrix(k, 8, b_element));
            let c = numbers.matrix(rows, 8, c_element);
            let (of_a, of_b) = (layout(rows, k, a_element), layout(rows, k, b_element));
            let mut fragments = Fragments::default();
            for lane in 0..32 {
                for i in 0..of_a.a_elements() {
                    let (row, at) = of_a.a(lane, i);
                    put(&mut fragments.a[lane], a_element.bits, i, (a_element.encode)(a[row][at]));
                }
                for i in 0..of_b.b_elements() {
                    let (at, column) = of_b.b(lane, i);
                    put(&mut fragments.b[lane], b_element.bits, i, (b_element.encode)(b[at][column]));
                }
                for i in 0..rows / 4 {
                    let (row, column) = of_a.c(lane, i);
                    put(&mut fragments.c[lane], c_element.bits, i, (c_element.encode)(c[row][column]));
                }
            }
            let addend = if zero_c { "RZ" } else { "R40" };
            let out = run("sm_80", &[&format!("{name} R48, R16.ROW, R32.COL, {addend}")], &fragments);
            for (lane, registers) in out.iter().enumerate() {
                for i in 0..rows / 4 {
                    let (row, column) = of_a.c(lane, i);
                    let products: i64 = (0..k).map(|at| a[row][at] * b[at][column]).sum();
                    let want = (c_element.encode)(products + if zero_c { 0 } else { c[row][column] });
                    let got = get(registers, c_element.bits, i);
                    prop_assert_eq!(got, want, "{}: row {}, column {}: got {:x}, want {:x}", name, row, column, got, want);
                }
            }
        }
    }

    #[test]
    fn matrices_through_shared_memory(words in any::<[[u32; 4]; 32]>(), rotate in 0u32..32) {
        let mut fragments = Fragments::default();
        for lane in 0..32 {
            fragments.a[lane][..4].copy_from_slice(&words[lane]);
            // The address of a row of 16 bytes, in an order of its own.
            fragments.c[lane][0] = 0x100 + 16 * ((lane as u32 + rotate) % 32);
        }
        // Element (row, column) of matrix i, as the lanes' registers hold it.
        let element = |registers: &dyn Fn(usize, usize) -> u32, i: usize, row: usize, column: usize| {
            (registers(4 * row + column / 2, i) >> (16 * (column % 2))) as u16
        };
        let given = |lane: usize, i: usize| words[lane][i];
        for (store, load) in [("STSM.16.M88.4", "LDSM.16.M88.4"), ("STSM.16.MT88.4", "LDSM.16.M88.4"),
                              ("STSM.16.M88.4", "LDSM.16.MT88.4"), ("STSM.16.MT88.4", "LDSM.16.MT88.4")] {
            let body = [format!("{store} [R40], R16"), format!("{load} R48, [R40]")];
            let out = run("sm_90", &[&body[0], &body[1]], &fragments);
            let turned = store.contains("MT88") != load.contains("MT88");
            for (i, row, column) in (0..256).map(|at| (at / 64, at / 8 % 8, at % 8)) {
                let got = element(&|lane, i| out[lane][i], i, row, column);
                let want = if turned { element(&given, i, column, row) } else { element(&given, i, row, column) };
                prop_assert_eq!(got, want, "{} {}: matrix {}, row {}, column {}", store, load, i, row, column);
            }
        }
        // A row lies as 16 bytes side by side where its lane said.
        let out = run("sm_90", &["STSM.16.M88.4 [R40], R16", "LDS.128 R48, [R40]"], &fragments);
        for (lane, registers) in out.iter().enumerate() {
            for column in 0..8 {
                let got = (registers[column / 2] >> (16 * (column % 2))) as u16;
                prop_assert_eq!(got, element(&given, lane / 8, lane % 8, column));
            }
        }
        // Fewer matrices use fewer addresses, and leave the other registers alone.
        let two = run("sm_90", &["STSM.16.M88.2 [R40], R16", "LDSM.16.MT88.2 R48, [R40]"], &fragments);
        let one = run("sm_90", &["STSM.16.M88 [R40], R16", "LDSM.16.M88 R48, [R40]"], &fragments);
        let moved = run("sm_90", &["MOVM.16.MT88 R48, R16"], &fragments);
        let (pairs, single): (&Registers<8>, &Registers<8>) = (&two, &one);
        for lane in 0..32 {
            prop_assert_eq!([single[lane][0], single[lane][1]], [words[lane][0], 0]);
            prop_assert_eq!([pairs[lane][2], pairs[lane][3]], [0, 0]);
            prop_assert_eq!(moved[lane][0], pairs[lane][0], "movmatrix and a transposed load");
        }
    }
}

/// Sums at the ends of the range: `.SAT` clamps, without it they wrap (PTX ISA, `mma`: `.satfinite`).
#[test]
fn integer_sums_wrap_or_clamp() {
    for (name, c, want) in [
        ("IMMA.16816.S8.S8", i32::MAX, i32::MAX.wrapping_add(16)),
        ("IMMA.16816.S8.S8.SAT", i32::MAX, i32::MAX),
        ("IMMA.16816.S8.S8.SAT", 5, 21),
    ] {
        let fragments = Fragments { a: [[0x0101_0101; 16]; 32], b: [[0x0101_0101; 8]; 32], c: [[c as u32; 8]; 32] };
        let out = run("sm_80", &[&format!("{name} R48, R16.ROW, R32.COL, R40")], &fragments);
        assert!(out.iter().all(|registers| registers[..4] == [want as u32; 4]), "{name}: {:?}", out[0]);
    }
    let fragments = Fragments { a: [[0x8080_8080; 16]; 32], b: [[0x0101_0101; 8]; 32], c: [[i32::MIN as u32; 8]; 32] };
    let out = run("sm_80", &["IMMA.16816.S8.S8.SAT R48, R16.ROW, R32.COL, R40"], &fragments);
    assert_eq!(out[0][0], i32::MIN as u32);
}

/// A chain of fused multiply-adds: 3·(1/3) leaves no rounding error of a product behind.
#[test]
fn double_products_are_fused() {
    let third = 1.0f64 / 3.0;
    let mut fragments = Fragments::default();
    for lane in 0..32 {
        // k = 0 only: lanes with t = 0.
        put(&mut fragments.a[lane], 64, 0, if lane % 4 == 0 { 3.0f64 } else { 0.0 }.to_bits());
        put(&mut fragments.b[lane], 64, 0, if lane % 4 == 0 { third } else { 0.0 }.to_bits());
        (0..2).for_each(|i| put(&mut fragments.c[lane], 64, i, (-1.0f64).to_bits()));
    }
    let out = run("sm_80", &["DMMA.884 R48, R16, R32, R40"], &fragments);
    let got = f64::from_bits(get(&out[0], 64, 0));
    assert_eq!(got, 3.0f64.mul_add(third, -1.0));
    assert_ne!(got, 3.0 * third - 1.0);
}

/// Beside the products of attention on sm_100: the largest of three, a number where another is NaN.
#[test]
fn the_largest_of_three() {
    let mut fragments = Fragments::default();
    for lane in 0..32 {
        let values = [lane as f32, 15.0, if lane % 3 == 0 { f32::NAN } else { 30.0 - lane as f32 }];
        fragments.a[lane][..3].copy_from_slice(&values.map(f32::to_bits));
    }
    let out = run("sm_100", &["FMNMX3 R48, R16, R17, R18, !PT", "FMNMX3 R49, R16, -R17, R18, PT"], &fragments);
    for (lane, registers) in out.iter().enumerate() {
        let [a, b, c] = [0, 1, 2].map(|at| f32::from_bits(fragments.a[lane][at]));
        assert_eq!(f32::from_bits(registers[0]), a.max(b).max(c), "lane {lane}");
        assert_eq!(f32::from_bits(registers[1]), a.min(-b).min(c), "lane {lane}");
    }
}
