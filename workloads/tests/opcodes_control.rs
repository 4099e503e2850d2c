//! Opcodes that concern calls, convergence, barriers of the block and generic addresses, against plain Rust.

#![allow(clippy::needless_range_loop)]

mod common;

use common::{Inputs, Mode, PRESET, THREADS, inputs, outputs, program};
use proptest::prelude::*;

/// A program whose body is written with its addresses: `{n}` stands for line n of the body, `{end}` for the line behind it.
fn run(body: &[&str], x: &Inputs) -> Vec<u64> {
    let plain = program(&[], Mode::All);
    let first = plain.len() - 2;
    let address = |line: usize| format!("{:#x}", 16 * (first + line));
    let mut text: Vec<String> = body.iter().map(|line| (*line).to_owned()).collect();
    for line in &mut text {
        for number in 0..body.len() {
            *line = line.replace(&format!("{{{number}}}"), &address(number));
        }
        *line = line.replace("{end}", &address(body.len()));
    }
    let body: Vec<&str> = text.iter().map(String::as_str).collect();
    outputs(&program(&body, Mode::All), x).unwrap_or_else(|error| panic!("{error}"))
}

fn word(x: &Inputs, thread: usize) -> u32 {
    x.abc[thread][0] as u32
}

fn warp(thread: usize) -> std::ops::Range<usize> {
    let first = thread / 32 * 32;
    first..(first + 32).min(THREADS)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Each lane calls one of two functions through a pointer; both return to where they came from.
    #[test]
    fn calls_through_pointers(x in inputs()) {
        for call in ["CALL.REL.NOINC R26 0x0", "CALL.ABS.NOINC R26"] {
            let got = run(&[
                "LOP3.LUT P1, RZ, R10, 0x1, RZ, 0xc0, !PT",     // 0: odd
                "MOV R26, {9}",
                "@P1 MOV R26, {11}",
                "LEPC R24, {6}",                                 // the return address
                "BSSY B6, {7}",
                call,                                            // 5
                "BSYNC B6",
                "VOTE.ANY R21, PT, PT",                          // 7: all of the warp again
                "BRA {end}",
                "IADD3 R20, R10, R10, RZ",                       // 9: even
                "RET.REL.NODEC R24 0x0",
                "LOP3.LUT R20, R10, R12, RZ, 0x3c, !PT",         // 11: odd
                "RET.ABS.NODEC R24",
            ], &x);
            for thread in 0..THREADS {
                let a = word(&x, thread);
                let want = if a & 1 == 1 { a ^ x.abc[thread][1] as u32 } else { a.wrapping_mul(2) };
                prop_assert_eq!(got[thread] as u32, want);
                prop_assert_eq!((got[thread] >> 32).count_ones() as usize, warp(thread).len());
            }
        }
    }

    /// f(n) = n + f(n − 1), to a depth that differs from lane to lane. Each call saves the barrier register on the stack.
    #[test]
    fn recursion_saves_the_convergence_barrier(x in inputs()) {
        let got = run(&[
            "LOP3.LUT R4, R10, 0x3, RZ, 0xc0, !PT",      // 0: n
            "MOV R1, c[0x0][0x28]",
            "MOV R24, {4}",
            "BRA {7}",
            "MOV R20, R5",                                // 4: back
            "VOTE.ANY R21, PT, PT",
            "BRA {end}",
            "IADD3 R1, R1, -0x10, RZ",                    // 7: the function, argument R4, result R5, return address R24
            "STL [R1], R24",
            "STL [R1+0x4], R16",
            "STL [R1+0x8], R4",
            "BMOV.32.CLEAR R16, B6",                      // 11
            "MOV R5, RZ",
            "BSSY B6, {20}",
            "ISETP.EQ.AND P1, PT, R4, RZ, PT",
            "@P1 BRA {19}",
            "IADD3 R4, R4, -0x1, RZ",
            "MOV R24, {19}",
            "BRA {7}",
            "BSYNC B6",                                   // 19
            "LDL R4, [R1+0x8]",                           // 20
            "IADD3 R5, R5, R4, RZ",
            "BMOV.32 B6, R16",
            "LDL R16, [R1+0x4]",
            "LDL R24, [R1]",
            "IADD3 R1, R1, 0x10, RZ",
            "RET.REL.NODEC R24 0x0",
        ], &x);
        for thread in 0..THREADS {
            let n = word(&x, thread) & 3;
            prop_assert_eq!(got[thread] as u32, n * (n + 1) / 2);
        }
    }

    /// Lanes with different masks wait for their own only, and compute without the others.
    #[test]
    fn masks_in_registers(x in inputs()) {
        let odd = |thread: usize| word(&x, thread) & 1 == 1;
        let body = [
            "LOP3.LUT P1, RZ, R10, 0x1, RZ, 0xc0, !PT",     // 0
            "VOTE.ANY R24, PT, P1",
            "VOTE.ANY R25, PT, !P1",
            "SEL R24, R24, R25, P1",
            "R2UR P2, URZ, R24",
            "BSSY B0, {10}",                                 // 5
            "WARPSYNC.EXCLUSIVE R24",
            "REDUX.SUM UR6, R10",
            "IMAD.U32 R20, RZ, RZ, UR6",
            "BSYNC B0",
            "SEL R21, R1, RZ, P2",
        ];
        let got = run(&body, &x);
        for thread in 0..THREADS {
            let alike: Vec<usize> = warp(thread).filter(|&lane| odd(lane) == odd(thread)).collect();
            let sum = alike.iter().fold(0u32, |sum, &lane| sum.wrapping_add(word(&x, lane)));
            prop_assert_eq!(got[thread] as u32, sum);
            prop_assert_eq!(got[thread] >> 32 != 0, alike.len() != warp(thread).len(), "whether masks differ");
        }
    }

    /// BRA.DIV and BRA.CONV lead lanes that came apart through the collective form of an operation.
    #[test]
    fn collectives(x in inputs()) {
        for (branch, falls_through) in [("BRA.DIV UR4, {11}", true), ("BRA.CONV UR4, {8}", false)] {
            let body = [
                "LOP3.LUT P1, RZ, R10, 0x1, RZ, 0xc0, !PT",      // 0
                "UMOV UR4, 0xffffffff",
                "MOV R25, 0xffffffff",
                "BSSY B0, {end}",
                "@P1 BRA {6}",
                "NOP",                                            // 5: even lanes come this way
                branch,                                           // 6
                if falls_through { "NOP" } else { "BRA {11}" },
                "REDUX.SUM UR6, R10",                             // 8: together
                "IMAD.U32 R20, RZ, RZ, UR6",
                "BRA {15}",
                "WARPSYNC.COLLECTIVE R25, {14}",                  // 11: apart
                "REDUX.SUM UR6, R10",
                "ENDCOLLECTIVE",
                "IMAD.U32 R20, RZ, RZ, UR6",                      // 14
                "BSYNC B0",
            ];
            let got = run(&body, &x);
            for thread in 0..THREADS {
                let sum = warp(thread).fold(0u32, |sum, lane| sum.wrapping_add(word(&x, lane)));
                prop_assert_eq!(got[thread] as u32, sum, "{}", branch);
            }
        }
    }

    #[test]
    fn barriers_that_reduce(x in inputs()) {
        let negative = |thread: &usize| word(&x, *thread) >> 31 == 1;
        let set = "ISETP.LT.AND P1, PT, R10, RZ, PT";
        let count = (0..THREADS).filter(negative).count() as u64;
        let popc = run(&[set, "BAR.RED.POPC.DEFER_BLOCKING 0x0, P1", "B2R.RESULT R20"], &x);
        let all = run(&[set, "BAR.RED.AND.DEFER_BLOCKING 0x0, P1", "B2R.RESULT RZ, P2", "SEL R20, R1, RZ, P2"], &x);
        let any = run(&[set, "BAR.RED.OR.DEFER_BLOCKING 0x3, 0x40, P1", "B2R.RESULT RZ, P2", "SEL R20, R1, RZ, P2"], &x);
        for thread in 0..THREADS {
            prop_assert_eq!(popc[thread] & 0xffff_ffff, count);
            prop_assert_eq!(all[thread] & 0xffff_ffff, if count == THREADS as u64 { 8 } else { 0 });
            prop_assert_eq!(any[thread] & 0xffff_ffff, if count > 0 { 8 } else { 0 });
        }
    }

    /// The first warp stores and says so without waiting; the second waits and reads. The barrier's number is in a register.
    #[test]
    fn producer_and_consumer(x in inputs()) {
        let got = run(&[
            "ISETP.GE.AND P1, PT, R0, 0x20, PT",             // 0
            "IMAD.SHL.U32 R24, R0, 0x4, RZ",
            "MOV R26, 0x5",
            "@P1 BRA {7}",
            "STS [R24], R10",
            "BAR.ARV 0x5, 0x40",                              // 5
            "BRA {9}",
            "BAR.SYNC R26, 0x40",                             // 7
            "LDS R20, [R24+-0x80]",
            "NOP",                                            // 9
        ], &x);
        for thread in 0..THREADS {
            let want = if thread < 32 { PRESET as u32 } else { word(&x, thread - 32) };
            prop_assert_eq!(got[thread] as u32, want);
        }
    }

    /// LD, ST and QSPC on addresses of all three spaces within one warp.
    #[test]
    fn generic_addresses(x in inputs()) {
        let place = |thread: usize| x.abc[thread][1] as u32 % 4;
        let prologue = [
            "MOV R1, c[0x0][0x28]",                                   // 0
            "IADD3 R30, R1, -0x10, RZ",
            "LOP3.LUT R24, R12, 0x3, RZ, 0xc0, !PT",
            "ISETP.EQ.AND P1, PT, R24, RZ, PT",                       // 0: shared
            "ISETP.EQ.AND P2, PT, R24, 0x1, PT",                      // 1: local
            "MOV R26, R2", "MOV R27, R3",                             // else the thread's own word of `out`
            "IMAD.SHL.U32 R29, R0, 0x8, RZ",
            "@P1 IADD3 R26, P3, R29, c[0x0][0x18], RZ",
            "@P1 IADD3.X R27, RZ, c[0x0][0x1c], RZ, P3, !PT",
            "@P2 IADD3 R26, P3, R30, c[0x0][0x20], RZ",
            "@P2 IADD3.X R27, RZ, c[0x0][0x24], RZ, P3, !PT",
            "ST.E.64 [R26.64], R10",
        ];
        let mut read: Vec<&str> = prologue.to_vec();
        read.extend(["MOV R20, RZ", "MOV R21, RZ", "LDS R20, [R29]", "LDL R21, [R30]", "@P1 MOV R21, RZ", "@!P1 MOV R20, RZ",
            "@P1 BRA {22}", "@P2 BRA {22}", "LD.E.64 R20, [R26]", "NOP"]);
        let read = run(&read, &x);
        let mut again: Vec<&str> = prologue.to_vec();
        again.push("LD.E.64 R20, [R26.64]");
        let again = run(&again, &x);
        let mut asked: Vec<&str> = prologue.to_vec();
        asked.extend([
            "QSPC.E.S P3, RZ, [R26]", "QSPC.E.L P4, RZ, [R26]", "QSPC.E.G P5, RZ, [R26]", "QSPC.E.D P6, RZ, [R26]",
            "SEL R20, R1, RZ, P3", "MOV R4, 0x1", "MOV R20, RZ", "@P3 IADD3 R20, R20, R4, RZ", "@P4 IADD3 R20, R20, 0x2, RZ",
            "@P5 IADD3 R20, R20, 0x4, RZ", "@P6 IADD3 R20, R20, 0x8, RZ", "MOV R21, RZ",
        ]);
        let asked = run(&asked, &x);
        for thread in 0..THREADS {
            let a = x.abc[thread][0];
            prop_assert_eq!(again[thread], a);
            let (low, space) = match place(thread) {
                0 => (a & 0xffff_ffff, 1),
                1 => (a << 32, 2),
                _ => (a, 4),
            };
            prop_assert_eq!(read[thread], low);
            prop_assert_eq!(asked[thread], space);
        }
    }

    /// Atomics of other widths and formats, and those that find out where they act.
    #[test]
    fn atomics(x in inputs()) {
        // All threads of the block on one word, in order; `f` gives the new value.
        let shared = |lines: &[&str], f: &dyn Fn(u64, u64) -> u64| {
            let mut body = vec!["MOV R24, 0x10"];
            body.extend(lines);
            body.extend(["BAR.SYNC.DEFER_BLOCKING 0x0", "LDS.64 R20, [R24]"]);
            let got = run(&body, &x);
            let want = x.abc.iter().fold(0, |old, abc| f(old, abc[0]));
            assert!(got.iter().all(|&got| got == want), "{lines:?}: {:#x} instead of {want:#x}", got[0]);
        };
        let add = |old: u64, a: u64| old.wrapping_add(a);
        shared(&["ATOMS.EXCH.64 R26, [R24], R10"], &|_, a| a);
        shared(&["ATOMS.CAS.64 R26, [R24], RZ, R10"], &|old, a| if old == 0 { a } else { old });
        // The compiler's loop for what ATOMS cannot add: read, compute, try.
        shared(&["LDS.64 R26, [R24]", "IADD3 R28, P1, R26, R10, RZ", "IADD3.X R29, R27, R11, RZ, P1, !PT",
            "ATOMS.CAST.SPIN.64 R28, [R24], R26, R28", "ISETP.EQ.U32.AND P1, PT, R28, 0x1, PT", "@!P1 BRA {1}"], &add);
        let generic = ["MOV R26, c[0x0][0x18]", "MOV R27, c[0x0][0x1c]", "IADD3 R26, R26, 0x10, RZ"];
        let with = |line: &'static str| [generic[0], generic[1], generic[2], line];
        shared(&with("ATOM.E.ADD.STRONG.GPU PT, R28, [R26.64], R10"), &|old, a| old & !0xffff_ffff | u64::from((old as u32).wrapping_add(a as u32)));
        shared(&with("ATOM.E.EXCH.64.STRONG.GPU P1, RZ, [R26.64], R10"), &|_, a| a);
        // Not done on shared memory when a predicate tells so: P1 stays for the loop behind.
        shared(&with("ATOM.E.ADD.F32.FTZ.RN.STRONG.GPU P1, RZ, [R26.64], R10"), &|old, _| old);
        let got = run(&[&with("ATOM.E.ADD.64.STRONG.GPU P1, RZ, [R26.64], R10")[..], &["SEL R20, R1, RZ, P1"]].concat(), &x);
        prop_assert!(got.iter().all(|&got| got as u32 == 0));

        // On the first element of `a` in global memory.
        let global = |line: &str, f: &dyn Fn(u64, u64) -> u64| {
            let body = ["MOV R26, c[0x0][0x160]", "MOV R27, c[0x0][0x164]", line, "BAR.SYNC.DEFER_BLOCKING 0x0", "LDG.E.64 R20, [R26.64]"];
            let got = run(&body, &x);
            let want = x.abc.iter().fold(x.abc[0][0], |old, abc| f(old, abc[1]));
            assert!(got.iter().all(|&got| got == want), "{line}: {:#x} instead of {want:#x}", got[0]);
        };
        global("RED.E.ADD.64.STRONG.GPU [R26.64], R12", &add);
        global("ATOMG.E.MIN.S64.STRONG.GPU PT, R28, [R26.64], R12", &|old, b| (old as i64).min(b as i64) as u64);
        global("ATOMG.E.AND.64.STRONG.GPU PT, R28, [R26.64], R12", &|old, b| old & b);
        global("ATOMG.E.CAS.64.STRONG.GPU PT, R28, [R26], R10, R12", &|old, b| if old == x.abc[0][0] { if x.abc[0][0] == old { b } else { old } } else { old });
        let canonical = |value: f64| if value.is_nan() { 0x7fff_ffff_ffff_ffff } else { value.to_bits() };
        global("RED.E.ADD.F64.RN.STRONG.GPU [R26.64], R12", &|old, b| canonical(f64::from_bits(old) + f64::from_bits(b)));
        global("ATOM.E.ADD.F64.RN.STRONG.GPU P1, RZ, [R26.64], R12", &|old, b| canonical(f64::from_bits(old) + f64::from_bits(b)));
        let halves = |old: u64, b: u64, add: &dyn Fn(u16, u16) -> u16| {
            let sum = |shift: u64| u64::from(add((old >> shift) as u16, (b >> shift) as u16)) << shift;
            old & !0xffff_ffff | sum(16) | sum(0)
        };
        global("RED.E.ADD.F16x2.RN.STRONG.GPU [R26.64], R12", &|old, b| halves(old, b, &|a, b| {
            let sum = half::f16::from_f64(half::f16::from_bits(a).to_f64() + half::f16::from_bits(b).to_f64());
            if sum.is_nan() { 0x7fff } else { sum.to_bits() }
        }));
        global("ATOMG.E.ADD.BF16x2.RN.STRONG.GPU PT, R28, [R26.64], R12", &|old, b| halves(old, b, &|a, b| {
            use rustc_apfloat::{Float, Round, ieee::BFloat};
            let sum = BFloat::from_bits(a.into()).add_r(BFloat::from_bits(b.into()), Round::NearestTiesToEven).value;
            if sum.is_nan() { 0x7fff } else { sum.to_bits() as u16 }
        }));
    }

    #[test]
    fn matches_and_votes(x in inputs()) {
        let alike = |x: &Inputs, thread: usize, wide: bool| {
            let value = |lane: usize| if wide { x.abc[lane][0] } else { word(x, lane).into() };
            warp(thread).filter(|&lane| value(lane) == value(thread)).fold(0u32, |mask, lane| mask | 1 << (lane % 32))
        };
        let full = |thread: usize| warp(thread).fold(0u32, |mask, lane| mask | 1 << (lane % 32));
        // Few values, sometimes one.
        let mut few = x.clone();
        let same = x.flags[0];
        for abc in &mut few.abc {
            abc[0] = if same { 7 << 32 | 5 } else { abc[0] & 0x1_0000_0001 };
        }
        for (kind, wide) in [("", false), (".U64", true)] {
            let any = run(&[&format!("MATCH.ANY{kind} R20, R10")], &few);
            let all = run(&[&format!("MATCH.ALL{kind} P1, R20, R10"), "SEL R21, R1, RZ, P1"], &few);
            for thread in 0..THREADS {
                prop_assert_eq!(any[thread] as u32, alike(&few, thread, wide));
                let everyone = alike(&few, thread, wide) == full(thread);
                prop_assert_eq!(all[thread] as u32, if everyone { full(thread) } else { 0 });
                prop_assert_eq!(all[thread] >> 32 != 0, everyone);
            }
        }
        let equal = run(&["LOP3.LUT P1, RZ, R10, 0x1, RZ, 0xc0, !PT", "VOTE.EQ P2, P1", "SEL R20, R1, RZ, P2"], &few);
        for thread in 0..THREADS {
            let odd = warp(thread).filter(|&lane| word(&few, lane) & 1 == 1).count();
            prop_assert_eq!(equal[thread] as u32 != 0, odd == 0 || odd == warp(thread).len());
        }
    }
}
