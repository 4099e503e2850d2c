//! Address mappers: byte address inside a channel to pseudo channel, stack ID, bank group, bank, row, column.
//!
//! Models: maps as an order of fields (`field_order`) with an optional exclusive-or step, and the split of a system
//! address over channels (`protocol::interleave`, which caches use too).
//! Leaves out: reverse engineering of one product; the hash is GPU-like, not a vendor's.
//! Canonical tests: beside each map.

mod field_order;

pub use field_order::{Field, FieldMap, FieldOrder, Hash};
pub use protocol::ChannelInterleave;
