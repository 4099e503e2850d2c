//! A core: `kind = "npu.systolic_core"`.
//!
//! ```text
//!   layers ─▶ tiles (two in flight) ─▶ one step a cycle ─┬─▶ load, store ─▶ DMA ─▶ mem_req ─▶ … ─▶ mem_resp ─▶ entries
//!                                                        ├─▶ multiply ─▶ array ──────────────────────────────▶ entries
//!                                                        └─▶ vector ─▶ vector unit ──────────────────────────▶ entries
//! ```
//!
//! Models: two tiles in flight, each with a half of the scratchpad; steps in order within a tile, tiles in turn; entries that
//! become valid when their last byte or result is there; the array, vector unit and DMA engine with their rates.
//! Leaves out: banks of the scratchpad and their ports, which are taken as wide enough; data.
//! Numbers: from the machine file. The rules are those of ONNXim (arXiv 2406.08051), which were compared with RTL of Gemmini.
//! Start reading at [`Core::tick`]; canonical tests: `components/machine/tests/npu_systolic.rs`.

pub mod array;
pub mod dma;
pub mod spec;
pub mod vector_unit;

use std::collections::VecDeque;
use std::sync::Arc;

use protocol::{MemRequest, MemResponse};
use serde::{Deserialize, Serialize};
use sim_core::stats::Breakdown;
use sim_core::{Activity, BuildError, Component, Cx, Cycle, In, Out, Payload, Site, StatsNode};

use self::array::{Array, Multiplication};
use self::dma::{Dma, Stop, Transfer};
use self::spec::CoreSpec;
use super::program::{Place, Program, Step};

/// What the dispatcher tells a core: a layer may begin. Its tiles of it follow those it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StartLayer {
    pub layer: u32,
}

impl Payload for StartLayer {
    const NAME: &'static str = "layer";
}

/// What a core answers: its tiles of the layer are done, their stores handed to the DMA engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayerDone {
    pub layer: u32,
}

impl Payload for LayerDone {
    const NAME: &'static str = "layer done";
}

/// What a core did for one layer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayerCounts {
    pub array_busy_cycles: u64,
    pub vector_busy_cycles: u64,
    pub macs: u64,
    pub read_bytes: u64,
    pub written_bytes: u64,
    pub tiles: u64,
}

/// An entry of a half: what becomes valid as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Entry {
    Free,
    /// Bytes or results that are missing.
    Missing(u64),
    Valid,
}

/// A tile in flight.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Active {
    /// Unique in the run.
    serial: u64,
    layer: u32,
    steps: VecDeque<Step>,
    scratchpad: Vec<Entry>,
    /// Which half of the accumulators.
    accumulator: usize,
    /// The last step has been carried out; a store counts in the cycle after.
    done_at: Option<u64>,
}

/// An operation in the vector unit.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct VectorWork {
    tile: u64,
    on: Place,
    end: u64,
    is_last: bool,
}

/// The component.
pub struct Core {
    spec: Arc<CoreSpec>,
    program: Arc<Program>,
    index: u32,
    start: In<StartLayer>,
    done: Out<LayerDone>,
    requests: Out<MemRequest>,
    responses: In<MemResponse>,
    /// Layers under way here: how many tiles are not done.
    layers: VecDeque<(u32, u32)>,
    /// Tiles that have not begun.
    waiting: VecDeque<(u32, u32)>,
    tiles: Vec<Active>,
    /// Tile that issued last.
    turn: usize,
    serials: u64,
    accumulators: [Vec<Entry>; 2],
    /// A multiplication or vector operation that was issued and enters its unit in the next cycle.
    execute: Option<(u64, Step, bool)>,
    arrays: Vec<Array>,
    vector: Option<VectorWork>,
    dma: Dma,
    replies: VecDeque<LayerDone>,
    counts: Vec<LayerCounts>,
    is_working: bool,
}

sim_core::saved!(Core {
    state: layers, waiting, tiles, turn, serials, accumulators, execute, vector, replies, counts, is_working;
    parts: dma;
    sized: arrays;
    rebuilt: spec, program, index, start, done, requests, responses;
});

/// Layers that may wait at a core.
const START_CAPACITY: u16 = 64;
/// Responses that may wait: more than the round trip of the links.
const RESPONSE_CAPACITY: u16 = 64;

impl Component for Core {
    const KIND: &'static str = "npu.systolic_core";
    const DESCRIPTION: &'static str =
        "core of a systolic array, vector unit, double-buffered scratchpad and DMA engine";
    const CHEAP_IDLE_TICK: bool = false;
    type Spec = CoreSpec;

    fn build(spec: CoreSpec, site: &mut Site<'_>) -> Result<Self, BuildError> {
        spec.check().map_err(|(key, problem)| BuildError::key(key, problem))?;
        let program = site
            .resource::<Program>()
            .ok_or_else(|| BuildError::part("a systolic core needs a network as its workload"))?;
        Ok(Self {
            index: site.index() as u32,
            start: site.input("start", START_CAPACITY),
            done: site.output("done"),
            requests: site.output("mem_req"),
            responses: site.input("mem_resp", RESPONSE_CAPACITY),
            layers: VecDeque::new(),
            waiting: VecDeque::new(),
            tiles: Vec::new(),
            turn: 0,
            serials: 0,
            accumulators: [Vec::new(), Vec::new()],
            execute: None,
            arrays: vec![Array::default(); spec.arrays as usize],
            vector: None,
            dma: Dma::new(spec.dma()),
            replies: VecDeque::new(),
            counts: vec![LayerCounts::default(); program.layers.len()],
            is_working: false,
            spec: Arc::new(spec),
            program,
        })
    }

    fn tick(&mut self, cx: &mut Cx<'_>) -> Activity {
        let now = cx.now().0;
        self.accept(cx);
        self.retire(now);
        let dma = self.transfer(cx);
        self.enter_unit(now);
        self.end_tiles(now);
        self.begin_tile();
        let issued = self.issue(now);
        let reply_waits = self.reply(cx);
        self.account(cx);

        let mut activity = Activity::input();
        let next_cycle = issued
            || self.execute.is_some() && self.unit_is_free()
            || self.tiles.iter().any(|tile| tile.done_at.is_some())
            || self.tiles.len() < 2 && !self.waiting.is_empty();
        if next_cycle {
            activity = activity.or_until(Cycle(now + 1));
        }
        match dma {
            Stop::Until(cycle) => activity = activity.or_until(Cycle(cycle)),
            Stop::Credit => activity = activity.or_credit(),
            Stop::Idle | Stop::Outstanding => {}
        }
        if reply_waits {
            activity = activity.or_credit();
        }
        for end in self.arrays.iter().filter_map(Array::next_end).chain(self.vector.map(|work| work.end)) {
            activity = activity.or_until(Cycle(end));
        }
        activity
    }

    fn report(&self, at: Cycle, out: &mut StatsNode) {
        let sum = |of: fn(&LayerCounts) -> u64| self.counts.iter().map(of).sum::<u64>();
        out.counter("macs", sum(|c| c.macs), "multiply-accumulates");
        out.counter("tiles", sum(|c| c.tiles), "tiles");
        out.counter("dma_read_bytes", sum(|c| c.read_bytes), "bytes");
        out.counter("dma_written_bytes", sum(|c| c.written_bytes), "bytes");
        out.counter("vector_busy", sum(|c| c.vector_busy_cycles), "cycles");
        // The last multiplication may end behind the point where a run was stopped.
        let all = at.0 * u64::from(self.spec.arrays);
        let busy = sum(|c| c.array_busy_cycles).min(all);
        let parts = [("busy", busy), ("idle", all - busy)].map(|(name, n)| Breakdown::leaf(name, n, "array-cycles"));
        out.breakdown(Breakdown::of("arrays", "array-cycles", parts.to_vec()));
    }

    fn waiting(&self) -> Option<String> {
        if let Some(transfer) = self.dma.waiting() {
            let what = if transfer.is_store { "store" } else { "load" };
            return Some(format!("{what} of tile {} at {:#x}", transfer.tile, transfer.region.base));
        }
        let tile = self.tiles.first()?;
        Some(format!("tile {} of layer {}: {:?}", tile.serial, tile.layer, tile.steps.front()))
    }
}

impl Core {
    /// What it did for each layer of the program.
    pub fn counts(&self) -> &[LayerCounts] {
        &self.counts
    }

    fn accept(&mut self, cx: &mut Cx<'_>) {
        while let Some(StartLayer { layer }) = cx.take(self.start) {
            let before = self.waiting.len();
            let tiles = self.program.layers[layer as usize].tiles_of(self.index);
            self.waiting.extend(tiles.map(|tile| (layer, tile as u32)));
            let tiles = (self.waiting.len() - before) as u32;
            if tiles == 0 {
                self.replies.push_back(LayerDone { layer });
            } else {
                self.layers.push_back((layer, tiles));
            }
        }
        while let Some(response) = cx.take(self.responses) {
            let Some(pending) = self.dma.answered(response.id) else { continue };
            if !pending.is_store {
                self.fill(pending.tile, pending.place, u64::from(pending.bytes));
            }
        }
    }

    /// Something arrived in an entry. Tiles that are over no longer have entries in the scratchpad.
    fn fill(&mut self, tile: u64, place: Place, amount: u64) {
        let Some(tile) = self.tiles.iter_mut().find(|active| active.serial == tile) else { return };
        let entry = match place {
            Place::Scratchpad(entry) => &mut tile.scratchpad[entry as usize],
            Place::Accumulator(entry) => &mut self.accumulators[tile.accumulator][entry as usize],
        };
        if let Entry::Missing(missing) = entry {
            *entry = if *missing > amount { Entry::Missing(*missing - amount) } else { Entry::Valid };
        }
    }

    fn retire(&mut self, now: u64) {
        for array in 0..self.arrays.len() {
            while let Some(one) = self.arrays[array].retire(now) {
                self.fill(one.tile, Place::Accumulator(one.accumulator), 1);
                if one.is_last {
                    self.tile_done(one.tile, now);
                }
            }
        }
        if let Some(work) = self.vector.filter(|work| work.end <= now) {
            self.vector = None;
            self.fill(work.tile, work.on, 1);
            if work.is_last {
                self.tile_done(work.tile, now);
            }
        }
    }

    fn tile_done(&mut self, serial: u64, at: u64) {
        if let Some(tile) = self.tiles.iter_mut().find(|tile| tile.serial == serial) {
            tile.done_at = Some(at);
        }
    }

    fn transfer(&mut self, cx: &mut Cx<'_>) -> Stop {
        let counts = &mut self.counts;
        let mut sent = |layer: u32, bytes: u64, is_store: bool| {
            let counts = &mut counts[layer as usize];
            if is_store {
                counts.written_bytes += bytes;
            } else {
                counts.read_bytes += bytes;
            }
        };
        self.dma.run(cx, self.index, self.requests, &mut sent)
    }

    fn unit_is_free(&self) -> bool {
        match self.execute {
            Some((_, Step::Multiply { .. }, _)) => self.arrays.iter().any(|array| array.has_room(&self.spec)),
            Some(_) => self.vector.is_none(),
            None => true,
        }
    }

    /// What was issued in the cycle before goes into its unit.
    fn enter_unit(&mut self, now: u64) {
        if !self.unit_is_free() {
            return;
        }
        let Some((serial, step, is_last)) = self.execute.take() else { return };
        let Some(tile) = self.tiles.iter().position(|tile| tile.serial == serial) else { return };
        let layer = self.tiles[tile].layer as usize;
        match step {
            Step::Multiply { to, vectors, rows, columns, preload, .. } => {
                self.expect(tile, Place::Accumulator(to));
                let one = Multiplication { tile: serial, accumulator: to, vectors, start: 0, end: 0, is_last };
                // The array that is free first; the lower number among equals.
                let spec = &self.spec;
                let room = self.arrays.iter_mut().filter(|array| array.has_room(spec));
                let Some(array) = room.min_by_key(|array| array.last_start()) else { return };
                let busy = array.enter(spec, now, preload, one);
                let counts = &mut self.counts[layer];
                counts.array_busy_cycles += busy;
                counts.macs += u64::from(vectors) * u64::from(rows) * u64::from(columns);
            }
            Step::Vector { op, bytes, on, .. } => {
                self.expect(tile, on);
                // A step that only waits for an operand takes no time.
                let latency = if bytes > 0 { u64::from(self.spec.vector_latency_cycles) } else { 0 };
                let cycles = latency + vector_unit::cycles(&self.spec, op, bytes);
                self.counts[layer].vector_busy_cycles += cycles;
                self.vector = Some(VectorWork { tile: serial, on, end: now + cycles.max(1), is_last });
            }
            Step::Load { .. } | Step::Store { .. } => {}
        }
    }

    /// One more result will come to an entry.
    fn expect(&mut self, tile: usize, place: Place) {
        let tile = &mut self.tiles[tile];
        let entry = match place {
            Place::Scratchpad(entry) => slot(&mut tile.scratchpad, entry),
            Place::Accumulator(entry) => slot(&mut self.accumulators[tile.accumulator], entry),
        };
        *entry = match *entry {
            Entry::Missing(missing) => Entry::Missing(missing + 1),
            Entry::Free | Entry::Valid => Entry::Missing(1),
        };
    }

    fn end_tiles(&mut self, now: u64) {
        let over = |tile: &Active| tile.steps.is_empty() && tile.done_at.is_some_and(|at| at <= now);
        let Some(index) = self.tiles.iter().position(over) else { return };
        let tile = self.tiles.remove(index);
        self.turn = 0;
        self.counts[tile.layer as usize].tiles += 1;
        let Some(at) = self.layers.iter().position(|(layer, _)| *layer == tile.layer) else { return };
        self.layers[at].1 -= 1;
        if self.layers[at].1 == 0 {
            self.layers.remove(at);
            self.replies.push_back(LayerDone { layer: tile.layer });
        }
    }

    fn begin_tile(&mut self) {
        if self.tiles.len() == 2 {
            return;
        }
        let Some((layer, tile)) = self.waiting.pop_front() else { return };
        let plan = &self.program.layers[layer as usize];
        let steps: VecDeque<Step> = plan.plan.steps(tile as usize).into();
        let mut accumulator = self.tiles.first().map_or(0, |tile| tile.accumulator);
        // What adds to the block before stays in its half.
        if !plan.tiles[tile as usize].accumulates {
            accumulator = 1 - accumulator;
            self.accumulators[accumulator].clear();
        }
        let done_at = steps.is_empty().then_some(0);
        self.serials += 1;
        self.tiles.push(Active { serial: self.serials, layer, steps, scratchpad: Vec::new(), accumulator, done_at });
    }

    /// Issues one step; whether it did.
    fn issue(&mut self, now: u64) -> bool {
        for offset in 0..self.tiles.len() {
            let index = (self.turn + offset) % self.tiles.len();
            let Some(&step) = self.tiles[index].steps.front() else { continue };
            if !self.may_issue(index, step) {
                continue;
            }
            let is_last = self.tiles[index].steps.len() == 1;
            self.tiles[index].steps.pop_front();
            self.turn = index;
            let (serial, layer) = (self.tiles[index].serial, self.tiles[index].layer);
            match step {
                Step::Load { region, to } => {
                    let bytes = region.requested_bytes(u64::from(self.spec.request_bytes));
                    let tile = &mut self.tiles[index];
                    let entry = match to {
                        Place::Scratchpad(entry) => slot(&mut tile.scratchpad, entry),
                        Place::Accumulator(entry) => slot(&mut self.accumulators[tile.accumulator], entry),
                    };
                    *entry = match *entry {
                        Entry::Missing(missing) => Entry::Missing(missing + bytes),
                        Entry::Free | Entry::Valid => Entry::Missing(bytes),
                    };
                    self.dma.push(Transfer::new(region, to, serial, layer, false));
                }
                Step::Store { region, from } => {
                    self.dma.push(Transfer::new(region, from, serial, layer, true));
                    if is_last {
                        self.tiles[index].done_at = Some(now + 1);
                    }
                }
                Step::Multiply { .. } | Step::Vector { .. } => self.execute = Some((serial, step, is_last)),
            }
            return true;
        }
        false
    }

    fn may_issue(&self, index: usize, step: Step) -> bool {
        let tile = &self.tiles[index];
        let state = |place: Place| match place {
            Place::Scratchpad(entry) => tile.scratchpad.get(entry as usize),
            Place::Accumulator(entry) => self.accumulators[tile.accumulator].get(entry as usize),
        };
        let is_valid = |place: Place| state(place) == Some(&Entry::Valid);
        match step {
            Step::Load { .. } => true,
            Step::Store { from, .. } => is_valid(from),
            Step::Multiply { activations, weights, .. } => {
                self.execute.is_none()
                    && self.arrays.iter().any(|array| array.has_room(&self.spec))
                    && is_valid(Place::Scratchpad(activations))
                    && is_valid(Place::Scratchpad(weights))
            }
            Step::Vector { on, with, .. } => {
                let own = matches!(on, Place::Scratchpad(_)) && matches!(state(on), None | Some(Entry::Free));
                self.execute.is_none()
                    && self.vector.is_none()
                    && (own || is_valid(on))
                    && with.is_none_or(|entry| is_valid(Place::Scratchpad(entry)))
            }
        }
    }

    /// Whether a reply found no room.
    fn reply(&mut self, cx: &mut Cx<'_>) -> bool {
        while let Some(&reply) = self.replies.front() {
            if !cx.can_send(self.done) {
                return true;
            }
            cx.send(self.done, reply);
            self.replies.pop_front();
        }
        false
    }

    /// The run lasts as long as anything is under way here, stores included.
    fn account(&mut self, cx: &mut Cx<'_>) {
        let works = !self.layers.is_empty() || !self.dma.is_idle() || !self.replies.is_empty();
        if works != self.is_working {
            if works {
                cx.begin_work(1)
            } else {
                cx.end_work(1)
            }
            self.is_working = works;
        }
    }
}

/// The entry of a number, made if it is not there.
fn slot(entries: &mut Vec<Entry>, entry: u32) -> &mut Entry {
    let entry = entry as usize;
    if entries.len() <= entry {
        entries.resize(entry + 1, Entry::Free);
    }
    &mut entries[entry]
}
