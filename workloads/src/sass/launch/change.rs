//! A launch with something changed, as a program or a row of a suite says it.

use super::argument::{Argument, Init, Value};
use super::{Caches, Launch, MAX_BUFFER_BYTES};
use crate::sass::error::SassError;

impl Launch {
    /// The same launch with one thing changed, as a row of a suite says it:
    ///
    /// | key | value |
    /// |---|---|
    /// | `grid`, `block` | `4096` or `32x8` or `4x4x4` |
    /// | `dynamic_shared_bytes` | a number |
    /// | `caches` | `left` or `flushed` |
    /// | `arg.NAME` | of a scalar its value, of a buffer its number of elements |
    /// | `memory.NAME` | of a buffer the name of its memory among the launches of a program |
    ///
    /// # Errors
    /// The launch has no such key or argument, or the value does not fit it.
    pub fn with(mut self, key: &str, value: &str) -> Result<Self, SassError> {
        let file = self.file.clone();
        let wrong = |line: u32, message: String, help: String| SassError::new(&file, line, message, help);
        let sides = |line: u32| {
            let numbers: Result<Vec<u32>, _> = value.split('x').map(|side| side.trim().parse()).collect();
            match numbers.as_deref() {
                Ok(&[x]) => Ok([x, 1, 1]),
                Ok(&[x, y]) => Ok([x, y, 1]),
                Ok(&[x, y, z]) => Ok([x, y, z]),
                _ => Err(wrong(line, format!("`{key}` cannot be `{value}`"), "256, 32x8 or 4x4x4".into())),
            }
        };
        match key {
            "grid" => self.grid = sides(self.lines[0])?,
            "block" => self.block = sides(self.lines[1])?,
            "dynamic_shared_bytes" => {
                let number = value.parse().map_err(|_| {
                    wrong(self.lines[2], format!("`{key}` cannot be `{value}`"), "a number of bytes".into())
                });
                self.dynamic_shared_bytes = number?;
            }
            "caches" => {
                self.caches = match value {
                    "left" => Caches::Left,
                    "flushed" => Caches::Flushed,
                    _ => return Err(wrong(0, format!("`caches` cannot be `{value}`"), "left or flushed".into())),
                }
            }
            _ if key.starts_with("memory.") => {
                let named = |argument: &&mut Argument| key.strip_prefix("memory.") == Some(argument.name.as_str());
                match self.arguments.iter_mut().find(named).filter(|argument| argument.value.memory().is_some()) {
                    Some(argument) => argument.memory = Some(value.to_owned()),
                    None => return Err(wrong(0, format!("has no buffer for `{key}`"), "the name of a buffer".into())),
                }
            }
            _ => {
                let names = || self.arguments.iter().map(|argument| format!("arg.{}", argument.name));
                let known = ["grid".to_owned(), "block".to_owned()].into_iter().chain(names()).collect::<Vec<_>>();
                let named = |argument: &&mut Argument| key.strip_prefix("arg.") == Some(argument.name.as_str());
                let Some(argument) = self.arguments.iter_mut().find(named) else {
                    return Err(wrong(
                        0,
                        format!("has nothing called `{key}`"),
                        format!("there is {}", known.join(", ")),
                    ));
                };
                let (element, line) = (argument.element, argument.line);
                let refused = |help: &str| wrong(line, format!("`{key}` cannot be `{value}`"), help.to_owned());
                match &mut argument.value {
                    Value::Scalar(bytes) if element.is_float() => {
                        let number = value.parse().map_err(|_| refused("a number"))?;
                        *bytes = element.encode_float(number);
                    }
                    Value::Scalar(bytes) => {
                        let number = value.parse().ok().filter(|number| element.integer_range().contains(number));
                        *bytes = element.encode_integer(number.ok_or_else(|| refused("an integer of its type"))?);
                    }
                    Value::Buffer { init: Init::Bytes(_), .. } => {
                        return Err(refused("its contents are a file's, and so is its size"));
                    }
                    Value::Buffer { count, .. } => {
                        let most = MAX_BUFFER_BYTES as usize / element.size_bytes();
                        let number = value.parse().ok().filter(|number| (1..=most).contains(number));
                        *count = number.ok_or_else(|| refused("a number of elements from 1 on, of 16 GiB at most"))?;
                    }
                    Value::TensorMap { .. } => return Err(refused("the sizes of a tensor stay as they are")),
                }
            }
        }
        Ok(self)
    }
}
