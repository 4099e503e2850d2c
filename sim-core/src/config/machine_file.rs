//! The machine file (D12): clocks, parts and links.

use super::error::{ConfigError, Place, Problem};
use super::load::{Document, Resolve};
use super::suggest::did_you_mean;
use super::tree::{Node, Value};

/// `[clock.NAME]`, `mhz = 1755` or `hz = 1_755_000_000`.
#[derive(Clone, Debug)]
pub struct ClockSpec {
    /// Its name.
    pub name: String,
    /// Its frequency.
    pub hertz: u64,
}

/// `[part.NAME]`: kind, clock, count and the parameters of the kind.
#[derive(Clone, Debug)]
pub struct PartSpec {
    /// Its name.
    pub name: String,
    /// Name of a registered kind.
    pub kind: String,
    /// Index of its clock in [`MachineFile::clocks`].
    pub clock: usize,
    /// Components in each dimension; `[1]` for a single one.
    pub count: Vec<usize>,
    /// The parameters alone, for the specification of the kind.
    pub parameters: Node,
    /// Where the part and its kind stand.
    pub place: Place,
    /// Where the kind stands.
    pub kind_place: Place,
}

impl PartSpec {
    /// Components in all.
    pub fn components(&self) -> usize {
        self.count.iter().product()
    }

    /// The parameters as the specification of a kind. Unknown keys are all collected if `T` denies unknown fields.
    pub fn read<T: serde::de::DeserializeOwned>(&self) -> Result<T, Vec<ConfigError>> {
        super::load::read_node(&self.parameters, &format!("part.{}", self.name))
    }
}

/// `[[link]]`: two ends and a latency.
#[derive(Clone, Debug)]
pub struct LinkSpec {
    /// Sending end, as written.
    pub from: String,
    /// Receiving end, as written.
    pub to: String,
    /// Cycles of the receiver's clock, at least 1.
    pub latency_cycles: u32,
    /// Cycles of the sender's clock that a credit needs to come back, at least 1; the latency if not given.
    pub credit_latency_cycles: u32,
    /// Where the link stands.
    pub place: Place,
    /// Where its ends stand.
    pub from_place: Place,
    /// Where its ends stand.
    pub to_place: Place,
}

/// A machine as described: checked as far as possible without knowing the kinds.
#[derive(Clone, Debug)]
pub struct MachineFile {
    /// Name for reports; the file's own if it gives none.
    pub name: String,
    /// Seed of everything random in the machine; 0 if not given.
    pub seed: u64,
    /// Clocks in the order of their names.
    pub clocks: Vec<ClockSpec>,
    /// Parts in the order of their names.
    pub parts: Vec<PartSpec>,
    /// Links.
    pub links: Vec<LinkSpec>,
    /// Ports that are left open on purpose, e.g. at the edge of a mesh.
    pub unconnected: Vec<(String, Place)>,
    document: Document,
}

const TOP: [&str; 8] = ["name", "description", "seed", "info", "clock", "part", "link", "unconnected"];

impl MachineFile {
    /// Reads a machine file with its bases and overrides; all errors are reported.
    pub fn load(name: &str, resolve: &mut Resolve<'_>, sets: &[String]) -> Result<MachineFile, Vec<ConfigError>> {
        MachineFile::from_document(Document::load(name, resolve, sets)?)
    }

    /// Reads a machine from a text that inherits nothing.
    pub fn parse(name: &str, text: &str) -> Result<MachineFile, Vec<ConfigError>> {
        MachineFile::from_document(Document::parse(name, text)?)
    }

    /// From a document that was read already.
    pub fn from_document(document: Document) -> Result<MachineFile, Vec<ConfigError>> {
        let mut errors = Vec::new();
        let root = document.root();
        for (key, entry) in root.table().into_iter().flatten() {
            if !TOP.contains(&key.as_str()) {
                let error = ConfigError::new(&entry.key, key, Problem::UnknownKey { key: key.clone() });
                errors.push(error.maybe_help(did_you_mean(key, TOP)));
            }
        }
        let name = match root.get("name") {
            Some(node) => text(node, "name", &mut errors).unwrap_or_default(),
            None => {
                let file = std::path::Path::new(&document.source().name);
                file.file_stem().map_or(String::new(), |s| s.to_string_lossy().into_owned())
            }
        };
        let seed = root.get("seed").map_or(0, |n| whole(n, "seed", 0, &mut errors));
        let clocks = clocks(root, &mut errors);
        let parts = parts(root, &clocks, &mut errors);
        let links = links(root, &mut errors);
        let unconnected = unconnected(root, &mut errors);
        if parts.is_empty() && errors.is_empty() {
            let problem = Problem::MissingKey { key: "part".into() };
            let error = ConfigError::new(&Place::start_of(document.source()), "part", problem);
            errors.push(error.help("a machine has at least one [part.NAME] with its `kind` and `clock`"));
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        let mut document = document;
        document.put("name", Value::String(name.clone()));
        Ok(MachineFile { name, seed, clocks, parts, links, unconnected, document })
    }

    /// The resolved file.
    pub fn document(&self) -> &Document {
        &self.document
    }

    /// The resolved machine as one TOML text: a run can be repeated from it alone.
    pub fn to_toml(&self) -> String {
        self.document.to_toml()
    }

    /// Hash of the resolved machine: of all that can change a result, not of its name, description and `info`.
    pub fn hash(&self) -> blake3::Hash {
        self.document.without(&["name", "description", "info"]).hash()
    }
}

fn bad(node: &Node, key: &str, message: String) -> ConfigError {
    ConfigError::new(&node.place, key, Problem::BadValue { message })
}

fn text(node: &Node, key: &str, errors: &mut Vec<ConfigError>) -> Option<String> {
    if node.as_str().is_none() {
        errors.push(bad(node, key, format!("expected a string, found {}", node.type_name())));
    }
    node.as_str().map(str::to_owned)
}

fn whole(node: &Node, key: &str, least: u64, errors: &mut Vec<ConfigError>) -> u64 {
    match node.value {
        Value::Integer(i) if i >= 0 && i as u64 >= least => i as u64,
        Value::Integer(i) => {
            errors.push(bad(node, key, format!("{i} is too small")).help(format!("at least {least}")));
            least
        }
        _ => {
            errors.push(bad(node, key, format!("expected a whole number, found {}", node.type_name())));
            least
        }
    }
}

fn unknown_keys(node: &Node, path: &str, known: &[&str], errors: &mut Vec<ConfigError>) {
    for (key, entry) in node.table().into_iter().flatten() {
        if !known.contains(&key.as_str()) {
            let error = ConfigError::new(&entry.key, format!("{path}.{key}"), Problem::UnknownKey { key: key.clone() });
            errors.push(error.maybe_help(did_you_mean(key, known.iter().copied())));
        }
    }
}

fn missing(node: &Node, path: &str, key: &str, help: &str) -> ConfigError {
    ConfigError::new(&node.place, path, Problem::MissingKey { key: key.into() }).help(help)
}

fn tables<'n>(root: &'n Node, key: &str, errors: &mut Vec<ConfigError>) -> Vec<(&'n String, &'n Node)> {
    let Some(node) = root.get(key) else { return Vec::new() };
    let Some(table) = node.table() else {
        errors.push(bad(node, key, format!("expected tables [{key}.NAME], found {}", node.type_name())));
        return Vec::new();
    };
    let mut found = Vec::new();
    for (name, e) in table {
        if e.node.table().is_some() {
            found.push((name, &e.node));
        } else {
            let path = format!("{key}.{name}");
            errors.push(bad(&e.node, &path, format!("expected a table [{path}], found {}", e.node.type_name())));
        }
    }
    found
}

fn clocks(root: &Node, errors: &mut Vec<ConfigError>) -> Vec<ClockSpec> {
    let mut clocks = Vec::new();
    for (name, node) in tables(root, "clock", errors) {
        let path = format!("clock.{name}");
        unknown_keys(node, &path, &["hz", "mhz"], errors);
        let hertz = match (node.get("hz"), node.get("mhz")) {
            (Some(hz), None) => whole(hz, &format!("{path}.hz"), 1, errors),
            (None, Some(mhz)) => {
                let value = match mhz.value {
                    Value::Integer(i) => i as f64,
                    Value::Float(x) => x,
                    _ => f64::NAN,
                };
                let hertz = (value * 1e6).round();
                if !(1.0..=1e13).contains(&hertz) {
                    let error = bad(mhz, &format!("{path}.mhz"), "not a frequency in megahertz".into());
                    errors.push(error.help("a number above 0, e.g. 1755"));
                    continue;
                }
                hertz as u64
            }
            (Some(_), Some(mhz)) => {
                errors.push(bad(mhz, &path, "both `hz` and `mhz` are given".into()).help("leave one out"));
                1
            }
            (None, None) => {
                errors.push(missing(node, &path, "mhz", "e.g. mhz = 1755"));
                1
            }
        };
        clocks.push(ClockSpec { name: name.clone(), hertz });
    }
    clocks
}

fn parts(root: &Node, clocks: &[ClockSpec], errors: &mut Vec<ConfigError>) -> Vec<PartSpec> {
    let mut parts = Vec::new();
    for (name, node) in tables(root, "part", errors) {
        let path = format!("part.{name}");
        let Some(kind_node) = node.get("kind") else {
            errors.push(missing(node, &path, "kind", "the kind of component, e.g. kind = \"gpu.sm\""));
            continue;
        };
        let Some(kind) = text(kind_node, &format!("{path}.kind"), errors) else { continue };
        let Some(clock_node) = node.get("clock") else {
            errors.push(missing(node, &path, "clock", "the name of a clock, e.g. clock = \"core\""));
            continue;
        };
        let Some(clock_name) = text(clock_node, &format!("{path}.clock"), errors) else { continue };
        let Some(clock) = clocks.iter().position(|c| c.name == clock_name) else {
            let problem = Problem::Unknown { what: "clock", name: clock_name.clone() };
            let error = ConfigError::new(&clock_node.place, format!("{path}.clock"), problem);
            errors.push(error.maybe_help(did_you_mean(&clock_name, clocks.iter().map(|c| c.name.as_str()))));
            continue;
        };
        let count = match node.get("count") {
            None => vec![1],
            Some(Node { value: Value::Array(dimensions), .. }) if !dimensions.is_empty() => {
                dimensions.iter().map(|d| whole(d, &format!("{path}.count"), 1, errors) as usize).collect()
            }
            Some(n) => vec![whole(n, &format!("{path}.count"), 1, errors) as usize],
        };
        if count.iter().try_fold(1_usize, |all, n| all.checked_mul(*n)).is_none_or(|n| n > 1 << 26) {
            errors.push(bad(node.get("count").unwrap_or(node), &path, "more than 2^26 components".into()));
            continue;
        }
        let mut parameters = node.clone();
        if let Some(table) = parameters.table_mut() {
            ["kind", "clock", "count"].iter().for_each(|key| drop(table.remove(*key)));
        }
        let (place, kind_place) = (node.place.clone(), kind_node.place.clone());
        parts.push(PartSpec { name: name.clone(), kind, clock, count, parameters, place, kind_place });
    }
    parts
}

fn links(root: &Node, errors: &mut Vec<ConfigError>) -> Vec<LinkSpec> {
    let Some(node) = root.get("link") else { return Vec::new() };
    let Value::Array(all) = &node.value else {
        errors.push(bad(node, "link", format!("expected [[link]] tables, found {}", node.type_name())));
        return Vec::new();
    };
    let mut links = Vec::new();
    for node in all {
        if node.table().is_none() {
            errors.push(bad(node, "link", format!("expected a [[link]] table, found {}", node.type_name())));
            continue;
        }
        unknown_keys(node, "link", &["from", "to", "latency_cycles", "credit_latency_cycles"], errors);
        let end = |key: &str, errors: &mut Vec<ConfigError>| match node.get(key) {
            Some(end) => text(end, &format!("link.{key}"), errors).map(|t| (t, end.place.clone())),
            None => {
                errors.push(missing(node, "link", key, "a port, e.g. \"sm.mem\" or \"sm[0..16].mem\""));
                None
            }
        };
        let (from, to) = (end("from", errors), end("to", errors));
        let cycles = |key: &str, errors: &mut Vec<ConfigError>| {
            node.get(key).map(|n| match whole(n, &format!("link.{key}"), 1, errors) {
                cycles @ 0..=0x7fff_ffff => cycles as u32,
                _ => {
                    errors.push(bad(n, &format!("link.{key}"), "more than 2^31 cycles".into()));
                    1
                }
            })
        };
        let Some(latency_cycles) = cycles("latency_cycles", errors) else {
            errors.push(missing(node, "link", "latency_cycles", "at least 1, in cycles of the receiver's clock"));
            continue;
        };
        let credit_latency_cycles = cycles("credit_latency_cycles", errors).unwrap_or(latency_cycles);
        if let (Some((from, from_place)), Some((to, to_place))) = (from, to) {
            let place = node.place.clone();
            links.push(LinkSpec { from, to, latency_cycles, credit_latency_cycles, place, from_place, to_place });
        }
    }
    links
}

fn unconnected(root: &Node, errors: &mut Vec<ConfigError>) -> Vec<(String, Place)> {
    match root.get("unconnected") {
        None => Vec::new(),
        Some(Node { value: Value::Array(ports), .. }) => {
            ports.iter().filter_map(|n| Some((text(n, "unconnected", errors)?, n.place.clone()))).collect()
        }
        Some(n) => {
            errors.push(bad(n, "unconnected", format!("expected a list of ports, found {}", n.type_name())));
            Vec::new()
        }
    }
}
