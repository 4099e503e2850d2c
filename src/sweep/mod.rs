//! A sweep: machines × workloads × variants × a grid of keys, each point a run of its own.
//!
//! ```text
//!  sweep file ─▶ plan (all points, resolved) ─▶ runs side by side ─▶ runs/<hash>.json ─▶ results.csv, results.json
//!                                   ▲                                     │
//!                                   └────── what is there is not run ◀────┘
//! ```
//!
//! A point is known by the hash of what its result is a function of: resolved machine, workload, seed and the program's own
//! sources. So a sweep that was interrupted, or to which points were added, runs what is missing and nothing else.

mod plan;
mod results;
mod store;

pub use plan::{Plan, Point};
pub use results::{document, speedups, table};
pub use store::{Record, Store};
