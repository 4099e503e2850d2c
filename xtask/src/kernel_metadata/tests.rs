//! Two compiled files of `probe.cu`, against what `cuobjdump -res-usage` and `cuobjdump -elf` print for them.

use super::*;

const PROBE_SM_80: &[u8] = include_bytes!("../../tests/fixtures/probe.sm_80.cubin");
const PROBE_SM_90: &[u8] = include_bytes!("../../tests/fixtures/probe.sm_90.cubin");

/// Contents of a constant bank.
fn words_to_bytes(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

fn probe_sm_80() -> Metadata {
    let parameter = |index, offset_bytes, size_bytes| Parameter { index, offset_bytes, size_bytes };
    Metadata {
        kernel: "probe".into(),
        arch: "sm_80".into(),
        registers: 32,            // REG:32
        static_shared_bytes: 200, // SHARED:200
        shared_base_bytes: 0,
        local_bytes: 160,           // STACK:160, min stack size: 0xa0
        barriers: 2,                // EIATTR_NUM_BARRIERS 0x2
        max_threads: Some(96),      // EIATTR_MAX_THREADS 0x60 0x1 0x1
        constant_bank_0_bytes: 378, // CONSTANT[0]:378
        parameter_base: 0x160,      // EIATTR_PARAM_CBANK 0x1a0160
        parameter_bytes: 26,
        parameters: vec![parameter(0, 0x0, 1), parameter(1, 0x8, 8), parameter(2, 0x10, 8), parameter(3, 0x18, 2)],
        constant_banks: vec![
            (2, words_to_bytes(&[0x5b0, 0x570, 0x980, 0x890, 0x840, 0x980, 0x770, 0x680, 0x980])),
            (3, words_to_bytes(&[1.0f32.to_bits(), 2.0f32.to_bits(), 3.0f32.to_bits(), 4.0f32.to_bits()])),
        ],
        globals: vec![],
        indirect_branches: vec![
            IndirectBranch { at: 0x560, targets: vec![0x5b0, 0x570, 0x980] },
            IndirectBranch { at: 0x670, targets: vec![0x770, 0x680, 0x980] },
            IndirectBranch { at: 0x830, targets: vec![0x890, 0x840, 0x980] },
        ],
        compiler: "Cuda compilation tools, release 13.0, V13.0.88".into(),
    }
}

#[test]
fn ampere_metadata_is_what_cuobjdump_prints() {
    assert_eq!(read(PROBE_SM_80).unwrap(), [probe_sm_80()]);
}

#[test]
fn hopper_metadata_is_what_cuobjdump_prints() {
    let expected = Metadata {
        arch: "sm_90".into(),
        // SHARED:1224, of which the code addresses its own from 0x400.
        static_shared_bytes: 200,
        shared_base_bytes: 1024,
        constant_bank_0_bytes: 554, // CONSTANT[0]:554
        parameter_base: 0x210,      // EIATTR_PARAM_CBANK 0x1a0210
        constant_banks: vec![
            (2, words_to_bytes(&[0x5b0, 0x560, 0x9f0, 0x8d0, 0x870, 0x9f0, 0x790, 0x690, 0x9f0])),
            probe_sm_80().constant_banks[1].clone(),
        ],
        indirect_branches: vec![
            IndirectBranch { at: 0x550, targets: vec![0x5b0, 0x560, 0x9f0] },
            IndirectBranch { at: 0x680, targets: vec![0x790, 0x690, 0x9f0] },
            IndirectBranch { at: 0x860, targets: vec![0x8d0, 0x870, 0x9f0] },
        ],
        ..probe_sm_80()
    };
    assert_eq!(read(PROBE_SM_90).unwrap(), [expected]);
}

/// ELF flags are the same for both; the command line in the assembler's note is not.
#[test]
fn architecture_with_a_suffix_is_the_one_of_the_command_line() {
    let (plain, suffixed) = (b"-arch sm_90 -m 64 ", b"-arch sm_90a -m64 ");
    let mut data = PROBE_SM_90.to_vec();
    let at = data.windows(plain.len()).position(|window| window == plain).unwrap();
    data[at..at + plain.len()].copy_from_slice(suffixed);
    assert_eq!(read(&data).unwrap()[0].arch, "sm_90a");
}

#[test]
fn written_file_is_toml_with_the_documented_keys() {
    let text = to_toml(&probe_sm_80(), "-O3 -DNAME=\"x\"", "0123abcd").unwrap();
    let table: toml::Table = text.parse().unwrap();

    assert_eq!(table["kernel"].as_str(), Some("probe"));
    assert_eq!(table["registers"].as_integer(), Some(32));
    assert_eq!(table["max_threads"].as_integer(), Some(96));
    assert_eq!(table["parameter_base"].as_integer(), Some(0x160));
    assert_eq!(table["build"]["flags"].as_str(), Some("-O3 -DNAME=\"x\""));
    assert_eq!(table["build"]["source_blake3"].as_str(), Some("0123abcd"));
    let parameters = table["parameter"].as_array().unwrap();
    assert_eq!(parameters.len(), 4);
    assert_eq!(parameters[3]["offset_bytes"].as_integer(), Some(0x18));
    assert_eq!(table["constant_bank"][1]["contents_hex"].as_str(), Some("0000803f000000400000404000008040"));
    assert_eq!(table["indirect_branch"][2]["targets"][1].as_integer(), Some(0x840));
}

#[test]
fn constant_bank_with_addresses_of_code_is_refused() {
    // In the sm_90 file the (empty) relocations of bank 2 have a section of their own: give it an entry.
    let mut data = PROBE_SM_90.to_vec();
    let header = FileHeader64::<Endianness>::parse(&data[..]).unwrap();
    let sections = header.sections(Endianness::Little, &data[..]).unwrap();
    let (index, _) = sections.section_by_name(Endianness::Little, b".rela.nv.constant2.probe").unwrap();
    let size_at = header.e_shoff(Endianness::Little) as usize + 64 * index.0 + 0x20;
    data[size_at..size_at + 8].copy_from_slice(&24u64.to_le_bytes());

    let error = format!("{:#}", read(&data).unwrap_err());
    assert!(error.contains("kernel `probe`") && error.contains("which is no variable of the file"), "{error}");
}

#[test]
fn other_files_are_refused_with_a_reason() {
    let error = |data: &[u8]| format!("{:#}", read(data).unwrap_err());
    assert!(error(b"code for sm_80").contains("not a 64-bit ELF file"));

    let mut host = PROBE_SM_80.to_vec();
    host[0x12] = 62; // x86-64
    assert!(error(&host).contains("not one for a GPU"));
}

#[test]
fn damaged_files_never_panic() {
    // What is cut off is either missed or was of no concern (program headers).
    for length in (0..PROBE_SM_80.len()).step_by(7) {
        if let Ok(kernels) = read(&PROBE_SM_80[..length]) {
            assert_eq!(kernels, [probe_sm_80()], "the first {length} bytes");
        }
    }

    for original in [PROBE_SM_80, PROBE_SM_90] {
        let mut data = original.to_vec();
        for at in 0..data.len() {
            for damage in [0x01, 0x80, 0xff] {
                data[at] ^= damage;
                let _ = read(&data);
                data[at] ^= damage;
            }
        }
    }
}
