//! The memory pipeline of the SM: local queues of the sub-cores, acceptance, and what stands behind it.
//!
//! ```text
//!  sub-core 0: queue ─┐                        ┌─▶ shared memory (passes over its banks)
//!  sub-core 1: queue ─┤ one every 1 or 2 cycles├─▶ L1D ──miss──▶ requests to memory
//!  sub-core 2: queue ─┼─▶ round robin ─────────┼─▶ constant cache of LDC
//!  sub-core 3: queue ─┘ operands read here     └─▶ shuffle
//! ```
//!
//! Models: five credits a sub-core, one instruction every four cycles of a sub-core and every two of the SM (Table 1 of
//! arXiv 2503.20481; GA100 and GH100: every cycle); release of sources and results by Table 2. Accesses to global memory:
//! a coalescer finds a line a cycle, several coalescers work at the same time, so that what holds the acceptance is the
//! passes over the banks, or a quarter of the lines (RRZE gpu-benches, gpu-strides), while the latency grows with both;
//! asynchronous copies (LDGSTS) go the way of loads and are written to shared memory in order, a pass a cycle.
//! Leaves out: separate queues for shared and global memory (not known whether they exist).
//! Numbers: `[part.sm.memory]` and `[part.sm.l1_data]`. Start reading at `Shared::accept`.

mod accept;
pub(crate) mod l1d;

pub(crate) use accept::NOTHING;

use super::event::Event;
use super::fact::Dynamic;
use super::line_set::LineSet;
use super::spec::{SUBCORES, SmSpec};
use super::subcore::slot;
use super::timing::OpTiming;
use super::wheel::NEVER;
use l1d::L1Data;
use sim_core::prefetch;
use std::collections::VecDeque;
use workloads::stream::Access;

/// A memory instruction in the local queue of its sub-core.
#[derive(Clone, Copy, Debug, serde::Serialize, serde::Deserialize)]
pub(crate) struct Queued {
    pub op: OpTiming,
    pub issued: u64,
    /// Earliest cycle of its acceptance.
    pub from: u64,
    /// Number of the instruction in its warp's stream.
    pub position: u32,
    /// Index of the instruction in its kernel.
    pub index: u32,
    /// What it accesses: index into the accesses of the CTA's stream, and the access.
    pub number: u32,
    pub access: Access,
    /// Group of an asynchronous copy.
    pub copy_group: Option<u32>,
    pub cta: u16,
    pub warp: u8,
}

/// Whom a result goes to.
#[derive(Clone, Copy, Debug, serde::Serialize, serde::Deserialize)]
pub(crate) struct Destination {
    pub subcore: u8,
    pub warp: u8,
    pub counter: u8,
    pub banks: u8,
    pub position: u32,
    pub index: u32,
    pub issued: u64,
    /// Shared memory instead of registers: the group of an asynchronous copy.
    pub copy_group: Option<u32>,
}

impl Destination {
    fn of(subcore: usize, queued: &Queued) -> Self {
        Self {
            subcore: subcore as u8,
            warp: queued.warp,
            counter: queued.op.write_counter,
            banks: queued.op.written_banks,
            position: queued.position,
            index: queued.index,
            issued: queued.issued,
            copy_group: queued.copy_group,
        }
    }

    /// The write of the result.
    fn write(&self) -> Event {
        let Self { subcore, warp, counter, banks, position, index, .. } = *self;
        Event::LoadWrite { subcore, warp, counter, banks, position, index }
    }

    pub fn dynamic(&self) -> Dynamic {
        Dynamic { warp: slot(self.subcore, self.warp), position: self.position }
    }
}

pub(crate) struct MemoryPipeline {
    queues: [VecDeque<Queued>; SUBCORES],
    /// Earliest acceptance of each sub-core (address unit) and of the SM.
    address_unit_free: [u64; SUBCORES],
    accept_free: u64,
    round_robin: usize,
    /// Cycle in which acceptance has to be tried next.
    pub next: u64,
    /// When the last shared-memory result of a sub-core was released: results come in order.
    shared_released: [u64; SUBCORES],
    /// When the link that brings L1D data to a sub-core is free.
    return_free: [u64; SUBCORES],
    /// When shared memory has taken the last asynchronous copy's bytes.
    copies_written: u64,
    constants: LineSet,
    constant_waiters: Vec<(u64, Destination, u64)>,
    pub l1: L1Data,
    pub accepted: u64,
    pub shared_passes: u64,
}

sim_core::saved!(MemoryPipeline {
    state: queues, address_unit_free, accept_free, round_robin, next, shared_released, return_free, constants,
        constant_waiters, copies_written, accepted, shared_passes;
    parts: l1;
});

impl MemoryPipeline {
    pub fn new(spec: &SmSpec) -> Self {
        let constant = spec.constant_cache.variable_latency;
        Self {
            queues: std::array::from_fn(|_| VecDeque::with_capacity(usize::from(spec.memory.queue_credits))),
            address_unit_free: [0; SUBCORES],
            accept_free: 0,
            round_robin: 0,
            next: NEVER,
            shared_released: [0; SUBCORES],
            return_free: [0; SUBCORES],
            copies_written: 0,
            constants: LineSet::new(constant.sets, constant.ways),
            constant_waiters: Vec::new(),
            l1: L1Data::new(&spec.l1_data),
            accepted: 0,
            shared_passes: 0,
        }
    }

    pub fn push(&mut self, subcore: u8, queued: Queued) {
        // Heads that are older are due no later.
        self.next = self.next.min(queued.from);
        self.queues[usize::from(subcore)].push_back(queued);
    }

    /// Asks the host's caches for the heads of the queues.
    #[inline]
    pub fn prefetch(&self) {
        for head in self.queues.iter().filter_map(VecDeque::front) {
            prefetch(head);
        }
    }

    /// Puts a line into the cache behind LDC: a warm start.
    pub fn warm_constant(&mut self, key: u64) {
        self.constants.fill(key);
    }
}
