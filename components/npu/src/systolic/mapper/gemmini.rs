//! The rule of Gemmini's library, as ONNXim uses it.
//!
//! Half of the accumulators hold a square of output blocks; each operand gets half of the scratchpad's half; where there are
//! fewer output tiles than cores, or no multiple, the longer side is cut further. Square arrays only.
//!
//! Source: PSAL-POSTECH/ONNXim a1e8629, whose division by zero for products that the cut makes narrower than the array is
//! replaced by one block.

use super::{Target, Tiling};
use crate::systolic::work::Product;

/// Bytes of a partial sum that the rule assumes, whatever the accumulators hold.
const SUM_BYTES: u64 = 4;

/// The tiling of a product with operands of `element_bytes`.
pub fn tile(target: &Target, product: Product, element_bytes: u64) -> Tiling {
    let dim = target.rows;
    let spad_rows = target.scratchpad_bytes / (dim * element_bytes * 2);
    let sum_rows = target.accumulator_bytes / (dim * SUM_BYTES * 2);
    let blocks = spad_rows / 2 / dim;
    let side = (sum_rows / dim).isqrt().max(1);
    let depth = (blocks / side).max(1);
    let count = |size: u64, most: u64| size.div_ceil(dim).min(size.div_ceil(most * dim)).max(1);
    let (mut tiles_m, mut tiles_n) = (count(product.m, side), count(product.n, side));
    let tiles_k = count(product.k, depth);
    let cores = target.cores;
    let by_n = product.n > product.m && product.n > cores;
    let by_m = product.m > product.n && product.m > cores;
    if tiles_m * tiles_n < cores {
        let factor = cores.div_ceil(tiles_m * tiles_n);
        if by_n {
            tiles_n *= factor;
        } else if by_m {
            tiles_m *= factor;
        }
    }
    let rest = tiles_m * tiles_n % cores;
    if by_n {
        tiles_n += rest;
    } else if by_m {
        tiles_m += rest;
    }
    let inner = |size: u64, tiles: u64| {
        let padded = size.next_multiple_of(dim).div_ceil(tiles);
        (padded / dim * dim).max(dim)
    };
    Tiling { m: inner(product.m, tiles_m), n: inner(product.n, tiles_n), k: inner(product.k, tiles_k) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(cores: u64, edge: u64, scratchpad_kib: u64, accumulator_kib: u64) -> Target {
        Target {
            cores,
            rows: edge,
            columns: edge,
            scratchpad_bytes: scratchpad_kib << 10,
            accumulator_bytes: accumulator_kib << 10,
            sum_bytes: 4,
            memory_bytes_per_cycle: 1.0,
            memory_latency_cycles: 0.0,
        }
    }

    /// Numbers of tiles that ONNXim reports.
    #[test]
    fn tiles_are_as_many_as_the_peers() {
        let tpu = target(4, 128, 32768, 4096);
        let count = |target: &Target, m, n, k, bytes| {
            let product = Product { batch: 1, m, n, k };
            let (a, b, c) = tile(target, product, bytes).counts(product);
            a * b * c
        };
        assert_eq!(count(&tpu, 512, 512, 512, 2), 1);
        assert_eq!(count(&tpu, 1024, 1024, 1024, 2), 4);
        assert_eq!(count(&tpu, 2048, 2048, 2048, 2), 16);
        assert_eq!(count(&tpu, 196, 1536, 384, 2), 12);
        let gemmini = target(1, 16, 256, 64);
        assert_eq!(count(&gemmini, 512, 512, 512, 1), 64);
        assert_eq!(count(&gemmini, 256, 256, 256, 1), 16);
    }
}
