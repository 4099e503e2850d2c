//! ONNX models of tests, built node by node and encoded as the format has it.

use prost::Message;
use workloads::tensor::onnx::schema::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto, TensorShapeProto, TypeProto,
    ValueInfoProto, tensor_shape_proto, type_proto,
};

/// `TensorProto.DataType`.
pub const FLOAT: i32 = 1;
pub const UINT8: i32 = 2;
pub const INT8: i32 = 3;
pub const INT64: i32 = 7;

/// A dimension of an input.
#[derive(Clone, Copy)]
pub enum Dim<'a> {
    Is(i64),
    Named(&'a str),
}

/// A model that grows.
pub struct ModelBuilder {
    pub model: ModelProto,
}

impl ModelBuilder {
    pub fn new(opset: i64) -> Self {
        let set = OperatorSetIdProto { domain: None, version: Some(opset) };
        let graph = Some(GraphProto { name: Some("test".into()), ..GraphProto::default() });
        Self { model: ModelProto { ir_version: Some(8), opset_import: vec![set], graph, ..ModelProto::default() } }
    }

    pub fn graph(&mut self) -> &mut GraphProto {
        self.model.graph.as_mut().unwrap()
    }

    pub fn input(&mut self, name: &str, data_type: i32, dims: &[Dim]) -> &mut Self {
        let dim = |dim: &Dim| {
            let value = match dim {
                Dim::Is(size) => tensor_shape_proto::dimension::Value::DimValue(*size),
                Dim::Named(name) => tensor_shape_proto::dimension::Value::DimParam((*name).to_string()),
            };
            tensor_shape_proto::Dimension { value: Some(value), denotation: None }
        };
        let shape = Some(TensorShapeProto { dim: dims.iter().map(dim).collect() });
        let tensor = type_proto::Tensor { elem_type: Some(data_type), shape };
        let value = Some(type_proto::Value::TensorType(tensor));
        let r#type = Some(TypeProto { value, denotation: None });
        let info = ValueInfoProto { name: Some(name.into()), r#type, ..ValueInfoProto::default() };
        self.graph().input.push(info);
        self
    }

    pub fn image(&mut self, name: &str, dims: &[i64]) -> &mut Self {
        let dims: Vec<Dim> = dims.iter().map(|&dim| Dim::Is(dim)).collect();
        self.input(name, FLOAT, &dims)
    }

    /// A constant without its values.
    pub fn weight(&mut self, name: &str, data_type: i32, dims: &[i64]) -> &mut Self {
        let tensor = TensorProto {
            name: Some(name.into()),
            data_type: Some(data_type),
            dims: dims.to_vec(),
            ..TensorProto::default()
        };
        self.graph().initializer.push(tensor);
        self
    }

    pub fn ints(&mut self, name: &str, values: &[i64]) -> &mut Self {
        let tensor = TensorProto {
            name: Some(name.into()),
            data_type: Some(INT64),
            dims: vec![values.len() as i64],
            int64_data: values.to_vec(),
            ..TensorProto::default()
        };
        self.graph().initializer.push(tensor);
        self
    }

    pub fn node(&mut self, operator: &str, inputs: &[&str], outputs: &[&str]) -> &mut NodeProto {
        let strings = |names: &[&str]| names.iter().map(ToString::to_string).collect();
        let node = NodeProto {
            op_type: Some(operator.into()),
            input: strings(inputs),
            output: strings(outputs),
            name: Some(outputs[0].into()),
            ..NodeProto::default()
        };
        self.graph().node.push(node);
        self.graph().node.last_mut().unwrap()
    }

    pub fn output(&mut self, name: &str) -> &mut Self {
        let info = ValueInfoProto { name: Some(name.into()), ..ValueInfoProto::default() };
        self.graph().output.push(info);
        self
    }

    pub fn bytes(&self) -> Vec<u8> {
        self.model.encode_to_vec()
    }
}

/// Attributes of a node.
pub trait Attributes {
    fn with_int(&mut self, name: &str, value: i64) -> &mut Self;
    fn with_ints(&mut self, name: &str, values: &[i64]) -> &mut Self;
}

impl Attributes for NodeProto {
    fn with_int(&mut self, name: &str, value: i64) -> &mut Self {
        let attribute =
            AttributeProto { name: Some(name.into()), i: Some(value), r#type: Some(2), ..Default::default() };
        self.attribute.push(attribute);
        self
    }

    fn with_ints(&mut self, name: &str, values: &[i64]) -> &mut Self {
        let attribute =
            AttributeProto { name: Some(name.into()), ints: values.to_vec(), r#type: Some(7), ..Default::default() };
        self.attribute.push(attribute);
        self
    }
}

/// Convolution with batch normalisation and rectifier, pooling, a residual sum, global pooling, a classifier.
pub fn small_network() -> ModelBuilder {
    let mut model = ModelBuilder::new(13);
    model.image("image", &[1, 3, 32, 32]);
    model.weight("w1", FLOAT, &[16, 3, 3, 3]);
    for name in ["scale", "bias", "mean", "variance"] {
        model.weight(name, FLOAT, &[16]);
    }
    model.weight("w2", FLOAT, &[16, 16, 3, 3]).weight("w3", FLOAT, &[10, 16]).weight("b3", FLOAT, &[10]);
    model.node("Conv", &["image", "w1"], &["c1"]).with_ints("pads", &[1, 1, 1, 1]);
    model.node("BatchNormalization", &["c1", "scale", "bias", "mean", "variance"], &["n1"]);
    model.node("Relu", &["n1"], &["r1"]);
    model.node("MaxPool", &["r1"], &["p1"]).with_ints("kernel_shape", &[2, 2]).with_ints("strides", &[2, 2]);
    model.node("Conv", &["p1", "w2"], &["c2"]).with_ints("pads", &[1, 1, 1, 1]);
    model.node("Add", &["c2", "p1"], &["s2"]);
    model.node("Relu", &["s2"], &["r2"]);
    model.node("GlobalAveragePool", &["r2"], &["g"]);
    model.node("Flatten", &["g"], &["f"]);
    model.node("Gemm", &["f", "w3", "b3"], &["scores"]).with_int("transB", 1);
    model.node("Softmax", &["scores"], &["classes"]);
    model.output("classes");
    model
}

/// One layer of self-attention as exporters write it, with the shapes computed in the model.
pub fn attention(tokens: Dim) -> ModelBuilder {
    let (heads, width) = (4, 16);
    let all = heads * width;
    let mut model = ModelBuilder::new(17);
    model.input("x", FLOAT, &[Dim::Named("batch"), tokens, Dim::Is(all)]);
    model.weight("g", FLOAT, &[all]).weight("b", FLOAT, &[all]).weight("root", FLOAT, &[]);
    model.ints("zero", &[0]).ints("one", &[1]).ints("split", &[heads, width]).ints("joined", &[all]);
    model.node("LayerNormalization", &["x", "g", "b"], &["n"]);
    for name in ["q", "k", "v"] {
        model.weight(&format!("w{name}"), FLOAT, &[all, all]).weight(&format!("b{name}"), FLOAT, &[all]);
        model.node("MatMul", &["n", &format!("w{name}")], &[&format!("{name}0")]);
        model.node("Add", &[&format!("b{name}"), &format!("{name}0")], &[&format!("{name}1")]);
        model.node("Shape", &[&format!("{name}1")], &[&format!("{name}s")]);
        model.node("Gather", &[&format!("{name}s"), "zero"], &[&format!("{name}b")]);
        model.node("Gather", &[&format!("{name}s"), "one"], &[&format!("{name}t")]);
        let (batch, tokens) = (format!("{name}b"), format!("{name}t"));
        model.node("Concat", &[&batch, &tokens, "split"], &[&format!("{name}2")]).with_int("axis", 0);
        model.node("Reshape", &[&format!("{name}1"), &format!("{name}2")], &[&format!("{name}3")]);
        let order = if name == "k" { [0, 2, 3, 1] } else { [0, 2, 1, 3] };
        model.node("Transpose", &[&format!("{name}3")], &[&format!("{name}4")]).with_ints("perm", &order);
    }
    model.node("MatMul", &["q4", "k4"], &["scores"]);
    model.node("Div", &["scores", "root"], &["scaled"]);
    model.node("Softmax", &["scaled"], &["p"]).with_int("axis", -1);
    model.node("MatMul", &["p", "v4"], &["context"]);
    model.node("Transpose", &["context"], &["turned"]).with_ints("perm", &[0, 2, 1, 3]);
    model.node("Concat", &["qb", "qt", "joined"], &["flat"]).with_int("axis", 0);
    model.node("Reshape", &["turned", "flat"], &["merged"]);
    model.weight("wo", FLOAT, &[all, all]);
    model.node("MatMul", &["merged", "wo"], &["projected"]);
    model.node("Add", &["projected", "x"], &["sum"]);
    model.node("Gelu", &["sum"], &["y"]);
    model.output("y");
    model
}

/// A convolution that is written in floating point between conversions.
pub fn quantised_pair() -> ModelBuilder {
    let mut model = ModelBuilder::new(13);
    model.input("x", UINT8, &[1, 8, 16, 16].map(Dim::Is));
    model.weight("xs", FLOAT, &[]).weight("xz", UINT8, &[]).weight("wz", INT8, &[]);
    model.weight("w", INT8, &[8, 8, 3, 3]);
    model.node("DequantizeLinear", &["x", "xs", "xz"], &["xf"]);
    model.node("DequantizeLinear", &["w", "xs", "wz"], &["wf"]);
    model.node("Conv", &["xf", "wf"], &["c"]).with_ints("pads", &[1, 1, 1, 1]);
    model.node("Relu", &["c"], &["r"]);
    model.node("QuantizeLinear", &["r", "xs", "xz"], &["q"]);
    model.output("q");
    model
}
