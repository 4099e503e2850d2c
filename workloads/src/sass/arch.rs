//! What an architecture allows a block to ask for.
//!
//! Source: CUDA C++ Programming Guide, "Compute Capabilities", table of technical specifications (block and grid limits,
//! registers, shared memory a block with opt-in).

/// Limits of one architecture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    pub arch: &'static str,
    pub threads_per_block: u32,
    pub block: [u32; 3],
    pub grid: [u32; 3],
    /// 32-bit registers of an SM, which one block must fit into.
    pub registers: u32,
    pub registers_per_thread: u32,
    /// Registers are handed out to a warp in units of this.
    pub register_unit: u32,
    /// Largest shared memory of a block, static and dynamic together.
    pub shared_bytes_per_block: u32,
}

const fn limits(arch: &'static str, shared_kib: u32) -> Limits {
    Limits {
        arch,
        threads_per_block: 1024,
        block: [1024, 1024, 64],
        grid: [i32::MAX as u32, 65535, 65535],
        registers: 65536,
        registers_per_thread: 255,
        register_unit: 256,
        shared_bytes_per_block: shared_kib * 1024,
    }
}

/// Every architecture that listings are read for.
pub const ARCHITECTURES: [Limits; 8] = [
    limits("sm_75", 64),
    limits("sm_80", 163),
    limits("sm_86", 99),
    limits("sm_87", 163),
    limits("sm_89", 99),
    limits("sm_90", 227),
    limits("sm_100", 227),
    limits("sm_120", 99),
];

/// Limits by name, `sm_90`.
pub fn limits_of(arch: &str) -> Option<&'static Limits> {
    ARCHITECTURES.iter().find(|limits| limits.arch == arch)
}
