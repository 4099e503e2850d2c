//! Tiles of a MAC array, vector DSPs and scratchpad, driven by task lists with barriers.
