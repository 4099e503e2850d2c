//! A hint to the cache. Measured on `graph_10k` (see `benches/runs`): the messages of a cycle touch components and
//! ports all over memory, and the list of what will be touched is known beforehand.

/// Asks the host's caches for the first two lines of what may lie there. Any address will do.
#[inline(always)]
pub fn prefetch<T>(what: *const T) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        let first: *const i8 = what.cast();
        // SAFETY: a prefetch never faults and changes nothing but the cache; the instruction is part of x86-64.
        unsafe {
            _mm_prefetch::<_MM_HINT_T0>(first);
            if size_of::<T>() > 64 {
                _mm_prefetch::<_MM_HINT_T0>(first.wrapping_add(64));
            }
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = what;
}
