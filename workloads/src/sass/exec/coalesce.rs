//! What hardware behind the coalescer can tell apart of a warp's addresses: lines with sectors, passes over banks.
//!
//! Global, local and constant memory: the 128-byte lines in order of the first lane that touches each, with the 32-byte
//! sectors touched. Shared memory: passes over the 32 banks of four bytes. A pass serves one word a bank to any number of
//! lanes; so a bank needs as many passes as distinct words are wanted from it, and the access as many as its busiest bank.
//! A full-warp access of 16 bytes a lane without conflict therefore takes 4 passes (512 bytes over 128-byte banks), one
//! where all lanes read the same 16 bytes takes 1. Atomics serve one lane a word and pass.

use super::frame::{BIT, FULL, lanes_of};
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
            let taken = if mask & BIT[lane] != 0 { u64::MAX } else { 0 };
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
            let taken = if mask & BIT[lane] != 0 { u32::MAX } else { 0 };
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

/// How eight neighbouring lanes access memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// All the same place.
    Same,
    /// Places side by side in order.
    Neighbours,
    Other,
}

impl Group {
    fn of(bytes: u32, distances: &[u32; 8]) -> Self {
        let apart = |by: u32| (0..).zip(distances).all(|(lane, &own)| own == distances[0].wrapping_add(by * lane));
        match (apart(0), apart(bytes)) {
            (true, _) => Self::Same,
            (_, true) => Self::Neighbours,
            _ => Self::Other,
        }
    }
}

/// How the addresses of one instruction lay to each other when it last executed, and what follows from that wherever they lie:
/// a loop comes back with the same distances. Moving all addresses by as much only turns the banks round.
#[derive(Clone, Debug)]
pub struct Shape {
    /// A lane; 0: none has executed.
    bytes: u32,
    /// Of the first address in a word: below a word, lanes share words by their place in them.
    byte: u32,
    mask: u32,
    /// From the first lane that executes; of lanes that do not, 0.
    pub distances: [u32; 32],
    pub pattern: Pattern,
    pub groups: [Group; 4],
    /// Smallest and largest distance.
    pub span: [i32; 2],
    /// Whether distances are multiples of the width.
    pub aligned: bool,
    passes: u32,
}

impl Shape {
    const UNKNOWN: Self = Self {
        bytes: 0,
        byte: 0,
        mask: 0,
        distances: [0; 32],
        pattern: Pattern::Other,
        groups: [Group::Other; 4],
        span: [0; 2],
        aligned: false,
        passes: 0,
    };

    /// The unit of `BYTES`, the width, that a lane accesses, where the first lane that executes accesses `first`.
    #[inline(always)]
    pub fn unit<const BYTES: usize>(&self, first: usize, lane: usize) -> usize {
        first.wrapping_add_signed((self.distances[lane] as i32 >> BYTES.ilog2()) as isize)
    }

    /// The unit that the first lane that executes accesses, `place` bytes behind the begin of memory of `size` bytes, if all
    /// lanes are aligned and inside.
    #[inline(always)]
    pub fn first_unit<const BYTES: usize>(&self, place: i64, size: usize) -> Option<usize> {
        let [lowest, highest] = self.span.map(|distance| place.saturating_add(distance.into()));
        let inside = lowest >= 0 && highest <= size as i64 - BYTES as i64;
        (inside && self.aligned && place & (BYTES as i64 - 1) == 0).then_some(place as usize / BYTES)
    }

    /// Whether addresses of 64 bits, of which the lower halves have this shape, have it too.
    #[inline(always)]
    fn is_of_wide(&self, mask: u32, addresses: &[u64; 32]) -> bool {
        let first = addresses[mask.trailing_zeros() as usize % 32];
        let mut strayed = 0;
        for lane in 0..32 {
            let own = if mask & BIT[lane] != 0 { addresses[lane] } else { first };
            strayed |= own ^ first.wrapping_add_signed(i64::from(self.distances[lane] as i32));
        }
        strayed == 0
    }

    #[cold]
    #[inline(never)]
    fn learn<const ON: bool>(&mut self, bytes: u32, mask: u32, addresses: &[u32; 32], distances: [u32; 32]) {
        let pattern = Pattern::of_narrow(bytes, mask, addresses);
        let signed = || distances.iter().map(|&distance| distance as i32);
        *self = Self {
            bytes,
            byte: addresses[mask.trailing_zeros() as usize % 32] % 4,
            mask,
            distances,
            pattern,
            groups: std::array::from_fn(|group| Group::of(bytes, &distances.as_chunks::<8>().0[group])),
            span: [signed().min().unwrap_or(0), signed().max().unwrap_or(0)],
            aligned: distances.iter().all(|distance| distance & (bytes - 1) == 0),
            passes: match pattern {
                _ if !ON => 0,
                Pattern::Broadcast => 1,
                Pattern::Contiguous => bytes.div_ceil(4),
                Pattern::Other => passes(bytes, mask, addresses),
            },
        };
    }
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
    /// By instruction; they hold for all CTAs.
    pub shapes: Vec<Shape>,
    /// By instruction, its last access in this CTA.
    last: Vec<u32>,
}

impl<const ON: bool> Recorder<ON> {
    /// Begins a CTA with the buffers of the last one.
    pub fn begin(&mut self, code_len: usize, accesses: Vec<Access>, lines: Vec<Line>) {
        (self.accesses, self.lines) = (accesses, lines);
        self.shapes.resize(code_len, Shape::UNKNOWN);
        self.last.clear();
        self.last.resize(code_len, NO_ACCESS);
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
            Pattern::Other => self.scattered(first_line, mask, addresses),
        }
        // The banks are those of shared memory: words of a line lie in them by their place in it.
        let passes = match (space, pattern) {
            (Space::Constant, _) | (_, Pattern::Broadcast) => 1,
            (_, Pattern::Contiguous) => bytes.div_ceil(4),
            (_, Pattern::Other) => self.shape(position, bytes, mask, &addresses.map(|address| address as u32)).passes,
        };
        let access = Access {
            space,
            kind,
            width_bytes: bytes as u8,
            one_address: pattern == Pattern::Broadcast,
            passes: passes as u8,
            bytes: (mask.count_ones() * bytes) as u16,
            first_line: first_line as u32,
            line_count: (self.lines.len() - first_line) as u16,
        };
        self.push_unless_again(position, access)
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
        self.mark(first_line, sector_at(address));
    }

    /// Marks the sectors that the lanes touch. Neighbours mostly touch the same line.
    #[inline(always)]
    fn scattered(&mut self, first_line: usize, mask: u32, addresses: &[u64; 32]) {
        let mut line = sector_at(addresses[mask.trailing_zeros() as usize % 32]);
        for lane in lanes_of(mask) {
            let next = sector_at(addresses[lane]);
            if next.address == line.address {
                line.sectors |= next.sectors;
            } else {
                self.mark(first_line, line);
                line = next;
            }
        }
        self.mark(first_line, line);
    }

    /// Marks sectors of one line.
    #[inline(always)]
    fn mark(&mut self, first_line: usize, line: Line) {
        match self.lines[first_line..].iter_mut().rev().find(|own| own.address == line.address) {
            Some(own) => own.sectors |= line.sectors,
            None => self.lines.push(line),
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
    pub fn banks(&mut self, position: u32, kind: AccessKind, bytes: u32, mask: u32, addresses: &[u32; 32]) -> u32 {
        if !ON || mask == 0 {
            return NO_ACCESS;
        }
        if matches!(kind, AccessKind::Atomic | AccessKind::Reduction) {
            self.keep(|| addresses.map(u64::from));
            let one_address = Pattern::of_narrow(bytes, mask, addresses) == Pattern::Broadcast;
            return self.push_banks(position, kind, bytes, mask, one_address, atomic_passes(bytes, mask, addresses));
        }
        self.shape(position, bytes, mask, addresses);
        self.shaped(position, kind, bytes, mask, addresses)
    }

    /// As [`Self::banks`] for a load or store whose [`Self::shape`] was just looked at.
    #[inline(always)]
    pub fn shaped(&mut self, position: u32, kind: AccessKind, bytes: u32, mask: u32, addresses: &[u32; 32]) -> u32 {
        if !ON {
            return NO_ACCESS;
        }
        self.keep(|| addresses.map(u64::from));
        let Shape { pattern, passes, .. } = self.shapes[position as usize];
        self.push_banks(position, kind, bytes, mask, pattern == Pattern::Broadcast, passes)
    }

    #[inline(always)]
    fn push_banks(
        &mut self,
        position: u32,
        kind: AccessKind,
        bytes: u32,
        mask: u32,
        one_address: bool,
        passes: u32,
    ) -> u32 {
        let access = Access {
            space: Space::Shared,
            kind,
            width_bytes: bytes as u8,
            one_address,
            passes: passes as u8,
            bytes: (mask.count_ones() * bytes) as u16,
            first_line: self.lines.len() as u32,
            line_count: 0,
        };
        self.push_unless_again(position, access)
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
        let passes = self.shape(position, bytes, mask, to).passes;
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

    /// How the addresses of the instruction at `position` lie to each other.
    #[inline(always)]
    pub fn shape(&mut self, position: u32, bytes: u32, mask: u32, addresses: &[u32; 32]) -> &Shape {
        let first = addresses[mask.trailing_zeros() as usize % 32];
        let shape = &mut self.shapes[position as usize];
        let (mut distances, mut different) =
            ([0; 32], shape.mask ^ mask | shape.bytes ^ bytes | shape.byte ^ (first % 4));
        for lane in 0..32 {
            let taken = if mask & BIT[lane] != 0 { u32::MAX } else { 0 };
            distances[lane] = addresses[lane].wrapping_sub(first) & taken;
            different |= distances[lane] ^ shape.distances[lane];
        }
        if different != 0 {
            shape.learn::<ON>(bytes, mask, addresses, distances);
        }
        shape
    }

    /// [`Self::shape`] of the lower halves of addresses, and the pattern of the whole; no shape where the upper halves go their
    /// own way.
    #[inline(always)]
    pub fn shape_of_wide(
        &mut self,
        position: u32,
        bytes: u32,
        mask: u32,
        addresses: &[u64; 32],
    ) -> (Option<&Shape>, Pattern) {
        let shape = self.shape(position, bytes, mask, &addresses.map(|address| address as u32));
        if shape.is_of_wide(mask, addresses) {
            (Some(shape), shape.pattern)
        } else {
            (None, Pattern::of_wide(bytes, mask, addresses))
        }
    }

    /// An access by the instruction at `position`. If its last one in this CTA was the same in all that is recorded, that one is
    /// meant again; unless addresses are kept, which may differ.
    #[inline(always)]
    fn push_unless_again(&mut self, position: u32, access: Access) -> u32 {
        let last = self.last[position as usize];
        if let (Some(&earlier), None) = (self.accesses.get(last as usize), &self.kept)
            && earlier == (Access { first_line: earlier.first_line, ..access })
            && (access.line_count == 0 || self.lines_of(earlier) == self.lines_of(access))
        {
            self.lines.truncate(access.first_line as usize);
            return last;
        }
        self.last[position as usize] = self.accesses.len() as u32;
        self.push(access)
    }

    fn lines_of(&self, access: Access) -> &[Line] {
        &self.lines[access.first_line as usize..][..access.line_count.into()]
    }

    #[inline(always)]
    fn push(&mut self, access: Access) -> u32 {
        self.accesses.push(access);
        self.accesses.len() as u32 - 1
    }
}

/// The sector that an address lies in.
#[inline(always)]
fn sector_at(address: u64) -> Line {
    Line { address: address & !(LINE_BYTES - 1), sectors: 1 << (address % LINE_BYTES / SECTOR_BYTES) }
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
        recorder.banks(0, AccessKind::Load, bytes, mask, addresses);
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
        recorder.banks(0, AccessKind::Atomic, 4, 0xff, &[16; 32]);
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
                let access = recorder.banks(1, AccessKind::Load, size, mask, addresses);
                let passes = recorder.accesses[access as usize].passes;
                prop_assert_eq!(passes, bank_passes(size, mask, addresses));
            }
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
