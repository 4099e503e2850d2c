//! What a list must satisfy on any machine.

use rustc_hash::FxHashMap;

use super::TaskList;
use crate::InputError;
use crate::tensor::{DpuOperation, Place, Task, Variant, Work};

/// No product of extents, strides and kernels overflows below this.
const LARGEST_EXTENT: u64 = 1 << 20;
/// 18 PB: a time in picoseconds still fits.
const LARGEST_AMOUNT: u64 = 1 << 44;

/// # Errors
/// The first thing that is wrong, at the line of its task.
pub fn check(list: &TaskList) -> Result<(), InputError> {
    if list.tasks().is_empty() {
        return Err(InputError::new(&list.file, 0, "has no tasks", "one JSON object on every line"));
    }
    let mut ids: FxHashMap<u64, &Task> = FxHashMap::default();
    let mut producers: FxHashMap<u32, Vec<usize>> = FxHashMap::default();
    for (index, task) in list.tasks().iter().enumerate() {
        if let Some(first) = ids.insert(task.id, task) {
            let message = format!("the id is taken by the task of line {}", first.line);
            return Err(list.error(task, message, "every task has an id of its own"));
        }
        work(&task.work, task.cycles).map_err(|(message, help)| list.error(task, message, help))?;
        for barriers in [&task.wait, &task.update] {
            let mut sorted = barriers.clone();
            sorted.sort_unstable();
            if let Some(pair) = sorted.windows(2).find(|pair| pair[0] == pair[1]) {
                return Err(list.error(task, format!("names barrier {} twice", pair[0]), "once is enough"));
            }
        }
        for barrier in &task.update {
            producers.entry(*barrier).or_default().push(index);
        }
    }
    for task in list.tasks() {
        for barrier in &task.wait {
            if task.update.contains(barrier) {
                let message = format!("waits for barrier {barrier}, which it updates itself");
                return Err(list.error(task, message, "another barrier for those that follow it"));
            }
            if !producers.contains_key(barrier) {
                let message = format!("waits for barrier {barrier}, which no task updates");
                return Err(list.error(task, message, "a barrier is released by the tasks that name it in `update`"));
            }
        }
    }
    circles(list, &producers)
}

/// Tasks that wait for each other through barriers.
fn circles(list: &TaskList, producers: &FxHashMap<u32, Vec<usize>>) -> Result<(), InputError> {
    let tasks = list.tasks();
    let mut consumers: FxHashMap<u32, Vec<usize>> = FxHashMap::default();
    let mut lacking: Vec<usize> = vec![0; tasks.len()];
    for (index, task) in tasks.iter().enumerate() {
        lacking[index] = task.wait.len();
        task.wait.iter().for_each(|barrier| consumers.entry(*barrier).or_default().push(index));
    }
    let mut left: FxHashMap<u32, usize> = producers.iter().map(|(barrier, tasks)| (*barrier, tasks.len())).collect();
    let mut ready: Vec<usize> = (0..tasks.len()).filter(|index| lacking[*index] == 0).collect();
    while let Some(index) = ready.pop() {
        for barrier in &tasks[index].update {
            let count = left.get_mut(barrier).expect("its producer is counted");
            *count -= 1;
            if *count == 0 {
                for &consumer in consumers.get(barrier).into_iter().flatten() {
                    lacking[consumer] -= 1;
                    if lacking[consumer] == 0 {
                        ready.push(consumer);
                    }
                }
            }
        }
    }
    let Some(first) = lacking.iter().position(|count| *count > 0) else { return Ok(()) };
    // Every task that is left waits for one that is left: following them comes round.
    let waits_for = |index: usize| {
        let open = tasks[index].wait.iter().find(|barrier| left[*barrier] > 0).expect("it waits");
        let producer = producers[open].iter().find(|producer| lacking[**producer] > 0).expect("one has not run");
        (*open, *producer)
    };
    let mut seen = vec![first];
    let circle = loop {
        let (_, next) = waits_for(*seen.last().expect("begins with one"));
        match seen.iter().position(|index| *index == next) {
            Some(start) => break &seen[start..],
            None => seen.push(next),
        }
    };
    let start = *circle.iter().min().expect("a circle has tasks");
    let mut steps = Vec::new();
    let mut index = start;
    loop {
        let (barrier, producer) = waits_for(index);
        steps.push(format!("task {} waits for barrier {barrier} of task {}", tasks[index].id, tasks[producer].id));
        index = producer;
        if index == start {
            break;
        }
    }
    let message = format!("cyclic waits: {}", steps.join(", "));
    Err(InputError::new(&list.file, tasks[start].line, message, "tasks and barriers form a graph without cycles"))
}

type Problem = (String, String);

fn work(work: &Work, cycles: Option<u64>) -> Result<(), Problem> {
    let wrong = |message: String, help: &str| Err((message, help.to_owned()));
    if cycles.is_some_and(|cycles| cycles > LARGEST_AMOUNT) {
        return wrong(format!("`cycles` is more than {LARGEST_AMOUNT}"), "fewer, or more tasks");
    }
    match work {
        Work::Dpu { variants, .. } if variants.is_empty() && cycles.is_none() => {
            wrong("has no variants, which its cost is computed from".to_owned(), "`variants`, or `cycles`")
        }
        Work::Dpu { variants, .. } => variants.iter().try_for_each(variant),
        Work::Dma { bytes: 0, .. } => wrong("moves no bytes".to_owned(), "`bytes` of at least 1"),
        Work::Dma { bytes, .. } if *bytes > LARGEST_AMOUNT => {
            wrong(format!("moves more than {LARGEST_AMOUNT} bytes"), "fewer, or more tasks")
        }
        Work::Dma { source: Place::CmxBroadcast { .. }, .. } => {
            wrong("a broadcast is a destination, no source".to_owned(), "one tile as `src`, such as `cmx0`")
        }
        Work::Dma { permute_element_bytes: Some(0), .. } => {
            wrong("permutes elements of no bytes".to_owned(), "the bytes of an element")
        }
        Work::Shave { elements, .. } if *elements == 0 || *elements > LARGEST_AMOUNT => {
            wrong(format!("`elems` is {elements}"), &format!("from 1 to {LARGEST_AMOUNT}"))
        }
        Work::M2i | Work::Cpu if cycles.is_none() => {
            let message = format!("a task of `{}` needs `cycles`", work.engine());
            wrong(message, "there is no cost function for that engine: state its cost")
        }
        _ => Ok(()),
    }
}

fn variant(variant: &Variant) -> Result<(), Problem> {
    let wrong = |message: String, help: &str| Err((message, help.to_owned()));
    let Variant { input, output, kernel, stride, padding, .. } = variant;
    let extents = input.iter().chain(output).chain(kernel).chain(stride);
    if extents.clone().any(|extent| *extent == 0 || *extent > LARGEST_EXTENT) {
        return wrong(
            "a variant has an extent of 0 or too large a one".to_owned(),
            &format!("from 1 to {LARGEST_EXTENT}"),
        );
    }
    // Three extents and a window stay below 2^60.
    let volume = |extent: &[u64; 3]| extent.iter().map(|e| *e as f64).product::<f64>();
    let window = (kernel[0] * kernel[1]) as f64 * input[2] as f64;
    if volume(output) * window > 1e18 || volume(input) > 1e15 {
        return wrong("a variant has more than 10^18 operations".to_owned(), "smaller variants");
    }
    if padding.iter().any(|pad| *pad > LARGEST_EXTENT) {
        return wrong("a variant has too much padding".to_owned(), &format!("at most {LARGEST_EXTENT}"));
    }
    for sparsity in [variant.weight_sparsity, variant.activation_sparsity] {
        if !(0.0..1.0).contains(&sparsity) {
            return wrong(format!("a sparsity of {sparsity}"), "the share of zeros, from 0 to less than 1");
        }
    }
    if variant.out_tiles == 0 {
        return wrong("a variant writes to no tile".to_owned(), "`out_tiles` is at least 1");
    }
    let [top, bottom, left, right] = *padding;
    for (axis, pads, name) in [(0, left + right, "width"), (1, top + bottom, "height")] {
        let padded = input[axis] + pads;
        let most = if padded < kernel[axis] { 0 } else { (padded - kernel[axis]) / stride[axis] + 1 };
        if output[axis] > most {
            let message = format!(
                "a variant's {name} of {} out of {} with padding {pads}, window {} and stride {}",
                output[axis], input[axis], kernel[axis], stride[axis]
            );
            return wrong(message, &format!("at most {most}; `pad` is top, bottom, left, right"));
        }
    }
    let keeps_channels = variant.op != DpuOperation::Conv;
    if keeps_channels && input[2] != output[2] {
        let message = format!("{} channels in, {} out", input[2], output[2]);
        return wrong(message, "all operations but `conv` keep their channels");
    }
    Ok(())
}
