//! What a sub-core states to those who watch it: what each warp's head waits for, and what its cycles are charged to.
//!
//! A head is looked at after Control and Allocate have moved and before a warp is chosen, in the order in which issue
//! looks: what holds the whole sub-core, what holds the warp, what its unit lacks. So a cycle without issue is charged to
//! the reason of one of the heads. Looking changes nothing, and is kept out of the code of those whom nobody watches.

use super::super::Shared;
use super::super::env::SmEnv;
use super::super::fact::{Dynamic, Origin, SmFact};
use super::super::reason::Reason;
use super::super::spec::{MAX_WARPS, SUBCORES};
use super::super::timing::{NO_CONSTANT, NO_UNIT, Route, WaitKind};
use super::SubCore;
use sim_core::reasons::Reason as _;

/// What each head waits for; `None`: for nothing but its turn.
pub(super) type Waits = [Option<Reason>; MAX_WARPS];

/// What was stated last, so that only changes are.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Said {
    heads: [Option<Option<Reason>>; MAX_WARPS],
}

/// Warp slot of the SM.
pub(crate) fn slot(subcore: u8, warp: u8) -> u16 {
    u16::from(warp) * SUBCORES as u16 + u16::from(subcore)
}

impl SubCore {
    pub fn dynamic(&self, warp: u8, position: u32) -> Dynamic {
        Dynamic { warp: slot(self.index, warp), position }
    }

    /// The instruction that a warp will issue next.
    pub fn head(&self, warp: u8) -> Dynamic {
        self.dynamic(warp, self.warps.position[usize::from(warp)])
    }

    pub(super) fn origin(&self, warp: usize, index: u32, shared: &Shared) -> Origin {
        let cta = shared.handle(self.warps.cta[warp]);
        Origin { cta, warp_in_cta: self.warps.warp_in_cta[warp], index }
    }

    /// What each head waits for in this cycle.
    #[cold]
    #[inline(never)]
    pub(super) fn waits(&self, now: u64) -> Waits {
        let all = if self.control.is_some() {
            Some(Reason::BackPressure)
        } else {
            (now < self.hold_until).then_some(Reason::ConstantMiss)
        };
        std::array::from_fn(|warp| match self.warps.resident >> warp & 1 {
            1 => all.or_else(|| self.wait_of(now, warp)),
            _ => None,
        })
    }

    fn wait_of(&self, now: u64, warp: usize) -> Option<Reason> {
        let w = &self.warps;
        let is = |mask: super::Mask| mask >> warp & 1 == 1;
        if is(w.blocked) {
            Some(w.block_reason[warp])
        } else if !is(w.decoded) {
            Some(Reason::InstructionFetch)
        } else if !is(w.counters_zero) {
            Some(Reason::of_wait(w.wait_kind(warp)))
        } else if is(w.constant_wait) {
            Some(Reason::ConstantMiss)
        } else if !is(w.stall_over) {
            Some(Reason::StallCount)
        } else {
            self.lack_of(now, warp)
        }
    }

    /// What an otherwise ready head lacks: `refusal` without its effects.
    fn lack_of(&self, now: u64, warp: usize) -> Option<Reason> {
        let op = &self.warps.head[warp];
        if let Some(collectors) = &self.collectors
            && !collectors.accepts(op)
        {
            return Some(Reason::UnitBusy);
        }
        match op.route {
            Route::Memory => (self.credits == 0).then_some(Reason::MemoryQueue),
            _ if self.collectors.is_some() => None,
            Route::Variable => {
                let unit = &self.units[usize::from(op.unit)];
                (now < unit.enters[unit.next]).then_some(Reason::UnitBusy)
            }
            Route::Fixed if op.unit != NO_UNIT && now < self.pipe_free(now, op.unit) => Some(Reason::UnitBusy),
            Route::Fixed if op.constant_line != NO_CONSTANT => {
                let kernel = self.warps.kernels[warp].as_ref()?;
                let key = self.constants.key(kernel.constant_address, op.constant_line);
                (!self.constants.would_hold(key)).then_some(Reason::ConstantMiss)
            }
            Route::Fixed => None,
        }
    }

    /// States what has changed, after a cycle that was charged to `reason`.
    #[cold]
    #[inline(never)]
    pub(super) fn state_waits<E: SmEnv>(
        &mut self,
        now: u64,
        reason: Reason,
        waits: Waits,
        shared: &Shared,
        env: &mut E,
    ) {
        if self.breakdown.current() != reason.index() {
            env.state(SmFact::Charged { subcore: self.index, reason });
        }
        let issued = if reason == Reason::Issued { self.warps.last_issued } else { 0 };
        for (warp, wait) in waits.into_iter().enumerate() {
            if (issued | !self.warps.resident) >> warp & 1 == 1 {
                self.said.heads[warp] = None;
                continue;
            }
            // Who was ready when a constant miss began to hold issue is held by it.
            let held = reason == Reason::ConstantMiss && now < self.hold_until;
            let wait = wait.or(held.then_some(reason));
            if self.said.heads[warp] != Some(wait) {
                self.said.heads[warp] = Some(wait);
                let index = self.warps.streams[warp][self.warps.position[warp] as usize].index;
                let origin = self.origin(warp, index, shared);
                env.state(SmFact::Waits { instruction: self.head(warp as u8), origin, why: wait });
            }
        }
    }
}

impl Reason {
    /// The reason of a warp that waits for a counter of this kind.
    pub(super) fn of_wait(kind: WaitKind) -> Self {
        match kind {
            WaitKind::Global => Reason::WaitGlobal,
            WaitKind::Shared => Reason::WaitShared,
            WaitKind::Local => Reason::WaitLocal,
            WaitKind::Constant => Reason::WaitConstant,
            WaitKind::Xu => Reason::WaitXu,
            WaitKind::Fp64 => Reason::WaitFp64,
            WaitKind::Tensor => Reason::WaitTensor,
            WaitKind::Shuffle => Reason::WaitShuffle,
            WaitKind::Special => Reason::WaitSpecial,
            WaitKind::Mbarrier => Reason::WaitMbarrier,
            WaitKind::Sources => Reason::WaitSources,
            WaitKind::Fixed => Reason::StallCount,
        }
    }
}
