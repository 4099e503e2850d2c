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

use protocol::{MemOp, MemRequest, MemResponse, Station, Stations};
use serde::Deserialize;
use sim_core::stats::{Breakdown, Histogram};
use sim_core::{Activity, BuildError, Component, Cx, Cycle, In, Out, Site, StatsNode};

use crate::bank::NEVER;
use crate::command::ALL;
use crate::controller::Controller;
use crate::mapper::ChannelInterleave;
use crate::native::{Native, Policy};
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
    /// The write half of an atomic is under way.
    writing_back: bool,
    stations: Stations,
}

/// A request of which not all accesses found room yet.
#[derive(Debug, Clone, Copy, serde::Serialize, serde::Deserialize)]
struct Entering {
    slot: u32,
    address: u64,
    accesses: u32,
    op: Op,
}

/// One HBM channel.
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
    done: Vec<Completion>,
    outstanding: u32,
    next_port: usize,
    refused_pim_commands: u64,
    read_latency: Histogram,
    write_latency: Histogram,
}

// `done` is empty between two ticks.
sim_core::saved!(Channel {
    state: in_flight, free, entering, answers, outstanding, next_port, refused_pim_commands;
    parts: controller, read_latency, write_latency;
    rebuilt: interleave, access_bytes, tick_ps, requests, responses, done;
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
        let controller =
            Native::new(&preset, &spec.policy, ()).map_err(|e| BuildError::key("policy", e.to_string()))?;
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
            done: Vec::new(),
            outstanding: 0,
            next_port: 0,
            refused_pim_commands: 0,
            read_latency: Histogram::new("ticks"),
            write_latency: Histogram::new("ticks"),
        })
    }

    fn tick(&mut self, cx: &mut Cx<'_>) -> Activity {
        let now = cx.now().0;
        let mut done = std::mem::take(&mut self.done);
        self.controller.run(now, Until::Limit, &mut done);
        done.drain(..).for_each(|c| self.completed(&c));
        self.done = done;
        self.enter();
        self.accept(cx);
        let blocked = self.answer(cx);
        // What waits for room may enter with the next command; else only completions matter.
        let next = match self.entering.is_empty() {
            true => self.controller.next_visible(),
            false => self.controller.next_event(),
        };
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
        // What the controller did by itself since the last tick belongs to the report.
        let mut controller = self.controller.clone();
        controller.run(at.0, Until::Limit, &mut Vec::new());
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
        out.histogram("read_latency", &self.read_latency);
        out.histogram("write_latency", &self.write_latency);
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
                    self.begin(request, port as u16);
                    self.enter();
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
                self.answers.push_back((port, MemResponse::to(&request, Stations::default())));
                return;
            }
        };
        let address = self.interleave.map_or(request.address, |i| i.split(request.address).1);
        let offset = (address % u64::from(self.access_bytes)) as u32;
        let accesses = (offset + request.bytes.max(1)).div_ceil(self.access_bytes);
        let flight = InFlight { request, port, left: accesses, writing_back: false, stations: Stations::default() };
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
        self.entering.push_back(Entering { slot, address: address - u64::from(offset), accesses, op });
    }

    /// Offers accesses to the controller, in order, until one is refused.
    fn enter(&mut self) {
        while let Some(mut entering) = self.entering.pop_front() {
            while entering.accesses > 0 {
                let id = u64::from(entering.slot);
                let request = Request { id, address: entering.address, op: entering.op };
                match self.controller.enqueue(request) {
                    Admission::Refused => return self.entering.push_front(entering),
                    Admission::Accepted => {}
                    Admission::Merged => self.access_done(entering.slot),
                }
                entering.accesses -= 1;
                entering.address += u64::from(self.access_bytes);
            }
        }
    }

    fn completed(&mut self, c: &Completion) {
        let latency = c.done - c.arrive;
        match c.op {
            Op::Read => self.read_latency.record(latency),
            Op::Write | Op::Update => self.write_latency.record(latency),
        }
        let ps = |ticks: u32| (f64::from(ticks) * self.tick_ps) as u64;
        let p = c.parts;
        let parts = match c.op {
            Op::Read => [p.queue_ticks + p.bus_ticks, p.bank_ticks, p.refresh_ticks, p.data_ticks].map(ps),
            Op::Write | Op::Update => [ps(latency as u32), 0, 0, 0],
        };
        let flight = &mut self.in_flight[c.id as usize];
        // The last access to be done decides; its times stand for the request's.
        if flight.left == 1 {
            let stations = [Station::MemoryQueue, Station::Bank, Station::Refresh, Station::Data];
            stations.into_iter().zip(parts).for_each(|(station, ps)| flight.stations.add(station, ps));
        }
        self.access_done(c.id as u32);
    }

    fn access_done(&mut self, slot: u32) {
        let flight = &mut self.in_flight[slot as usize];
        flight.left -= 1;
        if flight.left > 0 {
            return;
        }
        if flight.request.op == MemOp::Atomic && !flight.writing_back {
            flight.writing_back = true;
            flight.left = 1;
            let address = self.interleave.map_or(flight.request.address, |i| i.split(flight.request.address).1);
            let address = address - address % u64::from(self.access_bytes);
            self.entering.push_back(Entering { slot, address, accesses: 1, op: Op::Write });
            return;
        }
        self.outstanding -= 1;
        self.answers.push_back((flight.port, MemResponse::to(&flight.request, flight.stations)));
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
                let issued = cx.time();
                cx.send(self.request, MemRequest { id, source: 0, address, bytes, sectors: 15, op, issued });
                self.sent += 1;
            }
            if self.sent < requests { Activity::BUSY } else { Activity::input() }
        }

        fn report(&self, _: Cycle, _: &mut StatsNode) {}
    }

    fn run(requester: &str, shards: usize) -> (Vec<(u64, MemResponse)>, String) {
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
        let answered = machine.component::<Requester>("cpu", 0).unwrap().answered.clone();
        (answered, format!("{:?}", outcome.time))
    }

    /// ACT one tick after arrival, RD nRCDRD + 1 later, data nCL + nBL later: 1 + 15 + 16 ticks.
    #[test]
    fn an_unloaded_read_takes_links_and_bank() {
        let (answered, _) = run("requests = 1\nbytes = 32\nwrite_every = 0\natomic_every = 0", 1);
        let (cycle, response) = answered[0];
        assert_eq!(cycle, 5 + 32 + 7);
        let at = |station| response.stations.picoseconds(station);
        assert_eq!((at(Station::Bank), at(Station::Data)), (15_000, 16_000));
        assert_eq!(at(Station::MemoryQueue) + at(Station::Refresh), 1000);
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
