//! Plays a trace to a timing model: the second pass, a block at a time, in the order of the file.

use std::path::PathBuf;
use std::sync::Arc;

use super::header::WINDOW_BYTES;
use super::kernel::TracedKernel;
use super::line::TraceOp;
use super::reader::{Block, TraceReader};
use crate::sass::exec::coalesce::{Pattern, Recorder};
use crate::sass::{OpClass, SassError, Uses};
use crate::stream::{AccessKind, CtaStream, DynamicOp, NO_ACCESS, Space, local_window};

/// Of virtual addresses, since Pascal (CUDA C++ Programming Guide, unified memory).
const ADDRESS_BITS: u32 = 49;
/// At the beginning of a block's shared memory, from sm_80 on (CUDA C++ Programming Guide, compute capabilities).
const RESERVED_SHARED_BYTES: u64 = 1024;
/// Bytes of a row of an 8×8 matrix that LDSM and STSM address.
const MATRIX_ROW_BYTES: u8 = 16;

/// What an instruction does to memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Touch {
    space: Space,
    kind: AccessKind,
    bytes: u8,
    /// The space is told by the address.
    generic: bool,
    /// 8×8 matrices of LDSM and STSM; 0 for others. Eight lanes name the rows of each.
    matrices: u32,
}

/// A traced kernel on its way through its blocks.
pub struct Replay {
    kernel: Arc<TracedKernel>,
    path: PathBuf,
    touches: Vec<Option<Touch>>,
    reader: TraceReader,
    block: Block,
    recorder: Recorder<true>,
    next: u32,
    /// Grid slot that the grid runs in.
    slot: u8,
}

impl std::fmt::Debug for Replay {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Replay").field("path", &self.path).field("next", &self.next).finish_non_exhaustive()
    }
}

impl Replay {
    /// Opens the trace of `kernel` again.
    ///
    /// # Errors
    /// The file cannot be read, or the kernel has an opcode that is not known.
    pub fn new(kernel: Arc<TracedKernel>) -> Result<Self, SassError> {
        let touches = kernel.instructions.iter().map(|instruction| {
            let uses = Uses::of(instruction).map_err(|error| {
                SassError::new(&kernel.file, error.line, format!("`{}`: {}", error.text, error.problem), "")
            })?;
            Ok::<_, SassError>(touch(&uses, instruction.mnemonic.as_str(), &instruction.modifiers))
        });
        let touches = touches.collect::<Result<Vec<_>, _>>()?;
        let path = PathBuf::from(&kernel.file);
        let reader = TraceReader::open(&path)?;
        let (block, recorder) = (Block::default(), Recorder::default());
        Ok(Self { kernel, path, touches, reader, block, recorder, next: 0, slot: 0 })
    }

    /// Grids that run at the same time do so in different grid slots, which keeps their local memories apart.
    #[must_use]
    pub fn in_slot(mut self, slot: u8) -> Self {
        self.slot = slot;
        self
    }

    pub fn kernel(&self) -> &Arc<TracedKernel> {
        &self.kernel
    }

    /// The stream of block number `index`, counted in the order of the file. Asked for in order, each block is read once.
    ///
    /// # Errors
    /// The file cannot be read, or is not what it was at the first pass.
    pub fn run_block(&mut self, index: u32, stream: &mut CtaStream) -> Result<(), SassError> {
        if index < self.next {
            self.reader = TraceReader::open(&self.path)?;
            self.next = 0;
        }
        while self.next <= index {
            if !self.reader.next_block(&mut self.block)? {
                return Err(self.has_changed(0));
            }
            self.next += 1;
        }
        self.replay(index, stream)
    }

    fn has_changed(&self, line: u32) -> SassError {
        let message = "the trace is not what it was when the run began";
        SassError::new(&self.kernel.file, line, message, "leave the file alone while it is simulated")
    }

    fn replay(&mut self, index: u32, stream: &mut CtaStream) -> Result<(), SassError> {
        stream.warps.resize_with(self.block.warps.len(), Vec::new);
        stream.warps.iter_mut().for_each(Vec::clear);
        let (mut accesses, mut lines) = (std::mem::take(&mut stream.accesses), std::mem::take(&mut stream.lines));
        accesses.clear();
        stream.mbarriers.clear();
        stream.bulk.clear();
        lines.clear();
        self.recorder.begin(self.touches.len(), accesses, lines);
        let block = std::mem::take(&mut self.block);
        let local_bytes = (self.kernel.local.end - self.kernel.local.start).next_multiple_of(128);
        for (warp, ops) in block.warps.iter().enumerate() {
            let number = u64::from(index) * block.warps.len() as u64 + warp as u64;
            // A word of all 32 lanes takes a line.
            let local_base = local_window(self.slot) + number * local_bytes * 32;
            for op in ops {
                let at = self.kernel.index(op).ok_or_else(|| self.has_changed(op.line))?;
                let access = self.access(at, op, block.addresses_of(op), local_base)?;
                stream.warps[warp].push(DynamicOp { index: at, lanes: op.mask, access });
            }
        }
        self.block = block;
        stream.accesses = std::mem::take(&mut self.recorder.accesses);
        stream.lines = std::mem::take(&mut self.recorder.lines);
        Ok(())
    }

    fn access(&mut self, at: u32, op: &TraceOp, addresses: &[u64], local_base: u64) -> Result<u32, SassError> {
        let Some(touch) = self.touches[at as usize].filter(|_| !addresses.is_empty()) else { return Ok(NO_ACCESS) };
        let bytes = u32::from(touch.bytes);
        let mask = op.mask;
        let named = if touch.matrices > 0 { (u64::MAX >> (64 - 8 * touch.matrices)) as u32 } else { mask };
        let mut wide = [0; 32];
        let header = &self.kernel.header;
        let space = if touch.generic { space_of(addresses[0], header) } else { touch.space };
        let lanes = (0..32usize).filter(|lane| op.mask >> lane & 1 == 1);
        for (lane, &address) in lanes.zip(addresses) {
            wide[lane] = address;
            if named >> lane & 1 == 1 && address % u64::from(bytes) != 0 {
                let message = format!("lane {lane} accesses {bytes} bytes at {address:#x}, which is not aligned");
                return Err(SassError::new(&self.kernel.file, op.line, message, "accesses are aligned to their width"));
            }
            if let Some((of, help)) = outside(space, touch, address, header) {
                let message = format!("lane {lane} accesses {bytes} bytes at {address:#x}, outside {of}");
                return Err(SassError::new(&self.kernel.file, op.line, message, help));
            }
        }
        let narrow = |from: u64| wide.map(|address: u64| address.wrapping_sub(from) as u32);
        Ok(match space {
            // The side in shared memory is not traced: as if lanes wrote side by side.
            _ if touch.kind == AccessKind::Copy => {
                let to = std::array::from_fn(|lane| lane as u32 * bytes);
                self.recorder.copy(at, bytes, mask, mask, &wide, &to)
            }
            _ if touch.matrices > 0 => self.recorder.matrices(touch.kind, &narrow(0), touch.matrices),
            Space::Shared => {
                // Traces show shared addresses from 0 on, generic ones in their window.
                let shared = narrow(if touch.generic { header.shared_window } else { 0 });
                self.recorder.banks(at, touch.kind, bytes, mask, &shared)
            }
            Space::Local => {
                let from = if touch.generic { header.local_window } else { self.kernel.local.start & !127 };
                self.recorder.local(touch.kind, bytes, mask, local_base, &narrow(from))
            }
            Space::Global | Space::Constant => {
                let pattern = Pattern::of_wide(bytes, mask, &wide);
                self.recorder.lines(at, (space, touch.kind), bytes, mask, &wide, pattern)
            }
        })
    }
}

/// What an address lies outside of that every access of its space lies in, and what fits. Traces do not say which buffers there
/// are in global memory.
fn outside(space: Space, touch: Touch, address: u64, header: &super::Header) -> Option<(&'static str, String)> {
    let end = address.saturating_add(touch.bytes.into());
    match space {
        Space::Global if end > 1 << ADDRESS_BITS => {
            Some(("the memory of a GPU", format!("virtual addresses have {ADDRESS_BITS} bits")))
        }
        Space::Shared => {
            let from = if touch.generic { header.shared_window } else { 0 };
            let bytes = u64::from(header.shared_bytes) + RESERVED_SHARED_BYTES;
            let help =
                || format!("shmem = {} in the header, and the system has {RESERVED_SHARED_BYTES}", header.shared_bytes);
            (end > from + bytes).then(|| ("the shared memory of a block", help()))
        }
        _ => None,
    }
}

fn space_of(address: u64, header: &super::Header) -> Space {
    let within = |window: u64| window != 0 && (window..window + WINDOW_BYTES).contains(&address);
    if within(header.shared_window) {
        Space::Shared
    } else if within(header.local_window) {
        Space::Local
    } else {
        Space::Global
    }
}

fn touch(uses: &Uses, mnemonic: &str, modifiers: &[String]) -> Option<Touch> {
    use AccessKind::{Atomic, Copy, Load, Reduction, Store};
    let (space, kind) = match uses.class {
        OpClass::LoadGlobal => (Space::Global, Load),
        OpClass::CopyGlobalToShared => (Space::Global, Copy),
        OpClass::StoreGlobal => (Space::Global, Store),
        OpClass::AtomicGlobal => (Space::Global, Atomic),
        OpClass::ReductionGlobal => (Space::Global, Reduction),
        OpClass::LoadShared => (Space::Shared, Load),
        OpClass::StoreShared => (Space::Shared, Store),
        OpClass::AtomicShared => (Space::Shared, Atomic),
        OpClass::LoadLocal => (Space::Local, Load),
        OpClass::StoreLocal => (Space::Local, Store),
        _ => return None,
    };
    let count = modifiers.iter().rev().find_map(|modifier| match modifier.as_str() {
        "4" => Some(4),
        "2" => Some(2),
        _ => None,
    });
    let (bytes, matrices) = match mnemonic {
        "LDSM" | "STSM" => (MATRIX_ROW_BYTES, count.unwrap_or(1)),
        _ => (uses.access_bytes, 0),
    };
    Some(Touch { space, kind, bytes, generic: matches!(mnemonic, "LD" | "ST" | "ATOM"), matrices })
}
