//! Simulated time: edges of one clock ([`Cycle`]) and femtoseconds of the whole machine ([`Femtos`]).

use serde::{Deserialize, Serialize};
use std::fmt;
use std::ops::{Add, AddAssign, Sub};

/// Counts the edges of one clock domain. Edge 0 is at time zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Cycle(pub u64);

/// A point in time or a duration in femtoseconds (10⁻¹⁵ s); 64 bits hold five hours of simulated time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Femtos(pub u64);

impl Cycle {
    /// Later than every cycle a run can reach.
    pub const NEVER: Cycle = Cycle(u64::MAX);

    /// Cycles since `earlier`; zero if `earlier` is later.
    pub fn since(self, earlier: Cycle) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl Femtos {
    /// Later than every time a run can reach.
    pub const NEVER: Femtos = Femtos(u64::MAX);
    /// Femtoseconds in a second.
    pub const PER_SECOND: u64 = 1_000_000_000_000_000;

    /// From whole nanoseconds.
    pub const fn from_ns(ns: u64) -> Femtos {
        Femtos(ns.saturating_mul(1_000_000))
    }

    /// From whole microseconds.
    pub const fn from_us(us: u64) -> Femtos {
        Femtos(us.saturating_mul(1_000_000_000))
    }

    /// In nanoseconds, for reports.
    pub fn as_ns(self) -> f64 {
        self.0 as f64 / 1e6
    }

    /// In seconds, for reports.
    pub fn as_seconds(self) -> f64 {
        self.0 as f64 / Self::PER_SECOND as f64
    }
}

impl Add<u64> for Cycle {
    type Output = Cycle;
    fn add(self, cycles: u64) -> Cycle {
        Cycle(self.0 + cycles)
    }
}

impl AddAssign<u64> for Cycle {
    fn add_assign(&mut self, cycles: u64) {
        self.0 += cycles;
    }
}

/// Cycles between two edges; panics in debug builds if the right one is later.
impl Sub for Cycle {
    type Output = u64;
    fn sub(self, earlier: Cycle) -> u64 {
        self.0 - earlier.0
    }
}

impl Add for Femtos {
    type Output = Femtos;
    fn add(self, other: Femtos) -> Femtos {
        Femtos(self.0.saturating_add(other.0))
    }
}

impl Sub for Femtos {
    type Output = Femtos;
    fn sub(self, earlier: Femtos) -> Femtos {
        Femtos(self.0 - earlier.0)
    }
}

impl fmt::Display for Cycle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cycle {}", self.0)
    }
}

impl fmt::Display for Femtos {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fs = self.0;
        match fs {
            0..=999 => write!(f, "{fs} fs"),
            1_000..=999_999 => write!(f, "{:.3} ps", fs as f64 / 1e3),
            1_000_000..=999_999_999 => write!(f, "{:.3} ns", fs as f64 / 1e6),
            1_000_000_000..=999_999_999_999 => write!(f, "{:.3} us", fs as f64 / 1e9),
            1_000_000_000_000..=999_999_999_999_999 => write!(f, "{:.3} ms", fs as f64 / 1e12),
            _ => write!(f, "{:.6} s", fs as f64 / 1e15),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_print_with_a_unit_that_fits() {
        assert_eq!(Femtos(12).to_string(), "12 fs");
        assert_eq!(Femtos::from_ns(13).to_string(), "13.000 ns");
        assert_eq!(Femtos::from_us(2_500).to_string(), "2.500 ms");
        assert_eq!(Cycle(7).to_string(), "cycle 7");
    }
}
