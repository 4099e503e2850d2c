//! Barriers in shared memory that count arrivals and bytes: SYNCS (PTX `mbarrier`).
//!
//! ```text
//!  EXCH.64     init: E arrivals a phase                     ARRIVE.TRANS64        R more bytes expected, one arrival
//!  PHASECHK    is the phase of this parity over?            ARRIVE.TRANS64.A1T0   one arrival
//!   .TRYWAIT   … and wait for it                            ARRIVE.TRANS64.ART0   R arrivals
//!  CCTL.IV     no longer a barrier                          ….RED.A0TR / .A0TX    R more / fewer bytes, no arrival
//! ```
//!
//! A phase is over when no arrival and no byte is missing. TRYWAIT hardware gives up after a while and the program tries
//! again; here it waits until the phase is over, so that each wait stands in the stream once. A warp all of whose paths
//! wait lets the others run. At issue it answers that the phase is over and names the phase in the stream: it is for timing to hold
//! the answer back until then, and what depends on it issues after the answer.
//! The barrier's 64 bits are opaque in PTX: memory keeps what EXCH wrote, the counts lie beside it.
//! Sources: PTX ISA, "Parallel synchronization and communication: mbarrier"; opcodes from ptxas 13.0.

use super::fault::{Cause, Fault};
use super::frame::{Frame, Slot, lanes_of};
use super::lower::{Lowered, Lowering, Refusal};
use super::memory::{Address, Memories, Width, check_alignment, outside_shared};
use super::op::Op;
use super::storage::SharedMemory;
use crate::stream::{MbarrierUse, NO_ACCESS};

const WIDTH: Width = Width { bytes: 8, signed: false };

/// The counts of one barrier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Mbarrier {
    expected: u32,
    missing: u32,
    /// Bytes that are expected and have not come; below zero when they come first.
    bytes: i64,
    /// Phases that are over.
    phase: u32,
}

impl Mbarrier {
    fn new(arrivals: u32) -> Self {
        Self { expected: arrivals, missing: arrivals, bytes: 0, phase: 0 }
    }

    fn update(&mut self, arrivals: u32, bytes: i64) {
        self.missing = self.missing.saturating_sub(arrivals);
        self.bytes += bytes;
        if self.missing == 0 && self.bytes == 0 {
            self.phase += 1;
            self.missing = self.expected;
        }
    }
}

/// What an arrival adds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Count {
    Zero,
    One,
    Register,
    Minus,
}

impl Count {
    fn of(self, register: u32) -> i64 {
        match self {
            Self::Zero => 0,
            Self::One => 1,
            Self::Register => i64::from(register),
            Self::Minus => -i64::from(register),
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Exchange {
        from: Slot,
    },
    Arrive {
        to: Slot,
        value: Slot,
        arrivals: Count,
        bytes: Count,
    },
    /// `parity` in bit 31.
    Check {
        to: u8,
        parity: Slot,
        waits: bool,
    },
    Invalidate,
}

#[derive(Clone, Copy, Debug)]
pub struct MbarrierOp {
    address: Address,
    kind: Kind,
}

pub fn lower(cx: &mut Lowering<'_>, mnemonic: &str) -> Lowered<Option<Op>> {
    if mnemonic != "SYNCS" {
        return Ok(None);
    }
    let kinds = [("EXCH", 0), ("ARRIVE", 1), ("PHASECHK", 2), ("CCTL", 3)];
    let (address, kind) = match cx.need_one_of("kind", &kinds)? {
        0 => {
            cx.need_one_of("size", &[("64", ())])?;
            if cx.target()? != cx.discard() {
                return Err(Refusal::new("the old value of a barrier is not defined here", "URZ as destination"));
            }
            let address = Address::window(cx)?;
            (address, Kind::Exchange { from: cx.plain_source()? })
        }
        1 => {
            cx.need_one_of("form", &[("TRANS64", ())])?;
            cx.take("RED");
            let counts = [
                ("A1T0", (Count::One, Count::Zero)),
                ("ART0", (Count::Register, Count::Zero)),
                ("A0TR", (Count::Zero, Count::Register)),
                ("A0TX", (Count::Zero, Count::Minus)),
            ];
            let (arrivals, bytes) = cx.take_one_of(&counts).unwrap_or((Count::One, Count::Register));
            let to = cx.target()?;
            let address = Address::window(cx)?;
            (address, Kind::Arrive { to, value: cx.plain_source()?, arrivals, bytes })
        }
        2 => {
            cx.need_one_of("form", &[("TRANS64", ())])?;
            let waits = cx.take("TRYWAIT");
            let to = cx.predicate_target()?;
            let address = Address::window(cx)?;
            (address, Kind::Check { to, parity: cx.plain_source()?, waits })
        }
        _ => {
            cx.need_one_of("operation", &[("IV", ())])?;
            (Address::window(cx)?, Kind::Invalidate)
        }
    };
    Ok(Some(Op::Mbarrier(MbarrierOp { address, kind })))
}

/// What became of an instruction.
pub enum Outcome {
    /// Executed, with the index of the recorded access.
    Done(u32),
    /// The phase is not over: to be executed again.
    Wait,
}

/// Executes for the lanes of `mask`, in order; at issue, where timing waits, if `AT_ISSUE`.
pub fn execute<const RECORD: bool, const AT_ISSUE: bool>(
    op: &MbarrierOp,
    frame: &mut Frame,
    mask: u32,
    memories: &mut Memories<'_, RECORD>,
) -> Result<Outcome, Fault> {
    if mask == 0 {
        return Ok(Outcome::Done(NO_ACCESS));
    }
    let addresses = op.address.narrow(frame);
    let shared = &mut *memories.shared;
    for lane in lanes_of(mask) {
        check_alignment("shared", addresses[lane].into(), lane, WIDTH)?;
    }
    let mut uses: Vec<(u32, MbarrierUse)> = Vec::new();
    match op.kind {
        Kind::Exchange { from } => {
            let lane = mask.trailing_zeros() as usize;
            let (address, raw) = (addresses[lane], frame.wide(from, lane));
            // What the compiler computes from the count: 2 × (2^20 − arrivals).
            let arrivals = 0x20_0000u32.wrapping_sub(raw as u32) / 2;
            let Some(bytes) = shared.at_mut(address, 8) else {
                return Err(outside_shared(address, lane, WIDTH, shared));
            };
            bytes.copy_from_slice(&raw.to_le_bytes());
            shared.mbarriers.insert(address, Mbarrier::new(arrivals));
            uses.push((address, MbarrierUse::Init { arrivals }));
        }
        Kind::Arrive { to, value, arrivals, bytes } => {
            let values = *frame.word(value);
            let mut states = [0; 32];
            for lane in lanes_of(mask) {
                let barrier = find(shared, addresses[lane])?;
                states[lane] = u64::from(barrier.phase & 1) << 63;
                let (arrivals, bytes) = (arrivals.of(values[lane]) as u32, bytes.of(values[lane]));
                barrier.update(arrivals, bytes);
                let same = |(address, _): &&mut (u32, MbarrierUse)| *address == addresses[lane];
                match uses.iter_mut().find(same) {
                    Some((_, MbarrierUse::Arrive { arrivals: all, bytes: all_bytes })) => {
                        *all += arrivals;
                        *all_bytes += bytes;
                    }
                    _ => uses.push((addresses[lane], MbarrierUse::Arrive { arrivals, bytes })),
                }
            }
            // The state: the parity of the phase arrived at, where PHASECHK looks for it. RZ takes it in vain.
            frame.write_wide(to, mask, &states);
        }
        Kind::Check { to, parity, waits } => {
            let parities = *frame.word(parity);
            let mut over = 0;
            for lane in lanes_of(mask) {
                let phase = find(shared, addresses[lane])?.phase;
                let was_over = phase & 1 != parities[lane] >> 31;
                let is_over = was_over || (waits && AT_ISSUE);
                over |= u32::from(is_over) << lane;
                if is_over && !uses.iter().any(|(address, _)| *address == addresses[lane]) {
                    uses.push((addresses[lane], MbarrierUse::Wait { phase: phase + u32::from(!was_over) }));
                }
            }
            if waits && over != mask {
                return Ok(Outcome::Wait);
            }
            frame.write_predicate(to, mask, over);
        }
        Kind::Invalidate => {
            for lane in lanes_of(mask) {
                shared.mbarriers.remove(&addresses[lane]);
            }
        }
    }
    Ok(Outcome::Done(memories.recorder.mbarriers(&uses)))
}

fn find(shared: &mut SharedMemory, address: u32) -> Result<&mut Mbarrier, Fault> {
    shared.mbarriers.get_mut(&address).ok_or_else(|| Box::new(Cause::NoMbarrier { address }))
}

/// Bytes of a bulk copy have come.
pub fn complete(shared: &mut SharedMemory, address: u32, bytes: u32) -> Result<(), Fault> {
    find(shared, address)?.update(0, -i64::from(bytes));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_phase_is_over_when_neither_arrivals_nor_bytes_are_missing() {
        let mut barrier = Mbarrier::new(2);
        barrier.update(1, 256);
        barrier.update(0, -128);
        barrier.update(1, 0);
        assert_eq!((barrier.phase, barrier.missing), (0, 0));
        barrier.update(0, -128);
        assert_eq!((barrier.phase, barrier.missing, barrier.bytes), (1, 2, 0));
        // Bytes may come before they are expected.
        barrier.update(0, -64);
        barrier.update(1, 64);
        barrier.update(1, 0);
        assert_eq!(barrier.phase, 2);
    }
}
