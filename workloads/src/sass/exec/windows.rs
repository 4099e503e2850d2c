//! Windows of the generic address space: where LD, ST and ATOM find shared and local memory among global addresses.
//!
//! ```text
//!  0x7e_0000_0000  16 MiB  local memory of the thread     base in c[0x0][0x20]
//!  0x7f_0000_0000  16 MiB  shared memory of the block     base in c[0x0][0x18], upper word in SR_SWINHI
//! ```
//!
//! That there are windows of 16 MiB, that the shared one begins at a multiple of 4 GiB (a block of a cluster takes 16 MiB of
//! it each), and which words hold the bases shows in compiled code; the bases themselves are the driver's choice.
//! PTX ISA, "Generic Addressing".

use super::frame::lanes_of;
use crate::stream::Space;

pub const LOCAL: u64 = 0x7e_0000_0000;
pub const SHARED: u64 = 0x7f_0000_0000;
const WINDOW_BYTES: u64 = 1 << 24;

/// The space that a generic address lies in.
#[inline]
pub fn space_of(address: u64) -> Space {
    if address.wrapping_sub(SHARED) < WINDOW_BYTES {
        Space::Shared
    } else if address.wrapping_sub(LOCAL) < WINDOW_BYTES {
        Space::Local
    } else {
        Space::Global
    }
}

/// Lanes of `mask` whose address lies in a space.
pub fn lanes_in(space: Space, mask: u32, addresses: &[u64; 32]) -> u32 {
    lanes_of(mask).filter(|&lane| space_of(addresses[lane]) == space).fold(0, |lanes, lane| lanes | 1 << lane)
}

/// Addresses within their window.
pub fn offsets(addresses: &[u64; 32]) -> [u32; 32] {
    addresses.map(|address| (address % WINDOW_BYTES) as u32)
}
