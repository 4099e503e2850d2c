//! Kernels of the vector DSPs.
//!
//! ```text
//!   linear     us = slope · bytes + intercept, ± what the place within an unrolled block adds
//!   piecewise  elements ─▶ blocks ─▶ unrolled groups, vectors, scalars, each at a rate of its own
//! ```
//! Source: intel/npu-nn-cost-model 8a2ae92 (Apache-2.0): tables `shave_linear.csv` (108 kernels, measured and fitted there)
//! and `shave_piecewise.csv`. The linear form includes the launch of the kernel, the piecewise form does not.
//! Times are at the clock that a table was measured at and scale with the machine's.

use std::sync::LazyLock;

use rustc_hash::FxHashMap;
use workloads::tensor::Element;

use super::{Stretch, UnknownCost};
use crate::tiled::spec::{ClockName, ShaveForm, ShaveTables, TiledSpec};

/// Bytes that the rates of the piecewise tables count as one vector.
const VECTOR_BYTES: u64 = 16;

/// One kernel of the linear table.
#[derive(Debug, Clone, Copy)]
struct Linear {
    slope_us_per_byte: f64,
    intercept_us: f64,
    scalar_us: f64,
    unroll_us: f64,
    intra_block_us: f64,
    vector_us: f64,
    displacement: u64,
    unroll: u64,
    vector_elements: u64,
    mhz: f64,
}

/// One unrolling of a kernel of the piecewise table.
#[derive(Debug, Clone, Copy)]
struct Piecewise {
    unroll: u64,
    offset_cycles: f64,
    /// Elements a cycle: unrolled, by vectors, one by one.
    rates: [f64; 3],
}

#[derive(Default)]
struct Tables {
    linear: FxHashMap<(ShaveTables, String), Linear>,
    piecewise: FxHashMap<(ShaveTables, String), Vec<Piecewise>>,
}

static TABLES: LazyLock<Tables> = LazyLock::new(|| {
    let mut tables = Tables::default();
    for fields in rows(include_str!("shave_linear.csv")) {
        let number = |column: usize| if fields[column].is_empty() { 0.0 } else { value(fields[column]) };
        let linear = Linear {
            slope_us_per_byte: number(2),
            intercept_us: number(3),
            scalar_us: number(4),
            unroll_us: number(5),
            intra_block_us: number(6),
            vector_us: number(7),
            displacement: number(8) as u64,
            unroll: number(9) as u64,
            vector_elements: number(10) as u64,
            mhz: number(11),
        };
        tables.linear.insert((generation(fields[0]), fields[1].to_owned()), linear);
    }
    for fields in rows(include_str!("shave_piecewise.csv")) {
        let piecewise = Piecewise {
            unroll: value(fields[2]) as u64,
            offset_cycles: value(fields[3]),
            rates: [value(fields[4]), value(fields[5]), value(fields[6])],
        };
        tables.piecewise.entry((generation(fields[0]), fields[1].to_owned())).or_default().push(piecewise);
    }
    tables
});

/// Rows of a table of ours, without comments and the line of names.
fn rows(text: &'static str) -> impl Iterator<Item = Vec<&'static str>> {
    text.lines().filter(|line| !line.starts_with('#')).skip(1).map(|line| line.split(',').collect())
}

fn value(text: &str) -> f64 {
    text.parse().expect("our own table has numbers")
}

fn generation(text: &str) -> ShaveTables {
    match text {
        "2.7" => ShaveTables::Npu27,
        "4.0" => ShaveTables::Npu40,
        other => unreachable!("our own table has no generation {other}"),
    }
}

/// Names of the kernels that a machine has a cost for, sorted.
pub fn kernels(tables: ShaveTables) -> Vec<&'static str> {
    let both = TABLES.linear.keys().chain(TABLES.piecewise.keys());
    let mut names: Vec<&str> = both.filter(|(of, _)| *of == tables).map(|(_, name)| name.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// Time of a kernel over `elements` outputs.
///
/// # Errors
/// The tables have no such kernel.
pub fn cost(kernel: &str, element: Element, elements: u64, spec: &TiledSpec) -> Result<Stretch, UnknownCost> {
    let key = (spec.shave.tables, kernel.to_owned());
    let linear = || {
        TABLES.linear.get(&key).map(|law| linear_ns(law, spec.shave.tables, element, elements) * law.mhz / spec.cmx_mhz)
    };
    let piecewise = || {
        let laws = TABLES.piecewise.get(&key)?;
        Some(piecewise_cycles(laws, element, elements, spec) * 1e3 / spec.cmx_mhz)
    };
    let ns = match spec.shave.prefer {
        ShaveForm::Linear => linear().or_else(piecewise),
        ShaveForm::Piecewise => piecewise().or_else(linear),
    };
    let ns = ns.ok_or_else(|| {
        let known = kernels(spec.shave.tables);
        let near = sim_core::config::did_you_mean(kernel, known.iter().copied());
        UnknownCost {
            message: format!("there is no cost of kernel `{kernel}`"),
            help: near.unwrap_or_else(|| format!("state `cycles`, or use one of {}", known.join(", "))),
        }
    })?;
    Ok(Stretch { clock: Some(ClockName::Cmx), ..Stretch::nanoseconds(ns.max(0.0)) })
}

/// The linear form, in nanoseconds at the clock of the table.
fn linear_ns(law: &Linear, tables: ShaveTables, element: Element, elements: u64) -> f64 {
    1e3 * match tables {
        ShaveTables::Npu27 => linear_us_27(law, element, elements),
        ShaveTables::Npu40 => linear_us_40(law, element, elements),
    }
}

/// A lower first block, and a step where elements are left over or a block is complete.
fn linear_us_27(law: &Linear, element: Element, elements: u64) -> f64 {
    let us = law.slope_us_per_byte * element.bytes_of(elements) as f64 + law.intercept_us;
    let block = law.unroll * law.vector_elements;
    let first = law.unroll > 1 && elements < block;
    let scalars = law.vector_elements > 0 && !elements.is_multiple_of(law.vector_elements);
    let complete = law.unroll > 1 && elements.is_multiple_of(block);
    us - if first { law.unroll_us } else { 0.0 }
        + if scalars { law.scalar_us } else { 0.0 }
        + if complete { law.scalar_us } else { 0.0 }
}

/// A lower first block, and a saw tooth over blocks and one over vectors.
fn linear_us_40(law: &Linear, element: Element, elements: u64) -> f64 {
    let us = law.slope_us_per_byte * element.bytes_of(elements) as f64 + law.intercept_us;
    let block = law.unroll * law.vector_elements;
    let place = elements.saturating_sub(law.displacement);
    let place = if block > 0 { place % block } else { place };
    let share = |part: u64, of: u64| if of > 1 { part as f64 / (of - 1) as f64 } else { 0.0 };
    let (vectors, rest) = match law.vector_elements {
        0 => (0, 0),
        size => (place / size, place % size),
    };
    let first = block > 0 && elements <= block;
    us - if first { law.unroll_us } else { 0.0 }
        + law.intra_block_us * share(vectors, law.unroll)
        + law.vector_us * share(rest, law.vector_elements)
}

/// The piecewise form, in cycles of the DSPs.
fn piecewise_cycles(laws: &[Piecewise], element: Element, elements: u64, spec: &TiledSpec) -> f64 {
    let order: [u64; 4] = if elements > 256 { [32, 16, 8, 64] } else { [8, 16, 32, 64] };
    let law = order.iter().find_map(|unroll| laws.iter().find(|law| law.unroll == *unroll));
    let law = law.expect("each kernel of the table has one of the unrollings");
    let vector = (VECTOR_BYTES * 8 / element.bits()).max(1);
    let simd = (spec.shave.simd_bits / element.bits()).max(1);
    // A block has more operations the more there is to do: input and output are of one size.
    let operations = (2 * element.bytes_of(elements) * 8) as f64 / spec.shave.simd_bits as f64;
    let narrow = if spec.shave.simd_bits == 128 { 2 } else { 1 };
    let per_block = match operations {
        few if few <= 1024.0 => 8,
        some if some <= 8192.0 => 16,
        _ => 32,
    };
    let block = (simd * (per_block * narrow).min(32)).min(elements.next_multiple_of(simd));
    let of_block = |elements: u64| {
        let unrolled = elements / (vector * law.unroll) * (vector * law.unroll);
        let vectors = (elements - unrolled) / vector * vector;
        let scalars = elements - unrolled - vectors;
        let parts = [unrolled, vectors, scalars];
        let cycles: f64 = parts.iter().zip(law.rates).map(|(elements, rate)| *elements as f64 / rate).sum();
        (cycles / spec.shave.piecewise_speed).floor()
    };
    let (whole, rest) = (elements / block, elements % block);
    let blocks = whole + u64::from(rest > 0);
    let last = if rest > 0 { of_block(rest) } else { 0.0 };
    law.offset_cycles + whole as f64 * of_block(block) + last + (blocks - 1) as f64
}
