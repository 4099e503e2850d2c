//! Fixed-latency constant cache of a sub-core, looked up at issue.

use super::line_set::LineSet;
use super::spec::{CacheShape, ConstantCache};
use super::subcore::Mask;

pub(crate) struct FixedConstants {
    lines: LineSet,
    shape: CacheShape,
    perfect: bool,
    recent: u64,
    pending: Vec<(u64, Mask)>,
}

sim_core::saved!(FixedConstants { state: lines, recent, pending; rebuilt: shape, perfect });

impl FixedConstants {
    pub fn new(spec: &ConstantCache) -> Self {
        let shape = spec.fixed_latency;
        Self {
            lines: LineSet::new(shape.sets, shape.ways),
            shape,
            perfect: spec.perfect,
            recent: u64::MAX,
            pending: Vec::new(),
        }
    }

    /// The line's number over all kernels.
    pub fn key(&self, constant_address: u64, line: u32) -> u64 {
        (constant_address >> self.shape.line_bytes.trailing_zeros()) + u64::from(line)
    }

    #[inline]
    pub fn holds(&mut self, key: u64) -> bool {
        if self.perfect || key == self.recent {
            return true;
        }
        let hit = self.lines.touch(key);
        if hit {
            self.recent = key;
        }
        hit
    }

    /// As [`FixedConstants::holds`], but does not count as a use.
    pub fn would_hold(&self, key: u64) -> bool {
        self.perfect || key == self.recent || self.lines.holds(key)
    }

    /// Notes who waits for an absent line; true if it was not asked for before.
    pub fn ask(&mut self, key: u64, warp: Mask) -> bool {
        if let Some((_, waiting)) = self.pending.iter_mut().find(|(pending, _)| *pending == key) {
            *waiting |= warp;
            return false;
        }
        self.pending.push((key, warp));
        true
    }

    /// The line has come; who waited for it.
    pub fn filled(&mut self, key: u64) -> Mask {
        self.warm(key);
        match self.pending.iter().position(|(pending, _)| *pending == key) {
            Some(at) => self.pending.swap_remove(at).1,
            None => 0,
        }
    }

    pub fn warm(&mut self, key: u64) {
        // The most recent line may be the one that this fill evicts.
        self.recent = u64::MAX;
        self.lines.fill(key);
    }
}
