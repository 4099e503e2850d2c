//! One operator, written as a few words, as a network of its own.
//!
//! | workload | operator |
//! |---|---|
//! | `gemm m=M n=N k=K` | product of an M × K by a K × N matrix |
//! | `conv c=C k=K h=H f=F s=S p=P` | square convolution: channels in and out, size of the input, of the filter, stride, padding; `b=B` images, else one |
//! | `attention b=B h=H q=Q k=K w=W` | sequences, heads, queries, keys, width of a head |
//! | `eltwise n=N inputs=I` | sum of I tensors of N elements |
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
struct Sizes<'w> {
    workload: &'w str,
    left: BTreeMap<&'w str, u64>,
}

impl<'w> Sizes<'w> {
    fn new(workload: &'w str) -> Result<(&'w str, Self), RunError> {
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

    fn take(&mut self, key: &str) -> Result<u64, RunError> {
        let size = self.left.remove(key);
        size.filter(|&size| size < 1 << 40).ok_or_else(|| RunError(format!("`{}` has no size `{key}`", self.workload)))
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
            let batch = sizes.take_or("b", 1)?;
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
                dilation_height: 1,
                dilation_width: 1,
                pad_top: p,
                pad_left: p,
                pad_bottom: p,
                pad_right: p,
                groups: 1,
            };
            let inputs = vec![(Role::Input, vec![batch, c, h, h]), (Role::Weight, vec![k, c, f, f])];
            (OperatorKind::Convolution(convolution), inputs, vec![batch, k, out, out])
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
                "`{workload}`: no operator `{operator}`; gemm, conv, attention, eltwise, layernorm, copy, load"
            )));
        }
    };
    if let Some(key) = sizes.left.keys().next() {
        return Err(RunError(format!("`{workload}`: `{operator}` has no size `{key}`")));
    }
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
