//! What can go wrong while a kernel executes.

/// An error at one instruction of one warp.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}: `{text}` at {pc:#06x} of `{kernel}`, block {cta:?}, warp {warp}: {cause}")]
pub struct ExecError {
    pub kernel: String,
    pub file: String,
    pub line: u32,
    pub pc: u32,
    pub text: String,
    /// Block index in x, y, z.
    pub cta: [u32; 3],
    pub warp: u32,
    pub cause: Box<Cause>,
}

/// What went wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Cause {
    #[error("lane {lane} accesses {bytes} bytes of {space} memory at {address:#x}, outside; {neighbourhood}")]
    OutOfBounds { space: &'static str, lane: u32, address: u64, bytes: u32, neighbourhood: String },
    #[error("lane {lane} accesses {bytes} bytes of {space} memory at {address:#x}, which is not a multiple of {bytes}")]
    Misaligned { space: &'static str, lane: u32, address: u64, bytes: u32 },
    #[error("lane {lane} jumps to {target:#x}, where no instruction is")]
    BadTarget { lane: u32, target: u64 },
    #[error("execution runs past the last instruction")]
    RanOffTheEnd,
    #[error("{0}")]
    BarrierDeadlock(String),
    #[error(
        "its lanes {lanes:#010x} wait for lanes that never arrive (BSYNC or WARPSYNC), and nothing else can run in the warp"
    )]
    ConvergenceDeadlock { lanes: u32 },
    #[error(
        "the block has executed {executed} warp instructions and does not end; a kernel that waits for another block, \
         or for time to pass, needs values at issue: run it with --coupled. If the kernel is only long, raise the limit"
    )]
    Watchdog { executed: u64 },
    #[error(
        "the block goes round in circles: its warps come back to the same registers, and none of them changes memory. \
         If it is for another block to end this, the kernel needs values at issue: run it with --coupled"
    )]
    Spin,
    #[error("the launch never ends: {0}")]
    Stuck(String),
    #[error(
        "the warp has more than 4096 open convergence regions: it saves barrier registers (BMOV) and never restores them"
    )]
    TooManyRegions,
    #[error("no mbarrier lies at {address:#x} of shared memory (SYNCS.EXCH.64 makes one)")]
    NoMbarrier { address: u32 },
    #[error("{0}")]
    Bulk(String),
    #[error("only the lanes {lanes:#010x} of the warp execute a multiply of its warpgroup")]
    PartialWarpgroup { lanes: u32 },
    #[error("the kernel stops itself (trap)")]
    Trap,
}

impl Cause {
    /// Whether the kernel may run to its end with values at issue.
    pub fn asks_for_values_at_issue(&self) -> bool {
        matches!(self, Self::Watchdog { .. } | Self::Spin)
    }
}

/// As it travels out of the hot loop.
pub type Fault = Box<Cause>;
