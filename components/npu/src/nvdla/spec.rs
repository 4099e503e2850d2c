//! Parameters of an NVDLA.

use serde::Deserialize;

/// A configuration of NVDLA. Names in capitals are those of the hardware's own configuration files (`spec/defs/*.spec`).
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NvdlaSpec {
    /// Channels of a pixel that are multiplied at once: MAC_ATOMIC_C.
    pub atomic_channels: u64,
    /// Kernels at once: MAC_ATOMIC_K.
    pub atomic_kernels: u64,
    /// Bytes of a pixel that lie together; surfaces of so many channels: MEMORY_ATOMIC_SIZE.
    pub memory_atom_bytes: u64,
    /// Weights of a layer are padded to whole blocks.
    pub weight_block_bytes: u64,
    /// The convolution buffer: CBUF_BANK_NUMBER × CBUF_BANK_WIDTH × CBUF_BANK_DEPTH. A bank has data or weights.
    pub buffer_banks: u64,
    pub bank_bytes: u64,
    /// Read from the buffer: CBUF_BANK_WIDTH.
    pub bank_port_bytes: u64,
    /// Pixels of a stripe, for which the weights stay; the last one of a layer has up to twice as many.
    pub stripe_pixels: u64,
    /// Stripes whose results may be in the accumulators.
    pub accumulator_stripes: u64,
    /// From the start of a layer to its first request, and from there to the first beat.
    pub launch_cycles: u64,
    pub memory_latency_cycles: u64,
    /// From the last result of the convolution to its write and the interrupt.
    pub drain_cycles: u64,
    /// The same, and all before the first element, of a layer without convolution.
    pub fill_cycles: u64,
    /// PRIMARY_MEMIF_WIDTH.
    pub bus_bytes: u64,
    /// Of the bus for reads of the convolution, on average over requests and their latency.
    pub cycles_per_read_beat: f64,
    /// Post-processor, units X1 and X2 (bias, scale, normalisation): SDP_BS_THROUGHPUT.
    pub elements_per_cycle: u64,
    /// Post-processor, unit Y (two operands, tables): SDP_EW_THROUGHPUT; not given: it has none.
    #[serde(default)]
    pub table_elements_per_cycle: Option<u64>,
    /// Pooling: PDP_THROUGHPUT.
    pub pool_elements_per_cycle: u64,
}

impl NvdlaSpec {
    /// The first thing that is wrong with it: the key, and what would be right.
    ///
    /// # Errors
    /// As above.
    pub fn check(&self) -> Result<(), (&'static str, String)> {
        for (key, value, most) in [
            ("atomic_channels", self.atomic_channels, 1 << 12),
            ("atomic_kernels", self.atomic_kernels, 1 << 12),
            ("memory_atom_bytes", self.memory_atom_bytes, 1 << 12),
            ("weight_block_bytes", self.weight_block_bytes, 1 << 16),
            ("buffer_banks", self.buffer_banks, 1 << 16),
            ("bank_bytes", self.bank_bytes, 1 << 32),
            ("bank_port_bytes", self.bank_port_bytes, 1 << 16),
            ("stripe_pixels", self.stripe_pixels, 1 << 20),
            ("accumulator_stripes", self.accumulator_stripes, 1 << 20),
            ("bus_bytes", self.bus_bytes, 1 << 16),
            ("elements_per_cycle", self.elements_per_cycle, 1 << 16),
            ("table_elements_per_cycle", self.table_elements_per_cycle.unwrap_or(1), 1 << 16),
            ("pool_elements_per_cycle", self.pool_elements_per_cycle, 1 << 16),
        ] {
            if !(1..=most).contains(&value) {
                return Err((key, format!("{value} is out of range: from 1 to {most}")));
            }
        }
        for (key, value) in [
            ("launch_cycles", self.launch_cycles),
            ("memory_latency_cycles", self.memory_latency_cycles),
            ("drain_cycles", self.drain_cycles),
            ("fill_cycles", self.fill_cycles),
        ] {
            if value > 1 << 32 {
                return Err((key, format!("{value} is out of range: at most {}", 1u64 << 32)));
            }
        }
        if self.buffer_banks < 2 {
            return Err(("buffer_banks", "at least 2, one for data and one for weights".into()));
        }
        if !(1.0..=1e6).contains(&self.cycles_per_read_beat) {
            return Err(("cycles_per_read_beat", "should be a number from 1".into()));
        }
        Ok(())
    }
}
