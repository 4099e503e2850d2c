//! The table of a network's layers: where the time went, what bound each, what it moved and spent.

use serde_json::{Value, json};

use crate::report::{significant, thousands};
use crate::result::Simulated;

/// Layers that are shown on the screen; all are in `result.json`.
const SHOWN: usize = 120;

/// One operator of the network, as it ran.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Layer {
    pub name: String,
    /// `convolution`, `matmul`, …
    pub kind: String,
    pub macs: u64,
    /// Its share of the run: layers overlap, and the time up to a layer's end is its own from the end of all before. These
    /// sum to the cycles of the run.
    pub cycles: u64,
    /// What worked for most of it: an engine, memory, or nothing for long enough (latency).
    pub bound: String,
    /// Multiply-accumulates ÷ what the arrays could have done in its cycles, 0 to 1.
    pub utilisation: f64,
    pub ddr_read_bytes: u64,
    pub ddr_write_bytes: u64,
    /// Moved in and out of scratchpads by engines and transfers.
    pub scratchpad_bytes: u64,
    /// Spent by its work, without leakage; none without a model of power.
    pub energy_pj: Option<f64>,
    pub note: Option<String>,
}

impl Layer {
    fn ddr_bytes(&self) -> u64 {
        self.ddr_read_bytes + self.ddr_write_bytes
    }
}

/// Cycles of each of several ends, in the order of the layers: they sum to the last end.
pub fn shares(ends: impl Iterator<Item = u64>) -> Vec<u64> {
    let mut before = 0;
    ends.map(|end| {
        let share = end.saturating_sub(before);
        before = before.max(end);
        share
    })
    .collect()
}

/// The table for the screen.
pub fn table(layers: &[Layer], simulated: &Simulated) -> String {
    let worked: Vec<&Layer> = layers.iter().filter(|layer| layer.cycles > 0 || layer.ddr_bytes() > 0).collect();
    if worked.is_empty() {
        return String::new();
    }
    let has_energy = worked.iter().any(|layer| layer.energy_pj.is_some());
    let mut headings =
        vec!["layer", "kind", "cycles", "%", "bound by", "MACs", "used %", "DDR KiB", "scratchpad KiB", "MAC/B"];
    if has_energy {
        headings.push("µJ");
    }
    let percent = |part: u64| format!("{:.1}", 100.0 * part as f64 / simulated.cycles.max(1) as f64);
    let row = |layer: &Layer| {
        let used = if layer.macs > 0 { format!("{:.1}", 100.0 * layer.utilisation) } else { String::new() };
        let intensity = match (layer.macs, layer.ddr_bytes()) {
            (0, _) | (_, 0) => String::new(),
            (macs, bytes) => significant(macs as f64 / bytes as f64),
        };
        let mut cells = vec![
            shortened(&layer.name),
            layer.kind.clone(),
            thousands(layer.cycles),
            percent(layer.cycles),
            layer.bound.clone(),
            thousands(layer.macs),
            used,
            significant(layer.ddr_bytes() as f64 / 1024.0),
            significant(layer.scratchpad_bytes as f64 / 1024.0),
            intensity,
        ];
        if has_energy {
            cells.push(significant(layer.energy_pj.unwrap_or(0.0) / 1e6));
        }
        cells
    };
    let mut rows: Vec<Vec<String>> = worked.iter().take(SHOWN).map(|layer| row(layer)).collect();
    let mut total = Layer { name: "total".into(), ..Layer::default() };
    for layer in layers {
        total.cycles += layer.cycles;
        total.macs += layer.macs;
        total.ddr_read_bytes += layer.ddr_read_bytes;
        total.ddr_write_bytes += layer.ddr_write_bytes;
        total.scratchpad_bytes += layer.scratchpad_bytes;
        total.energy_pj = layer.energy_pj.map(|energy| energy + total.energy_pj.unwrap_or(0.0)).or(total.energy_pj);
        total.utilisation += layer.utilisation * layer.cycles as f64 / simulated.cycles.max(1) as f64;
    }
    rows.push(row(&total));
    let mut out = String::from("Layers\n") + &aligned(&headings, &rows);
    if worked.len() > SHOWN {
        out.push_str(&format!("  … and {} layers more, all of them in result.json\n", worked.len() - SHOWN));
    }
    for layer in layers.iter().filter(|layer| layer.note.is_some()) {
        out.push_str(&format!("  {}: {}\n", layer.name, layer.note.as_deref().unwrap_or_default()));
    }
    out
}

/// The end of a long name says more than its beginning.
fn shortened(name: &str) -> String {
    const MOST: usize = 32;
    let count = name.chars().count();
    if count <= MOST {
        name.to_string()
    } else {
        format!("…{}", name.chars().skip(count - MOST + 1).collect::<String>())
    }
}

/// Words to the left, numbers to the right.
pub fn aligned(headings: &[&str], rows: &[Vec<String>]) -> String {
    let is_number = |column: usize| {
        let mut cells = rows.iter().map(|row| row[column].as_str()).filter(|cell| !cell.is_empty());
        cells.all(|cell| cell.starts_with(|c: char| c.is_ascii_digit() || c == '-' || c == '+'))
    };
    let widths: Vec<usize> = (0..headings.len())
        .map(|column| {
            rows.iter().map(|row| row[column].chars().count()).chain([headings[column].chars().count()]).max()
        })
        .map(|width| width.unwrap_or(0))
        .collect();
    let numbers: Vec<bool> = (0..headings.len()).map(is_number).collect();
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let mut line = String::from(" ");
        for (column, cell) in cells.enumerate() {
            let width = widths[column];
            match numbers[column] {
                true => line.push_str(&format!(" {cell:>width$} ")),
                false => line.push_str(&format!(" {cell:<width$} ")),
            }
        }
        line.trim_end().to_string() + "\n"
    };
    let mut out = line(&mut headings.iter().copied());
    for row in rows {
        out.push_str(&line(&mut row.iter().map(String::as_str)));
    }
    out
}

/// All layers, in the order of the network.
pub fn to_json(layers: &[Layer]) -> Value {
    let layer = |layer: &Layer| {
        json!({
            "name": layer.name,
            "kind": layer.kind,
            "cycles": layer.cycles,
            "bound_by": layer.bound,
            "macs": layer.macs,
            "utilisation": layer.utilisation,
            "ddr_read_bytes": layer.ddr_read_bytes,
            "ddr_write_bytes": layer.ddr_write_bytes,
            "scratchpad_bytes": layer.scratchpad_bytes,
            "macs_per_ddr_byte": (layer.ddr_bytes() > 0).then(|| layer.macs as f64 / layer.ddr_bytes() as f64),
            "energy_pj": layer.energy_pj,
            "note": layer.note,
        })
    };
    Value::Array(layers.iter().map(layer).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_sum_to_the_last_end() {
        // The second layer ends before the first, the fourth never began.
        assert_eq!(shares([10, 7, 25, 0].into_iter()), [10, 0, 15, 0]);
    }

    #[test]
    fn numbers_stand_under_each_other() {
        let rows = [vec!["a".to_string(), "9".to_string()], vec!["bc".to_string(), "1,000".to_string()]];
        assert_eq!(aligned(&["layer", "cycles"], &rows), "  layer  cycles\n  a           9\n  bc      1,000\n");
    }
}
