//! Front end of a sub-core: fetch policy, L0 instruction cache, stream buffer.
//!
//! ```text
//!  fetch ──hit──▶ decode ─▶ instruction buffer (3 a warp)
//!    │ miss                      one instruction a cycle; the warp that issued last goes first, then the youngest
//!    ├─ stream buffer head: into the L0 at once, one more line is asked for
//!    └─ otherwise: flush, ask for the line and the eight behind it
//! ```
//!
//! Source: arXiv 2503.20481 sections 5.2 and 7.3; sizes from the public simulator's configuration.

use super::super::Shared;
use super::super::env::SmEnv;
use super::super::event::CachePort;
use super::super::fact::SmFact;
use super::super::line_set::LineSet;
use super::super::spec;
use super::issue::next_behind;
use super::{Mask, SubCore};
use std::collections::VecDeque;
use workloads::stream::{DynamicOp, NO_ACCESS};

/// A line of the stream buffer.
#[derive(Clone, Copy, Debug, serde::Serialize, serde::Deserialize)]
struct StreamLine {
    line: u64,
    present: bool,
}

pub(super) struct FrontEnd {
    lines: LineSet,
    /// Most recently used line: most fetches go there.
    recent: u64,
    stream: VecDeque<StreamLine>,
    stream_next: u64,
    /// Lines on demand and who waits for them.
    demand: Vec<(u64, Mask)>,
    waiting: Mask,
    /// Bit of the warp that was fetched for last, where warps take turns.
    last_fetched: Mask,
}

sim_core::saved!(FrontEnd { state: lines, recent, stream, stream_next, demand, waiting, last_fetched });

impl FrontEnd {
    pub fn new(spec: &spec::FrontEnd) -> Self {
        Self {
            lines: LineSet::new(spec.l0.sets, spec.l0.ways),
            recent: u64::MAX,
            stream: VecDeque::with_capacity(usize::from(spec.stream_buffer_lines) + 1),
            stream_next: 0,
            demand: Vec::new(),
            waiting: 0,
            last_fetched: 0,
        }
    }

    /// Asks the host's caches for the tags of the L0.
    #[inline]
    pub fn prefetch(&self) {
        self.lines.prefetch();
    }
}

impl SubCore {
    /// Fetches one instruction if a warp has room; whether anything was done.
    pub(super) fn fetch<E: SmEnv>(&mut self, now: u64, shared: &mut Shared, env: &mut E) -> bool {
        if shared.spec.instructions_when_empty > 0 {
            return self.fetch_when_empty(now, shared, env);
        }
        let w = &self.warps;
        let wanting = w.wants_fetch & w.resident & !w.behind_branch & !self.front.waiting;
        if wanting == 0 {
            return w.resume != 0;
        }
        let last = wanting & w.last_issued;
        let warp = if last != 0 { last.trailing_zeros() as usize } else { w.youngest(wanting) };
        self.fetch_warp(now, warp, shared, env);
        true
    }

    /// Ablation: the next warp in turn whose buffer is empty, several instructions at once.
    #[cold]
    fn fetch_when_empty<E: SmEnv>(&mut self, now: u64, shared: &mut Shared, env: &mut E) -> bool {
        let wanting = self.warps.wants_fetch & self.warps.resident & !self.warps.behind_branch & !self.front.waiting;
        let wanting = wanting & self.warps.empty_buffers();
        if wanting == 0 {
            return self.warps.resume != 0;
        }
        let warp = next_behind(self.front.last_fetched, wanting);
        self.front.last_fetched = 1 << warp;
        for nth in 0..u64::from(shared.spec.instructions_when_empty) {
            // Only one of a warp issues in a cycle: the second need not be decoded with the first.
            if self.warps.wants_fetch & !self.warps.behind_branch & !self.front.waiting & 1 << warp != 0 {
                self.fetch_warp(now + nth, warp, shared, env);
            }
        }
        true
    }

    fn fetch_warp<E: SmEnv>(&mut self, now: u64, warp: usize, shared: &mut Shared, env: &mut E) {
        if self.warps.live >> warp & 1 == 1 {
            self.look_ahead(now, warp, shared);
            if self.warps.wants_fetch & !self.warps.behind_branch & 1 << warp == 0 {
                return;
            }
        }
        let next = self.warps.fetched[warp] as usize;
        let DynamicOp { index, access, .. } = self.warps.streams[warp][next];
        if access != NO_ACCESS
            && let Some(resident) = &shared.ctas[usize::from(self.warps.cta[warp])]
        {
            resident.source.prefetch(access);
        }
        if !shared.spec.perfect_instruction_cache {
            let code = self.warps.kernels[warp].as_ref().map_or(0, |kernel| kernel.code_address);
            let line = (code + u64::from(index) * 16) >> shared.spec.l0_line_shift;
            if line != self.front.recent && !self.look_up(now, warp, line, shared) {
                return;
            }
        }
        let buffered = now + shared.spec.fetch_to_issue_cycles;
        if env.listening() {
            let instruction = self.dynamic(warp as u8, next as u32);
            env.state(SmFact::Fetched { instruction, origin: self.origin(warp, index, shared), buffered });
        }
        self.warps.fetch_arrives(warp, buffered);
        // Behind a taken branch fetch goes on when the branch has issued.
        if self.warps.streams[warp].get(next + 1).is_some_and(|following| following.index != index + 1) {
            self.warps.behind_branch |= 1 << warp;
        }
    }

    /// Whether the line is in the L0; if not, the warp waits and the line is on its way.
    fn look_up(&mut self, now: u64, warp: usize, line: u64, shared: &mut Shared) -> bool {
        let front = &mut self.front;
        if front.lines.touch(line) {
            front.recent = line;
            return true;
        }
        if let Some((_, waiting)) = front.demand.iter_mut().find(|(demanded, _)| *demanded == line) {
            *waiting |= 1 << warp;
            front.waiting |= 1 << warp;
            return false;
        }
        let lines = usize::from(shared.spec.stream_buffer_lines);
        let index = self.index;
        let mut ask = |line: u64| shared.l1i.request(now, &mut shared.wheel, index, CachePort::Instruction, line);
        match front.stream.front().copied() {
            Some(head) if head.line == line => {
                front.stream.pop_front();
                front.stream.push_back(StreamLine { line: front.stream_next, present: false });
                ask(front.stream_next);
                front.stream_next += 1;
                if head.present {
                    front.lines.fill(line);
                    front.recent = line;
                    return true;
                }
            }
            _ => {
                front.stream.clear();
                ask(line);
                for ahead in 1..=lines as u64 {
                    front.stream.push_back(StreamLine { line: line + ahead, present: false });
                    ask(line + ahead);
                }
                front.stream_next = line + lines as u64 + 1;
            }
        }
        front.demand.push((line, 1 << warp));
        front.waiting |= 1 << warp;
        false
    }

    /// A line has come from the L1.
    pub fn instruction_line_arrived(&mut self, now: u64, line: u64) {
        let front = &mut self.front;
        if let Some(at) = front.demand.iter().position(|(demanded, _)| *demanded == line) {
            let (_, waiting) = front.demand.swap_remove(at);
            front.lines.fill(line);
            front.waiting &= !waiting;
            self.wake_at(now);
        } else if let Some(entry) = front.stream.iter_mut().find(|entry| entry.line == line) {
            entry.present = true;
        }
    }

    /// A warp has started in slot `warp`: it waits for no line.
    pub fn reset_fetch(&mut self, warp: u8) {
        self.front.waiting &= !(1 << warp);
        for (_, waiting) in &mut self.front.demand {
            *waiting &= !(1 << warp);
        }
    }
}
