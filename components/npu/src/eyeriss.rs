//! Eyeriss: a convolution on a row-stationary array, by the accounting of its processing passes.
//!
//! ```text
//!   pass:    p·t filters × q·r channels × n images × e rows of results, on r·t sets of R × e elements
//!   time:    load the pass's filters into the elements ─▶ compute      (the next pass's data come to the buffer meanwhile)
//!   buffer:  rows of the input once a pass; sums written after each pass over channels and read before all but the first
//! ```
//!
//! Models: what a mapping with the parameters of the paper takes: active elements, cycles, words of the global buffer and of DRAM.
//! Leaves out: the search for the mapping, which the chip is configured with; run-length coding in DRAM and skipped zeros (which save
//! energy, not time); fill and drain of the array within a pass.
//! Numbers: from who calls. Source: Chen, Krishna, Emer, Sze, Eyeriss (IEEE JSSC 52-1, 2017), sections III to V.
//! Start reading at [`Mapping::run`]; canonical tests: below, and the suite `npu-eyeriss`.

use serde::Deserialize;
use workloads::tensor::Convolution;

/// The chip.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EyerissSpec {
    pub array_rows: u64,
    pub array_columns: u64,
    pub mhz: f64,
    pub word_bytes: u64,
    /// Words a cycle from the global buffer to the filters of the elements.
    pub filter_words_per_cycle: u64,
    /// Words of an element for filters, input and sums.
    pub filter_spad_words: u64,
    pub input_spad_words: u64,
    pub sum_spad_words: u64,
}

/// How a layer lies on the array; names are those of the paper's table III.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// Rows of results in a set of elements.
    pub e: u64,
    /// Images in a pass.
    pub n: u64,
    /// Filters and channels that an element has.
    pub p: u64,
    pub q: u64,
    /// Sets beside each other that work on different channels, and on different filters.
    pub r: u64,
    pub t: u64,
}

/// What a layer takes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Layer {
    pub active_elements: u64,
    pub passes: u64,
    pub cycles: u64,
    /// Bytes from and to the global buffer, filters on their way to the elements included.
    pub buffer_bytes: u64,
    /// Without run-length coding.
    pub dram_bytes: u64,
}

impl Mapping {
    /// A layer of `c.batch` images under this mapping.
    ///
    /// # Errors
    /// It does not fit the array or an element's words.
    pub fn run(&self, chip: &EyerissSpec, c: &Convolution) -> Result<Layer, String> {
        let Mapping { e, n, p, q, r, t } = *self;
        let groups = c.groups.max(1);
        let (filters, channels) = (c.out_channels / groups, c.in_channels / groups);
        let active_elements = c.kernel_height * e * r * t;
        self.check(chip, c, active_elements)?;
        let strips = c.out_height.div_ceil(e);
        let over_channels = channels.div_ceil(q * r);
        let over_filters = filters.div_ceil(p * t);
        let passes = groups * c.batch.div_ceil(n) * strips * over_channels * over_filters;
        // Each element slides its filters' rows along a row of the input, for each of its channels and images.
        let compute = n * c.out_width * p * q * c.kernel_width;
        let filter_words = p * t * q * r * c.kernel_height * c.kernel_width;
        let cycles = passes * (compute + filter_words.div_ceil(chip.filter_words_per_cycle));
        let lines = ((e - 1) * c.stride_height + c.kernel_height).min(c.in_height + c.pad_top + c.pad_bottom);
        let width = c.in_width + c.pad_left + c.pad_right;
        let input_words = passes * n * q * r * lines * width;
        let results = c.batch * c.out_channels * c.out_height * c.out_width;
        let sum_words = results * (2 * over_channels - 1);
        // Filters come again for each strip and set of images, and inputs stay for all filters.
        let dram_words = passes * filter_words + input_words / over_filters + results;
        Ok(Layer {
            active_elements,
            passes,
            cycles,
            buffer_bytes: (input_words + sum_words + passes * filter_words) * chip.word_bytes,
            dram_bytes: dram_words * chip.word_bytes,
        })
    }

    fn check(&self, chip: &EyerissSpec, c: &Convolution, active: u64) -> Result<(), String> {
        let Mapping { e, n, p, q, r, t } = *self;
        if [e, n, p, q, r, t].contains(&0) {
            return Err("no parameter of a mapping is 0".into());
        }
        // A set wider than the array is folded below itself.
        let folds = e.div_ceil(chip.array_columns);
        let beside = (chip.array_columns / e).max(1);
        let high = c.kernel_height * folds * (r * t).div_ceil(beside);
        if high > chip.array_rows || active > chip.array_rows * chip.array_columns {
            return Err(format!(
                "{} sets of {} × {e} elements do not fit {} × {}",
                r * t,
                c.kernel_height,
                chip.array_rows,
                chip.array_columns
            ));
        }
        for (what, need, have) in [
            ("filters", p * q * c.kernel_width, chip.filter_spad_words),
            ("input", q * c.kernel_width, chip.input_spad_words),
            ("sums", p, chip.sum_spad_words),
        ] {
            if need > have {
                return Err(format!("an element needs {need} words of {what} and has {have}"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chip() -> EyerissSpec {
        EyerissSpec {
            array_rows: 12,
            array_columns: 14,
            mhz: 200.0,
            word_bytes: 2,
            filter_words_per_cycle: 4,
            filter_spad_words: 224,
            input_spad_words: 12,
            sum_spad_words: 24,
        }
    }

    /// AlexNet's third layer: 13 × 13 results, 384 filters of 3 × 3 × 256.
    fn conv3() -> Convolution {
        Convolution {
            batch: 4,
            in_channels: 256,
            in_height: 13,
            in_width: 13,
            out_channels: 384,
            out_height: 13,
            out_width: 13,
            kernel_height: 3,
            kernel_width: 3,
            stride_height: 1,
            stride_width: 1,
            dilation_height: 1,
            dilation_width: 1,
            pad_top: 1,
            pad_left: 1,
            pad_bottom: 1,
            pad_right: 1,
            groups: 1,
        }
    }

    /// 24 passes over 6 × 64: each 4·13·16·4·3 cycles of multiplications on 156 elements, which do all of the layer's.
    #[test]
    fn passes_do_all_the_work() {
        let mapping = Mapping { e: 13, n: 4, p: 16, q: 4, r: 1, t: 4 };
        let layer = mapping.run(&chip(), &conv3()).unwrap();
        assert_eq!((layer.active_elements, layer.passes), (156, 64 * 6));
        let filters: u64 = 16 * 4 * 4 * 9 / 4;
        assert_eq!(layer.cycles, 64 * 6 * (4 * 13 * 16 * 4 * 3 + filters));
        assert_eq!(conv3().macs(), 64 * 6 * (4 * 13 * 16 * 4 * 3) * 156);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let fits = Mapping { e: 13, n: 4, p: 16, q: 4, r: 1, t: 4 };
        for (mapping, expected) in [
            (Mapping { t: 5, ..fits }, "5 sets of 3 × 13"),
            (Mapping { p: 25, q: 1, ..fits }, "25 words of sums"),
            (Mapping { q: 5, ..fits }, "words of filters"),
            (Mapping { q: 5, p: 1, ..fits }, "15 words of input"),
            (Mapping { e: 0, ..fits }, "0"),
        ] {
            let message = mapping.run(&chip(), &conv3()).unwrap_err();
            assert!(message.contains(expected), "{message}");
        }
        // 27 columns lie in two folds of 14.
        let conv2 = Convolution { kernel_height: 5, kernel_width: 5, out_height: 27, out_width: 27, ..conv3() };
        assert!(Mapping { e: 27, n: 1, p: 16, q: 2, r: 1, t: 1 }.run(&chip(), &conv2).is_ok());
        assert!(Mapping { e: 27, n: 1, p: 16, q: 2, r: 1, t: 2 }.run(&chip(), &conv2).is_err());
    }
}
