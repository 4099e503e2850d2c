//! One channel of HBM3 under three streams: what it reaches of its peak, and where a read's time goes.
//!
//! A stream keeps rows open and reaches almost all of the peak, refresh included. Random reads open a row for every access
//! and are bound by the four-activate window: 4 x 32 bytes in 15 ns and pseudo channel, a third of the peak.

use hbm::controller::Controller;
use hbm::driver::drive;
use hbm::generator::RequestStream;
use hbm::mapper::{FieldMap, FieldOrder};
use hbm::native::{Native, Policy};
use hbm::workload::Workload;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let preset = hbm::library::preset("hbm3")?;
    let org = preset.organisation;
    println!("{}: {:.1} GB/s a channel", preset.name, preset.peak_channel_gb_per_s());
    for line in ["seq_read requests=50000", "copy requests=50000", "rand_read requests=50000"] {
        let workload: Workload = line.parse()?;
        let mut channel = Native::new(&preset, &Policy::default(), ())?;
        let order = FieldOrder::named(FieldMap::RoBaRaCoCh, &org);
        let mut requests = RequestStream::new(workload.stream, order, org.access_bytes);
        let outcome = drive(&mut channel, &mut requests, &workload.driver);
        let bytes = (workload.stream.requests * u64::from(org.access_bytes)) as f64;
        let gb_per_s = bytes / (outcome.cycles as f64 * preset.tick_ps()) * 1e3;
        let (b, c) = (channel.breakdown(), channel.counters());
        println!("{line}");
        println!("  {gb_per_s:5.1} GB/s, {:4.1} % of peak", 100.0 * gb_per_s / preset.peak_channel_gb_per_s());
        println!("  row hits {}, misses {}, conflicts {}", c.row_hits, c.row_misses, c.row_conflicts);
        let mean = |ticks: u64| ticks as f64 * preset.tick_ps() / 1e3 / b.reads.max(1) as f64;
        println!(
            "  a read takes {:.1} ns: queue {:.1}, bank {:.1}, bus {:.1}, refresh {:.1}, data {:.1}",
            mean(b.total_ticks()),
            mean(b.queue_ticks),
            mean(b.bank_ticks),
            mean(b.bus_ticks),
            mean(b.refresh_ticks),
            mean(b.data_ticks)
        );
    }
    Ok(())
}
