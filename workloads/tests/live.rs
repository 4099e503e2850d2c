//! Execution at issue: the same values as ahead of time whatever the order of the warps, clocks, waits.

mod common;

use common::{Inputs, Mode, THREADS, launch, program};
use workloads::sass::exec::live::{LiveCta, Upcoming};
use workloads::sass::exec::{Cause, Clocks, ExecError, Grid, Values};
use workloads::sass::{catalog, check};
use workloads::stream::NO_ACCESS;

/// Steps the warps of a CTA in an order drawn from `seed` until all have exited.
fn run(grid: &mut Grid, cta: &mut LiveCta, seed: u64) -> Result<u64, ExecError> {
    let mut state = seed | 1;
    let mut running: Vec<usize> = (0..cta.warps()).collect();
    let mut clock = 0;
    while !running.is_empty() {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let place = (state >> 33) as usize % running.len();
        let warp = running[place];
        match cta.next(grid, warp) {
            Upcoming::Op { index, .. } => {
                clock += 1;
                let stepped = cta.step(grid, warp, Clocks { cycle: clock, time_ns: 1_000_000 + clock })?;
                assert_eq!(stepped.op.index, index);
                if stepped.op.access != NO_ACCESS {
                    let (access, lines) = cta.access(stepped.op.access);
                    assert_eq!(lines.len(), usize::from(access.line_count));
                    cta.forget_access(stepped.op.access);
                }
            }
            Upcoming::Waits { .. } => {}
            Upcoming::Over => {
                cta.retire(grid, warp)?;
                running.swap_remove(place);
            }
        }
    }
    Ok(clock)
}

#[test]
fn shipped_kernels_give_right_results_in_any_order_of_their_warps() {
    for (name, arch, seed) in
        [("softmax", "sm_90", 1), ("reduction", "sm_80", 2), ("histogram", "sm_86", 3), ("sgemm-naive", "sm_90", 4)]
    {
        let launch = catalog::launch(name).unwrap();
        let kernel = catalog::kernel(&launch.kernel, arch).unwrap();
        let mut live = Grid::with_values(&kernel, &launch, Values::AtIssue).unwrap();
        let mut ahead = Grid::new(&kernel, &launch).unwrap();
        for index in 0..live.cta_count() as u32 {
            let mut cta = live.start_cta(index);
            run(&mut live, &mut cta, seed + u64::from(index)).unwrap_or_else(|error| panic!("{error}"));
            ahead.run_cta_without_stream(index).unwrap();
        }
        assert_eq!(live.counters(), ahead.counters(), "{name}");
        let comparison = check::check(&launch, live.memory()).unwrap().unwrap();
        assert!(comparison.passed(), "{name}: {comparison:?}");
    }
}

fn inputs() -> Inputs {
    Inputs { abc: vec![[7; 3]; THREADS], flags: vec![true; THREADS] }
}

fn grid(body: &[&str]) -> Grid {
    let kernel = common::kernel(&program(body, Mode::All));
    Grid::with_values(&kernel, &launch(&inputs(), 32), Values::AtIssue).unwrap_or_else(|error| panic!("{error}"))
}

fn outcome(grid: &mut Grid) -> Result<u64, ExecError> {
    let mut cta = grid.start_cta(0);
    grid.set_nothing_starts(true);
    run(grid, &mut cta, 1)
}

fn result(grid: &Grid) -> u64 {
    let out = &grid.memory().buffer("out").unwrap().data;
    u64::from_le_bytes(out[..8].try_into().unwrap())
}

#[test]
fn clocks_show_the_moment_at_which_they_are_read() {
    // One warp, an instruction a tick: the distance of two reads is the number of instructions between them.
    let mut apart = grid(&[
        "CS2R.32 R24, SR_CLOCKLO",
        "NOP",
        "NOP",
        "S2R R25, SR_CLOCKLO",
        "IADD3 R20, R25, -R24, RZ",
        "MOV R21, RZ",
    ]);
    outcome(&mut apart).unwrap();
    assert_eq!(result(&apart), 3);
    let mut timer =
        grid(&["CS2R R24, SR_GLOBALTIMERLO", "CS2R R26, SR_CLOCKLO", "IADD3 R20, R24, -R26, RZ", "MOV R21, R27"]);
    outcome(&mut timer).unwrap();
    assert_eq!(result(&timer), 1_000_000 - 1);
}

fn loop_round(body: &[&str]) -> Vec<String> {
    let start = program(&[], Mode::All).len() - 2;
    let mut lines: Vec<String> = body.iter().map(|line| (*line).to_owned()).collect();
    lines.push(format!("BRA {:#x}", 16 * start));
    lines
}

#[test]
fn a_wait_that_changes_nothing_is_found_out() {
    let spinning: [&[&str]; 3] = [
        &["LDG.E R24, [R2.64]", "ISETP.NE.AND P1, PT, R24, RZ, PT"],
        // A lock that somebody else holds: the exchange stores what is there.
        &["MOV R24, 0x7", "ATOMG.E.EXCH.STRONG.GPU PT, R25, [R2.64], R24"],
        // Registers that go round among three states.
        &["IADD3 R24, R24, 0x1, RZ", "ISETP.EQ.AND P1, PT, R24, 0x3, PT", "SEL R24, RZ, R24, P1"],
    ];
    for body in spinning {
        let lines = loop_round(body);
        let mut grid = grid(&lines.iter().map(String::as_str).collect::<Vec<_>>());
        let error = outcome(&mut grid).unwrap_err();
        assert!(matches!(*error.cause, Cause::Stuck(_)), "{error}");
        assert!(grid.counters().warp_instructions < 100_000, "{}", grid.counters().warp_instructions);
    }
}

#[test]
fn a_wait_that_counts_is_given_up_and_one_for_the_clock_ends() {
    let lines = loop_round(&["IADD3 R24, R24, 0x1, RZ"]);
    let mut counting = grid(&lines.iter().map(String::as_str).collect::<Vec<_>>());
    counting.set_watchdog(50_000);
    let error = outcome(&mut counting).unwrap_err();
    assert!(error.to_string().contains("50000 warp instructions"), "{error}");

    let start = 16 * (program(&[], Mode::All).len() - 2);
    let back = format!("@!P1 BRA {start:#x}");
    let mut timed = grid(&["CS2R.32 R24, SR_CLOCKLO", "ISETP.GT.AND P1, PT, R24, 0x4000, PT", "MOV R24, RZ", &back]);
    assert!(outcome(&mut timed).unwrap() > 0x4000);
}

#[test]
fn without_values_at_issue_a_spin_is_found_out_and_names_what_helps() {
    let lines = loop_round(&["LDG.E R24, [R2.64]", "ISETP.NE.AND P1, PT, R24, RZ, PT"]);
    let kernel = common::kernel(&program(&lines.iter().map(String::as_str).collect::<Vec<_>>(), Mode::All));
    let mut grid = Grid::new(&kernel, &launch(&inputs(), 32)).unwrap();
    let error = grid.run_cta_without_stream(0).unwrap_err();
    assert!(matches!(*error.cause, Cause::Spin) && error.to_string().contains("--coupled"), "{error}");
    assert!(grid.counters().warp_instructions < 1_000_000);
}
