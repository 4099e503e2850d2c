//! A whole GPU: command processor, SMs and memory, on shipped kernels.

use machine::gpu::{GpuError, GpuResult, GpuShape, GpuSimulation};
use sim_core::config::Document;
use sim_core::{MachineFile, Plan};
use workloads::sass::launch::Value;
use workloads::sass::{Launch, catalog};

fn machine_file(name: &str, sets: &[&str]) -> MachineFile {
    let path = format!("{}/../../configs/gpu/{name}.toml", env!("CARGO_MANIFEST_DIR"));
    let sets: Vec<String> = sets.iter().map(|set| (*set).to_owned()).collect();
    MachineFile::load(&path, &mut Document::from_disk, &sets).unwrap_or_else(|errors| panic!("{errors:?}"))
}

fn try_run(file: &MachineFile, launch: &Launch) -> Result<GpuResult, GpuError> {
    let kernel = catalog::kernel(&launch.kernel, &GpuShape::of(file).unwrap().sm.arch).unwrap();
    GpuSimulation::new(file, &kernel, launch, Plan::serial())?.run(&mut |_| {})
}

fn run(machine: &str, workload: &str, sets: &[&str]) -> GpuResult {
    try_run(&machine_file(machine, sets), &catalog::launch(workload).unwrap()).unwrap()
}

#[test]
fn every_cta_runs_once_and_every_cycle_has_a_reason() {
    for workload in ["saxpy", "histogram", "transpose-padded", "softmax"] {
        let result = run("rtx-3070", workload, &[]);
        let blocks = catalog::launch(workload).unwrap().blocks();
        assert_eq!(result.stats.value("cp.ctas"), Some(blocks), "{workload}");
        assert_eq!(result.stats.value("sm.ctas_done"), Some(blocks), "{workload}");
        assert_eq!(result.stats.value("sm.instructions_issued"), Some(result.executed.warp_instructions), "{workload}");
        let breakdown = result.stats.breakdown_at("sm.subcore_cycles").unwrap();
        assert_eq!(breakdown.total, 4 * 46 * result.cycles, "{workload}");
        assert!(result.check.unwrap().passed(), "{workload}");
    }
}

/// Memory requests that SMs send are those that L2 answers, byte for byte, and the ideal memory in its place likewise.
#[test]
fn bytes_are_conserved_between_sms_and_memory() {
    for workload in ["transpose", "stencil2d", "reduction"] {
        let result = run("a100-40", workload, &[]);
        let value = |path: &str| result.stats.value(path).unwrap();
        assert_eq!(value("sm.bytes_read"), value("l2.bytes_answered"), "{workload}");
        assert_eq!(value("sm.bytes_written"), value("l2.bytes_taken"), "{workload}");
        assert_eq!(value("sm.memory_requests"), value("l2.requests"), "{workload}");
        assert_eq!(value("sm.memory_requests"), value("noc.responses.packets"), "{workload}");

        let result = run("h100-pcie-ideal", workload, &[]);
        let value = |path: &str| result.stats.value(path).unwrap();
        assert_eq!(value("sm.bytes_read"), value("memory.read_bytes"), "{workload}");
        assert_eq!(value("sm.bytes_written"), value("memory.written_bytes"), "{workload}");
        assert_eq!(value("sm.memory_requests"), value("memory.reads") + value("memory.writes"), "{workload}");
    }
}

/// Nothing happens before the first CTA, so the overhead is a shift in time; not with DRAM, whose refresh does not wait.
#[test]
fn launch_overhead_delays_everything_by_itself() {
    let without = run("h100-pcie-ideal", "saxpy", &["part.cp.launch_overhead_cycles=0"]);
    let with = run("h100-pcie-ideal", "saxpy", &["part.cp.launch_overhead_cycles=777"]);
    assert_eq!(with.cycles, without.cycles + 777);
}

#[test]
fn ctas_leave_at_the_given_interval_while_there_is_room() {
    let sets = ["part.cp.launch_overhead_cycles=100", "part.cp.cta_interval_cycles=7"];
    let result = run("h100-pcie", "saxpy", &sets);
    let ctas = catalog::launch("saxpy").unwrap().blocks();
    // 128 CTAs of 256 threads find room on 114 SMs at once.
    assert_eq!(result.stats.value("cp.last_dispatch"), Some(100 + 7 * (ctas - 1)));
}

/// 2.5 cycles a CTA are 5 cycles two CTAs, whatever is rounded.
#[test]
fn an_interval_may_be_a_fraction() {
    let sets = ["part.cp.launch_overhead_cycles=100", "part.cp.cta_interval_cycles=2.5"];
    let result = run("h100-pcie", "saxpy", &sets);
    let ctas = catalog::launch("saxpy").unwrap().blocks();
    assert_eq!(result.stats.value("cp.last_dispatch"), Some(100 + (5 * (ctas - 1)).div_ceil(2)));
}

/// One place: the turnaround lies between any two CTAs.
#[test]
fn the_place_of_a_cta_is_free_again_after_the_turnaround() {
    let cycles = |cta: u32, warp: f64| {
        let sets = [
            "part.sm.count=1".to_owned(),
            "part.sm.limits.ctas=1".to_owned(),
            format!("part.cp.cta_turnaround_cycles={cta}"),
            format!("part.cp.warp_turnaround_cycles={warp}"),
        ];
        // Without DRAM, whose refreshes know nothing of the turnaround.
        run("h100-pcie-ideal", "softmax", &sets.each_ref().map(String::as_str)).cycles
    };
    let launch = catalog::launch("softmax").unwrap();
    let (rounds, warps) = (launch.blocks() - 1, u64::from(launch.warps_per_block()));
    let without = cycles(0, 0.0);
    assert_eq!(cycles(1000, 0.0), without + 1000 * rounds);
    assert_eq!(cycles(1000, 2.0), without + (1000 + 2 * warps) * rounds);
}

/// One SM with room for one CTA runs the grid one CTA after the other.
#[test]
fn a_full_sm_makes_ctas_wait() {
    let alone = run("h100-pcie", "softmax", &["part.sm.count=1", "part.sm.limits.ctas=1"]);
    let four = run("h100-pcie", "softmax", &["part.sm.count=1", "part.sm.limits.ctas=4"]);
    assert_eq!(alone.executed, four.executed);
    assert!(four.cycles < alone.cycles, "{} against {}", four.cycles, alone.cycles);
    // The 96 rows stay in order, one resident at a time: no two CTAs can overlap.
    assert!(alone.stats.value("cp.last_dispatch").unwrap() > four.stats.value("cp.last_dispatch").unwrap());
}

#[test]
fn a_cta_that_fits_on_no_sm_is_refused() {
    let file = machine_file("h100-pcie", &["part.sm.limits.warps=4"]);
    let error = try_run(&file, &catalog::launch("saxpy").unwrap()).unwrap_err();
    assert!(matches!(error, GpuError::Config(_)), "{error}");
    assert!(error.to_string().contains("does not fit on an SM"), "{error}");
}

/// A buffer that is too short: the run ends with the instruction at fault, not with a hang or half a result.
#[test]
fn an_access_outside_all_buffers_ends_the_run() {
    let mut launch = catalog::launch("saxpy").unwrap();
    for argument in &mut launch.arguments {
        if let Value::Buffer { count, .. } = &mut argument.value {
            *count = 10;
        }
    }
    let error = try_run(&machine_file("rtx-a6000", &[]), &launch).unwrap_err();
    assert!(matches!(error, GpuError::Execution(_)), "{error}");
    assert!(error.to_string().contains("LDG"), "{error}");
}

#[test]
fn a_machine_without_sms_says_so() {
    let text = "[clock.core]\nmhz = 1000\n[part.memory]\nkind = \"memory.fixed\"\nclock = \"core\"\n";
    let file = MachineFile::parse("memory.toml", text).unwrap();
    let errors = GpuShape::of(&file).unwrap_err();
    assert!(errors[0].to_string().contains("gpu.sm"), "{}", errors[0]);
}
