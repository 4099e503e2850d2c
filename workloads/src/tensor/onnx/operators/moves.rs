//! What changes names, shapes and places, and constants.

use super::{Made, Outcome, Refusal};
use crate::tensor::onnx::attributes::{Content, Node, Value, dynamic};
use crate::tensor::onnx::error::OnnxError;
use crate::tensor::onnx::fold::{self, MOST_ELEMENTS};
use crate::tensor::onnx::reader;
use crate::tensor::{Element, Eltwise, OperatorKind};

pub fn made(node: &Node) -> Outcome {
    match node.operator() {
        "Identity" | "Dropout" => same(node),
        "Reshape" => reshape(node),
        "Flatten" => flatten(node),
        "Squeeze" => squeeze(node),
        "Unsqueeze" => unsqueeze(node),
        "Transpose" => transpose(node),
        "Concat" | "QLinearConcat" => concat(node),
        "Split" => split(node),
        "Slice" => slice(node),
        "Gather" => gather(node),
        "GatherElements" => like(node, "gather", 1),
        "GatherND" => gather_nd(node),
        "ScatterElements" | "ScatterND" | "Scatter" => like(node, "scatter", 0),
        "Expand" => expand(node),
        "Tile" => tile(node),
        "Pad" => pad(node),
        "Resize" | "Upsample" => resize(node),
        "DepthToSpace" => blocks(node, true),
        "SpaceToDepth" => blocks(node, false),
        "Trilu" => like(node, "trilu", 0),
        "OneHot" => one_hot(node),
        "Shape" => shape(node),
        "Size" => size(node),
        "Constant" => constant(node),
        "ConstantOfShape" => constant_of_shape(node),
        "Range" => range(node),
        _ => Err(Refusal::Unknown),
    }
}

/// The first input under another shape.
fn view(x: &Value, shape: Vec<u64>) -> Outcome {
    let output = Value { content: x.content.clone(), ..Value::of(shape, x.element) };
    Ok(Made { kind: OperatorKind::View, outputs: vec![output], reads: Some(vec![0]) })
}

fn same(node: &Node) -> Outcome {
    let x = node.input(0)?;
    let made = view(x, x.shape.clone())?;
    let mask = (node.proto.output.len() > 1).then(|| Value::of(x.shape.clone(), Element::Bool));
    Ok(Made { outputs: made.outputs.into_iter().chain(mask).collect(), ..made })
}

fn reshape(node: &Node) -> Outcome {
    let x = node.input(0)?;
    let wanted = match node.constant_ints(1, "new shape")? {
        Some(wanted) => wanted,
        None => node.ints("shape")?.ok_or_else(|| OnnxError::new("has no shape", "a second input"))?,
    };
    let copies_zero = node.int("allowzero", 0)? == 0;
    let help = format!("a shape with the {} elements of the input {:?}", x.elements(), x.shape);
    let wrong = || OnnxError::new(format!("a reshape to {wanted:?}"), help.clone());
    let mut dims = Vec::new();
    let mut open = None;
    for (axis, &extent) in wanted.iter().enumerate() {
        match extent {
            0 if copies_zero => dims.push(*x.shape.get(axis).ok_or_else(wrong)?),
            -1 if open.is_none() => {
                open = Some(axis);
                dims.push(1);
            }
            extent => dims.push(u64::try_from(extent).map_err(|_| wrong())?),
        }
    }
    let elements = dims.iter().try_fold(1u64, |product, &dim| product.checked_mul(dim)).ok_or_else(wrong)?;
    if let Some(axis) = open {
        dims[axis] = x.elements().checked_div(elements).ok_or_else(wrong)?;
    }
    if dims.iter().try_fold(1u64, |product, &dim| product.checked_mul(dim)) != Some(x.elements()) {
        return Err(wrong().into());
    }
    view(x, dims)
}

fn flatten(node: &Node) -> Outcome {
    let x = node.input(0)?;
    let (axis, rank) = (node.int("axis", 1)?, x.shape.len());
    let axis = if axis == rank as i64 { rank } else { node.axis(axis, rank)? };
    view(x, vec![x.shape[..axis].iter().product(), x.shape[axis..].iter().product()])
}

fn squeeze(node: &Node) -> Outcome {
    let x = node.input(0)?;
    let axes = node.axes(1, x.shape.len())?;
    let is_gone = |axis: usize, extent: u64| axes.as_ref().map_or(extent == 1, |axes| axes.contains(&axis));
    let kept = x.shape.iter().enumerate().filter(|&(axis, &extent)| !is_gone(axis, extent));
    let shape: Vec<u64> = kept.map(|(_, &extent)| extent).collect();
    if shape.iter().product::<u64>() != x.elements() {
        return Err(OnnxError::new(format!("axes {axes:?} of {:?}", x.shape), "axes of size 1").into());
    }
    view(x, shape)
}

fn unsqueeze(node: &Node) -> Outcome {
    let x = node.input(0)?;
    let axes = match node.ints("axes")? {
        Some(axes) => Some(axes),
        None => node.constant_ints(1, "axes")?,
    };
    let axes = axes.ok_or_else(|| OnnxError::new("has no axes", "an attribute or a second input"))?;
    let rank = x.shape.len() + axes.len();
    let axes: Vec<usize> = axes.into_iter().map(|axis| node.axis(axis, rank)).collect::<Result<_, _>>()?;
    let mut rest = x.shape.iter();
    let shape = (0..rank).map(|axis| if axes.contains(&axis) { 1 } else { rest.next().copied().unwrap_or(1) });
    view(x, shape.collect())
}

fn transpose(node: &Node) -> Outcome {
    let x = node.input(0)?;
    let rank = x.shape.len();
    let order = node.ints("perm")?.unwrap_or_else(|| (0..rank as i64).rev().collect());
    let mut sorted = order.clone();
    sorted.sort_unstable();
    if sorted != (0..rank as i64).collect::<Vec<_>>() {
        return Err(OnnxError::new(format!("`perm` {order:?} of {rank} dimensions"), "each axis once").into());
    }
    let order: Vec<usize> = order.into_iter().map(|axis| axis as usize).collect();
    let shape: Vec<u64> = order.iter().map(|&axis| x.shape[axis]).collect();
    let moved: Vec<usize> = order.into_iter().filter(|&axis| x.shape[axis] != 1).collect();
    if moved.is_sorted() {
        // Only dimensions of size 1 change places.
        return view(x, shape);
    }
    Made::moved("transpose", 2 * x.elements(), Value::of(shape, x.element), &[0])
}

fn concat(node: &Node) -> Outcome {
    let quantised = node.operator() == "QLinearConcat";
    // Scale and zero point of the result, then each operand with its own.
    let at: Vec<usize> = match quantised {
        true => (2..node.inputs.len()).step_by(3).collect(),
        false => (0..node.inputs.len()).collect(),
    };
    let parts: Vec<&Value> = at.iter().map(|&index| node.input(index)).collect::<Result<_, _>>()?;
    let first = *parts.first().ok_or_else(|| OnnxError::new("has no inputs", "at least one"))?;
    let rank = first.shape.len();
    let axis = node.axis(node.int("axis", 0)?, rank)?;
    let mut shape = first.shape.clone();
    shape[axis] = 0;
    for part in &parts {
        let fits = part.shape.len() == rank && (0..rank).all(|a| a == axis || part.shape[a] == first.shape[a]);
        if !fits {
            let message = format!("{:?} beside {:?} along axis {axis}", part.shape, first.shape);
            return Err(OnnxError::new(message, "equal sizes but along the axis").into());
        }
        shape[axis] += part.shape[axis];
    }
    let elements: u64 = parts.iter().map(|part| part.elements()).sum();
    let content = if axis == 0 && elements <= MOST_ELEMENTS { fold::concatenated(&parts) } else { None };
    let output = Value { content, ..Value::of(shape, first.element) };
    Made::moved("concat", 2 * elements, output, &at)
}

fn split(node: &Node) -> Outcome {
    let x = node.input(0)?;
    let axis = node.axis(node.int("axis", 0)?, x.shape.len())?;
    let sizes = match node.ints("split")? {
        Some(sizes) => Some(sizes),
        None => node.constant_ints(1, "sizes")?,
    };
    let parts = node.proto.output.len().max(1) as u64;
    let sizes: Vec<u64> = match sizes {
        Some(sizes) => sizes.into_iter().filter_map(|size| u64::try_from(size).ok()).collect(),
        None => {
            let each = x.shape[axis].div_ceil(parts);
            (0..parts).map(|part| each.min(x.shape[axis].saturating_sub(part * each))).collect()
        }
    };
    if sizes.iter().sum::<u64>() != x.shape[axis] || sizes.len() as u64 != parts {
        let message = format!("{} elements in parts of {sizes:?}", x.shape[axis]);
        return Err(OnnxError::new(message, format!("{parts} parts that sum to them")).into());
    }
    let mut begin = 0;
    let mut outputs = Vec::new();
    for size in sizes {
        let mut shape = x.shape.clone();
        shape[axis] = size;
        let content = if x.shape.len() == 1 { fold::picked(x, begin as usize..(begin + size) as usize) } else { None };
        begin += size;
        outputs.push(Value { content, ..Value::of(shape, x.element) });
    }
    let made = Made::moved("split", 2 * x.elements(), Value::of(vec![], x.element), &[0])?;
    Ok(Made { outputs, ..made })
}

fn slice(node: &Node) -> Outcome {
    let x = node.input(0)?;
    let rank = x.shape.len();
    let list = |name: &str, index: usize| match node.ints(name) {
        Ok(None) => node.constant_ints(index, name),
        found => found,
    };
    let (starts, ends) = (list("starts", 1)?, list("ends", 2)?);
    let (Some(starts), Some(ends)) = (starts, ends) else {
        return Err(OnnxError::new("has no starts and ends", "two inputs").into());
    };
    let axes = list("axes", 3)?.unwrap_or_else(|| (0..starts.len() as i64).collect());
    let steps = node.constant_ints(4, "steps")?.unwrap_or_else(|| vec![1; starts.len()]);
    if [ends.len(), axes.len(), steps.len()] != [starts.len(); 3] {
        return Err(OnnxError::new("lists of different lengths", "a start, an end and a step for each axis").into());
    }
    let mut shape = x.shape.clone();
    let mut along = None;
    for (index, &axis) in axes.iter().enumerate() {
        let axis = node.axis(axis, rank)?;
        let extent = x.shape[axis] as i64;
        let step = steps[index];
        let place = |at: i64, low: i64, high: i64| (if at < 0 { at + extent } else { at }).clamp(low, high);
        let (start, end) = match step {
            0 => return Err(OnnxError::new("a step of 0", "another").into()),
            1.. => (place(starts[index], 0, extent), place(ends[index], 0, extent)),
            _ => (place(starts[index], 0, (extent - 1).max(0)), place(ends[index], -1, extent - 1)),
        };
        let count = if step > 0 { (end - start).max(0) } else { (start - end).max(0) };
        shape[axis] = (count as u64).div_ceil(step.unsigned_abs());
        along = Some((start, step));
    }
    let content = match along {
        Some((start, step)) if rank == 1 && shape[0] <= MOST_ELEMENTS => {
            fold::picked(x, (0..shape[0] as i64).map(|index| (start + index * step) as usize))
        }
        _ => None,
    };
    let output = Value { content, ..Value::of(shape, x.element) };
    if output.shape == x.shape && steps.iter().all(|&step| step == 1) {
        return view(x, x.shape.clone());
    }
    Made::moved("slice", 2 * output.elements(), output, &[0])
}

fn gather(node: &Node) -> Outcome {
    let (x, indices) = (node.input(0)?, node.input(1)?);
    let axis = node.axis(node.int("axis", 0)?, x.shape.len())?;
    let front = x.shape[..axis].iter();
    let shape: Vec<u64> = front.chain(&indices.shape).chain(&x.shape[axis + 1..]).copied().collect();
    let content = match (&indices.content, x.shape.len()) {
        (Some(Content::Ints(at)), 1) => {
            let extent = x.shape[0] as i64;
            fold::picked(
                x,
                at.iter().map(|&at| usize::try_from(if at < 0 { at + extent } else { at }).unwrap_or(usize::MAX)),
            )
        }
        _ => None,
    };
    let output = Value { content, ..Value::of(shape, x.element) };
    let moved = output.shape.iter().fold(2u64, |product, &extent| product.saturating_mul(extent));
    Made::moved("gather", moved, output, &[0, 1])
}

fn gather_nd(node: &Node) -> Outcome {
    let (x, indices) = (node.input(0)?, node.input(1)?);
    let batch = node.int("batch_dims", 0)?.max(0) as usize;
    let depth = indices.shape.last().copied().unwrap_or(0) as usize;
    let behind = x.shape.get(batch.saturating_add(depth)..);
    let (Some(behind), [front @ .., _]) = (behind, &indices.shape[..]) else {
        let message = format!("indices of shape {:?} into {:?}", indices.shape, x.shape);
        return Err(OnnxError::new(message, "no more indices than dimensions").into());
    };
    let shape: Vec<u64> = front.iter().chain(behind).copied().collect();
    let moved = shape.iter().fold(2u64, |product, &extent| product.saturating_mul(extent));
    Made::moved("gather", moved, Value::of(shape, x.element), &[0, 1])
}

/// Of the shape of the input `of`, with all data inputs read.
fn like(node: &Node, function: &str, of: usize) -> Outcome {
    let shape = node.input(of)?.shape.clone();
    let output = Value::of(shape, node.input(0)?.element);
    let read: u64 = node.given().map(Value::elements).sum();
    let reads: Vec<usize> = (0..node.inputs.len()).collect();
    Made::moved(function, read + output.elements(), output, &reads)
}

fn expand(node: &Node) -> Outcome {
    let x = node.input(0)?;
    let wanted = node.constant_ints(1, "new shape")?.ok_or_else(|| OnnxError::new("has no shape", "a second input"))?;
    let wanted: Result<Vec<u64>, _> = wanted.iter().map(|&extent| u64::try_from(extent)).collect();
    let wanted = wanted.map_err(|_| OnnxError::new("a negative size", "sizes from 1"))?;
    let shape = super::elementwise::broadcast(&x.shape, &wanted)?;
    let elements = shape.iter().try_fold(1u64, |product, &extent| product.checked_mul(extent)).unwrap_or(u64::MAX);
    let content = match elements <= MOST_ELEMENTS {
        true => fold::picked(x, (0..elements).map(|index| fold::place(index, &shape, &x.shape))),
        false => None,
    };
    if shape == x.shape {
        return view(x, shape);
    }
    Made::moved("expand", x.elements().saturating_add(elements), Value { content, ..Value::of(shape, x.element) }, &[0])
}

fn tile(node: &Node) -> Outcome {
    let x = node.input(0)?;
    let repeats = node.constant_ints(1, "repeats")?.unwrap_or_default();
    if repeats.len() != x.shape.len() {
        return Err(OnnxError::new(format!("repeats {repeats:?}"), "one number for each dimension").into());
    }
    let product = |(&extent, &times): (&u64, &i64)| extent.saturating_mul(u64::try_from(times).unwrap_or(0));
    let shape: Vec<u64> = x.shape.iter().zip(&repeats).map(product).collect();
    let elements = shape.iter().fold(1u64, |product, &extent| product.saturating_mul(extent));
    Made::moved("tile", x.elements().saturating_add(elements), Value::of(shape, x.element), &[0])
}

fn pad(node: &Node) -> Outcome {
    let x = node.input(0)?;
    let rank = x.shape.len();
    let pads = match node.ints("pads")? {
        Some(pads) => pads,
        None => node.constant_ints(1, "pads")?.unwrap_or_default(),
    };
    let axes = match node.constant_ints(3, "axes")? {
        Some(axes) => axes.into_iter().map(|axis| node.axis(axis, rank)).collect::<Result<Vec<_>, _>>()?,
        None => (0..rank).collect(),
    };
    if pads.len() != 2 * axes.len() {
        return Err(OnnxError::new(format!("pads {pads:?}"), format!("{} numbers", 2 * axes.len())).into());
    }
    let mut shape = x.shape.clone();
    for (index, &axis) in axes.iter().enumerate() {
        let extent = x.shape[axis] as i64 + pads[index] + pads[index + axes.len()];
        shape[axis] = u64::try_from(extent).map_err(|_| OnnxError::new("nothing is left", "fewer negative pads"))?;
    }
    if shape == x.shape {
        return view(x, shape);
    }
    let output = Value::of(shape, x.element);
    let moved = output.shape.iter().fold(1u64, |product, &extent| product.saturating_mul(extent));
    Made::moved("pad", x.elements().saturating_add(moved), output, &[0])
}

fn resize(node: &Node) -> Outcome {
    let x = node.input(0)?;
    let rank = x.shape.len();
    let scales_at = if node.operator() == "Upsample" || node.opset < 11 { 1 } else { 2 };
    let axes = node.ints("axes")?.unwrap_or_else(|| (0..rank as i64).collect());
    let axes: Vec<usize> = axes.into_iter().map(|axis| node.axis(axis, rank)).collect::<Result<_, _>>()?;
    let scales = match node.optional(scales_at).map(|value| &value.content) {
        Some(Some(content)) => content.floats(),
        Some(None) => return Err(dynamic("scales").into()),
        None => node.floats("scales").unwrap_or_default(),
    };
    let sizes = node.constant_ints(3, "sizes")?.unwrap_or_default();
    let mut shape = x.shape.clone();
    for (index, &axis) in axes.iter().enumerate() {
        let extent = match (sizes.get(index), scales.get(index)) {
            (Some(&size), _) => u64::try_from(size).ok(),
            // Beyond 2^32 the shape is refused as too large anyway.
            (None, Some(scale)) => Some((x.shape[axis] as f64 * scale).floor().clamp(0.0, 4_294_967_296.0) as u64),
            (None, None) => None,
        };
        let help = "sizes, or scales, for each axis";
        shape[axis] = extent.ok_or_else(|| OnnxError::new("has neither sizes nor scales", help))?;
    }
    let elements = shape.iter().fold(1u64, |product, &extent| product.saturating_mul(extent));
    let function = format!("resize_{}", node.text("mode", "nearest"));
    Made::moved(&function, x.elements().saturating_add(elements), Value::of(shape, x.element), &[0])
}

fn blocks(node: &Node, to_space: bool) -> Outcome {
    let x = node.input(0)?;
    let block = u64::try_from(node.int("blocksize", 1)?).ok().filter(|&block| block > 0 && block < 1 << 16);
    let (&[n, c, h, w], Some(block)) = (&x.shape[..], block) else {
        return Err(OnnxError::new(format!("blocks of an input {:?}", x.shape), "four dimensions").into());
    };
    let shape = match to_space {
        true if c % (block * block) == 0 => vec![n, c / (block * block), h * block, w * block],
        false if h % block == 0 && w % block == 0 => vec![n, c * block * block, h / block, w / block],
        _ => return Err(OnnxError::new(format!("blocks of {block} of {:?}", x.shape), "sizes it divides").into()),
    };
    let function = if to_space { "depthtospace" } else { "spacetodepth" };
    Made::moved(function, 2 * x.elements(), Value::of(shape, x.element), &[0])
}

fn one_hot(node: &Node) -> Outcome {
    let (indices, values) = (node.input(0)?, node.input(2)?);
    let depth = match &node.input(1)?.content {
        Some(content) => content.floats().first().copied().unwrap_or(0.0).clamp(0.0, 4_294_967_296.0) as u64,
        None => return Err(dynamic("depth").into()),
    };
    let rank = indices.shape.len() + 1;
    let axis = node.axis(node.int("axis", -1)?, rank)?;
    let mut shape = indices.shape.clone();
    shape.insert(axis, depth);
    let elements = shape.iter().fold(1u64, |product, &extent| product.saturating_mul(extent));
    Made::moved("onehot", indices.elements().saturating_add(elements), Value::of(shape, values.element), &[0])
}

fn shape(node: &Node) -> Outcome {
    let x = node.input(0)?;
    let rank = x.shape.len() as i64;
    let place = |at: i64| (if at < 0 { at + rank } else { at }).clamp(0, rank) as usize;
    let (start, end) = (place(node.int("start", 0)?), place(node.int("end", rank)?));
    let dims = x.shape.get(start..end).unwrap_or_default();
    known(vec![dims.len() as u64], Element::I64, Content::Ints(dims.iter().map(|&dim| dim as i64).collect()))
}

fn size(node: &Node) -> Outcome {
    known(vec![], Element::I64, Content::Ints(vec![node.input(0)?.elements() as i64]))
}

/// A value that is there before the model runs.
fn known(shape: Vec<u64>, element: Element, content: Content) -> Outcome {
    let output = Value { content: Some(content), constant: true, ..Value::of(shape, element) };
    Made::one(OperatorKind::View, output)
}

fn constant(node: &Node) -> Outcome {
    if let Some((shape, element, content)) = node.literal() {
        return known(shape, element, content);
    }
    let sparse = node.has("sparse_value");
    match node.tensor("value") {
        Some(tensor) => Made::one(OperatorKind::View, reader::constant(tensor)?),
        None if sparse => Err(OnnxError::new("a sparse constant", "a dense one").into()),
        None => Err(OnnxError::new("has no value", "a tensor or a number").into()),
    }
}

fn constant_of_shape(node: &Node) -> Outcome {
    let wanted = node.constant_ints(0, "shape")?.ok_or_else(|| OnnxError::new("has no shape", "an input"))?;
    let shape: Result<Vec<u64>, _> = wanted.iter().map(|&extent| u64::try_from(extent)).collect();
    let shape = shape.map_err(|_| OnnxError::new(format!("the shape {wanted:?}"), "sizes from 0"))?;
    let fill = node.tensor("value").map(reader::constant).transpose()?;
    let element = fill.as_ref().map_or(Element::F32, |fill| fill.element);
    let elements = shape.iter().try_fold(1u64, |product, &extent| product.checked_mul(extent)).unwrap_or(u64::MAX);
    let few = elements <= MOST_ELEMENTS;
    let content = match fill.map(|fill| fill.content) {
        Some(Some(Content::Ints(ints))) if few => {
            Some(Content::Ints(vec![*ints.first().unwrap_or(&0); elements as usize]))
        }
        Some(Some(Content::Floats(f))) if few => {
            Some(Content::Floats(vec![*f.first().unwrap_or(&0.0); elements as usize]))
        }
        None if few => Some(Content::Floats(vec![0.0; elements as usize])),
        _ => None,
    };
    Made::one(OperatorKind::View, Value { content, constant: true, ..Value::of(shape, element) })
}

fn range(node: &Node) -> Outcome {
    let of = |index: usize| -> Result<f64, OnnxError> {
        let content = node.input(index)?.content.as_ref().ok_or_else(|| dynamic("bounds"))?;
        content.floats().first().copied().ok_or_else(|| dynamic("bounds"))
    };
    let (start, limit, step) = (of(0)?, of(1)?, of(2)?);
    let count = ((limit - start) / step).ceil();
    if !count.is_finite() || count > 4_294_967_296.0 {
        return Err(OnnxError::new(format!("a range from {start} to {limit} by {step}"), "a finite one").into());
    }
    let element = node.input(0)?.element;
    let count = count.max(0.0) as u64;
    let content = (count <= MOST_ELEMENTS).then(|| {
        let values = (0..count).map(|index| start + index as f64 * step);
        match element {
            Element::F16 | Element::Bf16 | Element::F32 | Element::F64 => Content::Floats(values.collect()),
            _ => Content::Ints(values.map(|value| value as i64).collect()),
        }
    });
    let kind = OperatorKind::Eltwise(Eltwise { function: "range".to_string(), elements: count });
    Made::one(kind, Value { content, constant: true, ..Value::of(vec![count], element) })
}
