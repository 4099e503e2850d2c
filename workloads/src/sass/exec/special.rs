//! Special registers: S2R, S2UR, CS2R.

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
    /// A clock. Its value comes from timing; lowering makes sure that nothing depends on it, so it reads as zero here.
    Clock,
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

/// Names of the clocks, see [`Register::Clock`].
pub const CLOCKS: [&str; 4] = ["SR_CLOCKLO", "SR_CLOCKHI", "SR_GLOBALTIMERLO", "SR_GLOBALTIMERHI"];

pub fn lower(cx: &mut Lowering<'_>, mnemonic: &str) -> Lowered<Option<Op>> {
    let (uniform, wide) = match mnemonic {
        "S2R" => (false, false),
        "S2UR" => (true, false),
        "CS2R" => (false, !cx.take("32")),
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
        clock if CLOCKS.contains(&clock) => Register::Clock,
        other => return Err(Refusal::new(format!("special register {other} is not supported"), "")),
    };
    Ok(Some(Op::Special(SpecialOp { to, register, wide, uniform })))
}

/// Where a warp is in its grid.
#[derive(Clone, Copy, Debug, Default)]
pub struct Place {
    /// Linear index in the block of the warp's first thread.
    pub first_thread: u32,
    pub block: [u32; 3],
    pub cta: [u32; 3],
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
        Register::Zero | Register::Clock => [0; 32],
        Register::SharedWindow => [(super::windows::SHARED >> 32) as u32; 32],
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
        frame.write(op.to + 1, lanes, &[0; 32]);
    }
}
