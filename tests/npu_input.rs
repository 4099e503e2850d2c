//! Wrong networks and task lists from the command line: exit code 2, the file with the line, what is wrong and what to do;
//! nothing on standard output, no folder of results.

mod common;
#[path = "../workloads/tests/common/onnx.rs"]
#[allow(dead_code, reason = "each test file uses some of it")]
mod models;

use common::{Seen, orrery};
use models::{Dim, FLOAT, ModelBuilder, attention, small_network};
use tempfile::TempDir;
use workloads::tensor::onnx::schema::{StringStringEntryProto, tensor_proto::DataLocation};

/// Runs a file and more options with a folder for results.
fn run(name: &str, contents: &[u8], more: &[&str]) -> (TempDir, Seen) {
    let folder = TempDir::new().unwrap();
    std::fs::write(folder.path().join(name), contents).unwrap();
    let arguments = [&["run", "npu-4", name, "--out", "results"], more].concat();
    let seen = orrery(folder.path(), &arguments);
    (folder, seen)
}

/// All of `expected` is in the message, and nothing else happened.
#[track_caller]
fn refused(name: &str, contents: &[u8], more: &[&str], expected: &[&str]) {
    let (folder, seen) = run(name, contents, more);
    assert_eq!(seen.code, 2, "{name}: {}", seen.err);
    // Without the frame that long messages are broken into.
    let message = seen.err.replace('│', " ").split_whitespace().collect::<Vec<_>>().join(" ");
    for part in expected {
        assert!(message.contains(part), "{name}: no `{part}` in: {}", seen.err);
    }
    assert!(!seen.err.contains("panicked"), "{name}: {}", seen.err);
    assert_eq!(seen.out, "", "{name}: nothing half done");
    assert!(!folder.path().join("results").exists(), "{name}: no folder of results");
}

fn cpu(id: u32, wait: &str, update: &str) -> String {
    format!(r#"{{"id":{id},"engine":"cpu","cycles":9,"wait":{wait},"update":{update}}}"#)
}

#[test]
fn task_lists_whose_barriers_cannot_work() {
    let circle =
        ["# three tasks in a circle".to_owned(), cpu(1, "[2]", "[0]"), cpu(2, "[0]", "[1]"), cpu(3, "[1]", "[2]")];
    let expected = [
        "[tasks.jsonl:2:1]",
        "cyclic waits",
        "task 1 waits for barrier 2 of task 3",
        "task 3 waits for barrier 1 of task 2",
        "without cycles",
    ];
    refused("tasks.jsonl", circle.join("\n").as_bytes(), &[], &expected);
    let orphan = [cpu(1, "[]", "[0]"), cpu(2, "[0,7]", "[]")].join("\n");
    let expected = ["[tasks.jsonl:2:1]", "task 2: waits for barrier 7, which no task updates", "name it in `update`"];
    refused("tasks.jsonl", orphan.as_bytes(), &[], &expected);
    // A queue works in order: what the second task waits for comes behind it on the same queue.
    let behind = [cpu(1, "[0]", "[]"), cpu(2, "[]", "[0]")].join("\n");
    let expected = [
        "[tasks.jsonl:1:1]",
        "deadlock: task 1 on cpu waits for barrier 0 of task 2 on cpu",
        "in the order of the list",
    ];
    refused("tasks.jsonl", behind.as_bytes(), &[], &expected);
    let twice = [cpu(5, "[]", "[]"), String::new(), cpu(5, "[]", "[]")].join("\n");
    let expected = ["[tasks.jsonl:3:1]", "task 5: the id is taken by the task of line 1", "an id of its own"];
    refused("tasks.jsonl", twice.as_bytes(), &[], &expected);
}

/// NPU 4 has 256 slots a barrier and 96 physical barriers.
#[test]
fn task_lists_that_want_more_barriers_than_there_are() {
    let crowd: Vec<String> = (0..257).map(|id| cpu(id, "[]", "[0]")).chain([cpu(257, "[0]", "[]")]).collect();
    let expected =
        ["[tasks.jsonl:257:1]", "task 256: barrier 0 has 257 producers and consumers", "the machine has 256 slots"];
    refused("tasks.jsonl", crowd.join("\n").as_bytes(), &[], &expected);
    // 97 barriers that stay in use until the last task has run, which updates the 97th.
    let all: Vec<String> = (0..97).map(|barrier| barrier.to_string()).collect();
    let transfer = |id: usize, update: usize| {
        format!(r#"{{"id":{id},"engine":"dma","port":0,"src":"ddr","dst":"cmx0","bytes":64,"update":[{update}]}}"#)
    };
    let mut list: Vec<String> = (0..97).map(|n| transfer(n, n)).collect();
    list.push(cpu(1000, &format!("[{}]", all.join(",")), "[]"));
    let expected = ["deadlock", "a physical barrier for barrier 96: all 96 are in use", "order of their first mention"];
    refused("tasks.jsonl", list.join("\n").as_bytes(), &[], &expected);
}

#[test]
fn task_lists_that_do_not_fit_the_machine() {
    let dma = |rest: &str| format!("{}\n{{\"id\":2,\"engine\":\"dma\",{rest}}}\n", cpu(1, "[]", "[]"));
    let cases = [
        (
            dma(r#""port":0,"src":"ddr","dst":"cmx0","bytes":99999999"#),
            ["CMX overflow: it needs 99999999 bytes", "1440 KiB"],
        ),
        (
            dma(r#""port":0,"src":"ddr","dst":"cmx0","bytes":64,"cmx":[{"tile":0,"offset":1474500,"bytes":64}]"#),
            ["CMX overflow: 64 bytes at 1474500 of tile 0", "1474560 bytes of CMX"],
        ),
        (dma(r#""port":2,"src":"ddr","dst":"cmx0","bytes":64"#), ["there is no DMA port 2", "the machine has 2"]),
        (dma(r#""port":0,"src":"ddr","dst":"cmx6","bytes":64"#), ["there is no tile 6", "the machine has 6"]),
        (dma(r#""port":0,"src":"ddr","dst":"cmx0","bytes":0"#), ["moves no bytes", "at least 1"]),
        (dma(r#""port":0,"src":"ddr","dst":"cmx0","byte":1"#), ["byte", "did you mean `bytes`?"]),
        (dma(r#""port":0,"src":"ddr","dst":"cmx0","bytes":64"#).replace("}\n{", "}{"), ["not a JSON object", ""]),
    ];
    for (list, expected) in cases {
        let line = if list.contains("}{") { "[tasks.jsonl:1:1]" } else { "[tasks.jsonl:2:1]" };
        refused("tasks.jsonl", list.as_bytes(), &[], &[&expected[..], &[line]].concat());
    }
    // 16 channels of 1024 × 1024 of 16 bits in one variant.
    let variant = r#"{"op":"conv","dtype":"f16","in":[1024,1024,16],"out":[1024,1024,16]}"#;
    let list = format!(r#"{{"id":1,"engine":"dpu","tile":0,"variants":[{variant}]}}"#);
    refused("tasks.jsonl", list.as_bytes(), &[], &["[tasks.jsonl:1:1]", "task 1: CMX overflow", "1440 KiB"]);
    refused("tasks.jsonl", b"", &[], &["tasks.jsonl", "has no tasks", "one JSON object on every line"]);
    refused("tasks.jsonl", b"\xff\xfe\x00", &[], &["tasks.jsonl"]);
}

#[test]
fn onnx_files_that_are_cut_or_of_another_time() {
    let bytes = small_network().bytes();
    for length in [1, bytes.len() / 3, bytes.len() - 3] {
        refused("net.onnx", &bytes[..length], &[], &["net.onnx", "truncated or is no ONNX model: get it again"]);
    }
    refused("net.onnx", b"<html>not found</html>", &[], &["net.onnx", "get it again"]);
    for opset in [5, 99] {
        let mut model = small_network();
        model.model.opset_import[0].version = Some(opset);
        let expected = ["net.onnx", &format!("opset {opset} is not known"), "opset 6 to 28", "version_converter"];
        refused("net.onnx", &model.bytes(), &[], &expected);
    }
}

#[test]
fn onnx_files_with_open_dimensions() {
    let bytes = attention(Dim::Named("tokens")).bytes();
    let expected = ["net.onnx", "the dimensions batch, tokens of its inputs are open", "--dim batch=1 --dim tokens=1"];
    refused("net.onnx", &bytes, &[], &expected);
    refused("net.onnx", &bytes, &["--dim", "batch=2"], &["the dimensions tokens of its inputs", "--dim tokens=1"]);
    refused("net.onnx", &bytes, &["--dim", "batch=2", "--dim", "tokens=0"], &["tokens"]);
    refused("net.onnx", &bytes, &["--dim", "batch=2", "--dim", "tokens=many"], &["tokens=many"]);
    // A name that no input has is a slip of the pen.
    refused("net.onnx", &bytes, &["--dim", "batch=2", "--dim", "token=4"], &["--dim tokens=1"]);
}

#[test]
fn onnx_files_whose_external_data_are_not_there() {
    let model = |location: &str| {
        let mut model = ModelBuilder::new(13);
        model.image("x", &[1, 64]).weight("w", FLOAT, &[64, 32]);
        let weight = &mut model.graph().initializer[0];
        weight.data_location = Some(DataLocation::External as i32);
        let entry =
            |key: &str, value: &str| StringStringEntryProto { key: Some(key.into()), value: Some(value.into()) };
        weight.external_data = vec![entry("location", location), entry("length", "8192")];
        model.node("MatMul", &["x", "w"], &["y"]);
        model.output("y").bytes()
    };
    let expected = ["net.onnx", "initializer `w`: external data `w.bin` cannot be read", "lie beside the model"];
    refused("net.onnx", &model("w.bin"), &[], &expected);
    refused("net.onnx", &model("../w.bin"), &[], &["`../w.bin` lies outside the model's folder", "beside the model"]);
    // The model itself is shorter than the data should be.
    refused("net.onnx", &model("net.onnx"), &[], &["bytes of 8192", "truncated: get it again"]);
}
