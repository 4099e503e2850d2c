//! Kind `npu-fusemax`: attention on FuseMax's array, by formula. The event program of the same machine is compared with the
//! formula in `components/machine/tests/npu_fusemax.rs`; a row of a million keys has 10¹⁰ tiles.
//!
//! Metrics: `latency_s`, `dram_bytes`.

use npu::fusemax::program::FusedAttention;
use npu::fusemax::{FuseMaxSpec, closed};
use sim_core::Component;
use workloads::tensor::{Element, OperatorKind};

use super::npu_machines::machine;
use super::npu_operators::network;
use crate::runner::{CaseRunner, Measured, Request, RunError};
use crate::suite::Value;

/// Attention by formula.
pub struct NpuFuseMax;

impl CaseRunner for NpuFuseMax {
    fn kind(&self) -> &'static str {
        "npu-fusemax"
    }

    fn description(&self) -> &'static str {
        "attention fused on a spatial array, against the artifact of FuseMax"
    }

    fn run(&self, request: &Request<'_>) -> Result<Measured, RunError> {
        let file = machine(request.machine, request.overrides)?;
        let part = file.parts.iter().find(|part| part.kind == FusedAttention::KIND);
        let part = part.ok_or_else(|| RunError(format!("machine `{}` has no such array", request.machine)))?;
        let spec: FuseMaxSpec = part
            .read()
            .map_err(|errors| RunError(errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")))?;
        let graph = network(request.workload, Element::F16)?;
        let OperatorKind::Attention(attention) = &graph.operators[0].kind else {
            return Err(RunError(format!("`{}` is no attention", request.workload)));
        };
        let seconds = closed::cycles(&spec, attention) / file.clocks[part.clock].hertz as f64;
        let mut measured = Measured::from([("latency_s".to_owned(), Value::Number(seconds))]);
        if let Ok(bytes) = closed::dram_bytes(&spec, attention) {
            measured.insert("dram_bytes".into(), Value::Number(bytes as f64));
        }
        Ok(measured)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runner::Runners;
    use crate::suite::Suite;

    #[test]
    fn the_formula_is_that_of_the_artifact() {
        let suite = Suite::open("npu-fusemax").unwrap();
        let outcome = Runners::default().with(NpuFuseMax).validate(suite, &|_, _| {}).unwrap();
        assert!(outcome.passed(), "{}", crate::report::table(&outcome, true));
    }
}
