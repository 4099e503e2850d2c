//! Rows of elements to one value, or to as many that each depend on the whole row.

use super::{Made, Outcome};
use crate::tensor::onnx::attributes::{Content, Node, Value, dynamic};
use crate::tensor::onnx::error::OnnxError;
use crate::tensor::{Element, OperatorKind, Reduction};

/// Opset from which a softmax is over one axis; before, over all from its axis on.
const SOFTMAX_OF_ONE_AXIS: i64 = 13;

fn reduction(function: &str, rows: u64, width: u64) -> OperatorKind {
    OperatorKind::Reduction(Reduction { function: function.to_string(), rows, width })
}

/// Rows and their width, of which the product is the elements of `x`.
fn rows_of(x: &Value, width: u64) -> (u64, u64) {
    (x.elements() / width.max(1), width)
}

pub fn softmax(node: &Node) -> Outcome {
    let x = node.input(0)?;
    let of_one_axis = node.opset >= SOFTMAX_OF_ONE_AXIS;
    let axis = node.int("axis", if of_one_axis { -1 } else { 1 })?;
    let width = match (x.shape.len(), of_one_axis) {
        // All of a vector with the default axis 1 of old opsets: nothing lies behind it.
        (rank, false) if axis == rank as i64 => 1,
        (rank, false) => x.shape[node.axis(axis, rank)?..].iter().product(),
        (rank, true) => x.shape[node.axis(axis, rank)?],
    };
    let (rows, width) = rows_of(x, width);
    Made::one(reduction("softmax", rows, width), Value::of(x.shape.clone(), x.element))
}

pub fn normalization(node: &Node) -> Outcome {
    let x = node.input(0)?;
    let rank = x.shape.len();
    let behind = |axis: usize| x.shape[axis..].iter().product::<u64>();
    let (function, width) = match node.operator() {
        "LRN" => ("lrn", x.shape.get(1).copied().unwrap_or(1)),
        "InstanceNormalization" => ("instancenorm", behind(rank.min(2))),
        "GroupNormalization" => {
            let groups = u64::try_from(node.int("num_groups", 1)?).ok().filter(|&groups| groups > 0);
            let groups = groups.ok_or_else(|| OnnxError::new("`num_groups` does not fit", "a positive number"))?;
            ("groupnorm", behind(rank.min(1)).div_ceil(groups))
        }
        "RMSNormalization" | "SimplifiedLayerNormalization" => {
            ("rmsnorm", behind(node.axis(node.int("axis", -1)?, rank)?))
        }
        "SkipSimplifiedLayerNormalization" => ("rmsnorm", behind(node.axis(-1, rank)?)),
        "SkipLayerNormalization" => ("layernorm", behind(node.axis(-1, rank)?)),
        "LpNormalization" => ("lpnorm", x.shape[node.axis(node.int("axis", -1)?, rank)?]),
        "MeanVarianceNormalization" => {
            let axes =
                node.axes(usize::MAX, rank)?.unwrap_or_else(|| [0, 2, 3].into_iter().filter(|&a| a < rank).collect());
            ("meanvariancenorm", axes.iter().map(|&axis| x.shape[axis]).product())
        }
        _ => ("layernorm", behind(node.axis(node.int("axis", -1)?, rank)?)),
    };
    let (rows, width) = rows_of(x, width);
    let output = Value::of(x.shape.clone(), x.element);
    // Means and deviations follow, a value a row; what a skip adds is the last of them.
    let row = Value::of(vec![rows], Element::F32);
    let outputs = match node.operator().starts_with("Skip") {
        true => vec![output.clone(), row.clone(), row, output],
        false => vec![output, row.clone(), row],
    };
    Ok(Made { kind: reduction(function, rows, width), outputs, reads: None })
}

pub fn reduce(node: &Node) -> Outcome {
    let x = node.input(0)?;
    let rank = x.shape.len();
    let axes = node.axes(1, rank)?.filter(|axes| !axes.is_empty());
    let axes = match axes {
        Some(axes) => axes,
        None if node.int("noop_with_empty_axes", 0)? != 0 => Vec::new(),
        None => (0..rank).collect(),
    };
    let keep = node.int("keepdims", 1)? != 0;
    let shape = without(&x.shape, &axes, keep);
    let width = axes.iter().map(|&axis| x.shape[axis]).product();
    let (rows, width) = rows_of(x, width);
    let function = format!("reduce{}", node.operator().trim_start_matches("Reduce").to_ascii_lowercase());
    let output = Value { content: product_of_shape(node, x, rows), ..Value::of(shape, x.element) };
    Ok(Made { kind: reduction(&function, rows, width), outputs: vec![output], reads: Some(vec![0]) })
}

/// The number of elements, which models compute with `ReduceProd` of a shape.
fn product_of_shape(node: &Node, x: &Value, rows: u64) -> Option<Content> {
    let Some(Content::Ints(ints)) = &x.content else { return None };
    let fold = |of: fn(i64, i64) -> Option<i64>, from: i64| ints.iter().try_fold(from, |a, &b| of(a, b));
    let value = match node.operator() {
        _ if rows != 1 => None,
        "ReduceProd" => fold(i64::checked_mul, 1),
        "ReduceSum" => fold(i64::checked_add, 0),
        "ReduceMax" => ints.iter().copied().max(),
        "ReduceMin" => ints.iter().copied().min(),
        _ => None,
    };
    Some(Content::Ints(vec![value?]))
}

/// A shape without axes, or with 1 in their places.
fn without(shape: &[u64], axes: &[usize], keep: bool) -> Vec<u64> {
    let extent = |(axis, &extent): (usize, &u64)| match (axes.contains(&axis), keep) {
        (false, _) => Some(extent),
        (true, true) => Some(1),
        (true, false) => None,
    };
    shape.iter().enumerate().filter_map(extent).collect()
}

pub fn argument(node: &Node) -> Outcome {
    let x = node.input(0)?;
    let axis = node.axis(node.int("axis", 0)?, x.shape.len())?;
    let shape = without(&x.shape, &[axis], node.int("keepdims", 1)? != 0);
    let (rows, width) = rows_of(x, x.shape[axis]);
    Made::one(reduction(&node.operator().to_ascii_lowercase(), rows, width), Value::of(shape, Element::I64))
}

pub fn top_k(node: &Node) -> Outcome {
    let x = node.input(0)?;
    let axis = node.axis(node.int("axis", -1)?, x.shape.len())?;
    let k = match node.constant_ints(1, "number of largest values")? {
        Some(ints) => ints.first().copied(),
        None => Some(node.int("k", 0)?),
    };
    let k = k.and_then(|k| u64::try_from(k).ok()).ok_or_else(|| dynamic("number of largest values"))?;
    let (rows, width) = rows_of(x, x.shape[axis]);
    let mut shape = x.shape.clone();
    shape[axis] = k;
    let outputs = vec![Value::of(shape.clone(), x.element), Value::of(shape, Element::I64)];
    Ok(Made { kind: reduction("topk", rows, width), outputs, reads: Some(vec![0]) })
}

pub fn cumulative_sum(node: &Node) -> Outcome {
    let x = node.input(0)?;
    let axis = node.constant_ints(1, "axis")?.and_then(|axes| axes.first().copied()).unwrap_or(-1);
    let (rows, width) = rows_of(x, x.shape[node.axis(axis, x.shape.len())?]);
    let output = Value::of(x.shape.clone(), x.element);
    Ok(Made { kind: reduction("cumsum", rows, width), outputs: vec![output], reads: Some(vec![0]) })
}
