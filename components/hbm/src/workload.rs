//! A synthetic workload in one line of text: `rand_rw21 requests=50000 seed=1 outstanding=16 pace=400/1`.
//!
//! ```text
//!   text ─▶ stream, arrival, limit ─▶ `generator`, `driver`
//! ```
//!
//! Models: stream name first, then `key=value` words in any order.
//! Leaves out: trace files (`trace`).
//! Canonical tests: below, and the golden suite, whose cases are written this way.

use std::str::FromStr;

use crate::driver::DriverSpec;
use crate::generator::{Arrival, StreamKind, StreamSpec};

/// A stream and how it is driven.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Workload {
    /// The stream.
    pub stream: StreamSpec,
    /// The driver's limits.
    pub driver: DriverSpec,
}

/// What is wrong with a workload line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WorkloadError {
    /// Nothing there.
    #[error("an empty workload (a stream name and its parameters, such as `rand_read requests=100000`)")]
    Empty,
    /// The first word is no stream.
    #[error(transparent)]
    Stream(#[from] crate::generator::UnknownStream),
    /// A word that is not understood.
    #[error(
        "`{word}`: {why} (requests=N, seed=N, outstanding=N, per_tick=N, pace=TICKS/REQUESTS, burst=LENGTH/GAP, footprint=BYTES)"
    )]
    Word {
        /// The word.
        word: String,
        /// What is wrong with it.
        why: &'static str,
    },
}

impl FromStr for Workload {
    type Err = WorkloadError;

    fn from_str(text: &str) -> Result<Self, WorkloadError> {
        let mut words = text.split_whitespace();
        let kind: StreamKind = words.next().ok_or(WorkloadError::Empty)?.parse()?;
        let mut workload = Workload {
            stream: StreamSpec {
                kind,
                requests: 100_000,
                seed: 1,
                arrival: Arrival::Saturating,
                footprint_bytes: None,
            },
            driver: DriverSpec { requests_per_tick: 8, max_outstanding: None },
        };
        for word in words {
            workload.set(word).map_err(|why| WorkloadError::Word { word: word.to_string(), why })?;
        }
        Ok(workload)
    }
}

impl Workload {
    fn set(&mut self, word: &str) -> Result<(), &'static str> {
        let (key, value) = word.split_once('=').ok_or("not a key=value")?;
        let number = |v: &str| v.parse::<u64>().map_err(|_| "not a whole number");
        let positive = |v: &str| number(v).and_then(|n| if n == 0 { Err("zero") } else { Ok(n) });
        let pair = |v: &str| {
            let (a, b) = v.split_once('/').ok_or("not two numbers with a slash")?;
            Ok::<_, &'static str>((number(a)?, positive(b)?))
        };
        match key {
            "requests" => self.stream.requests = positive(value)?,
            "seed" => self.stream.seed = number(value)?,
            "outstanding" => self.driver.max_outstanding = Some(positive(value)?),
            "per_tick" => self.driver.requests_per_tick = positive(value)?.min(1 << 20) as u32,
            "pace" => {
                let (numerator, denominator) = pair(value)?;
                self.stream.arrival = Arrival::Paced { numerator, denominator };
            }
            "burst" => {
                let (length, gap_ticks) = pair(value)?;
                self.stream.arrival = Arrival::Bursts { length: length.max(1), gap_ticks };
            }
            "footprint" => self.stream.footprint_bytes = Some(positive(value)?),
            _ => return Err("not a parameter"),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_line() {
        let w: Workload = "stride4096 requests=7 seed=3 outstanding=2 pace=400/3 footprint=8192".parse().unwrap();
        assert_eq!(w.stream.kind, StreamKind::Stride { bytes: 4096 });
        assert_eq!(w.stream.arrival, Arrival::Paced { numerator: 400, denominator: 3 });
        assert_eq!(w.driver.max_outstanding, Some(2));
    }

    #[test]
    fn names_what_is_wrong() {
        let error = |text: &str| text.parse::<Workload>().unwrap_err().to_string();
        assert!(error("rnd_read").contains("rand_read"));
        assert!(error("rand_read pace=3").starts_with("`pace=3`: not two numbers"));
        assert!(error("rand_read requests=0").starts_with("`requests=0`: zero"));
    }
}
