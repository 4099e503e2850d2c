//! Kernels in a snapshot: a warp or a block refers to the tables of its kernel, which are built again and lent to the
//! reader, never saved. Only runs of one launch are saved, so there is one.

use super::timing::KernelTiming;
use sim_core::{LoadError, Reader, Writer};
use std::sync::Arc;

/// Notes which of the places have a kernel.
pub(crate) fn save(kernels: &[Option<Arc<KernelTiming>>], out: &mut Writer) {
    out.put(&kernels.iter().map(Option::is_some).collect::<Vec<bool>>());
}

/// Puts the kernel that was lent back into its places.
pub(crate) fn load(kernels: &mut [Option<Arc<KernelTiming>>], from: &mut Reader<'_>) -> Result<(), LoadError> {
    let has: Vec<bool> = from.get()?;
    if has.len() != kernels.len() {
        return Err(LoadError::Count { what: "warp slots", found: has.len(), expected: kernels.len() });
    }
    for (kernel, has) in kernels.iter_mut().zip(has) {
        *kernel = if has { Some(from.lent()?) } else { None };
    }
    Ok(())
}
