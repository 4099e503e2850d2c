//! What one transfer asks of memory channels: requests one behind the other, at the pace of its port, a bounded number at a
//! time.

use serde::{Deserialize, Serialize};

use super::program::DdrTransfer;
use super::spec::ChannelsSpec;

/// One request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryAccess {
    pub engine: u32,
    pub address: u64,
    pub bytes: u32,
    pub write: bool,
}

/// A transfer on its way.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Stream {
    address: u64,
    bytes_left: u64,
    write: bool,
    unanswered: u32,
    /// From request to request where memory keeps up.
    pace_ps: u64,
    next_ps: u64,
}

impl Stream {
    /// Of a transfer whose body takes `body_ps` where memory is no bound.
    pub fn new(ddr: &DdrTransfer, channels: &ChannelsSpec, body_ps: u64, now: u64) -> Stream {
        let requests = ddr.bytes.div_ceil(u64::from(channels.request_bytes)).max(1);
        let DdrTransfer { address, bytes, write } = *ddr;
        Stream { address, bytes_left: bytes, write, unanswered: 0, pace_ps: body_ps / requests, next_ps: now }
    }

    /// When it has a request; none while it waits for answers only.
    pub fn due(&self, channels: &ChannelsSpec) -> Option<u64> {
        (self.bytes_left > 0 && self.unanswered < channels.outstanding).then_some(self.next_ps)
    }

    /// Takes its next request, which is due.
    pub fn issue(&mut self, engine: u32, channels: &ChannelsSpec, now: u64) -> MemoryAccess {
        let bytes = self.bytes_left.min(u64::from(channels.request_bytes)) as u32;
        let access = MemoryAccess { engine, address: self.address, bytes, write: self.write };
        self.address += u64::from(bytes);
        self.bytes_left -= u64::from(bytes);
        self.unanswered += 1;
        self.next_ps = self.next_ps.max(now) + self.pace_ps;
        access
    }

    /// One answer. `true` if it was the last.
    pub fn answered(&mut self) -> bool {
        self.unanswered -= 1;
        self.bytes_left == 0 && self.unanswered == 0
    }
}
