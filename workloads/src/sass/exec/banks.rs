//! Constant banks: the words that the driver fills at launch, the parameters, and the compiler's own tables.

use super::super::arch;
use super::super::kernel::{AddressOf, Kernel};
use super::super::launch::Launch;
use super::lower::{ConstantWord, Lowered, Refusal};
use super::memory::{Width, extend};
use super::windows;

/// Bytes of constant space a bank takes in the addresses that timing sees.
const BANK_BYTES: u32 = 64 * 1024;

/// Of any architecture: behind the words that the driver fills.
const HIGHEST_PARAMETER_BASE: usize = 0x380;

/// Generic address of constant bank 0: a kernel may take the address of a parameter (`__grid_constant__`).
const PARAMETER_WINDOW: u64 = 0x6_0000_0000;

/// Where timing sees an address of a bank: banks lie one behind the other.
pub fn timing_offset(bank: u8, offset: u32) -> u32 {
    u32::from(bank) * BANK_BYTES + offset % BANK_BYTES
}

/// What a word of bank 0 below the parameters holds. Offsets from the listings of sm_75 to sm_120 compiled with CUDA 13.0:
/// where `blockDim`, `gridDim`, the stack pointer and the descriptor of global accesses are read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LaunchWord {
    Block(usize),
    Grid(usize),
    StackPointer,
    /// Half of the generic address of the parameters.
    ParameterAddress {
        upper: bool,
    },
    /// Of global accesses; its contents do not matter to values.
    Descriptor,
    /// A word of the base of a window of generic addresses.
    Window(u64),
    /// Where the window of parameters begins; compiled code only asks whether an address lies between it and itself.
    ParameterWindow,
}

fn launch_word(arch: &str, offset: u32) -> Option<LaunchWord> {
    let (block, grid, stack_pointer, local_window, descriptor) = match arch::number_of(arch::hardware_of(arch)) {
        Some(100..) => (0x360, 0x370, 0x37c, 0x2f8, 0x358),
        Some(90..) => (0x0, 0xc, 0x28, 0x20, 0x208),
        _ => (0x0, 0xc, 0x28, 0x20, 0x118),
    };
    let axis =
        |first: u32| Some(offset.checked_sub(first)? as usize / 4).filter(|&axis| axis < 3 && offset.is_multiple_of(4));
    if let Some(axis) = axis(block) {
        return Some(LaunchWord::Block(axis));
    }
    if let Some(axis) = axis(grid) {
        return Some(LaunchWord::Grid(axis));
    }
    match offset {
        _ if offset == stack_pointer => Some(LaunchWord::StackPointer),
        // Windows of generic addresses. From sm_90 on the shared one comes from a special register.
        0x18 if stack_pointer == 0x28 => Some(LaunchWord::Window(windows::SHARED)),
        0x1c if stack_pointer == 0x28 => Some(LaunchWord::Window(windows::SHARED >> 32)),
        _ if offset == local_window => Some(LaunchWord::Window(windows::LOCAL)),
        _ if offset == local_window + 4 => Some(LaunchWord::Window(windows::LOCAL >> 32)),
        _ if offset & !4 == if descriptor == 0x208 { 0xd0 } else { 0x50 } => Some(LaunchWord::ParameterWindow),
        _ if offset & !4 == descriptor => Some(LaunchWord::Descriptor),
        // sm_90: where the parameters lie, as a generic address.
        0x198 | 0x19c if descriptor == 0x208 => Some(LaunchWord::ParameterAddress { upper: offset == 0x19c }),
        _ => None,
    }
}

/// Refuses words that nothing fills.
pub fn check_word(kernel: &Kernel, bank: u8, offset: u32) -> Lowered<()> {
    let metadata = &kernel.metadata;
    if bank == 0 {
        let parameters =
            metadata.parameter_base..metadata.parameter_base + metadata.parameter_bytes.next_multiple_of(4);
        if parameters.contains(&offset) || launch_word(&kernel.arch, offset).is_some() {
            return Ok(());
        }
        let what = format!("c[0x0][{offset:#x}] is neither a parameter nor a word of the launch that is known");
        let help = format!("parameters are at {:#x} to {:#x}", parameters.start, parameters.end);
        return Err(Refusal::new(what, help));
    }
    let contents = metadata.constant_banks.iter().find(|(own, _)| *own == bank);
    match contents {
        Some((_, contents)) if offset as usize + 4 <= contents.len() => Ok(()),
        Some((_, contents)) => {
            let what = format!("c[{bank:#x}][{offset:#x}] lies behind the {:#x} bytes of the bank", contents.len());
            Err(Refusal::new(what, "use metadata and listing of one build"))
        }
        None => Err(Refusal::new(
            format!("constant bank {bank} is not in the kernel's metadata"),
            "add a [[constant_bank]] with its contents (the build script does)",
        )),
    }
}

/// Contents of all banks for one launch.
#[derive(Clone, Debug, Default)]
pub struct ConstantBanks {
    banks: Vec<(u8, Vec<u8>)>,
}

impl ConstantBanks {
    /// `arguments`: bytes of each parameter, sizes as the kernel has them.
    pub fn new(kernel: &Kernel, launch: &Launch, arguments: &[Vec<u8>]) -> Self {
        let metadata = &kernel.metadata;
        let end = metadata.parameter_base + metadata.parameter_bytes;
        let mut zero =
            vec![0; (end.max(metadata.constant_bank_0_bytes) as usize).next_multiple_of(8).max(HIGHEST_PARAMETER_BASE)];
        for offset in (0..metadata.parameter_base).step_by(4) {
            let word = match launch_word(&kernel.arch, offset) {
                Some(LaunchWord::Block(axis)) => launch.block[axis],
                Some(LaunchWord::Grid(axis)) => launch.grid[axis],
                // The stack grows down from the end of the thread's local memory.
                Some(LaunchWord::StackPointer) => stack_bytes(kernel),
                Some(LaunchWord::ParameterAddress { upper }) => {
                    let address = PARAMETER_WINDOW + u64::from(metadata.parameter_base);
                    if upper { (address >> 32) as u32 } else { address as u32 }
                }
                Some(LaunchWord::Window(base)) => base as u32,
                Some(LaunchWord::Descriptor | LaunchWord::ParameterWindow) | None => 0,
            };
            zero[offset as usize..offset as usize + 4].copy_from_slice(&word.to_le_bytes());
        }
        for (parameter, bytes) in metadata.parameters.iter().zip(arguments) {
            let at = (metadata.parameter_base + parameter.offset_bytes) as usize;
            zero[at..at + bytes.len()].copy_from_slice(bytes);
        }
        let mut banks = vec![(0, zero)];
        banks.extend(metadata.constant_banks.iter().cloned());
        Self { banks }
    }

    /// Writes the address of a variable where the loader would.
    pub fn set_address(&mut self, place: AddressOf, address: u64) {
        let at = place.offset_bytes as usize;
        let bank = self.banks.iter_mut().find(|(own, _)| *own == place.bank);
        if let Some(bytes) = bank.and_then(|(_, bytes)| bytes.get_mut(at..at + 8)) {
            bytes.copy_from_slice(&address.wrapping_add(place.plus).to_le_bytes());
        }
    }

    fn bytes(&self, bank: u8) -> Option<&[u8]> {
        self.banks.iter().find(|(own, _)| *own == bank).map(|(_, bytes)| bytes.as_slice())
    }

    /// Bytes of constant bank 0 by their generic address.
    pub fn parameters_at(&self, address: u64, count: usize) -> Option<&[u8]> {
        let start = usize::try_from(address.checked_sub(PARAMETER_WINDOW)?).ok()?;
        self.bytes(0)?.get(start..start.checked_add(count)?)
    }

    /// A word that [`check_word`] let pass.
    pub fn word(&self, word: ConstantWord) -> u32 {
        match word {
            ConstantWord::Immediate(value) => value,
            ConstantWord::Bank { bank, offset } => self.load(bank, offset, Width::WORD).map_or(0, |words| words[0]),
        }
    }

    /// An aligned load of up to 16 bytes, if it lies inside.
    pub fn load(&self, bank: u8, offset: u32, width: Width) -> Option<[u32; 4]> {
        let (start, size) = (offset as usize, usize::from(width.bytes));
        let bytes = self.bytes(bank)?.get(start..start.checked_add(size)?)?;
        if !start.is_multiple_of(size) {
            return None;
        }
        let mut words = [0; 4];
        if size < 4 {
            words[0] = extend(width, bytes);
        } else {
            for (word, chunk) in words.iter_mut().zip(bytes.chunks_exact(4)) {
                *word = u32::from_le_bytes([chunk[0], chunk[1], chunk[2], chunk[3]]);
            }
        }
        Some(words)
    }

    pub fn neighbourhood(&self, bank: u8) -> String {
        match self.bytes(bank) {
            Some(bytes) => format!("constant bank {bank} has {:#x} bytes", bytes.len()),
            None => format!("constant bank {bank} is not in the kernel's metadata"),
        }
    }
}

/// Stack of a thread that calls functions where nothing else is asked for: `cudaLimitStackSize` in the CUDA Runtime API.
const DEFAULT_STACK_BYTES: u32 = 1024;

/// Local memory of a thread. What the compiler says covers no recursion; the driver sets aside its default then.
pub fn stack_bytes(kernel: &Kernel) -> u32 {
    let bytes = kernel.metadata.local_bytes.next_multiple_of(16);
    let calls = || kernel.instructions.iter().any(|instruction| instruction.mnemonic == "CALL");
    if bytes > 0 && calls() { bytes.max(DEFAULT_STACK_BYTES) } else { bytes }
}
