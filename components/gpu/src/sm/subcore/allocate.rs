//! Allocate: an instruction leaves when the read ports it needs are free in its window.
//!
//! ```text
//!  Allocate at t │ t+1  t+2  t+3 │ execute        three reads of bank 0, one of bank 1:
//!                │  0    0    0  │                bank 0 takes all three cycles,
//!                │            1  │                bank 1 the last
//! ```

use super::super::Shared;
use super::super::env::SmEnv;
use super::super::fact::{SmFact, Stage};
use super::super::ports::BANKS;
use super::super::spec::{MAX_READ_PORTS, Reservation};
use super::super::timing::NO_UNIT;
use super::{Latched, SubCore, slot};

impl SubCore {
    /// Tries to reserve ports for the latched instruction; whether it left.
    pub(super) fn leave_allocate<E: SmEnv>(
        &mut self,
        now: u64,
        latched: Latched,
        shared: &Shared,
        env: &mut E,
    ) -> bool {
        let op = &latched.op;
        let needed = self.rfc.reads_needed(op, latched.warp);
        let rule = shared.spec.reservation;
        let mut reserved = [0; BANKS];
        for bank in 0..BANKS {
            if needed[bank] > 0 {
                let taken = self.read_ports.taken(now, bank);
                match reserve(rule, needed[bank], op.window, taken) {
                    Some(cycles) => reserved[bank] = cycles,
                    None if self.more_read_ports.is_empty() => return false,
                    // Several ports: looked at together below.
                    None => {}
                }
            }
        }
        if !self.more_read_ports.is_empty() && !self.find_shared_ports(now, rule, needed, op.window) {
            return false;
        }
        let Some(written) = self.write_result(now, latched, shared) else { return false };
        if self.more_read_ports.is_empty() {
            for (bank, cycles) in reserved.into_iter().enumerate() {
                if cycles != 0 {
                    self.read_ports.take(now, bank, cycles);
                }
            }
        } else {
            self.take_shared_ports(now, rule, needed, op.window);
        }
        if op.unit != NO_UNIT {
            let pipe = &mut self.pipes[usize::from(op.unit)];
            pipe.on_the_way -= 1;
            pipe.exit = now;
        }
        if env.listening() {
            self.state_execution(now, latched, written, env);
        }
        if self.rfc.concerns(op) {
            let slot = slot(self.index, latched.warp);
            let listening = env.listening();
            self.rfc.update(op, latched.warp, |read| {
                if listening {
                    env.state(SmFact::RegisterRead { warp: slot, index: latched.index, read });
                }
            });
        }
        true
    }

    /// Ablation: whether banks with several ports have them free.
    #[cold]
    fn find_shared_ports(&mut self, now: u64, rule: Reservation, needed: [u8; BANKS], window: u8) -> bool {
        (0..BANKS).all(|bank| self.share_ports(now, rule, bank, needed[bank], window).is_some())
    }

    #[cold]
    fn take_shared_ports(&mut self, now: u64, rule: Reservation, needed: [u8; BANKS], window: u8) {
        for (bank, needed) in needed.into_iter().enumerate() {
            let Some([first, more @ ..]) = self.share_ports(now, rule, bank, needed, window) else { continue };
            self.read_ports.take(now, bank, first);
            for (port, cycles) in self.more_read_ports.iter_mut().zip(more) {
                port.take(now, bank, cycles);
            }
        }
    }

    /// The cycles that each port of a bank would be taken. The reads are divided evenly; whichever port is free takes the
    /// larger share.
    fn share_ports(
        &mut self,
        now: u64,
        rule: Reservation,
        bank: usize,
        needed: u8,
        window: u8,
    ) -> Option<[u64; MAX_READ_PORTS]> {
        let ports = 1 + self.more_read_ports.len();
        let mut taken = [0; MAX_READ_PORTS];
        taken[0] = self.read_ports.taken(now, bank);
        for (taken, port) in taken[1..].iter_mut().zip(&mut self.more_read_ports) {
            *taken = port.taken(now, bank);
        }
        // Port (first + nth) takes the nth share.
        let try_from = |first: usize| {
            let mut cycles = [0; MAX_READ_PORTS];
            for nth in 0..ports {
                let share = (usize::from(needed) + ports - 1 - nth) / ports;
                if share > 0 {
                    let port = (first + nth) % ports;
                    cycles[port] = reserve(rule, share as u8, window, taken[port])?;
                }
            }
            Some(cycles)
        };
        (0..ports).find_map(try_from)
    }

    /// Where an instruction that leaves Allocate now will be; its result is written in cycle `written`.
    #[cold]
    #[inline(never)]
    fn state_execution<E: SmEnv>(&self, now: u64, latched: Latched, written: u64, env: &mut E) {
        let op = &latched.op;
        let instruction = self.dynamic(latched.warp, latched.position);
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

    /// Takes write ports: the result waits in the result queue while its bank's port is taken. The cycle in which the
    /// last bank is written; `None` if the queue would overflow.
    pub(super) fn write_result(&mut self, now: u64, latched: Latched, shared: &Shared) -> Option<u64> {
        let op = &latched.op;
        if op.written_banks == 0 {
            return Some(now);
        }
        let mut longest = 0;
        let mut at = [0; BANKS];
        for (bank, at) in at.iter_mut().enumerate() {
            if op.written_banks >> bank & 1 == 1 {
                let taken = self.write_ports.taken(now, bank) >> op.write_delay;
                let waits = (!taken).trailing_zeros();
                if waits > shared.spec.result_queue_entries {
                    return None;
                }
                longest = longest.max(waits);
                *at = 1 << (u32::from(op.write_delay) + waits);
            }
        }
        for (bank, cycles) in at.into_iter().enumerate() {
            self.write_ports.take(now, bank, cycles);
        }
        Some(now + u64::from(op.write_delay) + u64::from(longest))
    }
}

/// The cycles of the window that `count` reads of one bank take (bit i = i cycles from now); `None` if they are not free.
fn reserve(rule: Reservation, count: u8, window: u8, taken: u64) -> Option<u64> {
    // An instruction that reads more than its window holds opens it wider.
    let window = window.max(count);
    match rule {
        Reservation::Late => {
            let cycles = ((1 << count) - 1) << (window + 1 - count);
            (taken & cycles == 0).then_some(cycles)
        }
        Reservation::Early => {
            let (mut cycles, mut left) = (0, count);
            for cycle in 1..=window {
                if left > 0 && taken >> cycle & 1 == 0 {
                    cycles |= 1 << cycle;
                    left -= 1;
                }
            }
            (left == 0).then_some(cycles)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn late_reservation_takes_the_last_cycles_of_the_window() {
        assert_eq!(reserve(Reservation::Late, 1, 3, 0), Some(0b1000));
        assert_eq!(reserve(Reservation::Late, 2, 3, 0), Some(0b1100));
        assert_eq!(reserve(Reservation::Late, 3, 3, 0), Some(0b1110));
        assert_eq!(reserve(Reservation::Late, 2, 3, 0b100), None);
        assert_eq!(reserve(Reservation::Late, 2, 3, 0b10), Some(0b1100));
        assert_eq!(reserve(Reservation::Early, 2, 3, 0b100), Some(0b1010));
        assert_eq!(reserve(Reservation::Early, 3, 3, 0b100), None);
    }
}
