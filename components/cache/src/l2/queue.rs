//! What leaves in the order of its due cycles.

use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// Due cycle of what there is none of.
pub const NEVER: u64 = u64::MAX;

/// Items by due cycle. That of the oldest is at hand: whoever looks mostly finds it to be later.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TimedQueue<T> {
    first_due: u64,
    items: VecDeque<(u64, T)>,
}

impl<T> Default for TimedQueue<T> {
    fn default() -> Self {
        Self { first_due: NEVER, items: VecDeque::new() }
    }
}

impl<T: Copy> TimedQueue<T> {
    /// Adds an item, which is not due before the one added last.
    #[inline]
    pub fn push(&mut self, due: u64, item: T) {
        debug_assert!(due >= self.last_due(), "due {due}, before {}", self.last_due());
        if self.items.is_empty() {
            self.first_due = due;
        }
        self.items.push_back((due, item));
    }

    /// When the oldest item is due; [`NEVER`] if there is none.
    #[inline]
    pub fn first_due(&self) -> u64 {
        self.first_due
    }

    /// When the item added last is due; 0 if there is none.
    pub fn last_due(&self) -> u64 {
        self.items.back().map_or(0, |last| last.0)
    }

    /// The oldest item, if it is due at `now`.
    #[inline]
    pub fn due(&self, now: u64) -> Option<T> {
        if self.first_due > now {
            return None;
        }
        self.items.front().map(|first| first.1)
    }

    /// Drops the oldest item.
    pub fn pop(&mut self) {
        self.items.pop_front();
        self.first_due = self.items.front().map_or(NEVER, |first| first.0);
    }

    pub fn len(&self) -> usize {
        self.items.len()
    }
}
