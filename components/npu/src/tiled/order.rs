//! Whether a program can run at all: queues in order, barriers in circles, physical barriers used again.
//!
//! Starting a task can only release more, never less, and barriers are programmed in program order. So whether a program
//! comes to its end does not depend on times, and one run without times decides it before the simulation.

use workloads::InputError;
use workloads::tensor::TaskList;

use super::program::Program;

/// Why a queue does not go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blocked {
    /// A barrier, by program-order number, is not released.
    Barrier(u32),
    /// A barrier that it updates has no physical barrier yet.
    Unprogrammed(u32),
}

/// # Errors
/// Tasks wait for each other; who for whom.
pub fn check(list: &TaskList, program: &Program) -> Result<(), InputError> {
    let mut pool = Pool::new(program);
    let mut next = vec![0_usize; program.queues.len()];
    loop {
        let mut moved = false;
        for (queue, next) in program.queues.iter().zip(&mut next) {
            while let Some(&task) = queue.tasks.get(*next) {
                if pool.blocked(program, task).is_some() {
                    break;
                }
                pool.start(program, task);
                pool.end(program, task);
                *next += 1;
                moved = true;
            }
        }
        if !moved {
            break;
        }
    }
    let stuck = program.queues.iter().zip(&next).position(|(queue, next)| *next < queue.tasks.len());
    match stuck {
        None => Ok(()),
        Some(queue) => Err(deadlock(list, program, &pool, &next, queue)),
    }
}

/// Follows who waits for whom from the head of a queue until it comes round.
fn deadlock(list: &TaskList, program: &Program, pool: &Pool, next: &[usize], from: usize) -> InputError {
    let head = |queue: usize| program.queues[queue].tasks[next[queue]];
    let mut seen = vec![from];
    let mut lines = Vec::new();
    loop {
        let queue = *seen.last().expect("begins with one");
        let task = head(queue);
        let blocked = pool.blocked(program, task).expect("a head that can start has started");
        let (what, other) = waits_for(list, program, pool, next, blocked);
        let id = list.tasks()[task as usize].id;
        lines.push(format!("task {id} on {} waits for {what}", program.queues[queue].name));
        match other {
            Some(other) if !seen.contains(&other) => seen.push(other),
            _ => break,
        }
    }
    let first = &list.tasks()[head(from) as usize];
    let help = "a queue works in the order of the list; barriers are programmed in the order of their first mention";
    InputError::new(&list.file, first.line, format!("deadlock: {}", lines.join("; ")), help)
}

/// What a blocked head waits for, and the queue that would have to go on.
fn waits_for(
    list: &TaskList,
    program: &Program,
    pool: &Pool,
    next: &[usize],
    blocked: Blocked,
) -> (String, Option<usize>) {
    let pending = |wanted: &dyn Fn(u32) -> bool| {
        program.queues.iter().enumerate().find_map(|(number, queue)| {
            let task = queue.tasks[next[number]..].iter().find(|task| wanted(**task))?;
            Some((number, list.tasks()[*task as usize].id))
        })
    };
    let barrier_id = |number: u32| program.barriers[number as usize].id;
    match blocked {
        Blocked::Barrier(number) => {
            let producer = pending(&|task| program.tasks[task as usize].update.contains(&number));
            let (queue, id) = producer.expect("what is not released has a producer that has not ended");
            let text = format!("barrier {} of task {id} on {}", barrier_id(number), program.queues[queue].name);
            (text, Some(queue))
        }
        Blocked::Unprogrammed(number) => {
            let owner = pool.oldest_owner(program).expect("a pool without room has owners");
            let user = pending(&|task| {
                let task = &program.tasks[task as usize];
                task.update.contains(&owner) || task.wait.contains(&owner)
            });
            let text = format!(
                "a physical barrier for barrier {}: all {} are in use, the oldest by barrier {}",
                barrier_id(number),
                program.physical_barriers,
                barrier_id(owner)
            );
            match user {
                Some((queue, id)) => {
                    (format!("{text}, which task {id} on {} uses", program.queues[queue].name), Some(queue))
                }
                None => (text, None),
            }
        }
    }
}

/// Which barriers are released, and which have a physical barrier.
///
/// Barriers are programmed in program order, each as soon as one of the pool is free. One is free again when its barrier
/// is released and all that wait for it have started.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub struct Pool {
    /// Barriers `0..programmed` have had a physical barrier.
    programmed: u32,
    free: u32,
    producers_left: Vec<u32>,
    consumers_left: Vec<u32>,
}

impl Pool {
    pub fn new(program: &Program) -> Pool {
        let mut pool = Pool {
            programmed: 0,
            free: program.physical_barriers,
            producers_left: program.barriers.iter().map(|barrier| barrier.producers).collect(),
            consumers_left: program.barriers.iter().map(|barrier| barrier.consumers).collect(),
        };
        pool.program_more();
        pool
    }

    fn program_more(&mut self) {
        let more = self.free.min(self.producers_left.len() as u32 - self.programmed);
        self.free -= more;
        self.programmed += more;
    }

    /// What keeps a task from starting, if its queue and engine do not.
    pub fn blocked(&self, program: &Program, task: u32) -> Option<Blocked> {
        let task = &program.tasks[task as usize];
        let unreleased = task.wait.iter().find(|barrier| self.producers_left[**barrier as usize] > 0);
        if let Some(barrier) = unreleased {
            return Some(Blocked::Barrier(*barrier));
        }
        // It updates at its end, but the barrier has to be there before it starts.
        let latest = task.update.iter().find(|barrier| **barrier >= self.programmed);
        latest.map(|barrier| Blocked::Unprogrammed(*barrier))
    }

    /// A task starts: what it waited for may be given to others.
    pub fn start(&mut self, program: &Program, task: u32) {
        for &barrier in &program.tasks[task as usize].wait {
            self.consumers_left[barrier as usize] -= 1;
            self.release(barrier);
        }
    }

    /// A task ends: barriers count it.
    pub fn end(&mut self, program: &Program, task: u32) {
        for &barrier in &program.tasks[task as usize].update {
            self.producers_left[barrier as usize] -= 1;
            self.release(barrier);
        }
    }

    fn release(&mut self, barrier: u32) {
        let at = barrier as usize;
        if self.producers_left[at] == 0 && self.consumers_left[at] == 0 {
            self.free += 1;
            self.program_more();
        }
    }

    /// The earliest barrier in program order that keeps its physical one.
    fn oldest_owner(&self, program: &Program) -> Option<u32> {
        let in_use = |barrier: &u32| {
            let at = *barrier as usize;
            self.producers_left[at] > 0 || self.consumers_left[at] > 0
        };
        (0..self.programmed.min(program.barriers.len() as u32)).find(in_use)
    }
}
