//! Two-level timing wheel, 256 × 256 slots, with a heap for the far future.
//!
//! ```text
//!   near: one slot a cycle, the next 256 cycles        ◀── far: one slot 256 cycles, the next 255 blocks ◀── heap
//! ```
//! Entries of one cycle come out in the order they went in. The memory of a drained slot goes to the next slot that needs
//! some: a steady state allocates nothing, and what is written is what was read last, which is still in the cache. Chosen over heaps by measurement: see `benches/` and its recorded runs.

use crate::snapshot::{LoadError, Reader, Saved, Writer};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

const SLOTS: usize = 256;

/// Items by due cycle.
pub struct Wheel<T> {
    /// The last cycle that was drained or skipped to; everything inside is due later.
    now: u64,
    near: Box<[Vec<T>; SLOTS]>,
    near_used: Bits,
    /// Memory of drained slots, the last drained on top.
    spare: Vec<Vec<T>>,
    far: Vec<Vec<(u64, T)>>,
    far_used: Bits,
    heap: BinaryHeap<Reverse<Late<T>>>,
    pushes: u64,
    len: usize,
    /// Lower bound of the earliest due cycle; exact when `bound_is_exact`.
    bound: u64,
    bound_is_exact: bool,
}

struct Late<T> {
    due: u64,
    order: u64,
    item: T,
}

impl<T> PartialEq for Late<T> {
    fn eq(&self, other: &Self) -> bool {
        (self.due, self.order) == (other.due, other.order)
    }
}
impl<T> Eq for Late<T> {}
impl<T> PartialOrd for Late<T> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl<T> Ord for Late<T> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.due, self.order).cmp(&(other.due, other.order))
    }
}

/// Which of 256 slots hold something.
#[derive(Clone, Copy, Default)]
struct Bits([u64; 4]);

impl Bits {
    fn set(&mut self, slot: usize) {
        self.0[slot >> 6] |= 1 << (slot & 63);
    }
    fn clear(&mut self, slot: usize) {
        self.0[slot >> 6] &= !(1 << (slot & 63));
    }
    /// Steps from `from` (exclusive) to the next used slot, going round once; 256 stands for `from` itself.
    fn steps_to_next(&self, from: usize) -> Option<u64> {
        let start = (from + 1) & (SLOTS - 1);
        let (word, bit) = (start >> 6, start & 63);
        let first = self.0[word] >> bit;
        if first != 0 {
            return Some(u64::from(first.trailing_zeros()) + 1);
        }
        let mut steps = 64 - bit as u64 + 1;
        for i in 1..=4 {
            let mut w = self.0[(word + i) & 3];
            if i == 4 {
                w &= (1_u64 << bit) - 1;
            }
            if w != 0 {
                return Some(steps + u64::from(w.trailing_zeros()));
            }
            steps += 64;
        }
        None
    }
}

impl<T> Default for Wheel<T> {
    fn default() -> Self {
        Wheel::new()
    }
}

impl<T> Wheel<T> {
    /// An empty wheel; nothing may be due at cycle 0 unless pushed through [`Wheel::push`] with a later due cycle.
    pub fn new() -> Wheel<T> {
        Wheel {
            now: 0,
            near: Box::new(std::array::from_fn(|_| Vec::new())),
            near_used: Bits::default(),
            spare: Vec::new(),
            far: (0..SLOTS).map(|_| Vec::new()).collect(),
            far_used: Bits::default(),
            heap: BinaryHeap::new(),
            pushes: 0,
            len: 0,
            bound: u64::MAX,
            bound_is_exact: true,
        }
    }

    /// An empty wheel of which `cycle` was drained.
    pub fn starting_at(cycle: u64) -> Wheel<T> {
        Wheel { now: cycle, ..Wheel::new() }
    }

    /// The last cycle that was drained or skipped to.
    pub fn now(&self) -> u64 {
        self.now
    }

    /// All items with the cycles they are due at: by cycle, within one in the order they were pushed.
    pub fn in_order(&self) -> Vec<(u64, &T)> {
        // As in `enter_block`: of one cycle, what lies in the heap came first, then what lies far, then what lies near.
        let mut late: Vec<&Late<T>> = self.heap.iter().map(|Reverse(late)| late).collect();
        late.sort();
        let mut all: Vec<(u64, &T)> = late.iter().map(|late| (late.due, &late.item)).collect();
        all.extend(self.far.iter().flatten().map(|(due, item)| (*due, item)));
        for due in self.now..self.now + SLOTS as u64 {
            all.extend(self.near[due as usize & (SLOTS - 1)].iter().map(|item| (due, item)));
        }
        all.sort_by_key(|(due, _)| *due);
        all
    }

    /// Number of items.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing is due, ever.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Adds an item for cycle `due`, which must be later than the last cycle drained.
    #[inline]
    pub fn push(&mut self, due: u64, item: T) {
        debug_assert!(due > self.now, "due {due} is not after {}", self.now);
        self.len += 1;
        self.bound = self.bound.min(due);
        if due - self.now < SLOTS as u64 {
            self.put_near(due, item);
        } else {
            self.push_late(due, item);
        }
    }

    #[cold]
    #[inline(never)]
    fn push_late(&mut self, due: u64, item: T) {
        if (due >> 8) - (self.now >> 8) < SLOTS as u64 {
            let slot = (due >> 8) as usize & (SLOTS - 1);
            self.far[slot].push((due, item));
            self.far_used.set(slot);
        } else {
            self.pushes += 1;
            self.heap.push(Reverse(Late { due, order: self.pushes, item }));
        }
    }

    /// The earliest due cycle.
    #[inline]
    pub fn next_due(&mut self) -> Option<u64> {
        if self.len == 0 {
            return None;
        }
        if !self.bound_is_exact {
            self.bound = self.find_next();
            self.bound_is_exact = true;
        }
        Some(self.bound)
    }

    /// True when nothing is due at or before `cycle`; may say false without need.
    #[inline]
    pub fn idle_at(&self, cycle: u64) -> bool {
        self.bound > cycle
    }

    fn find_next(&self) -> u64 {
        let mut next = u64::MAX;
        if let Some(steps) = self.near_used.steps_to_next(self.now as usize & (SLOTS - 1)) {
            next = self.now + steps;
        }
        if let Some(steps) = self.far_used.steps_to_next((self.now >> 8) as usize & (SLOTS - 1)) {
            // A far block may reach before a near slot of a later block, so compare the items.
            if ((self.now >> 8) + steps) << 8 < next {
                let slot = ((self.now >> 8) + steps) as usize & (SLOTS - 1);
                next = self.far[slot].iter().map(|&(due, _)| due).min().map_or(next, |due| due.min(next));
            }
        }
        self.heap.peek().map_or(next, |Reverse(late)| late.due.min(next))
    }

    /// The earliest due cycle with an item that `live` accepts; items refused on the way are dropped.
    pub fn next_due_where(&mut self, mut live: impl FnMut(u64, &T) -> bool) -> Option<u64> {
        loop {
            let due = self.next_due()?;
            if due - self.now < SLOTS as u64 || due >> 8 == self.now >> 8 {
                let slot = due as usize & (SLOTS - 1);
                // The slot may be shared with nothing else: near holds one cycle a slot.
                let before = self.near[slot].len();
                self.near[slot].retain(|item| live(due, item));
                self.len -= before - self.near[slot].len();
                if !self.near[slot].is_empty() {
                    return Some(due);
                }
                self.near_used.clear(slot);
                if before > 0 {
                    self.bound_is_exact = false;
                    continue;
                }
            }
            // The earliest item lies in a far block or in the heap.
            let slot = (due >> 8) as usize & (SLOTS - 1);
            let before = self.far[slot].len();
            self.far[slot].retain(|(d, item)| *d != due || live(due, item));
            self.len -= before - self.far[slot].len();
            if self.far[slot].iter().any(|&(d, _)| d == due) {
                return Some(due);
            }
            if self.far[slot].is_empty() {
                self.far_used.clear(slot);
            }
            while self.heap.peek().is_some_and(|Reverse(late)| late.due == due) {
                if live(due, &self.heap.peek().expect("just seen").0.item) {
                    return Some(due);
                }
                self.heap.pop();
                self.len -= 1;
            }
            self.bound_is_exact = false;
        }
    }

    /// The earliest due cycle up to `limit` of an item that `wanted` accepts; looks through all of them.
    pub fn earliest_where(&self, limit: u64, wanted: impl Fn(&T) -> bool) -> Option<u64> {
        let near_end = limit.min(self.now + SLOTS as u64 - 1);
        let near = (self.now + 1..=near_end).find(|c| self.near[*c as usize & (SLOTS - 1)].iter().any(&wanted));
        let far = self.far.iter().flatten().filter(|(due, item)| *due <= limit && wanted(item)).map(|(due, _)| *due);
        let late = self.heap.iter().map(|Reverse(l)| l).filter(|l| l.due <= limit && wanted(&l.item)).map(|l| l.due);
        near.into_iter().chain(far).chain(late).min()
    }

    /// Moves on to `cycle` and hands its items to `f` in the order they were pushed. Nothing may be due before.
    #[inline]
    pub fn drain(&mut self, cycle: u64, mut f: impl FnMut(T)) -> usize
    where
        T: Copy,
    {
        self.drain_batch(cycle, |items| items.iter().for_each(|item| f(*item)))
    }

    /// Same as [`Self::drain`] with all items of the cycle at once; `f` is not called if there are none.
    #[inline]
    pub fn drain_batch(&mut self, cycle: u64, f: impl FnOnce(&[T])) -> usize {
        if cycle >> 8 != self.now >> 8 {
            self.enter_block(cycle);
        }
        self.now = cycle;
        if self.bound > cycle {
            return 0;
        }
        self.bound = cycle + 1;
        self.bound_is_exact = false;
        let slot = cycle as usize & (SLOTS - 1);
        let mut items = std::mem::take(&mut self.near[slot]);
        let count = items.len();
        f(&items);
        items.clear();
        if items.capacity() > 0 {
            self.spare.push(items);
        }
        self.near_used.clear(slot);
        self.len -= count;
        if self.len == 0 {
            self.bound = u64::MAX;
            self.bound_is_exact = true;
        }
        count
    }

    /// Brings the far items of the block of `cycle` near, and items of the heap into the wheel.
    #[cold]
    #[inline(never)]
    fn enter_block(&mut self, cycle: u64) {
        debug_assert!(self.find_next() >= cycle, "skipped over something due");
        let block = cycle >> 8;
        self.now = cycle.saturating_sub(1).max(self.now);
        let slot = block as usize & (SLOTS - 1);
        let comes_into_reach = self.heap.peek().is_some_and(|Reverse(late)| late.due >> 8 < block + SLOTS as u64);
        if self.far[slot].is_empty() && !comes_into_reach {
            return;
        }
        // What waits near for this block was pushed later than what comes from far, and that later than the heap's:
        // an item goes far only while the wheel stands further from its due cycle.
        let mut lens = [0_usize; SLOTS];
        for (len, near) in lens.iter_mut().zip(&*self.near) {
            *len = near.len();
        }
        while self.heap.peek().is_some_and(|Reverse(late)| late.due >> 8 < block + SLOTS as u64) {
            let Reverse(late) = self.heap.pop().expect("just seen");
            if late.due >> 8 == block {
                self.put_near(late.due, late.item);
            } else {
                let slot = (late.due >> 8) as usize & (SLOTS - 1);
                // Nothing was pushed into this block directly yet: it comes into reach just now.
                self.far[slot].push((late.due, late.item));
                self.far_used.set(slot);
            }
        }
        if !self.far[slot].is_empty() {
            let mut moving = std::mem::take(&mut self.far[slot]);
            for (due, item) in moving.drain(..) {
                self.put_near(due, item);
            }
            self.far[slot] = moving;
            self.far_used.clear(slot);
        }
        for (before, near) in lens.iter().zip(&mut *self.near) {
            let moved = near.len() - before;
            if moved > 0 && *before > 0 {
                near.rotate_right(moved);
            }
        }
    }

    #[inline]
    fn put_near(&mut self, due: u64, item: T) {
        let slot = due as usize & (SLOTS - 1);
        let near = &mut self.near[slot];
        if near.capacity() == 0
            && let Some(spare) = self.spare.pop()
        {
            *near = spare;
        }
        near.push(item);
        self.near_used.set(slot);
    }
}

/// The cycle it stands at and its items in order: where they lie within the wheel cannot be seen.
impl<T: Serialize + DeserializeOwned> Saved for Wheel<T> {
    fn save(&self, out: &mut Writer) {
        out.put(&(self.now, self.in_order()));
    }

    fn load(&mut self, from: &mut Reader<'_>) -> Result<(), LoadError> {
        let (now, items): (u64, Vec<(u64, T)>) = from.get()?;
        *self = Wheel::starting_at(now);
        for (due, item) in items {
            if due <= now {
                return Err(LoadError::invalid(format!("something was due at {due}, before {now}")));
            }
            self.push(due, item);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Clone, Debug)]
    enum Op {
        Push(u64),
        /// Move on to the next due cycle, or by some cycles if nothing is due before.
        Advance(u64),
        /// From now on the items of this remainder by seven count no more.
        Kill(u64),
        /// Go on in another wheel.
        Save,
    }

    fn op() -> impl Strategy<Value = Op> {
        let delay = prop_oneof![4 => 1_u64..64, 2 => 200_u64..600, 2 => 1_u64..70_000, 1 => 60_000_u64..10_000_000];
        prop_oneof![
            6 => delay.prop_map(Op::Push),
            4 => prop_oneof![Just(1_u64), 1_u64..300, 1_u64..100_000].prop_map(Op::Advance),
            1 => (0_u64..7).prop_map(Op::Kill),
            1 => Just(Op::Save),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn the_wheel_is_a_heap_that_keeps_the_order_of_pushing(ops in prop::collection::vec(op(), 1..400)) {
            let mut wheel = Wheel::new();
            let mut heap: BinaryHeap<Reverse<(u64, u64)>> = BinaryHeap::new();
            let (mut now, mut number) = (0, 0);
            let mut dead = std::collections::BTreeSet::new();
            for op in ops {
                match op {
                    Op::Push(delay) => {
                        number += 1;
                        wheel.push(now + delay, number);
                        heap.push(Reverse((now + delay, number)));
                    }
                    Op::Kill(class) => dead.extend(heap.iter().map(|r| r.0.1).filter(|n| n % 7 == class)),
                    Op::Save => {
                        let mut out = Writer::new();
                        wheel.save(&mut out);
                        wheel = Wheel::new();
                        let bytes = out.into_bytes();
                        prop_assert_eq!(wheel.load(&mut Reader::new(&bytes)), Ok(()));
                    }
                    Op::Advance(by) => {
                        let due = wheel.next_due_where(|_, n| !dead.contains(n));
                        heap.retain(|Reverse((_, n))| !dead.contains(n));
                        prop_assert_eq!(due, heap.peek().map(|Reverse((due, _))| *due));
                        now = due.map_or(now + by, |due| due.min(now + by));
                        let mut got = Vec::new();
                        wheel.drain(now, |n| got.push(n));
                        got.retain(|n| !dead.contains(n));
                        let mut expected = Vec::new();
                        while heap.peek().is_some_and(|Reverse((due, _))| *due == now) {
                            expected.push(heap.pop().expect("just seen").0.1);
                        }
                        prop_assert_eq!(got, expected);
                        prop_assert!(wheel.len() >= heap.len());
                    }
                }
            }
        }
    }

    #[test]
    fn the_earliest_wanted_item_is_found_near_and_far() {
        let mut wheel = Wheel::new();
        for due in [5, 300, 70_000, 20_000_000] {
            wheel.push(due, due);
        }
        assert_eq!(wheel.earliest_where(u64::MAX, |d| *d > 5), Some(300));
        assert_eq!(wheel.earliest_where(u64::MAX, |d| *d > 300), Some(70_000));
        assert_eq!(wheel.earliest_where(u64::MAX, |d| *d > 70_000), Some(20_000_000));
        assert_eq!(wheel.earliest_where(299, |d| *d > 5), None);
    }
}
