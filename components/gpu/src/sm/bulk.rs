//! The engine of bulk copies between global and shared memory (TMA): UTMALDG, UTMASTG, UBLKCP.
//!
//! ```text
//!  local queues ─▶ command queue ─▶ tensor map ─▶ box, a 128-byte line a cycle ─▶ requests past the L1
//!                   in order         cached                                           │
//!                  mbarrier ◀── bytes counted ◀── shared memory ◀── answers ◀─────────┘
//! ```
//!
//! Models: one engine an SM, commands in order, the fetch of a tensor map that is not cached, a line a cycle (also those
//! outside the tensor, which need no request), completion when the last line has come. A store's sources are free when it
//! has been walked. Leaves out: the place of the bytes in shared memory (swizzle, bank conflicts), multicast.
//! Numbers: `[part.sm.bulk_copy]`. Sources: arXiv 2402.13499 for the latency beyond that of a load; a third-party
//! simulator of the H100 (hotneutron/modern-gpu-simulator-micro-2025) for the walk.

use super::Shared;
use super::event::Event;
use super::memory::l1d::Answer;
use super::spec;
use super::subcore::SubCore;
use super::wheel::NEVER;
use protocol::MemOp;
use std::collections::VecDeque;
use workloads::stream::{BulkCopy, LINE_BYTES, Line};

/// A copy that has been accepted.
#[derive(Clone, Copy, Debug, serde::Serialize, serde::Deserialize)]
struct Command {
    copy: BulkCopy,
    cta: u16,
    subcore: u8,
    warp: u8,
    group: Option<u32>,
    /// Walked so far.
    walked: u32,
    /// Requests that have not been answered.
    unanswered: u32,
}

pub(crate) struct BulkEngine {
    start_cycles: u64,
    finish_cycles: u64,
    most_maps: usize,
    commands: Vec<Option<Command>>,
    /// Indices into `commands`, and when each may start.
    queue: VecDeque<(u32, u64)>,
    /// Tensor maps that are here, the most recently used last.
    maps: Vec<u64>,
    /// The head waits for its tensor map.
    map_asked: bool,
    /// Cycle in which the engine has to be looked at next.
    pub next: u64,
    pub lines: u64,
}

sim_core::saved!(BulkEngine {
    state: commands, queue, maps, map_asked, next, lines;
    rebuilt: start_cycles, finish_cycles, most_maps;
});

impl BulkEngine {
    pub fn new(spec: Option<&spec::BulkCopy>) -> Self {
        Self {
            start_cycles: spec.map_or(0, |spec| spec.start_cycles.into()),
            finish_cycles: spec.map_or(0, |spec| spec.finish_cycles.into()),
            most_maps: spec.map_or(1, |spec| spec.tensor_maps.into()),
            commands: Vec::new(),
            queue: VecDeque::new(),
            maps: Vec::new(),
            map_asked: false,
            next: NEVER,
            lines: 0,
        }
    }

    pub fn is_idle(&self) -> bool {
        self.commands.iter().all(Option::is_none)
    }

    /// Whether the tensor map is here.
    fn holds(&mut self, map: u64) -> bool {
        let Some(at) = self.maps.iter().position(|held| *held == map) else { return false };
        let map = self.maps.remove(at);
        self.maps.push(map);
        true
    }

    fn keep(&mut self, map: u64) {
        if self.maps.len() == self.most_maps {
            self.maps.remove(0);
        }
        self.maps.push(map);
    }
}

/// What an answer to the engine is for: a line of a command, or the tensor map of the head.
pub(crate) const TENSOR_MAP: u32 = 0xff_ffff;

impl Shared {
    /// A copy has been accepted.
    pub fn start_bulk(&mut self, now: u64, copy: BulkCopy, cta: u16, (subcore, warp): (u8, u8), group: Option<u32>) {
        let command = Command { copy, cta, subcore, warp, group, walked: 0, unanswered: 0 };
        let engine = &mut self.bulk;
        let place = engine.commands.iter().position(Option::is_none);
        let place = place.unwrap_or_else(|| {
            engine.commands.push(None);
            engine.commands.len() - 1
        });
        engine.commands[place] = Some(command);
        let ready = now + engine.start_cycles;
        engine.queue.push_back((place as u32, ready));
        engine.next = engine.next.min(ready);
    }

    /// Walks a line of the head.
    pub fn step_bulk(&mut self, now: u64) {
        let Some(&(place, ready)) = self.bulk.queue.front() else {
            self.bulk.next = NEVER;
            return;
        };
        if now < ready || self.bulk.map_asked {
            self.bulk.next = if self.bulk.map_asked { NEVER } else { ready };
            return;
        }
        let Some(mut command) = self.bulk.commands[place as usize] else { return };
        if let Some(map) = command.copy.map_address
            && command.walked == 0
            && !self.bulk.holds(map)
        {
            let line = Line { address: map / LINE_BYTES * LINE_BYTES, sectors: 0xf };
            self.memory.l1.ask(Answer::Bulk(TENSOR_MAP), line.address, line.sectors, MemOp::Read, now);
            self.bulk.map_asked = true;
            self.bulk.next = NEVER;
            return;
        }
        self.bulk.next = now + 1;
        if command.walked < command.copy.line_count {
            if !self.memory.l1.takes_requests() {
                return;
            }
            let Some(cta) = &self.ctas[usize::from(command.cta)] else { return };
            let line = cta.source.asynchronous().lines[(command.copy.first_line + command.walked) as usize];
            let op = if command.copy.is_load { MemOp::Read } else { MemOp::Write };
            self.memory.l1.ask(Answer::Bulk(place), line.address, line.sectors, op, now);
            command.unanswered += 1;
            self.bulk.lines += 1;
        }
        command.walked += 1;
        let walked = command.walked >= command.copy.line_cycles.max(1);
        self.bulk.commands[place as usize] = Some(command);
        if walked {
            self.bulk.queue.pop_front();
            self.bulk.next = self.bulk.queue.front().map_or(NEVER, |head| head.1.max(now + 1));
            if let (Some(group), false) = (command.group, command.copy.is_load) {
                let Command { subcore, warp, .. } = command;
                self.wheel.schedule(now + 1, Event::BulkRead { subcore, warp, group });
            }
            self.finish_bulk(now, place);
        }
    }

    /// An answer from memory.
    pub fn bulk_answered(&mut self, now: u64, place: u32) {
        if place == TENSOR_MAP {
            if let Some(map) =
                self.bulk.queue.front().and_then(|&(head, _)| {
                    self.bulk.commands[head as usize].and_then(|command| command.copy.map_address)
                })
            {
                self.bulk.keep(map);
            }
            self.bulk.map_asked = false;
            self.bulk.next = self.bulk.next.min(now);
            return;
        }
        if let Some(command) = &mut self.bulk.commands[place as usize] {
            command.unanswered -= 1;
        }
        self.finish_bulk(now, place);
    }

    fn finish_bulk(&mut self, now: u64, place: u32) {
        let Some(command) = self.bulk.commands[place as usize] else { return };
        if command.unanswered == 0 && command.walked >= command.copy.line_cycles.max(1) {
            let due = now + 1 + self.bulk.finish_cycles;
            self.wheel.schedule(due, Event::BulkDone { place });
        }
    }

    /// All bytes have arrived: the barrier counts them, the warp slot is free of the copy.
    pub fn bulk_done(&mut self, now: u64, place: u32) -> Option<(u8, u8)> {
        let command = self.bulk.commands[place as usize].take()?;
        if let Some(address) = command.copy.mbarrier {
            self.update_mbarrier(now, command.cta, address, 0, -i64::from(command.copy.bytes));
        }
        Some((command.subcore, command.warp))
    }
}

impl SubCore {
    /// The sources of a bulk store have been read; counters of UTMACMDFLUSH that fall by it.
    pub fn bulk_read(&mut self, warp: u8, group: u32) -> u16 {
        let warp = usize::from(warp);
        let groups = &mut self.warps.bulk_stores[warp];
        groups.complete(group);
        let mut fallen = 0;
        while let Some(counter) = self.warps.bulk_stores[warp].take_complete() {
            self.warps.decrement(warp, counter);
            fallen += 1;
        }
        fallen
    }
}
