//! Accel-Sim traces: what is read, what is refused and how, what is replayed. The traces are written here.

use std::fmt::Write as _;
use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use workloads::accel_sim::{
    Block, Command, KernelList, Replay, TraceReader, TracedKernel, is_list_name, is_trace_name,
};
use workloads::sass::{OpClass, SassError, Uses};
use workloads::stream::{AccessKind, CtaStream, NO_ACCESS, Space};

/// Header of one block of 64 threads.
fn header(version: u32) -> String {
    let mut text = format!(
        "-kernel name = _Z4copyPfS_i\n-kernel id = 1\n-grid dim = (2,1,1)\n-block dim = (64,1,1)\n-shmem = 1024\n\
         -nregs = 12\n-binary version = 80\n-cuda stream id = 0\n-shmem base_addr = 0x00007f1000000000\n\
         -local mem base_addr = 0x00007f2000000000\n-nvbit version = 1.7\n-accelsim tracer version = {version}\n"
    );
    if version >= 4 {
        text.push_str("-enable lineinfo = 0\n");
    }
    text + "\n#traces format = [line_num] PC mask dest_num [reg_dests] opcode src_num [reg_srcs] mem_width ...\n\n"
}

fn block(x: u32, warps: &[&[&str]]) -> String {
    let mut text = format!("#BEGIN_TB\n\nthread block = {x},0,0\n\n");
    for (number, lines) in warps.iter().enumerate() {
        let _ = write!(text, "warp = {number}\ninsts = {}\n", lines.len());
        lines.iter().for_each(|line| {
            let _ = writeln!(text, "{line} ");
        });
        text.push('\n');
    }
    text + "#END_TB\n\n"
}

/// A load, an addition, a store under a guard, the end.
const COPY: [&str; 8] = [
    "0000 ffffffff 1 R2 S2R 0 0 0",
    "0010 ffffffff 1 R4 IMAD.WIDE 2 R2 R255 0 4",
    "0020 ffffffff 1 R0 LDG.E 1 R4 4 1 0x7f0000001000 4 0",
    "0030 ffffffff 1 R5 FADD 2 R0 R0 0 0",
    "0040 ffffffff 0 ISETP.GE.AND 1 R2 0 0",
    "0050 0000ffff 0 STG.E 2 R4 R5 4 2 0x7f0000002000 4 4 4 4 4 4 4 4 4 4 4 4 4 4 4 0",
    "0060 00000003 0 STS 2 R2 R5 4 0 0x10 0x90 0",
    "0070 ffffffff 0 EXIT 0 0 0",
];

fn copy_trace() -> String {
    header(5) + &block(0, &[&COPY, &COPY]) + &block(1, &[&COPY, &[]])
}

fn reader(text: &str) -> Result<TraceReader, SassError> {
    TraceReader::new("t.traceg", Box::new(Cursor::new(text.to_owned().into_bytes())))
}

fn read_all(text: &str) -> Result<(u64, u64), SassError> {
    let mut reader = reader(text)?;
    let mut block = Block::default();
    while reader.next_block(&mut block)? {}
    Ok(reader.read_so_far())
}

fn written(folder: &Path, name: &str, bytes: &[u8]) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

#[test]
fn the_header_and_the_blocks_are_read() {
    let mut reader = reader(&copy_trace()).unwrap();
    let header = reader.header().clone();
    assert_eq!((header.kernel.as_str(), header.arch.as_str(), header.version), ("_Z4copyPfS_i", "sm_80", 5));
    assert_eq!((header.grid, header.block, header.shared_bytes), ([2, 1, 1], [64, 1, 1], 1024));
    assert_eq!((header.registers_per_thread, header.shared_window), (12, 0x7f10_0000_0000));
    let mut block = Block::default();
    assert!(reader.next_block(&mut block).unwrap());
    assert_eq!(block.warps.iter().map(Vec::len).collect::<Vec<_>>(), [8, 8]);
    assert!(reader.next_block(&mut block).unwrap());
    assert_eq!((block.position, block.warps[1].len()), ([1, 0, 0], 0), "a warp that does not run");
    assert!(!reader.next_block(&mut block).unwrap());
    assert_eq!(reader.read_so_far(), (2, 24));
}

#[test]
fn addresses_of_the_three_modes() {
    let mut reader = reader(&copy_trace()).unwrap();
    let mut block = Block::default();
    reader.next_block(&mut block).unwrap();
    let addresses = |at: usize| block.addresses_of(&block.warps[0][at]).to_vec();
    let steps = |base: u64, count: u64| (0..count).map(|lane| base + 4 * lane).collect::<Vec<_>>();
    assert_eq!(addresses(2), steps(0x7f00_0000_1000, 32), "base and stride");
    assert_eq!(addresses(5), steps(0x7f00_0000_2000, 16), "base and distances: one fewer than active lanes");
    assert_eq!(addresses(6), [0x10, 0x90], "list");
    assert!(addresses(3).is_empty());
    // Of a single lane the base stands alone; the number behind it is the immediate.
    let line = "0000 00000100 1 R0 LDG.E 1 R4 4 2 0x1000 77";
    let text = header(5) + &block_of(&[line, "0010 ffffffff 0 EXIT 0 0 0"]);
    let mut one = self::reader(&text).unwrap();
    one.next_block(&mut block).unwrap();
    let op = block.warps[0][0];
    assert_eq!((block.addresses_of(&op), op.immediate), (&[0x1000][..], 77));
}

fn block_of(lines: &[&str]) -> String {
    block(0, &[lines, &["0000 ffffffff 0 EXIT 0 0 0"]])
}

#[test]
fn versions_differ_in_immediates_and_source_lines() {
    // Version 3 and 4: no immediate.
    for version in [3, 4] {
        let text = header(version) + &block(0, &[&["0000 ffffffff 1 R0 LDG.E 1 R4 4 1 0x1000 4"], &[]]);
        assert_eq!(read_all(&text).unwrap(), (1, 1), "version {version}");
    }
    let text = header(4).replace("lineinfo = 0", "lineinfo = 1") + &block(0, &[&["17 0000 ffffffff 0 EXIT 0 0"], &[]]);
    assert_eq!(read_all(&text).unwrap(), (1, 1), "a source line in front");
    // An extended tracer writes the stored values behind the line.
    let line = "0000 00000003 0 STG.E 2 R6 R9 4 1 0x1000 4 0 STORE_DATA I32 1 REG0:T0:0x00000000 T1:0x40400000";
    assert_eq!(read_all(&(header(5) + &block(0, &[&[line], &[]]))).unwrap(), (1, 1));
}

/// Text, line of the complaint, part of the message, part of the help.
#[test]
fn what_is_wrong_is_told_with_its_line() {
    let good = copy_trace();
    let lines = |text: &str| text.lines().count() as u32;
    let line_of = |text: &str, part: &str| text.lines().position(|line| line.contains(part)).unwrap() as u32 + 1;
    let cut = &good[..good.find("#END_TB").unwrap()];
    let fewer = good.replacen("0030 ffffffff 1 R5 FADD 2 R0 R0 0 0 \n", "", 1);
    let cases = [
        (cut.to_owned(), lines(cut) + 1, "the file ends within warp 1", "cut off"),
        (fewer.clone(), line_of(&fewer, "insts"), "insts = 8, but 7 instruction lines follow", "cut off"),
        (good.replace("version = 5", "version = 7"), 12, "version 7 of the format is not known", "3, 4 and 5"),
        (good.replace("version = 5", "version = 2"), 12, "version 2 of the format is not known", "3, 4 and 5"),
        (
            good.replace(" 0x90 0", " 0"),
            line_of(&good, "STS"),
            "1 addresses stand here, but mask 00000003 has 2",
            "one address",
        ),
        (good.replace("4 4 4 0 ", "4 4 0 "), line_of(&good, "STG"), "15 words for the base", "one address"),
        (good.replace("0000ffff", "000ffff"), line_of(&good, "STG"), "`000ffff` is no mask", "8 hexadecimal digits"),
        (good.replace("0000ffff", "0000fffg"), line_of(&good, "STG"), "`0000fffg` is no mask", "8 hexadecimal digits"),
        (good.replace("(64,1,1)", "(64,64,1)"), 4, "too large", "1024"),
        (good.replace("-nregs = 12\n", ""), 14, "no line `-nregs", "Accel-Sim kernel trace"),
        (good.replace("warp = 1", "warp = 2"), line_of(&good, "warp = 1"), "not one of the 2", "from 0"),
        (good.replacen("warp = 1", "warp = 0", 1), line_of(&good, "warp = 1"), "stands twice", "one section"),
        (good.replace("block = 1,0,0", "block = 2,0,0"), line_of(&good, "block = 1,0"), "not in the grid", "from 0"),
        (good.replace("R255 0 4", "R256 0 4"), line_of(&good, "IMAD"), "`R256` is no register", "R0 to R255"),
        (
            good.replace("1 R5 FADD 2 R0 R0 0 0", "1 R5 FADD 2 R0 R0 0"),
            line_of(&good, "FADD"),
            "line ends",
            "reads: pc",
        ),
        (header(5), lines(&header(5)) + 1, "no thread block", "cut off"),
        ("{}\n".to_owned(), 1, "no line `-kernel name", "Accel-Sim kernel trace"),
    ];
    for (text, line, message, help) in cases {
        let error = read_all(&text).expect_err(message);
        assert!(error.message.contains(message), "{error}\nshould contain: {message}");
        assert!(error.help.contains(help), "{error}\nshould contain: {help}");
        assert_eq!((error.file.as_str(), error.line), ("t.traceg", line), "{error}");
    }
}

#[test]
fn no_mutation_of_a_trace_panics() {
    let good = copy_trace();
    for at in (0..good.len()).step_by(3) {
        for byte in [b' ', b'0', b'\n', b'z', 0xff] {
            let mut bytes = good.clone().into_bytes();
            bytes[at] = byte;
            if let Ok(reader) = TraceReader::new("t", Box::new(Cursor::new(bytes))) {
                let _ = TracedKernel::of(reader);
            }
        }
        let _ = reader(&good[..at]).and_then(TracedKernel::of);
    }
}

#[test]
fn packed_traces_are_read_and_a_cut_one_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let text = copy_trace();
    let mut xz = Vec::new();
    std::io::Read::read_to_end(&mut liblzma::read::XzEncoder::new(text.as_bytes(), 6), &mut xz).unwrap();
    let zst = zstd::encode_all(text.as_bytes(), 3).unwrap();
    for (name, bytes) in [("k.traceg", text.as_bytes()), ("k.traceg.xz", &xz), ("k.traceg.zst", &zst)] {
        let kernel = TracedKernel::read(&written(folder.path(), name, bytes)).unwrap();
        assert_eq!((kernel.totals.blocks, kernel.totals.warp_instructions), (2, 24), "{name}");
        let cut = written(folder.path(), &format!("cut-{name}"), &bytes[..bytes.len() - 9]);
        let error = TracedKernel::read(&cut).unwrap_err();
        assert!(error.help.contains("cut off"), "{name}: {error}");
    }
}

#[test]
fn a_list_names_copies_and_kernels() {
    let folder = tempfile::tempdir().unwrap();
    written(folder.path(), "kernel-1.traceg.zst", b"");
    let text = "MemcpyHtoD,0x00007f0000001000,4096\nkernel-1.traceg\n\n# more\n";
    let list = KernelList::read(&written(folder.path(), "kernelslist.g", text.as_bytes())).unwrap();
    assert_eq!(list.commands[0], Command::CopyToDevice { address: 0x7f00_0000_1000, bytes: 4096 });
    assert_eq!(list.kernels().collect::<Vec<_>>(), [folder.path().join("kernel-1.traceg.zst")]);
    for (text, line, part) in [
        ("MemcpyHtoD,zz,1\nkernel-1.traceg\n", 1, "is not a copy"),
        ("\nkernel-2.traceg.xz\n", 2, "is not beside the list"),
        ("MemcpyHtoD,0x1,1\n", 0, "names no kernel"),
    ] {
        let error = KernelList::read(&written(folder.path(), "kernelslist.g", text.as_bytes())).unwrap_err();
        assert!(error.message.contains(part) && error.line == line, "{error}");
    }
    assert!(is_list_name("a/kernelslist.g") && !is_list_name("kernel-1.traceg"));
    assert!(is_trace_name("kernel-1-ctx_0x1.traceg.xz") && !is_trace_name("kernel-1.trace"));
}

#[test]
fn static_instructions_with_what_the_opcode_tells() {
    let lines = [
        "0000 ffffffff 0 SHFL.BFLY 2 R97 R4 0 31",
        "0010 ffffffff 0 LOP3.LUT 3 R255 R13 R255 0 192",
        "0020 0000ffff 1 R3 MOV 0 0 5",
        "0030 ffffffff 1 R4 IADD3 2 R2 R255 0 0",
        "0040 ffffffff 1 R5 IADD3.X 2 R3 R255 0 0",
        "0050 ffffffff 0 ULDC.64 0 0 0",
        "0060 ffffffff 0 S2UR 0 0 0",
        "0070 ffffffff 0 LDGSTS.E.BYPASS.LTC128B.128 2 R9 R10 16 1 0x7f0000000000 16 0",
        "0080 ffffffff 0 ATOMG.E.ADD.STRONG.GPU 3 R7 R2 R5 4 1 0x7f0000000000 0 0",
        "0090 ffffffff 0 BRA 0 0 0",
        "00a0 ffffffff 0 EXIT 0 0 0",
    ];
    let kernel = TracedKernel::of(reader(&(header(5) + &block(0, &[&lines, &[]]))).unwrap()).unwrap();
    let uses: Vec<Uses> = kernel.instructions.iter().map(|one| Uses::of(one).unwrap()).collect();
    let written = |at: usize| (uses[at].written.first, uses[at].written.count);
    assert_eq!(written(0), (97, 1), "the destination behind a predicate is listed as a source");
    assert_eq!(uses[0].slots[0].first, 4);
    assert_eq!((written(1), uses[1].predicates_written), ((0, 0), 1));
    assert_eq!(uses[2].guard, 1, "fewer lanes than the instructions beside it");
    assert_eq!(uses[4].predicates_read & uses[3].predicates_written, 2, "the carry");
    assert!(uses[5].written.is_empty() && uses[5].class == OpClass::UniformLoad);
    assert!(uses[6].written.is_empty());
    assert_eq!((uses[7].class, uses[7].access_bytes), (OpClass::CopyGlobalToShared, 16));
    assert_eq!((written(8), uses[8].slots[0].first, uses[8].slots[0].count), ((7, 1), 2, 2), "an address is a pair");
    assert_eq!((uses[9].guard, uses[10].guard), (1, 0), "a branch; the end of the warp");
    assert_eq!(kernel.successors[..3], [(0, 1), (1, 2), (2, 3)]);
}

#[test]
fn functions_that_share_addresses_are_kept_apart() {
    let lines = [
        "0000 ffffffff 1 R1 MOV 0 0 0",
        "0010 ffffffff 0 CALL.REL.NOINC 0 0 0",
        "0000 ffffffff 1 R2 MUFU.RCP 1 R3 0 0",
        "0010 ffffffff 0 RET.REL.NODEC 1 R4 0 0",
        "0020 ffffffff 0 EXIT 0 0 0",
    ];
    let kernel = TracedKernel::of(reader(&(header(5) + &block(0, &[&lines, &[]]))).unwrap()).unwrap();
    let mnemonics: Vec<&str> = kernel.instructions.iter().map(|one| one.mnemonic.as_str()).collect();
    assert_eq!(mnemonics, ["MOV", "CALL", "EXIT", "MUFU", "RET", "NOP"]);
    assert_eq!(kernel.successors, [(0, 1), (1, 3), (3, 4), (4, 2)]);
}

#[test]
fn a_replay_gives_lanes_lines_and_passes() {
    let folder = tempfile::tempdir().unwrap();
    let path = written(folder.path(), "k.traceg", copy_trace().as_bytes());
    let mut replay = Replay::new(Arc::new(TracedKernel::read(&path).unwrap())).unwrap();
    let mut stream = CtaStream::default();
    replay.run_block(0, &mut stream).unwrap();
    let warp = &stream.warps[0];
    assert_eq!(warp.iter().map(|op| op.index).collect::<Vec<_>>(), [0, 1, 2, 3, 4, 5, 6, 7]);
    assert_eq!((warp[0].access, warp[5].lanes), (NO_ACCESS, 0xffff));
    let load = stream.accesses[warp[2].access as usize];
    assert_eq!((load.space, load.kind, load.bytes), (Space::Global, AccessKind::Load, 128));
    let lines: Vec<_> = stream.lines_of(&load).iter().map(|line| (line.address, line.sectors)).collect();
    assert_eq!(lines, [(0x7f00_0000_1000, 0b1111)], "32 lanes of 4 bytes are one line");
    let store = stream.accesses[warp[5].access as usize];
    assert_eq!((store.kind, stream.lines_of(&store)[0].sectors), (AccessKind::Store, 0b0011), "16 lanes of 4 bytes");
    let shared = stream.accesses[warp[6].access as usize];
    assert_eq!((shared.space, shared.passes), (Space::Shared, 2), "0x10 and 0x90 lie in the same bank");
    // Any order, with the same result.
    let first = stream.clone();
    replay.run_block(1, &mut stream).unwrap();
    assert!(stream.warps[1].is_empty());
    replay.run_block(0, &mut stream).unwrap();
    assert_eq!(stream, first);
    assert!(replay.run_block(2, &mut stream).is_err());
}

#[test]
fn generic_accesses_go_where_their_window_says() {
    let line = |address: &str| format!("0000 ffffffff 1 R0 LD.E 1 R4 4 1 {address} 4 0");
    let folder = tempfile::tempdir().unwrap();
    for (address, space) in
        [("0x7f0000001000", Space::Global), ("0x7f1000000080", Space::Shared), ("0x7f2000000080", Space::Local)]
    {
        let line = line(address);
        let text = header(5) + &block(0, &[&[&line, "0010 ffffffff 0 EXIT 0 0 0"], &[]]);
        let path = written(folder.path(), "k.traceg", text.as_bytes());
        let mut stream = CtaStream::default();
        Replay::new(Arc::new(TracedKernel::read(&path).unwrap())).unwrap().run_block(0, &mut stream).unwrap();
        assert_eq!(stream.accesses[0].space, space, "{address}");
    }
}

/// `ORRERY_TRACES` names a folder; every `.traceg` below it must be read, and agree with the `stats.csv` beside it.
#[test]
#[ignore = "needs a folder of traces"]
fn a_folder_of_traces_is_read() {
    let folder = std::env::var("ORRERY_TRACES").expect("ORRERY_TRACES should name a folder");
    let (mut traces, mut instructions, mut compared) = (0, 0, 0);
    let mut folders = vec![PathBuf::from(folder)];
    while let Some(folder) = folders.pop() {
        let stats = std::fs::read_to_string(folder.join("stats.csv")).unwrap_or_default();
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() {
                folders.push(path);
            } else if is_trace_name(&name) {
                let kernel = TracedKernel::read(&path).unwrap_or_else(|error| panic!("{error}"));
                traces += 1;
                instructions += kernel.totals.warp_instructions;
                // The tracer counts an instruction with two addresses twice; its lines are joined afterwards.
                let stem = name.split(".trace").next().unwrap();
                if let Some(row) = stats.lines().find(|row| row.starts_with(&format!("{stem}.trace"))) {
                    let written: u64 = row.rsplit(',').next().unwrap().trim().parse().unwrap();
                    let twice = kernel.totals.by_opcode.get("LDGSTS").unwrap_or(&0);
                    assert_eq!(kernel.totals.warp_instructions + twice, written, "{}", path.display());
                    compared += 1;
                }
                assert_eq!(kernel.totals.blocks, kernel.header.blocks(), "{}", path.display());
            } else if is_list_name(&name) {
                KernelList::read(&path).unwrap_or_else(|error| panic!("{error}"));
            }
        }
    }
    println!("{traces} traces, {instructions} warp instructions, {compared} compared with stats.csv");
    assert!(traces > 0);
}

/// A written trace replays as the launch ran: the same instructions, lanes, lines and passes.
#[test]
fn what_is_written_is_read_again() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["vectoradd", "saxpy", "softmax"] {
        let launch = workloads::sass::catalog::launch(name).unwrap();
        let kernel = workloads::sass::catalog::kernel(&launch.kernel, "sm_86").unwrap();
        let mut text = Vec::new();
        let mut grid = workloads::sass::exec::Grid::new(&kernel, &launch).unwrap();
        workloads::accel_sim::write(&mut grid, &launch, &mut text).unwrap();
        let path = written(folder.path(), "k.traceg", &text);
        let traced = TracedKernel::read(&path).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(traced.header.arch, "sm_86");
        assert_eq!(traced.header.shared_bytes, launch.shared_bytes(&kernel), "{name}");
        let mut replay = Replay::new(Arc::new(traced)).unwrap();
        let mut grid = workloads::sass::exec::Grid::new(&kernel, &launch).unwrap();
        let (mut ran, mut played) = (CtaStream::default(), CtaStream::default());
        for cta in 0..grid.cta_count().min(3) as u32 {
            grid.run_cta(cta, &mut ran).unwrap();
            replay.run_block(cta, &mut played).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(ran.warps.len(), played.warps.len());
            for (ran_op, played_op) in ran.warps.iter().flatten().zip(played.warps.iter().flatten()) {
                let text = &kernel.instructions[ran_op.index as usize].text;
                assert_eq!((ran_op.index, ran_op.lanes), (played_op.index, played_op.lanes), "{name}: {text}");
                let of = |stream: &CtaStream, access: u32| {
                    let access = *stream.accesses.get(access as usize)?;
                    let lines = stream.lines_of(&access).to_vec();
                    Some((access.space, access.kind, access.bytes, access.passes, lines))
                };
                // Reads of constants are not traced.
                let (own, other) = (of(&ran, ran_op.access), of(&played, played_op.access));
                assert!(
                    own == other || matches!(own, Some((Space::Constant, ..))),
                    "{name}: {text}: {own:?} {other:?}"
                );
            }
        }
    }
}
