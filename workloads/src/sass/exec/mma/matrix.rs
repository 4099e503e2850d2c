//! Fragments of 8×8 matrices of 16 bits: LDSM and STSM between shared memory and registers, MOVM between lanes.
//!
//! A row is 16 bytes in shared memory. Lanes 8i to 8i + 7 give the addresses of the rows of matrix i; register i of lane
//! 4g + t holds elements 2t and 2t + 1 of its row g or, with `MT88`, rows 2t and 2t + 1 of its column g.
//! Source: PTX ISA, "Warp-level matrix load instruction: ldmatrix", "stmatrix", "movmatrix".
//! Passes over the banks: a matrix at a time, each as an access of 16 bytes by eight lanes.

use super::super::fault::Fault;
use super::super::frame::{Frame, Slot};
use super::super::lower::{Lowered, Lowering};
use super::super::memory::{Address, Memories, Width, check_alignment, outside_shared};
use super::super::op::Op;
use super::super::storage::SharedMemory;
use crate::stream::{AccessKind, NO_ACCESS};

const ROW: Width = Width { bytes: 16, signed: false };

/// One matrix: rows of eight elements.
type Matrix = [[u16; 8]; 8];

#[derive(Clone, Copy, Debug)]
pub enum MatrixOp {
    Load {
        to: Slot,
        address: Address,
        matrices: u8,
        transposed: bool,
    },
    Store {
        from: Slot,
        address: Address,
        matrices: u8,
        transposed: bool,
    },
    /// Transposes the one matrix of a register.
    Move {
        to: Slot,
        from: Slot,
    },
}

pub fn lower(cx: &mut Lowering<'_>, mnemonic: &str) -> Lowered<Option<Op>> {
    if !matches!(mnemonic, "LDSM" | "STSM" | "MOVM") {
        return Ok(None);
    }
    cx.need_one_of("element size", &[("16", ())])?;
    if mnemonic == "MOVM" {
        cx.need_one_of("layout", &[("MT88", ())])?;
        return Ok(Some(Op::Matrix(MatrixOp::Move { to: cx.target()?, from: cx.plain_source()? })));
    }
    let transposed = cx.need_one_of("layout", &[("M88", false), ("MT88", true)])?;
    let matrices = cx.take_one_of(&[("2", 2), ("4", 4)]).unwrap_or(1);
    let op = if mnemonic == "LDSM" {
        let to = cx.target()?;
        MatrixOp::Load { to, address: Address::window(cx)?, matrices, transposed }
    } else {
        let address = Address::window(cx)?;
        MatrixOp::Store { from: cx.plain_source()?, address, matrices, transposed }
    };
    Ok(Some(Op::Matrix(op)))
}

/// Executes for a whole warp (the result is defined only when all lanes take part; those of `mask` are written); returns
/// the index of the recorded access.
pub fn execute<const RECORD: bool>(
    op: &MatrixOp,
    frame: &mut Frame,
    mask: u32,
    memories: &mut Memories<'_, RECORD>,
) -> Result<u32, Fault> {
    if mask == 0 {
        return Ok(NO_ACCESS);
    }
    match *op {
        MatrixOp::Load { to, address, matrices, transposed } => {
            let addresses = address.narrow(frame);
            for matrix in 0..matrices {
                let rows = load(&addresses, matrix, memories.shared)?;
                frame.write(to + Slot::from(matrix), mask, &scatter(&rows, transposed));
            }
            Ok(memories.recorder.matrices(AccessKind::Load, &addresses, matrices.into()))
        }
        MatrixOp::Store { from, address, matrices, transposed } => {
            let addresses = address.narrow(frame);
            for matrix in 0..matrices {
                let rows = gather(frame.word(from + Slot::from(matrix)), transposed);
                store(&rows, &addresses, matrix, memories.shared)?;
            }
            Ok(memories.recorder.matrices(AccessKind::Store, &addresses, matrices.into()))
        }
        MatrixOp::Move { to, from } => {
            let rows = gather(frame.word(from), false);
            frame.write(to, mask, &scatter(&rows, true));
            Ok(NO_ACCESS)
        }
    }
}

/// A matrix as the registers of the lanes.
fn scatter(rows: &Matrix, transposed: bool) -> [u32; 32] {
    std::array::from_fn(|lane| {
        let (group, pair) = (lane / 4, 2 * (lane % 4));
        let element = |at: usize| u32::from(if transposed { rows[at][group] } else { rows[group][at] });
        element(pair + 1) << 16 | element(pair)
    })
}

/// The matrix that the registers of the lanes hold.
fn gather(words: &[u32; 32], transposed: bool) -> Matrix {
    let mut rows = Matrix::default();
    for (lane, word) in words.iter().enumerate() {
        let (group, pair) = (lane / 4, 2 * (lane % 4));
        for (at, half) in [(pair, *word as u16), (pair + 1, (*word >> 16) as u16)] {
            let element = if transposed { &mut rows[at][group] } else { &mut rows[group][at] };
            *element = half;
        }
    }
    rows
}

fn load(addresses: &[u32; 32], matrix: u8, shared: &SharedMemory) -> Result<Matrix, Fault> {
    let mut rows = Matrix::default();
    for (row, elements) in rows.iter_mut().enumerate() {
        let lane = 8 * usize::from(matrix) + row;
        let address = addresses[lane];
        check_alignment("shared", address.into(), lane, ROW)?;
        let bytes = shared.at(address, 16).ok_or_else(|| outside_shared(address, lane, ROW, shared))?;
        for (element, pair) in elements.iter_mut().zip(bytes.chunks_exact(2)) {
            *element = u16::from_le_bytes([pair[0], pair[1]]);
        }
    }
    Ok(rows)
}

fn store(rows: &Matrix, addresses: &[u32; 32], matrix: u8, shared: &mut SharedMemory) -> Result<(), Fault> {
    for (row, elements) in rows.iter().enumerate() {
        let lane = 8 * usize::from(matrix) + row;
        let address = addresses[lane];
        check_alignment("shared", address.into(), lane, ROW)?;
        let Some(bytes) = shared.at_mut(address, 16) else {
            return Err(outside_shared(address, lane, ROW, shared));
        };
        for (pair, element) in bytes.chunks_exact_mut(2).zip(elements) {
            pair.copy_from_slice(&element.to_le_bytes());
        }
    }
    Ok(())
}
