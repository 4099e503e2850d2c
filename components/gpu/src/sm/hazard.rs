//! The hazard check: a consumer that issues before its producer's result can be read.
//!
//! Hardware does not interlock fixed-latency results and honours only the counters that the compiler names: a stall that
//! is too short silently reads the old value. This check knows the distances of the chip and records every consumer that
//! comes too early, with its producer. It costs memory, so it exists only where a caller asks for it.

use super::spec::{Consumers, Fp64, SmSpec};
use super::timing::tensor_row;
use std::collections::BTreeSet;
use workloads::sass::{Instruction, OpClass, Span, Uses};

/// How a source operand is read, as far as distances tell ways apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Column {
    Alu,
    AluCompare,
    Fma,
    ImadWide,
    Half,
    HalfMinMax,
    HalfMma,
    Xu,
    Memory,
    Fp64,
    Tensor,
    Branch,
    /// Anything that no row tells apart: the distance of the slowest reader.
    Other,
}

const COLUMNS: usize = 13;

/// When the registers of a result may be read, by the reader's column.
type Distances = [u8; COLUMNS];

/// What the check must know of a static instruction.
#[derive(Clone, Debug)]
pub(crate) struct HazardUse {
    column: Column,
    slots: [Span; 3],
    written: Span,
    /// `None`: the result is protected by a counter.
    distances: Option<Distances>,
    /// Distance of a predicate result to a guard and to an operand.
    predicate_distance: Option<[u8; 2]>,
    guard: u8,
    predicates_read: u8,
    predicates_written: u8,
    uniform_read: u64,
    descriptor_read: u64,
    uniform_written: u64,
    uniform_guard: u8,
    uniform_predicates_read: u8,
    uniform_predicates_written: u8,
    /// Uniform results: distance to a uniform reader, a vector reader and a descriptor.
    uniform_distance: Option<[u8; 3]>,
    uniform_reader: bool,
    votes: bool,
    vote_distance: u8,
    /// By how much earlier the lower half of a pair can be read.
    lower_half_earlier: u8,
    /// IMAD.WIDE: distance from another to its addend, and by how much later the addend's upper half is read.
    addend: Option<[u8; 2]>,
}

impl HazardUse {
    pub fn new(_instruction: &Instruction, uses: &Uses, spec: &SmSpec) -> Result<Self, String> {
        use OpClass::*;
        let distance = &spec.distance;
        let counted_fp64 = !matches!(spec.fp64, self::Fp64::Fixed { .. });
        let variable = uses.class.is_memory()
            || matches!(uses.class, Xu | SpecialRegister | WarpReduce)
            || uses.class == Fp64 && counted_fp64
            || uses.class == Tensor && tensor_row(uses, spec)?.war_cycles.is_some();
        Ok(Self {
            column: column(uses.class),
            slots: uses.slots,
            written: uses.written,
            distances: if variable { None } else { distances(uses, spec)? },
            predicate_distance: (!variable).then_some([
                distance.predicate_to_guard_cycles,
                match uses.class {
                    AluCompare => distance.compare_to_operand_cycles,
                    _ => None,
                }
                .unwrap_or(distance.predicate_to_operand_cycles),
            ]),
            guard: uses.guard,
            predicates_read: uses.predicates_read,
            predicates_written: uses.predicates_written,
            uniform_read: uses.uniform_read,
            descriptor_read: uses.descriptor_read,
            uniform_written: uses.uniform_written,
            uniform_guard: uses.uniform_guard,
            uniform_predicates_read: uses.uniform_predicates_read,
            uniform_predicates_written: uses.uniform_predicates_written,
            uniform_distance: match uses.class {
                _ if variable => None,
                ToUniform => Some([
                    distance.uniform_to_uniform_cycles,
                    distance.uniform_to_vector_cycles,
                    distance.to_uniform_register_cycles,
                ]),
                Vote => Some([
                    distance.vote_to_uniform_cycles,
                    distance.vote_to_vector_cycles,
                    distance.uniform_to_descriptor_cycles,
                ]),
                UniformLoad => {
                    let cycles = distance.uniform_load_to_reader_cycles;
                    Some([cycles, cycles, distance.uniform_to_descriptor_cycles])
                }
                _ => Some([
                    distance.uniform_to_uniform_cycles,
                    distance.uniform_to_vector_cycles,
                    distance.uniform_to_descriptor_cycles,
                ]),
            },
            uniform_reader: matches!(uses.class, Uniform | UniformLoad),
            votes: uses.class == Vote,
            vote_distance: distance.predicate_to_vote_cycles,
            lower_half_earlier: match uses.class {
                ImadWide if uses.written.count == 2 => distance.imad_wide_lower_half_earlier_cycles,
                _ => 0,
            },
            addend: (uses.class == ImadWide)
                .then_some([distance.imad_wide_to_addend_cycles, distance.addend_upper_half_later_cycles]),
        })
    }
}

impl HazardUse {
    /// Distance of vector result `register` to the `half`-th register of operand `slot` of `reader`; `None`: a counter
    /// protects it.
    fn distance_to(&self, reader: &Self, slot: usize, half: usize, register: u8) -> Option<u8> {
        let mut general = self.distances?[reader.column as usize];
        if register == self.written.first {
            general = general.saturating_sub(self.lower_half_earlier);
        }
        let Some([to_addend, later]) = reader.addend.filter(|_| slot == 2) else { return Some(general) };
        if self.column == Column::ImadWide {
            return Some(to_addend);
        }
        Some(if half == 1 { general.saturating_sub(later) } else { general })
    }
}

/// One register that an instruction reads, and how.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Read {
    pub register: HazardRegister,
    way: Way,
}

#[derive(Clone, Copy, Debug)]
enum Way {
    /// Register `half` of the operand in `slot`.
    Slot {
        slot: usize,
        half: usize,
    },
    Guard,
    Operand,
    Descriptor,
}

/// What a compiler must know of an instruction to keep it apart from others.
impl HazardUse {
    /// The result is protected by a counter.
    pub(crate) fn is_counted(&self) -> bool {
        self.predicate_distance.is_none()
    }

    /// All registers that are read.
    pub(crate) fn reads(&self) -> impl Iterator<Item = Read> {
        use HazardRegister::{Predicate, Uniform, UniformPredicate, Vector};
        let read = |way: Way| move |register: HazardRegister| Read { register, way };
        let vectors = self.slots.iter().enumerate().flat_map(|(slot, span)| {
            let of_slot = move |(half, number)| Read { register: Vector(number), way: Way::Slot { slot, half } };
            span.registers().enumerate().map(of_slot)
        });
        vectors
            .chain(bits64(u64::from(self.guard)).map(Predicate).map(read(Way::Guard)))
            .chain(bits64(u64::from(self.predicates_read)).map(Predicate).map(read(Way::Operand)))
            .chain(bits64(self.uniform_read).map(Uniform).map(read(Way::Operand)))
            .chain(bits64(self.descriptor_read).map(Uniform).map(read(Way::Descriptor)))
            .chain(bits64(u64::from(self.uniform_guard)).map(UniformPredicate).map(read(Way::Guard)))
            .chain(bits64(u64::from(self.uniform_predicates_read)).map(UniformPredicate).map(read(Way::Operand)))
    }

    /// All registers that are written.
    pub(crate) fn writes(&self) -> impl Iterator<Item = HazardRegister> {
        use HazardRegister::{Predicate, Uniform, UniformPredicate, Vector};
        (self.written.registers().map(Vector))
            .chain(bits64(u64::from(self.predicates_written)).map(Predicate))
            .chain(bits64(self.uniform_written).map(Uniform))
            .chain(bits64(u64::from(self.uniform_predicates_written)).map(UniformPredicate))
    }

    /// Cycles from the issue of a fixed-latency instruction to that of the first that can be given its result in `register`.
    pub(crate) fn forwarded_after(&self, register: HazardRegister) -> u8 {
        let first = |distances: &[u8]| distances.iter().copied().min().unwrap_or(0);
        match register {
            HazardRegister::Vector(_) => self.distances.as_ref().map_or(0, |distances| first(distances)),
            HazardRegister::Predicate(_) => self.predicate_distance.as_ref().map_or(0, |distances| first(distances)),
            _ => self.uniform_distance.as_ref().map_or(0, |distances| first(distances)),
        }
    }

    pub(crate) fn is_guarded(&self) -> bool {
        self.guard != 0 || self.uniform_guard != 0
    }

    /// Vector registers of each operand slot.
    pub(crate) fn slots(&self) -> [Span; 3] {
        self.slots
    }

    /// Issue distance from this instruction to `reader`'s `read` of its result; `None`: a counter protects it.
    pub(crate) fn distance(&self, reader: &Self, read: Read) -> Option<u8> {
        match (read.register, read.way) {
            (HazardRegister::Vector(number), Way::Slot { slot, half }) => self.distance_to(reader, slot, half, number),
            (HazardRegister::Predicate(_), Way::Guard) => self.predicate_distance.map(|distance| distance[0]),
            (HazardRegister::Predicate(_), _) if reader.votes => self.predicate_distance.map(|_| reader.vote_distance),
            (HazardRegister::Predicate(_), _) => self.predicate_distance.map(|distance| distance[1]),
            (HazardRegister::Uniform(_), Way::Descriptor) => self.uniform_distance.map(|distance| distance[2]),
            (HazardRegister::Uniform(_), _) => {
                self.uniform_distance.map(|distance| distance[usize::from(!reader.uniform_reader)])
            }
            _ => self.uniform_distance.map(|distance| distance[0]),
        }
    }

    /// Cycles until the result is written, as far as the table tells: the distance to its slowest reader.
    pub(crate) fn latency(&self) -> u8 {
        self.distances.map_or(0, |distances| distances[Column::Other as usize])
    }
}

fn column(class: OpClass) -> Column {
    use OpClass::*;
    match class {
        Alu | AluWide => Column::Alu,
        AluCompare => Column::AluCompare,
        // The listing of gemm_wgmma (ptxas 13.0): SHF 4 cycles before R2UR and before SYNCS.PHASECHK.
        ToUniform | Mbarrier => Column::Alu,
        Fp32 | Imad => Column::Fma,
        ImadWide => Column::ImadWide,
        Half => Column::Half,
        HalfMinMax => Column::HalfMinMax,
        HalfMma => Column::HalfMma,
        // Units behind queues read their operands alike (ptxas 13.0: 4 before I2F, MATCH, REDUX and LDC; 6 on sm_75).
        Xu | WarpReduce | LoadConstant => Column::Xu,
        OpClass::Fp64 => Column::Fp64,
        Tensor => Column::Tensor,
        // WARPSYNC reads a register 4 cycles behind VOTE in warp_aggregate.sm_90.sass, like a branch.
        Branch | Nop => Column::Branch,
        class if class.is_memory() => Column::Memory,
        _ => Column::Other,
    }
}

fn distances(uses: &Uses, spec: &SmSpec) -> Result<Option<Distances>, String> {
    use OpClass::*;
    let latency = &spec.fixed_latency;
    let row = |row: &Consumers| {
        let half_mma = row.half_mma.unwrap_or(row.half);
        let slowest = [row.alu, row.fma, row.imad_wide, row.half].into_iter().max().unwrap_or(0);
        [
            row.alu,
            row.to_alu_compare(),
            row.fma,
            row.imad_wide,
            row.half,
            row.half_min_max,
            half_mma,
            row.xu,
            row.memory,
            // Readers that nobody measured: as a reader of another pipe.
            slowest,
            slowest,
            // RET and BRX: 4 from IMAD.MOV and from HFMA2, 6 from HFMA2.MMA in the output of ptxas 13.0.
            row.alu.min(row.fma).min(row.half).min(6),
            slowest,
        ]
    };
    let same = |cycles: u8| [cycles; COLUMNS];
    Ok(match uses.class {
        Alu | Vote => Some(row(&latency.alu)),
        AluCompare => Some(row(latency.from_alu_compare())),
        AluWide => Some(row(latency.from_alu_wide())),
        Fp32 | Imad => Some(row(&latency.fma)),
        ImadWide => Some(row(&latency.imad_wide)),
        Half => Some(row(&latency.half)),
        HalfMinMax => Some(row(&latency.half_min_max)),
        HalfMma => latency.half_mma.as_ref().map(row),
        OpClass::Fp64 => match spec.fp64 {
            self::Fp64::Fixed { to_fp64_cycles, to_memory_cycles, to_other_cycles, .. } => {
                let mut distances = same(to_other_cycles);
                distances[Column::Fp64 as usize] = to_fp64_cycles;
                distances[Column::Memory as usize] = to_memory_cycles;
                Some(distances)
            }
            _ => None,
        },
        Tensor => {
            let found = tensor_row(uses, spec)?;
            let mut distances = same(found.to_other_cycles);
            distances[Column::Tensor as usize] = found.to_tensor_cycles;
            Some(distances)
        }
        // Writes no vector register.
        _ => Some(same(0)),
    })
}

/// A consumer that issued too early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hazard {
    /// Warp slot of the SM.
    pub warp: u16,
    /// Index of the instruction that reads too early, and its issue cycle.
    pub consumer: u32,
    pub issued: u64,
    /// Index of the instruction whose result it misses, and its issue cycle.
    pub producer: u32,
    pub produced: u64,
    /// First cycle at which it could have issued; `None` when that is not known yet (a load on its way).
    pub earliest: Option<u64>,
    /// What is read: `R4`, `P0`, `UR6`, `UP1`.
    pub register: HazardRegister,
}

/// A register of any of the four files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum HazardRegister {
    Vector(u8),
    Predicate(u8),
    Uniform(u8),
    UniformPredicate(u8),
}

impl std::fmt::Display for HazardRegister {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Vector(number) => write!(out, "R{number}"),
            Self::Predicate(number) => write!(out, "P{number}"),
            Self::Uniform(number) => write!(out, "UR{number}"),
            Self::UniformPredicate(number) => write!(out, "UP{number}"),
        }
    }
}

/// Last writer of one register.
#[derive(Clone, Copy)]
struct Writer {
    op: u32,
    issued: u64,
    lanes: u32,
    /// Variable latency: cycle from which on the result can be read; `u64::MAX` until it is known.
    ready: u64,
    fixed: bool,
}

const NOBODY: Writer = Writer { op: 0, issued: 0, lanes: 0, ready: 0, fixed: false };

/// What one warp's registers wait for.
struct WarpWriters {
    vector: Box<[Writer; 256]>,
    predicate: [Writer; 8],
    uniform: [Writer; 64],
    uniform_predicate: [Writer; 8],
}

impl WarpWriters {
    fn new() -> Self {
        Self {
            vector: Box::new([NOBODY; 256]),
            predicate: [NOBODY; 8],
            uniform: [NOBODY; 64],
            uniform_predicate: [NOBODY; 8],
        }
    }
}

/// The check of one SM.
pub(crate) struct HazardCheck {
    warps: Vec<WarpWriters>,
    found: Vec<Hazard>,
    /// Fixed-latency producers and consumers without a cycle to spare.
    tight: BTreeSet<(u32, u32)>,
    /// Recording stops here; one hazard in a loop is enough.
    most: usize,
}

/// One dynamic instruction as the check sees it.
#[derive(Clone, Copy)]
pub(crate) struct Issuing<'a> {
    pub now: u64,
    pub warp: usize,
    pub op: u32,
    pub lanes: u32,
    /// All static instructions of the kernel.
    pub uses: &'a [HazardUse],
}

fn bits64(mut mask: u64) -> impl Iterator<Item = u8> {
    std::iter::from_fn(move || {
        (mask != 0).then(|| {
            let bit = mask.trailing_zeros() as u8;
            mask &= mask - 1;
            bit
        })
    })
}

impl HazardCheck {
    pub fn new(warps: usize) -> Self {
        Self {
            warps: (0..warps).map(|_| WarpWriters::new()).collect(),
            found: Vec::new(),
            tight: BTreeSet::new(),
            most: 1000,
        }
    }

    pub fn found(&self) -> &[Hazard] {
        &self.found
    }

    /// Pairs of instructions, producer first, that were issued exactly as far apart as the result needs.
    pub fn tight(&self) -> &BTreeSet<(u32, u32)> {
        &self.tight
    }

    /// A new warp in slot `warp`: its registers wait for nothing.
    pub fn reset(&mut self, warp: usize) {
        self.warps[warp] = WarpWriters::new();
    }

    pub fn issue(&mut self, issuing: Issuing<'_>) {
        let Issuing { now, warp, op, lanes, uses } = issuing;
        let reader = &uses[op as usize];
        let writers = &self.warps[warp];
        let found = &mut self.found;
        let tight = &mut self.tight;
        let mut check = |writer: &Writer, needed: Option<u8>, register: HazardRegister| {
            // A writer of other lanes only (the other side of a branch) does not concern this reader. An instruction
            // whose guard is false everywhere still reads its guard.
            if writer.lanes == 0 || (lanes != 0 && writer.lanes & lanes == 0) {
                return;
            }
            let earliest = match (writer.fixed, needed) {
                (true, Some(needed)) => writer.issued + u64::from(needed),
                (true, None) => return,
                (false, _) => writer.ready,
            };
            if writer.fixed && now == earliest {
                tight.insert((writer.op, op));
            }
            if now < earliest && found.len() < self.most {
                found.push(Hazard {
                    warp: warp as u16,
                    consumer: op,
                    issued: now,
                    producer: writer.op,
                    produced: writer.issued,
                    earliest: (earliest != u64::MAX).then_some(earliest),
                    register,
                });
            }
        };
        for number in bits64(u64::from(reader.guard)) {
            let writer = &writers.predicate[usize::from(number)];
            let needed = uses[writer.op as usize].predicate_distance.map(|distance| distance[0]);
            check(writer, needed, HazardRegister::Predicate(number));
        }
        for number in bits64(u64::from(reader.uniform_guard)) {
            let writer = &writers.uniform_predicate[usize::from(number)];
            check(
                writer,
                uses[writer.op as usize].uniform_distance.map(|distance| distance[0]),
                HazardRegister::UniformPredicate(number),
            );
        }
        // Operands of an instruction that no lane executes are not used.
        if lanes != 0 {
            for (slot, span) in reader.slots.iter().enumerate() {
                for (half, number) in span.registers().enumerate() {
                    let writer = &writers.vector[usize::from(number)];
                    let needed = uses[writer.op as usize].distance_to(reader, slot, half, number);
                    check(writer, needed, HazardRegister::Vector(number));
                }
            }
            for number in bits64(u64::from(reader.predicates_read)) {
                let writer = &writers.predicate[usize::from(number)];
                let operand = uses[writer.op as usize].predicate_distance.map(|distance| distance[1]);
                let needed = if reader.votes { operand.map(|_| reader.vote_distance) } else { operand };
                check(writer, needed, HazardRegister::Predicate(number));
            }
            for number in bits64(reader.uniform_read) {
                let writer = &writers.uniform[usize::from(number)];
                let place = usize::from(!reader.uniform_reader);
                check(
                    writer,
                    uses[writer.op as usize].uniform_distance.map(|distance| distance[place]),
                    HazardRegister::Uniform(number),
                );
            }
            for number in bits64(reader.descriptor_read) {
                let writer = &writers.uniform[usize::from(number)];
                check(
                    writer,
                    uses[writer.op as usize].uniform_distance.map(|distance| distance[2]),
                    HazardRegister::Uniform(number),
                );
            }
            for number in bits64(u64::from(reader.uniform_predicates_read)) {
                let writer = &writers.uniform_predicate[usize::from(number)];
                check(
                    writer,
                    uses[writer.op as usize].uniform_distance.map(|distance| distance[0]),
                    HazardRegister::UniformPredicate(number),
                );
            }
            self.record(issuing);
        }
    }

    fn record(&mut self, issuing: Issuing<'_>) {
        let Issuing { now, warp, op, lanes, uses } = issuing;
        let use_ = &uses[op as usize];
        let fixed = use_.distances.is_some();
        let writer = Writer { op, issued: now, lanes, ready: if fixed { 0 } else { u64::MAX }, fixed };
        let writers = &mut self.warps[warp];
        for number in use_.written.registers() {
            writers.vector[usize::from(number)] = writer;
        }
        for number in bits64(u64::from(use_.predicates_written)) {
            writers.predicate[usize::from(number)] = writer;
        }
        for number in bits64(use_.uniform_written) {
            writers.uniform[usize::from(number)] = writer;
        }
        for number in bits64(u64::from(use_.uniform_predicates_written)) {
            writers.uniform_predicate[usize::from(number)] = writer;
        }
    }

    /// The result of variable-latency instruction `op`, issued at `issued`, can be read from cycle `ready` on.
    pub fn ready(&mut self, warp: usize, op: u32, issued: u64, ready: u64, uses: &[HazardUse]) {
        let use_ = &uses[op as usize];
        let writers = &mut self.warps[warp];
        let settle = |writer: &mut Writer| {
            if writer.op == op && writer.issued == issued && !writer.fixed {
                writer.ready = ready;
            }
        };
        use_.written.registers().for_each(|number| settle(&mut writers.vector[usize::from(number)]));
        bits64(u64::from(use_.predicates_written))
            .for_each(|number| settle(&mut writers.predicate[usize::from(number)]));
        bits64(use_.uniform_written).for_each(|number| settle(&mut writers.uniform[usize::from(number)]));
        bits64(u64::from(use_.uniform_predicates_written))
            .for_each(|number| settle(&mut writers.uniform_predicate[usize::from(number)]));
    }
}
