//! Translation in front of an SM's port to memory: pages that the SM knows, and requests that wait for others.
//!
//! ```text
//!   requests of the SM ─▶ look-up ─┬─ known ─────────────────────────────▶ mem_req
//!                                  └─ not ──▶ [waiting] ─▶ tlb_resp ─▶ [ready] ─▶
//!                                               └─▶ tlb_req, once a page
//! ```
//!
//! Models: a fully associative buffer of least recently used pages; a hit takes no time; requests to known pages pass those that
//! wait; a bound on pages asked for and on requests that wait, beyond which the SM holds its own back.
//! Leaves out: translation of what hits the L1, which needs none.
//! Numbers: from the machine file, `[part.sm.translation]`. Canonical tests: `components/machine/tests/translation.rs`.

use protocol::{MemRequest, TranslationBuffer};
use serde::{Deserialize, Serialize};
use sim_core::StatsNode;
use std::collections::VecDeque;

/// Pages that an SM may ask for at once.
pub const MOST_MISSES: u16 = 64;

/// The table `[part.sm.translation]`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MicroTlbSpec {
    /// Pages held; 0: all pages are known.
    pub entries: u32,
    pub page_kib: u32,
    /// Pages asked for at once.
    pub misses: u16,
    /// Requests that wait for their pages.
    pub queue_entries: u16,
}

/// The translation of one SM.
pub struct MicroTlb {
    page_bits: u32,
    misses: usize,
    queue_entries: usize,
    buffer: TranslationBuffer,
    /// Pages asked for.
    asked: Vec<u64>,
    /// Requests with the cycle from which they wait for their pages, in order.
    waiting: VecDeque<(u64, MemRequest)>,
    /// Those whose pages have come.
    ready: VecDeque<MemRequest>,
    counters: Counters,
}

#[derive(Clone, Copy, Default, Serialize, Deserialize)]
struct Counters {
    hits: u64,
    waited: u64,
    waiting_cycles: u64,
}

sim_core::saved!(MicroTlb {
    parts: buffer;
    state: asked, waiting, ready, counters;
    rebuilt: page_bits, misses, queue_entries;
});

impl MicroTlb {
    /// None if all pages are known.
    pub fn new(spec: &MicroTlbSpec) -> Option<Self> {
        (spec.entries > 0).then(|| Self {
            page_bits: 10 + spec.page_kib.trailing_zeros(),
            misses: spec.misses.into(),
            queue_entries: spec.queue_entries.into(),
            buffer: TranslationBuffer::new(spec.entries, spec.entries),
            asked: Vec::new(),
            waiting: VecDeque::new(),
            ready: VecDeque::new(),
            counters: Counters::default(),
        })
    }

    /// Whether a request may be looked up: room to wait, and nobody before it whose page has just come.
    pub fn has_room(&self) -> bool {
        self.waiting.len() < self.queue_entries && self.ready.is_empty()
    }

    /// The request if its page is known; else it waits.
    pub fn look_up(&mut self, request: MemRequest, now: u64) -> Option<MemRequest> {
        let page = request.address >> self.page_bits;
        let behind = self.waiting.iter().any(|(_, before)| before.address >> self.page_bits == page);
        if !behind && self.buffer.touch(page) {
            self.counters.hits += 1;
            return Some(request);
        }
        self.waiting.push_back((now, request));
        self.counters.waited += 1;
        None
    }

    /// The oldest page that waits and was not asked for, if another may be; it is asked for now.
    pub fn ask(&mut self) -> Option<u64> {
        if self.asked.len() >= self.misses {
            return None;
        }
        let pages = self.waiting.iter().map(|(_, request)| request.address >> self.page_bits);
        let page = pages.into_iter().find(|page| !self.asked.contains(page))?;
        self.asked.push(page);
        Some(page)
    }

    /// A page has come.
    pub fn known(&mut self, page: u64, now: u64) {
        self.asked.retain(|&asked| asked != page);
        self.buffer.insert(page);
        let Self { page_bits, waiting, ready, counters, .. } = self;
        waiting.retain(|(since, request)| {
            let waits = request.address >> *page_bits != page;
            if !waits {
                counters.waiting_cycles += now - since;
                ready.push_back(*request);
            }
            waits
        });
    }

    /// The oldest request whose page has come.
    pub fn take_ready(&mut self) -> Option<MemRequest> {
        self.ready.pop_front()
    }

    /// Whether requests go out without the SM's doing.
    pub fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// Whether a page waits to be asked for.
    pub fn wants_to_ask(&self) -> bool {
        self.asked.len() < self.misses
            && self.waiting.iter().any(|(_, request)| !self.asked.contains(&(request.address >> self.page_bits)))
    }

    /// Counters.
    pub fn report(&self, out: &mut StatsNode) {
        let c = &self.counters;
        out.counter("hits", c.hits, "requests");
        out.counter("waited", c.waited, "requests");
        out.counter("waiting_cycles", c.waiting_cycles, "request-cycles");
    }
}
