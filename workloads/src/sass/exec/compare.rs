//! What ISETP, FSETP and DSETP share: the relation, and how its result is combined with another predicate.

use super::frame::{Frame, PredicateSource};
use super::lower::{Lowered, Lowering};

/// Relation of two integers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relation {
    Never,
    Less,
    Equal,
    LessOrEqual,
    Greater,
    NotEqual,
    GreaterOrEqual,
    Always,
}

impl Relation {
    pub fn integer(cx: &mut Lowering<'_>) -> Lowered<Self> {
        cx.need_one_of(
            "relation",
            &[
                ("F", Self::Never),
                ("LT", Self::Less),
                ("EQ", Self::Equal),
                ("LE", Self::LessOrEqual),
                ("GT", Self::Greater),
                ("NE", Self::NotEqual),
                ("GE", Self::GreaterOrEqual),
                ("T", Self::Always),
            ],
        )
    }
}

/// Relation of two floating-point numbers: which of the four outcomes count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FloatRelation {
    pub less: bool,
    pub equal: bool,
    pub greater: bool,
    pub unordered: bool,
}

impl FloatRelation {
    pub fn of(cx: &mut Lowering<'_>) -> Lowered<Self> {
        const NAMES: [&str; 16] =
            ["F", "LT", "EQ", "LE", "GT", "NE", "GE", "NUM", "NAN", "LTU", "EQU", "LEU", "GTU", "NEU", "GEU", "T"];
        let choices: Vec<(&str, usize)> = NAMES.iter().enumerate().map(|(code, name)| (*name, code)).collect();
        let code = cx.need_one_of("relation", &choices)?;
        let bit = |at: usize| code >> at & 1 == 1;
        Ok(Self { less: bit(0), equal: bit(1), greater: bit(2), unordered: bit(3) })
    }

    /// Whether it holds, given the comparisons (unordered: neither of them).
    #[inline(always)]
    pub fn holds(self, less: bool, equal: bool, greater: bool) -> bool {
        less & self.less | equal & self.equal | greater & self.greater | !(less | equal | greater) & self.unordered
    }
}

/// How the result of a comparison is combined with a predicate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Boolean {
    And,
    Or,
    Xor,
}

impl Boolean {
    pub fn of(cx: &mut Lowering<'_>) -> Lowered<Self> {
        cx.need_one_of("combination", &[("AND", Self::And), ("OR", Self::Or), ("XOR", Self::Xor)])
    }

    #[inline(always)]
    pub fn apply(self, a: u32, b: u32) -> u32 {
        match self {
            Self::And => a & b,
            Self::Or => a | b,
            Self::Xor => a ^ b,
        }
    }
}

/// Writes `found` and its complement, each combined with the predicate `with`.
#[inline(always)]
pub fn combine(frame: &mut Frame, mask: u32, to: [u8; 2], found: u32, boolean: Boolean, with: PredicateSource) {
    let with = frame.predicate(with);
    frame.write_predicate(to[0], mask, boolean.apply(found, with));
    frame.write_predicate(to[1], mask, boolean.apply(!found, with));
}
