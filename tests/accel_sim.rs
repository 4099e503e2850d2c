//! Accel-Sim traces from the command line: run, look at, check. The traces are written here.

mod common;

use common::orrery;
use std::path::Path;
use tempfile::TempDir;

/// One block of two warps: load, add, store.
fn trace(arch: u32) -> String {
    let warp = |number: u32, address: u64| {
        format!(
            "warp = {number}\ninsts = 6\n0000 ffffffff 1 R2 S2R 0 0 0\n0010 ffffffff 1 R4 IMAD.WIDE 2 R2 R255 0 4\n\
             0020 ffffffff 1 R0 LDG.E 1 R4 4 1 {address:#x} 4 0\n0030 ffffffff 1 R5 FADD 2 R0 R0 0 0\n\
             0040 ffffffff 0 STG.E 2 R4 R5 4 1 {address:#x} 4 0\n0050 ffffffff 0 EXIT 0 0 0\n\n"
        )
    };
    format!(
        "-kernel name = _Z5twicePf\n-kernel id = 1\n-grid dim = (1,1,1)\n-block dim = (64,1,1)\n-shmem = 0\n-nregs = 8\n\
         -binary version = {arch}\n-shmem base_addr = 0x00007f1000000000\n-local mem base_addr = 0x00007f2000000000\n\
         -accelsim tracer version = 5\n-enable lineinfo = 0\n\n#traces format = ...\n\n#BEGIN_TB\n\nthread block = 0,0,0\n\n\
         {}{}#END_TB\n",
        warp(0, 0x7f00_0000_1000),
        warp(1, 0x7f00_0000_1080),
    )
}

fn write(folder: &Path, name: &str, text: &str) {
    std::fs::write(folder.join(name), text).unwrap();
}

fn traces() -> TempDir {
    let folder = TempDir::new().unwrap();
    write(folder.path(), "kernel-1.traceg", &trace(86));
    let packed = zstd::encode_all(trace(86).as_bytes(), 3).unwrap();
    std::fs::write(folder.path().join("kernel-2.traceg.zst"), packed).unwrap();
    let list = "MemcpyHtoD,0x00007f0000001000,256\nkernel-1.traceg\nkernel-2.traceg.zst\n";
    write(folder.path(), "kernelslist.g", list);
    write(folder.path(), "old.traceg", &trace(61));
    write(folder.path(), "volta.traceg", &trace(70));
    let whole = trace(86);
    write(folder.path(), "count.traceg", &whole.replacen("insts = 6", "insts = 7", 1));
    write(folder.path(), "far.traceg", &whole.replace("0x7f0000001080", "0x7f00000000001080"));
    write(folder.path(), "shared.traceg", &whole.replace("LDG.E 1 R4 4 1 0x7f0000001080", "LDS 1 R4 4 1 0x8000"));
    write(folder.path(), "cut.traceg", &whole[..whole.find("0040").unwrap()]);
    folder
}

#[test]
fn a_trace_runs_and_the_kernels_of_a_list_leave_their_caches_to_the_next() {
    let folder = traces();
    let run = |workload: &str, shards: &str| {
        let arguments = ["run", "rtx-3070", workload, "-o", "none", "--json", "--shards", shards];
        let seen = orrery(folder.path(), &arguments);
        assert_eq!(seen.code, 0, "{}", seen.err);
        let document = seen.json();
        assert_eq!(document["stats"]["sm"]["instructions_issued"]["value"].as_u64().map(|count| count % 12), Some(0));
        document["simulated"]["cycles"].as_u64().unwrap()
    };
    let one = run("kernel-1.traceg", "1");
    // A load that goes to memory and back, and the launch overhead of the machine.
    assert!(one > 1000, "{one}");
    assert_eq!(run("kernel-2.traceg.zst", "1"), one, "packed or not");
    // The second launch pays its overhead, but finds the line of the first in the L2.
    let both = run("kernelslist.g", "1");
    assert!(one + 1000 < both && both < 2 * one - 100, "{both} of {one}");
    assert_eq!(run("kernelslist.g", "4"), both, "shards");
    assert_eq!(run("kernel-1.traceg", "4"), one, "shards");
}

/// Launches of one stream follow each other, those of two run side by side: the second is over its overhead sooner.
#[test]
fn the_streams_of_a_trace_run_side_by_side() {
    let folder = traces();
    let in_stream = |stream: &str| trace(86).replace("-shmem =", &format!("-cuda stream id = {stream}\n-shmem ="));
    write(folder.path(), "kernel-3.traceg", &in_stream("0"));
    write(folder.path(), "kernel-4.traceg", &in_stream("94207"));
    write(folder.path(), "kernel-5.traceg", &in_stream("-1"));
    write(folder.path(), "kernelslist-one.g", "kernel-3.traceg\nkernel-3.traceg\n");
    write(folder.path(), "kernelslist-two.g", "kernel-3.traceg\nkernel-4.traceg\n");
    write(folder.path(), "kernelslist-bad.g", "kernel-3.traceg\nkernel-5.traceg\n");
    let run = |list: &str, shards: &str| {
        orrery(folder.path(), &["run", "rtx-3070", list, "-o", "none", "--json", "--shards", shards])
    };
    let times = |document: &serde_json::Value, launch: &str| -> (u64, u64) {
        let of = |key: &str| document["stats"]["cp"]["launch"][launch][key]["value"].as_u64().unwrap();
        (of("begin"), of("end"))
    };
    let one = run("kernelslist-one.g", "1").json();
    assert_eq!(times(&one, "2").0, times(&one, "1").1, "begins when the one before is over");
    let two = run("kernelslist-two.g", "1").json();
    assert_eq!((times(&two, "1").0, times(&two, "2").0), (0, 0));
    // They are for the same addresses, and do not wait for each other.
    assert!(times(&two, "2").1 < times(&one, "1").1 + 100, "{two}");
    let many = run("kernelslist-two.g", "3").json();
    assert_eq!(many["stats"], two["stats"], "shards");
    let bad = run("kernelslist-bad.g", "1");
    assert!(bad.code == 2 && bad.err.contains("kernel-5.traceg:5") && bad.err.contains("is no stream"), "{}", bad.err);
}

/// Machines that no kernel is shipped for.
#[test]
fn older_traces_run_on_their_machines() {
    let folder = traces();
    for (machine, trace) in [("gtx-1080", "old.traceg"), ("v100", "volta.traceg")] {
        let seen = orrery(folder.path(), &["run", machine, trace, "-o", "none", "--json"]);
        assert_eq!(seen.code, 0, "{}", seen.err);
        assert_eq!(seen.json()["stats"]["sm"]["instructions_issued"]["value"].as_u64(), Some(12));
        let seen = orrery(folder.path(), &["run", machine, "saxpy"]);
        assert!(seen.code == 2 && seen.err.contains("it is shipped for sm_75"), "{}", seen.err);
    }
}

#[test]
fn views_are_of_one_kernel() {
    let folder = traces();
    let arguments = ["run", "rtx-3070", "kernel-1.traceg", "-o", "out", "-q", "--pipeline=0..20000"];
    let seen = orrery(folder.path(), &arguments);
    assert_eq!(seen.code, 0, "{}", seen.err);
    let drawn = std::fs::read_to_string(folder.path().join("out/pipeline.kanata")).unwrap();
    assert!(drawn.contains("LDG.E R0, R4"), "{drawn}");
}

#[test]
fn what_cannot_run_says_why() {
    let folder = traces();
    for (arguments, part) in [
        (&["run", "rtx-3070", "old.traceg"][..], "is a trace of sm_61, but rtx-3070 is of sm_86"),
        (&["run", "h100-pcie", "kernel-1.traceg"], "machines that run sm_86: rtx-3070, rtx-4090, rtx-a6000"),
        (&["run", "rtx-3070", "cut.traceg"], "the file ends within warp 0"),
        (&["run", "rtx-3070", "count.traceg"], "insts = 7, but 6 instruction lines follow"),
        (&["run", "rtx-3070", "far.traceg"], "outside the memory of a GPU"),
        (&["run", "rtx-3070", "shared.traceg"], "outside the shared memory of a block"),
        (&["run", "rtx-3070", "old.traceg"], "machines that run sm_61: gtx-1080"),
        (&["run", "rtx-3070", "kernel-1.traceg", "--coupled"], "no values to compute at issue"),
        (&["run", "rtx-3070", "kernel-1.traceg", "--until", "9"], "a trace runs in one piece"),
        (&["run", "rtx-3070", "kernelslist.g", "--timeline"], "are of one kernel"),
        (&["trace", "info", "cut.traceg"], "the file ends within warp 0"),
        (&["trace", "check", "cut.traceg"], "the file ends within warp 0"),
    ] {
        let seen = orrery(folder.path(), arguments);
        // Words of a message may stand on two lines.
        let message: Vec<&str> = seen.err.split_whitespace().filter(|word| *word != "│").collect();
        assert!(message.join(" ").contains(part), "{arguments:?}: {}", seen.err);
        assert_eq!(seen.code, 2, "{arguments:?}");
    }
}

#[test]
fn info_and_check_count() {
    let folder = traces();
    let seen = orrery(folder.path(), &["trace", "info", "kernel-1.traceg"]);
    assert_eq!(seen.code, 0, "{}", seen.err);
    for part in
        ["_Z5twicePf (sm_86), Accel-Sim version 5", "1 blocks, 2 warps, 12 warp instructions of 32.0 lanes", "LDG 2"]
    {
        assert!(seen.out.contains(part), "{}", seen.out);
    }
    let seen = orrery(folder.path(), &["trace", "check", "kernelslist.g", "--json"]);
    let document = seen.json();
    assert_eq!(
        (seen.code, document["kernels"].as_u64(), document["warp_instructions"].as_u64()),
        (0, Some(2), Some(24))
    );
    // A tracer that was stopped early leaves blocks out.
    write(folder.path(), "part.traceg", &trace(86).replace("grid dim = (1,1,1)", "grid dim = (3,1,1)"));
    let seen = orrery(folder.path(), &["trace", "check", "part.traceg"]);
    assert!(seen.code == 1 && seen.out.contains("1 of 3 blocks"), "{}", seen.out);
}

#[test]
fn an_exported_launch_runs_again() {
    let folder = TempDir::new().unwrap();
    let export = ["trace", "export", "--format", "accel-sim", "vectoradd", "--arch", "sm_86", "-o", "t"];
    let seen = orrery(folder.path(), &export);
    assert_eq!(seen.code, 0, "{}", seen.err);
    let cycles = |workload: &str| {
        let seen = orrery(folder.path(), &["run", "rtx-3070", workload, "-o", "none", "--json"]);
        assert_eq!(seen.code, 0, "{}", seen.err);
        seen.json()["simulated"]["cycles"].as_f64().unwrap()
    };
    // Constants are not traced, which saves their misses (D-56), and control fields are derived; memory and order are
    // the same.
    let ratio = cycles("t/kernelslist.g") / cycles("vectoradd");
    assert!((0.7..1.1).contains(&ratio), "{ratio}");
    let seen = orrery(folder.path(), &["trace", "export", "--format", "accel-sim", "vectorad"]);
    assert!(seen.code == 2 && seen.err.contains("vectoradd"), "{}", seen.err);
}
