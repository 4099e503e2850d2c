//! The first screen after a run, and `report.txt`.
//!
//! Everything here is a function of the result less `wall`, so that the file is the same for the same inputs.

use std::fmt::Write;

use crate::memory_result::READ_LATENCY;
use crate::npu::TIME;
use crate::result::{BoundBy, Breakdown, Roofline, RunResult};

/// Characters of a full bar.
const BAR_CHARACTERS: usize = 24;
/// Plot area of the roofline in characters.
const PLOT_COLUMNS: usize = 56;
const PLOT_ROWS: usize = 9;
/// A part below this share of its total is shown with its parent only.
const SHOWN_PER_MILLE: u32 = 1;

/// The report as text, without colours.
pub fn text(result: &RunResult) -> String {
    let mut out = String::new();
    let _ = writeln!(out, "{} on {}", result.workload, result.machine);
    for line in [&result.workload_description, &result.machine_description] {
        if !line.is_empty() {
            let _ = writeln!(out, "  {line}");
        }
    }
    if let Some(partial) = &result.partial {
        let _ = writeln!(out, "\n  PARTIAL: {}; all figures are of the part before", partial.in_words());
    }
    out.push('\n');
    let simulated = &result.simulated;
    let mut facts = vec![
        ("cycles".to_string(), format!("{} at {} GHz", thousands(simulated.cycles), significant(simulated.clock_ghz))),
        ("time".to_string(), time(simulated.time_ns)),
    ];
    facts.extend(result.highlights.iter().map(|highlight| (highlight.name.clone(), highlight.value.clone())));
    if let Some(measured) = &result.measured {
        let value = format!("{} {} ({})", significant(measured.value), measured.unit, measured.source);
        facts.push(("measured".to_string(), value));
        facts.push(("error".to_string(), format!("{:+.1} % against the measurement", measured.error_percent)));
    }
    if let Some(expected) = &result.expected_error {
        let value =
            format!("{:.1} % (MAPE over the {} cases of {})", expected.mape_percent, expected.cases, expected.suite);
        facts.push(("expected error".to_string(), value));
    }
    let width = facts.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    for (name, value) in &facts {
        let _ = writeln!(out, "  {name:<width$}  {value}");
    }
    // A stream of writes has no latency of reads.
    if result.breakdown.total > 0 {
        out.push('\n');
        out.push_str(&breakdown(&result.breakdown));
    }
    if let Some(sentence) = largest_loss(&result.breakdown) {
        let _ = writeln!(out, "\n  {sentence}");
    }
    if let Some(roof) = &result.roofline {
        out.push('\n');
        out.push_str(&roofline(roof));
    }
    if !result.tables.is_empty() {
        out.push('\n');
        out.push_str(&result.tables);
    }
    out
}

/// Where the cycles went, as a table whose percentages sum to 100.0.
pub fn breakdown(whole: &Breakdown) -> String {
    let mut rows = Vec::new();
    rows_of(whole, 1000, 0, &mut rows);
    let what = match whole.name.as_str() {
        READ_LATENCY => "latency of the reads",
        TIME => "time",
        _ => "cycles",
    };
    let mut out = format!("Where the {what} went ({})\n", whole.unit);
    let name_width = rows.iter().map(|row| row.name.chars().count()).max().unwrap_or(0).max("total".len());
    let count_width = thousands(whole.total).len();
    for row in &rows {
        let percent = format!("{}.{}", row.per_mille / 10, row.per_mille % 10);
        let bar = if row.depth == 0 { bar(row.per_mille) } else { String::new() };
        let count = thousands(row.total);
        let _ = writeln!(out, "  {:<name_width$}  {percent:>5} %  {count:>count_width$}  {bar}", row.name,);
    }
    let _ = writeln!(out, "  {:<name_width$}  100.0 %  {}", "total", thousands(whole.total));
    let lines: Vec<&str> = out.lines().map(str::trim_end).collect();
    lines.join("\n") + "\n"
}

/// What the reasons mean that an SM names for a cycle without an issue.
const MEANINGS: &[(&str, &str)] = &[
    ("stall.register_ports", "operands wait for a read port of the register file"),
    ("stall.unit_busy", "a warp is ready, but its execution unit is still busy with the one before"),
    ("stall.memory_queue", "a warp is ready, but the queue to the memory pipeline is full"),
    ("stall.constant_miss", "a constant is not in the constant cache yet"),
    ("stall.stall_count", "the compiler's stall counts: too few warps to fill the fixed latencies"),
    ("stall.instruction_fetch", "the next instructions are not there yet"),
    ("wait.global", "loads from global memory are on the way"),
    ("wait.shared", "accesses to shared memory are on the way"),
    ("wait.local", "accesses to local memory are on the way: spilled registers?"),
    ("wait.constant", "indexed constants are on the way"),
    ("wait.xu", "transcendental functions or conversions are on the way"),
    ("wait.fp64", "double precision is on the way"),
    ("wait.tensor", "matrix multiplies behind a counter are on the way"),
    ("wait.shuffle", "shuffles are on the way"),
    ("wait.special", "special registers or warp-wide operations are on the way"),
    ("wait.mbarrier", "warps wait for copies or for others at a barrier in shared memory"),
    ("wait.sources", "an instruction has not read its source registers yet"),
    ("barrier.counter", "an explicit wait of the compiler for its dependence counters"),
    ("barrier.warpgroup", "warps wait for the tensor cores to finish multiplies of the warpgroup"),
    ("barrier.block", "warps wait for the others of their block"),
    ("barrier.memory", "a memory fence waits for stores"),
    ("idle.draining", "all warps have ended, their last results are on the way"),
    ("idle.no_warp", "the sub-core has no warp: a small grid, its start or its tail"),
];

/// Names the largest part that did not issue, and what it means.
fn largest_loss(whole: &Breakdown) -> Option<String> {
    let leaves = whole.parts.iter().flat_map(|group| group.parts.iter().map(move |leaf| (group, leaf)));
    let (group, leaf) = leaves.max_by_key(|(_, leaf)| leaf.total)?;
    let name = format!("{}.{}", group.name, leaf.name);
    let (_, meaning) = MEANINGS.iter().find(|(reason, _)| *reason == name)?;
    let percent = 100.0 * leaf.total as f64 / whole.total.max(1) as f64;
    Some(format!("Most lost to {name} ({percent:.1} %): {meaning}."))
}

struct BreakdownRow {
    name: String,
    depth: usize,
    total: u64,
    per_mille: u32,
}

/// Rows below `part`, whose own share is `per_mille` of the whole. A level's shares sum to its parent's.
fn rows_of(part: &Breakdown, per_mille: u32, depth: usize, rows: &mut Vec<BreakdownRow>) {
    let shares = apportion(per_mille, &part.parts.iter().map(|part| part.total).collect::<Vec<_>>());
    for (child, share) in part.parts.iter().zip(shares) {
        if child.total == 0 || (depth > 0 && share < SHOWN_PER_MILLE) {
            continue;
        }
        let name = format!("{}{}", "  ".repeat(depth), child.name);
        rows.push(BreakdownRow { name, depth, total: child.total, per_mille: share });
        rows_of(child, share, depth + 1, rows);
    }
}

/// Splits `whole` in proportion to `amounts` by the method of the largest remainder: the parts sum to the whole, and each
/// is less than one away from its exact share.
fn apportion(whole: u32, amounts: &[u64]) -> Vec<u32> {
    let total: u128 = amounts.iter().map(|&amount| u128::from(amount)).sum();
    if total == 0 {
        return vec![0; amounts.len()];
    }
    let scaled = |amount: u64| u128::from(amount) * u128::from(whole);
    let mut shares: Vec<u32> = amounts.iter().map(|&amount| (scaled(amount) / total) as u32).collect();
    let mut order: Vec<usize> = (0..amounts.len()).collect();
    order.sort_by_key(|&index| std::cmp::Reverse(scaled(amounts[index]) % total));
    let left = whole - shares.iter().sum::<u32>();
    for &index in order.iter().take(left as usize) {
        shares[index] += 1;
    }
    shares
}

/// A bar in eighths of a character.
fn bar(per_mille: u32) -> String {
    let eighths = (per_mille as usize * BAR_CHARACTERS * 8).div_ceil(1000);
    let mut bar = "█".repeat(eighths / 8);
    bar.extend(['▏', '▎', '▍', '▌', '▋', '▊', '▉'].get((eighths % 8).wrapping_sub(1)));
    bar
}

/// Achieved performance and bandwidth, which roof is near, and a small drawing.
pub fn roofline(roof: &Roofline) -> String {
    let mut out = String::from("Roofline\n");
    let line = |achieved: f64, peak: f64, unit: &str| {
        let percent = 100.0 * achieved / peak;
        format!("{} of {} {unit} ({percent:.1} %)", significant(achieved), significant(peak))
    };
    let performance = line(roof.achieved_tflop_per_s(), roof.peak_tflop_per_s, "TFLOP/s");
    let _ = writeln!(out, "  performance  {performance}, peak = {}", roof.peak_formula);
    let bandwidth = line(roof.achieved_gb_per_s(), roof.peak_gb_per_s, "GB/s");
    let _ = writeln!(out, "  bandwidth    {bandwidth} of {}", roof.level);
    let Some(intensity) = roof.flop_per_byte() else {
        let _ = writeln!(out, "  bound by     compute: the kernel moves no bytes");
        return out;
    };
    let ridge = roof.ridge_flop_per_byte();
    let _ =
        writeln!(out, "  intensity    {} FLOP/byte; the ridge is at {}", significant(intensity), significant(ridge));
    if roof.flops == 0 {
        let _ = writeln!(out, "  bound by     memory: the kernel has no floating-point operations");
        return out;
    }
    let bound = match roof.bound_by() {
        BoundBy::Compute => "compute",
        BoundBy::Memory => "memory",
    };
    let _ = writeln!(out, "  bound by     {bound}, at {:.1} % of the roof\n", roof.percent_of_roof());
    out.push_str(&drawing(roof, intensity));
    out
}

/// Both axes logarithmic: the roof as a line, the run as a dot.
fn drawing(roof: &Roofline, intensity: f64) -> String {
    let achieved = roof.achieved_tflop_per_s();
    let ridge = roof.ridge_flop_per_byte();
    let left = (ridge / 64.0).min(intensity / 2.0).log2();
    let right = (ridge * 16.0).max(intensity * 2.0).log2();
    let roof_at = |x: f64| (x.exp2() * roof.peak_gb_per_s / 1e3).min(roof.peak_tflop_per_s).log2();
    let top = roof.peak_tflop_per_s.max(achieved).log2();
    let bottom = roof_at(left).min((achieved / 2.0).log2());
    let x_of = |column: usize| left + (right - left) * column as f64 / (PLOT_COLUMNS - 1) as f64;
    let row_of = |y: f64| {
        let share = ((top - y) / (top - bottom)).clamp(0.0, 1.0);
        (share * (PLOT_ROWS - 1) as f64).round() as usize
    };
    let mut grid = vec![vec![' '; PLOT_COLUMNS]; PLOT_ROWS];
    for (column, x) in (0..PLOT_COLUMNS).map(|column| (column, x_of(column))) {
        grid[row_of(roof_at(x))][column] = if x >= ridge.log2() { '─' } else { '╱' };
    }
    let column = ((intensity.log2() - left) / (right - left) * (PLOT_COLUMNS - 1) as f64).round() as usize;
    grid[row_of(achieved.log2())][column.min(PLOT_COLUMNS - 1)] = '●';
    let mut out = String::new();
    let label = |y: f64| format!("{:>8}", significant(y.exp2()));
    for (row, cells) in grid.iter().enumerate() {
        let label = match row {
            0 => label(top),
            row if row == PLOT_ROWS - 1 => label(bottom),
            _ => " ".repeat(8),
        };
        let cells: String = cells.iter().collect();
        let _ = writeln!(out, "{}", format!("  {label} ┤{cells}").trim_end());
    }
    let (low, high) = (significant(left.exp2()), significant(right.exp2()));
    let gap = PLOT_COLUMNS.saturating_sub(low.chars().count() + high.chars().count());
    let _ = writeln!(out, "   TFLOP/s └{}", "─".repeat(PLOT_COLUMNS));
    let _ = writeln!(out, "{}{low}{}{high} FLOP/byte", " ".repeat(12), " ".repeat(gap));
    out
}

/// `1234567` as `1,234,567`.
pub fn thousands(value: u64) -> String {
    let digits = value.to_string();
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Four significant digits, integers from 1000 on with thousands separators.
pub fn significant(value: f64) -> String {
    if value.abs() >= 1000.0 {
        let sign = if value < 0.0 { "-" } else { "" };
        return format!("{sign}{}", thousands(value.abs().round() as u64));
    }
    let magnitude = if value == 0.0 { 0.0 } else { value.abs().log10().floor() };
    let decimals = (3.0 - magnitude).clamp(0.0, 9.0) as usize;
    let text = format!("{value:.decimals$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_string() } else { text }
}

/// A time in the unit that leaves one to four digits before the point.
pub fn time(nanoseconds: f64) -> String {
    let (value, unit) = match nanoseconds {
        t if t < 1e3 => (t, "ns"),
        t if t < 1e6 => (t / 1e3, "µs"),
        t if t < 1e9 => (t / 1e6, "ms"),
        t => (t / 1e9, "s"),
    };
    format!("{} {unit}", significant(value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::tests::example;
    use crate::result::{Partial, PartialBecause};

    #[test]
    fn the_report_of_a_run() {
        insta::assert_snapshot!(text(&example()));
    }

    #[test]
    fn a_partial_run_says_so() {
        let partial = Some(Partial { because: PartialBecause::Interrupted, cycle: 12_345 });
        let text = text(&RunResult { partial, ..example() });
        assert!(
            text.contains("PARTIAL: stopped at cycle 12,345 by Ctrl-C; all figures are of the part before"),
            "{text}"
        );
    }

    #[test]
    fn the_report_of_a_kernel_bound_by_compute() {
        let roof = Roofline { flops: 5_000_000, bytes: 100_000, ..example().roofline.unwrap() };
        insta::assert_snapshot!(roofline(&roof));
    }

    #[test]
    fn every_reason_of_an_sm_has_a_meaning() {
        for reason in gpu::sm::Reason::ALL.iter().map(|reason| reason.name()).filter(|name| *name != "issued") {
            assert!(MEANINGS.iter().any(|(name, _)| *name == reason), "{reason}");
        }
    }

    #[test]
    fn shares_sum_to_the_whole() {
        assert_eq!(apportion(1000, &[1, 1, 1]), [334, 333, 333]);
        assert_eq!(apportion(1000, &[0, 0]), [0, 0]);
        assert_eq!(apportion(7, &[u64::MAX, u64::MAX]), [4, 3]);
        for parts in [vec![5, 7, 11, 13], vec![1, 999_999], vec![3; 17]] {
            assert_eq!(apportion(1000, &parts).iter().sum::<u32>(), 1000);
        }
    }

    #[test]
    fn numbers_as_people_read_them() {
        assert_eq!(thousands(0), "0");
        assert_eq!(thousands(999), "999");
        assert_eq!(thousands(1_234_567), "1,234,567");
        let shown: Vec<_> = [0.0, 0.001_234_56, 1.755, 51.21, 999.9, 7121.5, -2000.0].map(significant).into();
        assert_eq!(shown, ["0", "0.001235", "1.755", "51.21", "999.9", "7,122", "-2,000"]);
        assert_eq!([12.0, 70_345.0, 7e7, 2e9].map(time), ["12 ns", "70.34 µs", "70 ms", "2 s"]);
    }
}
