//! Random programs: they end, every cycle is accounted for, and skipping idle cycles changes nothing.

mod common;

use gpu::sm::Reason;
use gpu::sm::bench::{Bench, Caches, Outcome, Program};
use proptest::prelude::*;

const OPS: [&str; 22] = [
    "NOP",
    "FFMA R{d}, R{a}.reuse, R{b}, R{c}",
    "FADD R{d}, R{a}, R{b}",
    "IADD3 R{d}, R{a}, R{b}.reuse, R{c}",
    "IMAD R{d}, R{a}, c[0x0][0x160], R{c}",
    "IMAD.WIDE R{e}, R{a}, R{b}, R{f}",
    "HFMA2.MMA R{d}, -RZ, RZ, 0, 0",
    "DFMA R{e}, R{f}, R{f}, R{f}",
    "HMMA.16816.F32 R{q}, R{q}, R{e}, R{q}",
    "MUFU.RCP R{d}, R{a}",
    "S2R R{d}, SR_TID.X",
    "SHFL.BFLY PT, R{d}, R{a}, 0x1, 0x1f",
    "LDC R{d}, c[0x0][0x28]",
    "ULDC UR4, c[0x0][0x28]",
    "LDG.E.128 R{q}, [R{e}.64]",
    "STG.E [R{e}.64], R{d}",
    "LDS.64 R{e}, [R{a}]",
    "STS [R{a}], R{d}",
    "ATOMG.E.ADD.STRONG.GPU PT, R{d}, [R{e}.64], R{a}",
    "RED.E.ADD.STRONG.GPU [R{e}.64], R{a}",
    "BAR.SYNC 0x0",
    "MEMBAR.SC.GPU",
];

/// One line: operation, registers, and a control field that fits the kind of result.
fn line() -> impl Strategy<Value = String> {
    let registers = (0u8..120, 0u8..120, 0u8..120, 0u8..120);
    (0..OPS.len(), registers, 0u8..6, 0u8..64, any::<bool>(), 0u8..16).prop_map(
        |(op, (a, b, c, d), counter, mask, yields, stall)| {
            let text = OPS[op]
                .replace("{a}", &a.to_string())
                .replace("{b}", &b.to_string())
                .replace("{c}", &c.to_string())
                .replace("{d}", &d.to_string())
                .replace("{e}", &(d & !1).to_string())
                .replace("{f}", &(b & !1).to_string())
                .replace("{q}", &(d & !3).to_string());
            let mask: String =
                (0..6).map(|place| if mask >> place & 1 == 1 { format!("{place}") } else { "-".into() }).collect();
            let (reads, writes) = match op {
                9..=12 | 14 | 16 | 18 => (counter % 2 == 0, true),
                15 | 17 | 19 => (true, false),
                _ => (false, false),
            };
            let name =
                |letter: char, used: bool| if used { format!("{letter}{counter}") } else { format!("{letter}-") };
            let yields = if yields { 'Y' } else { '-' };
            format!("B{mask}:{}:{}:{yields}:S{stall:02}  {text}", name('R', reads), name('W', writes))
        },
    )
}

fn run(lines: &[String], warps: u16, caches: Caches, every_cycle: bool) -> Outcome {
    let spec = common::parameters("gh100");
    let warps = (0..warps).collect();
    let bench = Bench { warps, caches, every_cycle, check_hazards: !every_cycle, ..Bench::new(spec) };
    bench.run(&Program::new(lines).unwrap()).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn random_programs_end_and_are_accounted_for(
        mut lines in prop::collection::vec(line(), 1..60),
        warps in 1u16..33,
        cold in any::<bool>(),
    ) {
        lines.push("B------:R-:W-:-:S05  EXIT".to_owned());
        let caches = if cold { Caches::Cold } else { Caches::Hit };
        let skipping = run(&lines, warps, caches, false);
        prop_assert!(skipping.finished);
        let counters = &skipping.counters;
        prop_assert_eq!(counters.instructions_issued, lines.len() as u64 * u64::from(warps));
        prop_assert_eq!(counters.subcore_cycles.iter().sum::<u64>(), 4 * counters.cycles);
        prop_assert_eq!(counters.subcore_cycles[Reason::Issued as usize], counters.instructions_issued);
        let stepping = run(&lines, warps, caches, true);
        prop_assert_eq!(&stepping.issues, &skipping.issues);
        prop_assert_eq!(&stepping.counters, counters);
    }
}
