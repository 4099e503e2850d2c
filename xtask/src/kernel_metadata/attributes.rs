//! The attributes in a cubin's `.nv.info` sections.
//!
//! A section is a sequence of records: one byte for the format, one for the attribute, then
//! nothing of meaning (2 bytes, [`FORMAT_NONE`]), a byte (2 bytes, [`FORMAT_BYTE`]), a half-word (2 bytes,
//! [`FORMAT_HALF`]) or a size in bytes and as many of payload ([`FORMAT_SIZED`]). All is little-endian.

use anyhow::{Context, Result, bail};

const FORMAT_NONE: u8 = 1;
const FORMAT_BYTE: u8 = 2;
const FORMAT_HALF: u8 = 3;
const FORMAT_SIZED: u8 = 4;

// Numbers of the attributes; in the comments the names that `cuobjdump -elf` gives them.
const MAX_THREADS: u8 = 0x05; // EIATTR_MAX_THREADS
const PARAMETER_BANK: u8 = 0x0a; // EIATTR_PARAM_CBANK
const FRAME_SIZE: u8 = 0x11; // EIATTR_FRAME_SIZE
const MIN_STACK_SIZE: u8 = 0x12; // EIATTR_MIN_STACK_SIZE
const PARAMETER: u8 = 0x17; // EIATTR_KPARAM_INFO
const REGISTER_COUNT: u8 = 0x2f; // EIATTR_REGCOUNT
const INDIRECT_BRANCHES: u8 = 0x34; // EIATTR_INDIRECT_BRANCH_TARGETS
const BARRIER_COUNT: u8 = 0x4c; // EIATTR_NUM_BARRIERS

/// One argument of a kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parameter {
    pub index: u32,
    /// From the parameter base in constant bank 0.
    pub offset_bytes: u32,
    pub size_bytes: u32,
}

/// A branch through a register, and all addresses that it can go to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndirectBranch {
    pub at: u32,
    pub targets: Vec<u32>,
}

/// An attribute that matters to a simulator; `symbol` is the index of the function that it describes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Attribute {
    RegisterCount { symbol: u32, count: u32 },
    FrameSize { symbol: u32, bytes: u32 },
    MinStackSize { symbol: u32, bytes: u32 },
    ParameterBank { base: u32, bytes: u32 },
    Parameter(Parameter),
    BarrierCount(u32),
    MaxThreads(u32),
    IndirectBranches(Vec<IndirectBranch>),
}

/// Reads a section; attributes of no concern are passed over. Fails where a record is cut short or of unknown format.
pub fn read(section: &[u8]) -> Result<Vec<Attribute>> {
    let mut attributes = Vec::new();
    let mut rest = section;
    while !rest.is_empty() {
        let at = section.len() - rest.len();
        let (attribute, length) = read_record(rest).with_context(|| format!("attribute at {at:#x}"))?;
        attributes.extend(attribute);
        rest = &rest[length..];
    }
    Ok(attributes)
}

/// The attribute at the start of `record`, unless of no concern, and the number of bytes it takes.
fn read_record(record: &[u8]) -> Result<(Option<Attribute>, usize)> {
    let &[format, number, low, high, ..] = record else { bail!("cut short") };
    let half = u16::from_le_bytes([low, high]);
    match format {
        FORMAT_NONE | FORMAT_BYTE | FORMAT_HALF => {
            let attribute = (number == BARRIER_COUNT).then(|| Attribute::BarrierCount(low.into()));
            Ok((attribute, 4))
        }
        FORMAT_SIZED => {
            let end = 4 + usize::from(half);
            let payload = record.get(4..end).context("cut short")?;
            Ok((read_sized(number, &Words(payload))?, end))
        }
        _ => bail!("unknown format {format}"),
    }
}

fn read_sized(number: u8, words: &Words) -> Result<Option<Attribute>> {
    Ok(Some(match number {
        REGISTER_COUNT => Attribute::RegisterCount { symbol: words.get(0)?, count: words.get(1)? },
        FRAME_SIZE => Attribute::FrameSize { symbol: words.get(0)?, bytes: words.get(1)? },
        MIN_STACK_SIZE => Attribute::MinStackSize { symbol: words.get(0)?, bytes: words.get(1)? },
        // Word 0 is the symbol of the bank; word 1 the base below and the size above.
        PARAMETER_BANK => Attribute::ParameterBank { base: words.get(1)? & 0xffff, bytes: words.get(1)? >> 16 },
        // Word 1: ordinal below, offset above. Word 2: alignment, space and bank below, size from bit 18.
        PARAMETER => Attribute::Parameter(Parameter {
            index: words.get(1)? & 0xffff,
            offset_bytes: words.get(1)? >> 16,
            size_bytes: words.get(2)? >> 18,
        }),
        // Three dimensions; the bound is on their product.
        MAX_THREADS => {
            let product = words.get(0)?.checked_mul(words.get(1)?).and_then(|xy| xy.checked_mul(words.get(2).ok()?));
            Attribute::MaxThreads(product.context("bad bound on the threads of a block")?)
        }
        INDIRECT_BRANCHES => Attribute::IndirectBranches(read_indirect_branches(words)?),
        _ => return Ok(None),
    }))
}

/// A branch after the other: its address, a word of no concern, the number of targets, the targets.
fn read_indirect_branches(words: &Words) -> Result<Vec<IndirectBranch>> {
    let mut branches = Vec::new();
    let mut next = 0;
    while next < words.len() {
        let (at, count) = (words.get(next)?, words.get(next + 2)? as usize);
        let first = next + 3;
        if count > words.len() - first {
            bail!("indirect branch at {at:#x} claims {count} targets, more than the record holds");
        }
        let targets = (first..first + count).map(|index| words.get(index)).collect::<Result<_>>()?;
        branches.push(IndirectBranch { at, targets });
        next = first + count;
    }
    Ok(branches)
}

/// A payload as 32-bit words.
struct Words<'data>(&'data [u8]);

impl Words<'_> {
    fn len(&self) -> usize {
        self.0.len() / 4
    }

    fn get(&self, index: usize) -> Result<u32> {
        let bytes = self.0.get(4 * index..4 * index + 4).context("cut short")?;
        Ok(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    }
}
