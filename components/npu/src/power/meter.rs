//! Charges energy to components, tasks and windows of time while the event calendar runs.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use workloads::tensor::{DpuOperation, Element, Place, Task, TaskList, Variant, Work};

use super::spec::{GateSpec, PowerSpec};
use crate::tiled::{ClockName, EngineKind, Program, TiledSpec};

/// Charges energy. Without a power model it does nothing.
#[derive(Debug, Clone, Default)]
pub struct Meter {
    model: Option<Arc<Model>>,
    state: State,
}

sim_core::saved!(Meter { state: state; rebuilt: model });

/// A new supply and frequency of a clock's domain.
#[derive(Debug, Clone, Copy)]
pub struct Supply {
    pub clock: ClockName,
    /// Of its nominal frequency.
    pub ratio: f64,
    pub volts: f64,
}

/// What never changes in a run.
#[derive(Debug)]
struct Model {
    components: Vec<Component>,
    engines: u32,
    /// Where components are equal in the trace, their number there and its names.
    kinds: Vec<&'static str>,
    tasks: Vec<TaskEnergy>,
    spec: PowerSpec,
    window_ps: u64,
    cmx_mhz: f64,
}

#[derive(Debug)]
struct Component {
    name: String,
    kind: usize,
    /// The domain whose supply it has; none: fixed.
    clock: Option<ClockName>,
    sram: bool,
    /// At nominal supply and the machine's temperature.
    leakage_mw: f64,
    gate: GateSpec,
    /// Energy of a picosecond with a task, at nominal clock and supply.
    clock_pj_per_ps: f64,
}

/// Energy of a task's body at nominal supply, and what it touches.
#[derive(Debug, Default)]
struct TaskEnergy {
    /// Picojoules of the engine that does it.
    own_pj: f64,
    /// (component, picojoules) of the others.
    parts: Vec<(u32, f64)>,
    /// Components besides its engine that are awake while it runs.
    uses: Vec<u32>,
}

/// What has been charged.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct State {
    components: Vec<Charged>,
    tasks: Vec<f64>,
    /// By window and kind of component, picojoules.
    windows: Vec<Vec<f64>>,
    /// Present supply of each clock's domain, and its frequency over nominal.
    volts: [f64; 2],
    ratios: [f64; 2],
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Charged {
    dynamic_pj: f64,
    leakage_pj: f64,
    wake_pj: f64,
    on_ps: u64,
    clock_gated_ps: u64,
    gated_ps: u64,
    wakes: u64,
    /// Charged up to here.
    until: u64,
    /// Scratchpads: tasks that use it, and since when there is none.
    users: u32,
    idle_since: u64,
}

/// Energy of one component.
#[derive(Debug, Clone, PartialEq)]
pub struct ComponentEnergy {
    pub name: String,
    pub dynamic_pj: f64,
    pub leakage_pj: f64,
    pub wake_pj: f64,
    /// Time with work; without work but on, its clock gated; drowsy or off.
    pub on_ps: u64,
    pub clock_gated_ps: u64,
    pub gated_ps: u64,
    pub wakes: u64,
}

impl ComponentEnergy {
    pub fn total_pj(&self) -> f64 {
        self.dynamic_pj + self.leakage_pj + self.wake_pj
    }
}

/// Power by window of time.
#[derive(Debug, Clone, PartialEq)]
pub struct PowerTrace {
    pub window_ps: u64,
    /// Names of the columns.
    pub kinds: Vec<&'static str>,
    /// Picojoules a window and kind.
    pub energy_pj: Vec<Vec<f64>>,
}

impl PowerTrace {
    /// Milliwatts of a window, all kinds together; the last window counts as a whole one.
    pub fn milliwatts(&self, window: usize) -> f64 {
        self.energy_pj[window].iter().sum::<f64>() * 1e3 / self.window_ps as f64
    }

    /// The integral.
    pub fn total_pj(&self) -> f64 {
        self.energy_pj.iter().flatten().sum()
    }
}

/// Where the energy of a run went.
#[derive(Debug, Clone, PartialEq)]
pub struct EnergyReport {
    pub components: Vec<ComponentEnergy>,
    /// Dynamic energy and wake-ups of each task, in the order of the list; leakage belongs to no task.
    pub tasks_pj: Vec<f64>,
    pub trace: Option<PowerTrace>,
}

impl EnergyReport {
    pub fn total_pj(&self) -> f64 {
        self.components.iter().map(ComponentEnergy::total_pj).sum()
    }
}

impl Meter {
    /// A meter for a program; one that does nothing if the machine has no power model.
    pub fn new(list: &TaskList, program: &Program, spec: &TiledSpec) -> Meter {
        let Some(power) = &spec.power else { return Meter::default() };
        let model = Model::new(list, program, spec, power);
        let state = State {
            components: vec![Charged::default(); model.components.len()],
            tasks: vec![0.0; model.tasks.len()],
            windows: Vec::new(),
            volts: [power.dpu_volts, power.cmx_volts],
            ratios: [1.0; 2],
        };
        Meter { model: Some(Arc::new(model)), state }
    }

    /// An engine without a task from `idle_since` on, up to `to`.
    pub fn idle(&mut self, engine: u32, idle_since: u64, to: u64) {
        if let Some(model) = self.model.clone() {
            self.state.idle(&model, engine, idle_since, to);
        }
    }

    /// A task starts on an engine. Returns how long it takes until all that it needs is awake.
    pub fn start(&mut self, task: u32, engine: u32, idle_since: u64, now: u64) -> u64 {
        let Some(model) = self.model.clone() else { return 0 };
        let mut wake_ps = self.state.wake(&model, engine, task, idle_since, now);
        for &part in &model.tasks[task as usize].uses {
            if self.state.components[part as usize].users == 0 {
                let idle_since = self.state.components[part as usize].idle_since;
                self.state.idle(&model, part, idle_since, now);
                wake_ps = wake_ps.max(self.state.wake(&model, part, task, idle_since, now));
            }
            self.state.components[part as usize].users += 1;
        }
        wake_ps
    }

    /// An engine with a task, of whose body a share passed.
    pub fn active(&mut self, engine: u32, task: u32, share_of_body: f64, from: u64, to: u64) {
        let Some(model) = self.model.clone() else { return };
        let clock_pj = self.state.on(&model, engine, from, to);
        self.state.tasks[task as usize] += clock_pj;
        let of_task = &model.tasks[task as usize];
        for &part in &of_task.uses {
            let from = self.state.components[part as usize].until;
            self.state.on(&model, part, from.min(to), to);
        }
        if share_of_body > 0.0 {
            for &(part, pj) in [(engine, of_task.own_pj)].iter().chain(&of_task.parts) {
                let pj = pj * share_of_body * self.state.supply_factor(&model, part);
                self.state.components[part as usize].dynamic_pj += pj;
                self.state.tasks[task as usize] += pj;
                self.state.spread(&model, part, pj, from, to);
            }
        }
    }

    /// A task has ended.
    pub fn end(&mut self, task: u32, now: u64) {
        let Some(model) = self.model.clone() else { return };
        for &part in &model.tasks[task as usize].uses {
            let component = &mut self.state.components[part as usize];
            component.users -= 1;
            component.idle_since = now;
        }
    }

    /// A domain gets another supply; all engines have been charged up to now.
    pub fn change_supply(&mut self, supply: Supply, now: u64) {
        if let Some(model) = self.model.clone() {
            self.state.catch_up(&model, now);
            self.state.volts[supply.clock as usize] = supply.volts;
            self.state.ratios[supply.clock as usize] = supply.ratio;
        }
    }

    /// Charges what is left up to `at`, when engines have been charged.
    pub fn finish(&mut self, at: u64) {
        if let Some(model) = self.model.clone() {
            self.state.catch_up(&model, at);
        }
    }

    /// What has been charged; none without a power model.
    pub fn report(&self) -> Option<EnergyReport> {
        let model = self.model.as_ref()?;
        let components =
            model.components.iter().zip(&self.state.components).map(|(component, charged)| ComponentEnergy {
                name: component.name.clone(),
                dynamic_pj: charged.dynamic_pj,
                leakage_pj: charged.leakage_pj,
                wake_pj: charged.wake_pj,
                on_ps: charged.on_ps,
                clock_gated_ps: charged.clock_gated_ps,
                gated_ps: charged.gated_ps,
                wakes: charged.wakes,
            });
        let trace = (model.window_ps > 0).then(|| PowerTrace {
            window_ps: model.window_ps,
            kinds: model.kinds.clone(),
            energy_pj: self.state.windows.clone(),
        });
        Some(EnergyReport { components: components.collect(), tasks_pj: self.state.tasks.clone(), trace })
    }
}

impl State {
    /// Leakage and states of a component without work since `idle_since`.
    fn idle(&mut self, model: &Model, number: u32, idle_since: u64, to: u64) {
        let gate = &model.components[number as usize].gate;
        let from = self.components[number as usize].until;
        if to <= from {
            return;
        }
        let split = gate.gated_from(idle_since).clamp(from, to);
        let leakage = self.leakage_mw(model, number);
        self.leak(model, number, leakage, from, split);
        self.leak(model, number, leakage * gate.residual, split, to);
        let charged = &mut self.components[number as usize];
        charged.clock_gated_ps += split - from;
        charged.gated_ps += to - split;
        charged.until = to;
    }

    /// A component with work. Returns the energy of its clock.
    fn on(&mut self, model: &Model, number: u32, from: u64, to: u64) -> f64 {
        let from = from.max(self.components[number as usize].until);
        if to <= from {
            return 0.0;
        }
        let leakage = self.leakage_mw(model, number);
        self.leak(model, number, leakage, from, to);
        let component = &model.components[number as usize];
        let ratio = component.clock.map_or(1.0, |clock| self.ratios[clock as usize]);
        let pj = component.clock_pj_per_ps * (to - from) as f64 * ratio * self.supply_factor(model, number);
        let charged = &mut self.components[number as usize];
        charged.dynamic_pj += pj;
        charged.on_ps += to - from;
        charged.until = to;
        self.spread(model, number, pj, from, to);
        pj
    }

    /// Everything that is no engine: scratchpads by their users, the rest always on.
    fn catch_up(&mut self, model: &Model, to: u64) {
        for number in model.engines..model.components.len() as u32 {
            let Charged { users, idle_since, until, .. } = self.components[number as usize];
            if users > 0 || !model.components[number as usize].gate.gated {
                self.on(model, number, until, to);
            } else {
                self.idle(model, number, idle_since, to);
            }
        }
    }

    /// Time and energy to have a component awake that has been without work since `idle_since`.
    fn wake(&mut self, model: &Model, number: u32, task: u32, idle_since: u64, now: u64) -> u64 {
        let gate = &model.components[number as usize].gate;
        if now < gate.gated_from(idle_since) {
            return 0;
        }
        let pj = gate.wake_pj * self.supply_factor(model, number);
        let charged = &mut self.components[number as usize];
        charged.wakes += 1;
        charged.wake_pj += pj;
        self.tasks[task as usize] += pj;
        self.spread(model, number, pj, now, now);
        (gate.wake_cycles * 1e6 / model.cmx_mhz).round() as u64
    }

    /// Square of the supply over nominal.
    fn supply_factor(&self, model: &Model, number: u32) -> f64 {
        let Some(clock) = model.components[number as usize].clock else { return 1.0 };
        let ratio = self.volts[clock as usize] / model.nominal_volts(clock);
        ratio * ratio
    }

    fn leakage_mw(&self, model: &Model, number: u32) -> f64 {
        let component = &model.components[number as usize];
        let Some(clock) = component.clock else { return component.leakage_mw };
        let of = |volts: f64| {
            let (logic, sram) = model.spec.leakage.at(volts);
            if component.sram { sram } else { logic }
        };
        component.leakage_mw * of(self.volts[clock as usize]) / of(model.nominal_volts(clock))
    }

    fn leak(&mut self, model: &Model, number: u32, milliwatts: f64, from: u64, to: u64) {
        // A milliwatt is 10⁻³ picojoules a picosecond.
        let pj = milliwatts * 1e-3 * (to - from) as f64;
        self.components[number as usize].leakage_pj += pj;
        self.spread(model, number, pj, from, to);
    }

    /// Gives energy to the windows between two times, evenly.
    fn spread(&mut self, model: &Model, number: u32, pj: f64, from: u64, to: u64) {
        let window = model.window_ps;
        if window == 0 || pj == 0.0 {
            return;
        }
        let kind = model.components[number as usize].kind;
        let last = (to.max(from + 1) - 1) / window;
        if self.windows.len() as u64 <= last {
            self.windows.resize(last as usize + 1, vec![0.0; model.kinds.len()]);
        }
        let first = from / window;
        if first == last {
            self.windows[first as usize][kind] += pj;
            return;
        }
        let per_ps = pj / (to - from) as f64;
        for at in first..=last {
            let begin = from.max(at * window);
            let end = to.min((at + 1) * window);
            self.windows[at as usize][kind] += per_ps * (end - begin) as f64;
        }
    }
}

/// Kinds of components as the trace shows them, besides the engines.
const CMX: usize = EngineKind::ALL.len();
const DDR: usize = CMX + 1;
const ALWAYS_ON: usize = CMX + 2;

impl Model {
    fn new(list: &TaskList, program: &Program, spec: &TiledSpec, power: &PowerSpec) -> Model {
        let temperature = power.leakage.at_celsius(power.temperature_c);
        let leakage = &power.leakage;
        let array_pj_per_ps =
            power.event.mac_pj * (spec.dpu.macs_per_cycle * u64::from(spec.dpus_per_tile)) as f64 * spec.dpu_mhz / 1e6;
        let mut components = Vec::new();
        for queue in &program.queues {
            for engine in 0..queue.engines {
                let name = if queue.engines > 1 { format!("{}.{engine}", queue.name) } else { queue.name.clone() };
                let (leakage_mw, gate, clock, clock_pj_per_ps) = match queue.kind {
                    EngineKind::Dpu => {
                        let idle = power.event.idle_share * array_pj_per_ps;
                        (leakage.dpu_mw, power.dpu_gate, Some(ClockName::Dpu), idle)
                    }
                    EngineKind::Shave => (leakage.shave_mw, power.shave_gate, Some(ClockName::Cmx), 0.0),
                    EngineKind::Dma => (leakage.dma_mw, power.dma_gate, Some(ClockName::Cmx), 0.0),
                    // Their leakage is part of what is always on.
                    EngineKind::M2i | EngineKind::Cpu => (0.0, GateSpec::NEVER, None, 0.0),
                };
                components.push(Component {
                    name,
                    kind: queue.kind as usize,
                    clock,
                    sram: false,
                    leakage_mw: leakage_mw * temperature,
                    gate,
                    clock_pj_per_ps,
                });
            }
        }
        let engines = components.len() as u32;
        for tile in 0..spec.tiles {
            components.push(Component {
                name: format!("cmx{tile}"),
                kind: CMX,
                clock: Some(ClockName::Cmx),
                sram: true,
                leakage_mw: leakage.cmx_mw * temperature,
                gate: power.cmx_gate,
                clock_pj_per_ps: 0.0,
            });
        }
        for (name, kind, milliwatts) in [("ddr", DDR, 0.0), ("always on", ALWAYS_ON, leakage.always_on_mw)] {
            components.push(Component {
                name: name.to_owned(),
                kind,
                clock: None,
                sram: false,
                leakage_mw: milliwatts * temperature,
                gate: GateSpec::NEVER,
                clock_pj_per_ps: 0.0,
            });
        }
        let mut kinds: Vec<&'static str> = EngineKind::ALL.iter().map(|kind| kind.name()).collect();
        kinds.extend(["cmx", "ddr", "always on"]);
        let mut model = Model {
            components,
            engines,
            kinds,
            tasks: Vec::new(),
            spec: power.clone(),
            window_ps: (power.trace_window_us * 1e6).round() as u64,
            cmx_mhz: spec.cmx_mhz,
        };
        model.tasks = list
            .tasks()
            .iter()
            .zip(&program.tasks)
            .map(|(task, planned)| model.task(task, planned.body.picoseconds, spec))
            .collect();
        model
    }

    fn nominal_volts(&self, clock: ClockName) -> f64 {
        match clock {
            ClockName::Dpu => self.spec.dpu_volts,
            ClockName::Cmx => self.spec.cmx_volts,
        }
    }

    fn task(&self, task: &Task, body_ps: u64, spec: &TiledSpec) -> TaskEnergy {
        let event = &self.spec.event;
        let cmx = |tile: u32| self.engines + tile;
        let ddr = self.engines + spec.tiles;
        let mut energy = TaskEnergy::default();
        match &task.work {
            Work::Dpu { tile, variants } => {
                energy.own_pj = variants.iter().map(|variant| self.variant_pj(variant, spec)).sum();
                energy.uses.push(cmx(*tile));
            }
            Work::Shave { tile, element, elements, .. } => {
                let cycles = body_ps as f64 * spec.cmx_mhz / 1e6;
                energy.own_pj = event.shave_cycle_pj * cycles;
                energy.parts.push((cmx(*tile), event.cmx_byte_pj * (2 * element.bytes_of(*elements)) as f64));
                energy.uses.push(cmx(*tile));
            }
            Work::Dma { source, destination, bytes, .. } => {
                energy.own_pj = event.dma_byte_pj * *bytes as f64;
                for place in [source, destination] {
                    if *place == Place::Ddr {
                        energy.parts.push((ddr, event.ddr_byte_pj * *bytes as f64));
                    }
                    energy.parts.extend(place.tiles().map(|tile| (cmx(tile), event.cmx_byte_pj * *bytes as f64)));
                }
                energy.uses = source.tiles().chain(destination.tiles()).map(cmx).collect();
                energy.uses.sort_unstable();
                energy.uses.dedup();
            }
            Work::M2i | Work::Cpu => {}
        }
        energy
    }

    /// Ideal cycles of the array, zeros skipped, at the activity of the operation.
    ///
    /// Source of the form and the factors: intel/npu-nn-cost-model 8a2ae92, energy interface: ideal cycles times a factor by
    /// operation and type, relative to 8-bit convolution.
    fn variant_pj(&self, variant: &Variant, spec: &TiledSpec) -> f64 {
        let event = &self.spec.event;
        let points: u64 = variant.output.iter().product::<u64>() * variant.kernel[0] * variant.kernel[1];
        let (operations, factor) = match variant.op {
            DpuOperation::Conv => (points * variant.input[2], 1.0),
            DpuOperation::Depthwise => (points, event.depthwise_factor),
            DpuOperation::MaxPool => (points, event.max_pool_factor),
            DpuOperation::AveragePool => (points, event.average_pool_factor),
            DpuOperation::Eltwise => (points, event.eltwise_factor),
        };
        let wide = matches!(variant.element, Element::F16 | Element::Bf16 | Element::I16 | Element::U16);
        let width = if wide { spec.dpu.f16_factor as f64 * event.f16_factor } else { 1.0 };
        let dense = (1.0 - variant.weight_sparsity).min(1.0 - variant.activation_sparsity);
        operations as f64 * dense * factor * width * event.mac_pj
    }
}
