//! The crossbar between SMs and the slices of the second-level cache.
//!
//! ```text
//!               ┌── requests:  rate of the GPC ─▶ queue of the slice ─▶ rate of the slice ──┐
//!   req[sm]  ─▶ │                                                                           │ ─▶ mem_req[slice]
//!   resp[sm] ◀─ │                                                                           │ ◀─ mem_resp[slice]
//!               └── responses: rate of SM and GPC ◀─ queue of the SM ◀─ rate of the slice ──┘
//! ```
//!
//! Models: two [networks](crate::network), so that responses never wait for requests; which slice an address belongs to;
//! with two partitions, that an SM speaks only to the slices of its own one, and those to the others. SMs are dealt out to
//! GPCs in order, GPCs to partitions in order.
//! Leaves out: what the wires between are made of; clocks other than its own.
//! A packet counts as its data; one without data as its header.
//! The spread of addresses over slices is [`ChannelInterleave`], which is balanced for any number of slices.
//! Numbers: from the machine file, each with its origin. Canonical tests: `tests/crossbar.rs`.

use crate::network::{Gates, Moved, Network, Traffic};
use protocol::{ChannelInterleave, MemOp, MemRequest, MemResponse, MemoryLoad};
use serde::Deserialize;
use sim_core::stats::Breakdown;
use sim_core::{Activity, BuildError, Component, Cx, Cycle, In, Out, Site, StatsNode};

/// Requests and responses that wait at one port: the round trip of a link of 30 cycles.
const PORT_CAPACITY: u16 = 64;
const SECTOR_BYTES: u32 = 32;

/// Parameters.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CrossbarSpec {
    /// Groups of SMs that share a rate.
    pub gpcs: u32,
    /// Halves of the chip, 1 or 2; each has the same number of slices.
    pub partitions: u32,
    /// Bytes that stay together on a slice; a power of two of at least a line.
    pub slice_granule_bytes: u32,
    /// From the input to the queue of the output.
    pub request_latency_cycles: u32,
    /// The same for responses.
    pub response_latency_cycles: u32,
    /// Of the SMs of a GPC together.
    pub gpc_request_bytes_per_cycle: f64,
    /// To the SMs of a GPC together.
    pub gpc_response_bytes_per_cycle: f64,
    /// To one SM.
    pub sm_response_bytes_per_cycle: f64,
    /// To and from one slice, each way.
    pub slice_bytes_per_cycle: f64,
    /// Packets in the queue of an output.
    pub queue_entries: u16,
    /// What a packet without data counts as.
    pub header_bytes: u32,
}

/// The component `noc.crossbar`.
pub struct Crossbar {
    requests: Network<MemRequest>,
    responses: Network<MemResponse>,
    to_slices: ToSlices,
    to_sms: ToSms,
    sm_requests: Vec<In<MemRequest>>,
    sm_responses: Vec<Out<MemResponse>>,
    slice_requests: Vec<Out<MemRequest>>,
    slice_responses: Vec<In<MemResponse>>,
}

sim_core::saved!(Crossbar {
    parts: requests, responses;
    rebuilt: to_slices, to_sms, sm_requests, sm_responses, slice_requests, slice_responses;
});

/// Requests: routed by address.
struct ToSlices {
    interleave: ChannelInterleave,
    slices_per_partition: u32,
    /// First slice of the partition of each SM.
    first_slice: Vec<u32>,
    header_bytes: u32,
}

impl Traffic<MemRequest> for ToSlices {
    fn output(&self, request: &MemRequest) -> usize {
        let (slice, _) = self.interleave.split(request.address);
        (self.first_slice[request.source as usize] + slice % self.slices_per_partition) as usize
    }

    fn bytes(&self, request: &MemRequest) -> u32 {
        if request.op.carries_data() { request.bytes } else { self.header_bytes }
    }
}

/// Responses: routed by the SM that asked.
struct ToSms {
    header_bytes: u32,
}

impl Traffic<MemResponse> for ToSms {
    fn output(&self, response: &MemResponse) -> usize {
        response.source as usize
    }

    fn bytes(&self, response: &MemResponse) -> u32 {
        match response.op {
            MemOp::Read | MemOp::Prefetch | MemOp::Atomic => response.sectors.count_ones() * SECTOR_BYTES,
            MemOp::Write | MemOp::Update | MemOp::Pim(_) => self.header_bytes,
        }
    }
}

impl Component for Crossbar {
    const KIND: &'static str = "noc.crossbar";
    const DESCRIPTION: &'static str = "crossbar between the SMs of GPCs and cache slices: rates, queues, latency";
    const CHEAP_IDLE_TICK: bool = false;
    type Spec = CrossbarSpec;

    fn build(spec: CrossbarSpec, site: &mut Site<'_>) -> Result<Self, BuildError> {
        let (sms, slices) = (same_width(site, "req", "resp")?, same_width(site, "mem_req", "mem_resp")?);
        spec.check(slices)?;
        let gpcs = (spec.gpcs as usize).clamp(1, sms.max(1));
        // As the command processor deals them out.
        let gpc_of = move |sm: usize| (0..gpcs).rev().find(|gpc| gpc * sms / gpcs <= sm).unwrap_or(0);
        let partitions = spec.partitions as usize;
        let slices_per_partition = slices / partitions;
        let first_slice = |sm: usize| (gpc_of(sm) * partitions / gpcs * slices_per_partition) as u32;
        let own_slice = || Gates::new(spec.slice_bytes_per_cycle, slices, slices, |slice| slice);
        let gpc_rate = |rate| Gates::new(rate, gpcs, sms, gpc_of);
        let own_sm = Gates::new(spec.sm_response_bytes_per_cycle, sms, sms, |sm| sm);
        Ok(Self {
            requests: Network::new(
                spec.request_latency_cycles,
                spec.queue_entries,
                vec![gpc_rate(spec.gpc_request_bytes_per_cycle)],
                vec![own_slice()],
                slices,
            ),
            responses: Network::new(
                spec.response_latency_cycles,
                spec.queue_entries,
                vec![own_slice()],
                vec![own_sm, gpc_rate(spec.gpc_response_bytes_per_cycle)],
                sms,
            ),
            to_slices: ToSlices {
                interleave: ChannelInterleave::new(slices as u32, spec.slice_granule_bytes, true),
                slices_per_partition: slices_per_partition as u32,
                first_slice: (0..sms).map(first_slice).collect(),
                header_bytes: spec.header_bytes,
            },
            to_sms: ToSms { header_bytes: spec.header_bytes },
            sm_requests: site.inputs("req", sms, PORT_CAPACITY),
            sm_responses: site.outputs("resp", sms),
            slice_requests: site.outputs("mem_req", slices),
            slice_responses: site.inputs("mem_resp", slices, PORT_CAPACITY),
        })
    }

    fn tick(&mut self, cx: &mut Cx<'_>) -> Activity {
        let back = self.responses.tick(cx, &self.slice_responses, &self.sm_responses, &self.to_sms);
        let forth = self.requests.tick(cx, &self.sm_requests, &self.slice_requests, &self.to_slices);
        if cx.is_heard::<MemoryLoad>() {
            cx.emit(self.load());
        }
        let mut activity = Activity::input();
        let next = back.cycle.min(forth.cycle);
        if next != u64::MAX {
            activity = activity.or_until(Cycle(next));
        }
        if back.wants_credit || forth.wants_credit { activity.or_credit() } else { activity }
    }

    fn report(&self, _at: Cycle, out: &mut StatsNode) {
        for (name, moved) in [("requests", self.requests.moved), ("responses", self.responses.moved)] {
            report_network(moved, out.child(name));
        }
    }

    fn waiting(&self) -> Option<String> {
        let request = self.requests.oldest().map(|(slice, request)| {
            format!("{:?} {} of SM {} for slice {slice}", request.op, request.id, request.source)
        });
        request.or_else(|| {
            let (sm, response) = self.responses.oldest()?;
            Some(format!("answer to {:?} {} for SM {sm}", response.op, response.id))
        })
    }
}

fn report_network(moved: Moved, out: &mut StatsNode) {
    out.counter("packets", moved.packets_in, "packets");
    out.counter("packets_in_flight", moved.packets_in - moved.packets_out, "packets");
    out.counter("bytes", moved.bytes_in, "bytes");
    out.counter("queued_cycles", moved.queued_cycles, "packet-cycles");
    out.ratio("mean_queued", "queued_cycles", "packets", 1.0, "cycles");
    let parts = [("delivered", moved.bytes_out), ("in_flight", moved.bytes_in - moved.bytes_out)];
    let leaves = parts.map(|(name, bytes)| Breakdown::leaf(name, bytes, "bytes"));
    out.breakdown(Breakdown::of("bytes_entered", "bytes", leaves.to_vec()));
}

impl Crossbar {
    /// What the SMs have outstanding behind the crossbar.
    fn load(&self) -> MemoryLoad {
        let (requests, responses) = (self.requests.moved, self.responses.moved);
        MemoryLoad {
            in_flight: (requests.packets_in - responses.packets_out) as u32,
            waiting: (requests.packets_in - requests.packets_out) as u32,
            read_bytes: responses.bytes_out,
            written_bytes: requests.bytes_in,
        }
    }
}

impl CrossbarSpec {
    fn check(&self, slices: usize) -> Result<(), BuildError> {
        if self.gpcs == 0 {
            return Err(BuildError::key("gpcs", "should be at least 1"));
        }
        if !(1..=2).contains(&self.partitions) {
            return Err(BuildError::key("partitions", "should be 1 or 2"));
        }
        if slices == 0 || !slices.is_multiple_of(self.partitions as usize) {
            let problem = format!("{slices} links for {} partitions", self.partitions);
            return Err(BuildError::key("mem_req", problem).help("as many slices for each partition"));
        }
        if !self.slice_granule_bytes.is_power_of_two() || self.slice_granule_bytes < 128 {
            return Err(BuildError::key("slice_granule_bytes", "is not a power of two of at least a line of 128"));
        }
        if self.queue_entries == 0 {
            return Err(BuildError::key("queue_entries", "should be at least 1"));
        }
        for (key, rate) in [
            ("gpc_request_bytes_per_cycle", self.gpc_request_bytes_per_cycle),
            ("gpc_response_bytes_per_cycle", self.gpc_response_bytes_per_cycle),
            ("sm_response_bytes_per_cycle", self.sm_response_bytes_per_cycle),
            ("slice_bytes_per_cycle", self.slice_bytes_per_cycle),
        ] {
            if !rate.is_finite() || !(0.001..1e9).contains(&rate) {
                return Err(BuildError::key(key, "should be a number above 0"));
            }
        }
        Ok(())
    }
}

/// Ports linked to `requests`, as many as to `responses`.
fn same_width(site: &Site<'_>, requests: &str, responses: &str) -> Result<usize, BuildError> {
    let (there, back) = (site.linked_width(requests), site.linked_width(responses));
    if there == back {
        return Ok(there);
    }
    let problem = format!("{there} links of `{requests}`, but {back} of `{responses}`");
    Err(BuildError::key(requests, problem).help("an answer goes back to whoever asked"))
}
