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
#[derive(Debug, Clone, PartialEq, Eq)]
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
    let mut run = Run {
        outcome: Outcome {
            cycles: 0,
            last_accept: 0,
            last_done: 0,
            read_latencies: Vec::new(),
            write_latencies: Vec::new(),
            completion_hash: FNV_OFFSET,
            deadlock: false,
        },
        outstanding: 0,
    };
    let limit = spec.max_outstanding.unwrap_or(u64::MAX);
    let mut done = Vec::new();
    let mut next = stream.next();
    loop {
        let now = controller.now();
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
                        wait = Wait::NextTick;
                        continue;
                    }
                },
            };
            break;
        }
        if next.is_none() && run.outstanding == 0 {
            break;
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
        if controller.run(to, until, &mut done) == NEVER - 1 {
            run.outcome.deadlock = true;
            break;
        }
        done.drain(..).for_each(|c| run.completed(&c));
    }
    run.outcome.cycles = controller.now();
    run.outcome
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

struct Run {
    outcome: Outcome,
    outstanding: u64,
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
