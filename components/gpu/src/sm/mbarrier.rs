//! Barriers in shared memory that count arrivals and bytes (mbarrier), in time.
//!
//! Models: a phase ends in the cycle in which the last arrival is accepted or the last byte is counted; who waits for it
//! (PHASECHK.TRYWAIT) gets its answer as a shared-memory load would from then on. The number of phases that a wait needs
//! comes from functional execution, so retries need not be counted. Leaves out: the time limit of TRYWAIT.
//! Source: PTX ISA, mbarrier; latencies as shared-memory loads and stores (not measured by anyone).

use super::Shared;
use super::memory::Destination;
use std::collections::BTreeMap;
use workloads::stream::MbarrierUse;

/// A load-like instruction that waits: phases it needs, whom the answer goes to, cycles from the phase's end to it.
#[derive(Clone, Copy, Debug, serde::Serialize, serde::Deserialize)]
struct Waiter {
    phase: u32,
    to: Destination,
    tail_cycles: u64,
}

#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
struct Mbarrier {
    expected: u32,
    missing: u32,
    bytes: i64,
    /// Phases that are over.
    phase: u32,
    waiters: Vec<Waiter>,
}

/// The barriers of one CTA, by address.
#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
pub(crate) struct Mbarriers {
    by_address: BTreeMap<u32, Mbarrier>,
}

impl Mbarriers {
    /// Arrivals and bytes; who may go on now is moved to `released`.
    fn update(&mut self, address: u32, arrivals: u32, bytes: i64, released: &mut Vec<(u64, Destination)>) {
        let barrier = self.by_address.entry(address).or_default();
        barrier.missing = barrier.missing.saturating_sub(arrivals);
        barrier.bytes += bytes;
        if barrier.missing > 0 || barrier.bytes != 0 {
            return;
        }
        barrier.phase += 1;
        barrier.missing = barrier.expected;
        let phase = barrier.phase;
        barrier.waiters.retain(|waiter| {
            if waiter.phase <= phase {
                released.push((waiter.tail_cycles, waiter.to));
            }
            waiter.phase > phase
        });
    }

    fn init(&mut self, address: u32, arrivals: u32) {
        let barrier = self.by_address.entry(address).or_default();
        *barrier = Mbarrier { expected: arrivals, missing: arrivals, ..Mbarrier::default() };
    }

    /// Whether the phase is over; if not, the answer comes when it is.
    fn wait(&mut self, address: u32, waiter: Waiter) -> bool {
        let barrier = self.by_address.entry(address).or_default();
        let over = barrier.phase >= waiter.phase;
        if !over {
            barrier.waiters.push(waiter);
        }
        over
    }
}

impl Shared {
    /// What an accepted instruction does to barriers of its CTA; whether its answer has to wait.
    pub fn use_mbarriers(
        &mut self,
        now: u64,
        cta: u16,
        first: u32,
        count: u16,
        tail_cycles: u64,
        to: Destination,
    ) -> bool {
        let mut waits = false;
        for at in 0..u32::from(count) {
            let Some(resident) = &mut self.ctas[usize::from(cta)] else { return false };
            let (address, what) = resident.source.asynchronous().mbarriers[(first + at) as usize];
            match what {
                MbarrierUse::Init { arrivals } => resident.mbarriers.init(address, arrivals),
                MbarrierUse::Arrive { arrivals, bytes } => self.update_mbarrier(now, cta, address, arrivals, bytes),
                // Lanes that look at different barriers: the answer comes with the first that is not over.
                MbarrierUse::Wait { phase } if !waits => {
                    waits = !resident.mbarriers.wait(address, Waiter { phase, to, tail_cycles });
                }
                MbarrierUse::Wait { .. } => {}
            }
        }
        waits
    }

    /// Arrivals and bytes at a barrier in cycle `now`.
    pub fn update_mbarrier(&mut self, now: u64, cta: u16, address: u32, arrivals: u32, bytes: i64) {
        let Some(resident) = &mut self.ctas[usize::from(cta)] else { return };
        let mut released = std::mem::take(&mut self.released);
        resident.mbarriers.update(address, arrivals, bytes, &mut released);
        for (tail_cycles, to) in released.drain(..) {
            self.answer(now + tail_cycles, cta, to);
        }
        self.released = released;
    }
}
