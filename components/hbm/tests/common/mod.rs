//! Reading the golden suite for tests and benches.
#![allow(dead_code)]

use std::collections::BTreeMap;

use hbm::golden::GoldenPolicy;
use hbm::preset::Preset;
use hbm::workload::Workload;

/// One golden line: its parts, and the metrics that are not zero.
pub struct Case {
    pub name: String,
    pub machine: String,
    pub policy: String,
    pub workload: Workload,
    pub metrics: BTreeMap<String, String>,
}

pub struct Suite {
    pub policies: BTreeMap<String, GoldenPolicy>,
    pub cases: Vec<Case>,
    /// Requests per CPU second of the peer, by case.
    pub peer_speed: BTreeMap<String, f64>,
}

pub fn root(path: &str) -> String {
    format!("{}/../../{path}", env!("CARGO_MANIFEST_DIR"))
}

pub fn preset(name: &str) -> Preset {
    Preset::load_path(&root(&format!("configs/memory/{name}.toml"))).unwrap_or_else(|e| panic!("{e}"))
}

pub fn suite() -> Suite {
    let folder = root("validation/suites/hbm-ramulator2");
    let text = std::fs::read_to_string(format!("{folder}/suite.toml")).unwrap();
    let table: toml::Table = text.parse().unwrap();
    let policies = table["policy"].clone().try_into().unwrap();
    let mut cases: Vec<Case> = Vec::new();
    for row in csv::Reader::from_path(format!("{folder}/cases.csv")).unwrap().records() {
        let row = row.unwrap();
        if cases.last().is_none_or(|c| c.name != row[0]) {
            cases.push(Case {
                name: row[0].to_string(),
                machine: row[1].to_string(),
                workload: row[2].parse().unwrap(),
                policy: row[3].strip_prefix("policy=").unwrap().to_string(),
                metrics: BTreeMap::new(),
            });
        }
        cases.last_mut().unwrap().metrics.insert(row[4].to_string(), row[5].to_string());
    }
    let mut peer_speed = BTreeMap::new();
    for row in csv::Reader::from_path(format!("{folder}/peer_speed.csv")).unwrap().records() {
        let row = row.unwrap();
        peer_speed.insert(row[0].to_string(), row[2].parse().unwrap());
    }
    Suite { policies, cases, peer_speed }
}
