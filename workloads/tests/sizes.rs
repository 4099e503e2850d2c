//! Shipped kernels at sizes that are no multiples of anything, against the references, on a random architecture.

use proptest::prelude::*;
use workloads::sass::exec::Grid;
use workloads::sass::launch::Value;
use workloads::sass::{Launch, catalog, check};

fn scalar(launch: &mut Launch, name: &str, value: u32) {
    let argument = launch.arguments.iter_mut().find(|argument| argument.name == name).expect(name);
    argument.value = Value::Scalar(value.to_le_bytes().to_vec());
}

fn count(launch: &mut Launch, name: &str, elements: u32) {
    let argument = launch.arguments.iter_mut().find(|argument| argument.name == name).expect(name);
    let Value::Buffer { count, .. } = &mut argument.value else { panic!("{name} is a buffer") };
    *count = elements as usize;
}

fn run(launch: &Launch, arch: &str) -> Result<(), TestCaseError> {
    let kernel = catalog::kernel(&launch.kernel, arch).unwrap_or_else(|error| panic!("{error}"));
    let mut grid = Grid::new(&kernel, launch).unwrap_or_else(|error| panic!("{error}"));
    for cta in 0..grid.cta_count() as u32 {
        grid.run_cta_without_stream(cta).unwrap_or_else(|error| panic!("{error}"));
    }
    let comparison = check::check(launch, grid.memory()).unwrap_or_else(|error| panic!("{error}")).unwrap();
    prop_assert!(comparison.passed() && comparison.elements > 0, "{comparison:?}");
    Ok(())
}

/// Those that most of these kernels are shipped for.
fn arch() -> impl Strategy<Value = String> {
    proptest::sample::select(catalog::archs_of("vectoradd"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10))]

    #[test]
    fn vectoradd(arch in arch(), n in 1u32..3000, block in 1u32..400) {
        let mut launch = catalog::launch("vectoradd").unwrap();
        (launch.grid, launch.block) = ([n.div_ceil(block), 1, 1], [block, 1, 1]);
        scalar(&mut launch, "n", n);
        ["a", "b", "c"].iter().for_each(|name| count(&mut launch, name, n));
        run(&launch, &arch)?;
    }

    #[test]
    fn saxpy(arch in arch(), n in 1u32..3000, block in 1u32..400, blocks in 1u32..8) {
        let mut launch = catalog::launch("saxpy").unwrap();
        (launch.grid, launch.block) = ([blocks, 1, 1], [block, 1, 1]);
        scalar(&mut launch, "n", n);
        ["x", "y"].iter().for_each(|name| count(&mut launch, name, n));
        run(&launch, &arch)?;
    }

    #[test]
    fn sgemm(arch in arch(), m in 1u32..100, n in 1u32..100, k in 1u32..70, tiled: bool, beta_zero: bool) {
        let mut launch = catalog::launch(if tiled { "sgemm" } else { "sgemm-naive" }).unwrap();
        let (tile_m, tile_n) = if tiled { (64, 64) } else { (launch.block[1], launch.block[0]) };
        launch.grid = [n.div_ceil(tile_n), m.div_ceil(tile_m), 1];
        [("m", m), ("n", n), ("k", k)].iter().for_each(|(name, size)| scalar(&mut launch, name, *size));
        if beta_zero {
            scalar(&mut launch, "beta", 0);
        }
        [("a", m * k), ("b", k * n), ("c", m * n)].iter().for_each(|(name, size)| count(&mut launch, name, *size));
        run(&launch, &arch)?;
    }

    #[test]
    fn sgemm_async(arch in proptest::sample::select(catalog::archs_of("sgemm_async")), m in 1u32..100, n in 1u32..25, k in 1u32..18, beta_zero: bool) {
        let mut launch = catalog::launch("sgemm-async").unwrap();
        let (n, k) = (4 * n, 4 * k);
        launch.grid = [n.div_ceil(64), m.div_ceil(64), 1];
        [("m", m), ("n", n), ("k", k)].iter().for_each(|(name, size)| scalar(&mut launch, name, *size));
        if beta_zero {
            scalar(&mut launch, "beta", 0);
        }
        [("a", m * k), ("b", k * n), ("c", m * n)].iter().for_each(|(name, size)| count(&mut launch, name, *size));
        run(&launch, &arch)?;
    }

    #[test]
    fn reduction(arch in arch(), n in 1u32..5000, warps in 1u32..=32, blocks in 1u32..6) {
        let mut launch = catalog::launch("reduction").unwrap();
        (launch.grid, launch.block) = ([blocks, 1, 1], [32 * warps, 1, 1]);
        scalar(&mut launch, "n", n);
        count(&mut launch, "values", n);
        run(&launch, &arch)?;
    }

    #[test]
    fn transpose(arch in arch(), rows in 1u32..100, columns in 1u32..100, padded: bool) {
        let mut launch = catalog::launch(if padded { "transpose-padded" } else { "transpose" }).unwrap();
        launch.grid = [columns.div_ceil(32), rows.div_ceil(32), 1];
        scalar(&mut launch, "rows", rows);
        scalar(&mut launch, "columns", columns);
        ["in", "out"].iter().for_each(|name| count(&mut launch, name, rows * columns));
        run(&launch, &arch)?;
    }

    #[test]
    fn histogram(arch in arch(), n in 1u32..5000, warps in 1u32..=16, blocks in 1u32..6, low in 0u32..3000, shift in 0u32..8) {
        let mut launch = catalog::launch("histogram").unwrap();
        (launch.grid, launch.block) = ([blocks, 1, 1], [32 * warps, 1, 1]);
        [("n", n), ("low", low), ("shift", shift)].iter().for_each(|(name, value)| scalar(&mut launch, name, *value));
        count(&mut launch, "values", n);
        run(&launch, &arch)?;
    }

    #[test]
    fn stencil2d(arch in arch(), width in 1u32..90, height in 1u32..60, x in 1u32..40, y in 1u32..12) {
        let mut launch = catalog::launch("stencil2d").unwrap();
        (launch.grid, launch.block) = ([width.div_ceil(x), height.div_ceil(y), 1], [x, y, 1]);
        scalar(&mut launch, "width", width);
        scalar(&mut launch, "height", height);
        ["in", "out"].iter().for_each(|name| count(&mut launch, name, width * height));
        run(&launch, &arch)?;
    }

    #[test]
    fn softmax(arch in arch(), rows in 1u32..6, columns in 1u32..1500, warps in 1u32..=32) {
        let mut launch = catalog::launch("softmax").unwrap();
        (launch.grid, launch.block) = ([rows, 1, 1], [32 * warps, 1, 1]);
        scalar(&mut launch, "columns", columns);
        ["in", "out"].iter().for_each(|name| count(&mut launch, name, rows * columns));
        run(&launch, &arch)?;
    }
}
