//! Channels of one machine give the same result however the machine is split into shards: the digest of everything that
//! happened, the statistics, and the order in which the requester saw its answers.

use hbm::component::Channel;
use hbm::mapper::ChannelInterleave;
use proptest::prelude::*;
use protocol::{MemOp, MemRequest, MemResponse};
use serde::Deserialize;
use sim_core::stats::Histogram;
use sim_core::{
    Activity, BuildError, Component, Cx, Cycle, Femtos, In, Machine, MachineFile, Out, Plan, Registry, Resources, Site,
    StatsNode, StopAt,
};

/// Keeps a window of requests to all channels in flight. The next address depends on the answers seen so far, so that one
/// answer out of its cycle changes everything after it.
struct Requester {
    requests: Vec<Out<MemRequest>>,
    responses: Vec<In<MemResponse>>,
    spec: RequesterSpec,
    spread: ChannelInterleave,
    state: u64,
    sent: u64,
    answered: u64,
    latency: Histogram,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
struct RequesterSpec {
    channels: usize,
    requests: u64,
    window: u64,
    writes_percent: u64,
    seed: u64,
}

sim_core::saved!(Requester {
    state: state, sent, answered;
    parts: latency;
    rebuilt: requests, responses, spec, spread;
});

impl Component for Requester {
    const KIND: &'static str = "test.feedback_requester";
    type Spec = RequesterSpec;

    fn build(spec: RequesterSpec, site: &mut Site<'_>) -> Result<Self, BuildError> {
        site.foreground(1);
        let channels = spec.channels;
        Ok(Self {
            requests: site.outputs("req", channels),
            responses: site.inputs("resp", channels, 64),
            spread: ChannelInterleave::new(channels as u32, 256, true),
            state: spec.seed,
            spec,
            sent: 0,
            answered: 0,
            latency: Histogram::new("cycles"),
        })
    }

    fn tick(&mut self, cx: &mut Cx<'_>) -> Activity {
        for port in 0..self.responses.len() {
            while let Some(answer) = cx.take(self.responses[port]) {
                self.answered += 1;
                self.latency.record(answer.id ^ cx.now().0);
                self.state = self.state.wrapping_mul(6_364_136_223_846_793_005) ^ answer.id ^ (cx.now().0 << 20);
                if self.answered == self.spec.requests {
                    cx.end_work(1);
                }
            }
        }
        let RequesterSpec { requests, window, writes_percent, .. } = self.spec;
        if self.sent < requests && self.sent - self.answered < window {
            self.state = self.state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let address = (self.state >> 20) % (1 << 30) / 64 * 64;
            let port = self.requests[self.spread.split(address).0 as usize];
            if cx.room(port) > 0 {
                let op = if (self.state >> 8) % 100 < writes_percent { MemOp::Write } else { MemOp::Read };
                cx.send(port, MemRequest { id: self.sent, source: 0, address, bytes: 64, sectors: 3, op });
                self.sent += 1;
            }
        }
        if self.sent < requests && self.sent - self.answered < window { Activity::BUSY } else { Activity::input() }
    }

    fn report(&self, _: Cycle, out: &mut StatsNode) {
        out.counter("state", self.state, "hash");
        out.counter("answered", self.answered, "requests");
        out.histogram("latency", &self.latency);
    }
}

#[derive(Debug, Clone)]
struct Case {
    preset: &'static str,
    clock_mhz: u32,
    refresh: &'static str,
    requester: RequesterSpec,
}

fn cases() -> impl Strategy<Value = Case> {
    let preset = prop_oneof![Just(("hbm2-2000", 1000)), Just(("hbm3", 3200))];
    let refresh = prop_oneof![Just("per_bank"), Just("all_bank")];
    (2usize..=8, preset, refresh, 1u64..200, 0u64..60, any::<u32>()).prop_map(
        |(channels, (preset, clock_mhz), refresh, window, writes_percent, seed)| Case {
            preset,
            clock_mhz,
            refresh,
            requester: RequesterSpec { channels, requests: 1500, window, writes_percent, seed: seed.into() },
        },
    )
}

fn built(case: &Case, shards: usize, threads: usize) -> Machine {
    let RequesterSpec { channels, requests, window, writes_percent, seed } = case.requester;
    let (mhz, preset, refresh) = (case.clock_mhz, case.preset, case.refresh);
    let text = format!(
        "[clock.mem]\nmhz = {mhz}\n\
         [part.source]\nkind = \"test.feedback_requester\"\nclock = \"mem\"\n\
         channels = {channels}\nrequests = {requests}\nwindow = {window}\nwrites_percent = {writes_percent}\nseed = {seed}\n\
         [part.hbm]\nkind = \"hbm.channel\"\nclock = \"mem\"\ncount = {channels}\npreset = \"{preset}\"\n\
         interleave = \"hashed\"\ninterleave_granule_bytes = 256\npolicy = {{ refresh = \"{refresh}\" }}\n\
         [[link]]\nfrom = \"source.req[0..{channels}]\"\nto = \"hbm.req\"\nlatency_cycles = 9\n\
         [[link]]\nfrom = \"hbm.resp\"\nto = \"source.resp[0..{channels}]\"\nlatency_cycles = 11\n"
    );
    let file = MachineFile::parse("test.toml", &text).unwrap();
    let mut kinds = Registry::new();
    kinds.add::<Requester>().add::<Channel>();
    let plan = Plan { shards, threads, ..Plan::serial() };
    Machine::build(&file, &kinds, Resources::new(), plan).unwrap_or_else(|e| panic!("{e:?}"))
}

/// Digest, end of the run, what the requester saw.
fn run(case: &Case, shards: usize, threads: usize) -> (String, String, u64) {
    let RequesterSpec { channels, requests, .. } = case.requester;
    let mut machine = built(case, shards, threads);
    let outcome = machine.run(StopAt::WorkDone, &mut |_| {}).unwrap();
    assert_eq!(outcome.shards.len(), shards.min(channels), "the machine is really split");
    let seen = machine.component::<Requester>("source", 0).unwrap();
    assert_eq!(seen.answered, requests);
    let state = seen.state;
    (machine.digest().to_hex().to_string(), format!("{:?}", outcome.time), state)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_sharding_gives_the_same_result(case in cases()) {
        let reference = run(&case, 1, 1);
        for (shards, threads) in [(2, 1), (2, 2), (4, 2)] {
            prop_assert_eq!(&run(&case, shards, threads), &reference, "{} shards, {} threads", shards, threads);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn channels_go_on_where_they_were_saved(case in cases(), share in 0.0_f64..1.0, from in 1usize..4, to in 1usize..9) {
        let reference = run(&case, 1, 1);
        let mut whole = built(&case, 1, 1);
        let end = whole.run(StopAt::WorkDone, &mut |_| {}).unwrap().time;
        let mut machine = built(&case, from, 1);
        let by = Femtos((end.0 as f64 * share) as u64);
        machine.run(StopAt::WorkDoneBy(by), &mut |_| {}).unwrap();
        let state = machine.save();
        let mut other = built(&case, to, 1);
        other.load(&state).unwrap();
        prop_assert_eq!(other.digest(), machine.digest());
        let outcome = other.run(StopAt::WorkDone, &mut |_| {}).unwrap();
        prop_assert_eq!(outcome.time, end);
        prop_assert_eq!(&other.digest().to_hex().to_string(), &reference.0, "saved at {}", by);
        prop_assert_eq!(other.component::<Requester>("source", 0).unwrap().state, reference.2);
    }
}

/// The digest does tell runs apart: another seed, another result.
#[test]
fn the_digest_is_of_the_run() {
    let requester = RequesterSpec { channels: 4, requests: 300, window: 16, writes_percent: 20, seed: 1 };
    let case = Case { preset: "hbm3", clock_mhz: 3200, refresh: "per_bank", requester };
    let other = Case { requester: RequesterSpec { seed: 2, ..requester }, ..case.clone() };
    assert_ne!(run(&case, 1, 1).0, run(&other, 1, 1).0);
}
