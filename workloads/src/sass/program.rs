//! Programs of several launches, in one line: `matvec-rows(memory.y=tmp) + matvec-columns(memory.x=tmp)`.
//!
//! Launches run in this order and share the buffers of one name. In parentheses stands what is changed of a launch, as
//! [`super::Launch::with`] takes it.

use super::error::SassError;

/// One launch of a program: its name, and what is changed of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    pub launch: String,
    pub changes: Vec<(String, String)>,
}

/// Takes a line apart.
///
/// # Errors
/// A name is missing, a parenthesis is not closed, or a change has no `=`.
pub fn parse(text: &str) -> Result<Vec<Step>, SassError> {
    text.split('+').map(|step| parse_step(step.trim(), text)).collect()
}

fn parse_step(step: &str, text: &str) -> Result<Step, SassError> {
    let wrong = |message: String| {
        let help = "a program reads `matvec-rows(memory.y=tmp) + matvec-columns(memory.x=tmp, grid=8)`";
        SassError::new(text, 0, message, help)
    };
    let (launch, changes) = match step.split_once('(') {
        None => (step, ""),
        Some((launch, rest)) => {
            let inside = rest.strip_suffix(')').ok_or_else(|| wrong(format!("`{step}` has no `)` at its end")))?;
            (launch.trim(), inside)
        }
    };
    if launch.is_empty() {
        return Err(wrong("a launch has no name".to_owned()));
    }
    let changes = changes.split(',').map(str::trim).filter(|change| !change.is_empty());
    let changes = changes.map(|change| {
        let (key, value) = change.split_once('=').ok_or_else(|| wrong(format!("`{change}` is no change")))?;
        Ok((key.trim().to_owned(), value.trim().to_owned()))
    });
    Ok(Step { launch: launch.to_owned(), changes: changes.collect::<Result<_, SassError>>()? })
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
    fn what_is_no_program_is_refused() {
        for text in ["", "a +", "a(grid=4", "a(grid)", "(grid=4)"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
