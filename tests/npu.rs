//! NPUs from the command line: networks in every form on both kinds of machines, what their reports sum to, and what a user
//! reads when a model is wrong.

mod common;
#[path = "../workloads/tests/common/onnx.rs"]
#[allow(dead_code, reason = "each test file uses some of it")]
mod models;

use common::{Seen, orrery, perfetto};
use models::{Attributes, Dim, attention, quantised_pair, small_network};
use serde_json::Value;
use tempfile::TempDir;

const TASKS: &str = r#"{"id":1,"engine":"dma","port":0,"src":"ddr","dst":"cmx0-5","bytes":36864,"update":[0],"layer":"conv"}
{"id":2,"engine":"dpu","tile":0,"wait":[0],"update":[1],"layer":"conv","variants":[{"op":"conv","dtype":"u8","in":[58,16,64],"out":[56,14,64],"k":[3,3]}]}
{"id":3,"engine":"dma","port":1,"src":"cmx0","dst":"ddr","bytes":50176,"wait":[1],"layer":"store"}
"#;

fn with_files(files: &[(&str, &[u8])], arguments: &[&str]) -> (TempDir, Seen) {
    let folder = TempDir::new().unwrap();
    for (name, contents) in files {
        std::fs::write(folder.path().join(name), contents).unwrap();
    }
    let seen = orrery(folder.path(), arguments);
    (folder, seen)
}

#[track_caller]
fn document(file: &str, contents: &[u8], machine: &str) -> Value {
    let (_folder, seen) = with_files(&[(file, contents)], &["run", machine, file, "--json", "--out", "none"]);
    assert_eq!(seen.code, 0, "{}", seen.err);
    seen.json()
}

fn layers(document: &Value) -> &Vec<Value> {
    document["stats"]["layers"].as_array().expect("a table of layers")
}

fn sum(document: &Value, key: &str) -> u64 {
    layers(document).iter().map(|layer| layer[key].as_u64().unwrap()).sum()
}

#[test]
fn layers_sum_to_the_run_on_both_machines() {
    for machine in ["npu-4", "npu-2.7", "tpu-v4-like"] {
        let document = document("small.onnx", &small_network().bytes(), machine);
        assert_eq!(sum(&document, "cycles"), document["simulated"]["cycles"].as_u64().unwrap(), "{machine}");
        assert_eq!(sum(&document, "macs"), 442_368 + 589_824 + 160, "{machine}");
        let names: Vec<&str> = layers(&document).iter().map(|layer| layer["name"].as_str().unwrap()).collect();
        assert_eq!(names, ["c1", "p1", "c2", "s2", "g", "f", "scores", "classes"], "{machine}");
        let breakdown = &document["breakdown"];
        let parts: u64 = breakdown["parts"].as_object().unwrap().values().map(|part| part.as_u64().unwrap()).sum();
        assert_eq!(parts, breakdown["total"].as_u64().unwrap(), "{machine}");
    }
}

#[test]
fn engines_and_energy_account_for_all_of_the_run() {
    let document = document("small.onnx", &small_network().bytes(), "npu-4");
    let makespan = document["breakdown"]["total"].as_u64().unwrap();
    for (engine, uses) in document["stats"]["engines"].as_object().unwrap() {
        let total: u64 = uses.as_object().unwrap().values().map(|part| part["value"].as_u64().unwrap()).sum();
        assert_eq!(total, makespan, "{engine}");
    }
    let energy = &document["stats"]["energy"];
    let (trace, window) = (&energy["trace"]["milliwatts"], energy["trace"]["window_ps"].as_f64().unwrap());
    let integral: f64 = trace.as_array().unwrap().iter().map(|mw| mw.as_f64().unwrap() * window / 1e3).sum();
    let total = energy["total"]["value"].as_f64().unwrap();
    assert!((integral / total - 1.0).abs() < 1e-9, "{integral} pJ in the trace, {total} in the report");
}

/// Of the weights 16·27 and 16·144 elements of 16 bits come from DDR at least, of the image 3 KiB of elements.
#[test]
fn every_byte_that_has_to_come_comes() {
    let document = document("small.onnx", &small_network().bytes(), "npu-4");
    let read = sum(&document, "ddr_read_bytes");
    assert!(read >= 2 * (16 * 27 + 16 * 144 + 10 * 16 + 3 * 32 * 32), "{read}");
    assert_eq!(sum(&document, "ddr_write_bytes"), 2 * 10, "the classes alone leave");
}

#[test]
fn a_quantised_model_moves_bytes_of_integers() {
    let document = document("q.onnx", &quantised_pair().bytes(), "npu-4");
    // The image and the result of 8 · 16 · 16 bytes, 8 · 72 weights.
    assert_eq!(sum(&document, "ddr_write_bytes"), 8 * 16 * 16);
    let read = sum(&document, "ddr_read_bytes");
    assert!((8 * 16 * 16 + 8 * 72..2 * (8 * 16 * 16 + 8 * 72)).contains(&read), "{read}");
}

#[test]
fn open_dimensions_are_given_on_the_command_line() {
    let bytes = attention(Dim::Named("tokens")).bytes();
    let run = |more: &[&str]| {
        let arguments = [&["run", "npu-4", "model.onnx", "--json", "--out", "none"], more].concat();
        with_files(&[("model.onnx", &bytes)], &arguments).1
    };
    let seen = run(&[]);
    assert_eq!(seen.code, 2);
    assert!(seen.err.contains("--dim batch=1 --dim tokens=1"), "{}", seen.err);
    let seen = run(&["--dim", "batch=2", "--dim", "tokens=10"]);
    assert_eq!(seen.code, 0, "{}", seen.err);
    assert_eq!(sum(&seen.json(), "macs"), 2 * 10 * 4 * 64 * 64 + 2 * 4 * 10 * 10 * 2 * 16);
    assert_eq!(run(&["--dim", "batch"]).code, 2);
}

#[test]
fn an_unknown_operator_warns_and_is_an_error_if_asked() {
    let mut model = models::ModelBuilder::new(13);
    model.image("x", &[1, 64]).node("Frobnicate", &["x"], &["y"]).with_int("axis", 1);
    let bytes = model.output("y").bytes();
    for machine in ["npu-4", "tpu-v4-like"] {
        let run = |more: &[&str]| {
            let arguments = [&["run", machine, "model.onnx", "--json", "--out", "none"], more].concat();
            with_files(&[("model.onnx", &bytes)], &arguments).1
        };
        let seen = run(&[]);
        assert_eq!(seen.code, 0, "{}", seen.err);
        assert!(seen.err.contains("warning: node `y`: operator Frobnicate is not known"), "{}", seen.err);
        assert!(seen.json()["simulated"]["cycles"].as_u64().unwrap() > 0, "{machine}: nothing is free");
        let seen = run(&["--strict"]);
        assert_eq!(seen.code, 2, "{}", seen.err);
    }
}

#[test]
fn other_forms_of_networks_run() {
    // SCALE-Sim v2 and v3 give 77,111 cycles for this product on a 32 × 32 array, weights stationary.
    let csv = b"Layer,M,N,K\nb,25,384,1728\n";
    assert_eq!(document("b.csv", csv, "scalesim-32x32-ws")["simulated"]["cycles"], 77_111);
    // Arrays of SCALE-Sim are there in any size: 14 folds of 2 · 256 + 256 + 25 − 2 cycles.
    assert_eq!(document("b.csv", csv, "scalesim-256x256-ws")["simulated"]["cycles"], 14 * 791 - 1);
    let table = "[[task]]\nid = 1\nengine = \"cpu\"\ncycles = 9\n";
    assert_eq!(layers(&document("tasks.toml", table.as_bytes(), "npu-4")).len(), 1);
    let tasks = document("tasks.jsonl", TASKS.as_bytes(), "npu-4");
    let names: Vec<&str> = layers(&tasks).iter().map(|layer| layer["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["conv", "store"]);
    assert_eq!(sum(&tasks, "macs"), 56 * 14 * 64 * 64 * 9);
    let (_folder, seen) = with_files(&[], &["run", "npu-4", "gpt-2:decode,tokens=16,layers=1", "--json", "-o", "none"]);
    assert_eq!(seen.code, 0, "{}", seen.err);
    assert_eq!(seen.json()["workload"], "gpt-2:decode,tokens=16,batch=1,layers=1");
}

#[test]
fn wrong_networks_end_with_code_2_and_say_what_to_do() {
    let small = small_network().bytes();
    let files: &[(&str, &[u8])] = &[
        ("cut.onnx", &small[..small.len() / 2]),
        ("zero.csv", b"Layer,M,N,K\na,1,2,0\n"),
        ("cyclic.jsonl", b"{\"id\":1,\"engine\":\"cpu\",\"cycles\":1,\"wait\":[1],\"update\":[2]}\n{\"id\":2,\"engine\":\"cpu\",\"cycles\":1,\"wait\":[2],\"update\":[1]}\n"),
        ("tasks.jsonl", TASKS.as_bytes()),
    ];
    let cases = [
        (vec!["npu-4", "cut.onnx"], "truncated"),
        (vec!["npu-4", "gone.onnx"], "cannot be read"),
        (vec!["npu-4", "zero.csv"], "K is `0`"),
        (vec!["npu-4", "cyclic.jsonl"], "cyclic waits"),
        (vec!["tpu-v4-like", "tasks.jsonl"], "does not run on tpu-v4-like"),
        (vec!["npu-4", "llama-3-8c"], "did you mean `llama-3-8b`?"),
        (vec!["npu-4", "llama-3-8b:tokens=0"], "a whole number from 1 to 8192"),
        (vec!["npu-4", "vit-b-16", "--coupled"], "not for an NPU"),
        (vec!["npu-4", "vit-b-16", "--dim", "batch=1"], "--dim is for ONNX models"),
        (vec!["npu-4", "vit-b-16", "--set", "part.npu.tils=3"], "tiles"),
        (vec!["h100-pcie", "vectoradd", "--strict"], "networks on an NPU"),
    ];
    for (arguments, expected) in cases {
        let (_folder, seen) = with_files(files, &[&["run", "--out", "none"], &arguments[..]].concat());
        assert_eq!(seen.code, 2, "{arguments:?}: {}", seen.err);
        assert!(seen.err.contains(expected), "{arguments:?}: {}", seen.err);
        assert!(!seen.err.contains("panicked"), "{arguments:?}: {}", seen.err);
    }
}

#[test]
fn the_timeline_has_a_row_an_engine() {
    let arguments = ["run", "npu-4", "small.onnx", "--timeline", "--out", "out"];
    let (folder, seen) = with_files(&[("small.onnx", &small_network().bytes())], &arguments);
    assert_eq!(seen.code, 0, "{}", seen.err);
    let tracks = perfetto::read(&std::fs::read(folder.path().join("out/timeline.perfetto-trace")).unwrap());
    let names: Vec<&str> = tracks.values().map(|track| track.name.as_str()).collect();
    for engine in ["dma0.ddr", "dma1.cmx", "dpu0", "dpu5", "shave0.0", "shave5.1"] {
        assert!(names.contains(&engine), "{engine} of {names:?}");
    }
    let report = std::fs::read_to_string(folder.path().join("out/report.txt")).unwrap();
    assert!(report.contains("Layers\n") && report.contains("engines at work"), "{report}");
}

#[test]
fn results_do_not_depend_on_threads_or_shards() {
    let run = |threads: &str| {
        let arguments =
            ["run", "npu-4", "small.onnx", "--json", "--out", "none", "--threads", threads, "--shards", threads];
        let mut document = with_files(&[("small.onnx", &small_network().bytes())], &arguments).1.json();
        document.as_object_mut().unwrap().remove("wall");
        document
    };
    assert_eq!(run("1"), run("2"));
}

#[test]
fn sensitivity_names_what_moves_the_time() {
    let arguments = ["run", "npu-4", "tasks.jsonl", "--sensitivity", "--out", "none", "-q"];
    let (_folder, seen) = with_files(&[("tasks.jsonl", TASKS.as_bytes())], &arguments);
    assert_eq!(seen.code, 0, "{}", seen.err);
    let table = seen.out.split("Which parameter moves the time").nth(1).expect("a table");
    assert!(table.contains("part.npu.dpu_mhz"), "{table}");
    assert!(!table.contains("part.npu.power"), "{table}");
}
