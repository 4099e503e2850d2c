//! A rate in bytes a cycle, whole or not.

/// Bytes that may still be moved, in units of 1/1024 byte so that a fractional rate does not drift.
#[derive(Clone, Copy, Debug)]
pub struct Bandwidth {
    per_cycle: u64,
    left: i64,
    at: u64,
}

const FRACTION: u64 = 1024;

sim_core::saved!(Bandwidth { state: left, at; rebuilt: per_cycle });

impl Bandwidth {
    /// A rate given in GB/s, at a clock.
    pub fn of_gb_per_s(gb_per_s: f64, clock_hz: u64) -> Self {
        Self::of_bytes_per_cycle(gb_per_s * 1e9 / clock_hz as f64)
    }

    /// A rate in bytes a cycle.
    pub fn of_bytes_per_cycle(bytes: f64) -> Self {
        let per_cycle = (bytes * FRACTION as f64).round() as u64;
        Self { per_cycle, left: per_cycle as i64, at: 0 }
    }

    /// Whether nothing ever passes.
    pub fn is_zero(&self) -> bool {
        self.per_cycle == 0
    }

    /// Earns what the cycles since the last call bring. Nothing is saved up while idle: at most one cycle's worth.
    #[inline]
    pub fn advance(&mut self, now: u64) {
        let earned = (now - self.at).saturating_mul(self.per_cycle).min(i64::MAX as u64 / 2);
        self.left = (self.left + earned as i64).min(self.per_cycle as i64);
        self.at = now;
    }

    /// Whether something may be moved in the cycle of the last [`Bandwidth::advance`].
    #[inline]
    pub fn is_open(&self) -> bool {
        self.left > 0
    }

    /// May go below zero: what is larger than what is left passes, and later cycles pay the debt.
    #[inline]
    pub fn spend(&mut self, bytes: u32) {
        self.left -= i64::from(bytes) * FRACTION as i64;
    }

    /// First cycle in which something passes again.
    pub fn opens_at(&self) -> u64 {
        if self.is_open() { self.at } else { self.at + self.left.unsigned_abs() / self.per_cycle + 1 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2.5 bytes a cycle: requests of 10 bytes pass every 4 cycles, and idle cycles earn nothing.
    #[test]
    fn a_debt_is_paid_by_later_cycles() {
        let mut rate = Bandwidth::of_bytes_per_cycle(2.5);
        let mut passed = Vec::new();
        for now in 100..120 {
            rate.advance(now);
            if rate.is_open() {
                rate.spend(10);
                passed.push(now);
                assert_eq!(rate.opens_at(), now + 4);
            }
        }
        assert_eq!(passed, [100, 104, 108, 112, 116]);
    }
}
