//! A machine file that inherits, an override, and what errors look like.
//!
//! `slow.toml` is `fast.toml` with another pace. The component below is a counter that works for a number of cycles,
//! sleeping in between, so the machine runs for `work × pace` cycles: 5 × 4 = 20 in the fast one, 5 × 40 in the slow one.

use sim_core::{
    Activity, BuildError, Component, Cx, Cycle, Machine, MachineFile, Plan, Registry, Resources, Site, StatsNode,
    StopAt,
};

const FAST: &str = "\
[clock.core]
mhz = 1000

[part.worker]
kind = \"example.worker\"
clock = \"core\"
count = 3
work = 5
pace_cycles = 4
";

const SLOW: &str = "\
base = \"fast.toml\"   # ten times slower, otherwise the same

[part.worker]
pace_cycles = 40
";

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct WorkerSpec {
    work: u32,
    pace_cycles: u64,
}

struct Worker {
    left: u32,
    pace_cycles: u64,
    next: Cycle,
}

sim_core::saved!(Worker { state: left, next; rebuilt: pace_cycles });

impl Component for Worker {
    const KIND: &'static str = "example.worker";
    type Spec = WorkerSpec;

    fn build(spec: WorkerSpec, site: &mut Site<'_>) -> Result<Worker, BuildError> {
        site.foreground(spec.work);
        Ok(Worker { left: spec.work, pace_cycles: spec.pace_cycles, next: Cycle(spec.pace_cycles) })
    }

    fn tick(&mut self, cx: &mut Cx<'_>) -> Activity {
        if self.left > 0 && cx.now() >= self.next {
            self.left -= 1;
            self.next += self.pace_cycles;
            cx.end_work(1);
        }
        if self.left > 0 { Activity::until(self.next) } else { Activity::DONE }
    }

    fn report(&self, at: Cycle, out: &mut StatsNode) {
        out.counter("cycles", at.0, "cycles");
    }
}

fn load(name: &str, sets: &[&str]) -> Result<MachineFile, Vec<sim_core::ConfigError>> {
    let mut resolve = |name: &str, _from: Option<&str>| match name {
        "fast.toml" => Ok((name.to_string(), FAST.to_string())),
        "slow.toml" => Ok((name.to_string(), SLOW.to_string())),
        _ => Err("there is no such file".to_string()),
    };
    let sets: Vec<String> = sets.iter().map(|s| s.to_string()).collect();
    MachineFile::load(name, &mut resolve, &sets)
}

fn cycles(file: &MachineFile) -> u64 {
    let mut kinds = Registry::new();
    kinds.add::<Worker>();
    let mut machine = Machine::build(file, &kinds, Resources::new(), Plan::serial()).expect("it was loaded");
    machine.run(StopAt::WorkDone, &mut |_| {}).expect("workers do not wait for each other");
    machine.cycle_of("core").expect("the clock of the file").0
}

fn main() {
    for (name, sets) in [("fast.toml", &[][..]), ("slow.toml", &[]), ("slow.toml", &["part.worker.work=1"])] {
        let file = load(name, sets).expect("a good file");
        println!("{name} {sets:?}: {} cycles, config hash {:.8}…", cycles(&file), file.hash().to_hex());
    }
    for error in load("slow.toml", &["part.worker.wrok=1"]).expect_err("a bad override") {
        println!("{error}");
    }
    assert_eq!(cycles(&load("slow.toml", &[]).expect("a good file")), 200);
}
