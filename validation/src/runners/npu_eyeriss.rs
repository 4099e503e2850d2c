//! Kind `npu-eyeriss`: layers on Eyeriss under the mappings that the chip was configured with.
//!
//! A workload is `map e=E n=N p=P q=Q r=R t=T : conv …`, the operator as in [`super::npu_operators`]; the chip is the table `[chip]` of
//! `suite.toml`. Metrics: `active_pes`, `processing_ms`, `buffer_mb`, `dram_mb` (10⁶ bytes, without run-length coding).

use npu::eyeriss::{EyerissSpec, Mapping};
use workloads::tensor::{Element, OperatorKind};

use super::npu_operators::{Sizes, network};
use crate::runner::{CaseRunner, Measured, Request, RunError};
use crate::suite::Value;

/// Runs layers on Eyeriss.
pub struct NpuEyeriss;

impl CaseRunner for NpuEyeriss {
    fn kind(&self) -> &'static str {
        "npu-eyeriss"
    }

    fn description(&self) -> &'static str {
        "convolutions on Eyeriss under given mappings, against the chip"
    }

    fn run(&self, request: &Request<'_>) -> Result<Measured, RunError> {
        let chip = request.suite.parameters.get("chip").cloned();
        let chip = chip.ok_or_else(|| RunError("the suite has no table `[chip]`".into()))?;
        let chip: EyerissSpec =
            chip.try_into().map_err(|error: toml::de::Error| RunError(format!("[chip]: {}", error.message())))?;
        let form = || RunError(format!("`{}` is not of the form `map e=13 … : conv …`", request.workload));
        let (map, operator) = request.workload.split_once(':').ok_or_else(form)?;
        let ("map", mut sizes) = Sizes::new(map.trim())? else { return Err(form()) };
        let mut take = |key| sizes.take(key);
        let (e, n, p, q) = (take("e")?, take("n")?, take("p")?, take("q")?);
        let mapping = Mapping { e, n, p, q, r: take("r")?, t: take("t")? };
        sizes.end()?;
        let graph = network(operator.trim(), Element::I16)?;
        let OperatorKind::Convolution(convolution) = &graph.operators[0].kind else { return Err(form()) };
        let layer = mapping.run(&chip, convolution).map_err(RunError)?;
        let measured = [
            ("active_pes", layer.active_elements as f64),
            ("processing_ms", layer.cycles as f64 / chip.mhz / 1e3),
            ("buffer_mb", layer.buffer_bytes as f64 / 1e6),
            ("dram_mb", layer.dram_bytes as f64 / 1e6),
        ];
        Ok(measured.into_iter().map(|(name, value)| (name.to_owned(), Value::Number(value))).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runner::Runners;
    use crate::suite::Suite;

    #[test]
    fn layers_are_within_the_bound_and_elements_exact() {
        let suite = Suite::open("npu-eyeriss").unwrap();
        let outcome = Runners::default().with(NpuEyeriss).validate(suite, &|_, _| {}).unwrap();
        assert!(outcome.passed(), "{}", crate::report::table(&outcome, true));
        let elements = outcome.rows.iter().filter(|row| row.case.metric == "active_pes");
        assert!(elements.map(|row| row.error_percent()).all(|error| error == Some(0.0)));
    }
}
