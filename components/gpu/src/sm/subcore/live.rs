//! Fetch and issue of warps whose operations execute as they issue ([`OpSource::Live`](super::super::source::OpSource)).

use super::super::Shared;
use super::super::env::SmEnv;
use super::super::event::Event;
use super::super::reason::Reason;
use super::super::source::{Failed, LiveOps};
use super::super::spec::SUBCORES;
use super::{Mask, SubCore};
use workloads::sass::exec::Clocks;
use workloads::stream::NO_ACCESS;

/// Issued operations after which a warp's list is shortened.
const TRIM_AFTER: u32 = 4096;

impl Shared {
    fn live(&mut self, cta: u16) -> Option<&mut LiveOps> {
        self.ctas[usize::from(cta)].as_mut()?.source.live()
    }

    /// Warps of a live CTA may go on behind a barrier.
    fn release_live(&mut self, now: u64, cta: u16, released: u32) {
        let Some(resident) = &self.ctas[usize::from(cta)] else { return };
        let mut warps: [Mask; SUBCORES] = [0; SUBCORES];
        for (number, slot) in resident.slots.iter().enumerate() {
            if released >> number & 1 == 1 {
                warps[usize::from(*slot) % SUBCORES] |= 1 << (usize::from(*slot) / SUBCORES);
            }
        }
        if released != 0 {
            self.wheel.schedule(now + self.spec.barrier_release_cycles, Event::BarrierRelease { warps });
        }
    }

    /// An accepted memory operation of a live CTA needs its access no more.
    pub fn forget_access(&mut self, cta: u16, access: u32) {
        if access != NO_ACCESS
            && let Some(live) = self.live(cta)
        {
            live.forget_access(access);
        }
    }
}

impl SubCore {
    /// Learns what follows the fetched instructions of a live warp as far as that is known; drops what was guessed wrong.
    pub fn look_ahead(&mut self, now: u64, warp: usize, shared: &mut Shared) {
        let w = &mut self.warps;
        let Some(live) = shared.live(w.cta[warp]) else { return };
        let want = w.fetched[warp].max(w.position[warp]) as usize;
        let known = live.look_ahead(usize::from(w.warp_in_cta[warp]), &mut w.streams[warp], want);
        match known {
            Ok(wrong) => {
                if let Some(from) = wrong.filter(|from| *from < w.fetched[warp] as usize) {
                    w.squash(now, warp, from as u32);
                    self.reset_fetch(warp as u8);
                }
                self.warps.reconsider_fetch(warp);
            }
            Err(Failed) => self.fail(warp, shared),
        }
    }

    /// The warp's head issues; whether it executed.
    pub(super) fn execute_live<E: SmEnv>(&mut self, now: u64, warp: usize, shared: &mut Shared, env: &mut E) -> bool {
        let cta = self.warps.cta[warp];
        let number = usize::from(self.warps.warp_in_cta[warp]);
        let position = self.warps.position[warp] as usize;
        let Some(live) = shared.live(cta) else { return false };
        // Control reads the clock in the cycle after issue.
        let clocks = Clocks { cycle: now + 1, time_ns: env.time_ns() };
        match live.issue(number, &mut self.warps.streams[warp], position, clocks) {
            Ok(Some(stepped)) => {
                if stepped.waits {
                    self.warps.block(warp, Reason::Barrier);
                }
                shared.release_live(now, cta, stepped.released);
            }
            Ok(None) => {}
            Err(Failed) => {
                self.fail(warp, shared);
                return false;
            }
        }
        self.look_ahead(now, warp, shared);
        true
    }

    /// A live warp has issued its last instruction.
    pub(super) fn retire_live(&mut self, now: u64, warp: usize, shared: &mut Shared) {
        let cta = self.warps.cta[warp];
        match shared.live(cta).map(|live| live.retire(usize::from(self.warps.warp_in_cta[warp]))) {
            Some(Ok(released)) => shared.release_live(now, cta, released),
            _ => self.fail(warp, shared),
        }
    }

    /// Keeps the list of a live warp short.
    pub(super) fn trim(&mut self, warp: usize, shared: &mut Shared) {
        let count = self.warps.position[warp];
        if count >= TRIM_AFTER
            && let Some(live) = shared.live(self.warps.cta[warp])
        {
            live.trim(usize::from(self.warps.warp_in_cta[warp]), count as usize);
            self.warps.trim(warp, count);
        }
    }

    /// Execution failed: the warp stands still until the run ends.
    fn fail(&mut self, warp: usize, shared: &mut Shared) {
        shared.failed = true;
        self.warps.block(warp, Reason::Barrier);
    }
}
