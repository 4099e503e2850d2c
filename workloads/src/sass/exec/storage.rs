//! The memories that a CTA sees, with their bounds.

use std::collections::BTreeMap;

use super::frame::Lanes;
use super::mbarrier::Mbarrier;

/// Where the first buffer lies. Far from zero, so that an address computed from a null pointer hits nothing.
const FIRST_BUFFER: u64 = 0x7_0000_0000;
/// Buffers begin at multiples of this, as the driver's large allocations do, with at least a kibibyte of nothing between.
const BUFFER_ALIGNMENT: u64 = 2 << 20;
const GAP_BYTES: u64 = 1024;

/// One allocation in global memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Buffer {
    pub name: String,
    pub address: u64,
    pub data: Vec<u8>,
}

impl Buffer {
    /// How far behind the begin an address lies.
    pub(super) fn place(&self, address: u64) -> i64 {
        address.wrapping_sub(self.address) as i64
    }

    /// The bytes at an address if they lie inside.
    #[inline(always)]
    pub fn at(&self, address: u64, bytes: usize) -> Option<&[u8]> {
        let start = usize::try_from(address.wrapping_sub(self.address)).ok()?;
        self.data.get(start..start.checked_add(bytes)?)
    }

    #[inline(always)]
    pub fn at_mut(&mut self, address: u64, bytes: usize) -> Option<&mut [u8]> {
        let start = usize::try_from(address.wrapping_sub(self.address)).ok()?;
        self.data.get_mut(start..start.checked_add(bytes)?)
    }
}

/// Global memory: the buffers of a launch, in order of address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GlobalMemory {
    buffers: Vec<Buffer>,
}

// Where the buffers lie is the launch's; what is in them has happened.
sim_core::saved!(Buffer { sized: data; rebuilt: name, address });
sim_core::saved!(GlobalMemory { parts: buffers });

impl GlobalMemory {
    /// Sets a buffer aside; returns its address.
    pub fn allocate(&mut self, name: &str, data: Vec<u8>) -> u64 {
        let end = |buffer: &Buffer| buffer.address + buffer.data.len() as u64 + GAP_BYTES;
        let address = self.buffers.last().map_or(FIRST_BUFFER, |last| end(last).next_multiple_of(BUFFER_ALIGNMENT));
        self.buffers.push(Buffer { name: name.to_owned(), address, data });
        address
    }

    /// As [`Self::allocate`], for a buffer of 64-bit offsets into itself: they become addresses.
    pub fn allocate_pointers(&mut self, name: &str, offsets: Vec<u8>) -> u64 {
        let address = self.allocate(name, offsets);
        let buffer = self.buffers.last_mut().expect("allocated above");
        for word in buffer.data.as_chunks_mut::<8>().0 {
            *word = (u64::from_le_bytes(*word) + address).to_le_bytes();
        }
        address
    }

    pub fn buffers(&self) -> &[Buffer] {
        &self.buffers
    }

    /// The contents of a buffer.
    pub fn buffer(&self, name: &str) -> Option<&Buffer> {
        self.buffers.iter().find(|buffer| buffer.name == name)
    }

    /// Index of the last buffer that begins at or below the address (0 when there is none).
    #[inline(always)]
    pub fn index_of(&self, address: u64) -> usize {
        self.buffers.partition_point(|buffer| buffer.address <= address).saturating_sub(1)
    }

    #[inline(always)]
    pub fn get(&self, index: usize) -> Option<&Buffer> {
        self.buffers.get(index)
    }

    #[inline(always)]
    pub fn get_mut(&mut self, index: usize) -> Option<&mut Buffer> {
        self.buffers.get_mut(index)
    }

    /// In words: which buffer is next to an address that hits none.
    pub fn neighbourhood(&self, address: u64) -> String {
        let distance = |buffer: &Buffer| {
            let end = buffer.address + buffer.data.len() as u64;
            if address < buffer.address { buffer.address - address } else { (address + 1).saturating_sub(end) }
        };
        match self.buffers.iter().min_by_key(|buffer| distance(buffer)) {
            None => "the launch has no buffers".to_owned(),
            Some(buffer) => {
                let (begin, end) = (buffer.address, buffer.address + buffer.data.len() as u64);
                let place = if address < begin { "before the begin" } else { "behind the end" };
                let by = if address < begin { begin - address } else { address - end.min(address) };
                format!("the nearest buffer is `{}`, {begin:#x} to {end:#x}; this is {by} bytes {place}", buffer.name)
            }
        }
    }
}

/// Shared memory of one CTA, and where in its window it begins.
#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
pub struct SharedMemory {
    /// Addresses below are the system's.
    pub base: u32,
    /// The window from address 0.
    pub data: Vec<u8>,
    /// Barriers that count arrivals and bytes, by address.
    pub mbarriers: BTreeMap<u32, Mbarrier>,
}

impl SharedMemory {
    #[inline(always)]
    pub fn at(&self, address: u32, bytes: usize) -> Option<&[u8]> {
        if address < self.base {
            return None;
        }
        self.data.get(address as usize..address as usize + bytes)
    }

    #[inline(always)]
    pub fn at_mut(&mut self, address: u32, bytes: usize) -> Option<&mut [u8]> {
        if address < self.base {
            return None;
        }
        self.data.get_mut(address as usize..address as usize + bytes)
    }
}

/// Local memory of one warp: word i of all lanes side by side, as the hardware interleaves it.
#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
pub struct LocalMemory {
    pub words: Vec<Lanes>,
}
