//! A memory that answers every request after a fixed time and moves a bounded number of bytes a cycle.
//!
//! ```text
//!   req[0..n] ─▶ [accept, round robin, while bytes are left this cycle] ─▶ latency ─▶ resp[0..n]
//! ```
//!
//! Models: a latency, a total bandwidth, back-pressure towards the requesters. Leaves out: everything else (banks, rows,
//! hits and misses); it stands in for a cache hierarchy and DRAM where a machine file says so.
//! Numbers: from the machine file, each with its origin.
//! Start reading at `tick`; the canonical tests are below.

use protocol::{Bandwidth, MemRequest, MemResponse, MemoryLoad};
use serde::{Deserialize, Serialize};
use sim_core::{Activity, BuildError, Component, Cx, Cycle, In, Out, Site, StatsNode};
use std::collections::VecDeque;

/// Requests that wait at one port; more than the round trip of the links that lead here.
const PORT_CAPACITY: u16 = 256;

/// Parameters.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FixedMemorySpec {
    /// From acceptance to the answer.
    pub latency_cycles: u32,
    /// All requests together; reads count when they are accepted.
    pub bandwidth_gb_per_s: f64,
}

/// The component `memory.fixed`.
pub struct FixedMemory {
    latency_cycles: u64,
    bandwidth: Bandwidth,
    requests: Vec<In<MemRequest>>,
    responses: Vec<Out<MemResponse>>,
    /// Accepted, in the order of their due cycles.
    in_flight: VecDeque<(u64, MemResponse)>,
    /// Port that is looked at first in the next cycle.
    first: usize,
    counters: Counters,
}

#[derive(Default, Serialize, Deserialize)]
struct Counters {
    reads: u64,
    writes: u64,
    read_bytes: u64,
    written_bytes: u64,
}

sim_core::saved!(FixedMemory {
    state: in_flight, first, counters;
    parts: bandwidth;
    rebuilt: latency_cycles, requests, responses;
});

impl Component for FixedMemory {
    const KIND: &'static str = "memory.fixed";
    const DESCRIPTION: &'static str = "memory of fixed latency and bounded bandwidth, in place of a hierarchy";
    const CHEAP_IDLE_TICK: bool = false;
    type Spec = FixedMemorySpec;

    fn build(spec: FixedMemorySpec, site: &mut Site<'_>) -> Result<Self, BuildError> {
        if !(spec.bandwidth_gb_per_s.is_finite() && spec.bandwidth_gb_per_s > 0.0) {
            return Err(BuildError::key("bandwidth_gb_per_s", "should be a number above 0"));
        }
        let bandwidth = Bandwidth::of_gb_per_s(spec.bandwidth_gb_per_s, site.clock_hz());
        if bandwidth.is_zero() {
            return Err(BuildError::key("bandwidth_gb_per_s", "is less than 1/1024 byte a cycle"));
        }
        let (requests, responses) = (site.linked_width("req"), site.linked_width("resp"));
        Ok(Self {
            latency_cycles: u64::from(spec.latency_cycles),
            bandwidth,
            requests: site.inputs("req", requests, PORT_CAPACITY),
            responses: site.outputs("resp", responses),
            in_flight: VecDeque::new(),
            first: 0,
            counters: Counters::default(),
        })
    }

    fn tick(&mut self, cx: &mut Cx<'_>) -> Activity {
        let blocked = self.answer(cx);
        let waiting = self.accept(cx);
        if cx.is_heard::<MemoryLoad>() {
            cx.emit(self.load(cx));
        }
        let mut activity = Activity::input();
        if let Some(&(due, _)) = self.in_flight.front() {
            activity = if blocked { activity.or_credit() } else { activity.or_until(Cycle(due)) };
        }
        if waiting { activity.or_until(Cycle(self.bandwidth.opens_at())) } else { activity }
    }

    fn report(&self, _at: Cycle, out: &mut StatsNode) {
        let counters = &self.counters;
        out.counter("reads", counters.reads, "requests");
        out.counter("writes", counters.writes, "requests");
        out.counter("read_bytes", counters.read_bytes, "bytes");
        out.counter("written_bytes", counters.written_bytes, "bytes");
    }

    fn waiting(&self) -> Option<String> {
        self.in_flight.front().map(|(due, oldest)| format!("answer to request {} due at cycle {due}", oldest.id))
    }
}

impl FixedMemory {
    fn load(&self, cx: &Cx<'_>) -> MemoryLoad {
        MemoryLoad {
            in_flight: self.in_flight.len() as u32,
            waiting: self.requests.iter().map(|&port| u32::from(cx.len(port))).sum(),
            read_bytes: self.counters.read_bytes,
            written_bytes: self.counters.written_bytes,
        }
    }

    /// Sends what is due. `true` if the oldest answer finds no room.
    fn answer(&mut self, cx: &mut Cx<'_>) -> bool {
        while let Some(&(due, response)) = self.in_flight.front() {
            if due > cx.now().0 {
                return false;
            }
            let port = self.responses[response.source as usize];
            if cx.room(port) == 0 {
                return true;
            }
            cx.send(port, response);
            self.in_flight.pop_front();
        }
        false
    }

    /// Takes requests while there is bandwidth. `true` if some are left waiting.
    fn accept(&mut self, cx: &mut Cx<'_>) -> bool {
        let now = cx.now().0;
        self.bandwidth.advance(now);
        let ports = self.requests.len();
        let mut idle_ports = 0;
        let mut port = self.first;
        while idle_ports < ports {
            let Some(&request) = cx.peek(self.requests[port]) else {
                idle_ports += 1;
                port = (port + 1) % ports;
                continue;
            };
            if !self.bandwidth.is_open() {
                self.first = port;
                return true;
            }
            cx.take(self.requests[port]);
            idle_ports = 0;
            self.bandwidth.spend(request.bytes);
            self.count(&request);
            self.in_flight.push_back((now + self.latency_cycles, MemResponse::to(&request)));
            port = (port + 1) % ports;
        }
        self.first = port;
        false
    }

    fn count(&mut self, request: &MemRequest) {
        if request.op.carries_data() {
            self.counters.writes += 1;
            self.counters.written_bytes += u64::from(request.bytes);
        } else {
            self.counters.reads += 1;
            self.counters.read_bytes += u64::from(request.bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::MemOp;
    use sim_core::{Femtos, Machine, MachineFile, Plan, Registry, Resources, StopAt};

    /// Sends `count` reads of 32 bytes, one a cycle, and notes when each answer came.
    struct Requester {
        request: Out<MemRequest>,
        response: In<MemResponse>,
        sent: u64,
        count: u64,
        answered: Vec<u64>,
    }

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct RequesterSpec {
        reads: u64,
    }

    sim_core::saved!(Requester { state: sent, answered; rebuilt: request, response, count });

    impl Component for Requester {
        const KIND: &'static str = "test.requester";
        type Spec = RequesterSpec;

        fn build(spec: RequesterSpec, site: &mut Site<'_>) -> Result<Self, BuildError> {
            site.foreground(1);
            let (request, response) = (site.output("req"), site.input("resp", 64));
            Ok(Self { request, response, sent: 0, count: spec.reads, answered: Vec::new() })
        }

        fn tick(&mut self, cx: &mut Cx<'_>) -> Activity {
            while let Some(answer) = cx.take(self.response) {
                assert_eq!(answer.id, self.answered.len() as u64);
                self.answered.push(cx.now().0);
                if self.answered.len() as u64 == self.count {
                    cx.end_work(1);
                }
            }
            if self.sent < self.count && cx.room(self.request) > 0 {
                let op = MemOp::Read;
                let request = MemRequest { id: self.sent, source: 0, address: 0, bytes: 32, sectors: 1, op };
                cx.send(self.request, request);
                self.sent += 1;
            }
            if self.sent < self.count { Activity::BUSY } else { Activity::input() }
        }

        fn report(&self, _at: Cycle, _out: &mut StatsNode) {}
    }

    fn built(latency_cycles: u32, bandwidth_gb_per_s: f64, reads: u64) -> Machine {
        let text = format!(
            "[clock.core]\nmhz = 1000\n[part.cpu]\nkind = \"test.requester\"\nclock = \"core\"\nreads = {reads}\n\
             [part.memory]\nkind = \"memory.fixed\"\nclock = \"core\"\nlatency_cycles = {latency_cycles}\n\
             bandwidth_gb_per_s = {bandwidth_gb_per_s:?}\n\
             [[link]]\nfrom = \"cpu.req\"\nto = \"memory.req\"\nlatency_cycles = 5\n\
             [[link]]\nfrom = \"memory.resp\"\nto = \"cpu.resp\"\nlatency_cycles = 7\n"
        );
        let file = MachineFile::parse("test.toml", &text).unwrap();
        let mut kinds = Registry::new();
        kinds.add::<Requester>().add::<FixedMemory>();
        Machine::build(&file, &kinds, Resources::new(), Plan::serial()).unwrap()
    }

    fn answer_cycles(latency_cycles: u32, bandwidth_gb_per_s: f64, reads: u64) -> Vec<u64> {
        let mut machine = built(latency_cycles, bandwidth_gb_per_s, reads);
        machine.run(StopAt::WorkDone, &mut |_| {}).unwrap();
        machine.component::<Requester>("cpu", 0).unwrap().answered.clone()
    }

    #[test]
    fn an_unloaded_answer_takes_links_and_latency() {
        assert_eq!(answer_cycles(100, 1000.0, 1), vec![5 + 100 + 7]);
    }

    #[test]
    fn a_run_goes_on_where_it_was_saved() {
        let whole = answer_cycles(100, 12.5, 60);
        for ns in 0..280 {
            let mut machine = built(100, 12.5, 60);
            machine.run(StopAt::WorkDoneBy(Femtos::from_ns(ns)), &mut |_| {}).unwrap();
            let state = machine.save();
            let mut other = built(100, 12.5, 60);
            other.load(&state).unwrap();
            other.run(StopAt::WorkDone, &mut |_| {}).unwrap();
            assert_eq!(other.component::<Requester>("cpu", 0).unwrap().answered, whole, "saved at {ns} ns");
        }
    }

    #[test]
    fn bandwidth_spaces_the_answers() {
        // 8 GB/s at 1 GHz is 8 bytes a cycle: a request of 32 bytes every 4 cycles.
        let cycles = answer_cycles(100, 8.0, 20);
        let gaps: Vec<u64> = cycles.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert_eq!(cycles[0], 112);
        assert!(gaps.iter().all(|&gap| gap == 4), "{gaps:?}");
    }

    #[test]
    fn a_rate_that_is_no_whole_number_of_bytes_is_kept() {
        // 12.5 bytes a cycle: 100 requests of 32 bytes take 256 cycles.
        let cycles = answer_cycles(10, 12.5, 101);
        assert_eq!(cycles[100] - cycles[0], 256);
    }
}
