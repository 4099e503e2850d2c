//! Credits on their way back to the sender of one link.
//!
//! They are not messages (D4) but batches of (due cycle, count): the newest lies in the ledger itself, older ones that
//! are not due yet lie in a ring with as many places as the link has credits. Within a shard the ledger is part of the
//! receiving FIFO, whose cache line a take has in hand anyway, and the sender looks into it only when it has to know:
//! taking a message touches nothing of the sender's. Only a sender that sleeps for lack of a credit is woken.

#[derive(Clone, Copy, Default)]
pub(crate) struct Ledger {
    /// Newest batch, as `due << 16 | count`; 0 if there is none.
    tail: u64,
    /// Credits that were due at the last look, but not collected by the sender.
    ripe: u16,
    /// First batch in the ring, and how many there are.
    head: u16,
    pending: u16,
    /// The sender sleeps until a credit comes back.
    pub blocked: bool,
}

/// The ring of one ledger among those of others: where it starts, and its size (a power of two) less one.
#[derive(Clone, Copy)]
pub(crate) struct Ring {
    pub base: u32,
    pub mask: u16,
}

impl Ring {
    /// A ring for `capacity` entries, after `used` places of others.
    pub fn after(used: usize, capacity: u16) -> Ring {
        Ring { base: used as u32, mask: (usize::from(capacity.max(1)).next_power_of_two() - 1) as u16 }
    }

    pub fn places(self) -> usize {
        usize::from(self.mask) + 1
    }

    /// Place of the `nth` entry after `head`.
    #[inline]
    pub fn at(self, head: u16, nth: u16) -> usize {
        self.base as usize + usize::from(head.wrapping_add(nth) & self.mask)
    }
}

const COUNT_BITS: u32 = 16;

impl Ledger {
    /// Puts a credit on its way. `reached` is a cycle of the sender's clock that it has reached for certain: what was
    /// due then need not be told apart any more.
    #[inline]
    pub fn give_back(&mut self, stamps: &mut [u64], ring: Ring, due: u64, reached: u64) {
        if self.tail != 0 {
            if self.tail >> COUNT_BITS == due {
                self.tail += 1;
                return;
            }
            if self.pending == 0 && self.tail >> COUNT_BITS <= reached {
                self.ripe += self.tail as u16;
            } else {
                self.set_aside(stamps, ring, due, reached);
            }
        }
        self.tail = due << COUNT_BITS | 1;
    }

    /// Moves the newest batch into the ring, to make room for one due at `due`.
    #[inline(never)]
    fn set_aside(&mut self, stamps: &mut [u64], ring: Ring, due: u64, reached: u64) {
        debug_assert!(self.tail >> COUNT_BITS < due, "credits overtake each other");
        self.ripen(stamps, ring, reached);
        if self.pending == 0 && self.tail >> COUNT_BITS <= reached {
            self.ripe += self.tail as u16;
        } else {
            stamps[ring.at(self.head, self.pending)] = self.tail;
            self.pending += 1;
        }
    }

    /// Counts what is due in the ring.
    fn ripen(&mut self, stamps: &[u64], ring: Ring, now: u64) {
        while self.pending > 0 {
            let batch = stamps[ring.at(self.head, 0)];
            if batch >> COUNT_BITS > now {
                break;
            }
            self.ripe += batch as u16;
            self.head = self.head.wrapping_add(1) & ring.mask;
            self.pending -= 1;
        }
        if self.pending == 0 {
            // As in a FIFO: an empty ring starts over, and a lightly used one keeps to its first places.
            self.head = 0;
        }
    }

    /// Takes the credits that are due at `now`.
    #[inline]
    pub fn collect(&mut self, stamps: &[u64], ring: Ring, now: u64) -> u16 {
        if self.pending > 0 {
            self.ripen(stamps, ring, now);
        }
        if self.pending == 0 && self.tail != 0 && self.tail >> COUNT_BITS <= now {
            self.ripe += self.tail as u16;
            self.tail = 0;
        }
        std::mem::take(&mut self.ripe)
    }

    /// Earliest cycle at which a credit comes back that [`Self::collect`] has not found due.
    pub fn next_due(&self, stamps: &[u64], ring: Ring) -> Option<u64> {
        let first = if self.pending > 0 { stamps[ring.at(self.head, 0)] } else { self.tail };
        (first != 0).then_some(first >> COUNT_BITS)
    }

    /// The batches that [`Self::collect`] has not found due, as (due cycle, count), in order.
    pub fn batches(&self, stamps: &[u64], ring: Ring) -> Vec<(u64, u16)> {
        let aside = (0..self.pending).map(|i| stamps[ring.at(self.head, i)]);
        let all = aside.chain((self.tail != 0).then_some(self.tail));
        all.map(|batch| (batch >> COUNT_BITS, batch as u16)).collect()
    }

    /// Credits that the sender has not collected, due or not.
    pub fn credits(&self, stamps: &[u64], ring: Ring) -> u32 {
        let aside = (0..self.pending).map(|i| u32::from(stamps[ring.at(self.head, i)] as u16));
        u32::from(self.ripe) + aside.sum::<u32>() + u32::from(self.tail as u16)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Against a plain list of due cycles, with a sender that looks as seldom as it likes.
        #[test]
        fn credits_come_back_when_due(
            steps in prop::collection::vec((0_u64..5, 0_u8..8), 1..300), latency in 1_u64..12, capacity in 1_u16..20,
            same_clock: bool,
        ) {
            let ring = Ring::after(3, capacity);
            let mut stamps = vec![0; 3 + ring.places()];
            let (mut ledger, mut list, mut now) = (Ledger::default(), Vec::new(), 1);
            for (passed, what) in steps {
                now += passed;
                if what == 0 {
                    let back = ledger.collect(&stamps, ring, now);
                    let due = list.iter().filter(|d| **d <= now).count();
                    prop_assert_eq!(usize::from(back), due);
                    list.retain(|d| *d > now);
                    prop_assert_eq!(ledger.next_due(&stamps, ring), list.iter().min().copied());
                } else if list.len() < usize::from(capacity) {
                    list.push(now + latency);
                    ledger.give_back(&mut stamps, ring, now + latency, if same_clock { now } else { 0 });
                }
                prop_assert_eq!(ledger.credits(&stamps, ring) as usize, list.len());
            }
        }
    }
}
