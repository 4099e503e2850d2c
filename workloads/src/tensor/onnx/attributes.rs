//! A node as its operator sees it: attributes with their defaults, inputs with shapes and, where known, contents.

use super::error::OnnxError;
use super::schema::{AttributeProto, NodeProto, TensorProto, attribute_proto::AttributeType};
use crate::tensor::Element;

/// Numbers of an attribute that count: kernels, pads, axes.
const LARGEST_INT: i64 = 1 << 31;

/// What is known of a value: its shape, and for small constants what it holds.
#[derive(Debug, Clone, PartialEq)]
pub struct Value {
    pub shape: Vec<u64>,
    pub element: Element,
    pub content: Option<Content>,
    /// Does not depend on the model's inputs.
    pub constant: bool,
}

impl Value {
    pub fn of(shape: Vec<u64>, element: Element) -> Self {
        Self { shape, element, content: None, constant: false }
    }

    pub fn elements(&self) -> u64 {
        self.shape.iter().product()
    }
}

/// The numbers of a constant.
#[derive(Debug, Clone, PartialEq)]
pub enum Content {
    Ints(Vec<i64>),
    Floats(Vec<f64>),
}

impl Content {
    pub fn len(&self) -> usize {
        match self {
            Self::Ints(ints) => ints.len(),
            Self::Floats(floats) => floats.len(),
        }
    }

    pub fn floats(&self) -> Vec<f64> {
        match self {
            Self::Ints(ints) => ints.iter().map(|&int| int as f64).collect(),
            Self::Floats(floats) => floats.clone(),
        }
    }
}

/// A node with its inputs; an input that is left out is none.
pub struct Node<'m> {
    pub proto: &'m NodeProto,
    pub inputs: Vec<Option<Value>>,
    /// Of the default domain.
    pub opset: i64,
    /// Shapes and types that the model states for its outputs.
    pub stated: Vec<Option<(Vec<u64>, Element)>>,
}

impl<'m> Node<'m> {
    pub fn operator(&self) -> &'m str {
        self.proto.op_type()
    }

    fn attribute(&self, name: &str) -> Option<&'m AttributeProto> {
        self.proto.attribute.iter().find(|attribute| attribute.name() == name)
    }

    pub fn has(&self, name: &str) -> bool {
        self.attribute(name).is_some()
    }

    /// An integer, or what the operator's definition says without it.
    pub fn int(&self, name: &str, default: i64) -> Result<i64, OnnxError> {
        let Some(attribute) = self.attribute(name) else { return Ok(default) };
        let value = attribute.i.ok_or_else(|| wrong_type(name, "an integer", attribute))?;
        bounded(name, value)
    }

    /// A list of integers; none if it is left out.
    pub fn ints(&self, name: &str) -> Result<Option<Vec<i64>>, OnnxError> {
        let Some(attribute) = self.attribute(name) else { return Ok(None) };
        attribute.ints.iter().map(|&value| bounded(name, value)).collect::<Result<_, _>>().map(Some)
    }

    pub fn floats(&self, name: &str) -> Option<Vec<f64>> {
        let attribute = self.attribute(name)?;
        Some(attribute.floats.iter().map(|&value| f64::from(value)).collect())
    }

    pub fn text(&self, name: &str, default: &str) -> String {
        let text = self.attribute(name).and_then(|attribute| attribute.s.as_deref());
        text.map_or_else(|| default.to_string(), |bytes| String::from_utf8_lossy(bytes).into_owned())
    }

    pub fn tensor(&self, name: &str) -> Option<&'m TensorProto> {
        self.attribute(name)?.t.as_ref()
    }

    /// The values of `Constant`'s many forms that are no tensor.
    pub fn literal(&self) -> Option<(Vec<u64>, Element, Content)> {
        let attribute = self.proto.attribute.iter().find(|attribute| attribute.name().starts_with("value_"))?;
        Some(match attribute.name() {
            "value_int" => (vec![], Element::I64, Content::Ints(vec![attribute.i()])),
            "value_float" => (vec![], Element::F32, Content::Floats(vec![f64::from(attribute.f())])),
            "value_ints" => (vec![attribute.ints.len() as u64], Element::I64, Content::Ints(attribute.ints.clone())),
            "value_floats" => {
                let floats = attribute.floats.iter().map(|&value| f64::from(value)).collect();
                (vec![attribute.floats.len() as u64], Element::F32, Content::Floats(floats))
            }
            _ => return None,
        })
    }

    pub fn optional(&self, index: usize) -> Option<&Value> {
        self.inputs.get(index)?.as_ref()
    }

    pub fn input(&self, index: usize) -> Result<&Value, OnnxError> {
        self.optional(index).ok_or_else(|| {
            OnnxError::new(format!("has no input {index}"), "the model is not what its operators are defined as")
        })
    }

    /// Inputs that are given.
    pub fn given(&self) -> impl Iterator<Item = &Value> {
        self.inputs.iter().flatten()
    }

    /// The integers of a constant input; none if it is left out.
    pub fn constant_ints(&self, index: usize, what: &str) -> Result<Option<Vec<i64>>, OnnxError> {
        let Some(value) = self.optional(index) else { return Ok(None) };
        match &value.content {
            Some(Content::Ints(ints)) => {
                ints.iter().map(|&value| bounded(what, value)).collect::<Result<_, _>>().map(Some)
            }
            _ => Err(dynamic(what)),
        }
    }

    /// An axis, counted from the end if negative.
    pub fn axis(&self, axis: i64, rank: usize) -> Result<usize, OnnxError> {
        let from_front = if axis < 0 { axis + rank as i64 } else { axis };
        usize::try_from(from_front).ok().filter(|&axis| axis < rank).ok_or_else(|| {
            let help = format!("an axis from -{rank} up to {}", rank as i64 - 1);
            OnnxError::new(format!("axis {axis} of a tensor of {rank} dimensions"), help)
        })
    }

    /// Axes from an attribute in old opsets and from an input in new ones; none if neither is there.
    pub fn axes(&self, input: usize, rank: usize) -> Result<Option<Vec<usize>>, OnnxError> {
        let axes = match self.ints("axes")? {
            Some(axes) => Some(axes),
            None => self.constant_ints(input, "axes")?,
        };
        axes.map(|axes| axes.into_iter().map(|axis| self.axis(axis, rank)).collect()).transpose()
    }
}

/// A shape that only a run of the model would tell.
pub fn dynamic(what: &str) -> OnnxError {
    let help = "simplify the model for fixed shapes first (onnxsim, or the export's own option)";
    OnnxError::new(format!("its {what} depend on the data of an inference"), help)
}

fn bounded(name: &str, value: i64) -> Result<i64, OnnxError> {
    // Slices go to the end with the largest number there is.
    match value {
        value if value.abs_diff(0) <= LARGEST_INT.unsigned_abs() => Ok(value),
        i64::MAX | i64::MIN => Ok(if value > 0 { LARGEST_INT } else { -LARGEST_INT }),
        value if ["ends", "starts"].contains(&name) => Ok(value.clamp(-LARGEST_INT, LARGEST_INT)),
        _ => Err(OnnxError::new(format!("{name}: {value} is out of range"), format!("at most {LARGEST_INT}"))),
    }
}

fn wrong_type(name: &str, wanted: &str, attribute: &AttributeProto) -> OnnxError {
    let given = AttributeType::try_from(attribute.r#type.unwrap_or(0)).map_or("nothing", |kind| kind.as_str_name());
    OnnxError::new(format!("attribute `{name}` is {given}"), wanted.to_string())
}
