//! A run in pieces: where it stops, where it is saved, where it goes on.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;

use serde::{Deserialize, Serialize};
use sim_core::snapshot::{Header, Snapshot, SnapshotError};
use sim_core::{LoadError, StopReason};
use validation::files::write_atomically;

use crate::cli::RunArgs;
use crate::failure::{Complaint, Failure};
use crate::report::thousands;
use crate::result::{Partial, PartialBecause};

/// Exit code of a program that the terminal ended.
const ENDED_BY_CTRL_C: i32 = 130;
/// Another version, or other sources of this one, may simulate differently or lay the state out otherwise: what one has
/// saved only the same goes on with.
pub const PROGRAM: &str = concat!("orrery ", env!("CARGO_PKG_VERSION"), " (sources ", env!("ORRERY_SOURCES"), ")");

/// What is run: the words of the command line, or those that a snapshot was saved with.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    pub machine: Option<String>,
    pub workload: Option<String>,
    pub sets: Vec<String>,
    /// Values are computed at issue.
    #[serde(default)]
    pub coupled: bool,
}

/// Where a run begins and where it may stop before its end.
#[derive(Debug, Default)]
pub struct Pieces {
    /// Stop at this cycle.
    pub until: Option<u64>,
    /// Set by Ctrl-C.
    pub stop: Arc<AtomicBool>,
    save: Option<PathBuf>,
    resumed: Option<(PathBuf, Snapshot)>,
}

impl Pieces {
    /// As asked for; from now on Ctrl-C stops the run, and a second one the program.
    ///
    /// # Errors
    /// The snapshot to go on with is none, or lies behind the cycle to stop at.
    pub fn of(args: &RunArgs) -> Result<Self, Failure> {
        let resumed = match &args.resume {
            None => None,
            Some(path) => {
                let wrong = |what: String| Complaint::new(format!("{}: {what}", path.display()));
                let bytes = std::fs::read(path).map_err(|error| wrong(format!("cannot be read: {error}")))?;
                let help = "a file that `orrery run --until CYCLE --save FILE` wrote";
                let snapshot = Snapshot::from_bytes(&bytes).map_err(|error| wrong(error.to_string()).help(help))?;
                if let Some(until) = args.until.filter(|&until| until <= snapshot.header.cycle) {
                    let at = thousands(snapshot.header.cycle);
                    let message = format!("was saved at cycle {at}, --until {until} is not later");
                    return Err(wrong(message).help(format!("a cycle after {at}")).into());
                }
                Some((path.clone(), snapshot))
            }
        };
        Ok(Self { until: args.until, save: args.save.clone(), resumed, stop: stopped_by_ctrl_c() })
    }

    /// The run begins at its beginning and is to end at its end.
    pub fn is_whole(&self) -> bool {
        self.until.is_none() && self.save.is_none() && self.resumed.is_none()
    }

    /// What to run: the words given; for those that are not, the snapshot's.
    ///
    /// # Errors
    /// The snapshot does not say.
    pub fn asked(&self, args: &RunArgs) -> Result<Asked, Failure> {
        let given = Asked {
            machine: args.machine.clone(),
            workload: args.workload.clone(),
            sets: args.sets.clone(),
            coupled: args.coupled,
        };
        let Some((path, snapshot)) = &self.resumed else { return Ok(given) };
        let saved: Asked = serde_json::from_str(&snapshot.header.request)
            .map_err(|error| Complaint::new(format!("{}: of what run is not said: {error}", path.display())))?;
        let sets = if given.machine.is_none() && given.sets.is_empty() { saved.sets } else { given.sets };
        Ok(Asked {
            machine: given.machine.or(saved.machine),
            workload: given.workload.or(saved.workload),
            sets,
            coupled: given.coupled || saved.coupled,
        })
    }

    /// The state to begin with and its cycle, if the run goes on with a snapshot. `inputs` are what the run is a function
    /// of.
    ///
    /// # Errors
    /// The snapshot is of another program or other inputs.
    pub fn state(&self, inputs: &[(String, String)]) -> Result<Option<(&[u8], u64)>, Failure> {
        let Some((path, snapshot)) = &self.resumed else { return Ok(None) };
        snapshot.check(PROGRAM, inputs).map_err(|error| {
            let help = match error {
                SnapshotError::Program { .. } => "run it again from the beginning",
                _ => "give the machine, the workload and the --set that it was saved with, or none of them",
            };
            Complaint::new(format!("{}: {error}", path.display())).help(help)
        })?;
        Ok(Some((&snapshot.state, snapshot.header.cycle)))
    }

    /// What the user reads when the state of a snapshot does not fit after all.
    pub fn misfit(&self, error: &LoadError) -> Failure {
        let path = self.resumed.as_ref().map(|(path, _)| path.display().to_string()).unwrap_or_default();
        Complaint::new(format!("{path}: {error}")).help("run it again from the beginning").into()
    }

    /// Whether a state will be asked for.
    pub fn is_saved(&self) -> bool {
        self.save.is_some()
    }

    /// Writes the snapshot of a run that was stopped.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn save(&self, asked: &Asked, inputs: &[(String, String)], cycle: u64, state: Vec<u8>) -> Result<(), Failure> {
        let Some(path) = &self.save else { return Ok(()) };
        let request = serde_json::to_string(asked).unwrap_or_default();
        let header = Header { program: PROGRAM.to_string(), inputs: inputs.to_vec(), cycle, request };
        write_atomically(path, &Snapshot { header, state }.to_bytes())
            .map_err(|error| Complaint::new(format!("cannot write {}: {error}", path.display())).into())
    }

    /// How the command ends: a run that stopped before its end has failed, unless that was to save it.
    ///
    /// # Errors
    /// It has.
    pub fn verdict(&self, partial: Option<Partial>) -> Result<(), Failure> {
        let goes_on = |path: &PathBuf| format!("orrery run --resume {}", path.display());
        match (partial, &self.save) {
            (None, None) => Ok(()),
            (None, Some(path)) => {
                eprintln!(
                    "the run came to its end: there is nothing to go on with, and {} was not written",
                    path.display()
                );
                Ok(())
            }
            (Some(Partial { because: PartialBecause::Until, .. }), Some(_)) => Ok(()),
            (Some(partial), save) => {
                let help = save.as_ref().map_or("--save FILE keeps the state, to go on with".to_string(), goes_on);
                let message = format!("the run is partial: {}", partial.in_words());
                Err(Failure::Run(Complaint::new(message).help(help)))
            }
        }
    }

    /// What to tell of a snapshot that was written.
    pub fn saved_line(&self, partial: Option<Partial>) -> Option<String> {
        let path = self.save.as_ref().filter(|_| partial.is_some())?.display();
        Some(format!("saved {path}, to go on with: orrery run --resume {path}\n"))
    }
}

/// A flag that Ctrl-C sets; a second one ends the program.
pub fn stopped_by_ctrl_c() -> Arc<AtomicBool> {
    let stop = Arc::new(AtomicBool::new(false));
    let flag = stop.clone();
    // Fails only if there is a handler already; then Ctrl-C does what that one does.
    let _ = ctrlc::set_handler(move || {
        if flag.swap(true, Relaxed) {
            std::process::exit(ENDED_BY_CTRL_C);
        }
    });
    stop
}

/// Why a run is partial, if it is.
pub fn partial(reason: StopReason, cycle: u64) -> Option<Partial> {
    let because = match reason {
        StopReason::TimeLimit => PartialBecause::Until,
        StopReason::Interrupted => PartialBecause::Interrupted,
        StopReason::WorkDone | StopReason::Quiescent => return None,
    };
    Some(Partial { because, cycle })
}

/// Named hashes of what a run is a function of. The seed is first: it is also part of the machine.
pub fn inputs(seed: u64, machine: &str, workload: &str) -> Vec<(String, String)> {
    let hash = |text: &str| blake3::hash(text.as_bytes()).to_hex().to_string();
    let input = |name: &str, value: String| (name.to_string(), value);
    vec![input("seed", seed.to_string()), input("machine", hash(machine)), input("workload", hash(workload))]
}
