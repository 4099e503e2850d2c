//! DRAM commands, the bus each travels on, and how long it occupies that bus.
//!
//! ```text
//!   row bus:    ACT · PREpb · PREab · REFab · REFpb · RFMab · RFMpb · power-down and self-refresh entry/exit
//!   column bus: RD · WR · RDA · WRA · UPD (op-and-store)
//! ```
//!
//! Models: one row and one column command a tick for the whole channel; multi-cycle commands (ACT).
//! Leaves out: bit-level encoding and parity.
//! Numbers: JESD235 (HBM1/2): ACT takes two clocks; JESD238 (HBM3) and HBM4: ACT takes 1.5 clocks, other row
//! commands half a clock, column commands one clock; JESD250 (GDDR6): one clock each, on one bus, which is rules of its table.
//! Canonical tests: `constraint` prints the table that follows from these lengths.

use std::fmt;
use std::str::FromStr;

/// A command of the DRAM interface. `Pb` = one bank, `Ab` = all banks of a pseudo channel, `A` = with auto-precharge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[repr(u8)]
pub enum Command {
    /// Open a row.
    Act,
    /// Close one bank.
    PrePb,
    /// Close all banks of a pseudo channel.
    PreAb,
    /// Read one access.
    Rd,
    /// Write one access.
    Wr,
    /// Read, then close the bank.
    RdA,
    /// Write, then close the bank.
    WrA,
    /// Refresh all banks of a pseudo channel.
    RefAb,
    /// Refresh one bank.
    RefPb,
    /// Refresh management (row-hammer mitigation), all banks of a pseudo channel. HBM3 and later.
    RfmAb,
    /// Refresh management, one bank. HBM3 and later.
    RfmPb,
    /// Enter power-down (clock enable low, no row need be closed).
    PdEnter,
    /// Leave power-down.
    PdExit,
    /// Enter self refresh.
    SrEnter,
    /// Leave self refresh.
    SrExit,
    /// Op-and-store: the written data are combined with those of the open row and stored (near-memory reduction).
    Upd,
}

/// The two command buses of a channel, shared by its pseudo channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bus {
    /// Activate, precharge, refresh and power commands.
    Row,
    /// Reads and writes.
    Column,
}

/// What a command addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// One bank.
    Bank,
    /// All banks of a pseudo channel.
    PseudoChannel,
}

/// Number of commands.
pub const COMMANDS: usize = 16;

/// All commands, in the order of their numbers.
pub const ALL: [Command; COMMANDS] = [
    Command::Act,
    Command::PrePb,
    Command::PreAb,
    Command::Rd,
    Command::Wr,
    Command::RdA,
    Command::WrA,
    Command::RefAb,
    Command::RefPb,
    Command::RfmAb,
    Command::RfmPb,
    Command::PdEnter,
    Command::PdExit,
    Command::SrEnter,
    Command::SrExit,
    Command::Upd,
];

impl Command {
    /// Position in [`ALL`].
    #[inline]
    pub fn index(self) -> usize {
        self as usize
    }

    /// The bus the command travels on.
    #[inline]
    pub fn bus(self) -> Bus {
        match self {
            Command::Rd | Command::Wr | Command::RdA | Command::WrA | Command::Upd => Bus::Column,
            _ => Bus::Row,
        }
    }

    /// What the command addresses.
    #[inline]
    pub fn reach(self) -> Reach {
        use Command::*;
        match self {
            PreAb | RefAb | RfmAb | PdEnter | PdExit | SrEnter | SrExit => Reach::PseudoChannel,
            Act | PrePb | Rd | Wr | RdA | WrA | Upd | RefPb | RfmPb => Reach::Bank,
        }
    }

    /// Whether the command closes what it addresses.
    #[inline]
    pub fn closes(self) -> bool {
        matches!(self, Command::PrePb | Command::PreAb | Command::RdA | Command::WrA)
    }

    /// Name as in the standards: `ACT`, `PREpb`, ...
    pub fn name(self) -> &'static str {
        use Command::*;
        match self {
            Act => "ACT",
            PrePb => "PREpb",
            PreAb => "PREab",
            Rd => "RD",
            Wr => "WR",
            RdA => "RDA",
            WrA => "WRA",
            RefAb => "REFab",
            RefPb => "REFpb",
            RfmAb => "RFMab",
            RfmPb => "RFMpb",
            PdEnter => "PDE",
            PdExit => "PDX",
            SrEnter => "SRE",
            SrExit => "SRX",
            Upd => "UPD",
        }
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Command {
    type Err = UnknownCommand;

    fn from_str(s: &str) -> Result<Self, UnknownCommand> {
        ALL.into_iter().find(|c| c.name() == s).ok_or_else(|| UnknownCommand(s.to_string()))
    }
}

/// A name that no command has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a DRAM command (ACT, PREpb, PREab, RD, WR, RDA, WRA, REFab, REFpb, RFMab, RFMpb, PDE, PDX, SRE, SRX, UPD)"
)]
pub struct UnknownCommand(pub String);

/// A set of commands, one bit each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CommandSet(u16);

impl CommandSet {
    /// The set of the listed commands.
    pub const fn of(list: &[Command]) -> Self {
        let (mut bits, mut i) = (0u16, 0);
        while i < list.len() {
            bits |= 1 << list[i] as u16;
            i += 1;
        }
        CommandSet(bits)
    }

    /// Whether `c` is in the set.
    #[inline]
    pub fn contains(self, c: Command) -> bool {
        self.0 >> c as u16 & 1 == 1
    }

    /// The commands of the set, in the order of [`ALL`].
    pub fn iter(self) -> impl Iterator<Item = Command> {
        ALL.into_iter().filter(move |c| self.contains(*c))
    }
}

/// The interface generations, which differ in clocking and command lengths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Generation {
    /// JESD235 legacy mode: one channel of 128 bits.
    Hbm1,
    /// JESD235A..D, pseudo-channel mode. HBM2E is the same protocol at a higher rate.
    Hbm2,
    /// JESD238: half-clock row commands, WCK at twice CK. HBM3E is the same protocol at a higher rate.
    Hbm3,
    /// JESD270-4.
    Hbm4,
    /// JESD250: one command bus for rows and columns, every command one clock.
    Gddr6,
    /// The idealised interface of DRAMsim3: every command takes one clock of one of two command buses.
    OneCycle,
}

impl Generation {
    /// Model ticks of one command clock: 2 where commands may start on both edges.
    #[inline]
    pub fn ticks_per_ck(self) -> u32 {
        match self {
            Generation::Hbm1 | Generation::Hbm2 | Generation::Gddr6 | Generation::OneCycle => 1,
            Generation::Hbm3 | Generation::Hbm4 => 2,
        }
    }

    /// Ticks that a command occupies its bus.
    #[inline]
    pub fn command_ticks(self, c: Command) -> u32 {
        match (self, c) {
            (Generation::Gddr6 | Generation::OneCycle, _) => 1,
            (Generation::Hbm1 | Generation::Hbm2, Command::Act) => 2,
            (Generation::Hbm1 | Generation::Hbm2, _) => 1,
            (Generation::Hbm3 | Generation::Hbm4, Command::Act) => 3,
            (Generation::Hbm3 | Generation::Hbm4, c) if c.bus() == Bus::Column => 2,
            (Generation::Hbm3 | Generation::Hbm4, _) => 1,
        }
    }

    /// Whether a command may start at `tick`. Where a clock has two ticks, rising edges are the odd ones (the first
    /// tick is 1), and only precharges may use a falling edge.
    #[inline]
    pub fn may_start(self, c: Command, tick: u64) -> bool {
        self.ticks_per_ck() == 1 || tick & 1 == 1 || matches!(c, Command::PrePb | Command::PreAb)
    }
}
