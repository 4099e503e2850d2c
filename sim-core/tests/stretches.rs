//! Working through several cycles in one go cannot be seen: in no result, no fact, no saved state and at no stop.

mod support;

use proptest::prelude::*;
use sim_core::{
    Activity, BuildError, Component, Cx, Cycle, Femtos, In, Machine, Out, Plan, Registry, Rng, Site, StatsNode, StopAt,
};
use std::sync::{Arc, Mutex};
use support::{Heard, Talker, Word, build_with, result};

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct DeskSpec {
    workers: usize,
    jobs: u32,
    pause_cycles: u64,
    capacity: u16,
    refresh_cycles: u64,
}

/// Hands jobs out to random workers, which it holds as work until they are done, and refreshes something meanwhile.
struct Desk {
    spec: DeskSpec,
    rng: Rng,
    outputs: Vec<Out<Word>>,
    inputs: Vec<In<Word>>,
    given: u32,
    done: u32,
    next_job: u64,
    next_refresh: u64,
    refreshes: u64,
    checksum: u64,
}

sim_core::saved!(Desk { state: rng, given, done, next_job, next_refresh, refreshes, checksum; rebuilt: spec, outputs, inputs; });

impl Component for Desk {
    const KIND: &'static str = "test.desk";
    type Spec = DeskSpec;

    fn build(spec: DeskSpec, site: &mut Site<'_>) -> Result<Desk, BuildError> {
        site.foreground(spec.jobs);
        Ok(Desk {
            rng: site.rng(),
            outputs: site.outputs("out", spec.workers),
            inputs: site.inputs("in", spec.workers, spec.capacity),
            given: 0,
            done: 0,
            next_job: 0,
            next_refresh: spec.refresh_cycles,
            refreshes: 0,
            checksum: 0,
            spec,
        })
    }

    fn tick(&mut self, cx: &mut Cx<'_>) -> Activity {
        let now = cx.now().0;
        for &input in &self.inputs {
            while let Some(word) = cx.take(input) {
                self.checksum = self.checksum.rotate_left(5) ^ u64::from(word.speaker * 7 + word.number) ^ now;
                self.done += 1;
                cx.end_work(1);
            }
        }
        while now >= self.next_refresh {
            self.refreshes += 1;
            self.next_refresh += self.spec.refresh_cycles;
        }
        let mut blocked = false;
        if self.given < self.spec.jobs && now >= self.next_job {
            let to = self.outputs[self.given as usize % self.outputs.len()];
            if cx.room(to) > 0 {
                let weight = self.rng.below(30) as u32;
                cx.send(to, Word { speaker: self.given, number: self.given, weight });
                self.given += 1;
                self.next_job = now + 1 + self.rng.below(self.spec.pause_cycles);
            } else {
                blocked = true;
            }
        }
        match self.given < self.spec.jobs {
            true if blocked => Activity::input().or_credit(),
            true => Activity::input().or_until(Cycle(self.next_job.min(self.next_refresh))),
            false => Activity::input().or_until(Cycle(self.next_refresh)).background(),
        }
    }

    fn report(&self, at: Cycle, out: &mut StatsNode) {
        out.counter("cycles", at.0, "cycles");
        out.counter("done", self.done.into(), "jobs");
        out.counter("refreshes", self.refreshes, "refreshes");
        out.counter("checksum", self.checksum & 0xffff_ffff, "");
    }
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct WorkerSpec {
    capacity: u16,
}

/// Does one job after the other, tells its neighbour in between, and then the desk.
struct Worker {
    id: u32,
    job: In<Word>,
    done: Out<Word>,
    told: In<Word>,
    tells: Out<Word>,
    doing: Option<(u64, Word)>,
    finished: Option<Word>,
    ticks_with_effect: u64,
    checksum: u64,
}

sim_core::saved!(Worker { state: doing, finished, ticks_with_effect, checksum; rebuilt: id, job, done, told, tells; });

impl Worker {
    /// What one cycle does, and the next in which it does something without being told.
    fn cycle(&mut self, cx: &mut Cx<'_>) -> (Option<u64>, bool) {
        let now = cx.now().0;
        let mut effect = false;
        while let Some(word) = cx.take(self.told) {
            self.checksum = self.checksum.wrapping_mul(31) ^ u64::from(word.speaker) ^ now;
            effect = true;
        }
        if self.doing.is_none()
            && self.finished.is_none()
            && let Some(word) = cx.take(self.job)
        {
            self.doing = Some((now + u64::from(word.weight), word));
            effect = true;
        }
        if let Some((until, word)) = self.doing.filter(|(until, _)| *until <= now) {
            self.checksum ^= cx.time().0 ^ until;
            (self.doing, self.finished) = (None, Some(word));
            if cx.room(self.tells) > 0 {
                cx.send(self.tells, Word { speaker: self.id, ..word });
            }
        }
        if let Some(word) = self.finished
            && cx.room(self.done) > 0
        {
            cx.send(self.done, word);
            cx.emit(Heard { speaker: self.id, number: word.number });
            self.finished = None;
            effect = true;
        }
        self.ticks_with_effect += u64::from(effect);
        let waits = self.doing.is_none() && self.finished.is_none() && !cx.is_empty(self.job);
        let next = self.doing.map(|(until, _)| until.max(now + 1)).or(waits.then_some(now + 1));
        (next, self.finished.is_some())
    }
}

impl Component for Worker {
    const KIND: &'static str = "test.worker";
    const STRETCHES: bool = true;
    type Spec = WorkerSpec;

    fn build(spec: WorkerSpec, site: &mut Site<'_>) -> Result<Worker, BuildError> {
        Ok(Worker {
            id: site.component_id().0,
            job: site.input("job", spec.capacity),
            done: site.output("done"),
            told: site.input("told", spec.capacity),
            tells: site.output("tells"),
            doing: None,
            finished: None,
            ticks_with_effect: 0,
            checksum: 0,
        })
    }

    fn tick(&mut self, cx: &mut Cx<'_>) -> Activity {
        loop {
            let (next, blocked) = self.cycle(cx);
            match next {
                Some(next) if !blocked && cx.go_on(Cycle(next)) => {}
                Some(next) if blocked => return Activity::input().or_until(Cycle(next)).or_credit(),
                Some(next) => return Activity::input().or_until(Cycle(next)),
                None if blocked => return Activity::input().or_credit(),
                None => return Activity::input(),
            }
        }
    }

    fn report(&self, at: Cycle, out: &mut StatsNode) {
        out.counter("cycles", at.0, "cycles");
        out.counter("ticks_with_effect", self.ticks_with_effect, "ticks");
        out.counter("checksum", (self.checksum ^ self.checksum >> 32) & 0xffff_ffff, "");
    }
}

/// A desk with its workers, and a pair of talkers on another clock.
#[derive(Debug)]
struct Office {
    workers: usize,
    jobs: u32,
    pause_cycles: u64,
    refresh_cycles: u64,
    capacity: u16,
    latencies: [u32; 3],
    mhz: f64,
    seed: u64,
}

fn office() -> impl Strategy<Value = Office> {
    let shape = (2_usize..9, 1_u32..60, 1_u64..20, 5_u64..90, 1_u16..6);
    // Below four cycles nobody stays behind.
    let wires = prop_oneof![[2_u32..4, 2_u32..20, 2_u32..20], [4_u32..30, 4_u32..30, 4_u32..30]];
    let rest = (prop_oneof![Just(1000.0), Just(1593.0)], any::<u64>());
    (shape, wires, rest).prop_map(
        |((workers, jobs, pause_cycles, refresh_cycles, capacity), latencies, (mhz, seed))| Office {
            workers,
            jobs,
            pause_cycles,
            refresh_cycles,
            capacity,
            latencies,
            mhz,
            seed: seed >> 1,
        },
    )
}

impl Office {
    fn build(&self, shards: usize, stretches: bool) -> Machine {
        let Office { workers, jobs, pause_cycles, refresh_cycles, capacity, latencies: [to, from, aside], mhz, seed } =
            self;
        let mut text = format!(
            "seed = {seed}\n[clock.a]\nmhz = 1000\n[clock.b]\nmhz = {mhz:?}\n\
             [part.desk]\nkind = \"test.desk\"\nclock = \"a\"\nworkers = {workers}\njobs = {jobs}\npause_cycles = {pause_cycles}\n\
             capacity = {capacity}\nrefresh_cycles = {refresh_cycles}\n\
             [part.worker]\nkind = \"test.worker\"\nclock = \"a\"\ncount = {workers}\ncapacity = {capacity}\n\
             [part.talker]\nkind = \"test.talker\"\nclock = \"b\"\ncount = 2\nfan = 1\nwords = {jobs}\ncapacity = 2\n\
             pause_cycles = {pause_cycles}\nrefresh_cycles = {refresh_cycles}\n"
        );
        for i in 0..*workers {
            let next = (i + 1) % workers;
            text += &format!(
                "[[link]]\nfrom = \"desk.out[{i}]\"\nto = \"worker[{i}].job\"\nlatency_cycles = {to}\n\
                 [[link]]\nfrom = \"worker[{i}].done\"\nto = \"desk.in[{i}]\"\nlatency_cycles = {from}\n\
                 [[link]]\nfrom = \"worker[{i}].tells\"\nto = \"worker[{next}].told\"\nlatency_cycles = {aside}\n"
            );
        }
        for i in 0..2 {
            let other = 1 - i;
            text += &format!(
                "[[link]]\nfrom = \"talker[{i}].out[0]\"\nto = \"talker[{other}].in[0]\"\nlatency_cycles = 5\n\
                 [[link]]\nfrom = \"talker[{i}].hum_out\"\nto = \"talker[{other}].hum_in\"\nlatency_cycles = 3\n"
            );
        }
        let mut kinds = Registry::new();
        kinds.add::<Desk>().add::<Worker>().add::<Talker>();
        build_with(&text, &kinds, Plan { shards, stretches, ..Plan::serial() })
    }
}

/// The state at a time, and what may not depend on the plan.
fn state_at(mut machine: Machine, by: Femtos) -> (Vec<u8>, String) {
    machine.run(StopAt::WorkDoneBy(by), &mut |_| {}).unwrap();
    (machine.save(), machine.digest().to_string())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn results_do_not_depend_on_stretches(office in office()) {
        let plain = result(office.build(1, false));
        for shards in [1, 2, 3] {
            prop_assert_eq!(&plain, &result(office.build(shards, true)), "{} shards", shards);
        }
    }

    #[test]
    fn neither_do_states_in_between_and_runs_that_go_on_from_them(office in office(), share in 0.0_f64..1.1) {
        let mut whole = office.build(1, false);
        let end = whole.run(StopAt::WorkDone, &mut |_| {}).unwrap().time;
        let by = Femtos((end.0 as f64 * share) as u64);
        let plain = state_at(office.build(1, false), by);
        for shards in [1, 2] {
            let stretched = state_at(office.build(shards, true), by);
            prop_assert!(plain == stretched, "{} shards at {} of {}", shards, by, end);
        }
        let mut machine = office.build(1, true);
        machine.load(&plain.0).unwrap();
        prop_assert!(plain.0 == machine.save(), "saving what was loaded gives it again");
        prop_assert_eq!(result(office.build(1, false)), result(machine));
    }

    #[test]
    fn running_in_pieces_is_running_at_once(office in office(), piece_ns in 1_u64..100) {
        let mut machine = office.build(1, true);
        for i in 1..20 {
            machine.run(StopAt::WorkDoneBy(Femtos::from_ns(i * piece_ns)), &mut |_| {}).unwrap();
        }
        prop_assert_eq!(result(office.build(1, false)), result(machine));
    }

    #[test]
    fn a_clock_may_change_between_two_runs(office in office(), ns in 1_u64..300, mhz in 100_u64..3_000) {
        let changed = |stretches| {
            let mut machine = office.build(1, stretches);
            machine.run(StopAt::WorkDoneBy(Femtos::from_ns(ns)), &mut |_| {}).unwrap();
            machine.set_frequency("a", mhz * 1_000_000).unwrap();
            result(machine)
        };
        prop_assert_eq!(changed(false), changed(true));
    }

    #[test]
    fn a_machine_that_runs_to_a_time_is_at_that_time(office in office(), ns in 1_u64..2_000) {
        // Beyond the end of the work, with background alone.
        let at = |stretches| {
            let mut machine = office.build(1, stretches);
            machine.run(StopAt::Time(Femtos::from_ns(ns)), &mut |_| {}).unwrap();
            (machine.save(), machine.digest().to_string())
        };
        prop_assert!(at(false) == at(true));
    }

    #[test]
    fn facts_come_in_the_same_order(office in office()) {
        let facts = |stretches| {
            let heard = Arc::new(Mutex::new(Vec::new()));
            let mut machine = office.build(1, stretches);
            let sink = heard.clone();
            machine.listen::<Heard>(move |s| sink.lock().unwrap().push(*s));
            machine.run(StopAt::WorkDone, &mut |_| {}).unwrap();
            drop(machine);
            Arc::into_inner(heard).unwrap().into_inner().unwrap()
        };
        prop_assert_eq!(facts(false), facts(true));
    }
}
