//! The event calendar against answers worked out by hand, and its invariants.

mod common;

use common::{build, conserved, machine, run, try_run};
use npu::tiled::{Schedule, TiledNpu, Use};
use proptest::prelude::*;
use sim_core::{Femtos, StopAt};
use workloads::tensor::{Place, Task, TaskList, Work};

fn list(text: &str) -> TaskList {
    TaskList::parse("list.jsonl", text).unwrap()
}

fn ends_ns(schedule: &Schedule) -> Vec<u64> {
    schedule.tasks.iter().map(|task| task.end_ps / 1000).collect()
}

/// Two loads on two ports, one product that waits for both, one store: 50 and 80 | 80 + 200 | 280 + 30.
#[test]
fn a_task_waits_for_the_last_producer() {
    let schedule = run(
        &machine(&[]),
        &list(
            r#"{"id":1,"engine":"dma","port":0,"src":"ddr","dst":"cmx0","bytes":10,"cycles":50,"update":[0]}
{"id":2,"engine":"dma","port":1,"src":"ddr","dst":"cmx0","bytes":10,"cycles":80,"update":[0]}
{"id":3,"engine":"dpu","tile":0,"variants":[],"cycles":200,"wait":[0],"update":[1]}
{"id":4,"engine":"dma","port":0,"src":"cmx0","dst":"ddr","bytes":10,"cycles":30,"wait":[1]}"#,
        ),
    );
    assert_eq!(ends_ns(&schedule), [50, 80, 280, 310]);
    let dpu = schedule.engines.iter().find(|engine| engine.name == "dpu0").unwrap();
    assert_eq!((dpu.ps(Use::Barrier), dpu.ps(Use::Busy), dpu.ps(Use::Idle)), (80_000, 200_000, 30_000));
    let unions = schedule.unions;
    assert_eq!((unions.dma_ps, unions.dpu_ps, unions.dma_sum_ps), (110_000, 200_000, 160_000));
    assert_eq!((unions.dma_alone_ps, unions.dma_and_dpu_ps, unions.idle_ps), (110_000, 0, 0));
}

/// Three kernels of 100 on two DSPs: the third goes to the one that frees first.
#[test]
fn two_dsps_take_from_one_queue() {
    let kernel = |id: u32, cycles: u32| {
        format!(r#"{{"id":{id},"engine":"shave","tile":0,"kernel":"add","dtype":"f16","elems":8,"cycles":{cycles}}}"#)
    };
    let text = [kernel(1, 100), kernel(2, 70), kernel(3, 100), kernel(4, 10)].join("\n");
    let schedule = run(&machine(&[]), &list(&text));
    assert_eq!(ends_ns(&schedule), [100, 70, 170, 110]);
    assert_eq!((schedule.unions.sw_ps, schedule.unions.sw_sum_ps), (170_000, 280_000));
}

/// One physical barrier: the second barrier can be programmed only when the first one's consumer has started.
#[test]
fn physical_barriers_are_used_again_in_program_order() {
    let text = r#"{"id":1,"engine":"cpu","cycles":100,"update":[0]}
{"id":2,"engine":"dpu","tile":0,"variants":[],"cycles":50,"wait":[0]}
{"id":3,"engine":"dma","port":0,"src":"ddr","dst":"cmx0","bytes":1,"cycles":10,"update":[1]}
{"id":4,"engine":"dpu","tile":1,"variants":[],"cycles":5,"wait":[1]}"#;
    assert_eq!(ends_ns(&run(&machine(&[]), &list(text))), [100, 150, 10, 15]);
    let one = machine(&[("physical_barriers = 8", "physical_barriers = 1")]);
    let schedule = run(&one, &list(text));
    assert_eq!(ends_ns(&schedule), [100, 150, 110, 115]);
    let dma = schedule.engines.iter().find(|engine| engine.name == "dma0.ddr").unwrap();
    assert_eq!(dma.ps(Use::BarrierPool), 100_000);
}

/// 1000 bytes at 10 a nanosecond behind a latency of 100: alone 200. Two at once halve DDR: 100 + 200. A third that
/// joins when 500 bytes of each are left makes it a third each.
#[test]
fn transfers_share_ddr() {
    let load = |id: u32, port: u32, bytes: u32| {
        format!(r#"{{"id":{id},"engine":"dma","port":{port},"src":"ddr","dst":"cmx{port}","bytes":{bytes}}}"#)
    };
    let both = list(&[load(1, 0, 1000), load(2, 1, 1000)].join("\n"));
    assert_eq!(ends_ns(&run(&machine(&[]), &both)), [200, 200]);
    let shared = machine(&[("sharing = \"none\"", "sharing = \"max_min\"")]);
    let schedule = run(&shared, &both);
    assert_eq!(ends_ns(&schedule), [300, 300]);
    assert_eq!(schedule.engines[0].ps(Use::Bandwidth), 100_000);
    // The shorter one ends at 100 + 2 · 50; then the other has 500 bytes left, all for itself: 200 + 50.
    let unequal = list(&[load(1, 0, 1000), load(2, 1, 500)].join("\n"));
    assert_eq!(ends_ns(&run(&shared, &unequal)), [250, 200]);
}

/// 100 ns of work at 1 GHz; after 50 the clock halves: 50 + 100.
#[test]
fn a_slower_clock_delays_what_runs() {
    let changes = "[[part.npu.dvfs]]\nat_us = 0.05\nclock = \"dpu\"\nmhz = 500.0\nvolts = 0.6\n[part.npu.dpu]";
    let slower = machine(&[("[part.npu.dpu]", changes)]);
    let text = r#"{"id":1,"engine":"dpu","tile":0,"variants":[],"cycles":100}
{"id":2,"engine":"cpu","cycles":100}"#;
    assert_eq!(ends_ns(&run(&slower, &list(text))), [150, 100]);
}

#[test]
fn what_cannot_run_is_refused_at_its_line() {
    let refused =
        |changes: &[(&str, &str)], text: &str| try_run(&machine(changes), &list(text)).unwrap_err().to_string();
    let message = refused(&[], "{\"id\":1,\"engine\":\"dpu\",\"tile\":2,\"variants\":[],\"cycles\":1}");
    assert!(message.contains("list.jsonl:1: task 1: there is no tile 2"), "{message}");
    let message = refused(&[], r#"{"id":1,"engine":"dma","port":0,"src":"ddr","dst":"cmx0","bytes":65537}"#);
    assert!(message.contains("CMX overflow"), "{message}");
    let placed = r#"{"id":1,"engine":"cpu","cycles":1,"cmx":[{"tile":1,"offset":65000,"bytes":1000}]}"#;
    assert!(refused(&[], placed).contains("CMX overflow: 1000 bytes at 65000 of tile 1"));
    let many: Vec<String> =
        (0..17).map(|id| format!(r#"{{"id":{id},"engine":"cpu","cycles":1,"update":[0]}}"#)).collect();
    assert!(refused(&[], &many.join("\n")).contains("barrier 0 has 17 producers and consumers or more"));
    let kernel = r#"{"id":1,"engine":"shave","tile":0,"kernel":"softmaxx","dtype":"f16","elems":8}"#;
    assert!(refused(&[], kernel).contains("did you mean `softmax`?"));
    let for_ever = r#"{"id":1,"engine":"cpu","cycles":17592186044416}"#;
    let slow = [("cpu_mhz = 1000.0", "cpu_mhz = 0.001")];
    assert!(refused(&slow, for_ever).contains("hours"));
    let accept = [("accept_unknown_costs = false", "accept_unknown_costs = true")];
    assert_eq!(ends_ns(&run(&machine(&accept), &list(kernel))), [1]);
}

#[test]
fn deadlocks_say_who_waits_for_whom() {
    // By order in the queue: task 2 stands behind task 1, which waits for it by way of task 3.
    let order = r#"{"id":1,"engine":"dpu","tile":0,"variants":[],"cycles":1,"wait":[1]}
{"id":2,"engine":"dpu","tile":0,"variants":[],"cycles":1,"update":[0]}
{"id":3,"engine":"cpu","cycles":1,"wait":[0],"update":[1]}"#;
    let message = try_run(&machine(&[]), &list(order)).unwrap_err().to_string();
    let expected = "deadlock: task 1 on dpu0 waits for barrier 1 of task 3 on cpu; task 3 on cpu waits for barrier 0 of task 2 on dpu0";
    assert!(message.contains(expected), "{message}");
    // By the pool: barrier 0 keeps the only physical one until task 3 has started, which needs barrier 1 as well.
    let pool = r#"{"id":1,"engine":"cpu","cycles":1,"update":[0]}
{"id":2,"engine":"dpu","tile":0,"variants":[],"cycles":1,"update":[1]}
{"id":3,"engine":"dpu","tile":1,"variants":[],"cycles":1,"wait":[0,1]}"#;
    let message = try_run(&machine(&[("physical_barriers = 8", "physical_barriers = 1")]), &list(pool)).unwrap_err();
    let message = message.to_string();
    let expected = "task 2 on dpu0 waits for a physical barrier for barrier 1: all 1 are in use, the oldest by barrier 0, which task 3 on dpu1 uses";
    assert!(message.contains(expected), "{message}");
    assert_eq!(ends_ns(&run(&machine(&[]), &list(pool))), [1, 1, 2]);
}

/// Lists that can run: every task waits for barriers of earlier tasks only.
fn lists() -> impl Strategy<Value = TaskList> {
    let task = (0_u32..6, 1_u64..5000, 0_u32..2, proptest::collection::vec(0_usize..40, 0..3), any::<bool>());
    proptest::collection::vec(task, 1..40).prop_map(|drawn| {
        let mut tasks: Vec<Task> = Vec::new();
        for (id, (kind, amount, tile, waits, states_cycles)) in (0..).zip(drawn) {
            let dma = |source, destination| Work::Dma {
                port: tile,
                source,
                destination,
                bytes: amount,
                decompress: false,
                permute_element_bytes: None,
            };
            let work = match kind {
                0 => dma(Place::Ddr, Place::Cmx(tile)),
                1 => dma(Place::Cmx(tile), Place::Ddr),
                2 => dma(Place::Ddr, Place::CmxBroadcast { first: 0, last: 1 }),
                3 => Work::Dpu { tile, variants: vec![] },
                4 => Work::Shave {
                    tile,
                    kernel: "add".to_owned(),
                    element: workloads::tensor::Element::F16,
                    elements: amount,
                },
                _ => Work::Cpu,
            };
            let needs_cycles = kind == 3 || kind == 5;
            let mut task = Task::new(id, work);
            task.cycles = (needs_cycles || states_cycles || kind == 4).then_some(amount % 700);
            // Each task has a barrier of its own number; consumers are few enough for the slots.
            task.update = vec![id as u32];
            task.wait = waits.iter().filter(|wait| **wait < id as usize).map(|wait| *wait as u32).collect();
            task.wait.sort_unstable();
            task.wait.dedup();
            tasks.push(task);
        }
        TaskList::new("drawn", tasks).unwrap()
    })
}

const MANY_SLOTS: (&str, &str) = ("slots_per_barrier = 16", "slots_per_barrier = 64");

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// Level 2 with nothing to share is level 1, bit for bit: unbounded, and with bandwidth that nobody fills.
    #[test]
    fn level_two_without_bounds_is_level_one(list in lists(), pool in 1_u32..8) {
        let pool = format!("physical_barriers = {}", pool * 6);
        let common = [MANY_SLOTS, ("physical_barriers = 8", pool.as_str())];
        let Ok(one) = try_run(&machine(&common), &list) else { return Ok(()) };
        conserved(&one);
        let unbounded = ("sharing = \"none\"", "sharing = \"unbounded\"");
        let two = run(&machine(&[common[0], common[1], unbounded]), &list);
        prop_assert_eq!(&one, &two);
    }

    #[test]
    fn sharing_conserves_time_and_never_speeds_up(list in lists()) {
        let one = run(&machine(&[MANY_SLOTS, ("physical_barriers = 8", "physical_barriers = 64")]), &list);
        let shared = ("sharing = \"none\"", "sharing = \"max_min\"");
        let file = machine(&[MANY_SLOTS, ("physical_barriers = 8", "physical_barriers = 64"), shared]);
        let two = run(&file, &list);
        prop_assert!(two.makespan_ps >= one.makespan_ps);
        for (task, alone) in two.tasks.iter().zip(&two.alone_ps) {
            prop_assert!(task.end_ps - task.start_ps >= *alone);
        }
    }

    /// A run that was saved at any time and goes on is the run that was not.
    #[test]
    fn a_saved_run_goes_on_as_if_it_had_not_been(list in lists(), at_ns in 0_u64..2000) {
        let shared = ("sharing = \"none\"", "sharing = \"max_min\"");
        let file = machine(&[MANY_SLOTS, ("physical_barriers = 8", "physical_barriers = 64"), shared]);
        let whole = run(&file, &list);
        let mut first = build(&file, &list).unwrap();
        first.run(StopAt::WorkDoneBy(Femtos::from_ns(at_ns)), &mut |_| {}).unwrap();
        let state = first.save();
        let mut second = build(&file, &list).unwrap();
        second.load(&state).unwrap();
        second.run(StopAt::WorkDone, &mut |_| {}).unwrap();
        prop_assert_eq!(whole, second.component::<TiledNpu>("npu", 0).unwrap().schedule());
    }
}
