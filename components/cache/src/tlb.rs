//! The translation buffer that the SMs of a GPU share, and the page walks behind it.
//!
//! ```text
//!   req[..] ─▶ one look-up a cycle, ports in turn ─┬─ held ──▶ hit latency ─────────────────────▶ resp[..]
//!                                                  └─ not ───▶ walk: hit latency + walk latency ─▶
//! ```
//!
//! Models: reach (entries times the page size of whoever asks), least recently used pages make room; a fixed time for a walk; as
//! many walks at once as there are walkers, others wait at their ports; one walk for all who ask for its page.
//! Leaves out: the levels of a walk and its accesses to memory, page sizes side by side, faults, invalidation.
//! Numbers: from the machine file, each with its origin. Start reading at `tick`; canonical tests: `components/machine/tests/translation.rs`.

use protocol::{TranslationBuffer, TranslationRequest, TranslationResponse};
use serde::{Deserialize, Serialize};
use sim_core::{Activity, BuildError, Component, Cx, Cycle, In, Out, Site, StatsNode};
use std::collections::VecDeque;

/// Requests at a port; an SM has no more on their way.
const PORT_CAPACITY: u16 = 64;

/// Parameters.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SharedTlbSpec {
    /// Pages held.
    pub entries: u32,
    pub ways: u32,
    /// From look-up to answer.
    pub hit_latency_cycles: u32,
    /// More if the page is not held.
    pub walk_latency_cycles: u32,
    /// Walks at once.
    pub walkers: u16,
}

/// The component `cache.tlb`.
pub struct SharedTlb {
    hit_latency: u64,
    walk_latency: u64,
    walkers: usize,
    requests: Vec<In<TranslationRequest>>,
    responses: Vec<Out<TranslationResponse>>,
    buffer: TranslationBuffer,
    /// Answers in the order of their due cycles: cycle, port, page.
    hits: VecDeque<(u64, u32, u64)>,
    walks: VecDeque<Walk>,
    /// Port that is looked at first.
    first: usize,
    counters: Counters,
}

#[derive(Debug, Serialize, Deserialize)]
struct Walk {
    due: u64,
    page: u64,
    ports: Vec<u32>,
}

#[derive(Default, Serialize, Deserialize)]
struct Counters {
    hits: u64,
    walks: u64,
    joined: u64,
}

sim_core::saved!(SharedTlb {
    parts: buffer;
    state: hits, walks, first, counters;
    rebuilt: hit_latency, walk_latency, walkers, requests, responses;
});

impl Component for SharedTlb {
    const KIND: &'static str = "cache.tlb";
    const DESCRIPTION: &'static str = "translation buffer shared by SMs: reach, hit and walk latency, walks at once";
    const CHEAP_IDLE_TICK: bool = false;
    type Spec = SharedTlbSpec;

    fn build(spec: SharedTlbSpec, site: &mut Site<'_>) -> Result<Self, BuildError> {
        if spec.ways == 0 || spec.entries == 0 || !spec.entries.is_multiple_of(spec.ways) {
            let problem = format!("{} entries in sets of {}", spec.entries, spec.ways);
            return Err(BuildError::key("entries", problem).help("a multiple of `ways`, at least 1"));
        }
        if spec.walkers == 0 {
            return Err(BuildError::key("walkers", "should be at least 1"));
        }
        let (requests, responses) = (site.linked_width("req"), site.linked_width("resp"));
        if requests != responses {
            let problem = format!("{requests} links of `req`, but {responses} of `resp`");
            return Err(BuildError::key("req", problem).help("an answer goes back to whoever asked"));
        }
        Ok(Self {
            hit_latency: spec.hit_latency_cycles.into(),
            walk_latency: spec.walk_latency_cycles.into(),
            walkers: spec.walkers.into(),
            requests: site.inputs("req", requests, PORT_CAPACITY),
            responses: site.outputs("resp", responses),
            buffer: TranslationBuffer::new(spec.entries, spec.ways),
            hits: VecDeque::new(),
            walks: VecDeque::new(),
            first: 0,
            counters: Counters::default(),
        })
    }

    fn tick(&mut self, cx: &mut Cx<'_>) -> Activity {
        let now = cx.now().0;
        let walks_blocked = self.finish_walks(cx, now);
        let looked_up = self.look_up(cx, now);
        let hits_blocked = self.answer_hits(cx, now);
        let blocked = walks_blocked || hits_blocked;
        let mut activity = if blocked { Activity::input().or_credit() } else { Activity::input() };
        if looked_up && self.requests.iter().any(|&port| !cx.is_empty(port)) {
            activity = activity.or_until(Cycle(now + 1));
        }
        let (hit, walk) = (self.hits.front().map(|hit| hit.0), self.walks.front().map(|walk| walk.due));
        if let Some(due) = hit.into_iter().chain(walk).filter(|&due| due > now).min() {
            activity = activity.or_until(Cycle(due));
        }
        activity
    }

    fn report(&self, _at: Cycle, out: &mut StatsNode) {
        let c = &self.counters;
        out.counter("hits", c.hits, "pages");
        out.counter("walks", c.walks, "pages");
        out.counter("joined_walks", c.joined, "pages");
    }

    fn waiting(&self) -> Option<String> {
        self.walks.front().map(|walk| format!("walk for page {:#x} due at cycle {}", walk.page, walk.due))
    }
}

impl SharedTlb {
    /// Looks the oldest request of the next port up that can be served; whether there was one.
    fn look_up(&mut self, cx: &mut Cx<'_>, now: u64) -> bool {
        let ports = self.requests.len();
        for port in (self.first..ports).chain(0..self.first) {
            let Some(&TranslationRequest { page }) = cx.peek(self.requests[port]) else { continue };
            if let Some(walk) = self.walks.iter_mut().find(|walk| walk.page == page) {
                walk.ports.push(port as u32);
                self.counters.joined += 1;
            } else if self.buffer.touch(page) {
                self.hits.push_back((now + self.hit_latency, port as u32, page));
                self.counters.hits += 1;
            } else if self.walks.len() < self.walkers {
                let due = now + self.hit_latency + self.walk_latency;
                self.walks.push_back(Walk { due, page, ports: vec![port as u32] });
                self.counters.walks += 1;
            } else {
                continue;
            }
            cx.take(self.requests[port]);
            self.first = (port + 1) % ports;
            return true;
        }
        false
    }

    /// Answers those whose walks have ended; whether an answer finds no room.
    fn finish_walks(&mut self, cx: &mut Cx<'_>, now: u64) -> bool {
        while let Some(walk) = self.walks.front_mut().filter(|walk| walk.due <= now) {
            // A page comes in when its walk ends; whoever finds no room is answered later.
            let page = walk.page;
            while let Some(&port) = walk.ports.last() {
                if !cx.can_send(self.responses[port as usize]) {
                    return true;
                }
                cx.send(self.responses[port as usize], TranslationResponse { page });
                walk.ports.pop();
            }
            self.walks.pop_front();
            self.buffer.insert(page);
        }
        false
    }

    /// Answers those whose pages were held; whether an answer finds no room.
    fn answer_hits(&mut self, cx: &mut Cx<'_>, now: u64) -> bool {
        while let Some(&(due, port, page)) = self.hits.front() {
            if due > now {
                return false;
            }
            if !cx.can_send(self.responses[port as usize]) {
                return true;
            }
            cx.send(self.responses[port as usize], TranslationResponse { page });
            self.hits.pop_front();
        }
        false
    }
}
