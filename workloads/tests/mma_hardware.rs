//! Inner products of matrix units, bit by bit as GPUs have computed them.
//!
//! `data/mma_hardware.csv` is a sample (every 312th case; all 100 000 agree) of what F. A. Khattak and M. Mikaitis measured for
//! "Accurate Models of NVIDIA Tensor Cores" (arXiv 2512.07004) and publish with their models (github
//! north-numerical-computing/MATLAB-tensor-core, folder `model_validation`, commit b12b5a7). a, b and c are bit patterns
//! of the formats named, d is what the chip answered.

#[path = "common/matrix.rs"]
mod matrix;

use matrix::{Fragments, Layout, get, put, run};
use std::path::Path;

struct Case {
    chip: String,
    arch: String,
    factors: String,
    accumulator: String,
    a: Vec<u64>,
    b: Vec<u64>,
    c: u64,
    d: u64,
}

fn cases() -> Vec<Case> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/mma_hardware.csv");
    let text = std::fs::read_to_string(path).unwrap();
    let bits = |text: &str| u64::from_str_radix(text, 16).unwrap();
    let numbers = |text: &str| text.split(' ').map(bits).collect();
    let case = |line: &str| {
        let [chip, arch, factors, accumulator, a, b, c, d] = line.split(',').collect::<Vec<_>>()[..] else {
            panic!("{line}");
        };
        let [chip, arch, factors, accumulator] = [chip, arch, factors, accumulator].map(str::to_owned);
        Case { chip, arch, factors, accumulator, a: numbers(a), b: numbers(b), c: bits(c), d: bits(d) }
    };
    text.lines().skip(1).map(case).collect()
}

/// Shape, modifiers and bits of a factor of the instruction that computes a case in one go.
fn instruction(case: &Case) -> (&'static str, Layout, usize) {
    let layout = |k: usize, bits: usize| (Layout { rows: 16, k, per_register: 32 / bits }, bits);
    let (name, (layout, bits)) = match (case.factors.as_str(), case.a.len(), case.accumulator.as_str()) {
        ("fp16", 8, "fp32") => ("HMMA.1688.F32", layout(8, 16)),
        ("fp16", 8, "fp16") => ("HMMA.1688.F16", layout(8, 16)),
        ("fp16", 16, "fp32") => ("HMMA.16816.F32", layout(16, 16)),
        ("fp16", 16, "fp16") => ("HMMA.16816.F16", layout(16, 16)),
        ("bf16", 8, _) => ("HMMA.1688.F32.BF16", layout(8, 16)),
        ("bf16", 16, _) => ("HMMA.16816.F32.BF16", layout(16, 16)),
        ("tf32", 4, _) => ("HMMA.1684.F32.TF32", layout(4, 32)),
        ("e4m3", 32, "fp32") => ("QMMA.16832.F32.E4M3.E4M3", layout(32, 8)),
        ("e4m3", 32, "fp16") => ("QMMA.16832.F16.E4M3.E4M3", layout(32, 8)),
        ("e5m2", 32, "fp32") => ("QMMA.16832.F32.E5M2.E5M2", layout(32, 8)),
        (factors, terms, accumulator) => panic!("no instruction for {terms} terms of {factors} into {accumulator}"),
    };
    (name, layout, bits)
}

/// Eight cases at once: case i in row i and column i.
fn answers(cases: &[Case]) -> Vec<u64> {
    let (name, layout, bits) = instruction(&cases[0]);
    let sum_bits = if cases[0].accumulator == "fp32" { 32 } else { 16 };
    let mut fragments = Fragments::default();
    for lane in 0..32 {
        for i in 0..layout.a_elements() {
            let (row, k) = layout.a(lane, i);
            let bits_of = cases.get(row).map_or(0, |case| case.a[k]);
            put(&mut fragments.a[lane], bits, i, bits_of);
        }
        for i in 0..layout.b_elements() {
            let (k, column) = layout.b(lane, i);
            put(&mut fragments.b[lane], bits, i, cases.get(column).map_or(0, |case| case.b[k]));
        }
        for i in 0..4 {
            let (row, column) = layout.c(lane, i);
            let c = cases.get(row).filter(|_| row == column).map_or(0, |case| case.c);
            put(&mut fragments.c[lane], sum_bits, i, c);
        }
    }
    let out = run(&cases[0].arch, &[&format!("{name} R48, R16, R32, R40")], &fragments);
    let mut answers = vec![0; cases.len()];
    for (lane, registers) in out.iter().enumerate() {
        for i in 0..4 {
            let (row, column) = layout.c(lane, i);
            if row == column && row < cases.len() {
                answers[row] = get(registers, sum_bits, i);
            }
        }
    }
    answers
}

#[test]
fn sums_are_those_of_the_chips() {
    let cases = cases();
    let mut wrong = Vec::new();
    let mut compared = 0;
    for alike in cases.chunk_by(|a, b| (&a.chip, &a.factors, &a.accumulator) == (&b.chip, &b.factors, &b.accumulator)) {
        for eight in alike.chunks(8) {
            for (case, got) in eight.iter().zip(answers(eight)) {
                compared += 1;
                if got != case.d {
                    let Case { chip, factors, accumulator, d, .. } = case;
                    wrong.push(format!("{chip} {factors} {accumulator}: got {got:x}, measured {d:x}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {compared}:\n{}", wrong.len(), wrong[..wrong.len().min(40)].join("\n"));
    assert!(compared > 300, "{compared}");
}
