//! How a command fails: what the user reads, and the exit code.

use std::fmt;
use std::process::ExitCode;

use miette::{Diagnostic, LabeledSpan, NamedSource, SourceCode};
use validation::suite::SuiteError;

/// A file larger than this is not shown in a message.
const SHOWN_FILE_BYTES: u64 = 4 << 20;

/// Why a command did not succeed.
#[derive(Debug)]
pub enum Failure {
    /// The input is wrong. Exit code 2.
    Input(Vec<Complaint>),
    /// A run ended without its result: a deadlock, or partial. Exit code 1.
    Run(Complaint),
    /// A check failed, and all that there is to say was printed. Exit code 1.
    Check,
}

/// One thing that is wrong: what, where, and what would be right.
#[derive(Debug)]
pub struct Complaint {
    message: String,
    help: Option<String>,
    place: Option<Box<Place>>,
}

#[derive(Debug)]
struct Place {
    source: NamedSource<String>,
    label: LabeledSpan,
}

impl Complaint {
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), help: None, place: None }
    }

    /// Adds what would be right; an empty text adds nothing.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        let help = help.into();
        self.help = (!help.is_empty()).then_some(help);
        self
    }

    /// Shows the bytes `span` of `text`, which came from `file`.
    #[must_use]
    pub fn at_span(mut self, file: &str, text: &str, span: std::ops::Range<usize>) -> Self {
        let start = span.start.min(text.len());
        let end = span.end.clamp(start, text.len());
        let label = LabeledSpan::underline(start..end);
        self.place = Some(Box::new(Place { source: NamedSource::new(file, text.to_string()), label }));
        self
    }

    /// Shows the line (from 1) of a file on disk if it can be shown, else names both in the message; line 0 is the file as
    /// a whole.
    #[must_use]
    pub fn at_line(self, file: &str, line: u32) -> Self {
        let shown = match line {
            0 => None,
            line => text_of(file).and_then(|text| Some((line_span(&text, line)?, text))),
        };
        match shown {
            Some((span, text)) => self.at_span(file, &text, span),
            None => {
                let place = if line == 0 { file.to_string() } else { format!("{file}:{line}") };
                Self { message: format!("{place}: {}", self.message), ..self }
            }
        }
    }
}

fn text_of(file: &str) -> Option<String> {
    let size = std::fs::metadata(file).ok()?.len();
    (size <= SHOWN_FILE_BYTES).then(|| std::fs::read_to_string(file).ok())?
}

/// The bytes of a line, without blanks around it.
fn line_span(text: &str, line: u32) -> Option<std::ops::Range<usize>> {
    let mut start = 0;
    for (number, content) in (1..).zip(text.split_inclusive('\n')) {
        if number == line {
            let indent = content.len() - content.trim_start().len();
            let end = start + content.trim_end().len();
            return Some((start + indent).min(end)..end);
        }
        start += content.len();
    }
    None
}

impl fmt::Display for Complaint {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.message)
    }
}

impl std::error::Error for Complaint {}

impl Diagnostic for Complaint {
    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.help.as_ref().map(|help| Box::new(help) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.place.as_ref().map(|place| &place.source as &dyn SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        self.place.as_ref().map(|place| Box::new(std::iter::once(place.label.clone())) as Box<dyn Iterator<Item = _>>)
    }
}

impl From<Complaint> for Failure {
    fn from(complaint: Complaint) -> Self {
        Self::Input(vec![complaint])
    }
}

impl From<SuiteError> for Failure {
    fn from(error: SuiteError) -> Self {
        match &error {
            SuiteError::Unknown { name, known } => {
                let help = sim_core::config::did_you_mean(name, known.iter().map(String::as_str));
                Complaint::new(format!("there is no suite `{name}`: it is neither shipped nor a folder"))
                    .help(help.unwrap_or_default())
                    .into()
            }
            _ => Complaint::new(error.to_string()).into(),
        }
    }
}

impl From<workloads::sass::SassError> for Failure {
    fn from(error: workloads::sass::SassError) -> Self {
        Complaint::new(error.message).help(error.help).at_line(&error.file, error.line).into()
    }
}

/// Shows the key in its file, also when it was inherited from there.
impl From<Vec<sim_core::ConfigError>> for Failure {
    fn from(errors: Vec<sim_core::ConfigError>) -> Self {
        let complaint = |error: sim_core::ConfigError| {
            let help = error.help.clone().unwrap_or_default();
            let source = &error.place.source;
            Complaint::new(error.problem.to_string()).help(help).at_span(&source.name, &source.text, error.place.span)
        };
        Self::Input(errors.into_iter().map(complaint).collect())
    }
}

impl Failure {
    /// A file that cannot be written: the path the user gave is wrong or its disk is full.
    pub fn cannot_write(path: &std::path::Path, error: &std::io::Error) -> Self {
        Complaint::new(format!("cannot write {}: {error}", path.display()))
            .help("give another folder with --out, or --out none to write nothing")
            .into()
    }

    /// All that is wrong, in one line each.
    pub fn in_words(&self) -> String {
        match self {
            Self::Input(complaints) => complaints.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"),
            Self::Run(complaint) => complaint.to_string(),
            Self::Check => "a check failed".to_string(),
        }
    }

    /// Prints what is to be said and returns the exit code.
    pub fn report(self) -> ExitCode {
        let (complaints, code) = match self {
            Self::Input(complaints) => (complaints, 2),
            Self::Run(complaint) => (vec![complaint], 1),
            Self::Check => (Vec::new(), 1),
        };
        for complaint in complaints {
            eprintln!("{:?}", miette::Report::new(complaint));
        }
        ExitCode::from(code)
    }
}

/// How diagnostics look: fixed width, so that a message is the same in a terminal and in a log.
pub fn install_diagnostics() {
    // Fails only if a hook is there already, which is then as good.
    let _ = miette::set_hook(Box::new(|_| {
        let options = miette::MietteHandlerOpts::new().width(120).unicode(true).force_graphical(true);
        Box::new(options.context_lines(1).build())
    }));
}

/// A panic is our fault and says so; the process ends with exit code 101.
pub fn install_panic_message() {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        before(panic);
        eprintln!(
            "\nThis is a fault of orrery {}, not of your input. Please report it with the command line and the lines above.",
            env!("CARGO_PKG_VERSION")
        );
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(complaint: Complaint) -> String {
        install_diagnostics();
        format!("{:?}", miette::Report::new(complaint))
    }

    #[test]
    fn a_line_is_found_without_its_blanks() {
        let text = "one\n  two  \n\nlast";
        let line = |number| line_span(text, number).map(|span| &text[span]);
        assert_eq!([1, 2, 3, 4, 5].map(line), [Some("one"), Some("two"), Some(""), Some("last"), None]);
    }

    #[test]
    fn a_complaint_shows_the_line_and_what_would_be_right() {
        let text = "[part.sm]\ncuont = 3\n";
        let complaint =
            Complaint::new("unknown key `cuont`").help("did you mean `count`?").at_span("m.toml", text, 10..15);
        insta::assert_snapshot!(shown(complaint));
    }

    #[test]
    fn a_file_that_is_not_there_is_named_in_the_message() {
        assert_eq!(Complaint::new("no").at_line("gone.sass", 3).to_string(), "gone.sass:3: no");
        assert_eq!(Complaint::new("no").at_line("gone.sass", 0).to_string(), "gone.sass: no");
    }
}
