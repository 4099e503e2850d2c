//! A convolution in the core: what the bus moves, what the multipliers do, what the post-processor takes.
//!
//! ```text
//!   bus:     data of the strip ─▶ weights of group 0 ─▶ group 1 ─▶ …         (as far ahead as banks are free)
//!   core:                                  group 0: stripe by stripe ─▶ group 1 ─▶ …
//!   stripe:  channel blocks × taps, each max(pixels, weights ÷ bank port) cycles
//!   results: a stripe leaves through the post-processor while the next is summed
//! ```
//!
//! *Group*: as many kernels as are multiplied at once. *Stripe*: pixels for which a block of weights stays in the multipliers. What
//! does not fit the buffer is cut into strips of output rows, each a layer of its own for the hardware.

use std::collections::VecDeque;

use workloads::tensor::Convolution;

use super::spec::NvdlaSpec;

/// What a layer takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    pub cycles: u64,
    pub read_bytes: u64,
    pub written_bytes: u64,
    /// Cycles in which the multipliers, and the post-processor, work.
    pub core_busy: u64,
    pub post_busy: u64,
    /// Layers of the hardware.
    pub strips: u64,
}

impl std::ops::AddAssign for Cost {
    fn add_assign(&mut self, other: Self) {
        self.cycles += other.cycles;
        self.read_bytes += other.read_bytes;
        self.written_bytes += other.written_bytes;
        self.core_busy += other.core_busy;
        self.post_busy += other.post_busy;
        self.strips += other.strips;
    }
}

/// One image and one group of channels.
struct Layer<'a> {
    spec: &'a NvdlaSpec,
    c: &'a Convolution,
    channels: u64,
    kernels: u64,
}

/// How a layer is cut: strips of output rows, kernels in a group.
struct Cut {
    rows: u64,
    group: u64,
    /// Groups of weights that the banks left by the data hold.
    groups_ahead: usize,
}

/// All images and groups of a convolution, one after the other.
///
/// # Errors
/// The buffer holds no row of output with one kernel.
pub fn convolution(spec: &NvdlaSpec, c: &Convolution) -> Result<Cost, String> {
    let groups = c.groups.max(1);
    let layer = Layer { spec, c, channels: c.in_channels / groups, kernels: c.out_channels / groups };
    let cut = layer.cut()?;
    let mut one = Cost::default();
    let mut row = 0;
    while row < c.out_height {
        let rows = cut.rows.min(c.out_height - row);
        one += layer.strip(&cut, row, rows);
        row += rows;
    }
    let times = c.batch * groups;
    Ok(Cost {
        cycles: times * one.cycles,
        read_bytes: times * one.read_bytes,
        written_bytes: times * one.written_bytes,
        core_busy: times * one.core_busy,
        post_busy: times * one.post_busy,
        strips: times * one.strips,
    })
}

impl Layer<'_> {
    fn surfaces(&self) -> u64 {
        self.channels.div_ceil(self.spec.memory_atom_bytes)
    }

    /// Bytes of the input that some rows of the output read, of a strip that starts at `row`.
    fn data_bytes(&self, row: u64, rows: u64) -> u64 {
        let c = self.c;
        let reach = (c.kernel_height - 1) * c.dilation_height + 1;
        let first = (row * c.stride_height).saturating_sub(c.pad_top);
        let end = ((row + rows - 1) * c.stride_height + reach).saturating_sub(c.pad_top).clamp(1, c.in_height);
        // All of the image, if all of the output is asked for: the engine reads whole cubes.
        let lines = if rows == c.out_height { c.in_height } else { end.saturating_sub(first).max(1) };
        lines * c.in_width * self.surfaces() * self.spec.memory_atom_bytes
    }

    fn kernel_bytes(&self) -> u64 {
        self.channels * self.c.kernel_height * self.c.kernel_width
    }

    fn weight_bytes(&self) -> u64 {
        (self.kernels * self.kernel_bytes()).next_multiple_of(self.spec.weight_block_bytes)
    }

    /// The fewest strips, then the largest groups, that fit the buffer.
    fn cut(&self) -> Result<Cut, String> {
        let NvdlaSpec { buffer_banks, bank_bytes, atomic_kernels, .. } = *self.spec;
        let fits = |rows: u64, group: u64| {
            let most = (0..self.c.out_height).step_by(rows as usize);
            let data = most.map(|row| self.data_bytes(row, rows.min(self.c.out_height - row))).max().unwrap_or(0);
            let banks = buffer_banks.checked_sub(data.div_ceil(bank_bytes))?;
            let ahead = banks * bank_bytes / (group * self.kernel_bytes()).max(1);
            (ahead > 0).then_some(Cut { rows, group, groups_ahead: ahead as usize })
        };
        let mut group = atomic_kernels.min(self.kernels);
        loop {
            let strips = (1..=self.c.out_height).map(|strips| self.c.out_height.div_ceil(strips));
            let mut last = 0;
            for rows in strips {
                if rows != std::mem::replace(&mut last, rows)
                    && let Some(cut) = fits(rows, group)
                {
                    return Ok(cut);
                }
            }
            if group == 1 {
                let (one, kernel) = (self.data_bytes(0, 1), self.kernel_bytes());
                let have = buffer_banks * bank_bytes;
                return Err(format!(
                    "the input of a row of results has {one} bytes and a kernel {kernel}: the convolution buffer has {have}"
                ));
            }
            group = group.div_ceil(2);
        }
    }

    fn strip(&self, cut: &Cut, row: u64, rows: u64) -> Cost {
        let (spec, c) = (self.spec, self.c);
        let pixels = rows * c.out_width;
        let data = self.data_bytes(row, rows);
        let beats = |bytes: u64| bytes as f64 / spec.bus_bytes as f64 * spec.cycles_per_read_beat;
        let first = (spec.launch_cycles + spec.memory_latency_cycles) as f64;
        let blocks = self.channels.div_ceil(spec.atomic_channels) * c.kernel_height * c.kernel_width;
        // The weights of a block come over the bank's port while the block before is multiplied; room for all kernels is read.
        let load = (spec.atomic_kernels * spec.atomic_channels).div_ceil(spec.bank_port_bytes);
        let groups = self.kernels.div_ceil(cut.group);
        let mut bus = first + beats(data);
        let mut now = 0u64;
        let mut cost = Cost { strips: 1, read_bytes: data + self.weight_bytes(), ..Cost::default() };
        let mut group_ends: VecDeque<u64> = VecDeque::new();
        // When the results of the last stripes are out of the accumulators.
        let mut out: VecDeque<u64> = VecDeque::new();
        let mut post = 0u64;
        for group in 0..groups {
            let kernels = cut.group.min(self.kernels - group * cut.group);
            if group_ends.len() == cut.groups_ahead
                && let Some(end) = group_ends.pop_front()
            {
                bus = bus.max(end as f64);
            }
            bus += beats(kernels * self.kernel_bytes());
            now = now.max(bus.ceil() as u64);
            let results = kernels.next_multiple_of(spec.memory_atom_bytes);
            for stripe in stripes(pixels, spec.stripe_pixels) {
                if out.len() as u64 == spec.accumulator_stripes
                    && let Some(free) = out.pop_front()
                {
                    now = now.max(free);
                }
                let work = blocks * stripe.max(load);
                let leaves = (stripe * results).div_ceil(spec.elements_per_cycle);
                now += work;
                post = post.max(now) + leaves;
                out.push_back(post);
                cost.core_busy += work;
                cost.post_busy += leaves;
            }
            group_ends.push_back(now);
        }
        cost.cycles = post + spec.drain_cycles;
        cost.written_bytes = pixels * self.kernels.next_multiple_of(spec.memory_atom_bytes);
        cost
    }
}

/// Pixels of each stripe: all alike, the last with the rest on top.
fn stripes(pixels: u64, stripe: u64) -> impl Iterator<Item = u64> {
    let count = (pixels / stripe).max(1);
    (0..count).map(move |index| if index + 1 == count { pixels - (count - 1) * stripe } else { stripe.min(pixels) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn small() -> NvdlaSpec {
        NvdlaSpec {
            atomic_channels: 8,
            atomic_kernels: 8,
            memory_atom_bytes: 8,
            weight_block_bytes: 128,
            buffer_banks: 32,
            bank_bytes: 4096,
            bank_port_bytes: 8,
            stripe_pixels: 16,
            accumulator_stripes: 2,
            launch_cycles: 28,
            memory_latency_cycles: 32,
            drain_cycles: 77,
            fill_cycles: 77,
            bus_bytes: 8,
            cycles_per_read_beat: 1.0,
            elements_per_cycle: 1,
            table_elements_per_cycle: None,
            pool_elements_per_cycle: 1,
        }
    }

    fn square(channels: u64, kernels: u64, edge: u64, filter: u64) -> Convolution {
        Convolution {
            batch: 1,
            in_channels: channels,
            in_height: edge,
            in_width: edge,
            out_channels: kernels,
            out_height: edge + 1 - filter,
            out_width: edge + 1 - filter,
            kernel_height: filter,
            kernel_width: filter,
            stride_height: 1,
            stride_width: 1,
            dilation_height: 1,
            dilation_width: 1,
            pad_top: 0,
            pad_left: 0,
            pad_bottom: 0,
            pad_right: 0,
            groups: 1,
        }
    }

    #[test]
    fn stripes_cover_the_pixels() {
        assert_eq!(stripes(119, 16).collect::<Vec<_>>(), [16, 16, 16, 16, 16, 16, 23]);
        assert_eq!(stripes(32, 16).collect::<Vec<_>>(), [16, 16]);
        assert_eq!(stripes(31, 16).collect::<Vec<_>>(), [31]);
        assert_eq!(stripes(2, 16).collect::<Vec<_>>(), [2]);
    }

    /// 4 × 4 pixels of 8 channels, 1 × 1 × 8: 16 beats of data and 8 of weights, 16 cycles, 128 results, and what is fixed.
    #[test]
    fn a_small_layer_is_the_sum_of_its_parts() {
        let cost = convolution(&small(), &square(8, 8, 4, 1)).unwrap();
        assert_eq!(cost.cycles, 28 + 32 + 16 + 8 + 16 + 128 + 77);
        assert_eq!((cost.read_bytes, cost.written_bytes), (128 + 128, 128));
    }

    /// A pixel alone: a block of weights takes 8 cycles to come, however few pixels there are.
    #[test]
    fn one_pixel_waits_for_weights() {
        let cost = convolution(&small(), &square(512, 8, 1, 1)).unwrap();
        assert_eq!(cost.core_busy, 64 * 8);
        assert_eq!(cost.cycles, 60 + 64 + 512 + 512 + 8 + 77);
    }

    /// An image of 401,408 bytes is cut into strips; rows that two of them read come twice, and so do weights.
    #[test]
    fn what_does_not_fit_is_cut_into_strips() {
        let whole = square(3, 64, 224, 3);
        let cost = convolution(&small(), &whole).unwrap();
        assert!(cost.strips > 3, "{}", cost.strips);
        let again = (cost.strips - 1) * 2 * 224 * 8;
        assert_eq!(cost.read_bytes, 224 * 224 * 8 + again + cost.strips * (64u64 * 27).next_multiple_of(128));
        assert_eq!(cost.written_bytes, 222 * 222 * 64);
        let none = convolution(&small(), &square(1 << 18, 8, 1, 1)).unwrap_err();
        assert!(none.contains("a kernel 262144"), "{none}");
        // 25,088 channels: kernels four by four.
        assert!(convolution(&small(), &square(25_088, 4096, 1, 1)).is_ok());
    }

    #[test]
    fn groups_and_images_follow_each_other() {
        let one = convolution(&small(), &square(8, 8, 6, 3)).unwrap();
        let many = Convolution { batch: 3, in_channels: 16, out_channels: 16, groups: 2, ..square(8, 8, 6, 3) };
        assert_eq!(convolution(&small(), &many).unwrap().cycles, 6 * one.cycles);
    }
}
