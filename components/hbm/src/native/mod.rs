//! The native controller of one channel: what real HBM controllers do, by the full rules.
//!
//! ```text
//!   enqueue ─▶ [pseudo channel: read queue · write queue · refresh debt · power] x 1..2
//!                        └─▶ column slot, row slot (shared buses) ─▶ banks ─▶ completions
//! ```
//!
//! Models: command buses shared by two pseudo channels with their edge rules; every constraint of `Edition::Full`; oldest
//! ready first with an age limit; write drain that always drains; auto-precharge; refresh with debt that touches only the
//! bank it refreshes; power-down and self refresh; refresh management.
//! Leaves out: reordering hazards between a queued read and a later write of the same address, and between a queued
//! update and a later read (sources order them, as they wait for the answers),
//! error correction, training.
//! Numbers: the preset and `policy`.
//! Start reading at `Native::step`; the canonical tests are `tests/native.rs` and `tests/native_properties.rs`.

mod bounds;
mod breakdown;
#[cfg(test)]
mod dense;
mod edge;
mod policy;
mod power;
mod pseudo_channel;
mod refresh;
mod slots;

use std::collections::VecDeque;

pub use breakdown::Breakdown;
pub use policy::{PagePolicy, Policy, RefreshPolicy};
pub use power::Background;

use crate::bank::{Banks, CLOSED, NEVER, Tick};
use crate::command::{Bus, Command};
use crate::constraint::{ConstraintTable, Edition};
use crate::controller::{CommandObserver, Controller};
use crate::error::ConfigError;
use crate::mapper::FieldOrder;
use crate::organisation::Location;
use crate::preset::Preset;
use crate::queue::{NO_KEY, Queued};
use crate::request::{Admission, Completion, Op, Request, Until};
use crate::stats::Counters;
use bounds::{Bounds, Kind};
use breakdown::Parts;
use edge::LastRowCommand;
use pseudo_channel::PseudoChannel;

/// A read of which it is known when its data will have come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Started {
    /// The request's name.
    pub id: u64,
    /// Tick of its last data.
    pub done: Tick,
}

/// The native controller of one channel.
#[derive(Debug, Clone)]
pub struct Native<O = ()> {
    banks: Banks,
    map: FieldOrder,
    policy: Policy,
    pseudo_channels: Vec<PseudoChannel>,
    clk: Tick,
    sequence: u64,
    read_latency: Tick,
    last_row: Option<LastRowCommand>,
    /// Last refresh of each bank: from, until.
    refreshed: Vec<(Tick, Tick)>,
    /// Last column command of each bank.
    last_use: Vec<Tick>,
    refresh_ticks: [Tick; 3],
    column_not_before: Tick,
    row_not_before: Tick,
    /// No pseudo channel decides or owes a refresh anew before.
    decision_not_before: Tick,
    /// The same by rank.
    bounds: Bounds,
    /// The queue that refused last.
    refused: Option<(Op, usize)>,
    pending: VecDeque<Completion>,
    forwarded: VecDeque<Completion>,
    written: VecDeque<Completion>,
    /// Whether somebody takes [`Native::started`].
    announces: bool,
    started: Vec<Started>,
    counters: Counters,
    breakdown: Breakdown,
    /// Sees every issued command.
    pub observer: O,
}

sim_core::saved!(Native<O: sim_core::Saved> {
    state: clk, sequence, last_row, column_not_before, row_not_before, decision_not_before, refused, pending, forwarded, written, counters,
        breakdown;
    sized: refreshed, last_use;
    parts: banks, bounds, pseudo_channels, observer;
    rebuilt: map, policy, read_latency, refresh_ticks, announces, started;
});

impl<O: CommandObserver> Native<O> {
    /// A controller of one channel of `preset`, or everything that is wrong with the policy.
    pub fn new(preset: &Preset, policy: &Policy, observer: O) -> Result<Self, ConfigError> {
        let problems = policy.check(preset, "policy");
        if !problems.is_empty() {
            return Err(ConfigError { problems });
        }
        let org = preset.organisation;
        let table = ConstraintTable::build(preset.generation, &preset.timing, Edition::Full);
        let banks = Banks::new(preset.generation, org, &table);
        let ticks = |ck: u32| Tick::from(ck * preset.generation.ticks_per_ck());
        let t = &preset.timing;
        let pseudo_channels =
            (0..org.pseudo_channels).map(|index| PseudoChannel::new(index, policy, &banks, ticks(t.n_refi))).collect();
        Ok(Native {
            banks,
            map: FieldOrder::named(policy.map, &org),
            policy: *policy,
            pseudo_channels,
            clk: 0,
            sequence: 0,
            read_latency: ticks(t.n_read_data()),
            last_row: None,
            refreshed: vec![(0, 0); org.banks() as usize],
            last_use: vec![0; org.banks() as usize],
            refresh_ticks: [ticks(t.n_rfc), ticks(t.n_rfc_pb), ticks(t.n_rfm_pb)],
            column_not_before: 0,
            row_not_before: 0,
            decision_not_before: 0,
            bounds: Bounds::new(org.ranks()),
            refused: None,
            pending: VecDeque::new(),
            forwarded: VecDeque::new(),
            written: VecDeque::new(),
            announces: false,
            started: Vec::new(),
            counters: Counters::default(),
            breakdown: Breakdown::default(),
            observer,
        })
    }

    /// Where the latency of reads went.
    pub fn breakdown(&self) -> &Breakdown {
        &self.breakdown
    }

    /// Latency of the reads that are in the breakdown, but not completed: their data are on the way.
    pub fn read_ticks_under_way(&self) -> Tick {
        let reads = self.pending.iter().chain(&self.forwarded).filter(|c| c.op == Op::Read);
        reads.map(|c| c.done - c.arrive).sum()
    }

    /// Ticks that each pseudo channel spent in each background state, in the order of [`Background`].
    pub fn background_ticks(&self) -> Vec<[u64; 4]> {
        self.pseudo_channels.iter().map(|pc| pc.power.ticks(self.clk)).collect()
    }

    /// Refreshes owed by each pseudo channel.
    pub fn refresh_debt(&self) -> Vec<u32> {
        self.pseudo_channels.iter().map(|pc| pc.refresh.debt).collect()
    }

    /// Executes tick `clk`.
    fn step(&mut self, clk: Tick) {
        self.clk = clk;
        if self.decision_not_before <= clk || self.looks_at_refresh() {
            self.prepare(clk);
        }
        if self.column_not_before <= clk && self.banks.generation().may_start(Command::Rd, clk) {
            self.column_slot(clk);
        }
        if self.row_not_before <= clk {
            self.row_slot(clk);
        }
        if self.looks_at_refresh() {
            self.choose_refreshes(clk);
        }
    }

    /// Brings refresh and direction of all pseudo channels up to `clk`.
    #[inline(never)]
    fn prepare(&mut self, clk: Tick) {
        self.decision_not_before = NEVER;
        for i in 0..self.pseudo_channels.len() {
            let pc = &mut self.pseudo_channels[i];
            let self_refresh = pc.power.asleep == Some(Command::SrEnter);
            let mut changed = !self_refresh && pc.refresh.accrue(clk);
            pc.look_at_refresh |= changed;
            changed |= pc.decide(&self.policy, clk);
            changed |= self.choose_refresh(i);
            let pc = &self.pseudo_channels[i];
            if changed {
                self.bounds.forget(pc.ranks.clone());
                self.column_not_before = self.column_not_before.min(clk);
                self.row_not_before = self.row_not_before.min(clk);
            }
            let refresh = if self_refresh { NEVER } else { pc.refresh.next_due() };
            self.decision_not_before = self.decision_not_before.min(pc.next_decision()).min(refresh);
        }
    }

    /// Whether something changed that may choose another bank to refresh.
    #[inline]
    fn looks_at_refresh(&self) -> bool {
        self.pseudo_channels.iter().any(|pc| pc.look_at_refresh)
    }

    /// Chooses what to refresh where something changed that matters.
    #[inline(never)]
    fn choose_refreshes(&mut self, clk: Tick) {
        for i in 0..self.pseudo_channels.len() {
            if self.choose_refresh(i) {
                self.row_not_before = self.row_not_before.min(clk);
            }
        }
    }

    /// Returns whether the choice is another one.
    fn choose_refresh(&mut self, i: usize) -> bool {
        let pc = &mut self.pseudo_channels[i];
        if !std::mem::take(&mut pc.look_at_refresh) {
            return false;
        }
        let (target, idle) = (pc.refresh.target, pc.is_idle());
        let PseudoChannel { refresh, reads, writes, .. } = pc;
        let wanted = |rank: usize| {
            let hits = reads.hit_banks(rank) | writes.hit_banks(rank);
            (reads.wanted_banks(rank) | writes.wanted_banks(rank), hits)
        };
        refresh.choose(&self.banks, wanted, &self.last_use, idle);
        refresh.target != target
    }

    fn next_action(&self) -> Tick {
        let next = self.column_not_before.min(self.row_not_before).min(self.decision_not_before);
        next.max(self.clk + 1)
    }

    /// From now on it notes the reads of which it becomes known when they are done; whoever asks for it takes them after
    /// each call with [`Native::take_started`].
    pub fn announce_reads(&mut self) {
        self.announces = true;
    }

    /// Hands over the reads noted since the last call, in order.
    pub fn take_started(&mut self) -> std::vec::Drain<'_, Started> {
        self.started.drain(..)
    }

    /// From a read's column command to its last data.
    pub fn read_latency(&self) -> Tick {
        self.read_latency
    }

    /// Ticks from one column command to the next at the least.
    pub fn column_ticks(&self) -> Tick {
        Tick::from(self.banks.generation().command_ticks(Command::Rd))
    }

    /// A tick before which no command is issued.
    pub fn next_command(&self) -> Tick {
        self.next_action()
    }

    /// A tick before which no queued write is issued. Holds as long as only reads are put in.
    /// `command` is what [`Native::next_command`] says.
    pub fn next_write(&self, command: Tick) -> Tick {
        let of = |pc: &PseudoChannel| match pc.writes.len() {
            0 => NEVER,
            // Behind a read that is overdue there may be a write that is, too.
            _ if pc.write_mode || pc.overdue.is_some() => command,
            // The direction turns when a decision is due, or when the last read has gone.
            _ => pc.next_decision().min(command.saturating_add(pc.reads.len() as Tick)).max(command),
        };
        self.pseudo_channels.iter().map(of).min().unwrap_or(NEVER)
    }

    /// Where the access at an address goes.
    #[inline]
    pub fn locate(&self, address: u64) -> Location {
        self.map.locate(address)
    }

    /// The same, given where the access before it goes.
    #[inline]
    pub fn locate_next(&self, address: u64, before: Location) -> Location {
        self.map.locate_next(address, before)
    }

    /// The pseudo channel of a place.
    #[inline]
    pub fn pseudo_channel_of(&self, place: Location) -> usize {
        self.banks.pseudo_channel_of(place.bank) as usize
    }

    /// Whether the request that was refused last may find room now. True if the last one offered was not refused.
    #[inline]
    pub fn may_have_room(&self) -> bool {
        self.refused.is_none_or(|(op, i)| self.room(i, op) > 0)
    }

    /// Free places in a queue of a pseudo channel.
    pub fn room(&self, pseudo_channel: usize, op: Op) -> u64 {
        let pc = &self.pseudo_channels[pseudo_channel];
        match op {
            Op::Read => pc.reads.room() as u64,
            Op::Write | Op::Update => pc.writes.room() as u64,
        }
    }

    /// Whether a write to this address waits, of which `place` is the place.
    #[inline]
    pub fn has_write(&self, address: u64, place: Location) -> bool {
        let pc = &self.pseudo_channels[self.pseudo_channel_of(place)];
        !pc.writes.is_empty() && pc.writes.find_address(address, place.bank).is_some()
    }

    /// [`Controller::enqueue`] of a request of which the place is known.
    pub fn enqueue_at(&mut self, request: Request, place: Location) -> Admission {
        self.refused = None;
        let Request { id, address, op } = request;
        let Location { bank, row, column } = place;
        let i = self.pseudo_channel_of(place);
        let pc = &mut self.pseudo_channels[i];
        // A waiting write answers reads and takes in later writes; an update cannot, since its result is not known here.
        let waiting = pc.writes.find_address(address, bank);
        if (waiting, op) == (Some(Op::Write), Op::Write) && self.policy.merge_writes {
            self.counters.merged_writes += 1;
            return Admission::Merged;
        }
        if (waiting, op) == (Some(Op::Write), Op::Read) {
            let done = self.clk + 1;
            self.counters.forwarded_reads += 1;
            self.breakdown.add(&Parts { data_ticks: 1, ..Parts::default() });
            if self.announces {
                self.started.push(Started { id, done });
            }
            self.forwarded.push_back(Completion { id, op, arrive: self.clk, done });
            return Admission::Accepted;
        }
        if pc.queue_of(op).is_full() {
            self.refused = Some((op, i));
            return Admission::Refused;
        }
        let queued = Queued { id, address, arrive: self.clk, started: NEVER, row, column, bank, op };
        let first = pc.queue_of(op).push(queued, self.sequence, self.banks.open_row(bank));
        self.sequence += 1;
        if pc.entered(op, self.clk) {
            self.decision_not_before = self.clk;
        }
        let targeted = pc.refresh.target.is_some();
        pc.look_at_refresh |= targeted;
        if targeted || pc.power.asleep.is_some() {
            self.row_not_before = 0;
        }
        // The first of its kind may let a slot issue earlier than was thought; the others wait for what it waits for.
        if !first {
            return Admission::Accepted;
        }
        let command = match (self.banks.open_row(bank), op) {
            (CLOSED, _) => Command::Act,
            // Its row waits until those who want the open one are done.
            (open, _) if open != row && pc.queue_of(op).oldest_hit(bank) != NO_KEY => return Admission::Accepted,
            (open, _) if open != row => Command::PrePb,
            (_, Op::Read) => Command::Rd,
            (_, Op::Write | Op::Update) => Command::Wr,
        };
        let ready = self.banks.on_edge(command, self.banks.earliest(command, bank));
        let rank = self.banks.rank_of(bank);
        match command.bus() {
            Bus::Row => {
                self.bounds.lower_row(command, rank, ready);
                self.row_not_before = self.row_not_before.min(ready);
            }
            Bus::Column => {
                self.bounds.lower(Kind::Column, rank, ready);
                self.column_not_before = self.column_not_before.min(ready);
            }
        }
        Admission::Accepted
    }

    /// [`Controller::run`] without the requests that are done: whoever asks for it takes them after each call with
    /// [`Native::take_done`].
    pub fn work(&mut self, limit: Tick, until: Until) {
        while self.clk < limit {
            let mut next = self.next_action();
            if until == Until::Completion {
                next = next.min(self.next_completion());
            }
            if next > limit {
                self.clk = limit;
                break;
            }
            self.step(next);
            let stop = match until {
                Until::Limit => false,
                Until::Space(op) => match self.refused {
                    Some((refused, i)) if refused == op => !self.pseudo_channels[i].queue_of(op).is_full(),
                    _ => true,
                },
                Until::Completion => {
                    !self.written.is_empty()
                        || self.next_completion() <= self.clk + 1 && {
                            let due = |queue: &VecDeque<Completion>| queue.front().is_some_and(|c| c.done <= self.clk);
                            due(&self.pending) || due(&self.forwarded)
                        }
                }
            };
            if stop {
                break;
            }
        }
    }

    /// Hands over the next request that is done.
    #[inline]
    pub fn take_done(&mut self) -> Option<Completion> {
        if let Some(written) = self.written.pop_front() {
            return Some(written);
        }
        let forwarded = self.forwarded.front().is_some_and(|f| self.pending.front().is_none_or(|p| f.done < p.done));
        let next = if forwarded { &mut self.forwarded } else { &mut self.pending };
        next.pop_front_if(|c| c.done <= self.clk)
    }

    fn next_completion(&self) -> Tick {
        let front = |queue: &VecDeque<Completion>| queue.front().map_or(NEVER, |c| c.done.max(self.clk + 1));
        front(&self.pending).min(front(&self.forwarded))
    }
}

impl<O: CommandObserver> Controller for Native<O> {
    fn now(&self) -> Tick {
        self.clk
    }

    fn enqueue(&mut self, request: Request) -> Admission {
        let place = self.map.locate(request.address);
        self.enqueue_at(request, place)
    }

    fn next_event(&self) -> Tick {
        self.next_action().min(self.next_completion())
    }

    fn run(&mut self, limit: Tick, until: Until, done: &mut Vec<Completion>) -> Tick {
        self.work(limit, until);
        done.extend(std::iter::from_fn(|| self.take_done()));
        self.clk
    }

    fn banks(&self) -> &Banks {
        &self.banks
    }

    fn counters(&self) -> Counters {
        self.counters
    }
}
