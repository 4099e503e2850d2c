//! Programs of several launches, in one line: `matvec-rows(memory.y=tmp) + matvec-columns(memory.x=tmp)`.
//!
//! Launches run in this order and share the buffers of one name. In parentheses stands what is changed of a launch, as
//! [`super::Launch::with`] takes it. A value `FIRST..END` stands for as many launches: `conv3d-slice(arg.i=1..31)` is thirty.
//! `|` separates streams, which run side by side: in `saxpy + saxpy | histogram` the second saxpy waits for the first, and the
//! histogram for neither.

use super::error::SassError;

/// Launches that one range may stand for.
const MOST_LAUNCHES: u32 = 10_000;

/// One launch of a program: its name, its stream, and what is changed of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    pub launch: String,
    /// From 0; launches of one stream run one after the other.
    pub stream: u32,
    pub changes: Vec<(String, String)>,
}

/// Takes a line apart.
///
/// # Errors
/// A name is missing, a parenthesis is not closed, or a change has no `=`.
pub fn parse(text: &str) -> Result<Vec<Step>, SassError> {
    let mut steps = Vec::new();
    for (stream, launches) in (0..).zip(text.split('|')) {
        for step in launches.split('+') {
            let step = parse_step(step.trim(), stream, text)?;
            match step.changes.iter().position(|(_, value)| value.contains("..")) {
                None => steps.push(step),
                Some(at) => steps.extend(repeated(&step, at, text)?),
            }
        }
    }
    Ok(steps)
}

/// Whether a workload's name can only be a program.
pub fn is_program(word: &str) -> bool {
    word.contains(['+', '|', '('])
}

/// A step for each value of the range in change number `at`.
fn repeated(step: &Step, at: usize, text: &str) -> Result<Vec<Step>, SassError> {
    let (key, range) = &step.changes[at];
    let bounds = range.split_once("..").and_then(|(first, end)| Some((first.parse().ok()?, end.parse().ok()?)));
    let (first, end): (u32, u32) =
        bounds.filter(|(first, end)| first < end && end - first <= MOST_LAUNCHES).ok_or_else(|| {
            let help = format!("1..31 is 1 to 30; up to {MOST_LAUNCHES} launches");
            SassError::new(text, 0, format!("`{key}={range}` is no range"), help)
        })?;
    let with = |value: u32| {
        let mut step = step.clone();
        step.changes[at].1 = value.to_string();
        step
    };
    Ok((first..end).map(with).collect())
}

fn parse_step(step: &str, stream: u32, text: &str) -> Result<Step, SassError> {
    let wrong = |message: String| {
        let help =
            "a program reads `saxpy(memory.y=t) + saxpy(memory.x=t, grid=8) | histogram`: + is then, | is side by side";
        SassError::new(text, 0, message, help)
    };
    let (launch, changes) = match step.split_once('(') {
        None => (step, ""),
        Some((launch, rest)) => {
            let inside = rest.strip_suffix(')').filter(|inside| !inside.contains(['(', ')']));
            let inside = inside.ok_or_else(|| wrong(format!("`{step}` has no `)` at its end")))?;
            (launch.trim(), inside)
        }
    };
    if launch.is_empty() {
        return Err(wrong("a launch has no name".to_owned()));
    }
    if launch.contains(')') {
        return Err(wrong(format!("`{step}` has no `(` before its `)`")));
    }
    let changes = changes.split(',').map(str::trim).filter(|change| !change.is_empty());
    let changes = changes.map(|change| {
        let (key, value) = change.split_once('=').ok_or_else(|| wrong(format!("`{change}` is no change")))?;
        Ok((key.trim().to_owned(), value.trim().to_owned()))
    });
    Ok(Step { launch: launch.to_owned(), stream, changes: changes.collect::<Result<_, SassError>>()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_have_names_and_changes() {
        let steps = parse("a + b-c(grid=4x2, memory.y=tmp)+ d()").unwrap();
        let names: Vec<&str> = steps.iter().map(|step| step.launch.as_str()).collect();
        assert_eq!(names, ["a", "b-c", "d"]);
        let change = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        assert_eq!(steps[1].changes, [change("grid", "4x2"), change("memory.y", "tmp")]);
        assert!(steps[0].changes.is_empty() && steps[2].changes.is_empty());
    }

    #[test]
    fn a_range_is_a_launch_for_each_value() {
        let steps = parse("a(grid=8, arg.i=1..4) + b").unwrap();
        let values: Vec<&str> = steps.iter().filter_map(|step| Some(step.changes.get(1)?.1.as_str())).collect();
        assert_eq!(values, ["1", "2", "3"]);
        assert_eq!(steps.len(), 4);
        assert!(steps[..3].iter().all(|step| step.changes[0].1 == "8"));
    }

    #[test]
    fn what_is_no_program_is_refused() {
        let wrong = ["", "a +", "a(grid=4", "a(grid)", "(grid=4)", "a(arg.i=1..)", "a(arg.i=4..4)"];
        let streams = ["|", "a |", "| a", "a || b", "a + | b", "a + (b | c)", "(a + b) | c", "a() | b)"];
        for text in wrong.into_iter().chain(streams) {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn streams_stand_side_by_side() {
        let steps = parse("a + b(arg.i=0..2) | c|d").unwrap();
        let streams: Vec<_> = steps.iter().map(|step| (step.launch.as_str(), step.stream)).collect();
        assert_eq!(streams, [("a", 0), ("b", 0), ("b", 0), ("c", 1), ("d", 2)]);
    }
}
