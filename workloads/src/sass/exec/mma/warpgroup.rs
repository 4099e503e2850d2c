//! Matrix multiplies of a warpgroup: HGMMA m64nNk16 (PTX `wgmma.mma_async`) with factors in shared memory.
//!
//! D = A·B + C with A of 64×16, B of 16×N. Each of the four warps of the group executes the instruction for 16 rows of its
//! own, so that no warp needs another one's registers. D takes effect when it executes; it is promised only behind the
//! wait for its group, so what reads it earlier has a race.
//!
//! ```text
//!  C, D  register i of lane 4g + t: row g + 8·(i div 2 mod 2), column 8·(i div 4) + 2t + i mod 2     (single precision)
//!        register i:                row g + 8·(i mod 2), columns 8·(i div 2) + 2t and + 1            (half precision)
//!  A     from registers: as that of HMMA.16816;  from memory, as B: by a descriptor of two uniform registers
//! ```
//!
//! A descriptor: bits 0–13 first address ÷ 16, 16–29 *leading* and 32–45 *stride* byte offset ÷ 16, 62–63 swizzle. Elements lie
//! in blocks of eight rows of the swizzle's width; rows run along K, or along M and N where the operand is marked `tnspA`,
//! `tnspB`:
//!
//! ```text
//!  along K, swizzled:   block of 8 rows (M, N) every *stride* bytes
//!  along K, plain:      8×16 bytes in a piece; next 8 rows after *stride*, next 16 bytes of K after *leading*
//!  transposed, swizzled: block of 8 k every *stride* bytes; what exceeds the swizzle's width of M or N after *leading*
//!  transposed, plain:   8×16 bytes in a piece; next 8 k after *leading*, next 8 of M or N after *stride*
//! ```
//!
//! Sources: PTX ISA, "Asynchronous warpgroup level matrix instructions"; operand forms of ptxas 13.0; arithmetic as in `dot`.

use super::super::super::tensor_map::Swizzle;
use super::super::fault::{Cause, Fault};
use super::super::frame::{Frame, PredicateSource, Slot};
use super::super::lower::{Lowered, Lowering, Refusal};
use super::super::memory::{Width, outside_shared};
use super::super::op::Op;
use super::super::storage::SharedMemory;
use super::dot::{Accumulator, Adder, Format, Number};
use crate::sass::{Operand, RegisterOperand};

const K: usize = 16;
const ROWS: usize = 16;
const MOST_COLUMNS: usize = 256;

#[derive(Clone, Copy, Debug)]
enum Factor {
    Registers(Slot),
    Memory { descriptor: Slot, transposed: bool },
}

#[derive(Clone, Copy, Debug)]
pub struct WarpgroupOp {
    to: Slot,
    a: Factor,
    b: Factor,
    /// None: zero.
    c: Option<Slot>,
    /// Where it does not hold, C is zero.
    adds: PredicateSource,
    columns: usize,
    format: Format,
    accumulator: Accumulator,
    adder: Adder,
    /// Of A and B.
    negate: [bool; 2],
}

/// Columns of `64x128x16`.
pub fn columns_of(shape: &str) -> Option<usize> {
    let columns = shape.strip_prefix("64x")?.strip_suffix("x16")?.parse().ok()?;
    (8..=MOST_COLUMNS).contains(&columns).then_some(columns).filter(|columns| columns % 8 == 0)
}

pub fn lower(cx: &mut Lowering<'_>, mnemonic: &str) -> Lowered<Option<Op>> {
    if mnemonic != "HGMMA" {
        return Ok(None);
    }
    let shape = cx.instruction.modifiers.iter().find_map(|modifier| Some((modifier, columns_of(modifier)?)));
    let (shape, columns) = shape.ok_or_else(|| Refusal::new("no shape that is supported", "64xNx16, N = 8 … 256"))?;
    cx.take(shape);
    let accumulator = cx.need_one_of("accumulator", &[("F32", Accumulator::Single), ("F16", Accumulator::Half)])?;
    let format = cx.take_one_of(&[("BF16", Format::BFLOAT16)]).unwrap_or(Format::HALF);
    let to = cx.target()?;
    let mut negate = [false; 2];
    let (a, b) = match cx.next()? {
        Operand::Register(_) => {
            cx.step_back();
            let a = Factor::Registers(cx.plain_source()?);
            (a, memory_factor(cx, false, &mut negate)?.1)
        }
        Operand::MatrixDescriptor(_) => {
            cx.step_back();
            memory_factor(cx, true, &mut negate)?
        }
        _ => return Err(Refusal::new("the factors are not understood", "gdesc[UR4], or R8, gdesc[UR4]")),
    };
    let c = match cx.peek() {
        Some(Operand::Register(register)) if register.is_zero() => {
            cx.next()?;
            None
        }
        _ => Some(cx.plain_source()?),
    };
    let adds = cx.optional_predicate()?.unwrap_or(PredicateSource::TRUE);
    if let Some(Operand::Name(name)) = cx.peek()
        && name == "gsb0"
    {
        cx.next()?;
    }
    let adder = Adder::of(&cx.kernel.arch, format, accumulator);
    let op = WarpgroupOp { to, a, b, c, adds, columns, format, accumulator, adder, negate };
    Ok(Some(Op::Warpgroup(op)))
}

/// Both factors of a descriptor operand: A's descriptor stands before B's where A is in memory.
fn memory_factor(cx: &mut Lowering<'_>, both: bool, negate: &mut [bool; 2]) -> Lowered<(Factor, Factor)> {
    let Operand::MatrixDescriptor(descriptor) = cx.next()? else {
        return Err(Refusal::new("a matrix descriptor is expected", "as in gdesc[UR4]"));
    };
    let RegisterOperand { suffixes, .. } = descriptor;
    let mut transposed = [false; 2];
    for suffix in suffixes {
        match suffix.as_str() {
            "tnspA" if both => transposed[0] = true,
            "tnspB" => transposed[1] = true,
            "negA" => negate[0] = true,
            "negB" => negate[1] = true,
            other => return Err(Refusal::new(format!("descriptor suffix `.{other}` is not supported"), "")),
        }
    }
    let first = cx.register_slot(descriptor);
    let a = Factor::Memory { descriptor: first, transposed: transposed[0] };
    let b = Factor::Memory { descriptor: first + if both { 2 } else { 0 }, transposed: transposed[1] };
    Ok((a, b))
}

/// Executes for one warp, the `number`-th of its group; all lanes must take part.
pub fn execute(
    op: &WarpgroupOp,
    frame: &mut Frame,
    lanes: u32,
    number: usize,
    shared: &SharedMemory,
) -> Result<(), Fault> {
    match lanes {
        0 => return Ok(()),
        u32::MAX => {}
        _ => return Err(Box::new(Cause::PartialWarpgroup { lanes })),
    }
    let mut a = [[Number::default(); K]; ROWS];
    match op.a {
        Factor::Registers(first) => {
            for (lane, register) in (0..32).flat_map(|lane| (0..4).map(move |register| (lane, register))) {
                let word = frame.word(first + register as Slot)[lane];
                let (row, k) = (lane / 4 + 8 * (register % 2), 8 * (register / 2) + 2 * (lane % 4));
                a[row][k] = Number::of(op.format, word & 0xffff);
                a[row][k + 1] = Number::of(op.format, word >> 16);
            }
        }
        Factor::Memory { descriptor, transposed } => {
            let descriptor = Descriptor::of(frame.wide(descriptor, 0), transposed);
            for (row, numbers) in a.iter_mut().enumerate() {
                descriptor.read(16 * number + row, op.format, numbers, shared)?;
            }
        }
    }
    let mut b = [[Number::default(); K]; MOST_COLUMNS];
    if let Factor::Memory { descriptor, transposed } = op.b {
        let descriptor = Descriptor::of(frame.wide(descriptor, 0), transposed);
        for (column, numbers) in b[..op.columns].iter_mut().enumerate() {
            descriptor.read(column, op.format, numbers, shared)?;
        }
    }
    if op.negate[0] != op.negate[1] {
        a.iter_mut().flatten().for_each(|number| *number = number.negated());
    }
    let adds = frame.predicate(op.adds);
    let registers = op.columns / if op.accumulator == Accumulator::Single { 2 } else { 4 };
    let dot = |row: usize, column: usize, c: u32| op.adder.dot([op.format; 2], op.accumulator, &a[row], &b[column], c);
    for register in 0..registers {
        let old = op.c.map_or([0; 32], |c| *frame.word(c + register as Slot));
        let new = std::array::from_fn(|lane| {
            let old = if adds >> lane & 1 == 1 { old[lane] } else { 0 };
            let (group, pair) = (lane / 4, 2 * (lane % 4));
            match op.accumulator {
                Accumulator::Single => {
                    dot(group + 8 * (register / 2 % 2), 8 * (register / 4) + pair + register % 2, old)
                }
                Accumulator::Half => {
                    let (row, column) = (group + 8 * (register % 2), 8 * (register / 2) + pair);
                    dot(row, column, old & 0xffff) | dot(row, column + 1, old >> 16) << 16
                }
            }
        });
        frame.write(op.to + register as Slot, lanes, &new);
    }
    Ok(())
}

/// Where a factor lies in shared memory.
#[derive(Clone, Copy, Debug)]
struct Descriptor {
    first: u32,
    leading: u32,
    stride: u32,
    swizzle: Swizzle,
    transposed: bool,
}

impl Descriptor {
    fn of(bits: u64, transposed: bool) -> Self {
        let field = |at: u32| (bits >> at & 0x3fff) as u32 * 16;
        let swizzle = match bits >> 62 {
            0 => Swizzle::None,
            1 => Swizzle::Bytes128,
            2 => Swizzle::Bytes64,
            _ => Swizzle::Bytes32,
        };
        Self { first: field(0), leading: field(16), stride: field(32), swizzle, transposed }
    }

    /// Place of an element of two bytes: row of M or column of N, and k.
    fn place(&self, outer: u32, k: u32) -> u32 {
        let Self { first, leading, stride, swizzle, transposed } = *self;
        let width = swizzle.bytes();
        let offset = match (transposed, swizzle) {
            (false, Swizzle::None) => outer / 8 * stride + 2 * k / 16 * leading + outer % 8 * 16 + 2 * k % 16,
            (false, _) => outer / 8 * stride + outer % 8 * width + 2 * k,
            (true, Swizzle::None) => outer / 8 * stride + k / 8 * leading + k % 8 * 16 + 2 * outer % 16,
            (true, _) => k / 8 * stride + 2 * outer / width * leading + k % 8 * width + 2 * outer % width,
        };
        swizzle.place(first + offset)
    }

    /// The 16 elements along K of one row of M or column of N.
    fn read(&self, outer: usize, format: Format, to: &mut [Number; K], shared: &SharedMemory) -> Result<(), Fault> {
        const WIDTH: Width = Width { bytes: 2, signed: false };
        for (k, number) in to.iter_mut().enumerate() {
            let address = self.place(outer as u32, k as u32);
            let bytes = shared.at(address, 2).ok_or_else(|| outside_shared(address, 0, WIDTH, shared))?;
            *number = Number::of(format, u16::from_le_bytes([bytes[0], bytes[1]]).into());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn descriptor(leading: u32, stride: u32, swizzle: u64, transposed: bool) -> Descriptor {
        Descriptor::of(swizzle << 62 | u64::from(stride / 16) << 32 | u64::from(leading / 16) << 16 | 64, transposed)
    }

    /// PTX ISA, "Canonical layouts": each layout fills its tile without gap or overlap.
    #[test]
    fn every_layout_places_each_element_once() {
        for (found, outer) in [
            (descriptor(128, 256, 0, false), 64),
            (descriptor(16, 256, 3, false), 64),
            (descriptor(128, 256, 0, true), 64),
            (descriptor(2048, 1024, 1, true), 128),
        ] {
            let mut places: Vec<u32> =
                (0..outer).flat_map(|outer| (0..16).map(move |k| (outer, k))).map(|(o, k)| found.place(o, k)).collect();
            places.sort_unstable();
            places.dedup();
            assert_eq!(places.len(), 16 * outer as usize, "{found:?}");
            assert!(places.iter().all(|place| (1024..1024 + 32 * outer).contains(place)), "{found:?}");
        }
    }

    #[test]
    fn a_row_of_128_bytes_holds_four_steps_along_k() {
        // The second step starts 32 bytes on; its pieces change places with those of the others.
        let found = Descriptor { first: 1024 + 32, ..descriptor(16, 1024, 1, false) };
        assert_eq!(found.place(0, 0), 1024 + 32);
        assert_eq!(found.place(1, 0), 1024 + 128 + (2 ^ 1) * 16);
        assert_eq!(found.place(9, 8), 1024 + 1024 + 128 + (3 ^ 1) * 16);
    }
}
