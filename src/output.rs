//! Standard output, progress, and the files of a run.

use std::io::{ErrorKind, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::Value;
use validation::files::write_atomically;

use crate::failure::{Complaint, Failure};
use crate::report;
use crate::result::RunResult;
use crate::views::View;

/// Prints on standard output. A reader that has gone away (`orrery list | head`) is not an error.
pub fn print(text: &str) {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => eprintln!("cannot write to standard output: {error}"),
        _ => {}
    }
}

/// Prints a JSON document on standard output.
pub fn print_json(document: &Value) {
    print(&format!("{document:#}\n"));
}

/// A line on standard error that shows how far a long command is, only on a terminal.
pub struct Progress {
    bar: ProgressBar,
}

impl Progress {
    /// Hidden if `quiet` or if nobody looks.
    fn new(quiet: bool, length: Option<u64>, template: &str) -> Self {
        let target = match quiet || !std::io::stderr().is_terminal() {
            true => ProgressDrawTarget::hidden(),
            false => ProgressDrawTarget::stderr_with_hz(8),
        };
        let bar = ProgressBar::with_draw_target(length, target);
        bar.set_style(ProgressStyle::with_template(template).expect("the template is a constant"));
        bar.enable_steady_tick(Duration::from_millis(200));
        Self { bar }
    }

    /// For a simulation: how many cycles it will take is not known.
    pub fn of_run(quiet: bool) -> Self {
        Self::new(quiet, None, "{spinner} {elapsed} {msg}")
    }

    /// For a suite, counted in runs.
    pub fn of_suite(quiet: bool, name: &str) -> Self {
        let progress = Self::new(quiet, None, "{spinner} {msg} {pos}/{len}");
        progress.bar.set_message(name.to_string());
        progress
    }

    /// `done` of `total` are behind us.
    pub fn set(&self, done: u64, total: u64) {
        self.bar.set_length(total);
        self.bar.set_position(done);
    }

    /// The simulation is at this cycle.
    pub fn cycle(&self, cycle: u64) {
        let seconds = self.bar.elapsed().as_secs_f64().max(1e-3);
        let rate = cycle as f64 / seconds / 1e3;
        self.bar.set_message(format!("{} cycles, {rate:.0} kilo-cycles/s", report::thousands(cycle)));
    }

    /// Takes the line away.
    pub fn finish(self) {
        self.bar.finish_and_clear();
    }
}

/// Where the files of a run go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Folder {
    Nowhere,
    At(PathBuf),
}

impl Folder {
    /// `none`, what was given, or `out/<machine>-<workload>`.
    pub fn choose(given: Option<&Path>, machine: &str, workload: &str) -> Self {
        let plain = |name: &str| -> String {
            name.chars().map(|c| if c.is_alphanumeric() || "-_.".contains(c) { c } else { '-' }).collect()
        };
        match given {
            Some(path) if path == Path::new("none") => Self::Nowhere,
            Some(path) => Self::At(path.to_path_buf()),
            None => Self::At(Path::new("out").join(format!("{}-{}", plain(machine), plain(workload)))),
        }
    }

    /// The path of a file in it; none where nothing is written.
    pub fn file(&self, name: &str) -> Option<PathBuf> {
        match self {
            Self::Nowhere => None,
            Self::At(folder) => Some(folder.join(name)),
        }
    }

    /// Writes the figures of a run.
    ///
    /// # Errors
    /// A file cannot be written. A run without operations or bytes has no roofline and writes none.
    pub fn write_plots(&self, result: &RunResult) -> Result<(), Failure> {
        let Some(roof) = result.roofline.as_ref().filter(|roof| roof.flops > 0) else { return Ok(()) };
        let Some(intensity_flop_per_byte) = roof.flop_per_byte() else { return Ok(()) };
        let figure = validation::plot::Roofline {
            title: &format!("{} on {}", result.workload, result.machine),
            peak_tflop_per_s: roof.peak_tflop_per_s,
            peak_gb_per_s: roof.peak_gb_per_s,
            intensity_flop_per_byte,
            achieved_tflop_per_s: roof.achieved_tflop_per_s(),
        };
        for path in ["roofline.svg", "roofline.png"].iter().filter_map(|name| self.file(name)) {
            figure.write(&path).map_err(|error| Complaint::new(error.to_string()))?;
        }
        Ok(())
    }

    /// Writes what was drawn of a run, and says on standard error what is to be known of it.
    ///
    /// # Errors
    /// A file cannot be written.
    pub fn write_views(&self, views: &[View]) -> Result<(), Failure> {
        for view in views {
            let Some(path) = self.file(view.file) else { continue };
            write_atomically(&path, &view.bytes).map_err(|error| Failure::cannot_write(&path, &error))?;
            if let Some(note) = &view.note {
                eprintln!("note: {}: {note}", view.file);
            }
        }
        Ok(())
    }

    /// Writes the files that every run leaves.
    ///
    /// # Errors
    /// A file cannot be written.
    pub fn write(&self, result: &RunResult) -> Result<(), Failure> {
        let Self::At(folder) = self else { return Ok(()) };
        let files = [
            ("report.txt", report::text(result)),
            ("result.json", format!("{:#}\n", result.to_json())),
            ("stats.csv", stats_csv(&result.stats)),
            ("machine.toml", result.machine_toml.clone()),
        ];
        for (name, contents) in files {
            let path = folder.join(name);
            write_atomically(&path, contents.as_bytes()).map_err(|error| Failure::cannot_write(&path, &error))?;
        }
        Ok(())
    }
}

/// The numbers of a tree of statistics, a row each: dotted name, value, unit.
fn stats_csv(stats: &Value) -> String {
    fn walk(node: &Value, path: &str, out: &mut String) {
        let Value::Object(map) = node else { return };
        let unit = map.get("unit").and_then(Value::as_str).unwrap_or("");
        for (name, value) in map {
            match value {
                Value::Number(number) => {
                    let name = if name == "value" { path.to_string() } else { format!("{path}.{name}") };
                    out.push_str(&format!("{},{number},{}\n", quoted(&name), quoted(unit)));
                }
                Value::Object(_) => {
                    let below = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                    walk(value, &below, out);
                }
                _ => {}
            }
        }
    }
    let mut out = String::from("name,value,unit\n");
    walk(stats, "", &mut out);
    out
}

/// A field of a table of comma-separated values.
pub fn quoted(text: &str) -> String {
    if text.contains([',', '"', '\n']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::tests::example;

    #[test]
    fn the_folder_is_chosen_by_name() {
        let choose = |given: Option<&str>| Folder::choose(given.map(Path::new), "h100-pcie", "my/launch file.toml");
        assert_eq!(choose(None), Folder::At("out/h100-pcie-my-launch-file.toml".into()));
        assert_eq!(choose(Some("x/y")), Folder::At("x/y".into()));
        assert_eq!(choose(Some("none")), Folder::Nowhere);
    }

    #[test]
    fn a_run_leaves_its_four_files() {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path().join("a/b");
        Folder::At(at.clone()).write(&example()).unwrap();
        let mut names: Vec<_> =
            std::fs::read_dir(&at).unwrap().map(|f| f.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        assert_eq!(names, ["machine.toml", "report.txt", "result.json", "stats.csv"]);
        Folder::At(at.clone()).write_plots(&example()).unwrap();
        assert!(at.join("roofline.svg").exists() && at.join("roofline.png").exists());
        let written: Value = serde_json::from_slice(&std::fs::read(at.join("result.json")).unwrap()).unwrap();
        assert_eq!(written, example().to_json());
    }

    #[test]
    fn statistics_as_rows() {
        let stats = serde_json::json!({
            "sm": {
                "issued": {"value": 3, "unit": "instructions"},
                "latency": {"count": 2, "unit": "cycles, core", "mean": 1.5, "buckets_from_count": [[1, 2]]},
            },
            "empty": {"value": null, "unit": "%"},
        });
        assert_eq!(
            stats_csv(&stats),
            "name,value,unit\nsm.issued,3,instructions\nsm.latency.count,2,\"cycles, core\"\nsm.latency.mean,1.5,\"cycles, core\"\n"
        );
    }
}
