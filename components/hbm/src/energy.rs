//! Energy of a channel: integer counters times a table, at report time.
//!
//! ```text
//!   command counts · background ticks ─▶ dot product with [`EnergyTable`] ─▶ pJ by cause
//! ```
//!
//! Models: activate/precharge pairs, reads, writes, refreshes, background power by state. Nothing is done in the hot loop,
//! and any table can be applied to a finished run.
//! Leaves out: data-dependent toggling, the VPP rail apart, temperature.
//! Numbers: `configs/memory/energy/*.toml`, each with its origin.
//! Canonical tests: `tests/energy.rs`, against DRAMsim3.

use serde::{Deserialize, Serialize};

use crate::command::{COMMANDS, Command};
use crate::config_file::ConfigFile;
use crate::error::ConfigError;
use crate::preset::Preset;

/// Supply voltage and currents of a device, as data sheets give them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Currents {
    /// Short name.
    pub name: String,
    /// Bytes of the access that the currents belong to; they are scaled to the preset's access.
    pub access_bytes: u32,
    /// Supply voltage.
    pub vdd_v: f64,
    /// One bank active-precharge.
    pub idd0_ma: f64,
    /// Precharged power-down.
    pub idd2p_ma: f64,
    /// Precharged standby.
    pub idd2n_ma: f64,
    /// Active standby.
    pub idd3n_ma: f64,
    /// Burst read.
    pub idd4r_ma: f64,
    /// Burst write.
    pub idd4w_ma: f64,
    /// All-bank refresh.
    pub idd5ab_ma: f64,
    /// Single-bank refresh.
    pub idd5pb_ma: f64,
    /// Self refresh.
    pub idd6_ma: f64,
}

/// Energy of events and power of states, of one pseudo channel.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EnergyTable {
    /// Short name.
    pub name: String,
    /// One activate with its precharge.
    pub activate_pj: f64,
    /// One read access.
    pub read_pj: f64,
    /// One write access.
    pub write_pj: f64,
    /// One all-bank refresh or refresh-management command.
    pub refresh_all_pj: f64,
    /// One single-bank refresh or refresh-management command.
    pub refresh_bank_pj: f64,
    /// Awake, a row open.
    pub active_standby_mw: f64,
    /// Awake, all rows closed.
    pub precharged_standby_mw: f64,
    /// Power-down.
    pub power_down_mw: f64,
    /// Self refresh.
    pub self_refresh_mw: f64,
}

/// What energy is computed from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EnergyCounters {
    /// Commands by [`Command::index`].
    pub commands: [u64; COMMANDS],
    /// Ticks in the states of [`crate::native::Background`], summed over pseudo channels.
    pub background_ticks: [u64; 4],
    /// Bytes moved over the data bus.
    pub bytes: u64,
}

/// Energy by cause, in pJ.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Energy {
    /// Activates and precharges.
    pub activate_pj: f64,
    /// Reads.
    pub read_pj: f64,
    /// Writes.
    pub write_pj: f64,
    /// Refresh and refresh management.
    pub refresh_pj: f64,
    /// Background of all states.
    pub background_pj: f64,
}

impl Energy {
    /// Sum of all causes.
    pub fn total_pj(&self) -> f64 {
        self.activate_pj + self.read_pj + self.write_pj + self.refresh_pj + self.background_pj
    }

    /// Total energy per bit moved; 0 if nothing moved.
    pub fn pj_per_bit(&self, bytes: u64) -> f64 {
        if bytes == 0 { 0.0 } else { self.total_pj() / (bytes * 8) as f64 }
    }
}

impl Currents {
    /// Reads a table of currents. `read` returns the text of a file by its path.
    pub fn load(name: &str, read: &dyn Fn(&str) -> std::io::Result<String>) -> Result<Self, ConfigError> {
        let file = ConfigFile::load(name, read)?;
        let currents: Currents = file.parse()?;
        if currents.idd5pb_ma < currents.idd3n_ma {
            let message = format!("{} mA is below idd3n_ma: a refresh would give energy back", currents.idd5pb_ma);
            return Err(file.error("idd5pb_ma", message, "at least idd3n_ma"));
        }
        if currents.access_bytes == 0 || currents.vdd_v <= 0.0 {
            return Err(file.error("vdd_v", "no voltage or no access", "positive numbers"));
        }
        Ok(currents)
    }

    /// The energies that follow for a preset: V x mA x ns = pJ.
    pub fn table(&self, preset: &Preset) -> EnergyTable {
        let t = &preset.timing;
        let ck_ns = 1e3 / preset.clock_mhz;
        let scale = f64::from(preset.organisation.access_bytes) / f64::from(self.access_bytes);
        let pj = |ma: f64, clocks: f64| self.vdd_v * ma * clocks * ck_ns * scale;
        let (rc, ras, rp) = (f64::from(t.n_ras + t.n_rp), f64::from(t.n_ras), f64::from(t.n_rp));
        let burst = f64::from(t.n_bl);
        EnergyTable {
            name: format!("{} for {}", self.name, preset.name),
            activate_pj: pj(self.idd0_ma, rc) - pj(self.idd3n_ma, ras) - pj(self.idd2n_ma, rp),
            read_pj: pj(self.idd4r_ma - self.idd3n_ma, burst),
            write_pj: pj(self.idd4w_ma - self.idd3n_ma, burst),
            refresh_all_pj: pj(self.idd5ab_ma - self.idd3n_ma, f64::from(t.n_rfc)),
            refresh_bank_pj: pj(self.idd5pb_ma - self.idd3n_ma, f64::from(t.n_rfc_pb)),
            active_standby_mw: self.vdd_v * self.idd3n_ma * scale,
            precharged_standby_mw: self.vdd_v * self.idd2n_ma * scale,
            power_down_mw: self.vdd_v * self.idd2p_ma * scale,
            self_refresh_mw: self.vdd_v * self.idd6_ma * scale,
        }
    }
}

impl EnergyTable {
    /// Energy of a run. `tick_ps` is the length of a tick.
    pub fn energy(&self, counters: &EnergyCounters, tick_ps: f64) -> Energy {
        let n = |c: Command| counters.commands[c.index()] as f64;
        // mW x ns = pJ.
        let state = |i: usize, mw: f64| counters.background_ticks[i] as f64 * tick_ps / 1e3 * mw;
        Energy {
            activate_pj: n(Command::Act) * self.activate_pj,
            // An update reads and writes the row buffer.
            read_pj: (n(Command::Rd) + n(Command::RdA) + n(Command::Upd)) * self.read_pj,
            write_pj: (n(Command::Wr) + n(Command::WrA) + n(Command::Upd)) * self.write_pj,
            refresh_pj: (n(Command::RefAb) + n(Command::RfmAb)) * self.refresh_all_pj
                + (n(Command::RefPb) + n(Command::RfmPb)) * self.refresh_bank_pj,
            background_pj: state(0, self.active_standby_mw)
                + state(1, self.precharged_standby_mw)
                + state(2, self.power_down_mw)
                + state(3, self.self_refresh_mw),
        }
    }
}
