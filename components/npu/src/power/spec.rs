//! What a machine file says of power.

use serde::Deserialize;
use sim_core::BuildError;

/// Energies, leakage and gating.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PowerSpec {
    /// Process that all energies of the chip are stated for.
    pub node_nm: f64,
    pub temperature_c: f64,
    /// Supplies at the nominal clocks, which energies are stated at.
    pub dpu_volts: f64,
    pub cmx_volts: f64,
    /// Window of the power trace; 0: no trace.
    pub trace_window_us: f64,
    pub event: EventEnergies,
    pub leakage: LeakageSpec,
    pub dpu_gate: GateSpec,
    pub shave_gate: GateSpec,
    pub dma_gate: GateSpec,
    /// Scratchpads are made drowsy, not turned off: they keep their data.
    pub cmx_gate: GateSpec,
}

/// Energy of events at nominal supply, picojoules.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventEnergies {
    /// An 8-bit multiply-accumulate with its operands' way from the scratchpad.
    pub mac_pj: f64,
    /// Of the operations below, for one of the array's cycles, relative to 8-bit convolution.
    pub f16_factor: f64,
    pub depthwise_factor: f64,
    pub max_pool_factor: f64,
    pub average_pool_factor: f64,
    pub eltwise_factor: f64,
    /// Clock and idle lanes of the array while it has a task, relative to its full activity.
    pub idle_share: f64,
    /// A cycle of a DSP that has a task.
    pub shave_cycle_pj: f64,
    /// A byte that DMA or a DSP reads or writes.
    pub cmx_byte_pj: f64,
    /// A byte through the DMA engine.
    pub dma_byte_pj: f64,
    /// A byte of main memory, with its interface.
    pub ddr_byte_pj: f64,
}

/// Leakage at nominal supply and reference temperature, and how it scales.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LeakageSpec {
    /// One tile's MAC arrays.
    pub dpu_mw: f64,
    /// One DSP.
    pub shave_mw: f64,
    /// One tile's scratchpad.
    pub cmx_mw: f64,
    /// One queue of the DMA engine.
    pub dma_mw: f64,
    /// What is never gated: control processor, network, clocks.
    pub always_on_mw: f64,
    pub reference_c: f64,
    /// Kelvin that double it.
    pub doubling_kelvin: f64,
    /// Leakage of logic and of SRAM by supply, relative to each other; linear between points.
    pub supply: Vec<SupplyPoint>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SupplyPoint {
    pub volts: f64,
    pub logic: f64,
    pub sram: f64,
}

/// When a component without work is gated, and what it takes to have it back.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GateSpec {
    /// Whether it is gated at all.
    pub gated: bool,
    /// Without work for so long.
    pub after_us: f64,
    /// Cycles of the CMX clock from gated to on.
    pub wake_cycles: f64,
    /// Leakage that is left.
    pub residual: f64,
    /// Of one wake-up.
    pub wake_pj: f64,
}

impl GateSpec {
    /// Of what is always on.
    pub const NEVER: GateSpec = GateSpec { gated: false, after_us: 0.0, wake_cycles: 0.0, residual: 1.0, wake_pj: 0.0 };

    /// From when on a component is gated that is without work since `idle_since`, in picoseconds.
    pub fn gated_from(&self, idle_since: u64) -> u64 {
        if self.gated { idle_since.saturating_add((self.after_us * 1e6) as u64) } else { u64::MAX }
    }
}

impl PowerSpec {
    /// # Errors
    /// The first key whose value is none.
    pub fn check(&self) -> Result<(), BuildError> {
        let e = &self.event;
        let l = &self.leakage;
        let mut at_least_zero = vec![
            ("power.trace_window_us", self.trace_window_us),
            ("power.event.mac_pj", e.mac_pj),
            ("power.event.f16_factor", e.f16_factor),
            ("power.event.depthwise_factor", e.depthwise_factor),
            ("power.event.max_pool_factor", e.max_pool_factor),
            ("power.event.average_pool_factor", e.average_pool_factor),
            ("power.event.eltwise_factor", e.eltwise_factor),
            ("power.event.idle_share", e.idle_share),
            ("power.event.shave_cycle_pj", e.shave_cycle_pj),
            ("power.event.cmx_byte_pj", e.cmx_byte_pj),
            ("power.event.dma_byte_pj", e.dma_byte_pj),
            ("power.event.ddr_byte_pj", e.ddr_byte_pj),
            ("power.leakage.dpu_mw", l.dpu_mw),
            ("power.leakage.shave_mw", l.shave_mw),
            ("power.leakage.cmx_mw", l.cmx_mw),
            ("power.leakage.dma_mw", l.dma_mw),
            ("power.leakage.always_on_mw", l.always_on_mw),
        ];
        for gate in [&self.dpu_gate, &self.shave_gate, &self.dma_gate, &self.cmx_gate] {
            at_least_zero.push(("power gate: after_us", gate.after_us));
            at_least_zero.push(("power gate: wake_cycles", gate.wake_cycles));
            at_least_zero.push(("power gate: residual", gate.residual));
            at_least_zero.push(("power gate: wake_pj", gate.wake_pj));
        }
        for (key, value) in at_least_zero {
            if !(0.0..=1e12).contains(&value) {
                return Err(BuildError::key(key, format!("is {value}")).help("a number of at least 0"));
            }
        }
        let positive = [
            ("power.node_nm", self.node_nm),
            ("power.dpu_volts", self.dpu_volts),
            ("power.cmx_volts", self.cmx_volts),
            ("power.leakage.doubling_kelvin", l.doubling_kelvin),
        ];
        for (key, value) in positive {
            if !(value.is_finite() && value > 0.0) {
                return Err(BuildError::key(key, format!("is {value}")).help("a number above 0"));
            }
        }
        let points = &l.supply;
        let rising = points.windows(2).all(|pair| pair[0].volts < pair[1].volts);
        let sound = points.iter().all(|p| p.volts > 0.0 && p.logic > 0.0 && p.sram > 0.0);
        match !points.is_empty() && rising && sound {
            true => Ok(()),
            false => Err(BuildError::key("power.leakage.supply", "is no table of leakage by rising supply")
                .help("points with `volts`, `logic` and `sram`, all above 0")),
        }
    }
}

impl LeakageSpec {
    /// Leakage of (logic, SRAM) at a supply, in the unit of the table; beyond its ends, that of the end.
    pub fn at(&self, volts: f64) -> (f64, f64) {
        let points = &self.supply;
        let above = points.iter().position(|point| point.volts >= volts);
        match above {
            Some(0) => (points[0].logic, points[0].sram),
            None => points.last().map_or((1.0, 1.0), |last| (last.logic, last.sram)),
            Some(above) => {
                let (low, high) = (points[above - 1], points[above]);
                let share = (volts - low.volts) / (high.volts - low.volts);
                (low.logic + share * (high.logic - low.logic), low.sram + share * (high.sram - low.sram))
            }
        }
    }

    /// Factor of a temperature.
    pub fn at_celsius(&self, celsius: f64) -> f64 {
        ((celsius - self.reference_c) / self.doubling_kelvin).exp2()
    }
}
