//! Which parameter moves the result: the run again with every number of the machine a tenth less and a tenth more.

use sim_core::config::{Node, Value};
use sim_core::{MachineFile, Plan};

use super::layers::aligned;
use super::{Workload, simulate};
use crate::catalog;
use crate::failure::Failure;

/// Parameters that are shown, those that move most first.
const SHOWN: usize = 15;
/// Parts of a machine file in which a number is no parameter of time.
const LEFT_OUT: [&str; 4] = ["origin", "power", "seed", "trace"];

/// What a parameter does.
struct Effect {
    key: String,
    value: String,
    /// Time relative to the run itself, with the parameter less and more; none where no machine can have that value.
    less: Option<f64>,
    more: Option<f64>,
}

impl Effect {
    fn size(&self) -> f64 {
        [self.less, self.more].into_iter().flatten().map(|ratio| (ratio - 1.0).abs()).fold(0.0, f64::max)
    }
}

/// The table of parameters; `base_ns` is the time of the run itself.
pub fn sensitivity(
    word: &str,
    sets: &[String],
    file: &MachineFile,
    workload: &Workload,
    plan: &Plan,
    base_ns: f64,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<String, Failure> {
    let mut numbers = Vec::new();
    for section in ["part", "clock"] {
        if let Some(node) = file.document().root().get(section) {
            collect(node, section, &mut numbers);
        }
    }
    let total = 2 * numbers.len() as u64;
    let mut effects = Vec::new();
    for (index, (key, value)) in numbers.into_iter().enumerate() {
        let time = |factor: f64| {
            let changed = scaled(&value, factor);
            let sets: Vec<String> = sets.iter().cloned().chain([format!("{key}={changed}")]).collect();
            // A value that no machine can have has no effect to show.
            let file = catalog::machine(word, &sets).ok()?;
            let outcome = simulate(&file, workload, *plan, None).ok()?;
            Some(outcome.simulated.time_ns / base_ns)
        };
        let effect = Effect { less: time(0.9), more: time(1.1), value: shown(&value), key };
        effects.push(effect);
        progress(2 * (index as u64 + 1), total);
    }
    effects.sort_by(|a, b| b.size().total_cmp(&a.size()).then_with(|| a.key.cmp(&b.key)));
    let percent = |ratio: Option<f64>| match ratio {
        Some(ratio) => format!("{:+.2}", 100.0 * (ratio - 1.0)),
        None => "refused".to_string(),
    };
    let row =
        |effect: &Effect| vec![effect.key.clone(), effect.value.clone(), percent(effect.less), percent(effect.more)];
    let moving: Vec<&Effect> = effects.iter().filter(|effect| effect.size() > 0.0).collect();
    let rows: Vec<Vec<String>> = moving.iter().take(SHOWN).map(|effect| row(effect)).collect();
    let still = effects.len() - moving.len();
    let table = match rows.is_empty() {
        true => String::new(),
        false => aligned(&["parameter", "is", "time in % at -10 %", "time in % at +10 %"], &rows),
    };
    Ok(format!("Which parameter moves the time (whole numbers by one at least; {still} move nothing)\n{table}"))
}

/// Numbers below a node, with their keys.
fn collect(node: &Node, path: &str, numbers: &mut Vec<(String, Value)>) {
    match &node.value {
        Value::Integer(value) if *value != 0 => numbers.push((path.to_string(), Value::Integer(*value))),
        Value::Float(value) if *value != 0.0 => numbers.push((path.to_string(), Value::Float(*value))),
        Value::Table(entries) => {
            for (key, entry) in entries {
                // The clock of events is a resolution.
                let is_left_out = LEFT_OUT.contains(&key.as_str()) || (path == "clock" && key == "event");
                if !is_left_out {
                    collect(&entry.node, &format!("{path}.{key}"), numbers);
                }
            }
        }
        _ => {}
    }
}

fn scaled(value: &Value, factor: f64) -> String {
    match value {
        Value::Integer(value) => {
            let near = (*value as f64 * factor).round() as i64;
            let step = if factor > 1.0 { 1 } else { -1 };
            (if near == *value { value + step } else { near }).to_string()
        }
        Value::Float(value) => format!("{:?}", value * factor),
        _ => String::new(),
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::Integer(value) => value.to_string(),
        Value::Float(value) => value.to_string(),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_move_by_one_at_least() {
        assert_eq!(scaled(&Value::Integer(2), 0.9), "1");
        assert_eq!(scaled(&Value::Integer(2), 1.1), "3");
        assert_eq!(scaled(&Value::Integer(100), 1.1), "110");
        assert_eq!(scaled(&Value::Float(27_000.0), 0.5), "13500.0");
    }
}
