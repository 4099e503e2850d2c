//! What a run gave: when tasks ran, what engines did, how their work overlapped.

use super::program::{EngineKind, Program};
use super::scheduler::{Scheduler, TaskTimes, Use};
use crate::power::EnergyReport;

/// One engine's time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineUse {
    /// As the queue; with a number where several engines stand behind it.
    pub name: String,
    pub kind: EngineKind,
    pub tile: Option<u32>,
    /// Picoseconds in the order of [`Use::ALL`]; they sum to the makespan.
    pub uses_ps: [u64; Use::ALL.len()],
}

impl EngineUse {
    pub fn ps(&self, of: Use) -> u64 {
        self.uses_ps[of as usize]
    }

    /// Time with a task, slowed down or not.
    pub fn occupied_ps(&self) -> u64 {
        self.ps(Use::Busy) + self.ps(Use::Bandwidth) + self.ps(Use::WakeUp)
    }
}

/// Unions of intervals in which kinds of engines work, as compilers' schedule traces give them. SW is what runs on the
/// DSPs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Unions {
    pub dma_ps: u64,
    pub dpu_ps: u64,
    pub sw_ps: u64,
    pub dma_and_dpu_ps: u64,
    pub dma_and_sw_ps: u64,
    pub dpu_and_sw_ps: u64,
    pub sw_without_dpu_ps: u64,
    /// DMA while nothing else works.
    pub dma_alone_ps: u64,
    /// Nothing works.
    pub idle_ps: u64,
    /// Sums over engines, which may be more than the makespan.
    pub dma_sum_ps: u64,
    pub dpu_sum_ps: u64,
    pub sw_sum_ps: u64,
}

/// The schedule that came out of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Schedule {
    /// The latest end of a task.
    pub makespan_ps: u64,
    /// In the order of the list.
    pub tasks: Vec<TaskTimes>,
    /// What each task takes alone: latency and body.
    pub alone_ps: Vec<u64>,
    pub engines: Vec<EngineUse>,
    pub unions: Unions,
    /// None if the machine has no power model.
    pub energy: Option<EnergyReport>,
}

impl Schedule {
    /// Reads a finished run out.
    pub fn of(run: &Scheduler) -> Schedule {
        let program = run.program();
        let makespan_ps = run.makespan();
        let uses = run.uses(makespan_ps);
        let engines = engine_names(program).into_iter().zip(uses).map(|((name, kind, tile), uses_ps)| EngineUse {
            name,
            kind,
            tile,
            uses_ps,
        });
        let engines: Vec<EngineUse> = engines.collect();
        let tasks = run.times().to_vec();
        Schedule {
            makespan_ps,
            alone_ps: program.tasks.iter().map(|task| task.latency.picoseconds + task.body.picoseconds).collect(),
            unions: unions(&tasks, &engines, makespan_ps),
            tasks,
            engines,
            energy: run.energy(makespan_ps),
        }
    }
}

/// Names, kinds and tiles of all engines in order.
fn engine_names(program: &Program) -> Vec<(String, EngineKind, Option<u32>)> {
    let mut names = Vec::with_capacity(program.engines());
    for queue in &program.queues {
        for engine in 0..queue.engines {
            let name = if queue.engines > 1 { format!("{}.{engine}", queue.name) } else { queue.name.clone() };
            names.push((name, queue.kind, queue.tile));
        }
    }
    names
}

/// A sweep over all starts and ends.
fn unions(tasks: &[TaskTimes], engines: &[EngineUse], makespan_ps: u64) -> Unions {
    let kind = |task: &TaskTimes| engines[task.engine as usize].kind;
    let mut edges: Vec<(u64, EngineKind, i32)> = Vec::with_capacity(2 * tasks.len());
    for task in tasks {
        edges.push((task.start_ps, kind(task), 1));
        edges.push((task.end_ps, kind(task), -1));
    }
    edges.sort_unstable_by_key(|(time, ..)| *time);
    let mut unions = Unions::default();
    let mut working = [0_i32; EngineKind::ALL.len()];
    let mut since = 0;
    let mut charge = |from: u64, to: u64, working: &[i32; EngineKind::ALL.len()]| {
        let length = to - from;
        let on = |kind: EngineKind| working[kind as usize] > 0;
        let (dma, dpu, sw) = (on(EngineKind::Dma), on(EngineKind::Dpu), on(EngineKind::Shave));
        let others = on(EngineKind::M2i) || on(EngineKind::Cpu);
        for (sum, holds) in [
            (&mut unions.dma_ps, dma),
            (&mut unions.dpu_ps, dpu),
            (&mut unions.sw_ps, sw),
            (&mut unions.dma_and_dpu_ps, dma && dpu),
            (&mut unions.dma_and_sw_ps, dma && sw),
            (&mut unions.dpu_and_sw_ps, dpu && sw),
            (&mut unions.sw_without_dpu_ps, sw && !dpu),
            (&mut unions.dma_alone_ps, dma && !dpu && !sw && !others),
            (&mut unions.idle_ps, !dma && !dpu && !sw && !others),
        ] {
            if holds {
                *sum += length;
            }
        }
    };
    for (time, kind, step) in edges {
        charge(since, time, &working);
        since = time;
        working[kind as usize] += step;
    }
    charge(since, makespan_ps, &working);
    let sum = |kind: EngineKind| {
        tasks
            .iter()
            .filter(|task| engines[task.engine as usize].kind == kind)
            .map(|task| task.end_ps - task.start_ps)
            .sum()
    };
    unions.dma_sum_ps = sum(EngineKind::Dma);
    unions.dpu_sum_ps = sum(EngineKind::Dpu);
    unions.sw_sum_ps = sum(EngineKind::Shave);
    unions
}
