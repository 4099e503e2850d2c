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

/// `sm_90` of `sm_90a`: the architecture whose chips execute the code. The suffix says that the code uses instructions
/// that no later architecture keeps (PTX ISA, "architecture-specific features"), which exist from sm_90 on.
pub fn hardware_of(arch: &str) -> &str {
    match arch.strip_suffix('a') {
        Some(hardware) if number_of(hardware).is_some_and(|number| number >= 90) => hardware,
        _ => arch,
    }
}

/// 90 of `sm_90`.
pub fn number_of(arch: &str) -> Option<u32> {
    arch.strip_prefix("sm_")?.parse().ok()
}

/// Limits by name, `sm_90` or `sm_90a`.
pub fn limits_of(arch: &str) -> Option<&'static Limits> {
    let hardware = hardware_of(arch);
    ARCHITECTURES.iter().find(|limits| limits.arch == hardware)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_with_a_suffix_runs_on_the_chip_without() {
        for (arch, hardware) in [("sm_90a", "sm_90"), ("sm_120a", "sm_120"), ("sm_90", "sm_90"), ("sm_80a", "sm_80a")] {
            assert_eq!(hardware_of(arch), hardware);
        }
        assert_eq!(limits_of("sm_90a"), limits_of("sm_90"));
        assert_eq!(limits_of("sm_80a"), None);
    }
}
