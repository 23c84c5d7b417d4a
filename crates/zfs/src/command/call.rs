//! One call of `zfs` or `zpool`: its arguments, what it reads, and which machine it is for.

use std::io::{self, PipeReader, Write as _};
use std::ops::{Deref, DerefMut};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::away::{Away, BUILT_IN};
use super::limits::Limits;
use super::session::Stdin;
use super::turns::{Kind, Turn};

/// A command that is ready to run: messages in English (`LC_ALL=C`), nothing on stdin.
#[derive(Debug)]
pub struct Call {
    command: Command,
    limits: Limits,
    input: &'static str,
    away: Option<Away>,
    /// Its output goes where that of streams goes, but ends by itself: it doesn't wait for streams to end.
    lists: bool,
    /// It receives, and something is asked before its end.
    watched: bool,
    /// Whoever reads its output keeps little of it.
    passing: bool,
}

impl Call {
    pub(super) fn new(program: &Path, limits: Limits, away: Option<Away>) -> Self {
        Self { away, ..Self::of(Command::new(program), limits) }
    }

    /// A command of the system that ends within these limits.
    pub(crate) fn of(mut command: Command, limits: Limits) -> Self {
        command.env("LC_ALL", "C").stdin(Stdio::null());
        Self { command, limits, input: "", away: None, lists: false, watched: false, passing: false }
    }

    /// The same, as a listing.
    #[must_use]
    pub(super) fn listing(mut self) -> Self {
        self.lists = true;
        self
    }

    /// The same, where whoever reads its output keeps little of it: it may be long.
    #[must_use]
    pub(super) fn passing(mut self) -> Self {
        self.passing = true;
        self
    }

    /// Whether whoever reads its output may keep all of it.
    pub(crate) fn is_kept(&self) -> bool {
        !self.passing
    }

    /// The same, with this on stdin: short enough for a pipe.
    #[must_use]
    pub(super) fn with_input(mut self, input: &'static str) -> Self {
        self.command.stdin(Stdio::piped());
        self.input = input;
        self
    }

    /// The same, as a receive before whose end something is asked.
    #[must_use]
    pub(super) fn watched(mut self, watched: bool) -> Self {
        self.watched = watched;
        self
    }

    /// Starts it on this machine, with stdout and stderr in pipes, and gives it what it is to read.
    pub(crate) fn start(&mut self) -> io::Result<Child> {
        let mut child = self.command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            // One that ends without reading says why on stderr.
            let _ = stdin.write_all(self.input.as_bytes());
        }
        Ok(child)
    }

    /// Starts one that carries a stream on this machine, with these as its stdin and stdout. It holds them from then on.
    pub(crate) fn start_stream(&mut self, stdin: Option<PipeReader>, stdout: Stdio) -> io::Result<Child> {
        if let Some(stdin) = stdin {
            self.command.stdin(stdin);
        }
        self.command.stdout(stdout).stderr(Stdio::piped()).spawn()
    }

    /// Gives it to a session on another machine, within these limits; whether another one was before it there.
    pub(crate) fn start_away(&self, stdin: Stdin, limits: &Limits) -> io::Result<(Turn, bool)> {
        let Some(away) = self.away().filter(|_| self.input.is_empty()) else {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it reads something"));
        };
        let (lines, began) = (away.lines(&self.command, stdin)?, Instant::now());
        let kind = match stdin {
            Stdin::Stream if self.watched => Kind::WatchedStream,
            Stdin::Stream => Kind::Stream,
            Stdin::Last if !self.lists => Kind::Stream,
            Stdin::Last | Stdin::Null => Kind::Call,
        };
        let mut turn = away.turn(kind, limits)?;
        let session = turn.session().ok_or(io::ErrorKind::NotFound)?;
        let reused = session.give(&lines, &limits.since(began))?;
        Ok((turn, reused))
    }

    /// So long a session may take until what carries a stream is started in it, as long as somebody waits for that.
    pub(crate) fn begins_within(&self) -> Limits {
        const BEGINS_WITHIN: Duration = Duration::from_secs(120);
        let silence = self.limits.silence.map_or(BEGINS_WITHIN, |silence| silence.min(BEGINS_WITHIN));
        Limits { silence: Some(silence), given_up: self.limits.given_up.clone() }
    }

    /// The machine that it is for, if that is another one.
    pub(crate) fn away(&self) -> Option<&Away> {
        self.away.as_ref().filter(|_| BUILT_IN)
    }

    /// How long it may take.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.limits
    }
}

impl Deref for Call {
    type Target = Command;

    fn deref(&self) -> &Command {
        &self.command
    }
}

impl DerefMut for Call {
    fn deref_mut(&mut self) -> &mut Command {
        &mut self.command
    }
}
