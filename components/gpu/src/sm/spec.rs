//! Parameters of one streaming multiprocessor, as they stand in `configs/gpu/base/*-sm.toml` with their origins.
//!
//! Cycles are core cycles. A *latency* is an issue distance: from the issue of the producer to the earliest issue of the
//! dependent instruction. Fields that state a rule of the paper (arXiv 2503.20481) take another value only in ablation
//! studies; the shipped files hold the paper's.

use crate::micro_tlb::{MOST_MISSES, MicroTlbSpec};
use serde::Deserialize;
use sim_core::config::{ConfigError, Document, Value, read_node};

/// One SM: the table `[part.sm]` of a machine, without the keys that every part has.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SmSpec {
    /// Instruction set whose listings it executes: `sm_80`, `sm_90`.
    pub arch: String,
    #[serde(default)]
    pub core: Core,
    /// Of `core = "accel-sim"`.
    #[serde(default)]
    pub collectors: Option<Collectors>,
    pub limits: Limits,
    pub front_end: FrontEnd,
    pub issue: Issue,
    pub register_file: RegisterFile,
    pub constant_cache: ConstantCache,
    pub execution: Execution,
    pub fixed_latency: FixedLatency,
    pub distance: Distance,
    pub variable_latency: VariableLatency,
    pub fp64: Fp64,
    /// Warp-level matrix multiplies that the chip has.
    #[serde(default)]
    pub tensor: Vec<Tensor>,
    pub memory: Memory,
    pub l1_data: L1Data,
    pub barrier: Barrier,
    /// Absent where the chip has no multiplies of warpgroups.
    #[serde(default)]
    pub warpgroup_tensor: Option<WarpgroupTensor>,
    /// Absent where the chip has no bulk copies.
    #[serde(default)]
    pub bulk_copy: Option<BulkCopy>,
    /// Absent where the machine has no translation.
    #[serde(default)]
    pub translation: Option<MicroTlbSpec>,
}

/// Multiplies of a warpgroup (wgmma): each sub-core's tensor core computes 16 of the 64 rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WarpgroupTensor {
    /// Multiplies that may wait in front of a tensor core.
    pub queue_entries: u8,
    pub columns_per_cycle: u8,
    /// To all four tensor cores.
    pub shared_bytes_per_cycle: u32,
    /// From the issue of WARPGROUP.DEPBAR until it blocks.
    pub depbar_cycles: u8,
}

/// The engine of bulk copies (TMA).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BulkCopy {
    /// Tensor maps that are kept.
    pub tensor_maps: u8,
    /// From the acceptance of a copy to its first line.
    pub start_cycles: u8,
    /// From the last answer of memory to the count at the mbarrier.
    pub finish_cycles: u8,
}

/// What bounds the blocks (CTAs) that reside on one SM.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// At most 64 (16 a sub-core).
    pub warps: u16,
    pub ctas: u16,
    /// 32-bit registers.
    pub registers: u32,
    /// A warp's registers are handed out in multiples of this many.
    pub register_granularity: u32,
    pub shared_granularity_bytes: u32,
    /// Shared memory that the system takes from each CTA.
    pub reserved_shared_bytes_per_cta: u32,
}

/// The pipeline between issue and execution.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Core {
    /// Control, Allocate and a read window of fixed length: the paper's.
    #[default]
    Modern,
    /// Operand collectors behind a scoreboard: the older model's, as in Accel-Sim.
    AccelSim,
}

/// Operand collectors of a sub-core.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Collectors {
    pub units: u8,
    /// Times a cycle that each bank serves one collector.
    pub steps_per_cycle: u8,
}

/// Which warp's instructions are fetched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, tag = "kind", rename_all = "snake_case")]
pub enum Fetch {
    /// One instruction of the warp that issued last, or of the youngest with room: the paper's.
    #[default]
    FollowsIssue,
    /// The older model's: warps whose buffer is empty in turn, several instructions at once.
    WhenEmpty { instructions: u8 },
}

/// Instruction caches, fetch and decode.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FrontEnd {
    #[serde(default)]
    pub fetch: Fetch,
    /// Decoded or on the way, a warp.
    pub instruction_buffer_entries: u8,
    /// From fetch to the earliest issue.
    pub fetch_to_issue_cycles: u8,
    /// Every fetch hits. For test programs and to attribute a bottleneck.
    pub perfect: bool,
    pub l0: CacheShape,
    /// Lines that the stream buffer of a sub-core holds or has asked for; 0 removes it.
    pub stream_buffer_lines: u8,
    /// Instructions and constants.
    pub l1: CacheShape,
    /// Each way between a sub-core and the L1 instruction/constant cache.
    pub link_cycles: u8,
    pub l1_lookup_cycles: u8,
}

/// A set-associative cache with least-recently-used replacement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CacheShape {
    pub sets: u32,
    pub ways: u32,
    pub line_bytes: u32,
}

/// Which of the eligible warps issues.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Policy {
    /// The paper's.
    GreedyThenYoungest,
    /// Ablation: the older models' choice.
    GreedyThenOldest,
    /// Ablation: the slot behind the one that issued last.
    LooseRoundRobin,
}

/// What keeps an instruction from issuing before what it depends on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, tag = "kind", rename_all = "snake_case")]
pub enum Dependences {
    /// What the compiler put into the instructions: stall counts, yield, dependence counters.
    #[default]
    ControlBits,
    /// Ablation: hardware that watches registers; the control bits are not looked at.
    Scoreboard {
        /// Readers of a register that can be counted; absent: any number.
        consumers: Option<u16>,
        /// Whether readers are counted at all.
        #[serde(default = "yes")]
        write_after_read: bool,
        /// Cycles by which a result of fixed latency is known to be there later than it can first be forwarded.
        #[serde(default)]
        clear_delay_cycles: u8,
    },
}

fn yes() -> bool {
    true
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Issue {
    pub policy: Policy,
    #[serde(default)]
    pub dependences: Dependences,
    /// Issue distance that stall count 0 with yield stands for.
    pub stall_zero_yield_cycles: u8,
    /// Issue distance of stall counts 12 to 15 without yield.
    pub collapsed_stall_cycles: u8,
    /// From Control to the increment of a dependence counter (ablation: 2 is one late).
    pub counter_increment_cycles: u8,
    /// From the issue of DEPBAR until it blocks.
    pub depbar_cycles: u8,
    /// Cycles in which nothing issues after a miss in the fixed-latency constant cache.
    pub constant_miss_hold_cycles: u8,
}

/// When Allocate reserves read ports within the window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reservation {
    /// The last cycles of the window: matches 52 of 52 measured windows.
    Late,
    /// Ablation: the first free cycles; misses 9 of 52.
    Early,
}

/// What the register-file cache keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReuseCache {
    /// A read leaves its register if its reuse flag is set and empties the entry otherwise.
    ReuseFlags,
    /// Ablation: a read without the flag leaves the entry as it is.
    NeverCleared,
    /// Ablation: no cache.
    None,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegisterFile {
    /// Cycles after Allocate in which the operands are read; every instruction takes all of them.
    pub read_window_cycles: u8,
    /// The window when an operand spans four registers.
    pub wide_read_window_cycles: u8,
    pub reservation: Reservation,
    /// Ablation: more than one. As many as an instruction has operands of one bank are as good as any number.
    #[serde(default = "one")]
    pub read_ports_per_bank: u8,
    pub reuse_cache: ReuseCache,
    /// Results that may wait for a write port, a sub-core.
    pub result_queue_entries: u8,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConstantCache {
    /// Of a sub-core, read at issue by fixed-latency instructions.
    pub fixed_latency: CacheShape,
    /// Read by LDC.
    pub variable_latency: CacheShape,
    /// Every lookup hits.
    pub perfect: bool,
}

/// A pipe of one sub-core. Classes that share a pipe share its input latch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pipe {
    Alu,
    Fma,
    /// The half of the FP32 lanes that also multiplies integers, where IMAD does not hold up FFMA.
    IntegerMultiply,
    Half,
    HalfMma,
    Uniform,
    Branch,
    Fp64,
    Tensor,
}

/// Number of [`Pipe`]s.
pub const PIPES: usize = 9;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Unit {
    pub pipe: Pipe,
    /// Cycles that an instruction holds the input latch.
    pub initiation_interval_cycles: u8,
}

/// Where the fixed-latency classes execute.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Execution {
    pub alu: Unit,
    pub fp32: Unit,
    pub imad: Unit,
    pub half: Unit,
    /// Absent where the chip has no such pipe.
    pub half_mma: Option<Unit>,
    pub uniform: Unit,
    pub branch: Unit,
    /// Times as long as it says in `tensor` a floating-point matrix multiply with sums in single precision keeps its pipe:
    /// 2 on GeForce parts.
    #[serde(default = "one")]
    pub tensor_single_sum_factor: u8,
}

fn one() -> u8 {
    1
}

/// Distances from one producer class to each consumer class.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Consumers {
    pub alu: u8,
    /// Compare, select, minimum; absent where they are as the rest of the ALU.
    pub alu_compare: Option<u8>,
    pub fma: u8,
    pub imad_wide: u8,
    pub half: u8,
    pub half_min_max: u8,
    /// Absent where the chip has no such pipe.
    pub half_mma: Option<u8>,
    pub xu: u8,
    pub memory: u8,
}

/// Issue distances (cycles) that the compiler keeps between fixed-latency producers and their consumers.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FixedLatency {
    pub alu: Consumers,
    /// Absent where it is as `alu`.
    pub alu_compare: Option<Consumers>,
    /// Absent where it is as `alu`, or where the chip cannot.
    pub alu_wide: Option<Consumers>,
    pub fma: Consumers,
    pub imad_wide: Consumers,
    pub half: Consumers,
    pub half_min_max: Consumers,
    pub half_mma: Option<Consumers>,
}

/// Other issue distances that the compiler keeps.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Distance {
    pub predicate_to_guard_cycles: u8,
    pub predicate_to_vote_cycles: u8,
    /// Predicate as an operand of SEL, PLOP3, IADD3.X and the like.
    pub predicate_to_operand_cycles: u8,
    /// The same from ISETP and FSETP; absent where it makes no difference.
    pub compare_to_operand_cycles: Option<u8>,
    pub uniform_to_uniform_cycles: u8,
    pub uniform_to_vector_cycles: u8,
    /// Uniform register as memory descriptor.
    pub uniform_to_descriptor_cycles: u8,
    /// VOTEU to a uniform reader.
    pub vote_to_uniform_cycles: u8,
    /// VOTEU to a vector reader.
    pub vote_to_vector_cycles: u8,
    /// ULDC and UMOV to a uniform or vector reader.
    pub uniform_load_to_reader_cycles: u8,
    /// By how much earlier than its row says the lower half of an IMAD.WIDE can be read.
    #[serde(default)]
    pub imad_wide_lower_half_earlier_cycles: u8,
    /// IMAD.WIDE and IMAD.HI to the addend of another.
    pub imad_wide_to_addend_cycles: u8,
    /// By how much later the upper half of that addend may be written.
    pub addend_upper_half_later_cycles: u8,
    pub to_uniform_register_cycles: u8,
}

/// A unit whose results are protected by dependence counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VariableUnit {
    /// Instructions that may wait in front of it, a sub-core.
    pub queue_entries: u8,
    pub initiation_interval_cycles: u8,
    /// Issue to release of the sources.
    pub war_cycles: u8,
    /// Issue to release of the result.
    pub raw_cycles: u8,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VariableLatency {
    pub xu: VariableUnit,
    pub special_register: VariableUnit,
    pub warp_reduce: VariableUnit,
}

/// How the chip executes double precision.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, tag = "kind", rename_all = "snake_case")]
pub enum Fp64 {
    /// A fixed-latency pipe of each sub-core.
    Fixed { initiation_interval_cycles: u8, to_fp64_cycles: u8, to_memory_cycles: u8, to_other_cycles: u8 },
    /// A pipe of each sub-core, results protected by counters.
    Own { queue_entries: u8, initiation_interval_cycles: u8, war_cycles: u8, raw_cycles: u8 },
    /// One pipe for the SM, results protected by counters.
    Shared { queue_entries: u8, initiation_interval_cycles: u8, war_cycles: u8, raw_cycles: u8 },
}

/// One matrix-multiply shape.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tensor {
    pub mnemonic: String,
    pub shape: String,
    /// Element type in the mnemonic that this row is for; absent: any that has no row of its own.
    pub element: Option<String>,
    pub initiation_interval_cycles: u8,
    /// To another matrix multiply.
    pub to_tensor_cycles: u8,
    pub to_other_cycles: u8,
    /// Present where counters protect the result (then both distances are alike): issue to release of the sources.
    pub war_cycles: Option<u8>,
}

/// Loads: release of the address registers (WAR) and of the result (RAW), for 32, 64 and 128 bits a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoadLatency {
    pub uniform_war_cycles: [u8; 3],
    pub uniform_raw_cycles: [u8; 3],
    pub regular_war_cycles: [u8; 3],
    pub regular_raw_cycles: [u8; 3],
}

/// Stores: release of address and data registers, for 32, 64 and 128 bits a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoreLatency {
    pub uniform_war_cycles: [u8; 3],
    pub regular_war_cycles: [u8; 3],
}

/// The memory pipeline up to the first-level cache. Latencies are those of a hit without contention.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Memory {
    /// Memory instructions of a sub-core between issue and acceptance.
    pub queue_credits: u8,
    /// From issue to the earliest acceptance; operands are read there.
    pub issue_to_accept_cycles: u8,
    /// Between acceptances of one sub-core.
    pub address_unit_cycles: u8,
    /// Between acceptances of the SM.
    pub accept_cycles: u8,
    /// From acceptance to the return of the credit.
    pub credit_return_cycles: u8,
    /// A consumer that waits for no counter finds the result this much before the counter says so.
    pub counter_path_cycles: u8,
    /// Bytes a cycle that a pass over the shared-memory banks or a cache line moves.
    pub bytes_per_pass: u32,
    pub load_global: LoadLatency,
    pub load_shared: LoadLatency,
    /// `uniform` is an immediate address.
    pub load_constant: LoadLatency,
    pub copy_global_to_shared: LoadLatency,
    pub shuffle: LoadLatency,
    pub store_global: StoreLatency,
    pub store_shared: StoreLatency,
    /// LDSM and STSM, for 1, 2 and 4 matrices.
    pub load_matrix: LoadLatency,
    pub store_matrix: StoreLatency,
}

/// The first-level data cache, which shares its array with shared memory.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct L1Data {
    /// Every load finds its sectors. To attribute a bottleneck.
    #[serde(default)]
    pub perfect: bool,
    pub unified_kib: u32,
    /// Sizes that shared memory may take, ascending.
    pub shared_carveouts_kib: Vec<u32>,
    pub line_bytes: u32,
    pub sector_bytes: u32,
    pub sets: u32,
    /// Lines waiting for memory.
    pub miss_entries: u16,
    /// Instructions that may wait for one line.
    pub merges_per_line: u16,
    /// From acceptance to the request that a miss sends.
    pub miss_request_cycles: u8,
    /// Requests that may wait for the port.
    pub request_queue_entries: u16,
    /// To one sub-core.
    pub return_bytes_per_cycle: u32,
    /// Lines of one access whose tags are looked up in a cycle.
    pub tag_lines_per_cycle: u32,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Barrier {
    /// From the issue of the last arrival to the release of the block's warps.
    pub release_cycles: u8,
}

/// Warps of one sub-core that the model has room for.
pub const MAX_WARPS: usize = 16;
/// Read ports of a register bank that the model has room for.
pub const MAX_READ_PORTS: usize = 8;
/// Sub-cores of an SM, on every chip since Maxwell.
pub const SUBCORES: usize = 4;

impl Consumers {
    /// Distance to compare, select and minimum.
    pub fn to_alu_compare(&self) -> u8 {
        self.alu_compare.unwrap_or(self.alu)
    }
}

impl FixedLatency {
    /// Distances from compare, select and minimum.
    pub fn from_alu_compare(&self) -> &Consumers {
        self.alu_compare.as_ref().unwrap_or(&self.alu)
    }

    /// Distances from additions of pairs.
    pub fn from_alu_wide(&self) -> &Consumers {
        self.alu_wide.as_ref().unwrap_or(&self.alu)
    }
}

impl SmSpec {
    /// The SM of a parameter set, which is a part of a machine without the rest of it.
    ///
    /// # Errors
    /// Whatever is wrong with its values, each with its place.
    pub fn of_parameter_set(document: &Document) -> Result<Self, Vec<ConfigError>> {
        const PATH: &str = "part.sm";
        let Some(mut part) = document.root().at(PATH).cloned() else { return document.read_at(PATH) };
        if let Value::Table(table) = &mut part.value {
            table.retain(|key, _| !matches!(key.as_str(), "kind" | "clock" | "count"));
        }
        read_node(&part, PATH)
    }

    /// All that is wrong with the values, a sentence each.
    pub fn validate(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        let mut require = |fine: bool, sentence: String| {
            if !fine {
                wrong.push(sentence);
            }
        };
        let most = MAX_WARPS * SUBCORES;
        let warps = usize::from(self.limits.warps);
        require(
            warps > 0 && warps <= most && warps.is_multiple_of(SUBCORES),
            format!("limits.warps = {warps} should be a multiple of {SUBCORES} up to {most}"),
        );
        require(self.limits.ctas > 0, "limits.ctas should be at least 1".to_owned());
        if let Some(of) = &self.translation {
            let (page_kib, misses) = (of.page_kib, of.misses);
            require(page_kib.is_power_of_two(), format!("translation.page_kib = {page_kib} should be a power of two"));
            let fine = (1..=MOST_MISSES).contains(&misses);
            require(fine, format!("translation.misses = {misses} should be from 1 to {MOST_MISSES}"));
            require(of.queue_entries > 0, "translation.queue_entries should be at least 1".to_owned());
        }
        require(self.limits.register_granularity > 0, "limits.register_granularity should be at least 1".to_owned());
        require(
            self.limits.shared_granularity_bytes > 0,
            "limits.shared_granularity_bytes should be at least 1".to_owned(),
        );
        let entries = self.front_end.instruction_buffer_entries;
        require(entries > 0, "front_end.instruction_buffer_entries should be at least 1".to_owned());
        let to_issue = self.front_end.fetch_to_issue_cycles;
        require((1..=3).contains(&to_issue), format!("front_end.fetch_to_issue_cycles = {to_issue} should be 1 to 3"));
        if let Fetch::WhenEmpty { instructions } = self.front_end.fetch {
            require(
                (1..=2).contains(&instructions) && instructions <= entries && to_issue < 3,
                format!(
                    "front_end.fetch.instructions = {instructions} should be 1 or 2, not above instruction_buffer_entries; \
                     fetch_to_issue_cycles below 3"
                ),
            );
        }
        require(
            (self.core == Core::AccelSim) == self.collectors.is_some(),
            "collectors should be there with core = \"accel-sim\" and only then".to_owned(),
        );
        if let Some(collectors) = &self.collectors {
            require(
                (1..=32).contains(&collectors.units) && (1..=8).contains(&collectors.steps_per_cycle),
                "collectors: units should be 1 to 32, steps_per_cycle 1 to 8".to_owned(),
            );
            require(
                matches!(self.issue.dependences, Dependences::Scoreboard { .. }),
                "core = \"accel-sim\" should have issue.dependences = { kind = \"scoreboard\", write_after_read = false }"
                    .to_owned(),
            );
        }
        let window = self.register_file.read_window_cycles;
        let wide = self.register_file.wide_read_window_cycles;
        require(
            (3..=8).contains(&window) && window <= wide && wide <= 16,
            format!(
                "register_file.read_window_cycles = {window} and wide_read_window_cycles = {wide} should be 3 to 8 and not less, up to 16"
            ),
        );
        let ports = self.register_file.read_ports_per_bank;
        require(
            (1..=MAX_READ_PORTS).contains(&usize::from(ports)),
            format!("register_file.read_ports_per_bank = {ports} should be 1 to {MAX_READ_PORTS}"),
        );
        require(
            self.issue.stall_zero_yield_cycles < 64,
            format!("issue.stall_zero_yield_cycles = {} should be below 64", self.issue.stall_zero_yield_cycles),
        );
        require(
            self.issue.counter_increment_cycles > 0,
            "issue.counter_increment_cycles should be at least 1".to_owned(),
        );
        if let Dependences::Scoreboard { consumers: Some(0), .. } = self.issue.dependences {
            require(false, "issue.dependences.consumers should be at least 1, or absent for any number".to_owned());
        }
        require(self.memory.queue_credits > 0, "memory.queue_credits should be at least 1".to_owned());
        for (name, shape) in [
            ("front_end.l0", self.front_end.l0),
            ("front_end.l1", self.front_end.l1),
            ("constant_cache.fixed_latency", self.constant_cache.fixed_latency),
            ("constant_cache.variable_latency", self.constant_cache.variable_latency),
        ] {
            require(
                shape.sets.is_power_of_two() && shape.ways > 0 && shape.line_bytes.is_power_of_two(),
                format!("{name}: sets and line_bytes should be powers of two and ways at least 1"),
            );
        }
        let l1 = &self.l1_data;
        require(
            (l1.line_bytes, l1.sector_bytes) == (128, 32),
            format!(
                "l1_data: lines of {} with sectors of {} bytes should be 128 and 32",
                l1.line_bytes, l1.sector_bytes
            ),
        );
        require(
            !l1.shared_carveouts_kib.is_empty() && l1.shared_carveouts_kib.is_sorted(),
            "l1_data.shared_carveouts_kib should list sizes in ascending order".to_owned(),
        );
        require(
            l1.shared_carveouts_kib.last().is_none_or(|&most| most <= l1.unified_kib),
            format!("l1_data.shared_carveouts_kib goes beyond unified_kib = {}", l1.unified_kib),
        );
        require(
            l1.sets.is_power_of_two() && l1.miss_entries >= 32 && l1.request_queue_entries >= 32,
            "l1_data: sets should be a power of two; miss_entries and request_queue_entries at least 32, the lines \
             that one instruction can touch"
                .to_owned(),
        );
        require(l1.tag_lines_per_cycle > 0, "l1_data.tag_lines_per_cycle should be at least 1".to_owned());
        require(l1.return_bytes_per_cycle > 0, "l1_data.return_bytes_per_cycle should be at least 1".to_owned());
        require(self.memory.bytes_per_pass > 0, "memory.bytes_per_pass should be at least 1".to_owned());
        if let Some(unit) = &self.warpgroup_tensor {
            require(
                (1..=8).contains(&unit.queue_entries) && unit.columns_per_cycle > 0 && unit.shared_bytes_per_cycle > 0,
                "warpgroup_tensor: queue_entries should be 1 to 8, columns_per_cycle and shared_bytes_per_cycle at least 1"
                    .to_owned(),
            );
        }
        require(
            self.bulk_copy.is_none_or(|engine| engine.tensor_maps > 0),
            "bulk_copy.tensor_maps should be at least 1".to_owned(),
        );
        for row in &self.tensor {
            // Sums in single precision are HMMA's and QMMA's.
            let single = matches!(row.mnemonic.as_str(), "HMMA" | "QMMA");
            let factor = if single { self.execution.tensor_single_sum_factor } else { 1 };
            let interval = row.initiation_interval_cycles;
            let name = format!("tensor: {}.{}", row.mnemonic, row.shape);
            require(
                interval.checked_mul(factor).is_some_and(|cycles| cycles > 0),
                format!(
                    "{name}: initiation_interval_cycles = {interval} times tensor_single_sum_factor should be 1 to 255"
                ),
            );
            let alike = row.war_cycles.is_none() || row.to_tensor_cycles == row.to_other_cycles;
            require(alike, format!("{name}: with war_cycles, to_tensor_cycles should be to_other_cycles"));
            let least = row.war_cycles.unwrap_or(2).min(row.to_other_cycles).min(row.to_tensor_cycles);
            require(least >= 2, format!("{name}: no distance may be below 2"));
        }
        let accept = self.memory.issue_to_accept_cycles;
        require(
            self.shortest_memory_release() > accept,
            format!("memory: no WAR or RAW latency may be at or below issue_to_accept_cycles = {accept}"),
        );
        wrong
    }

    fn shortest_memory_release(&self) -> u8 {
        let m = &self.memory;
        let loads = [m.load_global, m.load_shared, m.load_matrix, m.load_constant, m.copy_global_to_shared, m.shuffle];
        let of_loads = loads.iter().flat_map(|l| {
            [l.uniform_war_cycles, l.uniform_raw_cycles, l.regular_war_cycles, l.regular_raw_cycles].concat()
        });
        let of_stores = [m.store_global, m.store_shared, m.store_matrix]
            .into_iter()
            .flat_map(|s| [s.uniform_war_cycles, s.regular_war_cycles].concat());
        of_loads.chain(of_stores).min().unwrap_or(u8::MAX)
    }
}
