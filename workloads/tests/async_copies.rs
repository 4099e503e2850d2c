//! Asynchronous copies and the barriers of a block beyond BAR.SYNC.

mod common;

use common::{Inputs, Mode, PRESET, THREADS, check_wide, grid, inputs, launch, outputs, program};
use proptest::prelude::*;
use workloads::stream::{AccessKind, CtaStream};

/// R4:R5 = address of this thread's a, R6 = a place of 8 bytes a thread in shared memory.
const PLACES: [&str; 2] = ["IMAD.WIDE R4, R0, R1, c[0x0][0x160]", "SHF.L.U32 R6, R0, 0x3, RZ"];

fn copy<'a>(copies: &[&'a str], load: &'a str) -> Vec<&'a str> {
    let mut body = PLACES.to_vec();
    body.extend(copies);
    body.extend(["LDGDEPBAR", "DEPBAR.LE SB0, 0x0", load]);
    body
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn copies_of_every_width(x in inputs()) {
        let narrow = ["LDGSTS.E [R6+0x10], [R4.64+0x4]", "LDGSTS.E [R6+0x14], [R4.64]"];
        check_wide(&x, &copy(&narrow, "LDS.64 R20, [R6+0x10]"), |a, _, _| a.rotate_left(32));
        check_wide(&x, &copy(&["LDGSTS.E.64 [R6], [R4.64]"], "LDS.64 R20, [R6]"), |a, _, _| a);
        check_wide(&x, &copy(&["LDGSTS.E.BYPASS.LTC128B.64 [R6], [R4.64], PT"], "LDS.64 R20, [R6]"), |a, _, _| a);
        // 16 bytes: the even threads copy their own and their neighbour's.
        let halves = [
            "LOP3.LUT R7, R0, 0xfffffffe, RZ, 0xc0, !PT",
            "IMAD.WIDE R4, R7, R1, c[0x0][0x160]",
            "SHF.L.U32 R8, R0, 0x4, RZ",
            "LDGSTS.E.128 [R8], [R4.64]",
            "LOP3.LUT R9, R0, 0x1, RZ, 0xc0, !PT",
            "LEA R8, R9, R8, 0x3",
        ];
        let padded = Inputs { abc: [&x.abc[..], &[[0; 3]]].concat(), flags: [&x.flags[..], &[false]].concat() };
        let found = outputs(&program(&copy(&halves, "LDS.64 R20, [R8]"), Mode::All), &padded).unwrap();
        prop_assert!(x.abc.iter().zip(&found).all(|(abc, found)| abc[0] == *found));
    }

    #[test]
    fn copies_fill_with_zeros(x in inputs(), missing in 1u32..8) {
        let set = "ISETP.LT.AND P1, PT, R10, RZ, PT";
        let body = copy(&[set, "LDGSTS.E.64 [R6], [R4.64], !P1"], "LDS.64 R20, [R6]");
        check_wide(&x, &body, |a, _, _| if (a as i32) < 0 { 0 } else { a });
        let skip = format!("IADD3 R4, R4, {missing:#x}, RZ");
        let body = copy(&[&skip, "LDGSTS.E.64.ZFILL [R6], [R4.64], PT"], "LDS.64 R20, [R6]");
        check_wide(&x, &body, |a, _, _| a & (u64::MAX >> (8 * missing)));
        let body = copy(&[&skip, "LDGSTS.E.64.ZFILL [R6], [R4.64], !PT"], "LDS.64 R20, [R6]");
        check_wide(&x, &body, |_, _, _| 0);
    }

    #[test]
    fn reductions_of_a_barrier(x in inputs()) {
        let set = "ISETP.LT.AND P1, PT, R10, RZ, PT";
        let negative = x.abc.iter().filter(|abc| (abc[0] as i32) < 0).count();
        let run = |body: &[&str]| outputs(&program(body, Mode::All), &x).unwrap();
        let want = PRESET & !0xffff_ffff;
        let count = run(&[set, "BAR.RED.POPC.DEFER_BLOCKING 0x0, P1", "B2R.RESULT R20"]);
        prop_assert_eq!(count, vec![want | negative as u64; THREADS]);
        for (kind, holds) in [("OR", negative > 0), ("AND", negative == THREADS)] {
            let reduce = format!("BAR.RED.{kind}.DEFER_BLOCKING 0x0, P1");
            let found = run(&[set, &reduce, "B2R.RESULT RZ, P2", "SEL R20, R1, RZ, P2"]);
            prop_assert_eq!(found, vec![want | if holds { 8 } else { 0 }; THREADS]);
        }
    }
}

#[test]
fn an_arrival_does_not_wait_and_lets_the_others_go_on() {
    // Warp 1 hands warp 0 a value three times over, through one word and two barriers.
    let mut body = vec!["ISETP.GE.AND P1, PT, R0, 0x20, PT", "MOV R20, RZ"];
    for _ in 0..3 {
        body.extend([
            "@P1 LDS R6, [RZ]",
            "@P1 IADD3 R6, R6, 0x5, RZ",
            "@P1 STS [RZ], R6",
            "@P1 BAR.ARV 0x1, 0x40",
            "@P1 BAR.SYNC 0x2, 0x40",
            "@!P1 BAR.SYNC 0x1, 0x40",
            "@!P1 LDS R7, [RZ]",
            "@!P1 IADD3 R20, R20, R7, RZ",
            "@!P1 BAR.ARV 0x2, 0x40",
        ]);
    }
    let x = Inputs { abc: vec![[0; 3]; THREADS], flags: vec![true; THREADS] };
    let found = outputs(&program(&body, Mode::All), &x).unwrap();
    assert!(found[..32].iter().all(|found| *found as u32 == 5 + 10 + 15), "{found:x?}");
}

#[test]
fn the_stream_has_the_lines_read_and_the_passes_of_the_write() {
    // 32 lanes read 8 bytes each, side by side; they write 32 bytes apart: every bank pair four ways.
    let body = [
        "IMAD.WIDE R4, R0, R1, c[0x0][0x160]",
        "SHF.L.U32 R6, R0, 0x5, RZ",
        "ISETP.LT.AND P1, PT, R0, 0x10, PT",
        "LDGSTS.E.64 [R6], [R4.64], P1",
    ];
    let x = Inputs { abc: vec![[0; 3]; 32], flags: vec![true; 32] };
    let mut stream = CtaStream::default();
    grid(&program(&body, Mode::All), &launch(&x, 32)).unwrap().run_cta(0, &mut stream).unwrap();
    let copy = stream.accesses.iter().find(|access| access.kind == AccessKind::Copy).unwrap();
    assert_eq!((copy.width_bytes, copy.bytes, copy.line_count), (8, 256, 1), "half of the lanes read nothing");
    assert_eq!(copy.passes, 8);
}

#[test]
fn copies_outside_and_misaligned_are_refused() {
    let x = Inputs { abc: vec![[0; 3]; THREADS], flags: vec![true; THREADS] };
    let complaint = |line: &str| {
        let mut body = PLACES.to_vec();
        body.push(line);
        outputs(&program(&body, Mode::All), &x).unwrap_err().to_string()
    };
    assert!(complaint("LDGSTS.E.64 [R6], [R4.64+0x1]").contains("not a multiple of 8"));
    assert!(complaint("LDGSTS.E.64 [R6+0x2], [R4.64]").contains("shared"));
    assert!(complaint("LDGSTS.E.64 [R6+0x100000], [R4.64]").contains("outside"));
    assert!(complaint("LDGSTS.E.64 [R6], [R4.64+0x10000]").contains("outside"));
}
