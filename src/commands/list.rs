//! `orrery list`: what ships with orrery, a line each.

use hbm::generator::streams;
use serde_json::{Map, Value, json};
use validation::suite::Suite;
use workloads::sass::catalog as sass;

use crate::catalog;
use crate::cli::{Common, ListArgs, Listed};
use crate::failure::Failure;
use crate::memory;
use crate::npu;
use crate::output::{print, print_json};

/// Name and one line about it.
type Line = (String, String);

/// Prints one kind, or all with headings.
pub fn run(args: &ListArgs, common: &Common) -> Result<(), Failure> {
    let all = [Listed::Machines, Listed::Workloads, Listed::Suites, Listed::Sweeps, Listed::Components];
    let wanted: Vec<Listed> = all.into_iter().filter(|kind| args.what.is_none_or(|what| what == *kind)).collect();
    let mut document = Map::new();
    let mut text = String::new();
    for kind in &wanted {
        let (heading, lines) = (heading(*kind), lines(*kind)?);
        let width = lines.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
        if wanted.len() > 1 {
            text.push_str(&format!("{}{heading}\n", if text.is_empty() { "" } else { "\n" }));
        }
        for (name, about) in &lines {
            text.push_str(format!("  {name:<width$}  {about}").trim_end());
            text.push('\n');
        }
        let entries = lines.into_iter().map(|(name, about)| json!({"name": name, "description": about}));
        document.insert(heading.to_string(), Value::Array(entries.collect()));
    }
    if common.json {
        print_json(&Value::Object(document))
    } else {
        print(&text)
    }
    Ok(())
}

fn heading(kind: Listed) -> &'static str {
    match kind {
        Listed::Machines => "machines",
        Listed::Workloads => "workloads",
        Listed::Suites => "suites",
        Listed::Sweeps => "sweeps",
        Listed::Components => "components",
    }
}

fn lines(kind: Listed) -> Result<Vec<Line>, Failure> {
    match kind {
        Listed::Machines => {
            let about = |machine: catalog::ShippedMachine| {
                let file = catalog::machine(&machine.name, &[])?;
                Ok((machine.name, catalog::text_of(&file, "description").to_string()))
            };
            let memories = memory::memories().into_iter().map(|(name, about)| Ok((name.to_string(), about)));
            catalog::machines().into_iter().map(about).chain(memories).collect()
        }
        Listed::Workloads => {
            let about = |name: String| {
                let launch = catalog::launch(&name)?;
                Ok((name, launch.description))
            };
            let stream = |(name, about): (&str, &str)| Ok((name.to_string(), format!("on a memory: {about}")));
            let networks = npu::workloads().into_iter().map(Ok);
            sass::launch_names().into_iter().map(about).chain(streams().map(stream)).chain(networks).collect()
        }
        Listed::Suites => {
            let about = |name: String| {
                let suite = Suite::open(&name)?;
                Ok((name, format!("{} ({} cases)", suite.title, suite.cases.len())))
            };
            Suite::shipped_names().into_iter().map(about).collect()
        }
        Listed::Sweeps => {
            let about = |name: String| {
                let document = catalog::sweep(&name)?;
                let about = document.root().get("description").and_then(|node| node.as_str()).unwrap_or("").to_string();
                Ok((name, about))
            };
            catalog::sweeps().into_iter().map(about).collect()
        }
        Listed::Components => {
            Ok(machine::kinds().descriptions().map(|(kind, about)| (kind.to_string(), about.to_string())).collect())
        }
    }
}
