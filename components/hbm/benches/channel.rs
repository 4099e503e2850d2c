//! Simulation speed of one channel: requests a second of golden points in the Ramulator 2 mode, and of streams in native mode.
//!
//! The table against the recorded speed of Ramulator 2 is made by `tests/speed.rs` and kept in `benches/runs/`.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use hbm::compat::ramulator2::{PolicySpec, Ramulator2, RefreshName, RowPolicyName, SchedulerName};
use hbm::controller::Controller;
use hbm::driver::drive;
use hbm::generator::RequestStream;
use hbm::mapper::{FieldMap, FieldOrder};
use hbm::native::{Native, Policy};
use hbm::preset::Preset;
use hbm::workload::Workload;

const STREAMS: [&str; 4] = ["seq_read", "rand_read", "rand_rw21", "line128_rw21"];
const REQUESTS: u64 = 20_000;

fn run(preset: &Preset, controller: &mut dyn Controller, stream: &str) -> u64 {
    let workload: Workload = format!("{stream} requests={REQUESTS}").parse().expect("a stream name");
    let order = FieldOrder::named(FieldMap::RoBaRaCoCh, &preset.organisation);
    let mut requests = RequestStream::new(workload.stream, order, preset.organisation.access_bytes);
    drive(controller, &mut requests, &workload.driver).cycles
}

fn ramulator2(c: &mut Criterion) {
    let spec = |read_queue, write_queue| PolicySpec {
        scheduler: SchedulerName::FrFcfs,
        row_policy: RowPolicyName::Open,
        cap: None,
        refresh: RefreshName::AllBank,
        mapper: FieldMap::RoBaRaCoCh,
        read_queue,
        write_queue,
        write_low_watermark: 0.2,
        write_high_watermark: 0.8,
    };
    for (name, spec) in [("hbm2-2000", spec(32, 32)), ("hbm3", spec(128, 64))] {
        let preset = hbm::library::preset(name).expect("a shipped preset");
        let policy = spec.policy().expect("a good policy");
        let mut group = c.benchmark_group(format!("ramulator2_{name}"));
        group.throughput(Throughput::Elements(REQUESTS));
        for stream in STREAMS {
            group.bench_function(stream, |b| {
                b.iter(|| run(&preset, &mut Ramulator2::new(&preset, &policy, ()), stream))
            });
        }
        group.finish();
    }
}

fn native(c: &mut Criterion) {
    for name in ["hbm2-2000", "stacks/h100-sxm"] {
        let preset = hbm::library::preset(name).expect("a shipped preset");
        let mut group = c.benchmark_group(format!("native_{}", preset.name));
        group.throughput(Throughput::Elements(REQUESTS));
        for stream in STREAMS {
            group.bench_function(stream, |b| {
                b.iter(|| {
                    let mut channel = Native::new(&preset, &Policy::default(), ()).expect("a good policy");
                    run(&preset, &mut channel, stream)
                });
            });
        }
        group.finish();
    }
}

criterion_group!(benches, ramulator2, native);
criterion_main!(benches);
