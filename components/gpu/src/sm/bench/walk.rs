//! Paths through a listing without functional execution: what a static check of its stalls can run on.

use workloads::sass::{Instruction, OpClass, Operand, Uses};

/// Indices of the instructions along one path from the entry. Conditional branches and exits go either way by `choose`;
/// calls return. Convergence barriers do nothing. Ends at an exit, at an indirect branch, or after `most` instructions.
pub fn random_walk(instructions: &[Instruction], most: usize, mut choose: impl FnMut() -> bool) -> Vec<u32> {
    let mut path = Vec::new();
    let mut calls: Vec<u32> = Vec::new();
    let mut at = 0u32;
    while path.len() < most {
        let Some(instruction) = instructions.get(at as usize) else { break };
        let Ok(uses) = Uses::of(instruction) else { break };
        path.push(at);
        let conditional = instruction.guard.is_some()
            || instruction.operands.iter().any(|operand| matches!(operand, Operand::Predicate(_)));
        let taken = matches!(uses.class, OpClass::Branch | OpClass::Exit) && (!conditional || choose());
        at += 1;
        if !taken {
            continue;
        }
        let target = instruction.operands.iter().find_map(|operand| match operand {
            Operand::Integer(target) => u32::try_from(target / 16).ok(),
            _ => None,
        });
        match (uses.class, instruction.mnemonic.as_str(), target) {
            (OpClass::Exit, ..) => break,
            (_, "RET", _) => match calls.pop() {
                Some(back) => at = back,
                None => break,
            },
            (_, "CALL", Some(target)) => {
                calls.push(at);
                at = target;
            }
            (_, "BRA", Some(target)) => at = target,
            _ => break,
        }
    }
    path
}
