//! A whole GPU: command processor, SMs and memory, on shipped kernels.

use machine::gpu::{GpuError, GpuResult, GpuShape, GpuSimulation};
use sim_core::config::Document;
use sim_core::{MachineFile, Plan};
use workloads::sass::exec::Values;
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

fn run_program(machine: &str, workloads: &[Launch]) -> GpuResult {
    let file = machine_file(machine, &[]);
    let arch = GpuShape::of(&file).unwrap().sm.arch;
    let kernels: Vec<_> = workloads.iter().map(|launch| catalog::kernel(&launch.kernel, &arch).unwrap()).collect();
    let program: Vec<_> = kernels.iter().zip(workloads).collect();
    let simulation = GpuSimulation::of_launches(&file, &program, Plan::serial(), Values::Ahead).unwrap();
    simulation.run(&mut |_| {}).unwrap()
}

/// Copies by the host leave the inputs in the L2; after a flush they come from DRAM.
#[test]
fn a_launch_finds_what_the_host_copied() {
    let launch = catalog::launch("vectoradd").unwrap();
    let warm = run_program("h100-pcie", std::slice::from_ref(&launch));
    let cold = run_program("h100-pcie", &[launch.clone().with("caches", "flushed").unwrap()]);
    let bytes: usize = launch.arguments.iter().filter_map(|argument| Some(4 * argument.value.memory()?.0)).sum();
    assert!(warm.stats.value("l2.host_bytes").unwrap() >= bytes as u64);
    assert_eq!(cold.stats.value("l2.host_bytes"), Some(0));
    // What the front end fetches ahead of the code's end.
    assert!(warm.stats.value("l2.memory_read_bytes").unwrap() < 4096);
    assert!(cold.stats.value("l2.memory_read_bytes").unwrap() >= bytes as u64 * 2 / 3);
    // At least the latency of DRAM for the code, and that for the data.
    assert!(cold.cycles > warm.cycles + 500, "{} and {}", cold.cycles, warm.cycles);
}

/// The second launch adds to what the first left in memory, finds it in the L2, and pays its own overhead.
#[test]
fn launches_of_a_program_share_memory_and_caches() {
    let plain = catalog::launch("saxpy").unwrap();
    let flushed = plain.clone().with("caches", "flushed").unwrap();
    let one = run_program("h100-pcie", std::slice::from_ref(&flushed));
    let two = run_program("h100-pcie", &[flushed, plain]);
    let cycles = |launch: usize| two.stats.value(&format!("cp.launch.{launch}.cycles")).unwrap();
    assert_eq!(cycles(1) + cycles(2), two.cycles);
    assert_eq!(cycles(1), one.cycles);
    assert!(cycles(2) + 500 < cycles(1), "{} and {}", cycles(2), cycles(1));
    assert_eq!(two.executed.warp_instructions, 2 * one.executed.warp_instructions);
    assert_eq!(two.stats.value("l2.memory_read_bytes"), one.stats.value("l2.memory_read_bytes"));
}

/// Two transposes give what there was: the second reads what the first wrote.
#[test]
fn a_program_passes_buffers_on_by_name() {
    let change = |launch: &Launch, changes: &[(&str, &str)]| {
        changes.iter().fold(launch.clone(), |launch, (key, value)| launch.with(key, value).unwrap())
    };
    let launch = catalog::launch("transpose").unwrap();
    let first = change(&launch, &[("memory.in", "a"), ("memory.out", "b")]);
    let back =
        [("grid", "10x16"), ("arg.rows", "500"), ("arg.columns", "300"), ("memory.in", "b"), ("memory.out", "c")];
    let second = change(&launch, &back);
    let file = machine_file("rtx-3070", &[]);
    let kernel = catalog::kernel(&launch.kernel, "sm_86").unwrap();
    let program = [(&kernel, &first), (&kernel, &second)];
    let mut simulation = GpuSimulation::of_launches(&file, &program, Plan::serial(), Values::Ahead).unwrap();
    simulation.advance(None, &mut |_| {}).unwrap();
    let same = simulation.store().with_grid(|grid| {
        let data = |name: &str| grid.memory().buffer(name).unwrap().data.clone();
        (data("a") == data("c"), data("a") == data("b"))
    });
    assert_eq!(same, Some((true, false)));
    // A buffer cannot have two sizes.
    let larger = change(&second, &[("arg.out", "999999"), ("memory.out", "a")]);
    let program = [(&kernel, &first), (&kernel, &larger)];
    let error = GpuSimulation::of_launches(&file, &program, Plan::serial(), Values::Ahead).err().unwrap();
    assert!(error.to_string().contains("buffer `a` has"), "{error}");
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
