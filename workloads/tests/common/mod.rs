//! Small programs over lanes: three 64-bit inputs a thread, one 64-bit result, against plain Rust.
//!
//! The harness loads a, b, c into R10:R11, R12:R13, R14:R15 and one random bit a thread into P0, presets R20:R21, runs the
//! body, and stores R20:R21. It does so with all lanes active, with every line guarded by P0, and inside a region that only
//! the lanes with P0 enter (the others wait), always on a full warp and a partial one.
#![allow(dead_code)]

use proptest::prelude::*;
use workloads::sass::exec::{ExecError, Grid};
use workloads::sass::launch::{Argument, ElementType, Init, Value};
use workloads::sass::{Kernel, Launch, Listing, SassError};
use workloads::stream::CtaStream;

/// One full warp and one of 13 lanes.
pub const THREADS: usize = 45;
/// What the result holds where nothing was written.
pub const PRESET: u64 = 0x0bad_cafe_dead_beef;
/// What c[0x0][0x188] holds.
pub const SCALAR: u32 = 0x1234_5678;

#[derive(Clone, Debug)]
pub struct Inputs {
    pub abc: Vec<[u64; 3]>,
    pub flags: Vec<bool>,
}

/// Random words with a good share of values where arithmetic is interesting.
fn word() -> impl Strategy<Value = u32> {
    const SPECIAL: [u32; 24] = [
        0,
        1,
        2,
        0x7fff_ffff,
        0x8000_0000,
        0x8000_0001,
        0xffff_ffff,
        0xffff_fffe,
        0x0000_001f,
        0x0000_0020,
        0x3f80_0000, // 1
        0xbf80_0000, // −1
        0x7f80_0000, // infinity
        0xff80_0000,
        0x7fc0_0000, // NaN
        0x7f7f_ffff, // largest
        0x0080_0000, // smallest normal
        0x8080_0000,
        0x007f_ffff, // largest subnormal
        0x0000_0003,
        0x4b80_0000, // 2^24
        0xcf00_0000, // −2^31
        0x4f00_0000,
        0x3c00_7c00, // halves: 1, infinity
    ];
    prop_oneof![
        3 => any::<u32>(),
        2 => (0..SPECIAL.len()).prop_map(|index| SPECIAL[index]),
        // Floating-point numbers of moderate size.
        3 => any::<u32>().prop_map(|bits| bits & 0x807f_ffff | (0x3f80_0000u32.wrapping_add(((bits >> 3) % 20) << 23).wrapping_sub(10 << 23))),
        1 => 0u32..64,
    ]
}

pub fn inputs() -> impl Strategy<Value = Inputs> {
    let wide = || (word(), word()).prop_map(|(low, high)| u64::from(high) << 32 | u64::from(low));
    let one = (wide(), wide(), wide()).prop_map(|(a, b, c)| [a, b, c]);
    (proptest::collection::vec(one, THREADS), proptest::collection::vec(any::<bool>(), THREADS))
        .prop_map(|(abc, flags)| Inputs { abc, flags })
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    All,
    Predicated,
    Divergent,
}

pub const METADATA: &str = r#"
kernel = "main"
arch = "sm_80"
registers = 64
static_shared_bytes = 4096
local_bytes = 64
barriers = 1
constant_bank_0_bytes = 0x190
parameter_base = 0x160
parameter_bytes = 0x2c
parameter = [
    { index = 0, offset_bytes = 0x00, size_bytes = 8 },
    { index = 1, offset_bytes = 0x08, size_bytes = 8 },
    { index = 2, offset_bytes = 0x10, size_bytes = 8 },
    { index = 3, offset_bytes = 0x18, size_bytes = 8 },
    { index = 4, offset_bytes = 0x20, size_bytes = 8 },
    { index = 5, offset_bytes = 0x28, size_bytes = 4 },
]
constant_bank = [{ bank = 3, contents_hex = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f" }]
"#;

/// Instruction lines, one an element, as a listing in text form.
pub fn listing(lines: &[String]) -> Listing {
    let text: String = lines.iter().map(|line| format!("B------:R-:W-:-:S01  {line}\n")).collect();
    Listing::parse("test.sass", &text).unwrap_or_else(|error| panic!("{error}"))
}

pub fn kernel(lines: &[String]) -> Kernel {
    Kernel::parse("test.toml", METADATA, &listing(lines)).unwrap_or_else(|error| panic!("{error}"))
}

fn buffer(name: &str, words: Vec<u64>) -> Argument {
    let bytes = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    let value = Value::Buffer { count: words.len(), init: Init::Bytes(bytes) };
    Argument::new(name, ElementType::U64, value)
}

pub fn launch(inputs: &Inputs, threads: u32) -> Launch {
    let column = |index: usize| inputs.abc.iter().map(|abc| abc[index]).collect();
    let flags = inputs.flags.iter().map(|flag| u64::from(*flag)).collect();
    let scalar = Argument::new("scalar", ElementType::U32, Value::Scalar(SCALAR.to_le_bytes().to_vec()));
    let arguments = vec![
        buffer("a", column(0)),
        buffer("b", column(1)),
        buffer("c", column(2)),
        buffer("flags", flags),
        buffer("out", vec![PRESET; inputs.abc.len()]),
        scalar,
    ];
    Launch::new("main", [1, 1, 1], [threads, 1, 1], arguments)
}

/// The whole program round a body.
pub fn program(body: &[&str], mode: Mode) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let mut push = |line: &str| lines.push(line.to_owned());
    push("S2R R0, SR_TID.X");
    push("MOV R1, 0x8");
    for (base, to) in [("0x160", 10), ("0x168", 12), ("0x170", 14), ("0x178", 16)] {
        push(&format!("IMAD.WIDE R2, R0, R1, c[0x0][{base}]"));
        push(&format!("LDG.E.64 R{to}, [R2.64]"));
    }
    push("ISETP.NE.AND P0, PT, R16, RZ, PT");
    push("IMAD.WIDE R2, R0, R1, c[0x0][0x180]");
    push("LDG.E.64 R20, [R2.64]");
    match mode {
        Mode::All => body.iter().for_each(|line| push(line)),
        Mode::Predicated => body.iter().for_each(|line| push(&format!("@P0 {line}"))),
        Mode::Divergent => {
            let end = 16 * (lines.len() + 2 + body.len());
            lines.push(format!("BSSY B0, {:#x}", end + 16));
            lines.push(format!("@!P0 BRA {end:#x}"));
            body.iter().for_each(|line| lines.push((*line).to_owned()));
            lines.push("BSYNC B0".to_owned());
        }
    }
    lines.push("STG.E.64 [R2.64], R20".to_owned());
    lines.push("EXIT".to_owned());
    lines
}

pub fn grid(lines: &[String], launch: &Launch) -> Result<Grid, SassError> {
    Grid::new(&kernel(lines), launch)
}

/// Runs the first block; results of each thread.
pub fn outputs(lines: &[String], inputs: &Inputs) -> Result<Vec<u64>, ExecError> {
    let mut grid = grid(lines, &launch(inputs, THREADS as u32)).unwrap_or_else(|error| panic!("{error}"));
    grid.set_watchdog(1_000_000);
    grid.run_cta(0, &mut CtaStream::default())?;
    let out = grid.memory().buffer("out").expect("allocated by the launch");
    let word = |chunk: &[u8]| chunk.iter().rev().fold(0, |word, &byte| word << 8 | u64::from(byte));
    Ok(out.data.chunks(8).map(word).collect())
}

/// The body, whose result in R20:R21 must be `want(a, b, c)` in every lane that executes it, in all modes.
#[track_caller]
pub fn check_wide(inputs: &Inputs, body: &[&str], want: impl Fn(u64, u64, u64) -> u64) {
    for mode in [Mode::All, Mode::Predicated, Mode::Divergent] {
        let got = outputs(&program(body, mode), inputs).unwrap_or_else(|error| panic!("{error}"));
        for (thread, ([a, b, c], flag)) in inputs.abc.iter().zip(&inputs.flags).enumerate() {
            let want = if *flag || mode == Mode::All { want(*a, *b, *c) } else { PRESET };
            let got = got[thread];
            assert_eq!(
                got, want,
                "{body:?}, {mode:?}, thread {thread}: a {a:#x}, b {b:#x}, c {c:#x}: got {got:#x}, want {want:#x}"
            );
        }
    }
}

/// As [`check_wide`] for a 32-bit result in R20 from the lower words.
#[track_caller]
pub fn check(inputs: &Inputs, body: &[&str], want: impl Fn(u32, u32, u32) -> u32) {
    check_wide(inputs, body, |a, b, c| PRESET & !0xffff_ffff | u64::from(want(a as u32, b as u32, c as u32)));
}

/// As [`check`] for a predicate: the body leaves it in P1.
#[track_caller]
pub fn check_predicate(inputs: &Inputs, body: &[&str], want: impl Fn(u64, u64, u64) -> bool) {
    let mut lines = body.to_vec();
    lines.push("SEL R20, R1, RZ, P1");
    check_wide(inputs, &lines, |a, b, c| PRESET & !0xffff_ffff | if want(a, b, c) { 8 } else { 0 });
}
