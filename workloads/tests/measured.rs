//! The kernels of the measured suites, which have their launches there, compute what their sources say on every architecture.

use workloads::sass::exec::Grid;
use workloads::sass::launch::{Argument, ElementType, Init, Value};
use workloads::sass::{Launch, catalog};

const ARCHITECTURES: [&str; 7] = ["sm_75", "sm_80", "sm_86", "sm_89", "sm_90", "sm_100", "sm_120"];

fn buffer(name: &str, values: &[f32]) -> Argument {
    let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    let value = Value::Buffer { count: values.len(), init: Init::Bytes(bytes) };
    Argument::new(name, ElementType::F32, value)
}

fn float(name: &str, value: f32) -> Argument {
    let value = Value::Scalar(value.to_le_bytes().to_vec());
    Argument::new(name, ElementType::F32, value)
}

fn integer(name: &str, value: usize) -> Argument {
    let value = Value::Scalar((value as i32).to_le_bytes().to_vec());
    Argument::new(name, ElementType::I32, value)
}

/// Small integers, of which sums and products are exact in single precision.
fn integers(count: usize, seed: usize) -> Vec<f32> {
    (0..count).map(|i| ((i * 7 + i / 5 + seed) % 9) as f32 - 4.0).collect()
}

/// What `output` holds after the launch is `want`, on every architecture.
#[track_caller]
fn check(kernel: &str, grid: u32, block: u32, arguments: Vec<Argument>, output: &str, want: &[f32]) {
    for arch in ARCHITECTURES {
        let code = catalog::kernel(kernel, arch).unwrap_or_else(|error| panic!("{error}"));
        let launch = Launch::new(kernel, [grid, 1, 1], [block, 1, 1], arguments.clone());
        let mut run = Grid::new(&code, &launch).unwrap_or_else(|error| panic!("{error}"));
        for cta in 0..grid {
            run.run_cta_without_stream(cta).unwrap_or_else(|error| panic!("{error}"));
        }
        if let Some(buffer) = run.memory().buffer(output) {
            let got: Vec<f32> = buffer
                .data
                .chunks_exact(4)
                .map(|word| f32::from_le_bytes([word[0], word[1], word[2], word[3]]))
                .collect();
            assert_eq!(got, want, "{kernel} on {arch}");
        }
    }
}

const N: usize = 45;

fn product(matrix: &[f32], x: &[f32]) -> Vec<f32> {
    (0..N).map(|row| (0..N).map(|column| matrix[row * N + column] * x[column]).sum()).collect()
}

fn transposed(matrix: &[f32]) -> Vec<f32> {
    (0..N * N).map(|i| matrix[i % N * N + i / N]).collect()
}

#[test]
fn matrix_times_vector_by_rows_and_by_columns() {
    let (matrix, x, y) = (integers(N * N, 1), integers(N, 2), integers(N, 3));
    for (kernel, matrix_of_rows) in [("matvec_rows", matrix.clone()), ("matvec_columns", transposed(&matrix))] {
        let want: Vec<f32> = product(&matrix_of_rows, &x).iter().zip(&y).map(|(sum, y)| sum + y).collect();
        let arguments = vec![buffer("A", &matrix), buffer("x", &x), buffer("y", &y), integer("n", N)];
        check(kernel, 3, 16, arguments, "y", &want);
    }
}

#[test]
fn gesummv() {
    let (a, b, x) = (integers(N * N, 1), integers(N * N, 4), integers(N, 2));
    let want: Vec<f32> = product(&a, &x).iter().zip(product(&b, &x)).map(|(a, b)| 2.0 * a + 0.5 * b).collect();
    let zero = vec![0.0; N];
    let arguments = vec![
        buffer("A", &a),
        buffer("B", &b),
        buffer("x", &x),
        buffer("y", &zero),
        buffer("tmp", &zero),
        float("alpha", 2.0),
        float("beta", 0.5),
        integer("n", N),
    ];
    check("gesummv", 3, 16, arguments, "y", &want);
}

#[test]
fn scalar_product() {
    const LENGTH: usize = 2500;
    let (a, b) = (integers(5 * LENGTH, 1), integers(5 * LENGTH, 2));
    let dot = |(a, b): (&[f32], &[f32])| a.iter().zip(b).map(|(a, b)| a * b).sum();
    let want: Vec<f32> = a.chunks(LENGTH).zip(b.chunks(LENGTH)).map(dot).collect();
    let arguments =
        vec![buffer("c", &[0.0; 5]), buffer("a", &a), buffer("b", &b), integer("vectors", 5), integer("n", LENGTH)];
    check("scalar_product", 2, 96, arguments, "c", &want);
}

/// They leave nothing behind; that they run to the end is all there is to see.
#[test]
fn kernels_without_output_end() {
    check("empty", 3, 64, Vec::new(), "", &[]);
    check("ffma_once", 2, 64, Vec::new(), "", &[]);
    check("ffma_loop", 2, 64, vec![integer("trips", 3)], "", &[]);
}
