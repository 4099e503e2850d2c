//! Kind `npu-systolic`: one operator on a systolic NPU of `configs/npu/`.
//!
//! Workloads are those of [`super::npu_operators`]; several, joined by `+`, share the machine. Metrics: `cycles`, `us`, `ifmap_reads`, `filter_reads`, `ofmap_writes`
//! (elements between array and buffers), `dram_read_bytes`, `dram_write_bytes`. Of arrays with streaming weights also the counters
//! of the TPU's paper, in percent of the cycles: `array_active`, `useful_macs` and `unused_macs` (which sum to it), `weight_stall`,
//! `weight_shift`, `non_matrix` (all else), of that `raw_stall` and `input_stall`; and `tops`.
//! `[operands] element = "f16"` in `suite.toml` gives the type of all operands; without it they are bytes.

use machine::npu_systolic::{SystolicResult, SystolicSimulation};
use npu::systolic::streaming::ARRAY_STATES;
use serde::Deserialize;
use sim_core::Plan;
use workloads::tensor::Element;

use super::npu_machines::machine;
use super::npu_operators::of_suite;
use crate::runner::{CaseRunner, Measured, Request, RunError};
use crate::suite::Value;

/// Runs operators on systolic arrays.
pub struct NpuSystolic;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Operands {
    element: Element,
}

impl CaseRunner for NpuSystolic {
    fn kind(&self) -> &'static str {
        "npu-systolic"
    }

    fn description(&self) -> &'static str {
        "operators on systolic NPUs, against other simulators, RTL and chips"
    }

    fn run(&self, request: &Request<'_>) -> Result<Measured, RunError> {
        let file = machine(request.machine, request.overrides)?;
        let element = match request.suite.parameters.get("operands") {
            Some(table) => {
                let operands: Operands =
                    table.clone().try_into().map_err(|error: toml::de::Error| RunError(error.message().to_owned()))?;
                operands.element
            }
            None => Element::I8,
        };
        let networks: Vec<_> = request
            .workload
            .split('+')
            .map(|one| of_suite(request.suite, one.trim(), element))
            .collect::<Result<_, _>>()?;
        let wrong = |error: machine::npu_systolic::SystolicError| RunError(error.to_string());
        let simulation = SystolicSimulation::new(&file, &networks, Plan::serial()).map_err(wrong)?;
        Ok(measured(&simulation.run(&mut |_| {}).map_err(wrong)?))
    }
}

fn measured(result: &SystolicResult) -> Measured {
    let sum = |of: fn(&npu::systolic::report::LayerResult) -> u64| result.layers.iter().map(of).sum::<u64>() as f64;
    [
        ("cycles", result.cycles as f64),
        ("us", result.cycles as f64 / result.clock_hz as f64 * 1e6),
        ("ifmap_reads", sum(|layer| layer.sram.ifmap_reads)),
        ("filter_reads", sum(|layer| layer.sram.filter_reads)),
        ("ofmap_writes", sum(|layer| layer.sram.ofmap_writes)),
        ("dram_read_bytes", sum(|layer| layer.dram_read_bytes)),
        ("dram_write_bytes", sum(|layer| layer.dram_write_bytes)),
    ]
    .into_iter()
    .chain(counters(result))
    .map(|(name, value)| (name.to_owned(), Value::Number(value)))
    .collect()
}

/// What the array of a machine with streaming weights did; empty for others.
fn counters(result: &SystolicResult) -> Vec<(&'static str, f64)> {
    let Some(array) = &result.array else { return Vec::new() };
    let share = |cycles: f64| 100.0 * cycles / result.cycles as f64;
    let percent = |of: &[&str]| {
        let states = ARRAY_STATES.iter().zip(array.states).filter(|(name, _)| of.contains(name));
        share(states.map(|(_, cycles)| cycles).sum::<u64>() as f64)
    };
    let macs = result.layers.iter().map(|layer| layer.macs).sum::<u64>() as f64;
    let (active, useful) = (percent(&["active"]), share(array.useful));
    vec![
        ("array_active", active),
        ("useful_macs", useful),
        ("unused_macs", active - useful),
        ("weight_stall", percent(&["weight_stall"])),
        ("weight_shift", percent(&["weight_shift"])),
        ("non_matrix", percent(&["operands", "input", "output"])),
        ("raw_stall", percent(&["operands"])),
        ("input_stall", percent(&["input"])),
        ("tops", 2.0 * macs * result.clock_hz as f64 / result.cycles as f64 / 1e12),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runner::Runners;
    use crate::suite::Suite;

    #[test]
    fn the_closed_forms_are_those_of_scale_sim() {
        let outcome =
            Runners::default().with(NpuSystolic).validate(Suite::open("npu-scalesim").unwrap(), &|_, _| {}).unwrap();
        assert!(outcome.passed(), "{}", crate::report::table(&outcome, true));
    }

    /// The products of a few hundred thousand requests take seconds each; those of the small ones show the same.
    #[test]
    fn small_operators_are_as_in_onnxim() {
        let mut suite = Suite::open("npu-onnxim").unwrap();
        suite.cases.retain(|case| case.value.number().is_some_and(|cycles| cycles < 200_000.0));
        assert!(suite.cases.len() > 10);
        let outcome = Runners::default().with(NpuSystolic).validate(suite, &|_, _| {}).unwrap();
        assert!(outcome.passed(), "{}", crate::report::table(&outcome, true));
    }

    /// The share of active cycles of four production networks; the other counters are shown only, but each has a value.
    #[test]
    fn the_first_tpu_is_within_the_bound() {
        let suite = Suite::open("npu-tpu-v1").unwrap();
        let outcome = Runners::default().with(NpuSystolic).validate(suite, &|_, _| {}).unwrap();
        assert!(outcome.passed(), "{}", crate::report::table(&outcome, true));
        assert_eq!(outcome.summary.cases, 4);
    }

    #[test]
    fn rtl_is_within_the_bound_and_bytes_are_exact() {
        let suite = Suite::open("npu-rtl").unwrap();
        let outcome = Runners::default().with(NpuSystolic).validate(suite, &|_, _| {}).unwrap();
        assert!(outcome.passed(), "{}", crate::report::table(&outcome, true));
        let bytes: Vec<_> = outcome.rows.iter().filter(|row| row.case.unit == "bytes").collect();
        assert_eq!(bytes.len(), 18);
        assert!(bytes.iter().all(|row| row.error_percent() == Some(0.0)));
    }

    #[test]
    fn a_workload_says_what_is_wrong_with_it() {
        let message = |workload: &str| super::super::npu_operators::network(workload, Element::I8).unwrap_err().0;
        assert!(message("gemm m=1 n=2").contains("no size `k`"));
        assert!(message("gemm m=1 n=2 k=x").contains("k=x"));
        assert!(message("gemm m=1 n=2 k=3 q=4").contains("no size `q`"));
        assert!(message("fft n=4").contains("gemm, conv"));
    }
}
