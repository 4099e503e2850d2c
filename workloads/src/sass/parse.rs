//! Reads the text of one instruction: `@!P0 IMAD.WIDE R2, R0.reuse, R3, c[0x0][0x160]`.

use super::Control;
use super::instruction::{
    ConstantOperand, Instruction, MemoryOperand, Operand, PT, PredicateOperand, RZ, RegisterFile, RegisterOperand, URZ,
};

/// What could not be understood, in the words of the user's text. The caller adds file and line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ParseError(pub String);

/// Reads one instruction without control field (a trailing semicolon is allowed).
///
/// # Errors
/// [`ParseError`] naming the operand that is not understood.
pub fn parse_instruction(text: &str) -> Result<Instruction, ParseError> {
    let text = text.trim().trim_end_matches(';').trim_end();
    let (guard, rest) = match text.strip_prefix('@') {
        None => (None, text),
        Some(after) => {
            let (guard, rest) = after.split_once(char::is_whitespace).unwrap_or((after, ""));
            let predicate = predicate(guard);
            let predicate = predicate
                .ok_or_else(|| ParseError(format!("guard `@{guard}` should be a predicate such as @P0 or @!UP1")))?;
            (Some(predicate), rest.trim_start())
        }
    };
    let (name, operands) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    let (mnemonic, modifiers) = mnemonic(name)?;
    let operands = split_operands(operands)?.into_iter().map(operand).collect::<Result<_, _>>()?;
    Ok(Instruction {
        pc: 0,
        line: 0,
        guard,
        mnemonic,
        modifiers,
        operands,
        control: Control::default(),
        encoding: None,
        text: text.to_owned(),
    })
}

/// Reads a line of a test program: control field in text form, then the instruction.
///
/// # Errors
/// [`ParseError`] as in [`parse_instruction`], or about the control field.
pub fn parse_with_control(line: &str) -> Result<Instruction, ParseError> {
    let (control, text) = line.trim().split_once(char::is_whitespace).unwrap_or((line, ""));
    let control = Control::from_text(control).map_err(ParseError)?;
    Ok(Instruction { control, ..parse_instruction(text)? })
}

fn mnemonic(name: &str) -> Result<(String, Vec<String>), ParseError> {
    let well_formed = name.starts_with(|first: char| first.is_ascii_uppercase())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'.' || byte == b'_')
        && name.split('.').all(|part| !part.is_empty());
    if !well_formed {
        return Err(ParseError(format!("`{name}` is not a mnemonic")));
    }
    let mut parts = name.split('.').map(str::to_owned);
    Ok((parts.next().unwrap_or_default(), parts.collect()))
}

/// Splits at commas outside brackets. A second word in one piece (`BRX R2 -0x10`) becomes an operand of its own.
fn split_operands(text: &str) -> Result<Vec<&str>, ParseError> {
    let mut pieces = Vec::new();
    if text.trim().is_empty() {
        return Ok(pieces);
    }
    let mut depth = 0;
    let outer_comma = |byte: char| {
        match byte {
            '[' | '{' => depth += 1,
            ']' | '}' => depth -= 1,
            _ => {}
        }
        byte == ',' && depth == 0
    };
    for piece in text.split(outer_comma) {
        let piece = piece.trim();
        if piece.is_empty() {
            return Err(ParseError(format!("`{}` has an empty operand", text.trim())));
        }
        // Inside brackets no blank is printed, so a blank separates words.
        if piece.contains('{') { pieces.push(piece) } else { pieces.extend(piece.split_whitespace()) }
    }
    Ok(pieces)
}

fn operand(text: &str) -> Result<Operand, ParseError> {
    let understood = predicate(text)
        .map(Operand::Predicate)
        .or_else(|| number(text))
        .or_else(|| memory(text).map(Operand::Memory))
        .or_else(|| constant(text).map(Operand::Constant))
        .or_else(|| register(text).map(Operand::Register))
        .or_else(|| matrix_descriptor(text).map(Operand::MatrixDescriptor))
        .or_else(|| indexed("SB", text, 5).map(Operand::Counter))
        .or_else(|| indexed("B", text, 15).map(Operand::ConvergenceBarrier))
        .or_else(|| counter_set(text))
        .or_else(|| name(text));
    understood.ok_or_else(|| ParseError(format!("operand `{text}` is not understood")))
}

/// `name` followed by a decimal index of at most `highest`.
fn indexed(name: &str, text: &str, highest: u8) -> Option<u8> {
    let digits = text.strip_prefix(name)?;
    let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    if plain { digits.parse().ok().filter(|&index| index <= highest) } else { None }
}

fn predicate(text: &str) -> Option<PredicateOperand> {
    let (negate, text) = strip(text, '!');
    let (uniform, text) = strip(text, 'U');
    let number = if text == "PT" { PT } else { indexed("P", text, 6)? };
    Some(PredicateOperand { uniform, number, negate })
}

fn strip(text: &str, mark: char) -> (bool, &str) {
    match text.strip_prefix(mark) {
        Some(rest) => (true, rest),
        None => (false, text),
    }
}

fn number(text: &str) -> Option<Operand> {
    let (negative, magnitude) = strip(text, '-');
    let magnitude = magnitude.strip_prefix('+').unwrap_or(magnitude);
    let sign = if negative { -1.0 } else { 1.0 };
    if let Some(digits) = magnitude.strip_prefix("0x") {
        let value = u64::from_str_radix(digits, 16).ok()? as i64;
        return Some(Operand::Integer(if negative { value.wrapping_neg() } else { value }));
    }
    match magnitude {
        "INF" => return Some(Operand::Float(sign * f64::INFINITY)),
        "QNAN" | "SNAN" => return Some(Operand::Float(f64::NAN)),
        _ => {}
    }
    let decimal = magnitude.starts_with(|first: char| first.is_ascii_digit() || first == '.');
    if decimal { magnitude.parse::<f64>().ok().map(|value| Operand::Float(sign * value)) } else { None }
}

/// `-|R4|.H1_H1.reuse` and its parts; the marks may stand in any of the places where the disassembler puts them.
struct Decorated<'a> {
    negate: bool,
    absolute: bool,
    invert: bool,
    core: &'a str,
    suffixes: Vec<&'a str>,
}

fn decorated(text: &str) -> Option<Decorated<'_>> {
    let (negate, text) = strip(text, '-');
    let (invert, text) = strip(text, '~');
    if let Some(inner) = text.strip_prefix('|') {
        let (core, behind) = inner.split_once('|')?;
        let mut inside = core.split('.');
        let core = inside.next()?;
        let behind = behind.split('.').filter(|suffix| !suffix.is_empty());
        return Some(Decorated { negate, absolute: true, invert, core, suffixes: inside.chain(behind).collect() });
    }
    // A constant's brackets hold no dot, so the first dot behind the last bracket starts the suffixes.
    let bracket = text.rfind(']').map_or(0, |at| at + 1);
    let dot = text[bracket..].find('.').map_or(text.len(), |at| bracket + at);
    let suffixes = text[dot..].split('.').filter(|suffix| !suffix.is_empty()).collect();
    Some(Decorated { negate, absolute: false, invert, core: &text[..dot], suffixes })
}

fn plain_register(text: &str) -> Option<(RegisterFile, u8)> {
    match text {
        "RZ" => Some((RegisterFile::Vector, RZ)),
        "URZ" => Some((RegisterFile::Uniform, URZ)),
        _ => indexed("UR", text, 62)
            .map(|number| (RegisterFile::Uniform, number))
            .or_else(|| indexed("R", text, 254).map(|number| (RegisterFile::Vector, number))),
    }
}

fn register(text: &str) -> Option<RegisterOperand> {
    let Decorated { negate, absolute, invert, core, suffixes } = decorated(text)?;
    let (file, number) = plain_register(core)?;
    let reuse = suffixes.contains(&"reuse");
    let suffixes = suffixes.into_iter().filter(|&suffix| suffix != "reuse").map(str::to_owned).collect();
    Some(RegisterOperand { file, number, negate, absolute, invert, reuse, suffixes })
}

/// `[a][b]` of `c[a][b]`, or `[a]` alone: the bracketed parts, and nothing behind them.
fn brackets(text: &str) -> Option<Vec<&str>> {
    let inside = text.strip_prefix('[')?.strip_suffix(']')?;
    let parts: Vec<&str> = inside.split("][").collect();
    let nested = parts.iter().any(|part| part.is_empty() || part.contains(['[', ']']));
    if nested { None } else { Some(parts) }
}

/// A sum of terms: `R2.64+UR4+-0x10`.
fn sum(text: &str) -> Option<(Option<RegisterOperand>, Option<RegisterOperand>, i64)> {
    let (mut base, mut uniform, mut offset) = (None, None, 0i64);
    for term in text.split('+') {
        if let Some(found) = register(term) {
            let place = match found.file {
                RegisterFile::Vector => &mut base,
                RegisterFile::Uniform => &mut uniform,
            };
            if place.replace(found).is_some() {
                return None;
            }
        } else if let Some(Operand::Integer(value)) = number(term) {
            offset = offset.checked_add(value)?;
        } else {
            return None;
        }
    }
    Some((base, uniform, offset))
}

fn memory(text: &str) -> Option<MemoryOperand> {
    let (descriptor, address) = match text.strip_prefix("desc") {
        None => (None, text),
        Some(rest) => {
            let [descriptor, address] = brackets(rest)?[..] else { return None };
            let (RegisterFile::Uniform, number) = plain_register(descriptor)? else { return None };
            let (base, uniform, offset) = sum(address)?;
            return Some(MemoryOperand { descriptor: Some(number), base, uniform, offset });
        }
    };
    let [address] = brackets(address)?[..] else { return None };
    let (base, uniform, offset) = sum(address)?;
    Some(MemoryOperand { descriptor, base, uniform, offset })
}

fn constant(text: &str) -> Option<ConstantOperand> {
    let Decorated { negate, absolute, invert, core, suffixes } = decorated(text)?;
    let [bank, address] = brackets(core.strip_prefix('c')?)?[..] else { return None };
    let Operand::Integer(bank) = number(bank)? else { return None };
    let (base, uniform, offset) = sum(address)?;
    let index = match (base, uniform) {
        (None, None) => None,
        (Some(one), None) | (None, Some(one)) => Some((one.file, one.number)),
        (Some(_), Some(_)) => return None,
    };
    Some(ConstantOperand {
        bank: u8::try_from(bank).ok().filter(|&bank| bank < 32)?,
        index,
        offset: i32::try_from(offset).ok()?,
        negate,
        absolute,
        invert,
        suffixes: suffixes.into_iter().map(str::to_owned).collect(),
    })
}

fn matrix_descriptor(text: &str) -> Option<RegisterOperand> {
    let (inside, suffixes) = text.strip_prefix("gdesc[")?.split_once(']')?;
    let found = register(inside).filter(|found| found.file == RegisterFile::Uniform && found.suffixes.is_empty())?;
    let suffixes = suffixes.split('.').filter(|suffix| !suffix.is_empty()).map(str::to_owned).collect();
    Some(RegisterOperand { suffixes, ..found })
}

fn counter_set(text: &str) -> Option<Operand> {
    let inside = text.strip_prefix('{')?.strip_suffix('}')?;
    let mut set = 0;
    for digit in inside.split(',') {
        set |= 1 << digit.trim().parse::<u8>().ok().filter(|&counter| counter < 6)?;
    }
    Some(Operand::CounterSet(set))
}

fn name(text: &str) -> Option<Operand> {
    let starts = text.starts_with(|first: char| first.is_ascii_alphabetic());
    // What looks like a register, predicate or constant but is none (R300, c[0x0]) must not pass as a name.
    let looks_like_other = text.contains(['[', ']', '|']) || {
        let digits = text.trim_start_matches(['U', 'R', 'P', 'B', 'S']);
        digits.is_empty() || digits.bytes().all(|byte| byte.is_ascii_digit())
    };
    let special = ["PR", "RPC", "B"].contains(&text);
    let plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'(' | b')'));
    if starts && plain && (special || !looks_like_other) { Some(Operand::Name(text.to_owned())) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn operands(text: &str) -> Vec<Operand> {
        parse_instruction(text).unwrap().operands
    }

    fn vector(number: u8) -> RegisterOperand {
        RegisterOperand {
            file: RegisterFile::Vector,
            number,
            negate: false,
            absolute: false,
            invert: false,
            reuse: false,
            suffixes: vec![],
        }
    }

    #[test]
    fn guard_mnemonic_and_modifiers() {
        let found = parse_instruction("@!UP1 IMAD.WIDE.U32 R2, R0, 0x4, c[0x0][0x160] ;").unwrap();
        assert_eq!(found.guard, Some(PredicateOperand { uniform: true, number: 1, negate: true }));
        assert_eq!((found.mnemonic.as_str(), found.modifiers.len()), ("IMAD", 2));
        assert_eq!(found.full_mnemonic(), "IMAD.WIDE.U32");
        assert!(found.has_modifier("U32"));
        assert_eq!(found.text, "@!UP1 IMAD.WIDE.U32 R2, R0, 0x4, c[0x0][0x160]");
    }

    #[test]
    fn registers_with_all_their_marks() {
        let marked = RegisterOperand { negate: true, absolute: true, reuse: true, ..vector(3) };
        assert_eq!(operands("FADD R2, -|R3|.reuse, -RZ")[1], Operand::Register(marked));
        let half = RegisterOperand { suffixes: vec!["H1_H1".into()], invert: true, ..vector(9) };
        assert_eq!(operands("HADD2 R2, ~R9.H1_H1")[1], Operand::Register(half));
        let zero = RegisterOperand { file: RegisterFile::Uniform, ..vector(URZ) };
        assert_eq!(operands("UMOV UR4, URZ")[1], Operand::Register(zero));
    }

    #[test]
    fn numbers() {
        assert_eq!(operands("FFMA R0, R1, -1.5, RZ")[2], Operand::Float(-1.5));
        assert_eq!(operands("FSETP.GEU.AND P0, PT, |R0|, +INF , PT")[3], Operand::Float(f64::INFINITY));
        assert!(matches!(operands("MUFU.RSQ R0, -QNAN ")[1], Operand::Float(value) if value.is_nan()));
        assert_eq!(operands("IADD3 R0, R1, -0x1, RZ")[2], Operand::Integer(-1));
        assert_eq!(operands("FMUL R0, R0, 1.84467440737095516160e+19")[2], Operand::Float(18446744073709551616.0));
    }

    #[test]
    fn addresses() {
        let found = operands("LDG.E R5, desc[UR8][R2.64+UR4+-0x10]");
        let Operand::Memory(memory) = &found[1] else { panic!("{found:?}") };
        assert_eq!((memory.descriptor, memory.offset), (Some(8), -16));
        assert!(memory.base.as_ref().unwrap().has_suffix("64"));
        assert_eq!(memory.uniform.as_ref().unwrap().number, 4);
        let found = operands("STS [R3.X4+0x400], R1");
        let Operand::Memory(memory) = &found[0] else { panic!("{found:?}") };
        assert!(memory.base.as_ref().unwrap().has_suffix("X4"));
    }

    #[test]
    fn constants() {
        let found = operands("IMAD R0, R1, -c[0x3][R2+0x10], R4");
        let Operand::Constant(constant) = &found[2] else { panic!("{found:?}") };
        assert_eq!((constant.bank, constant.index, constant.offset), (3, Some((RegisterFile::Vector, 2)), 16));
        assert!(constant.negate);
    }

    #[test]
    fn the_rest() {
        assert_eq!(operands("BSSY B0, 0x440")[0], Operand::ConvergenceBarrier(0));
        assert_eq!(operands("S2R R0, SR_CTAID.X")[1], Operand::Name("SR_CTAID.X".into()));
        assert_eq!(operands("DEPBAR.LE SB0, 0x1, {1,3}")[2], Operand::CounterSet(0b1010));
        assert_eq!(operands("BRX R2 -0x120"), vec![Operand::Register(vector(2)), Operand::Integer(-0x120)]);
        assert_eq!(operands("NOP"), vec![]);
        let descriptor = RegisterOperand {
            file: RegisterFile::Uniform,
            suffixes: vec!["tnspA".into(), "tnspB".into()],
            ..vector(4)
        };
        assert_eq!(
            operands("HGMMA.64x8x16.F32 R0, gdesc[UR4].tnspA.tnspB, R0")[1],
            Operand::MatrixDescriptor(descriptor)
        );
        assert_eq!(operands("P2R R0, PR, RZ, 0x7f")[1], Operand::Name("PR".into()));
    }

    #[test]
    fn what_is_not_understood_is_named() {
        for (text, part) in [
            ("FADD R300, R1, R2", "`R300`"),
            ("FADD R0, R1,, R2", "empty operand"),
            ("@Q0 EXIT", "@Q0"),
            ("fadd R0, R1, R2", "`fadd` is not a mnemonic"),
            ("LDG.E R0, [R2.64+R4]", "`[R2.64+R4]`"),
            ("MOV R0, c[0x0]", "`c[0x0]`"),
            ("ISETP..AND P0, PT, R0, R1, PT", "is not a mnemonic"),
            ("", "is not a mnemonic"),
        ] {
            let error = parse_instruction(text).unwrap_err().0;
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn a_line_with_control_field() {
        let found = parse_with_control("B--2---:R-:W1:Y:S04  LDG R2, [R4.64]").unwrap();
        assert_eq!(found.control.wait_mask, 4);
        assert_eq!(found.control.write_counter, 1);
        assert!(parse_with_control("B--2---:R-:W1:Y LDG R2, R4").is_err());
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused_without_panic(text in "\\PC{0,60}") {
            let _ = parse_with_control(&text);
        }

        #[test]
        fn any_text_of_the_right_letters_is_read_or_refused(text in "@?!?[A-Z]{1,5}[ .][URPBSc0-9x\\[\\]{}|~!.,+ -]{0,40}") {
            let _ = parse_instruction(&text);
        }
    }
}
