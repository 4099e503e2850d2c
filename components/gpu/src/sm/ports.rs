//! Which cycles the two register banks' ports are taken, some cycles ahead.

/// Reservations of one kind of port (read or write) of both banks, up to 63 cycles ahead.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub(crate) struct Ports {
    base: u64,
    /// Bit i: cycle `base` + i is taken.
    busy: [u64; BANKS],
}

/// Registers of the two banks: bank = register number mod 2.
pub(crate) const BANKS: usize = 2;

impl Ports {
    pub fn new() -> Self {
        Self { base: 0, busy: [0; BANKS] }
    }

    /// The cycles that are taken of each bank, to add to: bit i = cycle `now` + i.
    #[inline]
    pub fn from(&mut self, now: u64) -> &mut [u64; BANKS] {
        let past = now - self.base;
        self.base = now;
        for busy in &mut self.busy {
            *busy = busy.checked_shr(past.min(64) as u32).unwrap_or(0);
        }
        &mut self.busy
    }

    /// Takes more cycles, after [`Ports::from`] in the same cycle.
    #[inline]
    pub fn add(&mut self, now: u64, cycles: [u64; BANKS]) {
        debug_assert_eq!(self.base, now, "looked at in another cycle");
        self.busy.iter_mut().zip(cycles).for_each(|(busy, cycles)| *busy |= cycles);
    }

    /// Taken cycles of a bank: bit i = cycle `now` + i.
    #[inline]
    pub fn taken(&self, now: u64, bank: usize) -> u64 {
        let past = now - self.base;
        if past < 64 { self.busy[bank] >> past } else { 0 }
    }

    /// Cycles by which a reader that needs `count` cycles from `now` on, and yields to all reservations, is delayed.
    pub fn delay(&self, now: u64, bank: usize, count: u8) -> u64 {
        let taken = self.taken(now, bank);
        if count == 0 || taken == 0 {
            return 0;
        }
        let (mut at, mut left) = (0u64, u64::from(count));
        while left > 0 && at < 63 {
            left -= u64::from(taken >> at & 1 == 0);
            at += 1;
        }
        at - u64::from(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reservations_move_with_time() {
        let mut ports = Ports::new();
        ports.from(10)[0] |= 0b1110;
        assert_eq!(ports.taken(11, 0), 0b111);
        assert_eq!(ports.taken(11, 1), 0);
        assert_eq!(ports.delay(11, 0, 1), 3);
        assert_eq!(ports.delay(11, 0, 2), 3);
        assert_eq!(ports.from(12), &mut [0b11, 0]);
        assert_eq!(ports.taken(200, 0), 0);
        assert_eq!(ports.from(200), &mut [0, 0]);
    }
}
