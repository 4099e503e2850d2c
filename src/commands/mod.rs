//! One file a command: resolve the words, call, print.

pub mod validate;
