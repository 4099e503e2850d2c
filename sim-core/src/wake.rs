//! Which components of a shard are due at the next edge of their clock, and which have set an alarm.
//!
//! Every component of a shard has a *flat* number; a part's components are neighbours and start at a multiple of 64,
//! so that an arena owns whole words of the bit set. A second level says which words hold anything.

use crate::activity::{Activity, BACKGROUND, BUSY, CREDIT, INPUT, TIMED};
use crate::wheel::Wheel;
use serde::{Deserialize, Serialize};

const NONE: u64 = u64::MAX;

/// What an arrival changes of a component and a tick looks at first.
#[derive(Clone, Copy, Default)]
pub(crate) struct Mind {
    /// One bit an input that holds anything. The last bit stands for all inputs from [`SHARED_INPUT`] on and is always
    /// set where there are any.
    pub inputs: u32,
    /// What it waits for: bits of `activity`.
    pub waits: u8,
    /// Works through several cycles in one go, and looks at its alarm itself.
    pub stretches: bool,
}

/// What is saved of when a component has to be ticked.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct WakeState {
    due: bool,
    waits: u8,
    alarm: u64,
    background_alarm: u64,
}

impl WakeState {
    pub fn waits_for_credit(self) -> bool {
        self.waits & CREDIT != 0
    }
}

/// The first input of a component without a bit of its own.
pub(crate) const SHARED_INPUT: u8 = 31;

#[derive(Default)]
pub(crate) struct Wake {
    words: Vec<u64>,
    summary: Vec<u64>,
    pub minds: Vec<Mind>,
    /// Registered alarms; an entry of a wheel counts only while it agrees with these.
    alarm: Vec<u64>,
    background_alarm: Vec<u64>,
    /// The alarm last put into a wheel and not taken out since: setting the same one again needs no second entry.
    queued: Vec<u64>,
    background_queued: Vec<u64>,
    /// Domain of each component.
    pub domain: Vec<u8>,
    alarms: Vec<Wheel<u32>>,
    background_alarms: Vec<Wheel<u32>>,
    /// Components that stretch whose alarm a credit has set since anybody asked.
    pub heard: Vec<u32>,
}

impl Wake {
    pub fn new(domains: usize) -> Wake {
        Wake {
            alarms: (0..domains).map(|_| Wheel::new()).collect(),
            background_alarms: (0..domains).map(|_| Wheel::new()).collect(),
            ..Wake::default()
        }
    }

    /// Reserves `count` neighbouring flat numbers; all of them are due at cycle 0.
    pub fn reserve(&mut self, count: usize, domain: u8) -> u32 {
        let base = self.words.len() * 64;
        let words = count.div_ceil(64);
        for w in 0..words {
            let used = (count - w * 64).min(64);
            self.words.push(if used == 64 { u64::MAX } else { (1 << used) - 1 });
        }
        let end = base + words * 64;
        self.summary.resize(self.words.len().div_ceil(64), 0);
        for w in base / 64..self.words.len() {
            self.summary[w / 64] |= 1 << (w % 64);
        }
        self.minds.resize(end, Mind::default());
        self.alarm.resize(end, NONE);
        self.background_alarm.resize(end, NONE);
        self.queued.resize(end, NONE);
        self.background_queued.resize(end, NONE);
        self.domain.resize(end, domain);
        base as u32
    }

    /// Something has arrived at an input of `id`: makes it due if it waits for that.
    #[inline]
    pub fn arrived(&mut self, id: u32, input: u8) {
        let mind = &mut self.minds[id as usize];
        mind.inputs |= 1 << (input & 31);
        if mind.waits & INPUT != 0 {
            self.mark(id);
        }
    }

    #[inline]
    fn mark(&mut self, id: u32) {
        let w = (id >> 6) as usize;
        self.words[w] |= 1 << (id & 63);
        self.summary[w >> 6] |= 1 << (w & 63);
    }

    #[inline]
    pub fn is_marked(&self, id: u32) -> bool {
        self.words[(id >> 6) as usize] >> (id & 63) & 1 != 0
    }

    /// Takes all that is due in the words `from..end` and lists it in order at the start of `due`, which has four places
    /// more than there are components; how many there are.
    #[inline]
    pub fn take_all(&mut self, from: usize, end: usize, due: &mut [u32]) -> usize {
        let mut count = 0;
        for s in from >> 6..end.div_ceil(64) {
            let first = from.max(s << 6) - (s << 6);
            let words = end.min((s + 1) << 6) - (s << 6) - first;
            let mine = u64::MAX >> (64 - words) << first;
            let mut bits = self.summary[s] & mine;
            self.summary[s] &= !mine;
            while bits != 0 {
                let w = (s << 6) + bits.trailing_zeros() as usize;
                bits &= bits - 1;
                let mut word = std::mem::take(&mut self.words[w]);
                let base = (w as u32) << 6;
                // Four at a time, wanted or not: their number is hard to foretell, and a wrong guess costs more.
                let end = count + word.count_ones() as usize;
                while count < end {
                    for place in &mut due[count..count + 4] {
                        *place = base + (word.trailing_zeros() & 63);
                        word &= word.wrapping_sub(1);
                    }
                    count += 4;
                }
                count = end;
            }
        }
        count
    }

    /// Makes a component due at the next edge if it said so.
    #[inline]
    pub fn mark_again(&mut self, id: u32, again: bool) {
        let w = (id >> 6) as usize;
        self.words[w] |= u64::from(again) << (id & 63);
        self.summary[w >> 6] |= u64::from(again) << (w & 63);
    }

    /// Takes a word, empty or not.
    #[inline]
    pub fn take_at(&mut self, w: usize) -> u64 {
        self.summary[w >> 6] &= !(1 << (w & 63));
        std::mem::take(&mut self.words[w])
    }

    /// Makes several components of one word due.
    #[inline]
    pub fn mark_word(&mut self, w: usize, bits: u64) {
        if bits != 0 {
            self.words[w] |= bits;
            self.summary[w >> 6] |= 1 << (w & 63);
        }
    }

    /// Takes a component's mark, if it has one.
    #[inline]
    pub fn unmark(&mut self, id: u32) {
        self.words[(id >> 6) as usize] &= !(1 << (id & 63));
    }

    /// When a component that stretches has to be ticked by its own account, if its last cycle was the one before `from`.
    #[inline]
    pub fn next_by_itself(&self, id: u32, from: u64) -> u64 {
        if self.is_marked(id) { from } else { self.alarm[id as usize] }
    }

    /// Whether any component in the words `from..end` is due.
    #[inline]
    pub fn any(&self, from: usize, end: usize) -> bool {
        if from >= end {
            return false;
        }
        let (first, last) = (from >> 6, (end - 1) >> 6);
        (first..=last).any(|s| {
            let mut bits = self.summary[s];
            if s == first {
                bits = bits >> (from & 63) << (from & 63);
            }
            if s == last && end & 63 != 0 {
                bits &= (1 << (end & 63)) - 1;
            }
            bits != 0
        })
    }

    /// Notes what the component said at the end of its tick at `now`, and which inputs it left full. True if it is due at the next edge.
    #[inline(always)]
    pub fn settle(&mut self, id: u32, now: u64, said: Activity, inputs: u32) -> bool {
        let mind = &mut self.minds[id as usize];
        let timed = mind.waits & TIMED != 0;
        mind.inputs = inputs;
        mind.waits = said.waits;
        if said.waits & BUSY != 0 {
            if timed {
                self.forget_alarms(id);
            }
            return true;
        }
        if timed {
            self.forget_alarms(id);
        }
        if said.until != NONE {
            if said.until <= now + 1 && said.waits & BACKGROUND == 0 {
                return true;
            }
            self.set_alarm(id, said.until.max(now + 1), said.waits & BACKGROUND != 0);
        }
        false
    }

    #[inline]
    fn forget_alarms(&mut self, id: u32) {
        self.alarm[id as usize] = NONE;
        self.background_alarm[id as usize] = NONE;
    }

    #[inline]
    fn set_alarm(&mut self, id: u32, at: u64, background: bool) {
        let i = id as usize;
        self.minds[i].waits |= TIMED;
        if self.minds[i].stretches {
            self.alarm[i] = self.alarm[i].min(at);
            return;
        }
        let domain = self.domain[i] as usize;
        let (slot, queued, wheel) = if background {
            (&mut self.background_alarm[i], &mut self.background_queued[i], &mut self.background_alarms[domain])
        } else {
            (&mut self.alarm[i], &mut self.queued[i], &mut self.alarms[domain])
        };
        if at < *slot {
            *slot = at;
            if *queued != at {
                *queued = at;
                wheel.push(at, id);
            }
        }
    }

    /// A credit for an output of `id` is due at `at`: wake it then, if it waits for one.
    #[inline]
    pub fn credit_due(&mut self, id: u32, at: u64) {
        let mind = self.minds[id as usize];
        if mind.waits & CREDIT != 0 {
            if mind.stretches {
                self.heard.push(id);
            }
            self.set_alarm(id, at, false);
        }
    }

    /// Makes everything due whose alarm rings at `cycle`. True if a foreground alarm did.
    pub fn ring(&mut self, domain: usize, cycle: u64) -> bool {
        let mut foreground = false;
        let Wake { words, summary, alarm, background_alarm, alarms, background_alarms, .. } = self;
        let (queued, background_queued) = (&mut self.queued, &mut self.background_queued);
        let mut mark = |id: u32| {
            let w = (id >> 6) as usize;
            words[w] |= 1 << (id & 63);
            summary[w >> 6] |= 1 << (w & 63);
        };
        alarms[domain].drain(cycle, |id| {
            if alarm[id as usize] == cycle {
                mark(id);
                foreground = true;
            }
            forget(&mut queued[id as usize], cycle);
        });
        background_alarms[domain].drain(cycle, |id| {
            if background_alarm[id as usize] == cycle {
                mark(id);
            }
            forget(&mut background_queued[id as usize], cycle);
        });
        foreground
    }

    /// Earliest foreground alarm of a domain.
    pub fn next_alarm(&mut self, domain: usize) -> Option<u64> {
        let (alarm, queued) = (&self.alarm, &mut self.queued);
        self.alarms[domain].next_due_where(|due, &id| {
            let live = alarm[id as usize] == due;
            if !live {
                forget(&mut queued[id as usize], due);
            }
            live
        })
    }

    /// Earliest background alarm of a domain.
    pub fn next_background_alarm(&mut self, domain: usize) -> Option<u64> {
        let (alarm, queued) = (&self.background_alarm, &mut self.background_queued);
        self.background_alarms[domain].next_due_where(|due, &id| {
            let live = alarm[id as usize] == due;
            if !live {
                forget(&mut queued[id as usize], due);
            }
            live
        })
    }

    /// What is saved of a component. One that is due forgets its alarms at the next edge; whether a credit has set one
    /// meanwhile depends on the plan.
    pub fn state_of(&self, id: u32) -> WakeState {
        let i = id as usize;
        let waits = self.minds[i].waits;
        if self.is_marked(id) {
            return WakeState { due: true, waits: waits & !TIMED, alarm: NONE, background_alarm: NONE };
        }
        WakeState { due: false, waits, alarm: self.alarm[i], background_alarm: self.background_alarm[i] }
    }

    /// Nobody is due and nothing rings; `cycle` of each domain was the last worked through.
    pub fn start_at(&mut self, cycles: &[u64]) {
        self.words.fill(0);
        self.summary.fill(0);
        self.alarms = cycles.iter().map(|&c| Wheel::starting_at(c)).collect();
        self.background_alarms = cycles.iter().map(|&c| Wheel::starting_at(c)).collect();
        for alarms in [&mut self.alarm, &mut self.background_alarm, &mut self.queued, &mut self.background_queued] {
            alarms.fill(NONE);
        }
    }

    /// Takes on what was saved of a component. False if an alarm lies in the past.
    #[must_use]
    pub fn restore(&mut self, id: u32, state: WakeState) -> bool {
        let now = self.alarms[usize::from(self.domain[id as usize])].now();
        self.minds[id as usize].waits = state.waits;
        for (at, background) in [(state.alarm, false), (state.background_alarm, true)] {
            if at != NONE {
                if at <= now {
                    return false;
                }
                self.set_alarm(id, at, background);
            }
        }
        if state.due {
            self.mark(id);
        }
        true
    }

    /// Notes that an input holds something, without making its owner due.
    pub fn fill_input(&mut self, id: u32, input: u8) {
        self.minds[id as usize].inputs |= 1 << (input & 31);
    }

    /// The alarm of one component, foreground or background.
    pub fn alarm_of(&self, id: u32) -> Option<u64> {
        let at = self.alarm[id as usize].min(self.background_alarm[id as usize]);
        (at != NONE).then_some(at)
    }

    /// Whether the component waits for `what`.
    pub fn waits_for(&self, id: u32, what: u8) -> bool {
        self.minds[id as usize].waits & what != 0
    }

    /// Whether the component waits for arrivals.
    pub fn waits_for_input(&self, id: u32) -> bool {
        self.waits_for(id, INPUT)
    }
}

/// An entry for `at` has left the wheel.
#[inline]
fn forget(queued: &mut u64, at: u64) {
    if *queued == at {
        *queued = NONE;
    }
}
