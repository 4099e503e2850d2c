//! Kind `gpu-microbench`: kernels that read the SM's clock, with values at issue, against published microbenchmarks.
//!
//! | column | |
//! |---|---|
//! | `machine`, `workload`, `overrides` | as of the kind `gpu-launch`; one launch |
//! | `metric` | a name of the suite's `[metric.NAME]`, which says what is made of the buffer `cycles` that the kernel leaves |
//!
//! | `[metric.NAME]` | |
//! |---|---|
//! | `clock`, `steps`, `times` | element of `cycles`, and the steps that it is over, times scalar arguments of the launch: cycles a step |
//! | `clock`, `instructions` | element of `cycles`, and the instructions of each thread that it is over: instructions of all threads of the block a cycle |
//! | `steps_apart = N` | of N steps' cycles: the mean of those above the middle of least and most, less that of the others |
//! | `bytes`, `times`, `per` | bytes, times scalar arguments of the launch, times blocks, from the first beginning to the last end that `cycles` has in pairs: `"second"`: GB/s at the SMs' clock, or `"cycle_and_block"`: bytes |

use std::collections::BTreeMap;

use machine::gpu::{GpuShape, GpuSimulation};
use serde::Deserialize;
use sim_core::Plan;
use workloads::sass::exec::Values;
use workloads::sass::launch::{ElementType, Value as Content};
use workloads::sass::{Launch, catalog};

use super::gpu_launch::{joined, launches_of, machine_file, wrong};
use crate::runner::{CaseRunner, Measured, Request, RunError};
use crate::suite::Value;

/// Runs kernels that measure.
pub struct GpuMicrobench;

#[derive(Deserialize)]
#[serde(untagged, deny_unknown_fields)]
enum Metric {
    Step {
        clock: usize,
        steps: f64,
        #[serde(default)]
        times: Vec<String>,
    },
    Instructions {
        clock: usize,
        instructions: f64,
    },
    Apart {
        steps_apart: usize,
    },
    Rate {
        bytes: f64,
        times: Vec<String>,
        per: Per,
    },
}

#[derive(Clone, Copy, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Per {
    Second,
    CycleAndBlock,
}

impl CaseRunner for GpuMicrobench {
    fn kind(&self) -> &'static str {
        "gpu-microbench"
    }

    fn description(&self) -> &'static str {
        "kernels that read the SM's clock, against published microbenchmarks"
    }

    fn run(&self, request: &Request<'_>) -> Result<Measured, RunError> {
        let table = request.suite.parameters.get("metric").cloned().unwrap_or(toml::Value::Table(toml::Table::new()));
        let metrics: BTreeMap<String, Metric> =
            table.try_into().map_err(|error: toml::de::Error| RunError(format!("[metric]: {}", error.message())))?;
        let (file, launches) = (machine_file(request)?, launches_of(request)?);
        let [launch] = launches.as_slice() else { return Err(RunError("one launch a case".into())) };
        let shape = GpuShape::of(&file).map_err(|errors| wrong(joined(&errors)))?;
        let kernel = catalog::kernel(&launch.kernel, &shape.sm.arch).map_err(wrong)?;
        let simulation = GpuSimulation::with_values(&file, &kernel, launch, Plan::serial(), Values::AtIssue);
        let simulation = simulation.map_err(wrong)?;
        let store = simulation.store();
        let result = simulation.run(&mut |_| {}).map_err(wrong)?;
        if result.check.is_some_and(|check| !check.passed()) {
            return Err(RunError(format!("{} computed something else than its reference", launch.kernel)));
        }
        let clocks = store.with_grid(|grid| grid.memory().buffer("cycles").map(|buffer| buffer.data.clone())).flatten();
        let (Some(bytes), Some(element)) = (clocks, element_of(launch)) else {
            return Err(RunError(format!("{} leaves no buffer `cycles`", launch.kernel)));
        };
        let clocks: Vec<f64> = bytes.chunks_exact(element.size_bytes()).map(|one| element.decode(one)).collect();
        let mut measured = Measured::new();
        for case in &request.cases {
            let metric = metrics.get(&case.metric).ok_or_else(|| {
                RunError(format!("the suite has no [metric.{}]; it has {}", case.metric, names(&metrics)))
            })?;
            let value = metric.of(&clocks, launch, shape.clock_hz as f64)?;
            measured.insert(case.metric.clone(), Value::Number(value));
        }
        Ok(measured)
    }
}

fn names(metrics: &BTreeMap<String, Metric>) -> String {
    metrics.keys().map(String::as_str).collect::<Vec<_>>().join(", ")
}

fn element_of(launch: &Launch) -> Option<ElementType> {
    launch.arguments.iter().find(|argument| argument.name == "cycles").map(|argument| argument.element)
}

fn scalar(launch: &Launch, name: &str) -> Result<f64, RunError> {
    let argument = launch.arguments.iter().find(|argument| argument.name == name);
    match argument.map(|argument| (argument.element, &argument.value)) {
        Some((element, Content::Scalar(bytes))) => Ok(element.decode(bytes)),
        _ => Err(RunError(format!("{} has no scalar `{name}`", launch.kernel))),
    }
}

/// Of scalar arguments.
fn product(launch: &Launch, names: &[String]) -> Result<f64, RunError> {
    names.iter().try_fold(1.0, |product, name| Ok(product * scalar(launch, name)?))
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

impl Metric {
    fn of(&self, clocks: &[f64], launch: &Launch, clock_hz: f64) -> Result<f64, RunError> {
        let least = match self {
            Self::Step { clock, .. } | Self::Instructions { clock, .. } => clock + 1,
            Self::Apart { steps_apart } => (*steps_apart).max(2),
            Self::Rate { .. } => 2,
        };
        if clocks.len() < least {
            return Err(RunError(format!("`cycles` has {} elements of {least}", clocks.len())));
        }
        Ok(match self {
            Self::Step { clock, steps, times } => clocks[*clock] / (steps * product(launch, times)?),
            Self::Instructions { clock, instructions } => {
                instructions * f64::from(launch.threads_per_block()) / clocks[*clock]
            }
            Self::Apart { steps_apart } => {
                let cycles = &clocks[..*steps_apart];
                let edge = |of: fn(f64, f64) -> f64| cycles.iter().copied().reduce(of).unwrap_or(0.0);
                let middle = (edge(f64::min) + edge(f64::max)) / 2.0;
                let (slow, fast): (Vec<f64>, Vec<f64>) = cycles.iter().partition(|&&cycles| cycles > middle);
                if fast.is_empty() || slow.is_empty() { 0.0 } else { mean(&slow) - mean(&fast) }
            }
            Self::Rate { bytes, times, per } => {
                let bytes_a_block = bytes * product(launch, times)?;
                let pairs = clocks.chunks_exact(2);
                let first = pairs.clone().map(|pair| pair[0]).fold(f64::INFINITY, f64::min);
                let last = pairs.map(|pair| pair[1]).fold(f64::NEG_INFINITY, f64::max);
                let bytes_a_cycle = bytes_a_block / (last - first);
                match per {
                    Per::CycleAndBlock => bytes_a_cycle,
                    Per::Second => bytes_a_cycle * launch.blocks() as f64 * clock_hz / 1e9,
                }
            }
        })
    }
}
