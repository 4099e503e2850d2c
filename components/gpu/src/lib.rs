//! The streaming multiprocessor and what drives it.
//!
//! * [`sm`]: one SM as a plain struct, cycle by cycle, with its test bench.
//! * [`component`]: the SM behind ports; [`micro_tlb`]: translation in front of the one to memory.
//! * [`command_processor`]: takes a grid apart into CTAs; [`launch_store`] holds what they execute, on top of
//!   [`functional`], the values.
#![forbid(unsafe_code)]

pub mod command_processor;
pub mod component;
pub mod functional;
pub mod launch_store;
pub mod micro_tlb;
pub mod sm;

pub use command_processor::{CommandProcessor, SmParameters};
pub use component::SmComponent;
pub use functional::Functional;
pub use launch_store::{LaunchFailure, LaunchStore, LaunchedGrid};
