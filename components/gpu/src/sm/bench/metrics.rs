//! Numbers of a run by name, as reference tables ask for them.

use super::{Issue, Outcome, Program};
use workloads::sass::Operand;

/// A run, ready to be asked.
pub struct Metrics<'a> {
    pub program: &'a Program,
    pub outcome: &'a Outcome,
}

impl Metrics<'_> {
    /// The metric's value, if the run has it:
    ///
    /// | name | value |
    /// |---|---|
    /// | `clock_delta` | last CS2R clock reading less the first, warp 0; `clock_delta_W`: warp W |
    /// | `issue_K` | issue cycle of line K (from 0) of warp 0, the first line at 0 |
    /// | `issue_interval` | cycles between issues, second half of the run |
    /// | `fresh` | 1 if every consumer reads what its producer wrote, 0 if one reads too early |
    /// | `run_K_warp`, `run_K_start`, `run_K_end` | K-th interval in which one warp issues without a gap; start at 0, end one past |
    /// | `order_S_K` | K-th warp to start in sub-core S |
    /// | `start_spacing_S` | largest distance between starts of successive warps of sub-core S |
    /// | `sorted_issue_K_I` | I-th smallest issue cycle of line K over the warps, the first of all at 2 |
    /// | `outcome_RN_K` | register RN at line K in the register-file cache: 0 miss, 1 hit, 2 miss and kept |
    pub fn get(&self, name: &str) -> Option<f64> {
        let parts: Vec<&str> = name.split('_').collect();
        let number = |text: &str| text.parse::<usize>().ok();
        match parts.as_slice() {
            ["clock", "delta"] => self.clock_delta(0),
            ["clock", "delta", warp] => self.clock_delta(number(warp)?),
            ["issue", "interval"] => self.issue_interval(),
            ["issue", line] => self.issue(number(line)?),
            ["fresh"] => Some(if self.outcome.hazards.is_empty() { 1.0 } else { 0.0 }),
            ["run", place, what] => self.run(number(place)?, what),
            ["order", subcore, place] => {
                let starts = self.starts(number(subcore)?);
                starts.get(number(place)?).map(|start| f64::from(start.1))
            }
            ["start", "spacing", subcore] => {
                let starts = self.starts(number(subcore)?);
                starts.windows(2).map(|pair| (pair[1].0 - pair[0].0) as f64).reduce(f64::max)
            }
            ["sorted", "issue", line, place] => self.sorted_issue(number(line)?, number(place)?),
            ["outcome", register, line] => {
                self.register_outcome(number(register.strip_prefix('R')?)? as u8, number(line)? as u32)
            }
            _ => None,
        }
    }

    fn clock_delta(&self, warp: usize) -> Option<f64> {
        let reads_clock = |issue: &&Issue| {
            let operands = &self.program.instructions[issue.index as usize].operands;
            operands.iter().any(|operand| matches!(operand, Operand::Name(name) if name.starts_with("SR_CLOCK")))
        };
        // Control reads the clock in the cycle after issue, both times.
        let mut readings = self.outcome.issues.get(warp)?.iter().filter(reads_clock);
        let first = readings.next()?.cycle;
        readings.next_back().map(|last| (last.cycle - first) as f64)
    }

    fn issue(&self, line: usize) -> Option<f64> {
        let issues = self.outcome.issues.first()?;
        let found = issues.iter().find(|issue| issue.index as usize == line)?;
        Some((found.cycle - issues.first()?.cycle) as f64)
    }

    fn issue_interval(&self) -> Option<f64> {
        let issues = self.outcome.issues.first()?;
        let half = &issues[issues.len() / 2..];
        let (first, last) = (half.first()?, half.last()?);
        (half.len() > 1).then(|| (last.cycle - first.cycle) as f64 / (half.len() - 1) as f64)
    }

    /// Intervals in which one warp issues every cycle, in order of time: warp, first cycle, one past the last.
    fn runs(&self) -> Vec<(usize, u64, u64)> {
        let issues = self.outcome.issues.iter().enumerate();
        let mut all: Vec<(u64, usize)> =
            issues.flat_map(|(warp, issues)| issues.iter().map(move |issue| (issue.cycle, warp))).collect();
        all.sort_unstable();
        let mut runs: Vec<(usize, u64, u64)> = Vec::new();
        for (cycle, warp) in all {
            match runs.last_mut() {
                Some((last, _, end)) if *last == warp && *end == cycle => *end += 1,
                _ => runs.push((warp, cycle, cycle + 1)),
            }
        }
        runs
    }

    fn run(&self, place: usize, what: &str) -> Option<f64> {
        let runs = self.runs();
        let origin = runs.first()?.1;
        let &(warp, start, end) = runs.get(place)?;
        match what {
            "warp" => Some(warp as f64),
            "start" => Some((start - origin) as f64),
            "end" => Some((end - origin) as f64),
            _ => None,
        }
    }

    /// First issue of each warp of a sub-core with the warp's number in the CTA, in order of time.
    fn starts(&self, subcore: usize) -> Vec<(u64, u16)> {
        let slots = self.outcome.slots.iter().zip(&self.outcome.issues);
        let mut starts: Vec<(u64, u16)> = slots
            .filter(|(slot, _)| usize::from(**slot) % 4 == subcore)
            .filter_map(|(slot, issues)| Some((issues.first()?.cycle, *slot)))
            .collect();
        starts.sort_unstable();
        starts
    }

    fn sorted_issue(&self, line: usize, place: usize) -> Option<f64> {
        let origin = self.outcome.issues.iter().filter_map(|issues| issues.first()).map(|issue| issue.cycle).min()?;
        let mut cycles: Vec<u64> =
            self.outcome.issues.iter().filter_map(|issues| issues.get(line)).map(|issue| issue.cycle).collect();
        cycles.sort_unstable();
        cycles.get(place).map(|cycle| (cycle - origin + 2) as f64)
    }

    fn register_outcome(&self, register: u8, line: u32) -> Option<f64> {
        let of_line = || self.outcome.reads.iter().filter(move |(warp, index, _)| *warp == 0 && *index == line);
        // A line that does not read the register shows what became of its slot: a miss.
        let read = of_line().find(|(_, _, read)| read.register == register).or_else(|| of_line().next())?.2;
        Some(match (read.hit && read.register == register, read.kept) {
            (true, _) => 1.0,
            (false, true) => 2.0,
            (false, false) => 0.0,
        })
    }
}
