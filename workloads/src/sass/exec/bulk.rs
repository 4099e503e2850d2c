//! Bulk copies between global and shared memory: UTMALDG, UTMASTG (boxes of tensors), UBLKCP (consecutive bytes).
//!
//! ```text
//!  UTMALDG.2D [UR12], [UR8]        UR12 place in shared memory, UR13 mbarrier, UR14 … coordinates, innermost first
//!  UTMASTG.2D [UR16], [UR6]        UR16 place in shared memory, UR17 … coordinates        UR6:UR7, UR8:UR9 tensor map
//!  UBLKCP.S.G [UR14], [UR4], UR6   UR14 place, UR15 mbarrier; UR4:UR5 global; UR6 bytes ÷ 16
//!  UBLKCP.G.S [UR4], [UR14], UR6
//! ```
//!
//! One copy an instruction, whatever lanes are active. It takes effect when it executes, its bytes are counted at the
//! mbarrier at once: what waits for them finds them there, what does not has a race. Outside the tensor loads give zeros
//! and stores nothing.
//! Source: operands of ptxas 13.0; PTX ISA, "cp.async.bulk".

use super::super::tensor_map::{self, TensorMap};
use super::fault::{Cause, Fault};
use super::frame::{Frame, Slot};
use super::lower::{Lowered, Lowering, Refusal};
use super::mbarrier;
use super::memory::Memories;
use super::op::Op;
use crate::sass::Operand;
use crate::stream::{BulkCopy, NO_ACCESS};

#[derive(Clone, Copy, Debug)]
pub enum BulkOp {
    /// A box of a tensor; `shared`: first of the registers that say where, `map`: pair with the map's address.
    Tensor {
        load: bool,
        dimensions: usize,
        shared: Slot,
        map: Slot,
    },
    Plain {
        load: bool,
        shared: Slot,
        global: Slot,
        pieces: Slot,
    },
}

pub fn lower(cx: &mut Lowering<'_>, mnemonic: &str) -> Lowered<Option<Op>> {
    let op = match mnemonic {
        "UTMALDG" | "UTMASTG" => {
            let dimensions = [("1D", 1), ("2D", 2), ("3D", 3), ("4D", 4), ("5D", 5)];
            let dimensions = cx.need_one_of("number of dimensions", &dimensions)?;
            BulkOp::Tensor { load: mnemonic == "UTMALDG", dimensions, shared: registers(cx)?, map: registers(cx)? }
        }
        "UBLKCP" => {
            let load = cx.instruction.modifiers.first().is_some_and(|first| first == "S");
            cx.need_one_of("direction", &[("S", ())])?;
            cx.need_one_of("direction", &[("G", ())])?;
            let (to, from) = (registers(cx)?, registers(cx)?);
            let (shared, global) = if load { (to, from) } else { (from, to) };
            BulkOp::Plain { load, shared, global, pieces: cx.plain_source()? }
        }
        _ => return Ok(None),
    };
    Ok(Some(Op::Bulk(op)))
}

/// `[UR4]`: consecutive uniform registers from UR4 on.
fn registers(cx: &mut Lowering<'_>) -> Lowered<Slot> {
    match cx.next()? {
        Operand::Memory(memory) if memory.base.is_none() && memory.offset == 0 && memory.descriptor.is_none() => {
            match &memory.uniform {
                Some(first) if first.suffixes.is_empty() => Ok(cx.register_slot(first)),
                _ => Err(Refusal::new("uniform registers in brackets are expected", "as in [UR4]")),
            }
        }
        _ => Err(Refusal::new("uniform registers in brackets are expected", "as in [UR4]")),
    }
}

/// Copies once if any lane executes. Returns the index of the recorded access.
pub fn execute<const RECORD: bool>(
    op: &BulkOp,
    frame: &Frame,
    lanes: u32,
    memories: &mut Memories<'_, RECORD>,
) -> Result<u32, Fault> {
    if lanes == 0 {
        return Ok(NO_ACCESS);
    }
    let register = |slot: Slot| frame.word(slot)[0];
    let mut record = BulkCopy::default();
    let first_line = memories.recorder.lines.len();
    match *op {
        BulkOp::Tensor { load, dimensions, shared, map } => {
            let map_address = frame.wide(map, 0);
            let map = find_map(map_address, dimensions, memories)?;
            let coordinates_at = shared + if load { 2 } else { 1 };
            let mut corner = [0; tensor_map::MOST_DIMENSIONS];
            for (at, coordinate) in (0..).zip(&mut corner[..dimensions]) {
                *coordinate = register(coordinates_at + at) as i32;
            }
            record.map_address = Some(map_address);
            record.is_load = load;
            record.bytes = map.box_bytes();
            record.line_cycles = copy_box(&map, corner, register(shared), load, memories)?;
            record.mbarrier = load.then(|| register(shared + 1));
        }
        BulkOp::Plain { load, shared, global, pieces } => {
            record.is_load = load;
            record.bytes = 16 * (register(pieces) & 0xffff);
            let place = frame.wide(global, 0);
            move_row(place, register(shared), record.bytes, tensor_map::Swizzle::None, load, memories)?;
            record.line_cycles = memories.recorder.bulk_lines(place, record.bytes);
            record.mbarrier = load.then(|| register(shared + 1));
        }
    }
    if let Some(address) = record.mbarrier {
        mbarrier::complete(memories.shared, address, record.bytes)?;
    }
    record.first_line = first_line as u32;
    record.line_count = (memories.recorder.lines.len() - first_line) as u32;
    Ok(memories.recorder.bulk(record))
}

fn find_map<const RECORD: bool>(
    address: u64,
    dimensions: usize,
    memories: &Memories<'_, RECORD>,
) -> Result<TensorMap, Fault> {
    let global = || {
        let buffer = memories.global.get(memories.global.index_of(address))?;
        buffer.at(address, tensor_map::BYTES)
    };
    let bytes = memories.banks.parameters_at(address, tensor_map::BYTES).or_else(global);
    let map = bytes.and_then(TensorMap::decode).ok_or_else(|| {
        let what = format!("no tensor map lies at {address:#x}; pass one as an argument of kind \"tensor_map\"");
        Box::new(Cause::Bulk(what))
    })?;
    if map.dimensions != dimensions || !address.is_multiple_of(64) {
        let what = format!("the tensor map at {address:#x} has {} dimensions; {dimensions} are copied", map.dimensions);
        return Err(Box::new(Cause::Bulk(what)));
    }
    Ok(map)
}

/// Copies the box at `corner`, row by row; how many 128-byte lines it is walked in.
fn copy_box<const RECORD: bool>(
    map: &TensorMap,
    corner: [i32; tensor_map::MOST_DIMENSIONS],
    shared: u32,
    load: bool,
    memories: &mut Memories<'_, RECORD>,
) -> Result<u32, Fault> {
    let row_bytes = map.box_sizes[0] * map.element_bytes;
    let rows: u32 = map.box_sizes[1..map.dimensions].iter().product();
    // The part of a row that lies in the tensor.
    let inside = |coordinate: i64, size: u32| (0..i64::from(size)).contains(&coordinate);
    let (begin, end) = (i64::from(corner[0]), i64::from(corner[0]) + i64::from(map.box_sizes[0]));
    let first = begin.max(0);
    let last = end.min(map.sizes[0].into()).max(first);
    let skipped = (first - begin).min(map.box_sizes[0].into()) as u32 * map.element_bytes;
    let valid = (last - first) as u32 * map.element_bytes;
    let mut line_cycles = 0;
    for row in 0..rows {
        let (mut rest, mut place, mut is_inside) =
            (row, map.address + first as u64 * u64::from(map.element_bytes), true);
        for dimension in 1..map.dimensions {
            let coordinate = i64::from(corner[dimension]) + i64::from(rest % map.box_sizes[dimension]);
            rest /= map.box_sizes[dimension];
            is_inside &= inside(coordinate, map.sizes[dimension]);
            place = place.wrapping_add((coordinate as u64).wrapping_mul(map.strides_bytes[dimension - 1]));
        }
        let to = shared.wrapping_add(row * row_bytes);
        let valid = if is_inside { valid } else { 0 };
        if load && valid < row_bytes {
            fill_with_zeros(to, row_bytes, map.swizzle, memories)?;
        }
        move_row(place, to.wrapping_add(skipped), valid, map.swizzle, load, memories)?;
        line_cycles += memories.recorder.bulk_lines(place, valid).max(row_bytes.div_ceil(128));
    }
    Ok(line_cycles)
}

/// Consecutive bytes in global memory to or from their places in shared memory.
fn move_row<const RECORD: bool>(
    global: u64,
    shared: u32,
    bytes: u32,
    swizzle: tensor_map::Swizzle,
    load: bool,
    memories: &mut Memories<'_, RECORD>,
) -> Result<(), Fault> {
    if bytes == 0 {
        return Ok(());
    }
    let index = memories.global.index_of(global);
    let Some(row) = memories.global.get_mut(index).and_then(|buffer| buffer.at_mut(global, bytes as usize)) else {
        let neighbourhood = memories.global.neighbourhood(global);
        return Err(Box::new(Cause::OutOfBounds { space: "global", lane: 0, address: global, bytes, neighbourhood }));
    };
    for_pieces(shared, bytes, swizzle, |place, range| {
        let piece = memories.shared.at_mut(place, range.len()).ok_or(place)?;
        let row = &mut row[range];
        if load {
            piece.copy_from_slice(row)
        } else {
            row.copy_from_slice(piece)
        }
        Ok(())
    })
    .map_err(|place| outside(place, bytes))
}

fn fill_with_zeros<const RECORD: bool>(
    shared: u32,
    bytes: u32,
    swizzle: tensor_map::Swizzle,
    memories: &mut Memories<'_, RECORD>,
) -> Result<(), Fault> {
    for_pieces(shared, bytes, swizzle, |place, range| {
        memories.shared.at_mut(place, range.len()).ok_or(place)?.fill(0);
        Ok(())
    })
    .map_err(|place| outside(place, bytes))
}

/// Calls `each` with every run of bytes that stays together: up to 16, at the place that the swizzle gives them.
fn for_pieces(
    shared: u32,
    bytes: u32,
    swizzle: tensor_map::Swizzle,
    mut each: impl FnMut(u32, std::ops::Range<usize>) -> Result<(), u32>,
) -> Result<(), u32> {
    let mut done = 0;
    while done < bytes {
        let address = shared.wrapping_add(done);
        let count = (16 - address % 16).min(bytes - done);
        each(swizzle.place(address), done as usize..(done + count) as usize)?;
        done += count;
    }
    Ok(())
}

#[cold]
fn outside(address: u32, bytes: u32) -> Fault {
    let neighbourhood = "the copy does not fit into the block's shared memory".to_owned();
    Box::new(Cause::OutOfBounds { space: "shared", lane: 0, address: address.into(), bytes, neighbourhood })
}
