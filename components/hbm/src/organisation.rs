//! How a DRAM channel is divided: pseudo channels, stack IDs, bank groups, banks, rows, columns.
//!
//! ```text
//!   channel ─ pseudo channel ─ stack ID ─ bank group ─ bank ─ row ─ column (one access)
//!             └──────── rank ────────┘
//! ```
//!
//! Models: sizes and the flat numbering of ranks and banks that every other module uses.
//! Leaves out: what the parts do in time (`bank`, `constraint`).
//! Numbers: from the preset files, `configs/memory/`.
//! Canonical tests: at the end of this file.

use serde::{Deserialize, Serialize};

/// Most banks one rank may have: a rank's banks are one bit mask of this width.
pub const MAX_BANKS_PER_RANK: u32 = 32;

/// Sizes of one channel. A *rank* here is one (pseudo channel, stack ID) pair: the banks that share a die and a data bus.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Organisation {
    /// Independent channels of one stack.
    pub channels: u32,
    /// Pseudo channels of one channel: 1 (legacy mode of HBM1) or 2. They share the command buses, not the data bus.
    pub pseudo_channels: u32,
    /// Stack IDs of one pseudo channel: dies that share its data bus (1, 2, 3 or 4 for 4-, 8-, 12- and 16-high stacks).
    pub stack_ids: u32,
    /// Bank groups of one rank.
    pub bank_groups: u32,
    /// Banks of one bank group.
    pub banks_per_group: u32,
    /// Rows of one bank.
    pub rows: u32,
    /// Columns of one row, in accesses (bursts), not in device columns.
    pub columns: u32,
    /// Bytes that one column command moves.
    pub access_bytes: u32,
}

/// Where one access goes inside its channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct DramAddress {
    /// Pseudo channel.
    pub pseudo_channel: u32,
    /// Stack ID.
    pub stack_id: u32,
    /// Bank group.
    pub bank_group: u32,
    /// Bank of the group.
    pub bank: u32,
    /// Row of the bank.
    pub row: u32,
    /// Column, in accesses.
    pub column: u32,
}

/// Where one access goes, as a controller needs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Location {
    /// Flat bank, see [`Organisation::flat_bank`].
    pub bank: u32,
    /// Row of the bank.
    pub row: u32,
    /// Column, in accesses.
    pub column: u32,
}

impl Organisation {
    /// Ranks of one channel.
    pub fn ranks(&self) -> u32 {
        self.pseudo_channels * self.stack_ids
    }

    /// Banks of one rank.
    pub fn banks_per_rank(&self) -> u32 {
        self.bank_groups * self.banks_per_group
    }

    /// Banks of one pseudo channel.
    pub fn banks_per_pseudo_channel(&self) -> u32 {
        self.stack_ids * self.banks_per_rank()
    }

    /// Banks of one channel.
    pub fn banks(&self) -> u32 {
        self.ranks() * self.banks_per_rank()
    }

    /// Capacity of one channel in accesses.
    pub fn accesses(&self) -> u64 {
        u64::from(self.banks()) * u64::from(self.rows) * u64::from(self.columns)
    }

    /// Capacity of one channel in bytes.
    pub fn channel_bytes(&self) -> u64 {
        self.accesses() * u64::from(self.access_bytes)
    }

    /// Flat number of a bank: pseudo channel, then stack ID, group, bank, the last counting fastest.
    #[inline]
    pub fn flat_bank(&self, a: &DramAddress) -> u32 {
        ((a.pseudo_channel * self.stack_ids + a.stack_id) * self.bank_groups + a.bank_group) * self.banks_per_group
            + a.bank
    }

    /// The same place with its bank as a flat number.
    #[inline]
    pub fn locate(&self, a: &DramAddress) -> Location {
        Location { bank: self.flat_bank(a), row: a.row, column: a.column }
    }

    /// Flat number of a rank.
    pub fn flat_rank(&self, pseudo_channel: u32, stack_id: u32) -> u32 {
        pseudo_channel * self.stack_ids + stack_id
    }

    /// The first bank of a flat bank's place, split back into its parts. Row and column are 0.
    pub fn unflatten(&self, flat_bank: u32) -> DramAddress {
        let (group, bank) = (flat_bank / self.banks_per_group, flat_bank % self.banks_per_group);
        let (rank, bank_group) = (group / self.bank_groups, group % self.bank_groups);
        DramAddress {
            pseudo_channel: rank / self.stack_ids,
            stack_id: rank % self.stack_ids,
            bank_group,
            bank,
            row: 0,
            column: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flat_numbers_return() {
        let org = Organisation {
            channels: 16,
            pseudo_channels: 2,
            stack_ids: 3,
            bank_groups: 4,
            banks_per_group: 4,
            rows: 16384,
            columns: 32,
            access_bytes: 32,
        };
        assert_eq!(org.banks(), 96);
        for flat in 0..org.banks() {
            assert_eq!(org.flat_bank(&org.unflatten(flat)), flat);
        }
        // 96 banks x 16 Ki rows x 1 KiB.
        assert_eq!(org.channel_bytes(), 96 * 16384 * 1024);
    }
}
