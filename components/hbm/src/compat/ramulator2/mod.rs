//! The controller of Ramulator 2.1 (CMU-SAFARI/ramulator2, commit c5b1c3a), event driven, with its exact answers.
//!
//! ```text
//!   enqueue ─▶ [read queue] [write queue] ─┐
//!   refresh, row policy ─▶ [maintenance] ──┼─▶ column slot, row slot ─▶ banks ─▶ [pending reads] ─▶ completions
//!                            [active] ◀─ACT┘
//! ```
//!
//! Models: every rule of that controller: forwarding and merging by the write queue, active requests first, maintenance
//! blocking both pseudo channels, write mode by watermarks in binary32, completions through one FIFO.
//! Leaves out: what it leaves out (age limit, power states, refresh debt); see `native`. Updates count as writes.
//! Numbers: none of its own.
//! Start reading at `Ramulator2::step`; the canonical test is the golden suite `hbm-ramulator2`.

mod closed_cap;
mod refresh;
mod spec;

use std::collections::VecDeque;

pub use refresh::RefreshKind;
pub use spec::{PolicySpec, RefreshName, RowPolicyName, SchedulerName};

use crate::bank::{Banks, CLOSED, NEVER, Tick};
use crate::command::{Command, Reach};
use crate::constraint::{ConstraintTable, Edition};
use crate::controller::{CommandObserver, Controller, IssuedCommand};
use crate::mapper::{FieldMap, FieldOrder};
use crate::preset::Preset;
use crate::queue::{NO_KEY, Queued, RequestQueue};
use crate::request::{Admission, Completion, Op, Request, Until};
use crate::scan::Pick;
use crate::stats::Counters;
use closed_cap::ClosedCap;
use refresh::Refresh;

/// Policy of a Ramulator 2 controller.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Policy {
    /// `FRFCFSRowHit` instead of `FRFCFS`: do not close a row for which an older request waits.
    pub keep_row_hits: bool,
    /// `ClosedCAP` with this cap instead of `Open`.
    pub closed_cap: Option<u32>,
    /// Refresh manager.
    pub refresh: RefreshKind,
    /// Address mapper.
    pub map: FieldMap,
    /// Entries of the read queue.
    pub read_queue: usize,
    /// Entries of the write queue.
    pub write_queue: usize,
    /// Write mode ends below this part of the write queue.
    pub write_low_watermark: f32,
    /// Write mode begins above this part of the write queue.
    pub write_high_watermark: f32,
}

/// A maintenance request: a refresh, or a precharge of the row policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Maintenance {
    command: Command,
    bank: u32,
}

/// A read on its way back. The FIFO delays a forwarded read behind earlier ones.
#[derive(Debug, Clone, Copy)]
struct Pending {
    id: u64,
    arrive: Tick,
    depart: Tick,
}

/// The controller of one channel.
#[derive(Debug, Clone)]
pub struct Ramulator2<O = ()> {
    banks: Banks,
    map: FieldOrder,
    keep_row_hits: bool,
    closed_cap: Option<ClosedCap>,
    refresh: Refresh,
    clk: Tick,
    reads: RequestQueue,
    writes: RequestQueue,
    maintenance: VecDeque<Maintenance>,
    active: Vec<Queued>,
    active_of_bank: Vec<u8>,
    active_banks: Vec<u32>,
    pending: VecDeque<Pending>,
    read_latency: Tick,
    write_mode: bool,
    /// Write mode begins with at least this many writes, and ends with at most that many.
    write_begin: usize,
    write_end: Option<usize>,
    /// Queue sizes changed since write mode was last decided.
    sizes_changed: bool,
    /// No tick before these lets the slot issue anything.
    column_not_before: Tick,
    row_not_before: Tick,
    written: Vec<Completion>,
    sequence: u64,
    counters: Counters,
    /// Sees every issued command.
    pub observer: O,
}

impl<O: CommandObserver> Ramulator2<O> {
    /// A controller of one channel of `preset`.
    pub fn new(preset: &Preset, policy: &Policy, observer: O) -> Self {
        let org = preset.organisation;
        let mut timing = preset.timing;
        timing.n_rrefd = preset.ramulator2.n_rrefd.unwrap_or(timing.n_rrefd);
        let table = ConstraintTable::build(preset.generation, &timing, Edition::Ramulator2);
        let ticks = |ck: u32| Tick::from(ck * preset.generation.ticks_per_ck());
        let interval = ticks(if policy.refresh == RefreshKind::AllBank { timing.n_refi } else { timing.n_refi_pb });
        let capacity = policy.write_queue as f32;
        let above = |n: &usize| *n as f32 > policy.write_high_watermark * capacity;
        let below = |n: &usize| (*n as f32) < policy.write_low_watermark * capacity;
        Ramulator2 {
            banks: Banks::new(preset.generation, org, &table),
            map: FieldOrder::named(policy.map, &org),
            keep_row_hits: policy.keep_row_hits,
            closed_cap: policy.closed_cap.map(|cap| ClosedCap::new(cap, org.banks())),
            refresh: Refresh::new(policy.refresh, &org, interval, ticks(timing.n_rfc_pb)),
            clk: 0,
            reads: RequestQueue::new(policy.read_queue, org.ranks(), org.banks_per_rank()),
            writes: RequestQueue::new(policy.write_queue, org.ranks(), org.banks_per_rank()),
            maintenance: VecDeque::new(),
            active: Vec::with_capacity(org.banks() as usize),
            active_of_bank: vec![0; org.banks() as usize],
            active_banks: vec![0; org.ranks() as usize],
            pending: VecDeque::new(),
            read_latency: ticks(timing.n_read_data()),
            write_mode: false,
            write_begin: (0..=policy.write_queue).find(above).unwrap_or(usize::MAX),
            write_end: (0..=policy.write_queue).rev().find(below),
            sizes_changed: true,
            column_not_before: 0,
            row_not_before: 0,
            written: Vec::new(),
            sequence: 0,
            counters: Counters::default(),
            observer,
        }
    }

    /// Executes tick `clk`.
    fn step(&mut self, clk: Tick) {
        self.clk = clk;
        let waiting = self.maintenance.len();
        self.refresh.tick(self.banks.organisation(), clk, &mut self.maintenance);
        if let Some(policy) = &mut self.closed_cap {
            policy.tick(&self.banks, clk, &mut self.maintenance);
        }
        if waiting == 0 && !self.maintenance.is_empty() {
            self.row_not_before = 0;
        }
        self.decide_write_mode();
        if self.column_not_before <= clk && self.banks.generation().may_start(Command::Rd, clk) {
            self.column_slot(clk);
            self.decide_write_mode();
        }
        if self.row_not_before <= clk {
            self.row_slot(clk);
        }
    }

    /// Write mode is decided whenever a slot comes to the request queues, which it does not while maintenance waits. It
    /// depends on nothing but the sizes, and deciding twice changes nothing.
    fn decide_write_mode(&mut self) {
        if !self.sizes_changed || !self.maintenance.is_empty() {
            return;
        }
        self.sizes_changed = false;
        let mode = if self.write_mode {
            self.write_end.is_none_or(|end| self.writes.len() > end) || self.reads.is_empty()
        } else {
            self.writes.len() >= self.write_begin || self.reads.is_empty()
        };
        if mode != self.write_mode {
            self.write_mode = mode;
            self.column_not_before = 0;
            self.row_not_before = 0;
        }
    }

    fn column_slot(&mut self, clk: Tick) {
        let mut next = NEVER;
        let mut best: Option<usize> = None;
        for (i, request) in self.active.iter().enumerate() {
            let command = self.current_command(request);
            let ready = self.banks.earliest(command, request.bank);
            if ready > clk {
                next = next.min(ready);
            } else if best.is_none_or(|b| request.arrive < self.active[b].arrive) {
                best = Some(i);
            }
        }
        if let Some(i) = best {
            return self.issue_active(i, clk);
        }
        if self.maintenance.is_empty() {
            let pick = self.ready_hit(clk);
            if pick.found() {
                return self.issue_hit(pick.key, clk);
            }
            next = next.min(pick.next);
        }
        self.column_not_before = self.banks.on_edge(Command::Rd, next);
    }

    /// The oldest request for an open row whose column command may issue at `clk`.
    fn ready_hit(&self, clk: Tick) -> Pick {
        let (queue, command) = self.queue();
        let mut pick = Pick::none();
        for rank in 0..self.active_banks.len() {
            pick.consider(&self.banks, command, rank, queue.hit_banks(rank), clk, queue.hits_of(rank));
        }
        pick
    }

    fn row_slot(&mut self, clk: Tick) {
        self.row_not_before = if let Some(front) = self.maintenance.front().copied() {
            self.maintenance_slot(front, clk)
        } else {
            let pick = self.ready_row_command(clk);
            if pick.found() {
                self.issue_row(pick.key, pick.command, clk);
                clk + 1
            } else {
                pick.next
            }
        };
    }

    /// Tries the front of the maintenance queue; returns when to look again.
    fn maintenance_slot(&mut self, front: Maintenance, clk: Tick) -> Tick {
        let per_pc = self.banks.organisation().banks_per_pseudo_channel();
        let pc = front.bank / per_pc;
        let command = match front.command {
            Command::RefAb if self.banks.any_open(pc) => Command::PreAb,
            Command::RefPb if self.banks.open_row(front.bank) != CLOSED => Command::PrePb,
            c => c,
        };
        let (ready, blocked) = match command.reach() {
            Reach::Bank => (self.banks.earliest(command, front.bank), self.active_of_bank[front.bank as usize] > 0),
            Reach::PseudoChannel => {
                let active = self.banks.ranks_of(pc).any(|r| self.active_banks[r] != 0);
                (self.banks.earliest_all(command, pc), active)
            }
        };
        if blocked && command.closes() {
            return NEVER;
        }
        let ready = self.banks.on_edge(command, ready.max(clk));
        if ready > clk {
            return ready;
        }
        self.issue(command, front.bank, 0, 0, clk);
        if command == front.command {
            self.maintenance.pop_front();
            if self.maintenance.is_empty() {
                self.column_not_before = 0;
            }
        }
        if command.closes() {
            let closed = match command.reach() {
                Reach::Bank => front.bank..front.bank + 1,
                Reach::PseudoChannel => pc * per_pc..(pc + 1) * per_pc,
            };
            for bank in closed {
                self.reads.row_changed(bank, CLOSED);
                self.writes.row_changed(bank, CLOSED);
            }
        }
        clk + 1
    }

    /// The oldest request whose ACT or PRE may issue at `clk`.
    fn ready_row_command(&self, clk: Tick) -> Pick {
        let (queue, _) = self.queue();
        let mut pick = Pick::none();
        for rank in 0..self.active_banks.len() {
            let (misses, open) = (queue.miss_banks(rank), self.banks.open_banks(rank));
            let conflicts = misses & open & !self.active_banks[rank];
            pick.consider(&self.banks, Command::Act, rank, misses & !open, clk, queue.misses_of(rank));
            pick.consider_if(&self.banks, Command::PrePb, rank, conflicts, clk, queue.misses_of(rank), |bank| {
                !self.row_is_kept(queue, bank)
            });
        }
        pick
    }

    /// `FRFCFSRowHit`: a row stays open while a request that arrived no later than the conflicting one wants it.
    fn row_is_kept(&self, queue: &RequestQueue, bank: u32) -> bool {
        let hit = queue.oldest_hit(bank);
        self.keep_row_hits && hit != NO_KEY && queue.get(hit).arrive <= queue.get(queue.oldest_miss(bank)).arrive
    }

    #[inline]
    fn queue(&self) -> (&RequestQueue, Command) {
        if self.write_mode { (&self.writes, Command::Wr) } else { (&self.reads, Command::Rd) }
    }

    /// The command a request needs next in the present state of its bank.
    #[inline]
    fn current_command(&self, request: &Queued) -> Command {
        match self.banks.open_row(request.bank) {
            CLOSED => Command::Act,
            row if row != request.row => Command::PrePb,
            _ => column_command(request.op),
        }
    }

    fn issue(&mut self, command: Command, bank: u32, row: u32, column: u32, clk: Tick) {
        self.banks.issue(command, bank, row, clk);
        if let Some(policy) = &mut self.closed_cap {
            policy.issued(command, bank, &self.banks);
        }
        self.observer.issued(&IssuedCommand { tick: clk, command, bank, row, column });
    }

    /// Issues the command of an active request, which is a column command unless an auto-precharge closed its row.
    fn issue_active(&mut self, i: usize, clk: Tick) {
        let request = self.active[i];
        let command = self.current_command(&request);
        if matches!(command, Command::Act | Command::PrePb) {
            self.issue(command, request.bank, request.row, request.column, clk);
            self.rows_changed(request.bank);
            self.row_not_before = 0;
            return;
        }
        self.active.remove(i);
        self.active_of_bank[request.bank as usize] -= 1;
        if self.active_of_bank[request.bank as usize] == 0 {
            let (rank, bit) = self.bit(request.bank);
            self.active_banks[rank] &= !bit;
        }
        self.issue_column(&request, clk);
        self.row_not_before = 0;
    }

    fn issue_hit(&mut self, key: u64, clk: Tick) {
        let write = self.write_mode;
        let queue = if write { &mut self.writes } else { &mut self.reads };
        let request = *queue.get(key);
        queue.remove(key, self.banks.open_row(request.bank));
        self.sizes_changed = true;
        if request.started == NEVER {
            self.counters.row_hits += 1;
        }
        let closed = self.issue_column(&request, clk);
        if closed || self.keep_row_hits {
            self.row_not_before = 0;
        }
    }

    /// Issues RD or WR, with auto-precharge if the policy says so, and completes the request. Returns whether it closed.
    fn issue_column(&mut self, request: &Queued, clk: Tick) -> bool {
        let plain = column_command(request.op);
        let command = self.closed_cap.as_ref().map_or(plain, |p| p.column_command(plain, request.bank));
        self.issue(command, request.bank, request.row, request.column, clk);
        match request.op {
            Op::Read => self.pending.push_back(Pending {
                id: request.id,
                arrive: request.arrive,
                depart: clk + self.read_latency,
            }),
            Op::Write | Op::Update => {
                self.written.push(Completion { id: request.id, op: Op::Write, arrive: request.arrive, done: clk })
            }
        }
        let closed = command.closes();
        if closed {
            self.rows_changed(request.bank);
        }
        self.column_not_before = clk + 1;
        closed
    }

    fn issue_row(&mut self, key: u64, command: Command, clk: Tick) {
        let queue = if self.write_mode { &mut self.writes } else { &mut self.reads };
        let request = queue.get_mut(key);
        let first = request.started == NEVER;
        request.started = request.started.min(clk);
        let request = *request;
        if command == Command::Act {
            queue.remove(key, CLOSED);
            self.sizes_changed = true;
            self.counters.row_misses += u64::from(first);
            let (rank, bit) = self.bit(request.bank);
            self.active_banks[rank] |= bit;
            self.active_of_bank[request.bank as usize] += 1;
            self.active.push(request);
        } else {
            self.counters.row_conflicts += u64::from(first);
        }
        self.issue(command, request.bank, request.row, request.column, clk);
        self.rows_changed(request.bank);
        if command == Command::Act {
            let read = self.banks.earliest(Command::Rd, request.bank);
            let write = self.banks.earliest(Command::Wr, request.bank);
            self.column_not_before = self.column_not_before.min(self.banks.on_edge(Command::Rd, read.min(write)));
        }
    }

    fn rows_changed(&mut self, bank: u32) {
        let open = self.banks.open_row(bank);
        self.reads.row_changed(bank, open);
        self.writes.row_changed(bank, open);
    }

    #[inline]
    fn bit(&self, bank: u32) -> (usize, u32) {
        let per_rank = self.banks.organisation().banks_per_rank();
        ((bank / per_rank) as usize, 1 << (bank % per_rank))
    }

    /// A new request may let a slot issue earlier than was thought.
    fn look_at_arrival(&mut self, request: &Queued) {
        if (request.op != Op::Read) != self.write_mode {
            return;
        }
        let command = self.current_command(request);
        let ready = self.banks.on_edge(command, self.banks.earliest(command, request.bank));
        match command {
            Command::Act | Command::PrePb => self.row_not_before = self.row_not_before.min(ready),
            _ => self.column_not_before = self.column_not_before.min(ready),
        }
    }

    fn retire(&mut self, done: &mut Vec<Completion>) {
        done.append(&mut self.written);
        while let Some(p) = self.pending.front().filter(|p| p.depart <= self.clk) {
            done.push(Completion { id: p.id, op: Op::Read, arrive: p.arrive, done: p.depart });
            self.pending.pop_front();
        }
    }

    fn next_action(&self) -> Tick {
        let next = self.column_not_before.min(self.row_not_before);
        let next = next.min(self.refresh.next_event(self.banks.organisation(), self.clk));
        let next = next.min(self.closed_cap.as_ref().map_or(NEVER, |p| p.next_event(&self.banks)));
        if self.sizes_changed && self.maintenance.is_empty() { self.clk + 1 } else { next.max(self.clk + 1) }
    }
}

fn column_command(op: Op) -> Command {
    match op {
        Op::Read => Command::Rd,
        Op::Write | Op::Update => Command::Wr,
    }
}

impl<O: CommandObserver> Controller for Ramulator2<O> {
    fn now(&self) -> Tick {
        self.clk
    }

    fn enqueue(&mut self, request: Request) -> Admission {
        let place = self.map.map(request.address);
        let bank = self.banks.organisation().flat_bank(&place);
        if self.writes.find_address(request.address, bank).is_some() {
            let (id, arrive) = (request.id, self.clk);
            if request.op == Op::Read {
                self.counters.forwarded_reads += 1;
                self.pending.push_back(Pending { id, arrive, depart: arrive + 1 });
                return Admission::Accepted;
            }
            self.counters.merged_writes += 1;
            return Admission::Merged;
        }
        let queue = if request.op == Op::Read { &mut self.reads } else { &mut self.writes };
        if queue.is_full() {
            return Admission::Refused;
        }
        let queued = Queued {
            id: request.id,
            address: request.address,
            arrive: self.clk,
            started: NEVER,
            row: place.row,
            column: place.column,
            bank,
            op: request.op,
        };
        queue.push(queued, self.sequence, self.banks.open_row(bank));
        self.sequence += 1;
        self.sizes_changed = true;
        self.look_at_arrival(&queued);
        Admission::Accepted
    }

    fn next_event(&self) -> Tick {
        self.next_action().min(self.pending.front().map_or(NEVER, |p| p.depart.max(self.clk + 1)))
    }

    fn run(&mut self, limit: Tick, until: Until, done: &mut Vec<Completion>) -> Tick {
        while self.clk < limit {
            let mut next = self.next_action();
            if until == Until::Completion {
                next = next.min(self.pending.front().map_or(NEVER, |p| p.depart.max(self.clk + 1)));
            }
            if next > limit {
                self.clk = limit;
                break;
            }
            self.step(next);
            let stop = match until {
                Until::Limit => false,
                Until::Space(Op::Read) => !self.reads.is_full(),
                Until::Space(Op::Write | Op::Update) => !self.writes.is_full(),
                Until::Completion => {
                    !self.written.is_empty() || self.pending.front().is_some_and(|p| p.depart <= self.clk)
                }
            };
            if stop {
                break;
            }
        }
        self.retire(done);
        self.clk
    }

    fn banks(&self) -> &Banks {
        &self.banks
    }

    fn counters(&self) -> Counters {
        self.counters
    }
}
