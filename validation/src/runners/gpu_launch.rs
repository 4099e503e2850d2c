//! Kind `gpu-launch`: kernels on a whole GPU, against measured kernel times.
//!
//! | column | |
//! |---|---|
//! | `machine` | a machine of `configs/gpu/`, or a name of the suite's `[machine.NAME]`: a `base` of `configs/gpu/` and what differs |
//! | `workload` | a program ([`program`]): launches `launches/NAME.toml` of the suite, or else shipped ones, which run one after the other or, divided by `\|`, side by side, and count together |
//! | `overrides` | `launch.KEY` as [`Launch::with`] takes it, for each launch that has such an argument; all others are the machine's |
//! | `metric` | `cycles` of the SMs' clock |
//!
//! The host copies all buffers to the device before the first launch; what they leave in the L2 is there, and so is what a
//! launch leaves for the next ([`Caches`](workloads::sass::launch::Caches)).

use std::collections::BTreeMap;

use include_dir::{Dir, include_dir};
use machine::gpu::{GpuShape, GpuSimulation};
use serde::Deserialize;
use sim_core::{MachineFile, Plan};
use workloads::sass::exec::Values;
use workloads::sass::launch::Argument;
use workloads::sass::{Launch, SassError, catalog, program};

use crate::runner::{CaseRunner, Measured, Request, RunError};
use crate::suite::{Case, Suite, Value};

static MACHINES: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../configs/gpu");

/// Runs launches on machines.
pub struct GpuLaunch;

/// A machine of the suite's own.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Variant {
    base: String,
    /// `key=value` as `--set` takes them.
    set: Vec<String>,
}

impl CaseRunner for GpuLaunch {
    fn kind(&self) -> &'static str {
        "gpu-launch"
    }

    fn description(&self) -> &'static str {
        "kernels on a whole GPU, against measured kernel times"
    }

    fn run(&self, request: &Request<'_>) -> Result<Measured, RunError> {
        let (file, launches) = (machine_file(request)?, launches_of(request)?);
        let cycles = cycles_of(&file, &launches)?;
        Ok(Measured::from([("cycles".to_owned(), Value::Number(cycles as f64))]))
    }
}

/// The measured case of a shipped suite that is this program on this machine, if there is one.
pub fn measured_launches(machine: &str, program: &[Launch]) -> Option<Case> {
    let what = |launch: &Launch| {
        let memory = |argument: &Argument| argument.value.memory().map(|_| argument.memory_name().to_owned());
        let passed = |argument: &Argument| (argument.element, argument.value.clone(), memory(argument));
        let arguments: Vec<_> = launch.arguments.iter().map(passed).collect();
        let shape = (launch.grid, launch.block, launch.dynamic_shared_bytes);
        (launch.kernel.clone(), launch.stream, shape, launch.caches, arguments)
    };
    let asked: Vec<_> = program.iter().map(what).collect();
    let suites = Suite::shipped_names().into_iter().filter_map(|name| Suite::open(&name).ok());
    for suite in suites.filter(|suite| suite.kind == GpuLaunch.kind()) {
        // Most rows are of other kernels: each workload is looked at once.
        let mut is_of_these = BTreeMap::new();
        for case in suite.cases.iter().filter(|case| case.machine == machine && case.metric == "cycles") {
            let of_these = is_of_these.entry(&case.workload).or_insert_with(|| {
                let kernels = |launches: &[Launch]| launches.iter().map(|l| l.kernel.clone()).collect::<Vec<_>>();
                launches(&suite, &case.workload, &[]).is_ok_and(|launches| kernels(&launches) == kernels(program))
            });
            if !*of_these {
                continue;
            }
            let changes = case
                .overrides
                .iter()
                .map(|(key, value)| Some((key.strip_prefix("launch.")?.to_owned(), value.clone())));
            let Some(changes) = changes.collect::<Option<Vec<_>>>() else { continue };
            let Ok(launches) = launches(&suite, &case.workload, &changes) else { continue };
            if launches.len() == asked.len() && launches.iter().map(what).eq(asked.iter().cloned()) {
                return Some(case.clone());
            }
        }
    }
    None
}

pub(super) fn wrong(error: impl std::fmt::Display) -> RunError {
    RunError(error.to_string())
}

/// An override of launches, without its prefix; `None` for the machine's.
fn of_launch((key, value): &(String, String)) -> Option<(String, String)> {
    Some((key.strip_prefix("launch.")?.to_owned(), value.clone()))
}

/// The launches of a request, changed as its overrides say.
pub(super) fn launches_of(request: &Request<'_>) -> Result<Vec<Launch>, RunError> {
    let changes: Vec<_> = request.overrides.iter().filter_map(of_launch).collect();
    launches(request.suite, request.workload, &changes).map_err(wrong)
}

/// The launches that a workload names, changed. A change must fit at least one of them.
fn launches(suite: &Suite, workload: &str, changes: &[(String, String)]) -> Result<Vec<Launch>, SassError> {
    let steps = program::parse(workload)?;
    let mut launches = Vec::new();
    for step in &steps {
        launches.push(launch(suite, &step.launch)?.in_stream(step.stream));
    }
    for (key, value) in changes {
        let takes = |launch: &Launch| match key.strip_prefix("arg.") {
            Some(name) => launch.arguments.iter().any(|argument| argument.name == name),
            None => true,
        };
        let nobody = !launches.iter().any(takes);
        for launch in launches.iter_mut().filter(|launch| nobody || takes(launch)) {
            *launch = launch.clone().with(key, value)?;
        }
    }
    for (launch, step) in launches.iter_mut().zip(steps) {
        for (key, value) in step.changes {
            *launch = launch.clone().with(&key, &value)?;
        }
    }
    Ok(launches)
}

fn launch(suite: &Suite, name: &str) -> Result<Launch, SassError> {
    let file = format!("launches/{name}.toml");
    match suite.attachment(&file).map(std::str::from_utf8) {
        Some(Ok(text)) => Launch::parse(&file, text, None),
        Some(Err(_)) => Err(SassError::new(&file, 0, "is not UTF-8 text", "a launch file")),
        None => catalog::launch(name),
    }
}

fn cycles_of(file: &MachineFile, launches: &[Launch]) -> Result<u64, RunError> {
    let shape = GpuShape::of(file).map_err(|errors| wrong(joined(&errors)))?;
    let kernel = |launch: &Launch| catalog::kernel(&launch.kernel, &shape.sm.arch).map_err(wrong);
    let kernels = launches.iter().map(kernel).collect::<Result<Vec<_>, _>>()?;
    let program: Vec<_> = kernels.iter().zip(launches).collect();
    let simulation = GpuSimulation::of_launches(file, &program, Plan::serial(), Values::Ahead).map_err(wrong)?;
    Ok(simulation.run(&mut |_| {}).map_err(wrong)?.cycles)
}

/// The machine of a request, with the overrides that are no launch's.
pub(super) fn machine_file(request: &Request<'_>) -> Result<MachineFile, RunError> {
    let sets = request.overrides.iter().filter(|pair| of_launch(pair).is_none());
    let sets = sets.map(|(key, value)| format!("{key}={value}")).collect();
    let variants = request.suite.parameters.get("machine").cloned();
    let variants: BTreeMap<String, Variant> = match variants {
        Some(table) => table.try_into().map_err(|error: toml::de::Error| wrong(error.message()))?,
        None => BTreeMap::new(),
    };
    let (name, all) = match variants.get(request.machine) {
        Some(variant) => (variant.base.as_str(), [variant.set.clone(), sets].concat()),
        None => (request.machine, sets),
    };
    let mut embedded = |asked: &str, _: Option<&str>| {
        let file = MACHINES.get_file(asked).and_then(|file| file.contents_utf8());
        // What a base names is relative to it.
        let file = file.or_else(|| MACHINES.get_file(format!("base/{asked}"))?.contents_utf8());
        Ok((asked.to_owned(), file.ok_or("configs/gpu has no such file")?.to_owned()))
    };
    MachineFile::load(&format!("{name}.toml"), &mut embedded, &all)
        .map_err(|errors| RunError(format!("machine `{name}`: {}", joined(&errors))))
}

pub(super) fn joined(errors: &[impl std::fmt::Display]) -> String {
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runner::Runners;

    /// The whole suite takes minutes. The small grids of every tenth case hold the bound of the suite by themselves.
    #[test]
    fn small_launches_hold_the_bound() {
        let mut suite = Suite::open("gpu-h100-launch").unwrap();
        suite.cases.retain(|case| case.value.number().is_some_and(|cycles| cycles < 8000.0));
        suite.cases = suite.cases.into_iter().step_by(10).collect();
        assert!(suite.cases.len() > 20);
        let outcome = Runners::default().with(GpuLaunch).validate(suite, &|_, _| {}).unwrap();
        assert!(outcome.passed(), "{}", crate::report::table(&outcome, true));
    }

    /// Each launch of the suites is read, and takes what the rows give it.
    #[test]
    fn every_row_fits_its_launches() {
        for name in ["gpu-h100-launch", "gpu-h100"] {
            let suite = Suite::open(name).unwrap();
            for case in &suite.cases {
                let changes = case.overrides.iter().map(|(key, value)| {
                    let key = key.strip_prefix("launch.").expect("rows change launches only");
                    (key.to_owned(), value.clone())
                });
                for launch in launches(&suite, &case.workload, &changes.collect::<Vec<_>>()).unwrap() {
                    launch.fit(&catalog::kernel(&launch.kernel, "sm_90").unwrap()).unwrap();
                }
            }
        }
    }

    #[test]
    fn a_measured_launch_is_found() {
        let launch = catalog::launch("vectoradd").unwrap();
        let sizes = ["a", "b", "c", "n"].map(|name| (format!("arg.{name}"), "16384"));
        let geometry = [("grid".to_owned(), "64"), ("block".to_owned(), "256")];
        let changes = geometry.into_iter().chain(sizes);
        let launch = changes.fold(launch, |launch, (key, value)| launch.with(&key, value).unwrap());
        let found = |machine: &str, launch: &Launch| measured_launches(machine, std::slice::from_ref(launch));
        assert_eq!(found("h100-pcie", &launch).unwrap().case, "vectoradd.16384");
        assert_eq!(found("h100-sxm", &launch), None);
        let other = launch.with("grid", "65").unwrap();
        assert_eq!(found("h100-pcie", &other), None);
    }

    #[test]
    fn a_change_that_no_launch_takes_is_refused() {
        let suite = Suite::open("gpu-h100").unwrap();
        let change = |key: &str, value: &str| {
            launches(&suite, "matvec-rows + gesummv", &[(key.into(), value.into())]).map_err(|error| error.to_string())
        };
        assert_eq!(change("block", "32x2").unwrap()[1].block, [32, 2, 1]);
        let only_one = change("arg.alpha", "2.5").unwrap();
        assert_ne!(only_one[1], launch(&suite, "gesummv").unwrap());
        assert_eq!(only_one[0], launch(&suite, "matvec-rows").unwrap());
        for (key, value) in [("arg.m", "3"), ("arg.n", "3.5"), ("arg.A", "0"), ("grid", "1x2x3x4"), ("warps", "4")] {
            assert!(change(key, value).unwrap_err().contains(key), "{key}={value}");
        }
    }
}
