//! Experiments that were made on real memories, repeated on the native controller of one channel.
//!
//! ```text
//!   stream share of peak · idle latency by row state · latency under load of cache lines
//! ```
//!
//! Models: one channel's part of the experiment; a stack's channels are alike and independent.
//! Leaves out: cores, caches and fabric, which enter as constants fitted by the suite `hbm-hardware`.
//! Numbers: none.
//! Start reading at [`stream_share_of_peak`]; the canonical test is `tests/hardware.rs`.

use crate::bank::Tick;
use crate::controller::CommandObserver;
use crate::driver::{DriverSpec, drive};
use crate::error::ConfigError;
use crate::generator::{Generated, RequestStream};
use crate::mapper::{FieldMap, FieldOrder};
use crate::native::{Native, Policy};
use crate::organisation::DramAddress;
use crate::preset::Preset;
use crate::request::Op;
use crate::workload::Workload;

/// State of the row that an idle channel's read meets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowState {
    /// It is open.
    Hit,
    /// The bank is closed.
    Closed,
    /// Another row is open.
    Conflict,
}

/// Share of the channel's peak that a saturating stream reaches, 0 to 1, and the observer with every command.
pub fn stream_share_of_peak<O: CommandObserver>(
    preset: &Preset,
    policy: &Policy,
    workload: &Workload,
    observer: O,
) -> Result<(f64, O), ConfigError> {
    let org = &preset.organisation;
    let mut controller = Native::new(preset, policy, observer)?;
    let order = FieldOrder::named(FieldMap::RoBaRaCoCh, org);
    let mut requests = RequestStream::new(workload.stream, order, org.access_bytes);
    let out = drive(&mut controller, &mut requests, &workload.driver);
    let bytes = workload.stream.requests as f64 * f64::from(org.access_bytes);
    let gb_per_s = bytes / (out.cycles as f64 * preset.tick_ps()) * 1e3;
    Ok((gb_per_s / preset.peak_channel_gb_per_s(), controller.observer))
}

/// Latency of a single read in ns, request to last data.
pub fn idle_latency_ns(preset: &Preset, state: RowState) -> Result<f64, ConfigError> {
    let policy = Policy {
        refresh: crate::native::RefreshPolicy::None,
        map: FieldMap::RoBaRaCoCh,
        page: crate::native::PagePolicy::Open,
        ..Policy::default()
    };
    let order = FieldOrder::named(FieldMap::RoBaRaCoCh, &preset.organisation);
    let read = |index: u64, row, column| Generated {
        index,
        address: order.compose(&DramAddress { row, column, ..Default::default() }),
        op: Op::Read,
        due: index * 10_000,
    };
    let rows: &[u32] = match state {
        RowState::Closed => &[5],
        RowState::Hit => &[5, 5],
        RowState::Conflict => &[5, 6],
    };
    let mut requests = rows.iter().zip(0u32..).map(|(row, i)| read(u64::from(i), *row, i));
    let mut controller = Native::new(preset, &policy, ())?;
    let out = drive(&mut controller, &mut requests, &DriverSpec { requests_per_tick: 8, max_outstanding: None });
    Ok(out.read_latencies.last().map_or(0.0, |l| f64::from(*l) * preset.tick_ps() / 1e3))
}

/// A load of cache lines on one channel.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LineLoad {
    /// Bandwidth of the whole product.
    pub gb_per_s: f64,
    /// Bytes of a line; all of it lies on one channel.
    pub line_bytes: u32,
    /// Lines that arrive together, each of another stream.
    pub lines_together: u32,
    /// Sequential streams that share the channel: the cores of its memory domain.
    pub streams: u32,
    /// Lines to simulate.
    pub lines: u64,
}

/// Mean latency in ns of the reads of cache lines that arrive at random (exponential gaps) from sequential streams.
pub fn loaded_latency_ns(preset: &Preset, policy: &Policy, load: &LineLoad) -> Result<f64, ConfigError> {
    let mut controller = Native::new(preset, policy, ())?;
    let mut requests = LineStream::new(preset, load);
    let spec = DriverSpec { requests_per_tick: u32::MAX, max_outstanding: None };
    let out = drive(&mut controller, &mut requests, &spec);
    let sum: u64 = out.read_latencies.iter().map(|l| u64::from(*l)).sum();
    Ok(sum as f64 / out.read_latencies.len().max(1) as f64 * preset.tick_ps() / 1e3)
}

struct LineStream {
    next: u64,
    accesses: u64,
    access_bytes: u64,
    accesses_per_line: u64,
    lines_together: u64,
    mean_gap_ticks: f64,
    due: f64,
    state: u64,
    lines_of_stream: Vec<u64>,
    stream: u64,
    capacity_bytes: u64,
}

impl LineStream {
    fn new(preset: &Preset, load: &LineLoad) -> Self {
        let org = &preset.organisation;
        let per_channel = load.gb_per_s / f64::from(preset.total_channels());
        let line_ns = f64::from(load.line_bytes) / per_channel;
        let accesses_per_line = u64::from((load.line_bytes / org.access_bytes).max(1));
        LineStream {
            next: 0,
            accesses: load.lines * accesses_per_line,
            access_bytes: u64::from(org.access_bytes),
            accesses_per_line,
            lines_together: u64::from(load.lines_together.max(1)),
            mean_gap_ticks: line_ns * f64::from(load.lines_together.max(1)) * 1e3 / preset.tick_ps(),
            due: 0.0,
            state: 1,
            lines_of_stream: vec![0; load.streams.max(1) as usize],
            stream: 0,
            capacity_bytes: org.channel_bytes(),
        }
    }

    fn random(&mut self) -> u64 {
        self.state = self.state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.state >> 32
    }
}

impl Iterator for LineStream {
    type Item = Generated;

    fn next(&mut self) -> Option<Generated> {
        let index = self.next;
        if index == self.accesses {
            return None;
        }
        self.next += 1;
        let part = index % self.accesses_per_line;
        if part == 0 {
            if (index / self.accesses_per_line).is_multiple_of(self.lines_together) {
                let uniform = (self.random() + 1) as f64 / 4_294_967_296.0;
                self.due += -uniform.ln() * self.mean_gap_ticks;
            }
            self.stream = self.random() % self.lines_of_stream.len() as u64;
            self.lines_of_stream[self.stream as usize] += 1;
        }
        let line = self.lines_of_stream[self.stream as usize] - 1;
        let start = self.stream * (self.capacity_bytes / self.lines_of_stream.len() as u64 / 4096 * 4096);
        let address = start + (line * self.accesses_per_line + part) * self.access_bytes;
        Some(Generated { index, address: address % self.capacity_bytes, op: Op::Read, due: self.due as Tick })
    }
}
