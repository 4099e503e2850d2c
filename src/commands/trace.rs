//! `orrery trace info`: what was understood of a SASS listing, without running it.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use serde_json::{Value, json};
use workloads::sass::control::NO_COUNTER;
use workloads::sass::kernel::Metadata;
use workloads::sass::{Instruction, Kernel, Listing, catalog};

use crate::cli::Common;
use crate::commands::trace_accel;
use crate::failure::{Complaint, Failure};
use crate::output::{print, print_json};
use crate::traced::is_traced;

/// Opcodes a line of the histogram.
const OPCODES_A_LINE: usize = 6;

/// Prints what is known of each function of a listing, or of a shipped kernel on each architecture.
pub fn info(file: &str, common: &Common) -> Result<(), Failure> {
    if is_traced(file) {
        return trace_accel::info(file, common);
    }
    let functions = read(file)?;
    if common.json {
        print_json(&Value::Array(functions.iter().map(FunctionInfo::to_json).collect()));
    } else {
        let texts: Vec<String> = functions.iter().map(FunctionInfo::text).collect();
        print(&texts.join("\n"));
    }
    Ok(())
}

fn read(file: &str) -> Result<Vec<FunctionInfo>, Failure> {
    let archs = catalog::archs_of(file);
    if !archs.is_empty() {
        let kernels = archs.iter().map(|arch| catalog::kernel(file, arch)).collect::<Result<Vec<_>, _>>()?;
        return Ok(kernels.iter().map(of_kernel).collect());
    }
    let path = Path::new(file);
    if !path.exists() {
        let shipped = catalog::kernel_names();
        let mut names: Vec<&str> = shipped.iter().map(|(name, _)| name.as_str()).collect();
        names.dedup();
        let help = match sim_core::config::nearest(file, names.iter().copied()) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => format!("give a listing, or one of the shipped kernels {}", names.join(", ")),
        };
        return Err(Complaint::new(format!("{file} is neither a file nor a shipped kernel")).help(help).into());
    }
    let listing = Listing::read(path)?;
    let metadata = metadata_beside(path).map(|beside| Kernel::read(&beside)).transpose()?;
    let of_function = |function: &workloads::sass::listing::Function| match &metadata {
        Some(kernel) if kernel.name == function.name => of_kernel(kernel),
        _ => FunctionInfo::new(&function.name, function.arch.as_deref(), &function.instructions, None),
    };
    Ok(listing.functions.iter().map(of_function).collect())
}

/// `x.sm_90.toml` beside `x.sm_90.sass` or `x.sm_90.sass.zst`, if it is there.
fn metadata_beside(listing: &Path) -> Option<std::path::PathBuf> {
    let name = listing.file_name()?.to_str()?;
    let stem = name.strip_suffix(".zst").unwrap_or(name).strip_suffix(".sass")?;
    let beside = listing.with_file_name(format!("{stem}.toml"));
    beside.exists().then_some(beside)
}

fn of_kernel(kernel: &Kernel) -> FunctionInfo {
    FunctionInfo::new(&kernel.name, Some(&kernel.arch), &kernel.instructions, Some(kernel.metadata.clone()))
}

/// What is counted in one function.
struct FunctionInfo {
    name: String,
    arch: Option<String>,
    metadata: Option<Metadata>,
    instructions: usize,
    /// With a guard other than "always".
    guarded: usize,
    /// By base mnemonic.
    opcodes: BTreeMap<String, usize>,
    /// Instructions by stall count, 0 to 15.
    stalls: [usize; 16],
    yields: usize,
    /// That wait for a dependence counter before issue.
    waits: usize,
    /// That raise a counter until their result is written.
    write_counters: usize,
    /// That raise a counter until their sources are read.
    read_counters: usize,
    /// Operands that ask for the register-file cache.
    reuse_operands: u32,
    reuse_instructions: usize,
}

impl FunctionInfo {
    fn new(name: &str, arch: Option<&str>, instructions: &[Instruction], metadata: Option<Metadata>) -> Self {
        let count = |test: &dyn Fn(&Instruction) -> bool| instructions.iter().filter(|i| test(i)).count();
        let mut opcodes = BTreeMap::new();
        let mut stalls = [0; 16];
        for instruction in instructions {
            *opcodes.entry(instruction.mnemonic.clone()).or_insert(0) += 1;
            stalls[usize::from(instruction.control.stall & 15)] += 1;
        }
        Self {
            name: name.to_string(),
            arch: arch.map(str::to_string),
            metadata,
            instructions: instructions.len(),
            guarded: count(&|i| i.guard.is_some()),
            opcodes,
            stalls,
            yields: count(&|i| i.control.yield_next),
            waits: count(&|i| i.control.wait_mask != 0),
            write_counters: count(&|i| i.control.write_counter != NO_COUNTER),
            read_counters: count(&|i| i.control.read_counter != NO_COUNTER),
            reuse_operands: instructions.iter().map(|i| i.control.reuse.count_ones()).sum(),
            reuse_instructions: count(&|i| i.control.reuse != 0),
        }
    }

    /// Opcodes with their counts, the most frequent first.
    fn by_frequency(&self) -> Vec<(&str, usize)> {
        let mut opcodes: Vec<_> = self.opcodes.iter().map(|(name, count)| (name.as_str(), *count)).collect();
        opcodes.sort_by_key(|(name, count)| (std::cmp::Reverse(*count), *name));
        opcodes
    }

    fn mean_stall(&self) -> f64 {
        let sum: usize = self.stalls.iter().enumerate().map(|(cycles, count)| cycles * count).sum();
        sum as f64 / self.instructions.max(1) as f64
    }

    fn text(&self) -> String {
        let mut out = self.name.clone();
        if let Some(arch) = &self.arch {
            let _ = write!(out, " ({arch})");
        }
        let _ = writeln!(out, ": {} instructions, {} guarded", self.instructions, self.guarded);
        match &self.metadata {
            Some(m) => {
                let _ = writeln!(
                    out,
                    "  needs     {} registers a thread, {} bytes of static shared memory, {} of local memory, {} parameters in {} bytes",
                    m.registers,
                    m.static_shared_bytes,
                    m.local_bytes,
                    m.parameters.len(),
                    m.parameter_bytes,
                );
            }
            None => out.push_str("  needs     not known: there is no metadata (.toml) beside the listing\n"),
        }
        let opcodes: Vec<String> =
            self.by_frequency().iter().map(|(name, count)| format!("{:<12}", format!("{name} {count}"))).collect();
        for (index, line) in opcodes.chunks(OPCODES_A_LINE).enumerate() {
            let label = if index == 0 { "opcodes" } else { "" };
            let _ = writeln!(out, "{}", format!("  {label:<9} {}", line.concat()).trim_end());
        }
        let stalls: Vec<String> = (self.stalls.iter().enumerate().filter(|(_, count)| **count > 0))
            .map(|(cycles, count)| format!("{cycles}:{count}"))
            .collect();
        let _ =
            writeln!(out, "  stall     mean {:.2} cycles; cycles:instructions {}", self.mean_stall(), stalls.join(" "));
        let _ = writeln!(
            out,
            "  counters  {} wait, {} count until written, {} until read; {} yield",
            self.waits, self.write_counters, self.read_counters, self.yields
        );
        let _ = writeln!(
            out,
            "  reuse     {} operands of {} instructions stay in the register-file cache",
            self.reuse_operands, self.reuse_instructions
        );
        out
    }

    fn to_json(&self) -> Value {
        let stalls: serde_json::Map<String, Value> = (self.stalls.iter().enumerate())
            .filter(|(_, count)| **count > 0)
            .map(|(cycles, count)| (cycles.to_string(), json!(count)))
            .collect();
        let opcodes: serde_json::Map<String, Value> =
            self.by_frequency().into_iter().map(|(name, count)| (name.to_string(), json!(count))).collect();
        json!({
            "function": self.name,
            "arch": self.arch,
            "metadata": self.metadata.as_ref().map(|m| json!({
                "registers": m.registers,
                "static_shared_bytes": m.static_shared_bytes,
                "local_bytes": m.local_bytes,
                "barriers": m.barriers,
                "max_threads": m.max_threads,
                "parameters": m.parameters.len(),
                "parameter_bytes": m.parameter_bytes,
            })),
            "instructions": self.instructions,
            "guarded": self.guarded,
            "opcodes": opcodes,
            "stall_cycles": stalls,
            "yields": self.yields,
            "wait": self.waits,
            "count_until_written": self.write_counters,
            "count_until_read": self.read_counters,
            "reuse_operands": self.reuse_operands,
            "reuse_instructions": self.reuse_instructions,
        })
    }
}
