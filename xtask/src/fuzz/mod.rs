//! Fuzz targets: each reader of files that a user writes, as a plain function of bytes.
//!
//! A target may refuse its input in any way but by a panic. Three things call the targets:
//!
//! * `tests/fuzz.rs`: the corpus and a bounded number of mutations, in every test run;
//! * `cargo xtask fuzz [TARGET] --minutes N`: as many mutations as fit into the time, on a stable toolchain;
//! * `fuzz/`: wrappers for `cargo fuzz`, which needs a nightly toolchain and finds its way by coverage.
//!
//! The corpus is what ships: listings, metadata, launches, machine files, presets, and the inputs in `fuzz/corpus/<target>/` — those
//! that were found once, and examples of what does not ship.

pub mod mutate;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use hbm::preset::Preset;
use hbm::trace::{RequestLimits, read_commands, read_requests};
use rand_core::SeedableRng;
use rand_pcg::Pcg64Dxsm;
use sim_core::MachineFile;
use workloads::sass::exec::Grid;
use workloads::sass::{Kernel, Launch, Listing, Uses};
use workloads::stream::CtaStream;

/// A reader to try, and where its corpus lies.
pub struct Target {
    pub name: &'static str,
    pub run: fn(&[u8]),
    /// Folders below the repository's root, and the end of the names that count.
    corpus: &'static [(&'static str, &'static str)],
}

pub const TARGETS: [Target; 8] = [
    Target { name: "listing", run: listing, corpus: &[("workloads/kernels/sass", ".sass")] },
    Target { name: "kernel", run: kernel, corpus: &[("workloads/kernels/sass", ".toml")] },
    Target { name: "launch", run: launch, corpus: &[("workloads/launches", ".toml")] },
    Target { name: "machine", run: machine, corpus: &[("configs/gpu", ".toml"), ("configs/gpu/base", ".toml")] },
    Target { name: "preset", run: preset, corpus: &[("configs/memory", ".toml")] },
    Target { name: "trace", run: trace, corpus: &[] },
    Target { name: "onnx", run: onnx, corpus: &[] },
    Target { name: "topology", run: topology, corpus: &[] },
];

/// A listing, and what each instruction of it uses.
pub fn listing(data: &[u8]) {
    let Ok(listing) = Listing::parse_bytes("input.sass", data) else { return };
    for instruction in listing.functions.iter().flat_map(|function| &function.instructions) {
        let _ = Uses::of(instruction);
    }
}

/// Metadata with a few instructions behind the line `---`, or a program of its own; executed for one block.
pub fn kernel(data: &[u8]) {
    const PROGRAM: &str = "B------:R-:W-:-:S01  S2R R0, SR_TID.X\nB------:R-:W-:-:S01  EXIT\n";
    let text = String::from_utf8_lossy(data);
    let (metadata, program) = text.split_once("\n---\n").unwrap_or((&text, PROGRAM));
    let Ok(listing) = Listing::parse("input.sass", program) else { return };
    let renamed: String = metadata
        .lines()
        .map(|line| if line.starts_with("kernel = ") { "kernel = \"main\"\n".to_owned() } else { format!("{line}\n") })
        .collect();
    let Ok(kernel) = Kernel::parse("input.toml", &renamed, &listing) else { return };
    let launch = Launch::new("main", [1, 1, 1], [64, 1, 1], Vec::new());
    let Ok(mut grid) = Grid::new(&kernel, &launch) else { return };
    grid.set_watchdog(20_000);
    let _ = grid.run_cta(0, &mut CtaStream::default());
}

pub fn launch(data: &[u8]) {
    let _ = Launch::parse("input.toml", &String::from_utf8_lossy(data), None);
}

/// A machine file, its bases from `configs/`, up to the list of its components.
pub fn machine(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let Ok(file) = MachineFile::parse("input.toml", &text) else { return };
    let _ = ::machine::gpu::GpuShape::of(&file);
}

pub fn preset(data: &[u8]) {
    let text = String::from_utf8_lossy(data).into_owned();
    let read = |name: &str| match name {
        "input.toml" => Ok(text.clone()),
        // A preset may inherit from a shipped one.
        other => std::fs::read_to_string(
            root().join("configs/memory").join(Path::new(other).file_name().unwrap_or_default()),
        ),
    };
    let _ = Preset::load("input.toml", &read);
}

/// A trace of requests or of commands of a memory.
pub fn trace(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    for access_bytes in [32, 64] {
        let _ = read_requests("input.csv", &text, &RequestLimits { access_bytes, capacity_bytes: 1 << 20 });
    }
    let _ = read_commands("input.csv", &text);
}

/// An ONNX model, up to the graph that machines take.
pub fn onnx(data: &[u8]) {
    let dimensions = BTreeMap::from([("batch".to_owned(), 1)]);
    let _ = workloads::tensor::onnx::parse("input.onnx", data, &workloads::tensor::onnx::Options { dimensions });
}

/// A list of layers in SCALE-Sim's form.
pub fn topology(data: &[u8]) {
    let _ = workloads::tensor::topology::parse("input.csv", &String::from_utf8_lossy(data));
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Largest input that a run starts from: beyond, one more copy of the same form slows the search.
const MOST_BYTES: u64 = 200_000;

impl Target {
    pub fn named(name: &str) -> Result<&'static Self> {
        let names: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
        TARGETS
            .iter()
            .find(|target| target.name == name)
            .with_context(|| format!("there is no target `{name}`; known are {}", names.join(", ")))
    }

    /// Inputs to start from, in order of their names.
    ///
    /// # Errors
    /// A folder or file cannot be read.
    pub fn corpus(&self) -> Result<Vec<Vec<u8>>> {
        let own = format!("fuzz/corpus/{}", self.name);
        let mut files = BTreeMap::new();
        for (folder, end) in self.corpus.iter().copied().chain([(own.as_str(), "")]) {
            let path = root().join(folder);
            if !path.exists() {
                continue;
            }
            for entry in std::fs::read_dir(&path).with_context(|| path.display().to_string())? {
                let entry = entry?;
                let is_input = entry.file_name().to_string_lossy().ends_with(end) && entry.file_type()?.is_file();
                if is_input && entry.metadata()?.len() <= MOST_BYTES {
                    files.insert(entry.path(), std::fs::read(entry.path())?);
                }
            }
        }
        Ok(files.into_values().collect())
    }

    /// Whether the target takes the input without a panic.
    pub fn survives(&self, input: &[u8]) -> bool {
        catch_unwind(AssertUnwindSafe(|| (self.run)(input))).is_ok()
    }
}

/// Runs the command with what follows its name on the command line.
///
/// # Errors
/// An unknown option or target, or an input that makes a reader panic; it is kept in `target/fuzz/`.
pub fn run(arguments: impl Iterator<Item = String>) -> Result<()> {
    let (mut targets, mut minutes, mut seed) = (Vec::new(), 1.0, 1);
    let mut arguments = arguments;
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().with_context(|| format!("`{argument}` needs a value"));
        match argument.as_str() {
            "--minutes" => minutes = value()?.parse::<f64>().context("--minutes N")?,
            "--seed" => seed = value()?.parse().context("--seed N")?,
            option if option.starts_with('-') => bail!("unknown option `{option}`: --minutes or --seed"),
            name => targets.push(Target::named(name)?),
        }
    }
    if targets.is_empty() {
        targets = TARGETS.iter().collect();
    }
    for target in targets {
        search(target, Duration::from_secs_f64(60.0 * minutes.clamp(0.0, 1e6)), seed)?;
    }
    Ok(())
}

/// Mutates the corpus until the time is over.
fn search(target: &Target, time: Duration, seed: u64) -> Result<()> {
    let corpus = target.corpus()?;
    let mut random = Pcg64Dxsm::seed_from_u64(seed);
    let (begin, mut inputs, mut slowest) = (Instant::now(), 0u64, (Duration::ZERO, Vec::new()));
    while begin.elapsed() < time {
        let input = mutate::mutated(&corpus, &mut random);
        let started = Instant::now();
        if !target.survives(&input) {
            let file = keep(target, "panic", &input)?;
            bail!("{}: input {inputs} of seed {seed} panics; it is in {}", target.name, file.display());
        }
        inputs += 1;
        let took = started.elapsed();
        if took > slowest.0 {
            slowest = (took, input);
        }
    }
    let slow = slowest.0.as_secs_f64();
    println!("{}: {inputs} inputs in {:.0} s, the slowest {slow:.3} s", target.name, begin.elapsed().as_secs_f64());
    if slow > 5.0 {
        println!("  kept in {}", keep(target, "slow", &slowest.1)?.display());
    }
    Ok(())
}

fn keep(target: &Target, kind: &str, input: &[u8]) -> Result<PathBuf> {
    let folder = root().join("target/fuzz");
    std::fs::create_dir_all(&folder)?;
    let file = folder.join(format!("{}.{kind}", target.name));
    std::fs::write(&file, input).with_context(|| file.display().to_string())?;
    Ok(file)
}
