//! What hardware behind the coalescer can tell apart of a warp's addresses: lines with sectors, passes over banks.
//!
//! Global, local and constant memory: the 128-byte lines in order of the first lane that touches each, with the 32-byte
//! sectors touched. Shared memory: passes over the 32 banks of four bytes. A pass serves one word a bank to any number of
//! lanes; so a bank needs as many passes as distinct words are wanted from it, and the access as many as its busiest bank.
//! A full-warp access of 16 bytes a lane without conflict therefore takes 4 passes (512 bytes over 128-byte banks), one
//! where all lanes read the same 16 bytes takes 1. Atomics serve one lane a word and pass.

use super::frame::{FULL, lanes_of};
use crate::stream::{Access, AccessKind, LINE_BYTES, Line, NO_ACCESS, SECTOR_BYTES, Space};

/// Collects accesses. With `ON` false nothing is computed or kept.
#[derive(Debug, Default)]
pub struct Recorder<const ON: bool> {
    pub accesses: Vec<Access>,
    pub lines: Vec<Line>,
}

impl<const ON: bool> Recorder<ON> {
    /// An access to lines. `bytes` a lane, a power of two up to 16, addresses aligned to it. Returns its index.
    #[inline(always)]
    pub fn lines(&mut self, space: Space, kind: AccessKind, bytes: u32, mask: u32, addresses: &[u64; 32]) -> u32 {
        if !ON || mask == 0 {
            return NO_ACCESS;
        }
        let first_line = self.lines.len();
        let first = addresses[mask.trailing_zeros() as usize];
        let mut one_address = true;
        let mut contiguous = mask == FULL;
        for lane in 0..32 {
            contiguous &= addresses[lane] == first.wrapping_add(lane as u64 * u64::from(bytes));
            one_address &= addresses[lane] == first || mask >> lane & 1 == 0;
        }
        if one_address {
            self.touch(first_line, first);
        } else if contiguous {
            self.range(first, first + 32 * u64::from(bytes));
        } else {
            lanes_of(mask).for_each(|lane| self.touch(first_line, addresses[lane]));
        }
        self.push(Access {
            space,
            kind,
            width_bytes: bytes as u8,
            one_address,
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

    /// An access to shared memory. Returns its index.
    #[inline(always)]
    pub fn banks(&mut self, kind: AccessKind, bytes: u32, mask: u32, addresses: &[u32; 32]) -> u32 {
        if !ON || mask == 0 {
            return NO_ACCESS;
        }
        let first = addresses[mask.trailing_zeros() as usize];
        let mut one_address = true;
        let mut contiguous = mask == FULL;
        for lane in 0..32 {
            contiguous &= addresses[lane] == first.wrapping_add(lane as u32 * bytes);
            one_address &= addresses[lane] == first || mask >> lane & 1 == 0;
        }
        let atomic = matches!(kind, AccessKind::Atomic | AccessKind::Reduction);
        let passes = if atomic {
            atomic_passes(bytes, mask, addresses)
        } else if one_address {
            1
        } else if contiguous {
            bytes.div_ceil(4)
        } else {
            passes(bytes, mask, addresses)
        };
        self.push(Access {
            space: Space::Shared,
            kind,
            width_bytes: bytes as u8,
            one_address,
            passes: passes as u8,
            bytes: (mask.count_ones() * bytes) as u16,
            first_line: self.lines.len() as u32,
            line_count: 0,
        })
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
