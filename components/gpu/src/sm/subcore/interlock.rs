//! Issue with a scoreboard: what it says of a warp's head goes where the wait mask and the stall count stand otherwise.
//!
//! A result of unknown latency, or a reader of what is to be written, shows as one more counter that is not zero; a result of
//! fixed latency as a stall. So issue itself is the same with control bits and with a scoreboard.

use super::super::timing::OpTiming;
use super::SubCore;
use super::warps::COUNTERS;
use crate::sm::scoreboard::BOARD_SOURCES;

impl SubCore {
    /// An instruction has issued: its registers are taken.
    pub(super) fn mark_registers(&mut self, now: u64, warp: usize, index: u32, op: &OpTiming) {
        if let (Some(board), Some(kernel)) = (&mut self.scoreboard, &self.warps.kernels[warp]) {
            board.issue(now, warp, index, op, &kernel.hazards[index as usize]);
        }
    }

    /// Looks up what the head of a warp waits for.
    pub fn look_at_registers(&mut self, now: u64, warp: usize) {
        let Some(index) = self.warps.head_index(warp) else { return };
        let (Some(board), Some(kernel)) = (&self.scoreboard, &self.warps.kernels[warp]) else { return };
        let hold = board.hold(warp, index, &kernel.ops, &kernel.hazards);
        self.warps.hold_by_registers(warp, hold.pending);
        if hold.until > now {
            self.warps.stall_longer(now, warp, hold.until);
        }
    }

    /// What instruction `index` of a warp held under this number is free: a counter falls, or registers are.
    pub fn release(&mut self, now: u64, warp: u8, counter: u8, index: u32) {
        let warp = usize::from(warp);
        if usize::from(counter) < COUNTERS {
            return self.warps.decrement(warp, counter);
        }
        let (Some(board), Some(kernel)) = (&mut self.scoreboard, &self.warps.kernels[warp]) else { return };
        let uses = &kernel.hazards[index as usize];
        if counter == BOARD_SOURCES {
            board.read(warp, uses)
        } else {
            board.written(warp, uses)
        }
        if self.warps.resident >> warp & 1 == 1 {
            self.look_at_registers(now, warp);
        }
    }
}
