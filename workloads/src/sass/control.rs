//! The control field: the top of each 128-bit instruction word, by which the compiler drives issue.
//!
//! Layout is identical from Volta to Blackwell. Sources: "Analyzing Modern NVIDIA GPU Cores" (arXiv 2503.20481) section
//! 4 for the meaning; bit positions from decoding ptxas 12.9 output for sm_75 to sm_120 and from CuAssembler.

use std::fmt;

/// No dependence counter.
pub const NO_COUNTER: u8 = 7;

/// Decoded control field of one instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Control {
    /// Stall count in cycles, 0..=15.
    pub stall: u8,
    /// The warp must not be chosen in the next cycle (the bit is stored inverted).
    pub yield_next: bool,
    /// Dependence counter incremented after issue and decremented at write-back; [`NO_COUNTER`] = none.
    pub write_counter: u8,
    /// Dependence counter incremented after issue and decremented when the sources were read; [`NO_COUNTER`] = none.
    pub read_counter: u8,
    /// Bit i: wait until counter i is zero. Six bits.
    pub wait_mask: u8,
    /// Bit k: the register of operand slot k stays in the register-file cache. Four bits.
    pub reuse: u8,
}

impl Default for Control {
    /// Issue in the next cycle, nothing to wait for.
    fn default() -> Self {
        Self {
            stall: 1,
            yield_next: false,
            write_counter: NO_COUNTER,
            read_counter: NO_COUNTER,
            wait_mask: 0,
            reuse: 0,
        }
    }
}

impl Control {
    /// Decodes the field from the high 64-bit word (bits 127..64) of an instruction.
    pub fn from_high_word(high: u64) -> Self {
        let bits = |at: u32, count: u32| ((high >> at) & ((1 << count) - 1)) as u8;
        Self {
            stall: bits(41, 4),
            yield_next: bits(45, 1) == 0,
            write_counter: bits(46, 3),
            read_counter: bits(49, 3),
            wait_mask: bits(52, 6),
            reuse: bits(58, 4),
        }
    }

    /// Reads the text form `B--2---:R0:W-:Y:S04`. Reuse flags stand at the operands in this form, so they are zero here.
    ///
    /// # Errors
    /// A sentence that says which part is wrong and what it should look like.
    pub fn from_text(text: &str) -> Result<Self, String> {
        let parts: Vec<&str> = text.split(':').collect();
        let [mask, read, write, yield_text, stall] = parts[..] else {
            return Err(format!("control `{text}` should have five parts, as in `B--2---:R-:W0:Y:S04`"));
        };
        let counter = |part: &str, letter: char| -> Result<u8, String> {
            match part.strip_prefix(letter) {
                Some("-") => Ok(NO_COUNTER),
                Some(digit) => digit
                    .parse::<u8>()
                    .ok()
                    .filter(|&counter| counter < 6)
                    .ok_or_else(|| format!("`{part}` should be {letter}- or {letter}0 to {letter}5")),
                None => Err(format!("`{part}` should be {letter}- or {letter}0 to {letter}5")),
            }
        };
        let slots = mask.strip_prefix('B').filter(|slots| slots.len() == 6 && slots.is_ascii());
        let slots = slots.ok_or_else(|| format!("wait mask `{mask}` should be B and six places, as in `B0--3--`"))?;
        let mut wait_mask = 0;
        for (index, place) in slots.bytes().enumerate() {
            match place {
                b'-' => {}
                digit if digit == b'0' + index as u8 => wait_mask |= 1 << index,
                other => {
                    return Err(format!(
                        "place {index} of wait mask `{mask}` is `{}`, not {index} or -",
                        other as char
                    ));
                }
            }
        }
        let yield_next = match yield_text {
            "Y" => true,
            "-" => false,
            other => return Err(format!("yield `{other}` should be Y or -")),
        };
        let stall = stall
            .strip_prefix('S')
            .and_then(|digits| digits.parse::<u8>().ok())
            .filter(|&stall| stall <= 15)
            .ok_or_else(|| format!("stall `{stall}` should be S00 to S15"))?;
        Ok(Self {
            stall,
            yield_next,
            write_counter: counter(write, 'W')?,
            read_counter: counter(read, 'R')?,
            wait_mask,
            reuse: 0,
        })
    }
}

impl fmt::Display for Control {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("B")?;
        for index in 0..6u8 {
            if self.wait_mask >> index & 1 == 1 { write!(out, "{index}")? } else { out.write_str("-")? }
        }
        let counter = |counter: u8| if counter == NO_COUNTER { "-".to_owned() } else { counter.to_string() };
        write!(out, ":R{}:W{}", counter(self.read_counter), counter(self.write_counter))?;
        write!(out, ":{}:S{:02}", if self.yield_next { "Y" } else { "-" }, self.stall)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Words emitted by ptxas 12.9.86 with the fields that nvdisasm's neighbours (CuAssembler) print for them:
    /// high word, stall, yield *bit as stored* (1 = no yield), write counter, read counter, wait mask.
    const PTXAS_WORDS: [(u64, u8, u8, u8, u8, u8); 10] = [
        (0x000e_a800_0c1e_e900, 4, 1, 2, 7, 0),  // sm_75 LDG.E.SYS R0, [UR4]
        (0x004f_c800_0000_0002, 4, 0, 7, 7, 4),  // sm_75 FFMA R0, R0, R3, R2
        (0x000f_ca00_0000_0004, 5, 0, 7, 7, 0),  // sm_80 FFMA R5, R5, R0, R4
        (0x000f_da00_03f0_4070, 13, 0, 7, 7, 0), // sm_80 ISETP.GT.U32.AND P0, PT, R0, 0x9, PT
        (0x000f_c000_0383_ffff, 0, 0, 7, 7, 0),  // sm_80 BRA (self, after EXIT)
        (0x000f_ce00_0000_0000, 7, 0, 7, 7, 0),  // sm_80 DEPBAR.LE SB1, 0x0
        (0x000f_ea00_0380_0000, 5, 1, 7, 7, 0),  // sm_80 EXIT
        (0x0005_d800_0800_8000, 12, 0, 7, 2, 0), // sm_90a UTMALDG.2D [UR8], [UR4]
        (0x004f_ea00_0393_ffff, 5, 1, 7, 7, 4),  // sm_90a @P0 BRA.U.ANY
        (0x000e_2400_0000_0a00, 2, 1, 0, 7, 0),  // sm_120 LDC.64 R2, c[0x0][0x380]
    ];

    #[test]
    fn fields_of_words_emitted_by_ptxas() {
        for (high, stall, no_yield, write, read, wait) in PTXAS_WORDS {
            let control = Control::from_high_word(high);
            assert_eq!(control.stall, stall, "{high:#x}");
            assert_eq!(control.yield_next, no_yield == 0, "{high:#x}");
            assert_eq!(control.write_counter, write, "{high:#x}");
            assert_eq!(control.read_counter, read, "{high:#x}");
            assert_eq!(control.wait_mask, wait, "{high:#x}");
            assert_eq!(control.reuse, 0, "{high:#x}");
        }
    }

    #[test]
    fn text_form_round_trips() {
        for text in ["B------:R-:W-:-:S01", "B0--3--:R2:W5:Y:S15", "B----45:R-:W0:-:S00"] {
            assert_eq!(Control::from_text(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn wrong_text_says_what_is_wrong() {
        for (text, part) in [
            ("B------:R-:W-:-", "five parts"),
            ("B-----:R-:W-:-:S01", "six places"),
            ("B1-----:R-:W-:-:S01", "place 0"),
            ("B------:R6:W-:-:S01", "R0 to R5"),
            ("B------:R-:W-:n:S01", "Y or -"),
            ("B------:R-:W-:-:S16", "S00 to S15"),
        ] {
            let error = Control::from_text(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
