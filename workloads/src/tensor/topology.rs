//! Lists of layers in the CSV form of SCALE-Sim: convolutions or matrix products, each on its own.
//!
//! ```text
//! Layer name, IFMAP Height, IFMAP Width, Filter Height, Filter Width, Channels, Num Filter, Strides,
//! Conv1,      224,          224,         11,            11,           3,        96,         4,
//!
//! Layer, M,   N,   K,
//! qkv,   196, 192, 384,
//! ```
//! The number of columns says which of both. As in SCALE-Sim there is no padding, and the last window may hang over the
//! edge: `⌈(H − fh + s) ÷ s⌉` outputs. An element is a byte (SCALE-Sim counts words). No layer reads another's result.

use super::{Convolution, Element, Graph, MatMul, Operator, OperatorKind, Role, Tensor, TensorId};
use crate::InputError;

/// Sizes of a layer; more than any network has, and few enough that products do not overflow.
const LARGEST: u64 = 1 << 20;
/// Multiply-accumulates of a layer.
const MOST_MACS: u128 = 1 << 56;
const CONVOLUTION: [&str; 7] =
    ["IFMAP height", "IFMAP width", "filter height", "filter width", "channels", "filters", "stride"];
const PRODUCT: [&str; 3] = ["M", "N", "K"];

/// Reads a topology.
///
/// # Errors
/// At their line: columns of neither form, no number, a filter larger than its image.
pub fn parse(file: &str, text: &str) -> Result<Graph, InputError> {
    let stem = std::path::Path::new(file).file_stem().map_or(file.into(), |stem| stem.to_string_lossy());
    let mut graph = Graph { name: stem.into_owned(), tensors: Vec::new(), operators: Vec::new() };
    for (number, line) in (1..).zip(text.lines()) {
        let mut fields: Vec<&str> = line.split(',').map(str::trim).collect();
        while fields.last().is_some_and(|last| last.is_empty()) {
            fields.pop();
        }
        let Some((&name, sizes)) = fields.split_first() else { continue };
        let is_heading = number == 1 && sizes.iter().all(|size| size.parse::<u64>().is_err());
        if is_heading {
            continue;
        }
        let wrong = |message: String, help: &str| InputError::new(file, number, message, help);
        let read = |names: &[&str]| -> Result<Vec<u64>, InputError> {
            let number = |(name, size): (&&str, &&str)| match size.parse() {
                Ok(size @ 1..=LARGEST) => Ok(size),
                _ => Err(wrong(format!("{name} is `{size}`"), "a whole number from 1 to 1048576")),
            };
            names.iter().zip(sizes).map(number).collect()
        };
        let kind = match sizes.len() {
            3 => product(&read(&PRODUCT)?),
            7 => convolution(&read(&CONVOLUTION)?).map_err(|message| wrong(message, "a filter that fits"))?,
            count => {
                let help = "a name, then IFMAP height and width, filter height and width, channels, filters, stride; or a \
                            name, then M, N, K";
                return Err(wrong(format!("{} columns", count + 1), help));
            }
        };
        add(&mut graph, name, kind).map_err(|message| wrong(message, "a smaller layer"))?;
    }
    if graph.operators.is_empty() {
        return Err(InputError::new(file, 0, "has no layers", "a line a layer"));
    }
    Ok(graph)
}

fn product(sizes: &[u64]) -> OperatorKind {
    OperatorKind::MatMul(MatMul { batch: 1, m: sizes[0], n: sizes[1], k: sizes[2] })
}

fn convolution(sizes: &[u64]) -> Result<OperatorKind, String> {
    let &[in_height, in_width, kernel_height, kernel_width, in_channels, out_channels, stride] = sizes else {
        return Err(format!("{} sizes", sizes.len()));
    };
    if kernel_height > in_height || kernel_width > in_width {
        return Err(format!("a filter of {kernel_height} × {kernel_width} over an image of {in_height} × {in_width}"));
    }
    let outputs = |extent: u64, kernel: u64| (extent - kernel + stride).div_ceil(stride);
    let (out_height, out_width) = (outputs(in_height, kernel_height), outputs(in_width, kernel_width));
    let over = |out: u64, kernel: u64, extent: u64| ((out - 1) * stride + kernel).saturating_sub(extent);
    Ok(OperatorKind::Convolution(Convolution {
        batch: 1,
        in_channels,
        in_height,
        in_width,
        out_channels,
        out_height,
        out_width,
        kernel_height,
        kernel_width,
        stride_height: stride,
        stride_width: stride,
        dilation_height: 1,
        dilation_width: 1,
        pad_top: 0,
        pad_left: 0,
        pad_bottom: over(out_height, kernel_height, in_height),
        pad_right: over(out_width, kernel_width, in_width),
        groups: 1,
    }))
}

fn add(graph: &mut Graph, name: &str, kind: OperatorKind) -> Result<(), String> {
    let shapes = match &kind {
        OperatorKind::Convolution(c) => [
            vec![1, c.in_channels, c.in_height, c.in_width],
            vec![c.out_channels, c.in_channels, c.kernel_height, c.kernel_width],
            vec![1, c.out_channels, c.out_height, c.out_width],
        ],
        OperatorKind::MatMul(p) => [vec![p.m, p.k], vec![p.k, p.n], vec![p.m, p.n]],
        _ => [vec![], vec![], vec![]],
    };
    // Multiply-accumulates are output elements times filter elements ÷ filters.
    let size = |shape: &[u64]| shape.iter().map(|&extent| u128::from(extent)).product::<u128>();
    if shapes.iter().any(|shape| size(shape) > MOST_MACS) || size(&shapes[2]) * size(&shapes[1]) > MOST_MACS << 20 {
        return Err(format!("layer `{name}` is too large"));
    }
    let mut ids = Vec::new();
    for ((shape, role), what) in
        shapes.into_iter().zip([Role::Input, Role::Weight, Role::Output]).zip(["in", "w", "out"])
    {
        ids.push(TensorId(graph.tensors.len() as u32));
        graph.tensors.push(Tensor { name: format!("{name}.{what}"), shape, element: Element::U8, role });
    }
    let outputs = ids.split_off(2);
    graph.operators.push(Operator { name: name.to_string(), kind, inputs: ids, outputs, fused: Vec::new() });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alexnet_as_scale_sim_sees_it() {
        // M, N, K of the layers as SCALE-Sim v3 lists them for its own alexnet.csv.
        let text = "Layer name, IFMAP Height, IFMAP Width, Filter Height, Filter Width, Channels, Num Filter, Strides,\n\
                    Conv1, 224, 224, 11, 11, 3, 96, 4,\nConv2, 27, 27, 5, 5, 96, 256, 1,\n";
        let graph = parse("topologies/alexnet.csv", text).unwrap();
        assert_eq!(graph.name, "alexnet");
        let macs: Vec<u64> = graph.operators.iter().map(Operator::macs).collect();
        assert_eq!(macs, [3025 * 96 * 363, 529 * 256 * 2400]);
    }

    #[test]
    fn products_have_three_sizes() {
        let graph = parse("vit.csv", "Layer, M, N, K,\nqkv, 196, 192, 384,\n").unwrap();
        assert_eq!(graph.operators[0].kind, OperatorKind::MatMul(MatMul { batch: 1, m: 196, n: 192, k: 384 }));
    }

    #[test]
    fn wrong_lines_say_where_and_what() {
        let wrong = [
            ("Layer,M,N,K\na,1,2\n", "t.csv:2: 3 columns"),
            ("Layer,M,N,K\na,1,2,0\n", "t.csv:2: K is `0`"),
            ("Layer,M,N,K\na,1,2,x\n", "t.csv:2: K is `x`"),
            ("a,4,4,5,5,3,8,1\n", "t.csv:1: a filter of 5 × 5 over an image of 4 × 4"),
            ("Layer,M,N,K\n", "t.csv: has no layers"),
            ("a,1048576,1048576,1048576\n", "t.csv:1: layer `a` is too large"),
        ];
        for (text, expected) in wrong {
            let message = parse("t.csv", text).unwrap_err().to_string();
            assert!(message.starts_with(expected), "{text}: {message}");
        }
    }
}
