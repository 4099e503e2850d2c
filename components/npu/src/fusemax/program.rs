//! Tiles of attention as events on a square array and a line: `kind = "npu.fused_attention"`.
//!
//! Each tile is a task of the square array and then a task of the line. With [`Schedule::Bound`] the square array starts the
//! next tile while the line works on this one, as long as the buffer between them has room; with [`Schedule::Phased`] a
//! tile is one task. Everything after the first tile repeats, so that the run differs from the closed form by exactly the
//! fill: the first tile's time on the square array.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sim_core::{Activity, BuildError, Component, Cx, Cycle, Site, StatsNode};
use workloads::tensor::{Attention, OperatorKind};

use super::{EXPONENTIAL_CYCLES, FuseMaxSpec, Schedule, TileWork};
use crate::systolic::folded::Networks;
use crate::systolic::report::{Bound, LayerResult, SramCounts};

/// Tiles that the square array may be ahead of the line: the tile being made and one that waits.
const AHEAD: u64 = 2;

/// An attention operator cut into tiles.
#[derive(Clone, Debug)]
struct Job {
    model: usize,
    operator: usize,
    name: String,
    attention: Attention,
    dram_bytes: u64,
    /// Of these, what is written.
    results_bytes: u64,
    work: TileWork,
    /// Tiles of queries, over all heads and sequences.
    query_tiles: u64,
    /// Tiles of keys for each.
    key_tiles: u64,
    /// Of one tile in phases.
    phased: u64,
    /// The longest phase beside which the line works: dot products or division.
    dot_products: u64,
}

/// What is going on.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct State {
    job: usize,
    /// Tiles that each array has started.
    square_started: u64,
    line_started: u64,
    /// Tiles that the square array has ended: the line may take them.
    square_done: u64,
    /// Busy until; 0 when idle.
    square_until: u64,
    line_until: u64,
    square_busy: u64,
    line_busy: u64,
    is_over: bool,
}

/// The component.
pub struct FusedAttention {
    jobs: Arc<Vec<Job>>,
    schedule: Schedule,
    state: State,
    /// Last cycle of each job that is done.
    ends: Vec<u64>,
}

sim_core::saved!(FusedAttention { state: state, ends; rebuilt: jobs, schedule });

impl Component for FusedAttention {
    const KIND: &'static str = "npu.fused_attention";
    const DESCRIPTION: &'static str = "attention in one pass over the keys on a square array and a line (FuseMax)";
    type Spec = FuseMaxSpec;

    fn build(spec: FuseMaxSpec, site: &mut Site<'_>) -> Result<Self, BuildError> {
        if spec.edge == 0 || spec.edge > 1 << 16 {
            return Err(BuildError::key("edge", "should be from 1 to 65536"));
        }
        if spec.element_bytes == 0 || spec.element_bytes > 16 {
            return Err(BuildError::key("element_bytes", "should be from 1 to 16"));
        }
        let networks =
            site.resource::<Networks>().ok_or_else(|| BuildError::part("attention needs a network as its workload"))?;
        let mut jobs = Vec::new();
        for (model, graph) in networks.0.iter().enumerate() {
            for (index, operator) in graph.operators.iter().enumerate() {
                let attention = match &operator.kind {
                    OperatorKind::Attention(attention) => attention,
                    OperatorKind::View => continue,
                    _ => {
                        let problem =
                            format!("operator `{}` is no attention, which is all that it computes", operator.name);
                        return Err(
                            BuildError::part(problem).help("a machine with a systolic array for other networks")
                        );
                    }
                };
                let bytes = super::closed::dram_bytes(&spec, attention)
                    .map_err(|problem| BuildError::key("buffer_kib", problem))?;
                jobs.push(Job::new(&spec, attention, (model, index, operator.name.clone()), bytes));
            }
        }
        if jobs.is_empty() {
            return Err(BuildError::part("the network has no attention, which is all that this machine computes"));
        }
        site.foreground(1);
        Ok(Self { jobs: Arc::new(jobs), schedule: spec.schedule, state: State::default(), ends: Vec::new() })
    }

    fn tick(&mut self, cx: &mut Cx<'_>) -> Activity {
        let now = cx.now().0;
        if self.state.is_over {
            return Activity::DONE;
        }
        let jobs = self.jobs.clone();
        self.retire(now);
        while self.job_is_done(&jobs) {
            self.ends.push(now);
            if self.state.job + 1 == jobs.len() {
                self.state.is_over = true;
                cx.end_work(1);
                return Activity::DONE;
            }
            let State { job, square_busy, line_busy, .. } = self.state;
            self.state = State { job: job + 1, square_busy, line_busy, ..State::default() };
        }
        let job = &jobs[self.state.job];
        match self.schedule {
            Schedule::Bound => self.start_both(now, job),
            Schedule::Phased => self.start_phases(now, job),
        }
        let ends = [self.state.square_until, self.state.line_until];
        ends.into_iter().filter(|&end| end > 0).fold(Activity::input(), |activity, end| activity.or_until(Cycle(end)))
    }

    fn report(&self, _at: Cycle, out: &mut StatsNode) {
        out.counter("square_busy", self.state.square_busy, "cycles");
        out.counter("line_busy", self.state.line_busy, "cycles");
    }
}

impl Job {
    fn new(
        spec: &FuseMaxSpec,
        attention: &Attention,
        (model, operator, name): (usize, usize, String),
        bytes: u64,
    ) -> Self {
        let work = TileWork::of(attention);
        let query_tiles = attention.batch * attention.heads * attention.queries.div_ceil(spec.edge);
        let phases = spec.edge + 1 + EXPONENTIAL_CYCLES + 1 + 2 * attention.value_width;
        Self {
            model,
            operator,
            name,
            attention: attention.clone(),
            dram_bytes: bytes,
            results_bytes: attention.batch
                * attention.heads
                * attention.queries
                * attention.value_width
                * spec.element_bytes,
            work,
            query_tiles,
            key_tiles: attention.keys.div_ceil(spec.edge),
            phased: phases,
            dot_products: attention.query_width + 1,
        }
    }

    fn tiles(&self) -> u64 {
        self.query_tiles * self.key_tiles
    }

    /// Whether a tile is the last of its queries, after which the line divides.
    fn divides_after(&self, tile: u64) -> bool {
        tile % self.key_tiles == self.key_tiles - 1
    }
}

impl FusedAttention {
    /// The operators that are done, in order. `multipliers` are those of the square array.
    pub fn layers(&self, multipliers: u64) -> Vec<LayerResult> {
        let mut start_cycle = 0;
        let mut layers = Vec::new();
        for (job, &end_cycle) in self.jobs.iter().zip(&self.ends) {
            let cycles = end_cycle - start_cycle;
            let head = job.attention.batch * job.attention.heads;
            let macs = head
                * job.attention.queries
                * job.attention.keys
                * (job.attention.query_width + job.attention.value_width);
            layers.push(LayerResult {
                model: job.model,
                operator: job.operator,
                name: job.name.clone(),
                kind: "attention".into(),
                macs,
                start_cycle,
                end_cycle,
                cycles,
                bound: Bound::Array,
                utilisation: macs as f64 / (cycles.max(1) * multipliers) as f64,
                array_busy_cycles: job.tiles() * job.work.square,
                vector_busy_cycles: job.tiles() * job.work.line + job.query_tiles * job.work.division,
                sram: SramCounts::default(),
                dram_read_bytes: job.dram_bytes - job.results_bytes,
                dram_write_bytes: job.results_bytes,
                tiles: job.tiles(),
                note: Some("memory traffic by formula; the paper takes its bandwidth as sufficient".into()),
            });
            start_cycle = end_cycle;
        }
        layers
    }

    fn retire(&mut self, now: u64) {
        let state = &mut self.state;
        if state.square_until > 0 && state.square_until <= now {
            state.square_until = 0;
            state.square_done = state.square_started;
        }
        if state.line_until > 0 && state.line_until <= now {
            state.line_until = 0;
        }
    }

    fn job_is_done(&self, jobs: &[Job]) -> bool {
        let state = &self.state;
        state.line_started == jobs[state.job].tiles() && state.line_until == 0 && state.square_until == 0
    }

    fn start_both(&mut self, now: u64, job: &Job) {
        let state = &mut self.state;
        if state.line_until == 0 && state.line_started < state.square_done {
            let division = if job.divides_after(state.line_started) { job.work.division } else { 0 };
            state.line_until = now + job.work.line + division;
            state.line_busy += job.work.line + division;
            state.line_started += 1;
        }
        let room = state.square_started < state.line_started + AHEAD;
        if state.square_until == 0 && room && state.square_started < job.tiles() {
            state.square_until = now + job.work.square;
            state.square_busy += job.work.square;
            state.square_started += 1;
        }
    }

    /// Both arrays as one: the line's running values and its division hide behind the dot products where they are shorter.
    fn start_phases(&mut self, now: u64, job: &Job) {
        let state = &mut self.state;
        if state.square_until > 0 || state.square_started == job.tiles() {
            return;
        }
        let division = if job.divides_after(state.square_started) { job.work.division } else { 0 };
        let first = job.dot_products.max(1 + division);
        state.square_until = now + first + job.phased;
        state.square_busy += first + job.phased;
        state.square_started += 1;
        state.line_started += 1;
    }
}
