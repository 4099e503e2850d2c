//! `orrery plot`: figures from results.

use std::path::Path;

use serde::Deserialize;
use validation::plot::{Bar, Bars};

use crate::cli::{Common, PlotArgs, Plotted};
use crate::failure::{Complaint, Failure};
use crate::output::print;

/// What a figure of speed-ups needs of `results.json`.
#[derive(Deserialize)]
struct Results {
    sweep: String,
    description: String,
    baseline: String,
    speedup: Vec<Variant>,
}

#[derive(Deserialize)]
struct Variant {
    variant: String,
    group: String,
    geometric_mean: f64,
    each: std::collections::BTreeMap<String, f64>,
    published: Option<f64>,
}

/// Draws one figure in both formats, beside the results or in the folder of `--out`.
pub fn run(args: &PlotArgs, common: &Common) -> Result<(), Failure> {
    let path = args.results.display();
    let text = std::fs::read_to_string(&args.results).map_err(|error| {
        Complaint::new(format!("{path} cannot be read: {error}")).help("`orrery sweep run` writes it")
    })?;
    let results: Results = serde_json::from_str(&text).map_err(|error| {
        Complaint::new(format!("{path}: {error}")).help("results.json, as `orrery sweep run` writes it")
    })?;
    let Plotted::Speedup = args.what;
    let bars: Vec<Bar> = results
        .speedup
        .iter()
        .map(|variant| Bar {
            name: &variant.variant,
            group: &variant.group,
            value: variant.geometric_mean,
            each: variant.each.values().copied().collect(),
            published: variant.published,
        })
        .collect();
    let title = if results.description.is_empty() { &results.sweep } else { &results.description };
    let figure = Bars { title, value_label: &format!("speed-up over {}", results.baseline), bars: &bars };
    let folder = common.out.as_deref().or(args.results.parent()).unwrap_or(Path::new("."));
    for name in ["speedup.svg", "speedup.png"] {
        let file = folder.join(name);
        figure.write(&file).map_err(|error| Complaint::new(error.to_string()))?;
        print(&format!("wrote {}\n", file.display()));
    }
    Ok(())
}
