//! What the chores share with the fuzzer's wrappers in `fuzz/`.

#![forbid(unsafe_code)]

pub mod fuzz;
