//! Timing parameters of one channel, in command clocks, with the names of the standards.
//!
//! Models: one value a parameter, as a preset file gives it.
//! Leaves out: temperature (the refresh interval is scaled by the controller) and dynamic frequency.
//! Numbers: `configs/memory/*.toml`, each with its origin.
//! Canonical tests: `preset` checks that they fit together.

use serde::{Deserialize, Serialize};

/// Timing parameters in command clocks (CK), nominal: counted from the last cycle of the first command to the last cycle
/// of the second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Timing {
    /// Burst: clocks the data bus is busy for one access.
    pub n_bl: u32,
    /// Read latency: RD to first data.
    pub n_cl: u32,
    /// Write latency: WR to first data.
    pub n_cwl: u32,
    /// ACT to RD of the bank.
    pub n_rcd_rd: u32,
    /// ACT to WR of the bank.
    pub n_rcd_wr: u32,
    /// PRE to ACT.
    pub n_rp: u32,
    /// ACT to PRE of the bank.
    pub n_ras: u32,
    /// ACT to ACT of the bank.
    pub n_rc: u32,
    /// RD to RD and WR to WR of different bank groups.
    pub n_ccd_s: u32,
    /// RD to RD and WR to WR of the same bank group.
    pub n_ccd_l: u32,
    /// RD to RD of different stack IDs.
    pub n_ccd_r: u32,
    /// ACT to ACT of different bank groups.
    pub n_rrd_s: u32,
    /// ACT to ACT of the same bank group.
    pub n_rrd_l: u32,
    /// Window that may hold at most four ACTs of a pseudo channel.
    pub n_faw: u32,
    /// RD to PRE of the bank.
    pub n_rtp: u32,
    /// End of write data to PRE of the bank (write recovery).
    pub n_wr: u32,
    /// End of write data to RD, different bank groups.
    pub n_wtr_s: u32,
    /// End of write data to RD, same bank group.
    pub n_wtr_l: u32,
    /// RD to WR of a pseudo channel (bus turnaround).
    pub n_rtw: u32,
    /// PRE to PRE of a pseudo channel; 0 = no such rule.
    pub n_ppd: u32,
    /// All-bank refresh to the next command.
    pub n_rfc: u32,
    /// Single-bank refresh to the next command of that bank.
    pub n_rfc_pb: u32,
    /// All-bank refresh management to the next command.
    pub n_rfm_ab: u32,
    /// Single-bank refresh management to the next command of that bank.
    pub n_rfm_pb: u32,
    /// Single-bank refresh to single-bank refresh or ACT of another bank.
    pub n_rrefd: u32,
    /// Mean interval between all-bank refreshes.
    pub n_refi: u32,
    /// Interval between single-bank refreshes as the preset's source counts it.
    pub n_refi_pb: u32,
    /// Power-down exit to the next command.
    pub n_xp: u32,
    /// Least time in power-down (clock enable low).
    pub n_cke: u32,
    /// Self-refresh exit to the next command.
    pub n_xs: u32,
    /// What an op-and-store holds its bank group longer than a write; 0 where there is no near-memory unit.
    #[serde(default)]
    pub n_update: u32,
}

impl Timing {
    /// RD command to the last data beat, in clocks.
    pub fn n_read_data(&self) -> u32 {
        self.n_cl + self.n_bl
    }

    /// WR command to the end of write recovery, in clocks: the least distance from WR to PRE.
    pub fn n_write_recovery(&self) -> u32 {
        self.n_cwl + self.n_bl + self.n_wr
    }
}
