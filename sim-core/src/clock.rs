//! Clock domains with exact edges.
//!
//! Edge `n` of a clock of `hz` hertz is at `floor(n · 10¹⁵ / hz)` femtoseconds, computed in 128 bits, so that it
//! never drifts. A frequency may change at run time (D9): the clock is piecewise constant, the new piece starts at
//! the first edge at or after the change, and cycle numbers go on counting.

use crate::time::{Cycle, Femtos};

/// Number of a clock domain within its machine, in the order of the names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DomainId(pub u8);

/// One clock domain.
#[derive(Clone, Debug)]
pub struct ClockDomain {
    /// Its number.
    pub id: DomainId,
    hertz: u64,
    /// First edge of the present piece and its time.
    piece: (Cycle, Femtos),
    /// Whole femtoseconds of a period, the remainder over `hertz`, and the last edge handed out by [`Self::edge`]
    /// with its remainder: the next edge then needs an addition instead of a 128-bit division.
    step: (u64, u64),
    last: (u64, u64, u64),
}

impl ClockDomain {
    /// A clock of `hertz` (at least 1) with edge 0 at time zero.
    pub fn new(id: DomainId, hertz: u64) -> ClockDomain {
        assert!(hertz > 0, "a clock needs a frequency");
        let step = (Femtos::PER_SECOND / hertz, Femtos::PER_SECOND % hertz);
        ClockDomain { id, hertz, piece: (Cycle(0), Femtos(0)), step, last: (0, 0, 0) }
    }

    /// Present frequency.
    pub fn hertz(&self) -> u64 {
        self.hertz
    }

    /// Time of edge `c`, which must not lie before the present piece.
    pub fn edge(&self, c: Cycle) -> Femtos {
        let n = c.0.checked_sub(self.piece.0.0).expect("an edge before the present frequency was asked for");
        let fs = u128::from(n) * u128::from(Femtos::PER_SECOND) / u128::from(self.hertz);
        Femtos(u64::try_from(fs).map_or(u64::MAX, |fs| self.piece.1.0.saturating_add(fs)))
    }

    /// Same as [`Self::edge`], cheap when asked for consecutive edges.
    pub(crate) fn edge_in_sequence(&mut self, c: Cycle) -> Femtos {
        let (cycle, time, remainder) = self.last;
        if c.0 == cycle {
            return Femtos(time);
        }
        if c.0 == cycle + 1 {
            let mut t = time + self.step.0;
            let mut r = remainder + self.step.1;
            if r >= self.hertz {
                r -= self.hertz;
                t += 1;
            }
            self.last = (c.0, t, r);
            return Femtos(t);
        }
        let time = self.edge(c);
        let n = u128::from(c.0 - self.piece.0.0) * u128::from(Femtos::PER_SECOND);
        self.last = (c.0, time.0, (n % u128::from(self.hertz)) as u64);
        time
    }

    /// The first edge strictly after `t`.
    pub fn first_edge_after(&self, t: Femtos) -> Cycle {
        let (c0, t0) = self.piece;
        if t < t0 {
            return c0;
        }
        // The smallest k with floor(k·10¹⁵/hz) ≥ d, where d = t − t0 + 1.
        let d = u128::from((t - t0).0) + 1;
        let k = (d * u128::from(self.hertz)).div_ceil(u128::from(Femtos::PER_SECOND));
        Cycle(c0.0 + k as u64)
    }

    /// The first edge at or after `t`.
    pub fn first_edge_at_or_after(&self, t: Femtos) -> Cycle {
        if t.0 == 0 { self.piece.0 } else { self.first_edge_after(Femtos(t.0 - 1)) }
    }

    /// The last edge at or before `t`; edge 0 is the earliest.
    pub fn last_edge_at_or_before(&self, t: Femtos) -> Cycle {
        Cycle(self.first_edge_after(t).0.saturating_sub(1))
    }

    /// Whole cycles needed to cover `t` at the present frequency, rounded up.
    pub fn cycles_ceil(&self, t: Femtos) -> u64 {
        (u128::from(t.0) * u128::from(self.hertz)).div_ceil(u128::from(Femtos::PER_SECOND)) as u64
    }

    /// What is saved: frequency, and first edge of the present piece with its time.
    pub(crate) fn state(&self) -> (u64, Cycle, Femtos) {
        (self.hertz, self.piece.0, self.piece.1)
    }

    /// A clock that was saved; `None` if no clock is like that.
    pub(crate) fn restored(id: DomainId, (hertz, first, time): (u64, Cycle, Femtos)) -> Option<ClockDomain> {
        let clock = (hertz > 0).then(|| ClockDomain::new(id, hertz))?;
        Some(ClockDomain { piece: (first, time), last: (first.0, time.0, 0), ..clock })
    }

    /// Runs at `hertz` from the first edge at or after `t` on.
    pub(crate) fn set_frequency(&mut self, t: Femtos, hertz: u64) {
        assert!(hertz > 0, "a clock needs a frequency");
        let c0 = self.first_edge_at_or_after(t);
        let t0 = self.edge(c0);
        *self = ClockDomain { piece: (c0, t0), last: (c0.0, t0.0, 0), ..ClockDomain::new(self.id, hertz) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn edges_do_not_drift_in_a_simulated_hour() {
        // 1755 MHz: the period 569.8005698… ps is no whole number of femtoseconds.
        let mut clock = ClockDomain::new(DomainId(0), 1_755_000_000);
        let hour = 3_600 * 1_755_000_000_u64;
        assert_eq!(clock.edge(Cycle(hour)), Femtos(3_600 * Femtos::PER_SECOND));
        assert_eq!(clock.edge(Cycle(hour + 1)), Femtos(3_600 * Femtos::PER_SECOND + 569_800));
        // Stepping edge by edge through the last millisecond of the hour meets the same edges.
        let first = hour - 1_755_000;
        for c in first..=hour {
            assert_eq!(clock.edge_in_sequence(Cycle(c)), clock.edge(Cycle(c)), "at edge {c}");
        }
        assert_eq!(clock.first_edge_after(Femtos(3_600 * Femtos::PER_SECOND)), Cycle(hour + 1));
    }

    #[test]
    fn a_change_of_frequency_starts_at_an_edge_and_keeps_counting() {
        let mut clock = ClockDomain::new(DomainId(0), 1_000_000_000);
        clock.set_frequency(Femtos::from_ns(10) + Femtos(1), 500_000_000);
        assert_eq!(clock.edge(Cycle(11)), Femtos::from_ns(11));
        assert_eq!(clock.edge(Cycle(12)), Femtos::from_ns(13));
        assert_eq!(clock.first_edge_after(Femtos::from_ns(10)), Cycle(11));
        assert_eq!(clock.first_edge_after(Femtos::from_ns(11)), Cycle(12));
        assert_eq!(clock.last_edge_at_or_before(Femtos::from_ns(12)), Cycle(11));
    }

    proptest! {
        #[test]
        fn the_first_edge_after_a_time_is_the_first(hz in 1_u64..5_000_000_000, t in 0_u64..10_000_000_000_000_000) {
            let clock = ClockDomain::new(DomainId(0), hz);
            let c = clock.first_edge_after(Femtos(t));
            prop_assert!(clock.edge(c) > Femtos(t));
            prop_assert!(c.0 == 0 || clock.edge(Cycle(c.0 - 1)) <= Femtos(t));
            let d = clock.first_edge_at_or_after(Femtos(t));
            prop_assert!(clock.edge(d) >= Femtos(t));
            prop_assert!(d.0 == 0 || clock.edge(Cycle(d.0 - 1)) < Femtos(t));
        }

        #[test]
        fn stepping_meets_the_exact_edges(hz in 1_u64..5_000_000_000, start in 0_u64..1_000_000_000, n in 1_u64..200) {
            let mut clock = ClockDomain::new(DomainId(0), hz);
            for c in start..start + n {
                prop_assert_eq!(clock.edge_in_sequence(Cycle(c)), clock.edge(Cycle(c)));
            }
        }
    }
}
