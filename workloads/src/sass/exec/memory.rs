//! Loads and stores: LDG, STG, LDS, STS, LDL, STL, LDC, LDCU, ULDC; LD and ST, whose addresses tell the space; QSPC, which
//! asks it.

use super::banks::ConstantBanks;
use super::coalesce::{Group, Pattern, Recorder, Shape};
use super::fault::{Cause, Fault};
use super::frame::{BIT, FULL, Frame, Lanes, Slot, lanes_of};
use super::lower::{Lowered, Lowering, Refusal};
use super::op::Op;
use super::storage::{GlobalMemory, LocalMemory, SharedMemory};
use super::windows;
use crate::sass::{MemoryOperand, Operand};
use crate::stream::{AccessKind, NO_ACCESS, Space};
use multiversion::multiversion;

/// What a lane moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Width {
    pub bytes: u8,
    /// Loads of less than a word extend by the sign.
    pub signed: bool,
}

impl Width {
    pub const WORD: Self = Self { bytes: 4, signed: false };

    /// From the modifiers; a word when none says otherwise.
    pub fn of(cx: &mut Lowering<'_>) -> Self {
        let choices = [
            ("U8", (1, false)),
            ("S8", (1, true)),
            ("U16", (2, false)),
            ("S16", (2, true)),
            ("64", (8, false)),
            ("128", (16, false)),
            ("32", (4, false)),
        ];
        let (bytes, signed) = cx.take_one_of(&choices).unwrap_or((4, false));
        Self { bytes, signed }
    }
}

/// `[base.X4 + uniform + offset]`, each part a slot (the zero slot where there is none).
#[derive(Clone, Copy, Debug)]
pub struct Address {
    pub base: Slot,
    /// The base is a pair, all 64 bits of the address.
    pub wide: bool,
    /// Shift of the base.
    pub scale: u8,
    pub uniform: Slot,
    pub wide_uniform: bool,
    pub offset: i64,
}

impl Address {
    /// In global memory.
    pub fn global(cx: &mut Lowering<'_>) -> Lowered<Self> {
        let operand = memory_operand(cx)?;
        let mut address = Self::parts(cx, operand)?;
        let suffix = |name: &str| operand.base.as_ref().is_some_and(|base| base.has_suffix(name));
        address.wide_uniform = operand.uniform.is_some();
        let bare = operand.base.as_ref().is_none_or(|base| base.is_zero());
        // Without a memory descriptor (always on sm_75) the disassembler prints the pair of a 64-bit address as [R2].
        address.wide = suffix("64") || !bare && !suffix("U32");
        Ok(address)
    }

    /// In the shared or local window.
    pub fn window(cx: &mut Lowering<'_>) -> Lowered<Self> {
        let operand = memory_operand(cx)?;
        Self::parts(cx, operand)
    }

    fn parts(cx: &Lowering<'_>, operand: &MemoryOperand) -> Lowered<Self> {
        let mut scale = 0;
        if let Some(base) = &operand.base {
            for suffix in &base.suffixes {
                scale = match suffix.as_str() {
                    "64" | "U32" => 0,
                    "X4" => 2,
                    "X8" => 3,
                    "X16" => 4,
                    _ => return Err(Refusal::new(format!("address suffix `.{suffix}` is not supported"), "")),
                };
            }
            if base.negate || base.absolute || base.invert {
                return Err(Refusal::new("a sign in an address is not supported", ""));
            }
        }
        let base = operand.base.as_ref().map_or(cx.zero(), |register| cx.register_slot(register));
        let uniform = operand.uniform.as_ref().map_or(cx.zero(), |register| cx.register_slot(register));
        Ok(Self { base, wide: false, scale, uniform, wide_uniform: false, offset: operand.offset })
    }

    #[inline(always)]
    pub fn wide(&self, frame: &Frame) -> [u64; 32] {
        let mut addresses = [0; 32];
        let uniform = u64::from(frame.word(self.uniform)[0]);
        let upper = if self.wide_uniform { u64::from(frame.high(self.uniform)[0]) << 32 } else { 0 };
        let constant = (uniform | upper).wrapping_add(self.offset as u64);
        let low = frame.word(self.base);
        if self.wide {
            let high = frame.high(self.base);
            for lane in 0..32 {
                addresses[lane] = (u64::from(high[lane]) << 32 | u64::from(low[lane])).wrapping_add(constant);
            }
        } else {
            for lane in 0..32 {
                addresses[lane] = u64::from(low[lane]).wrapping_add(constant);
            }
        }
        addresses
    }

    #[inline(always)]
    pub fn narrow(&self, frame: &Frame) -> [u32; 32] {
        let mut addresses = [0; 32];
        let constant = frame.word(self.uniform)[0].wrapping_add(self.offset as u32);
        let base = frame.word(self.base);
        for lane in 0..32 {
            addresses[lane] = (base[lane] << self.scale).wrapping_add(constant);
        }
        addresses
    }
}

fn memory_operand<'a>(cx: &mut Lowering<'a>) -> Lowered<&'a MemoryOperand> {
    match cx.next()? {
        Operand::Memory(memory) => Ok(memory),
        _ => Err(Refusal::new("an address in brackets is expected", "")),
    }
}

#[derive(Clone, Copy, Debug)]
pub enum MemoryOp {
    Load {
        space: Space,
        to: Slot,
        width: Width,
        address: Address,
    },
    Store {
        space: Space,
        from: Slot,
        width: Width,
        address: Address,
    },
    /// Each lane's address tells its space.
    Generic {
        load: bool,
        register: Slot,
        width: Width,
        address: Address,
    },
    /// Whether an address lies in a space.
    QuerySpace {
        predicate: u8,
        address: Address,
        /// `None`: memory of another block of the cluster.
        space: Option<Space>,
    },
    /// Words whose place in constant space is known: values from constant slots.
    Constant {
        to: Slot,
        from: Slot,
        words: u8,
        uniform: bool,
        /// Where timing sees it; `None` for ULDC, which reads its constant at issue.
        offset: Option<u32>,
    },
    /// `offset` plus an index register.
    IndexedConstant {
        to: Slot,
        width: Width,
        bank: u8,
        index: Slot,
        offset: i32,
        uniform: bool,
        /// Timing sees it: not ULDC.
        recorded: bool,
    },
}

pub fn lower(cx: &mut Lowering<'_>, mnemonic: &str) -> Lowered<Option<Op>> {
    let op = match mnemonic {
        "LDG" | "STG" => global(cx, mnemonic == "LDG")?,
        "LD" | "ST" => match global(cx, mnemonic == "LD")? {
            MemoryOp::Load { to: register, width, address, .. } => {
                MemoryOp::Generic { load: true, register, width, address }
            }
            MemoryOp::Store { from: register, width, address, .. } => {
                MemoryOp::Generic { load: false, register, width, address }
            }
            other => other,
        },
        "QSPC" => query(cx)?,
        "LDS" => {
            let width = Width::of(cx);
            let _ = cx.take("U");
            let to = cx.target()?;
            MemoryOp::Load { space: Space::Shared, to, width, address: Address::window(cx)? }
        }
        "STS" => {
            let width = Width::of(cx);
            let address = Address::window(cx)?;
            MemoryOp::Store { space: Space::Shared, from: cx.plain_source()?, width, address }
        }
        "LDL" => {
            hints(cx);
            let width = Width::of(cx);
            let to = cx.target()?;
            MemoryOp::Load { space: Space::Local, to, width, address: Address::window(cx)? }
        }
        "STL" => {
            hints(cx);
            let width = Width::of(cx);
            let address = Address::window(cx)?;
            MemoryOp::Store { space: Space::Local, from: cx.plain_source()?, width, address }
        }
        "LDC" | "LDCU" | "ULDC" => constant(cx, mnemonic != "LDC", mnemonic != "ULDC")?,
        _ => return Ok(None),
    };
    Ok(Some(Op::Memory(op)))
}

/// Modifiers that concern caches and ordering; values do not depend on them while a CTA runs alone.
pub fn hints(cx: &mut Lowering<'_>) {
    const HINTS: [&str; 20] = [
        "E", "CONSTANT", "STRONG", "WEAK", "CTA", "SM", "GPU", "SYS", "EF", "EL", "EU", "LU", "NA", "LTC64B",
        "LTC128B", "LTC256B", "CI", "PRIVATE", "MMIO", "ENL2",
    ];
    for hint in HINTS {
        cx.take(hint);
    }
}

fn global(cx: &mut Lowering<'_>, load: bool) -> Lowered<MemoryOp> {
    if !cx.take("E") {
        return Err(Refusal::new("a 32-bit address space is not supported", "expected LDG.E or STG.E"));
    }
    hints(cx);
    let width = Width::of(cx);
    Ok(if load {
        let to = cx.target()?;
        MemoryOp::Load { space: Space::Global, to, width, address: Address::global(cx)? }
    } else {
        let address = Address::global(cx)?;
        MemoryOp::Store { space: Space::Global, from: cx.plain_source()?, width, address }
    })
}

fn query(cx: &mut Lowering<'_>) -> Lowered<MemoryOp> {
    if !cx.take("E") {
        return Err(Refusal::new("a 32-bit address space is not supported", "expected QSPC.E"));
    }
    let spaces = [("G", Some(Space::Global)), ("S", Some(Space::Shared)), ("L", Some(Space::Local)), ("D", None)];
    let space = cx.need_one_of("space", &spaces)?;
    let predicate = cx.predicate_target()?;
    if cx.target()? != cx.discard() {
        return Err(Refusal::new("a register result of QSPC is not supported", "expected QSPC.E.S P0, RZ, [R2]"));
    }
    Ok(MemoryOp::QuerySpace { predicate, address: Address::global(cx)?, space })
}

fn constant(cx: &mut Lowering<'_>, uniform: bool, recorded: bool) -> Lowered<MemoryOp> {
    let width = Width::of(cx);
    let to = cx.target()?;
    let Operand::Constant(constant) = cx.next()? else {
        return Err(Refusal::new("a constant is expected", "as in c[0x0][0x160]"));
    };
    let index = constant.index.map(|index| cx.index_slot(index)).filter(|&slot| slot != cx.zero());
    if let Some(index) = index {
        let (bank, offset) = (constant.bank, constant.offset);
        return Ok(MemoryOp::IndexedConstant { to, width, bank, index, offset, uniform, recorded });
    }
    if width.bytes < 4 {
        return Err(Refusal::new("a constant load of less than a word is only supported with an index", ""));
    }
    let words = width.bytes / 4;
    let from = cx.bank_words(constant.bank, constant.offset.into(), words.into())?;
    let offset = recorded.then_some(super::banks::timing_offset(constant.bank, constant.offset as u32));
    Ok(MemoryOp::Constant { to, from, words, uniform, offset })
}

impl MemoryOp {
    /// Whether others can see it or change what it finds: global and shared memory.
    pub fn is_shared_with_others(&self) -> bool {
        match self {
            Self::Load { space, .. } | Self::Store { space, .. } => matches!(space, Space::Global | Space::Shared),
            Self::Generic { .. } => true,
            Self::Constant { .. } | Self::IndexedConstant { .. } | Self::QuerySpace { .. } => false,
        }
    }
}

/// The memories of a running CTA.
pub struct Memories<'a, const RECORD: bool> {
    pub global: &'a mut GlobalMemory,
    pub shared: &'a mut SharedMemory,
    pub banks: &'a ConstantBanks,
    pub recorder: &'a mut Recorder<RECORD>,
    /// Counts what changed global or shared memory, or may have.
    pub changes: &'a mut u64,
}

/// Executes; returns the index of the recorded access.
#[inline(always)]
pub fn execute<const RECORD: bool>(
    op: &MemoryOp,
    frame: &mut Frame,
    local: &mut LocalMemory,
    local_base: u64,
    mask: u32,
    position: u32,
    memories: &mut Memories<'_, RECORD>,
) -> Result<u32, Fault> {
    match *op {
        MemoryOp::Load { space: Space::Global, to, width, address } => {
            global_access(true, frame, to, width, mask, &address.wide(frame), position, memories)
        }
        MemoryOp::Store { space: Space::Global, from, width, address } => {
            global_access(false, frame, from, width, mask, &address.wide(frame), position, memories)
        }
        MemoryOp::Load { space: Space::Shared, to, width, address } => {
            shared_access(true, frame, to, width, mask, &address.narrow(frame), position, memories)
        }
        MemoryOp::Store { space: Space::Shared, from, width, address } => {
            shared_access(false, frame, from, width, mask, &address.narrow(frame), position, memories)
        }
        MemoryOp::Generic { load, register, width, address } => {
            let addresses = address.wide(frame);
            let offsets = windows::offsets(&addresses);
            let [shared, of_thread, global] =
                [Space::Shared, Space::Local, Space::Global].map(|space| windows::lanes_in(space, mask, &addresses));
            let mut access = NO_ACCESS;
            // A dynamic instruction has one access: of those to several spaces, timing sees the farthest.
            if shared != 0 {
                access = shared_access(load, frame, register, width, shared, &offsets, position, memories)?;
            }
            if of_thread != 0 {
                access = local_access(load, frame, register, width, of_thread, &offsets, local, local_base, memories)?;
            }
            if global != 0 {
                access = global_access(load, frame, register, width, global, &addresses, position, memories)?;
            }
            Ok(access)
        }
        MemoryOp::QuerySpace { predicate, address, space } => {
            let addresses = address.wide(frame);
            // A cluster of one block has no memory of another.
            let found = space.map_or(0, |space| windows::lanes_in(space, mask, &addresses));
            frame.write_predicate(predicate, mask, found);
            Ok(NO_ACCESS)
        }
        MemoryOp::Constant { to, from, words, uniform, offset } => {
            let mask = if uniform { FULL } else { mask };
            for word in 0..Slot::from(words) {
                let value = *frame.word(from + word);
                frame.write(to + word, mask, &value);
            }
            let Some(offset) = offset else { return Ok(NO_ACCESS) };
            let bytes = 4 * u32::from(words);
            let place = [offset.into(); 32];
            Ok(memories.recorder.lines(
                position,
                (Space::Constant, AccessKind::Load),
                bytes,
                mask,
                &place,
                Pattern::Broadcast,
            ))
        }
        MemoryOp::IndexedConstant { to, width, bank, index, offset, uniform, recorded } => {
            let mask = if uniform { FULL } else { mask };
            let mut addresses = [0; 32];
            for lane in lanes_of(mask) {
                let address = frame.word(index)[lane].wrapping_add(offset as u32);
                let value = memories.banks.load(bank, address, width).ok_or_else(|| {
                    let neighbourhood = memories.banks.neighbourhood(bank);
                    let bytes = width.bytes.into();
                    Box::new(Cause::OutOfBounds {
                        space: "constant",
                        lane: lane as u32,
                        address: address.into(),
                        bytes,
                        neighbourhood,
                    })
                })?;
                addresses[lane] = super::banks::timing_offset(bank, address).into();
                for word in 0..usize::from(width.bytes.div_ceil(4)) {
                    frame.words[usize::from(to) + word][lane] = value[word];
                }
            }
            if !recorded {
                return Ok(NO_ACCESS);
            }
            let pattern = Pattern::of_wide(width.bytes.into(), mask, &addresses);
            Ok(memories.recorder.lines(
                position,
                (Space::Constant, AccessKind::Load),
                width.bytes.into(),
                mask,
                &addresses,
                pattern,
            ))
        }
        MemoryOp::Load { to, width, address, .. } => {
            local_access(true, frame, to, width, mask, &address.narrow(frame), local, local_base, memories)
        }
        MemoryOp::Store { from, width, address, .. } => {
            local_access(false, frame, from, width, mask, &address.narrow(frame), local, local_base, memories)
        }
    }
}

#[allow(clippy::too_many_arguments)]
#[inline(always)]
fn global_access<const RECORD: bool>(
    load: bool,
    frame: &mut Frame,
    register: Slot,
    width: Width,
    mask: u32,
    addresses: &[u64; 32],
    position: u32,
    memories: &mut Memories<'_, RECORD>,
) -> Result<u32, Fault> {
    if mask == 0 {
        return Ok(NO_ACCESS);
    }
    let Memories { global, recorder, changes, .. } = memories;
    let bytes = width.bytes.into();
    let (shape, pattern) = recorder.shape_of_wide(position, bytes, mask, addresses);
    if load {
        match bytes {
            8 => load_global::<2, 8>(frame, register, width, mask, addresses, shape, global)?,
            16 => load_global::<4, 16>(frame, register, width, mask, addresses, shape, global)?,
            _ => load_global::<1, 4>(frame, register, width, mask, addresses, shape, global)?,
        }
    } else {
        match bytes {
            8 => store_global::<2, 8>(frame, register, width, mask, addresses, shape, global)?,
            16 => store_global::<4, 16>(frame, register, width, mask, addresses, shape, global)?,
            _ => store_global::<1, 4>(frame, register, width, mask, addresses, shape, global)?,
        }
        **changes += 1;
    }
    let kind = if load { AccessKind::Load } else { AccessKind::Store };
    Ok(recorder.lines(position, (Space::Global, kind), bytes, mask, addresses, pattern))
}

#[allow(clippy::too_many_arguments)]
#[inline(always)]
fn shared_access<const RECORD: bool>(
    load: bool,
    frame: &mut Frame,
    register: Slot,
    width: Width,
    mask: u32,
    addresses: &[u32; 32],
    position: u32,
    memories: &mut Memories<'_, RECORD>,
) -> Result<u32, Fault> {
    if mask == 0 {
        return Ok(NO_ACCESS);
    }
    let Memories { shared, recorder, changes, .. } = memories;
    let bytes = width.bytes.into();
    let shape = recorder.shape(position, bytes, mask, addresses);
    if load {
        match bytes {
            8 => load_shared::<2, 8>(frame, register, width, mask, addresses, shape, shared)?,
            16 => load_shared::<4, 16>(frame, register, width, mask, addresses, shape, shared)?,
            _ => load_shared::<1, 4>(frame, register, width, mask, addresses, shape, shared)?,
        }
    } else {
        match bytes {
            8 => store_shared::<2, 8>(frame, register, width, mask, addresses, shape, shared)?,
            16 => store_shared::<4, 16>(frame, register, width, mask, addresses, shape, shared)?,
            _ => store_shared::<1, 4>(frame, register, width, mask, addresses, shape, shared)?,
        }
        **changes += 1;
    }
    let kind = if load { AccessKind::Load } else { AccessKind::Store };
    Ok(recorder.shaped(position, kind, bytes, mask, addresses))
}

#[allow(clippy::too_many_arguments)]
fn local_access<const RECORD: bool>(
    load: bool,
    frame: &mut Frame,
    register: Slot,
    width: Width,
    mask: u32,
    addresses: &[u32; 32],
    local: &mut LocalMemory,
    local_base: u64,
    memories: &mut Memories<'_, RECORD>,
) -> Result<u32, Fault> {
    let size = usize::from(width.bytes);
    for lane in lanes_of(mask) {
        check_local(addresses[lane], lane, width, local)?;
        let first = addresses[lane] as usize;
        if load {
            let mut bytes = [0u8; 16];
            for (at, byte) in bytes[..size].iter_mut().enumerate() {
                *byte = local.words[(first + at) / 4][lane].to_le_bytes()[(first + at) % 4];
            }
            write_lane(frame, register, lane, width, &bytes[..size]);
        } else {
            for (at, byte) in read_lane(frame, register, lane)[..size].iter().enumerate() {
                let word = &mut local.words[(first + at) / 4][lane];
                let mut bytes = word.to_le_bytes();
                bytes[(first + at) % 4] = *byte;
                *word = u32::from_le_bytes(bytes);
            }
        }
    }
    let kind = if load { AccessKind::Load } else { AccessKind::Store };
    Ok(memories.recorder.local(kind, width.bytes.into(), mask, local_base, addresses))
}

/// The lane's register and those behind it as bytes.
#[inline(always)]
fn read_lane(frame: &Frame, from: Slot, lane: usize) -> [u8; 16] {
    let mut bytes = [0; 16];
    for (word, chunk) in bytes.chunks_exact_mut(4).enumerate() {
        chunk.copy_from_slice(&frame.words[usize::from(from) + word][lane].to_le_bytes());
    }
    bytes
}

#[inline(always)]
fn write_lane(frame: &mut Frame, to: Slot, lane: usize, width: Width, bytes: &[u8]) {
    if let Ok(bytes) = <[u8; 4]>::try_from(bytes) {
        frame.words[usize::from(to)][lane] = u32::from_le_bytes(bytes);
    } else if bytes.len() < 4 {
        frame.words[usize::from(to)][lane] = extend(width, bytes);
    } else {
        for (word, chunk) in bytes.chunks_exact(4).enumerate() {
            frame.words[usize::from(to) + word][lane] = u32::from_le_bytes([chunk[0], chunk[1], chunk[2], chunk[3]]);
        }
    }
}

/// One or two bytes as a word.
pub fn extend(width: Width, bytes: &[u8]) -> u32 {
    let value = bytes.iter().rev().fold(0, |value, &byte| value << 8 | u32::from(byte));
    let unused = 32 - 8 * bytes.len() as u32;
    if width.signed { ((value << unused) as i32 >> unused) as u32 } else { value }
}

#[cold]
pub fn outside_global(address: u64, lane: usize, width: Width, global: &GlobalMemory) -> Fault {
    let neighbourhood = global.neighbourhood(address);
    let bytes = width.bytes.into();
    Box::new(Cause::OutOfBounds { space: "global", lane: lane as u32, address, bytes, neighbourhood })
}

#[inline(always)]
pub fn check_alignment(space: &'static str, address: u64, lane: usize, width: Width) -> Result<(), Fault> {
    if address & (u64::from(width.bytes) - 1) == 0 {
        return Ok(());
    }
    Err(Box::new(Cause::Misaligned { space, lane: lane as u32, address, bytes: width.bytes.into() }))
}

/// Words of up to 16 bytes, or the one that fewer bytes extend to.
#[inline(always)]
fn words_of<const WORDS: usize>(width: Width, bytes: &[u8]) -> [u32; WORDS] {
    let mut words = [0; WORDS];
    if width.bytes < 4 {
        words[0] = extend(width, bytes);
        return words;
    }
    for (word, chunk) in words.iter_mut().zip(bytes.chunks_exact(4)) {
        *word = u32::from_le_bytes([chunk[0], chunk[1], chunk[2], chunk[3]]);
    }
    words
}

/// Fills the registers from `to` on, lane by lane, with what `read` finds.
fn gather<const WORDS: usize>(
    frame: &mut Frame,
    to: Slot,
    mask: u32,
    mut read: impl FnMut(usize) -> Result<[u32; WORDS], Fault>,
) -> Result<(), Fault> {
    let mut out = [[0; 32]; WORDS];
    for lane in lanes_of(mask) {
        let words = read(lane)?;
        (0..WORDS).for_each(|word| out[word][lane] = words[word]);
    }
    for (word, value) in (0..).zip(&out) {
        frame.write(to + word, mask, value);
    }
    Ok(())
}

/// Reads `BYTES` = 4 · `WORDS` a lane; that all lie in `data` was checked.
#[multiversion(targets("x86_64+avx2+bmi1+bmi2+fma+lzcnt+popcnt"))]
fn read_units<const WORDS: usize, const BYTES: usize>(
    data: &[u8],
    first: usize,
    shape: &Shape,
    out: &mut [Lanes; WORDS],
) {
    let units = data.as_chunks::<BYTES>().0;
    let read = |bytes: &[u8; BYTES], word: usize| u32::from_le_bytes(bytes.as_chunks::<4>().0[word]);
    for (group, how) in shape.groups.iter().enumerate() {
        let lanes = 8 * group..8 * group + 8;
        let unit = shape.unit::<BYTES>(first, lanes.start);
        match how {
            Group::Same => {
                let Some(unit) = units.get(unit) else { continue };
                for word in 0..WORDS {
                    out[word][lanes.clone()].fill(read(unit, word));
                }
            }
            Group::Neighbours => {
                let Some(units) = units.get(unit..unit + 8) else { continue };
                for word in 0..WORDS {
                    for (out, unit) in out[word][lanes.clone()].iter_mut().zip(units) {
                        *out = read(unit, word);
                    }
                }
            }
            Group::Other => {
                for lane in lanes {
                    let Some(unit) = units.get(shape.unit::<BYTES>(first, lane)) else { continue };
                    for word in 0..WORDS {
                        out[word][lane] = read(unit, word);
                    }
                }
            }
        }
    }
}

/// Writes the registers from `from` on for the lanes of `mask`, lowest lane first; that all lie in `data` was checked.
#[multiversion(targets("x86_64+avx2+bmi1+bmi2+fma+lzcnt+popcnt"))]
fn write_units<const WORDS: usize, const BYTES: usize>(
    data: &mut [u8],
    first: usize,
    shape: &Shape,
    words: [&Lanes; WORDS],
    mask: u32,
) {
    let units = data.as_chunks_mut::<BYTES>().0;
    let write = |bytes: &mut [u8; BYTES], lane: usize| {
        for (bytes, word) in bytes.as_chunks_mut::<4>().0.iter_mut().zip(words) {
            *bytes = word[lane].to_le_bytes();
        }
    };
    for (group, how) in shape.groups.iter().enumerate() {
        let lanes = 8 * group..8 * group + 8;
        let unit = shape.unit::<BYTES>(first, lanes.start);
        if *how == Group::Neighbours
            && mask >> lanes.start & 0xff == 0xff
            && let Some(units) = units.get_mut(unit..unit + 8)
        {
            for (lane, unit) in lanes.zip(units) {
                write(unit, lane);
            }
            continue;
        }
        for lane in lanes.filter(|&lane| mask & BIT[lane] != 0) {
            if let Some(unit) = units.get_mut(shape.unit::<BYTES>(first, lane)) {
                write(unit, lane);
            }
        }
    }
}

/// Fills the registers from `to` on from units of `data`.
#[inline(always)]
fn load_units<const WORDS: usize, const BYTES: usize>(
    frame: &mut Frame,
    to: Slot,
    mask: u32,
    data: &[u8],
    first: usize,
    shape: &Shape,
) {
    let target = &mut frame.words[usize::from(to)..];
    if mask == FULL
        && let Some(out) = target.first_chunk_mut()
    {
        read_units::<WORDS, BYTES>(data, first, shape, out);
        return;
    }
    let mut out = [[0; 32]; WORDS];
    read_units::<WORDS, BYTES>(data, first, shape, &mut out);
    for (word, value) in (0..).zip(&out) {
        frame.write(to + word, mask, value);
    }
}

#[inline(always)]
fn load_global<const WORDS: usize, const BYTES: usize>(
    frame: &mut Frame,
    to: Slot,
    width: Width,
    mask: u32,
    addresses: &[u64; 32],
    shape: Option<&Shape>,
    global: &GlobalMemory,
) -> Result<(), Fault> {
    let first = addresses[mask.trailing_zeros() as usize % 32];
    if width.bytes >= 4
        && let Some(shape) = shape
        && let Some(buffer) = global.get(global.index_of(first))
        && let Some(first) = shape.first_unit::<BYTES>(buffer.place(first), buffer.data.len())
    {
        load_units::<WORDS, BYTES>(frame, to, mask, &buffer.data, first, shape);
        return Ok(());
    }
    gather_global::<WORDS>(frame, to, width, mask, addresses, global)
}

/// Lane by lane: bytes and halves, lanes in different buffers, faults.
fn gather_global<const WORDS: usize>(
    frame: &mut Frame,
    to: Slot,
    width: Width,
    mask: u32,
    addresses: &[u64; 32],
    global: &GlobalMemory,
) -> Result<(), Fault> {
    let mut index = global.index_of(addresses[mask.trailing_zeros() as usize % 32]);
    let size = usize::from(width.bytes);
    gather::<WORDS>(frame, to, mask, |lane| {
        let address = addresses[lane];
        check_alignment("global", address, lane, width)?;
        if let Some(bytes) = global.get(index).and_then(|buffer| buffer.at(address, size)) {
            return Ok(words_of(width, bytes));
        }
        index = global.index_of(address);
        match global.get(index).and_then(|buffer| buffer.at(address, size)) {
            Some(bytes) => Ok(words_of(width, bytes)),
            None => Err(outside_global(address, lane, width, global)),
        }
    })
}

#[inline(always)]
fn store_global<const WORDS: usize, const BYTES: usize>(
    frame: &Frame,
    from: Slot,
    width: Width,
    mask: u32,
    addresses: &[u64; 32],
    shape: Option<&Shape>,
    global: &mut GlobalMemory,
) -> Result<(), Fault> {
    let first = addresses[mask.trailing_zeros() as usize % 32];
    if width.bytes >= 4
        && let Some(shape) = shape
        && let Some(buffer) = global.get_mut(global.index_of(first))
        && let Some(first) = shape.first_unit::<BYTES>(buffer.place(first), buffer.data.len())
    {
        let words = std::array::from_fn(|word| frame.word(from + word as Slot));
        write_units::<WORDS, BYTES>(&mut buffer.data, first, shape, words, mask);
        return Ok(());
    }
    scatter_global(frame, from, width, mask, addresses, global)
}

/// As [`gather_global`].
fn scatter_global(
    frame: &Frame,
    from: Slot,
    width: Width,
    mask: u32,
    addresses: &[u64; 32],
    global: &mut GlobalMemory,
) -> Result<(), Fault> {
    let mut index = global.index_of(addresses[mask.trailing_zeros() as usize % 32]);
    for lane in lanes_of(mask) {
        let address = addresses[lane];
        check_alignment("global", address, lane, width)?;
        let size = usize::from(width.bytes);
        if global.get(index).and_then(|buffer| buffer.at(address, size)).is_none() {
            index = global.index_of(address);
        }
        match global.get_mut(index).and_then(|buffer| buffer.at_mut(address, size)) {
            Some(bytes) => bytes.copy_from_slice(&read_lane(frame, from, lane)[..size]),
            None => return Err(outside_global(address, lane, width, global)),
        }
    }
    Ok(())
}

#[cold]
pub fn outside_shared(address: u32, lane: usize, width: Width, shared: &SharedMemory) -> Fault {
    let neighbourhood = format!("the block has {:#x} to {:#x}", shared.base, shared.data.len());
    let bytes = width.bytes.into();
    Box::new(Cause::OutOfBounds { space: "shared", lane: lane as u32, address: address.into(), bytes, neighbourhood })
}

/// [`Shape::first_unit`] in shared memory, below whose base the system has its own.
#[inline(always)]
fn first_unit_of_shared<const BYTES: usize>(
    mask: u32,
    addresses: &[u32; 32],
    shape: &Shape,
    shared: &SharedMemory,
) -> Option<usize> {
    let first = i64::from(addresses[mask.trailing_zeros() as usize % 32]);
    let above_base = first + i64::from(shape.span[0]) >= i64::from(shared.base);
    shape.first_unit::<BYTES>(first, shared.data.len()).filter(|_| above_base)
}

#[inline(always)]
fn load_shared<const WORDS: usize, const BYTES: usize>(
    frame: &mut Frame,
    to: Slot,
    width: Width,
    mask: u32,
    addresses: &[u32; 32],
    shape: &Shape,
    shared: &SharedMemory,
) -> Result<(), Fault> {
    if width.bytes >= 4
        && let Some(first) = first_unit_of_shared::<BYTES>(mask, addresses, shape, shared)
    {
        load_units::<WORDS, BYTES>(frame, to, mask, &shared.data, first, shape);
        return Ok(());
    }
    gather_shared::<WORDS>(frame, to, width, mask, addresses, shared)
}

/// As [`gather_global`].
fn gather_shared<const WORDS: usize>(
    frame: &mut Frame,
    to: Slot,
    width: Width,
    mask: u32,
    addresses: &[u32; 32],
    shared: &SharedMemory,
) -> Result<(), Fault> {
    gather::<WORDS>(frame, to, mask, |lane| {
        let address = addresses[lane];
        check_alignment("shared", address.into(), lane, width)?;
        match shared.at(address, width.bytes.into()) {
            Some(bytes) => Ok(words_of(width, bytes)),
            None => Err(outside_shared(address, lane, width, shared)),
        }
    })
}

#[inline(always)]
fn store_shared<const WORDS: usize, const BYTES: usize>(
    frame: &Frame,
    from: Slot,
    width: Width,
    mask: u32,
    addresses: &[u32; 32],
    shape: &Shape,
    shared: &mut SharedMemory,
) -> Result<(), Fault> {
    if width.bytes >= 4
        && let Some(first) = first_unit_of_shared::<BYTES>(mask, addresses, shape, shared)
    {
        let words = std::array::from_fn(|word| frame.word(from + word as Slot));
        write_units::<WORDS, BYTES>(&mut shared.data, first, shape, words, mask);
        return Ok(());
    }
    scatter_shared(frame, from, width, mask, addresses, shared)
}

/// As [`gather_global`].
fn scatter_shared(
    frame: &Frame,
    from: Slot,
    width: Width,
    mask: u32,
    addresses: &[u32; 32],
    shared: &mut SharedMemory,
) -> Result<(), Fault> {
    for lane in lanes_of(mask) {
        let address = addresses[lane];
        check_alignment("shared", address.into(), lane, width)?;
        let size = usize::from(width.bytes);
        match shared.at_mut(address, size) {
            Some(bytes) => bytes.copy_from_slice(&read_lane(frame, from, lane)[..size]),
            None => return Err(outside_shared(address, lane, width, shared)),
        }
    }
    Ok(())
}

fn check_local(address: u32, lane: usize, width: Width, local: &LocalMemory) -> Result<(), Fault> {
    check_alignment("local", address.into(), lane, width)?;
    let size = 4 * local.words.len() as u64;
    if u64::from(address) + u64::from(width.bytes) <= size {
        return Ok(());
    }
    let neighbourhood = format!("a thread has {size:#x} bytes of stack (`local_bytes`)");
    let bytes = width.bytes.into();
    Err(Box::new(Cause::OutOfBounds {
        space: "local",
        lane: lane as u32,
        address: address.into(),
        bytes,
        neighbourhood,
    }))
}
