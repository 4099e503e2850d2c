//! One line of a task list: every key that any engine knows, sorted out by engine afterwards.

use serde::{Deserialize, Serialize};
use sim_core::config::{did_you_mean, nearest};

use crate::tensor::{CmxRange, Element, Task, Variant, Work};

/// What is wrong and what would be right.
type Problem = (String, String);

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Line {
    id: u64,
    engine: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    layer: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tile: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    port: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    src: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    dst: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    bytes: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    decompress: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    permute_element_bytes: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    kernel: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    dtype: Option<Element>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    elems: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    variants: Option<Vec<Variant>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cycles: Option<u64>,
    #[serde(default)]
    wait: Vec<u32>,
    #[serde(default)]
    update: Vec<u32>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    cmx: Vec<CmxRange>,
}

const ENGINES: [&str; 5] = ["dpu", "dma", "shave", "m2i", "cpu"];

/// Takes the value of a key that the engine needs.
macro_rules! needed {
    ($line:ident.$key:ident) => {
        match $line.$key.take() {
            Some(value) => value,
            None => {
                let key = stringify!($key);
                return Err((format!("a task of `{}` needs `{key}`", $line.engine), String::new()));
            }
        }
    };
}

impl Line {
    pub fn read(text: &str) -> Result<Line, Problem> {
        serde_json::from_str(text).map_err(|error| {
            let message = error.to_string();
            // serde says: unknown field `x`, expected one of `a`, `b` — the quoted words are the name and the candidates.
            let quoted: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
            let help = match quoted.split_first() {
                Some((unknown, known)) if message.starts_with("unknown ") => {
                    nearest(unknown, known.iter().copied()).map(|meant| format!("did you mean `{meant}`?"))
                }
                _ => None,
            };
            match error.classify() {
                serde_json::error::Category::Data => (message, help.unwrap_or_default()),
                _ => (format!("not a JSON object: {message}"), "one object with a task on every line".to_owned()),
            }
        })
    }

    pub fn into_task(mut self) -> Result<Task, Problem> {
        let place = |text: String| text.parse().map_err(|message| (message, String::new()));
        let work = match self.engine.as_str() {
            "dpu" => Work::Dpu { tile: needed!(self.tile), variants: needed!(self.variants) },
            "dma" => Work::Dma {
                port: needed!(self.port),
                source: place(needed!(self.src))?,
                destination: place(needed!(self.dst))?,
                bytes: needed!(self.bytes),
                decompress: self.decompress.take().unwrap_or(false),
                permute_element_bytes: self.permute_element_bytes.take(),
            },
            "shave" => Work::Shave {
                tile: needed!(self.tile),
                kernel: needed!(self.kernel),
                element: needed!(self.dtype),
                elements: needed!(self.elems),
            },
            "m2i" => Work::M2i,
            "cpu" => Work::Cpu,
            other => {
                let help = did_you_mean(other, ENGINES);
                let help = help.unwrap_or_else(|| format!("engines are {}", ENGINES.join(", ")));
                return Err((format!("there is no engine `{other}`"), help));
            }
        };
        if let Some(key) = self.left_over() {
            return Err((format!("a task of `{}` has no `{key}`", self.engine), String::new()));
        }
        let Line { id, layer, wait, update, cycles, cmx, .. } = self;
        Ok(Task { id, layer, wait, update, work, cycles, cmx, line: 0 })
    }

    /// A key that was given but that the engine does not have.
    fn left_over(&self) -> Option<&'static str> {
        let given = [
            ("tile", self.tile.is_some()),
            ("port", self.port.is_some()),
            ("src", self.src.is_some()),
            ("dst", self.dst.is_some()),
            ("bytes", self.bytes.is_some()),
            ("decompress", self.decompress.is_some()),
            ("permute_element_bytes", self.permute_element_bytes.is_some()),
            ("kernel", self.kernel.is_some()),
            ("dtype", self.dtype.is_some()),
            ("elems", self.elems.is_some()),
            ("variants", self.variants.is_some()),
        ];
        given.iter().find(|(_, is_given)| *is_given).map(|(key, _)| *key)
    }

    pub fn of(task: &Task) -> Line {
        let mut line = Line {
            id: task.id,
            engine: task.work.engine().to_owned(),
            layer: task.layer.clone(),
            tile: None,
            port: None,
            src: None,
            dst: None,
            bytes: None,
            decompress: None,
            permute_element_bytes: None,
            kernel: None,
            dtype: None,
            elems: None,
            variants: None,
            cycles: task.cycles,
            wait: task.wait.clone(),
            update: task.update.clone(),
            cmx: task.cmx.clone(),
        };
        match &task.work {
            Work::Dpu { tile, variants } => {
                line.tile = Some(*tile);
                line.variants = Some(variants.clone());
            }
            Work::Dma { port, source, destination, bytes, decompress, permute_element_bytes } => {
                line.port = Some(*port);
                line.src = Some(source.to_string());
                line.dst = Some(destination.to_string());
                line.bytes = Some(*bytes);
                line.decompress = decompress.then_some(true);
                line.permute_element_bytes = *permute_element_bytes;
            }
            Work::Shave { tile, kernel, element, elements } => {
                line.tile = Some(*tile);
                line.kernel = Some(kernel.clone());
                line.dtype = Some(*element);
                line.elems = Some(*elements);
            }
            Work::M2i | Work::Cpu => {}
        }
        line
    }

    pub fn write(&self) -> String {
        serde_json::to_string(self).expect("a line has string keys and finite numbers")
    }
}
