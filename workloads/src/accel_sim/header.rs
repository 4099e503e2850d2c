//! What a trace says of its launch before the first block: lines `-key = value`.

/// The launch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// Mangled.
    pub kernel: String,
    /// Number of the launch in its program, from 1.
    pub id: u32,
    pub grid: [u32; 3],
    pub block: [u32; 3],
    /// A block, static and dynamic.
    pub shared_bytes: u32,
    pub registers_per_thread: u32,
    /// `sm_80` for binary version 80.
    pub arch: String,
    /// CUDA stream: launches of one run one after the other, those of several at the same time.
    pub stream: u64,
    /// Of the format: 3, 4 or 5.
    pub version: u32,
    /// First address of the window through which generic accesses reach shared memory; 0 if not named.
    pub shared_window: u64,
    /// As above, of local memory.
    pub local_window: u64,
    /// Every instruction line begins with the number of a source line.
    pub has_line_numbers: bool,
}

/// Bytes of the windows of shared and local memory in the generic address space (16 MiB each).
pub const WINDOW_BYTES: u64 = 16 << 20;

impl Header {
    pub fn blocks(&self) -> u64 {
        self.grid.iter().map(|&side| u64::from(side)).product()
    }

    pub fn threads_per_block(&self) -> u32 {
        self.block.iter().product()
    }

    pub fn warps_per_block(&self) -> u32 {
        self.threads_per_block().div_ceil(32)
    }
}

/// Reads the header line by line.
#[derive(Debug, Default)]
pub(super) struct HeaderReader {
    header: Header,
    seen: Vec<String>,
}

/// Keys without which nothing can be replayed.
const NEEDED: [&str; 7] =
    ["kernel name", "grid dim", "block dim", "shmem", "nregs", "binary version", "accelsim tracer version"];

/// What is wrong and what would be right.
pub(super) type Problem = (String, String);

fn problem(message: impl Into<String>, help: impl Into<String>) -> Problem {
    (message.into(), help.into())
}

impl HeaderReader {
    /// One line, without its dash.
    pub fn line(&mut self, text: &str) -> Result<(), Problem> {
        let (key, value) = text
            .split_once('=')
            .ok_or_else(|| problem(format!("`-{text}` is not a header line"), "a header line reads -key = value"))?;
        let (key, value) = (key.trim(), value.trim());
        let header = &mut self.header;
        match key {
            "kernel name" => header.kernel = value.to_owned(),
            "kernel id" => header.id = number(key, value, u32::MAX)?,
            "grid dim" => header.grid = triple(key, value, [i32::MAX as u32, 65535, 65535])?,
            "block dim" => {
                header.block = triple(key, value, [1024, 1024, 64])?;
                if header.threads_per_block() > 1024 {
                    return Err(problem(
                        format!("block dim = {value} is too large"),
                        "a block has at most 1024 threads",
                    ));
                }
            }
            "shmem" => header.shared_bytes = number(key, value, 1 << 20)?,
            "nregs" => header.registers_per_thread = number(key, value, 255)?,
            "binary version" => header.arch = format!("sm_{}", number(key, value, 999)?),
            "cuda stream id" => header.stream = stream(value)?,
            "accelsim tracer version" => {
                header.version = number(key, value, u32::MAX)?;
                if !(3..=5).contains(&header.version) {
                    let message = format!("version {value} of the format is not known");
                    return Err(problem(message, "versions 3, 4 and 5 are read: trace again with a newer tracer"));
                }
            }
            "shmem base_addr" => header.shared_window = hexadecimal(key, value)?,
            "local mem base_addr" => header.local_window = hexadecimal(key, value)?,
            "enable lineinfo" => header.has_line_numbers = number(key, value, 1)? == 1,
            // Versions of tools, and what later tracers add.
            _ => return Ok(()),
        }
        self.seen.push(key.to_owned());
        Ok(())
    }

    /// The header, once the first other line comes.
    pub fn finish(self) -> Result<Header, Problem> {
        match NEEDED.iter().find(|needed| !self.seen.iter().any(|seen| seen == *needed)) {
            Some(missing) => Err(problem(
                format!("the header has no line `-{missing} = …`"),
                "an Accel-Sim kernel trace (.traceg) of version 3, 4 or 5 is wanted here",
            )),
            None => Ok(self.header),
        }
    }
}

fn number(key: &str, value: &str, most: u32) -> Result<u32, Problem> {
    let read = value.parse().ok().filter(|&read: &u32| read <= most);
    read.ok_or_else(|| problem(format!("{key} = {value} is not possible"), format!("a number up to {most}")))
}

fn stream(value: &str) -> Result<u64, Problem> {
    value.parse().map_err(|_| {
        let help = "a stream is a decimal number, 0 the default one: -cuda stream id = 0";
        problem(format!("cuda stream id = {value} is no stream"), help)
    })
}

fn hexadecimal(key: &str, value: &str) -> Result<u64, Problem> {
    u64::from_str_radix(value.trim_start_matches("0x"), 16)
        .map_err(|_| problem(format!("{key} = {value} is no address"), "an address reads 0x00007f0000000000"))
}

fn triple(key: &str, value: &str, most: [u32; 3]) -> Result<[u32; 3], Problem> {
    let sides: Option<Vec<u32>> = value
        .strip_prefix('(')
        .and_then(|rest| rest.strip_suffix(')'))
        .map(|inner| inner.split(',').map_while(|side| side.trim().parse().ok()).collect());
    match sides.as_deref() {
        Some(&[x, y, z]) if [x, y, z].iter().zip(most).all(|(&side, most)| side >= 1 && side <= most) => Ok([x, y, z]),
        _ => {
            let [x, y, z] = most;
            let help = format!("three numbers from 1, as in (16,4,1), up to ({x},{y},{z})");
            Err(problem(format!("{key} = {value} is not possible"), help))
        }
    }
}

/// Whether a GPU of one architecture (`sm_86`) runs the machine code of another: the same major revision, not a later
/// minor one (CUDA C++ Programming Guide, binary compatibility).
pub fn runs_code_of(gpu: &str, code: &str) -> bool {
    let revision = |arch: &str| -> Option<(u32, u32)> {
        let number: u32 = arch.strip_prefix("sm_")?.parse().ok()?;
        Some((number / 10, number % 10))
    };
    match (revision(gpu), revision(code)) {
        (Some((major, minor)), Some((code_major, code_minor))) => major == code_major && code_minor <= minor,
        _ => gpu == code,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_runs_on_later_minor_revisions_of_the_same_major_one() {
        assert!(runs_code_of("sm_80", "sm_80"));
        assert!(runs_code_of("sm_86", "sm_80"));
        assert!(!runs_code_of("sm_80", "sm_86"));
        assert!(!runs_code_of("sm_90", "sm_89"));
        assert!(!runs_code_of("sm_120", "sm_100"));
    }
}
