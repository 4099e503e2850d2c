//! Hands layers to cores: `kind = "npu.dispatcher"`.
//!
//! ```text
//!   stream of layers ─▶ start[cores of the layer] ─▶ … ─▶ done[…] ─▶ all have answered: the next layer
//! ```
//!
//! Models: a barrier between the layers of a network; networks in turn, sharing all cores, or each on its own.
//! Leaves out: arrival times of networks, priorities.
//! Start reading at [`Dispatcher::tick`].

use std::collections::VecDeque;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sim_core::{Activity, BuildError, Component, Cx, Cycle, In, Out, Site, StatsNode};

use super::core::{LayerDone, StartLayer};
use super::lower::Sharing;
use super::program::Program;

/// Parameters.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DispatcherSpec {
    /// How networks share the cores.
    pub sharing: Sharing,
    /// From the decision to start a layer until the cores hear of it.
    pub launch_cycles: u32,
}

/// When a layer was under way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    pub start: u64,
    pub end: u64,
}

/// A stream of layers.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Stream {
    next: usize,
    /// Layer under way, and cores that have not answered.
    running: Option<(u32, u32)>,
    /// The running layer starts at this cycle, until which its launch takes.
    launch_at: u64,
    launched: bool,
}

/// The component.
pub struct Dispatcher {
    program: Arc<Program>,
    launch_cycles: u64,
    start: Vec<Out<StartLayer>>,
    done: Vec<In<LayerDone>>,
    streams: Vec<Stream>,
    /// Messages that found no credit, by core.
    unsent: VecDeque<(u32, StartLayer)>,
    spans: Vec<Span>,
    is_over: bool,
}

sim_core::saved!(Dispatcher {
    state: streams, unsent, spans, is_over;
    rebuilt: program, launch_cycles, start, done;
});

const DONE_CAPACITY: u16 = 64;

impl Component for Dispatcher {
    const KIND: &'static str = "npu.dispatcher";
    const DESCRIPTION: &'static str = "hands the layers of networks to systolic cores";
    type Spec = DispatcherSpec;

    fn build(spec: DispatcherSpec, site: &mut Site<'_>) -> Result<Self, BuildError> {
        let program = site
            .resource::<Program>()
            .ok_or_else(|| BuildError::part("a dispatcher needs a network as its workload"))?;
        let cores = site.linked_width("start");
        let wanted = program.layers.iter().map(|layer| layer.first_core + layer.cores).max().unwrap_or(0);
        if (wanted as usize) > cores {
            return Err(BuildError::key("start", format!("{cores} cores are linked, {wanted} are there")));
        }
        site.foreground(1);
        let stream = Stream { next: 0, running: None, launch_at: 0, launched: false };
        Ok(Self {
            launch_cycles: u64::from(spec.launch_cycles),
            start: site.outputs("start", cores),
            done: site.inputs("done", cores, DONE_CAPACITY),
            streams: vec![stream; program.streams.len()],
            unsent: VecDeque::new(),
            spans: vec![Span::default(); program.layers.len()],
            is_over: false,
            program,
        })
    }

    fn tick(&mut self, cx: &mut Cx<'_>) -> Activity {
        let now = cx.now().0;
        for port in 0..self.done.len() {
            while let Some(LayerDone { layer }) = cx.take(self.done[port]) {
                self.answered(layer, now);
            }
        }
        let mut activity = Activity::input();
        for stream in 0..self.streams.len() {
            if let Some(at) = self.advance(stream, now) {
                activity = activity.or_until(Cycle(at));
            }
        }
        while let Some(&(core, message)) = self.unsent.front() {
            let port = self.start[core as usize];
            if !cx.can_send(port) {
                activity = activity.or_credit();
                break;
            }
            cx.send(port, message);
            self.unsent.pop_front();
        }
        let over = |stream: &Stream, layers: &Vec<u32>| stream.running.is_none() && stream.next == layers.len();
        if !self.is_over && self.streams.iter().zip(&self.program.streams).all(|(stream, layers)| over(stream, layers))
        {
            self.is_over = true;
            cx.end_work(1);
        }
        activity
    }

    fn report(&self, _at: Cycle, out: &mut StatsNode) {
        out.counter("layers", self.spans.iter().filter(|span| span.end > 0).count() as u64, "layers");
    }
}

impl Dispatcher {
    /// When each layer of the program was under way.
    pub fn spans(&self) -> &[Span] {
        &self.spans
    }

    fn answered(&mut self, layer: u32, now: u64) {
        for stream in &mut self.streams {
            if let Some((running, missing)) = &mut stream.running
                && *running == layer
            {
                *missing -= 1;
                if *missing == 0 {
                    stream.running = None;
                    self.spans[layer as usize].end = now;
                }
            }
        }
    }

    /// Starts the next layers of a stream; when to look again, if nothing comes in before.
    fn advance(&mut self, index: usize, now: u64) -> Option<u64> {
        loop {
            let stream = &mut self.streams[index];
            if let Some((layer, _)) = stream.running {
                if stream.launched {
                    return None;
                }
                if now < stream.launch_at {
                    return Some(stream.launch_at);
                }
                stream.launched = true;
                let cores = cores_of(&self.program, layer);
                self.unsent.extend(cores.into_iter().map(|core| (core, StartLayer { layer })));
                return None;
            }
            let layer = *self.program.streams[index].get(stream.next)?;
            stream.next += 1;
            let cores = cores_of(&self.program, layer).len() as u32;
            if cores == 0 {
                // Nothing to do: over at once.
                self.spans[layer as usize] = Span { start: now, end: now };
                continue;
            }
            self.spans[layer as usize].start = now;
            stream.running = Some((layer, cores));
            stream.launch_at = now + self.launch_cycles;
            stream.launched = false;
        }
    }
}

/// Cores that have tiles of a layer.
fn cores_of(program: &Program, layer: u32) -> Vec<u32> {
    let layer = &program.layers[layer as usize];
    let mut has = vec![false; layer.cores as usize];
    for tile in 0..layer.tiles.len() {
        has[(layer.core_of(tile) - layer.first_core) as usize] = true;
    }
    let with = has.iter().enumerate().filter(|(_, has)| **has);
    with.map(|(core, _)| layer.first_core + core as u32).collect()
}
