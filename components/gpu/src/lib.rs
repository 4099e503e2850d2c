//! The streaming multiprocessor and what drives it.
#![forbid(unsafe_code)]

pub mod sm;
