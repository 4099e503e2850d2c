//! The protocol checker: is a stream of commands legal?
//!
//! ```text
//!   command trace ─▶ state · pairwise rules · buses · clock edges · power ─▶ violations
//! ```
//!
//! Models: every rule of a [`ConstraintTable`], recomputed from the times of the commands themselves; bank states; one
//! command a bus at a time; the edges of half-clock commands; nothing to a sleeping pseudo channel.
//! Leaves out: refresh rate over long times (`refresh_debt` of the report), data.
//! It shares no code with `bank` and the controllers: it keeps the times of past commands, never ready times.
//! Numbers: the table of the preset.
//! Start reading at [`Checker::check`]; the canonical tests are `tests/checker.rs`.

use std::fmt;

use crate::bank::Tick;
use crate::command::{Bus, Command, Generation, Reach};
use crate::constraint::{ConstraintTable, Level, PairRule, Scope};
use crate::organisation::{DramAddress, Organisation};

/// One command of a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TracedCommand {
    /// Tick of its first cycle.
    pub tick: Tick,
    /// Command.
    pub command: Command,
    /// Place; parts that do not apply to the command are ignored.
    pub place: DramAddress,
}

/// What a command breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Breach {
    /// Time runs backwards.
    Order,
    /// It names a bank that the organisation does not have.
    NoSuchPlace,
    /// Too soon after an earlier command.
    TooSoon {
        /// The rule.
        rule: PairRule,
        /// The earlier command's tick.
        earlier: Tick,
    },
    /// Its bus still carries an earlier command.
    BusBusy {
        /// The earlier command's tick.
        earlier: Tick,
    },
    /// It may not start on this clock edge.
    WrongEdge,
    /// A column command to a closed bank, or to another row than the open one.
    RowNotOpen,
    /// It needs a closed bank, or only closed banks.
    RowOpen,
    /// The pseudo channel is in power-down or self refresh (or, for an exit, is not).
    WrongPowerState,
}

/// A command that breaks something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Violation {
    /// Position in the trace, from 0.
    pub index: usize,
    /// The command.
    pub command: TracedCommand,
    /// What it breaks.
    pub breach: Breach,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let TracedCommand { tick, command, place: p } = self.command;
        let (pc, sid, bg, ba) = (p.pseudo_channel, p.stack_id, p.bank_group, p.bank);
        write!(f, "command {} at tick {tick}, {command} to pc {pc} sid {sid} bg {bg} bank {ba}: ", self.index)?;
        match self.breach {
            Breach::Order => write!(f, "earlier than the command before it"),
            Breach::NoSuchPlace => write!(f, "no such bank"),
            Breach::TooSoon { rule, earlier } => write!(
                f,
                "{} ticks after {} at {earlier}, at least {} on one {:?}{}",
                tick - earlier,
                rule.before,
                rule.ticks,
                rule.level,
                if rule.window > 1 { format!(" (the {}th last)", rule.window) } else { String::new() }
            ),
            Breach::BusBusy { earlier } => write!(f, "its bus carries the command of tick {earlier}"),
            Breach::WrongEdge => write!(f, "not on this clock edge"),
            Breach::RowNotOpen => write!(f, "the row is not open"),
            Breach::RowOpen => write!(f, "a row is open"),
            Breach::WrongPowerState => write!(f, "the power state does not allow it"),
        }
    }
}

/// Checks the commands of one channel.
#[derive(Debug, Clone)]
pub struct Checker {
    org: Organisation,
    generation: Generation,
    rules: Vec<RuleHistory>,
    open: Vec<Option<u32>>,
    asleep: Vec<Option<Command>>,
    last_row: Option<TracedCommand>,
    last_column: Option<TracedCommand>,
    last_tick: Tick,
    check_falling_edges: bool,
    index: usize,
}

/// The last commands that a rule counts from, on each node of its level.
#[derive(Debug, Clone)]
struct RuleHistory {
    rule: PairRule,
    /// Ticks, newest first, at most `window` of them.
    nodes: Vec<Vec<Tick>>,
}

impl Checker {
    /// A checker for a channel that starts with all banks closed. `check_falling_edges` adds the rule of half-clock
    /// precharges, which Ramulator 2 does not have.
    pub fn new(generation: Generation, org: Organisation, table: &ConstraintTable, check_falling_edges: bool) -> Self {
        let rules = table
            .pairs
            .iter()
            .map(|rule| RuleHistory { rule: *rule, nodes: vec![Vec::new(); nodes(&org, rule.level) as usize] });
        Checker {
            rules: rules.collect(),
            open: vec![None; org.banks() as usize],
            asleep: vec![None; org.pseudo_channels as usize],
            org,
            generation,
            last_row: None,
            last_column: None,
            last_tick: 0,
            check_falling_edges,
            index: 0,
        }
    }

    /// Checks the next command and takes it as issued. Appends what it breaks to `violations`.
    pub fn check(&mut self, c: &TracedCommand, violations: &mut Vec<Violation>) {
        let index = self.index;
        self.index += 1;
        let mut breach = |breach| violations.push(Violation { index, command: *c, breach });
        let (p, org) = (&c.place, &self.org);
        let inside = p.pseudo_channel < org.pseudo_channels
            && (c.command.reach() == Reach::PseudoChannel
                || p.stack_id < org.stack_ids && p.bank_group < org.bank_groups && p.bank < org.banks_per_group);
        if !inside {
            return breach(Breach::NoSuchPlace);
        }
        if c.tick < self.last_tick {
            return breach(Breach::Order);
        }
        self.last_tick = c.tick;
        if let Some(b) = self.bus_breach(c) {
            breach(b);
        }
        if !self.generation.may_start(c.command, c.tick) || self.check_falling_edges && self.bad_falling_edge(c) {
            breach(Breach::WrongEdge);
        }
        if let Some(b) = self.state_breach(c) {
            breach(b);
        }
        for history in &self.rules {
            if let Some(earlier) = history.broken_by(&self.org, c) {
                breach(Breach::TooSoon { rule: history.rule, earlier });
            }
        }
        self.take(c);
    }

    /// Checks a whole trace.
    pub fn check_all<'a>(&mut self, trace: impl IntoIterator<Item = &'a TracedCommand>) -> Vec<Violation> {
        let mut violations = Vec::new();
        for c in trace {
            self.check(c, &mut violations);
        }
        violations
    }

    fn bus_breach(&self, c: &TracedCommand) -> Option<Breach> {
        let last = match c.command.bus() {
            Bus::Row => self.last_row,
            Bus::Column => self.last_column,
        }?;
        let free = last.tick + Tick::from(self.generation.command_ticks(last.command));
        (c.tick < free).then_some(Breach::BusBusy { earlier: last.tick })
    }

    /// JESD238: on the falling edge that directly follows a row command, a precharge must address another pseudo channel,
    /// or be to one bank while the earlier command was to another single bank.
    fn bad_falling_edge(&self, c: &TracedCommand) -> bool {
        if self.generation.ticks_per_ck() == 1 || c.tick % 2 == 1 {
            return false;
        }
        let Some(last) = self.last_row else { return false };
        let follows = last.tick + Tick::from(self.generation.command_ticks(last.command)) == c.tick;
        if !follows || last.tick % 2 == 0 || last.place.pseudo_channel != c.place.pseudo_channel {
            return false;
        }
        let both_single = last.command.reach() == Reach::Bank && c.command.reach() == Reach::Bank;
        !both_single || self.org.flat_bank(&last.place) == self.org.flat_bank(&c.place)
    }

    fn state_breach(&self, c: &TracedCommand) -> Option<Breach> {
        use Command::*;
        let pc = c.place.pseudo_channel;
        match (c.command, self.asleep[pc as usize]) {
            (PdExit, Some(PdEnter)) | (SrExit, Some(SrEnter)) => return None,
            (PdExit | SrExit, _) | (_, Some(_)) => return Some(Breach::WrongPowerState),
            (_, None) => {}
        }
        let row = || self.open[self.org.flat_bank(&c.place) as usize];
        match c.command {
            Act | RefPb | RfmPb => row().map(|_| Breach::RowOpen),
            Rd | Wr | RdA | WrA | Upd => (row() != Some(c.place.row)).then_some(Breach::RowNotOpen),
            RefAb | RfmAb | SrEnter => self.banks_of(pc).any(|b| self.open[b].is_some()).then_some(Breach::RowOpen),
            PrePb | PreAb | PdEnter | PdExit | SrExit => None,
        }
    }

    fn take(&mut self, c: &TracedCommand) {
        match c.command.bus() {
            Bus::Row => self.last_row = Some(*c),
            Bus::Column => self.last_column = Some(*c),
        }
        let pc = c.place.pseudo_channel as usize;
        match c.command {
            Command::Act => self.open[self.org.flat_bank(&c.place) as usize] = Some(c.place.row),
            Command::PrePb | Command::RdA | Command::WrA => self.open[self.org.flat_bank(&c.place) as usize] = None,
            Command::PreAb => {
                for bank in self.banks_of(c.place.pseudo_channel) {
                    self.open[bank] = None;
                }
            }
            Command::PdEnter | Command::SrEnter => self.asleep[pc] = Some(c.command),
            Command::PdExit | Command::SrExit => self.asleep[pc] = None,
            _ => {}
        }
        for history in self.rules.iter_mut().filter(|h| h.rule.before == c.command) {
            let node = node(&self.org, history.rule.level, &c.place);
            let times = &mut history.nodes[node as usize];
            times.insert(0, c.tick);
            times.truncate(usize::from(history.rule.window));
        }
    }

    fn banks_of(&self, pseudo_channel: u32) -> std::ops::Range<usize> {
        let per_pc = self.org.banks_per_pseudo_channel() as usize;
        let first = pseudo_channel as usize * per_pc;
        first..first + per_pc
    }
}

impl RuleHistory {
    /// The tick of the earlier command that `c` follows too soon by this rule.
    fn broken_by(&self, org: &Organisation, c: &TracedCommand) -> Option<Tick> {
        if self.rule.after != c.command {
            return None;
        }
        let own = node(org, self.rule.level, &c.place);
        let candidates = match self.rule.scope {
            Scope::Same => own..own + 1,
            Scope::Siblings => {
                let children = children_of_parent(org, self.rule.level);
                own / children * children..own / children * children + children
            }
        };
        candidates
            .filter(|n| self.rule.scope == Scope::Same || *n != own)
            .filter_map(|n| self.nodes[n as usize].get(usize::from(self.rule.window) - 1))
            .find(|earlier| c.tick < *earlier + self.rule.ticks)
            .copied()
    }
}

fn nodes(org: &Organisation, level: Level) -> u32 {
    match level {
        Level::Channel => 1,
        Level::PseudoChannel => org.pseudo_channels,
        Level::StackId => org.pseudo_channels * org.stack_ids,
        Level::BankGroup => org.pseudo_channels * org.stack_ids * org.bank_groups,
        Level::Bank => org.pseudo_channels * org.stack_ids * org.bank_groups * org.banks_per_group,
    }
}

fn node(org: &Organisation, level: Level, p: &DramAddress) -> u32 {
    let stack = p.pseudo_channel * org.stack_ids + p.stack_id;
    match level {
        Level::Channel => 0,
        Level::PseudoChannel => p.pseudo_channel,
        Level::StackId => stack,
        Level::BankGroup => stack * org.bank_groups + p.bank_group,
        Level::Bank => (stack * org.bank_groups + p.bank_group) * org.banks_per_group + p.bank,
    }
}

fn children_of_parent(org: &Organisation, level: Level) -> u32 {
    match level {
        Level::Channel => 1,
        Level::PseudoChannel => org.pseudo_channels,
        Level::StackId => org.stack_ids,
        Level::BankGroup => org.bank_groups,
        Level::Bank => org.banks_per_group,
    }
}
