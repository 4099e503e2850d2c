//! How many CTAs fit on an SM: registers, shared memory, warp slots and CTA slots.
//!
//! Allocation units are those of NVIDIA's occupancy calculator for compute capability 8.0 to 9.0 (CUDA C++ Programming
//! Guide, "Technical Specifications per Compute Capability"): registers by warp in units of 256, shared memory in units
//! of 128 bytes, and 1 KiB of shared memory a CTA that the system keeps for itself.

/// Registers are given to a warp in multiples of this many.
const REGISTER_UNIT: u32 = 256;
/// Shared memory is given to a CTA in multiples of this many bytes.
const SHARED_UNIT_BYTES: u32 = 128;
/// Threads of a warp.
const WARP_LANES: u32 = 32;

/// What is free on one SM, or what one CTA needs of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resources {
    /// 32-bit registers.
    pub registers: u32,
    pub shared_bytes: u32,
    pub warps: u32,
    pub ctas: u32,
}

/// The first resource of which an SM has too little for one CTA.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shortage {
    pub what: &'static str,
    pub needed: u32,
    pub available: u32,
}

impl Resources {
    /// What one CTA needs.
    ///
    /// `shared_bytes` is static and dynamic shared memory together, `system_shared_bytes` what the system keeps of it
    /// for each CTA.
    pub fn of_cta(threads: u32, registers_per_thread: u32, shared_bytes: u32, system_shared_bytes: u32) -> Self {
        let warps = threads.div_ceil(WARP_LANES);
        let warp_registers = (registers_per_thread * WARP_LANES).next_multiple_of(REGISTER_UNIT);
        Self {
            registers: warps * warp_registers,
            shared_bytes: (shared_bytes + system_shared_bytes).next_multiple_of(SHARED_UNIT_BYTES),
            warps,
            ctas: 1,
        }
    }

    fn pairs(&self, other: &Self) -> [(&'static str, u32, u32); 4] {
        [
            ("registers", self.registers, other.registers),
            ("bytes of shared memory", self.shared_bytes, other.shared_bytes),
            ("warp slots", self.warps, other.warps),
            ("CTA slots", self.ctas, other.ctas),
        ]
    }

    /// Whether `need` is available here.
    ///
    /// # Errors
    /// The first resource that is short.
    pub fn fits(&self, need: &Self) -> Result<(), Shortage> {
        match self.pairs(need).into_iter().find(|(_, available, needed)| available < needed) {
            None => Ok(()),
            Some((what, available, needed)) => Err(Shortage { what, needed, available }),
        }
    }

    /// How many CTAs of this need fit at once.
    pub fn count_of(&self, need: &Self) -> u32 {
        let shares = self.pairs(need).map(|(_, available, needed)| available.checked_div(needed).unwrap_or(u32::MAX));
        shares.into_iter().min().unwrap_or(0)
    }

    /// Takes what a CTA needs; the caller has looked at [`Resources::fits`].
    pub fn take(&mut self, need: &Self) {
        self.registers -= need.registers;
        self.shared_bytes -= need.shared_bytes;
        self.warps -= need.warps;
        self.ctas -= need.ctas;
    }

    /// Gives back what a CTA had.
    pub fn give_back(&mut self, need: &Self) {
        self.registers += need.registers;
        self.shared_bytes += need.shared_bytes;
        self.warps += need.warps;
        self.ctas += need.ctas;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GH100: Resources = Resources { registers: 65_536, shared_bytes: 228 * 1024, warps: 64, ctas: 32 };

    /// Worked by hand with the rules of the occupancy calculator.
    #[test]
    fn occupancy_by_each_limit() {
        for (threads, registers, shared, expected) in [
            (256, 32, 0, 8),           // 64 warps ÷ 8
            (256, 64, 8448, 4),        // 65536 ÷ (8 warps × 2048)
            (256, 65, 0, 3),           // 65 → 2304 a warp (72 a thread), 18432 a CTA
            (32, 16, 0, 32),           // CTA slots
            (128, 24, 100 * 1024, 2),  // 101 KiB each of 228
            (1024, 32, 227 * 1024, 1), // the largest CTA
        ] {
            let need = Resources::of_cta(threads, registers, shared, 1024);
            assert_eq!(GH100.count_of(&need), expected, "{threads} threads, {registers} registers, {shared} bytes");
        }
    }

    #[test]
    fn shortage_names_what_is_missing() {
        let need = Resources::of_cta(1024, 128, 0, 1024);
        let shortage = GH100.fits(&need).unwrap_err();
        assert_eq!(shortage, Shortage { what: "registers", needed: 131_072, available: 65_536 });
    }

    #[test]
    fn taking_and_giving_back_is_neutral() {
        let need = Resources::of_cta(96, 40, 1000, 1024);
        let mut free = GH100;
        free.take(&need);
        assert_ne!(free, GH100);
        free.give_back(&need);
        assert_eq!(free, GH100);
    }
}
