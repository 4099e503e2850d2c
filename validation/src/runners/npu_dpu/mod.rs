//! Kind `npu-dpu`: single workloads of a MAC array, against the vendor's cycle counts.
//!
//! `machine` is a tile-based NPU of `configs/npu/`; `workload` is an operation and an element type followed by `in=WxHxC out=WxHxC
//! k=WxH s=WxH pad=TOP/BOTTOM/LEFT/RIGHT mode=16x16 out_tiles=N` and, where weights are sparse, `wt_sparsity=SHARE`. The metric
//! is `cycles`. The constants of the laws are those that [`fit`] finds in the rows of the fit split: a test says so.

#[cfg(test)]
mod fit;

use machine::npu_tiled::tiled_spec;
use npu::tiled::TiledSpec;
use npu::tiled::cost::dpu;
use workloads::tensor::{Task, TaskList, Variant, Work};

use super::npu_machines::machine;
use crate::runner::{CaseRunner, Measured, Request, RunError};
use crate::suite::Value;

/// Costs workloads.
pub struct NpuDpu;

impl CaseRunner for NpuDpu {
    fn kind(&self) -> &'static str {
        "npu-dpu"
    }

    fn description(&self) -> &'static str {
        "single workloads of an NPU's MAC array, against the vendor's cycle counts"
    }

    fn run(&self, request: &Request<'_>) -> Result<Measured, RunError> {
        let spec = spec(request.machine, request.overrides)?;
        let cycles = dpu::cycles(&variant(request.workload)?, &spec);
        Ok(Measured::from([("cycles".to_owned(), Value::Number(cycles as f64))]))
    }
}

fn spec(name: &str, overrides: &[(String, String)]) -> Result<TiledSpec, RunError> {
    let file = machine(name, overrides)?;
    let joined = |errors: Vec<sim_core::ConfigError>| {
        RunError(errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))
    };
    let spec = tiled_spec(&file).map_err(joined)?;
    spec.ok_or_else(|| RunError(format!("machine `{name}` is no tile-based NPU")))
}

/// A workload as the suite writes it.
fn variant(text: &str) -> Result<Variant, RunError> {
    let wrong = |why: String| RunError(format!("`{text}`: {why}"));
    let mut words = text.split_whitespace();
    let (Some(op), Some(element)) = (words.next(), words.next()) else {
        return Err(wrong("should begin with an operation and an element type".to_owned()));
    };
    let mut object = serde_json::Map::new();
    object.insert("op".to_owned(), op.into());
    object.insert("dtype".to_owned(), element.into());
    for word in words {
        let Some((key, value)) = word.split_once('=') else {
            return Err(wrong(format!("`{word}` is not of the form KEY=VALUE")));
        };
        let numbers = |separator: char| -> Option<serde_json::Value> {
            value
                .split(separator)
                .map(|number| number.parse::<u64>().ok())
                .collect::<Option<Vec<u64>>>()
                .map(Into::into)
        };
        let value = match key {
            "mode" => Some(value.into()),
            "wt_sparsity" => value.parse::<f64>().ok().map(Into::into),
            "out_tiles" => value.parse::<u64>().ok().map(Into::into),
            "pad" => numbers('/'),
            _ => numbers('x'),
        };
        object.insert(key.to_owned(), value.ok_or_else(|| wrong(format!("`{word}` is no number")))?);
    }
    let variant: Variant = serde_json::from_value(object.into()).map_err(|error| wrong(error.to_string()))?;
    // What the reader of task lists refuses is refused here too.
    let task = Task::new(0, Work::Dpu { tile: 0, variants: vec![variant.clone()] });
    TaskList::new(text, vec![task]).map_err(|error| wrong(error.message))?;
    Ok(variant)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::Row;
    use crate::suite::{Split, Suite};

    fn mean_error_percent<'r>(rows: impl Iterator<Item = &'r Row>) -> f64 {
        let errors: Vec<f64> = rows.map(|row| row.error_percent().unwrap().abs()).collect();
        assert!(!errors.is_empty());
        errors.iter().sum::<f64>() / errors.len() as f64
    }

    /// What is asked: depthwise within 4 %, convolutions within 10 %, on rows that no constant was fitted to.
    #[test]
    fn test_rows_are_met_on_average() {
        let suite = Suite::open("npu-dpu").unwrap();
        let outcome = crate::runners::all().validate(suite, &|_, _| {}).unwrap();
        assert!(outcome.passed(), "{}", crate::report::table(&outcome, true));
        for (operation, bound) in [("depthwise", 4.0), ("conv", 10.0)] {
            for machine in ["npu-2.7", "npu-4"] {
                let of = |row: &&Row| row.case.case.starts_with(operation) && row.case.machine == machine;
                let rows = || outcome.rows.iter().filter(of);
                let test = mean_error_percent(rows().filter(|row| row.case.split == Split::Test));
                let fit = mean_error_percent(rows().filter(|row| row.case.split == Split::Fit));
                println!("{operation} on {machine}: fit {fit:.2} %, test {test:.2} %");
                assert!(test <= bound, "{operation} on {machine}: {test}");
            }
        }
    }

    /// Facts that the specification of the laws pins: a stripe of 16 channels costs nearly as much as one of 32.
    #[test]
    fn narrow_stripes_cost_nearly_as_much_as_wide_ones() {
        let spec = spec("npu-2.7", &[]).unwrap();
        let cycles = |channels: u32, pad: &str| {
            let text = format!(
                "depthwise u8 in=56x15x{channels} out=56x14x{channels} k=3x3 s=1x1 pad={pad} mode=16x16 out_tiles=1"
            );
            dpu::cycles(&variant(&text).unwrap(), &spec) as f64
        };
        for (channels, pad, measured) in
            [(64, "0/1/1/1", 6298.0), (32, "0/1/1/1", 3134.0), (32, "1/0/1/1", 3014.0), (16, "1/0/1/1", 2754.0)]
        {
            let ours = cycles(channels, pad);
            assert!((ours / measured - 1.0).abs() < 0.08, "{channels} channels, {pad}: {ours} for {measured}");
        }
    }

    #[test]
    fn a_wrong_workload_is_refused() {
        for text in [
            "conv",
            "gemm u8 in=1x1x1 out=1x1x1",
            "conv u8 in=1x1 out=1x1x1",
            "conv u8 in=1x1x1 out=2x1x1",
            "conv u8 in=1x1x1 out=1x1x1 mode=3x3",
            "conv u8 in out",
        ] {
            assert!(variant(text).is_err(), "{text}");
        }
    }
}
