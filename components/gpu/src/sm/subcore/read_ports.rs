//! Read ports of the register file: which of the cycles of its window an instruction reads its operands in.
//!
//! ```text
//!  Allocate at t │ t+1  t+2  t+3 │ execute        three reads of bank 0, one of bank 1:
//!                │  0    0    0  │                bank 0 takes all three cycles,
//!                │            1  │                bank 1 the last
//! ```

use super::super::ports::{BANKS, Ports};
use super::super::spec::{MAX_READ_PORTS, Reservation};

/// One port a bank, or several (an ablation).
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub(super) struct ReadPorts {
    first: Ports,
    more: Vec<Ports>,
}

impl ReadPorts {
    pub fn new(ports_per_bank: u8) -> Self {
        Self { first: Ports::new(), more: vec![Ports::new(); usize::from(ports_per_bank) - 1] }
    }

    /// The cycles that reads of each bank would take of the first port (bit i = i cycles from now); `None` if some port is
    /// not free. For [`ReadPorts::take`].
    #[inline]
    pub fn find(&mut self, now: u64, rule: Reservation, needed: [u8; BANKS], window: u8) -> Option<[u64; BANKS]> {
        if !self.more.is_empty() {
            let fits = (0..BANKS).all(|bank| self.share(now, rule, bank, needed[bank], window).is_some());
            return fits.then_some([0; BANKS]);
        }
        let taken = *self.first.from(now);
        match rule {
            Reservation::Late => {
                let cycles = needed.map(|count| last_cycles(count, window));
                (cycles[0] & taken[0] | cycles[1] & taken[1] == 0).then_some(cycles)
            }
            Reservation::Early => {
                let [even, odd] = needed;
                Some([first_cycles(even, window, taken[0])?, first_cycles(odd, window, taken[1])?])
            }
        }
    }

    /// Takes what [`ReadPorts::find`] found.
    #[inline]
    pub fn take(&mut self, now: u64, rule: Reservation, needed: [u8; BANKS], window: u8, found: [u64; BANKS]) {
        if !self.more.is_empty() {
            return self.take_shared(now, rule, needed, window);
        }
        self.first.add(now, found);
    }

    #[cold]
    fn take_shared(&mut self, now: u64, rule: Reservation, needed: [u8; BANKS], window: u8) {
        for (bank, needed) in needed.into_iter().enumerate() {
            let Some([first, more @ ..]) = self.share(now, rule, bank, needed, window) else { continue };
            self.first.from(now)[bank] |= first;
            for (port, cycles) in self.more.iter_mut().zip(more) {
                port.from(now)[bank] |= cycles;
            }
        }
    }

    /// The cycles that each port of a bank would be taken. The reads are divided evenly; whichever port is free takes the
    /// larger share.
    #[cold]
    fn share(&self, now: u64, rule: Reservation, bank: usize, needed: u8, window: u8) -> Option<[u64; MAX_READ_PORTS]> {
        let ports = 1 + self.more.len();
        let mut taken = [0; MAX_READ_PORTS];
        taken[0] = self.first.taken(now, bank);
        for (taken, port) in taken[1..].iter_mut().zip(&self.more) {
            *taken = port.taken(now, bank);
        }
        // Port (first + nth) takes the nth share.
        let try_from = |first: usize| {
            let mut cycles = [0; MAX_READ_PORTS];
            for nth in 0..ports {
                let share = (usize::from(needed) + ports - 1 - nth) / ports;
                if share > 0 {
                    let port = (first + nth) % ports;
                    cycles[port] = match rule {
                        Reservation::Late => {
                            let cycles = last_cycles(share as u8, window);
                            (cycles & taken[port] == 0).then_some(cycles)
                        }
                        Reservation::Early => first_cycles(share as u8, window, taken[port]),
                    }?;
                }
            }
            Some(cycles)
        };
        (0..ports).find_map(try_from)
    }

    /// Cycles by which a reader that needs so many cycles of each bank from `now` on is delayed: it yields to all
    /// reservations.
    #[inline]
    pub fn delay(&self, now: u64, reads: [u8; BANKS]) -> u64 {
        // The last port is the one that others take last.
        let ports = self.more.last().unwrap_or(&self.first);
        (0..BANKS).map(|bank| ports.delay(now, bank, reads[bank])).max().unwrap_or(0)
    }
}

/// The last cycles of the window, one for each of `count` reads (bit i = i cycles from now).
#[inline]
fn last_cycles(count: u8, window: u8) -> u64 {
    // An instruction that reads more than its window holds opens it wider.
    ((1 << count) - 1) << (window.max(count) + 1 - count)
}

/// The first free cycles of the window, one for each of `count` reads; `None` if there are not so many.
fn first_cycles(count: u8, window: u8, taken: u64) -> Option<u64> {
    let (mut cycles, mut left) = (0, count);
    for cycle in 1..=window.max(count) {
        if left > 0 && taken >> cycle & 1 == 0 {
            cycles |= 1 << cycle;
            left -= 1;
        }
    }
    (left == 0).then_some(cycles)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn late_reservation_takes_the_last_cycles_of_the_window() {
        assert_eq!(last_cycles(0, 3), 0);
        assert_eq!(last_cycles(1, 3), 0b1000);
        assert_eq!(last_cycles(2, 3), 0b1100);
        assert_eq!(last_cycles(3, 3), 0b1110);
        assert_eq!(last_cycles(4, 3), 0b11110);
        assert_eq!(first_cycles(2, 3, 0b100), Some(0b1010));
        assert_eq!(first_cycles(3, 3, 0b100), None);
    }

    #[test]
    fn one_port_serves_one_read_of_a_bank_in_a_cycle() {
        let mut ports = ReadPorts::new(1);
        let found = ports.find(10, Reservation::Late, [2, 1], 3).unwrap();
        assert_eq!(found, [0b1100, 0b1000]);
        ports.take(10, Reservation::Late, [2, 1], 3, found);
        // A cycle later: cycles 1 and 2 of bank 0 are taken, and cycle 2 of bank 1.
        assert_eq!(ports.find(11, Reservation::Late, [2, 0], 3), None);
        assert_eq!(ports.find(11, Reservation::Late, [1, 1], 3), Some([0b1000, 0b1000]));
        assert_eq!(ports.delay(11, [2, 0]), 2);
    }
}
