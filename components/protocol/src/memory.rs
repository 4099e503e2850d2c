//! Memory requests and responses.

use serde::{Deserialize, Serialize};
use sim_core::{Femtos, Payload};

/// What a request does to memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum MemOp {
    Read,
    Write,
    /// Read, modify, write at the memory side; the response carries the old value's time.
    Atomic,
    /// Op-and-store at the memory side without a result: reductions, near-memory accumulation.
    Update,
    /// Read that nobody waits for.
    Prefetch,
    /// A command for a processing-in-memory bank, by number.
    Pim(u8),
}

impl MemOp {
    /// Whether the data travels with the request rather than with the response.
    pub fn carries_data(self) -> bool {
        matches!(self, Self::Write | Self::Atomic | Self::Update)
    }
}

/// A request for part of one line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemRequest {
    /// Chosen by the requester; the response echoes it.
    pub id: u64,
    /// Which requester of its part: the index that responses are routed by.
    pub source: u32,
    /// Byte address.
    pub address: u64,
    /// Bytes moved.
    pub bytes: u32,
    /// Bit i: sector i of the line is meant.
    pub sectors: u8,
    pub op: MemOp,
    /// When the requester sent it; set by whoever owns the port.
    pub issued: Femtos,
}

impl Payload for MemRequest {
    const NAME: &'static str = "memory request";
}

/// Where a request spends time on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Station {
    /// Links and crossbars, both ways, without queueing.
    Network,
    /// Waiting for a network.
    NetworkQueue,
    /// Cache lookup and fill.
    Cache,
    /// Waiting for a cache.
    CacheQueue,
    /// Waiting in a memory controller.
    MemoryQueue,
    /// Row commands: activation and precharge.
    Bank,
    /// Held up by refresh.
    Refresh,
    /// Column access and data transfer.
    Data,
}

impl Station {
    pub const ALL: [Self; 8] = [
        Self::Network,
        Self::NetworkQueue,
        Self::Cache,
        Self::CacheQueue,
        Self::MemoryQueue,
        Self::Bank,
        Self::Refresh,
        Self::Data,
    ];
}

/// Time spent in each [`Station`], in picoseconds (up to 4.29 ms each; more saturates).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stations([u32; Station::ALL.len()]);

impl Stations {
    /// Adds time at one station.
    pub fn add(&mut self, station: Station, picoseconds: u64) {
        let place = &mut self.0[station as usize];
        *place = place.saturating_add(u32::try_from(picoseconds).unwrap_or(u32::MAX));
    }

    pub fn picoseconds(&self, station: Station) -> u32 {
        self.0[station as usize]
    }
}

/// The answer to a [`MemRequest`]. Writes and updates are answered too: the answer says that they are visible.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemResponse {
    pub id: u64,
    pub source: u32,
    /// As in the request.
    pub sectors: u8,
    pub op: MemOp,
    pub stations: Stations,
}

impl Payload for MemResponse {
    const NAME: &'static str = "memory response";
}

impl MemResponse {
    /// The answer to `request`, with the time it spent.
    pub fn to(request: &MemRequest, stations: Stations) -> Self {
        Self { id: request.id, source: request.source, sectors: request.sectors, op: request.op, stations }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_at_a_station_adds_up_and_saturates() {
        let mut stations = Stations::default();
        stations.add(Station::Bank, 1500);
        stations.add(Station::Bank, 2500);
        stations.add(Station::Data, u64::MAX);
        assert_eq!(stations.picoseconds(Station::Bank), 4000);
        assert_eq!(stations.picoseconds(Station::Data), u32::MAX);
        assert_eq!(stations.picoseconds(Station::Cache), 0);
    }
}
