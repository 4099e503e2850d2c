//! References of the kernels that measure by the clock: what they compute while they do.

use super::Arguments;
use crate::sass::SassError;

/// Instructions of `instruction_chain` come in twos: 64 and 128 of each kind, in two trips.
const PAIRS: usize = 2 * (64 + 128);

impl Arguments<'_> {
    /// Where each chain ended.
    pub(super) fn pointer_chain(&mut self) -> Result<(), SassError> {
        let (rounds, chain) = (self.size("rounds")?, self.buffer("chain", 1)?);
        let mut last = self.buffer("last", 3)?;
        let end = (0..128 * rounds).fold(0.0, |at, _| chain[at as usize / 8]);
        last[..3].fill(end);
        self.output("last", last);
        Ok(())
    }

    pub(super) fn index_chain(&mut self) -> Result<(), SassError> {
        let (n, stride) = (self.size("n")?.max(1), self.size("stride")?);
        let mut last = self.buffer("last", 2)?;
        last[..2].fill((128 * stride % n) as f64);
        self.output("last", last);
        Ok(())
    }

    pub(super) fn pointer_partitions(&mut self) -> Result<(), SassError> {
        let (chain, mut last) = (self.buffer("chain", 1)?, self.buffer("last", 2)?);
        last[..2].fill((0..128).fold(0.0, |at, _| chain[at as usize / 8]));
        self.output("last", last);
        Ok(())
    }

    /// 128 steps of 16 words go once round 2048 words, and 8 times round 256.
    pub(super) fn constant_chain(&mut self) -> Result<(), SassError> {
        let mut last = self.buffer("last", 2)?;
        last[..2].copy_from_slice(&[0.0, 1024.0]);
        self.output("last", last);
        Ok(())
    }

    pub(super) fn instruction_chain(&mut self) -> Result<(), SassError> {
        const SMALL: f64 = 1.0 / 1024.0;
        let added = 2.0 * PAIRS as f64 * SMALL;
        for name in ["f", "d"] {
            let mut values = self.buffer(name, 96)?;
            values[..32].iter_mut().for_each(|value| *value += added);
            values[64..96].iter_mut().for_each(|value| *value += added);
            self.output(name, values);
        }
        let mut words = self.buffer("i", 160)?;
        for lane in 0..32u32 {
            let [add, mad, logic, bounded, count] = [0, 1, 2, 3, 4].map(|kind| kind * 32 + lane as usize);
            let word = |at: usize| words[at] as i32 as u32;
            let sum = |(other, own): (u32, u32), _| {
                let other = other.wrapping_add(own);
                (other, own.wrapping_add(other))
            };
            let product = |own: u32, _| own.wrapping_mul(3).wrapping_add(lane).wrapping_mul(lane).wrapping_add(3);
            let majority = |own: u32, _| (own & 3 | own & lane | 3 & lane) ^ 3 ^ lane;
            let results = [
                (add, (0..PAIRS).fold((1, word(add)), sum).1 as i32),
                (mad, (0..PAIRS).fold(word(mad), product) as i32),
                (logic, (0..PAIRS).fold(word(logic), majority) as i32),
                (bounded, (word(bounded) as i32).min(3).max(lane as i32)),
                (count, (0..2 * PAIRS).fold(word(count), |own, _| own.count_ones()) as i32),
            ];
            results.into_iter().for_each(|(at, result)| words[at] = result.into());
        }
        self.output("i", words);
        // 1 + 768 in half precision, exact at each step.
        let mut halves = self.buffer("h", 64)?;
        halves[..32].fill(f64::from(0x6202));
        halves[32..64].fill(f64::from(0x6202_6202));
        self.output("h", halves);
        // Each exchange is undone by the next but one.
        let shuffled = self.buffer("s", 32)?;
        self.output("s", shuffled);
        Ok(())
    }

    /// 32 and 64 steps of each of eight chains, in two trips.
    pub(super) fn instruction_rate(&mut self) -> Result<(), SassError> {
        const STEPS: i32 = 2 * (32 + 64);
        const SMALL: f64 = 1.0 / 1024.0;
        let each = 8 * self.launch.threads_per_block() as usize;
        let mut singles = self.buffer("f", 3 * each)?;
        for at in (0..each).chain(2 * each..3 * each) {
            singles[at] += f64::from(STEPS) * SMALL;
        }
        self.output("f", singles);
        // Half as many chains.
        let mut doubles = self.buffer("d", each / 2)?;
        doubles[..each / 2].iter_mut().for_each(|value| *value += 2.0 * f64::from(STEPS) * SMALL);
        self.output("d", doubles);
        let mut words = self.buffer("i", 2 * each)?;
        for (at, word) in words[..2 * each].iter_mut().enumerate() {
            let own = *word as i32 as u32;
            let sum = |(own, other): (u32, u32), _| {
                let own = own.wrapping_add(other);
                (own, other.wrapping_add(own))
            };
            // Squared so often an odd number is 1.
            let result = if at < each { (0..STEPS / 2).fold((own, 1), sum).0 } else { own % 2 };
            *word = (result as i32).into();
        }
        self.output("i", words);
        // 1 and the smallest half: 1.
        let halves = self.buffer("h", each)?;
        self.output("h", halves);
        let mut roots = self.buffer("r", each)?;
        roots[..each].iter_mut().for_each(|root| *root = (0..STEPS).fold(*root, |root, _| root.sqrt().recip()));
        self.output("r", roots);
        Ok(())
    }

    pub(super) fn read_bandwidth(&mut self) -> Result<(), SassError> {
        let (blocks, threads) = (self.launch.grid[0] as usize, self.launch.threads_per_block() as usize);
        let (share, passes) = (self.size("share")?, self.size("warm")? + self.size("passes")?);
        let level1 = self.scalar("level1")? != 0.0;
        let words = self.buffer("words", self.area(4 * share, blocks)?)?;
        let mut sum = self.buffer("sum", self.area(blocks, threads)?)?;
        // Which threads read side by side, and how often in all.
        let together = if level1 { threads } else { blocks * threads };
        for (first, sums) in (0..).step_by(together).zip(sum[..blocks * threads].chunks_exact_mut(together)) {
            let shares = &words[4 * first / threads * share..][..4 * share * (together / threads)];
            let mut once = vec![0u32; together];
            for (i, four) in shares.chunks_exact(4).enumerate() {
                let own = &mut once[i % together];
                *own = four.iter().fold(*own, |sum, word| sum.wrapping_add(*word as u32));
            }
            sums.iter_mut().zip(once).for_each(|(sum, once)| *sum = once.wrapping_mul(passes as u32).into());
        }
        self.output("sum", sum);
        Ok(())
    }
}
