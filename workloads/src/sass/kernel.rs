//! A kernel: the instructions of a listing with what the compiler noted about them (`<kernel>.<arch>.toml`).

use std::path::Path;

use serde::Deserialize;
use toml::Spanned;

use super::arch::{Limits, limits_of};
use super::error::{SassError, line_of, read_toml};
use super::instruction::Instruction;
use super::listing::{Listing, text_of};
use sim_core::config::nearest;

/// One kernel parameter: a place in constant bank 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// From [`Metadata::parameter_base`].
    pub offset_bytes: u32,
    pub size_bytes: u32,
}

/// All that an indirect branch can reach, as byte offsets in the function.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IndirectBranch {
    pub at: u32,
    pub targets: Vec<u32>,
}

/// What the listing of a kernel does not say. Keys are described in `workloads/kernels/README.md`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metadata {
    /// A thread.
    pub registers: u32,
    /// A block, without what lies below `shared_base_bytes`.
    pub static_shared_bytes: u32,
    /// Address of the first byte of static shared memory in the shared window.
    pub shared_base_bytes: u32,
    /// A thread's stack.
    pub local_bytes: u32,
    /// Named barriers, barrier 0 included.
    pub barriers: u32,
    /// Threads a block at most, if the source says so.
    pub max_threads: Option<u32>,
    pub constant_bank_0_bytes: u32,
    /// Byte offset of the parameters in constant bank 0.
    pub parameter_base: u32,
    pub parameter_bytes: u32,
    /// By position.
    pub parameters: Vec<Parameter>,
    /// Contents of banks other than 0, ordered by bank.
    pub constant_banks: Vec<(u8, Vec<u8>)>,
    pub globals: Vec<Global>,
    pub indirect_branches: Vec<IndirectBranch>,
}

/// A variable of the file in global memory, set aside when a launch begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Global {
    pub name: String,
    pub contents: Vec<u8>,
    pub addresses: Vec<AddressOf>,
}

/// Eight bytes of a constant bank that get the address of a variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AddressOf {
    pub bank: u8,
    pub offset_bytes: u32,
    /// Added to the address.
    #[serde(default)]
    pub plus: u64,
}

/// A kernel that can be launched.
#[derive(Clone, Debug, PartialEq)]
pub struct Kernel {
    pub name: String,
    /// `sm_90`.
    pub arch: String,
    /// Listing that it was read from, for messages.
    pub file: String,
    /// Instruction i is at byte offset 16·i.
    pub instructions: Vec<Instruction>,
    pub metadata: Metadata,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    kernel: String,
    arch: Spanned<String>,
    registers: Spanned<u32>,
    static_shared_bytes: Spanned<u32>,
    shared_base_bytes: Option<Spanned<u32>>,
    local_bytes: Option<Spanned<u32>>,
    #[serde(default)]
    barriers: u32,
    max_threads: Option<u32>,
    constant_bank_0_bytes: Spanned<u32>,
    parameter_base: u32,
    parameter_bytes: u32,
    #[serde(default, rename = "build")]
    _build: Option<Build>,
    #[serde(default, rename = "parameter")]
    parameters: Vec<FileParameter>,
    #[serde(default, rename = "constant_bank")]
    constant_banks: Vec<FileBank>,
    #[serde(default, rename = "global")]
    globals: Vec<FileGlobal>,
    #[serde(default, rename = "indirect_branch")]
    indirect_branches: Vec<IndirectBranch>,
}

/// Provenance: read so that a misspelt key is noticed.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Build {
    #[serde(rename = "compiler")]
    _compiler: String,
    #[serde(rename = "flags")]
    _flags: Option<String>,
    #[serde(rename = "source_blake3")]
    _source_blake3: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileParameter {
    index: Spanned<usize>,
    offset_bytes: u32,
    size_bytes: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileBank {
    bank: Spanned<u8>,
    contents_hex: Spanned<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileGlobal {
    name: Spanned<String>,
    size_bytes: usize,
    contents_hex: Option<String>,
    addresses: Vec<AddressOf>,
}

/// Variables of the file cannot be larger, so that a wrong number does not take all memory.
const MAX_GLOBAL_BYTES: usize = 64 << 20;
/// Constant bank 0 cannot be larger.
const MAX_BANK_BYTES: u32 = 64 * 1024;
/// A thread's local memory cannot be larger (CUDA C++ Programming Guide, technical specifications).
const MAX_LOCAL_BYTES: u32 = 512 * 1024;

impl Kernel {
    /// Reads `<kernel>.<arch>.toml` and the listing beside it (`.sass` or `.sass.zst`).
    ///
    /// # Errors
    /// A file is missing, or as [`Kernel::parse`].
    pub fn read(metadata: &Path) -> Result<Self, SassError> {
        let file = metadata.display().to_string();
        let bytes = std::fs::read(metadata).map_err(|error| {
            SassError::new(&file, 0, format!("cannot be read: {error}"), "give the path of `<kernel>.<arch>.toml`")
        })?;
        let plain = metadata.with_extension("sass");
        let listing = if plain.exists() { plain } else { metadata.with_extension("sass.zst") };
        Self::parse(&file, &text_of(&file, &bytes)?, &Listing::read(&listing)?)
    }

    /// Puts metadata and listing together.
    ///
    /// # Errors
    /// [`SassError`] about the metadata, or about a listing of another kernel or architecture.
    pub fn parse(file: &str, text: &str, listing: &Listing) -> Result<Self, SassError> {
        let read: File = read_toml(file, text)?;
        let function = listing.function(&read.kernel)?;
        let arch = read.arch.get_ref();
        let at = |span: std::ops::Range<usize>| line_of(text, span.start);
        limits_for(file, at(read.arch.span()), arch)?;
        if function.arch.as_ref().is_some_and(|listed| listed != arch) {
            let message =
                format!("says {arch}, but the listing is of {}", function.arch.as_deref().unwrap_or("another"));
            return Err(SassError::new(file, at(read.arch.span()), message, "use metadata and listing of one build"));
        }
        let metadata = metadata(file, text, &read)?;
        let instructions = function.instructions.clone();
        let highest = instructions.len() as u32 * super::listing::INSTRUCTION_BYTES;
        for branch in &metadata.indirect_branches {
            if let Some(target) = branch.targets.iter().find(|&&target| target >= highest || target % 16 != 0) {
                let message =
                    format!("indirect branch at {:#x} reaches {target:#x}, where no instruction is", branch.at);
                return Err(SassError::new(file, 0, message, "use metadata and listing of one build"));
            }
        }
        Ok(Self { name: read.kernel, arch: arch.clone(), file: listing.file.clone(), instructions, metadata })
    }

    /// What its architecture allows.
    ///
    /// # Panics
    /// Never for a kernel from [`Kernel::parse`], which refuses unknown architectures.
    pub fn limits(&self) -> &'static Limits {
        limits_of(&self.arch).expect("the architecture was checked when the kernel was read")
    }
}

fn limits_for(file: &str, line: u32, arch: &str) -> Result<&'static Limits, SassError> {
    limits_of(arch).ok_or_else(|| {
        let known: Vec<&str> = super::arch::ARCHITECTURES.iter().map(|limits| limits.arch).collect();
        let help = match nearest(arch, known.iter().copied()) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => format!("known are {}", known.join(", ")),
        };
        SassError::new(file, line, format!("`{arch}` is not a known architecture"), help)
    })
}

fn metadata(file: &str, text: &str, read: &File) -> Result<Metadata, SassError> {
    let error = |span: std::ops::Range<usize>, message: String, help: &str| {
        SassError::new(file, line_of(text, span.start), message, help)
    };
    if !(1..=255).contains(read.registers.get_ref()) {
        let message = format!("registers = {} is not possible", read.registers.get_ref());
        return Err(error(read.registers.span(), message, "a thread has 1 to 255 registers"));
    }
    for (key, value, most) in [
        ("static_shared_bytes", Some(&read.static_shared_bytes), 228 * 1024),
        ("shared_base_bytes", read.shared_base_bytes.as_ref(), 64 * 1024),
        ("local_bytes", read.local_bytes.as_ref(), MAX_LOCAL_BYTES),
        ("constant_bank_0_bytes", Some(&read.constant_bank_0_bytes), MAX_BANK_BYTES),
    ] {
        if let Some(value) = value
            && *value.get_ref() > most
        {
            let message = format!("{key} = {} is not possible", value.get_ref());
            return Err(error(value.span(), message, &format!("at most {most}")));
        }
    }
    let bank_bytes = *read.constant_bank_0_bytes.get_ref();
    let end = u64::from(read.parameter_base) + u64::from(read.parameter_bytes);
    if end > u64::from(bank_bytes) {
        let message = format!("parameters end at {end:#x}, behind the {bank_bytes:#x} bytes of constant bank 0");
        return Err(error(read.constant_bank_0_bytes.span(), message, "use the metadata that the build script wrote"));
    }
    let mut parameters = Vec::new();
    for (position, parameter) in read.parameters.iter().enumerate() {
        if *parameter.index.get_ref() != position {
            let message = format!("parameter {} stands at position {position}", parameter.index.get_ref());
            return Err(error(parameter.index.span(), message, "list the parameters in order, from 0"));
        }
        let end = u64::from(parameter.offset_bytes) + u64::from(parameter.size_bytes);
        if end > u64::from(read.parameter_bytes) || parameter.size_bytes == 0 {
            let message =
                format!("parameter {position} does not lie inside parameter_bytes = {}", read.parameter_bytes);
            return Err(error(parameter.index.span(), message, "use the metadata that the build script wrote"));
        }
        parameters.push(Parameter { offset_bytes: parameter.offset_bytes, size_bytes: parameter.size_bytes });
    }
    let mut constant_banks = Vec::new();
    for bank in &read.constant_banks {
        let contents = bytes_of_hex(bank.contents_hex.get_ref()).ok_or_else(|| {
            error(bank.contents_hex.span(), "contents_hex is not hexadecimal".into(), "two digits a byte, no blanks")
        })?;
        if *bank.bank.get_ref() == 0 || contents.len() > MAX_BANK_BYTES as usize {
            let message = format!("constant bank {} cannot be given here", bank.bank.get_ref());
            return Err(error(bank.bank.span(), message, "banks 1 to 31, up to 64 KiB; bank 0 is filled at launch"));
        }
        constant_banks.push((*bank.bank.get_ref(), contents));
    }
    constant_banks.sort_by_key(|(bank, _)| *bank);
    Ok(Metadata {
        registers: *read.registers.get_ref(),
        static_shared_bytes: *read.static_shared_bytes.get_ref(),
        shared_base_bytes: read.shared_base_bytes.as_ref().map_or(0, |bytes| *bytes.get_ref()),
        local_bytes: read.local_bytes.as_ref().map_or(0, |bytes| *bytes.get_ref()),
        barriers: read.barriers,
        max_threads: read.max_threads,
        constant_bank_0_bytes: bank_bytes,
        parameter_base: read.parameter_base,
        parameter_bytes: read.parameter_bytes,
        parameters,
        globals: globals(&read.globals, &constant_banks).map_err(|(at, message)| {
            error(read.globals[at].name.span(), message, "use the metadata that the build script wrote")
        })?,
        constant_banks,
        indirect_branches: read.indirect_branches.clone(),
    })
}

/// The variables, or which of them is wrong and how.
fn globals(read: &[FileGlobal], banks: &[(u8, Vec<u8>)]) -> Result<Vec<Global>, (usize, String)> {
    let one = |(at, global): (usize, &FileGlobal)| {
        let name = global.name.get_ref();
        let wrong = |what: String| (at, format!("variable `{name}` {what}"));
        if global.size_bytes > MAX_GLOBAL_BYTES {
            return Err(wrong(format!("has {} bytes, more than {MAX_GLOBAL_BYTES}", global.size_bytes)));
        }
        let contents = match &global.contents_hex {
            None => vec![0; global.size_bytes],
            Some(digits) => bytes_of_hex(digits)
                .filter(|contents| contents.len() == global.size_bytes)
                .ok_or_else(|| wrong(format!("has contents_hex of other than {} bytes", global.size_bytes)))?,
        };
        for AddressOf { bank, offset_bytes, .. } in &global.addresses {
            let bytes = banks.iter().find(|(own, _)| own == bank).map_or(0, |(_, contents)| contents.len());
            if *offset_bytes as usize + 8 > bytes {
                return Err(wrong(format!(
                    "has its address at {offset_bytes:#x} of constant bank {bank}, which has {bytes} bytes"
                )));
            }
        }
        Ok(Global { name: name.clone(), contents, addresses: global.addresses.clone() })
    };
    read.iter().enumerate().map(one).collect()
}

fn bytes_of_hex(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) || !text.is_ascii() {
        return None;
    }
    (0..text.len() / 2).map(|at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).ok()).collect()
}
