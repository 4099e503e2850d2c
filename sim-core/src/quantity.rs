//! Quantities with units: integers inside the model, floats only in reports. Conversions that can lose something say
//! so in their name.

use crate::time::{Cycle, Femtos};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::iter::Sum;
use std::ops::{Add, AddAssign, Mul, Sub};

macro_rules! quantity {
    ($(#[$doc:meta])* $name:ident, $unit:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub u64);

        impl $name {
            /// None of it.
            pub const ZERO: $name = $name(0);
            /// The unit as printed.
            pub const UNIT: &'static str = $unit;
        }
        impl Add for $name {
            type Output = $name;
            fn add(self, other: $name) -> $name {
                $name(self.0 + other.0)
            }
        }
        impl AddAssign for $name {
            fn add_assign(&mut self, other: $name) {
                self.0 += other.0;
            }
        }
        impl Sub for $name {
            type Output = $name;
            fn sub(self, other: $name) -> $name {
                $name(self.0 - other.0)
            }
        }
        impl Mul<u64> for $name {
            type Output = $name;
            fn mul(self, times: u64) -> $name {
                $name(self.0 * times)
            }
        }
        impl Sum for $name {
            fn sum<I: Iterator<Item = $name>>(all: I) -> $name {
                all.fold($name(0), Add::add)
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{} {}", self.0, $unit)
            }
        }
    };
}

quantity!(
    /// A duration in cycles of one clock.
    Cycles,
    "cycles"
);
quantity!(
    /// An amount of data.
    Bytes,
    "bytes"
);
quantity!(
    /// A frequency.
    Hertz,
    "Hz"
);
quantity!(
    /// Bandwidth relative to a clock.
    BytesPerCycle,
    "bytes/cycle"
);
quantity!(
    /// Energy.
    Picojoules,
    "pJ"
);

impl Add<Cycles> for Cycle {
    type Output = Cycle;
    fn add(self, d: Cycles) -> Cycle {
        Cycle(self.0 + d.0)
    }
}

impl Cycles {
    /// Duration at a constant frequency, rounded down to a femtosecond.
    pub fn at_floor(self, clock: Hertz) -> Femtos {
        let fs = u128::from(self.0) * u128::from(Femtos::PER_SECOND) / u128::from(clock.0);
        Femtos(u64::try_from(fs).unwrap_or(u64::MAX))
    }

    /// Cycles needed to cover `t` at a constant frequency, rounded up.
    pub fn ceil_of(t: Femtos, clock: Hertz) -> Cycles {
        let cycles = (u128::from(t.0) * u128::from(clock.0)).div_ceil(u128::from(Femtos::PER_SECOND));
        Cycles(cycles as u64)
    }
}

impl Bytes {
    /// From KiB (1024 bytes).
    pub const fn kib(n: u64) -> Bytes {
        Bytes(n * 1024)
    }

    /// From MiB.
    pub const fn mib(n: u64) -> Bytes {
        Bytes(n * 1024 * 1024)
    }

    /// Cycles to move this much at `rate`, rounded up.
    pub fn cycles_ceil(self, rate: BytesPerCycle) -> Cycles {
        Cycles(self.0.div_ceil(rate.0))
    }

    /// Average bandwidth over `t` in GB/s (10⁹ bytes), for reports.
    pub fn gb_per_s_over(self, t: Femtos) -> f64 {
        if t.0 == 0 { 0.0 } else { self.0 as f64 / t.as_seconds() / 1e9 }
    }
}

impl Hertz {
    /// From whole megahertz.
    pub const fn mhz(n: u64) -> Hertz {
        Hertz(n * 1_000_000)
    }

    /// In GHz, for reports.
    pub fn as_ghz(self) -> f64 {
        self.0 as f64 / 1e9
    }
}

impl BytesPerCycle {
    /// Bytes moved in `n` cycles.
    pub fn over(self, n: Cycles) -> Bytes {
        Bytes(self.0 * n.0)
    }

    /// From GB/s (10⁹ bytes) at a clock, rounded down to a whole byte a cycle.
    pub fn floor_of_gb_per_s(gb_per_s: u64, clock: Hertz) -> BytesPerCycle {
        BytesPerCycle((u128::from(gb_per_s) * 1_000_000_000 / u128::from(clock.0)) as u64)
    }

    /// In GB/s at a clock, for reports.
    pub fn as_gb_per_s(self, clock: Hertz) -> f64 {
        self.0 as f64 * clock.0 as f64 / 1e9
    }
}

impl Picojoules {
    /// Average power over `t` in watts, for reports.
    pub fn watts_over(self, t: Femtos) -> f64 {
        if t.0 == 0 { 0.0 } else { self.0 as f64 * 1e-12 / t.as_seconds() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conversions_round_the_way_their_names_say() {
        let clock = Hertz::mhz(1_755);
        assert_eq!(Cycles(1).at_floor(clock), Femtos(569_800));
        assert_eq!(Cycles::ceil_of(Femtos(569_800), clock), Cycles(1));
        assert_eq!(Cycles::ceil_of(Femtos(569_801), clock), Cycles(2));
        assert_eq!(Bytes(65).cycles_ceil(BytesPerCycle(32)), Cycles(3));
        assert_eq!(BytesPerCycle::floor_of_gb_per_s(2_000, clock), BytesPerCycle(1_139));
        assert_eq!(BytesPerCycle(64).over(Cycles(3)), Bytes(192));
    }

    #[test]
    fn reports_use_decimal_gigabytes_and_watts() {
        assert_eq!(Bytes(3_000).gb_per_s_over(Femtos::from_us(1)), 3.0);
        assert_eq!(Picojoules(5_000_000).watts_over(Femtos::from_us(1)), 5.0);
        assert_eq!(Bytes::kib(2).to_string(), "2048 bytes");
    }
}
