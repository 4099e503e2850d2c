//! Speed of functional execution: warp instructions a second on one core, with and without the stream for timing.
//!
//! `cargo bench -p workloads --bench sass_functional`. Results of note are kept in `benches/runs/`.

use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use workloads::sass::catalog;
use workloads::sass::exec::Grid;
use workloads::stream::CtaStream;

/// CTAs of one iteration: some milliseconds each.
const CTAS: u32 = 4;

fn sass_functional(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("sass_functional");
    group.sample_size(20).warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(3));
    for (launch, arch) in [
        ("sgemm", "sm_90"),
        ("sgemm", "sm_80"),
        ("sgemm-naive", "sm_90"),
        ("saxpy", "sm_90"),
        ("softmax", "sm_90"),
        ("histogram", "sm_90"),
        ("transpose", "sm_90"),
    ] {
        let launch_file = catalog::launch(launch).expect("shipped");
        let kernel = catalog::kernel(&launch_file.kernel, arch).expect("shipped");
        let mut grid = Grid::new(&kernel, &launch_file).expect("shipped launches fit");
        let mut stream = CtaStream::default();
        let mut run = |stream: Option<&mut CtaStream>| match stream {
            Some(stream) => (0..CTAS).for_each(|cta| grid.run_cta(cta, stream).expect("shipped kernels run")),
            None => (0..CTAS).for_each(|cta| grid.run_cta_without_stream(cta).expect("shipped kernels run")),
        };
        run(Some(&mut stream));
        let last: usize = stream.warps.iter().map(Vec::len).sum();
        // The first CTAs of these launches execute the same number of instructions, or nearly so.
        group.throughput(Throughput::Elements(u64::from(CTAS) * last as u64));
        let name = format!("{launch}.{arch}");
        group.bench_function(BenchmarkId::new("stream", &name), |bencher| {
            bencher.iter(|| {
                run(Some(&mut stream));
                black_box(&stream);
            });
        });
        group.bench_function(BenchmarkId::new("values", &name), |bencher| bencher.iter(|| run(None)));
    }
    group.finish();
}

criterion_group!(benches, sass_functional);
criterion_main!(benches);
