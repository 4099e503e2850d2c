//! Paths of a warp: which lanes are where, who waits for whom.
//!
//! ```text
//!            BRA, lanes disagree            BSYNC: waits until all of its region came
//!  running ───────────────┬─▶ ready (stack) ──▶ running ──▶ arrived ──┐
//!     ▲                   └─▶ running goes on                         │
//!     └───────────────────────────────────────────────────────────────┘
//! ```
//!
//! Since Volta, each thread has its own program counter; lanes of a warp that disagree run on separately and come together
//! again only where the compiler says so: BSSY names a region's lanes, BSYNC waits for them, BREAK and EXIT leave.
//! Which path runs first is not specified. Here: **where lanes disagree, those that do not jump go on**, the others run when
//! these stop (last parted, first resumed); and **a path that jumps backwards, or says YIELD, steps behind all others
//! that are ready**. The first keeps the order of the listing. The second makes sure that every ready path gets its turn,
//! so that a thread that spins on a lock held by another lane of its warp comes to an end, as hardware guarantees.
//! Both depend on nothing but the program and its data.

use super::frame::lanes_of;

/// Lanes at one program counter (index into the code).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct Path {
    pub at: u32,
    pub lanes: u32,
}

/// Lanes that BSSY told to come together again.
#[derive(Clone, Copy, Debug, Hash, serde::Serialize, serde::Deserialize)]
struct Region {
    barrier: u8,
    /// Where they go on.
    target: u32,
    lanes: u32,
    arrived: u32,
    /// Lanes that saved the barrier register and use it for other regions until they restore it (BMOV).
    saved: u32,
}

/// Lanes that wait at a WARPSYNC for all that name the same mask, wherever these are (PTX ISA, `bar.warp.sync`).
#[derive(Clone, Debug, Hash, serde::Serialize, serde::Deserialize)]
struct Gathering {
    mask: u32,
    /// Of the mask, those that have not exited.
    wanted: u32,
    /// Those that are here, at their next instruction.
    arrived: Vec<Path>,
}

impl Gathering {
    fn is_complete(&self) -> bool {
        self.arrived.iter().fold(self.wanted, |missing, path| missing & !path.lanes) == 0
    }
}

/// What a barrier of the block computes from a predicate of all threads that come to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum BarrierReduction {
    /// How many hold.
    Count,
    All,
    Any,
}

/// A path that waits at a barrier of its block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct Parked {
    pub barrier: u8,
    /// Threads the barrier waits for; 0 = all of the block.
    pub threads: u32,
    pub path: Path,
    /// The path stops here; otherwise it has gone on (BAR.ARV).
    pub waits: bool,
    /// What is computed, and the lanes whose predicate holds.
    pub reduction: Option<(BarrierReduction, u32)>,
}

/// Control state of one warp.
#[derive(Clone, Debug, Default, Hash, serde::Serialize, serde::Deserialize)]
pub struct Divergence {
    /// Next to run: the last.
    ready: Vec<Path>,
    regions: Vec<Region>,
    gatherings: Vec<Gathering>,
    pub parked: Vec<Parked>,
    /// Paths that stopped before an instruction whose condition does not hold yet.
    pub polling: Vec<Path>,
    /// What the last barrier with a reduction computed: a number and a predicate.
    pub barrier_result: (u32, bool),
    /// Lanes that have not exited.
    pub live: u32,
}

impl Divergence {
    /// A warp of these lanes, about to run from the first instruction.
    pub fn reset(&mut self, lanes: u32) {
        self.ready.clear();
        self.regions.clear();
        self.gatherings.clear();
        self.parked.clear();
        self.polling.clear();
        self.barrier_result = (0, false);
        self.live = lanes;
        self.ready.push(Path { at: 0, lanes });
    }

    pub fn next(&mut self) -> Option<Path> {
        self.ready.pop()
    }

    /// What [`Divergence::next`] would give.
    pub fn peek(&self) -> Option<Path> {
        self.ready.last().copied()
    }

    /// Lets the polling paths try again, in order.
    pub fn poll(&mut self) {
        let polling = std::mem::take(&mut self.polling);
        self.ready.extend(polling.into_iter().rev());
    }

    pub fn is_alone(&self) -> bool {
        self.ready.is_empty()
    }

    /// To run when what runs now stops.
    pub fn suspend(&mut self, path: Path) {
        self.ready.push(path);
    }

    /// To run when all others that are ready have run.
    pub fn step_back(&mut self, path: Path) {
        self.ready.insert(0, path);
    }

    /// BSSY: these lanes will come together at `target`.
    pub fn open(&mut self, barrier: u8, lanes: u32, target: u32) {
        // A region is opened anew by lanes that never came to its end.
        self.leave(barrier, lanes);
        self.regions.push(Region { barrier, target, lanes, arrived: 0, saved: 0 });
    }

    /// More regions than calls can have nested: a stack of 1024 bytes holds 128 frames that save a register, for 32 lanes each.
    pub fn is_too_deep(&self) -> bool {
        self.regions.len() > 4096
    }

    /// BSYNC by `path`. Returns the path that goes on at once, if one does.
    pub fn arrive(&mut self, barrier: u8, path: Path, next: u32) -> Option<Path> {
        let mut outside = path.lanes;
        let mut complete = None;
        for index in (0..self.regions.len()).rev() {
            let region = &mut self.regions[index];
            let comes = region.lanes & outside & !region.saved;
            if region.barrier != barrier || comes == 0 {
                continue;
            }
            region.arrived |= comes;
            outside &= !comes;
            if region.arrived == region.lanes {
                let done = self.regions.remove(index);
                let path = Path { at: done.target, lanes: done.lanes };
                if let Some(other) = complete.replace(path) {
                    self.ready.push(other);
                }
            }
            if outside == 0 {
                return complete;
            }
        }
        // Lanes that belong to no region (they left it by BREAK) do not wait.
        if let Some(other) = complete {
            self.ready.push(other);
        }
        Some(Path { at: next, lanes: outside })
    }

    /// BREAK: these lanes no longer belong to the region.
    pub fn leave(&mut self, barrier: u8, lanes: u32) {
        for region in self.regions.iter_mut().filter(|region| region.barrier == barrier) {
            let leaving = lanes & !region.saved;
            region.lanes &= !leaving;
            region.arrived &= !leaving;
        }
        self.release();
    }

    /// BMOV to a register: the lanes of the region that each lane's barrier register stands for (0: none). With `clear`,
    /// these lanes may then use the register for another region, as a function does that saves it on entry.
    pub fn read_barrier(&mut self, barrier: u8, lanes: u32, clear: bool) -> [u32; 32] {
        let mut values = [0; 32];
        let mut open = lanes;
        for region in self.regions.iter_mut().rev().filter(|region| region.barrier == barrier) {
            let mine = region.lanes & open & !region.saved;
            lanes_of(mine).for_each(|lane| values[lane] = region.lanes);
            open &= !mine;
            if clear {
                region.saved |= mine;
            }
        }
        values
    }

    /// BMOV from a register: back to the region that was saved last.
    pub fn write_barrier(&mut self, barrier: u8, lanes: u32, values: &[u32; 32]) {
        self.leave(barrier, lanes);
        let mut open = lanes_of(lanes).filter(|&lane| values[lane] != 0).fold(0, |open, lane| open | 1 << lane);
        for region in self.regions.iter_mut().rev().filter(|region| region.barrier == barrier) {
            let mine = region.saved & open;
            region.saved &= !mine;
            open &= !mine;
        }
    }

    /// EXIT: these lanes are gone.
    pub fn exit(&mut self, lanes: u32) {
        self.live &= !lanes;
        for region in &mut self.regions {
            region.lanes &= !lanes;
            region.arrived &= !lanes;
        }
        for gathering in &mut self.gatherings {
            gathering.wanted &= !lanes;
        }
        self.release();
    }

    /// WARPSYNC by lanes that name the same mask: waits for all of it. Returns the path that goes on at once, if one does.
    pub fn gather(&mut self, path: Path, next: u32, mask: u32) -> Option<Path> {
        let own = |gathering: &Gathering| gathering.mask == mask && gathering.wanted & path.lanes != 0;
        let index = self.gatherings.iter().position(own).unwrap_or_else(|| {
            self.gatherings.push(Gathering { mask, wanted: mask & self.live | path.lanes, arrived: Vec::new() });
            self.gatherings.len() - 1
        });
        let gathering = &mut self.gatherings[index];
        match gathering.arrived.iter_mut().find(|arrived| arrived.at == next) {
            Some(arrived) => arrived.lanes |= path.lanes,
            None => gathering.arrived.push(Path { at: next, lanes: path.lanes }),
        }
        if !gathering.is_complete() {
            return None;
        }
        let mut paths = self.gatherings.remove(index).arrived;
        let first = paths.pop();
        self.ready.extend(paths);
        first
    }

    /// Lets those go on who wait for nobody any more.
    fn release(&mut self) {
        let ready = &mut self.ready;
        self.regions.retain(|region| {
            if region.arrived == region.lanes && region.lanes != 0 {
                ready.push(Path { at: region.target, lanes: region.lanes });
            }
            region.arrived != region.lanes
        });
        self.gatherings.retain_mut(|gathering| {
            let complete = gathering.is_complete();
            if complete {
                ready.append(&mut gathering.arrived);
            }
            !complete
        });
    }

    /// The block's barrier is complete: its paths go on, and know what it computed.
    pub fn unpark(&mut self, barrier: u8, result: Option<(u32, bool)>) {
        if let Some(result) = result {
            self.barrier_result = result;
        }
        // The lowest lanes on top, so that they run first.
        let mut released: Vec<Path> = self
            .parked
            .iter()
            .filter(|parked| parked.barrier == barrier && parked.waits)
            .map(|parked| parked.path)
            .collect();
        self.parked.retain(|parked| parked.barrier != barrier);
        // Paths that stopped at the same instruction go on together: the barrier joined them.
        released.sort_by_key(|path| (path.at, path.lanes.trailing_zeros()));
        released.dedup_by(|later, first| {
            let same = later.at == first.at;
            if same {
                first.lanes |= later.lanes;
            }
            same
        });
        self.ready.extend(released.into_iter().rev());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn warp() -> Divergence {
        let mut warp = Divergence::default();
        warp.reset(0xff);
        warp.next();
        warp
    }

    #[test]
    fn a_region_waits_for_all_its_lanes() {
        let mut warp = warp();
        warp.open(0, 0xff, 9);
        assert_eq!(warp.arrive(0, Path { at: 8, lanes: 0x0f }, 9), None);
        assert_eq!(warp.arrive(0, Path { at: 8, lanes: 0xf0 }, 9), Some(Path { at: 9, lanes: 0xff }));
    }

    #[test]
    fn lanes_that_exit_or_break_are_not_waited_for() {
        for exits in [true, false] {
            let mut warp = warp();
            warp.open(3, 0xff, 9);
            assert_eq!(warp.arrive(3, Path { at: 8, lanes: 0x0f }, 9), None);
            if exits {
                warp.exit(0xf0)
            } else {
                warp.leave(3, 0xf0)
            }
            assert_eq!(warp.next(), Some(Path { at: 9, lanes: 0x0f }));
        }
    }

    #[test]
    fn sibling_regions_on_one_barrier_register_do_not_mix() {
        let mut warp = warp();
        warp.open(1, 0x0f, 5);
        warp.open(1, 0xf0, 7);
        assert_eq!(warp.arrive(1, Path { at: 4, lanes: 0x03 }, 5), None);
        assert_eq!(warp.arrive(1, Path { at: 6, lanes: 0xf0 }, 7), Some(Path { at: 7, lanes: 0xf0 }));
        assert_eq!(warp.arrive(1, Path { at: 4, lanes: 0x0c }, 5), Some(Path { at: 5, lanes: 0x0f }));
    }

    #[test]
    fn lanes_without_a_region_pass() {
        let mut warp = warp();
        warp.open(0, 0xff, 9);
        warp.leave(0, 0x0f);
        assert_eq!(warp.arrive(0, Path { at: 8, lanes: 0x0f }, 9), Some(Path { at: 9, lanes: 0x0f }));
    }

    #[test]
    fn warpsync_gathers() {
        let mut warp = warp();
        assert_eq!(warp.gather(Path { at: 3, lanes: 0x0f }, 4, 0xffff_ffff), None);
        assert_eq!(warp.gather(Path { at: 3, lanes: 0xf0 }, 4, 0xffff_ffff), Some(Path { at: 4, lanes: 0xff }));
    }

    #[test]
    fn warpsync_joins_lanes_at_different_places() {
        let mut warp = warp();
        assert_eq!(warp.gather(Path { at: 3, lanes: 0x0f }, 4, 0xff), None);
        assert_eq!(warp.gather(Path { at: 7, lanes: 0xf0 }, 8, 0xff), Some(Path { at: 8, lanes: 0xf0 }));
        assert_eq!(warp.next(), Some(Path { at: 4, lanes: 0x0f }));
        // Another mask is another gathering.
        assert_eq!(warp.gather(Path { at: 3, lanes: 0x0f }, 4, 0xff), None);
        assert_eq!(warp.gather(Path { at: 3, lanes: 0xf0 }, 4, 0xf0), Some(Path { at: 4, lanes: 0xf0 }));
    }

    /// A function that some lanes of a region call saves the barrier register, uses it, and restores it.
    #[test]
    fn a_saved_barrier_register_comes_back() {
        let mut warp = warp();
        warp.open(6, 0xff, 9);
        let saved = warp.read_barrier(6, 0x0f, true);
        assert_eq!((saved[0], saved[3], saved[4]), (0xff, 0xff, 0));
        warp.open(6, 0x0f, 5);
        assert_eq!(warp.arrive(6, Path { at: 4, lanes: 0x03 }, 5), None);
        // Those of the outer region that did not call wait for those that did.
        assert_eq!(warp.arrive(6, Path { at: 8, lanes: 0xf0 }, 9), None);
        assert_eq!(warp.arrive(6, Path { at: 4, lanes: 0x0c }, 5), Some(Path { at: 5, lanes: 0x0f }));
        warp.write_barrier(6, 0x0f, &saved);
        assert_eq!(warp.arrive(6, Path { at: 8, lanes: 0x0f }, 9), Some(Path { at: 9, lanes: 0xff }));
        assert_eq!(warp.read_barrier(6, 0xff, false), [0; 32]);
    }

    #[test]
    fn paths_take_turns() {
        let mut warp = warp();
        warp.suspend(Path { at: 1, lanes: 1 });
        warp.suspend(Path { at: 2, lanes: 2 });
        warp.step_back(Path { at: 3, lanes: 4 });
        let order: Vec<u32> = std::iter::from_fn(|| warp.next()).map(|path| path.at).collect();
        assert_eq!(order, [2, 1, 3]);
    }
}
