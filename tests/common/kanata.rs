//! A strict reader of Kanata 0004 logs: grammar, order of time, stages within the life of their row.
//!
//! Written from `docs/kanata-log-format.md` in github.com/shioyadan/Konata, not from the writer.

use std::collections::BTreeMap;

/// A row of the log.
#[derive(Debug, Default)]
pub struct Instruction {
    pub thread: u64,
    pub number: u64,
    pub label: String,
    pub details: String,
    pub begun: u64,
    /// Lane, stage, from, to.
    pub segments: Vec<(u64, String, u64, u64)>,
    pub ended: u64,
    pub flushed: bool,
    /// Rows that let this one go on, and when.
    pub woken_by: Vec<(u64, u64)>,
}

impl Instruction {
    /// From when to when it was in a stage.
    pub fn stage(&self, name: &str) -> Option<(u64, u64)> {
        let mut found = self.segments.iter().filter(|segment| segment.1 == name).map(|segment| (segment.2, segment.3));
        let first = found.next();
        assert_eq!(found.next(), None, "{name} comes twice: {self:?}");
        first
    }
}

struct Open {
    row: Instruction,
    stages: BTreeMap<u64, (String, u64)>,
}

/// Reads a log.
///
/// # Panics
/// At the first line that the format does not allow.
pub fn read(log: &str) -> Vec<Instruction> {
    let mut lines = log.lines().enumerate();
    assert_eq!(lines.next(), Some((0, "Kanata\t0004")), "the header");
    let (_, start) = lines.next().expect("a start");
    let mut now: u64 = start.strip_prefix("C=\t").expect("C= after the header").parse().expect("a cycle");
    let mut open: BTreeMap<u64, Open> = BTreeMap::new();
    let mut rows: Vec<Option<Instruction>> = Vec::new();
    let mut retired = 0;
    for (number, line) in lines {
        let columns: Vec<&str> = line.split('\t').collect();
        let number_at = |at: usize| -> u64 {
            columns
                .get(at)
                .and_then(|column| column.parse().ok())
                .unwrap_or_else(|| panic!("line {}: {line}", number + 1))
        };
        let wide = |count: usize| assert_eq!(columns.len(), count, "columns of line {}: {line}", number + 1);
        let dead = || -> ! { panic!("line {}: {line}: no such instruction is alive", number + 1) };
        match columns[0] {
            "C" => {
                wide(2);
                assert!(number_at(1) > 0, "line {}: time stands still", number + 1);
                now += number_at(1);
            }
            "I" => {
                wide(4);
                assert_eq!(number_at(1), rows.len() as u64, "line {}: numbers are in order", number + 1);
                let row =
                    Instruction { begun: now, number: number_at(2), thread: number_at(3), ..Instruction::default() };
                open.insert(number_at(1), Open { row, stages: BTreeMap::new() });
                rows.push(None);
            }
            "L" => {
                wide(4);
                let row = &mut open.get_mut(&number_at(1)).unwrap_or_else(|| dead()).row;
                match number_at(2) {
                    0 => row.label.push_str(columns[3]),
                    1 => row.details.push_str(columns[3]),
                    other => panic!("line {}: text of type {other}", number + 1),
                }
            }
            "S" => {
                wide(4);
                let open = open.get_mut(&number_at(1)).unwrap_or_else(|| dead());
                let before = open.stages.insert(number_at(2), (columns[3].to_string(), now));
                assert_eq!(before, None, "line {}: {line}: a stage is still open", number + 1);
            }
            "E" => {
                wide(4);
                let open = open.get_mut(&number_at(1)).unwrap_or_else(|| dead());
                let (stage, since) = open.stages.remove(&number_at(2)).expect("an open stage");
                assert_eq!(stage, columns[3], "line {}", number + 1);
                assert!(since < now, "line {}: {line}: a stage without length", number + 1);
                open.row.segments.push((number_at(2), stage, since, now));
            }
            "W" => {
                wide(4);
                assert!(number_at(2) < rows.len() as u64, "line {}: {line}: no such producer", number + 1);
                assert_eq!(number_at(3), 0, "line {}", number + 1);
                open.get_mut(&number_at(1)).unwrap_or_else(|| dead()).row.woken_by.push((now, number_at(2)));
            }
            "R" => {
                wide(4);
                let Open { mut row, stages } = open.remove(&number_at(1)).unwrap_or_else(|| dead());
                assert!(stages.is_empty(), "line {}: open at the end: {stages:?}", number + 1);
                assert_eq!(number_at(2), retired, "line {}: retired in order", number + 1);
                row.flushed = match number_at(3) {
                    0 => false,
                    1 => true,
                    other => panic!("line {}: end of type {other}", number + 1),
                };
                retired += u64::from(!row.flushed);
                row.ended = now;
                rows[number_at(1) as usize] = Some(row);
            }
            _ => panic!("line {}: {line}", number + 1),
        }
    }
    assert!(open.is_empty(), "instructions that never end: {:?}", open.keys());
    rows.into_iter().map(|row| row.expect("all ended")).collect()
}
