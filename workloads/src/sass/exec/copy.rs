//! Asynchronous copies of a lane's bytes from global to shared memory: LDGSTS (`cp.async`).
//!
//! A copy takes effect when it executes. The architecture promises its bytes only behind the wait for its group, so a
//! program that reads them earlier has a race, whose outcome here is that of the fastest machine.
//!
//! ```text
//!  LDGSTS.E.BYPASS.128       [R11], [R4.64], P0    P0 false: the destination is filled with zeros
//!  LDGSTS.E.64.ZFILL         [R19], [R12.64], P1   R12 = source + (8 − valid bytes) mod 8: what is missing is filled
//! ```
//!
//! Source of the two forms: what ptxas 13.0 makes of `cp.async` with a source size or an ignore-source predicate
//! (PTX ISA, `cp.async`).

use super::fault::Fault;
use super::frame::{Frame, PredicateSource, lanes_of};
use super::lower::{Lowered, Lowering, Refusal};
use super::memory::{Address, Memories, Width, check_alignment, hints, outside_global, outside_shared};
use super::op::Op;

#[derive(Clone, Copy, Debug)]
pub struct CopyOp {
    to: Address,
    from: Address,
    width: Width,
    /// Lanes where it is false fill with zeros.
    valid: PredicateSource,
    /// The lower bits of the source address count missing bytes.
    partial: bool,
}

pub fn lower(cx: &mut Lowering<'_>, mnemonic: &str) -> Lowered<Option<Op>> {
    if mnemonic != "LDGSTS" {
        return Ok(None);
    }
    if !cx.take("E") {
        return Err(Refusal::new("a 32-bit address space is not supported", "expected LDGSTS.E"));
    }
    let _ = cx.take("BYPASS");
    hints(cx);
    let partial = cx.take("ZFILL");
    let width = Width::of(cx);
    if width.bytes < 4 {
        return Err(Refusal::new("a copy moves 4, 8 or 16 bytes a lane", ""));
    }
    let (to, from) = (Address::window(cx)?, Address::global(cx)?);
    let valid = cx.optional_predicate()?.unwrap_or(PredicateSource::TRUE);
    Ok(Some(Op::Copy(CopyOp { to, from, width, valid, partial })))
}

/// Copies, and records the lines read and the passes of the write. Returns the index of the access.
pub fn execute<const RECORD: bool>(
    op: &CopyOp,
    frame: &Frame,
    mask: u32,
    position: u32,
    memories: &mut Memories<'_, RECORD>,
) -> Result<u32, Fault> {
    let CopyOp { to, from, width, valid, partial } = *op;
    let (to, mut from) = (to.narrow(frame), from.wide(frame));
    let valid = frame.predicate(valid) & mask;
    let size = usize::from(width.bytes);
    let global = &*memories.global;
    for lane in lanes_of(mask) {
        let mut bytes = [0; 16];
        if valid >> lane & 1 == 1 {
            let missing = if partial { from[lane] as usize % size } else { 0 };
            from[lane] -= missing as u64;
            check_alignment("global", from[lane], lane, width)?;
            let count = size - missing;
            let found = global.get(global.index_of(from[lane])).and_then(|buffer| buffer.at(from[lane], count));
            let found = found.ok_or_else(|| outside_global(from[lane], lane, width, global))?;
            bytes[..count].copy_from_slice(found);
        }
        check_alignment("shared", to[lane].into(), lane, width)?;
        match memories.shared.at_mut(to[lane], size) {
            Some(target) => target.copy_from_slice(&bytes[..size]),
            None => return Err(outside_shared(to[lane], lane, width, memories.shared)),
        }
    }
    Ok(memories.recorder.copy(position, width.bytes.into(), mask, valid, &from, &to))
}
