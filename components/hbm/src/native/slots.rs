//! The two command slots of the native controller: which command goes out on the column bus and on the row bus.
//!
//! ```text
//!   column: overdue hit, else oldest ready hit of both pseudo channels
//!   row:    wake-up, forced refresh, overdue request, oldest ready ACT or PRE, the same for the other
//!           direction, refresh of an unwanted bank, sleep
//! ```
//!
//! Models: one command a slot and tick, in the order above.
//! Leaves out: look-ahead beyond the queues.
//! Numbers: `policy`.
//! Start reading at [`Native::column_slot`]; the canonical tests are `tests/native.rs`.

use std::cell::Cell;

use super::bounds::Kind;
use super::breakdown::ReadTimes;
use super::edge::LastRowCommand;
use super::pseudo_channel::{Overdue, PseudoChannel};
use super::refresh::Target;
use super::{Native, PagePolicy, Started};
use crate::bank::{Banks, CLOSED, NEVER, PerBank, Tick};
use crate::command::{Command, Reach};
use crate::controller::{CommandObserver, IssuedCommand};
use crate::queue::{NO_KEY, Queued, RequestQueue};
use crate::request::{Completion, Op};
use crate::scan::Pick;

impl<O: CommandObserver> Native<O> {
    // Apart from the row slot, so that either keeps its own values in registers.
    #[inline(never)]
    pub(super) fn column_slot(&mut self, clk: Tick) {
        let mut pick = Pick::none();
        let Native { banks, bounds, pseudo_channels, .. } = self;
        for (rank, bound) in bounds.of_ranks(Kind::Column) {
            if *bound > clk {
                pick.next = pick.next.min(*bound);
                continue;
            }
            let pc = &pseudo_channels[banks.pseudo_channel_of(banks.first_of(rank)) as usize];
            if pc.power.asleep.is_some() {
                continue;
            }
            let (queue, command) = pc.queue();
            let mut hits = queue.hit_banks(rank) & !pc.held(rank, banks);
            if let Some(overdue) = pc.overdue.filter(|o| banks.rank_of(o.bank) == rank) {
                let bit = banks.bit_of(overdue.bank);
                if banks.open_row(overdue.bank) != overdue.row {
                    // Its row must open first: no more hits to the row in its way.
                    hits &= !bit;
                } else if hits & bit != 0 && banks.earliest(command, overdue.bank) <= clk {
                    pick = Pick { key: overdue.key, command, bank: overdue.bank, ..pick };
                    break;
                }
            }
            *bound = pick.consider(banks, command, rank, hits, clk, queue.hits_of(rank));
        }
        if pick.found() {
            let i = self.banks.pseudo_channel_of(pick.bank) as usize;
            self.issue_column(i, pick.key, pick.command, clk);
            self.column_not_before = self.column_not_before.max(self.next_column(i));
        } else {
            self.column_not_before = pick.next;
        }
    }

    /// The first tick at which a rank may issue a column command, after one of pseudo channel `i`.
    #[inline]
    fn next_column(&mut self, i: usize) -> Tick {
        let pc = &self.pseudo_channels[i];
        let (_, command) = pc.queue();
        self.bounds.next_column(&self.banks, command, &pc.ranks)
    }

    fn issue_column(&mut self, i: usize, key: u64, plain: Command, clk: Tick) {
        let pc = &mut self.pseudo_channels[i];
        let direction = if plain == Command::Rd { Op::Read } else { Op::Write };
        let queue = pc.queue_of(direction);
        let request = *queue.get(key);
        let Queued { bank, op, .. } = request;
        queue.remove(key, self.banks.open_row(bank));
        if pc.left(op, key, clk) {
            self.decision_not_before = clk;
        }
        self.last_use[bank as usize] = clk;
        let (rank, bit) = (self.banks.rank_of(bank), self.banks.bit_of(bank));
        let (wanted, hits) = pc.wanted(rank);
        let target = pc.refresh.target.is_some_and(|t| t.bank == bank && t.command != Command::RefAb);
        let close = hits & bit == 0
            && match self.policy.page {
                PagePolicy::Open => false,
                PagePolicy::OpenAuto => wanted & bit != 0 || target,
                PagePolicy::Closed => true,
            };
        let command = match (op, close) {
            (Op::Update, _) => Command::Upd,
            (_, false) => plain,
            (Op::Read, true) => Command::RdA,
            (Op::Write, true) => Command::WrA,
        };
        if request.started == NEVER {
            self.counters.row_hits += 1;
        }
        let (arrive, done) = (request.arrive, clk + self.read_latency);
        match op {
            Op::Read => {
                let times = ReadTimes {
                    arrive,
                    started: request.started,
                    bank_ready: self.banks.bank_ready(Command::Rd, bank),
                    column: clk,
                    done,
                    refresh: self.refreshed[bank as usize],
                };
                self.breakdown.add(&times.parts());
                if self.announces {
                    self.started.push(Started { id: request.id, done });
                }
                self.pending.push_back(Completion { id: request.id, op, arrive, done });
            }
            Op::Write | Op::Update => {
                self.written.push_back(Completion { id: request.id, op, arrive, done: clk });
            }
        }
        self.banks.issue(command, bank, request.row, clk);
        let free = clk + Tick::from(self.banks.generation().command_ticks(command));
        self.column_not_before = self.banks.on_edge(command, free);
        let pc = &mut self.pseudo_channels[i];
        if self.policy.refresh_management_activates > 0 {
            pc.refresh_changed(&self.policy);
        }
        if command.closes() {
            pc.power.issued(command, self.banks.any_open(i as u32), clk);
            self.row_changed(i, command, bank);
        }
        self.observer.issued(&IssuedCommand { tick: clk, command, bank, row: request.row, column: request.column });
        let (pc, banks) = (&mut self.pseudo_channels[i], &self.banks);
        // The row slot has something new to do only if the row is done with: with the bank, when it may be; with sleep at
        // once, if nobody wants the bank. A target of refresh is chosen behind the slots and makes the row slot look.
        if wanted & bit == 0 {
            pc.refresh_changed(&self.policy);
            if self.policy.sleeps() {
                self.row_not_before = self.row_not_before.min(clk);
            }
        } else if pc.queue_of(direction).oldest_hit(bank) == NO_KEY {
            let command = if banks.open_row(bank) == CLOSED { Command::Act } else { Command::PrePb };
            let ready = banks.on_edge(command, banks.earliest(command, bank)).max(clk);
            self.bounds.lower_row(command, rank, ready);
            self.row_not_before = self.row_not_before.min(ready);
        }
    }

    #[inline(never)]
    pub(super) fn row_slot(&mut self, clk: Tick) {
        match self.row_command(clk) {
            Ok(()) => self.row_not_before = self.row_not_before.max(self.next_row()),
            Err(next) => self.row_not_before = next,
        }
    }

    /// The first tick at which a row command may be possible. Those who are overdue or may sleep are asked in each slot.
    fn next_row(&mut self) -> Tick {
        let mut next = NEVER;
        if self.policy.sleeps() {
            return 0;
        }
        for pc in &self.pseudo_channels {
            if pc.overdue.is_some() {
                return 0;
            }
            if let Some(target) = pc.refresh.target {
                let command = pc.refresh.command(&target, &self.banks, pc.index);
                next = next.min(match command.reach() {
                    Reach::Bank => self.banks.earliest(command, target.bank),
                    Reach::PseudoChannel => self.banks.earliest_all(command, pc.index),
                });
            }
            for rank in pc.ranks.clone() {
                next = next.min(self.bounds.next_row(&self.banks, rank));
            }
        }
        next
    }

    /// Issues the most urgent row command that may go; the error is the tick at which to look again.
    fn row_command(&mut self, clk: Tick) -> Result<(), Tick> {
        let sleeps = self.policy.sleeps();
        let refreshes = self.pseudo_channels.iter().any(|pc| pc.refresh.target.is_some());
        let overdue = self.pseudo_channels.iter().any(|pc| pc.overdue.is_some());
        let mut next = NEVER;
        let mut attempt = |result: Result<(), Tick>| match result {
            Ok(()) => true,
            Err(later) => {
                next = next.min(later);
                false
            }
        };
        if sleeps && attempt(self.wake(clk))
            || refreshes && attempt(self.refresh_target(clk, true))
            || overdue && attempt(self.overdue_row(clk))
            || attempt(self.oldest_row(clk))
            || attempt(self.row_ahead(clk))
            || refreshes && attempt(self.refresh_target(clk, false))
            || sleeps && attempt(self.sleep(clk))
        {
            return Ok(());
        }
        Err(next)
    }

    /// Tries to issue a row command; the error is the tick at which it may be possible.
    fn try_row(&mut self, i: usize, command: Command, bank: u32, row: u32, clk: Tick) -> Result<(), Tick> {
        let ready = match command.reach() {
            Reach::Bank => self.banks.earliest(command, bank),
            Reach::PseudoChannel => self.banks.earliest_all(command, i as u32),
        };
        let ready = self.banks.on_edge(command, ready.max(clk));
        if ready > clk {
            return Err(ready);
        }
        if !self.edge_allows(command, i as u32, bank, clk) {
            return Err(clk + 1);
        }
        self.issue(i, command, bank, row, clk);
        Ok(())
    }

    fn edge_allows(&self, command: Command, pseudo_channel: u32, bank: u32, clk: Tick) -> bool {
        self.last_row.is_none_or(|last| last.allows(self.banks.generation(), command, pseudo_channel, bank, clk))
    }

    fn wake(&mut self, clk: Tick) -> Result<(), Tick> {
        let mut next = NEVER;
        for i in 0..self.pseudo_channels.len() {
            let pc = &self.pseudo_channels[i];
            let Some(asleep) = pc.power.asleep else { continue };
            let deeper = match asleep {
                Command::PdEnter => due(pc, self.policy.self_refresh_after_ticks),
                _ => NEVER,
            };
            if pc.is_idle() && !pc.refresh.is_urgent() && deeper > clk {
                next = next.min(deeper);
                continue;
            }
            let exit = if asleep == Command::PdEnter { Command::PdExit } else { Command::SrExit };
            match self.try_row(i, exit, self.first_bank(i), 0, clk) {
                Ok(()) => {
                    if exit == Command::SrExit {
                        self.pseudo_channels[i].refresh.restart(clk);
                        self.decision_not_before = clk;
                    }
                    return Ok(());
                }
                Err(later) => next = next.min(later),
            }
        }
        Err(next)
    }

    /// Brings on the targets that are forced, or those that are not.
    fn refresh_target(&mut self, clk: Tick, forced: bool) -> Result<(), Tick> {
        let mut next = NEVER;
        for i in 0..self.pseudo_channels.len() {
            let pc = &self.pseudo_channels[i];
            let Some(target) = pc.refresh.target.filter(|t| t.forced == forced) else { continue };
            // On the way to self refresh, in which the device refreshes itself, only what is forced is paid.
            let retiring = !forced && pc.is_idle() && due(pc, self.policy.self_refresh_after_ticks) <= clk;
            if pc.power.asleep.is_some() || retiring {
                continue;
            }
            let command = pc.refresh.command(&target, &self.banks, i as u32);
            match self.try_row(i, command, target.bank, 0, clk) {
                Ok(()) => {
                    if command == target.command {
                        self.note_refresh(i, &target, clk);
                    }
                    return Ok(());
                }
                Err(later) => next = next.min(later),
            }
        }
        Err(next)
    }

    fn note_refresh(&mut self, i: usize, target: &Target, clk: Tick) {
        let org = *self.banks.organisation();
        let pc = &mut self.pseudo_channels[i];
        pc.refresh.refreshed(target, &org);
        // Requests may use what was held for it.
        self.bounds.forget(pc.ranks.clone());
        let [all, one, managed] = self.refresh_ticks;
        let (banks, ticks) = match target.command {
            Command::RefAb => (target.bank..target.bank + org.banks_per_pseudo_channel(), all),
            Command::RefPb => (target.bank..target.bank + 1, one),
            _ => (target.bank..target.bank + 1, managed),
        };
        for bank in banks {
            self.refreshed[bank as usize] = (clk, clk + ticks);
        }
    }

    fn overdue_row(&mut self, clk: Tick) -> Result<(), Tick> {
        let mut next = NEVER;
        for i in 0..self.pseudo_channels.len() {
            let pc = &self.pseudo_channels[i];
            let Some(Overdue { op, key, bank, row }) = pc.overdue else { continue };
            let rank = self.banks.rank_of(bank);
            let held = pc.held(rank, &self.banks) & self.banks.bit_of(bank) != 0;
            let open = self.banks.open_row(bank);
            if pc.power.asleep.is_some() || held || open == row {
                continue;
            }
            let command = if open == CLOSED { Command::Act } else { Command::PrePb };
            match self.serve_row(i, op, key, command, clk) {
                Ok(()) => return Ok(()),
                Err(later) => next = next.min(later),
            }
        }
        Err(next)
    }

    /// The rows of the direction that is served now.
    fn oldest_row(&mut self, clk: Tick) -> Result<(), Tick> {
        let pick = self.pick_row(clk);
        self.serve_pick(&pick, |pc| pc.write_mode, clk)
    }

    /// Rows for the direction that is not served now, in banks that the served one does not want: the turn of the data bus
    /// then finds them open.
    fn row_ahead(&mut self, clk: Tick) -> Result<(), Tick> {
        let pick = self.pick_ahead(clk);
        self.serve_pick(&pick, |pc| !pc.write_mode, clk)
    }

    /// The oldest ready ACT or PRE of the direction that each pseudo channel serves.
    fn pick_row(&mut self, clk: Tick) -> Pick {
        let mut pick = Pick::none();
        let Native { banks, bounds, pseudo_channels, last_row, .. } = self;
        for (rank, [act, precharge]) in bounds.rows() {
            if *act > clk && *precharge > clk {
                pick.next = pick.next.min(*act).min(*precharge);
                continue;
            }
            let pc = &pseudo_channels[banks.pseudo_channel_of(banks.first_of(rank)) as usize];
            if pc.power.asleep.is_some() {
                continue;
            }
            let rows = Rows::of(pc.queue().0, rank, banks, !pc.held(rank, banks));
            if *act <= clk {
                *act = rows.activate(&mut pick, banks, clk);
            }
            if *precharge <= clk {
                *precharge = rows.precharge(&mut pick, banks, *last_row, clk);
            }
            pick.next = pick.next.min(*act).min(*precharge);
        }
        pick
    }

    /// The same for the other direction, in the banks that the served one does not want.
    fn pick_ahead(&mut self, clk: Tick) -> Pick {
        let mut pick = Pick::none();
        let Native { banks, bounds, pseudo_channels, last_row, .. } = self;
        for (rank, bound) in bounds.of_ranks(Kind::Ahead) {
            if *bound > clk {
                pick.next = pick.next.min(*bound);
                continue;
            }
            let pc = &pseudo_channels[banks.pseudo_channel_of(banks.first_of(rank)) as usize];
            if pc.power.asleep.is_some() {
                continue;
            }
            let (served, queue) = if pc.write_mode { (&pc.writes, &pc.reads) } else { (&pc.reads, &pc.writes) };
            let rows = Rows::of(queue, rank, banks, !pc.held(rank, banks) & !served.wanted_banks(rank));
            let act = rows.activate(&mut pick, banks, clk);
            *bound = act.min(rows.precharge(&mut pick, banks, *last_row, clk));
        }
        pick
    }

    /// Issues what was picked.
    fn serve_pick(&mut self, pick: &Pick, writes: impl Fn(&PseudoChannel) -> bool, clk: Tick) -> Result<(), Tick> {
        if !pick.found() {
            return Err(pick.next);
        }
        let i = self.banks.pseudo_channel_of(pick.bank) as usize;
        let op = if writes(&self.pseudo_channels[i]) { Op::Write } else { Op::Read };
        self.serve_row(i, op, pick.key, pick.command, clk)
    }

    /// Issues ACT or PRE for a request, and counts what the request met if it is its first command.
    fn serve_row(&mut self, i: usize, op: Op, key: u64, command: Command, clk: Tick) -> Result<(), Tick> {
        let request = *self.pseudo_channels[i].queue_of(op).get(key);
        self.try_row(i, command, request.bank, request.row, clk)?;
        if request.started == NEVER {
            self.pseudo_channels[i].queue_of(op).get_mut(key).started = clk;
            match command {
                Command::Act => self.counters.row_misses += 1,
                _ => self.counters.row_conflicts += 1,
            }
        }
        Ok(())
    }

    fn sleep(&mut self, clk: Tick) -> Result<(), Tick> {
        let mut next = NEVER;
        for i in 0..self.pseudo_channels.len() {
            let pc = &self.pseudo_channels[i];
            let self_refresh = due(pc, self.policy.self_refresh_after_ticks);
            let owes = pc.refresh.target.is_some_and(|t| t.forced) || pc.refresh.debt > 0 && self_refresh > clk;
            if pc.power.asleep.is_some() || !pc.is_idle() {
                continue;
            }
            if owes {
                // In self refresh the device pays what is owed itself.
                next = next.min(if self_refresh > clk { self_refresh } else { NEVER });
                continue;
            }
            let power_down = due(pc, self.policy.power_down_after_ticks);
            let command = if self_refresh <= clk {
                if self.banks.any_open(i as u32) { Command::PreAb } else { Command::SrEnter }
            } else if power_down <= clk {
                Command::PdEnter
            } else {
                next = next.min(self_refresh).min(power_down);
                continue;
            };
            match self.try_row(i, command, self.first_bank(i), 0, clk) {
                Ok(()) => return Ok(()),
                Err(later) => next = next.min(later),
            }
        }
        Err(next)
    }

    fn first_bank(&self, i: usize) -> u32 {
        i as u32 * self.banks.organisation().banks_per_pseudo_channel()
    }

    fn issue(&mut self, i: usize, command: Command, bank: u32, row: u32, clk: Tick) {
        self.banks.issue(command, bank, row, clk);
        // Its bus is busy for the length of the command; a slot need not look before.
        let free = clk + Tick::from(self.banks.generation().command_ticks(command));
        self.last_row = Some(LastRowCommand::new(command, i as u32, bank, clk));
        self.row_not_before = free;
        let pc = &mut self.pseudo_channels[i];
        pc.power.issued(command, self.banks.any_open(i as u32), clk);
        match command {
            Command::Act => {
                pc.refresh.activated(bank);
                let ready = self.banks.earliest(Command::Rd, bank).min(self.banks.earliest(Command::Wr, bank));
                let ready = self.banks.on_edge(Command::Rd, ready);
                self.bounds.lower(Kind::Column, self.banks.rank_of(bank), ready);
                self.column_not_before = self.column_not_before.min(ready);
            }
            Command::PdExit | Command::SrExit => {
                self.bounds.forget(pc.ranks.clone());
                self.column_not_before = self.column_not_before.min(free);
            }
            _ => {}
        }
        pc.refresh_changed(&self.policy);
        if command == Command::Act || command.closes() {
            self.row_changed(i, command, bank);
        }
        self.observer.issued(&IssuedCommand { tick: clk, command, bank, row, column: 0 });
    }

    /// A command opened or closed the row of a bank, or closed those of all banks from this one on.
    #[inline(never)]
    fn row_changed(&mut self, i: usize, command: Command, bank: u32) {
        let pc = &mut self.pseudo_channels[i];
        let changed = match command.reach() {
            Reach::Bank => {
                let next = if command == Command::Act { Command::PrePb } else { Command::Act };
                let ready = self.banks.on_edge(next, self.banks.earliest(next, bank));
                self.bounds.lower_row(next, self.banks.rank_of(bank), ready);
                bank..bank + 1
            }
            Reach::PseudoChannel => {
                self.bounds.forget(pc.ranks.clone());
                bank..bank + self.banks.organisation().banks_per_pseudo_channel()
            }
        };
        for b in changed {
            let row = self.banks.open_row(b);
            pc.reads.row_changed(b, row);
            pc.writes.row_changed(b, row);
        }
    }
}

/// The tick at which an idle pseudo channel is to sleep; `after_ticks` = 0 means never.
fn due(pc: &PseudoChannel, after_ticks: u64) -> Tick {
    if after_ticks == 0 { NEVER } else { pc.power.idle_since + after_ticks }
}

/// The misses of one rank in one queue: banks to open, and banks to close first.
struct Rows<'a> {
    rank: usize,
    closed: u32,
    conflicts: u32,
    keys: &'a PerBank<u64>,
}

impl<'a> Rows<'a> {
    #[inline]
    fn of(queue: &'a RequestQueue, rank: usize, banks: &Banks, allowed: u32) -> Self {
        let (misses, open) = (queue.miss_banks(rank) & allowed, banks.open_banks(rank));
        let conflicts = misses & open & !queue.hit_banks(rank);
        Rows { rank, closed: misses & !open, conflicts, keys: queue.misses_of(rank) }
    }

    /// Considers ACT; the tick before which none is ready.
    #[inline]
    fn activate(&self, pick: &mut Pick, banks: &Banks, clk: Tick) -> Tick {
        pick.consider(banks, Command::Act, self.rank, self.closed, clk, self.keys)
    }

    /// Considers PRE; the tick before which none is ready.
    #[inline]
    fn precharge(&self, pick: &mut Pick, banks: &Banks, last: Option<LastRowCommand>, clk: Tick) -> Tick {
        if self.conflicts == 0 { NEVER } else { self.precharge_some(pick, banks, last, clk) }
    }

    fn precharge_some(&self, pick: &mut Pick, banks: &Banks, last: Option<LastRowCommand>, clk: Tick) -> Tick {
        let (generation, pseudo_channel) = (banks.generation(), banks.pseudo_channel_of(banks.first_of(self.rank)));
        let barred = Cell::new(false);
        let allows = |bank| {
            let allows = last.is_none_or(|l| l.allows(generation, Command::PrePb, pseudo_channel, bank, clk));
            barred.set(barred.get() || !allows);
            allows
        };
        let next = pick.consider_if(banks, Command::PrePb, self.rank, self.conflicts, clk, self.keys, allows);
        if !barred.get() {
            return next;
        }
        // The falling edge bars it, the next edge does not.
        pick.next = pick.next.min(clk + 1);
        next.min(clk + 1)
    }
}
