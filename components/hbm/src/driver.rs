//! Drives a channel with a stream, as the golden runs were driven.
//!
//! ```text
//!   stream ─▶ up to k requests before each tick ─▶ controller ─▶ latencies, completion hash, cycles
//! ```
//!
//! Models: time t = ticks executed; requests in order, a refused one blocks those behind it; a limit on those
//! outstanding; the run ends before the first tick at which the stream is exhausted and nothing is outstanding.
//! Leaves out: more than one channel.
//! Numbers: none.
//! Start reading at [`drive`]; the canonical test is the golden suite `hbm-ramulator2`.

use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;

use crate::bank::{NEVER, Tick};
use crate::controller::Controller;
use crate::generator::Generated;
use crate::request::{Admission, Completion, Op, Request, Until};

/// How to drive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DriverSpec {
    /// Most requests accepted before one tick.
    pub requests_per_tick: u32,
    /// Most requests accepted and not completed.
    pub max_outstanding: Option<u64>,
}

/// What a run gave.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Outcome {
    /// Ticks executed.
    pub cycles: Tick,
    /// Tick of the last acceptance.
    pub last_accept: Tick,
    /// Largest time stamp of a completion.
    pub last_done: Tick,
    /// Latency of every completed read, in ticks, in order of completion.
    pub read_latencies: Vec<u32>,
    /// Latency of every completed write, in ticks, in order of completion.
    pub write_latencies: Vec<u32>,
    /// 64-bit FNV-1a over index x 64 and time stamp of every completed read, in order of completion.
    pub completion_hash: u64,
    /// Controller was stuck: foreground work, nothing due. Never true for a correct controller.
    pub deadlock: bool,
}

/// Runs a stream to its end.
pub fn drive(
    controller: &mut dyn Controller,
    stream: &mut dyn Iterator<Item = Generated>,
    spec: &DriverSpec,
) -> Outcome {
    let mut run = Run::default();
    drive_until(&mut run, controller, stream, spec, NEVER, &AtomicBool::new(false));
    run.outcome
}

/// Goes on with a run, before tick `end` and until `stop` is set; whether it came to its end. Requests are offered in ticks
/// before `end` only: going on from there is the same as never having stopped, since a request that waits is refused again.
/// `stream` gives all requests, those of before too.
pub fn drive_until(
    run: &mut Run,
    controller: &mut dyn Controller,
    stream: &mut dyn Iterator<Item = Generated>,
    spec: &DriverSpec,
    end: Tick,
    stop: &AtomicBool,
) -> bool {
    let limit = spec.max_outstanding.unwrap_or(u64::MAX);
    let mut done = Vec::new();
    let mut next = match run.taken.checked_sub(1) {
        None => stream.next(),
        Some(before) => stream.nth(before as usize),
    };
    run.taken = run.taken.max(1);
    let ended = loop {
        let now = controller.now();
        if now >= end || stop.load(Relaxed) {
            break false;
        }
        let mut wait = Wait::NextTick;
        for _ in 0..spec.requests_per_tick {
            wait = match &next {
                None => Wait::Drain,
                Some(request) if request.due > now => Wait::Due(request.due),
                Some(_) if run.outstanding >= limit => Wait::Completion,
                Some(request) => match run.offer(controller, request) {
                    Admission::Refused => Wait::Space(request.op),
                    _ => {
                        next = stream.next();
                        run.taken += 1;
                        wait = Wait::NextTick;
                        continue;
                    }
                },
            };
            break;
        }
        if next.is_none() && run.outstanding == 0 {
            break true;
        }
        if next.is_none() {
            wait = Wait::Drain;
        }
        let (until, to) = match wait {
            Wait::NextTick => (Until::Limit, now + 1),
            Wait::Due(tick) => (Until::Limit, tick),
            Wait::Space(op) => (Until::Space(op), NEVER - 1),
            Wait::Completion | Wait::Drain => (Until::Completion, NEVER - 1),
        };
        if controller.run(to.min(end), until, &mut done) == NEVER - 1 {
            run.outcome.deadlock = true;
            break true;
        }
        done.drain(..).for_each(|c| run.completed(&c));
    };
    run.outcome.cycles = controller.now();
    ended
}

const FNV_OFFSET: u64 = 1_469_598_103_934_665_603;
const FNV_PRIME: u64 = 1_099_511_628_211;

/// What the driver waits for before it offers again.
enum Wait {
    NextTick,
    Due(Tick),
    Space(Op),
    Completion,
    Drain,
}

/// A run as far as it has come.
#[derive(Debug, Clone)]
pub struct Run {
    /// What it gave so far.
    pub outcome: Outcome,
    outstanding: u64,
    /// Requests taken from the stream, the one that waits included.
    taken: u64,
}

sim_core::saved!(Run { state: outcome, outstanding, taken });

impl Default for Run {
    fn default() -> Self {
        let outcome = Outcome {
            cycles: 0,
            last_accept: 0,
            last_done: 0,
            read_latencies: Vec::new(),
            write_latencies: Vec::new(),
            completion_hash: FNV_OFFSET,
            deadlock: false,
        };
        Run { outcome, outstanding: 0, taken: 0 }
    }
}

impl Run {
    fn offer(&mut self, controller: &mut dyn Controller, request: &Generated) -> Admission {
        let now = controller.now();
        let admission = controller.enqueue(Request { id: request.index, address: request.address, op: request.op });
        match admission {
            Admission::Accepted => self.outstanding += 1,
            // A merged write is acknowledged one tick after it was offered.
            Admission::Merged => self.outcome.write_latencies.push(1),
            Admission::Refused => return admission,
        }
        self.outcome.last_accept = now;
        admission
    }

    fn completed(&mut self, c: &Completion) {
        self.outstanding -= 1;
        let out = &mut self.outcome;
        out.last_done = out.last_done.max(c.done);
        let latency = (c.done - c.arrive) as u32;
        match c.op {
            Op::Read => {
                out.read_latencies.push(latency);
                out.completion_hash = fnv(fnv(out.completion_hash, c.id.wrapping_mul(64)), c.done);
            }
            Op::Write | Op::Update => out.write_latencies.push(latency),
        }
    }
}

fn fnv(mut hash: u64, word: u64) -> u64 {
    for byte in word.to_le_bytes() {
        hash = (hash ^ u64::from(byte)).wrapping_mul(FNV_PRIME);
    }
    hash
}
