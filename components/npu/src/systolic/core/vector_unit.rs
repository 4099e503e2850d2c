//! The vector unit: one operation at a time.
//!
//! A tree over n elements takes as many passes as there are vectors, then as many as vectors of the results, down to one.
//! Source of the forms: PSAL-POSTECH/ONNXim a1e8629.

use super::spec::CoreSpec;
use crate::systolic::program::VectorOp;

/// Cycles of an operation over `bytes` (of one row, for what goes by rows).
pub fn cycles(spec: &CoreSpec, op: VectorOp, bytes: u64) -> u64 {
    let width = (spec.vector_bits / 8).max(1);
    let (one, exponential) = (u64::from(spec.elementwise_cycles), u64::from(spec.exponential_cycles));
    // Rows go through beside each other, each in its part of the width.
    let by_rows = |rows: u32, cycles: &dyn Fn(u64, u64) -> u64| {
        let part = (width / u64::from(spec.vector_rows)).max(1);
        let tree = tree_passes(bytes, part) * u64::from(spec.tree_cycles);
        u64::from(rows.div_ceil(spec.vector_rows)) * cycles(tree, bytes.div_ceil(part))
    };
    match op {
        VectorOp::Elementwise(operations) => bytes.div_ceil(width) * one * u64::from(operations),
        VectorOp::LayerNorm { rows } => by_rows(rows, &|tree, passes| 2 * tree + 5 * passes * one),
        VectorOp::Softmax { rows } => by_rows(rows, &|tree, passes| 2 * tree + passes * (2 * one + exponential)),
        VectorOp::Reduce { rows } => by_rows(rows, &|tree, _| tree),
    }
}

fn tree_passes(mut elements: u64, width: u64) -> u64 {
    let mut passes = 0;
    while elements > width {
        elements = elements.div_ceil(width);
        passes += elements;
    }
    passes + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_halves_down_to_one() {
        // 1000 bytes in vectors of 256: 4 passes, then their 4 results in one.
        assert_eq!(tree_passes(1000, 256), 5);
        assert_eq!(tree_passes(256, 256), 1);
        assert_eq!(tree_passes(256 * 256 * 2, 256), 512 + 2 + 1);
    }
}
