//! L1 instruction and constant cache of the SM with its links to the sub-cores.
//!
//! ```text
//!  L0 / constant caches ──39 cycles──▶ [lookup] ──39 cycles──▶ L0 / constant caches
//!                                        │ miss ▲
//!                                        ▼      │
//!                                     memory request
//! ```
//!
//! Models: one request and one reply a cycle for the whole SM, one memory request for a line that several wait for.
//! Leaves out: a limit on outstanding misses (the stream buffers bound them).

use super::event::{CachePort, Event};
use super::line_set::LineSet;
use super::spec::SmSpec;
use super::wheel::EventWheel;

/// Who waits for a line.
#[derive(Clone, Copy, Debug, serde::Serialize, serde::Deserialize)]
struct Waiter {
    subcore: u8,
    port: CachePort,
    key: u64,
}

#[derive(Clone, Debug)]
pub(crate) struct L1Instruction {
    lines: LineSet,
    line_shift: u32,
    /// Of the lines of who asks, by [`CachePort`].
    client_shifts: [u32; 3],
    link_cycles: u64,
    lookup_cycles: u64,
    request_free: u64,
    reply_free: u64,
    pending: Vec<(u64, Vec<Waiter>)>,
    pub hits: u64,
    pub misses: u64,
}

sim_core::saved!(L1Instruction {
    state: lines, request_free, reply_free, pending, hits, misses;
    rebuilt: line_shift, client_shifts, link_cycles, lookup_cycles;
});

impl L1Instruction {
    /// Lines are powers of two.
    pub fn new(spec: &SmSpec) -> Self {
        let SmSpec { front_end: spec, constant_cache: constants, .. } = spec;
        let clients = [spec.l0, constants.fixed_latency, constants.variable_latency];
        Self {
            lines: LineSet::new(spec.l1.sets, spec.l1.ways),
            line_shift: spec.l1.line_bytes.trailing_zeros(),
            client_shifts: clients.map(|client| client.line_bytes.trailing_zeros()),
            link_cycles: u64::from(spec.link_cycles),
            lookup_cycles: u64::from(spec.l1_lookup_cycles),
            request_free: 0,
            reply_free: 0,
            pending: Vec::new(),
            hits: 0,
            misses: 0,
        }
    }

    pub fn line_bytes(&self) -> u64 {
        1 << self.line_shift
    }

    /// A cache asks for one of its lines, `key`, which comes back with the bytes.
    pub fn request(&mut self, now: u64, wheel: &mut EventWheel<Event>, subcore: u8, port: CachePort, key: u64) {
        let sent = now.max(self.request_free);
        self.request_free = sent + 1;
        wheel.schedule(sent + self.link_cycles, Event::L1Lookup { subcore, port, key });
    }

    /// A request arrives. Returns the line if it has to be fetched from memory.
    pub fn lookup(
        &mut self,
        now: u64,
        wheel: &mut EventWheel<Event>,
        (subcore, port, key): (u8, CachePort, u64),
    ) -> Option<u64> {
        let line = key << self.client_shifts[port as usize] >> self.line_shift;
        if self.lines.touch(line) {
            self.hits += 1;
            self.reply(now + self.lookup_cycles, wheel, subcore, port, key);
            return None;
        }
        self.misses += 1;
        let waiter = Waiter { subcore, port, key };
        if let Some((_, waiters)) = self.pending.iter_mut().find(|(pending, _)| *pending == line) {
            waiters.push(waiter);
            return None;
        }
        self.pending.push((line, vec![waiter]));
        Some(line)
    }

    /// Memory has answered.
    pub fn filled(&mut self, now: u64, wheel: &mut EventWheel<Event>, line: u64) {
        self.lines.fill(line);
        if let Some(at) = self.pending.iter().position(|(pending, _)| *pending == line) {
            let (_, waiters) = self.pending.swap_remove(at);
            for waiter in waiters {
                self.reply(now + 1, wheel, waiter.subcore, waiter.port, waiter.key);
            }
        }
    }

    fn reply(&mut self, ready: u64, wheel: &mut EventWheel<Event>, subcore: u8, port: CachePort, key: u64) {
        let sent = ready.max(self.reply_free);
        self.reply_free = sent + 1;
        wheel.schedule(sent + self.link_cycles, Event::CacheReply { subcore, port, key });
    }

    /// Puts the line of `address` into the cache: a warm start.
    pub fn warm(&mut self, address: u64) {
        self.lines.fill(address / self.line_bytes());
    }
}
