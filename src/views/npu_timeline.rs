//! The timeline of an NPU for Perfetto: a track an engine, with the tasks that it worked on, named by their layers.

use std::ops::Range;

use super::View;
use super::perfetto::Timeline;

/// Slices of a file.
const MOST_EVENTS: usize = 600_000;

/// Something that an engine worked on.
pub struct Row {
    /// Number of the engine.
    pub engine: usize,
    pub name: String,
    pub start_ps: u64,
    pub end_ps: u64,
}

/// The tasks that ran in the nanoseconds of `window`; the engines are named by `engines`.
pub fn npu_timeline(name: &str, window: &Range<u64>, engines: Vec<String>, rows: impl Iterator<Item = Row>) -> View {
    // Perfetto's own unit is the nanosecond; an event that is shorter is drawn as a moment.
    let mut timeline = Timeline::new(&format!("{name} (simulated time)"), window.clone());
    let tracks: Vec<_> = engines.iter().map(|engine| timeline.track(&[engine])).collect();
    let mut last = 0;
    let mut cut = None;
    for row in rows {
        let (start, end) = (row.start_ps / 1000, row.end_ps / 1000);
        last = last.max(end);
        if timeline.events() < MOST_EVENTS {
            timeline.slice(tracks[row.engine], &row.name, start, end);
        } else {
            cut.get_or_insert(start);
        }
    }
    let Range { start, end } = window;
    let note = match cut {
        Some(at) => Some(format!("--timeline is full at {at} ns; what follows: --timeline={at}..{last}")),
        None if timeline.events() == 0 => {
            Some(format!("nothing happened in the nanoseconds of --timeline={start}..{end}; the run took {last} ns"))
        }
        None => None,
    };
    View { file: "timeline.perfetto-trace", bytes: timeline.encode(), note }
}
