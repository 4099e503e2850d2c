//! One streaming multiprocessor.
//!
//! ```text
//!            ┌ sub-core 0 ┐┌ sub-core 1 ┐┌ sub-core 2 ┐┌ sub-core 3 ┐
//!  launch ─▶ │ fetch issue││            ││            ││            │ ─▶ done
//!            │ allocate … ││            ││            ││            │
//!            └──┬──────┬──┘└──┬──────┬──┘└──┬──────┬──┘└──┬──────┬──┘
//!               │      └──────┴─ L1 instruction/constant cache ───┐
//!               └─ local queues ─▶ acceptance ─▶ shared, L1D ─────┴─▶ memory requests
//! ```
//!
//! Models: the core of "Dissecting and Modeling the Architecture of Modern GPU Cores" (arXiv 2503.20481), cycle by cycle,
//! driven by the control bits that the compiler put into the instructions. Values come from functional execution, ahead of
//! time or at issue ([`OpSource`]).
//! Choices of the parameters: a scoreboard in the place of control bits (`scoreboard`), and the older core of Accel-Sim with operand
//! collectors (`subcore::collectors`).
//! Leaves out: texture, surfaces, clusters; variable-latency units read their operands without read ports.
//! Numbers: `configs/gpu/base/*-sm.toml`. The canonical tests are `tests/examples.rs` (published windows) and
//! `tests/hazards.rs`. Start reading at [`Sm::step`], then `subcore`.
//!
//! The SM is a plain struct: [`SmEnv`] is the outside, so that it can be run alone ([`mod@bench`]). What it tells those who
//! watch is a [`SmFact`]; `tests/facts.rs` holds that against what it counts.

pub mod bench;
mod bulk;
mod constant;
mod cta;
pub mod dependences;
mod env;
mod event;
mod fact;
mod hazard;
mod kernel_handles;
mod l1i;
mod line_set;
mod mbarrier;
mod memory;
mod occupancy;
mod ports;
mod reason;
mod rfc;
mod scoreboard;
pub(crate) mod source;
pub mod spec;
mod stats;
mod subcore;
mod tags;
pub mod timing;
mod wheel;

pub use cta::Cta;
pub use env::{CtaHandle, SmEnv};
pub use fact::{Dynamic, Issued, Origin, SmFact, Stage};
pub use hazard::{Hazard, HazardRegister};
pub use occupancy::{CtaResources, Occupancy, OccupancyLimit};
pub use reason::{REASONS, Reason};
pub use rfc::RegisterRead;
pub use source::{LiveOps, OpSource};
pub use spec::SmSpec;
pub use stats::{SmCounters, UNITS};
pub use timing::{KernelTiming, TimingError};
pub use wheel::NEVER;

use bulk::BulkEngine;
use cta::Resident;
use event::{CachePort, Event};
use hazard::HazardCheck;
use l1i::L1Instruction;
use memory::l1d::{Answer, WaitingLoad};
use memory::{Destination, MemoryPipeline, Queued};
use ports::BANKS;
use protocol::{MemOp, MemRequest, MemResponse};
use sim_core::prefetch;
use spec::{Fetch, Fp64, MAX_WARPS, Policy, Reservation, SUBCORES};
use std::mem::offset_of;
use subcore::SubCore;
use wheel::EventWheel;

/// The parameters that are looked at every cycle, widened once.
#[derive(Clone, Debug)]
pub(crate) struct Rules {
    pub policy: Policy,
    /// All warps where the one that issued last goes first.
    pub greedy: u16,
    pub reservation: Reservation,
    pub result_queue_entries: u32,
    pub fetch_to_issue_cycles: u64,
    /// Instructions of a fetch into an empty buffer; 0: one at a time, following issue.
    pub instructions_when_empty: u8,
    pub perfect_instruction_cache: bool,
    /// Lines are powers of two.
    pub l0_line_shift: u32,
    pub stream_buffer_lines: u8,
    pub counter_increment_cycles: u64,
    pub depbar_cycles: u64,
    pub constant_miss_hold_cycles: u64,
    pub perfect_constants: bool,
    pub variable_constant_line_shift: u32,
    pub fp64_is_shared: bool,
    pub issue_to_accept_cycles: u64,
    pub address_unit_cycles: u64,
    pub accept_cycles: u64,
    pub credit_return_cycles: u64,
    pub counter_path_cycles: u64,
    pub bytes_per_pass: u32,
    pub miss_request_cycles: u64,
    pub return_bytes_per_cycle: u32,
    pub tag_lines_per_cycle: u32,
    pub barrier_release_cycles: u64,
    pub warpgroup_depbar_cycles: u64,
}

impl Rules {
    fn new(spec: &SmSpec) -> Self {
        Self {
            policy: spec.issue.policy,
            greedy: if spec.issue.policy == Policy::LooseRoundRobin { 0 } else { u16::MAX },
            instructions_when_empty: match spec.front_end.fetch {
                Fetch::FollowsIssue => 0,
                Fetch::WhenEmpty { instructions } => instructions,
            },
            reservation: spec.register_file.reservation,
            result_queue_entries: spec.register_file.result_queue_entries.into(),
            fetch_to_issue_cycles: spec.front_end.fetch_to_issue_cycles.into(),
            perfect_instruction_cache: spec.front_end.perfect,
            l0_line_shift: spec.front_end.l0.line_bytes.trailing_zeros(),
            stream_buffer_lines: spec.front_end.stream_buffer_lines,
            counter_increment_cycles: spec.issue.counter_increment_cycles.into(),
            depbar_cycles: u64::from(spec.issue.depbar_cycles).max(1),
            constant_miss_hold_cycles: spec.issue.constant_miss_hold_cycles.into(),
            perfect_constants: spec.constant_cache.perfect,
            variable_constant_line_shift: spec.constant_cache.variable_latency.line_bytes.trailing_zeros(),
            fp64_is_shared: matches!(spec.fp64, Fp64::Shared { .. }),
            issue_to_accept_cycles: spec.memory.issue_to_accept_cycles.into(),
            address_unit_cycles: spec.memory.address_unit_cycles.into(),
            accept_cycles: spec.memory.accept_cycles.into(),
            credit_return_cycles: u64::from(spec.memory.credit_return_cycles).max(1),
            counter_path_cycles: spec.memory.counter_path_cycles.into(),
            bytes_per_pass: spec.memory.bytes_per_pass,
            miss_request_cycles: spec.l1_data.miss_request_cycles.into(),
            return_bytes_per_cycle: spec.l1_data.return_bytes_per_cycle,
            tag_lines_per_cycle: spec.l1_data.tag_lines_per_cycle,
            barrier_release_cycles: u64::from(spec.barrier.release_cycles).max(1),
            warpgroup_depbar_cycles: spec.warpgroup_tensor.map_or(1, |unit| u64::from(unit.depbar_cycles).max(1)),
        }
    }
}

/// What the four sub-cores share.
pub(crate) struct Shared {
    spec: Rules,
    wheel: EventWheel<Event>,
    l1i: L1Instruction,
    memory: MemoryPipeline,
    bulk: BulkEngine,
    ctas: Vec<Option<Resident>>,
    /// CTAs one of whose warps gave its slot up.
    finished: Vec<u16>,
    fp64_free: u64,
    /// Scratch: waiters that an mbarrier lets go, with the cycles to their answers.
    released: Vec<(u64, Destination)>,
    /// Execution failed in this cycle.
    failed: bool,
    hazards: Option<Box<HazardCheck>>,
}

/// One streaming multiprocessor.
pub struct Sm {
    spec: SmSpec,
    subcores: [SubCore; SUBCORES],
    shared: Shared,
    free_slots: u64,
    free_registers: u32,
    free_shared_bytes: u32,
    complete: Vec<WaitingLoad>,
    start: u64,
    ctas_done: u64,
}

/// What a step says about the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Next {
    /// Cycle of the next step, [`NEVER`] if only the outside can move the SM. A step before it changes nothing.
    pub cycle: u64,
    /// A memory request is refused by the outside: step again when it may be accepted.
    pub wants_to_send: bool,
}

// Looking for hazards is a test's, which starts anew where a run goes on.
sim_core::saved!(Shared {
    state: finished, fp64_free, failed;
    parts: wheel, l1i, memory, bulk;
    by cta::residents: ctas;
    rebuilt: spec, hazards, released;
});
// `complete` is empty between two steps.
sim_core::saved!(Sm {
    state: free_slots, free_registers, free_shared_bytes, start, ctas_done;
    parts: subcores, shared;
    rebuilt: spec, complete;
});

impl Sm {
    /// An SM without work from cycle `start` on. `spec` must be valid ([`SmSpec::validate`]).
    pub fn new(spec: &SmSpec, start: u64) -> Self {
        let ctas = usize::from(spec.limits.ctas);
        Self {
            subcores: std::array::from_fn(|index| SubCore::new(index as u8, spec, start)),
            shared: Shared {
                spec: Rules::new(spec),
                wheel: EventWheel::new(),
                l1i: L1Instruction::new(spec),
                memory: MemoryPipeline::new(spec),
                bulk: BulkEngine::new(spec.bulk_copy.as_ref()),
                ctas: (0..ctas).map(|_| None).collect(),
                finished: Vec::new(),
                fp64_free: 0,
                released: Vec::new(),
                failed: false,
                hazards: None,
            },
            free_slots: (u64::MAX) >> (64 - u32::from(spec.limits.warps)),
            free_registers: spec.limits.registers,
            free_shared_bytes: spec.shared_capacity_bytes(),
            complete: Vec::new(),
            start,
            ctas_done: 0,
            spec: spec.clone(),
        }
    }

    /// Looks for hazards from now on. Costs 0.7 MB an SM and some time.
    pub fn check_hazards(&mut self) {
        self.shared.hazards = Some(Box::new(HazardCheck::new(MAX_WARPS * SUBCORES)));
    }

    /// Hazards found so far, at most 1000; empty without [`Sm::check_hazards`].
    pub fn hazards(&self) -> &[Hazard] {
        self.shared.hazards.as_ref().map_or(&[], |check| check.found())
    }

    /// Pairs of instructions (producer, consumer) issued exactly as far apart as the result needs; empty without
    /// [`Sm::check_hazards`].
    pub fn tight_pairs(&self) -> Vec<(u32, u32)> {
        self.shared.hazards.as_ref().map_or_else(Vec::new, |check| check.tight().iter().copied().collect())
    }

    pub fn spec(&self) -> &SmSpec {
        &self.spec
    }

    /// Whether a CTA finds room now.
    pub fn has_room(&self, cta: &CtaResources) -> bool {
        let warps = cta.warps();
        self.shared.ctas.iter().any(Option::is_none)
            && warps <= self.free_slots.count_ones()
            && self.registers(cta) <= self.free_registers
            && cta.allocated_shared_bytes(&self.spec.limits) <= self.free_shared_bytes
    }

    /// Registers of all warps of a CTA.
    fn registers(&self, cta: &CtaResources) -> u32 {
        cta.registers_per_warp(&self.spec.limits) * cta.warps()
    }

    /// Divides L1 data cache and shared memory for a kernel, which empties the cache. Nothing may reside.
    pub fn carve_for(&mut self, cta: &CtaResources) {
        self.shared.memory.l1.carve(self.spec.carveout_bytes(cta));
    }

    /// Starts a CTA in cycle `now`, before that cycle's [`Sm::step`]; its warps may issue from cycle `first` on, less than
    /// 64 cycles away. There must be room ([`Sm::has_room`]).
    ///
    /// # Panics
    /// If there is no room.
    pub fn launch(&mut self, now: u64, first: u64, mut cta: Cta) {
        assert!(self.has_room(&cta.resources), "CTA {:?} was launched at cycle {now} without room", cta.handle);
        let place = self.shared.ctas.iter().position(Option::is_none).unwrap_or(0);
        let registers = self.registers(&cta.resources);
        let shared_bytes = cta.resources.allocated_shared_bytes(&self.spec.limits);
        self.free_registers -= registers;
        self.free_shared_bytes -= shared_bytes;
        let live = cta.source.live().is_some();
        let streams = cta.source.first_ops().unwrap_or_else(|_| {
            self.shared.failed = true;
            Vec::new()
        });
        let mut slots = Vec::with_capacity(streams.len());
        let mut empty = 0;
        for (number, stream) in streams.into_iter().enumerate() {
            let slot = self.free_slots.trailing_zeros() as u8;
            self.free_slots &= !(1 << slot);
            slots.push(slot);
            if stream.is_empty() {
                empty += 1;
                continue;
            }
            let core = &mut self.subcores[usize::from(slot) % SUBCORES];
            let local = slot / SUBCORES as u8;
            core.warps.start(local, (place as u16, number as u16), cta.kernel.clone(), stream, now, first);
            core.warps.set_live(local, live);
            core.forget_registers(local);
            core.reset_fetch(local);
            core.wake_at(now);
            if let Some(check) = &mut self.shared.hazards {
                check.reset(usize::from(slot));
            }
        }
        let mut resident = Resident::new(cta, slots, registers, shared_bytes);
        resident.without(empty);
        let over = resident.unfinished == 0;
        self.shared.ctas[place] = Some(resident);
        if over {
            self.shared.finished.push(place as u16);
        }
    }

    /// An answer from memory, in cycle `now`, before that cycle's [`Sm::step`].
    pub fn respond<E: SmEnv>(&mut self, now: u64, response: &MemResponse, env: &mut E) {
        if env.listening() {
            env.state(SmFact::Answered);
        }
        match Answer::of_id(response.id) {
            Answer::Data(entry) => self.shared.memory.l1.filled(entry, response.sectors, &mut self.complete),
            Answer::Atomic(load) => self.shared.memory.l1.atomic_done(load, &mut self.complete),
            Answer::Bulk(place) => self.shared.bulk_answered(now, place),
            Answer::WriteBack => {}
            Answer::Instruction { line } => self.shared.l1i.filled(now, &mut self.shared.wheel, line),
            Answer::Store { subcore, warp, generation, slot } => {
                let core = &mut self.subcores[usize::from(subcore)];
                let warp = usize::from(warp);
                if core.warps.generation[warp] == generation && core.warps.stores[warp] > 0 {
                    core.warps.store_done(warp);
                    core.wake_at(now);
                }
                self.shared.memory.l1.store_answered(slot);
            }
        }
        for load in self.complete.drain(..) {
            let core = &mut self.subcores[usize::from(load.to.subcore)];
            let returned = now.max(load.earliest_return);
            if env.listening() {
                env.state(SmFact::Stage { instruction: load.to.dynamic(), stage: Stage::Return, cycle: returned });
            }
            self.shared.release_load(returned + 1 + load.tail_cycles, load.link_cycles, load.to, core);
        }
    }

    /// Asks the host's caches for what the next cycles will look at: other SMs have been worked on since. `responses` will
    /// come in these cycles.
    pub fn prefetch<'r>(&self, responses: impl Iterator<Item = &'r MemResponse>) {
        for response in responses {
            if let Answer::Data(entry) = Answer::of_id(response.id) {
                self.shared.memory.l1.prefetch_entry(entry);
            }
        }
        self.shared.wheel.prefetch();
        self.shared.memory.prefetch();
        let mut places = 0;
        for core in &self.subcores {
            core.prefetch();
            places |= core.warps.prefetch_streams();
        }
        while places != 0 {
            let place = self.shared.ctas.as_ptr().wrapping_add(places.trailing_zeros() as usize);
            prefetch(place.cast::<u8>().wrapping_add(offset_of!(Resident, source)).cast::<OpSource>());
            places &= places - 1;
        }
    }

    /// A while after [`Sm::prefetch`]: what these responses will change, which is known only now.
    #[inline]
    pub fn prefetch_fills<'r>(&self, responses: impl Iterator<Item = &'r MemResponse>) {
        for response in responses {
            if let Answer::Data(entry) = Answer::of_id(response.id) {
                self.shared.memory.l1.prefetch_fill(entry);
            }
        }
    }

    /// One cycle: counters and arrivals, acceptance of memory instructions, the sub-cores, requests to memory.
    pub fn step<E: SmEnv>(&mut self, now: u64, env: &mut E) -> Next {
        self.shared.wheel.go_to(now);
        while let Some(event) = self.shared.wheel.take() {
            self.apply(now, event, env);
        }
        if self.shared.memory.next <= now {
            self.shared.accept(now, &mut self.subcores, env);
        }
        if self.shared.bulk.next <= now {
            self.shared.step_bulk(now);
        }
        for core in &mut self.subcores {
            if core.wake <= now {
                core.evaluate(now, &mut self.shared, env);
            }
        }
        if std::mem::take(&mut self.shared.failed) {
            env.execution_failed();
        }
        self.finish_ctas(now, env);
        let wants_to_send = self.send(now, env);
        Next { cycle: self.next_cycle(now, wants_to_send), wants_to_send }
    }

    fn next_cycle(&self, now: u64, wants_to_send: bool) -> u64 {
        let mut next = self.shared.wheel.next_due().min(self.shared.memory.next).min(self.shared.bulk.next);
        for core in &self.subcores {
            next = next.min(core.wake);
        }
        if !self.shared.finished.is_empty() {
            next = now + 1;
        }
        match self.shared.memory.l1.next_request() {
            Some(due) if !wants_to_send => next.min(due.max(now + 1)),
            _ => next,
        }
    }

    fn apply<E: SmEnv>(&mut self, now: u64, event: Event, env: &mut E) {
        match event {
            Event::Increment { subcore, warp, counter, kind } => {
                let core = &mut self.subcores[usize::from(subcore)];
                core.warps.increment(usize::from(warp), counter, kind);
                self.settle(subcore, warp);
            }
            Event::Decrement { subcore, warp, counter, position, index } => {
                let core = &mut self.subcores[usize::from(subcore)];
                let held = env.listening() && core.warps.waits_for_counters(usize::from(warp));
                core.release(now, warp, counter, index);
                if held && !core.warps.waits_for_counters(usize::from(warp)) {
                    env.state(SmFact::Released { instruction: core.head(warp), by: position });
                }
                core.wake_at(now);
                self.settle(subcore, warp);
            }
            Event::LoadWrite { subcore, warp, counter, banks, position, index } => {
                // A fixed-latency result that takes the port in this cycle goes first.
                let core = &mut self.subcores[usize::from(subcore)];
                let taken = (0..BANKS).any(|bank| banks >> bank & 1 == 1 && core.write_ports.taken(now, bank) & 1 == 1);
                if env.listening() {
                    let instruction = core.dynamic(warp, position);
                    env.state(SmFact::Stage { instruction, stage: Stage::WriteBack, cycle: now });
                    if !taken {
                        env.state(SmFact::Stage { instruction, stage: Stage::Done, cycle: now + 1 });
                    }
                }
                if taken {
                    self.shared.wheel.schedule(now + 1, event);
                } else if counter == workloads::sass::control::NO_COUNTER {
                    self.settle(subcore, warp);
                } else {
                    let fallen = Event::Decrement { subcore, warp, counter, position, index };
                    self.shared.wheel.schedule(now + 1, fallen);
                }
            }
            Event::CopyDone { subcore, warp, counter, group, position } => {
                let core = &mut self.subcores[usize::from(subcore)];
                if env.listening() {
                    let instruction = core.dynamic(warp, position);
                    env.state(SmFact::Stage { instruction, stage: Stage::Done, cycle: now });
                }
                let w = usize::from(warp);
                if counter != workloads::sass::control::NO_COUNTER {
                    core.warps.decrement(w, counter);
                }
                core.warps.copies[w].complete(group);
                core.wake_at(now);
                while let Some(counter) = self.subcores[usize::from(subcore)].warps.copies[w].take_complete() {
                    self.subcores[usize::from(subcore)].warps.decrement(w, counter);
                    self.settle(subcore, warp);
                }
                self.settle(subcore, warp);
            }
            Event::BulkDone { place } => {
                if let Some((subcore, warp)) = self.shared.bulk_done(now, place) {
                    self.settle(subcore, warp);
                }
            }
            Event::BulkRead { subcore, warp, group } => {
                let core = &mut self.subcores[usize::from(subcore)];
                let fallen = core.bulk_read(warp, group);
                core.wake_at(now);
                for _ in 0..fallen {
                    self.settle(subcore, warp);
                }
            }
            Event::WarpgroupDone { subcore, warp } => {
                let core = &mut self.subcores[usize::from(subcore)];
                core.warps.warpgroup_done(usize::from(warp));
                core.wake_at(now);
                self.settle(subcore, warp);
            }
            Event::WarpgroupBarrier { subcore, warp, limit } => {
                let core = &mut self.subcores[usize::from(subcore)];
                core.warps.warpgroup_barrier(usize::from(warp), limit);
                core.wake_at(now);
                self.settle(subcore, warp);
            }
            Event::Credit { subcore } => {
                let core = &mut self.subcores[usize::from(subcore)];
                core.credits += 1;
                core.wake_at(now);
            }
            Event::CounterBarrier { subcore, warp, counter, limit, zero } => {
                let core = &mut self.subcores[usize::from(subcore)];
                core.warps.counter_barrier(usize::from(warp), counter, limit, zero);
                core.wake_at(now);
                self.settle(subcore, warp);
            }
            Event::BarrierRelease { warps } => {
                for (core, released) in self.subcores.iter_mut().zip(warps) {
                    if released != 0 {
                        core.warps.blocked &= !released;
                        for warp in core.warps.live_of(released) {
                            core.look_ahead(now, warp, &mut self.shared);
                            core.warps.refresh_head(warp);
                            core.look_at_registers(now, warp);
                        }
                        core.wake_at(now);
                    }
                }
            }
            Event::L1Lookup { subcore, port, key } => {
                let missing = self.shared.l1i.lookup(now, &mut self.shared.wheel, (subcore, port, key));
                if let Some(line) = missing {
                    let bytes = self.shared.l1i.line_bytes();
                    self.shared.memory.l1.fetch(line, bytes as u32);
                }
            }
            Event::CacheReply { subcore, port, key } => {
                let core = &mut self.subcores[usize::from(subcore)];
                match port {
                    CachePort::Instruction => core.instruction_line_arrived(now, key),
                    CachePort::FixedConstant => core.constant_filled(now, key),
                    CachePort::VariableConstant => {
                        self.shared.constant_line_arrived(now, key, &mut self.subcores);
                    }
                }
            }
        }
    }

    fn settle(&mut self, subcore: u8, warp: u8) {
        let warps = &mut self.subcores[usize::from(subcore)].warps;
        if warps.settle(usize::from(warp)) {
            self.shared.finished.push(warps.cta[usize::from(warp)]);
        }
    }

    /// CTAs all of whose warps have exited and got everything back give their resources up.
    fn finish_ctas<E: SmEnv>(&mut self, now: u64, env: &mut E) {
        while let Some(place) = self.shared.finished.pop() {
            let place = usize::from(place);
            let Some(resident) = &mut self.shared.ctas[place] else { continue };
            resident.unfinished = resident.unfinished.saturating_sub(1);
            if resident.unfinished > 0 {
                continue;
            }
            if let Some(resident) = self.shared.ctas[place].take() {
                for slot in &resident.slots {
                    self.free_slots |= 1 << slot;
                }
                self.free_registers += resident.registers;
                self.free_shared_bytes += resident.shared_bytes;
                self.ctas_done += 1;
                env.cta_done(resident.handle);
                for core in &mut self.subcores {
                    core.wake_at(now + 1);
                }
            }
        }
    }

    /// Sends the request that is due; true if the outside refuses it.
    fn send<E: SmEnv>(&mut self, now: u64, env: &mut E) -> bool {
        if self.shared.memory.l1.next_request().is_none_or(|due| due > now) {
            return false;
        }
        if !env.can_send() {
            return true;
        }
        if let Some(request) = self.shared.memory.l1.take_request(now) {
            if env.listening() {
                env.state(sent(&request));
            }
            env.send(request);
        }
        false
    }

    /// Whether memory has acknowledged all stores of the CTAs of a grid slot that have been here.
    pub fn has_drained(&self, slot: u8) -> bool {
        self.shared.memory.l1.stores_unanswered(slot) == 0
    }

    /// Nothing resides here and memory owes no answer.
    pub fn is_idle(&self) -> bool {
        self.shared.ctas.iter().all(Option::is_none) && self.shared.memory.l1.is_idle() && self.shared.bulk.is_idle()
    }

    /// Puts constant bank 0 into the L1 instruction/constant cache, but not into the caches above it.
    pub fn warm_l1_constants(&mut self, kernel: &KernelTiming) {
        for offset in (0..4096).step_by(64) {
            self.shared.l1i.warm(kernel.constant_address + offset);
        }
    }

    /// Puts the lines that these bytes touch into the L1D: a warm start, after the launch of the CTA.
    pub fn warm_data(&mut self, bytes: std::ops::Range<u64>) {
        let line = workloads::stream::LINE_BYTES;
        for number in bytes.start / line..bytes.end.div_ceil(line) {
            self.shared.memory.l1.warm(number);
        }
    }

    /// Puts a kernel's code and its constant bank 0 up to `constant_bytes` into the caches above L1D.
    pub fn warm(&mut self, kernel: &KernelTiming, constant_bytes: u32) {
        let code = kernel.ops.len() as u64 * 16;
        for address in (kernel.code_address..kernel.code_address + code).step_by(64) {
            self.shared.l1i.warm(address);
        }
        for offset in (0..u64::from(constant_bytes)).step_by(64) {
            let address = kernel.constant_address + offset;
            self.shared.l1i.warm(address);
            self.shared.memory.warm_constant(address >> self.shared.spec.variable_constant_line_shift);
            let line = u64::from(self.spec.constant_cache.fixed_latency.line_bytes);
            for core in &mut self.subcores {
                core.warm_constant(address / line);
            }
        }
    }
}

fn sent(request: &MemRequest) -> SmFact {
    match request.op {
        MemOp::Read | MemOp::Prefetch => SmFact::Sent { read_bytes: request.bytes, written_bytes: 0 },
        _ => SmFact::Sent { read_bytes: 0, written_bytes: request.bytes },
    }
}
