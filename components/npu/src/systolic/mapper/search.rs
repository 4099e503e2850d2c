//! The tiling of least estimated cost.
//!
//! ```text
//!   cost = max(array cycles of the busiest core, bytes ÷ bandwidth) + first load + last store
//! ```
//! Candidates are multiples of the array's edges that fit into the halves. Operands are read again for each block of the
//! other operand's edge; partial sums stay in the accumulators, so that results are written once.

use super::{NoTiling, Target, Tiling};
use crate::systolic::work::Product;

/// What is to be least.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Goal {
    /// Estimated cycles.
    Time,
    /// Bytes from and to memory; among equals, tiles.
    Bytes,
}

/// The best tiling of a product with operands of `bits` each and results of as many.
///
/// # Errors
/// Not even one block of the array fits.
pub fn tile(target: &Target, product: Product, bits: u64, goal: Goal) -> Result<Tiling, NoTiling> {
    target.check(bits)?;
    let mut best: Option<(f64, Tiling)> = None;
    let half = target.scratchpad_bytes / 2;
    for m in candidates(product.m, target.rows) {
        for n in candidates(product.n, target.columns) {
            if m * n * target.sum_bytes > target.accumulator_bytes / 2 {
                break;
            }
            // The deepest that fits: a deeper tile costs less everywhere.
            let deepest = half * 8 / ((m + n) * bits);
            if deepest < target.rows.min(product.k) {
                break;
            }
            let steps = product.k.div_ceil(deepest / target.rows.min(product.k) * target.rows.min(product.k));
            let k =
                product.k.div_ceil(steps).next_multiple_of(target.rows).min(product.k.next_multiple_of(target.rows));
            let k = if (m + n) * k * bits / 8 > half { deepest / target.rows * target.rows } else { k };
            let tiling = Tiling { m, n, k: k.max(1) };
            let cost = match goal {
                Goal::Time => cost(target, product, tiling, bits),
                Goal::Bytes => {
                    let (a, b, c) = tiling.counts(product);
                    traffic(product, tiling, bits) + (product.batch * a * b * c) as f64
                }
            };
            if best.is_none_or(|(least, _)| cost < least) {
                best = Some((cost, tiling));
            }
        }
    }
    let smallest = Tiling { m: target.rows, n: target.columns, k: target.rows };
    Ok(best.map_or(smallest, |(_, tiling)| tiling))
}

/// Multiples of an edge up to a size: all small ones, then those that cut the size into equal parts.
fn candidates(size: u64, edge: u64) -> Vec<u64> {
    let blocks = size.div_ceil(edge);
    let mut sizes: Vec<u64> = (1..=blocks.min(8)).chain((1..=16).map(|parts| blocks.div_ceil(parts))).collect();
    sizes.sort_unstable();
    sizes.dedup();
    sizes.into_iter().map(|blocks| blocks * edge).collect()
}

/// Estimated cycles.
pub fn cost(target: &Target, product: Product, tiling: Tiling, bits: u64) -> f64 {
    let (tiles_m, tiles_n, _) = tiling.counts(product);
    let bytes = |elements: u64| elements as f64 * bits as f64 / 8.0;
    let blocks = product.batch * tiles_m * tiles_n;
    let busiest = blocks.div_ceil(target.cores);
    let (m, n, k) = (tiling.m.min(product.m), tiling.n.min(product.n), product.k);
    // A block of weights stays for at least as many cycles as the next one takes to come in.
    let passes = n.div_ceil(target.columns) * k.div_ceil(target.rows);
    let vectors =
        (m / target.rows * target.rows) + (m % target.rows).max(if m < target.rows { target.rows } else { 0 });
    let compute = (busiest * passes * vectors) as f64;
    let traffic = traffic(product, tiling, bits);
    let bandwidth = target.memory_bytes_per_cycle.max(1e-9);
    let depth = tiling.k.min(k);
    let together = (blocks.min(target.cores)) as f64;
    let first = together * bytes(target.rows.min(m) * depth + target.columns.min(n) * depth) / bandwidth;
    let last = together * bytes(m * n) / bandwidth;
    compute.max(traffic / bandwidth) + first + last + target.memory_latency_cycles
}

/// Bytes from and to memory.
fn traffic(product: Product, tiling: Tiling, bits: u64) -> f64 {
    let (tiles_m, tiles_n, _) = tiling.counts(product);
    let Product { batch, m, n, k } = product;
    let elements = m * k * tiles_n + k * n * tiles_m + m * n;
    batch as f64 * elements as f64 * bits as f64 / 8.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target() -> Target {
        Target {
            cores: 4,
            rows: 128,
            columns: 128,
            scratchpad_bytes: 32 << 20,
            accumulator_bytes: 4 << 20,
            sum_bytes: 4,
            memory_bytes_per_cycle: 600.0,
            memory_latency_cycles: 100.0,
        }
    }

    #[test]
    fn what_it_finds_fits_and_is_not_dearer_than_the_rule() {
        let target = target();
        for (m, n, k) in [(512, 512, 512), (196, 1536, 384), (1, 4096, 4096), (4096, 4096, 4096), (50, 70, 90)] {
            let product = Product { batch: 1, m, n, k };
            let found = tile(&target, product, 16, Goal::Time).unwrap();
            assert!((found.m + found.n) * found.k * 2 <= target.scratchpad_bytes / 2, "{found:?}");
            assert!(found.m * found.n * 4 <= target.accumulator_bytes / 2, "{found:?}");
            let rule = super::super::gemmini::tile(&target, product, 2);
            assert!(
                cost(&target, product, found, 16) <= cost(&target, product, rule, 16) * 1.001,
                "{found:?} {rule:?}"
            );
        }
    }

    #[test]
    fn a_product_for_four_cores_is_cut_for_them() {
        let product = Product { batch: 1, m: 512, n: 512, k: 512 };
        let blocks = |memory_bytes_per_cycle| {
            let target = Target { memory_bytes_per_cycle, ..target() };
            let (a, b, _) = tile(&target, product, 16, Goal::Time).unwrap().counts(product);
            a * b
        };
        assert!(blocks(1e6) >= 4);
        // Where memory is the limit, fewer blocks read less.
        assert!((2..4).contains(&blocks(600.0)));
    }

    #[test]
    fn a_scratchpad_without_room_for_a_block_is_refused() {
        let small = Target { scratchpad_bytes: 1024, ..target() };
        let error = tile(&small, Product { batch: 1, m: 1, n: 1, k: 1 }, 16, Goal::Time).unwrap_err();
        assert!(error.to_string().contains("65536 bytes in each half"), "{error}");
    }
}
