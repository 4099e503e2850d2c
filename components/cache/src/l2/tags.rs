//! Tags of a slice: set-associative, least recently used, a bit for each sector that is valid and one for each that is
//! dirty.

use protocol::ChannelInterleave;
use serde::{Deserialize, Serialize};

/// Bytes of a line.
pub const LINE_BYTES: u64 = 128;
/// Bytes of a sector.
pub const SECTOR_BYTES: u32 = 32;

/// A line, its dirty and its valid sectors, from the top in 48, 8 and 8 bits: sixteen ways are two lines of the host's.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Way(u64);

impl Way {
    const EMPTY: Self = Self(u64::MAX << 16);

    fn of(line: u64) -> Self {
        debug_assert!(line < Self::EMPTY.line(), "line {line:#x} is none of an address of 55 bits");
        Self(line << 16)
    }

    const fn line(self) -> u64 {
        self.0 >> 16
    }

    fn dirty(self) -> u8 {
        (self.0 >> 8) as u8
    }

    fn valid(self) -> u8 {
        self.0 as u8
    }

    fn with(self, dirty: u8, valid: u8) -> Self {
        Self(self.0 | u64::from(dirty) << 8 | u64::from(valid))
    }
}

/// A line that had to make room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Evicted {
    pub line: u64,
    /// Sectors to be written back.
    pub dirty: u8,
}

/// Where a line is, until the tags change.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    set: usize,
    at: usize,
}

/// The tags. A *line* is an address divided by the line size.
pub struct Tags {
    sets: ChannelInterleave,
    ways: usize,
    /// Set by set, in each the most recently used first.
    lines: Vec<Way>,
    dirty_sectors: u64,
}

sim_core::saved!(Tags { sized: lines; state: dirty_sectors; rebuilt: sets, ways });

impl Tags {
    /// Any number of sets; lines are spread over them by the same balanced hash as over slices.
    pub fn new(sets: u32, ways: u32) -> Self {
        Self {
            sets: ChannelInterleave::new(sets, LINE_BYTES as u32, true),
            ways: ways as usize,
            lines: vec![Way::EMPTY; sets as usize * ways as usize],
            dirty_sectors: 0,
        }
    }

    /// First way of the set of a line, given the line's address within the slice.
    fn set(&self, local_address: u64) -> usize {
        self.sets.split(local_address).0 as usize * self.ways
    }

    fn find_in(&self, set: usize, line: u64) -> Option<Place> {
        let found = self.lines[set..set + self.ways].iter().position(|there| there.line() == line)?;
        Some(Place { set, at: set + found })
    }

    /// Where a line is.
    pub fn find(&self, line: u64, local_address: u64) -> Option<Place> {
        self.find_in(self.set(local_address), line)
    }

    /// Valid sectors of a line; 0 if it is absent.
    pub fn valid(&self, place: Option<Place>) -> u8 {
        place.map_or(0, |Place { at, .. }| self.lines[at].valid())
    }

    /// A line that is there becomes the most recently used.
    pub fn touch(&mut self, Place { set, at }: Place) {
        if at > set {
            let touched = self.lines[at];
            self.lines.copy_within(set..at, set + 1);
            self.lines[set] = touched;
        }
    }

    /// Makes sectors valid, and dirty if written; the least recently used line of the set makes room if need be.
    pub fn put(&mut self, line: u64, local_address: u64, sectors: u8, written: bool) -> Option<Evicted> {
        let set = self.set(local_address);
        let mut evicted = None;
        let place = self.find_in(set, line).unwrap_or_else(|| {
            let at = set + self.ways - 1;
            let last = std::mem::replace(&mut self.lines[at], Way::of(line));
            self.dirty_sectors -= u64::from(last.dirty().count_ones());
            evicted = (last.dirty() != 0).then_some(Evicted { line: last.line(), dirty: last.dirty() });
            Place { set, at }
        });
        self.touch(place);
        let way = &mut self.lines[set];
        let dirty = if written { sectors } else { 0 };
        self.dirty_sectors += u64::from((dirty & !way.dirty()).count_ones());
        *way = way.with(dirty, sectors);
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
                    let place = tags.find(line, address);
                    prop_assert_eq!(tags.valid(place), expected);
                    place.into_iter().for_each(|place| tags.touch(place));
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
