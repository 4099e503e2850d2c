//! Credits, clocks, the end of a run, deadlock, background activity: one small machine each.

mod support;

use sim_core::{
    Activity, BuildError, Component, Cx, Cycle, Detail, Femtos, In, Lack, Out, Payload, Plan, Registry, RunError, Site,
    StatsNode, StopAt, StopReason,
};
use support::build_with;

#[derive(Clone, Copy, serde::Serialize, serde::Deserialize)]
struct Parcel(u64);

impl Payload for Parcel {
    const NAME: &'static str = "parcel";
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct SourceSpec {
    parcels: u64,
}

/// Sends parcels as fast as there is room, stamped with the cycle, and sleeps for nothing but credits.
struct Source {
    left: u64,
    out: Out<Parcel>,
    sent_at: Vec<u64>,
    ticks: u64,
}

sim_core::saved!(Source { state: left, sent_at, ticks; rebuilt: out });

impl Component for Source {
    const KIND: &'static str = "test.source";
    type Spec = SourceSpec;

    fn build(spec: SourceSpec, site: &mut Site<'_>) -> Result<Source, BuildError> {
        Ok(Source { left: spec.parcels, out: site.output("out"), sent_at: Vec::new(), ticks: 0 })
    }

    fn tick(&mut self, cx: &mut Cx<'_>) -> Activity {
        self.ticks += 1;
        if self.left > 0 && cx.room(self.out) > 0 {
            self.left -= 1;
            self.sent_at.push(cx.now().0);
            cx.send(self.out, Parcel(cx.time().0));
        }
        match (self.left, cx.room(self.out)) {
            (0, _) => Activity::DONE,
            (_, 0) => Activity::credit(),
            _ => Activity::BUSY,
        }
    }

    fn report(&self, _: Cycle, _: &mut StatsNode) {}
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct SinkSpec {
    capacity: u16,
    parcels: u32,
    pace_cycles: u64,
}

/// Takes a parcel every `pace_cycles` and holds the work of all that are to come.
struct Sink {
    input: In<Parcel>,
    pace_cycles: u64,
    ready_at: u64,
    taken_at: Vec<(u64, u64)>,
}

sim_core::saved!(Sink { state: ready_at, taken_at; rebuilt: input, pace_cycles });

impl Component for Sink {
    const KIND: &'static str = "test.sink";
    type Spec = SinkSpec;

    fn build(spec: SinkSpec, site: &mut Site<'_>) -> Result<Sink, BuildError> {
        site.foreground(spec.parcels);
        let input = site.input("in", spec.capacity);
        Ok(Sink { input, pace_cycles: spec.pace_cycles, ready_at: 0, taken_at: Vec::new() })
    }

    fn tick(&mut self, cx: &mut Cx<'_>) -> Activity {
        let now = cx.now().0;
        let ready = now >= self.ready_at;
        if let Some(Parcel(sent)) = cx.peek(self.input).copied().filter(|_| ready) {
            cx.take(self.input);
            self.taken_at.push((sent, now));
            self.ready_at = now + self.pace_cycles;
            cx.end_work(1);
        }
        if cx.is_empty(self.input) { Activity::input() } else { Activity::until(Cycle(self.ready_at)) }
    }

    fn report(&self, at: Cycle, out: &mut StatsNode) {
        out.counter("taken", self.taken_at.len() as u64, "parcels");
        out.counter("cycles", at.0, "cycles");
    }
}

/// Refreshes for ever, in the background, and counts.
struct Refresher {
    period_cycles: u64,
    refreshes: u64,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct RefresherSpec {
    period_cycles: u64,
}

sim_core::saved!(Refresher { state: refreshes; rebuilt: period_cycles });

impl Component for Refresher {
    const KIND: &'static str = "test.refresher";
    type Spec = RefresherSpec;

    fn build(spec: RefresherSpec, _: &mut Site<'_>) -> Result<Refresher, BuildError> {
        Ok(Refresher { period_cycles: spec.period_cycles, refreshes: 0 })
    }

    fn tick(&mut self, cx: &mut Cx<'_>) -> Activity {
        if cx.now().0 >= (self.refreshes + 1) * self.period_cycles {
            self.refreshes += 1;
        }
        Activity::until(Cycle((self.refreshes + 1) * self.period_cycles)).background()
    }

    fn report(&self, _: Cycle, out: &mut StatsNode) {
        out.counter("refreshes", self.refreshes, "refreshes");
    }
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct ForwarderSpec {
    starts_with: u32,
}

/// Takes a parcel only when it can send two on: a careless component that can lock up in a ring.
struct Forwarder {
    input: In<Parcel>,
    out: Out<Parcel>,
    to_start: u32,
    held: u32,
}

sim_core::saved!(Forwarder { state: to_start, held; rebuilt: input, out });

impl Component for Forwarder {
    const KIND: &'static str = "test.forwarder";
    type Spec = ForwarderSpec;

    fn build(spec: ForwarderSpec, site: &mut Site<'_>) -> Result<Forwarder, BuildError> {
        site.foreground(1);
        Ok(Forwarder { input: site.input("in", 2), out: site.output("out"), to_start: spec.starts_with, held: 0 })
    }

    fn tick(&mut self, cx: &mut Cx<'_>) -> Activity {
        self.held += std::mem::take(&mut self.to_start);
        while self.held > 0 && cx.room(self.out) > 0 {
            self.held -= 1;
            cx.send(self.out, Parcel(0));
        }
        if self.held == 0 && cx.take(self.input).is_some() {
            self.held += 2;
            return Activity::BUSY;
        }
        if self.held > 0 { Activity::credit() } else { Activity::input() }
    }

    fn report(&self, _: Cycle, _: &mut StatsNode) {}

    fn waiting(&self) -> Option<String> {
        (self.held > 0).then(|| format!("{} parcels to send on", self.held))
    }
}

fn kinds() -> Registry {
    let mut kinds = Registry::new();
    kinds.add::<Source>().add::<Sink>().add::<Refresher>().add::<Forwarder>();
    kinds
}

fn line(mhz: [u64; 2], parcels: u64, capacity: u16, pace: u64, latency: u32, refresh: u64) -> String {
    format!(
        "[clock.fast]\nmhz = {}\n[clock.slow]\nmhz = {}\n\
         [part.source]\nkind = \"test.source\"\nclock = \"fast\"\nparcels = {parcels}\n\
         [part.sink]\nkind = \"test.sink\"\nclock = \"slow\"\ncapacity = {capacity}\nparcels = {parcels}\npace_cycles = {pace}\n\
         [part.dram]\nkind = \"test.refresher\"\nclock = \"slow\"\ncount = 4\nperiod_cycles = {refresh}\n\
         [[link]]\nfrom = \"source.out\"\nto = \"sink.in\"\nlatency_cycles = {latency}\n",
        mhz[0], mhz[1]
    )
}

#[test]
fn a_sleeping_component_is_woken_by_its_credit() {
    // One slot, latency 3, credit back after 3: sent at 0, taken at 3, the credit is back at 6.
    let mut machine = build_with(&line([1000, 1000], 4, 1, 1, 3, 1_000), &kinds(), Plan::serial());
    let outcome = machine.run(StopAt::WorkDone, &mut |_| {}).unwrap();
    let source = machine.component::<Source>("source", 0).unwrap();
    assert_eq!(source.sent_at, [0, 6, 12, 18]);
    assert_eq!(source.ticks, 4, "it slept in between");
    assert_eq!(outcome.time, Femtos::from_ns(21));
}

#[test]
fn credits_arrive_in_the_clock_of_the_sender() {
    // The sink takes at 1 ns edges 3, …; three cycles of 2 GHz after 3 ns are edges 6 + 3 = 9 of the source.
    let mut machine = build_with(&line([2000, 1000], 2, 1, 1, 3, 1_000), &kinds(), Plan::serial());
    machine.run(StopAt::WorkDone, &mut |_| {}).unwrap();
    assert_eq!(machine.component::<Source>("source", 0).unwrap().sent_at, [0, 9]);
}

#[test]
fn crossing_between_unrelated_clocks_arrives_on_the_right_edge() {
    for latency in [1, 2, 7] {
        for mhz in [[1755, 1000], [1000, 1755], [400, 1593], [1000, 1000]] {
            let mut machine = build_with(&line(mhz, 200, 64, 1, latency, 1_000), &kinds(), Plan::serial());
            machine.run(StopAt::WorkDone, &mut |_| {}).unwrap();
            let edge = |n: u64| (u128::from(n) * 1_000_000_000 / u128::from(mhz[1])) as u64;
            // A parcel may wait its turn in the FIFO, so look at those that came into an empty one.
            let taken = &machine.component::<Sink>("sink", 0).unwrap().taken_at;
            let mut free_from = 0;
            for &(sent, at) in taken {
                let first_after = (0..).find(|n| edge(*n) > sent).unwrap();
                let due = first_after + u64::from(latency) - 1;
                assert_eq!(at, due.max(free_from), "sent at {sent} fs, {mhz:?} MHz, latency {latency}");
                free_from = at + 1;
            }
            assert_eq!(taken.len(), 200);
        }
    }
}

#[test]
fn a_change_of_frequency_holds_from_the_next_edge() {
    let mut machine = build_with(&line([1000, 1000], 40, 64, 1, 1, 1_000), &kinds(), Plan::serial());
    machine.run(StopAt::Time(Femtos::from_ns(10)), &mut |_| {}).unwrap();
    machine.set_frequency("slow", 500_000_000).unwrap();
    machine.run(StopAt::WorkDone, &mut |_| {}).unwrap();
    let sink = machine.component::<Sink>("sink", 0).unwrap();
    // Edge 11 is still at 11 ns, then one every 2 ns: parcel k is taken in cycle k + 1 throughout.
    assert_eq!(sink.taken_at.last().unwrap().1, 40);
    assert_eq!(machine.time(), Femtos::from_ns(11 + 2 * 29));
    let unknown = machine.set_frequency("medium", 1).unwrap_err();
    assert_eq!(unknown.to_string(), "there is no clock `medium`; the machine has fast, slow");
}

#[test]
fn the_stop_cycle_and_the_counters_do_not_depend_on_shards() {
    // The windows are 50 cycles long; the last parcel is taken in the middle of one, and refreshes go on beside it.
    let text = line([1000, 1000], 7, 8, 13, 50, 3);
    for shards in [1, 2, 4] {
        let mut machine = build_with(&text, &kinds(), Plan { shards, ..Plan::serial() });
        let outcome = machine.run(StopAt::WorkDone, &mut |_| {}).unwrap();
        assert_eq!((outcome.reason, outcome.time), (StopReason::WorkDone, Femtos::from_ns(50 + 6 * 13)));
        let report = machine.report(Detail::Components);
        for i in 0..4 {
            // Refreshes at 3, 6, … up to and including the stop cycle 128.
            assert_eq!(report.value(&format!("dram.dram[{i}].refreshes")), Some(128 / 3), "{shards} shards");
        }
        assert_eq!(report.value("sink.cycles"), Some(128));
    }
}

#[test]
fn background_neither_keeps_a_run_alive_nor_hides_a_deadlock() {
    // The sink waits for eight parcels, seven come.
    let text = line([1000, 1000], 7, 8, 13, 5, 3).replacen("parcels = 7\npace", "parcels = 8\npace", 1);
    for shards in [1, 2, 4] {
        let mut machine = build_with(&text, &kinds(), Plan { shards, ..Plan::serial() });
        let Err(RunError::Deadlock(report)) = machine.run(StopAt::WorkDone, &mut |_| {}) else {
            panic!("refreshes hide the deadlock");
        };
        assert_eq!(report.outstanding, [("sink".to_string(), 1)]);
        // Seven parcels, the last taken at 5 + 6 · 13.
        assert_eq!(report.time, Femtos::from_ns(83));
        assert_eq!(machine.report(Detail::Parts).value("dram.refreshes"), Some(4 * (83 / 3)), "{shards} shards");
    }
}

#[test]
fn a_time_limit_runs_background_to_the_limit() {
    let mut machine = build_with(&line([1000, 1000], 7, 8, 13, 5, 3), &kinds(), Plan::serial());
    let outcome = machine.run(StopAt::Time(Femtos::from_us(1)), &mut |_| {}).unwrap();
    assert_eq!((outcome.reason, outcome.time), (StopReason::TimeLimit, Femtos::from_us(1)));
    assert_eq!(machine.report(Detail::Parts).value("dram.refreshes"), Some(4 * (1_000 / 3)));
}

#[test]
fn deadlock_names_the_cycle_of_ports() {
    let mut text =
        "[clock.c]\nmhz = 1000\n[part.stop]\nkind = \"test.forwarder\"\nclock = \"c\"\ncount = 3\nstarts_with = 1\n"
            .to_string();
    for (from, to) in [(0, 1), (1, 2), (2, 0)] {
        text += &format!("[[link]]\nfrom = \"stop[{from}].out\"\nto = \"stop[{to}].in\"\nlatency_cycles = 2\n");
    }
    for shards in [1, 3] {
        let mut machine = build_with(&text, &kinds(), Plan { shards, ..Plan::serial() });
        let Err(RunError::Deadlock(report)) = machine.run(StopAt::WorkDone, &mut |_| {}) else {
            panic!("every forwarder makes two parcels of one: the ring must fill up");
        };
        let cycle: Vec<_> = report.cycle.iter().map(|w| (w.port.as_str(), w.other.as_str(), w.lacks)).collect();
        assert_eq!(
            cycle,
            [
                ("stop[0].out", "stop[1].in", Lack::Room),
                ("stop[1].out", "stop[2].in", Lack::Room),
                ("stop[2].out", "stop[0].in", Lack::Room)
            ]
        );
        assert!(report.cycle.iter().all(|w| w.oldest.as_deref().is_some_and(|o| o.ends_with("parcels to send on"))));
        let shown = report.to_string();
        assert!(shown.contains("stop[0].out has no room at stop[1].in; oldest: "), "{shown}");
        assert!(shown.contains("3 units of work are left"), "{shown}");
    }
}

#[test]
fn without_a_listener_nothing_is_collected() {
    let ring = support::Ring {
        left: 2,
        right: 2,
        fan: 1,
        words: 30,
        capacity: 2,
        pause_cycles: 3,
        refresh_cycles: 50,
        latencies: vec![2],
        mhz: [1000.0, 1000.0],
        seed: 3,
    };
    let mut machine = ring.build(Plan::serial());
    machine.run(StopAt::Time(Femtos::from_ns(20)), &mut |_| {}).unwrap();
    let late = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let sink = late.clone();
    machine.listen::<support::Heard>(move |s| sink.lock().unwrap().push(s.time));
    machine.run(StopAt::WorkDone, &mut |_| {}).unwrap();
    let late = late.lock().unwrap();
    assert!(!late.is_empty() && late.iter().all(|t| *t > Femtos::from_ns(20)), "{late:?}");
}
