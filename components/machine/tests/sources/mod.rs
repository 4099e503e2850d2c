//! A machine file as shipped, with request sources in the place of its SMs: the memory system alone.

use protocol::{MemOp, MemRequest, MemResponse, SmCommand, SmReply, TranslationRequest, TranslationResponse};
use serde::Deserialize;
use sim_core::config::Document;
use sim_core::{
    Activity, BuildError, Component, Cx, Cycle, Detail, In, Machine, MachineFile, Out, Plan, Registry, Resources, Site,
    StatsNode, StopAt,
};
use std::sync::Arc;

/// What the source in the place of each SM sends: requests in order, so many outstanding.
pub struct Traffic {
    pub outstanding: usize,
    pub of_sm: Vec<Vec<(MemOp, u64, u8)>>,
}

/// In the place of an SM.
pub struct Source {
    request: Out<MemRequest>,
    response: In<MemResponse>,
    index: usize,
    traffic: Arc<Traffic>,
    sent: usize,
    sent_at: Vec<u64>,
    /// Round trips in the order of the requests.
    pub cycles: Vec<u64>,
    pub last_answer: u64,
    answered: usize,
}

#[derive(Deserialize)]
pub struct Anything {
    /// The SM has ports for it then, which nobody uses here.
    #[serde(default)]
    translation: Option<serde::de::IgnoredAny>,
}

impl Component for Source {
    const KIND: &'static str = "gpu.sm";
    type Spec = Anything;

    fn build(spec: Anything, site: &mut Site<'_>) -> Result<Self, BuildError> {
        if spec.translation.is_some() {
            let (_, _) =
                (site.output::<TranslationRequest>("tlb_req"), site.input::<TranslationResponse>("tlb_resp", 1));
        }
        let traffic: Arc<Traffic> = site.resource().unwrap();
        let (_, _) = (site.input::<SmCommand>("launch", 1), site.output::<SmReply>("done"));
        let requests = traffic.of_sm.get(site.index()).map_or(0, Vec::len);
        if requests > 0 {
            site.foreground(1);
        }
        Ok(Self {
            request: site.output("mem_req"),
            response: site.input("mem_resp", 256),
            index: site.index(),
            traffic,
            sent: 0,
            sent_at: vec![0; requests],
            cycles: vec![0; requests],
            last_answer: 0,
            answered: 0,
        })
    }

    fn tick(&mut self, cx: &mut Cx<'_>) -> Activity {
        let now = cx.now().0;
        let Some(requests) = self.traffic.of_sm.get(self.index).filter(|requests| !requests.is_empty()) else {
            return Activity::DONE;
        };
        while let Some(answer) = cx.take(self.response) {
            let number = answer.id as usize;
            assert_eq!((answer.op, answer.sectors), (requests[number].0, requests[number].2));
            assert_eq!(self.cycles[number], 0, "answered twice");
            self.cycles[number] = now - self.sent_at[number];
            self.answered += 1;
            self.last_answer = now;
            if self.answered == requests.len() {
                cx.end_work(1);
            }
        }
        let mut blocked = false;
        // One a cycle, as the SM.
        if self.sent < requests.len() && self.sent - self.answered < self.traffic.outstanding {
            if cx.room(self.request) == 0 {
                blocked = true;
            } else {
                let (op, address, sectors) = requests[self.sent];
                self.sent_at[self.sent] = now;
                cx.send(
                    self.request,
                    MemRequest {
                        id: self.sent as u64,
                        source: self.index as u32,
                        address,
                        bytes: sectors.count_ones() * 32,
                        sectors,
                        op,
                    },
                );
                self.sent += 1;
            }
        }
        let more = self.sent < requests.len() && self.sent - self.answered < self.traffic.outstanding;
        match (blocked, more) {
            (true, _) => Activity::input().or_credit(),
            (false, true) => Activity::input().or_until(Cycle(now + 1)),
            (false, false) => Activity::input(),
        }
    }

    fn report(&self, _at: Cycle, _out: &mut StatsNode) {}
}

impl Source {
    pub fn answered_at(&self) -> impl Iterator<Item = u64> + '_ {
        self.sent_at.iter().zip(&self.cycles).map(|(sent, cycles)| sent + cycles)
    }
}

sim_core::saved!(Source {
    state: sent, sent_at, cycles, last_answer, answered;
    rebuilt: request, response, index, traffic;
});

impl sim_core::Saved for Nobody {
    fn save(&self, _out: &mut sim_core::Writer) {}

    fn load(&mut self, _from: &mut sim_core::Reader<'_>) -> Result<(), sim_core::LoadError> {
        Ok(())
    }
}

/// In the place of the command processor: silent.
pub struct Nobody;

impl Component for Nobody {
    const KIND: &'static str = "gpu.command_processor";
    type Spec = Anything;

    fn build(_: Anything, site: &mut Site<'_>) -> Result<Self, BuildError> {
        let (launch, done) = (site.linked_width("launch"), site.linked_width("done"));
        site.outputs::<SmCommand>("launch", launch);
        site.inputs::<SmReply>("done", done, 1);
        Ok(Self)
    }

    fn tick(&mut self, _: &mut Cx<'_>) -> Activity {
        Activity::DONE
    }

    fn report(&self, _at: Cycle, _out: &mut StatsNode) {}
}

/// A finished run.
pub struct Ran {
    pub machine: Machine,
    pub stats: StatsNode,
    pub core_hz: u64,
    pub sms: usize,
}

pub fn file(name: &str, sets: &[&str]) -> MachineFile {
    let path = format!("{}/../../configs/gpu/{name}.toml", env!("CARGO_MANIFEST_DIR"));
    let sets: Vec<String> = sets.iter().map(|set| (*set).to_owned()).collect();
    MachineFile::load(&path, &mut Document::from_disk, &sets).unwrap_or_else(|errors| panic!("{errors:?}"))
}

pub fn sms(file: &MachineFile) -> usize {
    file.parts.iter().find(|part| part.name == "sm").unwrap().components()
}

/// Runs traffic on the memory system of a machine.
pub fn run(file: &MachineFile, traffic: Traffic, plan: Plan) -> Ran {
    let mut kinds = Registry::new();
    kinds
        .add::<Source>()
        .add::<Nobody>()
        .add::<cache::fixed::FixedMemory>()
        .add::<cache::l2::Slice>()
        .add::<cache::tlb::SharedTlb>()
        .add::<noc::crossbar::Crossbar>()
        .add::<hbm::component::Channel>();
    let bag = Resources::new().with(Arc::new(traffic));
    let mut machine = Machine::build(file, &kinds, bag, plan).unwrap_or_else(|errors| panic!("{errors:?}"));
    machine.run(StopAt::WorkDone, &mut |_| {}).unwrap_or_else(|error| panic!("{error}"));
    let stats = machine.report(Detail::Parts);
    let core_hz = file.clocks.iter().find(|clock| clock.name == "core").unwrap().hertz;
    Ran { machine, stats, core_hz, sms: sms(file) }
}

impl Ran {
    pub fn source(&self, sm: usize) -> &Source {
        self.machine.component::<Source>("sm", sm).unwrap()
    }

    /// Answers of `bytes` a second from half of the time on until the first source is done.
    pub fn steady_gb_per_s(&self, bytes: u64) -> f64 {
        let done = (0..self.sms).map(|sm| self.source(sm).last_answer).min().unwrap();
        let window = done / 2..done;
        let answers = (0..self.sms).flat_map(|sm| self.source(sm).answered_at());
        let count = answers.filter(|at| window.contains(at)).count() as u64;
        (count * bytes) as f64 * self.core_hz as f64 / (window.end - window.start) as f64 / 1e9
    }

    /// A part of the breakdown of the sectors that L2 looked up.
    pub fn sectors(&self, part: &str) -> u64 {
        let sectors = self.stats.breakdown_at("l2.sectors").unwrap();
        sectors.parts.iter().find(|leaf| leaf.name == part).unwrap().total
    }

    pub fn value(&self, path: &str) -> u64 {
        self.stats.value(path).unwrap_or_else(|| panic!("{path}"))
    }
}
