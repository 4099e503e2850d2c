//! A core whose activations stay on the chip while weights stream past them: `kind = "npu.streaming_core"`.
//!
//! ```text
//!   host ─▶ unified buffer ─▶ array ─▶ accumulators ─▶ activation unit ─▶ unified buffer ─▶ host
//!                               ▲
//!   mem_req ─▶ … ─▶ mem_resp ─▶ weight FIFO ─▶ shift into the second plane of weights
//! ```
//!
//! Models: weights fetched ahead of their use, across layers, until the FIFO is full; the shift of a tile into the array's second
//! plane, which hides behind a multiplication if the tile is there in time; sums in one half of the accumulators while the other is
//! activated; layers one after the other, a layer's multiplications after the last activation of the layer before; the host's link.
//! Leaves out: the host's own time, instruction fetch, ports and banks of the unified buffer, data.
//! Numbers: from the machine file. Sources: Jouppi et al., In-Datacenter Performance Analysis of a TPU (ISCA 2017), sections 2 and 4.
//! Start reading at [`StreamingCore::tick`]; canonical tests: `components/machine/tests/npu_streaming.rs`, the suite `npu-tpu-v1`.

pub mod program;
pub mod spec;

use std::collections::VecDeque;
use std::sync::Arc;

use protocol::{MemRequest, MemResponse};
use serde::{Deserialize, Serialize};
use sim_core::stats::Breakdown;
use sim_core::{Activity, BuildError, Component, Cx, Cycle, In, Out, Site, StatsNode};

use self::program::{Stage, Work, stages};
use self::spec::StreamingSpec;
use super::core::dma::{Dma, Stop, Transfer};
use super::folded::Networks;
use super::program::{Place, Region};
use super::report::{Bound, LayerResult};

/// What the array does in a cycle; every cycle has one. The first four are rows 1, 4 and 5 and the sum of row 6 of the paper's table 3.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ArrayState {
    /// Vectors go in.
    Active,
    /// The weights of the next multiplication have not come from memory.
    WeightStall,
    /// They are shifted into the array.
    WeightShift,
    /// Operands are not there: results of the layer before, or room for sums.
    Operands,
    /// The host has not sent the input.
    Input,
    /// All is multiplied.
    Output,
}

/// Their names in reports, in order.
pub const ARRAY_STATES: [&str; 6] = ["active", "weight_stall", "weight_shift", "operands", "input", "output"];

/// The plane of weights behind that which the array works with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Plane {
    Empty,
    Filling { until: u64 },
    Full,
}

/// Sums that are activated when they are complete.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Block {
    complete_at: u64,
    cycles: u64,
    /// Rows of the accumulators, free again when all are activated.
    entries: u64,
}

/// What was done for a stage.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct StageCounts {
    start: u64,
    end: u64,
    array_busy: u64,
    activation_busy: u64,
    read_bytes: u64,
    tiles: u64,
}

/// Where execution is.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct State {
    /// Tile to fetch next: stage, and number in it.
    fetch: (usize, u64),
    /// Bytes that each tile in the FIFO lacks, oldest first, and the number of the oldest in the run.
    fifo: VecDeque<u64>,
    oldest: u64,
    plane: Plane,
    /// Until when vectors go in.
    feeding_until: u64,
    stage: usize,
    /// The stage before is done, and the input of this one is there at that cycle.
    input_at: u64,
    /// Multiplications of the stage that have begun.
    begun: u64,
    free_entries: u64,
    blocks: VecDeque<Block>,
    /// In the activation unit: until when, and rows of the accumulators.
    activating: Option<(u64, u64)>,
    /// The stage's work for the activation unit alone has begun.
    activated: bool,
    host_until: u64,
    array: ArrayState,
    array_since: u64,
    array_cycles: [u64; ARRAY_STATES.len()],
    counts: Vec<StageCounts>,
    is_over: bool,
}

/// The component.
pub struct StreamingCore {
    spec: Arc<StreamingSpec>,
    networks: Arc<Networks>,
    stages: Arc<Vec<Stage>>,
    host_bytes_per_cycle: f64,
    requests: Out<MemRequest>,
    responses: In<MemResponse>,
    dma: Dma,
    state: State,
}

sim_core::saved!(StreamingCore {
    state: state; parts: dma;
    rebuilt: spec, networks, stages, host_bytes_per_cycle, requests, responses;
});

/// Responses that may wait: more than the round trip of the links.
const RESPONSE_CAPACITY: u16 = 64;

impl Component for StreamingCore {
    const KIND: &'static str = "npu.streaming_core";
    const DESCRIPTION: &'static str = "systolic array with resident activations and a FIFO of weights (TPU v1)";
    const CHEAP_IDLE_TICK: bool = false;
    type Spec = StreamingSpec;

    fn build(spec: StreamingSpec, site: &mut Site<'_>) -> Result<Self, BuildError> {
        spec.check().map_err(|(key, problem)| BuildError::key(key, problem))?;
        if site.index() > 0 {
            return Err(BuildError::key("count", "a network is not shared among several").help("count = 1"));
        }
        let networks = site
            .resource::<Networks>()
            .ok_or_else(|| BuildError::part("a systolic array needs a network as its workload"))?;
        let stages = stages(&spec, &networks.0).map_err(|problem| BuildError::key("unified_buffer_kib", problem))?;
        let mut core = Self {
            host_bytes_per_cycle: spec.host_gb_per_s * 1e9 / site.clock_hz() as f64,
            requests: site.output("mem_req"),
            responses: site.input("mem_resp", RESPONSE_CAPACITY),
            dma: Dma::new(spec.dma()),
            state: State {
                fetch: (0, 0),
                fifo: VecDeque::new(),
                oldest: 0,
                plane: Plane::Empty,
                feeding_until: 0,
                stage: 0,
                input_at: 0,
                begun: 0,
                free_entries: spec.accumulator_entries(),
                blocks: VecDeque::new(),
                activating: None,
                activated: false,
                host_until: 0,
                array: ArrayState::Input,
                array_since: 0,
                array_cycles: [0; ARRAY_STATES.len()],
                counts: vec![StageCounts::default(); stages.len()],
                is_over: false,
            },
            spec: Arc::new(spec),
            networks,
            stages: Arc::new(stages),
        };
        core.begin_stage(0);
        site.foreground(1);
        Ok(core)
    }

    fn tick(&mut self, cx: &mut Cx<'_>) -> Activity {
        let now = cx.now().0;
        self.account(now);
        self.accept(cx);
        self.end_shift(now);
        self.activate(now);
        self.advance_stages(now);
        self.shift(now);
        if self.multiply(now) {
            self.shift(now);
        }
        self.fetch();
        let dma = self.transfer(cx);
        self.state.array = self.array_state(now);
        if self.state.stage == self.stages.len() && now >= self.state.host_until && !self.state.is_over {
            self.state.is_over = true;
            cx.end_work(1);
        }
        let activity = Activity::input();
        let activity = match dma {
            Stop::Until(cycle) => activity.or_until(Cycle(cycle)),
            Stop::Credit => activity.or_credit(),
            Stop::Idle | Stop::Outstanding => activity,
        };
        self.ends().filter(|&end| end > now).fold(activity, |activity, end| activity.or_until(Cycle(end)))
    }

    fn report(&self, at: Cycle, out: &mut StatsNode) {
        let sum = |of: fn(&StageCounts) -> u64| self.state.counts.iter().map(of).sum::<u64>();
        out.counter("tiles", sum(|counts| counts.tiles), "tiles");
        out.counter("weight_bytes", sum(|counts| counts.read_bytes), "bytes");
        out.counter("activation_busy", sum(|counts| counts.activation_busy), "cycles");
        let cycles = self.array_cycles(at.0);
        let parts = ARRAY_STATES.iter().zip(cycles).map(|(name, n)| Breakdown::leaf(*name, n, "cycles"));
        out.breakdown(Breakdown::of("array", "cycles", parts.collect()));
    }

    fn waiting(&self) -> Option<String> {
        let stage = self.state.stage;
        (stage < self.stages.len()).then(|| {
            format!("stage {stage}: {:?}, weights of {} tiles under way", self.state.array, self.state.fifo.len())
        })
    }
}

impl StreamingCore {
    /// Cycles up to `at` in each of [`ARRAY_STATES`]; their sum is `at`.
    pub fn array_cycles(&self, at: u64) -> [u64; ARRAY_STATES.len()] {
        let mut cycles = self.state.array_cycles;
        cycles[self.state.array as usize] += at.saturating_sub(self.state.array_since);
        cycles
    }

    /// Cycles that an array without unused multipliers would be active for all of the networks.
    pub fn useful_cycles(&self) -> f64 {
        let multipliers = f64::from(self.spec.rows) * f64::from(self.spec.columns);
        let passes = |model: usize, operator: usize| {
            let own = self.stages.iter().filter(|stage| (stage.model, stage.operator) == (model, operator));
            own.filter_map(|stage| match &stage.work {
                Work::Multiply(product) => Some(product.passes),
                Work::Activate { .. } | Work::Nothing => None,
            })
            .max()
            .unwrap_or(0)
        };
        let operators = self.networks.0.iter().enumerate().flat_map(|(model, graph)| {
            graph.operators.iter().enumerate().map(move |(index, operator)| (model, index, operator))
        });
        operators.map(|(model, index, operator)| (operator.macs() * passes(model, index)) as f64 / multipliers).sum()
    }

    /// What each operator took; together they take the makespan.
    pub fn layers(&self, makespan: u64) -> Vec<LayerResult> {
        let mut layers: Vec<LayerResult> = Vec::new();
        for (index, (stage, counts)) in self.stages.iter().zip(&self.state.counts).enumerate() {
            let operator = &self.networks.0[stage.model].operators[stage.operator];
            let end_cycle = self.state.counts.get(index + 1).map_or(makespan, |next| next.start);
            if layers.last().is_none_or(|last| (last.model, last.operator) != (stage.model, stage.operator)) {
                layers.push(LayerResult::begun(stage.model, stage.operator, operator, counts.start));
            }
            let layer = layers.last_mut().expect("one was pushed");
            layer.end_cycle = end_cycle;
            layer.cycles = end_cycle - layer.start_cycle;
            layer.array_busy_cycles += counts.array_busy;
            layer.vector_busy_cycles += counts.activation_busy;
            layer.dram_read_bytes += counts.read_bytes;
            layer.tiles += counts.tiles;
            layer.note = layer.note.take().or_else(|| stage.note.clone());
            if let Work::Multiply(product) = &stage.work {
                layer.sram += product.sram();
            }
        }
        for layer in layers.iter_mut().filter(|layer| layer.cycles > 0) {
            let cycles = layer.cycles as f64;
            let multipliers = f64::from(self.spec.rows) * f64::from(self.spec.columns);
            layer.utilisation = layer.macs as f64 / (cycles * multipliers);
            let memory = layer.dram_read_bytes as f64 / self.spec.dma_bytes_per_cycle;
            let busy = [layer.array_busy_cycles as f64, layer.vector_busy_cycles as f64, memory];
            layer.bound = Bound::of(busy.map(|busy| busy / cycles));
        }
        layers
    }

    fn account(&mut self, now: u64) {
        if self.state.is_over {
            return;
        }
        self.state.array_cycles = self.array_cycles(now);
        self.state.array_since = now;
    }

    fn accept(&mut self, cx: &mut Cx<'_>) {
        while let Some(response) = cx.take(self.responses) {
            let Some(pending) = self.dma.answered(response.id) else { continue };
            let state = &mut self.state;
            if let Some(missing) = state.fifo.get_mut((pending.tile - state.oldest) as usize) {
                *missing = missing.saturating_sub(u64::from(pending.bytes));
            }
        }
    }

    /// A tile that is in the array leaves the FIFO.
    fn end_shift(&mut self, now: u64) {
        if matches!(self.state.plane, Plane::Filling { until } if until <= now) {
            self.state.plane = Plane::Full;
            self.state.fifo.pop_front();
            self.state.oldest += 1;
        }
    }

    fn shift(&mut self, now: u64) {
        if self.state.plane == Plane::Empty && self.state.fifo.front() == Some(&0) {
            self.state.plane = Plane::Filling { until: now + u64::from(self.spec.rows) };
        }
    }

    fn activate(&mut self, now: u64) {
        let state = &mut self.state;
        if let Some((until, entries)) = state.activating
            && until <= now
        {
            state.activating = None;
            state.free_entries += entries;
        }
        if state.activating.is_none()
            && let Some(block) = state.blocks.front().copied().filter(|block| block.complete_at <= now)
        {
            state.blocks.pop_front();
            state.activating = Some((now + block.cycles, block.entries));
            state.counts[state.stage].activation_busy += block.cycles;
        }
    }

    /// Whether the stage has nothing more to do.
    fn stage_is_done(&self, now: u64) -> bool {
        let state = &self.state;
        let idle = state.activating.is_none() && state.blocks.is_empty();
        state.input_at <= now
            && match &self.stages[state.stage].work {
                Work::Multiply(product) => state.begun == product.multiplications() && idle,
                Work::Activate { .. } => state.activated && idle,
                Work::Nothing => true,
            }
    }

    /// Goes on to the next stage, and starts what goes through the activation unit alone.
    fn advance_stages(&mut self, now: u64) {
        while self.state.stage < self.stages.len() {
            let stage = &self.stages[self.state.stage];
            if let Work::Activate { bytes } = stage.work
                && !self.state.activated
                && self.state.input_at <= now
            {
                let cycles = bytes.div_ceil(self.spec.activation_bytes_per_cycle);
                self.state.activating = Some((now + cycles, 0));
                self.state.activated = true;
                self.state.counts[self.state.stage].activation_busy += cycles;
            }
            if !self.stage_is_done(now) {
                return;
            }
            self.state.counts[self.state.stage].end = now;
            self.host(now, stage.host_out_bytes);
            self.state.stage += 1;
            self.begin_stage(now);
        }
    }

    fn begin_stage(&mut self, now: u64) {
        let Some(stage) = self.stages.get(self.state.stage) else { return };
        let bytes = stage.host_in_bytes;
        self.state.counts[self.state.stage].start = now;
        (self.state.begun, self.state.activated) = (0, false);
        self.state.input_at = if bytes > 0 { self.host(now, bytes) } else { now };
    }

    /// Bytes over the host's link, behind those before; when the last is there.
    fn host(&mut self, now: u64, bytes: u64) -> u64 {
        if bytes > 0 {
            let cycles = (bytes as f64 / self.host_bytes_per_cycle).ceil() as u64;
            self.state.host_until = self.state.host_until.max(now) + cycles;
        }
        self.state.host_until
    }

    /// Whether the next multiplication has its operands and room for its sums, whatever its weights.
    fn has_operands(&self, now: u64) -> bool {
        let state = &self.state;
        let Some(Work::Multiply(product)) = self.stages.get(state.stage).map(|stage| stage.work) else { return false };
        if state.input_at > now || state.begun == product.multiplications() {
            return false;
        }
        let pass = product.pass(state.begun);
        !pass.is_first || pass.vectors <= state.free_entries
    }

    /// Begins a multiplication, if one may begin.
    fn multiply(&mut self, now: u64) -> bool {
        let is_free = self.state.feeding_until <= now && self.state.plane == Plane::Full;
        if !is_free || !self.has_operands(now) {
            return false;
        }
        let Work::Multiply(product) = self.stages[self.state.stage].work else { return false };
        let pass = product.pass(self.state.begun);
        let cycles = pass.vectors * product.passes;
        let state = &mut self.state;
        state.begun += 1;
        state.plane = Plane::Empty;
        state.feeding_until = now + cycles;
        state.counts[state.stage].array_busy += cycles;
        if pass.is_first {
            state.free_entries -= pass.vectors;
        }
        if pass.is_last {
            let depth = u64::from(self.spec.rows) + u64::from(self.spec.columns) - 2;
            let wide = pass.result_bytes.div_ceil(self.spec.activation_bytes_per_cycle);
            let complete_at = state.feeding_until + depth;
            state.blocks.push_back(Block { complete_at, cycles: pass.vectors * wide, entries: pass.vectors });
        }
        true
    }

    /// Asks for tiles while the FIFO has room.
    fn fetch(&mut self) {
        while self.state.fifo.len() < self.spec.weight_fifo_tiles as usize {
            let (stage, index) = self.state.fetch;
            let Some(next) = self.stages.get(stage) else { return };
            let Work::Multiply(product) = next.work else {
                self.state.fetch = (stage + 1, 0);
                continue;
            };
            if index == product.multiplications() {
                self.state.fetch = (stage + 1, 0);
                continue;
            }
            self.state.fetch.1 += 1;
            let region = Region::run(product.tile_address(index), product.tile_bytes);
            let serial = self.state.oldest + self.state.fifo.len() as u64;
            self.state.fifo.push_back(region.requested_bytes(u64::from(self.spec.request_bytes)));
            self.state.counts[stage].tiles += 1;
            self.dma.push(Transfer::new(region, Place::Scratchpad(0), serial, stage as u32, false));
        }
    }

    fn transfer(&mut self, cx: &mut Cx<'_>) -> Stop {
        let counts = &mut self.state.counts;
        let mut sent = |stage: u32, bytes: u64, _: bool| counts[stage as usize].read_bytes += bytes;
        self.dma.run(cx, 0, self.requests, &mut sent)
    }

    fn array_state(&self, now: u64) -> ArrayState {
        let state = &self.state;
        match self.stages.get(state.stage) {
            _ if state.feeding_until > now => ArrayState::Active,
            None => ArrayState::Output,
            Some(_) if state.input_at > now => ArrayState::Input,
            Some(_) if !self.has_operands(now) => ArrayState::Operands,
            Some(_) if state.plane == Plane::Empty => ArrayState::WeightStall,
            Some(_) => ArrayState::WeightShift,
        }
    }

    /// When something that is under way here ends.
    fn ends(&self) -> impl Iterator<Item = u64> {
        let state = &self.state;
        let shift = match state.plane {
            Plane::Filling { until } => until,
            Plane::Empty | Plane::Full => 0,
        };
        let block = state.blocks.front().map_or(0, |block| block.complete_at);
        let activation = state.activating.map_or(0, |(until, _)| until);
        [shift, block, activation, state.feeding_until, state.input_at, state.host_until].into_iter()
    }
}
