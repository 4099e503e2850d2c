//! The list of a program's launches (`kernelslist.g`): copies and kernels, in order.

use std::io::Read;
use std::path::{Path, PathBuf};

use super::packed;
use crate::sass::SassError;

/// A list this long is no list.
const MAX_LIST_BYTES: u64 = 64 << 20;

/// One line of the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// A copy from host to device.
    CopyToDevice { address: u64, bytes: u64 },
    /// A launch.
    Kernel(PathBuf),
}

/// What a program did, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KernelList {
    pub file: String,
    pub commands: Vec<Command>,
}

impl KernelList {
    /// Reads a list; kernels lie beside it. A kernel that is named plain may be packed, and the other way round.
    ///
    /// # Errors
    /// The file cannot be read, a line is not understood, or it names a trace that is not there.
    pub fn read(path: &Path) -> Result<Self, SassError> {
        let file = path.display().to_string();
        let mut text = String::new();
        packed::open(path)?.take(MAX_LIST_BYTES).read_to_string(&mut text).map_err(|error| {
            SassError::new(&file, 0, format!("cannot be read: {error}"), "a list of launches is text")
        })?;
        let mut commands = Vec::new();
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.trim();
            if let Some(copy) = line.strip_prefix("MemcpyHtoD,") {
                commands.push(copy_to_device(copy).ok_or_else(|| {
                    let message = format!("`{line}` is not a copy");
                    SassError::new(&file, number, message, "a copy reads MemcpyHtoD,0x7f0000000000,4096")
                })?);
            } else if line.starts_with("kernel") {
                commands.push(Command::Kernel(beside(path, line).ok_or_else(|| {
                    let message = format!("the trace `{line}` is not beside the list, neither plain nor .xz or .zst");
                    SassError::new(&file, number, message, "copy it there, or delete the line to leave the launch out")
                })?));
            }
        }
        if !commands.iter().any(|command| matches!(command, Command::Kernel(_))) {
            let help = "a launch is a line with the name of its trace: kernel-1.traceg";
            return Err(SassError::new(&file, 0, "the list names no kernel", help));
        }
        Ok(Self { file, commands })
    }

    /// The traces, in order.
    pub fn kernels(&self) -> impl Iterator<Item = &Path> {
        self.commands.iter().filter_map(|command| match command {
            Command::Kernel(path) => Some(path.as_path()),
            Command::CopyToDevice { .. } => None,
        })
    }
}

fn copy_to_device(text: &str) -> Option<Command> {
    let mut parts = text.split(',').map(str::trim);
    let address = u64::from_str_radix(parts.next()?.trim_start_matches("0x"), 16).ok()?;
    let bytes = parts.next()?.parse().ok()?;
    Some(Command::CopyToDevice { address, bytes })
}

fn beside(list: &Path, name: &str) -> Option<PathBuf> {
    let plain = name.strip_suffix(".xz").or_else(|| name.strip_suffix(".zst")).unwrap_or(name);
    let names = [name.to_owned(), plain.to_owned(), format!("{plain}.xz"), format!("{plain}.zst")];
    names.iter().map(|name| list.with_file_name(name)).find(|path| path.is_file())
}
