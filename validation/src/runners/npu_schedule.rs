//! Kind `npu-schedule`: task lists on a tile-based NPU, against schedules worked out by hand.
//!
//! `machine` is a file of the suite or a machine of `configs/npu/`; `workload` names `lists/NAME.jsonl` of the suite.
//!
//! | metric | in ns |
//! |---|---|
//! | `makespan`, `end.ID` | latest end, end of the task with that id |
//! | `ENGINE.USE` | what an engine does: `busy`, `barrier`, `barrier_pool`, `bandwidth`, `wake_up`, `idle` |
//! | `union.KIND`, `sum.KIND`, `dma_and_dpu`, … | unions of intervals, sums over engines; KIND is `dma`, `dpu`, `sw` |
//! | `unaccounted` | what is missing or too much in the uses of all engines, whose sum should be the makespan |
//! | `refused` | text: why the list cannot run |

use machine::npu_tiled::{NpuTiledError, NpuTiledSimulation};
use npu::tiled::{Schedule, Use};
use sim_core::{MachineFile, Plan};
use workloads::tensor::TaskList;

use super::npu_machines;
use crate::runner::{CaseRunner, Measured, Request, RunError};
use crate::suite::Value;

/// Runs task lists.
pub struct NpuSchedule;

impl CaseRunner for NpuSchedule {
    fn kind(&self) -> &'static str {
        "npu-schedule"
    }

    fn description(&self) -> &'static str {
        "task lists on a tile-based NPU, against schedules worked out by hand"
    }

    fn run(&self, request: &Request<'_>) -> Result<Measured, RunError> {
        let file = machine_file(request)?;
        let name = format!("lists/{}.jsonl", request.workload);
        let text = request.suite.attachment(&name).and_then(|bytes| std::str::from_utf8(bytes).ok());
        let text = text.ok_or_else(|| RunError(format!("the suite has no text `{name}`")))?;
        let result = TaskList::parse(&name, text).map_err(NpuTiledError::from).and_then(|list| {
            let schedule = NpuTiledSimulation::new(&file, &list, Plan::serial())?.run(&mut |_| {})?.schedule;
            Ok((list, schedule))
        });
        match result {
            Ok((list, schedule)) => Ok(measured(&list, &schedule)),
            Err(NpuTiledError::Workload(error)) => {
                Ok(Measured::from([("refused".to_owned(), Value::Text(error.message))]))
            }
            Err(error) => Err(RunError(error.to_string())),
        }
    }
}

fn machine_file(request: &Request<'_>) -> Result<MachineFile, RunError> {
    let own = request.suite.attachment(&format!("{}.toml", request.machine));
    match own.and_then(|bytes| std::str::from_utf8(bytes).ok()) {
        Some(text) => npu_machines::own_machine(request.machine, text, request.overrides),
        None => npu_machines::machine(request.machine, request.overrides),
    }
}

fn measured(list: &TaskList, schedule: &Schedule) -> Measured {
    let mut values = Measured::new();
    let mut put = |name: String, ps: u64| {
        values.insert(name, Value::Number(ps as f64 / 1000.0));
    };
    put("makespan".to_owned(), schedule.makespan_ps);
    for (task, times) in list.tasks().iter().zip(&schedule.tasks) {
        put(format!("end.{}", task.id), times.end_ps);
    }
    let mut unaccounted = 0;
    for engine in &schedule.engines {
        for (of, name) in [
            (Use::Busy, "busy"),
            (Use::Barrier, "barrier"),
            (Use::BarrierPool, "barrier_pool"),
            (Use::Bandwidth, "bandwidth"),
            (Use::WakeUp, "wake_up"),
            (Use::Idle, "idle"),
        ] {
            put(format!("{}.{name}", engine.name), engine.ps(of));
        }
        unaccounted += engine.uses_ps.iter().sum::<u64>().abs_diff(schedule.makespan_ps);
    }
    put("unaccounted".to_owned(), unaccounted);
    let unions = &schedule.unions;
    for (name, ps) in [
        ("union.dma", unions.dma_ps),
        ("union.dpu", unions.dpu_ps),
        ("union.sw", unions.sw_ps),
        ("sum.dma", unions.dma_sum_ps),
        ("sum.dpu", unions.dpu_sum_ps),
        ("sum.sw", unions.sw_sum_ps),
        ("dma_and_dpu", unions.dma_and_dpu_ps),
        ("dma_and_sw", unions.dma_and_sw_ps),
        ("dpu_and_sw", unions.dpu_and_sw_ps),
        ("sw_without_dpu", unions.sw_without_dpu_ps),
        ("dma_alone", unions.dma_alone_ps),
        ("idle", unions.idle_ps),
    ] {
        put(name.to_owned(), ps);
    }
    values
}

#[cfg(test)]
mod tests {
    use crate::suite::Suite;

    #[test]
    fn every_schedule_is_as_worked_out() {
        let outcome = crate::runners::all().validate(Suite::open("npu-schedule").unwrap(), &|_, _| {}).unwrap();
        assert!(outcome.passed(), "{}", crate::report::table(&outcome, true));
    }
}
