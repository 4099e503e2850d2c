//! Constraints of op-and-store updates, derived from those of writes.
//!
//! Models: an update travels and waits as a write does, and holds its bank group (and what needs the whole pseudo channel
//! idle) longer by the time of the internal read and operation, as in T3 (Pati et al., ASPLOS 2024).
//! Leaves out: an update with auto-precharge.
//! Numbers: `n_update` of the preset.
//! Canonical tests: `tests/native.rs`.

use super::{Count, Level, Rule};
use crate::command::{Command, CommandSet};
use crate::timing::Timing;

pub(super) fn rules(all: &[Rule], t: &Timing) -> Vec<Rule> {
    let update = CommandSet::of(&[Command::Upd]);
    let mut derived = Vec::new();
    for rule in all {
        let (from_write, to_write) = (rule.before.contains(Command::Wr), rule.after.contains(Command::Wr));
        // The data bus is free after the burst; the bank group is not.
        let is_longer = rule.level >= Level::BankGroup || !to_write && !rule.after.contains(Command::Rd);
        let at_least = match rule.at_least {
            Count::Nominal(ck) if is_longer => Count::Nominal(ck + t.n_update),
            count => count,
        };
        if to_write {
            derived.push(Rule { after: update, full_only: true, ..*rule });
        }
        if from_write {
            derived.push(Rule { before: update, at_least, full_only: true, ..*rule });
        }
        if from_write && to_write {
            derived.push(Rule { before: update, after: update, at_least, full_only: true, ..*rule });
        }
    }
    derived
}
