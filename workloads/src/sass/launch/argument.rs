//! What is passed to a kernel: scalars, buffers with their contents, tensors.

use rand_core::{Rng, SeedableRng};
use rand_pcg::Pcg64Dxsm;

use super::element::ElementType;
use crate::sass::tensor_map::TensorMap;

/// One argument, by position.
#[derive(Clone, Debug, PartialEq)]
pub struct Argument {
    /// As the reference knows it; `argN` when the file gives none.
    pub name: String,
    /// Name of its memory among the launches of a program; the argument's own if none is given.
    pub memory: Option<String>,
    /// The host copies its contents to the device before the launch; otherwise it is only set aside, or was written by
    /// something else long ago.
    pub uploaded: bool,
    /// Line of its `[[arg]]`, for messages.
    pub line: u32,
    pub element: ElementType,
    pub value: Value,
}

impl Argument {
    /// An argument made by a program instead of a file; a buffer is copied to the device before the launch.
    pub fn new(name: &str, element: ElementType, value: Value) -> Self {
        Self { name: name.to_owned(), memory: None, uploaded: true, line: 0, element, value }
    }

    /// Name of its memory: launches of a program share buffers of one name.
    pub fn memory_name(&self) -> &str {
        self.memory.as_deref().unwrap_or(&self.name)
    }
}

/// What is passed.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Little-endian bytes of the value itself.
    Scalar(Vec<u8>),
    /// Global memory of that many elements; its address is passed.
    Buffer { count: usize, init: Init },
    /// Global memory of a tensor's elements; what describes the tensor is passed ([`crate::sass::tensor_map`]; its address is
    /// filled in when the memory is set aside).
    TensorMap { map: TensorMap, init: Init },
}

impl Value {
    /// Elements and contents of the memory that the argument brings; `None` for a scalar.
    pub fn memory(&self) -> Option<(usize, &Init)> {
        match self {
            Self::Scalar(_) => None,
            Self::Buffer { count, init } => Some((*count, init)),
            Self::TensorMap { map, init } => Some((map.elements(), init)),
        }
    }
}

/// Contents of a buffer before the run.
#[derive(Clone, Debug, PartialEq)]
pub enum Init {
    Random {
        seed: u64,
        low: f64,
        high: f64,
    },
    /// Element i is i.
    Iota,
    /// A chain: element i is the address of element i + `stride`, modulo their number.
    Pointers {
        stride: usize,
    },
    /// All elements alike, given as little-endian bytes of one.
    Fill(Vec<u8>),
    /// All bytes, little-endian.
    Bytes(Vec<u8>),
}

impl Init {
    /// The bytes of a buffer of `count` elements.
    pub fn bytes(&self, element: ElementType, count: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(count * element.size_bytes());
        match self {
            Self::Bytes(all) => bytes.extend_from_slice(all),
            Self::Fill(one) => (0..count).for_each(|_| bytes.extend_from_slice(one)),
            Self::Iota => (0..count).for_each(|index| bytes.extend(element.encode_integer(index as i128))),
            // Offsets; the address is known when the memory is set aside.
            Self::Pointers { stride } => {
                (0..count).for_each(|index| bytes.extend((((index + stride) % count * 8) as u64).to_le_bytes()))
            }
            Self::Random { seed, low, high } => {
                let mut generator = Pcg64Dxsm::seed_from_u64(*seed);
                // Of 53 random bits in [0, 1), or fewer.
                let mut value = |bits: u32| {
                    let unit = (generator.next_u64() >> (64 - bits)) as f64 / (1u64 << bits) as f64;
                    low + (high - low) * unit
                };
                // Rounding must not reach the upper bound, which is excluded.
                if element == ElementType::F32 {
                    bytes.resize(4 * count, 0);
                    for bytes in bytes.as_chunks_mut().0 {
                        let value = value(24) as f32;
                        let below = if f64::from(value) < *high { value } else { value.next_down() };
                        *bytes = below.to_le_bytes();
                    }
                    return bytes;
                }
                for _ in 0..count {
                    let value = value(53);
                    match element {
                        ElementType::F16 | ElementType::Bf16 => {
                            let bytes_of = |value: f64| element.encode_float(value);
                            let nearest = bytes_of(value);
                            let below = value - (*high - value).max(high.abs() / 1024.0);
                            let reaches = element.decode(&nearest) >= *high;
                            bytes.extend(if reaches { bytes_of(below.max(*low)) } else { nearest });
                        }
                        ElementType::F64 => {
                            bytes.extend(if value < *high { value } else { value.next_down() }.to_le_bytes())
                        }
                        _ => {
                            let last = element.integer_range().end - 1;
                            bytes.extend(element.encode_integer((value.floor() as i128).min(last)));
                        }
                    }
                }
            }
        }
        bytes
    }
}
