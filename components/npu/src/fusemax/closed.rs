//! Cycles and bytes by formula.

use super::{EXPONENTIAL_CYCLES, FuseMaxSpec, Schedule, TileWork};
use workloads::tensor::Attention;

/// Tiles of edge × edge scores; a fraction where the sizes are no multiples of the edge, as in the paper's model.
fn tiles(spec: &FuseMaxSpec, attention: &Attention) -> f64 {
    let heads = (attention.batch * attention.heads) as f64;
    heads * attention.queries as f64 * attention.keys as f64 / (spec.edge * spec.edge) as f64
}

/// Cycles without fill and drain.
pub fn cycles(spec: &FuseMaxSpec, attention: &Attention) -> f64 {
    let work = TileWork::of(attention);
    let (e, f) = (attention.query_width as f64, attention.value_width as f64);
    // The division comes once a tile of queries: its share of one tile.
    let division = work.division as f64 * spec.edge as f64 / attention.keys as f64;
    let a_tile = match spec.schedule {
        Schedule::Bound => (work.square as f64).max(work.line as f64 + division),
        Schedule::Phased => {
            // The maximum ripples through the rows before exponents start; the line works beside the dot products only.
            let ripple = spec.edge as f64;
            (e + 1.0).max(1.0 + division) + ripple + 1.0 + (EXPONENTIAL_CYCLES + 1) as f64 + 2.0 * f
        }
    };
    tiles(spec, attention) * a_tile
}

/// Bytes from and to memory: queries and results once, keys and values once for each pass over them. As many tiles of
/// queries share a pass as the buffer holds beside one tile of keys and values.
///
/// # Errors
/// The buffer does not hold one tile of queries beside the keys and values; the message says how much it would need.
pub fn dram_bytes(spec: &FuseMaxSpec, attention: &Attention) -> Result<u64, String> {
    let widths = attention.query_width + attention.value_width;
    let keys_and_values = spec.edge * spec.element_bytes * widths;
    // Queries, numerators, running maximum and sum.
    let queries = (widths + 2) * spec.element_bytes * spec.edge;
    let buffer = spec.buffer_kib * 1024;
    let fit = buffer.saturating_sub(keys_and_values) / queries;
    let tiles = (attention.queries / spec.edge).max(1);
    let together = (1..=fit.min(tiles)).rev().find(|&together| tiles.is_multiple_of(together));
    let Some(together) = together else {
        let needed = (keys_and_values + queries).div_ceil(1024);
        return Err(format!(
            "one tile of queries, keys and values needs {needed} KiB, the buffer has {}",
            spec.buffer_kib
        ));
    };
    let passes = tiles / together;
    let operand = attention.batch * attention.heads * spec.element_bytes * widths;
    Ok(operand * attention.queries + operand * attention.keys * passes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The artifact of the paper, BERT with 1 Ki keys, 64 sequences: 0.002013140425531915 s at 940 MHz, 402,653,184 bytes.
    #[test]
    fn bert_with_a_thousand_keys() {
        let attention = Attention {
            batch: 64,
            heads: 12,
            key_heads: 12,
            queries: 1024,
            keys: 1024,
            query_width: 64,
            value_width: 64,
        };
        let spec = FuseMaxSpec { edge: 256, buffer_kib: 16 << 10, element_bytes: 2, schedule: Schedule::Bound };
        let seconds = cycles(&spec, &attention) / 940e6;
        assert!((seconds / 0.002_013_140_425_531_915 - 1.0).abs() < 1e-12, "{seconds}");
        assert_eq!(dram_bytes(&spec, &attention), Ok(402_653_184));
        let small = FuseMaxSpec { buffer_kib: 64, ..spec };
        assert!(dram_bytes(&small, &attention).unwrap_err().contains("129 KiB"));
    }
}
