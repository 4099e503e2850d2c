//! A systolic NPU as a machine of events: what goes in comes out, whatever the shards, and bad input is refused.

use machine::npu_systolic::{SystolicError, SystolicResult, SystolicSimulation};
use sim_core::config::Document;
use sim_core::{MachineFile, Plan};
use workloads::tensor::{
    Attention, Convolution, Element, Eltwise, Graph, MatMul, Operator, OperatorKind, Reduction, Role, Tensor, TensorId,
    Vector,
};

fn file(name: &str, sets: &[&str]) -> MachineFile {
    let path = format!("{}/../../configs/npu/{name}.toml", env!("CARGO_MANIFEST_DIR"));
    let sets: Vec<String> = sets.iter().map(|set| (*set).to_owned()).collect();
    MachineFile::load(&path, &mut Document::from_disk, &sets).unwrap_or_else(|errors| panic!("{errors:?}"))
}

fn graph(operators: Vec<(OperatorKind, Vec<Vec<u64>>, Vec<u64>)>) -> Graph {
    let mut graph = Graph { name: "test".into(), tensors: vec![], operators: vec![] };
    for (kind, inputs, output) in operators {
        let mut add = |shape: Vec<u64>, role| {
            graph.tensors.push(Tensor { name: "t".into(), shape, element: Element::F16, role });
            TensorId(graph.tensors.len() as u32 - 1)
        };
        let inputs = inputs.into_iter().map(|shape| add(shape, Role::Input)).collect();
        let outputs = vec![add(output, Role::Output)];
        let name = format!("operator {}", graph.operators.len());
        graph.operators.push(Operator { name, kind, inputs, outputs, fused: vec![] });
    }
    graph
}

fn product(m: u64, n: u64, k: u64) -> (OperatorKind, Vec<Vec<u64>>, Vec<u64>) {
    (OperatorKind::MatMul(MatMul { batch: 1, m, n, k }), vec![vec![m, k], vec![k, n]], vec![m, n])
}

fn convolution(channels: u64, filters: u64, size: u64, groups: u64) -> (OperatorKind, Vec<Vec<u64>>, Vec<u64>) {
    let c = Convolution {
        batch: 1,
        in_channels: channels,
        in_height: size,
        in_width: size,
        out_channels: filters,
        out_height: size,
        out_width: size,
        kernel_height: 3,
        kernel_width: 3,
        stride_height: 1,
        stride_width: 1,
        dilation_height: 1,
        dilation_width: 1,
        pad_top: 1,
        pad_left: 1,
        pad_bottom: 1,
        pad_right: 1,
        groups,
    };
    let weights = vec![filters, channels / groups, 3, 3];
    (OperatorKind::Convolution(c), vec![vec![1, channels, size, size], weights], vec![1, filters, size, size])
}

fn mixed() -> Graph {
    let attention =
        Attention { batch: 1, heads: 2, key_heads: 1, queries: 96, keys: 160, query_width: 32, value_width: 32 };
    let q = vec![1, 2, 96, 32];
    graph(vec![
        product(100, 200, 300),
        convolution(24, 40, 14, 1),
        convolution(32, 32, 14, 32),
        (OperatorKind::Eltwise(Eltwise { function: "add".into(), elements: 5000 }), vec![vec![5000]; 2], vec![5000]),
        (OperatorKind::Attention(attention), vec![q.clone(), vec![1, 1, 160, 32], vec![1, 1, 160, 32]], q),
        (OperatorKind::Unknown { operator: "FancyOp".into() }, vec![vec![1000]], vec![1000]),
        (OperatorKind::View, vec![vec![1000]], vec![1000]),
    ])
}

fn run(file: &MachineFile, graphs: &[Graph], plan: Plan) -> SystolicResult {
    SystolicSimulation::new(file, graphs, plan).unwrap().run(&mut |_| {}).unwrap()
}

#[test]
fn layers_sum_to_the_total_and_do_all_the_work() {
    let network = mixed();
    for machine in ["tpu-v4-like", "gemmini-16"] {
        let result = run(&file(machine, &[]), std::slice::from_ref(&network), Plan::serial());
        assert_eq!(result.layers.len(), network.operators.len(), "{machine}");
        assert_eq!(result.layers.iter().map(|layer| layer.cycles).sum::<u64>(), result.cycles, "{machine}");
        let macs = result.stats.value("core.macs");
        // The third is depthwise, which is not for the array.
        let depthwise = network.operators[2].macs();
        assert_eq!(macs, Some(network.macs() - depthwise), "{machine}");
        for (layer, operator) in result.layers.iter().zip(&network.operators) {
            let nothing = operator.kind == OperatorKind::View;
            assert_eq!(layer.cycles == 0, nothing, "{machine}: {}", layer.name);
            // What is written is the result, in whole requests; attention's scores go through memory.
            let result: u64 = operator.outputs.iter().map(|&id| network.tensor(id).bytes()).sum();
            assert!(nothing || layer.dram_write_bytes >= result, "{machine}: {}", layer.name);
        }
        assert!(result.layers[5].note.as_deref().unwrap().contains("FancyOp"));
    }
}

#[test]
fn shards_and_repetition_change_nothing() {
    let machine = file("onnxim-tpuv4", &[]);
    let network = graph(vec![product(300, 500, 400), convolution(64, 64, 28, 1)]);
    let once = run(&machine, std::slice::from_ref(&network), Plan::serial());
    let sharded = Plan { shards: 3, threads: 2, ..Plan::serial() };
    let again = run(&machine, std::slice::from_ref(&network), sharded);
    assert_eq!((once.cycles, &once.layers), (again.cycles, &again.layers));
}

/// Two networks beside each other take longer than one and not longer than one after the other.
#[test]
fn networks_share_the_cores() {
    let network = graph(vec![product(256, 256, 2048), product(256, 256, 2048)]);
    let one = run(&file("onnxim-tpuv4", &[]), std::slice::from_ref(&network), Plan::serial());
    let two = [network.clone(), network];
    let of = |sharing: &str| {
        let set = format!("part.dispatcher.sharing={sharing}");
        run(&file("onnxim-tpuv4", &[&set]), &two, Plan::serial())
    };
    let (in_turn, mixed, split) = (of("in_turn"), of("time_multiplex"), of("spatial_split"));
    assert!(in_turn.cycles > one.cycles);
    for shared in [&mixed, &split] {
        assert!((one.cycles..=in_turn.cycles).contains(&shared.cycles), "{} {}", shared.cycles, in_turn.cycles);
        assert_eq!(shared.layers.len(), 4);
    }
}

/// The array alone bounds a machine: no program is faster than its multiplications.
#[test]
fn nothing_is_faster_than_the_array() {
    for (m, n, k) in [(1, 512, 512), (512, 512, 512), (70, 130, 900)] {
        let result = run(&file("tpu-v4-like", &[]), &[graph(vec![product(m, n, k)])], Plan::serial());
        assert!(result.layers[0].utilisation <= 1.0, "{m} {n} {k}");
        let blocks = n.div_ceil(128) * k.div_ceil(128);
        assert!(result.cycles >= blocks * m.max(4) / 4, "{m} {n} {k}: {}", result.cycles);
    }
}

/// 16 rows of 1,024 bytes, eight beside each other in parts of 512 bytes: twice two trees of 2 + 1 steps and five operations
/// of 2 passes are 2 · (2 · 3 + 5 · 2) cycles, however many kernels it takes; each further kernel is another launch.
#[test]
fn rows_of_a_layer_norm_go_beside_each_other_and_its_kernels_are_launched() {
    let kind = OperatorKind::Reduction(Reduction { function: "layernorm".into(), rows: 16, width: 512 });
    let network = graph(vec![(kind, vec![vec![16, 512]], vec![16, 512])]);
    let of = |kernels: &str| {
        let kernels = format!("part.core.normalisation_kernels={kernels}");
        let sets = [kernels.as_str(), "part.core.tree_cycles=1", "part.core.vector_latency_cycles=0"];
        let result = run(&file("tpu-v4-like", &sets), std::slice::from_ref(&network), Plan::serial());
        assert_eq!((result.layers.len(), result.layers[0].vector_busy_cycles), (1, 32));
        assert_eq!((result.layers[0].dram_read_bytes, result.layers[0].dram_write_bytes), (16 << 10, 16 << 10));
        result.cycles
    };
    // 120 cycles of launch each, the way to the core and back, and a refresh that the memory may be at.
    let launches = of("7") - of("1");
    assert!((6 * 120..6 * 130 + 200).contains(&launches), "{launches}");
}

#[test]
fn what_only_moves_takes_no_vector_unit() {
    let vector = |function: &str| {
        let kind = OperatorKind::Vector(Vector { function: function.into(), elements_moved: 1 << 17 });
        let network = graph(vec![(kind, vec![vec![1 << 16]], vec![1 << 16])]);
        let result = run(&file("tpu-v4-like", &[]), &[network], Plan::serial());
        assert_eq!(result.layers[0].dram_read_bytes, 1 << 17, "{function}");
        assert_eq!(result.layers[0].dram_write_bytes, 1 << 17, "{function}");
        result.layers[0].vector_busy_cycles
    };
    assert_eq!(["copy", "slice", "concat"].map(vector), [0; 3]);
    assert!(vector("transpose") > 0);
}

#[test]
fn what_does_not_fit_is_refused() {
    let network = graph(vec![product(64, 64, 64)]);
    let message = |sets: &[&str]| {
        let path = format!("{}/../../configs/npu/gemmini-16.toml", env!("CARGO_MANIFEST_DIR"));
        let sets: Vec<String> = sets.iter().map(|set| (*set).to_owned()).collect();
        let file = match MachineFile::load(&path, &mut Document::from_disk, &sets) {
            Ok(file) => file,
            Err(errors) => return errors[0].to_string(),
        };
        match SystolicSimulation::new(&file, std::slice::from_ref(&network), Plan::serial()) {
            Err(SystolicError::Config(errors)) => errors[0].to_string(),
            _ => panic!("{sets:?} was taken"),
        }
    };
    for (sets, expected) in [
        (&["part.core.scratchpad_kib=1"][..], "holds no tile"),
        (&["part.core.accumulator_kib=1"], "accumulators of 1024 bytes"),
        (&["part.core.arrays=0"], "part.core.arrays: 0 is out of range"),
        (&["part.core.rows=0"], "part.core.rows"),
        (&["part.core.rows=99999"], "16384"),
        (&["part.core.burst_bytes=48"], "power of two"),
        (&["part.core.mapper=greedy"], "greedy"),
        (&["part.core.colums=4"], "unknown key"),
        (&["part.dispatcher.sharing=fair"], "fair"),
        (&["part.memory.bandwidth_gb_per_s=0"], "above 0"),
    ] {
        let message = message(sets);
        assert!(message.contains(expected), "{sets:?}: {message}");
    }
}
