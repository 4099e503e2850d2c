//! References of the kernels that show one feature of the instruction set each.

use super::Arguments;
use crate::sass::SassError;

impl Arguments<'_> {
    /// In double precision without the kernel's roundings to bfloat16: the launch's tolerance covers them.
    pub(super) fn bf16_rmsnorm(&mut self) -> Result<(), SassError> {
        let (rows, columns) = (self.launch.grid[0] as usize, self.size("columns")?);
        let area = self.area(rows, columns)?;
        let (x, weight, epsilon) = (self.buffer("x", area)?, self.buffer("weight", columns)?, self.scalar("epsilon")?);
        let (mut out, mut largest) = (self.buffer("out", area)?, self.buffer("largest", rows)?);
        for row in 0..rows {
            let values = &x[row * columns..(row + 1) * columns];
            let mean = values.iter().map(|value| value * value).sum::<f64>() / columns as f64;
            let scale = 1.0 / (mean + epsilon).sqrt();
            for (i, value) in values.iter().enumerate() {
                out[row * columns + i] = value * scale * weight[i];
            }
            largest[row] = values.iter().fold(0.0, |most, value| most.max(value.abs()));
        }
        self.output("out", out);
        self.output("largest", largest);
        Ok(())
    }

    pub(super) fn smith_waterman(&mut self) -> Result<(), SassError> {
        let (pairs, length) = (self.size("pairs")?, self.size("length")?);
        let area = self.area(pairs, length)?;
        let (queries, targets) = (self.buffer("queries", area)?, self.buffer("targets", area)?);
        let mut scores = self.buffer("scores", pairs)?;
        for pair in 0..pairs {
            let (query, target) = (&queries[pair * length..][..length], &targets[pair * length..][..length]);
            let mut table = vec![vec![0i32; length + 1]; length + 1];
            let mut best = 0;
            for j in 1..=length {
                for i in 1..=length {
                    let gain = if query[i - 1] == target[j - 1] { 2 } else { -1 };
                    let gap = table[j - 1][i].max(table[j][i - 1]) - 1;
                    table[j][i] = (table[j - 1][i - 1] + gain).max(gap).max(0);
                    best = best.max(table[j][i]);
                }
            }
            scores[pair] = best.into();
        }
        self.output("scores", scores);
        Ok(())
    }

    pub(super) fn virtual_calls(&mut self) -> Result<(), SassError> {
        let n = self.size("n")?;
        let (kind, size) = (self.buffer("kind", n)?, self.buffer("size", n)?);
        let (mut area, mut power) = (self.buffer("area", n)?, self.buffer("power", n)?);
        let mut ackermann = self.buffer("ackermann", n)?;
        for i in 0..n {
            let (kind, size) = (kind[i] as u64, size[i]);
            let pi = std::f64::consts::PI;
            (area[i], power[i]) = match kind % 3 {
                0 => (size * size + 4.0, size * size),
                1 => (pi * size * size, size * size * size),
                _ => (pi * (size * size - 0.25), size.sqrt()),
            };
            ackermann[i] = (2 * (kind % 4) + 3) as f64;
        }
        self.output("area", area);
        self.output("power", power);
        self.output("ackermann", ackermann);
        Ok(())
    }

    pub(super) fn spill(&mut self) -> Result<(), SassError> {
        let n = self.size("n")?;
        let (input, mut out) = (self.buffer("in", self.area(n, 32)?)?, self.buffer("out", n)?);
        for i in 0..n {
            let window = &input[32 * i..32 * i + 32];
            let products = (0..32).map(|j| (j, window[j] * window[(j + 1) % 32]));
            out[i] = products.map(|(j, product)| if j % 2 == 0 { 2.0 * product } else { 0.0 }).sum();
        }
        self.output("out", out);
        Ok(())
    }

    pub(super) fn wide_atomics(&mut self) -> Result<(), SassError> {
        let n = self.size("n")?;
        let (values, mut counts) = (self.buffer("values", n)?, self.buffer("counts", 16)?);
        let (mut sums, mut largest) = (self.buffer("sums", 16)?, self.buffer("largest", 16)?);
        for value in &values[..n] {
            let bin = *value as usize % 16;
            counts[bin] += value + 2f64.powi(40);
            sums[bin] += 0.5 * value;
            largest[bin] = largest[bin].max(value * 2f64.powi(20));
        }
        self.output("counts", counts);
        self.output("sums", sums);
        self.output("largest", largest);
        Ok(())
    }

    pub(super) fn double_division(&mut self) -> Result<(), SassError> {
        let n = self.size("n")?;
        let (a, b) = (self.buffer("a", n)?, self.buffer("b", n)?);
        let (mut quotient, mut root, mut least) =
            (self.buffer("quotient", n)?, self.buffer("root", n)?, self.buffer("least", n)?);
        for i in 0..n {
            (quotient[i], root[i]) = (a[i] / b[i], a[i].abs().sqrt());
            least[i] = quotient[i].min(root[i]);
        }
        self.output("quotient", quotient);
        self.output("root", root);
        self.output("least", least);
        Ok(())
    }

    pub(super) fn warp_aggregate(&mut self) -> Result<(), SassError> {
        let n = self.size("n")?;
        let (keys, values) = (self.buffer("keys", n)?, self.buffer("values", n)?);
        let (mut sums, mut warps) = (self.buffer("sums", 64)?, self.buffer("warps", 64)?);
        let (mut odd, mut most) = (self.buffer("odd", 1)?, self.buffer("most", 1)?);
        for (keys, values) in keys[..n].chunks(32).zip(values[..n].chunks(32)) {
            let mut seen = [false; 64];
            for (key, value) in keys.iter().zip(values) {
                let bin = *key as usize % 64;
                sums[bin] += value;
                warps[bin] += f64::from(u8::from(!std::mem::replace(&mut seen[bin], true)));
                odd[0] += key % 2.0;
                most[0] = most[0].max(*value);
            }
        }
        self.output("sums", sums);
        self.output("warps", warps);
        self.output("odd", odd);
        self.output("most", most);
        Ok(())
    }
}
