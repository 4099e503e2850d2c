//! Transformers from their dimensions: what a model computes for a prompt, for the next token, for an image.
//!
//! ```text
//!  llama-3-8b:prefill,tokens=1024        llama-3-8b:decode,tokens=4096,weights=i4        bert-base:tokens=128        vit-b-16
//! ```
//! After the name come words, parted by `:`, `,` or blanks: the phase of a model that generates (`prefill` of a prompt of
//! `tokens`, the default, or `decode` of one token behind `tokens` others), `batch`, `layers` to run fewer, `weights` for
//! their number format. Activations, keys and values are 16-bit. Attention is one operator, for machines that keep its
//! scores on the chip. The table of words is read for the last token only, and so is the product with all words.
//!
//! Left out: position tables that are added once, sampling.

mod build;
mod models;

pub use models::{Dimensions, Family, FeedForward, MODELS};

use super::{Element, Graph};

/// Tokens, images, layers at most.
const MOST: u64 = 1 << 20;

/// What a model is asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Inference {
    pub model: Dimensions,
    pub decodes: bool,
    /// Of the prompt or text; in a decode step, those before the new one.
    pub tokens: u64,
    pub batch: u64,
    pub layers: u64,
    pub weights: Element,
}

/// A word of it is wrong: what, and what would be right.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct TransformerError {
    pub message: String,
    pub help: String,
}

impl TransformerError {
    fn new(message: impl Into<String>, help: impl Into<String>) -> Self {
        Self { message: message.into(), help: help.into() }
    }
}

const EXAMPLE: &str = "for instance llama-3-8b:prefill,tokens=1024";

impl Inference {
    /// Whether a word begins with the name of a model.
    pub fn is_meant(text: &str) -> bool {
        words(text).next().is_some_and(|first| MODELS.iter().any(|model| model.name == first))
    }

    /// Reads the form above.
    ///
    /// # Errors
    /// The name is none, a word is not understood or out of range.
    pub fn parse(text: &str) -> Result<Self, TransformerError> {
        let mut words = words(text);
        let name = words.next().unwrap_or_default();
        let Some(&model) = MODELS.iter().find(|model| model.name == name) else {
            let names: Vec<&str> = MODELS.iter().map(|model| model.name).collect();
            return Err(TransformerError::new(format!("there is no model `{name}`"), names.join(", ")));
        };
        let is_decoder = model.family == Family::Decoder;
        let tokens = match model.family {
            Family::Decoder => model.context.min(1024),
            Family::Encoder => 128,
            Family::Vision { .. } => model.context,
        };
        let weights = Element::F16;
        let mut asked = Self { model, decodes: false, tokens, batch: 1, layers: model.layers, weights };
        for word in words {
            match word.split_once('=') {
                None if word == "prefill" && is_decoder => asked.decodes = false,
                None if word == "decode" && is_decoder => asked.decodes = true,
                Some(("tokens", count)) if !matches!(model.family, Family::Vision { .. }) => {
                    asked.tokens = number("tokens", count, model.context)?;
                }
                Some(("batch", count)) => asked.batch = number("batch", count, MOST)?,
                Some(("layers", count)) => asked.layers = number("layers", count, model.layers)?,
                Some(("weights", format)) => asked.weights = element(format)?,
                _ => {
                    let phases = if is_decoder { "prefill, decode, tokens=N, " } else { "tokens=N, " };
                    let phases = if matches!(model.family, Family::Vision { .. }) { "" } else { phases };
                    let known = format!("{phases}batch=N, layers=N, weights=f16|i8|i4; {EXAMPLE}");
                    return Err(TransformerError::new(format!("`{word}` means nothing for {name}"), known));
                }
            }
        }
        Ok(asked)
    }

    /// What is computed.
    pub fn graph(&self) -> Graph {
        build::graph(self)
    }

    /// The name of the graph: every word, also those left out.
    pub fn name(&self) -> String {
        let phase = match (self.model.family, self.decodes) {
            (Family::Decoder, true) => "decode,",
            (Family::Decoder, false) => "prefill,",
            _ => "",
        };
        let layers = if self.layers == self.model.layers { String::new() } else { format!(",layers={}", self.layers) };
        let weights = match self.weights {
            Element::I8 => ",weights=i8",
            Element::I4 => ",weights=i4",
            _ => "",
        };
        let tokens = match self.model.family {
            Family::Vision { .. } => String::new(),
            _ => format!("tokens={},", self.tokens),
        };
        format!("{}:{phase}{tokens}batch={}{layers}{weights}", self.model.name, self.batch)
    }

    /// One line about it.
    pub fn description(&self) -> String {
        let tokens = self.tokens;
        let what = match (self.model.family, self.decodes) {
            (Family::Decoder, true) => format!("the next token behind {tokens}"),
            (Family::Decoder, false) => format!("a prompt of {tokens} tokens"),
            (Family::Encoder, _) => format!("a text of {tokens} tokens"),
            (Family::Vision { patch }, _) => format!("an image of 224 × 224 in patches of {patch} × {patch}"),
        };
        let times = if self.batch == 1 { String::new() } else { format!(", {} at once", self.batch) };
        format!("{what}{times}; {} of {} layers; {}", self.layers, self.model.layers, self.model.source)
    }
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split([':', ',', ' ']).filter(|word| !word.is_empty())
}

fn number(name: &str, text: &str, most: u64) -> Result<u64, TransformerError> {
    match text.parse() {
        Ok(count) if (1..=most).contains(&count) => Ok(count),
        _ => Err(TransformerError::new(format!("{name} is `{text}`"), format!("a whole number from 1 to {most}"))),
    }
}

fn element(text: &str) -> Result<Element, TransformerError> {
    match text {
        "f16" => Ok(Element::F16),
        "i8" => Ok(Element::I8),
        "i4" => Ok(Element::I4),
        _ => Err(TransformerError::new(format!("weights are `{text}`"), "f16, i8 or i4")),
    }
}
