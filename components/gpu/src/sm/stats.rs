//! What an SM counted.

use super::reason::{REASONS, Reason};
use super::spec::PIPES;
use super::timing::VARIABLE_UNITS;
use super::{SUBCORES, Sm};
use sim_core::Cycle;
use sim_core::StatsNode;
use sim_core::stats::Breakdown;

/// What can be taken, in the order of [`SmCounters::busy_cycles`]: the input latches of the pipes, the variable-latency units,
/// and the address units in front of shared memory and L1.
pub const UNITS: [&str; PIPES + VARIABLE_UNITS + 1] = [
    "alu",
    "fma",
    "integer_multiply",
    "half",
    "half_mma",
    "uniform",
    "branch",
    "fp64",
    "tensor",
    "xu",
    "special_register",
    "warp_reduce",
    "fp64_counted",
    "tensor_counted",
    "warpgroup_tensor",
    "address",
];

/// Counters of one SM over its run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SmCounters {
    pub cycles: u64,
    /// Warp instructions.
    pub instructions_issued: u64,
    pub ctas_done: u64,
    /// Memory instructions that the shared structures accepted.
    pub memory_instructions: u64,
    /// Passes over the shared-memory banks.
    pub shared_passes: u64,
    pub l1_sector_hits: u64,
    pub l1_sector_misses: u64,
    pub l1i_hits: u64,
    pub l1i_misses: u64,
    pub memory_requests: u64,
    pub bytes_read: u64,
    pub bytes_written: u64,
    /// Sub-core-cycles for which each of [`UNITS`] was taken.
    pub busy_cycles: [u64; UNITS.len()],
    /// Sub-core-cycles by [`Reason`]; they sum to 4 × `cycles`.
    pub subcore_cycles: [u64; REASONS],
}

impl SmCounters {
    /// The tree of sub-core-cycles: `issued`, and `stall`, `wait`, `barrier`, `idle` with their reasons.
    pub fn breakdown(&self) -> Breakdown {
        const UNIT: &str = "sub-core-cycles";
        let mut groups: Vec<(&str, Vec<Breakdown>)> = Vec::new();
        for reason in Reason::ALL {
            let cycles = self.subcore_cycles[reason as usize];
            let (group, leaf) = reason.name().split_once('.').unwrap_or((reason.name(), ""));
            let leaves = match groups.iter_mut().find(|(name, _)| *name == group) {
                Some((_, leaves)) => leaves,
                None => &mut groups.push_mut((group, Vec::new())).1,
            };
            leaves.push(Breakdown::leaf(if leaf.is_empty() { group } else { leaf }, cycles, UNIT));
        }
        let parts = groups.into_iter().map(|(name, leaves)| match leaves.as_slice() {
            [one] if one.name == name => one.clone(),
            _ => Breakdown::of(name, UNIT, leaves),
        });
        Breakdown::of("subcore_cycles", UNIT, parts.collect())
    }
}

impl Sm {
    /// Counters up to, not including, cycle `end`.
    pub fn counters(&self, end: u64) -> SmCounters {
        let mut subcore_cycles = [0; REASONS];
        for core in &self.subcores {
            for (sum, cycles) in subcore_cycles.iter_mut().zip(core.breakdown.totals(Cycle(end))) {
                *sum += cycles;
            }
        }
        let memory = &self.shared.memory;
        let mut busy_cycles = [0; UNITS.len()];
        for core in &self.subcores {
            for (sum, cycles) in busy_cycles.iter_mut().zip(core.busy_cycles()) {
                *sum += cycles;
            }
        }
        busy_cycles[UNITS.len() - 1] = memory.accepted * self.shared.spec.address_unit_cycles;
        SmCounters {
            busy_cycles,
            cycles: end - self.start,
            instructions_issued: self.subcores.iter().map(|core| core.issued).sum(),
            ctas_done: self.ctas_done,
            memory_instructions: memory.accepted,
            shared_passes: memory.shared_passes,
            l1_sector_hits: memory.l1.sector_hits,
            l1_sector_misses: memory.l1.sector_misses,
            l1i_hits: self.shared.l1i.hits,
            l1i_misses: self.shared.l1i.misses,
            memory_requests: memory.l1.requests_sent,
            bytes_read: memory.l1.bytes_read,
            bytes_written: memory.l1.bytes_written,
            subcore_cycles,
        }
    }

    /// Counters and the cycle breakdown up to, not including, cycle `end`.
    pub fn report(&self, end: u64, out: &mut StatsNode) {
        let counters = self.counters(end);
        out.counter("cycles", counters.cycles, "SM-cycles");
        for (name, value, unit) in [
            ("instructions_issued", counters.instructions_issued, "warp instructions"),
            ("ctas_done", counters.ctas_done, "CTAs"),
            ("memory_instructions", counters.memory_instructions, "warp instructions"),
            ("shared_passes", counters.shared_passes, "passes"),
            ("l1_sector_hits", counters.l1_sector_hits, "sectors"),
            ("l1_sector_misses", counters.l1_sector_misses, "sectors"),
            ("l1i_hits", counters.l1i_hits, "lines"),
            ("l1i_misses", counters.l1i_misses, "lines"),
            ("memory_requests", counters.memory_requests, "requests"),
            ("bytes_read", counters.bytes_read, "bytes"),
            ("bytes_written", counters.bytes_written, "bytes"),
        ] {
            out.counter(name, value, unit);
        }
        out.ratio("instructions_per_cycle", "instructions_issued", "cycles", 1.0, "warp instructions per SM-cycle");
        let busy = out.child("busy");
        for (name, cycles) in UNITS.iter().zip(counters.busy_cycles) {
            busy.counter(*name, cycles, "sub-core-cycles");
        }
        out.breakdown(counters.breakdown());
    }

    /// Why each sub-core did not issue in the last evaluated cycle.
    pub fn current_reasons(&self) -> [Reason; SUBCORES] {
        std::array::from_fn(|index| Reason::ALL[self.subcores[index].breakdown.current()])
    }
}
