//! Matrix multiplies and matrix loads beyond the published distances: rates as parameters, shared pipes, conflicts.

mod common;

use gpu::sm::bench::{Bench, Metrics, Outcome, Program};
use gpu::sm::{Reason, SmSpec};

fn run(spec: SmSpec, warps: &[u16], lines: &[String]) -> (Program, Outcome) {
    let program = Program::new(lines).unwrap();
    let outcome = Bench { warps: warps.to_vec(), ..Bench::new(spec) }.run(&program).unwrap();
    assert!(outcome.finished);
    (program, outcome)
}

/// Cycles between issues of independent multiplies of one warp.
fn interval(spec: &SmSpec, name: &str) -> f64 {
    let line = |i: u32| format!("B------:R-:W-:-:S01  {name} R{}, R60, R64, R{}", 4 + 4 * i, 4 + 4 * i);
    let (program, outcome) = run(spec.clone(), &[0], &(0..8).map(line).collect::<Vec<_>>());
    Metrics { program: &program, outcome: &outcome }.get("issue_interval").unwrap()
}

/// NVIDIA's GA102 white paper, table of the RTX 3090 and the RTX A6000: sums in single precision at half the rate on the former.
#[test]
fn geforce_parts_halve_the_rate_of_sums_in_single_precision() {
    let mut spec = common::parameters("ga102");
    let of = |spec: &SmSpec| ["HMMA.16816.F16", "HMMA.16816.F32", "IMMA.16832.S8.S8"].map(|name| interval(spec, name));
    assert_eq!(of(&spec), [16.0, 16.0, 16.0]);
    spec.execution.tensor_single_sum_factor = 2;
    assert_eq!(of(&spec), [16.0, 32.0, 16.0]);
}

#[test]
fn doubles_share_one_pipe_where_the_sm_has_one() {
    let line = |i: u32| format!("B------:R-:W0:-:S01  DMMA.884 R{}, R60, R64, R{}", 4 + 4 * i, 4 + 4 * i);
    let lines: Vec<String> = (0..6).map(line).collect();
    let last = |set: &str, warps: &[u16]| {
        let (_, outcome) = run(common::parameters(set), warps, &lines);
        outcome.issues.iter().filter_map(|issues| issues.last()).map(|issue| issue.cycle).max().unwrap()
    };
    // GA100 has a matrix unit a sub-core, GA102 two double-precision lanes for all four.
    assert_eq!(last("ga100", &[0, 1, 2, 3]), last("ga100", &[0]));
    assert!(last("ga102", &[0, 1, 2, 3]) > last("ga102", &[0]) + 3 * 4 * 128);
}

#[test]
fn a_wait_for_a_matrix_multiply_is_charged_to_it() {
    let lines =
        ["B------:R-:W0:-:S02  DMMA.8x8x4 R4, R60, R64, R4", "B0-----:R-:W-:-:S01  FADD R4, R4, R4"].map(str::to_owned);
    let (program, outcome) = run(common::parameters("gh100"), &[0], &lines);
    assert_eq!(Metrics { program: &program, outcome: &outcome }.get("issue_1"), Some(16.0));
    assert_eq!(outcome.counters.subcore_cycles[Reason::WaitTensor as usize], 14);
}

/// The configuration of the public simulator of arXiv 2503.20481 adds 2 cycles for .2 and .4; a matrix is 128 bytes, a pass.
#[test]
fn matrix_loads_take_a_pass_a_matrix_and_two_more_cycles() {
    let distance = |load: &str| {
        let lines = [format!("B------:R-:W0:-:S02  {load} R4, [R2]"), "B0-----:R-:W-:-:S01  NOP".to_owned()];
        let (program, outcome) = run(common::parameters("ga102"), &[0], &lines);
        Metrics { program: &program, outcome: &outcome }.get("issue_1").unwrap()
    };
    assert_eq!(["LDSM.16.M88", "LDSM.16.M88.2", "LDSM.16.MT88.4"].map(distance), [24.0, 26.0, 26.0]);
    assert_eq!(distance("LDS"), 24.0);
    // A stream of loads: the SM takes 512 bytes in four cycles, whichever sub-cores they come from.
    let lines: Vec<String> = (0..16).map(|_| "B------:R-:W0:-:S01  LDSM.16.M88.4 R4, [R2]".to_owned()).collect();
    let (_, outcome) = run(common::parameters("ga102"), &[0, 1, 2, 3], &lines);
    let cycles: Vec<u64> = outcome.issues.iter().map(|issues| issues[15].cycle - issues[7].cycle).collect();
    assert!(cycles.iter().all(|&cycles| cycles == 8 * 4 * 4), "{cycles:?}");
}
