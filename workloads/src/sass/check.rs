//! Compares what a kernel left in memory with a plain-Rust reference.
//!
//! References are written from the description of each kernel (`workloads/kernels/*.cu`), not from its code, and compute
//! floating point in double precision. A launch file names its reference, the buffers to compare and the tolerance.

mod features;
mod microbenchmarks;
mod textbook;

use super::error::SassError;
use super::exec::GlobalMemory;
use super::launch::{Argument, Check, Launch, Value};
use multiversion::multiversion;
use sim_core::config::nearest;

/// Outcome of a comparison.
#[derive(Clone, Debug, PartialEq)]
pub struct Comparison {
    pub reference: String,
    /// Elements compared.
    pub elements: u64,
    pub max_abs_error: f64,
    /// Of elements whose reference is not zero.
    pub max_rel_error: f64,
    /// Elements outside the tolerance.
    pub failures: u64,
    pub first_failure: Option<Failure>,
}

/// One element outside the tolerance.
#[derive(Clone, Debug, PartialEq)]
pub struct Failure {
    pub buffer: String,
    pub element: u64,
    pub got: f64,
    pub want: f64,
}

impl Comparison {
    pub fn passed(&self) -> bool {
        self.failures == 0
    }
}

/// Names that a launch file may give as `reference`.
pub const REFERENCES: [&str; 40] = [
    "attention",
    "bank_conflicts",
    "bf16_rmsnorm",
    "constant_chain",
    "conv3d_slice",
    "dependent_chain",
    "double_division",
    "gemm",
    "gemm_nt",
    "gemm_tf32",
    "grid_barrier",
    "histogram",
    "index_chain",
    "instruction_chain",
    "instruction_rate",
    "matmul_steps",
    "modulate",
    "mufu_rate",
    "pointer_chain",
    "pointer_chase",
    "pointer_partitions",
    "producer_consumer",
    "read_bandwidth",
    "reduction",
    "saxpy",
    "scan_blocks",
    "sgemm",
    "smith_waterman",
    "softmax",
    "sorted_pairs",
    "spill",
    "stencil2d",
    "syrk",
    "transpose",
    "vectoradd",
    "virtual_calls",
    "walsh_radix4",
    "walsh_shared",
    "warp_aggregate",
    "wide_atomics",
];

/// Compares memory after the run with the reference that the launch names; `None` when it names none.
///
/// # Errors
/// The reference does not exist, or the launch lacks an argument that it needs.
pub fn check(launch: &Launch, memory: &GlobalMemory) -> Result<Option<Comparison>, SassError> {
    let Some(check) = &launch.check else { return Ok(None) };
    let mut arguments = Arguments { launch, check, buffers: Vec::new() };
    arguments.compute()?;
    let mut comparison = Comparison {
        reference: check.reference.clone(),
        elements: 0,
        max_abs_error: 0.0,
        max_rel_error: 0.0,
        failures: 0,
        first_failure: None,
    };
    for output in &check.outputs {
        let argument = arguments.find(output)?;
        let want = arguments.buffers.iter().find(|(name, _)| name == output).map(|(_, values)| values);
        let Some(want) = want else {
            let message = format!("reference `{}` says nothing about `{output}`", check.reference);
            return Err(SassError::new(&launch.file, check.line, message, "name a buffer that the kernel writes"));
        };
        let got = memory.buffer(output).map(|buffer| argument.element.decode_all(&buffer.data)).unwrap_or_default();
        comparison.compare(output, &got, want, check);
    }
    Ok(Some(comparison))
}

impl Comparison {
    fn compare(&mut self, buffer: &str, got: &[f64], want: &[f64], check: &Check) {
        for (element, (&got, &want)) in got.iter().zip(want).enumerate() {
            self.elements += 1;
            let same = got == want || got.is_nan() && want.is_nan();
            let error = if same { 0.0 } else { (got - want).abs() };
            let allowed = check.tolerance_abs + check.tolerance_rel * want.abs();
            // A NaN on one side only is a failure.
            if error.is_nan() || error > allowed {
                self.failures += 1;
                let element = element as u64;
                self.first_failure.get_or_insert_with(|| Failure { buffer: buffer.to_owned(), element, got, want });
            }
            self.max_abs_error = self.max_abs_error.max(error);
            if want != 0.0 {
                self.max_rel_error = self.max_rel_error.max(error / want.abs());
            }
        }
    }
}

/// How the elements of a matrix lie.
#[derive(Clone, Copy)]
enum Order {
    RowMajor,
    ColumnMajor,
}

/// A single rounded to 10 bits of fraction, ties away from zero (PTX ISA, `cvt.rna.tf32.f32`).
fn nearest_tf32(value: f64) -> f64 {
    f64::from(f32::from_bits(((value as f32).to_bits() + 0x1000) & !0x1fff))
}

/// Adds to each sum its column of B times a row of A, step by step.
#[multiversion(targets("x86_64+avx2"))]
fn add_products(sums: &mut [f64], factors: &[f64], b: &[f64]) {
    let n = sums.len();
    // Four steps at once: a sum is read and written once for them.
    let (fours, rest) = factors.as_chunks::<4>();
    for (four, factors) in fours.iter().enumerate() {
        let [p, q, r, s] = [0, 1, 2, 3].map(|step| &b[(4 * four + step) * n..][..n]);
        for column in 0..n {
            let sum = sums[column] + factors[0] * p[column];
            let sum = sum + factors[1] * q[column];
            sums[column] = sum + factors[2] * r[column] + factors[3] * s[column];
        }
    }
    for (step, factor) in (4 * fours.len()..).zip(rest) {
        for (sum, b) in sums.iter_mut().zip(&b[step * n..]) {
            *sum += factor * b;
        }
    }
}

/// The arguments as they were before the run, by name, and what the reference makes of the buffers.
struct Arguments<'a> {
    launch: &'a Launch,
    check: &'a Check,
    buffers: Vec<(String, Vec<f64>)>,
}

impl Arguments<'_> {
    fn error(&self, message: String, help: &str) -> SassError {
        SassError::new(&self.launch.file, self.check.line, message, help)
    }

    fn find(&self, name: &str) -> Result<&Argument, SassError> {
        self.launch.arguments.iter().find(|argument| argument.name == name).ok_or_else(|| {
            let message = format!("reference `{}` needs an argument named `{name}`", self.check.reference);
            self.error(message, "give the arguments the names of the kernel's source")
        })
    }

    fn scalar(&self, name: &str) -> Result<f64, SassError> {
        let argument = self.find(name)?;
        match &argument.value {
            Value::Scalar(bytes) => Ok(argument.element.decode_all(bytes).first().copied().unwrap_or(0.0)),
            _ => Err(self.error(format!("`{name}` should be a scalar"), "")),
        }
    }

    /// A size: what is negative counts as nothing.
    fn size(&self, name: &str) -> Result<usize, SassError> {
        self.scalar(name).map(|value| value.max(0.0) as usize)
    }

    /// At least `least` elements.
    fn buffer(&self, name: &str, least: usize) -> Result<Vec<f64>, SassError> {
        let argument = self.find(name)?;
        let Some((count, init)) = argument.value.memory() else {
            return Err(self.error(format!("`{name}` should be a buffer"), ""));
        };
        if count < least {
            let message = format!("buffer `{name}` has {count} elements, but the sizes ask for {least}");
            return Err(self.error(message, "make it larger, or the sizes smaller"));
        }
        Ok(argument.element.decode_all(&init.bytes(argument.element, count)))
    }

    fn area(&self, rows: usize, columns: usize) -> Result<usize, SassError> {
        let area = rows.checked_mul(columns).filter(|&area| area < 1 << 40);
        area.ok_or_else(|| self.error(format!("{rows} x {columns} elements are too many"), "choose smaller sizes"))
    }

    fn output(&mut self, name: &str, values: Vec<f64>) {
        self.buffers.push((name.to_owned(), values));
    }

    fn compute(&mut self) -> Result<(), SassError> {
        match self.check.reference.as_str() {
            "attention" => self.attention(),
            "gemm" => self.gemm(|a| a, Order::RowMajor),
            "gemm_nt" => self.gemm(|a| a, Order::ColumnMajor),
            "gemm_tf32" => self.gemm(nearest_tf32, Order::RowMajor),
            "vectoradd" => self.vectoradd(),
            "saxpy" => self.saxpy(),
            "sgemm" => self.sgemm(),
            "reduction" => self.reduction(),
            "transpose" => self.transpose(),
            "histogram" => self.histogram(),
            "stencil2d" => self.stencil2d(),
            "softmax" => self.softmax(),
            "bf16_rmsnorm" => self.bf16_rmsnorm(),
            "double_division" => self.double_division(),
            "smith_waterman" => self.smith_waterman(),
            "spill" => self.spill(),
            "virtual_calls" => self.virtual_calls(),
            "warp_aggregate" => self.warp_aggregate(),
            "wide_atomics" => self.wide_atomics(),
            "producer_consumer" => self.producer_consumer(),
            "grid_barrier" => self.grid_barrier(),
            "dependent_chain" => self.dependent_chain(),
            "index_chain" => self.index_chain(),
            "instruction_chain" => self.instruction_chain(),
            "instruction_rate" => self.instruction_rate(),
            "pointer_chain" => self.pointer_chain(),
            "constant_chain" => self.constant_chain(),
            "pointer_chase" => self.pointer_chase(),
            "pointer_partitions" => self.pointer_partitions(),
            "read_bandwidth" => self.read_bandwidth(),
            "bank_conflicts" => self.bank_conflicts(),
            "mufu_rate" => self.mufu_rate(),
            "sorted_pairs" => self.sorted_pairs(),
            "scan_blocks" => self.scan_blocks(),
            "walsh_radix4" => self.walsh_radix4(),
            "walsh_shared" => self.walsh_shared(),
            "modulate" => self.modulate(),
            "matmul_steps" => self.square_product(false),
            "syrk" => self.square_product(true),
            "conv3d_slice" => self.conv3d_slice(),
            unknown => {
                let help = match nearest(unknown, REFERENCES) {
                    Some(meant) => format!("did you mean `{meant}`?"),
                    None => format!("known are {}", REFERENCES.join(", ")),
                };
                Err(self.error(format!("there is no reference `{unknown}`"), &help))
            }
        }
    }

    /// c = a + b, rounded once to single precision.
    fn vectoradd(&mut self) -> Result<(), SassError> {
        let n = self.size("n")?;
        let (a, b, mut c) = (self.buffer("a", n)?, self.buffer("b", n)?, self.buffer("c", n)?);
        for i in 0..n {
            c[i] = f64::from((a[i] + b[i]) as f32);
        }
        self.output("c", c);
        Ok(())
    }

    fn saxpy(&mut self) -> Result<(), SassError> {
        let (n, alpha) = (self.size("n")?, self.scalar("alpha")?);
        let (x, mut y) = (self.buffer("x", n)?, self.buffer("y", n)?);
        for i in 0..n {
            y[i] += alpha * x[i];
        }
        self.output("y", y);
        Ok(())
    }

    fn sgemm(&mut self) -> Result<(), SassError> {
        let (m, n, k) = (self.size("m")?, self.size("n")?, self.size("k")?);
        let (alpha, beta) = (self.scalar("alpha")?, self.scalar("beta")?);
        let (a, b) = (self.buffer("a", self.area(m, k)?)?, self.buffer("b", self.area(k, n)?)?);
        let mut c = self.buffer("c", self.area(m, n)?)?;
        let mut sums = vec![0.0; n];
        for row in 0..m {
            sums.fill(0.0);
            add_products(&mut sums, &a[row * k..][..k], &b);
            for (c, sum) in c[row * n..].iter_mut().zip(&sums) {
                // With beta zero the old value is not read, so that a NaN in it does not spread.
                *c = if beta == 0.0 { alpha * sum } else { alpha * sum + beta * *c };
            }
        }
        self.output("c", c);
        Ok(())
    }

    /// C = A·B of factors that `round` has rounded. With `ColumnMajor`, B lies column by column.
    fn gemm(&mut self, round: fn(f64) -> f64, b_order: Order) -> Result<(), SassError> {
        let (m, n, k) = (self.size("m")?, self.size("n")?, self.size("k")?);
        let (mut a, mut b) = (self.buffer("a", self.area(m, k)?)?, self.buffer("b", self.area(k, n)?)?);
        a.iter_mut().chain(&mut b).for_each(|value| *value = round(*value));
        let mut c = self.buffer("c", self.area(m, n)?)?;
        for row in 0..m {
            for column in 0..n {
                let factor = |step: usize| match b_order {
                    Order::RowMajor => b[step * n + column],
                    Order::ColumnMajor => b[column * k + step],
                };
                c[row * n + column] = (0..k).map(|step| a[row * k + step] * factor(step)).sum();
            }
        }
        self.output("c", c);
        Ok(())
    }

    /// softmax(Q·Kᵀ/8)·V with rows of 64.
    fn attention(&mut self) -> Result<(), SassError> {
        const HEAD: usize = 64;
        let (queries, keys) = (self.launch.grid[0] as usize * 64, self.size("keys")?);
        let (q, mut o) = (self.buffer("q", self.area(queries, HEAD)?)?, self.buffer("o", queries * HEAD)?);
        let (k, v) = (self.buffer("k", self.area(keys, HEAD)?)?, self.buffer("v", keys * HEAD)?);
        for (query, out) in q.chunks_exact(HEAD).zip(o.chunks_exact_mut(HEAD)) {
            let score = |key: &[f64]| query.iter().zip(key).map(|(q, k)| q * k).sum::<f64>() / 8.0;
            let scores: Vec<f64> = k.chunks_exact(HEAD).take(keys).map(score).collect();
            let largest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let weights: Vec<f64> = scores.iter().map(|score| (score - largest).exp()).collect();
            let sum: f64 = weights.iter().sum();
            out.fill(0.0);
            for (weight, row) in weights.iter().zip(v.chunks_exact(HEAD)) {
                out.iter_mut().zip(row).for_each(|(out, v)| *out += weight / sum * v);
            }
        }
        self.output("o", o);
        Ok(())
    }

    fn reduction(&mut self) -> Result<(), SassError> {
        let n = self.size("n")?;
        let (values, mut sum) = (self.buffer("values", n)?, self.buffer("sum", 1)?);
        sum[0] += values[..n].iter().sum::<f64>();
        self.output("sum", sum);
        Ok(())
    }

    fn transpose(&mut self) -> Result<(), SassError> {
        let (rows, columns) = (self.size("rows")?, self.size("columns")?);
        let area = self.area(rows, columns)?;
        let (input, mut out) = (self.buffer("in", area)?, self.buffer("out", area)?);
        for row in 0..rows {
            for column in 0..columns {
                out[column * rows + row] = input[row * columns + column];
            }
        }
        self.output("out", out);
        Ok(())
    }

    fn histogram(&mut self) -> Result<(), SassError> {
        let (n, low, shift) = (self.size("n")?, self.scalar("low")?, self.scalar("shift")?);
        let (mut bins, mut outside) = (self.buffer("bins", 256)?, self.buffer("outside", 1)?);
        let width = f64::from(1u32.checked_shl(shift as u32).unwrap_or(0));
        for value in &self.buffer("values", n)?[..n] {
            let bin = ((value - low) / width).floor();
            if (0.0..256.0).contains(&bin) { bins[bin as usize] += 1.0 } else { outside[0] += 1.0 }
        }
        self.output("bins", bins);
        self.output("outside", outside);
        Ok(())
    }

    fn stencil2d(&mut self) -> Result<(), SassError> {
        let (width, height) = (self.size("width")?, self.size("height")?);
        let (centre, neighbour) = (self.scalar("centre")?, self.scalar("neighbour")?);
        let area = self.area(width, height)?;
        let (input, mut out) = (self.buffer("in", area)?, self.buffer("out", area)?);
        for i in 0..area {
            let (x, y) = (i % width, i / width);
            let rim = x == 0 || y == 0 || x + 1 == width || y + 1 == height;
            out[i] = if rim {
                input[i]
            } else {
                centre * input[i] + neighbour * (input[i - width] + input[i + width] + input[i - 1] + input[i + 1])
            };
        }
        self.output("out", out);
        Ok(())
    }

    /// The last block sends.
    fn producer_consumer(&mut self) -> Result<(), SassError> {
        let (n, receivers) = (self.size("n")?, self.launch.grid[0].saturating_sub(1) as usize);
        let x = self.buffer("x", n)?;
        let mut out = self.buffer("out", self.area(receivers, n)?)?;
        for (i, out) in out.iter_mut().take(receivers * n).enumerate() {
            *out = 2.0 * x[i % n] + 1.0 + (i / n) as f64;
        }
        self.output("out", out);
        Ok(())
    }

    fn grid_barrier(&mut self) -> Result<(), SassError> {
        let (n, rounds) = (self.size("n")?, self.size("rounds")?);
        let (mut a, mut b) = (self.buffer("a", n)?, self.buffer("b", n)?);
        for _ in 0..rounds {
            for i in 0..n {
                b[i] = a[n - 1 - i] + 1.0;
            }
            std::mem::swap(&mut a, &mut b);
        }
        self.output(if rounds % 2 == 0 { "a" } else { "b" }, a);
        Ok(())
    }

    fn dependent_chain(&mut self) -> Result<(), SassError> {
        let (a, b) = (self.scalar("a")?, self.scalar("b")?);
        let (mut f, mut i) = (self.buffer("f", 32)?, self.buffer("i", 32)?);
        for f in &mut f[..32] {
            *f = (0..512).fold(*f, |f, _| f * a + b);
        }
        for i in &mut i[..32] {
            let step = |(z, y): (u32, u32), _| (z.wrapping_add(y), y.wrapping_add(z.wrapping_add(y)));
            *i = f64::from((0..256).fold((1, *i as i32 as u32), step).1 as i32);
        }
        self.output("f", f);
        self.output("i", i);
        Ok(())
    }

    /// 128 steps from element 0, in shared memory over 1024 elements.
    fn pointer_chase(&mut self) -> Result<(), SassError> {
        let (n, stride) = (self.size("n")?.max(1), self.size("stride")?);
        let mut last = self.buffer("last", 3)?;
        last[..3].copy_from_slice(&[1024, n, n].map(|length| (128 * stride % length) as f64));
        self.output("last", last);
        Ok(())
    }

    fn bank_conflicts(&mut self) -> Result<(), SassError> {
        let mut sums = self.buffer("sums", 192)?;
        for (i, sum) in sums.iter_mut().take(192).enumerate() {
            let first = (i % 32) << (i / 32);
            *sum = (first..first + 128).sum::<usize>() as f64;
        }
        self.output("sums", sums);
        Ok(())
    }

    fn mufu_rate(&mut self) -> Result<(), SassError> {
        let mut x = self.buffer("x", 1024)?;
        for x in &mut x[..1024] {
            *x = (0..64).fold(*x, |x, _| x.sqrt().recip());
        }
        self.output("x", x);
        Ok(())
    }

    /// Rows are as many as blocks.
    fn softmax(&mut self) -> Result<(), SassError> {
        let (rows, columns) = (self.launch.grid[0] as usize, self.size("columns")?);
        let area = self.area(rows, columns)?;
        let (input, mut out) = (self.buffer("in", area)?, self.buffer("out", area)?);
        for row in 0..rows {
            let range = row * columns..(row + 1) * columns;
            let largest = input[range.clone()].iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let sum: f64 = input[range.clone()].iter().map(|value| (value - largest).exp()).sum();
            for i in range {
                out[i] = (input[i] - largest).exp() / sum;
            }
        }
        self.output("out", out);
        Ok(())
    }
}
