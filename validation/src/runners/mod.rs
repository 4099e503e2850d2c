//! One file a kind of suite.

mod hbm_golden;

pub use hbm_golden::HbmGolden;

use crate::runner::Runners;

/// The runners of all kinds of suites that ship.
pub fn all() -> Runners {
    Runners::default().with(HbmGolden)
}
