//! Control flow: branches, calls, regions, barriers, exits; and what has no effect on values.

use super::barrier::{self, BarrierOp, Reduced};
use super::fault::{Cause, Fault};
use super::frame::{DISCARD_PREDICATE, FULL, Frame, PredicateSource, Slot, lanes_of};
use super::lower::{Lowered, Lowering, Refusal};
use super::op::Op;
use crate::sass::Operand;

use super::divergence::{Divergence, Path};

#[derive(Clone, Copy, Debug)]
pub enum ControlOp {
    /// Jumps where the predicate holds as well.
    Branch {
        target: u32,
        also: PredicateSource,
        /// All active lanes jump if one does.
        together: bool,
    },
    /// To the register plus a constant, lane by lane (BRX, RET).
    Indirect {
        base: Slot,
        plus: i64,
    },
    Exit,
    Open {
        barrier: u8,
        target: u32,
    },
    Arrive {
        barrier: u8,
    },
    Leave {
        barrier: u8,
    },
    Gather {
        lanes: Slot,
    },
    Yield,
    Barrier(BarrierOp),
    /// What the last BAR.RED found.
    BarrierResult {
        to: Slot,
        predicate: u8,
    },
    /// The predicate holds from now on.
    Grant {
        granted: u8,
    },
    Trap,
}

pub fn lower(cx: &mut Lowering<'_>, mnemonic: &str) -> Lowered<Option<Op>> {
    let op = match mnemonic {
        "NOP" | "MEMBAR" | "ERRBAR" | "DEPBAR" | "LDGDEPBAR" | "CCTL" | "FENCE" | "WARPGROUP" | "UTMACMDFLUSH"
        | "UTMACCTL" | "UTMAPF" => {
            no_effect(cx, mnemonic)?;
            return Ok(Some(Op::Nothing));
        }
        // The compiler empties a convergence barrier before it opens a region with it, which sets all of it anyway.
        "BMOV" => {
            cx.need_one_of("form", &[("32", ())])?;
            cx.need_one_of("form", &[("CLEAR", ())])?;
            let to = cx.target()?;
            convergence_barrier(cx)?;
            if to != cx.discard() {
                return Err(Refusal::new("the contents of a convergence barrier are not supported as a value", ""));
            }
            return Ok(Some(Op::Nothing));
        }
        "BRA" => {
            // The condition is the same for all lanes.
            let _ = cx.take("U");
            let together = cx.take("ANY");
            let also = cx.optional_predicate()?.unwrap_or(PredicateSource::TRUE);
            ControlOp::Branch { target: cx.branch_target()?, also, together }
        }
        "CALL" => {
            cx.need_one_of("addressing", &[("REL", ())])?;
            cx.need_one_of("form", &[("NOINC", ())])?;
            ControlOp::Branch { target: cx.branch_target()?, also: PredicateSource::TRUE, together: false }
        }
        "RET" => {
            cx.need_one_of("addressing", &[("REL", ())])?;
            cx.need_one_of("form", &[("NODEC", ())])?;
            ControlOp::Indirect { base: cx.plain_source()?, plus: cx.number()? }
        }
        "BRX" => {
            let base = cx.plain_source()?;
            // The printed offset counts from the next instruction.
            let plus = cx.number()?.wrapping_add(i64::from(cx.instruction.pc) + 16);
            ControlOp::Indirect { base, plus }
        }
        "EXIT" => ControlOp::Exit,
        "BSSY" => {
            let _ = cx.take("RECONVERGENT");
            let barrier = convergence_barrier(cx)?;
            ControlOp::Open { barrier, target: cx.branch_target()? }
        }
        "BSYNC" => {
            let _ = cx.take("RECONVERGENT");
            ControlOp::Arrive { barrier: convergence_barrier(cx)? }
        }
        "BREAK" => ControlOp::Leave { barrier: convergence_barrier(cx)? },
        "WARPSYNC" => {
            let all = cx.take("ALL");
            let lanes = if all { cx.immediate(u32::MAX) } else { cx.plain_source()? };
            ControlOp::Gather { lanes }
        }
        "YIELD" => ControlOp::Yield,
        // Registers are handed out at launch for the whole life of a warp, so there are always enough.
        "USETMAXREG" => {
            let allocates = cx.need_one_of("direction", &[("TRY_ALLOC", true), ("DEALLOC", false)])?;
            cx.take("CTAPOOL");
            let granted = if allocates { cx.predicate_target()? } else { DISCARD_PREDICATE };
            let _ = cx.number()?;
            ControlOp::Grant { granted }
        }
        "NANOSLEEP" => {
            let _ = cx.take("SYNCS");
            let _ = cx.plain_source()?;
            ControlOp::Yield
        }
        "BAR" => ControlOp::Barrier(barrier::lower(cx)?),
        "B2R" => {
            cx.need_one_of("source", &[("RESULT", ())])?;
            let to = cx.target()?;
            ControlOp::BarrierResult { to, predicate: cx.optional_predicate_target()?.unwrap_or(DISCARD_PREDICATE) }
        }
        "BPT" => {
            cx.need_one_of("kind", &[("TRAP", ())])?;
            let _ = cx.number()?;
            ControlOp::Trap
        }
        _ => return Ok(None),
    };
    Ok(Some(Op::Control(op)))
}

fn convergence_barrier(cx: &mut Lowering<'_>) -> Lowered<u8> {
    match cx.next()? {
        Operand::ConvergenceBarrier(barrier) => Ok(*barrier),
        _ => Err(Refusal::new("a convergence barrier is expected", "B0 to B15")),
    }
}

/// Instructions that concern ordering and caches only: all that a CTA stored is visible to it at once here.
fn no_effect(cx: &mut Lowering<'_>, mnemonic: &str) -> Lowered<()> {
    let known: &[&str] = match mnemonic {
        "MEMBAR" => &["SC", "ALL", "CTA", "GPU", "SYS", "VC"],
        "DEPBAR" => &["LE"],
        "FENCE" => &["VIEW", "ASYNC", "S", "G"],
        "WARPGROUP" => &["ARRIVE", "DEPBAR", "LE"],
        // A prefetch of a tensor map or a box of it.
        "UTMACCTL" => &["PF"],
        "UTMAPF" => &["L2", "1D", "2D", "3D", "4D", "5D"],
        "CCTL" => &["IVALL", "E", "C", "LDC", "IV", "PF1", "PF2"],
        _ => &[],
    };
    for modifier in known {
        cx.take(modifier);
    }
    while cx.remaining() > 0 {
        match cx.next()? {
            Operand::Counter(_) | Operand::CounterSet(_) | Operand::Integer(_) if mnemonic == "DEPBAR" => {}
            Operand::Memory(_) if matches!(mnemonic, "CCTL" | "UTMACCTL" | "UTMAPF") => {}
            Operand::Name(_) | Operand::Integer(_) if mnemonic == "WARPGROUP" => {}
            _ => return Err(Refusal::new(format!("an operand of {mnemonic} is not understood"), "")),
        }
    }
    Ok(())
}

/// What the warp does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// The next instruction.
    Next,
    /// Another place, the same or other lanes.
    Go(Path),
    /// A jump backwards by all of them: like `Go`, and a chance to look at the clock.
    Back(Path),
    /// As `Go`, when the other warps of the block have had their turn.
    Pause(Path),
    /// This path stops; another one, if any.
    Stop,
}

/// Executes one control op of the path at `at`; `lanes`: those that execute it, of `active`.
#[inline(always)]
pub fn execute(
    op: &ControlOp,
    frame: &mut Frame,
    divergence: &mut Divergence,
    at: u32,
    active: u32,
    lanes: u32,
    code_len: u32,
) -> Result<Flow, Fault> {
    if lanes == 0 {
        return Ok(Flow::Next);
    }
    let next = at + 1;
    match *op {
        ControlOp::Branch { target, also, together } => {
            let holds = lanes & frame.predicate(also);
            let jump = if together && holds != 0 { active } else { holds };
            let stay = active & !jump;
            let path = Path { at: target, lanes: jump };
            match (jump, stay) {
                (0, _) => Ok(Flow::Next),
                (_, 0) if target <= at => Ok(Flow::Back(path)),
                (_, 0) => Ok(Flow::Go(path)),
                _ if target <= at => {
                    divergence.step_back(path);
                    Ok(Flow::Go(Path { at: next, lanes: stay }))
                }
                _ => {
                    divergence.suspend(path);
                    Ok(Flow::Go(Path { at: next, lanes: stay }))
                }
            }
        }
        ControlOp::Exit => {
            divergence.exit(lanes);
            let stay = active & !lanes;
            Ok(if stay == 0 { Flow::Stop } else { Flow::Go(Path { at: next, lanes: stay }) })
        }
        ControlOp::Open { barrier, target } => {
            divergence.open(barrier, lanes, target);
            Ok(Flow::Next)
        }
        ControlOp::Arrive { barrier } => {
            let stay = active & !lanes;
            let complete = divergence.arrive(barrier, Path { at, lanes }, next);
            Ok(together(divergence, complete, stay, next))
        }
        ControlOp::Leave { barrier } => {
            divergence.leave(barrier, lanes);
            Ok(Flow::Next)
        }
        ControlOp::Gather { lanes: wanted } => {
            let stay = active & !lanes;
            let wanted = frame.word(wanted)[lanes.trailing_zeros() as usize];
            let complete = divergence.gather(Path { at, lanes }, next, wanted);
            Ok(together(divergence, complete, stay, next))
        }
        ControlOp::Yield => {
            let path = Path { at: next, lanes: active };
            if divergence.is_alone() {
                return Ok(Flow::Next);
            }
            divergence.step_back(path);
            Ok(Flow::Stop)
        }
        ControlOp::Barrier(ref barrier) => {
            let votes = match barrier.kind {
                barrier::Kind::Reduce(_, predicate) => frame.predicate(predicate),
                _ => 0,
            };
            if !barrier.arrive(divergence, Path { at: next, lanes }, votes) {
                // The barrier may be complete by this.
                return Ok(Flow::Pause(Path { at: next, lanes: active }));
            }
            let stay = active & !lanes;
            Ok(if stay == 0 { Flow::Stop } else { Flow::Go(Path { at: next, lanes: stay }) })
        }
        ControlOp::BarrierResult { to, predicate } => {
            let Reduced { value, holds } = divergence.reduced;
            frame.write(to, lanes, &[value; 32]);
            frame.write_predicate(predicate, lanes, if holds { FULL } else { 0 });
            Ok(Flow::Next)
        }
        ControlOp::Indirect { base, plus } => indirect(frame, divergence, base, plus, active, lanes, next, code_len),
        ControlOp::Grant { granted } => {
            frame.write_predicate(granted, FULL, FULL);
            Ok(Flow::Next)
        }
        ControlOp::Trap => Err(Box::new(Cause::Trap)),
    }
}

/// The path that is complete goes on; lanes that did not take part follow.
fn together(divergence: &mut Divergence, complete: Option<Path>, stay: u32, next: u32) -> Flow {
    let rest = Path { at: next, lanes: stay };
    match (complete, stay) {
        (Some(path), 0) => Flow::Go(path),
        (Some(path), _) => {
            divergence.suspend(rest);
            Flow::Go(path)
        }
        (None, 0) => Flow::Stop,
        (None, _) => Flow::Go(rest),
    }
}

#[allow(clippy::too_many_arguments)]
fn indirect(
    frame: &Frame,
    divergence: &mut Divergence,
    base: Slot,
    plus: i64,
    active: u32,
    lanes: u32,
    next: u32,
    code_len: u32,
) -> Result<Flow, Fault> {
    let mut paths: Vec<Path> = Vec::new();
    for lane in lanes_of(lanes) {
        let target = i64::from(frame.word(base)[lane] as i32).wrapping_add(plus);
        let at = u32::try_from(target / 16).ok().filter(|&at| target % 16 == 0 && at < code_len);
        let at = at.ok_or_else(|| Box::new(Cause::BadTarget { lane: lane as u32, target: target as u64 }))?;
        match paths.iter_mut().find(|path| path.at == at) {
            Some(path) => path.lanes |= 1 << lane,
            None => paths.push(Path { at, lanes: 1 << lane }),
        }
    }
    let stay = active & !lanes;
    if stay != 0 {
        paths.insert(0, Path { at: next, lanes: stay });
    }
    // The path of the lowest lane goes on, the others wait in order.
    let first = paths.remove(0);
    paths.into_iter().rev().for_each(|path| divergence.suspend(path));
    Ok(Flow::Go(first))
}
