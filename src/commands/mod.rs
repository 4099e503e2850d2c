//! One file a command: resolve the words, call, print.

pub mod trace;
pub mod validate;
