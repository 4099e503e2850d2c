//! Blocks (CTAs) that reside on the SM: their operations, barriers and resources.

use super::Shared;
use super::env::CtaHandle;
use super::event::Event;
use super::mbarrier::Mbarriers;
use super::occupancy::CtaResources;
use super::source::{OpSource, saved as source_state};
use super::spec::SUBCORES;
use super::subcore::Mask;
use super::timing::KernelTiming;
use std::sync::Arc;
use workloads::stream::CtaStream;

/// Named barriers of a CTA.
const BARRIERS: usize = 16;

/// A CTA for an SM: what it executes and what it takes.
#[derive(Clone, Debug)]
pub struct Cta {
    pub handle: CtaHandle,
    /// Grid slot of its grid: stores are counted by it, since the grid is over when the last is answered.
    pub slot: u8,
    pub kernel: Arc<KernelTiming>,
    pub source: OpSource,
    pub resources: CtaResources,
}

/// One named barrier.
#[derive(Clone, Copy, Debug, Default, serde::Serialize, serde::Deserialize)]
struct BlockBarrier {
    arrived: u16,
    /// Warps that must arrive; 0: all of the CTA that have not exited.
    expected: u16,
    waiting: [Mask; SUBCORES],
}

/// A CTA on the SM.
pub(crate) struct Resident {
    pub handle: CtaHandle,
    pub slot: u8,
    pub kernel: Arc<KernelTiming>,
    pub source: OpSource,
    /// Warp slots of the SM.
    pub slots: Vec<u8>,
    pub registers: u32,
    pub shared_bytes: u32,
    /// Warps that have not exited.
    live: u16,
    /// Warps that still hold their slot.
    pub unfinished: u16,
    barriers: [BlockBarrier; BARRIERS],
    pub mbarriers: Mbarriers,
}

sim_core::saved!(Resident {
    state: handle, slot, slots, registers, shared_bytes, live, unfinished, barriers, mbarriers;
    by source_state: source;
    rebuilt: kernel;
});

/// CTAs come and go: those that were there are made again before their state is loaded.
pub(super) mod residents {
    use super::*;
    use sim_core::{LoadError, Reader, Saved, Writer};

    pub fn save(ctas: &[Option<Resident>], out: &mut Writer) {
        out.put(&ctas.iter().map(Option::is_some).collect::<Vec<bool>>());
        ctas.iter().flatten().for_each(|resident| resident.save(out));
    }

    pub fn load(ctas: &mut [Option<Resident>], from: &mut Reader<'_>) -> Result<(), LoadError> {
        let resides: Vec<bool> = from.get()?;
        if resides.len() != ctas.len() {
            return Err(LoadError::Count { what: "CTA slots", found: resides.len(), expected: ctas.len() });
        }
        for (place, resides) in ctas.iter_mut().zip(resides) {
            *place = match resides {
                false => None,
                true => {
                    let resources = CtaResources { threads: 0, registers_per_thread: 0, shared_bytes: 0 };
                    let (handle, kernel) = (CtaHandle::default(), from.lent()?);
                    let source = OpSource::Recorded(CtaStream::default());
                    let mut resident =
                        Resident::new(Cta { handle, slot: 0, kernel, source, resources }, Vec::new(), 0, 0);
                    resident.load(from)?;
                    Some(resident)
                }
            };
        }
        Ok(())
    }
}

impl Resident {
    pub fn new(cta: Cta, slots: Vec<u8>, registers: u32, shared_bytes: u32) -> Self {
        let warps = slots.len() as u16;
        Self {
            handle: cta.handle,
            slot: cta.slot,
            kernel: cta.kernel,
            source: cta.source,
            slots,
            registers,
            shared_bytes,
            live: warps,
            unfinished: warps,
            barriers: [BlockBarrier::default(); BARRIERS],
            mbarriers: Mbarriers::default(),
        }
    }

    /// Who may go on if the barrier is complete.
    fn complete(&mut self, number: usize) -> Option<[Mask; SUBCORES]> {
        let live = self.live;
        let barrier = &mut self.barriers[number];
        let expected = if barrier.expected == 0 { live } else { barrier.expected };
        if barrier.arrived == 0 || barrier.arrived < expected {
            return None;
        }
        let waiting = barrier.waiting;
        *barrier = BlockBarrier::default();
        Some(waiting)
    }
}

impl Shared {
    /// A warp of `cta` issues BAR. `place` is its sub-core, and its bit there if it waits.
    pub fn arrive_at_barrier(
        &mut self,
        now: u64,
        cta: u16,
        number: u8,
        threads: u16,
        (subcore, waits): (u8, Option<Mask>),
    ) {
        let Some(resident) = &mut self.ctas[usize::from(cta)] else { return };
        let barrier = &mut resident.barriers[usize::from(number)];
        barrier.arrived += 1;
        barrier.expected = threads.div_ceil(32);
        barrier.waiting[usize::from(subcore)] |= waits.unwrap_or(0);
        if let Some(warps) = resident.complete(usize::from(number)) {
            self.wheel.schedule(now + self.spec.barrier_release_cycles, Event::BarrierRelease { warps });
        }
    }

    /// A warp of `cta` has issued its last instruction: barriers need not wait for it.
    pub fn warp_exited(&mut self, now: u64, cta: u16) {
        let due = now + self.spec.barrier_release_cycles;
        let Some(resident) = &mut self.ctas[usize::from(cta)] else { return };
        resident.live -= 1;
        for number in 0..BARRIERS {
            if resident.barriers[number].expected == 0
                && let Some(warps) = resident.complete(number)
            {
                self.wheel.schedule(due, Event::BarrierRelease { warps });
            }
        }
    }

    pub fn handle(&self, cta: u16) -> CtaHandle {
        self.ctas[usize::from(cta)].as_ref().map(|resident| resident.handle).unwrap_or_default()
    }
}

impl Resident {
    /// `count` of the warps have nothing to execute.
    pub fn without(&mut self, count: u16) {
        self.live -= count;
        self.unfinished -= count;
    }
}
