//! Values at issue: ordinary kernels take the same cycles as with values ahead of time.

mod common;

use common::machine_file;
use machine::gpu::{GpuResult, GpuShape, GpuSimulation};
use sim_core::{MachineFile, Plan};
use workloads::sass::exec::Values;
use workloads::sass::{Launch, catalog};

fn run(file: &MachineFile, launch: &Launch, values: Values) -> GpuResult {
    let kernel = catalog::kernel(&launch.kernel, &GpuShape::of(file).unwrap().sm.arch).unwrap();
    let simulation = GpuSimulation::with_values(file, &kernel, launch, Plan::serial(), values).unwrap();
    simulation.run(&mut |_| {}).unwrap_or_else(|error| panic!("{}: {error}", launch.kernel))
}

/// What runs on the SMs is the same, cycle by cycle, in either mode: what each cycle of each sub-core went to, the
/// requests to memory, the values.
#[test]
fn ordinary_kernels_take_the_same_cycles_in_both_modes() {
    for (machine, sets) in [("h100-pcie", &["part.sm.count=8"]), ("rtx-a6000", &["part.sm.count=8"]), ("a100-40", &["part.sm.count=1"])] {
        let file = machine_file(machine, sets);
        for workload in catalog::launch_names() {
            let launch = catalog::launch(&workload).unwrap();
            let ahead = run(&file, &launch, Values::Ahead);
            let live = run(&file, &launch, Values::AtIssue);
            assert_eq!(ahead.cycles, live.cycles, "{machine} {workload}");
            assert_eq!(ahead.executed, live.executed, "{machine} {workload}");
            assert_eq!(ahead.stats, live.stats, "{machine} {workload}");
            assert!(live.check.is_none_or(|check| check.passed()), "{machine} {workload}");
        }
    }
}
