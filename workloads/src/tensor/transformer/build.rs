//! The operators of a transformer.

use super::{Dimensions, Family, FeedForward, Inference};
use crate::tensor::{
    Attention, Convolution, Element, Eltwise, Graph, MatMul, Operator, OperatorKind, Reduction, Role, Tensor, TensorId,
    Vector,
};

/// Number format of activations, keys and values.
const ACTIVATION: Element = Element::F16;
/// Image of a vision transformer.
const IMAGE: u64 = 224;

pub fn graph(asked: &Inference) -> Graph {
    let graph = Graph { name: asked.name(), tensors: Vec::new(), operators: Vec::new() };
    let rows = asked.batch * if asked.decodes { 1 } else { asked.tokens };
    let mut builder = Builder { graph, asked, model: asked.model, rows };
    let mut x = builder.embedding();
    for layer in 0..asked.layers {
        x = builder.layer(&format!("layer{layer}"), x);
    }
    builder.head(x);
    builder.graph
}

struct Builder<'a> {
    graph: Graph,
    asked: &'a Inference,
    model: Dimensions,
    /// Tokens that go through the layers.
    rows: u64,
}

impl Builder<'_> {
    fn tensor(&mut self, name: String, shape: Vec<u64>, element: Element, role: Role) -> TensorId {
        self.graph.tensors.push(Tensor { name, shape, element, role });
        TensorId(self.graph.tensors.len() as u32 - 1)
    }

    fn add(
        &mut self,
        name: &str,
        kind: OperatorKind,
        inputs: Vec<TensorId>,
        shape: Vec<u64>,
        fused: &[&str],
    ) -> TensorId {
        let output = self.tensor(format!("{name}.out"), shape, ACTIVATION, Role::Activation);
        let fused = fused.iter().map(ToString::to_string).collect();
        self.graph.operators.push(Operator { name: name.to_string(), kind, inputs, outputs: vec![output], fused });
        output
    }

    fn has_bias(&self) -> bool {
        self.model.feed_forward == FeedForward::Gelu
    }

    /// `rows × k` by `k × n`.
    fn product(&mut self, name: &str, x: TensorId, rows: u64, k: u64, n: u64) -> TensorId {
        let weights = self.asked.weights;
        let mut inputs = vec![x, self.tensor(format!("{name}.weight"), vec![k, n], weights, Role::Weight)];
        let fused: &[&str] = if self.has_bias() { &["bias"] } else { &[] };
        if self.has_bias() {
            inputs.push(self.tensor(format!("{name}.bias"), vec![n], ACTIVATION, Role::Weight));
        }
        let kind = OperatorKind::MatMul(MatMul { batch: 1, m: rows, n, k });
        self.add(name, kind, inputs, vec![rows, n], fused)
    }

    fn norm(&mut self, name: &str, x: TensorId, rows: u64) -> TensorId {
        let width = self.model.width;
        let function = if self.model.feed_forward == FeedForward::SwiGlu { "rmsnorm" } else { "layernorm" };
        let scale = self.tensor(format!("{name}.weight"), vec![width], ACTIVATION, Role::Weight);
        let kind = OperatorKind::Reduction(Reduction { function: function.to_string(), rows, width });
        self.add(name, kind, vec![x, scale], vec![rows, width], &[])
    }

    fn eltwise(&mut self, name: &str, function: &str, inputs: Vec<TensorId>, shape: Vec<u64>) -> TensorId {
        let elements = shape.iter().product();
        let kind = OperatorKind::Eltwise(Eltwise { function: function.to_string(), elements });
        self.add(name, kind, inputs, shape, &[])
    }

    /// Rows of the table of words, or patches of the image.
    fn embedding(&mut self) -> TensorId {
        let Dimensions { width, vocabulary, .. } = self.model;
        let Family::Vision { patch } = self.model.family else {
            let table = self.tensor("embedding.weight".into(), vec![vocabulary, width], ACTIVATION, Role::Weight);
            let words = self.tensor("words".into(), vec![self.rows], Element::I32, Role::Input);
            let elements_moved = 2 * self.rows * width;
            let kind = OperatorKind::Vector(Vector { function: "gather".into(), elements_moved });
            return self.add("embedding", kind, vec![table, words], vec![self.rows, width], &[]);
        };
        let (batch, across) = (self.asked.batch, IMAGE / patch);
        let image = self.tensor("image".into(), vec![batch, 3, IMAGE, IMAGE], ACTIVATION, Role::Input);
        let weight =
            self.tensor("patches.weight".into(), vec![width, 3, patch, patch], self.asked.weights, Role::Weight);
        let convolution = Convolution {
            batch,
            in_channels: 3,
            in_height: IMAGE,
            in_width: IMAGE,
            out_channels: width,
            out_height: across,
            out_width: across,
            kernel_height: patch,
            kernel_width: patch,
            stride_height: patch,
            stride_width: patch,
            dilation_height: 1,
            dilation_width: 1,
            pad_top: 0,
            pad_left: 0,
            pad_bottom: 0,
            pad_right: 0,
            groups: 1,
        };
        let kind = OperatorKind::Convolution(convolution);
        let patches = self.add("patches", kind, vec![image, weight], vec![batch, width, across, across], &["bias"]);
        // Channels last, with the token of the class in front.
        let elements_moved = 2 * self.rows * width;
        let kind = OperatorKind::Vector(Vector { function: "transpose".into(), elements_moved });
        self.add("tokens", kind, vec![patches], vec![self.rows, width], &[])
    }

    fn layer(&mut self, name: &str, x: TensorId) -> TensorId {
        let (width, rows) = (self.model.width, self.rows);
        let first = self.model.family != Family::Encoder;
        let attended = if first { self.norm(&format!("{name}.norm1"), x, rows) } else { x };
        let attended = self.attention(name, attended);
        let x = self.eltwise(&format!("{name}.add1"), "add", vec![x, attended], vec![rows, width]);
        let x = if first { x } else { self.norm(&format!("{name}.norm1"), x, rows) };
        let thought = if first { self.norm(&format!("{name}.norm2"), x, rows) } else { x };
        let thought = self.feed_forward(name, thought);
        let x = self.eltwise(&format!("{name}.add2"), "add", vec![x, thought], vec![rows, width]);
        if first { x } else { self.norm(&format!("{name}.norm2"), x, rows) }
    }

    fn attention(&mut self, name: &str, x: TensorId) -> TensorId {
        let Dimensions { width, heads, key_heads, head_width, .. } = self.model;
        let (rows, batch) = (self.rows, self.asked.batch);
        let all = (heads + 2 * key_heads) * head_width;
        let mut qkv = self.product(&format!("{name}.qkv"), x, rows, width, all);
        if self.model.feed_forward == FeedForward::SwiGlu {
            qkv = self.eltwise(&format!("{name}.rotary"), "rotary", vec![qkv], vec![rows, all]);
        }
        let mut inputs = vec![qkv];
        if self.model.family == Family::Decoder {
            let new = rows * 2 * key_heads * head_width;
            let kind = OperatorKind::Vector(Vector { function: "store_cache".into(), elements_moved: 2 * new });
            let stored =
                self.add(&format!("{name}.cache"), kind, vec![qkv], vec![rows, 2 * key_heads * head_width], &[]);
            self.graph.tensors[stored.0 as usize].role = Role::Output;
        }
        if self.asked.decodes {
            let shape = vec![batch, key_heads, self.asked.tokens, head_width];
            for what in ["keys", "values"] {
                inputs.push(self.tensor(format!("{name}.{what}"), shape.clone(), ACTIVATION, Role::Input));
            }
        }
        let kind = OperatorKind::Attention(Attention {
            batch,
            heads,
            key_heads,
            queries: rows / batch,
            keys: self.asked.tokens + u64::from(self.asked.decodes),
            query_width: head_width,
            value_width: head_width,
        });
        let context = self.add(&format!("{name}.attention"), kind, inputs, vec![rows, heads * head_width], &[]);
        self.product(&format!("{name}.proj"), context, rows, heads * head_width, width)
    }

    fn feed_forward(&mut self, name: &str, x: TensorId) -> TensorId {
        let Dimensions { width, hidden, .. } = self.model;
        let rows = self.rows;
        let inner = match self.model.feed_forward {
            FeedForward::SwiGlu => {
                let both = self.product(&format!("{name}.gate_up"), x, rows, width, 2 * hidden);
                self.eltwise(&format!("{name}.swiglu"), "swish", vec![both], vec![rows, hidden])
            }
            FeedForward::Gelu => {
                let up = self.product(&format!("{name}.up"), x, rows, width, hidden);
                self.eltwise(&format!("{name}.gelu"), "gelu", vec![up], vec![rows, hidden])
            }
        };
        self.product(&format!("{name}.down"), inner, rows, hidden, width)
    }

    /// All words, or classes, from the last token of each text.
    fn head(&mut self, x: TensorId) {
        let Dimensions { width, vocabulary, .. } = self.model;
        let batch = self.asked.batch;
        let output = match self.model.family {
            Family::Encoder => {
                let pooled = self.product("pooler", x, batch, width, width);
                self.eltwise("pooler.tanh", "tanh", vec![pooled], vec![batch, width])
            }
            _ => {
                let x = self.norm("norm", x, batch);
                self.product("head", x, batch, width, vocabulary)
            }
        };
        self.graph.tensors[output.0 as usize].role = Role::Output;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::transformer::MODELS;

    fn graph_of(text: &str) -> Graph {
        Inference::parse(text).unwrap().graph()
    }

    #[test]
    fn llama_3_8b_computes_what_it_weighs() {
        // Per token a multiply-accumulate for each weight of the layers, and the scores: 2 · tokens · width a layer.
        let layers = 32 * (4096 * 128 * (32 + 32 + 8 + 8) + 3 * 4096 * 14_336);
        let head = 4096 * 128_256;
        assert_eq!(graph_of("llama-3-8b:prefill,tokens=1024").macs(), 1024 * (layers + 32 * 2 * 1024 * 4096) + head);
        assert_eq!(graph_of("llama-3-8b:decode,tokens=1024").macs(), layers + 32 * 2 * 1025 * 4096 + head);
    }

    #[test]
    fn vision_and_text_models_have_the_published_work() {
        // ViT-B/16 at 224 pixels: 17.6 GFLOP of multiply-adds (torchvision lists 17.56); DeiT-S: 4.6.
        let giga = |text: &str| graph_of(text).macs() as f64 / 1e9;
        assert!((giga("vit-b-16") / 17.56 - 1.0).abs() < 0.01, "{}", giga("vit-b-16"));
        assert!((giga("vit-s-16") / 4.6 - 1.0).abs() < 0.01, "{}", giga("vit-s-16"));
    }

    #[test]
    fn every_model_is_in_an_order_in_which_it_can_run() {
        for model in MODELS {
            let graph = graph_of(&format!("{}:layers=2", model.name));
            let mut made = vec![false; graph.tensors.len()];
            for operator in &graph.operators {
                for id in &operator.inputs {
                    let is_given = matches!(graph.tensor(*id).role, Role::Input | Role::Weight);
                    assert!(is_given || made[id.0 as usize], "{}: {}", model.name, operator.name);
                }
                operator.outputs.iter().for_each(|id| made[id.0 as usize] = true);
            }
        }
    }

    #[test]
    fn wrong_words_say_what_would_be_right() {
        let wrong = |text: &str| Inference::parse(text).unwrap_err();
        assert!(wrong("llama-3-8c").help.contains("llama-3-8b"));
        assert!(wrong("llama-3-8b:training").help.contains("prefill, decode"));
        assert_eq!(wrong("llama-3-8b:tokens=0").help, "a whole number from 1 to 8192");
        assert_eq!(wrong("gpt-2:weights=i3").help, "f16, i8 or i4");
        assert!(!wrong("vit-b-16:tokens=3").help.contains("tokens=N"));
        assert_eq!(graph_of("gpt-2 decode tokens=7").name, "gpt-2:decode,tokens=7,batch=1");
    }
}
