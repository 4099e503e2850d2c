//! FuseMax: attention as one pass over the keys on a spatial array with a line of vector units.
//!
//! ```text
//!   for each tile of queries:  for each tile of keys:
//!     square array (edge × edge):  Q·Kᵀ ─▶ local maximum ─▶ exponent ─▶ sum ─▶ numerator · V
//!     line (edge):                 running maximum ─▶ its exponent ─▶ running sum ─▶ rescaled numerator
//!   then once: numerator ÷ denominator
//! ```
//!
//! Models: the work of both arrays for a tile, both schedules of the paper, DRAM traffic with a buffer of keys and values.
//! Leaves out: energy; the designs that the paper compares with; the buffer's ports, which the paper takes as sufficient.
//! Source: Nayak et al., FuseMax (arXiv 2406.10491) and its artifact; the suite `npu-fusemax` compares with the latter.
//!
//! * [`closed`]: cycles and bytes by formula.
//! * [`program`]: the same tiles as events on the two arrays, as a component.

pub mod closed;
pub mod program;

use serde::{Deserialize, Serialize};
use workloads::tensor::Attention;

/// How the two arrays share the work of a tile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Schedule {
    /// The paper's "+architecture": a tile after the other, phase by phase.
    Phased,
    /// The paper's "+binding": both arrays always work, on different tiles.
    Bound,
}

/// Parameters of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FuseMaxSpec {
    /// Rows and columns of the square array, and length of the line.
    pub edge: u64,
    pub buffer_kib: u64,
    pub element_bytes: u64,
    pub schedule: Schedule,
}

/// Operations of an exponential on a unit that multiplies and adds: six multiply-adds and an addition (FuseMax, section 5).
pub const EXPONENTIAL_CYCLES: u64 = 7;

/// Cycles of both arrays for one tile of edge × edge scores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TileWork {
    pub square: u64,
    pub line: u64,
    /// Of the line, once a tile of queries: the division.
    pub division: u64,
}

impl TileWork {
    /// Of heads with the widths of `attention`.
    pub fn of(attention: &Attention) -> Self {
        let (e, f) = (attention.query_width, attention.value_width);
        Self {
            // Dot products, maximum of the tile, exponent, sum, times V.
            square: e + 1 + EXPONENTIAL_CYCLES + 1 + f,
            // Running maximum and its exponent, running sum with its rescaling, running numerator with its rescaling.
            line: 1 + EXPONENTIAL_CYCLES + 1 + f + 1 + f,
            division: f,
        }
    }
}
