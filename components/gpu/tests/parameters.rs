//! The shipped parameter sets against the compiler's distances, and what a wrong set is told.

mod common;

use gpu::sm::SmSpec;
use gpu::sm::spec::Consumers;
use serde::Deserialize;
use std::collections::BTreeMap;
use workloads::sass::Control;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Distances {
    fixed_latency: Vec<FixedLatency>,
    distance: Vec<Distance>,
    tensor: Vec<Tensor>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FixedLatency {
    parameters: String,
    producer: String,
    consumers: BTreeMap<String, u8>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Distance {
    parameters: Vec<String>,
    key: String,
    cycles: u8,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Tensor {
    parameters: String,
    mnemonic: String,
    shape: String,
    element: Option<String>,
    to_tensor_cycles: u8,
    to_other_cycles: u8,
    independent_cycles: Option<u8>,
}

fn row(spec: &SmSpec, producer: &str) -> Consumers {
    let latency = &spec.fixed_latency;
    match producer {
        "alu" => latency.alu,
        "alu_compare" => *latency.from_alu_compare(),
        "fma" => latency.fma,
        "imad_wide" => latency.imad_wide,
        "half" => latency.half,
        "half_min_max" => latency.half_min_max,
        "half_mma" => latency.half_mma.unwrap(),
        other => panic!("no producer {other}"),
    }
}

fn column(row: &Consumers, consumer: &str) -> u8 {
    match consumer {
        "alu" => row.alu,
        "alu_compare" => row.to_alu_compare(),
        "fma" => row.fma,
        "imad_wide" => row.imad_wide,
        "half" => row.half,
        "half_min_max" => row.half_min_max,
        "half_mma" => row.half_mma.unwrap(),
        "xu" => row.xu,
        "memory" => row.memory,
        other => panic!("no consumer {other}"),
    }
}

#[test]
fn parameter_sets_hold_the_distances_that_the_compiler_keeps() {
    let distances: Distances = toml::from_str(&common::suite("distances.toml")).unwrap();
    let mut checked = 0;
    for expected in &distances.fixed_latency {
        let spec = common::parameters(&expected.parameters);
        for (consumer, &cycles) in &expected.consumers {
            let found = column(&row(&spec, &expected.producer), consumer);
            assert_eq!(found, cycles, "{}: {} to {consumer}", expected.parameters, expected.producer);
            checked += 1;
        }
    }
    for expected in &distances.distance {
        for set in &expected.parameters {
            let distance = common::parameters(set).distance;
            let found = match expected.key.as_str() {
                "predicate_to_guard_cycles" => distance.predicate_to_guard_cycles,
                "predicate_to_vote_cycles" => distance.predicate_to_vote_cycles,
                "predicate_to_operand_cycles" => distance.predicate_to_operand_cycles,
                "uniform_to_uniform_cycles" => distance.uniform_to_uniform_cycles,
                "uniform_to_vector_cycles" => distance.uniform_to_vector_cycles,
                "uniform_to_descriptor_cycles" => distance.uniform_to_descriptor_cycles,
                "to_uniform_register_cycles" => distance.to_uniform_register_cycles,
                other => panic!("no distance {other}"),
            };
            assert_eq!(found, expected.cycles, "{set}: {}", expected.key);
            checked += 1;
        }
    }
    for expected in &distances.tensor {
        let spec = common::parameters(&expected.parameters);
        let fits = |row: &&gpu::sm::spec::Tensor| row.mnemonic == expected.mnemonic && row.shape == expected.shape;
        let exact = spec.tensor.iter().filter(fits).find(|row| row.element == expected.element);
        let found =
            exact.unwrap_or_else(|| panic!("{}: {}.{}", expected.parameters, expected.mnemonic, expected.shape));
        let own = (found.to_tensor_cycles, found.to_other_cycles);
        assert_eq!(own, (expected.to_tensor_cycles, expected.to_other_cycles), "{}", expected.shape);
        // On GA102 the compiler spaces by less than the unit takes: the unit holds them up.
        if let Some(cycles) = expected.independent_cycles {
            assert!(found.initiation_interval_cycles >= cycles, "{}: {}", expected.parameters, expected.shape);
        }
        checked += 1;
    }
    assert!(checked > 140, "{checked}");
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Encodings {
    encoding: Vec<Encoding>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(dead_code)]
struct Encoding {
    text: String,
    target: String,
    source: String,
    low: String,
    high: String,
    stall: u8,
    yields: bool,
    write_counter: u8,
    read_counter: u8,
    wait_mask: u8,
    reuse: u8,
}

#[test]
fn control_fields_decode_as_listed() {
    let encodings: Encodings = toml::from_str(&common::suite("encodings.toml")).unwrap();
    assert_eq!(encodings.encoding.len(), 10);
    for expected in encodings.encoding {
        let high = u64::from_str_radix(expected.high.trim_start_matches("0x"), 16).unwrap();
        let control = Control {
            stall: expected.stall,
            yield_next: expected.yields,
            write_counter: expected.write_counter,
            read_counter: expected.read_counter,
            wait_mask: expected.wait_mask,
            reuse: expected.reuse,
        };
        assert_eq!(Control::from_high_word(high), control, "{}", expected.text);
    }
}

#[test]
fn a_wrong_set_is_told_all_that_is_wrong() {
    let mut spec = common::parameters("gh100");
    spec.limits.warps = 66;
    spec.memory.queue_credits = 0;
    spec.l1_data.shared_carveouts_kib = vec![64, 512];
    let wrong = spec.validate();
    assert_eq!(wrong.len(), 3, "{wrong:?}");
    assert!(wrong[0].contains("limits.warps = 66"), "{wrong:?}");
    assert!(wrong[2].contains("beyond unified_kib = 256"), "{wrong:?}");
}
