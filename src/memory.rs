//! `orrery run` on a memory: one channel of it under a stream or a trace.

use std::path::Path;
use std::time::Instant;

use hbm::bank::NEVER;
use hbm::checker::TracedCommand;
use hbm::command::Generation;
use hbm::controller::IssuedCommand;
use hbm::driver::DriverSpec;
use hbm::energy::Currents;
use hbm::error::{ConfigError, TraceError};
use hbm::generator::{Arrival, Generated, RequestStream, StreamKind};
use hbm::library::SHIPPED;
use hbm::mapper::FieldOrder;
use hbm::memory_file::{MemoryFile, description, is_memory_file, shipped};
use hbm::report::{ChannelReport, ChannelRun, run};
use hbm::trace::{LAST_TICK, MOST_REQUESTS, RequestLimits, read_requests};
use hbm::workload::Workload;
use sim_core::{Reader, Saved, StopReason, Writer};

use crate::catalog;
use crate::failure::{Complaint, Failure};
use crate::memory_result::{config_hash, result_of};
use crate::pieces::{Asked, Pieces, inputs, partial};
use crate::result::{RunResult, Wall, peak_rss_bytes};

/// What runs on a memory when nothing is named.
pub const STREAM: &str = "seq_read";
/// Loads of the latency–bandwidth curve, in percent of the channel's peak.
const LOADS_PERCENT: [u64; 14] = [2, 5, 10, 20, 30, 40, 50, 60, 70, 80, 85, 90, 95, 99];
/// Requests of each point of the curve at most.
const CURVE_REQUESTS: u64 = 30_000;

/// Name and description of each shipped memory.
pub fn memories() -> Vec<(&'static str, String)> {
    SHIPPED.iter().map(|(name, text)| (*name, description(text))).collect()
}

/// Whether a word means a memory. Where a GPU and its memory have one name, the GPU is meant, and `stacks/` the memory.
pub fn is_memory(word: &str) -> bool {
    let is_gpu = catalog::machines().iter().any(|machine| machine.name == word);
    !is_gpu && (Path::new(word).is_file() && is_memory_file(word) || shipped(word).is_some())
}

/// Whether a word begins like a stream, for messages about workloads.
pub fn is_stream(word: &str) -> bool {
    word.split_whitespace().next().is_some_and(|first| first.parse::<StreamKind>().is_ok())
}

/// Reads a memory with overrides.
pub fn memory(word: &str, sets: &[String]) -> Result<MemoryFile, Failure> {
    MemoryFile::load(word, sets).map_err(config_failure)
}

/// What the user reads of a wrong preset.
pub fn config_failure(error: ConfigError) -> Failure {
    let complaint = |p: hbm::error::Problem| {
        let key = if p.key.is_empty() { String::new() } else { format!("`{}`: ", p.key) };
        Complaint::new(format!("{key}{}", p.message)).help(p.help).at_line(&p.file, p.line as u32)
    };
    Failure::Input(error.problems.into_iter().map(complaint).collect())
}

/// What the user reads of a wrong trace.
pub fn trace_failure(error: TraceError) -> Failure {
    Complaint::new(error.message).help(error.help).at_line(&error.file, error.line as u32).into()
}

/// The text of a trace, unpacked if its name ends in `.zst`.
pub fn trace_text(file: &str) -> Result<String, Failure> {
    let wrong = |what: String| {
        Failure::from(Complaint::new(format!("{file}: {what}")).help("a text trace, or one packed as .zst"))
    };
    let bytes = std::fs::read(file).map_err(|error| wrong(format!("cannot be read: {error}")))?;
    let bytes = match file.ends_with(".zst") {
        true => zstd::decode_all(&bytes[..]).map_err(|error| wrong(format!("cannot be unpacked: {error}")))?,
        false => bytes,
    };
    String::from_utf8(bytes).map_err(|_| wrong("is not text".to_string()))
}

/// A finished run on a memory, and what the figures are drawn from.
pub struct MemoryRun {
    pub result: RunResult,
    pub report: ChannelReport,
    pub memory: MemoryFile,
    /// Every command, if asked for.
    pub commands: Option<Vec<TracedCommand>>,
    source: Source,
}

/// Where the requests come from.
#[derive(Clone)]
pub enum Source {
    Stream(Workload),
    Trace(Vec<Generated>),
}

/// Runs a stream or a trace on one channel of a memory.
pub fn simulate(asked: &Asked, pieces: &Pieces, keep_commands: bool) -> Result<MemoryRun, Failure> {
    let (machine, workload) =
        (asked.machine.as_deref().unwrap_or_default(), asked.workload.as_deref().unwrap_or(STREAM));
    let memory = memory(machine, &asked.sets)?;
    let source = source(workload, &memory)?;
    let inputs = inputs(0, &memory.to_toml(), &config_hash(&memory, &source));
    let MemoryFile { preset, policy, .. } = &memory;
    let mut run = ChannelRun::new(preset, policy, Recorder(keep_commands.then(Vec::new))).map_err(config_failure)?;
    if let Some((state, _)) = pieces.state(&inputs)? {
        let mut from = Reader::new(state);
        let loaded = run.load(&mut from).and_then(|()| from.finish());
        loaded.map_err(|error| pieces.misfit(&error))?;
    }
    let start = Instant::now();
    let from_tick = run.now();
    let ticks_per_clock = u64::from(preset.generation.ticks_per_ck());
    let end = pieces.until.map_or(NEVER, |cycle| cycle.saturating_mul(ticks_per_clock));
    let ended = with_requests(&memory, &source, |requests, driver| run.advance(requests, driver, end, &pieces.stop));
    let reason = match (ended, run.now() >= end) {
        (true, _) => StopReason::WorkDone,
        (false, true) => StopReason::TimeLimit,
        (false, false) => StopReason::Interrupted,
    };
    let partial = partial(reason, run.now().div_ceil(ticks_per_clock));
    if let Some(partial) = partial.filter(|_| pieces.is_saved()) {
        let mut out = Writer::new();
        run.save(&mut out);
        pieces.save(asked, &inputs, partial.cycle, out.into_bytes())?;
    }
    let report = run.report(preset, currents(preset.generation)?.as_ref());
    let seconds = start.elapsed().as_secs_f64();
    if report.deadlock {
        return Err(Failure::Run(Complaint::new(format!("{machine} is stuck with requests left: a fault of orrery"))));
    }
    let wall = Wall {
        seconds,
        cycles_per_second: (run.now() - from_tick) as f64 / ticks_per_clock as f64 / seconds.max(1e-9),
        peak_rss_bytes: peak_rss_bytes(),
        threads: 1,
        ticks_per_shard: Vec::new(),
    };
    let commands = run.into_observer().0.map(|issued| issued.iter().map(|c| traced(&memory, c)).collect());
    let result = result_of(machine, workload, &memory, &source, &report, partial, wall);
    Ok(MemoryRun { result, report, memory, commands, source })
}

impl MemoryRun {
    /// Mean latency in ns of the reads (of the writes, where there are none) over the bandwidth in GB/s of one channel,
    /// for the stream at rising load; none for a trace, whose times are given.
    pub fn latency_over_bandwidth(&self) -> Result<Option<Vec<(f64, f64)>>, Failure> {
        let Source::Stream(workload) = &self.source else { return Ok(None) };
        let preset = &self.memory.preset;
        let mut points = Vec::new();
        for percent in LOADS_PERCENT {
            let mut paced = *workload;
            paced.stream.requests = paced.stream.requests.min(CURVE_REQUESTS);
            paced.driver.max_outstanding = None;
            paced.stream.arrival = Arrival::Paced {
                numerator: preset.burst_ticks() * 100,
                denominator: u64::from(preset.organisation.pseudo_channels) * percent,
            };
            let report = run_source(&self.memory, &Source::Stream(paced))?;
            if let Some(latency) = report.reads.or(report.writes) {
                points.push((report.gb_per_s, latency.mean_ns));
            }
        }
        Ok(Some(points))
    }
}

/// Keeps the commands if there is a place for them.
struct Recorder(Option<Vec<IssuedCommand>>);

impl hbm::controller::CommandObserver for Recorder {
    fn issued(&mut self, command: &IssuedCommand) {
        if let Some(kept) = &mut self.0 {
            kept.push(*command);
        }
    }
}

fn traced(memory: &MemoryFile, c: &IssuedCommand) -> TracedCommand {
    let mut place = memory.preset.organisation.unflatten(c.bank);
    (place.row, place.column) = (c.row, c.column);
    TracedCommand { tick: c.tick, command: c.command, place }
}

fn run_source(memory: &MemoryFile, source: &Source) -> Result<ChannelReport, Failure> {
    let MemoryFile { preset, policy, .. } = memory;
    let currents = currents(preset.generation)?;
    let run =
        |requests: &mut dyn Iterator<Item = _>, driver: &_| run(preset, policy, requests, driver, currents.as_ref());
    with_requests(memory, source, run).map_err(config_failure)
}

/// Hands on all requests of a source and how they are driven.
fn with_requests<T>(
    memory: &MemoryFile,
    source: &Source,
    go: impl FnOnce(&mut dyn Iterator<Item = Generated>, &DriverSpec) -> T,
) -> T {
    match source {
        Source::Stream(workload) => {
            let org = &memory.preset.organisation;
            let order = FieldOrder::named(memory.policy.map, org);
            let mut stream = RequestStream::new(workload.stream, order, org.access_bytes).through_hash();
            go(&mut stream, &workload.driver)
        }
        Source::Trace(requests) => {
            go(&mut requests.iter().copied(), &DriverSpec { requests_per_tick: 8, max_outstanding: None })
        }
    }
}

/// The public currents nearest to a generation; the report names them. None are near those of GDDR6.
fn currents(generation: Generation) -> Result<Option<Currents>, Failure> {
    let name = match generation {
        Generation::Hbm1 => "hbm1-dramsim3.toml",
        Generation::Gddr6 => return Ok(None),
        _ => "hbm2-dramsim3.toml",
    };
    let read = |path: &str| {
        let text = catalog::config_text(&format!("memory/energy/{path}"));
        text.map(str::to_string).ok_or_else(|| std::io::Error::other("not shipped"))
    };
    Currents::load(name, &read).map(Some).map_err(config_failure)
}

/// A trace if the word is the path of a file, else a stream.
fn source(word: &str, memory: &MemoryFile) -> Result<Source, Failure> {
    let org = &memory.preset.organisation;
    if Path::new(word).is_file() {
        let limits = RequestLimits { access_bytes: org.access_bytes, capacity_bytes: org.channel_bytes() };
        let requests = read_requests(word, &trace_text(word)?, &limits).map_err(trace_failure)?;
        return Ok(Source::Trace(requests));
    }
    let workload: Workload = word.parse().map_err(|error: hbm::workload::WorkloadError| {
        let help = "a stream such as \"rand_rw21 requests=50000 outstanding=16\", or the path of a request trace";
        Complaint::new(format!("`{word}` is neither a stream nor a file: {error}")).help(help)
    })?;
    let stream = &workload.stream;
    let bytes = match stream.kind {
        StreamKind::Stride { bytes } => bytes.max(stream.footprint_bytes.unwrap_or(0)),
        _ => stream.footprint_bytes.unwrap_or(0),
    };
    if bytes > org.channel_bytes() {
        let help = format!("a channel holds {} bytes", org.channel_bytes());
        return Err(Complaint::new(format!("`{word}`: a footprint or stride of {bytes} bytes")).help(help).into());
    }
    let last = match stream.arrival {
        Arrival::Saturating => Some(0),
        Arrival::Paced { numerator, denominator } => stream.requests.checked_mul(numerator).map(|t| t / denominator),
        Arrival::Bursts { length, gap_ticks } => (stream.requests / length).checked_mul(gap_ticks),
    };
    too_long(stream.requests, last.unwrap_or(u64::MAX))
        .map_err(|message| Complaint::new(format!("`{word}`: {message}")))?;
    Ok(Source::Stream(workload))
}

fn too_long(requests: u64, last_tick: u64) -> Result<(), String> {
    if requests > MOST_REQUESTS {
        return Err(format!("{requests} requests are more than the {MOST_REQUESTS} of one run"));
    }
    if last_tick > LAST_TICK {
        return Err(format!("a request is due at tick {last_tick}, later than {LAST_TICK}"));
    }
    Ok(())
}
