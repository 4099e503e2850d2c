//! Allocate: an instruction leaves when the read ports it needs are free in its window and its result will find a write port.

use super::super::Shared;
use super::super::env::SmEnv;
use super::super::fact::{SmFact, Stage};
use super::super::ports::BANKS;
use super::super::timing::{NO_UNIT, OpTiming};
use super::{Latched, SubCore, slot};

impl SubCore {
    /// The latched instruction tries to reserve ports; whether it left.
    #[inline]
    pub(super) fn leave_allocate<E: SmEnv>(&mut self, now: u64, shared: &Shared, env: &mut E) -> bool {
        let Some(Latched { op, warp, index, .. }) = &self.allocate else { return false };
        let needed = self.rfc.reads_needed(op, *warp);
        let rule = shared.spec.reservation;
        let Some(read) = self.read_ports.find(now, rule, needed, op.window) else { return false };
        let Some(delay) = write_result(self.write_ports.from(now), op, shared.spec.result_queue_entries) else {
            return false;
        };
        self.read_ports.take(now, rule, needed, op.window, read);
        if op.unit != NO_UNIT {
            let pipe = &mut self.pipes[usize::from(op.unit)];
            pipe.on_the_way -= 1;
            pipe.exit = now;
        }
        if env.listening() {
            self.state_execution(now, now + u64::from(delay), env);
        }
        if self.rfc.concerns(op) {
            if env.listening() {
                let slot = slot(self.index, *warp);
                let reads = self.rfc.reads(op, *warp);
                reads.for_each(|read| env.state(SmFact::RegisterRead { warp: slot, index: *index, read }));
            }
            self.rfc.update(op, *warp);
        }
        true
    }

    /// Where the instruction that leaves Allocate now will be; its result is written in cycle `written`.
    #[cold]
    #[inline(never)]
    fn state_execution<E: SmEnv>(&self, now: u64, written: u64, env: &mut E) {
        let Some(Latched { op, warp, position, .. }) = &self.allocate else { return };
        let instruction = self.dynamic(*warp, *position);
        let mut state = |stage, cycle| env.state(SmFact::Stage { instruction, stage, cycle });
        let operands = now + 1 + u64::from(op.window);
        if op.unit == NO_UNIT {
            state(Stage::Done, now + 1);
            return;
        }
        state(Stage::OperandRead, now + 1);
        state(Stage::Execute, operands);
        if op.written_banks == 0 {
            // The model knows no end but that of the unit's input.
            state(Stage::Done, operands + u64::from(op.initiation_interval));
        } else {
            state(Stage::ResultQueue, now + u64::from(op.write_delay));
            state(Stage::WriteBack, written);
            state(Stage::Done, written + 1);
        }
    }
}

/// Takes write ports for an instruction that leaves now: its result waits in the result queue while its bank's port is
/// taken. The cycles until the last bank is written; `None` if the queue would overflow.
#[inline]
pub(super) fn write_result(taken: &mut [u64; BANKS], op: &OpTiming, queue_entries: u32) -> Option<u32> {
    let delay = u32::from(op.write_delay);
    let mut waits = [0; BANKS];
    for bank in 0..BANKS {
        if op.written_banks >> bank & 1 == 1 {
            waits[bank] = (taken[bank] >> delay).trailing_ones();
        }
    }
    let longest = waits[0].max(waits[1]);
    if longest > queue_entries {
        return None;
    }
    for bank in 0..BANKS {
        taken[bank] |= u64::from(op.written_banks >> bank & 1) << (delay + waits[bank]);
    }
    Some(if op.written_banks == 0 { 0 } else { delay + longest })
}
