//! Convolutions and poolings: a window that goes over an image.

use super::{Made, Outcome};
use crate::tensor::onnx::attributes::{Node, Value};
use crate::tensor::onnx::error::OnnxError;
use crate::tensor::{Convolution, Element, OperatorKind, Pool, PoolKind};

/// One spatial dimension of a window.
#[derive(Clone, Copy)]
struct Axis {
    input: u64,
    kernel: u64,
    stride: u64,
    dilation: u64,
    pad: [u64; 2],
    output: u64,
}

const FLAT: Axis = Axis { input: 1, kernel: 1, stride: 1, dilation: 1, pad: [0, 0], output: 1 };

impl Axis {
    /// The extent of the window with its gaps.
    fn window(self) -> u64 {
        (self.kernel - 1) * self.dilation + 1
    }
}

/// Window, stride, dilation and padding of all spatial dimensions, with the outputs that follow.
fn axes(node: &Node, input: &[u64], kernel: &[u64]) -> Result<Vec<Axis>, OnnxError> {
    let spatial = input.get(2..).unwrap_or_default();
    if spatial.is_empty() || spatial.len() > 3 || kernel.len() != spatial.len() {
        let message = format!("a window {kernel:?} over an input of shape {input:?}");
        return Err(OnnxError::new(message, "batch, channels and one to three spatial dimensions"));
    }
    let positive = |name: &str| -> Result<Vec<u64>, OnnxError> {
        let list = node.ints(name)?.unwrap_or_else(|| vec![1; spatial.len()]);
        let list: Vec<u64> =
            list.into_iter().filter_map(|value| u64::try_from(value).ok()).filter(|&v| v > 0).collect();
        if list.len() == spatial.len() {
            return Ok(list);
        }
        Err(OnnxError::new(format!("`{name}` does not fit"), format!("{} positive numbers", spatial.len())))
    };
    let (strides, dilations) = (positive("strides")?, positive("dilations")?);
    let pads = pads(node, spatial.len())?;
    let auto = node.text("auto_pad", "NOTSET");
    let round_up = node.int("ceil_mode", 0)? != 0;
    let mut all = Vec::new();
    for (index, &extent) in spatial.iter().enumerate() {
        let pad = [pads[index], pads[index + spatial.len()]];
        let (kernel, stride, dilation) = (kernel[index], strides[index], dilations[index]);
        if kernel == 0 || kernel > 1 << 20 || dilation > 1 << 20 {
            return Err(OnnxError::new(format!("a window of {kernel}"), "a window with elements"));
        }
        let mut axis = Axis { input: extent, kernel, stride, dilation, pad, output: 0 };
        match auto.as_str() {
            "SAME_UPPER" | "SAME_LOWER" => {
                axis.output = extent.div_ceil(stride);
                let total = (axis.output.saturating_sub(1) * stride + axis.window()).saturating_sub(extent);
                let (less, more) = (total / 2, total.div_ceil(2));
                axis.pad = if auto == "SAME_UPPER" { [less, more] } else { [more, less] };
            }
            _ => {
                axis.pad = if auto == "VALID" { [0, 0] } else { pad };
                let padded = extent + axis.pad[0] + axis.pad[1];
                let Some(steps) = padded.checked_sub(axis.window()) else {
                    let message = format!("a window of {} over {padded} elements with padding", axis.window());
                    return Err(OnnxError::new(message, "a window that fits into its input"));
                };
                axis.output = 1 + if round_up { steps.div_ceil(stride) } else { steps / stride };
                // A window that lies in the padding at the end alone has no output.
                if round_up && (axis.output - 1) * stride >= extent + axis.pad[0] {
                    axis.output -= 1;
                }
            }
        }
        all.push(axis);
    }
    Ok(all)
}

fn pads(node: &Node, rank: usize) -> Result<Vec<u64>, OnnxError> {
    let pads = node.ints("pads")?.unwrap_or_else(|| vec![0; 2 * rank]);
    let positive: Vec<u64> = pads.iter().filter_map(|&pad| u64::try_from(pad).ok()).collect();
    if positive.len() == 2 * rank {
        return Ok(positive);
    }
    Err(OnnxError::new(format!("`pads` {pads:?} do not fit"), format!("{} numbers from 0", 2 * rank)))
}

/// The window over the last two dimensions; a third one counts as more images, and its taps as more channels.
fn window(batch: u64, channels: [u64; 2], groups: u64, axes: &[Axis]) -> Convolution {
    let mut flat = [FLAT; 3];
    flat[3 - axes.len()..].copy_from_slice(axes);
    let [depth, height, width] = flat;
    Convolution {
        batch: batch * depth.output,
        in_channels: channels[0] * depth.kernel,
        in_height: height.input,
        in_width: width.input,
        out_channels: channels[1],
        out_height: height.output,
        out_width: width.output,
        kernel_height: height.kernel,
        kernel_width: width.kernel,
        stride_height: height.stride,
        stride_width: width.stride,
        dilation_height: height.dilation,
        dilation_width: width.dilation,
        pad_top: height.pad[0],
        pad_left: width.pad[0],
        pad_bottom: height.pad[1],
        pad_right: width.pad[1],
        groups,
    }
}

fn shape(batch: u64, channels: u64, axes: &[Axis]) -> Vec<u64> {
    [batch, channels].into_iter().chain(axes.iter().map(|axis| axis.output)).collect()
}

/// Inputs of image and filters, and the type of the result.
fn operands<'n>(node: &'n Node) -> Result<(&'n Value, &'n Value, Element, Vec<usize>), OnnxError> {
    let (image, all) = (node.input(0)?, (0..node.inputs.len()).collect());
    Ok(match node.operator() {
        "QLinearConv" => (image, node.input(3)?, node.optional(7).map_or(image.element, |zero| zero.element), all),
        "ConvInteger" => (image, node.input(1)?, Element::I32, all),
        _ => (image, node.input(1)?, image.element, all),
    })
}

fn channels_of(image: &Value, weights: &Value) -> Result<(u64, u64), OnnxError> {
    match (image.shape.as_slice(), weights.shape.as_slice()) {
        ([batch, channels, spatial @ ..], [_, _, kernel @ ..]) if spatial.len() == kernel.len() => {
            Ok((*batch, *channels))
        }
        (image, weights) => {
            let message = format!("an image of shape {image:?} and filters of shape {weights:?}");
            Err(OnnxError::new(message, "batch × channels × … and filters × channels × …, with as many dimensions"))
        }
    }
}

pub fn convolution(node: &Node) -> Outcome {
    let (image, weights, element, reads) = operands(node)?;
    let (batch, in_channels) = channels_of(image, weights)?;
    let groups = groups(node, in_channels, weights.shape[0])?;
    if weights.shape[1].checked_mul(groups) != Some(in_channels) {
        let message = format!("{in_channels} channels in {groups} groups, filters of {}", weights.shape[1]);
        return Err(OnnxError::new(message, "filters of channels ÷ groups").into());
    }
    let axes = axes(node, &image.shape, &weights.shape[2..])?;
    let channels = [in_channels, weights.shape[0]];
    let kind = OperatorKind::Convolution(window(batch, channels, groups, &axes));
    let output = Value::of(shape(batch, channels[1], &axes), element);
    Ok(Made { kind, outputs: vec![output], reads: Some(reads) })
}

fn groups(node: &Node, in_channels: u64, out_channels: u64) -> Result<u64, OnnxError> {
    let groups = node.int("group", 1)?;
    match u64::try_from(groups)
        .ok()
        .filter(|&g| g > 0 && in_channels.is_multiple_of(g) && out_channels.is_multiple_of(g))
    {
        Some(groups) => Ok(groups),
        None => {
            let message = format!("{groups} groups of {in_channels} and {out_channels} channels");
            Err(OnnxError::new(message, "a number that divides both"))
        }
    }
}

/// As the convolutions on the input's grid that it falls apart into: stride² times the filters, windows of
/// kernel ÷ stride, so that the taps on inserted zeros are not counted.
pub fn transposed_convolution(node: &Node) -> Outcome {
    let (image, weights) = (node.input(0)?, node.input(1)?);
    let (batch, in_channels) = channels_of(image, weights)?;
    let spatial = image.shape[2..].len();
    if spatial == 0 || spatial > 3 || weights.shape[0] != in_channels {
        let message = format!("an image of shape {:?} and filters of shape {:?}", image.shape, weights.shape);
        return Err(OnnxError::new(message, "filters of channels × filters ÷ groups × …").into());
    }
    let Some(groups) = u64::try_from(node.int("group", 1)?).ok().filter(|&g| g > 0 && in_channels % g == 0) else {
        return Err(OnnxError::new("`group` does not fit", "a number that divides the channels").into());
    };
    let out_channels = weights.shape[1] * groups;
    let list = |name: &str, default: u64| -> Result<Vec<u64>, OnnxError> {
        let list = node.ints(name)?.unwrap_or_else(|| vec![default as i64; spatial]);
        let list: Vec<u64> = list.iter().filter_map(|&v| u64::try_from(v).ok()).filter(|&v| v >= default).collect();
        (list.len() == spatial)
            .then_some(list)
            .ok_or_else(|| OnnxError::new(format!("`{name}` does not fit"), format!("{spatial} numbers")))
    };
    let (strides, dilations, extra) = (list("strides", 1)?, list("dilations", 1)?, list("output_padding", 0)?);
    let (pads, auto) = (pads(node, spatial)?, node.text("auto_pad", "NOTSET"));
    let stated = node.ints("output_shape")?;
    let (mut axes, mut phases, mut out) = (Vec::new(), 1, vec![batch, out_channels]);
    for index in 0..spatial {
        let (input, kernel, stride) = (image.shape[2 + index], weights.shape[2 + index], strides[index]);
        if input == 0 || kernel == 0 || kernel > 1 << 20 || dilations[index] > 1 << 20 {
            return Err(OnnxError::new("an empty window or image", "a window with elements").into());
        }
        let full = (input - 1) * stride + (kernel - 1) * dilations[index] + 1 + extra[index];
        let output = match (&stated, auto.as_str()) {
            (Some(shape), _) => shape.get(index).and_then(|&v| u64::try_from(v).ok()),
            (None, "SAME_UPPER" | "SAME_LOWER") => Some(input * stride),
            _ => full.checked_sub(pads[index] + pads[index + spatial]),
        };
        let output = output.filter(|&output| output > 0);
        out.push(output.ok_or_else(|| OnnxError::new("its output is empty", "less padding"))?);
        axes.push(Axis { input, kernel: kernel.div_ceil(stride), output: input, ..FLAT });
        phases *= stride;
    }
    let kind = OperatorKind::Convolution(window(batch, [in_channels, out_channels * phases], groups, &axes));
    Made::one(kind, Value::of(out, image.element))
}

pub fn pool(node: &Node) -> Outcome {
    let image = node.input(0)?;
    let kernel = node.ints("kernel_shape")?.unwrap_or_default();
    let kernel: Vec<u64> = kernel.into_iter().filter_map(|extent| u64::try_from(extent).ok()).collect();
    let axes = axes(node, &image.shape, &kernel)?;
    let (batch, channels) = (image.shape[0], image.shape[1]);
    let output = Value::of(shape(batch, channels, &axes), image.element);
    let indices = Value { element: Element::I64, ..output.clone() };
    let made = pooled(node, window(batch, [channels, channels], channels, &axes), output)?;
    let outputs = made.outputs.into_iter().chain((node.proto.output.len() > 1).then_some(indices)).collect();
    Ok(Made { outputs, ..made })
}

pub fn global_pool(node: &Node) -> Outcome {
    let image = node.input(0)?;
    let (Some(&batch), Some(&channels), Some(spatial)) =
        (image.shape.first(), image.shape.get(1), image.shape.get(2..))
    else {
        return Err(OnnxError::new("an image without channels", "batch, channels and spatial dimensions").into());
    };
    let taps: u64 = spatial.iter().product();
    let rows = spatial.first().copied().unwrap_or(1).max(1);
    let height = Axis { input: rows, kernel: rows, ..FLAT };
    let width = Axis { input: taps / rows, kernel: taps / rows, ..FLAT };
    let out: Vec<u64> = [batch, channels].into_iter().chain(spatial.iter().map(|_| 1)).collect();
    pooled(node, window(batch, [channels, channels], channels, &[height, width]), Value::of(out, image.element))
}

fn pooled(node: &Node, window: Convolution, output: Value) -> Outcome {
    let kind = if node.operator().contains("Max") { PoolKind::Max } else { PoolKind::Average };
    let kind = OperatorKind::Pool(Pool { kind, window });
    Ok(Made { kind, outputs: vec![output], reads: Some(vec![0]) })
}
