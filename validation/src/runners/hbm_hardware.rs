//! Kind `hbm-hardware`: one HBM channel under the native controller, against measured memory systems.
//!
//! | metric | `workload` | `overrides` |
//! |---|---|---|
//! | `share_of_peak` | a stream with its parameters | `peak_gb_per_s`: the peak that the measured share is of |
//! | `idle_latency` | `idle hit`, `idle closed`, `idle conflict` | |
//! | `loaded_latency` | `lines=BYTES load=GB/s` | |
//!
//! What lies outside the channel is a constant of the suite (`[outside]`), as are the properties of the load (`[load]`).

use hbm::hardware::{LineLoad, RowState, idle_latency_ns, loaded_latency_ns, stream_share_of_peak};
use hbm::native::Policy;
use serde::Deserialize;

use super::memory_preset::preset;
use crate::runner::{CaseRunner, Measured, Request, RunError};
use crate::suite::Value;

/// Repeats experiments that were made on real memories.
pub struct HbmHardware;

/// The tables of `suite.toml` that the runner reads.
#[derive(Deserialize)]
struct Parameters {
    outside: Outside,
    load: Load,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Outside {
    idle_ns: f64,
    loaded_ns: f64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Load {
    lines_together: u32,
    streams: u32,
    lines: u64,
}

impl CaseRunner for HbmHardware {
    fn kind(&self) -> &'static str {
        "hbm-hardware"
    }

    fn description(&self) -> &'static str {
        "streams and cache lines through an HBM channel, against measured memory systems"
    }

    fn run(&self, request: &Request<'_>) -> Result<Measured, RunError> {
        let wrong = |why: &dyn std::fmt::Display| RunError(why.to_string());
        let preset = preset(request.machine)?;
        let parameters: Parameters =
            request.suite.parameters.clone().try_into().map_err(|error: toml::de::Error| wrong(&error.message()))?;
        let words: Vec<&str> = request.workload.split_whitespace().collect();
        let (metric, value) = match words[..] {
            ["idle", state] => {
                let state = match state {
                    "hit" => RowState::Hit,
                    "closed" => RowState::Closed,
                    "conflict" => RowState::Conflict,
                    other => return Err(wrong(&format!("`{other}` is none of hit, closed, conflict"))),
                };
                let inside = idle_latency_ns(&preset, state).map_err(|error| wrong(&error))?;
                ("idle_latency", inside + parameters.outside.idle_ns)
            }
            [lines, load] if lines.starts_with("lines=") => {
                let number = |word: &str, key: &str| word.strip_prefix(key).and_then(|value| value.parse::<f64>().ok());
                let (Some(bytes), Some(gb_per_s)) = (number(lines, "lines="), number(load, "load=")) else {
                    return Err(wrong(&format!("`{}` is not of the form lines=BYTES load=GB/s", request.workload)));
                };
                let Load { lines_together, streams, lines } = parameters.load;
                let load = LineLoad { gb_per_s, line_bytes: bytes as u32, lines_together, streams, lines };
                let inside = loaded_latency_ns(&preset, &Policy::default(), &load).map_err(|error| wrong(&error))?;
                ("loaded_latency", inside + parameters.outside.loaded_ns)
            }
            _ => {
                let workload = request.workload.parse().map_err(|error: hbm::workload::WorkloadError| wrong(&error))?;
                let share = stream_share_of_peak(&preset, &Policy::default(), &workload, ());
                let (share, ()) = share.map_err(|error| wrong(&error))?;
                // The measured share is of the peak on the data sheet, which is rounded.
                ("share_of_peak", 100.0 * share * preset.peak_gb_per_s() / stated_peak_gb_per_s(request)?)
            }
        };
        Ok(Measured::from([(metric.to_string(), Value::Number(value))]))
    }
}

fn stated_peak_gb_per_s(request: &Request<'_>) -> Result<f64, RunError> {
    let stated = match request.overrides {
        [(key, value)] if key == "peak_gb_per_s" => value.parse().ok(),
        _ => None,
    };
    stated.ok_or_else(|| RunError("the overrides of a stream are `peak_gb_per_s=NUMBER`".to_string()))
}

#[cfg(test)]
mod tests {
    use crate::suite::Suite;

    #[test]
    fn all_cases_are_within_their_uncertainty() {
        let outcome = crate::runners::all().validate(Suite::open("hbm-hardware").unwrap(), &|_, _| {}).unwrap();
        assert!(outcome.rows.iter().all(|row| row.within == Some(true)), "{}", crate::report::table(&outcome, true));
        assert!(outcome.passed());
    }
}
