//! `orrery run --what-if`: the same run again with one part ideal at a time, and how many cycles that saves.
//!
//! Idealising is an override of the machine, nothing else: a part that never misses, has no latency, or takes all that comes.
//! The savings do not sum to the run: two parts can hide behind each other, and what one gives the next may take.

use std::fmt::Write;

use serde_json::{Value, json};
use sim_core::MachineFile;

use crate::batch;
use crate::catalog;
use crate::failure::{Complaint, Failure};
use crate::report::thousands;
use crate::result::RunResult;
use crate::simulate::Request;

/// A part that can be made ideal.
struct Ideal {
    name: &'static str,
    /// What is ideal then.
    means: &'static str,
    sets: &'static [&'static str],
}

/// In the order of the way from fetch to DRAM. A part whose keys a machine lacks is left out.
const PARTS: &[Ideal] = &[
    Ideal {
        name: "launch",
        means: "no launch overhead, a CTA starts as soon as there is room",
        sets: &[
            "part.cp.launch_overhead_cycles=0",
            "part.cp.cta_turnaround_cycles=0",
            "part.cp.warp_turnaround_cycles=0",
        ],
    },
    Ideal { name: "instruction-cache", means: "every fetch hits the L0", sets: &["part.sm.front_end.perfect=true"] },
    Ideal { name: "constant-cache", means: "every constant is there", sets: &["part.sm.constant_cache.perfect=true"] },
    Ideal {
        name: "register-ports",
        means: "eight read ports a bank",
        sets: &["part.sm.register_file.read_ports_per_bank=8"],
    },
    Ideal {
        name: "execution-units",
        means: "the fixed-latency pipes but tensor and double precision, and the XU, take an instruction a cycle",
        sets: &[
            "part.sm.execution.alu.initiation_interval_cycles=1",
            "part.sm.execution.fp32.initiation_interval_cycles=1",
            "part.sm.execution.imad.initiation_interval_cycles=1",
            "part.sm.execution.half.initiation_interval_cycles=1",
            "part.sm.execution.uniform.initiation_interval_cycles=1",
            "part.sm.variable_latency.xu.initiation_interval_cycles=1",
        ],
    },
    Ideal {
        name: "memory-queue",
        means: "255 credits a sub-core, an instruction accepted of each sub-core and of the SM every cycle",
        sets: &[
            "part.sm.memory.queue_credits=255",
            "part.sm.memory.address_unit_cycles=1",
            "part.sm.memory.accept_cycles=1",
        ],
    },
    Ideal { name: "l1", means: "every load hits the L1", sets: &["part.sm.l1_data.perfect=true"] },
    Ideal {
        name: "crossbar",
        means: "one cycle, any number of bytes; its links stay",
        sets: &[
            "part.noc.request_latency_cycles=1",
            "part.noc.response_latency_cycles=1",
            "part.noc.gpc_request_bytes_per_cycle=1e6",
            "part.noc.gpc_response_bytes_per_cycle=1e6",
            "part.noc.sm_response_bytes_per_cycle=1e6",
            "part.noc.slice_bytes_per_cycle=1e6",
        ],
    },
    Ideal {
        name: "l2",
        means: "a lookup takes one cycle, any number of bytes; it misses as before",
        sets: &[
            "part.l2.hit_latency_cycles=1",
            "part.l2.miss_latency_cycles=1",
            "part.l2.fill_latency_cycles=1",
            "part.l2.atomic_latency_cycles=1",
            "part.l2.bytes_per_cycle=1e6",
            "part.l2.atomic_bytes_per_cycle=1e6",
        ],
    },
    Ideal {
        name: "dram",
        means: "one cycle, any number of bytes",
        sets: &[
            "part.memory.kind=memory.fixed",
            "part.memory.count=1",
            "part.memory.latency_cycles=1",
            "part.memory.bandwidth_gb_per_s=1e6",
        ],
    },
];

/// What one ideal part saves.
#[derive(Clone, Debug, PartialEq)]
pub struct Saving {
    pub part: &'static str,
    pub means: &'static str,
    /// With the part ideal.
    pub cycles: u64,
}

/// The names that `--what-if` takes.
pub fn names() -> Vec<&'static str> {
    PARTS.iter().map(|part| part.name).collect()
}

/// The parts that `wanted` asks for: `all`, or `PART=ideal` and `PART`, separated by commas.
fn chosen(wanted: &str) -> Result<Vec<&'static Ideal>, Failure> {
    if wanted == "all" {
        return Ok(PARTS.iter().collect());
    }
    let of = |word: &str| -> Result<&'static Ideal, Failure> {
        let name = word.trim().strip_suffix("=ideal").unwrap_or(word.trim());
        let unknown = || {
            let help = format!("one of {}, or all", names().join(", "));
            Complaint::new(format!("--what-if: there is no part `{name}` to idealise")).help(help)
        };
        Ok(PARTS.iter().find(|part| part.name == name).ok_or_else(unknown)?)
    };
    wanted.split(',').map(of).collect()
}

/// Overrides of a part on a machine; `None` if the machine has no such part.
fn sets_on(part: &Ideal, file: &MachineFile) -> Option<Vec<String>> {
    let root = file.document().root();
    let is_there = |set: &str| {
        let (path, _) = set.split_once('=').unwrap_or((set, ""));
        root.at(path).is_some() || path.starts_with("part.memory.") && root.at("part.memory").is_some()
    };
    // A machine without a crossbar has one memory that stands for all behind the SMs.
    part.sets.iter().all(|set| is_there(set)).then(|| part.sets.iter().map(ToString::to_string).collect())
}

/// Runs `request` again for each part that is asked for, side by side; the largest saving first.
///
/// # Errors
/// A part is not known, or a run fails.
pub fn savings(wanted: &str, request: &Request, threads: usize) -> Result<Vec<Saving>, Failure> {
    let file = catalog::machine(&request.machine, &request.sets)?;
    let mut runs = Vec::new();
    for part in chosen(wanted)? {
        match sets_on(part, &file) {
            Some(sets) => runs.push((part, sets)),
            None if wanted == "all" => {}
            None => {
                let message = format!("--what-if {}: {} has no such part", part.name, request.machine);
                return Err(Complaint::new(message).help("`--what-if` alone takes those that it has").into());
            }
        }
    }
    let found = batch::side_by_side(threads, &runs, |(part, sets)| {
        let mut again =
            Request::alone(&request.machine, &request.workload, [request.sets.clone(), sets.clone()].concat());
        again.values = request.values;
        again.pieces.stop = request.pieces.stop.clone();
        let finished = batch::run(&again, &mut |_| {})?;
        if let Some(partial) = finished.result.partial {
            return Err(Failure::Run(Complaint::new(format!("--what-if: {}", partial.in_words()))));
        }
        Ok(Saving { part: part.name, means: part.means, cycles: finished.result.simulated.cycles })
    })?;
    let mut savings = found.into_iter().collect::<Result<Vec<Saving>, Failure>>()?;
    savings.sort_by_key(|saving| saving.cycles);
    Ok(savings)
}

/// The table on the screen.
pub fn text(result: &RunResult, savings: &[Saving]) -> String {
    let cycles = result.simulated.cycles;
    let mut out = format!("What if one part were ideal ({} cycles as it is)\n", thousands(cycles));
    let width = savings.iter().map(|saving| saving.part.len()).max().unwrap_or(0);
    let number = savings.iter().map(|saving| signed(saved(cycles, saving)).len()).max().unwrap_or(0);
    for saving in savings {
        let saved = saved(cycles, saving);
        let percent = 100.0 * saved as f64 / cycles.max(1) as f64;
        let _ = writeln!(
            out,
            "  {:<width$}  saves {:>number$} cycles ({percent:>5.1} %)  {}",
            saving.part,
            signed(saved),
            saving.means
        );
    }
    out.push_str("  Each alone; they do not add up, since one part can hide behind another.\n");
    out
}

fn saved(cycles: u64, saving: &Saving) -> i64 {
    cycles as i64 - saving.cycles as i64
}

fn signed(value: i64) -> String {
    let sign = if value < 0 { "-" } else { "" };
    format!("{sign}{}", thousands(value.unsigned_abs()))
}

/// The same for `run --json`.
pub fn to_json(result: &RunResult, savings: &[Saving]) -> Value {
    let cycles = result.simulated.cycles;
    let entry = |saving: &Saving| {
        json!({
            "part": saving.part, "means": saving.means, "cycles": saving.cycles, "saved_cycles": saved(cycles, saving),
        })
    };
    Value::Array(savings.iter().map(entry).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_is_one_of_some_shipped_machine_and_its_overrides_are_accepted() {
        let mut seen = Vec::new();
        for machine in catalog::machines() {
            let file = catalog::machine(&machine.name, &[]).unwrap();
            if machine::gpu::GpuShape::of(&file).is_err() {
                continue;
            }
            for part in PARTS {
                let Some(sets) = sets_on(part, &file) else { continue };
                let ideal = catalog::machine(&machine.name, &sets);
                let ideal = ideal.unwrap_or_else(|failure| panic!("{}, {}: {failure:?}", machine.name, part.name));
                machine::gpu::GpuShape::of(&ideal).unwrap();
                seen.push(part.name);
            }
        }
        assert!(names().iter().all(|name| seen.contains(name)), "{seen:?}");
    }

    #[test]
    fn parts_are_chosen_by_name() {
        let of = |wanted: &str| chosen(wanted).map(|parts| parts.iter().map(|part| part.name).collect::<Vec<_>>());
        assert_eq!(of("all").unwrap(), names());
        assert_eq!(of("l2=ideal,dram").unwrap(), ["l2", "dram"]);
        let Err(Failure::Input(complaints)) = of("l3") else { panic!() };
        assert!(complaints[0].to_string().contains("no part `l3`"));
    }
}
