//! The banks of one channel in time: which rows are open and when each command may come next.
//!
//! ```text
//!   issue(command, place, tick) ─▶ ready times of [bank] · [rank] raised by the compiled table ─▶ earliest(command, place)
//! ```
//!
//! Models: every pairwise rule of a [`ConstraintTable`], the open rows, the count of each command. The rules of five
//! levels are kept as lines of ready times: one a bank (bank and bank-group rules), one a rank, one a pseudo channel and one
//! of the channel; a command raises the lines it touches.
//! Leaves out: who decides what to issue. The checker does not use this file.
//! Numbers: [`ConstraintTable`].
//! Start reading at [`Banks::issue`]; the canonical tests are `tests/effective_table.rs` and the tests below.

use crate::command::{COMMANDS, Command, Generation, Reach};
use crate::constraint::{ConstraintTable, Level, PairRule, Scope};
use crate::organisation::Organisation;

/// Model time, in ticks of the channel (`Generation::ticks_per_ck` to a command clock).
pub type Tick = u64;

/// A tick that never comes.
pub const NEVER: Tick = Tick::MAX;

/// Row number of a bank that has no row open.
pub const CLOSED: u32 = u32::MAX;

/// Ready times kept for one bank, one a class of commands; eight make one cache line.
const BANK_CLASSES: usize = 8;

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

/// What one command raises, compiled from the table: (class or command, ticks).
#[derive(Debug, Clone, Default)]
struct Raises {
    bank: Vec<(u8, u32)>,
    bank_group: Vec<(u8, u32)>,
    rank: Vec<(u8, u32)>,
    sibling_ranks: Vec<(u8, u32)>,
    pseudo_channel: Vec<(u8, u32)>,
    channel: Vec<(u8, u32)>,
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
    generation: Generation,
    raises: Vec<Raises>,
    windows: Vec<WindowRule>,
    bank_ready: Vec<[Tick; BANK_CLASSES]>,
    rank_ready: Vec<[Tick; 16]>,
    pseudo_channel_ready: [[Tick; 16]; 2],
    channel_ready: [Tick; 16],
    open_row: Vec<u32>,
    open_banks: Vec<u32>,
    /// Commands issued so far, by [`Command::index`].
    pub counts: [u64; COMMANDS],
}

sim_core::saved!(WindowRule { state: rings; rebuilt: before, after, ticks });
sim_core::saved!(Banks {
    state: counts;
    sized: bank_ready, rank_ready, pseudo_channel_ready, channel_ready, open_row, open_banks;
    parts: windows;
    rebuilt: org, rank_shift, generation, raises;
});

impl Banks {
    /// All banks closed, nothing to wait for.
    pub fn new(generation: Generation, org: Organisation, table: &ConstraintTable) -> Self {
        let mut raises = vec![Raises::default(); COMMANDS];
        let mut windows = Vec::new();
        for rule in &table.pairs {
            if rule.window > 1 {
                let rings = vec![(vec![0; usize::from(rule.window)], 0); org.pseudo_channels as usize];
                windows.push(WindowRule { before: rule.before, after: rule.after, ticks: rule.ticks, rings });
            } else {
                raises[rule.before.index()].add(rule);
            }
        }
        Banks {
            org,
            rank_shift: org.banks_per_rank().trailing_zeros(),
            generation,
            raises,
            windows,
            bank_ready: vec![[0; BANK_CLASSES]; org.banks() as usize],
            rank_ready: vec![[0; 16]; org.ranks() as usize],
            pseudo_channel_ready: [[0; 16]; 2],
            channel_ready: [0; 16],
            open_row: vec![CLOSED; org.banks() as usize],
            open_banks: vec![0; org.ranks() as usize],
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
        self.open_banks[rank]
    }

    /// Whether any bank of a pseudo channel is open.
    pub fn any_open(&self, pseudo_channel: u32) -> bool {
        let ranks = self.ranks_of(pseudo_channel);
        self.open_banks[ranks].iter().any(|m| *m != 0)
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
        self.bank_ready[bank as usize][bank_class(c)]
    }

    /// The ready times of a command in the banks of a rank: a line a bank, and the place in each line.
    #[inline]
    pub(crate) fn ready_lines(&self, c: Command, rank: usize) -> (&[[Tick; BANK_CLASSES]], usize) {
        let per_rank = 1 << self.rank_shift;
        (&self.bank_ready[rank * per_rank..(rank + 1) * per_rank], bank_class(c) & (BANK_CLASSES - 1))
    }

    /// The part of a command's ready time that rank, pseudo channel and channel set.
    #[inline]
    pub fn rank_ready(&self, c: Command, rank: usize) -> Tick {
        let (class, pc) = (rank_class(c) & 15, usize::from(rank >= self.org.stack_ids as usize));
        self.rank_ready[rank][class].max(self.pseudo_channel_ready[pc][class]).max(self.channel_ready[class])
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
        if tick != NEVER && !self.generation.may_start(c, tick) { tick + 1 } else { tick }
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
                self.open_banks[rank] |= self.bit_of(bank);
            }
            c if !c.closes() => {}
            c if c.reach() == Reach::Bank => self.close(bank),
            _ => {
                let per_pc = self.org.banks_per_pseudo_channel();
                let pc = self.pseudo_channel_of(bank);
                self.open_row[(pc * per_pc) as usize..((pc + 1) * per_pc) as usize].fill(CLOSED);
                let ranks = self.ranks_of(pc);
                self.open_banks[ranks].fill(0);
            }
        }
    }

    fn close(&mut self, bank: u32) {
        self.open_row[bank as usize] = CLOSED;
        let rank = self.rank_of(bank);
        self.open_banks[rank] &= !self.bit_of(bank);
    }

    fn raise(&mut self, c: Command, bank: u32, tick: Tick) {
        let raises = &self.raises[c.index()];
        let line = &mut self.bank_ready[bank as usize];
        for &(class, d) in &raises.bank {
            raise_to(&mut line[usize::from(class) & 7], tick + u64::from(d));
        }
        if !raises.bank_group.is_empty() {
            let per_group = self.org.banks_per_group;
            let first = (bank & !(per_group - 1)) as usize;
            for line in &mut self.bank_ready[first..first + per_group as usize] {
                for &(class, d) in &raises.bank_group {
                    raise_to(&mut line[usize::from(class) & 7], tick + u64::from(d));
                }
            }
        }
        let rank = self.rank_of(bank);
        let pc = self.pseudo_channel_of(bank);
        raise_line(&mut self.rank_ready[rank], &raises.rank, tick);
        if !raises.sibling_ranks.is_empty() {
            let first = (pc * self.org.stack_ids) as usize;
            for r in (first..first + self.org.stack_ids as usize).filter(|r| *r != rank) {
                raise_line(&mut self.rank_ready[r], &raises.sibling_ranks, tick);
            }
        }
        raise_line(&mut self.pseudo_channel_ready[pc as usize & 1], &raises.pseudo_channel, tick);
        raise_line(&mut self.channel_ready, &raises.channel, tick);
        for window in self.windows.iter_mut().filter(|w| w.before == c) {
            let (ring, at) = &mut window.rings[pc as usize];
            ring[*at] = tick + window.ticks;
            *at = (*at + 1) % ring.len();
            let line = &mut self.pseudo_channel_ready[pc as usize & 1];
            raise_to(&mut line[window.after.index() & 15], ring[*at]);
        }
    }
}

impl Raises {
    fn add(&mut self, rule: &PairRule) {
        let (bank, any) = (bank_class(rule.after) as u8, rank_class(rule.after) as u8);
        let ticks = u32::try_from(rule.ticks).unwrap_or(u32::MAX);
        match (rule.level, rule.scope) {
            (Level::Bank, _) => add(&mut self.bank, bank, ticks),
            (Level::BankGroup, _) => add(&mut self.bank_group, bank, ticks),
            (Level::StackId, Scope::Same) => add(&mut self.rank, any, ticks),
            (Level::StackId, Scope::Siblings) => add(&mut self.sibling_ranks, any, ticks),
            (Level::PseudoChannel, _) => add(&mut self.pseudo_channel, any, ticks),
            (Level::Channel, _) => add(&mut self.channel, any, ticks),
        }
    }
}

/// Class of a command among the ready times of a rank: RDA waits as RD does, WRA as WR.
const fn rank_class(c: Command) -> usize {
    match c {
        Command::RdA => Command::Rd as usize,
        Command::WrA | Command::Upd => Command::Wr as usize,
        c => c as usize,
    }
}

fn add(list: &mut Vec<(u8, u32)>, class: u8, ticks: u32) {
    match list.iter_mut().find(|(c, _)| *c == class) {
        Some((_, d)) => *d = (*d).max(ticks),
        None => list.push((class, ticks)),
    }
}

/// Raises a line of ready times by a list of (class, ticks).
#[inline]
fn raise_line(line: &mut [Tick; 16], list: &[(u8, u32)], tick: Tick) {
    for &(class, d) in list {
        raise_to(&mut line[usize::from(class) & 15], tick + u64::from(d));
    }
}

#[inline]
fn raise_to(ready: &mut Tick, at_least: Tick) {
    *ready = (*ready).max(at_least);
}
