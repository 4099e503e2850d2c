//! The pipeline of a GPU run for Konata: where each warp instruction is, and above it what the head of a warp waits for.

use std::collections::HashMap;
use std::ops::Range;

use gpu::sm::{Dynamic, Origin, Reason, SmFact, Stage};
use workloads::sass::Instruction;

use super::focus::Focus;
use super::gpu_timeline::NOT_SELECTED;
use super::kanata::{self, Row, STAGES, STALLS};

/// Instructions of a file; about 400 bytes each.
const MOST_INSTRUCTIONS: usize = 50_000;
/// Threads of the log: one a warp slot, those of the next SM behind them.
const SLOTS_OF_AN_SM: u64 = 64;

/// Listens to SMs.
#[derive(Debug)]
pub struct GpuPipeline {
    window: Range<u64>,
    focus: Focus,
    kernel: Vec<(u32, String)>,
    rows: Vec<Row>,
    /// Rows of instructions that are on their way, by SM.
    live: HashMap<(u32, Dynamic), usize>,
    /// Rows of instructions that are over, for those that they let go on.
    over: HashMap<(u32, Dynamic), usize>,
    /// Places of rows that nobody needs any more: they were over before the window.
    free: Vec<usize>,
    cut_at: Option<u64>,
}

/// A finished pipeline.
pub struct Drawn {
    pub log: String,
    pub instructions: usize,
    /// Where it had to be cut.
    pub cut_at: Option<u64>,
}

impl GpuPipeline {
    /// Draws the cycles of `window`.
    pub fn new(window: Range<u64>, focus: &Focus, code: &[Instruction]) -> Self {
        let texts = code.iter().map(|instruction| (instruction.pc, instruction.text.clone()));
        let kernel = texts.collect();
        let focus = focus.clone();
        let (live, over) = (HashMap::new(), HashMap::new());
        Self { window, focus, kernel, rows: Vec::new(), live, over, free: Vec::new(), cut_at: None }
    }

    /// A fact of an SM.
    pub fn sm(&mut self, sm: u32, now: u64, fact: &SmFact) {
        if self.cut_at.is_some() || now >= self.window.end {
            return;
        }
        if self.rows.len() - self.free.len() >= MOST_INSTRUCTIONS {
            self.cut_at = Some(now);
            return;
        }
        match *fact {
            SmFact::Fetched { instruction, origin, buffered } => {
                if let Some(row) = self.row(sm, instruction, Some(origin)) {
                    let stages = [(now, Stage::Fetch), (now + 1, Stage::Decode), (buffered, Stage::Buffer)];
                    stages.into_iter().for_each(|(at, stage)| row.lanes[STAGES].push((at, Some(name(stage)))));
                }
            }
            SmFact::Waits { instruction, origin, why } => {
                if let Some(row) = self.row(sm, instruction, Some(origin)) {
                    row.lanes[STALLS].push((now, Some(why.map_or(NOT_SELECTED, Reason::name))));
                }
            }
            SmFact::Issued(issued) => {
                if let Some(row) = self.row(sm, issued.instruction, None) {
                    row.lanes[STALLS].push((now, None));
                    row.lanes[STAGES].extend([(now, Some(name(Stage::Issue))), (now + 1, Some(name(Stage::Control)))]);
                }
            }
            SmFact::Stage { instruction, stage: Stage::Done, cycle } => self.done(sm, instruction, cycle),
            SmFact::Stage { instruction, stage, cycle } => {
                if let Some(row) = self.row(sm, instruction, None)
                    && row.lanes[STAGES].last().and_then(|last| last.1) != Some(name(stage))
                {
                    row.lanes[STAGES].push((cycle, Some(name(stage))));
                }
            }
            SmFact::Released { instruction, by } => {
                let by = (sm, Dynamic { position: by, ..instruction });
                let by = self.live.get(&by).or_else(|| self.over.get(&by)).copied();
                if let (Some(row), Some(by)) = (self.row(sm, instruction, None), by) {
                    row.woken_by.push((now, by));
                }
            }
            _ => {}
        }
    }

    /// The row of an instruction, if it is shown; a new one begins where its origin is told.
    fn row(&mut self, sm: u32, instruction: Dynamic, origin: Option<Origin>) -> Option<&mut Row> {
        if !self.focus.shows_warp(instruction.warp) {
            return None;
        }
        let known = self.live.get(&(sm, instruction)).copied();
        let place = match (known, origin) {
            (Some(place), _) => place,
            (None, Some(origin)) => {
                let row = self.begin(sm, instruction, origin);
                let place = self.free.pop().unwrap_or(self.rows.len());
                if place == self.rows.len() {
                    self.rows.push(row)
                } else {
                    self.rows[place] = row
                }
                self.live.insert((sm, instruction), place);
                place
            }
            (None, None) => return None,
        };
        Some(&mut self.rows[place])
    }

    fn begin(&self, sm: u32, instruction: Dynamic, origin: Origin) -> Row {
        let (pc, text) = self.kernel.get(origin.index as usize).map_or((0, "?"), |(pc, text)| (*pc, text.as_str()));
        let Dynamic { warp, position } = instruction;
        Row {
            thread: u64::from(sm) * SLOTS_OF_AN_SM + u64::from(warp),
            number: u64::from(position),
            label: format!("{pc:04x}: {text}"),
            details: format!(
                "SM {sm}, sub-core {}, warp slot {warp}: block {}, warp {}, instruction {position} of the warp",
                warp % 4,
                origin.cta.0,
                origin.warp_in_cta,
            ),
            ..Row::default()
        }
    }

    fn done(&mut self, sm: u32, instruction: Dynamic, cycle: u64) {
        let Some(place) = self.live.remove(&(sm, instruction)) else { return };
        if cycle <= self.window.start {
            // Who points at this row is not shown either: it was released no later.
            self.rows[place] = Row::default();
            self.free.push(place);
        } else {
            self.rows[place].end = Some(cycle);
            self.over.insert((sm, instruction), place);
        }
    }

    /// The log of a run that ended in cycle `end`.
    pub fn finish(self, end: u64) -> Drawn {
        let window = self.window.start..self.window.end.min(end).min(self.cut_at.unwrap_or(end));
        let log = kanata::log(&self.rows, &window);
        let instructions = log.lines().filter(|line| line.starts_with("I\t")).count();
        Drawn { log, instructions, cut_at: self.cut_at }
    }
}

/// Short names, as Konata's columns are narrow.
fn name(stage: Stage) -> &'static str {
    match stage {
        Stage::Fetch => "F",
        Stage::Decode => "D",
        Stage::Buffer => "Ib",
        Stage::Issue => "Is",
        Stage::Control => "C",
        Stage::Allocate => "A",
        Stage::OperandRead => "R",
        Stage::Execute => "X",
        Stage::ResultQueue => "Rq",
        Stage::UnitQueue => "Uq",
        Stage::MemoryQueue => "Mq",
        Stage::AddressUnit => "Au",
        Stage::SharedMemory => "Sh",
        Stage::ConstantCache => "Cc",
        Stage::L1 => "L1",
        Stage::Memory => "M",
        Stage::Return => "Rt",
        Stage::WriteBack => "W",
        Stage::Done => "",
    }
}
