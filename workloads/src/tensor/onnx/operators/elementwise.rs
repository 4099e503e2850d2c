//! One element of the output from one element of each input.

use super::{Made, Outcome};
use crate::tensor::onnx::attributes::{Content, Node, Value};
use crate::tensor::onnx::error::OnnxError;
use crate::tensor::onnx::fold;
use crate::tensor::onnx::reader;
use crate::tensor::{Element, Eltwise, OperatorKind};

/// The function of an element-wise operator, in the words of [`Eltwise::function`].
pub fn function(operator: &str) -> Option<&'static str> {
    Some(match operator {
        "Add" | "Sum" | "QLinearAdd" => "add",
        "Sub" => "sub",
        "Mul" | "QLinearMul" => "mul",
        "Div" => "div",
        "Pow" => "pow",
        "Mod" => "mod",
        "Min" => "min",
        "Max" => "max",
        "Mean" => "mean",
        "And" => "and",
        "Or" => "or",
        "Xor" => "xor",
        "Equal" => "equal",
        "Less" => "less",
        "LessOrEqual" => "lessorequal",
        "Greater" => "greater",
        "GreaterOrEqual" => "greaterorequal",
        "Where" => "where",
        "PRelu" => "prelu",
        "Relu" => "relu",
        "LeakyRelu" | "QLinearLeakyRelu" => "leakyrelu",
        "ThresholdedRelu" => "thresholdedrelu",
        "Clip" => "clip",
        "Sigmoid" | "QLinearSigmoid" => "sigmoid",
        "HardSigmoid" => "hardsigmoid",
        "HardSwish" => "hardswish",
        "Swish" | "QuickGelu" => "swish",
        "Mish" => "mish",
        "Gelu" | "FastGelu" | "BiasGelu" => "gelu",
        "Tanh" => "tanh",
        "Erf" => "erf",
        "Exp" => "exp",
        "Log" => "log",
        "Sqrt" => "sqrt",
        "Reciprocal" => "reciprocal",
        "Sin" => "sin",
        "Cos" => "cos",
        "Elu" => "elu",
        "Selu" => "selu",
        "Celu" => "celu",
        "Softplus" => "softplus",
        "Softsign" => "softsign",
        "Neg" => "neg",
        "Abs" => "abs",
        "Sign" => "sign",
        "Floor" => "floor",
        "Ceil" => "ceil",
        "Round" => "round",
        "Not" => "not",
        "IsNaN" => "isnan",
        "IsInf" => "isinf",
        "Cast" | "CastLike" => "cast",
        "BatchNormalization" => "batchnorm",
        "QuantizeLinear" => "quantize",
        "DequantizeLinear" => "dequantize",
        "DynamicQuantizeLinear" => "dynamicquantize",
        "RotaryEmbedding" => "rotary",
        _ => return None,
    })
}

pub fn made(node: &Node, function: &str) -> Outcome {
    let data = data_inputs(node, function);
    let mut shape = vec![];
    for &index in &data {
        shape = broadcast(&shape, &placed(node, &node.input(index)?.shape, shape.len())?)?;
    }
    let first = node.input(if function == "where" { 1 } else { 0 })?;
    let element = match function {
        "and" | "or" | "xor" | "not" | "equal" | "less" | "lessorequal" | "greater" | "greaterorequal" | "isnan"
        | "isinf" => Element::Bool,
        "cast" => match node.operator() {
            "CastLike" => node.input(1)?.element,
            _ => reader::element(node.int("to", 1)? as i32)?,
        },
        "quantize" => quantised_element(node)?,
        "dynamicquantize" => Element::U8,
        "dequantize" => node.input(1)?.element,
        _ => first.element,
    };
    let elements = shape.iter().product();
    let value = Value { content: content(node, function, element, &shape), ..Value::of(shape, element) };
    // A weight that is kept quantised is stored so: what reads it multiplies by its scale.
    let value = match function {
        "dequantize" if first.constant => Value { element: first.element, content: None, ..value },
        _ => value,
    };
    let kind = OperatorKind::Eltwise(Eltwise { function: function.to_string(), elements });
    let mut made = Made { kind, outputs: vec![value], reads: None };
    match function {
        // The values are the first output; scale and zero point follow.
        "dynamicquantize" => made.outputs.extend([Value::of(vec![], Element::F32), Value::of(vec![], Element::U8)]),
        "cast" => made.reads = Some(vec![0]),
        _ => {}
    }
    Ok(made)
}

/// Opset 6 says with `axis` where the dimensions of the second operand lie in the `rank` of the first.
fn placed(node: &Node, shape: &[u64], rank: usize) -> Result<Vec<u64>, OnnxError> {
    let mut shape = shape.to_vec();
    if node.opset < 7 && node.has("axis") && shape.len() < rank {
        let behind = rank - node.axis(node.int("axis", 0)?, rank)?;
        shape.resize(behind.max(shape.len()), 1);
    }
    Ok(shape)
}

/// Inputs whose shapes broadcast; the others are parameters: scales, bounds, means.
fn data_inputs(node: &Node, function: &str) -> Vec<usize> {
    match (node.operator(), function) {
        // a, its scale and zero point, b, …
        (operator, "add" | "mul") if operator.starts_with("QLinear") => vec![0, 3],
        (_, "add" | "min" | "max" | "mean") => (0..node.inputs.len()).collect(),
        (_, "where") => vec![0, 1, 2],
        (_, "sub" | "mul" | "div" | "pow" | "mod" | "and" | "or" | "xor" | "equal" | "less" | "lessorequal")
        | (_, "greater" | "greaterorequal") => vec![0, 1],
        _ => vec![0],
    }
}

fn quantised_element(node: &Node) -> Result<Element, OnnxError> {
    match (node.optional(2), node.int("output_dtype", 0)?) {
        (Some(zero_point), _) => Ok(zero_point.element),
        (None, 0) => Ok(Element::U8),
        (None, data_type) => reader::element(data_type as i32),
    }
}

/// The shape that two shapes broadcast to.
pub fn broadcast(a: &[u64], b: &[u64]) -> Result<Vec<u64>, OnnxError> {
    let rank = a.len().max(b.len());
    let extent = |shape: &[u64], axis: usize| (axis + shape.len()).checked_sub(rank).map_or(1, |axis| shape[axis]);
    (0..rank)
        .map(|axis| match (extent(a, axis), extent(b, axis)) {
            (x, y) if x == y => Ok(x),
            (1, y) => Ok(y),
            (x, 1) => Ok(x),
            _ => Err(OnnxError::new(format!("shapes {a:?} and {b:?} do not broadcast"), "equal dimensions, or 1")),
        })
        .collect()
}

fn content(node: &Node, function: &str, element: Element, shape: &[u64]) -> Option<Content> {
    let first = node.optional(0)?;
    match function {
        "cast" => match (element, first.content.clone()?) {
            (Element::F16 | Element::Bf16 | Element::F32 | Element::F64, content) => {
                Some(Content::Floats(content.floats()))
            }
            (Element::Bool, content) => {
                Some(Content::Ints(content.floats().iter().map(|&float| i64::from(float != 0.0)).collect()))
            }
            (_, Content::Floats(floats)) => Some(Content::Ints(floats.iter().map(|&float| float as i64).collect())),
            (_, ints) => Some(ints),
        },
        "where" => {
            let Content::Ints(mask) = first.content.as_ref()? else { return None };
            let (yes, no) = (node.optional(1)?, node.optional(2)?);
            let elements = shape.iter().product::<u64>();
            if elements > fold::MOST_ELEMENTS {
                return None;
            }
            let (a, b) = (yes.content.as_ref()?, no.content.as_ref()?);
            let (Content::Ints(a), Content::Ints(b)) = (a, b) else { return None };
            let pick = |index: u64| {
                let condition = *mask.get(fold::place(index, shape, &first.shape))?;
                let (from, at) = if condition != 0 { (a, &yes.shape) } else { (b, &no.shape) };
                from.get(fold::place(index, shape, at)).copied()
            };
            (0..elements).map(pick).collect::<Option<_>>().map(Content::Ints)
        }
        _ if node.inputs.len() == 2 && data_inputs(node, function).len() == 2 => {
            fold::binary(function, first, node.optional(1)?, shape)
        }
        _ if node.inputs.len() == 1 => fold::unary(function, first),
        _ => None,
    }
}
