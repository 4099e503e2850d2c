//! Cache tags: set-associative, least recently used, found by a small open-addressing table so that hundreds of ways
//! cost no more than two.

use sim_core::prefetch;

/// Finds numbers by line address. Fixed capacity, linear probing, no allocation after construction.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub(crate) struct LineMap {
    /// Line and number, side by side: a lookup is one line of the host's cache.
    slots: Vec<(u64, u32)>,
    mask: usize,
}

const EMPTY: u64 = u64::MAX;

impl LineMap {
    /// Room for `entries` lines at most half full.
    pub fn with_capacity(entries: usize) -> Self {
        let slots = (entries * 2).next_power_of_two().max(8);
        Self { slots: vec![(EMPTY, 0); slots], mask: slots - 1 }
    }

    /// Neighbouring lines, which are asked for one after the other, stand together in one line of the host's cache.
    fn home(&self, line: u64) -> usize {
        let group = (line >> 3).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        (group << 3 | line & 7) as usize & self.mask
    }

    /// Asks the host's caches for what [`LineMap::get`] will look at.
    #[inline]
    pub fn prefetch(&self, line: u64) {
        prefetch(self.slots.as_ptr().wrapping_add(self.home(line)));
    }

    #[inline]
    pub fn get(&self, line: u64) -> Option<u32> {
        let mut at = self.home(line);
        loop {
            match self.slots[at] {
                (key, value) if key == line => return Some(value),
                (EMPTY, _) => return None,
                _ => at = (at + 1) & self.mask,
            }
        }
    }

    /// Adds a line that is not there.
    pub fn insert(&mut self, line: u64, value: u32) {
        let mut at = self.home(line);
        while self.slots[at].0 != EMPTY {
            at = (at + 1) & self.mask;
        }
        self.slots[at] = (line, value);
    }

    pub fn remove(&mut self, line: u64) {
        let mut hole = self.home(line);
        while self.slots[hole].0 != line {
            if self.slots[hole].0 == EMPTY {
                return;
            }
            hole = (hole + 1) & self.mask;
        }
        // Closes the gap: what stands behind it moves up unless it is already at or past its home.
        let mut at = hole;
        loop {
            at = (at + 1) & self.mask;
            if self.slots[at].0 == EMPTY {
                break;
            }
            let home = self.home(self.slots[at].0);
            let distance_to_hole = hole.wrapping_sub(home) & self.mask;
            let distance_to_at = at.wrapping_sub(home) & self.mask;
            if distance_to_hole < distance_to_at {
                self.slots[hole] = self.slots[at];
                hole = at;
            }
        }
        self.slots[hole].0 = EMPTY;
    }
}

const NONE: u32 = u32::MAX;

#[derive(Clone, Copy, Debug, serde::Serialize, serde::Deserialize)]
struct Way {
    line: u64,
    newer: u32,
    older: u32,
    sectors: u8,
    /// Of those, written and not yet beyond this cache.
    dirty: u8,
}

/// A line with dirty sectors that had to make room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Evicted {
    pub line: u64,
    pub dirty: u8,
}

/// Ends of a set's list in order of use, and how many of its ways are filled.
#[derive(Clone, Copy, Debug, serde::Serialize, serde::Deserialize)]
struct Set {
    newest: u32,
    oldest: u32,
    used: u32,
}

/// Tags of a cache. A *line* is an address divided by the line size.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub(crate) struct Tags {
    map: LineMap,
    ways: Vec<Way>,
    sets: Vec<Set>,
    ways_per_set: u32,
    set_mask: u64,
}

impl Tags {
    pub fn new(sets: u32, ways: u32) -> Self {
        let lines = (sets * ways) as usize;
        let way = Way { line: EMPTY, newer: NONE, older: NONE, sectors: 0, dirty: 0 };
        Self {
            map: LineMap::with_capacity(lines),
            ways: vec![way; lines],
            sets: vec![Set { newest: NONE, oldest: NONE, used: 0 }; sets as usize],
            ways_per_set: ways,
            set_mask: u64::from(sets - 1),
        }
    }

    /// Asks the host's caches for what finding a line will look at.
    #[inline]
    pub fn prefetch(&self, line: u64) {
        self.map.prefetch(line);
    }

    /// Asks the host's caches for what adding a line will look at, as far as it can be told beforehand.
    #[inline]
    pub fn prefetch_fill(&self, line: u64) {
        self.map.prefetch(line);
        let set = &self.sets[(line & self.set_mask) as usize];
        for way in [set.newest, set.oldest] {
            prefetch(self.ways.as_ptr().wrapping_add(way as usize));
        }
    }

    /// Sectors that are present of a line; 0 if the line is absent. A present line becomes the most recently used.
    pub fn touch(&mut self, line: u64) -> u8 {
        match self.map.get(line) {
            None => 0,
            Some(way) => {
                self.renew(way, line);
                self.ways[way as usize].sectors
            }
        }
    }

    /// Adds sectors to a line, which takes the place of the least recently used one of its set if it is absent.
    pub fn fill(&mut self, line: u64, sectors: u8) -> Option<Evicted> {
        self.put(line, sectors, 0)
    }

    /// As [`Tags::fill`], with sectors that are written and stay here.
    pub fn write(&mut self, line: u64, sectors: u8) -> Option<Evicted> {
        self.put(line, sectors, sectors)
    }

    fn put(&mut self, line: u64, sectors: u8, dirty: u8) -> Option<Evicted> {
        if let Some(way) = self.map.get(line) {
            self.ways[way as usize].sectors |= sectors;
            self.ways[way as usize].dirty |= dirty;
            self.renew(way, line);
            return None;
        }
        let set = (line & self.set_mask) as usize;
        let mut evicted = None;
        let way = if self.sets[set].used < self.ways_per_set {
            let way = set as u32 * self.ways_per_set + self.sets[set].used;
            self.sets[set].used += 1;
            way
        } else {
            let way = self.sets[set].oldest;
            let Way { line, dirty, .. } = self.ways[way as usize];
            evicted = (dirty != 0).then_some(Evicted { line, dirty });
            self.map.remove(line);
            self.unlink(way, set);
            way
        };
        self.ways[way as usize] = Way { line, newer: NONE, older: NONE, sectors, dirty };
        self.link_newest(way, set);
        self.map.insert(line, way);
        evicted
    }

    fn renew(&mut self, way: u32, line: u64) {
        let set = (line & self.set_mask) as usize;
        if self.sets[set].newest != way {
            self.unlink(way, set);
            self.link_newest(way, set);
        }
    }

    fn unlink(&mut self, way: u32, set: usize) {
        let Way { newer, older, .. } = self.ways[way as usize];
        match newer {
            NONE => self.sets[set].newest = older,
            newer => self.ways[newer as usize].older = older,
        }
        match older {
            NONE => self.sets[set].oldest = newer,
            older => self.ways[older as usize].newer = newer,
        }
    }

    fn link_newest(&mut self, way: u32, set: usize) {
        let second = self.sets[set].newest;
        self.ways[way as usize].newer = NONE;
        self.ways[way as usize].older = second;
        match second {
            NONE => self.sets[set].oldest = way,
            second => self.ways[second as usize].newer = way,
        }
        self.sets[set].newest = way;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        #[test]
        fn the_map_agrees_with_an_ordered_map(steps in prop::collection::vec((0u64..40, any::<bool>()), 0..400)) {
            let (mut map, mut reference) = (LineMap::with_capacity(40), BTreeMap::new());
            for (step, (line, insert)) in steps.into_iter().enumerate() {
                if insert && !reference.contains_key(&line) {
                    map.insert(line, step as u32);
                    reference.insert(line, step as u32);
                } else if !insert {
                    map.remove(line);
                    reference.remove(&line);
                }
                for line in 0..40 {
                    prop_assert_eq!(map.get(line), reference.get(&line).copied());
                }
            }
        }

        #[test]
        fn tags_agree_with_a_list_in_order_of_use(steps in prop::collection::vec((0u64..24, 1u8..16), 0..300)) {
            let mut tags = Tags::new(2, 4);
            let mut sets: [Vec<(u64, u8)>; 2] = [vec![], vec![]];
            for (line, sectors) in steps {
                let set = &mut sets[(line & 1) as usize];
                let found = set.iter().position(|entry| entry.0 == line);
                let expected = found.map_or(0, |at| { let entry = set.remove(at); set.push(entry); entry.1 });
                prop_assert_eq!(tags.touch(line), expected);
                if sectors & !expected != 0 {
                    tags.fill(line, sectors);
                    if found.is_some() { set.pop(); } else if set.len() == 4 { set.remove(0); }
                    set.push((line, expected | sectors));
                }
            }
        }
    }
}
