//! Tags of a slice: set-associative, least recently used, a bit for each sector that is valid and one for each that is
//! dirty.

use protocol::ChannelInterleave;
use serde::{Deserialize, Serialize};

/// Bytes of a line.
pub const LINE_BYTES: u64 = 128;
/// Bytes of a sector.
pub const SECTOR_BYTES: u32 = 32;

const EMPTY: u64 = u64::MAX;

#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct State {
    used: u64,
    valid: u8,
    dirty: u8,
}

/// A line that had to make room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Evicted {
    pub line: u64,
    /// Sectors to be written back.
    pub dirty: u8,
}

/// The tags. A *line* is an address divided by the line size.
pub struct Tags {
    sets: ChannelInterleave,
    ways: usize,
    lines: Vec<u64>,
    states: Vec<State>,
    clock: u64,
    dirty_sectors: u64,
}

sim_core::saved!(Tags { sized: lines, states; state: clock, dirty_sectors; rebuilt: sets, ways });

impl Tags {
    /// Any number of sets; lines are spread over them by the same balanced hash as over slices.
    pub fn new(sets: u32, ways: u32) -> Self {
        let entries = sets as usize * ways as usize;
        Self {
            sets: ChannelInterleave::new(sets, LINE_BYTES as u32, true),
            ways: ways as usize,
            lines: vec![EMPTY; entries],
            states: vec![State::default(); entries],
            clock: 0,
            dirty_sectors: 0,
        }
    }

    /// First way of the set of a line, given the line's address within the slice.
    fn set(&self, local_address: u64) -> usize {
        self.sets.split(local_address).0 as usize * self.ways
    }

    fn find(&self, set: usize, line: u64) -> Option<usize> {
        self.lines[set..set + self.ways].iter().position(|&there| there == line).map(|way| set + way)
    }

    /// Valid sectors of a line; 0 if it is absent.
    pub fn valid(&self, line: u64, local_address: u64) -> u8 {
        self.find(self.set(local_address), line).map_or(0, |at| self.states[at].valid)
    }

    /// A line that is there becomes the most recently used.
    pub fn touch(&mut self, line: u64, local_address: u64) {
        if let Some(at) = self.find(self.set(local_address), line) {
            self.clock += 1;
            self.states[at].used = self.clock;
        }
    }

    /// Makes sectors valid, and dirty if written; the least recently used line of the set makes room if need be.
    pub fn put(&mut self, line: u64, local_address: u64, sectors: u8, written: bool) -> Option<Evicted> {
        let set = self.set(local_address);
        let mut evicted = None;
        let at = match self.find(set, line) {
            Some(at) => at,
            None => {
                let oldest = (set..set + self.ways).min_by_key(|&way| self.states[way].used).unwrap_or(set);
                let State { dirty, .. } = self.states[oldest];
                self.dirty_sectors -= u64::from(dirty.count_ones());
                evicted = (dirty != 0).then_some(Evicted { line: self.lines[oldest], dirty });
                self.lines[oldest] = line;
                self.states[oldest] = State::default();
                oldest
            }
        };
        self.clock += 1;
        let state = &mut self.states[at];
        state.used = self.clock;
        state.valid |= sectors;
        if written {
            self.dirty_sectors += u64::from((sectors & !state.dirty).count_ones());
            state.dirty |= sectors;
        }
        evicted
    }

    /// Sectors that memory does not have yet.
    pub fn dirty_sectors(&self) -> u64 {
        self.dirty_sectors
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Three sets of two ways against a list in order of use for each set.
        #[test]
        fn tags_agree_with_lists_in_order_of_use(
            steps in prop::collection::vec((0u64..20, 1u8..16, 0u8..3), 0..300),
        ) {
            let mut tags = Tags::new(3, 2);
            let mut sets: [Vec<(u64, u8, u8)>; 3] = Default::default();
            for (line, sectors, what) in steps {
                let address = line * LINE_BYTES;
                let set = &mut sets[tags.sets.split(address).0 as usize];
                let found = set.iter().position(|entry| entry.0 == line);
                if what == 0 {
                    let expected = found.map_or(0, |at| { let entry = set.remove(at); set.push(entry); entry.1 });
                    prop_assert_eq!(tags.valid(line, address), expected);
                    tags.touch(line, address);
                    continue;
                }
                let written = what == 2;
                let mut entry = found.map_or((line, 0, 0), |at| set.remove(at));
                entry.1 |= sectors;
                if written { entry.2 |= sectors; }
                let gone = (set.len() == 2).then(|| set.remove(0));
                set.push(entry);
                let expected = gone.filter(|gone| gone.2 != 0).map(|gone| Evicted { line: gone.0, dirty: gone.2 });
                prop_assert_eq!(tags.put(line, address, sectors, written), expected);
            }
            let dirty: u32 = sets.iter().flatten().map(|entry| entry.2.count_ones()).sum();
            prop_assert_eq!(tags.dirty_sectors(), u64::from(dirty));
        }
    }
}
