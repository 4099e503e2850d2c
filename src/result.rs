//! What a run gave: the model behind the report on the screen and behind `run --json`.

use serde_json::{Map, Value, json};

use sim_core::stats::Stat;

pub use sim_core::stats::Breakdown;

/// A finished run. Everything but [`wall`](Self::wall) is a function of the inputs.
#[derive(Clone, Debug)]
pub struct RunResult {
    /// Name of the machine and one line about it.
    pub machine: String,
    pub machine_description: String,
    pub workload: String,
    pub workload_description: String,
    /// Of the resolved machine, the workload's content and the seed, hexadecimal.
    pub config_hash: String,
    pub seed: u64,
    pub simulated: Simulated,
    /// The run was stopped before its end.
    pub partial: Option<Partial>,
    pub wall: Wall,
    pub measured: Option<Measured>,
    pub expected_error: Option<ExpectedError>,
    /// Where the cycles went; every part is the sum of its parts.
    pub breakdown: Breakdown,
    pub roofline: Option<Roofline>,
    /// Counters that the first screen shows, in order.
    pub highlights: Vec<Highlight>,
    /// Text behind the figures: tables of a network's layers.
    pub tables: String,
    /// The tree of all counters and histograms, `{"value": …, "unit": …}` at the leaves.
    pub stats: Value,
    /// The resolved machine as a TOML text, from which the run can be repeated.
    pub machine_toml: String,
}

/// Simulated time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Simulated {
    /// Of the clock below.
    pub cycles: u64,
    pub time_ns: f64,
    pub clock_ghz: f64,
}

/// That a run was stopped before its end, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Partial {
    pub because: PartialBecause,
    /// The last cycle that was simulated.
    pub cycle: u64,
}

/// Why a run was stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PartialBecause {
    /// The cycle of `--until` came.
    Until,
    /// Ctrl-C.
    Interrupted,
}

impl Partial {
    /// For messages.
    pub fn in_words(self) -> String {
        let why = match self.because {
            PartialBecause::Until => "--until",
            PartialBecause::Interrupted => "Ctrl-C",
        };
        format!("stopped at cycle {} by {why}", crate::report::thousands(self.cycle))
    }

    fn to_json(self) -> Value {
        let because = match self.because {
            PartialBecause::Until => "until",
            PartialBecause::Interrupted => "interrupted",
        };
        json!({"because": because, "cycle": self.cycle})
    }
}

/// What the run cost on this host.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Wall {
    pub seconds: f64,
    /// Simulated cycles a second of wall time.
    pub cycles_per_second: f64,
    /// Most memory the process held; none where the host does not say.
    pub peak_rss_bytes: Option<u64>,
    pub threads: usize,
    /// Component ticks that each shard carried out: shows that the shards really worked.
    pub ticks_per_shard: Vec<u64>,
}

/// A measurement of the same thing on real hardware.
#[derive(Clone, Debug, PartialEq)]
pub struct Measured {
    pub value: f64,
    pub unit: String,
    pub source: String,
    /// Of our value, signed.
    pub error_percent: f64,
}

/// The error that the suite this run belongs to showed.
#[derive(Clone, Debug, PartialEq)]
pub struct ExpectedError {
    pub mape_percent: f64,
    pub cases: usize,
    pub suite: String,
}

/// A value on the first screen.
#[derive(Clone, Debug, PartialEq)]
pub struct Highlight {
    pub name: String,
    /// With its unit.
    pub value: String,
}

/// Where a run lies under the roof of its machine.
#[derive(Clone, Debug, PartialEq)]
pub struct Roofline {
    /// Floating-point operations executed, a fused multiply-add as two.
    pub flops: u64,
    /// Bytes that crossed the level of memory below.
    pub bytes: u64,
    /// Which level of memory the bytes and the bandwidth are of, e.g. `"L2"`.
    pub level: String,
    pub peak_tflop_per_s: f64,
    pub peak_gb_per_s: f64,
    /// How the peak performance follows from the machine.
    pub peak_formula: String,
    pub time_ns: f64,
}

/// Which roof is the nearer one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BoundBy {
    Compute,
    Memory,
}

impl Roofline {
    /// `flops ÷ time`.
    pub fn achieved_tflop_per_s(&self) -> f64 {
        self.flops as f64 / self.time_ns / 1e3
    }

    /// `bytes ÷ time`.
    pub fn achieved_gb_per_s(&self) -> f64 {
        self.bytes as f64 / self.time_ns
    }

    /// Arithmetic intensity, `flops ÷ bytes`; none for a kernel that moves nothing.
    pub fn flop_per_byte(&self) -> Option<f64> {
        (self.bytes > 0).then(|| self.flops as f64 / self.bytes as f64)
    }

    /// Intensity at which both roofs meet, `peak performance ÷ peak bandwidth`.
    pub fn ridge_flop_per_byte(&self) -> f64 {
        1e3 * self.peak_tflop_per_s / self.peak_gb_per_s
    }

    /// Which roof lies above the kernel's intensity.
    pub fn bound_by(&self) -> BoundBy {
        match self.flop_per_byte() {
            Some(intensity) if intensity < self.ridge_flop_per_byte() => BoundBy::Memory,
            _ => BoundBy::Compute,
        }
    }

    /// How much of the nearer roof was reached: of the bandwidth when bound by memory, else of the performance.
    pub fn percent_of_roof(&self) -> f64 {
        match self.bound_by() {
            BoundBy::Compute => 100.0 * self.achieved_tflop_per_s() / self.peak_tflop_per_s,
            BoundBy::Memory => 100.0 * self.achieved_gb_per_s() / self.peak_gb_per_s,
        }
    }

    fn to_json(&self) -> Value {
        let quantity = |value: f64, unit: &str| json!({"value": value, "unit": unit});
        json!({
            "flops": {"value": self.flops, "unit": "FLOP"},
            "bytes": {"value": self.bytes, "unit": "bytes"},
            "level": self.level,
            "achieved_tflop_per_s": quantity(self.achieved_tflop_per_s(), "TFLOP/s"),
            "peak_tflop_per_s": quantity(self.peak_tflop_per_s, "TFLOP/s"),
            "achieved_gb_per_s": quantity(self.achieved_gb_per_s(), "GB/s"),
            "peak_gb_per_s": quantity(self.peak_gb_per_s, "GB/s"),
            "intensity": {"value": self.flop_per_byte(), "unit": "FLOP/byte"},
            "ridge": quantity(self.ridge_flop_per_byte(), "FLOP/byte"),
            "bound_by": match self.bound_by() { BoundBy::Compute => "compute", BoundBy::Memory => "memory" },
            "percent_of_roof": quantity(self.percent_of_roof(), "%"),
        })
    }
}

impl RunResult {
    /// The document of `run --json` and `result.json`.
    pub fn to_json(&self) -> Value {
        let mut stats = match &self.stats {
            Value::Object(map) => map.clone(),
            _ => Map::new(),
        };
        if let Some(roofline) = &self.roofline {
            stats.insert("roofline".into(), roofline.to_json());
        }
        json!({
            "machine": self.machine,
            "workload": self.workload,
            "orrery_version": env!("CARGO_PKG_VERSION"),
            "config_hash": self.config_hash,
            "seed": self.seed,
            "simulated": {
                "cycles": self.simulated.cycles,
                "time_ns": self.simulated.time_ns,
                "clock_ghz": self.simulated.clock_ghz,
            },
            "partial": self.partial.map(Partial::to_json),
            "wall": {
                "seconds": self.wall.seconds,
                "cycles_per_second": self.wall.cycles_per_second,
                "peak_rss_bytes": self.wall.peak_rss_bytes,
                "threads": self.wall.threads,
                "ticks_per_shard": self.wall.ticks_per_shard,
            },
            "measured": self.measured.as_ref().map(|m| json!({
                "value": m.value,
                "unit": m.unit,
                "source": m.source,
                "error_percent": m.error_percent,
            })),
            "expected_error": self.expected_error.as_ref().map(|e| json!({
                "mape_percent": e.mape_percent,
                "cases": e.cases,
                "suite": e.suite,
            })),
            "breakdown": Stat::Breakdown(self.breakdown.clone()),
            "stats": stats,
        })
    }
}

/// Most memory this process has held, from the kernel's status page; none on other systems.
pub fn peak_rss_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A made-up run with round numbers, for tests of what is shown.
    pub(crate) fn example() -> RunResult {
        let unit = "sub-core-cycles";
        let leaf = |name: &str, total| Breakdown::leaf(name, total, unit);
        RunResult {
            machine: "two-sm".into(),
            machine_description: "a machine of two SMs at 1 GHz".into(),
            workload: "sgemm".into(),
            workload_description: "tiled single-precision matrix product".into(),
            config_hash: "ab".repeat(32),
            seed: 1,
            simulated: Simulated { cycles: 12_345, time_ns: 12_345.0, clock_ghz: 1.0 },
            partial: None,
            wall: Wall {
                seconds: 0.5,
                cycles_per_second: 24_690.0,
                peak_rss_bytes: Some(1 << 20),
                threads: 1,
                ticks_per_shard: vec![3],
            },
            measured: Some(Measured {
                value: 12_000.0,
                unit: "cycles".into(),
                source: "a profiler".into(),
                error_percent: 2.875,
            }),
            expected_error: None,
            breakdown: Breakdown::of(
                "cycles",
                unit,
                vec![
                    leaf("issued", 30_000),
                    Breakdown::of("waiting", unit, vec![leaf("fixed latency", 20_000), leaf("memory", 40_000)]),
                    leaf("no warp", 8_760),
                ],
            ),
            roofline: Some(Roofline {
                flops: 2_000_000,
                bytes: 400_000,
                level: "L2".into(),
                peak_tflop_per_s: 0.512,
                peak_gb_per_s: 64.0,
                peak_formula: "2 SMs × 128 lanes × 2 × 1 GHz".into(),
                time_ns: 12_345.0,
            }),
            highlights: vec![
                Highlight { name: "warp instructions".into(), value: "30,000".into() },
                Highlight { name: "IPC".into(), value: "1.215 an SM".into() },
            ],
            tables: String::new(),
            stats: json!({"sm": {"issued": {"value": 30_000, "unit": "instructions"}}}),
            machine_toml: "name = \"two-sm\"\n".into(),
        }
    }

    #[test]
    fn roofline_by_hand() {
        let roof = example().roofline.unwrap();
        assert_eq!(roof.ridge_flop_per_byte(), 8.0);
        assert_eq!(roof.flop_per_byte(), Some(5.0));
        assert_eq!(roof.bound_by(), BoundBy::Memory);
        assert!((roof.achieved_gb_per_s() - 400_000.0 / 12_345.0).abs() < 1e-12);
        assert!((roof.percent_of_roof() - 100.0 * roof.achieved_tflop_per_s() / 0.32).abs() < 1e-9);
        let dry = Roofline { bytes: 0, ..roof };
        assert_eq!((dry.flop_per_byte(), dry.bound_by()), (None, BoundBy::Compute));
    }

    #[test]
    fn the_document_has_the_keys_of_the_contract() {
        let document = example().to_json();
        let keys: Vec<&str> = document.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(
            keys,
            [
                "machine",
                "workload",
                "orrery_version",
                "config_hash",
                "seed",
                "simulated",
                "partial",
                "wall",
                "measured",
                "expected_error",
                "breakdown",
                "stats"
            ]
        );
        assert_eq!(document["breakdown"]["parts"]["waiting"]["parts"]["memory"], 40_000);
        assert_eq!(document["stats"]["roofline"]["bound_by"], "memory");
        assert_eq!(document["expected_error"], Value::Null);
        assert_eq!(document["partial"], Value::Null);
        let partial = Some(Partial { because: PartialBecause::Until, cycle: 1000 });
        let document = RunResult { partial, ..example() }.to_json();
        assert_eq!(document["partial"], json!({"because": "until", "cycle": 1000}));
    }
}
