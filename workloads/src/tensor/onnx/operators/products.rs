//! Products of matrices, and what is made of them.

use super::elementwise::broadcast;
use super::{Made, Outcome, Refusal};
use crate::tensor::onnx::attributes::{Node, Value};
use crate::tensor::onnx::error::OnnxError;
use crate::tensor::{Attention, Element, MatMul, OperatorKind};

/// Two operands with any number of products in front, as numpy's `matmul`.
pub fn matmul(node: &Node) -> Outcome {
    let a = node.input(0)?;
    let (b, element) = match node.operator() {
        "QLinearMatMul" => (node.input(3)?, node.optional(7).map_or(a.element, |zero| zero.element)),
        "MatMulInteger" => (node.input(1)?, Element::I32),
        "MatMulIntegerToFloat" => (node.input(1)?, node.input(2)?.element),
        _ => (node.input(1)?, a.element),
    };
    let turned = |name: &str, shape: &[u64]| -> Result<Vec<u64>, OnnxError> {
        let mut shape = shape.to_vec();
        if let (true, [.., rows, columns]) = (node.int(name, 0)? != 0, shape.as_mut_slice()) {
            std::mem::swap(rows, columns);
        }
        Ok(shape)
    };
    let (left, right) = (turned("transA", &a.shape)?, turned("transB", &b.shape)?);
    let (product, shape) = product(&left, &right)?;
    let output = Value::of(shape, element);
    Ok(Made { kind: OperatorKind::MatMul(product), outputs: vec![output], reads: None })
}

/// A vector on the left is a row, one on the right a column; that dimension is not in the result.
fn product(left: &[u64], right: &[u64]) -> Result<(MatMul, Vec<u64>), OnnxError> {
    let wrong = || {
        let help = "a left operand with as many columns as the right one has rows";
        OnnxError::new(format!("a product of {left:?} and {right:?}"), help)
    };
    let (left_batch, m, k) = match left {
        [] => return Err(wrong()),
        [k] => (&[][..], None, *k),
        [batch @ .., m, k] => (batch, Some(*m), *k),
    };
    let (right_batch, rows, n) = match right {
        [] => return Err(wrong()),
        [rows] => (&[][..], *rows, None),
        [batch @ .., rows, n] => (batch, *rows, Some(*n)),
    };
    if rows != k {
        return Err(wrong());
    }
    let mut shape = broadcast(left_batch, right_batch)?;
    let batch: u64 = shape.iter().product();
    shape.extend(m.into_iter().chain(n));
    let (mut batch, mut m) = (batch, m.unwrap_or(1));
    // One matrix on the right for all on the left is one product with all their rows.
    if right_batch.iter().all(|&extent| extent == 1) {
        (m, batch) = (batch * m, 1);
    }
    Ok((MatMul { batch, m, n: n.unwrap_or(1), k }, shape))
}

pub fn gemm(node: &Node) -> Outcome {
    let a = node.input(0)?;
    let (b, element) = match node.operator() {
        "QGemm" => (node.input(3)?, node.optional(8).map_or(Element::F32, |zero| zero.element)),
        _ => (node.input(1)?, a.element),
    };
    let (&[rows, columns], &[b_rows, b_columns]) = (&a.shape[..], &b.shape[..]) else {
        let message = format!("a product of {:?} and {:?}", a.shape, b.shape);
        return Err(OnnxError::new(message, "two matrices").into());
    };
    let (m, k) = if node.int("transA", 0)? != 0 { (columns, rows) } else { (rows, columns) };
    let (depth, n) = if node.int("transB", 0)? != 0 { (b_columns, b_rows) } else { (b_rows, b_columns) };
    if depth != k {
        let message = format!("a product of {m} × {k} and {depth} × {n}");
        return Err(OnnxError::new(message, "as many columns on the left as rows on the right").into());
    }
    Made::one(OperatorKind::MatMul(MatMul { batch: 1, m, n, k }), Value::of(vec![m, n], element))
}

/// Weights of 2 to 8 bits in blocks with a scale each.
pub fn matmul_of_few_bits(node: &Node) -> Outcome {
    let a = node.input(0)?;
    let sizes = [node.int("K", 0)?, node.int("N", 0)?].map(u64::try_from);
    let (&[Ok(k), Ok(n)], [front @ .., last]) = (&sizes, &a.shape[..]) else {
        return Err(OnnxError::new("K and N do not fit", "positive numbers").into());
    };
    if k != *last {
        return Err(OnnxError::new(format!("rows of {last} elements, K = {k}"), "as many as K").into());
    }
    let shape = front.iter().copied().chain([n]).collect();
    let product = MatMul { batch: 1, m: front.iter().product(), n, k };
    Made::one(OperatorKind::MatMul(product), Value::of(shape, a.element))
}

/// Sums over the letters that the result lacks: products of two operands.
pub fn einsum(node: &Node) -> Outcome {
    let equation: String = node.text("equation", "").chars().filter(|c| !c.is_whitespace()).collect();
    let Some((operands, result)) = equation.split_once("->") else { return Err(Refusal::Unknown) };
    let operands: Vec<&str> = operands.split(',').collect();
    let ([a, b], 2) = (&operands[..], node.inputs.len()) else { return Err(Refusal::Unknown) };
    let (left, right) = (node.input(0)?, node.input(1)?);
    if !equation.chars().all(|c| c.is_ascii_alphabetic() || ",->".contains(c))
        || a.len() != left.shape.len()
        || b.len() != right.shape.len()
    {
        return Err(Refusal::Unknown);
    }
    let extent = |letter: char| {
        let of = |letters: &str, value: &Value| letters.find(letter).map(|axis| value.shape[axis]);
        of(a, left).or_else(|| of(b, right))
    };
    let mut product = MatMul { batch: 1, m: 1, n: 1, k: 1 };
    let mut letters: Vec<char> = a.chars().chain(b.chars()).collect();
    letters.sort_unstable();
    letters.dedup();
    for letter in letters {
        let size = extent(letter).unwrap_or(1);
        let factor = match (a.contains(letter), b.contains(letter), result.contains(letter)) {
            (true, true, true) => &mut product.batch,
            (true, true, false) => &mut product.k,
            (true, false, _) => &mut product.m,
            (false, ..) => &mut product.n,
        };
        *factor = factor.saturating_mul(size);
    }
    let shape: Option<Vec<u64>> = result.chars().map(extent).collect();
    let shape = shape.ok_or_else(|| OnnxError::new(format!("`{equation}`"), "letters of its operands"))?;
    Made::one(OperatorKind::MatMul(product), Value::of(shape, left.element))
}

/// A step's gates are one product with the input and the state; the steps of a sequence follow each other.
pub fn recurrent(node: &Node) -> Outcome {
    let gates = match node.operator() {
        "LSTM" => 4,
        "GRU" => 3,
        _ => 1,
    };
    let x = node.input(0)?;
    let &[a, b, width] = &x.shape[..] else {
        return Err(OnnxError::new(format!("an input of shape {:?}", x.shape), "sequence × batch × width").into());
    };
    let batch_first = node.int("layout", 0)? != 0;
    let (steps, batch) = if batch_first { (b, a) } else { (a, b) };
    let hidden = u64::try_from(node.int("hidden_size", 0)?).ok().filter(|&hidden| hidden > 0);
    let hidden = hidden.ok_or_else(|| OnnxError::new("`hidden_size` does not fit", "a positive number"))?;
    let directions = if node.text("direction", "forward") == "bidirectional" { 2 } else { 1 };
    let product = MatMul { batch: steps * directions, m: batch, n: gates * hidden, k: width + hidden };
    let (all, last) = match batch_first {
        true => (vec![batch, steps, directions, hidden], vec![batch, directions, hidden]),
        false => (vec![steps, directions, batch, hidden], vec![directions, batch, hidden]),
    };
    let state = Value::of(last, x.element);
    let outputs = vec![Value::of(all, x.element), state.clone(), state];
    Ok(Made { kind: OperatorKind::MatMul(product), outputs, reads: None })
}

/// Queries, keys and values as batch × tokens × (heads · width), or batch × heads × tokens × width; keys and values of
/// earlier tokens in front of them.
pub fn attention(node: &Node) -> Outcome {
    let operator = node.operator();
    let wrong = |what: &str| OnnxError::new(what.to_string(), "queries, keys and values of three or four dimensions");
    let (query, key) = (node.input(0)?, node.input(1)?);
    let value = node.input(2)?;
    let count = |name: &str| -> Result<Option<u64>, OnnxError> {
        Ok(u64::try_from(node.int(name, 0)?).ok().filter(|&heads| heads > 0))
    };
    let [query_heads, key_heads] = match operator {
        "Attention" => ["q_num_heads", "kv_num_heads"],
        "GroupQueryAttention" => ["num_heads", "kv_num_heads"],
        _ => ["num_heads", "num_heads"],
    };
    let (query_heads, key_heads) = (count(query_heads)?, count(key_heads)?);
    // Batch, heads, tokens, width.
    let four = |value: &Value, heads: Option<u64>| match (&value.shape[..], heads) {
        (&[batch, heads, tokens, width], _) => Ok([batch, heads, tokens, width]),
        (&[batch, tokens, width], Some(heads)) if width % heads == 0 => Ok([batch, heads, tokens, width / heads]),
        (shape, _) => Err(wrong(&format!("an operand of shape {shape:?}"))),
    };
    let [batch, heads, queries, query_width] = four(query, query_heads)?;
    let [_, key_heads, new_keys, _] = four(key, key_heads.or(query_heads))?;
    let [.., value_width] = four(value, Some(key_heads))?;
    let past_at = match operator {
        "Attention" => 4,
        "GroupQueryAttention" => 3,
        _ => 6,
    };
    let past = node.optional(past_at).and_then(|past| past.shape.get(2).copied()).unwrap_or(0);
    if heads == 0 || key_heads == 0 || heads % key_heads != 0 {
        return Err(wrong(&format!("{heads} heads of queries, {key_heads} of keys")).into());
    }
    let keys = past + new_keys;
    let attention = Attention { batch, heads, key_heads, queries, keys, query_width, value_width };
    let shape = match query.shape.len() {
        4 => vec![batch, heads, queries, value_width],
        _ => vec![batch, queries, heads * value_width],
    };
    let present = |width| Value::of(vec![batch, key_heads, keys, width], query.element);
    let outputs = vec![Value::of(shape, query.element), present(query_width), present(value_width)];
    Ok(Made { kind: OperatorKind::Attention(attention), outputs, reads: None })
}
