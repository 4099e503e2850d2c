//! Warp state of one sub-core: flat arrays by slot, and masks with one bit a warp for what can hold a warp back.

use super::super::kernel_handles;
use super::super::reason::Reason;
use super::super::scoreboard::BOARD;
use super::super::spec::MAX_WARPS;
use super::super::timing::{KernelTiming, OpTiming, Route, WaitKind};
use super::super::wheel::NEVER;
use super::copies::CopyGroups;
use sim_core::prefetch;
use std::sync::Arc;
use workloads::stream::DynamicOp;

/// One bit a warp slot.
pub(crate) type Mask = u16;

/// Dependence counters of a warp.
pub(super) const COUNTERS: usize = 6;
/// What a wait mask can name: the counters, and the scoreboard where there is one.
const WAITED_FOR: usize = COUNTERS + 1;

pub(crate) struct Warps {
    /// Has instructions left.
    pub resident: Mask,
    /// Has exited, but results are on their way.
    pub draining: Mask,
    /// Stall count and yield of the last instruction are over.
    pub stall_over: Mask,
    /// The instruction buffer holds a decoded instruction.
    pub decoded: Mask,
    /// All counters of the head's wait mask are 0.
    pub counters_zero: Mask,
    /// At a barrier of any kind; `block_reason` says which.
    pub blocked: Mask,
    /// Executes as it issues: its list of operations grows.
    pub live: Mask,
    /// Waits for a line of the fixed-latency constant cache.
    pub constant_wait: Mask,
    pub block_reason: [Reason; MAX_WARPS],
    /// Warps that were launched later.
    younger: [Mask; MAX_WARPS],
    /// Bit of the warp that issued last; 0 before any has.
    pub last_issued: Mask,

    /// Next instruction to issue, and its record.
    pub position: [u32; MAX_WARPS],
    pub head: [OpTiming; MAX_WARPS],
    pub streams: [Vec<DynamicOp>; MAX_WARPS],
    pub kernels: [Option<Arc<KernelTiming>>; MAX_WARPS],
    pub cta: [u16; MAX_WARPS],
    pub warp_in_cta: [u16; MAX_WARPS],

    counters: [[u8; COUNTERS]; MAX_WARPS],
    counter_kind: [[WaitKind; WAITED_FOR]; MAX_WARPS],
    non_zero: [u8; MAX_WARPS],
    /// DEPBAR that blocks: counter, limit, set.
    depbar: [(u8, u8, u8); MAX_WARPS],
    /// Things under way that will come back to the slot: it is not free before they have.
    pub outstanding: [u16; MAX_WARPS],
    /// Own stores that memory has not acknowledged.
    pub stores: [u16; MAX_WARPS],
    pub copies: Vec<CopyGroups>,
    pub bulk_stores: Vec<CopyGroups>,
    /// Groups of warpgroup multiplies (gsb0) that are not over, and how many a WARPGROUP.DEPBAR that blocks lets be.
    multiplies: [(u8, u8); MAX_WARPS],
    /// Counts the warps that have lived in the slot: late answers to an older one are told apart.
    pub generation: [u16; MAX_WARPS],

    /// Next instruction to fetch.
    pub fetched: [u32; MAX_WARPS],
    /// Decoded instructions in the buffer.
    arrived: [u8; MAX_WARPS],
    /// Decoded or on the way.
    buffered: [u8; MAX_WARPS],
    /// Places of a warp's instruction buffer.
    buffer_places: u8,
    /// There is something to fetch and a place for it.
    pub wants_fetch: Mask,
    /// The head goes to the local memory queue.
    pub head_is_memory: Mask,
    /// Fetch stands behind a taken branch that has not issued.
    pub behind_branch: Mask,
    /// Branches that issued in the last evaluated cycle.
    pub resume: Mask,

    arrivals: [Mask; 4],
    stall_ring: [Mask; 64],
    stall_slots: u64,
}

sim_core::saved!(Warps {
    state: resident, draining, stall_over, decoded, counters_zero, blocked, live, constant_wait, block_reason,
        younger,        last_issued, position, head, cta, warp_in_cta, counters, counter_kind, non_zero, depbar, outstanding, stores,
        generation, copies, bulk_stores, multiplies, fetched, arrived, buffered, wants_fetch, head_is_memory, behind_branch, resume, arrivals, stall_slots;
    sized: streams, stall_ring;
    by kernel_handles: kernels;
    rebuilt: buffer_places;
});

impl Warps {
    pub fn new(buffer_places: u8) -> Self {
        let nothing = OpTiming::NOTHING;
        Self {
            resident: 0,
            draining: 0,
            stall_over: 0,
            decoded: 0,
            counters_zero: 0,
            blocked: 0,
            live: 0,
            constant_wait: 0,
            block_reason: [Reason::Barrier; MAX_WARPS],
            younger: [0; MAX_WARPS],
            last_issued: 0,
            position: [0; MAX_WARPS],
            head: [nothing; MAX_WARPS],
            streams: std::array::from_fn(|_| Vec::new()),
            kernels: std::array::from_fn(|_| None),
            cta: [0; MAX_WARPS],
            warp_in_cta: [0; MAX_WARPS],
            counters: [[0; COUNTERS]; MAX_WARPS],
            counter_kind: [[WaitKind::Special; WAITED_FOR]; MAX_WARPS],
            non_zero: [0; MAX_WARPS],
            depbar: [(0, 0, 0); MAX_WARPS],
            outstanding: [0; MAX_WARPS],
            stores: [0; MAX_WARPS],
            copies: vec![CopyGroups::new(); MAX_WARPS],
            bulk_stores: vec![CopyGroups::new(); MAX_WARPS],
            multiplies: [(0, 0); MAX_WARPS],
            generation: [0; MAX_WARPS],
            fetched: [0; MAX_WARPS],
            arrived: [0; MAX_WARPS],
            buffered: [0; MAX_WARPS],
            buffer_places,
            wants_fetch: 0,
            head_is_memory: 0,
            behind_branch: 0,
            resume: 0,
            arrivals: [0; 4],
            stall_ring: [0; 64],
            stall_slots: 0,
        }
    }

    /// A warp starts; it may issue from cycle `first` on (less than 64 cycles away).
    pub fn start(
        &mut self,
        slot: u8,
        (cta, warp_in_cta): (u16, u16),
        kernel: Arc<KernelTiming>,
        stream: Vec<DynamicOp>,
        now: u64,
        first: u64,
    ) {
        let w = usize::from(slot);
        let bit = 1 << slot;
        for (other, younger) in self.younger.iter_mut().enumerate() {
            if other == w { *younger = 0 } else { *younger |= bit }
        }
        self.cta[w] = cta;
        self.warp_in_cta[w] = warp_in_cta;
        self.counters[w] = [0; COUNTERS];
        self.non_zero[w] = 0;
        self.outstanding[w] = 0;
        self.stores[w] = 0;
        self.copies[w] = CopyGroups::new();
        self.bulk_stores[w] = CopyGroups::new();
        self.multiplies[w] = (0, 0);
        self.generation[w] = self.generation[w].wrapping_add(1);
        self.position[w] = 0;
        self.fetched[w] = 0;
        self.arrived[w] = 0;
        self.buffered[w] = 0;
        self.kernels[w] = Some(kernel);
        self.set_head(w, stream[0].index);
        self.streams[w] = stream;
        for mask in [
            &mut self.draining,
            &mut self.decoded,
            &mut self.blocked,
            &mut self.constant_wait,
            &mut self.behind_branch,
            &mut self.stall_over,
            &mut self.resume,
            &mut self.last_issued,
        ] {
            *mask &= !bit;
        }
        self.resident |= bit;
        self.wants_fetch |= bit;
        self.counters_zero |= bit;
        if first > now { self.stall_until(w, first) } else { self.stall_over |= bit }
    }

    /// Asks the host's caches for the operations that will be fetched and issued next. The CTAs they are of, a bit each.
    #[inline]
    pub fn prefetch_streams(&self) -> u64 {
        let mut active = self.resident & !self.blocked;
        let mut ctas = 0;
        while active != 0 {
            let warp = active.trailing_zeros() as usize;
            active &= active - 1;
            let stream = self.streams[warp].as_ptr();
            prefetch(stream.wrapping_add(self.position[warp] as usize));
            prefetch(stream.wrapping_add(self.fetched[warp] as usize + 1));
            ctas |= 1 << (self.cta[warp] & 63);
        }
        ctas
    }

    /// What falls due in cycle `now`: decoded instructions, stalls that are over, fetch behind branches.
    #[inline]
    pub fn arrive(&mut self, now: u64) {
        let at = (now & 63) as usize;
        self.stall_over |= std::mem::take(&mut self.stall_ring[at]);
        self.stall_slots &= !(1 << at);
        let mut arriving = std::mem::take(&mut self.arrivals[(now & 3) as usize]);
        self.decoded |= arriving;
        while arriving != 0 {
            self.arrived[arriving.trailing_zeros() as usize] += 1;
            arriving &= arriving - 1;
        }
        self.behind_branch &= !std::mem::take(&mut self.resume);
    }

    /// First cycle after `now` at which something falls due.
    pub fn next_change(&self, now: u64) -> u64 {
        let mut next = NEVER;
        if self.stall_slots != 0 {
            let ahead = self.stall_slots.rotate_right(((now + 1) & 63) as u32).trailing_zeros();
            next = now + 1 + u64::from(ahead);
        }
        for ahead in 1..4 {
            if self.arrivals[((now + ahead) & 3) as usize] != 0 {
                return next.min(now + ahead);
            }
        }
        next
    }

    #[inline]
    pub fn stall_until(&mut self, warp: usize, cycle: u64) {
        let at = (cycle & 63) as usize;
        self.stall_over &= !(1 << warp);
        self.stall_ring[at] |= 1 << warp;
        self.stall_slots |= 1 << at;
    }

    /// Warps without any instruction, decoded or on the way.
    pub fn empty_buffers(&self) -> Mask {
        (0..MAX_WARPS).filter(|&warp| self.buffered[warp] == 0).fold(0, |empty, warp| empty | 1 << warp)
    }

    /// A fetched instruction will be decoded in cycle `at`.
    #[inline]
    pub fn fetch_arrives(&mut self, warp: usize, at: u64) {
        self.arrivals[(at & 3) as usize] |= 1 << warp;
        self.fetched[warp] += 1;
        self.buffered[warp] += 1;
        if self.buffered[warp] == self.buffer_places || self.fetched[warp] as usize == self.streams[warp].len() {
            self.wants_fetch &= !(1 << warp);
        }
    }

    pub fn set_live(&mut self, slot: u8, live: bool) {
        self.live = self.live & !(1 << slot) | Mask::from(live) << slot;
    }

    pub fn is_live(&self, slot: u8) -> bool {
        self.live >> slot & 1 == 1
    }

    /// The live warps of a set.
    pub fn live_of(&self, set: Mask) -> impl Iterator<Item = usize> + use<> {
        let live = self.live & set;
        (0..MAX_WARPS).filter(move |warp| live >> warp & 1 == 1)
    }

    /// The instructions from position `from` on were guessed wrong: they leave the buffer, wherever they are.
    pub fn squash(&mut self, now: u64, warp: usize, from: u32) {
        let bit = 1 << warp;
        let stay = (from - self.position[warp]) as u8;
        // Those on the way arrive in order: the last go.
        let mut late = self.buffered[warp] - stay.max(self.arrived[warp]);
        for ahead in (0..4).rev() {
            let arrival = &mut self.arrivals[((now + ahead) & 3) as usize];
            if late > 0 && *arrival & bit != 0 {
                *arrival &= !bit;
                late -= 1;
            }
        }
        self.fetched[warp] = from;
        self.buffered[warp] = stay;
        self.arrived[warp] = self.arrived[warp].min(stay);
        if self.arrived[warp] == 0 {
            self.decoded &= !bit;
        }
    }

    /// Whether there is something to fetch, after the list of a live warp has changed.
    pub fn reconsider_fetch(&mut self, warp: usize) {
        let (bit, list, fetched) = (1 << warp, &self.streams[warp], self.fetched[warp] as usize);
        let next = list.get(fetched);
        // As for recorded warps: behind a taken branch fetch goes on when the branch has issued.
        if fetched > self.position[warp] as usize && next.is_some_and(|next| next.index != list[fetched - 1].index + 1)
        {
            self.behind_branch |= bit;
        }
        if next.is_some() && self.buffered[warp] < self.buffer_places {
            self.wants_fetch |= bit;
        } else {
            self.wants_fetch &= !bit;
        }
    }

    /// The list of a live warp may name another instruction as the next.
    pub fn refresh_head(&mut self, warp: usize) {
        let next = self.streams[warp].get(self.position[warp] as usize);
        if let Some(next) = next {
            self.set_head(warp, next.index);
            self.check_counters(warp);
        }
    }

    /// Forgets the first `count` operations of a live warp's list, which have issued.
    pub fn trim(&mut self, warp: usize, count: u32) {
        self.streams[warp].drain(..count as usize);
        self.position[warp] -= count;
        self.fetched[warp] -= count;
    }

    /// The head is kept back by dependence counters: its wait mask, or a DEPBAR before it.
    pub fn waits_for_counters(&self, warp: usize) -> bool {
        let barred = self.blocked >> warp & 1 == 1 && self.block_reason[warp] == Reason::CounterBarrier;
        self.resident >> warp & 1 == 1 && (barred || self.counters_zero >> warp & 1 == 0)
    }

    /// The next to issue is instruction `index` of the warp's kernel.
    #[inline]
    fn set_head(&mut self, warp: usize, index: u32) {
        let Some(kernel) = &self.kernels[warp] else { return };
        let head = &kernel.ops[index as usize];
        self.head[warp] = *head;
        let is_memory = Mask::from(head.route == Route::Memory);
        self.head_is_memory = self.head_is_memory & !(1 << warp) | is_memory << warp;
    }

    /// Takes the head out of the buffer and makes the next instruction the head.
    #[inline]
    pub fn advance(&mut self, warp: usize, next: u32) {
        self.position[warp] += 1;
        self.arrived[warp] -= 1;
        self.buffered[warp] -= 1;
        if self.arrived[warp] == 0 {
            self.decoded &= !(1 << warp);
        }
        if (self.fetched[warp] as usize) < self.streams[warp].len() {
            self.wants_fetch |= 1 << warp;
        }
        self.set_head(warp, next);
        self.check_counters(warp);
    }

    #[inline]
    fn check_counters(&mut self, warp: usize) {
        let zero = Mask::from(self.head[warp].wait_mask & self.non_zero[warp] == 0);
        self.counters_zero = self.counters_zero & !(1 << warp) | zero << warp;
    }

    pub fn increment(&mut self, warp: usize, counter: u8, kind: WaitKind) {
        let place = usize::from(counter);
        self.counters[warp][place] = self.counters[warp][place].wrapping_add(1);
        self.counter_kind[warp][place] = kind;
        self.counter_changed(warp, place);
    }

    pub fn decrement(&mut self, warp: usize, counter: u8) {
        let place = usize::from(counter);
        self.counters[warp][place] = self.counters[warp][place].wrapping_sub(1);
        self.counter_changed(warp, place);
        if self.blocked >> warp & 1 == 1 && self.block_reason[warp] == Reason::CounterBarrier {
            let (counter, limit, zero) = self.depbar[warp];
            if self.depbar_holds(warp, counter, limit, zero) {
                self.blocked &= !(1 << warp);
            }
        }
    }

    #[inline]
    fn counter_changed(&mut self, warp: usize, place: usize) {
        let counts = u8::from(self.counters[warp][place] != 0);
        self.non_zero[warp] = self.non_zero[warp] & !(1 << place) | counts << place;
        self.check_counters(warp);
    }

    fn depbar_holds(&self, warp: usize, counter: u8, limit: u8, zero: u8) -> bool {
        self.counters[warp][usize::from(counter)] <= limit && self.non_zero[warp] & zero == 0
    }

    /// One thing has come back to the slot; true if it was the last of a warp that has exited.
    pub fn settle(&mut self, warp: usize) -> bool {
        self.outstanding[warp] -= 1;
        let last = self.outstanding[warp] == 0 && self.draining >> warp & 1 == 1;
        if last {
            self.draining &= !(1 << warp);
        }
        last
    }

    /// Memory has acknowledged a store of the slot's present warp.
    pub fn store_done(&mut self, warp: usize) {
        self.stores[warp] -= 1;
        if self.stores[warp] == 0 && self.block_reason[warp] == Reason::MemoryBarrier {
            self.blocked &= !(1 << warp);
        }
    }

    /// DEPBAR takes effect.
    pub fn counter_barrier(&mut self, warp: usize, counter: u8, limit: u8, zero: u8) {
        if self.resident >> warp & 1 == 1 && !self.depbar_holds(warp, counter, limit, zero) {
            self.depbar[warp] = (counter, limit, zero);
            self.block(warp, Reason::CounterBarrier);
        }
    }

    /// A multiply that ends a group has issued.
    pub fn warpgroup_issued(&mut self, warp: usize) {
        self.multiplies[warp].0 += 1;
    }

    pub fn warpgroup_done(&mut self, warp: usize) {
        let (groups, limit) = &mut self.multiplies[warp];
        *groups -= 1;
        if *groups <= *limit && self.blocked >> warp & 1 == 1 && self.block_reason[warp] == Reason::WarpgroupBarrier {
            self.blocked &= !(1 << warp);
        }
    }

    /// WARPGROUP.DEPBAR takes effect.
    pub fn warpgroup_barrier(&mut self, warp: usize, limit: u8) {
        self.multiplies[warp].1 = limit;
        if self.resident >> warp & 1 == 1 && self.multiplies[warp].0 > limit {
            self.block(warp, Reason::WarpgroupBarrier);
        }
    }

    pub fn block(&mut self, warp: usize, reason: Reason) {
        self.blocked |= 1 << warp;
        self.block_reason[warp] = reason;
    }

    /// The youngest of a non-empty set.
    #[inline]
    pub fn youngest(&self, set: Mask) -> usize {
        let mut rest = set;
        loop {
            let warp = 15 - rest.leading_zeros() as usize;
            if set & self.younger[warp] == 0 {
                return warp;
            }
            rest &= !(1 << warp);
        }
    }

    /// The oldest of a non-empty set.
    pub fn oldest(&self, set: Mask) -> usize {
        let mut rest = set;
        loop {
            let warp = rest.trailing_zeros() as usize;
            if set & !self.younger[warp] & !(1 << warp) == 0 {
                return warp;
            }
            rest &= rest - 1;
        }
    }

    /// What the warp's head waits for: the kind of the lowest counter that is not zero, the scoreboard last.
    pub fn wait_kind(&self, warp: usize) -> WaitKind {
        let waiting = self.head[warp].wait_mask & self.non_zero[warp];
        self.counter_kind[warp][(waiting.trailing_zeros() as usize).min(COUNTERS)]
    }

    /// Index of the head in its kernel.
    pub fn head_index(&self, warp: usize) -> Option<u32> {
        self.streams[warp].get(self.position[warp] as usize).map(|op| op.index)
    }

    /// The scoreboard keeps the head back, or no more.
    pub fn hold_by_registers(&mut self, warp: usize, pending: Option<WaitKind>) {
        match pending {
            Some(kind) => {
                self.counter_kind[warp][COUNTERS] = kind;
                self.non_zero[warp] |= 1 << BOARD;
            }
            None => self.non_zero[warp] &= !(1 << BOARD),
        }
        self.check_counters(warp);
    }

    /// The head may not issue before `cycle`, nor before its stall is over.
    pub fn stall_longer(&mut self, now: u64, warp: usize, cycle: u64) {
        let mut slots = self.stall_slots;
        while slots != 0 {
            let at = slots.trailing_zeros() as usize;
            slots &= slots - 1;
            if self.stall_ring[at] >> warp & 1 == 1 {
                let ahead = (at as u64).wrapping_sub(now) & 63;
                if now + ahead >= cycle {
                    return;
                }
                self.stall_ring[at] &= !(1 << warp);
                if self.stall_ring[at] == 0 {
                    self.stall_slots &= !(1 << at);
                }
            }
        }
        self.stall_until(warp, cycle);
    }
}
