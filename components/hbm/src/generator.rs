//! Synthetic request streams.
//!
//! ```text
//!   [`StreamSpec`] (kind, seed, rate) ─▶ [`RequestStream`]: (address, read or write, due tick) in order
//! ```
//!
//! Models: the streams with which the golden runs were taken, bit for bit; saturating, paced and bursty arrival.
//! Leaves out: dependence between requests other than a limit on those outstanding (the driver's).
//! Numbers: the 64-bit linear congruential generator of Knuth's MMIX.
//! Start reading at [`RequestStream::next`]; the canonical test is the golden suite `hbm-ramulator2`.

use std::str::FromStr;

use crate::bank::Tick;
use crate::mapper::{Field, FieldOrder};
use crate::organisation::DramAddress;
use crate::request::Op;

/// The kinds of streams. Names are those of the golden runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamKind {
    /// Reads in address order.
    SeqRead,
    /// Writes in address order.
    SeqWrite,
    /// Address order, one of three is a write.
    SeqRw21,
    /// Random reads.
    RandRead,
    /// Random writes.
    RandWrite,
    /// Random, one of three is a write.
    RandRw21,
    /// Random, one of two is a write.
    RandRw11,
    /// Reads of one half, writes of the other, alternating.
    Copy,
    /// Two reads and a write from three quarters.
    Triad,
    /// Reads a stride apart.
    Stride {
        /// The stride.
        bytes: u64,
    },
    /// Random lines of 128 bytes, read in order.
    Line128,
    /// The same, one line of three is written.
    Line128Rw21,
    /// A new row of one bank every request.
    RowConflict,
    /// The same, writes.
    RowConflictW,
    /// Two rows of every group's bank 0 in turn.
    RowPingpong,
    /// All banks of one group in turn, with hits.
    BgHit,
    /// All groups in turn.
    BgRotate,
    /// The same, writes.
    BgRotateW,
    /// A new row in every bank in turn.
    AllBanks,
    /// Nine of ten requests to 16 hot rows.
    HotRows,
    /// One bank, rows in order.
    OneBankSeq,
    /// Bursts of 16 writes and 16 reads.
    WrThenRd,
}

/// How requests come to be due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrival {
    /// All at once: the stream is never the limit.
    Saturating,
    /// Request k at `k * numerator / denominator` ticks.
    Paced {
        /// Ticks, times `denominator`, from one request to the next.
        numerator: u64,
        /// See `numerator`.
        denominator: u64,
    },
    /// Request k at `(k / length) * gap_ticks`.
    Bursts {
        /// Requests of one burst.
        length: u64,
        /// Ticks from burst to burst.
        gap_ticks: u64,
    },
}

/// A stream to generate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamSpec {
    /// Kind.
    pub kind: StreamKind,
    /// Requests.
    pub requests: u64,
    /// Seed of the generator; 1 is the default of the golden runs.
    pub seed: u64,
    /// Arrival.
    pub arrival: Arrival,
    /// Only the first bytes of the address space are used.
    pub footprint_bytes: Option<u64>,
}

/// One generated request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Generated {
    /// Index in the stream.
    pub index: u64,
    /// Byte address.
    pub address: u64,
    /// Read or write.
    pub op: Op,
    /// Not before this tick.
    pub due: Tick,
}

/// The requests of a stream, in order.
#[derive(Debug, Clone)]
pub struct RequestStream {
    spec: StreamSpec,
    order: FieldOrder,
    sizes: Sizes,
    blocks: u64,
    access_bytes: u64,
    state: u64,
    next: u64,
    line: u64,
    line_is_written: bool,
    through_hash: bool,
}

#[derive(Debug, Clone, Copy)]
struct Sizes {
    pseudo_channels: u64,
    stack_ids: u64,
    groups: u64,
    banks: u64,
    rows: u64,
    columns: u64,
}

impl RequestStream {
    /// A stream over the addresses of `order`, which composes places to addresses, in accesses of `access_bytes`.
    pub fn new(spec: StreamSpec, order: FieldOrder, access_bytes: u32) -> Self {
        let size = |f| u64::from(order.size(f));
        let sizes = Sizes {
            pseudo_channels: size(Field::PseudoChannel),
            stack_ids: size(Field::StackId),
            groups: size(Field::BankGroup),
            banks: size(Field::Bank),
            rows: size(Field::Row),
            columns: size(Field::Column),
        };
        let access_bytes = u64::from(access_bytes);
        let blocks = spec.footprint_bytes.map_or(order.accesses(), |b| (b / access_bytes).max(1));
        RequestStream {
            state: spec.seed,
            spec,
            order,
            sizes,
            blocks,
            access_bytes,
            next: 0,
            line: 0,
            line_is_written: false,
            through_hash: false,
        }
    }

    /// Streams made of coordinates reach the places they name also under a map with a hash, which the golden runs undo
    /// nowhere: their `row_conflict` under a hashed map is spread over banks.
    #[must_use]
    pub fn through_hash(mut self) -> Self {
        self.through_hash = true;
        self
    }

    fn random(&mut self) -> u64 {
        self.state = self.state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.state >> 32
    }

    fn due(&self, k: u64) -> Tick {
        match self.spec.arrival {
            Arrival::Saturating => 0,
            Arrival::Paced { numerator, denominator } => k * numerator / denominator,
            Arrival::Bursts { length, gap_ticks } => k / length * gap_ticks,
        }
    }

    /// Address of block `block`.
    fn at(&self, block: u64) -> u64 {
        block * self.access_bytes
    }

    fn compose(&self, p: u64, g: u64, b: u64, r: u64, c: u64, s: u64) -> u64 {
        let place = DramAddress {
            pseudo_channel: p as u32,
            stack_id: s as u32,
            bank_group: g as u32,
            bank: b as u32,
            row: r as u32,
            column: c as u32,
        };
        if self.through_hash { self.order.address_of(&place) } else { self.order.compose(&place) }
    }

    fn place(&mut self, k: u64) -> (u64, Op) {
        use StreamKind::*;
        let n = self.blocks;
        match self.spec.kind {
            SeqRead => (self.at(k % n), Op::Read),
            SeqWrite => (self.at(k % n), Op::Write),
            SeqRw21 => (self.at(k % n), self.write_one_of(3)),
            RandRead => (self.random_block(), Op::Read),
            RandWrite => (self.random_block(), Op::Write),
            RandRw21 => (self.random_block(), self.write_one_of(3)),
            RandRw11 => (self.random_block(), self.write_one_of(2)),
            Copy => match (k / 2, k % 2) {
                (j, 0) => (self.at(j % (n / 2).max(1)), Op::Read),
                (j, _) => (self.at((n / 2 + j) % n), Op::Write),
            },
            Triad => {
                let (j, quarter) = (k / 3, (n / 4).max(1));
                match k % 3 {
                    0 => (self.at(j % quarter), Op::Read),
                    1 => (self.at(n / 4 + j % quarter), Op::Read),
                    _ => (self.at(n / 2 + j % quarter), Op::Write),
                }
            }
            Stride { bytes } => {
                let d = bytes / self.access_bytes;
                (self.at((k * d % n + k * d / n) % n), Op::Read)
            }
            Line128 | Line128Rw21 => self.in_line(k),
            RowConflict | RowConflictW | RowPingpong | BgHit | BgRotate | BgRotateW | AllBanks | OneBankSeq
            | WrThenRd => self.coordinate(k),
            HotRows => (self.hot_row(), Op::Read),
        }
    }

    fn random_block(&mut self) -> u64 {
        let block = self.random() % self.blocks;
        self.at(block)
    }

    fn write_one_of(&mut self, count: u64) -> Op {
        if self.random().is_multiple_of(count) { Op::Write } else { Op::Read }
    }

    fn in_line(&mut self, k: u64) -> (u64, Op) {
        let accesses = (128 / self.access_bytes).max(1);
        if k.is_multiple_of(accesses) {
            self.line = self.random() % (self.blocks / accesses).max(1) * accesses;
            self.line_is_written = self.spec.kind == StreamKind::Line128Rw21 && self.random().is_multiple_of(3);
        }
        (self.at(self.line + k % accesses), if self.line_is_written { Op::Write } else { Op::Read })
    }

    fn hot_row(&mut self) -> u64 {
        let Sizes { pseudo_channels: np, stack_ids, groups: ng, banks: nb, rows, columns } = self.sizes;
        let u = self.random();
        let c = self.random() % columns;
        if u % 10 < 9 {
            let h = (u >> 8) % 16;
            self.compose(h % np, h / np % ng, h / np / ng % nb, 100 + h, c, 0)
        } else {
            let v = self.random();
            self.compose(v % np, (v >> 3) % ng, (v >> 5) % nb, (v >> 8) % rows, c, (v >> 1) % stack_ids)
        }
    }

    /// The streams that are made of coordinates: successive digits of the index.
    fn coordinate(&self, k: u64) -> (u64, Op) {
        use StreamKind::*;
        let Sizes { pseudo_channels: np, stack_ids, groups: ng, banks: nb, rows, columns } = self.sizes;
        let mut j = k;
        let mut digit = |size: u64| {
            let d = j % size;
            j /= size;
            d
        };
        match self.spec.kind {
            RowConflict => (self.compose(0, 0, 0, k % rows, k / rows % columns, 0), Op::Read),
            RowConflictW => (self.compose(0, 0, 0, k % rows, k / rows % columns, 0), Op::Write),
            OneBankSeq => (self.compose(0, 0, 0, k / columns % rows, k % columns, 0), Op::Read),
            RowPingpong => {
                let (p, g, t) = (digit(np), digit(ng), digit(2));
                let r = t + 2 * (j / columns % (rows / 2).max(1));
                (self.compose(p, g, 0, r, j % columns, 0), Op::Read)
            }
            BgHit => {
                let (p, b, c) = (digit(np), digit(nb), digit(columns));
                (self.compose(p, 0, b, j % rows, c, 0), Op::Read)
            }
            BgRotate | BgRotateW => {
                let (p, g, c) = (digit(np), digit(ng), digit(columns));
                let op = if self.spec.kind == BgRotateW { Op::Write } else { Op::Read };
                (self.compose(p, g, 0, j % rows, c, 0), op)
            }
            AllBanks => {
                let (p, g, b, s) = (digit(np), digit(ng), digit(nb), digit(stack_ids));
                (self.compose(p, g, b, j % rows, j / rows % columns, s), Op::Read)
            }
            _ => {
                let (h, i) = (k / 16, k % 16);
                let a = h / 2;
                let (b, op) = if h % 2 == 0 { (0, Op::Write) } else { (1 % nb, Op::Read) };
                (self.compose(i % np, i / np % ng, b, a / columns % rows, a % columns, 0), op)
            }
        }
    }
}

impl Iterator for RequestStream {
    type Item = Generated;

    fn next(&mut self) -> Option<Generated> {
        let index = self.next;
        if index == self.spec.requests {
            return None;
        }
        self.next += 1;
        let (address, op) = self.place(index);
        Some(Generated { index, address, op, due: self.due(index) })
    }
}

/// A stream name that is not known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a stream (one of {names})", names = NAMES.iter().map(|(n, ..)| *n).collect::<Vec<_>>().join(", "))]
pub struct UnknownStream(pub String);

/// Every stream with one line about it.
pub fn streams() -> impl Iterator<Item = (&'static str, &'static str)> {
    NAMES.iter().map(|(name, _, about)| (*name, *about))
}

const NAMES: [(&str, StreamKind, &str); 22] = [
    ("seq_read", StreamKind::SeqRead, "reads in address order"),
    ("seq_write", StreamKind::SeqWrite, "writes in address order"),
    ("seq_rw21", StreamKind::SeqRw21, "address order, one of three is a write"),
    ("rand_read", StreamKind::RandRead, "random reads"),
    ("rand_write", StreamKind::RandWrite, "random writes"),
    ("rand_rw21", StreamKind::RandRw21, "random, one of three is a write"),
    ("rand_rw11", StreamKind::RandRw11, "random, one of two is a write"),
    ("copy", StreamKind::Copy, "reads of one half, writes of the other"),
    ("triad", StreamKind::Triad, "two reads and a write from three quarters"),
    ("stride", StreamKind::Stride { bytes: 4096 }, "reads 4096 bytes apart; `stride1024` for another stride"),
    ("line128", StreamKind::Line128, "random lines of 128 bytes, read in order"),
    ("line128_rw21", StreamKind::Line128Rw21, "the same, one line of three is written"),
    ("row_conflict", StreamKind::RowConflict, "a new row of one bank every read"),
    ("row_conflict_w", StreamKind::RowConflictW, "a new row of one bank every write"),
    ("row_pingpong", StreamKind::RowPingpong, "two rows of every group's bank 0 in turn"),
    ("bg_hit", StreamKind::BgHit, "all banks of one bank group in turn, with hits"),
    ("bg_rotate", StreamKind::BgRotate, "all bank groups in turn, reads"),
    ("bg_rotate_w", StreamKind::BgRotateW, "all bank groups in turn, writes"),
    ("all_banks", StreamKind::AllBanks, "a new row in every bank in turn"),
    ("hot_rows", StreamKind::HotRows, "nine of ten reads to 16 hot rows"),
    ("one_bank_seq", StreamKind::OneBankSeq, "one bank, its rows in order"),
    ("wr_then_rd", StreamKind::WrThenRd, "bursts of 16 writes and 16 reads"),
];

impl FromStr for StreamKind {
    type Err = UnknownStream;

    /// Parses a stream name; `stride` may carry its bytes: `stride4096`. `seq` and `rand` are the reads.
    fn from_str(s: &str) -> Result<Self, UnknownStream> {
        if let Some(bytes) = s.strip_prefix("stride").and_then(|b| b.parse().ok()) {
            return Ok(StreamKind::Stride { bytes });
        }
        let name = match s {
            "seq" => "seq_read",
            "rand" => "rand_read",
            name => name,
        };
        NAMES.iter().find(|(n, ..)| *n == name).map(|(_, k, _)| *k).ok_or_else(|| UnknownStream(s.to_string()))
    }
}
