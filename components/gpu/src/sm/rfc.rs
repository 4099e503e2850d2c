//! Register-file cache: six entries of a sub-core, one for each operand slot and bank.
//!
//! ```text
//!            bank 0   bank 1
//!  slot 0   [R2,w3]  [     ]      a hit spares the read port; every read of a slot and bank replaces or clears
//!  slot 1   [     ]  [R7,w3]      the entry, whichever warp it comes from
//!  slot 2   [     ]  [     ]
//! ```
//!
//! Source: arXiv 2503.20481 section 5.3.1 and Listing 4; outcomes repeated on a GA100 by the public replication.

use super::ports::BANKS;
use super::spec::ReuseCache;
use super::timing::OpTiming;

/// An entry: warp × 256 + register, or [`EMPTY`].
type Entry = u16;
const EMPTY: Entry = Entry::MAX;

#[derive(Clone, Debug)]
pub(crate) struct RegisterFileCache {
    entries: [[Entry; BANKS]; 3],
    rule: ReuseCache,
    /// No entry is filled: reads need no lookup.
    empty: bool,
}

/// One register read that Allocate granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RegisterRead {
    pub slot: u8,
    pub register: u8,
    pub hit: bool,
    /// The entry holds the register afterwards.
    pub kept: bool,
}

fn registers(op: &OpTiming, slot: usize) -> impl Iterator<Item = u8> + use<> {
    let first = op.slot_first[slot];
    (0..op.slot_count[slot]).map(move |offset| first.wrapping_add(offset))
}

sim_core::saved!(RegisterFileCache { state: entries, empty; rebuilt: rule });

impl RegisterFileCache {
    pub fn new(rule: ReuseCache) -> Self {
        Self { entries: [[EMPTY; BANKS]; 3], rule, empty: true }
    }

    #[inline]
    fn hits(&self, warp: u8, slot: usize, register: u8) -> bool {
        self.entries[slot][usize::from(register % 2)] == entry(warp, register)
    }

    /// Ports that the instruction needs of each bank: distinct registers that miss in a slot where they are read.
    #[inline]
    pub fn reads_needed(&self, op: &OpTiming, warp: u8) -> [u8; BANKS] {
        if self.empty {
            return op.reads;
        }
        let [first, second, third] = op.slot_first;
        let [one, two, three] = op.slot_count;
        if (one | two | three) > 1 {
            return if self.hits_any(op, warp) { self.count_misses(op, warp) } else { op.reads };
        }
        // At most one register a slot: those that miss, each once.
        let one = (one == 1) & !self.hits(warp, 0, first);
        let two = (two == 1) & !self.hits(warp, 1, second);
        let three = (three == 1) & !self.hits(warp, 2, third) & !(one & (third == first)) & !(two & (third == second));
        let two = two & !(one & (second == first));
        let misses = u8::from(one) + u8::from(two) + u8::from(three);
        let odd = (u8::from(one) & first) + (u8::from(two) & second) + (u8::from(three) & third);
        [misses - odd, odd]
    }

    #[inline]
    fn hits_any(&self, op: &OpTiming, warp: u8) -> bool {
        (0..3).any(|slot| match op.slot_count[slot] {
            0 => false,
            1 => self.hits(warp, slot, op.slot_first[slot]),
            _ => registers(op, slot).any(|register| self.hits(warp, slot, register)),
        })
    }

    fn count_misses(&self, op: &OpTiming, warp: u8) -> [u8; BANKS] {
        let mut missed = [EMPTY; 12];
        let mut count = 0;
        let mut needed = [0; BANKS];
        for slot in 0..3 {
            for register in registers(op, slot) {
                let known = missed[..count].contains(&u16::from(register));
                if !known && !self.hits(warp, slot, register) && count < missed.len() {
                    missed[count] = u16::from(register);
                    count += 1;
                    needed[usize::from(register % 2)] += 1;
                }
            }
        }
        needed
    }

    /// What an instruction that leaves Allocate will find, read by read: before [`RegisterFileCache::update`].
    pub fn reads(&self, op: &OpTiming, warp: u8) -> impl Iterator<Item = RegisterRead> {
        let looks_up = self.rule != ReuseCache::None;
        (0..3).filter(move |_| looks_up).flat_map(move |slot| {
            let kept = op.reuse >> slot & 1 == 1;
            let read =
                move |register| RegisterRead { slot: slot as u8, register, hit: self.hits(warp, slot, register), kept };
            registers(op, slot).map(read)
        })
    }

    /// Takes in the reads of an instruction that leaves Allocate.
    #[inline]
    pub fn update(&mut self, op: &OpTiming, warp: u8) {
        if self.rule == ReuseCache::None {
            return;
        }
        for slot in 0..3 {
            let kept = op.reuse >> slot & 1 == 1;
            let (first, count) = (op.slot_first[slot], op.slot_count[slot]);
            if count == 0 || !kept && self.rule != ReuseCache::ReuseFlags {
                continue;
            }
            let mut replace = |register: u8| {
                self.entries[slot][usize::from(register % 2)] = if kept { entry(warp, register) } else { EMPTY };
            };
            replace(first);
            // Of each bank, the last register stays.
            (1..count).for_each(|offset| replace(first.wrapping_add(offset)));
        }
        self.empty = self.entries == [[EMPTY; BANKS]; 3];
    }

    /// Whether an update of this instruction can change anything.
    #[inline]
    pub fn concerns(&self, op: &OpTiming) -> bool {
        !self.empty || op.reuse != 0
    }

    /// A new warp in slot `warp`: what the old one left means nothing.
    pub fn forget(&mut self, warp: u8) {
        for entry in self.entries.iter_mut().flatten().filter(|entry| (**entry >> 8) as u8 == warp) {
            *entry = EMPTY;
        }
    }
}

fn entry(warp: u8, register: u8) -> Entry {
    u16::from(warp) << 8 | u16::from(register)
}
