//! Acceptance of memory instructions by the shared structures, and the release of what they hold.

use super::super::Shared;
use super::super::env::SmEnv;
use super::super::event::{CachePort, Event};
use super::super::fact::{SmFact, Stage};
use super::super::spec::SUBCORES;
use super::super::subcore::SubCore;
use super::super::wheel::NEVER;
use super::l1d::{Answer, WaitingLoad};
use super::{Destination, Queued};
use protocol::MemOp;
use workloads::sass::OpClass;
use workloads::sass::control::NO_COUNTER;
use workloads::stream::{Access, AccessKind, Line, NO_ACCESS, SECTOR_BYTES, Space};

/// An access without lanes: what an instruction with a false guard does.
pub(crate) const NOTHING: Access = Access {
    space: Space::Global,
    kind: AccessKind::Load,
    width_bytes: 0,
    one_address: true,
    passes: 1,
    bytes: 0,
    first_line: 0,
    line_count: 0,
};

/// What the lanes' addresses make of an access, in cycles.
struct Effort {
    /// For which no other access is accepted: passes over the banks, or lines whose tags are looked up, several at a time.
    passes: u64,
    /// More than an access without bank conflicts takes.
    conflict: u64,
    /// Lines of a load are found one a cycle, before its tags are looked up; several loads at the same time.
    coalescing: u64,
}

impl Shared {
    /// Accepts at most one memory instruction, round robin over the sub-cores.
    pub fn accept<E: SmEnv>(&mut self, now: u64, subcores: &mut [SubCore; SUBCORES], env: &mut E) {
        if now >= self.memory.accept_free {
            for offset in 0..SUBCORES {
                let subcore = (self.memory.round_robin + offset) % SUBCORES;
                if let Some(head) = self.acceptable(now, subcore) {
                    self.memory.queues[subcore].pop_front();
                    self.memory.round_robin = (subcore + 1) % SUBCORES;
                    self.memory.address_unit_free[subcore] = now + self.spec.address_unit_cycles;
                    self.memory.accepted += 1;
                    let occupied = self.execute(now, subcore, &head, &mut subcores[subcore], env);
                    self.memory.accept_free = now + occupied;
                    if subcores[subcore].warps.is_live(head.warp) {
                        self.forget_access(head.cta, head.number);
                    }
                    let credit = Event::Credit { subcore: subcore as u8 };
                    self.wheel.schedule(now + self.spec.credit_return_cycles, credit);
                    break;
                }
            }
        }
        self.memory.next = self.next_acceptance(now);
    }

    /// The head of a queue if it can be accepted now.
    fn acceptable(&self, now: u64, subcore: usize) -> Option<Queued> {
        let head = self.memory.queues[subcore].front()?;
        let in_time = now >= head.from && now >= self.memory.address_unit_free[subcore];
        let room = || {
            let lines = self.lines(head);
            lines.is_empty() || head.access.space == Space::Constant || self.memory.l1.has_room(lines)
        };
        (in_time && room()).then_some(*head)
    }

    fn next_acceptance(&self, now: u64) -> u64 {
        let heads = (0..SUBCORES).filter_map(|subcore| {
            let head = self.memory.queues[subcore].front()?;
            Some(head.from.max(self.memory.address_unit_free[subcore]))
        });
        heads.min().map_or(NEVER, |earliest| earliest.max(self.memory.accept_free).max(now + 1))
    }

    /// Lines of an access; shared memory has none.
    #[inline]
    fn lines(&self, queued: &Queued) -> &[Line] {
        if queued.access.line_count == 0 {
            return &[];
        }
        self.ctas[usize::from(queued.cta)].as_ref().map_or(&[], |cta| cta.source.lines(queued.number, &queued.access))
    }

    /// Starts an accepted instruction; cycles for which it keeps others from being accepted.
    fn execute<E: SmEnv>(&mut self, now: u64, subcore: usize, queued: &Queued, core: &mut SubCore, env: &mut E) -> u64 {
        let op = &queued.op;
        let accept = self.spec.issue_to_accept_cycles;
        let to = Destination::of(subcore, queued);
        let access = &queued.access;
        // Operands are read now; fixed-latency instructions have the ports first.
        let delay = core.operand_delay(now, op);
        let Effort { passes, conflict, coalescing } = self.effort(access);
        let occupied = passes.max(self.spec.accept_cycles);
        if access.space == Space::Shared {
            self.memory.shared_passes += passes;
        }
        let reads = now + u64::from(op.war).max(accept) - accept + delay;
        let is_load = matches!(access.kind, AccessKind::Load | AccessKind::Copy);
        if op.read_counter != NO_COUNTER {
            let due = if is_load { reads } else { reads + conflict };
            core.warps.outstanding[usize::from(queued.warp)] += 1;
            let Queued { warp, position, index, .. } = *queued;
            let fallen = Event::Decrement { subcore: to.subcore, warp, counter: op.read_counter, position, index };
            self.wheel.schedule(due.max(now + 1), fallen);
        }
        let tail = u64::from(op.raw).saturating_sub(accept) + delay + conflict + coalescing;
        let stated = env.listening().then_some((self.memory.l1.sector_hits, self.memory.l1.sector_misses));
        match (op.class, access.space) {
            (OpClass::LoadConstant, _) => self.load_constant(now, now + tail, queued, to),
            (OpClass::Mbarrier, _) => self.mbarrier(now, tail, queued, to, core),
            (OpClass::BulkCopy, _) if queued.number != NO_ACCESS => self.bulk(now, queued, to),
            (OpClass::BulkCopy, _) => self.settle(queued.warp, core),
            // With a false guard it copies nothing, in the same time.
            (OpClass::CopyGlobalToShared, _) => self.copy(now, tail, queued, to),
            // Also a store or atomic through a generic address that turned out to go to shared memory.
            (OpClass::Shuffle, _) | (_, Space::Shared | Space::Constant) => self.in_order(now, tail, queued, to, core),
            // A false guard: nothing to look up.
            _ if queued.number == NO_ACCESS => self.in_order(now, tail, queued, to, core),
            (_, Space::Global | Space::Local) => self.through_l1(now, (tail, tail - coalescing), queued, to, core),
        }
        if let Some(before) = stated {
            self.state_access(now, queued, to, before, env);
            // Nothing comes back.
            if op.raw == 0 || op.class == OpClass::Mbarrier && to.counter == NO_COUNTER {
                let over = (reads + conflict).max(now + occupied).max(now + self.spec.address_unit_cycles);
                env.state(SmFact::Stage { instruction: to.dynamic(), stage: Stage::Done, cycle: over });
            }
        }
        occupied
    }

    /// What an access costs beside its latency.
    fn effort(&self, access: &Access) -> Effort {
        let nominal = self.passes(32 * u32::from(access.width_bytes));
        let lines = u64::from(access.line_count);
        let plain = nominal.max(self.spec.accept_cycles);
        let (passes, coalescing) = match (access.space, access.kind) {
            (Space::Shared, _) => (u64::from(access.passes).max(self.passes(u32::from(access.bytes))), 0),
            (_, AccessKind::Load) => {
                let tags = lines.div_ceil(self.spec.tag_lines_per_cycle.into());
                (u64::from(access.passes).max(tags), lines.saturating_sub(nominal))
            }
            (_, AccessKind::Store) => {
                let tags = lines.div_ceil(self.spec.tag_lines_per_cycle.into());
                (u64::from(access.passes).max(tags), 0)
            }
            // Lines of an atomic or a copy go one by one.
            _ => (lines, 0),
        };
        Effort { passes, conflict: passes.saturating_sub(plain), coalescing }
    }

    /// Where an accepted instruction will be, from the sectors that the L1 had counted `before`.
    #[cold]
    #[inline(never)]
    fn state_access<E: SmEnv>(&self, now: u64, queued: &Queued, to: Destination, before: (u64, u64), env: &mut E) {
        let (access, lines) = (&queued.access, self.lines(queued));
        let l1 = &self.memory.l1;
        let (hits, misses) = (l1.sector_hits - before.0, l1.sector_misses - before.1);
        let global = matches!(access.space, Space::Global | Space::Local) && !lines.is_empty();
        let after_address = match queued.op.class {
            OpClass::LoadConstant => Stage::ConstantCache,
            _ if global => Stage::L1,
            _ => Stage::SharedMemory,
        };
        let mut state = |stage, cycle| env.state(SmFact::Stage { instruction: to.dynamic(), stage, cycle });
        state(Stage::AddressUnit, now);
        state(after_address, now + self.spec.address_unit_cycles);
        if misses > 0 || queued.op.class == OpClass::AtomicGlobal && global {
            state(Stage::Memory, now + self.spec.miss_request_cycles);
        }
        if hits + misses > 0 {
            env.state(SmFact::L1Lookup { hits: hits as u32, misses: misses as u32 });
        }
    }

    /// What needs no lookup: results come back in order, stores are over.
    fn in_order(&mut self, now: u64, tail: u64, queued: &Queued, to: Destination, core: &mut SubCore) {
        if queued.op.raw > 0 {
            self.release_shared(now + tail, to, core);
            return;
        }
        if queued.op.is_global_write() {
            core.warps.store_done(usize::from(queued.warp));
        }
        self.settle(queued.warp, core);
    }

    fn mbarrier(&mut self, now: u64, tail: u64, queued: &Queued, to: Destination, core: &mut SubCore) {
        let access = &queued.access;
        let count = if access.kind == AccessKind::Mbarrier { access.line_count } else { 0 };
        let waits = self.use_mbarriers(now, queued.cta, access.first_line, count, tail, to);
        if to.counter == NO_COUNTER {
            self.settle(queued.warp, core);
        } else if !waits {
            self.answer(now + tail, queued.cta, to);
        }
    }

    /// What a barrier in shared memory answers reaches the register file as a load's data does.
    pub fn answer(&mut self, due: u64, cta: u16, to: Destination) {
        self.hazard_ready(to, cta, due);
        self.wheel.schedule(due - 1, to.write());
    }

    fn bulk(&mut self, now: u64, queued: &Queued, to: Destination) {
        let Some(cta) = &self.ctas[usize::from(queued.cta)] else { return };
        let copy = cta.source.asynchronous().bulk[queued.access.first_line as usize];
        self.start_bulk(now, copy, queued.cta, (to.subcore, to.warp), to.copy_group);
    }

    /// As a load whose data goes to shared memory.
    fn copy(&mut self, now: u64, tail: u64, queued: &Queued, to: Destination) {
        let lines = match &self.ctas[usize::from(queued.cta)] {
            Some(cta) if queued.access.line_count > 0 => cta.source.lines(queued.number, &queued.access),
            _ => &[],
        };
        let request_at = now + self.spec.miss_request_cycles;
        let write_cycles = u64::from(queued.access.passes);
        let waiting = WaitingLoad::new(to, tail.saturating_sub(self.spec.miss_request_cycles).max(1), write_cycles);
        if self.memory.l1.load(lines, request_at, queued.op.l1, waiting).is_none() {
            self.release_copy(now + tail, write_cycles, to);
        }
    }

    /// A copy's bytes are written to shared memory, in order of arrival and a pass a cycle; its counter falls in cycle
    /// `due` or later.
    fn release_copy(&mut self, due: u64, write_cycles: u64, to: Destination) {
        let due = due.max(self.memory.copies_written + write_cycles);
        self.memory.copies_written = due;
        let Destination { subcore, warp, counter, copy_group, position, .. } = to;
        let group = copy_group.unwrap_or(0);
        self.wheel.schedule(due, Event::CopyDone { subcore, warp, counter, group, position });
    }

    fn passes(&self, bytes: u32) -> u64 {
        u64::from(bytes.div_ceil(self.spec.bytes_per_pass))
    }

    /// `tails`: from now to the release of a result, on a hit and without the coalescing, which a miss does not wait for.
    fn through_l1(&mut self, now: u64, tails: (u64, u64), queued: &Queued, to: Destination, core: &mut SubCore) {
        let (tail, tail_of_miss) = tails;
        let op = &queued.op;
        let warp = usize::from(queued.warp);
        let access = &queued.access;
        let request_at = now + self.spec.miss_request_cycles;
        let link_cycles = u64::from(u32::from(access.bytes).div_ceil(self.spec.return_bytes_per_cycle));
        let behind = tail_of_miss.saturating_sub(self.spec.miss_request_cycles).max(1);
        let waiting = WaitingLoad::new(to, behind, link_cycles);
        let resident = self.ctas[usize::from(queued.cta)].as_ref();
        let lines = match resident {
            Some(cta) if access.line_count > 0 => cta.source.lines(queued.number, access),
            _ => &[],
        };
        let (generation, slot) = (core.warps.generation[warp], resident.map_or(0, |cta| cta.slot));
        let answer = Answer::Store { subcore: to.subcore, warp: to.warp, generation, slot };
        let l1 = &mut self.memory.l1;
        if op.class == OpClass::StoreLocal && access.space == Space::Local {
            l1.store_local(lines, request_at);
            core.warps.store_done(warp);
            self.settle(queued.warp, core);
        } else if op.is_global_write() {
            let op = if op.class == OpClass::ReductionGlobal { MemOp::Update } else { MemOp::Write };
            l1.store(lines, request_at, op, answer);
            // Counted once since issue; now a line each.
            core.warps.stores[warp] += lines.len() as u16;
            core.warps.store_done(warp);
            self.settle(queued.warp, core);
        } else if op.class == OpClass::AtomicGlobal && !lines.is_empty() {
            l1.atomic(lines, request_at, waiting);
        } else if l1.load(lines, request_at, op.l1, waiting).is_none() {
            self.release_load(now + tail, link_cycles, to, core);
        }
    }

    /// A memory instruction has nothing more to come back to its warp slot.
    fn settle(&mut self, warp: u8, core: &mut SubCore) {
        if core.warps.settle(usize::from(warp)) {
            self.finished.push(core.warps.cta[usize::from(warp)]);
        }
    }

    /// A load's data goes over the return link and to the register file (a copy's to shared memory); its counter falls in cycle `due` or later.
    pub fn release_load(&mut self, due: u64, link_cycles: u64, to: Destination, core: &mut SubCore) {
        if to.copy_group.is_some() {
            return self.release_copy(due, link_cycles, to);
        }
        let free = &mut self.memory.return_free[usize::from(to.subcore)];
        let due = due.max(*free + link_cycles);
        *free = due;
        self.release(due, to, core);
    }

    fn release_shared(&mut self, due: u64, to: Destination, core: &mut SubCore) {
        let last = &mut self.memory.shared_released[usize::from(to.subcore)];
        let due = due.max(*last);
        *last = due;
        self.release(due, to, core);
    }

    fn release(&mut self, due: u64, to: Destination, core: &mut SubCore) {
        let Destination { subcore, warp, index, issued, .. } = to;
        self.wheel.schedule(due - 1, to.write());
        let slot = usize::from(warp) * SUBCORES + usize::from(subcore);
        if let (Some(check), Some(kernel)) = (&mut self.hazards, &core.warps.kernels[usize::from(warp)]) {
            check.ready(slot, index, issued, due - self.spec.counter_path_cycles, &kernel.hazards);
        }
    }

    fn load_constant(&mut self, now: u64, due: u64, queued: &Queued, to: Destination) {
        let Some(cta) = &self.ctas[usize::from(queued.cta)] else { return };
        let shift = self.spec.variable_constant_line_shift;
        let (access, lines) = (&queued.access, self.lines(queued));
        let address = match lines {
            [line, ..] if access.space == Space::Constant => {
                let first = SECTOR_BYTES * u64::from(line.sectors.trailing_zeros());
                cta.kernel.constant_address + line.address + first
            }
            // The stream names no address: the operand's own, or bank 0.
            _ => cta.kernel.constant_address + u64::from(queued.op.constant_address),
        };
        let key = address >> shift;
        if self.spec.perfect_constants || self.memory.constants.touch(key) {
            // Tail counted from now as for every hit.
            self.wheel.schedule(due - 1, to.write());
            self.hazard_ready(to, queued.cta, due);
            return;
        }
        let known = self.memory.constant_waiters.iter().any(|(waiting, ..)| *waiting == key);
        self.memory.constant_waiters.push((key, to, due - now));
        if !known {
            self.l1i.request(now, &mut self.wheel, to.subcore, CachePort::VariableConstant, key);
        }
    }

    fn hazard_ready(&mut self, to: Destination, cta: u16, due: u64) {
        let slot = usize::from(to.warp) * SUBCORES + usize::from(to.subcore);
        if let (Some(check), Some(cta)) = (&mut self.hazards, &self.ctas[usize::from(cta)]) {
            check.ready(slot, to.index, to.issued, due - self.spec.counter_path_cycles, &cta.kernel.hazards);
        }
    }

    /// A line has come into the cache behind LDC: who waited for it goes on as after a hit.
    pub fn constant_line_arrived(&mut self, now: u64, key: u64, subcores: &mut [SubCore; SUBCORES]) {
        self.memory.constants.fill(key);
        let mut at = 0;
        while at < self.memory.constant_waiters.len() {
            let (waiting, to, tail) = self.memory.constant_waiters[at];
            if waiting == key {
                self.memory.constant_waiters.remove(at);
                self.release(now + tail, to, &mut subcores[usize::from(to.subcore)]);
            } else {
                at += 1;
            }
        }
    }
}
