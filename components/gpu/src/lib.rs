//! The streaming multiprocessor and what drives it.
#![forbid(unsafe_code)]

pub mod command_processor;
pub mod component;
pub mod launch_store;
pub mod sm;

pub use command_processor::{CommandProcessor, SmParameters};
pub use component::SmComponent;
pub use launch_store::LaunchStore;
