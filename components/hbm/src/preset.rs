//! A DRAM preset: the organisation, clock and timing of a channel, and how many channels a product has of it.
//!
//! ```text
//!   configs/memory/*.toml ─▶ [`ConfigFile`] ─▶ [`Preset`] ─▶ checked ─▶ device, controller, energy
//! ```
//!
//! Models: one preset a file; a product (`configs/memory/stacks/`) is a preset with a `base` and a number of stacks.
//! Leaves out: controller policy, which is `native::Policy` and `compat`.
//! Numbers: each carries its origin in the file; a test fails for one without.
//! Canonical tests: `tests/presets.rs`.

use serde::{Deserialize, Serialize};

use crate::command::Generation;
use crate::config_file::ConfigFile;
use crate::error::{ConfigError, Problem};
use crate::organisation::{MAX_BANKS_PER_RANK, Organisation};
use crate::timing::Timing;

/// A DRAM preset.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preset {
    /// Short name, as in the file name.
    pub name: String,
    /// Protocol generation.
    pub generation: Generation,
    /// Stacks of the product; 1 for a bare preset.
    #[serde(default = "one")]
    pub stacks: u32,
    /// Command clock (CK).
    pub clock_mhz: f64,
    /// Sizes of one channel.
    pub organisation: Organisation,
    /// Timing in command clocks.
    pub timing: Timing,
    /// What Ramulator 2 has otherwise in its preset of the same part.
    #[serde(default)]
    pub ramulator2: Ramulator2Differences,
}

/// Longest distance a preset may ask for: a thousand times the longest that is known.
const LONGEST_CLOCKS: i64 = 1_000_000;

/// Where the preset of Ramulator 2 differs from the part; used by `compat = "ramulator2"` alone.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ramulator2Differences {
    /// Its tick, an integer number of picoseconds.
    pub tick_ps: Option<u32>,
    /// Its distance between single-bank refreshes, in clocks.
    pub n_rrefd: Option<u32>,
}

fn one() -> u32 {
    1
}

impl Preset {
    /// Reads and checks a preset. `read` returns the text of a file by its path.
    pub fn load(name: &str, read: &dyn Fn(&str) -> std::io::Result<String>) -> Result<Self, ConfigError> {
        Self::from_file(&ConfigFile::load(name, read)?)
    }

    /// Takes and checks the preset that a merged file holds.
    pub fn from_file(file: &ConfigFile) -> Result<Self, ConfigError> {
        let preset: Preset = file.parse()?;
        let problems = preset.check(file);
        if problems.is_empty() { Ok(preset) } else { Err(ConfigError { problems }) }
    }

    /// Reads and checks a preset from the file system.
    pub fn load_path(path: &str) -> Result<Self, ConfigError> {
        Self::load(path, &|p| std::fs::read_to_string(p))
    }

    /// Length of one tick in picoseconds.
    pub fn tick_ps(&self) -> f64 {
        1e6 / self.clock_mhz / f64::from(self.generation.ticks_per_ck())
    }

    /// Ticks of one access on the data bus of a pseudo channel.
    pub fn burst_ticks(&self) -> u64 {
        u64::from(self.timing.n_bl * self.generation.ticks_per_ck())
    }

    /// Peak of one channel in GB/s (1e9 bytes a second): every pseudo channel moves one access a burst.
    pub fn peak_channel_gb_per_s(&self) -> f64 {
        let org = &self.organisation;
        f64::from(org.access_bytes * org.pseudo_channels) / (self.burst_ticks() as f64 * self.tick_ps()) * 1e3
    }

    /// Channels of the product.
    pub fn total_channels(&self) -> u32 {
        self.stacks * self.organisation.channels
    }

    /// Peak of the product in GB/s.
    pub fn peak_gb_per_s(&self) -> f64 {
        self.peak_channel_gb_per_s() * f64::from(self.total_channels())
    }

    fn check(&self, file: &ConfigFile) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut fail = |key: &str, message: String, help: &str| problems.push(file.problem(key, message, help));
        if !(self.clock_mhz.is_finite() && (1.0..=10_000.0).contains(&self.clock_mhz)) {
            fail("clock_mhz", format!("{} MHz is no clock", self.clock_mhz), "between 1 and 10000");
        }
        if !(1..=1024).contains(&self.stacks) {
            fail("stacks", format!("a product of {} stacks", self.stacks), "1 to 1024");
        }
        self.check_organisation(&mut fail);
        self.check_timing(&mut fail);
        problems
    }

    fn check_organisation(&self, fail: &mut dyn FnMut(&str, String, &str)) {
        let org = &self.organisation;
        for (key, value) in [
            ("bank_groups", org.bank_groups),
            ("banks_per_group", org.banks_per_group),
            ("rows", org.rows),
            ("columns", org.columns),
            ("access_bytes", org.access_bytes),
        ] {
            if !value.is_power_of_two() {
                let key = format!("organisation.{key}");
                fail(&key, format!("{value} is not a power of two"), "address bits select it, so a power of two");
            }
        }
        for (key, value, most) in [
            ("channels", org.channels, 1024),
            ("rows", org.rows, 1 << 24),
            ("columns", org.columns, 1 << 12),
            ("access_bytes", org.access_bytes, 1 << 12),
        ] {
            if value == 0 || value > most {
                fail(&format!("organisation.{key}"), format!("{value} is out of range"), &format!("1 to {most}"));
            }
        }
        if !matches!(org.pseudo_channels, 1 | 2) {
            let message = format!("{} pseudo channels share one channel", org.pseudo_channels);
            fail("organisation.pseudo_channels", message, "1 (legacy mode) or 2");
        }
        if !(1..=4).contains(&org.stack_ids) {
            fail("organisation.stack_ids", format!("{} stack IDs", org.stack_ids), "1 to 4");
        }
        if org.bank_groups.saturating_mul(org.banks_per_group) > MAX_BANKS_PER_RANK {
            let message = format!("{} groups x {} banks", org.bank_groups, org.banks_per_group);
            fail("organisation.bank_groups", message, "at most 32 banks a stack ID");
        }
    }

    fn check_timing(&self, fail: &mut dyn FnMut(&str, String, &str)) {
        let t = &self.timing;
        let all = toml::Table::try_from(t).unwrap_or_default();
        for (key, value) in all.iter().filter_map(|(k, v)| Some((k, v.as_integer()?))) {
            if value > LONGEST_CLOCKS {
                fail(&format!("timing.{key}"), format!("{value} clocks"), "at most 1000000");
            }
        }
        for (key, value) in [
            ("n_bl", t.n_bl),
            ("n_cl", t.n_cl),
            ("n_cwl", t.n_cwl),
            ("n_rcd_rd", t.n_rcd_rd),
            ("n_rcd_wr", t.n_rcd_wr),
            ("n_rp", t.n_rp),
            ("n_ras", t.n_ras),
            ("n_ccd_s", t.n_ccd_s),
            ("n_rfc", t.n_rfc),
            ("n_rfc_pb", t.n_rfc_pb),
            ("n_refi", t.n_refi),
        ] {
            if value == 0 {
                fail(&format!("timing.{key}"), "is 0".into(), "at least 1 clock");
            }
        }
        for (low, low_value, high, high_value) in [
            ("n_ras", t.n_ras, "n_rc", t.n_rc),
            ("n_ccd_s", t.n_ccd_s, "n_ccd_l", t.n_ccd_l),
            ("n_rrd_s", t.n_rrd_s, "n_rrd_l", t.n_rrd_l),
            ("n_rrd_s", t.n_rrd_s, "n_faw", t.n_faw),
            ("n_wtr_s", t.n_wtr_s, "n_wtr_l", t.n_wtr_l),
            ("n_rfc", t.n_rfc, "n_refi", t.n_refi),
            ("n_rfc_pb", t.n_rfc_pb, "n_rfc", t.n_rfc),
            ("n_rcd_rd", t.n_rcd_rd, "n_ras", t.n_ras),
            ("n_rcd_wr", t.n_rcd_wr, "n_ras", t.n_ras),
        ] {
            if low_value > high_value {
                let message = format!("{low} = {low_value} is more than {high} = {high_value}");
                fail(&format!("timing.{low}"), message, &format!("at most timing.{high}"));
            }
        }
        // What a request may have to wait for fits between two refreshes, or it would never be served.
        for (key, value) in [
            ("n_cl", t.n_cl),
            ("n_cwl", t.n_cwl),
            ("n_rp", t.n_rp),
            ("n_rc", t.n_rc),
            ("n_ccd_l", t.n_ccd_l),
            ("n_ccd_r", t.n_ccd_r),
            ("n_rrd_l", t.n_rrd_l),
            ("n_faw", t.n_faw),
            ("n_rtp", t.n_rtp),
            ("n_wr", t.n_wr),
            ("n_wtr_l", t.n_wtr_l),
            ("n_rtw", t.n_rtw),
            ("n_ppd", t.n_ppd),
            ("n_rrefd", t.n_rrefd),
            ("n_update", t.n_update),
        ] {
            if value > t.n_refi {
                let message = format!("{key} = {value} is more than n_refi = {}", t.n_refi);
                fail(&format!("timing.{key}"), message, "less than the refresh interval");
            }
        }
        if t.n_bl > t.n_ccd_l {
            let message = format!("a burst of {} clocks is longer than n_ccd_l = {}", t.n_bl, t.n_ccd_l);
            fail("timing.n_bl", message, "at most timing.n_ccd_l");
        }
    }
}
