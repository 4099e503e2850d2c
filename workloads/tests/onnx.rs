//! ONNX models: shapes, defaults, fusion, quantised types, and what is refused.

#[path = "common/onnx.rs"]
mod models;

use std::collections::BTreeMap;

use models::{Attributes, Dim, FLOAT, INT8, ModelBuilder, UINT8, attention, quantised_pair, small_network};
use proptest::prelude::*;
use workloads::tensor::onnx::schema::{OperatorSetIdProto, StringStringEntryProto};
use workloads::tensor::onnx::{Model, Options, parse, read};
use workloads::tensor::{Element, OperatorKind};

fn model_of(builder: &ModelBuilder) -> Model {
    parse("test", &builder.bytes(), &Options::default()).unwrap()
}

fn message_of(builder: &ModelBuilder) -> String {
    parse("test", &builder.bytes(), &Options::default()).unwrap_err().to_string()
}

/// The shape of the only output of a model of one node.
fn shape_of(builder: &mut ModelBuilder, output: &str) -> Vec<u64> {
    builder.output(output);
    let graph = model_of(builder).graph;
    graph.tensors.iter().find(|tensor| tensor.name == output).unwrap().shape.clone()
}

#[test]
fn a_network_is_read_with_its_tails_fused() {
    let graph = model_of(&small_network()).graph;
    let operators: Vec<(&str, Vec<&str>)> = graph
        .operators
        .iter()
        .map(|operator| (operator.name.as_str(), operator.fused.iter().map(String::as_str).collect()))
        .collect();
    let expected = [
        ("c1", vec!["batchnorm", "relu"]),
        ("p1", vec![]),
        ("c2", vec![]),
        ("s2", vec!["relu"]),
        ("g", vec![]),
        ("f", vec![]),
        ("scores", vec![]),
        ("classes", vec![]),
    ];
    assert_eq!(operators, expected);
    // 32 · 32 · 16 · 27 + 16 · 16 · 16 · 144 + 160, counted by hand.
    assert_eq!(graph.macs(), 442_368 + 589_824 + 160);
    let OperatorKind::Pool(pool) = &graph.operators[1].kind else { panic!("{:?}", graph.operators[1]) };
    assert_eq!((pool.window.out_height, pool.window.groups, pool.window.pad_top), (16, 16, 0));
}

#[test]
fn shapes_that_a_model_computes_are_folded() {
    let options = Options { dimensions: BTreeMap::from([("batch".into(), 2), ("tokens".into(), 10)]) };
    let model = parse("attention", &attention(Dim::Named("tokens")).bytes(), &options).unwrap();
    assert_eq!(model.warnings, [] as [&str; 0]);
    let graph = model.graph;
    // Per token: four products with 64 × 64 weights; per head and pair of tokens two products of 16.
    assert_eq!(graph.macs(), 2 * 10 * 4 * 64 * 64 + 2 * 4 * 10 * 10 * 2 * 16);
    let scores = graph.operators.iter().find(|operator| operator.name == "scores").unwrap();
    let OperatorKind::MatMul(product) = &scores.kind else { panic!("{scores:?}") };
    assert_eq!((product.batch, product.m, product.n, product.k), (8, 10, 10, 16));
    assert_eq!(scores.fused, ["scale"]);
    let moves: Vec<&str> = graph
        .operators
        .iter()
        .filter(|operator| matches!(operator.kind, OperatorKind::Vector(_)))
        .map(|operator| operator.name.as_str())
        .collect();
    assert_eq!(moves, ["q4", "k4", "v4", "turned"], "nothing of the shapes' arithmetic is left");
}

#[test]
fn open_dimensions_are_asked_for_together() {
    let message = message_of(&attention(Dim::Named("tokens")));
    assert!(message.contains("the dimensions batch, tokens of its inputs are open"), "{message}");
    assert!(message.contains("--dim batch=1 --dim tokens=1"), "{message}");
    let mut nameless = ModelBuilder::new(13);
    nameless.input("x", FLOAT, &[Dim::Named(""), Dim::Is(3)]).node("Relu", &["x"], &["y"]);
    assert!(message_of(nameless.output("y")).contains("--dim x.0=1"));
}

#[test]
fn quantised_pairs_compute_on_integers() {
    let graph = model_of(&quantised_pair()).graph;
    let names: Vec<&str> = graph.operators.iter().map(|operator| operator.name.as_str()).collect();
    assert_eq!(names, ["c"]);
    let convolution = &graph.operators[0];
    assert_eq!(convolution.fused, ["relu", "quantize"]);
    let element = |id| graph.tensor(id).element;
    assert_eq!(element(convolution.inputs[0]), Element::U8);
    assert_eq!(element(convolution.inputs[1]), Element::I8, "the weights are stored as integers");
    assert_eq!(element(convolution.outputs[0]), Element::U8);
}

#[test]
fn quantised_operators_are_convolutions_and_products() {
    let mut model = ModelBuilder::new(13);
    model.input("x", UINT8, &[1, 4, 8, 8].map(Dim::Is)).weight("w", INT8, &[6, 4, 1, 1]);
    for name in ["xs", "ws", "ys"] {
        model.weight(name, FLOAT, &[]);
    }
    model.weight("xz", UINT8, &[]).weight("wz", INT8, &[]).weight("yz", UINT8, &[]);
    model.node("QLinearConv", &["x", "xs", "xz", "w", "ws", "wz", "ys", "yz"], &["c"]);
    model.node("ConvInteger", &["c", "v"], &["d"]);
    model.weight("v", INT8, &[2, 6, 3, 3]).output("d");
    let graph = model_of(&model).graph;
    assert_eq!(graph.macs(), 64 * 6 * 4 + 36 * 2 * 6 * 9);
    let elements: Vec<Element> = graph.operators.iter().map(|op| graph.tensor(op.outputs[0]).element).collect();
    assert_eq!(elements, [Element::U8, Element::I32]);
}

#[test]
fn what_a_node_leaves_out_is_what_the_definition_says() {
    // Conv: no strides, pads, dilations, group or kernel shape. Gemm: nothing is transposed. Softmax of opset 9: over all
    // dimensions from the first on.
    let mut model = ModelBuilder::new(9);
    model.image("x", &[2, 3, 5, 7]).weight("w", FLOAT, &[4, 3, 2, 2]);
    model.node("Conv", &["x", "w"], &["c"]);
    model.node("Softmax", &["c"], &["s"]);
    assert_eq!(shape_of(&mut model, "s"), [2, 4, 4, 6]);
    let graph = model_of(&model).graph;
    let OperatorKind::Reduction(softmax) = &graph.operators[1].kind else { panic!("{:?}", graph.operators[1]) };
    assert_eq!((softmax.rows, softmax.width), (2, 4 * 4 * 6));
}

#[test]
fn windows_round_and_pad_as_defined() {
    let pooled = |attributes: &dyn Fn(&mut workloads::tensor::onnx::schema::NodeProto)| {
        let mut model = ModelBuilder::new(12);
        model.image("x", &[1, 2, 7, 7]);
        let node = model.node("MaxPool", &["x"], &["y"]);
        node.with_ints("kernel_shape", &[3, 3]).with_ints("strides", &[2, 2]);
        attributes(node);
        shape_of(&mut model, "y")[2]
    };
    assert_eq!(pooled(&|_| {}), 3);
    assert_eq!(
        pooled(&|node| {
            node.with_ints("pads", &[1, 1, 1, 1]);
        }),
        4
    );
    // A window that would lie in the padding alone is left out: ONNX shape inference gives 4.
    assert_eq!(
        pooled(&|node| {
            node.with_int("ceil_mode", 1).with_ints("pads", &[0, 0, 1, 1]);
        }),
        4
    );
    assert_eq!(
        pooled(&|node| {
            node.with_ints("dilations", &[2, 2]);
        }),
        2
    );
}

#[test]
fn an_unknown_operator_is_costed_as_movement_and_listed() {
    let mut model = ModelBuilder::new(13);
    model.image("x", &[1, 8]).node("Frobnicate", &["x"], &["y"]);
    let read = model_of(model.output("y"));
    assert!(matches!(&read.graph.operators[0].kind, OperatorKind::Unknown { operator } if operator == "Frobnicate"));
    assert_eq!(read.warnings.len(), 1);
    assert!(read.warnings[0].contains("operator Frobnicate is not known"), "{:?}", read.warnings);
    assert!(read.warnings[0].contains("the shape of its first input"), "{:?}", read.warnings);
}

#[test]
fn wrong_models_say_what_and_what_to_do() {
    let wrong = |change: &dyn Fn(&mut ModelBuilder)| {
        let mut model = small_network();
        change(&mut model);
        message_of(&model)
    };
    type Change<'a> = &'a dyn Fn(&mut ModelBuilder);
    let cases: [(Change, &str); 7] = [
        (&|m| m.model.opset_import[0].version = Some(99), "opset 99 is not known"),
        (&|m| m.model.opset_import.clear(), "names no opset"),
        (&|m| m.model.graph = None, "holds no graph"),
        (
            &|m| m.graph().node[0].input[0] = "gone".into(),
            "node `c1` (Conv): reads `gone`, which nothing before it makes",
        ),
        (
            &|m| m.graph().initializer[0].dims = vec![16, 5, 3, 3],
            "node `c1` (Conv): 3 channels in 1 groups, filters of 5",
        ),
        (&|m| m.graph().output[0].name = Some("gone".into()), "its output `gone` is made by no node"),
        (&|m| m.graph().initializer[0].dims = vec![1 << 40, 1 << 40], "is too large"),
    ];
    for (change, expected) in cases {
        let message = wrong(change);
        assert!(message.contains(expected) && message.contains("help: "), "{expected}: {message}");
    }
    let foreign = OperatorSetIdProto { domain: Some("ai.onnx.ml".into()), version: Some(3) };
    assert!(
        !wrong(&|m| {
            m.model.opset_import.push(foreign.clone());
            m.graph().node[1].input[0] = "gone".into();
        })
        .contains("opset")
    );
}

#[test]
fn external_data_has_to_be_there() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.onnx");
    let mut model = small_network();
    let entry = |key: &str, value: &str| StringStringEntryProto { key: Some(key.into()), value: Some(value.into()) };
    let mut write = |location: &str| {
        let tensor = &mut model.graph().initializer[0];
        tensor.data_location = Some(1);
        tensor.external_data = vec![entry("location", location), entry("offset", "64")];
        std::fs::write(&path, model.bytes()).unwrap();
        read(&path, &Options::default())
    };
    let message = |result: Result<Model, workloads::InputError>| result.unwrap_err().to_string();
    assert!(message(write("weights.bin")).contains("external data `weights.bin` cannot be read"));
    // 16 · 3 · 3 · 3 numbers of 4 bytes behind 64.
    std::fs::write(folder.path().join("weights.bin"), [0; 100]).unwrap();
    assert!(message(write("weights.bin")).contains("has 100 bytes of 1792"));
    assert!(message(write("../weights.bin")).contains("outside the model's folder"));
    std::fs::write(folder.path().join("weights.bin"), [0; 1792]).unwrap();
    assert!(write("weights.bin").is_ok());
}

#[test]
fn truncated_models_are_refused() {
    let bytes = small_network().bytes();
    for length in 0..bytes.len() {
        let error = parse("cut", &bytes[..length], &Options::default()).unwrap_err();
        assert!(!error.help.is_empty(), "{length}: {error}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]
    #[test]
    fn no_bytes_make_the_reader_panic(which in 0..3, changes in proptest::collection::vec((0_usize..4000, any::<u8>()), 1..6)) {
        let model = match which {
            0 => small_network(),
            1 => attention(Dim::Is(6)),
            _ => quantised_pair(),
        };
        let mut bytes = model.bytes();
        for (at, byte) in changes {
            let at = at % bytes.len();
            bytes[at] = byte;
        }
        let options = Options { dimensions: BTreeMap::from([("batch".into(), 1)]) };
        let _ = parse("mutated", &bytes, &options);
    }
}
