//! `cargo xtask kernel-metadata`: what a listing does not say about a kernel, read from the compiled file (cubin).
//!
//! A cubin is an ELF file. A kernel `k` has its code in `.text.k`, its shared memory in `.nv.shared.k`, its constant
//! bank n in `.nv.constant<n>.k`, and its attributes in `.nv.info.k`; some attributes of all kernels are in `.nv.info`.
//! The names and encodings of the attributes are those that `cuobjdump -elf` prints; [`attributes`] reads them.

mod attributes;
#[cfg(test)]
mod tests;

use std::fmt::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail, ensure};
use attributes::{Attribute, IndirectBranch, Parameter};
use object::elf::{EM_CUDA, FileHeader64, RelocationType, SHT_NOBITS, SHT_REL, SHT_RELA, STT_FUNC, Sym64};
use object::read::elf::{FileHeader, Rel, Rela, SectionHeader, SectionTable, Sym};
use object::{Endianness, SectionIndex, SymbolIndex};

/// Set in `st_other` of a function that the host can launch.
const STO_CUDA_ENTRY: u8 = 0x10;
/// A 64-bit address (R_CUDA_64).
const RELOCATION_64: RelocationType = RelocationType(2);
/// Parameters and launch geometry.
const PARAMETER_BANK: u8 = 0;
/// What the assembler says of itself.
const TOOL_NOTE: &str = ".note.nv.tkinfo";
/// First virtual architecture whose shared window begins with a part of the system's own, and how large it is.
const RESERVED_SHARED_SINCE_SM: u32 = 90;
const RESERVED_SHARED_BYTES: u64 = 1024;

/// What the cubin says of one kernel.
#[derive(Debug, Clone, PartialEq)]
pub struct Metadata {
    pub kernel: String,
    pub arch: String,
    /// Per thread.
    pub registers: u32,
    /// The kernel's own shared memory, without dynamic and reserved bytes.
    pub static_shared_bytes: u64,
    /// Address of the first of them in the shared window.
    pub shared_base_bytes: u64,
    /// Per thread: frames of the kernel and of what it calls.
    pub local_bytes: u32,
    /// Named barriers, barrier 0 included.
    pub barriers: u32,
    /// Threads a block from `__launch_bounds__`.
    pub max_threads: Option<u32>,
    pub constant_bank_0_bytes: u64,
    pub parameter_base: u32,
    pub parameter_bytes: u32,
    /// In the order of the arguments.
    pub parameters: Vec<Parameter>,
    /// Banks other than [`PARAMETER_BANK`] with their contents, in the order of their numbers.
    pub constant_banks: Vec<(u8, Vec<u8>)>,
    /// Variables of the file that constant banks hold addresses of.
    pub globals: Vec<Global>,
    pub indirect_branches: Vec<IndirectBranch>,
    pub compiler: String,
}

/// A variable in global memory.
#[derive(Debug, Clone, PartialEq)]
pub struct Global {
    pub name: String,
    pub bytes: u64,
    /// `None`: zeros.
    pub contents: Option<Vec<u8>>,
    /// Words of constant banks that get its address: bank, offset, what is added.
    pub addresses: Vec<(u8, u64, u64)>,
}

/// Runs the command with what follows its name on the command line.
pub fn run(arguments: impl Iterator<Item = String>) -> Result<()> {
    let (mut cubins, mut out, mut sources, mut flags) = (Vec::new(), None, None, String::new());
    let mut arguments = arguments;
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().with_context(|| format!("`{argument}` needs a value"));
        match argument.as_str() {
            "--out" => out = Some(PathBuf::from(value()?)),
            "--sources" => sources = Some(PathBuf::from(value()?)),
            "--flags" => flags = value()?,
            option if option.starts_with('-') => bail!("unknown option `{option}`: --out, --sources or --flags"),
            _ => cubins.push(PathBuf::from(argument)),
        }
    }
    let out = out.context("--out DIR is missing: where to write the metadata")?;
    let sources = sources.context("--sources DIR is missing: where the .cu files are")?;
    ensure!(!cubins.is_empty(), "no cubin given");

    for cubin in cubins {
        let data = std::fs::read(&cubin).with_context(|| format!("cannot read {}", cubin.display()))?;
        for metadata in read(&data).with_context(|| cubin.display().to_string())? {
            let source = sources.join(format!("{}.cu", metadata.kernel));
            let text = to_toml(&metadata, &flags, &hash_source(&source)?)?;
            let path = out.join(format!("{}.{}.toml", metadata.kernel, metadata.arch));
            std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        }
    }
    Ok(())
}

/// BLAKE3 of a source file, in hexadecimal.
fn hash_source(path: &Path) -> Result<String> {
    let source = std::fs::read(path)
        .with_context(|| format!("cannot read {}, the source of the kernel of that name", path.display()))?;
    Ok(blake3::hash(&source).to_hex().to_string())
}

/// The kernels of a cubin, in the order of its symbol table.
pub fn read(data: &[u8]) -> Result<Vec<Metadata>> {
    let header = FileHeader64::<Endianness>::parse(data).context("not a 64-bit ELF file")?;
    let endian = header.endian()?;
    ensure!(header.e_machine(endian) == EM_CUDA, "an ELF file, but not one for a GPU");
    let sections = header.sections(endian, data)?;
    let symbols = sections.symbols(endian, data, object::elf::SHT_SYMTAB)?;
    let file = Cubin { endian, data, sections };
    let sm = (header.e_flags(endian).0 >> 8) & 0xff;
    let shared_attributes = attributes::read(file.section(".nv.info").unwrap_or_default()).context(".nv.info")?;

    let mut kernels = Vec::new();
    for (index, symbol) in symbols.enumerate() {
        if symbol.st_type() == STT_FUNC && symbol.st_other().0 & STO_CUDA_ENTRY != 0 {
            let name = std::str::from_utf8(symbols.symbol_name(endian, symbol)?).context("name of a kernel")?;
            let metadata = read_kernel(&file, &shared_attributes, name, index, sm);
            kernels.push(metadata.with_context(|| format!("kernel `{name}`"))?);
        }
    }
    ensure!(!kernels.is_empty(), "holds no kernel");
    Ok(kernels)
}

fn read_kernel(
    file: &Cubin,
    shared_attributes: &[Attribute],
    name: &str,
    SymbolIndex(symbol): SymbolIndex,
    sm: u32,
) -> Result<Metadata> {
    let info_name = format!(".nv.info.{name}");
    let info = file.section(&info_name).with_context(|| format!("section {info_name} is missing"))?;
    let attributes = attributes::read(info).context(info_name)?;

    let mut registers = None;
    let (mut frame_bytes, mut stack_bytes) = (0, 0);
    for attribute in shared_attributes {
        match *attribute {
            Attribute::RegisterCount { symbol: of, count } if of as usize == symbol => registers = Some(count),
            Attribute::FrameSize { symbol: of, bytes } if of as usize == symbol => frame_bytes = bytes,
            Attribute::MinStackSize { symbol: of, bytes } if of as usize == symbol => stack_bytes = bytes,
            _ => {}
        }
    }

    let mut parameter_bank = None;
    let mut parameters: Vec<Parameter> = Vec::new();
    let (mut barriers, mut max_threads) = (0, None);
    let mut indirect_branches = Vec::new();
    for attribute in attributes {
        match attribute {
            Attribute::ParameterBank { base, bytes } => parameter_bank = Some((base, bytes)),
            Attribute::Parameter(parameter) => parameters.push(parameter),
            Attribute::BarrierCount(count) => barriers = count,
            Attribute::MaxThreads(threads) => max_threads = Some(threads),
            Attribute::IndirectBranches(branches) => indirect_branches.extend(branches),
            _ => {}
        }
    }
    parameters.sort_by_key(|parameter| parameter.index);
    for (expected, parameter) in parameters.iter().enumerate() {
        ensure!(parameter.index as usize == expected, "parameter {expected} is not described");
    }
    indirect_branches.sort_by_key(|branch| branch.at);

    let constant_banks = file.constant_banks(name)?;
    let bank_0 = constant_banks.iter().find(|(bank, _)| *bank == PARAMETER_BANK);
    let constant_bank_0_bytes = bank_0.map_or(0, |(_, contents)| contents.len() as u64);
    let (parameter_base, parameter_bytes) = match parameter_bank {
        Some(bank) => bank,
        None if parameters.is_empty() => (constant_bank_0_bytes as u32, 0),
        None => bail!("has parameters but no base of them"),
    };

    let shared_base_bytes = if sm >= RESERVED_SHARED_SINCE_SM { RESERVED_SHARED_BYTES } else { 0 };
    let static_shared_bytes = match file.section_bytes(&format!(".nv.shared.{name}")) {
        Some(all) => all.checked_sub(shared_base_bytes).context("shared memory is smaller than its reserved part")?,
        None => 0,
    };

    Ok(Metadata {
        kernel: name.to_owned(),
        arch: file.arch(sm)?,
        registers: registers.context("number of registers is missing in .nv.info")?,
        static_shared_bytes,
        shared_base_bytes,
        local_bytes: frame_bytes.max(stack_bytes),
        barriers,
        max_threads,
        constant_bank_0_bytes,
        parameter_base,
        parameter_bytes,
        parameters,
        globals: file.globals(name)?,
        constant_banks: constant_banks.into_iter().filter(|(bank, _)| *bank != PARAMETER_BANK).collect(),
        indirect_branches,
        compiler: file.compiler()?,
    })
}

/// An ELF file whose sections are looked up by name.
struct Cubin<'data> {
    endian: Endianness,
    data: &'data [u8],
    sections: SectionTable<'data, FileHeader64<Endianness>>,
}

impl<'data> Cubin<'data> {
    fn section(&self, name: &str) -> Option<&'data [u8]> {
        let (_, section) = self.sections.section_by_name(self.endian, name.as_bytes())?;
        section.data(self.endian, self.data).ok()
    }

    /// Size of a section, which may occupy no bytes of the file.
    fn section_bytes(&self, name: &str) -> Option<u64> {
        let (_, section) = self.sections.section_by_name(self.endian, name.as_bytes())?;
        Some(section.sh_size(self.endian))
    }

    /// The constant banks that a kernel sees: its own and those of the whole file.
    fn constant_banks(&self, kernel: &str) -> Result<Vec<(u8, Vec<u8>)>> {
        let mut banks = Vec::new();
        for section in self.sections.iter() {
            let name = String::from_utf8_lossy(self.sections.section_name(self.endian, section)?);
            let Some(number) = bank_of(&name, kernel)? else { continue };
            ensure!(section.sh_type(self.endian) != SHT_NOBITS, "constant bank {number} has no contents");
            banks.push((number, section.data(self.endian, self.data)?.to_vec()));
        }
        banks.sort();
        Ok(banks)
    }

    /// The variables whose addresses the loader writes into the constant banks that a kernel sees.
    fn globals(&self, kernel: &str) -> Result<Vec<Global>> {
        let mut globals: Vec<Global> = Vec::new();
        for section in self.sections.iter() {
            let kind = section.sh_type(self.endian);
            if kind != SHT_REL && kind != SHT_RELA {
                continue;
            }
            let target = self.sections.section(section.info_link(self.endian))?;
            let name = String::from_utf8_lossy(self.sections.section_name(self.endian, target)?);
            let code = name == format!(".text.{kernel}") || name.starts_with(".nv.global");
            ensure!(
                !code || section.sh_size(self.endian) == 0,
                "{name} holds addresses that are known only after loading"
            );
            let Some(bank) = bank_of(&name, kernel)? else { continue };
            let symbols = self.sections.symbol_table_by_index(self.endian, self.data, section.link(self.endian))?;
            let mut words = Vec::new();
            if let Some((rel, _)) = section.rel(self.endian, self.data)? {
                words.extend(rel.iter().map(|entry| {
                    (entry.r_offset(self.endian), entry.r_type(self.endian), entry.symbol(self.endian), 0)
                }));
            }
            if let Some((rela, _)) = section.rela(self.endian, self.data)? {
                words.extend(rela.iter().map(|entry| {
                    (
                        entry.r_offset(self.endian),
                        entry.r_type(self.endian, false),
                        entry.symbol(self.endian, false),
                        entry.r_addend(self.endian),
                    )
                }));
            }
            for (offset, kind, symbol, plus) in words {
                let symbol = symbols.symbol(symbol.context("a relocation without symbol")?)?;
                let of = String::from_utf8_lossy(symbols.symbol_name(self.endian, symbol)?).into_owned();
                ensure!(
                    kind == RELOCATION_64,
                    "constant bank {bank} holds an address of `{of}` in a form that is not known"
                );
                let (bytes, contents) = self.variable(symbol).with_context(|| {
                    format!("constant bank {bank} holds the address of `{of}`, which is no variable of the file")
                })?;
                let address = (bank, offset, u64::try_from(plus)?);
                match globals.iter_mut().find(|global| global.name == of) {
                    Some(global) => global.addresses.push(address),
                    None => globals.push(Global { name: of, bytes, contents, addresses: vec![address] }),
                }
            }
        }
        globals.sort_by(|a, b| a.addresses.cmp(&b.addresses));
        Ok(globals)
    }

    /// Size and initial contents of what a symbol stands for.
    fn variable(&self, symbol: &Sym64<Endianness>) -> Result<(u64, Option<Vec<u8>>)> {
        let section = self.sections.section(SectionIndex(symbol.st_shndx(self.endian).0.into()))?;
        let name = String::from_utf8_lossy(self.sections.section_name(self.endian, section)?);
        ensure!(name.starts_with(".nv.global"), "it is in {name}");
        let bytes = symbol.st_size(self.endian);
        if section.sh_type(self.endian) == SHT_NOBITS {
            return Ok((bytes, None));
        }
        let start = usize::try_from(symbol.st_value(self.endian))?;
        let contents = section.data(self.endian, self.data)?.get(start..start + usize::try_from(bytes)?);
        Ok((bytes, Some(contents.context("lies behind its section")?.to_vec())))
    }

    /// Tool and version.
    fn compiler(&self) -> Result<String> {
        self.tool_string("Cuda compilation tools")?.with_context(|| format!("section {TOOL_NOTE} names no compiler"))
    }

    /// `sm_90`, or `sm_90a` where the command line says so: the ELF flags of both are the same.
    fn arch(&self, sm: u32) -> Result<String> {
        let options = self.tool_string("-arch ")?.unwrap_or_default();
        let named = options.split_whitespace().nth(1).unwrap_or_default();
        let plain = format!("sm_{sm}");
        Ok(if named.strip_suffix('a') == Some(&plain) { named.to_owned() } else { plain })
    }

    /// The first string that begins so in the note that the assembler leaves: its payload ends with a table of strings
    /// (tool, version, build, command line).
    fn tool_string(&self, beginning: &str) -> Result<Option<String>> {
        let note = self.section(TOOL_NOTE).with_context(|| format!("section {TOOL_NOTE} is missing"))?;
        let start = note.windows(beginning.len()).position(|window| window == beginning.as_bytes());
        Ok(start.map(|start| {
            let end = note[start..].iter().position(|&byte| byte == 0).map_or(note.len(), |length| start + length);
            String::from_utf8_lossy(&note[start..end]).into_owned()
        }))
    }
}

/// Number of the constant bank that a section holds for a kernel: its own, or one of the whole file.
fn bank_of(section: &str, kernel: &str) -> Result<Option<u8>> {
    let Some(rest) = section.strip_prefix(".nv.constant") else { return Ok(None) };
    let (number, of) = rest.split_once('.').unwrap_or((rest, kernel));
    if of != kernel {
        return Ok(None);
    }
    number.parse().map(Some).map_err(|_| anyhow!("section {section}: not the number of a bank"))
}

/// The metadata file: its keys are described in `workloads/kernels/README.md`.
fn to_toml(metadata: &Metadata, flags: &str, source_blake3: &str) -> Result<String> {
    let quoted = |text: &str| toml::Value::from(text).to_string();
    let mut text = String::new();
    let out = &mut text;
    writeln!(out, "# Written by scripts/build-sass.sh from the compiled kernel. See workloads/kernels/README.md.")?;
    writeln!(out, "kernel = {}", quoted(&metadata.kernel))?;
    writeln!(out, "arch = {}", quoted(&metadata.arch))?;
    writeln!(out, "registers = {}", metadata.registers)?;
    writeln!(out, "static_shared_bytes = {}", metadata.static_shared_bytes)?;
    writeln!(out, "shared_base_bytes = {}", metadata.shared_base_bytes)?;
    writeln!(out, "local_bytes = {}", metadata.local_bytes)?;
    writeln!(out, "barriers = {}", metadata.barriers)?;
    if let Some(max_threads) = metadata.max_threads {
        writeln!(out, "max_threads = {max_threads}")?;
    }
    writeln!(out, "constant_bank_0_bytes = {}", metadata.constant_bank_0_bytes)?;
    writeln!(out, "parameter_base = {:#x}", metadata.parameter_base)?;
    writeln!(out, "parameter_bytes = {}", metadata.parameter_bytes)?;
    writeln!(out, "\n[build]")?;
    writeln!(out, "compiler = {}", quoted(&metadata.compiler))?;
    writeln!(out, "flags = {}", quoted(flags))?;
    writeln!(out, "source_blake3 = {}", quoted(source_blake3))?;
    for parameter in &metadata.parameters {
        writeln!(out, "\n[[parameter]]")?;
        writeln!(out, "index = {}", parameter.index)?;
        writeln!(out, "offset_bytes = {:#x}", parameter.offset_bytes)?;
        writeln!(out, "size_bytes = {}", parameter.size_bytes)?;
    }
    for (bank, contents) in &metadata.constant_banks {
        writeln!(out, "\n[[constant_bank]]")?;
        writeln!(out, "bank = {bank}")?;
        write!(out, "contents_hex = \"")?;
        for byte in contents {
            write!(out, "{byte:02x}")?;
        }
        writeln!(out, "\"")?;
    }
    for global in &metadata.globals {
        writeln!(out, "\n[[global]]")?;
        writeln!(out, "name = {}", quoted(&global.name))?;
        writeln!(out, "size_bytes = {}", global.bytes)?;
        if let Some(contents) = &global.contents {
            let digits: String = contents.iter().map(|byte| format!("{byte:02x}")).collect();
            writeln!(out, "contents_hex = \"{digits}\"")?;
        }
        let places = global.addresses.iter();
        let places: Vec<String> = places
            .map(|(bank, offset, plus)| format!("{{ bank = {bank}, offset_bytes = {offset:#x}, plus = {plus:#x} }}"))
            .collect();
        writeln!(out, "addresses = [{}]", places.join(", "))?;
    }
    for branch in &metadata.indirect_branches {
        writeln!(out, "\n[[indirect_branch]]")?;
        writeln!(out, "at = {:#x}", branch.at)?;
        let targets: Vec<String> = branch.targets.iter().map(|target| format!("{target:#x}")).collect();
        writeln!(out, "targets = [{}]", targets.join(", "))?;
    }
    Ok(text)
}
