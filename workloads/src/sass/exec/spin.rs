//! Finding out that warps go round in circles.
//!
//! What a warp does next follows from its registers, its paths, and the memory that others can change (a clock that it
//! reads counts among the registers). So a warp that is in a state in which it was before, while memory has not changed in
//! between, comes to that state again and again until memory changes. When all warps that run are in that position,
//! nobody is left to change it: the wait never ends.
//!
//! States are compared as Brent does it: with one remembered state, taken anew after 1, 2, 4 … looks.

/// Whether one warp has come back to an earlier state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Recurrence {
    state: u64,
    /// Changes of memory when the state was remembered.
    changes: u64,
    looks: u32,
    /// Looks after which another state is remembered; 0 before the first.
    until: u32,
    circles: bool,
}

impl Recurrence {
    /// The warp is in `state`, after so many changes of memory.
    pub fn look(&mut self, state: u64, changes: u64) {
        let remembers = self.until != 0 && self.changes == changes;
        self.circles = remembers && self.state == state;
        if self.circles {
            return;
        }
        self.looks += 1;
        if !remembers || self.looks == self.until {
            let until = if remembers { self.until.saturating_mul(2) } else { 1 };
            *self = Self { state, changes, looks: 0, until, circles: false };
        }
    }

    /// Whether it goes round in circles as long as memory stays as it is.
    pub fn circles(&self, changes: u64) -> bool {
        self.circles && self.changes == changes
    }
}

/// The same for all warps that execute live, counted as they are looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Circling {
    /// Warps that have started, have not exited and wait at no barrier.
    pub running: u64,
    /// Those of them that circle while memory is as after `changes` changes.
    circling: u64,
    changes: u64,
    /// Instructions since memory changed or a warp started or ended.
    pub idle_instructions: u64,
    /// CTAs whose warps have exited, but whose room the dispatcher does not know of yet.
    pub leaving: u64,
    /// No CTA starts before another ends.
    pub no_start: bool,
}

impl Circling {
    /// One more warp was found to circle.
    pub fn found(&mut self, changes: u64) {
        if self.changes != changes {
            (self.changes, self.circling) = (changes, 0);
        }
        self.circling += 1;
    }

    /// Whether nothing can happen any more.
    pub fn is_stuck(&self, changes: u64) -> bool {
        self.no_start && self.leaving == 0 && self.changes == changes && self.circling >= self.running
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cycle_of_states_is_found_whatever_its_length() {
        for length in [1, 2, 3, 7, 100] {
            let mut recurrence = Recurrence::default();
            // A prelude that never comes back, then the cycle.
            let states = (1000..1010).chain((0..length).cycle());
            let looks = states.take(10 + 8 * length + 32).position(|state| {
                recurrence.look(state as u64, 5);
                recurrence.circles(5)
            });
            assert!(looks.is_some(), "length {length}");
        }
    }

    #[test]
    fn a_change_of_memory_is_progress() {
        let mut recurrence = Recurrence::default();
        for changes in 0..100 {
            recurrence.look(1, changes);
            assert!(!recurrence.circles(changes));
        }
        recurrence.look(1, 99);
        assert!(recurrence.circles(99) && !recurrence.circles(100));
    }

    #[test]
    fn counting_states_never_come_back() {
        let mut recurrence = Recurrence::default();
        assert!((0..10_000).all(|state| {
            recurrence.look(state, 0);
            !recurrence.circles(0)
        }));
    }
}
