//! What the CTAs of several kernels take of one SM, and how many more find room.
//!
//! Registers are a property of the sub-core: each holds a quarter of them for a quarter of the warps of each kernel. For one kernel
//! alone the room is that of [`SmSpec::occupancy`].
//!
//! L1 data cache and shared memory are divided for the kernel that comes to an empty SM; another joins it as far as its shared
//! memory fits into what was set aside, and otherwise waits for an SM that is empty ("launches behind shared memory
//! reconfigurations" are serialised: CUDA C++ Programming Guide, on-chip memory of devices of compute capability 7.x).

use crate::sm::spec::{Limits, SmSpec};
use crate::sm::{CtaResources, Occupancy};

/// What one CTA of a launch takes of an SM, in the portions that the SM hands out.
#[derive(Clone, Copy, Debug)]
pub struct Demand {
    pub warps: u32,
    pub registers_per_warp: u32,
    pub shared_bytes: u32,
    /// The kernel has shared memory of its own, beyond what the system takes of each CTA's.
    pub takes_shared: bool,
    /// What is set aside for the kernel on an SM that it finds empty.
    pub carveout_bytes: u32,
    /// CTAs of the launch that an SM holds, if there are no others.
    pub alone: Occupancy,
}

/// What all CTAs of an SM together may take.
#[derive(Clone, Copy, Debug)]
pub struct Room {
    ctas: u32,
    warps: u32,
    registers_per_subcore: u32,
    shared_bytes: u32,
}

/// The CTAs of one SM.
#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
pub struct Residents {
    /// Launches with CTAs here, and how many.
    launches: Vec<(u32, u32)>,
    /// The launch for which L1 data cache and shared memory were divided.
    carved_for: Option<u32>,
}

impl Demand {
    pub fn new(resources: &CtaResources, spec: &SmSpec) -> Self {
        Self {
            warps: resources.warps(),
            registers_per_warp: resources.registers_per_warp(&spec.limits),
            shared_bytes: resources.allocated_shared_bytes(&spec.limits),
            takes_shared: resources.shared_bytes > 0,
            carveout_bytes: spec.carveout_bytes(resources),
            alone: spec.occupancy(resources),
        }
    }
}

impl Room {
    pub fn of(spec: &SmSpec) -> Self {
        let Limits { ctas, warps, registers, .. } = &spec.limits;
        Self {
            ctas: (*ctas).into(),
            warps: (*warps).into(),
            registers_per_subcore: registers / 4,
            shared_bytes: spec.shared_capacity_bytes(),
        }
    }
}

impl Residents {
    /// CTAs of `launch` that still find room. `demands` is what a CTA of each launch takes.
    pub fn room(&self, launch: u32, demands: &[Demand], limits: &Room) -> u32 {
        let own = demands[launch as usize];
        let others = || {
            let others = self.launches.iter().filter(move |(other, _)| *other != launch);
            others.map(|&(other, ctas)| (demands[other as usize], ctas))
        };
        let here = self.launches.iter().find(|(other, _)| *other == launch).map_or(0, |&(_, ctas)| ctas);
        if others().next().is_none() && (here == 0 || self.carved_for == Some(launch)) {
            return own.alone.ctas.saturating_sub(here);
        }
        let sum = |of: fn(Demand, u32) -> u32| others().map(|(demand, ctas)| of(demand, ctas)).sum::<u32>();
        let left = |all: u32, taken: u32| all.saturating_sub(taken);
        let warps = left(limits.warps, sum(|demand, ctas| demand.warps * ctas)) / own.warps.max(1);
        let registers = sum(|demand, ctas| (demand.warps * ctas).div_ceil(4) * demand.registers_per_warp);
        let per_subcore = left(limits.registers_per_subcore, registers) / own.registers_per_warp.max(1);
        let shared =
            left(limits.shared_bytes, sum(|demand, ctas| demand.shared_bytes * ctas)) / own.shared_bytes.max(1);
        // Without shared memory of its own it does not mind how little was set aside.
        let set_aside = self.carved_for.filter(|_| own.takes_shared).map_or(u32::MAX, |carved_for| {
            let taken = sum(|demand, ctas| if demand.takes_shared { demand.shared_bytes * ctas } else { 0 });
            left(demands[carved_for as usize].carveout_bytes, taken) / own.shared_bytes.max(1)
        });
        let most =
            [left(limits.ctas, sum(|_, ctas| ctas)), warps, per_subcore * 4 / own.warps.max(1), shared, set_aside];
        left(most.into_iter().min().unwrap_or(0), here)
    }

    /// A CTA comes; whether L1 data cache and shared memory are divided anew for it.
    pub fn enter(&mut self, launch: u32) -> bool {
        let carves = self.launches.is_empty() && self.carved_for != Some(launch);
        if carves {
            self.carved_for = Some(launch);
        }
        match self.launches.iter_mut().find(|(other, _)| *other == launch) {
            Some((_, ctas)) => *ctas += 1,
            None => self.launches.push((launch, 1)),
        }
        carves
    }

    /// The place of a CTA is free again.
    pub fn leave(&mut self, launch: u32) {
        if let Some(at) = self.launches.iter().position(|(other, _)| *other == launch) {
            self.launches[at].1 -= 1;
            if self.launches[at].1 == 0 {
                self.launches.swap_remove(at);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sm::OccupancyLimit;
    use proptest::prelude::*;

    /// Of GH100.
    const LIMITS: Room = Room { ctas: 32, warps: 64, registers_per_subcore: 16384, shared_bytes: 228 * 1024 };

    /// A kernel of so many warps, registers and kibibytes of shared memory beside the system's, and how many fit alone.
    fn demand(warps: u32, registers_per_warp: u32, shared_kib: u32) -> Demand {
        let shared_bytes = (shared_kib + 1) * 1024;
        let by_registers = LIMITS.registers_per_subcore / registers_per_warp * 4 / warps;
        let ctas = 32.min(64 / warps).min(by_registers).min(LIMITS.shared_bytes / shared_bytes);
        let takes_shared = shared_kib > 0;
        let wanted = if takes_shared { ctas * shared_bytes / 1024 } else { 0 };
        let sizes = [0, 8, 16, 32, 64, 100, 132, 164, 196, 228];
        let carveout_bytes = 1024 * sizes.into_iter().find(|&size| size >= wanted).unwrap();
        let alone = Occupancy { ctas, limit: OccupancyLimit::Warps };
        Demand { warps, registers_per_warp, shared_bytes, takes_shared, carveout_bytes, alone }
    }

    #[test]
    fn a_kernel_alone_has_its_occupancy() {
        let demands = [demand(8, 32 * 40, 0)];
        let mut residents = Residents::default();
        for left in (0..demands[0].alone.ctas).rev() {
            assert_eq!(residents.room(0, &demands, &LIMITS), left + 1);
            assert_eq!(residents.enter(0), left + 1 == demands[0].alone.ctas, "divided for the first only");
        }
        assert_eq!(residents.room(0, &demands, &LIMITS), 0);
    }

    #[test]
    fn the_scarcest_of_what_is_left_decides() {
        // 6 CTAs of 8 warps leave 16 warps: 4 of 4 warps.
        let demands = [demand(8, 32 * 32, 0), demand(4, 32 * 16, 0), demand(4, 32 * 16, 40), demand(1, 32 * 250, 0)];
        let mut residents = Residents::default();
        for _ in 0..6 {
            residents.enter(0);
        }
        assert_eq!(residents.room(1, &demands, &LIMITS), 4);
        // 48 warps of 1024 registers are 12 a sub-core: 4096 are left of each, too few for 8000 of one warp.
        assert_eq!(residents.room(3, &demands, &LIMITS), 0);
        // Nothing was set aside for shared memory.
        assert_eq!(residents.room(2, &demands, &LIMITS), 0);
        (0..6).for_each(|_| residents.leave(0));
        assert_eq!(residents.room(2, &demands, &LIMITS), demands[2].alone.ctas);
    }

    proptest! {
        /// Whatever comes and goes: what resides is within the limits, counted here anew.
        #[test]
        fn limits_hold(
            kernels in prop::collection::vec((1u32..33, 16u32..65, 0u32..60), 4),
            steps in prop::collection::vec((0u32..4, any::<bool>()), 1..200),
        ) {
            let demands: Vec<Demand> =
                kernels.iter().map(|&(warps, registers, shared)| demand(warps, 32 * registers, shared)).collect();
            prop_assume!(demands.iter().all(|demand| demand.alone.ctas > 0));
            let (mut residents, mut here, mut set_aside) = (Residents::default(), [0u32; 4], 0);
            for (launch, comes) in steps {
                let at = launch as usize;
                if comes && residents.room(launch, &demands, &LIMITS) > 0 {
                    let empty = here == [0; 4];
                    if residents.enter(launch) {
                        prop_assert!(empty);
                        set_aside = demands[at].carveout_bytes;
                    }
                    here[at] += 1;
                } else if !comes && here[at] > 0 {
                    residents.leave(launch);
                    here[at] -= 1;
                }
                let sum = |of: &dyn Fn(&Demand, u32) -> u32| -> u32 {
                    demands.iter().zip(here).map(|(demand, ctas)| of(demand, ctas)).sum()
                };
                prop_assert!(sum(&|_, ctas| ctas) <= LIMITS.ctas);
                prop_assert!(sum(&|demand, ctas| ctas * demand.warps) <= LIMITS.warps);
                let of_fullest = sum(&|demand, ctas| (ctas * demand.warps).div_ceil(4) * demand.registers_per_warp);
                prop_assert!(of_fullest <= LIMITS.registers_per_subcore);
                prop_assert!(sum(&|demand, ctas| ctas * demand.shared_bytes) <= LIMITS.shared_bytes);
                let shared = sum(&|demand, ctas| if demand.takes_shared { ctas * demand.shared_bytes } else { 0 });
                prop_assert!(shared <= set_aside);
            }
        }
    }
}
