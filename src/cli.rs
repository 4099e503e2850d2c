//! The command line as a plain structure. What the words mean is decided by the commands.

use std::ops::Range;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::views::Focus;

/// A cycle-level hardware architecture simulator.
#[derive(Debug, Parser)]
#[command(
    name = "orrery",
    version,
    about = "A cycle-level hardware architecture simulator",
    after_help = "Without a command, orrery simulates a tiled matrix product on an H100.\n\n\
                  Example: orrery run rtx-a6000 saxpy\n\n\
                  Exit codes: 0 fine, 1 a check failed or a run did not end, 2 wrong input, 101 a fault of orrery."
)]
pub struct Cli {
    #[command(flatten)]
    pub common: Common,
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// Options of every command.
#[derive(Clone, Debug, Args)]
pub struct Common {
    /// Print one JSON document on standard output and nothing else there
    #[arg(long, global = true, display_order = 100)]
    pub json: bool,
    /// Threads to use; 0 takes all cores. Results do not depend on it
    #[arg(long, global = true, display_order = 101, value_name = "N", default_value_t = 0)]
    pub threads: usize,
    /// Parts the machine is split into for the threads; 0 lets orrery choose. Results do not depend on it
    #[arg(long, global = true, display_order = 102, value_name = "N", default_value_t = 0)]
    pub shards: usize,
    /// No progress and no hints
    #[arg(long, short, global = true, display_order = 103)]
    pub quiet: bool,
    /// Folder for the files of a run, or `none` [default: out/MACHINE-WORKLOAD]
    #[arg(long, short, global = true, display_order = 104, value_name = "DIR")]
    pub out: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Simulate a workload on a machine
    #[command(after_help = "Examples:\n  \
                            orrery run                                  the tiled sgemm on an H100\n  \
                            orrery run rtx-a6000 softmax                another machine, another kernel\n  \
                            orrery run h100-pcie sgemm --set part.sm.count=66\n  \
                            orrery run my-gpu.toml my-launch.toml --json\n  \
                            orrery run h100-pcie grid-barrier --coupled  blocks that wait for each other\n  \
                            orrery run h100-pcie softmax --pipeline=2000..6000 --focus sm=0,warp=0..8\n  \
                            orrery run rtx-a6000 sgemm --what-if        where the time would be won\n  \
                            orrery run rtx-a6000 sgemm --what-if=l2,dram\n  \
                            orrery run h200 sgemm --until 20000 --save half.orrery\n  \
                            orrery run --resume half.orrery             the same result as in one piece\n  \
                            orrery run hbm3 \"rand_rw21 requests=50000 outstanding=16\"\n  \
                            orrery run stacks/h200 requests.trace --set policy.page=closed --plots\n  \
                            orrery run npu-4 resnet50.onnx --timeline   a network on an NPU, layer by layer\n  \
                            orrery run npu-4 llama-3-8b:decode,tokens=1024,weights=i4\n\n\
                            Ctrl-C stops the run and reports what there is, marked partial, with exit code 1; again, it ends at once.")]
    Run(RunArgs),
    /// Check machines, launches, listings, suites and sweeps without running them
    #[command(after_help = "Examples:\n  \
                            orrery check my-gpu.toml my-launch.toml\n  \
                            orrery check                                everything that ships with orrery")]
    Check(CheckArgs),
    /// List what ships with orrery, a line each
    #[command(after_help = "Example: orrery list machines")]
    List(ListArgs),
    /// Compare with references: measurements, published figures, other simulators
    #[command(after_help = "Examples:\n  \
                            orrery validate                             all suites\n  \
                            orrery validate sm-examples --all           one suite, every case shown\n  \
                            orrery validate sm-examples --update-report validation/report")]
    Validate(ValidateArgs),
    /// Run many points of a design space side by side, and go on where it was interrupted
    #[command(
        subcommand,
        after_help = "Example: orrery sweep run core-ablations && orrery plot speedup out/core-ablations/results.json\n\n\
                            A sweep file names machines, workloads, variants and a grid of keys; see configs/sweeps/."
    )]
    Sweep(SweepCommand),
    /// Draw a figure from results, as .svg and .png
    #[command(after_help = "Example: orrery plot speedup out/core-ablations/results.json -o figures")]
    Plot(PlotArgs),
    /// Look into traces and kernels
    #[command(subcommand, after_help = "Example: orrery trace info sgemm_tiled")]
    Trace(TraceCommand),
}

#[derive(Clone, Debug, Default, Args)]
pub struct RunArgs {
    /// A shipped machine or memory, or the path of a machine or memory file [default: h100-pcie]
    pub machine: Option<String>,
    /// A shipped workload, the path of a launch file, several as "a + b | c" (+: then, |: side by side), or an Accel-Sim trace
    /// (.traceg, .xz, .zst, kernelslist.g) [default: sgemm]; on a memory a stream or a request trace; on an NPU a network: .onnx, .csv (SCALE-Sim), .jsonl (tasks),
    /// or a transformer such as llama-3-8b:prefill,tokens=1024
    pub workload: Option<String>,
    /// Override a key of the machine, for instance part.sm.count=66; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub sets: Vec<String>,
    /// Compute values when instructions issue: for kernels that read a clock or wait for other blocks. One shard, slower
    #[arg(long)]
    pub coupled: bool,
    /// Write timeline.perfetto-trace of the cycles FROM..TO (of a memory: ticks), for ui.perfetto.dev [default: 0..20000;
    /// of an NPU, in ns, all]
    #[arg(long, value_name = "FROM..TO", num_args = 0..=1, require_equals = true, default_missing_value = "0..20000", value_parser = cycles)]
    pub timeline: Option<Range<u64>>,
    /// Write pipeline.kanata of the cycles FROM..TO, for Konata: the stages of every warp instruction [default: 0..20000]
    #[arg(long, value_name = "FROM..TO", num_args = 0..=1, require_equals = true, default_missing_value = "0..20000", value_parser = cycles)]
    pub pipeline: Option<Range<u64>>,
    /// SMs and warp slots of --timeline and --pipeline, numbers or ranges without their end: sm=0..4,warp=8 [default: all
    /// warps of sm=0..4 in the timeline, of sm=0 in the pipeline]
    #[arg(long, value_name = "sm=A..B,warp=C..D")]
    pub focus: Option<Focus>,
    /// Write figures as .svg and .png: the roofline; of a memory, latency over bandwidth and a heat map of the banks
    #[arg(long)]
    pub plots: bool,
    /// Run again with one part ideal at a time and say how many cycles each would save: launch, instruction-cache,
    /// constant-cache, register-ports, execution-units, memory-queue, l1, crossbar, l2, dram; several with commas [default: all]
    #[arg(long, value_name = "PART=ideal", num_args = 0..=1, require_equals = true, default_missing_value = "all")]
    pub what_if: Option<String>,
    /// Stop at this cycle. The report says that it is partial; exit code 1 unless --save is given
    #[arg(long, value_name = "CYCLE")]
    pub until: Option<u64>,
    /// Save the run where --until or Ctrl-C stops it
    #[arg(long, value_name = "FILE")]
    pub save: Option<PathBuf>,
    /// Go on with a saved run. Machine and workload are those it was saved with and need not be given
    #[arg(long, value_name = "FILE")]
    pub resume: Option<PathBuf>,
    /// On an NPU: the size of a dimension that a model leaves open, for instance batch=1; may be repeated
    #[arg(long = "dim", value_name = "NAME=SIZE", value_parser = dimension)]
    pub dimensions: Vec<(String, u64)>,
    /// On an NPU: an operator that is not known is an error, not data movement with a warning
    #[arg(long)]
    pub strict: bool,
    /// On an NPU: run again with every parameter a tenth less and more, and list those that move the result most
    #[arg(long)]
    pub sensitivity: bool,
    /// On a memory: write every command of the channel to commands.csv, for `orrery trace check`
    #[arg(long)]
    pub commands: bool,
}

#[derive(Debug, Args)]
pub struct CheckArgs {
    /// Machine files, launch files, listings, suite folders, sweep files, or names of shipped machines and workloads
    #[arg(value_name = "FILE")]
    pub files: Vec<String>,
}

#[derive(Debug, Args)]
pub struct ListArgs {
    /// Only this kind
    pub what: Option<Listed>,
}

/// What can be listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Listed {
    Machines,
    Workloads,
    Suites,
    Sweeps,
    Components,
}

#[derive(Debug, Args)]
pub struct ValidateArgs {
    /// Shipped suites or folders with a suite.toml; all shipped ones if none is given
    #[arg(value_name = "SUITE")]
    pub suites: Vec<String>,
    /// Show every case, also in long suites
    #[arg(long)]
    pub all: bool,
    /// Write the page and the figure of each suite into a folder
    #[arg(long, value_name = "DIR", num_args = 0..=1, default_missing_value = "validation/report")]
    pub update_report: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub enum SweepCommand {
    /// What would be run, and what of it is there
    #[command(after_help = "Example: orrery sweep plan core-ablations")]
    Plan(SweepArgs),
    /// Run what is missing, each point on one thread, and collect the results
    #[command(after_help = "Example: orrery sweep run my-sweep.toml --threads 8 -o out/mine\n\n\
                            Ctrl-C stops it; the same command goes on. Exit code 1 if a run failed or was stopped.")]
    Run(SweepArgs),
    /// How far it is
    #[command(after_help = "Example: orrery sweep status core-ablations")]
    Status(SweepArgs),
    /// Write results.csv and results.json from the runs that are there
    #[command(after_help = "Example: orrery sweep collect core-ablations")]
    Collect(SweepArgs),
}

#[derive(Debug, Args)]
pub struct SweepArgs {
    /// A sweep file or the name of a shipped sweep
    #[arg(value_name = "FILE")]
    pub file: String,
}

#[derive(Debug, Args)]
pub struct PlotArgs {
    /// What to draw
    #[arg(value_enum)]
    pub what: Plotted,
    /// results.json of a sweep
    #[arg(value_name = "RESULTS")]
    pub results: PathBuf,
}

/// Which figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Plotted {
    /// A bar a variant: its speed-up over the baseline, a dot for each workload, and the published value beside it
    Speedup,
}

#[derive(Debug, Subcommand)]
pub enum TraceCommand {
    /// What was understood of a SASS listing or of an Accel-Sim trace: functions, opcodes, registers, control bits
    #[command(after_help = "Example: cuobjdump -sass my.cubin > my.sass && orrery trace info my.sass")]
    Info {
        /// A listing as `cuobjdump -sass` prints it (`.sass`, `.sass.zst`), the name of a shipped kernel, or an Accel-Sim
        /// trace (`.traceg`, `kernelslist.g`)
        #[arg(value_name = "FILE")]
        file: String,
    },
    /// Check the commands of a DRAM channel against the protocol, or whether an Accel-Sim trace is whole
    #[command(after_help = "Examples:\n  \
                            orrery run hbm3 rand_rw21 --commands -o out && orrery trace check out/commands.csv\n  \
                            orrery trace check theirs.csv --memory hbm2-2000 --rules ramulator2\n\n\
                            A trace has the columns clk,cmd,pc,sid,bg,ba,row,col (-1 where one does not apply) and may name its \
                            memory in a line `# memory: hbm3`. Exit codes: 0 legal, 1 not, 2 no such trace.")]
    Check(TraceCheckArgs),
    /// Write what a launch executes as a trace for other simulators: kernelslist.g and kernel-1.traceg in a folder
    #[command(
        after_help = "Example: orrery trace export --format accel-sim vectoradd --arch sm_86 -o traces\n         \
                            orrery run rtx-3070 traces/kernelslist.g"
    )]
    Export(TraceExportArgs),
}

#[derive(Debug, Args)]
pub struct TraceExportArgs {
    /// A shipped launch, one of its kernels, or the path of a launch file
    #[arg(value_name = "LAUNCH")]
    pub launch: String,
    /// Form of the trace
    #[arg(long, value_enum)]
    pub format: ExportFormat,
    /// Architecture that the kernel is compiled for
    #[arg(long, value_name = "ARCH", default_value = "sm_90")]
    pub arch: String,
}

/// Which simulator's traces are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum ExportFormat {
    /// Accel-Sim, version 4
    AccelSim,
}

#[derive(Debug, Args)]
pub struct TraceCheckArgs {
    /// A command trace as text, or packed (.zst); or an Accel-Sim trace (`.traceg`, `kernelslist.g`)
    #[arg(value_name = "FILE")]
    pub file: String,
    /// A shipped memory or the path of a memory file [default: what the trace names]
    #[arg(long, value_name = "PRESET")]
    pub memory: Option<String>,
    /// All rules, or those that Ramulator 2 has
    #[arg(long, value_enum, default_value_t)]
    pub rules: Rules,
    /// Violations to show
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub show: usize,
}

/// Which rules a trace is checked against.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Rules {
    /// Every rule, with those that Ramulator 2 leaves out, and the edges of half-clock precharges
    #[default]
    Full,
    /// The rules of Ramulator 2
    Ramulator2,
}

/// `NAME=SIZE`.
fn dimension(text: &str) -> Result<(String, u64), String> {
    let wrong = || format!("`{text}` is not a name and a size such as batch=1");
    let (name, size) = text.split_once('=').ok_or_else(wrong)?;
    match size.parse() {
        Ok(size) if size > 0 => Ok((name.to_string(), size)),
        _ => Err(wrong()),
    }
}

/// `FROM..TO`, both cycles.
fn cycles(text: &str) -> Result<Range<u64>, String> {
    let wrong = || format!("`{text}` is not a range of cycles such as 0..20000");
    let (from, to) = text.split_once("..").ok_or_else(wrong)?;
    let range = from.trim().parse().map_err(|_| wrong())?..to.trim().parse().map_err(|_| wrong())?;
    if range.is_empty() { Err(format!("the range {text} is empty")) } else { Ok(range) }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn no_command_takes_the_common_options() {
        let cli = Cli::try_parse_from(["orrery", "--json", "-o", "none"]).unwrap();
        assert!(cli.command.is_none() && cli.common.json);
    }

    #[test]
    fn a_timeline_has_a_window() {
        let window = |arguments: &[&str]| match Cli::try_parse_from(arguments).map_err(|e| e.to_string())?.command {
            Some(Command::Run(run)) => Ok::<_, String>(run.timeline),
            other => panic!("{other:?}"),
        };
        assert_eq!(window(&["orrery", "run"]), Ok(None));
        assert_eq!(window(&["orrery", "run", "--timeline", "h200"]), Ok(Some(0..20_000)));
        assert_eq!(window(&["orrery", "run", "--timeline=5..7"]), Ok(Some(5..7)));
        assert!(window(&["orrery", "run", "--timeline=7..5"]).unwrap_err().contains("is empty"));
        assert!(window(&["orrery", "run", "--timeline=7"]).unwrap_err().contains("such as 0..20000"));
    }
}
