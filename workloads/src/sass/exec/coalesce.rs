//! What hardware behind the coalescer can tell apart of a warp's addresses: lines with sectors, passes over banks.
//!
//! Global, local and constant memory: the 128-byte lines in order of the first lane that touches each, with the 32-byte
//! sectors touched. Shared memory: passes over the 32 banks of four bytes. A pass serves one word a bank to any number of
//! lanes; so a bank needs as many passes as distinct words are wanted from it, and the access as many as its busiest bank.
//! A full-warp access of 16 bytes a lane without conflict therefore takes 4 passes (512 bytes over 128-byte banks), one
//! where all lanes read the same 16 bytes takes 1. Atomics serve one lane a word and pass.

use super::frame::{FULL, lanes_of};
use crate::stream::{Access, AccessKind, LINE_BYTES, Line, NO_ACCESS, SECTOR_BYTES, Space};

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
    /// By instruction.
    known: Vec<KnownPasses>,
}

impl<const ON: bool> Recorder<ON> {
    /// Begins a CTA with the buffers of the last one.
    pub fn begin(&mut self, code_len: usize, accesses: Vec<Access>, lines: Vec<Line>) {
        (self.accesses, self.lines) = (accesses, lines);
        self.known.resize(code_len, KnownPasses { mask: 0, distances: [0; 32], passes: 0 });
    }

    /// An access to lines. `bytes` a lane, a power of two up to 16, addresses aligned to it. Returns its index.
    #[inline(always)]
    pub fn lines(
        &mut self,
        space: Space,
        kind: AccessKind,
        bytes: u32,
        mask: u32,
        addresses: &[u64; 32],
        pattern: Pattern,
    ) -> u32 {
        if !ON || mask == 0 {
            return NO_ACCESS;
        }
        let first_line = self.lines.len();
        let first = addresses[mask.trailing_zeros() as usize];
        match pattern {
            Pattern::Broadcast => self.touch(first_line, first),
            Pattern::Contiguous => self.range(first, first + 32 * u64::from(bytes)),
            Pattern::Other => lanes_of(mask).for_each(|lane| self.touch(first_line, addresses[lane])),
        }
        self.push(Access {
            space,
            kind,
            width_bytes: bytes as u8,
            one_address: pattern == Pattern::Broadcast,
            passes: 1,
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
            passes: 1,
            bytes: (mask.count_ones() * bytes) as u16,
            first_line: first_line as u32,
            line_count: (self.lines.len() - first_line) as u16,
        })
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
