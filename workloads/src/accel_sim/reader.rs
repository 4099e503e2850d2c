//! Reads a kernel trace a block at a time.

use std::io::{BufRead, Read};
use std::path::Path;

use super::header::{Header, HeaderReader, Problem};
use super::line::{self, Forms, TraceOp};
use super::packed;
use crate::sass::SassError;

/// A line this long is no line of a trace.
const MAX_LINE_BYTES: u64 = 1 << 20;

/// What one thread block executed.
#[derive(Debug, Default)]
pub struct Block {
    pub position: [u32; 3],
    /// By warp number; a warp that did not run is empty.
    pub warps: Vec<Vec<TraceOp>>,
    /// Of all memory instructions: see [`TraceOp::first_address`].
    pub addresses: Vec<u64>,
}

impl Block {
    /// Addresses of an instruction, of the lowest active lane first.
    pub fn addresses_of(&self, op: &TraceOp) -> &[u64] {
        match op.first_address {
            Some(first) => &self.addresses[first as usize..first as usize + op.mask.count_ones() as usize],
            None => &[],
        }
    }

    fn clear(&mut self, warps: usize) {
        self.warps.resize_with(warps, Vec::new);
        self.warps.iter_mut().for_each(Vec::clear);
        self.addresses.clear();
    }
}

/// A trace that is being read.
pub struct TraceReader {
    file: String,
    source: Box<dyn BufRead + Send>,
    bytes: Vec<u8>,
    line: String,
    number: u32,
    header: Header,
    forms: Forms,
    blocks: u64,
    instructions: u64,
}

impl std::fmt::Debug for TraceReader {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("TraceReader").field("file", &self.file).field("line", &self.number).finish_non_exhaustive()
    }
}

/// The warp that is being read.
struct Section {
    warp: usize,
    /// Line of `insts =`, and what it says.
    declared: Option<(u32, usize)>,
}

const TRUNCATED: &str = "the trace is cut off: copy it again, or trace again";

impl TraceReader {
    /// Opens a trace and reads its header.
    ///
    /// # Errors
    /// The file cannot be read, or its header is not one of version 3, 4 or 5.
    pub fn open(path: &Path) -> Result<Self, SassError> {
        Self::new(&path.display().to_string(), packed::open(path)?)
    }

    /// As [`TraceReader::open`], on text at hand; `file` is named in errors.
    ///
    /// # Errors
    /// As [`TraceReader::open`].
    pub fn new(file: &str, source: Box<dyn BufRead + Send>) -> Result<Self, SassError> {
        let mut reader = Self {
            file: file.to_owned(),
            source,
            bytes: Vec::new(),
            line: String::new(),
            number: 0,
            header: Header::default(),
            forms: Forms::default(),
            blocks: 0,
            instructions: 0,
        };
        let mut header = HeaderReader::default();
        while reader.next_line()? {
            match reader.line.strip_prefix('-') {
                Some(text) => header.line(text).map_err(|problem| reader.error(problem))?,
                None if reader.line.is_empty() => {}
                None => break,
            }
        }
        reader.header = header.finish().map_err(|problem| reader.error(problem))?;
        Ok(reader)
    }

    pub fn header(&self) -> &Header {
        &self.header
    }

    pub fn file(&self) -> &str {
        &self.file
    }

    pub fn forms(&self) -> &Forms {
        &self.forms
    }

    /// Blocks and warp instructions read so far.
    pub fn read_so_far(&self) -> (u64, u64) {
        (self.blocks, self.instructions)
    }

    /// Reads the next block into `block`, whose buffers are kept for reuse; `false` at the end.
    ///
    /// # Errors
    /// [`SassError`] with the line: a block that is cut off, `insts =` that does not match the lines behind it, a warp or
    /// block that the header does not have, an instruction line that is not understood.
    pub fn next_block(&mut self, block: &mut Block) -> Result<bool, SassError> {
        block.clear(self.header.warps_per_block() as usize);
        loop {
            // The line at hand is the one behind the header or behind the last block.
            match self.line.as_str() {
                "#BEGIN_TB" => break,
                text if text.is_empty() || text.starts_with('#') => {}
                text => {
                    let message = format!("`{text}` stands outside a thread block");
                    return Err(self.error_at(self.number, message, "a thread block begins with #BEGIN_TB"));
                }
            }
            if !self.next_line()? {
                return self.end().map(|()| false);
            }
        }
        self.block(block)?;
        self.blocks += 1;
        self.line.clear();
        Ok(true)
    }

    fn end(&self) -> Result<(), SassError> {
        match self.blocks {
            0 => Err(self.error_at(self.number, "the trace has no thread block", TRUNCATED)),
            _ => Ok(()),
        }
    }

    fn block(&mut self, block: &mut Block) -> Result<(), SassError> {
        let mut position = None;
        let mut section: Option<Section> = None;
        let mut seen = vec![false; block.warps.len()];
        loop {
            if !self.next_line()? {
                let place = match (&section, position) {
                    (Some(section), _) => format!("the file ends within warp {} of a thread block", section.warp),
                    (None, _) => "the file ends within a thread block".to_owned(),
                };
                return Err(self.error_at(self.number, place, TRUNCATED));
            }
            if self.line.is_empty() {
                continue;
            }
            if self.line == "#END_TB" {
                self.close(section.take(), block)?;
                if position.is_none() {
                    let help = "a thread block names itself: thread block = 0,0,0";
                    return Err(self.error_at(self.number, "this thread block has no number", help));
                }
                return Ok(());
            }
            if self.line == "#BEGIN_TB" {
                return Err(self.error_at(self.number, "a thread block begins within another", "#END_TB is missing"));
            }
            if self.line.starts_with('#') {
                continue;
            }
            if let Some(text) = key(&self.line, "thread block") {
                position = Some(self.position(text)?);
                block.position = position.unwrap_or_default();
            } else if let Some(text) = key(&self.line, "warp") {
                let warp = text.parse().ok().filter(|&warp: &usize| warp < seen.len());
                let Some(warp) = warp else {
                    let message = format!("warp {text} is not one of the {} of a block", seen.len());
                    let help = "warps are numbered from 0; the header's block dim says how many there are";
                    return Err(self.error_at(self.number, message, help));
                };
                self.close(section.take(), block)?;
                if std::mem::replace(&mut seen[warp], true) {
                    let message = format!("warp {warp} stands twice in this block");
                    return Err(self.error_at(self.number, message, "every warp of a block has one section"));
                }
                section = Some(Section { warp, declared: None });
            } else if let Some(text) = key(&self.line, "insts") {
                let count = text.parse().map_err(|_| {
                    let message = format!("insts = {text} is no number");
                    self.error_at(self.number, message, "how many instruction lines follow: insts = 17")
                })?;
                let Some(section) = &mut section else {
                    let message = "insts = stands before any warp";
                    return Err(self.error_at(self.number, message, "warp = 0 should come first"));
                };
                section.declared = Some((self.number, count));
            } else {
                let Some(Section { warp, declared: Some(_) }) = section else {
                    let message = format!("`{}` is not expected here", shorten(&self.line));
                    let help = "an instruction stands behind thread block = x,y,z, warp = w and insts = n";
                    return Err(self.error_at(self.number, message, help));
                };
                let op = line::read(&self.line, &self.header, &mut self.forms, &mut block.addresses, self.number);
                block.warps[warp].push(op.map_err(|problem| self.error(problem))?);
                self.instructions += 1;
            }
        }
    }

    /// The end of a warp: as many instructions as declared.
    fn close(&self, section: Option<Section>, block: &Block) -> Result<(), SassError> {
        let Some(section) = section else { return Ok(()) };
        let found = block.warps[section.warp].len();
        match section.declared {
            Some((_, count)) if count == found => Ok(()),
            Some((line, count)) => {
                let message = format!("insts = {count}, but {found} instruction lines follow");
                Err(self.error_at(line, message, TRUNCATED))
            }
            None => {
                let message = format!("warp {} does not say how many instructions it has", section.warp);
                Err(self.error_at(self.number, message, "insts = n stands behind warp = w"))
            }
        }
    }

    fn position(&self, text: &str) -> Result<[u32; 3], SassError> {
        let numbers: Vec<u32> = text.split(',').map_while(|number| number.trim().parse().ok()).collect();
        match numbers[..] {
            [x, y, z] if [x, y, z].iter().zip(self.header.grid).all(|(&own, side)| own < side) => Ok([x, y, z]),
            _ => {
                let [x, y, z] = self.header.grid;
                let message = format!("thread block {text} is not in the grid ({x},{y},{z})");
                Err(self.error_at(self.number, message, "three numbers from 0: thread block = 0,0,0"))
            }
        }
    }

    /// Reads a line, without blanks around it; `false` at the end of the file.
    fn next_line(&mut self) -> Result<bool, SassError> {
        self.bytes.clear();
        let read = self.source.by_ref().take(MAX_LINE_BYTES).read_until(b'\n', &mut self.bytes).map_err(|error| {
            let message = format!("cannot be read beyond line {}: {error}", self.number);
            SassError::new(&self.file, self.number, message, TRUNCATED)
        })?;
        self.number += 1;
        self.line.clear();
        let text = std::str::from_utf8(&self.bytes).map_err(|_| {
            let help = "a kernel trace is text, plain or packed as .xz or .zst";
            self.error_at(self.number, "this is not text", help)
        })?;
        if read as u64 == MAX_LINE_BYTES {
            let message = format!("a line of more than {MAX_LINE_BYTES} bytes");
            return Err(self.error_at(self.number, message, "this is no kernel trace"));
        }
        self.line.push_str(text.trim());
        Ok(read > 0)
    }

    fn error(&self, (message, help): Problem) -> SassError {
        self.error_at(self.number, message, help)
    }

    fn error_at(&self, line: u32, message: impl Into<String>, help: impl Into<String>) -> SassError {
        SassError::new(&self.file, line, message, help)
    }
}

/// The value of `key = value`.
fn key<'a>(line: &'a str, key: &str) -> Option<&'a str> {
    Some(line.strip_prefix(key)?.trim_start().strip_prefix('=')?.trim())
}

fn shorten(text: &str) -> String {
    if text.chars().count() > 60 { text.chars().take(60).chain("…".chars()).collect() } else { text.to_owned() }
}
