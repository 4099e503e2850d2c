//! Types of scalars and of the elements of buffers, with their bytes.

use std::ops::Range;

use serde::Deserialize;

use crate::sass::exec::narrow::{BFLOAT16, BINARY16, Rounding};

/// Element type of a buffer, or type of a scalar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ElementType {
    F16,
    Bf16,
    F32,
    F64,
    I8,
    U8,
    I32,
    U32,
    I64,
    U64,
}

impl ElementType {
    pub fn size_bytes(self) -> usize {
        match self {
            Self::I8 | Self::U8 => 1,
            Self::F16 | Self::Bf16 => 2,
            Self::F32 | Self::I32 | Self::U32 => 4,
            Self::F64 | Self::I64 | Self::U64 => 8,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
            Self::F32 => "f32",
            Self::F64 => "f64",
            Self::I8 => "i8",
            Self::U8 => "u8",
            Self::I32 => "i32",
            Self::U32 => "u32",
            Self::I64 => "i64",
            Self::U64 => "u64",
        }
    }

    pub(super) fn is_float(self) -> bool {
        matches!(self, Self::F16 | Self::Bf16 | Self::F32 | Self::F64)
    }

    /// The integers that fit.
    pub(super) fn integer_range(self) -> Range<i128> {
        match self {
            Self::I8 => i128::from(i8::MIN)..i128::from(i8::MAX) + 1,
            Self::U8 => 0..i128::from(u8::MAX) + 1,
            Self::I32 => i128::from(i32::MIN)..i128::from(i32::MAX) + 1,
            Self::U32 => 0..i128::from(u32::MAX) + 1,
            Self::I64 => i128::from(i64::MIN)..i128::from(i64::MAX) + 1,
            Self::F16 | Self::Bf16 | Self::F32 | Self::F64 | Self::U64 => 0..i128::from(u64::MAX) + 1,
        }
    }

    pub(super) fn encode_integer(self, value: i128) -> Vec<u8> {
        match self {
            Self::F16 | Self::Bf16 | Self::F32 | Self::F64 => self.encode_float(value as f64),
            Self::I8 | Self::U8 => vec![value as u8],
            Self::I32 | Self::U32 => (value as u32).to_le_bytes().to_vec(),
            Self::I64 | Self::U64 => (value as u64).to_le_bytes().to_vec(),
        }
    }

    /// Rounded to nearest.
    pub(super) fn encode_float(self, value: f64) -> Vec<u8> {
        match self {
            Self::F16 => BINARY16.narrow(value, Rounding::Nearest).to_le_bytes().to_vec(),
            Self::Bf16 => BFLOAT16.narrow(value, Rounding::Nearest).to_le_bytes().to_vec(),
            Self::F32 => (value as f32).to_le_bytes().to_vec(),
            _ => value.to_le_bytes().to_vec(),
        }
    }

    /// An element's value from its little-endian bytes.
    pub fn decode(self, bytes: &[u8]) -> f64 {
        let bits = bytes.iter().rev().fold(0u64, |value, &byte| value << 8 | u64::from(byte));
        match self {
            Self::F16 => BINARY16.widen(bits as u16),
            Self::Bf16 => BFLOAT16.widen(bits as u16),
            Self::F32 => f64::from(f32::from_bits(bits as u32)),
            Self::F64 => f64::from_bits(bits),
            Self::I8 => f64::from(bits as i8),
            Self::I32 => f64::from(bits as u32 as i32),
            Self::U8 | Self::U32 => f64::from(bits as u32),
            Self::I64 => bits as i64 as f64,
            Self::U64 => bits as f64,
        }
    }

    /// The values of elements that lie one behind the other.
    pub fn decode_all(self, bytes: &[u8]) -> Vec<f64> {
        match self {
            Self::F32 => bytes.as_chunks().0.iter().map(|&element| f32::from_le_bytes(element).into()).collect(),
            _ => bytes.chunks_exact(self.size_bytes()).map(|element| self.decode(element)).collect(),
        }
    }
}
