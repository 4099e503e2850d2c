//! Hopper's asynchronous instructions, against plain Rust.

use proptest::prelude::*;
use workloads::sass::exec::{ExecError, Grid};
use workloads::sass::launch::{Argument, ElementType, Init, Value};
use workloads::sass::tensor_map::{Swizzle, TensorMap};
use workloads::sass::{Kernel, Launch, Listing};
use workloads::stream::{CtaStream, MbarrierUse};

/// Parameters: out, in, and from 0x240 on a tensor map.
const METADATA: &str = r#"
kernel = "main"
arch = "sm_90a"
registers = 168
static_shared_bytes = 65536
shared_base_bytes = 1024
local_bytes = 0
barriers = 1
constant_bank_0_bytes = 0x2c0
parameter_base = 0x210
parameter_bytes = 0xb0
parameter = [
    { index = 0, offset_bytes = 0x00, size_bytes = 8 },
    { index = 1, offset_bytes = 0x08, size_bytes = 8 },
    { index = 2, offset_bytes = 0x30, size_bytes = 128 },
]
"#;

const WORDS: usize = 16384;

fn argument(name: &str, element: ElementType, value: Value) -> Argument {
    Argument::new(name, element, value)
}

/// R0 the thread's number, R2:R3 the address of its word of `out`, UR4:UR5 of `in`, UR6:UR7 of the tensor map.
const PROLOGUE: [&str; 9] = [
    "S2R R0, SR_TID.X",
    "MOV R1, 0x4",
    "IMAD.WIDE R2, R0, R1, c[0x0][0x210]",
    "ULDC.64 UR4, c[0x0][0x218]",
    "ULDC.64 UR6, c[0x0][0x198]",
    "UIADD3 UR6, UP0, UR6, 0x30, URZ",
    "UIADD3.X UR7, URZ, UR7, URZ, UP0, !UPT",
    "ISETP.NE.AND P6, PT, R0, RZ, PT",
    "NOP",
];

struct Outcome {
    out: Vec<u32>,
    tensor: Vec<u8>,
    stream: CtaStream,
}

fn run(threads: u32, body: &[String], input: Vec<u8>, map: TensorMap, tensor: Vec<u8>) -> Result<Outcome, ExecError> {
    let lines = PROLOGUE.iter().map(|line| (*line).to_owned()).chain(body.iter().cloned()).chain(["EXIT".to_owned()]);
    let text: String = lines.map(|line| format!("B------:R-:W-:-:S01  {line}\n")).collect();
    let listing = Listing::parse("test.sass", &text).unwrap_or_else(|error| panic!("{error}"));
    let kernel = Kernel::parse("test.toml", METADATA, &listing).unwrap_or_else(|error| panic!("{error}"));
    let count = input.len();
    let arguments = vec![
        argument("out", ElementType::U32, Value::Buffer { count: WORDS, init: Init::Fill(vec![0xee; 4]) }),
        argument("in", ElementType::U8, Value::Buffer { count, init: Init::Bytes(input) }),
        argument("tensor", ElementType::U8, Value::TensorMap { map, init: Init::Bytes(tensor) }),
    ];
    let launch = Launch::new("main", [1, 1, 1], [threads, 1, 1], arguments);
    let mut grid = Grid::new(&kernel, &launch).unwrap_or_else(|error| panic!("{error}"));
    let mut stream = CtaStream::default();
    grid.run_cta(0, &mut stream)?;
    let bytes = |name: &str| grid.memory().buffer(name).unwrap().data.clone();
    let out = bytes("out").chunks(4).map(|word| u32::from_le_bytes(word.try_into().unwrap())).collect();
    Ok(Outcome { out, tensor: bytes("tensor"), stream })
}

fn lines(body: &[&str]) -> Vec<String> {
    body.iter().map(|line| (*line).to_owned()).collect()
}

fn any_map() -> (TensorMap, Vec<u8>) {
    (TensorMap::packed(1, &[16], &[16], Swizzle::None).unwrap(), vec![0; 16])
}

/// An mbarrier of `arrivals` at 0x1000 of shared memory, made by thread 0.
fn barrier(arrivals: u32) -> Vec<String> {
    let count = 0x10_0000 - arrivals;
    let mut body = lines(&["UMOV UR8, 0x1000", "MOV R8, 0x1000"]);
    body.push(format!("UMOV UR10, {:#x}", count << 1));
    body.push(format!("UMOV UR11, {:#x}", count << 11));
    body.extend(lines(&["@!P6 SYNCS.EXCH.64 URZ, [UR8], UR10", "BAR.SYNC.DEFER_BLOCKING 0x0"]));
    body
}

#[test]
fn a_phase_waits_for_all_arrivals_and_stands_in_the_stream_once() {
    let mut body = barrier(2 + 32);
    body.extend(lines(&[
        // Warp 1 waits for the phase; every lane of warp 0 arrives, then thread 0 twice over.
        "ISETP.GE.AND P1, PT, R0, 0x20, PT",
        "MOV R4, RZ",
        "MOV R5, 0x2",
        "@P1 SYNCS.PHASECHK.TRANS64.TRYWAIT P0, [UR8], R4",
        "@!P1 STS [0x2000], R1",
        "@!P1 SYNCS.ARRIVE.TRANS64.A1T0 RZ, [R8+URZ], RZ",
        "@!P6 SYNCS.ARRIVE.TRANS64.ART0 RZ, [R8+URZ], R5",
        "LDS R6, [0x2000]",
        // Phase 1 is not over.
        "MOV R9, 0x80000000",
        "SYNCS.PHASECHK.TRANS64 P2, [UR8], R9",
        "@P2 IADD3 R6, R6, 0x100, RZ",
        "STG.E [R2.64], R6",
    ]));
    let body: Vec<String> = body.into_iter().map(|line| line.replace("[0x2000]", "[RZ+0x2000]")).collect();
    let (map, tensor) = any_map();
    let found = run(64, &body, vec![0; 16], map, tensor).unwrap();
    assert!(found.out[..64].iter().all(|word| *word == 4), "{:x?}", &found.out[..64]);
    let uses: Vec<MbarrierUse> = found.stream.mbarriers.iter().map(|(_, what)| *what).collect();
    assert_eq!(
        uses,
        [
            MbarrierUse::Init { arrivals: 34 },
            MbarrierUse::Arrive { arrivals: 32, bytes: 0 },
            MbarrierUse::Arrive { arrivals: 2, bytes: 0 },
            MbarrierUse::Wait { phase: 1 },
        ]
    );
}

#[test]
fn waiting_for_nobody_is_a_deadlock_and_arriving_nowhere_an_error() {
    let (map, tensor) = any_map();
    let mut body = barrier(1);
    body.push("SYNCS.PHASECHK.TRANS64.TRYWAIT P0, [UR8], RZ".to_owned());
    let error = run(32, &body, vec![0; 16], map, tensor.clone()).err().unwrap().to_string();
    assert!(error.contains("waits for the phase of an mbarrier"), "{error}");
    let body = lines(&["MOV R8, 0x800", "SYNCS.ARRIVE.TRANS64.A1T0 RZ, [R8+URZ], RZ"]);
    let error = run(32, &body, vec![0; 16], map, tensor).err().unwrap().to_string();
    assert!(error.contains("no mbarrier lies at 0x800"), "{error}");
}

/// A copy of `bytes` bytes of the box at `corner` to 0x2000 and a wait for them, by thread 0; then all words to `out`.
fn tensor_load(corner: [i32; 2], bytes: u32) -> Vec<String> {
    let mut body = barrier(1);
    body.extend(lines(&["UMOV UR12, 0x2000", "UMOV UR13, 0x1000"]));
    body.push(format!("UMOV UR14, {:#x}", corner[0] as u32));
    body.push(format!("UMOV UR15, {:#x}", corner[1] as u32));
    body.push(format!("MOV R5, {bytes:#x}"));
    body.extend(lines(&[
        "@!P6 SYNCS.ARRIVE.TRANS64 RZ, [R8+URZ], R5",
        "BSSY B0, 0x400",
        "@P6 BRA 0x3f0",
        "UTMALDG.2D [UR12], [UR6]",
    ]));
    // The prologue has 9 lines, this one begins behind it: BSYNC stands at its place.
    let at = |body: &[String]| 16 * (9 + body.len());
    let sync = at(&body);
    let (open, jump) = (body.len() - 3, body.len() - 2);
    body[open] = format!("BSSY B0, {:#x}", sync + 16);
    body[jump] = format!("@P6 BRA {sync:#x}");
    body.extend(lines(&["BSYNC B0", "SYNCS.PHASECHK.TRANS64.TRYWAIT P0, [UR8], RZ", "SHF.L.U32 R7, R0, 0x2, RZ"]));
    for round in 0..bytes.div_ceil(4 * 128) {
        body.push(format!("LDS R6, [R7+{:#x}]", 0x2000 + 512 * round));
        body.push(format!("STG.E [R2.64+{:#x}], R6", 512 * round));
    }
    body
}

fn swizzle() -> impl Strategy<Value = Swizzle> {
    prop_oneof![Just(Swizzle::None), Just(Swizzle::Bytes32), Just(Swizzle::Bytes64), Just(Swizzle::Bytes128)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn tensor_loads(swizzle in swizzle(), corner in (-70i32..100, -20i32..40), rows in 1u32..20, seed: u8) {
        let (columns, height, inner) = (80, 24, swizzle.bytes() / 2);
        let map = TensorMap::packed(2, &[columns, height], &[inner, rows], swizzle).unwrap();
        let element = |x: i32, y: i32| (31 * x + 7 * y + i32::from(seed)) as u16 | 1;
        let tensor: Vec<u8> = (0..height as i32)
            .flat_map(|y| (0..columns as i32).flat_map(move |x| element(x, y).to_le_bytes()))
            .collect();
        let corner = [corner.0, corner.1];
        let bytes = 2 * inner * rows;
        let found = run(128, &tensor_load(corner, bytes), vec![0; 16], map, tensor).unwrap();
        for row in 0..rows {
            for column in 0..inner {
                let (x, y) = (corner[0] + column as i32, corner[1] + row as i32);
                let inside = (0..columns as i32).contains(&x) && (0..height as i32).contains(&y);
                let want = if inside { element(x, y) } else { 0 };
                let place = swizzle.place(0x2000 + 2 * (row * inner + column)) - 0x2000;
                // Where the box ends within a pattern of the swizzle, some of it lies behind its last byte.
                if place < bytes {
                    let word = found.out[place as usize / 4];
                    prop_assert_eq!((word >> (8 * (place % 4))) as u16, want, "row {}, column {}", row, column);
                }
            }
        }
        let copy = found.stream.bulk[0];
        prop_assert_eq!((copy.bytes, copy.mbarrier, copy.is_load), (bytes, Some(0x1000), true));
        prop_assert!(copy.line_count <= copy.line_cycles && copy.line_cycles >= rows);
    }

    #[test]
    fn tensor_stores(corner in (-10i32..60, -6i32..20)) {
        let map = TensorMap::packed(4, &[64, 16], &[8, 4], Swizzle::None).unwrap();
        let mut body = lines(&["SHF.L.U32 R7, R0, 0x2, RZ", "STS [R7+0x2000], R0", "UMOV UR12, 0x2000"]);
        body.push(format!("UMOV UR13, {:#x}", corner.0 as u32));
        body.push(format!("UMOV UR14, {:#x}", corner.1 as u32));
        body.extend(lines(&["UTMASTG.2D [UR12], [UR6]", "UTMACMDFLUSH", "DEPBAR.LE SB0, 0x0"]));
        let found = run(32, &body, vec![0; 16], map, vec![0xff; 4 * 64 * 16]).unwrap();
        for (at, word) in found.tensor.chunks(4).enumerate() {
            let (x, y) = ((at % 64) as i32 - corner.0, (at / 64) as i32 - corner.1);
            let inside = (0..8).contains(&x) && (0..4).contains(&y);
            let want = if inside { (8 * y + x) as u32 } else { u32::MAX };
            prop_assert_eq!(u32::from_le_bytes(word.try_into().unwrap()), want);
        }
    }
}

/// Places of the elements of a factor, and the descriptor that says so: PTX ISA, "Strides" and "Canonical layouts".
#[derive(Clone, Copy, Debug)]
struct Layout {
    swizzle: Swizzle,
    transposed: bool,
}

impl Layout {
    /// Leading and stride byte offset for `outer` rows of M or columns of N.
    fn offsets(self, outer: u32) -> (u32, u32) {
        match (self.transposed, self.swizzle) {
            (false, Swizzle::None) => (8 * 2 * outer, 128),
            (false, swizzle) => (16, 8 * swizzle.bytes()),
            (true, Swizzle::None) => (8 * 2 * outer, 128),
            (true, swizzle) => (16 * swizzle.bytes(), 8 * swizzle.bytes()),
        }
    }

    fn descriptor(self, address: u32, outer: u32) -> u64 {
        let (leading, stride) = self.offsets(outer);
        let mode = match self.swizzle {
            Swizzle::None => 0,
            Swizzle::Bytes128 => 1,
            Swizzle::Bytes64 => 2,
            Swizzle::Bytes32 => 3,
        };
        u64::from(address / 16) | u64::from(leading / 16) << 16 | u64::from(stride / 16) << 32 | mode << 62
    }

    /// The image in shared memory of element(outer, k), two bytes each.
    fn image(self, address: u32, outer: u32, element: impl Fn(u32, u32) -> u16) -> Vec<u8> {
        let (leading, stride) = self.offsets(outer);
        let width = self.swizzle.bytes();
        let mut image = vec![0; 16384];
        for o in 0..outer {
            for k in 0..16 {
                // Blocks of 8 × 16 bytes without swizzle; rows of the swizzle's width with it.
                let plain = match (self.transposed, self.swizzle) {
                    (false, Swizzle::None) => (k / 8) * leading + (o / 8) * stride + 16 * (o % 8) + 2 * (k % 8),
                    (false, _) => (o / 8) * stride + width * (o % 8) + 2 * k,
                    (true, Swizzle::None) => (o / 8) * stride + (k / 8) * leading + 16 * (k % 8) + 2 * (o % 8),
                    (true, _) => {
                        let per_row = width / 2;
                        (o / per_row) * leading + (k / 8) * stride + width * (k % 8) + 2 * (o % per_row)
                    }
                };
                let at = (self.swizzle.place(address + plain) - address) as usize;
                image[at..at + 2].copy_from_slice(&element(o, k).to_le_bytes());
            }
        }
        image
    }
}

/// A small integer as a half or a bfloat16.
fn encode(value: i32, bfloat: bool) -> u16 {
    if bfloat {
        return ((value as f32).to_bits() >> 16) as u16;
    }
    let magnitude = value.unsigned_abs();
    if magnitude == 0 {
        return 0;
    }
    let exponent = magnitude.ilog2();
    let fraction = (magnitude << (10 - exponent)) & 0x3ff;
    (u32::from(value < 0) << 15 | (exponent + 15) << 10 | fraction) as u16
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn multiplies_of_a_warpgroup(
        swizzles in (swizzle(), swizzle()),
        transposed in (any::<bool>(), any::<bool>()),
        bfloat: bool,
        a_in_registers: bool,
        negative: bool,
        adds: bool,
        columns in (1u32..=16).prop_map(|eights| 8 * eights),
        seed in 0i32..1000,
    ) {
        const A: u32 = 0x1000;
        const B: u32 = 0x5000;
        let a = |row: u32, k: u32| (row as i32 * 3 + k as i32 * 5 + seed) % 7 - 3;
        let b = |column: u32, k: u32| (column as i32 * 2 + k as i32 * 3 + seed) % 5 - 2;
        let in_a = Layout { swizzle: swizzles.0, transposed: transposed.0 && !a_in_registers };
        // A transposed factor is as wide as the swizzle at least.
        let narrow = transposed.1 && columns * 2 < swizzles.1.bytes();
        let in_b = Layout { swizzle: if narrow { Swizzle::None } else { swizzles.1 }, transposed: transposed.1 };
        let mut input = in_a.image(A, 64, |row, k| encode(a(row, k), bfloat));
        input.extend(in_b.image(B, columns, |column, k| encode(b(column, k), bfloat)));
        let mut body = barrier(1);
        body.extend(lines(&["UMOV UR12, 0x1000", "UMOV UR13, 0x800", "UMOV UR8, 0x800", "UMOV UR16, 0x800", "MOV R8, 0x800"]));
        body.retain(|line| !line.starts_with("UMOV UR8, 0x1000") && !line.starts_with("MOV R8, 0x1000"));
        body.rotate_right(5);
        body.push("MOV R5, 0x8000".to_owned());
        body.push("@!P6 SYNCS.ARRIVE.TRANS64 RZ, [R8+URZ], R5".to_owned());
        // Once, by warp 0: 32 KiB in pieces of 16 bytes.
        body.extend(lines(&["ISETP.GE.AND P1, PT, R0, 0x20, PT", "UMOV UR14, 0x800", "@!P1 UBLKCP.S.G [UR12], [UR4], UR14"]));
        body.push("SYNCS.PHASECHK.TRANS64.TRYWAIT P0, [UR8], RZ".to_owned());
        for (first, descriptor) in [(20, in_a.descriptor(A, 64)), (22, in_b.descriptor(B, columns))] {
            body.push(format!("UMOV UR{first}, {:#x}", descriptor as u32));
            body.push(format!("UMOV UR{}, {:#x}", first + 1, (descriptor >> 32) as u32));
        }
        let sums = columns / 2;
        for register in 0..sums {
            body.push(format!("MOV R{}, 0x40000000", 40 + register)); // 2.0
        }
        if a_in_registers {
            // Row-major words of A from `in`, by way of a plain image: lane 4g + t has rows g, g + 8 and k 2t, 2t + 8.
            input.resize(32768, 0);
            for row in 0..64 {
                for k in 0..16 {
                    input.extend(encode(a(row, k), bfloat).to_le_bytes());
                }
            }
            body.extend(lines(&[
                "LOP3.LUT R10, R0, 0x1c, RZ, 0xc0, !PT",   // 4g
                "LOP3.LUT R11, R0, 0x3, RZ, 0xc0, !PT",    // t
                "LOP3.LUT R12, R0, 0x60, RZ, 0xc0, !PT",   // 32 × warp
                "SHF.L.U32 R10, R10, 0x3, RZ",             // 32 bytes a row
                "LEA R10, R11, R10, 0x2",
                "LEA R10, R12, R10, 0x4",                  // 16 rows a warp
                "MOV R13, 0x1",
                "IMAD.WIDE R14, R10, R13, c[0x0][0x218]",
                "LDG.E R32, [R14.64+0x8000]",
                "LDG.E R33, [R14.64+0x8100]",
                "LDG.E R34, [R14.64+0x8010]",
                "LDG.E R35, [R14.64+0x8110]",
            ]));
        }
        let format = if bfloat { "F32.BF16" } else { "F32" };
        let mut suffixes = String::new();
        suffixes += if in_a.transposed { ".tnspA" } else { "" };
        suffixes += if in_b.transposed { ".tnspB" } else { "" };
        suffixes += if negative { ".negA" } else { "" };
        let factors = if a_in_registers { format!("R32, gdesc[UR22]{suffixes}") } else { format!("gdesc[UR20]{suffixes}") };
        let adds_text = if adds { "UPT" } else { "!UPT" };
        body.push("WARPGROUP.ARRIVE".to_owned());
        body.push(format!("HGMMA.64x{columns}x16.{format} R40, {factors}, R40, {adds_text}, gsb0"));
        body.push("WARPGROUP.DEPBAR.LE gsb0, 0x0".to_owned());
        for register in 0..sums {
            body.push(format!("STG.E [R2.64+{:#x}], R{}", 512 * register, 40 + register));
        }
        let (map, tensor) = any_map();
        let found = run(128, &body, input, map, tensor).unwrap();
        let sign = if negative { -1 } else { 1 };
        for thread in 0..128u32 {
            let (warp, group, pair) = (thread / 32, thread % 32 / 4, thread % 4);
            for register in 0..sums {
                let row = 16 * warp + group + 8 * (register / 2 % 2);
                let column = 8 * (register / 4) + 2 * pair + register % 2;
                let sum: i32 = (0..16).map(|k| a(row, k) * b(column, k)).sum();
                let want = (sign * sum + if adds { 2 } else { 0 }) as f32;
                let got = f32::from_bits(found.out[(128 * register + thread) as usize]);
                prop_assert_eq!(got, want, "row {}, column {}", row, column);
            }
        }
    }
}
