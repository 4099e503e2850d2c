//! From a sweep file to its points.

use std::collections::BTreeMap;

use serde::Deserialize;
use sim_core::config::Document;

use crate::catalog;
use crate::failure::{Complaint, Failure};
use crate::simulate::{self, Request};
use crate::traced;

/// More points than this are a mistake.
const MOST_POINTS: usize = 100_000;

/// A sweep file as it is written.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SweepFile {
    name: String,
    #[serde(default)]
    description: String,
    machines: Vec<String>,
    workloads: Vec<String>,
    /// The variant that the others are compared with; the first if absent.
    baseline: Option<String>,
    /// Changes of the machine, by name. Without any there is one that changes nothing.
    #[serde(default)]
    variant: Vec<Variant>,
    /// Keys of the machine with the values that each takes; every combination is run.
    #[serde(default)]
    grid: BTreeMap<String, Vec<String>>,
}

/// A named change of the machine.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Variant {
    pub name: String,
    /// Variants that belong together in a figure.
    #[serde(default)]
    pub group: String,
    /// `key=value`, as for `orrery run --set`.
    #[serde(default)]
    pub set: Vec<String>,
    /// Instead of the sweep's machines.
    #[serde(default)]
    pub machine: Option<String>,
    /// Speed-up over the baseline that a paper reports.
    #[serde(default)]
    pub published_speedup: Option<f64>,
    /// Where it does.
    #[serde(default)]
    pub published_in: Option<String>,
}

/// One run to be made.
#[derive(Clone, Debug)]
pub struct Point {
    pub machine: String,
    pub workload: String,
    /// Name of its variant.
    pub variant: String,
    /// Of the grid: key and value.
    pub at: Vec<(String, String)>,
    /// All overrides.
    pub sets: Vec<String>,
    /// Of the resolved machine, the workload's content and the seed.
    pub config_hash: String,
}

/// All points of a sweep, in the order of the file.
#[derive(Clone, Debug)]
pub struct Plan {
    pub name: String,
    pub description: String,
    pub baseline: String,
    pub variants: Vec<Variant>,
    /// Keys of the grid.
    pub axes: Vec<String>,
    pub points: Vec<Point>,
}

impl Plan {
    /// Reads a shipped sweep by name or a sweep file by path, and resolves every point of it.
    ///
    /// # Errors
    /// There is no such sweep, or it names a machine, workload or key that does not exist.
    pub fn read(word: &str) -> Result<Self, Failure> {
        let document = catalog::sweep(word)?;
        let file: SweepFile = document.read()?;
        let wrong = |message: String, help: &str| -> Failure {
            let source = document.source();
            Complaint::new(format!("{}: {message}", source.name)).help(help).into()
        };
        if file.machines.is_empty() || file.workloads.is_empty() {
            return Err(wrong("nothing to run".into(), "machines = [\"rtx-a6000\"] and workloads = [\"sgemm\"]"));
        }
        let variants = match file.variant.is_empty() {
            true => vec![Variant::unchanged()],
            false => file.variant,
        };
        for (place, variant) in variants.iter().enumerate() {
            if variants[..place].iter().any(|other| other.name == variant.name) {
                return Err(wrong(format!("two variants are called `{}`", variant.name), "names tell variants apart"));
            }
        }
        let baseline = file.baseline.unwrap_or_else(|| variants[0].name.clone());
        if !variants.iter().any(|variant| variant.name == baseline) {
            let names = variants.iter().map(|variant| variant.name.as_str());
            let help = sim_core::config::did_you_mean(&baseline, names).unwrap_or_default();
            return Err(wrong(format!("no variant is called `{baseline}`, the baseline"), &help));
        }
        let grid = combinations(&file.grid);
        let each = file.machines.len() * file.workloads.len() * variants.len();
        let count = each.checked_mul(grid.len()).filter(|count| *count <= MOST_POINTS);
        if count.is_none() {
            return Err(wrong(format!("more than {MOST_POINTS} runs"), "leave out values of [grid]"));
        }
        let mut points = Vec::new();
        for workload in &file.workloads {
            for machine in &file.machines {
                for at in &grid {
                    for variant in &variants {
                        points.push(Point::resolve(&document, machine, workload, variant, at)?);
                    }
                }
            }
        }
        let axes = file.grid.into_keys().collect();
        Ok(Self { name: file.name, description: file.description, baseline, variants, axes, points })
    }
}

impl Variant {
    fn unchanged() -> Self {
        Self {
            name: "as-is".to_string(),
            group: String::new(),
            set: Vec::new(),
            machine: None,
            published_speedup: None,
            published_in: None,
        }
    }
}

impl Point {
    fn resolve(
        document: &Document,
        machine: &str,
        workload: &str,
        variant: &Variant,
        at: &[(String, String)],
    ) -> Result<Self, Failure> {
        let mut sets = variant.set.clone();
        sets.extend(at.iter().map(|(key, value)| format!("{key}={value}")));
        let mut point = Self {
            machine: variant.machine.as_deref().unwrap_or(machine).to_string(),
            workload: workload.to_string(),
            variant: variant.name.clone(),
            at: at.to_vec(),
            sets,
            config_hash: String::new(),
        };
        let request = point.request();
        let hash = match traced::is_traced(workload) {
            true => traced::hash_of_request(&request),
            false => simulate::hash_of_request(&request),
        };
        point.config_hash = hash.inspect_err(|_| {
            eprintln!("in {}, variant `{}`:", document.source().name, variant.name);
        })?;
        Ok(point)
    }

    /// What to simulate: one thread and one shard, since points run side by side.
    pub fn request(&self) -> Request {
        Request::alone(&self.machine, &self.workload, self.sets.clone())
    }
}

/// Every combination of the grid's values, the last key fastest.
fn combinations(grid: &BTreeMap<String, Vec<String>>) -> Vec<Vec<(String, String)>> {
    let mut all = vec![Vec::new()];
    for (key, values) in grid {
        let longer = |begun: &Vec<(String, String)>| {
            let begun = begun.clone();
            values.iter().map(move |value| [begun.clone(), vec![(key.clone(), value.clone())]].concat())
        };
        all = all.iter().flat_map(longer).collect();
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(text: &str) -> Result<Plan, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s.toml");
        std::fs::write(&path, text).unwrap();
        Plan::read(path.to_str().unwrap()).map_err(|failure| match failure {
            Failure::Input(complaints) => complaints.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"),
            other => format!("{other:?}"),
        })
    }

    const TWO: &str = "name = \"two\"\nmachines = [\"rtx-a6000\"]\nworkloads = [\"vectoradd\"]\n";

    #[test]
    fn every_combination_is_a_point() {
        let text = format!(
            "{TWO}[[variant]]\nname = \"a\"\n[[variant]]\nname = \"b\"\nset = [\"part.sm.front_end.perfect=true\"]\n\
             [grid]\n\"part.sm.count\" = [\"1\", \"2\"]\n\"part.cp.gpcs\" = [\"1\"]\n"
        );
        let plan = plan(&text).unwrap();
        assert_eq!((plan.baseline.as_str(), plan.axes.len(), plan.points.len()), ("a", 2, 4));
        let sets: Vec<String> = plan.points.iter().map(|point| point.sets.join(" ")).collect();
        assert_eq!(sets[1], "part.sm.front_end.perfect=true part.cp.gpcs=1 part.sm.count=1");
        let mut hashes: Vec<&str> = plan.points.iter().map(|point| point.config_hash.as_str()).collect();
        hashes.sort_unstable();
        hashes.dedup();
        assert_eq!(hashes.len(), 4, "every point is another run");
    }

    #[test]
    fn what_is_wrong_is_said_before_anything_runs() {
        let complaint = |more: &str| plan(&format!("{TWO}{more}")).unwrap_err();
        assert!(complaint("[grid]\n\"part.sm.cuont\" = [\"1\"]\n").contains("part.sm.cuont"));
        assert!(complaint("[[variant]]\nname = \"a\"\n[[variant]]\nname = \"a\"\n").contains("two variants"));
        assert!(complaint("baseline = \"b\"\n").contains("no variant is called `b`"));
        assert!(complaint("varaint = 1\n").contains("varaint"));
        assert!(plan("name = \"x\"\nmachines = []\nworkloads = []\n").unwrap_err().contains("nothing to run"));
        assert!(plan(&TWO.replace("vectoradd", "vectorad")).unwrap_err().contains("vectorad"));
    }
}
