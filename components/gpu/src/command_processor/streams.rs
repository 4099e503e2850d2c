//! Streams and grid slots: which launches may run.
//!
//! A launch comes to the head of its stream when the one before it is over, and begins when a grid slot is free; launches that
//! wait for one are served in the order in which they came. It gives its slot back when it is over.

use std::collections::{BTreeMap, VecDeque};

/// Launches of a program on their way to grid slots.
#[derive(Clone, Debug)]
pub struct Streams {
    /// Launches of each stream that have not come to its head, in order.
    behind: Vec<VecDeque<u32>>,
    /// At the head of their stream, without a grid slot.
    waiting: VecDeque<u32>,
    /// Which launch is in each grid slot.
    slots: Vec<Option<u32>>,
    /// Place in `behind` of the stream of each launch.
    stream_of: Vec<u32>,
}

sim_core::saved!(Streams { state: behind, waiting; sized: slots; rebuilt: stream_of });

impl Streams {
    /// Launches by number, in the streams that `names` gives. No more grid slots are kept than there are streams.
    pub fn new(names: impl Iterator<Item = u32>, most_grids: usize) -> Self {
        let mut numbers = BTreeMap::new();
        let mut behind: Vec<VecDeque<u32>> = Vec::new();
        let mut stream_of = Vec::new();
        for (launch, name) in (0..).zip(names) {
            let stream = *numbers.entry(name).or_insert(behind.len() as u32);
            behind.resize_with(numbers.len(), VecDeque::new);
            behind[stream as usize].push_back(launch);
            stream_of.push(stream);
        }
        let waiting: VecDeque<u32> = behind.iter_mut().filter_map(VecDeque::pop_front).collect();
        let slots = vec![None; behind.len().min(most_grids)];
        Self { behind, waiting, slots, stream_of }
    }

    /// The next launch that begins, and its grid slot: the lowest that is free.
    pub fn begin(&mut self) -> Option<(u32, u8)> {
        let slot = self.slots.iter().position(Option::is_none)?;
        let launch = self.waiting.pop_front()?;
        self.slots[slot] = Some(launch);
        Some((launch, slot as u8))
    }

    /// The launch in a grid slot is over; the next one of its stream comes to the head.
    pub fn end(&mut self, slot: u8) {
        if let Some(launch) = self.slots[usize::from(slot)].take() {
            self.waiting.extend(self.behind[self.stream_of[launch as usize] as usize].pop_front());
        }
    }

    /// The launch in a grid slot.
    pub fn launch_in(&self, slot: u8) -> Option<u32> {
        self.slots[usize::from(slot)]
    }

    /// Launches that run, by grid slot.
    pub fn running(&self) -> impl Iterator<Item = (u8, u32)> {
        (0u8..).zip(&self.slots).filter_map(|(slot, launch)| Some((slot, (*launch)?)))
    }

    /// Nothing runs and nothing waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.slots.iter().all(Option::is_none)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn launches_of_a_stream_wait_for_each_other_and_streams_for_queues() {
        // Three streams of names that say nothing, two grid slots.
        let mut streams = Streams::new([70, 70, 3, 9].into_iter(), 2);
        assert_eq!(streams.begin(), Some((0, 0)));
        assert_eq!(streams.begin(), Some((2, 1)));
        assert_eq!(streams.begin(), None, "both slots are taken");
        streams.end(1);
        assert_eq!(streams.begin(), Some((3, 1)));
        streams.end(0);
        assert_eq!(streams.begin(), Some((1, 0)));
        assert_eq!(streams.running().collect::<Vec<_>>(), [(0, 1), (1, 3)]);
        streams.end(1);
        streams.end(0);
        assert_eq!(streams.begin(), None);
        assert!(streams.is_empty());
    }
}
