//! Networks as task lists: they run on machines with little of everything, compute what the network says, and fetch what
//! has to be fetched.

mod common;

use common::{run, spec};
use npu::compile::{Compiled, compile, in_machine_formats};
use proptest::prelude::*;
use sim_core::MachineFile;
use workloads::tensor::transformer::Inference;
use workloads::tensor::{Graph, MatMul, Operator, OperatorKind, Place, Role, Tensor, TensorId, Work, topology};

/// `npu-4` with lines replaced.
fn machine(changes: &[(&str, &str)]) -> MachineFile {
    let mut text = include_str!("../../../configs/npu/npu-4.toml").to_string();
    for (old, new) in changes {
        assert!(text.contains(old), "{old}");
        text = text.replace(old, new);
    }
    MachineFile::parse("npu-4.toml", &text).unwrap()
}

fn compiled(graph: &Graph, file: &MachineFile) -> Compiled {
    compile(graph, &spec(file)).unwrap_or_else(|error| panic!("{}: {error}: {}", graph.name, error.help))
}

/// Multiply-accumulates of the tasks of each operator.
fn macs(graph: &Graph, compiled: &Compiled) -> Vec<u64> {
    let mut macs = vec![0; graph.operators.len()];
    for (task, &operator) in compiled.list.tasks().iter().zip(&compiled.operators) {
        if let Work::Dpu { variants, .. } = &task.work {
            macs[operator as usize] += variants.iter().map(|variant| variant.macs()).sum::<u64>();
        }
    }
    macs
}

/// Bytes that come from DDR and that go there.
fn traffic(compiled: &Compiled) -> (u64, u64) {
    let (mut read, mut written) = (0, 0);
    for task in compiled.list.tasks() {
        if let Work::Dma { source, destination, bytes, .. } = &task.work {
            read += if *source == Place::Ddr { *bytes } else { 0 };
            written += if *destination == Place::Ddr { *bytes } else { 0 };
        }
    }
    (read, written)
}

fn transformer(text: &str) -> Graph {
    in_machine_formats(Inference::parse(text).unwrap().graph())
}

/// A machine with a quarter of the scratchpad and a sixth of the barriers: everything has to be cut and moved.
fn small() -> MachineFile {
    machine(&[
        ("cmx_kib_per_tile = 1440", "cmx_kib_per_tile = 360"),
        ("physical_barriers = 96", "physical_barriers = 16"),
    ])
}

#[test]
fn transformers_compute_what_they_say_and_run() {
    for text in [
        "gpt-2:prefill,tokens=64,layers=2",
        "gpt-2:decode,tokens=100,layers=2",
        "llama-3.2-1b:decode,tokens=300,layers=1,weights=i4",
        "bert-base:tokens=48,layers=1,batch=2",
        "vit-s-16:layers=2",
    ] {
        let graph = transformer(text);
        for file in [machine(&[]), small()] {
            let compiled = compiled(&graph, &file);
            for (operator, macs) in graph.operators.iter().zip(macs(&graph, &compiled)) {
                // Rows of a matrix are laid out in rows of 16 pixels, the last of which may not be full.
                let least = operator.macs();
                assert!((least..=least + least / 2).contains(&macs), "{text}: {} {macs} of {least}", operator.name);
            }
            let weights: u64 = graph
                .operators
                .iter()
                .filter(|operator| operator.macs() > 0)
                .flat_map(|operator| operator.inputs.iter().map(|id| graph.tensor(*id)))
                .filter(|tensor| tensor.role == Role::Weight)
                .map(Tensor::bytes)
                .sum();
            assert!(traffic(&compiled).0 >= weights, "{text}");
            run(&file, &compiled.list);
        }
    }
}

#[test]
fn convolutions_compute_what_they_say() {
    let text = "conv1,56,56,7,7,3,64,2\nconv2,56,56,1,1,64,256,1\nconv3,14,14,3,3,256,256,1\nconv4,7,7,3,3,512,512,1\n";
    let graph = topology::parse("layers.csv", text).unwrap();
    for file in [machine(&[]), small()] {
        let compiled = compiled(&graph, &file);
        let expected: Vec<u64> = graph.operators.iter().map(Operator::macs).collect();
        assert_eq!(macs(&graph, &compiled), expected);
        let written: u64 = graph.tensors.iter().filter(|t| t.role == Role::Output).map(Tensor::bytes).sum();
        assert_eq!(traffic(&compiled).1, written);
        run(&file, &compiled.list);
    }
}

#[test]
fn groups_of_a_convolution_read_all_channels() {
    let mut graph = topology::parse("layers.csv", "grouped,28,28,1,1,64,128,1\n").unwrap();
    let OperatorKind::Convolution(convolution) = &mut graph.operators[0].kind else { unreachable!() };
    convolution.groups = 4;
    graph.tensors[1].shape = vec![128, 16, 1, 1];
    let file = machine(&[]);
    let compiled = compiled(&graph, &file);
    assert_eq!(macs(&graph, &compiled), [28 * 28 * 128 * 16]);
    let (read, written) = traffic(&compiled);
    assert!(read >= 28 * 28 * 64 + 128 * 16, "{read}");
    assert_eq!(written, 28 * 28 * 128);
    run(&file, &compiled.list);
}

#[test]
fn what_stays_in_the_scratchpads_is_not_stored() {
    // A new token's activations are a few kilobytes: weights and the cache alone come, the cache's rows and the words leave.
    let graph = transformer("gpt-2:decode,tokens=100,layers=2");
    let (read, written) = traffic(&compiled(&graph, &machine(&[])));
    let bytes = |role: Role| graph.tensors.iter().filter(|t| t.role == role).map(Tensor::bytes).sum::<u64>();
    assert_eq!(written, bytes(Role::Output));
    let table = graph.tensors.iter().find(|tensor| tensor.name == "embedding.weight").unwrap().bytes();
    let needed = bytes(Role::Weight) - table + bytes(Role::Input);
    assert!((needed..needed + needed / 20).contains(&read), "{read} of {needed}");
}

#[test]
fn what_fits_nowhere_is_refused() {
    let file = machine(&[("cmx_kib_per_tile = 1440", "cmx_kib_per_tile = 1")]);
    let graph = topology::parse("layers.csv", "wide,4096,4096,3,3,64,64,1\n").unwrap();
    let error = compile(&graph, &spec(&file)).unwrap_err();
    assert!(error.to_string().contains("operator `wide`: does not fit"), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn any_product_compiles_and_runs(batch in 1..5_u64, m in 1..400_u64, n in 1..700_u64, k in 1..3000_u64, kib in 40..1440_u64) {
        let tensor = |name: &str, shape: Vec<u64>, role| Tensor {
            name: name.into(), shape, element: workloads::tensor::Element::F16, role,
        };
        let kind = OperatorKind::MatMul(MatMul { batch, m, n, k });
        let graph = Graph {
            name: "product".into(),
            tensors: vec![
                tensor("a", vec![batch, m, k], Role::Input),
                tensor("b", vec![batch, k, n], if batch == 1 { Role::Weight } else { Role::Input }),
                tensor("c", vec![batch, m, n], Role::Output),
            ],
            operators: vec![Operator {
                name: "product".into(), kind, inputs: vec![TensorId(0), TensorId(1)], outputs: vec![TensorId(2)], fused: vec![],
            }],
        };
        let file = machine(&[("cmx_kib_per_tile = 1440", &format!("cmx_kib_per_tile = {kib}"))]);
        if let Ok(compiled) = compile(&graph, &spec(&file)) {
            let done = macs(&graph, &compiled)[0];
            let rows = m.div_ceil(m.min(16)) * m.min(16);
            prop_assert!(done >= graph.macs() && done <= batch * rows * n * k * 2, "{done} of {}", graph.macs());
            run(&file, &compiled.list);
        }
    }
}
