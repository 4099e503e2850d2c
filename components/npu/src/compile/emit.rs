//! The task list as it grows: queues in order, and barriers only where an order is not implied already.
//!
//! Every task knows what has ended when it starts: what its queue worked off before, and what the producers of the barriers
//! that it waits for knew. A dependence that is known needs no barrier. Without that, a network with skip connections would
//! hold barriers over so many others that the physical ones, which are used again in program order, run out.

use rustc_hash::FxHashMap;
use workloads::tensor::{Place, Task, Work};

/// A producer and its consumer have this part of the physical barriers between them at most: those of other work in flight
/// need the rest.
const APART: u32 = 3;

/// Tasks that something may wait for together.
#[derive(Debug, Clone, Default)]
pub struct Group {
    tasks: Vec<u32>,
}

impl Group {
    pub fn of(tasks: Vec<u32>) -> Self {
        Self { tasks }
    }

    pub fn join(&mut self, other: &Group) {
        self.tasks.extend(&other.tasks);
    }

    pub fn tasks(&self) -> &[u32] {
        &self.tasks
    }

    pub fn is_empty(&self) -> bool {
        self.tasks.is_empty()
    }
}

/// One FIFO queue of the machine.
#[derive(Debug, Default)]
struct Queue {
    tasks: Vec<u32>,
    /// A task starts when the one before has ended, not only started.
    is_serial: bool,
    /// For each queue, how many of its tasks have ended when the next task here starts.
    known: Vec<u32>,
}

/// Builds a task list.
pub struct Emitter {
    tiles: u32,
    ports: u32,
    /// Barriers between a producer and its consumer at most.
    apart: usize,
    tasks: Vec<Task>,
    /// Queue of each task, its place there, and what is known when it starts.
    places: Vec<(u32, u32)>,
    known: Vec<Box<[u32]>>,
    queues: Vec<Queue>,
    /// The barrier of a group of producers.
    barriers: FxHashMap<Vec<u32>, u32>,
    /// First producers of all barriers, in order of their making.
    first_producers: Vec<u32>,
    /// Operator of each task.
    operators: Vec<u32>,
    operator: u32,
    layer: Option<String>,
}

impl Emitter {
    pub fn new(tiles: u32, ports: u32, physical_barriers: u32) -> Self {
        let count = (2 * ports + 2 * tiles) as usize;
        let queues = (0..count).map(|queue| Queue {
            is_serial: queue < (2 * ports + tiles) as usize,
            known: vec![0; count],
            tasks: Vec::new(),
        });
        Self {
            tiles,
            ports,
            apart: (physical_barriers / APART) as usize,
            tasks: Vec::new(),
            places: Vec::new(),
            known: Vec::new(),
            queues: queues.collect(),
            barriers: FxHashMap::default(),
            first_producers: Vec::new(),
            operators: Vec::new(),
            operator: 0,
            layer: None,
        }
    }

    /// What follows is of this operator.
    pub fn begin(&mut self, operator: usize, name: &str) {
        self.operator = operator as u32;
        self.layer = Some(name.to_string());
    }

    fn queue_of(&self, work: &Work) -> u32 {
        match work {
            Work::Dma { port, source, .. } => 2 * port + u32::from(*source != Place::Ddr),
            Work::Dpu { tile, .. } => 2 * self.ports + tile,
            Work::Shave { tile, .. } => 2 * self.ports + self.tiles + tile,
            Work::M2i | Work::Cpu => unreachable!("the compiler gives these engines no work"),
        }
    }

    /// Adds a task behind all of its queue; it starts when all of `after` have ended.
    pub fn add(&mut self, work: Work, after: &[&Group]) -> u32 {
        let index = self.tasks.len() as u32;
        let queue = self.queue_of(&work);
        let mut task = Task::new(u64::from(index), work);
        task.layer.clone_from(&self.layer);
        self.tasks.push(task);
        self.operators.push(self.operator);
        let mut known = self.queues[queue as usize].known.clone();
        self.places.push((queue, self.queues[queue as usize].tasks.len() as u32));
        // What ended last knows most of the others.
        let mut after = after.to_vec();
        after.sort_by_key(|group| std::cmp::Reverse(group.tasks.iter().max().copied()));
        for group in after {
            self.wait(index, queue, group, &mut known);
        }
        let own = &mut self.queues[queue as usize];
        own.tasks.push(index);
        own.known.clone_from(&known);
        if own.is_serial {
            own.known[queue as usize] = own.tasks.len() as u32;
        }
        self.known.push(known.into_boxed_slice());
        index
    }

    fn wait(&mut self, index: u32, queue: u32, group: &Group, known: &mut [u32]) {
        let missing = |producer: &&u32| {
            let (queue, place) = self.places[**producer as usize];
            known[queue as usize] <= place
        };
        let mut producers: Vec<u32> = group.tasks.iter().filter(missing).copied().collect();
        producers.sort_unstable();
        producers.dedup();
        let (Some(&first), Some(&last)) = (producers.first(), producers.last()) else { return };
        for &producer in &producers {
            self.learn(producer, known);
        }
        // Barriers are programmed in the order of their first producers.
        let apart = self.first_producers.len() - self.first_producers.partition_point(|&at| at < first);
        let waiter = match apart > self.apart {
            // A task of this queue that came soon after the producers holds the dependence for all behind it.
            true => {
                let own = &self.queues[queue as usize].tasks;
                own.get(own.partition_point(|&task| task <= last)).copied().unwrap_or(index)
            }
            false => index,
        };
        let next = self.barriers.len() as u32;
        let barrier = *self.barriers.entry(producers.clone()).or_insert(next);
        if barrier == next {
            let at = self.first_producers.partition_point(|&at| at < first);
            self.first_producers.insert(at, first);
            for producer in producers {
                self.tasks[producer as usize].update.push(barrier);
            }
        }
        let wait = &mut self.tasks[waiter as usize].wait;
        if !wait.contains(&barrier) {
            wait.push(barrier);
        }
    }

    /// What is known when a producer has ended.
    fn learn(&self, producer: u32, known: &mut [u32]) {
        let (queue, place) = self.places[producer as usize];
        for (known, &before) in known.iter_mut().zip(self.known[producer as usize].iter()) {
            *known = (*known).max(before);
        }
        // Behind a queue with several engines the ones before may still work.
        let own = &mut known[queue as usize];
        if self.queues[queue as usize].is_serial || *own == place {
            *own = (*own).max(place + 1);
        }
    }

    /// The tasks, and the operator of each.
    pub fn finish(self) -> (Vec<Task>, Vec<u32>) {
        (self.tasks, self.operators)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use workloads::tensor::Element;

    fn shave(tile: u32) -> Work {
        Work::Shave { tile, kernel: "relu".into(), element: Element::F16, elements: 1 }
    }

    fn dma(source: Place, destination: Place) -> Work {
        Work::Dma { port: 0, source, destination, bytes: 1, decompress: false, permute_element_bytes: None }
    }

    #[test]
    fn what_a_queue_implies_needs_no_barrier() {
        let mut emitter = Emitter::new(1, 1, 64);
        let first = Group::of(vec![emitter.add(dma(Place::Ddr, Place::Cmx(0)), &[])]);
        let second = Group::of(vec![emitter.add(dma(Place::Ddr, Place::Cmx(0)), &[&first])]);
        let third = Group::of(vec![emitter.add(shave(0), &[&second])]);
        // The first has ended when the second has, and the third knows it.
        emitter.add(dma(Place::Cmx(0), Place::Ddr), &[&first, &third]);
        let (tasks, _) = emitter.finish();
        let waits: Vec<&[u32]> = tasks.iter().map(|task| task.wait.as_slice()).collect();
        assert_eq!(waits, [&[][..], &[], &[0], &[1]]);
        assert_eq!(tasks[1].update, [0]);
    }

    #[test]
    fn tasks_of_two_engines_behind_one_queue_do_not_imply_each_other() {
        let mut emitter = Emitter::new(1, 1, 64);
        let first = Group::of(vec![emitter.add(shave(0), &[])]);
        emitter.add(shave(0), &[&first]);
        let (tasks, _) = emitter.finish();
        assert_eq!((tasks[0].update.as_slice(), tasks[1].wait.as_slice()), (&[0][..], &[0][..]));
    }
}
