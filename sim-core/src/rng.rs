//! Placed randomness: every component draws from a stream of its own, seeded by the run's seed and its path, so that
//! adding a component shifts no other's stream. The generator is PCG64-DXSM; the distributions are ours and tested
//! against fixed values, because published numbers depend on them.

use rand_core::Rng as _;
use rand_pcg::Pcg64Dxsm;
use serde::{Deserialize, Serialize};

/// A component's stream of random numbers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rng(Pcg64Dxsm);

impl Rng {
    /// The stream of `path` in a run with `seed`.
    pub fn placed(seed: u64, path: &str) -> Rng {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&seed.to_le_bytes());
        hasher.update(path.as_bytes());
        let hash = *hasher.finalize().as_bytes();
        let word = |i: usize| u128::from_le_bytes(hash[i * 16..(i + 1) * 16].try_into().expect("16 bytes"));
        Rng(Pcg64Dxsm::new(word(0), word(1)))
    }

    /// 64 random bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// Uniform below `n` (at least 1), without bias (Lemire, ACM TOMACS 29(1), 2019).
    pub fn below(&mut self, n: u64) -> u64 {
        assert!(n > 0, "nothing lies below zero");
        let mut wide = u128::from(self.next_u64()) * u128::from(n);
        if (wide as u64) < n {
            let reject = n.wrapping_neg() % n;
            while (wide as u64) < reject {
                wide = u128::from(self.next_u64()) * u128::from(n);
            }
        }
        (wide >> 64) as u64
    }

    /// Uniform in `[0, 1)`, 53 bits.
    pub fn unit(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 * (1.0 / (1_u64 << 53) as f64)
    }

    /// True with probability `p`.
    pub fn chance(&mut self, p: f64) -> bool {
        self.unit() < p
    }

    /// Trials up to and including the first success of probability `p`: the gap of a Bernoulli process. At least 1;
    /// `u64::MAX` if `p` is not positive.
    pub fn gap(&mut self, p: f64) -> u64 {
        if p >= 1.0 {
            return 1;
        }
        if p <= 0.0 {
            return u64::MAX;
        }
        let u = 1.0 - self.unit();
        let trials = (u.ln() / (-p).ln_1p()).floor();
        if trials >= 1e18 { u64::MAX } else { trials as u64 + 1 }
    }

    /// A random order of `items` (Fisher and Yates).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.below(i as u64 + 1) as usize);
        }
    }
}
