//! References of the textbook kernels whose times on a GPU were measured.

use super::Arguments;
use crate::sass::SassError;

impl Arguments<'_> {
    /// Each array sorted by its keys, which must differ: a network does not keep the order of equal ones.
    pub(super) fn sorted_pairs(&mut self) -> Result<(), SassError> {
        let (length, up) = (self.size("length")?.max(1), self.scalar("up")? != 0.0);
        let keys = self.buffer("keys", 0)?;
        let values = self.buffer("values", keys.len())?;
        let (mut out_keys, mut out_values) = (Vec::new(), Vec::new());
        for (keys, values) in keys.chunks(length).zip(values.chunks(length)) {
            let mut pairs: Vec<(u64, f64)> = keys.iter().map(|&key| key as u64).zip(values.iter().copied()).collect();
            pairs.sort_by_key(|pair| if up { pair.0 } else { u64::MAX - pair.0 });
            out_keys.extend(pairs.iter().map(|pair| pair.0 as f64));
            out_values.extend(pairs.iter().map(|pair| pair.1));
        }
        self.output("out_keys", out_keys);
        self.output("out_values", out_values);
        Ok(())
    }

    /// Of each array the sums of what stands before an element, modulo 2^32.
    pub(super) fn scan_blocks(&mut self) -> Result<(), SassError> {
        let (length, values) = (self.size("length")?.max(1), self.buffer("in", 0)?);
        let mut out = Vec::with_capacity(values.len());
        for array in values.chunks(length) {
            let mut sum = 0u32;
            for &value in array {
                out.push(f64::from(sum));
                sum = sum.wrapping_add(value as u32);
            }
        }
        self.output("out", out);
        Ok(())
    }

    /// The levels of `2 * stride` and `stride` of a Walsh transform.
    pub(super) fn walsh_radix4(&mut self) -> Result<(), SassError> {
        let stride = self.size("stride")?;
        let mut values = self.buffer("in", 0)?;
        for distance in [2 * stride, stride] {
            butterflies(&mut values, distance);
        }
        self.output("out", values);
        Ok(())
    }

    pub(super) fn walsh_shared(&mut self) -> Result<(), SassError> {
        let size = 1usize << self.size("log2_size")?.min(30);
        let mut values = self.buffer("in", size)?;
        for transform in values.chunks_mut(size) {
            let mut distance = size / 2;
            while distance > 0 {
                butterflies(transform, distance);
                distance /= 2;
            }
        }
        self.output("out", values);
        Ok(())
    }

    pub(super) fn modulate(&mut self) -> Result<(), SassError> {
        let n = self.size("n")?;
        let (mut a, b) = (self.buffer("a", n)?, self.buffer("b", n)?);
        for i in 0..n {
            a[i] *= b[i] / n as f64;
        }
        self.output("a", a);
        Ok(())
    }

    /// C = alpha A B + beta C, or with A' in the place of B.
    pub(super) fn square_product(&mut self, with_own_transpose: bool) -> Result<(), SassError> {
        let n = self.size("n")?;
        let (alpha, beta, area) = (self.scalar("alpha")?, self.scalar("beta")?, self.area(n, n)?);
        let (a, mut c) = (self.buffer("A", area)?, self.buffer("C", area)?);
        let b = if with_own_transpose { a.clone() } else { self.buffer("B", area)? };
        for i in 0..n {
            for j in 0..n {
                let b = |k: usize| if with_own_transpose { b[j * n + k] } else { b[k * n + j] };
                let sum: f64 = (0..n).map(|k| a[i * n + k] * b(k)).sum();
                c[i * n + j] = beta * c[i * n + j] + alpha * sum;
            }
        }
        self.output("C", c);
        Ok(())
    }

    pub(super) fn conv3d_slice(&mut self) -> Result<(), SassError> {
        let (n, i) = (self.size("n")?, self.size("i")?);
        let volume = self.area(n, self.area(n, n)?)?;
        let (a, mut b) = (self.buffer("A", volume)?, self.buffer("B", volume)?);
        if i == 0 || i + 1 >= n {
            return Err(self.error(format!("there is no slice {i} within {n}"), "i from 1 to n - 2"));
        }
        // Offsets along i, j and k, with their weights; PolyBench names some neighbours more than once.
        let weights = [
            ((-1, -1, -1), 2.0 + 5.0 - 8.0),
            ((1, -1, -1), 4.0 + 7.0 + 10.0),
            ((0, -1, 0), -3.0),
            ((0, 0, 0), 6.0),
            ((0, 1, 0), -9.0),
            ((-1, -1, 1), 2.0),
            ((1, -1, 1), 4.0),
            ((-1, 0, 1), 5.0),
            ((1, 0, 1), 7.0),
            ((-1, 1, 1), -8.0),
            ((1, 1, 1), 10.0),
        ];
        for j in 1..n - 1 {
            for k in 1..n - 1 {
                let neighbour = |(di, dj, dk): (isize, isize, isize)| {
                    let [i, j, k] = [(i, di), (j, dj), (k, dk)].map(|(at, by)| at.wrapping_add_signed(by));
                    a[(i * n + j) * n + k]
                };
                b[(i * n + j) * n + k] = weights.iter().map(|&(by, weight)| weight * neighbour(by)).sum();
            }
        }
        self.output("B", b);
        Ok(())
    }
}

/// Sums and differences of pairs at one distance.
fn butterflies(values: &mut [f64], distance: usize) {
    for pairs in values.chunks_exact_mut(2 * distance.max(1)) {
        let (low, high) = pairs.split_at_mut(distance);
        for (a, b) in low.iter_mut().zip(high) {
            (*a, *b) = (*a + *b, *a - *b);
        }
    }
}
