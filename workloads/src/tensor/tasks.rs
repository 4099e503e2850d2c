//! Tasks of a tile-based NPU: what each engine is asked to do, and the barriers between them.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::Element;

/// Where a transfer reads or writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Place {
    /// Main memory.
    Ddr,
    /// The scratchpad of one tile.
    Cmx(u32),
    /// The scratchpads of tiles `first..=last`, written at once: a destination only.
    CmxBroadcast { first: u32, last: u32 },
}

impl Place {
    /// The tiles whose scratchpad it names.
    pub fn tiles(self) -> std::ops::Range<u32> {
        match self {
            Place::Ddr => 0..0,
            Place::Cmx(tile) => tile..tile.saturating_add(1),
            Place::CmxBroadcast { first, last } => first..last.saturating_add(1),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Ddr => write!(out, "ddr"),
            Place::Cmx(tile) => write!(out, "cmx{tile}"),
            Place::CmxBroadcast { first, last } => write!(out, "cmx{first}-{last}"),
        }
    }
}

impl std::str::FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is no place: `ddr`, `cmx0` or, as a destination, `cmx0-5`");
        if text == "ddr" {
            return Ok(Place::Ddr);
        }
        let tiles = text.strip_prefix("cmx").ok_or_else(wrong)?;
        match tiles.split_once('-') {
            None => tiles.parse().map(Place::Cmx).map_err(|_| wrong()),
            Some((first, last)) => match (first.parse(), last.parse()) {
                (Ok(first), Ok(last)) if first < last => Ok(Place::CmxBroadcast { first, last }),
                _ => Err(wrong()),
            },
        }
    }
}

/// What the MAC array and its post-processing compute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DpuOperation {
    /// Convolution; a matrix product is one with a 1 × 1 kernel.
    Conv,
    /// Every channel by a filter of its own.
    Depthwise,
    MaxPool,
    AveragePool,
    /// One output element from one element of each of two inputs.
    Eltwise,
}

/// Output points that the array works on at once, named as the vendor does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum MpeMode {
    #[serde(rename = "16x16")]
    M16x16,
    #[serde(rename = "8x16")]
    M8x16,
    #[serde(rename = "4x16")]
    M4x16,
}

/// Width, height and channels of a tensor block.
pub type Extent = [u64; 3];

/// One workload of a MAC array: a block of an output tensor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Variant {
    pub op: DpuOperation,
    #[serde(rename = "dtype")]
    pub element: Element,
    /// What is read, without padding.
    #[serde(rename = "in")]
    pub input: Extent,
    #[serde(rename = "out")]
    pub output: Extent,
    /// Width and height of the window.
    #[serde(rename = "k", default = "ones")]
    pub kernel: [u64; 2],
    /// Step in width and height.
    #[serde(rename = "s", default = "ones")]
    pub stride: [u64; 2],
    /// Rows and columns of padding: top, bottom, left, right.
    #[serde(rename = "pad", default)]
    pub padding: [u64; 4],
    #[serde(default = "sixteen")]
    pub mode: MpeMode,
    /// Share of weights that are zero and not stored, from 0 to less than 1.
    #[serde(rename = "wt_sparsity", default)]
    pub weight_sparsity: f64,
    /// Share of input elements that are zero and skipped, from 0 to less than 1.
    #[serde(rename = "act_sparsity", default)]
    pub activation_sparsity: f64,
    /// Tiles that receive the output.
    #[serde(default = "one")]
    pub out_tiles: u32,
}

fn ones() -> [u64; 2] {
    [1, 1]
}

fn one() -> u32 {
    1
}

fn sixteen() -> MpeMode {
    MpeMode::M16x16
}

impl Variant {
    /// Bytes of the input block; of both inputs of an element-wise operation.
    pub fn input_bytes(&self) -> u64 {
        let inputs = if self.op == DpuOperation::Eltwise { 2 } else { 1 };
        inputs * self.element.bytes_of(self.input.iter().product())
    }

    /// Bytes of the output block in one tile.
    pub fn output_bytes(&self) -> u64 {
        self.element.bytes_of(self.output.iter().product())
    }

    /// Bytes of weights, zeros of sparse ones left out.
    pub fn weight_bytes(&self) -> u64 {
        let taps = self.kernel[0] * self.kernel[1];
        let elements = match self.op {
            DpuOperation::Conv => taps * self.input[2] * self.output[2],
            DpuOperation::Depthwise => taps * self.output[2],
            _ => 0,
        };
        let dense = self.element.bytes_of(elements);
        (dense as f64 * (1.0 - self.weight_sparsity)).ceil() as u64
    }

    /// Multiply-accumulates of a convolution, taps on the padding included; 0 for what multiplies nothing.
    pub fn macs(&self) -> u64 {
        let points: u64 = self.output.iter().product::<u64>() * self.kernel[0] * self.kernel[1];
        match self.op {
            DpuOperation::Conv => points * self.input[2],
            DpuOperation::Depthwise => points,
            _ => 0,
        }
    }
}

/// What one task is and which engine does it.
#[derive(Debug, Clone, PartialEq)]
pub enum Work {
    /// Workloads of a tile's MAC arrays.
    Dpu { tile: u32, variants: Vec<Variant> },
    /// A transfer on a DMA port.
    Dma {
        port: u32,
        source: Place,
        destination: Place,
        /// Bytes at the source: compressed ones where it decompresses.
        bytes: u64,
        /// Expands what it reads.
        decompress: bool,
        /// Reorders elements of so many bytes, one a cycle.
        permute_element_bytes: Option<u32>,
    },
    /// A kernel on one of a tile's vector DSPs.
    Shave { tile: u32, kernel: String, element: Element, elements: u64 },
    /// The image engine.
    M2i,
    /// The control processor.
    Cpu,
}

impl Work {
    /// Name of the kind of engine, as in task lists.
    pub fn engine(&self) -> &'static str {
        match self {
            Work::Dpu { .. } => "dpu",
            Work::Dma { .. } => "dma",
            Work::Shave { .. } => "shave",
            Work::M2i => "m2i",
            Work::Cpu => "cpu",
        }
    }

    /// Entries that it takes of a barrier that it waits for or updates: one a workload.
    pub fn barrier_slots(&self) -> u64 {
        match self {
            Work::Dpu { variants, .. } => variants.len().max(1) as u64,
            _ => 1,
        }
    }
}

/// Scratchpad that a task reads or writes, where a compiler placed it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CmxRange {
    pub tile: u32,
    pub offset: u64,
    pub bytes: u64,
}

/// One task.
#[derive(Debug, Clone, PartialEq)]
pub struct Task {
    /// Unique in its list.
    pub id: u64,
    /// The operator of the network that it is part of, for tables by layer.
    pub layer: Option<String>,
    /// Barriers that have to be released before it starts.
    pub wait: Vec<u32>,
    /// Barriers that count its end.
    pub update: Vec<u32>,
    pub work: Work,
    /// Its cost in cycles of its engine's clock, where it is known: then no cost function is asked. Needed by the
    /// engines that have no cost function, M2I and CPU.
    pub cycles: Option<u64>,
    /// Places in scratchpads; none where the list says nothing of them.
    pub cmx: Vec<CmxRange>,
    /// Line of the file it was read from; 0 when a program made it.
    pub line: u32,
}

impl Task {
    /// A task without barriers, layer, stated cost and places.
    pub fn new(id: u64, work: Work) -> Self {
        Self { id, layer: None, wait: vec![], update: vec![], work, cycles: None, cmx: vec![], line: 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_read_as_they_print() {
        for place in [Place::Ddr, Place::Cmx(1), Place::CmxBroadcast { first: 0, last: 5 }] {
            assert_eq!(place.to_string().parse(), Ok(place));
        }
        assert!("cmx".parse::<Place>().is_err());
        assert!("cmx3-1".parse::<Place>().is_err());
        assert!("dram".parse::<Place>().is_err());
    }

    #[test]
    fn bytes_and_macs_of_a_convolution() {
        // Output 28 × 28 × 64 of a 3 × 3 kernel over 32 channels of 16-bit elements.
        let variant = Variant {
            op: DpuOperation::Conv,
            element: Element::F16,
            input: [30, 30, 32],
            output: [28, 28, 64],
            kernel: [3, 3],
            stride: [1, 1],
            padding: [0; 4],
            mode: MpeMode::M16x16,
            weight_sparsity: 0.0,
            activation_sparsity: 0.0,
            out_tiles: 1,
        };
        assert_eq!(variant.input_bytes(), 2 * 30 * 30 * 32);
        assert_eq!(variant.output_bytes(), 2 * 28 * 28 * 64);
        assert_eq!(variant.weight_bytes(), 2 * 9 * 32 * 64);
        assert_eq!(variant.macs(), 28 * 28 * 64 * 32 * 9);
    }
}
