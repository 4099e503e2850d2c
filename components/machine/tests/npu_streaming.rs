//! The core with streaming weights, as `tpu-v1`: times by hand from the published rates, conservation, bad input.

use machine::npu_systolic::{SystolicError, SystolicResult, SystolicSimulation};
use npu::systolic::streaming::ARRAY_STATES;
use sim_core::config::Document;
use sim_core::{MachineFile, Plan};
use workloads::tensor::{
    Attention, Convolution, Element, Eltwise, Graph, MatMul, Operator, OperatorKind, Role, Tensor, TensorId,
};

fn file(sets: &[&str]) -> MachineFile {
    let path = format!("{}/../../configs/npu/tpu-v1.toml", env!("CARGO_MANIFEST_DIR"));
    let sets: Vec<String> = sets.iter().map(|set| (*set).to_owned()).collect();
    MachineFile::load(&path, &mut Document::from_disk, &sets).unwrap_or_else(|errors| panic!("{errors:?}"))
}

/// An operator with the shapes of its input, weights and result.
type Link = (OperatorKind, Vec<u64>, Option<Vec<u64>>, Vec<u64>);

/// A chain of operators: each reads the result of the one before.
fn chain(element: Element, operators: Vec<Link>) -> Graph {
    let mut graph = Graph { name: "chain".into(), tensors: vec![], operators: vec![] };
    let last = operators.len() - 1;
    let mut before = None;
    for (index, (kind, input, weights, output)) in operators.into_iter().enumerate() {
        let mut add = |shape: Vec<u64>, element, role| {
            graph.tensors.push(Tensor { name: "t".into(), shape, element, role });
            TensorId(graph.tensors.len() as u32 - 1)
        };
        let mut inputs = vec![before.unwrap_or_else(|| add(input, element, Role::Input))];
        inputs.extend(weights.map(|shape| add(shape, Element::I8, Role::Weight)));
        let result = add(output, element, if index == last { Role::Output } else { Role::Activation });
        before = Some(result);
        graph.operators.push(Operator {
            name: format!("operator {index}"),
            kind,
            inputs,
            outputs: vec![result],
            fused: vec![],
        });
    }
    graph
}

fn product(m: u64, n: u64, k: u64) -> Link {
    (OperatorKind::MatMul(MatMul { batch: 1, m, n, k }), vec![m, k], Some(vec![k, n]), vec![m, n])
}

fn run(sets: &[&str], graph: &Graph) -> SystolicResult {
    SystolicSimulation::new(&file(sets), std::slice::from_ref(graph), Plan::serial()).unwrap().run(&mut |_| {}).unwrap()
}

fn state(result: &SystolicResult, name: &str) -> u64 {
    let states = result.array.as_ref().unwrap().states;
    states[ARRAY_STATES.iter().position(|&state| state == name).unwrap()]
}

/// 64 KiB at 34 GB/s and 700 MHz.
const TILE_CYCLES: f64 = 65536.0 / 34e9 * 700e6;

#[test]
fn one_tile_takes_what_its_parts_take() {
    let result = run(&[], &chain(Element::I8, vec![product(100, 256, 256)]));
    // 25,600 bytes over 12.5 GB/s, each way.
    let host = (25_600.0_f64 / 12.5e9 * 700e6).ceil() as u64;
    assert_eq!((state(&result, "active"), state(&result, "input")), (100, host));
    // The last burst of 256 bytes passes when the one before has, 5 cycles before its bytes are paid for; then latency and links.
    let weights = result.cycles - (256 + 100 + 510 + 100 + host);
    assert!((TILE_CYCLES as u64 + 64..TILE_CYCLES as u64 + 74).contains(&weights), "{weights}");
    // Depth of the array and the activation of the only block, then the host.
    assert_eq!(state(&result, "operands"), 510 + 100);
    assert_eq!(state(&result, "output"), host);
}

/// With fewer vectors than a tile takes to come, memory is the limit, and each shift is seen.
#[test]
fn few_vectors_wait_for_weights() {
    let result = run(&[], &chain(Element::I8, vec![product(200, 2048, 2048)]));
    assert_eq!(state(&result, "active"), 64 * 200);
    // Five tiles wait behind the input, four in the FIFO and one in the array; memory brings the others one after the other.
    let matrix = result.cycles - state(&result, "input") - state(&result, "output") - 510 - 200;
    let tiles = matrix as f64 / TILE_CYCLES;
    assert!((tiles - 59.0).abs() < 1.0, "{tiles} tiles after the input");
    // Their shifts are not hidden.
    let shifts = state(&result, "weight_shift") / 256;
    assert!((59..=61).contains(&shifts), "{shifts} shifts seen");
    assert!(state(&result, "weight_stall") > 10 * state(&result, "weight_shift") / 3);
}

/// With more vectors than the ridge, weights and their shifts hide.
#[test]
fn many_vectors_hide_the_weights() {
    let result = run(&[], &chain(Element::I8, vec![product(2048, 1024, 1024)]));
    assert_eq!((state(&result, "weight_stall"), state(&result, "weight_shift")), (0, 0));
    assert_eq!(state(&result, "active"), 16 * 2048);
}

/// Sixteen bits of activations halve the rate; a deeper FIFO hides a longer wait for the input.
#[test]
fn wide_activations_and_a_deep_fifo() {
    let wide = run(&[], &chain(Element::I16, vec![product(64, 512, 512)]));
    assert_eq!(state(&wide, "active"), 4 * 128);
    let network = chain(Element::I8, vec![product(200, 1024, 4096)]);
    let cycles = |depth: &str| run(&[&format!("part.core.weight_fifo_tiles={depth}")], &network).cycles;
    let (one, four, sixteen) = (cycles("1"), cycles("4"), cycles("16"));
    assert!(one > four && four > sixteen, "{one} {four} {sixteen}");
    // The input takes 45,875 cycles: each tile more that waits behind it is one less to wait for.
    assert!(((four - sixteen) as f64 / TILE_CYCLES - 12.0).abs() < 0.5);
}

/// Every kind of operator runs, cycles add up over layers and states, and the same comes out for any shards.
#[test]
fn everything_adds_up() {
    let convolution = |groups: u64| Convolution {
        batch: 1,
        in_channels: 32,
        in_height: 14,
        in_width: 14,
        out_channels: 32,
        out_height: 14,
        out_width: 14,
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
    let image = vec![1, 32, 14, 14];
    let attention =
        Attention { batch: 1, heads: 2, key_heads: 1, queries: 96, keys: 160, query_width: 32, value_width: 32 };
    let network = chain(
        Element::I8,
        vec![
            (OperatorKind::Convolution(convolution(1)), image.clone(), Some(vec![32, 32, 3, 3]), image.clone()),
            (OperatorKind::Convolution(convolution(32)), image.clone(), Some(vec![32, 1, 3, 3]), image.clone()),
            (
                OperatorKind::Eltwise(Eltwise { function: "add".into(), elements: 6272 }),
                image.clone(),
                None,
                image.clone(),
            ),
            (OperatorKind::Attention(attention), image.clone(), Some(vec![160, 64]), image.clone()),
            (OperatorKind::Unknown { operator: "FancyOp".into() }, image.clone(), None, image.clone()),
            (OperatorKind::View, image.clone(), None, image.clone()),
            product(7, 300, 5000),
        ],
    );
    let result = run(&[], &network);
    assert_eq!(result.layers.len(), network.operators.len());
    assert_eq!(result.layers.iter().map(|layer| layer.cycles).sum::<u64>(), result.cycles);
    assert_eq!(result.array.as_ref().unwrap().states.iter().sum::<u64>(), result.cycles);
    assert!(result.layers.iter().all(|layer| layer.utilisation <= 1.0));
    // 28 channels of nine taps lie in the array at once.
    assert_eq!((result.layers[1].tiles, result.layers[5].cycles), (2, 0));
    let bytes = result.stats.value("core.weight_bytes").unwrap();
    assert_eq!(Some(bytes), result.stats.value("memory.read_bytes"));
    assert_eq!(bytes, result.stats.value("core.tiles").unwrap() * 65536);
    let sharded = Plan { shards: 2, threads: 2, ..Plan::serial() };
    let again = SystolicSimulation::new(&file(&[]), &[network], sharded).unwrap().run(&mut |_| {}).unwrap();
    assert_eq!((result.cycles, &result.layers), (again.cycles, &again.layers));
}

#[test]
fn what_does_not_fit_is_refused() {
    let message = |sets: &[&str], m: u64| {
        let networks = [chain(Element::I8, vec![product(m, 64, 64)])];
        match SystolicSimulation::new(&file(sets), &networks, Plan::serial()) {
            Err(SystolicError::Config(errors)) => errors[0].to_string(),
            _ => panic!("{sets:?} was taken"),
        }
    };
    for (sets, m, expected) in [
        (&[][..], 1 << 20, "`operator 0` has 134217728 bytes"),
        (&["part.core.rows=0"], 8, "part.core.rows: 0 is out of range"),
        (&["part.core.weight_fifo_tiles=0"], 8, "weight_fifo_tiles"),
        (&["part.core.count=2"], 8, "not shared"),
        (&["part.core.accumulator_kib=1"], 8, "two rows of sums are 2048 bytes"),
        (&["part.core.host_gb_per_s=0"], 8, "above 0"),
        (&["part.core.burst_bytes=48"], 8, "power of two"),
    ] {
        let message = message(sets, m);
        assert!(message.contains(expected), "{sets:?}: {message}");
    }
}
