//! One instruction line: `[line] pc mask ndst dst* opcode nsrc src* width [mode addresses] [immediate]`.

use rustc_hash::FxHashMap;

use super::header::{Header, Problem};

/// Opcode with the vector registers that a line lists.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Form {
    /// Mnemonic with all modifiers.
    pub opcode: String,
    /// First register of each operand; 255 is RZ.
    pub destinations: Vec<u8>,
    pub sources: Vec<u8>,
}

/// Distinct forms of a trace: a line repeats for every warp, its form is read once.
#[derive(Debug, Default)]
pub struct Forms {
    all: Vec<Form>,
    by_text: FxHashMap<String, u32>,
}

impl Forms {
    pub fn get(&self, form: u32) -> &Form {
        &self.all[form as usize]
    }

    fn number(&mut self, text: &str, read: impl FnOnce() -> Result<Form, Problem>) -> Result<u32, Problem> {
        if let Some(&known) = self.by_text.get(text) {
            return Ok(known);
        }
        let form = read()?;
        self.all.push(form);
        let number = self.all.len() as u32 - 1;
        self.by_text.insert(text.to_owned(), number);
        Ok(number)
    }
}

/// One warp instruction as traced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceOp {
    /// Byte offset in its function.
    pub pc: u32,
    /// Lanes that executed it.
    pub mask: u32,
    /// Of [`Forms`].
    pub form: u32,
    /// First of its addresses in the block; one for each bit of the mask. `None`: no memory operand.
    pub first_address: Option<u32>,
    /// 0 before version 5.
    pub immediate: i64,
    /// Line of the file, from 1.
    pub line: u32,
}

fn problem(message: impl Into<String>, help: impl Into<String>) -> Problem {
    (message.into(), help.into())
}

const FORM: &str = "an instruction reads: pc, mask of 8 hex digits, count of destinations, destinations, opcode, count of \
                    sources, sources, width, [mode and addresses], [immediate]";

/// Words of a line with where they stand.
struct Words<'a> {
    line: &'a str,
    rest: &'a str,
}

impl<'a> Words<'a> {
    fn next(&mut self) -> Option<&'a str> {
        let text = self.rest.trim_start();
        let end = text.find(char::is_whitespace).unwrap_or(text.len());
        let (word, rest) = text.split_at(end);
        self.rest = rest;
        (!word.is_empty()).then_some(word)
    }

    fn need(&mut self, what: &str) -> Result<&'a str, Problem> {
        self.next().ok_or_else(|| problem(format!("the line ends where {what} should stand"), FORM))
    }

    /// Byte offset of what comes next.
    fn at(&self) -> usize {
        self.line.len() - self.rest.len()
    }
}

/// Reads line `number`, an instruction; its addresses are added to `addresses`.
pub(super) fn read(
    line: &str,
    header: &Header,
    forms: &mut Forms,
    addresses: &mut Vec<u64>,
    number: u32,
) -> Result<TraceOp, Problem> {
    let mut words = Words { line, rest: line };
    if header.has_line_numbers {
        let word = words.need("a source line")?;
        word.parse::<u32>().map_err(|_| problem(format!("`{word}` is no number of a source line"), FORM))?;
    }
    let word = words.need("the pc")?;
    let pc = u32::from_str_radix(word, 16).map_err(|_| problem(format!("`{word}` is no hexadecimal pc"), FORM))?;
    let word = words.need("the mask")?;
    let mask = (word.len() == 8).then(|| u32::from_str_radix(word, 16).ok()).flatten().ok_or_else(|| {
        problem(format!("`{word}` is no mask of lanes"), "a mask has 8 hexadecimal digits, as in 0000ffff")
    })?;
    let form_at = words.at();
    let count = |words: &mut Words<'_>, what: &str| -> Result<usize, Problem> {
        let word = words.need(what)?;
        let read = word.parse().ok().filter(|&count: &usize| count <= 8);
        read.ok_or_else(|| problem(format!("`{word}` is no {what}"), FORM))
    };
    let destinations = count(&mut words, "count of destinations")?;
    for _ in 0..destinations {
        words.need("a destination")?;
    }
    words.need("the opcode")?;
    let sources = count(&mut words, "count of sources")?;
    for _ in 0..sources {
        words.need("a source")?;
    }
    let text = line[form_at..words.at()].trim();
    let form = forms.number(text, || form(text))?;
    let word = words.need("the width")?;
    let width: u32 = word.parse().map_err(|_| problem(format!("`{word}` is no width in bytes"), FORM))?;
    let first_address = if width == 0 {
        None
    } else {
        let first = addresses.len() as u32;
        read_addresses(&mut words, mask, addresses, header.version >= 5)?;
        Some(first)
    };
    let mut immediate = 0;
    if header.version >= 5 {
        let word = words.need("the immediate")?;
        immediate = word.parse().map_err(|_| {
            problem(format!("`{word}` is no immediate"), "version 5 ends every line with one decimal number, 0 if none")
        })?;
    }
    match words.next() {
        // Values that a store wrote, of an extended tracer.
        None | Some("STORE_DATA") => {}
        Some(word) => return Err(problem(format!("`{word}` stands behind the end of the instruction"), FORM)),
    }
    Ok(TraceOp { pc, mask, form, first_address, immediate, line: number })
}

/// Reads `2 R4 R5 IMAD.WIDE 1 R2`.
fn form(text: &str) -> Result<Form, Problem> {
    let mut words = text.split_whitespace();
    let registers = |words: &mut std::str::SplitWhitespace<'_>| -> Result<Vec<u8>, Problem> {
        let count: usize = words.next().and_then(|count| count.parse().ok()).unwrap_or(0);
        words
            .take(count)
            .map(|word| {
                let number = word.strip_prefix('R').and_then(|digits| digits.parse().ok());
                number.ok_or_else(|| problem(format!("`{word}` is no register"), "a register reads R0 to R255"))
            })
            .collect()
    };
    let destinations = registers(&mut words)?;
    let opcode = words.next().unwrap_or_default().to_owned();
    if !opcode.starts_with(|first: char| first.is_ascii_uppercase()) {
        return Err(problem(format!("`{opcode}` is no opcode"), FORM));
    }
    Ok(Form { opcode, destinations, sources: registers(&mut words)? })
}

/// One address for each active lane, lowest first.
fn read_addresses(
    words: &mut Words<'_>,
    mask: u32,
    addresses: &mut Vec<u64>,
    immediate_follows: bool,
) -> Result<(), Problem> {
    let active = mask.count_ones() as usize;
    let mode = words.need("the mode of the addresses")?;
    // How many words there should be, so that a wrong count is told as such.
    let (behind, what) = match mode {
        "0" => (active, "addresses"),
        "1" => (2, "words for base and stride"),
        "2" => (active.max(1), "words for the base and the distances to it"),
        _ => {
            let help = "0 is a list, 1 base and stride, 2 base and distances";
            return Err(problem(format!("`{mode}` is no mode of addresses"), help));
        }
    };
    let found = words.rest.split_whitespace().take_while(|word| *word != "STORE_DATA").count();
    let wanted = behind + usize::from(immediate_follows);
    if found != wanted {
        let message = format!(
            "{} {what} stand here, but mask {mask:08x} has {active} active lanes, so mode {mode} takes {behind}",
            found as i64 - i64::from(immediate_follows)
        );
        return Err(problem(message, "every active lane has one address, the lowest lane first"));
    }
    let hexadecimal = |word: &str| {
        u64::from_str_radix(word.trim_start_matches("0x"), 16)
            .map_err(|_| problem(format!("`{word}` is no address"), "an address is hexadecimal, as in 0x7f0000000000"))
    };
    let decimal = |word: &str| {
        word.parse::<i64>().map_err(|_| {
            problem(format!("`{word}` is no distance"), "strides and distances are signed decimal numbers")
        })
    };
    match mode {
        "0" => {
            for _ in 0..active {
                addresses.push(hexadecimal(words.need("an address")?)?);
            }
        }
        "1" => {
            let base = hexadecimal(words.need("the base")?)?;
            let stride = decimal(words.need("the stride")?)?;
            addresses.extend((0..active as i64).map(|step| base.wrapping_add_signed(stride.wrapping_mul(step))));
        }
        _ => {
            let mut address = hexadecimal(words.need("the base")?)?;
            for lane in 0..active {
                if lane > 0 {
                    address = address.wrapping_add_signed(decimal(words.need("a distance")?)?);
                }
                addresses.push(address);
            }
        }
    }
    Ok(())
}
