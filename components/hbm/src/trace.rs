//! Text traces: commands of a channel, and memory requests in our form and in those of Ramulator and DRAMsim3.
//!
//! ```text
//!   clk,cmd,pc,sid,bg,ba,row,col    command trace (ours), -1 where a field does not apply
//!   at,op,address,bytes             request trace (ours), op R or W, address hexadecimal with 0x or decimal
//!   LD 0x1234 · ST 5678             Ramulator 2, no times
//!   0x1234 READ 10                  DRAMsim3, tick last
//! ```
//!
//! Models: the forms above, told apart by their first line; comments start with `#`.
//! Leaves out: binary and compressed traces, which the caller unpacks.
//! Canonical tests: below.

use std::fmt::Write;

use crate::bank::Tick;
use crate::checker::TracedCommand;
use crate::command::{Bus, Command, Reach};
use crate::error::TraceError;
use crate::generator::Generated;
use crate::organisation::DramAddress;
use crate::request::Op;

/// Reads a command trace. `file` is only for messages.
pub fn read_commands(file: &str, text: &str) -> Result<Vec<TracedCommand>, TraceError> {
    const FORM: &str = "clk,cmd,pc,sid,bg,ba,row,col";
    let mut commands = Vec::new();
    for (line, content) in lines(text).filter(|(_, c)| *c != FORM) {
        let fail = |message: String, help: &str| TraceError { file: file.into(), line, message, help: help.into() };
        let fields: Vec<&str> = content.split(',').collect();
        let [clk, command, rest @ ..] = fields.as_slice() else {
            return Err(fail(format!("`{content}` is no command"), FORM));
        };
        let [pc, sid, bg, ba, row, col] = rest else {
            return Err(fail(format!("{} fields, not 8", fields.len()), FORM));
        };
        let number = |name: &str, value: &str| match value.trim() {
            "-1" => Ok(0),
            v => v.parse::<u32>().map_err(|_| fail(format!("{name} = `{value}`"), "a whole number, or -1 for none")),
        };
        commands.push(TracedCommand {
            tick: clk.trim().parse().map_err(|_| fail(format!("clk = `{clk}`"), "a whole number of ticks"))?,
            command: command.trim().parse().map_err(|e: crate::command::UnknownCommand| fail(e.to_string(), FORM))?,
            place: DramAddress {
                pseudo_channel: number("pc", pc)?,
                stack_id: number("sid", sid)?,
                bank_group: number("bg", bg)?,
                bank: number("ba", ba)?,
                row: number("row", row)?,
                column: number("col", col)?,
            },
        });
    }
    if commands.is_empty() {
        return Err(TraceError { file: file.into(), line: 1, message: "no command".into(), help: FORM.into() });
    }
    Ok(commands)
}

/// The memory that a command trace names in a line `# memory: hbm3`.
pub fn memory_of(text: &str) -> Option<&str> {
    let comments = text.lines().map(str::trim).take_while(|line| line.is_empty() || line.starts_with('#'));
    comments.filter_map(|line| line.strip_prefix('#')?.trim().strip_prefix("memory:")).map(str::trim).next()
}

/// Writes a command trace that names its memory.
pub fn write_commands(memory: &str, commands: &[TracedCommand]) -> String {
    let mut text = format!("# memory: {memory}\nclk,cmd,pc,sid,bg,ba,row,col\n");
    for c in commands {
        let p = &c.place;
        let (of_bank, of_column) = (c.command.reach() == Reach::Bank, c.command.bus() == Bus::Column);
        let field = |applies: bool, value: u32| if applies { i64::from(value) } else { -1 };
        let with_row = of_column || c.command == Command::Act;
        let fields = [
            field(of_bank, p.stack_id),
            field(of_bank, p.bank_group),
            field(of_bank, p.bank),
            field(with_row, p.row),
            field(of_column, p.column),
        ];
        let _ = write!(text, "{},{},{}", c.tick, c.command.name(), p.pseudo_channel);
        fields.iter().for_each(|value| {
            let _ = write!(text, ",{value}");
        });
        text.push('\n');
    }
    text
}

/// Last tick at which a request may be due; about ten minutes of a memory's time.
pub const LAST_TICK: Tick = 1 << 40;
/// Most accesses of one run: the latency of each is kept for the percentiles.
pub const MOST_REQUESTS: u64 = 100_000_000;

/// Limits a request trace must keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestLimits {
    /// Bytes of one access; addresses must be multiples, larger requests are split into accesses.
    pub access_bytes: u32,
    /// Bytes of memory; addresses must be below.
    pub capacity_bytes: u64,
}

/// Reads a request trace of any of the three forms, split into accesses.
pub fn read_requests(file: &str, text: &str, limits: &RequestLimits) -> Result<Vec<Generated>, TraceError> {
    const HELP: &str = "`at,op,address,bytes`, `LD 0x40`, or `0x40 READ 10`";
    let mut requests: Vec<Generated> = Vec::new();
    let mut last: Tick = 0;
    for (line, content) in lines(text).filter(|(_, c)| !c.starts_with("at,op,address")) {
        let fail = |message: String, help: &str| TraceError { file: file.into(), line, message, help: help.into() };
        let (due, op, address, bytes) =
            parse_request(content).ok_or_else(|| fail(format!("`{content}` is no request"), HELP))?;
        let (due, bytes) = (due.unwrap_or(last), bytes.unwrap_or(u64::from(limits.access_bytes)));
        let access = u64::from(limits.access_bytes);
        if due < last {
            return Err(fail(format!("tick {due} after tick {last}"), "requests in order of time"));
        }
        if due > LAST_TICK {
            return Err(fail(format!("tick {due} is too far away"), &format!("at most {LAST_TICK}")));
        }
        if bytes / access > MOST_REQUESTS - requests.len() as u64 {
            return Err(fail(format!("more than {MOST_REQUESTS} accesses so far"), "fewer, in several runs"));
        }
        if address % access != 0 || bytes % access != 0 || bytes == 0 {
            let message = format!("address {address:#x} of {bytes} bytes is not made of whole accesses");
            return Err(fail(message, &format!("multiples of {access} bytes")));
        }
        if address.checked_add(bytes).is_none_or(|end| end > limits.capacity_bytes) {
            let message = format!("address {address:#x} is out of range");
            return Err(fail(message, &format!("below the capacity of {:#x} bytes", limits.capacity_bytes)));
        }
        last = due;
        for part in 0..bytes / access {
            let index = requests.len() as u64;
            requests.push(Generated { index, address: address + part * access, op, due });
        }
    }
    if requests.is_empty() {
        return Err(TraceError { file: file.into(), line: 1, message: "no request".into(), help: HELP.into() });
    }
    Ok(requests)
}

/// A request as written: due tick, operation, address, bytes.
type WrittenRequest = (Option<Tick>, Op, u64, Option<u64>);

fn parse_request(content: &str) -> Option<WrittenRequest> {
    if content.contains(',') {
        let fields: Vec<&str> = content.split(',').map(str::trim).collect();
        let [at, op, address, bytes] = fields.as_slice() else { return None };
        return Some((Some(at.parse().ok()?), operation(op)?, number(address)?, Some(bytes.parse().ok()?)));
    }
    let fields: Vec<&str> = content.split_whitespace().collect();
    match fields.as_slice() {
        [op @ ("LD" | "ST"), address] => Some((None, operation(op)?, number(address)?, None)),
        [address, op, at] => Some((Some(at.parse().ok()?), operation(op)?, hexadecimal(address)?, None)),
        _ => None,
    }
}

fn operation(word: &str) -> Option<Op> {
    match word {
        "R" | "LD" | "READ" | "P_MEM_RD" => Some(Op::Read),
        "W" | "ST" | "WRITE" | "P_MEM_WR" => Some(Op::Write),
        _ => None,
    }
}

fn number(word: &str) -> Option<u64> {
    if word.starts_with("0x") { hexadecimal(word) } else { word.parse().ok() }
}

fn hexadecimal(word: &str) -> Option<u64> {
    u64::from_str_radix(word.strip_prefix("0x").unwrap_or(word), 16).ok()
}

/// Lines that are neither empty nor comments, with their numbers from 1.
fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().map(|(i, l)| (i + 1, l.trim())).filter(|(_, l)| !l.is_empty() && !l.starts_with('#'))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: RequestLimits = RequestLimits { access_bytes: 32, capacity_bytes: 1 << 20 };

    #[test]
    fn reads_three_forms_alike() {
        let ours = read_requests("a", "at,op,address,bytes\n5,R,0x40,64\n6,W,128,32\n", &LIMITS).unwrap();
        assert_eq!(ours.iter().map(|r| r.address).collect::<Vec<_>>(), [0x40, 0x60, 128]);
        let dramsim3 = read_requests("b", "0x40 READ 5\n0x60 READ 5\n80 WRITE 6\n", &LIMITS).unwrap();
        assert_eq!(ours, dramsim3);
        let ramulator = read_requests("c", "LD 0x40\nLD 96\nST 0x80\n", &LIMITS).unwrap();
        assert_eq!(
            ramulator.iter().map(|r| (r.address, r.op)).collect::<Vec<_>>(),
            ours.iter().map(|r| (r.address, r.op)).collect::<Vec<_>>()
        );
    }

    #[test]
    fn a_written_command_trace_is_read_back() {
        let text = "# memory: hbm3\nclk,cmd,pc,sid,bg,ba,row,col\n1,ACT,1,0,2,3,77,-1\n63,RD,1,0,2,3,77,4\n\
                    200,PREpb,1,0,2,3,-1,-1\n240,REFab,0,-1,-1,-1,-1,-1\n";
        assert_eq!(memory_of(text), Some("hbm3"));
        assert_eq!(memory_of("1,ACT,0,0,0,0,5,-1\n# memory: hbm3\n"), None);
        assert_eq!(write_commands("hbm3", &read_commands("t", text).unwrap()), text);
    }

    #[test]
    fn limits_keep_a_run_finite() {
        let error = |text: &str| read_requests("t", text, &LIMITS).unwrap_err().to_string();
        assert!(error("0x40 READ 18446744073709551615").contains("t:1: tick 18446744073709551615 is too far away"));
        let large = RequestLimits { access_bytes: 32, capacity_bytes: u64::MAX };
        let text = "0,R,0,32\n0,R,0x0,3200000000\n";
        assert!(read_requests("t", text, &large).unwrap_err().to_string().starts_with("t:2: more than 100000000"));
    }

    #[test]
    fn says_what_is_wrong() {
        let error = |text: &str| read_requests("t.csv", text, &LIMITS).unwrap_err().to_string();
        assert!(error("LD 0x41").contains("t.csv:1: address 0x41"));
        assert!(error("LD 0x40\nLD 0x100000").contains("t.csv:2: address 0x100000 is out of range"));
        assert!(error("5,R,0x40").contains("is no request"));
        assert!(error("\u{7f}ELF\u{0}").contains("is no request"));
        assert!(error("5,R,0x40,32\n4,R,0x40,32").contains("tick 4 after tick 5"));
        assert!(error("").contains("no request"));
        assert!(read_commands("x", "1,ACT,0,0,0,0,5").unwrap_err().to_string().contains("7 fields"));
        assert!(read_commands("x", "1,ACTIVATE,0,0,0,0,5,0").unwrap_err().to_string().contains("ACTIVATE"));
    }
}
