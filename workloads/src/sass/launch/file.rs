//! Launch files: what they say in TOML, read into a [`Launch`].

use std::ops::Range;
use std::path::Path;

use serde::Deserialize;
use toml::Spanned;

use super::argument::{Argument, Init, Value};
use super::element::ElementType;
use super::{Caches, Check, Launch, MAX_BUFFER_BYTES};
use crate::sass::error::{SassError, line_of, read_toml};
use crate::sass::listing::text_of;
use crate::sass::tensor_map::{Swizzle, TensorMap};

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
            stream: 0,
            arguments,
            check,
            lines: lines.map(|span| line_of(text, span.start)),
        })
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
