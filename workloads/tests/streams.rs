//! What timing gets: streams and counters of shipped kernels against what their sources say.

use workloads::sass::exec::Grid;
use workloads::sass::{Launch, catalog};
use workloads::stream::{AccessKind, CtaStream, NO_ACCESS, Space};

fn grid(launch: &Launch, arch: &str) -> Grid {
    Grid::new(&catalog::kernel(&launch.kernel, arch).unwrap(), launch).unwrap()
}

#[test]
fn vectoradd_moves_three_lines_a_warp() {
    let launch = catalog::launch("vectoradd").unwrap();
    for arch in catalog::archs_of(&launch.kernel) {
        let mut grid = grid(&launch, &arch);
        let mut stream = CtaStream::default();
        grid.run_cta(0, &mut stream).unwrap();
        assert_eq!(stream.warps.len(), 8);
        for warp in &stream.warps {
            let global: Vec<_> = warp
                .iter()
                .filter(|op| op.access != NO_ACCESS)
                .map(|op| stream.accesses[op.access as usize])
                .filter(|access| access.space == Space::Global)
                .collect();
            let kinds: Vec<AccessKind> = global.iter().map(|access| access.kind).collect();
            assert_eq!(kinds, [AccessKind::Load, AccessKind::Load, AccessKind::Store]);
            for access in &global {
                assert_eq!((access.bytes, access.width_bytes, access.passes), (128, 4, 1));
                let lines = stream.lines_of(access);
                assert_eq!((lines.len(), lines[0].sectors), (1, 0b1111));
            }
        }
    }
}

#[test]
fn counters_of_vectoradd_and_sgemm() {
    let launch = catalog::launch("vectoradd").unwrap();
    let mut small = grid(&launch, "sm_90");
    (0..small.cta_count() as u32).for_each(|cta| small.run_cta_without_stream(cta).unwrap());
    let counters = small.counters();
    assert_eq!(counters.flops(), 50021);
    assert_eq!((counters.global_load_bytes, counters.global_store_bytes), (8 * 50021, 4 * 50021));

    let launch = catalog::launch("sgemm-naive").unwrap();
    for arch in catalog::archs_of(&launch.kernel) {
        let mut grid = grid(&launch, &arch);
        (0..grid.cta_count() as u32).for_each(|cta| grid.run_cta_without_stream(cta).unwrap());
        // m·n sums of k products, then alpha·sum + beta·c: a product and a fused one.
        let (m, n, k) = (130, 150, 96);
        let counters = grid.counters();
        assert_eq!(counters.flops(), m * n * (2 * k + 3), "{arch}");
        assert_eq!(counters.global_load_bytes, 4 * m * n * (2 * k + 1), "{arch}");
        assert_eq!(counters.global_store_bytes, 4 * m * n, "{arch}");
    }
}

#[test]
fn padding_removes_the_bank_conflicts_of_the_transpose() {
    let passes = |name: &str| {
        let mut grid = grid(&catalog::launch(name).unwrap(), "sm_80");
        let mut stream = CtaStream::default();
        grid.run_cta(0, &mut stream).unwrap();
        let loads = stream.accesses.iter().filter(|one| one.space == Space::Shared && one.kind == AccessKind::Load);
        loads.map(|access| access.passes).max().unwrap()
    };
    assert_eq!(passes("transpose"), 32);
    assert_eq!(passes("transpose-padded"), 1);
}

/// The same CTA gives the same stream, whatever buffers it is recorded into, and the same memory with and without.
#[test]
fn streams_are_reproducible() {
    for (name, arch) in [("histogram", "sm_80"), ("softmax", "sm_90"), ("reduction", "sm_86")] {
        let launch = catalog::launch(name).unwrap();
        let (mut first, mut second, mut without) = (grid(&launch, arch), grid(&launch, arch), grid(&launch, arch));
        let mut reused = CtaStream::default();
        for cta in 0..first.cta_count() as u32 {
            first.run_cta(cta, &mut reused).unwrap();
            let mut fresh = CtaStream::default();
            second.run_cta(cta, &mut fresh).unwrap();
            without.run_cta_without_stream(cta).unwrap();
            assert_eq!(reused, fresh);
        }
        assert_eq!(first.memory(), second.memory());
        assert_eq!(first.memory(), without.memory());
        assert_eq!(first.counters(), without.counters());
    }
}

#[test]
fn matrix_operations_are_counted_apart() {
    for (name, operations) in [("wmma-gemm", 2 * 256u64.pow(3)), ("int8-gemm", 2 * 256 * 256 * 512)] {
        let launch = catalog::launch(name).unwrap();
        let kernel = catalog::kernel(&launch.kernel, "sm_80").unwrap();
        let mut grid = Grid::new(&kernel, &launch).unwrap();
        for cta in 0..grid.cta_count() as u32 {
            grid.run_cta_without_stream(cta).unwrap();
        }
        let counters = grid.counters();
        assert_eq!(counters.flops_matrix + counters.integer_ops_matrix, operations, "{name}");
        assert_eq!(counters.flops(), 0, "{name}");
    }
}
