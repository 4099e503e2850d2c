//! Which lines a cache of whole lines holds: instruction and constant caches.

use sim_core::prefetch;

/// No line.
const EMPTY: u64 = u64::MAX;
/// As many lines of the host's cache hold what small kernels need of one of these caches.
const LINES_AHEAD: usize = 6;

/// Set-associative tags without sectors, least recently used. A *line* is an address divided by the line size.
///
/// The first ways of all sets stand together, and a set's lines in the order of their use: what a small kernel needs is a few
/// lines of the host's cache.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub(crate) struct LineSet {
    /// Way after way; the most recently used line of a set first, places that are not filled last.
    lines: Vec<u64>,
    sets: usize,
}

impl LineSet {
    /// `sets` is a power of two.
    pub fn new(sets: u32, ways: u32) -> Self {
        Self { lines: vec![EMPTY; (sets * ways) as usize], sets: sets as usize }
    }

    /// Asks the host's caches for what the next lookups will look at.
    #[inline]
    pub fn prefetch(&self) {
        const LINES_A_CACHE_LINE: usize = 64 / size_of::<u64>();
        for ahead in 0..LINES_AHEAD.min(self.lines.len() / LINES_A_CACHE_LINE) {
            prefetch(self.lines.as_ptr().wrapping_add(ahead * LINES_A_CACHE_LINE));
        }
    }

    fn set_of(&self, line: u64) -> usize {
        line as usize & (self.sets - 1)
    }

    /// Where a line stands.
    #[inline]
    fn find(&self, line: u64) -> Option<usize> {
        let mut at = self.set_of(line);
        while let Some(&held) = self.lines.get(at) {
            if held == line {
                return Some(at);
            }
            if held == EMPTY {
                return None;
            }
            at += self.sets;
        }
        None
    }

    /// Whether a line is there; it becomes the most recently used.
    #[inline]
    pub fn touch(&mut self, line: u64) -> bool {
        match self.find(line) {
            Some(at) => {
                self.put_first(line, at);
                true
            }
            None => false,
        }
    }

    /// Whether a line is there; who looks leaves no trace.
    pub fn holds(&self, line: u64) -> bool {
        self.find(line).is_some()
    }

    /// Adds a line, which takes the place of the least recently used one of its set if it is absent.
    pub fn fill(&mut self, line: u64) {
        if !self.touch(line) {
            self.put_first(line, self.lines.len() - self.sets + self.set_of(line));
        }
    }

    /// A line becomes the first of its set, and those before place `last` move up by one.
    #[inline]
    fn put_first(&mut self, line: u64, last: usize) {
        let (mut at, mut displaced) = (self.set_of(line), line);
        while at <= last {
            displaced = std::mem::replace(&mut self.lines[at], displaced);
            at += self.sets;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn sets_agree_with_a_list_in_order_of_use(steps in prop::collection::vec((0u64..24, any::<bool>()), 0..300)) {
            let mut lines = LineSet::new(2, 4);
            let mut sets: [Vec<u64>; 2] = [vec![], vec![]];
            for (line, fills) in steps {
                let set = &mut sets[(line & 1) as usize];
                let found = set.iter().position(|&held| held == line);
                prop_assert_eq!(lines.holds(line), found.is_some());
                if let Some(at) = found {
                    set.remove(at);
                }
                if fills {
                    lines.fill(line);
                    if set.len() == 4 { set.remove(0); }
                } else {
                    prop_assert_eq!(lines.touch(line), found.is_some());
                }
                if fills || found.is_some() {
                    set.push(line);
                }
            }
        }
    }
}
