//! The Kanata log, version 0004, which the pipeline viewer Konata opens: a row an instruction, a lane for its stages and
//! one for why it waits.
//!
//! The writer knows nothing of what it draws. What lies outside the window is dropped, what crosses its edges is cut; an
//! instruction that goes on behind the window ends there as flushed.
//!
//! Format: `docs/kanata-log-format.md` in github.com/shioyadan/Konata. Time goes forward only, so rows are put in order here.

use std::fmt::Write;
use std::ops::Range;

/// The lane of the pipeline stages.
pub const STAGES: usize = 0;
/// The lane that is laid over it: what the instruction waits for.
pub const STALLS: usize = 1;

/// An instruction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Row {
    pub thread: u64,
    /// The program's own number of the instruction.
    pub number: u64,
    /// Shown beside the row.
    pub label: String,
    /// Shown where the mouse is.
    pub details: String,
    /// Of each lane, what begins when, in the order of time; each ends where the next begins, the last with the row.
    /// `None` is nothing.
    pub lanes: [Vec<(u64, Option<&'static str>)>; 2],
    /// When it is over, if that is known.
    pub end: Option<u64>,
    /// Rows, by their places among all, that let this one go on, and when.
    pub woken_by: Vec<(u64, usize)>,
}

impl Row {
    fn start(&self) -> Option<u64> {
        self.lanes.iter().filter_map(|lane| lane.first()).map(|first| first.0).min()
    }

    /// The parts of a lane inside the window, each longer than nothing.
    fn segments(&self, lane: usize, window: &Range<u64>) -> Vec<(Range<u64>, &'static str)> {
        let end = self.end.unwrap_or(window.end).min(window.end);
        let lane = &self.lanes[lane];
        let ends = lane.iter().skip(1).map(|next| next.0).chain([end]);
        let segments = lane.iter().zip(ends).filter_map(|(&(from, name), to)| {
            let cut = from.max(window.start)..to.min(end);
            (!cut.is_empty()).then_some((cut, name?))
        });
        segments.collect()
    }
}

/// Commands of one cycle in the order in which they may stand: a row is declared before it is used, and ends last.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Command {
    End { id: usize, lane: usize, stage: &'static str },
    Declare { id: usize, row: usize },
    Start { id: usize, lane: usize, stage: &'static str },
    Wake { id: usize, by: usize },
    Retire { id: usize, flushed: bool },
}

/// The log of the rows that show anything in `window`.
pub fn log(rows: &[Row], window: &Range<u64>) -> String {
    let mut shown: Vec<(u64, usize)> = Vec::new();
    let segments: Vec<_> = rows.iter().map(|row| [STAGES, STALLS].map(|lane| row.segments(lane, window))).collect();
    for (place, row) in rows.iter().enumerate() {
        if let Some(start) = row.start().filter(|_| segments[place].iter().any(|lane| !lane.is_empty())) {
            shown.push((start.max(window.start), place));
        }
    }
    shown.sort_by_key(|&(start, place)| (start, rows[place].thread, rows[place].number, place));
    let mut ids = vec![None; rows.len()];
    for (id, &(_, place)) in shown.iter().enumerate() {
        ids[place] = Some(id);
    }
    let mut commands: Vec<(u64, Command)> = Vec::new();
    for (id, &(start, place)) in shown.iter().enumerate() {
        let row = &rows[place];
        commands.push((start, Command::Declare { id, row: place }));
        for (lane, segments) in segments[place].iter().enumerate() {
            for (cycles, stage) in segments {
                commands.push((cycles.start, Command::Start { id, lane, stage }));
                commands.push((cycles.end, Command::End { id, lane, stage }));
            }
        }
        let end = row.end.filter(|end| *end <= window.end);
        commands.push((end.unwrap_or(window.end), Command::Retire { id, flushed: end.is_none() }));
        for &(at, by) in row.woken_by.iter().filter(|wake| window.contains(&wake.0)) {
            if let Some(by) = ids[by] {
                commands.push((at, Command::Wake { id, by }));
            }
        }
    }
    commands.sort_unstable();
    text(rows, window.start, &commands)
}

fn text(rows: &[Row], start: u64, commands: &[(u64, Command)]) -> String {
    let mut out = format!("Kanata\t0004\nC=\t{start}\n");
    let (mut now, mut retired) = (start, 0);
    let line = |out: &mut String, arguments: std::fmt::Arguments<'_>| {
        out.write_fmt(arguments).expect("a text grows");
        out.push('\n');
    };
    for (at, command) in commands {
        if *at > now {
            line(&mut out, format_args!("C\t{}", at - now));
            now = *at;
        }
        match *command {
            Command::End { id, lane, stage } => line(&mut out, format_args!("E\t{id}\t{lane}\t{stage}")),
            Command::Declare { id, row } => {
                let row = &rows[row];
                line(&mut out, format_args!("I\t{id}\t{}\t{}", row.number, row.thread));
                line(&mut out, format_args!("L\t{id}\t0\t{}", one_line(&row.label)));
                line(&mut out, format_args!("L\t{id}\t1\t{}", one_line(&row.details)));
            }
            Command::Start { id, lane, stage } => line(&mut out, format_args!("S\t{id}\t{lane}\t{stage}")),
            Command::Wake { id, by } => line(&mut out, format_args!("W\t{id}\t{by}\t0")),
            Command::Retire { id, flushed } => {
                line(&mut out, format_args!("R\t{id}\t{retired}\t{}", u8::from(flushed)));
                retired += u64::from(!flushed);
            }
        }
    }
    out
}

/// Tabs and line ends would end the column.
fn one_line(text: &str) -> String {
    text.replace(['\t', '\n', '\r'], " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(thread: u64, lane: &[(u64, Option<&'static str>)], end: Option<u64>) -> Row {
        Row { thread, label: format!("row {thread}"), lanes: [lane.to_vec(), Vec::new()], end, ..Row::default() }
    }

    /// The first sample of the format's description, with the labels of this writer and its explicit ends of stages.
    #[test]
    fn the_sample_of_the_format() {
        let rows = [
            row(0, &[(216, Some("F")), (217, Some("X"))], Some(218)),
            row(0, &[(217, Some("F")), (218, Some("X"))], None),
        ];
        let expected = "Kanata\t0004\nC=\t216\nI\t0\t0\t0\nL\t0\t0\trow 0\nL\t0\t1\t\nS\t0\t0\tF\nC\t1\nE\t0\t0\tF\n\
                        I\t1\t0\t0\nL\t1\t0\trow 0\nL\t1\t1\t\nS\t0\t0\tX\nS\t1\t0\tF\nC\t1\nE\t0\t0\tX\nE\t1\t0\tF\n\
                        S\t1\t0\tX\nR\t0\t0\t0\nC\t1\nE\t1\t0\tX\nR\t1\t1\t1\n";
        assert_eq!(log(&rows, &(216..219)), expected);
    }

    #[test]
    fn the_window_cuts_and_drops() {
        let rows = [
            row(0, &[(0, Some("F")), (5, Some("X"))], Some(10)),
            row(1, &[(0, Some("F")), (5, Some("X")), (12, Some("W"))], Some(13)),
            row(2, &[(15, Some("F"))], Some(40)),
            row(3, &[(20, Some("F"))], Some(21)),
        ];
        let log = log(&rows, &(10..20));
        let seen: Vec<&str> = log.lines().filter(|line| !line.starts_with('L')).collect();
        let expected = [
            "Kanata\t0004",
            "C=\t10",
            "I\t0\t0\t1",
            "S\t0\t0\tX",
            "C\t2",
            "E\t0\t0\tX",
            "S\t0\t0\tW",
            "C\t1",
            "E\t0\t0\tW",
            "R\t0\t0\t0",
            "C\t2",
            "I\t1\t0\t2",
            "S\t1\t0\tF",
            "C\t5",
            "E\t1\t0\tF",
            "R\t1\t1\t1",
        ];
        assert_eq!(seen, expected);
    }

    #[test]
    fn a_stage_without_length_and_a_gap_are_not_written() {
        let lane = [(0, Some("F")), (1, Some("Rq")), (1, None), (3, Some("W"))];
        let log = log(&[row(0, &lane, Some(4))], &(0..10));
        let seen: Vec<&str> = log.lines().filter(|line| line.starts_with(['S', 'E'])).collect();
        assert_eq!(seen, ["S\t0\t0\tF", "E\t0\t0\tF", "S\t0\t0\tW", "E\t0\t0\tW"]);
    }

    #[test]
    fn texts_stay_on_their_line() {
        let mut odd = row(0, &[(0, Some("F"))], Some(1));
        odd.label = "a\tb\nc".to_string();
        assert!(log(&[odd], &(0..10)).contains("L\t0\t0\ta b c\n"));
    }

    #[test]
    fn arrows_lead_to_rows_that_are_shown() {
        let mut woken = row(1, &[(10, Some("Is"))], Some(12));
        woken.woken_by = vec![(11, 0), (11, 1)];
        let rows = [row(0, &[(0, Some("F"))], Some(5)), row(0, &[(8, Some("F"))], Some(11)), woken];
        let log = log(&rows, &(7..20));
        let arrows: Vec<&str> = log.lines().filter(|line| line.starts_with('W')).collect();
        assert_eq!(arrows, ["W\t1\t0\t0"]);
    }
}
