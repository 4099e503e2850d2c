//! A request queue sorted by bank, with the oldest row hit and the oldest non-hit of each bank at hand.
//!
//! ```text
//!   push ─▶ bank FIFO (linked slots) ─▶ oldest hit · oldest miss a bank ─▶ bit masks a rank ─▶ scheduler
//! ```
//!
//! Models: order of arrival, look-up by address (for forwarding), which banks want which command.
//! Leaves out: ready times, which are the banks'. All requests of a bank that want the same command have one ready time,
//! so that the oldest of each kind is all that first-ready first-come first-served needs.
//! Start reading at [`RequestQueue::push`]; the canonical tests are below.

use crate::bank::{CLOSED, PerBank, Tick};
use crate::request::Op;

/// What is cut off a bank's number in its rank, for the compiler to see that it is in range.
const BANK_MASK: usize = size_of::<PerBank<u8>>() - 1;
/// No request.
pub const NO_KEY: u64 = u64::MAX;
const NO_SLOT: u16 = u16::MAX;
const FILTER: usize = 256;

/// A queued request.
#[derive(Debug, Clone, Copy, serde::Serialize, serde::Deserialize)]
pub struct Queued {
    /// Name given by the source.
    pub id: u64,
    /// Byte address, for forwarding and merging.
    pub address: u64,
    /// Tick of acceptance.
    pub arrive: Tick,
    /// Tick of the first command issued for it; [`crate::bank::NEVER`] if none yet.
    pub started: Tick,
    /// Row.
    pub row: u32,
    /// Column, in accesses.
    pub column: u32,
    /// Flat bank.
    pub bank: u32,
    /// Read or write.
    pub op: Op,
}

#[derive(Debug, Clone, Copy, serde::Serialize, serde::Deserialize)]
struct Slot {
    request: Queued,
    sequence: u64,
    /// Neighbours of its bank.
    next: u16,
    previous: u16,
    /// Neighbours in the order of arrival.
    younger: u16,
    older: u16,
}

/// The requests of the banks of one rank.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
struct Rank {
    head: PerBank<u16>,
    tail: PerBank<u16>,
    /// Keys of the oldest hit and of the oldest miss of each bank.
    hit: PerBank<u64>,
    miss: PerBank<u64>,
    hit_banks: u32,
    miss_banks: u32,
}

impl Rank {
    fn new() -> Self {
        let (none, no_key) = ([NO_SLOT; _], [NO_KEY; _]);
        Rank { head: none, tail: none, hit: no_key, miss: no_key, hit_banks: 0, miss_banks: 0 }
    }

    #[inline]
    fn set_hit(&mut self, number: usize, key: u64) {
        self.hit[number] = key;
        set_bit(&mut self.hit_banks, number as u32, key != NO_KEY);
    }

    #[inline]
    fn set_miss(&mut self, number: usize, key: u64) {
        self.miss[number] = key;
        set_bit(&mut self.miss_banks, number as u32, key != NO_KEY);
    }
}

/// A queue of one direction. Keys order requests by arrival: a smaller key came earlier.
#[derive(Debug, Clone)]
pub struct RequestQueue {
    capacity: usize,
    length: usize,
    /// Banks of a rank as a power of two.
    rank_shift: u32,
    slots: Vec<Slot>,
    free: Vec<u16>,
    oldest: u16,
    youngest: u16,
    ranks: Vec<Rank>,
    /// Counts of queued addresses by hash: 0 = surely not queued.
    filter: [u8; FILTER],
}

sim_core::saved!(RequestQueue {
    state: length, slots, free, oldest, youngest;
    sized: ranks, filter;
    rebuilt: capacity, rank_shift;
});

impl RequestQueue {
    /// An empty queue. `capacity` is at most 255, `banks_per_rank` a power of two, at most 32.
    pub fn new(capacity: usize, ranks: u32, banks_per_rank: u32) -> Self {
        debug_assert!(capacity <= MAX_CAPACITY);
        RequestQueue {
            capacity,
            length: 0,
            rank_shift: banks_per_rank.trailing_zeros(),
            slots: Vec::with_capacity(capacity),
            free: Vec::with_capacity(capacity),
            oldest: NO_SLOT,
            youngest: NO_SLOT,
            ranks: vec![Rank::new(); ranks as usize],
            filter: [0; FILTER],
        }
    }

    /// Requests in the queue.
    #[inline]
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether the queue is empty.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Free places.
    #[inline]
    pub fn room(&self) -> usize {
        self.capacity.saturating_sub(self.length)
    }

    /// Whether the queue is full.
    #[inline]
    pub fn is_full(&self) -> bool {
        self.length >= self.capacity
    }

    /// Banks of a rank with a request for the open row.
    #[inline]
    pub fn hit_banks(&self, rank: usize) -> u32 {
        self.ranks[rank].hit_banks
    }

    /// Banks of a rank with a request for a row that is not open.
    #[inline]
    pub fn miss_banks(&self, rank: usize) -> u32 {
        self.ranks[rank].miss_banks
    }

    /// Keys of the oldest hit of each bank of a rank.
    #[inline]
    pub fn hits_of(&self, rank: usize) -> &PerBank<u64> {
        &self.ranks[rank].hit
    }

    /// Keys of the oldest miss of each bank of a rank.
    #[inline]
    pub fn misses_of(&self, rank: usize) -> &PerBank<u64> {
        &self.ranks[rank].miss
    }

    /// Key of the oldest request for the open row of a bank.
    #[inline]
    pub fn oldest_hit(&self, bank: u32) -> u64 {
        let (rank, number) = self.place(bank);
        self.ranks[rank].hit[number]
    }

    /// Key of the oldest request of a bank for a row that is not open.
    #[inline]
    pub fn oldest_miss(&self, bank: u32) -> u64 {
        let (rank, number) = self.place(bank);
        self.ranks[rank].miss[number]
    }

    /// The request of a key.
    #[inline]
    pub fn get(&self, key: u64) -> &Queued {
        &self.slots[slot_of(key)].request
    }

    /// The request of a key, to note its first command.
    #[inline]
    pub fn get_mut(&mut self, key: u64) -> &mut Queued {
        &mut self.slots[slot_of(key)].request
    }

    /// What the oldest waiting request to this address does, if there is one.
    #[inline]
    pub fn find_address(&self, address: u64, bank: u32) -> Option<Op> {
        if self.filter[filter_of(address)] == 0 {
            return None;
        }
        let (rank, number) = self.place(bank);
        let mut at = self.ranks[rank].head[number];
        while at != NO_SLOT {
            let slot = &self.slots[usize::from(at)];
            if slot.request.address == address {
                return Some(slot.request.op);
            }
            at = slot.next;
        }
        None
    }

    /// Appends a request; the queue must have room. `sequence` grows from request to request, over all queues whose keys
    /// are compared. `open_row` is the open row of its bank. Returns whether it is the first of its bank that wants this
    /// command.
    pub fn push(&mut self, request: Queued, sequence: u64, open_row: u32) -> bool {
        let (rank, number) = self.place(request.bank);
        let rank = &mut self.ranks[rank];
        let (previous, older) = (rank.tail[number], self.youngest);
        let slot = Slot { request, sequence, next: NO_SLOT, previous, younger: NO_SLOT, older };
        let at = match self.free.pop() {
            Some(at) => {
                self.slots[usize::from(at)] = slot;
                at
            }
            None => {
                self.slots.push(slot);
                (self.slots.len() - 1) as u16
            }
        };
        match previous {
            NO_SLOT => rank.head[number] = at,
            tail => self.slots[usize::from(tail)].next = at,
        }
        rank.tail[number] = at;
        match older {
            NO_SLOT => self.oldest = at,
            older => self.slots[usize::from(older)].younger = at,
        }
        self.youngest = at;
        let key = key_of(sequence, at);
        self.length += 1;
        self.filter[filter_of(request.address)] += 1;
        let hits = request.row == open_row;
        let oldest = if hits { rank.hit[number] } else { rank.miss[number] };
        let first = oldest == NO_KEY;
        match (first, hits) {
            (false, _) => {}
            (true, true) => rank.set_hit(number, key),
            (true, false) => rank.set_miss(number, key),
        }
        first
    }

    /// Key of the oldest request.
    #[inline]
    pub fn oldest(&self) -> Option<u64> {
        self.slots.get(usize::from(self.oldest)).map(|slot| key_of(slot.sequence, self.oldest))
    }

    /// Banks of a rank with any request.
    #[inline]
    pub fn wanted_banks(&self, rank: usize) -> u32 {
        let rank = &self.ranks[rank];
        rank.hit_banks | rank.miss_banks
    }

    /// Takes a request out. `open_row` is the open row of its bank as it was when the caches were last true.
    pub fn remove(&mut self, key: u64, open_row: u32) {
        let at = slot_of(key);
        let Slot { request: Queued { bank, address, .. }, next, previous, younger, older, .. } = self.slots[at];
        let (rank, number) = self.place(bank);
        let rank = &mut self.ranks[rank];
        match previous {
            NO_SLOT => rank.head[number] = next,
            previous => self.slots[usize::from(previous)].next = next,
        }
        match next {
            NO_SLOT => rank.tail[number] = previous,
            next => self.slots[usize::from(next)].previous = previous,
        }
        match older {
            NO_SLOT => self.oldest = younger,
            older => self.slots[usize::from(older)].younger = younger,
        }
        match younger {
            NO_SLOT => self.youngest = older,
            younger => self.slots[usize::from(younger)].older = older,
        }
        self.free.push(at as u16);
        self.length -= 1;
        self.filter[filter_of(address)] -= 1;
        // Everything of the same kind is younger than the oldest, so the search goes on from here.
        if rank.hit[number] == key {
            rank.set_hit(number, find(&self.slots, next, |row| row == open_row));
        } else if rank.miss[number] == key {
            rank.set_miss(number, find(&self.slots, next, |row| row != open_row));
        }
    }

    /// Finds the oldest hit and miss of a bank again after its row was opened or closed.
    pub fn row_changed(&mut self, bank: u32, open_row: u32) {
        let (rank, number) = self.place(bank);
        let rank = &mut self.ranks[rank];
        let head = rank.head[number];
        if head == NO_SLOT {
            return;
        }
        let hit = if open_row == CLOSED { NO_KEY } else { find(&self.slots, head, |row| row == open_row) };
        rank.set_hit(number, hit);
        rank.set_miss(number, find(&self.slots, head, |row| row != open_row));
    }

    /// Rank of a flat bank, and its number in the rank.
    #[inline]
    fn place(&self, bank: u32) -> (usize, usize) {
        let number = bank & ((1 << self.rank_shift) - 1);
        ((bank >> self.rank_shift) as usize, number as usize & BANK_MASK)
    }
}

/// The first request from `at` on in the order of a bank whose row is `wanted`.
#[inline]
fn find(slots: &[Slot], mut at: u16, wanted: impl Fn(u32) -> bool) -> u64 {
    while at != NO_SLOT {
        let slot = &slots[usize::from(at)];
        if wanted(slot.request.row) {
            return key_of(slot.sequence, at);
        }
        at = slot.next;
    }
    NO_KEY
}

/// Most entries of one queue: the address filter counts in bytes.
pub const MAX_CAPACITY: usize = 255;

#[inline]
fn set_bit(mask: &mut u32, bit: u32, on: bool) {
    *mask = *mask & !(1 << bit) | u32::from(on) << bit;
}

#[inline]
fn key_of(sequence: u64, slot: u16) -> u64 {
    sequence << 16 | u64::from(slot)
}

#[inline]
fn slot_of(key: u64) -> usize {
    (key & 0xffff) as usize
}

#[inline]
fn filter_of(address: u64) -> usize {
    (address.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as usize
}
