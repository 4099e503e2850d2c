//! What hardware behind the coalescer can tell apart of a warp's addresses: lines with sectors, passes over banks.
//!
//! Global, local and constant memory: the 128-byte lines in order of the first lane that touches each, with the 32-byte
//! sectors touched. Shared memory: passes over the 32 banks of four bytes. A pass serves one word a bank to any number of
//! lanes; so a bank needs as many passes as distinct words are wanted from it, and the access as many as its busiest bank.
//! A full-warp access of 16 bytes a lane without conflict therefore takes 4 passes (512 bytes over 128-byte banks), one
//! where all lanes read the same 16 bytes takes 1. Atomics serve one lane a word and pass.

use super::frame::{FULL, lanes_of};
use crate::stream::{Access, AccessKind, BulkCopy, LINE_BYTES, Line, MbarrierUse, NO_ACCESS, SECTOR_BYTES, Space};

/// How the addresses of the lanes that execute lie to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pattern {
    /// All the same.
    Broadcast,
    /// All 32 lanes, side by side in order.
    Contiguous,
    Other,
}

impl Pattern {
    #[inline(always)]
    pub fn of_wide(bytes: u32, mask: u32, addresses: &[u64; 32]) -> Self {
        let first = addresses[mask.trailing_zeros() as usize % 32];
        let (mut apart, mut strayed) = (0, 0);
        for lane in 0..32 {
            let taken = if mask >> lane & 1 == 1 { u64::MAX } else { 0 };
            apart |= (addresses[lane] ^ first) & taken;
            strayed |= addresses[lane] ^ first.wrapping_add(lane as u64 * u64::from(bytes));
        }
        Self::from(mask, apart == 0, strayed == 0)
    }

    #[inline(always)]
    pub fn of_narrow(bytes: u32, mask: u32, addresses: &[u32; 32]) -> Self {
        let first = addresses[mask.trailing_zeros() as usize % 32];
        let (mut apart, mut strayed) = (0, 0);
        for lane in 0..32 {
            let taken = if mask >> lane & 1 == 1 { u32::MAX } else { 0 };
            apart |= (addresses[lane] ^ first) & taken;
            strayed |= addresses[lane] ^ first.wrapping_add(lane as u32 * bytes);
        }
        Self::from(mask, apart == 0, strayed == 0)
    }

    #[inline(always)]
    fn from(mask: u32, same: bool, side_by_side: bool) -> Self {
        match (same, side_by_side && mask == FULL) {
            (true, _) => Self::Broadcast,
            (_, true) => Self::Contiguous,
            _ => Self::Other,
        }
    }
}

/// The passes of the last access of one instruction. They depend only on the lanes and on the distances between their
/// addresses: moving all addresses by as much only turns the banks round.
#[derive(Clone, Copy, Debug)]
struct KnownPasses {
    mask: u32,
    distances: [u32; 32],
    passes: u32,
}

/// Collects accesses. With `ON` false nothing is computed or kept.
#[derive(Debug, Default)]
pub struct Recorder<const ON: bool> {
    pub accesses: Vec<Access>,
    pub lines: Vec<Line>,
    pub mbarriers: Vec<(u32, MbarrierUse)>,
    pub bulk: Vec<BulkCopy>,
    /// By access, its addresses by lane, for who wants to write them out.
    pub kept: Option<Vec<[u64; 32]>>,
    /// By instruction.
    known: Vec<KnownPasses>,
}

impl<const ON: bool> Recorder<ON> {
    /// Begins a CTA with the buffers of the last one.
    pub fn begin(&mut self, code_len: usize, accesses: Vec<Access>, lines: Vec<Line>) {
        (self.accesses, self.lines) = (accesses, lines);
        self.known.resize(code_len, KnownPasses { mask: 0, distances: [0; 32], passes: 0 });
    }

    /// Keeps the addresses of the access that comes next, if anybody wants them.
    #[inline(always)]
    fn keep(&mut self, addresses: impl FnOnce() -> [u64; 32]) {
        if let Some(kept) = &mut self.kept {
            kept.resize(self.accesses.len(), [0; 32]);
            kept.push(addresses());
        }
    }

    /// An access to lines by the instruction at `position`. `bytes` a lane, a power of two up to 16, addresses aligned to it.
    /// Returns its index.
    #[allow(clippy::too_many_arguments)]
    #[inline(always)]
    pub fn lines(
        &mut self,
        position: u32,
        (space, kind): (Space, AccessKind),
        bytes: u32,
        mask: u32,
        addresses: &[u64; 32],
        pattern: Pattern,
    ) -> u32 {
        if !ON || mask == 0 {
            return NO_ACCESS;
        }
        self.keep(|| *addresses);
        let first_line = self.lines.len();
        let first = addresses[mask.trailing_zeros() as usize];
        match pattern {
            Pattern::Broadcast => self.touch(first_line, first),
            Pattern::Contiguous => self.range(first, first + 32 * u64::from(bytes)),
            Pattern::Other => lanes_of(mask).for_each(|lane| self.touch(first_line, addresses[lane])),
        }
        // The banks are those of shared memory: words of a line lie in them by their place in it.
        let passes = match (space, pattern) {
            (Space::Constant, _) | (_, Pattern::Broadcast) => 1,
            (_, Pattern::Contiguous) => bytes.div_ceil(4),
            (_, Pattern::Other) => self.passes(position, bytes, mask, &addresses.map(|address| address as u32)),
        };
        self.push(Access {
            space,
            kind,
            width_bytes: bytes as u8,
            one_address: pattern == Pattern::Broadcast,
            passes: passes as u8,
            bytes: (mask.count_ones() * bytes) as u16,
            first_line: first_line as u32,
            line_count: (self.lines.len() - first_line) as u16,
        })
    }

    /// An access to local memory: word i of all lanes lies in one line, so a lane's words lie in as many lines.
    pub fn local(&mut self, kind: AccessKind, bytes: u32, mask: u32, base: u64, addresses: &[u32; 32]) -> u32 {
        if !ON || mask == 0 {
            return NO_ACCESS;
        }
        self.keep(|| addresses.map(u64::from));
        let first_line = self.lines.len();
        for lane in lanes_of(mask) {
            let first_word = u64::from(addresses[lane] / 4);
            for word in first_word..first_word + u64::from(bytes.div_ceil(4)) {
                self.touch(first_line, base + word * LINE_BYTES + 4 * lane as u64);
            }
        }
        self.push(Access {
            space: Space::Local,
            kind,
            width_bytes: bytes as u8,
            one_address: false,
            passes: (self.lines.len() - first_line).min(255) as u8,
            bytes: (mask.count_ones() * bytes) as u16,
            first_line: first_line as u32,
            line_count: (self.lines.len() - first_line) as u16,
        })
    }

    /// What an instruction does to barriers in shared memory, by address. Returns the index of the access.
    pub fn mbarriers(&mut self, uses: &[(u32, MbarrierUse)]) -> u32 {
        if !ON || uses.is_empty() {
            return NO_ACCESS;
        }
        self.mbarriers.extend_from_slice(uses);
        let first = self.mbarriers.len() - uses.len();
        self.push(Access {
            space: Space::Shared,
            kind: AccessKind::Mbarrier,
            width_bytes: 8,
            one_address: uses.len() == 1,
            passes: uses.len() as u8,
            bytes: 8 * uses.len() as u16,
            first_line: first as u32,
            line_count: uses.len() as u16,
        })
    }

    /// A bulk copy. Returns the index of the access.
    pub fn bulk(&mut self, copy: BulkCopy) -> u32 {
        if !ON {
            return NO_ACCESS;
        }
        self.bulk.push(copy);
        self.push(Access {
            space: Space::Global,
            kind: AccessKind::Bulk,
            width_bytes: 0,
            one_address: true,
            passes: 1,
            bytes: 0,
            first_line: self.bulk.len() as u32 - 1,
            line_count: 0,
        })
    }

    /// The lines of consecutive bytes, as part of a bulk copy; how many.
    pub fn bulk_lines(&mut self, begin: u64, bytes: u32) -> u32 {
        let before = self.lines.len();
        if ON && bytes > 0 {
            self.range(begin, begin + u64::from(bytes));
        }
        (self.lines.len() - before) as u32
    }

    /// Marks one sector; an aligned access never straddles two.
    #[inline(always)]
    fn touch(&mut self, first_line: usize, address: u64) {
        let line = address & !(LINE_BYTES - 1);
        let sector = 1 << (address % LINE_BYTES / SECTOR_BYTES);
        match self.lines[first_line..].iter_mut().rev().find(|own| own.address == line) {
            Some(own) => own.sectors |= sector,
            None => self.lines.push(Line { address: line, sectors: sector }),
        }
    }

    /// Marks all sectors from `begin` to `end`.
    #[inline(always)]
    fn range(&mut self, begin: u64, end: u64) {
        let mut line = begin & !(LINE_BYTES - 1);
        while line < end {
            let from = begin.saturating_sub(line) / SECTOR_BYTES;
            let to = (end - line).min(LINE_BYTES).div_ceil(SECTOR_BYTES);
            let sectors = ((1u32 << to) - (1 << from)) as u8;
            self.lines.push(Line { address: line, sectors });
            line += LINE_BYTES;
        }
    }

    /// An access to shared memory by the instruction at `position`. Returns its index.
    #[inline(always)]
    pub fn banks(
        &mut self,
        position: u32,
        kind: AccessKind,
        bytes: u32,
        mask: u32,
        addresses: &[u32; 32],
        pattern: Pattern,
    ) -> u32 {
        if !ON || mask == 0 {
            return NO_ACCESS;
        }
        self.keep(|| addresses.map(u64::from));
        let atomic = matches!(kind, AccessKind::Atomic | AccessKind::Reduction);
        let passes = match pattern {
            _ if atomic => atomic_passes(bytes, mask, addresses),
            Pattern::Broadcast => 1,
            Pattern::Contiguous => bytes.div_ceil(4),
            Pattern::Other => self.passes(position, bytes, mask, addresses),
        };
        self.push(Access {
            space: Space::Shared,
            kind,
            width_bytes: bytes as u8,
            one_address: pattern == Pattern::Broadcast,
            passes: passes as u8,
            bytes: (mask.count_ones() * bytes) as u16,
            first_line: self.lines.len() as u32,
            line_count: 0,
        })
    }

    /// A copy from global to shared memory by the instruction at `position`: the lines that the lanes of `valid` read, the
    /// passes in which all lanes of `mask` are written. Returns its index.
    pub fn copy(&mut self, position: u32, bytes: u32, mask: u32, valid: u32, from: &[u64; 32], to: &[u32; 32]) -> u32 {
        if !ON || mask == 0 {
            return NO_ACCESS;
        }
        self.keep(|| *from);
        let first_line = self.lines.len();
        lanes_of(valid).for_each(|lane| self.touch(first_line, from[lane]));
        let passes = self.passes(position, bytes, mask, to);
        self.push(Access {
            space: Space::Global,
            kind: AccessKind::Copy,
            width_bytes: bytes as u8,
            one_address: false,
            passes: passes as u8,
            bytes: (mask.count_ones() * bytes) as u16,
            first_line: first_line as u32,
            line_count: (self.lines.len() - first_line) as u16,
        })
    }

    /// An access to as many 8×8 matrices in shared memory: eight lanes name the rows of
    /// each, of 16 bytes, and each takes passes of its own. Returns its index.
    pub fn matrices(&mut self, kind: AccessKind, addresses: &[u32; 32], matrices: u32) -> u32 {
        if !ON {
            return NO_ACCESS;
        }
        self.keep(|| addresses.map(u64::from));
        let passes: u32 = (0..matrices).map(|matrix| passes(16, 0xff << (8 * matrix), addresses)).sum();
        self.push(Access {
            space: Space::Shared,
            kind,
            width_bytes: 4 * matrices as u8,
            one_address: false,
            passes: passes as u8,
            bytes: 128 * matrices as u16,
            first_line: self.lines.len() as u32,
            line_count: 0,
        })
    }

    #[inline(always)]
    fn passes(&mut self, position: u32, bytes: u32, mask: u32, addresses: &[u32; 32]) -> u32 {
        let first = addresses[mask.trailing_zeros() as usize];
        let mut distances = [0; 32];
        for lane in 0..32 {
            distances[lane] = addresses[lane].wrapping_sub(first);
        }
        // Below a word, lanes share words by their place in them.
        let movable = bytes >= 4;
        let known = &self.known[position as usize];
        if movable && known.mask == mask && known.distances == distances {
            return known.passes;
        }
        let passes = passes(bytes, mask, addresses);
        self.known[position as usize] = KnownPasses { mask: if movable { mask } else { 0 }, distances, passes };
        passes
    }

    #[inline(always)]
    fn push(&mut self, access: Access) -> u32 {
        self.accesses.push(access);
        self.accesses.len() as u32 - 1
    }
}

/// Distinct words of the busiest bank. A lane's words are neighbours and aligned, so units of its width behave alike:
/// 8 groups of four banks for 16 bytes, 16 groups of two for 8.
fn passes(bytes: u32, mask: u32, addresses: &[u32; 32]) -> u32 {
    let unit_bytes = bytes.max(4);
    let groups = 128 / unit_bytes;
    let mut units = [[0u32; 32]; 32];
    let mut counts = [0usize; 32];
    for lane in lanes_of(mask) {
        let unit = addresses[lane] / unit_bytes;
        let group = (unit % groups) as usize;
        let known = &mut units[group];
        let count = counts[group];
        if !known[..count].contains(&unit) {
            known[count] = unit;
            counts[group] += 1;
        }
    }
    counts.into_iter().max().unwrap_or(1) as u32
}

/// Lanes of the busiest bank.
fn atomic_passes(bytes: u32, mask: u32, addresses: &[u32; 32]) -> u32 {
    let unit_bytes = bytes.max(4);
    let groups = 128 / unit_bytes;
    let mut counts = [0u32; 32];
    for lane in lanes_of(mask) {
        counts[(addresses[lane] / unit_bytes % groups) as usize] += 1;
    }
    counts.into_iter().max().unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;

    fn recorder() -> Recorder<true> {
        let mut recorder = Recorder::default();
        recorder.begin(4, Vec::new(), Vec::new());
        recorder
    }

    fn bank_passes(bytes: u32, mask: u32, addresses: &[u32; 32]) -> u8 {
        let mut recorder = recorder();
        let pattern = Pattern::of_narrow(bytes, mask, addresses);
        recorder.banks(0, AccessKind::Load, bytes, mask, addresses, pattern);
        recorder.accesses[0].passes
    }

    #[test]
    fn textbook_bank_conflicts() {
        let stride = |words: u32| std::array::from_fn(|lane| 4 * words * lane as u32);
        for (words, passes) in [(1, 1), (2, 2), (3, 1), (4, 4), (8, 8), (16, 16), (32, 32), (33, 1)] {
            assert_eq!(bank_passes(4, FULL, &stride(words)), passes, "stride of {words} words");
        }
        assert_eq!(bank_passes(4, FULL, &[64; 32]), 1, "broadcast");
        assert_eq!(bank_passes(8, FULL, &stride(2)), 2, "8 bytes a lane");
        assert_eq!(bank_passes(16, FULL, &stride(4)), 4, "16 bytes a lane");
        assert_eq!(bank_passes(1, FULL, &std::array::from_fn(|lane| lane as u32)), 1, "bytes of eight words");
        assert_eq!(bank_passes(4, 1, &stride(32)), 1, "one lane");
    }

    #[test]
    fn atomics_on_one_word_take_a_pass_a_lane() {
        let mut recorder = recorder();
        recorder.banks(0, AccessKind::Atomic, 4, 0xff, &[16; 32], Pattern::Broadcast);
        assert_eq!(recorder.accesses[0].passes, 8);
    }

    #[test]
    fn a_matrix_takes_as_many_passes_as_its_rows_share_banks() {
        let passes = |matrices: u32, row: fn(u32) -> u32| {
            let mut recorder = recorder();
            let addresses = std::array::from_fn(|lane| row(lane as u32));
            recorder.matrices(AccessKind::Load, &addresses, matrices);
            let access = recorder.accesses[0];
            assert_eq!((access.bytes, access.width_bytes), (128 * matrices as u16, 4 * matrices as u8));
            access.passes
        };
        assert_eq!(passes(1, |lane| 16 * lane), 1, "side by side");
        assert_eq!(passes(4, |lane| 16 * lane), 4);
        assert_eq!(passes(4, |lane| 144 * lane), 4, "rows of 128 bytes, padded by 16");
        assert_eq!(passes(1, |lane| 128 * lane), 8, "rows of 128 bytes");
        assert_eq!(passes(2, |lane| 32 * (lane % 8) + 16 * (lane / 8)), 4, "rows of 32 bytes: two on the same banks");
        assert_eq!(passes(1, |lane| 16 * (lane % 2)), 1, "the same rows again");
    }

    /// Wavefronts of the data stage on an H200 (RRZE gpu-benches, gpu-strides: 32 lanes, stride in floats).
    #[test]
    fn global_accesses_take_the_passes_of_their_banks() {
        for (stride, passes) in [(0, 1), (1, 1), (2, 2), (3, 1), (4, 4), (6, 2), (8, 8), (12, 4), (14, 2), (15, 1)] {
            let addresses = std::array::from_fn(|lane| 0x7_0000_0000 + 4 * stride * lane as u64);
            let mut recorder = recorder();
            let pattern = Pattern::of_wide(4, FULL, &addresses);
            recorder.lines(0, (Space::Global, AccessKind::Load), 4, FULL, &addresses, pattern);
            assert_eq!(recorder.accesses[0].passes, passes, "stride of {stride} floats");
        }
    }

    #[test]
    fn lines_and_sectors_of_plain_accesses() {
        let lines = |first: u64, bytes: u32| {
            let addresses = std::array::from_fn(|lane| first + u64::from(bytes) * lane as u64);
            let mut recorder = recorder();
            let pattern = Pattern::of_wide(bytes, FULL, &addresses);
            recorder.lines(0, (Space::Global, AccessKind::Load), bytes, FULL, &addresses, pattern);
            recorder.lines.iter().map(|line| (line.address, line.sectors)).collect::<Vec<_>>()
        };
        assert_eq!(lines(0x1000, 4), [(0x1000, 0b1111)]);
        assert_eq!(lines(0x1004, 4), [(0x1000, 0b1111), (0x1080, 0b0001)]);
        assert_eq!(lines(0x1060, 4), [(0x1000, 0b1000), (0x1080, 0b0111)]);
        assert_eq!(lines(0x1000, 16).len(), 4);
        assert_eq!(lines(0x1020, 1), [(0x1000, 0b0010)]);
    }

    fn access() -> impl Strategy<Value = (u32, u32, [u32; 32])> {
        let size = prop_oneof![Just(1u32), Just(2), Just(4), Just(8), Just(16)];
        let kind = prop_oneof![Just(1u32), Just(4), Just(16), Just(256)];
        (size, any::<u32>(), kind, any::<[u16; 32]>(), any::<u16>(), 0u32..5).prop_map(
            |(size, mask, spread, random, base, shape)| {
                let address = |lane: usize| match shape {
                    0 => u32::from(base),
                    1 => u32::from(base) + size * lane as u32,
                    2 => u32::from(base) + size * spread * lane as u32,
                    _ => u32::from(base) + u32::from(random[lane]) % (64 * spread),
                };
                let mask = if shape == 1 { FULL } else { mask | 1 };
                (size, mask, std::array::from_fn(|lane| address(lane) / size * size))
            },
        )
    }

    proptest! {
        #[test]
        fn passes_are_the_words_of_the_busiest_bank((size, mask, addresses) in access(), shift in 0u32..64) {
            let mut words: BTreeMap<u32, BTreeSet<u32>> = BTreeMap::new();
            for lane in lanes_of(mask) {
                for word in addresses[lane] / 4..(addresses[lane] + size).div_ceil(4) {
                    words.entry(word % 32).or_default().insert(word);
                }
            }
            let want = words.values().map(BTreeSet::len).max().unwrap() as u8;
            prop_assert_eq!(bank_passes(size, mask, &addresses), want);
            // Remembered passes hold for the same distances from another address.
            let moved = addresses.map(|address| address + shift * size);
            let mut recorder = recorder();
            for addresses in [&addresses, &moved] {
                let pattern = Pattern::of_narrow(size, mask, addresses);
                recorder.banks(1, AccessKind::Load, size, mask, addresses, pattern);
            }
            prop_assert_eq!(recorder.accesses[1].passes, bank_passes(size, mask, &moved));
        }

        #[test]
        fn lines_cover_exactly_the_sectors_that_lanes_touch((size, mask, addresses) in access()) {
            let wide = addresses.map(|address| 0x7_0000_0000 + u64::from(address));
            let mut recorder = recorder();
            let pattern = Pattern::of_wide(size, mask, &wide);
            recorder.lines(0, (Space::Global, AccessKind::Store), size, mask, &wide, pattern);
            let want: BTreeSet<u64> = lanes_of(mask).map(|lane| wide[lane] / SECTOR_BYTES).collect();
            let mut got = BTreeSet::new();
            for line in &recorder.lines {
                for sector in (0..4).filter(|sector| line.sectors >> sector & 1 == 1) {
                    prop_assert!(got.insert(line.address / SECTOR_BYTES + sector), "twice");
                }
            }
            prop_assert_eq!(got, want);
            let access = recorder.accesses[0];
            prop_assert_eq!(usize::from(access.line_count), recorder.lines.len());
            prop_assert_eq!(u32::from(access.bytes), mask.count_ones() * size);
            prop_assert_eq!(access.one_address, lanes_of(mask).all(|lane| wide[lane] == wide[mask.trailing_zeros() as usize]));
            // In order of the first lane that touches them (a contiguous access: ascending).
            let first = |line: u64| lanes_of(mask).find(|&lane| wide[lane] / LINE_BYTES * LINE_BYTES == line);
            prop_assert!(recorder.lines.is_sorted_by_key(|line| first(line.address)));
        }
    }
}
