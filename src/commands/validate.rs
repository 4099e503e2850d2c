//! `orrery validate`: how far our numbers are from the references.

use serde_json::Value;
use validation::outcome::Outcome;
use validation::report::{table, write_page};
use validation::suite::Suite;

use crate::cli::{Common, ValidateArgs};
use crate::failure::{Complaint, Failure};
use crate::output::{Progress, print, print_json};

/// Runs the suites one after the other; fails if one is outside its bound.
pub fn run(args: &ValidateArgs, common: &Common) -> Result<(), Failure> {
    let names = if args.suites.is_empty() { Suite::shipped_names() } else { args.suites.clone() };
    let suites = names.iter().map(|name| Suite::open(name)).collect::<Result<Vec<_>, _>>()?;
    let runners = validation::runners::all();
    let mut outcomes = Vec::new();
    for suite in suites {
        let progress = Progress::of_suite(common.quiet, &suite.name);
        let outcome = runners.validate(suite, &|done, total| progress.set(done as u64, total as u64));
        progress.finish();
        let outcome = outcome.map_err(|error| Complaint::new(error.to_string()))?;
        if !common.json {
            print(&format!("{}\n", table(&outcome, args.all)));
        }
        if let Some(folder) = &args.update_report {
            let written = write_page(&outcome, folder).map_err(|error| Failure::cannot_write(folder, &error))?;
            if !common.json {
                written.iter().for_each(|path| print(&format!("wrote {}\n", path.display())));
            }
        }
        outcomes.push(outcome);
    }
    if common.json {
        print_json(&Value::Array(outcomes.iter().map(Outcome::to_json).collect()));
    }
    if outcomes.iter().all(Outcome::passed) { Ok(()) } else { Err(Failure::Check) }
}
