//! The constants of the DPU's laws, from the rows of the fit split.
//!
//! A pattern search: from a fixed start, one constant after the other is moved by a step as long as the mean absolute relative
//! error falls; when none does, steps shrink. It is a function of the rows alone. `cargo test -p validation npu_dpu::fit --
//! --nocapture` prints what the machine files should have; the test fails where they have something else.

use npu::tiled::TiledSpec;
use npu::tiled::cost::dpu::{
    ConvLaw, DepthwiseLaw, EltwiseLaw, PoolLaw, conv_cycles, depthwise_cycles, eltwise_cycles, pool_cycles,
};
use workloads::tensor::Variant;

use super::{spec, variant};
use crate::suite::{Split, Suite};

type Rows = Vec<(Variant, f64)>;

/// Rows of one operation that constants may be fitted to.
fn fit_rows(machine: &str, operation: &str) -> Rows {
    let suite = Suite::open("npu-dpu").unwrap();
    let chosen = suite
        .cases
        .iter()
        .filter(|case| case.split == Split::Fit && case.machine == machine && case.workload.starts_with(operation));
    chosen.map(|case| (variant(&case.workload).unwrap(), case.value.number().unwrap())).collect()
}

/// Constants that are as good as pattern search gets from `start`; they stay above zero.
fn search(rows: &Rows, start: &[f64], law: &dyn Fn(&[f64], &Variant) -> f64) -> (Vec<f64>, f64) {
    let loss = |constants: &[f64]| -> f64 {
        if constants.iter().any(|constant| *constant <= 0.0) {
            return f64::INFINITY;
        }
        rows.iter().map(|(variant, measured)| (law(constants, variant) / measured - 1.0).abs()).sum::<f64>()
            / rows.len() as f64
    };
    let mut best = (start.to_vec(), loss(start));
    let mut steps: Vec<f64> = start.iter().map(|value| 0.2 * value).collect();
    while steps.iter().zip(&best.0).any(|(step, value)| step / value > 1e-5) {
        let mut improved = false;
        for place in 0..start.len() {
            for sign in [1.0, -1.0] {
                let mut moved = best.0.clone();
                moved[place] += sign * steps[place];
                let error = loss(&moved);
                if error < best.1 {
                    best = (moved, error);
                    improved = true;
                    break;
                }
            }
        }
        if !improved {
            steps.iter_mut().for_each(|step| *step *= 0.6);
        }
    }
    best
}

/// The best of several starts.
fn search_from(rows: &Rows, starts: &[Vec<f64>], law: &dyn Fn(&[f64], &Variant) -> f64) -> (Vec<f64>, f64) {
    let found = starts.iter().map(|start| search(rows, start, law));
    found.min_by(|a, b| a.1.total_cmp(&b.1)).expect("there is a start")
}

fn conv(spec: &TiledSpec, rows: &Rows) -> Vec<f64> {
    let law = |c: &[f64], variant: &Variant| {
        let law = ConvLaw {
            fixed_cycles: c[0],
            factor: c[1],
            padding_saved: c[2],
            activation_reads: c[3],
            weight_reads: c[4],
            output_words_per_cycle: c[5],
            broadcast_words_per_cycle: c[6],
        };
        conv_cycles(variant, &law, &spec.dpu)
    };
    // Reads hold some workloads up in one way or another: which way is found from several starts.
    let reads = [(0.5, 2.0), (0.9, 3.0), (0.5, 4.0), (1.0, 1.0)];
    let starts: Vec<Vec<f64>> = reads.iter().map(|(a, w)| vec![300.0, 1.0, 0.5, *a, *w, 2.0, 1.0]).collect();
    search_from(rows, &starts, &law).0
}

fn depthwise(rows: &Rows, knows_small_kernels: bool) -> Vec<f64> {
    let law = |c: &[f64], variant: &Variant| {
        let law = DepthwiseLaw {
            fixed_cycles: c[0],
            bytes_per_cycle: c[1],
            narrow_factor: c[2],
            stride_factor: c[3],
            small_kernel_factor: if knows_small_kernels { c[4] } else { 1.0 },
        };
        depthwise_cycles(variant, &law)
    };
    search(rows, &[300.0, 100.0, 1.0, 1.0, 0.6][..if knows_small_kernels { 5 } else { 4 }], &law).0
}

/// Three significant digits and what is left of them.
fn check(what: &str, configured: &[f64], fitted: &[f64]) {
    println!("{what}: {}", fitted.iter().map(|value| format!("{value:.4}")).collect::<Vec<_>>().join(", "));
    assert_eq!(configured.len(), fitted.len());
    for (have, found) in configured.iter().zip(fitted) {
        assert!((have / found - 1.0).abs() < 2e-3, "{what}: the machine file has {have}, the fit finds {found}");
    }
}

#[test]
fn the_machine_files_have_what_the_fit_finds() {
    for (machine, knows_small_kernels) in [("npu-2.7", false), ("npu-4", true)] {
        let spec = spec(machine, &[]).unwrap();
        let laws = &spec.dpu.fitted;
        let have = laws.conv;
        let configured = [
            have.fixed_cycles,
            have.factor,
            have.padding_saved,
            have.activation_reads,
            have.weight_reads,
            have.output_words_per_cycle,
            have.broadcast_words_per_cycle,
        ];
        check(&format!("{machine} conv"), &configured, &conv(&spec, &fit_rows(machine, "conv")));
        let have = laws.depthwise;
        let mut configured = vec![have.fixed_cycles, have.bytes_per_cycle, have.narrow_factor, have.stride_factor];
        if knows_small_kernels {
            configured.push(have.small_kernel_factor);
        }
        let found = depthwise(&fit_rows(machine, "depthwise"), knows_small_kernels);
        check(&format!("{machine} depthwise"), &configured, &found);
        // Too few sizes to tell the start from the rate: the start is that of depthwise.
        let fixed_cycles = have.fixed_cycles;
        let law = |c: &[f64], v: &Variant| eltwise_cycles(v, &EltwiseLaw { fixed_cycles, bytes_per_cycle: c[0] });
        let found = search(&fit_rows(machine, "eltwise"), &[40.0], &law).0;
        check(&format!("{machine} eltwise"), &[laws.eltwise.bytes_per_cycle], &found);
        let rows = fit_rows(machine, "max_pool");
        if rows.is_empty() {
            continue;
        }
        let law = |c: &[f64], v: &Variant| {
            pool_cycles(v, &PoolLaw { fixed_cycles, bytes_per_cycle: c[0], other_bytes_per_cycle: c[1] })
        };
        let found = search(&rows, &[100.0, 70.0], &law).0;
        check(&format!("{machine} max_pool"), &[laws.pool.bytes_per_cycle, laws.pool.other_bytes_per_cycle], &found);
    }
}
