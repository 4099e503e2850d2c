//! Dimensions of published transformers.

/// What a model is built for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// Generates a token at a time: normalisation first, causal, a cache of keys and values.
    Decoder,
    /// Reads a text at once: normalisation behind, bias everywhere.
    Encoder,
    /// Reads an image in patches: normalisation first, bias everywhere.
    Vision { patch: u64 },
}

/// How a feed-forward block is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FeedForward {
    /// Two products with GELU between them, with bias.
    Gelu,
    /// SiLU of one product times another, then the third; no bias.
    SwiGlu,
}

/// A published model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dimensions {
    pub name: &'static str,
    pub family: Family,
    pub layers: u64,
    pub width: u64,
    pub heads: u64,
    /// Heads of keys and values.
    pub key_heads: u64,
    pub head_width: u64,
    pub hidden: u64,
    pub feed_forward: FeedForward,
    /// Words, or classes.
    pub vocabulary: u64,
    /// Most tokens that it was made for.
    pub context: u64,
    pub source: &'static str,
}

const GELU_TEXT: Dimensions = Dimensions {
    name: "",
    family: Family::Decoder,
    layers: 12,
    width: 768,
    heads: 12,
    key_heads: 12,
    head_width: 64,
    hidden: 3072,
    feed_forward: FeedForward::Gelu,
    vocabulary: 50_257,
    context: 1024,
    source: "",
};

const LLAMA_3_8B: Dimensions = Dimensions {
    name: "llama-3-8b",
    family: Family::Decoder,
    layers: 32,
    width: 4096,
    heads: 32,
    key_heads: 8,
    head_width: 128,
    hidden: 14_336,
    feed_forward: FeedForward::SwiGlu,
    vocabulary: 128_256,
    context: 8192,
    source: "The Llama 3 Herd of Models, arXiv 2407.21783, table 3",
};

const BERT_BASE: Dimensions = Dimensions {
    name: "bert-base",
    family: Family::Encoder,
    vocabulary: 30_522,
    context: 512,
    source: "Devlin et al., arXiv 1810.04805, section 3",
    ..GELU_TEXT
};

const VIT_B: Dimensions = Dimensions {
    name: "vit-b-16",
    family: Family::Vision { patch: 16 },
    vocabulary: 1000,
    context: 197,
    source: "Dosovitskiy et al., arXiv 2010.11929, table 1",
    ..GELU_TEXT
};

/// All models, by name.
pub const MODELS: [Dimensions; 14] = [
    BERT_BASE,
    Dimensions { name: "bert-large", layers: 24, width: 1024, heads: 16, key_heads: 16, hidden: 4096, ..BERT_BASE },
    Dimensions { name: "gpt-2", source: "Radford et al. 2019, table 2, smallest", ..GELU_TEXT },
    Dimensions {
        name: "gpt-2-xl",
        layers: 48,
        width: 1600,
        heads: 25,
        key_heads: 25,
        hidden: 6400,
        source: "Radford et al. 2019, table 2, largest",
        ..GELU_TEXT
    },
    Dimensions {
        name: "gpt-3-175b",
        layers: 96,
        width: 12_288,
        heads: 96,
        key_heads: 96,
        head_width: 128,
        hidden: 49_152,
        context: 2048,
        source: "Brown et al., arXiv 2005.14165, table 2.1",
        ..GELU_TEXT
    },
    Dimensions {
        name: "llama-2-7b",
        key_heads: 32,
        hidden: 11_008,
        vocabulary: 32_000,
        context: 4096,
        source: "config.json of the released model; Touvron et al., arXiv 2307.09288",
        ..LLAMA_3_8B
    },
    LLAMA_3_8B,
    Dimensions { name: "llama-3-70b", layers: 80, width: 8192, heads: 64, hidden: 28_672, ..LLAMA_3_8B },
    Dimensions {
        name: "llama-3.2-1b",
        layers: 16,
        width: 2048,
        head_width: 64,
        hidden: 8192,
        context: 131_072,
        source: "config.json of the released model",
        ..LLAMA_3_8B
    },
    Dimensions {
        name: "phi-3.5-mini",
        width: 3072,
        key_heads: 32,
        head_width: 96,
        hidden: 8192,
        vocabulary: 32_064,
        context: 131_072,
        source: "config.json of the released model; arXiv 2404.14219",
        ..LLAMA_3_8B
    },
    Dimensions {
        name: "qwen2-1.5b",
        layers: 28,
        width: 1536,
        heads: 12,
        key_heads: 2,
        hidden: 8960,
        vocabulary: 151_936,
        context: 131_072,
        source: "Qwen2 Technical Report, arXiv 2407.10671, table 1",
        ..LLAMA_3_8B
    },
    VIT_B,
    Dimensions { name: "vit-l-16", layers: 24, width: 1024, heads: 16, key_heads: 16, hidden: 4096, ..VIT_B },
    Dimensions {
        name: "vit-s-16",
        width: 384,
        heads: 6,
        key_heads: 6,
        hidden: 1536,
        source: "Touvron et al. (DeiT-S), arXiv 2012.12877, table 1",
        ..VIT_B
    },
];

impl Dimensions {
    /// Weights of all layers and tables, without biases and normalisation.
    pub fn parameters(&self) -> u64 {
        let attention = self.width * self.head_width * (2 * self.heads + 2 * self.key_heads);
        let products = if self.feed_forward == FeedForward::SwiGlu { 3 } else { 2 };
        let tables = match self.family {
            Family::Vision { patch } => 3 * patch * patch * self.width + self.vocabulary * self.width,
            _ => self.vocabulary * self.width,
        };
        self.layers * (attention + products * self.width * self.hidden) + tables
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_those_that_the_names_say() {
        // Published parameter counts in millions; ours lack biases, normalisation, positions, and a second table of words.
        let published = [
            ("bert-base", 110.0),
            ("bert-large", 340.0),
            ("gpt-2", 124.0),
            ("gpt-2-xl", 1558.0),
            ("gpt-3-175b", 175_000.0),
            ("llama-2-7b", 6738.0),
            ("llama-3-8b", 8030.0),
            ("llama-3-70b", 70_554.0),
            ("llama-3.2-1b", 1236.0),
            ("phi-3.5-mini", 3820.0),
            ("qwen2-1.5b", 1544.0),
            ("vit-b-16", 86.6),
            ("vit-l-16", 304.3),
            ("vit-s-16", 22.1),
        ];
        for model in MODELS {
            let (_, millions) = published.into_iter().find(|(name, _)| *name == model.name).unwrap();
            let ratio = model.parameters() as f64 / 1e6 / millions;
            assert!((0.92..=1.005).contains(&ratio), "{}: {ratio}", model.name);
        }
    }

    #[test]
    fn names_are_in_order() {
        assert!(MODELS.windows(2).all(|pair| pair[0].name <= pair[1].name || pair[1].name.starts_with("llama-3")));
        assert!(MODELS.iter().all(|model| !model.source.is_empty() && model.heads % model.key_heads == 0));
    }
}
