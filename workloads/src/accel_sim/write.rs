//! Writes what a launch executes as an Accel-Sim trace of version 4, as a tracer on a GPU would have.

use std::io::{self, Write};

use crate::sass::exec::{ExecError, Grid};
use crate::sass::{Instruction, Launch, Operand, RegisterFile, Uses};
use crate::stream::{CtaStream, NO_ACCESS, Space};

/// Where the windows of shared and local memory lie in the generic address space of a written trace.
const SHARED_WINDOW: u64 = 0x7f10_0000_0000;
const LOCAL_WINDOW: u64 = 0x7f20_0000_0000;

/// Why a trace could not be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Execution(#[from] Box<ExecError>),
}

/// Executes all CTAs of a grid that none has run of, and writes their trace.
///
/// # Errors
/// Execution failed, or `out` cannot be written.
pub fn write(grid: &mut Grid, launch: &Launch, out: &mut dyn Write) -> Result<(), WriteError> {
    let kernel = grid.kernel().clone();
    let triple = |[x, y, z]: [u32; 3]| format!("({x},{y},{z})");
    writeln!(out, "-kernel name = {}", kernel.name)?;
    writeln!(out, "-kernel id = 1")?;
    writeln!(out, "-grid dim = {}", triple(launch.grid))?;
    writeln!(out, "-block dim = {}", triple(launch.block))?;
    writeln!(out, "-shmem = {}", launch.shared_bytes(&kernel))?;
    writeln!(out, "-nregs = {}", kernel.metadata.registers)?;
    writeln!(out, "-binary version = {}", kernel.arch.trim_start_matches("sm_").trim_end_matches('a'))?;
    writeln!(out, "-cuda stream id = 0")?;
    writeln!(out, "-shmem base_addr = {SHARED_WINDOW:#018x}")?;
    writeln!(out, "-local mem base_addr = {LOCAL_WINDOW:#018x}")?;
    writeln!(out, "-nvbit version = none (orrery {})", env!("CARGO_PKG_VERSION"))?;
    writeln!(out, "-accelsim tracer version = 4")?;
    writeln!(out, "-enable lineinfo = 0\n")?;
    writeln!(
        out,
        "#traces format = [line_num] PC mask dest_num [reg_dests] opcode src_num [reg_srcs] mem_width \
         [adrrescompress?] [mem_addresses]\n"
    )?;
    let forms: Vec<Form> = kernel.instructions.iter().map(Form::of).collect();
    let mut stream = CtaStream::default();
    for cta in 0..u32::try_from(grid.cta_count()).unwrap_or(u32::MAX) {
        let addresses = grid.run_cta_with_addresses(cta, &mut stream).map_err(Box::new)?;
        let [x, y, z] = grid.cta_position(cta);
        writeln!(out, "#BEGIN_TB\n\nthread block = {x},{y},{z}\n")?;
        for (warp, ops) in stream.warps.iter().enumerate() {
            writeln!(out, "warp = {warp}\ninsts = {}", ops.len())?;
            for op in ops {
                let form = &forms[op.index as usize];
                write!(out, "{:04x} {:08x} {}", op.index * 16, op.lanes, form.text)?;
                let Some(width) = form.width_bytes else {
                    writeln!(out, " 0 ")?;
                    continue;
                };
                write!(out, " {width}")?;
                match stream.accesses.get(op.access as usize).filter(|_| op.access != NO_ACCESS) {
                    None => writeln!(out, " 1 0x0 0 ")?,
                    Some(access) => {
                        let window = match access.space {
                            Space::Shared if form.generic => SHARED_WINDOW,
                            Space::Local => LOCAL_WINDOW,
                            _ => 0,
                        };
                        let own = addresses.get(op.access as usize).copied().unwrap_or([0; 32]);
                        let active: Vec<u64> =
                            (0..32).filter(|lane| op.lanes >> lane & 1 == 1).map(|lane| window + own[lane]).collect();
                        write_addresses(out, op.lanes, &active)?;
                    }
                }
            }
            writeln!(out)?;
        }
        writeln!(out, "#END_TB\n")?;
    }
    Ok(())
}

/// Base and stride where the active lanes lie side by side with equal steps, else base and distances.
fn write_addresses(out: &mut dyn Write, lanes: u32, addresses: &[u64]) -> io::Result<()> {
    let steps: Vec<i64> = addresses.windows(2).map(|pair| pair[1].wrapping_sub(pair[0]) as i64).collect();
    let run = lanes >> lanes.trailing_zeros();
    let is_run = run & run.wrapping_add(1) == 0;
    if is_run && steps.iter().all(|step| *step == steps[0]) {
        return writeln!(out, " 1 {:#x} {} ", addresses[0], steps.first().unwrap_or(&0));
    }
    write!(out, " 2 {:#x}", addresses[0])?;
    for step in steps {
        write!(out, " {step}")?;
    }
    writeln!(out, " ")
}

/// What a line says of a static instruction.
struct Form {
    /// Counts, registers and opcode.
    text: String,
    /// Of an instruction that names an address.
    width_bytes: Option<u8>,
    generic: bool,
}

impl Form {
    /// As the tracer sees operands: the first is the destination if it is a register, all other registers are sources.
    fn of(instruction: &Instruction) -> Self {
        let mut destinations = Vec::new();
        let mut sources = Vec::new();
        let uses = Uses::of(instruction).ok();
        let writes = uses.as_ref().is_some_and(|uses| !uses.written.is_empty());
        for (place, operand) in instruction.operands.iter().enumerate() {
            match operand {
                Operand::Register(register) if register.file == RegisterFile::Vector => {
                    let is_destination = place == 0 && (writes || register.is_zero());
                    if is_destination { &mut destinations } else { &mut sources }.push(register.number);
                }
                Operand::Memory(memory) => sources.extend(memory.base.as_ref().map(|base| base.number)),
                Operand::Constant(constant) => {
                    sources.extend(
                        constant.index.filter(|(file, _)| *file == RegisterFile::Vector).map(|(_, number)| number),
                    );
                }
                _ => {}
            }
        }
        let listed = |registers: &[u8]| registers.iter().map(|number| format!(" R{number}")).collect::<String>();
        let text = format!(
            "{}{} {} {}{}",
            destinations.len(),
            listed(&destinations),
            instruction.full_mnemonic(),
            sources.len(),
            listed(&sources),
        );
        let touches = instruction.operands.iter().any(|operand| matches!(operand, Operand::Memory(_)))
            && uses.as_ref().is_some_and(|uses| uses.class.is_memory());
        Self {
            text,
            width_bytes: uses.filter(|_| touches).map(|uses| uses.access_bytes),
            generic: matches!(instruction.mnemonic.as_str(), "LD" | "ST" | "ATOM"),
        }
    }
}
