//! A small NPU for tests: clocks of 1 GHz, so that a cycle is a nanosecond.
#![allow(dead_code)]

use std::sync::Arc;

use npu::tiled::{Schedule, TiledNpu, TiledSpec, TiledWorkload, Use};
use sim_core::{Component, Machine, MachineFile, Plan, Registry, Resources, StopAt};
use workloads::InputError;
use workloads::tensor::TaskList;

/// Two tiles; DDR and DMA ports of 10 bytes a nanosecond, scratchpads of 20.
pub const SMALL: &str = r#"
[clock.event]
mhz = 1000000
[part.npu]
kind = "npu.tiled"
clock = "event"
tiles = 2
dpus_per_tile = 1
shaves_per_tile = 2
dma_ports = 2
m2i_engines = 1
cmx_kib_per_tile = 64
physical_barriers = 8
slots_per_barrier = 16
dpu_mhz = 1000.0
cmx_mhz = 1000.0
cpu_mhz = 1000.0
accept_unknown_costs = false
unknown_cost_cycles = 1
[part.npu.dpu]
macs_per_cycle = 2048
f16_factor = 2
ppe_lanes = 64
cmx_word_bytes = 16
cmx_read_ports = 8
cost = "theoretical"
#FITTED#
[part.npu.dma]
form = "newer"
bytes_per_cycle = 10
ddr_latency_ns = 100.0
cmx_latency_cycles = 16
post_cycles = 0
[part.npu.shave]
tables = "2.7"
prefer = "linear"
simd_bits = 128
piecewise_speed = 1.0
[part.npu.memory]
ddr_mb_per_s = 10000.0
sharing = "none"
cmx_bytes_per_cycle = 20.0
"#;

/// The small machine with lines replaced: `("sharing = \"none\"", "sharing = \"max_min\"")`.
pub fn machine(changes: &[(&str, &str)]) -> MachineFile {
    let npu4 = include_str!("../../../../configs/npu/npu-4.toml");
    let begin = npu4.find("[part.npu.dpu.fitted.conv]").unwrap();
    let fitted = &npu4[begin..npu4.find("[part.npu.dma]").unwrap()];
    let mut text = SMALL.replace("#FITTED#", fitted);
    for (old, new) in changes {
        assert!(text.contains(old), "{old}");
        text = text.replace(old, new);
    }
    MachineFile::parse("small.toml", &text).unwrap()
}

pub fn spec(file: &MachineFile) -> TiledSpec {
    file.parts[0].read().unwrap()
}

pub fn try_run(file: &MachineFile, list: &TaskList) -> Result<Schedule, InputError> {
    let mut machine = build(file, list)?;
    machine.run(StopAt::WorkDone, &mut |_| {}).unwrap();
    Ok(machine.component::<TiledNpu>("npu", 0).unwrap().schedule())
}

pub fn build(file: &MachineFile, list: &TaskList) -> Result<Machine, InputError> {
    let spec: TiledSpec = file.parts.iter().find(|part| part.kind == TiledNpu::KIND).unwrap().read().unwrap();
    let workload = Arc::new(TiledWorkload::new(list, &spec)?);
    let mut kinds = Registry::new();
    kinds.add::<TiledNpu>();
    Ok(Machine::build(file, &kinds, Resources::new().with(workload), Plan::serial()).unwrap())
}

pub fn run(file: &MachineFile, list: &TaskList) -> Schedule {
    let schedule = try_run(file, list).unwrap();
    conserved(&schedule);
    schedule
}

/// Every engine's time sums to the makespan.
pub fn conserved(schedule: &Schedule) {
    for engine in &schedule.engines {
        assert_eq!(engine.uses_ps.iter().sum::<u64>(), schedule.makespan_ps, "{}", engine.name);
        let occupied: u64 = schedule
            .tasks
            .iter()
            .filter(|task| schedule.engines[task.engine as usize].name == engine.name)
            .map(|task| task.end_ps - task.start_ps)
            .sum();
        assert_eq!(engine.occupied_ps(), occupied, "{}", engine.name);
        let _ = Use::ALL;
    }
}
