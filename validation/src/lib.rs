//! References, error statistics, and the report.
//!
//! ```text
//!   suites/<suite>/suite.toml, cases.csv ──▶ Suite ──▶ Runners ──▶ Outcome ──▶ table · JSON · report/<suite>.md + scatter
//! ```
//!
//! A [`suite::Suite`] is a list of reference values and the bound that our error must stay inside. A [`runner::CaseRunner`]
//! knows how to carry one kind of case out. [`outcome::Outcome`] compares, [`statistics`] sums up, [`report`] and [`plot`]
//! show.
//!
//! Start reading at [`runner::Runners::validate`].

#![forbid(unsafe_code)]

pub mod committed;
pub mod files;
pub mod outcome;
pub mod plot;
pub mod report;
pub mod runner;
pub mod runners;
pub mod statistics;
pub mod suite;
