//! One file a kind of suite.

mod hbm_golden;
mod hbm_hardware;
mod memory_preset;
mod sm_examples;

pub use hbm_golden::HbmGolden;
pub use hbm_hardware::HbmHardware;
pub use sm_examples::SmExamples;

use crate::runner::Runners;

/// The runners of all kinds of suites that ship.
pub fn all() -> Runners {
    Runners::default().with(HbmGolden).with(HbmHardware).with(SmExamples::default())
}
