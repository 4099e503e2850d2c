//! Between the lanes of a warp: SHFL, VOTE, VOTEU, MATCH, REDUX, CREDUX, R2UR.

use super::frame::{DISCARD_PREDICATE, FULL, Frame, PredicateSource, Slot, lanes_of, lanes_where};
use super::lower::{Lowered, Lowering, Refusal};
use super::op::Op;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shuffle {
    Index,
    Up,
    Down,
    Butterfly,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Vote {
    Any,
    All,
    Equal,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reduction {
    Sum,
    Min,
    Max,
    And,
    Or,
    Xor,
}

#[derive(Clone, Copy, Debug)]
pub enum CrossLaneOp {
    /// From another lane; the predicate says whether that lane is within the segment.
    Shuffle { to: Slot, inside: u8, from: Slot, by: Slot, segment: Slot, kind: Shuffle },
    /// The active lanes where the predicate holds, and whether any, all, or all alike do.
    Vote { ballot: Slot, to: u8, from: PredicateSource, vote: Vote, uniform: bool },
    /// The lanes that hold the same value; with `all`, only if every active lane does.
    Match { to: Slot, same: u8, from: Slot, all: bool, wide: bool },
    /// Over the active lanes, into a uniform register.
    Reduce { to: Slot, from: Slot, reduction: Reduction, signed: bool },
    /// The lowest active lane: true there, its number in a uniform register.
    Elect { leads: u8, number: Slot },
    /// The lowest active lane's value into a uniform register; the predicate: the lanes hold different values (the compiler asks
    /// it before a reduction whose mask is in a register, and takes the way lane by lane where it holds).
    ToUniform { to: Slot, from: Slot, differ: u8 },
}

pub fn lower(cx: &mut Lowering<'_>, mnemonic: &str) -> Lowered<Option<Op>> {
    let op = match mnemonic {
        "SHFL" => {
            let kinds =
                [("IDX", Shuffle::Index), ("UP", Shuffle::Up), ("DOWN", Shuffle::Down), ("BFLY", Shuffle::Butterfly)];
            let kind = cx.need_one_of("direction", &kinds)?;
            let (inside, to) = (cx.predicate_target()?, cx.target()?);
            let (from, by, segment) = (cx.plain_source()?, cx.plain_source()?, cx.plain_source()?);
            CrossLaneOp::Shuffle { to, inside, from, by, segment, kind }
        }
        "VOTE" | "VOTEU" => {
            let vote = cx.need_one_of("question", &[("ANY", Vote::Any), ("ALL", Vote::All), ("EQ", Vote::Equal)])?;
            let (ballot, to) = match cx.optional_predicate_target()? {
                Some(to) => (cx.discard(), to),
                None => (cx.target()?, cx.predicate_target()?),
            };
            CrossLaneOp::Vote { ballot, to, from: cx.predicate()?, vote, uniform: mnemonic == "VOTEU" }
        }
        "MATCH" => {
            let all = cx.need_one_of("kind", &[("ANY", false), ("ALL", true)])?;
            let wide = cx.take("U64");
            let same = cx.optional_predicate_target()?.unwrap_or(DISCARD_PREDICATE);
            CrossLaneOp::Match { to: cx.target()?, same, from: cx.plain_source()?, all, wide }
        }
        "REDUX" | "CREDUX" => {
            let kinds = [
                ("SUM", Reduction::Sum),
                ("MIN", Reduction::Min),
                ("MAX", Reduction::Max),
                ("AND", Reduction::And),
                ("OR", Reduction::Or),
                ("XOR", Reduction::Xor),
            ];
            // Without a kind the listing means AND, which is the encoding's zero.
            let reduction = cx.take_one_of(&kinds).unwrap_or(Reduction::And);
            let signed = cx.take("S32");
            CrossLaneOp::Reduce { to: cx.target()?, from: cx.plain_source()?, reduction, signed }
        }
        "ELECT" => {
            let op = CrossLaneOp::Elect { leads: cx.predicate_target()?, number: cx.target()? };
            if cx.predicate()? != PredicateSource::TRUE {
                return Err(Refusal::new("an election among the lanes of a predicate is not supported", "PT"));
            }
            op
        }
        "R2UR" => {
            let differ = cx.optional_predicate_target()?.unwrap_or(DISCARD_PREDICATE);
            CrossLaneOp::ToUniform { to: cx.target()?, from: cx.plain_source()?, differ }
        }
        _ => return Ok(None),
    };
    Ok(Some(Op::CrossLane(op)))
}

/// `lanes`: those that execute. Lanes of a uniform result are all written.
pub fn execute(op: &CrossLaneOp, frame: &mut Frame, lanes: u32) {
    match *op {
        CrossLaneOp::Shuffle { to, inside, from, by, segment, kind } => {
            let source = *frame.word(from);
            let (by, segment) = (*frame.word(by), *frame.word(segment));
            let from_lane = |lane: usize| shuffle(kind, lane as u32, by[lane], segment[lane]);
            let out = std::array::from_fn(|lane| source[from_lane(lane).0 as usize]);
            let within = lanes_where(|lane| from_lane(lane).1);
            frame.write(to, lanes, &out);
            frame.write_predicate(inside, lanes, within);
        }
        CrossLaneOp::Vote { ballot, to, from, vote, uniform } => {
            let votes = frame.predicate(from) & lanes;
            let outcome = match vote {
                Vote::Any => votes != 0,
                Vote::All => votes == lanes,
                Vote::Equal => votes == 0 || votes == lanes,
            };
            let written = if uniform { FULL } else { lanes };
            frame.write(ballot, written, &[votes; 32]);
            frame.write_predicate(to, written, if outcome { FULL } else { 0 });
        }
        CrossLaneOp::Match { to, same, from, all, wide } => {
            let value = |lane: usize| if wide { frame.wide(from, lane) } else { frame.word(from)[lane].into() };
            let alike = |lane: usize| lanes_where(|other| value(other) == value(lane)) & lanes;
            let out: [u32; 32] = std::array::from_fn(|lane| match alike(lane) {
                found if all && found != lanes => 0,
                found => found,
            });
            let everywhere = if out[lanes.trailing_zeros() as usize % 32] == lanes { FULL } else { 0 };
            frame.write(to, lanes, &out);
            frame.write_predicate(same, lanes, everywhere);
        }
        CrossLaneOp::Reduce { to, from, reduction, signed } => {
            let words = frame.word(from);
            let values = lanes_of(lanes).map(|lane| words[lane]);
            // Signed order is unsigned order with the sign flipped.
            let flip = if signed { 1 << 31 } else { 0 };
            let result = values.reduce(|a, b| match reduction {
                Reduction::Sum => a.wrapping_add(b),
                Reduction::Min => (a ^ flip).min(b ^ flip) ^ flip,
                Reduction::Max => (a ^ flip).max(b ^ flip) ^ flip,
                Reduction::And => a & b,
                Reduction::Or => a | b,
                Reduction::Xor => a ^ b,
            });
            frame.write(to, FULL, &[result.unwrap_or(0); 32]);
        }
        CrossLaneOp::Elect { leads, number } => {
            let leader = lanes.trailing_zeros();
            frame.write_predicate(leads, lanes, 1 << (leader % 32));
            frame.write(number, FULL, &[leader; 32]);
        }
        CrossLaneOp::ToUniform { to, from, differ } => {
            let words = frame.word(from);
            let value = words[lanes.trailing_zeros() as usize % 32];
            let differs = lanes_of(lanes).any(|lane| words[lane] != value);
            frame.write(to, FULL, &[value; 32]);
            frame.write_predicate(differ, lanes, if differs { FULL } else { 0 });
        }
    }
}

/// The lane a value comes from, and whether it is within the segment (PTX ISA, `shfl.sync`): the operand's low five bits
/// are the bound, bits 8 to 12 the lanes of the index that stay fixed. Outside, a lane gets its own value.
fn shuffle(kind: Shuffle, lane: u32, by: u32, segment: u32) -> (u32, bool) {
    let (by, clamp, fixed) = (by & 31, segment & 31, segment >> 8 & 31);
    let highest = lane & fixed | clamp & !fixed;
    let lowest = lane & fixed;
    let (from, inside) = match kind {
        Shuffle::Up => (lane.wrapping_sub(by), lane as i32 - by as i32 >= highest as i32),
        Shuffle::Down => (lane + by, lane + by <= highest),
        Shuffle::Butterfly => (lane ^ by, lane ^ by <= highest),
        Shuffle::Index => (lowest | by & !fixed, lowest | by & !fixed <= highest),
    };
    if inside { (from & 31, true) } else { (lane, false) }
}
