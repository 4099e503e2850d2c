//! Control fields for code that has none, as a compiler would set them.
//!
//! A traced kernel shows its instructions without stall counts, dependence counters and reuse flags. This pass puts them in
//! again, once for each static instruction:
//!
//! 1. Results and sources of unknown latency: a forward flow over the executed order finds the first instructions that must
//!    wait. Counters are then handed out in program order, the least recently freed of the six first; when none is free the
//!    latest is shared. Waiters wait for the counters of all that they depend on.
//! 2. Results of fixed latency: a second flow carries how long ago each was issued; where a reader would come too early, the
//!    stall of the instruction before it grows, beyond 15 that of the one before that. Branches stall 5, as ptxas has it.
//! 3. Reuse flags: a slot keeps its register if the next instruction of the block that reads this slot and bank wants it.
//!
//! Models: read after write and write after write of all four register files, write after read for sources behind queues.
//! Leaves out: the order of instructions, which is the compiler's and stays; NOPs that it would put where 15 are too few
//! (see [`Derived::shortfalls`]).
//! Numbers: the parameter set's fixed latencies and distances, the same that the hazard check uses.
//! Source: arXiv 2503.20481 sections 4 and 5 for the meaning of the fields.
//! Start reading at [`derive()`]; the canonical tests are `tests/dependences.rs`.

use std::collections::BTreeMap;

use super::hazard::{HazardRegister, HazardUse};
use super::spec::SmSpec;
use super::timing::{NO_UNIT, Route, TimingError, place_of};
use workloads::sass::control::{Control, NO_COUNTER};
use workloads::sass::{Instruction, OpClass, Operand, RegisterFile, Uses};

/// Dependence counters of a warp.
const COUNTERS: u8 = 6;
const MAX_STALL: u8 = 15;
/// Own stall of branches, exits, barriers of the block, and of where paths come together, in ptxas' output.
const BRANCH_STALL: u8 = 5;
/// An instruction that a counter is raised for, and one that waits for it in the very next issue: the wait is seen from
/// two cycles on.
const COUNTER_VISIBLE: u8 = 2;
/// From one memory instruction to the next of a warp in ptxas' output: the address unit takes one every 4 cycles.
const MEMORY_STALL: u8 = 4;
/// Spacing of uniform instructions whose registers are not known.
const UNKNOWN_UNIFORM_STALL: u8 = 2;

/// A reader that stays too early: more than 15 cycles would be needed on every instruction in between.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shortfall {
    pub consumer: u32,
    pub cycles: u8,
}

/// What was derived.
#[derive(Clone, Debug)]
pub struct Derived {
    /// The instructions with their control fields.
    pub instructions: Vec<Instruction>,
    pub shortfalls: Vec<Shortfall>,
}

/// Sets the control field of every instruction. `successors` are the index pairs that a warp may execute one after the
/// other; `copy_counter` is left to LDGDEPBAR where the code has one.
///
/// # Errors
/// An instruction is not known.
pub fn derive(
    instructions: &[Instruction],
    successors: &[(u32, u32)],
    copy_counter: u8,
    spec: &SmSpec,
) -> Result<Derived, TimingError> {
    let code = Code::new(instructions, successors, spec)?;
    let mut controls = vec![Control::default(); instructions.len()];
    for ((control, class), instruction) in controls.iter_mut().zip(&code.classes).zip(instructions) {
        control.stall = match class {
            OpClass::Branch | OpClass::Exit | OpClass::Barrier => BRANCH_STALL,
            _ if reconverges(instruction) => BRANCH_STALL,
            OpClass::CounterBarrier => spec.issue.depbar_cycles,
            _ => 1,
        };
    }
    for (at, uses) in code.uses.iter().enumerate() {
        if matches!(code.classes[at], OpClass::Uniform | OpClass::UniformLoad) && uses.writes().next().is_none() {
            controls[at].stall = UNKNOWN_UNIFORM_STALL;
        }
    }
    // What the pipe would refuse anyway; the compiler says so.
    for (at, control) in controls.iter_mut().enumerate() {
        if let [next] = code.after[at][..] {
            control.stall = control.stall.max(code.interval(at, next as usize));
        }
    }
    for (control, class) in controls.iter_mut().zip(&code.classes) {
        match class {
            OpClass::CopyBarrier => control.write_counter = copy_counter,
            OpClass::BulkFlush => control.read_counter = copy_counter,
            _ => {}
        }
    }
    let copies = code.classes.iter().any(|class| matches!(class, OpClass::CopyBarrier | OpClass::BulkFlush));
    counters(&code, copies.then_some(copy_counter), &mut controls);
    let shortfalls = stalls(&code, &mut controls);
    let mut instructions = instructions.to_vec();
    for (control, instruction) in controls.iter_mut().zip(&mut instructions) {
        // Above 11 a stall counts only with yield; below, the compiler sets it with every stall for a dependence.
        control.yield_next = control.stall > 1 && control.stall != BRANCH_STALL;
        instruction.control = *control;
    }
    reuse(&code, &mut instructions);
    Ok(Derived { instructions, shortfalls })
}

/// Where paths of a warp come together: the next instruction is fetched anew, as behind a branch.
fn reconverges(instruction: &Instruction) -> bool {
    matches!(instruction.mnemonic.as_str(), "BSYNC" | "WARPSYNC")
}

/// The code with what is needed of each instruction.
struct Code {
    uses: Vec<HazardUse>,
    classes: Vec<OpClass>,
    fixed: Vec<bool>,
    /// Route, pipe or unit, initiation interval.
    places: Vec<(Route, u8, u8)>,
    before: Vec<Vec<u32>>,
    after: Vec<Vec<u32>>,
}

impl Code {
    fn new(instructions: &[Instruction], successors: &[(u32, u32)], spec: &SmSpec) -> Result<Self, TimingError> {
        let mut code = Self {
            uses: Vec::with_capacity(instructions.len()),
            classes: Vec::with_capacity(instructions.len()),
            fixed: Vec::with_capacity(instructions.len()),
            places: Vec::with_capacity(instructions.len()),
            before: vec![Vec::new(); instructions.len()],
            after: vec![Vec::new(); instructions.len()],
        };
        for instruction in instructions {
            let problem = |problem: String| TimingError::Instruction {
                line: instruction.line,
                pc: instruction.pc,
                text: instruction.text.clone(),
                problem,
            };
            let uses = Uses::of(instruction)?;
            let place = place_of(instruction, &uses, spec).map_err(problem)?;
            code.fixed.push(place.0 == Route::Fixed);
            // ptxas keeps CS2R, with which it clears pairs of registers, apart from what the pipe takes beside it on sm_90 and
            // sm_100, and leaves that to the pipe elsewhere.
            let is_spaced = instruction.mnemonic != "CS2R" || matches!(spec.arch.as_str(), "sm_90" | "sm_100");
            code.places.push(if is_spaced { place } else { (place.0, NO_UNIT, place.2) });
            code.uses.push(HazardUse::new(instruction, &uses, spec).map_err(problem)?);
            code.classes.push(uses.class);
        }
        for &(from, to) in successors {
            code.after[from as usize].push(to);
            code.before[to as usize].push(from);
        }
        Ok(code)
    }

    fn len(&self) -> usize {
        self.uses.len()
    }

    /// The only instruction that may follow, if nothing else leads to it.
    fn next_in_block(&self, at: usize) -> Option<usize> {
        match self.after[at][..] {
            [next] if self.before[next as usize].len() == 1 => Some(next as usize),
            _ => None,
        }
    }

    /// Cycles between two instructions that go to the same place.
    fn interval(&self, at: usize, next: usize) -> u8 {
        let ((route, unit, interval), (next_route, next_unit, _)) = (self.places[at], self.places[next]);
        match route {
            _ if route != next_route || unit != next_unit => 1,
            Route::Memory => MEMORY_STALL,
            _ if unit == NO_UNIT => 1,
            _ => interval.min(MAX_STALL),
        }
    }

    /// Results of the two are written in the order of issue.
    fn in_order(&self, first: usize, second: usize) -> bool {
        use OpClass::{LoadShared, Shuffle, SpecialRegister, WarpReduce, Xu};
        let class = self.classes[first];
        class == self.classes[second] && matches!(class, Xu | LoadShared | Shuffle | SpecialRegister | WarpReduce)
    }

    fn sources(&self, at: usize) -> impl Iterator<Item = HazardRegister> + '_ {
        let span = |span: workloads::sass::Span| span.registers().map(HazardRegister::Vector);
        self.uses[at].slots().into_iter().flat_map(span)
    }
}

/// A set of counted instructions, by their number among them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Set(Vec<u64>);

impl Set {
    fn add(&mut self, item: usize) {
        if self.0.len() <= item / 64 {
            self.0.resize(item / 64 + 1, 0);
        }
        self.0[item / 64] |= 1 << (item % 64);
    }

    fn remove(&mut self, item: usize) {
        if let Some(word) = self.0.get_mut(item / 64) {
            *word &= !(1 << (item % 64));
        }
    }

    /// Whether anything was new.
    fn unite(&mut self, other: &Self) -> bool {
        if self.0.len() < other.0.len() {
            self.0.resize(other.0.len(), 0);
        }
        let mut grew = false;
        for (own, other) in self.0.iter_mut().zip(&other.0) {
            grew |= *other & !*own != 0;
            *own |= other;
        }
        grew
    }

    fn items(&self) -> impl Iterator<Item = usize> + '_ {
        self.0
            .iter()
            .enumerate()
            .flat_map(|(word, &bits)| (0..64).filter(move |bit| bits >> bit & 1 == 1).map(move |bit| 64 * word + bit))
    }
}

/// Instructions of unknown latency on their way.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Pending {
    /// Results that are not written.
    results: Set,
    /// Sources that are not read.
    sources: Set,
}

/// Whom an instruction must wait for.
#[derive(Clone, Debug, Default)]
struct Waits {
    results: Vec<usize>,
    sources: Vec<usize>,
}

/// Hands the counters out and sets the wait masks.
fn counters(code: &Code, reserved: Option<u8>, controls: &mut [Control]) {
    // Behind a queue, or with a result of unknown latency.
    let counted: Vec<usize> = (0..code.len()).filter(|&at| !code.fixed[at]).collect();
    let mut number_of = vec![None; code.len()];
    counted.iter().enumerate().for_each(|(number, &at)| number_of[at] = Some(number));
    let waits = waits(code, &counted, &number_of);
    let mut read_is_waited = vec![false; counted.len()];
    let mut result_is_waited = vec![false; counted.len()];
    for wait in &waits {
        wait.results.iter().for_each(|&number| result_is_waited[number] = true);
        wait.sources.iter().for_each(|&number| read_is_waited[number] = true);
    }
    let mut file = CounterFile::new(reserved);
    for at in 0..code.len() {
        for &number in waits[at].results.iter().chain(&waits[at].sources) {
            file.free(number);
        }
        let Some(number) = number_of[at] else { continue };
        if result_is_waited[number] {
            controls[at].write_counter = file.take(number);
        }
        if read_is_waited[number] {
            controls[at].read_counter = file.take(number);
        }
    }
    for at in 0..code.len() {
        let mut mask = 0;
        for &number in &waits[at].results {
            mask |= 1 << controls[counted[number]].write_counter;
        }
        for &number in &waits[at].sources {
            mask |= 1 << controls[counted[number]].read_counter;
        }
        controls[at].wait_mask = mask;
    }
    // The counter is raised a cycle after issue: a waiter that follows at once must not come before.
    for (at, successors) in code.after.iter().enumerate() {
        let own = [controls[at].write_counter, controls[at].read_counter];
        let waited = |counter: u8| {
            counter != NO_COUNTER
                && successors.iter().any(|&next| controls[next as usize].wait_mask >> counter & 1 == 1)
        };
        if own.into_iter().any(waited) {
            controls[at].stall = controls[at].stall.max(COUNTER_VISIBLE);
        }
    }
}

/// The six counters while the code is walked in program order.
struct CounterFile {
    /// By counter: who holds it.
    held: [Vec<usize>; COUNTERS as usize],
    /// Free ones, the least recently freed first.
    free: Vec<u8>,
    latest: u8,
}

impl CounterFile {
    fn new(reserved: Option<u8>) -> Self {
        let free: Vec<u8> = (0..COUNTERS).filter(|&counter| Some(counter) != reserved).collect();
        Self { held: Default::default(), latest: free[0], free }
    }

    fn take(&mut self, number: usize) -> u8 {
        let counter = if self.free.is_empty() { self.latest } else { self.free.remove(0) };
        self.held[usize::from(counter)].push(number);
        self.latest = counter;
        counter
    }

    /// Somebody waits for `number`: its counters are zero then, whoever else holds them.
    fn free(&mut self, number: usize) {
        for counter in 0..COUNTERS {
            let held = &mut self.held[usize::from(counter)];
            if held.contains(&number) {
                held.clear();
                self.free.push(counter);
            }
        }
    }
}

/// Flows what is on its way along the executed order.
fn waits(code: &Code, counted: &[usize], number_of: &[Option<usize>]) -> Vec<Waits> {
    let mut entry = vec![Pending::default(); code.len()];
    let mut waits = vec![Waits::default(); code.len()];
    let written: Vec<Vec<HazardRegister>> = counted.iter().map(|&at| code.uses[at].writes().collect()).collect();
    let sources: Vec<Vec<HazardRegister>> = counted.iter().map(|&at| code.sources(at).collect()).collect();
    let mut queued = vec![true; code.len()];
    let mut queue: std::collections::BTreeSet<usize> = (0..code.len()).collect();
    while let Some(at) = queue.pop_first() {
        queued[at] = false;
        let mut state = entry[at].clone();
        let reads: Vec<HazardRegister> = code.uses[at].reads().map(|read| read.register).collect();
        let writes: Vec<HazardRegister> = code.uses[at].writes().collect();
        let any = |registers: &[HazardRegister], of: &[HazardRegister]| registers.iter().any(|own| of.contains(own));
        let wants = |number: usize| {
            let overwrites = any(&written[number], &writes) && !code.in_order(counted[number], at);
            overwrites || any(&written[number], &reads)
        };
        let wait = Waits {
            results: state.results.items().filter(|&number| wants(number)).collect(),
            sources: state.sources.items().filter(|&number| any(&sources[number], &writes)).collect(),
        };
        for &number in &wait.results {
            state.results.remove(number);
            state.sources.remove(number);
        }
        // Who waits for the result has waited for the sources.
        let only_sources = wait.sources.iter().copied().filter(|number| !wait.results.contains(number)).collect();
        wait.sources.iter().for_each(|&number| state.sources.remove(number));
        waits[at] = Waits { results: wait.results, sources: only_sources };
        if let Some(number) = number_of[at] {
            if !written[number].is_empty() {
                state.results.add(number);
            }
            if !sources[number].is_empty() {
                state.sources.add(number);
            }
        }
        for &next in &code.after[at] {
            let next = next as usize;
            let grew = entry[next].results.unite(&state.results) | entry[next].sources.unite(&state.sources);
            if grew && !std::mem::replace(&mut queued[next], true) {
                queue.insert(next);
            }
        }
    }
    waits
}

/// Results of fixed latency on their way: register and producer, with the cycles since its issue, at least.
type Ages = BTreeMap<(HazardRegister, u32), u8>;

/// No result of fixed latency takes longer.
const OLDEST: u8 = 64;

/// Raises stalls until no reader comes too early.
fn stalls(code: &Code, controls: &mut [Control]) -> Vec<Shortfall> {
    let mut exits: Vec<Ages> = vec![Ages::new(); code.len()];
    let mut shortfalls: BTreeMap<u32, u8> = BTreeMap::new();
    loop {
        let mut changed = false;
        shortfalls.clear();
        for at in 0..code.len() {
            let mut entry = Ages::new();
            for &before in &code.before[at] {
                let before = before as usize;
                let missing = missing(code, at, &aged(&exits[before], controls[before].stall));
                if missing > 0 {
                    changed |= raise(code, before, missing, controls);
                    let left = self::missing(code, at, &aged(&exits[before], controls[before].stall));
                    if left > 0 {
                        let most = shortfalls.entry(at as u32).or_default();
                        *most = left.max(*most);
                    }
                }
                for (result, age) in aged(&exits[before], controls[before].stall) {
                    entry.entry(result).and_modify(|own| *own = age.min(*own)).or_insert(age);
                }
            }
            let writes: Vec<HazardRegister> = code.uses[at].writes().collect();
            // Under a guard the older result may stay.
            if !code.uses[at].is_guarded() {
                entry.retain(|(register, _), _| !writes.contains(register));
            }
            if !code.uses[at].is_counted() {
                writes.iter().for_each(|&register| {
                    entry.insert((register, at as u32), 0);
                });
            }
            if entry != exits[at] {
                exits[at] = entry;
                changed = true;
            }
        }
        if !changed {
            break;
        }
    }
    shortfalls.into_iter().map(|(consumer, cycles)| Shortfall { consumer, cycles }).collect()
}

fn aged(ages: &Ages, cycles: u8) -> Ages {
    ages.iter().map(|(&result, &age)| (result, age.saturating_add(cycles))).filter(|(_, age)| *age < OLDEST).collect()
}

/// Cycles by which instruction `at` comes too early.
fn missing(code: &Code, at: usize, ages: &Ages) -> u8 {
    let reader = &code.uses[at];
    let producers = |register: HazardRegister| {
        ages.range((register, 0)..=(register, u32::MAX)).map(|(&(_, producer), &age)| (producer as usize, age))
    };
    let mut missing = 0;
    for read in reader.reads() {
        for (producer, age) in producers(read.register) {
            let needed = code.uses[producer].distance(reader, read).unwrap_or(0);
            missing = missing.max(needed.saturating_sub(age));
        }
    }
    // The later write must come last. Pipes of nearly the same length need nothing.
    for register in reader.writes() {
        for (producer, age) in producers(register) {
            let needed = code.uses[producer].latency().saturating_sub(reader.latency());
            missing = missing.max(needed.saturating_sub(age));
        }
    }
    missing
}

/// Adds `cycles` to the stall of instruction `at`, and what it cannot take to those before it in its block.
fn raise(code: &Code, at: usize, cycles: u8, controls: &mut [Control]) -> bool {
    let taken = cycles.min(MAX_STALL - controls[at].stall.min(MAX_STALL));
    controls[at].stall += taken;
    let mut changed = taken > 0;
    let left = cycles - taken;
    if left == 0 {
        return changed;
    }
    if let [before] = code.before[at][..]
        && code.next_in_block(before as usize) == Some(at)
    {
        changed |= raise(code, before as usize, left, controls);
    }
    changed
}

/// Sets the reuse flags.
fn reuse(code: &Code, instructions: &mut [Instruction]) {
    for (at, instruction) in instructions.iter_mut().enumerate() {
        instruction.control.reuse = 0;
        unmark(instruction);
        if !code.fixed[at] {
            continue;
        }
        let mut flags = 0;
        for (slot, span) in code.uses[at].slots().into_iter().enumerate() {
            if span.is_empty() || span.count > 2 {
                continue;
            }
            let mut here = at;
            let overwritten =
                |here: usize| code.uses[here].writes().any(|written| written == HazardRegister::Vector(span.first));
            while !overwritten(here)
                && let Some(next) = code.next_in_block(here)
            {
                let wanted = code.uses[next].slots()[slot];
                if !wanted.is_empty() && wanted.first % 2 == span.first % 2 {
                    if wanted == span && code.fixed[next] {
                        flags |= 1 << slot;
                    }
                    break;
                }
                here = next;
            }
        }
        instruction.control.reuse = flags;
        let kept: Vec<u8> = (code.uses[at].slots().iter().enumerate())
            .filter(|(slot, _)| flags >> slot & 1 == 1)
            .map(|(_, span)| span.first)
            .collect();
        kept.into_iter().for_each(|register| mark(instruction, register));
    }
}

/// Takes the marks of all operands away.
fn unmark(instruction: &mut Instruction) {
    for operand in &mut instruction.operands {
        if let Operand::Register(register) = operand {
            register.reuse = false;
        }
    }
}

/// Marks the last operand that names a register: sources stand behind destinations.
fn mark(instruction: &mut Instruction, number: u8) {
    let named = instruction.operands.iter_mut().rev().find_map(|operand| match operand {
        Operand::Register(register)
            if register.file == RegisterFile::Vector && register.number == number && !register.reuse =>
        {
            Some(register)
        }
        _ => None,
    });
    if let Some(register) = named {
        register.reuse = true;
    }
}
