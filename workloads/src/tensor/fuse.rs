//! Fusion of element-wise tails: what a stage behind the MAC array does to a result before it is stored.

use super::{Graph, OperatorKind, Role, TensorId};

/// Functions of one activation, and of constants, that a post-processing stage has: scaling, an offset, clamping,
/// another number format. Anything with an exponent is an operator of its own.
const WITHOUT_CONSTANT: [&str; 4] = ["relu", "leakyrelu", "clip", "neg"];
const WITH_CONSTANT: [(&str, &str); 9] = [
    ("add", "bias"),
    ("sub", "bias"),
    ("mul", "scale"),
    ("div", "scale"),
    ("batchnorm", "batchnorm"),
    ("prelu", "prelu"),
    ("clip", "clip"),
    ("quantize", "quantize"),
    ("dequantize", "dequantize"),
];

/// The same network with element-wise operators joined to the convolution, product, pooling or element-wise operator
/// before them, if nothing else reads what lies between. The constants of a joined operator become inputs.
#[must_use]
pub fn fused(graph: Graph) -> Graph {
    let Graph { name, tensors, operators } = graph;
    let mut readers = vec![0u32; tensors.len()];
    operators.iter().flat_map(|operator| &operator.inputs).for_each(|id| readers[id.0 as usize] += 1);
    // The operator that makes a tensor, by its place in `kept`.
    let mut maker: Vec<Option<usize>> = vec![None; tensors.len()];
    let mut kept: Vec<super::Operator> = Vec::with_capacity(operators.len());
    for operator in operators {
        let tail = match &operator.kind {
            OperatorKind::Eltwise(eltwise) => tail(&eltwise.function, &operator.inputs, &operator.outputs, &tensors),
            _ => None,
        };
        let before = tail.and_then(|(function, data)| {
            let between = &tensors[data.0 as usize];
            let at =
                maker[data.0 as usize].filter(|_| between.role == Role::Activation && readers[data.0 as usize] == 1)?;
            takes_tail(&kept[at]).then_some((function, data, at))
        });
        match before {
            Some((function, data, at)) => {
                let first = &mut kept[at];
                first.fused.push(function.to_string());
                first.inputs.extend(operator.inputs.iter().filter(|&&id| id != data));
                maker[operator.outputs[0].0 as usize] = Some(at);
                first.outputs = operator.outputs;
            }
            None => {
                operator.outputs.iter().for_each(|id| maker[id.0 as usize] = Some(kept.len()));
                kept.push(operator);
            }
        }
    }
    Graph { name, tensors, operators: kept }
}

fn takes_tail(operator: &super::Operator) -> bool {
    let kind = &operator.kind;
    operator.outputs.len() == 1
        && matches!(
            kind,
            OperatorKind::Convolution(_) | OperatorKind::MatMul(_) | OperatorKind::Pool(_) | OperatorKind::Eltwise(_)
        )
}

/// The name under which a function is joined, and its one activation.
fn tail(
    function: &str,
    inputs: &[TensorId],
    outputs: &[TensorId],
    tensors: &[super::Tensor],
) -> Option<(&'static str, TensorId)> {
    let is_constant = |id: &TensorId| tensors[id.0 as usize].role == Role::Weight;
    let mut data = inputs.iter().copied().filter(|id| !is_constant(id));
    let (Some(data), None, [output]) = (data.next(), data.next(), outputs) else { return None };
    if tensors[data.0 as usize].shape != tensors[output.0 as usize].shape {
        return None;
    }
    let name = match inputs.len() {
        1 => WITHOUT_CONSTANT.into_iter().find(|&known| known == function)?,
        // A constant divided by an activation is no scale.
        _ if function == "div" && inputs[0] != data => return None,
        _ => WITH_CONSTANT.into_iter().find(|&(known, _)| known == function)?.1,
    };
    Some((name, data))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::{Element, Eltwise, MatMul, Operator, Tensor};

    fn tensor(name: &str, shape: &[u64], role: Role) -> Tensor {
        Tensor { name: name.into(), shape: shape.to_vec(), element: Element::F16, role }
    }

    fn operator(name: &str, kind: OperatorKind, inputs: &[u32], output: u32) -> Operator {
        let inputs = inputs.iter().copied().map(TensorId).collect();
        Operator { name: name.into(), kind, inputs, outputs: vec![TensorId(output)], fused: Vec::new() }
    }

    fn eltwise(function: &str) -> OperatorKind {
        OperatorKind::Eltwise(Eltwise { function: function.into(), elements: 6 })
    }

    /// x·w + b, relu, and the result of the product once more added to the rectified one.
    fn graph(read_again: bool) -> Graph {
        let product = OperatorKind::MatMul(MatMul { batch: 1, m: 2, n: 3, k: 4 });
        Graph {
            name: "g".into(),
            tensors: vec![
                tensor("x", &[2, 4], Role::Input),
                tensor("w", &[4, 3], Role::Weight),
                tensor("b", &[3], Role::Weight),
                tensor("p", &[2, 3], Role::Activation),
                tensor("q", &[2, 3], Role::Activation),
                tensor("r", &[2, 3], Role::Activation),
                tensor("y", &[2, 3], Role::Output),
            ],
            operators: vec![
                operator("product", product, &[0, 1], 3),
                operator("bias", eltwise("add"), &[3, 2], 4),
                operator("relu", eltwise("relu"), &[4], 5),
                operator("sum", eltwise("add"), &[5, if read_again { 3 } else { 5 }], 6),
            ],
        }
    }

    #[test]
    fn a_tail_joins_what_it_follows() {
        let graph = fused(graph(false));
        let names: Vec<&str> = graph.operators.iter().map(|operator| operator.name.as_str()).collect();
        assert_eq!(names, ["product", "sum"]);
        assert_eq!(graph.operators[0].fused, ["bias", "relu"]);
        assert_eq!(graph.operators[0].inputs, [TensorId(0), TensorId(1), TensorId(2)]);
        assert_eq!(graph.operators[0].outputs, [TensorId(5)]);
    }

    #[test]
    fn a_result_that_is_read_twice_is_stored() {
        let graph = fused(graph(true));
        let names: Vec<&str> = graph.operators.iter().map(|operator| operator.name.as_str()).collect();
        assert_eq!(names, ["product", "bias", "sum"]);
        assert_eq!(graph.operators[1].fused, ["relu"]);
    }
}
