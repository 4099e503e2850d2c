//! Cores of a systolic array and a vector unit over a scratchpad.
