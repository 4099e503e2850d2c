//! One channel as a component of a machine: `kind = "hbm.channel"`.
//!
//! ```text
//!   req[..] ─▶ split into accesses ─▶ [native controller] ─▶ collect accesses ─▶ resp[..]
//! ```
//!
//! Models: requests of any length (whole accesses, by sector mask), backpressure when a queue is full, one response a
//! request when its last access is done, with the time it spent in queue, bank, refresh and data. Atomics read and then
//! write; updates are op-and-store commands; prefetches are reads.
//! Leaves out: the path to and from the channel, which is the links'. PIM commands are refused when they arrive.
//! Numbers: the preset by name, and the policy.
//! Start reading at [`Channel::tick`]; the canonical tests are below.

use std::collections::VecDeque;

use protocol::{MemOp, MemRequest, MemResponse};
use serde::Deserialize;
use sim_core::stats::{Breakdown, Histogram};
use sim_core::{Activity, BuildError, Component, Cx, Cycle, In, Out, Site, StatsNode};

use crate::bank::NEVER;
use crate::command::ALL;
use crate::controller::Controller;
use crate::mapper::ChannelInterleave;
use crate::native::{Native, Policy};
use crate::organisation::Location;
use crate::request::{Admission, Completion, Op, Request, Until};

/// How addresses are spread over the channels of the part, so that the channel can take its own bits out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Interleave {
    /// Addresses are local to the channel already.
    Local,
    /// The channel is the granule number modulo the channels.
    LowBits,
    /// The same, turned by a hash of the upper bits.
    Hashed,
}

/// What a machine file says of a channel.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChannelSpec {
    /// A shipped preset, e.g. `stacks/h100-sxm`.
    pub preset: String,
    /// Spread of addresses over the channels of the part.
    pub interleave: Interleave,
    /// Bytes that stay together on one channel; a power of two.
    pub interleave_granule_bytes: u32,
    /// Controller policy; what is left out is as in `Policy::default`.
    #[serde(default)]
    pub policy: Policy,
}

/// A request inside the channel.
#[derive(Debug, Clone, Copy, serde::Serialize, serde::Deserialize)]
struct InFlight {
    request: MemRequest,
    port: u16,
    /// Accesses that are not done.
    left: u32,
    /// Accesses of which it is not known when they are done.
    open: u32,
    /// When those are done of which it is known.
    done: u64,
    /// The write half of an atomic is under way.
    writing_back: bool,
}

/// A request of which not all accesses found room yet.
#[derive(Debug, Clone, Copy, serde::Serialize, serde::Deserialize)]
struct Entering {
    slot: u32,
    address: u64,
    /// Where the access at `address` goes.
    place: Location,
    accesses: u32,
    op: Op,
}

/// How many accesses are open of the requests that have any, to know the fewest.
#[derive(Debug, Clone, Copy, serde::Serialize, serde::Deserialize)]
struct OpenWrites {
    /// Requests by open accesses; the last counts all with as many and more.
    requests: [u16; 16],
    /// The counts that are not 0, a bit each.
    used: u16,
}

impl OpenWrites {
    fn new() -> Self {
        OpenWrites { requests: [0; 16], used: 0 }
    }

    /// A request has now `open` accesses open and had `before`.
    fn change(&mut self, before: u32, open: u32) {
        let last = self.requests.len() as u32 - 1;
        let (before, open) = (before.min(last) as usize, open.min(last) as usize);
        if before > 0 {
            self.requests[before] -= 1;
            self.used &= !(u16::from(self.requests[before] == 0) << before);
        }
        if open > 0 {
            self.requests[open] += 1;
            self.used |= 1 << open;
        }
    }

    /// Fewest open accesses of a request that has any.
    fn fewest(&self) -> Option<u64> {
        (self.used != 0).then(|| u64::from(self.used.trailing_zeros()))
    }
}

/// One HBM channel. Between two ticks its controller works on by itself, and accesses that wait enter its queues as they
/// find room: the channel is ticked when a request may be done, or may make room for one that waits at a port.
#[derive(Clone)]
pub struct Channel {
    controller: Native,
    interleave: Option<ChannelInterleave>,
    access_bytes: u32,
    tick_ps: f64,
    requests: Vec<In<MemRequest>>,
    responses: Vec<Out<MemResponse>>,
    in_flight: Vec<InFlight>,
    free: Vec<u32>,
    entering: VecDeque<Entering>,
    answers: VecDeque<(u16, MemResponse)>,
    outstanding: u32,
    next_port: usize,
    /// Reads of which some access is open.
    open_reads: u32,
    open_writes: OpenWrites,
    /// When reads are done of which no access is open, in order.
    known: VecDeque<u64>,
    refused_pim_commands: u64,
    read_latency: Histogram,
    write_latency: Histogram,
}

sim_core::saved!(Channel {
    state: in_flight, free, entering, answers, outstanding, next_port, open_reads, open_writes, known,
        refused_pim_commands;
    parts: controller, read_latency, write_latency;
    rebuilt: interleave, access_bytes, tick_ps, requests, responses;
});

/// Requests a port may hold: the round trip of a link of 32 cycles.
const PORT_CAPACITY: u16 = 64;
/// Requests that may wait for room in the controller's queues; more stay at the ports.
const ENTERING: usize = 4;

impl Component for Channel {
    const KIND: &'static str = "hbm.channel";
    const DESCRIPTION: &'static str = "HBM channel: banks, command and data buses, refresh, and its controller";
    const CHEAP_IDLE_TICK: bool = false;
    type Spec = ChannelSpec;

    fn build(spec: ChannelSpec, site: &mut Site<'_>) -> Result<Self, BuildError> {
        let preset = crate::library::preset(&spec.preset).map_err(|e| BuildError::key("preset", e.to_string()))?;
        let wanted_mhz = 1e6 / preset.tick_ps();
        if (site.clock_mhz() / wanted_mhz - 1.0).abs() > 1e-3 {
            let problem =
                format!("runs at {} MHz, but ticks of {} are {wanted_mhz:.1} MHz", site.clock_mhz(), preset.name);
            return Err(BuildError::key("clock", problem).help("a clock domain of that frequency"));
        }
        let access_bytes = preset.organisation.access_bytes;
        if !spec.interleave_granule_bytes.is_power_of_two() || spec.interleave_granule_bytes < access_bytes {
            return Err(BuildError::key("interleave_granule_bytes", "is not a power of two of at least an access")
                .help(format!("{access_bytes} or more")));
        }
        let mut controller =
            Native::new(&preset, &spec.policy, ()).map_err(|e| BuildError::key("policy", e.to_string()))?;
        controller.announce_reads();
        let channels = site.count() as u32;
        let spread = |hashed| ChannelInterleave::new(channels, spec.interleave_granule_bytes, hashed);
        let (requests, responses) = (ports(site, "req")?, ports(site, "resp")?);
        if requests != responses {
            return Err(BuildError::key("req", format!("{requests} request ports, but {responses} response ports"))
                .help("an answer leaves by the port of the number that its request came in by"));
        }
        Ok(Channel {
            controller,
            interleave: match spec.interleave {
                Interleave::Local => None,
                Interleave::LowBits => Some(spread(false)),
                Interleave::Hashed => Some(spread(true)),
            },
            access_bytes,
            tick_ps: preset.tick_ps(),
            requests: site.inputs("req", requests, PORT_CAPACITY),
            responses: site.outputs("resp", responses),
            in_flight: Vec::new(),
            free: Vec::new(),
            entering: VecDeque::new(),
            answers: VecDeque::new(),
            outstanding: 0,
            next_port: 0,
            open_reads: 0,
            open_writes: OpenWrites::new(),
            known: VecDeque::new(),
            refused_pim_commands: 0,
            read_latency: Histogram::new("ticks"),
            write_latency: Histogram::new("ticks"),
        })
    }

    fn tick(&mut self, cx: &mut Cx<'_>) -> Activity {
        let now = cx.now().0;
        self.advance(now);
        self.accept(cx);
        self.note_started();
        let blocked = self.answer(cx);
        let next = self.next_visible(now);
        let mut activity = Activity::input();
        if next != NEVER {
            activity = activity.or_until(Cycle(next));
        }
        if blocked {
            activity = activity.or_credit();
        }
        if self.outstanding == 0 { activity.background() } else { activity }
    }

    fn report(&self, at: Cycle, out: &mut StatsNode) {
        // What it did by itself since the last tick belongs to the report.
        let mut channel = self.clone();
        channel.advance(at.0);
        let controller = &channel.controller;
        let counters = controller.counters();
        for (name, value) in [
            ("row_hits", counters.row_hits),
            ("row_misses", counters.row_misses),
            ("row_conflicts", counters.row_conflicts),
            ("forwarded_reads", counters.forwarded_reads),
            ("merged_writes", counters.merged_writes),
        ] {
            out.counter(name, value, "requests");
        }
        let commands = out.child("commands");
        for command in ALL {
            commands.counter(command.name(), controller.banks().counts[command.index()], "commands");
        }
        out.counter("refused_pim_commands", self.refused_pim_commands, "commands");
        out.counter("ticks", at.0, "ticks");
        out.histogram("read_latency", &channel.read_latency);
        out.histogram("write_latency", &channel.write_latency);
        let b = controller.breakdown();
        let parts = [
            ("queue", b.queue_ticks),
            ("bank", b.bank_ticks),
            ("bus", b.bus_ticks),
            ("refresh", b.refresh_ticks),
            ("data", b.data_ticks),
        ];
        let leaves = parts.map(|(name, ticks)| Breakdown::leaf(name, ticks, "ticks"));
        out.breakdown(Breakdown::of("read_latency_by_station", "ticks", leaves.to_vec()));
    }

    fn waiting(&self) -> Option<String> {
        let entering = self.entering.front().map(|e| &self.in_flight[e.slot as usize].request);
        let request = entering.or_else(|| self.in_flight.iter().find(|f| f.left > 0).map(|f| &f.request))?;
        Some(format!("{:?} {} of {} bytes at {:#x}", request.op, request.id, request.bytes, request.address))
    }
}

/// Ports of each channel: what is linked to the part, shared out evenly.
fn ports(site: &Site<'_>, name: &str) -> Result<usize, BuildError> {
    let (linked, channels) = (site.linked_width(name), site.count());
    if linked % channels == 0 {
        return Ok(linked / channels);
    }
    Err(BuildError::key(name, format!("{linked} links for {channels} channels")).help("as many for each channel"))
}

impl Channel {
    /// Takes requests from the ports in turn, as long as few wait for the queues.
    fn accept(&mut self, cx: &mut Cx<'_>) {
        let ports = self.requests.len();
        let mut empty = 0;
        while empty < ports && self.entering.len() < ENTERING {
            let port = self.next_port;
            self.next_port = (port + 1) % ports;
            match cx.take(self.requests[port]) {
                Some(request) => {
                    empty = 0;
                    // What waits already was refused at this very tick.
                    let waits = !self.entering.is_empty();
                    self.begin(request, port as u16);
                    if !waits {
                        self.enter();
                    }
                }
                None => empty += 1,
            }
        }
    }

    fn begin(&mut self, request: MemRequest, port: u16) {
        let op = match request.op {
            MemOp::Read | MemOp::Prefetch | MemOp::Atomic => Op::Read,
            MemOp::Write => Op::Write,
            MemOp::Update => Op::Update,
            // The banks have no such commands; the answer comes at once, so that the sender does not hang, and is counted.
            MemOp::Pim(_) => {
                self.refused_pim_commands += 1;
                self.answers.push_back((port, MemResponse::to(&request)));
                return;
            }
        };
        let address = self.interleave.map_or(request.address, |i| i.split(request.address).1);
        let offset = (address % u64::from(self.access_bytes)) as u32;
        let accesses = (offset + request.bytes.max(1)).div_ceil(self.access_bytes);
        let flight = InFlight { request, port, left: accesses, open: accesses, done: 0, writing_back: false };
        match op {
            Op::Read => self.open_reads += 1,
            Op::Write | Op::Update => self.open_writes.change(0, accesses),
        }
        let slot = match self.free.pop() {
            Some(slot) => {
                self.in_flight[slot as usize] = flight;
                slot
            }
            None => {
                self.in_flight.push(flight);
                (self.in_flight.len() - 1) as u32
            }
        };
        self.outstanding += 1;
        let address = address - u64::from(offset);
        self.entering.push_back(Entering { slot, address, place: self.controller.locate(address), accesses, op });
    }

    /// Offers accesses to the controller, in order, until one is refused.
    fn enter(&mut self) {
        while let Some(entering) = self.entering.front_mut() {
            let Entering { slot, address, place, accesses, op } = *entering;
            let admission = self.controller.enqueue_at(Request { id: u64::from(slot), address, op }, place);
            if admission == Admission::Refused {
                return;
            }
            if accesses == 1 {
                self.entering.pop_front();
            } else {
                let next = address + u64::from(self.access_bytes);
                let place = self.controller.locate_next(next, place);
                *entering = Entering { slot, address: next, place, accesses: accesses - 1, op };
            }
            if admission == Admission::Merged {
                self.write_done(slot);
            }
        }
    }

    /// Goes on to tick `now`: the controller works, and what waits enters at the first tick at which it finds room.
    fn advance(&mut self, now: u64) {
        loop {
            let until = self.entering.front().map_or(Until::Limit, |entering| Until::Space(entering.op));
            self.controller.work(now, until);
            // First, since a request that is done gives its slot up.
            self.note_started();
            while let Some(c) = self.controller.take_done() {
                self.completed(&c);
            }
            if !self.entering.is_empty() && self.controller.may_have_room() {
                self.enter();
            }
            if self.controller.now() >= now {
                break;
            }
        }
    }

    /// Learns when reads are done whose column commands were issued.
    fn note_started(&mut self) {
        for started in self.controller.take_started() {
            let flight = &mut self.in_flight[started.id as usize];
            flight.open -= 1;
            flight.done = flight.done.max(started.done);
            if flight.open == 0 {
                self.open_reads -= 1;
                // Nearly always the last; a read that is answered by a waiting write takes one tick.
                let at = self.known.iter().rposition(|known| *known <= flight.done).map_or(0, |before| before + 1);
                self.known.insert(at, flight.done);
            }
        }
    }

    /// A tick before which no request is done and nothing is taken from a port, if nothing arrives.
    fn next_visible(&mut self, now: u64) -> u64 {
        while self.known.front().is_some_and(|done| *done <= now) {
            self.known.pop_front();
        }
        let mut next = self.known.front().copied().unwrap_or(NEVER);
        if self.outstanding == 0 {
            return NEVER;
        }
        let controller = &self.controller;
        let command = controller.next_command();
        if self.open_reads > 0 {
            next = next.min(command.saturating_add(controller.read_latency()));
        }
        let column_ticks = controller.column_ticks();
        if let Some(fewest) = self.open_writes.fewest() {
            // Writes that enter may turn the direction of the bus.
            let writes_enter = self.entering.iter().any(|entering| entering.op != Op::Read);
            let write = if writes_enter { command } else { controller.next_write(command) };
            next = next.min(write.saturating_add((fewest - 1) * column_ticks));
        }
        if let Some(first) = self.entering.front() {
            let commands = self.commands_to_enter(first);
            if self.entering.len() > 1 || commands.is_none() {
                let commands = commands.unwrap_or(1).max(1);
                next = next.min(command.saturating_add((commands - 1) * column_ticks));
            }
        }
        next
    }

    /// Column commands without which a request cannot enter: each of its accesses takes a place in its queue. `None` if a
    /// waiting write may take one of them in or answer it, which needs no place.
    fn commands_to_enter(&self, entering: &Entering) -> Option<u64> {
        let Entering { mut address, mut place, accesses, op, .. } = *entering;
        let mut wanted = [0; 2];
        for access in 0..accesses {
            if access > 0 {
                address += u64::from(self.access_bytes);
                place = self.controller.locate_next(address, place);
            }
            if self.controller.has_write(address, place) {
                return None;
            }
            wanted[self.controller.pseudo_channel_of(place)] += 1;
        }
        let lacking = |(i, wanted): (usize, u64)| match wanted {
            0 => 0,
            wanted => wanted.saturating_sub(self.controller.room(i, op)),
        };
        Some(wanted.into_iter().enumerate().map(lacking).sum())
    }

    fn completed(&mut self, c: &Completion) {
        let latency = c.done - c.arrive;
        match c.op {
            Op::Read => self.read_latency.record(latency),
            Op::Write | Op::Update => self.write_latency.record(latency),
        }
        match c.op {
            Op::Read => self.access_done(c.id as u32),
            Op::Write | Op::Update => self.write_done(c.id as u32),
        }
    }

    /// A write was issued, or merged with one that waits.
    fn write_done(&mut self, slot: u32) {
        let flight = &mut self.in_flight[slot as usize];
        self.open_writes.change(flight.open, flight.open - 1);
        flight.open -= 1;
        self.access_done(slot);
    }

    fn access_done(&mut self, slot: u32) {
        let flight = &mut self.in_flight[slot as usize];
        flight.left -= 1;
        if flight.left > 0 {
            return;
        }
        if flight.request.op == MemOp::Atomic && !flight.writing_back {
            flight.writing_back = true;
            (flight.left, flight.open) = (1, 1);
            self.open_writes.change(0, 1);
            let address = self.interleave.map_or(flight.request.address, |i| i.split(flight.request.address).1);
            let address = address - address % u64::from(self.access_bytes);
            let place = self.controller.locate(address);
            self.entering.push_back(Entering { slot, address, place, accesses: 1, op: Op::Write });
            return;
        }
        self.outstanding -= 1;
        self.answers.push_back((flight.port, MemResponse::to(&flight.request)));
        self.free.push(slot);
    }

    /// Sends what is done. `true` if an answer found no room.
    fn answer(&mut self, cx: &mut Cx<'_>) -> bool {
        let ports = self.responses.len().max(1);
        while let Some((port, response)) = self.answers.front().copied() {
            let to = self.responses[usize::from(port) % ports];
            if cx.room(to) == 0 {
                return true;
            }
            cx.send(to, response);
            self.answers.pop_front();
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sim_core::{Machine, MachineFile, Plan, Registry, Resources, StopAt};

    /// Sends requests as fast as there is room, to consecutive addresses, and notes when each answer comes.
    struct Requester {
        request: Out<MemRequest>,
        response: In<MemResponse>,
        spec: RequesterSpec,
        sent: u64,
        answered: Vec<(u64, MemResponse)>,
    }

    #[derive(Debug, Clone, Copy, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct RequesterSpec {
        requests: u64,
        bytes: u32,
        /// Every n-th request is a write; every m-th an atomic; 0 = none.
        write_every: u64,
        atomic_every: u64,
    }

    sim_core::saved!(Requester { state: sent, answered; rebuilt: request, response, spec });

    impl Component for Requester {
        const KIND: &'static str = "test.requester";
        type Spec = RequesterSpec;

        fn build(spec: RequesterSpec, site: &mut Site<'_>) -> Result<Self, BuildError> {
            site.foreground(1);
            let (request, response) = (site.output("req"), site.input("resp", 64));
            Ok(Self { request, response, spec, sent: 0, answered: Vec::new() })
        }

        fn tick(&mut self, cx: &mut Cx<'_>) -> Activity {
            while let Some(answer) = cx.take(self.response) {
                self.answered.push((cx.now().0, answer));
                if self.answered.len() as u64 == self.spec.requests {
                    cx.end_work(1);
                }
            }
            let RequesterSpec { requests, bytes, write_every, atomic_every } = self.spec;
            if self.sent < requests && cx.room(self.request) > 0 {
                let id = self.sent;
                let every = |n: u64| n > 0 && id % n == n - 1;
                let op = match (every(write_every), every(atomic_every)) {
                    (true, _) => MemOp::Write,
                    (_, true) => MemOp::Atomic,
                    _ => MemOp::Read,
                };
                let address = id * u64::from(bytes);
                cx.send(self.request, MemRequest { id, source: 0, address, bytes, sectors: 15, op });
                self.sent += 1;
            }
            if self.sent < requests { Activity::BUSY } else { Activity::input() }
        }

        fn report(&self, _: Cycle, _: &mut StatsNode) {}
    }

    fn run(requester: &str, shards: usize) -> (Vec<(u64, MemResponse)>, String) {
        let (machine, time) = machine(requester, shards);
        (machine.component::<Requester>("cpu", 0).unwrap().answered.clone(), time)
    }

    /// After its run, and when that ended.
    fn machine(requester: &str, shards: usize) -> (Machine, String) {
        let text = format!(
            "[clock.mem]\nmhz = 1000\n[part.cpu]\nkind = \"test.requester\"\nclock = \"mem\"\n{requester}\n\
             [part.hbm]\nkind = \"hbm.channel\"\nclock = \"mem\"\npreset = \"hbm2-2000\"\ninterleave = \"local\"\n\
             interleave_granule_bytes = 256\n\
             [[link]]\nfrom = \"cpu.req\"\nto = \"hbm.req\"\nlatency_cycles = 5\n\
             [[link]]\nfrom = \"hbm.resp\"\nto = \"cpu.resp\"\nlatency_cycles = 7\n"
        );
        let file = MachineFile::parse("test.toml", &text).unwrap();
        let mut kinds = Registry::new();
        kinds.add::<Requester>().add::<Channel>();
        let plan = if shards == 1 { Plan::serial() } else { Plan { shards, threads: shards, ..Plan::serial() } };
        let mut machine = Machine::build(&file, &kinds, Resources::new(), plan).unwrap();
        let outcome = machine.run(StopAt::WorkDone, &mut |_| {}).unwrap();
        (machine, format!("{:?}", outcome.time))
    }

    /// ACT one tick after arrival, RD nRCDRD + 1 later, data nCL + nBL later: 1 + 15 + 16 ticks.
    #[test]
    fn an_unloaded_read_takes_links_and_bank() {
        let (machine, _) = machine("requests = 1\nbytes = 32\nwrite_every = 0\natomic_every = 0", 1);
        assert_eq!(machine.component::<Requester>("cpu", 0).unwrap().answered[0].0, 5 + 32 + 7);
        let spent = machine.component::<Channel>("hbm", 0).unwrap().controller.breakdown();
        assert_eq!((spent.bank_ticks, spent.data_ticks), (15, 16));
        assert_eq!(spent.queue_ticks + spent.bus_ticks + spent.refresh_ticks, 1);
    }

    #[test]
    fn every_request_is_answered_once_and_streams_run_at_the_link() {
        let (answered, _) = run("requests = 3000\nbytes = 64\nwrite_every = 3\natomic_every = 7", 1);
        let mut ids: Vec<u64> = answered.iter().map(|(_, r)| r.id).collect();
        ids.sort_unstable();
        assert_eq!(ids, (0..3000).collect::<Vec<_>>());
        // 64 bytes a request at 32 bytes a cycle: two cycles a request and some turnarounds.
        let last = answered.last().unwrap().0;
        assert!((6000..9000).contains(&last), "{last}");
    }

    #[test]
    fn shards_change_nothing() {
        let requester = "requests = 1000\nbytes = 64\nwrite_every = 3\natomic_every = 7";
        let cycles = |shards| run(requester, shards).0.iter().map(|(c, r)| (*c, r.id)).collect::<Vec<_>>();
        assert_eq!(cycles(1), cycles(2));
    }
}
