//! Splitting a system address over channels: of memory, or slices of a cache.
//!
//! ```text
//!   address ─▶ granule number ─▶ channel = hash(granule) mod channels ─▶ address inside the channel
//! ```
//!
//! Models: any number of channels (5 stacks x 16 included): the granule number is divided by the channels, the remainder
//! rotated by a hash of the quotient, so that power-of-two strides do not stay on one channel.
//! Leaves out: vendors' own hashes.
//! Canonical tests: `strides_spread`, `is_a_bijection`.

use std::ops::Range;

/// Spreads addresses over channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChannelInterleave {
    channels: u64,
    granule_bits: u32,
    hashed: bool,
}

impl ChannelInterleave {
    /// `granule_bytes` (a power of two) stay together on one channel. With `hashed`, upper address bits choose the
    /// channel too; without, the channel is the low bits as in Ramulator 2's `CacheLineInterleave`.
    pub fn new(channels: u32, granule_bytes: u32, hashed: bool) -> Self {
        ChannelInterleave { channels: u64::from(channels), granule_bits: granule_bytes.trailing_zeros(), hashed }
    }

    /// Channel and byte address inside it.
    #[inline]
    pub fn split(&self, address: u64) -> (u32, u64) {
        let granule = address >> self.granule_bits;
        let (quotient, remainder) = (granule / self.channels, granule % self.channels);
        let turn = if self.hashed { fold(quotient) % self.channels } else { 0 };
        let channel = (remainder + turn) % self.channels;
        let offset = address & ((1 << self.granule_bits) - 1);
        (channel as u32, quotient << self.granule_bits | offset)
    }

    /// The addresses of a range that one channel has: a run for each of its granules, from below.
    pub fn of_channel(&self, channel: u32, range: Range<u64>) -> impl Iterator<Item = Range<u64>> + use<> {
        let map = *self;
        let quotient_of = |address: u64| (address >> map.granule_bits) / map.channels;
        let (first, last) = (quotient_of(range.start), quotient_of(range.end.saturating_sub(1).max(range.start)));
        (first..=last).filter_map(move |quotient| {
            let turn = if map.hashed { fold(quotient) % map.channels } else { 0 };
            let remainder = (u64::from(channel) + map.channels - turn) % map.channels;
            let start = (quotient * map.channels + remainder) << map.granule_bits;
            let run = start.max(range.start)..(start + (1 << map.granule_bits)).min(range.end);
            (!run.is_empty()).then_some(run)
        })
    }
}

/// Mixes all bits of a number into its low ones (the finaliser of SplitMix64, Steele et al. 2014).
#[inline]
fn fold(x: u64) -> u64 {
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn is_a_bijection() {
        for hashed in [false, true] {
            let map = ChannelInterleave::new(80, 256, hashed);
            let seen: BTreeSet<(u32, u64)> = (0..80 * 64 * 8).map(|i| map.split(i * 32)).collect();
            assert_eq!(seen.len(), 80 * 64 * 8);
        }
    }

    #[test]
    fn a_range_is_divided_among_the_channels() {
        for (range, hashed) in [(1000..300_000, true), (0..256, false), (77..78, true), (512..512, true)] {
            let map = ChannelInterleave::new(80, 256, hashed);
            let mut all = BTreeSet::new();
            for channel in 0..80 {
                for run in map.of_channel(channel, range.clone()) {
                    for address in run {
                        assert_eq!(map.split(address).0, channel);
                        assert!(all.insert(address));
                    }
                }
            }
            assert!(all.into_iter().eq(range));
        }
    }

    #[test]
    fn strides_spread() {
        let map = ChannelInterleave::new(80, 256, true);
        for shift in 8..24 {
            let mut load = [0u32; 80];
            for i in 0..8000u64 {
                load[map.split(i << shift).0 as usize] += 1;
            }
            // 100 a channel on average; five standard deviations of a random spread.
            assert!(load.iter().all(|l| (50..=150).contains(l)), "stride 2^{shift}: {load:?}");
        }
    }
}
