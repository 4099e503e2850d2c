//! Matrix multiplies of a warp: HMMA, QMMA, IMMA, DMMA; and their fragments' way through shared memory (`matrix`).
//!
//! D = A·B + C with A of m×k, B of k×8, C and D of m×8, m = 8 or 16. The 32 lanes share the elements. With lane = 4g + t and
//! E elements of a factor in 32 bits (one element in 64 for doubles):
//!
//! ```text
//!  A  register r: row g + 8·(r mod m/8), k = 4E·(r div m/8) + E·t + 0…E−1       lowest k in the lowest bits
//!  B  register r: column g,              k = 4E·r + E·t + 0…E−1
//!  C  row g + 8·(r div 2), column 2t + r mod 2     (half precision: both columns in one register)
//! ```
//!
//! Source: PTX ISA, "Matrix Fragments for mma.m8n8k4 … mma.m16n8k64" (Warp-level matrix instructions); the registers of
//! the machine instruction are PTX's, in order.
//! Numbers: floating-point sums as in `dot`. Integer sums are exact, then wrap or, with `.SAT`, clamp. Doubles: a chain of
//! fused multiply-adds in order of k, rounded to nearest (assumed: PeerJ 7:e330 found rounding to nearest, not the order).
//! Leaves out: sparse multiplies, and 1-bit ones.

mod dot;
mod matrix;
mod warpgroup;

use super::frame::{Frame, Slot};
use super::lower::{Lowered, Lowering, Refusal};
use super::op::Op;
use crate::sass::Operand;
use dot::{Accumulator, Adder, Format, Number};
pub use matrix::{MatrixOp, execute as execute_matrix, lower as lower_matrix};
pub use warpgroup::{WarpgroupOp, execute as execute_warpgroup, lower as lower_warpgroup};

/// Columns of B, C and D.
const COLUMNS: usize = 8;
const MOST_ROWS: usize = 16;
const MOST_K: usize = 64;

#[derive(Clone, Copy, Debug)]
pub struct MmaOp {
    to: Slot,
    a: Slot,
    b: Slot,
    c: Slot,
    rows: usize,
    k: usize,
    kind: Kind,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Float { format: [Format; 2], accumulator: Accumulator, adder: Adder },
    Integer { factors: [Integer; 2], saturate: bool },
    Double,
}

/// Type of the factors of an integer product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Integer {
    bits: usize,
    signed: bool,
}

pub fn lower(cx: &mut Lowering<'_>, mnemonic: &str) -> Lowered<Option<Op>> {
    let ((rows, k), kind) = match mnemonic {
        "HMMA" => half(cx)?,
        "QMMA" => quarter(cx)?,
        "IMMA" => integer(cx)?,
        "DMMA" => {
            let shapes =
                [("884", (8, 4)), ("8x8x4", (8, 4)), ("16x8x4", (16, 4)), ("16x8x8", (16, 8)), ("16x8x16", (16, 16))];
            (cx.need_one_of("shape", &shapes)?, Kind::Double)
        }
        _ => return Ok(None),
    };
    let (to, a, b) = (cx.target()?, factor(cx, "ROW")?, factor(cx, "COL")?);
    let c = cx.plain_source()?;
    Ok(Some(Op::Mma(MmaOp { to, a, b, c, rows, k, kind })))
}

fn half(cx: &mut Lowering<'_>) -> Lowered<((usize, usize), Kind)> {
    let shape = cx.need_one_of("shape", &[("16816", (16, 16)), ("1688", (16, 8)), ("1684", (16, 4))])?;
    let accumulator = cx.need_one_of("accumulator", &[("F32", Accumulator::Single), ("F16", Accumulator::Half)])?;
    let wide = [("TF32", Format::TF32), ("BF16", Format::BFLOAT16)];
    let format = cx.take_one_of(&wide).unwrap_or(Format::HALF);
    let possible = match format {
        Format::TF32 => shape.1 <= 8 && accumulator == Accumulator::Single,
        Format::BFLOAT16 => shape.1 >= 8 && accumulator == Accumulator::Single,
        _ => shape.1 >= 8,
    };
    if !possible {
        return Err(Refusal::new("this shape does not exist for these formats", ""));
    }
    Ok((shape, float(cx, [format; 2], accumulator)))
}

fn quarter(cx: &mut Lowering<'_>) -> Lowered<((usize, usize), Kind)> {
    let shape = cx.need_one_of("shape", &[("16832", (16, 32))])?;
    let accumulator = cx.need_one_of("accumulator", &[("F32", Accumulator::Single), ("F16", Accumulator::Half)])?;
    let formats = [("E4M3", Format::E4M3), ("E5M2", Format::E5M2)];
    let format = pair(cx, "format", &formats)?;
    Ok((shape, float(cx, format, accumulator)))
}

fn float(cx: &Lowering<'_>, format: [Format; 2], accumulator: Accumulator) -> Kind {
    let adder = Adder::of(&cx.kernel.arch, format[0], accumulator);
    Kind::Float { format, accumulator, adder }
}

fn integer(cx: &mut Lowering<'_>) -> Lowered<((usize, usize), Kind)> {
    let shapes = [("8816", (8, 16)), ("8832", (8, 32)), ("16816", (16, 16)), ("16832", (16, 32)), ("16864", (16, 64))];
    let shape = cx.need_one_of("shape", &shapes)?;
    let types = [
        ("S8", Integer { bits: 8, signed: true }),
        ("U8", Integer { bits: 8, signed: false }),
        ("S4", Integer { bits: 4, signed: true }),
        ("U4", Integer { bits: 4, signed: false }),
    ];
    let factors = pair(cx, "type", &types)?;
    let saturate = cx.take("SAT");
    let registers = shape.1 * factors[0].bits / 128;
    if factors[0].bits != factors[1].bits || !(1..=2).contains(&registers) {
        return Err(Refusal::new("this shape does not exist for these types", "as in IMMA.16832.S8.S8"));
    }
    Ok((shape, Kind::Integer { factors, saturate }))
}

/// Two modifiers of a kind, of A and of B in the order in which they stand.
fn pair<T: Copy>(cx: &mut Lowering<'_>, what: &str, choices: &[(&str, T)]) -> Lowered<[T; 2]> {
    let written = cx.instruction.modifiers.iter();
    let order: Vec<(&str, T)> =
        written.filter_map(|modifier| choices.iter().find(|(name, _)| name == modifier)).copied().collect();
    let [(first, a), (second, b)] = order[..] else {
        return Err(Refusal::new(format!("the {what}s of A and B should be two of its modifiers"), ""));
    };
    cx.take(first);
    cx.take(second);
    Ok([a, b])
}

/// A register of a factor. IMMA prints how the factor lies; there is one way.
fn factor(cx: &mut Lowering<'_>, layout: &str) -> Lowered<Slot> {
    match cx.next()? {
        Operand::Register(register)
            if register.suffixes.iter().all(|suffix| suffix == layout)
                && !(register.negate || register.absolute || register.invert) =>
        {
            Ok(cx.register_slot(register))
        }
        _ => Err(Refusal::new("a factor is not a plain register", format!("as in R4 or R4.{layout}"))),
    }
}

/// What a warp does with a matrix multiply; defined when all lanes take part. Only lanes of `mask` are written.
pub fn execute(op: &MmaOp, frame: &mut Frame, mask: u32) {
    match op.kind {
        Kind::Float { format, accumulator, adder } => op.float(frame, mask, format, accumulator, adder),
        Kind::Integer { factors, saturate } => op.integer(frame, mask, factors, saturate),
        Kind::Double => op.double(frame, mask),
    }
}

/// One factor as rows along k: of A, or columns of B.
type Rows<T, const N: usize> = [[T; MOST_K]; N];

impl MmaOp {
    /// Element `at` of row `row` of a factor with `row_groups` groups of eight rows, of `bits` bits.
    #[inline(always)]
    fn element(frame: &Frame, from: Slot, row_groups: usize, bits: usize, row: usize, at: usize) -> u32 {
        let per_register = 32 / bits;
        let (group, within) = (at / (4 * per_register), at % (4 * per_register));
        let register = row / 8 + row_groups * group;
        let word = frame.word(from + register as Slot)[4 * (row % 8) + within / per_register];
        let shifted = word >> (bits * (within % per_register));
        if bits == 32 { shifted } else { shifted & ((1 << bits) - 1) }
    }

    /// Place of an element of C or D: register and lane.
    fn place(row: usize, column: usize) -> (usize, usize) {
        (2 * (row / 8) + column % 2, 4 * (row % 8) + column / 2)
    }

    fn float(
        &self,
        frame: &mut Frame,
        mask: u32,
        [a_format, b_format]: [Format; 2],
        accumulator: Accumulator,
        adder: Adder,
    ) {
        let mut a: Rows<Number, MOST_ROWS> = [[Number::default(); MOST_K]; MOST_ROWS];
        let mut b: Rows<Number, COLUMNS> = [[Number::default(); MOST_K]; COLUMNS];
        let number = |from: Slot, groups: usize, format: Format, row: usize, at: usize| match format {
            // The register's upper bits count.
            Format::TF32 => Number::of(format, Self::element(frame, from, groups, 32, row, at) >> 13),
            _ => {
                let bits = (1 + format.exponent_bits + format.fraction_bits) as usize;
                Number::of(format, Self::element(frame, from, groups, bits, row, at))
            }
        };
        for at in 0..self.k {
            (0..self.rows).for_each(|row| a[row][at] = number(self.a, self.rows / 8, a_format, row, at));
            (0..COLUMNS).for_each(|column| b[column][at] = number(self.b, 1, b_format, column, at));
        }
        let mut out = [[0u32; 32]; 4];
        for row in 0..self.rows {
            for column in 0..COLUMNS {
                let (register, lane) = Self::place(row, column);
                // Two halves share a register.
                let (register, shift) = match accumulator {
                    Accumulator::Single => (register, 0),
                    Accumulator::Half => (register / 2, 16 * (column % 2)),
                };
                let word = frame.word(self.c + register as Slot)[lane];
                let c = match accumulator {
                    Accumulator::Single => word,
                    Accumulator::Half => word >> shift & 0xffff,
                };
                let (a, b) = (&a[row][..self.k], &b[column][..self.k]);
                out[register][lane] |= adder.dot([a_format, b_format], accumulator, a, b, c) << shift;
            }
        }
        let registers = match accumulator {
            Accumulator::Single => self.rows / 4,
            Accumulator::Half => self.rows / 8,
        };
        self.write(frame, mask, &out[..registers]);
    }

    fn integer(&self, frame: &mut Frame, mask: u32, [a_type, b_type]: [Integer; 2], saturate: bool) {
        let mut a: Rows<i32, MOST_ROWS> = [[0; MOST_K]; MOST_ROWS];
        let mut b: Rows<i32, COLUMNS> = [[0; MOST_K]; COLUMNS];
        let number = |from: Slot, groups: usize, kind: Integer, row: usize, at: usize| {
            let bits = Self::element(frame, from, groups, kind.bits, row, at);
            let unused = 32 - kind.bits;
            if kind.signed { (bits << unused) as i32 >> unused } else { bits as i32 }
        };
        for at in 0..self.k {
            (0..self.rows).for_each(|row| a[row][at] = number(self.a, self.rows / 8, a_type, row, at));
            (0..COLUMNS).for_each(|column| b[column][at] = number(self.b, 1, b_type, column, at));
        }
        let mut out = [[0u32; 32]; 4];
        for row in 0..self.rows {
            for column in 0..COLUMNS {
                let (register, lane) = Self::place(row, column);
                let products: i32 = (0..self.k).map(|at| a[row][at] * b[column][at]).sum();
                let c = frame.word(self.c + register as Slot)[lane] as i32;
                let sum = if saturate { c.saturating_add(products) } else { c.wrapping_add(products) };
                out[register][lane] = sum as u32;
            }
        }
        self.write(frame, mask, &out[..self.rows / 4]);
    }

    fn double(&self, frame: &mut Frame, mask: u32) {
        let value =
            |from: Slot, register: usize, lane: usize| f64::from_bits(frame.wide(from + 2 * register as Slot, lane));
        let groups = self.rows / 8;
        let mut out = [[0u32; 32]; 8];
        for row in 0..self.rows {
            for column in 0..COLUMNS {
                let (register, lane) = Self::place(row, column);
                let sum = (0..self.k).fold(value(self.c, register, lane), |sum, at| {
                    let a = value(self.a, row / 8 + groups * (at / 4), 4 * (row % 8) + at % 4);
                    let b = value(self.b, at / 4, 4 * column + at % 4);
                    a.mul_add(b, sum)
                });
                let bits = super::double::canonical(sum);
                (out[2 * register][lane], out[2 * register + 1][lane]) = (bits as u32, (bits >> 32) as u32);
            }
        }
        self.write(frame, mask, &out[..self.rows / 2]);
    }

    fn write(&self, frame: &mut Frame, mask: u32, out: &[[u32; 32]]) {
        for (register, value) in (0..).zip(out) {
            frame.write(self.to + register, mask, value);
        }
    }
}
