//! Energy: nothing is lost between report, tasks, components and trace; energies scale as they should.

mod common;

use npu::power::EnergyReport;
use npu::tiled::{Schedule, TiledNpu};
use proptest::prelude::*;
use sim_core::{MachineFile, StopAt};
use workloads::tensor::{Place, Task, TaskList, Work};

/// NPU 4 with lines of its file replaced.
fn npu4(changes: &[(&str, &str)]) -> MachineFile {
    let mut text = include_str!("../../../configs/npu/npu-4.toml").to_owned();
    for (old, new) in changes {
        assert!(text.contains(old), "{old}");
        text = text.replace(old, new);
    }
    MachineFile::parse("npu-4.toml", &text).unwrap()
}

fn run(file: &MachineFile, tasks: Vec<Task>) -> Schedule {
    let list = TaskList::new("list", tasks).unwrap();
    let mut machine = common::build(file, &list).unwrap();
    machine.run(StopAt::WorkDone, &mut |_| {}).unwrap();
    machine.component::<TiledNpu>("npu", 0).unwrap().schedule()
}

fn load(id: u64, bytes: u64) -> Task {
    let work = Work::Dma {
        port: (id % 2) as u32,
        source: Place::Ddr,
        destination: Place::Cmx((id % 6) as u32),
        bytes,
        decompress: false,
        permute_element_bytes: None,
    };
    Task::new(id, work)
}

fn product(id: u64, tile: u32) -> Task {
    let text = format!(
        r#"{{"id":{id},"engine":"dpu","tile":{tile},"variants":[{{"op":"conv","dtype":"f16","in":[28,28,64],"out":[28,28,64]}}]}}"#
    );
    TaskList::parse("one", &text).unwrap().tasks()[0].clone()
}

fn kernel(id: u64, tile: u32, elements: u64) -> Task {
    let work = Work::Shave { tile, kernel: "softmax".to_owned(), element: workloads::tensor::Element::F16, elements };
    Task::new(id, work)
}

fn dynamic_pj(report: &EnergyReport, name: &str) -> f64 {
    report.components.iter().find(|component| component.name == name).unwrap().dynamic_pj
}

fn close(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-9 * a.abs().max(b.abs())
}

/// 1024 bytes from DDR: 50.3, 0.163 and 0.035 pJ a byte.
#[test]
fn a_transfer_costs_what_its_bytes_cost() {
    let energy = run(&npu4(&[]), vec![load(0, 1024)]).energy.unwrap();
    assert!(close(dynamic_pj(&energy, "ddr"), 50.3 * 1024.0));
    assert!(close(dynamic_pj(&energy, "cmx0"), 0.163 * 1024.0));
    assert!(close(dynamic_pj(&energy, "dma0.ddr"), 0.035 * 1024.0));
    assert!(close(energy.tasks_pj[0], (50.3 + 0.163 + 0.035) * 1024.0));
}

/// 28 · 28 · 64 · 64 multiply-accumulates of 16 bits at 2 · 1.3 · 0.293 pJ, and the clock of the array while it has them:
/// 3 % of 2048 · 0.293 pJ a cycle.
#[test]
fn a_product_costs_its_multiplications_and_its_clock() {
    let schedule = run(&npu4(&[]), vec![product(0, 0)]);
    let cycles = schedule.makespan_ps as f64 * 1700.0 / 1e6;
    let expected = (28 * 28 * 64 * 64) as f64 * 2.6 * 0.293 + 0.03 * 2048.0 * 0.293 * cycles;
    let energy = schedule.energy.unwrap();
    assert!(close(dynamic_pj(&energy, "dpu0"), expected), "{} {expected}", dynamic_pj(&energy, "dpu0"));
}

/// Leakage doubles in 25 K and follows the table of supplies.
#[test]
fn leakage_follows_temperature_and_supply() {
    let leakage = |file: &MachineFile| {
        let energy = run(file, vec![product(0, 0)]).energy.unwrap();
        energy.components.iter().map(|component| component.leakage_pj).sum::<f64>()
    };
    let (cool, warm) = (leakage(&npu4(&[])), leakage(&npu4(&[("temperature_c = 60.0", "temperature_c = 85.0")])));
    assert!(close(2.0 * cool, warm));
    let change = "[[part.npu.dvfs]]\nat_us = 0.0\nclock = \"cmx\"\nmhz = 971.0\nvolts = 0.45\n[part.npu.dpu]";
    let low = npu4(&[("[part.npu.dpu]", change)]);
    let of = |file: &MachineFile| {
        let energy = run(file, vec![product(0, 0)]).energy.unwrap();
        energy.components.iter().find(|component| component.name == "cmx0").unwrap().leakage_pj
    };
    assert!(close(of(&npu4(&[])) * 6.44 / 24.2, of(&low)));
}

/// At half the supply and half the clock: a quarter of the energy in twice the time.
#[test]
fn dynamic_energy_goes_with_the_square_of_the_supply() {
    let change = "[[part.npu.dvfs]]\nat_us = 0.0\nclock = \"dpu\"\nmhz = 850.0\nvolts = 0.35\n[part.npu.dpu]";
    let (full, half) =
        (run(&npu4(&[]), vec![product(0, 0)]), run(&npu4(&[("[part.npu.dpu]", change)]), vec![product(0, 0)]));
    assert!(half.makespan_ps.abs_diff(2 * full.makespan_ps) <= 1);
    let (full, half) = (full.energy.unwrap(), half.energy.unwrap());
    let ratio = dynamic_pj(&half, "dpu0") / dynamic_pj(&full, "dpu0");
    assert!((ratio - 0.25).abs() < 1e-6, "{ratio}");
}

/// Gated after 10 us, the array leaks 4 % of its leakage; waking costs time and energy.
#[test]
fn gating_saves_leakage_and_costs_a_wake_up() {
    let mut wait = Task::new(0, Work::Cpu);
    wait.cycles = Some(97_100);
    wait.update = vec![0];
    let mut late = product(1, 0);
    late.wait = vec![0];
    let gated = npu4(&[("[part.npu.power.dpu_gate]\ngated = false", "[part.npu.power.dpu_gate]\ngated = true")]);
    let (on, off) = (run(&npu4(&[]), vec![wait.clone(), late.clone()]), run(&gated, vec![wait, late]));
    // 10 cycles of 971 MHz.
    assert_eq!(off.makespan_ps - on.makespan_ps, 10_299);
    let of = |schedule: &Schedule| {
        schedule.energy.as_ref().unwrap().components.iter().find(|c| c.name == "dpu0").unwrap().clone()
    };
    let (on, off) = (of(&on), of(&off));
    assert_eq!((on.wakes, off.wakes, off.gated_ps), (0, 1, 90_000_000));
    let saved = 65.0e-3 * 0.96 * 90e6 - 65.0e-3 * 10_299.0;
    assert!(close(on.leakage_pj - off.leakage_pj, saved), "{} {saved}", on.leakage_pj - off.leakage_pj);
    assert!(close(off.wake_pj, 6500.0));
}

fn tasks() -> impl Strategy<Value = Vec<Task>> {
    proptest::collection::vec((0_u32..3, 1_u64..200_000, 0_u32..6, any::<bool>()), 1..24).prop_map(|drawn| {
        let mut tasks = Vec::new();
        for (id, (kind, amount, tile, waits)) in (0..).zip(drawn) {
            let mut task = match kind {
                0 => load(id, amount),
                1 => product(id, tile),
                _ => kernel(id, tile, amount),
            };
            task.update = vec![id as u32];
            if waits && id > 0 {
                task.wait = vec![id as u32 - 1];
            }
            tasks.push(task);
        }
        tasks
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn nothing_is_lost(tasks in tasks(), gated: bool, change_at_us in 0_u32..200) {
        let gate = ["gated = false\nafter_us = 10.0", "gated = true\nafter_us = 2.0"][usize::from(gated)];
        let change = format!(
            "[[part.npu.dvfs]]\nat_us = {change_at_us}.0\nclock = \"dpu\"\nmhz = 900.0\nvolts = 0.55\n[part.npu.dpu]"
        );
        let file = npu4(&[
            ("gated = false\nafter_us = 10.0", gate),
            ("[part.npu.dpu]", &change),
            ("trace_window_us = 100.0", "trace_window_us = 7.0"),
        ]);
        let schedule = run(&file, tasks);
        common::conserved(&schedule);
        let energy = schedule.energy.unwrap();
        // The trace's integral is the report.
        let trace = energy.trace.as_ref().unwrap();
        prop_assert!(close(trace.total_pj(), energy.total_pj()), "{} {}", trace.total_pj(), energy.total_pj());
        let windows: f64 = (0..trace.energy_pj.len()).map(|w| trace.milliwatts(w) * 7e6 / 1e3).sum();
        prop_assert!(close(windows, energy.total_pj()));
        // What is not leakage is some task's.
        let of_tasks: f64 = energy.tasks_pj.iter().sum();
        let not_leakage: f64 = energy.components.iter().map(|c| c.dynamic_pj + c.wake_pj).sum();
        prop_assert!(close(of_tasks, not_leakage), "{of_tasks} {not_leakage}");
        // Every component is in one state at a time.
        for component in &energy.components {
            let states = component.on_ps + component.clock_gated_ps + component.gated_ps;
            prop_assert_eq!(states, schedule.makespan_ps, "{}", &component.name);
        }
    }

    /// The same tasks twice cost twice the dynamic energy, however they come to lie.
    #[test]
    fn energy_is_linear_in_counts(tasks in tasks()) {
        let dynamic = |schedule: &Schedule| schedule.energy.as_ref().unwrap().tasks_pj.iter().sum::<f64>();
        let unclocked = [("idle_share = 0.03", "idle_share = 0.0"), ("trace_window_us = 100.0", "trace_window_us = 0.0")];
        let file = npu4(&unclocked);
        let once = dynamic(&run(&file, tasks.clone()));
        let again = tasks.iter().map(|task| {
            let up = |barriers: &[u32]| barriers.iter().map(|barrier| barrier + 1000).collect();
            Task { id: task.id + 1000, wait: up(&task.wait), update: up(&task.update), ..task.clone() }
        });
        let twice = dynamic(&run(&file, tasks.iter().cloned().chain(again).collect()));
        prop_assert!(close(2.0 * once, twice), "{once} {twice}");
    }
}
