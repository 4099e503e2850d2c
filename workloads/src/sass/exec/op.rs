//! Micro-ops: what an instruction became after lowering.

use super::atomic::AtomicOp;
use super::bulk::BulkOp;
use super::control::ControlOp;
use super::convert::ConvertOp;
use super::copy::CopyOp;
use super::crosslane::CrossLaneOp;
use super::double::DoubleOp;
use super::float::FloatOp;
use super::frame::PredicateSource;
use super::half::HalfOp;
use super::integer::IntegerOp;
use super::logic::LogicOp;
use super::mbarrier::MbarrierOp;
use super::memory::MemoryOp;
use super::mma::{MatrixOp, MmaOp, WarpgroupOp};
use super::mufu::MufuOp;
use super::simd::SimdOp;
use super::special::SpecialOp;

/// One instruction, ready to execute.
#[derive(Clone, Copy, Debug)]
pub struct MicroOp {
    pub guard: PredicateSource,
    /// All ones for the uniform data path, which executes whatever lanes are active; otherwise zero.
    pub force: u32,
    pub op: Op,
}

/// By family; each has its own file with lowering and execution.
#[derive(Clone, Copy, Debug)]
pub enum Op {
    /// No effect on values: NOP, memory fences, waits for dependence counters.
    Nothing,
    Integer(IntegerOp),
    Logic(LogicOp),
    Float(FloatOp),
    Half(HalfOp),
    Simd(SimdOp),
    Double(DoubleOp),
    Mufu(MufuOp),
    Convert(ConvertOp),
    Memory(MemoryOp),
    Atomic(AtomicOp),
    Copy(CopyOp),
    Mbarrier(MbarrierOp),
    Bulk(BulkOp),
    Warpgroup(WarpgroupOp),
    CrossLane(CrossLaneOp),
    Mma(MmaOp),
    Matrix(MatrixOp),
    Special(SpecialOp),
    Control(ControlOp),
}
