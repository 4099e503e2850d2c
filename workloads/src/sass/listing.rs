//! Reads listings: what `cuobjdump -sass` prints, or test programs with the control field in text form.
//!
//! ```text
//!    Function : saxpy
//!         /*0010*/                   S2R R0, SR_TID.X ;            /* 0x0000000000007919 */   low word
//!                                                                  /* 0x000e220000002100 */   high word
//! ```
//!
//! or, a line an instruction, addresses counting up by 16:
//!
//! ```text
//! B------:R-:W0:-:S02  S2R R0, SR_TID.X
//! ```
//!
//! Reuse marks stand both in the text and, for opcodes with register sources, in the control field. Both are read and must
//! agree: it is the cheapest sign that a listing was edited or that a word was decoded wrongly.

use std::path::Path;

use super::control::Control;
use super::error::SassError;
use super::instruction::{Instruction, Operand, RegisterFile};
use super::opcodes::adds_in_slot_2;
use super::parse::{parse_instruction, parse_with_control};

/// Bytes of an instruction.
pub const INSTRUCTION_BYTES: u32 = 16;
/// A listing this long is no listing (guards against a compressed file that expands without end).
const MAX_LISTING_BYTES: u64 = 256 << 20;

/// One function of a listing.
#[derive(Clone, Debug, PartialEq)]
pub struct Function {
    pub name: String,
    /// `sm_90`, when the listing says it.
    pub arch: Option<String>,
    /// In address order without gaps: the one at byte offset 16·i is at index i.
    pub instructions: Vec<Instruction>,
}

/// A listing with all its functions.
#[derive(Clone, Debug, PartialEq)]
pub struct Listing {
    pub file: String,
    pub functions: Vec<Function>,
}

impl Listing {
    /// Reads a file; one that ends in `.zst` is decompressed.
    ///
    /// # Errors
    /// The file cannot be read, is not text, or as [`Listing::parse`].
    pub fn read(path: &Path) -> Result<Self, SassError> {
        let file = path.display().to_string();
        let bytes = std::fs::read(path).map_err(|error| {
            SassError::new(&file, 0, format!("cannot be read: {error}"), "give the path of a listing")
        })?;
        Self::parse_bytes(&file, &bytes)
    }

    /// As [`Listing::read`], on contents at hand; `file` decides about decompression and is named in errors.
    ///
    /// # Errors
    /// As [`Listing::read`].
    pub fn parse_bytes(file: &str, bytes: &[u8]) -> Result<Self, SassError> {
        let text = text_of(file, bytes)?;
        Self::parse(file, &text)
    }

    /// Reads the text of a listing.
    ///
    /// # Errors
    /// [`SassError`] with the line that is not understood, or that disagrees with its encoding or with its neighbours.
    pub fn parse(file: &str, text: &str) -> Result<Self, SassError> {
        let mut reader = Reader { file, arch: None, functions: Vec::new(), waiting: None };
        for (number, line) in text.lines().enumerate() {
            reader.line(number as u32 + 1, line)?;
        }
        if let Some((_, line)) = reader.waiting {
            return Err(reader.error(line, "the high word of this instruction is missing", HIGH_WORD));
        }
        if reader.functions.iter().all(|function| function.instructions.is_empty()) {
            return Err(reader.error(0, "holds no instruction", "expected the output of `cuobjdump -sass`"));
        }
        Ok(Self { file: file.to_owned(), functions: reader.functions })
    }

    /// The function of that name.
    ///
    /// # Errors
    /// There is none; the help names those there are.
    pub fn function(&self, name: &str) -> Result<&Function, SassError> {
        self.functions.iter().find(|function| function.name == name).ok_or_else(|| {
            let names: Vec<&str> = self.functions.iter().map(|function| function.name.as_str()).collect();
            let help = format!("it holds {}", names.join(", "));
            SassError::new(&self.file, 0, format!("holds no function `{name}`"), help)
        })
    }
}

/// Decompresses where the name ends in `.zst`, and checks that the result is text.
pub(crate) fn text_of(file: &str, bytes: &[u8]) -> Result<String, SassError> {
    let not_text = |_| SassError::new(file, 0, "is not text (UTF-8)", "expected a listing or a TOML file");
    if !file.ends_with(".zst") {
        return String::from_utf8(bytes.to_vec()).map_err(not_text);
    }
    let broken = |error: std::io::Error| {
        SassError::new(file, 0, format!("cannot be decompressed: {error}"), "the name says zstd")
    };
    let decoder = zstd::stream::read::Decoder::new(bytes).map_err(broken)?;
    let mut contents = Vec::new();
    std::io::Read::read_to_end(&mut std::io::Read::take(decoder, MAX_LISTING_BYTES + 1), &mut contents)
        .map_err(broken)?;
    if contents.len() as u64 > MAX_LISTING_BYTES {
        return Err(SassError::new(file, 0, "expands to more than 256 MiB", "a listing is smaller"));
    }
    String::from_utf8(contents).map_err(not_text)
}

const HIGH_WORD: &str = "expected a line with the upper 64 bits, as in `/* 0x000e220000002100 */`";

struct Reader<'a> {
    file: &'a str,
    arch: Option<String>,
    functions: Vec<Function>,
    /// Low word of the instruction that was read last, and its line, while its high word is still to come.
    waiting: Option<(u64, u32)>,
}

impl Reader<'_> {
    fn error(&self, line: u32, message: impl Into<String>, help: impl Into<String>) -> SassError {
        SassError::new(self.file, line, message, help)
    }

    fn line(&mut self, number: u32, line: &str) -> Result<(), SassError> {
        let text = line.trim();
        if let Some((low, at)) = self.waiting {
            let high =
                word(text).ok_or_else(|| self.error(number, "is not the high word of an instruction", HIGH_WORD))?;
            self.waiting = None;
            return self.encoding(low, high, at);
        }
        if let Some(name) = text.strip_prefix("Function :").map(str::trim) {
            let name = name.to_owned();
            self.functions.push(Function { name, arch: self.arch.clone(), instructions: Vec::new() });
        } else if let Some(arch) = text.strip_prefix("code for ").or_else(|| text.strip_prefix("arch = ")) {
            self.arch = Some(arch.trim().to_owned());
        } else if text.starts_with("/*") {
            self.instruction_with_address(number, text)?;
        } else if text.starts_with('B') && text.as_bytes().get(7) == Some(&b':') {
            let instruction = parse_with_control(text).map_err(|error| self.error(number, error.0, ""))?;
            let control = Control { reuse: reuse_marks(&instruction), ..instruction.control };
            self.push(number, None, Instruction { control, ..instruction })?;
        } else if !is_decoration(text) {
            let help = "expected `/*0000*/ MNEMONIC operands ;`, a `Function :` header, or a control field as in \
                        `B------:R-:W-:-:S01  MNEMONIC operands`";
            return Err(self.error(number, format!("`{}` is no line of a listing", shorten(text)), help));
        }
        Ok(())
    }

    /// `/*0010*/ text ; /* 0x… */`
    fn instruction_with_address(&mut self, number: u32, text: &str) -> Result<(), SassError> {
        let wrong =
            |what: &str| self.error(number, what, "expected `/*0010*/ MNEMONIC operands ; /* 0x0000000000007919 */`");
        let (address, rest) = text[2..].split_once("*/").ok_or_else(|| wrong("the address has no end"))?;
        let address = u32::from_str_radix(address.trim(), 16).map_err(|_| wrong("the address is not hexadecimal"))?;
        let (instruction, encoding) = rest.split_once(';').ok_or_else(|| wrong("no `;` ends the instruction"))?;
        let low = match encoding.trim() {
            "" => None,
            text => Some(word(text).ok_or_else(|| wrong("the encoding behind `;` is not a 64-bit word"))?),
        };
        let instruction = parse_instruction(instruction).map_err(|error| self.error(number, error.0, ""))?;
        self.push(number, Some(address), instruction)?;
        self.waiting = low.map(|low| (low, number));
        Ok(())
    }

    fn push(&mut self, line: u32, address: Option<u32>, instruction: Instruction) -> Result<(), SassError> {
        if self.functions.is_empty() {
            self.functions.push(Function { name: "main".into(), arch: self.arch.clone(), instructions: Vec::new() });
        }
        let instructions = self.functions.last().map_or(0, |function| function.instructions.len());
        let pc = instructions as u32 * INSTRUCTION_BYTES;
        if address.is_some_and(|address| address != pc) {
            let message = format!("address {:#x} follows {} instructions", address.unwrap_or(0), instructions);
            return Err(self.error(line, message, format!("expected {pc:#x}: nothing may be missing or doubled")));
        }
        if let Some(function) = self.functions.last_mut() {
            function.instructions.push(Instruction { pc, line, ..instruction });
        }
        Ok(())
    }

    fn encoding(&mut self, low: u64, high: u64, line: u32) -> Result<(), SassError> {
        let Some(instruction) = self.functions.last_mut().and_then(|function| function.instructions.last_mut()) else {
            return Ok(());
        };
        let mut control = Control::from_high_word(high);
        let marks = reuse_marks(instruction);
        if marks != 0 && marks != control.reuse {
            let message = format!(
                "`.reuse` in `{}` stands at operand slots {}, but the encoding says {}",
                instruction.text,
                slots(marks),
                slots(control.reuse)
            );
            let help = "text and encoding are of different instructions, or one of them was edited";
            return Err(SassError::new(self.file, line, message, help));
        }
        // Opcodes without register sources use these bits otherwise; the disassembler then prints no mark.
        control.reuse = marks;
        instruction.control = control;
        instruction.encoding = Some((low, high));
        Ok(())
    }
}

fn slots(bits: u8) -> String {
    let list: Vec<String> = (0..4).filter(|slot| bits >> slot & 1 == 1).map(|slot| slot.to_string()).collect();
    if list.is_empty() { "none".to_owned() } else { list.join(" and ") }
}

fn shorten(text: &str) -> String {
    if text.chars().count() <= 60 { text.to_owned() } else { text.chars().take(60).chain("…".chars()).collect() }
}

/// `/* 0x000e220000002100 */`
fn word(text: &str) -> Option<u64> {
    let digits = text.strip_prefix("/*")?.strip_suffix("*/")?.trim().strip_prefix("0x")?;
    if digits.len() == 16 { u64::from_str_radix(digits, 16).ok() } else { None }
}

/// Lines that carry nothing an executor needs: headers of the container, directives, separators, comments.
fn is_decoration(text: &str) -> bool {
    const HEADERS: [&str; 8] = [
        "Fatbin ",
        "host = ",
        "compile_size = ",
        "code version = ",
        "producer = ",
        "compressed",
        "identifier",
        "=====",
    ];
    text.is_empty()
        || text.starts_with(['.', '#'])
        || text.starts_with("//")
        || HEADERS.iter().any(|header| text.starts_with(header))
}

/// Reuse marks of the text as operand-slot bits: slot k is the k-th source that is neither a predicate nor a barrier
/// (of sums, see [`adds_in_slot_2`]).
fn reuse_marks(instruction: &Instruction) -> u8 {
    let mut marks = 0;
    let mut slot = 0u32;
    for operand in &instruction.operands[first_source(instruction)..] {
        let (is_slot, marked) = match operand {
            Operand::Register(register) => (true, register.reuse),
            Operand::Memory(memory) => (true, memory.base.as_ref().is_some_and(|base| base.reuse)),
            Operand::Integer(_) | Operand::Float(_) | Operand::Constant(_) => (true, false),
            _ => (false, false),
        };
        if marked && slot < 4 {
            marks |= 1 << slot;
        }
        slot += u32::from(is_slot);
        if slot == 1 && adds_in_slot_2(&instruction.mnemonic) {
            slot = 2;
        }
    }
    // Opcodes with one source encode it in the second slot.
    let one_source = ["MOV", "MUFU", "I2F", "F2I", "F2F", "POPC", "FLO", "BREV", "FRND", "I2FP", "R2UR", "IABS"];
    if one_source.contains(&instruction.mnemonic.as_str()) { marks << 1 } else { marks }
}

/// Index of the first operand that is a source.
fn first_source(instruction: &Instruction) -> usize {
    const NO_REGISTER_RESULT: [&str; 16] = [
        "ISETP", "FSETP", "DSETP", "HSETP2", "UISETP", "STG", "STS", "STL", "ST", "RED", "REDG", "BRX", "RET", "FCHK",
        "R2P", "PLOP3",
    ];
    if NO_REGISTER_RESULT.contains(&instruction.mnemonic.as_str()) {
        return 0;
    }
    let result = instruction.operands.iter().position(|operand| {
        matches!(operand, Operand::Register(register) if matches!(register.file, RegisterFile::Vector | RegisterFile::Uniform))
    });
    result.map_or(0, |at| at + 1)
}
