//! The row policy `ClosedCAP` of Ramulator 2.1.
//!
//! Models: per bank, the column commands since the last close; at the cap, auto-precharge or an explicit precharge.
//! Leaves out: time-outs.
//! Canonical tests: the golden configurations `*-cap1` and `*-cap4`.

use std::collections::VecDeque;

use super::Maintenance;
use crate::bank::{Banks, NEVER, Tick};
use crate::command::{Command, Reach};

/// State of the policy.
#[derive(Debug, Clone)]
pub(super) struct ClosedCap {
    cap: u32,
    served: Vec<u32>,
    flagged: Vec<bool>,
    /// Banks at the cap without a flag.
    due: Vec<u32>,
}

impl ClosedCap {
    pub fn new(cap: u32, banks: u32) -> Self {
        ClosedCap { cap, served: vec![0; banks as usize], flagged: vec![false; banks as usize], due: Vec::new() }
    }

    /// The command that serves a request: with auto-precharge once the cap is reached.
    pub fn column_command(&self, command: Command, bank: u32) -> Command {
        match command {
            Command::Rd if self.served[bank as usize] >= self.cap => Command::RdA,
            Command::Wr if self.served[bank as usize] >= self.cap => Command::WrA,
            c => c,
        }
    }

    /// Notes an issued command.
    pub fn issued(&mut self, command: Command, bank: u32, banks: &Banks) {
        match command {
            Command::Rd | Command::Wr => {
                self.served[bank as usize] += 1;
                if self.served[bank as usize] == self.cap && !self.flagged[bank as usize] {
                    self.due.push(bank);
                    self.due.sort_unstable();
                }
            }
            c if c.closes() && c.reach() == Reach::Bank => self.reset(bank),
            c if c.closes() => {
                let per_pc = banks.organisation().banks_per_pseudo_channel();
                let pc = bank / per_pc;
                for b in pc * per_pc..(pc + 1) * per_pc {
                    self.reset(b);
                }
            }
            _ => {}
        }
    }

    fn reset(&mut self, bank: u32) {
        self.served[bank as usize] = 0;
        self.flagged[bank as usize] = false;
        self.due.retain(|b| *b != bank);
    }

    /// When a precharge is due next.
    pub fn next_event(&self, banks: &Banks) -> Tick {
        self.due.iter().map(|b| banks.earliest(Command::PrePb, *b)).min().unwrap_or(NEVER)
    }

    /// Appends a precharge for each bank at the cap whose precharge timing is met, in bank order.
    pub fn tick(&mut self, banks: &Banks, clk: Tick, queue: &mut VecDeque<Maintenance>) {
        let flagged = &mut self.flagged;
        self.due.retain(|bank| {
            let ready = banks.earliest(Command::PrePb, *bank) <= clk;
            if ready {
                queue.push_back(Maintenance { command: Command::PrePb, bank: *bank });
                flagged[*bank as usize] = true;
            }
            !ready
        });
    }
}
