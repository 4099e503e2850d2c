//! Snapshots: a machine is saved between two windows and goes on in a freshly built one, bit for bit.
//!
//! ```text
//!   Machine::save ─▶ time · clocks · work · links · components ─▶ Snapshot ─▶ a file
//!                     (by number within the machine file,                       │
//!                      never by shard, lane or slot)                            ▼
//!   Machine::build ─────────────────────────────────────────────────▶ Machine::load ─▶ Machine::run
//! ```
//! What a machine *is* (parameters, ports, tables) comes from its file; a snapshot holds what has *happened*. Components
//! say which of their fields are which with [`saved!`](crate::saved), which names every field, so that a new one cannot be
//! forgotten. Nothing in a snapshot depends on shards or threads: one of two shards goes on in one or in eight.
//!
//! Start reading at [`Saved`]; the canonical test is `tests/snapshots.rs`.

mod codec;
mod file;
mod state;

#[doc(hidden)]
pub use codec::load_sized;
pub use codec::{LoadError, Reader, Saved, Writer};
pub use file::{Header, Snapshot, SnapshotError};
