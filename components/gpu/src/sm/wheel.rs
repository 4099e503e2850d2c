//! Events of one SM by cycle: a wheel of buckets for the near future, a sorted list for the rest.

use serde::Serialize;
use serde::de::DeserializeOwned;
use sim_core::{LoadError, Reader, Saved, Writer, prefetch};
use std::cmp::Reverse;
use std::collections::BinaryHeap;

const BUCKETS: usize = 64;

/// Nothing is due.
pub const NEVER: u64 = u64::MAX;

/// A wheel of events `E`. Events of one cycle come out in the order in which they were scheduled.
///
/// The events of all buckets share one store, and the place given up last is filled first: what an SM has scheduled stays in
/// a few lines of the host's cache.
#[derive(Clone, Debug)]
pub(crate) struct EventWheel<E> {
    /// First and last event of each bucket that is occupied.
    buckets: [(u16, u16); BUCKETS],
    events: Vec<Scheduled<E>>,
    /// First of the free places, which are linked like the events of a bucket.
    free: u16,
    occupied: u64,
    /// All events of cycles before this one have been taken.
    now: u64,
    far: BinaryHeap<Reverse<Far<E>>>,
    /// Cycle of the first of them; [`NEVER`] if there is none.
    far_due: u64,
    scheduled: u64,
}

/// An event in a bucket, and the one behind it.
#[derive(Clone, Copy, Debug)]
struct Scheduled<E> {
    event: E,
    next: u16,
}

/// No event.
const NOBODY: u16 = u16::MAX;

#[derive(Clone, Debug)]
struct Far<E> {
    due: u64,
    order: u64,
    event: E,
}

impl<E> PartialEq for Far<E> {
    fn eq(&self, other: &Self) -> bool {
        (self.due, self.order) == (other.due, other.order)
    }
}
impl<E> Eq for Far<E> {}
impl<E> PartialOrd for Far<E> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl<E> Ord for Far<E> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.due, self.order).cmp(&(other.due, other.order))
    }
}

impl<E: Copy> EventWheel<E> {
    pub fn new() -> Self {
        Self {
            buckets: [(NOBODY, NOBODY); BUCKETS],
            events: Vec::new(),
            free: NOBODY,
            occupied: 0,
            now: 0,
            far: BinaryHeap::new(),
            far_due: NEVER,
            scheduled: 0,
        }
    }

    /// `due` must not lie before the last cycle taken.
    #[inline]
    pub fn schedule(&mut self, due: u64, event: E) {
        debug_assert!(due >= self.now, "event for cycle {due} scheduled after cycle {} was taken", self.now);
        if due - self.now < BUCKETS as u64 {
            let bucket = due as usize % BUCKETS;
            let place = self.place(event);
            if self.occupied >> bucket & 1 == 0 {
                self.occupied |= 1 << bucket;
                self.buckets[bucket] = (place, place);
            } else {
                let last = std::mem::replace(&mut self.buckets[bucket].1, place);
                self.events[usize::from(last)].next = place;
            }
        } else {
            self.schedule_far(due, event);
        }
    }

    #[cold]
    fn schedule_far(&mut self, due: u64, event: E) {
        self.scheduled += 1;
        self.far.push(Reverse(Far { due, order: self.scheduled, event }));
        self.far_due = self.far_due.min(due);
    }

    #[cold]
    fn take_far(&mut self) -> Option<E> {
        let event = self.far.pop().map(|Reverse(far)| far.event);
        self.far_due = self.far.peek().map_or(NEVER, |far| far.0.due);
        event
    }

    /// A place for an event.
    #[inline]
    fn place(&mut self, event: E) -> u16 {
        let scheduled = Scheduled { event, next: NOBODY };
        if self.free == NOBODY {
            assert!(
                self.events.len() < usize::from(NOBODY),
                "more than 65535 events of one SM within {BUCKETS} cycles"
            );
            self.events.push(scheduled);
            return (self.events.len() - 1) as u16;
        }
        let place = self.free;
        self.free = std::mem::replace(&mut self.events[usize::from(place)], scheduled).next;
        place
    }

    /// Asks the host's caches for events that will be taken: where most of them are, since the last place given up is filled
    /// first.
    #[inline]
    pub fn prefetch(&self) {
        const EVENTS_AHEAD: usize = 64;
        let bytes = self.events.len().min(EVENTS_AHEAD) * size_of::<Scheduled<E>>();
        for at in (0..bytes).step_by(64) {
            prefetch(self.events.as_ptr().cast::<u8>().wrapping_add(at));
        }
    }

    /// First cycle with an event; [`NEVER`] if there is none.
    #[inline]
    pub fn next_due(&self) -> u64 {
        if self.occupied == 0 {
            return self.far_due;
        }
        let ahead = self.occupied.rotate_right((self.now % BUCKETS as u64) as u32).trailing_zeros();
        self.far_due.min(self.now + u64::from(ahead))
    }

    /// The events of one of the next cycles, in order.
    fn bucket(&self, due: u64) -> impl Iterator<Item = &E> {
        let bucket = due as usize % BUCKETS;
        let mut at = if self.occupied >> bucket & 1 == 1 { self.buckets[bucket].0 } else { NOBODY };
        std::iter::from_fn(move || {
            let Scheduled { event, next } = self.events.get(usize::from(at))?;
            at = *next;
            Some(event)
        })
    }

    /// Goes to cycle `now`, whose events [`EventWheel::take`] gives one after the other. No event may be due before it.
    #[inline]
    pub fn go_to(&mut self, now: u64) {
        debug_assert!(self.next_due() >= now, "cycle {} was skipped", self.next_due());
        self.now = now;
    }

    /// The next event of the present cycle. Meanwhile nothing may be scheduled for it.
    #[inline]
    pub fn take(&mut self) -> Option<E> {
        // What lies far was scheduled earlier than what already is in the wheel for that cycle.
        if self.far_due == self.now {
            return self.take_far();
        }
        let bucket = self.now as usize % BUCKETS;
        if self.occupied >> bucket & 1 == 0 {
            return None;
        }
        let (first, last) = self.buckets[bucket];
        let place = &mut self.events[usize::from(first)];
        let Scheduled { event, next } = *place;
        place.next = std::mem::replace(&mut self.free, first);
        if first == last {
            self.occupied &= !(1 << bucket);
        } else {
            self.buckets[bucket].0 = next;
        }
        Some(event)
    }
}

/// The last cycle taken and the events in order: where they lie within the wheel cannot be seen.
impl<E: Copy + Serialize + DeserializeOwned> Saved for EventWheel<E> {
    fn save(&self, out: &mut Writer) {
        // As in `take`: of one cycle, what lies far was scheduled first.
        let mut far: Vec<&Far<E>> = self.far.iter().map(|Reverse(far)| far).collect();
        far.sort();
        let far = far.into_iter().map(|far| (far.due, &far.event));
        let near =
            (self.now..self.now + BUCKETS as u64).flat_map(|due| self.bucket(due).map(move |event| (due, event)));
        let mut events: Vec<(u64, &E)> = far.chain(near).collect();
        events.sort_by_key(|(due, _)| *due);
        out.put(&(self.now, events));
    }

    fn load(&mut self, from: &mut Reader<'_>) -> Result<(), LoadError> {
        let (now, events): (u64, Vec<(u64, E)>) = from.get()?;
        *self = EventWheel { now, ..EventWheel::new() };
        for (due, event) in events {
            if due < now {
                return Err(LoadError::invalid(format!("an event was due at {due}, before {now}")));
            }
            self.schedule(due, event);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn events_come_at_their_cycle_in_order(delays in prop::collection::vec(1u64..400, 1..200)) {
            let mut wheel = EventWheel::new();
            let mut expected: Vec<(u64, usize)> = Vec::new();
            let (mut got, mut now) = (Vec::new(), 0);
            for (number, delay) in delays.into_iter().enumerate() {
                wheel.schedule(now + delay, number);
                expected.push((now + delay, number));
                if number % 7 == 0 {
                    let mut out = Writer::new();
                    wheel.save(&mut out);
                    wheel = EventWheel::new();
                    let bytes = out.into_bytes();
                    prop_assert_eq!(wheel.load(&mut Reader::new(&bytes)), Ok(()));
                }
                if number % 3 == 0 {
                    now = wheel.next_due();
                    wheel.go_to(now);
                    got.extend(std::iter::from_fn(|| wheel.take()).map(|event| (now, event)));
                }
            }
            while wheel.next_due() != NEVER {
                now = wheel.next_due();
                wheel.go_to(now);
                got.extend(std::iter::from_fn(|| wheel.take()).map(|event| (now, event)));
            }
            expected.sort_by_key(|&(due, _)| due);
            prop_assert_eq!(got, expected);
        }
    }
}
