//! The registers of one warp as the micro-ops see them.
//!
//! One flat array of 32-lane words holds everything an operand can name, so that a micro-op reads each operand by one
//! index and needs no case distinction:
//!
//! ```text
//!  R0 … Rn │ zero ×4 │ discard ×4 │ UR0 … URm (one value in all lanes) │ constants (one value in all lanes)
//! ```
//!
//! RZ as a source is `zero`, as a destination `discard`. A uniform register holds its value in all lanes, so that the
//! uniform data path needs no code of its own. A constant is an immediate or a word of a constant bank, filled at launch.
//! Predicates are 32-lane masks: P0–P6, PT, UP0–UP6, UPT, and one to write to in vain.

/// One 32-bit word a lane.
pub type Lanes = [u32; 32];
/// Index into [`Frame::words`].
pub type Slot = u16;
/// All lanes.
pub const FULL: u32 = u32::MAX;

/// Index of PT in [`Frame::predicates`]; UPT is 8 behind.
pub const TRUE: u8 = 7;
/// First uniform predicate.
pub const UNIFORM_PREDICATES: u8 = 8;
/// Written where the result is PT.
pub const DISCARD_PREDICATE: u8 = 16;

/// The mask of each lane alone.
pub const BIT: Lanes = {
    let mut bits = [0; 32];
    let mut lane = 0;
    while lane < 32 {
        bits[lane] = 1 << lane;
        lane += 1;
    }
    bits
};

/// A source with its marks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Source {
    pub slot: Slot,
    pub negate: bool,
    pub absolute: bool,
    pub invert: bool,
}

impl Source {
    pub fn plain(slot: Slot) -> Self {
        Self { slot, negate: false, absolute: false, invert: false }
    }

    pub fn is_plain(self) -> bool {
        !(self.negate || self.absolute || self.invert)
    }

    /// Masks (and, exclusive or) that apply the marks to a 32-bit floating-point number.
    pub fn float_masks(self) -> (u32, u32) {
        (if self.absolute { 0x7fff_ffff } else { FULL }, u32::from(self.negate) << 31)
    }
}

/// A predicate as a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PredicateSource {
    pub slot: u8,
    pub negate: bool,
}

impl PredicateSource {
    pub const TRUE: Self = Self { slot: TRUE, negate: false };
}

/// Registers and predicates of one warp.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct Frame {
    pub words: Vec<Lanes>,
    pub predicates: [u32; 17],
}

impl Frame {
    pub fn new(words: usize) -> Self {
        let mut predicates = [0; 17];
        predicates[usize::from(TRUE)] = FULL;
        predicates[usize::from(TRUE + UNIFORM_PREDICATES)] = FULL;
        Self { words: vec![[0; 32]; words], predicates }
    }

    #[inline(always)]
    pub fn word(&self, slot: Slot) -> &Lanes {
        &self.words[usize::from(slot)]
    }

    /// The word behind `slot`, upper half of a pair.
    #[inline(always)]
    pub fn high(&self, slot: Slot) -> &Lanes {
        &self.words[usize::from(slot) + 1]
    }

    /// A pair of words as one 64-bit value of a lane.
    #[inline(always)]
    pub fn wide(&self, slot: Slot, lane: usize) -> u64 {
        u64::from(self.high(slot)[lane]) << 32 | u64::from(self.word(slot)[lane])
    }

    #[inline(always)]
    pub fn predicate(&self, source: PredicateSource) -> u32 {
        self.predicates[usize::from(source.slot)] ^ if source.negate { FULL } else { 0 }
    }

    /// Writes the lanes of `mask`.
    #[inline(always)]
    pub fn write(&mut self, slot: Slot, mask: u32, value: &Lanes) {
        let target = &mut self.words[usize::from(slot)];
        if mask == FULL {
            *target = *value;
        } else {
            for lane in 0..32 {
                target[lane] = if mask & BIT[lane] != 0 { value[lane] } else { target[lane] };
            }
        }
    }

    /// Writes the lanes of `mask` of what `compute` gives. Each of the two ways computes it for itself, so that it stays in vector
    /// registers where all lanes are written.
    #[inline(always)]
    pub fn write_computed(&mut self, slot: Slot, mask: u32, compute: impl Fn(&Self) -> Lanes) {
        if mask == FULL {
            let value = compute(self);
            self.words[usize::from(slot)] = value;
        } else {
            let value = compute(self);
            self.write(slot, mask, &value);
        }
    }

    #[inline(always)]
    pub fn write_wide(&mut self, slot: Slot, mask: u32, value: &[u64; 32]) {
        let (mut low, mut high) = ([0; 32], [0; 32]);
        for lane in 0..32 {
            low[lane] = value[lane] as u32;
            high[lane] = (value[lane] >> 32) as u32;
        }
        self.write(slot, mask, &low);
        self.write(slot + 1, mask, &high);
    }

    #[inline(always)]
    pub fn write_predicate(&mut self, slot: u8, mask: u32, value: u32) {
        let target = &mut self.predicates[usize::from(slot)];
        *target = *target & !mask | value & mask;
    }

    #[inline(always)]
    pub fn map1(&mut self, mask: u32, to: Slot, a: Slot, f: impl Fn(u32) -> u32) {
        let mut out = [0; 32];
        let a = self.word(a);
        for lane in 0..32 {
            out[lane] = f(a[lane]);
        }
        self.write(to, mask, &out);
    }

    #[inline(always)]
    pub fn map2(&mut self, mask: u32, to: Slot, [a, b]: [Slot; 2], f: impl Fn(u32, u32) -> u32) {
        let mut out = [0; 32];
        let (a, b) = (self.word(a), self.word(b));
        for lane in 0..32 {
            out[lane] = f(a[lane], b[lane]);
        }
        self.write(to, mask, &out);
    }

    #[inline(always)]
    pub fn map3(&mut self, mask: u32, to: Slot, [a, b, c]: [Slot; 3], f: impl Fn(u32, u32, u32) -> u32) {
        let mut out = [0; 32];
        let (a, b, c) = (self.word(a), self.word(b), self.word(c));
        for lane in 0..32 {
            out[lane] = f(a[lane], b[lane], c[lane]);
        }
        self.write(to, mask, &out);
    }

    /// Lanes for which the condition holds.
    #[inline(always)]
    pub fn test2(&self, [a, b]: [Slot; 2], f: impl Fn(u32, u32) -> bool) -> u32 {
        let (a, b) = (self.word(a), self.word(b));
        lanes_where(|lane| f(a[lane], b[lane]))
    }
}

/// The mask of lanes for which the condition holds.
#[inline(always)]
pub fn lanes_where(f: impl Fn(usize) -> bool) -> u32 {
    let mut found = [0; 32];
    for lane in 0..32 {
        found[lane] = if f(lane) { BIT[lane] } else { 0 };
    }
    found.iter().fold(0, |mask, bit| mask | bit)
}

/// The lanes of a mask, lowest first.
#[inline(always)]
pub fn lanes_of(mut mask: u32) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        if mask == 0 {
            return None;
        }
        let lane = mask.trailing_zeros() as usize;
        mask &= mask - 1;
        Some(lane)
    })
}
