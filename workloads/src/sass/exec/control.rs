//! Control flow: branches, calls, regions, barriers, exits; and what has no effect on values.

use super::fault::{Cause, Fault};
use super::frame::{DISCARD_PREDICATE, FULL, Frame, PredicateSource, Slot, Source, lanes_of};
use super::lower::{Lowered, Lowering, Refusal};
use super::op::Op;
use crate::sass::Operand;

use super::divergence::{BarrierReduction, Divergence, Parked, Path};

#[derive(Clone, Copy, Debug)]
pub enum ControlOp {
    /// Jumps where the predicate holds as well.
    Branch {
        target: u32,
        also: PredicateSource,
        /// All active lanes jump if one does.
        together: bool,
    },
    /// Jumps if the active lanes are those of a mask that have not exited (BRA.CONV), or if they are not (BRA.DIV).
    BranchIfTogether {
        target: u32,
        mask: Slot,
        together: bool,
    },
    /// To the register plus a constant, lane by lane (BRX, RET, CALL through a pointer).
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
    /// Of the block. With a predicate: what is computed over all threads.
    Barrier {
        id: Slot,
        threads: Slot,
        waits: bool,
        reduction: Option<(BarrierReduction, PredicateSource)>,
    },
    /// What the last barrier computed (B2R.RESULT).
    BarrierResult {
        to: Slot,
        predicate: u8,
    },
    /// A convergence barrier register into a register (BMOV), which may free it for other regions.
    ReadConvergence {
        to: Slot,
        barrier: u8,
        clear: bool,
    },
    WriteConvergence {
        barrier: u8,
        from: Slot,
    },
    /// The predicate holds from now on.
    Grant {
        granted: u8,
    },
    Trap,
}

impl ControlOp {
    /// Its predicate beside the guard, and the register it reads.
    pub fn reads(&self) -> (PredicateSource, Option<Slot>) {
        match *self {
            Self::Branch { also, .. } => (also, None),
            Self::Indirect { base, .. } => (PredicateSource::TRUE, Some(base)),
            Self::Gather { lanes } => (PredicateSource::TRUE, Some(lanes)),
            Self::BranchIfTogether { mask, .. } => (PredicateSource::TRUE, Some(mask)),
            Self::WriteConvergence { from, .. } => (PredicateSource::TRUE, Some(from)),
            _ => (PredicateSource::TRUE, None),
        }
    }
}

pub fn lower(cx: &mut Lowering<'_>, mnemonic: &str) -> Lowered<Option<Op>> {
    let op = match mnemonic {
        "NOP" | "MEMBAR" | "ERRBAR" | "CGAERRBAR" | "DEPBAR" | "LDGDEPBAR" | "CCTL" | "ENDCOLLECTIVE" | "FENCE"
        | "WARPGROUP" | "UTMACMDFLUSH" | "UTMACCTL" | "UTMAPF" => {
            no_effect(cx, mnemonic)?;
            return Ok(Some(Op::Nothing));
        }
        "BRA" if cx.instruction.has_modifier("CONV") || cx.instruction.has_modifier("DIV") => {
            let together = cx.need_one_of("condition", &[("CONV", true), ("DIV", false)])?;
            let mask = cx.plain_source()?;
            ControlOp::BranchIfTogether { target: cx.branch_target()?, mask, together }
        }
        "BRA" => {
            // The condition is the same for all lanes.
            let _ = cx.take("U");
            let together = cx.take("ANY");
            let also = cx.optional_predicate()?.unwrap_or(PredicateSource::TRUE);
            ControlOp::Branch { target: cx.branch_target()?, also, together }
        }
        // Code begins at 0, so that absolute and relative addresses of a register are the same.
        "CALL" => {
            let relative = cx.need_one_of("addressing", &[("REL", true), ("ABS", false)])?;
            cx.need_one_of("form", &[("NOINC", ())])?;
            if matches!(cx.peek(), Some(Operand::Register(_))) {
                let base = cx.plain_source()?;
                let plus = if relative || cx.remaining() > 0 { cx.number()? } else { 0 };
                ControlOp::Indirect { base, plus }
            } else {
                ControlOp::Branch { target: cx.branch_target()?, also: PredicateSource::TRUE, together: false }
            }
        }
        "LEPC" => {
            let to = cx.target()?;
            let address = 16 * cx.branch_target()?;
            let (low, high) = (cx.immediate(address), cx.zero());
            return Ok(Some(Op::Integer(super::integer::IntegerOp::Pair { to, from: [low, high] })));
        }
        "RET" => {
            cx.need_one_of("addressing", &[("REL", ()), ("ABS", ())])?;
            cx.need_one_of("form", &[("NODEC", ())])?;
            let base = cx.plain_source()?;
            ControlOp::Indirect { base, plus: if cx.remaining() > 0 { cx.number()? } else { 0 } }
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
            let barrier = barrier(cx)?;
            ControlOp::Open { barrier, target: cx.branch_target()? }
        }
        "BSYNC" => {
            let _ = cx.take("RECONVERGENT");
            ControlOp::Arrive { barrier: barrier(cx)? }
        }
        "BREAK" => ControlOp::Leave { barrier: barrier(cx)? },
        "WARPSYNC" => {
            let (all, collective) = (cx.take("ALL"), cx.take("COLLECTIVE"));
            // Lanes with different masks never go on together, whether this says so or not.
            let _ = cx.take("EXCLUSIVE");
            let lanes = if all { cx.immediate(u32::MAX) } else { cx.plain_source()? };
            // What the lanes do together ends where they would go on apart.
            if collective {
                let end = cx.branch_target()? as usize;
                let before = end.checked_sub(1).and_then(|at| cx.kernel.instructions.get(at));
                if before.is_none_or(|instruction| instruction.mnemonic != "ENDCOLLECTIVE") {
                    return Err(Refusal::new("the instructions up to its target do not end with ENDCOLLECTIVE", ""));
                }
            }
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
        "BAR" => block_barrier(cx)?,
        "B2R" => {
            cx.need_one_of("kind", &[("RESULT", ())])?;
            let to = cx.target()?;
            ControlOp::BarrierResult { to, predicate: cx.optional_predicate_target()?.unwrap_or(DISCARD_PREDICATE) }
        }
        "BMOV" => {
            cx.need_one_of("width", &[("32", ())])?;
            let clear = cx.take("CLEAR");
            if let Some(Operand::ConvergenceBarrier(barrier)) = cx.peek() {
                cx.next()?;
                ControlOp::WriteConvergence { barrier: *barrier, from: cx.plain_source()? }
            } else {
                let (to, barrier) = (cx.target()?, barrier(cx)?);
                // Emptied for good: no region waits for these lanes any more.
                if clear && to == cx.discard() {
                    ControlOp::Leave { barrier }
                } else {
                    ControlOp::ReadConvergence { to, barrier, clear }
                }
            }
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

/// `BAR.SYNC id, threads`, `BAR.ARV id, threads`, `BAR.RED.POPC id, threads, predicate`; without a count, all threads.
fn block_barrier(cx: &mut Lowering<'_>) -> Lowered<ControlOp> {
    let kind = cx.need_one_of("kind", &[("SYNC", "SYNC"), ("ARV", "ARV"), ("RED", "RED")])?;
    let operations = [("POPC", BarrierReduction::Count), ("AND", BarrierReduction::All), ("OR", BarrierReduction::Any)];
    let operation = if kind == "RED" { Some(cx.need_one_of("reduction", &operations)?) } else { None };
    let _ = cx.take("DEFER_BLOCKING");
    let id = cx.source()?;
    if cx.immediate_value(id).is_some_and(|id| id >= 16) {
        return Err(Refusal::new("a block has barriers 0 to 15", ""));
    }
    let counted = matches!(cx.peek(), Some(Operand::Integer(_) | Operand::Register(_)));
    let threads = if counted { cx.plain_source()? } else { cx.zero() };
    let count = cx.immediate_value(Source::plain(threads));
    if count.is_some_and(|threads| threads % 32 != 0 || threads > 1024) {
        return Err(Refusal::new("a barrier's thread count is a multiple of 32", ""));
    }
    let reduction = match operation {
        Some(operation) => Some((operation, cx.predicate()?)),
        None => None,
    };
    Ok(ControlOp::Barrier { id: id.slot, threads, waits: kind != "ARV", reduction })
}

fn barrier(cx: &mut Lowering<'_>) -> Lowered<u8> {
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
        "CCTL" => &["IVALL", "E", "U", "C", "D", "LDC", "LDCU", "IV", "PF1", "PF2", "DML2", "RML2", "RS", "WB"],
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
    match *op {
        _ if lanes == 0 => Ok(Flow::Next),
        ControlOp::BarrierResult { to, predicate } => {
            let (number, holds) = divergence.barrier_result;
            frame.write(to, lanes, &[number; 32]);
            frame.write_predicate(predicate, lanes, if holds { FULL } else { 0 });
            Ok(Flow::Next)
        }
        ControlOp::ReadConvergence { to, barrier, clear } => {
            let values = divergence.read_barrier(barrier, lanes, clear);
            frame.write(to, lanes, &values);
            Ok(Flow::Next)
        }
        ControlOp::Grant { granted } => {
            frame.write_predicate(granted, FULL, FULL);
            Ok(Flow::Next)
        }
        _ => go_on(op, frame, divergence, at, active, lanes, code_len),
    }
}

/// Where one control op leads that writes no register.
#[inline(always)]
pub fn go_on(
    op: &ControlOp,
    frame: &Frame,
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
            Ok(branch(divergence, Path { at: target, lanes: jump }, at, active))
        }
        ControlOp::BranchIfTogether { target, mask, together } => {
            let wanted = frame.word(mask)[lanes.trailing_zeros() as usize] & divergence.live;
            let jump = if (lanes == wanted) == together { lanes } else { 0 };
            Ok(branch(divergence, Path { at: target, lanes: jump }, at, active))
        }
        ControlOp::Exit => {
            divergence.exit(lanes);
            let stay = active & !lanes;
            Ok(if stay == 0 { Flow::Stop } else { Flow::Go(Path { at: next, lanes: stay }) })
        }
        ControlOp::Open { barrier, target } => {
            divergence.open(barrier, lanes, target);
            if divergence.is_too_deep() { Err(Box::new(Cause::TooManyRegions)) } else { Ok(Flow::Next) }
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
            let masks = *frame.word(wanted);
            let (mut open, mut complete) = (lanes, None);
            while open != 0 {
                let mask = masks[open.trailing_zeros() as usize];
                let alike = lanes_of(open).filter(|&lane| masks[lane] == mask).fold(0, |alike, lane| alike | 1 << lane);
                open &= !alike;
                if let Some(path) = divergence.gather(Path { at, lanes: alike }, next, mask)
                    && let Some(other) = complete.replace(path)
                {
                    divergence.suspend(other);
                }
            }
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
        ControlOp::Barrier { id, threads, waits, reduction } => {
            let first = lanes.trailing_zeros() as usize;
            let (barrier, threads) = (frame.word(id)[first] as u8 & 0xf, frame.word(threads)[first]);
            let reduction = reduction.map(|(reduction, predicate)| (reduction, frame.predicate(predicate) & lanes));
            divergence.parked.push(Parked { barrier, threads, path: Path { at: next, lanes }, waits, reduction });
            if !waits {
                // The barrier may be complete by this.
                return Ok(Flow::Pause(Path { at: next, lanes: active }));
            }
            let stay = active & !lanes;
            Ok(if stay == 0 { Flow::Stop } else { Flow::Go(Path { at: next, lanes: stay }) })
        }
        ControlOp::BarrierResult { .. } | ControlOp::ReadConvergence { .. } | ControlOp::Grant { .. } => Ok(Flow::Next),
        ControlOp::WriteConvergence { barrier, from } => {
            divergence.write_barrier(barrier, lanes, frame.word(from));
            Ok(Flow::Next)
        }
        ControlOp::Indirect { base, plus } => indirect(frame, divergence, base, plus, active, lanes, next, code_len),
        ControlOp::Trap => Err(Box::new(Cause::Trap)),
    }
}

/// The lanes of `jump` go elsewhere, the others of `active` to the next instruction.
#[inline(always)]
fn branch(divergence: &mut Divergence, jump: Path, at: u32, active: u32) -> Flow {
    let stay = Path { at: at + 1, lanes: active & !jump.lanes };
    match (jump.lanes, stay.lanes) {
        (0, _) => Flow::Next,
        (_, 0) if jump.at <= at => Flow::Back(jump),
        (_, 0) => Flow::Go(jump),
        _ if jump.at <= at => {
            divergence.step_back(jump);
            Flow::Go(stay)
        }
        _ => {
            divergence.suspend(jump);
            Flow::Go(stay)
        }
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
