//! One file a command: resolve the words, call, print.

pub mod check;
pub mod list;
pub mod plot;
pub mod run;
pub mod run_memory;
pub mod run_npu;
pub mod sweep;
pub mod trace;
pub mod trace_accel;
pub mod trace_check;
pub mod trace_export;
pub mod validate;
