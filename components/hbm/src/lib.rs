#![forbid(unsafe_code)]
//! High-bandwidth memory: the DRAM channel as data, its controllers, and the protocol checker.
//!
//! ```text
//!   preset (TOML) ─▶ constraint table ─▶ banks ─▶ controller ─▶ completions
//!                                  └───────────▶ checker  ◀── command trace
//! ```
//!
//! Models: HBM1 to HBM4 channels command by command, event driven; a mode that gives the answers of Ramulator 2 exactly.
//! Leaves out: data values, on-die error correction, training and temperature sensors.
//! Numbers: `configs/memory/`, each with its origin.
//! Start reading at `bank`, then `queue`, then `compat::ramulator2`.

pub mod bank;
pub mod checker;
pub mod command;
pub mod compat;
pub mod component;
pub mod config_file;
pub mod constraint;
pub mod controller;
pub mod driver;
pub mod energy;
pub mod error;
pub mod generator;
pub mod golden;
pub mod hardware;
pub mod library;
pub mod mapper;
pub mod memory_file;
pub mod native;
pub mod organisation;
pub mod preset;
pub mod queue;
pub mod report;
pub mod request;
pub mod scan;
pub mod stats;
pub mod timing;
pub mod trace;
pub mod workload;
