//! What bad input and bad kernels are answered with.

mod common;

use common::{Inputs, METADATA, Mode, THREADS, launch, outputs, program};
use workloads::sass::exec::Grid;
use workloads::sass::{Kernel, Launch, Listing, catalog, check};

fn inputs() -> Inputs {
    Inputs { abc: vec![[0; 3]; THREADS], flags: vec![true; THREADS] }
}

fn listing(text: &str) -> String {
    Listing::parse("bad.sass", text).map(|_| ()).expect_err("should be refused").to_string()
}

#[test]
fn malformed_listings() {
    let good =
        "\t\tFunction : f\n\t/*0000*/  MOV R1, R2 ;   /* 0x0000000200017202 */\n\t\t\t/* 0x000fe20000000f00 */\n";
    Listing::parse("good.sass", good).unwrap();
    let cases = [
        ("", "empty"),
        ("Function : f\n", "no instruction"),
        ("hello\n", "no listing"),
        (&good.replace("/* 0x000fe20000000f00 */", ""), "no high word"),
        (&good.replace("0x000fe20000000f00", "0x000fe2000000f00"), "short word"),
        (&good.replace("0000*/", "0010*/"), "wrong address"),
        (&good.replace("R1, R2", "R1, R2.reuse"), "reuse mark"),
        (&good.replace("R1, R2", "R1, R300"), "operand"),
        (&good.replace(" ;", ""), "no semicolon"),
        ("B------:R-:W-:-:S16  NOP", "control field"),
    ];
    let text: String = cases.iter().map(|(text, what)| format!("{what}:\n{}\n\n", listing(text))).collect();
    insta::assert_snapshot!("malformed_listings", text);
}

#[test]
fn opcodes_that_are_not_understood() {
    let refused = |line: &str| {
        let kernel = common::kernel(&program(&[line], Mode::All));
        let error = Grid::new(&kernel, &launch(&inputs(), 32)).map(|_| ()).expect_err(line);
        format!("{error}\n\n")
    };
    let text: String = [
        "FROBNICATE R20, R10",
        "HMMA.16816.F32.TF32 R20, R10, R12, R14",
        "FADD.WEIRD R20, R10, R12",
        "IADD3 R20, R10, R12, R14, R16",
        "IADD3 R20, R10",
        "IMAD R20, R10, R12.H0_H0, R14",
        "MOV R20, c[0x0][0x60]",
        "MOV R20, c[0x0][0x1f0]",
        "MOV R20, c[0x4][0x0]",
        "LDG R20, [R10]",
        "S2R R20, SR_SMID",
        "BRA 0x10000",
        "ISETP.FOO.AND P0, PT, R1, R2, PT",
    ]
    .iter()
    .map(|line| refused(line))
    .collect();
    insta::assert_snapshot!("not_understood", text);
}

#[test]
fn clocks() {
    let refused =
        |body: &[&str]| Grid::new(&common::kernel(&program(body, Mode::All)), &launch(&inputs(), 32)).map(|_| ());
    assert!(refused(&["CS2R.32 R24, SR_CLOCKLO"]).is_ok(), "nothing uses it");
    assert!(refused(&["CS2R.32 R24, SR_CLOCKLO", "MOV R24, RZ", "IADD3 R20, R24, R10, RZ"]).is_ok(), "overwritten");
    assert!(refused(&["CS2R R24, SR_CLOCKLO", "STG.E [R2.64], R25"]).is_err(), "the upper half is used");
    let error = refused(&["CS2R.32 R24, SR_CLOCKLO", "NOP", "IADD3 R20, R24, R10, RZ"]).unwrap_err();
    insta::assert_snapshot!("clock", error.to_string());
}

#[test]
fn metadata() {
    let listing = Listing::parse("main.sass", "B------:R-:W-:-:S01  EXIT").unwrap();
    Kernel::parse("good.toml", METADATA, &listing).unwrap();
    let cases = [
        ("registers = 64", "registers = 300"),
        ("registers = 64", "regsters = 64"),
        ("arch = \"sm_80\"", "arch = \"sm_8\""),
        ("kernel = \"main\"", "kernel = \"other\""),
        ("barriers = 1", "barriers = \"one\""),
        ("index = 1", "index = 7"),
        ("size_bytes = 4", "size_bytes = 40"),
        ("constant_bank_0_bytes = 0x190", "constant_bank_0_bytes = 0x160"),
        ("contents_hex = \"00", "contents_hex = \"zz"),
        ("local_bytes = 64", "local_bytes = "),
    ];
    let refused = |(from, to): &(&str, &str)| {
        let error = Kernel::parse("bad.toml", &METADATA.replacen(from, to, 1), &listing).map(|_| ());
        format!("{to}:\n{}\n\n", error.expect_err(to))
    };
    insta::assert_snapshot!("metadata", cases.iter().map(refused).collect::<String>());
}

const SAXPY: &str = include_str!("../launches/saxpy.toml");

#[test]
fn launches() {
    let cases = [
        ("grid = [128, 1, 1]", "gird = [128, 1, 1]"),
        ("grid = [128, 1, 1]", "grid = [128, 1]"),
        ("kind = \"scalar\"", "kind = \"scaler\""),
        ("type = \"i32\"", "type = \"i31\""),
        ("value = 100003", "value = 3000000000"),
        ("value = 100003", "value = 1.5"),
        ("value = 100003", ""),
        ("value = 2.5", "value = \"2.5\""),
        ("count = 100003", "count = 0"),
        ("count = 100003", "count = 9000000000000000000"),
        ("random = { seed = 1, low = -1.0, high = 1.0 }", "random = { seed = 1, low = 1.0, high = 1.0 }"),
        ("random = { seed = 1, low = -1.0, high = 1.0 }", "rondam = { seed = 1 }"),
        ("random = { seed = 1, low = -1.0, high = 1.0 }", "file = \"nowhere.bin\""),
        ("outputs = [\"y\"]", "outputs = [\"z\"]"),
        ("tolerance_rel = 1e-6", "tolerance_rel = -1.0"),
        ("[check]", "[check"),
    ];
    let refused = |(from, to): &(&str, &str)| {
        let error = Launch::parse("bad.toml", &SAXPY.replacen(from, to, 1), None).map(|_| ());
        format!("{to}:\n{}\n\n", error.expect_err(to))
    };
    insta::assert_snapshot!("launches", cases.iter().map(refused).collect::<String>());
}

#[test]
fn launches_that_do_not_fit() {
    let kernel = catalog::kernel("saxpy", "sm_86").unwrap();
    let cases = [
        ("block = [256, 1, 1]", "block = [2048, 1, 1]"),
        ("block = [256, 1, 1]", "block = [64, 32, 1]"),
        ("block = [256, 1, 1]", "block = [1, 1, 128]"),
        ("grid = [128, 1, 1]", "grid = [0, 1, 1]"),
        ("grid = [128, 1, 1]", "grid = [1, 70000, 1]"),
        ("dynamic_shared_bytes = 0", "dynamic_shared_bytes = 110000"),
        ("kernel = \"saxpy\"", "kernel = \"sgemm\""),
        ("type = \"f32\"\nvalue = 2.5", "type = \"f64\"\nvalue = 2.5"),
        ("[check]", "[[arg]]\nkind = \"scalar\"\ntype = \"i32\"\nvalue = 1\n[check]"),
    ];
    let refused = |(from, to): &(&str, &str)| {
        let launch = Launch::parse("bad.toml", &SAXPY.replacen(from, to, 1), None).unwrap();
        format!("{to}:\n{}\n\n", launch.fit(&kernel).expect_err(to))
    };
    let mut text: String = cases.iter().map(refused).collect();
    let missing = SAXPY.rfind("[[arg]]").unwrap();
    let launch = Launch::parse("bad.toml", &SAXPY[..missing], None).unwrap();
    text += &format!("no y:\n{}\n\n", launch.fit(&kernel).unwrap_err());
    let sgemm = catalog::kernel("sgemm_tiled", "sm_90").unwrap();
    let mut launch = catalog::launch("sgemm").unwrap();
    launch.block = [32, 32, 1];
    text += &format!("launch bounds:\n{}\n\n", launch.fit(&sgemm).unwrap_err());
    let mut greedy = sgemm.clone();
    greedy.metadata.max_threads = None;
    greedy.metadata.registers = 128;
    text += &format!("registers:\n{}\n", launch.fit(&greedy).unwrap_err());
    insta::assert_snapshot!("do_not_fit", text);
}

#[test]
fn names_that_do_not_exist() {
    let errors = [
        catalog::launch("sgem").map(|_| ()).unwrap_err(),
        catalog::launch("completely-different").map(|_| ()).unwrap_err(),
        catalog::kernel("sotfmax", "sm_90").map(|_| ()).unwrap_err(),
        catalog::kernel("softmax", "sm_87").map(|_| ()).unwrap_err(),
        {
            let text = SAXPY.replace("reference = \"saxpy\"", "reference = \"sxapy\"");
            let launch = Launch::parse("bad.toml", &text, None).unwrap();
            let grid = Grid::new(&catalog::kernel("saxpy", "sm_90").unwrap(), &launch).unwrap();
            check::check(&launch, grid.memory()).unwrap_err()
        },
    ];
    insta::assert_snapshot!("names", errors.map(|error| error.to_string()).join("\n\n"));
}

#[test]
fn kernels_that_go_wrong() {
    let end = program(&[], Mode::All).len() * 16;
    let spin = format!("BRA {:#x}", end - 32);
    let region = format!("BSSY B0, {:#x}", end - 32);
    let cases: [(&str, &[&str]); 13] = [
        ("behind a buffer", &["LDG.E R20, [R2.64+0x1000]"]),
        ("before a buffer", &["STG.E [R2.64+-0x400], R20"]),
        ("null pointer", &["MOV R24, RZ", "MOV R25, RZ", "LDG.E R20, [R24.64]"]),
        ("misaligned", &["LDG.E R20, [R2.64+0x2]"]),
        ("shared", &["@P0 LDS R20, [0x1000]"]),
        ("local", &["STL [0x40], R20"]),
        ("constant", &["MOV R24, 0x100", "LDC R20, c[0x3][R24]"]),
        ("computed jump", &["MOV R24, 0x7", "BRX R24 -0x10"]),
        ("barrier", &["ISETP.GE.AND P1, PT, R0, 0x20, PT", "@P1 BAR.SYNC 0x1", "@!P1 BAR.SYNC 0x2"]),
        ("spin", &["NOP", &spin]),
        ("spin by a region", &[&region, "BSYNC B0"]),
        ("spin by a computed jump", &["MOV R24, RZ", "BRX R24 -0xf0"]),
        ("trap", &["BPT.TRAP 0x1"]),
    ];
    let mut text = String::new();
    for (what, body) in cases {
        let error = outputs(&program(body, Mode::All), &inputs()).expect_err(what);
        text += &format!("{what}:\n{error}\n\n");
    }
    let mut lines = program(&[], Mode::All);
    lines.pop();
    text += &format!("no EXIT:\n{}\n\n", outputs(&lines, &inputs()).unwrap_err());
    // Half a warp waits for the other half, which waits with another mask.
    let first = program(&[], Mode::All).len() - 2;
    let mut lines = program(&[], Mode::All);
    let tail = lines.split_off(first);
    lines.extend([
        "ISETP.GE.AND P1, PT, R0, 0x8, PT".to_owned(),
        format!("@P1 BRA {:#x}", 16 * (first + 4)),
        "WARPSYNC 0xffffffff".to_owned(),
        "NOP".to_owned(),
        "WARPSYNC 0xfffffffe".to_owned(),
    ]);
    lines.extend(tail);
    text += &format!("warpsync:\n{}\n", outputs(&lines, &inputs()).unwrap_err());
    insta::assert_snapshot!("go_wrong", text);
}
