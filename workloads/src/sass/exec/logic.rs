//! Bits: MOV, SEL, LOP3, PLOP3, SHF, PRMT, POPC, FLO, BREV, and predicates moved to and from registers.

use super::frame::{FULL, Frame, PredicateSource, Slot, Source};
use super::lower::{Lowered, Lowering, Refusal};
use super::op::Op;
use crate::sass::Operand;

#[derive(Clone, Copy, Debug)]
pub enum LogicOp {
    Move {
        to: Slot,
        from: Slot,
    },
    /// Of two pairs.
    SelectWide {
        to: Slot,
        from: [Slot; 2],
        which: PredicateSource,
    },
    Select {
        to: Slot,
        from: [Source; 2],
        which: PredicateSource,
    },
    /// Any function of three bits; the table's index is abc. The predicate: result not zero, or `or`.
    Lop3 {
        to: Slot,
        from: [Slot; 3],
        table: u8,
        test: Option<(u8, PredicateSource)>,
    },
    /// Any two functions of three predicates, or signs of registers.
    PredicateLop3 {
        to: [u8; 2],
        from: [Condition; 3],
        tables: [u8; 2],
    },
    Funnel {
        to: Slot,
        from: [Slot; 3],
        shift: Funnel,
    },
    Permute {
        to: Slot,
        from: [Slot; 3],
        mode: PermuteMode,
    },
    PopulationCount {
        to: Slot,
        from: Source,
    },
    /// Position of the highest bit that differs from the sign; with `shift`, how far to shift it to the top.
    FindLeadingOne {
        to: Slot,
        from: Source,
        signed: bool,
        shift: bool,
    },
    Reverse {
        to: Slot,
        from: Source,
    },
    /// `count` ones from position `at`.
    BitMask {
        to: Slot,
        from: [Slot; 2],
        wrap: bool,
    },
    /// The low `count` bits, extended by zero or sign.
    SignExtend {
        to: Slot,
        from: [Slot; 2],
        signed: bool,
        wrap: bool,
    },
    PredicatesToRegister {
        to: Slot,
        from: Slot,
        bits: Slot,
        uniform: bool,
    },
    RegisterToPredicates {
        from: Slot,
        bits: Slot,
    },
}

/// An operand of PLOP3.
#[derive(Clone, Copy, Debug)]
pub enum Condition {
    Predicate(PredicateSource),
    /// The register's highest bit (`R5.SIGN`).
    Sign(Slot),
}

/// A shift of the 64-bit value {c, a} by b.
#[derive(Clone, Copy, Debug)]
pub struct Funnel {
    pub left: bool,
    pub arithmetic: bool,
    /// The upper word is the result.
    pub high: bool,
    /// The shift is taken modulo `limit` instead of being clamped to it.
    pub wrap: bool,
    /// 32, or 64 for the 64-bit types.
    pub limit: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PermuteMode {
    /// Each nibble of the selector picks one of eight bytes; its top bit asks for the byte's sign.
    Index,
    Forward4,
    Backward4,
    Replicate8,
    EdgeClampLeft,
    EdgeClampRight,
    Replicate16,
}

pub fn lower(cx: &mut Lowering<'_>, mnemonic: &str) -> Lowered<Option<Op>> {
    let op = match mnemonic {
        "MOV" if cx.take("64") => {
            let (to, from) = (cx.target()?, cx.wide_source()?);
            if !from.is_plain() {
                return Err(Refusal::new("a sign at the operand of MOV is not supported", ""));
            }
            return Ok(Some(Op::Integer(super::integer::IntegerOp::Pair { to, from: [from.slot, from.slot + 1] })));
        }
        "MOV" => {
            let (to, from) = (cx.target()?, cx.plain_source()?);
            // The fourth operand of some encodings is a byte mask; all ones is a plain move.
            if cx.remaining() > 0 && cx.number()? != 0xf {
                return Err(Refusal::new("a MOV with a byte mask is not supported", ""));
            }
            LogicOp::Move { to, from }
        }
        "SEL" if cx.take("64") => {
            let (to, from) = (cx.target()?, [cx.wide_source()?, cx.wide_source()?]);
            if !from.iter().all(|source| source.is_plain()) {
                return Err(Refusal::new("a sign at an operand of SEL is not supported", ""));
            }
            LogicOp::SelectWide { to, from: from.map(|source| source.slot), which: cx.predicate()? }
        }
        "SEL" => LogicOp::Select { to: cx.target()?, from: [cx.source()?, cx.source()?], which: cx.predicate()? },
        "FSEL" => {
            let to = cx.target()?;
            let from = [cx.float_source()?, cx.float_source()?];
            LogicOp::Select { to, from, which: cx.predicate()? }
        }
        "LOP3" => lop3(cx)?,
        "PLOP3" => {
            cx.need_one_of("operation", &[("LUT", ())])?;
            let to = [cx.predicate_target()?, cx.predicate_target()?];
            let from = [condition(cx)?, condition(cx)?, condition(cx)?];
            LogicOp::PredicateLop3 { to, from, tables: [table(cx)?, table(cx)?] }
        }
        "SHF" => funnel(cx)?,
        "PRMT" => {
            let modes = [
                ("F4E", PermuteMode::Forward4),
                ("B4E", PermuteMode::Backward4),
                ("RC8", PermuteMode::Replicate8),
                ("ECL", PermuteMode::EdgeClampLeft),
                ("ECR", PermuteMode::EdgeClampRight),
                ("RC16", PermuteMode::Replicate16),
            ];
            let mode = cx.take_one_of(&modes).unwrap_or(PermuteMode::Index);
            let to = cx.target()?;
            LogicOp::Permute { to, from: [cx.plain_source()?, cx.plain_source()?, cx.plain_source()?], mode }
        }
        "POPC" => LogicOp::PopulationCount { to: cx.target()?, from: cx.source()? },
        "FLO" => {
            let (signed, shift) = (!cx.take("U32"), cx.take("SH"));
            LogicOp::FindLeadingOne { to: cx.target()?, from: cx.source()?, signed, shift }
        }
        "BREV" => LogicOp::Reverse { to: cx.target()?, from: cx.source()? },
        "BMSK" => {
            let wrap = cx.take("W") || !cx.take("C");
            LogicOp::BitMask { to: cx.target()?, from: [cx.plain_source()?, cx.plain_source()?], wrap }
        }
        "SGXT" => {
            let (signed, wrap) = (!cx.take("U32"), cx.take("W"));
            LogicOp::SignExtend { to: cx.target()?, from: [cx.plain_source()?, cx.plain_source()?], signed, wrap }
        }
        "P2R" => {
            let to = cx.target()?;
            let uniform = whole_predicate_file(cx)?;
            LogicOp::PredicatesToRegister { to, from: cx.plain_source()?, bits: cx.plain_source()?, uniform }
        }
        "R2P" => {
            if whole_predicate_file(cx)? {
                return Err(Refusal::new("R2P into uniform predicates is not supported", ""));
            }
            LogicOp::RegisterToPredicates { from: cx.plain_source()?, bits: cx.plain_source()? }
        }
        _ => return Ok(None),
    };
    Ok(Some(Op::Logic(op)))
}

/// `PR` or `UPR`: all predicates as bits; whether it is the uniform file.
fn whole_predicate_file(cx: &mut Lowering<'_>) -> Lowered<bool> {
    match cx.next()? {
        Operand::Name(name) if name == "PR" => Ok(false),
        Operand::Name(name) if name == "UPR" => Ok(true),
        _ => Err(Refusal::new("PR is expected", "")),
    }
}

fn condition(cx: &mut Lowering<'_>) -> Lowered<Condition> {
    if let Some(Operand::Register(register)) = cx.peek()
        && register.suffixes.iter().eq(["SIGN"])
        && !(register.negate || register.absolute || register.invert)
    {
        cx.next()?;
        return Ok(Condition::Sign(cx.register_slot(register)));
    }
    cx.predicate().map(Condition::Predicate)
}

fn table(cx: &mut Lowering<'_>) -> Lowered<u8> {
    u8::try_from(cx.number()?).map_err(|_| Refusal::new("a truth table has eight bits", ""))
}

fn lop3(cx: &mut Lowering<'_>) -> Lowered<LogicOp> {
    cx.need_one_of("operation", &[("LUT", ())])?;
    let test = cx.optional_predicate_target()?;
    let to = cx.target()?;
    let from = [cx.source()?, cx.source()?, cx.source()?];
    if from.iter().any(|source| source.negate || source.absolute || source.invert) {
        return Err(Refusal::new("a sign or complement is not supported in LOP3", ""));
    }
    let table = table(cx)?;
    let or = cx.optional_predicate()?;
    let never = PredicateSource { negate: true, ..PredicateSource::TRUE };
    let test = test.map(|to| (to, or.unwrap_or(never)));
    Ok(LogicOp::Lop3 { to, from: from.map(|source| source.slot), table, test })
}

fn funnel(cx: &mut Lowering<'_>) -> Lowered<LogicOp> {
    let left = cx.need_one_of("direction", &[("L", true), ("R", false)])?;
    let wrap = cx.take("W");
    let types = [("U32", (false, 32)), ("S32", (true, 32)), ("U64", (false, 64)), ("S64", (true, 64))];
    let (arithmetic, limit) = cx.need_one_of("type", &types)?;
    let high = cx.take("HI");
    let to = cx.target()?;
    let from = [cx.plain_source()?, cx.plain_source()?, cx.plain_source()?];
    Ok(LogicOp::Funnel { to, from, shift: Funnel { left, arithmetic, high, wrap, limit } })
}

#[inline(always)]
pub fn execute(op: &LogicOp, frame: &mut Frame, mask: u32) {
    match *op {
        LogicOp::Move { to, from } => {
            let value = *frame.word(from);
            frame.write(to, mask, &value);
        }
        LogicOp::Lop3 { to, from, table, test } => {
            match table {
                0xc0 => frame.map3(mask, to, from, |a, b, _| a & b),
                0xfc => frame.map3(mask, to, from, |a, b, _| a | b),
                0x3c => frame.map3(mask, to, from, |a, b, _| a ^ b),
                _ => frame.map3(mask, to, from, |a, b, c| lookup(table, a, b, c)),
            }
            if let Some((predicate, or)) = test {
                // The result may have gone to `discard`, which keeps it: read it back.
                let result = frame.word(to);
                let found = super::frame::lanes_where(|lane| result[lane] != 0) | frame.predicate(or);
                frame.write_predicate(predicate, mask, found);
            }
        }
        LogicOp::PredicateLop3 { to, from, tables } => {
            let [a, b, c] = from.map(|source| match source {
                Condition::Predicate(predicate) => frame.predicate(predicate),
                Condition::Sign(slot) => frame.test2([slot, slot], |word, _| word >> 31 == 1),
            });
            for (to, table) in to.into_iter().zip(tables) {
                frame.write_predicate(to, mask, lookup(table, a, b, c));
            }
        }
        LogicOp::SelectWide { to, from: [a, b], which } => {
            let which = frame.predicate(which);
            let value = |lane: usize| frame.wide(if which >> lane & 1 == 1 { a } else { b }, lane);
            let out: [u64; 32] = std::array::from_fn(value);
            frame.write_wide(to, mask, &out);
        }
        LogicOp::Select { to, from: [a, b], which } => {
            let which = frame.predicate(which);
            let (words_a, words_b) = (frame.word(a.slot), frame.word(b.slot));
            let mut out = [0; 32];
            if a.is_plain() && b.is_plain() {
                for lane in 0..32 {
                    out[lane] = if which >> lane & 1 == 1 { words_a[lane] } else { words_b[lane] };
                }
            } else {
                let (masks_a, masks_b) = (a.float_masks(), b.float_masks());
                for lane in 0..32 {
                    out[lane] = if which >> lane & 1 == 1 {
                        words_a[lane] & masks_a.0 ^ masks_a.1
                    } else {
                        words_b[lane] & masks_b.0 ^ masks_b.1
                    };
                }
            }
            frame.write(to, mask, &out);
        }
        LogicOp::Funnel { to, from, shift } => frame.map3(mask, to, from, |a, b, c| shift.apply(a, b, c)),
        LogicOp::Permute { to, from, mode } => frame.map3(mask, to, from, |a, b, c| permute(mode, a, b, c)),
        LogicOp::PopulationCount { to, from } => {
            let flip = if from.invert { FULL } else { 0 };
            frame.map1(mask, to, from.slot, |a| (a ^ flip).count_ones());
        }
        LogicOp::FindLeadingOne { to, from, signed, shift } => {
            let flip = if from.invert { FULL } else { 0 };
            frame.map1(mask, to, from.slot, |a| find_leading_one(a ^ flip, signed, shift));
        }
        LogicOp::Reverse { to, from } => {
            let flip = if from.invert { FULL } else { 0 };
            frame.map1(mask, to, from.slot, |a| (a ^ flip).reverse_bits());
        }
        LogicOp::BitMask { to, from, wrap } => frame.map2(mask, to, from, |at, count| bit_mask(at, count, wrap)),
        LogicOp::SignExtend { to, from, signed, wrap } => {
            frame.map2(mask, to, from, |value, count| sign_extend(value, count, signed, wrap));
        }
        LogicOp::PredicatesToRegister { to, from, bits, uniform } => {
            let first = if uniform { super::frame::UNIFORM_PREDICATES } else { 0 };
            let predicates: [u32; 7] = std::array::from_fn(|index| frame.predicates[usize::from(first) + index]);
            let (words, bits) = (frame.word(from), frame.word(bits));
            let mut out = [0; 32];
            for lane in 0..32 {
                let gathered = (0..7).fold(0, |bits, index| bits | (predicates[index] >> lane & 1) << index);
                out[lane] = words[lane] & !bits[lane] | gathered & bits[lane];
            }
            frame.write(to, mask, &out);
        }
        LogicOp::RegisterToPredicates { from, bits } => {
            for index in 0..7u8 {
                let chosen = frame.test2([bits, bits], |bits, _| bits >> index & 1 == 1);
                let value = frame.test2([from, from], |value, _| value >> index & 1 == 1);
                frame.write_predicate(index, mask & chosen, value);
            }
        }
    }
}

/// The function of three bits that the table gives, on all bits at once.
#[inline(always)]
pub fn lookup(table: u8, a: u32, b: u32, c: u32) -> u32 {
    let entry = |index: u32| if table >> index & 1 == 1 { FULL } else { 0 };
    let by_c = |low: u32, high: u32| low ^ c & (low ^ high);
    let pairs =
        [by_c(entry(0), entry(1)), by_c(entry(2), entry(3)), by_c(entry(4), entry(5)), by_c(entry(6), entry(7))];
    let by_b = |low: u32, high: u32| low ^ b & (low ^ high);
    let (low, high) = (by_b(pairs[0], pairs[1]), by_b(pairs[2], pairs[3]));
    low ^ a & (low ^ high)
}

impl Funnel {
    #[inline(always)]
    pub fn apply(self, low: u32, by: u32, high: u32) -> u32 {
        let by = if self.wrap { by % self.limit } else { by.min(self.limit) };
        let value = u64::from(high) << 32 | u64::from(low);
        let shifted = match (self.left, self.arithmetic) {
            (true, _) => value.checked_shl(by).unwrap_or(0),
            (false, false) => value.checked_shr(by).unwrap_or(0),
            (false, true) => (value as i64 >> by.min(63)) as u64,
        };
        if self.high { (shifted >> 32) as u32 } else { shifted as u32 }
    }
}

/// PRMT: operand order as printed, `PRMT d, a, selector, b`.
fn permute(mode: PermuteMode, a: u32, selector: u32, b: u32) -> u32 {
    let bytes = u64::from(b) << 32 | u64::from(a);
    let byte = |index: u32| (bytes >> (8 * (index & 7)) & 0xff) as u32;
    let at = selector & 3;
    (0..4).fold(0, |word, position| {
        let picked = match mode {
            PermuteMode::Index => {
                let nibble = selector >> (4 * position) & 0xf;
                let value = byte(nibble);
                if nibble & 8 == 0 { value } else { 0xff * (value >> 7) }
            }
            PermuteMode::Forward4 => byte(at + position),
            PermuteMode::Backward4 => byte(at.wrapping_sub(position)),
            PermuteMode::Replicate8 => byte(at),
            PermuteMode::EdgeClampLeft => byte(position.max(at)),
            PermuteMode::EdgeClampRight => byte(position.min(at)),
            PermuteMode::Replicate16 => byte(2 * (at & 1) + position % 2),
        };
        word | picked << (8 * position)
    })
}

fn find_leading_one(value: u32, signed: bool, shift: bool) -> u32 {
    let value = if signed && value >> 31 == 1 { !value } else { value };
    match (value, shift) {
        (0, _) => FULL,
        (value, true) => value.leading_zeros(),
        (value, false) => 31 - value.leading_zeros(),
    }
}

fn bit_mask(at: u32, count: u32, wrap: bool) -> u32 {
    let (at, count) = if wrap { (at & 31, count & 31) } else { (at.min(32), count.min(32)) };
    let ones = (1u64 << count) - 1;
    (ones << at) as u32
}

fn sign_extend(value: u32, count: u32, signed: bool, wrap: bool) -> u32 {
    let count = if wrap { count & 31 } else { count.min(32) };
    match (count, signed) {
        (0, _) => 0,
        (count, true) => ((value << (32 - count)) as i32 >> (32 - count)) as u32,
        (count, false) => value << (32 - count) >> (32 - count),
    }
}
