//! `orrery trace check`: is a DRAM command trace legal?

use std::collections::BTreeSet;

use hbm::checker::Checker;
use hbm::constraint::{ConstraintTable, Edition};
use hbm::trace::{memory_of, read_commands};
use serde_json::json;

use crate::cli::{Common, Rules, TraceCheckArgs};
use crate::commands::trace_accel;
use crate::failure::{Complaint, Failure};
use crate::memory;
use crate::output::{print, print_json};
use crate::report::thousands;
use crate::traced::is_traced;

/// Checks a command trace and lists the first violations.
pub fn run(args: &TraceCheckArgs, common: &Common) -> Result<(), Failure> {
    if is_traced(&args.file) {
        return trace_accel::check(&args.file, common);
    }
    let text = memory::trace_text(&args.file)?;
    let commands = read_commands(&args.file, &text).map_err(memory::trace_failure)?;
    let Some(word) = args.memory.clone().or_else(|| memory_of(&text).map(str::to_string)) else {
        let help = "name its memory: --memory hbm3, or a line `# memory: hbm3` in the trace";
        return Err(Complaint::new(format!("{} does not say which memory it is of", args.file)).help(help).into());
    };
    if !memory::is_memory(&word) && hbm::memory_file::shipped(&word).is_none() {
        let known = hbm::library::SHIPPED.iter().map(|(name, _)| *name);
        let help = sim_core::config::did_you_mean(&word, known).unwrap_or("see `orrery list machines`".to_string());
        return Err(Complaint::new(format!("there is no memory `{word}`")).help(help).into());
    }
    let preset = memory::memory(&word, &[])?.preset;
    let mut timing = preset.timing;
    let edition = match args.rules {
        Rules::Full => Edition::Full,
        Rules::Ramulator2 => {
            timing.n_rrefd = preset.ramulator2.n_rrefd.unwrap_or(timing.n_rrefd);
            Edition::Ramulator2
        }
    };
    let table = ConstraintTable::build(preset.generation, &timing, edition);
    let mut checker = Checker::new(preset.generation, preset.organisation, &table, edition == Edition::Full);
    let violations = checker.check_all(&commands);
    let flagged = violations.iter().map(|violation| violation.index).collect::<BTreeSet<_>>().len();
    let shown: Vec<String> = violations.iter().take(args.show).map(ToString::to_string).collect();
    if common.json {
        print_json(&json!({
            "file": args.file,
            "memory": word,
            "commands": commands.len(),
            "flagged_commands": flagged,
            "violations": violations.len(),
            "first": shown,
        }));
    } else {
        let total = thousands(commands.len() as u64);
        let verdict = match violations.len() {
            0 => format!("{}: {total} commands, all legal on {word}\n", args.file),
            count => {
                let percent = 100.0 * flagged as f64 / commands.len() as f64;
                let count = thousands(count as u64);
                let flagged = thousands(flagged as u64);
                format!(
                    "{}: {count} violations by {flagged} of {total} commands ({percent:.2} %) on {word}\n",
                    args.file
                )
            }
        };
        let lines: String = shown.iter().map(|line| format!("  {line}\n")).collect();
        let more = violations.len().saturating_sub(shown.len());
        let rest = if more > 0 { format!("  and {} more\n", thousands(more as u64)) } else { String::new() };
        print(&(verdict + &lines + &rest));
    }
    if violations.is_empty() { Ok(()) } else { Err(Failure::Check) }
}
