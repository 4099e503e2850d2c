//! How many blocks (CTAs) of a kernel reside on one SM.

use super::spec::{Limits, SmSpec};

/// What one CTA takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct CtaResources {
    pub threads: u32,
    pub registers_per_thread: u32,
    /// Static and dynamic.
    pub shared_bytes: u32,
}

/// What bounds the number of resident CTAs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OccupancyLimit {
    Warps,
    Ctas,
    Registers,
    SharedMemory,
}

/// Resident CTAs of one SM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Occupancy {
    pub ctas: u32,
    /// The scarcest resource.
    pub limit: OccupancyLimit,
}

impl CtaResources {
    pub fn warps(&self) -> u32 {
        self.threads.div_ceil(32)
    }

    /// 32-bit registers of one warp as the SM hands them out.
    pub fn registers_per_warp(&self, limits: &Limits) -> u32 {
        (self.registers_per_thread * 32).next_multiple_of(limits.register_granularity)
    }

    /// Shared memory as the SM hands it out.
    pub fn allocated_shared_bytes(&self, limits: &Limits) -> u32 {
        (self.shared_bytes + limits.reserved_shared_bytes_per_cta).next_multiple_of(limits.shared_granularity_bytes)
    }
}

impl SmSpec {
    /// Shared memory that all CTAs of one SM together may take.
    pub fn shared_capacity_bytes(&self) -> u32 {
        self.l1_data.shared_carveouts_kib.last().map_or(0, |kib| kib * 1024)
    }

    /// Shared memory that the SM sets aside for a kernel, out of what L1 data cache and shared memory have together: the smallest
    /// of the sizes it offers that holds as many CTAs as reside at once.
    pub fn carveout_bytes(&self, cta: &CtaResources) -> u32 {
        let takes_any = cta.shared_bytes > 0;
        let each = cta.allocated_shared_bytes(&self.limits);
        let wanted = if takes_any { each * self.occupancy(cta).ctas } else { 0 };
        let sizes = || self.l1_data.shared_carveouts_kib.iter().map(|kib| kib * 1024);
        sizes().find(|&size| size >= wanted).or(sizes().next_back()).unwrap_or(0)
    }

    /// CTAs of a kernel that reside at once. `ctas` is 0 if not even one fits; `limit` then says why.
    ///
    /// Registers are a property of the sub-core: each holds a quarter of them for a quarter of the warps.
    pub fn occupancy(&self, cta: &CtaResources) -> Occupancy {
        let limits = &self.limits;
        let per_subcore = limits.registers / 4 / cta.registers_per_warp(limits).max(1);
        let candidates = [
            (u32::from(limits.ctas), OccupancyLimit::Ctas),
            (u32::from(limits.warps) / cta.warps().max(1), OccupancyLimit::Warps),
            (per_subcore * 4 / cta.warps().max(1), OccupancyLimit::Registers),
            (self.shared_capacity_bytes() / cta.allocated_shared_bytes(limits).max(1), OccupancyLimit::SharedMemory),
        ];
        let (ctas, limit) = candidates.into_iter().min_by_key(|&(ctas, _)| ctas).unwrap_or((0, OccupancyLimit::Ctas));
        Occupancy { ctas, limit }
    }
}
