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
        let shared = left(limits.shared_bytes, sum(|demand, ctas| demand.shared_bytes * ctas)) / own.shared_bytes.max(1);
        // Without shared memory of its own it does not mind how little was set aside.
        let set_aside = self.carved_for.filter(|_| own.takes_shared).map_or(u32::MAX, |carved_for| {
            let taken = sum(|demand, ctas| if demand.takes_shared { demand.shared_bytes * ctas } else { 0 });
            left(demands[carved_for as usize].carveout_bytes, taken) / own.shared_bytes.max(1)
        });
        let most = [
            left(limits.ctas, sum(|_, ctas| ctas)),
            warps,
            per_subcore * 4 / own.warps.max(1),
            shared,
            set_aside,
        ];
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
