//! The shipped tile-based NPUs: they build, and transfers go through real memory channels where a machine links them.

use machine::npu_tiled::{NpuTiledSimulation, tiled_spec};
use npu::tiled::Use;
use sim_core::{MachineFile, Plan};
use workloads::tensor::{Place, Task, TaskList, Work};

fn shipped(name: &str) -> MachineFile {
    let mut resolve = |asked: &str, _: Option<&str>| {
        let path = format!("{}/../../configs/npu/{asked}", env!("CARGO_MANIFEST_DIR"));
        std::fs::read_to_string(&path).map(|text| (asked.to_owned(), text)).map_err(|error| error.to_string())
    };
    MachineFile::load(&format!("{name}.toml"), &mut resolve, &[]).unwrap()
}

fn transfer(id: u64, port: u32, source: Place, destination: Place, bytes: u64) -> Task {
    let work = Work::Dma { port, source, destination, bytes, decompress: false, permute_element_bytes: None };
    Task::new(id, work)
}

#[test]
fn parameters_of_the_shipped_machines_are_sound() {
    for (name, tiles) in [("npu-2.7", 2), ("npu-4", 6), ("npu-4-hbm2", 6)] {
        assert_eq!(tiled_spec(&shipped(name)).unwrap().unwrap().tiles, tiles, "{name}");
    }
}

/// 1 MiB by one port takes 16,874 ns at the port's 62 GB/s, and two ports 124 of the channels' 128 GB/s: with pages, refresh and
/// turnarounds less than that, but more than four fifths. Every byte is read or written once.
#[test]
fn transfers_go_through_memory_channels() {
    let file = shipped("npu-4-hbm2");
    let run = |tasks: Vec<Task>| {
        let list = TaskList::new("list", tasks).unwrap();
        NpuTiledSimulation::new(&file, &list, Plan::serial()).unwrap().run(&mut |_| {}).unwrap()
    };
    let megabyte = 1 << 20;
    let one = run(vec![transfer(0, 0, Place::Ddr, Place::Cmx(0), megabyte)]).schedule;
    assert!((17_073_000..17_600_000).contains(&one.makespan_ps), "{}", one.makespan_ps);
    let both = || {
        vec![
            transfer(0, 0, Place::Ddr, Place::Cmx(0), megabyte),
            transfer(1, 1, Place::Ddr, Place::Cmx(1), megabyte),
            transfer(2, 0, Place::Cmx(0), Place::Ddr, megabyte),
        ]
    };
    let result = run(both());
    let schedule = &result.schedule;
    let reads_end = schedule.tasks[0].end_ps.max(schedule.tasks[1].end_ps);
    let gb_per_s = 2.0 * megabyte as f64 / (reads_end as f64 / 1e3);
    assert!((60.0..128.0).contains(&gb_per_s), "{gb_per_s}");
    assert!(schedule.engines.iter().any(|engine| engine.ps(Use::Bandwidth) > 0));
    for engine in &schedule.engines {
        assert_eq!(engine.uses_ps.iter().sum::<u64>(), schedule.makespan_ps, "{}", engine.name);
    }
    // The same on two shards.
    let list = TaskList::new("list", both()).unwrap();
    let plan = Plan { shards: 2, threads: 2, ..Plan::serial() };
    let again = NpuTiledSimulation::new(&file, &list, plan).unwrap().run(&mut |_| {}).unwrap();
    assert_eq!(again.schedule, *schedule);
    assert_eq!(again.digest, result.digest);
}
