//! Parameter sets and the published cases, for all tests of this crate.
#![allow(dead_code)]

use gpu::sm::SmSpec;
use gpu::sm::bench::{Metrics, ProgramFile};
use sim_core::config::Document;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The shipped parameter set `name`.
pub fn parameters(name: &str) -> SmSpec {
    let path = root().join(format!("configs/gpu/base/{name}-sm.toml"));
    let document = Document::load(path.to_str().unwrap(), &mut Document::from_disk, &[]);
    let document = document.unwrap_or_else(|errors| panic!("{}: {errors:?}", path.display()));
    let spec = SmSpec::of_parameter_set(&document).unwrap_or_else(|errors| panic!("{}: {errors:?}", path.display()));
    assert_eq!(spec.validate(), Vec::<String>::new(), "{}", path.display());
    spec
}

/// Architectures that kernels ship for, with the parameter set of a chip of each.
pub const SETS: [(&str, &str); 7] = [
    ("sm_75", "tu102"),
    ("sm_80", "ga100"),
    ("sm_86", "ga102"),
    ("sm_89", "ad102"),
    ("sm_90", "gh100"),
    ("sm_100", "gb100"),
    ("sm_120", "gb203"),
];

/// A small generator, so that random walks are the same everywhere.
pub fn coin(seed: u64) -> impl FnMut() -> bool {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state >> 32 & 1 == 1
    }
}

pub fn suite(file: &str) -> String {
    std::fs::read_to_string(root().join("validation/suites/sm-examples").join(file)).unwrap()
}

/// One expectation.
pub struct Case {
    pub parameters: String,
    pub program: String,
    pub metric: String,
    pub value: f64,
    pub uncertainty: f64,
}

pub fn cases() -> Vec<Case> {
    let text = suite("cases.csv");
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let records = reader.records().map(|record| {
        let record = record.unwrap();
        Case {
            parameters: record[1].to_owned(),
            program: record[2].strip_prefix("program:").unwrap().to_owned(),
            metric: record[4].to_owned(),
            value: record[5].parse().unwrap(),
            uncertainty: record[7].parse().unwrap(),
        }
    });
    records.collect()
}

/// Runs the whole suite with `change` applied to every parameter set; the cases that are outside their uncertainty, and
/// how many there were.
pub fn misses(change: impl Fn(&mut SmSpec)) -> (Vec<String>, usize) {
    let programs: ProgramFile = toml::from_str(&suite("programs.toml")).unwrap();
    let cases = cases();
    let mut outside = Vec::new();
    let mut sets: BTreeMap<&str, SmSpec> = BTreeMap::new();
    for (program, set) in programs.program.iter().flat_map(|one| one.parameters.iter().map(move |set| (one, set))) {
        let spec = sets.entry(set).or_insert_with(|| {
            let mut spec = parameters(set);
            change(&mut spec);
            spec
        });
        let (text, outcome) = program.run(spec).unwrap_or_else(|error| panic!("{}: {error}", program.id));
        let metrics = Metrics { program: &text, outcome: &outcome };
        let own = cases.iter().filter(|case| case.program == program.id && case.parameters == *set);
        let mut count = 0;
        for case in own {
            count += 1;
            let value = metrics.get(&case.metric);
            if value.is_none_or(|value| (value - case.value).abs() > case.uncertainty) {
                outside.push(format!("{} {}: {value:?}, expected {}", case.program, case.metric, case.value));
            }
        }
        assert!(count > 0, "{} has no case for {set}", program.id);
    }
    (outside, cases.len())
}
