//! The policy of a Ramulator 2 controller as a TOML table, in that simulator's own words.
//!
//! Models: `scheduler`, `row_policy`, `cap`, `refresh`, `mapper`, queue sizes, watermarks.
//! Leaves out: parts of Ramulator 2 that no golden run uses (plugins, other mappers).
//! Canonical tests: the golden suite `hbm-ramulator2`.

use serde::{Deserialize, Serialize};

use super::{Policy, RefreshKind};
use crate::mapper::FieldMap;
use crate::queue::MAX_CAPACITY;

/// The table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicySpec {
    /// Scheduler.
    pub scheduler: SchedulerName,
    /// Row policy.
    pub row_policy: RowPolicyName,
    /// Column commands before a close, for `ClosedCAP`.
    #[serde(default)]
    pub cap: Option<u32>,
    /// Refresh manager.
    pub refresh: RefreshName,
    /// Address mapper.
    pub mapper: FieldMap,
    /// Entries of the read queue.
    pub read_queue: usize,
    /// Entries of the write queue.
    pub write_queue: usize,
    /// Part of the write queue.
    pub write_low_watermark: f32,
    /// Part of the write queue.
    pub write_high_watermark: f32,
}

/// Schedulers by the names of Ramulator 2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum SchedulerName {
    /// First ready, first come first served.
    #[serde(rename = "FRFCFS")]
    FrFcfs,
    /// The same, keeping rows for which an older request waits.
    #[serde(rename = "FRFCFSRowHit")]
    FrFcfsRowHit,
}

/// Row policies by the names of Ramulator 2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum RowPolicyName {
    /// Rows stay open.
    Open,
    /// Rows close after `cap` column commands.
    #[serde(rename = "ClosedCAP")]
    ClosedCap,
}

/// Refresh managers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefreshName {
    /// `NoRefresh`.
    None,
    /// `AllBank`.
    AllBank,
    /// `PerBank`.
    PerBank,
    /// `HBM34PerBankRefresh`.
    Hbm34PerBank,
}

impl PolicySpec {
    /// The policy, or what is wrong with the table: (key, message, help).
    pub fn policy(&self) -> Result<Policy, (&'static str, String, &'static str)> {
        for (key, entries) in [("read_queue", self.read_queue), ("write_queue", self.write_queue)] {
            if entries == 0 || entries > MAX_CAPACITY {
                return Err((key, format!("a queue of {entries} entries"), "1 to 255"));
            }
        }
        let closed_cap = match (self.row_policy, self.cap) {
            (RowPolicyName::Open, _) => None,
            (RowPolicyName::ClosedCap, Some(cap)) if cap > 0 => Some(cap),
            (RowPolicyName::ClosedCap, _) => {
                return Err(("cap", "ClosedCAP without a cap".into(), "column commands before a close, at least 1"));
            }
        };
        Ok(Policy {
            keep_row_hits: self.scheduler == SchedulerName::FrFcfsRowHit,
            closed_cap,
            refresh: match self.refresh {
                RefreshName::None => RefreshKind::None,
                RefreshName::AllBank => RefreshKind::AllBank,
                RefreshName::PerBank => RefreshKind::PerBank,
                RefreshName::Hbm34PerBank => RefreshKind::Hbm34PerBank,
            },
            map: self.mapper,
            read_queue: self.read_queue,
            write_queue: self.write_queue,
            write_low_watermark: self.write_low_watermark,
            write_high_watermark: self.write_high_watermark,
        })
    }
}
