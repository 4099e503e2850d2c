//! First-level data cache: tags, lines on their way, requests to memory.
//!
//! Models: 128-byte lines of 32-byte sectors, least recently used; global memory written through without allocation, local
//! memory kept and written back when it has to make room (a line of it is one warp's own: what a lane reads it has written,
//! and after the grid nobody wants it); one entry for a line
//! on its way in which several instructions wait, a request for each set of missing sectors, capacity after the
//! shared-memory carve-out. Leaves out: tag banks. Numbers: the public simulator of arXiv 2503.20481.

use super::super::spec::L1Data as Spec;
use super::super::tags::{Evicted, LineMap, Tags};
use super::super::timing::L1Use;
use super::Destination;
use protocol::{MemOp, MemRequest};
use sim_core::prefetch;
use std::collections::VecDeque;
use workloads::stream::{LINE_BYTES, Line, SECTOR_BYTES};

/// What a request's answer is for; the top byte of its id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Line of the L1D: index of its entry.
    Data(u32),
    /// Line of the instruction/constant cache.
    Instruction { line: u64 },
    /// A store of a warp slot (sub-core, slot, generation of the slot), and the grid slot of its grid.
    Store { subcore: u8, warp: u8, generation: u16, slot: u8 },
    /// An atomic with result: index of the waiting load.
    Atomic(u32),
    /// The engine of bulk copies: place of the command, or its tensor map.
    Bulk(u32),
    /// Local memory that had to make room: nobody waits.
    WriteBack,
}

impl Answer {
    fn id(self, serial: u64) -> u64 {
        match self {
            Answer::Data(entry) => u64::from(entry),
            Answer::Instruction { line } => 1 << 56 | line,
            Answer::Store { subcore, warp, generation, slot } => {
                2 << 56
                    | u64::from(subcore) << 52
                    | u64::from(warp) << 48
                    | u64::from(generation) << 32
                    | u64::from(slot) << 24
                    | serial & 0xff_ffff
            }
            Answer::Atomic(load) => 3 << 56 | u64::from(load) << 32 | serial & 0xffff_ffff,
            Answer::WriteBack => 5 << 56 | serial & 0xffff_ffff,
            Answer::Bulk(place) => 4 << 56 | u64::from(place) << 32 | serial & 0xffff_ffff,
        }
    }

    pub fn of_id(id: u64) -> Self {
        match id >> 56 {
            0 => Answer::Data(id as u32),
            1 => Answer::Instruction { line: id & ((1 << 56) - 1) },
            2 => Answer::Store {
                subcore: (id >> 52 & 0xf) as u8,
                warp: (id >> 48 & 0xf) as u8,
                generation: (id >> 32) as u16,
                slot: (id >> 24) as u8,
            },
            3 => Answer::Atomic((id >> 32 & 0xff_ffff) as u32),
            5 => Answer::WriteBack,
            _ => Answer::Bulk((id >> 32 & 0xff_ffff) as u32),
        }
    }
}

/// A load some of whose sectors are on their way.
#[derive(Clone, Copy, Debug, serde::Serialize, serde::Deserialize)]
pub(crate) struct WaitingLoad {
    pub to: Destination,
    /// Lines (or atomic requests) that are missing.
    remaining: u16,
    /// What is on its way already may come before the load has found that it is missing.
    pub earliest_return: u64,
    /// From the last arrival to the release of the result.
    pub tail_cycles: u64,
    /// Cycles of the return link.
    pub link_cycles: u64,
}

/// A line on its way.
#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
struct Entry {
    line: u64,
    /// Sectors asked for and not yet here.
    outstanding: u8,
    /// What arrives is kept in the cache.
    keeps: bool,
    /// Who waits for which sectors.
    waiters: Vec<(u32, u8)>,
}

pub(crate) struct L1Data {
    /// Every lookup hits.
    perfect: bool,
    tags: Tags,
    spec_sets: u32,
    unified_bytes: u64,
    by_line: LineMap,
    entries: Vec<Entry>,
    free_entries: Vec<u32>,
    loads: Vec<WaitingLoad>,
    free_loads: Vec<u32>,
    requests: VecDeque<(u64, MemRequest)>,
    instruction_requests: VecDeque<MemRequest>,
    most_requests: usize,
    merges: usize,
    serial: u64,
    /// Stores that memory has not acknowledged, by the grid slot of their grid.
    stores_unanswered: Vec<u32>,
    pub sector_hits: u64,
    pub sector_misses: u64,
    pub requests_sent: u64,
    pub bytes_read: u64,
    pub bytes_written: u64,
}

// A kernel's carve-out gives the tags their size: they are saved with it.
sim_core::saved!(L1Data {
    state: tags, by_line, free_entries, loads, free_loads, requests, instruction_requests, serial, stores_unanswered, sector_hits,
        sector_misses, requests_sent, bytes_read, bytes_written;
    sized: entries;
    rebuilt: perfect, spec_sets, unified_bytes, most_requests, merges;
});

impl L1Data {
    pub fn new(spec: &Spec) -> Self {
        let lines = u64::from(spec.unified_kib) * 1024 / LINE_BYTES;
        Self {
            perfect: spec.perfect,
            tags: Tags::new(spec.sets, (lines / u64::from(spec.sets)) as u32),
            spec_sets: spec.sets,
            unified_bytes: u64::from(spec.unified_kib) * 1024,
            by_line: LineMap::with_capacity(usize::from(spec.miss_entries)),
            entries: vec![Entry::default(); usize::from(spec.miss_entries)],
            free_entries: (0..u32::from(spec.miss_entries)).rev().collect(),
            loads: Vec::new(),
            free_loads: Vec::new(),
            requests: VecDeque::with_capacity(usize::from(spec.request_queue_entries)),
            instruction_requests: VecDeque::new(),
            most_requests: usize::from(spec.request_queue_entries),
            merges: usize::from(spec.merges_per_line),
            serial: 0,
            stores_unanswered: Vec::new(),
            sector_hits: 0,
            sector_misses: 0,
            requests_sent: 0,
            bytes_read: 0,
            bytes_written: 0,
        }
    }

    /// Gives shared memory so much; the rest caches data, empty.
    pub fn carve(&mut self, shared_bytes: u32) {
        let lines = self.unified_bytes.saturating_sub(shared_bytes.into()) / LINE_BYTES;
        self.tags = Tags::new(self.spec_sets, (lines / u64::from(self.spec_sets)).max(1) as u32);
    }

    /// All sectors of a line are there.
    pub fn warm(&mut self, number: u64) {
        self.tags.fill(number, 0xf);
    }

    /// Whether an access to these lines finds room for all its misses and requests.
    pub fn has_room(&self, lines: &[Line]) -> bool {
        let merged_full = |line: &Line| {
            let entry = self.by_line.get(line.address / LINE_BYTES);
            entry.is_some_and(|entry| self.entries[entry as usize].waiters.len() >= self.merges)
        };
        // They will be looked up when there is room.
        lines.iter().for_each(|line| self.tags.prefetch(line.address / LINE_BYTES));
        self.free_entries.len() >= lines.len()
            && self.requests.len() + lines.len() <= self.most_requests
            && !lines.iter().any(merged_full)
    }

    /// Asks the host's caches for an entry that will be answered.
    #[inline]
    pub fn prefetch_entry(&self, index: u32) {
        prefetch(self.entries.as_ptr().wrapping_add(index as usize));
    }

    /// Asks the host's caches for what the answer of an entry will change. Looks at the entry.
    #[inline]
    pub fn prefetch_fill(&self, index: u32) {
        let entry = &self.entries[index as usize];
        prefetch(entry.waiters.as_ptr());
        self.by_line.prefetch(entry.line);
        if entry.keeps {
            self.tags.prefetch_fill(entry.line);
        }
    }

    /// Looks up the lines of a load. `None`: all sectors are there. Otherwise the number under which it waits.
    pub fn load(&mut self, lines: &[Line], request_at: u64, use_of_l1: L1Use, waiting: WaitingLoad) -> Option<u32> {
        let mut load = None;
        for line in lines {
            let number = line.address / LINE_BYTES;
            let present = match use_of_l1 {
                _ if self.perfect => line.sectors,
                L1Use::Cached => self.tags.touch(number),
                L1Use::Refetched | L1Use::Bypassed => 0,
            };
            let missing = line.sectors & !present;
            self.sector_hits += u64::from((line.sectors & present).count_ones());
            self.sector_misses += u64::from(missing.count_ones());
            if missing == 0 {
                continue;
            }
            let load = match load {
                Some(load) => load,
                None => *load.insert(self.add_load(WaitingLoad { earliest_return: request_at, ..waiting })),
            };
            self.loads[load as usize].remaining += 1;
            self.miss(number, missing, load, request_at, use_of_l1 != L1Use::Bypassed);
        }
        load
    }

    fn add_load(&mut self, waiting: WaitingLoad) -> u32 {
        match self.free_loads.pop() {
            Some(free) => {
                self.loads[free as usize] = waiting;
                free
            }
            None => {
                self.loads.push(waiting);
                self.loads.len() as u32 - 1
            }
        }
    }

    fn miss(&mut self, number: u64, missing: u8, load: u32, request_at: u64, keeps: bool) {
        let index = match self.by_line.get(number) {
            Some(index) => index,
            None => {
                // Room was checked.
                let Some(index) = self.free_entries.pop() else { return };
                self.by_line.insert(number, index);
                self.entries[index as usize].line = number;
                self.entries[index as usize].keeps = false;
                index
            }
        };
        let entry = &mut self.entries[index as usize];
        let new = missing & !entry.outstanding;
        entry.outstanding |= new;
        entry.keeps |= keeps;
        entry.waiters.push((load, missing));
        if new != 0 {
            self.ask(Answer::Data(index), number * LINE_BYTES, new, MemOp::Read, request_at);
        }
    }

    /// Lines written through; one acknowledgement each.
    pub fn store(&mut self, lines: &[Line], at: u64, op: MemOp, answer: Answer) {
        if let Answer::Store { slot, .. } = answer {
            let slot = usize::from(slot);
            if self.stores_unanswered.len() <= slot {
                self.stores_unanswered.resize(slot + 1, 0);
            }
            self.stores_unanswered[slot] += lines.len() as u32;
        }
        for line in lines {
            self.ask(answer, line.address, line.sectors, op, at);
        }
    }

    /// Memory has acknowledged a store of a grid in this grid slot.
    pub fn store_answered(&mut self, slot: u8) {
        self.stores_unanswered[usize::from(slot)] -= 1;
    }

    /// Stores of a grid slot that memory has not acknowledged.
    pub fn stores_unanswered(&self, slot: u8) -> u32 {
        self.stores_unanswered.get(usize::from(slot)).copied().unwrap_or(0)
    }

    /// Local memory that is written and stays here.
    pub fn store_local(&mut self, lines: &[Line], at: u64) {
        for line in lines {
            let evicted = self.tags.write(line.address / LINE_BYTES, line.sectors);
            self.write_back(evicted, at);
        }
    }

    fn write_back(&mut self, evicted: Option<Evicted>, at: u64) {
        if let Some(Evicted { line, dirty }) = evicted {
            self.ask(Answer::WriteBack, line * LINE_BYTES, dirty, MemOp::Write, at);
        }
    }

    /// An atomic with result waits for all its lines.
    pub fn atomic(&mut self, lines: &[Line], at: u64, waiting: WaitingLoad) {
        let waiting = WaitingLoad { remaining: lines.len() as u16, earliest_return: at, ..waiting };
        let load = self.add_load(waiting);
        self.store(lines, at, MemOp::Atomic, Answer::Atomic(load));
    }

    /// A line for the instruction/constant cache.
    pub fn fetch(&mut self, line: u64, bytes: u32) {
        self.instruction_requests.push_back(MemRequest {
            id: Answer::Instruction { line }.id(0),
            source: 0,
            bytes,
            address: line * u64::from(bytes),
            sectors: 0xf,
            op: MemOp::Read,
        });
    }

    /// Whether one more request finds a place.
    pub fn takes_requests(&self) -> bool {
        self.requests.len() < self.most_requests
    }

    /// Puts a request into the queue, to leave in cycle `at` or later.
    pub fn ask(&mut self, answer: Answer, address: u64, sectors: u8, op: MemOp, at: u64) {
        self.serial += 1;
        let bytes = sectors.count_ones() * SECTOR_BYTES as u32;
        let at = self.requests.back().map_or(at, |last| last.0.max(at));
        let request = MemRequest { id: answer.id(self.serial), source: 0, bytes, address, sectors, op };
        self.requests.push_back((at, request));
    }

    /// When a request is due to leave; instruction lines go first.
    pub fn next_request(&self) -> Option<u64> {
        if self.instruction_requests.is_empty() { self.requests.front().map(|request| request.0) } else { Some(0) }
    }

    /// Takes the request that is due in cycle `now`.
    pub fn take_request(&mut self, now: u64) -> Option<MemRequest> {
        let request = match self.instruction_requests.pop_front() {
            Some(request) => request,
            None if self.requests.front().is_some_and(|request| request.0 <= now) => self.requests.pop_front()?.1,
            None => return None,
        };
        self.requests_sent += 1;
        match request.op {
            MemOp::Read | MemOp::Prefetch => self.bytes_read += u64::from(request.bytes),
            _ => self.bytes_written += u64::from(request.bytes),
        }
        Some(request)
    }

    /// Sectors have come: the loads that have all they waited for go to `complete`.
    pub fn filled(&mut self, index: u32, sectors: u8, complete: &mut Vec<WaitingLoad>) {
        let entry = &mut self.entries[index as usize];
        entry.outstanding &= !sectors;
        let outstanding = entry.outstanding;
        let evicted = if entry.keeps { self.tags.fill(entry.line, sectors) } else { None };
        // It leaves behind what waits already.
        self.write_back(evicted, 0);
        let entry = &mut self.entries[index as usize];
        let mut waiters = std::mem::take(&mut entry.waiters);
        waiters.retain(|&(load, needs)| {
            if needs & outstanding != 0 {
                return true;
            }
            if let Some(done) = Self::one_less(&mut self.loads, &mut self.free_loads, load) {
                complete.push(done);
            }
            false
        });
        let entry = &mut self.entries[index as usize];
        entry.waiters = waiters;
        if outstanding == 0 {
            self.by_line.remove(entry.line);
            self.free_entries.push(index);
        }
    }

    /// An atomic has come back.
    pub fn atomic_done(&mut self, load: u32, complete: &mut Vec<WaitingLoad>) {
        complete.extend(Self::one_less(&mut self.loads, &mut self.free_loads, load));
    }

    fn one_less(loads: &mut [WaitingLoad], free: &mut Vec<u32>, load: u32) -> Option<WaitingLoad> {
        let waiting = &mut loads[load as usize];
        waiting.remaining -= 1;
        if waiting.remaining > 0 {
            return None;
        }
        free.push(load);
        Some(*waiting)
    }

    /// Loads, stores and lines that memory still owes an answer.
    pub fn is_idle(&self) -> bool {
        self.requests.is_empty() && self.instruction_requests.is_empty() && self.loads.len() == self.free_loads.len()
    }
}

impl WaitingLoad {
    pub fn new(to: Destination, tail_cycles: u64, link_cycles: u64) -> Self {
        Self { to, remaining: 0, earliest_return: 0, tail_cycles, link_cycles }
    }
}
