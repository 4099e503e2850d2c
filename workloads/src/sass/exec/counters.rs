//! Sums over what was executed: instructions, floating-point operations and bytes, for a roofline.

use std::collections::BTreeMap;

use super::super::instruction::Instruction;
use super::super::uses::Uses;
use super::warp::Tally;

/// Counted by instruction; every number is of all CTAs that ran.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Instructions that a warp executed, also with a guard that was false in all lanes.
    pub warp_instructions: u64,
    /// Instructions times the lanes that executed them.
    pub thread_instructions: u64,
    /// Warp instructions by base mnemonic.
    pub by_opcode: BTreeMap<String, u64>,
    /// Single precision: FADD and FMUL count 1 a lane, FFMA 2.
    pub flops_f32: u64,
    /// Packed half precision: two numbers a lane.
    pub flops_f16: u64,
    pub flops_f64: u64,
    /// Of matrix multiplies, in whatever precision; not part of the above, nor of [`Counters::flops`].
    pub flops_matrix: u64,
    /// Integer operations of matrix multiplies: two a multiply-add.
    pub integer_ops_matrix: u64,
    /// MUFU, a lane 1; not part of the above.
    pub special_functions: u64,
    /// What lanes asked for, before coalescing and caches. An atomic counts in both.
    pub global_load_bytes: u64,
    pub global_store_bytes: u64,
    pub shared_load_bytes: u64,
    pub shared_store_bytes: u64,
    pub local_load_bytes: u64,
    pub local_store_bytes: u64,
}

impl Counters {
    pub(super) fn of(instructions: &[Instruction], tallies: &[Tally]) -> Self {
        let mut sums = Self::default();
        for (instruction, tally) in instructions.iter().zip(tallies).filter(|(_, tally)| tally.warps != 0) {
            sums.add(instruction, *tally);
        }
        sums
    }

    /// Adds what another launch executed.
    pub fn include(&mut self, other: &Self) {
        let Self {
            warp_instructions,
            thread_instructions,
            by_opcode,
            flops_f32,
            flops_f16,
            flops_f64,
            flops_matrix,
            integer_ops_matrix,
            special_functions,
            global_load_bytes,
            global_store_bytes,
            shared_load_bytes,
            shared_store_bytes,
            local_load_bytes,
            local_store_bytes,
        } = other;
        self.warp_instructions += warp_instructions;
        self.thread_instructions += thread_instructions;
        for (opcode, count) in by_opcode {
            *self.by_opcode.entry(opcode.clone()).or_default() += count;
        }
        self.flops_f32 += flops_f32;
        self.flops_f16 += flops_f16;
        self.flops_f64 += flops_f64;
        self.flops_matrix += flops_matrix;
        self.integer_ops_matrix += integer_ops_matrix;
        self.special_functions += special_functions;
        self.global_load_bytes += global_load_bytes;
        self.global_store_bytes += global_store_bytes;
        self.shared_load_bytes += shared_load_bytes;
        self.shared_store_bytes += shared_store_bytes;
        self.local_load_bytes += local_load_bytes;
        self.local_store_bytes += local_store_bytes;
    }

    fn add(&mut self, instruction: &Instruction, Tally { warps, lanes }: Tally) {
        self.warp_instructions += warps;
        self.thread_instructions += lanes;
        *self.by_opcode.entry(instruction.mnemonic.clone()).or_default() += warps;
        let bytes = lanes * width_bytes(instruction);
        match instruction.mnemonic.as_str() {
            "FADD" | "FMUL" | "FADD32I" | "FMUL32I" => self.flops_f32 += lanes,
            "FFMA" | "FFMA32I" => self.flops_f32 += 2 * lanes,
            "HADD2" | "HMUL2" => self.flops_f16 += 2 * lanes,
            // With zero factors the compiler uses it to load a constant: no arithmetic.
            "HFMA2" if !is_constant_load(instruction) => self.flops_f16 += 4 * lanes,
            "DADD" | "DMUL" => self.flops_f64 += lanes,
            "DFMA" => self.flops_f64 += 2 * lanes,
            "MUFU" => self.special_functions += lanes,
            "HMMA" | "QMMA" | "DMMA" => self.flops_matrix += 2 * warps * multiply_adds(instruction),
            "IMMA" => self.integer_ops_matrix += 2 * warps * multiply_adds(instruction),
            "LDSM" => self.shared_load_bytes += 128 * warps * matrices(instruction),
            "STSM" => self.shared_store_bytes += 128 * warps * matrices(instruction),
            "LDG" => self.global_load_bytes += bytes,
            "STG" => self.global_store_bytes += bytes,
            // Also what is filled with zeros.
            "LDGSTS" => {
                self.global_load_bytes += bytes;
                self.shared_store_bytes += bytes;
            }
            "LDS" => self.shared_load_bytes += bytes,
            "STS" => self.shared_store_bytes += bytes,
            "LDL" => self.local_load_bytes += bytes,
            "STL" => self.local_store_bytes += bytes,
            "RED" | "REDG" | "ATOM" | "ATOMG" => {
                self.global_load_bytes += bytes;
                self.global_store_bytes += bytes;
            }
            "ATOMS" => {
                self.shared_load_bytes += bytes;
                self.shared_store_bytes += bytes;
            }
            _ => {}
        }
    }

    /// All floating-point operations of lanes, special functions left out.
    pub fn flops(&self) -> u64 {
        self.flops_f16 + self.flops_f32 + self.flops_f64
    }
}

fn width_bytes(instruction: &Instruction) -> u64 {
    let widths =
        [("U8", 1), ("S8", 1), ("U16", 2), ("S16", 2), ("64", 8), ("U64", 8), ("S64", 8), ("F64", 8), ("128", 16)];
    widths.iter().find(|(modifier, _)| instruction.has_modifier(modifier)).map_or(4, |(_, bytes)| *bytes)
}

/// Of a matrix multiply of one warp.
fn multiply_adds(instruction: &Instruction) -> u64 {
    let shape = Uses::of(instruction).ok().and_then(|uses| uses.tensor);
    shape.map_or(0, |shape| shape.multiply_adds.into())
}

/// 8×8 matrices that LDSM or STSM moves.
fn matrices(instruction: &Instruction) -> u64 {
    [("2", 2), ("4", 4)].iter().find(|(modifier, _)| instruction.has_modifier(modifier)).map_or(1, |(_, count)| *count)
}

fn is_constant_load(instruction: &Instruction) -> bool {
    use super::super::instruction::Operand;
    let zero = |operand: &Operand| matches!(operand, Operand::Register(register) if register.is_zero());
    instruction.operands.get(1).is_some_and(zero) && instruction.operands.get(2).is_some_and(zero)
}
