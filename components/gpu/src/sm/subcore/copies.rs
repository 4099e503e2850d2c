//! Groups of asynchronous copies (LDGSTS) of one warp, which LDGDEPBAR closes.
//!
//! ```text
//!  LDGSTS LDGSTS LDGDEPBAR(SB0) LDGSTS LDGDEPBAR(SB0) LDGSTS
//!  └────── group 0 ──────┘      └─── group 1 ───┘     └ open
//! ```
//!
//! LDGDEPBAR's counter rises when it issues, as for any instruction with a write counter, and falls when all copies before
//! it are complete; groups therefore complete in order.

use std::collections::VecDeque;

#[derive(Clone, Copy, Debug, Default, serde::Serialize, serde::Deserialize)]
struct Group {
    /// Copies that are not complete.
    left: u16,
    /// Counter of the LDGDEPBAR that closed it.
    counter: u8,
}

/// The groups of one warp that are not complete; the last is open.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub(crate) struct CopyGroups {
    groups: VecDeque<Group>,
    /// Number of the first of them, counted from the start of the warp.
    first: u32,
}

impl CopyGroups {
    pub fn new() -> Self {
        Self { groups: VecDeque::from([Group::default()]), first: 0 }
    }

    /// A copy issues; the number of its group.
    pub fn add(&mut self) -> u32 {
        let open = self.groups.len() - 1;
        self.groups[open].left += 1;
        self.first + open as u32
    }

    /// LDGDEPBAR issues.
    pub fn close(&mut self, counter: u8) {
        let open = self.groups.len() - 1;
        self.groups[open].counter = counter;
        self.groups.push_back(Group::default());
    }

    /// A copy of group `number` is complete.
    pub fn complete(&mut self, number: u32) {
        self.groups[(number - self.first) as usize].left -= 1;
    }

    /// The counter of the oldest group if it is closed and complete; it is then forgotten.
    pub fn take_complete(&mut self) -> Option<u8> {
        let done = self.groups.len() > 1 && self.groups[0].left == 0;
        if !done {
            return None;
        }
        self.first += 1;
        self.groups.pop_front().map(|group| group.counter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_complete_in_order() {
        let mut groups = CopyGroups::new();
        let first = groups.add();
        groups.close(0);
        let second = groups.add();
        groups.close(3);
        let open = groups.add();
        groups.complete(second);
        groups.complete(open);
        assert_eq!(groups.take_complete(), None);
        groups.complete(first);
        assert_eq!(groups.take_complete(), Some(0));
        assert_eq!(groups.take_complete(), Some(3));
        assert_eq!(groups.take_complete(), None);
    }

    #[test]
    fn a_group_without_copies_is_complete_at_once() {
        let mut groups = CopyGroups::new();
        groups.close(2);
        assert_eq!(groups.take_complete(), Some(2));
    }
}
