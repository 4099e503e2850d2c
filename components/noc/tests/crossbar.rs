//! The crossbar between sources and slices that answer at once, in closed form.

use noc::crossbar::Crossbar;
use protocol::{MemOp, MemRequest, MemResponse};
use serde::Deserialize;
use sim_core::{
    Activity, BuildError, Component, Cx, Cycle, Detail, In, Machine, MachineFile, Out, Plan, Registry, Resources, Site,
    StatsNode, StopAt,
};

/// Sends reads of one sector as fast as there is room and notes when each answer came.
struct Source {
    request: Out<MemRequest>,
    response: In<MemResponse>,
    spec: SourceSpec,
    index: u32,
    sent: u64,
    answered: Vec<u64>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
struct SourceSpec {
    reads: u64,
    sectors: u8,
    /// Between one read and the next.
    stride_bytes: u64,
}

impl Component for Source {
    const KIND: &'static str = "test.source";
    type Spec = SourceSpec;

    fn build(spec: SourceSpec, site: &mut Site<'_>) -> Result<Self, BuildError> {
        site.foreground(1);
        let index = site.index() as u32;
        let (request, response) = (site.output("req"), site.input("resp", 256));
        Ok(Self { request, response, spec, index, sent: 0, answered: Vec::new() })
    }

    fn tick(&mut self, cx: &mut Cx<'_>) -> Activity {
        while cx.take(self.response).is_some() {
            self.answered.push(cx.now().0);
            if self.answered.len() as u64 == self.spec.reads {
                cx.end_work(1);
            }
        }
        while self.sent < self.spec.reads && cx.room(self.request) > 0 {
            let SourceSpec { sectors, stride_bytes, .. } = self.spec;
            cx.send(
                self.request,
                MemRequest {
                    id: self.sent,
                    source: self.index,
                    address: self.sent * stride_bytes,
                    bytes: sectors.count_ones() * 32,
                    sectors,
                    op: MemOp::Read,
                },
            );
            self.sent += 1;
        }
        if self.sent < self.spec.reads { Activity::input().or_credit() } else { Activity::input() }
    }

    fn report(&self, _at: Cycle, _out: &mut StatsNode) {}
}

sim_core::saved!(Source { state: sent, answered; rebuilt: request, response, spec, index });
sim_core::saved!(Echo { state: taken; rebuilt: request, response });

/// Answers in the same cycle, while there is room.
struct Echo {
    request: In<MemRequest>,
    response: Out<MemResponse>,
    taken: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

impl Component for Echo {
    const KIND: &'static str = "test.echo";
    type Spec = Nothing;

    fn build(_: Nothing, site: &mut Site<'_>) -> Result<Self, BuildError> {
        Ok(Self { request: site.input("req", 128), response: site.output("resp"), taken: 0 })
    }

    fn tick(&mut self, cx: &mut Cx<'_>) -> Activity {
        while cx.room(self.response) > 0 {
            let Some(request) = cx.take(self.request) else { return Activity::input() };
            self.taken += 1;
            cx.send(self.response, MemResponse::to(&request));
        }
        Activity::input().or_credit()
    }

    fn report(&self, _at: Cycle, out: &mut StatsNode) {
        out.counter("taken", self.taken, "requests");
    }
}

struct Case {
    sms: usize,
    slices: usize,
    reads: u64,
    sectors: u8,
    stride_bytes: u64,
    /// Differences from the rates below.
    rates: &'static str,
}

/// Cycles of the answers of each source, and the machine.
fn run(case: &Case) -> (Vec<Vec<u64>>, Machine) {
    let Case { sms, slices, reads, sectors, stride_bytes, rates } = case;
    let mut keys = [
        ("gpc_request_bytes_per_cycle", "1000.0"),
        ("gpc_response_bytes_per_cycle", "1000.0"),
        ("sm_response_bytes_per_cycle", "1000.0"),
        ("slice_bytes_per_cycle", "1000.0"),
        ("queue_entries", "512"),
        ("partitions", "1"),
    ];
    for (key, value) in rates.split_terminator(' ').map(|rate| rate.split_once('=').unwrap()) {
        keys.iter_mut().find(|(known, _)| *known == key).unwrap().1 = value;
    }
    let keys: String = keys.iter().map(|(key, value)| format!("{key} = {value}\n")).collect();
    let text = format!(
        "[clock.core]\nmhz = 1000\n\
         [part.sm]\nkind = \"test.source\"\nclock = \"core\"\ncount = {sms}\nreads = {reads}\nsectors = {sectors}\n\
         stride_bytes = {stride_bytes}\n\
         [part.l2]\nkind = \"test.echo\"\nclock = \"core\"\ncount = {slices}\n\
         [part.noc]\nkind = \"noc.crossbar\"\nclock = \"core\"\ngpcs = 2\nslice_granule_bytes = 128\n\
         request_latency_cycles = 20\nresponse_latency_cycles = 30\nheader_bytes = 8\n{keys}\
         [[link]]\nfrom = \"sm.req\"\nto = \"noc.req\"\nlatency_cycles = 3\n\
         [[link]]\nfrom = \"noc.resp\"\nto = \"sm.resp\"\nlatency_cycles = 4\n\
         [[link]]\nfrom = \"noc.mem_req\"\nto = \"l2.req\"\nlatency_cycles = 5\n\
         [[link]]\nfrom = \"l2.resp\"\nto = \"noc.mem_resp\"\nlatency_cycles = 6\n"
    );
    let file = MachineFile::parse("test.toml", &text).unwrap();
    let mut kinds = Registry::new();
    kinds.add::<Source>().add::<Echo>().add::<Crossbar>();
    let mut machine =
        Machine::build(&file, &kinds, Resources::new(), Plan::serial()).unwrap_or_else(|errors| panic!("{errors:?}"));
    machine.run(StopAt::WorkDone, &mut |_| {}).unwrap_or_else(|error| panic!("{error}"));
    let answered = (0..*sms).map(|sm| machine.component::<Source>("sm", sm).unwrap().answered.clone()).collect();
    (answered, machine)
}

#[test]
fn an_unloaded_answer_takes_links_and_latencies() {
    let (answered, _) = run(&Case { sms: 2, slices: 3, reads: 1, sectors: 1, stride_bytes: 128, rates: "" });
    assert_eq!(answered, [[3 + 20 + 5 + 6 + 30 + 4], [3 + 20 + 5 + 6 + 30 + 4]]);
}

/// One rate at a time holds all up: bytes over the rate are the cycles that the answers take.
#[test]
fn each_rate_spaces_the_answers() {
    for (rates, cycles_of_all) in [
        // 64 bytes a cycle from the one slice: 8 sources × 100 × 64 bytes.
        ("slice_bytes_per_cycle=64.0", 800),
        // To each SM half a packet a cycle.
        ("sm_response_bytes_per_cycle=32.0", 200),
        // To each GPC of 4 SMs one a cycle.
        ("gpc_response_bytes_per_cycle=64.0", 400),
        // Requests count as their headers: one a cycle from 4 SMs.
        ("gpc_request_bytes_per_cycle=8.0", 400),
    ] {
        let case = Case { sms: 8, slices: 1, reads: 100, sectors: 0b11, stride_bytes: 0, rates };
        let (answered, _) = run(&case);
        let first = answered.iter().map(|cycles| cycles[0]).min().unwrap();
        let last = answered.iter().map(|cycles| *cycles.last().unwrap()).max().unwrap();
        let cycles = last - first + 1;
        assert!(cycles.abs_diff(cycles_of_all) <= cycles_of_all / 50 + 2, "{rates}: {cycles}, not {cycles_of_all}");
    }
}

/// All want the one slice: at any time each has got as much as the others.
#[test]
fn sources_are_served_in_turn() {
    let rates = "slice_bytes_per_cycle=32.0 queue_entries=4";
    let (answered, machine) = run(&Case { sms: 5, slices: 1, reads: 60, sectors: 1, stride_bytes: 0, rates });
    let last: Vec<u64> = answered.iter().map(|cycles| *cycles.last().unwrap()).collect();
    // Four packets pass every 20 cycles; nobody is behind by more than such a round.
    assert!(last.iter().max().unwrap() - last.iter().min().unwrap() <= 20, "{last:?}");
    let stats = machine.report(Detail::Parts);
    for way in ["requests", "responses"] {
        assert_eq!(stats.value(&format!("noc.{way}.packets")), Some(300));
        assert_eq!(stats.value(&format!("noc.{way}.packets_in_flight")), Some(0));
    }
    assert_eq!(stats.value("noc.responses.bytes"), Some(300 * 32));
    assert_eq!(stats.value("noc.requests.bytes"), Some(300 * 8));
}

/// No stride of a power of two leaves slices idle, also where their number is none.
#[test]
fn strides_spread_over_all_slices() {
    for slices in [44, 48, 80, 96] {
        for shift in [7, 8, 10, 12, 16, 20] {
            let case =
                Case { sms: 1, slices, reads: 40 * slices as u64, sectors: 1, stride_bytes: 1 << shift, rates: "" };
            let (_, machine) = run(&case);
            let taken: Vec<u64> =
                (0..slices).map(|slice| machine.component::<Echo>("l2", slice).unwrap().taken).collect();
            // 40 each on average; six standard deviations of a random spread.
            assert!(
                taken.iter().all(|&taken| (4..=80).contains(&taken)),
                "{slices} slices, stride 2^{shift}: {taken:?}"
            );
        }
    }
}

/// With two partitions, the first SMs speak to the first half of the slices and the others to the second.
#[test]
fn an_sm_speaks_to_its_own_partition() {
    let case = Case { sms: 1, slices: 8, reads: 400, sectors: 1, stride_bytes: 128, rates: "partitions=2" };
    let (_, machine) = run(&case);
    let taken: Vec<u64> = (0..8).map(|slice| machine.component::<Echo>("l2", slice).unwrap().taken).collect();
    assert_eq!(taken, [100, 100, 100, 100, 0, 0, 0, 0]);
}
