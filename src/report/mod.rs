//! What the user sees of a run: terminal bars, plain lines, JSON events or next to nothing. The run emits [`Event`]s;
//! which reporter gets them is decided once, at the start.

mod diagnostics;
pub mod event;
pub mod lines;
pub mod live;
mod look;
pub mod output;
mod track;
pub mod view;
mod wrap;

pub use diagnostics::init_tracing;
pub use event::{DatasetEnd, Event, Summary, Telling};
pub use wrap::for_stderr;

use lines::{CausesOnce, GrantsOnce, LogFile, Tally};
use serde::Serialize;
use wrap::Wrapped;

use std::io::{IsTerminal as _, Write};
use std::time::{Instant, SystemTime};

/// Of all JSON that zfsync writes, and of docs/zfsync.schema.json. Raised whenever a field changes its meaning, or goes; new fields
/// don't raise it.
pub const SCHEMA_VERSION: u32 = 1;

/// An object with the version first.
#[derive(Debug, Serialize)]
pub struct Versioned<T> {
    schema_version: u32,
    #[serde(flatten)]
    content: T,
}

impl<T> Versioned<T> {
    /// With today's version.
    pub fn of(content: T) -> Self {
        Self { schema_version: SCHEMA_VERSION, content }
    }
}

/// Shows a run to somebody. Called from one thread, with the events in the order in which they happened.
pub trait Reporter: Send {
    /// Takes note of one event.
    fn event(&mut self, event: &Event);

    /// Takes note of a dataset's end; most have no use for it.
    fn ended(&mut self, _end: &DatasetEnd<'_>) {}
}

/// How a run is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// One live line a running step, on a terminal.
    Bars,
    /// Lines on stderr, for logs and cron.
    Plain,
    /// One JSON object a line on stdout.
    Json,
    /// Failures only, on stderr.
    Quiet,
}

impl Style {
    /// The style that the options ask for; `terminal` is [`terminal`]'s answer.
    #[must_use]
    #[expect(clippy::fn_params_excessive_bools, reason = "the three are the options' own names")]
    pub fn choose(quiet: bool, json: bool, no_progress: bool, terminal: bool) -> Self {
        match (json, quiet, no_progress || !terminal) {
            (true, ..) => Self::Json,
            (_, true, _) => Self::Quiet,
            (.., true) => Self::Plain,
            (.., false) => Self::Bars,
        }
    }
}

/// Whether stderr is a terminal that can move its cursor.
#[must_use]
pub fn terminal() -> bool {
    std::io::stderr().is_terminal() && look::can_move_cursor(std::env::var("TERM").ok().as_deref())
}

/// Whether text for stderr may have colours.
#[must_use]
pub fn colours() -> bool {
    look::Look::of(&std::io::stderr()).colour
}

/// The reporter for `style`, writing to this process's stdout or stderr. Bars show names relative to `top`.
#[must_use]
pub fn reporter(style: Style, verbose: u8, top: &str) -> Box<dyn Reporter> {
    match style {
        Style::Bars => in_short(live::Bars::on_stderr(verbose, top), verbose),
        Style::Plain => {
            let out = Box::new(Wrapped::new(output::stderr()));
            in_short(lines::Plain::new(out, Box::new(SystemClock), verbose), verbose)
        }
        Style::Json => Box::new(lines::Json::new(Box::new(output::stdout()), Box::new(SystemClock))),
        Style::Quiet => failures(lines::Quiet::new(Box::new(Wrapped::new(output::stderr()))), lines::BY_OPTION),
    }
}

/// A reporter that keeps failures for later, for a command that shows nothing of a run while it goes on.
#[must_use]
pub fn kept(out: Box<dyn Write + Send>) -> Box<dyn Reporter> {
    failures(lines::Quiet::new(out), lines::BY_LOG)
}

fn failures(reporter: lines::Quiet, listed: &'static str) -> Box<dyn Reporter> {
    Box::new(Tally::new(GrantsOnce::of_failures(CausesOnce::new(reporter, 0).listed(listed))))
}

/// People are told once what is the same for many datasets.
fn in_short(reporter: impl Reporter + 'static, verbose: u8) -> Box<dyn Reporter> {
    Box::new(Tally::new(GrantsOnce::new(CausesOnce::new(reporter, verbose))))
}

/// The same, with all written down as well if there is a log; `label` tells there what it is about.
#[must_use]
pub fn logged(shown: Box<dyn Reporter>, log: Option<&LogFile>, label: &str) -> Box<dyn Reporter> {
    match log {
        Some(log) => Box::new(lines::Several(vec![shown, log.reporter(label)])),
        None => shown,
    }
}

/// Where reporters get the time from; tests have their own.
trait Clock: Send + Sync {
    /// For measuring.
    fn now(&self) -> Instant;
    /// For the reader.
    fn wall(&self) -> SystemTime;
}

struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Instant {
        Instant::now()
    }

    fn wall(&self) -> SystemTime {
        SystemTime::now()
    }
}

#[cfg(test)]
pub(crate) mod fake;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_choose_the_style() {
        assert_eq!(Style::choose(false, false, false, true), Style::Bars);
        assert_eq!(Style::choose(false, false, false, false), Style::Plain);
        assert_eq!(Style::choose(false, false, true, true), Style::Plain);
        assert_eq!(Style::choose(true, false, false, true), Style::Quiet);
        assert_eq!(Style::choose(true, false, true, false), Style::Quiet);
        assert_eq!(Style::choose(false, true, false, true), Style::Json);
        assert_eq!(Style::choose(true, true, true, false), Style::Json);
    }
}
