//! A task list made ready for a machine: queues, costs, barriers in program order; what cannot run is refused.

use rustc_hash::FxHashMap;
use workloads::InputError;
use workloads::tensor::{Place, Task, TaskList, Variant, Work};

use super::cost::{Cost, Stretch, cost};
use super::order;
use super::spec::TiledSpec;

/// What kind of engine a queue feeds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EngineKind {
    Dma,
    Dpu,
    Shave,
    M2i,
    Cpu,
}

impl EngineKind {
    pub const ALL: [EngineKind; 5] =
        [EngineKind::Dma, EngineKind::Dpu, EngineKind::Shave, EngineKind::M2i, EngineKind::Cpu];

    pub fn name(self) -> &'static str {
        match self {
            EngineKind::Dma => "dma",
            EngineKind::Dpu => "dpu",
            EngineKind::Shave => "shave",
            EngineKind::M2i => "m2i",
            EngineKind::Cpu => "cpu",
        }
    }
}

/// A FIFO queue and the engines behind it.
#[derive(Debug, Clone)]
pub struct Queue {
    pub kind: EngineKind,
    /// `dma0.ddr`, `dpu1`, `shave3`, …; its engines have a number behind a point where there are several.
    pub name: String,
    /// The tile it belongs to, if any.
    pub tile: Option<u32>,
    /// Numbers of its engines: `first..first + count`.
    pub first_engine: u32,
    pub engines: u32,
    /// Its tasks, as places in the list.
    pub tasks: Vec<u32>,
}

/// A task with its cost and what it uses.
#[derive(Debug, Clone)]
pub struct Planned {
    pub queue: u32,
    pub latency: Stretch,
    pub body: Stretch,
    /// Bytes a picosecond of the body, alone; 0 when it moves none.
    pub cap: f64,
    /// What it shares: see [`Program::bandwidths`].
    pub resources: Vec<u32>,
    /// Program-order numbers of its barriers.
    pub wait: Vec<u32>,
    pub update: Vec<u32>,
    pub cost: Cost,
    /// What goes through memory channels, where there are any.
    pub ddr: Option<DdrTransfer>,
}

/// The side of a transfer that main memory sees. Lists have no addresses: transfers lie one behind the other.
#[derive(Debug, Clone, Copy)]
pub struct DdrTransfer {
    pub address: u64,
    pub bytes: u64,
    pub write: bool,
}

/// A barrier of the program.
#[derive(Debug, Clone)]
pub struct Barrier {
    /// As in the list.
    pub id: u32,
    pub producers: u32,
    pub consumers: u32,
}

/// A task list on a machine.
#[derive(Debug, Clone)]
pub struct Program {
    pub queues: Vec<Queue>,
    pub tasks: Vec<Planned>,
    /// In program order: that of their first mention.
    pub barriers: Vec<Barrier>,
    /// Bytes a picosecond: DDR, then the DMA ports, then the tiles' scratchpads.
    pub bandwidths: Vec<f64>,
    pub physical_barriers: u32,
}

impl Program {
    /// Places the tasks on a machine's queues and costs them.
    ///
    /// # Errors
    /// The machine has no such tile, port or engine; a scratchpad overflows; a barrier has too many slots; there is no cost
    /// function; the tasks wait for each other in a circle.
    pub fn new(list: &TaskList, spec: &TiledSpec) -> Result<Program, InputError> {
        let mut queues = queues(spec);
        let by_name: FxHashMap<String, u32> = (0..).zip(&queues).map(|(n, queue)| (queue.name.clone(), n)).collect();
        let (barriers, numbers) = barriers(list, spec)?;
        let bandwidths = bandwidths(spec);
        let mut address = 0;
        let mut tasks = Vec::with_capacity(list.tasks().len());
        for (index, task) in (0..).zip(list.tasks()) {
            let name = queue_of(list, task, spec)?;
            let queue = by_name[&name];
            queues[queue as usize].tasks.push(index);
            scratchpad(list, task, spec)?;
            let cost = cost(task, spec).map_err(|error| list.error(task, error.message, error.help))?;
            let resources = resources(&task.work, spec);
            // Alone it has the speed of its cost function, whatever the last place of the division says.
            let tightest =
                resources.iter().map(|resource| bandwidths[*resource as usize]).fold(f64::INFINITY, f64::min);
            let cap = match cost.body.picoseconds {
                0 => 0.0,
                ps => (cost.bytes as f64 / ps as f64).min(tightest),
            };
            let number = |barriers: &[u32]| barriers.iter().map(|barrier| numbers[barrier]).collect();
            let ddr = spec.memory.channels.and_then(|_| ddr_transfer(&task.work, address));
            address = ddr.map_or(address, |ddr| (ddr.address + ddr.bytes).next_multiple_of(4096));
            tasks.push(Planned {
                queue,
                latency: cost.latency,
                body: cost.body,
                cap: if resources.is_empty() { 0.0 } else { cap },
                resources,
                wait: number(&task.wait),
                update: number(&task.update),
                cost,
                ddr,
            });
        }
        let program = Program { queues, tasks, barriers, bandwidths, physical_barriers: spec.physical_barriers };
        order::check(list, &program)?;
        program.check_length(list)?;
        Ok(program)
    }

    /// Times are 64 bits of picoseconds, with room for what sharing adds.
    fn check_length(&self, list: &TaskList) -> Result<(), InputError> {
        let mut total: u64 = 0;
        for (planned, task) in self.tasks.iter().zip(list.tasks()) {
            total = total.saturating_add(planned.latency.picoseconds).saturating_add(planned.body.picoseconds);
            if total > LONGEST_PS {
                let message = format!("the tasks up to here take {:.0} hours", total as f64 / 3.6e15);
                return Err(list.error(task, message, "all tasks together can take 80 hours of simulated time"));
            }
        }
        Ok(())
    }

    /// Number of engines, over all queues.
    pub fn engines(&self) -> usize {
        self.queues.iter().map(|queue| queue.engines as usize).sum()
    }
}

/// 80 hours.
const LONGEST_PS: u64 = 1 << 58;

fn ddr_transfer(work: &Work, address: u64) -> Option<DdrTransfer> {
    match work {
        // A copy within memory is read and written; its reads stand for both.
        Work::Dma { source: Place::Ddr, bytes, .. } => Some(DdrTransfer { address, bytes: *bytes, write: false }),
        Work::Dma { destination: Place::Ddr, bytes, .. } => Some(DdrTransfer { address, bytes: *bytes, write: true }),
        _ => None,
    }
}

fn queues(spec: &TiledSpec) -> Vec<Queue> {
    let mut queues: Vec<Queue> = Vec::new();
    let mut first_engine = 0;
    let mut add = |kind, name: String, tile, engines| {
        queues.push(Queue { kind, name, tile, first_engine, engines, tasks: Vec::new() });
        first_engine += engines;
    };
    for port in 0..spec.dma_ports {
        for channel in ["ddr", "cmx"] {
            add(EngineKind::Dma, format!("dma{port}.{channel}"), None, 1);
        }
    }
    for tile in 0..spec.tiles {
        // The DPUs of a tile work on the variants of one task together.
        add(EngineKind::Dpu, format!("dpu{tile}"), Some(tile), 1);
    }
    for tile in 0..spec.tiles {
        add(EngineKind::Shave, format!("shave{tile}"), Some(tile), spec.shaves_per_tile);
    }
    if spec.m2i_engines > 0 {
        add(EngineKind::M2i, "m2i".to_owned(), None, spec.m2i_engines);
    }
    add(EngineKind::Cpu, "cpu".to_owned(), None, 1);
    queues
}

fn queue_of(list: &TaskList, task: &Task, spec: &TiledSpec) -> Result<String, InputError> {
    let on_tile = |tile: u32| match tile < spec.tiles {
        true => Ok(()),
        false => Err(list.error(task, format!("there is no tile {tile}"), format!("the machine has {}", spec.tiles))),
    };
    for range in &task.cmx {
        on_tile(range.tile)?;
    }
    match &task.work {
        Work::Dpu { tile, variants } => {
            on_tile(*tile)?;
            if let Some(variant) = variants.iter().find(|variant| variant.out_tiles > spec.tiles) {
                let message = format!("a variant writes to {} tiles", variant.out_tiles);
                return Err(list.error(task, message, format!("the machine has {}", spec.tiles)));
            }
            Ok(format!("dpu{tile}"))
        }
        Work::Shave { tile, .. } => on_tile(*tile).map(|()| format!("shave{tile}")),
        Work::Dma { port, source, destination, .. } => {
            source.tiles().chain(destination.tiles()).try_for_each(on_tile)?;
            if *port >= spec.dma_ports {
                let help = format!("the machine has {}", spec.dma_ports);
                return Err(list.error(task, format!("there is no DMA port {port}"), help));
            }
            let channel = if *source == Place::Ddr { "ddr" } else { "cmx" };
            Ok(format!("dma{port}.{channel}"))
        }
        Work::M2i if spec.m2i_engines == 0 => {
            Err(list.error(task, "the machine has no image engine", "npu-4 has one; or the task on another engine"))
        }
        Work::M2i => Ok("m2i".to_owned()),
        Work::Cpu => Ok("cpu".to_owned()),
    }
}

/// Scratchpad that one task needs at least, and places that it names.
fn scratchpad(list: &TaskList, task: &Task, spec: &TiledSpec) -> Result<(), InputError> {
    let capacity = spec.cmx_bytes();
    let help = format!("a tile has {} KiB = {capacity} bytes of CMX", spec.cmx_kib_per_tile);
    for range in &task.cmx {
        if range.offset.checked_add(range.bytes).is_none_or(|end| end > capacity) {
            let message = format!("CMX overflow: {} bytes at {} of tile {}", range.bytes, range.offset, range.tile);
            return Err(list.error(task, message, help));
        }
    }
    let needed = match &task.work {
        Work::Dpu { variants, .. } => variants.iter().map(variant_bytes).max().unwrap_or(0),
        Work::Dma { bytes, source, destination, .. } if source.tiles().len() + destination.tiles().len() > 0 => *bytes,
        _ => 0,
    };
    match needed > capacity {
        true => Err(list.error(task, format!("CMX overflow: it needs {needed} bytes at once"), help)),
        false => Ok(()),
    }
}

/// Operands and result of a variant lie in the scratchpad together.
fn variant_bytes(variant: &Variant) -> u64 {
    variant.input_bytes() + variant.weight_bytes() + variant.output_bytes()
}

/// Barriers in the order of their first mention, and the number of each id.
fn barriers(list: &TaskList, spec: &TiledSpec) -> Result<(Vec<Barrier>, FxHashMap<u32, u32>), InputError> {
    let mut numbers = FxHashMap::default();
    let mut barriers: Vec<Barrier> = Vec::new();
    let mut slots: Vec<u64> = Vec::new();
    for task in list.tasks() {
        // What is updated is written first: a barrier is programmed for its producers.
        let both = task.update.iter().map(|id| (id, true)).chain(task.wait.iter().map(|id| (id, false)));
        for (id, produces) in both {
            let number = *numbers.entry(*id).or_insert_with(|| {
                barriers.push(Barrier { id: *id, producers: 0, consumers: 0 });
                slots.push(0);
                barriers.len() as u32 - 1
            }) as usize;
            let counted = if produces { &mut barriers[number].producers } else { &mut barriers[number].consumers };
            *counted += 1;
            slots[number] += task.work.barrier_slots();
            if slots[number] > spec.slots_per_barrier {
                let message = format!("barrier {id} has {} producers and consumers or more", slots[number]);
                let help = format!("the machine has {} slots a barrier; a variant takes one", spec.slots_per_barrier);
                return Err(list.error(task, message, help));
            }
        }
    }
    Ok((barriers, numbers))
}

/// What tasks share at level 2, in bytes a picosecond.
fn bandwidths(spec: &TiledSpec) -> Vec<f64> {
    use super::spec::Sharing;
    let resources = 1 + spec.dma_ports as usize + spec.tiles as usize;
    if spec.memory.sharing != Sharing::MaxMin {
        return vec![f64::INFINITY; resources];
    }
    let per_ps = |bytes: f64, mhz: f64| bytes * mhz / 1e6;
    let ddr = if spec.memory.channels.is_some() { f64::INFINITY } else { spec.memory.ddr_mb_per_s / 1e6 };
    let mut bandwidths = vec![ddr];
    let port = per_ps(spec.dma.bytes_per_cycle as f64, spec.cmx_mhz);
    bandwidths.extend((0..spec.dma_ports).map(|_| port));
    let cmx = per_ps(spec.memory.cmx_bytes_per_cycle, spec.cmx_mhz);
    bandwidths.extend((0..spec.tiles).map(|_| cmx));
    bandwidths
}

/// Numbers of what a task moves its bytes through.
fn resources(work: &Work, spec: &TiledSpec) -> Vec<u32> {
    let cmx = |tile: u32| 1 + spec.dma_ports + tile;
    match work {
        Work::Dpu { tile, .. } | Work::Shave { tile, .. } => vec![cmx(*tile)],
        Work::Dma { port, source, destination, .. } => {
            let mut used = vec![1 + port];
            if *source == Place::Ddr || *destination == Place::Ddr {
                used.push(0);
            }
            used.extend(source.tiles().chain(destination.tiles()).map(cmx));
            // Within one tile, reading and writing share its ports.
            used.sort_unstable();
            used.dedup();
            used
        }
        Work::M2i | Work::Cpu => Vec::new(),
    }
}
