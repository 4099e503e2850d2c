//! The DMA engine: cuts blocks of memory into requests, in order, at a finite rate.

use std::collections::VecDeque;

use protocol::{Bandwidth, MemOp, MemRequest};
use serde::{Deserialize, Serialize};
use sim_core::{Cx, Out};

use crate::systolic::program::{Place, Region};

/// A block on its way.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Transfer {
    pub region: Region,
    /// What a load fills; what a store comes from.
    pub place: Place,
    pub tile: u64,
    pub layer: u32,
    pub is_store: bool,
    /// Run that is being cut, and how far.
    run: u64,
    at: u64,
}

impl Transfer {
    pub fn new(region: Region, place: Place, tile: u64, layer: u32, is_store: bool) -> Self {
        Self { region, place, tile, layer, is_store, run: 0, at: 0 }
    }
}

/// What a request that is under way was for.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Pending {
    pub place: Place,
    pub tile: u64,
    pub bytes: u32,
    pub is_store: bool,
}

/// What a core's file says of its engine.
#[derive(Clone, Copy, Debug)]
pub struct DmaSpec {
    pub bytes_per_cycle: f64,
    /// Smallest access of memory, a power of two.
    pub request_bytes: u32,
    /// Longest request; what lies together in memory goes together up to its next multiple.
    pub burst_bytes: u32,
    /// Requests that may be under way.
    pub outstanding_requests: u32,
}

impl DmaSpec {
    /// The first thing that is wrong with it: the key, and what would be right.
    ///
    /// # Errors
    /// As above.
    pub fn check(&self) -> Result<(), (&'static str, String)> {
        if !(1..=1 << 24).contains(&self.outstanding_requests) {
            let problem = format!("{} is out of range: from 1 to {}", self.outstanding_requests, 1 << 24);
            return Err(("outstanding_requests", problem));
        }
        if !self.request_bytes.is_power_of_two() || self.request_bytes > 256 {
            return Err(("request_bytes", "should be a power of two of at most 256".into()));
        }
        if !self.burst_bytes.is_power_of_two() || self.burst_bytes < self.request_bytes || self.burst_bytes > 256 {
            return Err((
                "burst_bytes",
                "should be a power of two from `request_bytes` to 256, the longest response".into(),
            ));
        }
        if !(0.01..1e9).contains(&self.bytes_per_cycle) {
            return Err(("dma_bytes_per_cycle", "should be a number above 0".into()));
        }
        Ok(())
    }
}

/// The engine.
pub struct Dma {
    spec: DmaSpec,
    queue: VecDeque<Transfer>,
    rate: Bandwidth,
    pending: Vec<Option<Pending>>,
    free: Vec<u32>,
    outstanding: u32,
}

sim_core::saved!(Dma { state: queue, pending, free, outstanding; parts: rate; rebuilt: spec });

/// Why the engine stopped in this cycle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// Nothing to send.
    Idle,
    /// Its rate is spent until a cycle.
    Until(u64),
    /// No credit.
    Credit,
    /// As many requests are under way as may be.
    Outstanding,
}

impl Dma {
    pub fn new(spec: DmaSpec) -> Self {
        Self {
            spec,
            queue: VecDeque::new(),
            rate: Bandwidth::of_bytes_per_cycle(spec.bytes_per_cycle),
            pending: Vec::new(),
            free: Vec::new(),
            outstanding: 0,
        }
    }

    pub fn push(&mut self, transfer: Transfer) {
        self.queue.push_back(transfer);
    }

    /// Requests under way and transfers that wait.
    pub fn is_idle(&self) -> bool {
        self.outstanding == 0 && self.queue.is_empty()
    }

    /// Sends what may be sent; `sent` is told layer, bytes, and whether it is a store.
    pub fn run(
        &mut self,
        cx: &mut Cx<'_>,
        source: u32,
        port: Out<MemRequest>,
        sent: &mut impl FnMut(u32, u64, bool),
    ) -> Stop {
        let now = cx.now().0;
        let spec = self.spec;
        while let Some(transfer) = self.queue.front_mut() {
            if self.outstanding >= spec.outstanding_requests {
                return Stop::Outstanding;
            }
            self.rate.advance(now);
            if !self.rate.is_open() {
                return Stop::Until(self.rate.opens_at());
            }
            if !cx.can_send(port) {
                return Stop::Credit;
            }
            let (address, bytes) = next_request(transfer, &spec);
            let (pending, layer) = (
                Pending { place: transfer.place, tile: transfer.tile, bytes, is_store: transfer.is_store },
                transfer.layer,
            );
            if transfer.run == transfer.region.runs() {
                self.queue.pop_front();
            }
            let id = match self.free.pop() {
                Some(id) => {
                    self.pending[id as usize] = Some(pending);
                    id
                }
                None => {
                    self.pending.push(Some(pending));
                    self.pending.len() as u32 - 1
                }
            };
            self.outstanding += 1;
            self.rate.spend(bytes);
            // A response says how much it carries by its sectors of 32 bytes.
            let sectors = u8::MAX >> (8 - bytes.div_ceil(32).clamp(1, 8));
            let op = if pending.is_store { MemOp::Write } else { MemOp::Read };
            sent(layer, u64::from(bytes), pending.is_store);
            cx.send(port, MemRequest { id: u64::from(id), source, address, bytes, sectors, op });
        }
        Stop::Idle
    }

    /// A request is answered: what it was for.
    pub fn answered(&mut self, id: u64) -> Option<Pending> {
        let pending = self.pending.get_mut(id as usize)?.take()?;
        self.free.push(id as u32);
        self.outstanding -= 1;
        Some(pending)
    }

    /// The oldest transfer that waits.
    pub fn waiting(&self) -> Option<&Transfer> {
        self.queue.front()
    }
}

/// The next request of a transfer: from where it is to the end of the run or the next multiple of a burst.
fn next_request(transfer: &mut Transfer, spec: &DmaSpec) -> (u64, u32) {
    let (request, burst) = (u64::from(spec.request_bytes), u64::from(spec.burst_bytes));
    let start = transfer.region.start(transfer.run);
    let end = (start + transfer.region.run_bytes).next_multiple_of(request);
    let from = (start / request * request).max(transfer.at);
    let to = end.min((from / burst + 1) * burst);
    if to == end {
        (transfer.run, transfer.at) = (transfer.run + 1, 0);
    } else {
        transfer.at = to;
    }
    (from, (to - from) as u32)
}
