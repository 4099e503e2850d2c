//! One operator, written as a few words, as a network of its own.
//!
//! | workload | operator |
//! |---|---|
//! | `gemm m=M n=N k=K` | product of an M × K by a K × N matrix |
//! | `conv c=C k=K h=H f=F s=S p=P` | square convolution: channels in and out, size of the input, of the filter, stride, padding; `b=B` images and `g=G` groups, else one |
//! | `conv2d w=W h=H c=C k=K r=R s=S ow=OW oh=OH` | any convolution: size of the input, channels in and out, height and width of the filter, size of the output; `sx`, `sy`, `dx`, `dy` strides and dilations, else one |
//! | `attention b=B h=H q=Q k=K w=W` | sequences, heads, queries, keys, width of a head |
//! | `eltwise n=N inputs=I` | sum of I tensors of N elements |
//! | `copy2d`, `bias`, `sum`, `exp` with `w=W h=H c=C` | of an image, with one bias a channel, with another image, by itself |
//! | `layernorm rows=R width=W` | |
//! | `copy bytes=B`, `load bytes=B` | both ways, or in only |
//!
//! `network NAME` is the operators of the suite's file `NAME.txt`, one a line, in order. A line `chained` makes each operator's
//! first input the result of the one before; a line `activations TYPE` gives all but weights that type.

use std::collections::BTreeMap;

use workloads::tensor::{
    Attention, Convolution, Element, Eltwise, Graph, MatMul, Operator, OperatorKind, Reduction, Role, Tensor, TensorId,
    Vector,
};

use crate::runner::RunError;
use crate::suite::Suite;

/// Numbers of a workload by name; each must be asked for.
pub(super) struct Sizes<'w> {
    workload: &'w str,
    left: BTreeMap<&'w str, u64>,
}

impl<'w> Sizes<'w> {
    /// The first word, and what follows it.
    pub fn new(workload: &'w str) -> Result<(&'w str, Self), RunError> {
        let mut words = workload.split_whitespace();
        let operator = words.next().unwrap_or("");
        let mut left = BTreeMap::new();
        for word in words {
            let number = word.split_once('=').and_then(|(key, value)| Some((key, value.parse().ok()?)));
            let (key, value) =
                number.ok_or_else(|| RunError(format!("`{word}` in `{workload}` is not a size such as m=64")))?;
            left.insert(key, value);
        }
        Ok((operator, Self { workload, left }))
    }

    pub fn take(&mut self, key: &str) -> Result<u64, RunError> {
        let size = self.left.remove(key);
        size.filter(|&size| size < 1 << 40).ok_or_else(|| RunError(format!("`{}` has no size `{key}`", self.workload)))
    }

    /// Refuses what nobody took.
    pub fn end(&self) -> Result<(), RunError> {
        match self.left.keys().next() {
            Some(key) => Err(RunError(format!("`{}`: there is no size `{key}`", self.workload))),
            None => Ok(()),
        }
    }

    fn take_or(&mut self, key: &str, default: u64) -> Result<u64, RunError> {
        if self.left.contains_key(key) { self.take(key) } else { Ok(default) }
    }
}

/// What a workload of a suite names.
pub(super) fn of_suite(suite: &Suite, workload: &str, element: Element) -> Result<Graph, RunError> {
    let Some(name) = workload.strip_prefix("network ") else { return network(workload, element) };
    let text = suite.attachment(&format!("{name}.txt")).and_then(|bytes| std::str::from_utf8(bytes).ok());
    let text = text.ok_or_else(|| RunError(format!("the suite has no file `{name}.txt`")))?;
    let mut whole = Graph { name: name.to_owned(), tensors: Vec::new(), operators: Vec::new() };
    let (mut chained, mut activations) = (false, element);
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if line == "chained" {
            chained = true;
            continue;
        }
        if let Some(name) = line.strip_prefix("activations ") {
            activations = toml::Value::String(name.to_owned())
                .try_into()
                .map_err(|_| RunError(format!("`{name}` is no type of elements such as i16")))?;
            continue;
        }
        let mut one = network(line, element)?;
        one.tensors.iter_mut().filter(|t| t.role != Role::Weight).for_each(|t| t.element = activations);
        let first = whole.tensors.len() as u32;
        let moved = |ids: &[TensorId]| ids.iter().map(|id| TensorId(id.0 + first)).collect::<Vec<_>>();
        let before = whole.operators.last().and_then(|last| last.outputs.first().copied());
        for operator in &one.operators {
            let (mut inputs, outputs) = (moved(&operator.inputs), moved(&operator.outputs));
            if let (true, Some(before), Some(input)) = (chained, before, inputs.first_mut()) {
                *input = before;
                whole.tensors[before.0 as usize].role = Role::Activation;
            }
            whole.operators.push(Operator { name: line.to_owned(), inputs, outputs, ..operator.clone() });
        }
        whole.tensors.extend(one.tensors);
    }
    Ok(whole)
}

/// The operator of a workload with operands of `element`.
pub(super) fn network(workload: &str, element: Element) -> Result<Graph, RunError> {
    let (operator, mut sizes) = Sizes::new(workload)?;
    type Shape = Vec<u64>;
    let (kind, inputs, output): (OperatorKind, Vec<(Role, Shape)>, Shape) = match operator {
        "gemm" => {
            let (m, n, k) = (sizes.take("m")?, sizes.take("n")?, sizes.take("k")?);
            let inputs = vec![(Role::Input, vec![m, k]), (Role::Weight, vec![k, n])];
            (OperatorKind::MatMul(MatMul { batch: 1, m, n, k }), inputs, vec![m, n])
        }
        "conv" => {
            let (c, k, h) = (sizes.take("c")?, sizes.take("k")?, sizes.take("h")?);
            let (f, s, p) = (sizes.take("f")?, sizes.take("s")?.max(1), sizes.take("p")?);
            let (batch, groups) = (sizes.take_or("b", 1)?, sizes.take_or("g", 1)?.max(1));
            if c % groups != 0 || k % groups != 0 {
                return Err(RunError(format!("`{workload}`: {groups} groups do not divide the channels")));
            }
            let out = (h + 2 * p).saturating_sub(f) / s + 1;
            let convolution = Convolution {
                batch,
                in_channels: c,
                in_height: h,
                in_width: h,
                out_channels: k,
                out_height: out,
                out_width: out,
                kernel_height: f,
                kernel_width: f,
                stride_height: s,
                stride_width: s,
                pad_top: p,
                pad_left: p,
                pad_bottom: p,
                pad_right: p,
                dilation_height: 1,
                dilation_width: 1,
                groups,
            };
            let inputs = vec![(Role::Input, vec![batch, c, h, h]), (Role::Weight, vec![k, c / groups, f, f])];
            (OperatorKind::Convolution(convolution), inputs, vec![batch, k, out, out])
        }
        "conv2d" => {
            let (w, h, c, k) = (sizes.take("w")?, sizes.take("h")?, sizes.take("c")?, sizes.take("k")?);
            let (r, s, ow, oh) = (sizes.take("r")?, sizes.take("s")?, sizes.take("ow")?, sizes.take("oh")?);
            let (sx, sy) = (sizes.take_or("sx", 1)?, sizes.take_or("sy", 1)?);
            let (dx, dy) = (sizes.take_or("dx", 1)?, sizes.take_or("dy", 1)?);
            if [w, h, c, k, r, s, ow, oh, sx, sy, dx, dy].iter().any(|size| !(1..1 << 20).contains(size)) {
                return Err(RunError(format!("`{workload}`: sizes of a convolution are from 1 to 1048575")));
            }
            // What the windows reach beyond the input is padding, half on either side.
            let reach =
                |out: u64, stride: u64, taps: u64, dilation: u64| (out - 1) * stride + (taps - 1) * dilation + 1;
            let (pad_x, pad_y) = (reach(ow, sx, s, dx).saturating_sub(w), reach(oh, sy, r, dy).saturating_sub(h));
            let convolution = Convolution {
                batch: 1,
                in_channels: c,
                in_height: h,
                in_width: w,
                out_channels: k,
                out_height: oh,
                out_width: ow,
                kernel_height: r,
                kernel_width: s,
                stride_height: sy,
                stride_width: sx,
                dilation_height: dy,
                dilation_width: dx,
                pad_top: pad_y / 2,
                pad_left: pad_x / 2,
                pad_bottom: pad_y.div_ceil(2),
                pad_right: pad_x.div_ceil(2),
                groups: 1,
            };
            let inputs = vec![(Role::Input, vec![1, c, h, w]), (Role::Weight, vec![k, c, r, s])];
            (OperatorKind::Convolution(convolution), inputs, vec![1, k, oh, ow])
        }
        "copy2d" | "bias" | "sum" | "exp" => {
            let (w, h, c) = (sizes.take("w")?, sizes.take("h")?, sizes.take("c")?);
            let image = vec![1, c, h, w];
            let mut inputs = vec![(Role::Input, image.clone())];
            let function = match operator {
                "copy2d" => "copy",
                "exp" => "exp",
                _ => "add",
            };
            match operator {
                "bias" => inputs.push((Role::Weight, vec![c])),
                "sum" => inputs.push((Role::Input, image.clone())),
                _ => {}
            }
            (OperatorKind::Eltwise(Eltwise { function: function.into(), elements: w * h * c }), inputs, image)
        }
        "attention" => {
            let (batch, heads) = (sizes.take("b")?, sizes.take("h")?);
            let (queries, keys, width) = (sizes.take("q")?, sizes.take("k")?, sizes.take("w")?);
            let attention =
                Attention { batch, heads, key_heads: heads, queries, keys, query_width: width, value_width: width };
            let (q, k) = (vec![batch, heads, queries, width], vec![batch, heads, keys, width]);
            let inputs = vec![(Role::Input, q.clone()), (Role::Input, k.clone()), (Role::Input, k)];
            (OperatorKind::Attention(attention), inputs, q)
        }
        "eltwise" => {
            let (elements, inputs) = (sizes.take("n")?, sizes.take("inputs")?);
            let inputs = (0..inputs.min(8)).map(|_| (Role::Input, vec![elements])).collect();
            (OperatorKind::Eltwise(Eltwise { function: "add".into(), elements }), inputs, vec![elements])
        }
        "layernorm" => {
            let (rows, width) = (sizes.take("rows")?, sizes.take("width")?);
            let kind = OperatorKind::Reduction(Reduction { function: "layernorm".into(), rows, width });
            (kind, vec![(Role::Input, vec![rows, width])], vec![rows, width])
        }
        "copy" => {
            let elements = sizes.take("bytes")? * 8 / element.bits();
            let kind = OperatorKind::Vector(Vector { function: "copy".into(), elements_moved: 2 * elements });
            (kind, vec![(Role::Input, vec![elements])], vec![elements])
        }
        "load" => {
            let elements = sizes.take("bytes")? * 8 / element.bits();
            let kind = OperatorKind::Vector(Vector { function: "load".into(), elements_moved: elements });
            (kind, vec![(Role::Input, vec![elements])], vec![0])
        }
        _ => {
            return Err(RunError(format!(
                "`{workload}`: no operator `{operator}`; gemm, conv, conv2d, attention, eltwise, copy2d, bias, sum, exp, layernorm, copy, load"
            )));
        }
    };
    sizes.end()?;
    let mut tensors: Vec<Tensor> = Vec::new();
    for (role, shape) in inputs {
        tensors.push(Tensor { name: format!("operand{}", tensors.len()), shape, element, role });
    }
    let inputs = (0..tensors.len() as u32).map(TensorId).collect();
    tensors.push(Tensor { name: "result".into(), shape: output, element, role: Role::Output });
    let outputs = vec![TensorId(tensors.len() as u32 - 1)];
    let operator = Operator { name: operator.into(), kind, inputs, outputs, fused: vec![] };
    Ok(Graph { name: workload.into(), tensors, operators: vec![operator] })
}
