//! Pairwise constraints between commands, as tables.
//!
//! ```text
//!   rule: (level, before, after, at least) ─▶ expand: command lengths, ticks ─▶ [`ConstraintTable`] ─▶ `bank`
//! ```
//!
//! A rule says: on one node of a level, `after` may not start earlier than a distance after the (window-th last)
//! `before`; with `Scope::Siblings`, after a `before` on *another* child of the same parent. Distances are nominal, from
//! the last cycle of a command to the last cycle of the next; [`ConstraintTable::build`] turns them into ticks between
//! first cycles: `nominal + (length(before) - 1) - (length(after) - 1)`.
//!
//! Models: every rule of the tables in `hbm12`, `hbm34` and `gddr6`, in two editions: as Ramulator 2 checks them, and with the
//! edges it leaves out.
//! Leaves out: rules on clock edges (`Generation::may_start`, `native::edge`).
//! Numbers: the presets; the rules cite JESD235/JESD238 through the public simulators named in each table.
//! Canonical tests: `tests/effective_table.rs` compares the expanded tables with those of Ramulator 2.

mod gddr6;
mod hbm12;
mod hbm34;
mod power;
mod update;

use crate::command::{Command, CommandSet, Generation};
use crate::timing::Timing;

/// The levels a rule may sit on, widest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// The whole channel: its two command buses.
    Channel,
    /// One pseudo channel: its data bus.
    PseudoChannel,
    /// One rank: a stack ID of a pseudo channel.
    StackId,
    /// One bank group.
    BankGroup,
    /// One bank.
    Bank,
}

/// Which nodes of the level a rule speaks of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Both commands on the same node.
    Same,
    /// The second command on another child of the same parent.
    Siblings,
}

/// Which model a rule belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Edition {
    /// The rules Ramulator 2 checks, for `compat = "ramulator2"`.
    Ramulator2,
    /// The rules above and those of the standards that Ramulator 2 leaves out (its issue 272).
    Full,
}

/// How a distance is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Count {
    /// In clocks, from last cycle to last cycle: corrected for command lengths.
    Nominal(u32),
    /// In ticks, from first cycle to first cycle: bus occupancy.
    Ticks(u32),
}

/// One line of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// Where it holds.
    pub level: Level,
    /// Same node or siblings.
    pub scope: Scope,
    /// The first command.
    pub before: CommandSet,
    /// The second command.
    pub after: CommandSet,
    /// The least distance.
    pub at_least: Count,
    /// Counted from the `window`-th last `before`: 1 for all rules but the four-activate window.
    pub window: u8,
    /// Only part of [`Edition::Full`].
    pub full_only: bool,
}

/// A rule for one pair of commands, in ticks from start to start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PairRule {
    /// Where it holds.
    pub level: Level,
    /// Same node or siblings.
    pub scope: Scope,
    /// The first command.
    pub before: Command,
    /// The second command.
    pub after: Command,
    /// The least distance in ticks.
    pub ticks: u64,
    /// Counted from the `window`-th last `before`.
    pub window: u8,
}

/// The expanded table of one preset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConstraintTable {
    /// One entry for each pair of commands of each rule.
    pub pairs: Vec<PairRule>,
}

impl ConstraintTable {
    /// Expands the rules of a generation with the timing of a preset.
    pub fn build(generation: Generation, timing: &Timing, edition: Edition) -> Self {
        let mut rules = match generation {
            Generation::Hbm1 | Generation::Hbm2 | Generation::OneCycle => hbm12::rules(generation, timing),
            Generation::Hbm3 | Generation::Hbm4 => hbm34::rules(generation, timing),
            Generation::Gddr6 => gddr6::rules(generation, timing),
        };
        rules.extend(power::rules(generation, timing));
        rules.extend(update::rules(&rules, timing));
        let mut pairs = Vec::new();
        for rule in rules.iter().filter(|r| edition == Edition::Full || !r.full_only) {
            for before in rule.before.iter() {
                for after in rule.after.iter() {
                    let ticks = match rule.at_least {
                        Count::Nominal(ck) => (u64::from(ck * generation.ticks_per_ck())
                            + u64::from(generation.command_ticks(before)))
                        .saturating_sub(u64::from(generation.command_ticks(after))),
                        Count::Ticks(t) => u64::from(t),
                    };
                    if ticks > 0 {
                        pairs.push(PairRule {
                            level: rule.level,
                            scope: rule.scope,
                            before,
                            after,
                            ticks,
                            window: rule.window,
                        });
                    }
                }
            }
        }
        ConstraintTable { pairs }
    }
}

/// Writes a table: one rule a line, `level scope? [before] => [after], distance, window?`.
macro_rules! rules {
    ($t:ident, $( $level:ident $([$scope:ident])? : $before:expr => $after:expr, $kind:ident $at_least:expr
        $(, over $window:literal)? $(, full $full:ident)? ; )*) => {
        vec![$( crate::constraint::Rule {
            level: crate::constraint::Level::$level,
            scope: rules!(@scope $($scope)?),
            before: crate::command::CommandSet::of(&$before),
            after: crate::command::CommandSet::of(&$after),
            at_least: crate::constraint::Count::$kind($at_least),
            window: rules!(@window $($window)?),
            full_only: rules!(@full $($full)?),
        } ),*]
    };
    (@scope) => { crate::constraint::Scope::Same };
    (@scope $s:ident) => { crate::constraint::Scope::$s };
    (@window) => { 1 };
    (@window $w:literal) => { $w };
    (@full) => { false };
    (@full only) => { true };
}
pub(crate) use rules;
