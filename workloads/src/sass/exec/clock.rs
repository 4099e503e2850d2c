//! Kernels that read a clock.
//!
//! Ahead of time a clock has no value. A kernel may read one as long as no instruction reads the register afterwards;
//! otherwise its result would depend on a number that nobody computed. With values at issue there is no such limit.

use super::super::error::SassError;
use super::super::instruction::{Instruction, Operand, RegisterFile};
use super::super::kernel::Kernel;
use super::special::CLOCKS;

/// Refuses a kernel in which something reads a register that may hold a clock.
pub fn refuse_dependence(kernel: &Kernel) -> Result<(), SassError> {
    let instructions = &kernel.instructions;
    for (index, reader) in instructions.iter().enumerate() {
        let Some((file, first, count)) = clock_target(reader) else { continue };
        for number in first..first.saturating_add(count) {
            if let Some(user) = first_use(kernel, index, file, number) {
                let message = format!(
                    "`{}` at {:#06x} uses the clock that `{}` at {:#06x} reads",
                    user.text.trim(),
                    user.pc,
                    reader.text.trim(),
                    reader.pc
                );
                let help = "values that depend on time are computed at issue: run it with --coupled; without, a clock may \
                            only be read when nothing uses it";
                return Err(SassError::new(&kernel.file, user.line, message, help));
            }
        }
    }
    Ok(())
}

/// The registers that get a clock: file, first, how many.
fn clock_target(instruction: &Instruction) -> Option<(RegisterFile, u8, u8)> {
    let [Operand::Register(target), Operand::Name(name)] = &instruction.operands[..] else { return None };
    let reads_clock = CLOCKS.contains(&name.as_str()) && !target.is_zero();
    let count = if matches!(instruction.mnemonic.as_str(), "CS2R" | "CS2UR") && !instruction.has_modifier("32") {
        2
    } else {
        1
    };
    reads_clock.then_some((target.file, target.number, count))
}

/// Follows control flow from behind `start` until the register is overwritten for certain.
fn first_use(kernel: &Kernel, start: usize, file: RegisterFile, number: u8) -> Option<&Instruction> {
    let instructions = &kernel.instructions;
    let mut seen = vec![false; instructions.len()];
    let mut pending = vec![start + 1];
    while let Some(index) = pending.pop() {
        if index >= instructions.len() || std::mem::replace(&mut seen[index], true) {
            continue;
        }
        let instruction = &instructions[index];
        if reads(instruction, file, number) {
            return Some(instruction);
        }
        if instruction.guard.is_none() && overwrites(instruction, file, number) {
            continue;
        }
        pending.extend(successors(kernel, instruction, index));
    }
    None
}

fn successors(kernel: &Kernel, instruction: &Instruction, index: usize) -> Vec<usize> {
    let target = instruction.operands.iter().rev().find_map(|operand| match operand {
        Operand::Integer(value) => usize::try_from(value / 16).ok(),
        _ => None,
    });
    let always = instruction.guard.is_none();
    let mut next = match instruction.mnemonic.as_str() {
        "BRA" => target.into_iter().collect(),
        // Through a pointer, anything may be called.
        "CALL" if matches!(instruction.operands.first(), Some(Operand::Register(_))) => {
            return (0..kernel.instructions.len()).collect();
        }
        // What follows a call may be reached by its return.
        "CALL" => return target.into_iter().chain([index + 1]).collect(),
        // Anything may follow a computed jump.
        "RET" | "BRX" | "JMX" => (0..kernel.instructions.len()).collect(),
        "EXIT" => vec![],
        _ => return vec![index + 1],
    };
    if !always || instruction.operands.iter().any(|operand| matches!(operand, Operand::Predicate(_))) {
        next.push(index + 1);
    }
    next
}

/// Registers that an operand may stand for beyond the one it names: up to four for data, two for 64 bits.
const WIDEST: u8 = 4;

fn covers(first: u8, width: u8, number: u8) -> bool {
    number >= first && number - first < width
}

fn reads(instruction: &Instruction, file: RegisterFile, number: u8) -> bool {
    let wide = ["64", "128", "WIDE", "HI", "F64", "U64", "S64"].iter().any(|name| instruction.has_modifier(name))
        || instruction.mnemonic.starts_with('D');
    let width = if wide { WIDEST } else { 1 };
    let sources = &instruction.operands[target_count(instruction)..];
    sources.iter().any(|operand| match operand {
        Operand::Register(register) => register.file == file && covers(register.number, width, number),
        Operand::Memory(memory) => [&memory.base, &memory.uniform]
            .into_iter()
            .flatten()
            .any(|register| register.file == file && covers(register.number, 2, number)),
        Operand::Constant(constant) => constant.index == Some((file, number)),
        _ => false,
    })
}

fn overwrites(instruction: &Instruction, file: RegisterFile, number: u8) -> bool {
    let targets = &instruction.operands[..target_count(instruction)];
    targets.iter().any(
        |operand| matches!(operand, Operand::Register(register) if register.file == file && register.number == number),
    )
}

/// How many leading operands are results.
fn target_count(instruction: &Instruction) -> usize {
    const NONE: [&str; 14] =
        ["ST", "STG", "STS", "STL", "RED", "REDG", "BRX", "RET", "R2P", "BAR", "WARPSYNC", "ISETP", "FSETP", "DSETP"];
    if NONE.contains(&instruction.mnemonic.as_str()) {
        return 0;
    }
    let first = instruction.operands.iter().position(|operand| matches!(operand, Operand::Register(_)));
    let is_leading =
        |at: &usize| instruction.operands[..*at].iter().all(|operand| matches!(operand, Operand::Predicate(_)));
    first.filter(is_leading).map_or(0, |at| at + 1)
}
