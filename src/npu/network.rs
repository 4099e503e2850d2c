//! The word WORKLOAD of a run on an NPU.

use std::collections::BTreeMap;
use std::path::Path;

use sim_core::MachineFile;
use sim_core::config::did_you_mean;
use workloads::tensor::transformer::{Inference, MODELS};
use workloads::tensor::{Graph, OperatorKind, Role, TaskList, onnx, topology};

use crate::failure::{Complaint, Failure};
use crate::report::thousands;

/// What was asked for beside the word.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    /// Sizes of open dimensions.
    pub dimensions: BTreeMap<String, u64>,
    /// Warnings are errors.
    pub strict: bool,
}

/// What an NPU is to run.
pub struct Workload {
    pub name: String,
    pub description: String,
    pub content: Content,
    /// What is not simulated as the file says it.
    pub warnings: Vec<String>,
}

/// A network, or the tasks that some compiler made of one.
pub enum Content {
    Network(Graph),
    Tasks(TaskList),
}

const FORMS: &str = "an ONNX model (.onnx), a SCALE-Sim topology (.csv), a task list (.jsonl, .toml), or a transformer such as \
                     llama-3-8b:prefill,tokens=1024";

impl Workload {
    /// A file by the end of its name, else a transformer.
    pub fn read(word: &str, asked: &Asked) -> Result<Self, Failure> {
        let path = Path::new(word);
        let stem = || path.file_stem().map_or(word.into(), |stem| stem.to_string_lossy()).into_owned();
        let is_onnx = onnx::is_onnx(path);
        if !asked.dimensions.is_empty() && !is_onnx {
            return Err(Complaint::new("--dim is for ONNX models").help("leave it out").into());
        }
        let workload = match path.extension().and_then(|extension| extension.to_str()) {
            _ if is_onnx => Self::model(path, stem(), asked)?,
            Some("csv") => {
                let graph = topology::parse(word, &text(path)?)?;
                let count = graph.operators.len();
                Self::network(stem(), format!("{count} layers in SCALE-Sim's form, each on its own"), graph, Vec::new())
            }
            Some(form @ ("jsonl" | "toml")) => {
                let read = if form == "toml" { TaskList::parse_toml } else { TaskList::parse };
                let list = read(word, &text(path)?)?;
                let description = format!("a list of {} tasks", thousands(list.tasks().len() as u64));
                Self { name: stem(), description, content: Content::Tasks(list), warnings: Vec::new() }
            }
            _ if Inference::is_meant(word) => {
                let inference = Inference::parse(word)
                    .map_err(|error| Complaint::new(format!("`{word}`: {error}")).help(error.help))?;
                let warnings = Vec::new();
                Self::network(inference.name(), inference.description(), inference.graph(), warnings)
            }
            _ => {
                let first = word.split([':', ',', ' ']).next().unwrap_or_default();
                let near = did_you_mean(first, MODELS.iter().map(|model| model.name));
                let complaint = Complaint::new(format!("there is no network `{word}`"));
                return Err(complaint.help(near.unwrap_or_else(|| FORMS.to_string())).into());
            }
        };
        if asked.strict && !workload.warnings.is_empty() {
            let complaint = |warning: &String| Complaint::new(format!("{word}: {warning}")).help("leave --strict out");
            return Err(Failure::Input(workload.warnings.iter().map(complaint).collect()));
        }
        Ok(workload)
    }

    fn model(path: &Path, name: String, asked: &Asked) -> Result<Self, Failure> {
        let options = onnx::Options { dimensions: asked.dimensions.clone() };
        let onnx::Model { graph, warnings } = onnx::read(path, &options)?;
        let weights = graph.tensors.iter().filter(|tensor| tensor.role == Role::Weight);
        let weights: u64 = weights.map(|tensor| tensor.elements()).sum();
        let operators = graph.operators.iter().filter(|operator| operator.kind != OperatorKind::View).count();
        let description = format!(
            "ONNX: {operators} operators after fusion, {:.3} GMAC, {:.2} million weights",
            graph.macs() as f64 / 1e9,
            weights as f64 / 1e6
        );
        Ok(Self::network(name, description, graph, warnings))
    }

    fn network(name: String, description: String, graph: Graph, warnings: Vec<String>) -> Self {
        Self { name, description, content: Content::Network(graph), warnings }
    }

    /// Of the resolved machine and the network's content, wherever its file lies (D11).
    pub fn config_hash(&self, file: &MachineFile) -> String {
        let mut hasher = blake3::Hasher::new();
        hasher.update(file.hash().as_bytes());
        match &self.content {
            // Constants have shapes only, so that the text is small.
            Content::Network(graph) => hasher.update(serde_json::to_string(graph).unwrap_or_default().as_bytes()),
            Content::Tasks(list) => hasher.update(list.to_json_lines().as_bytes()),
        };
        hasher.finalize().to_hex().to_string()
    }
}

fn text(path: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(path)
        .map_err(|error| Complaint::new(format!("{} cannot be read: {error}", path.display())).help(FORMS).into())
}
