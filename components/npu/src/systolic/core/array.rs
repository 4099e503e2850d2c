//! The systolic array as a pipeline of multiplications.
//!
//! ```text
//!   start = max(now, start of the one before + max(its vectors, least, rows if the weights change))
//!   end   = start + rows + columns − 2 + max(vectors, least)
//! ```
//! On an empty array weights travel in first: 2·rows − 1 cycles. So each block of weights takes at least `rows` cycles,
//! however few vectors go through it.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::spec::CoreSpec;

/// A multiplication in the array.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Multiplication {
    pub tile: u64,
    pub accumulator: u32,
    pub vectors: u32,
    pub start: u64,
    pub end: u64,
    /// It is the last step of its tile.
    pub is_last: bool,
}

/// The array.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Array {
    pipeline: VecDeque<Multiplication>,
    /// Until when cycles are counted as busy.
    counted_until: u64,
}

impl Array {
    /// Whether another one may enter.
    pub fn has_room(&self, spec: &CoreSpec) -> bool {
        self.pipeline.len() < spec.array_entries as usize
    }

    /// When the last one in it started; 0 if it is empty.
    pub fn last_start(&self) -> u64 {
        self.pipeline.back().map_or(0, |one| one.start)
    }

    /// Enters a multiplication; the cycles that it adds to those in which the array works.
    pub fn enter(&mut self, spec: &CoreSpec, now: u64, preload: bool, mut one: Multiplication) -> u64 {
        let (rows, columns) = (u64::from(spec.rows), u64::from(spec.columns));
        let least = |vectors: u32| u64::from(vectors.max(spec.least_vectors));
        one.start = match self.pipeline.back() {
            Some(before) => {
                let gap = least(before.vectors).max(if preload { rows } else { 0 });
                now.max(before.start + gap)
            }
            None => now + if preload { 2 * rows - 1 } else { 0 },
        };
        one.end = one.start + rows + columns - 2 + least(one.vectors);
        let busy = one.end - one.start.max(self.counted_until).min(one.end);
        self.counted_until = self.counted_until.max(one.end);
        self.pipeline.push_back(one);
        busy
    }

    /// The next one that has ended.
    pub fn retire(&mut self, now: u64) -> Option<Multiplication> {
        if self.pipeline.front()?.end <= now { self.pipeline.pop_front() } else { None }
    }

    /// When the next one ends.
    pub fn next_end(&self) -> Option<u64> {
        self.pipeline.front().map(|one| one.end)
    }
}
