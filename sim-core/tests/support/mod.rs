//! Components for the kernel's own tests: talkers that use every feature of the kernel at once.
#![allow(dead_code)]

use proptest::prelude::*;
use sim_core::{
    Activity, BuildError, Component, Cx, Cycle, Detail, Fact, In, Machine, MachineFile, Out, Payload, Plan, Registry,
    Resources, Rng, Site, StatsNode, StopAt,
};

/// What talkers say: who, to which of its outputs, the how-manieth.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Word {
    pub speaker: u32,
    pub number: u32,
    /// Cycles the listener needs to take it in.
    pub weight: u32,
}

impl Payload for Word {
    const NAME: &'static str = "word";
}

/// Something beside the words, so that there are two protocols.
#[derive(Clone, Copy, serde::Serialize, serde::Deserialize)]
pub struct Hum(pub u64);

impl Payload for Hum {
    const NAME: &'static str = "hum";
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Heard {
    pub speaker: u32,
    pub number: u32,
}

impl Fact for Heard {}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TalkerSpec {
    pub fan: usize,
    pub words: u32,
    pub capacity: u16,
    pub pause_cycles: u64,
    pub refresh_cycles: u64,
}

/// Sends `words` words on each of `fan` outputs with random pauses, takes as many from each input at a random pace, and
/// hums in the background. It holds one unit of work until it has said and heard everything.
pub struct Talker {
    spec: TalkerSpec,
    id: u32,
    rng: Rng,
    inputs: Vec<In<Word>>,
    outputs: Vec<Out<Word>>,
    hum_in: In<Hum>,
    hum_out: Out<Hum>,
    said: Vec<u32>,
    heard: Vec<u32>,
    next_output: usize,
    next_word: u64,
    deaf_until: u64,
    next_refresh: u64,
    refreshes: u64,
    hums: u64,
    working: bool,
    checksum: u64,
    out_of_order: u64,
    turn: usize,
}

sim_core::saved!(Talker {
    state: rng, next_output, next_word, deaf_until, next_refresh, refreshes, hums, working, checksum, out_of_order, turn;
    sized: said, heard;
    rebuilt: spec, id, inputs, outputs, hum_in, hum_out;
});

impl Talker {
    fn choose(&mut self, now: u64) {
        let open: Vec<usize> = (0..self.said.len()).filter(|&o| self.said[o] < self.spec.words).collect();
        if !open.is_empty() {
            self.next_output = open[self.rng.below(open.len() as u64) as usize];
            self.next_word = now + 1 + self.rng.below(self.spec.pause_cycles);
        }
    }

    fn all_said(&self) -> bool {
        self.said.iter().all(|&n| n == self.spec.words)
    }
}

impl Component for Talker {
    const KIND: &'static str = "test.talker";
    type Spec = TalkerSpec;

    fn build(spec: TalkerSpec, site: &mut Site<'_>) -> Result<Talker, BuildError> {
        site.foreground(1);
        let mut talker = Talker {
            id: site.component_id().0,
            rng: site.rng(),
            inputs: site.inputs("in", spec.fan, spec.capacity),
            outputs: site.outputs("out", spec.fan),
            hum_in: site.input("hum_in", 4),
            hum_out: site.output("hum_out"),
            said: vec![0; spec.fan],
            heard: vec![0; spec.fan],
            next_output: 0,
            next_word: 0,
            deaf_until: 0,
            next_refresh: spec.refresh_cycles,
            refreshes: 0,
            hums: 0,
            working: true,
            checksum: 0,
            out_of_order: 0,
            turn: 0,
            spec,
        };
        talker.choose(0);
        Ok(talker)
    }

    fn tick(&mut self, cx: &mut Cx<'_>) -> Activity {
        let now = cx.now().0;
        while let Some(Hum(n)) = cx.take(self.hum_in) {
            self.hums += 1;
            self.checksum = self.checksum.rotate_left(7) ^ n ^ now;
        }
        while now >= self.next_refresh {
            self.refreshes += 1;
            self.next_refresh += self.spec.refresh_cycles;
            if self.refreshes.is_multiple_of(3) && cx.room(self.hum_out) > 0 {
                cx.send(self.hum_out, Hum(self.refreshes));
            }
        }
        if now >= self.deaf_until {
            for i in 0..self.inputs.len() {
                let port = (self.turn + i) % self.inputs.len();
                if let Some(word) = cx.take(self.inputs[port]) {
                    self.turn = port + 1;
                    self.out_of_order += u64::from(word.number != self.heard[port]);
                    self.heard[port] += 1;
                    self.deaf_until = now + u64::from(word.weight);
                    self.checksum = self.checksum.wrapping_mul(0x9e37_79b9_7f4a_7c15)
                        ^ (u64::from(word.speaker) << 32 | u64::from(word.number))
                        ^ now;
                    cx.emit(Heard { speaker: word.speaker, number: word.number });
                    break;
                }
            }
        }
        let mut blocked = false;
        if !self.all_said() && now >= self.next_word {
            let to = self.next_output;
            if cx.room(self.outputs[to]) > 0 {
                let weight = self.rng.below(5) as u32;
                cx.send(self.outputs[to], Word { speaker: self.id, number: self.said[to], weight });
                self.said[to] += 1;
                self.choose(now);
            } else {
                blocked = true;
            }
        }
        if self.working && self.all_said() && self.heard.iter().all(|&n| n == self.spec.words) {
            self.working = false;
            cx.end_work(1);
        }
        let mut said = Activity::input();
        if blocked {
            said = said.or_credit();
        }
        let waits = self.inputs.iter().any(|&i| !cx.is_empty(i));
        let hears = if waits { Some(self.deaf_until.max(now + 1)) } else { None };
        let speaks = (!self.all_said() && !blocked).then_some(self.next_word);
        match hears.into_iter().chain(speaks).min() {
            Some(at) => said.or_until(Cycle(at.min(self.next_refresh))),
            None => said.or_until(Cycle(self.next_refresh)).background(),
        }
    }

    fn report(&self, at: Cycle, out: &mut StatsNode) {
        out.counter("cycles", at.0, "cycles");
        out.counter("said", self.said.iter().map(|&n| u64::from(n)).sum(), "words");
        out.counter("heard", self.heard.iter().map(|&n| u64::from(n)).sum(), "words");
        out.counter("out_of_order", self.out_of_order, "words");
        out.counter("refreshes", self.refreshes, "refreshes");
        out.counter("hums", self.hums, "hums");
        out.counter("checksum", (self.checksum ^ self.checksum >> 32) & 0xffff_ffff, "");
    }
}

/// A ring of two parts of talkers with unrelated clocks: output `k` of talker `i` goes to talker `i + k + 1`.
#[derive(Debug)]
pub struct Ring {
    pub left: usize,
    pub right: usize,
    pub fan: usize,
    pub words: u32,
    pub capacity: u16,
    pub pause_cycles: u64,
    pub refresh_cycles: u64,
    pub latencies: Vec<u32>,
    pub mhz: [f64; 2],
    pub seed: u64,
}

/// Rings of all sizes, loads and clocks that the properties are tried on.
pub fn ring() -> impl Strategy<Value = Ring> {
    let counts = (1_usize..7, 1_usize..7, 1_usize..4);
    let traffic = (1_u32..20, 1_u16..5, 1_u64..40, 5_u64..200);
    let wires = (prop::collection::vec(prop_oneof![1_u32..4, 8_u32..40, Just(300)], 1..8), any::<u64>());
    let clocks = prop_oneof![Just([1000.0, 1000.0]), Just([1755.0, 1000.0]), Just([400.0, 1612.5])];
    (counts, traffic, wires, clocks).prop_map(
        |((left, right, fan), (words, capacity, pause_cycles, refresh_cycles), (latencies, seed), mhz)| Ring {
            left,
            right,
            fan,
            words,
            capacity,
            pause_cycles,
            refresh_cycles,
            latencies,
            mhz,
            seed: seed >> 1,
        },
    )
}

impl Ring {
    pub fn toml(&self) -> String {
        let Ring { left, right, fan, words, capacity, pause_cycles, refresh_cycles, mhz: [a, b], seed, .. } = self;
        let mut text = format!("seed = {seed}\n[clock.a]\nmhz = {a:?}\n[clock.b]\nmhz = {b:?}\n");
        for (name, clock, count) in [("left", "a", left), ("right", "b", right)] {
            text += &format!(
                "[part.{name}]\nkind = \"test.talker\"\nclock = \"{clock}\"\ncount = {count}\nfan = {fan}\nwords = {words}\n\
                 capacity = {capacity}\npause_cycles = {pause_cycles}\nrefresh_cycles = {refresh_cycles}\n"
            );
        }
        let all = left + right;
        let place = |i: usize| if i < *left { one("left", i, *left) } else { one("right", i - left, *right) };
        for i in 0..all {
            for k in 0..*fan {
                let latency = self.latencies[(i * fan + k) % self.latencies.len()];
                let (from, to) = (place(i), place((i + k + 1) % all));
                text += &format!(
                    "[[link]]\nfrom = \"{from}.out[{k}]\"\nto = \"{to}.in[{k}]\"\nlatency_cycles = {latency}\n"
                );
            }
            let latency = self.latencies[i % self.latencies.len()];
            text += &format!(
                "[[link]]\nfrom = \"{}.hum_out\"\nto = \"{}.hum_in\"\nlatency_cycles = {latency}\n",
                place(i),
                place((i + 1) % all)
            );
        }
        text
    }

    pub fn build(&self, plan: Plan) -> Machine {
        build(&self.toml(), plan)
    }
}

fn one(part: &str, index: usize, count: usize) -> String {
    if count == 1 { part.to_string() } else { format!("{part}[{index}]") }
}

pub fn kinds() -> Registry {
    let mut kinds = Registry::new();
    kinds.add::<Talker>();
    kinds
}

pub fn build(text: &str, plan: Plan) -> Machine {
    build_with(text, &kinds(), plan)
}

pub fn build_with(text: &str, kinds: &Registry, plan: Plan) -> Machine {
    let file = MachineFile::parse("test.toml", text).unwrap_or_else(|e| panic!("{}", show(&e)));
    Machine::build(&file, kinds, Resources::new(), plan).unwrap_or_else(|e| panic!("{}", show(&e)))
}

pub fn show(errors: &[sim_core::ConfigError]) -> String {
    errors.iter().map(|e| format!("{e}\n")).collect()
}

/// Runs until the work is done and returns everything that may not depend on the plan.
pub fn result(mut machine: Machine) -> (String, String, String) {
    let outcome = machine.run(StopAt::WorkDone, &mut |_| {}).unwrap_or_else(|e| panic!("{e}"));
    let json = serde_json::to_string_pretty(&machine.report(Detail::Components)).expect("a report is JSON");
    (format!("{:?} at {} fs", outcome.reason, outcome.time.0), machine.digest().to_string(), json)
}
