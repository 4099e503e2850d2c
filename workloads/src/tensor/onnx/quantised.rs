//! Models that say "quantised" by a pair of `DequantizeLinear` and `QuantizeLinear` around an operator that they write in
//! floating point.
//!
//! The operator works on the integers: it reads what the one reads and writes what the other writes. What lies between
//! product and `QuantizeLinear` is joined later, as any tail is.

use crate::tensor::{Graph, OperatorKind, Role, TensorId};

/// The same network with integers where the model means them.
pub fn quantised(mut graph: Graph) -> Graph {
    let function = |kind: &OperatorKind| match kind {
        OperatorKind::Eltwise(eltwise) => Some(eltwise.function.clone()),
        _ => None,
    };
    let mut integers: Vec<Option<TensorId>> = vec![None; graph.tensors.len()];
    for operator in &graph.operators {
        if function(&operator.kind).as_deref() == Some("dequantize") {
            integers[operator.outputs[0].0 as usize] = Some(operator.inputs[0]);
        }
    }
    if integers.iter().all(Option::is_none) {
        return graph;
    }
    for operator in &mut graph.operators {
        let is_conversion = matches!(function(&operator.kind).as_deref(), Some("quantize" | "dequantize" | "cast"));
        let works_on_integers = match operator.kind {
            OperatorKind::Convolution(_) | OperatorKind::MatMul(_) | OperatorKind::Pool(_) | OperatorKind::View => true,
            OperatorKind::Eltwise(_) => !is_conversion,
            OperatorKind::Vector(_) => true,
            _ => false,
        };
        let is_float = |id: &TensorId| {
            let tensor = &graph.tensors[id.0 as usize];
            tensor.role != Role::Weight && integers[id.0 as usize].is_none()
        };
        if works_on_integers && !operator.inputs.iter().any(is_float) {
            for id in &mut operator.inputs {
                *id = integers[id.0 as usize].unwrap_or(*id);
            }
        }
    }
    moved_as_integers(&mut graph);
    without_unread(&mut graph);
    graph
}

/// A move between two conversions moves integers: what quantises behind it is the move's own output.
fn moved_as_integers(graph: &mut Graph) {
    let mut readers = vec![Vec::new(); graph.tensors.len()];
    for (index, operator) in graph.operators.iter().enumerate() {
        operator.inputs.iter().for_each(|id| readers[id.0 as usize].push(index));
    }
    let mut gone = Vec::new();
    for index in 0..graph.operators.len() {
        let operator = &graph.operators[index];
        let moves = matches!(operator.kind, OperatorKind::View | OperatorKind::Vector(_));
        let (true, [input, ..], [output]) = (moves, &operator.inputs[..], &operator.outputs[..]) else { continue };
        let same = graph.tensor(*input).element == graph.tensor(*output).element;
        let (false, [reader]) = (same, &readers[output.0 as usize][..]) else { continue };
        let next = &graph.operators[*reader];
        if matches!(&next.kind, OperatorKind::Eltwise(eltwise) if eltwise.function == "quantize") {
            let outputs = next.outputs.clone();
            gone.push(*reader);
            graph.operators[index].outputs = outputs;
        }
    }
    let mut index = 0;
    graph.operators.retain(|_| {
        index += 1;
        !gone.contains(&(index - 1))
    });
}

/// Conversions whose result nothing reads any more.
fn without_unread(graph: &mut Graph) {
    let mut read = vec![false; graph.tensors.len()];
    graph.operators.iter().flat_map(|operator| &operator.inputs).for_each(|id| read[id.0 as usize] = true);
    let Graph { tensors, operators, .. } = graph;
    operators.retain(|operator| {
        let is_dequantize = matches!(&operator.kind, OperatorKind::Eltwise(e) if e.function == "dequantize");
        let is_needed = |id: &TensorId| read[id.0 as usize] || tensors[id.0 as usize].role == Role::Output;
        !is_dequantize || operator.outputs.iter().any(is_needed)
    });
}
