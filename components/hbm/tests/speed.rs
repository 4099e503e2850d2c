//! Simulation speed on the golden points against the recorded figures of Ramulator 2, in CPU time of one thread.
//!
//! `cargo test --release -p hbm --test speed -- --ignored --nocapture` prints the table; with `ORRERY_SPEED_TABLE=FILE` it is
//! written as csv.

mod common;

use std::fmt::Write as _;

use common::{preset, suite};
use hbm::bank::Tick;
use hbm::component::Channel;
use hbm::controller::Controller;
use hbm::generator::{Generated, RequestStream};
use hbm::golden::run_case;
use hbm::mapper::{FieldMap, FieldOrder};
use hbm::native::{Native, Policy};
use hbm::request::{Admission, Request, Until};
use hbm::workload::Workload;
use protocol::{MemOp, MemRequest, MemResponse};
use sim_core::{
    Activity, BuildError, Component, Cx, Cycle, In, Machine, MachineFile, Out, Plan, Registry, Resources, Site,
    StatsNode, StopAt,
};

/// CPU time of one measurement.
const LEAST_SECONDS: f64 = 0.2;

/// CPU seconds of this thread so far, from the scheduler's own count.
fn cpu_seconds() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    text.split_whitespace().next().unwrap().parse::<f64>().unwrap() / 1e9
}

#[test]
#[ignore = "measures speed; run in release on a quiet machine"]
fn golden_points_against_ramulator2() {
    let suite = suite();
    let mut table = String::from("case,requests_per_cpu_second,ramulator2_requests_per_cpu_second,ratio\n");
    let mut ratios = Vec::new();
    for case in &suite.cases {
        let (golden, preset) = (&suite.policies[&case.policy], preset(&case.machine));
        // The scheduler counts in steps of a few milliseconds: enough runs that a step is 2 % of their time.
        let (start, mut runs) = (cpu_seconds(), 0u32);
        let seconds = loop {
            run_case(&preset, golden, &case.workload).unwrap();
            runs += 1;
            let spent = cpu_seconds() - start;
            if spent >= LEAST_SECONDS {
                break spent / f64::from(runs);
            }
        };
        let rate = case.workload.stream.requests as f64 / seconds;
        let peer = suite.peer_speed[&case.name];
        writeln!(table, "{},{rate:.0},{peer:.0},{:.2}", case.name, rate / peer).unwrap();
        ratios.push((rate / peer, case.name.clone()));
    }
    print!("{table}");
    if let Ok(path) = std::env::var("ORRERY_SPEED_TABLE") {
        std::fs::write(path, &table).unwrap();
    }
    ratios.sort_by(|a, b| a.0.total_cmp(&b.0));
    let median = ratios[ratios.len() / 2].0;
    println!("median {median:.1}x, lowest {:?}", &ratios[..5]);
    assert!(median >= 10.0 && ratios[0].0 >= 5.0);
}

/// 80 channels of HBM3 kept full, one thread: ticks of the whole stack a CPU second.
#[test]
#[ignore = "measures speed; run in release on a quiet machine"]
fn eighty_saturated_channels() {
    let preset = preset("stacks/h100-sxm");
    let mut slow = Vec::new();
    for (name, at_least) in [("seq_read", 100_000.0), ("rand_read", 100_000.0), ("line128_rw21", 50_000.0)] {
        let ticks: Tick = 40_000;
        // The stream is the source's work, not the memory's: made before the clock starts. A channel takes at most one
        // access of each pseudo channel in four ticks.
        let accesses = ticks as usize / 2 + 512;
        let mut channels: Vec<(Native, Vec<Request>)> = (0..80)
            .map(|seed| {
                let (controller, stream) = channel(&preset, name, seed);
                let request = |r: Generated| Request { id: r.index, address: r.address, op: r.op };
                (controller, stream.take(accesses).map(request).collect())
            })
            .collect();
        let start = cpu_seconds();
        let mut done = Vec::new();
        for (controller, requests) in &mut channels {
            saturate(controller, requests, ticks, &mut done);
        }
        let rate = ticks as f64 / (cpu_seconds() - start);
        println!("{name}: {rate:.0} ticks of 80 channels a CPU second");
        if rate < at_least {
            slow.push(name);
        }
    }
    assert!(slow.is_empty(), "below the bound: {slow:?}");
}

fn channel(preset: &hbm::preset::Preset, name: &str, seed: u64) -> (Native, RequestStream) {
    let workload: Workload = format!("{name} requests=1000000000 seed={}", seed + 1).parse().unwrap();
    let order = FieldOrder::named(FieldMap::RoBaRaCoCh, &preset.organisation);
    let stream = RequestStream::new(workload.stream, order, preset.organisation.access_bytes);
    (Native::new(preset, &Policy::default(), ()).unwrap(), stream)
}

/// Offers requests as fast as they are taken, up to a tick.
fn saturate(controller: &mut Native, requests: &[Request], ticks: Tick, done: &mut Vec<hbm::request::Completion>) {
    for request in requests {
        while controller.enqueue(*request) == Admission::Refused {
            controller.run(ticks, Until::Space(request.op), done);
            done.clear();
            if controller.now() >= ticks {
                return;
            }
        }
    }
    panic!("the stream ended at tick {}", controller.now());
}

/// The channels of an H100 as components, each with a source of its own, on one shard and on two: same answers, and the bound
/// on the speed-up (CPU time of all over that of the slower shard).
#[test]
#[ignore = "measures speed; run in release on a quiet machine"]
fn two_shards_share_the_channels() {
    let run = |shards: usize, threads: usize| {
        let text = "[clock.mem]\nmhz = 2617.2\n\
            [part.source]\nkind = \"test.source\"\nclock = \"mem\"\ncount = 80\n\
            [part.hbm]\nkind = \"hbm.channel\"\nclock = \"mem\"\ncount = 80\npreset = \"stacks/h100-sxm\"\n\
            interleave = \"local\"\ninterleave_granule_bytes = 256\n\
            [[link]]\nfrom = \"source.req\"\nto = \"hbm.req\"\nlatency_cycles = 40\n\
            [[link]]\nfrom = \"hbm.resp\"\nto = \"source.resp\"\nlatency_cycles = 40\n";
        let file = MachineFile::parse("test.toml", text).unwrap();
        let mut kinds = Registry::new();
        kinds.add::<Source>().add::<Channel>();
        let plan = Plan { shards, threads, ..Plan::serial() };
        let mut machine = Machine::build(&file, &kinds, Resources::new(), plan).unwrap();
        let start = std::time::Instant::now();
        let outcome = machine.run(StopAt::WorkDone, &mut |_| {}).unwrap();
        (outcome, start.elapsed().as_secs_f64())
    };
    let (one, wall_one) = run(1, 1);
    let (two, wall_two) = run(2, 2);
    assert_eq!(one.time, two.time);
    let total = one.critical_cpu_ns as f64;
    let bound = total / two.critical_cpu_ns as f64;
    println!(
        "one shard {wall_one:.2} s wall, two shards {wall_two:.2} s wall; bound {bound:.2}x, windows {}",
        two.windows
    );
    assert!(bound >= 1.7, "{bound}");
}

/// Reads 128-byte lines in order, as fast as there is room.
struct Source {
    request: Out<MemRequest>,
    response: In<MemResponse>,
    sent: u64,
    answered: u64,
}

const LINES: u64 = 4000;

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct SourceSpec {}

sim_core::saved!(Source { state: sent, answered; rebuilt: request, response });

impl Component for Source {
    const KIND: &'static str = "test.source";
    type Spec = SourceSpec;

    fn build(_: SourceSpec, site: &mut Site<'_>) -> Result<Self, BuildError> {
        site.foreground(1);
        Ok(Self { request: site.output("req"), response: site.input("resp", 128), sent: 0, answered: 0 })
    }

    fn tick(&mut self, cx: &mut Cx<'_>) -> Activity {
        while cx.take(self.response).is_some() {
            self.answered += 1;
            if self.answered == LINES {
                cx.end_work(1);
            }
        }
        while self.sent < LINES && cx.room(self.request) > 0 {
            let id = self.sent;
            let request = MemRequest { id, source: 0, address: id * 128, bytes: 128, sectors: 15, op: MemOp::Read };
            cx.send(self.request, request);
            self.sent += 1;
        }
        if self.sent < LINES { Activity::input().or_credit() } else { Activity::input() }
    }

    fn report(&self, _: Cycle, _: &mut StatsNode) {}
}
