//! The walk over a model: initialisers and inputs are known, then node by node what it makes.

use std::path::{Component, Path};

use rustc_hash::{FxHashMap, FxHashSet};

use super::attributes::{Content, Node, Value};
use super::error::OnnxError;
use super::fold::MOST_ELEMENTS;
use super::operators::{self, Made, Refusal};
use super::schema::tensor_proto::DataLocation;
use super::schema::tensor_shape_proto::dimension;
use super::schema::{GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto, type_proto};
use super::{Model, NEWEST_OPSET, OLDEST_OPSET, Options};
use crate::tensor::{Element, Graph, Operator, OperatorKind, Role, Tensor, TensorId};

/// Elements of a tensor; more than any memory holds, and few enough that products with it do not overflow.
const MOST_TENSOR_ELEMENTS: u64 = 1 << 40;
/// Multiply-accumulates of an operator, and of a model.
const MOST_MACS: u128 = 1 << 60;
const DEFAULT_DOMAINS: [&str; 2] = ["", "ai.onnx"];
/// Fused and quantised operators that runtimes add.
pub const EXTENSIONS: &str = "com.microsoft";

/// The graph of a model as its nodes say it, nothing fused.
pub fn graph(name: &str, model: &ModelProto, folder: Option<&Path>, options: &Options) -> Result<Model, OnnxError> {
    let opset = opset(model)?;
    let Some(graph) = &model.graph else {
        return Err(OnnxError::new("holds no graph", "the file is truncated or is no ONNX model: get it again"));
    };
    let mut reader = Reader {
        options,
        folder,
        opset,
        graph: Graph { name: name.to_string(), tensors: Vec::new(), operators: Vec::new() },
        values: FxHashMap::default(),
        stated: FxHashMap::default(),
        warnings: Vec::new(),
    };
    reader.constants(graph)?;
    reader.inputs(graph)?;
    for (index, node) in graph.node.iter().enumerate() {
        let label = label(node, index);
        reader.node(node, &label).map_err(|error| error.in_node(&label, node.op_type()))?;
    }
    reader.outputs(graph)?;
    let macs: u128 = reader.graph.operators.iter().map(|operator| u128::from(operator.macs())).sum();
    if macs > MOST_MACS {
        return Err(OnnxError::new(format!("{macs} multiply-accumulates are too many"), "smaller dimensions"));
    }
    if reader.graph.operators.is_empty() {
        return Err(OnnxError::new("computes nothing from its inputs", "a model with nodes"));
    }
    Ok(Model { graph: reader.graph, warnings: reader.warnings })
}

/// The version of the default domain.
fn opset(model: &ModelProto) -> Result<i64, OnnxError> {
    let default = model.opset_import.iter().find(|set| DEFAULT_DOMAINS.contains(&set.domain()));
    let understood = format!("opset {OLDEST_OPSET} to {NEWEST_OPSET}");
    match default.map(|set| set.version()) {
        Some(version @ OLDEST_OPSET..=NEWEST_OPSET) => Ok(version),
        Some(version) => {
            let help = format!("{understood}: onnx.version_converter.convert_version makes one of the other");
            Err(OnnxError::new(format!("opset {version} is not known"), help))
        }
        None if model.opset_import.is_empty() => {
            let help = format!("{understood}; the file is truncated or is no ONNX model");
            Err(OnnxError::new("names no opset", help))
        }
        // Only operators of other domains.
        None => Ok(NEWEST_OPSET),
    }
}

/// A node's name, or its first output's, or its number.
fn label(node: &NodeProto, index: usize) -> String {
    let names = [node.name(), node.output.first().map_or("", String::as_str)];
    let found = names.into_iter().find(|name| !name.is_empty());
    found.map_or_else(|| format!("#{index}"), str::to_string)
}

/// A value of the model and, once something in the graph needs it, its tensor.
struct Entry {
    value: Value,
    role: Role,
    id: Option<TensorId>,
}

struct Reader<'m> {
    options: &'m Options,
    folder: Option<&'m Path>,
    opset: i64,
    graph: Graph,
    values: FxHashMap<String, Entry>,
    /// Shapes and types that the model states of values that nodes make.
    stated: FxHashMap<&'m str, &'m ValueInfoProto>,
    warnings: Vec<String>,
}

impl<'m> Reader<'m> {
    fn constants(&mut self, graph: &GraphProto) -> Result<(), OnnxError> {
        for tensor in &graph.initializer {
            let in_tensor = |error: OnnxError| OnnxError {
                message: format!("initializer `{}`: {}", tensor.name(), error.message),
                ..error
            };
            let value = constant(tensor).map_err(in_tensor)?;
            self.check_external(tensor, &value).map_err(in_tensor)?;
            self.define(tensor.name(), value, Role::Weight)?;
        }
        for sparse in &graph.sparse_initializer {
            let Some(values) = &sparse.values else { continue };
            let shape = shape_of(&sparse.dims)?;
            let value = Value { constant: true, ..Value::of(shape, element(values.data_type())?) };
            self.define(values.name(), value, Role::Weight)?;
        }
        Ok(())
    }

    /// Inputs that are no initialisers. All names of open dimensions are asked for at once.
    fn inputs(&mut self, graph: &'m GraphProto) -> Result<(), OnnxError> {
        let read: FxHashSet<&str> = graph.node.iter().flat_map(|node| node.input.iter().map(String::as_str)).collect();
        let mut open = Vec::new();
        for input in &graph.input {
            if self.values.contains_key(input.name()) || !read.contains(input.name()) {
                continue;
            }
            let (shape, element) = self.shape_and_element(input, &mut open).map_err(|error| OnnxError {
                message: format!("input `{}`: {}", input.name(), error.message),
                ..error
            })?;
            if shape.contains(&0) {
                let help = "an input with elements";
                return Err(OnnxError::new(format!("input `{}` is empty: {shape:?}", input.name()), help));
            }
            checked(&shape)?;
            self.define(input.name(), Value::of(shape, element), Role::Input)?;
        }
        open.dedup();
        if !open.is_empty() {
            let all: Vec<String> = open.iter().map(|name| format!("--dim {name}=1")).collect();
            let message = format!("the dimensions {} of its inputs are open", open.join(", "));
            return Err(OnnxError::new(message, format!("give each a size: {}", all.join(" "))));
        }
        for info in graph.value_info.iter().chain(&graph.output) {
            self.stated.insert(info.name(), info);
        }
        Ok(())
    }

    /// Dimensions without a size go to `open` under their name, or the input's name and their index, and are 1 meanwhile.
    fn shape_and_element(
        &self,
        info: &ValueInfoProto,
        open: &mut Vec<String>,
    ) -> Result<(Vec<u64>, Element), OnnxError> {
        let help = "an input with a shape and a type: tensors only";
        let Some(type_proto::Value::TensorType(tensor)) = info.r#type.as_ref().and_then(|t| t.value.as_ref()) else {
            return Err(OnnxError::new("is no tensor", help));
        };
        let element = element(tensor.elem_type())?;
        let Some(shape) = &tensor.shape else { return Err(OnnxError::new("has no shape", help)) };
        let mut dims = Vec::new();
        for (index, dim) in shape.dim.iter().enumerate() {
            let name = match &dim.value {
                Some(dimension::Value::DimValue(size)) if *size >= 0 => {
                    dims.push(*size as u64);
                    continue;
                }
                Some(dimension::Value::DimParam(name)) if !name.is_empty() => name.clone(),
                _ => format!("{}.{index}", info.name()),
            };
            let size = self.options.dimensions.get(&name).copied();
            if size.is_none() && !open.contains(&name) {
                open.push(name);
            }
            dims.push(size.unwrap_or(1));
        }
        Ok((dims, element))
    }

    /// A file with the data of a constant is there and long enough.
    fn check_external(&self, tensor: &TensorProto, value: &Value) -> Result<(), OnnxError> {
        if tensor.data_location() != DataLocation::External {
            return Ok(());
        }
        let field = |key: &str| tensor.external_data.iter().find(|entry| entry.key() == key).map(|entry| entry.value());
        let help = "the files of external data lie beside the model, under the names they were saved with";
        let location = field("location").ok_or_else(|| OnnxError::new("names no file for its external data", help))?;
        let path = Path::new(location);
        if !path.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir)) {
            return Err(OnnxError::new(format!("external data `{location}` lies outside the model's folder"), help));
        }
        let Some(folder) = self.folder else { return Ok(()) };
        let number = |key: &str| field(key).map_or(Some(None), |text| text.parse::<u64>().ok().map(Some));
        let (Some(offset), Some(length)) = (number("offset"), number("length")) else {
            return Err(OnnxError::new(format!("external data `{location}`: offset or length is no number"), help));
        };
        let bytes = (value.elements() * value.element.bits()).div_ceil(8);
        let needed = offset.unwrap_or(0).saturating_add(length.unwrap_or(bytes));
        match std::fs::metadata(folder.join(path)) {
            Ok(file) if file.len() >= needed => Ok(()),
            Ok(file) => {
                let message = format!("external data `{location}` has {} bytes of {needed}", file.len());
                Err(OnnxError::new(message, "the file is truncated: get it again"))
            }
            Err(error) => Err(OnnxError::new(format!("external data `{location}` cannot be read: {error}"), help)),
        }
    }

    fn define(&mut self, name: &str, value: Value, role: Role) -> Result<(), OnnxError> {
        if self.values.insert(name.to_string(), Entry { value, role, id: None }).is_some() {
            return Err(OnnxError::new(format!("`{name}` is made twice"), "every value has one source"));
        }
        Ok(())
    }

    fn node(&mut self, proto: &'m NodeProto, label: &str) -> Result<(), OnnxError> {
        let mut inputs = Vec::with_capacity(proto.input.len());
        for name in &proto.input {
            let known = self.values.get(name).map(|entry| entry.value.clone());
            if known.is_none() && !name.is_empty() {
                let help = "nodes stand in an order in which they can run, and inputs have a shape";
                return Err(OnnxError::new(format!("reads `{name}`, which nothing before it makes"), help));
            }
            inputs.push(known);
        }
        let stated = proto.output.iter().map(|name| self.stated_shape(name)).collect();
        let node = Node { proto, inputs, opset: self.opset, stated };
        let is_known_domain = DEFAULT_DOMAINS.contains(&proto.domain()) || proto.domain() == EXTENSIONS;
        let made = match is_known_domain.then(|| operators::made(&node)) {
            Some(Ok(made)) => made,
            Some(Err(Refusal::Wrong(error))) => return Err(error),
            Some(Err(Refusal::Unknown)) | None => self.unknown(&node, label)?,
        };
        self.add(&node, made, label)
    }

    fn stated_shape(&self, name: &str) -> Option<(Vec<u64>, Element)> {
        let info = self.stated.get(name)?;
        let mut open = Vec::new();
        let found = self.shape_and_element(info, &mut open).ok()?;
        open.is_empty().then_some(found)
    }

    /// Outputs as the model states them, else like the first input, which the warning says.
    fn unknown(&mut self, node: &Node, label: &str) -> Result<Made, OnnxError> {
        let operator = match node.proto.domain() {
            "" => node.operator().to_string(),
            domain => format!("{domain}.{}", node.operator()),
        };
        let mut assumed = false;
        let mut outputs = Vec::new();
        for stated in &node.stated {
            let (shape, element) = match (stated, node.given().next()) {
                (Some(stated), _) => stated.clone(),
                (None, Some(first)) => {
                    assumed = true;
                    (first.shape.clone(), first.element)
                }
                (None, None) => {
                    let help = "state the shapes of all values in the model: onnx.shape_inference.infer_shapes";
                    return Err(OnnxError::new("is not known, and nothing says the shape of its output", help));
                }
            };
            outputs.push(Value::of(shape, element));
        }
        let shape = if assumed { "; its output is taken to have the shape of its first input" } else { "" };
        let costed = "is costed as the movement of its inputs and outputs";
        self.warnings.push(format!("node `{label}`: operator {operator} is not known and {costed}{shape}"));
        Ok(Made { kind: OperatorKind::Unknown { operator }, outputs, reads: None })
    }

    fn add(&mut self, node: &Node, made: Made, label: &str) -> Result<(), OnnxError> {
        let is_unknown = matches!(made.kind, OperatorKind::Unknown { .. });
        let all_constant = !is_unknown && node.given().all(|value| value.constant);
        // What is computed from constants alone, or is a shape, is there before the first inference.
        let is_folded = |value: &Value| all_constant || value.content.is_some();
        let names = &node.proto.output;
        if made.outputs.len() < names.len() && names[made.outputs.len()..].iter().any(|name| !name.is_empty()) {
            let message = format!("has {} outputs, {} are known of it", names.len(), made.outputs.len());
            return Err(OnnxError::new(message, "fewer outputs"));
        }
        let mut outputs = Vec::new();
        for (name, value) in names.iter().zip(made.outputs) {
            if name.is_empty() {
                continue;
            }
            checked(&value.shape)?;
            if is_folded(&value) {
                self.define(name, Value { constant: true, ..value }, Role::Weight)?;
                continue;
            }
            if value.shape.contains(&0) {
                let message = format!("its output `{name}` is empty: {:?}", value.shape);
                return Err(OnnxError::new(message, "dimensions that leave something to compute"));
            }
            self.define(name, value, Role::Activation)?;
            outputs.push(self.tensor(name));
        }
        if outputs.is_empty() {
            return Ok(());
        }
        let reads = made.reads.unwrap_or_else(|| (0..node.proto.input.len()).collect());
        let read = reads.into_iter().filter_map(|index| node.proto.input.get(index)).filter(|name| !name.is_empty());
        let inputs = read.map(|name| self.tensor(name)).collect();
        check_macs(&made.kind)?;
        let operator = Operator { name: label.to_string(), kind: made.kind, inputs, outputs, fused: Vec::new() };
        self.graph.operators.push(operator);
        Ok(())
    }

    /// The tensor of a value, made when it is first needed: constants that only shapes came from are none.
    fn tensor(&mut self, name: &str) -> TensorId {
        let entry = self.values.get_mut(name).expect("it was looked up before");
        let next = TensorId(self.graph.tensors.len() as u32);
        *entry.id.get_or_insert_with(|| {
            let Value { shape, element, .. } = entry.value.clone();
            self.graph.tensors.push(Tensor { name: name.to_string(), shape, element, role: entry.role });
            next
        })
    }

    fn outputs(&mut self, graph: &GraphProto) -> Result<(), OnnxError> {
        for output in &graph.output {
            let Some(entry) = self.values.get(output.name()) else {
                let message = format!("its output `{}` is made by no node", output.name());
                return Err(OnnxError::new(message, "the file is truncated or is no ONNX model: get it again"));
            };
            if let (Some(id), Role::Activation) = (entry.id, entry.role) {
                self.graph.tensors[id.0 as usize].role = Role::Output;
            }
        }
        Ok(())
    }
}

/// A tensor that could be stored.
fn checked(shape: &[u64]) -> Result<(), OnnxError> {
    let elements = shape.iter().try_fold(1u64, |product, &extent| product.checked_mul(extent.max(1)));
    match elements {
        Some(elements) if elements <= MOST_TENSOR_ELEMENTS => Ok(()),
        _ => Err(OnnxError::new(format!("a tensor of shape {shape:?} is too large"), "smaller dimensions")),
    }
}

fn check_macs(kind: &OperatorKind) -> Result<(), OnnxError> {
    let product =
        |factors: &[u64]| factors.iter().fold(1u128, |product, &factor| product.saturating_mul(factor.into()));
    let macs = match kind {
        OperatorKind::Convolution(c) | OperatorKind::Pool(crate::tensor::Pool { window: c, .. }) => {
            let input = product(&[c.batch, c.in_channels, c.in_height, c.in_width]);
            let output = product(&[c.batch, c.out_channels, c.out_height, c.out_width]);
            output.saturating_mul(product(&[c.in_channels, c.kernel_height, c.kernel_width])).max(input)
        }
        OperatorKind::MatMul(p) => product(&[p.batch, p.m, p.n, p.k]),
        OperatorKind::Attention(a) => {
            let width = a.query_width.saturating_add(a.value_width);
            product(&[a.batch, a.heads, a.queries, a.keys, width])
        }
        _ => 0,
    };
    match macs <= MOST_MACS {
        true => Ok(()),
        false => Err(OnnxError::new(format!("{macs} multiply-accumulates are too many"), "smaller dimensions")),
    }
}

fn shape_of(dims: &[i64]) -> Result<Vec<u64>, OnnxError> {
    let shape: Result<Vec<u64>, _> = dims.iter().map(|&dim| u64::try_from(dim)).collect();
    let shape = shape.map_err(|_| OnnxError::new(format!("has the shape {dims:?}"), "no negative dimensions"))?;
    checked(&shape)?;
    Ok(shape)
}

/// A constant of the model, with its values if they are few and no external file has them.
pub fn constant(tensor: &TensorProto) -> Result<Value, OnnxError> {
    let shape = shape_of(&tensor.dims)?;
    let element = element(tensor.data_type())?;
    let value = Value { constant: true, ..Value::of(shape, element) };
    let elements = value.elements();
    if elements > MOST_ELEMENTS || tensor.data_location() == DataLocation::External {
        return Ok(value);
    }
    // Models without their values are all right: only those that shapes need must be there.
    let content = content(tensor, element).filter(|content| content.len() as u64 == elements);
    Ok(Value { content, ..value })
}

fn content(tensor: &TensorProto, element: Element) -> Option<Content> {
    let raw = tensor.raw_data();
    let whole = |bytes: usize| raw.chunks_exact(bytes);
    Some(match element {
        Element::I64 if raw.is_empty() => Content::Ints(tensor.int64_data.clone()),
        Element::I64 => Content::Ints(whole(8).map(|b| i64::from_le_bytes(b.try_into().unwrap_or_default())).collect()),
        Element::I32 if !raw.is_empty() => {
            Content::Ints(whole(4).map(|b| i64::from(i32::from_le_bytes(b.try_into().unwrap_or_default()))).collect())
        }
        Element::I32 | Element::Bool | Element::I8 | Element::U8 if raw.is_empty() => {
            Content::Ints(tensor.int32_data.iter().map(|&int| i64::from(int)).collect())
        }
        Element::Bool | Element::U8 => Content::Ints(raw.iter().map(|&byte| i64::from(byte)).collect()),
        Element::I8 => Content::Ints(raw.iter().map(|&byte| i64::from(byte as i8)).collect()),
        Element::F32 if raw.is_empty() => {
            Content::Floats(tensor.float_data.iter().map(|&float| f64::from(float)).collect())
        }
        Element::F32 => {
            Content::Floats(whole(4).map(|b| f64::from(f32::from_le_bytes(b.try_into().unwrap_or_default()))).collect())
        }
        Element::F64 if raw.is_empty() => Content::Floats(tensor.double_data.clone()),
        Element::F64 => {
            Content::Floats(whole(8).map(|b| f64::from_le_bytes(b.try_into().unwrap_or_default())).collect())
        }
        _ => return None,
    })
}

/// `TensorProto.DataType`.
pub fn element(data_type: i32) -> Result<Element, OnnxError> {
    Ok(match data_type {
        1 => Element::F32,
        2 => Element::U8,
        3 => Element::I8,
        4 => Element::U16,
        5 => Element::I16,
        // Of the same width, which is what a model of time asks for.
        6 | 12 => Element::I32,
        7 | 13 => Element::I64,
        9 => Element::Bool,
        10 => Element::F16,
        11 => Element::F64,
        16 => Element::Bf16,
        21 => Element::U4,
        22 => Element::I4,
        other => {
            use super::schema::tensor_proto::DataType;
            let name = DataType::try_from(other).map_or_else(|_| other.to_string(), |t| t.as_str_name().to_string());
            let help = "numbers of 4 to 64 bits; floating point of at least 16";
            return Err(OnnxError::new(format!("elements of type {name} are not supported"), help));
        }
    })
}
