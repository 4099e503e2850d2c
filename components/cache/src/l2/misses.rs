//! Lines on their way into a slice, and who waits for them.

use protocol::MemRequest;
use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

/// Where a request came in, and where its answer leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Side {
    /// The crossbar.
    Requester,
    /// The slice of the other partition.
    Mirror,
}

/// A request that is not answered yet.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Waiter {
    pub request: MemRequest,
    pub side: Side,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Entry {
    line: u64,
    /// Asked for and not yet here.
    outstanding: u8,
    /// The line belongs to the other partition.
    foreign: bool,
    waiters: Vec<(Waiter, u8)>,
}

/// The miss-status holding registers.
pub struct Misses {
    entries: Vec<Entry>,
    free: Vec<u32>,
    by_line: FxHashMap<u64, u32>,
    merges: usize,
    foreign: usize,
}

sim_core::saved!(Misses {
    sized: entries;
    state: free, foreign;
    by in_order: by_line;
    rebuilt: merges;
});

/// A snapshot has the lines in their order, not in the table's, which depends on what has been in it before.
mod in_order {
    use super::FxHashMap;
    use sim_core::snapshot::{LoadError, Reader, Writer};

    pub fn save(by_line: &FxHashMap<u64, u32>, out: &mut Writer) {
        let mut lines: Vec<(u64, u32)> = by_line.iter().map(|(line, entry)| (*line, *entry)).collect();
        lines.sort_unstable();
        out.put(&lines);
    }

    pub fn load(by_line: &mut FxHashMap<u64, u32>, from: &mut Reader<'_>) -> Result<(), LoadError> {
        let lines: Vec<(u64, u32)> = from.get()?;
        by_line.extend(lines);
        Ok(())
    }
}

/// How a miss goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    pub entry: u32,
    /// Sectors that nobody has asked for yet; 0: merged.
    pub sectors: u8,
}

impl Misses {
    pub fn new(entries: u16, merges: u16) -> Self {
        let mut by_line = FxHashMap::default();
        by_line.reserve(usize::from(entries));
        Self {
            entries: (0..entries).map(|_| Entry::default()).collect(),
            free: (0..u32::from(entries)).rev().collect(),
            by_line,
            merges: usize::from(merges),
            foreign: 0,
        }
    }

    /// Notes that a request waits for `missing` sectors of a line. `None`: no room.
    ///
    /// Lines of the other partition get at most half of the entries: if all of both partitions could wait for each
    /// other, none would be left for what they wait for.
    pub fn wait(&mut self, line: u64, foreign: bool, missing: u8, waiter: Waiter) -> Option<Asked> {
        let index = match self.by_line.get(&line) {
            Some(&index) if self.entries[index as usize].waiters.len() < self.merges => index,
            Some(_) => return None,
            None if foreign && self.foreign >= self.entries.len() / 2 => return None,
            None => {
                let index = self.free.pop()?;
                self.by_line.insert(line, index);
                self.foreign += usize::from(foreign);
                let entry = &mut self.entries[index as usize];
                (entry.line, entry.foreign) = (line, foreign);
                index
            }
        };
        let entry = &mut self.entries[index as usize];
        let new = missing & !entry.outstanding;
        entry.outstanding |= new;
        entry.waiters.push((waiter, missing));
        Some(Asked { entry: index, sectors: new })
    }

    /// The line of an entry.
    pub fn line(&self, entry: u32) -> u64 {
        self.entries[entry as usize].line
    }

    /// Sectors have come: those who have all they wait for go to `done`.
    pub fn arrived(&mut self, index: u32, sectors: u8, done: &mut Vec<Waiter>) {
        let entry = &mut self.entries[index as usize];
        entry.outstanding &= !sectors;
        let outstanding = entry.outstanding;
        entry.waiters.retain(|(waiter, missing)| {
            let waits = missing & outstanding != 0;
            if !waits {
                done.push(*waiter);
            }
            waits
        });
        if outstanding == 0 {
            self.by_line.remove(&entry.line);
            self.foreign -= usize::from(entry.foreign);
            self.free.push(index);
        }
    }

    /// The oldest waiter of some entry, for the deadlock report.
    pub fn any(&self) -> Option<&Waiter> {
        self.entries.iter().find_map(|entry| entry.waiters.first()).map(|(waiter, _)| waiter)
    }
}
