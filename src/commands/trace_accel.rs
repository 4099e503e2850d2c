//! `orrery trace info` and `trace check` on Accel-Sim traces: what a trace holds, and whether it is whole.

use std::fmt::Write;

use serde_json::{Value, json};
use workloads::accel_sim::{TracedKernel, is_list_name};

use crate::cli::Common;
use crate::failure::Failure;
use crate::output::{print, print_json};
use crate::report::thousands;
use crate::traced::{Traced, traces};

/// Opcodes a line of the histogram.
const OPCODES_A_LINE: usize = 6;

/// Prints what each kernel of a trace or of a list of launches holds.
pub fn info(file: &str, common: &Common) -> Result<(), Failure> {
    let traces = traces(file)?;
    let kernels = traces.iter().map(|trace| TracedKernel::read(&trace.path)).collect::<Result<Vec<_>, _>>()?;
    if common.json {
        print_json(&Value::Array(kernels.iter().map(to_json).collect()));
        return Ok(());
    }
    let mut out = String::new();
    if is_list_name(file) {
        let copies: usize = traces.iter().map(|trace| trace.copies.len()).sum();
        let _ = writeln!(out, "{file}: {} kernels, {copies} copies to the device", kernels.len());
    }
    kernels.iter().for_each(|kernel| out.push_str(&text(kernel)));
    print(&out);
    Ok(())
}

/// Reads a trace, or all traces of a list, from beginning to end. The first thing that is wrong is an error.
pub fn check(file: &str, common: &Common) -> Result<(), Failure> {
    let traces = traces(file)?;
    let (mut blocks, mut instructions) = (0, 0);
    let mut short = Vec::new();
    for Traced { path, .. } in &traces {
        let kernel = TracedKernel::read(path)?;
        blocks += kernel.totals.blocks;
        instructions += kernel.totals.warp_instructions;
        if kernel.totals.blocks < kernel.header.blocks() {
            let (has, of) = (thousands(kernel.totals.blocks), thousands(kernel.header.blocks()));
            short.push(format!("{}: {has} of {of} blocks of the grid", path.display()));
        }
    }
    if common.json {
        print_json(&json!({
            "file": file,
            "kernels": traces.len(),
            "blocks": blocks,
            "warp_instructions": instructions,
            "incomplete": short,
        }));
    } else {
        let kernels = if is_list_name(file) { format!("{} kernels, ", traces.len()) } else { String::new() };
        let counts = format!("{kernels}{} blocks, {} warp instructions", thousands(blocks), thousands(instructions));
        let verdict = if short.is_empty() { "whole" } else { "not whole" };
        let lines: String = short.iter().map(|line| format!("  {line}\n")).collect();
        print(&format!("{file}: {counts}, {verdict}\n{lines}"));
    }
    if short.is_empty() { Ok(()) } else { Err(Failure::Check) }
}

fn shown(triple: [u32; 3]) -> String {
    let [x, y, z] = triple;
    format!("({x},{y},{z})")
}

fn text(kernel: &TracedKernel) -> String {
    let (header, totals) = (&kernel.header, &kernel.totals);
    let mut out =
        format!("{}: {} ({}), Accel-Sim version {}\n", kernel.file, header.kernel, header.arch, header.version);
    let _ = writeln!(
        out,
        "  launch    grid {}, block {}, {} registers a thread, {} bytes of shared memory",
        shown(header.grid),
        shown(header.block),
        header.registers_per_thread,
        thousands(header.shared_bytes.into()),
    );
    let lanes = totals.thread_instructions as f64 / totals.warp_instructions.max(1) as f64;
    let _ = writeln!(
        out,
        "  holds     {} blocks, {} warps, {} warp instructions of {lanes:.1} lanes, {} static instructions",
        thousands(totals.blocks),
        thousands(totals.warps),
        thousands(totals.warp_instructions),
        thousands(kernel.static_count() as u64),
    );
    let mut opcodes: Vec<(&String, &u64)> = totals.by_opcode.iter().collect();
    opcodes.sort_by_key(|(name, count)| (std::cmp::Reverse(**count), *name));
    let opcodes: Vec<String> =
        opcodes.iter().map(|(name, count)| format!("{:<16}", format!("{name} {}", thousands(**count)))).collect();
    for (index, line) in opcodes.chunks(OPCODES_A_LINE).enumerate() {
        let label = if index == 0 { "opcodes" } else { "" };
        let _ = writeln!(out, "{}", format!("  {label:<9} {}", line.concat()).trim_end());
    }
    out
}

fn to_json(kernel: &TracedKernel) -> Value {
    let (header, totals) = (&kernel.header, &kernel.totals);
    json!({
        "file": kernel.file,
        "function": header.kernel,
        "arch": header.arch,
        "version": header.version,
        "grid": header.grid,
        "block": header.block,
        "registers": header.registers_per_thread,
        "shared_bytes": header.shared_bytes,
        "blocks": totals.blocks,
        "warps": totals.warps,
        "warp_instructions": totals.warp_instructions,
        "thread_instructions": totals.thread_instructions,
        "static_instructions": kernel.static_count(),
        "opcodes": totals.by_opcode,
    })
}
