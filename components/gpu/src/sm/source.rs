//! Where the operations of a CTA come from: a stream that was recorded ahead of time, or execution at issue.
//!
//! ```text
//!  recorded   every operation of the warp is there when the CTA starts
//!
//!  live       executed (known)          │ next: index only │ foreseen: places only
//!             registers and branches run ahead, the rest ──┘ executes when it issues
//! ```
//!
//! Both fill the same lists of [`DynamicOp`], one a warp, that fetch and issue read. A live list grows while they read it,
//! and what it holds behind the next operation that depends on time is foreseen: behind a branch that asks for a result not
//! computed yet, a front end fetches straight on. Recorded and live, an instruction is therefore fetched in the same cycle
//! unless it follows such a branch, and that one jumps; then the wrong path has taken at most the other places of the
//! warp's instruction buffer, and the cycles of fetching them from other warps.

use crate::functional::Functional;
use sim_core::prefetch;
use workloads::sass::exec::Clocks;
use workloads::sass::exec::live::{LiveCta, Stepped, Upcoming};
use workloads::stream::{Access, CtaStream, DynamicOp, Line, NO_ACCESS};

/// What a CTA executes.
#[derive(Clone, Debug)]
pub enum OpSource {
    Recorded(CtaStream),
    Live(Box<LiveOps>),
}

/// A CTA that executes as it issues.
#[derive(Clone, Debug)]
pub struct LiveOps {
    cta: LiveCta,
    functional: Functional,
    /// Operations of each warp's list that have executed. The one behind them is next.
    known: Vec<usize>,
}

/// Execution failed; [`Functional::failure`] says how.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Failed;

impl OpSource {
    /// The lists to begin with, one a warp.
    pub(crate) fn first_ops(&mut self) -> Result<Vec<Vec<DynamicOp>>, Failed> {
        match self {
            Self::Recorded(stream) => Ok(std::mem::take(&mut stream.warps)),
            Self::Live(live) => {
                let mut lists = vec![Vec::new(); live.cta.warps()];
                for (warp, list) in lists.iter_mut().enumerate() {
                    live.look_ahead(warp, list, 0)?;
                }
                Ok(lists)
            }
        }
    }

    /// What accesses of mbarriers and bulk copies refer to.
    pub(crate) fn asynchronous(&self) -> &CtaStream {
        match self {
            Self::Recorded(stream) => stream,
            Self::Live(live) => live.cta.asynchronous(),
        }
    }

    pub(crate) fn live(&mut self) -> Option<&mut LiveOps> {
        match self {
            Self::Recorded(_) => None,
            Self::Live(live) => Some(live),
        }
    }

    /// Asks the host's caches for the access of an operation that has been fetched.
    #[inline]
    pub(crate) fn prefetch(&self, number: u32) {
        if let Self::Recorded(stream) = self {
            prefetch(stream.accesses.as_ptr().wrapping_add(number as usize));
        }
    }

    /// The lines of an access, which has this number.
    #[inline]
    pub(crate) fn lines(&self, number: u32, access: &Access) -> &[Line] {
        match self {
            Self::Recorded(stream) => stream.lines_of(access),
            Self::Live(live) => live.cta.access(number).1,
        }
    }

    /// The access of an operation, and its lines.
    #[inline]
    pub(crate) fn access(&self, number: u32) -> (&Access, &[Line]) {
        match self {
            Self::Recorded(stream) => {
                let access = &stream.accesses[number as usize];
                (access, stream.lines_of(access))
            }
            Self::Live(live) => live.cta.access(number),
        }
    }
}

/// In a snapshot. A CTA that executes at issue is read back with the grid's functional state, which is lent to the reader.
pub(crate) mod saved {
    use super::{CtaStream, Functional, LiveCta, LiveOps, OpSource};
    use sim_core::{LoadError, Reader, Writer};

    pub fn save(source: &OpSource, out: &mut Writer) {
        match source {
            OpSource::Recorded(stream) => out.put(&(false, stream)),
            OpSource::Live(live) => {
                let LiveOps { cta, functional: _, known } = &**live;
                out.put(&(true, cta, known));
            }
        }
    }

    pub fn load(source: &mut OpSource, from: &mut Reader<'_>) -> Result<(), LoadError> {
        *source = if from.get()? {
            let (cta, known): (LiveCta, Vec<usize>) = from.get()?;
            let functional = Functional::clone(&*from.lent()?);
            OpSource::Live(Box::new(LiveOps { cta, functional, known }))
        } else {
            OpSource::Recorded(from.get::<CtaStream>()?)
        };
        Ok(())
    }
}

impl LiveOps {
    pub fn new(cta: LiveCta, functional: Functional) -> Self {
        Self { known: vec![0; cta.warps()], cta, functional }
    }

    fn fail(&self, error: workloads::sass::exec::ExecError) -> Failed {
        self.functional.fail(error);
        Failed
    }

    /// Executes what can run ahead up to position `want`, and guesses one more. Returns the first position of which the
    /// list said something else before, if there is one.
    pub(crate) fn look_ahead(
        &mut self,
        warp: usize,
        list: &mut Vec<DynamicOp>,
        want: usize,
    ) -> Result<Option<usize>, Failed> {
        let mut grid = self.functional.grid();
        let mut wrong = None;
        let known = &mut self.known[warp];
        loop {
            let (index, stays) = match self.cta.next(&grid, warp) {
                Upcoming::Op { index, timed } => (Some(index), timed),
                Upcoming::Waits { index } => (Some(index), true),
                Upcoming::Over => (None, true),
            };
            if list.get(*known).map(|op| op.index) != index {
                if list.len() > *known {
                    wrong.get_or_insert(*known);
                    list.truncate(*known);
                }
                list.extend(index.map(guess));
            }
            if stays || *known > want {
                break;
            }
            match self.cta.step(&mut grid, warp, Clocks::default()) {
                Ok(stepped) => list[*known] = stepped.op,
                Err(error) => {
                    drop(grid);
                    return Err(self.fail(error));
                }
            }
            *known += 1;
        }
        // What is there of the rest was foreseen with less knowledge.
        let mut place = *known + 1;
        let count = (want + 2).saturating_sub(place);
        self.cta.foresee(&grid, warp, count, |index| {
            match list.get(place) {
                Some(op) if op.index == index => {}
                Some(_) => {
                    wrong.get_or_insert(place);
                    list.truncate(place);
                    list.push(guess(index));
                }
                None => list.push(guess(index)),
            }
            place += 1;
        });
        if list.len() > place {
            wrong.get_or_insert(place);
            list.truncate(place);
        }
        Ok(wrong)
    }

    /// The operation at `position` issues: it executes if it has not. Returns what it did then.
    pub(crate) fn issue(
        &mut self,
        warp: usize,
        list: &mut [DynamicOp],
        position: usize,
        clocks: Clocks,
    ) -> Result<Option<Stepped>, Failed> {
        if self.known[warp] > position {
            return Ok(None);
        }
        let stepped = self.cta.step(&mut self.functional.grid(), warp, clocks);
        let stepped = stepped.map_err(|error| self.fail(error))?;
        list[position] = stepped.op;
        self.known[warp] = position + 1;
        Ok(Some(stepped))
    }

    /// The warp has issued its last operation; returns the warps that may go on behind a barrier for it.
    pub(crate) fn retire(&mut self, warp: usize) -> Result<u32, Failed> {
        let released = self.cta.retire(&mut self.functional.grid(), warp);
        released.map_err(|error| self.fail(error))
    }

    /// The first `count` operations of a list are no longer in it.
    pub(crate) fn trim(&mut self, warp: usize, count: usize) {
        self.known[warp] -= count;
    }

    /// An access has been carried out.
    pub(crate) fn forget_access(&mut self, number: u32) {
        self.cta.forget_access(number);
    }
}

/// An operation of which only the place is known.
fn guess(index: u32) -> DynamicOp {
    DynamicOp { index, lanes: 0, access: NO_ACCESS }
}
