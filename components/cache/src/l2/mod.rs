//! A slice of the second-level cache.
//!
//! ```text
//!   req        ─▶ ┐                        ┌─ hit ─▶ data array, atomic unit ─▶ resp / mirror_resp
//!   mirror_req ─▶ ┴─▶ accept ─▶ tags ──────┤
//!                                          └─ miss ─▶ registers ─▶ mem_req, or home_req if the line is the other
//!                                                        ▲         partition's
//!                        fill, write-back of dirty lines └─ mem_resp, home_resp
//! ```
//!
//! With one partition a slice owns all lines that come to it. With two (GA100, GH100), every SM speaks to the slices of its
//! own partition only; a line belongs to one slice of one partition, its *home*, and the slice of the same place in the
//! other partition keeps a copy of what its SMs read, which it gets from the home over the link between the partitions.
//! That is what pointer chases show: all of a footprint below half the capacity is as near as the nearest line, and beyond
//! it some is a partition farther away (RRZE gpu-benches, A100 and GH200). Writes, atomics and updates are done at home.
//!
//! Models: lines of 128 bytes in sectors of 32, least recently used, any number of sets; write-back with allocation and
//! without fetch, since requests name whole sectors; misses merged in registers; a rate of the data array in bytes a
//! cycle and one of the atomic unit; latency of hit, miss and fill.
//! What the host writes before a launch ([`HostWrites`]) is there, as dirty as what an SM writes, as far as it finds room.
//! Leaves out: invalidation of the other partition's copies; rate of fills; banks; compression; byte masks.
//! Slices and sets are chosen by [`ChannelInterleave`], balanced for any number (sm.md 12.4 asks for that where the number
//! is no power of two; the public simulator's IPOLY hash covers powers of two only).
//! Numbers: from the machine file, each with its origin. Start reading at `tick`; canonical tests: `tests/l2.rs`.

mod misses;
mod queue;
mod tags;

use misses::{Asked, Misses, Side, Waiter};
use protocol::{Bandwidth, ChannelInterleave, HostWrites, MemOp, MemRequest, MemResponse};
use queue::{NEVER, TimedQueue};
use serde::{Deserialize, Serialize};
use sim_core::stats::Breakdown;
use sim_core::{Activity, BuildError, Component, Cx, Cycle, Femtos, In, Out, Site, StatsNode};
use std::sync::Arc;
use tags::{LINE_BYTES, SECTOR_BYTES, Tags};

/// Requests at a port: the round trip of a link of 30 cycles.
const PORT_CAPACITY: u16 = 64;
/// Requests to memory and to the home that may be on their way through the slice before no more misses are accepted.
const MISS_QUEUE: usize = 512;
/// Requests, one more for every run of sectors of an evicted line, that may be there before no more fills are taken.
const FILL_QUEUE: usize = MISS_QUEUE + 64;

/// Parameters.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SliceSpec {
    pub capacity_kib: u32,
    pub ways: u32,
    /// Partitions of the cache, 1 or 2.
    pub partitions: u32,
    /// Bytes that stay together on a slice, as in the crossbar.
    pub slice_granule_bytes: u32,
    /// Slices in front of one memory channel, which sees their addresses side by side.
    pub slices_per_channel: u32,
    /// From acceptance to the answer.
    pub hit_latency_cycles: u32,
    /// From acceptance to the request to memory or to the home.
    pub miss_latency_cycles: u32,
    /// From the arrival of data to the answer.
    pub fill_latency_cycles: u32,
    /// More for an atomic.
    pub atomic_latency_cycles: u32,
    /// Data read or written.
    pub bytes_per_cycle: f64,
    /// Data of atomics and updates.
    pub atomic_bytes_per_cycle: f64,
    /// Lines on their way.
    pub miss_entries: u16,
    /// Requests that may wait for one line.
    pub merges_per_line: u16,
}

/// The component `cache.l2`: one slice.
pub struct Slice {
    latency: Latency,
    index: u32,
    partitions: u32,
    slices_per_channel: u64,
    granule_bits: u32,
    interleave: ChannelInterleave,
    tags: Tags,
    misses: Misses,
    data: Bandwidth,
    atomics: Bandwidth,
    ports: Ports,
    host: Option<Arc<HostWrites>>,
    /// Launches whose preceding writes by the host are in the tags.
    host_seen: usize,
    /// Answers in the order of their due cycles: hits, atomics, and what came from memory or home with and without atomic.
    answers: [Answers; 4],
    to_memory: TimedQueue<MemRequest>,
    to_home: TimedQueue<MemRequest>,
    /// Writes, atomics and the like that the home does, by number.
    forwarded: Vec<Option<Waiter>>,
    free_forwarded: Vec<u32>,
    /// Those whom a fill has given all they wait for, within a tick.
    done: Vec<Waiter>,
    /// Which side is looked at first.
    mirror_first: bool,
    counters: Counters,
}

type Answers = TimedQueue<(Side, MemResponse)>;

#[derive(Clone, Copy)]
struct Latency {
    hit: u64,
    miss: u64,
    fill: u64,
    atomic: u64,
}

struct Ports {
    request: In<MemRequest>,
    response: Out<MemResponse>,
    memory_request: Out<MemRequest>,
    memory_response: In<MemResponse>,
    partition: Option<PartitionPorts>,
}

struct PartitionPorts {
    home_request: Out<MemRequest>,
    home_response: In<MemResponse>,
    mirror_request: In<MemRequest>,
    mirror_response: Out<MemResponse>,
}

#[derive(Default, Serialize, Deserialize)]
struct Counters {
    requests: u64,
    mirror_requests: u64,
    read_hits: u64,
    read_merged: u64,
    read_misses: u64,
    /// Of those, asked of the home in the other partition.
    copies_asked: u64,
    for_mirror: u64,
    written: u64,
    atomic: u64,
    forwarded: u64,
    bytes_answered: u64,
    bytes_taken: u64,
    memory_read_bytes: u64,
    memory_written_bytes: u64,
    host_sectors: u64,
}

// `done` is empty between two ticks.
sim_core::saved!(Slice {
    parts: tags, misses, data, atomics;
    state: answers, to_memory, to_home, forwarded, free_forwarded, mirror_first, counters, host_seen;
    rebuilt: host, latency, index, partitions, slices_per_channel, granule_bits, interleave, ports, done;
});

/// What an answer from memory or the home is for; the top bits of its id.
#[derive(Clone, Copy)]
enum Sent {
    Line(u32),
    Forwarded(u32),
    WriteBack,
}

impl Sent {
    fn id(self) -> u64 {
        match self {
            Sent::Line(entry) => u64::from(entry),
            Sent::Forwarded(number) => 1 << 32 | u64::from(number),
            Sent::WriteBack => 2 << 32,
        }
    }

    fn of_id(id: u64) -> Self {
        match id >> 32 {
            0 => Sent::Line(id as u32),
            1 => Sent::Forwarded(id as u32),
            _ => Sent::WriteBack,
        }
    }
}

impl Component for Slice {
    const KIND: &'static str = "cache.l2";
    const DESCRIPTION: &'static str =
        "slice of a second-level cache: sectored, write-back, with atomics, in partitions";
    const CHEAP_IDLE_TICK: bool = false;
    type Spec = SliceSpec;

    fn build(spec: SliceSpec, site: &mut Site<'_>) -> Result<Self, BuildError> {
        let sets = spec.check(site.count())?;
        let partition = (spec.partitions == 2).then(|| PartitionPorts {
            home_request: site.output("home_req"),
            home_response: site.input("home_resp", PORT_CAPACITY),
            mirror_request: site.input("mirror_req", PORT_CAPACITY),
            mirror_response: site.output("mirror_resp"),
        });
        let ports = Ports {
            request: site.input("req", PORT_CAPACITY),
            response: site.output("resp"),
            memory_request: site.output("mem_req"),
            memory_response: site.input("mem_resp", PORT_CAPACITY),
            partition,
        };
        let latency = Latency {
            hit: spec.hit_latency_cycles.into(),
            miss: spec.miss_latency_cycles.into(),
            fill: spec.fill_latency_cycles.into(),
            atomic: spec.atomic_latency_cycles.into(),
        };
        Ok(Self {
            latency,
            index: site.index() as u32,
            partitions: spec.partitions,
            slices_per_channel: spec.slices_per_channel.into(),
            granule_bits: spec.slice_granule_bytes.trailing_zeros(),
            interleave: ChannelInterleave::new(site.count() as u32, spec.slice_granule_bytes, true),
            tags: Tags::new(sets, spec.ways),
            misses: Misses::new(spec.miss_entries, spec.merges_per_line),
            data: Bandwidth::of_bytes_per_cycle(spec.bytes_per_cycle),
            atomics: Bandwidth::of_bytes_per_cycle(spec.atomic_bytes_per_cycle),
            ports,
            host: site.resource::<HostWrites>(),
            host_seen: 0,
            answers: Default::default(),
            to_memory: TimedQueue::default(),
            to_home: TimedQueue::default(),
            forwarded: Vec::new(),
            free_forwarded: Vec::new(),
            done: Vec::new(),
            mirror_first: false,
            counters: Counters::default(),
        })
    }

    fn tick(&mut self, cx: &mut Cx<'_>) -> Activity {
        let mut activity = self.answer(cx);
        activity = self.ask(cx, activity);
        self.take_fills(cx);
        if let Some(retry) = self.accept(cx) {
            activity = activity.or_until(Cycle(retry));
        }
        // What was queued in this very tick.
        let now = cx.now().0;
        let requests = [self.to_memory.first_due(), self.to_home.first_due()];
        let dues = self.answers.iter().map(TimedQueue::first_due).chain(requests);
        let next = dues.fold(NEVER, |next, due| if due > now { next.min(due) } else { next });
        if next == NEVER { activity } else { activity.or_until(Cycle(next)) }
    }

    fn report(&self, _at: Cycle, out: &mut StatsNode) {
        let c = &self.counters;
        out.counter("requests", c.requests, "requests");
        out.counter("mirror_requests", c.mirror_requests, "requests");
        out.counter("forwarded", c.forwarded, "requests");
        out.counter("read_sectors", c.read_hits + c.read_merged + c.read_misses, "sectors");
        out.counter("read_hit_sectors", c.read_hits, "sectors");
        out.counter("read_merged_sectors", c.read_merged, "sectors");
        out.ratio("hit_rate", "read_hit_sectors", "read_sectors", 100.0, "%");
        let parts = [
            ("read_hit", c.read_hits),
            ("read_merged", c.read_merged),
            ("read_miss_memory", c.read_misses - c.copies_asked),
            ("read_miss_other_partition", c.copies_asked),
            ("read_for_other_partition", c.for_mirror),
            ("written", c.written),
            ("atomic", c.atomic),
        ];
        let leaves = parts.map(|(name, sectors)| Breakdown::leaf(name, sectors, "sectors"));
        out.breakdown(Breakdown::of("sectors", "sectors", leaves.to_vec()));
        out.counter("bytes_answered", c.bytes_answered, "bytes");
        out.counter("bytes_taken", c.bytes_taken, "bytes");
        out.counter("memory_read_bytes", c.memory_read_bytes, "bytes");
        out.counter("memory_written_bytes", c.memory_written_bytes, "bytes");
        out.counter("host_bytes", c.host_sectors * u64::from(SECTOR_BYTES), "bytes");
        out.counter("dirty_bytes", self.tags.dirty_sectors() * u64::from(SECTOR_BYTES), "bytes");
    }

    fn waiting(&self) -> Option<String> {
        let waiter = self.misses.any().or_else(|| self.forwarded.iter().flatten().next())?;
        let MemRequest { op, id, source, address, .. } = waiter.request;
        Some(format!("{op:?} {id} of SM {source} at {address:#x}"))
    }
}

impl SliceSpec {
    /// Number of sets.
    fn check(&self, slices: usize) -> Result<u32, BuildError> {
        if !(1..=2).contains(&self.partitions) || !slices.is_multiple_of(self.partitions as usize) {
            let problem = format!("{} partitions of {slices} slices", self.partitions);
            return Err(BuildError::key("partitions", problem).help("1, or 2 and an even number of slices"));
        }
        if !self.slice_granule_bytes.is_power_of_two() || u64::from(self.slice_granule_bytes) < LINE_BYTES {
            return Err(BuildError::key("slice_granule_bytes", "is not a power of two of at least a line of 128"));
        }
        if self.slices_per_channel == 0 || !slices.is_multiple_of(self.slices_per_channel as usize) {
            let problem = format!("{} of {slices} slices", self.slices_per_channel);
            return Err(BuildError::key("slices_per_channel", problem).help("a divisor of the number of slices"));
        }
        let lines = u64::from(self.capacity_kib) * 1024 / LINE_BYTES;
        if self.ways == 0 || lines == 0 || !lines.is_multiple_of(u64::from(self.ways)) || lines > 1 << 24 {
            return Err(BuildError::key("ways", format!("{} ways of {lines} lines", self.ways))
                .help("a divisor of the number of lines of 128 bytes"));
        }
        if self.miss_entries < 2 || self.merges_per_line == 0 {
            return Err(BuildError::key("miss_entries", "should be at least 2, and merges_per_line at least 1"));
        }
        for (key, rate) in
            [("bytes_per_cycle", self.bytes_per_cycle), ("atomic_bytes_per_cycle", self.atomic_bytes_per_cycle)]
        {
            if !rate.is_finite() || !(0.001..1e9).contains(&rate) {
                return Err(BuildError::key(key, "should be a number above 0"));
            }
        }
        Ok((lines / u64::from(self.ways)) as u32)
    }
}

impl Slice {
    fn answer(&mut self, cx: &mut Cx<'_>) -> Activity {
        let now = cx.now().0;
        let mut activity = Activity::input();
        let (response, mirror) = (self.ports.response, self.ports.partition.as_ref().map(|p| p.mirror_response));
        for queue in &mut self.answers {
            while let Some((side, answer)) = queue.due(now) {
                let to = match (side, mirror) {
                    (Side::Mirror, Some(mirror)) => mirror,
                    _ => response,
                };
                if !cx.can_send(to) {
                    activity = activity.or_credit();
                    break;
                }
                cx.send(to, answer);
                queue.pop();
            }
        }
        activity
    }

    fn ask(&mut self, cx: &mut Cx<'_>, mut activity: Activity) -> Activity {
        let now = cx.now().0;
        let home = self.ports.partition.as_ref().map(|p| p.home_request);
        for (queue, to) in [(&mut self.to_memory, Some(self.ports.memory_request)), (&mut self.to_home, home)] {
            while let Some(request) = queue.due(now) {
                let Some(to) = to.filter(|&to| cx.can_send(to)) else {
                    activity = activity.or_credit();
                    break;
                };
                cx.send(to, request);
                queue.pop();
            }
        }
        activity
    }

    /// Data and acknowledgements from memory and from the home.
    fn take_fills(&mut self, cx: &mut Cx<'_>) {
        let home = self.ports.partition.as_ref().map(|p| p.home_response);
        for port in [Some(self.ports.memory_response), home].into_iter().flatten() {
            while self.to_memory.len() < FILL_QUEUE {
                let Some(response) = cx.take(port) else { break };
                match Sent::of_id(response.id) {
                    Sent::Line(entry) => self.fill(entry, &response, cx),
                    Sent::Forwarded(number) => self.forward_done(number, cx),
                    Sent::WriteBack => {}
                }
            }
        }
    }

    fn fill(&mut self, entry: u32, response: &MemResponse, cx: &Cx<'_>) {
        let now = cx.now().0;
        let line = self.misses.line(entry);
        let (_, local) = self.interleave.split(line * LINE_BYTES);
        self.put(line, local, response.sectors, false, now);
        let mut done = std::mem::take(&mut self.done);
        self.misses.arrived(entry, response.sectors, &mut done);
        for waiter in done.drain(..) {
            if matches!(waiter.request.op, MemOp::Read | MemOp::Prefetch) {
                self.reply(2, now + self.latency.fill, &waiter);
            } else {
                self.put(line, local, waiter.request.sectors, true, now);
                self.reply(3, now + self.latency.fill + self.latency.atomic, &waiter);
            }
        }
        self.done = done;
    }

    fn forward_done(&mut self, number: u32, cx: &Cx<'_>) {
        if let Some(waiter) = self.forwarded[number as usize].take() {
            self.free_forwarded.push(number);
            self.reply(2, cx.now().0 + self.latency.fill, &waiter);
        }
    }

    fn reply(&mut self, queue: usize, due: u64, waiter: &Waiter) {
        let response = MemResponse::to(&waiter.request);
        let has_data = matches!(response.op, MemOp::Read | MemOp::Prefetch | MemOp::Atomic);
        if has_data && waiter.side == Side::Requester {
            self.counters.bytes_answered += u64::from(response.sectors.count_ones() * SECTOR_BYTES);
        }
        self.answers[queue].push(due, (waiter.side, response));
    }

    /// Makes sectors of a line valid, whose address within the slice is known; an evicted line is written back.
    fn put(&mut self, line: u64, local: u64, sectors: u8, written: bool, now: u64) {
        if let Some(evicted) = self.tags.put(line, local, sectors, written) {
            // Not before what is in the queue already, which may be due later.
            let due = now.max(self.to_memory.last_due());
            let written = self.ask_memory(evicted.line, evicted.dirty, MemOp::Write, Sent::WriteBack, due);
            self.counters.memory_written_bytes += written;
        }
    }

    /// One request for each run of neighbouring sectors; bytes asked for.
    fn ask_memory(&mut self, line: u64, mut sectors: u8, op: MemOp, sent: Sent, due: u64) -> u64 {
        let mut all = 0;
        while sectors != 0 {
            let first = sectors.trailing_zeros();
            let count = (sectors >> first).trailing_ones();
            let run = (((1_u16 << count) - 1) << first) as u8;
            sectors &= !run;
            let bytes = count * SECTOR_BYTES;
            let address = self.channel_address(line * LINE_BYTES) + u64::from(first * SECTOR_BYTES);
            let (id, source) = (sent.id(), self.index);
            self.to_memory.push(due, MemRequest { id, source, address, bytes, sectors: run, op });
            all += u64::from(bytes);
        }
        all
    }

    /// An address within the memory channel behind this slice: its own granules next to those of its neighbours.
    fn channel_address(&self, address: u64) -> u64 {
        let (_, local) = self.interleave.split(address);
        let place = u64::from(self.index) % self.slices_per_channel;
        let (granule, offset) = (local >> self.granule_bits, local & ((1 << self.granule_bits) - 1));
        (granule * self.slices_per_channel + place) << self.granule_bits | offset
    }

    /// Takes over what the host has written before launches whose time has come: whole sectors, which are newer than memory.
    ///
    /// What has to make room for them was written back while the host wrote, which takes no time.
    fn catch_up_with_host(&mut self, now: Femtos) {
        while let Some(launch) = self.host.as_ref().and_then(|host| host.next(self.host_seen, now)) {
            let Some(host) = self.host.clone() else { return };
            for write in host.before(launch) {
                for run in self.interleave.of_channel(self.index, write.addresses.clone()) {
                    for line in run.start / LINE_BYTES..run.end.div_ceil(LINE_BYTES) {
                        let from = run.start.max(line * LINE_BYTES) % LINE_BYTES / u64::from(SECTOR_BYTES);
                        let to = (run.end.min((line + 1) * LINE_BYTES) - 1) % LINE_BYTES / u64::from(SECTOR_BYTES);
                        let sectors = (from..=to).fold(0, |sectors, sector| sectors | 1 << sector);
                        let (_, local) = self.interleave.split(line * LINE_BYTES);
                        self.tags.put(line, local, sectors, true);
                        self.counters.host_sectors += u64::from(sectors.count_ones());
                    }
                }
            }
            self.host_seen += 1;
        }
    }

    /// Takes requests while the data array has time. When to look again if some have to wait for a rate.
    fn accept(&mut self, cx: &mut Cx<'_>) -> Option<u64> {
        let now = cx.now().0;
        self.catch_up_with_host(cx.time());
        self.data.advance(now);
        self.atomics.advance(now);
        let mirror = self.ports.partition.as_ref().map(|p| p.mirror_request);
        let sides = [(Side::Requester, Some(self.ports.request)), (Side::Mirror, mirror)];
        // One that is held up does not hold up the other: the other partition's may be what it waits for.
        let mut stuck = [false; 2];
        let mut retry = None;
        loop {
            let turn = usize::from(self.mirror_first);
            let choice = [turn, 1 - turn].into_iter().find_map(|side| {
                let (name, port) = sides[side];
                let port = port.filter(|_| !stuck[side])?;
                Some((side, name, port, *cx.peek(port)?))
            });
            let Some((side, name, port, request)) = choice else { return retry };
            if !self.data.is_open() {
                return Some(self.data.opens_at());
            }
            match self.look_up(Waiter { request, side: name }, cx) {
                Ok(()) => {
                    cx.take(port);
                    self.mirror_first = side == 0;
                }
                Err(held) => {
                    stuck[side] = true;
                    if let Held::Atomics = held {
                        retry = Some(self.atomics.opens_at());
                    }
                }
            }
        }
    }

    fn look_up(&mut self, waiter: Waiter, cx: &Cx<'_>) -> Result<(), Held> {
        let now = cx.now().0;
        let MemRequest { address, sectors, op, .. } = waiter.request;
        let line = address / LINE_BYTES;
        let (home, local) = self.interleave.split(line * LINE_BYTES);
        let foreign = self.partitions == 2 && home != self.index;
        let is_read = matches!(op, MemOp::Read | MemOp::Prefetch);
        let wanted = sectors.count_ones();
        let room = self.to_memory.len() < MISS_QUEUE && self.to_home.len() < MISS_QUEUE;
        if matches!(op, MemOp::Pim(_)) || (foreign && !is_read) {
            self.forward(waiter, foreign, room, now)?;
        } else if op == MemOp::Write {
            if !room {
                return Err(Held::Memory);
            }
            self.put(line, local, sectors, true, now);
            self.counters.written += u64::from(wanted);
            self.reply(0, now + self.latency.hit, &waiter);
        } else {
            let is_atomic = !is_read;
            if is_atomic && !self.atomics.is_open() {
                return Err(Held::Atomics);
            }
            let place = self.tags.find(line, local);
            let missing = sectors & !self.tags.valid(place);
            if missing != 0 {
                if !room {
                    return Err(Held::Memory);
                }
                let Some(asked) = self.misses.wait(line, foreign, missing, waiter) else { return Err(Held::Memory) };
                place.into_iter().for_each(|place| self.tags.touch(place));
                self.miss(line, foreign, asked, now);
                if is_read && waiter.side == Side::Requester {
                    let new = u64::from(asked.sectors.count_ones());
                    self.counters.read_misses += new;
                    self.counters.copies_asked += if foreign { new } else { 0 };
                    self.counters.read_merged += u64::from(missing.count_ones()) - new;
                    self.counters.read_hits += u64::from(wanted - missing.count_ones());
                }
            } else if is_read {
                place.into_iter().for_each(|place| self.tags.touch(place));
                self.counters.read_hits += if waiter.side == Side::Requester { u64::from(wanted) } else { 0 };
                self.reply(0, now + self.latency.hit, &waiter);
            } else {
                self.put(line, local, sectors, true, now);
                self.reply(1, now + self.latency.hit + self.latency.atomic, &waiter);
            }
            if is_atomic {
                self.counters.atomic += u64::from(wanted);
                self.atomics.spend(wanted * SECTOR_BYTES);
            }
        }
        self.data.spend(wanted * SECTOR_BYTES);
        if waiter.side == Side::Mirror {
            self.counters.mirror_requests += 1;
            self.counters.for_mirror += if is_read { u64::from(wanted) } else { 0 };
            return Ok(());
        }
        self.counters.requests += 1;
        if op.carries_data() {
            self.counters.bytes_taken += u64::from(wanted * SECTOR_BYTES);
        }
        Ok(())
    }

    fn miss(&mut self, line: u64, foreign: bool, asked: Asked, now: u64) {
        if asked.sectors == 0 {
            return;
        }
        let due = now + self.latency.miss;
        if !foreign {
            let due = due.max(self.to_memory.last_due());
            let asked = self.ask_memory(line, asked.sectors, MemOp::Read, Sent::Line(asked.entry), due);
            self.counters.memory_read_bytes += asked;
            return;
        }
        let request = MemRequest {
            id: Sent::Line(asked.entry).id(),
            source: self.index,
            address: line * LINE_BYTES,
            bytes: asked.sectors.count_ones() * SECTOR_BYTES,
            sectors: asked.sectors,
            op: MemOp::Read,
        };
        self.to_home.push(due, request);
    }

    /// Passes a request on to the home, or to memory if it is the memory's own.
    fn forward(&mut self, waiter: Waiter, foreign: bool, room: bool, now: u64) -> Result<(), Held> {
        if !room {
            return Err(Held::Memory);
        }
        let number = self.free_forwarded.pop().unwrap_or_else(|| {
            self.forwarded.push(None);
            self.forwarded.len() as u32 - 1
        });
        self.forwarded[number as usize] = Some(waiter);
        self.counters.forwarded += 1;
        let request = MemRequest { id: Sent::Forwarded(number).id(), source: self.index, ..waiter.request };
        let due = now + self.latency.miss;
        if foreign {
            self.to_home.push(due, request);
        } else {
            let due = due.max(self.to_memory.last_due());
            let address = self.channel_address(request.address);
            self.to_memory.push(due, MemRequest { address, ..request });
        }
        Ok(())
    }
}

/// Why a request has to wait at its port.
enum Held {
    /// Registers or queues are full; something will come that makes room.
    Memory,
    /// The atomic unit is busy.
    Atomics,
}
