//! The named barriers of a block: BAR.SYNC, BAR.ARV, BAR.RED, and B2R, which reads what BAR.RED found.
//!
//! ```text
//!  BAR.SYNC  parks its lanes ─┐
//!  BAR.RED   parks, and votes ├─▶ complete? ─▶ parked lanes go on, votes are counted, arrivals are forgotten
//!  BAR.ARV   leaves a mark   ─┘
//! ```
//!
//! A barrier is complete when all threads of the block that have not exited have come, or as many as the instruction names.
//! Threads count by whole warps: a warp has come when all its live lanes have.

use super::divergence::{Arrival, Parked, Path};
use super::frame::PredicateSource;
use super::lower::{Lowered, Lowering, Refusal};
use super::warp::Warp;

/// What BAR does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Sync,
    Arrive,
    /// Waits; counts the lanes where the predicate holds.
    Reduce(Reduction, PredicateSource),
}

/// How BAR.RED combines the predicates of all threads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reduction {
    Count,
    And,
    Or,
}

/// BAR with number and threads (0 = all of the block).
#[derive(Clone, Copy, Debug)]
pub struct BarrierOp {
    pub id: u8,
    pub threads: u32,
    pub kind: Kind,
}

/// What the last BAR.RED found, for B2R.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reduced {
    pub value: u32,
    pub holds: bool,
}

pub fn lower(cx: &mut Lowering<'_>) -> Lowered<BarrierOp> {
    let kind = cx.need_one_of("kind", &[("SYNC", 0), ("ARV", 1), ("RED", 2)])?;
    let _ = cx.take("DEFER_BLOCKING");
    let reductions = [("POPC", Reduction::Count), ("AND", Reduction::And), ("OR", Reduction::Or)];
    let reduction = if kind == 2 { Some(cx.need_one_of("reduction", &reductions)?) } else { None };
    let id = u8::try_from(cx.number()?).ok().filter(|id| *id < 16);
    let id = id.ok_or_else(|| Refusal::new("a block has barriers 0 to 15", ""))?;
    let threads = match cx.peek() {
        None | Some(crate::sass::Operand::Predicate(_)) => 0,
        Some(_) => cx.number()?,
    };
    let threads = u32::try_from(threads).ok().filter(|threads| threads % 32 == 0 && *threads <= 1024);
    let threads = threads.ok_or_else(|| Refusal::new("a barrier's thread count is a multiple of 32", ""))?;
    let kind = match (kind, reduction) {
        (0, _) => Kind::Sync,
        (1, _) if threads == 0 => return Err(Refusal::new("an arrival without thread count is not supported", "")),
        (_, None) => Kind::Arrive,
        (_, Some(reduction)) => Kind::Reduce(reduction, cx.predicate()?),
    };
    Ok(BarrierOp { id, threads, kind })
}

/// Who has come to one barrier.
#[derive(Default)]
struct Came {
    lanes: u32,
    threads: u32,
}

fn came(warp: &Warp, barrier: u8) -> Came {
    let control = &warp.divergence;
    let mut came = Came::default();
    for parked in control.parked.iter().filter(|parked| parked.barrier == barrier) {
        came.lanes |= parked.path.lanes;
        came.threads = came.threads.max(parked.threads);
    }
    for arrival in control.arrivals.iter().filter(|arrival| arrival.barrier == barrier) {
        came.lanes |= arrival.lanes;
        came.threads = came.threads.max(arrival.threads);
    }
    came
}

/// Lets the warps of complete barriers go on; whether there was one.
pub fn release(warps: &mut [Warp], waiting: &mut [bool]) -> bool {
    let mut released = false;
    for barrier in 0..16 {
        let (mut arrived, mut wanted, mut whole, mut all) = (0, 0, true, true);
        for warp in warps.iter() {
            let Came { lanes, threads } = came(warp, barrier);
            let live = warp.divergence.live;
            arrived += u32::from(lanes != 0);
            wanted = threads.max(wanted);
            // Those that arrived without waiting may have exited since.
            whole &= lanes == 0 || lanes & live == live;
            all &= lanes & live == live;
        }
        let complete = if wanted == 0 { all } else { whole && 32 * arrived >= wanted };
        if arrived == 0 || !complete {
            continue;
        }
        released = true;
        let reduced = reduce(warps, barrier);
        for (warp, waiting) in warps.iter_mut().zip(waiting.iter_mut()) {
            let control = &mut warp.divergence;
            control.arrivals.retain(|arrival| arrival.barrier != barrier);
            if control.parked.iter().any(|parked| parked.barrier == barrier) {
                control.reduced = reduced.unwrap_or(control.reduced);
                control.unpark(barrier);
                *waiting = false;
            }
        }
    }
    released
}

/// Combines the predicates at a complete barrier; `None` if nobody votes.
fn reduce(warps: &[Warp], barrier: u8) -> Option<Reduced> {
    let (mut kind, mut holds, mut lanes) = (None, 0, 0);
    let parked = warps.iter().flat_map(|warp| &warp.divergence.parked);
    for Parked { path, vote, .. } in parked.filter(|parked| parked.barrier == barrier) {
        if let Some((reduction, votes)) = vote {
            kind = Some(*reduction);
            holds += (votes & path.lanes).count_ones();
            lanes += path.lanes.count_ones();
        }
    }
    Some(match kind? {
        Reduction::Count => Reduced { value: holds, holds: holds != 0 },
        Reduction::And => Reduced { value: u32::from(holds == lanes), holds: holds == lanes },
        Reduction::Or => Reduced { value: u32::from(holds != 0), holds: holds != 0 },
    })
}

impl BarrierOp {
    /// The lanes of `path` (whose `at` is behind the instruction) come to the barrier; whether they wait. `votes`: the
    /// lanes where the predicate of a reduction holds.
    pub fn arrive(&self, warp: &mut super::divergence::Divergence, path: Path, votes: u32) -> bool {
        let Self { id: barrier, threads, kind } = *self;
        match kind {
            Kind::Arrive => {
                warp.arrivals.push(Arrival { barrier, threads, lanes: path.lanes });
                return false;
            }
            Kind::Sync => warp.parked.push(Parked { barrier, threads, path, vote: None }),
            Kind::Reduce(reduction, _) => {
                warp.parked.push(Parked { barrier, threads, path, vote: Some((reduction, votes)) });
            }
        }
        true
    }
}

pub fn describe_deadlock(warps: &[Warp]) -> String {
    let mut text = "the block is deadlocked at its barriers:".to_owned();
    for (number, warp) in warps.iter().enumerate().filter(|(_, warp)| warp.divergence.live != 0) {
        let live = warp.divergence.live;
        for parked in &warp.divergence.parked {
            let (at, lanes) = (16 * (parked.path.at - 1), parked.path.lanes);
            text += &format!(
                " warp {number} waits at barrier {} ({at:#06x}) with lanes {lanes:#x} of {live:#x};",
                parked.barrier
            );
        }
    }
    for (number, warp) in warps.iter().enumerate() {
        for Path { at, lanes } in &warp.divergence.polling {
            text +=
                &format!(" warp {number} waits for the phase of an mbarrier ({:#06x}) with lanes {lanes:#x};", 16 * at);
        }
    }
    text.pop();
    text
}
