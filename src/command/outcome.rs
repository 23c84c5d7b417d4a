//! What a command has come to, and the one way in which that gets out.

use std::io::{self, Write};

use super::usage::Usage;
use crate::error::{Exit, StartError};
use crate::format::sanitise;
use crate::report::view::{self, Page, View};
use crate::report::{self, output};

/// What there is to say at the end of a command, in its order, and how it ends.
#[derive(Default)]
pub struct Outcome {
    exit: Exit,
    said: Vec<Said>,
    /// Whether events went to stdout before: they count only as a whole.
    events: bool,
}

enum Said {
    /// To stdout: what was asked for.
    View(View, Care),
    /// To stderr: lines.
    Words(String),
    /// To stderr, like a view: it is waited for as long as somebody reads.
    List(String, Care),
    /// The help, or what is wrong with the command line.
    Usage(Usage),
}

/// What it means that something can't be written.
#[derive(Clone, Copy)]
pub enum Care {
    /// Nothing: what was to be done is done, and nobody may be left to read it.
    Nothing,
    /// An error, with these words, unless the reader has left.
    UnlessClosed(&'static str),
    /// An error, with these words.
    Always(&'static str),
}

impl Outcome {
    /// Nothing is to be said.
    #[must_use]
    pub fn new(exit: Exit) -> Self {
        Self { exit, ..Self::default() }
    }

    /// Nothing was done, or not all of it, for this error.
    #[must_use]
    pub fn not_done(command: &str, error: &StartError) -> Self {
        let mut outcome = Self::new(error.exit()).complain(&error.to_string());
        if error.exit() == Exit::Usage && !matches!(error, StartError::Config(_)) {
            outcome = outcome.words(format!("For more information, try 'zfsync {command} --help'.\n"));
        }
        outcome
    }

    /// The command line is none, or asks for help; `words` are its arguments.
    #[must_use]
    pub fn usage(error: clap::Error, words: &[String]) -> Self {
        let usage = Usage::new(error, words);
        let exit = if usage.is_error() { Exit::Usage } else { Exit::InSync };
        Self { said: vec![Said::Usage(usage)], ..Self::new(exit) }
    }

    /// A view for stdout.
    #[must_use]
    pub fn view(mut self, view: View, care: Care) -> Self {
        self.said.push(Said::View(view, care));
        self
    }

    /// Text for stdout.
    #[must_use]
    pub fn text(self, text: String, care: Care) -> Self {
        if text.is_empty() { self } else { self.view(view::text(text), care) }
    }

    /// Lines for stderr, with their line feeds.
    #[must_use]
    pub fn words(mut self, words: String) -> Self {
        if !words.is_empty() {
            self.said.push(Said::Words(words));
        }
        self
    }

    /// Lines for stderr that may be many, and are a part of what was asked for.
    #[must_use]
    pub fn list(mut self, lines: String, care: Care) -> Self {
        if !lines.is_empty() {
            self.said.push(Said::List(lines, care));
        }
        self
    }

    /// An error for stderr.
    #[must_use]
    pub fn complain(self, error: &str) -> Self {
        self.words(complaint(error))
    }

    /// Events have gone to stdout.
    #[must_use]
    pub fn behind_events(self) -> Self {
        Self { events: true, ..self }
    }

    /// How the command ends, if all can be written.
    #[must_use]
    pub fn exit(&self) -> Exit {
        self.exit
    }

    /// Says all of it; how the command ends. The last thing that a process does.
    #[must_use]
    pub fn end(self) -> Exit {
        let exit = self.write().unwrap_or_else(|error| {
            say(&complaint(&error.to_string()));
            error.exit()
        });
        output::finish();
        exit
    }

    fn write(self) -> Result<Exit, StartError> {
        for said in self.said {
            match said {
                Said::View(view, care) => care.of(show(view, self.events))?,
                Said::List(lines, care) => care.of(behind_all(|| io::stderr().write_all(lines.as_bytes())))?,
                Said::Words(words) => say(&words),
                Said::Usage(usage) if usage.is_error() => say(&usage.text(report::colours())),
                Said::Usage(usage) => usage.print(),
            }
        }
        if self.events {
            output::finish();
            // Whoever reads the events has not seen all of them, perhaps not the end.
            if self.exit == Exit::InSync && output::stdout().lost() {
                let words = "stdout was closed or not read: not all events could be written; the run itself succeeded";
                say(&complaint(words));
                return Ok(Exit::Failed);
            }
        }
        Ok(self.exit)
    }
}

impl Care {
    fn of(self, written: io::Result<()>) -> Result<(), StartError> {
        match (written, self) {
            (Err(error), Self::UnlessClosed(what)) if error.kind() != io::ErrorKind::BrokenPipe => {
                Err(StartError::System { what, error })
            }
            (Err(error), Self::Always(what)) => Err(StartError::System { what, error }),
            _ => Ok(()),
        }
    }
}

fn complaint(error: &str) -> String {
    format!("zfsync: error: {}\n", sanitise(error))
}

fn say(words: &str) {
    // A closed stderr is no reason for another exit code.
    let _ = output::stderr().write_all(report::for_stderr(words).as_bytes());
}

fn show(view: View, events: bool) -> io::Result<()> {
    let mut text = Vec::new();
    view(Page::stdout(), &mut text)?;
    if events {
        // A reader that is gone is told of by the exit code.
        let _ = output::stdout().write_all(&text);
        return Ok(());
    }
    let mut stdout = io::stdout().lock();
    behind_all(|| stdout.write_all(&text).and_then(|()| stdout.flush()))
}

/// Writes when all that was said before is written.
fn behind_all(write: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
    output::finish();
    write()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_not_be_written_is_an_error_where_it_counts() {
        let of = |care: Care, kind: io::ErrorKind| care.of(Err(kind.into())).map_err(|error| error.exit());
        let (closed, full) = (io::ErrorKind::BrokenPipe, io::ErrorKind::StorageFull);
        for (care, when_closed, when_full) in [
            (Care::Nothing, Ok(()), Ok(())),
            (Care::UnlessClosed("can't print"), Ok(()), Err(Exit::NotStarted)),
            (Care::Always("can't print"), Err(Exit::NotStarted), Err(Exit::NotStarted)),
        ] {
            assert_eq!((of(care, closed), of(care, full)), (when_closed, when_full));
            assert!(care.of(Ok(())).is_ok());
        }
    }

    #[test]
    fn usage_errors_point_to_the_help() {
        let said = |error: StartError| {
            let outcome = Outcome::not_done("push", &error);
            let words = outcome.said.iter().map(|said| if let Said::Words(words) = said { words } else { "" });
            (outcome.exit, words.collect::<String>())
        };
        let (exit, words) = said(StartError::Usage("no\u{7}".into()));
        assert_eq!(exit, Exit::Usage);
        assert_eq!(words, "zfsync: error: no\\u{7}\nFor more information, try 'zfsync push --help'.\n");
        let (exit, words) = said(StartError::NoZfsHere { target: None });
        assert!(exit == Exit::NotStarted && !words.contains("--help"), "{words}");
        // Its errors name their places.
        assert_eq!(said(StartError::Config(Vec::new())), (Exit::Usage, "zfsync: error: \n".into()));
    }
}
