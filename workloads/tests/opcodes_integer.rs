//! Integer and bit opcodes against plain Rust: full, predicated, divergent and partial warps.

mod common;

use common::{SCALAR, check, check_predicate, check_wide, inputs};
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn additions(x in inputs()) {
        check(&x, &["IADD3 R20, R10, R12, R14"], |a, b, c| a.wrapping_add(b).wrapping_add(c));
        check(&x, &["IADD3 R20, -R10, R12, -R14"], |a, b, c| b.wrapping_sub(a).wrapping_sub(c));
        check(&x, &["IADD3 R20, R10, -0x7, RZ"], |a, _, _| a.wrapping_sub(7));
        check(&x, &["IADD3 R20, R10, -c[0x0][0x188], R14"], |a, _, c| a.wrapping_sub(SCALAR).wrapping_add(c));
        check(&x, &["VIADD R20, R10, -R12"], |a, b, _| a.wrapping_sub(b));
        check(&x, &["IABS R20, R10"], |a, _, _| (a as i32).unsigned_abs());
    }

    #[test]
    fn sums_of_64_bits_by_carries(x in inputs()) {
        let add = ["IADD3 R20, P1, R10, R12, RZ", "IADD3.X R21, R11, R13, RZ, P1, !PT"];
        check_wide(&x, &add, |a, b, _| a.wrapping_add(b));
        let subtract = ["IADD3 R20, P1, R10, -R12, RZ", "IADD3.X R21, R11, ~R13, RZ, P1, !PT"];
        check_wide(&x, &subtract, |a, b, _| a.wrapping_sub(b));
        // sm_120 adds pairs at once.
        check_wide(&x, &["IADD.64 R20, R10, R12"], |a, b, _| a.wrapping_add(b));
        check_wide(&x, &["IADD.64 R20, R10, -R12"], |a, b, _| a.wrapping_sub(b));
        check_wide(&x, &["IADD.64 R20, R10, -0x10"], |a, _, _| a.wrapping_sub(16));
        let uniform = ["ULDC UR4, c[0x0][0x188]", "UMOV UR5, 0x1", "UIADD3.64 UR6, UPT, UPT, UR4, -0x3, URZ"];
        let uniform = [&uniform[..], &["IADD.64 R20, R10, UR6"]].concat();
        check_wide(&x, &uniform, |a, _, _| a.wrapping_add((1 << 32 | u64::from(SCALAR)) - 3));
        check_wide(&x, &["ISETP.LT.AND P1, PT, R10, R12, PT", "SEL.64 R20, R12, R14, P1"], |a, b, c| {
            if (a as i32) < b as i32 { b } else { c }
        });
        // Three addends: two carries.
        let three = ["IADD3 R20, P1, P2, R10, R12, R14", "IADD3.X R21, R11, R13, R15, P1, P2"];
        check_wide(&x, &three, |a, b, c| a.wrapping_add(b).wrapping_add(c));
    }

    #[test]
    fn products(x in inputs()) {
        check(&x, &["IMAD R20, R10, R12, R14"], |a, b, c| a.wrapping_mul(b).wrapping_add(c));
        check(&x, &["IMAD R20, R10, -R12, R14"], |a, b, c| c.wrapping_sub(a.wrapping_mul(b)));
        check(&x, &["IMAD R20, R10, 0x21, -R14"], |a, _, c| a.wrapping_mul(0x21).wrapping_sub(c));
        check(&x, &["IMAD.MOV.U32 R20, RZ, RZ, R14"], |_, _, c| c);
        check(&x, &["IMAD.MOV R20, RZ, RZ, -R14"], |_, _, c| c.wrapping_neg());
        check(&x, &["IMAD.IADD R20, R10, 0x1, -R14"], |a, _, c| a.wrapping_sub(c));
        check(&x, &["IMAD.SHL.U32 R20, R10, 0x800000, RZ"], |a, _, _| a << 23);
        let signed = |a: u64, b: u64| i64::from(a as i32) * i64::from(b as i32);
        let unsigned = |a: u64, b: u64| (a & 0xffff_ffff) * (b & 0xffff_ffff);
        check_wide(&x, &["IMAD.WIDE R20, R10, R12, R14"], |a, b, c| (signed(a, b) as u64).wrapping_add(c));
        check_wide(&x, &["IMAD.WIDE.U32 R20, R10, R12, R14"], |a, b, c| unsigned(a, b).wrapping_add(c));
        let high = |sum: u64| common::PRESET & !0xffff_ffff | sum >> 32;
        check_wide(&x, &["IMAD.HI R20, R10, R12, R14"], |a, b, c| high((signed(a, b) as u64).wrapping_add(c)));
        check_wide(&x, &["IMAD.HI.U32 R20, R10, R12, R14"], |a, b, c| high(unsigned(a, b).wrapping_add(c)));
        check_wide(&x, &["IMAD.HI.U32 R20, R10, R12, RZ"], |a, b, _| high(unsigned(a, b)));
    }

    #[test]
    fn a_64_bit_product_by_parts(x in inputs()) {
        // As the compiler writes a * b for 64 bits.
        let body = [
            "IMAD R24, R11, R12, RZ",
            "IMAD.WIDE.U32 R20, R10, R12, RZ",
            "IMAD R24, R10, R13, R24",
            "IMAD.IADD R21, R21, 0x1, R24",
        ];
        check_wide(&x, &body, |a, b, _| a.wrapping_mul(b));
    }

    #[test]
    fn shifted_additions(x in inputs()) {
        check(&x, &["LEA R20, R10, R12, 0x4"], |a, b, _| (a << 4).wrapping_add(b));
        check(&x, &["LEA R20, R10, 0x4b000000, 0x17"], |a, _, _| (a << 23).wrapping_add(0x4b00_0000));
        check(&x, &["LEA R20, -R10, R12, 0x2"], |a, b, _| (a.wrapping_neg() << 2).wrapping_add(b));
        check(&x, &["LEA.HI R20, R10, R12, RZ, 0x6"], |a, b, _| (a >> 26).wrapping_add(b));
        check(&x, &["LEA.HI.SX32 R20, R10, R12, 0x1e"], |a, b, _| {
            (((i64::from(a as i32) << 30) >> 32) as u32).wrapping_add(b)
        });
        // base + 4·index for a 64-bit index, then for a 32-bit signed one.
        let wide = ["LEA R20, P1, R10, R12, 0x2", "LEA.HI.X R21, R10, R13, R11, 0x2, P1"];
        check_wide(&x, &wide, |a, b, _| b.wrapping_add(a << 2));
        let sign = ["LEA R20, P1, R10, R12, 0x2", "LEA.HI.X.SX32 R21, R10, R13, 0x2, P1"];
        check_wide(&x, &sign, |a, b, _| b.wrapping_add((i64::from(a as i32) << 2) as u64));
    }

    #[test]
    fn comparisons(x in inputs()) {
        macro_rules! relations {
            ($($name:literal $op:tt)*) => {$(
                check_predicate(&x, &[concat!("ISETP.", $name, ".AND P1, PT, R10, R12, PT")],
                    |a, b, _| (a as i32) $op b as i32);
                check_predicate(&x, &[concat!("ISETP.", $name, ".U32.AND P1, PT, R10, R12, PT")],
                    |a, b, _| (a as u32) $op b as u32);
                check_predicate(&x, &[
                    concat!("ISETP.", $name, ".U32.AND P1, PT, R10, R12, PT"),
                    concat!("ISETP.", $name, ".AND.EX P1, PT, R11, R13, PT, P1"),
                ], |a, b, _| (a as i64) $op b as i64);
            )*};
        }
        relations! { "LT" < "LE" <= "GT" > "GE" >= "EQ" == "NE" != }
        let first = "ISETP.LT.AND P2, PT, R14, RZ, PT";
        check_predicate(&x, &[first, "ISETP.EQ.OR P1, PT, R10, R12, P2"], |a, b, c| a as u32 == b as u32 || (c as i32) < 0);
        check_predicate(&x, &[first, "ISETP.EQ.XOR P1, PT, R10, R12, !P2"], |a, b, c| (a as u32 == b as u32) ^ (c as i32 >= 0));
        check_predicate(&x, &[first, "ISETP.EQ.AND P3, P1, R10, R12, P2"], |a, b, c| a as u32 != b as u32 && (c as i32) < 0);
    }

    #[test]
    fn minima_and_selections(x in inputs()) {
        check(&x, &["IMNMX R20, R10, R12, PT"], |a, b, _| (a as i32).min(b as i32) as u32);
        check(&x, &["IMNMX R20, R10, R12, !PT"], |a, b, _| (a as i32).max(b as i32) as u32);
        check(&x, &["IMNMX.U32 R20, R10, 0x2, PT"], |a, _, _| a.min(2));
        check(&x, &["VIMNMX.U32 R20, R10, R12, !PT"], |a, b, _| a.max(b));
        // As sm_100 and sm_120 print it.
        check(&x, &["VIMNMX R20, PT, PT, R10, R12, !PT"], |a, b, _| (a as i32).max(b as i32) as u32);
        check(&x, &["VIMNMX.S32 R20, R10, R12, PT"], |a, b, _| (a as i32).min(b as i32) as u32);
        check(&x, &["VIADDMNMX.U32 R20, R10, R12, R14, PT"], |a, b, c| a.wrapping_add(b).min(c));
        check(&x, &["VIADDMNMX R20, R10, R12, R14, !PT"], |a, b, c| (a.wrapping_add(b) as i32).max(c as i32) as u32);
        let test = "ISETP.GT.AND P1, PT, R14, RZ, PT";
        check(&x, &[test, "SEL R20, R10, R12, P1"], |a, b, c| if c as i32 > 0 { a } else { b });
        check(&x, &[test, "SEL R20, RZ, 0x1, !P1"], |_, _, c| u32::from(c as i32 > 0));
        check(&x, &[test, "FSEL R20, -R10, |R12|, P1"], |a, b, c| {
            if c as i32 > 0 { a ^ 0x8000_0000 } else { b & 0x7fff_ffff }
        });
        check(&x, &["MOV R20, c[0x0][0x188]"], |_, _, _| SCALAR);
    }

    #[test]
    fn logic(x in inputs(), table: u8) {
        let by_bits = |a: u32, b: u32, c: u32| {
            (0..32).fold(0, |out, bit| {
                let index = (a >> bit & 1) << 2 | (b >> bit & 1) << 1 | c >> bit & 1;
                out | (u32::from(table) >> index & 1) << bit
            })
        };
        check(&x, &[&format!("LOP3.LUT R20, R10, R12, R14, {table:#x}, !PT")], by_bits);
        check(&x, &["LOP3.LUT R20, R10, 0xff, RZ, 0xc0, !PT"], |a, _, _| a & 0xff);
        check(&x, &["LOP3.LUT R20, R10, R12, RZ, 0xfc, !PT"], |a, b, _| a | b);
        check(&x, &["LOP3.LUT R20, R10, R12, RZ, 0x3c, !PT"], |a, b, _| a ^ b);
        check(&x, &["LOP3.LUT R20, RZ, R12, RZ, 0x33, !PT"], |_, b, _| !b);
        check_predicate(&x, &["LOP3.LUT P1, RZ, R10, 0x3, RZ, 0xc0, !PT"], |a, _, _| a & 3 != 0);
        check_predicate(&x, &[&format!("LOP3.LUT P1, R24, R10, R12, R14, {table:#x}, !PT")], |a, b, c| {
            by_bits(a as u32, b as u32, c as u32) != 0
        });
        let set = ["ISETP.LT.AND P2, PT, R10, RZ, PT", "ISETP.LT.AND P3, PT, R12, RZ, PT", "ISETP.LT.AND P4, PT, R14, RZ, PT"];
        let lut = format!("PLOP3.LUT P1, PT, P2, P3, P4, {table:#x}, 0x0");
        let negated = format!("PLOP3.LUT PT, P1, P2, !P3, P4, 0x0, {table:#x}");
        let bit = |value: u64| value >> 31 & 1;
        let entry = |a: u64, b: u64, c: u64| table >> (a << 2 | b << 1 | c) & 1 == 1;
        check_predicate(&x, &[set[0], set[1], set[2], &lut], |a, b, c| entry(bit(a), bit(b), bit(c)));
        check_predicate(&x, &[set[0], set[1], set[2], &negated], |a, b, c| entry(bit(a), 1 - bit(b), bit(c)));
    }

    #[test]
    fn shifts(x in inputs(), by in 0u32..80) {
        let immediate = |form: &str| form.replace("#", &format!("{by:#x}"));
        let shift32 = |a: u32| if by < 32 { a << by } else { 0 };
        check(&x, &[&immediate("SHF.L.U32 R20, R10, #, RZ")], |a, _, _| shift32(a));
        check(&x, &[&immediate("SHF.R.U32.HI R20, RZ, #, R10")], |a, _, _| if by < 32 { a >> by } else { 0 });
        check(&x, &[&immediate("SHF.R.S32.HI R20, RZ, #, R10")], |a, _, _| (a as i32 >> by.min(31)) as u32);
        // 64-bit shifts in two halves, by a register.
        let by64 = format!("MOV R24, {:#x}", by % 64);
        let left = ["SHF.L.U64.HI R21, R10, R24, R11", "SHF.L.U32 R20, R10, R24, RZ"];
        check_wide(&x, &[&by64, left[0], left[1]], |a, _, _| a << (by % 64));
        let right = ["SHF.R.U64 R20, R10, R24, R11", "SHF.R.U32.HI R21, RZ, R24, R11"];
        check_wide(&x, &[&by64, right[0], right[1]], |a, _, _| a >> (by % 64));
        let signed = ["SHF.R.S64 R20, R10, R24, R11", "SHF.R.S32.HI R21, RZ, R24, R11"];
        check_wide(&x, &[&by64, signed[0], signed[1]], |a, _, _| (a as i64 >> (by % 64)) as u64);
        // Funnel shifts: __funnelshift_l and __funnelshift_r take the amount modulo 32.
        check(&x, &["SHF.L.W.U32.HI R20, R10, R12, R14"], |a, b, c| {
            ((u64::from(c) << 32 | u64::from(a)) << (b & 31) >> 32) as u32
        });
        check(&x, &["SHF.R.W.U32 R20, R10, R12, R14"], |a, b, c| ((u64::from(c) << 32 | u64::from(a)) >> (b & 31)) as u32);
    }

    #[test]
    fn bit_counts_and_permutations(x in inputs(), selector: u16) {
        check(&x, &["POPC R20, R10"], |a, _, _| a.count_ones());
        check(&x, &["POPC R20, ~R10"], |a, _, _| a.count_zeros());
        check(&x, &["FLO.U32 R20, R10"], |a, _, _| a.checked_ilog2().unwrap_or(u32::MAX));
        check(&x, &["FLO.U32.SH R20, R10"], |a, _, _| if a == 0 { u32::MAX } else { a.leading_zeros() });
        check(&x, &["FLO R20, R10"], |a, _, _| (if (a as i32) < 0 { !a } else { a }).checked_ilog2().unwrap_or(u32::MAX));
        check(&x, &["BREV R20, R10"], |a, _, _| a.reverse_bits());
        check(&x, &["SGXT R20, R10, 0x8"], |a, _, _| a as u8 as i8 as i32 as u32);
        check(&x, &["SGXT.U32 R20, R10, 0x8"], |a, _, _| a & 0xff);
        check(&x, &[&format!("PRMT R20, R10, {selector:#x}, R12")], |a, b, _| {
            let bytes = [a.to_le_bytes(), b.to_le_bytes()].concat();
            u32::from_le_bytes(std::array::from_fn(|at| {
                let nibble = usize::from(selector >> (4 * at) & 0xf);
                let byte = bytes[nibble & 7];
                if nibble & 8 == 0 { byte } else { (byte as i8 >> 7) as u8 }
            }))
        });
    }

    #[test]
    fn predicates_in_registers(x in inputs()) {
        let set = ["ISETP.LT.AND P1, PT, R10, RZ, PT", "ISETP.LT.AND P3, PT, R12, RZ, PT"];
        check(&x, &[set[0], set[1], "P2R R20, PR, R14, 0xa"], |a, b, c| {
            c & !0xa | (a >> 31) << 1 | (b >> 31) << 3
        });
        check_predicate(&x, &["R2P PR, R10, 0x2"], |a, _, _| a & 2 != 0);
    }

    /// The sequence that the compiler writes for n / d of unsigned integers: conversions, a reciprocal, three corrections.
    #[test]
    fn unsigned_division_as_compiled(x in inputs(), d in prop_oneof![1u32..=u32::MAX, 1u32..1000]) {
        let divisor = format!("MOV R30, {d:#x}");
        let body = [
            &divisor,
            "I2F.U32.RP R24, R30",
            "MUFU.RCP R24, R24",
            "IADD3 R24, R24, 0xffffffe, RZ",
            "F2I.FTZ.U32.TRUNC.NTZ R27, R24",
            "MOV R26, RZ",
            "IMAD.MOV R28, RZ, RZ, -R27",
            "IMAD R28, R28, R30, RZ",
            "IMAD.HI.U32 R27, R27, R28, R26",
            "IMAD.HI.U32 R20, R27, R10, RZ",
            "IMAD.MOV R28, RZ, RZ, -R20",
            "IMAD R28, R30, R28, R10",
            "ISETP.GE.U32.AND P1, PT, R28, R30, PT",
            "SEL R29, R30, RZ, P1",
            "IADD3 R28, R28, -R29, RZ",
            "SEL R29, RZ, 0x1, !P1",
            "IADD3 R20, R20, R29, RZ",
            "ISETP.GE.U32.AND P2, PT, R28, R30, PT",
            "SEL R29, RZ, 0x1, !P2",
            "IADD3 R20, R20, R29, RZ",
        ];
        check(&x, &body, |a, _, _| a / d);
    }
}
