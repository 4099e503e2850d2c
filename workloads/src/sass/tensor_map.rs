//! Tensor maps: what a tensor copy (UTMALDG, UTMASTG) must know of the tensor in global memory.
//!
//! CUDA makes one with `cuTensorMapEncodeTiled` and passes its 128 opaque bytes to the kernel. What the driver puts into them
//! is not public, so a launch passes an encoding of our own, which the executor reads back:
//!
//! ```text
//!  byte 0..8    "orrery01"               16..36   size of each dimension, u32, innermost first
//!       8       dimensions, 1 to 5       40..72   bytes from one index of dimension 1 to 4 to the next, u64
//!       9       bytes of an element      72..92   box: elements a copy moves along each dimension, u32
//!      10       swizzle, 0 to 3          96..104  address of element 0, u64
//! ```
//!
//! Limits as of `cuTensorMapEncodeTiled` (CUDA driver API, "Tensor Map Object Management"): boxes of up to 256 elements a
//! dimension, rows and address multiples of 16 bytes, an inner box no wider than the swizzle. Left out: element strides,
//! interleaved and im2col layouts, fills other than zero.

/// Dimensions that a tensor may have.
pub const MOST_DIMENSIONS: usize = 5;
/// Size of a map as a kernel's parameter.
pub const BYTES: usize = 128;
const MAGIC: &[u8; 8] = b"orrery01";

/// How 16-byte pieces change places in shared memory, so that a column of a tile lies in different banks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Swizzle {
    #[default]
    None,
    Bytes32,
    Bytes64,
    Bytes128,
}

impl Swizzle {
    /// Where the byte that would lie at `address` lies. Address bits 4 to 6 are combined with bits 7 to 9, as many as the
    /// mode names (PTX ISA, "Swizzling modes").
    pub fn place(self, address: u32) -> u32 {
        let rows = match self {
            Self::None => 0,
            Self::Bytes32 => 1,
            Self::Bytes64 => 3,
            Self::Bytes128 => 7,
        };
        address ^ (address >> 7 & rows) << 4
    }

    /// Bytes of a row within which pieces change places.
    pub fn bytes(self) -> u32 {
        match self {
            Self::None => 16,
            Self::Bytes32 => 32,
            Self::Bytes64 => 64,
            Self::Bytes128 => 128,
        }
    }
}

/// A tensor, its boxes, and how they lie in shared memory. Arrays are innermost first; only the first `dimensions` count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TensorMap {
    pub address: u64,
    pub dimensions: usize,
    pub element_bytes: u32,
    pub sizes: [u32; MOST_DIMENSIONS],
    /// Of dimension i + 1.
    pub strides_bytes: [u64; MOST_DIMENSIONS - 1],
    pub box_sizes: [u32; MOST_DIMENSIONS],
    pub swizzle: Swizzle,
}

impl TensorMap {
    /// A tensor without gaps. `sizes` and `box_sizes` are innermost first.
    ///
    /// # Errors
    /// A sentence about what no tensor map can describe.
    pub fn packed(element_bytes: u32, sizes: &[u32], box_sizes: &[u32], swizzle: Swizzle) -> Result<Self, String> {
        if sizes.is_empty() || sizes.len() > MOST_DIMENSIONS || sizes.len() != box_sizes.len() {
            return Err(format!("dims and box should have as many sizes, 1 to {MOST_DIMENSIONS}"));
        }
        if sizes.contains(&0) || box_sizes.iter().any(|&size| size == 0 || size > 256) {
            return Err("sizes should be at least 1, those of a box at most 256".to_owned());
        }
        let mut map = Self { dimensions: sizes.len(), element_bytes, swizzle, ..Self::default() };
        map.sizes[..sizes.len()].copy_from_slice(sizes);
        map.box_sizes[..sizes.len()].copy_from_slice(box_sizes);
        let mut stride = u64::from(element_bytes);
        for (size, place) in sizes[..sizes.len() - 1].iter().zip(&mut map.strides_bytes) {
            stride = stride.saturating_mul(u64::from(*size));
            *place = stride;
            if !stride.is_multiple_of(16) {
                return Err(format!("a row of {stride} bytes should be a multiple of 16 bytes"));
            }
        }
        let row = box_sizes[0] * element_bytes;
        if !row.is_multiple_of(16) || swizzle != Swizzle::None && row > swizzle.bytes() {
            let most = if swizzle == Swizzle::None { String::new() } else { format!(", at most {}", swizzle.bytes()) };
            return Err(format!("the inner side of the box has {row} bytes: a multiple of 16 is needed{most}"));
        }
        Ok(map)
    }

    /// Elements of the tensor.
    pub fn elements(&self) -> usize {
        self.sizes[..self.dimensions].iter().map(|&size| size as usize).product()
    }

    /// Bytes that a copy of one box moves, those outside the tensor included.
    pub fn box_bytes(&self) -> u32 {
        self.box_sizes[..self.dimensions].iter().product::<u32>() * self.element_bytes
    }

    pub fn encode(&self) -> [u8; BYTES] {
        let mut bytes = [0; BYTES];
        bytes[..8].copy_from_slice(MAGIC);
        bytes[8..11].copy_from_slice(&[self.dimensions as u8, self.element_bytes as u8, self.swizzle as u8]);
        for (at, size) in self.sizes.iter().enumerate() {
            bytes[16 + 4 * at..20 + 4 * at].copy_from_slice(&size.to_le_bytes());
        }
        for (at, stride) in self.strides_bytes.iter().enumerate() {
            bytes[40 + 8 * at..48 + 8 * at].copy_from_slice(&stride.to_le_bytes());
        }
        for (at, size) in self.box_sizes.iter().enumerate() {
            bytes[72 + 4 * at..76 + 4 * at].copy_from_slice(&size.to_le_bytes());
        }
        bytes[96..104].copy_from_slice(&self.address.to_le_bytes());
        bytes
    }

    /// The map in 128 bytes; `None` if they hold none.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; BYTES] = bytes.try_into().ok()?;
        let word = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let wide = |at: usize| u64::from(word(at + 4)) << 32 | u64::from(word(at));
        let dimensions = usize::from(bytes[8]);
        let swizzle = match bytes[10] {
            0 => Swizzle::None,
            1 => Swizzle::Bytes32,
            2 => Swizzle::Bytes64,
            3 => Swizzle::Bytes128,
            _ => return None,
        };
        let known = bytes[..8] == *MAGIC && (1..=MOST_DIMENSIONS).contains(&dimensions);
        known.then(|| Self {
            address: wide(96),
            dimensions,
            element_bytes: bytes[9].into(),
            sizes: std::array::from_fn(|at| word(16 + 4 * at)),
            strides_bytes: std::array::from_fn(|at| wide(40 + 8 * at)),
            box_sizes: std::array::from_fn(|at| word(72 + 4 * at)),
            swizzle,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_is_read_back() {
        let mut map = TensorMap::packed(2, &[512, 256, 3], &[64, 128, 1], Swizzle::Bytes128).unwrap();
        map.address = 0x7_1234_5600;
        assert_eq!(map.strides_bytes, [1024, 1024 * 256, 0, 0]);
        assert_eq!(map.box_bytes(), 64 * 128 * 2);
        assert_eq!(TensorMap::decode(&map.encode()), Some(map));
        assert_eq!(TensorMap::decode(&[0; BYTES]), None);
    }

    #[test]
    fn what_no_map_can_describe_is_refused() {
        let refused = |sizes: &[u32], boxes: &[u32], swizzle| TensorMap::packed(2, sizes, boxes, swizzle).unwrap_err();
        assert!(refused(&[64, 64], &[64], Swizzle::None).contains("as many sizes"));
        assert!(refused(&[64, 64], &[64, 300], Swizzle::None).contains("at most 256"));
        assert!(refused(&[63, 64], &[8, 8], Swizzle::None).contains("126 bytes"));
        assert!(refused(&[256, 64], &[128, 8], Swizzle::Bytes128).contains("at most 128"));
    }

    /// PTX ISA, "Swizzling modes": the first rows of the 128-byte pattern.
    #[test]
    fn pieces_change_places_by_row() {
        let piece = |row: u32, column: u32| Swizzle::Bytes128.place(128 * row + 16 * column) % 128 / 16;
        assert_eq!([piece(0, 3), piece(1, 0), piece(1, 3), piece(2, 1), piece(7, 0), piece(8, 5)], [3, 1, 2, 3, 7, 5]);
        assert_eq!(Swizzle::Bytes64.place(128 + 16) % 64 / 16, 0);
        assert_eq!(Swizzle::Bytes32.place(128) % 32 / 16, 1);
    }
}
