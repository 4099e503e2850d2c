//! Special registers: S2R, S2UR, CS2R, CS2UR.

use super::frame::{FULL, Frame, Lanes, Slot};
use super::lower::{Lowered, Lowering, Refusal};
use super::op::Op;
use crate::sass::Operand;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Register {
    Thread(u8),
    Block(u8),
    Lane,
    /// Zero: SRZ, and the rank of a block in a cluster of one.
    Zero,
    /// Upper word of the window of shared memory in generic addresses.
    SharedWindow,
    /// A clock; `high`: its upper half. Its value comes from timing: zero where a CTA executes ahead of time, which is
    /// done only with kernels that do not use it.
    Clock {
        nanoseconds: bool,
        high: bool,
    },
    LanesBelow,
    LanesUpTo,
    LanesAbove,
    LanesFrom,
    OwnLane,
}

#[derive(Clone, Copy, Debug)]
pub struct SpecialOp {
    to: Slot,
    register: Register,
    /// Two words are written.
    wide: bool,
    uniform: bool,
}

impl SpecialOp {
    /// Whether its value depends on when it executes.
    pub fn reads_clock(&self) -> bool {
        matches!(self.register, Register::Clock { .. })
    }
}

/// What clocks show.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct Clocks {
    /// Of the SM.
    pub cycle: u64,
    /// Of the whole machine.
    pub time_ns: u64,
}

/// Names of the clocks, see [`Register::Clock`].
pub const CLOCKS: [&str; 4] = ["SR_CLOCKLO", "SR_CLOCKHI", "SR_GLOBALTIMERLO", "SR_GLOBALTIMERHI"];

pub fn lower(cx: &mut Lowering<'_>, mnemonic: &str) -> Lowered<Option<Op>> {
    let (uniform, wide) = match mnemonic {
        "S2R" => (false, false),
        "S2UR" => (true, false),
        "CS2R" => (false, !cx.take("32")),
        "CS2UR" => (true, !cx.take("32")),
        _ => return Ok(None),
    };
    let to = cx.target()?;
    let Operand::Name(name) = cx.next()? else {
        return Err(Refusal::new("a special register is expected", "as in SR_TID.X"));
    };
    let register = match name.as_str() {
        "SR_TID.X" => Register::Thread(0),
        "SR_TID.Y" => Register::Thread(1),
        "SR_TID.Z" => Register::Thread(2),
        "SR_CTAID.X" => Register::Block(0),
        "SR_CTAID.Y" => Register::Block(1),
        "SR_CTAID.Z" => Register::Block(2),
        "SR_LANEID" => Register::Lane,
        "SRZ" | "SR_CgaCtaId" => Register::Zero,
        "SR_SWINHI" => Register::SharedWindow,
        "SR_LTMASK" => Register::LanesBelow,
        "SR_LEMASK" => Register::LanesUpTo,
        "SR_GTMASK" => Register::LanesAbove,
        "SR_GEMASK" => Register::LanesFrom,
        "SR_EQMASK" => Register::OwnLane,
        clock if CLOCKS.contains(&clock) => {
            Register::Clock { nanoseconds: clock.contains("TIMER"), high: clock.ends_with("HI") }
        }
        other => return Err(Refusal::new(format!("special register {other} is not supported"), "")),
    };
    Ok(Some(Op::Special(SpecialOp { to, register, wide, uniform })))
}

/// Where a warp is in its grid.
#[derive(Clone, Copy, Debug, Default, serde::Serialize, serde::Deserialize)]
pub struct Place {
    /// Linear index in the block of the warp's first thread.
    pub first_thread: u32,
    pub block: [u32; 3],
    pub cta: [u32; 3],
    /// At the last instruction that read one.
    pub clock: Clocks,
}

impl Place {
    fn clock_word(&self, nanoseconds: bool, high: bool) -> u32 {
        let clock = if nanoseconds { self.clock.time_ns } else { self.clock.cycle };
        if high { (clock >> 32) as u32 } else { clock as u32 }
    }
}

pub fn execute(op: &SpecialOp, frame: &mut Frame, lanes: u32, place: &Place) {
    let [x, y, _] = place.block;
    let each = |f: &dyn Fn(u32) -> u32| std::array::from_fn(|lane| f(lane as u32));
    let mut out: Lanes = match op.register {
        Register::Thread(0) => each(&|lane| (place.first_thread + lane) % x),
        Register::Thread(1) => each(&|lane| (place.first_thread + lane) / x % y),
        Register::Thread(_) => each(&|lane| (place.first_thread + lane) / x / y),
        Register::Block(axis) => [place.cta[usize::from(axis)]; 32],
        Register::Lane => each(&|lane| lane),
        Register::Zero => [0; 32],
        Register::SharedWindow => [(super::windows::SHARED >> 32) as u32; 32],
        Register::Clock { nanoseconds, high } => [place.clock_word(nanoseconds, high); 32],
        Register::LanesBelow => each(&|lane| (1 << lane) - 1),
        Register::LanesUpTo => each(&|lane| FULL >> (31 - lane)),
        Register::LanesAbove => each(&|lane| !(FULL >> (31 - lane))),
        Register::LanesFrom => each(&|lane| FULL << lane),
        Register::OwnLane => each(&|lane| 1 << lane),
    };
    if op.uniform {
        out = [out[lanes.trailing_zeros() as usize % 32]; 32];
    }
    let lanes = if op.uniform { FULL } else { lanes };
    frame.write(op.to, lanes, &out);
    if op.wide {
        let upper = match op.register {
            Register::Clock { nanoseconds, .. } => place.clock_word(nanoseconds, true),
            _ => 0,
        };
        frame.write(op.to + 1, lanes, &[upper; 32]);
    }
}
