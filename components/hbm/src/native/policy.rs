//! The policy of the native controller, as a TOML table.
//!
//! Models: queue sizes, write drain, age limit, page policy, refresh, power states, refresh management, address map.
//! Leaves out: per-source shares.
//! Numbers: `Policy::default` is a choice of ours, stated field by field; a config file overrides it.
//! Canonical tests: `tests/native.rs`.

use serde::{Deserialize, Serialize};

use crate::error::Problem;
use crate::mapper::FieldMap;
use crate::preset::Preset;
use crate::queue::MAX_CAPACITY;

/// When a row is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PagePolicy {
    /// When another row of the bank is wanted, by an explicit precharge.
    Open,
    /// The same, but the last queued hit closes the row itself (auto-precharge) if another row of the bank is wanted.
    OpenAuto,
    /// The last queued hit always closes the row itself.
    Closed,
}

/// How banks are refreshed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefreshPolicy {
    /// Not at all: for experiments.
    None,
    /// One bank at a time, idle banks first.
    PerBank,
    /// All banks of a pseudo channel at once, in idle times if there are any.
    AllBank,
}

/// Policy of a native controller.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Policy {
    /// Entries of the read queue of one pseudo channel.
    pub read_queue: usize,
    /// Entries of the write queue of one pseudo channel.
    pub write_queue: usize,
    /// Writes at which a pseudo channel begins to drain them.
    pub write_high: usize,
    /// Writes at which it goes back to waiting reads.
    pub write_low: usize,
    /// Ticks without a waiting read after which the remaining writes are drained, however few.
    pub write_idle_ticks: u64,
    /// Whether a write goes into one to the same address that waits.
    pub merge_writes: bool,
    /// Age at which a request goes before all others of its pseudo channel.
    pub age_limit_ticks: u64,
    /// When rows are closed.
    pub page: PagePolicy,
    /// How banks are refreshed.
    pub refresh: RefreshPolicy,
    /// Refreshes a pseudo channel may owe before they are forced.
    pub refresh_debt: u32,
    /// Factor on the refresh interval for temperature: 4 (cold) to 0.25 (hot).
    pub refresh_interval_scale: f64,
    /// Idle ticks before power-down; 0 = never.
    pub power_down_after_ticks: u64,
    /// Idle ticks before self refresh; 0 = never.
    pub self_refresh_after_ticks: u64,
    /// Activates of a bank that call for refresh management (RAAIMT); 0 = off. HBM3 and later.
    pub refresh_management_activates: u32,
    /// Address map.
    pub map: FieldMap,
}

impl Default for Policy {
    fn default() -> Self {
        Policy {
            // One row of each of four bank groups: a stream's rows open before the ones in use are done. A cache in front
            // of the channel keeps written lines, so that as many writes can wait.
            read_queue: 128,
            write_queue: 128,
            // Drain most of the queue at once, so that a turnaround is paid once in about 100 bursts.
            write_high: 112,
            write_low: 16,
            // About a row cycle.
            write_idle_ticks: 64,
            // As write-combining buffers do.
            merge_writes: true,
            // About one all-bank refresh interval.
            age_limit_ticks: 4000,
            page: PagePolicy::OpenAuto,
            refresh: RefreshPolicy::PerBank,
            // AMD PG313: up to 8 refreshes postponed.
            refresh_debt: 8,
            refresh_interval_scale: 1.0,
            power_down_after_ticks: 0,
            self_refresh_after_ticks: 0,
            refresh_management_activates: 0,
            map: FieldMap::Gpu,
        }
    }
}

impl Policy {
    /// Whether a pseudo channel may go to sleep.
    pub(super) fn sleeps(&self) -> bool {
        self.power_down_after_ticks > 0 || self.self_refresh_after_ticks > 0
    }

    /// Everything that is wrong with the policy for a preset. `file` is only for messages; lines are not known here.
    pub fn check(&self, preset: &Preset, file: &str) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut fail = |key: &str, message: String, help: &str| {
            let (key, help) = (key.to_string(), help.to_string());
            problems.push(Problem { file: file.to_string(), line: 0, key, message, help });
        };
        for (key, entries) in [("read_queue", self.read_queue), ("write_queue", self.write_queue)] {
            if entries == 0 || entries > MAX_CAPACITY {
                fail(key, format!("a queue of {entries} entries"), "1 to 255");
            }
        }
        if self.write_high > self.write_queue || self.write_high == 0 {
            let message = format!("{} of a write queue of {}", self.write_high, self.write_queue);
            fail("write_high", message, "1 to write_queue");
        }
        if self.write_low >= self.write_high {
            fail("write_low", format!("{} is not below write_high = {}", self.write_low, self.write_high), "less");
        }
        if self.age_limit_ticks == 0 {
            fail("age_limit_ticks", "is 0".into(), "at least 1");
        }
        if !(1..=8).contains(&self.refresh_debt) {
            fail("refresh_debt", format!("{} refreshes postponed", self.refresh_debt), "1 to 8 (AMD PG313)");
        }
        if !(0.25..=4.0).contains(&self.refresh_interval_scale) {
            let message = format!("a factor of {}", self.refresh_interval_scale);
            fail("refresh_interval_scale", message, "0.25 to 4 (Intel HBM2 IP guide 683189, table 29)");
        }
        self.check_refresh(preset, &mut fail);
        if self.refresh_management_activates > 0 && preset.timing.n_rfm_pb == 0 {
            let message = format!("{} has no refresh management", preset.name);
            fail("refresh_management_activates", message, "0 before HBM3");
        }
        let wanted = if self.map == FieldMap::Mop4ClXor && !preset.organisation.stack_ids.is_power_of_two() {
            Some("a map without exclusive-or of stack IDs")
        } else {
            None
        };
        if let Some(help) = wanted {
            fail("map", format!("{} stack IDs are not a power of two", preset.organisation.stack_ids), help);
        }
        problems
    }

    /// Refreshes that are due must leave time for requests.
    fn check_refresh(&self, preset: &Preset, fail: &mut dyn FnMut(&str, String, &str)) {
        let t = &preset.timing;
        let all_banks = f64::from(t.n_refi) * self.refresh_interval_scale;
        let one_bank = all_banks / f64::from(preset.organisation.banks_per_pseudo_channel());
        let help = "a larger factor or a longer timing.n_refi";
        match self.refresh {
            RefreshPolicy::None => {}
            RefreshPolicy::PerBank if one_bank < f64::from(t.n_rc.max(t.n_rrefd)) => {
                let message =
                    format!("a bank to refresh every {one_bank:.0} clocks, in less than a row cycle or n_rrefd");
                fail("refresh_interval_scale", message, "a larger factor, or refresh = \"all_bank\"");
            }
            RefreshPolicy::PerBank if all_banks < f64::from(t.n_rfc_pb + t.n_rc) => {
                let message = format!("a bank refreshed for {} clocks in every {all_banks:.0}", t.n_rfc_pb);
                fail("refresh_interval_scale", message, help);
            }
            RefreshPolicy::AllBank if all_banks < f64::from(t.n_rfc + t.n_rc) => {
                let message = format!("all banks refreshed for {} clocks in every {all_banks:.0}", t.n_rfc);
                fail("refresh_interval_scale", message, help);
            }
            RefreshPolicy::PerBank | RefreshPolicy::AllBank => {}
        }
    }
}
