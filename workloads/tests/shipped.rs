//! Every shipped kernel on every architecture that it is shipped for gives the right result, at its launch's sizes.

use workloads::sass::exec::Grid;
use workloads::sass::{catalog, check};
use workloads::stream::CtaStream;

/// Nothing where the kernel is not shipped for the architecture: which ones must be there is the build script's and
/// the sources' business, and `xtask/tests/shipped_kernels.rs` checks it.
fn run(name: &str, arch: &str) {
    let launch = catalog::launch(name).unwrap();
    if !catalog::runs_on(&launch.kernel, arch) {
        return;
    }
    let kernel = catalog::kernel(&launch.kernel, arch).unwrap_or_else(|error| panic!("{error}"));
    let mut grid = Grid::new(&kernel, &launch).unwrap_or_else(|error| panic!("{error}"));
    let mut stream = CtaStream::default();
    for cta in 0..grid.cta_count() as u32 {
        grid.run_cta(cta, &mut stream).unwrap_or_else(|error| panic!("{error}"));
    }
    let comparison = check::check(&launch, grid.memory()).unwrap().expect("every shipped launch is checked");
    assert!(comparison.passed(), "{name} on {arch}: {comparison:?}");
    assert!(comparison.elements > 0);
}

macro_rules! shipped {
    ($($test:ident $launch:literal)*) => {
        $(mod $test {
            #[test] fn sm_75() { super::run($launch, "sm_75") }
            #[test] fn sm_80() { super::run($launch, "sm_80") }
            #[test] fn sm_86() { super::run($launch, "sm_86") }
            #[test] fn sm_89() { super::run($launch, "sm_89") }
            #[test] fn sm_90() { super::run($launch, "sm_90") }
            #[test] fn sm_100() { super::run($launch, "sm_100") }
            #[test] fn sm_120() { super::run($launch, "sm_120") }
        })*

        #[test]
        fn every_shipped_launch_is_run() {
            let mut run = vec![$($launch),*];
            run.sort();
            // Those that need values at issue run in the tests of the machines.
            let ahead = |name: &String| !catalog::AT_ISSUE.contains(&name.as_str());
            assert_eq!(run, catalog::launch_names().into_iter().filter(ahead).collect::<Vec<_>>());
        }
    };
}

shipped! {
    attention_bf16 "attention-bf16"
    dmma_gemm "dmma-gemm"
    gemm_wgmma "gemm-wgmma"
    bf16_rmsnorm "bf16-rmsnorm"
    double_division "double-division"
    smith_waterman "smith-waterman"
    spill "spill"
    virtual_calls "virtual-calls"
    warp_aggregate "warp-aggregate"
    wide_atomics "wide-atomics"
    histogram "histogram"
    int8_gemm "int8-gemm"
    reduction "reduction"
    saxpy "saxpy"
    sgemm_naive "sgemm-naive"
    sgemm_async "sgemm-async"
    sgemm_tiled "sgemm"
    softmax "softmax"
    stencil2d "stencil2d"
    tf32_gemm "tf32-gemm"
    transpose_padded "transpose-padded"
    transpose_plain "transpose"
    vectoradd "vectoradd"
    wmma_gemm "wmma-gemm"
    bitonic_sort "bitonic-sort"
    odd_even_sort "odd-even-sort"
    scan_blocks "scan-blocks"
    walsh_radix4 "walsh-radix4"
    walsh_shared "walsh-shared"
    modulate "modulate"
    matmul_steps "matmul-steps"
    syrk "syrk"
    conv3d_slice "conv3d-slice"
}
