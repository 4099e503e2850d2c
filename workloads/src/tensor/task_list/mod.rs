//! Task lists: one JSON object a line, in program order; or a `[[task]]` table each in TOML.
//!
//! ```text
//! {"id":17,"engine":"dpu","tile":1,"wait":[4],"update":[6],"variants":[{"op":"conv","dtype":"u8","in":[56,15,64],
//!  "out":[56,14,64],"k":[3,3],"s":[1,1],"pad":[1,0,1,1],"mode":"16x16","wt_sparsity":0.0,"out_tiles":1}]}
//! {"id":18,"engine":"dma","port":0,"src":"ddr","dst":"cmx1","bytes":36864,"update":[4]}
//! {"id":19,"engine":"shave","tile":0,"kernel":"softmax","dtype":"f16","elems":12544,"wait":[6],"update":[7]}
//! {"id":20,"engine":"cpu","cycles":900,"wait":[7]}
//! ```
//! (An object stands on one line.) Empty lines and lines that begin with `#` are skipped. `cycles` states a cost that is
//! then not computed; `layer` names the operator of the network; `cmx` says where operands lie. Every queue works its tasks
//! off in the order of the list. What a list must satisfy whatever machine it runs on is checked here: [`check`].

mod check;
mod line;

use serde::Deserialize;
use toml::Spanned;

use super::Task;
use crate::InputError;
use line::Line;

/// A list in TOML.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Tables {
    #[serde(default)]
    task: Vec<Spanned<Line>>,
}

/// The tasks of one inference, in program order, with the name that messages show.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskList {
    /// The file, or what stands for one.
    pub file: String,
    tasks: Vec<Task>,
}

impl TaskList {
    /// A list that a program made.
    ///
    /// # Errors
    /// Ids occur twice, a barrier has no producer, an extent is zero, a cost is missing.
    pub fn new(file: &str, tasks: Vec<Task>) -> Result<Self, InputError> {
        let list = Self { file: file.to_owned(), tasks };
        check::check(&list)?;
        Ok(list)
    }

    /// Reads JSON lines.
    ///
    /// # Errors
    /// A line is no task, or as for [`TaskList::new`].
    pub fn parse(file: &str, text: &str) -> Result<Self, InputError> {
        let mut tasks = Vec::new();
        for (number, content) in (1..).zip(text.lines()) {
            let content = content.trim();
            if content.is_empty() || content.starts_with('#') {
                continue;
            }
            let wrong = |(message, help): (String, String)| InputError::new(file, number, message, help);
            let line = Line::read(content).map_err(wrong)?;
            let mut task = line.into_task().map_err(wrong)?;
            task.line = number;
            tasks.push(task);
        }
        Self::new(file, tasks)
    }

    /// Reads `[[task]]` tables of TOML, with the keys of a line of JSON.
    ///
    /// # Errors
    /// As for [`TaskList::parse`], at the line of the table.
    pub fn parse_toml(file: &str, text: &str) -> Result<Self, InputError> {
        let line_of = |at: usize| text.bytes().take(at).filter(|byte| *byte == b'\n').count() as u32 + 1;
        let tables: Tables = toml::from_str(text).map_err(|error| {
            let line = error.span().map_or(0, |span| line_of(span.start));
            InputError::new(file, line, error.message(), "tasks as [[task]] tables, with the keys of a line of JSON")
        })?;
        // Tables stand in the order of the file: one pass counts the lines of all.
        let (mut tasks, mut at, mut number) = (Vec::with_capacity(tables.task.len()), 0, 1);
        for table in tables.task {
            let start = table.span().start;
            number +=
                text.as_bytes().get(at..start).unwrap_or_default().iter().filter(|byte| **byte == b'\n').count() as u32;
            at = start;
            let wrong = |(message, help): (String, String)| InputError::new(file, number, message, help);
            let mut task = table.into_inner().into_task().map_err(wrong)?;
            task.line = number;
            tasks.push(task);
        }
        Self::new(file, tasks)
    }

    /// The same as JSON lines; [`TaskList::parse`] reads them back.
    pub fn to_json_lines(&self) -> String {
        self.tasks.iter().map(|task| Line::of(task).write() + "\n").collect()
    }

    /// All tasks in program order.
    pub fn tasks(&self) -> &[Task] {
        &self.tasks
    }

    /// An error about one of the tasks, at its line.
    pub fn error(&self, task: &Task, message: impl std::fmt::Display, help: impl Into<String>) -> InputError {
        InputError::new(&self.file, task.line, format!("task {}: {message}", task.id), help)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::{CmxRange, DpuOperation, Element, MpeMode, Place, Work};
    use proptest::prelude::*;

    const EXAMPLE: &str = r#"# the example of the documentation
{"id":17,"engine":"dpu","tile":1,"wait":[4],"update":[6],"variants":[{"op":"conv","dtype":"u8","in":[56,15,64],"out":[56,14,64],"k":[3,3],"s":[1,1],"pad":[1,0,1,1],"mode":"16x16","wt_sparsity":0.0,"out_tiles":1}]}

{"id":18,"engine":"dma","port":0,"src":"ddr","dst":"cmx1","bytes":36864,"wait":[],"update":[4]}
{"id":19,"engine":"shave","tile":0,"kernel":"softmax","dtype":"f16","elems":12544,"wait":[6],"update":[7]}
{"id":20,"engine":"cpu","cycles":900,"wait":[7],"update":[]}
"#;

    fn message(text: &str) -> String {
        TaskList::parse("list.jsonl", text).unwrap_err().to_string()
    }

    #[test]
    fn the_example_reads_and_writes() {
        let list = TaskList::parse("example.jsonl", EXAMPLE).unwrap();
        let [dpu, dma, shave, cpu] = list.tasks() else { panic!("{list:?}") };
        assert_eq!((dpu.line, dma.line, cpu.line), (2, 4, 6));
        let Work::Dpu { tile: 1, variants } = &dpu.work else { panic!("{dpu:?}") };
        assert_eq!((variants[0].op, variants[0].mode), (DpuOperation::Conv, MpeMode::M16x16));
        assert_eq!(variants[0].padding, [1, 0, 1, 1]);
        let Work::Dma { port: 0, source: Place::Ddr, destination: Place::Cmx(1), bytes: 36864, .. } = dma.work else {
            panic!("{dma:?}")
        };
        let Work::Shave { element: Element::F16, elements: 12544, .. } = shave.work else { panic!("{shave:?}") };
        assert_eq!((cpu.cycles, cpu.wait.as_slice()), (Some(900), [7].as_slice()));
        let again = TaskList::parse("again", &list.to_json_lines()).unwrap();
        for (a, b) in list.tasks().iter().zip(again.tasks()) {
            assert_eq!(a, &Task { line: a.line, ..b.clone() });
        }
    }

    #[test]
    fn tables_are_the_same_as_lines() {
        let text = r#"# two tasks
[[task]]
id = 18
engine = "dma"
port = 0
src = "ddr"
dst = "cmx1"
bytes = 36864
update = [4]

[[task]]
id = 20
engine = "cpu"
cycles = 900
wait = [4]
"#;
        let list = TaskList::parse_toml("list.toml", text).unwrap();
        let again = TaskList::parse("again", &list.to_json_lines()).unwrap();
        assert_eq!(list.tasks().iter().map(|task| task.line).collect::<Vec<_>>(), [2, 11]);
        for (a, b) in list.tasks().iter().zip(again.tasks()) {
            assert_eq!(a, &Task { line: a.line, ..b.clone() });
        }
        let message =
            |from: &str, to: &str| TaskList::parse_toml("list.toml", &text.replace(from, to)).unwrap_err().to_string();
        assert!(message("bytes = 36864", "byte = 1").starts_with("list.toml:8: unknown field `byte`"));
        assert!(message("wait = [4]", "wait = [5]").starts_with("list.toml:11: task 20: waits for barrier 5"));
        assert!(message("cycles = 900", "cycles =").starts_with("list.toml:14: "));
        assert!(message("[[task]]", "[task]").contains("list.toml:"));
    }

    #[test]
    fn wrong_lines_say_where_and_what() {
        let wrong = [
            (r#"{"id":1,"engine":"dpu""#, "list.jsonl:1: not a JSON object"),
            (r#"{"id":1,"engine":"gpu"}"#, "list.jsonl:1: there is no engine `gpu`"),
            (r#"{"id":1,"engin":"dpu"}"#, "did you mean `engine`?"),
            (r#"{"id":1,"engine":"dma","port":0,"src":"ddr","bytes":1}"#, "a task of `dma` needs `dst`"),
            (r#"{"id":1,"engine":"cpu","cycles":1,"bytes":3}"#, "a task of `cpu` has no `bytes`"),
            (r#"{"id":1,"engine":"cpu"}"#, "needs `cycles`"),
            (r#"{"id":1,"engine":"dma","port":0,"src":"ddr","dst":"cmxx","bytes":1}"#, "`cmxx` is no place"),
            (r#"{"id":1,"engine":"dma","port":0,"src":"cmx0-1","dst":"ddr","bytes":1}"#, "broadcast"),
            (r#"{"id":1,"engine":"dma","port":0,"src":"ddr","dst":"ddr","bytes":0}"#, "moves no bytes"),
            (r#"{"id":1,"engine":"dpu","tile":0,"variants":[]}"#, "has no variants"),
            (
                r#"{"id":1,"engine":"dpu","tile":0,"variants":[{"op":"conv","dtype":"u8","in":[8,8,16],"out":[9,8,16]}]}"#,
                "out of",
            ),
            (
                r#"{"id":1,"engine":"dpu","tile":0,"variants":[{"op":"conv","dtype":"u8","in":[8,8,16],"out":[8,8,16],"wt_sparsity":1.5}]}"#,
                "sparsity",
            ),
        ];
        for (text, expected) in wrong {
            let message = message(text);
            assert!(message.contains(expected), "{text}: {message}");
        }
    }

    #[test]
    fn ids_and_barriers_are_checked() {
        let cpu = |id: u32, wait: &str, update: &str| {
            format!(r#"{{"id":{id},"engine":"cpu","cycles":1,"wait":{wait},"update":{update}}}"#)
        };
        let twice = [cpu(1, "[]", "[]"), cpu(1, "[]", "[]")].join("\n");
        assert!(message(&twice).starts_with("list.jsonl:2: task 1: the id is taken by the task of line 1"));
        assert!(message(&cpu(1, "[3]", "[]")).contains("waits for barrier 3, which no task updates"));
        assert!(message(&cpu(1, "[3]", "[3]")).contains("waits for barrier 3, which it updates itself"));
        assert!(message(&cpu(1, "[]", "[3,3]")).contains("names barrier 3 twice"));
        assert!(message("# nothing").contains("has no tasks"));
        let circle = [cpu(1, "[1]", "[2]"), cpu(2, "[2]", "[3]"), cpu(3, "[3]", "[1]"), cpu(4, "[1]", "[]")].join("\n");
        let message = message(&circle);
        assert!(message.contains("cyclic waits: task 1 waits for barrier 1 of task 3"), "{message}");
        assert!(message.contains("task 2 waits for barrier 2 of task 1"), "{message}");
        assert!(!message.contains("task 4 waits"), "{message}");
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(
            bytes in 1_u64..1_000_000, tile in 0_u32..6, cycles in proptest::option::of(0_u64..1000),
            decompress: bool, layer in proptest::option::of("[a-z \"\\\\]{0,8}"),
        ) {
            let mut task = Task::new(3, Work::Dma {
                port: 1, source: Place::Cmx(tile), destination: Place::CmxBroadcast { first: 0, last: 5 }, bytes,
                decompress, permute_element_bytes: decompress.then_some(2),
            });
            task.cycles = cycles;
            task.layer = layer;
            task.update = vec![tile];
            task.cmx = vec![CmxRange { tile, offset: bytes, bytes }];
            let list = TaskList::new("made", vec![task]).unwrap();
            let again = TaskList::parse("made", &list.to_json_lines()).unwrap();
            prop_assert_eq!(&list.tasks()[0], &Task { line: 0, ..again.tasks()[0].clone() });
        }

        #[test]
        fn no_text_makes_the_reader_panic(at in 0_usize..600, byte: u8) {
            let mut bytes = EXAMPLE.as_bytes().to_vec();
            let at = at % bytes.len();
            bytes[at] = byte;
            let _ = TaskList::parse("mutated", &String::from_utf8_lossy(&bytes));
            let _ = TaskList::parse("cut", &String::from_utf8_lossy(&bytes[..at]));
        }
    }
}
