//! What a machine file says of a tile-based NPU.

use serde::Deserialize;
use sim_core::BuildError;

use super::cost::dpu::FittedLaws;
use crate::power::PowerSpec;

/// The part of kind `npu.tiled`: plain data of the machine file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TiledSpec {
    pub tiles: u32,
    pub dpus_per_tile: u32,
    pub shaves_per_tile: u32,
    pub dma_ports: u32,
    /// Image engines.
    pub m2i_engines: u32,
    /// What a program can use of a tile's scratchpad.
    pub cmx_kib_per_tile: u64,
    /// Barriers of the hardware, programmed in program order and used again.
    pub physical_barriers: u32,
    /// Producers and consumers of one barrier together, a variant counting one.
    pub slots_per_barrier: u64,
    /// Nominal clock of the MAC arrays; legacy transfers are counted in it too.
    pub dpu_mhz: f64,
    /// Nominal clock of scratchpads, DMA and DSPs.
    pub cmx_mhz: f64,
    /// Clock that the tasks of the control processor are counted in.
    pub cpu_mhz: f64,
    pub dpu: DpuSpec,
    pub dma: DmaSpec,
    pub shave: ShaveSpec,
    pub memory: MemorySpec,
    /// Whether a task without a cost function takes `unknown_cost_cycles`; else it is an error.
    pub accept_unknown_costs: bool,
    pub unknown_cost_cycles: u64,
    #[serde(default)]
    pub power: Option<PowerSpec>,
    /// Changes of clocks during the run.
    #[serde(default)]
    pub dvfs: Vec<ClockChange>,
}

/// MAC array and post-processing of one DPU.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DpuSpec {
    /// 8-bit multiply-accumulates a cycle.
    pub macs_per_cycle: u64,
    /// Cycles of 16-bit arithmetic for one of 8-bit arithmetic.
    pub f16_factor: u64,
    /// Elements that post-processing takes a cycle.
    pub ppe_lanes: u64,
    pub cmx_word_bytes: u64,
    pub cmx_read_ports: u64,
    /// Where costs come from.
    pub cost: DpuCost,
    /// Laws fitted to cycle counts.
    pub fitted: FittedLaws,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DpuCost {
    /// Multiply-accumulates against reads of the scratchpad, as published.
    Theoretical,
    /// Laws with constants fitted to cycle counts.
    Fitted,
}

/// The DMA engine.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DmaSpec {
    pub form: DmaForm,
    /// Widest transfer of one port, bytes a cycle of the CMX clock.
    pub bytes_per_cycle: u64,
    pub ddr_latency_ns: f64,
    /// Of transfers between scratchpads.
    pub cmx_latency_cycles: u64,
    /// After the last byte, cycles of the CMX clock.
    pub post_cycles: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DmaForm {
    /// In cycles of the DPU clock; transfers between scratchpads at half rate.
    Legacy,
    /// In cycles of the CMX clock.
    Newer,
}

/// The vector DSPs.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShaveSpec {
    pub tables: ShaveTables,
    /// Which form is asked first; the other serves kernels that it lacks.
    pub prefer: ShaveForm,
    /// Bits that one operation works on.
    pub simd_bits: u64,
    /// How much faster the piecewise tables run than they say.
    pub piecewise_speed: f64,
}

/// Which generation's measured kernels hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
pub enum ShaveTables {
    #[serde(rename = "2.7")]
    Npu27,
    #[serde(rename = "4.0")]
    Npu40,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ShaveForm {
    /// Time linear in bytes, measured kernel by kernel.
    Linear,
    /// Rates of unrolled, vector and scalar elements.
    Piecewise,
}

/// What transfers and engines share.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MemorySpec {
    pub ddr_mb_per_s: f64,
    /// Whether tasks slow each other down by sharing it (level 2) or not (level 1).
    pub sharing: Sharing,
    /// Bytes a cycle of the CMX clock that one tile's scratchpad moves for all its users.
    pub cmx_bytes_per_cycle: f64,
    /// Memory channels behind `ddr_req` and `ddr_resp`: then they, not `ddr_mb_per_s`, say how fast DDR is.
    #[serde(default)]
    pub channels: Option<ChannelsSpec>,
}

/// Requests of DMA engines to memory channels.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChannelsSpec {
    /// Ports `ddr_req` and `ddr_resp`, one of each a channel.
    pub count: u32,
    /// A power of two.
    pub request_bytes: u32,
    /// Requests of one transfer that wait for their answer.
    pub outstanding: u32,
    /// Bytes that stay together on one channel, as the channels have it with `interleave = "low_bits"`; a power of two of at
    /// least a request.
    pub interleave_granule_bytes: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sharing {
    /// Level 1: every task runs at the speed that it has alone.
    None,
    /// Level 2: DDR, DMA ports and scratchpads are shared, max-min fair.
    MaxMin,
    /// Level 2 with nothing to share: bandwidths without bound. Equals level 1.
    Unbounded,
}

/// A clock that changes while tasks run.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClockChange {
    pub at_us: f64,
    pub clock: ClockName,
    pub mhz: f64,
    /// Supply of that domain from then on.
    pub volts: f64,
}

/// The clocks that tasks run by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ClockName {
    Dpu,
    Cmx,
}

impl TiledSpec {
    /// # Errors
    /// The first key whose value no machine can have.
    pub fn check(&self) -> Result<(), BuildError> {
        let counts = [
            ("tiles", u64::from(self.tiles), 64),
            ("dpus_per_tile", u64::from(self.dpus_per_tile), 64),
            ("shaves_per_tile", u64::from(self.shaves_per_tile), 64),
            ("dma_ports", u64::from(self.dma_ports), 64),
            ("physical_barriers", u64::from(self.physical_barriers), 1 << 20),
            ("slots_per_barrier", self.slots_per_barrier, 1 << 32),
            ("cmx_kib_per_tile", self.cmx_kib_per_tile, 1 << 40),
            ("dpu.macs_per_cycle", self.dpu.macs_per_cycle, 1 << 32),
            ("dpu.f16_factor", self.dpu.f16_factor, 1 << 10),
            ("dpu.ppe_lanes", self.dpu.ppe_lanes, 1 << 20),
            ("dpu.cmx_word_bytes", self.dpu.cmx_word_bytes, 1 << 20),
            ("dpu.cmx_read_ports", self.dpu.cmx_read_ports, 1 << 20),
            ("dma.bytes_per_cycle", self.dma.bytes_per_cycle, 1 << 20),
        ];
        for (key, value, most) in counts {
            if value == 0 || value > most {
                return Err(BuildError::key(key, format!("is {value}")).help(format!("from 1 to {most}")));
            }
        }
        if self.m2i_engines > 64 {
            return Err(BuildError::key("m2i_engines", format!("is {}", self.m2i_engines)).help("at most 64"));
        }
        if !matches!(self.shave.simd_bits, 128 | 256 | 512 | 1024) {
            return Err(BuildError::key("shave.simd_bits", "should be 128, 256, 512 or 1024"));
        }
        let mut positive = vec![
            ("dpu_mhz", self.dpu_mhz),
            ("cmx_mhz", self.cmx_mhz),
            ("cpu_mhz", self.cpu_mhz),
            ("shave.piecewise_speed", self.shave.piecewise_speed),
            ("memory.ddr_mb_per_s", self.memory.ddr_mb_per_s),
            ("memory.cmx_bytes_per_cycle", self.memory.cmx_bytes_per_cycle),
        ];
        positive.extend(self.dvfs.iter().flat_map(|change| [("dvfs.mhz", change.mhz), ("dvfs.volts", change.volts)]));
        for (key, value) in positive {
            if !(value.is_finite() && (1e-6..=1e9).contains(&value)) {
                return Err(BuildError::key(key, format!("is {value}")).help("a number above 0, at most 10^9"));
            }
        }
        let times = self.dvfs.iter().map(|change| ("dvfs.at_us", change.at_us));
        for (key, value) in times.chain([("dma.ddr_latency_ns", self.dma.ddr_latency_ns)]) {
            if !(0.0..=1e9).contains(&value) {
                return Err(BuildError::key(key, format!("is {value}")).help("a number from 0 to 10^9"));
            }
        }
        if let Some(channels) = &self.memory.channels {
            let ChannelsSpec { count, request_bytes, outstanding, interleave_granule_bytes } = channels;
            if !(1..=1024).contains(count) {
                return Err(BuildError::key("memory.channels.count", "should be from 1 to 1024"));
            }
            if !request_bytes.is_power_of_two() || *request_bytes > 4096 {
                return Err(BuildError::key("memory.channels.request_bytes", "should be a power of two, at most 4096"));
            }
            if !interleave_granule_bytes.is_power_of_two() || interleave_granule_bytes < request_bytes {
                let key = "memory.channels.interleave_granule_bytes";
                return Err(BuildError::key(key, "should be a power of two of at least a request"));
            }
            if !(1..=1 << 16).contains(outstanding) {
                return Err(BuildError::key("memory.channels.outstanding", "should be from 1 to 65536"));
            }
        }
        self.dpu.fitted.check()?;
        self.power.as_ref().map_or(Ok(()), PowerSpec::check)
    }

    /// Usable bytes of one tile's scratchpad.
    pub fn cmx_bytes(&self) -> u64 {
        self.cmx_kib_per_tile * 1024
    }

    /// Nominal frequency of a clock.
    pub fn mhz(&self, clock: ClockName) -> f64 {
        match clock {
            ClockName::Dpu => self.dpu_mhz,
            ClockName::Cmx => self.cmx_mhz,
        }
    }
}
