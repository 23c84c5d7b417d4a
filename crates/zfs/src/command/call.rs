//! One call of `zfs` or `zpool`: its arguments, how long it may say nothing, and which machine it is for.

use std::io::{self, PipeReader, PipeWriter, Write as _};
use std::ops::{Deref, DerefMut};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::away::{Away, Turn};

/// The arguments of a call that carries a stream must fit into the smallest pipe.
const MAX_LINES: usize = 32 * 1024;

/// When a call is ended that doesn't end by itself.
#[derive(Debug, Clone, Default)]
pub struct Limits {
    /// It says nothing for so long: the pool may be suspended, and `zfs` waits then for ever.
    pub silence: Option<Duration>,
    /// Nobody waits for it any more, once this is set.
    pub given_up: Option<Arc<AtomicBool>>,
}

impl Limits {
    /// Whether somebody has given the call up.
    #[must_use]
    pub fn are_over(&self) -> bool {
        self.given_up.as_ref().is_some_and(|given_up| given_up.load(Ordering::Relaxed))
    }

    /// Whether there are none.
    #[must_use]
    pub fn are_none(&self) -> bool {
        self.silence.is_none() && self.given_up.is_none()
    }
}

/// Two are the same if they allow the same time.
impl PartialEq for Limits {
    fn eq(&self, other: &Self) -> bool {
        self.silence == other.silence
    }
}

impl Eq for Limits {}

/// A command that is ready to run: messages in English (`LC_ALL=C`), nothing on stdin.
#[derive(Debug)]
pub struct Call {
    command: Command,
    limits: Limits,
    input: &'static str,
    away: Option<Away>,
}

/// A call that has been started.
pub(crate) struct Spawned {
    pub child: Child,
    /// Held until it has ended.
    pub turn: Option<Turn>,
}

impl Call {
    pub(super) fn new(program: &Path, limits: Limits, away: Option<Away>) -> Self {
        Self { away, ..Self::of(Command::new(program), limits) }
    }

    /// A command of the system that ends within these limits.
    pub(crate) fn of(mut command: Command, limits: Limits) -> Self {
        command.env("LC_ALL", "C").stdin(Stdio::null());
        Self { command, limits, input: "", away: None }
    }

    /// The same, with this on stdin: short enough for a pipe.
    #[must_use]
    pub(super) fn with_input(mut self, input: &'static str) -> Self {
        self.command.stdin(Stdio::piped());
        self.input = input;
        self
    }

    /// Starts it, with stdout and stderr in pipes, and gives it what it is to read.
    pub(crate) fn start(&mut self) -> io::Result<Spawned> {
        let Some(away) = &self.away else {
            let mut child = self.command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
            if let Some(mut stdin) = child.stdin.take() {
                // One that ends without reading says why on stderr.
                let _ = stdin.write_all(self.input.as_bytes());
            }
            return Ok(Spawned { child, turn: None });
        };
        let (lines, turn) = (away.lines(&self.command)?, away.turn(false)?);
        let mut session = away.command();
        let mut child = session.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            let _ = stdin.write_all(&lines).and_then(|()| stdin.write_all(self.input.as_bytes()));
        }
        Ok(Spawned { child, turn: Some(turn) })
    }

    /// Starts one that carries a stream: with the other ends of these as its stdin and stdout, where it has any.
    pub(crate) fn start_stream(mut self, stdin: Option<Feed<'_>>, stdout: Stdio) -> io::Result<Spawned> {
        let Some(away) = &self.away else {
            if let Some(Feed { reader, .. }) = stdin {
                self.command.stdin(reader);
            }
            let child = self.command.stdout(stdout).stderr(Stdio::piped()).spawn()?;
            return Ok(Spawned { child, turn: None });
        };
        let (lines, turn) = (away.lines(&self.command)?, away.turn(true)?);
        if lines.len() > MAX_LINES {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "its arguments are too long"));
        }
        let reader = if let Some(Feed { reader, writer }) = stdin {
            // Nobody has written to it before.
            writer.write_all(&lines)?;
            reader
        } else {
            let (reader, mut writer) = io::pipe()?;
            writer.write_all(&lines)?;
            reader
        };
        let child = away.command().stdin(reader).stdout(stdout).stderr(Stdio::piped()).spawn()?;
        Ok(Spawned { child, turn: Some(turn) })
    }

    /// Whether it is for another machine: its output begins with a mark then.
    pub(crate) fn is_away(&self) -> bool {
        self.away.is_some()
    }

    /// How long it may take.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.limits
    }
}

/// The pipe that a call reads a stream from.
pub(crate) struct Feed<'a> {
    pub reader: PipeReader,
    pub writer: &'a mut PipeWriter,
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
