//! Address translation: pages that are known, and asking for those that are not.
//!
//! Models: a buffer of translations, set-associative, least recently used. Leaves out: what the translation is; addresses stay
//! what they are, and a page that is not known costs time.
//! Canonical tests: `a_buffer_keeps_what_was_used_last`.

use serde::{Deserialize, Serialize};
use sim_core::Payload;

/// Asks for the translation of a page, by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TranslationRequest {
    pub page: u64,
}

impl Payload for TranslationRequest {
    const NAME: &'static str = "translation request";
}

/// The page is known now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TranslationResponse {
    pub page: u64,
}

impl Payload for TranslationResponse {
    const NAME: &'static str = "translation response";
}

const EMPTY: u64 = u64::MAX;

/// Pages whose translations are held (a TLB).
#[derive(Clone, Debug)]
pub struct TranslationBuffer {
    ways: usize,
    pages: Vec<u64>,
    used: Vec<u64>,
    clock: u64,
}

sim_core::saved!(TranslationBuffer { sized: pages, used; state: clock; rebuilt: ways });

impl TranslationBuffer {
    /// `entries` in sets of `ways`, which divide them.
    pub fn new(entries: u32, ways: u32) -> Self {
        let (ways, entries) = (ways as usize, entries as usize);
        Self { ways, pages: vec![EMPTY; entries], used: vec![0; entries], clock: 0 }
    }

    fn set(&self, page: u64) -> std::ops::Range<usize> {
        let sets = (self.pages.len() / self.ways) as u64;
        let first = (page % sets) as usize * self.ways;
        first..first + self.ways
    }

    /// Whether the page is held; it is then the one used last.
    pub fn touch(&mut self, page: u64) -> bool {
        let found = self.set(page).find(|&at| self.pages[at] == page);
        if let Some(at) = found {
            self.clock += 1;
            self.used[at] = self.clock;
        }
        found.is_some()
    }

    /// Holds a page from now on, in the place of the one of its set that was not used for the longest time.
    pub fn insert(&mut self, page: u64) {
        let set = self.set(page);
        let at = set.clone().min_by_key(|&at| self.used[at]).unwrap_or(set.start);
        self.clock += 1;
        (self.pages[at], self.used[at]) = (page, self.clock);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two sets of two: even pages and odd ones.
    #[test]
    fn a_buffer_keeps_what_was_used_last() {
        let mut buffer = TranslationBuffer::new(4, 2);
        for page in [0, 2, 1] {
            assert!(!buffer.touch(page));
            buffer.insert(page);
        }
        assert!(buffer.touch(0));
        buffer.insert(4);
        assert_eq!([0, 1, 2, 4].map(|page| buffer.touch(page)), [true, true, false, true]);
    }
}
