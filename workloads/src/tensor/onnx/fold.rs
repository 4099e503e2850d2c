//! What can be computed of a model before it runs: the small integers and factors that shapes are made of.

use super::attributes::{Content, Value};

/// Constants with more elements than this are weights, whose values do not matter.
pub const MOST_ELEMENTS: u64 = 4096;

/// `function` of the elements of both with numpy's broadcasting; none where a value is not known or does not fit.
pub fn binary(function: &str, a: &Value, b: &Value, shape: &[u64]) -> Option<Content> {
    let elements: u64 = shape.iter().product();
    let (x, y) = (a.content.as_ref()?, b.content.as_ref()?);
    if elements > MOST_ELEMENTS {
        return None;
    }
    let places = (0..elements).map(|index| (place(index, shape, &a.shape), place(index, shape, &b.shape)));
    Some(match (x, y) {
        (Content::Ints(x), Content::Ints(y)) => {
            let values = places.map(|(i, j)| ints(function, *x.get(i)?, *y.get(j)?));
            Content::Ints(values.collect::<Option<_>>()?)
        }
        _ => {
            let (x, y) = (x.floats(), y.floats());
            let values = places.map(|(i, j)| floats(function, *x.get(i)?, *y.get(j)?));
            Content::Floats(values.collect::<Option<_>>()?)
        }
    })
}

/// The element of a tensor of shape `from` that the element `index` of the broadcast shape `to` is.
pub fn place(index: u64, to: &[u64], from: &[u64]) -> usize {
    let (mut rest, mut offset, mut stride) = (index, 0, 1);
    for (back, &extent) in to.iter().rev().enumerate() {
        let at = rest % extent.max(1);
        rest /= extent.max(1);
        if let Some(&own) = from.len().checked_sub(back + 1).and_then(|axis| from.get(axis)) {
            offset += if own == 1 { 0 } else { at * stride };
            stride *= own;
        }
    }
    offset as usize
}

fn ints(function: &str, x: i64, y: i64) -> Option<i64> {
    match function {
        "add" => x.checked_add(y),
        "sub" => x.checked_sub(y),
        "mul" => x.checked_mul(y),
        "div" => x.checked_div(y),
        "mod" => x.checked_rem_euclid(y),
        "min" => Some(x.min(y)),
        "max" => Some(x.max(y)),
        "pow" => x.checked_pow(u32::try_from(y).ok()?),
        "equal" => Some(i64::from(x == y)),
        "less" => Some(i64::from(x < y)),
        "greater" => Some(i64::from(x > y)),
        "lessorequal" => Some(i64::from(x <= y)),
        "greaterorequal" => Some(i64::from(x >= y)),
        "and" => Some(i64::from(x != 0 && y != 0)),
        "or" => Some(i64::from(x != 0 || y != 0)),
        _ => None,
    }
}

fn floats(function: &str, x: f64, y: f64) -> Option<f64> {
    match function {
        "add" => Some(x + y),
        "sub" => Some(x - y),
        "mul" => Some(x * y),
        "div" => Some(x / y),
        "min" => Some(x.min(y)),
        "max" => Some(x.max(y)),
        "pow" => Some(x.powf(y)),
        _ => None,
    }
}

/// `function` of each element.
pub fn unary(function: &str, value: &Value) -> Option<Content> {
    match (function, value.content.as_ref()?) {
        ("neg", Content::Ints(ints)) => Some(Content::Ints(ints.iter().map(|int| int.wrapping_neg()).collect())),
        ("abs", Content::Ints(ints)) => Some(Content::Ints(ints.iter().map(|int| int.wrapping_abs()).collect())),
        ("not", Content::Ints(ints)) => Some(Content::Ints(ints.iter().map(|&int| i64::from(int == 0)).collect())),
        (function, Content::Floats(floats)) => {
            let of: fn(f64) -> f64 = match function {
                "floor" => f64::floor,
                "ceil" => f64::ceil,
                "round" => f64::round_ties_even,
                "sqrt" => f64::sqrt,
                "neg" => std::ops::Neg::neg,
                "reciprocal" => f64::recip,
                _ => return None,
            };
            Some(Content::Floats(floats.iter().map(|&float| of(float)).collect()))
        }
        _ => None,
    }
}

/// The elements `pick` of the flattened constant.
pub fn picked(value: &Value, pick: impl Iterator<Item = usize>) -> Option<Content> {
    Some(match value.content.as_ref()? {
        Content::Ints(ints) => Content::Ints(pick.map(|i| ints.get(i).copied()).collect::<Option<_>>()?),
        Content::Floats(floats) => Content::Floats(pick.map(|i| floats.get(i).copied()).collect::<Option<_>>()?),
    })
}

/// Constants one behind the other; only along the first axis are the elements of the result in that order.
pub fn concatenated(values: &[&Value]) -> Option<Content> {
    let contents: Vec<&Content> = values.iter().map(|value| value.content.as_ref()).collect::<Option<_>>()?;
    let all_ints: Option<Vec<&Vec<i64>>> = contents
        .iter()
        .map(|content| match content {
            Content::Ints(ints) => Some(ints),
            Content::Floats(_) => None,
        })
        .collect();
    Some(match all_ints {
        Some(lists) => Content::Ints(lists.into_iter().flatten().copied().collect()),
        None => Content::Floats(contents.iter().flat_map(|content| content.floats()).collect()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::Element;

    fn ints(shape: &[u64], ints: &[i64]) -> Value {
        let content = Some(Content::Ints(ints.to_vec()));
        Value { content, constant: true, ..Value::of(shape.to_vec(), Element::I64) }
    }

    #[test]
    fn broadcasting_is_numpys() {
        let column = ints(&[2, 1], &[10, 20]);
        let row = ints(&[3], &[1, 2, 3]);
        let sum = binary("add", &column, &row, &[2, 3]);
        assert_eq!(sum, Some(Content::Ints(vec![11, 12, 13, 21, 22, 23])));
        assert_eq!(binary("div", &row, &ints(&[], &[0]), &[3]), None, "a division by zero is not folded");
    }
}
