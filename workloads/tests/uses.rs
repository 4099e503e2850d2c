//! What [`Uses`] says of every instruction of the shipped listings, held against the encodings.
//!
//! Register fields of the 128-bit word: destination at bits 23:16, operands at 31:24, 39:32 and 71:64.

use std::path::Path;
use workloads::sass::{Control, Instruction, OpClass, Operand, Span, Uses, parse_instruction};

/// Every instruction of a `cuobjdump -sass` listing with its two words.
fn instructions(listing: &str) -> Vec<Instruction> {
    let word = |line: &str| {
        let hex = line.rsplit_once("/* 0x")?.1.strip_suffix(" */")?;
        u64::from_str_radix(hex, 16).ok()
    };
    let lines: Vec<&str> = listing.lines().collect();
    let mut found = Vec::new();
    for (number, pair) in lines.windows(2).enumerate() {
        let Some((address, rest)) = pair[0].trim_start().strip_prefix("/*").and_then(|line| line.split_once("*/"))
        else {
            continue;
        };
        let (Ok(pc), Some((text, _))) = (u32::from_str_radix(address, 16), rest.split_once(';')) else { continue };
        let (low, high) = (word(pair[0]).expect("low word"), word(pair[1]).expect("high word"));
        let mut instruction = parse_instruction(text).expect("a listing that ships is readable");
        instruction.pc = pc;
        instruction.line = number as u32 + 1;
        instruction.control = Control::from_high_word(high);
        instruction.encoding = Some((low, high));
        found.push(instruction);
    }
    found
}

fn for_every_instruction(mut check: impl FnMut(&Instruction, &Uses)) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("kernels/sass");
    let mut count = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "sass") {
            for instruction in instructions(&std::fs::read_to_string(&path).unwrap()) {
                let uses = Uses::of(&instruction).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
                check(&instruction, &uses);
                count += 1;
            }
        }
    }
    assert!(count > 5000, "only {count} instructions were checked");
}

#[test]
fn reuse_flags_of_the_encoding_name_the_operand_slots() {
    let mut flags = 0;
    for_every_instruction(|instruction, uses| {
        let kept: Vec<u8> = instruction
            .operands
            .iter()
            .filter_map(|operand| match operand {
                Operand::Register(register) if register.reuse => Some(register.number),
                _ => None,
            })
            .collect();
        let flagged: Vec<u8> = (0..3)
            .filter(|slot| instruction.control.reuse >> slot & 1 == 1)
            .map(|slot| uses.slots[slot as usize].first)
            .collect();
        assert_eq!(flagged, kept, "{}", instruction.text);
        flags += kept.len();
    });
    assert!(flags > 700, "only {flags} reuse flags were checked");
}

#[test]
fn registers_stand_in_the_fields_of_the_encoding() {
    for_every_instruction(|instruction, uses| {
        let (low, high) = instruction.encoding.unwrap();
        // LDGSTS has its shared address where others have their result.
        let fields = match uses.class {
            OpClass::CopyGlobalToShared => [(low >> 16) as u8, (low >> 24) as u8, (low >> 32) as u8],
            _ => [(low >> 24) as u8, (low >> 32) as u8, high as u8],
        };
        for (slot, span) in uses.slots.iter().enumerate().filter(|(_, span)| !span.is_empty()) {
            assert!(fields.contains(&span.first), "slot {slot} of {}: {fields:?}", instruction.text);
            // Where a register is the only source, the slot is the field in which it stands.
            if uses.slots.iter().filter(|span| !span.is_empty()).count() == 1 && instruction.mnemonic == "MOV" {
                assert_eq!(fields[slot], span.first, "{}", instruction.text);
            }
        }
        if !uses.written.is_empty() {
            assert_eq!((low >> 16) as u8, uses.written.first, "{}", instruction.text);
        }
        // A pair or quad starts at a multiple of its size.
        for span in uses.slots.iter().chain([&uses.written]).filter(|span| !span.is_empty()) {
            assert_eq!(span.first % span.count, 0, "{}", instruction.text);
        }
    });
}

#[test]
fn results_without_counter_are_of_the_fixed_latency_classes() {
    // The compiler gives a write counter to variable-latency results only. Of matrix multiplies, DMMA and those of sm_75.
    for_every_instruction(|instruction, uses| {
        let counted = instruction.control.write_counter < 6;
        let variable = uses.class.is_memory()
            || matches!(
                uses.class,
                OpClass::Xu | OpClass::Fp64 | OpClass::SpecialRegister | OpClass::WarpReduce | OpClass::CopyBarrier
            );
        // Those of fences count no result; some matrix multiplies have one.
        let counts = matches!(uses.class, OpClass::MemoryBarrier | OpClass::Tensor);
        assert!(!counted || variable || counts, "{}", instruction.text);
    });
}

fn uses_of(text: &str) -> Uses {
    Uses::of(&parse_instruction(text).unwrap()).unwrap()
}

#[test]
fn widths_and_places() {
    let span = |first, count| Span { first, count };
    let found = uses_of("IMAD.WIDE R2, R0.reuse, R3, R4");
    assert_eq!(found.slots, [span(0, 1), span(3, 1), span(4, 2)]);
    assert_eq!(found.written, span(2, 2));
    let found = uses_of("@!P1 LDG.E.128 R4, desc[UR6][R8.64+0x10]");
    assert_eq!((found.slots[0], found.written, found.access_bytes), (span(8, 2), span(4, 4), 16));
    assert_eq!((found.guard, found.descriptor_read), (0b10, 0b1100_0000));
    assert!(!found.uniform_address);
    let found = uses_of("STS.64 [UR4+0x8], R6");
    assert_eq!((found.slots[1], found.uniform_address, found.uniform_read), (span(6, 2), true, 0x10));
    let found = uses_of("IADD3 R1, P0, R2, R3, RZ");
    assert_eq!((found.predicates_written, found.predicates_read), (1, 0));
    let found = uses_of("IADD3.X R1, R2, R3, RZ, P0, !PT");
    assert_eq!((found.predicates_written, found.predicates_read), (0, 1));
    let found = uses_of("ISETP.GE.AND P2, PT, R7, R22, P1");
    assert_eq!((found.predicates_written, found.predicates_read), (0b100, 0b10));
    let found = uses_of("HFMA2 R2, R3, 0.5, 0.5, R4");
    assert_eq!(found.slots[2], span(4, 1));
    let found = uses_of("HMMA.16816.F32 R0, R4, R8, R0");
    assert_eq!(found.slots, [span(4, 4), span(8, 2), span(0, 4)]);
    let found = uses_of("ULDC.64 UR4, c[0x0][0x118]");
    assert_eq!((found.uniform_written, found.constant.unwrap().offset_bytes), (0x30, 0x118));
    let found = uses_of("DFMA R2, R4, R6, RZ");
    assert_eq!(found.slots, [span(4, 2), span(6, 2), Span::default()]);
    let found = uses_of("SHFL.BFLY PT, R7, R2, 0x10, 0x1f");
    assert_eq!((found.slots[0], found.written), (span(2, 1), span(7, 1)));
    let found = uses_of("VOTEU.ANY UR4, UPT, PT");
    assert_eq!(found.uniform_written, 0x10);
    let found = uses_of("LDG R2, R2");
    assert!(!found.uniform_address);
    assert_eq!(found.slots[0], span(2, 1));
}

#[test]
fn an_unknown_opcode_is_named_with_its_line() {
    let mut unknown = parse_instruction("UTMAREDG.2D.ADD [UR8], [UR4]").unwrap();
    (unknown.line, unknown.pc) = (12, 0x40);
    let message = Uses::of(&unknown).unwrap_err().to_string();
    assert_eq!(message, "line 12, address 0x0040: `UTMAREDG.2D.ADD [UR8], [UR4]`: opcode UTMAREDG is not known");
}
