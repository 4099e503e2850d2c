//! One matrix multiply of a warp: fragments in, fragments out; and how PTX lays matrices over the lanes.
#![allow(dead_code)]

use workloads::sass::exec::Grid;
use workloads::sass::launch::{Argument, ElementType, Init, Value};
use workloads::sass::{Kernel, Launch, Listing};

/// Registers of each lane.
pub type Registers<const N: usize> = [[u32; N]; 32];

/// A in R16…R31, B in R32…R39, C in R40…R47; D is read from R48…R55.
#[derive(Clone, Debug, Default)]
pub struct Fragments {
    pub a: Registers<16>,
    pub b: Registers<8>,
    pub c: Registers<8>,
}

fn metadata(arch: &str) -> String {
    format!(
        "kernel = \"main\"\narch = \"{arch}\"\nregisters = 64\nstatic_shared_bytes = 4096\nlocal_bytes = 0\nbarriers = 1\n\
         constant_bank_0_bytes = 0x170\nparameter_base = 0x160\nparameter_bytes = 0x10\n\
         parameter = [{{ index = 0, offset_bytes = 0, size_bytes = 8 }}, {{ index = 1, offset_bytes = 8, size_bytes = 8 }}]\n"
    )
}

/// Runs lines of a program between the loads and the stores; what R48…R55 hold then, by lane.
#[track_caller]
pub fn run(arch: &str, body: &[&str], fragments: &Fragments) -> Registers<8> {
    let mut lines = vec!["S2R R0, SR_TID.X".to_owned(), "MOV R1, 0x80".to_owned()];
    lines.push("IMAD.WIDE R2, R0, R1, c[0x0][0x160]".to_owned());
    lines.extend((0..8).map(|part| format!("LDG.E.128 R{}, [R2.64+{:#x}]", 16 + 4 * part, 16 * part)));
    lines.extend(body.iter().map(|line| (*line).to_owned()));
    lines.extend(["MOV R1, 0x20", "IMAD.WIDE R2, R0, R1, c[0x0][0x168]"].map(str::to_owned));
    lines.extend(["STG.E.128 [R2.64], R48", "STG.E.128 [R2.64+0x10], R52", "EXIT"].map(str::to_owned));
    let text: String = lines.iter().map(|line| format!("B------:R-:W-:-:S01  {line}\n")).collect();
    let listing = Listing::parse("test.sass", &text).unwrap_or_else(|error| panic!("{error}"));
    let kernel = Kernel::parse("test.toml", &metadata(arch), &listing).unwrap_or_else(|error| panic!("{error}"));

    let mut bytes = Vec::new();
    for lane in 0..32 {
        let words = fragments.a[lane].iter().chain(&fragments.b[lane]).chain(&fragments.c[lane]);
        words.for_each(|word| bytes.extend(word.to_le_bytes()));
    }
    let buffer =
        |name: &str, count: usize, init: Init| Argument::new(name, ElementType::U32, Value::Buffer { count, init });
    let arguments = vec![buffer("in", 1024, Init::Bytes(bytes)), buffer("out", 256, Init::Fill(vec![0; 4]))];
    let launch = Launch::new("main", [1, 1, 1], [32, 1, 1], arguments);
    let mut grid = Grid::new(&kernel, &launch).unwrap_or_else(|error| panic!("{error}"));
    grid.run_cta_without_stream(0).unwrap_or_else(|error| panic!("{error}"));
    let out = &grid.memory().buffer("out").expect("allocated by the launch").data;
    std::array::from_fn(|lane| {
        std::array::from_fn(|register| {
            let at = 32 * lane + 4 * register;
            u32::from_le_bytes([out[at], out[at + 1], out[at + 2], out[at + 3]])
        })
    })
}

/// Where PTX puts element `i` that lane 4g + t holds: row (or k) and column, from the formulas of the section on the shape.
/// `per_register` elements of the factors share a register.
#[derive(Clone, Copy, Debug)]
pub struct Layout {
    pub rows: usize,
    pub k: usize,
    pub per_register: usize,
}

impl Layout {
    /// Elements of A that a lane holds.
    pub fn a_elements(self) -> usize {
        self.rows * self.k / 32
    }

    pub fn b_elements(self) -> usize {
        8 * self.k / 32
    }

    /// "row = groupID for … , groupID + 8 otherwise; col = threadID_in_group * n + (i & (n − 1)) + …"
    pub fn a(self, lane: usize, i: usize) -> (usize, usize) {
        let (g, t, n) = (lane / 4, lane % 4, self.per_register);
        let (lower, half) = if self.rows == 16 { (i / n % 2 == 1, i / (2 * n)) } else { (false, i / n) };
        (if lower { g + 8 } else { g }, t * n + i % n + 4 * n * half)
    }

    /// "row = threadID_in_group * n + (i & (n − 1)) + …; col = groupID"
    pub fn b(self, lane: usize, i: usize) -> (usize, usize) {
        let (g, t, n) = (lane / 4, lane % 4, self.per_register);
        (t * n + i % n + 4 * n * (i / n), g)
    }

    /// "row = groupID for c0 and c1, groupID + 8 for c2 and c3; col = threadID_in_group * 2 + (i & 1)"
    pub fn c(self, lane: usize, i: usize) -> (usize, usize) {
        (lane / 4 + 8 * (i / 2), lane % 4 * 2 + i % 2)
    }
}

/// Puts `bits` of element `i` in place among registers whose elements have `width` bits.
pub fn put(registers: &mut [u32], width: usize, i: usize, bits: u64) {
    if width == 64 {
        registers[2 * i] = bits as u32;
        registers[2 * i + 1] = (bits >> 32) as u32;
        return;
    }
    let per_register = 32 / width;
    registers[i / per_register] |= (bits as u32) << (width * (i % per_register));
}

/// The inverse of [`put`].
pub fn get(registers: &[u32], width: usize, i: usize) -> u64 {
    if width == 64 {
        return u64::from(registers[2 * i + 1]) << 32 | u64::from(registers[2 * i]);
    }
    let per_register = 32 / width;
    let word = u64::from(registers[i / per_register]) >> (width * (i % per_register));
    word & ((1 << width) - 1)
}
