//! Views of a run over time: a timeline for Perfetto, the pipeline of the SMs for Konata.
//!
//! The SMs and memories state facts; the two drawings listen in a window of cycles and hold a bounded number of things.

mod focus;
mod gpu_pipeline;
mod gpu_timeline;
mod kanata;
mod memory_timeline;
mod meter;
pub mod npu_timeline;
mod perfetto;

pub use focus::Focus;
pub use memory_timeline::memory_timeline;

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use cache::fixed::FixedMemory;
use gpu::SmComponent;
use gpu::sm::SmFact;
use noc::crossbar::Crossbar;
use protocol::MemoryLoad;
use sim_core::{Component, Femtos, Machine, Scope};
use workloads::sass::Instruction;

use crate::failure::Complaint;
use gpu_pipeline::GpuPipeline;
use gpu_timeline::GpuTimeline;

/// SMs of a timeline: the others do the same on other blocks, and a trace of all is too large to look at.
const TIMELINE_SMS: u32 = 4;
/// SMs of a pipeline.
const PIPELINE_SMS: u32 = 1;

/// What is to be drawn.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// Cycles of the timeline.
    pub timeline: Option<Range<u64>>,
    /// Cycles of the pipeline.
    pub pipeline: Option<Range<u64>>,
    pub focus: Focus,
}

/// A drawing, ready to be written.
pub struct View {
    pub file: &'static str,
    pub bytes: Vec<u8>,
    /// What the user should know of it: that it is empty, or was cut.
    pub note: Option<String>,
}

/// What draws while a GPU runs.
pub struct Drawing {
    wanted: Wanted,
    timeline: Option<Arc<Mutex<GpuTimeline>>>,
    pipeline: Option<Arc<Mutex<GpuPipeline>>>,
}

impl Drawing {
    /// Starts to listen to a machine.
    ///
    /// # Errors
    /// The focus names an SM that the machine does not have.
    pub fn start(
        wanted: &Wanted,
        title: &str,
        code: &[Instruction],
        clock_hz: u64,
        machine: &mut Machine,
    ) -> Result<Self, Complaint> {
        let parts = Parts::of(machine);
        let shown = |most: u32| parts.sms_in(&wanted.focus, most);
        let mut drawing = Self { wanted: wanted.clone(), timeline: None, pipeline: None };
        if let Some(window) = &wanted.timeline {
            let sms = shown(TIMELINE_SMS)?;
            let memories = parts.memories.iter().map(|(path, _)| path.clone());
            let of = (code, clock_hz as f64 / 1e9);
            let timeline = GpuTimeline::new(title, window.clone(), &wanted.focus, sms.clone(), memories, of);
            let timeline = Arc::new(Mutex::new(timeline));
            listen_to_sms(machine, &parts, sms, window.end, &timeline, GpuTimeline::sm);
            for (path, component) in &parts.memories {
                let (drawn, path) = (timeline.clone(), path.clone());
                // A memory may have a clock of its own, and the window is one of the SMs' clock.
                let scope = Scope { components: *component..component + 1, ..Scope::ALL };
                machine.listen_in::<MemoryLoad>(scope, move |stated| {
                    lock(&drawn).memory(&path, cycle_at(stated.time, clock_hz), &stated.fact);
                });
            }
            drawing.timeline = Some(timeline);
        }
        if let Some(window) = &wanted.pipeline {
            let pipeline = Arc::new(Mutex::new(GpuPipeline::new(window.clone(), &wanted.focus, code)));
            listen_to_sms(machine, &parts, shown(PIPELINE_SMS)?, window.end, &pipeline, GpuPipeline::sm);
            drawing.pipeline = Some(pipeline);
        }
        Ok(drawing)
    }

    /// The drawings of a run that ended in cycle `end`. The machine must be gone: it holds the listeners.
    pub fn finish(self, end: u64) -> Vec<View> {
        let mut views = Vec::new();
        let nothing = |option: &str, window: &Range<u64>| {
            let Range { start, end: to } = window;
            format!("nothing happened in the cycles of {option}={start}..{to}; the run took {end} cycles")
        };
        if let (Some(timeline), Some(window)) = (self.timeline.and_then(unwrap), &self.wanted.timeline) {
            let (drawn, cut_at) = timeline.finish(end);
            let note = if drawn.events() == 0 {
                Some(nothing("--timeline", window))
            } else {
                cut_at.map(|at| cut("--timeline", at, window))
            };
            views.push(View { file: "timeline.perfetto-trace", bytes: drawn.encode(), note });
        }
        if let (Some(pipeline), Some(window)) = (self.pipeline.and_then(unwrap), &self.wanted.pipeline) {
            let drawn = pipeline.finish(end);
            let note = if drawn.instructions == 0 {
                Some(nothing("--pipeline", window))
            } else {
                drawn.cut_at.map(|at| cut("--pipeline", at, window))
            };
            views.push(View { file: "pipeline.kanata", bytes: drawn.log.into_bytes(), note });
        }
        views
    }
}

fn cut(option: &str, at: u64, window: &Range<u64>) -> String {
    let to = window.end;
    format!("{option} is full at cycle {at}; what follows: {option}={at}..{to}, or fewer warps with --focus")
}

/// The cycle of a clock whose edge is at `time` or the next one; edges are rounded down to femtoseconds.
fn cycle_at(time: Femtos, hertz: u64) -> u64 {
    let cycles = (u128::from(time.0) * u128::from(hertz)).div_ceil(1_000_000_000_000_000);
    u64::try_from(cycles).unwrap_or(u64::MAX)
}

fn lock<T>(drawn: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    drawn.lock().unwrap_or_else(PoisonError::into_inner)
}

fn unwrap<T>(drawn: Arc<Mutex<T>>) -> Option<T> {
    Some(Arc::into_inner(drawn)?.into_inner().unwrap_or_else(PoisonError::into_inner))
}

/// Facts of the SMs `sms` up to cycle `end` go to `hear`.
fn listen_to_sms<T: Send + 'static>(
    machine: &mut Machine,
    parts: &Parts,
    sms: Range<u32>,
    end: u64,
    drawn: &Arc<Mutex<T>>,
    hear: fn(&mut T, u32, u64, &SmFact),
) {
    let first = parts.first_sm;
    let scope = Scope { components: first + sms.start..first + sms.end, cycles: 0..end };
    let drawn = drawn.clone();
    machine.listen_in::<SmFact>(scope, move |stated| {
        hear(&mut lock(&drawn), stated.component.0 - first, stated.cycle.0, &stated.fact);
    });
}

/// Where the components of a machine are that can be heard.
struct Parts {
    first_sm: u32,
    sms: u32,
    memories: Vec<(String, u32)>,
}

impl Parts {
    fn of(machine: &Machine) -> Self {
        let mut parts = Self { first_sm: 0, sms: 0, memories: Vec::new() };
        let mut first = 0;
        for (_, kind, count) in machine.parts() {
            let count = count as u32;
            if kind == SmComponent::KIND && parts.sms == 0 {
                (parts.first_sm, parts.sms) = (first, count);
            }
            if [FixedMemory::KIND, Crossbar::KIND].contains(&kind) {
                let components = first..first + count;
                parts.memories.extend(components.map(|id| (machine.path(sim_core::ComponentId(id)), id)));
            }
            first += count;
        }
        parts
    }

    /// The SMs of a focus, or the first `most`.
    fn sms_in(&self, focus: &Focus, most: u32) -> Result<Range<u32>, Complaint> {
        let Some(sms) = &focus.sms else { return Ok(0..most.min(self.sms)) };
        if sms.end <= self.sms {
            return Ok(sms.clone());
        }
        let help = format!("its {} SMs are sm=0..{}", self.sms, self.sms);
        Err(Complaint::new(format!("--focus: the machine has no SM {}", sms.end - 1)).help(help))
    }
}
