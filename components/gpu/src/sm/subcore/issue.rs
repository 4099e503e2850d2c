//! Issue: which warp's instruction goes to Control, and why none does.
//!
//! A warp is eligible when its instruction is decoded, its stall is over, the counters of its wait mask are 0, it is at no
//! barrier, the unit's input latch will be free, a credit or queue place is there, and its constant operand is cached.
//! Read ports are not looked at. Greedy, then youngest. Source: arXiv 2503.20481 sections 4 and 5.1.

use super::super::env::SmEnv;
use super::super::event::{CachePort, Event};
use super::super::fact::{Issued, SmFact, Stage};
use super::super::hazard::Issuing;
use super::super::memory::NOTHING;
use super::super::reason::Reason;
use super::super::spec::{Policy, SUBCORES};
use super::super::timing::{Effect, FP64, NO_CONSTANT, NO_UNIT, OpTiming, Route, WaitKind};
use super::super::{Queued, Shared};
use super::warps::COUNTERS;
use super::{Latched, Mask, SubCore};
use sim_core::prefetch;
use workloads::sass::OpClass;
use workloads::sass::control::NO_COUNTER;
use workloads::stream::NO_ACCESS;

/// Operations of a warp's stream that the host's caches are asked for beforehand.
const OPS_AHEAD: usize = 16;

/// The first of a set behind the slot of `last`, around the end.
pub(super) fn next_behind(last: Mask, set: Mask) -> usize {
    let above = set & !(last | last.wrapping_sub(1));
    // Without a last warp all are behind it.
    let first = if last == 0 || above == 0 { set } else { above };
    first.trailing_zeros() as usize
}

impl SubCore {
    pub(super) fn issue<E: SmEnv>(&mut self, now: u64, shared: &mut Shared, env: &mut E) -> Reason {
        if now < self.hold_until {
            return Reason::ConstantMiss;
        }
        let w = &self.warps;
        let mut candidates = w.resident & w.decoded & w.stall_over & w.counters_zero & !w.blocked & !w.constant_wait;
        let mut refused = None;
        if self.credits == 0 && candidates & w.head_is_memory != 0 {
            candidates &= !w.head_is_memory;
            refused = Some(Reason::MemoryQueue);
        }
        while candidates != 0 {
            let last = candidates & self.warps.last_issued & shared.spec.greedy;
            let warp = if last != 0 {
                last.trailing_zeros() as usize
            } else {
                match shared.spec.policy {
                    Policy::GreedyThenYoungest => self.warps.youngest(candidates),
                    Policy::GreedyThenOldest => self.warps.oldest(candidates),
                    Policy::LooseRoundRobin => next_behind(self.warps.last_issued, candidates),
                }
            };
            match self.refusal(now, warp, shared) {
                None => {
                    self.issue_warp(now, warp, shared, env);
                    return Reason::Issued;
                }
                Some(Reason::ConstantMiss) if self.hold_until > now => return Reason::ConstantMiss,
                Some(reason) => {
                    // UnitBusy is nearer to issue than MemoryQueue.
                    refused = Some(refused.map_or(reason, |refused| refused.min(reason)));
                    candidates &= !(1 << warp);
                }
            }
        }
        refused.unwrap_or_else(|| self.why_nothing_is_ready())
    }

    /// Why an otherwise ready warp cannot issue; `None` if it can.
    #[inline]
    fn refusal(&mut self, now: u64, warp: usize, shared: &mut Shared) -> Option<Reason> {
        let op = &self.warps.head[warp];
        if let Some(collectors) = &self.collectors {
            return (!collectors.accepts(op)).then_some(Reason::UnitBusy);
        }
        match op.route {
            Route::Fixed => {
                if op.unit != NO_UNIT {
                    let free = self.pipe_free(now, op.unit);
                    if now < free {
                        self.unit_free = self.unit_free.min(free);
                        return Some(Reason::UnitBusy);
                    }
                }
                if op.constant_line != NO_CONSTANT {
                    return self.constant_refusal(now, warp, shared);
                }
                None
            }
            // Credits were looked at for all warps at once.
            Route::Memory => None,
            Route::Variable => {
                let unit = &self.units[usize::from(op.unit)];
                let oldest = unit.enters[unit.next];
                if now < oldest {
                    self.unit_free = self.unit_free.min(oldest);
                    return Some(Reason::UnitBusy);
                }
                None
            }
        }
    }

    /// First cycle in which a pipe's input latch will be free for what issues then.
    #[inline]
    pub(super) fn pipe_free(&self, now: u64, unit: u8) -> u64 {
        let pipe = &self.pipes[usize::from(unit)];
        let exit = if pipe.on_the_way > 0 { now + 1 } else { pipe.exit };
        (exit + u64::from(pipe.interval)).saturating_sub(2)
    }

    fn constant_refusal(&mut self, now: u64, warp: usize, shared: &mut Shared) -> Option<Reason> {
        let Some(kernel) = &self.warps.kernels[warp] else { return None };
        let key = self.constants.key(kernel.constant_address, self.warps.head[warp].constant_line);
        if self.constants.holds(key) {
            return None;
        }
        self.warps.constant_wait |= 1 << warp;
        if self.constants.ask(key, 1 << warp) {
            self.hold_until = now + shared.spec.constant_miss_hold_cycles;
            shared.l1i.request(now, &mut shared.wheel, self.index, CachePort::FixedConstant, key);
        }
        Some(Reason::ConstantMiss)
    }

    fn issue_warp<E: SmEnv>(&mut self, now: u64, warp: usize, shared: &mut Shared, env: &mut E) {
        let live = self.warps.live >> warp & 1 == 1;
        if live && !self.execute_live(now, warp, shared, env) {
            return;
        }
        let position = self.warps.position[warp] as usize;
        // A warp's stream is read once and from one end to the other, but in between come those of thousands of warps.
        prefetch(self.warps.streams[warp].as_ptr().wrapping_add(position + OPS_AHEAD));
        let dynamic = self.warps.streams[warp][position];
        let next = self.warps.streams[warp].get(position + 1).copied();
        let latched = Latched {
            op: self.warps.head[warp],
            position: position as u32,
            index: dynamic.index,
            warp: warp as u8,
            last: next.is_none(),
        };
        let op = &latched.op;
        self.issued += 1;
        self.warps.last_issued = 1 << warp;
        if env.listening() {
            env.state(SmFact::Issued(Issued {
                cycle: now,
                subcore: self.index,
                instruction: self.dynamic(warp as u8, position as u32),
                origin: self.origin(warp, dynamic.index, shared),
            }));
        }
        if let (Some(check), Some(kernel)) = (&mut shared.hazards, &self.warps.kernels[warp]) {
            check.issue(Issuing {
                now,
                warp: warp * SUBCORES + usize::from(self.index),
                op: dynamic.index,
                lanes: dynamic.lanes,
                uses: &kernel.hazards,
            });
        }
        // The next instruction and the stall before it.
        if let Some(next) = next {
            self.warps.advance(warp, next.index);
            if next.index != dynamic.index + 1 {
                self.warps.resume |= 1 << warp;
            }
            if op.stall > 1 {
                self.warps.stall_until(warp, now + u64::from(op.stall));
            }
        }
        if self.scoreboard.is_some() {
            self.mark_registers(now, warp, dynamic.index, op);
            if next.is_some() {
                self.look_at_registers(now, warp);
            }
        }
        self.schedule_increments(now, warp, op, shared);
        let collects = self.collectors.is_some();
        if !collects {
            self.send_on(now, &latched, dynamic.access, shared, env);
        }
        if op.effect != Effect::None {
            self.take_effect(now, &latched, shared);
        }
        if live {
            self.trim(warp, shared);
        }
        if next.is_none() {
            self.retire(now, warp, shared);
        }
        if collects {
            let queued = (op.route == Route::Memory).then(|| self.queue(now, &latched, dynamic.access, shared));
            self.latch(now, latched, queued, shared);
        } else {
            self.control = Some(latched);
        }
    }

    /// Takes the place that an issued instruction will have: in its pipe, its queue or its unit.
    #[inline]
    fn send_on<E: SmEnv>(&mut self, now: u64, latched: &Latched, access: u32, shared: &mut Shared, env: &mut E) {
        let op = &latched.op;
        match op.route {
            Route::Fixed => {
                if op.unit != NO_UNIT {
                    let pipe = &mut self.pipes[usize::from(op.unit)];
                    pipe.on_the_way += 1;
                    pipe.interval = op.initiation_interval;
                    pipe.busy += u64::from(op.initiation_interval);
                }
            }
            Route::Memory => {
                let queued = self.queue(now, latched, access, shared);
                shared.memory.push(self.index, queued);
            }
            // Control is one cycle, the way to the unit another.
            Route::Variable => self.enter_unit(now + 2, now, latched, shared, env),
        }
    }

    /// A memory instruction takes a credit.
    #[inline]
    fn queue(&mut self, now: u64, latched: &Latched, access: u32, shared: &Shared) -> Queued {
        let (op, warp) = (&latched.op, usize::from(latched.warp));
        self.credits -= 1;
        self.warps.outstanding[warp] += 1;
        if op.is_global_write() {
            self.warps.stores[warp] += 1;
        }
        let what = match &shared.ctas[usize::from(self.warps.cta[warp])] {
            Some(resident) if access != NO_ACCESS => {
                let (what, lines) = resident.source.access(access);
                prefetch(lines.as_ptr());
                *what
            }
            _ => NOTHING,
        };
        let copy_group = match op.class {
            OpClass::CopyGlobalToShared => Some(self.warps.copies[warp].add()),
            OpClass::BulkCopy => self.add_bulk(warp, access, shared),
            _ => None,
        };
        Queued {
            op: latched.op,
            issued: now,
            from: now + shared.spec.issue_to_accept_cycles,
            position: latched.position,
            index: latched.index,
            number: access,
            access: what,
            copy_group,
            cta: self.warps.cta[warp],
            warp: latched.warp,
        }
    }

    #[inline]
    fn schedule_increments(&mut self, now: u64, warp: usize, op: &OpTiming, shared: &mut Shared) {
        if op.write_counter == NO_COUNTER && op.read_counter == NO_COUNTER {
            return;
        }
        // Control works in the cycle after issue.
        let due = now + 1 + shared.spec.counter_increment_cycles;
        for (counter, kind) in [(op.write_counter, op.wait_kind), (op.read_counter, WaitKind::Sources)] {
            if usize::from(counter) < COUNTERS {
                self.warps.outstanding[warp] += 1;
                shared.wheel.schedule(due, Event::Increment { subcore: self.index, warp: warp as u8, counter, kind });
            }
        }
    }

    /// An instruction reaches its variable-latency unit in cycle `from` and enters it when it is free.
    pub(super) fn enter_unit<E: SmEnv>(
        &mut self,
        from: u64,
        issued: u64,
        latched: &Latched,
        shared: &mut Shared,
        env: &mut E,
    ) {
        let (op, warp) = (&latched.op, usize::from(latched.warp));
        let unit = &mut self.units[usize::from(op.unit)];
        let mut enter = from.max(unit.free);
        if op.unit == FP64 && shared.spec.fp64_is_shared {
            enter = enter.max(shared.fp64_free);
            shared.fp64_free = enter + u64::from(op.initiation_interval);
        }
        unit.free = enter + u64::from(op.initiation_interval);
        unit.busy += u64::from(op.initiation_interval);
        unit.enters[unit.next] = enter;
        unit.next = (unit.next + 1) % unit.entries;
        let (war, raw) = (enter + u64::from(op.war) - 2, enter + u64::from(op.raw) - 2);
        for (counter, due) in [(op.read_counter, war), (op.write_counter, raw)] {
            if counter != NO_COUNTER {
                self.warps.outstanding[warp] += 1;
                self.fall(due, latched, counter, shared);
            }
        }
        if env.listening() {
            let instruction = self.dynamic(latched.warp, latched.position);
            for (stage, cycle) in [(Stage::UnitQueue, from), (Stage::Execute, enter), (Stage::Done, war.max(raw))] {
                env.state(SmFact::Stage { instruction, stage, cycle });
            }
        }
        let slot = warp * SUBCORES + usize::from(self.index);
        if let (Some(check), Some(kernel)) = (&mut shared.hazards, &self.warps.kernels[warp]) {
            check.ready(slot, latched.index, issued, raw, &kernel.hazards);
        }
    }

    fn take_effect(&mut self, now: u64, latched: &Latched, shared: &mut Shared) {
        let (op, warp) = (&latched.op, usize::from(latched.warp));
        match op.effect {
            Effect::None => {}
            Effect::Fence => self.let_fall(now, latched, shared),
            Effect::BulkFlush => {
                self.warps.outstanding[warp] += 1;
                self.warps.bulk_stores[warp].close(op.read_counter);
                while let Some(counter) = self.warps.bulk_stores[warp].take_complete() {
                    self.fall_once_risen(now, latched, counter, shared);
                }
            }
            Effect::WarpgroupGroup => {
                self.warps.warpgroup_issued(warp);
                self.warps.outstanding[warp] += 1;
                // The unit is in order: what has entered last is over last.
                let done = self.units[usize::from(op.unit)].free;
                shared.wheel.schedule(done, Event::WarpgroupDone { subcore: self.index, warp: warp as u8 });
            }
            Effect::WarpgroupBarrier { limit } => {
                self.warps.outstanding[warp] += 1;
                let event = Event::WarpgroupBarrier { subcore: self.index, warp: warp as u8, limit };
                shared.wheel.schedule(now + shared.spec.warpgroup_depbar_cycles, event);
            }
            Effect::CopyBarrier => {
                self.warps.outstanding[warp] += 1;
                self.warps.copies[warp].close(op.write_counter);
                while let Some(counter) = self.warps.copies[warp].take_complete() {
                    self.fall_once_risen(now, latched, counter, shared);
                }
            }
            Effect::MemoryBarrier => {
                if self.warps.stores[warp] > 0 {
                    self.warps.block(warp, Reason::MemoryBarrier);
                }
                self.let_fall(now, latched, shared);
            }
            Effect::CounterBarrier { counter, limit, zero } => {
                self.warps.outstanding[warp] += 1;
                let event = Event::CounterBarrier { subcore: self.index, warp: warp as u8, counter, limit, zero };
                shared.wheel.schedule(now + shared.spec.depbar_cycles, event);
            }
            // Live warps wait where execution says so.
            Effect::Barrier { .. } if self.warps.live >> warp & 1 == 1 => {}
            Effect::Barrier { number, threads, waits } => {
                if waits {
                    self.warps.block(warp, Reason::Barrier);
                }
                let place = (self.index, waits.then_some(1 << warp));
                shared.arrive_at_barrier(now, self.warps.cta[warp], number, threads, place);
            }
        }
    }

    pub(super) fn fall(&self, due: u64, latched: &Latched, counter: u8, shared: &mut Shared) {
        let (subcore, Latched { warp, position, index, .. }) = (self.index, *latched);
        shared.wheel.schedule(due, Event::Decrement { subcore, warp, counter, position, index });
    }

    /// Nothing is on its way: a counter falls in the cycle after it has risen.
    fn fall_once_risen(&self, now: u64, latched: &Latched, counter: u8, shared: &mut Shared) {
        self.fall(now + 2 + shared.spec.counter_increment_cycles, latched, counter, shared);
    }

    /// The counters of an instruction that is over at once.
    fn let_fall(&mut self, now: u64, latched: &Latched, shared: &mut Shared) {
        for counter in [latched.op.write_counter, latched.op.read_counter] {
            if counter != NO_COUNTER {
                self.warps.outstanding[usize::from(latched.warp)] += 1;
                self.fall_once_risen(now, latched, counter, shared);
            }
        }
    }

    /// Group of a bulk store; loads are counted by their mbarrier.
    fn add_bulk(&mut self, warp: usize, access: u32, shared: &Shared) -> Option<u32> {
        if access == NO_ACCESS {
            return None;
        }
        let source = &shared.ctas[usize::from(self.warps.cta[warp])].as_ref()?.source;
        let copy = source.asynchronous().bulk[source.access(access).0.first_line as usize];
        (!copy.is_load).then(|| self.warps.bulk_stores[warp].add())
    }

    /// The warp has issued its last instruction.
    fn retire(&mut self, now: u64, warp: usize, shared: &mut Shared) {
        self.warps.resident &= !(1 << warp);
        let cta = self.warps.cta[warp];
        if self.warps.live >> warp & 1 == 1 {
            self.retire_live(now, warp, shared);
        } else {
            shared.warp_exited(now, cta);
        }
        // Its last instruction goes through Control and Allocate before the slot can be free.
        self.warps.outstanding[warp] += 1;
        self.warps.draining |= 1 << warp;
    }

    /// The reason of the warp that is nearest to issue, when none is ready.
    fn why_nothing_is_ready(&self) -> Reason {
        let w = &self.warps;
        if w.resident == 0 {
            return if w.draining != 0 { Reason::Draining } else { Reason::NoWarp };
        }
        let buffered = w.resident & w.decoded & !w.blocked;
        if buffered & w.counters_zero & w.constant_wait != 0 {
            return Reason::ConstantMiss;
        }
        if buffered & w.counters_zero != 0 {
            return Reason::StallCount;
        }
        if buffered != 0 {
            let waiting = if buffered & w.stall_over != 0 { buffered & w.stall_over } else { buffered };
            let last = waiting & w.last_issued;
            let warp = if last != 0 { last.trailing_zeros() as usize } else { w.youngest(waiting) };
            return Reason::of_wait(w.wait_kind(warp));
        }
        let unblocked = w.resident & !w.blocked;
        if unblocked != 0 { Reason::InstructionFetch } else { w.block_reason[w.youngest(w.resident)] }
    }
}
