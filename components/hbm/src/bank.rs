//! The banks of one channel in time: which rows are open and when each command may come next.
//!
//! ```text
//!   issue(command, place, tick) ─▶ ready times of [bank] · [rank] raised by the compiled table ─▶ earliest(command, place)
//! ```
//!
//! Models: every pairwise rule of a [`ConstraintTable`], the open rows, the count of each command. The rules of five
//! levels are kept as lines of ready times: one a bank, one a bank group and one a rank (all wider rules); a
//! command raises the lines it touches. Commands that come seldom wait by when each command before them was issued last
//! in each rank, which is read only when they are asked for.
//! Leaves out: who decides what to issue. The checker does not use this file.
//! Numbers: [`ConstraintTable`].
//! Start reading at [`Banks::issue`]; the canonical tests are `tests/effective_table.rs` and the tests below.

use crate::command::{COMMANDS, Command, CommandSet, Generation, Reach};
use crate::constraint::{ConstraintTable, Level, PairRule, Scope};
use crate::organisation::{MAX_BANKS_PER_RANK, Organisation};

/// Model time, in ticks of the channel (`Generation::ticks_per_ck` to a command clock).
pub type Tick = u64;

/// A tick that never comes.
pub const NEVER: Tick = Tick::MAX;

/// Row number of a bank that has no row open.
pub const CLOSED: u32 = u32::MAX;

/// Ready times kept for one bank, one a class of commands.
const BANK_CLASSES: usize = 8;

/// One value a bank of a rank. All ranks have room for as many, so that a number of five bits needs no check.
pub type PerBank<T> = [T; MAX_BANKS_PER_RANK as usize];

/// What is cut off a bank's number in its rank, for the compiler to see that it is in range.
const BANK_MASK: usize = MAX_BANKS_PER_RANK as usize - 1;

/// Lines of ready times of a rank: those of bank groups, the one of all banks, and all of them, a power of two so that a
/// number of five bits needs no check.
const GROUPS: usize = BANK_CLASSES;
const ALL: usize = 2 * BANK_CLASSES;
const LINES: usize = 32;

/// Leaves nothing of a bank's number.
const MAX_SHIFT: u8 = 31;

/// The ready times of one command in the banks of a rank.
pub(crate) struct ReadyLines<'a> {
    banks: &'a PerBank<Tick>,
    groups: &'a PerBank<Tick>,
    group_shift: u32,
}

impl ReadyLines<'_> {
    /// That of a bank, by its number in the rank.
    #[inline]
    pub fn of(&self, bank: usize) -> Tick {
        self.banks[bank & BANK_MASK].max(self.groups[(bank & BANK_MASK) >> self.group_shift & BANK_MASK])
    }
}

/// Class of a command among the ready times of a bank. RDA waits as RD does, WRA as WR.
#[inline]
const fn bank_class(c: Command) -> usize {
    match c {
        Command::Act => 0,
        Command::PrePb => 1,
        Command::Rd | Command::RdA => 2,
        Command::Wr | Command::WrA | Command::Upd => 3,
        Command::RefPb => 4,
        Command::RfmPb => 5,
        // Commands to a whole pseudo channel have no time of a single bank.
        _ => 7,
    }
}

/// Whether the ready times of a command in ranks are raised by each command, not computed when asked for.
#[inline]
const fn is_frequent(c: Command) -> bool {
    !matches!(
        c,
        Command::PreAb
            | Command::RefAb
            | Command::RfmAb
            | Command::RfmPb
            | Command::PdEnter
            | Command::PdExit
            | Command::SrEnter
            | Command::SrExit
    )
}

/// One rule: a ready time is raised to some ticks after a command.
#[derive(Debug, Clone, Copy)]
struct Rise {
    /// Line among the ready times of a rank.
    line: u8,
    /// Place in the line of bank or group 0.
    first: u8,
    /// The number of the command's bank, so much shifted, is that of its bank or group; 0 after `MAX_SHIFT`.
    shift: u8,
    ticks: u32,
}

/// What one command raises, compiled from the table.
#[derive(Debug, Clone, Default)]
struct Raises {
    /// In its rank.
    own: Vec<Rise>,
    /// In other ranks, by the command's rank: (rank, rules).
    others: Vec<Vec<(u16, Vec<Rise>)>>,
}

/// What is known of one rank.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
struct Rank {
    /// Ready times: lines of its banks by class, from [`GROUPS`] on of its bank groups by class, and the line [`ALL`] of all
    /// its banks, in which stand the classes of a rank.
    ready: [PerBank<Tick>; LINES],
    /// One after the last tick of each command; 0 = none yet.
    after_last: [Tick; COMMANDS],
    open_banks: u32,
}

impl Rank {
    fn new() -> Self {
        Rank { ready: [[0; _]; LINES], after_last: [0; _], open_banks: 0 }
    }

    /// Raises what a command to bank `number` at `tick` raises.
    #[inline]
    fn raise(&mut self, rises: &[Rise], number: usize, tick: Tick) {
        for rise in rises {
            let at = usize::from(rise.first) + (number >> (rise.shift & MAX_SHIFT));
            let line = &mut self.ready[usize::from(rise.line) & (LINES - 1)];
            raise_to(&mut line[at & BANK_MASK], tick + u64::from(rise.ticks));
        }
    }
}

/// Rules between two ranks, by [`Relation`].
type ByRank = [Vec<(Command, u32)>; 3];

/// How a rank lies to the rank of another command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Relation {
    Same,
    /// Another of the same pseudo channel.
    Sibling,
    /// One of the other pseudo channel.
    Other,
}

impl Relation {
    #[inline]
    fn of(org: &Organisation, a: usize, b: usize) -> Self {
        let first_of_second = org.stack_ids as usize;
        match (a >= first_of_second) == (b >= first_of_second) {
            true if a == b => Relation::Same,
            true => Relation::Sibling,
            false => Relation::Other,
        }
    }
}

/// A rule over the last few commands of a kind in a pseudo channel (the four-activate window).
#[derive(Debug, Clone)]
struct WindowRule {
    before: Command,
    after: Command,
    ticks: u64,
    /// One ring a pseudo channel: when each of the last `window` commands stops to matter.
    rings: Vec<(Vec<Tick>, usize)>,
}

/// The banks of one channel.
#[derive(Debug, Clone)]
pub struct Banks {
    org: Organisation,
    /// Banks of a rank as a power of two.
    rank_shift: u32,
    /// Banks of a bank group as a power of two.
    group_shift: u32,
    generation: Generation,
    /// 1 where a clock has two edges and most commands start on the rising one, which is odd; else 0.
    rising_edge: Tick,
    raises: [Raises; COMMANDS],
    /// What each command that comes seldom waits for: (command before, ticks).
    waits: Vec<ByRank>,
    windows: Vec<WindowRule>,
    /// Commands that open a window.
    windowed: CommandSet,
    ranks: Vec<Rank>,
    open_row: Vec<u32>,
    /// Commands issued so far, by [`Command::index`].
    pub counts: [u64; COMMANDS],
}

sim_core::saved!(WindowRule { state: rings; rebuilt: before, after, ticks });
sim_core::saved!(Banks {
    state: counts;
    sized: ranks, open_row;
    parts: windows;
    rebuilt: org, rank_shift, group_shift, generation, rising_edge, raises, waits, windowed;
});

impl Banks {
    /// All banks closed, nothing to wait for.
    pub fn new(generation: Generation, org: Organisation, table: &ConstraintTable) -> Self {
        let mut raises: [Raises; COMMANDS] = Default::default();
        let mut waits = vec![ByRank::default(); COMMANDS];
        let mut windows = Vec::new();
        for rule in &table.pairs {
            if rule.window > 1 {
                let rings = vec![(vec![0; usize::from(rule.window)], 0); org.pseudo_channels as usize];
                windows.push(WindowRule { before: rule.before, after: rule.after, ticks: rule.ticks, rings });
            } else {
                raises[rule.before.index()].add(rule, &org, &mut waits[rule.after.index()]);
            }
        }
        let windowed: Vec<Command> = windows.iter().map(|w: &WindowRule| w.before).collect();
        Banks {
            org,
            windowed: CommandSet::of(&windowed),
            rank_shift: org.banks_per_rank().trailing_zeros(),
            group_shift: org.banks_per_group.trailing_zeros(),
            generation,
            rising_edge: Tick::from(generation.ticks_per_ck() - 1),
            raises,
            waits,
            windows,
            ranks: vec![Rank::new(); org.ranks() as usize],
            open_row: vec![CLOSED; org.banks() as usize],
            counts: [0; COMMANDS],
        }
    }

    /// Sizes of the channel.
    #[inline]
    pub fn organisation(&self) -> &Organisation {
        &self.org
    }

    /// The generation, for bus and edge rules.
    #[inline]
    pub fn generation(&self) -> Generation {
        self.generation
    }

    /// Rank of a flat bank.
    #[inline]
    pub fn rank_of(&self, bank: u32) -> usize {
        (bank >> self.rank_shift) as usize
    }

    /// The first bank of a rank.
    #[inline]
    pub fn first_of(&self, rank: usize) -> u32 {
        (rank as u32) << self.rank_shift
    }

    /// The bit of a flat bank in the masks of its rank.
    #[inline]
    pub fn bit_of(&self, bank: u32) -> u32 {
        1 << (bank & ((1 << self.rank_shift) - 1))
    }

    /// Pseudo channel of a flat bank; a channel has one or two.
    #[inline]
    pub fn pseudo_channel_of(&self, bank: u32) -> u32 {
        u32::from(bank >> self.rank_shift >= self.org.stack_ids)
    }

    /// The open row of a bank, or [`CLOSED`].
    #[inline]
    pub fn open_row(&self, bank: u32) -> u32 {
        self.open_row[bank as usize]
    }

    /// Open banks of a rank, one bit each.
    #[inline]
    pub fn open_banks(&self, rank: usize) -> u32 {
        self.ranks[rank].open_banks
    }

    /// Whether any bank of a pseudo channel is open.
    pub fn any_open(&self, pseudo_channel: u32) -> bool {
        let ranks = self.ranks_of(pseudo_channel);
        self.ranks[ranks].iter().any(|r| r.open_banks != 0)
    }

    /// The ranks of a pseudo channel.
    #[inline]
    pub fn ranks_of(&self, pseudo_channel: u32) -> std::ops::Range<usize> {
        let first = (pseudo_channel * self.org.stack_ids) as usize;
        first..first + self.org.stack_ids as usize
    }

    /// The part of a command's ready time that a bank and its group set.
    #[inline]
    pub fn bank_ready(&self, c: Command, bank: u32) -> Tick {
        self.ready_lines(c, self.rank_of(bank)).of(self.number_of(bank))
    }

    /// The number of a flat bank in its rank.
    #[inline]
    fn number_of(&self, bank: u32) -> usize {
        (bank & ((1 << self.rank_shift) - 1)) as usize
    }

    /// The same for all banks of a rank.
    #[inline]
    pub(crate) fn ready_lines(&self, c: Command, rank: usize) -> ReadyLines<'_> {
        let class = bank_class(c) & (BANK_CLASSES - 1);
        let rank = &self.ranks[rank];
        ReadyLines { banks: &rank.ready[class], groups: &rank.ready[GROUPS + class], group_shift: self.group_shift }
    }

    /// The part of a command's ready time that rank, pseudo channel and channel set.
    #[inline]
    pub fn rank_ready(&self, c: Command, rank: usize) -> Tick {
        let ready = self.ranks[rank].ready[ALL][rank_class(c)];
        if is_frequent(c) { ready } else { ready.max(self.waited_for(c, rank)) }
    }

    /// The same for a command that comes seldom.
    #[inline(never)]
    fn waited_for(&self, c: Command, rank: usize) -> Tick {
        let waits = &self.waits[c.index()];
        let mut ready = 0;
        for (before, other) in self.ranks.iter().enumerate() {
            for &(command, d) in &waits[Relation::of(&self.org, before, rank) as usize] {
                // One after the last tick, and so never 0 when there is one.
                if let Some(tick) = other.after_last[command.index()].checked_sub(1) {
                    raise_to(&mut ready, tick + u64::from(d));
                }
            }
        }
        ready
    }

    /// First tick at which a command to one bank breaks no pairwise rule.
    #[inline]
    pub fn earliest(&self, c: Command, bank: u32) -> Tick {
        self.bank_ready(c, bank).max(self.rank_ready(c, self.rank_of(bank)))
    }

    /// First tick at which a command to a whole pseudo channel breaks no pairwise rule.
    pub fn earliest_all(&self, c: Command, pseudo_channel: u32) -> Tick {
        self.ranks_of(pseudo_channel).map(|r| self.rank_ready(c, r)).max().unwrap_or(0)
    }

    /// The next tick at or after `tick` whose clock edge may start the command.
    #[inline]
    pub fn on_edge(&self, c: Command, tick: Tick) -> Tick {
        // Where edges differ, the rising ones are odd, as is the tick that never comes.
        if matches!(c, Command::PrePb | Command::PreAb) { tick } else { tick | self.rising_edge }
    }

    /// Issues a command at `tick`. `bank` is any bank of the pseudo channel for commands that address all of it; `row`
    /// matters to ACT alone.
    pub fn issue(&mut self, c: Command, bank: u32, row: u32, tick: Tick) {
        self.counts[c.index()] += 1;
        self.raise(c, bank, tick);
        match c {
            Command::Act => {
                self.open_row[bank as usize] = row;
                let rank = self.rank_of(bank);
                self.ranks[rank].open_banks |= self.bit_of(bank);
            }
            c if c.closes() => self.close(c.reach(), bank),
            _ => {}
        }
    }

    #[inline(never)]
    fn close(&mut self, reach: Reach, bank: u32) {
        if reach == Reach::Bank {
            self.open_row[bank as usize] = CLOSED;
            let rank = self.rank_of(bank);
            self.ranks[rank].open_banks &= !self.bit_of(bank);
            return;
        }
        let per_pc = self.org.banks_per_pseudo_channel();
        let pc = self.pseudo_channel_of(bank);
        self.open_row[(pc * per_pc) as usize..((pc + 1) * per_pc) as usize].fill(CLOSED);
        let ranks = self.ranks_of(pc);
        self.ranks[ranks].iter_mut().for_each(|r| r.open_banks = 0);
    }

    fn raise(&mut self, c: Command, bank: u32, tick: Tick) {
        let raises = &self.raises[c.index()];
        let (own, number) = (self.rank_of(bank), self.number_of(bank));
        let rank = &mut self.ranks[own];
        rank.raise(&raises.own, number, tick);
        rank.after_last[c.index()] = tick + 1;
        if let Some(others) = raises.others.get(own) {
            for (other, rises) in others {
                self.ranks[usize::from(*other)].raise(rises, number, tick);
            }
        }
        if self.windowed.contains(c) {
            self.enter_windows(c, self.pseudo_channel_of(bank), tick);
        }
    }

    #[inline(never)]
    fn enter_windows(&mut self, c: Command, pc: u32, tick: Tick) {
        let ranks = self.ranks_of(pc);
        for window in self.windows.iter_mut().filter(|w| w.before == c) {
            let (ring, at) = &mut window.rings[pc as usize];
            ring[*at] = tick + window.ticks;
            *at = if *at + 1 == ring.len() { 0 } else { *at + 1 };
            for rank in &mut self.ranks[ranks.clone()] {
                raise_to(&mut rank.ready[ALL][rank_class(window.after)], ring[*at]);
            }
        }
    }
}

impl Raises {
    /// Adds a rule that starts with this command; `waits` are those of the command it ends with.
    fn add(&mut self, rule: &PairRule, org: &Organisation, waits: &mut ByRank) {
        use Relation::{Other, Same, Sibling};
        let ticks = u32::try_from(rule.ticks).unwrap_or(u32::MAX);
        let relations: &[Relation] = match (rule.level, rule.scope) {
            (Level::Bank, _) => {
                let line = bank_class(rule.after) as u8;
                return add(&mut self.own, Rise { line, first: 0, shift: 0, ticks });
            }
            (Level::BankGroup, _) => {
                let line = (GROUPS + bank_class(rule.after)) as u8;
                let shift = org.banks_per_group.trailing_zeros() as u8;
                return add(&mut self.own, Rise { line, first: 0, shift, ticks });
            }
            (Level::StackId, Scope::Same) => &[Same],
            (Level::StackId, Scope::Siblings) => &[Sibling],
            (Level::PseudoChannel, _) => &[Same, Sibling],
            (Level::Channel, _) => &[Same, Sibling, Other],
        };
        if !is_frequent(rule.after) {
            relations.iter().for_each(|r| add_wait(&mut waits[*r as usize], rule.before, ticks));
            return;
        }
        let rise = Rise { line: ALL as u8, first: rank_class(rule.after) as u8, shift: MAX_SHIFT, ticks };
        if relations.contains(&Same) {
            add(&mut self.own, rise);
        }
        let ranks = org.ranks() as usize;
        if relations.iter().any(|r| *r != Same) {
            self.others.resize(ranks, Vec::new());
        }
        for (own, list) in self.others.iter_mut().enumerate() {
            let touched = |rank: &usize| *rank != own && relations.contains(&Relation::of(org, own, *rank));
            for rank in (0..ranks).filter(touched) {
                let known = list.iter().position(|(r, _)| usize::from(*r) == rank);
                let at = known.unwrap_or_else(|| {
                    list.push((rank as u16, Vec::new()));
                    list.len() - 1
                });
                add(&mut list[at].1, rise);
            }
        }
    }
}

/// Class of a command among the ready times of a rank: RDA waits as RD does, WRA as WR.
#[inline]
const fn rank_class(c: Command) -> usize {
    match c {
        Command::RdA => Command::Rd as usize,
        Command::WrA | Command::Upd => Command::Wr as usize,
        c => c as usize,
    }
}

fn add(list: &mut Vec<Rise>, rise: Rise) {
    match list.iter_mut().find(|known| (known.line, known.first) == (rise.line, rise.first)) {
        Some(known) => known.ticks = known.ticks.max(rise.ticks),
        None => list.push(rise),
    }
}

fn add_wait(list: &mut Vec<(Command, u32)>, before: Command, ticks: u32) {
    match list.iter_mut().find(|(command, _)| *command == before) {
        Some((_, d)) => *d = (*d).max(ticks),
        None => list.push((before, ticks)),
    }
}

#[inline]
fn raise_to(ready: &mut Tick, at_least: Tick) {
    *ready = (*ready).max(at_least);
}
