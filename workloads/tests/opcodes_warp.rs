//! Opcodes that concern memory, other lanes and control flow, against plain Rust.

// A thread's number indexes results and inputs alike.
#![allow(clippy::needless_range_loop)]

mod common;

use common::{Inputs, Mode, PRESET, SCALAR, THREADS, check, check_wide, inputs, outputs, program};
use proptest::prelude::*;

/// The whole program from its lines, with results as [`outputs`] gives them.
fn run(lines: &[String], inputs: &Inputs) -> Vec<u64> {
    outputs(lines, inputs).unwrap_or_else(|error| panic!("{error}"))
}

/// Lanes of the thread's warp that execute in a mode.
fn active(inputs: &Inputs, thread: usize, mode: Mode) -> Vec<usize> {
    let first = thread / 32 * 32;
    let last = (first + 32).min(THREADS);
    (first..last).filter(|&lane| mode == Mode::All || inputs.flags[lane]).collect()
}

/// As `check`, for results that depend on the other active lanes of the warp.
#[track_caller]
fn check_warp(inputs: &Inputs, body: &[&str], want: impl Fn(usize, &[usize]) -> u32) {
    for mode in [Mode::All, Mode::Predicated, Mode::Divergent] {
        let got = run(&program(body, mode), inputs);
        for thread in 0..THREADS {
            let lanes = active(inputs, thread, mode);
            let word = if lanes.contains(&thread) { want(thread, &lanes) } else { PRESET as u32 };
            assert_eq!(got[thread] as u32, word, "{body:?}, {mode:?}, thread {thread}");
        }
    }
}

fn mask(lanes: &[usize], holds: impl Fn(usize) -> bool) -> u32 {
    lanes.iter().filter(|&&lane| holds(lane)).fold(0, |mask, lane| mask | 1 << (lane % 32))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn votes_and_reductions(x in inputs()) {
        let word = |thread: usize| x.abc[thread][0] as u32;
        let negative = |lane: usize| word(lane) >> 31 == 1;
        let set = "ISETP.LT.AND P1, PT, R10, RZ, PT";
        check_warp(&x, &[set, "VOTE.ANY R20, PT, P1"], |_, lanes| mask(lanes, negative));
        check_warp(&x, &[set, "VOTE.ALL R20, PT, !P1"], |_, lanes| mask(lanes, |lane| !negative(lane)));
        check_warp(&x, &[set, "VOTE.ALL P2, P1", "SEL R20, R1, RZ, P2"], |_, lanes| 8 * u32::from(lanes.iter().all(|&l| negative(l))));
        check_warp(&x, &[set, "VOTE.ANY P2, P1", "SEL R20, R1, RZ, P2"], |_, lanes| 8 * u32::from(lanes.iter().any(|&l| negative(l))));
        let fold = |lanes: &[usize], f: fn(u32, u32) -> u32| lanes.iter().map(|&lane| word(lane)).reduce(f).unwrap();
        // What follows a reduction into a uniform register belongs to the same lanes.
        for (opcode, f) in [
            ("REDUX.SUM", (|a, b| a.wrapping_add(b)) as fn(u32, u32) -> u32),
            ("REDUX.MIN", |a, b| a.min(b)),
            ("REDUX.MAX.S32", |a, b| (a as i32).max(b as i32) as u32),
            ("REDUX.OR", |a, b| a | b),
            ("REDUX.XOR", |a, b| a ^ b),
        ] {
            check_warp(&x, &[&format!("{opcode} UR4, R10"), "MOV R20, UR4"], |_, lanes| fold(lanes, f));
        }
        check_warp(&x, &["R2UR UR4, R10", "IMAD.U32 R20, RZ, RZ, UR4"], |_, lanes| word(lanes[0]));
        check_warp(&x, &["LOP3.LUT R24, R10, 0x3, RZ, 0xc0, !PT", "MATCH.ANY R20, R24"], |thread, lanes| {
            mask(lanes, |lane| word(lane) & 3 == word(thread) & 3)
        });
    }

    #[test]
    fn shuffles(x in inputs(), by in 0usize..32, width_log in 0u32..6) {
        // Only full participation: what an inactive lane gives is not defined.
        let width = 1usize << width_log;
        let segment_up = (32 - width) << 8;
        let segment = segment_up | 31;
        let word = |thread: usize| x.abc.get(thread).map_or(0, |abc| abc[0] as u32);
        for (kind, operand) in [("BFLY", segment), ("DOWN", segment), ("UP", segment_up), ("IDX", segment)] {
            let body = [
                format!("SHFL.{kind} P1, R20, R10, {by:#x}, {operand:#x}"),
                "SEL R21, R1, RZ, P1".to_owned(),
            ];
            let got = run(&program(&[&body[0], &body[1]], Mode::All), &x);
            for thread in 0..32 {
                let base = thread / width * width;
                let from = match kind {
                    "BFLY" => (thread ^ by) as isize,
                    "DOWN" => (thread + by) as isize,
                    "UP" => thread as isize - by as isize,
                    _ => (base + by % width) as isize,
                };
                let inside = from >= 0 && match kind {
                    // A butterfly may reach into lower segments.
                    "BFLY" => (from as usize) < base + width,
                    _ => (from as usize) / width == thread / width,
                };
                let from = if inside { from as usize } else { thread };
                prop_assert_eq!(got[thread] as u32, word(from), "{} by {} width {} lane {}", kind, by, width, thread);
                prop_assert_eq!(got[thread] >> 32, 8 * u64::from(inside));
            }
        }
    }

    #[test]
    fn shared_memory(x in inputs(), rotate in 0usize..45) {
        // A thread reads what another has stored, through a barrier.
        let shared = |store: &str, load: &str, scale: usize| {
            let index = format!("MOV R25, {:#x}", THREADS - rotate);
            let size = format!("MOV R26, {THREADS:#x}");
            let scaled = format!("IMAD R24, R0, {scale:#x}, RZ");
            let back = format!("IMAD R27, R27, {scale:#x}, RZ");
            let body = [
                scaled.as_str(), store, "BAR.SYNC.DEFER_BLOCKING 0x0", &index, &size,
                // (thread + THREADS − rotate) mod THREADS
                "IADD3 R27, R0, R25, RZ", "ISETP.GE.AND P1, PT, R27, R26, PT", "SEL R28, R26, RZ, P1",
                "IADD3 R27, R27, -R28, RZ", &back, load,
            ];
            run(&program(&body, Mode::All), &x)
        };
        let from = |thread: usize| x.abc[(thread + THREADS - rotate) % THREADS];
        let word = shared("STS [R24], R10", "LDS R20, [R27]", 4);
        let double = shared("STS.64 [R24], R10", "LDS.64 R20, [R27]", 8);
        let upper = shared("STS.128 [R24+0x10], R10", "LDS.64 R20, [R27+0x18]", 16);
        let byte = shared("STS.U8 [R24], R10", "LDS.S8 R20, [R27]", 1);
        let half = shared("STS.U16 [R24], R10", "LDS.U16 R20, [R27]", 2);
        for thread in 0..THREADS {
            let [a, b, _] = from(thread);
            prop_assert_eq!(word[thread] as u32, a as u32);
            prop_assert_eq!(double[thread], a);
            prop_assert_eq!(upper[thread], b);
            prop_assert_eq!(byte[thread] as u32, a as u8 as i8 as u32);
            prop_assert_eq!(half[thread] as u32, u32::from(a as u16));
        }
    }

    #[test]
    fn local_and_constant_memory(x in inputs()) {
        check_wide(&x, &[
            "MOV R30, c[0x0][0x28]", "IADD3 R30, R30, -0x20, RZ",
            "STL.64 [R30], R10", "STL.128 [R30+0x10], R12", "LDL R20, [R30+0x4]", "LDL R21, [R30+0x18]",
        ], |a, _, c| a >> 32 | c << 32);
        check(&x, &["LOP3.LUT R24, R10, 0x1c, RZ, 0xc0, !PT", "LDC R20, c[0x3][R24]"], |a, _, _| {
            let first = a & 0x1c;
            u32::from_le_bytes(std::array::from_fn(|at| first as u8 + at as u8))
        });
        check(&x, &["LOP3.LUT R24, R10, 0xf, RZ, 0xc0, !PT", "LDC.U8 R20, c[0x3][R24+0x2]"], |a, _, _| (a & 0xf) + 2);
        check(&x, &["LDC R20, c[0x0][0x188]"], |_, _, _| SCALAR);
        let float = ["UI2FP.F32.U32 UR4, 0x3", "UFFMA UR4, UR4, 2.5, 0.5", "UFADD UR4, UR4, 1", "MOV R20, UR4"];
        check(&x, &float, |_, _, _| 9f32.to_bits());
        check(&x, &["UVIMNMX.S32 UR4, URZ, 0x20, !UPT", "MOV R20, UR4"], |_, _, _| 32);
        for load in ["ULDC UR4, c[0x0][0x188]", "LDCU UR4, c[0x0][0x188]"] {
            check(&x, &[load, "IADD3 R20, R10, UR4, RZ"], |a, _, _| a.wrapping_add(SCALAR));
        }
    }

    #[test]
    fn uniform_registers(x in inputs(), a: u32, b: u32, by in 0u32..32) {
        let set = [format!("UMOV UR4, {a:#x}"), format!("UMOV UR5, {b:#x}"), "UMOV UR6, 0x3".to_owned()];
        let with = |lines: &[&str], want: u32| {
            let mut body: Vec<&str> = set.iter().map(String::as_str).collect();
            body.extend(lines);
            body.push("MOV R20, UR8");
            // Uniform instructions do not depend on the lanes, so they take no vector guard: not in predicated mode.
            for mode in [Mode::All, Mode::Divergent] {
                let got = run(&program(&body, mode), &x);
                for thread in 0..THREADS {
                    let runs = mode == Mode::All || x.flags[thread];
                    assert_eq!(got[thread] as u32, if runs { want } else { PRESET as u32 }, "{lines:?} {mode:?}");
                }
            }
        };
        with(&["UIADD3 UR8, UR4, -UR5, UR6"], a.wrapping_sub(b).wrapping_add(3));
        with(&["UIMAD UR8, UR4, UR5, UR6"], a.wrapping_mul(b).wrapping_add(3));
        with(&["UIMAD.WIDE.U32 UR10, UR4, UR5, URZ", "UMOV UR8, UR11"], ((u64::from(a) * u64::from(b)) >> 32) as u32);
        with(&["ULEA UR8, UR4, UR5, 0x18"], (a << 24).wrapping_add(b));
        with(&[&format!("USHF.R.U32.HI UR8, URZ, {by:#x}, UR4")], a >> by);
        with(&["USHF.R.S32.HI UR8, URZ, 0x1f, UR4"], (a as i32 >> 31) as u32);
        with(&["UISETP.LT.AND UP0, UPT, UR4, UR5, UPT", "USEL UR8, UR4, UR5, UP0"], (a as i32).min(b as i32) as u32);
        with(&["UPOPC UR8, UR4"], a.count_ones());
        with(&["UFLO.U32 UR8, UR4"], a.checked_ilog2().unwrap_or(u32::MAX));
        with(&["ULOP3.LUT UR8, UR4, UR5, UR6, 0x96, !UPT"], a ^ b ^ 3);
        let carry = ["UIADD3 UR9, UP1, UR4, UR5, URZ", "UIADD3.X UR8, URZ, UR6, URZ, UP1, !UPT"];
        with(&carry, 3 + u32::from(a.checked_add(b).is_none()));
    }

    #[test]
    fn atomics_on_shared_memory(x in inputs()) {
        // All threads of the block on four words, in order of lanes and warps; the last one reads them back.
        let slot = |thread: usize| (x.abc[thread][1] & 3) as usize;
        let value = |thread: usize| x.abc[thread][0] as u32;
        for (line, f) in [
            ("ATOMS.ADD R20, [R24], R10", (|old, value| old.wrapping_add(value)) as fn(u32, u32) -> u32),
            ("ATOMS.MIN R20, [R24], R10", |old, value| old.min(value)),
            ("ATOMS.MAX.S32 R20, [R24], R10", |old, value| (old as i32).max(value as i32) as u32),
            ("ATOMS.OR R20, [R24], R10", |old, value| old | value),
            ("ATOMS.EXCH R20, [R24], R10", |_, value| value),
            ("ATOMS.INC R20, [R24], R10", |old, value| if old >= value { 0 } else { old + 1 }),
            ("ATOMS.DEC R20, [R24], R10", |old, value| if old == 0 || old > value { value } else { old - 1 }),
            ("ATOMS.POPC.INC.32 R20, [R24+URZ]", |old, _| old + 1),
            ("ATOMS.CAS R20, [R24], RZ, R10", |old, value| if old == 0 { value } else { old }),
        ] {
            let body = ["LOP3.LUT R24, R12, 0x3, RZ, 0xc0, !PT", "IMAD.SHL.U32 R24, R24, 0x4, RZ", line];
            let got = run(&program(&body, Mode::All), &x);
            let mut words = [0u32; 4];
            for thread in 0..THREADS {
                prop_assert_eq!(got[thread] as u32, words[slot(thread)], "{}, thread {}", line, thread);
                words[slot(thread)] = f(words[slot(thread)], value(thread));
            }
        }
    }

    #[test]
    fn atomics_on_global_memory(x in inputs()) {
        // Everybody adds to the first element of `a`, and reads it after a barrier.
        for (line, from, f) in [
            ("RED.E.ADD.STRONG.GPU [R2.64], R12", 0u64, (|old, b| old & !0xffff_ffff | (old as u32).wrapping_add(b as u32) as u64) as fn(u64, u64) -> u64),
            ("RED.E.ADD.64.STRONG.GPU [R2.64], R12", 0, |old, b| old.wrapping_add(b)),
            ("REDG.E.MAX.S64.STRONG.GPU [R2.64], R12", 0, |old, b| (old as i64).max(b as i64) as u64),
            ("ATOMG.E.XOR.STRONG.GPU PT, R24, [R2.64], R12", 0, |old, b| old ^ (b & 0xffff_ffff)),
            ("RED.E.ADD.F32.FTZ.RN.STRONG.GPU [R2.64], R12", 0, |old, b| {
                let flush = |value: f32| if value.is_subnormal() { 0.0 * value } else { value };
                let sum = flush(flush(f32::from_bits(old as u32)) + flush(f32::from_bits(b as u32)));
                old & !0xffff_ffff | u64::from(if sum.is_nan() { 0x7fff_ffff } else { sum.to_bits() })
            }),
        ] {
            let body = [
                "MOV R30, R2", "MOV R31, R3", "MOV R2, c[0x0][0x160]", "MOV R3, c[0x0][0x164]", line,
                "BAR.SYNC.DEFER_BLOCKING 0x0", "LDG.E.64.STRONG.GPU R20, [R2.64]", "MOV R2, R30", "MOV R3, R31",
            ];
            let got = run(&program(&body, Mode::All), &x);
            let want = x.abc.iter().fold(x.abc[0][0], |old, abc| f(old, abc[1]));
            prop_assert!(got.iter().all(|&got| got == want), "{} from {}: {:x?} {:#x}", line, from, &got[..2], want);
        }
    }

    /// A loop whose trip count differs from lane to lane, with a branch inside, and an early exit.
    #[test]
    fn divergent_loops(x in inputs()) {
        let lines = program(&[], Mode::All);
        let (prologue, epilogue) = (&lines[..lines.len() - 2], &lines[lines.len() - 2..]);
        let at = |line: usize| 16 * (prologue.len() + line);
        let mut all = prologue.to_vec();
        all.extend([
            "MOV R20, RZ".to_owned(),                                       // 0
            "LOP3.LUT R24, R10, 0xf, RZ, 0xc0, !PT".to_owned(),             // 1: trips
            format!("BSSY B0, {:#x}", at(13)),                              // 2
            "ISETP.GT.AND P1, PT, R24, RZ, PT".to_owned(),                  // 3: loop head
            format!("@!P1 BRA {:#x}", at(12)),                              // 4
            format!("BSSY B1, {:#x}", at(10)),                              // 5
            "LOP3.LUT P2, RZ, R24, 0x1, RZ, 0xc0, !PT".to_owned(),          // 6
            format!("@P2 BRA {:#x}", at(9)),                                // 7
            "IADD3 R20, R20, 0x64, RZ".to_owned(),                          // 8: even trips
            "BSYNC B1".to_owned(),                                          // 9
            "IADD3 R20, R20, 0x1, RZ".to_owned(),                           // 10: all trips, together again
            format!("@P1 BRA {:#x}", at(14)),                               // 11: to the decrement
            "BSYNC B0".to_owned(),                                          // 12
            format!("BRA {:#x}", at(16)),                                   // 13: to the end
            "IADD3 R24, R24, -0x1, RZ".to_owned(),                          // 14
            format!("BRA {:#x}", at(3)),                                    // 15
            // Threads with a large b leave without storing.
            "ISETP.LT.AND P3, PT, R12, RZ, PT".to_owned(),                  // 16
            "@P3 EXIT".to_owned(),                                          // 17
            "VOTE.ANY R21, PT, PT".to_owned(),                              // 18
        ]);
        all.extend_from_slice(epilogue);
        let got = run(&all, &x);
        for thread in 0..THREADS {
            let leaves = |thread: usize| x.abc[thread][1] as u32 >> 31 == 1;
            let trips = x.abc[thread][0] & 0xf;
            let stayed = mask(&active(&x, thread, Mode::All), |lane| !leaves(lane));
            let want = if leaves(thread) { PRESET } else { u64::from(stayed) << 32 | (trips + 100 * (trips / 2)) };
            prop_assert_eq!(got[thread], want, "thread {} of {} trips", thread, trips);
        }
    }

    /// A call whose return address differs from lane to lane, and a jump table.
    #[test]
    fn computed_jumps(x in inputs()) {
        let lines = program(&[], Mode::All);
        let (prologue, epilogue) = (&lines[..lines.len() - 2], &lines[lines.len() - 2..]);
        let at = |line: usize| 16 * (prologue.len() + line);
        let mut all = prologue.to_vec();
        all.extend([
            "LOP3.LUT R24, R10, 0x3, RZ, 0xc0, !PT".to_owned(),     // 0: 0 to 3
            "IMAD.SHL.U32 R24, R24, 0x20, RZ".to_owned(),           // 1: two instructions a case
            format!("IADD3 R24, R24, {:#x}, RZ", at(5)),            // 2
            format!("BSSY B0, {:#x}", at(14)),                      // 3
            format!("BRX R24 {:#x}", -(at(5) as i64)),              // 4
            "MOV R20, 0xa".to_owned(),                              // 5: case 0
            format!("BRA {:#x}", at(13)),                           // 6
            "MOV R20, 0xb".to_owned(),                              // 7: case 1
            format!("BRA {:#x}", at(13)),                           // 8
            "MOV R20, 0xc".to_owned(),                              // 9: case 2
            "NOP".to_owned(),                                       // 10
            "BREAK B0".to_owned(),                                  // 11: case 3, too, leaves the region …
            format!("BRA {:#x}", at(14)),                           // 12: … and does not wait
            "BSYNC B0".to_owned(),                                  // 13
            // A function that doubles R20, called by lanes with P0, and by all.
            format!("MOV R30, {:#x}", at(18)),                      // 14
            "MOV R31, RZ".to_owned(),                               // 15
            format!("@P0 CALL.REL.NOINC {:#x}", at(20)),            // 16
            format!("BRA {:#x}", at(18)),                           // 17
            "NOP".to_owned(),                                       // 18
            format!("BRA {:#x}", at(22)),                           // 19
            "IADD3 R20, R20, R20, RZ".to_owned(),                   // 20
            "RET.REL.NODEC R30 0x0".to_owned(),                     // 21
            "WARPSYNC 0xffffffff".to_owned(),                       // 22
            "VOTE.ANY R21, PT, PT".to_owned(),                      // 23
        ]);
        all.extend_from_slice(epilogue);
        let got = run(&all, &x);
        for thread in 0..THREADS {
            let value = [0xa, 0xb, 0xc, PRESET as u32][(x.abc[thread][0] & 3) as usize];
            let value = if x.flags[thread] { value.wrapping_add(value) } else { value };
            let together = mask(&active(&x, thread, Mode::All), |_| true);
            prop_assert_eq!(got[thread], u64::from(together) << 32 | u64::from(value), "thread {}", thread);
        }
    }
}

/// A lock that one lane holds while others of its warp spin on it: every path gets its turn.
#[test]
fn a_lock_within_a_warp_comes_to_an_end() {
    let inputs = Inputs { abc: vec![[0; 3]; THREADS], flags: vec![true; THREADS] };
    let lines = program(&[], Mode::All);
    let (prologue, epilogue) = (&lines[..lines.len() - 2], &lines[lines.len() - 2..]);
    let at = |line: usize| 16 * (prologue.len() + line);
    let mut all = prologue.to_vec();
    all.extend([
        "MOV R24, 0x1".to_owned(),                     // 0
        "ATOMS.CAS R25, [RZ], RZ, R24".to_owned(),     // 1: take the lock
        "ISETP.NE.AND P1, PT, R25, RZ, PT".to_owned(), // 2
        format!("@P1 BRA {:#x}", at(1)),               // 3: spin
        "LDS R20, [0x10]".to_owned(),                  // 4: the critical section: a counter
        "IADD3 R20, R20, 0x1, RZ".to_owned(),          // 5
        "STS [0x10], R20".to_owned(),                  // 6
        "ATOMS.EXCH RZ, [RZ], RZ".to_owned(),          // 7: release
    ]);
    all.extend_from_slice(epilogue);
    let mut counts: Vec<u64> = run(&all, &inputs).iter().map(|out| out & 0xffff_ffff).collect();
    counts.sort_unstable();
    assert_eq!(counts, (1..=THREADS as u64).collect::<Vec<_>>());
}
