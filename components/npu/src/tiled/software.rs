//! The software above the NPU: pipelines that ask for inferences, and the order in which they get the NPU.
//!
//! ```text
//!   pipeline: released at a period or by a trace ─▶ [driver overhead] ─▶ policy ─▶ NPU, one inference at a time ─▶ deadline?
//! ```
//! Models: several pipelines, each one thread that has its inferences done in order; first come first served, fixed priority,
//! earliest deadline, and time slices that end at the next border between tasks. An inference that was interrupted goes on
//! where it was. Leaves out: what two inferences would overlap on the NPU; the cost of exchanging them beyond the overhead.
//! Sources: the layer that US 2026/0119366 A1 (abstract) describes above its task simulation; the policies are textbook ones.

/// When inferences are asked for, in picoseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Releases {
    Period { first_ps: u64, period_ps: u64, inferences: u32 },
    Trace(Vec<u64>),
}

/// A thread that runs a model again and again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pipeline {
    pub name: String,
    /// Time of one inference alone, and the times within it at which tasks end: there it can be interrupted.
    pub makespan_ps: u64,
    pub borders_ps: Vec<u64>,
    pub releases: Releases,
    /// Smaller is more urgent.
    pub priority: u32,
    /// From release to end.
    pub deadline_ps: Option<u64>,
}

impl Pipeline {
    /// A pipeline of what a run of its task list gave.
    pub fn of(name: &str, schedule: &super::Schedule, releases: Releases) -> Pipeline {
        let mut borders_ps: Vec<u64> = schedule.tasks.iter().map(|task| task.end_ps).collect();
        borders_ps.sort_unstable();
        borders_ps.dedup();
        let makespan_ps = schedule.makespan_ps;
        Pipeline { name: name.to_owned(), makespan_ps, borders_ps, releases, priority: 0, deadline_ps: None }
    }

    /// The first border at or after a time within an inference.
    fn border(&self, at_ps: u64) -> u64 {
        let next = self.borders_ps.partition_point(|border| *border < at_ps);
        self.borders_ps.get(next).copied().unwrap_or(self.makespan_ps).min(self.makespan_ps)
    }
}

/// Who gets the NPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// In the order of release.
    Fifo,
    /// By priority; equals in the order of release.
    Priority,
    /// By the end of the deadline; those without one last.
    EarliestDeadline,
    /// In turn, each until the first border after its slice.
    TimeSlice { slice_ps: u64 },
}

/// One inference as it came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Inference {
    /// Place of its pipeline.
    pub pipeline: u32,
    pub released_ps: u64,
    pub ended_ps: u64,
    pub missed_deadline: bool,
}

impl Inference {
    pub fn latency_ps(&self) -> u64 {
        self.ended_ps - self.released_ps
    }
}

/// What one pipeline got.
#[derive(Debug, Clone, PartialEq)]
pub struct Service {
    pub inferences: u32,
    /// Median, 95th and 99th percentile and the longest, by nearest rank.
    pub latency_ps: [u64; 4],
    pub missed_deadlines: u32,
    /// From the first release of any pipeline to the end of all.
    pub inferences_per_s: f64,
}

/// A request in the queue.
#[derive(Debug, Clone, Copy)]
struct Request {
    pipeline: u32,
    number: u32,
    released_ps: u64,
    /// Of the inference that is done, and whether it has paid the overhead.
    done_ps: u64,
    started: bool,
    /// When it last came to the end of the queue.
    queued: u64,
}

/// Serves all inferences of the pipelines, in the order of their ends. `overhead_ps` is what the driver takes before each.
pub fn serve(pipelines: &[Pipeline], policy: Policy, overhead_ps: u64) -> Vec<Inference> {
    let mut coming = requests(pipelines);
    coming.reverse();
    let mut ready: Vec<Request> = Vec::new();
    let mut ended = Vec::with_capacity(coming.len());
    let (mut now, mut queued) = (0, 0);
    while !(coming.is_empty() && ready.is_empty()) {
        if ready.is_empty() {
            now = now.max(coming.last().expect("one is left").released_ps);
        }
        while let Some(request) = coming.pop_if(|request| request.released_ps <= now) {
            queued += 1;
            ready.push(Request { queued, ..request });
        }
        let chosen = choose(&ready, pipelines, policy);
        let mut request = ready.swap_remove(chosen);
        let pipeline = &pipelines[request.pipeline as usize];
        if !request.started {
            request.started = true;
            now += overhead_ps;
        }
        let until = match policy {
            Policy::TimeSlice { slice_ps } => pipeline.border(request.done_ps + slice_ps.max(1)),
            // More urgent ones get the NPU at the next border after they come; else it is kept to the end.
            Policy::Priority | Policy::EarliestDeadline => match coming.last() {
                Some(next) if next.released_ps < now + pipeline.makespan_ps - request.done_ps => {
                    pipeline.border(request.done_ps + next.released_ps.saturating_sub(now).max(1))
                }
                _ => pipeline.makespan_ps,
            },
            Policy::Fifo => pipeline.makespan_ps,
        };
        now += until - request.done_ps;
        request.done_ps = until;
        if until == pipeline.makespan_ps {
            let missed_deadline = pipeline.deadline_ps.is_some_and(|deadline| now - request.released_ps > deadline);
            let Request { pipeline, released_ps, .. } = request;
            ended.push(Inference { pipeline, released_ps, ended_ps: now, missed_deadline });
        } else {
            // Those that came meanwhile stand before it where turns are taken.
            while let Some(other) = coming.pop_if(|other| other.released_ps <= now) {
                queued += 1;
                ready.push(Request { queued, ..other });
            }
            if matches!(policy, Policy::TimeSlice { .. }) {
                queued += 1;
                request.queued = queued;
            }
            ready.push(request);
        }
    }
    ended
}

/// All requests by time of release.
fn requests(pipelines: &[Pipeline]) -> Vec<Request> {
    let mut all = Vec::new();
    for (pipeline, of) in (0..).zip(pipelines) {
        let times: Vec<u64> = match &of.releases {
            Releases::Period { first_ps, period_ps, inferences } => {
                (0..u64::from(*inferences)).map(|number| first_ps + number * period_ps).collect()
            }
            Releases::Trace(times) => {
                let mut times = times.clone();
                times.sort_unstable();
                times
            }
        };
        all.extend((0..).zip(times).map(|(number, released_ps)| Request {
            pipeline,
            number,
            released_ps,
            done_ps: 0,
            started: false,
            queued: 0,
        }));
    }
    all.sort_by_key(|request| (request.released_ps, request.pipeline, request.number));
    all
}

/// The request that gets the NPU. A pipeline has its inferences done in order.
fn choose(ready: &[Request], pipelines: &[Pipeline], policy: Policy) -> usize {
    let first_of_its_pipeline = |request: &Request| {
        !ready.iter().any(|other| other.pipeline == request.pipeline && other.number < request.number)
    };
    let urgency = |request: &Request| {
        let pipeline = &pipelines[request.pipeline as usize];
        match policy {
            Policy::Fifo | Policy::TimeSlice { .. } => 0,
            Policy::Priority => u64::from(pipeline.priority),
            Policy::EarliestDeadline => {
                pipeline.deadline_ps.map_or(u64::MAX, |deadline| request.released_ps.saturating_add(deadline))
            }
        }
    };
    let candidates = ready.iter().enumerate().filter(|(_, request)| first_of_its_pipeline(request));
    let chosen = candidates.min_by_key(|(_, request)| (urgency(request), request.queued));
    chosen.expect("something is ready").0
}

/// What each pipeline got.
pub fn summary(pipelines: &[Pipeline], inferences: &[Inference]) -> Vec<Service> {
    let begin = inferences.iter().map(|inference| inference.released_ps).min().unwrap_or(0);
    let end = inferences.iter().map(|inference| inference.ended_ps).max().unwrap_or(0);
    let seconds = (end - begin) as f64 / 1e12;
    let service = |pipeline: u32| {
        let own = || inferences.iter().filter(move |inference| inference.pipeline == pipeline);
        let mut latencies: Vec<u64> = own().map(Inference::latency_ps).collect();
        latencies.sort_unstable();
        // The smallest that a share of all does not exceed.
        let rank = |percent: usize| match latencies.len() {
            0 => 0,
            count => latencies[(count * percent).div_ceil(100).max(1) - 1],
        };
        Service {
            inferences: latencies.len() as u32,
            latency_ps: [rank(50), rank(95), rank(99), rank(100)],
            missed_deadlines: own().filter(|inference| inference.missed_deadline).count() as u32,
            inferences_per_s: if seconds > 0.0 { latencies.len() as f64 / seconds } else { 0.0 },
        }
    };
    (0..pipelines.len() as u32).map(service).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pipeline(makespan_ps: u64, borders: &[u64], times: &[u64], priority: u32, deadline: Option<u64>) -> Pipeline {
        Pipeline {
            name: String::new(),
            makespan_ps,
            borders_ps: borders.to_vec(),
            releases: Releases::Trace(times.to_vec()),
            priority,
            deadline_ps: deadline,
        }
    }

    fn ends(pipelines: &[Pipeline], policy: Policy, overhead: u64) -> Vec<(u32, u64)> {
        serve(pipelines, policy, overhead).iter().map(|inference| (inference.pipeline, inference.ended_ps)).collect()
    }

    /// A long inference of 100 with borders every 30, released at 0; a short one of 10 at 40.
    #[test]
    fn policies_by_hand() {
        let both = [pipeline(100, &[30, 60, 90, 100], &[0], 1, None), pipeline(10, &[10], &[40], 0, Some(40))];
        // First come: 100, then 110; the deadline was 80.
        assert_eq!(ends(&both, Policy::Fifo, 0), [(0, 100), (1, 110)]);
        assert_eq!(summary(&both, &serve(&both, Policy::Fifo, 0))[1].missed_deadlines, 1);
        // The long one gives way at its border at 60; the short one ends at 70, the long one at 110.
        assert_eq!(ends(&both, Policy::Priority, 0), [(1, 70), (0, 110)]);
        assert_eq!(ends(&both, Policy::EarliestDeadline, 0), [(1, 70), (0, 110)]);
        assert_eq!(summary(&both, &serve(&both, Policy::Priority, 0))[1].missed_deadlines, 0);
        // Overhead of 5 before each: 5 + 60, 5 + 10, and 40 more.
        assert_eq!(ends(&both, Policy::Priority, 5), [(1, 75 + 5), (0, 80 + 40)]);
    }

    /// Slices of 20 end at borders of 30: 30 of the first, 30 of the second, and so on.
    #[test]
    fn slices_end_at_borders() {
        let one = pipeline(60, &[30, 60], &[0], 0, None);
        let both = [one.clone(), one];
        assert_eq!(ends(&both, Policy::TimeSlice { slice_ps: 20 }, 0), [(0, 90), (1, 120)]);
    }

    #[test]
    fn percentiles_are_by_nearest_rank() {
        let one = [pipeline(10, &[10], &(0..100).map(|n| n * 20).collect::<Vec<_>>(), 0, Some(9))];
        let service = &summary(&one, &serve(&one, Policy::Fifo, 0))[0];
        assert_eq!((service.inferences, service.latency_ps, service.missed_deadlines), (100, [10; 4], 100));
        assert!((service.inferences_per_s - 100.0 / (1990.0 / 1e12)).abs() < 1.0);
    }

    proptest! {
        /// Whatever the policy, the same work is done and the NPU never idles while something waits.
        #[test]
        fn policies_conserve_work(
            drawn in proptest::collection::vec((1_u64..200, 0_u64..500, 1_u64..100, 1_u32..6, 0_u32..3), 1..5),
            overhead in 0_u64..20, slice in 1_u64..50,
        ) {
            let pipelines: Vec<Pipeline> = drawn.iter().map(|(makespan, first, period, inferences, priority)| Pipeline {
                name: String::new(),
                makespan_ps: *makespan,
                borders_ps: (1..).map(|n| n * 7).take_while(|border| border < makespan).chain([*makespan]).collect(),
                releases: Releases::Period { first_ps: *first, period_ps: *period, inferences: *inferences },
                priority: *priority,
                deadline_ps: (*priority > 0).then_some(3 * makespan),
            }).collect();
            let ends = |policy| serve(&pipelines, policy, overhead).iter().map(|i| i.ended_ps).max();
            let fifo = ends(Policy::Fifo);
            for policy in [Policy::Priority, Policy::EarliestDeadline, Policy::TimeSlice { slice_ps: slice }] {
                prop_assert_eq!(ends(policy), fifo);
                prop_assert_eq!(serve(&pipelines, policy, overhead).len(), requests(&pipelines).len());
            }
        }
    }
}
