//! A launch: which kernel, on how many threads, with which arguments, and how its result is checked.
//! Keys are described in `workloads/launches/README.md`.

use std::ops::Range;
use std::path::Path;

use rand_core::{Rng, SeedableRng};
use rand_pcg::Pcg64Dxsm;
use serde::Deserialize;
use toml::Spanned;

use super::error::{SassError, line_of, read_toml};
use super::exec::narrow::{BFLOAT16, BINARY16, Rounding};
use super::kernel::Kernel;
use super::listing::text_of;
use super::tensor_map::{self, Swizzle, TensorMap};

/// Element type of a buffer, or type of a scalar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ElementType {
    F16,
    Bf16,
    F32,
    F64,
    I8,
    U8,
    I32,
    U32,
    I64,
    U64,
}

impl ElementType {
    pub fn size_bytes(self) -> usize {
        match self {
            Self::I8 | Self::U8 => 1,
            Self::F16 | Self::Bf16 => 2,
            Self::F32 | Self::I32 | Self::U32 => 4,
            Self::F64 | Self::I64 | Self::U64 => 8,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
            Self::F32 => "f32",
            Self::F64 => "f64",
            Self::I8 => "i8",
            Self::U8 => "u8",
            Self::I32 => "i32",
            Self::U32 => "u32",
            Self::I64 => "i64",
            Self::U64 => "u64",
        }
    }

    fn is_float(self) -> bool {
        matches!(self, Self::F16 | Self::Bf16 | Self::F32 | Self::F64)
    }

    /// The integers that fit.
    fn integer_range(self) -> Range<i128> {
        match self {
            Self::I8 => i128::from(i8::MIN)..i128::from(i8::MAX) + 1,
            Self::U8 => 0..i128::from(u8::MAX) + 1,
            Self::I32 => i128::from(i32::MIN)..i128::from(i32::MAX) + 1,
            Self::U32 => 0..i128::from(u32::MAX) + 1,
            Self::I64 => i128::from(i64::MIN)..i128::from(i64::MAX) + 1,
            Self::F16 | Self::Bf16 | Self::F32 | Self::F64 | Self::U64 => 0..i128::from(u64::MAX) + 1,
        }
    }

    fn encode_integer(self, value: i128) -> Vec<u8> {
        match self {
            Self::F16 | Self::Bf16 | Self::F32 | Self::F64 => self.encode_float(value as f64),
            Self::I8 | Self::U8 => vec![value as u8],
            Self::I32 | Self::U32 => (value as u32).to_le_bytes().to_vec(),
            Self::I64 | Self::U64 => (value as u64).to_le_bytes().to_vec(),
        }
    }

    /// Rounded to nearest.
    fn encode_float(self, value: f64) -> Vec<u8> {
        match self {
            Self::F16 => BINARY16.narrow(value, Rounding::Nearest).to_le_bytes().to_vec(),
            Self::Bf16 => BFLOAT16.narrow(value, Rounding::Nearest).to_le_bytes().to_vec(),
            Self::F32 => (value as f32).to_le_bytes().to_vec(),
            _ => value.to_le_bytes().to_vec(),
        }
    }

    /// An element's value from its little-endian bytes.
    pub fn decode(self, bytes: &[u8]) -> f64 {
        let bits = bytes.iter().rev().fold(0u64, |value, &byte| value << 8 | u64::from(byte));
        match self {
            Self::F16 => BINARY16.widen(bits as u16),
            Self::Bf16 => BFLOAT16.widen(bits as u16),
            Self::F32 => f64::from(f32::from_bits(bits as u32)),
            Self::F64 => f64::from_bits(bits),
            Self::I8 => f64::from(bits as i8),
            Self::I32 => f64::from(bits as u32 as i32),
            Self::U8 | Self::U32 => f64::from(bits as u32),
            Self::I64 => bits as i64 as f64,
            Self::U64 => bits as f64,
        }
    }
}

/// One argument, by position.
#[derive(Clone, Debug, PartialEq)]
pub struct Argument {
    /// As the reference knows it; `argN` when the file gives none.
    pub name: String,
    /// Name of its memory among the launches of a program; the argument's own if none is given.
    pub memory: Option<String>,
    /// The host copies its contents to the device before the launch; otherwise it is only set aside, or was written by
    /// something else long ago.
    pub uploaded: bool,
    /// Line of its `[[arg]]`, for messages.
    pub line: u32,
    pub element: ElementType,
    pub value: Value,
}

impl Argument {
    /// An argument made by a program instead of a file; a buffer is copied to the device before the launch.
    pub fn new(name: &str, element: ElementType, value: Value) -> Self {
        Self { name: name.to_owned(), memory: None, uploaded: true, line: 0, element, value }
    }

    /// Name of its memory: launches of a program share buffers of one name.
    pub fn memory_name(&self) -> &str {
        self.memory.as_deref().unwrap_or(&self.name)
    }
}

/// What a launch finds in the caches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Caches {
    /// What host and earlier launches left: the buffers that were copied to the device, code, constants. As a program
    /// finds them that runs by itself, also under Nsight Systems.
    #[default]
    Left,
    /// Nothing, as Nsight Compute has it, which empties caches before each pass.
    Flushed,
}

/// What is passed.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Little-endian bytes of the value itself.
    Scalar(Vec<u8>),
    /// Global memory of that many elements; its address is passed.
    Buffer { count: usize, init: Init },
    /// Global memory of a tensor's elements; what describes the tensor is passed ([`super::tensor_map`]; its address is
    /// filled in when the memory is set aside).
    TensorMap { map: TensorMap, init: Init },
}

impl Value {
    /// Elements and contents of the memory that the argument brings; `None` for a scalar.
    pub fn memory(&self) -> Option<(usize, &Init)> {
        match self {
            Self::Scalar(_) => None,
            Self::Buffer { count, init } => Some((*count, init)),
            Self::TensorMap { map, init } => Some((map.elements(), init)),
        }
    }
}

/// Contents of a buffer before the run.
#[derive(Clone, Debug, PartialEq)]
pub enum Init {
    Random {
        seed: u64,
        low: f64,
        high: f64,
    },
    /// Element i is i.
    Iota,
    /// A chain: element i is the address of element i + `stride`, modulo their number.
    Pointers {
        stride: usize,
    },
    /// All elements alike, given as little-endian bytes of one.
    Fill(Vec<u8>),
    /// All bytes, little-endian.
    Bytes(Vec<u8>),
}

/// Comparison with a reference after the run.
#[derive(Clone, Debug, PartialEq)]
pub struct Check {
    pub reference: String,
    /// Names of the buffers to compare.
    pub outputs: Vec<String>,
    /// An element passes if |got − want| ≤ `tolerance_abs` + `tolerance_rel` × |want|.
    pub tolerance_abs: f64,
    pub tolerance_rel: f64,
    pub line: u32,
}

/// A launch as its file says it; [`Launch::fit`] compares it with a kernel.
#[derive(Clone, Debug, PartialEq)]
pub struct Launch {
    pub file: String,
    pub description: String,
    pub kernel: String,
    pub grid: [u32; 3],
    pub block: [u32; 3],
    pub dynamic_shared_bytes: u32,
    pub caches: Caches,
    pub arguments: Vec<Argument>,
    pub check: Option<Check>,
    /// Lines of `grid`, `block`, `dynamic_shared_bytes`, for messages.
    lines: [u32; 3],
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    description: String,
    kernel: String,
    grid: Spanned<[u32; 3]>,
    block: Spanned<[u32; 3]>,
    dynamic_shared_bytes: Option<Spanned<u32>>,
    #[serde(default)]
    caches: Caches,
    #[serde(default, rename = "arg")]
    arguments: Vec<Spanned<FileArgument>>,
    check: Option<Spanned<FileCheck>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Scalar,
    Buffer,
    TensorMap,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileTensor {
    dims: Vec<u32>,
    r#box: Vec<u32>,
    #[serde(default)]
    swizzle: FileSwizzle,
}

#[derive(Clone, Copy, Default, Deserialize)]
enum FileSwizzle {
    #[default]
    #[serde(rename = "none")]
    None,
    #[serde(rename = "32B")]
    Bytes32,
    #[serde(rename = "64B")]
    Bytes64,
    #[serde(rename = "128B")]
    Bytes128,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileArgument {
    name: Option<String>,
    kind: Kind,
    r#type: ElementType,
    value: Option<Spanned<Number>>,
    count: Option<Spanned<u64>>,
    tensor: Option<Spanned<FileTensor>>,
    init: Option<Spanned<FileInit>>,
    memory: Option<String>,
    #[serde(default = "yes")]
    uploaded: bool,
}

fn yes() -> bool {
    true
}

#[derive(Clone, Copy)]
enum Number {
    Integer(i128),
    Float(f64),
}

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = Number;
            fn expecting(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                out.write_str("a number")
            }
            fn visit_i64<E>(self, value: i64) -> Result<Number, E> {
                Ok(Number::Integer(value.into()))
            }
            fn visit_u64<E>(self, value: u64) -> Result<Number, E> {
                Ok(Number::Integer(value.into()))
            }
            fn visit_f64<E>(self, value: f64) -> Result<Number, E> {
                Ok(Number::Float(value))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "lowercase")]
enum FileInit {
    Random(Random),
    Iota(Empty),
    Pointers(Pointers),
    Fill(Number),
    File(String),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Random {
    seed: u64,
    low: Option<Number>,
    high: Option<Number>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Pointers {
    stride: usize,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Empty {}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileCheck {
    reference: String,
    outputs: Vec<String>,
    #[serde(default)]
    tolerance_abs: f64,
    #[serde(default)]
    tolerance_rel: f64,
}

/// All buffers of a launch together may not be larger (the machine that simulates must hold them).
const MAX_BUFFER_BYTES: u64 = 16 << 30;

impl Launch {
    /// Reads a launch file.
    ///
    /// # Errors
    /// The file cannot be read, or as [`Launch::parse`].
    pub fn read(path: &Path) -> Result<Self, SassError> {
        let file = path.display().to_string();
        let bytes = std::fs::read(path)
            .map_err(|error| SassError::new(&file, 0, format!("cannot be read: {error}"), "give a launch file"))?;
        Self::parse(&file, &text_of(&file, &bytes)?, path.parent())
    }

    /// Reads the text of a launch file. `folder` is where `init = { file = … }` is looked for.
    ///
    /// # Errors
    /// [`SassError`] with the line that is wrong.
    pub fn parse(file: &str, text: &str, folder: Option<&Path>) -> Result<Self, SassError> {
        let read: File = read_toml(file, text)?;
        let reader = Reader { file, text, folder };
        let dynamic = read.dynamic_shared_bytes.as_ref();
        let lines = [read.grid.span(), read.block.span(), dynamic.map_or(0..0, Spanned::span)];
        let dynamic_shared_bytes = dynamic.map_or(0, |bytes| *bytes.get_ref());
        let mut total_bytes = 0u64;
        let mut arguments = Vec::new();
        for (position, argument) in read.arguments.iter().enumerate() {
            let argument = reader.argument(position, argument)?;
            if let Some((count, _)) = argument.value.memory() {
                total_bytes = total_bytes.saturating_add(count.saturating_mul(argument.element.size_bytes()) as u64);
            }
            if total_bytes > MAX_BUFFER_BYTES {
                let message = "the buffers together are larger than 16 GiB";
                return Err(SassError::new(file, argument.line, message, "choose a smaller count"));
            }
            arguments.push(argument);
        }
        let check = read.check.map(|check| reader.check(&check, &arguments)).transpose()?;
        Ok(Self {
            file: file.to_owned(),
            description: read.description,
            kernel: read.kernel,
            grid: *read.grid.get_ref(),
            block: *read.block.get_ref(),
            dynamic_shared_bytes,
            caches: read.caches,
            arguments,
            check,
            lines: lines.map(|span| line_of(text, span.start)),
        })
    }

    /// A launch made by a program instead of a file.
    pub fn new(kernel: &str, grid: [u32; 3], block: [u32; 3], arguments: Vec<Argument>) -> Self {
        Self {
            file: "launch".into(),
            description: String::new(),
            kernel: kernel.to_owned(),
            grid,
            block,
            dynamic_shared_bytes: 0,
            caches: Caches::default(),
            arguments,
            check: None,
            lines: [0; 3],
        }
    }

    /// The same launch with one thing changed, as a row of a suite says it:
    ///
    /// | key | value |
    /// |---|---|
    /// | `grid`, `block` | `4096` or `32x8` or `4x4x4` |
    /// | `dynamic_shared_bytes` | a number |
    /// | `caches` | `left` or `flushed` |
    /// | `arg.NAME` | of a scalar its value, of a buffer its number of elements |
    /// | `memory.NAME` | of a buffer the name of its memory among the launches of a program |
    ///
    /// # Errors
    /// The launch has no such key or argument, or the value does not fit it.
    pub fn with(mut self, key: &str, value: &str) -> Result<Self, SassError> {
        let file = self.file.clone();
        let wrong = |line: u32, message: String, help: String| SassError::new(&file, line, message, help);
        let sides = |line: u32| {
            let numbers: Result<Vec<u32>, _> = value.split('x').map(|side| side.trim().parse()).collect();
            match numbers.as_deref() {
                Ok(&[x]) => Ok([x, 1, 1]),
                Ok(&[x, y]) => Ok([x, y, 1]),
                Ok(&[x, y, z]) => Ok([x, y, z]),
                _ => Err(wrong(line, format!("`{key}` cannot be `{value}`"), "256, 32x8 or 4x4x4".into())),
            }
        };
        match key {
            "grid" => self.grid = sides(self.lines[0])?,
            "block" => self.block = sides(self.lines[1])?,
            "dynamic_shared_bytes" => {
                let number = value.parse().map_err(|_| {
                    wrong(self.lines[2], format!("`{key}` cannot be `{value}`"), "a number of bytes".into())
                });
                self.dynamic_shared_bytes = number?;
            }
            "caches" => {
                self.caches = match value {
                    "left" => Caches::Left,
                    "flushed" => Caches::Flushed,
                    _ => return Err(wrong(0, format!("`caches` cannot be `{value}`"), "left or flushed".into())),
                }
            }
            _ if key.starts_with("memory.") => {
                let named = |argument: &&mut Argument| key.strip_prefix("memory.") == Some(argument.name.as_str());
                match self.arguments.iter_mut().find(named).filter(|argument| argument.value.memory().is_some()) {
                    Some(argument) => argument.memory = Some(value.to_owned()),
                    None => return Err(wrong(0, format!("has no buffer for `{key}`"), "the name of a buffer".into())),
                }
            }
            _ => {
                let names = || self.arguments.iter().map(|argument| format!("arg.{}", argument.name));
                let known = ["grid".to_owned(), "block".to_owned()].into_iter().chain(names()).collect::<Vec<_>>();
                let named = |argument: &&mut Argument| key.strip_prefix("arg.") == Some(argument.name.as_str());
                let Some(argument) = self.arguments.iter_mut().find(named) else {
                    return Err(wrong(
                        0,
                        format!("has nothing called `{key}`"),
                        format!("there is {}", known.join(", ")),
                    ));
                };
                let (element, line) = (argument.element, argument.line);
                let refused = |help: &str| wrong(line, format!("`{key}` cannot be `{value}`"), help.to_owned());
                match &mut argument.value {
                    Value::Scalar(bytes) if element.is_float() => {
                        let number = value.parse().map_err(|_| refused("a number"))?;
                        *bytes = element.encode_float(number);
                    }
                    Value::Scalar(bytes) => {
                        let number = value.parse().ok().filter(|number| element.integer_range().contains(number));
                        *bytes = element.encode_integer(number.ok_or_else(|| refused("an integer of its type"))?);
                    }
                    Value::Buffer { init: Init::Bytes(_), .. } => {
                        return Err(refused("its contents are a file's, and so is its size"));
                    }
                    Value::Buffer { count, .. } => {
                        let most = MAX_BUFFER_BYTES as usize / element.size_bytes();
                        let number = value.parse().ok().filter(|number| (1..=most).contains(number));
                        *count = number.ok_or_else(|| refused("a number of elements from 1 on, of 16 GiB at most"))?;
                    }
                    Value::TensorMap { .. } => return Err(refused("the sizes of a tensor stay as they are")),
                }
            }
        }
        Ok(self)
    }

    pub fn threads_per_block(&self) -> u32 {
        self.block.iter().fold(1u32, |product, &side| product.saturating_mul(side))
    }

    pub fn warps_per_block(&self) -> u32 {
        self.threads_per_block().div_ceil(32)
    }

    /// Blocks of the grid.
    pub fn blocks(&self) -> u64 {
        self.grid.iter().fold(1, |product, &side| product.saturating_mul(u64::from(side)))
    }

    /// Shared memory of a block, with what the system keeps below the kernel's own.
    pub fn shared_bytes(&self, kernel: &Kernel) -> u32 {
        let metadata = &kernel.metadata;
        let fixed = metadata.shared_base_bytes + metadata.static_shared_bytes;
        fixed.saturating_add(self.dynamic_shared_bytes)
    }

    /// Whether the kernel can be launched like this: geometry, resources, arguments.
    ///
    /// # Errors
    /// [`SassError`] with the line of this launch that the kernel or its architecture does not allow.
    pub fn fit(&self, kernel: &Kernel) -> Result<(), SassError> {
        let [grid_line, block_line, shared_line] = self.lines;
        let error = |line: u32, message: String, help: String| Err(SassError::new(&self.file, line, message, help));
        if self.kernel != kernel.name {
            let message = format!("launches `{}`, but the kernel is `{}`", self.kernel, kernel.name);
            return error(0, message, "choose the launch of this kernel".into());
        }
        let limits = kernel.limits();
        for (key, sides, most, line) in
            [("grid", self.grid, limits.grid, grid_line), ("block", self.block, limits.block, block_line)]
        {
            if (0..3).any(|axis| sides[axis] == 0 || sides[axis] > most[axis]) {
                let help = format!("each side is at least 1; {} allows up to {most:?}", limits.arch);
                return error(line, format!("{key} = {sides:?} cannot be launched"), help);
            }
        }
        let threads = self.threads_per_block();
        let allowed = kernel.metadata.max_threads.unwrap_or(limits.threads_per_block).min(limits.threads_per_block);
        if threads > allowed {
            let message = format!("block = {:?} has {threads} threads", self.block);
            let by = if allowed < limits.threads_per_block { "the kernel's __launch_bounds__" } else { limits.arch };
            return error(block_line, message, format!("{by} allows {allowed} threads a block"));
        }
        let per_warp = (kernel.metadata.registers * 32).next_multiple_of(limits.register_unit);
        let registers = per_warp * self.warps_per_block();
        if registers > limits.registers {
            let message = format!("a block of {threads} threads needs {registers} registers");
            let most = limits.registers / per_warp * 32;
            let help = format!(
                "an SM has {}; with {} a thread, {most} threads fit",
                limits.registers, kernel.metadata.registers
            );
            return error(block_line, message, help);
        }
        let shared = u64::from(kernel.metadata.static_shared_bytes) + u64::from(self.dynamic_shared_bytes);
        if shared > u64::from(limits.shared_bytes_per_block) {
            let message = format!("a block needs {shared} bytes of shared memory");
            let help = format!("{} allows {} bytes a block", limits.arch, limits.shared_bytes_per_block);
            return error(shared_line, message, help);
        }
        self.arguments_fit(kernel)
    }

    fn arguments_fit(&self, kernel: &Kernel) -> Result<(), SassError> {
        let parameters = &kernel.metadata.parameters;
        for (position, (parameter, argument)) in parameters.iter().zip(&self.arguments).enumerate() {
            let (size, what) = match &argument.value {
                Value::Scalar(bytes) => (bytes.len(), format!("a scalar {}", argument.element.name())),
                Value::Buffer { .. } => (8, "the address of a buffer".to_owned()),
                Value::TensorMap { .. } => (tensor_map::BYTES, "a tensor map".to_owned()),
            };
            if size as u32 != parameter.size_bytes {
                let message = format!(
                    "argument {position} (`{}`) is {what}, {size} bytes, but the kernel's parameter has {}",
                    argument.name, parameter.size_bytes
                );
                let help = match parameter.size_bytes {
                    8 => "a buffer, or a scalar of type i64, u64 or f64",
                    128 => "a tensor map (kind = \"tensor_map\")",
                    4 => "a scalar of type i32, u32 or f32",
                    _ => "parameters of this size (structures) cannot be given in a launch file yet",
                };
                return Err(SassError::new(&self.file, argument.line, message, help));
            }
        }
        if parameters.len() != self.arguments.len() {
            let last = self.arguments.last().map_or(0, |argument| argument.line);
            let message =
                format!("gives {} arguments, but `{}` takes {}", self.arguments.len(), kernel.name, parameters.len());
            let help = match parameters.get(self.arguments.len()) {
                Some(missing) => {
                    format!("argument {} of {} bytes is missing", self.arguments.len(), missing.size_bytes)
                }
                None => "remove the last `[[arg]]`".to_owned(),
            };
            return Err(SassError::new(&self.file, last, message, help));
        }
        Ok(())
    }
}

struct Reader<'a> {
    file: &'a str,
    text: &'a str,
    folder: Option<&'a Path>,
}

impl Reader<'_> {
    fn error(&self, span: Range<usize>, message: impl Into<String>, help: impl Into<String>) -> SassError {
        SassError::new(self.file, line_of(self.text, span.start), message, help)
    }

    fn argument(&self, position: usize, spanned: &Spanned<FileArgument>) -> Result<Argument, SassError> {
        let argument = spanned.get_ref();
        let element = argument.r#type;
        if let (Kind::Scalar | Kind::Buffer, Some(tensor)) = (&argument.kind, &argument.tensor) {
            let message = "only a tensor map has a tensor";
            return Err(self.error(tensor.span(), message, "kind = \"tensor_map\""));
        }
        let value = match argument.kind {
            Kind::TensorMap => self.tensor_map(position, spanned)?,
            Kind::Scalar => {
                if let Some(span) =
                    argument.count.as_ref().map(Spanned::span).or(argument.init.as_ref().map(Spanned::span))
                {
                    return Err(self.error(
                        span,
                        "a scalar has no count and no init",
                        "give `value`, or kind = \"buffer\"",
                    ));
                }
                let value = argument.value.as_ref().ok_or_else(|| {
                    self.error(spanned.span(), format!("argument {position} has no value"), "add `value = …`")
                })?;
                Value::Scalar(self.encode(element, *value.get_ref(), value.span())?)
            }
            Kind::Buffer => {
                if let Some(value) = &argument.value {
                    return Err(self.error(
                        value.span(),
                        "a buffer has no value",
                        "give `count` and `init = { fill = … }`",
                    ));
                }
                let count = argument.count.as_ref().ok_or_else(|| {
                    self.error(spanned.span(), format!("argument {position} has no count"), "add `count = …`")
                })?;
                let bytes = count.get_ref().checked_mul(element.size_bytes() as u64);
                if *count.get_ref() == 0 || bytes.is_none_or(|bytes| bytes > MAX_BUFFER_BYTES) {
                    let message = format!("a buffer of {} elements cannot be made", count.get_ref());
                    return Err(self.error(count.span(), message, "1 element to 16 GiB"));
                }
                let init = argument.init.as_ref().ok_or_else(|| {
                    let message = format!("argument {position} has no init");
                    self.error(
                        spanned.span(),
                        message,
                        "add `init = { fill = 0 }`, `{ iota = {} }` or `{ random = { seed = 1 } }`",
                    )
                })?;
                let count = *count.get_ref() as usize;
                Value::Buffer { count, init: self.init(element, count, init)? }
            }
        };
        let name = argument.name.clone().unwrap_or_else(|| format!("arg{position}"));
        if argument.memory.is_some() && value.memory().is_none() {
            let message = "a scalar has no memory";
            return Err(self.error(spanned.span(), message, "kind = \"buffer\", or leave `memory` out"));
        }
        Ok(Argument {
            name,
            memory: argument.memory.clone(),
            uploaded: argument.uploaded,
            line: line_of(self.text, spanned.span().start),
            element,
            value,
        })
    }

    fn tensor_map(&self, position: usize, spanned: &Spanned<FileArgument>) -> Result<Value, SassError> {
        let argument = spanned.get_ref();
        let superfluous = argument.value.as_ref().map(Spanned::span).or(argument.count.as_ref().map(Spanned::span));
        if let Some(span) = superfluous {
            return Err(self.error(span, "a tensor map has no value and no count", "its elements are those of `dims`"));
        }
        let missing = |what: &str| {
            let help = "tensor = { dims = [64, 32], box = [64, 8], swizzle = \"128B\" } and init = { fill = 0 }";
            self.error(spanned.span(), format!("argument {position} has no {what}"), help)
        };
        let tensor = argument.tensor.as_ref().ok_or_else(|| missing("tensor"))?;
        let init = argument.init.as_ref().ok_or_else(|| missing("init"))?;
        let FileTensor { dims, r#box, swizzle } = tensor.get_ref();
        let swizzle = match swizzle {
            FileSwizzle::None => Swizzle::None,
            FileSwizzle::Bytes32 => Swizzle::Bytes32,
            FileSwizzle::Bytes64 => Swizzle::Bytes64,
            FileSwizzle::Bytes128 => Swizzle::Bytes128,
        };
        let element = argument.r#type;
        let map = TensorMap::packed(element.size_bytes() as u32, dims, r#box, swizzle);
        let map = map.map_err(|message| self.error(tensor.span(), message, "sizes are innermost first"))?;
        let elements = dims.iter().fold(1u64, |all, &size| all.saturating_mul(size.into()));
        if elements > MAX_BUFFER_BYTES / element.size_bytes() as u64 {
            return Err(self.error(tensor.span(), "the tensor is larger than 16 GiB", "choose smaller sizes"));
        }
        Ok(Value::TensorMap { map, init: self.init(element, elements as usize, init)? })
    }

    fn encode(&self, element: ElementType, number: Number, span: Range<usize>) -> Result<Vec<u8>, SassError> {
        match number {
            Number::Float(value) if element.is_float() => Ok(element.encode_float(value)),
            Number::Float(value) => {
                let message = format!("{value} is no {}", element.name());
                Err(self.error(span, message, "an integer, or type = \"f32\""))
            }
            Number::Integer(value) if element.is_float() => Ok(element.encode_integer(value)),
            Number::Integer(value) if element.integer_range().contains(&value) => Ok(element.encode_integer(value)),
            Number::Integer(value) => {
                let range = element.integer_range();
                let help = format!("{} to {}", range.start, range.end - 1);
                Err(self.error(span, format!("{value} does not fit into {}", element.name()), help))
            }
        }
    }

    fn init(&self, element: ElementType, count: usize, init: &Spanned<FileInit>) -> Result<Init, SassError> {
        match init.get_ref() {
            FileInit::Iota(Empty {}) => Ok(Init::Iota),
            FileInit::Pointers(Pointers { stride }) => match element {
                ElementType::U64 => Ok(Init::Pointers { stride: *stride }),
                _ => Err(self.error(init.span(), "pointers take 64 bits", "type = \"u64\"")),
            },
            FileInit::Fill(number) => Ok(Init::Fill(self.encode(element, *number, init.span())?)),
            FileInit::Random(random) => {
                let (low, high) = match element {
                    _ if element.is_float() => (0.0, 1.0),
                    _ => (element.integer_range().start as f64, element.integer_range().end as f64),
                };
                let number = |number: Number| match number {
                    Number::Integer(value) => value as f64,
                    Number::Float(value) => value,
                };
                let (low, high) = (random.low.map_or(low, number), random.high.map_or(high, number));
                let representable = element.is_float()
                    || low >= element.integer_range().start as f64 && high <= element.integer_range().end as f64;
                if !(low < high && (high - low).is_finite() && representable) {
                    let message = format!("no {} lies in [{low}, {high})", element.name());
                    return Err(self.error(init.span(), message, "low must be below high, both within the type"));
                }
                Ok(Init::Random { seed: random.seed, low, high })
            }
            FileInit::File(path) => {
                let full = self.folder.map_or_else(|| Path::new(path).to_owned(), |folder| folder.join(path));
                let bytes = std::fs::read(&full).map_err(|error| {
                    self.error(
                        init.span(),
                        format!("{} cannot be read: {error}", full.display()),
                        "a path relative to this file",
                    )
                })?;
                if bytes.len() != count * element.size_bytes() {
                    let message = format!("{} has {} bytes", full.display(), bytes.len());
                    let help = format!("{count} elements of {} take {}", element.name(), count * element.size_bytes());
                    return Err(self.error(init.span(), message, help));
                }
                Ok(Init::Bytes(bytes))
            }
        }
    }

    fn check(&self, check: &Spanned<FileCheck>, arguments: &[Argument]) -> Result<Check, SassError> {
        let read = check.get_ref();
        for output in &read.outputs {
            let buffer = |argument: &&Argument| argument.value.memory().is_some();
            let buffers: Vec<&str> = arguments.iter().filter(buffer).map(|argument| argument.name.as_str()).collect();
            if !buffers.contains(&output.as_str()) {
                let message = format!("checks `{output}`, which is no buffer of this launch");
                return Err(self.error(check.span(), message, format!("buffers are {}", buffers.join(", "))));
            }
        }
        let tolerances = [read.tolerance_abs, read.tolerance_rel];
        if tolerances.iter().any(|tolerance| !(tolerance.is_finite() && *tolerance >= 0.0)) {
            return Err(self.error(check.span(), "a tolerance is negative or not finite", "0 or more"));
        }
        Ok(Check {
            reference: read.reference.clone(),
            outputs: read.outputs.clone(),
            tolerance_abs: read.tolerance_abs,
            tolerance_rel: read.tolerance_rel,
            line: line_of(self.text, check.span().start),
        })
    }
}

impl Init {
    /// The bytes of a buffer of `count` elements.
    pub fn bytes(&self, element: ElementType, count: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(count * element.size_bytes());
        match self {
            Self::Bytes(all) => bytes.extend_from_slice(all),
            Self::Fill(one) => (0..count).for_each(|_| bytes.extend_from_slice(one)),
            Self::Iota => (0..count).for_each(|index| bytes.extend(element.encode_integer(index as i128))),
            // Offsets; the address is known when the memory is set aside.
            Self::Pointers { stride } => {
                (0..count).for_each(|index| bytes.extend((((index + stride) % count * 8) as u64).to_le_bytes()))
            }
            Self::Random { seed, low, high } => {
                let mut generator = Pcg64Dxsm::seed_from_u64(*seed);
                for _ in 0..count {
                    // 53 random bits in [0, 1). Rounding to f32 must not reach `high`, so f32 takes 24 bits.
                    let unit = match element {
                        ElementType::F32 => (generator.next_u64() >> 40) as f64 / (1u64 << 24) as f64,
                        _ => (generator.next_u64() >> 11) as f64 / (1u64 << 53) as f64,
                    };
                    let value = low + (high - low) * unit;
                    // Rounding must not reach the upper bound, which is excluded.
                    match element {
                        ElementType::F16 | ElementType::Bf16 => {
                            let bytes_of = |value: f64| element.encode_float(value);
                            let nearest = bytes_of(value);
                            let below = value - (*high - value).max(high.abs() / 1024.0);
                            let reaches = element.decode(&nearest) >= *high;
                            bytes.extend(if reaches { bytes_of(below.max(*low)) } else { nearest });
                        }
                        ElementType::F32 => {
                            let value = value as f32;
                            let below = if f64::from(value) < *high { value } else { value.next_down() };
                            bytes.extend(below.to_le_bytes());
                        }
                        ElementType::F64 => {
                            bytes.extend(if value < *high { value } else { value.next_down() }.to_le_bytes())
                        }
                        _ => {
                            let last = element.integer_range().end - 1;
                            bytes.extend(element.encode_integer((value.floor() as i128).min(last)));
                        }
                    }
                }
            }
        }
        bytes
    }
}
