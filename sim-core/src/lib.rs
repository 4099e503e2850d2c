//! The simulation kernel of orrery: time, ports, links, arenas, shards, probes, counters, configuration.
//!
//! ```text
//!   machine.toml ─▶ config ─▶ Machine::build ─▶ Machine::run ─▶ Machine::report
//!                                  │
//!        shard 0                   │                    shard 1
//!   ┌──────────────────────────────┴───┐       ┌──────────────────────────────────┐
//!   │ arenas: Vec<C> a part, one       │       │ …                                │
//!   │   dynamic call a cycle           │◀─────▶│   messages and credits cross at  │
//!   │ lanes: wheel + FIFO bank a       │       │   the end of a window            │
//!   │   protocol; credits; alarms      │       │                                  │
//!   └──────────────────────────────────┘       └──────────────────────────────────┘
//! ```
//! A component is a struct with ports ([`Component`]); it is ticked at edges of its clock when something that it waits
//! for has happened ([`Activity`]). Links have a latency of at least one cycle of the receiver, a FIFO has one writer,
//! and room is known by credits: hence the order of ticks inside a cycle cannot be seen, and the same machine gives the
//! same result, bit for bit, on any number of shards and threads.
//!
//! Start reading at [`Component`] and [`Machine::build`]; `examples/01_ping_pong.rs` is the first tutorial. The kernel
//! knows nothing of hardware: protocols and components live elsewhere.

mod activity;
mod arena;
mod clock;
mod component;
pub mod config;
mod deadlock;
mod error;
mod fabric;
mod lane;
mod ledger;
mod machine;
mod prefetch;
pub mod probe;
pub mod quantity;
pub mod reasons;
mod rng;
mod run;
mod shard;
mod site;
pub mod snapshot;
pub mod stats;
mod stretch;
mod time;
mod topology;
mod wake;
mod wheel;

pub use activity::Activity;
pub use arena::{Density, Registry};
pub use clock::{ClockDomain, DomainId};
pub use component::{Component, Cx, In, Out};
pub use config::{ConfigError, MachineFile};
pub use deadlock::{DeadlockReport, Lack, Wait};
pub use error::{BuildError, RunError};
pub use lane::Payload;
pub use machine::{Detail, Machine, Plan};
pub use prefetch::prefetch;
pub use probe::{ComponentId, Fact, Scope};
pub use rng::Rng;
pub use run::{Progress, RunOutcome, ShardLoad, StopAt, StopReason};
pub use shard::thread_cpu_ns;
pub use site::{Resources, Site};
pub use snapshot::{LoadError, Reader, Saved, Snapshot, Writer};
pub use stats::StatsNode;
pub use time::{Cycle, Femtos};
pub use wheel::Wheel;
